/*
 * Priority-inheritance futexes and robust lists.
 *
 * The guest's word holds the owner's tid and two flags; the kernel comes in
 * only when there is contention.  One sleepable lock (pi->lock) serializes all
 * PI operations, so the word can be read and changed while it is held.  Waiters
 * queue in order of arrival: the sandbox does not schedule by priority, so
 * there is none to inherit; what remains is the hand-over protocol.
 *
 * A waiter is found by its lock and by the lock's owner: it is in a bucket of
 * either kind.  So what an owner of many locks costs when it exits is who waits
 * for them, and who happens to be in their buckets.
 *
 * A waiter that gets the lock finds its tid written into the word by whoever
 * gave it up.  If the owner died, the waiter writes it itself, with
 * FUTEX_OWNER_DIED.
 */
#include <linux/futex.h>

#include "sentry/task/futex/futex_priv.h"

#define ROBUST_LIMIT 2048

#define PI_BITS 10
#define PI_HASH (1u << PI_BITS)

/* All of it, and every waiter, under the lock. */
struct pi_globals {
	struct mutex lock;
	GUARDED_BY_MEMBER(lock) struct list_node by_key[PI_HASH], by_owner[PI_HASH];
};
static struct pi_globals *pi RO_AFTER_INIT;

static void pi_init(void)
{
	mutex_init(&pi->lock, LOCK_FUTEX_PI);
	for (uint32_t i = 0; i < PI_HASH; i++) {
		list_init(&pi->by_key[i]);
		list_init(&pi->by_owner[i]);
	}
}
KERNEL_UNIT("pi futex", pi, pi_init);

struct pi_waiter {
	struct list_node node;       /* of its lock's bucket */
	struct list_node owner_node; /* of the owner's */
	struct futex_key key;
	struct task *task;
	struct pid *owner; /* who holds the lock; borrowed for comparison only */
	GUARDED_BY(pi->lock) bool granted, owner_died;
};

static struct list_node *key_bucket(const struct futex_key *k)
{
	return &pi->by_key[futex_hash(k) >> (64 - PI_BITS)];
}

static struct list_node *owner_bucket(const struct pid *owner)
{
	return &pi->by_owner[(uintptr_t)owner * 0x9e3779b97f4a7c15UL >> (64 - PI_BITS)];
}

static void enqueue(struct pi_waiter *w) REQUIRES(pi->lock)
{
	list_push_back(key_bucket(&w->key), &w->node);
	list_push_back(owner_bucket(w->owner), &w->owner_node);
}

static void dequeue(struct pi_waiter *w) REQUIRES(pi->lock)
{
	list_del(&w->node);
	list_del(&w->owner_node);
}

/* The lock is handed over: to its other waiters the heir is the owner. */
static void change_owner(const struct pi_waiter *heir) REQUIRES(pi->lock)
{
	struct pi_waiter *w;

	list_for_each(w, key_bucket(&heir->key), node) {
		if (w == heir || w->owner_died || !futex_key_eq(&w->key, &heir->key))
			continue;
		list_del(&w->owner_node);
		w->owner = heir->task->pid;
		list_push_back(owner_bucket(w->owner), &w->owner_node);
	}
}

static struct pi_waiter *first_waiter(const struct futex_key *k, const struct pi_waiter *but)
{
	struct pi_waiter *w;

	list_for_each(w, key_bucket(k), node)
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
	gone = READ_ONCE(o->exiting); /* if not yet, it will find us: pi_exit */
	task_put(o);
	return gone ? -ESRCH : 0;
}

/*
 * One attempt for who, pi->lock held: 0: who owns it; -EWOULDBLOCK: somebody does, the word says
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
static int take_from_dead(struct task *t, uaddr_t addr, struct futex_key *k) REQUIRES(pi->lock)
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

/* Waits for the lock, pi->lock held but for the sleep: 0, -ETIMEDOUT, -ERESTARTSYS, -EFAULT. */
static int pi_wait(struct task *t, struct pi_waiter *w, uaddr_t addr, int64_t deadline)
	REQUIRES(pi->lock)
{
	int blocked = 0;

	while (!w->granted && !w->owner_died && !blocked) {
		mutex_unlock(&pi->lock);
		blocked = ctx_block(&t->ctx, deadline);
		mutex_lock(&pi->lock);
	}
	dequeue(w);
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
	mutex_lock(&pi->lock);
	err = pi_try(t, t, addr, &w.key, !trylock, &w.owner);
	if (err != -EWOULDBLOCK || trylock) {
		mutex_unlock(&pi->lock);
		return err;
	}
	enqueue(&w);
	err = pi_wait(t, &w, addr, deadline);
	mutex_unlock(&pi->lock);
	return err == -ERESTARTSYS ? -ERESTARTNOINTR : err;
}

long futex_unlock_pi(struct task *t, uaddr_t addr, bool shared)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), word, new, seen;
	struct pi_waiter *w;
	struct futex_key k;
	int err = futex_get_key(t, addr, shared, &k);

	if (err)
		return err;
	MUTEX_GUARD(&pi->lock);
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
		dequeue(w);
		change_owner(w);
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
	list_init(&pw.owner_node);
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
		mutex_lock(&pi->lock); /* whoever took us off the queue has finished */
		if (futex_woken(&w))
			break;
		mutex_unlock(&pi->lock); /* and has put us back */
	}
	err = pi_wait(t, &pw, lock, deadline);
	mutex_unlock(&pi->lock);
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

/* Gives the lock to w or queues it there. */
static int hand_over(struct task *t, struct futex_waiter *w, uaddr_t lock) REQUIRES(pi->lock)
{
	struct pi_waiter *pw = w->pi;
	int err = pi_try(t, pw->task, lock, &pw->key, true, &pw->owner);

	if (err && err != -EWOULDBLOCK)
		return err;
	list_del(&w->node);
	pw->granted = !err;
	if (err)
		enqueue(pw);
	ctx_wake(&pw->task->ctx);
	return 0;
}

static long requeue_pi_locked(struct task *t, uaddr_t from, uaddr_t lock, uint64_t n, uint32_t val,
	const struct futex_key *kf, const struct futex_key *kl) REQUIRES(pi->lock)
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
	MUTEX_GUARD(&pi->lock);
	return requeue_pi_locked(t, from, lock, (uint64_t)nrequeue + 1, val, &kf, &kl);
}

/* Whoever waits for locks of the exiting t: the first of each gets it. */
static void pi_exit(struct task *t)
{
	struct pi_waiter *w, *tmp;
	struct list_node mine;

	list_init(&mine);
	MUTEX_GUARD(&pi->lock);
	list_for_each_safe(w, tmp, owner_bucket(t->pid), owner_node) {
		if (w->owner != t->pid)
			continue;
		list_del(&w->owner_node);
		list_push_back(&mine, &w->owner_node);
	}
	while ((w = list_first(&mine, struct pi_waiter, owner_node))) {
		list_del(&w->owner_node);
		w->owner = NULL;
		w->owner_died = true;
		change_owner(w); /* takes those who come after it off mine */
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
