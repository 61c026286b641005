/* System calls on processes: life, identity, groups, limits, scheduling parameters. */
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/times.h>
#include <sys/wait.h>

#include "sentry/core/machine.h"
#include "syscalls/sys_priv.h"

#ifndef CLONE_ARGS_SIZE_VER0
#define CLONE_ARGS_SIZE_VER0 64
#endif

/* --- fork, clone, exec, exit --- */

long sys_clone(struct task *t, const struct sysargs *a)
{
	struct task_clone_args c = {
		.flags = (ARG_U64(0) & ~0xffUL) & 0xffffffffUL,
		.exit_signal = (int32_t)(ARG_U64(0) & 0xff),
		.stack = ARG_U64(1),
		.parent_tid = ARG_U64(2),
		.child_tid = ARG_U64(3),
		.tls = ARG_U64(4),
		.pidfd = ARG_U64(2),
	};
	/* CLONE_PIDFD reuses the parent_tid argument, so both cannot be asked for. */
	if ((c.flags & CLONE_PIDFD) && (c.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
		return -EINVAL;
	c.flags &= ~(uint64_t)CLONE_DETACHED;
	return task_clone(t, &c);
}

long sys_fork(struct task *t, const struct sysargs *a)
{
	struct task_clone_args c = {.exit_signal = SIGCHLD};
	return task_clone(t, &c);
}

long sys_vfork(struct task *t, const struct sysargs *a)
{
	struct task_clone_args c = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};
	return task_clone(t, &c);
}

long sys_clone3(struct task *t, const struct sysargs *a)
{
	struct clone_args u;
	uint64_t size = ARG_U64(1);
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (size < CLONE_ARGS_SIZE_VER0)
		return -EINVAL;
	long r = struct_in(t, &u, sizeof(u), ARG_PTR(0), size);
	if (r < 0)
		return r;
	if (u.set_tid_size > PID_NS_DEPTH || (!u.set_tid && u.set_tid_size) ||
		(u.set_tid && !u.set_tid_size))
		return -EINVAL;
	if (u.exit_signal & ~0xffUL || u.exit_signal > KNSIG)
		return -EINVAL;
	/* These belong to clone(2) only (clone3: CLONE_DETACHED and the low byte are invalid). */
	if (u.flags & (CLONE_DETACHED | 0x7fUL))
		return -EINVAL;
	if (u.flags & ~(0xffffffffUL | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP))
		return -EINVAL;
	if ((u.flags & (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND)) ==
		(CLONE_SIGHAND | CLONE_CLEAR_SIGHAND))
		return -EINVAL;
	if ((u.flags & (CLONE_THREAD | CLONE_PARENT)) && u.exit_signal)
		return -EINVAL;
	if ((u.stack == 0) != (u.stack_size == 0))
		return -EINVAL;
	struct task_clone_args c = {
		.flags = u.flags,
		.pidfd = u.pidfd,
		.child_tid = u.child_tid,
		.parent_tid = u.parent_tid,
		.exit_signal = (int32_t)u.exit_signal,
		.stack = u.stack + u.stack_size,
		.tls = u.tls,
		.set_tid_size = (uint32_t)u.set_tid_size,
	};
	if (c.set_tid_size && uaccess_copyin(&t->ctx, c.set_tid, UADDR(u.set_tid),
				      c.set_tid_size * sizeof(c.set_tid[0])))
		return -EFAULT;
	return task_clone(t, &c);
}

/*
 * Argument vectors: copied into one growing kernel buffer.  MAX_ARG_STRLEN and the total limit
 * (execve(2): a quarter of RLIMIT_STACK, at least 128 KiB, at most 6 MiB) give -E2BIG.
 */
#define ARG_STRLEN_MAX (32 * PAGE_SIZE)
#define ARG_TOTAL_MAX (6UL << 20)
#define ARG_COUNT_MAX 0x7fffffffUL

struct strvec {
	char **v; /* NULL-terminated */
	size_t n, cap;
	char *bytes; /* one block that all strings live in */
	size_t used, bytes_cap;
};

static void *grow(void *old, size_t old_size, size_t new_size)
{
	void *p = buf_alloc(new_size);
	if (p && old)
		__builtin_memcpy(p, old, old_size);
	buf_free(old, old_size);
	return p;
}

static void strvec_free(struct strvec *s)
{
	buf_free(s->v, s->cap * sizeof(char *));
	buf_free(s->bytes, s->bytes_cap);
	*s = (struct strvec){0};
}

static long strvec_add(struct task *t, struct strvec *s, uaddr_t from, size_t *budget)
{
	if (s->n + 1 >= s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		s->v = grow(s->v, s->cap * sizeof(char *), cap * sizeof(char *));
		s->cap = s->v ? cap : 0;
		if (!s->v)
			return -ENOMEM;
	}
	for (size_t want = 256;; want *= 2) {
		while (s->bytes_cap - s->used < want) {
			size_t cap = s->bytes_cap ? s->bytes_cap * 2 : 8192;
			s->bytes = grow(s->bytes, s->bytes_cap, cap);
			s->bytes_cap = s->bytes ? cap : 0;
			if (!s->bytes)
				return -ENOMEM;
		}
		ssize_t n = uaccess_strncpy(&t->ctx, s->bytes + s->used, from, want);
		if (n == -ENAMETOOLONG && want >= ARG_STRLEN_MAX)
			return -E2BIG;
		if (n == -ENAMETOOLONG)
			continue;
		if (n < 0)
			return n;
		size_t cost = (size_t)n + 1 + sizeof(char *);
		if (cost > *budget)
			return -E2BIG;
		*budget -= cost;
		s->v[s->n++] = (char *)s->used; /* an offset until all are there */
		s->used += (size_t)n + 1;
		return 0;
	}
}

/* Frees nothing on error: the caller calls strvec_free in any case. */
static long strvec_in(struct task *t, struct strvec *s, uaddr_t vec, size_t *budget)
{
	uint64_t p[32];
	*s = (struct strvec){0};
	for (;; ) {
		if (!vec.v)
			break;
		/* Read the pointers one page piece at a time: the vector may end before a hole. */
		size_t n = MIN(sizeof(p), PAGE_SIZE - (vec.v & (PAGE_SIZE - 1))) / 8;
		n = MAX(n, 1UL);
		if (uaccess_copyin(&t->ctx, p, vec, n * 8))
			return -EFAULT;
		for (size_t i = 0; i < n; i++) {
			if (!p[i])
				goto done;
			long r = strvec_add(t, s, UADDR(p[i]), budget);
			if (r < 0)
				return r;
			if (t->ctx.intr & CTX_INTR_KILL)
				return -ERESTARTNOHAND;
		}
		vec = uaddr_add(vec, n * 8);
	}
done:
	if (!s->v) {
		s->cap = 1;
		s->v = buf_alloc(sizeof(char *));
		if (!s->v) {
			s->cap = 0;
			return -ENOMEM;
		}
	}
	for (size_t i = 0; i < s->n; i++)
		s->v[i] = s->bytes + (size_t)s->v[i];
	s->v[s->n] = NULL;
	return 0;
}

static long do_execve(
	struct task *t, int dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp, int flags)
{
	char buf[VFS_PATH_MAX];
	struct strvec args = {0}, env = {0};
	uint64_t stack = rlimit_soft(t->ctx.limits, RLIMIT_STACK) / 4;
	size_t budget = stack < ARG_STRLEN_MAX ? ARG_STRLEN_MAX : MIN(stack, ARG_TOTAL_MAX);
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	long r = path_in(t, buf, path);
	if (r == 0)
		r = strvec_in(t, &args, argv, &budget);
	if (r == 0)
		r = strvec_in(t, &env, envp, &budget);
	if (r == 0)
		r = task_execve(
			t, dirfd, buf, args.v, (int)args.n, env.v, (int)env.n, flags);
	strvec_free(&args);
	strvec_free(&env);
	return r;
}

long sys_execve(struct task *t, const struct sysargs *a)
{
	return do_execve(t, AT_FDCWD, ARG_PTR(0), ARG_PTR(1), ARG_PTR(2), 0);
}

long sys_execveat(struct task *t, const struct sysargs *a)
{
	return do_execve(t, ARG_I32(0), ARG_PTR(1), ARG_PTR(2), ARG_PTR(3), ARG_I32(4));
}

long sys_exit(struct task *t, const struct sysargs *a)
{
	task_exit(t, (ARG_U32(0) & 0xff) << 8);
	return 0;
}

long sys_exit_group(struct task *t, const struct sysargs *a)
{
	task_group_exit(t, (ARG_U32(0) & 0xff) << 8);
	return 0;
}

/* --- waiting --- */

static struct rusage rusage_abi(const struct rusage_k *k)
{
	return (struct rusage){
		.ru_utime = {(long)(k->utime / NSEC_PER_SEC), (long)(k->utime / 1000 % 1000000)},
		.ru_stime = {(long)(k->stime / NSEC_PER_SEC), (long)(k->stime / 1000 % 1000000)},
		.ru_maxrss = (long)k->maxrss,
		.ru_minflt = (long)k->minflt,
		.ru_majflt = (long)k->majflt,
		.ru_nvcsw = (long)k->nvcsw,
		.ru_nivcsw = (long)k->nivcsw,
		.ru_inblock = (long)k->inblock,
		.ru_oublock = (long)k->oublock,
	};
}

static long rusage_out(struct task *t, uaddr_t to, const struct rusage_k *k)
{
	struct rusage ru = rusage_abi(k);
	return to.v ? uaccess_put(&t->ctx, to, &ru) : 0;
}

long sys_wait4(struct task *t, const struct sysargs *a)
{
	struct task_wait_result res;
	int pid = ARG_I32(0), options = ARG_I32(2), type, id = 0;
	if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == -1) {
		type = P_ALL;
	} else if (pid > 0) {
		type = P_PID;
		id = pid;
	} else {
		type = P_PGID;
		id = -pid; /* 0: the caller's group */
	}
	long r = task_wait(t, type, id, options | WEXITED, &res);
	if (r <= 0)
		return r;
	int status = (int)res.status;
	if (ARG_U64(1) && uaccess_put(&t->ctx, ARG_PTR(1), &status))
		return -EFAULT;
	r = rusage_out(t, ARG_PTR(3), &res.ru);
	return r < 0 ? r : res.pid;
}

static long waitid_out(struct task *t, uaddr_t to, const struct task_wait_result *res, bool found)
{
	struct ksiginfo si;
	if (!to.v)
		return 0;
	ksiginfo_init(&si, found ? SIGCHLD : 0, found ? res->code : 0);
	if (found) {
		si.u.chld.pid = res->pid;
		si.u.chld.uid = res->uid;
		si.u.chld.status = res->code == CLD_EXITED ? (int32_t)(res->status >> 8) & 0xff
				   : res->code == CLD_STOPPED || res->code == CLD_TRAPPED
					   ? (int32_t)(res->status >> 8)
				   : res->code == CLD_CONTINUED ? SIGCONT
								: (int32_t)(res->status & 0x7f);
	}
	/* Linux writes the fields up to si_status only. */
	return uaccess_copyout(&t->ctx, to, &si, 28);
}

/* With PIDFD_NONBLOCK a process that has not ended yet gives -EAGAIN (task_pidfd_open(2)). */
static long waitid_pidfd(struct task *t, const struct sysargs *a)
{
	struct task_wait_result res;
	int options = ARG_I32(3);
	FILE_REF f = fd_get(t->fds, ARG_I32(1));
	if (!f)
		return -EBADF;
	bool nonblock = (f->flags & O_NONBLOCK) && !(options & WNOHANG);
	long r = task_wait_pidfd(t, f, options | (nonblock ? WNOHANG : 0), &res);
	if (r == 0 && nonblock)
		return -EAGAIN;
	if (r < 0)
		return r;
	if (r > 0 && rusage_out(t, ARG_PTR(4), &res.ru))
		return -EFAULT;
	return waitid_out(t, ARG_PTR(2), &res, r > 0);
}

long sys_waitid(struct task *t, const struct sysargs *a)
{
	struct task_wait_result res;
	int type = ARG_I32(0), id = ARG_I32(1), options = ARG_I32(3);
	if (options & ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
			    __WCLONE | __WALL) ||
		!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	switch (type) {
	case P_ALL:
		break;
	case P_PID:
		if (id <= 0)
			return -EINVAL;
		break;
	case P_PGID:
		if (id < 0)
			return -EINVAL;
		break;
	case P_PIDFD:
		return id < 0 ? -EINVAL : waitid_pidfd(t, a);
	default:
		return -EINVAL;
	}
	long r = task_wait(t, type, id, options, &res);
	if (r < 0)
		return r;
	if (r > 0 && rusage_out(t, ARG_PTR(4), &res.ru))
		return -EFAULT;
	return waitid_out(t, ARG_PTR(2), &res, r > 0);
}

/* --- identity --- */

long sys_getpid(struct task *t, const struct sysargs *a)
{
	return pid_nr(t->tg->pid, t->pid_ns);
}

long sys_gettid(struct task *t, const struct sysargs *a)
{
	return pid_nr(t->pid, t->pid_ns);
}

long sys_getppid(struct task *t, const struct sysargs *a)
{
	return task_getppid(t);
}

long sys_set_tid_address(struct task *t, const struct sysargs *a)
{
	t->clear_child_tid = ARG_U64(0);
	return pid_nr(t->pid, t->pid_ns);
}

long sys_setpgid(struct task *t, const struct sysargs *a)
{
	return task_setpgid(t, ARG_I32(0), ARG_I32(1));
}

long sys_getpgid(struct task *t, const struct sysargs *a)
{
	return task_getpgid(t, ARG_I32(0));
}

long sys_getpgrp(struct task *t, const struct sysargs *a)
{
	return task_getpgid(t, 0);
}

long sys_getsid(struct task *t, const struct sysargs *a)
{
	return task_getsid(t, ARG_I32(0));
}

long sys_setsid(struct task *t, const struct sysargs *a)
{
	return task_setsid(t);
}

/* --- resources --- */

static long limit_set(struct task *t, struct rlimits *r, int res, const struct rlimit *new)
{
	uint64_t soft = new->rlim_cur, hard = new->rlim_max;
	long e = 0;
	if (soft > hard)
		return -EINVAL;
	if (res == RLIMIT_NOFILE && hard > FD_MAX)
		return -EPERM;
	mutex_lock(&r->lock);
	if (hard > r->lim[res].hard && !ctx_capable(&t->ctx, CAP_SYS_RESOURCE)) {
		e = -EPERM;
	} else {
		r->lim[res].hard = hard;
		__atomic_store_n(&r->lim[res].soft, soft, __ATOMIC_RELAXED);
	}
	mutex_unlock(&r->lock);
	if (!e && res == RLIMIT_CPU)
		task_rlimit_cpu_changed(container_of(r, struct tgroup, limits));
	return e;
}

static struct rlimit limit_get(struct rlimits *r, int res)
{
	mutex_lock(&r->lock);
	struct rlimit l = {r->lim[res].soft, r->lim[res].hard};
	mutex_unlock(&r->lock);
	return l;
}

long sys_getrlimit(struct task *t, const struct sysargs *a)
{
	if (ARG_U32(0) >= RLIM_NLIMITS_)
		return -EINVAL;
	struct rlimit l = limit_get(&t->tg->limits, ARG_I32(0));
	return uaccess_put(&t->ctx, ARG_PTR(1), &l);
}

long sys_setrlimit(struct task *t, const struct sysargs *a)
{
	struct rlimit l;
	if (uaccess_get(&t->ctx, &l, ARG_PTR(1)))
		return -EFAULT;
	if (ARG_U32(0) >= RLIM_NLIMITS_)
		return -EINVAL;
	return limit_set(t, &t->tg->limits, ARG_I32(0), &l);
}

/* prlimit(2): real, effective and saved ids of the target must match, or CAP_SYS_RESOURCE. */
static bool may_prlimit(struct task *t, struct task *target)
{
	struct cred *me = t->ctx.cred, *c = task_cred_get(target);
	bool ok = t->tg == target->tg || ctx_capable(&t->ctx, CAP_SYS_RESOURCE) ||
		  (me->uid == c->uid && me->uid == c->euid && me->uid == c->suid &&
			  me->gid == c->gid && me->gid == c->egid && me->gid == c->sgid);
	cred_put(c);
	return ok;
}

long sys_prlimit64(struct task *t, const struct sysargs *a)
{
	struct rlimit new, old;
	int pid = ARG_I32(0), res = ARG_I32(1);
	if (ARG_U64(2) && uaccess_get(&t->ctx, &new, ARG_PTR(2)))
		return -EFAULT;
	if (pid < 0)
		return -ESRCH;
	struct task *target = pid ? task_find(t->pid_ns, pid) : task_get(t);
	if (!target)
		return -ESRCH;
	long r = may_prlimit(t, target) ? 0 : -EPERM;
	if (r == 0 && (uint32_t)res >= RLIM_NLIMITS_)
		r = -EINVAL;
	if (r == 0)
		old = limit_get(&target->tg->limits, res);
	if (r == 0 && ARG_U64(2))
		r = limit_set(t, &target->tg->limits, res, &new);
	task_put(target);
	if (r == 0 && ARG_U64(3))
		r = uaccess_put(&t->ctx, ARG_PTR(3), &old);
	return r;
}

static void rusage_of(struct task *t, int who, struct rusage_k *k)
{
	if (who == RUSAGE_SELF) {
		tgroup_rusage(t->tg, k);
	} else if (who == RUSAGE_CHILDREN) {
		mutex_lock(&tasks_lock);
		*k = t->tg->children_ru;
		mutex_unlock(&tasks_lock);
	} else {
		task_rusage(t, k);
	}
}

long sys_getrusage(struct task *t, const struct sysargs *a)
{
	struct rusage_k k;
	int who = ARG_I32(0);
	if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != 1 /* RUSAGE_THREAD */)
		return -EINVAL;
	rusage_of(t, who, &k);
	struct rusage ru = rusage_abi(&k);
	return uaccess_put(&t->ctx, ARG_PTR(1), &ru);
}

#define NS_PER_TICK (NSEC_PER_SEC / 100)

long sys_times(struct task *t, const struct sysargs *a)
{
	struct rusage_k self, kids;
	rusage_of(t, RUSAGE_SELF, &self);
	rusage_of(t, RUSAGE_CHILDREN, &kids);
	struct tms tms = {(long)(self.utime / NS_PER_TICK), (long)(self.stime / NS_PER_TICK),
		(long)(kids.utime / NS_PER_TICK), (long)(kids.stime / NS_PER_TICK)};
	if (ARG_U64(0) && uaccess_put(&t->ctx, ARG_PTR(0), &tms))
		return -EFAULT;
	return time_boottime() / NS_PER_TICK;
}

/* --- scheduling parameters: kept and checked as Linux does; guests share the host's CPUs --- */

static long sched_target(struct task *t, int32_t pid, struct task **out)
{
	if (pid < 0)
		return -EINVAL;
	*out = pid ? task_find(t->pid_ns, pid) : task_get(t);
	return *out ? 0 : -ESRCH;
}

static bool same_owner(struct task *t, struct task *target)
{
	struct cred *c = task_cred_get(target);
	bool ok = t->ctx.cred->euid == c->euid || t->ctx.cred->euid == c->uid ||
		  ctx_capable(&t->ctx, CAP_SYS_NICE);
	cred_put(c);
	return ok;
}

static bool policy_is_rt(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static long sched_set(struct task *t, int32_t pid, int policy, int prio)
{
	struct task *target;
	bool reset = policy >= 0 && (policy & SCHED_RESET_ON_FORK);
	if (pid < 0)
		return -EINVAL;
	long r = sched_target(t, pid, &target);
	if (r < 0)
		return r;
	int pol = policy < 0 ? target->sched_policy : policy & ~SCHED_RESET_ON_FORK;
	if (pol != SCHED_OTHER && pol != SCHED_BATCH && pol != SCHED_IDLE && !policy_is_rt(pol))
		r = -EINVAL;
	else if (policy_is_rt(pol) ? prio < 1 || prio > 99 : prio != 0)
		r = -EINVAL;
	else if (!same_owner(t, target))
		r = -EPERM;
	else if (policy_is_rt(pol) && !ctx_capable(&t->ctx, CAP_SYS_NICE) &&
		 (uint64_t)prio > rlimit_soft(&target->tg->limits, RLIMIT_RTPRIO) &&
		 (prio > target->sched_prio || pol != target->sched_policy))
		r = -EPERM;
	if (r == 0) {
		target->sched_policy = pol;
		target->sched_prio = prio;
		target->sched_reset_on_fork = reset;
	}
	task_put(target);
	return r;
}

long sys_sched_setparam(struct task *t, const struct sysargs *a)
{
	int prio;
	if (!ARG_U64(1) || ARG_I32(0) < 0)
		return -EINVAL;
	if (uaccess_get(&t->ctx, &prio, ARG_PTR(1)))
		return -EFAULT;
	return sched_set(t, ARG_I32(0), -1, prio);
}

long sys_sched_setscheduler(struct task *t, const struct sysargs *a)
{
	int prio;
	if (ARG_I32(1) < 0 || !ARG_U64(2) || ARG_I32(0) < 0)
		return -EINVAL;
	if (uaccess_get(&t->ctx, &prio, ARG_PTR(2)))
		return -EFAULT;
	return sched_set(t, ARG_I32(0), ARG_I32(1), prio);
}

long sys_sched_getparam(struct task *t, const struct sysargs *a)
{
	struct task *target;
	if (!ARG_U64(1))
		return -EINVAL;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	int prio = target->sched_prio;
	task_put(target);
	return uaccess_put(&t->ctx, ARG_PTR(1), &prio);
}

long sys_sched_getscheduler(struct task *t, const struct sysargs *a)
{
	struct task *target;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	r = target->sched_policy | (target->sched_reset_on_fork ? SCHED_RESET_ON_FORK : 0);
	task_put(target);
	return r;
}

static long prio_limit(int policy, int max)
{
	if (policy_is_rt(policy))
		return max ? 99 : 1;
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ||
			       policy == 6 /* SCHED_DEADLINE */
		       ? 0
		       : -EINVAL;
}

long sys_sched_get_priority_max(struct task *t, const struct sysargs *a)
{
	return prio_limit(ARG_I32(0), 1);
}

long sys_sched_get_priority_min(struct task *t, const struct sysargs *a)
{
	return prio_limit(ARG_I32(0), 0);
}

long sys_sched_rr_get_interval(struct task *t, const struct sysargs *a)
{
	struct task *target;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	int64_t ns = target->sched_policy == SCHED_RR ? 100000000 : target->sched_policy == SCHED_FIFO ? 0 : 4000000;
	task_put(target);
	return timespec_out(t, ARG_PTR(1), ns);
}

long sys_sched_yield(struct task *t, const struct sysargs *a)
{
	host_syscall0(SYS_sched_yield);
	return 0;
}

#define AFFINITY_BYTES(cpus) ROUND_UP(((cpus) + 7) / 8, 8u)

/* The CPUs of the machine in word i of a mask. */
static uint64_t cpus_word(uint32_t i)
{
	uint32_t cpus = machine_get()->cpus, lo = i * 64;
	return cpus >= lo + 64 ? ~0UL : cpus > lo ? (1UL << (cpus - lo)) - 1 : 0;
}

long sys_sched_getaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[16];
	uint32_t len = ARG_U32(1), need = AFFINITY_BYTES(machine_get()->cpus);
	if (len * 8 < machine_get()->cpus || (len & 7))
		return -EINVAL;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	need = MIN(need, (uint32_t)sizeof(mask));
	uint32_t n = MIN(len, need);
	for (uint32_t i = 0; i < 16; i++)
		mask[i] = target->affinity[i] & cpus_word(i);
	task_put(target);
	return uaccess_copyout(&t->ctx, ARG_PTR(2), mask, n) ? -EFAULT : (long)n;
}

long sys_sched_setaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[16] = {0}, any = 0;
	uint32_t len = MIN(ARG_U32(1), (uint32_t)sizeof(mask));
	if (uaccess_copyin(&t->ctx, mask, ARG_PTR(2), len))
		return -EFAULT;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	for (uint32_t i = 0; i < 16; i++) {
		mask[i] &= cpus_word(i);
		any |= mask[i];
	}
	if (!same_owner(t, target))
		r = -EPERM;
	else if (!any)
		r = -EINVAL;
	else
		__builtin_memcpy(target->affinity, mask, sizeof(mask));
	task_put(target);
	return r;
}

/* --- nice --- */

struct prio_walk {
	struct task *t;
	int which, who, value; /* value: nice to set, or 20 - nice found */
	uint32_t uid;
	bool set;
	long result;
};

static bool prio_matches(const struct prio_walk *w, struct task *p)
{
	switch (w->which) {
	case PRIO_PROCESS:
		return w->who ? pid_nr(p->pid, w->t->pid_ns) == w->who : p == w->t;
	case PRIO_PGRP:
		return w->who ? p->tg->pgrp && pid_nr(p->tg->pgrp, w->t->pid_ns) == w->who
			      : p->tg->pgrp == w->t->tg->pgrp;
	default:
		return p->ctx.cred->uid == w->uid && pid_nr(p->pid, w->t->pid_ns);
	}
}

static bool prio_visit(struct task *p, void *arg)
{
	struct prio_walk *w = arg;
	if (p->exit_state != TASK_ALIVE || !prio_matches(w, p))
		return true;
	if (!w->set) {
		w->result = MAX(w->result, (long)(20 - p->nice));
		return true;
	}
	struct cred *me = w->t->ctx.cred, *c = p->ctx.cred;
	if (me->euid != c->uid && me->euid != c->euid && !ctx_capable(&w->t->ctx, CAP_SYS_NICE)) {
		w->result = -EPERM;
	} else if (w->value < p->nice && !ctx_capable(&w->t->ctx, CAP_SYS_NICE) &&
		   (uint64_t)(20 - w->value) > rlimit_soft(&p->tg->limits, RLIMIT_NICE)) {
		w->result = -EACCES;
	} else {
		p->nice = w->value;
		if (w->result == -ESRCH)
			w->result = 0;
	}
	return true;
}

static long do_priority(struct task *t, int which, int who, int value, bool set)
{
	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	struct prio_walk w = {.t = t, .which = which, .who = who, .set = set, .result = -ESRCH,
		.value = value < -20 ? -20 : MIN(value, 19), .uid = who ? (uint32_t)who : t->ctx.cred->uid};
	mutex_lock(&tasks_lock);
	task_for_each(prio_visit, &w);
	mutex_unlock(&tasks_lock);
	return w.result;
}

long sys_getpriority(struct task *t, const struct sysargs *a)
{
	return do_priority(t, ARG_I32(0), ARG_I32(1), 0, false);
}

long sys_setpriority(struct task *t, const struct sysargs *a)
{
	return do_priority(t, ARG_I32(0), ARG_I32(1), ARG_I32(2), true);
}

/* --- prctl, arch_prctl --- */

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
	__builtin_memcpy(t->comm, name, sizeof(name));
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
		t->pdeath_signal = (int32_t)v;
		return 0;
	case PR_GET_PDEATHSIG:
		return put_int(t, v, t->pdeath_signal);
	case PR_GET_DUMPABLE:
		return t->ctx.mm->dumpable;
	case PR_SET_DUMPABLE:
		if (v > 1)
			return -EINVAL;
		t->ctx.mm->dumpable = v;
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
		t->no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS:
		return v || !rest_zero ? -EINVAL : t->no_new_privs;
	case PR_SET_CHILD_SUBREAPER:
		tgroup_set_subreaper(t->tg, v != 0);
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_int(t, v, t->tg->is_subreaper);
	case PR_GET_TIMERSLACK:
		return (long)t->timer_slack;
	case PR_SET_TIMERSLACK:
		t->timer_slack = (int64_t)v <= 0 ? t->default_timer_slack : v;
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

#define ARCH_SET_GS_ 0x1001
#define ARCH_SET_FS_ 0x1002
#define ARCH_GET_FS_ 0x1003
#define ARCH_GET_GS_ 0x1004

long sys_arch_prctl(struct task *t, const struct sysargs *a)
{
	struct user_regs_struct *regs = task_regs(t);
	uint64_t v = ARG_U64(1), out;
	switch (ARG_I32(0)) {
	case ARCH_SET_FS_:
	case ARCH_SET_GS_:
		if (v >= 0x7ffffffff000UL)
			return -EPERM;
		if (ARG_I32(0) == ARCH_SET_FS_)
			regs->fs_base = v;
		else
			regs->gs_base = v;
		return 0;
	case ARCH_GET_FS_:
	case ARCH_GET_GS_:
		out = ARG_I32(0) == ARCH_GET_FS_ ? regs->fs_base : regs->gs_base;
		return uaccess_put(&t->ctx, UADDR(v), &out);
	default:
		return -EINVAL;
	}
}

/* --- namespaces --- */

long sys_unshare(struct task *t, const struct sysargs *a)
{
	return task_unshare(t, ARG_U32(0));
}

long sys_setns(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? task_setns(t, f, ARG_U32(1)) : -EBADF;
}
