/*
 * Taking signals at the user boundary: dying, stopping, handlers, restarting
 * of system calls.
 *
 * signal_deliver is the one place where a task decides to stop for job control,
 * to freeze or to die, so a blocked system call never has to: it unwinds with
 * a restart code, which is turned here into what the guest sees.
 *
 * Nothing is kept on the stack across a wait: t->call_ended says whether there
 * may be a restart code, t->group_stopped that a stop was joined, and a signal
 * that the tracer is looking at is in t->pt.info (STAGE_SIGNAL).
 */
#include <signal.h>
#include <sys/syscall.h>

#include "lib/log.h"
#include "sentry/task/signals/signals_priv.h"

#define X86_TF 0x100UL
#define X86_DF 0x400UL
#define X86_RF 0x10000UL

static bool signal_wants_attention_locked(struct task *t) REQUIRES(t->tg->sighand->lock)
{
	return ((t->pending.set | t->tg->shared.set) & ~t->blocked) || t->stop_pending ||
	       t->tg->group_exit || (t->pending.set & KSIGBIT(SIGKILL)) || ptrace_trap_due(t);
}

void signal_recalc(struct task *t)
{
	mutex_assert_held(&t->tg->sighand->lock);
	if (signal_wants_attention_locked(t))
		__atomic_fetch_or(&t->ctx.intr, CTX_INTR_SIGNAL, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&t->ctx.intr, ~CTX_INTR_SIGNAL, __ATOMIC_SEQ_CST);
}

bool signal_pending(struct task *t)
{
	return __atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE) & (CTX_INTR_SIGNAL | CTX_INTR_KILL);
}

ksigset_t signal_pending_set(struct task *t)
{
	MUTEX_GUARD(&t->tg->sighand->lock);
	return t->pending.set | t->tg->shared.set;
}

/* Takes one signal; own queue first.  *timer: whose it was. */
static int take_locked(struct task *t, ksigset_t blocked, struct ksiginfo *info, void **timer,
	bool *shared) REQUIRES(t->tg->sighand->lock)
{
	struct tgroup *tg = t->tg;

	*shared = false;
	if (!sigpending_take(&t->pending, blocked, info, &tg->sigqueue_count, timer)) {
		if (!sigpending_take(&tg->shared, blocked, info, &tg->sigqueue_count, timer))
			return 0;
		*shared = true;
	}
	if (KSIG_STOPS & KSIGBIT(info->signo))
		t->stop_dequeued = true;
	return info->signo;
}

/* What taking a timer's signal sets off; no locks held. */
static void after_take(struct task *t, struct ksiginfo *info, void *timer, bool shared)
{
	if (timer)
		timer_signal_taken(t, info, timer);
	else if (shared && info->signo == SIGALRM)
		itimer_real_taken(t);
}

int signal_dequeue(struct task *t, ksigset_t which, struct ksiginfo *out)
{
	void *timer;
	bool shared;
	int sig;

	mutex_lock(&t->tg->sighand->lock);
	sig = take_locked(t, ~which, out, &timer, &shared);
	signal_recalc(t);
	mutex_unlock(&t->tg->sighand->lock);
	if (sig)
		after_take(t, out, timer, shared);
	return sig;
}

static void set_real_blocked(struct task *t, ksigset_t blocked, ksigset_t real)
{
	mutex_lock(&t->tg->sighand->lock);
	t->real_blocked = real;
	t->blocked = blocked;
	signal_recalc(t);
	mutex_unlock(&t->tg->sighand->lock);
}

int signal_timedwait(struct task *t, ksigset_t which, struct ksiginfo *out, int64_t deadline)
{
	ksigset_t blocked = t->blocked;
	int sig, err = 0;

	which &= ~KSIG_UNBLOCKABLE;
	sig = signal_dequeue(t, which, out);
	while (!sig && !err) {
		/* Waited-for signals wake us now, but count as blocked: they are not ignored. */
		set_real_blocked(t, blocked & ~which, blocked);
		err = ctx_block(&t->ctx, deadline);
		set_real_blocked(t, blocked, 0);
		sig = signal_dequeue(t, which, out);
	}
	if (sig)
		return sig;
	return err == -ETIMEDOUT ? -EAGAIN : signal_pending(t) ? -EINTR : -ERESTARTNOHAND;
}

void signal_set_blocked_until_return(struct task *t, ksigset_t set)
{
	if (!t->restore_blocked) {
		t->saved_blocked = t->blocked;
		t->restore_blocked = true;
	}
	signal_set_blocked(t, set);
}

void signal_restore_blocked(struct task *t)
{
	if (!t->restore_blocked)
		return;
	t->restore_blocked = false;
	signal_set_blocked(t, t->saved_blocked);
}

/* --- job control --- */

/* The last thread has stopped; both locks held. */
static void group_stopped(struct tgroup *tg) REQUIRES(tasks_lock)
{
	tg->stopped = true;
	tg->stop_report = tg->stop_signal;
	tg->cont_report = false;
}

bool group_stop_leave(struct task *t)
{
	struct tgroup *tg = t->tg;

	if (!t->stop_pending)
		return false;
	t->stop_pending = false;
	if (!tg->stopping || tg->stopped || --tg->stop_count)
		return false;
	group_stopped(tg);
	return true;
}

/* A stop signal was taken: makes every thread of the group stop. */
static void group_stop_start(struct task *t, int sig)
{
	struct tgroup *tg = t->tg;
	struct task *o;

	MUTEX_GUARD(&tasks_lock);
	if (sig != SIGSTOP && (!tg->pgrp || pgrp_is_orphaned(tg->pgrp, NULL)))
		return;
	mutex_lock(&tg->sighand->lock);
	/* SIGCONT or death may have come while no lock was held. */
	if (t->stop_dequeued && !tg->group_exit && !tg->stopping) {
		tg->stopping = true;
		tg->stopped = false;
		tg->stop_signal = (uint8_t)sig;
		tg->stop_count = 0;
		list_for_each(o, &tg->threads, tg_node) {
			if (o->exiting)
				continue;
			o->stop_pending = true;
			tg->stop_count++;
			task_interrupt(o, CTX_INTR_SIGNAL);
		}
	} else if (t->stop_dequeued && tg->stopping && !tg->group_exit && task_traced(t)) {
		t->stop_pending = true; /* a tracee that was resumed takes another stop */
		tg->stop_count++;
	}
	t->stop_dequeued = false;
	mutex_unlock(&tg->sighand->lock);
}

/* Joins the group stop. */
static void group_stop_join(struct task *t)
{
	struct tgroup *tg = t->tg;
	int sig = tg->stop_signal;
	bool last, traced;

	MUTEX_GUARD(&tasks_lock);
	mutex_lock(&tg->sighand->lock);
	if (!t->stop_pending) {
		mutex_unlock(&tg->sighand->lock);
		return;
	}
	last = group_stop_leave(t);
	traced = task_traced(t);
	WRITE_ONCE(t->group_stopped, !traced);
	mutex_unlock(&tg->sighand->lock);
	if (last)
		notify_parent_stop(tg->leader, false, CLD_STOPPED, sig);
	if (traced)
		ptrace_group_stop(t, sig);
}

/* stop_pending: SIGCONT came and the next stop began before we saw it; that one we join anew. */
static bool group_stop_over(struct task *t)
{
	MUTEX_GUARD(&t->tg->sighand->lock);
	return !t->tg->stopping || t->stop_pending || t->tg->group_exit ||
	       (t->pending.set & KSIGBIT(SIGKILL)) || ptrace_trap_due(t);
}

/* Stays in the group stop until SIGCONT or death.  false: it has to freeze. */
static bool group_stop_stay(struct task *t)
{
	if (!task_wait_until(t, group_stop_over))
		return false;
	MUTEX_GUARD(&tasks_lock);
	WRITE_ONCE(t->group_stopped, false);
	return true;
}

/* --- restarting --- */

static void set_eintr(struct user_regs_struct *r)
{
	r->rax = (uint64_t)-EINTR;
}

static void restart(struct user_regs_struct *r, uint64_t nr)
{
	r->rax = nr;
	r->rip -= 2; /* the length of SYSCALL */
}

static void restart_for_handler(struct user_regs_struct *r, uint64_t sa_flags)
{
	switch (-(int64_t)r->rax) {
	case ERESTARTSYS:
		if (sa_flags & SA_RESTART)
			restart(r, r->orig_rax);
		else
			set_eintr(r);
		break;
	case ERESTARTNOHAND:
	case ERESTART_RESTARTBLOCK:
		set_eintr(r);
		break;
	case ERESTARTNOINTR:
		restart(r, r->orig_rax);
		break;
	}
}

static void restart_without_handler(struct user_regs_struct *r)
{
	switch (-(int64_t)r->rax) {
	case ERESTARTSYS:
	case ERESTARTNOHAND:
	case ERESTARTNOINTR:
		restart(r, r->orig_rax);
		break;
	case ERESTART_RESTARTBLOCK:
		restart(r, SYS_restart_syscall);
		break;
	}
}

/* --- delivery --- */

enum verdict { V_NONE, V_AGAIN, V_HANDLE, V_WAIT, V_FREEZE, V_EXIT };

/* Default action of a signal that has one. */
static enum verdict default_action(struct task *t, int sig)
{
	if (KSIG_STOPS & KSIGBIT(sig)) {
		group_stop_start(t, sig);
		return V_AGAIN;
	}
	if (KSIG_DUMPS & KSIGBIT(sig)) {
		struct user_regs_struct *r = task_regs(t);

		log_info("task %d (%s): killed by signal %d at %#llx, address %#lx", t->ctx.tid,
			t->comm, sig, r->rip, (unsigned long)t->fault_addr);
	}
	task_group_exit(t, (uint32_t)sig);
	return V_EXIT;
}

/* Death, stops and freezing come before signals. */
enum due { DUE_NOTHING, DUE_EXIT, DUE_STAY, DUE_STOP, DUE_TRAP };

static enum due check_state(struct task *t) REQUIRES(t->tg->sighand->lock)
{
	struct tgroup *tg = t->tg;

	if (tg->group_exit || (t->pending.set & KSIGBIT(SIGKILL))) {
		/* Who dies for an execve dies of no signal. */
		WRITE_ONCE(t->exit_code, tg->group_exit  ? tg->exit_code
					 : tg->exec_task ? 0
							 : SIGKILL);
		WRITE_ONCE(t->group_stopped, false);
		return DUE_EXIT;
	}
	if (t->group_stopped)
		return DUE_STAY;
	if (t->stop_pending)
		return DUE_STOP;
	return ptrace_trap_due(t) ? DUE_TRAP : DUE_NOTHING;
}

/* Does what check_state said, once the lock is free. */
static enum verdict enter_state(struct task *t, enum due due)
{
	switch (due) {
	case DUE_EXIT:
		return V_EXIT;
	case DUE_STAY:
		return group_stop_stay(t) ? V_AGAIN : V_FREEZE;
	case DUE_STOP:
		group_stop_join(t);
		return t->stage ? V_WAIT : V_AGAIN;
	default:
		ptrace_do_trap(t);
		return V_WAIT;
	}
}

/* Takes the next signal that is to be acted on (*sig); V_NONE: there is none. */
static enum verdict take_signal(struct task *t, int *sig, struct ksiginfo *info)
{
	enum due due;
	void *timer;
	bool shared;

	if (t->stage == STAGE_SIGNAL) {
		t->stage = STAGE_NONE;
		*sig = ptrace_signal_chosen(t, info);
		return *sig ? V_HANDLE : V_AGAIN;
	}
	mutex_lock(&t->tg->sighand->lock);
	due = check_state(t);
	if (due) {
		mutex_unlock(&t->tg->sighand->lock);
		return enter_state(t, due);
	}
	*sig = take_locked(t, t->blocked, info, &timer, &shared);
	signal_recalc(t);
	mutex_unlock(&t->tg->sighand->lock);
	if (!*sig)
		return V_NONE;
	after_take(t, info, timer, shared);
	if (!task_traced(t) || *sig == SIGKILL)
		return V_HANDLE;
	ptrace_signal(t, info);
	return V_WAIT;
}

/* The next thing to do about signals: V_HANDLE fills action and info. */
static enum verdict next_signal(struct task *t, struct ksigaction *act, struct ksiginfo *info)
{
	struct sighand *sh = t->tg->sighand;
	struct ksigaction *a;
	enum verdict v;
	int sig;

	v = take_signal(t, &sig, info);
	if (v != V_HANDLE)
		return v;
	mutex_lock(&sh->lock);
	a = &sh->action[sig - 1];
	*act = *a;
	if (a->handler > 1 && (a->flags & SA_RESETHAND))
		a->handler = (uintptr_t)SIG_DFL;
	mutex_unlock(&sh->lock);
	if (act->handler == (uintptr_t)SIG_IGN)
		return V_AGAIN;
	if (act->handler != (uintptr_t)SIG_DFL)
		return V_HANDLE;
	if (ksig_default_ignores(sig) ||
		(READ_ONCE(t->tg->unkillable) && !(KSIG_UNBLOCKABLE & KSIGBIT(sig))))
		return V_AGAIN;
	return default_action(t, sig);
}

static void handle(struct task *t, const struct ksigaction *a, const struct ksiginfo *info)
{
	ksigset_t mask = t->restore_blocked ? t->saved_blocked : t->blocked;
	struct user_regs_struct *r = task_regs(t);
	int sig = info->signo;

	if (sigframe_setup(t, sig, a, info, mask)) {
		/* A handler that cannot be reached: SIGSEGV, fatal if that is the one. */
		if (sig == SIGSEGV) {
			signal_force_fatal(t, SIGSEGV);
		} else {
			struct ksiginfo segv;

			ksiginfo_init(&segv, SIGSEGV, SI_KERNEL);
			signal_force(t, &segv);
		}
		return;
	}
	t->restore_blocked = false;
	r->eflags &= ~(X86_DF | X86_RF | X86_TF);
	signal_set_blocked(t, t->blocked | a->mask | (a->flags & SA_NODEFER ? 0 : KSIGBIT(sig)));
}

/* Death comes before a freeze. */
static bool must_freeze(struct task *t)
{
	uint32_t intr = __atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE);

	return (intr & (CTX_INTR_FREEZE | CTX_INTR_KILL)) == CTX_INTR_FREEZE;
}

enum boundary signal_deliver(struct task *t)
{
	struct user_regs_struct *r = task_regs(t);
	struct ksigaction act;
	struct ksiginfo info;

	for (;;) {
		__atomic_fetch_and(&t->ctx.intr, ~CTX_INTR_TASKWORK, __ATOMIC_SEQ_CST);
		if (t->must_exit)
			return BOUNDARY_END;
		if (must_freeze(t))
			return BOUNDARY_FREEZE;
		switch (next_signal(t, &act, &info)) {
		case V_EXIT:
			return BOUNDARY_END;
		case V_WAIT:
			return BOUNDARY_WAIT;
		case V_FREEZE:
			return BOUNDARY_FREEZE;
		case V_AGAIN:
			continue;
		case V_HANDLE:
			if (t->call_ended && (int32_t)r->orig_rax != -1)
				restart_for_handler(r, act.flags);
			t->call_ended = false;
			handle(t, &act, &info);
			continue;
		case V_NONE:
			break;
		}
		if (t->call_ended && (int32_t)r->orig_rax != -1)
			restart_without_handler(r);
		t->call_ended = false;
		if (t->restore_blocked)
			signal_restore_blocked(t);
		if (!ctx_interrupted(&t->ctx))
			return BOUNDARY_RUN;
	}
}
