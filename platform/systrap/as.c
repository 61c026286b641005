/*
 * Address spaces: one stub process each, from the first time that something
 * runs there.  Until then operations are only noted down: an execve or a fork
 * costs one request to the keeper, at the first instruction.  Later too they are
 * done several at a time where the mm does several.
 *
 * A noted mapping that the host then refuses stays unmapped: the guest faults
 * there, and the mm that maps it again gets the errno.
 */
#include <errno.h>
#include <stdlib.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/stats.h"
#include "platform/systrap/systrap_priv.h"

int st_guest_memfd = -1;

/* Does ops[from, from + n): 0, -ESRCH, or *failed is the first that the host refused. */
static int do_some(struct stub *s, const struct as_op *ops, unsigned int n, unsigned int *failed)
{
	for (unsigned int i = 0; i < n; i++)
		as_op_args(&ops[i], stub_op(s, as_op_nr(&ops[i]))->arg);
	return stub_flush(s, failed);
}

/*
 * Applies what was noted down.  Access may never end up wider than was asked for: what the host
 * refuses is unmapped.  *err: what it said of the last operation.
 */
static int apply_pending(struct pl_as *as, int *err) REQUIRES(as->lock)
{
	size_t i = 0, n;
	int e = 0;

	*err = 0;
	while (i < as->ops.n) {
		unsigned int failed = 0, before = as->stub->nops;

		n = MIN(as->ops.n - i, (size_t)(REQ_OPS_MAX - before));
		e = do_some(as->stub, as->ops.op + i, (unsigned int)n, &failed);
		if (e == 0) {
			i += n;
			continue;
		}
		if (failed < before) /* not one of ours: nothing works there */
			e = -ESRCH;
		i += MIN((size_t)(failed - before), n - 1);
		if (i + 1 == as->ops.n && !*err)
			*err = e;
		if (e == -ESRCH || as->ops.op[i].type == AS_UNMAP) {
			/* The guest may still have what it should not: it ends here. */
			stub_end(as->stub);
			as->dead = true;
			break;
		}
		as->ops.op[i].type = AS_UNMAP;
	}
	as_ops_clear(&as->ops);
	return as->dead ? -ESRCH : 0;
}

static int note(struct pl_as *as, const struct as_op *op) REQUIRES(as->lock)
{
	if (op->type == AS_UNMAP && !as->ops.n && !as->stub)
		return 0;
	return as_ops_note(&as->ops, op, op->fd != st_guest_memfd && !as->stub);
}

/* Makes the stub of an address space that has none, and brings it up to date. */
static int be_born(struct pl_as *as) REQUIRES(as->lock)
{
	int e, ignored;

	if (as->dead)
		return -ESRCH;
	if (as->stub)
		return apply_pending(as, &ignored);
	e = stub_new(&as->stub);
	if (e < 0)
		return e;
	patch_add_maps(as);
	e = as->ops.n ? apply_pending(as, &ignored) : stub_flush(as->stub, NULL);
	as->dead |= e == -ESRCH;
	return e;
}

/*
 * What only takes away waits for what comes next, or for as_flush; a mapping is made at once,
 * for the caller wants to know whether the host agrees.
 */
static int do_op(struct pl_as *as, const struct as_op *op)
{
	int e, err = 0;

	if (!as_op_valid(op, ST_SLOTS))
		return -EINVAL;
	mutex_lock(&as->lock);
	e = as->dead ? -ESRCH : note(as, op);
	if (e == 0 && as->stub && op->type == AS_MAP) {
		e = apply_pending(as, &err);
		e = e < 0 ? e : err;
	}
	mutex_unlock(&as->lock);
	return e;
}

int st_as_flush(struct pl_as *as)
{
	int e = 0, ignored;

	/* (Only holders of the mm's lock add operations: the caller's are seen without ours.) */
	if (likely(!READ_ONCE(as->ops.n) || !READ_ONCE(as->stub)))
		return 0;
	mutex_lock(&as->lock);
	if (as->stub)
		e = apply_pending(as, &ignored);
	mutex_unlock(&as->lock);
	return e;
}

int st_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
	uint32_t flags)
{
	struct as_op op = {AS_MAP, prot, addr, len, off, .fd = fd, .flags = flags};

	return do_op(as, &op);
}

int st_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len)
{
	struct as_op op = {AS_UNMAP, 0, addr, len};

	return do_op(as, &op);
}

int st_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	struct as_op op = {AS_PROTECT, prot, addr, len};

	return do_op(as, &op);
}

int st_as_create(struct pl_as **out)
{
	struct pl_as *as = calloc(1, sizeof(*as));

	if (!as)
		return -ENOMEM;
	mutex_init(&as->lock, LOCK_PLATFORM);
	list_init(&as->ctxs);
	*out = as;
	return 0;
}

int st_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out)
{
	struct pl_as *as;
	int e;

	/* An idle stub and a few mappings are cheaper than a clone. */
	if (nmaps <= 200 && stub_pooled())
		return -ENOSYS;
	e = st_as_create(&as);
	if (e < 0)
		return e;
	mutex_lock(&parent->lock);
	e = be_born(parent);
	if (e == 0)
		e = stub_fork(parent->stub, &as->stub);
	if (e == 0)
		patch_share(parent, as);
	mutex_unlock(&parent->lock);
	if (e < 0) {
		free(as);
		return e == -ESRCH ? -ENOMEM : e;
	}
	*out = as;
	return 0;
}

void st_as_destroy(struct pl_as *as)
{
	if (as->stub)
		stub_put(as->stub);
	patch_put(as);
	as_ops_free(&as->ops);
	free(as);
}

int st_as_bind(struct pl_as *as, struct pl_ctx *ctx)
{
	struct thread *t;
	int e;

	mutex_lock(&as->lock);
	e = be_born(as);
	if (e == 0)
		e = stub_thread_get(as->stub, ctx->base.place.cpu, &t);
	if (e == 0) {
		WRITE_ONCE(as->nthreads, as->nthreads + 1);
		list_push_back(&as->ctxs, &ctx->as_link);
		ctx->thread = t;
		ctx->mem = t->mem;
		stub_ctx_attach(&ctx->base, as->stub->pid, t->tid);
	}
	as->dead |= e == -ESRCH;
	mutex_unlock(&as->lock);
	return e;
}

void st_as_unbind(struct pl_as *as, struct pl_ctx *ctx)
{
	stub_ctx_detach(&ctx->base);
	mutex_lock(&as->lock);
	if (ctx->base.dead)
		as->dead = as->stub->dead = true;
	ctx->thread->cpu = ctx->base.place.cpu;
	stub_thread_put(as->stub, ctx->thread);
	WRITE_ONCE(as->nthreads, as->nthreads - 1);
	list_del(&ctx->as_link);
	mutex_unlock(&as->lock);
	ctx->thread = NULL;
	ctx->mem = NULL;
}
