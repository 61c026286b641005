/*
 * The kernel-state arena: one memory file mapped at ARENA_BASE that holds all
 * guest-visible kernel state: the root object (core/root.h), the headers of the
 * slabs, what each unit keeps, and behind them objects in type-segregated slabs.
 *
 * Rules for what lives here (docs/ARCHITECTURE.md, "Kernel state is data"):
 *  - no function pointers: objects carry a small type number, and tables of
 *    operations are registered at start-up;
 *  - no libc heap blocks, no pthread objects, no host descriptors (handle_t);
 *  - pointers to other arena objects are fine: the arena never moves.
 *
 * A slab's memory is never given to another type.  slab_alloc returns zeroed
 * memory and never NULL while the arena has room and the slab is below its
 * limit (SLAB_SHARE); else it returns NULL, which callers turn into -ENOMEM.
 *
 * A free object is all zero, so a reference count in it is 0 wherever it lies,
 * and a late ref_get aborts; so do a second slab_free, one of what the slab has
 * not handed out, and slab_alloc when it finds that a free object was written.
 */
#ifndef SENTRY_CORE_ARENA_H
#define SENTRY_CORE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"

#ifdef SAN_TSAN /* where its shadow is elsewhere */
#define ARENA_BASE 0x1000000000UL
#else
#define ARENA_BASE 0x200000000000UL
#endif
#define ARENA_MAX (16UL << 30) /* sparse; what is touched costs */

/* Maps the arena; once, before anything else of the sentry. */
int arena_init(void);
int arena_fd(void);
/*
 * The memory that the sandbox may have is shared with the memory file: own bytes are the arena's,
 * and what it takes beyond (arena_excess) the memory file has less.  room says how much that may
 * still be; NULL: there is no limit.  Once.
 */
void arena_set_limit(uint64_t own, uint64_t (*room)(void));
uint64_t arena_excess(void);

/*
 * A slab: a constant of the unit that owns the type.  What changes is in its slab_head, in the
 * arena, whose address follows from that of the constant: all of them lie in one section.
 *	SLAB_DEFINE(file_slab, struct file);
 *	struct file *f = slab_alloc(&file_slab);
 *	slab_free(&file_slab, f);
 */
#ifdef SAN_ASAN
#define SLAB_RED_ZONE 32ul /* bytes behind each object */
#define SLAB_DELAY 2048ul
#define SLAB_DELAY_BYTES (1ul << 20)
#else
#define SLAB_RED_ZONE 0ul
#define SLAB_DELAY 32ul
#define SLAB_DELAY_BYTES (8ul << 10)
#endif

/* Free objects, by number (arena.c). */
struct slab_pool {
	uint32_t stack;              /* its top; 0: empty */
	uint32_t pos;                /* the oldest in newest */
	uint32_t newest[SLAB_DELAY]; /* a ring of slab.delay entries; 0: none */
};

#define SLAB_NAME_MAX 24

struct slab {
	char name[SLAB_NAME_MAX];
	size_t size;      /* as the type is */
	size_t stride;    /* from one object to the next */
	uint64_t inverse; /* of stride / 16, times 2^32, rounded up */
	uint32_t delay;   /* of so many objects the last freed ones are not handed out */
	bool zero_late;   /* zeroed when handed out, not when freed */
	uint16_t share;   /* one of so many parts of the memory is the most it hands out; 0: all */
} __attribute__((aligned(64)));

struct slab_head {
	struct mutex lock;
	uint64_t in_use, total;
	uint64_t limit;             /* objects that may be in use; 0: any number */
	uint8_t *fresh, *fresh_end; /* not yet handed out part of the newest chunk */
	struct slab_pool free GUARDED_BY_MEMBER(lock);
	char name[SLAB_NAME_MAX]; /* as the slab's, for who has the arena only */
	uint64_t size;
} __attribute__((aligned(64)));

extern const struct slab slab_table_start[], slab_table_end[]; /* lib/sections.lds */

#define ARENA_HEADS 4096 /* where they begin: behind struct kernel */

static inline struct slab_head *slab_head(const struct slab *s)
{
	return (struct slab_head *)(ARENA_BASE + ARENA_HEADS) + (s - slab_table_start);
}

/* Slabs of large buffers, one for each power of two (arena.c). */
#define RUN_SLABS 21

#define SLAB_STRIDE(size) (((size) + SLAB_RED_ZONE + 15) & ~15ul)
#define SLAB_DELAY_OF(size)                                                                        \
	(SLAB_DELAY_BYTES / (size) < SLAB_DELAY ? SLAB_DELAY_BYTES / (size) : SLAB_DELAY)
#define SLAB_INIT(name_, size_, zero_late_, share_)                                                \
	{                                                                                          \
		.name = name_, .size = (size_), .stride = SLAB_STRIDE(size_),                      \
		.inverse =                                                                         \
			((1ul << 32) + SLAB_STRIDE(size_) / 16 - 1) / (SLAB_STRIDE(size_) / 16),   \
		.delay = SLAB_DELAY_OF(size_), .zero_late = (zero_late_), .share = (share_)        \
	}
#define SLAB_TABLE __attribute__((section("slab_table")))
#define SLAB_DEFINE(var, type)                                                                     \
	const struct slab var SLAB_TABLE = SLAB_INIT(#type, sizeof(type), false, 0)
/* The same for what somebody may want without end: see slab_set_shares. */
#define SLAB_SHARE(var, type, share)                                                               \
	const struct slab var SLAB_TABLE = SLAB_INIT(#type, sizeof(type), false, share)

void *slab_alloc(const struct slab *s);
void slab_free(const struct slab *s, void *obj);
/* What SLAB_SHARE's slabs hand out is bounded by their part of so many bytes of memory (a few
 * objects they always do). */
void slab_set_shares(uint64_t memory);
/* Objects in use; of a moment. */
static inline uint64_t slab_in_use(const struct slab *s)
{
	return __atomic_load_n(&slab_head(s)->in_use, __ATOMIC_RELAXED);
}

/* Byte buffers by size class (names, group lists, tables of pointers).  Zeroed.  NULL when full. */
void *buf_alloc(size_t n);
/* n as given to buf_alloc; p may be NULL. */
void buf_free(void *p, size_t n);
char *buf_strndup(const char *s, size_t n);

struct slab_stat {
	const char *name;
	size_t size;
	uint64_t in_use, total;
};
/* Fills at most n entries; returns the number of slabs in use. */
size_t arena_stats(struct slab_stat *out, size_t n);

#endif
