/* System calls on time: clocks, sleeping, timers. */
#include <sys/time.h>
#include <sys/timex.h>

#include "lib/abi/signal.h"
#include "syscalls/sys_priv.h"

int timespec_in(struct task *t, uaddr_t from, int64_t *ns)
{
	struct timespec ts;
	if (uaccess_get(&t->ctx, &ts, from))
		return -EFAULT;
	return timespec_to_ns(ts.tv_sec, ts.tv_nsec, ns);
}

int timeval_in(struct task *t, uaddr_t from, int64_t *ns)
{
	struct timeval tv;
	if (uaccess_get(&t->ctx, &tv, from))
		return -EFAULT;
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EINVAL;
	return timespec_to_ns(tv.tv_sec, tv.tv_usec * 1000, ns);
}

int timespec_out(struct task *t, uaddr_t to, int64_t ns)
{
	struct timespec ts = {ns / NSEC_PER_SEC, ns % NSEC_PER_SEC};
	return uaccess_put(&t->ctx, to, &ts);
}

static struct timeval timeval_of(int64_t ns)
{
	return (struct timeval){ns / NSEC_PER_SEC, ns % NSEC_PER_SEC / 1000};
}

/* --- clocks --- */

long sys_clock_gettime(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	int r = task_clock_get(t, ARG_I32(0), &ns);
	return r < 0 ? r : timespec_out(t, ARG_PTR(1), ns);
}

long sys_clock_getres(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	int r = task_clock_getres(t, ARG_I32(0), &ns);
	if (r < 0)
		return r;
	return ARG_U64(1) ? timespec_out(t, ARG_PTR(1), ns) : 0;
}

/* Setting the clock is not a container's business, even for one with CAP_SYS_TIME. */
static long refuse_set(struct task *t, int64_t ns)
{
	return -EPERM;
}

long sys_clock_settime(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	int clock = ARG_I32(0);
	if (clock != CLOCK_REALTIME)
		return task_clock_get(t, clock, &ns) < 0 || clock >= 0 ? -EINVAL : -EPERM;
	int r = timespec_in(t, ARG_PTR(1), &ns);
	return r < 0 ? r : refuse_set(t, ns);
}

long sys_gettimeofday(struct task *t, const struct sysargs *a)
{
	struct timeval tv = timeval_of(time_realtime());
	struct timezone tz = {0};
	if (ARG_U64(0) && uaccess_put(&t->ctx, ARG_PTR(0), &tv))
		return -EFAULT;
	return ARG_U64(1) ? uaccess_put(&t->ctx, ARG_PTR(1), &tz) : 0;
}

long sys_settimeofday(struct task *t, const struct sysargs *a)
{
	int64_t ns = 0;
	int r = ARG_U64(0) ? timeval_in(t, ARG_PTR(0), &ns) : 0;
	return r < 0 ? r : refuse_set(t, ns);
}

long sys_time(struct task *t, const struct sysargs *a)
{
	int64_t now = time_realtime() / NSEC_PER_SEC;
	if (ARG_U64(0) && uaccess_put(&t->ctx, ARG_PTR(0), &now))
		return -EFAULT;
	return now;
}

static long do_adjtimex(struct task *t, uaddr_t p)
{
	struct timex tx;
	if (uaccess_get(&t->ctx, &tx, p))
		return -EFAULT;
	if (tx.modes && tx.modes != ADJ_OFFSET_SS_READ)
		return -EPERM;
	__builtin_memset(&tx, 0, sizeof(tx));
	tx.status = STA_UNSYNC;
	tx.maxerror = tx.esterror = 16000000;
	tx.tick = 10000;
	tx.tolerance = 32768000;
	tx.precision = 1;
	tx.time = timeval_of(time_realtime());
	return uaccess_put(&t->ctx, p, &tx) ? -EFAULT : TIME_ERROR;
}

long sys_adjtimex(struct task *t, const struct sysargs *a)
{
	return do_adjtimex(t, ARG_PTR(0));
}

long sys_clock_adjtime(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	if (ARG_I32(0) != CLOCK_REALTIME)
		return task_clock_get(t, ARG_I32(0), &ns) < 0 ? -EINVAL : -EOPNOTSUPP;
	return do_adjtimex(t, ARG_PTR(1));
}

/* --- sleeping --- */

long sys_nanosleep(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	int r = timespec_in(t, ARG_PTR(0), &ns);
	return r < 0 ? r : task_nanosleep(t, CLOCK_MONOTONIC, false, ns, ARG_PTR(1));
}

long sys_clock_nanosleep(struct task *t, const struct sysargs *a)
{
	int64_t ns;
	int r = timespec_in(t, ARG_PTR(2), &ns);
	if (r < 0)
		return r;
	return task_nanosleep(t, ARG_I32(0), ARG_I32(1) & TIMER_ABSTIME, ns, ARG_PTR(3));
}

long sys_restart_syscall(struct task *t, const struct sysargs *a)
{
	if (t->restart.nr == SYS_poll)
		return poll_restart(t);
	return task_restart_syscall(t);
}

/* --- interval timers --- */

static long itimer_out(struct task *t, uaddr_t to, const struct itimer_k *k)
{
	struct itimerval v = {timeval_of(k->interval), timeval_of(k->value)};
	/* An armed timer never reads as zero. */
	if (k->value > 0 && k->value < 1000)
		v.it_value.tv_usec = 1;
	return uaccess_put(&t->ctx, to, &v);
}

long sys_getitimer(struct task *t, const struct sysargs *a)
{
	struct itimer_k k;
	int r = task_itimer(t, ARG_I32(0), NULL, &k);
	return r < 0 ? r : itimer_out(t, ARG_PTR(1), &k);
}

long sys_setitimer(struct task *t, const struct sysargs *a)
{
	struct itimer_k new = {0}, old;
	if (ARG_U64(1)) {
		int r = timeval_in(t, ARG_PTR(1), &new.interval);
		if (r == 0)
			r = timeval_in(t, uaddr_add(ARG_PTR(1), sizeof(struct timeval)),
				&new.value);
		if (r < 0)
			return r;
	}
	int r = task_itimer(t, ARG_I32(0), &new, &old);
	if (r < 0)
		return r;
	return ARG_U64(2) ? itimer_out(t, ARG_PTR(2), &old) : 0;
}

long sys_alarm(struct task *t, const struct sysargs *a)
{
	return task_alarm(t, ARG_U32(0));
}

/* --- POSIX timers, timerfd --- */

long itimerspec_in(struct task *t, uaddr_t from, struct itimer_k *k)
{
	int r = timespec_in(t, from, &k->interval);
	return r < 0 ? r : timespec_in(t, uaddr_add(from, sizeof(struct timespec)), &k->value);
}

long itimerspec_out(struct task *t, uaddr_t to, const struct itimer_k *k)
{
	struct itimerspec v = {{k->interval / NSEC_PER_SEC, k->interval % NSEC_PER_SEC},
		{k->value / NSEC_PER_SEC, k->value % NSEC_PER_SEC}};
	return uaccess_put(&t->ctx, to, &v);
}

long sys_timer_create(struct task *t, const struct sysargs *a)
{
	struct abi_sigevent ev;
	struct sigevent_k k;
	int32_t id;
	if (ARG_U64(1)) {
		if (uaccess_get(&t->ctx, &ev, ARG_PTR(1)))
			return -EFAULT;
		k = (struct sigevent_k){ev.sigev_value, ev.sigev_signo, ev.sigev_notify,
			ev.sigev_tid};
	}
	int r = task_timer_create(t, ARG_I32(0), ARG_U64(1) ? &k : NULL, &id);
	if (r < 0)
		return r;
	if (uaccess_put(&t->ctx, ARG_PTR(2), &id)) {
		task_timer_delete(t, id);
		return -EFAULT;
	}
	return 0;
}

long sys_timer_settime(struct task *t, const struct sysargs *a)
{
	struct itimer_k new, old;
	if (!ARG_U64(2))
		return -EINVAL;
	long r = itimerspec_in(t, ARG_PTR(2), &new);
	if (r == 0)
		r = task_timer_settime(t, ARG_I32(0), ARG_I32(1) & TIMER_ABSTIME, &new, &old);
	if (r < 0)
		return r;
	return ARG_U64(3) ? itimerspec_out(t, ARG_PTR(3), &old) : 0;
}

long sys_timer_gettime(struct task *t, const struct sysargs *a)
{
	struct itimer_k k;
	int r = task_timer_gettime(t, ARG_I32(0), &k);
	return r < 0 ? r : itimerspec_out(t, ARG_PTR(1), &k);
}

long sys_timer_getoverrun(struct task *t, const struct sysargs *a)
{
	return task_timer_getoverrun(t, ARG_I32(0));
}

long sys_timer_delete(struct task *t, const struct sysargs *a)
{
	return task_timer_delete(t, ARG_I32(0));
}
