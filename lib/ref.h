/*
 * Reference counts.  ref_put returns true to the caller that dropped the last
 * reference, who then frees the object.  Overflow, underflow and resurrection
 * abort: they are use-after-free bugs about to happen.
 */
#ifndef LIB_REF_H
#define LIB_REF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/compiler.h"

/*
 * A guest cannot make a count overflow: a reference is held by an object of the arena, of 8 bytes
 * at least (an entry of a table), and 2^31 of those do not fit there; or by a thread.
 */
struct ref {
	_Atomic uint32_t count;
};

static inline void ref_init(struct ref *r)
{
	__atomic_store_n((uint32_t *)&r->count, 1, __ATOMIC_RELAXED);
}

static inline void ref_get(struct ref *r)
{
	uint32_t old = __atomic_fetch_add((uint32_t *)&r->count, 1, __ATOMIC_RELAXED);
	if (unlikely(old == 0 || old >= 0x7fffffff))
		abort();
}

/* Takes a reference unless the count already fell to zero. */
static inline bool ref_get_unless_zero(struct ref *r)
{
	uint32_t old = __atomic_load_n((uint32_t *)&r->count, __ATOMIC_RELAXED);
	do {
		if (old == 0)
			return false;
	} while (!__atomic_compare_exchange_n((uint32_t *)&r->count, &old, old + 1, true,
		__ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return true;
}

static inline bool ref_put(struct ref *r) WARN_UNUSED;
static inline bool ref_put(struct ref *r)
{
	uint32_t old = __atomic_fetch_sub((uint32_t *)&r->count, 1, __ATOMIC_ACQ_REL);
	if (unlikely(old == 0 || old >= 0x80000000))
		abort();
	return old == 1;
}

static inline uint32_t ref_count(const struct ref *r)
{
	return __atomic_load_n((const uint32_t *)&r->count, __ATOMIC_ACQUIRE);
}

#endif
