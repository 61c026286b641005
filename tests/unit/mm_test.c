/* Address spaces: the calls, fork, invalidation.  OBJS: lib platform/current
 * sentry/core sentry/mem sentry/mm */
#include "tests/unit/test.h"

#include <time.h>

#include "tests/unit/mm_fake.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)
#define PG 4096UL

static struct ctx c;
static struct mm *mm;

static uint64_t rnd_state = 99;
static uint64_t rnd(uint64_t n)
{
	rnd_state = rnd_state * 6364136223846793005UL + 1442695040888963407UL;
	return (rnd_state >> 33) % n;
}

static uint64_t used_before;

static void begin(void)
{
	size_t len;

	fake_init();
	vdso_vvar(&len);
	used_before = memfile_used();
	if (mm_create(&mm))
		abort();
	fake_ctx(&c, mm);
}

static void end(void)
{
	mm_put(mm);
	CHECK_EQ(memfile_used(), used_before);
	CHECK_EQ(fake_as_live, 0);
	CHECK_EQ(ffile_live, 0);
}

static int peek(struct mm *m, uint64_t addr)
{
	uint8_t b;
	int sig = guest_rw(&c, m, addr, &b, 1, false);

	return sig ? -sig : b;
}

static int poke(struct mm *m, uint64_t addr, uint8_t v)
{
	return guest_rw(&c, m, addr, &v, 1, true);
}

TEST(mmap_errors)
{
	struct ffile *r, *w;

	begin();
	r = ffile_new(8192, true, FMODE_READ);
	w = ffile_new(8192, true, FMODE_WRITE);
	CHECK_EQ(do_mmap(&c, mm, 0, 0, RW, ANON, NULL, 0), -EINVAL);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, RW, MAP_ANONYMOUS, NULL, 0), -EINVAL);
	CHECK_EQ(do_mmap(&c, mm, 0, -1UL, RW, ANON, NULL, 0), -ENOMEM);
	CHECK_EQ(do_mmap(&c, mm, 0, 1UL << 47, RW, ANON, NULL, 0), -ENOMEM);
	CHECK_EQ(do_mmap(&c, mm, 0x10001, PG, RW, ANON | MAP_FIXED, NULL, 0), -EINVAL);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, RW, ANON | MAP_FIXED, NULL, 0), -EPERM);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, RW, MAP_ANONYMOUS | MAP_SHARED_VALIDATE, NULL, 0), -EINVAL);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, r, 0),
		-EOPNOTSUPP);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, RW, MAP_SHARED, r, 0), -EACCES);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_PRIVATE, w, 0), -EACCES);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_PRIVATE, r, -4096UL), -EOVERFLOW);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_PRIVATE, r, 100), -EINVAL);
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_PRIVATE | MAP_GROWSDOWN, r, 0), -EINVAL);
	r->no_mmap = true;
	CHECK_EQ(do_mmap(&c, mm, 0, PG, PROT_READ, MAP_PRIVATE, r, 0), -ENODEV);
	r->no_mmap = false;
	CHECK(do_mmap(&c, mm, 0x200000, PG, RW, ANON | MAP_FIXED_NOREPLACE, NULL, 0) == 0x200000);
	CHECK_EQ(do_mmap(&c, mm, 0x200000, PG, RW, ANON | MAP_FIXED_NOREPLACE, NULL, 0), -EEXIST);
	fake_limits.lim[RLIMIT_MEMLOCK].soft = 0;
	CHECK_EQ(do_mmap(&c, mm, 0, PG, RW, ANON | MAP_LOCKED, NULL, 0), -EPERM);
	fake_limits.lim[RLIMIT_MEMLOCK].soft = PG;
	CHECK_EQ(do_mmap(&c, mm, 0, 2 * PG, RW, ANON | MAP_LOCKED, NULL, 0), -EAGAIN);
	fake_limits.lim[RLIMIT_AS].soft = 4 * PG;
	CHECK_EQ(do_mmap(&c, mm, 0, 4 * PG, RW, ANON, NULL, 0), -ENOMEM);
	fake_limits.lim[RLIMIT_AS].soft = RLIM_INF;
	CHECK_EQ(mm_munmap(mm, 1, PG), -EINVAL);
	CHECK_EQ(mm_munmap(mm, 0, 0), -EINVAL);
	CHECK_EQ(mm_munmap(mm, 0, PG), 0);
	file_put(&r->f);
	file_put(&w->f);
	end();
}

TEST(placement)
{
	int64_t a, b, d;

	begin();
	a = do_mmap(&c, mm, 0, 4 * PG, PROT_READ, ANON, NULL, 0);
	b = do_mmap(&c, mm, 0, 4 * PG, RW, ANON, NULL, 0);
	CHECK_EQ(b, a - 4 * (int64_t)PG);
	CHECK_EQ(mm_munmap(mm, (uint64_t)a, 4 * PG), 0);
	CHECK_EQ(do_mmap(&c, mm, 0, 8 * PG, PROT_READ, ANON, NULL, 0), b - 8 * (int64_t)PG);
	d = do_mmap(&c, mm, 0, 4 * PG, PROT_READ, ANON, NULL, 0);
	CHECK_EQ(d, a);
	CHECK_EQ(do_mmap(&c, mm, 0x12345678, PG, RW, ANON, NULL, 0), 0x12345000);
	a = do_mmap(&c, mm, 0, PG, RW, ANON | MAP_32BIT, NULL, 0);
	CHECK(a >= 0x40000000 && a < 0x80000000L);
	end();
}

TEST(anonymous_memory_and_merging)
{
	int64_t a, b;

	begin();
	a = do_mmap(&c, mm, 0, 1 << 20, RW, ANON, NULL, 0);
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(peek(mm, (uint64_t)a), 0);
	CHECK_EQ(poke(mm, (uint64_t)a + 5000, 7), 0);
	CHECK_EQ(peek(mm, (uint64_t)a + 5000), 7);
	b = do_mmap(&c, mm, 0, 1 << 20, RW, ANON, NULL, 0);
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(mm_munmap(mm, (uint64_t)a + 4096, 4096), 0);
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(peek(mm, (uint64_t)a + 5000), -SIGSEGV);
	CHECK_EQ(mm_mprotect(&c, mm, (uint64_t)b, 1 << 20, PROT_READ), 0);
	CHECK_EQ(poke(mm, (uint64_t)b, 1), SIGSEGV);
	CHECK_EQ(mm_mprotect(&c, mm, (uint64_t)b, 2 << 20, PROT_READ), -ENOMEM);
	CHECK_EQ(poke(mm, (uint64_t)a, 1), SIGSEGV); /* the part before the hole was changed */
	CHECK_EQ(mm_mprotect(&c, mm, 0x1000, 4096, PROT_READ), -ENOMEM);
	CHECK_EQ(mm_mprotect(&c, mm, (uint64_t)b, 4096, 0x100), -EINVAL);
	CHECK_EQ(mm_mprotect(&c, mm, (uint64_t)b, 4096, PROT_READ | PROT_GROWSDOWN), -EINVAL);
	end();
}

TEST(stack_grows)
{
	int64_t a;
	int sig, code;

	begin();
	a = do_mmap(&c, mm, 0x700000000000, 4 * PG, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, NULL, 0);
	CHECK_EQ(poke(mm, (uint64_t)a - 100 * PG, 1), 0);
	CHECK_EQ(poke(mm, (uint64_t)a - (7UL << 20), 1), 0);
	CHECK_EQ(poke(mm, (uint64_t)a - (9UL << 20), 1), SIGSEGV);
	CHECK_EQ(mm_fault(&c, mm, 0x5000000, PL_READ, &sig, &code), -EFAULT);
	CHECK_EQ(code, SEGV_MAPERR);
	end();
}

TEST(private_file)
{
	struct ffile *f;
	int64_t a;
	int i;

	for (i = 0; i < 2; i++) {
		begin();
		f = ffile_new(40 * PG, i == 0, FMODE_READ);
		if (f->host)
			host_pwrite(handle_fd(f->host), "hello", 5, 8192);
		a = do_mmap(&c, mm, 0, 48 * PG, RW, MAP_PRIVATE, f, 0);
		CHECK(a > 0);
		CHECK_EQ(peek(mm, (uint64_t)a + 8192), f->host ? 'h' : 0);
		CHECK_EQ(poke(mm, (uint64_t)a + 8193, 'E'), 0);
		CHECK_EQ(peek(mm, (uint64_t)a + 8193), 'E');
		CHECK_EQ(peek(mm, (uint64_t)a + 8194), f->host ? 'l' : 0);
		CHECK_EQ(peek(mm, (uint64_t)a + 41 * PG), -SIGBUS);
		/* Hole punched: the copy stays, the shared page goes. */
		mappable_invalidate(&f->m, 0, 40 * PG, false);
		CHECK_EQ(peek(mm, (uint64_t)a + 8193), 'E');
		if (f->host)
			host_ftruncate(handle_fd(f->host), 0);
		f->size = 0;
		mappable_invalidate(&f->m, 0, -1UL, true);
		CHECK_EQ(peek(mm, (uint64_t)a + 8193), -SIGBUS);
		file_put(&f->f);
		end();
	}
}

TEST(shared_file_and_msync)
{
	struct ffile *f;
	int64_t a, b;
	char buf[2];

	begin();
	f = ffile_new(4 * PG, true, FMODE_READ | FMODE_WRITE);
	a = do_mmap(&c, mm, 0, 4 * PG, RW, MAP_SHARED, f, 0);
	b = do_mmap(&c, mm, 0, 4 * PG, PROT_READ, MAP_SHARED, f, 0);
	CHECK_EQ(poke(mm, (uint64_t)a + PG, 9), 0);
	CHECK_EQ(peek(mm, (uint64_t)b + PG), 9);
	host_pread(handle_fd(f->host), buf, 1, PG);
	CHECK_EQ(buf[0], 9);
	CHECK_EQ(uaccess_copyout(&c, UADDR(a + 2 * (int64_t)PG), "xy", 2), 0);
	CHECK_EQ(uaccess_copyin(&c, buf, UADDR(b + 2 * (int64_t)PG), 2), 0);
	CHECK_EQ(buf[1], 'y');
	CHECK_EQ(mm_msync(&c, mm, (uint64_t)a, 4 * PG, MS_SYNC), 0);
	CHECK_EQ(mm_msync(&c, mm, (uint64_t)a, 4 * PG, MS_SYNC | MS_ASYNC), -EINVAL);
	CHECK_EQ(mm_msync(&c, mm, (uint64_t)a + 1, PG, MS_SYNC), -EINVAL);
	CHECK_EQ(mm_msync(&c, mm, 0x10000, PG, MS_SYNC), -ENOMEM);
	CHECK_EQ(mm_mlock(&c, mm, (uint64_t)a, PG, 0), 0);
	CHECK_EQ(mm_msync(&c, mm, (uint64_t)a, PG, MS_INVALIDATE), -EBUSY);
	file_put(&f->f);
	end();
}

TEST(fork_and_cow)
{
	struct mm *child;
	struct ctx cc;
	int64_t a, s, d, w;
	int i;

	for (i = 0; i < 2; i++) {
		fake_no_fork = i;
		begin();
		a = do_mmap(&c, mm, 0, 1 << 20, RW, ANON, NULL, 0);
		s = do_mmap(&c, mm, 0, 1 << 20, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
		d = do_mmap(&c, mm, 0, PG, RW, ANON, NULL, 0);
		w = do_mmap(&c, mm, 0, PG, RW, ANON, NULL, 0);
		CHECK_EQ(mm_madvise(&c, mm, (uint64_t)d, PG, MADV_DONTFORK), 0);
		CHECK_EQ(mm_madvise(&c, mm, (uint64_t)w, PG, MADV_WIPEONFORK), 0);
		poke(mm, (uint64_t)a, 1);
		poke(mm, (uint64_t)s, 1);
		poke(mm, (uint64_t)d, 1);
		poke(mm, (uint64_t)w, 1);
		CHECK_EQ(mm_fork(mm, &child), 0);
		fake_ctx(&cc, child);
		CHECK_EQ(peek(child, (uint64_t)a), 1);
		CHECK_EQ(peek(child, (uint64_t)d), -SIGSEGV);
		CHECK_EQ(peek(child, (uint64_t)w), 0);
		CHECK_EQ(peek(mm, (uint64_t)w), 1);
		poke(child, (uint64_t)a, 2);
		poke(child, (uint64_t)s, 2);
		CHECK_EQ(peek(mm, (uint64_t)a), 1);
		CHECK_EQ(peek(mm, (uint64_t)s), 2);
		CHECK_EQ(uaccess_copyout(&c, UADDR(a), "\3", 1), 0);
		CHECK_EQ(peek(child, (uint64_t)a), 2);
		CHECK_EQ(peek(mm, (uint64_t)a), 3);
		mm_put(child);
		CHECK_EQ(poke(mm, (uint64_t)a + 70000, 4), 0);
		end();
	}
	fake_no_fork = false;
}

TEST(mremap_forms)
{
	int64_t a, s;
	uint64_t out;

	begin();
	do_mmap(&c, mm, 0, 1UL << 30, PROT_NONE, ANON, NULL, 0); /* in the way above */
	a = do_mmap(&c, mm, 0, 8 * PG, RW, ANON, NULL, 0);
	poke(mm, (uint64_t)a, 1);
	poke(mm, (uint64_t)a + 7 * PG, 8);
	CHECK_EQ(mm_mremap(&c, mm, (uint64_t)a, 8 * PG, 16 * PG, 0, 0, &out), -ENOMEM);
	CHECK_EQ(mm_mremap(&c, mm, (uint64_t)a, 8 * PG, 4 * PG, 0, 0, &out), 0);
	CHECK_EQ(peek(mm, (uint64_t)a + 7 * PG), -SIGSEGV);
	CHECK_EQ(mm_mremap(&c, mm, (uint64_t)a, 4 * PG, 8 * PG, 0, 0, &out), 0);
	CHECK_EQ(peek(mm, (uint64_t)a + 7 * PG), 0);
	CHECK_EQ(mm_mremap(&c, mm, (uint64_t)a, 8 * PG, 2048 * PG, MREMAP_MAYMOVE, 0, &out), 0);
	CHECK(out != (uint64_t)a);
	CHECK_EQ(peek(mm, out), 1);
	CHECK_EQ(peek(mm, (uint64_t)a), -SIGSEGV);
	CHECK_EQ(mm_mremap(&c, mm, out, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, 0x40000000, &out),
		0);
	CHECK_EQ(out, 0x40000000);
	CHECK_EQ(peek(mm, out), 1);
	CHECK_EQ(mm_mremap(&c, mm, out, PG, PG, MREMAP_MAYMOVE | 4, 0x50000000, &out), 0);
	CHECK_EQ(out, 0x50000000);
	CHECK_EQ(peek(mm, out), 1);
	CHECK_EQ(peek(mm, 0x40000000), 0);
	CHECK_EQ(mm_mremap(&c, mm, out, 0, PG, MREMAP_MAYMOVE, 0, &out), -EINVAL);
	CHECK_EQ(mm_mremap(&c, mm, out, PG, 0, MREMAP_MAYMOVE, 0, &out), -EINVAL);
	CHECK_EQ(mm_mremap(&c, mm, out, PG, PG, MREMAP_FIXED, 0, &out), -EINVAL);
	CHECK_EQ(mm_mremap(&c, mm, out + 1, PG, PG, 0, 0, &out), -EINVAL);
	CHECK_EQ(mm_mremap(&c, mm, 0x10000, PG, PG, 0, 0, &out), -EFAULT);
	CHECK_EQ(mm_mremap(&c, mm, out, 2 * PG, 4 * PG, 0, 0, &out), -EFAULT);
	CHECK_EQ(mm_mremap(&c, mm, out, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, out, &out), -EINVAL);
	s = do_mmap(&c, mm, 0, 4 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
	poke(mm, (uint64_t)s + PG, 5);
	CHECK_EQ(mm_mremap(&c, mm, (uint64_t)s, 0, 4 * PG, MREMAP_MAYMOVE, 0, &out), 0);
	CHECK_EQ(peek(mm, out + PG), 5);
	poke(mm, out, 6);
	CHECK_EQ(peek(mm, (uint64_t)s), 6);
	end();
}

TEST(brk_and_advice)
{
	uint64_t start, a;
	uint8_t vec[4];

	begin();
	mm->start_brk = mm->brk = start = 0x10000000;
	CHECK_EQ(mm_brk(&c, mm, 0), start);
	CHECK_EQ(mm_brk(&c, mm, start + 10000), start + 10000);
	CHECK_EQ(poke(mm, start + 12000, 1), 0);
	CHECK_EQ(poke(mm, start + 12288, 1), SIGSEGV);
	CHECK_EQ(mm_brk(&c, mm, start + 5), start + 5);
	CHECK_EQ(poke(mm, start + 4096, 1), SIGSEGV);
	fake_limits.lim[RLIMIT_DATA].soft = 8192;
	CHECK_EQ(mm_brk(&c, mm, start + 8193), start + 5);
	fake_limits.lim[RLIMIT_DATA].soft = RLIM_INF;
	a = (uint64_t)do_mmap(&c, mm, 0, 4 * PG, RW, ANON, NULL, 0);
	poke(mm, a, 3);
	CHECK_EQ(mm_mincore(mm, a, 1, vec), 0);
	CHECK_EQ(vec[0], 1);
	CHECK_EQ(mm_mincore(mm, 0x5000, 1, vec), -ENOMEM);
	CHECK_EQ(mm_madvise(&c, mm, a, 4 * PG, MADV_DONTNEED), 0);
	CHECK_EQ(mm_mincore(mm, a, 4, vec), 0);
	CHECK_EQ(vec[0] | vec[1] | vec[2] | vec[3], 0);
	CHECK_EQ(peek(mm, a), 0);
	CHECK_EQ(mm_madvise(&c, mm, a, 64 * PG, MADV_DONTNEED), 0 == mm->map_count ? 0 : -ENOMEM);
	CHECK_EQ(mm_madvise(&c, mm, a, PG, 77), -EINVAL);
	CHECK_EQ(mm_madvise(&c, mm, a + 1, PG, MADV_NORMAL), -EINVAL);
	CHECK_EQ(mm_mlock(&c, mm, a, PG, 0), 0);
	CHECK_EQ(mm_madvise(&c, mm, a, PG, MADV_DONTNEED), -EINVAL);
	CHECK_EQ(mm_munlock(mm, a, PG), 0);
	fake_limits.lim[RLIMIT_MEMLOCK].soft = PG;
	CHECK_EQ(mm_mlock(&c, mm, a, 2 * PG, 0), -ENOMEM);
	CHECK_EQ(mm_mlock(&c, mm, a + 100, 100, 0), 0);
	CHECK_EQ(mm_mlockall(&c, mm, 0), -EINVAL);
	CHECK_EQ(mm_mlockall(&c, mm, MCL_CURRENT), -ENOMEM);
	CHECK_EQ(mm_munlockall(mm), 0);
	CHECK_EQ(mm->locked_pages, 0);
	end();
}

TEST(shared_memory_punched)
{
	uint64_t s;

	begin();
	s = (uint64_t)do_mmap(&c, mm, 0, 64 * PG, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
	poke(mm, s + PG, 3);
	CHECK_EQ(mm_madvise(&c, mm, s, 64 * PG, MADV_DONTNEED), 0);
	CHECK_EQ(peek(mm, s + PG), 3);
	CHECK_EQ(mm_madvise(&c, mm, s, 64 * PG, MADV_REMOVE), 0);
	CHECK_EQ(peek(mm, s + PG), 0);
	end();
}

TEST(maps_text)
{
	char buf[8192], expect[400];
	uint64_t pos = 0, a;
	struct ffile *f;

	begin();
	f = ffile_new(4 * PG, true, FMODE_READ);
	do_mmap(&c, mm, 0x400000, PG, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, f, PG);
	mm->start_brk = mm->brk = 0x10000000;
	mm_brk(&c, mm, 0x10001000);
	a = (uint64_t)do_mmap(&c, mm, 0, PG, RW, ANON, NULL, 0);
	ssize_t n = mm_show_maps(mm, &pos, false, NULL, buf, sizeof(buf));
	CHECK(n > 0);
	buf[n] = 0;
	snprintf(expect, sizeof(expect),
		"00400000-00401000 r-xp 00001000 00:00 0 %33s\n"
		"10000000-10001000 rw-p 00000000 00:00 0 %33s[heap]\n%lx-%lx rw-p 00000000 00:00 0 "
		"\n",
		"", "", a, a + PG);
	CHECK_EQ(strcmp(buf, expect), 0);
	CHECK_EQ(mm_show_maps(mm, &pos, false, NULL, buf, sizeof(buf)), 0);
	pos = 0;
	CHECK(mm_show_maps(mm, &pos, true, NULL, buf, sizeof(buf)) > 500);
	file_put(&f->f);
	end();
}

TEST(futex_keys)
{
	struct futex_key k1, k2;
	uint64_t a, s;

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0, PG, RW, ANON, NULL, 0);
	s = (uint64_t)do_mmap(&c, mm, 0, PG, RW, MAP_SHARED | MAP_ANONYMOUS, NULL, 0);
	CHECK_EQ(mm_futex_key(&c, mm, UADDR(a), false, &k1), 0);
	CHECK_EQ(k1.off, a);
	CHECK_EQ(mm_futex_key(&c, mm, UADDR(s + 4), true, &k2), 0);
	CHECK_EQ(k2.off, 4);
	CHECK_EQ(mm_futex_key(&c, mm, UADDR(0x5000), true, &k2), -EFAULT);
	end();
}

/* --- random operations against a model of the bytes --- */

#define MODEL_BASE 0x60000000UL
#define MODEL_PAGES 512

struct model {
	struct mm *mm;
	int prot[MODEL_PAGES]; /* -1: not mapped */
	uint32_t val[MODEL_PAGES];
};

static void model_rw(struct model *m, uint64_t page, struct ctx *cx)
{
	uint64_t addr = MODEL_BASE + page * PG + (rnd(2) ? 4092 : 16);
	uint32_t v, want;
	int err;

	cx->mm = m->mm;
	addr &= ~3UL;
	addr = MODEL_BASE + page * PG + 256;
	if (rnd(2)) {
		v = (uint32_t)rnd(1 << 30);
		err = rnd(2) ? uaccess_copyout(cx, UADDR(addr), &v, 4)
			     : guest_rw(cx, m->mm, addr, &v, 4, true);
		CHECK_EQ(!err, m->prot[page] >= 0 && (m->prot[page] & PROT_WRITE));
		if (!err)
			m->val[page] = v;
		return;
	}
	err = rnd(2) ? uaccess_copyin(cx, &v, UADDR(addr), 4)
		     : guest_rw(cx, m->mm, addr, &v, 4, false);
	CHECK_EQ(!err, m->prot[page] > 0);
	want = m->val[page];
	if (!err)
		CHECK_EQ(v, want);
}

static void model_op(struct model *m)
{
	uint64_t p = rnd(MODEL_PAGES), n = 1 + rnd(rnd(4) ? 20 : 200), i, q;
	uint64_t addr = MODEL_BASE + p * PG, out;
	static const int prots[] = {PROT_NONE, PROT_READ, RW, RW, RW};
	int prot = prots[rnd(5)], err;
	bool all = true;

	n = MIN(n, MODEL_PAGES - p);
	switch (rnd(6)) {
	case 0:
		CHECK_EQ(do_mmap(&c, m->mm, addr, n * PG, prot, ANON | MAP_FIXED, NULL, 0),
			(int64_t)addr);
		for (i = p; i < p + n; i++)
			m->prot[i] = prot, m->val[i] = 0;
		break;
	case 1:
		CHECK_EQ(mm_munmap(m->mm, addr, n * PG), 0);
		for (i = p; i < p + n; i++)
			m->prot[i] = -1;
		break;
	case 2:
		err = mm_mprotect(&c, m->mm, addr, n * PG, prot);
		for (i = p; i < p + n && m->prot[i] >= 0; i++)
			m->prot[i] = prot;
		CHECK_EQ(err, i == p + n ? 0 : -ENOMEM);
		break;
	case 3:
		err = mm_madvise(&c, m->mm, addr, n * PG, MADV_DONTNEED);
		for (i = p; i < p + n; i++) {
			all &= m->prot[i] >= 0;
			m->val[i] = 0;
		}
		CHECK_EQ(err, all ? 0 : -ENOMEM);
		break;
	case 4:
		n = MIN(n, 8ul);
		q = rnd(MODEL_PAGES - n);
		if (p + n > MODEL_PAGES || (p + n > q && q + n > p))
			break;
		err = mm_mremap(&c, m->mm, addr, n * PG, n * PG, MREMAP_MAYMOVE | MREMAP_FIXED,
			MODEL_BASE + q * PG, &out);
		if (m->prot[p] < 0) {
			CHECK_EQ(err, -EFAULT);
			break;
		}
		for (i = 0; i < n; i++)
			m->prot[q + i] = -1; /* unmapped in any case */
		if (err) {
			CHECK_EQ(err, -EFAULT);
			break;
		}
		for (i = 0; i < n; i++) {
			m->prot[q + i] = m->prot[p + i];
			m->val[q + i] = m->val[p + i];
			m->prot[p + i] = -1;
		}
		break;
	}
}

TEST(random_operations)
{
	enum { MMS = 6 };
	static struct model models[MMS];
	uint64_t i, j, k;
	struct ctx cx;

	begin();
	fake_ctx(&cx, mm);
	memset(models, 0, sizeof(models));
	models[0].mm = mm;
	for (i = 0; i < MODEL_PAGES; i++)
		models[0].prot[i] = -1;
	for (i = 0; i < 300000; i++) {
		k = rnd(MMS);
		if (!models[k].mm)
			continue;
		c.mm = models[k].mm;
		if (rnd(400) == 0) {
			j = 1 + rnd(MMS - 1);
			if (j == k)
				continue;
			if (models[j].mm)
				mm_put(models[j].mm);
			fake_no_fork = rnd(2);
			models[j] = models[k];
			CHECK_EQ(mm_fork(models[k].mm, &models[j].mm), 0);
		} else if (rnd(6) == 0) {
			model_op(&models[k]);
		} else {
			model_rw(&models[k], rnd(MODEL_PAGES), &cx);
		}
	}
	fake_no_fork = false;
	for (k = 1; k < MMS; k++)
		if (models[k].mm)
			mm_put(models[k].mm);
	end();
}

/* --- what it costs --- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

TEST(costs)
{
	uint64_t a, v, i, size = 64UL << 20;
	struct mm *child;
	double t;
	int sig, code;

	begin();
	a = (uint64_t)do_mmap(&c, mm, 0, size, RW, ANON, NULL, 0);
	CHECK_EQ(uaccess_copyin(&c, &v, UADDR(a), 8), 0);
	t = now();
	for (i = 0; i < 10000000; i++)
		if (uaccess_copyin(&c, &v, UADDR(a + 64), 8))
			abort();
	printf("copyin 8 bytes: %.1f ns\n", (now() - t) / 1e7);
	t = now();
	for (i = 0; i < size; i += 65536)
		mm_fault(&c, mm, a + i, PL_WRITE, &sig, &code);
	printf("fault (sequential, 64 MiB): %.0f ns each, %ld maps\n", (now() - t) / (size / 65536),
		fake_maps);
	t = now();
	CHECK_EQ(mm_fork(mm, &child), 0);
	printf("fork of 64 MiB: %.0f us (fake platform included)\n", (now() - t) / 1e3);
	t = now();
	mm_put(child);
	printf("its end: %.0f us\n", (now() - t) / 1e3);
	end();
}
