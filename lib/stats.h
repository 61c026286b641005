/*
 * Counters of what happens often: cheap enough (about a nanosecond) to stay on always, for
 * `runsc debug --stats` and the tests.
 *
 * Each thread counts in a block of its own, a run of whole cache lines that it gets when it
 * first counts.  A block outlives its thread with its numbers in it and goes to the next
 * thread that needs one, so the sum over all blocks is what was counted ever since the start.
 *
 * Locking: none; any thread may count and read at any time, signal handlers too.  What a
 * thread that was joined has counted is in the next stats_read exactly; what others count
 * meanwhile may be in it or not.  Counters only grow and wrap at 2^64.
 */
#ifndef LIB_STATS_H
#define LIB_STATS_H

#include <stdint.h>

#include "lib/compiler.h"

/* X(enum name, name in JSON, what it counts) */
#define STATS(X)                                                                                   \
	X(STAT_EV_SYSCALL, "ev_syscall", "events: system calls")                                   \
	X(STAT_EV_FAULT, "ev_fault", "events: page faults")                                        \
	X(STAT_EV_EXCEPTION, "ev_exception", "events: other exceptions")                           \
	X(STAT_EV_INTERRUPT, "ev_interrupt", "events: interrupted from outside")                   \
	X(STAT_CALLS_PATCHED, "calls_patched", "system calls that came by a patched site")         \
	X(STAT_CALLS_TRAPPED, "calls_trapped", "system calls that came by a trap of the host")     \
	X(STAT_SITES_PATCHED, "sites_patched", "system call instructions that were patched")       \
	X(STAT_SITES_REFUSED, "sites_refused", "system call instructions that cannot be patched")  \
	X(STAT_SITES_UNDONE, "sites_undone", "patches that were taken back")                       \
	X(STAT_SPIN_HITS, "spin_hits", "hand-overs whose answer came while spinning")              \
	X(STAT_SLEEPS, "sleeps", "hand-overs that slept")                                          \
	X(STAT_MODE_SPIN, "mode_spin", "switches of a task to spinning, each on its own CPU")      \
	X(STAT_MODE_SAME, "mode_same", "switches of a task to both sides on the same CPU")         \
	X(STAT_STUBS_FORKED, "stubs_forked", "stub processes that were forked")                    \
	X(STAT_STUBS_POOLED, "stubs_pooled", "stub processes that were used again")                \
	X(STAT_STUB_THREADS, "stub_threads", "stub threads that were created")                     \
	X(STAT_STUB_THREADS_POOLED, "stub_threads_pooled", "stub threads that were used again")    \
	X(STAT_AS_OPS, "as_ops", "map, unmap and protect operations on stubs")                     \
	X(STAT_AS_TRIPS, "as_trips", "hand-overs of such operations to another thread: batches")   \
	X(STAT_FAULTS_MINOR, "faults_minor", "page faults that were answered with memory")         \
	X(STAT_FAULTS_COW, "faults_cow", "pages that were copied on write")                        \
	X(STAT_HOSTPOLL_BATCHES, "hostpoll_batches", "times that the host poller was woken")       \
	X(STAT_HOSTPOLL_EVENTS, "hostpoll_events", "events of host descriptors that it was told")  \
	X(STAT_HOSTPOLL_SLOTS, "hostpoll_slots", "registrations looked at, by it and for arming")  \
	X(STAT_GOFER_TRIPS, "gofer_trips", "requests to the gofer")

enum stat_id {
#define STAT_ENUM(id, name, what) id,
	STATS(STAT_ENUM)
#undef STAT_ENUM
		STAT_NR
};

struct stats_block {
	uint64_t v[STAT_NR];
	struct stats_block *next; /* constant once it is in the list of all blocks */
	uint32_t used;            /* by a thread that lives */
} __attribute__((aligned(64)));

extern __thread struct stats_block *stats_mine;
/* Gives the calling thread a block. */
struct stats_block *stats_attach(void);

static inline void stat_add(enum stat_id s, uint64_t n)
{
	struct stats_block *b = stats_mine;

	if (unlikely(!b))
		b = stats_attach();
	/* One instruction: a signal handler may count in between.  Not locked: nobody else
	 * writes here. */
	__asm__("addq %1, %0" : "+m"(b->v[s]) : "er"(n) : "cc");
}

static inline void stat_inc(enum stat_id s)
{
	stat_add(s, 1);
}

/* All sums, by enum stat_id. */
void stats_read(uint64_t out[STAT_NR]);
const char *stats_name(enum stat_id s);

#endif
