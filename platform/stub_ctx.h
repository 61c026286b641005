/*
 * What contexts are on platforms whose guests run in stub processes: a thread there, from the
 * first run until the context ends or changes its address space, and a thread of the sentry, its
 * owner, which alone touches what is here but for interrupts.
 *
 * struct stub_ctx is the first member of the platform's struct pl_ctx: the functions that take one
 * are operations of its pl_ops as they are.
 */
#ifndef PLATFORM_STUB_CTX_H
#define PLATFORM_STUB_CTX_H

#include <string.h>

#include "lib/hostcall.h"
#include "lib/lock.h"
#include "platform/place.h"
#include "platform/platform.h"
#include "platform/stub_signal.h"

struct stub_ctx {
	struct user_regs_struct regs; /* what the sentry sees */
	struct user_regs_struct hw;   /* what the thread has, or had at the event */
	/* At a system call only number, arguments and rax are sure to be in regs; the platform
	 * fetches the rest when somebody looks. */
	bool lazy;
	bool dead;            /* the stub was killed */
	bool step, step_trap; /* a stepped system call: report the trap next */
	struct pl_as *as;
	struct mutex lock;  /* leaf: tgid and place.tid against stub_ctx_interrupt */
	struct place place; /* .tid: the stub thread; .owner: the sentry's */
	int tgid;
	uint32_t interrupt; /* atomic, as place.in_guest */
	void *fpu;          /* state to load before the first run, or NULL: the initial one */
};

/* The calling thread's id. */
extern __thread int stub_self_tid;
static inline int stub_own_tid(void)
{
	if (unlikely(!stub_self_tid))
		stub_self_tid = host_gettid();
	return stub_self_tid;
}

/* All else is zero. */
void stub_ctx_init(struct stub_ctx *c, struct pl_as *as);
/* It has no thread any more, and is going to another address space. */
void stub_ctx_move(struct stub_ctx *c, struct pl_as *as);
/* The calling thread is its owner from now on, and stays on one CPU. */
void stub_ctx_settle(struct stub_ctx *c);
/* It has got a stub thread, or is going to lose it. */
void stub_ctx_attach(struct stub_ctx *c, int tgid, int tid);
void stub_ctx_detach(struct stub_ctx *c);
/* The state for its first run, in the standard format: keeps a copy, or none any more. */
int stub_ctx_keep_fpu(struct stub_ctx *c, const void *area);
void stub_ctx_drop_fpu(struct stub_ctx *c);

void stub_ctx_interrupt(struct pl_ctx *ctx);
void stub_ctx_set_step(struct pl_ctx *ctx, bool on);
int stub_ctx_cpu(struct pl_ctx *ctx);

/* The guest may go on; false: it was interrupted before, which is the event. */
static inline bool stub_ctx_enter(struct stub_ctx *c, struct pl_event *ev)
{
	place_enter(&c->place);
	if (likely(!__atomic_load_n(&c->interrupt, __ATOMIC_SEQ_CST)))
		return true;
	WRITE_ONCE(c->place.in_guest, 0);
	__atomic_store_n(&c->interrupt, 0, __ATOMIC_SEQ_CST);
	ev->kind = PL_INTERRUPT;
	return false;
}
static inline void stub_ctx_leave(struct stub_ctx *c)
{
	__atomic_store_n(&c->place.in_guest, 0, __ATOMIC_RELEASE);
}

/* Events that no stop stands for. */
void stub_ctx_report_dead(struct stub_ctx *c, struct pl_event *ev);
void stub_ctx_report_step(struct stub_ctx *c, uint64_t rip, struct pl_event *ev);

/* Are the registers what the thread has, but for the result of a system call? */
static inline bool stub_ctx_only_result_differs(const struct stub_ctx *c)
{
	struct user_regs_struct hw = c->hw;

	hw.rax = c->regs.rax;
	hw.orig_rax = c->regs.orig_rax;
	return memcmp(&c->regs, &hw, sizeof(hw)) == 0;
}

#endif
