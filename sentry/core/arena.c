/*
 * The arena: a sparse memfd at ARENA_BASE, handed out in page runs that only
 * grow; each run belongs for good to one slab.  Freed objects go back to their
 * slab's chain, so a stale pointer can only ever see its own type.
 *
 * Buffers are slabs too, one for each power of two up to BUF_MAX_CLASS; larger
 * ones are page runs kept on per-order free lists (they hold bytes only).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/arena.h"

#define CHUNK_MIN (16UL << 10)
#define CHUNK_OBJECTS 32
#define BUF_MIN_SHIFT 4  /* 16 bytes */
#define BUF_MAX_SHIFT 14 /* 16 KiB: larger buffers are page runs */
#define WARM_MAX (1UL << 20)
#define RUN_ORDERS 24	 /* up to 2^23 pages */

static struct {
	int fd;
	struct mutex lock; /* next, runs */
	uint64_t next;	   /* bytes handed out so far */
	void *runs[RUN_ORDERS]; /* free; no memory behind them but for the link */
	void *warm[RUN_ORDERS]; /* free, with their memory: WARM_MAX bytes at most */
	size_t warm_bytes;
	struct slab *slabs; /* pushed once each, under lock */
} arena = {.fd = -1, .lock = MUTEX_INIT(LOCK_ARENA)};

static struct slab buf_slabs[BUF_MAX_SHIFT + 1];
static const char *const buf_names[BUF_MAX_SHIFT + 1] = {[4] = "buf-16", [5] = "buf-32",
	[6] = "buf-64", [7] = "buf-128", [8] = "buf-256", [9] = "buf-512", [10] = "buf-1k",
	[11] = "buf-2k", [12] = "buf-4k", [13] = "buf-8k", [14] = "buf-16k"};

int arena_init(void)
{
	if (arena.fd >= 0)
		return 0;
	int fd = (int)host_syscall2(SYS_memfd_create, "runsc-kernel", MFD_CLOEXEC);
	if (fd < 0)
		return fd;
	int r = host_ftruncate(fd, ARENA_MAX);
	if (r < 0)
		return r;
	void *p = host_mmap((void *)ARENA_BASE, ARENA_MAX, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
	if (host_is_err(p)) {
		host_close(fd);
		return (int)(intptr_t)p;
	}
	for (int s = BUF_MIN_SHIFT; s <= BUF_MAX_SHIFT; s++)
		buf_slabs[s] = (struct slab){.name = buf_names[s], .size = 1u << s,
			.lock = MUTEX_INIT(LOCK_SLAB)};
	arena.next = PAGE_SIZE; /* nothing lives at offset 0 */
	arena.fd = fd;
	return 0;
}

int arena_fd(void)
{
	return arena.fd;
}

/* Fresh, zero pages from the end; NULL when the arena is full. */
static void *arena_grow(uint64_t bytes) REQUIRES(arena.lock)
{
	if (bytes > ARENA_MAX - arena.next)
		return NULL;
	void *p = (void *)(ARENA_BASE + arena.next);
	arena.next += bytes;
	return p;
}

static bool slab_refill(struct slab *s) REQUIRES(s->lock)
{
	uint64_t bytes = PAGE_ALIGN_UP((uint64_t)s->size * CHUNK_OBJECTS);
	bytes = MAX(bytes, CHUNK_MIN);
	mutex_lock(&arena.lock);
	void *p = arena_grow(bytes);
	if (p && s->total == 0) {
		s->next = arena.slabs;
		arena.slabs = s;
	}
	mutex_unlock(&arena.lock);
	if (!p)
		return false;
	s->fresh = p;
	s->fresh_end = s->fresh + bytes;
	return true;
}

static uint32_t slab_stride(const struct slab *s)
{
	return ROUND_UP(MAX(s->size, (uint32_t)sizeof(void *)), 16u);
}

void *slab_alloc(struct slab *s)
{
	uint32_t stride = slab_stride(s);
	mutex_lock(&s->lock);
	void *obj = s->free;
	bool recycled = obj != NULL;
	if (recycled) {
		s->free = *(void **)obj;
	} else {
		if ((size_t)(s->fresh_end - s->fresh) < stride && !slab_refill(s)) {
			mutex_unlock(&s->lock);
			log_warn("arena full: no memory for %s", s->name);
			return NULL;
		}
		obj = s->fresh;
		s->fresh += stride;
		s->total++;
	}
	s->in_use++;
	mutex_unlock(&s->lock);
	if (recycled)
		memset(obj, 0, s->size);
	return obj;
}

void slab_free(struct slab *s, void *obj)
{
	if (!obj)
		return;
	uintptr_t a = (uintptr_t)obj;
	if (unlikely(a < ARENA_BASE || a >= ARENA_BASE + ARENA_MAX || (a & 15)))
		panic("slab_free(%s): bad object %p", s->name, obj);
	mutex_lock(&s->lock);
	*(void **)obj = s->free;
	s->free = obj;
	s->in_use--;
	mutex_unlock(&s->lock);
}

static int size_shift(size_t n)
{
	return n <= 16 ? BUF_MIN_SHIFT : 64 - __builtin_clzl(n - 1);
}

static void *run_pop(void **list)
{
	void *p = *list;

	if (p)
		*list = *(void **)p;
	return p;
}

static void *run_alloc(int order)
{
	size_t size = PAGE_SIZE << order;

	mutex_lock(&arena.lock);
	void *warm = run_pop(&arena.warm[order]);
	void *p = warm ? warm : run_pop(&arena.runs[order]);
	if (warm)
		arena.warm_bytes -= size;
	if (!p)
		p = arena_grow(size);
	mutex_unlock(&arena.lock);
	if (warm)
		memset(p, 0, size);
	else if (p)
		*(void **)p = NULL; /* all but the link is zero */
	return p;
}

/* A large run gives its memory back, the range itself is kept; but a few stay as they are, for
 * what is allocated and freed again and again. */
static void run_free(void *p, int order)
{
	size_t size = PAGE_SIZE << order;

	mutex_lock(&arena.lock);
	bool warm = arena.warm_bytes + size <= WARM_MAX;
	if (warm) {
		arena.warm_bytes += size;
		*(void **)p = arena.warm[order];
		arena.warm[order] = p;
	}
	mutex_unlock(&arena.lock);
	if (warm)
		return;
	host_madvise(p, size, MADV_REMOVE);
	mutex_lock(&arena.lock);
	*(void **)p = arena.runs[order];
	arena.runs[order] = p;
	mutex_unlock(&arena.lock);
}

void *buf_alloc(size_t n)
{
	if (n > (PAGE_SIZE << (RUN_ORDERS - 1)))
		return NULL;
	int shift = size_shift(n);
	if (shift <= BUF_MAX_SHIFT)
		return slab_alloc(&buf_slabs[shift]);
	return run_alloc(shift - PAGE_SHIFT);
}

void buf_free(void *p, size_t n)
{
	if (!p)
		return;
	int shift = size_shift(n);
	if (shift <= BUF_MAX_SHIFT) {
		slab_free(&buf_slabs[shift], p);
		return;
	}
	run_free(p, shift - PAGE_SHIFT);
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
	mutex_lock(&arena.lock);
	for (struct slab *s = arena.slabs; s; s = s->next) {
		if (count < n)
			out[count] = (struct slab_stat){s->name, s->size,
				__atomic_load_n(&s->in_use, __ATOMIC_RELAXED),
				__atomic_load_n(&s->total, __ATOMIC_RELAXED)};
		count++;
	}
	mutex_unlock(&arena.lock);
	return count;
}
