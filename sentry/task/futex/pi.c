/*
 * Priority-inheritance futexes and robust lists.
 *
 * The guest's word holds the owner's tid and two flags; the kernel comes in
 * only when there is contention.  One sleepable lock (pi_lock) serializes all
 * PI operations, so the word can be read and changed while it is held.  Waiters
 * queue in order of arrival: the sandbox does not schedule by priority, so
 * there is none to inherit; what remains is the hand-over protocol.
 *
 * A waiter that gets the lock finds its tid written into the word by whoever
 * gave it up.  If the owner died, the waiter writes it itself, with
 * FUTEX_OWNER_DIED.
 */
#include <linux/futex.h>

#include "sentry/task/futex/futex_priv.h"

#define ROBUST_LIMIT 2048

static struct mutex pi_lock = MUTEX_INIT(LOCK_FUTEX_PI);

struct pi_waiter {
	struct list_node node;
	struct futex_key key;
	struct task *task;
	struct pid *owner; /* who held the lock when we queued; borrowed for comparison only */
	GUARDED_BY(pi_lock) bool granted, owner_died;
};

static struct list_node pi_waiters GUARDED_BY(pi_lock) = LIST_INIT(pi_waiters); /* all */

static struct pi_waiter *first_waiter(const struct futex_key *k, const struct pi_waiter *but)
{
	struct pi_waiter *w;

	list_for_each(w, &pi_waiters, node)
		if (w != but && futex_key_eq(&w->key, k))
			return w;
	return NULL;
}

/* The owner whose tid is in the word: 0 and *out, -ESRCH, -EPERM (a kernel thread's, never). */
static int find_owner(struct task *t, uint32_t word, struct pid **out)
{
	struct task *o = task_find(t->pid_ns, (int32_t)(word & FUTEX_TID_MASK));
	bool gone;

	if (!o)
		return -ESRCH;
	*out = o->pid;
	gone = o->exiting;
	task_put(o);
	return gone ? -ESRCH : 0;
}

/*
 * One attempt for who, pi_lock held: 0: who owns it; -EWOULDBLOCK: somebody does, the word says
 * that we wait, *owner is filled; -EDEADLK, -ESRCH, -EFAULT.
 */
static int pi_try(struct task *t, struct task *who, uaddr_t addr, struct futex_key *k, bool mark,
	struct pid **owner)
{
	uint32_t tid = (uint32_t)task_tid_nr(who, who->pid_ns), word, new, seen;
	int err;

	for (;;) {
		err = uaccess_load32(&t->ctx, addr, &word);
		if (err)
			return err;
		if ((word & FUTEX_TID_MASK) == tid)
			return -EDEADLK;
		if (!(word & FUTEX_TID_MASK)) {
			new = tid | (word & FUTEX_OWNER_DIED) |
			      (first_waiter(k, NULL) ? FUTEX_WAITERS : 0);
		} else {
			err = find_owner(t, word, owner);
			if (err)
				return err;
			new = mark ? word | FUTEX_WAITERS : word;
		}
		err = uaccess_cmpxchg32(&t->ctx, addr, word, new, &seen);
		if (err)
			return err;
		if (seen == word)
			return word & FUTEX_TID_MASK ? -EWOULDBLOCK : 0;
		if (ctx_interrupted(&t->ctx))
			return -ERESTARTNOINTR;
	}
}

/* The owner died with the lock: its word becomes ours. */
static int take_from_dead(struct task *t, uaddr_t addr, struct futex_key *k) REQUIRES(pi_lock)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, seen;
	int err;

	do {
		err = uaccess_load32(&t->ctx, addr, &word);
		if (!err)
			err = uaccess_cmpxchg32(&t->ctx, addr, word,
				tid | FUTEX_OWNER_DIED |
					(first_waiter(k, NULL) ? FUTEX_WAITERS : 0),
				&seen);
	} while (!err && seen != word && !ctx_interrupted(&t->ctx));
	return err;
}

/* Waits for the lock, pi_lock held but for the sleep: 0, -ETIMEDOUT, -ERESTARTSYS, -EFAULT. */
static int pi_wait(struct task *t, struct pi_waiter *w, uaddr_t addr, int64_t deadline)
	REQUIRES(pi_lock)
{
	int blocked = 0;

	while (!w->granted && !w->owner_died && !blocked) {
		mutex_unlock(&pi_lock);
		blocked = ctx_block(&t->ctx, deadline);
		mutex_lock(&pi_lock);
	}
	list_del(&w->node);
	if (w->granted)
		return 0;
	return w->owner_died ? take_from_dead(t, addr, &w->key) : blocked;
}

long futex_lock_pi(struct task *t, uaddr_t addr, bool shared, int64_t deadline, bool trylock)
{
	struct pi_waiter w = {.task = t};
	int err = futex_get_key(t, addr, shared, &w.key);

	if (err)
		return err;
	mutex_lock(&pi_lock);
	err = pi_try(t, t, addr, &w.key, !trylock, &w.owner);
	if (err != -EWOULDBLOCK || trylock) {
		mutex_unlock(&pi_lock);
		return err;
	}
	list_push_back(&pi_waiters, &w.node);
	err = pi_wait(t, &w, addr, deadline);
	mutex_unlock(&pi_lock);
	return err == -ERESTARTSYS ? -ERESTARTNOINTR : err;
}

long futex_unlock_pi(struct task *t, uaddr_t addr, bool shared)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, new, seen;
	struct pi_waiter *w, *o;
	struct futex_key k;
	int err = futex_get_key(t, addr, shared, &k);

	if (err)
		return err;
	MUTEX_GUARD(&pi_lock);
	for (;;) {
		err = uaccess_load32(&t->ctx, addr, &word);
		if (err)
			return err;
		if ((word & FUTEX_TID_MASK) != tid)
			return -EPERM;
		w = first_waiter(&k, NULL);
		new = w ? (uint32_t)task_tid_nr(w->task, w->task->pid_ns) |
				      (first_waiter(&k, w) ? FUTEX_WAITERS : 0)
			: 0;
		err = uaccess_cmpxchg32(&t->ctx, addr, word, new, &seen);
		if (err)
			return err;
		if (seen == word)
			break;
		if (ctx_interrupted(&t->ctx))
			return -ERESTARTNOINTR;
	}
	if (w) {
		list_del(&w->node);
		list_for_each(o, &pi_waiters, node)
			if (o->key.obj == k.obj && o->key.off == k.off)
				o->owner = w->task->pid;
		w->granted = true;
		ctx_wake(&w->task->ctx);
	}
	return 0;
}

/* --- requeueing: condition variables whose mutex is a PI lock --- */

long futex_wait_requeue_pi(struct task *t, uaddr_t addr, uint32_t val, uaddr_t lock, bool shared,
	int64_t deadline)
{
	struct pi_waiter pw = {.task = t};
	struct futex_waiter w = {.pi = &pw};
	int err;

	if (addr.v == lock.v)
		return -EINVAL;
	list_init(&pw.node);
	err = futex_get_key(t, lock, shared, &pw.key);
	if (!err)
		err = futex_get_key(t, addr, shared, &w.key);
	if (!err && futex_key_eq(&w.key, &pw.key))
		err = -EINVAL;
	if (err)
		return err;
	futex_enqueue(&w, t, FUTEX_BITSET_MATCH_ANY);
	err = futex_commit_wait(t, &w, addr, val);
	for (;;) {
		while (!futex_woken(&w) && !err)
			err = ctx_block(&t->ctx, deadline);
		if (futex_dequeue(&w))
			return err == -ERESTARTSYS ? -ERESTARTNOINTR : err;
		mutex_lock(&pi_lock); /* whoever took us off the queue has finished */
		if (futex_woken(&w))
			break;
		mutex_unlock(&pi_lock); /* and has put us back */
	}
	err = pi_wait(t, &pw, lock, deadline);
	mutex_unlock(&pi_lock);
	/* Starting again would only find that the word has changed. */
	return err == -ERESTARTSYS ? -EAGAIN : err;
}

/* Takes at most n waiters off from's queue; all of them must wait for this lock. */
static int take_waiters(struct bucket *b, const struct futex_key *kf, const struct futex_key *kl,
	uint64_t n, struct list_node *taken)
{
	struct futex_waiter *w, *tmp;
	uint64_t found = 0;

	list_for_each(w, &b->waiters, node) {
		if (!futex_key_eq(&w->key, kf) || w->tentative)
			continue;
		if (found++ == n)
			break;
		if (!w->pi || !futex_key_eq(&w->pi->key, kl))
			return -EINVAL;
	}
	b->seq++;
	list_for_each_safe(w, tmp, &b->waiters, node) {
		if (!futex_key_eq(&w->key, kf))
			continue;
		if (w->tentative) {
			w->hit = true;
			continue;
		}
		if (!n--)
			break;
		list_del(&w->node);
		list_push_back(taken, &w->node);
		__atomic_store_n(&w->b, NULL, __ATOMIC_RELEASE);
	}
	return 0;
}

/* Gives the lock to w or queues it there; pi_lock held. */
static int hand_over(struct task *t, struct futex_waiter *w, uaddr_t lock) REQUIRES(pi_lock)
{
	struct pi_waiter *pw = w->pi;
	int err = pi_try(t, pw->task, lock, &pw->key, true, &pw->owner);

	if (err && err != -EWOULDBLOCK)
		return err;
	list_del(&w->node);
	pw->granted = !err;
	if (err)
		list_push_back(&pi_waiters, &pw->node);
	ctx_wake(&pw->task->ctx);
	return 0;
}

static long requeue_pi_locked(struct task *t, uaddr_t from, uaddr_t lock, uint64_t n, uint32_t val,
	const struct futex_key *kf, const struct futex_key *kl) REQUIRES(pi_lock)
{
	struct bucket *b = futex_bucket(kf);
	struct futex_waiter *w, *tmp;
	struct list_node taken;
	uint64_t seq;
	uint32_t cur;
	long count = 0;
	int err;

	list_init(&taken);
	for (;;) {
		mutex_lock(&b->lock);
		seq = b->seq;
		mutex_unlock(&b->lock);
		err = uaccess_load32(&t->ctx, from, &cur);
		if (err)
			return err;
		if (cur != val)
			return -EAGAIN;
		mutex_lock(&b->lock);
		if (b->seq == seq)
			break;
		mutex_unlock(&b->lock);
		if (ctx_interrupted(&t->ctx))
			return -ERESTARTNOINTR;
	}
	err = take_waiters(b, kf, kl, n, &taken);
	mutex_unlock(&b->lock);
	list_for_each_safe(w, tmp, &taken, node) {
		if (!err)
			err = hand_over(t, w, lock);
		if (!err) {
			count++;
			continue;
		}
		mutex_lock(&b->lock);
		list_del(&w->node);
		list_push_back(&b->waiters, &w->node);
		__atomic_store_n(&w->b, b, __ATOMIC_RELEASE);
		mutex_unlock(&b->lock);
	}
	return count ? count : err;
}

long futex_requeue_pi(struct task *t, uaddr_t from, uaddr_t lock, uint32_t nrequeue, uint32_t val,
	bool shared)
{
	struct futex_key kf, kl;
	int err;

	if (from.v == lock.v || (int32_t)nrequeue < 0)
		return -EINVAL;
	err = futex_get_key(t, from, shared, &kf);
	if (!err)
		err = futex_get_key(t, lock, shared, &kl);
	if (err)
		return err;
	if (futex_key_eq(&kf, &kl))
		return -EINVAL;
	MUTEX_GUARD(&pi_lock);
	return requeue_pi_locked(t, from, lock, (uint64_t)nrequeue + 1, val, &kf, &kl);
}

/* Whoever waits for locks of the exiting t: the first of each gets it. */
static void pi_exit(struct task *t)
{
	struct pi_waiter *w, *o;

	MUTEX_GUARD(&pi_lock);
	list_for_each(w, &pi_waiters, node) {
		if (w->owner != t->pid || w->owner_died)
			continue;
		w->owner_died = true;
		list_for_each(o, &pi_waiters, node)
			if (o != w && o->key.obj == w->key.obj && o->key.off == w->key.off)
				o->owner = w->task->pid;
		ctx_wake(&w->task->ctx);
	}
}

/* --- robust lists: get_robust_list(2), Documentation/locking/robust-futex-ABI --- */

struct robust_head {
	uint64_t next;
	int64_t offset;
	uint64_t pending;
};

/* The word of a lock that t may have held when it died. */
static void futex_death(struct task *t, uaddr_t addr, bool pi, bool pending)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, seen;

	if (addr.v & 3)
		return;
	do {
		if (uaccess_load32(&t->ctx, addr, &word))
			return;
		if (pending && !pi && !(word & FUTEX_TID_MASK)) {
			/* Died between unlocking and waking. */
			futex_wake(t, addr, 1, FUTEX_BITSET_MATCH_ANY, true);
			return;
		}
		if ((word & FUTEX_TID_MASK) != tid)
			return;
		if (uaccess_cmpxchg32(&t->ctx, addr, word,
			    (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen))
			return;
	} while (seen != word);
	if (!pi && (word & FUTEX_WAITERS))
		futex_wake(t, addr, 1, FUTEX_BITSET_MATCH_ANY, true);
}

static void exit_robust(struct task *t)
{
	uint64_t head = t->robust_list, entry, next;
	struct robust_head h;

	if (!head || uaccess_get(&t->ctx, &h, UADDR(head)))
		return;
	entry = h.next;
	for (int i = 0; i < ROBUST_LIMIT && (entry & ~1UL) != head; i++) {
		/* Read on first: the entry may be reused once its lock is free. */
		bool more = uaccess_get(&t->ctx, &next, UADDR(entry & ~1UL)) == 0;

		if (entry != h.pending)
			futex_death(t, UADDR((entry & ~1UL) + (uint64_t)h.offset), entry & 1,
				false);
		if (!more)
			break;
		entry = next;
	}
	if (h.pending & ~1UL)
		futex_death(t, UADDR((h.pending & ~1UL) + (uint64_t)h.offset), h.pending & 1, true);
}

void futex_exit_cleanup(struct task *t)
{
	uint32_t zero = 0;

	exit_robust(t);
	WRITE_ONCE(t->robust_list, 0);
	pi_exit(t);
	if (t->clear_child_tid && ref_count(&t->ctx.mm->ref) > 1) {
		/* Only if somebody is left to see it, as Linux. */
		if (!uaccess_put(&t->ctx, UADDR(t->clear_child_tid), &zero))
			futex_wake(t, UADDR(t->clear_child_tid), 1, FUTEX_BITSET_MATCH_ANY, true);
	}
	t->clear_child_tid = 0;
}
