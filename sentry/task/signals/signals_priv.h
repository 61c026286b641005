/*
 * Between the files of signals/: delivery takes what sending queued, and builds frames.
 *
 * Queues are guarded by sighand->lock (not sleepable); frames are written to guest memory, which
 * may fault and block, without it.
 */
#ifndef SENTRY_TASK_SIGNALS_PRIV_H
#define SENTRY_TASK_SIGNALS_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sentry/core/arena.h"
#include "sentry/task/life.h"
#include "sentry/task/task.h"

/* Pushes the frame of a handler onto the guest's stack and points its registers there: 0, -EFAULT.
 */
int sigframe_setup(struct task *t, int sig, const struct ksigaction *a, const struct ksiginfo *info,
	ksigset_t mask);

#endif
