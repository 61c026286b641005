/* Access to guest memory.  OBJS: lib platform/current sentry/core sentry/mem sentry/mm
 */
#include "tests/unit/test.h"

#include <linux/futex.h>
#include <pthread.h>

#include "tests/unit/mm_fake.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define PG 4096UL

static struct ctx c;
static struct mm *mm;

static void begin(void)
{
	fake_init();
	if (mm_create(&mm))
		abort();
	fake_ctx(&c, mm);
}

TEST(copies_and_partial_counts)
{
	char buf[10000], big[10000];
	uint64_t a;

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0x100000, 2 * PG, RW, ANON | MAP_FIXED, NULL, 0);
	memset(buf, 'x', sizeof(buf));
	CHECK_EQ(uaccess_copyout(&c, UADDR(a), buf, 2 * PG), 0);
	CHECK_EQ(uaccess_copyin(&c, big, UADDR(a), 2 * PG), 0);
	CHECK_EQ(memcmp(big, buf, 2 * PG), 0);
	CHECK_EQ(uaccess_copyout(&c, UADDR(a), buf, 2 * PG + 1), -EFAULT);
	CHECK_EQ(uaccess_copyout_some(&c, UADDR(a + 5), buf, 9000), 2 * PG - 5);
	CHECK_EQ(uaccess_copyin_some(&c, buf, UADDR(a + 2 * PG), 1), -EFAULT);
	CHECK_EQ(uaccess_copyin_some(&c, buf, UADDR(a + 2 * PG), 0), 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(-1UL), 8), -EFAULT);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(0xffff800000000000UL), 8), -EFAULT);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(MEMFILE_BASE), 8), -EFAULT);
	CHECK_EQ(uaccess_clear(&c, UADDR(a + 1), 100), 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a), 3), 0);
	CHECK(buf[0] == 'x' && !buf[1] && !buf[2]);
	CHECK_EQ(mm_mprotect(&c, mm, a, PG, PROT_READ), 0);
	CHECK_EQ(uaccess_copyout(&c, UADDR(a), buf, 1), -EFAULT);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a), 1), 0);
	CHECK_EQ(mm_mprotect(&c, mm, a, PG, PROT_NONE), 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a), 1), -EFAULT);
	CHECK_EQ(uaccess_mm_read(mm, buf, UADDR(a), 1, 0), -EFAULT);
	CHECK_EQ(uaccess_mm_read(mm, buf, UADDR(a), 1, 1), 1);
	CHECK_EQ(uaccess_mm_write(mm, UADDR(a), "q", 1, 1), 1);
	CHECK_EQ(mm_munmap(mm, a, PG), 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a), 1), -EFAULT);
	mm_put(mm);
}

TEST(strings)
{
	char buf[64];
	uint64_t a;

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0x100000, PG, RW, ANON | MAP_FIXED, NULL, 0);
	CHECK_EQ(uaccess_copyout(&c, UADDR(a + PG - 6), "hello", 6), 0);
	CHECK_EQ(uaccess_strncpy(&c, buf, UADDR(a + PG - 6), 64), 5);
	CHECK_STR(buf, "hello");
	CHECK_EQ(uaccess_strncpy(&c, buf, UADDR(a + PG - 6), 6), 5);
	CHECK_EQ(uaccess_strncpy(&c, buf, UADDR(a + PG - 6), 5), -ENAMETOOLONG);
	CHECK_EQ(uaccess_copyout(&c, UADDR(a + PG - 1), "x", 1), 0);
	CHECK_EQ(uaccess_strncpy(&c, buf, UADDR(a + PG - 6), 64), -EFAULT);
	mm_put(mm);
}

TEST(atomics)
{
	uint32_t v, seen;
	uint64_t a;

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0, PG, RW, ANON, NULL, 0);
	CHECK_EQ(uaccess_load32(&c, UADDR(a + 2), &v), -EINVAL);
	CHECK_EQ(uaccess_load32(&c, UADDR(a), &v), 0);
	CHECK_EQ(uaccess_cmpxchg32(&c, UADDR(a), 0, 5, &seen), 0);
	CHECK_EQ(seen, 0);
	CHECK_EQ(uaccess_cmpxchg32(&c, UADDR(a), 0, 6, &seen), 0);
	CHECK_EQ(seen, 5);
	CHECK_EQ(uaccess_futex_op32(&c, UADDR(a), FUTEX_OP_ADD, 3, &v), 0);
	CHECK_EQ(v, 5);
	CHECK_EQ(uaccess_futex_op32(&c, UADDR(a), FUTEX_OP_XOR, 1, &v), 0);
	CHECK_EQ(v, 8);
	CHECK_EQ(uaccess_futex_op32(&c, UADDR(a), 9, 1, &v), -ENOSYS);
	CHECK_EQ(uaccess_futex_op32(&c, UADDR(0x5000), FUTEX_OP_SET, 1, &v), -EFAULT);
	mm_put(mm);
}

/* The host cuts a file under our feet: partial counts, no crash. */
TEST(truncated_host_file)
{
	struct ffile *f;
	char buf[8192];
	uint64_t a;

	begin();
	f = ffile_new(4 * PG, true, FMODE_READ | FMODE_WRITE);
	a = (uint64_t)do_mmap(&c, mm, 0, 4 * PG, RW, MAP_SHARED, f, 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a + 3 * PG), 8), 0);
	host_ftruncate(handle_fd(f->host), (int64_t)PG);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(a + 3 * PG), 8), -EFAULT);
	CHECK_EQ(uaccess_copyin_some(&c, buf, UADDR(a + 100), 8000), PG - 100);
	CHECK_EQ(uaccess_copyout_some(&c, UADDR(a + PG - 3), buf, 64), 3);
	CHECK_EQ(uaccess_strncpy(&c, buf, UADDR(a + PG), 64), -EFAULT);
	file_put(&f->f);
	mm_put(mm);
}

TEST(pins)
{
	struct upin p;
	uint64_t a, used = memfile_used();

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0, 16 * PG, RW, ANON, NULL, 0);
	CHECK(uaccess_pin(&c, UADDR(a + 10), 3 * PG, true, &p) > 0);
	CHECK_EQ(mm_munmap(mm, a, 16 * PG), 0);
	memset(p.ptr, 1, p.len); /* still ours */
	CHECK(memfile_used() > used);
	uaccess_unpin(&p);
	CHECK_EQ(uaccess_pin(&c, UADDR(a), 8, false, &p), -EFAULT);
	mm_put(mm);
	CHECK_EQ(memfile_used(), used);
}

/*
 * Pages of a file are replaced while others map it, fault, fork and end: after each invalidation
 * nobody may hold the old page.
 */
static struct ffile *hot_file;
static bool hot_stop;

static void *mapper(void *arg)
{
	struct mm *m, *child;
	struct ctx me;
	char b;
	int i;

	if (mm_create(&m))
		abort();
	fake_ctx(&me, m);
	do_mmap(&me, m, 0x1000000, 16 * PG, RW, MAP_SHARED | MAP_FIXED, hot_file, 0);
	do_mmap(&me, m, 0x2000000, 16 * PG, RW, MAP_PRIVATE | MAP_FIXED, hot_file, 0);
	for (i = 0; !READ_ONCE(hot_stop); i++) {
		(void)!uaccess_copyin(&me, &b, UADDR(0x1000000 + i % 16 * PG), 1);
		(void)!uaccess_copyout(&me, UADDR(0x1000000 + i % 13 * PG), "a", 1);
		(void)!uaccess_copyin(&me, &b, UADDR(0x2000000 + i % 16 * PG), 1);
		if (i % 8 == 0 && !mm_fork(m, &child)) {
			(void)!uaccess_mm_write(child, UADDR(0x2000000 + i % 7 * PG), "b", 1, 0);
			(void)!uaccess_mm_read(child, &b, UADDR(0x1000000 + i % 5 * PG), 1, 0);
			mm_put(child);
		}
	}
	mm_put(m);
	return NULL;
}

TEST(invalidation_reaches_everybody)
{
	uint64_t old, used = memfile_used(), i, tries;
	pthread_t t[2];
	long stale = 0;

	fake_init();
	hot_file = ffile_new(16 * PG, false, FMODE_READ | FMODE_WRITE);
	pthread_create(&t[0], NULL, mapper, NULL);
	pthread_create(&t[1], NULL, mapper, NULL);
	for (i = 0; i < 30000; i++) {
		mutex_lock(&hot_file->m.lock);
		old = hot_file->pages[i % 16];
		hot_file->pages[i % 16] = 0;
		mutex_unlock(&hot_file->m.lock);
		if (!old)
			continue;
		mappable_invalidate(&hot_file->m, i % 16 * PG, PG, false);
		/* One that is unmapped already may be about to be dropped. */
		for (tries = 0; tries < 20000 && memfile_refs(old) != 1; tries++)
			usleep(100);
		stale += memfile_refs(old) != 1;
		memfile_unref(old, PG);
	}
	WRITE_ONCE(hot_stop, true);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	file_put(&hot_file->f);
	CHECK_EQ(stale, 0);
	CHECK_EQ(memfile_used(), used);
}

/*
 * One thread copies a pattern in and out while another maps, forks and unmaps; a third owns
 * recycled memory and must never see the pattern in it.
 */
static bool stop;
static long bad;
static uint64_t shared_addr;

static void *copier(void *arg)
{
	uint64_t pat[64], got[64];
	struct ctx me;
	int i;

	fake_ctx(&me, mm);
	for (i = 0; i < 64; i++)
		pat[i] = 0xdeadbeefcafef00dUL;
	while (!READ_ONCE(stop)) {
		(void)!uaccess_copyout(&me, UADDR(shared_addr + 1024), pat, sizeof(pat));
		if (!uaccess_copyin(&me, got, UADDR(shared_addr + 1024), sizeof(got)))
			for (i = 0; i < 64; i++)
				if (got[i] && got[i] != pat[i])
					__atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void *owner(void *arg)
{
	uint64_t off, i, *p;

	while (!READ_ONCE(stop)) {
		if (memfile_alloc(65536, &off))
			continue;
		p = memfile_ptr(off);
		for (i = 0; i < 65536 / 8; i += 16)
			p[i] = 0x1111;
		for (i = 0; i < 65536 / 8; i++)
			if (p[i] == 0xdeadbeefcafef00dUL)
				__atomic_fetch_add(&bad, 1, __ATOMIC_RELAXED);
		memfile_unref(off, 65536);
	}
	return NULL;
}

TEST(no_use_of_recycled_pages)
{
	pthread_t t[2];
	struct mm *child;
	int i;

	begin();
	shared_addr = 0x40000000;
	mm_get(mm); /* the other thread's */
	pthread_create(&t[0], NULL, copier, NULL);
	pthread_create(&t[1], NULL, owner, NULL);
	for (i = 0; i < 20000; i++) {
		do_mmap(&c, mm, shared_addr, 65536, RW, ANON | MAP_FIXED, NULL, 0);
		if (i % 16 == 0 && !mm_fork(mm, &child))
			mm_put(child);
		if (i % 3 == 0)
			mm_madvise(&c, mm, shared_addr, 65536, MADV_DONTNEED);
		mm_munmap(mm, shared_addr, 65536);
	}
	WRITE_ONCE(stop, true);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	mm_put(mm);
	mm_put(mm);
	CHECK_EQ(bad, 0);
	CHECK_EQ(memfile_used(), 0);
}

#ifndef SAN_RUNTIME /* needs memory itself */
static pthread_barrier_t limited, copied;
static uint64_t from;

static void *copies_then(void *arg)
{
	struct ctx me;
	uint64_t word = 0;
	bool ok = true;

	fake_ctx(&me, mm);
	pthread_barrier_wait(&limited);
	for (int i = 0; i < 10; i++)
		ok &= !uaccess_copyin(&me, &word, UADDR(from), sizeof(word)) &&
		      word == 0x1122334455;
	pthread_barrier_wait(&copied);
	return ok ? arg : NULL;
}

/* More threads at once than a page has slots. */
static void no_memory(void)
{
	enum { N = 150 };
	uint64_t word = 0x1122334455;
	pthread_t t[N];
	void *ok;

	begin();
	from = (uint64_t)do_mmap(&c, mm, 0x100000, PG, RW, ANON | MAP_FIXED, NULL, 0);
	if (uaccess_copyout(&c, UADDR(from), &word, sizeof(word)))
		_exit(1);
	pthread_barrier_init(&limited, NULL, N + 1);
	pthread_barrier_init(&copied, NULL, N);
	for (int i = 0; i < N; i++)
		if (pthread_create(&t[i], NULL, copies_then, &c))
			_exit(2);
	test_no_more_memory();
	pthread_barrier_wait(&limited);
	for (int i = 0; i < N; i++) {
		pthread_join(t[i], &ok);
		if (!ok)
			_exit(3);
	}
	_exit(42);
}

TEST(threads_without_slots)
{
	char buf[256];
	int status = test_child(no_memory, buf, sizeof(buf));

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
}
#endif
