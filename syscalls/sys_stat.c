/* What is known of a file or file system: stat(2), statx(2), statfs(2), access(2). */
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "syscalls/sys_priv.h"

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
