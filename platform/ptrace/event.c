/*
 * From host stops to platform events.
 *
 * ptrace does not tell the page fault's error code, so the kind of access is
 * worked out from the instruction (platform/insn.c).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>

#include "platform/insn.h"
#include "platform/ptrace/ptrace_priv.h"

#define PF_PROT 1
#define PF_WRITE 2
#define PF_USER 4
#define PF_INSTR 16

enum {
	TRAP_DE = 0,
	TRAP_DB = 1,
	TRAP_BP = 3,
	TRAP_OF = 4,
	TRAP_BR = 5,
	TRAP_UD = 6,
	TRAP_SS = 12,
	TRAP_GP = 13,
	TRAP_PF = 14,
	TRAP_AC = 17,
	TRAP_XF = 19,
};

static void page_fault(struct pl_ctx *ctx, int code, struct pl_event *ev)
{
	uint8_t insn[16];
	/* Two words: enough for opcode and ModRM; each word costs a host call. */
	size_t n = pt_peek(ctx->base.place.tid, ctx->base.regs.rip, insn,
		16 - (ctx->base.regs.rip & 7));

	ev->trapno = TRAP_PF;
	ev->access = insn_fault_access(insn, MIN(n, (size_t)INSN_MAX), &ctx->base.regs, ev->addr);
	ev->errcode = PF_USER;
	if (code == SEGV_ACCERR)
		ev->errcode |= PF_PROT;
	if (ev->access & PL_WRITE)
		ev->errcode |= PF_WRITE;
	if (ev->access & PL_EXEC)
		ev->errcode |= PF_INSTR;
}

static uint32_t vector_of(int signo, int code)
{
	switch (signo) {
	case SIGSEGV:
		return code == SEGV_BNDERR ? TRAP_BR : TRAP_GP;
	case SIGBUS:
		return code == BUS_ADRALN ? TRAP_AC : code == SI_KERNEL ? TRAP_SS : TRAP_PF;
	case SIGFPE:
		return code == FPE_INTDIV ? TRAP_DE : code == FPE_INTOVF ? TRAP_OF : TRAP_XF;
	case SIGTRAP:
		return code == SI_KERNEL ? TRAP_BP : TRAP_DB;
	default:
		return TRAP_UD;
	}
}

bool pt_event_signal(struct pl_ctx *ctx, int signo, struct pl_event *ev)
{
	siginfo_t si;

	if (pt_ptrace(PTRACE_GETSIGINFO, ctx->base.place.tid, 0, (long)&si) < 0)
		return false;
	if (si.si_code <= 0) /* sent by someone: a fault has a positive code */
		return false;
	ev->signo = signo;
	ev->code = si.si_code;
	ev->addr = (uint64_t)si.si_addr;
	if (signo == SIGSEGV && (si.si_code == SEGV_MAPERR || si.si_code == SEGV_ACCERR)) {
		ev->kind = PL_FAULT;
		page_fault(ctx, si.si_code, ev);
		return true;
	}
	ev->kind = PL_EXCEPTION;
	ev->trapno = vector_of(signo, si.si_code);
	if (signo == SIGBUS && ev->trapno == TRAP_PF)
		ev->errcode = PF_USER;
	return true;
}

/*
 * SYSEMU also stops at int $0x80 and at system calls of 32-bit code (a far
 * jump gets there): a kernel without IA32 emulation kills by SIGSEGV, and no
 * 32-bit number may ever be taken for a 64-bit one.  SYSCALL leaves its return
 * address in rcx and the flags in r11; where that does not hold, the bytes
 * tell.  A guest that fakes it gets an ordinary 64-bit call.
 */
static bool is_syscall_insn(struct pl_ctx *ctx)
{
	const struct user_regs_struct *r = &ctx->base.regs;
	uint8_t insn[2];

	if (unlikely(r->cs != 0x33))
		return false;
	if (likely(r->rcx == r->rip && r->r11 == r->eflags))
		return true;
	return pt_peek(ctx->base.place.tid, r->rip - 2, insn, 2) == 2 && insn[0] == 0x0f &&
	       insn[1] == 0x05;
}

void pt_event_syscall(struct pl_ctx *ctx, struct pl_event *ev)
{
	struct user_regs_struct *r = &ctx->base.regs;

	if (likely(is_syscall_insn(ctx))) {
		ev->kind = PL_SYSCALL;
		r->rax = (unsigned long)-ENOSYS;
		r->rcx = r->rip;
		r->r11 = r->eflags;
		ctx->base.step_trap = ctx->base.step;
		return;
	}
	/* As for any software interrupt without a gate: #GP at the instruction. */
	if (r->cs == 0x33)
		r->rip -= 2;
	r->rax = r->orig_rax;
	r->orig_rax = (unsigned long)-1;
	ev->kind = PL_EXCEPTION;
	ev->signo = SIGSEGV;
	ev->code = SI_KERNEL;
	ev->trapno = TRAP_GP;
	ev->errcode = 0x80 * 8 + 2; /* the interrupt descriptor table's entry */
}
