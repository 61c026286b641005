/*
 * System V message queues: msgsnd(2), msgrcv(2), msgctl(2).
 *
 * A message that a sleeping receiver waits for is handed to him directly; one
 * that does not fit into his buffer wakes him with E2BIG and stays.
 */
#include <limits.h>
#include <stdio.h>
#include <sys/msg.h>

#include "sentry/task/ipc/ipc_priv.h"

struct msg {
	struct list_node node;
	int64_t type;
	uint32_t len;
	uint8_t *data; /* buf_alloc'ed */
};

struct msgq {
	struct ipc_obj o; /* first */
	GUARDED_BY(ipc_lock) int64_t stime, rtime;
	GUARDED_BY(ipc_lock) uint64_t cbytes, qbytes;
	uint32_t qnum GUARDED_BY(ipc_lock);
	GUARDED_BY(ipc_lock) struct pid *lspid, *lrpid; /* owned */
	struct list_node msgs, senders, receivers;
};

enum match { MATCH_ANY, MATCH_EQUAL, MATCH_NOT, MATCH_UP_TO, MATCH_NUMBER };

struct receiver {
	struct ipc_waiter w; /* first */
	struct task *t;
	enum match match;
	int64_t want;
	uint64_t room;   /* UINT64_MAX with MSG_NOERROR */
	struct msg *msg; /* what it was handed */
};

static SLAB_DEFINE(msgq_slab, struct msgq);
static SLAB_DEFINE(msg_slab, struct msg);

static struct msgq *queue_of(struct ipc_obj *o)
{
	return o ? container_of(o, struct msgq, o) : NULL;
}

static void msg_free(struct msg *m)
{
	if (!m)
		return;
	buf_free(m->data, m->len);
	slab_free(&msg_slab, m);
}

static struct msg *msg_new(uint32_t len)
{
	struct msg *m = slab_alloc(&msg_slab);

	if (!m)
		return NULL;
	m->len = len;
	m->data = len ? buf_alloc(len) : NULL;
	if (!len || m->data)
		return m;
	slab_free(&msg_slab, m);
	return NULL;
}

static void queue_push(struct msgq *q, struct msg *m) REQUIRES(ipc_lock)
{
	list_push_back(&q->msgs, &m->node);
	q->cbytes += m->len;
	q->qnum++;
	q->o.ns->msgs++;
	q->o.ns->msg_bytes += m->len;
}

static void queue_take(struct msgq *q, struct msg *m) REQUIRES(ipc_lock)
{
	list_del(&m->node);
	q->cbytes -= m->len;
	q->qnum--;
	q->o.ns->msgs--;
	q->o.ns->msg_bytes -= m->len;
}

static void wake_list(struct list_node *list, int result) REQUIRES(ipc_lock)
{
	struct ipc_waiter *w, *tmp;

	list_for_each_safe(w, tmp, list, node)
		ipc_waiter_finish(w, result);
}

void msgq_destroy(struct ipc_obj *o)
{
	struct msgq *q = queue_of(o);
	struct msg *m;

	ipc_remove(o);
	wake_list(&q->senders, -EIDRM);
	wake_list(&q->receivers, -EIDRM);
	while ((m = list_first(&q->msgs, struct msg, node))) {
		queue_take(q, m);
		msg_free(m);
	}
	pid_put(q->lspid);
	pid_put(q->lrpid);
	slab_free(&msgq_slab, q);
}

int msgq_get(struct task *t, int32_t key, int flags)
{
	struct ipc_obj *o;
	struct msgq *q;
	int err;

	MUTEX_GUARD(&ipc_lock);
	err = ipc_get(t, IPC_MSG, key, flags, &o);
	if (err)
		return err;
	if (o) {
		err = ipc_perms(t, o, (uint32_t)flags);
		return err ? err : o->id;
	}
	q = slab_alloc(&msgq_slab);
	if (!q)
		return -ENOMEM;
	err = ipc_add(t, &q->o, IPC_MSG, key, flags);
	if (err) {
		slab_free(&msgq_slab, q);
		return err;
	}
	list_init(&q->msgs);
	list_init(&q->senders);
	list_init(&q->receivers);
	q->qbytes = MSG_MNB;
	return q->o.id;
}

/* --- sending --- */

static bool matches(const struct msg *m, enum match match, int64_t want)
{
	switch (match) {
	case MATCH_EQUAL:
		return m->type == want;
	case MATCH_NOT:
		return m->type != want;
	case MATCH_UP_TO:
		return m->type <= want;
	default:
		return true;
	}
}

/* Hands m to a receiver that waits for it. */
static bool hand_over(struct msgq *q, struct msg *m) REQUIRES(ipc_lock)
{
	struct ipc_waiter *iw, *tmp;

	list_for_each_safe(iw, tmp, &q->receivers, node) {
		struct receiver *r = container_of(iw, struct receiver, w);

		if (!matches(m, r->match, r->want))
			continue;
		if (m->len > r->room) {
			ipc_waiter_finish(iw, -E2BIG);
			continue;
		}
		r->msg = m;
		ipc_set_pid(r->t, &q->lrpid);
		q->rtime = ipc_now();
		ipc_waiter_finish(iw, 0);
		return true;
	}
	return false;
}

static int send_locked(struct task *t, int id, struct msg *m, int flags) REQUIRES(ipc_lock)
{
	struct ipc_waiter w;
	struct msgq *q;
	int err;

	for (;;) {
		q = queue_of(ipc_find(t, IPC_MSG, id, 0222, &err));
		if (!q)
			return err;
		if (m->len + q->cbytes <= q->qbytes && 1 + (uint64_t)q->qnum <= q->qbytes)
			break;
		if (flags & IPC_NOWAIT)
			return -EAGAIN;
		ipc_waiter_add(&w, &t->ctx, &q->senders);
		err = ipc_wait(&w, DEADLINE_NEVER);
		if (err)
			return err == -ERESTARTSYS ? -ERESTARTNOHAND : err;
	}
	ipc_set_pid(t, &q->lspid);
	q->stime = ipc_now();
	if (!hand_over(q, m))
		queue_push(q, m);
	return 0;
}

int msgq_send(struct task *t, int id, int64_t type, struct uio *u, int flags)
{
	size_t len = u->resid;
	struct msg *m;
	int err;

	if (len > MSG_MAX || id < 0 || type < 1)
		return -EINVAL;
	m = msg_new((uint32_t)len);
	if (!m)
		return -ENOMEM;
	m->type = type;
	if (len && uio_read(u, m->data, len) != (ssize_t)len) {
		msg_free(m);
		return -EFAULT;
	}
	mutex_lock(&ipc_lock);
	err = send_locked(t, id, m, flags);
	mutex_unlock(&ipc_lock);
	if (err)
		msg_free(m);
	return err;
}

/* --- receiving --- */

static struct msg *find_msg(struct msgq *q, enum match match, int64_t want)
{
	struct msg *m, *best = NULL;
	int64_t i = 0;

	list_for_each(m, &q->msgs, node) {
		if (match == MATCH_NUMBER) {
			if (i++ == want)
				return m;
		} else if (matches(m, match, want)) {
			if (match != MATCH_UP_TO)
				return m;
			if (!best || m->type < best->type)
				best = m;
		}
	}
	return best;
}

static enum match match_of(int64_t *want, int flags)
{
	if (flags & MSG_COPY)
		return MATCH_NUMBER;
	if (*want == 0)
		return MATCH_ANY;
	if (*want < 0) {
		*want = *want == INT64_MIN ? INT64_MAX : -*want;
		return MATCH_UP_TO;
	}
	return flags & MSG_EXCEPT ? MATCH_NOT : MATCH_EQUAL;
}

static int copy_msg(struct msg *m, struct msg **out)
{
	*out = msg_new(m->len);
	if (!*out)
		return -ENOMEM;
	(*out)->type = m->type;
	if (m->len)
		memcpy((*out)->data, m->data, m->len);
	return 0;
}

static int recv_locked(struct receiver *r, int id, int flags) REQUIRES(ipc_lock)
{
	struct msgq *q;
	int err;

	q = queue_of(ipc_find(r->t, IPC_MSG, id, 0444, &err));
	if (!q)
		return err;
	struct msg *m = find_msg(q, r->match, r->want);
	if (m) {
		if (m->len > r->room)
			return -E2BIG;
		if (flags & MSG_COPY)
			return copy_msg(m, &r->msg);
		queue_take(q, m);
		ipc_set_pid(r->t, &q->lrpid);
		q->rtime = ipc_now();
		r->msg = m;
		wake_list(&q->senders, 0);
		return 0;
	}
	if (flags & IPC_NOWAIT)
		return -ENOMSG;
	ipc_waiter_add(&r->w, &r->t->ctx, &q->receivers);
	err = ipc_wait(&r->w, DEADLINE_NEVER);
	return err == -ERESTARTSYS ? -ERESTARTNOHAND : err;
}

ssize_t msgq_recv(struct task *t, int id, int64_t want, struct uio *u, int flags, int64_t *type)
{
	struct receiver r = {.t = t, .want = want};
	size_t n;
	int err;

	if (id < 0)
		return -EINVAL;
	if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
		return -EINVAL;
	r.match = match_of(&r.want, flags);
	r.room = flags & MSG_NOERROR ? UINT64_MAX : u->resid;
	mutex_lock(&ipc_lock);
	err = recv_locked(&r, id, flags);
	mutex_unlock(&ipc_lock);
	if (err)
		return err;
	n = MIN((size_t)r.msg->len, u->resid);
	*type = r.msg->type;
	if (n && uio_write(u, r.msg->data, n) != (ssize_t)n)
		err = -EFAULT;
	msg_free(r.msg);
	return err ? err : (ssize_t)n;
}

/* --- msgctl --- */

int msgq_stat(struct task *t, int id, int cmd, struct abi_msqid64_ds *out)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct msgq *q =
		queue_of(ipc_find_stat(t, IPC_MSG, id, cmd != IPC_STAT, cmd == MSG_STAT_ANY, &err));
	if (!q)
		return err;
	ipc_fill_perm(&q->o, &out->msg_perm);
	out->msg_stime = q->stime;
	out->msg_rtime = q->rtime;
	out->msg_ctime = q->o.ctime;
	out->msg_cbytes = q->cbytes;
	out->msg_qnum = q->qnum;
	out->msg_qbytes = q->qbytes;
	out->msg_lspid = ipc_pid_nr(t, q->lspid);
	out->msg_lrpid = ipc_pid_nr(t, q->lrpid);
	return cmd == IPC_STAT ? 0 : q->o.id;
}

int msgq_set(struct task *t, int id, uint32_t uid, uint32_t gid, uint32_t mode, uint64_t qbytes)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct msgq *q = queue_of(ipc_find_owned(t, IPC_MSG, id, &err));
	if (!q)
		return err;
	if (qbytes > MSG_MNB && !ctx_capable(&t->ctx, CAP_SYS_RESOURCE))
		return -EPERM;
	err = ipc_set_perm_locked(&q->o, uid, gid, mode);
	if (err)
		return err;
	q->qbytes = qbytes;
	/* Whoever may no longer receive, or may send now, looks again. */
	struct ipc_waiter *w, *tmp;
	list_for_each_safe(w, tmp, &q->receivers, node) {
		struct receiver *r = container_of(w, struct receiver, w);

		if (ipc_perms(r->t, &q->o, 0444))
			ipc_waiter_finish(w, -EACCES);
	}
	wake_list(&q->senders, 0);
	return 0;
}

int msgq_rmid(struct task *t, int id)
{
	int err;

	MUTEX_GUARD(&ipc_lock);
	struct ipc_obj *o = ipc_find_owned(t, IPC_MSG, id, &err);
	if (o)
		msgq_destroy(o);
	return err;
}

void msgq_usage(struct task *t, uint32_t *queues, uint32_t *msgs, uint64_t *bytes, int *max_index)
{
	MUTEX_GUARD(&ipc_lock);
	*queues = t->ipc->ids[IPC_MSG].used;
	*msgs = t->ipc->msgs;
	*bytes = t->ipc->msg_bytes;
	*max_index = MAX(t->ipc->ids[IPC_MSG].max, 0);
}

int msgq_show_one(struct task *t, struct ipc_obj *o, char *buf, size_t n)
{
	struct msgq *q = queue_of(o);

	return snprintf(buf, n,
		"%10d %10d  %4o  %10lu %10u %5d %5d %5u %5u %5u %5u %10lu %10lu %10lu\n", o->key,
		o->id, o->mode, q->cbytes, q->qnum, ipc_pid_nr(t, q->lspid),
		ipc_pid_nr(t, q->lrpid), o->uid, o->gid, o->cuid, o->cgid, q->stime, q->rtime,
		o->ctime);
}
