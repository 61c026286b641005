/*
 * ptrace(2) between guest tasks: stops and events, attaching and detaching.
 * The requests on a stopped tracee are in request.c.
 *
 * A tracee stops on its own thread (ptrace_stop), at the user boundary or
 * around a system call.  While pt.stopped is set and tasks_lock is held it
 * cannot go on, so a tracer that holds the lock may touch its registers; the
 * FPU state is copied out by the tracee before it stops and put back after,
 * because the platform's context belongs to its thread.
 */
#include "sentry/task/ptrace/ptrace_priv.h"

#define SA_NOCLDWAIT_ 2UL

void ptrace_init_task(struct task *t)
{
	list_init(&t->pt.tracees);
	list_init(&t->pt.node);
}

/* --- stopping: on the tracee's thread --- */

static void fpu_save(struct task *t)
{
	if (!t->pt.fpu)
		t->pt.fpu = buf_alloc(platform->fpu_size);
	if (t->pt.fpu && t->plctx)
		platform->ctx_get_fpu(task_plctx(t), t->pt.fpu, platform->fpu_size);
	t->pt.fpu_dirty = false;
}

static void fpu_restore(struct task *t)
{
	if (t->pt.fpu && t->pt.fpu_dirty && t->plctx)
		(void)platform->ctx_set_fpu(task_plctx(t), t->pt.fpu, platform->fpu_size);
	buf_free(take_ptr(&t->pt.fpu), platform->fpu_size);
}

/* unseen: the signal to go on with if the tracer goes before it has seen the stop. */
static int stop(struct task *t, uint32_t stop_code, int why, uint64_t msg, struct ksiginfo *info,
	uint32_t unseen)
{
	int sig;

	/* The platform may have left registers out that only we can fetch: the tracer sees all,
	 * and none is fetched over what it changes. */
	if (t->plctx)
		(void)task_regs(t);
	fpu_save(t);
	mutex_lock(&tasks_lock);
	if (!task_traced(t) || (__atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE) & CTX_INTR_KILL)) {
		mutex_unlock(&tasks_lock);
		fpu_restore(t);
		return (int)unseen;
	}
	t->pt.stopped = true;
	t->pt.reported = t->pt.listening = false;
	t->pt.stop_code = stop_code;
	WRITE_ONCE(t->pt.event_msg, msg);
	t->pt.info = info;
	t->pt.resume_signal = unseen;
	task_set_parked(t, true);
	notify_parent_stop(t, true, why, (int)(stop_code & 0x7f));
	while (t->pt.stopped) {
		mutex_unlock(&tasks_lock);
		if (ctx_block_killable(&t->ctx, DEADLINE_NEVER)) {
			mutex_lock(&tasks_lock);
			break;
		}
		mutex_lock(&tasks_lock);
	}
	t->pt.stopped = t->pt.listening = false;
	t->pt.info = NULL;
	task_set_parked(t, false);
	sig = (int)t->pt.resume_signal;
	mutex_unlock(&tasks_lock);
	fpu_restore(t);
	platform->ctx_set_step(task_plctx(t), READ_ONCE(t->pt.step));
	return sig;
}

int ptrace_stop(struct task *t, uint32_t stop_code, int why, uint64_t msg, struct ksiginfo *info)
{
	return stop(t, stop_code, why, msg, info, 0);
}

bool ptrace_event_enabled(struct task *t, int event)
{
	return task_traced(t) && (READ_ONCE(t->pt.opts) & (1u << event));
}

void ptrace_event(struct task *t, int event, uint64_t msg)
{
	struct ksiginfo info;

	ksiginfo_init(&info, SIGTRAP, event << 8 | SIGTRAP);
	info.u.rt.pid = task_tid_nr(t, t->pid_ns);
	info.u.rt.uid = t->ctx.cred->uid;
	ptrace_stop(t, (uint32_t)(event << 8 | SIGTRAP), CLD_TRAPPED, msg, &info);
}

void ptrace_event_syscall(struct task *t, int event, uint64_t msg)
{
	t->pt.syscall_op = PT_SYSCALL_SECCOMP;
	ptrace_event(t, event, msg);
	t->pt.syscall_op = PT_SYSCALL_NONE;
}

int ptrace_signal(struct task *t, int sig, struct ksiginfo *info)
{
	int now = stop(t, (uint32_t)sig, CLD_TRAPPED, 0, info, (uint32_t)sig);

	if (!now)
		return 0;
	if (now != info->signo)
		ksiginfo_init(info, now, SI_USER);
	if (t->blocked & KSIGBIT(now)) { /* it waits until it is unblocked */
		signal_send_task(t, info);
		return 0;
	}
	return now;
}

void ptrace_group_stop(struct task *t, int sig)
{
	uint32_t code = (uint32_t)sig;

	if (READ_ONCE(t->pt.seized))
		code |= PTRACE_EVENT_STOP_ << 8;
	ptrace_stop(t, code, CLD_STOPPED, 0, NULL);
}

bool ptrace_trap_due(struct task *t)
{
	return task_traced(t) && READ_ONCE(t->pt.interrupt) && !READ_ONCE(t->exiting);
}

void ptrace_do_trap(struct task *t)
{
	int sig;

	mutex_lock(&tasks_lock);
	WRITE_ONCE(t->pt.interrupt, false);
	sig = t->tg->stopping ? t->tg->stop_signal : SIGTRAP;
	mutex_unlock(&tasks_lock);
	if (READ_ONCE(t->pt.seized))
		ptrace_event_stop(t, sig);
	else
		ptrace_stop(t, (uint32_t)sig, CLD_STOPPED, 0, NULL);
}

void ptrace_event_stop(struct task *t, int sig)
{
	struct ksiginfo info;

	ksiginfo_init(&info, sig, PTRACE_EVENT_STOP_ << 8 | sig);
	ptrace_stop(t, (uint32_t)(PTRACE_EVENT_STOP_ << 8 | sig),
		sig == SIGTRAP ? CLD_TRAPPED : CLD_STOPPED, 0, sig == SIGTRAP ? &info : NULL);
}

/* --- system calls --- */

static void syscall_stop(struct task *t, uint8_t op)
{
	uint32_t code = SIGTRAP | (READ_ONCE(t->pt.opts) & PT_O_TRACESYSGOOD ? 0x80 : 0);
	struct ksiginfo info, inject;
	int sig;

	ksiginfo_init(&info, SIGTRAP, (int)code);
	t->pt.syscall_op = op;
	sig = ptrace_stop(t, code, CLD_TRAPPED, op, &info);
	t->pt.syscall_op = 0;
	if (sig) {
		ksiginfo_init(&inject, sig, SI_USER);
		signal_send_task(t, &inject);
	}
}

bool ptrace_syscall_enter(struct task *t)
{
	bool emulate = READ_ONCE(t->pt.sysemu);

	if (!READ_ONCE(t->pt.syscall) && !emulate)
		return false;
	syscall_stop(t, PT_SYSCALL_ENTRY);
	if (emulate || (__atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE) & CTX_INTR_KILL))
		return true;
	if ((int32_t)task_regs(t)->orig_rax == -1) { /* cancelled: rax is the tracer's */
		ptrace_syscall_exit(t);
		return true;
	}
	return false;
}

void ptrace_syscall_exit(struct task *t)
{
	if (READ_ONCE(t->pt.syscall) && !t->must_exit)
		syscall_stop(t, PT_SYSCALL_EXIT);
}

void ptrace_exec(struct task *t, uint64_t old_tid)
{
	struct ksiginfo info;

	if (ptrace_event_enabled(t, PTRACE_EVENT_EXEC_)) {
		ptrace_event(t, PTRACE_EVENT_EXEC_, old_tid);
	} else if (task_traced(t) && !READ_ONCE(t->pt.seized)) {
		ksiginfo_user(&info, t, SIGTRAP, SI_USER);
		signal_send_task(t, &info);
	}
}

/* --- links --- */

/* as: whose capabilities count as the tracer's from now on. */
static void attach_link(struct task *t, struct task *tracer, struct cred *as, uint32_t opts,
	bool seized) REQUIRES(tasks_lock)
{
	__atomic_store_n(&t->pt.tracer, tracer, __ATOMIC_RELEASE);
	t->pt.tracer_cred = cred_get(as);
	WRITE_ONCE(t->pt.opts, opts);
	WRITE_ONCE(t->pt.seized, seized);
	list_push_back(&tracer->pt.tracees, &t->pt.node);
}

void ptrace_unlink(struct task *t)
{
	if (!t->pt.tracer)
		return;
	list_del(&t->pt.node);
	__atomic_store_n(&t->pt.tracer, NULL, __ATOMIC_RELEASE);
	cred_put(take_ptr(&t->pt.tracer_cred));
	WRITE_ONCE(t->pt.opts, 0);
	WRITE_ONCE(t->pt.seized, false);
	WRITE_ONCE(t->pt.syscall, false);
	WRITE_ONCE(t->pt.sysemu, false);
	WRITE_ONCE(t->pt.step, false);
	WRITE_ONCE(t->pt.interrupt, false);
	if (t->exit_state != TASK_ALIVE)
		return;
	mutex_lock(&t->tg->sighand->lock);
	if (t->tg->stopping && !t->tg->group_exit && !t->exiting) {
		t->stop_pending = true; /* goes on with the group stop */
		if (!t->tg->stopped)
			t->tg->stop_count++;
		task_interrupt(t, CTX_INTR_SIGNAL);
	}
	mutex_unlock(&t->tg->sighand->lock);
	if (t->pt.stopped) {
		t->pt.stopped = false;
		ctx_wake(&t->ctx);
	}
}

static bool ignores_children(struct tgroup *tg)
{
	const struct ksigaction *a = &tg->sighand->action[SIGCHLD - 1];

	MUTEX_GUARD(&tg->sighand->lock);
	return a->handler == (uintptr_t)SIG_IGN || (a->flags & SA_NOCLDWAIT_);
}

void ptrace_exit(struct task *t)
{
	struct task *c;
	struct tgroup *tg;

	while ((c = list_first(&t->pt.tracees, struct task, pt.node))) {
		if (c->pt.opts & PT_O_EXITKILL)
			signal_kill_group_locked(c->tg);
		ptrace_unlink(c);
		if (c->exit_state != TASK_ZOMBIE)
			continue;
		tg = tgroup_get(c->tg);
		if (c != tg->leader)
			task_release(c);
		else if (tg->zombie && (tg->parent != t->tg || ignores_children(t->tg)) &&
			 notify_parent_exit(tg))
			task_release(c);
		task_group_check_ended(tg);
		tgroup_put(tg);
	}
}

static void request_trap(struct task *t)
{
	mutex_lock(&t->tg->sighand->lock);
	WRITE_ONCE(t->pt.interrupt, true);
	task_interrupt(t, CTX_INTR_SIGNAL);
	mutex_unlock(&t->tg->sighand->lock);
	ctx_wake(&t->ctx);
}

void ptrace_new_child(struct task *t, struct task *c, int event)
{
	struct ksiginfo info;

	if (event != -1 && (!event || !ptrace_event_enabled(t, event)))
		return;
	attach_link(c, t->pt.tracer, t->pt.tracer_cred, t->pt.opts, t->pt.seized);
	if (READ_ONCE(t->pt.seized)) {
		request_trap(c);
		return;
	}
	ksiginfo_init(&info, SIGSTOP, SI_USER);
	signal_send_task_locked(c, &info);
}

/* Who is about to be traced shows the text that it was loaded with. */
static void show_text(struct task *t)
{
	struct mm *mm = task_mm_get(t);

	if (!mm)
		return;
	mm_patch_stop(mm);
	mm_put(mm);
}

static int attach_guarded(struct task *t, struct task *target, bool seize, uint32_t opts)
{
	struct ksiginfo info;
	int err;

	show_text(target);
	MUTEX_GUARD(&tasks_lock);
	err = task_may_access(&t->ctx, target, ACCESS_REALCREDS);
	if (err)
		return err;
	if (target->pt.tracer || target->exiting || target->exit_state != TASK_ALIVE)
		return -EPERM;
	attach_link(target, t, t->ctx.cred, opts, seize);
	if (!seize) {
		ksiginfo_init(&info, SIGSTOP, SI_KERNEL);
		signal_send_task_locked(target, &info);
	}
	if (target->group_stopped) /* its stop becomes a ptrace-stop */
		request_trap(target);
	return 0;
}

/*
 * Under the target's guard: an execve that has found nobody tracing must not find somebody when
 * it has set the new program's ids.  Who may not trace it does not get at the guard.
 */
int ptrace_attach(struct task *t, struct task *target, bool seize, uint32_t opts)
{
	int err;

	if (target->tg == t->tg)
		return -EPERM;
	err = task_may_access(&t->ctx, target, ACCESS_REALCREDS);
	if (!err)
		err = cred_guard_lock(&t->ctx, target->tg);
	if (err)
		return err;
	err = attach_guarded(t, target, seize, opts);
	cred_guard_unlock(target->tg);
	return err;
}

int ptrace_traceme(struct task *t)
{
	struct tgroup *parent;

	show_text(t);
	MUTEX_GUARD(&tasks_lock);
	parent = t->tg->parent;
	if (t->pt.tracer || !parent || !t->tg->parent_thread || t->tg->parent_thread->exiting)
		return -EPERM;
	attach_link(t, t->tg->parent_thread, t->ctx.cred, 0, false);
	return 0;
}

int ptrace_interrupt(struct task *target)
{
	if (!target->pt.seized)
		return -EIO;
	if (target->exiting)
		return 0;
	if (target->pt.stopped && target->pt.listening) {
		target->pt.stopped = target->pt.listening = false;
		request_trap(target);
	} else {
		request_trap(target);
	}
	return 0;
}
