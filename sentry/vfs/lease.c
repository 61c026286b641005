/*
 * File leases: fcntl(2) "Leases".
 *
 * A lease belongs to an open file and hangs on its inode, beside the locks and
 * under their lock.  Whoever opens or truncates the inode in a way that
 * conflicts marks the lease as to be given up (or turned into a read lease),
 * has its holder told by a signal, and waits until that is done or lease-break-time
 * is over.
 */
#include <errno.h>

#include "lib/cleanup.h"
#include "sentry/vfs/lease.h"
#include "sentry/vfs/vfs_priv.h"

enum { KEPT, TO_DOWNGRADE, TO_REMOVE };

struct lease {
	struct list_node node;                    /* flock_ctx.leases */
	struct file *file;                        /* borrowed: the lease goes with it */
	int16_t type GUARDED_BY(vfs->flock_lock); /* F_RDLCK, F_WRLCK */
	uint8_t breaking GUARDED_BY(vfs->flock_lock);
	bool told GUARDED_BY(vfs->flock_lock);
	int fd;                                       /* for si_fd */
	int64_t deadline GUARDED_BY(vfs->flock_lock); /* while breaking: CLOCK_MONOTONIC */
};

static SLAB_DEFINE(lease_slab, struct lease);

static void lease_free(struct flock_ctx *c, struct lease *l)
{
	list_del(&l->node);
	__atomic_sub_fetch(&c->nleases, 1, __ATOMIC_RELAXED);
	l->file->lease = 0;
	slab_free(&lease_slab, l);
}

/* Holders that did not answer in time lose their leases.  True: something changed. */
static bool expire(struct flock_ctx *c) REQUIRES(vfs->flock_lock)
{
	int64_t now = mono_now();
	struct lease *l, *tmp;
	bool changed = false;

	list_for_each_safe(l, tmp, &c->leases, node) {
		if (!l->breaking || l->deadline > now)
			continue;
		changed = true;
		if (l->breaking == TO_REMOVE) {
			lease_free(c, l);
		} else {
			l->type = F_RDLCK;
			l->breaking = KEPT;
		}
	}
	return changed;
}

static struct lease *lease_of(struct flock_ctx *c, const struct file *f)
{
	struct lease *l;

	list_for_each(l, &c->leases, node)
		if (l->file == f)
			return l;
	return NULL;
}

static bool others_have_it_open(const struct file *f)
{
	const struct inode *i = f->inode;
	int32_t writers = f->mode & FMODE_WRITE ? 1 : 0;
	int32_t readers = !writers && (f->mode & FMODE_READ) ? 1 : 0;

	return __atomic_load_n(&i->writers, __ATOMIC_SEQ_CST) != writers ||
	       __atomic_load_n(&i->readers, __ATOMIC_SEQ_CST) != readers;
}

static int may_add(struct flock_ctx *c, const struct file *f, int type) REQUIRES(vfs->flock_lock)
{
	struct lease *l;

	if (type == F_RDLCK && __atomic_load_n(&f->inode->writers, __ATOMIC_SEQ_CST) > 0)
		return -EAGAIN;
	if (type == F_WRLCK && others_have_it_open(f))
		return -EAGAIN;
	list_for_each(l, &c->leases, node) {
		if (l->file == f)
			continue;
		if (type == F_WRLCK || l->breaking == TO_REMOVE)
			return -EAGAIN;
	}
	return 0;
}

static int lease_remove(struct file *f)
{
	struct flock_ctx *c = __atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE);
	struct lease *l;

	if (!c)
		return -EAGAIN;
	mutex_lock(&vfs->flock_lock);
	l = lease_of(c, f);
	if (l)
		lease_free(c, l);
	mutex_unlock(&vfs->flock_lock);
	if (l)
		waitq_wake(&c->wait, POLLIN);
	return l ? 0 : -EAGAIN;
}

int lease_set(struct ctx *ctx, struct file *f, int fd, int type)
{
	struct flock_ctx *c;
	struct lease *l, *spare;
	int err;

	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	if (ctx->cred->fsuid != f->inode->uid && !ctx_capable(ctx, CAP_LEASE))
		return -EACCES;
	if (!S_ISREG(f->inode->mode))
		return -EINVAL;
	if (type == F_UNLCK)
		return lease_remove(f);
	c = flock_ctx_of(f->inode);
	spare = slab_alloc(&lease_slab);
	if (!c || !spare) {
		slab_free(&lease_slab, spare);
		return -ENOMEM;
	}
	mutex_lock(&vfs->flock_lock);
	expire(c);
	err = may_add(c, f, type);
	l = lease_of(c, f);
	if (!err && !l) {
		l = take_ptr(&spare);
		*l = (struct lease){.file = f, .fd = fd};
		list_push_back(&c->leases, &l->node);
		__atomic_add_fetch(&c->nleases, 1, __ATOMIC_SEQ_CST);
		f->lease = 1;
		/* An open that counted itself meanwhile may not have seen the lease. */
		err = may_add(c, f, type);
		if (err)
			lease_free(c, l);
	}
	if (!err) {
		l->type = (int16_t)type;
		l->breaking = KEPT;
	}
	mutex_unlock(&vfs->flock_lock);
	slab_free(&lease_slab, spare);
	if (!err)
		waitq_wake(&c->wait, POLLIN);
	return err;
}

int lease_get(struct file *f)
{
	struct flock_ctx *c = __atomic_load_n(&f->inode->flocks, __ATOMIC_ACQUIRE);
	struct lease *l;
	int type = F_UNLCK;

	if (!c)
		return type;
	mutex_lock(&vfs->flock_lock);
	expire(c);
	l = lease_of(c, f);
	if (l)
		type = l->breaking == TO_REMOVE      ? F_UNLCK
		       : l->breaking == TO_DOWNGRADE ? F_RDLCK
						     : l->type;
	mutex_unlock(&vfs->flock_lock);
	return type;
}

/*
 * Marks what conflicts; the holder of one lease that has not been told is returned with
 * a reference in *tell.  False: nothing conflicts any more.
 */
static bool mark(struct flock_ctx *c, bool write, struct file **tell, int *fd, int64_t *deadline)
	REQUIRES(vfs->flock_lock)
{
	uint8_t want = write ? TO_REMOVE : TO_DOWNGRADE;
	uint32_t secs = vfs->sysctl.lease_break_time;
	bool conflict = false;
	struct lease *l;

	*tell = NULL;
	*deadline = DEADLINE_NEVER;
	list_for_each(l, &c->leases, node) {
		if (!write && l->type == F_RDLCK)
			continue;
		conflict = true;
		if (l->breaking < want) {
			l->breaking = want;
			l->told = false;
			l->deadline =
				secs ? mono_now() + (int64_t)secs * 1000000000 : DEADLINE_NEVER;
		}
		if (!l->told && !*tell && ref_get_unless_zero(&l->file->ref)) {
			l->told = true;
			*tell = l->file;
			*fd = l->fd;
		}
		*deadline = MIN(*deadline, l->deadline);
	}
	return conflict;
}

int lease_do_break(struct ctx *ctx, struct inode *i, bool write, bool nonblock)
{
	struct flock_ctx *c = __atomic_load_n(&i->flocks, __ATOMIC_ACQUIRE);
	struct file *tell;
	struct waiter w;
	int64_t deadline;
	int err = 0, fd = -1;
	bool conflict;

	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&c->wait, &w);
	for (;;) {
		mutex_lock(&vfs->flock_lock);
		expire(c);
		conflict = mark(c, write, &tell, &fd, &deadline);
		mutex_unlock(&vfs->flock_lock);
		if (tell) {
			file_lease_signal(tell, fd);
			file_put(tell);
			continue;
		}
		if (conflict && nonblock)
			err = -EWOULDBLOCK;
		if (!conflict || err)
			break;
		err = ctx_block(ctx, deadline);
		if (err && err != -ETIMEDOUT)
			break;
		err = 0;
	}
	waitq_del(&w);
	return err;
}

void lease_release(struct file *f)
{
	lease_remove(f);
}
