/* The memory file's allocator.  OBJS: lib platform/current sentry/core sentry/mem
 * sentry/mm */
#include "tests/unit/test.h"

#include "tests/unit/mm_fake.h"

static uint64_t rnd_state = 12345;
static uint64_t rnd(uint64_t n)
{
	rnd_state = rnd_state * 6364136223846793005UL + 1442695040888963407UL;
	return (rnd_state >> 33) % n;
}

static bool zeroed(uint64_t off, uint64_t len)
{
	const uint64_t *p = memfile_ptr(off),
		       *e = (const uint64_t *)((char *)memfile_ptr(off) + len);

	for (; p < e; p++)
		if (*p)
			return false;
	return true;
}

TEST(recycles_and_zeroes)
{
	uint64_t a, b;

	fake_init();
	CHECK_EQ(memfile_alloc(65536, &a), 0);
	CHECK(!memfile_resident(a, 65536));
	memset(memfile_ptr(a), 0xaa, 65536);
	CHECK_EQ(memfile_used(), 65536);
	memfile_unref(a, 65536);
	CHECK_EQ(memfile_used(), 0);
	CHECK_EQ(memfile_idle(), 65536);
	CHECK_EQ(memfile_alloc(65536, &b), 0);
	CHECK_EQ(a, b);
	CHECK(memfile_resident(b, 65536));
	CHECK(zeroed(b, 65536));
	memfile_unref(b, 65536);
}

TEST(untouched_memory_is_not_idle)
{
	uint64_t a, idle;

	fake_init();
	memfile_trim(0);
	idle = memfile_idle();
	CHECK_EQ(idle, 0);
	CHECK_EQ(memfile_alloc(1 << 20, &a), 0);
	*(char *)memfile_ptr(a + 8192) = 1;
	memfile_unref(a, 1 << 20);
	CHECK_EQ(memfile_idle(), 4096);
	memfile_trim(0);
	CHECK_EQ(memfile_idle(), 0);
}

TEST(coalesces)
{
	uint64_t off[64], whole, i;

	fake_init();
	memfile_trim(0);
	for (i = 0; i < 64; i++) {
		uint64_t got;
		CHECK_EQ(memfile_alloc_dirty(4096, &off[i], &got), 0);
		memset(memfile_ptr(off[i]), 1, 4096);
	}
	for (i = 0; i < 64; i += 2)
		memfile_unref(off[i], 4096);
	for (i = 1; i < 64; i += 2)
		memfile_unref(off[i], 4096);
	CHECK_EQ(memfile_idle(), 64 * 4096);
	CHECK_EQ(memfile_alloc(64 * 4096, &whole), 0);
	CHECK_EQ(memfile_idle(), 0);
	memfile_unref(whole, 64 * 4096);
}

TEST(references)
{
	uint64_t a;

	fake_init();
	CHECK_EQ(memfile_alloc(16384, &a), 0);
	memfile_ref(a + 4096, 4096);
	CHECK_EQ(memfile_refs(a + 4096), 2);
	memfile_unref(a, 16384);
	CHECK_EQ(memfile_used(), 4096);
	CHECK_EQ(memfile_refs(a + 4096), 1);
	memfile_unref(a + 4096, 4096);
	CHECK_EQ(memfile_used(), 0);
}

TEST(random_operations)
{
	enum { N = 400 };
	static uint64_t off[N], len[N];
	uint64_t i, k, total = 0;

	fake_init();
	for (i = 0; i < 100000; i++) {
		k = rnd(N);
		if (len[k]) {
			uint64_t *p = memfile_ptr(off[k]);
			CHECK_EQ(p[0], k + 1);
			CHECK_EQ(p[len[k] / 8 - 1], k + 1);
			if (rnd(3) == 0 && len[k] > 4096) {
				memfile_unref(off[k] + len[k] - 4096, 4096);
				len[k] -= 4096;
				total -= 4096;
				((uint64_t *)memfile_ptr(off[k]))[len[k] / 8 - 1] = k + 1;
				continue;
			}
			memfile_unref(off[k], len[k]);
			total -= len[k];
			len[k] = 0;
		} else {
			uint64_t want = (1 + rnd(rnd(8) ? 16 : 600)) * 4096, got = want;
			int kind = (int)rnd(3);
			if (kind == 0)
				CHECK_EQ(memfile_alloc(want, &off[k]), 0);
			else if (kind == 1)
				CHECK_EQ(memfile_alloc_some(want, &off[k], &got), 0);
			else
				CHECK_EQ(memfile_alloc_dirty(want, &off[k], &got), 0);
			CHECK(got >= 4096 && got <= want);
			len[k] = got;
			total += got;
			if (kind < 2 && rnd(16) == 0)
				CHECK(zeroed(off[k], got));
			((uint64_t *)memfile_ptr(off[k]))[0] = k + 1;
			((uint64_t *)memfile_ptr(off[k]))[got / 8 - 1] = k + 1;
		}
		CHECK_EQ(memfile_used(), total);
		if (rnd(5000) == 0)
			memfile_trim(rnd(1 << 20));
	}
	for (k = 0; k < N; k++)
		if (len[k])
			memfile_unref(off[k], len[k]);
	CHECK_EQ(memfile_used(), 0);
	memfile_trim(0);
	CHECK_EQ(memfile_idle(), 0);
}
