/* Making, renaming, linking and removing names. */
#include <sys/sysmacros.h>

#include "syscalls/sys_priv.h"

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
