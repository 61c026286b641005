/* Extended attributes (xattr(7)). */
#include <linux/limits.h>

#include "lib/abi/xattr.h"
#include "syscalls/sys_priv.h"

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
	long r = lookup_in(t, AT_FDCWD, ARG_PTR(0), at_flags, &p);
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
	long r = lookup_in(t, ARG_I32(0), ARG_PTR(1), (int)flags, &p);
	return r < 0 ? r : fn(t, &p, b);
}

static long xattr_args_in(struct task *t, const struct sysargs *a, struct sysargs *b)
{
	struct abi_xattr_args x;

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
