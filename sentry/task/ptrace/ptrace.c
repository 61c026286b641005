/*
 * ptrace(2) between guest tasks: stops and events, attaching and detaching.
 * The requests on a stopped tracee are in request.c.
 *
 * A tracee stops on its own thread.  Whoever wants it to (stop_at) says what the tracer is to see
 * and what comes afterwards (stage.h), and unwinds; ptrace_await then makes the stop, at the user
 * boundary.  While pt.stopped is set and tasks_lock is held it cannot go on, so a tracer that
 * holds the lock may touch its registers; the FPU state is copied out by the tracee before it
 * stops and put back after, because the platform's context belongs to its thread.
 */
#include "sentry/task/ptrace/ptrace_priv.h"

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

/* t stops when it has unwound; what comes then is stage.  unseen: the signal to go on with if the
 * tracer goes before it has seen the stop. */
static void stop_at(struct task *t, enum task_stage stage, uint32_t stop_code, int why,
	const struct ksiginfo *info, uint32_t unseen)
{
	struct task_ptrace *p = &t->pt;

	p->stop_code = stop_code;
	p->stop_why = why;
	p->event_msg = 0;
	p->has_info = info != NULL;
	if (info)
		p->info = *info;
	p->resume_signal = unseen;
	p->phase = PT_PHASE_DUE;
	t->stage = stage;
}

/* false: there is nobody to stop for, or no time. */
static bool stop_begin(struct task *t)
{
	/* The platform may have left registers out that only we can fetch: the tracer sees all,
	 * and none is fetched over what it changes. */
	if (t->plctx)
		(void)task_regs(t);
	fpu_save(t);
	MUTEX_GUARD(&tasks_lock);
	if (!task_traced(t) || (__atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE) & CTX_INTR_KILL))
		return false;
	t->pt.stopped = true;
	t->pt.reported = t->pt.listening = false;
	notify_parent_stop(t, true, t->pt.stop_why, (int)(t->pt.stop_code & 0x7f));
	return true;
}

static bool resumed(struct task *t)
{
	return !t->pt.stopped;
}

static void stop_end(struct task *t)
{
	mutex_lock(&tasks_lock);
	t->pt.stopped = t->pt.listening = false;
	t->pt.has_info = false;
	mutex_lock(&t->tg->sighand->lock);
	signal_recalc(t); /* what was sent meanwhile did not interrupt */
	mutex_unlock(&t->tg->sighand->lock);
	mutex_unlock(&tasks_lock);
	t->pt.phase = PT_PHASE_NONE;
	t->pt.syscall_op = ABI_PTRACE_SYSCALL_INFO_NONE;
	fpu_restore(t);
	if (t->plctx)
		platform->ctx_set_step(task_plctx(t), READ_ONCE(t->pt.step));
}

bool ptrace_await(struct task *t)
{
	if (t->pt.phase == PT_PHASE_NONE)
		return true;
	if (t->pt.phase == PT_PHASE_STOP || stop_begin(t)) {
		t->pt.phase = PT_PHASE_STOP;
		if (!task_wait_until(t, resumed))
			return false;
	}
	stop_end(t);
	return true;
}

bool ptrace_event_enabled(struct task *t, int event)
{
	return task_traced(t) && (READ_ONCE(t->pt.opts) & (1u << event));
}

void ptrace_event(struct task *t, enum task_stage stage, int event, uint64_t msg)
{
	struct ksiginfo info;

	ksiginfo_init(&info, SIGTRAP, event << 8 | SIGTRAP);
	info.u.rt.pid = task_tid_nr(t, t->pid_ns);
	info.u.rt.uid = t->ctx.cred->uid;
	stop_at(t, stage, (uint32_t)(event << 8 | SIGTRAP), CLD_TRAPPED, &info, 0);
	t->pt.event_msg = msg;
}

void ptrace_event_seccomp(struct task *t, uint64_t msg)
{
	ptrace_event(t, STAGE_SECCOMP, ABI_PTRACE_EVENT_SECCOMP, msg);
	t->pt.syscall_op = ABI_PTRACE_SYSCALL_INFO_SECCOMP;
}

void ptrace_signal(struct task *t, const struct ksiginfo *info)
{
	stop_at(t, STAGE_SIGNAL, (uint32_t)info->signo, CLD_TRAPPED, info, (uint32_t)info->signo);
}

int ptrace_signal_chosen(struct task *t, struct ksiginfo *info)
{
	int now = (int)t->pt.resume_signal;

	*info = t->pt.info;
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

/* PTRACE_EVENT_STOP of a seized tracee. */
static void event_stop(struct task *t, int sig)
{
	struct ksiginfo info;

	ksiginfo_init(&info, sig, ABI_PTRACE_EVENT_STOP << 8 | sig);
	stop_at(t, STAGE_STOP, (uint32_t)(ABI_PTRACE_EVENT_STOP << 8 | sig),
		sig == SIGTRAP ? CLD_TRAPPED : CLD_STOPPED, &info, 0);
}

void ptrace_group_stop(struct task *t, int sig)
{
	if (READ_ONCE(t->pt.seized))
		event_stop(t, sig);
	else
		stop_at(t, STAGE_STOP, (uint32_t)sig, CLD_STOPPED, NULL, 0);
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
		event_stop(t, sig);
	else
		stop_at(t, STAGE_STOP, (uint32_t)sig, CLD_STOPPED, NULL, 0);
}

/* --- system calls --- */

static void syscall_stop(struct task *t, enum task_stage stage, uint8_t op)
{
	uint32_t code = SIGTRAP | (READ_ONCE(t->pt.opts) & ABI_PTRACE_O_TRACESYSGOOD ? 0x80 : 0);
	struct ksiginfo info;

	ksiginfo_init(&info, SIGTRAP, (int)code);
	stop_at(t, stage, code, CLD_TRAPPED, &info, 0);
	t->pt.event_msg = op;
	t->pt.syscall_op = op;
}

/* What the tracer said at either stop. */
static void inject(struct task *t)
{
	struct ksiginfo info;

	if (!t->pt.resume_signal)
		return;
	ksiginfo_init(&info, (int)t->pt.resume_signal, SI_USER);
	signal_send_task(t, &info);
}

enum call_verdict ptrace_syscall_enter(struct task *t)
{
	bool emulate = READ_ONCE(t->pt.sysemu);

	if (!READ_ONCE(t->pt.syscall) && !emulate)
		return CALL_RUN;
	t->pt.emulated = emulate;
	syscall_stop(t, STAGE_ENTRY, ABI_PTRACE_SYSCALL_INFO_ENTRY);
	return CALL_WAIT;
}

enum call_verdict ptrace_syscall_entered(struct task *t)
{
	inject(t);
	if (t->pt.emulated || ctx_killed(&t->ctx))
		return CALL_SKIP;
	if ((int32_t)task_regs(t)->orig_rax == -1) { /* cancelled: rax is the tracer's */
		ptrace_syscall_exit(t);
		return CALL_SKIP;
	}
	return CALL_RUN;
}

void ptrace_syscall_exit(struct task *t)
{
	if (READ_ONCE(t->pt.syscall) && !t->must_exit)
		syscall_stop(t, STAGE_LEFT, ABI_PTRACE_SYSCALL_INFO_EXIT);
}

void ptrace_syscall_left(struct task *t)
{
	inject(t);
}

bool ptrace_exec(struct task *t, uint64_t old_tid)
{
	struct ksiginfo info;

	if (ptrace_event_enabled(t, ABI_PTRACE_EVENT_EXEC)) {
		ptrace_event(t, STAGE_RESULT, ABI_PTRACE_EVENT_EXEC, old_tid);
		return true;
	}
	if (task_traced(t) && !READ_ONCE(t->pt.seized)) {
		ksiginfo_user(&info, t, SIGTRAP, SI_USER);
		signal_send_task(t, &info);
	}
	return false;
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
	return a->handler == (uintptr_t)SIG_IGN || (a->flags & SA_NOCLDWAIT);
}

void ptrace_exit(struct task *t)
{
	struct task *c;
	struct tgroup *tg;

	while ((c = list_first(&t->pt.tracees, struct task, pt.node))) {
		if (c->pt.opts & ABI_PTRACE_O_EXITKILL)
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
	if (READ_ONCE(target->group_stopped)) /* its stop becomes a ptrace-stop */
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
