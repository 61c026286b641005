/*
 * Between ptrace.c and request.c: attaching, and what a stop is.
 *
 * tasks_lock guards task.pt of every task.  A stopped tracee's registers may be touched with it
 * held; guest memory only without, for that may block.
 */
#ifndef SENTRY_TASK_PTRACE_PRIV_H
#define SENTRY_TASK_PTRACE_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sentry/core/arena.h"
#include "sentry/task/life.h"
#include "sentry/task/task.h"

int ptrace_attach(struct task *t, struct task *target, bool seize, uint32_t opts);
int ptrace_traceme(struct task *t);
/* tasks_lock held; target is traced by the caller. */
int ptrace_interrupt(struct task *target) REQUIRES(tasks_lock);

#endif
