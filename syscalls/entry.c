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

static bool handle_syscall(struct task *t, struct user_regs_struct *r)
{
	struct sysargs a = {{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
	uint32_t nr = (uint32_t)r->orig_rax; /* the low half only, as Linux */
	long ret;

	t->cur_syscall = nr;
	t->in_syscall = true;
	if (unlikely(task_traced(t))) {
		r->rax = (uint64_t)-ENOSYS;
		if (ptrace_syscall_enter(t)) {
			t->in_syscall = false;
			return false;
		}
		nr = (uint32_t)r->orig_rax; /* the tracer may have changed it all */
		a = (struct sysargs){{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
	}
	if (unlikely(READ_ONCE(t->seccomp_mode))) {
		if (!seccomp_enter(t)) {
			t->in_syscall = false;
			if (unlikely(task_traced(t)))
				ptrace_syscall_exit(t);
			return false;
		}
		nr = (uint32_t)r->orig_rax;
		a = (struct sysargs){{r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9}};
	}
	if (unlikely(strace_on))
		strace_enter(t, nr, &a);
	ret = sys_dispatch(t, nr, &a);
	if (unlikely(t->sigio_due))
		sigio_flush(t);
	if (unlikely(strace_on))
		strace_exit(t, nr, &a, ret);
	r->rax = (uint64_t)ret;
	t->in_syscall = false;
	if (unlikely(task_traced(t)))
		ptrace_syscall_exit(t);
	return is_restart((long)r->rax);
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

static void trap_loop(struct task *t)
{
	struct pl_ctx *pl = task_plctx(t);
	struct user_regs_struct *r = platform->ctx_regs(pl);
	struct pl_event ev;

	for (;;) {
		bool syscall, restart = false;

		enter_guest(t, pl, &ev);
		syscall = ev.kind == PL_SYSCALL;
		if (likely(syscall)) {
			restart = handle_syscall(t, r);
			if (unlikely(ev.hot) && !task_traced(t) && t->ctx.mm)
				mm_patch_site(t->ctx.mm, ev.site);
		} else
			handle_trap(t, r, &ev);
		if (likely(!restart && !ctx_interrupted(&t->ctx) && !t->restore_blocked))
			continue;
		if (!signal_deliver(t, syscall, (long)r->rax))
			break;
	}
	task_exit_thread(t, t->exit_code);
}

void entry_init(void)
{
	task_set_loop(trap_loop);
	platform_doomed = task_mm_doomed;
}
