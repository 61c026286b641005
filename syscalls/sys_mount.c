/* Mounts: mount(2), umount2(2), pivot_root(2). */
#include "syscalls/sys_priv.h"

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
