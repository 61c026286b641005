/*
 * Attributes and small macros shared by every unit.
 */
#ifndef LIB_COMPILER_H
#define LIB_COMPILER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/user.h> /* PAGE_SHIFT, PAGE_SIZE, PAGE_MASK */

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member)                                                            \
	((type *)((char *)(uintptr_t)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#define MIN(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _min_a = (a);                                                        \
		__typeof__(b) _min_b = (b);                                                        \
		_min_a < _min_b ? _min_a : _min_b;                                                 \
	})
#define MAX(a, b)                                                                                  \
	({                                                                                         \
		__typeof__(a) _max_a = (a);                                                        \
		__typeof__(b) _max_b = (b);                                                        \
		_max_a > _max_b ? _max_a : _max_b;                                                 \
	})

#define ROUND_UP(x, a) (((x) + ((a)-1)) & ~((__typeof__(x))(a)-1))
#define ROUND_DOWN(x, a) ((x) & ~((__typeof__(x))(a)-1))
#define PAGE_ALIGN_UP(x) ROUND_UP((x), PAGE_SIZE)
#define PAGE_ALIGN_DOWN(x) ROUND_DOWN((x), PAGE_SIZE)

/* One load or store that is neither torn nor repeated, and orders nothing: for what others change
 * or look at meanwhile without a common lock (Linux: Documentation/memory-barriers.txt). */
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELAXED)

#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define WARN_UNUSED __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

/*
 * Which lock guards what; clang's thread-safety analysis checks it (`make analysis`, and every
 * build by clang), gcc ignores it.  It compares expressions as they are written: the lock that is
 * taken must be spelled as the one that is asked for.
 */
#ifdef __clang__
#define CAPABILITY(x) __attribute__((capability(x)))
/* A variable or member that is touched only with x held, a lock that stands where this does: a
 * variable, or what a global pointer leads to. */
#define GUARDED_BY(x) __attribute__((guarded_by(x)))
/* Callers hold these. */
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
/* Callers do not hold these: it takes them itself. */
#define EXCLUDES(...) __attribute__((locks_excluded(__VA_ARGS__)))
#define ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
/* Once it has returned these are held. */
#define ASSERTS_HELD(...) __attribute__((assert_capability(__VA_ARGS__)))
#define NO_THREAD_SAFETY __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(x)
#define GUARDED_BY(x)
#define REQUIRES(...)
#define EXCLUDES(...)
#define ACQUIRE(...)
#define RELEASE(...)
#define TRY_ACQUIRE(...)
#define ASSERTS_HELD(...)
#define NO_THREAD_SAFETY
#endif
/* Of a function that makes an object or frees it: nobody else knows it. */
#define SOLE_OWNER NO_THREAD_SAFETY
/* As GUARDED_BY, by a lock that is a member of the same object or is reached through one.  For
 * readers: in C clang does not resolve such names (tried with 14 and 19). */
#define GUARDED_BY_MEMBER(x)

#endif
