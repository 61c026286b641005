/* See env.h. */
#include "sentry/vfs/fdtable.h"
#include "tests/fuzz/env.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "platform/xstate.h"
#include "sentry/fs/fs.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/fs/overlay/overlay.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/net.h"
#include "sentry/procfs/procfs.h"
#include "sentry/task/task_priv.h"
#include "sentry/vfs/vfs.h"
#include "syscalls/sys.h"

/* --- a platform that runs nothing --- */

struct pl_as {
	int unused;
};
struct pl_ctx {
	struct user_regs_struct r;
	uint8_t *fpu;
};

static struct pl_as the_as;
static struct pl_ctx the_ctx;
static struct pl_ops ops;

static int as_create(struct pl_as **out)
{
	*out = &the_as;
	return 0;
}
static int as_fork(struct pl_as *parent, unsigned int nmaps, struct pl_as **out)
{
	return as_create(out);
}
static void as_destroy(struct pl_as *as)
{
}
static int as_map(struct pl_as *as, uint64_t addr, uint64_t len, int fd, uint64_t off, int prot,
	uint32_t flags)
{
	return 0;
}
static int as_unmap(struct pl_as *as, uint64_t addr, uint64_t len)
{
	return 0;
}
static int as_protect(struct pl_as *as, uint64_t addr, uint64_t len, int prot)
{
	return 0;
}
static int ctx_create(struct pl_as *as, struct pl_ctx **out)
{
	*out = &the_ctx;
	return 0;
}
static void ctx_destroy(struct pl_ctx *ctx)
{
}
static int ctx_set_as(struct pl_ctx *ctx, struct pl_as *as)
{
	return 0;
}
static struct user_regs_struct *ctx_regs(struct pl_ctx *ctx)
{
	return &ctx->r;
}
static void ctx_run(struct pl_ctx *ctx, struct pl_event *ev)
{
	ev->kind = PL_INTERRUPT;
}
static void ctx_interrupt_(struct pl_ctx *ctx)
{
}
static void ctx_set_step(struct pl_ctx *ctx, bool on)
{
}
static size_t ctx_get_fpu(struct pl_ctx *ctx, void *buf, size_t n)
{
	uint8_t *area = aligned_alloc(64, ROUND_UP(xstate_size, 64UL));

	xstate_make_initial(area);
	xstate_merge(area, ctx->fpu);
	memcpy(buf, area, MIN(n, xstate_size));
	free(area);
	return xstate_size;
}
static int ctx_set_fpu(struct pl_ctx *ctx, const void *buf, size_t n)
{
	uint8_t *area = aligned_alloc(64, ROUND_UP(xstate_size, 64UL));
	int err = xstate_compose(area, buf, n);

	if (!err)
		xstate_load(ctx->fpu, area);
	free(area);
	return err;
}

static void start_platform(void)
{
	if (xstate_init())
		abort();
	the_ctx.fpu = aligned_alloc(64, ROUND_UP(xstate_size, 64UL));
	xstate_make_initial(the_ctx.fpu);
	ops = (struct pl_ops){.name = "fake",
		.as_create = as_create,
		.as_fork = as_fork,
		.as_destroy = as_destroy,
		.as_map = as_map,
		.as_unmap = as_unmap,
		.as_protect = as_protect,
		.ctx_create = ctx_create,
		.ctx_destroy = ctx_destroy,
		.ctx_set_as = ctx_set_as,
		.ctx_regs = ctx_regs,
		.ctx_run = ctx_run,
		.ctx_interrupt = ctx_interrupt_,
		.ctx_set_step = ctx_set_step,
		.ctx_get_fpu = ctx_get_fpu,
		.ctx_set_fpu = ctx_set_fpu,
		.addr_max = PL_ADDR_MAX,
		.fpu_size = xstate_size,
		.xfeatures = xstate_features};
	platform = &ops;
}

const uint8_t *env_fpu(void)
{
	return the_ctx.fpu;
}

/* --- the sentry --- */

static struct task *task;
static uint64_t objects_at_start;
static struct sigaction old_segv, old_bus;
static jmp_buf entered;

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	if (uaccess_fixup(sig, info, uc))
		return;
	sigaction(SIGSEGV, &old_segv, NULL);
	sigaction(SIGBUS, &old_bus, NULL); /* the access is made again */
}

static bool entering(struct task *t)
{
	longjmp(entered, 1);
}

static void check(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "fuzz environment: %s: error %d\n", what, -err);
		abort();
	}
}

static void start_sentry(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	log_set_level(LOG_ERROR); /* inputs that are refused are no news */
	check(arena_init(), "arena");
	check(memfile_init(), "memory file");
	check(time_init(), "clocks");
	start_platform();
	mm_init();
	check(vfs_init(), "vfs");
	check(fs_init(), "file systems");
	check(goferfs_init(), "goferfs");
	check(overlay_init(), "overlay");
	check(tty_init(), "terminals");
	check(net_init(), "sockets");
	check(task_init(), "tasks");
	check(procfs_init(), "procfs");
	check(time_start(), "timers");
	task_set_loop(entering);
	check(ro_after_init_seal(), "tables");
	sigaction(SIGSEGV, &sa, &old_segv);
	sigaction(SIGBUS, &sa, &old_bus);
}

/* A mount at path, which is made; "/" first. */
static void mount_at(const struct vfs_view *v, enum sb_type type, const char *path,
	struct pid_ns *pids)
{
	struct path at = {0};
	struct mount *m;

	struct fs_mount_args a = {.source = path, .pid_ns = pids};

	check(mount_new(v->ctx, type, 0, &a, &m), path);
	if (!path[1]) {
		at = (struct path){m, m->root};
		fsctx_set_root(v->fs, &at);
		fsctx_set_cwd(v->fs, &at);
		check(mount_attach(v->ns, m, NULL), path);
		return;
	}
	check(vfs_mkdirat(v, AT_FDCWD, path, 0755), path);
	check(vfs_lookup(v, AT_FDCWD, path, 0, &at), path);
	check(mount_attach(v->ns, m, &at), path);
	path_put(&at);
}

static void make_tree(struct mount_ns *ns, struct fsctx *fs, struct pid_ns *pids)
{
	struct ctx kctx;
	struct vfs_view v = {.ctx = &kctx, .fs = fs, .ns = ns};

	ctx_init_kernel(&kctx, cred_root());
	mount_at(&v, SB_TMPFS, "/", NULL);
	mount_at(&v, SB_PROC, "/proc", pids);
	mount_at(&v, SB_TMPFS, "/tmp", NULL);
	check(vfs_mkdirat(&v, AT_FDCWD, "/mnt", 0755), "/mnt");
}

static struct task *make_task(void)
{
	struct pid_ns *pids;
	struct task_new_args a = {.fs = fsctx_new(),
		.fds = fdtable_new(),
		.mnt_ns = mount_ns_new(),
		.uts = uts_ns_new(NULL),
		.ipc = ipc_ns_new(),
		.net = net_ns_new(1),
		.cred = cred_root()};
	struct mm_map_args m = {.addr = ENV_MEM,
		.len = ENV_MEM_LEN,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED};
	struct task *t;
	uint64_t addr;

	check(pid_ns_new(NULL, &pids), "pid namespace");
	a.pid_ns = pids;
	make_tree(a.mnt_ns, a.fs, pids);
	check(task_new(&a, &t), "task");
	check(mm_create(&t->ctx.mm), "address space");
	check(mm_mmap(&t->ctx, t->ctx.mm, &m, &addr), "memory");
	return t;
}

/* The calling thread becomes the task's for good: its trap loop never returns. */
static void enter(struct task *t)
{
	if (!setjmp(entered))
		task_main(t);
}

static uint64_t objects(void)
{
	static struct slab_stat stat[256];
	size_t n = MIN(arena_stats(stat, ARRAY_LEN(stat)), ARRAY_LEN(stat));
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += stat[i].in_use;
	return sum;
}

struct task *env_task(void)
{
	if (!task) {
		start_sentry();
		task = make_task();
		enter(task);
		env_reset();
		objects_at_start = objects();
	}
	return task;
}

void env_put(uint64_t addr, const void *from, size_t n)
{
	check(uaccess_copyout(&env_task()->ctx, UADDR(addr), from, n), "memory written");
}

void env_get(uint64_t addr, void *to, size_t n)
{
	check(uaccess_copyin(&env_task()->ctx, to, UADDR(addr), n), "memory read");
}

long env_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	const struct sysargs args = {{a, b, c, d, e, f}};
	struct task *t = env_task();

	t->cur_syscall = (uint32_t)nr;
	t->in_syscall = true;
	long ret = sys_dispatch(t, (uint64_t)nr, &args);
	t->in_syscall = false;
	return ret;
}

static void drop_signals(struct task *t)
{
	MUTEX_GUARD(&t->tg->sighand->lock);
	sigpending_flush(&t->pending, ~0ull, &t->tg->sigqueue_count);
	sigpending_flush(&t->tg->shared, ~0ull, &t->tg->sigqueue_count);
	t->blocked = 0;
	t->restore_blocked = false;
	/* Nor was it killed, if it was. */
	t->tg->group_exit = false;
	t->tg->unkillable = true;
	t->must_exit = false;
}

void env_reset(void)
{
	struct task *t = env_task();

	(void)fdtable_close_range(&t->ctx, t->fds, 0, UINT32_MAX, false);
	drop_signals(t);
	t->altstack_sp = t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
	memset(task_regs(t), 0, sizeof(*task_regs(t)));
	task_regs(t)->cs = 0x33;
	task_regs(t)->ss = 0x2b;
	__atomic_store_n(&t->ctx.intr, CTX_INTR_SIGNAL, __ATOMIC_RELEASE);
	if (uaccess_clear_some(&t->ctx, UADDR(ENV_MEM), ENV_MEM_LEN) != (ssize_t)ENV_MEM_LEN)
		abort();
}

void env_check_leaks(uint64_t slack)
{
	if (objects() <= objects_at_start + slack)
		return;
	fprintf(stderr, "fuzz: %lu objects, %lu at the start\n", objects(), objects_at_start);
	abort();
}
