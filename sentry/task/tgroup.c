/* Thread groups as objects, process groups and sessions (setpgid(2), setsid(2)). */
#include "sentry/fs/tty/tty.h"
#include "sentry/task/keys/keys.h"
#include "sentry/task/task_priv.h"

static SLAB_DEFINE(tgroup_slab, struct tgroup);

struct tgroup *tgroup_alloc(void) SOLE_OWNER
{
	struct tgroup *tg = slab_alloc(&tgroup_slab);

	if (!tg)
		return NULL;
	ref_init(&tg->ref);
	list_init(&tg->threads);
	list_init(&tg->children);
	list_init(&tg->sibling);
	list_init(&tg->pgrp_node);
	list_init(&tg->session_node);
	sigpending_init(&tg->shared);
	waitq_init(&tg->child_wait);
	waitq_init(&tg->guard_wait);
	mutex_init(&tg->exec_lock, LOCK_EXEC);
	mutex_init(&tg->timers_lock, LOCK_ITIMER);
	ktimer_init(&tg->itimer_real, KTIMER_ITIMER_REAL);
	ktimer_init(&tg->cpu_timer, KTIMER_CPU);
	rlimits_init_default(&tg->limits);
	tg->start_mono = time_monotonic();
	tg->start_real = time_realtime();
	tg->exit_signal = SIGCHLD;
	return tg;
}

void tgroup_put(struct tgroup *tg) SOLE_OWNER
{
	if (!tg || !ref_put(&tg->ref))
		return;
	BUG_ON(!list_empty(&tg->threads));
	sigpending_flush(&tg->shared, ~0UL, &tg->sigqueue_count);
	sighand_put(tg->sighand);
	tty_put(tg->tty);
	keys_tgroup_free(tg);
	pid_put(tg->pid);
	cgroup_put(tg->cgroup);
	waitq_fini(&tg->child_wait);
	waitq_fini(&tg->guard_wait);
	slab_free(&tgroup_slab, tg);
}

struct tgroup *tgroup_find(struct pid_ns *ns, int32_t tgid)
{
	MUTEX_GUARD(&tasks_lock);
	struct pid *p = pid_find(ns, tgid);

	return p && p->tgroup ? tgroup_get(p->tgroup) : NULL;
}

void tgroup_join_pgrp(struct tgroup *tg, struct pid *pgrp)
{
	struct pid *old = tg->pgrp;

	pid_use(pgrp);
	list_del(&tg->pgrp_node);
	list_push_back(&pgrp->pgrp, &tg->pgrp_node);
	tg->pgrp = pgrp;
	if (old)
		pid_unuse(old);
}

void tgroup_join_session(struct tgroup *tg, struct pid *session)
{
	struct pid *old = tg->session;

	pid_use(session);
	list_del(&tg->session_node);
	list_push_back(&session->session, &tg->session_node);
	tg->session = session;
	if (old)
		pid_unuse(old);
}

void tgroup_leave_groups(struct tgroup *tg)
{
	list_del(&tg->pgrp_node);
	list_del(&tg->session_node);
	if (tg->pgrp)
		pid_unuse(tg->pgrp);
	if (tg->session)
		pid_unuse(tg->session);
	tg->pgrp = tg->session = NULL;
}

void wake_dying_ns(struct pid_ns *ns)
{
	struct task *t;

	for (; ns; ns = ns->parent) {
		if (!ns->dying || !ns->init)
			continue;
		list_for_each(t, &ns->init->threads, tg_node)
			ctx_wake(&t->ctx);
	}
}

/* The last task has left: the process is no more. */
static void tgroup_release(struct tgroup *tg) REQUIRES(tasks_lock)
{
	struct pid_ns *ns = pid_own_ns(tg->pid);

	if (ns->init == tg)
		WRITE_ONCE(ns->init, NULL);
	list_del(&tg->sibling);
	tg->parent = NULL;
	tg->parent_thread = NULL;
	WRITE_ONCE(tg->leader, NULL);
	tg->reaped = true;
	tgroup_leave_groups(tg);
	tg->pid->tgroup = NULL;
	pid_wake(tg->pid);
	pid_unuse(tg->pid);
}

void task_release(struct task *t)
{
	struct tgroup *tg = t->tg;
	struct pid_ns *ns = t->pid_ns;

	ptrace_unlink(t);
	if (t->exit_state == TASK_ALIVE) /* it never ran */
		cgroup_task_ended(tg);
	WRITE_ONCE(t->exit_state, TASK_DEAD);
	mutex_lock(&tg->sighand->lock);
	sigpending_flush(&t->pending, ~0UL, &tg->sigqueue_count);
	mutex_unlock(&tg->sighand->lock);
	pid_ns_get(ns);
	task_unlink(t);
	wake_dying_ns(ns);
	if (list_empty(&tg->threads))
		tgroup_release(tg);
	else if (tg->exec_task)
		ctx_wake(&tg->exec_task->ctx); /* a thread that only its tracer could let go */
	task_put(t);
	pid_ns_put(ns);
}

void tgroup_rusage(struct tgroup *tg, struct rusage_k *ru)
{
	struct rusage_k one;
	struct task *t;

	MUTEX_GUARD(&tasks_lock);
	*ru = tg->dead;
	list_for_each(t, &tg->threads, tg_node) {
		if (t->exit_state != TASK_ALIVE || t->stime_final)
			continue;
		task_rusage(t, &one);
		ru->utime += one.utime;
		ru->stime += one.stime;
		ru->minflt += one.minflt;
		ru->majflt += one.majflt;
		ru->nvcsw += one.nvcsw;
		ru->nivcsw += one.nivcsw;
		ru->maxrss = MAX(ru->maxrss, one.maxrss);
	}
}

void tgroup_cpu_time(struct tgroup *tg, uint64_t *user, uint64_t *sys)
{
	uint64_t u, s;
	struct task *t;

	MUTEX_GUARD(&tasks_lock);
	*user = tg->dead.utime;
	*sys = tg->dead.stime;
	list_for_each(t, &tg->threads, tg_node) {
		if (t->exit_state != TASK_ALIVE || t->stime_final)
			continue;
		task_cpu_time(t, &u, &s);
		*user += u;
		*sys += s;
	}
}

/* --- setpgid and friends --- */

static int setpgid_target(struct task *t, int32_t pid, struct tgroup **out) REQUIRES(tasks_lock)
{
	struct pid *p = pid_find(t->pid_ns, pid);
	struct tgroup *tg;

	if (!p || !p->task)
		return -ESRCH;
	tg = p->task->tg;
	if (p->tgroup != tg)
		return -EINVAL; /* a thread, not a process */
	if (tg->parent == t->tg) {
		if (tg->session != t->tg->session)
			return -EPERM;
		if (tg->did_exec)
			return -EACCES;
	} else if (tg != t->tg) {
		return -ESRCH;
	}
	if (tg->session_leader)
		return -EPERM;
	*out = tg;
	return 0;
}

int task_setpgid(struct task *t, int32_t pid, int32_t pgid)
{
	struct tgroup *tg;
	struct pid *pgrp;
	int err;

	if (!pid)
		pid = task_tgid_nr(t, t->pid_ns);
	if (!pgid)
		pgid = pid;
	if (pgid < 0)
		return -EINVAL;
	MUTEX_GUARD(&tasks_lock);
	err = setpgid_target(t, pid, &tg);
	if (err)
		return err;
	pgrp = tg->pid;
	if (pgid != pid) {
		pgrp = pid_find(t->pid_ns, pgid);
		if (!pgrp || list_empty(&pgrp->pgrp))
			return -EPERM;
		if (list_first(&pgrp->pgrp, struct tgroup, pgrp_node)->session != t->tg->session)
			return -EPERM;
	}
	if (tg->pgrp != pgrp)
		tgroup_join_pgrp(tg, pgrp);
	return 0;
}

int32_t task_setsid(struct task *t)
{
	struct tgroup *tg = t->tg;
	struct tty *left;
	int32_t sid;

	mutex_lock(&tasks_lock);
	if (tg->session_leader || !list_empty(&tg->pid->pgrp)) {
		mutex_unlock(&tasks_lock);
		return -EPERM;
	}
	tg->session_leader = true;
	tgroup_join_session(tg, tg->pid);
	tgroup_join_pgrp(tg, tg->pid);
	left = __atomic_exchange_n(&tg->tty, NULL, __ATOMIC_ACQ_REL);
	sid = pid_nr(tg->pid, t->pid_ns);
	mutex_unlock(&tasks_lock);
	tty_put(left);
	return sid;
}

static struct tgroup *get_target(struct task *t, int32_t pid) REQUIRES(tasks_lock)
{
	struct pid *p;

	if (!pid)
		return t->tg;
	p = pid_find(t->pid_ns, pid);
	return p && p->task ? p->task->tg : NULL;
}

int32_t task_getpgid(struct task *t, int32_t pid)
{
	MUTEX_GUARD(&tasks_lock);
	struct tgroup *tg = get_target(t, pid);

	return tg ? pid_nr(tg->pgrp, t->pid_ns) : -ESRCH;
}

int32_t task_getsid(struct task *t, int32_t pid)
{
	MUTEX_GUARD(&tasks_lock);
	struct tgroup *tg = get_target(t, pid);

	return tg ? pid_nr(tg->session, t->pid_ns) : -ESRCH;
}

int32_t task_getppid(struct task *t)
{
	MUTEX_GUARD(&tasks_lock);
	return t->tg->parent ? pid_nr(t->tg->parent->pid, t->pid_ns) : 0;
}

/* --- orphaned process groups --- */

bool pgrp_is_orphaned(struct pid *pgrp, struct tgroup *ignored)
{
	struct tgroup *tg;

	list_for_each(tg, &pgrp->pgrp, pgrp_node) {
		if (tg == ignored || tg->zombie || !tg->parent)
			continue;
		if (tg->parent->pgrp != pgrp && tg->parent->session == tg->session)
			return false;
	}
	return true;
}

static bool has_stopped_jobs(struct pid *pgrp)
{
	struct tgroup *tg;

	list_for_each(tg, &pgrp->pgrp, pgrp_node)
		if (tg->stopped)
			return true;
	return false;
}

void pgrp_check_orphaned(struct tgroup *tg, struct tgroup *parent, bool exiting)
{
	struct pid *pgrp = tg->pgrp;
	struct ksiginfo info;

	if (!parent || parent->pgrp == pgrp || parent->session != tg->session)
		return;
	if (!pgrp_is_orphaned(pgrp, exiting ? tg : NULL) || !has_stopped_jobs(pgrp))
		return;
	ksiginfo_init(&info, SIGHUP, SI_KERNEL);
	signal_send_pgrp_locked(pgrp, &info);
	info.signo = SIGCONT;
	signal_send_pgrp_locked(pgrp, &info);
}

/* PR_SET_CHILD_SUBREAPER: every descendant learns that there is a subreaper above it. */
void tgroup_set_subreaper(struct tgroup *tg, bool on)
{
	mutex_lock(&tasks_lock);
	WRITE_ONCE(tg->is_subreaper, on);
	if (on && !list_empty(&tg->children)) {
		/* Depth first without recursion: children are reached through sibling links. */
		struct tgroup *g = list_first(&tg->children, struct tgroup, sibling);
		while (g != tg) {
			g->has_child_subreaper = true;
			if (!list_empty(&g->children)) {
				g = list_first(&g->children, struct tgroup, sibling);
				continue;
			}
			while (g != tg && g->sibling.next == &g->parent->children)
				g = g->parent;
			if (g != tg)
				g = list_entry(g->sibling.next, struct tgroup, sibling);
		}
	}
	mutex_unlock(&tasks_lock);
}
