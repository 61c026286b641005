#include "lib/stats.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/hostcall.h"
#include "lib/log.h"

__thread struct stats_block *stats_mine;

/* Shared by threads that get no block of their own, for want of memory: they lose counts. */
static struct stats_block spare = {.used = 1};
static struct stats_block *blocks = &spare; /* append-only */
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const char *const names[STAT_NR] = {
#define STAT_NAME(id, name, what) [id] = name,
	STATS(STAT_NAME)
#undef STAT_NAME
};

/* At the end of a thread.  Should a later destructor count, it gets a block again, and this
 * is called once more. */
static void release(void *arg)
{
	struct stats_block *b = arg;

	stats_mine = NULL;
	__atomic_store_n(&b->used, 0, __ATOMIC_RELEASE);
}

static void make_key(void)
{
	/* Once, when the first thread counts; there are 1,024 keys and a handful of users. */
	if (pthread_key_create(&key, release))
		panic("no thread-specific key for the counters");
}

static struct stats_block *find_unused(void)
{
	struct stats_block *b = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);

	for (; b; b = b->next) {
		uint32_t zero = 0;

		if (!READ_ONCE(b->used) && __atomic_compare_exchange_n(&b->used, &zero, 1, false,
						   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return b;
	}
	return NULL;
}

static bool add_blocks(void)
{
	struct stats_block *b = host_mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t n = PAGE_SIZE / sizeof(*b);

	if (host_is_err(b))
		return false;
	for (size_t i = 0; i + 1 < n; i++)
		b[i].next = &b[i + 1];
	b[n - 1].next = READ_ONCE(blocks);
	while (!__atomic_compare_exchange_n(&blocks, &b[n - 1].next, b, false, __ATOMIC_RELEASE,
		__ATOMIC_RELAXED))
		;
	return true;
}

__attribute__((noinline)) struct stats_block *stats_attach(void)
{
	struct stats_block *b;

	pthread_once(&once, make_key);
	while (!(b = find_unused()))
		if (!add_blocks())
			return stats_mine = &spare;
	stats_mine = b;
	pthread_setspecific(key, b);
	return b;
}

void stats_read(uint64_t out[STAT_NR])
{
	const struct stats_block *b = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);

	memset(out, 0, STAT_NR * sizeof(*out));
	for (; b; b = b->next)
		for (size_t i = 0; i < STAT_NR; i++)
			out[i] += READ_ONCE(b->v[i]);
}

const char *stats_name(enum stat_id s)
{
	return names[s];
}
