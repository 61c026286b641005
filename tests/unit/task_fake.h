/*
 * What the tests of sentry/task stand on.  A "guest program" is a C function that runs on its
 * task's thread and calls the task verbs; clone's child runs the function that rip names.  Guest
 * memory is one anonymous mapping at GMEM.
 */
#ifndef TESTS_UNIT_TASK_FAKE_H
#define TESTS_UNIT_TASK_FAKE_H

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "platform/place.h"
#include "tests/unit/sentry_fake.h"

/* Of the platform's: threads that read from links ask whether they may spin. */
uint32_t place_runnable;
unsigned int place_ncpus(void)
{
	return 1;
}

#define GMEM 0x10000000UL
#define GMEM_LEN (64 << 10)

typedef void (*gfn)(struct task *t);

/* --- programs --- */
static int g_failed;
#define G(cond)                                                                                    \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #cond);                          \
			fflush(stdout);                                                            \
			__atomic_fetch_add(&g_failed, 1, __ATOMIC_RELAXED);                        \
		}                                                                                  \
	} while (0)
#define GEQ(a, b)                                                                                  \
	do {                                                                                       \
		long ga_ = (long)(a), gb_ = (long)(b);                                             \
		if (ga_ != gb_) {                                                                  \
			printf("%s:%d: %s is %ld, not %s %ld\n", __FILE__, __LINE__, #a, ga_, #b,  \
				gb_);                                                              \
			fflush(stdout);                                                            \
			__atomic_fetch_add(&g_failed, 1, __ATOMIC_RELAXED);                        \
		}                                                                                  \
	} while (0)

/* A program's state is on the stack: it freezes where it is. */
static void g_await(struct task *t)
{
	while (!task_await(t))
		task_park_frozen(t);
}
/* The user boundary, call: after a system call.  false: t is to exit. */
static bool g_boundary(struct task *t, bool call)
{
	enum boundary b;

	t->call_ended = call;
	while ((b = signal_deliver(t)) != BOUNDARY_RUN && b != BOUNDARY_END) {
		if (b == BOUNDARY_FREEZE) {
			task_park_frozen(t);
			continue;
		}
		g_await(t);
		if (t->stage != STAGE_SIGNAL)
			t->stage = STAGE_NONE;
	}
	return b == BOUNDARY_RUN;
}
static bool g_loop(struct task *t)
{
	((gfn)(uintptr_t)task_regs(t)->rip)(t);
	if (!t->must_exit && !t->tg->group_exit)
		task_group_exit(t, 0);
	while (g_boundary(t, false))
		;
	while (!task_exit_thread(t))
		task_park_frozen(t);
	return true;
}

static uint32_t g_done;
static uint32_t g_status;
static void g_reaped(struct tgroup *tg, uint32_t status)
{
	g_status = status;
	__atomic_store_n(&g_done, 1, __ATOMIC_RELEASE);
}

static void g_setup(void)
{
	static bool done;

	if (done)
		return;
	done = true;
	fake_start_below();
	fake_start_tasks(g_loop);
	task_set_reap_hook(g_reaped);
}

static UNUSED struct task *g_new(struct pid_ns *ns, gfn fn)
{
	struct task *t = fake_task(ns, GMEM, GMEM_LEN);

	t->start_regs.rip = (uintptr_t)fn;
	t->start_regs.rsp = GMEM + GMEM_LEN - 16;
	return t;
}

/* Runs fn as the init of a new container; its wait status. */
static UNUSED uint32_t g_run(gfn fn)
{
	struct pid_ns *ns;
	struct task *t;

	g_setup();
	g_done = 0;
	g_failed = 0;
	if (pid_ns_new(NULL, &ns))
		abort();
	t = g_new(ns, fn);
	if (task_start(t))
		abort();
	task_put(t);
	while (!__atomic_load_n(&g_done, __ATOMIC_ACQUIRE))
		usleep(1000);
	for (int i = 0; i < 30000 && task_count(); i++)
		usleep(1000);
	if (task_count())
		g_failed++, printf("%u tasks are left\n", task_count());
	pid_ns_put(ns);
	return g_status;
}

static UNUSED long g_clone(struct task *t, uint64_t flags, int sig, gfn fn)
{
	struct task_clone_args a = {.flags = flags,
		.exit_signal = sig,
		.parent_tid = GMEM + 8,
		.child_tid = GMEM + 12};
	uint64_t rip = task_regs(t)->rip;
	long ret;

	task_regs(t)->rip = (uintptr_t)fn;
	ret = task_clone(t, &a);
	task_regs(t)->rip = rip;
	if (ret == -ECALLWAITS) {
		g_await(t);
		GEQ(t->stage, STAGE_RESULT);
		t->stage = STAGE_NONE;
		ret = t->call_result;
	}
	return ret;
}
static UNUSED long g_fork(struct task *t, gfn fn)
{
	return g_clone(t, 0, SIGCHLD, fn);
}
static UNUSED void g_store(struct task *t, uint64_t addr, uint32_t v)
{
	G(uaccess_put(&t->ctx, UADDR(addr), &v) == 0);
}
static UNUSED uint32_t g_load(struct task *t, uint64_t addr)
{
	uint32_t v = 0xdead;

	G(uaccess_load32(&t->ctx, UADDR(addr), &v) == 0);
	return v;
}
/* Waits at the user boundary until the task must exit. */
static UNUSED void g_pause(struct task *t)
{
	do
		ctx_block(&t->ctx, DEADLINE_NEVER);
	while (g_boundary(t, false));
}
static UNUSED void g_nap(struct task *t)
{
	ctx_block(&t->ctx, time_monotonic() + 20000000);
}

#endif
