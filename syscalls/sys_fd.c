/* System calls that make special files: pipes, memfd, inotify, timerfd, eventfd; splice. */
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>

#include "lib/abi/fcntl.h"
#include "lib/abi/mman.h"
#include "sentry/fs/anon/eventfd.h"
#include "sentry/fs/pipe.h"
#include "sentry/fs/timerfd.h"
#include "sentry/fs/tmpfs/tmpfs.h"
#include "sentry/task/signals/sigio.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/inotify.h"
#include "sentry/vfs/lease.h"
#include "syscalls/sys_priv.h"

/* --- pipes --- */

static long do_pipe(struct task *t, uaddr_t to, int flags)
{
	struct file *f[2];
	int fd[2];
	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	long r = pipe_create(&t->ctx, flags & ~O_CLOEXEC, f);
	if (r < 0)
		return r;
	fd[0] = (int)install_fd(t, f[0], flags & O_CLOEXEC);
	if (fd[0] < 0) {
		file_put(f[1]);
		return fd[0];
	}
	fd[1] = (int)install_fd(t, f[1], flags & O_CLOEXEC);
	r = fd[1] < 0 ? fd[1] : uaccess_copyout(&t->ctx, to, fd, sizeof(fd));
	if (r < 0) {
		fd_close(&t->ctx, t->fds, fd[0]);
		if (fd[1] >= 0)
			fd_close(&t->ctx, t->fds, fd[1]);
	}
	return r;
}

long sys_pipe(struct task *t, const struct sysargs *a)
{
	return do_pipe(t, ARG_PTR(0), 0);
}

long sys_pipe2(struct task *t, const struct sysargs *a)
{
	return do_pipe(t, ARG_PTR(0), ARG_I32(1));
}

#define SPLICE_FLAGS 0xfu /* MOVE, NONBLOCK, MORE, GIFT */

static long offset_in(struct task *t, uaddr_t p, int64_t *off)
{
	if (!p.v)
		return 0;
	if (uaccess_get(&t->ctx, off, p))
		return -EFAULT;
	return *off < 0 ? -EINVAL : 0;
}

long sys_splice(struct task *t, const struct sysargs *a)
{
	int64_t in_off = 0, out_off = 0;
	if (ARG_U32(5) & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!ARG_U64(4))
		return 0;
	FILE_REF in = fd_get(t->fds, ARG_I32(0));
	FILE_REF out = fd_get(t->fds, ARG_I32(2));
	if (!in || !out)
		return -EBADF;
	if ((ARG_U64(1) && in->type == FILE_PIPE) || (ARG_U64(3) && out->type == FILE_PIPE))
		return -ESPIPE;
	long r = offset_in(t, ARG_PTR(3), &out_off);
	if (r == 0)
		r = offset_in(t, ARG_PTR(1), &in_off);
	if (r == 0)
		r = pipe_splice(&t->ctx, in, ARG_U64(1) ? &in_off : NULL, out,
			ARG_U64(3) ? &out_off : NULL, MIN(ARG_U64(4), UIO_MAX_RW), ARG_U32(5));
	if (r < 0)
		return r;
	if ((ARG_U64(1) && uaccess_put(&t->ctx, ARG_PTR(1), &in_off)) ||
		(ARG_U64(3) && uaccess_put(&t->ctx, ARG_PTR(3), &out_off)))
		return -EFAULT;
	return r;
}

long sys_tee(struct task *t, const struct sysargs *a)
{
	if (ARG_U32(3) & ~SPLICE_FLAGS)
		return -EINVAL;
	if (!ARG_U64(2))
		return 0;
	FILE_REF in = fd_get(t->fds, ARG_I32(0));
	FILE_REF out = fd_get(t->fds, ARG_I32(1));
	if (!in || !out)
		return -EBADF;
	return pipe_tee(&t->ctx, in, out, MIN(ARG_U64(2), UIO_MAX_RW), ARG_U32(3));
}

long sys_vmsplice(struct task *t, const struct sysargs *a)
{
	struct uio_seg *seg;
	struct uio u;
	uint64_t n = ARG_U64(2);
	if (ARG_U32(3) & ~SPLICE_FLAGS)
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if (n > UIO_MAXIOV)
		return -EINVAL;
	seg = buf_alloc(MAX(n, 1UL) * sizeof(*seg));
	if (!seg)
		return -ENOMEM;
	long r = uio_import(&u, &t->ctx, ARG_PTR(1), n, seg);
	if (r == 0 && u.resid)
		r = pipe_vmsplice(&t->ctx, f, &u, ARG_U32(3));
	buf_free(seg, MAX(n, 1UL) * sizeof(*seg));
	return r;
}

/* fcntl commands of one kind of file. */
long fcntl_special(struct task *t, struct file *f, int fd, int cmd, uint64_t arg)
{
	long r;
	switch (cmd) {
	case F_SETPIPE_SZ:
		return pipe_set_size(&t->ctx, f, (uint32_t)arg);
	case F_GETPIPE_SZ:
		return pipe_get_size(f);
	case F_ADD_SEALS:
		return memfd_add_seals(f, (uint32_t)arg);
	case F_GET_SEALS:
		return memfd_get_seals(f);
	case F_GETLEASE:
		return lease_get(f);
	case F_NOTIFY:
		r = sigio_prepare(t, f, fd);
		return r < 0 ? r : dnotify_set(f, (uint32_t)arg);
	case F_CREATED_QUERY:
		return f->state & FILE_CREATED ? 1 : 0;
	default:
		return -EINVAL;
	}
}

/* --- eventfd, timerfd, memfd --- */

static long do_eventfd(struct task *t, uint32_t count, int flags)
{
	struct file *f;
	if (flags & ~(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE))
		return -EINVAL;
	long r = eventfd_create(&t->ctx, count, flags & ~EFD_CLOEXEC, &f);
	return r < 0 ? r : install_fd(t, f, flags & EFD_CLOEXEC);
}

long sys_eventfd(struct task *t, const struct sysargs *a)
{
	return do_eventfd(t, ARG_U32(0), 0);
}

long sys_eventfd2(struct task *t, const struct sysargs *a)
{
	return do_eventfd(t, ARG_U32(0), ARG_I32(1));
}

long sys_timerfd_create(struct task *t, const struct sysargs *a)
{
	struct file *f;
	int flags = ARG_I32(1);
	if (flags & ~(TFD_CLOEXEC | TFD_NONBLOCK))
		return -EINVAL;
	long r = timerfd_create_file(&t->ctx, ARG_I32(0), (uint64_t)(flags & TFD_NONBLOCK), &f);
	return r < 0 ? r : install_fd(t, f, flags & TFD_CLOEXEC);
}

static long timerspec_out(struct task *t, uaddr_t to, const struct timerfd_spec *s)
{
	struct itimer_k k = {s->value, s->interval};
	return to.v ? itimerspec_out(t, to, &k) : 0;
}

long sys_timerfd_settime(struct task *t, const struct sysargs *a)
{
	struct itimer_k k;
	struct timerfd_spec new, old;
	if (ARG_U32(1) & ~(uint32_t)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	long r = itimerspec_in(t, ARG_PTR(2), &k);
	if (r < 0)
		return r;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	new = (struct timerfd_spec){k.value, k.interval};
	r = timerfd_set(f, ARG_U32(1) & TFD_TIMER_ABSTIME, &new, &old);
	return r < 0 ? r : timerspec_out(t, ARG_PTR(3), &old);
}

long sys_timerfd_gettime(struct task *t, const struct sysargs *a)
{
	struct timerfd_spec now;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	long r = timerfd_set(f, false, NULL, &now);
	if (r < 0)
		return r;
	return ARG_U64(1) ? timerspec_out(t, ARG_PTR(1), &now) : -EFAULT;
}

#define MEMFD_NAME_MAX 249

long sys_memfd_create(struct task *t, const struct sysargs *a)
{
	char name[MEMFD_NAME_MAX + 1];
	struct file *f;
	uint32_t flags = ARG_U32(1);
	if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC))
		return -EINVAL;
	if ((flags & 24u) == 24u)
		return -EINVAL;
	ssize_t n = uaccess_strncpy(&t->ctx, name, ARG_PTR(0), sizeof(name));
	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	long r = memfd_create_file(&t->ctx, name, flags & ~MFD_CLOEXEC, &f);
	return r < 0 ? r : install_fd(t, f, flags & MFD_CLOEXEC);
}

/* --- inotify --- */

static long do_inotify_init(struct task *t, int flags)
{
	struct file *f;
	if (flags & ~(IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	long r = inotify_create_file(&t->ctx, flags & IN_NONBLOCK, &f);
	return r < 0 ? r : install_fd(t, f, flags & IN_CLOEXEC);
}

long sys_inotify_init(struct task *t, const struct sysargs *a)
{
	return do_inotify_init(t, 0);
}

long sys_inotify_init1(struct task *t, const struct sysargs *a)
{
	return do_inotify_init(t, ARG_I32(0));
}

long sys_inotify_add_watch(struct task *t, const struct sysargs *a)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	PATH_REF p = {0};
	uint32_t mask = ARG_U32(2);
	if (!(mask & (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR |
			     IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD |
			     IN_ISDIR | IN_ONESHOT)))
		return -EINVAL;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	if ((mask & IN_MASK_ADD) && (mask & IN_MASK_CREATE))
		return -EINVAL;
	if (f->type != FILE_INOTIFY)
		return -EINVAL;
	long r = path_in(t, buf, ARG_PTR(1));
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_lookup(&v, AT_FDCWD, buf,
		(mask & IN_DONT_FOLLOW ? WALK_NOFOLLOW : 0) |
			(mask & IN_ONLYDIR ? WALK_DIRECTORY : 0),
		&p);
	return r < 0 ? r : inotify_add_watch_file(&t->ctx, f, &p, mask);
}

long sys_inotify_rm_watch(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? inotify_rm_watch_file(f, ARG_I32(1)) : -EBADF;
}
