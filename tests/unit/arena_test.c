/* The arena: what is handed out, and what becomes of wrong uses.  OBJS: lib sentry/core/arena */
#include "sentry/core/arena.h"

#include <pthread.h>
#include <signal.h>

#include "lib/log.h"
#include "lib/ref.h"
#include "sentry/core/root.h"
#include "tests/unit/test.h"

struct thing {
	uint64_t number;
	char text[120];
	struct ref ref;
};
struct other {
	struct ref ref;
	uint64_t v[7];
};
static SLAB_DEFINE(thing_slab, struct thing);
static SLAB_DEFINE(other_slab, struct other);

struct unit_globals {
	struct thing *things[3];
	uint64_t made;
};
static struct unit_globals *unit RO_AFTER_INIT;
static void unit_init(void)
{
	unit->made++;
}
KERNEL_UNIT("a unit", unit, unit_init);

static char out[16384];

static void (*misuse)(void);

static void child(void)
{
	log_init("test", STDERR_FILENO, LOG_ERROR, LOG_TEXT);
	if (arena_init() == 0)
		misuse();
}

/*
 * Whether fn makes a child abort; what it said is in out.  Each child has an arena of its own:
 * they would share one that is made before the fork, so these tests come first in this file.
 */
static bool aborts(void (*fn)(void))
{
	int status;

	CHECK_EQ(arena_fd(), -1);
	misuse = fn;
	memset(out, 0, sizeof(out));
	status = test_child(child, out, sizeof(out) - 1);
#ifdef SAN_ASAN
	return WIFSIGNALED(status) || WEXITSTATUS(status);
#else
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
#endif
}

static bool says(void (*fn)(void), const char *words)
{
	if (!aborts(fn))
		return false;
#ifdef SAN_ASAN /* sees an access to what is free first */
	if (strstr(out, "use-after-poison"))
		return true;
#endif
	return strstr(out, words) != NULL;
}

static bool zeroed(const void *p, size_t n)
{
	const char *c = p;

	for (size_t i = 0; i < n; i++)
		if (c[i])
			return false;
	return true;
}

static void free_twice(void)
{
	struct thing *t = slab_alloc(&thing_slab);

	slab_free(&thing_slab, t);
	slab_free(&thing_slab, t);
}

/* The first is on the stack by then. */
static void free_twice_later(void)
{
	static struct thing *t[2 * SLAB_DELAY];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = slab_alloc(&thing_slab);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		slab_free(&thing_slab, t[i]);
	slab_free(&thing_slab, t[0]);
}

static void free_inside(void)
{
	slab_free(&thing_slab, (char *)slab_alloc(&thing_slab) + 16);
}

static void free_unaligned(void)
{
	slab_free(&thing_slab, (char *)slab_alloc(&thing_slab) + 1);
}

static void free_anothers(void)
{
	slab_free(&other_slab, slab_alloc(&thing_slab));
}

static void free_never_handed_out(void)
{
	char *t = slab_alloc(&thing_slab);

	slab_free(&thing_slab, t + 100 * thing_slab.stride);
}

static void free_wild(void)
{
	static struct thing here;

	slab_free(&thing_slab, &here);
}

static void free_unused_part(void)
{
	slab_free(&thing_slab, (void *)(ARENA_BASE + ARENA_MAX / 2));
}

static void free_buffer_twice(void)
{
	char *b = buf_alloc(300);

	buf_free(b, 300);
	buf_free(b, 300);
}

static void free_large_twice(void)
{
	char *b = buf_alloc(100000);

	buf_free(b, 100000);
	buf_free(b, 100000);
}

/* Too large to be kept with its memory. */
static void free_huge_twice(void)
{
	char *b = buf_alloc(9UL << 20);

	buf_free(b, 9UL << 20);
	buf_free(b, 9UL << 20);
}

static void free_large_inside(void)
{
	buf_free((char *)buf_alloc(100000) + 65536, 100000);
}

static void free_wrong_size(void)
{
	buf_free(buf_alloc(100000), 10000);
}

TEST(wrong_frees_abort)
{
	CHECK(says(free_twice, "free already"));
	CHECK(says(free_twice_later, "free already"));
	CHECK(says(free_inside, "bad object"));
	CHECK(says(free_unaligned, "bad object"));
	CHECK(says(free_anothers, "bad object"));
	CHECK(says(free_never_handed_out, "free already") || strstr(out, "bad object"));
	CHECK(says(free_wild, "bad object"));
	CHECK(says(free_unused_part, "bad object"));
	CHECK(says(free_buffer_twice, "free already"));
	CHECK(says(free_large_twice, "free already"));
	CHECK(says(free_huge_twice, "free already"));
	CHECK(says(free_large_inside, "bad object"));
	CHECK(says(free_wrong_size, "bad object"));
}

/* Whether the count is the first word or not. */
static void get_late_first(void)
{
	struct other *o = slab_alloc(&other_slab);

	ref_init(&o->ref);
	slab_free(&other_slab, o);
	ref_get(&o->ref);
}

static void get_late_last(void)
{
	struct thing *t = slab_alloc(&thing_slab);

	ref_init(&t->ref);
	slab_free(&thing_slab, t);
	ref_get(&t->ref);
}

static void put_late(void)
{
	struct other *o = slab_alloc(&other_slab);

	ref_init(&o->ref);
	slab_free(&other_slab, o);
	(void)!ref_put(&o->ref);
}

TEST(late_references_abort)
{
	void (*fn[])(void) = {get_late_first, get_late_last, put_late};

	for (size_t i = 0; i < ARRAY_LEN(fn); i++)
		CHECK(aborts(fn[i]));
}

static size_t at;

static void write_late(void)
{
	char *o = slab_alloc(&thing_slab);

	slab_free(&thing_slab, o);
	((volatile char *)o)[at] = 1;
	for (size_t i = 0; i < 2 * SLAB_DELAY; i++)
		slab_free(&thing_slab, slab_alloc(&thing_slab));
	/* No others are free: the stack holds that one. */
	for (size_t i = 0; i < 2 * SLAB_DELAY; i++)
		slab_alloc(&thing_slab);
}

TEST(late_writes_abort)
{
	static const size_t places[] = {0, 7, 8, 100, sizeof(struct thing) - 1};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		at = places[i];
		CHECK(says(write_late, "written after it was freed"));
	}
}

/* Each entry of the list is looked at before it is followed. */
static void corrupt_list(void)
{
	slab_free(&thing_slab, slab_alloc(&thing_slab));
	slab_head(&thing_slab)->free.stack = (uint32_t)at;
	slab_alloc(&thing_slab);
}

static void list_holds_live(void)
{
	static struct thing *t[2 * SLAB_DELAY];
	uint32_t stack;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		t[i] = slab_alloc(&thing_slab);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		slab_free(&thing_slab, t[i]);
	stack = slab_head(&thing_slab)->free.stack;
	slab_alloc(&thing_slab);
	slab_head(&thing_slab)->free.stack = stack;
	slab_alloc(&thing_slab);
}

TEST(a_corrupt_list_aborts)
{
	static const uint32_t numbers[] = {3, 1u << 10 | 1023, 0xffffffff, 0x40000000, 0x20000000};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		at = numbers[i];
		CHECK(says(corrupt_list, "is corrupt"));
	}
	CHECK(says(list_holds_live, "in use"));
}

static void touch_guard(void)
{
	char *last = (char *)unit + sizeof(*unit);

	for (struct slab_head *h = slab_head(slab_table_start); h < slab_head(slab_table_end); h++)
		last = MAX(last, (char *)(h + 1));
	last = (char *)PAGE_ALIGN_UP((uintptr_t)last);
	((volatile char *)last)[-1] = 0; /* behind the units, on their last page */
	fputs("so far", stderr);
	*(volatile char *)last = 1;
}

/* What runs over the end of what the units keep does not reach the objects. */
TEST(a_page_behind_the_root_is_closed)
{
	CHECK_EQ(arena_fd(), -1);
	misuse = touch_guard;
	memset(out, 0, sizeof(out));
	int status = test_child(child, out, sizeof(out) - 1);
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status));
	CHECK(!strncmp(out, "so far", 6));
}

/* As a checkpoint would read it: from the address of the arena and what the headers say. */
TEST(all_is_found_from_the_root)
{
	const struct kernel *k = (const struct kernel *)ARENA_BASE;
	const struct kernel_unit *u = NULL;
	const struct slab_head *h = NULL;
	void *objects[5];

	CHECK_EQ(arena_init(), 0);
	CHECK(k->magic == KERNEL_MAGIC && k->layout == KERNEL_LAYOUT);
	for (uint32_t i = 0; i < k->nunits; i++)
		if (!strcmp(k->unit[i].name, "a unit"))
			u = &k->unit[i];
	CHECK(u && u->globals == unit && u->size == sizeof(*unit));
	CHECK((uintptr_t)unit >= ARENA_BASE && (uintptr_t)unit < ARENA_BASE + k->arena.next);
	CHECK_EQ(unit->made, 1);
	CHECK_EQ(arena_init(), 0); /* once is enough */
	CHECK_EQ(unit->made, 1);
	CHECK((char *)unit >= ro_after_init_end || (char *)unit < ro_after_init_start);
	CHECK((char *)&unit >= ro_after_init_start && (char *)&unit < ro_after_init_end);
	for (int i = 0; i < 5; i++)
		objects[i] = slab_alloc(&other_slab);
	for (uint32_t i = 0; i < k->nslabs; i++) {
		const char *at = (const char *)k + k->heads + (size_t)i * k->head_size;

		if (!strcmp(((const struct slab_head *)at)->name, "struct other"))
			h = (const struct slab_head *)at;
	}
	CHECK(h && h == slab_head(&other_slab) && h->size == sizeof(struct other));
	CHECK_EQ(h->in_use, 5);
	for (int i = 0; i < 5; i++)
		slab_free(&other_slab, objects[i]);
	CHECK_EQ(h->in_use, 0);
}

TEST(objects_are_apart_and_zero)
{
	enum { N = 3000 };
	static struct thing *t[N];
	static uint8_t seen[N];

	CHECK_EQ(arena_init(), 0);
	for (int round = 0; round < 4; round++) {
		for (uint64_t i = 0; i < N; i++) {
			t[i] = slab_alloc(&thing_slab);
			CHECK(t[i] && (uintptr_t)t[i] % 16 == 0);
			CHECK(zeroed(t[i], sizeof(*t[i])));
			memset(t[i], 0xff, sizeof(*t[i]));
			t[i]->number = i;
		}
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < N; i++) {
			CHECK(t[i]->number < N && !seen[t[i]->number]++);
			CHECK(t[i]->text[119] == -1);
		}
		CHECK_EQ(slab_head(&thing_slab)->in_use, N);
		for (int i = 0; i < N; i++)
			slab_free(&thing_slab, t[(i * 7L) % N]);
		CHECK_EQ(slab_head(&thing_slab)->in_use, 0);
	}
	CHECK(slab_head(&thing_slab)->total <= N + SLAB_DELAY);
}

TEST(buffers_of_all_sizes)
{
	CHECK_EQ(arena_init(), 0);
	for (int round = 0; round < 3; round++)
		for (size_t n = 1; n <= 8UL << 20; n = n * 3 / 2 + 1) {
			char *a = buf_alloc(n), *b = buf_alloc(n);

			CHECK(a && b && (a + n <= b || b + n <= a));
			CHECK(zeroed(a, n) && zeroed(b, n));
			memset(a, 0xff, n);
			memset(b, 0xff, n);
			buf_free(a, n);
			buf_free(b, n);
		}
	CHECK(!buf_alloc(1UL << 36));
	CHECK(!buf_alloc(ARENA_MAX));
	CHECK(!buf_alloc((size_t)-1));
}

/* What is freed is not at once somebody else's. */
TEST(reuse_is_delayed)
{
	enum { WAIT = 32 };
	struct other *first;

	CHECK_EQ(arena_init(), 0);
	first = slab_alloc(&other_slab);
	slab_free(&other_slab, first);
	for (int i = 0; i < WAIT; i++) {
		struct other *o = slab_alloc(&other_slab);

		CHECK(o != first);
		slab_free(&other_slab, o);
	}
}

static void *churn(void *arg)
{
	struct thing *t[40] = {NULL};
	uint64_t me = (uintptr_t)arg;

	for (uint64_t i = 0; i < 50000; i++) {
		struct thing **p = &t[(i * 2654435761u) % 40];

		if (*p && (*p)->number != me)
			return arg;
		slab_free(&thing_slab, *p);
		if (!(*p = slab_alloc(&thing_slab)) || (*p)->number)
			return arg;
		(*p)->number = me;
	}
	for (int i = 0; i < 40; i++)
		slab_free(&thing_slab, t[i]);
	return NULL;
}

TEST(threads)
{
	pthread_t t[4];
	void *bad;

	CHECK_EQ(arena_init(), 0);
	for (uintptr_t i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, churn, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		CHECK(bad == NULL);
	}
	CHECK_EQ(slab_head(&thing_slab)->in_use, 0);
}

/* A full arena: NULL, also when all that is left waits in the queue of its slab. */
static uint64_t others_room;
static uint64_t room_of_others(void)
{
	return others_room > arena_excess() ? others_room - arena_excess() : 0;
}

/* What it takes beyond its own share, others have less; when they have none it takes no more. */
TEST(shares_a_limit)
{
	enum { N = 200000 };
	static struct thing *t[N];
	size_t n = 0, more = 0;
	CHECK_EQ(arena_init(), 0);
	uint64_t used = kernel_root()->arena.next - kernel_root()->arena.cold_bytes;
	others_room = 1 << 20;
	arena_set_limit(used + (1 << 20), room_of_others);
	CHECK_EQ(arena_excess(), 0);
	while (n < N && (t[n] = slab_alloc(&thing_slab)))
		n++;
	CHECK(n > 1000 && n < N);
	CHECK(arena_excess() <= 1 << 20 && arena_excess() > 900000);
	void *big = buf_alloc(1 << 20);
	CHECK(!big);
	others_room = 4 << 20;
	CHECK((big = buf_alloc(1 << 20)));
	uint64_t with = arena_excess();
	while (n + more < N && (t[n + more] = slab_alloc(&thing_slab)))
		more++;
	CHECK(more > 1000 && n + more < N);
	/* A large buffer that is freed costs nothing (a few stay as they are). */
	void *huge[8];
	others_room = 64 << 20;
	for (int i = 0; i < 8; i++)
		CHECK((huge[i] = buf_alloc(4 << 20)));
	uint64_t most = arena_excess();
	CHECK(most >= with + (32u << 20));
	for (int i = 0; i < 8; i++)
		buf_free(huge[i], 4 << 20);
	CHECK(arena_excess() <= most - (32u << 20));
	for (int i = 0; i < 8; i++)
		CHECK((huge[i] = buf_alloc(4 << 20)));
	CHECK_EQ(arena_excess(), most);
	for (int i = 0; i < 8; i++)
		buf_free(huge[i], 4 << 20);
	buf_free(big, 1 << 20);
	for (n += more; n > 0;)
		slab_free(&thing_slab, t[--n]);
	arena_set_limit(0, NULL);
	CHECK_EQ(arena_excess(), 0);
}

TEST(exhaustion)
{
	enum { BIG = 1 << 30, N = ARENA_MAX / BIG + 1, SMALL = 100000 };
	static struct other *o[SMALL];
	void *big[N];
	size_t n = 0, small = 0;

	CHECK_EQ(arena_init(), 0);
	while (n < N && (big[n] = buf_alloc(BIG)))
		n++;
	CHECK(n > 0 && n < N);
	for (size_t size = BIG / 2; size > 16384; size /= 2)
		while (buf_alloc(size))
			;
	while (small < SMALL && (o[small] = slab_alloc(&other_slab)))
		small++;
	CHECK(small > 0 && small < SMALL);
	slab_free(&other_slab, o[--small]);
	CHECK(slab_alloc(&other_slab) == o[small]);
	CHECK(!slab_alloc(&other_slab));
	while (n > 0)
		buf_free(big[--n], BIG);
	CHECK(buf_alloc(BIG));
}
