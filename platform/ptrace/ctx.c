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
int pt_ctx_create(struct pl_as *as, struct pl_ctx **out)
{
	struct pl_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	stub_ctx_init(&ctx->base, as);
	*out = ctx;
	return 0;
}

static void unbind(struct pl_ctx *ctx)
{
	ctx->base.dead = false;
	if (!ctx->base.place.tid)
		return;
	BUG_ON(ctx->base.place.owner != stub_own_tid());
	pt_complete_regs(ctx);
	place_del(&ctx->base.place);
	pt_as_unbind(ctx->base.as, ctx);
	ctx->hw_valid = false;
	ctx->reaped = false;
	if (pt_current == ctx)
		pt_current = NULL;
}

void pt_ctx_destroy(struct pl_ctx *ctx)
{
	unbind(ctx);
	stub_ctx_drop_fpu(&ctx->base);
	free(ctx);
}

int pt_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as)
{
	unbind(ctx);
	stub_ctx_move(&ctx->base, as);
	return 0;
}

struct user_regs_struct *pt_ctx_regs(struct pl_ctx *ctx)
{
	if (unlikely(ctx->base.lazy) && ctx->base.place.owner == stub_own_tid())
		pt_complete_regs(ctx);
	return &ctx->base.regs;
}

void pt_complete_regs(struct pl_ctx *ctx)
{
	unsigned long rax = ctx->base.regs.rax;

	if (!ctx->base.lazy)
		return;
	ctx->base.lazy = false;
	if (pt_ptrace(PTRACE_GETREGS, ctx->base.place.tid, 0, (long)&ctx->base.hw) < 0)
		return; /* killed: the next run tells */
	ctx->hw_valid = true;
	ctx->base.regs = ctx->base.hw;
	ctx->base.regs.rax = rax;
}

static int bind(struct pl_ctx *ctx)
{
	int e;

	stub_ctx_settle(&ctx->base);
	e = pt_as_bind(ctx->base.as, ctx);
	if (e < 0)
		log_warn("ptrace: no stub thread: error %d", -e);
	if (ctx->base.place.tid) {
		pt_current = ctx;
		place_add(&ctx->base.place);
	}
	stub_ctx_drop_fpu(&ctx->base);
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
	return !is_restart_code((long)ctx->base.regs.rax) &&
	       stub_ctx_only_result_differs(&ctx->base);
}

/* After a lazy stop only rax can have changed. */
static int load_result(struct pl_ctx *ctx)
{
	if (ctx->base.regs.rax == (unsigned long)-ENOSYS)
		return 0; /* what the host left there */
	return pt_ptrace(PTRACE_POKEUSER, ctx->base.place.tid,
		offsetof(struct user_regs_struct, rax), (long)ctx->base.regs.rax);
}

static int load_regs(struct pl_ctx *ctx)
{
	if (likely(ctx->base.lazy)) {
		if (likely(!is_restart_code((long)ctx->base.regs.rax)))
			return load_result(ctx);
		pt_complete_regs(ctx);
	}
	if (ctx->hw_valid) {
		if (memcmp(&ctx->base.regs, &ctx->base.hw, sizeof(ctx->base.regs)) == 0)
			return 0;
		if (only_result_differs(ctx))
			return pt_ptrace(PTRACE_POKEUSER, ctx->base.place.tid,
				offsetof(struct user_regs_struct, rax), (long)ctx->base.regs.rax);
	}
	return pt_setregs(ctx->base.place.tid, &ctx->base.regs);
}

/* Loads the registers and resumes.  -ESRCH if the stub is gone. */
static int resume(struct pl_ctx *ctx)
{
	long req = ctx->base.step ? PTRACE_SYSEMU_SINGLESTEP : PTRACE_SYSEMU;
	int e = load_regs(ctx);

	if (unlikely(e < 0))
		return e;
	ctx->hw_valid = false;
	ctx->base.lazy = false;
	return pt_ptrace(req, ctx->base.place.tid, 0, 0);
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
	case STUB_SIG_INTERRUPT:
		if (!__atomic_exchange_n(&ctx->base.interrupt, 0, __ATOMIC_SEQ_CST))
			return false;
		ev->kind = PL_INTERRUPT;
		return true;
	default:
		return false; /* sent from outside: not the guest's business */
	}
}

static void report_dead(struct pl_ctx *ctx, struct pl_event *ev)
{
	stub_ctx_report_dead(&ctx->base, ev);
	ctx->hw_valid = false;
}

/*
 * A 64-bit system call, by one cheap request (all registers cost three times as much, and most
 * calls look at none but these).  False: something else, or an old host.
 */
static bool syscall_stop(struct pl_ctx *ctx, int status, struct pl_event *ev)
{
	struct __ptrace_syscall_info si;
	struct user_regs_struct *r = &ctx->base.regs;

	if (WSTOPSIG(status) != (SIGTRAP | 0x80) || status >> 16)
		return false;
	if (pt_ptrace(PTRACE_GET_SYSCALL_INFO, ctx->base.place.tid, sizeof(si), (long)&si) < 0 ||
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
	ctx->base.lazy = true;
	ctx->base.step_trap = ctx->base.step;
	ev->kind = PL_SYSCALL;
	return true;
}

static void run(struct pl_ctx *ctx, struct pl_event *ev)
{
	int status;

	for (;;) {
		if (unlikely(!stub_ctx_enter(&ctx->base, ev)))
			return;
		/* A failed resume is a death that the wait reports and reaps. */
		resume(ctx);
		if (unlikely(pt_wait(ctx->base.place.tid, &status) < 0)) {
			ctx->reaped = true;
			report_dead(ctx, ev);
			return;
		}
		stub_ctx_leave(&ctx->base);
		if (likely(syscall_stop(ctx, status, ev))) {
			stat_inc(STAT_CALLS_TRAPPED);
			return;
		}
		if (pt_ptrace(PTRACE_GETREGS, ctx->base.place.tid, 0, (long)&ctx->base.hw) < 0)
			continue; /* killed meanwhile: the next wait tells */
		ctx->base.regs = ctx->base.hw;
		ctx->hw_valid = true;
		if (classify(ctx, status, ev))
			return;
	}
}

void pt_ctx_run(struct pl_ctx *ctx, struct pl_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	if (unlikely(ctx->base.dead) || (unlikely(!ctx->base.place.tid) && bind(ctx) < 0)) {
		report_dead(ctx, ev);
		return;
	}
	BUG_ON(ctx->base.place.owner != stub_own_tid());
	if (unlikely(ctx->base.step_trap)) {
		stub_ctx_report_step(&ctx->base, ctx->base.regs.rip, ev);
		return;
	}
	run(ctx, ev);
}
