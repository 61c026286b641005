/*
 * Job control as terminals see it.  sentry/fs (tty) is below sentry/task, so it
 * holds process groups and sessions as opaque, reference-counted struct pid *
 * and calls these verbs, which sentry/task/jobctl.c implements.
 *
 * They take LOCK_TASKS: the caller may hold LOCK_TTY but nothing ranked above.
 */
#ifndef SENTRY_CORE_JOBCTL_H
#define SENTRY_CORE_JOBCTL_H

#include <stdbool.h>
#include <stdint.h>

struct ctx;
struct pid;
struct tty;

struct pid *jobctl_get(struct pid *p);
void jobctl_put(struct pid *p); /* NULL-safe */

/* The caller's own process group and session, each with a reference; NULL for a kernel ctx. */
struct pid *jobctl_pgrp(struct ctx *ctx);
struct pid *jobctl_session(struct ctx *ctx);
bool jobctl_is_session_leader(struct ctx *ctx);

/* The controlling terminal of the caller's process (a borrowed pointer, NULL: none). */
struct tty *jobctl_tty(struct ctx *ctx);
/* Sets (or clears with NULL) it; of the calling process only. */
void jobctl_set_tty(struct ctx *ctx, struct tty *tty);
/* Makes tty no longer the controlling terminal of any process of the session. */
void jobctl_clear_session_tty(struct pid *session, struct tty *tty);

/* The process group numbered pgid in the caller's namespace (with a reference) if it is one of
 * the given session: else NULL and *err is -ESRCH or -EPERM (TIOCSPGRP). */
struct pid *jobctl_find_pgrp(struct ctx *ctx, int32_t pgid, struct pid *session, int *err);
/* The number as the caller sees it, 0 if it does not. */
int32_t jobctl_nr(struct ctx *ctx, struct pid *p);
/* For credentials on sockets: the caller's own process, and the one numbered nr as the caller
 * sees it, each with a reference; NULL: a kernel ctx; there is none. */
struct pid *jobctl_process(struct ctx *ctx);
struct pid *jobctl_find_process(struct ctx *ctx, int32_t nr);

/* Sends signo (code SI_KERNEL) to every process of the group, or to the session's leader. */
int jobctl_signal_pgrp(struct pid *pgrp, int signo);
int jobctl_signal_session_leader(struct pid *session, int signo);

/*
 * A background process is about to use the terminal (read: SIGTTIN; write, change: SIGTTOU).
 * 0: go on (SIGTTOU ignored or blocked); -EIO: the signal is ignored or blocked (SIGTTIN) or
 * the group is orphaned; -ERESTARTSYS: the signal has been sent to the caller's group.
 */
int jobctl_check_background(struct ctx *ctx, int signo);

/* Registered by the tty: the leader of session, whose terminal tty is, exits (or gives it up):
 * SIGHUP and SIGCONT to the foreground group, the terminal is hung up.  Sleepable context. */
typedef void (*jobctl_disassociate_fn)(struct tty *tty, struct pid *session, bool exiting);
void jobctl_set_disassociate(jobctl_disassociate_fn fn);

#endif
