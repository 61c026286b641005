/*
 * The arena: a sparse memfd at ARENA_BASE, handed out in page runs that only
 * grow; each run (a chunk) belongs for good to one slab, so a stale pointer can
 * only ever see its own type.  Buffers are slabs too, one for each power of two
 * up to 16 KiB; larger ones are chunks of one object, in a slab for each order.
 *
 * The arena begins with the root object (root.h), the headers of all slabs and
 * what the units keep; behind those is a page that nobody may touch.
 *
 * What the allocator believes is not in the objects.  The same file holds, and
 * maps at an address that the host chooses, one struct chunk for each 16 KiB of
 * the arena and a word (a link) for each object.  An object's number is
 *	granule of its chunk << INDEX_BITS | index in the chunk.
 * Its link is LINK_FRESH until it is first handed out, LINK_LIVE while it is in
 * use, else the number of the next free object.  So a write through a stale
 * pointer cannot lead the allocator astray, and a second free is always seen.
 *
 * Free objects are all zero.  They are zeroed when they are freed, while they
 * are in the cache, and looked through when they are handed out again: who
 * finds something else aborts, for somebody has a stale pointer and wrote.  The
 * buffers above ZERO_MAX hold bytes, and are zeroed when handed out instead:
 * to look through them costs as much as to clear them.
 *
 * An object that is freed waits in a ring of its slab until SLAB_DELAY others were freed after it
 * (fewer of large types), then lies on a stack: the short way from a free to somebody else's use of
 * the same memory is closed, and what is used again is still warm.  An alloc and a free, with the
 * object written to in between, take 42 ns for 48 bytes, 49 for 360, 54 for 960; with the link in
 * the object and zeroing at alloc they took 36, 40 and 45.  Of that the ring is 1 to 2.  With one
 * queue of all free objects it is 70 to 280 where 20,000 are free, as each comes cold.
 *
 * We do not hold objects back for a grace period, until each thread of the sentry has been at its
 * user boundary.  A thread that sleeps in a call has not been there: it would hold back all that is
 * freed while it sleeps, for as long as its guest likes, so there would have to be a limit that a
 * guest can reach.  And the cost is that of the queue above, as thousands of objects would wait.
 *
 * With SAN_ASAN free objects are poisoned, the ring is a megabyte long, large buffers go through
 * one too, and there are red zones: behind each object, and behind the bytes that were asked for in
 * a buffer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/core/root.h"

#define GRANULE (16UL << 10) /* chunks are whole ones */
#define CHUNK_OBJECTS 32
#define BUF_MIN_SHIFT 4  /* 16 bytes */
#define BUF_MAX_SHIFT 14 /* 16 KiB: larger buffers have a chunk each */
#define RUN_SHIFTS (BUF_MAX_SHIFT + 1 + RUN_SLABS)
#define WARM_MAX (1UL << 20)
#define ZERO_MAX 1024

#define INDEX_BITS 10
#define INDEX_MASK ((1u << INDEX_BITS) - 1)
enum { LINK_FRESH, LINK_END, LINK_LIVE, LINK_FIRST }; /* from LINK_FIRST on: an object */

#define GRANULES (ARENA_MAX / GRANULE)
#define CHUNKS_BYTES PAGE_ALIGN_UP(GRANULES * sizeof(struct chunk))
#define LINKS_BYTES (ARENA_MAX / 16 * sizeof(uint32_t))

#ifdef SAN_ASAN
#include <sanitizer/asan_interface.h>
#define poison(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define poison(p, n) ((void)(p), (void)(n))
#define unpoison(p, n) ((void)(p), (void)(n))
#endif

struct chunk {
	uint32_t slab;  /* its place in slab_table + 1; 0: not handed out */
	uint32_t first; /* its first granule; the others' records are the same */
	uint32_t links; /* where those of its objects begin */
	uint32_t count; /* objects */
};

/* How this process has the arena mapped; the rest of it is in the root object. */
static struct {
	int fd;
	struct chunk *chunks;
	uint32_t *links;
	uint64_t own; /* arena_set_limit */
	uint64_t (*room)(void);
} arena RO_AFTER_INIT = {.fd = -1};

#define state (&kernel_root()->arena)

extern const struct kernel_unit_def kernel_units_start[], kernel_units_end[]; /* sections.lds */

#define BUF(shift, name)                                                                           \
	[(shift)-BUF_MIN_SHIFT] = SLAB_INIT(name, 1ul << (shift), 1ul << (shift) > ZERO_MAX, 0)
static const struct slab buf_slabs[] SLAB_TABLE = {BUF(4, "buf-16"), BUF(5, "buf-32"),
	BUF(6, "buf-64"), BUF(7, "buf-128"), BUF(8, "buf-256"), BUF(9, "buf-512"),
	BUF(10, "buf-1k"), BUF(11, "buf-2k"), BUF(12, "buf-4k"), BUF(13, "buf-8k"),
	BUF(14, "buf-16k")};

/* Large buffers; the free ones either have their memory still (WARM_MAX bytes at most, of all
 * sizes: state->warm) or have given it back.  The locks of these slabs are not used: all is under
 * state->lock. */
#define RUN(shift)                                                                                 \
	[(shift)-BUF_MAX_SHIFT - 1] = {.name = "buf-large",                                        \
		.size = 1ul << (shift),                                                            \
		.stride = 1ul << (shift),                                                          \
		.inverse = 1,                                                                      \
		.delay = SLAB_DELAY_OF(1ul << (shift))}
static const struct slab run_slabs[RUN_SLABS] SLAB_TABLE = {RUN(15), RUN(16), RUN(17), RUN(18),
	RUN(19), RUN(20), RUN(21), RUN(22), RUN(23), RUN(24), RUN(25), RUN(26), RUN(27), RUN(28),
	RUN(29), RUN(30), RUN(31), RUN(32), RUN(33), RUN(34), RUN(35)};

/* --- start --- */

static int arena_map(int fd)
{
	void *p = host_mmap((void *)ARENA_BASE, ARENA_MAX, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
	uint8_t *m;

	if (host_is_err(p))
		return (int)(intptr_t)p;
	m = host_mmap(NULL, CHUNKS_BYTES + LINKS_BYTES, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, fd, ARENA_MAX);
	if (host_is_err(m)) {
		host_munmap(p, ARENA_MAX);
		return (int)(intptr_t)m;
	}
	arena.chunks = (struct chunk *)m;
	arena.links = (uint32_t *)(m + CHUNKS_BYTES);
	return 0;
}

/* The headers of all slabs; returns what lies behind them. */
static uint8_t *make_heads(struct kernel *k)
{
	struct slab_head *end = slab_head(slab_table_end);

	k->heads = ARENA_HEADS;
	k->head_size = sizeof(struct slab_head);
	k->nslabs = (uint32_t)(slab_table_end - slab_table_start);
	for (const struct slab *s = slab_table_start; s < slab_table_end; s++) {
		struct slab_head *h = slab_head(s);

		mutex_init(&h->lock, LOCK_SLAB);
		memcpy(h->name, s->name, sizeof(h->name));
		h->size = s->size;
	}
	return (uint8_t *)end;
}

/* What the units keep, from p on; returns what lies behind it. */
static uint8_t *make_units(struct kernel *k, uint8_t *p)
{
	for (const struct kernel_unit_def *d = kernel_units_start; d < kernel_units_end; d++) {
		struct kernel_unit *u = &k->unit[k->nunits++];

		BUG_ON(k->nunits > KERNEL_UNITS_MAX);
		memcpy(u->name, d->name, sizeof(u->name));
		u->size = d->size;
		u->globals = *d->globals = p;
		p += ROUND_UP(d->size, 64);
	}
	return p;
}

static int make_root(void)
{
	struct kernel *k = kernel_root();
	uint8_t *end = make_units(k, make_heads(k));
	uint8_t *guard = (uint8_t *)PAGE_ALIGN_UP((uintptr_t)end);

	mutex_init(&k->arena.lock, LOCK_ARENA);
	k->arena.next = ROUND_UP((uintptr_t)guard + PAGE_SIZE - ARENA_BASE, GRANULE);
	k->magic = KERNEL_MAGIC;
	k->layout = KERNEL_LAYOUT;
	return host_mprotect(guard, PAGE_SIZE, PROT_NONE);
}

_Static_assert(sizeof(struct kernel) <= ARENA_HEADS, "the root object outgrew its place");

int arena_init(void)
{
	if (arena.fd >= 0)
		return 0;
	int fd = (int)host_syscall2(SYS_memfd_create, "runsc-kernel", MFD_CLOEXEC);
	if (fd < 0)
		return fd;
	int r = host_ftruncate(fd, ARENA_MAX + CHUNKS_BYTES + LINKS_BYTES);
	if (r == 0)
		r = arena_map(fd);
	if (r < 0) {
		host_close(fd);
		return r;
	}
	arena.fd = fd;
	r = make_root();
	for (const struct kernel_unit_def *d = kernel_units_start; d < kernel_units_end; d++)
		if (d->init)
			d->init();
	return r;
}

int arena_fd(void)
{
	return arena.fd;
}

void arena_set_limit(uint64_t own, uint64_t (*room)(void))
{
	arena.own = own;
	arena.room = room;
}

uint64_t arena_excess(void)
{
	uint64_t used = READ_ONCE(state->next) - READ_ONCE(state->cold_bytes);
	return arena.room && used > arena.own ? used - arena.own : 0;
}

/* What large buffers that have given their memory back did not cost counts again when they are
 * used: more, or less. */
static void cold(int64_t bytes) REQUIRES(state->lock)
{
	WRITE_ONCE(state->cold_bytes, state->cold_bytes + (uint64_t)bytes);
}

/* May it take as much from what the memory file could have? */
static bool may_take(uint64_t bytes) REQUIRES(state->lock)
{
	uint64_t used = state->next - state->cold_bytes + bytes;
	return !arena.room || used <= arena.own || bytes <= arena.room();
}

static uint32_t slab_number(const struct slab *s)
{
	return (uint32_t)(s - slab_table_start) + 1;
}

/* A fresh, zero chunk from the end, of bytes (whole granules); NULL when the arena is full. */
static void *arena_grow(const struct slab *s, uint64_t bytes) REQUIRES(state->lock)
{
	uint32_t first = (uint32_t)(state->next / GRANULE);

	if (bytes > ARENA_MAX - state->next || !may_take(bytes))
		return NULL;
	const struct chunk c = {.slab = slab_number(s),
		.first = first,
		.links = (uint32_t)state->next_link,
		.count = (uint32_t)(bytes / s->stride)};
	for (uint32_t g = 0; g < bytes / GRANULE; g++)
		arena.chunks[first + g] = c;
	state->next_link += c.count;
	WRITE_ONCE(state->next, state->next + bytes);
	return (void *)(ARENA_BASE + first * GRANULE);
}

static bool slab_refill(const struct slab *s, struct slab_head *h) REQUIRES(h->lock)
{
	uint64_t bytes = ROUND_UP(s->stride * CHUNK_OBJECTS, GRANULE);
	mutex_lock(&state->lock);
	void *p = arena_grow(s, bytes);
	mutex_unlock(&state->lock);
	if (!p)
		return false;
	poison(p, bytes);
	h->fresh = p;
	h->fresh_end = h->fresh + bytes;
	return true;
}

static void *object_of(const struct slab *s, uint32_t number)
{
	return (void *)(ARENA_BASE + (number >> INDEX_BITS) * GRANULE +
			(number & INDEX_MASK) * s->stride);
}

/* The number of an object that s is to have handed out, and its link. */
static uint32_t number_of(const struct slab *s, const void *obj, uint32_t **link)
{
	uintptr_t off = (uintptr_t)obj - ARENA_BASE;
	const struct chunk *c = &arena.chunks[off / GRANULE];
	uint64_t in, index;

	if (unlikely(off >= ARENA_MAX || c->slab != slab_number(s)))
		panic("slab_free(%s): bad object %p", s->name, obj);
	in = off - c->first * GRANULE;
	index = in / 16 * s->inverse >> 32;
	if (unlikely(index >= c->count || index * s->stride != in))
		panic("slab_free(%s): bad object %p", s->name, obj);
	*link = &arena.links[c->links + index];
	return c->first << INDEX_BITS | (uint32_t)index;
}

/*
 * The same for an object that is to be freed.  Its link is looked at before anything is done to
 * the object, which may be somebody else's by now; pool_put looks once more, under the lock.
 */
static uint32_t live_number(const struct slab *s, const void *obj, uint32_t **link)
{
	uint32_t number = number_of(s, obj, link);

	if (unlikely(__atomic_load_n(*link, __ATOMIC_RELAXED) != LINK_LIVE))
		panic("slab_free(%s): %p is free already", s->name, obj);
	return number;
}

/* The link of an object that is in a pool.  A number that is none of s is a fault of ours, or
 * the work of a wild write. */
static uint32_t *link_of(const struct slab *s, uint32_t number)
{
	const struct chunk *c = &arena.chunks[number >> INDEX_BITS];

	if (unlikely(number >> INDEX_BITS >= GRANULES || c->slab != slab_number(s) ||
		     (number & INDEX_MASK) >= c->count))
		panic("slab %s: its free list is corrupt (%#x)", s->name, number);
	return &arena.links[c->links + (number & INDEX_MASK)];
}

/* The lock that a pool or stack belongs to is held from here on. */
static void stack_push(uint32_t *stack, uint32_t number, uint32_t *link)
{
	*link = *stack ? *stack : LINK_END;
	*stack = number;
}

static void check_live(const struct slab *s, uint32_t number, const uint32_t *link)
{
	if (unlikely(*link != LINK_LIVE))
		panic("slab_free(%s): %p is free already", s->name, object_of(s, number));
}

static void pool_put(const struct slab *s, struct slab_pool *p, uint32_t number, uint32_t *link)
{
	check_live(s, number, link);
	*link = LINK_END;
	if (s->delay) {
		uint32_t oldest = p->newest[p->pos];

		p->newest[p->pos] = number;
		p->pos = p->pos + 1 < s->delay ? p->pos + 1 : 0;
		if (!oldest)
			return;
		number = oldest;
		link = link_of(s, number);
	}
	stack_push(&p->stack, number, link);
}

static void *stack_take(const struct slab *s, uint32_t *stack)
{
	uint32_t number = *stack, *link;

	if (!number)
		return NULL;
	link = link_of(s, number);
	if (unlikely(*link == LINK_LIVE || *link == LINK_FRESH))
		panic("slab %s: its free list holds an object in use", s->name);
	*stack = *link == LINK_END ? 0 : *link;
	*link = LINK_LIVE;
	return object_of(s, number);
}

/* One of those that wait: the arena is full. */
static void *pool_take_early(const struct slab *s, struct slab_pool *p)
{
	for (uint32_t i = 0; i < s->delay; i++) {
		uint32_t *oldest = &p->newest[(p->pos + i) % s->delay];

		if (!*oldest)
			continue;
		p->stack = *oldest; /* empty, or there were no need */
		*oldest = 0;
		return stack_take(s, &p->stack);
	}
	return NULL;
}

/* n bytes, rounded up to 16: what lies behind them is in a red zone, if there are any. */
__attribute__((no_sanitize("address"))) static bool all_zero(const void *obj, size_t n)
{
	typedef uint64_t __attribute__((vector_size(16))) vec;
	const vec *v = obj, *end = v + (n + 15) / 16;
	vec sum = {0};

	for (; v + 4 <= end; v += 4)
		sum |= (v[0] | v[1]) | (v[2] | v[3]);
	for (; v < end; v++)
		sum |= *v;
	return !(sum[0] | sum[1]);
}

/* From the stack, else one that was never used, else one of the newest. */
static void *slab_take(const struct slab *s, struct slab_head *h, bool *recycled) REQUIRES(h->lock)
{
	void *obj = stack_take(s, &h->free.stack);
	uint32_t *link;

	*recycled = obj != NULL;
	if (obj)
		return obj;
	if ((size_t)(h->fresh_end - h->fresh) < s->stride && !slab_refill(s, h)) {
		*recycled = true;
		return pool_take_early(s, &h->free);
	}
	obj = h->fresh;
	h->fresh += s->stride;
	h->total++;
	number_of(s, obj, &link);
	*link = LINK_LIVE;
	return obj;
}

void slab_set_shares(uint64_t memory)
{
	for (const struct slab *s = slab_table_start; s < slab_table_end; s++)
		if (s->share) {
			uint64_t n = memory / s->share / s->stride;
			WRITE_ONCE(slab_head(s)->limit, MAX(n, (uint64_t)CHUNK_OBJECTS));
		}
}

void *slab_alloc(const struct slab *s)
{
	struct slab_head *h = slab_head(s);
	bool recycled = false;

	mutex_lock(&h->lock);
	bool enough = h->limit && h->in_use >= h->limit;
	void *obj = enough ? NULL : slab_take(s, h, &recycled);
	/* It is looked at without the lock. */
	__atomic_store_n(&h->in_use, h->in_use + (obj != NULL), __ATOMIC_RELAXED);
	mutex_unlock(&h->lock);
	if (unlikely(!obj)) {
		log_warn("%s: no memory for %s", enough ? "its limit is reached" : "arena full",
			s->name);
		return NULL;
	}
	unpoison(obj, s->size);
	if (!recycled)
		return obj;
	if (s->zero_late)
		memset(obj, 0, s->size);
	else if (unlikely(!all_zero(obj, s->size)))
		panic("slab %s: %p was written after it was freed", s->name, obj);
	return obj;
}

void slab_free(const struct slab *s, void *obj)
{
	struct slab_head *h = slab_head(s);
	uint32_t number, *link;

	if (!obj)
		return;
	number = live_number(s, obj, &link);
	if (!s->zero_late)
		memset(obj, 0, s->size);
	poison(obj, s->stride);
	mutex_lock(&h->lock);
	pool_put(s, &h->free, number, link);
	__atomic_store_n(&h->in_use, h->in_use - 1, __ATOMIC_RELAXED);
	mutex_unlock(&h->lock);
}

static int size_shift(size_t n)
{
	return n <= 16 ? BUF_MIN_SHIFT : 64 - __builtin_clzl(n - 1);
}

static void *run_alloc(int shift)
{
	const struct slab *s = &run_slabs[shift - BUF_MAX_SHIFT - 1];
	struct slab_head *h = slab_head(s);
	uint32_t *link;
	void *warm, *p;

	mutex_lock(&state->lock);
	warm = stack_take(s, &state->warm[s - run_slabs]);
	if (warm)
		state->warm_bytes -= s->size;
	p = warm;
	if (!p && may_take(s->size)) {
		p = stack_take(s, &h->free.stack);
		if (p)
			cold(-(int64_t)s->size);
	}
	if (!p && (p = arena_grow(s, s->size))) {
		number_of(s, p, &link);
		*link = LINK_LIVE;
	}
	if (!p && may_take(s->size)) {
		p = pool_take_early(s, &h->free);
		if (p)
			cold(-(int64_t)s->size);
	}
	mutex_unlock(&state->lock);
	if (p)
		unpoison(p, s->size);
	if (warm)
		memset(p, 0, s->size);
	return p;
}

/* A large run gives its memory back, the range itself is kept; but a few stay as they are, for
 * what is allocated and freed again and again. */
static void run_free(void *p, int shift)
{
	const struct slab *s = &run_slabs[shift - BUF_MAX_SHIFT - 1];
	uint32_t *link, number = live_number(s, p, &link);
	bool warm;

	poison(p, s->size);
	mutex_lock(&state->lock);
	warm = s->delay == 0 && state->warm_bytes + s->size <= WARM_MAX;
	if (warm) {
		state->warm_bytes += s->size;
		check_live(s, number, link);
		stack_push(&state->warm[s - run_slabs], number, link);
	}
	mutex_unlock(&state->lock);
	if (warm)
		return;
	host_madvise(p, s->size, MADV_REMOVE);
	mutex_lock(&state->lock);
	pool_put(s, &slab_head(s)->free, number, link);
	cold((int64_t)s->size);
	mutex_unlock(&state->lock);
}

void *buf_alloc(size_t n)
{
	int shift = size_shift(n);
	void *p;

	if (shift >= RUN_SHIFTS)
		return NULL;
	p = shift <= BUF_MAX_SHIFT ? slab_alloc(&buf_slabs[shift - BUF_MIN_SHIFT])
				   : run_alloc(shift);
	if (p)
		poison((uint8_t *)p + n, (1UL << shift) - n);
	return p;
}

void buf_free(void *p, size_t n)
{
	if (!p)
		return;
	int shift = size_shift(n);
	unpoison(p, 1UL << shift);
	if (shift <= BUF_MAX_SHIFT)
		slab_free(&buf_slabs[shift - BUF_MIN_SHIFT], p);
	else
		run_free(p, shift);
}

char *buf_strndup(const char *s, size_t n)
{
	char *p = buf_alloc(n + 1);
	if (p && n) /* s may be NULL if there is nothing */
		memcpy(p, s, n);
	return p;
}

size_t arena_stats(struct slab_stat *out, size_t n)
{
	size_t count = 0;

	for (const struct slab *s = slab_table_start; s < slab_table_end; s++) {
		const struct slab_head *h = slab_head(s);
		uint64_t total = READ_ONCE(h->total);

		if (!total)
			continue;
		if (count < n)
			out[count] =
				(struct slab_stat){s->name, s->size, READ_ONCE(h->in_use), total};
		count++;
	}
	return count;
}
