/* System calls on processes: life, waiting, identity, groups, limits. */
#include <linux/sched.h>
#include <sched.h>
#include <sys/times.h>
#include <sys/wait.h>

#include "lib/abi/limits.h"
#include "lib/abi/sched.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys_priv.h"

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
	if (size < ABI_CLONE_ARGS_SIZE_VER0)
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
	if ((u.flags & CLONE_INTO_CGROUP) &&
		(u.cgroup > INT32_MAX || size < ABI_CLONE_ARGS_SIZE_VER2))
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
		.cgroup = (int)u.cgroup,
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
		if (n == -ENAMETOOLONG && want >= ABI_MAX_ARG_STRLEN)
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
	for (;;) {
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
			if (ctx_killed(&t->ctx))
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

static long do_execve(struct task *t, int dirfd, uaddr_t path, uaddr_t argv, uaddr_t envp,
	int flags)
{
	char buf[VFS_PATH_MAX];
	struct strvec args = {0}, env = {0};
	uint64_t stack = rlimit_soft(t->ctx.limits, RLIMIT_STACK) / 4;
	size_t budget = stack < ABI_ARG_MAX ? ABI_ARG_MAX : MIN(stack, ARG_TOTAL_MAX);
	if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
		return -EINVAL;
	long r = path_in(t, buf, path);
	if (r == 0)
		r = strvec_in(t, &args, argv, &budget);
	if (r == 0)
		r = strvec_in(t, &env, envp, &budget);
	if (r == 0)
		r = task_execve(t, dirfd, buf, args.v, (int)args.n, env.v, (int)env.n, flags);
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
	bool nonblock = (READ_ONCE(f->flags) & O_NONBLOCK) && !(options & WNOHANG);
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
		WRITE_ONCE(r->lim[res].soft, soft);
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
	if (ARG_U32(0) >= RLIM_NLIMITS)
		return -EINVAL;
	struct rlimit l = limit_get(&t->tg->limits, ARG_I32(0));
	return uaccess_put(&t->ctx, ARG_PTR(1), &l);
}

long sys_setrlimit(struct task *t, const struct sysargs *a)
{
	struct rlimit l;
	if (uaccess_get(&t->ctx, &l, ARG_PTR(1)))
		return -EFAULT;
	if (ARG_U32(0) >= RLIM_NLIMITS)
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
	if (r == 0 && (uint32_t)res >= RLIM_NLIMITS)
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

/* --- namespaces --- */

long sys_unshare(struct task *t, const struct sysargs *a)
{
	return task_unshare(t, ARG_U64(0));
}

long sys_setns(struct task *t, const struct sysargs *a)
{
	FILE_REF f = fd_get(t->fds, ARG_I32(0));
	return f ? task_setns(t, f, ARG_U32(1)) : -EBADF;
}
