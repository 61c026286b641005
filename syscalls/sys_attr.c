/* Changing attributes: modes, owners, sizes by name, times. */
#include <utime.h>

#include "syscalls/sys_priv.h"

/* Looks a path up for an attribute call; at_flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
long lookup_in(struct task *t, int dirfd, uaddr_t path, int at_flags, struct path *out)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	uint32_t walk = (at_flags & AT_SYMLINK_NOFOLLOW ? WALK_NOFOLLOW : 0) |
			(at_flags & AT_EMPTY_PATH ? WALK_EMPTY_PATH : 0);
	long r = path_in(t, buf, path);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	return vfs_lookup(&v, dirfd, buf, walk, out);
}

static long do_chmod(struct task *t, int dirfd, uaddr_t path, uint32_t mode, int flags)
{
	PATH_REF p = {0};
	long r = lookup_in(t, dirfd, path, flags, &p);
	if (r < 0)
		return r;
	if (S_ISLNK(p.dentry->inode->mode))
		return -EOPNOTSUPP;
	return vfs_chmod(&t->ctx, &p, mode & 07777);
}

long sys_chmod(struct task *t, const struct sysargs *a)
{
	return do_chmod(t, AT_FDCWD, ARG_PTR(0), ARG_U32(1), 0);
}

long sys_fchmodat(struct task *t, const struct sysargs *a)
{
	return do_chmod(t, ARG_I32(0), ARG_PTR(1), ARG_U32(2), 0);
}

long sys_fchmodat2(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(3) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return do_chmod(t, ARG_I32(0), ARG_PTR(1), ARG_U32(2), ARG_I32(3));
}

long sys_fchmod(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? vfs_chmod(&t->ctx, &f->path, ARG_U32(1) & 07777) : -EBADF;
}

static long do_chown(struct task *t, int dirfd, uaddr_t path, const struct sysargs *a, int i,
	int flags)
{
	PATH_REF p = {0};
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	long r = lookup_in(t, dirfd, path, flags, &p);
	return r < 0 ? r : vfs_chown(&t->ctx, &p, ARG_U32(i), ARG_U32(i + 1));
}

long sys_chown(struct task *t, const struct sysargs *a)
{
	return do_chown(t, AT_FDCWD, ARG_PTR(0), a, 1, 0);
}

long sys_lchown(struct task *t, const struct sysargs *a)
{
	return do_chown(t, AT_FDCWD, ARG_PTR(0), a, 1, AT_SYMLINK_NOFOLLOW);
}

long sys_fchownat(struct task *t, const struct sysargs *a)
{
	return do_chown(t, ARG_I32(0), ARG_PTR(1), a, 2, ARG_I32(4));
}

long sys_fchown(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? vfs_chown(&t->ctx, &f->path, ARG_U32(1), ARG_U32(2)) : -EBADF;
}

long sys_truncate(struct task *t, const struct sysargs *a)
{
	PATH_REF p = {0};
	if (ARG_I64(1) < 0)
		return -EINVAL;
	long r = lookup_in(t, AT_FDCWD, ARG_PTR(0), 0, &p);
	return r < 0 ? r : vfs_truncate(&t->ctx, &p, ARG_U64(1));
}

/* One time of utimensat: to *k and the ATTR_ bits; false: out of range. */
static bool utime_one(const struct timespec *ts, struct ktime *k, uint32_t set, uint32_t now,
	uint32_t *valid)
{
	if (ts->tv_nsec == UTIME_OMIT)
		return true;
	if (ts->tv_nsec == UTIME_NOW) {
		*valid |= now;
		return true;
	}
	if (ts->tv_nsec < 0 || ts->tv_nsec >= NSEC_PER_SEC)
		return false;
	*k = (struct ktime){ts->tv_sec, (int32_t)ts->tv_nsec};
	*valid |= set;
	return true;
}

/* ts NULL: both now. */
static long do_utimens(struct task *t, int dirfd, uaddr_t path, const struct timespec *ts,
	int flags)
{
	PATH_REF p = {0};
	struct ktime k[2] = {{0}};
	uint32_t valid = 0;
	if (!ts)
		valid = ATTR_ATIME_NOW | ATTR_MTIME_NOW;
	else if (!utime_one(&ts[0], &k[0], ATTR_ATIME, ATTR_ATIME_NOW, &valid) ||
		 !utime_one(&ts[1], &k[1], ATTR_MTIME, ATTR_MTIME_NOW, &valid))
		return -EINVAL;
	if (!valid)
		return 0; /* both UTIME_OMIT: not even the path is looked at */
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (path.v == 0 && dirfd != AT_FDCWD) {
		FILE_REF f = fd_get(t->fds, dirfd);
		if (flags)
			return -EINVAL;
		return f ? vfs_utimens(&t->ctx, &f->path, k, valid) : -EBADF;
	}
	long r = lookup_in(t, dirfd, path, flags, &p);
	return r < 0 ? r : vfs_utimens(&t->ctx, &p, k, valid);
}

long sys_utimensat(struct task *t, const struct sysargs *a)
{
	struct timespec ts[2];
	bool now = ARG_U64(2) == 0;
	if (!now && uaccess_copyin(&t->ctx, ts, ARG_PTR(2), sizeof(ts)))
		return -EFAULT;
	return do_utimens(t, ARG_I32(0), ARG_PTR(1), now ? NULL : ts, ARG_I32(3));
}

static long do_utimes(struct task *t, int dirfd, uaddr_t path, uaddr_t times)
{
	struct timeval tv[2];
	struct timespec ts[2];
	if (times.v == 0)
		return do_utimens(t, dirfd, path, NULL, 0);
	if (uaccess_copyin(&t->ctx, tv, times, sizeof(tv)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
			return -EINVAL;
		ts[i] = (struct timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
	}
	return do_utimens(t, dirfd, path, ts, 0);
}

long sys_utimes(struct task *t, const struct sysargs *a)
{
	return do_utimes(t, AT_FDCWD, ARG_PTR(0), ARG_PTR(1));
}

long sys_futimesat(struct task *t, const struct sysargs *a)
{
	return do_utimes(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2));
}

long sys_utime(struct task *t, const struct sysargs *a)
{
	struct utimbuf ut;
	if (ARG_U64(1) == 0)
		return do_utimens(t, AT_FDCWD, ARG_PTR(0), NULL, 0);
	if (uaccess_get(&t->ctx, &ut, ARG_PTR(1)))
		return -EFAULT;
	struct timespec ts[2] = {{ut.actime, 0}, {ut.modtime, 0}};
	return do_utimens(t, AT_FDCWD, ARG_PTR(0), ts, 0);
}
