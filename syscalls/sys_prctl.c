/* prctl(2) and arch_prctl(2). */
#include "lib/abi/mman.h"
#include "lib/abi/prctl.h"
#include "syscalls/sys_priv.h"

static long prctl_capbset(struct task *t, int op, uint64_t cap)
{
	if (cap > CAP_LAST_CAP)
		return -EINVAL;
	if (op == PR_CAPBSET_READ)
		return (long)((t->ctx.cred->cap_bounding >> cap) & 1);
	if (!ctx_capable(&t->ctx, CAP_SETPCAP))
		return -EPERM;
	struct cred *c = cred_dup(t->ctx.cred);
	if (!c)
		return -ENOMEM;
	c->cap_bounding &= ~(1UL << cap);
	task_set_cred(t, c);
	return 0;
}

static long prctl_securebits(struct task *t, uint64_t bits)
{
	const struct cred *old = t->ctx.cred;
	uint32_t locked = (old->securebits & 0xaa) >> 1; /* values that are locked */
	if (bits & ~0xffUL)
		return -EPERM;
	if (((old->securebits ^ bits) & locked) || ((old->securebits & 0xaa) & ~bits) ||
		!ctx_capable(&t->ctx, CAP_SETPCAP))
		return -EPERM;
	struct cred *c = cred_dup(old);
	if (!c)
		return -ENOMEM;
	c->securebits = (uint32_t)bits;
	task_set_cred(t, c);
	return 0;
}

static long prctl_keepcaps(struct task *t, uint64_t on)
{
	if (on > 1)
		return -EINVAL;
	if (t->ctx.cred->securebits & 0x20) /* SECBIT_KEEP_CAPS_LOCKED */
		return -EPERM;
	struct cred *c = cred_dup(t->ctx.cred);
	if (!c)
		return -ENOMEM;
	c->securebits = (c->securebits & ~0x10u) | (on ? 0x10u : 0);
	task_set_cred(t, c);
	return 0;
}

static long prctl_ambient(struct task *t, const struct sysargs *a)
{
	uint64_t op = ARG_U64(1), cap = ARG_U64(2);
	if (ARG_U64(3) || ARG_U64(4))
		return -EINVAL;
	struct cred *old = t->ctx.cred;
	if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
		if (cap)
			return -EINVAL;
	} else if (cap > CAP_LAST_CAP) {
		return -EINVAL;
	}
	uint64_t bit = 1UL << cap;
	if (op == PR_CAP_AMBIENT_IS_SET)
		return (old->cap_ambient & bit) != 0;
	if (op == PR_CAP_AMBIENT_RAISE &&
		(!(old->cap_permitted & bit) || !(old->cap_inheritable & bit) ||
			(old->securebits & 0x40))) /* SECBIT_NO_CAP_AMBIENT_RAISE */
		return -EPERM;
	if (op != PR_CAP_AMBIENT_RAISE && op != PR_CAP_AMBIENT_LOWER &&
		op != PR_CAP_AMBIENT_CLEAR_ALL)
		return -EINVAL;
	struct cred *c = cred_dup(old);
	if (!c)
		return -ENOMEM;
	if (op == PR_CAP_AMBIENT_RAISE)
		c->cap_ambient |= bit;
	else
		c->cap_ambient &= op == PR_CAP_AMBIENT_LOWER ? ~bit : 0;
	task_set_cred(t, c);
	return 0;
}

static long prctl_name(struct task *t, bool set, uaddr_t p)
{
	char name[16] = {0};
	if (!set) {
		__builtin_memcpy(name, t->comm, sizeof(name));
		return uaccess_put(&t->ctx, p, &name);
	}
	ssize_t n = uaccess_strncpy(&t->ctx, name, p, sizeof(name));
	if (n == -EFAULT)
		return n;
	name[15] = 0;
	/* What lies behind the terminating NUL was never copied. */
	mutex_lock(&t->lock);
	__builtin_memcpy(t->comm, name, sizeof(name));
	mutex_unlock(&t->lock);
	return 0;
}

static long put_int(struct task *t, uint64_t to, int v)
{
	return uaccess_put(&t->ctx, UADDR(to), &v);
}

long sys_prctl(struct task *t, const struct sysargs *a)
{
	uint64_t v = ARG_U64(1);
	bool rest_zero = !ARG_U64(2) && !ARG_U64(3) && !ARG_U64(4);
	switch (ARG_I32(0)) {
	case PR_SET_PDEATHSIG:
		if (v > KNSIG)
			return -EINVAL;
		WRITE_ONCE(t->pdeath_signal, (int32_t)v);
		return 0;
	case PR_GET_PDEATHSIG:
		return put_int(t, v, READ_ONCE(t->pdeath_signal));
	case PR_GET_DUMPABLE:
		return READ_ONCE(t->ctx.mm->dumpable);
	case PR_SET_DUMPABLE:
		if (v > 1)
			return -EINVAL;
		WRITE_ONCE(t->ctx.mm->dumpable, v);
		return 0;
	case PR_SET_NAME:
	case PR_GET_NAME:
		return prctl_name(t, ARG_I32(0) == PR_SET_NAME, ARG_PTR(1));
	case PR_GET_KEEPCAPS:
		return (t->ctx.cred->securebits >> 4) & 1;
	case PR_SET_KEEPCAPS:
		return prctl_keepcaps(t, v);
	case PR_CAPBSET_READ:
	case PR_CAPBSET_DROP:
		return prctl_capbset(t, ARG_I32(0), v);
	case PR_GET_SECUREBITS:
		return t->ctx.cred->securebits;
	case PR_SET_SECUREBITS:
		return prctl_securebits(t, v);
	case PR_CAP_AMBIENT:
		return prctl_ambient(t, a);
	case PR_SET_NO_NEW_PRIVS:
		if (v != 1 || !rest_zero)
			return -EINVAL;
		WRITE_ONCE(t->no_new_privs, true);
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return v || !rest_zero ? -EINVAL : READ_ONCE(t->no_new_privs);
	case PR_SET_CHILD_SUBREAPER:
		tgroup_set_subreaper(t->tg, v != 0);
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_int(t, v, READ_ONCE(t->tg->is_subreaper));
	case PR_GET_TIMERSLACK:
		return (long)t->timer_slack;
	case PR_SET_TIMERSLACK:
		WRITE_ONCE(t->timer_slack, (int64_t)v <= 0 ? t->default_timer_slack : v);
		return 0;
	case PR_GET_TSC:
		return put_int(t, v, PR_TSC_ENABLE);
	case PR_SET_TSC:
		return v == PR_TSC_ENABLE ? 0 : -EINVAL;
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return v == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_MCE_KILL_GET:
		return v || !rest_zero ? -EINVAL : 2 /* PR_MCE_KILL_DEFAULT */;
	case PR_GET_TID_ADDRESS:
		return uaccess_put(&t->ctx, UADDR(v), &t->clear_child_tid);
	case PR_SET_THP_DISABLE:
		if (!rest_zero)
			return -EINVAL;
		t->ctx.mm->thp_disable = v != 0;
		return 0;
	case PR_GET_THP_DISABLE:
		return v || !rest_zero ? -EINVAL : t->ctx.mm->thp_disable;
	case PR_SET_SECCOMP:
		return prctl_set_seccomp(t, v, ARG_U64(2));
	case PR_GET_SECCOMP:
		return (long)t->seccomp_mode;
	case PR_SET_PTRACER:
		return 0; /* without the Yama module any tracer with the right ids is allowed */
	default:
		return -EINVAL;
	}
}

long sys_arch_prctl(struct task *t, const struct sysargs *a)
{
	struct user_regs_struct *regs = task_regs(t);
	uint64_t v = ARG_U64(1), out;
	switch (ARG_I32(0)) {
	case ABI_ARCH_SET_FS:
	case ABI_ARCH_SET_GS:
		if (v >= ABI_TASK_SIZE)
			return -EPERM;
		if (ARG_I32(0) == ABI_ARCH_SET_FS)
			regs->fs_base = v;
		else
			regs->gs_base = v;
		return 0;
	case ABI_ARCH_GET_CPUID: /* the instruction works, and cannot be made to fault */
		return 1;
	case ABI_ARCH_SET_CPUID:
		return -ENODEV;
	case ABI_ARCH_GET_FS:
	case ABI_ARCH_GET_GS:
		out = ARG_I32(0) == ABI_ARCH_GET_FS ? regs->fs_base : regs->gs_base;
		return uaccess_put(&t->ctx, UADDR(v), &out);
	default:
		return -EINVAL;
	}
}
