/*
 * Between the files of sentry/task itself: how tasks and groups come and go.
 *
 * A task has a reference of its family (from task_link to task_release), one of its host thread,
 * and those that look-ups hand out; a group goes with its last task.  tasks_lock guards the family
 * and is not sleepable; what REQUIRES it here allocates at most.
 */
#ifndef SENTRY_TASK_TASK_PRIV_H
#define SENTRY_TASK_TASK_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/task/life.h"
#include "sentry/task/task.h"

/* --- task.c, tgroup.c: objects --- */
/* Do the ids for files or the capabilities differ so that PR_GET_DUMPABLE becomes 0? */
bool task_cred_gained(const struct cred *old, const struct cred *c);
/* An empty task of tg (which gets one more reference); not linked anywhere. */
struct task *task_alloc(struct tgroup *tg);
struct tgroup *tgroup_alloc(void);
/* Makes t visible: in its group, in the pid table.  t->pid is set. */
void task_link(struct task *t) REQUIRES(tasks_lock);
void task_unlink(struct task *t) REQUIRES(tasks_lock);
/* The caller's own fs is new from here on (NULL: none); the old one is the caller's to put. */
struct fsctx *task_swap_fs(struct task *t, struct fsctx *new);
/* Drops what t owns of files, memory and name spaces. */
void task_drop_resources(struct task *t);
/* -EAGAIN.  The host thread's reference to t is made here.  worker.c */
int task_start_thread(struct task *t);
/* All that a host thread does for t. */
void task_main(struct task *t);
/* In ns; 0: there is no such thread. */
uint64_t thread_cpu_time(int32_t tid);

void tgroup_join_pgrp(struct tgroup *tg, struct pid *pgrp) REQUIRES(tasks_lock);
void tgroup_join_session(struct tgroup *tg, struct pid *session) REQUIRES(tasks_lock);
void tgroup_leave_groups(struct tgroup *tg) REQUIRES(tasks_lock);
/* tg exits or changes group: SIGHUP and SIGCONT to a group that is now orphaned and stopped. */
void pgrp_check_orphaned(struct tgroup *tg, struct tgroup *parent, bool exiting)
	REQUIRES(tasks_lock);
void jobctl_exit_session(struct tgroup *tg);

/* init of a dying namespace looks again whether the others have gone. */
void wake_dying_ns(struct pid_ns *ns) REQUIRES(tasks_lock);

/* --- clone.c, exec.c: what task_await goes on with; false: t has to freeze --- */
bool vfork_await(struct task *t);
bool exec_await(struct task *t);
void vfork_release(struct task *t);

/* --- freeze.c --- */
/* One request more or less on t. */
void task_freeze(struct task *t, bool on) REQUIRES(tasks_lock);
void freeze_task_gone(void); /* a thread ended: whoever waits for that looks again */

/* --- files --- */
void pidfd_init(void);
void nsfs_init(void);
/* Everything that polls the pid looks again. */
static inline void pid_wake(struct pid *p)
{
	waitq_wake(&p->wait, POLLIN | POLLRDNORM | POLLHUP);
}

#endif
