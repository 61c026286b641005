/* Shared by the files of sentry/task; does not leave the folder. */
#ifndef SENTRY_TASK_TASK_PRIV_H
#define SENTRY_TASK_TASK_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
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
/* The reverse of linking: t is gone for everybody (release_task).  Drops the family's ref. */
void task_release(struct task *t) REQUIRES(tasks_lock);
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
/* Would pgrp be orphaned with ignored out of the way (NULL: nobody)? */
bool pgrp_is_orphaned(struct pid *pgrp, struct tgroup *ignored) REQUIRES(tasks_lock);
/* tg exits or changes group: SIGHUP and SIGCONT to a group that is now orphaned and stopped. */
void pgrp_check_orphaned(struct tgroup *tg, struct tgroup *parent, bool exiting)
	REQUIRES(tasks_lock);
void jobctl_exit_session(struct tgroup *tg);

/* --- exit.c --- */
/* Tells the parent (or tracer) that t's process became waitable; true: nobody wants it, reap. */
bool notify_parent_exit(struct tgroup *tg) REQUIRES(tasks_lock);
/* A thread of tg was released late: the process may have become waitable. */
void task_group_check_ended(struct tgroup *tg) REQUIRES(tasks_lock);
void vfork_release(struct task *t);

/* --- signals --- */
/* CLD_STOPPED, CLD_CONTINUED or CLD_TRAPPED to the parent (or t's tracer). */
void notify_parent_stop(struct task *t, bool to_tracer, int why, int status) REQUIRES(tasks_lock);
/* Recomputes CTX_INTR_SIGNAL of the calling task; sighand->lock held. */
void signal_recalc(struct task *t);
bool signal_wants_attention_locked(struct task *t);
/* Forgets that t was to join a group stop; sighand->lock held.  True: it was the last one. */
bool group_stop_leave(struct task *t);
/* As a timer: t NULL: to the group. */
int signal_send_timer_locked(struct tgroup *tg, struct task *t, const struct ksiginfo *info,
	void *timer) REQUIRES(tasks_lock);
/* As signal_force_fatal with all of the siginfo. */
void signal_force_fatal_info(struct task *t, const struct ksiginfo *info);
void signal_retarget_exit(struct task *t) REQUIRES(tasks_lock);
void signal_wake_kill(struct task *t); /* sighand->lock held: t must die */
bool sig_handler_is(struct task *t, int sig, uintptr_t handler);
int sigframe_setup(struct task *t, int sig, const struct ksigaction *a, const struct ksiginfo *info,
	ksigset_t mask);
/* A dequeued signal of a timer: overrun, next expiry.  No locks held. */
void timer_signal_taken(struct task *t, struct ksiginfo *info, void *timer);
void itimer_real_taken(struct task *t);
/* Parks the calling task until the flag that keeps it is gone; freeze.c. */
void task_park_frozen(struct task *t);
void task_set_parked(struct task *t, bool on) REQUIRES(tasks_lock);
void freeze_task_gone(void); /* a thread ended: whoever waits for that looks again */

/* PTRACE_EVENT_* (libc's are an enum of sys/ptrace.h, which clashes with linux/ptrace.h). */
enum {
	PTRACE_EVENT_FORK_ = 1,
	PTRACE_EVENT_VFORK_ = 2,
	PTRACE_EVENT_CLONE_ = 3,
	PTRACE_EVENT_EXEC_ = 4,
	PTRACE_EVENT_VFORK_DONE_ = 5,
	PTRACE_EVENT_EXIT_ = 6,
	PTRACE_EVENT_SECCOMP_ = 7,
	PTRACE_EVENT_STOP_ = 128,
};

/* --- ptrace.c --- */
void ptrace_init_task(struct task *t);
void ptrace_unlink(struct task *t) REQUIRES(tasks_lock);
void ptrace_exit(struct task *t) REQUIRES(tasks_lock); /* t as tracer is going */
/* A signal is about to be delivered to the traced t: the signal to go on with, 0: none. */
int ptrace_signal(struct task *t, int sig, struct ksiginfo *info);
/* Stops t; why: CLD_TRAPPED and so on.  Returns the signal the tracer wants injected. */
int ptrace_stop(struct task *t, uint32_t stop_code, int why, uint64_t msg, struct ksiginfo *info);
bool ptrace_event_enabled(struct task *t, int event);
void ptrace_event(struct task *t, int event, uint64_t msg);
/* seccomp's: the tracer may ask for the call as well. */
void ptrace_event_syscall(struct task *t, int event, uint64_t msg);
/* Stops for PTRACE_INTERRUPT and group stops of seized tracees; at the user boundary. */
bool ptrace_trap_due(struct task *t);
void ptrace_do_trap(struct task *t);
/* The group stop of a traced task: stops for the tracer instead. */
void ptrace_group_stop(struct task *t, int sig);
/* A traced task has started a new program. */
void ptrace_exec(struct task *t, uint64_t old_tid);
void ptrace_new_child(struct task *t, struct task *child, int event) REQUIRES(tasks_lock);

/* --- seccomp.c --- */
void task_seccomp_copy(struct task *c, struct task *t) REQUIRES(tasks_lock);
void task_seccomp_release(struct task *t);

/* --- files --- */
void pidfd_init(void);
void signalfd_init(void);
void timers_init(void);
void nsfs_init(void);
void sigio_init(void);
void futex_init(void);
/* Everything that polls the pid looks again. */
static inline void pid_wake(struct pid *p)
{
	waitq_wake(&p->wait, POLLIN | POLLRDNORM | POLLHUP);
}

static inline bool tgroup_is_traced_leader(const struct tgroup *tg)
{
	return task_traced(tg->leader);
}

#endif
