/* System calls that reach for the machine: what a sandbox has none of says so. */
#include "syscalls/sys_priv.h"

long sys_iopl(struct task *t, const struct sysargs *a)
{
	if (ARG_U32(0) > 3)
		return -EINVAL;
	return ARG_U32(0) ? -EPERM : 0;
}

#define IO_PORTS 65536UL

long sys_ioperm(struct task *t, const struct sysargs *a)
{
	uint64_t from = ARG_U64(0), num = ARG_U64(1);

	if (from + num <= from || from + num > IO_PORTS)
		return -EINVAL;
	return ARG_I32(2) ? -EPERM : 0;
}

long sys_swapon(struct task *t, const struct sysargs *a)
{
	if (ARG_U32(1) & ~0x7ffffu) /* SWAP_FLAGS_VALID */
		return -EINVAL;
	return -EPERM;
}

long sys_swapoff(struct task *t, const struct sysargs *a)
{
	char buf[VFS_PATH_MAX];
	struct vfs_view v;
	PATH_REF p = {0};

	if (!ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	long r = path_in(t, buf, ARG_PTR(0));
	if (r < 0)
		return r;
	task_vfs(t, &v);
	r = vfs_lookup(&v, AT_FDCWD, buf, 0, &p);
	return r < 0 ? r : -EINVAL; /* nothing is swapped to */
}

/* There are no segments to read; to write some would change how the guest's own code runs. */
long sys_modify_ldt(struct task *t, const struct sysargs *a)
{
	uint64_t n;

	switch (ARG_I32(0)) {
	case 0: /* this process's: none */
		return 0;
	case 2: /* the default one: empty */
		n = MIN(ARG_U64(2), 128UL);
		return uaccess_clear(&t->ctx, ARG_PTR(1), n) ? -EFAULT : (long)n;
	default:
		return -ENOSYS;
	}
}
