/* Wait queues: see waitq.h. */
#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/core/waitq.h"

static waiter_fn waiter_fns[WAITER_KIND_NR] RO_AFTER_INIT;

struct waitq_globals {
	/* Between waitq_del of a detachable waiter and the end of its queue; before q->lock. */
	struct mutex detach_lock;
};
static struct waitq_globals *queues RO_AFTER_INIT;

static void queues_init(void)
{
	mutex_init(&queues->detach_lock, LOCK_WAITQ_DETACH);
}
KERNEL_UNIT("wait queues", queues, queues_init);

static void wake_ctx(struct waiter *w, uint32_t events)
{
	ctx_wake(w->owner);
}

void waitq_register_kind(enum waiter_kind kind, waiter_fn fn)
{
	BUG_ON(kind >= WAITER_KIND_NR || kind == WAITER_CTX);
	waiter_fns[kind] = fn;
}

void waitq_init(struct waitq *q)
{
	mutex_init(&q->lock, LOCK_WAITQ);
	list_init(&q->waiters);
}

void waitq_init_detaching(struct waitq *q)
{
	mutex_init(&q->lock, LOCK_WAITQ_DETACH);
	list_init(&q->waiters);
}

/* May q go before its waiters?  The rank of its lock says so: no queue is larger for it. */
static bool detaches(const struct waitq *q)
{
	return q->lock.rank == LOCK_WAITQ_DETACH;
}

void waiter_init(struct waiter *w, enum waiter_kind kind, void *owner, uint32_t events)
{
	list_init(&w->node);
	w->q = NULL;
	w->events = events | POLLERR | POLLHUP;
	w->kind = (uint8_t)kind;
	w->exclusive = false;
	w->detachable = false;
	w->owner = owner;
}

void waitq_add(struct waitq *q, struct waiter *w)
{
	mutex_lock(&q->lock);
	w->q = q;
	w->detachable = detaches(q);
	/* Exclusive waiters queue behind the others, in order of arrival. */
	if (w->exclusive)
		list_push_back(&q->waiters, &w->node);
	else
		list_push_front(&q->waiters, &w->node);
	mutex_unlock(&q->lock);
}

static void del_detachable(struct waiter *w)
{
	mutex_lock(&queues->detach_lock);
	struct waitq *q = w->q; /* and it stays as long as the lock is held */
	if (q) {
		mutex_lock_nested(&q->lock);
		list_del(&w->node);
		w->q = NULL;
		mutex_unlock(&q->lock);
	}
	mutex_unlock(&queues->detach_lock);
}

void waitq_del(struct waiter *w)
{
	if (unlikely(w->detachable)) {
		del_detachable(w);
		return;
	}
	struct waitq *q = w->q;
	if (!q)
		return;
	mutex_lock(&q->lock);
	list_del(&w->node);
	w->q = NULL;
	mutex_unlock(&q->lock);
}

static bool wake_one(struct waiter *w, uint32_t events)
{
	if (w->kind != WAITER_CTX)
		return waiter_fns[w->kind](w, events);
	wake_ctx(w, events);
	return true;
}

static void detach_all(struct waitq *q)
{
	struct waiter *w, *tmp;

	mutex_lock(&queues->detach_lock);
	mutex_lock_nested(&q->lock);
	list_for_each_safe(w, tmp, &q->waiters, node) {
		/* A task that waits is the owner's own, or holds it. */
		BUG_ON(w->kind == WAITER_CTX);
		wake_one(w, POLLHUP);
		list_del(&w->node);
		w->q = NULL;
	}
	mutex_unlock(&q->lock);
	mutex_unlock(&queues->detach_lock);
}

void waitq_fini(struct waitq *q)
{
	/* Even if it looks empty: who took the last one off may still hold the lock. */
	if (detaches(q))
		detach_all(q);
	BUG_ON(!list_empty(&q->waiters));
	BUG_ON(READ_ONCE(q->lock.word)); /* somebody wakes it even now */
}

static void wake_waiters(struct waitq *q, uint32_t events, int n, bool nested)
{
	/* Callers changed the condition before; a waiter queues itself before it tests. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (list_empty(&q->waiters))
		return;
	struct waiter *w, *tmp;
	if (nested)
		mutex_lock_nested(&q->lock);
	else
		mutex_lock(&q->lock);
	list_for_each_safe(w, tmp, &q->waiters, node) {
		if (!(w->events & events))
			continue;
		if (w->exclusive && n <= 0)
			break;
		if (wake_one(w, events) && w->exclusive)
			n--;
	}
	mutex_unlock(&q->lock);
}

void waitq_wake_n(struct waitq *q, uint32_t events, int n)
{
	wake_waiters(q, events, n, false);
}

void waitq_pass(struct waitq *q, uint32_t events)
{
	struct waiter *w;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (list_empty(&q->waiters))
		return;
	mutex_lock(&q->lock);
	list_for_each(w, &q->waiters, node) {
		if (!w->exclusive || !(w->events & events))
			continue;
		if (wake_one(w, events))
			break;
	}
	mutex_unlock(&q->lock);
}

void waitq_wake_nested(struct waitq *q, uint32_t events)
{
	wake_waiters(q, events, INT32_MAX, true);
}

void waitq_wake(struct waitq *q, uint32_t events)
{
	waitq_wake_n(q, events, INT32_MAX);
}
