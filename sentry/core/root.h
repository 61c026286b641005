/*
 * The root object.  struct kernel begins the arena; from it all state of the kernel can be found,
 * by who knows nothing but ARENA_BASE: the headers of all slabs, and what each unit keeps besides
 * its objects (lists, counters, hash tables, the locks of those).
 *
 * A unit has one struct for that and one pointer to it.  arena_init makes the struct, zeroed, sets
 * the pointer and then calls init, so it is there before the first call into the unit:
 *
 *	struct timer_globals { struct mutex lock; struct rb_root tree; ... };
 *	static struct timer_globals *timers RO_AFTER_INIT;
 *	static void timers_init(void) { mutex_init(&timers->lock, LOCK_TIMER); }
 *	KERNEL_UNIT("timers", timers, timers_init);
 *
 * init may use what is in its struct and in layers below, and allocate; it may be NULL.  What may
 * lie elsewhere (threads, descriptors and mappings of this process) is listed in
 * tests/globals.list.
 */
#ifndef SENTRY_CORE_ROOT_H
#define SENTRY_CORE_ROOT_H

#include "lib/ro_after_init.h"
#include "sentry/core/arena.h"

#define KERNEL_MAGIC 0x6e726b63736e7572UL /* "runsckrn" */
#define KERNEL_LAYOUT 2                   /* of what this header and arena.h describe */
#define KERNEL_UNITS_MAX 64
#define KERNEL_NAME_MAX 24

struct kernel {
	uint64_t magic;
	uint32_t layout;
	uint32_t nslabs; /* slab headers begin at ARENA_BASE + heads */
	uint32_t head_size;
	uint32_t heads;
	uint32_t nunits;
	struct kernel_unit {
		char name[KERNEL_NAME_MAX];
		uint64_t size;
		void *globals;
	} unit[KERNEL_UNITS_MAX];
	struct {
		struct mutex lock;
		uint64_t next;                   /* bytes of the arena handed out so far */
		uint64_t next_link;              /* links handed out so far (arena.c) */
		uint64_t warm_bytes, cold_bytes; /* of large buffers; cold: without memory */
		uint32_t warm[RUN_SLABS]; /* stacks of large buffers that have their memory still */
	} arena;
};

static inline struct kernel *kernel_root(void)
{
	return (struct kernel *)ARENA_BASE;
}

struct kernel_unit_def {
	char name[KERNEL_NAME_MAX];
	size_t size;
	void **globals;
	void (*init)(void);
} __attribute__((aligned(64)));

#define KERNEL_UNIT(name_, pointer, init_)                                                         \
	static const struct kernel_unit_def kernel_unit_##pointer                                  \
		__attribute__((used, section("kernel_units"))) = {.name = (name_),                 \
			.size = sizeof(*(pointer)),                                                \
			.globals = (void **)&(pointer),                                            \
			.init = (init_)}

#endif
