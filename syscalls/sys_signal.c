/* System calls on signals. */
#include "sentry/procfs/procfs.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

static long set_size(uint64_t n)
{
	return n == sizeof(ksigset_t) ? 0 : -EINVAL;
}

long sys_rt_sigaction(struct task *t, const struct sysargs *a)
{
	struct ksigaction new, old;
	bool has_new = ARG_U64(1) != 0;
	if (set_size(ARG_U64(3)))
		return -EINVAL;
	if (has_new && uaccess_get(&t->ctx, &new, ARG_PTR(1)))
		return -EFAULT;
	long r = signal_action(t, ARG_I32(0), has_new ? &new : NULL, &old);
	if (r < 0)
		return r;
	return ARG_U64(2) ? uaccess_put(&t->ctx, ARG_PTR(2), &old) : 0;
}

long sys_rt_sigprocmask(struct task *t, const struct sysargs *a)
{
	ksigset_t old = t->blocked, set;
	if (set_size(ARG_U64(3)))
		return -EINVAL;
	if (ARG_U64(1)) {
		if (uaccess_get(&t->ctx, &set, ARG_PTR(1)))
			return -EFAULT;
		switch (ARG_I32(0)) {
		case SIG_BLOCK:
			set |= old;
			break;
		case SIG_UNBLOCK:
			set = old & ~set;
			break;
		case SIG_SETMASK:
			break;
		default:
			return -EINVAL;
		}
		signal_set_blocked(t, set);
	}
	return ARG_U64(2) ? uaccess_put(&t->ctx, ARG_PTR(2), &old) : 0;
}

long sys_rt_sigpending(struct task *t, const struct sysargs *a)
{
	uint64_t n = ARG_U64(1);
	if (n > sizeof(ksigset_t))
		return -EINVAL;
	ksigset_t set = signal_pending_set(t) & t->blocked;
	return uaccess_copyout(&t->ctx, ARG_PTR(0), &set, n);
}

long sys_rt_sigsuspend(struct task *t, const struct sysargs *a)
{
	ksigset_t set;
	if (set_size(ARG_U64(1)))
		return -EINVAL;
	if (uaccess_get(&t->ctx, &set, ARG_PTR(0)))
		return -EFAULT;
	signal_set_blocked_until_return(t, set);
	while (ctx_block(&t->ctx, DEADLINE_NEVER) == 0)
		;
	return -ERESTARTNOHAND;
}

long sys_pause(struct task *t, const struct sysargs *a)
{
	while (ctx_block(&t->ctx, DEADLINE_NEVER) == 0)
		;
	return -ERESTARTNOHAND;
}

long sys_rt_sigtimedwait(struct task *t, const struct sysargs *a)
{
	ksigset_t set;
	struct ksiginfo info;
	int64_t ns, deadline = DEADLINE_NEVER;
	if (set_size(ARG_U64(3)))
		return -EINVAL;
	if (uaccess_get(&t->ctx, &set, ARG_PTR(0)))
		return -EFAULT;
	if (ARG_U64(2)) {
		int e = timespec_in(t, ARG_PTR(2), &ns);
		if (e < 0)
			return e;
		deadline = ns ? deadline_after(ns) : 0;
	}
	int sig = signal_timedwait(t, set, &info, deadline);
	if (sig > 0 && ARG_U64(1) && uaccess_put(&t->ctx, ARG_PTR(1), &info))
		return -EFAULT;
	return sig;
}

long sys_rt_sigreturn(struct task *t, const struct sysargs *a)
{
	return signal_rt_sigreturn(t);
}

long sys_sigaltstack(struct task *t, const struct sysargs *a)
{
	return signal_sigaltstack(t, ARG_PTR(0), ARG_PTR(1), task_regs(t)->rsp);
}

long sys_kill(struct task *t, const struct sysargs *a)
{
	return signal_kill(t, ARG_I32(0), ARG_I32(1));
}

static long do_tkill(struct task *t, int32_t tgid, int32_t tid, int sig)
{
	struct ksiginfo info;
	ksiginfo_user(&info, t, sig, SI_TKILL);
	return signal_tgkill(t, tgid, tid, &info);
}

long sys_tkill(struct task *t, const struct sysargs *a)
{
	return ARG_I32(0) <= 0 ? -EINVAL : do_tkill(t, 0, ARG_I32(0), ARG_I32(1));
}

long sys_tgkill(struct task *t, const struct sysargs *a)
{
	if (ARG_I32(0) <= 0 || ARG_I32(1) <= 0)
		return -EINVAL;
	return do_tkill(t, ARG_I32(0), ARG_I32(1), ARG_I32(2));
}

static long info_in(struct task *t, struct ksiginfo *info, uaddr_t from, int sig)
{
	if (uaccess_get(&t->ctx, info, from))
		return -EFAULT;
	info->signo = sig;
	return 0;
}

long sys_rt_sigqueueinfo(struct task *t, const struct sysargs *a)
{
	struct ksiginfo info;
	long r = info_in(t, &info, ARG_PTR(2), ARG_I32(1));
	return r < 0 ? r : signal_queue(t, ARG_I32(0), &info);
}

long sys_rt_tgsigqueueinfo(struct task *t, const struct sysargs *a)
{
	struct ksiginfo info;
	long r = info_in(t, &info, ARG_PTR(3), ARG_I32(2));
	if (r < 0)
		return r;
	if (ARG_I32(0) <= 0 || ARG_I32(1) <= 0)
		return -EINVAL;
	/* Only the kernel and the process itself may claim other codes. */
	if ((info.code >= 0 || info.code == SI_TKILL) &&
		pid_nr(t->tg->pid, t->pid_ns) != ARG_I32(0))
		return -EPERM;
	return signal_tgkill(t, ARG_I32(0), ARG_I32(1), &info);
}

static long do_signalfd(struct task *t, const struct sysargs *a, uint32_t flags)
{
	ksigset_t set;
	struct file *f;
	if (flags & ~(uint32_t)(O_CLOEXEC | O_NONBLOCK) || set_size(ARG_U64(2)))
		return -EINVAL;
	if (uaccess_get(&t->ctx, &set, ARG_PTR(1)))
		return -EFAULT;
	set &= ~KSIG_UNBLOCKABLE;
	if (ARG_I32(0) != -1) {
		FILE_REF old = fd_get(t->fds, ARG_I32(0));
		if (!old)
			return -EBADF;
		long r = signalfd_change(old, set);
		return r < 0 ? r : ARG_I32(0);
	}
	long r = signalfd_create(&t->ctx, set, flags & O_NONBLOCK, &f);
	return r < 0 ? r : install_fd(t, f, flags & O_CLOEXEC);
}

long sys_signalfd(struct task *t, const struct sysargs *a)
{
	return do_signalfd(t, a, 0);
}

long sys_signalfd4(struct task *t, const struct sysargs *a)
{
	return do_signalfd(t, a, ARG_U32(3));
}

/* --- pidfd --- */

long sys_pidfd_open(struct task *t, const struct sysargs *a)
{
	struct file *f;
	long r = task_pidfd_open(t, ARG_I32(0), ARG_U32(1), &f);
	return r < 0 ? r : install_fd(t, f, true);
}

long sys_pidfd_send_signal(struct task *t, const struct sysargs *a)
{
	struct ksiginfo info;
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (ARG_U32(3))
		return -EINVAL;
	if (!f)
		return -EBADF;
	if (ARG_U64(2)) {
		if (uaccess_get(&t->ctx, &info, ARG_PTR(2)))
			return -EFAULT;
		if (info.signo != ARG_I32(1))
			return -EINVAL;
	}
	struct pid *p = procfs_dir_pid(f);
	if (p) { /* a /proc/PID directory does as well */
		struct file *pidfd;
		long r = pidfd_create(&t->ctx, p, 0, &pidfd);
		if (r < 0)
			return r;
		file_put(f);
		f = pidfd;
	}
	return task_pidfd_send_signal(t, f, ARG_I32(1), ARG_U64(2) ? &info : NULL, 0);
}

/* pidfd_getfd(2): needs ptrace access to the target. */
long sys_pidfd_getfd(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	if (ARG_U32(2))
		return -EINVAL;
	struct task *target;
	struct file *got;
	long r = f ? pidfd_task(f, &target) : -EBADF;
	if (r < 0)
		return r;
	r = task_access_file(&t->ctx, target, ACCESS_REALCREDS, ARG_I32(1), &got);
	task_put(target);
	return r < 0 ? r : install_fd(t, got, true);
}

long sys_ptrace(struct task *t, const struct sysargs *a)
{
	return task_ptrace(t, ARG_U64(0), ARG_I32(1), ARG_U64(2), ARG_U64(3));
}
