/*
 * A platform that runs no guest, the start of a sentry on it, and a task with some memory: what
 * unit tests of tasks (task_fake.h) and fuzz targets (tests/fuzz/env.h) stand on.  What cannot fail
 * there ends the program if it does.
 */
#ifndef TESTS_UNIT_SENTRY_FAKE_H
#define TESTS_UNIT_SENTRY_FAKE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/xstate.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/net.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"
#include "sentry/vfs/vfs.h"

static void fake_must(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "fake sentry: %s: error %d\n", what, -err);
		abort();
	}
}

/* --- the platform --- */

struct pl_as {
	int unused;
};
struct pl_ctx {
	struct user_regs_struct r;
	uint8_t *fpu; /* as the CPU would have it: XRSTOR loads it */
	uint32_t intr;
};

static int fake_as_create(struct pl_as **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : -ENOMEM;
}
static int fake_as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out)
{
	return fake_as_create(out);
}
static void fake_as_destroy(struct pl_as *as)
{
	free(as);
}
static int fake_as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off,
	int prot, uint32_t flags)
{
	return 0;
}
static int fake_as_unmap(struct pl_as *as, uint64_t addr, uint64_t len)
{
	return 0;
}
static int fake_as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	return 0;
}

static uint8_t *fake_fpu_area(void)
{
	uint8_t *area = aligned_alloc(64, ROUND_UP(xstate_size, 64UL));

	fake_must(area ? 0 : -ENOMEM, "memory");
	xstate_make_initial(area);
	return area;
}
static int fake_ctx_create(struct pl_as *as, struct pl_ctx **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->fpu = fake_fpu_area();
	return 0;
}
static void fake_ctx_destroy(struct pl_ctx *ctx)
{
	free(ctx->fpu);
	free(ctx);
}
static int fake_ctx_set_as(struct pl_ctx *ctx, struct pl_as *as)
{
	return 0;
}
static struct user_regs_struct *fake_ctx_regs(struct pl_ctx *ctx)
{
	return &ctx->r;
}
static void fake_ctx_run(struct pl_ctx *ctx, struct pl_event *ev)
{
	while (!__atomic_exchange_n(&ctx->intr, 0, __ATOMIC_SEQ_CST))
		usleep(100);
	ev->kind = PL_INTERRUPT;
}
static void fake_ctx_interrupt(struct pl_ctx *ctx)
{
	__atomic_store_n(&ctx->intr, 1, __ATOMIC_SEQ_CST);
}
static void fake_ctx_set_step(struct pl_ctx *ctx, bool on)
{
}
static size_t fake_ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n)
{
	uint8_t *area = fake_fpu_area();

	xstate_merge(area, ctx->fpu);
	memcpy(buf, area, MIN(n, xstate_size));
	free(area);
	return xstate_size;
}
static int fake_ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n)
{
	uint8_t *area = fake_fpu_area();
	int err = xstate_compose(area, buf, n);

	if (!err)
		xstate_load(ctx->fpu, area);
	free(area);
	return err;
}

static struct pl_ops fake_platform = {.name = "fake",
	.as_create = fake_as_create,
	.as_fork = fake_as_fork,
	.as_destroy = fake_as_destroy,
	.as_map = fake_as_map,
	.as_unmap = fake_as_unmap,
	.as_protect = fake_as_protect,
	.ctx_create = fake_ctx_create,
	.ctx_destroy = fake_ctx_destroy,
	.ctx_set_as = fake_ctx_set_as,
	.ctx_regs = fake_ctx_regs,
	.ctx_run = fake_ctx_run,
	.ctx_interrupt = fake_ctx_interrupt,
	.ctx_set_step = fake_ctx_set_step,
	.ctx_get_fpu = fake_ctx_get_fpu,
	.ctx_set_fpu = fake_ctx_set_fpu,
	.addr_max = PL_ADDR_MAX};

/* --- the sentry --- */

/* All that tasks stand on, up to the VFS; file systems (the caller's choice) come next. */
static void fake_start_below(void)
{
	fake_must(arena_init(), "arena");
	fake_must(memfile_init(), "memory file");
	fake_must(time_init(), "clocks");
	fake_must(xstate_init(), "vector state");
	fake_platform.fpu_size = xstate_size;
	fake_platform.xfeatures = xstate_features;
	platform = &fake_platform;
	mm_init();
	fake_must(vfs_init(), "vfs");
	fake_must(net_init(), "network");
}

static void fake_start_tasks(task_loop_fn loop)
{
	fake_must(task_init(), "tasks");
	fake_must(time_start(), "timers");
	task_set_loop(loop);
}

/* The init of ns: root, with an empty tree, no descriptors, and anonymous memory at addr. */
static struct task *fake_task(struct pid_ns *ns, uint64_t addr, uint64_t len)
{
	struct task_new_args a = {.pid_ns = ns,
		.fs = fsctx_new(),
		.fds = fdtable_new(),
		.mnt_ns = mount_ns_new(),
		.uts = uts_ns_new(NULL),
		.ipc = ipc_ns_new(),
		.net = net_ns_new(1),
		.cred = cred_root()};
	struct mm_map_args m = {.addr = addr,
		.len = len,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED};
	struct task *t;

	fake_must(task_new(&a, &t), "task");
	fake_must(mm_create(&t->ctx.mm), "address space");
	fake_must(mm_mmap(&t->ctx, t->ctx.mm, &m, &addr), "memory");
	return t;
}

#endif
