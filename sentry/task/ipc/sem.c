/*
 * System V semaphores: semop(2), semctl(2).
 *
 * The operations of a call happen all or none.  Those of a call that sleeps are
 * tried again, in order of arrival, by whoever changes the set; he carries them
 * out on behalf of the sleeper, so nobody who comes later can overtake.
 *
 * SEM_UNDO: each process (each group of tasks that share them, CLONE_SYSVSEM)
 * has a list of adjustments, one struct sem_undo a set.  A set knows its
 * undos too: setting a value clears them, removing the set frees them.
 */
#include <stdio.h>
#include <sys/sem.h>

#include "sentry/task/ipc/ipc_priv.h"

struct sem {
	int32_t val GUARDED_BY(ipc_lock);
	struct pid *pid GUARDED_BY(ipc_lock); /* owned: who changed it last */
};

struct sem_set {
	struct ipc_obj o; /* first */
	GUARDED_BY(ipc_lock) int64_t otime;
	uint32_t nsems;
	struct sem *sems GUARDED_BY(ipc_lock); /* buf_alloc'ed */
	struct list_node waiters;              /* sem_waiter.w.node */
	struct list_node undos;                /* sem_undo.set_node */
};

struct sem_undo {
	struct list_node set_node, list_node;
	struct sem_set *set GUARDED_BY(ipc_lock);
	int16_t *adj GUARDED_BY(ipc_lock); /* buf_alloc'ed, one a semaphore */
};

struct sem_undo_list {
	struct ref ref;
	struct list_node undos;
};

/* A call of semop; on the stack of the caller. */
struct sem_waiter {
	struct ipc_waiter w; /* first */
	struct task *t;
	const struct abi_sembuf *ops;
	uint32_t n, blocking GUARDED_BY(ipc_lock); /* blocking: the operation that it waits for */
	bool alter;
	struct sem_undo *undo;
};

static SLAB_DEFINE(sem_set_slab, struct sem_set);
static SLAB_DEFINE(sem_undo_slab, struct sem_undo);
static SLAB_DEFINE(sem_undo_list_slab, struct sem_undo_list);

static struct sem_set *set_of(struct ipc_obj *o)
{
	return o ? container_of(o, struct sem_set, o) : NULL;
}

static void undo_free(struct sem_undo *u, uint32_t nsems) REQUIRES(ipc_lock)
{
	list_del(&u->set_node);
	list_del(&u->list_node);
	buf_free(u->adj, nsems * sizeof(*u->adj));
	slab_free(&sem_undo_slab, u);
}

void sem_destroy(struct ipc_obj *o)
{
	struct sem_set *s = set_of(o);
	struct ipc_waiter *w, *wt;
	struct sem_undo *u, *ut;

	ipc_remove(o);
	o->ns->sems -= s->nsems;
	list_for_each_safe(u, ut, &s->undos, set_node)
		undo_free(u, s->nsems);
	list_for_each_safe(w, wt, &s->waiters, node)
		ipc_waiter_finish(w, -EIDRM);
	for (uint32_t i = 0; i < s->nsems; i++)
		pid_put(s->sems[i].pid);
	buf_free(s->sems, s->nsems * sizeof(*s->sems));
	slab_free(&sem_set_slab, s);
}

static int make_set(struct task *t, int32_t key, uint32_t nsems, int flags) REQUIRES(ipc_lock)
{
	struct sem_set *s;
	int err = -ENOMEM;

	if (nsems == 0)
		return -EINVAL;
	if (t->ipc->sems + (uint64_t)nsems > SEM_MNS)
		return -ENOSPC;
	s = slab_alloc(&sem_set_slab);
	if (!s)
		return -ENOMEM;
	s->sems = buf_alloc(nsems * sizeof(*s->sems));
	if (s->sems)
		err = ipc_add(t, &s->o, IPC_SEM, key, flags);
	if (err) {
		buf_free(s->sems, nsems * sizeof(*s->sems));
		slab_free(&sem_set_slab, s);
		return err;
	}
	s->nsems = nsems;
	list_init(&s->waiters);
	list_init(&s->undos);
	t->ipc->sems += nsems;
	return s->o.id;
}

int sem_get(struct task *t, int32_t key, int nsems, int flags)
{
	struct ipc_obj *o;
	int err;

	if (nsems < 0 || nsems > SEM_MSL)
		return -EINVAL;
	MUTEX_GUARD(&ipc_lock);
	err = ipc_get(t, IPC_SEM, key, flags, &o);
	if (err)
		return err;
	if (!o)
		return make_set(t, key, (uint32_t)nsems, flags);
	if ((uint32_t)nsems > set_of(o)->nsems)
		return -EINVAL;
	err = ipc_perms(t, o, (uint32_t)flags);
	return err ? err : o->id;
}

/* --- semop --- */

#define WOULD_BLOCK 1

static void roll_back(struct sem_set *s, const struct sem_waiter *w, uint32_t n) REQUIRES(ipc_lock)
{
	while (n-- > 0) {
		const struct abi_sembuf *op = &w->ops[n];

		s->sems[op->sem_num].val -= op->sem_op;
		if (op->sem_flg & SEM_UNDO)
			w->undo->adj[op->sem_num] =
				(int16_t)(w->undo->adj[op->sem_num] + op->sem_op);
	}
}

/* One operation: 0, WOULD_BLOCK, -EAGAIN, -ERANGE. */
static int apply(struct sem_set *s, struct sem_waiter *w, const struct abi_sembuf *op)
	REQUIRES(ipc_lock)
{
	struct sem *sem = &s->sems[op->sem_num];
	int32_t val = sem->val + op->sem_op, adj;

	if ((op->sem_op == 0 && sem->val != 0) || val < 0)
		return op->sem_flg & IPC_NOWAIT ? -EAGAIN : WOULD_BLOCK;
	if (val > SEM_VMX)
		return -ERANGE;
	if (op->sem_flg & SEM_UNDO) {
		adj = w->undo->adj[op->sem_num] - op->sem_op;
		if (adj < -SEM_VMX - 1 || adj > SEM_VMX)
			return -ERANGE;
		w->undo->adj[op->sem_num] = (int16_t)adj;
	}
	sem->val = val;
	return 0;
}

static int try_ops(struct sem_set *s, struct sem_waiter *w) REQUIRES(ipc_lock)
{
	for (uint32_t i = 0; i < w->n; i++) {
		int r = apply(s, w, &w->ops[i]);

		if (r) {
			w->blocking = i;
			roll_back(s, w, i);
			return r;
		}
	}
	for (uint32_t i = 0; i < w->n; i++)
		ipc_set_pid(w->t, &s->sems[w->ops[i].sem_num].pid);
	s->otime = ipc_now();
	return 0;
}

/* The set has changed: who can go on? */
static void update(struct sem_set *s) REQUIRES(ipc_lock)
{
	struct ipc_waiter *iw, *tmp;
	bool again;

	do {
		again = false;
		list_for_each_safe(iw, tmp, &s->waiters, node) {
			struct sem_waiter *w = container_of(iw, struct sem_waiter, w);
			int r = try_ops(s, w);

			if (r == WOULD_BLOCK)
				continue;
			ipc_waiter_finish(iw, r);
			if (r == 0 && w->alter) {
				again = true;
				break;
			}
		}
	} while (again);
}

/* What t is to undo, a new list if it has none; kcmp(2) looks at the pointer. */
static struct sem_undo_list *undo_list(struct task *t) REQUIRES(ipc_lock)
{
	struct sem_undo_list *l = t->sysvsem;

	if (l)
		return l;
	l = slab_alloc(&sem_undo_list_slab);
	if (!l)
		return NULL;
	ref_init(&l->ref);
	list_init(&l->undos);
	WRITE_ONCE(t->sysvsem, l);
	return l;
}

static struct sem_undo *find_undo(struct task *t, struct sem_set *s) REQUIRES(ipc_lock)
{
	struct sem_undo *u;

	if (!undo_list(t))
		return NULL;
	list_for_each(u, &t->sysvsem->undos, list_node)
		if (u->set == s)
			return u;
	u = slab_alloc(&sem_undo_slab);
	if (!u)
		return NULL;
	u->adj = buf_alloc(s->nsems * sizeof(*u->adj));
	if (!u->adj) {
		slab_free(&sem_undo_slab, u);
		return NULL;
	}
	u->set = s;
	list_push_back(&s->undos, &u->set_node);
	list_push_back(&t->sysvsem->undos, &u->list_node);
	return u;
}

/* A signal makes semop fail whatever SA_RESTART says (signal(7)); a freeze does not. */
static int interrupted(struct task *t)
{
	uint32_t intr = __atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE);

	return intr & (CTX_INTR_SIGNAL | CTX_INTR_KILL) ? -EINTR : -ERESTARTNOHAND;
}

static int op_locked(struct sem_set *s, struct sem_waiter *w, bool undo, int64_t deadline)
	REQUIRES(ipc_lock)
{
	int r;

	if (undo && !(w->undo = find_undo(w->t, s)))
		return -ENOMEM;
	r = try_ops(s, w);
	if (r == 0 && w->alter)
		update(s);
	if (r != WOULD_BLOCK)
		return r;
	ipc_waiter_add(&w->w, &w->t->ctx, &s->waiters);
	r = ipc_wait(&w->w, deadline);
	if (r == -ETIMEDOUT)
		return -EAGAIN;
	return r == -ERESTARTSYS ? interrupted(w->t) : r;
}

int sem_op(struct task *t, int id, const struct abi_sembuf *ops, uint32_t n, int64_t deadline)
{
	struct sem_waiter w = {.t = t, .ops = ops, .n = n};
	bool undo = false;
	uint32_t max = 0;
	int err;

	for (uint32_t i = 0; i < n; i++) {
		max = MAX(max, (uint32_t)ops[i].sem_num);
		undo |= (ops[i].sem_flg & SEM_UNDO) != 0;
		w.alter |= ops[i].sem_op != 0;
	}
	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_by_id(t->ipc, IPC_SEM, id, &err));
	if (!s)
		return err;
	if (max >= s->nsems)
		return -EFBIG;
	err = ipc_perms(t, &s->o, w.alter ? 0222 : 0444);
	return err ? err : op_locked(s, &w, undo, deadline);
}

/* --- SEM_UNDO --- */

int sem_undo_share(struct task *child, struct task *parent)
{
	MUTEX_GUARD(&ipc_lock);
	if (!undo_list(parent))
		return -ENOMEM;
	ref_get(&parent->sysvsem->ref);
	child->sysvsem = parent->sysvsem;
	return 0;
}

static void undo_apply(struct task *t, struct sem_undo *u) REQUIRES(ipc_lock)
{
	struct sem_set *s = u->set;

	for (uint32_t i = 0; i < s->nsems; i++) {
		if (!u->adj[i])
			continue;
		int32_t val = s->sems[i].val + u->adj[i];
		s->sems[i].val = MIN(MAX(val, 0), SEM_VMX);
		ipc_set_pid(t, &s->sems[i].pid);
	}
	undo_free(u, s->nsems);
	s->otime = ipc_now();
	update(s);
}

void sem_undo_leave(struct task *t)
{
	struct sem_undo_list *l = t->sysvsem;
	struct sem_undo *u;

	if (!l)
		return;
	WRITE_ONCE(t->sysvsem, NULL); /* kcmp compares it */
	if (!ref_put(&l->ref))
		return;
	mutex_lock(&ipc_lock);
	while ((u = list_first(&l->undos, struct sem_undo, list_node)))
		undo_apply(t, u);
	mutex_unlock(&ipc_lock);
	slab_free(&sem_undo_list_slab, l);
}

/* --- semctl --- */

int sem_stat(struct task *t, int id, int cmd, struct abi_semid64_ds *out)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s =
		set_of(ipc_find_stat(t, IPC_SEM, id, cmd != IPC_STAT, cmd == SEM_STAT_ANY, &err));
	if (!s)
		return err;
	ipc_fill_perm(&s->o, &out->sem_perm);
	out->sem_otime = s->otime;
	out->sem_ctime = s->o.ctime;
	out->sem_nsems = s->nsems;
	return cmd == IPC_STAT ? 0 : s->o.id;
}

int sem_rmid(struct task *t, int id)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct ipc_obj *o = ipc_find_owned(t, IPC_SEM, id, &err);
	if (o)
		sem_destroy(o);
	return err;
}

static void clear_undo(struct sem_set *s, uint32_t num) REQUIRES(ipc_lock)
{
	struct sem_undo *u;

	list_for_each(u, &s->undos, set_node)
		u->adj[num] = 0;
}

int sem_setval(struct task *t, int id, int num, int val)
{
	int err;

	if (val < 0 || val > SEM_VMX)
		return -ERANGE;
	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_by_id(t->ipc, IPC_SEM, id, &err));
	if (!s)
		return err;
	if (num < 0 || (uint32_t)num >= s->nsems)
		return -EINVAL;
	err = ipc_perms(t, &s->o, 0222);
	if (err)
		return err;
	clear_undo(s, (uint32_t)num);
	s->sems[num].val = val;
	ipc_set_pid(t, &s->sems[num].pid);
	s->o.ctime = ipc_now();
	update(s);
	return 0;
}

/* How many sleep on this semaphore until it grows (or is zero). */
static int count_waiters(struct sem_set *s, uint32_t num, bool zero) REQUIRES(ipc_lock)
{
	struct ipc_waiter *iw;
	int n = 0;

	list_for_each(iw, &s->waiters, node) {
		struct sem_waiter *w = container_of(iw, struct sem_waiter, w);
		const struct abi_sembuf *op = &w->ops[w->blocking];

		n += op->sem_num == num && (op->sem_op == 0) == zero;
	}
	return n;
}

int sem_getone(struct task *t, int id, int num, int cmd)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_find(t, IPC_SEM, id, 0444, &err));
	if (!s)
		return err;
	if (num < 0 || (uint32_t)num >= s->nsems)
		return -EINVAL;
	switch (cmd) {
	case GETVAL:
		return s->sems[num].val;
	case GETPID:
		return ipc_pid_nr(t, s->sems[num].pid);
	default:
		return count_waiters(s, (uint32_t)num, cmd == GETZCNT);
	}
}

int sem_getall(struct task *t, int id, uint16_t **vals, uint32_t *n)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_find(t, IPC_SEM, id, 0444, &err));
	if (!s)
		return err;
	*n = s->nsems;
	*vals = buf_alloc(s->nsems * sizeof(**vals));
	if (!*vals)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->nsems; i++)
		(*vals)[i] = (uint16_t)s->sems[i].val;
	return 0;
}

int sem_count(struct task *t, int id, uint32_t *n)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_find(t, IPC_SEM, id, 0222, &err));
	if (s)
		*n = s->nsems;
	return err;
}

int sem_setall(struct task *t, int id, const uint16_t *vals, uint32_t n)
{
	int err;

	for (uint32_t i = 0; i < n; i++)
		if (vals[i] > SEM_VMX)
			return -ERANGE;
	MUTEX_GUARD(&ipc_lock);
	struct sem_set *s = set_of(ipc_by_id(t->ipc, IPC_SEM, id, &err));
	if (!s || s->nsems != n)
		return -EIDRM;
	for (uint32_t i = 0; i < n; i++) {
		s->sems[i].val = vals[i];
		ipc_set_pid(t, &s->sems[i].pid);
		clear_undo(s, i);
	}
	s->o.ctime = ipc_now();
	update(s);
	return 0;
}

void sem_usage(struct task *t, uint32_t *sets, uint32_t *sems, int *max_index)
{
	MUTEX_GUARD(&ipc_lock);
	*sets = t->ipc->ids[IPC_SEM].used;
	*sems = t->ipc->sems;
	*max_index = MAX(t->ipc->ids[IPC_SEM].max, 0);
}

int sem_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n)
{
	struct sem_set *s = set_of(o);

	return snprintf(buf, n, "%10d %10d  %4o %10u %5u %5u %5u %5u %10lu %10lu\n", o->key, o->id,
		o->mode, s->nsems, o->uid, o->gid, o->cuid, o->cgid, s->otime, o->ctime);
}
