/*
 * What signals do to tasks: sending with choice of the thread, permission,
 * stopping and continuing, delivery at the user boundary (signal(7)).
 *
 * Locks: senders take tasks_lock, then the target's sighand->lock; a task looks
 * at its own queues under its sighand->lock alone.
 */
#ifndef SENTRY_TASK_SIGNALS_H
#define SENTRY_TASK_SIGNALS_H

#include "sentry/core/uaccess.h"
#include "sentry/signal/signal.h"
#include "sentry/task/pid.h"
#include "sentry/task/stage.h"

struct task;
struct tgroup;

static inline void ksiginfo_init(struct ksiginfo *i, int signo, int code)
{
	__builtin_memset(i, 0, sizeof(*i));
	i->signo = signo;
	i->code = code;
}

/* Sends to one thread / a process / a group; no permission check.  0 or -errno (-EAGAIN: the
 * queue is full; -ESRCH).  Take tasks_lock. */
int signal_send_task(struct task *t, const struct ksiginfo *info);
int signal_send_group(struct tgroup *tg, const struct ksiginfo *info);
int signal_send_pgrp(struct pid *pgrp, const struct ksiginfo *info);
/* The same with tasks_lock held. */
int signal_send_task_locked(struct task *t, const struct ksiginfo *info) REQUIRES(tasks_lock);
int signal_send_group_locked(struct tgroup *tg, const struct ksiginfo *info) REQUIRES(tasks_lock);
int signal_send_pgrp_locked(struct pid *pgrp, const struct ksiginfo *info) REQUIRES(tasks_lock);

/* kill(2) with pid > 0, 0, -1, < -1: permission checks; sig 0 only checks. */
int signal_kill(struct task *from, int32_t pid, int sig);
/* rt_sigqueueinfo(2): to the process; the caller's rules on si_code are applied here. */
int signal_queue(struct task *from, int32_t tgid, const struct ksiginfo *info);
/* tgkill(2), tkill(2) (tgid <= 0: any) and rt_tgsigqueueinfo(2).  info->signo may be 0. */
int signal_tgkill(struct task *from, int32_t tgid, int32_t tid, const struct ksiginfo *info);
/* si_code SI_TKILL or SI_USER with the sender's identity filled in at delivery. */
void ksiginfo_user(struct ksiginfo *i, struct task *from, int signo, int code);
/* kill_ok_by_cred and the SIGCONT exception; from may be NULL (kernel). */
bool signal_may_send(struct task *from, struct task *to, int sig) REQUIRES(tasks_lock);
/* A fault in the guest: cannot be blocked or ignored (forced to default then). */
void signal_force(struct task *t, const struct ksiginfo *info);
/* As signal_force, but always with the default action (a broken signal frame): fatal. */
void signal_force_fatal(struct task *t, int signo);
/* SIGKILL, also to an init: the whole group dies. */
void signal_kill_group_locked(struct tgroup *tg) REQUIRES(tasks_lock);

/* sigaction(2): either may be NULL.  -EINVAL. */
int signal_action(struct task *t, int sig, const struct ksigaction *new, struct ksigaction *old);
/* Changes t's own blocked set (SIGKILL, SIGSTOP are taken out). */
void signal_set_blocked(struct task *t, ksigset_t set);
/* For sigsuspend, ppoll, pselect, epoll_pwait: blocks set until the user boundary, where the old
 * set comes back (after a handler ran, or at once if none does).  If the call returns anything
 * but a restart code or -EINTR, end with signal_restore_blocked. */
void signal_set_blocked_until_return(struct task *t, ksigset_t set);
void signal_restore_blocked(struct task *t);
/* Is a signal deliverable to t (or death, or a stop due)? */
bool signal_pending(struct task *t);
/* Recomputes CTX_INTR_SIGNAL of the calling task; sighand->lock held. */
void signal_recalc(struct task *t);
/* Pending for t, blocked ones included (sigpending(2): & blocked by the caller). */
ksigset_t signal_pending_set(struct task *t);
/* sigtimedwait(2): the signal's number, -EAGAIN, -EINTR. */
int signal_timedwait(struct task *t, ksigset_t which, struct ksiginfo *out, int64_t deadline);
/* Takes one pending signal of the set: its number or 0 (signalfd). */
int signal_dequeue(struct task *t, ksigset_t which, struct ksiginfo *out);

/*
 * At the user boundary: takes pending signals, stops, builds handler frames, turns the restart code
 * of a call that has just ended (t->call_ended, rax).  BOUNDARY_WAIT: task_await, then again;
 * BOUNDARY_END: task_exit_thread.
 */
enum boundary signal_deliver(struct task *t);
/* rt_sigreturn(2); the result is what belongs into rax. */
long signal_rt_sigreturn(struct task *t);
/* sigaltstack(2); sp: the guest's stack pointer. */
int signal_sigaltstack(struct task *t, uaddr_t ss, uaddr_t old, uint64_t sp);

/* signalfd4(2): fd -1 makes a new file in *out; else changes file f's mask. */
struct file;
struct ctx;
int signalfd_create(struct ctx *ctx, ksigset_t mask, uint64_t flags, struct file **out);
int signalfd_change(struct file *f, ksigset_t mask);

/* --- for the rest of sentry/task --- */

void signalfd_init(void);
/* Forgets that t was to join a group stop; sighand->lock held.  True: it was the last one. */
bool group_stop_leave(struct task *t) REQUIRES(tasks_lock);
/* As a timer: t NULL: to the group. */
int signal_send_timer_locked(struct tgroup *tg, struct task *t, const struct ksiginfo *info,
	void *timer) REQUIRES(tasks_lock);
/* As signal_force_fatal with all of the siginfo. */
void signal_force_fatal_info(struct task *t, const struct ksiginfo *info);
void signal_retarget_exit(struct task *t) REQUIRES(tasks_lock);
/* sighand->lock held: t must die. */
void signal_wake_kill(struct task *t) REQUIRES(tasks_lock);
bool sig_handler_is(struct task *t, int sig, uintptr_t handler);

#endif
