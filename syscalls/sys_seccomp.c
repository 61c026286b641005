/* seccomp(2) and prctl(PR_SET_SECCOMP). */
#include <linux/filter.h>
#include <linux/seccomp.h>

#include "sentry/task/seccomp/seccomp.h"
#include "syscalls/sys_priv.h"

static long set_strict(struct task *t, uint64_t flags, uint64_t args)
{
	return flags || args ? -EINVAL : seccomp_set_strict(t);
}

static long set_filter(struct task *t, uint64_t flags, uaddr_t args)
{
	struct abi_sock_fprog prog;
	struct abi_sock_filter *insn;
	size_t size;
	long r = seccomp_may_attach(t, 1, flags);

	if (r == -EINVAL)
		return r; /* the flags */
	if (uaccess_get(&t->ctx, &prog, args))
		return -EFAULT;
	r = seccomp_may_attach(t, prog.len, flags);
	if (r)
		return r;
	size = prog.len * sizeof(*insn);
	insn = buf_alloc(size);
	if (!insn)
		return -ENOMEM;
	r = uaccess_copyin(&t->ctx, insn, UADDR(prog.filter), size);
	if (r == 0)
		r = seccomp_attach(t, insn, prog.len, flags);
	buf_free(insn, size);
	return r;
}

static long action_avail(struct task *t, uint64_t flags, uaddr_t args)
{
	uint32_t action;

	if (flags)
		return -EINVAL;
	if (uaccess_get(&t->ctx, &action, args))
		return -EFAULT;
	return seccomp_action_known(action) ? 0 : -EOPNOTSUPP;
}

long sys_seccomp(struct task *t, const struct sysargs *a)
{
	switch (ARG_U32(0)) {
	case SECCOMP_SET_MODE_STRICT:
		return set_strict(t, ARG_U32(1), ARG_U64(2));
	case SECCOMP_SET_MODE_FILTER:
		return set_filter(t, ARG_U32(1), ARG_PTR(2));
	case SECCOMP_GET_ACTION_AVAIL:
		return action_avail(t, ARG_U32(1), ARG_PTR(2));
	default: /* SECCOMP_GET_NOTIF_SIZES among them: no user notification */
		return -EINVAL;
	}
}

long prctl_set_seccomp(struct task *t, uint64_t mode, uint64_t filter)
{
	switch (mode) {
	case SECCOMP_MODE_STRICT:
		return set_strict(t, 0, 0);
	case SECCOMP_MODE_FILTER:
		return set_filter(t, 0, UADDR(filter));
	default:
		return -EINVAL;
	}
}
