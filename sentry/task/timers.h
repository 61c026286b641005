/*
 * Timers and clocks that belong to tasks: setitimer(2), timer_create(2),
 * clock_gettime(2) of CPU-time clocks, clock_nanosleep(2), RLIMIT_CPU.
 *
 * Locks: tg->timers_lock guards a group's timers; expiry runs on the timer
 * thread and sends signals with no timer lock held.
 */
#ifndef SENTRY_TASK_TIMERS_H
#define SENTRY_TASK_TIMERS_H

#include "sentry/core/uaccess.h"
#include "sentry/signal/signal.h"
#include "sentry/time/time.h"

struct task;
struct tgroup;

struct itimer_k {
	int64_t value, interval; /* ns; value 0: disarmed */
};

/* which: ITIMER_*; new may be NULL (getitimer).  -EINVAL. */
int task_itimer(struct task *t, int which, const struct itimer_k *new, struct itimer_k *old);
/* alarm(2): whole seconds left of the old one, rounded up. */
uint32_t task_alarm(struct task *t, uint32_t seconds);

struct sigevent_k {
	uint64_t value;
	int32_t signo, notify; /* SIGEV_* */
	int32_t tid;           /* SIGEV_THREAD_ID */
};
/* ev NULL: SIGALRM with the id as value.  -EINVAL, -EAGAIN. */
int task_timer_create(struct task *t, int clock, const struct sigevent_k *ev, int32_t *id);
int task_timer_settime(struct task *t, int32_t id, bool abs, const struct itimer_k *new,
	struct itimer_k *old);
int task_timer_gettime(struct task *t, int32_t id, struct itimer_k *out);
int task_timer_getoverrun(struct task *t, int32_t id);
int task_timer_delete(struct task *t, int32_t id);
/* execve and exit. */
void task_timers_exec(struct tgroup *tg);
void task_timers_exit(struct tgroup *tg);
/* RLIMIT_CPU changed. */
void task_rlimit_cpu_changed(struct tgroup *tg);

/* Any clock id, the dynamic ones of clock_getcpuclockid(3) too.  -EINVAL, -ESRCH is not used. */
int task_clock_get(struct task *t, int clock, int64_t *ns);
int task_clock_getres(struct task *t, int clock, int64_t *ns);

/*
 * clock_nanosleep(2), nanosleep(2).  req: ns.  rem: where what is left goes when interrupted
 * (UADDR_NULL: nowhere).  0, -EINVAL, -EOPNOTSUPP, a restart code.
 */
long task_nanosleep(struct task *t, int clock, bool abs, int64_t req, uaddr_t rem);
/* restart_syscall(2) of futex waits and sleeps; others set restart.nr and are the caller's
 * business: -ENOSYS tells that. */
long task_restart_syscall(struct task *t);

/* --- for the rest of sentry/task --- */

void timers_init(void);
/* A dequeued signal of a timer: overrun, next expiry.  No locks held. */
void timer_signal_taken(struct task *t, struct ksiginfo *info, void *timer);
void itimer_real_taken(struct task *t);

#endif
