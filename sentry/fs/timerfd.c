/*
 * timerfd: a kernel timer, and a count of expiries that read(2) takes.
 *
 * The timer fires once and is not armed again until somebody looks: a reader
 * (or timerfd_gettime) works out how many intervals have passed and arms it
 * for the next.  An unread timer costs nothing, however short its interval.
 */
#include "sentry/fs/timerfd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>

#include "sentry/core/arena.h"
#include "sentry/time/time.h"
#include "sentry/vfs/file.h"

struct timerfd {
	struct mutex lock; /* LOCK_ITIMER */
	int clock;
	struct ktimer kt;
	int64_t expires; /* monotonic; 0: disarmed */
	int64_t interval;
	uint64_t ticks; /* expiries not yet read */
	bool fired;     /* the timer went off and was not armed again */
	bool abs;
	struct waitq wait;
};

static SLAB_DEFINE(timerfd_slab, struct timerfd);

static void fire(struct ktimer *kt)
{
	struct timerfd *t = container_of(kt, struct timerfd, kt);
	bool wake;

	mutex_lock(&t->lock);
	wake = t->expires && time_monotonic() >= t->expires;
	if (wake) {
		t->ticks++;
		t->fired = true;
		if (!t->interval)
			t->expires = 0;
	}
	mutex_unlock(&t->lock);
	if (wake)
		waitq_wake(&t->wait, POLLIN | POLLRDNORM);
}

/* Counts the intervals since the timer went off and arms it again. */
static void forward(struct timerfd *t)
{
	int64_t now, n;

	if (!t->fired || !t->interval || !t->expires)
		return;
	t->fired = false;
	now = time_monotonic();
	n = (now - t->expires) / t->interval;
	t->ticks += (uint64_t)n;
	if (__builtin_mul_overflow(n + 1, t->interval, &n) ||
		__builtin_add_overflow(t->expires, n, &t->expires))
		t->expires = INT64_MAX - 1;
	ktimer_arm(&t->kt, t->expires);
}

static uint64_t take(struct timerfd *t)
{
	uint64_t n;

	MUTEX_GUARD(&t->lock);
	if (t->ticks)
		forward(t);
	n = t->ticks;
	t->ticks = 0;
	return n;
}

static ssize_t timerfd_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct timerfd *t = f->priv;
	struct waiter w;
	uint64_t n;
	int err = 0;

	if (u->resid < sizeof(n))
		return -EINVAL;
	n = take(t);
	if (!n && ((READ_ONCE(f->flags) & O_NONBLOCK) || (rwf & RWF_NOWAIT)))
		return -EAGAIN;
	if (!n) {
		waiter_init_ctx(&w, ctx, POLLIN);
		waitq_add(&t->wait, &w);
		while (!(n = take(t)) && !err)
			err = ctx_block(ctx, DEADLINE_NEVER);
		waitq_del(&w);
	}
	if (!n)
		return err;
	return uio_write(u, &n, sizeof(n)) == sizeof(n) ? (ssize_t)sizeof(n) : -EFAULT;
}

static uint32_t timerfd_poll(struct file *f, struct poll_table *pt)
{
	struct timerfd *t = f->priv;

	poll_wait(pt, &t->wait);
	MUTEX_GUARD(&t->lock);
	return t->ticks ? POLLIN | POLLRDNORM : 0;
}

static void timerfd_release(struct file *f)
{
	struct timerfd *t = f->priv;

	if (!t)
		return;
	mutex_lock(&t->lock);
	t->expires = t->interval = 0;
	mutex_unlock(&t->lock);
	ktimer_cancel(&t->kt, true);
	waitq_fini(&t->wait);
	slab_free(&timerfd_slab, t);
}

static void read_spec(struct timerfd *t, struct timerfd_spec *s)
{
	forward(t);
	s->interval = t->interval;
	s->value = 0;
	if (t->expires) {
		s->value = t->expires - time_monotonic();
		s->value = s->value > 0 ? s->value : 1;
	}
}

static size_t timerfd_fdinfo(struct file *f, char *buf, size_t n)
{
	struct timerfd *t = f->priv;
	struct timerfd_spec s;
	uint64_t ticks;
	int len;

	mutex_lock(&t->lock);
	read_spec(t, &s);
	ticks = t->ticks;
	mutex_unlock(&t->lock);
	len = snprintf(buf, n,
		"clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%ld, %ld)\n"
		"it_interval: (%ld, %ld)\n",
		t->clock, (unsigned long)ticks, t->abs, (long)(s.value / NSEC_PER_SEC),
		(long)(s.value % NSEC_PER_SEC), (long)(s.interval / NSEC_PER_SEC),
		(long)(s.interval % NSEC_PER_SEC));
	return len < 0 ? 0 : MIN((size_t)len, n);
}

int timerfd_create_file(struct ctx *ctx, int clock, uint64_t flags, struct file **out)
{
	struct timerfd *t;
	struct file *f;

	switch (clock) {
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		if (!ctx_capable(ctx, CAP_WAKE_ALARM))
			return -EPERM;
		break;
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
		break;
	default:
		return -EINVAL;
	}
	t = slab_alloc(&timerfd_slab);
	if (!t)
		return -ENOMEM;
	mutex_init(&t->lock, LOCK_ITIMER);
	waitq_init(&t->wait);
	t->clock = clock;
	ktimer_init(&t->kt, KTIMER_TIMERFD);
	f = file_alloc_anon(ctx, FILE_TIMERFD, INODE_ANON, "anon_inode:[timerfd]", 0600,
		O_RDWR | (flags & O_NONBLOCK));
	if (!f) {
		slab_free(&timerfd_slab, t);
		return -ENOMEM;
	}
	f->priv = t;
	*out = f;
	return 0;
}

int timerfd_set(struct file *f, bool abs, const struct timerfd_spec *new, struct timerfd_spec *old)
{
	struct timerfd *t = f->priv;
	int64_t now, at;

	if (f->type != FILE_TIMERFD)
		return -EINVAL;
	MUTEX_GUARD(&t->lock);
	if (old)
		read_spec(t, old);
	if (!new)
		return 0;
	ktimer_cancel(&t->kt, false);
	t->ticks = 0;
	t->fired = false;
	t->interval = new->interval;
	t->abs = abs;
	t->expires = 0;
	if (!new->value)
		return 0;
	now = 0;
	if (abs)
		time_clock_get(t->clock, &now);
	if (__builtin_add_overflow(time_monotonic(), new->value - now, &at))
		at = INT64_MAX - 1;
	t->expires = MAX(at, 1L);
	ktimer_arm(&t->kt, t->expires);
	return 0;
}

void timerfd_init(void)
{
	static const struct file_ops ops = {
		.read = timerfd_read,
		.poll = timerfd_poll,
		.release = timerfd_release,
		.show_fdinfo = timerfd_fdinfo,
	};

	file_ops_register(FILE_TIMERFD, &ops);
	ktimer_register_kind(KTIMER_TIMERFD, fire);
}
