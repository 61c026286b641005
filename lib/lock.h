/*
 * Ranked locks on plain futex words: they live in shared memory, hold no host
 * state and survive a checkpoint (all are free when the sandbox is frozen).
 *
 * struct mutex: 0 free, 1 held, 2 held with waiters.  A short adaptive spin
 * precedes the sleep.  Not recursive.
 */
#ifndef LIB_LOCK_H
#define LIB_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/compiler.h"
#include "lib/lockrank.h"

struct CAPABILITY("mutex") mutex {
	uint32_t word;
	uint16_t rank;
	uint16_t spins; /* estimate of the spins that pay; a hint, updated racily */
};

#define MUTEX_INIT(r)                                                                              \
	{                                                                                          \
		.word = 0, .rank = (r)                                                             \
	}

static inline void mutex_init(struct mutex *m, enum lock_rank rank)
{
	m->word = 0;
	m->rank = (uint16_t)rank;
	m->spins = 0;
}

void mutex_lock_slow(struct mutex *m);
void mutex_unlock_slow(struct mutex *m);
/* "LOCK_MM" and so on; "LOCK_?" for a number that is none. */
const char *lock_rank_name(unsigned int rank);
#ifdef LOCK_DEBUG
void lock_debug_acquire(const void *lock, uint16_t rank, bool nested);
void lock_debug_release(const void *lock);
void lock_debug_assert_held(const void *lock);
/* Aborts if the caller holds a lock that is not sleepable. */
void lock_debug_assert_sleepable(void);
#else
#define lock_debug_acquire(l, r, n) ((void)(l), (void)(r))
#define lock_debug_release(l) ((void)(l))
#define lock_debug_assert_held(l) ((void)(l))
#define lock_debug_assert_sleepable() ((void)0)
#endif

static inline void mutex_lock_raw(struct mutex *m)
{
	uint32_t expect = 0;
	if (unlikely(!__atomic_compare_exchange_n(&m->word, &expect, 1, false, __ATOMIC_ACQUIRE,
		    __ATOMIC_RELAXED)))
		mutex_lock_slow(m);
}

static inline void mutex_lock(struct mutex *m) ACQUIRE(m) NO_THREAD_SAFETY
{
	lock_debug_acquire(m, m->rank, false);
	mutex_lock_raw(m);
}

/* As mutex_lock, for a second lock of a rank already held. */
static inline void mutex_lock_nested(struct mutex *m) ACQUIRE(m) NO_THREAD_SAFETY
{
	lock_debug_acquire(m, m->rank, true);
	mutex_lock_raw(m);
}

static inline bool mutex_trylock(struct mutex *m) TRY_ACQUIRE(true, m) NO_THREAD_SAFETY
{
	uint32_t expect = 0;
	if (!__atomic_compare_exchange_n(&m->word, &expect, 1, false, __ATOMIC_ACQUIRE,
		    __ATOMIC_RELAXED))
		return false;
	lock_debug_acquire(m, LOCK_NONE, true);
	return true;
}

static inline void mutex_unlock(struct mutex *m) RELEASE(m) NO_THREAD_SAFETY
{
	lock_debug_release(m);
	if (unlikely(__atomic_exchange_n(&m->word, 0, __ATOMIC_RELEASE) == 2))
		mutex_unlock_slow(m);
}

/* Do others sleep for it?  (They may be gone by now.)  The caller holds it. */
static inline bool mutex_contended(const struct mutex *m)
{
	return READ_ONCE(m->word) == 2;
}

/*
 * For who holds a lock again and again during long work, after an unlock at which it was contended:
 * lets those who slept have it, who would else wake up to find it taken.
 */
void mutex_step_back(struct mutex *m);

/* For where the analysis cannot see that the caller holds m; debug builds check it. */
static inline void mutex_assert_held(const struct mutex *m) ASSERTS_HELD(m)
{
	lock_debug_assert_held(m);
}

/* Takes two locks of one rank in address order; a may equal b. */
static inline void mutex_lock_pair(struct mutex *a, struct mutex *b) ACQUIRE(a, b) NO_THREAD_SAFETY
{
	if (a == b) {
		mutex_lock(a);
		return;
	}
	mutex_lock(a < b ? a : b);
	mutex_lock_nested(a < b ? b : a);
}

static inline void mutex_unlock_pair(struct mutex *a, struct mutex *b)
	RELEASE(a, b) NO_THREAD_SAFETY
{
	mutex_unlock(a);
	if (a != b)
		mutex_unlock(b);
}

/*
 * Holds m until the end of the enclosing scope.  The analysis knows no cleanup functions: for it
 * the lock is held, from a function that says so, and need not be let go (nor does it find out if
 * that is done twice, which tests/rules.py does).
 */
#define LOCK_CAT_(a, b) a##b
#define LOCK_CAT(a, b) LOCK_CAT_(a, b)
#define MUTEX_GUARD(m)                                                                             \
	struct mutex *LOCK_CAT(_guard_, __LINE__)                                                  \
		__attribute__((cleanup(mutex_guard_end_), unused)) = mutex_guard_begin_(m)

static inline struct mutex *mutex_guard_begin_(struct mutex *m) EXCLUDES(m)
	ASSERTS_HELD(m) NO_THREAD_SAFETY
{
	mutex_lock(m);
	return m;
}

static inline void mutex_guard_end_(struct mutex **m) NO_THREAD_SAFETY
{
	mutex_unlock(*m);
}

#endif
