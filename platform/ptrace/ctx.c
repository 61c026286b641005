/*
 * Contexts: one stub thread each, created by the first pl_ctx_run so that the
 * thread which runs the context is the one which traces it.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "platform/ptrace/ptrace_priv.h"

__thread struct pl_ctx *pt_current;
static __thread int self_tid;

static int own_tid(void)
{
	if (unlikely(!self_tid))
		self_tid = host_gettid();
	return self_tid;
}

int pt_ctx_create(struct pl_as *as, struct pl_ctx **out)
{
	struct pl_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	mutex_init(&ctx->lock, LOCK_NONE);
	list_init(&ctx->place.link);
	ctx->as = as;
	*out = ctx;
	return 0;
}

static void unbind(struct pl_ctx *ctx)
{
	ctx->dead = false;
	if (!ctx->place.tid)
		return;
	BUG_ON(ctx->place.owner != own_tid());
	pt_complete_regs(ctx);
	place_del(&ctx->place);
	pt_as_unbind(ctx->as, ctx);
	ctx->hw_valid = false;
	ctx->reaped = false;
	if (pt_current == ctx)
		pt_current = NULL;
}

void pt_ctx_destroy(struct pl_ctx *ctx)
{
	unbind(ctx);
	free(ctx->fpu);
	free(ctx);
}

int pt_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as)
{
	unbind(ctx);
	free(ctx->fpu);
	ctx->fpu = NULL;
	ctx->as = as;
	ctx->step_trap = false;
	return 0;
}

struct user_regs_struct *pt_ctx_regs(struct pl_ctx *ctx)
{
	if (unlikely(ctx->lazy) && ctx->place.owner == own_tid())
		pt_complete_regs(ctx);
	return &ctx->regs;
}

void pt_complete_regs(struct pl_ctx *ctx)
{
	unsigned long rax = ctx->regs.rax;

	if (!ctx->lazy)
		return;
	ctx->lazy = false;
	if (pt_ptrace(PTRACE_GETREGS, ctx->place.tid, 0, (long)&ctx->hw) < 0)
		return; /* killed: the next run tells */
	ctx->hw_valid = true;
	ctx->regs = ctx->hw;
	ctx->regs.rax = rax;
}

void pt_ctx_set_step(struct pl_ctx *ctx, bool on)
{
	ctx->step = on;
	if (!on)
		ctx->step_trap = false;
}

int pt_ctx_cpu(struct pl_ctx *ctx)
{
	return READ_ONCE(ctx->place.cpu);
}

/*
 * The flag is set before the signal is sent and cleared only by a run that
 * reports it: a PT_SIG_INTERRUPT seen while it is clear is a stale one.  The
 * lock keeps the thread id from being reused under us.
 */
void pt_ctx_interrupt(struct pl_ctx *ctx)
{
	__atomic_store_n(&ctx->interrupt, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&ctx->place.in_guest, __ATOMIC_SEQ_CST))
		return;
	mutex_lock(&ctx->lock);
	if (ctx->place.tid)
		host_tgkill(ctx->tgid, ctx->place.tid, PT_SIG_INTERRUPT);
	mutex_unlock(&ctx->lock);
}

static int bind(struct pl_ctx *ctx)
{
	int e;

	ctx->place.owner = own_tid();
	WRITE_ONCE(ctx->place.cpu, place_self());
	e = pt_as_bind(ctx->as, ctx);
	if (e < 0)
		log_warn("ptrace: no stub thread: error %d", -e);
	if (ctx->place.tid) {
		pt_current = ctx;
		place_add(&ctx->place);
	}
	free(ctx->fpu);
	ctx->fpu = NULL;
	return e;
}

static bool is_restart_code(long rax)
{
	return rax <= -512 && rax >= -516;
}

/*
 * After a system call usually only rax differs, and setting one word costs
 * half as much as setting all.  orig_rax may then stay what it was: the host
 * looks at it only to restart a call that it thinks returned a restart code.
 */
static bool only_result_differs(const struct pl_ctx *ctx)
{
	struct user_regs_struct hw = ctx->hw;
	long rax = (long)ctx->regs.rax;

	hw.rax = ctx->regs.rax;
	hw.orig_rax = ctx->regs.orig_rax;
	return !is_restart_code(rax) && memcmp(&ctx->regs, &hw, sizeof(hw)) == 0;
}

/* After a lazy stop only rax can have changed. */
static int load_result(struct pl_ctx *ctx)
{
	if (ctx->regs.rax == (unsigned long)-ENOSYS)
		return 0; /* what the host left there */
	return pt_ptrace(PTRACE_POKEUSER, ctx->place.tid, offsetof(struct user_regs_struct, rax),
		(long)ctx->regs.rax);
}

static int load_regs(struct pl_ctx *ctx)
{
	if (likely(ctx->lazy)) {
		if (likely(!is_restart_code((long)ctx->regs.rax)))
			return load_result(ctx);
		pt_complete_regs(ctx);
	}
	if (ctx->hw_valid) {
		if (memcmp(&ctx->regs, &ctx->hw, sizeof(ctx->regs)) == 0)
			return 0;
		if (only_result_differs(ctx))
			return pt_ptrace(PTRACE_POKEUSER, ctx->place.tid,
				offsetof(struct user_regs_struct, rax), (long)ctx->regs.rax);
	}
	return pt_setregs(ctx->place.tid, &ctx->regs);
}

/* Loads the registers and resumes.  -ESRCH if the stub is gone. */
static int resume(struct pl_ctx *ctx)
{
	long req = ctx->step ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SYSEMU;
	int e = load_regs(ctx);

	if (unlikely(e < 0))
		return e;
	ctx->hw_valid = false;
	ctx->lazy = false;
	return pt_ptrace(req, ctx->place.tid, 0, 0);
}

/* What a stop means: true if it is an event, false to go on. */
static bool classify(struct pl_ctx *ctx, int status, struct pl_event *ev)
{
	int sig = WSTOPSIG(status);

	if (likely(sig == (SIGTRAP | 0x80))) {
		pt_event_syscall(ctx, ev);
		return true;
	}
	if (status >> 16) /* PTRACE_EVENT_STOP: someone stopped the stub by a signal */
		return false;
	switch (sig) {
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
		return pt_event_signal(ctx, sig, ev);
	case PT_SIG_INTERRUPT:
		if (!__atomic_exchange_n(&ctx->interrupt, 0, __ATOMIC_SEQ_CST))
			return false;
		ev->kind = PL_INTERRUPT;
		return true;
	default:
		return false; /* sent from outside: not the guest's business */
	}
}

static void report_dead(struct pl_ctx *ctx, struct pl_event *ev)
{
	__atomic_store_n(&ctx->place.in_guest, 0, __ATOMIC_RELEASE);
	ev->kind = PL_DEAD;
	ctx->hw_valid = false;
	ctx->dead = true;
}

/*
 * A 64-bit system call, by one cheap request (all registers cost three times as much, and most
 * calls look at none but these).  False: something else, or an old host.
 */
static bool syscall_stop(struct pl_ctx *ctx, int status, struct pl_event *ev)
{
	struct __ptrace_syscall_info si;
	struct user_regs_struct *r = &ctx->regs;

	if (WSTOPSIG(status) != (SIGTRAP | 0x80) || status >> 16)
		return false;
	if (pt_ptrace(PTRACE_GET_SYSCALL_INFO, ctx->place.tid, sizeof(si), (long)&si) < 0 ||
		si.op != PTRACE_SYSCALL_INFO_ENTRY || si.arch != AUDIT_ARCH_X86_64)
		return false;
	r->orig_rax = si.entry.nr;
	r->rdi = si.entry.args[0];
	r->rsi = si.entry.args[1];
	r->rdx = si.entry.args[2];
	r->r10 = si.entry.args[3];
	r->r8 = si.entry.args[4];
	r->r9 = si.entry.args[5];
	r->rip = si.instruction_pointer;
	r->rsp = si.stack_pointer;
	r->rax = (unsigned long)-ENOSYS;
	ctx->lazy = true;
	ctx->step_trap = ctx->step;
	ev->kind = PL_SYSCALL;
	return true;
}

static void run(struct pl_ctx *ctx, struct pl_event *ev)
{
	int status;

	for (;;) {
		place_enter(&ctx->place);
		if (unlikely(__atomic_load_n(&ctx->interrupt, __ATOMIC_SEQ_CST))) {
			WRITE_ONCE(ctx->place.in_guest, 0);
			__atomic_store_n(&ctx->interrupt, 0, __ATOMIC_SEQ_CST);
			ev->kind = PL_INTERRUPT;
			return;
		}
		/* A failed resume is a death that the wait reports and reaps. */
		resume(ctx);
		if (unlikely(pt_wait(ctx->place.tid, &status) < 0)) {
			ctx->reaped = true;
			report_dead(ctx, ev);
			return;
		}
		__atomic_store_n(&ctx->place.in_guest, 0, __ATOMIC_RELEASE);
		if (likely(syscall_stop(ctx, status, ev))) {
			stat_inc(STAT_CALLS_TRAPPED);
			return;
		}
		if (pt_ptrace(PTRACE_GETREGS, ctx->place.tid, 0, (long)&ctx->hw) < 0)
			continue; /* killed meanwhile: the next wait tells */
		ctx->regs = ctx->hw;
		ctx->hw_valid = true;
		if (classify(ctx, status, ev))
			return;
	}
}

void pt_ctx_run(struct pl_ctx *ctx, struct pl_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	if (unlikely(ctx->dead) || (unlikely(!ctx->place.tid) && bind(ctx) < 0)) {
		report_dead(ctx, ev);
		return;
	}
	BUG_ON(ctx->place.owner != own_tid());
	if (unlikely(ctx->step_trap)) {
		/* SYSEMU leaves out the trap that follows a stepped system call. */
		ctx->step_trap = false;
		ev->kind = PL_EXCEPTION;
		ev->signo = SIGTRAP;
		ev->code = TRAP_TRACE;
		ev->addr = ctx->regs.rip;
		ev->trapno = 1;
		return;
	}
	run(ctx, ev);
}
