/* eventfd(2): a 64-bit counter; read takes it (or 1 with EFD_SEMAPHORE), write adds. */
#include "sentry/fs/anon/eventfd.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "sentry/core/arena.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
	uint64_t count; /* atomic */
	bool semaphore;
	struct waitq wait;
};

static SLAB_DEFINE(eventfd_slab, struct eventfd);

int eventfd_create(struct ctx *ctx, uint32_t initval, int flags, struct file **out)
{
	if (flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC))
		return -EINVAL;
	struct eventfd *e = slab_alloc(&eventfd_slab);
	struct file *f = e ? file_alloc_anon(ctx, FILE_EVENTFD, INODE_ANON, "anon_inode:[eventfd]",
				     0600, O_RDWR | (unsigned int)(flags & EFD_NONBLOCK))
			   : NULL;
	if (!f) {
		slab_free(&eventfd_slab, e);
		return -ENOMEM;
	}
	e->count = initval;
	e->semaphore = flags & EFD_SEMAPHORE;
	waitq_init(&e->wait);
	f->priv = e;
	*out = f;
	return 0;
}

static bool try_take(struct eventfd *e, uint64_t *val)
{
	uint64_t old = __atomic_load_n(&e->count, __ATOMIC_SEQ_CST);
	do {
		if (old == 0)
			return false;
		*val = e->semaphore ? 1 : old;
	} while (!__atomic_compare_exchange_n(&e->count, &old, old - *val, false, __ATOMIC_SEQ_CST,
		__ATOMIC_SEQ_CST));
	return true;
}

static bool try_add(struct eventfd *e, uint64_t val)
{
	uint64_t old = __atomic_load_n(&e->count, __ATOMIC_SEQ_CST);
	do {
		if (old > COUNT_MAX || val > COUNT_MAX - old)
			return false;
	} while (!__atomic_compare_exchange_n(&e->count, &old, old + val, false, __ATOMIC_SEQ_CST,
		__ATOMIC_SEQ_CST));
	return true;
}

/* Repeats the attempt until it succeeds or the wait ends. */
static int wait_for(struct ctx *ctx, struct file *f, uint64_t *val, bool take, int rwf)
{
	struct eventfd *e = f->priv;
	struct waiter w;
	int err = 0;
	if (take ? try_take(e, val) : try_add(e, *val))
		return 0;
	if ((READ_ONCE(f->flags) & O_NONBLOCK) || (rwf & RWF_NOWAIT))
		return -EAGAIN;
	waiter_init_ctx(&w, ctx, take ? POLLIN : POLLOUT);
	waitq_add(&e->wait, &w);
	while (!(take ? try_take(e, val) : try_add(e, *val))) {
		err = ctx_block(ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	return err;
}

static ssize_t efd_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct eventfd *e = f->priv;
	uint64_t val;
	if (u->resid < sizeof(val))
		return -EINVAL;
	int err = wait_for(ctx, f, &val, true, rwf);
	if (err)
		return err;
	waitq_wake(&e->wait, POLLOUT | POLLWRNORM);
	return uio_write(u, &val, sizeof(val)) == sizeof(val) ? (ssize_t)sizeof(val) : -EFAULT;
}

static ssize_t efd_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct eventfd *e = f->priv;
	uint64_t val;
	if (u->resid != sizeof(val))
		return -EINVAL;
	if (uio_read(u, &val, sizeof(val)) != sizeof(val))
		return -EFAULT;
	if (val == UINT64_MAX)
		return -EINVAL;
	int err = wait_for(ctx, f, &val, false, rwf);
	if (err)
		return err;
	waitq_wake(&e->wait, POLLIN | POLLRDNORM);
	return sizeof(val);
}

int eventfd_signal(struct file *f, uint64_t n)
{
	struct eventfd *e = f->priv;
	if (f->type != FILE_EVENTFD)
		return -EINVAL;
	if (!try_add(e, n))
		__atomic_store_n(&e->count, UINT64_MAX, __ATOMIC_SEQ_CST); /* overflow: POLLERR */
	waitq_wake(&e->wait, POLLIN | POLLRDNORM);
	return 0;
}

static uint32_t eventfd_poll(struct file *f, struct poll_table *pt)
{
	struct eventfd *e = f->priv;
	poll_wait(pt, &e->wait);
	uint64_t n = __atomic_load_n(&e->count, __ATOMIC_SEQ_CST);
	return (n ? POLLIN | POLLRDNORM : 0) | (n == UINT64_MAX ? POLLERR : 0) |
	       (n < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_release(struct file *f)
{
	struct eventfd *e = f->priv;
	waitq_fini(&e->wait);
	slab_free(&eventfd_slab, e);
}

static size_t eventfd_fdinfo(struct file *f, char *buf, size_t n)
{
	struct eventfd *e = f->priv;
	int len = snprintf(buf, n, "eventfd-count: %16lx\neventfd-semaphore: %d\n", e->count,
		e->semaphore);
	return MIN((size_t)len, n);
}

static const struct file_ops eventfd_ops = {.read = efd_read,
	.write = efd_write,
	.poll = eventfd_poll,
	.release = eventfd_release,
	.show_fdinfo = eventfd_fdinfo};

void eventfd_init(void)
{
	file_ops_register(FILE_EVENTFD, &eventfd_ops);
}
