/*
 * Futexes.
 *
 * Guest memory cannot be read under a bucket lock (the access may fault and
 * sleep), so the promise of FUTEX_WAIT, that the word is tested and the sleep
 * begun as one step, is kept another way: the waiter queues itself first, as
 * "tentative", then reads the word, and then, under the lock, becomes a real
 * waiter, unless a waker has passed by in between ("hit"): then it reads again.
 * Wakers pass tentative waiters over: whoever changes the word and then wakes
 * is seen either through the word (EAGAIN) or by the queue.
 *
 * FUTEX_CMP_REQUEUE reads the word before it locks; the sequence numbers of
 * the buckets, bumped by each operation, tell it to read again.
 *
 * A futex is known by its key (mm_futex_key): two addresses of one shared page
 * are one futex.
 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "sentry/task/futex/futex_priv.h"

#define BUCKET_BITS 10
#define WAITV_MAX 128

struct futex_globals {
	struct bucket bucket[1 << BUCKET_BITS];
};
static struct futex_globals *futex RO_AFTER_INIT;

static void futex_init(void)
{
	for (size_t i = 0; i < ARRAY_LEN(futex->bucket); i++) {
		mutex_init(&futex->bucket[i].lock, LOCK_FUTEX);
		list_init(&futex->bucket[i].waiters);
	}
}
KERNEL_UNIT("futex", futex, futex_init);

struct bucket *futex_bucket(const struct futex_key *k)
{
	return &futex->bucket[futex_hash(k) >> (64 - BUCKET_BITS)];
}

int futex_get_key(struct task *t, uaddr_t addr, bool shared, struct futex_key *k)
{
	if (addr.v & 3)
		return -EINVAL;
	if (addr.v >= PL_ADDR_MAX)
		return -EFAULT;
	return mm_futex_key(&t->ctx, t->ctx.mm, addr, shared, k);
}

/* --- waiting --- */

void futex_enqueue(struct futex_waiter *w, struct task *t, uint32_t bitset)
{
	struct bucket *b = futex_bucket(&w->key);

	w->task = t;
	w->bitset = bitset;
	w->tentative = true;
	w->hit = false;
	mutex_lock(&b->lock);
	__atomic_store_n(&w->b, b, __ATOMIC_RELEASE);
	list_push_back(&b->waiters, &w->node);
	mutex_unlock(&b->lock);
}

bool futex_dequeue(struct futex_waiter *w)
{
	struct bucket *b;

	for (;;) {
		b = __atomic_load_n(&w->b, __ATOMIC_ACQUIRE);
		if (!b)
			return false;
		mutex_lock(&b->lock);
		if (b == w->b)
			break;
		mutex_unlock(&b->lock); /* requeued meanwhile */
	}
	list_del(&w->node);
	w->b = NULL;
	mutex_unlock(&b->lock);
	return true;
}

int futex_commit_wait(struct task *t, struct futex_waiter *w, uaddr_t addr, uint32_t val)
{
	struct bucket *b = w->b; /* a tentative waiter is not requeued */
	uint32_t cur;
	bool hit;
	int err;

	do {
		mutex_lock(&b->lock);
		w->hit = false;
		mutex_unlock(&b->lock);
		err = uaccess_load32(&t->ctx, addr, &cur);
		if (err)
			return err;
		if (cur != val)
			return -EAGAIN;
		mutex_lock(&b->lock);
		hit = w->hit;
		if (!hit)
			w->tentative = false;
		mutex_unlock(&b->lock);
		if (hit && ctx_interrupted(&t->ctx))
			return -ERESTARTSYS;
	} while (hit);
	return 0;
}

static int sleep_on(struct task *t, struct futex_waiter *w, int64_t deadline)
{
	int err = 0;

	while (!futex_woken(w) && !err)
		err = ctx_block(&t->ctx, deadline);
	return futex_dequeue(w) ? err : 0;
}

long futex_wait(struct task *t, uaddr_t addr, uint32_t val, uint32_t bitset, bool shared,
	int64_t deadline, bool restartable)
{
	struct futex_waiter w = {.pi = NULL};
	int err;

	if (!bitset)
		return -EINVAL;
	err = futex_get_key(t, addr, shared, &w.key);
	if (err)
		return err;
	futex_enqueue(&w, t, bitset);
	err = futex_commit_wait(t, &w, addr, val);
	if (err)
		futex_dequeue(&w);
	else
		err = sleep_on(t, &w, deadline);
	if (err != -ERESTARTSYS || deadline == DEADLINE_NEVER || !restartable)
		return err;
	t->restart = (struct task_restart){.nr = SYS_futex,
		.deadline = deadline,
		.args = {addr.v, val, bitset, shared}};
	return -ERESTART_RESTARTBLOCK;
}

long futex_waitv(struct task *t, const struct futex_waitv_k *v, uint32_t n, int64_t deadline)
{
	struct futex_waiter *w;
	uint32_t queued = 0;
	long ret = 0, hit = -1;

	if (!n || n > WAITV_MAX)
		return -EINVAL;
	w = buf_alloc(n * sizeof(*w));
	if (!w)
		return -ENOMEM;
	for (; queued < n && !ret; queued++) {
		ret = futex_get_key(t, v[queued].addr, v[queued].shared, &w[queued].key);
		if (ret)
			break;
		futex_enqueue(&w[queued], t, FUTEX_BITSET_MATCH_ANY);
		ret = futex_commit_wait(t, &w[queued], v[queued].addr, v[queued].val);
	}
	while (!ret) {
		for (uint32_t i = 0; i < n && hit < 0; i++)
			if (futex_woken(&w[i]))
				hit = i;
		if (hit >= 0)
			break;
		ret = ctx_block(&t->ctx, deadline);
	}
	for (uint32_t i = 0; i < queued; i++)
		if (!futex_dequeue(&w[i]))
			hit = i;
	buf_free(w, n * sizeof(*w));
	return hit >= 0 ? hit : ret;
}

/* --- waking --- */

/* Takes over a reference.  A task that another waker has in its queue is going to be woken by that
 * one, but maybe too early for us. */
static void wakeq_add(struct wakeq *q, struct task *t)
{
	struct task *none = NULL;

	if (__atomic_compare_exchange_n(&t->wake_next, &none, WAKEQ_END, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_RELAXED)) {
		*q->tail = t;
		q->tail = &t->wake_next;
	} else {
		ctx_wake(&t->ctx);
		task_put(t);
	}
}

void wakeq_wake(struct wakeq *q)
{
	struct task *t, *next;

	for (t = q->first; t; t = next) {
		next = t->wake_next == WAKEQ_END ? NULL : t->wake_next;
		__atomic_store_n(&t->wake_next, NULL, __ATOMIC_RELEASE);
		ctx_wake(&t->ctx);
		task_put(t);
	}
}

static void wake(struct futex_waiter *w, struct wakeq *q)
{
	struct task *t = task_get(w->task);

	list_del(&w->node);
	__atomic_store_n(&w->b, NULL, __ATOMIC_RELEASE); /* w may be gone from here on */
	wakeq_add(q, t);
}

/* At most n waiters of key; bucket locked.  -EINVAL: one of them waits to be requeued to a lock. */
static long wake_locked(struct bucket *b, const struct futex_key *k, uint32_t n, uint32_t bitset,
	struct wakeq *q) REQUIRES(b->lock)
{
	struct futex_waiter *w, *tmp;
	uint32_t count = 0;

	b->seq++;
	list_for_each_safe(w, tmp, &b->waiters, node) {
		if (!futex_key_eq(&w->key, k) || !(w->bitset & bitset))
			continue;
		if (w->tentative) {
			w->hit = true;
			continue;
		}
		if (count == n)
			break;
		if (w->pi)
			return -EINVAL;
		wake(w, q);
		count++;
	}
	return count;
}

long futex_wake(struct task *t, uaddr_t addr, uint32_t n, uint32_t bitset, bool shared)
{
	struct futex_key k;
	struct bucket *b;
	WAKEQ(q);
	long count;
	int err;

	if (!bitset)
		return -EINVAL;
	err = futex_get_key(t, addr, shared, &k);
	if (err)
		return err;
	b = futex_bucket(&k);
	mutex_lock(&b->lock);
	/* As Linux: one is woken even if asked for none (or a negative number). */
	count = wake_locked(b, &k, (int32_t)n <= 0 ? 1 : n, bitset, &q);
	mutex_unlock(&b->lock);
	wakeq_wake(&q);
	return count;
}

long futex_check(struct task *t, uaddr_t addr, bool shared)
{
	struct futex_key k;

	return futex_get_key(t, addr, shared, &k);
}

static uint64_t bucket_seq(struct bucket *b)
{
	MUTEX_GUARD(&b->lock);
	return b->seq;
}

/* Wakes nwake and moves nrequeue waiters; both buckets locked. */
static long requeue_locked(struct bucket *from, const struct futex_key *kf, struct bucket *to,
	const struct futex_key *kt, uint32_t nwake, uint32_t nrequeue, struct wakeq *q)
	REQUIRES(from->lock, to->lock)
{
	struct futex_waiter *w, *tmp;
	uint32_t done = 0;
	struct list_node moved;
	int err = 0;

	list_init(&moved);
	from->seq++;
	to->seq += from != to;
	list_for_each_safe(w, tmp, &from->waiters, node) {
		if (!futex_key_eq(&w->key, kf))
			continue;
		if (w->tentative) {
			w->hit = true;
			continue;
		}
		if (done >= nwake && done - nwake >= nrequeue)
			break;
		if (w->pi) {
			err = -EINVAL;
			break;
		}
		if (done++ < nwake) {
			wake(w, q);
			continue;
		}
		list_del(&w->node);
		list_push_back(&moved, &w->node);
		w->key = *kt;
		__atomic_store_n(&w->b, to, __ATOMIC_RELEASE);
	}
	list_splice_back(&to->waiters, &moved);
	return err ? err : (long)done;
}

long futex_requeue(struct task *t, uaddr_t from, uaddr_t to, uint32_t nwake, uint32_t nrequeue,
	bool cmp, uint32_t val, bool shared, bool shared_to)
{
	struct futex_key kf, kt;
	struct bucket *bf, *bt;
	WAKEQ(q);
	uint64_t seq;
	uint32_t cur;
	long ret;
	int err;

	if ((int32_t)nwake < 0 || (int32_t)nrequeue < 0)
		return -EINVAL;
	err = futex_get_key(t, from, shared, &kf);
	if (!err)
		err = futex_get_key(t, to, shared_to, &kt);
	if (err)
		return err;
	bf = futex_bucket(&kf);
	bt = futex_bucket(&kt);
	for (;;) {
		seq = bucket_seq(bf);
		err = cmp ? uaccess_load32(&t->ctx, from, &cur) : 0;
		if (err)
			return err;
		if (cmp && cur != val)
			return -EAGAIN;
		mutex_lock_pair(&bf->lock, &bt->lock);
		if (!cmp || bf->seq == seq)
			break;
		mutex_unlock_pair(&bf->lock, &bt->lock);
		if (ctx_interrupted(&t->ctx))
			return -ERESTARTNOINTR;
	}
	ret = requeue_locked(bf, &kf, bt, &kt, nwake, nrequeue, &q);
	mutex_unlock_pair(&bf->lock, &bt->lock);
	wakeq_wake(&q);
	return ret;
}

static bool op_compare(uint32_t encoded, uint32_t old)
{
	int32_t arg = (int32_t)(encoded << 20) >> 20, v = (int32_t)old;

	switch (encoded >> 24 & 0xf) {
	case FUTEX_OP_CMP_EQ:
		return v == arg;
	case FUTEX_OP_CMP_NE:
		return v != arg;
	case FUTEX_OP_CMP_LT:
		return v < arg;
	case FUTEX_OP_CMP_GE:
		return v >= arg;
	case FUTEX_OP_CMP_LE:
		return v <= arg;
	default:
		return v > arg;
	}
}

long futex_wake_op(struct task *t, uaddr_t a1, uaddr_t a2, uint32_t n1, uint32_t n2, uint32_t op,
	bool shared)
{
	uint32_t arg = (uint32_t)((int32_t)(op << 8) >> 20), kind = op >> 28, old;
	struct futex_key k1, k2;
	struct bucket *b1, *b2;
	WAKEQ(q);
	long count, more;
	int err;

	err = futex_get_key(t, a1, shared, &k1);
	if (!err)
		err = futex_get_key(t, a2, shared, &k2);
	if (err)
		return err;
	if ((kind & 7) > FUTEX_OP_XOR || (op >> 24 & 0xf) > FUTEX_OP_CMP_GT)
		return -ENOSYS;
	if (kind & FUTEX_OP_OPARG_SHIFT)
		arg = 1U << (arg & 31);
	err = uaccess_futex_op32(&t->ctx, a2, kind & 7, arg, &old);
	if (err)
		return err;
	b1 = futex_bucket(&k1);
	b2 = futex_bucket(&k2);
	mutex_lock_pair(&b1->lock, &b2->lock);
	count = wake_locked(b1, &k1, MAX(n1, 1U), FUTEX_BITSET_MATCH_ANY, &q);
	more = count >= 0 && op_compare(op, old)
		       ? wake_locked(b2, &k2, MAX(n2, 1U), FUTEX_BITSET_MATCH_ANY, &q)
		       : 0;
	mutex_unlock_pair(&b1->lock, &b2->lock);
	wakeq_wake(&q);
	return more < 0 ? more : count + more;
}
