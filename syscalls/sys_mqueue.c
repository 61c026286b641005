/* POSIX message queues: mq_overview(7). */
#include "lib/abi/signal.h"
#include "sentry/task/ipc/mqueue.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

long sys_mq_open(struct task *t, const struct sysargs *a)
{
	char name[VFS_PATH_MAX];
	struct abi_mq_attr attr;
	struct file *f;
	bool with_attr = ARG_U64(3) != 0;
	if (with_attr && uaccess_get(&t->ctx, &attr, ARG_PTR(3)))
		return -EFAULT;
	long r = path_in(t, name, ARG_PTR(0));
	if (r < 0)
		return r;
	r = mqueue_open(t, name, ARG_U32(1), ARG_U32(2) & 0xffff, with_attr ? &attr : NULL, &f);
	return r < 0 ? r : install_fd(t, f, true);
}

long sys_mq_unlink(struct task *t, const struct sysargs *a)
{
	char name[VFS_PATH_MAX];
	long r = path_in(t, name, ARG_PTR(0));
	return r < 0 ? r : mqueue_unlink(t, name);
}

/* An absolute CLOCK_REALTIME time; NULL: for ever. */
static long timeout_in(struct task *t, uaddr_t from, int64_t *deadline)
{
	int64_t ns;
	*deadline = DEADLINE_NEVER;
	if (!from.v)
		return 0;
	long r = timespec_in(t, from, &ns);
	if (r == 0)
		*deadline = deadline_after(ns - time_realtime());
	return r;
}

long sys_mq_timedsend(struct task *t, const struct sysargs *a)
{
	struct uio_seg seg;
	struct uio u;
	int64_t deadline;
	long r = timeout_in(t, ARG_PTR(4), &deadline);
	if (r < 0)
		return r;
	if (ARG_U32(3) >= ABI_MQ_PRIO_MAX)
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), ARG_U64(2));
	return mqueue_send(t, f, &u, ARG_U32(3), deadline);
}

long sys_mq_timedreceive(struct task *t, const struct sysargs *a)
{
	struct uio_seg seg;
	struct uio u;
	int64_t deadline;
	uint32_t prio;
	long r = timeout_in(t, ARG_PTR(4), &deadline);
	if (r < 0)
		return r;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	uio_init_user(&u, &t->ctx, &seg, ARG_PTR(1), ARG_U64(2));
	r = mqueue_recv(t, f, &u, &prio, deadline);
	return r >= 0 && ARG_U64(3) && uaccess_put(&t->ctx, ARG_PTR(3), &prio) ? -EFAULT : r;
}

long sys_mq_notify(struct task *t, const struct sysargs *a)
{
	struct abi_sigevent ev;
	struct mqueue_notify n;
	if (ARG_U64(1)) {
		if (uaccess_get(&t->ctx, &ev, ARG_PTR(1)))
			return -EFAULT;
		if (ev.sigev_notify == SIGEV_THREAD) /* by a netlink socket */
			return -EOPNOTSUPP;
		if (ev.sigev_notify != SIGEV_NONE && ev.sigev_notify != SIGEV_SIGNAL)
			return -EINVAL;
		if (ev.sigev_notify == SIGEV_SIGNAL && (uint32_t)ev.sigev_signo > KNSIG)
			return -EINVAL;
		n = (struct mqueue_notify){ev.sigev_notify, ev.sigev_signo, ev.sigev_value};
	}
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? mqueue_notify(t, f, ARG_U64(1) ? &n : NULL) : -EBADF;
}

long sys_mq_getsetattr(struct task *t, const struct sysargs *a)
{
	struct abi_mq_attr want, old;
	if (ARG_U64(1)) {
		if (uaccess_get(&t->ctx, &want, ARG_PTR(1)))
			return -EFAULT;
		if (want.mq_flags & ~(int64_t)O_NONBLOCK)
			return -EINVAL;
	}
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	long r = f ? mqueue_getattr(f, &old) : -EBADF;
	if (r == 0 && ARG_U64(1))
		r = vfs_set_flags(&t->ctx, f,
			(READ_ONCE(f->flags) & ~(uint32_t)O_NONBLOCK) | (uint32_t)want.mq_flags);
	if (r == 0 && ARG_U64(2) && uaccess_put(&t->ctx, ARG_PTR(2), &old))
		r = -EFAULT;
	return r;
}
