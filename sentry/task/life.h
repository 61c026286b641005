/*
 * The lives of tasks as the parts of sentry/task take part in them: who hears of a stop or an end,
 * how a task waits and freezes at its user boundary.  Nobody outside sentry/task needs this.
 *
 * Locks: where tasks_lock is held, nothing here sleeps.  Only task_park_frozen and task_wait_until
 * do.
 */
#ifndef SENTRY_TASK_LIFE_H
#define SENTRY_TASK_LIFE_H

#include "sentry/task/task.h"

/* The reverse of linking: t is gone for everybody (release_task).  Drops the family's ref. */
void task_release(struct task *t) REQUIRES(tasks_lock);
/* Would pgrp be orphaned with ignored out of the way (NULL: nobody)? */
bool pgrp_is_orphaned(struct pid *pgrp, struct tgroup *ignored) REQUIRES(tasks_lock);
/* Tells the parent (or tracer) that t's process became waitable; true: nobody wants it, reap. */
bool notify_parent_exit(struct tgroup *tg) REQUIRES(tasks_lock);
/* A thread of tg was released late: the process may have become waitable. */
void task_group_check_ended(struct tgroup *tg) REQUIRES(tasks_lock);
/* CLD_STOPPED, CLD_CONTINUED or CLD_TRAPPED to the parent (or t's tracer). */
void notify_parent_stop(struct task *t, bool to_tracer, int why, int status) REQUIRES(tasks_lock);

/* --- freeze.c --- */
/* Keeps the calling task, which has left its trap loop, until it is thawed or killed. */
void task_park_frozen(struct task *t);
/* t is being killed: it does not freeze. */
void task_unfreeze(struct task *t) REQUIRES(tasks_lock);
/* At the calling task's user boundary: waits until over(t), asked under tasks_lock (whoever makes
 * it true wakes t), or t is killed.  false: t has to freeze; it waits again afterwards. */
bool task_wait_until(struct task *t, bool (*over)(struct task *t));

#endif
