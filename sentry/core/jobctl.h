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

/*
 * Controlling terminals.  Each process owns a reference to its own (guarded by LOCK_TASKS), so it
 * is never the last one that is dropped while the caller of these verbs holds one too.  Who changes
 * tty->session does so with the terminal's lock held from before the verb until after: a process
 * whose terminal is tty belongs to tty->session.
 */
/* The caller's, with a reference (tty_put); NULL: none. */
struct tty *jobctl_tty_get(struct ctx *ctx);
/* Is it tty?  Only compares: takes no lock. */
bool jobctl_tty_is(struct ctx *ctx, const struct tty *tty);
/* tty becomes the caller's, who leads a session and has none: 0, and both groups with references
 * (owned by the caller).  -EPERM: not so. */
int jobctl_acquire_tty(struct ctx *ctx, struct tty *tty, struct pid **session, struct pid **pgrp);
/* The calling process alone gives tty up. */
void jobctl_drop_tty(struct ctx *ctx, struct tty *tty);
/* tty is no longer the controlling terminal of any process of the session. */
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
