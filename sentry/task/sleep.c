/* nanosleep(2), clock_nanosleep(2) and what restart_syscall(2) goes on with. */
#include <sys/syscall.h>

#include "lib/abi/types.h"
#include "sentry/task/task_priv.h"

/* Tells how much is left.  -EFAULT wins over the restart code. */
static long put_rem(struct task *t, uaddr_t rem, int64_t left)
{
	struct abi_timespec ts;

	if (!rem.v)
		return 0;
	left = MAX(left, 0L);
	ts.tv_sec = left / NSEC_PER_SEC;
	ts.tv_nsec = left % NSEC_PER_SEC;
	return uaccess_put(&t->ctx, rem, &ts);
}

static int sleep_until(struct task *t, int64_t deadline)
{
	int err;

	do
		err = ctx_block(&t->ctx, deadline);
	while (!err);
	return err == -ETIMEDOUT ? 0 : err;
}

static long sleep_relative(struct task *t, int64_t deadline, uaddr_t rem)
{
	int err = sleep_until(t, deadline);

	if (!err)
		return 0;
	if (put_rem(t, rem, deadline - time_monotonic()))
		return -EFAULT;
	t->restart =
		(struct task_restart){.nr = SYS_nanosleep, .deadline = deadline, .args = {rem.v}};
	return -ERESTART_RESTARTBLOCK;
}

/* A process' CPU clock: looks again when it could be there at the earliest. */
static long sleep_cpu(struct task *t, int clock, bool abs, int64_t req)
{
	int64_t now, end;
	int err = task_clock_get(t, clock, &now);

	if (err)
		return err;
	end = abs ? req : now + req;
	while (now < end) {
		int64_t left = (end - now) / (MAX(READ_ONCE(t->tg->nthreads), 1u));

		err = ctx_block(&t->ctx, time_monotonic() + MAX(left, 1000000L));
		if (err && err != -ETIMEDOUT)
			return abs ? -ERESTARTNOHAND : -EINTR;
		task_clock_get(t, clock, &now);
	}
	return 0;
}

long task_nanosleep(struct task *t, int clock, bool abs, int64_t req, uaddr_t rem)
{
	int64_t now, deadline;

	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		break;
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		if (!ctx_capable(&t->ctx, CAP_WAKE_ALARM))
			return -EPERM;
		break;
	case CLOCK_THREAD_CPUTIME_ID:
		return -EOPNOTSUPP; /* would never end */
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		return -EOPNOTSUPP;
	default:
		if (clock >= 0 && clock != CLOCK_PROCESS_CPUTIME_ID)
			return -EINVAL;
		return sleep_cpu(t, clock, abs, req);
	}
	if (!abs) {
		if (__builtin_add_overflow(time_monotonic(), req, &deadline))
			deadline = DEADLINE_NEVER;
		return sleep_relative(t, deadline, rem);
	}
	time_clock_get(clock, &now);
	if (req <= now)
		return 0;
	if (__builtin_add_overflow(time_monotonic(), req - now, &deadline))
		deadline = DEADLINE_NEVER;
	return sleep_until(t, deadline) ? -ERESTARTNOHAND : 0;
}

long task_restart_syscall(struct task *t)
{
	struct task_restart r = t->restart;

	switch (r.nr) {
	case 0:
		return -EINTR;
	case SYS_nanosleep:
		return sleep_relative(t, r.deadline, UADDR(r.args[0]));
	case SYS_futex:
		return futex_wait(t, UADDR(r.args[0]), (uint32_t)r.args[1], (uint32_t)r.args[2],
			r.args[3], r.deadline, true);
	default:
		return -ENOSYS;
	}
}
