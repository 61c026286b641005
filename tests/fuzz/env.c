/* See env.h. */
#include "tests/fuzz/env.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/fs/fs.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/fs/overlay/overlay.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/net/net.h"
#include "sentry/procfs/procfs.h"
#include "syscalls/sys.h"
#include "tests/unit/sentry_fake.h"

#ifdef LIBFUZZER
/* What a task has of the C library's memory is found from the arena, where nobody looks for it;
 * objects there are counted by env_check_leaks. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

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

static void start_sentry(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	log_set_level(LOG_ERROR); /* inputs that are refused are no news */
	fake_start_below();
	fake_must(fs_init(), "file systems");
	fake_must(goferfs_init(), "goferfs");
	fake_must(overlay_init(), "overlay");
	fake_must(tty_init(), "terminals");
	fake_start_tasks(entering);
	fake_must(procfs_init(), "procfs");
	fake_must(ro_after_init_seal(), "tables");
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

	fake_must(mount_new(v->ctx, type, 0, &a, &m), path);
	if (!path[1]) {
		at = (struct path){m, m->root};
		fsctx_set_root(v->fs, &at);
		fsctx_set_cwd(v->fs, &at);
		fake_must(mount_attach(v->ns, m, NULL), path);
		return;
	}
	fake_must(vfs_mkdirat(v, AT_FDCWD, path, 0755), path);
	fake_must(vfs_lookup(v, AT_FDCWD, path, 0, &at), path);
	fake_must(mount_attach(v->ns, m, &at), path);
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
	fake_must(vfs_mkdirat(&v, AT_FDCWD, "/mnt", 0755), "/mnt");
}

static struct task *make_task(void)
{
	struct pid_ns *pids;
	struct task *t;

	fake_must(pid_ns_new(NULL, &pids), "pid namespace");
	t = fake_task(pids, ENV_MEM, ENV_MEM_LEN);
	make_tree(t->mnt_ns, t->fs, pids);
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

const uint8_t *env_fpu(void)
{
	return task_plctx(env_task())->fpu;
}

void env_put(uint64_t addr, const void *from, size_t n)
{
	fake_must(uaccess_copyout(&env_task()->ctx, UADDR(addr), from, n), "memory written");
}

void env_get(uint64_t addr, void *to, size_t n)
{
	fake_must(uaccess_copyin(&env_task()->ctx, to, UADDR(addr), n), "memory read");
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
	static struct slab_stat stat[512];
	size_t n = MIN(arena_stats(stat, ARRAY_LEN(stat)), ARRAY_LEN(stat));
	fprintf(stderr, "fuzz: %lu objects, %lu at the start\n", objects(), objects_at_start);
	for (size_t i = 0; i < n; i++)
		if (stat[i].in_use)
			fprintf(stderr, "fuzz: %s %lu\n", stat[i].name, stat[i].in_use);
	abort();
}
