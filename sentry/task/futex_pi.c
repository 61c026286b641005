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

#include "sentry/task/task_priv.h"

#define ROBUST_LIMIT 2048

struct pi_waiter {
	struct list_node node;
	struct futex_key key;
	struct task *task;
	struct pid *owner; /* who held the lock when we queued; borrowed for comparison only */
	bool granted, owner_died;
};

static struct mutex pi_lock = MUTEX_INIT(LOCK_FUTEX_PI);
static struct list_node pi_waiters = LIST_INIT(pi_waiters); /* all; guarded by pi_lock */

static struct pi_waiter *first_waiter(const struct futex_key *k, const struct pi_waiter *but)
{
	struct pi_waiter *w;

	list_for_each(w, &pi_waiters, node)
		if (w != but && w->key.obj == k->obj && w->key.off == k->off &&
			w->key.shared == k->shared)
			return w;
	return NULL;
}

static int pi_key(struct task *t, uaddr_t addr, bool shared, struct futex_key *k)
{
	if (addr.v & 3)
		return -EINVAL;
	if (addr.v >= PL_ADDR_MAX)
		return -EFAULT;
	return mm_futex_key(&t->ctx, t->ctx.mm, addr, shared, k);
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
 * One attempt, pi_lock held: 0: we own it; -EWOULDBLOCK: somebody does, the word says that we
 * wait, *owner is filled; -EDEADLK, -ESRCH, -EFAULT.
 */
static int pi_try(struct task *t, uaddr_t addr, struct futex_key *k, bool mark, struct pid **owner)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, new, seen;
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
static int take_from_dead(struct task *t, uaddr_t addr, struct futex_key *k)
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

long futex_lock_pi(struct task *t, uaddr_t addr, bool shared, int64_t deadline, bool trylock)
{
	struct pi_waiter w = {.task = t};
	int err = pi_key(t, addr, shared, &w.key), blocked = 0;

	if (err)
		return err;
	mutex_lock(&pi_lock);
	err = pi_try(t, addr, &w.key, !trylock, &w.owner);
	if (err != -EWOULDBLOCK || trylock) {
		mutex_unlock(&pi_lock);
		return err;
	}
	list_push_back(&pi_waiters, &w.node);
	while (!w.granted && !w.owner_died && !blocked) {
		mutex_unlock(&pi_lock);
		blocked = ctx_block(&t->ctx, deadline);
		mutex_lock(&pi_lock);
	}
	list_del(&w.node);
	if (w.granted)
		err = 0;
	else if (w.owner_died)
		err = take_from_dead(t, addr, &w.key);
	else
		err = blocked == -ETIMEDOUT ? -ETIMEDOUT : -ERESTARTNOINTR;
	mutex_unlock(&pi_lock);
	return err;
}

long futex_unlock_pi(struct task *t, uaddr_t addr, bool shared)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, new, seen;
	struct pi_waiter *w, *o;
	struct futex_key k;
	int err = pi_key(t, addr, shared, &k);

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
			futex_death(t, UADDR((entry & ~1UL) + (uint64_t)h.offset), entry & 1, false);
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
	t->robust_list = 0;
	pi_exit(t);
	if (t->clear_child_tid && ref_count(&t->ctx.mm->ref) > 1) {
		/* Only if somebody is left to see it, as Linux. */
		if (!uaccess_put(&t->ctx, UADDR(t->clear_child_tid), &zero))
			futex_wake(t, UADDR(t->clear_child_tid), 1, FUTEX_BITSET_MATCH_ANY, true);
	}
	t->clear_child_tid = 0;
}
