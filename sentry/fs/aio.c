/* Asynchronous I/O, see aio.h. */
#include "sentry/fs/aio.h"

#include <errno.h>
#include <linux/fs.h>

#include "sentry/core/arena.h"
#include "sentry/fs/anon/eventfd.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/vfs.h"

#define NR_MAX (0x10000000u / sizeof(struct io_event))

struct aio {
	struct ref ref;
	struct list_node node; /* in a struct aio_table */
	uint64_t id;
	uint32_t nr;
	struct mutex lock; /* LOCK_NOTIFY: what follows */
	uint32_t head, count;
	uint32_t pending; /* slots taken by requests in progress */
	bool dead;
	struct io_event *ev; /* buf_alloc'ed, nr of them: a ring */
	struct waitq wait;
};

static SLAB_DEFINE(aio_slab, struct aio);

static void aio_put(struct aio *a)
{
	if (!ref_put(&a->ref))
		return;
	__atomic_fetch_sub(&vfs_sysctls()->aio_nr, a->nr, __ATOMIC_RELAXED);
	buf_free(a->ev, a->nr * sizeof(*a->ev));
	waitq_fini(&a->wait);
	slab_free(&aio_slab, a);
}

static struct aio *aio_find(struct aio_table *t, uint64_t id)
{
	struct aio *a, *found = NULL;

	mutex_lock(&t->lock);
	list_for_each(a, &t->contexts, node) {
		if (a->id != id)
			continue;
		ref_get(&a->ref);
		found = a;
		break;
	}
	mutex_unlock(&t->lock);
	return found;
}

bool aio_exists(struct aio_table *t, uint64_t id)
{
	struct aio *a = aio_find(t, id);

	if (a)
		aio_put(a);
	return a;
}

/* Counts nr more events against the limit. */
static int charge(uint32_t nr)
{
	uint64_t now = __atomic_add_fetch(&vfs_sysctls()->aio_nr, nr, __ATOMIC_RELAXED);

	if (now <= READ_ONCE(vfs_sysctls()->aio_max_nr))
		return 0;
	__atomic_fetch_sub(&vfs_sysctls()->aio_nr, nr, __ATOMIC_RELAXED);
	return -EAGAIN;
}

int aio_setup(struct ctx *ctx, struct aio_table *t, uint32_t nr, uint64_t *id)
{
	struct aio *a;
	int err;

	if (!nr || nr > NR_MAX)
		return -EINVAL;
	err = charge(nr);
	if (err)
		return err;
	a = slab_alloc(&aio_slab);
	if (!a) {
		__atomic_fetch_sub(&vfs_sysctls()->aio_nr, nr, __ATOMIC_RELAXED);
		return -ENOMEM;
	}
	ref_init(&a->ref);
	mutex_init(&a->lock, LOCK_NOTIFY);
	waitq_init(&a->wait);
	a->nr = nr;
	a->ev = buf_alloc(nr * sizeof(*a->ev));
	err = a->ev ? uaccess_map_page(ctx, &a->id) : -ENOMEM;
	if (err) {
		aio_put(a);
		return err;
	}
	*id = a->id;
	mutex_lock(&t->lock);
	list_push_back(&t->contexts, &a->node);
	mutex_unlock(&t->lock);
	return 0;
}

int aio_destroy(struct ctx *ctx, struct aio_table *t, uint64_t id)
{
	struct aio *a, *found = NULL;

	mutex_lock(&t->lock);
	list_for_each(a, &t->contexts, node) {
		if (a->id == id) {
			found = a;
			list_del(&a->node);
			break;
		}
	}
	mutex_unlock(&t->lock);
	if (!found)
		return -EINVAL;
	mutex_lock(&found->lock);
	WRITE_ONCE(found->dead, true);
	mutex_unlock(&found->lock);
	waitq_wake(&found->wait, POLLIN | POLLHUP);
	uaccess_unmap_page(ctx, id);
	aio_put(found);
	return 0;
}

void aio_table_end(struct aio_table *t) NO_THREAD_SAFETY
{
	struct aio *a;

	while ((a = list_first(&t->contexts, struct aio, node))) {
		list_del(&a->node);
		aio_put(a);
	}
}

/* --- requests --- */

static bool slot_take(struct aio *a)
{
	bool ok;

	mutex_lock(&a->lock);
	ok = !a->dead && a->count + a->pending < a->nr;
	a->pending += ok;
	mutex_unlock(&a->lock);
	return ok;
}

static void slot_give_back(struct aio *a)
{
	mutex_lock(&a->lock);
	a->pending--;
	mutex_unlock(&a->lock);
}

static void complete(struct aio *a, uaddr_t ucb, const struct abi_iocb *cb, long res)
{
	mutex_lock(&a->lock);
	a->pending--;
	a->ev[(a->head + a->count++) % a->nr] =
		(struct io_event){.data = cb->data, .obj = ucb.v, .res = res};
	mutex_unlock(&a->lock);
	waitq_wake(&a->wait, POLLIN);
}

/* A signal that ends the wait of a request cannot restart it. */
static long final_result(long r)
{
	return r <= -ERESTARTSYS && r >= -ERESTART_RESTARTBLOCK ? -EINTR : r;
}

struct transfer {
	struct uio u;
	struct uio_seg one, *segs;
	uint64_t nsegs;
};

static int transfer_import(struct transfer *x, struct ctx *ctx, const struct abi_iocb *cb, bool vec)
{
	if (!vec) {
		uio_init_user(&x->u, ctx, &x->one, UADDR(cb->buf), MIN(cb->nbytes, UIO_MAX_RW));
		return 0;
	}
	if (cb->nbytes > UIO_MAXIOV)
		return -EINVAL;
	x->nsegs = MAX(cb->nbytes, 1UL);
	x->segs = buf_alloc(x->nsegs * sizeof(*x->segs));
	return x->segs ? uio_import(&x->u, ctx, UADDR(cb->buf), cb->nbytes, x->segs) : -ENOMEM;
}

#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)

static int do_rw(struct ctx *ctx, struct file *f, const struct abi_iocb *cb, bool write, bool vec,
	long *res)
{
	const struct file_ops *ops = file_ops(f);
	struct transfer x = {.segs = NULL};
	int err;

	if (cb->rw_flags & ~(uint32_t)RWF_KNOWN)
		return -EOPNOTSUPP;
	if (!(f->mode & (write ? FMODE_WRITE : FMODE_READ)))
		return -EBADF;
	if (write ? !ops->write : !ops->read)
		return -EINVAL;
	if (cb->offset < 0 && (f->mode & FMODE_PREAD))
		return -EINVAL;
	err = transfer_import(&x, ctx, cb, vec);
	if (!err) {
		int64_t pos = f->mode & FMODE_PREAD ? cb->offset : -1;

		*res = write ? vfs_pwrite(ctx, f, &x.u, pos, (int)cb->rw_flags)
			     : vfs_pread(ctx, f, &x.u, pos, (int)cb->rw_flags);
	}
	if (x.segs)
		buf_free(x.segs, x.nsegs * sizeof(*x.segs));
	return err;
}

static int do_sync(struct ctx *ctx, struct file *f, const struct abi_iocb *cb, bool data, long *res)
{
	if (cb->buf || cb->offset || cb->nbytes || cb->rw_flags)
		return -EINVAL;
	if (!file_ops(f)->fsync && !S_ISREG(f->inode->mode))
		return -EINVAL;
	*res = vfs_fsync(ctx, f, data);
	return 0;
}

static int perform(struct ctx *ctx, struct file *f, const struct abi_iocb *cb, long *res)
{
	switch (cb->opcode) {
	case IOCB_CMD_PREAD:
	case IOCB_CMD_PREADV:
		return do_rw(ctx, f, cb, false, cb->opcode == IOCB_CMD_PREADV, res);
	case IOCB_CMD_PWRITE:
	case IOCB_CMD_PWRITEV:
		return do_rw(ctx, f, cb, true, cb->opcode == IOCB_CMD_PWRITEV, res);
	case IOCB_CMD_FSYNC:
	case IOCB_CMD_FDSYNC:
		return do_sync(ctx, f, cb, cb->opcode == IOCB_CMD_FDSYNC, res);
	default: /* IOCB_CMD_POLL is not there */
		return -EINVAL;
	}
}

static int submit_to(struct ctx *ctx, struct aio *a, struct fdtable *fds, uaddr_t ucb,
	const struct abi_iocb *cb)
{
	struct file *f = fd_get(fds, (int)cb->fd), *e = NULL;
	uint32_t key = 0;
	long res = 0;
	int err = f ? 0 : -EBADF;

	if (!err && (cb->flags & IOCB_FLAG_RESFD)) {
		e = fd_get(fds, (int)cb->resfd);
		err = !e ? -EBADF : e->type != FILE_EVENTFD ? -EINVAL : 0;
	}
	if (!err && uaccess_put(ctx, uaddr_add(ucb, offsetof(struct abi_iocb, key)), &key))
		err = -EFAULT;
	if (!err)
		err = perform(ctx, f, cb, &res);
	if (!err) {
		complete(a, ucb, cb, final_result(res));
		if (e)
			eventfd_signal(e, 1);
	}
	if (e)
		file_put(e);
	if (f)
		file_put(f);
	return err;
}

int aio_submit(struct ctx *ctx, struct aio_table *t, struct fdtable *fds, uint64_t id, uaddr_t ucb,
	const struct abi_iocb *cb)
{
	struct aio *a;
	int err;

	if (cb->reserved2 || (int64_t)cb->nbytes < 0)
		return -EINVAL;
	a = aio_find(t, id);
	if (!a)
		return -EINVAL;
	err = slot_take(a) ? 0 : -EAGAIN;
	if (!err) {
		err = submit_to(ctx, a, fds, ucb, cb);
		if (err)
			slot_give_back(a);
	}
	aio_put(a);
	return err;
}

/* --- events --- */

#define BATCH 16

/* Hands over what there is, at most max: how many, or -EFAULT if none could be. */
static long deliver(struct ctx *ctx, struct aio *a, long max, uaddr_t out)
{
	struct io_event batch[BATCH];
	long done = 0;
	uint32_t n;

	do {
		mutex_lock(&a->lock);
		n = MIN(a->count, (uint32_t)BATCH);
		if (n > max - done)
			n = (uint32_t)(max - done);
		for (uint32_t i = 0; i < n; i++)
			batch[i] = a->ev[(a->head + i) % a->nr];
		a->head = (a->head + n) % a->nr;
		a->count -= n;
		mutex_unlock(&a->lock);
		if (n && uaccess_copyout(ctx, uaddr_add(out, (uint64_t)done * sizeof(batch[0])),
				 batch, n * sizeof(batch[0])))
			return done ? done : -EFAULT;
		done += n;
	} while (n);
	return done;
}

static long wait_events(struct ctx *ctx, struct aio *a, long min, long max, uaddr_t out,
	int64_t deadline)
{
	struct waiter w;
	long done = 0, n;
	int err = 0;

	waiter_init_ctx(&w, ctx, POLLIN | POLLHUP);
	waitq_add(&a->wait, &w);
	for (;;) {
		n = deliver(ctx, a, max - done,
			uaddr_add(out, (uint64_t)done * sizeof(struct io_event)));
		if (n < 0) {
			err = (int)n;
			break;
		}
		done += n;
		if (done >= min || __atomic_load_n(&a->dead, __ATOMIC_ACQUIRE))
			break;
		err = ctx_block(ctx, deadline);
		if (err)
			break;
	}
	waitq_del(&w);
	if (done || err == -ETIMEDOUT)
		return done;
	return err;
}

long aio_getevents(struct ctx *ctx, struct aio_table *t, uint64_t id, long min, long max,
	uaddr_t out, int64_t deadline)
{
	struct aio *a = aio_find(t, id);
	long r;

	if (!a)
		return -EINVAL;
	r = min < 0 || min > max ? -EINVAL : wait_events(ctx, a, min, max, out, deadline);
	aio_put(a);
	return r;
}
