/*
 * POSIX message queues: see mqueue.h.
 *
 * A queue is an inode.  A message for which a receiver sleeps is handed to it;
 * a receiver that makes room takes in the message of the sender that has slept
 * longest.  So nobody is overtaken.
 */
#include "sentry/task/ipc/mqueue.h"

#include <fcntl.h>
#include <stdio.h>

#include "sentry/core/root.h"
#include "sentry/task/ipc/ipc_priv.h"

#define MQUEUE_MAGIC 0x19800202
#define MQ_MAXMSG 10    /* fs.mqueue.msg_max, msg_default */
#define MQ_MSGSIZE 8192 /* fs.mqueue.msgsize_max, msgsize_default */
#define MQ_HARD_MAXMSG 65536
#define MQ_HARD_MSGSIZE (16 << 20)
#define MQ_QUEUES 256   /* fs.mqueue.queues_max */
#define MQ_MSG_COST 112 /* what Linux charges for the bookkeeping of a message */
#define MQ_FILE_SIZE 80

struct mq_msg {
	struct list_node node;
	uint32_t prio, len;
	uint8_t *data; /* buf_alloc'ed */
};

struct mq_user {
	struct list_node node;
	uint32_t uid;
	uint64_t bytes GUARDED_BY(ipc_lock);
};

struct mq_sb {
	uint32_t queues GUARDED_BY(ipc_lock);
};

struct mq {
	struct inode i; /* first */
	int64_t maxmsg, msgsize;
	uint32_t count GUARDED_BY(ipc_lock);
	uint64_t bytes GUARDED_BY(ipc_lock); /* QSIZE */
	struct list_node msgs;               /* highest priority first */
	struct list_node senders, receivers; /* mq_waiter.w.node */
	struct waitq wait;
	uint32_t uid; /* who is charged */
	uint64_t charge GUARDED_BY(ipc_lock);
	struct pid *owner GUARDED_BY(ipc_lock); /* owned: who is to be notified; NULL: nobody */
	struct mqueue_notify notify GUARDED_BY(ipc_lock);
};

struct mq_waiter {
	struct ipc_waiter w; /* first */
	struct mq_msg *msg;  /* a sender's, or what a receiver was handed */
};

static SLAB_DEFINE(mq_slab, struct mq);
static SLAB_DEFINE(mq_msg_slab, struct mq_msg);
static SLAB_DEFINE(mq_sb_slab, struct mq_sb);
static SLAB_DEFINE(mq_user_slab, struct mq_user);

struct mqueue_globals {
	struct list_node users; /* ipc_lock */
};
static struct mqueue_globals *globals RO_AFTER_INIT;

static void globals_init(void)
{
	list_init(&globals->users);
}
KERNEL_UNIT("mqueue", globals, globals_init);

static struct mq *mq_of(struct inode *i)
{
	return container_of(i, struct mq, i);
}

static struct mq *mq_of_file(struct file *f)
{
	return f->type == FILE_MQUEUE ? mq_of(f->inode) : NULL;
}

/* --- messages --- */

static void msg_free(struct mq_msg *m)
{
	if (!m)
		return;
	buf_free(m->data, m->len);
	slab_free(&mq_msg_slab, m);
}

static int msg_make(struct uio *u, uint32_t prio, struct mq_msg **out)
{
	struct mq_msg *m = slab_alloc(&mq_msg_slab);
	size_t n = u->resid;

	if (!m)
		return -ENOMEM;
	m->prio = prio;
	m->len = (uint32_t)n;
	m->data = n ? buf_alloc(n) : NULL;
	if (n && !m->data) {
		slab_free(&mq_msg_slab, m);
		return -ENOMEM;
	}
	if (n && uio_read(u, m->data, n) != (ssize_t)n) {
		msg_free(m);
		return -EFAULT;
	}
	*out = m;
	return 0;
}

/* Behind those of its priority and above. */
static void insert(struct mq *q, struct mq_msg *m) REQUIRES(ipc_lock)
{
	struct list_node *pos = q->msgs.prev;

	while (pos != &q->msgs && list_entry(pos, struct mq_msg, node)->prio < m->prio)
		pos = pos->prev;
	list_insert_before(pos->next, &m->node);
	q->count++;
	q->bytes += m->len;
}

static struct mq_msg *take_first(struct mq *q) REQUIRES(ipc_lock)
{
	struct mq_msg *m = list_first(&q->msgs, struct mq_msg, node);

	if (m) {
		list_del(&m->node);
		q->count--;
		q->bytes -= m->len;
	}
	return m;
}

/* --- who pays --- */

static int charge(struct task *t, struct mq *q) REQUIRES(ipc_lock)
{
	uint64_t limit = rlimit_soft(t->ctx.limits, RLIMIT_MSGQUEUE);
	uint64_t need =
		(uint64_t)q->maxmsg * (uint64_t)q->msgsize + (uint64_t)q->maxmsg * MQ_MSG_COST;
	struct mq_user *u, *found = NULL;

	list_for_each(u, &globals->users, node)
		if (u->uid == t->ctx.cred->uid)
			found = u;
	if ((found ? found->bytes : 0) + need > limit)
		return -EMFILE;
	if (!found) {
		found = slab_alloc(&mq_user_slab);
		if (!found)
			return -ENOMEM;
		found->uid = t->ctx.cred->uid;
		list_push_back(&globals->users, &found->node);
	}
	found->bytes += need;
	q->uid = found->uid;
	q->charge = need;
	return 0;
}

static void uncharge(struct mq *q) REQUIRES(ipc_lock)
{
	struct mq_user *u, *tmp;

	list_for_each_safe(u, tmp, &globals->users, node) {
		if (u->uid != q->uid)
			continue;
		u->bytes -= q->charge;
		if (u->bytes == 0) {
			list_del(&u->node);
			slab_free(&mq_user_slab, u);
		}
	}
}

/* --- the file system --- */

static struct inode *new_inode(struct sb *sb, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct mq *q = slab_alloc(&mq_slab);

	if (!q)
		return NULL;
	inode_init(&q->i, sb, INODE_MQUEUE, mode, uid, gid);
	q->i.ino = sb_new_ino(sb);
	q->i.ftype = S_ISDIR(mode) ? FILE_DIR : FILE_MQUEUE;
	q->i.size = S_ISDIR(mode) ? 0 : MQ_FILE_SIZE;
	if (S_ISDIR(mode))
		q->i.nlink = 2;
	list_init(&q->msgs);
	list_init(&q->senders);
	list_init(&q->receivers);
	waitq_init(&q->wait);
	return &q->i;
}

static void mqueue_inode_free(struct inode *i)
{
	struct mq *q = mq_of(i);
	struct mq_msg *m, *tmp;

	list_for_each_safe(m, tmp, &q->msgs, node) /* which nobody else knows any more */
		msg_free(m);
	mutex_lock(&ipc_lock);
	if (q->charge) {
		uncharge(q);
		((struct mq_sb *)i->sb->priv)->queues--;
	}
	pid_put(q->owner);
	mutex_unlock(&ipc_lock);
	waitq_fini(&q->wait);
	slab_free(&mq_slab, q);
}

static int attr_ok(struct task *t, const struct abi_mq_attr *a)
{
	bool free = ctx_capable(&t->ctx, CAP_SYS_RESOURCE);

	if (a->mq_maxmsg <= 0 || a->mq_msgsize <= 0)
		return -EINVAL;
	if (a->mq_maxmsg > (free ? MQ_HARD_MAXMSG : MQ_MAXMSG) ||
		a->mq_msgsize > (free ? MQ_HARD_MSGSIZE : MQ_MSGSIZE))
		return -EINVAL;
	return 0;
}

/* The negative d becomes a queue; sb->tree is held. */
static int make_queue(struct task *t, struct dentry *d, uint32_t mode, uint32_t uid, uint32_t gid,
	const struct abi_mq_attr *attr)
{
	static const struct abi_mq_attr defaults = {.mq_maxmsg = MQ_MAXMSG,
		.mq_msgsize = MQ_MSGSIZE};
	struct mq_sb *s = d->sb->priv;
	struct inode *i;
	int err;

	attr = attr ? attr : &defaults;
	err = attr_ok(t, attr);
	if (err)
		return err;
	i = new_inode(d->sb, mode, uid, gid);
	if (!i)
		return -ENOMEM;
	mq_of(i)->maxmsg = attr->mq_maxmsg;
	mq_of(i)->msgsize = attr->mq_msgsize;
	mutex_lock(&ipc_lock);
	if (s->queues >= MQ_QUEUES && !ctx_capable(&t->ctx, CAP_SYS_RESOURCE))
		err = -ENOSPC;
	if (!err)
		err = charge(t, mq_of(i));
	if (!err)
		s->queues++;
	mutex_unlock(&ipc_lock);
	if (err) {
		inode_put(i);
		return err;
	}
	dentry_mark(d, DENTRY_PERSISTENT, 0);
	dentry_instantiate(d, i);
	inode_touch(d->sb->root->inode, false, true, true);
	return 0;
}

static int mqueue_create(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev)
{
	if (!S_ISREG(mode) || !ctx->tid)
		return -EPERM;
	return make_queue(ctx_task(ctx), d, mode, uid, gid, NULL);
}

static int mqueue_dir_unlink(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	inode_touch(dir, false, true, true);
	mutex_lock(&d->inode->lock);
	d->inode->nlink = 0;
	mutex_unlock(&d->inode->lock);
	return 0;
}

/*
 * Makes the namespace's file system; ipc_lock held.  The caller puts *out (NULL: none) without the
 * lock: where there is no room for a mount, that frees the root, which takes the lock.
 */
static int make_sb(struct ipc_ns *ns, struct sb **out) REQUIRES(ipc_lock)
{
	struct sb *sb = sb_alloc(SB_MQUEUE);
	struct mq_sb *s = sb ? slab_alloc(&mq_sb_slab) : NULL;
	struct inode *root;
	int err = -ENOMEM;

	*out = sb;
	if (!s)
		return -ENOMEM;
	sb->priv = s;
	sb->magic = MQUEUE_MAGIC;
	sb->source = buf_strndup("mqueue", 6);
	root = new_inode(sb, S_IFDIR | S_ISVTX | 0777, 0, 0);
	sb->root = root ? dentry_make_root(sb, root) : NULL;
	if (sb->root && sb->source)
		err = mount_of_sb(sb, 0, &ns->mq); /* which has a reference of its own */
	return err;
}

static int get_mount(struct ipc_ns *ns)
{
	struct sb *sb = NULL;
	int err = 0;

	mutex_lock(&ipc_lock);
	if (!ns->mq)
		err = make_sb(ns, &sb);
	mutex_unlock(&ipc_lock);
	sb_put(sb);
	return err;
}

static int mqueue_share(struct ctx *ctx, const struct fs_mount_args *a, struct sb **out)
{
	struct ipc_ns *ns = a->ipc_ns;
	int err;

	if (!ns && ctx->tid)
		ns = ctx_task(ctx)->ipc;
	err = ns ? get_mount(ns) : -EINVAL;
	if (!err)
		*out = sb_get(ns->mq->sb);
	return err;
}

static void mqueue_kill(struct sb *sb)
{
	if (sb->priv)
		slab_free(&mq_sb_slab, sb->priv);
}

/* --- opening --- */

static int check_name(const char *name)
{
	if (!*name)
		return -ENOENT;
	if (strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EACCES;
	return strlen(name) > VFS_NAME_MAX ? -ENAMETOOLONG : 0;
}

static int may_open(struct task *t, struct inode *i, uint32_t flags)
{
	static const int mask[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE};

	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	return inode_permission(&t->ctx, i, mask[flags & O_ACCMODE]);
}

/* The dentry of name, made if O_CREAT asks for it; sb->tree is held. */
static int find_or_make(struct task *t, const char *name, uint32_t flags, uint32_t mode,
	const struct abi_mq_attr *attr, struct dentry **out)
{
	struct sb *sb = t->ipc->mq->sb;
	struct dentry *d = dentry_find(sb->root, name, strlen(name));
	int err;

	if (d) {
		err = (flags & O_CREAT) && (flags & O_EXCL) ? -EEXIST
							    : may_open(t, d->inode, flags);
	} else if (!(flags & O_CREAT)) {
		return -ENOENT;
	} else {
		err = inode_permission(&t->ctx, sb->root->inode, MAY_WRITE | MAY_EXEC);
		d = err ? NULL : dentry_alloc(sb, sb->root, name, strlen(name));
		if (!d)
			return err ? err : -ENOMEM;
		err = make_queue(t, d, S_IFREG | (mode & 07777 & ~READ_ONCE(t->fs->umask)),
			t->ctx.cred->fsuid, t->ctx.cred->fsgid, attr);
		if (!err)
			dentry_hash(d);
	}
	if (err)
		dentry_put(d);
	else
		*out = d;
	return err;
}

int mqueue_open(struct task *t, const char *name, uint32_t flags, uint32_t mode,
	const struct abi_mq_attr *attr, struct file **out)
{
	struct dentry *d;
	int err = check_name(name);

	if (!err)
		err = get_mount(t->ipc);
	if (err)
		return err;
	mutex_lock(&t->ipc->mq->sb->tree);
	err = find_or_make(t, name, flags, mode, attr, &d);
	mutex_unlock(&t->ipc->mq->sb->tree);
	if (err)
		return err;
	struct path p = {t->ipc->mq, d};
	*out = file_alloc(&t->ctx, FILE_MQUEUE, &p, flags & (O_ACCMODE | O_NONBLOCK));
	dentry_put(d);
	return *out ? 0 : -ENOMEM;
}

static int may_remove(struct task *t, struct inode *dir, struct inode *i)
{
	int err = inode_permission(&t->ctx, dir, MAY_WRITE | MAY_EXEC);
	uint32_t fsuid = t->ctx.cred->fsuid;

	if (err)
		return err;
	if ((dir->mode & S_ISVTX) && fsuid != i->uid && fsuid != dir->uid &&
		!ctx_capable(&t->ctx, CAP_FOWNER))
		return -EPERM;
	return 0;
}

int mqueue_unlink(struct task *t, const char *name)
{
	int err = check_name(name);

	if (!err)
		err = get_mount(t->ipc);
	if (err)
		return err;
	struct sb *sb = t->ipc->mq->sb;
	mutex_lock(&sb->tree);
	struct dentry *d = dentry_find(sb->root, name, strlen(name));
	err = d ? may_remove(t, sb->root->inode, d->inode) : -ENOENT;
	if (!err) {
		mqueue_dir_unlink(&t->ctx, sb->root->inode, d);
		dentry_delete(d);
	}
	mutex_unlock(&sb->tree);
	if (d)
		dentry_put(d);
	return err;
}

/* --- sending and receiving --- */

/* What a message into the empty queue triggers; the registration is used up. */
struct note {
	struct pid *owner; /* with its reference; NULL: nothing */
	struct ksiginfo info;
};

static void take_note(struct task *t, struct mq *q, struct note *n) REQUIRES(ipc_lock)
{
	if (!q->owner)
		return;
	if (q->notify.notify == SIGEV_SIGNAL) {
		n->owner = q->owner;
		ksiginfo_init(&n->info, q->notify.signo, SI_MESGQ);
		n->info.u.rt.pid = pid_nr(t->tg->pid, pid_own_ns(q->owner));
		n->info.u.rt.uid = t->ctx.cred->uid;
		n->info.u.rt.value = q->notify.value;
	} else {
		pid_put(q->owner);
	}
	q->owner = NULL;
}

static void send_note(struct note *n)
{
	if (!n->owner)
		return;
	mutex_lock(&tasks_lock);
	if (n->info.signo && n->owner->tgroup)
		signal_send_group_locked(n->owner->tgroup, &n->info);
	mutex_unlock(&tasks_lock);
	pid_put(n->owner);
}

static int send_locked(struct task *t, struct mq *q, struct mq_msg *m, bool nonblock,
	int64_t deadline, struct note *note) REQUIRES(ipc_lock)
{
	struct mq_waiter self = {.msg = m}, *r;

	if (q->count >= q->maxmsg) {
		if (nonblock)
			return -EAGAIN;
		ipc_waiter_add(&self.w, &t->ctx, &q->senders);
		return ipc_wait(&self.w, deadline);
	}
	r = list_first(&q->receivers, struct mq_waiter, w.node);
	if (r) {
		r->msg = m;
		ipc_waiter_finish(&r->w, 0);
		return 0;
	}
	insert(q, m);
	if (q->count == 1)
		take_note(t, q, note);
	waitq_wake(&q->wait, POLLIN | POLLRDNORM);
	return 0;
}

int mqueue_send(struct task *t, struct file *f, struct uio *u, uint32_t prio, int64_t deadline)
{
	struct mq *q = mq_of_file(f);
	struct note note = {0};
	struct mq_msg *m;
	int err;

	if (!q || !(f->mode & FMODE_WRITE))
		return -EBADF;
	if (u->resid > (uint64_t)q->msgsize)
		return -EMSGSIZE;
	err = msg_make(u, prio, &m);
	if (err)
		return err;
	mutex_lock(&ipc_lock);
	err = send_locked(t, q, m, READ_ONCE(f->flags) & O_NONBLOCK, deadline, &note);
	mutex_unlock(&ipc_lock);
	send_note(&note);
	if (err)
		msg_free(m);
	else
		inode_touch(&q->i, false, true, true);
	return err;
}

static int recv_locked(struct task *t, struct mq *q, bool nonblock, int64_t deadline,
	struct mq_msg **out) REQUIRES(ipc_lock)
{
	struct mq_waiter self = {0}, *s;
	int err;

	*out = take_first(q);
	if (!*out) {
		if (nonblock)
			return -EAGAIN;
		ipc_waiter_add(&self.w, &t->ctx, &q->receivers);
		err = ipc_wait(&self.w, deadline);
		*out = self.msg;
		return err;
	}
	s = list_first(&q->senders, struct mq_waiter, w.node);
	if (s) {
		insert(q, s->msg);
		ipc_waiter_finish(&s->w, 0);
	} else {
		waitq_wake(&q->wait, POLLOUT | POLLWRNORM);
	}
	return 0;
}

ssize_t mqueue_recv(struct task *t, struct file *f, struct uio *u, uint32_t *prio, int64_t deadline)
{
	struct mq *q = mq_of_file(f);
	struct mq_msg *m;
	int err;

	if (!q || !(f->mode & FMODE_READ))
		return -EBADF;
	if (u->resid < (uint64_t)q->msgsize)
		return -EMSGSIZE;
	mutex_lock(&ipc_lock);
	err = recv_locked(t, q, READ_ONCE(f->flags) & O_NONBLOCK, deadline, &m);
	mutex_unlock(&ipc_lock);
	if (err)
		return err;
	ssize_t n = m->len;
	*prio = m->prio;
	if (n && uio_write(u, m->data, (size_t)n) != n)
		n = -EFAULT;
	msg_free(m);
	inode_touch(&q->i, true, false, true);
	return n;
}

int mqueue_getattr(struct file *f, struct abi_mq_attr *out)
{
	struct mq *q = mq_of_file(f);

	if (!q)
		return -EBADF;
	MUTEX_GUARD(&ipc_lock);
	*out = (struct abi_mq_attr){.mq_flags = READ_ONCE(f->flags) & O_NONBLOCK,
		.mq_maxmsg = q->maxmsg,
		.mq_msgsize = q->msgsize,
		.mq_curmsgs = q->count};
	return 0;
}

int mqueue_notify(struct task *t, struct file *f, const struct mqueue_notify *n)
{
	struct mq *q = mq_of_file(f);

	if (!q)
		return -EBADF;
	MUTEX_GUARD(&ipc_lock);
	if (!n) {
		if (q->owner == t->tg->pid) {
			pid_put(q->owner);
			q->owner = NULL;
		}
		return 0;
	}
	if (q->owner)
		return -EBUSY;
	q->owner = pid_get(t->tg->pid);
	q->notify = *n;
	return 0;
}

/* --- files --- */

static ssize_t mq_file_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct mq *q = mq_of(f->inode);
	char buf[128];
	int32_t pid;

	mutex_lock(&ipc_lock);
	pid = q->owner && ctx->tid ? pid_nr(q->owner, ctx_task(ctx)->pid_ns) : 0;
	int len =
		snprintf(buf, sizeof(buf), "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
			q->bytes, q->owner ? q->notify.notify : 0,
			q->owner && q->notify.notify == SIGEV_SIGNAL ? q->notify.signo : 0, pid);
	mutex_unlock(&ipc_lock);
	if (*pos < 0 || *pos >= len)
		return 0;
	ssize_t n = uio_write(u, buf + *pos, MIN((size_t)(len - *pos), u->resid));
	if (n > 0)
		*pos += n;
	return n;
}

static uint32_t mq_file_poll(struct file *f, struct poll_table *pt)
{
	struct mq *q = mq_of(f->inode);

	poll_wait(pt, &q->wait);
	MUTEX_GUARD(&ipc_lock);
	return (q->count ? POLLIN | POLLRDNORM : 0) |
	       (q->count < q->maxmsg ? POLLOUT | POLLWRNORM : 0);
}

/* A process that closes the queue is no longer notified. */
static void mq_file_flush(struct ctx *ctx, struct file *f)
{
	if (ctx->tid)
		mqueue_notify(ctx_task(ctx), f, NULL);
}

static int mq_truncate(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	struct kattr rest = *a;

	rest.valid &= ~ATTR_SIZE; /* O_TRUNC means nothing here */
	return inode_generic_setattr(i, &rest);
}

static const struct file_ops mq_file_ops = {.read = mq_file_read,
	.poll = mq_file_poll,
	.flush = mq_file_flush};
static const struct inode_ops mq_inode_ops = {.create = mqueue_create,
	.unlink = mqueue_dir_unlink,
	.setattr = mq_truncate};
static const struct sb_ops mq_sb_ops = {.name = "mqueue",
	.nodev = true,
	.share = mqueue_share,
	.kill = mqueue_kill,
	.inode_free = mqueue_inode_free};

void mqueue_init(void)
{
	file_ops_register(FILE_MQUEUE, &mq_file_ops);
	inode_ops_register(INODE_MQUEUE, &mq_inode_ops);
	sb_ops_register(SB_MQUEUE, &mq_sb_ops);
}
