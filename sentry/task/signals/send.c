/*
 * Sending signals.
 *
 * The steps are Linux': what the signal does by merely being sent (SIGCONT
 * wakes and cancels stops, stop signals cancel SIGCONT), whether it is ignored,
 * queueing, and the choice of the thread that takes it: the one addressed or the
 * main thread first, then any other that wants it.  A fatal signal without
 * a handler kills the group at once, not only when it is delivered.
 *
 * tasks_lock keeps group membership and target alive; the target's
 * sighand->lock guards the queues.  What has to be told to the target's parent
 * is told after that lock is dropped.
 */
#include "sentry/task/signals/signals_priv.h"

#define KERNEL_ONLY (KSIGBIT(SIGKILL) | KSIGBIT(SIGSTOP))

/* What prepare() found that the parent must hear of. */
enum { TELL_NOTHING, TELL_CONTINUED, TELL_STOPPED };

static struct ksigaction *action_of(struct tgroup *tg, int sig)
{
	return &tg->sighand->action[sig - 1];
}

bool sig_handler_is(struct task *t, int sig, uintptr_t handler)
{
	return action_of(t->tg, sig)->handler == handler;
}

static bool default_action(struct tgroup *tg, int sig)
{
	return action_of(tg, sig)->handler == (uintptr_t)SIG_DFL;
}

static bool is_ignored(struct task *t, int sig, bool force)
{
	struct ksigaction *a = action_of(t->tg, sig);

	/* It may be unblocked with another action by the time it is taken. */
	if ((t->blocked | t->real_blocked) & KSIGBIT(sig))
		return false;
	if (task_traced(t) && sig != SIGKILL)
		return false;
	if (t->tg->unkillable && a->handler == (uintptr_t)SIG_DFL &&
		!(force && (KERNEL_ONLY & KSIGBIT(sig))))
		return true;
	return a->handler == (uintptr_t)SIG_IGN ||
	       (a->handler == (uintptr_t)SIG_DFL && ksig_default_ignores(sig));
}

static void flush_everywhere(struct tgroup *tg, ksigset_t which) REQUIRES(tasks_lock)
{
	struct task *t;

	sigpending_flush(&tg->shared, which, &tg->sigqueue_count);
	list_for_each(t, &tg->threads, tg_node)
		sigpending_flush(&t->pending, which, &tg->sigqueue_count);
}

/* SIGCONT ends a group stop, even if it is blocked or ignored. */
static int group_continue(struct tgroup *tg) REQUIRES(tasks_lock)
{
	int tell = tg->stopped ? TELL_CONTINUED : tg->stopping ? TELL_STOPPED : TELL_NOTHING;
	struct task *t;

	tg->stopping = tg->stopped = false;
	tg->stop_count = 0;
	if (tell != TELL_NOTHING) {
		tg->stop_report = 0;
		tg->cont_report = true;
	}
	list_for_each(t, &tg->threads, tg_node) {
		t->stop_pending = false;
		t->stop_dequeued = false;
		if (READ_ONCE(t->group_stopped))
			ctx_wake(&t->ctx);
		if (t->pt.seized && t->pt.stopped) { /* its listening tracer hears of the end */
			WRITE_ONCE(t->pt.interrupt, true);
			if (t->pt.listening) {
				t->pt.stopped = t->pt.listening = false;
				ctx_wake(&t->ctx);
			}
		}
	}
	return tell;
}

/* Its threads are on their way, but one may have stopped at its end for a tracer. */
static void kill_again(struct tgroup *tg) REQUIRES(tasks_lock)
{
	struct task *t;

	list_for_each(t, &tg->threads, tg_node)
		signal_wake_kill(t);
}

/* Side effects of sending; false: the signal is dropped. */
static bool prepare(struct task *t, int sig, bool force, int *tell) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;

	*tell = TELL_NOTHING;
	if (tg->group_exit) {
		if (sig == SIGKILL)
			kill_again(tg);
		return false;
	}
	if (KSIG_STOPS & KSIGBIT(sig)) {
		flush_everywhere(tg, KSIGBIT(SIGCONT));
	} else if (sig == SIGCONT) {
		flush_everywhere(tg, KSIG_STOPS);
		*tell = group_continue(tg);
	}
	return !is_ignored(t, sig, force);
}

static bool wants(struct task *t, int sig) REQUIRES(tasks_lock)
{
	if (t->exiting || (t->blocked & KSIGBIT(sig)))
		return false;
	if (sig == SIGKILL)
		return true;
	if (READ_ONCE(t->group_stopped) || t->pt.stopped)
		return false;
	return READ_ONCE(t->in_guest) || !(READ_ONCE(t->ctx.intr) & CTX_INTR_SIGNAL);
}

void signal_wake_kill(struct task *t)
{
	task_unfreeze(t);
	if (t->exiting)
		return;
	t->pending.set |= KSIGBIT(SIGKILL);
	task_interrupt(t, CTX_INTR_SIGNAL | CTX_INTR_KILL);
}

static void group_exit_locked(struct tgroup *tg, uint32_t status) REQUIRES(tasks_lock)
{
	struct task *t;

	WRITE_ONCE(tg->group_exit, true);
	tg->exit_code = status;
	tg->stopping = tg->stopped = false;
	tg->stop_count = 0;
	list_for_each(t, &tg->threads, tg_node) {
		t->stop_pending = false;
		signal_wake_kill(t);
	}
}

static bool is_fatal(struct tgroup *tg, int sig)
{
	return default_action(tg, sig) && !(KSIG_STOPS & KSIGBIT(sig)) &&
	       !ksig_default_ignores(sig);
}

/* Finds and wakes the thread that takes the signal just queued. */
static void complete(struct task *t, int sig, bool group) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;
	struct task *target = NULL, *o;

	if (wants(t, sig)) {
		target = t;
	} else if (group) {
		list_for_each(o, &tg->threads, tg_node) {
			if (wants(o, sig)) {
				target = o;
				break;
			}
		}
	}
	if (!target)
		return; /* all block it, or will look anyway before they run */
	if (is_fatal(tg, sig) && !tg->group_exit && !(target->real_blocked & KSIGBIT(sig)) &&
		(sig == SIGKILL || (!tg->unkillable && !task_traced(target))) &&
		!(KSIG_DUMPS & KSIGBIT(sig))) {
		group_exit_locked(tg, (uint32_t)sig);
		return;
	}
	task_interrupt(target, sig == SIGKILL ? CTX_INTR_SIGNAL | CTX_INTR_KILL : CTX_INTR_SIGNAL);
}

static void fill_sender(struct task *t, struct ksiginfo *info)
{
	struct task *from = task_current();

	if ((info->code == SI_USER || info->code == SI_TKILL) && from)
		info->u.rt.pid = pid_nr(from->tg->pid, t->pid_ns);
}

/*
 * Did it come from outside the target's namespace, or of the kernel?  Then init cannot shrug off
 * SIGKILL.  As on Linux neither a timer nor asynchronous I/O is a sender from outside, whoever made
 * it happen: these tell no pid.
 */
static bool from_above(struct task *t, const struct ksiginfo *info)
{
	struct task *from = task_current();

	if (info->code == SI_TIMER || info->code == SI_SIGIO ||
		(info->code >= POLL_IN && info->code <= POLL_HUP))
		return false;
	return !from || !pid_ns_is_below(from->pid_ns, t->pid_ns);
}

static int send_locked(struct task *t, const struct ksiginfo *info, bool group, bool force,
	void *timer) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;
	struct sigpending *q = group ? &tg->shared : &t->pending;
	struct ksiginfo i = *info;
	int sig = i.signo, ret = 0, tell;

	if (t->exit_state != TASK_ALIVE && !group)
		return 0;
	fill_sender(t, &i);
	mutex_lock(&tg->sighand->lock);
	if (prepare(t, sig, force, &tell)) {
		if (sig == SIGKILL) {
			q->set |= KSIGBIT(SIGKILL);
			ret = 1;
		} else {
			bool must = force || i.code >= 0;
			ret = sigpending_add(q, &i, &tg->sigqueue_count,
				rlimit_soft(&tg->limits, RLIMIT_SIGPENDING),
				must && sig < KSIGRTMIN, timer);
		}
		if (ret > 0) {
			waitq_wake(&tg->sighand->wait, POLLIN | POLLRDNORM);
			complete(t, sig, group);
		}
	}
	mutex_unlock(&tg->sighand->lock);
	if (tell != TELL_NOTHING)
		notify_parent_stop(tg->leader, false,
			tell == TELL_CONTINUED ? CLD_CONTINUED : CLD_STOPPED,
			tell == TELL_CONTINUED ? SIGCONT : tg->stop_signal);
	return ret < 0 ? ret : 0;
}

int signal_send_task_locked(struct task *t, const struct ksiginfo *info)
{
	return send_locked(t, info, false, from_above(t, info), NULL);
}

int signal_send_group_locked(struct tgroup *tg, const struct ksiginfo *info)
{
	if (!tg->leader)
		return -ESRCH;
	return send_locked(tg->leader, info, true, from_above(tg->leader, info), NULL);
}

int signal_send_timer_locked(struct tgroup *tg, struct task *t, const struct ksiginfo *info,
	void *timer)
{
	/* What a POSIX timer sends is not forced, what an interval timer or RLIMIT_CPU sends is. */
	return send_locked(t ? t : tg->leader, info, !t, !timer, timer);
}

int signal_send_pgrp_locked(struct pid *pgrp, const struct ksiginfo *info)
{
	struct tgroup *tg;
	int ret = -ESRCH;

	list_for_each(tg, &pgrp->pgrp, pgrp_node)
		if (signal_send_group_locked(tg, info) == 0)
			ret = 0;
	return ret;
}

int signal_send_task(struct task *t, const struct ksiginfo *info)
{
	MUTEX_GUARD(&tasks_lock);
	return signal_send_task_locked(t, info);
}

int signal_send_group(struct tgroup *tg, const struct ksiginfo *info)
{
	MUTEX_GUARD(&tasks_lock);
	return signal_send_group_locked(tg, info);
}

int signal_send_pgrp(struct pid *pgrp, const struct ksiginfo *info)
{
	MUTEX_GUARD(&tasks_lock);
	return signal_send_pgrp_locked(pgrp, info);
}

void signal_kill_group_locked(struct tgroup *tg)
{
	mutex_lock(&tg->sighand->lock);
	if (!tg->group_exit)
		group_exit_locked(tg, SIGKILL);
	else
		kill_again(tg);
	mutex_unlock(&tg->sighand->lock);
}

/* t, the caller, leaves of itself: nothing keeps it from the stop that its tracer wants to see. */
static void leave_unkilled(struct task *t)
{
	t->pending.set &= ~KSIGBIT(SIGKILL);
	__atomic_fetch_and(&t->ctx.intr, ~CTX_INTR_KILL, __ATOMIC_SEQ_CST);
	t->must_exit = true;
	__atomic_fetch_or(&t->ctx.intr, CTX_INTR_TASKWORK, __ATOMIC_SEQ_CST);
}

void task_group_exit(struct task *t, uint32_t status)
{
	MUTEX_GUARD(&tasks_lock);
	mutex_lock(&t->tg->sighand->lock);
	if (!t->tg->group_exit) {
		group_exit_locked(t->tg, status);
		/* SIGKILL is also what is left when there is no context to stop in. */
		if (status != SIGKILL && ptrace_event_enabled(t, ABI_PTRACE_EVENT_EXIT))
			leave_unkilled(t);
	}
	WRITE_ONCE(t->exit_code, t->tg->exit_code);
	mutex_unlock(&t->tg->sighand->lock);
}

void task_exit(struct task *t, uint32_t status)
{
	WRITE_ONCE(t->exit_code, status);
	t->must_exit = true;
	__atomic_fetch_or(&t->ctx.intr, CTX_INTR_TASKWORK, __ATOMIC_SEQ_CST);
}

/* --- forced signals: t is the caller --- */

static void force(struct task *t, const struct ksiginfo *info, bool fatal)
{
	struct ksigaction *a = action_of(t->tg, info->signo);
	ksigset_t bit = KSIGBIT(info->signo);
	struct ksiginfo i = *info;

	MUTEX_GUARD(&tasks_lock);
	mutex_lock(&t->tg->sighand->lock);
	if (fatal || (t->blocked & bit) || a->handler == (uintptr_t)SIG_IGN) {
		a->handler = (uintptr_t)SIG_DFL;
		t->blocked &= ~bit;
	}
	if (a->handler == (uintptr_t)SIG_DFL && !task_traced(t))
		WRITE_ONCE(t->tg->unkillable, false);
	mutex_unlock(&t->tg->sighand->lock);
	send_locked(t, &i, false, true, NULL);
}

void signal_force(struct task *t, const struct ksiginfo *info)
{
	force(t, info, false);
}

void signal_force_fatal(struct task *t, int signo)
{
	struct ksiginfo info;

	ksiginfo_init(&info, signo, SI_KERNEL);
	force(t, &info, true);
}

void signal_force_fatal_info(struct task *t, const struct ksiginfo *info)
{
	force(t, info, true);
}

void ctx_send_signal(struct ctx *ctx, int signo)
{
	struct ksiginfo info;

	if (!ctx->tid)
		return;
	ksiginfo_user(&info, ctx_task(ctx), signo, SI_USER);
	if (signo == SIGXFSZ)
		info.code = SI_KERNEL;
	signal_send_task(ctx_task(ctx), &info);
}

/* --- permission and the calls --- */

void ksiginfo_user(struct ksiginfo *i, struct task *from, int signo, int code)
{
	ksiginfo_init(i, signo, code);
	i->u.rt.pid = task_tgid_nr(from, from->pid_ns);
	i->u.rt.uid = from->ctx.cred->uid;
}

bool signal_may_send(struct task *from, struct task *to, int sig)
{
	const struct cred *c;
	struct cred *tc;
	bool ok;

	if (!from || from->tg == to->tg)
		return true;
	c = from->ctx.cred;
	if (cred_capable(c, CAP_KILL))
		return true;
	if (sig == SIGCONT && from->tg->session == to->tg->session)
		return true;
	tc = task_cred_get(to);
	ok = c->euid == tc->suid || c->euid == tc->uid || c->uid == tc->suid || c->uid == tc->uid;
	cred_put(tc);
	return ok;
}

static int send_checked(struct task *from, struct task *to, const struct ksiginfo *info, bool group)
	REQUIRES(tasks_lock)
{
	if (info->signo < 0 || info->signo > KNSIG)
		return -EINVAL;
	if (!signal_may_send(from, to, info->signo))
		return -EPERM;
	if (!info->signo)
		return 0;
	return send_locked(to, info, group, from_above(to, info), NULL);
}

static int kill_pgrp(struct task *from, struct pid *pgrp, const struct ksiginfo *info)
	REQUIRES(tasks_lock)
{
	struct tgroup *tg;
	bool sent = false;
	int ret = -ESRCH;

	if (!pgrp)
		return -ESRCH;
	list_for_each(tg, &pgrp->pgrp, pgrp_node) {
		int err = send_checked(from, tg->leader, info, true);

		sent |= err == 0;
		ret = err;
	}
	return sent ? 0 : ret;
}

static int kill_everyone(struct task *from, const struct ksiginfo *info) REQUIRES(tasks_lock)
{
	int ret = 0, count = 0;

	for (struct pid *p = pid_find_ge(from->pid_ns, 2); p;
		p = pid_find_ge(from->pid_ns, pid_nr(p, from->pid_ns) + 1)) {
		int err;

		if (!p->tgroup || p->tgroup == from->tg)
			continue;
		count++;
		err = send_checked(from, p->tgroup->leader, info, true);
		if (err != -EPERM)
			ret = err;
	}
	return count ? ret : -ESRCH;
}

int signal_kill(struct task *from, int32_t pid, int sig)
{
	struct ksiginfo info;
	struct pid *p;

	ksiginfo_user(&info, from, sig, SI_USER);
	if (pid == INT32_MIN)
		return -ESRCH;
	MUTEX_GUARD(&tasks_lock);
	if (pid > 0) {
		p = pid_find(from->pid_ns, pid);
		return p && p->task ? send_checked(from, p->task->tg->leader, &info, true) : -ESRCH;
	}
	if (pid == -1)
		return kill_everyone(from, &info);
	return kill_pgrp(from, pid ? pid_find(from->pid_ns, -pid) : from->tg->pgrp, &info);
}

/* Others may not be told that the kernel or kill(2) sent it. */
static bool may_fake(struct task *from, int32_t id, const struct ksiginfo *info)
{
	return !(info->code >= 0 || info->code == SI_TKILL) ||
	       id == task_tgid_nr(from, from->pid_ns);
}

int signal_queue(struct task *from, int32_t tgid, const struct ksiginfo *info)
{
	struct pid *p;

	if (!may_fake(from, tgid, info))
		return -EPERM;
	MUTEX_GUARD(&tasks_lock);
	p = pid_find(from->pid_ns, tgid);
	return p && p->task ? send_checked(from, p->task->tg->leader, info, true) : -ESRCH;
}

int signal_tgkill(struct task *from, int32_t tgid, int32_t tid, const struct ksiginfo *info)
{
	struct pid *p;

	if (tid <= 0)
		return -EINVAL;
	MUTEX_GUARD(&tasks_lock);
	p = pid_find(from->pid_ns, tid);
	if (!p || !p->task)
		return -ESRCH;
	if (tgid > 0 && task_tgid_nr(p->task, from->pid_ns) != tgid)
		return -ESRCH;
	return send_checked(from, p->task, info, false);
}

/* --- what a task changes about itself --- */

static void swap_action(struct sighand *sh, int sig, const struct ksigaction *new,
	struct ksigaction *old) REQUIRES(sh->lock)
{
	if (old)
		*old = sh->action[sig - 1];
	if (new) {
		sh->action[sig - 1] = *new;
		sh->action[sig - 1].mask &= ~KERNEL_ONLY;
	}
}

int signal_action(struct task *t, int sig, const struct ksigaction *new, struct ksigaction *old)
{
	struct sighand *sh = t->tg->sighand;
	bool ignore;

	if (!ksig_valid(sig) || (new && (KERNEL_ONLY & KSIGBIT(sig))))
		return -EINVAL;
	ignore = new && (new->handler == (uintptr_t)SIG_IGN ||
				(new->handler == (uintptr_t)SIG_DFL &&ksig_default_ignores(sig)));
	if (!ignore) {
		mutex_lock(&sh->lock);
		swap_action(sh, sig, new, old);
		mutex_unlock(&sh->lock);
		return 0;
	}
	mutex_lock(&tasks_lock);
	mutex_lock(&sh->lock);
	swap_action(sh, sig, new, old);
	flush_everywhere(t->tg, KSIGBIT(sig));
	mutex_unlock(&sh->lock);
	mutex_unlock(&tasks_lock);
	return 0;
}

/* t no longer takes these: another thread has to, if one of them is pending for the group. */
static void retarget_shared(struct task *t, ksigset_t which) REQUIRES(tasks_lock)
{
	struct tgroup *tg = t->tg;
	ksigset_t set = tg->shared.set & which;
	struct task *o;

	list_for_each(o, &tg->threads, tg_node) {
		if (!set)
			break;
		if (o == t || o->exiting || !(set & ~o->blocked))
			continue;
		set &= o->blocked;
		task_interrupt(o, CTX_INTR_SIGNAL);
	}
}

void signal_set_blocked(struct task *t, ksigset_t set)
{
	struct sighand *sh = t->tg->sighand;
	ksigset_t newly;

	set &= ~KERNEL_ONLY;
	mutex_lock(&sh->lock);
	newly = set & ~t->blocked & t->tg->shared.set;
	t->blocked = set;
	signal_recalc(t);
	mutex_unlock(&sh->lock);
	if (unlikely(newly) && READ_ONCE(t->tg->nthreads) > 1) {
		mutex_lock(&tasks_lock);
		mutex_lock(&sh->lock);
		retarget_shared(t, newly);
		mutex_unlock(&sh->lock);
		mutex_unlock(&tasks_lock);
	}
}

/* t is exiting and has handed its signals on; both locks held. */
void signal_retarget_exit(struct task *t)
{
	retarget_shared(t, ~t->blocked);
}
