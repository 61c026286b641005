/*
 * Code made at run time that makes system calls: of all shapes, at awkward places, changed,
 * unprotected and unmapped while it runs.  A platform that replaces system call instructions must
 * not let any of it show.
 */
#include "stress.h"

#include <setjmp.h>

enum shape {
	MOV_EAX,   /* mov $nr, %eax; syscall; ret */
	MOV_RAX,   /* the 7 byte form */
	FROM_EDI,  /* mov %edi, %eax, as syscall(2): call_code has nr in rax, so here from there */
	BARE,      /* syscall; ret: nr comes in rax */
	JUMP_INTO, /* a jump to the instruction, past the one before it */
	CHECKED,   /* as libc: the result is compared and all behind it is displaceable */
	CHECKED_BARE,
	SHAPES
};

/* Where the number is in the code; -1: nowhere. */
static const int number_at[SHAPES] = {1, 3, -1, -1, -1, 1, -1};

static size_t emit(unsigned char *p, enum shape shape, uint32_t nr)
{
	static const unsigned char code[SHAPES][16] = {
		{0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xc3},
		{0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x0f, 0x05, 0xc3},
		{0x50, 0x5f, 0x89, 0xf8, 0x0f, 0x05, 0xc3}, /* push rax, pop rdi, mov edi, eax */
		{0x0f, 0x05, 0xc3},
		/* jmp 1f; 2: ret; 3: mov $0, %eax; 4: syscall; jmp 2b; 1: jmp 4b */
		{0xeb, 0x0a, 0xc3, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf6, 0xeb, 0xfa},
		/* cmp $-4096, %rax behind it */
		{0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xc3},
		{0x0f, 0x05, 0x48, 0x3d, 0x00, 0xf0, 0xff, 0xff, 0xc3},
	};
	static const size_t len[SHAPES] = {8, 10, 7, 3, 14, 14, 9};
	memcpy(p, code[shape], len[shape]);
	if (number_at[shape] >= 0)
		memcpy(p + number_at[shape], &nr, sizeof(nr));
	return len[shape];
}

static long expected(uint32_t nr)
{
	return nr == SYS_getpid ? getpid() : nr == SYS_getppid ? getppid() : -ENOSYS;
}

static void call_often(const void *code, uint32_t nr, int times)
{
	long want = expected(nr);
	for (int i = 0; i < times; i++) {
		long got = call_code(code, nr);
		CHECK(got == want, got);
	}
}

static int some_times(void)
{
	static const int times[] = {1, 2, 20, 300};
	return times[rnd_below(ARRAY_LEN(times))];
}

/* Usually somewhere in the page, else so that it crosses into the next. */
static size_t some_offset(size_t len)
{
	return rnd() % 3 ? rnd_below(PAGE - 16) : PAGE - 1 - rnd_below(len - 1);
}

static unsigned char *two_pages(int prot)
{
	return mmap(NULL, 2 * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

/* Written, made executable, run, made writable, changed in part, run again. */
static void do_protect(void)
{
	enum shape shape = (enum shape)rnd_below(SHAPES);
	unsigned char *p = two_pages(PROT_READ | PROT_WRITE), copy[16];
	size_t len = emit(copy, shape, SYS_getpid), at = some_offset(len);
	CHECK(p != MAP_FAILED, 0);
	for (int round = 0; round < 3; round++) {
		uint32_t nr = round % 2 ? SYS_getppid : SYS_getpid;
		if (round == 0)
			emit(p + at, shape, nr);
		else if (number_at[shape] >= 0)
			memcpy(p + at + number_at[shape], &nr, sizeof(nr));
		emit(copy, shape, nr);
		CHECK(mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC) == 0, round);
		call_often(p + at, nr, some_times());
		CHECK(mprotect(p, 2 * PAGE, PROT_READ | PROT_WRITE) == 0, round);
		CHECK(!memcmp(p + at, copy, len), at);
	}
	munmap(p, 2 * PAGE);
}

/* Writable all the time. */
static void do_self_modifying(void)
{
	enum shape shape = (enum shape)rnd_below(SHAPES);
	unsigned char *p = two_pages(RWX), copy[16];
	size_t len = emit(copy, shape, SYS_getpid), at = some_offset(len);
	CHECK(p != MAP_FAILED, 0);
	for (int round = 0; round < 4; round++) {
		static const uint32_t nrs[] = {SYS_getpid, SYS_getppid, 99999};
		uint32_t nr = nrs[rnd_below(3)];
		if (round == 0)
			emit(p + at, shape, nr);
		else if (number_at[shape] >= 0)
			memcpy(p + at + number_at[shape], &nr, sizeof(nr));
		emit(copy, shape, nr);
		call_often(p + at, nr, some_times());
		CHECK(!memcmp(p + at, copy, len), at);
	}
	/* The instruction itself goes: what is left returns the number. */
	emit(p + at, MOV_EAX, SYS_getpid);
	call_often(p + at, SYS_getpid, some_times());
	memcpy(p + at + 5, "\x66\x90", 2);
	long got = call_code(p + at, 0);
	CHECK(got == SYS_getpid, got);
	/* And comes again. */
	memcpy(p + at + 5, "\x0f\x05", 2);
	call_often(p + at, SYS_getpid, some_times());
	munmap(p, 2 * PAGE);
}

/* Executable in one mapping, written through another or the file; and the file stays as it is. */
static void do_two_views(void)
{
	enum shape shape = (enum shape)rnd_below(SHAPES);
	int fd = memfd_create("code", MFD_CLOEXEC), private = (int)rnd_below(2);
	unsigned char copy[16], back[16];
	size_t len = emit(copy, shape, SYS_getpid), at = some_offset(len);
	CHECK(ftruncate(fd, 2 * PAGE) == 0, fd);
	unsigned char *w = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	emit(w + at, shape, SYS_getpid);
	unsigned char *x = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC,
		private ? MAP_PRIVATE : MAP_SHARED, fd, 0);
	CHECK(w != MAP_FAILED && x != MAP_FAILED, fd);
	for (int round = 0; round < 3; round++) {
		uint32_t nr = round % 2 ? SYS_getppid : SYS_getpid;
		emit(copy, shape, nr);
		if (round && (private || number_at[shape] < 0))
			break; /* whether a private mapping sees the change is not defined */
		if (round)
			memcpy(w + at + number_at[shape], &nr, sizeof(nr));
		call_often(x + at, nr, some_times());
		CHECK(!memcmp(w + at, copy, len), at);
		CHECK(pread(fd, back, len, (off_t)at) == (ssize_t)len, at);
		CHECK(!memcmp(back, copy, len), at);
	}
	munmap(w, 2 * PAGE);
	munmap(x, 2 * PAGE);
	close(fd);
}

/* fork gives the child the code, whatever was done to it; each then changes its own. */
static void do_forked_code(void)
{
	unsigned char *p = two_pages(RWX);
	size_t at = some_offset(8);
	uint32_t nr = SYS_getppid;
	CHECK(p != MAP_FAILED, 0);
	emit(p + at, MOV_EAX, SYS_getpid);
	if (rnd() % 2)
		mprotect(p, 2 * PAGE, PROT_READ | PROT_EXEC);
	call_often(p + at, SYS_getpid, some_times());
	pid_t c = fork();
	if (c == 0) {
		call_often(p + at, SYS_getpid, 30);
		mprotect(p, 2 * PAGE, RWX);
		memcpy(p + at + 1, &nr, sizeof(nr));
		call_often(p + at, nr, 30);
		_exit(0);
	}
	CHECK(c > 0, c);
	call_often(p + at, SYS_getpid, 30);
	wait_for(c, 0);
	call_often(p + at, SYS_getpid, 2);
	munmap(p, 2 * PAGE);
}

/* Addresses that a platform may have taken a liking to are the guest's all the same. */
static void do_low_addresses(void)
{
	static const uint64_t bases[] = {0x10000, 0x100000, 0x5000000, 0x50f0000, 0x5100000,
		0x10000000, 0x7fff0000, 0x100000000};
	uint64_t at = bases[rnd_below(ARRAY_LEN(bases))] + rnd_below(17) * PAGE;
	size_t n = (1 + rnd_below(16)) * PAGE;
	unsigned char *p = mmap((void *)at, n, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	CHECK(p == (void *)at || errno == EEXIST, at);
	if (p == MAP_FAILED)
		return; /* the program itself is there */
	for (size_t i = 0; i < n; i += PAGE / 8)
		CHECK(p[i] == 0, at + i);
	memset(p, 0xcc, n);
	emit(p, MOV_EAX, SYS_getpid);
	CHECK(mprotect(p, n, PROT_READ | PROT_EXEC) == 0, at);
	call_often(p, SYS_getpid, some_times());
	for (size_t i = PAGE / 8; i < n; i += PAGE / 8)
		CHECK(p[i] == 0xcc, at + i);
	CHECK(munmap(p, n) == 0, at);
	CHECK(getppid() > 0, at);
}

/* --- several threads --- */

static unsigned char *code;
static uint32_t running;

static void runs_changing(long arg)
{
	long pid = getpid(), ppid = getppid();
	if (arg == 0) { /* the one that changes: a word within 8 aligned bytes, in one go */
		for (int i = 0; i < 50; i++) {
			uint32_t nr = i % 2 ? SYS_getpid : SYS_getppid;
			__atomic_store_n((uint32_t *)(code + 4), nr, __ATOMIC_SEQ_CST);
			usleep(50);
		}
		__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
		return;
	}
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		long got = call_code(code + 3, 0);
		CHECK(got == pid || got == ppid, got);
	}
}

static void do_changed_by_other(void)
{
	code = two_pages(RWX);
	CHECK(code != MAP_FAILED, 0);
	emit(code + 3, MOV_EAX, SYS_getpid);
	running = 1;
	in_threads(3, runs_changing);
	munmap(code, 2 * PAGE);
}

static __thread sigjmp_buf out;
static uint32_t faulted;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	(void)sig;
	(void)uc;
	unsigned char *a = info->si_addr;
	if (a < code || a >= code + 2 * PAGE)
		fail("a fault elsewhere", (long)a);
	__atomic_add_fetch(&faulted, 1, __ATOMIC_SEQ_CST);
	siglongjmp(out, 1);
}

/* Runs the code, which comes and goes. */
static void runs_vanishing(long arg)
{
	long pid = getpid();
	if (arg == 0) {
		for (int i = 0; i < 20; i++) {
			uint32_t before = __atomic_load_n(&faulted, __ATOMIC_SEQ_CST);
			usleep(100);
			if (i % 3 == 0)
				munmap(code, 2 * PAGE);
			else
				mprotect(code, 2 * PAGE, i % 3 == 1 ? PROT_NONE : PROT_READ);
			for (int k = 0; k < STUCK * 1000 &&
					__atomic_load_n(&faulted, __ATOMIC_SEQ_CST) == before;
				k++)
				usleep(1000);
			CHECK(__atomic_load_n(&faulted, __ATOMIC_SEQ_CST) != before, i);
			unsigned char *p = mmap(code, 2 * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			CHECK(p == code, i);
			emit(code, MOV_EAX, SYS_getpid);
			mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC);
		}
		__atomic_store_n(&running, 0, __ATOMIC_SEQ_CST);
		return;
	}
	while (__atomic_load_n(&running, __ATOMIC_SEQ_CST)) {
		if (sigsetjmp(out, 1) == 0) {
			long got = call_code(code, 0);
			CHECK(got == pid, got);
		}
	}
}

static void do_vanishing(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	code = two_pages(PROT_READ | PROT_WRITE);
	CHECK(code != MAP_FAILED, 0);
	emit(code, MOV_EAX, SYS_getpid);
	mprotect(code, 2 * PAGE, PROT_READ | PROT_EXEC);
	sigaction(SIGSEGV, &sa, NULL);
	running = 1;
	in_threads(3, runs_vanishing);
}

const struct work work_code[] = {{"code_protect", do_protect},
	{"code_self_modifying", do_self_modifying}, {"code_two_views", do_two_views},
	{"code_forked", do_forked_code}, {"code_low_addresses", do_low_addresses},
	{"code_changed_by_other", do_changed_by_other, 1}, {"code_vanishing", do_vanishing, 1},
	{NULL}};
