/*
 * clone(2), clone3(2), fork, vfork and unshare(2).
 *
 * In order: the flag rules (nothing is allocated for a call that breaks them),
 * a child that nobody sees, its pid, the pidfd, then under tasks_lock one last
 * look at signals (so that a signal to a process group or a stop never misses
 * a child that is just being born) and the link into the tree; then its host
 * thread starts.  The parent's waits (its tracer, vfork) come at the boundary.
 */
#include <linux/sched.h>

#include "lib/abi/sched.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/task/ipc/ipc.h"
#include "sentry/task/keys/keys.h"
#include "sentry/task/seccomp/seccomp.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/vfs.h"

#define NS_SUPPORTED (CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET)
/* Left out: user, cgroup and time namespaces (EINVAL, as a kernel without them). */
#define NS_UNSUPPORTED (CLONE_NEWUSER | CLONE_NEWCGROUP | CLONE_NEWTIME)
#define NS_PRIVILEGED ((NS_SUPPORTED | NS_UNSUPPORTED) & ~CLONE_NEWUSER)

static int check_flags(struct task *t, const struct task_clone_args *a)
{
	uint64_t f = a->flags;

	if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS) ||
		(f & (CLONE_NEWUSER | CLONE_FS)) == (CLONE_NEWUSER | CLONE_FS))
		return -EINVAL;
	if ((f & CLONE_THREAD) && !(f & CLONE_SIGHAND))
		return -EINVAL;
	if ((f & CLONE_SIGHAND) && !(f & CLONE_VM))
		return -EINVAL;
	if ((f & CLONE_PARENT) && READ_ONCE(pid_own_ns(t->tg->pid)->init) == t->tg)
		return -EINVAL;
	if ((f & CLONE_THREAD) &&
		((f & (CLONE_NEWUSER | CLONE_NEWPID)) || t->pid_ns_for_children != t->pid_ns))
		return -EINVAL;
	if ((f & CLONE_NEWIPC) && (f & CLONE_SYSVSEM))
		return -EINVAL;
	if ((f & NS_PRIVILEGED) && !ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (f & NS_UNSUPPORTED)
		return -EINVAL;
	if ((f & CLONE_NEWPID) && t->pid_ns_for_children != t->pid_ns)
		return -EINVAL;
	if (a->set_tid_size && !ctx_capable(&t->ctx, CAP_SYS_ADMIN) &&
		!ctx_capable(&t->ctx, CAP_CHECKPOINT_RESTORE))
		return -EPERM;
	if ((f & CLONE_SETTLS) && a->tls >= PL_ADDR_MAX)
		return -EPERM;
	/* A deadline is not inherited (sched(7)); only t itself and who may schedule it change
	 * this. */
	struct task_sched s = task_sched_get(t);
	return s.policy == SCHED_DEADLINE && !s.reset_on_fork ? -EAGAIN : 0;
}

struct count_uid {
	uint32_t uid;
	uint64_t n;
};

static bool count_uid(struct task *t, void *arg)
{
	struct count_uid *c = arg;

	c->n += task_uid(t) == c->uid;
	return true;
}

static bool nproc_exceeded(struct task *t)
{
	struct count_uid c = {.uid = t->ctx.cred->uid};
	uint64_t limit = rlimit_soft(t->ctx.limits, RLIMIT_NPROC);

	if (limit == RLIM_INF || c.uid == 0 || ctx_capable(&t->ctx, CAP_SYS_RESOURCE) ||
		ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return false;
	MUTEX_GUARD(&tasks_lock);
	task_for_each(count_uid, &c);
	return c.n >= limit;
}

static void copy_limits(struct rlimits *to, struct rlimits *from)
{
	MUTEX_GUARD(&from->lock);
	memcpy(to->lim, from->lim, sizeof(to->lim));
}

/* A new process's group, not in the tree yet. */
static struct tgroup *tgroup_fork(struct task *t, const struct task_clone_args *a)
{
	struct tgroup *tg = tgroup_alloc(), *from = t->tg;

	if (!tg)
		return NULL;
	if (a->flags & CLONE_SIGHAND) {
		ref_get(&from->sighand->ref);
		tg->sighand = from->sighand;
	} else {
		tg->sighand = sighand_dup(from->sighand);
	}
	if (!tg->sighand) {
		tgroup_put(tg);
		return NULL;
	}
	if (a->flags & CLONE_CLEAR_SIGHAND)
		sighand_reset(tg->sighand, true);
	copy_limits(&tg->limits, &from->limits);
	tg->container = from->container;
	tg->oom_score_adj = READ_ONCE(from->oom_score_adj);
	WRITE_ONCE(tg->exit_signal,
		a->flags & CLONE_PARENT ? READ_ONCE(from->exit_signal) : a->exit_signal);
	tg->parent_exec_id = a->flags & CLONE_PARENT ? from->parent_exec_id : from->exec_id;
	return tg;
}

static void copy_self(struct task *c, struct task *t, const struct task_clone_args *a)
{
	uint64_t f = a->flags;

	mutex_lock(&t->lock);
	memcpy(c->comm, t->comm, sizeof(c->comm));
	memcpy(c->affinity, t->affinity, sizeof(c->affinity));
	c->sched = t->sched;
	mutex_unlock(&t->lock);
	if (c->sched.reset_on_fork)
		task_sched_reset(&c->sched);
	c->blocked = t->blocked;
	if (!(f & CLONE_VM) || (f & CLONE_VFORK)) {
		c->altstack_sp = t->altstack_sp;
		c->altstack_size = t->altstack_size;
		c->altstack_flags = t->altstack_flags;
	}
	if (!(f & CLONE_VM))
		c->rseq = t->rseq;
	c->no_new_privs = READ_ONCE(t->no_new_privs);
	c->personality = READ_ONCE(t->personality);
	c->ioprio = READ_ONCE(t->ioprio);
	c->timer_slack = c->default_timer_slack = READ_ONCE(t->timer_slack);
	c->mpol = t->mpol;
	keys_fork(c, t);
	if (f & CLONE_CHILD_CLEARTID)
		c->clear_child_tid = a->child_tid;
	if (f & CLONE_CHILD_SETTID)
		c->set_child_tid = a->child_tid;
	c->start_regs = *task_regs(t);
	c->start_regs.rax = 0;
	if (a->stack)
		c->start_regs.rsp = a->stack;
	if (f & CLONE_SETTLS)
		c->start_regs.fs_base = a->tls;
}

static int copy_namespaces(struct task *c, struct task *t, uint64_t f)
{
	c->mnt_ns = f & CLONE_NEWNS ? mount_ns_copy(t->mnt_ns, c->fs) : mount_ns_get(t->mnt_ns);
	c->uts = f & CLONE_NEWUTS ? uts_ns_new(t->uts) : uts_ns_get(t->uts);
	c->ipc = f & CLONE_NEWIPC ? ipc_ns_new() : ipc_ns_get(t->ipc);
	c->net = f & CLONE_NEWNET ? net_ns_new(ns_new_id()) : net_ns_get(t->net);
	if (!c->mnt_ns || !c->uts || !c->ipc || !c->net)
		return -ENOMEM;
	if (f & CLONE_NEWPID)
		return pid_ns_new(t->pid_ns_for_children, &c->pid_ns_for_children);
	c->pid_ns_for_children = pid_ns_get(t->pid_ns_for_children);
	return 0;
}

/* What the child owns; on error the caller drops it. */
static int copy_resources(struct task *c, struct task *t, uint64_t f)
{
	int err;

	c->ctx.cred = c->real_cred = cred_get(t->real_cred);
	if (f & CLONE_FS) {
		err = fsctx_share(t->fs);
		if (err)
			return err;
		c->fs = t->fs;
	} else {
		c->fs = fsctx_dup(t->fs);
	}
	if (f & CLONE_FILES) {
		ref_get(&t->fds->ref);
		c->fds = t->fds;
	} else {
		c->fds = fdtable_dup(t->fds);
	}
	if (!c->fs || !c->fds)
		return -ENOMEM;
	err = copy_namespaces(c, t, f);
	if (err)
		return err;
	err = f & CLONE_SYSVSEM ? sem_undo_share(c, t) : 0;
	if (err)
		return err;
	c->start_fpu = buf_alloc(platform->fpu_size);
	if (!c->start_fpu)
		return -ENOMEM;
	platform->ctx_get_fpu(task_plctx(t), c->start_fpu, platform->fpu_size);
	if (f & CLONE_VM) {
		c->ctx.mm = mm_get(t->ctx.mm);
		return 0;
	}
	return mm_fork(t->ctx.mm, &c->ctx.mm);
}

/* The child's place in the family; tasks_lock held. */
static void link_process(struct task *c, struct task *t, uint64_t f) REQUIRES(tasks_lock)
{
	struct tgroup *tg = c->tg;
	struct pid_ns *ns = pid_own_ns(c->pid);

	WRITE_ONCE(tg->leader, c);
	tg->pid = pid_get(c->pid);
	pid_use(tg->pid);
	tg->pid->tgroup = tg;
	if (f & CLONE_PARENT) {
		tg->parent = t->tg->parent;
		tg->parent_thread = t->tg->parent_thread;
	} else {
		tg->parent = t->tg;
		tg->parent_thread = t;
	}
	if (tg->parent)
		list_push_back(&tg->parent->children, &tg->sibling);
	tg->has_child_subreaper = t->tg->has_child_subreaper || t->tg->is_subreaper;
	tg->tty = t->tg->tty ? tty_hold(t->tg->tty) : NULL;
	tgroup_join_pgrp(tg, t->tg->pgrp);
	tgroup_join_session(tg, t->tg->session);
	if (!ns->init) {
		WRITE_ONCE(ns->init, tg);
		tg->unkillable = true;
	}
}

/* The group that a process is born into: its parent's, or the one that was asked for. */
static int clone_group(struct task *c, struct task *t, struct cgroup *into) REQUIRES(tasks_lock)
{
	struct cgroup *cg = t->tg->cgroup;

	if (into && cg) {
		int err = cgroup_may_migrate(&t->ctx, cg, into);
		if (!err)
			err = cgroup_may_enter(into);
		if (err)
			return err;
		cg = into;
	}
	if (cg)
		cgroup_adopt(c->tg, cg);
	return 0;
}

static int clone_link(struct task *c, struct task *t, const struct task_clone_args *a, int event,
	struct cgroup *into)
{
	MUTEX_GUARD(&tasks_lock);
	if (ctx_interrupted(&t->ctx))
		return -ERESTARTNOINTR;
	if (pid_own_ns(c->pid)->dying)
		return -ENOMEM;
	int err = 0;
	if (!(a->flags & CLONE_THREAD))
		err = clone_group(c, t, into);
	else if (into && into != t->tg->cgroup)
		err = -EOPNOTSUPP; /* there are no threaded groups */
	if (!err)
		err = cgroup_add_task(c->tg, false);
	if (err)
		return err;
	if (!(a->flags & CLONE_THREAD))
		link_process(c, t, a->flags);
	task_seccomp_copy(c, t);
	task_link(c);
	if (a->flags & CLONE_VFORK) {
		c->vfork_parent = task_get(t);
		__atomic_store_n(&t->vfork_done, 0, __ATOMIC_RELEASE);
	}
	if (task_traced(t))
		ptrace_new_child(t, c, a->flags & CLONE_PTRACE ? -1 : event);
	return 0;
}

/* The pid, and the pidfd if one is asked for (*fd). */
static int clone_pid(struct task *c, struct task *t, const struct task_clone_args *a, int *fd)
{
	struct file *f;
	int err;

	mutex_lock(&tasks_lock);
	err = pid_alloc(c->pid_ns_for_children, a->set_tid, a->set_tid_size, &c->pid);
	mutex_unlock(&tasks_lock);
	if (err || !(a->flags & CLONE_PIDFD))
		return err;
	err = pidfd_create(&t->ctx, c->pid, a->flags & CLONE_THREAD ? O_EXCL : 0, &f);
	if (err)
		return err;
	*fd = fd_install(t->fds, f, 0, rlimit_soft(t->ctx.limits, RLIMIT_NOFILE), true);
	if (*fd < 0) {
		file_put(f);
		return *fd;
	}
	return uaccess_put(&t->ctx, UADDR(a->pidfd), fd);
}

/* A child that was never linked, or has been unlinked again. */
static void clone_undo(struct task *c, struct task *t, int fd, bool was_linked)
{
	if (c->tg != t->tg)
		task_timers_exit(c->tg);
	if (fd >= 0)
		fd_close(&t->ctx, t->fds, fd);
	if (c->pid && !was_linked) {
		mutex_lock(&tasks_lock);
		pid_use(c->pid);
		pid_unuse(c->pid);
		mutex_unlock(&tasks_lock);
	}
	task_drop_resources(c);
	task_put(c);
}

static bool vfork_over(struct task *t)
{
	return __atomic_load_n(&t->vfork_done, __ATOMIC_ACQUIRE);
}

/* STAGE_VFORK.  Who is killed goes on with the child still there. */
bool vfork_await(struct task *t)
{
	struct task *c = t->vfork_child;

	if (!task_wait_until(t, vfork_over))
		return false;
	mutex_lock(&tasks_lock);
	if (c->vfork_parent == t) { /* killed: the child must not wake us any more */
		c->vfork_parent = NULL;
		task_put(t);
	}
	mutex_unlock(&tasks_lock);
	t->vfork_child = NULL;
	task_put(c);
	t->stage = STAGE_RESULT;
	if (ptrace_event_enabled(t, ABI_PTRACE_EVENT_VFORK_DONE))
		ptrace_event(t, STAGE_RESULT, ABI_PTRACE_EVENT_VFORK_DONE,
			(uint64_t)t->call_result);
	return true;
}

void vfork_release(struct task *t)
{
	struct task *p;

	mutex_lock(&tasks_lock);
	p = take_ptr(&t->vfork_parent);
	mutex_unlock(&tasks_lock);
	if (!p)
		return;
	__atomic_store_n(&p->vfork_done, 1, __ATOMIC_RELEASE);
	ctx_wake(&p->ctx);
	task_put(p);
}

/* The host thread could not be made: the child dies unseen. */
static void clone_unlink(struct task *c)
{
	struct task *p;

	mutex_lock(&tasks_lock);
	__atomic_sub_fetch(&c->tg->nthreads, 1, __ATOMIC_RELAXED); /* see live_threads */
	p = take_ptr(&c->vfork_parent);
	mutex_lock(&c->tg->sighand->lock);
	c->exiting = true;
	group_stop_leave(c);
	mutex_unlock(&c->tg->sighand->lock);
	task_release(c);
	mutex_unlock(&tasks_lock);
	task_put(p);
}

static int clone_event(const struct task_clone_args *a)
{
	if (a->flags & CLONE_UNTRACED)
		return 0;
	if (a->flags & CLONE_VFORK)
		return ABI_PTRACE_EVENT_VFORK;
	return a->exit_signal == SIGCHLD && !(a->flags & CLONE_THREAD) ? ABI_PTRACE_EVENT_FORK
								       : ABI_PTRACE_EVENT_CLONE;
}

/* Builds the child up to the link. */
static int clone_build(struct task *t, const struct task_clone_args *a, struct task **out, int *fd)
{
	struct tgroup *tg = a->flags & CLONE_THREAD ? tgroup_get(t->tg) : tgroup_fork(t, a);
	struct task *c;
	int err;

	if (!tg)
		return -ENOMEM;
	c = task_alloc(tg);
	tgroup_put(tg);
	if (!c)
		return -ENOMEM;
	copy_self(c, t, a);
	err = copy_resources(c, t, a->flags);
	if (!err)
		err = clone_pid(c, t, a, fd);
	if (err) {
		clone_undo(c, t, *fd, false);
		return err;
	}
	*out = c;
	return 0;
}

/* The child runs: what the caller has to wait for.  c's reference is taken over. */
static long clone_done(struct task *t, struct task *c, const struct task_clone_args *a, int event,
	int32_t nr)
{
	t->call_result = nr;
	if (a->flags & CLONE_VFORK) {
		t->vfork_child = c;
		t->stage = STAGE_VFORK;
	} else {
		task_put(c);
	}
	if (event && ptrace_event_enabled(t, event))
		ptrace_event(t, STAGE_CLONED, event, (uint64_t)nr);
	return t->stage ? -ECALLWAITS : nr;
}

static long clone_into(struct task *t, const struct task_clone_args *a, struct cgroup *into)
{
	int fd = -1, event = clone_event(a), err;
	struct task *c;
	int32_t nr;

	if (nproc_exceeded(t))
		return -EAGAIN;
	if (ctx_interrupted(&t->ctx))
		return -ERESTARTNOINTR;
	err = clone_build(t, a, &c, &fd);
	if (err)
		return err;
	nr = pid_nr(c->pid, t->pid_ns);
	if (!(a->flags & CLONE_THREAD))
		task_rlimit_cpu_changed(c->tg); /* starts to count if there is a limit */
	err = clone_link(c, t, a, event, into);
	if (err) {
		clone_undo(c, t, fd, false);
		return err;
	}
	if (a->flags & CLONE_PARENT_SETTID)
		(void)!uaccess_put(&t->ctx, UADDR(a->parent_tid), &nr);
	err = task_start_thread(c);
	if (err) {
		clone_unlink(c);
		clone_undo(c, t, fd, true);
		return err;
	}
	return clone_done(t, c, a, event, nr);
}

/* CLONE_INTO_CGROUP: the group with a reference.  -EBADF, -EACCES. */
static int open_group(struct task *t, int fd, struct cgroup **out)
{
	struct file *f = fd_get_raw(t->fds, fd);
	struct cgroup *cg = f ? cgroup_of_inode(f->inode) : NULL;
	int err = cg ? 0 : -EBADF;

	if (!err) {
		MUTEX_GUARD(&tasks_lock);
		err = cg->procs ? inode_permission(&t->ctx, cg->procs, MAY_WRITE) : -ENOENT;
	}
	if (!err)
		*out = cgroup_get(cg);
	if (f)
		file_put(f);
	return err;
}

long task_clone(struct task *t, const struct task_clone_args *a)
{
	struct cgroup *into = NULL;
	int err = check_flags(t, a);

	if (!err && (a->flags & CLONE_INTO_CGROUP))
		err = open_group(t, a->cgroup, &into);
	long nr = err ? err : clone_into(t, a, into);
	cgroup_put(into);
	return nr;
}

/* --- unshare(2) --- */

static int unshare_check(struct task *t, uint64_t f)
{
	if (f & ~(uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD | CLONE_SIGHAND |
			    CLONE_VM | NS_SUPPORTED | NS_UNSUPPORTED))
		return -EINVAL;
	if ((f & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) && READ_ONCE(t->tg->nthreads) > 1)
		return -EINVAL;
	if ((f & (CLONE_SIGHAND | CLONE_VM)) && ref_count(&t->tg->sighand->ref) > 1)
		return -EINVAL;
	if ((f & CLONE_VM) && ref_count(&t->ctx.mm->ref) > 1)
		return -EINVAL;
	if ((f & NS_PRIVILEGED) && !ctx_capable(&t->ctx, CAP_SYS_ADMIN))
		return -EPERM;
	if (f & NS_UNSUPPORTED)
		return -EINVAL;
	if ((f & CLONE_NEWPID) && t->pid_ns_for_children != t->pid_ns)
		return -EINVAL;
	return 0;
}

int task_unshare(struct task *t, uint64_t f)
{
	struct fsctx *fs = NULL;
	struct fdtable *fds = NULL;
	struct mount_ns *mnt = NULL;
	struct uts_ns *uts = NULL;
	struct ipc_ns *ipc = NULL;
	struct pid_ns *pid = NULL;
	struct net_ns *net = NULL;
	int err = unshare_check(t, f);

	if (err)
		return err;
	if (f & CLONE_NEWNS)
		f |= CLONE_FS;
	if ((f & CLONE_FILES) && ref_count(&t->fds->ref) > 1 &&
		fd_next(t->fds, (int)MIN(READ_ONCE(vfs_sysctls()->nr_open), (uint64_t)INT32_MAX)) >=
			0)
		return -EMFILE; /* fs.nr_open was lowered */
	err = -ENOMEM;
	if ((f & CLONE_FS) && fsctx_users(t->fs) > 1 && !(fs = fsctx_dup(t->fs)))
		goto out;
	if ((f & CLONE_FILES) && ref_count(&t->fds->ref) > 1 && !(fds = fdtable_dup(t->fds)))
		goto out;
	if ((f & CLONE_NEWNS) && !(mnt = mount_ns_copy(t->mnt_ns, fs ? fs : t->fs)))
		goto out;
	if ((f & CLONE_NEWUTS) && !(uts = uts_ns_new(t->uts)))
		goto out;
	if ((f & CLONE_NEWIPC) && !(ipc = ipc_ns_new()))
		goto out;
	if ((f & CLONE_NEWNET) && !(net = net_ns_new(ns_new_id())))
		goto out;
	if (f & CLONE_NEWPID) {
		err = pid_ns_new(t->pid_ns_for_children, &pid);
		if (err)
			goto out;
	}
	err = 0;
	if (f & (CLONE_NEWIPC | CLONE_SYSVSEM))
		sem_undo_leave(t);
#define SWAP_IN(field, v)                                                                          \
	do {                                                                                       \
		if (v) {                                                                           \
			__typeof__(v) old_ = t->field;                                             \
			t->field = v;                                                              \
			v = old_;                                                                  \
		}                                                                                  \
	} while (0)
	if (fs)
		fs = task_swap_fs(t, fs);
	mutex_lock(&t->lock);
	SWAP_IN(fds, fds);
	SWAP_IN(mnt_ns, mnt);
	SWAP_IN(uts, uts);
	SWAP_IN(ipc, ipc);
	SWAP_IN(net, net);
	SWAP_IN(pid_ns_for_children, pid);
	mutex_unlock(&t->lock);
#undef SWAP_IN
out:
	if (fs)
		fsctx_put(fs);
	if (fds)
		fdtable_put(&t->ctx, fds);
	if (mnt)
		mount_ns_put(mnt);
	if (uts)
		uts_ns_put(uts);
	if (ipc)
		ipc_ns_put(ipc);
	net_ns_put(net);
	if (pid)
		pid_ns_put(pid);
	return err;
}
