/*
 * Signal frames (struct rt_sigframe of Linux on x86-64, arch/x86/include/asm/
 * sigframe.h) and the registers of patched calls, to and from user_regs_struct.
 *
 * Frames lie in memory that the guest can write.  What is read decides only
 * about the guest itself; where a frame lies is checked before it is used.  What is looked at
 * and then used is read once: the guest may be running.
 */
#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>

#include "lib/abi/signal.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"

#define EFLAGS_TF 0x100u
#define EFLAGS_RF 0x10000u
#define PF_WRITE 2
#define PF_INSTR 16
#define TRAP_DB 1
#define TRAP_GP 13
#define TRAP_PF 14
#define USER_CS 0x33
#define USER_DS 0x2b

/* While a guest runs, what is not its own doing or ours stays blocked: it comes from outside. */
#define BIT(sig) (1ull << ((sig)-1))
#define GUEST_MASK                                                                                 \
	(~(BIT(SIGSYS) | BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) |   \
		BIT(STUB_SIG_INTERRUPT)))

_Static_assert(offsetof(struct frame, sigmask) == 296, "struct frame is not the host's");
_Static_assert(offsetof(struct frame, info_addr) == 320, "struct frame is not the host's");

static uint64_t slot_addr(const struct pl_ctx *ctx)
{
	return ST_SLOTS + (uint64_t)ctx->thread->index * SLOT_SIZE;
}

/* Where [addr, addr + len) of the guest's slot is for us; NULL if it is not all in there. */
static void *in_slot(const struct pl_ctx *ctx, uint64_t addr, size_t len)
{
	uint64_t off = addr - slot_addr(ctx);

	if (addr & 7 || off < SLOT_SIGSTACK || off > SLOT_SIZE - len)
		return NULL;
	return (char *)ctx->mem + off;
}

struct frame *frame_of(struct pl_ctx *ctx)
{
	return in_slot(ctx, READ_ONCE(ctx->mem->uc), sizeof(struct frame));
}

void *frame_xstate(struct pl_ctx *ctx)
{
	struct frame *f = frame_of(ctx);

	return f ? in_slot(ctx, READ_ONCE(f->fpstate), xstate_size) : NULL;
}

static void load_bases(struct pl_ctx *ctx)
{
	uint64_t gs;

	if (!st_fsgsbase) /* what the sentry has set */
		return;
	gs = READ_ONCE(ctx->mem->gs);
	ctx->base.regs.fs_base = ctx->mem->fs;
	/* The guest never set one: it is ours. */
	ctx->base.regs.gs_base = ctx->call || gs == slot_addr(ctx) ? 0 : gs;
}

static void load_frame(struct pl_ctx *ctx, const struct frame *f)
{
	struct user_regs_struct *r = &ctx->base.regs;
	uint64_t rip = READ_ONCE(f->rip);

	r->r15 = f->r15;
	r->r14 = f->r14;
	r->r13 = f->r13;
	r->r12 = f->r12;
	r->rbp = f->rbp;
	r->rbx = f->rbx;
	r->r11 = f->r11;
	r->r10 = f->r10;
	r->r9 = f->r9;
	r->r8 = f->r8;
	r->rax = f->rax;
	r->rcx = f->rcx;
	r->rdx = f->rdx;
	r->rsi = f->rsi;
	r->rdi = f->rdi;
	r->rip = patch_to_guest(ctx->base.as, rip);
	if (unlikely(r->rip != rip) && r->rcx == rip)
		r->rcx = r->rip;
	r->rsp = f->rsp;
	r->eflags = f->eflags;
	r->cs = f->cs;
	r->ss = f->ss;
	if (ctx->base.step && r->r11 == r->eflags)
		r->r11 &= ~(uint64_t)EFLAGS_TF;
	if (ctx->base.step)
		r->eflags &= ~(uint64_t)EFLAGS_TF;
}

static void load_call(struct pl_ctx *ctx)
{
	struct user_regs_struct *r = &ctx->base.regs;
	const struct slot_mem *m = ctx->mem;

	r->r15 = m->r15;
	r->r14 = m->r14;
	r->r13 = m->r13;
	r->r12 = m->r12;
	r->rbp = m->rbp;
	r->rbx = m->rbx;
	r->r11 = r->eflags = m->flags;
	r->r10 = m->r10;
	r->r9 = m->r9;
	r->r8 = m->r8;
	r->rdx = m->rdx;
	r->rsi = m->rsi;
	r->rdi = m->rdi;
	r->rcx = r->rip = patch_to_guest(ctx->base.as, m->rip);
	r->rsp = m->rsp;
	r->cs = USER_CS;
	r->ss = USER_DS;
}

void frame_load(struct pl_ctx *ctx)
{
	uint64_t rax = ctx->base.regs.rax;
	struct frame *f;

	if (ctx->call) {
		load_call(ctx);
	} else {
		f = frame_of(ctx);
		if (f)
			load_frame(ctx, f);
	}
	load_bases(ctx);
	if (ctx->base.lazy) /* it is the caller's already */
		ctx->base.regs.rax = rax;
	ctx->base.hw = ctx->base.regs;
	ctx->base.lazy = false;
}

/* --- what happened --- */

static void exception(struct pl_event *ev, int signo, int code, uint64_t addr, uint32_t trapno,
	uint32_t err)
{
	ev->kind = PL_EXCEPTION;
	ev->signo = signo;
	ev->code = code;
	ev->addr = addr;
	ev->trapno = trapno;
	ev->errcode = err;
}

/* Planning a patch costs as much as that many traps. */
unsigned int st_hot_calls = 40;

#define RETRY_CALLS 4096 /* then what was in the way may have gone: threads that did not stop */

/* Counts the calls from one place; says that they are many, and now and then again. */
static void note_site(struct pl_ctx *ctx, uint64_t site, struct pl_event *ev)
{
	struct hot *h = &ctx->base.as->hot[(site ^ site >> 7) % HOT_SITES];

	if (h->rip != site) {
		h->rip = site;
		h->count = 0;
	}
	if (++h->count < st_hot_calls || (h->count - st_hot_calls) % RETRY_CALLS ||
		site >= ST_SLOTS)
		return;
	ev->hot = systrap_platform.as_patch != NULL;
	ev->site = site;
}

static void trapped_call(struct pl_ctx *ctx, const struct frame *f, struct pl_event *ev)
{
	struct user_regs_struct *r = &ctx->base.regs;

	r->orig_rax = f->rax;
	r->rdi = f->rdi;
	r->rsi = f->rsi;
	r->rdx = f->rdx;
	r->r10 = f->r10;
	r->r8 = f->r8;
	r->r9 = f->r9;
	r->rax = (uint64_t)-ENOSYS;
	ctx->base.lazy = true;
	ctx->base.step_trap = ctx->base.step;
	ev->kind = PL_SYSCALL;
}

/*
 * A system call, or what looks like one.  Calls by another ABI (int $0x80, 32-bit code) are
 * what they are to a kernel without IA32 emulation: #GP at the instruction.
 */
static bool call_event(struct pl_ctx *ctx, const struct frame *f, struct pl_event *ev)
{
	struct user_regs_struct *r = &ctx->base.regs;

	if (f->info_code != ABI_SYS_SECCOMP)
		return false;
	if (f->info_arch != AUDIT_ARCH_X86_64 || f->cs != USER_CS) {
		frame_load(ctx);
		r->rip -= 2;
		r->orig_rax = (uint64_t)-1;
		exception(ev, SIGSEGV, SI_KERNEL, 0, TRAP_GP, 0x80 * 8 + 2);
		return true;
	}
	trapped_call(ctx, f, ev);
	note_site(ctx, READ_ONCE(f->rip) - 2, ev);
	return true;
}

/*
 * The fault of a trampoline's check: the guest has a GS base of its own.  As if it had made the
 * call there.  If the base is one that it got by loading the selector, it loses it.
 */
static bool failed_check(struct pl_ctx *ctx, struct frame *f, struct pl_event *ev)
{
	uint64_t at = patch_failed_check(ctx->base.as, READ_ONCE(f->rip));

	if (likely(!at))
		return false;
	f->eflags &= ~(uint64_t)EFLAGS_RF;
	f->rip = f->rcx = at;
	f->r11 = f->eflags;
	trapped_call(ctx, f, ev);
	if (!ctx->base.regs.gs_base) {
		frame_load(ctx);
		ctx->base.hw.gs_base = UINT64_MAX;
	}
	return true;
}

static void fault_event(const struct frame *f, int code, struct pl_event *ev)
{
	uint32_t err = (uint32_t)READ_ONCE(f->err);

	ev->kind = PL_FAULT;
	ev->signo = SIGSEGV;
	ev->code = code;
	ev->addr = f->cr2;
	ev->trapno = TRAP_PF;
	ev->errcode = err;
	ev->access = err & PF_INSTR ? PL_EXEC : err & PF_WRITE ? PL_WRITE : PL_READ;
}

bool frame_event(struct pl_ctx *ctx, struct pl_event *ev)
{
	struct frame *f = frame_of(ctx);
	int signo, code;

	if (!f)
		return false;
	signo = (int)READ_ONCE(ctx->mem->signo);
	code = READ_ONCE(f->info_code);
	ctx->base.lazy = false;
	ctx->base.regs.orig_rax = (uint64_t)-1;
	switch (signo) {
	case SIGSYS:
		return call_event(ctx, f, ev);
	case STUB_SIG_INTERRUPT:
		frame_load(ctx);
		if (!__atomic_exchange_n(&ctx->base.interrupt, 0, __ATOMIC_SEQ_CST))
			return false;
		ev->kind = PL_INTERRUPT;
		return true;
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGTRAP:
		if (signo == SIGSEGV && code > 0 && failed_check(ctx, f, ev))
			return true;
		frame_load(ctx);
		if (code <= 0) /* sent by someone: a fault has a positive code */
			return false;
		if (signo == SIGSEGV && f->trapno == TRAP_PF) {
			fault_event(f, code, ev);
			return true;
		}
		exception(ev, signo, code, f->info_addr, (uint32_t)f->trapno, (uint32_t)f->err);
		return true;
	default:
		return false;
	}
}

/* --- back --- */

int frame_store(struct pl_ctx *ctx, uint32_t *cmd)
{
	const struct user_regs_struct *r = &ctx->base.regs;
	struct frame *f = frame_of(ctx);

	if (!f)
		return -ESRCH;
	if (ctx->base.lazy) {
		/* After a call only rax can differ; and its site may have been patched. */
		f->rax = r->rax;
		f->rip = patch_from_guest(ctx->base.as, patch_to_guest(ctx->base.as, f->rip));
		if (ctx->base.step)
			f->eflags |= EFLAGS_TF;
		return 0;
	}
	f->r15 = r->r15;
	f->r14 = r->r14;
	f->r13 = r->r13;
	f->r12 = r->r12;
	f->rbp = r->rbp;
	f->rbx = r->rbx;
	f->r11 = r->r11;
	f->r10 = r->r10;
	f->r9 = r->r9;
	f->r8 = r->r8;
	f->rax = r->rax;
	f->rcx = r->rcx;
	f->rdx = r->rdx;
	f->rsi = r->rsi;
	f->rdi = r->rdi;
	f->rip = patch_from_guest(ctx->base.as, r->rip);
	f->rsp = r->rsp;
	f->eflags = ctx->base.step ? r->eflags | EFLAGS_TF : r->eflags;
	f->cs = r->cs == 0x23 ? 0x23 : USER_CS;
	f->ss = (r->ss & 3) == 3 ? (uint16_t)r->ss : USER_DS;
	f->sigmask = GUEST_MASK;
	if (r->fs_base != ctx->base.hw.fs_base) {
		ctx->mem->new_fs = r->fs_base;
		*cmd |= CMD_SET_FS;
	}
	if (r->gs_base != ctx->base.hw.gs_base ||
		(st_fsgsbase && !r->gs_base && ctx->mem->gs != slot_addr(ctx))) {
		ctx->mem->new_gs = r->gs_base ? r->gs_base : slot_addr(ctx);
		*cmd |= CMD_SET_GS;
	}
	return 0;
}
