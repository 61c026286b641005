/*
 * Contexts: a context has a stub thread from its first run until it ends or
 * changes its address space.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "platform/systrap/systrap_priv.h"
#include "platform/xstate.h"

int st_ctx_create(struct pl_as *as, struct pl_ctx **out)
{
	struct pl_ctx *ctx = calloc(1, sizeof(*ctx));

	if (!ctx)
		return -ENOMEM;
	stub_ctx_init(&ctx->base, as);
	list_init(&ctx->as_link);
	*out = ctx;
	return 0;
}

static void unbind(struct pl_ctx *ctx)
{
	if (ctx->thread) {
		BUG_ON(ctx->base.place.owner != stub_own_tid());
		if (ctx->base.lazy)
			frame_load(ctx);
		st_wait_stop();
		place_del(&ctx->base.place);
		st_as_unbind(ctx->base.as, ctx);
	}
	ctx->base.dead = false;
}

void st_ctx_destroy(struct pl_ctx *ctx)
{
	unbind(ctx);
	stub_ctx_drop_fpu(&ctx->base);
	free(ctx);
}

int st_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as)
{
	unbind(ctx);
	stub_ctx_move(&ctx->base, as);
	ctx->has_ident = false;
	return 0;
}

struct user_regs_struct *st_ctx_regs(struct pl_ctx *ctx)
{
	if (unlikely(ctx->base.lazy) && ctx->base.place.owner == stub_own_tid())
		frame_load(ctx);
	return &ctx->base.regs;
}

/* --- floating point state --- */

/* Makes the thread, which waits in a patched call, wait in a signal frame instead. */
static bool make_frame(struct pl_ctx *ctx)
{
	if (!ctx->call)
		return true;
	if (ctx->base.lazy)
		frame_load(ctx);
	if (!st_wait_turn(ctx, CMD_SAVE)) {
		ctx->base.dead = true;
		return false;
	}
	ctx->call = false;
	/* The frame is of our own code: all registers are to be set from ctx->base.regs. */
	return true;
}

/* The lines of the area travel to another CPU: as few as it takes. */
static void load_fpu(struct pl_ctx *ctx, const void *buf)
{
	void *area = frame_xstate(ctx);
	uint8_t init[XSTATE_FX_SIZE + XSTATE_HDR_SIZE];

	if (!area)
		return; /* the guest's own doing */
	if (!buf) {
		xstate_make_reset(init);
		buf = init;
	}
	xstate_load(area, buf);
}

size_t st_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n)
{
	uint8_t tmp[xstate_size] __attribute__((aligned(64)));
	const void *area = ctx->base.fpu;

	if (!area && ctx->thread && !ctx->base.dead && make_frame(ctx))
		area = frame_xstate(ctx);
	xstate_make_initial(tmp);
	if (area)
		xstate_merge(tmp, area);
	memcpy(buf, tmp, MIN(n, xstate_size));
	return xstate_size;
}

int st_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n)
{
	uint8_t area[xstate_size] __attribute__((aligned(64)));
	int e = xstate_compose(area, buf, n);

	if (e < 0)
		return e;
	if (ctx->thread) {
		if (!ctx->base.dead && make_frame(ctx))
			load_fpu(ctx, area);
		return 0;
	}
	return stub_ctx_keep_fpu(&ctx->base, area);
}

/* --- identity --- */

/* Where the stub thread looks its identity up; NULL: it has no place. */
static struct ident *ident_of(const struct pl_ctx *ctx)
{
	unsigned int i = ctx->thread->index;

	return i < IDENT_MAX ? &ctx->base.as->stub->mem->ident[i] : NULL;
}

/* The thread waits: nothing of this is read at the same time. */
static void show_ident(struct pl_ctx *ctx)
{
	struct ident *to = ident_of(ctx);
	const struct pl_ident *id = &ctx->ident;

	if (!to)
		return;
	__atomic_store_n(&to->valid, 0, __ATOMIC_SEQ_CST);
	if (!ctx->has_ident)
		return;
	to->pid = id->pid;
	to->tid = id->tid;
	to->uid = id->uid;
	to->euid = id->euid;
	to->gid = id->gid;
	to->egid = id->egid;
	__atomic_store_n(&to->valid, 1, __ATOMIC_RELEASE);
}

void st_ctx_set_ident(struct pl_ctx *ctx, const struct pl_ident *id)
{
	ctx->has_ident = id;
	if (id)
		ctx->ident = *id;
	if (ctx->thread)
		show_ident(ctx);
}

/* --- running --- */

static int bind(struct pl_ctx *ctx)
{
	int e;

	stub_ctx_settle(&ctx->base);
	e = st_as_bind(ctx->base.as, ctx);
	if (e < 0) {
		log_warn("systrap: no stub thread: error %d", -e);
		return e;
	}
	place_add(&ctx->base.place);
	ctx->mem->spin = 0;
	ctx->cmd = ctx->mem->cmd;
	ctx->call = ctx->mem->kind == KIND_CALL;
	ctx->base.lazy = false;
	show_ident(ctx);
	st_wait_start(ctx);
	if (!make_frame(ctx))
		return -ESRCH;
	load_fpu(ctx, ctx->base.fpu);
	stub_ctx_drop_fpu(&ctx->base);
	/* What the thread has is another context's, or nothing. */
	memset(&ctx->base.hw, 0xff, sizeof(ctx->base.hw));
	return 0;
}

/*
 * Has the thread wait in a signal frame, if that is the way back (a patched call can return by
 * itself if only its result is new); false: it is dead.  Not while
 * in_guest is set: the thread would only note an interrupt that came before it has blocked
 * them, and looks at its notes on the other way.
 */
static bool choose_way(struct pl_ctx *ctx)
{
	if (likely(!ctx->call) ||
		(!ctx->base.step && (ctx->base.lazy || stub_ctx_only_result_differs(&ctx->base))))
		return true;
	return make_frame(ctx);
}

/* Lets the guest go on until the next event; false: it is dead. */
static bool resume(struct pl_ctx *ctx)
{
	uint32_t cmd = CMD_RETURN;

	if (ctx->call)
		ctx->mem->rax = ctx->base.regs.rax;
	else if (frame_store(ctx, &cmd) < 0)
		return false;
	return st_wait_turn(ctx, cmd);
}

/* A patched call, by the slot's first line. */
static void patched_call(struct pl_ctx *ctx, struct pl_event *ev)
{
	struct user_regs_struct *r = &ctx->base.regs;
	const struct slot_mem *m = ctx->mem;

	r->orig_rax = m->rax;
	r->rdi = m->rdi;
	r->rsi = m->rsi;
	r->rdx = m->rdx;
	r->r10 = m->r10;
	r->r8 = m->r8;
	r->r9 = m->r9;
	r->rax = (uint64_t)-ENOSYS;
	ctx->base.lazy = true;
	ctx->call = true;
	ev->kind = PL_SYSCALL;
	stat_inc(STAT_CALLS_PATCHED);
}

/*
 * The thread, on its way back from a patched call, has seen a note of an interrupt: as if it had
 * arrived where it goes.  What calls preserve is in the frame, and in the slot only if the call
 * was handed over: identities are not.
 */
static void interrupted_call(struct pl_ctx *ctx, const struct frame *f, struct pl_event *ev)
{
	struct user_regs_struct *r = &ctx->base.regs;

	ctx->call = true;
	ctx->base.lazy = false;
	frame_load(ctx);
	r->rax = ctx->mem->rax;
	r->rbp = f->rbp;
	r->r12 = f->r12;
	r->r13 = f->r13;
	r->r14 = f->r14;
	r->r15 = f->r15;
	ctx->call = false;
	memset(&ctx->base.hw, 0xff, sizeof(ctx->base.hw));
	__atomic_store_n(&ctx->base.interrupt, 0, __ATOMIC_SEQ_CST);
	ev->kind = PL_INTERRUPT;
}

/* True if it is an event, false to go on. */
static bool classify(struct pl_ctx *ctx, struct pl_event *ev)
{
	const struct frame *f;

	if (READ_ONCE(ctx->mem->kind) == KIND_CALL) {
		patched_call(ctx, ev);
		return true;
	}
	f = frame_of(ctx);
	if (f && f->rip == st_code_addr(systrap_intr_end) && ctx->mem->signo == SIGSYS) {
		interrupted_call(ctx, f, ev);
		return true;
	}
	ctx->call = false;
	if (!frame_event(ctx, ev))
		return false;
	if (ev->kind == PL_SYSCALL)
		stat_inc(STAT_CALLS_TRAPPED);
	return true;
}

static void report_dead(struct pl_ctx *ctx, struct pl_event *ev)
{
	stub_ctx_report_dead(&ctx->base, ev);
	ctx->base.lazy = false;
}

static void run(struct pl_ctx *ctx, struct pl_event *ev)
{
	for (;;) {
		if (unlikely(!choose_way(ctx))) {
			report_dead(ctx, ev);
			return;
		}
		if (unlikely(!stub_ctx_enter(&ctx->base, ev)))
			return;
		if (unlikely(__atomic_load_n(&ctx->base.as->hold, __ATOMIC_SEQ_CST))) {
			stub_ctx_leave(&ctx->base);
			st_held(ctx->base.as);
			continue;
		}
		if (unlikely(!resume(ctx))) {
			report_dead(ctx, ev);
			return;
		}
		stub_ctx_leave(&ctx->base);
		if (likely(classify(ctx, ev)))
			return;
	}
}

void st_ctx_run(struct pl_ctx *ctx, struct pl_event *ev)
{
	memset(ev, 0, sizeof(*ev));
	if (unlikely(ctx->base.dead) || (unlikely(!ctx->thread) && bind(ctx) < 0)) {
		report_dead(ctx, ev);
		return;
	}
	BUG_ON(ctx->base.place.owner != stub_own_tid());
	if (unlikely(ctx->base.step_trap)) {
		stub_ctx_report_step(&ctx->base, st_ctx_regs(ctx)->rip, ev);
		return;
	}
	run(ctx, ev);
}
