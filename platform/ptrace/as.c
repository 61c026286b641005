/*
 * Address spaces: one stub process each.
 *
 * An operation is injected into a stopped stub thread that the caller traces:
 * its own one if its context lives in the address space (nearly always), else
 * the keeper, seized for the purpose.  While no context has a thread in it
 * nobody can see the difference, so operations are only noted down, and a
 * process that was never run is not even created: an execve costs one visit
 * of the template, at its first instruction.
 *
 * A noted mapping that the host then refuses stays unmapped: the guest faults
 * there, and the mm that maps it again gets the errno.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/hostcall.h"
#include "lib/stats.h"
#include "platform/ptrace/ptrace_priv.h"

static int apply_op(int tid, const struct user_regs_struct *base, const struct as_op *op)
{
	uint64_t args[6] = {0};
	long r;

	stat_inc(STAT_AS_OPS);
	as_op_args(op, args);
	r = pt_inject(tid, base, as_op_nr(op), args);
	return r < 0 && r > -4096 ? (int)r : 0;
}

/* Applies what was noted down.  Access may never end up wider than was asked for. */
static void apply_pending(struct pl_as *as, int tid) REQUIRES(as->lock)
{
	for (size_t i = 0; i < as->ops.n; i++) {
		struct as_op *op = &as->ops.op[i];
		int e = as->dead ? -ESRCH : apply_op(tid, NULL, op);

		if (e < 0 && op->type != AS_UNMAP) {
			op->type = AS_UNMAP;
			e = apply_op(tid, NULL, op);
		}
		if (e < 0)
			as->dead = true;
	}
	as_ops_clear(&as->ops);
}

static int defer(struct pl_as *as, const struct as_op *op) REQUIRES(as->lock)
{
	if (op->type == AS_UNMAP && !as->pid && !as->ops.n)
		return 0;
	return as_ops_note(&as->ops, op, op->fd != pt_memfd);
}

/* Makes the keeper the caller's stopped tracee, with all operations applied. */
static int keeper_attach(struct pl_as *as) REQUIRES(as->lock)
{
	int cpu = place_here(), e;

	if (as->dead)
		return -ESRCH;
	stat_inc(STAT_AS_TRIPS);
	if (!as->pid) {
		e = pt_template_fork();
		if (e < 0)
			return e;
		stat_inc(STAT_STUBS_FORKED);
		as->pid = e;
		as->keeper_cpu = cpu;
	} else {
		if (as->keeper_cpu != cpu && place_pin(as->pid, cpu) == 0)
			as->keeper_cpu = cpu;
		e = pt_seize(as->pid);
		if (e < 0) {
			as->dead |= e == -ESRCH;
			return e;
		}
	}
	apply_pending(as, as->pid);
	return 0;
}

static void keeper_detach(struct pl_as *as) REQUIRES(as->lock)
{
	if (pt_release(as->pid, STUB_PARK) < 0)
		as->dead = true;
}

/* The caller's own stub thread in as, or NULL. */
static struct pl_ctx *own_ctx(const struct pl_as *as)
{
	struct pl_ctx *ctx = pt_current;

	return ctx && ctx->base.as == as && ctx->base.place.tid && !ctx->base.dead ? ctx : NULL;
}

/* The caller's stub thread was killed: the next run of its context tells. */
static void own_died(struct pl_ctx *own)
{
	int status;

	pt_wait(own->base.place.tid, &status); /* unless that was done already */
	own->base.dead = own->reaped = true;
}

static int do_op(struct pl_as *as, const struct as_op *op)
{
	struct pl_ctx *own;
	int e;

	if (!as_op_valid(op, PL_ADDR_MAX))
		return -EINVAL;
	own = own_ctx(as);
	if (likely(own)) {
		pt_complete_regs(own);
		own->hw_valid = false;
		e = apply_op(own->base.place.tid, &own->base.regs, op);
		if (e == -ESRCH)
			own_died(own);
		return e;
	}
	mutex_lock(&as->lock);
	if (as->dead) {
		e = -ESRCH;
	} else if (!as->nthreads) {
		e = defer(as, op);
	} else {
		e = keeper_attach(as);
		if (e == 0) {
			e = apply_op(as->pid, NULL, op);
			keeper_detach(as);
		}
	}
	mutex_unlock(&as->lock);
	return e;
}

int pt_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
	uint32_t flags)
{
	struct as_op op = {AS_MAP, prot, addr, len, off, .fd = fd, .flags = flags};

	return do_op(as, &op);
}

int pt_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len)
{
	struct as_op op = {AS_UNMAP, 0, addr, len};

	return do_op(as, &op);
}

int pt_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	struct as_op op = {AS_PROTECT, prot, addr, len};

	return do_op(as, &op);
}

int pt_as_create(struct pl_as **out)
{
	struct pl_as *as = calloc(1, sizeof(*as));

	if (!as)
		return -ENOMEM;
	mutex_init(&as->lock, LOCK_PLATFORM);
	as->keeper_cpu = -1;
	*out = as;
	return 0;
}

/* A clone of parent's process, traced by the caller and stopped. */
static int fork_process(struct pl_as *parent)
{
	struct pl_ctx *own = own_ctx(parent);
	int pid;

	if (own) {
		pt_complete_regs(own);
		own->hw_valid = false;
		pid = pt_clone(own->base.place.tid, &own->base.regs, PTRACE_STUB_PROCESS);
		if (pid == -ESRCH)
			own_died(own);
		return pid;
	}
	mutex_lock(&parent->lock);
	pid = keeper_attach(parent);
	if (pid == 0) {
		pid = pt_clone(parent->pid, NULL, PTRACE_STUB_PROCESS);
		keeper_detach(parent);
	}
	mutex_unlock(&parent->lock);
	return pid;
}

int pt_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out)
{
	struct pl_as *as;
	int e = pt_as_create(&as);

	if (e < 0)
		return e;
	e = fork_process(parent);
	if (e < 0) {
		free(as);
		return e == -ESRCH ? -ENOMEM : e;
	}
	stat_inc(STAT_STUBS_FORKED);
	as->pid = e;
	as->keeper_cpu = place_here();
	as->fpu_dirty = true;
	pt_release(as->pid, STUB_PARK);
	*out = as;
	return 0;
}

void pt_as_destroy(struct pl_as *as)
{
	if (as->pid) {
		reap_bury(as->pid);
		if (reap_poll())
			place_kick();
	}
	as_ops_free(&as->ops);
	free(as);
}

int pt_as_bind(struct pl_as *as, struct pl_ctx *ctx)
{
	int tid = 0, e;

	mutex_lock(&as->lock);
	e = keeper_attach(as);
	if (e == 0 && !as->dead) {
		tid = pt_clone(as->pid, NULL, PTRACE_STUB_THREAD);
		keeper_detach(as);
		if (tid < 0)
			e = tid;
	} else if (e == 0) {
		keeper_detach(as);
		e = -ESRCH;
	}
	if (e == 0) {
		stat_inc(STAT_STUB_THREADS);
		as->nthreads++;
		stub_ctx_attach(&ctx->base, as->pid, tid);
	}
	if (e == 0 && (as->fpu_dirty || ctx->base.fpu))
		e = pt_fpu_load(tid, ctx->base.fpu);
	mutex_unlock(&as->lock);
	return e;
}

/* The stub thread is let go; it ends by itself, or has already died. */
void pt_as_unbind(struct pl_as *as, struct pl_ctx *ctx)
{
	int status, tid = ctx->base.place.tid;

	stub_ctx_detach(&ctx->base);
	if (!ctx->reaped && pt_release(tid, STUB_EXIT) < 0)
		pt_wait(tid, &status);
	mutex_lock(&as->lock);
	as->nthreads--;
	mutex_unlock(&as->lock);
}
