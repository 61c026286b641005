/* mmap, munmap, mprotect, mremap, madvise, brk, mincore, msync of anonymous memory */
#include "test.h"

#include <setjmp.h>
#include <sys/resource.h>

#define PG 4096ul
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static sigjmp_buf out;
static siginfo_t info;

static void on_fault(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	info = *si;
	siglongjmp(out, 1);
}

static void catch_faults(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
}

/* 0, or the signal that the access raised. */
static int touch_at(volatile char *p, int write)
{
	if (sigsetjmp(out, 1))
		return info.si_signo;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

static char *map(size_t size, int prot)
{
	char *p = mmap(NULL, size, prot, ANON, -1, 0);

	if (p == MAP_FAILED)
		test_fail("mmap %zu: %s", size, strerror(errno));
	return p;
}

TEST(errors)
{
	char *p = map(PG, RW);

	CHECK_ERRNO(mmap(NULL, 0, RW, ANON, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_ANONYMOUS, -1, 0), EINVAL); /* neither kind */
	CHECK_ERRNO(mmap(NULL, PG, RW, MAP_PRIVATE, -1, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, PG, RW, ANON, -1, 1), EINVAL);
	CHECK_ERRNO(mmap(p + 1, PG, RW, ANON | MAP_FIXED, -1, 0), EINVAL);
	CHECK_ERRNO(mmap(NULL, (size_t)1 << 47, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(NULL, (size_t)-1, RW, ANON, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap((void *)(1ul << 47), PG, RW, ANON | MAP_FIXED, -1, 0), ENOMEM);
	CHECK_ERRNO(mmap(p, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	CHECK_ERRNO(munmap(p + 1, PG), EINVAL);
	CHECK_ERRNO(munmap(p, 0), EINVAL);
	CHECK_ERRNO(munmap((void *)(1ul << 47), PG), EINVAL);
	CHECK_OK(munmap(p, PG));
	CHECK_OK(munmap(p, PG)); /* nothing there: fine */
	CHECK_ERRNO(mprotect(p, PG, RW), ENOMEM);
	CHECK_ERRNO(mprotect(p + 1, PG, RW), EINVAL);
	CHECK_OK(mprotect(p, 0, RW));
}

TEST(zeroed_and_kept)
{
	char *p = map(100 * PG, RW);

	for (int i = 0; i < 100; i++)
		CHECK_EQ(p[i * PG + 7], 0);
	for (int i = 0; i < 100; i++)
		p[i * PG + 7] = (char)i;
	for (int i = 0; i < 100; i++)
		CHECK_EQ(p[i * PG + 7], (char)i);
	CHECK_OK(munmap(p, 100 * PG));
	p = map(100 * PG, RW);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(p[i * PG + 7], 0); /* recycled memory is clean */
}

TEST(hint_and_fixed)
{
	char *p = map(10 * PG, RW), *q;

	memset(p, 1, 10 * PG);
	q = mmap(p + 4 * PG, 2 * PG, RW, ANON | MAP_FIXED, -1, 0);
	CHECK(q == p + 4 * PG);
	CHECK_EQ(p[3 * PG], 1);
	CHECK_EQ(p[4 * PG], 0);
	CHECK_EQ(p[6 * PG], 1);
	q = mmap(p, PG, RW, ANON, -1, 0); /* a hint that is taken */
	CHECK(q != p && q != MAP_FAILED);
	CHECK_OK(munmap(p + 2 * PG, PG));
	q = mmap(p + 2 * PG, PG, RW, ANON, -1, 0); /* one that is free */
	CHECK(q == p + 2 * PG);
	CHECK(mmap((void *)0x10000000, PG, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) ==
		(void *)0x10000000);
	q = mmap(NULL, PG, RW, ANON | MAP_32BIT, -1, 0);
	CHECK((uintptr_t)q < 1ul << 32);
}

TEST(segv_info)
{
	char *p = map(2 * PG, PROT_READ);

	catch_faults();
	CHECK_EQ(touch_at(p, 0), 0);
	CHECK_EQ(touch_at(p + 5, 1), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK(info.si_addr == p + 5);
	CHECK_OK(munmap(p, 2 * PG));
	CHECK_EQ(touch_at(p + 9, 0), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK(info.si_addr == p + 9);
	CHECK_EQ(touch_at(NULL, 1), SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_MAPERR);
	CHECK_EQ(touch_at((void *)0xdead000000000000, 0), SIGSEGV); /* not canonical */
	CHECK_EQ(info.si_code, SI_KERNEL);
	CHECK(info.si_addr == NULL);
	CHECK_EQ(touch_at((void *)0xffffffffff000000, 0), SIGSEGV);
}

TEST(mprotect_steps)
{
	char *p = map(4 * PG, RW);

	catch_faults();
	memset(p, 3, 4 * PG);
	CHECK_OK(mprotect(p + PG, 2 * PG, PROT_NONE));
	CHECK_EQ(touch_at(p + PG, 0), SIGSEGV);
	CHECK_EQ(touch_at(p, 1), 0);
	CHECK_EQ(touch_at(p + 3 * PG, 1), 0);
	CHECK_OK(mprotect(p + PG, PG, PROT_READ));
	CHECK_EQ(touch_at(p + PG, 0), 0);
	CHECK_EQ(touch_at(p + PG, 1), SIGSEGV);
	CHECK_OK(mprotect(p, 4 * PG, RW));
	CHECK_EQ(p[2 * PG], 3);
	CHECK_OK(munmap(p + 2 * PG, PG));
	CHECK_ERRNO(mprotect(p, 4 * PG, PROT_READ), ENOMEM);
	CHECK_EQ(touch_at(p + PG, 1), SIGSEGV); /* what lies before the hole was changed */
	CHECK_EQ(touch_at(p + 3 * PG, 1), 0);
	CHECK_ERRNO(mprotect(p, PG, PROT_GROWSDOWN | PROT_GROWSUP | PROT_READ), EINVAL);
	CHECK_ERRNO(mprotect(p, PG, 0x100), EINVAL);
}

TEST(execute)
{
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
	char *p = map(PG, RW);

	catch_faults();
	memcpy(p, code, sizeof(code));
	if (sigsetjmp(out, 1) == 0) {
		((int (*)(void))p)();
		test_fail("ran memory that is not executable");
	}
	CHECK_EQ(info.si_signo, SIGSEGV);
	CHECK_EQ(info.si_code, SEGV_ACCERR);
	CHECK(info.si_addr == p);
	CHECK_OK(mprotect(p, PG, PROT_READ | PROT_EXEC));
	CHECK_EQ(((int (*)(void))p)(), 42);
	CHECK_OK(mprotect(p, PG, RW | PROT_EXEC));
	p[1] = 43;
	CHECK_EQ(((int (*)(void))p)(), 43); /* code that was changed */
}

TEST(fork_copies)
{
	char *p = map(64 * PG, RW), *shared;

	shared = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	memset(p, 1, 64 * PG);
	IN_CHILD({
		for (int i = 0; i < 64; i++)
			CHECK_EQ(p[i * PG], 1);
		memset(p, 2, 64 * PG);
		shared[0] = 7;
		IN_CHILD({
			for (int i = 0; i < 64; i++)
				CHECK_EQ(p[i * PG], 2);
			p[0] = 3;
			shared[1] = 8;
		});
		CHECK_EQ(p[0], 2);
	});
	for (int i = 0; i < 64; i++)
		CHECK_EQ(p[i * PG], 1);
	CHECK_EQ(shared[0], 7);
	CHECK_EQ(shared[1], 8);
}

TEST(fork_while_child_reads)
{
	char *p = map(16 * PG, RW);
	int go[2];
	char c;
	pid_t pid;

	memset(p, 1, 16 * PG);
	CHECK_OK(pipe(go));
	pid = test_fork();
	if (pid == 0) {
		CHECK_EQ(read(go[0], &c, 1), 1);
		for (int i = 0; i < 16; i++)
			CHECK_EQ(p[i * PG], 1); /* the parent's later writes are its own */
		_exit(0);
	}
	memset(p, 9, 16 * PG);
	CHECK_EQ(write(go[1], "x", 1), 1);
	WAIT_OK(pid);
}

TEST(mremap_rules)
{
	char *p = map(4 * PG, RW), *q;

	memset(p, 5, 4 * PG);
	CHECK_OK(munmap(p + 2 * PG, 2 * PG));
	q = mremap(p, 2 * PG, 4 * PG, 0); /* into the hole behind it */
	CHECK(q == p);
	CHECK_EQ(p[2 * PG], 0);
	CHECK_EQ(p[PG], 5);
	q = mremap(p, 4 * PG, PG, 0);
	CHECK(q == p);
	catch_faults();
	CHECK_EQ(touch_at(p + PG, 0), SIGSEGV);
	mmap(p + PG, PG, RW, ANON | MAP_FIXED, -1, 0);
	CHECK_OK(mprotect(p + PG, PG, PROT_READ)); /* something else in the way */
	CHECK_ERRNO(mremap(p, PG, 3 * PG, 0), ENOMEM);
	q = mremap(p, PG, 3 * PG, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q != p);
	CHECK_EQ(q[0], 5);
	CHECK_EQ(touch_at(p, 0), SIGSEGV);
	char *target = map(3 * PG, RW);
	p = mremap(q, 3 * PG, 3 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, target);
	CHECK(p == target);
	CHECK_EQ(p[0], 5);
	CHECK_ERRNO(mremap(p + 1, PG, PG, 0), EINVAL);
	CHECK_ERRNO(mremap(p, PG, 0, 0), EINVAL);
	CHECK_ERRNO(mremap(p, PG, PG, MREMAP_FIXED, target), EINVAL);
	CHECK_ERRNO(mremap(p, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + PG), EINVAL);
	CHECK_ERRNO(mremap(p, PG, PG, 0x100), EINVAL);
	CHECK_OK(munmap(p, 3 * PG));
	CHECK_ERRNO(mremap(p, PG, 2 * PG, MREMAP_MAYMOVE), EFAULT);
}

TEST(mremap_shared_duplicates)
{
	char *p = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *q;

	p[0] = 1;
	q = mremap(p, 0, PG, MREMAP_MAYMOVE); /* old size 0: the same pages twice */
	CHECK(q != MAP_FAILED);
	q[0] = 2;
	CHECK_EQ(p[0], 2);
	CHECK_ERRNO(mremap(map(PG, RW), 0, PG, MREMAP_MAYMOVE), EINVAL);
}

TEST(mremap_dontunmap)
{
	char *p = map(PG, RW), *q;

	p[0] = 4;
	q = mremap(p, PG, PG, MREMAP_MAYMOVE | 4 /* DONTUNMAP */, NULL);
	CHECK(q != MAP_FAILED && q != p);
	CHECK_EQ(q[0], 4);
	CHECK_EQ(p[0], 0);
}

TEST(madvise_rules)
{
	char *p = map(4 * PG, RW), *shared;

	memset(p, 1, 4 * PG);
	CHECK_OK(madvise(p + PG, 2 * PG, MADV_DONTNEED));
	CHECK_EQ(p[0], 1);
	CHECK_EQ(p[PG], 0);
	CHECK_EQ(p[2 * PG], 0);
	CHECK_EQ(p[3 * PG], 1);
	shared = mmap(NULL, PG, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shared[0] = 5;
	CHECK_OK(madvise(shared, PG, MADV_DONTNEED));
	CHECK_EQ(shared[0], 5);
	CHECK_OK(madvise(p, PG, MADV_WILLNEED));
	CHECK_OK(madvise(p, PG, MADV_RANDOM));
	CHECK_OK(madvise(p, 0, MADV_NORMAL));
	CHECK_ERRNO(madvise(p + 1, PG, MADV_NORMAL), EINVAL);
	CHECK_ERRNO(madvise(p, PG, 999), EINVAL);
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(madvise(p, 3 * PG, MADV_DONTNEED), ENOMEM);
	CHECK_EQ(p[2 * PG], 0); /* done all the same */
	p = map(2 * PG, RW);
	p[0] = p[PG] = 1;
	CHECK_OK(madvise(p, PG, MADV_DONTFORK));
	CHECK_OK(madvise(p + PG, PG, MADV_WIPEONFORK));
	catch_faults();
	IN_CHILD({
		CHECK_EQ(touch_at(p, 0), SIGSEGV);
		CHECK_EQ(p[PG], 0);
	});
	CHECK_EQ(p[PG], 1);
}

TEST(mincore_rules)
{
	unsigned char vec[4];
	char *p = map(4 * PG, RW);

	p[0] = 1;
	CHECK_OK(mincore(p, 4 * PG, vec));
	CHECK_EQ(vec[0] & 1, 1);
	CHECK_ERRNO(mincore(p + 1, PG, vec), EINVAL);
	CHECK_ERRNO(mincore(p, PG, (void *)8), EFAULT);
	CHECK_OK(munmap(p, 4 * PG));
	CHECK_ERRNO(mincore(p, PG, vec), ENOMEM);
}

TEST(msync_rules)
{
	char *p = map(2 * PG, RW);

	CHECK_OK(msync(p, PG, MS_SYNC));
	CHECK_ERRNO(msync(p + 1, PG, MS_SYNC), EINVAL);
	CHECK_ERRNO(msync(p, PG, MS_SYNC | MS_ASYNC), EINVAL);
	CHECK_ERRNO(msync(p, PG, 0x100), EINVAL);
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(msync(p, 2 * PG, MS_ASYNC), ENOMEM);
}

TEST(brk_moves)
{
	char *start = (char *)syscall(SYS_brk, 0), *end;

	end = (char *)syscall(SYS_brk, start + 3 * PG);
	CHECK(end == start + 3 * PG);
	memset(start, 1, 3 * PG);
	CHECK((char *)syscall(SYS_brk, start + 10) == start + 10);
	CHECK((char *)syscall(SYS_brk, start + 3 * PG) == start + 3 * PG);
	CHECK_EQ(start[2 * PG], 0); /* given back and fresh again */
	CHECK_EQ(start[5], 1);
	CHECK((char *)syscall(SYS_brk, 8) == start + 3 * PG); /* refused: the break stays */
	IN_CHILD(CHECK((char *)syscall(SYS_brk, start) == start));
	CHECK_EQ(start[5], 1);
	CHECK((char *)syscall(SYS_brk, start) == start);
}

TEST(grows_down)
{
	char *area = map(20 * PG, PROT_NONE), *p;

	CHECK_OK(munmap(area, 20 * PG));
	p = mmap(area + 300 * PG, PG, RW, ANON | MAP_GROWSDOWN, -1, 0);
	CHECK(p != MAP_FAILED);
	catch_faults();
	CHECK_EQ(touch_at(p - 1, 1), 0);
	CHECK_EQ(touch_at(p - 3 * PG, 1), 0);
	CHECK_EQ(p[-1], 1);
}

static int depth(int n)
{
	volatile char buf[4000];

	buf[0] = (char)n;
	return n ? depth(n - 1) + buf[0] * 0 : 0;
}

TEST(stack_grows)
{
	struct rlimit r;

	CHECK_OK(getrlimit(RLIMIT_STACK, &r));
	CHECK_EQ(depth(1000), 0); /* 4 MB */
}

TEST(stack_overflow)
{
	static char alt[65536];
	stack_t ss = {.ss_sp = alt, .ss_size = sizeof(alt)};
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	CHECK_OK(sigaltstack(&ss, NULL));
	sigaction(SIGSEGV, &sa, NULL);
	if (sigsetjmp(out, 1) == 0) {
		depth(1 << 20);
		test_fail("4 GB of stack");
	}
	CHECK_EQ(info.si_signo, SIGSEGV);
}

TEST(many_mappings)
{
	char *p = map(2000 * PG, RW);

	for (int i = 0; i < 2000; i += 2)
		CHECK_OK(mprotect(p + i * PG, PG, PROT_READ));
	for (int i = 1; i < 2000; i += 2)
		p[i * PG] = 1;
	IN_CHILD(for (int i = 1; i < 2000; i += 2) CHECK_EQ(p[i * PG], 1));
	CHECK_OK(mprotect(p, 2000 * PG, RW));
	for (int i = 0; i < 2000; i++)
		p[i * PG] = 2;
	CHECK_OK(munmap(p, 2000 * PG));
}

TEST(huge_sparse)
{
	size_t size = 16ul << 30;
	char *p = mmap(NULL, size, RW, ANON | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED);
	for (size_t i = 0; i < size; i += size / 16)
		p[i] = 1;
	IN_CHILD(CHECK_EQ(p[size / 2], 1));
	CHECK_OK(munmap(p, size));
}

TEST(lock)
{
	struct rlimit none = {0, 0};
	char *p = map(2 * PG, RW);

	CHECK_OK(mlock(p, PG));
	CHECK_OK(munlock(p, PG));
	CHECK_OK(munmap(p + PG, PG));
	CHECK_ERRNO(mlock(p, 2 * PG), ENOMEM);
	CHECK_ERRNO(mlockall(0), EINVAL);
	IN_CHILD({
		CHECK_OK(setrlimit(RLIMIT_MEMLOCK, &none));
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(mlock(p, PG), EPERM);
	});
}

TEST(populate)
{
	unsigned char vec[8];
	char *p = mmap(NULL, 8 * PG, RW, ANON | MAP_POPULATE, -1, 0);

	CHECK_OK(mincore(p, 8 * PG, vec));
	for (int i = 0; i < 8; i++)
		CHECK_EQ(vec[i] & 1, 1);
}

TEST(address_space_limit)
{
	struct rlimit r = {256 << 20, 256 << 20};

	CHECK_OK(setrlimit(RLIMIT_AS, &r));
	CHECK_ERRNO(mmap(NULL, 300 << 20, RW, ANON, -1, 0), ENOMEM);
	CHECK(mmap(NULL, 10 << 20, RW, ANON, -1, 0) != MAP_FAILED);
}

TEST(data_limit)
{
	struct rlimit r = {32 << 20, 32 << 20};

	CHECK_OK(setrlimit(RLIMIT_DATA, &r));
	CHECK_ERRNO(mmap(NULL, 64 << 20, RW, ANON, -1, 0), ENOMEM);
	char *now = (char *)syscall(SYS_brk, 0);
	CHECK((char *)syscall(SYS_brk, now + (64 << 20)) == now);
}
