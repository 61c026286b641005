/* Contexts that are threads of stub processes: see stub_ctx.h. */
#include "platform/stub_ctx.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "platform/xstate.h"

#define TRAP_DB 1

__thread int stub_self_tid;

void stub_ctx_init(struct stub_ctx *c, struct pl_as *as)
{
	mutex_init(&c->lock, LOCK_NONE);
	list_init(&c->place.link);
	c->as = as;
}

void stub_ctx_move(struct stub_ctx *c, struct pl_as *as)
{
	stub_ctx_drop_fpu(c);
	c->as = as;
	c->step_trap = false;
}

void stub_ctx_settle(struct stub_ctx *c)
{
	c->place.owner = stub_own_tid();
	WRITE_ONCE(c->place.cpu, place_self());
}

void stub_ctx_attach(struct stub_ctx *c, int tgid, int tid)
{
	mutex_lock(&c->lock);
	c->tgid = tgid;
	c->place.tid = tid;
	mutex_unlock(&c->lock);
}

void stub_ctx_detach(struct stub_ctx *c)
{
	mutex_lock(&c->lock);
	c->place.tid = 0;
	mutex_unlock(&c->lock);
}

int stub_ctx_keep_fpu(struct stub_ctx *c, const void *area)
{
	if (!c->fpu)
		c->fpu = aligned_alloc(64, ROUND_UP(xstate_size, 64ul));
	if (!c->fpu)
		return -ENOMEM;
	memcpy(c->fpu, area, xstate_size);
	return 0;
}

void stub_ctx_drop_fpu(struct stub_ctx *c)
{
	free(c->fpu);
	c->fpu = NULL;
}

/*
 * The flag is set before the signal is sent and cleared only by a run that reports it: a signal
 * that comes while it is clear is a stale one.  The lock keeps the thread id from being reused
 * under us.
 */
void stub_ctx_interrupt(struct pl_ctx *ctx)
{
	struct stub_ctx *c = (struct stub_ctx *)ctx;

	__atomic_store_n(&c->interrupt, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&c->place.in_guest, __ATOMIC_SEQ_CST))
		return;
	mutex_lock(&c->lock);
	if (c->place.tid)
		host_tgkill(c->tgid, c->place.tid, STUB_SIG_INTERRUPT);
	mutex_unlock(&c->lock);
}

void stub_ctx_set_step(struct pl_ctx *ctx, bool on)
{
	struct stub_ctx *c = (struct stub_ctx *)ctx;

	c->step = on;
	if (!on)
		c->step_trap = false;
}

int stub_ctx_cpu(struct pl_ctx *ctx)
{
	return READ_ONCE(((struct stub_ctx *)ctx)->place.cpu);
}

void stub_ctx_report_dead(struct stub_ctx *c, struct pl_event *ev)
{
	stub_ctx_leave(c);
	ev->kind = PL_DEAD;
	c->dead = true;
}

/* Neither SYSEMU nor a signal gives the trap that follows a stepped system call. */
void stub_ctx_report_step(struct stub_ctx *c, uint64_t rip, struct pl_event *ev)
{
	c->step_trap = false;
	ev->kind = PL_EXCEPTION;
	ev->signo = SIGTRAP;
	ev->code = TRAP_TRACE;
	ev->addr = rip;
	ev->trapno = TRAP_DB;
}
