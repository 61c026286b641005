/* Reading directories; root, working directory and umask. */
#include "syscalls/sys_priv.h"

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
		.left = ARG_U32(2) > INT32_MAX ? 0 : ARG_U32(2), /* negative to Linux */
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
	if (dentry_is(cwd.dentry, DENTRY_DELETED))
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
	long r = lookup_in(t, AT_FDCWD, ARG_PTR(0), 0, &p);
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
	long r = lookup_in(t, AT_FDCWD, ARG_PTR(0), 0, &p);
	task_vfs(t, &v);
	return r < 0 ? r : vfs_chroot(&v, &p);
}

long sys_umask(struct task *t, const struct sysargs *a)
{
	return __atomic_exchange_n(&t->fs->umask, ARG_U32(0) & 0777, __ATOMIC_RELAXED);
}
