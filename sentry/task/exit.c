/*
 * The end of threads and processes.
 *
 * A thread that ends gives up what it owns, then (exit_notify, all under
 * tasks_lock) hands on its children and becomes a zombie.  A thread that is no
 * leader is released at once, unless a tracer has to see it.  The leader stays
 * until the last thread has gone; then the process is waitable, or reaps itself
 * if nobody wants its status: the parent ignores SIGCHLD, or there is no parent
 * (init of a container, exec'd processes: the kernel's hook gets the status).
 *
 * A thread waits twice on this way: for a tracer before it gives up anything (STAGE_DYING), and
 * as the last of a namespace's init, when it has, for everybody else there (STAGE_ZAP).
 */
#include <time.h>

#include "lib/hostcall.h"
#include "lib/ro_after_init.h"
#include "sentry/task/task_priv.h"

static task_reap_fn reap_hook RO_AFTER_INIT;

void task_set_reap_hook(task_reap_fn fn)
{
	reap_hook = fn;
}

/* --- telling the parent --- */

static void fill_chld(struct ksiginfo *info, struct tgroup *tg, struct pid_ns *ns)
	REQUIRES(tasks_lock)
{
	info->u.chld.pid = pid_nr(tg->pid, ns);
	info->u.chld.uid = task_uid(tg->leader);
	info->u.chld.utime = (int64_t)(tg->dead.utime / 10000000);
	info->u.chld.stime = (int64_t)(tg->dead.stime / 10000000);
}

static uint32_t exit_status(const struct tgroup *tg) REQUIRES(tasks_lock)
{
	return tg->group_exit ? tg->exit_code : tg->leader->exit_code;
}

bool notify_parent_exit(struct tgroup *tg)
{
	struct tgroup *parent = tg->parent;
	uint32_t status = exit_status(tg);
	int sig = tg->exit_signal;
	bool autoreap = false;
	struct ksigaction *a;
	struct ksiginfo info;

	pid_wake(tg->pid);
	if (!parent)
		return true;
	if (tg->parent_exec_id != parent->exec_id)
		sig = SIGCHLD; /* chosen for another program: perhaps one with less privileges */
	if (sig == SIGCHLD) {
		a = &parent->sighand->action[SIGCHLD - 1];
		mutex_lock(&parent->sighand->lock);
		autoreap = a->handler == (uintptr_t)SIG_IGN || (a->flags & SA_NOCLDWAIT);
		if (a->handler == (uintptr_t)SIG_IGN)
			sig = 0;
		mutex_unlock(&parent->sighand->lock);
	}
	if (sig > 0) {
		ksiginfo_init(&info, sig, status & 0x7f ? CLD_KILLED : CLD_EXITED);
		fill_chld(&info, tg, pid_own_ns(parent->pid));
		info.u.chld.status = (int32_t)(status & 0x7f ? status & 0x7f : status >> 8);
		signal_send_group_locked(parent, &info);
	}
	waitq_wake(&parent->child_wait, POLLIN);
	wake_dying_ns(pid_own_ns(parent->pid));
	return autoreap;
}

/* The same of a traced thread, to a tracer that is not the parent. */
static void notify_tracer_exit(struct task *t) REQUIRES(tasks_lock)
{
	struct tgroup *to = t->pt.tracer->tg;
	uint32_t status = t == t->tg->leader ? exit_status(t->tg) : t->exit_code;
	struct ksiginfo info;

	ksiginfo_init(&info, SIGCHLD, status & 0x7f ? CLD_KILLED : CLD_EXITED);
	fill_chld(&info, t->tg, pid_own_ns(to->pid));
	info.u.chld.pid = pid_nr(t->pid, pid_own_ns(to->pid));
	info.u.chld.status = (int32_t)(status & 0x7f ? status & 0x7f : status >> 8);
	signal_send_group_locked(to, &info);
	waitq_wake(&to->child_wait, POLLIN);
}

void notify_parent_stop(struct task *t, bool to_tracer, int why, int status)
{
	struct tgroup *parent = to_tracer && t->pt.tracer ? t->pt.tracer->tg : t->tg->parent;
	struct ksigaction *a;
	struct ksiginfo info;
	bool send;

	if (!parent)
		return;
	a = &parent->sighand->action[SIGCHLD - 1];
	mutex_lock(&parent->sighand->lock);
	send = a->handler != (uintptr_t)SIG_IGN && !(a->flags & SA_NOCLDSTOP);
	mutex_unlock(&parent->sighand->lock);
	if (send) {
		ksiginfo_init(&info, SIGCHLD, why);
		fill_chld(&info, t->tg, pid_own_ns(parent->pid));
		if (to_tracer)
			info.u.chld.pid = pid_nr(t->pid, pid_own_ns(parent->pid));
		info.u.chld.status = why == CLD_CONTINUED ? SIGCONT : status & 0x7f;
		signal_send_group_locked(parent, &info);
	}
	waitq_wake(&parent->child_wait, POLLIN);
}

/* --- children --- */

static struct task *live_thread(struct tgroup *tg, struct task *except) REQUIRES(tasks_lock)
{
	struct task *t;

	if (tg)
		list_for_each(t, &tg->threads, tg_node)
			if (t != except && !t->exiting)
				return t;
	return NULL;
}

/* Who gets the children of t, the last thread of its process; NULL: nobody. */
static struct task *find_reaper(struct task *t) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg, *init = t->pid_ns->init, *p;
	struct task *r;

	if (tg->has_child_subreaper) {
		for (p = tg->parent; p && p != init; p = p->parent) {
			if (pid_own_ns(p->pid)->level < t->pid_ns->level)
				break;
			if (p->is_subreaper && (r = live_thread(p, NULL)))
				return r;
		}
	}
	return init != tg ? live_thread(init, NULL) : NULL;
}

static void send_pdeath(struct tgroup *child) REQUIRES(tasks_lock)
{
	struct task *c;
	struct ksiginfo info;

	list_for_each(c, &child->threads, tg_node) {
		if (!READ_ONCE(c->pdeath_signal))
			continue;
		ksiginfo_init(&info, READ_ONCE(c->pdeath_signal), SI_USER);
		signal_send_group_locked(child, &info);
	}
}

/* A zombie that may have found somebody who does not want it. */
static void reparent_zombie(struct tgroup *child) REQUIRES(tasks_lock)
{
	WRITE_ONCE(child->exit_signal, SIGCHLD);
	if (child->zombie && !task_traced(child->leader) && notify_parent_exit(child))
		task_release(child->leader);
}

static void reparent_children(struct task *t) REQUIRES(tasks_lock)
{
	struct task *heir = live_thread(t->tg, t);
	struct task *reaper = heir ? NULL : find_reaper(t);
	struct tgroup *child, *tmp;

	list_for_each_safe(child, tmp, &t->tg->children, sibling) {
		if (heir && child->parent_thread != t)
			continue;
		send_pdeath(child);
		if (heir) {
			child->parent_thread = heir;
			continue;
		}
		list_del(&child->sibling);
		child->parent = reaper ? reaper->tg : NULL;
		child->parent_thread = reaper;
		if (reaper)
			list_push_back(&reaper->tg->children, &child->sibling);
		pgrp_check_orphaned(child, t->tg, false);
		reparent_zombie(child);
	}
}

/* --- the end of a pid namespace: pid_namespaces(7) --- */

static void reap_zombie_children(struct tgroup *tg) REQUIRES(tasks_lock)
{
	struct tgroup *child, *tmp;

	list_for_each_safe(child, tmp, &tg->children, sibling)
		if (child->zombie && !task_traced(child->leader))
			task_release(child->leader);
}

static uint32_t threads_linked(struct tgroup *tg) REQUIRES(tasks_lock)
{
	struct list_node *n;
	uint32_t count = 0;

	for (n = tg->threads.next; n != &tg->threads; n = n->next)
		count++;
	return count;
}

/*
 * The last thread of init ends: everybody in the namespace is killed, and waited for.  First it
 * lets go whom it traces: they stop for nobody else, and stay zombies until their tracer looks.
 */
static void zap_begin(struct task *t, struct pid_ns *ns)
{
	struct tgroup *tg = t->tg;
	int32_t nr = 0;
	struct pid *p;

	MUTEX_GUARD(&tasks_lock);
	ns->dying = true;
	ptrace_exit(t);
	mutex_lock(&tg->sighand->lock);
	tg->sighand->action[SIGCHLD - 1].handler = (uintptr_t)SIG_IGN;
	mutex_unlock(&tg->sighand->lock);
	while ((p = pid_find_ge(ns, nr + 1))) {
		nr = pid_nr(p, ns);
		if (p->task && p->task->tg != tg)
			signal_kill_group_locked(p->task->tg);
	}
	t->stage = STAGE_ZAP;
}

/* A child that ends with another signal than SIGCHLD becomes a zombie all the same. */
static bool zap_over(struct task *t) REQUIRES(tasks_lock)
{
	reap_zombie_children(t->tg);
	return pid_own_ns(t->tg->pid)->tasks <= threads_linked(t->tg);
}

/* --- one thread --- */

/* Past this point signals pass t by.  Returns whether it is the last thread of its process. */
static bool exit_begin(struct task *t)
{
	struct tgroup *tg = t->tg;
	bool last, stop_done;

	MUTEX_GUARD(&tasks_lock);
	mutex_lock(&tg->sighand->lock);
	WRITE_ONCE(t->exiting, true);
	stop_done = group_stop_leave(t);
	signal_retarget_exit(t);
	__atomic_store_n(&t->ctx.intr, 0, __ATOMIC_SEQ_CST);
	last = __atomic_sub_fetch(&tg->nthreads, 1, __ATOMIC_RELAXED) == 0;
	mutex_unlock(&tg->sighand->lock);
	if (stop_done && !last)
		notify_parent_stop(tg->leader, false, CLD_STOPPED, tg->stop_signal);
	return last;
}

static void account(struct task *t)
{
	struct rusage_k ru, *d = &t->tg->dead;

	task_rusage(t, &ru);
	MUTEX_GUARD(&tasks_lock);
	t->stime_final = ru.stime ? ru.stime : 1;
	d->utime += ru.utime;
	d->stime += ru.stime;
	d->minflt += ru.minflt;
	d->majflt += ru.majflt;
	d->nvcsw += ru.nvcsw;
	d->nivcsw += ru.nivcsw;
	d->maxrss = MAX(d->maxrss, ru.maxrss);
}

static void destroy_plctx(struct task *t)
{
	struct pl_ctx *pl;

	mutex_lock(&t->lock);
	pl = t->plctx ? task_plctx(t) : NULL;
	if (t->plctx)
		handle_close(t->plctx);
	t->plctx = HANDLE_NONE;
	mutex_unlock(&t->lock);
	if (pl)
		platform->ctx_destroy(pl);
}

/*
 * The process has ended (its last thread, or a thread behind a zombie leader):
 * returns true if it is to be reaped by the caller, with the hook.
 */
static bool process_ended(struct tgroup *tg) REQUIRES(tasks_lock)
{
	tg->zombie = true;
	tg->stop_report = 0;
	tg->cont_report = false;
	if (!tg->parent)
		ptrace_unlink(tg->leader); /* the kernel's hook must not wait for a tracer */
	if (tg->leader->pt.tracer && tg->leader->pt.tracer->tg != tg->parent) {
		pid_wake(tg->pid);
		notify_tracer_exit(tg->leader);
		return false;
	}
	if (!tg->parent) {
		pid_wake(tg->pid);
		return true;
	}
	if (notify_parent_exit(tg) && !task_traced(tg->leader))
		task_release(tg->leader);
	return false;
}

/* Only a zombie leader is left, and that is news. */
static bool all_gone(struct tgroup *tg) REQUIRES(tasks_lock)
{
	return tg->nthreads == 0 && tg->leader && tg->leader->exit_state == TASK_ZOMBIE &&
	       threads_linked(tg) == 1 && !tg->zombie;
}

void task_group_check_ended(struct tgroup *tg)
{
	if (all_gone(tg) && process_ended(tg))
		task_release(tg->leader); /* without a parent; its tracer has seen the end */
}

static void exit_notify(struct task *t, bool last)
{
	struct tgroup *tg = tgroup_get(t->tg);
	bool hook = false;
	uint32_t status = 0;

	mutex_lock(&tasks_lock);
	ptrace_exit(t);
	reparent_children(t);
	if (last)
		pgrp_check_orphaned(tg, tg->parent, true);
	WRITE_ONCE(t->exit_state, TASK_ZOMBIE);
	cgroup_task_ended(tg);
	if (t != tg->leader) {
		if (task_traced(t) && tg->parent)
			notify_tracer_exit(t);
		else
			task_release(t);
	}
	if (tg->exec_task) {
		ctx_wake(&tg->exec_task->ctx);
	} else if (all_gone(tg)) {
		status = exit_status(tg);
		hook = process_ended(tg);
	}
	mutex_unlock(&tasks_lock);
	if (hook) {
		if (reap_hook)
			reap_hook(tg, status);
		mutex_lock(&tasks_lock);
		if (tg->leader)
			task_release(tg->leader);
		mutex_unlock(&tasks_lock);
	}
	freeze_task_gone();
	tgroup_put(tg);
}

/* Gives up what t owns.  Returns whether it is the last thread of its process. */
static bool leave(struct task *t)
{
	struct tgroup *tg = t->tg;
	struct pid_ns *ns = pid_own_ns(tg->pid);
	bool last = exit_begin(t);

	if (last)
		task_timers_exit(tg);
	if (t->ctx.mm)
		futex_exit_cleanup(t);
	vfork_release(t);
	account(t);
	destroy_plctx(t);
	task_drop_resources(t);
	if (last) {
		jobctl_exit_session(tg);
		if (READ_ONCE(ns->init) == tg)
			zap_begin(t, ns);
	}
	return last;
}

bool task_exit_thread(struct task *t)
{
	bool last = true;

	if (t->stage == STAGE_NONE && ptrace_event_enabled(t, ABI_PTRACE_EVENT_EXIT))
		ptrace_event(t, STAGE_DYING, ABI_PTRACE_EVENT_EXIT, t->exit_code);
	if (!ptrace_await(t))
		return false;
	if (t->stage != STAGE_ZAP) {
		t->stage = STAGE_NONE;
		last = leave(t);
	}
	if (t->stage == STAGE_ZAP && !task_wait_until(t, zap_over))
		return false;
	exit_notify(t, last);
	return true;
}
