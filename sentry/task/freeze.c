/*
 * Freezing: every task of a container leaves its trap loop, so that nothing of it is on its
 * thread's stack (stage.h), and waits in task_park_frozen.
 *
 * freeze counts requests (pause and checkpoint may overlap); parked says that the task waits
 * there.  Both are guarded by tasks_lock.  SIGKILL ends a freeze for the task it kills, for good
 * (freeze becomes 0); a task that ends otherwise meanwhile ends, or is parked before the last
 * step (STAGE_ZAP).
 */
#include "sentry/core/root.h"
#include "sentry/task/task_priv.h"

struct freeze_globals {
	struct waitq wait;
};
static struct freeze_globals *freezer RO_AFTER_INIT;

static void freezer_init(void)
{
	/* It never ends, so it is not one that waitq_fini could be forgotten for. */
	freezer->wait = (struct waitq){.lock = MUTEX_INIT(LOCK_WAITQ),
		.waiters = LIST_INIT(freezer->wait.waiters)};
}
KERNEL_UNIT("freezer", freezer, freezer_init);

static bool in_container(const struct task *t, const struct container *c)
{
	return !c || t->tg->container == c;
}

static bool killed(const struct task *t)
{
	return __atomic_load_n(&t->ctx.intr, __ATOMIC_ACQUIRE) & CTX_INTR_KILL;
}

/* Must t, the caller, freeze?  The bit may be older than a thaw. */
static bool must_freeze(struct task *t) REQUIRES(tasks_lock)
{
	if (t->freeze)
		return true;
	__atomic_fetch_and(&t->ctx.intr, ~CTX_INTR_FREEZE, __ATOMIC_SEQ_CST);
	return false;
}

void task_park_frozen(struct task *t)
{
	mutex_lock(&tasks_lock);
	t->parked = true;
	waitq_wake(&freezer->wait, POLLIN);
	while (must_freeze(t) && !killed(t)) {
		mutex_unlock(&tasks_lock);
		ctx_block_until(&t->ctx, CTX_INTR_KILL);
		mutex_lock(&tasks_lock);
	}
	t->parked = false;
	mutex_unlock(&tasks_lock);
}

void task_unfreeze(struct task *t)
{
	if (!t->freeze)
		return;
	t->freeze = 0;
	ctx_wake(&t->ctx);
}

bool task_wait_until(struct task *t, bool (*over)(struct task *t))
{
	bool freeze;

	mutex_lock(&tasks_lock);
	for (;;) {
		freeze = !killed(t) && must_freeze(t);
		if (freeze || over(t) || killed(t))
			break;
		mutex_unlock(&tasks_lock);
		ctx_block_until(&t->ctx, CTX_INTR_KILL | CTX_INTR_FREEZE);
		mutex_lock(&tasks_lock);
	}
	mutex_unlock(&tasks_lock);
	return !freeze;
}

void task_freeze(struct task *t, bool on)
{
	if (on) {
		t->freeze++;
		task_interrupt(t, CTX_INTR_FREEZE);
	} else if (t->freeze) { /* else it was killed */
		t->freeze--;
		ctx_wake(&t->ctx);
	}
}

struct freeze_scan {
	struct container *c;
	int delta;
	uint32_t running;
};

static bool freeze_one(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	if (in_container(t, s->c))
		task_freeze(t, s->delta > 0);
	return true;
}

static bool count_running(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;

	s->running += in_container(t, s->c) && t->freeze && !t->parked &&
		      t->exit_state == TASK_ALIVE && t->host_tid;
	return true;
}

/* Waits on freezer->wait until the scan counts nothing. */
static void wait_until_none(struct container *c, bool (*fn)(struct task *, void *))
{
	struct waiter w;
	struct ctx ctx;

	ctx_init_kernel(&ctx, NULL);
	waiter_init_ctx(&w, &ctx, POLLIN);
	waitq_add(&freezer->wait, &w);
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

/*
 * Whoever a zombie waits for: a tracer, else its parent.  Where containers share a pid namespace
 * that may be another one's process (the namespace's init, which gets all orphans), and need never
 * look.
 */
static struct tgroup *waited_by(const struct task *t) REQUIRES(tasks_lock)
{
	return t->pt.tracer ? t->pt.tracer->tg : t->tg->parent;
}

/* Counts who is left; zombies that another container has to reap are that one's from now on. */
static bool count_all(struct task *t, void *arg) REQUIRES(tasks_lock)
{
	struct freeze_scan *s = arg;
	struct tgroup *by;

	if (!in_container(t, s->c))
		return true;
	by = t->exit_state == TASK_ZOMBIE && !t->tg->nthreads ? waited_by(t) : NULL;
	if (s->c && by && by->container != s->c)
		t->tg->container = by->container;
	else
		s->running++;
	return true;
}

void task_wait_container_gone(struct container *c)
{
	wait_until_none(c, count_all);
}

void freeze_task_gone(void)
{
	waitq_wake(&freezer->wait, POLLIN);
}
