/*
 * Between futex.c and pi.c: buckets, waiters, and who is woken after their locks.
 *
 * A waiter lies on the stack of the task that waits, in the bucket of its key (bucket.lock, not
 * sleepable: guest memory is never read under it).  Who takes it out must not touch it afterwards,
 * since its task may be gone: wakeq holds a reference for the wake-up.
 */
#ifndef SENTRY_TASK_FUTEX_PRIV_H
#define SENTRY_TASK_FUTEX_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sentry/core/root.h"
#include "sentry/task/task.h"

struct pi_waiter;

struct bucket {
	struct mutex lock; /* LOCK_FUTEX */
	struct list_node waiters;
	uint64_t seq;
};

struct futex_waiter {
	struct list_node node;
	struct futex_key key;
	struct bucket *b; /* changes by requeueing; NULL once woken: the waiter may be gone */
	struct task *task;
	uint32_t bitset;
	bool tentative, hit;
	struct pi_waiter *pi; /* FUTEX_WAIT_REQUEUE_PI: what it becomes by being requeued */
};

/*
 * Tasks to wake once the buckets are unlocked.  It holds a reference to each: a waiter that finds
 * itself off its queue goes on without a look at the bucket, and may have ended before the wake-up
 * comes.
 */
struct wakeq {
	struct task *first, **tail;
};
#define WAKEQ(q) struct wakeq q = {NULL, &q.first}
#define WAKEQ_END ((struct task *)1)
/* After this no lock may be held. */
void wakeq_wake(struct wakeq *q);

int futex_get_key(struct task *t, uaddr_t addr, bool shared, struct futex_key *k);
static inline bool futex_key_eq(const struct futex_key *a, const struct futex_key *b)
{
	return a->obj == b->obj && a->off == b->off && a->shared == b->shared;
}
/* Its upper bits are a place in a table. */
static inline uint64_t futex_hash(const struct futex_key *k)
{
	return (k->obj * 0x9e3779b97f4a7c15UL) ^ (k->off * 0xc2b2ae3d27d4eb4fUL);
}
struct bucket *futex_bucket(const struct futex_key *k);
/* Queues w (key and pi are set) for t, tentatively. */
void futex_enqueue(struct futex_waiter *w, struct task *t, uint32_t bitset);
/* Reads the word and becomes a real waiter: 0, -EAGAIN, -EFAULT, -ERESTARTSYS. */
int futex_commit_wait(struct task *t, struct futex_waiter *w, uaddr_t addr, uint32_t val);
/* Takes w off its queue; false: it had been woken already. */
bool futex_dequeue(struct futex_waiter *w);
static inline bool futex_woken(const struct futex_waiter *w)
{
	return !__atomic_load_n(&w->b, __ATOMIC_ACQUIRE);
}

#endif
