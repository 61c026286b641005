/*
 * The kernel-state arena: one memory file mapped at ARENA_BASE that holds all
 * guest-visible kernel state, in type-segregated slabs.
 *
 * Rules for what lives here (docs/ARCHITECTURE.md, "Kernel state is data"):
 *  - no function pointers: objects carry a small type number, and tables of
 *    operations are registered at start-up (core/ops.h);
 *  - no libc heap blocks, no pthread objects, no host descriptors (handle_t);
 *  - pointers to other arena objects are fine: the arena never moves.
 *
 * A slab's memory is never given to another type.  slab_alloc returns zeroed
 * memory and never NULL while the arena has room; when the arena is full it
 * returns NULL, which callers turn into -ENOMEM.
 */
#ifndef SENTRY_CORE_ARENA_H
#define SENTRY_CORE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"

#define ARENA_BASE 0x200000000000UL
#define ARENA_MAX (16UL << 30) /* sparse; what is touched costs */

/* Maps the arena; once, before anything else of the sentry. */
int arena_init(void);
int arena_fd(void);

/*
 * A slab: a static object of the unit that owns the type.
 *	SLAB_DEFINE(file_slab, struct file);
 *	struct file *f = slab_alloc(&file_slab);
 *	slab_free(&file_slab, f);
 */
struct slab {
	const char *name;
	uint32_t size;
	struct mutex lock;
	void *free GUARDED_BY(lock); /* chain through the first word of a free object */
	struct slab *next;	     /* all slabs, for statistics */
	uint64_t in_use, total;
	uint8_t *fresh, *fresh_end; /* not yet handed out part of the newest chunk */
};

#define SLAB_DEFINE(var, type)                                                                     \
	struct slab var = {                                                                        \
		.name = #type, .size = sizeof(type), .lock = MUTEX_INIT(LOCK_SLAB)}

void *slab_alloc(struct slab *s);
void slab_free(struct slab *s, void *obj);

/* Byte buffers by size class (names, group lists, tables of pointers).  Zeroed.  NULL when full. */
void *buf_alloc(size_t n);
/* n as given to buf_alloc; p may be NULL. */
void buf_free(void *p, size_t n);
char *buf_strndup(const char *s, size_t n);

struct slab_stat {
	const char *name;
	uint32_t size;
	uint64_t in_use, total;
};
/* Fills at most n entries; returns the number of slabs in use. */
size_t arena_stats(struct slab_stat *out, size_t n);

#endif
