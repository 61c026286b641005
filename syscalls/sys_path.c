/* System calls on names: directories, links, attributes, mounts. */
#include <linux/limits.h>
#include <linux/xattr.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <utime.h>

#include "syscalls/sys_priv.h"

/* --- making and removing names --- */

static long do_mkdir(struct task *t, int dirfd, uaddr_t path, uint32_t mode)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	long r = path_in(t, buf, path);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_mkdirat(&v, dirfd, buf, mode);
}

long sys_mkdir(struct task *t, const struct sysargs *a)
{
	return do_mkdir(t, AT_FDCWD, ARG_PTR(0), ARG_U32(1));
}

long sys_mkdirat(struct task *t, const struct sysargs *a)
{
	return do_mkdir(t, ARG_I32(0), ARG_PTR(1), ARG_U32(2));
}

static long do_mknod(struct task *t, int dirfd, uaddr_t path, uint32_t mode, uint32_t dev)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	long r = path_in(t, buf, path);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	/* dev comes in the kernel's 32-bit encoding: 12 bits major, 20 bits minor. */
	uint32_t major = (dev >> 8) & 0xfff, minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
	return vfs_mknodat(&v, dirfd, buf, mode, makedev(major, minor));
}

long sys_mknod(struct task *t, const struct sysargs *a)
{
	return do_mknod(t, AT_FDCWD, ARG_PTR(0), ARG_U32(1), ARG_U32(2));
}

long sys_mknodat(struct task *t, const struct sysargs *a)
{
	return do_mknod(t, ARG_I32(0), ARG_PTR(1), ARG_U32(2), ARG_U32(3));
}

static long do_symlink(struct task *t, uaddr_t target, int dirfd, uaddr_t path)
{
	char from[VFS_PATH_MAX], to[VFS_PATH_MAX];
	struct vfs_view v;
	long r = path_in(t, from, target);
	if (r == 0)
		r = path_in(t, to, path);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_symlinkat(&v, from, dirfd, to);
}

long sys_symlink(struct task *t, const struct sysargs *a)
{
	return do_symlink(t, ARG_PTR(0), AT_FDCWD, ARG_PTR(1));
}

long sys_symlinkat(struct task *t, const struct sysargs *a)
{
	return do_symlink(t, ARG_PTR(0), ARG_I32(1), ARG_PTR(2));
}

static long do_link(struct task *t, int ofd, uaddr_t old, int nfd, uaddr_t new, int flags)
{
	char from[VFS_PATH_MAX], to[VFS_PATH_MAX];
	struct vfs_view v;
	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	long r = path_in(t, from, old);
	if (r == 0)
		r = path_in(t, to, new);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_linkat(&v, ofd, from, nfd, to, flags);
}

long sys_link(struct task *t, const struct sysargs *a)
{
	return do_link(t, AT_FDCWD, ARG_PTR(0), AT_FDCWD, ARG_PTR(1), 0);
}

long sys_linkat(struct task *t, const struct sysargs *a)
{
	return do_link(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2), ARG_PTR(3), ARG_I32(4));
}

static long do_unlink(struct task *t, int dirfd, uaddr_t path, int flags)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	long r = path_in(t, buf, path);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_unlinkat(&v, dirfd, buf, flags);
}

long sys_unlink(struct task *t, const struct sysargs *a)
{
	return do_unlink(t, AT_FDCWD, ARG_PTR(0), 0);
}

long sys_rmdir(struct task *t, const struct sysargs *a)
{
	return do_unlink(t, AT_FDCWD, ARG_PTR(0), AT_REMOVEDIR);
}

long sys_unlinkat(struct task *t, const struct sysargs *a)
{
	return do_unlink(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2));
}

static long do_rename(struct task *t, int ofd, uaddr_t old, int nfd, uaddr_t new, uint32_t flags)
{
	char from[VFS_PATH_MAX], to[VFS_PATH_MAX];
	struct vfs_view v;
	if (flags & ~7u || ((flags & RENAME_EXCHANGE) && (flags & ~(uint32_t)RENAME_EXCHANGE)))
		return -EINVAL;
	long r = path_in(t, from, old);
	if (r == 0)
		r = path_in(t, to, new);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_renameat2(&v, ofd, from, nfd, to, flags);
}

long sys_rename(struct task *t, const struct sysargs *a)
{
	return do_rename(t, AT_FDCWD, ARG_PTR(0), AT_FDCWD, ARG_PTR(1), 0);
}

long sys_renameat(struct task *t, const struct sysargs *a)
{
	return do_rename(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2), ARG_PTR(3), 0);
}

long sys_renameat2(struct task *t, const struct sysargs *a)
{
	return do_rename(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2), ARG_PTR(3), ARG_U32(4));
}

static long do_readlink(struct task *t, int dirfd, uaddr_t path, uaddr_t out, int size)
{
	char buf[VFS_PATH_MAX], target[VFS_PATH_MAX];
	struct vfs_view v;
	if (size <= 0)
		return -EINVAL;
	long r = path_in(t, buf, path);
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_readlinkat(&v, dirfd, buf, target, sizeof(target));
	if (r < 0)
		return r;
	r = MIN(r, (long)size);
	return uaccess_copyout(&t->ctx, out, target, (size_t)r) ? -EFAULT : r;
}

long sys_readlink(struct task *t, const struct sysargs *a)
{
	return do_readlink(t, AT_FDCWD, ARG_PTR(0), ARG_PTR(1), ARG_I32(2));
}

long sys_readlinkat(struct task *t, const struct sysargs *a)
{
	return do_readlink(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2), ARG_I32(3));
}

/* --- stat --- */

static long stat_out(struct task *t, uaddr_t to, const struct kstat *k)
{
	struct stat st = {
		.st_dev = k->dev,
		.st_ino = k->ino,
		.st_nlink = k->nlink,
		.st_mode = k->mode,
		.st_uid = k->uid,
		.st_gid = k->gid,
		.st_rdev = k->rdev,
		.st_size = (int64_t)k->size,
		.st_blksize = k->blksize,
		.st_blocks = (int64_t)k->blocks,
		.st_atim = {k->atime.sec, k->atime.nsec},
		.st_mtim = {k->mtime.sec, k->mtime.nsec},
		.st_ctim = {k->ctime.sec, k->ctime.nsec},
	};
	return uaccess_put(&t->ctx, to, &st);
}

static long do_stat(struct task *t, int dirfd, uaddr_t path, uaddr_t to, int flags)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	struct kstat k;
	long r;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	if (path.v == 0 && (flags & AT_EMPTY_PATH))
		buf[0] = 0; /* Linux 6.11: NULL means the empty path */
	else if ((r = path_in(t, buf, path)) < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_statat(&v, dirfd, buf, flags, &k);
	return r < 0 ? r : stat_out(t, to, &k);
}

long sys_stat(struct task *t, const struct sysargs *a)
{
	return do_stat(t, AT_FDCWD, ARG_PTR(0), ARG_PTR(1), 0);
}

long sys_lstat(struct task *t, const struct sysargs *a)
{
	return do_stat(t, AT_FDCWD, ARG_PTR(0), ARG_PTR(1), AT_SYMLINK_NOFOLLOW);
}

long sys_newfstatat(struct task *t, const struct sysargs *a)
{
	return do_stat(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2), ARG_I32(3));
}

long sys_fstat(struct task *t, const struct sysargs *a)
{
	struct kstat k;
	FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	long r = vfs_fstat(&t->ctx, f, &k);
	return r < 0 ? r : stat_out(t, ARG_PTR(1), &k);
}

static struct statx_timestamp statx_time(struct ktime k)
{
	return (struct statx_timestamp){.tv_sec = k.sec, .tv_nsec = (uint32_t)k.nsec};
}

static long statx_out(struct task *t, uaddr_t to, const struct kstat *k)
{
	struct statx sx = {
		.stx_mask = STATX_BASIC_STATS | (k->has_btime ? STATX_BTIME : 0) |
			    (k->mnt_id ? STATX_MNT_ID : 0),
		.stx_blksize = k->blksize,
		.stx_attributes = k->attributes,
		.stx_attributes_mask = k->attributes_mask,
		.stx_nlink = k->nlink,
		.stx_uid = k->uid,
		.stx_gid = k->gid,
		.stx_mode = (uint16_t)k->mode,
		.stx_ino = k->ino,
		.stx_size = k->size,
		.stx_blocks = k->blocks,
		.stx_atime = statx_time(k->atime),
		.stx_mtime = statx_time(k->mtime),
		.stx_ctime = statx_time(k->ctime),
		.stx_btime = statx_time(k->btime),
		.stx_rdev_major = major(k->rdev),
		.stx_rdev_minor = minor(k->rdev),
		.stx_dev_major = major(k->dev),
		.stx_dev_minor = minor(k->dev),
		.stx_mnt_id = k->mnt_id,
	};
	return uaccess_put(&t->ctx, to, &sx);
}

long sys_statx(struct task *t, const struct sysargs *a)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	struct kstat k;
	int flags = ARG_I32(2);
	long r;
	if (ARG_U32(3) & STATX__RESERVED)
		return -EINVAL;
	if ((flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
		return -EINVAL;
	if (a->v[1] == 0 && (flags & AT_EMPTY_PATH))
		buf[0] = 0;
	else if ((r = path_in(t, buf, ARG_PTR(1))) < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_statat(&v, ARG_I32(0), buf, flags & ~AT_STATX_SYNC_TYPE, &k);
	return r < 0 ? r : statx_out(t, ARG_PTR(4), &k);
}

static long statfs_out(struct task *t, uaddr_t to, const struct kstatfs *k)
{
	struct statfs s = {
		.f_type = (long)k->type,
		.f_bsize = (long)k->bsize,
		.f_blocks = k->blocks,
		.f_bfree = k->bfree,
		.f_bavail = k->bavail,
		.f_files = k->files,
		.f_ffree = k->ffree,
		.f_namelen = k->namelen,
		.f_frsize = (long)k->frsize,
		.f_flags = (long)k->flags,
	};
	__builtin_memcpy(&s.f_fsid, &k->fsid, sizeof(s.f_fsid));
	return uaccess_put(&t->ctx, to, &s);
}

long sys_statfs(struct task *t, const struct sysargs *a)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	struct kstatfs k = {0};
	PATH_REF p = {0};
	long r = path_in(t, buf, ARG_PTR(0));
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_lookup(&v, AT_FDCWD, buf, 0, &p);
	if (r == 0)
		r = vfs_statfs(&t->ctx, &p, &k);
	return r < 0 ? r : statfs_out(t, ARG_PTR(1), &k);
}

long sys_fstatfs(struct task *t, const struct sysargs *a)
{
	struct kstatfs k = {0};
	FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	long r = vfs_statfs(&t->ctx, &f->path, &k);
	return r < 0 ? r : statfs_out(t, ARG_PTR(1), &k);
}

static long do_access(struct task *t, int dirfd, uaddr_t path, int mode, int flags)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	if (mode & ~7 || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	long r = path_in(t, buf, path);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_accessat(&v, dirfd, buf, mode, flags);
}

long sys_access(struct task *t, const struct sysargs *a)
{
	return do_access(t, AT_FDCWD, ARG_PTR(0), ARG_I32(1), 0);
}

long sys_faccessat(struct task *t, const struct sysargs *a)
{
	return do_access(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2), 0);
}

long sys_faccessat2(struct task *t, const struct sysargs *a)
{
	return do_access(t, ARG_I32(0), ARG_PTR(1), ARG_I32(2), ARG_I32(3));
}

/* --- changing attributes --- */

/* Looks a path up for an attribute call; at_flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
static long attr_lookup(struct task *t, int dirfd, uaddr_t path, int at_flags, struct path *out)
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
	long r = attr_lookup(t, dirfd, path, flags, &p);
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
	long r = attr_lookup(t, dirfd, path, flags, &p);
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
	long r = attr_lookup(t, AT_FDCWD, ARG_PTR(0), 0, &p);
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
	long r = attr_lookup(t, dirfd, path, flags, &p);
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

/* --- extended attributes --- */

static long xattr_name_in(struct task *t, char *buf, uaddr_t from)
{
	ssize_t n = uaccess_strncpy(&t->ctx, buf, from, XATTR_NAME_MAX + 1);
	if (n == 0 || n == -ENAMETOOLONG)
		return -ERANGE;
	return n < 0 ? n : 0;
}

static long do_getxattr(struct task *t, const struct path *p, const struct sysargs *a)
{
	char name[XATTR_NAME_MAX + 1];
	size_t size = MIN(ARG_U64(3), (uint64_t)XATTR_SIZE_MAX);
	void *buf = NULL;
	long r = xattr_name_in(t, name, ARG_PTR(1));
	if (r < 0)
		return r;
	if (size && !(buf = buf_alloc(size)))
		return -ENOMEM;
	r = vfs_getxattr(&t->ctx, p, name, buf, size);
	if (r > 0 && size && uaccess_copyout(&t->ctx, ARG_PTR(2), buf, (size_t)r))
		r = -EFAULT;
	buf_free(buf, size);
	return r;
}

static long do_setxattr(struct task *t, const struct path *p, const struct sysargs *a)
{
	char name[XATTR_NAME_MAX + 1];
	uint64_t size = ARG_U64(3);
	void *buf = NULL;
	if (ARG_I32(4) & ~(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	long r = xattr_name_in(t, name, ARG_PTR(1));
	if (r < 0)
		return r;
	if (size > XATTR_SIZE_MAX)
		return -E2BIG;
	if (size && !(buf = buf_alloc(size)))
		return -ENOMEM;
	r = size && uaccess_copyin(&t->ctx, buf, ARG_PTR(2), size) ? -EFAULT : 0;
	if (r == 0)
		r = vfs_setxattr(&t->ctx, p, name, buf, size, ARG_I32(4));
	buf_free(buf, size);
	return r;
}

static long do_listxattr(struct task *t, const struct path *p, const struct sysargs *a)
{
	size_t size = MIN(ARG_U64(2), (uint64_t)XATTR_LIST_MAX);
	char *buf = NULL;
	if (size && !(buf = buf_alloc(size)))
		return -ENOMEM;
	long r = vfs_listxattr(&t->ctx, p, buf, size);
	if (r > 0 && size && uaccess_copyout(&t->ctx, ARG_PTR(1), buf, (size_t)r))
		r = -EFAULT;
	buf_free(buf, size);
	return r;
}

static long do_removexattr(struct task *t, const struct path *p, const struct sysargs *a)
{
	char name[XATTR_NAME_MAX + 1];
	long r = xattr_name_in(t, name, ARG_PTR(1));
	return r < 0 ? r : vfs_removexattr(&t->ctx, p, name);
}

typedef long (*xattr_fn)(struct task *t, const struct path *p, const struct sysargs *a);

static long xattr_path(struct task *t, const struct sysargs *a, int at_flags, xattr_fn fn)
{
	PATH_REF p = {0};
	long r = attr_lookup(t, AT_FDCWD, ARG_PTR(0), at_flags, &p);
	return r < 0 ? r : fn(t, &p, a);
}

static long xattr_fd(struct task *t, const struct sysargs *a, xattr_fn fn)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? fn(t, &f->path, a) : -EBADF;
}

long sys_getxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, 0, do_getxattr);
}

long sys_lgetxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, AT_SYMLINK_NOFOLLOW, do_getxattr);
}

long sys_fgetxattr(struct task *t, const struct sysargs *a)
{
	return xattr_fd(t, a, do_getxattr);
}

long sys_setxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, 0, do_setxattr);
}

long sys_lsetxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, AT_SYMLINK_NOFOLLOW, do_setxattr);
}

long sys_fsetxattr(struct task *t, const struct sysargs *a)
{
	return xattr_fd(t, a, do_setxattr);
}

long sys_listxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, 0, do_listxattr);
}

long sys_llistxattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, AT_SYMLINK_NOFOLLOW, do_listxattr);
}

long sys_flistxattr(struct task *t, const struct sysargs *a)
{
	return xattr_fd(t, a, do_listxattr);
}

long sys_removexattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, 0, do_removexattr);
}

long sys_lremovexattr(struct task *t, const struct sysargs *a)
{
	return xattr_path(t, a, AT_SYMLINK_NOFOLLOW, do_removexattr);
}

long sys_fremovexattr(struct task *t, const struct sysargs *a)
{
	return xattr_fd(t, a, do_removexattr);
}

/* The same for a place given by descriptor and path (Linux 6.13). */
struct xattr_args_abi {
	uint64_t value;
	uint32_t size, flags;
};

static long xattr_at(struct task *t, const struct sysargs *a, const struct sysargs *b, xattr_fn fn)
{
	PATH_REF p = {0};
	uint32_t flags = ARG_U32(2);

	if (flags & ~(uint32_t)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if ((flags & AT_EMPTY_PATH) && !ARG_U64(1) && ARG_I32(0) != AT_FDCWD) {
		FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
		return f ? fn(t, &f->path, b) : -EBADF;
	}
	long r = attr_lookup(t, ARG_I32(0), ARG_PTR(1), (int)flags, &p);
	return r < 0 ? r : fn(t, &p, b);
}

static long xattr_args_in(struct task *t, const struct sysargs *a, struct sysargs *b)
{
	struct xattr_args_abi x;

	if (ARG_U64(5) < sizeof(x))
		return -EINVAL;
	if (ARG_U64(5) > PAGE_SIZE)
		return -E2BIG;
	long r = struct_in(t, &x, sizeof(x), ARG_PTR(4), ARG_U64(5));
	*b = (struct sysargs){{0, ARG_U64(3), x.value, x.size, x.flags, 0}};
	return r;
}

long sys_setxattrat(struct task *t, const struct sysargs *a)
{
	struct sysargs b;
	long r = xattr_args_in(t, a, &b);
	return r < 0 ? r : xattr_at(t, a, &b, do_setxattr);
}

long sys_getxattrat(struct task *t, const struct sysargs *a)
{
	struct sysargs b;
	long r = xattr_args_in(t, a, &b);
	if (r == 0 && b.v[4])
		r = -EINVAL;
	return r < 0 ? r : xattr_at(t, a, &b, do_getxattr);
}

long sys_listxattrat(struct task *t, const struct sysargs *a)
{
	struct sysargs b = {{0, ARG_U64(3), ARG_U64(4)}};
	return xattr_at(t, a, &b, do_listxattr);
}

long sys_removexattrat(struct task *t, const struct sysargs *a)
{
	struct sysargs b = {{0, ARG_U64(3)}};
	return xattr_at(t, a, &b, do_removexattr);
}

/* --- directories --- */

struct dirent_out {
	struct dirent_sink sink;
	struct task *t;
	uaddr_t at;
	uint64_t left;
	uint64_t written;
	bool old_format;
	long error; /* of the first entry that could not be stored */
};

/* struct linux_dirent64: ino, off, reclen, type, name; struct linux_dirent has the type last. */
static bool dirent_add(struct dirent_sink *s, const char *name, size_t len, uint64_t ino,
	uint8_t type, int64_t cookie)
{
	struct dirent_out *o = container_of(s, struct dirent_out, sink);
	size_t head = o->old_format ? 18 : 19;
	size_t reclen = ROUND_UP(head + len + (o->old_format ? 2 : 1), 8UL);
	char rec[19 + VFS_NAME_MAX + 10] = {0};
	if (len > VFS_NAME_MAX)
		return true; /* cannot be named by the guest */
	if (reclen > o->left) {
		if (!o->written)
			o->error = -EINVAL;
		return false;
	}
	__builtin_memcpy(rec, &ino, 8);
	__builtin_memcpy(rec + 8, &cookie, 8);
	uint16_t r16 = (uint16_t)reclen;
	__builtin_memcpy(rec + 16, &r16, 2);
	if (o->old_format)
		rec[reclen - 1] = (char)type;
	else
		rec[18] = (char)type;
	__builtin_memcpy(rec + head, name, len);
	if (uaccess_copyout(&o->t->ctx, o->at, rec, reclen)) {
		o->error = -EFAULT;
		return false;
	}
	o->at = uaddr_add(o->at, reclen);
	o->left -= reclen;
	o->written += reclen;
	return true;
}

static long do_getdents(struct task *t, const struct sysargs *a, bool old_format)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (!f)
		return -EBADF;
	const struct file_ops *ops = file_ops(f);
	if (!S_ISDIR(f->inode->mode) || !ops->readdir)
		return -ENOTDIR;
	struct dirent_out o = {.sink.add = dirent_add,
		.t = t,
		.at = ARG_PTR(1),
		.left = ARG_U32(2),
		.old_format = old_format};
	long r = vfs_readdir(&t->ctx, f, &o.sink);
	if (o.written)
		return (long)o.written;
	return r < 0 ? r : o.error;
}

long sys_getdents(struct task *t, const struct sysargs *a)
{
	return do_getdents(t, a, true);
}

long sys_getdents64(struct task *t, const struct sysargs *a)
{
	return do_getdents(t, a, false);
}

long sys_getcwd(struct task *t, const struct sysargs *a)
{
	char buf[VFS_PATH_MAX], *start;
	PATH_REF root = {0}, cwd = {0};
	fsctx_get(t->fs, &root, &cwd);
	if (cwd.dentry->flags & DENTRY_DELETED)
		return -ENOENT;
	long r = vfs_path_string(&cwd, &root, buf, sizeof(buf), &start);
	if (r < 0)
		return r;
	size_t n = (size_t)(buf + sizeof(buf) - start);
	n = __builtin_strlen(start) + 1;
	if (n > ARG_U64(1))
		return -ERANGE;
	return uaccess_copyout(&t->ctx, ARG_PTR(0), start, n) ? -EFAULT : (long)n;
}

long sys_chdir(struct task *t, const struct sysargs *a)
{
	struct vfs_view v;
	PATH_REF p = {0};
	long r = attr_lookup(t, AT_FDCWD, ARG_PTR(0), 0, &p);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_chdir(&v, &p);
}

long sys_fchdir(struct task *t, const struct sysargs *a)
{
	struct vfs_view v;
	FILE_REF f = fd_get_raw(t->fds, ARG_I32(0));
	task_vfs(t, &v);
	return f ? vfs_chdir(&v, &f->path) : -EBADF;
}

long sys_chroot(struct task *t, const struct sysargs *a)
{
	struct vfs_view v;
	PATH_REF p = {0};
	long r = attr_lookup(t, AT_FDCWD, ARG_PTR(0), 0, &p);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_chroot(&v, &p);
}

long sys_umask(struct task *t, const struct sysargs *a)
{
	return __atomic_exchange_n(&t->fs->umask, ARG_U32(0) & 0777, __ATOMIC_RELAXED);
}

/* --- mounts --- */

long sys_mount(struct task *t, const struct sysargs *a)
{
	char source[VFS_PATH_MAX], target[VFS_PATH_MAX], type[256], *data = NULL;
	struct vfs_view v;
	source[0] = type[0] = 0;
	ssize_t n;
	if (ARG_U64(2) && (n = uaccess_strncpy(&t->ctx, type, ARG_PTR(2), sizeof(type))) < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	if (ARG_U64(0) && (n = path_in(t, source, ARG_PTR(0))) < 0)
		return n;
	if (ARG_U64(4)) {
		data = buf_alloc(PAGE_SIZE);
		if (!data)
			return -ENOMEM;
		n = uaccess_copyin_some(&t->ctx, data, ARG_PTR(4), PAGE_SIZE - 1);
		if (n < 0) {
			buf_free(data, PAGE_SIZE);
			return n;
		}
	}
	long r = path_in(t, target, ARG_PTR(1));
	task_vfs(t, &v);
	if (r == 0)
		r = ctx_capable(&t->ctx, CAP_SYS_ADMIN)
			    ? vfs_mount(&v, source, target, ARG_U64(2) ? type : NULL, ARG_U64(3),
				      data)
			    : -EPERM;
	buf_free(data, PAGE_SIZE);
	return r;
}

long sys_umount2(struct task *t, const struct sysargs *a)
{
	char target[VFS_PATH_MAX];
	struct vfs_view v;
	if (ARG_U32(1) & ~0xfu)
		return -EINVAL;
	long r = path_in(t, target, ARG_PTR(0));
	if (r < 0)
		return r;
	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	task_vfs(t, &v);
	return vfs_umount(&v, target, ARG_I32(1));
}

long sys_pivot_root(struct task *t, const struct sysargs *a)
{
	char new_root[VFS_PATH_MAX], put_old[VFS_PATH_MAX];
	struct vfs_view v;
	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	long r = path_in(t, new_root, ARG_PTR(0));
	if (r == 0)
		r = path_in(t, put_old, ARG_PTR(1));
	task_vfs(t, &v);
	return r < 0 ? r : vfs_pivot_root(&v, new_root, put_old);
}
