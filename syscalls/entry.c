/*
 * The trap loop: run the guest until something happens, deal with it, look for
 * signals, run on.
 *
 * The fast way of a system call takes no lock and reads no clock but the TSC:
 * in_guest off, number and arguments out of the registers, the handler, the
 * result into rax, one look at ctx.intr, in_guest on.
 *
 * Interrupts are not lost: in_guest is set (with a full barrier) before intr is
 * read, and task_interrupt sets intr before it reads in_guest.  Either we see
 * the bit here and do not enter, or the other side sees that we are inside
 * and makes the platform return.
 *
 * Restart codes (ERESTART*) leave the handlers only to here; signal_deliver
 * turns them into what the guest sees.
 *
 * What a task waits for between two steps is in the task (sentry/task/stage.h),
 * and so is where it goes on: when it is to freeze, the loop returns, and goes
 * on with what was to come next when it is called again.
 */
#include "syscalls/entry.h"

#include <errno.h>
#include <signal.h>

#include "lib/log.h"
#include "lib/stats.h"
#include "sentry/task/seccomp/seccomp.h"
#include "sentry/task/signals/sigio.h"
#include "sentry/task/task.h"
#include "syscalls/strace.h"
#include "syscalls/sys.h"

static inline bool is_restart(long ret)
{
	return unlikely(ret <= -ERESTARTSYS && ret >= -ERESTART_RESTARTBLOCK);
}

static inline void count_event(const struct pl_event *ev)
{
	if (likely(ev->kind == PL_SYSCALL))
		stat_inc(STAT_EV_SYSCALL);
	else if (ev->kind == PL_FAULT)
		stat_inc(STAT_EV_FAULT);
	else
		stat_inc(ev->kind == PL_INTERRUPT ? STAT_EV_INTERRUPT : STAT_EV_EXCEPTION);
}

/*
 * Tells the platform what t may be told of itself without a word to us; nothing while somebody
 * wants to see or to judge each call.  IDENT_HIDDEN is no sequence number.
 */
#define IDENT_HIDDEN 0u

static __attribute__((noinline)) void show_ident(struct task *t, struct pl_ctx *pl, uint32_t now)
{
	const struct cred *c = t->ctx.cred;
	struct pl_ident id = {
		.pid = (uint32_t)pid_nr(t->tg->pid, t->pid_ns),
		.tid = (uint32_t)pid_nr(t->pid, t->pid_ns),
		.uid = c->uid,
		.euid = c->euid,
		.gid = c->gid,
		.egid = c->egid,
	};

	t->ident_seen = now;
	if (platform->ctx_set_ident)
		platform->ctx_set_ident(pl, now == IDENT_HIDDEN ? NULL : &id);
}

static inline void update_ident(struct task *t, struct pl_ctx *pl)
{
	bool hide = task_traced(t) || READ_ONCE(t->seccomp_mode) || strace_on;
	uint32_t now = hide ? IDENT_HIDDEN : t->ident_seq + 1;

	if (unlikely(now != t->ident_seen))
		show_ident(t, pl, now);
}

static void enter_guest(struct task *t, struct pl_ctx *pl, struct pl_event *ev)
{
	uint64_t since, now;

	__atomic_store_n(&t->in_guest, 1, __ATOMIC_SEQ_CST);
	if (unlikely(__atomic_load_n(&t->ctx.intr, __ATOMIC_SEQ_CST))) {
		__atomic_store_n(&t->in_guest, 0, __ATOMIC_RELEASE);
		ev->kind = PL_INTERRUPT;
		return;
	}
	update_ident(t, pl);
	since = time_cycles();
	WRITE_ONCE(t->guest_since, since);
	platform->ctx_run(pl, ev);
	now = time_cycles();
	count_event(ev);
	WRITE_ONCE(t->guest_since, 0);
	__atomic_store_n(&t->in_guest, 0, __ATOMIC_RELEASE);
	if (now > since)
		WRITE_ONCE(t->guest_cycles, t->guest_cycles + (now - since));
}

/*
 * System calls, from the event to the result.  Each step may have to wait at the user boundary
 * (t->stage is set then), from where go_on takes the next one.  They return true if there is
 * something to do at the boundary besides what ctx.intr says.
 */

/* The call has its result. */
static inline bool end_call(struct task *t, struct user_regs_struct *r, long ret)
{
	if (unlikely(t->sigio_due))
		sigio_flush(t);
	if (unlikely(strace_on))
		strace_exit(t, ret);
	r->rax = (uint64_t)ret;
	t->in_syscall = false;
	if (unlikely(task_traced(t))) {
		ptrace_syscall_exit(t);
		if (t->stage)
			return true;
	}
	return is_restart(ret);
}

/* Number and arguments are looked at now only: a tracer may have changed them. */
static inline bool make_call(struct task *t, struct user_regs_struct *r)
{
	struct sysargs a = {{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
	uint32_t nr = (uint32_t)r->orig_rax; /* the low half only, as Linux */
	long ret;

	if (unlikely(strace_on))
		strace_enter(t, nr, &a);
	ret = sys_dispatch(t, nr, &a);
	if (unlikely(ret == -ECALLWAITS))
		return true;
	return end_call(t, r, ret);
}

/* rax is what the call's result is to be. */
static bool skip_call(struct task *t)
{
	t->in_syscall = false;
	if (task_traced(t))
		ptrace_syscall_exit(t);
	return t->stage != STAGE_NONE;
}

static __attribute__((noinline)) bool judged_call(struct task *t, struct user_regs_struct *r,
	enum call_verdict v)
{
	switch (v) {
	case CALL_RUN:
		return make_call(t, r);
	case CALL_SKIP:
		return skip_call(t);
	default:
		return true;
	}
}

static inline bool begin_call(struct task *t, struct user_regs_struct *r)
{
	if (unlikely(READ_ONCE(t->seccomp_mode)))
		return judged_call(t, r, seccomp_enter(t));
	return make_call(t, r);
}

static bool handle_syscall(struct task *t, struct user_regs_struct *r)
{
	t->cur_syscall = (uint32_t)r->orig_rax;
	t->in_syscall = true;
	if (unlikely(task_traced(t))) {
		r->rax = (uint64_t)-ENOSYS;
		if (ptrace_syscall_enter(t) == CALL_WAIT)
			return true;
	}
	return begin_call(t, r);
}

/* Behind the stop at a call's entry. */
static bool entered_call(struct task *t, struct user_regs_struct *r)
{
	if (ptrace_syscall_entered(t) == CALL_RUN)
		return begin_call(t, r);
	t->in_syscall = false;
	return t->stage != STAGE_NONE;
}

/* What t waited for has come. */
static bool go_on(struct task *t, struct user_regs_struct *r)
{
	enum task_stage stage = t->stage;

	if (stage == STAGE_SIGNAL)
		return true; /* signal_deliver's */
	t->stage = STAGE_NONE;
	switch (stage) {
	case STAGE_ENTRY:
		return entered_call(t, r);
	case STAGE_SECCOMP:
		return judged_call(t, r, seccomp_traced(t));
	case STAGE_RESULT:
		return end_call(t, r, t->call_result);
	case STAGE_LEFT:
		ptrace_syscall_left(t);
		return is_restart((long)r->rax);
	default:
		return true;
	}
}

static void force_fault(struct task *t, int signo, int code, uint64_t addr)
{
	struct ksiginfo info;

	ksiginfo_init(&info, signo, code);
	info.u.fault.addr = addr;
	signal_force(t, &info);
}

static void handle_fault(struct task *t, const struct pl_event *ev)
{
	int signo = SIGSEGV, code = SEGV_MAPERR, err;

	err = mm_fault(&t->ctx, t->ctx.mm, ev->addr, ev->access, &signo, &code);
	if (likely(!err)) {
		t->minflt++;
		return;
	}
	t->fault_addr = ev->addr;
	t->fault_trapno = ev->trapno;
	t->fault_err = ev->errcode;
	if (err == -ENOMEM) {
		log_warn("task %d (%s): out of memory, killed", t->ctx.tid, t->comm);
		task_group_exit(t, SIGKILL);
		return;
	}
	force_fault(t, signo, code, ev->addr);
}

static void handle_exception(struct task *t, const struct pl_event *ev)
{
	t->fault_trapno = ev->trapno;
	t->fault_err = ev->errcode;
	if (ev->signo == SIGSEGV || ev->signo == SIGBUS)
		t->fault_addr = ev->addr;
	force_fault(t, ev->signo, ev->code, ev->addr);
}

/* Everything but system calls. */
static void handle_trap(struct task *t, struct user_regs_struct *r, const struct pl_event *ev)
{
	r->orig_rax = (uint64_t)-1; /* nothing to restart */
	switch (ev->kind) {
	case PL_FAULT:
		handle_fault(t, ev);
		break;
	case PL_EXCEPTION:
		handle_exception(t, ev);
		break;
	case PL_DEAD:
		log_warn("task %d (%s): its host process is gone", t->ctx.tid, t->comm);
		task_group_exit(t, SIGKILL);
		break;
	default:
		break;
	}
}

static inline bool boundary_due(const struct task *t)
{
	return ctx_interrupted(&t->ctx) || t->restore_blocked;
}

/* The user boundary.  due: there may be something to do that ctx.intr does not say. */
static __attribute__((noinline)) enum boundary cross_boundary(struct task *t,
	struct user_regs_struct *r, bool due)
{
	enum boundary b = BOUNDARY_WAIT;

	while (b == BOUNDARY_WAIT) {
		if (t->stage) {
			if (!task_await(t))
				return BOUNDARY_FREEZE;
			due = go_on(t, r);
			if (t->stage && t->stage != STAGE_SIGNAL)
				continue;
		}
		b = due || boundary_due(t) ? signal_deliver(t) : BOUNDARY_RUN;
	}
	return b;
}

static bool trap_loop(struct task *t)
{
	struct user_regs_struct *r;
	enum boundary b = BOUNDARY_RUN;
	struct pl_event ev;
	struct pl_ctx *pl;

	if (t->stage == STAGE_DYING || t->stage == STAGE_ZAP)
		return task_exit_thread(t);
	pl = task_plctx(t);
	r = platform->ctx_regs(pl);
	if (READ_ONCE(t->stage) || READ_ONCE(t->call_ended) || READ_ONCE(t->group_stopped) ||
		boundary_due(t))
		b = cross_boundary(t, r, true);
	while (likely(b == BOUNDARY_RUN)) {
		bool call, due = false;

		enter_guest(t, pl, &ev);
		call = ev.kind == PL_SYSCALL;
		if (likely(call)) {
			due = handle_syscall(t, r);
			if (unlikely(ev.hot) && !t->stage && !task_traced(t) && t->ctx.mm)
				mm_patch_site(t->ctx.mm, ev.site);
		} else {
			handle_trap(t, r, &ev);
		}
		if (likely(!due && !boundary_due(t)))
			continue;
		t->call_ended = call;
		b = cross_boundary(t, r, due);
	}
	return b == BOUNDARY_END && task_exit_thread(t);
}

void entry_init(void)
{
	task_set_loop(trap_loop);
	platform_doomed = task_mm_doomed;
}
