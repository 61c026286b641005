/*
 * Freezing: every task of a container waits at its user boundary, where no
 * state hides on its stack.  A task that is stopped, or waits uninterruptibly
 * for a child (vfork) or its threads (execve), counts as frozen where it is:
 * it comes by the boundary before it runs again.
 *
 * freeze counts requests (pause and checkpoint may overlap); parked says that
 * the task waits in one of those places.  Both are guarded by tasks_lock.
 * SIGKILL ends a freeze for the task it kills.
 */
#include "sentry/task/task_priv.h"

static struct waitq freeze_wait = {.lock = MUTEX_INIT(LOCK_WAITQ),
	.waiters = LIST_INIT(freeze_wait.waiters)};

static bool in_container(const struct task *t, const struct container *c)
{
	return !c || t->tg->container == c;
}

void task_set_parked(struct task *t, bool on)
{
	t->parked = on;
	if (on && t->freeze)
		waitq_wake(&freeze_wait, POLLIN);
}

static bool must_freeze(struct task *t)
{
	MUTEX_GUARD(&tasks_lock);
	if (t->freeze)
		return true;
	__atomic_fetch_and(&t->ctx.intr, ~CTX_INTR_FREEZE, __ATOMIC_SEQ_CST);
	return false;
}

void task_park_frozen(struct task *t)
{
	while (must_freeze(t)) {
		mutex_lock(&tasks_lock);
		task_set_parked(t, true);
		mutex_unlock(&tasks_lock);
		if (ctx_block_killable(&t->ctx, DEADLINE_NEVER))
			break;
	}
	mutex_lock(&tasks_lock);
	task_set_parked(t, false);
	mutex_unlock(&tasks_lock);
}

struct freeze_scan {
	struct container *c;
	int delta;
	uint32_t running;
};

static bool freeze_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	if (!in_container(t, s->c))
		return true;
	t->freeze += (uint32_t)s->delta;
	if (s->delta > 0)
		task_interrupt(t, CTX_INTR_FREEZE);
	else
		ctx_wake(&t->ctx);
	return true;
}

static bool count_running(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	s->running += in_container(t, s->c) && t->freeze && !t->parked && !t->exiting &&
		      t->exit_state == TASK_ALIVE && t->host_tid;
	return true;
}

/* Waits on freeze_wait until the scan counts nothing. */
static void wait_until_none(struct container *c, bool (*fn)(struct task *, void *))
{
	struct waiter w;
	struct ctx ctx;

	ctx_init_kernel(&ctx, NULL);
	waiter_init_ctx(&w, &ctx, POLLIN);
	waitq_add(&freeze_wait, &w);
	for (;;) {
		struct freeze_scan s = {.c = c};

		mutex_lock(&tasks_lock);
		task_for_each(fn, &s);
		mutex_unlock(&tasks_lock);
		if (!s.running)
			break;
		/* Ends of threads are told; the deadline only guards against a lost one. */
		ctx_block(&ctx, time_monotonic() + NSEC_PER_SEC / 10);
	}
	waitq_del(&w);
}

void task_freeze_container(struct container *c)
{
	struct freeze_scan s = {.c = c, .delta = 1};

	mutex_lock(&tasks_lock);
	task_for_each(freeze_one, &s);
	mutex_unlock(&tasks_lock);
	wait_until_none(c, count_running);
}

void task_thaw_container(struct container *c)
{
	struct freeze_scan s = {.c = c, .delta = -1};

	MUTEX_GUARD(&tasks_lock);
	task_for_each(freeze_one, &s);
}

static bool kill_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	if (in_container(t, s->c) && t->tg->leader == t)
		signal_kill_group_locked(t->tg);
	return true;
}

void task_kill_container(struct container *c)
{
	struct freeze_scan s = {.c = c};

	MUTEX_GUARD(&tasks_lock);
	task_for_each(kill_one, &s);
}

static bool count_all(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	s->running += in_container(t, s->c);
	return true;
}

void task_wait_container_gone(struct container *c)
{
	wait_until_none(c, count_all);
}

void freeze_task_gone(void)
{
	waitq_wake(&freeze_wait, POLLIN);
}
