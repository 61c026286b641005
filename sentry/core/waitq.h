/*
 * Wait queues: where waiters wait for events (poll(2) bits) of an object.
 *
 * A waiter is a task (its ctx is woken) or another kind with a callback
 * registered at start-up (epoll, timers...): the queue holds no function
 * pointers.  Callbacks run under the queue's lock and may take only locks
 * ranked above LOCK_WAITQ.
 *
 * Waiters usually live on the stack of the waiting thread.
 *
 * Who may die first.  A waiter points to its queue (waitq_del takes the queue's
 * lock), and a queue to its waiters.  So a waiter is taken off (waitq_del)
 * before its own memory goes, and for the queue one of two rules holds:
 *
 *   - Whoever waits or hooks holds a reference on the queue's owner, directly or
 *     through the file that is waited on (hooks that hold none on the file are
 *     removed before it is released: epoll_file_gone, file_async_gone).  Then the
 *     owner finds its queue empty when it dies.  This is the rule (waitq_init).
 *   - The owner detaches what is hooked when it dies (waitq_init_detaching), and
 *     wakes it with POLLHUP a last time, as Linux' POLLFREE.  Only for owners that must not be kept
 * alive by a hook: the signal handlers of a process, which a signalfd in an epoll set hooks and
 * which end with the process, not with the set.
 *
 * waitq_fini is called where the owner's memory is given back, and aborts where
 * the rule is broken.  A waker holds a reference on the owner as well, or a lock
 * that its end takes: nobody may be in waitq_wake when waitq_fini is called.
 */
#ifndef SENTRY_CORE_WAITQ_H
#define SENTRY_CORE_WAITQ_H

#include <poll.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "sentry/core/ctx.h"

struct waitq {
	struct mutex lock; /* LOCK_WAITQ; LOCK_WAITQ_DETACH: waitq_fini detaches waiters */
	struct list_node waiters GUARDED_BY_MEMBER(lock);
};

enum waiter_kind { WAITER_CTX, WAITER_EPOLL, WAITER_SIGIO, WAITER_KIND_NR = 8 };

struct waiter {
	struct list_node node;
	struct waitq *q; /* NULL: not queued */
	uint32_t events; /* POLL* bits it wants; POLLERR and POLLHUP are always wanted */
	uint8_t kind;
	bool exclusive;  /* waitq_wake_one wakes one of these */
	bool detachable; /* q may go first and sets q to NULL then */
	void *owner;     /* struct ctx *, struct epitem *, ... */
};

/* Returns whether the wake-up was of use: an exclusive waiter that had none passes it on. */
typedef bool (*waiter_fn)(struct waiter *w, uint32_t events);
/* At start-up, before the tables are sealed. */
void waitq_register_kind(enum waiter_kind kind, waiter_fn fn);

void waitq_init(struct waitq *q);
/* A queue that may go before what is hooked to it (callbacks only): each waitq_del of such a
 * waiter takes a global lock. */
void waitq_init_detaching(struct waitq *q);
/* The owner's memory is going: detaches waiters if that was agreed, and aborts if there are any
 * otherwise.  Locks below LOCK_WAITQ may be held. */
void waitq_fini(struct waitq *q);
void waiter_init(struct waiter *w, enum waiter_kind kind, void *owner, uint32_t events);
static inline void waiter_init_ctx(struct waiter *w, struct ctx *ctx, uint32_t events)
{
	waiter_init(w, WAITER_CTX, ctx, events);
}
void waitq_add(struct waitq *q, struct waiter *w);
/* Idempotent.  After it returns no callback runs for w. */
void waitq_del(struct waiter *w);
/* Wakes every waiter that wants one of events (non-exclusive ones all, exclusive ones all). */
void waitq_wake(struct waitq *q, uint32_t events);
/* Wakes all non-exclusive and at most n exclusive waiters. */
void waitq_wake_n(struct waitq *q, uint32_t events, int n);
/* One exclusive waiter takes over what is left; the others have heard of it already. */
void waitq_pass(struct waitq *q, uint32_t events);
/* As waitq_wake, from a waiter callback (another queue's lock is held; queues form no cycle). */
void waitq_wake_nested(struct waitq *q, uint32_t events);

#endif
