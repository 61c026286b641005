/*
 * Leases (fcntl(2), F_SETLEASE): their holder hears of an open or truncate that
 * conflicts before it happens, and has fs.lease-break-time to give way.
 *
 * One list under vfs->flock_lock; the waiting opener itself ends a lease whose
 * time is over.  A lease is the open file description's and goes with it.
 */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

struct lease {
	struct list_node node;
	struct file *file; /* borrowed: lease_release_file comes before it goes */
	struct inode *inode;
	int type;     /* F_RDLCK, F_WRLCK */
	int to;	      /* what it is to become while it is being broken, else type */
	int64_t until; /* CLOCK_MONOTONIC; of the break */
};

static SLAB_DEFINE(lease_slab, struct lease);

static struct lease *lease_of(const struct file *f)
{
	struct lease *l;

	list_for_each(l, &vfs->leases, node)
		if (l->file == f)
			return l;
	return NULL;
}

static void lease_free(struct lease *l)
{
	list_del(&l->node);
	__atomic_sub_fetch(&vfs->nr_leases, 1, __ATOMIC_SEQ_CST);
	slab_free(&lease_slab, l);
}

/* Is the inode open in a way that the lease would not hear of any more? */
static bool open_elsewhere(const struct file *f, int type)
{
	const struct inode *i = f->inode;
	int32_t writers = __atomic_load_n(&i->writers, __ATOMIC_SEQ_CST);
	int32_t readers = __atomic_load_n(&i->readers, __ATOMIC_SEQ_CST);

	if (type == F_RDLCK)
		return writers > 0;
	return writers > (f->pad & FILE_HOLDS_WRITE ? 1 : 0) ||
	       readers > (f->pad & FILE_HOLDS_READ ? 1 : 0);
}

static bool others_conflict(const struct file *f, int type)
{
	struct lease *l;

	list_for_each(l, &vfs->leases, node) {
		if (l->inode != f->inode || l->file == f)
			continue;
		if (type == F_WRLCK || l->type == F_WRLCK || l->to != l->type)
			return true;
	}
	return false;
}

static int lease_take(struct file *f, int type)
{
	struct lease *new = slab_alloc(&lease_slab), *l;
	int err = 0;

	if (!new)
		return -ENOMEM;
	mutex_lock(&vfs->flock_lock);
	/* Counted first: an open that we do not see here sees us. */
	__atomic_add_fetch(&vfs->nr_leases, 1, __ATOMIC_SEQ_CST);
	l = lease_of(f);
	if (open_elsewhere(f, type) || others_conflict(f, type))
		err = -EAGAIN;
	if (!err && !l) {
		*new = (struct lease){.file = f, .inode = f->inode};
		list_push_back(&vfs->leases, &new->node);
		f->pad |= FILE_LEASED;
		l = new;
		new = NULL;
	} else {
		__atomic_sub_fetch(&vfs->nr_leases, 1, __ATOMIC_SEQ_CST);
	}
	if (!err)
		l->type = l->to = type;
	mutex_unlock(&vfs->flock_lock);
	slab_free(&lease_slab, new);
	if (!err)
		waitq_wake(&vfs->lease_wait, POLLIN);
	return err;
}

static int lease_drop(struct file *f)
{
	struct lease *l;

	mutex_lock(&vfs->flock_lock);
	l = lease_of(f);
	if (l)
		lease_free(l);
	f->pad &= (uint16_t)~FILE_LEASED;
	mutex_unlock(&vfs->flock_lock);
	if (l)
		waitq_wake(&vfs->lease_wait, POLLIN);
	return l ? 0 : -EAGAIN;
}

int lease_set(struct ctx *ctx, struct file *f, int type)
{
	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	if (ctx->cred->fsuid != f->inode->uid && !ctx_capable(ctx, CAP_LEASE))
		return -EACCES;
	if (!S_ISREG(f->inode->mode))
		return -EINVAL;
	return type == F_UNLCK ? lease_drop(f) : lease_take(f, type);
}

int lease_get(struct file *f)
{
	struct lease *l;
	int type;

	mutex_lock(&vfs->flock_lock);
	l = lease_of(f);
	type = l ? l->to : F_UNLCK;
	mutex_unlock(&vfs->flock_lock);
	return type;
}

void lease_release_file(struct file *f)
{
	if (f->pad & FILE_LEASED)
		(void)lease_drop(f);
}

/*
 * Tells the holders of what conflicts and returns whether there still is such; *until: when the
 * first of them has had its time.  Leases whose time is over are ended.
 */
static bool break_locked(struct inode *i, bool write, int64_t *until)
{
	int64_t now = mono_now();
	struct lease *l, *tmp;
	bool any = false;

	*until = DEADLINE_NEVER;
	list_for_each_safe(l, tmp, &vfs->leases, node) {
		int to = write ? F_UNLCK : F_RDLCK;

		if (l->inode != i || (!write && l->type == F_RDLCK))
			continue;
		if (l->to == l->type) {
			l->until = now + (int64_t)vfs->sysctl.lease_break_time * 1000000000;
			file_async_note(l->file, POLLMSG);
			l->to = to;
		} else if (l->to == F_RDLCK && to == F_UNLCK) {
			l->to = to;
		}
		if (now >= l->until) {
			if (l->to == F_UNLCK)
				lease_free(l);
			else
				l->type = l->to;
			continue;
		}
		any = true;
		*until = MIN(*until, l->until);
	}
	return any;
}

int lease_break(struct ctx *ctx, struct inode *i, bool write, bool nonblock)
{
	struct waiter w;
	int64_t until;
	int err = 0;

	if (likely(__atomic_load_n(&vfs->nr_leases, __ATOMIC_SEQ_CST) == 0) || !S_ISREG(i->mode))
		return 0;
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&vfs->lease_wait, &w);
	for (;;) {
		mutex_lock(&vfs->flock_lock);
		bool wait = break_locked(i, write, &until);

		mutex_unlock(&vfs->flock_lock);
		if (wait && nonblock)
			err = -EWOULDBLOCK;
		if (!wait || nonblock)
			break;
		err = ctx_block(ctx, until);
		if (err && err != -ETIMEDOUT)
			break;
		err = 0;
	}
	waitq_del(&w);
	return err;
}
