/* Life of tasks: clone, exit, wait, groups, namespaces.  OBJS: lib platform/current
 * platform/xstate sentry */
#include "tests/unit/test.h"
#include "sentry/core/root.h"
#include "tests/unit/task_fake.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void exit3(struct task *t)
{
	task_exit(t, 3 << 8);
}

static void p_wait(struct task *t)
{
	struct task_wait_result r;
	long pid;

	GEQ(task_tid_nr(t, t->pid_ns), 1);
	GEQ(task_getppid(t), 0);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), -ECHILD);
	GEQ(task_wait(t, P_ALL, 0, 0, &r), -EINVAL);
	pid = g_fork(t, exit3);
	GEQ(pid, 2);
	GEQ(task_wait(t, P_PID, (int)pid, WEXITED | WNOWAIT, &r), 1);
	GEQ(r.pid, pid);
	GEQ(r.status, 0x300);
	GEQ(r.code, CLD_EXITED);
	GEQ(task_wait(t, P_ALL, 0, WEXITED | __WCLONE, &r), -ECHILD);
	GEQ(task_wait(t, P_PGID, 0, WEXITED, &r), 1);
	GEQ(r.status, 0x300);
	GEQ(task_wait(t, P_PID, (int)pid, WEXITED, &r), -ECHILD);
	GEQ(signal_pending_set(t), 0); /* ignored by default: dropped */
	task_exit(t, 7 << 8);
}

/* Who has a handler gets SIGCHLD for each child's end, with what it was. */
static void p_wait_handler(struct task *t)
{
	struct ksigaction a = {.handler = 0x1000};
	struct task_wait_result r;
	long pid;

	GEQ(signal_action(t, SIGCHLD, &a, NULL), 0);
	signal_set_blocked(t, KSIGBIT(SIGCHLD));
	pid = g_fork(t, exit3);
	GEQ(task_wait(t, P_PID, (int)pid, WEXITED, &r), 1);
	GEQ(signal_pending_set(t), KSIGBIT(SIGCHLD));
	GEQ(signal_pending(t), false); /* blocked */
	task_exit(t, 0);
}
TEST(wait_with_handler)
{
	CHECK_EQ(g_run(p_wait_handler), 0);
	CHECK_EQ(g_failed, 0);
}
/* As who reads an image of the arena finds them. */
TEST(units_have_names_of_their_own)
{
	const struct kernel *k = kernel_root();
	bool tasks = false;

	g_setup();
	for (uint32_t i = 0; i < k->nunits; i++) {
		const struct kernel_unit *u = &k->unit[i];
		uintptr_t at = (uintptr_t)u->globals;

		CHECK(u->name[0] && u->size);
		CHECK(at > ARENA_BASE && at + u->size <= ARENA_BASE + k->arena.next);
		for (uint32_t j = 0; j < i; j++) {
			CHECK(strcmp(u->name, k->unit[j].name));
			CHECK(at >= (uintptr_t)k->unit[j].globals + k->unit[j].size);
		}
		tasks |= !strcmp(u->name, "tasks");
	}
	CHECK(tasks);
}

TEST(fork_wait)
{
	CHECK_EQ(g_run(p_wait), 7 << 8);
	CHECK_EQ(g_failed, 0);
}

static void not_the_parents(struct task *t)
{
	GEQ(t->tg->user_data, 0);
	task_exit(t, 0);
}
static void p_user_data(struct task *t)
{
	struct task_wait_result r;

	t->tg->user_data = 4711; /* as if it had been started from outside */
	G(g_fork(t, not_the_parents) > 0);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), 1);
	GEQ(r.status, 0);
	t->tg->user_data = 0;
}
TEST(user_data)
{
	CHECK_EQ(g_run(p_user_data), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_flags(struct task *t)
{
	GEQ(g_clone(t, CLONE_THREAD, 0, exit3), -EINVAL);
	GEQ(g_clone(t, CLONE_SIGHAND, 0, exit3), -EINVAL);
	GEQ(g_clone(t, CLONE_NEWNS | CLONE_FS, 0, exit3), -EINVAL);
	GEQ(g_clone(t, CLONE_PARENT, SIGCHLD, exit3), -EINVAL); /* init */
	GEQ(g_clone(t, CLONE_NEWUSER, SIGCHLD, exit3), -EINVAL);
	GEQ(task_unshare(t, 1UL << 60), -EINVAL);
	GEQ(task_unshare(t, CLONE_NEWUTS), 0);
	GEQ(task_setsid(t), -EPERM);
	GEQ(task_setpgid(t, 0, 0), -EPERM); /* session leader */
	GEQ(task_setpgid(t, 99, 0), -ESRCH);
	GEQ(task_setpgid(t, 0, -1), -EINVAL);
}
TEST(flags)
{
	CHECK_EQ(g_run(p_flags), 0);
	CHECK_EQ(g_failed, 0);
}

static void thread(struct task *t)
{
	G(task_tid_nr(t, t->pid_ns) != task_tgid_nr(t, t->pid_ns));
	GEQ(g_load(t, GMEM + 12), task_tid_nr(t, t->pid_ns)); /* CHILD_SETTID */
	task_exit(t, 0);
}
static void p_threads(struct task *t)
{
	uint64_t f = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		     CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	struct task_wait_result r;
	long tid;

	g_store(t, GMEM + 12, 0x7fffffff);

	for (int i = 0; i < 20; i++) {
		tid = g_clone(t, f, 0, thread);
		GEQ(g_load(t, GMEM + 8), tid);
		/* pthread_join: waits until the kernel clears the word.  It may not be set yet. */
		while (g_load(t, GMEM + 12) != (uint32_t)tid && g_load(t, GMEM + 12) != 0)
			sched_yield();
		while (g_load(t, GMEM + 12) != 0)
			futex_wait(t, UADDR(GMEM + 12), (uint32_t)tid, ~0u, true, DEADLINE_NEVER,
				false);
		g_store(t, GMEM + 12, 0x7fffffff);
	}
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), -ECHILD);
}
TEST(threads)
{
	CHECK_EQ(g_run(p_threads), 0);
	CHECK_EQ(g_failed, 0);
}

/* Gives init a policy, all the time, with its nice value as it is. */
static void gives_policies(struct task *t)
{
	struct task *init = task_find(t->pid_ns, 1);

	for (int i = 0; !READ_ONCE(t->must_exit) && !READ_ONCE(t->tg->group_exit); i++) {
		const struct task_sched s = {.policy = i & 1 ? SCHED_BATCH : SCHED_OTHER};

		GEQ(task_sched_change(t, init, &s, SCHED_KEEP_NICE), 0);
	}
	task_put(init);
}
static void p_nice_is_kept(struct task *t)
{
	struct task_wait_result r;
	long a = g_fork(t, gives_policies);
	bool seen = false;

	for (int i = 0; (i < 20000 || !seen) && !g_failed; i++) {
		struct task_sched s;

		GEQ(task_set_nice(t, PRIO_PROCESS, 0, i % 20), 0);
		sched_yield();
		s = task_sched_get(t);
		seen |= s.policy == SCHED_BATCH;
		GEQ(s.nice, i % 20);
	}
	GEQ(signal_kill(t, (int)a, SIGKILL), 0);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
}
TEST(a_policy_keeps_the_nice_value)
{
	CHECK_EQ(g_run(p_nice_is_kept), 0);
	CHECK_EQ(g_failed, 0);
}

static void sleeper(struct task *t)
{
	g_pause(t);
}
static void orphan_maker(struct task *t)
{
	g_fork(t, sleeper);
	g_fork(t, exit3);
	task_exit(t, 0);
}
static void p_orphans(struct task *t)
{
	struct task_wait_result r;
	long a = g_fork(t, orphan_maker);

	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	/* Both grandchildren are ours now; one has ended. */
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), 1);
	GEQ(r.status, 0x300);
	GEQ(task_wait(t, P_ALL, 0, WEXITED | WNOHANG, &r), 0);
	/* We end with it running: it is killed with the namespace. */
}
TEST(orphans_and_dying_namespace)
{
	CHECK_EQ(g_run(p_orphans), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_kill(struct task *t)
{
	struct task_wait_result r;
	long a = g_fork(t, sleeper);

	GEQ(signal_kill(t, (int)a, 0), 0);
	GEQ(signal_kill(t, (int)a, 65), -EINVAL);
	GEQ(signal_kill(t, 4711, 0), -ESRCH);
	GEQ(signal_kill(t, (int)a, SIGTERM), 0);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	GEQ(r.status, SIGTERM);
	GEQ(r.code, CLD_KILLED);
	/* init shrugs off what it has no handler for */
	GEQ(signal_kill(t, 1, SIGTERM), 0);
	GEQ(signal_kill(t, 1, SIGKILL), 0);
	G(!signal_pending(t));
	a = g_fork(t, sleeper);
	GEQ(signal_kill(t, -1, SIGKILL), 0);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), 1);
	GEQ(r.status, SIGKILL);
	GEQ(signal_kill(t, -1, SIGKILL), -ESRCH);
}
TEST(kill)
{
	CHECK_EQ(g_run(p_kill), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_stop(struct task *t)
{
	struct task_wait_result r;
	long a = g_fork(t, sleeper);

	GEQ(signal_kill(t, (int)a, SIGSTOP), 0);
	GEQ(task_wait(t, P_PID, (int)a, WSTOPPED, &r), 1);
	GEQ(r.status, SIGSTOP << 8 | 0x7f);
	GEQ(r.code, CLD_STOPPED);
	GEQ(task_wait(t, P_PID, (int)a, WSTOPPED | WNOHANG, &r), 0);
	GEQ(signal_kill(t, (int)a, SIGTERM), 0); /* waits for the continue */
	GEQ(task_wait(t, P_PID, (int)a, WEXITED | WNOHANG, &r), 0);
	GEQ(signal_kill(t, (int)a, SIGCONT), 0);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	GEQ(r.status, SIGTERM);
	a = g_fork(t, sleeper);
	GEQ(signal_kill(t, (int)a, SIGSTOP), 0);
	GEQ(task_wait(t, P_PID, (int)a, WSTOPPED, &r), 1);
	GEQ(signal_kill(t, (int)a, SIGCONT), 0);
	GEQ(task_wait(t, P_PID, (int)a, WCONTINUED, &r), 1);
	GEQ(r.status, 0xffff);
	GEQ(signal_kill(t, (int)a, SIGSTOP), 0);
	GEQ(signal_kill(t, (int)a, SIGKILL), 0);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	GEQ(r.status, SIGKILL);
}
TEST(stop_continue)
{
	CHECK_EQ(g_run(p_stop), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_autoreap(struct task *t)
{
	struct ksigaction ign = {.handler = (uintptr_t)SIG_IGN};
	struct task_wait_result r;

	GEQ(signal_action(t, SIGCHLD, &ign, NULL), 0);
	g_fork(t, exit3);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), -ECHILD);
}
TEST(autoreap)
{
	CHECK_EQ(g_run(p_autoreap), 0);
	CHECK_EQ(g_failed, 0);
}

static void vchild(struct task *t)
{
	g_nap(t);
	g_store(t, GMEM + 100, 5);
	task_exit(t, 0);
}
static void p_vfork(struct task *t)
{
	struct task_wait_result r;

	g_store(t, GMEM + 100, 0);
	G(g_clone(t, CLONE_VM | CLONE_VFORK, SIGCHLD, vchild) > 0);
	GEQ(g_load(t, GMEM + 100), 5);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), 1);
}
TEST(vfork)
{
	CHECK_EQ(g_run(p_vfork), 0);
	CHECK_EQ(g_failed, 0);
}

static void ns_init(struct task *t)
{
	GEQ(task_tid_nr(t, t->pid_ns), 1);
	GEQ(task_getppid(t), 0);
	g_fork(t, sleeper);
	g_fork(t, sleeper);
	task_exit(t, 9 << 8);
}
static void p_pidns(struct task *t)
{
	struct task_wait_result r;
	long a = g_clone(t, CLONE_NEWPID, SIGCHLD, ns_init);

	G(a > 1);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	GEQ(r.status, 0x900);
	GEQ(task_wait(t, P_ALL, 0, WEXITED, &r), -ECHILD);
	GEQ(task_count(), 1);
}
TEST(pid_namespace)
{
	CHECK_EQ(g_run(p_pidns), 0);
	CHECK_EQ(g_failed, 0);
}

static void p_many(struct task *t)
{
	struct task_wait_result r;

	for (int i = 0; i < 30; i++)
		for (int k = 0; k < 10; k++)
			G(g_fork(t, k % 2 ? exit3 : orphan_maker) > 0 &&
				(k < 9 || signal_kill(t, -1, SIGKILL) == 0));
	while (task_wait(t, P_ALL, 0, WEXITED, &r) == 1)
		;
	GEQ(task_count(), 1);
}
TEST(many)
{
	CHECK_EQ(g_run(p_many), 0);
	CHECK_EQ(g_failed, 0);
}

static void spin_guest(struct task *t)
{
	struct pl_event ev;

	do {
		__atomic_store_n(&t->in_guest, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&t->ctx.intr, __ATOMIC_SEQ_CST))
			platform->ctx_run(task_plctx(t), &ev);
		__atomic_store_n(&t->in_guest, 0, __ATOMIC_SEQ_CST);
	} while (g_boundary(t, false));
}
static void p_freeze(struct task *t)
{
	struct task_wait_result r;
	long a = g_fork(t, spin_guest), b = g_fork(t, sleeper);

	(void)b;
	GEQ(signal_kill(t, (int)a, SIGKILL), 0);
	GEQ(task_wait(t, P_PID, (int)a, WEXITED, &r), 1);
	GEQ(r.status, SIGKILL);
}
TEST(interrupt_guest)
{
	CHECK_EQ(g_run(p_freeze), 0);
	CHECK_EQ(g_failed, 0);
}

static uint64_t progress;
static void runner(struct task *t)
{
	do {
		__atomic_fetch_add(&progress, 1, __ATOMIC_RELAXED);
		ctx_block(&t->ctx, time_monotonic() + 100000);
	} while (g_boundary(t, false));
}
static void stopped_then(struct task *t)
{
	GEQ(signal_kill(t, task_tgid_nr(t, t->pid_ns), SIGSTOP), 0);
	runner(t);
}
static void p_runners(struct task *t)
{
	g_fork(t, runner);
	g_fork(t, stopped_then);
	g_fork(t, spin_guest);
	g_pause(t);
}
TEST(freeze)
{
	struct pid_ns *ns;
	struct task *t;
	uint64_t seen;

	g_setup();
	g_done = 0;
	g_failed = 0;
	CHECK_EQ(pid_ns_new(NULL, &ns), 0);
	t = g_new(ns, p_runners);
	CHECK_EQ(task_start(t), 0);
	task_put(t);
	usleep(50000);
	for (int i = 0; i < 20; i++) {
		task_freeze_container(NULL);
		task_freeze_container(NULL);
		seen = READ_ONCE(progress);
		usleep(3000);
		task_thaw_container(NULL);
		usleep(3000);
		CHECK_EQ(READ_ONCE(progress), seen);
		task_thaw_container(NULL);
		while (READ_ONCE(progress) == seen)
			usleep(1000);
	}
	task_freeze_container(NULL);
	task_kill_container(NULL); /* death ends a freeze */
	task_wait_container_gone(NULL);
	CHECK_EQ(task_count(), 0);
	CHECK_EQ(g_status, SIGKILL);
	CHECK_EQ(g_failed, 0);
	pid_ns_put(ns);
}
