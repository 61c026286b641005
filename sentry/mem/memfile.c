/*
 * The memory file's allocator.
 *
 * Every page has one 32-bit word.  A page in use holds its reference count; a
 * free page belongs to an extent, whose first and last page hold FREE | index
 * of the extent (the pages between hold 0).  So a run that becomes free finds
 * both neighbours in two loads and coalesces in constant time: there is no
 * tree.  Extents hang in lists by the logarithm of their size, a bitmap tells
 * which lists are not empty.
 *
 * There are two kinds of free memory.  IDLE pages are resident: handing them
 * out costs a memset.  HOLE pages were given back to the host (they read as
 * zero), as is everything from `bump` on, which was never used.  The two kinds
 * never coalesce with each other.
 *
 * A page that was handed out fresh may never have been touched; when it comes
 * back, mincore(2) tells whether it is resident.  known[] has a byte a page
 * that says "surely resident", so recycled pages need no such call.
 *
 * All of this lies in one region at META_BASE (state, words, known, extents),
 * sparse, so that a checkpoint can save it as it is.
 */
#include "sentry/mem/memfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/core/arena.h"

#ifdef SAN_TSAN
#define MEMFILE_SIZE (1UL << 37)
#define META_BASE 0x2000000000UL
#else
#define MEMFILE_SIZE (1UL << 40)
#define META_BASE 0x280000000000UL
#endif
#define NPAGES (MEMFILE_SIZE >> PAGE_SHIFT)

#define META_WORDS (META_BASE + (1UL << 20))
#define META_KNOWN (META_WORDS + NPAGES * sizeof(uint32_t))
#define META_EXTENTS (META_KNOWN + NPAGES)
#define META_END (META_EXTENTS + (NPAGES / 2 + 2) * sizeof(struct extent))

#define FREE_TAG 0x80000000u
#define REF_MAX 0x7fffffffu

#define BUCKETS 32
/* How many extents of the request's own size class are tried before a larger class is cut. */
#define FIT_TRIES 8
/* Idle memory above this is given back, TRIM_STEP at a time. */
#define IDLE_MAX (256UL << 20 >> PAGE_SHIFT)
#define TRIM_STEP (8UL << 20 >> PAGE_SHIFT)
/* A shorter recycled run is taken instead of fresh memory from this size on. */
#define RECYCLE_MIN 16u

enum extent_kind { EXTENT_IDLE, EXTENT_HOLE, EXTENT_KINDS };

struct extent {
	uint32_t start, npages; /* in pages */
	uint32_t next, prev;    /* list of the bucket; 0 ends it */
	uint32_t kind;
};

struct memfile_state {
	struct mutex lock; /* guards the rest; idle and used are read without it */
	uint32_t head[EXTENT_KINDS][BUCKETS];
	uint32_t nonempty[EXTENT_KINDS];
	uint32_t bump;              /* first page never used */
	uint32_t ext_free;          /* free descriptors, through next */
	uint32_t ext_fresh;         /* first descriptor never used */
	uint64_t idle, used;        /* pages */
	uint64_t limit, idle_max;   /* of used, 0: none; of idle */
	uint64_t taken, taken_seen; /* runs handed out; as of the last quiet check */
	uint32_t hook_due;          /* the hook has been called, nothing trimmed yet */
};

static void (*idle_hook)(void) RO_AFTER_INIT;

static int memfile_host_fd RO_AFTER_INIT = -1;
static struct memfile_state *const state = (struct memfile_state *)META_BASE;
static uint32_t *const words = (uint32_t *)META_WORDS;
static uint8_t *const known = (uint8_t *)META_KNOWN;
static struct extent *const extents = (struct extent *)META_EXTENTS;

void memfile_set_limit(uint64_t bytes)
{
	mutex_lock(&state->lock);
	state->limit = bytes >> PAGE_SHIFT;
	state->idle_max = bytes ? MIN(IDLE_MAX, state->limit / 16) : IDLE_MAX;
	mutex_unlock(&state->lock);
}

int memfile_fd(void)
{
	return memfile_host_fd;
}

static int map_meta(void)
{
	void *p = host_mmap((void *)META_BASE, PAGE_ALIGN_UP(META_END - META_BASE),
		PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (host_is_err(p))
		return (int)(intptr_t)p;
	mutex_init(&state->lock, LOCK_MEMFILE);
	/* Page 0 stays unused: an offset of 0 is never valid, and words[-1] is never asked. */
	state->bump = 1;
	state->idle_max = IDLE_MAX;
	state->ext_fresh = 1;
	return 0;
}

int memfile_init(void)
{
	int fd = (int)host_syscall2(SYS_memfd_create, "guest-memory",
		MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;
	int err;

	if (fd < 0)
		return fd;
	err = host_ftruncate(fd, (int64_t)MEMFILE_SIZE);
	/* Stubs hold this descriptor: they must not be able to cut it under the sentry's feet. */
	if (!err)
		err = host_fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (!err) {
		p = host_mmap((void *)MEMFILE_BASE, MEMFILE_SIZE, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, fd, 0);
		err = host_is_err(p) ? (int)(intptr_t)p : map_meta();
	}
	if (err) {
		host_close(fd);
		return err;
	}
	memfile_host_fd = fd;
	return 0;
}

/* --- extents --- */

static unsigned int bucket_of(uint64_t npages)
{
	return 31 - (unsigned int)__builtin_clz((uint32_t)npages);
}

static void extent_tag(uint32_t i)
{
	struct extent *e = &extents[i];

	WRITE_ONCE(words[e->start], FREE_TAG | i);
	__atomic_store_n(&words[e->start + e->npages - 1], FREE_TAG | i, __ATOMIC_RELAXED);
}

static void extent_untag(uint32_t i)
{
	struct extent *e = &extents[i];

	WRITE_ONCE(words[e->start], 0);
	__atomic_store_n(&words[e->start + e->npages - 1], 0, __ATOMIC_RELAXED);
}

static void extent_link(uint32_t i) REQUIRES(state->lock)
{
	struct extent *e = &extents[i];
	unsigned int b = bucket_of(e->npages);
	uint32_t *head = &state->head[e->kind][b];

	e->prev = 0;
	e->next = *head;
	if (*head)
		extents[*head].prev = i;
	*head = i;
	state->nonempty[e->kind] |= 1u << b;
}

static void extent_unlink(uint32_t i) REQUIRES(state->lock)
{
	struct extent *e = &extents[i];
	unsigned int b = bucket_of(e->npages);

	if (e->next)
		extents[e->next].prev = e->prev;
	if (e->prev)
		extents[e->prev].next = e->next;
	else
		state->head[e->kind][b] = e->next;
	if (!state->head[e->kind][b])
		state->nonempty[e->kind] &= ~(1u << b);
}

static uint32_t extent_new(void) REQUIRES(state->lock)
{
	uint32_t i = state->ext_free;

	if (i)
		state->ext_free = extents[i].next;
	else
		i = state->ext_fresh++;
	return i;
}

static void extent_free(uint32_t i) REQUIRES(state->lock)
{
	extents[i].next = state->ext_free;
	state->ext_free = i;
}

/* The free extent of this kind that has page as its edge, or 0. */
static uint32_t extent_at(uint32_t page, enum extent_kind kind) REQUIRES(state->lock)
{
	uint32_t w = READ_ONCE(words[page]);

	if (!(w & FREE_TAG) || extents[w & ~FREE_TAG].kind != kind)
		return 0;
	return w & ~FREE_TAG;
}

/* Makes [start, start + n) free memory of a kind and merges it with its neighbours. */
static void extent_insert(uint32_t start, uint32_t n, enum extent_kind kind) REQUIRES(state->lock)
{
	uint32_t left = start > 1 ? extent_at(start - 1, kind) : 0;
	uint32_t right = start + n < state->bump ? extent_at(start + n, kind) : 0;
	uint32_t i;

	if (left) {
		extent_unlink(left);
		extent_untag(left);
		start = extents[left].start;
		n += extents[left].npages;
	}
	if (right) {
		extent_unlink(right);
		extent_untag(right);
		n += extents[right].npages;
		if (left)
			extent_free(right);
	}
	i = left ? left : right ? right : extent_new();
	extents[i] = (struct extent){.start = start, .npages = n, .kind = kind};
	extent_tag(i);
	extent_link(i);
}

/* Cuts n pages off the front of an extent. */
static uint32_t extent_carve(uint32_t i, uint32_t n) REQUIRES(state->lock)
{
	struct extent *e = &extents[i];
	uint32_t start = e->start;

	extent_unlink(i);
	extent_untag(i);
	if (n == e->npages) {
		extent_free(i);
		return start;
	}
	e->start += n;
	e->npages -= n;
	extent_tag(i);
	extent_link(i);
	return start;
}

/* An extent of at least n pages, or 0. */
static uint32_t extent_fit(enum extent_kind kind, uint32_t n) REQUIRES(state->lock)
{
	unsigned int b = bucket_of(n);
	uint32_t larger, i;
	int tries = 0;

	for (i = state->head[kind][b]; i && tries < FIT_TRIES; i = extents[i].next, tries++)
		if (extents[i].npages >= n)
			return i;
	larger = b == 31 ? 0 : state->nonempty[kind] >> (b + 1) << (b + 1);
	return larger ? state->head[kind][__builtin_ctz(larger)] : 0;
}

/* One of the largest extents, or 0. */
static uint32_t extent_largest(enum extent_kind kind) REQUIRES(state->lock)
{
	uint32_t set = state->nonempty[kind];

	return set ? state->head[kind][31 - __builtin_clz(set)] : 0;
}

/* --- allocation --- */

struct run {
	uint32_t start, n;
	bool idle; /* resident, contents to be cleared */
};

static bool take_extent(uint32_t i, uint32_t n, struct run *r) REQUIRES(state->lock)
{
	if (!i)
		return false;
	r->idle = extents[i].kind == EXTENT_IDLE;
	r->n = (uint32_t)MIN(n, extents[i].npages);
	r->start = extent_carve(i, r->n);
	if (r->idle)
		state->idle -= r->n;
	return true;
}

static bool take_fresh(uint32_t n, struct run *r) REQUIRES(state->lock)
{
	if (take_extent(extent_fit(EXTENT_HOLE, n), n, r))
		return true;
	if (NPAGES - state->bump < n)
		return false;
	*r = (struct run){.start = state->bump, .n = n, .idle = false};
	state->bump += n;
	return true;
}

static bool take_some(uint32_t n, struct run *r) REQUIRES(state->lock)
{
	uint32_t big = extent_largest(EXTENT_IDLE);

	if (big && extents[big].npages >= MIN(n, RECYCLE_MIN))
		return take_extent(big, n, r);
	/* So much small change: use it up before memory grows. */
	if (big && state->idle > state->idle_max / 2)
		return take_extent(big, n, r);
	if (take_fresh(n, r))
		return true;
	return take_extent(big, n, r) || take_extent(extent_largest(EXTENT_HOLE), n, r);
}

/* How many more pages may be used: the arena may have had some of them. */
static uint64_t room(void)
{
	uint64_t limit = READ_ONCE(state->limit), used = READ_ONCE(state->used);
	if (!limit)
		return NPAGES;
	used += arena_excess() >> PAGE_SHIFT;
	return used < limit ? limit - used : 0;
}

uint64_t memfile_room(void)
{
	return room() << PAGE_SHIFT;
}

static int take(uint64_t len, bool some, bool dirty, uint64_t *off, uint64_t *got)
{
	uint32_t n = (uint32_t)MIN(len >> PAGE_SHIFT, NPAGES);
	struct run r;
	uint32_t i;
	bool ok;

	BUG_ON(len == 0 || len & (PAGE_SIZE - 1));
	if (len >= MEMFILE_SIZE && !some)
		return -ENOMEM;
	mutex_lock(&state->lock);
	if (some)
		n = (uint32_t)MIN(n, room());
	ok = n && n <= room() &&
	     (take_extent(extent_fit(EXTENT_IDLE, n), n, &r) ||
		     (some ? take_some(n, &r) : take_fresh(n, &r)));
	if (ok) {
		/* Under the lock: a neighbour that is freed now must not see a stale tag. */
		for (i = 0; i < r.n; i++)
			__atomic_store_n(&words[r.start + i], 1, __ATOMIC_RELAXED);
		WRITE_ONCE(state->used, state->used + r.n);
		state->taken++;
	}
	mutex_unlock(&state->lock);
	if (!ok)
		return -ENOMEM;
	*off = (uint64_t)r.start << PAGE_SHIFT;
	*got = (uint64_t)r.n << PAGE_SHIFT;
	if (r.idle && !dirty)
		memset(memfile_ptr(*off), 0, *got);
	else if (dirty && !r.idle)
		memset(&known[r.start], 1, r.n);
	return 0;
}

int memfile_alloc(uint64_t len, uint64_t *off)
{
	uint64_t got;

	return take(len, false, false, off, &got);
}

int memfile_alloc_some(uint64_t want, uint64_t *off, uint64_t *got)
{
	return take(want, true, false, off, got);
}

int memfile_alloc_dirty(uint64_t want, uint64_t *off, uint64_t *got)
{
	return take(want, true, true, off, got);
}

/* --- references --- */

void memfile_ref(uint64_t off, uint64_t len)
{
	uint32_t *w = &words[off >> PAGE_SHIFT], *end = w + (len >> PAGE_SHIFT);
	uint32_t old;

	BUG_ON((off | len) & (PAGE_SIZE - 1) || off >= MEMFILE_SIZE || len > MEMFILE_SIZE - off);
	for (; w < end; w++) {
		old = __atomic_fetch_add(w, 1, __ATOMIC_RELAXED);
		if (unlikely(old == 0 || old >= REF_MAX))
			panic("memory file: page %#lx referenced with count %#x",
				(unsigned long)(w - words), old);
	}
}

void memfile_ref_own(uint64_t off, uint64_t len)
{
	uint32_t *w = &words[off >> PAGE_SHIFT], *end = w + (len >> PAGE_SHIFT);

	for (; w < end; w++) {
		/* The only reference is the caller's: nobody else can change the word. */
		if (likely(READ_ONCE(*w) == 1))
			WRITE_ONCE(*w, 2);
		else
			memfile_ref((uint64_t)(w - words) << PAGE_SHIFT, PAGE_SIZE);
	}
}

uint32_t memfile_refs(uint64_t off)
{
	return __atomic_load_n(&words[off >> PAGE_SHIFT], __ATOMIC_ACQUIRE);
}

bool memfile_resident(uint64_t off, uint64_t len)
{
	return !memchr(&known[off >> PAGE_SHIFT], 0, len >> PAGE_SHIFT);
}

static bool trim_step(uint64_t keep);

static void insert_free(uint32_t start, uint32_t n, bool resident)
{
	bool much, tell;

	mutex_lock(&state->lock);
	extent_insert(start, n, resident ? EXTENT_IDLE : EXTENT_HOLE);
	WRITE_ONCE(state->used, state->used - n);
	if (resident)
		state->idle += n;
	much = state->idle > state->idle_max;
	tell = idle_hook && !state->hook_due && state->idle > MEMFILE_IDLE_LOW >> PAGE_SHIFT;
	if (tell)
		state->hook_due = 1;
	mutex_unlock(&state->lock);
	if (tell)
		idle_hook();
	if (much)
		trim_step(state->idle_max);
}

/* [start, start + n) is no longer used: finds out what of it is resident. */
static void free_unknown(uint32_t start, uint32_t n)
{
	uint8_t vec[512];
	uint32_t i, j, chunk;

	for (; n; start += chunk, n -= chunk) {
		chunk = MIN(n, (uint32_t)sizeof(vec));
		if (host_syscall3(SYS_mincore, memfile_ptr((uint64_t)start << PAGE_SHIFT),
			    (size_t)chunk << PAGE_SHIFT, vec) < 0)
			memset(vec, 1, sizeof(vec));
		for (i = 0; i < chunk; i = j) {
			for (j = i + 1; j < chunk && (vec[j] & 1) == (vec[i] & 1); j++)
				;
			memset(&known[start + i], vec[i] & 1, j - i);
			insert_free(start + i, j - i, vec[i] & 1);
		}
	}
}

static void free_run(uint32_t start, uint32_t n)
{
	uint32_t i, j;

	for (i = 0; i < n; i = j) {
		for (j = i + 1; j < n && known[start + j] == known[start + i]; j++)
			;
		if (known[start + i])
			insert_free(start + i, j - i, true);
		else
			free_unknown(start + i, j - i);
	}
}

void memfile_unref(uint64_t off, uint64_t len)
{
	uint32_t page = (uint32_t)(off >> PAGE_SHIFT), end = page + (uint32_t)(len >> PAGE_SHIFT);
	uint32_t first = page, old;

	BUG_ON((off | len) & (PAGE_SIZE - 1) || off >= MEMFILE_SIZE || len > MEMFILE_SIZE - off);
	for (; page < end; page++) {
		/* Who drops the last reference has it to himself: no atomic operation. */
		old = __atomic_load_n(&words[page], __ATOMIC_ACQUIRE);
		if (old == 1)
			WRITE_ONCE(words[page], 0);
		else
			old = __atomic_fetch_sub(&words[page], 1, __ATOMIC_ACQ_REL);
		if (unlikely(old == 0 || old > REF_MAX))
			panic("memory file: page %#x dropped with count %#x", page, old);
		if (old == 1)
			continue;
		if (first < page)
			free_run(first, page - first);
		first = page + 1;
	}
	if (first < end)
		free_run(first, end - first);
}

/* --- trimming --- */

/* Gives back at most TRIM_STEP pages; false if there is nothing to do (any more). */
static bool trim_step(uint64_t keep)
{
	struct run r = {0};
	bool taken;
	long err;

	mutex_lock(&state->lock);
	taken = state->idle > keep && take_extent(extent_largest(EXTENT_IDLE),
					      (uint32_t)MIN(state->idle - keep, TRIM_STEP), &r);
	mutex_unlock(&state->lock);
	if (!taken)
		return false;
	memset(&known[r.start], 0, r.n);
	err = host_fallocate(memfile_host_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(int64_t)r.start << PAGE_SHIFT, (int64_t)r.n << PAGE_SHIFT);
	if (err)
		memset(&known[r.start], 1, r.n);
	mutex_lock(&state->lock);
	extent_insert(r.start, r.n, err ? EXTENT_IDLE : EXTENT_HOLE);
	if (err)
		state->idle += r.n;
	mutex_unlock(&state->lock);
	return !err;
}

void memfile_trim(uint64_t keep)
{
	while (trim_step(keep >> PAGE_SHIFT))
		;
}

void memfile_set_idle_hook(void (*fn)(void))
{
	idle_hook = fn;
}

bool memfile_trim_if_quiet(uint64_t keep)
{
	mutex_lock(&state->lock);
	bool quiet = state->taken == state->taken_seen;
	state->taken_seen = state->taken;
	if (quiet)
		state->hook_due = 0;
	mutex_unlock(&state->lock);
	if (quiet)
		memfile_trim(keep);
	return quiet;
}

uint64_t memfile_used(void)
{
	return READ_ONCE(state->used) << PAGE_SHIFT;
}

uint64_t memfile_idle(void)
{
	return READ_ONCE(state->idle) << PAGE_SHIFT;
}
