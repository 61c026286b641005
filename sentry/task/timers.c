/*
 * Interval timers, POSIX timers and RLIMIT_CPU.
 *
 * Timers of real time are kernel timers.  Those of CPU time are polled: the
 * kernel timer is set to when the process could reach the expiry at the
 * earliest (all its threads running), looks at the clock then and goes on;
 * while the process makes no progress the polls become rarer (10 ms up to
 * 200 ms), so a sleeping process with a CPU timer costs next to nothing.
 *
 * An interval timer whose signal is pending does not fire again: it is
 * forwarded when the signal is taken (timer_signal_taken), which is also when
 * the overrun is known.  A timer storm therefore cannot flood the sentry.
 */
#include <limits.h>
#include <sys/time.h>

#include "sentry/task/task_priv.h"

#define CPU_POLL_MIN 10000000L /* ns */
#define CPU_POLL_MAX 200000000L
#define IGNORED_MIN 1000000L /* rearm of a timer whose signal is ignored */

struct posix_timer {
	struct rb_node node; /* tg->posix_timers */
	struct tgroup *tg;   /* borrowed: timers go before their group */
	int32_t id;
	int32_t clock;
	int32_t notify, signo;
	struct task *target; /* SIGEV_THREAD_ID, and CPU clocks of a thread; owned */
	uint64_t value;
	struct ktimer kt;
	int64_t expires; /* on its clock; 0: disarmed */
	int64_t interval;
	int64_t overrun;      /* of the pending signal */
	int32_t overrun_last; /* of the signal taken last */
	bool queued;          /* the signal is pending */
};

static SLAB_DEFINE(posix_timer_slab, struct posix_timer);

/* Dynamic clock ids: clock_getcpuclockid(3). */
#define CPUCLOCK_PID(c) (~((c) >> 3))
#define CPUCLOCK_THREAD(c) ((c)&4)
#define CPUCLOCK_WHICH(c) ((c)&3)

static bool is_cpu_clock(int clock)
{
	return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

/* --- clocks --- */

static int64_t thread_clock(struct task *t, int which)
{
	uint64_t u, s;

	task_cpu_time(t, &u, &s);
	return (int64_t)(which == 1 ? u : u + s);
}

static int64_t group_clock(struct tgroup *tg, int which)
{
	uint64_t u, s;

	tgroup_cpu_time(tg, &u, &s);
	return (int64_t)(which == 1 ? u : u + s);
}

static int dynamic_clock(struct task *t, int clock, int64_t *ns)
{
	int32_t pid = CPUCLOCK_PID(clock);
	int which = CPUCLOCK_WHICH(clock);
	struct task *o;
	int err = 0;

	if (which == 3)
		return -EINVAL; /* a clock device's descriptor */
	o = pid ? task_find(t->pid_ns, pid) : task_get(t);
	if (!o)
		return -EINVAL;
	if (CPUCLOCK_THREAD(clock)) {
		if (o->tg != t->tg)
			err = -EINVAL;
		else
			*ns = thread_clock(o, which);
	} else if (pid && READ_ONCE(o->tg->leader) != o) {
		err = -EINVAL;
	} else {
		*ns = group_clock(o->tg, which);
	}
	task_put(o);
	return err;
}

int task_clock_get(struct task *t, int clock, int64_t *ns)
{
	if (clock < 0)
		return dynamic_clock(t, clock, ns);
	if (clock == CLOCK_PROCESS_CPUTIME_ID)
		*ns = group_clock(t->tg, 2);
	else if (clock == CLOCK_THREAD_CPUTIME_ID)
		*ns = thread_clock(t, 2);
	else
		return time_clock_get(clock, ns);
	return 0;
}

int task_clock_getres(struct task *t, int clock, int64_t *ns)
{
	int64_t now;
	int err = task_clock_get(t, clock, &now);

	*ns = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE ? 4000000 : 1;
	return err;
}

/* Monotonic time at which clock will show at (real-time clocks only). */
static int64_t to_monotonic(int clock, int64_t at)
{
	int64_t now = 0, r;

	if (time_clock_get(clock, &now))
		return at;
	return __builtin_add_overflow(time_monotonic(), at - now, &r) ? DEADLINE_NEVER : r;
}

static uint32_t live_threads(struct tgroup *tg)
{
	return MAX(READ_ONCE(tg->nthreads), 1U);
}

/* When to look again at a CPU clock that is left ns short of something. */
static int64_t cpu_poll_at(struct tgroup *tg, int64_t left, int64_t progress)
{
	int64_t wait = left / live_threads(tg);

	wait = MAX(wait, 1000000L);
	if (progress == 0)
		wait = MAX(wait, CPU_POLL_MAX);
	else
		wait = MAX(wait, MIN(left, CPU_POLL_MIN));
	return time_monotonic() + MIN(wait, 3600 * NSEC_PER_SEC);
}

/* --- ITIMER_* and RLIMIT_CPU --- */

static void send_kernel_signal(struct tgroup *tg, int sig)
{
	struct ksiginfo info;

	ksiginfo_init(&info, sig, SI_KERNEL);
	MUTEX_GUARD(&tasks_lock);
	if (tg->leader)
		signal_send_timer_locked(tg, NULL, &info, NULL);
}

static void itimer_real_fire(struct ktimer *kt)
{
	send_kernel_signal(container_of(kt, struct tgroup, itimer_real), SIGALRM);
}

/* SIGALRM was taken: the interval goes on. */
void itimer_real_taken(struct task *t)
{
	struct tgroup *tg = t->tg;
	int64_t now, next;

	mutex_lock(&tg->timers_lock);
	if (tg->itimer_real_interval && !READ_ONCE(tg->itimer_real.armed) &&
		tg->itimer_real.expires) {
		now = time_monotonic();
		next = tg->itimer_real.expires + tg->itimer_real_interval;
		if (next <= now)
			next += (now - next) / tg->itimer_real_interval * tg->itimer_real_interval +
				tg->itimer_real_interval;
		ktimer_arm(&tg->itimer_real, next);
	}
	mutex_unlock(&tg->timers_lock);
}

static int itimer_real(struct tgroup *tg, const struct itimer_k *new, struct itimer_k *old)
{
	int64_t now = time_monotonic(), end;

	MUTEX_GUARD(&tg->timers_lock);
	if (old) {
		old->interval = tg->itimer_real_interval;
		old->value = READ_ONCE(tg->itimer_real.armed)
				     ? MAX(tg->itimer_real.expires - now, 1000L)
				     : 0;
	}
	if (!new)
		return 0;
	ktimer_cancel(&tg->itimer_real, false);
	tg->itimer_real_interval = new->interval;
	tg->itimer_real.expires = 0;
	if (new->value) {
		if (__builtin_add_overflow(now, new->value, &end))
			end = INT64_MAX - 1;
		ktimer_arm(&tg->itimer_real, end);
	}
	return 0;
}

/* One CPU itimer: whether it has expired; *left: the nearest of what is still to come. */
static bool cpu_itimer_check(struct cpu_itimer *it, uint64_t now, int64_t *left)
{
	bool expired = it->expires && now >= it->expires;

	if (expired)
		it->expires = it->interval ? MAX(it->expires, now) + it->interval : 0;
	if (it->expires)
		*left = MIN(*left, (int64_t)(it->expires - now));
	return expired;
}

/* RLIMIT_CPU: SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one. */
static int rlimit_cpu_check(struct tgroup *tg, uint64_t now, int64_t *left)
{
	uint64_t hard = READ_ONCE(tg->limits.lim[RLIMIT_CPU].hard);
	int sig = 0;

	if (!tg->rlimit_cpu_next)
		return 0;
	if (hard < (uint64_t)INT64_MAX / NSEC_PER_SEC && now >= hard * NSEC_PER_SEC)
		return SIGKILL;
	if (now >= tg->rlimit_cpu_next) {
		sig = SIGXCPU;
		tg->rlimit_cpu_next = now + NSEC_PER_SEC;
	}
	*left = MIN(*left, (int64_t)(tg->rlimit_cpu_next - now));
	return sig;
}

static void cpu_timer_fire(struct ktimer *kt)
{
	struct tgroup *tg = container_of(kt, struct tgroup, cpu_timer);
	int64_t left = INT64_MAX;
	bool virt, prof;
	uint64_t u, s;
	int limit;

	tgroup_cpu_time(tg, &u, &s);
	mutex_lock(&tg->timers_lock);
	virt = cpu_itimer_check(&tg->itimer_virt, u, &left);
	prof = cpu_itimer_check(&tg->itimer_prof, u + s, &left);
	limit = rlimit_cpu_check(tg, u + s, &left);
	if (left != INT64_MAX && limit != SIGKILL) {
		int64_t progress = (int64_t)(u + s - tg->cpu_seen);

		tg->cpu_seen = u + s;
		ktimer_arm(kt, cpu_poll_at(tg, left, progress));
	}
	mutex_unlock(&tg->timers_lock);
	if (virt)
		send_kernel_signal(tg, SIGVTALRM);
	if (prof)
		send_kernel_signal(tg, SIGPROF);
	if (limit)
		send_kernel_signal(tg, limit);
}

static void cpu_timer_kick(struct tgroup *tg, int64_t left)
{
	ktimer_arm(&tg->cpu_timer, time_monotonic() + MAX(left / live_threads(tg), 1000000L));
}

void task_rlimit_cpu_changed(struct tgroup *tg)
{
	uint64_t soft = rlimit_soft(&tg->limits, RLIMIT_CPU);

	MUTEX_GUARD(&tg->timers_lock);
	if (tg->timers_dead)
		return; /* prlimit(2) of a zombie: nothing may be armed any more */
	if (soft >= (uint64_t)INT64_MAX / NSEC_PER_SEC) {
		tg->rlimit_cpu_next = 0;
		return;
	}
	tg->rlimit_cpu_next = MAX(soft, 1UL) * NSEC_PER_SEC;
	cpu_timer_kick(tg, 100000000); /* soon: much may be used up already */
}

static int itimer_cpu(struct tgroup *tg, struct cpu_itimer *it, uint64_t now,
	const struct itimer_k *want, struct itimer_k *old)
{
	MUTEX_GUARD(&tg->timers_lock);
	if (old) {
		old->interval = (int64_t)it->interval;
		old->value = !it->expires        ? 0
			     : it->expires > now ? (int64_t)(it->expires - now)
						 : 1000;
	}
	if (want) {
		it->interval = (uint64_t)want->interval;
		it->expires = want->value ? now + (uint64_t)want->value : 0;
		if (it->expires)
			cpu_timer_kick(tg, want->value);
	}
	return 0;
}

int task_itimer(struct task *t, int which, const struct itimer_k *new, struct itimer_k *old)
{
	uint64_t u, s;

	switch (which) {
	case ITIMER_REAL:
		return itimer_real(t->tg, new, old);
	case ITIMER_VIRTUAL:
		tgroup_cpu_time(t->tg, &u, &s);
		return itimer_cpu(t->tg, &t->tg->itimer_virt, u, new, old);
	case ITIMER_PROF:
		tgroup_cpu_time(t->tg, &u, &s);
		return itimer_cpu(t->tg, &t->tg->itimer_prof, u + s, new, old);
	default:
		return -EINVAL;
	}
}

uint32_t task_alarm(struct task *t, uint32_t seconds)
{
	struct itimer_k new = {.value = (int64_t)seconds * NSEC_PER_SEC}, old;

	itimer_real(t->tg, &new, &old);
	/* Rounded to the nearest second, but never to none. */
	return (uint32_t)((old.value + (old.value < NSEC_PER_SEC ? NSEC_PER_SEC - 1
								 : NSEC_PER_SEC / 2)) /
			  NSEC_PER_SEC);
}

/* --- POSIX timers --- */

static int64_t clock_now(struct tgroup *tg, int clock, struct task *target)
{
	int64_t now = 0;

	if (clock == CLOCK_THREAD_CPUTIME_ID)
		return thread_clock(target, 2);
	if (clock == CLOCK_PROCESS_CPUTIME_ID)
		return group_clock(tg, 2);
	time_clock_get(clock, &now);
	return now;
}

/* Sets the kernel timer for pt->expires.  timers_lock held; now: of its clock. */
static void posix_arm(struct posix_timer *pt, int64_t now)
{
	if (is_cpu_clock(pt->clock))
		ktimer_arm(&pt->kt,
			time_monotonic() +
				MAX((pt->expires - now) / live_threads(pt->tg), 1000000L));
	else
		ktimer_arm(&pt->kt, to_monotonic(pt->clock, pt->expires));
}

/* Moves an interval timer past now; returns how many periods were skipped. */
static int64_t posix_forward(struct posix_timer *pt, int64_t now)
{
	int64_t n = 0;

	if (pt->expires <= now)
		n = (now - pt->expires) / pt->interval + 1;
	if (__builtin_mul_overflow(n, pt->interval, &now) ||
		__builtin_add_overflow(pt->expires, now, &pt->expires))
		pt->expires = INT64_MAX;
	return n;
}

static int posix_queue(struct posix_timer *pt)
{
	struct ksiginfo info;
	struct task *target = pt->notify == SIGEV_THREAD_ID ? pt->target : NULL;
	struct tgroup *tg = pt->tg;
	int queued;

	ksiginfo_init(&info, pt->signo, SI_TIMER);
	info.u.timer.tid = pt->id;
	info.u.timer.value = pt->value;
	MUTEX_GUARD(&tasks_lock);
	if (!tg->leader || (target && target->exit_state != TASK_ALIVE))
		return 0;
	signal_send_timer_locked(tg, target, &info, pt);
	mutex_lock(&tg->sighand->lock);
	queued = sigpending_has_timer(target ? &target->pending : &tg->shared, pt);
	mutex_unlock(&tg->sighand->lock);
	return queued;
}

static void posix_fire(struct ktimer *kt)
{
	struct posix_timer *pt = container_of(kt, struct posix_timer, kt);
	struct tgroup *tg = pt->tg;
	int64_t now = clock_now(tg, pt->clock, pt->target);
	bool queued;

	mutex_lock(&tg->timers_lock);
	if (!pt->expires) {
		mutex_unlock(&tg->timers_lock);
		return;
	}
	if (now < pt->expires) { /* a CPU clock: not yet */
		ktimer_arm(kt, cpu_poll_at(tg, pt->expires - now, 1));
		mutex_unlock(&tg->timers_lock);
		return;
	}
	pt->overrun = 0;
	pt->queued = true;
	if (!pt->interval)
		pt->expires = 0;
	mutex_unlock(&tg->timers_lock);
	queued = posix_queue(pt);
	mutex_lock(&tg->timers_lock);
	if (!queued && pt->queued) {
		pt->queued = false;
		if (pt->interval) { /* ignored, or the standard signal is pending already */
			pt->overrun += posix_forward(pt, now + IGNORED_MIN) - 1;
			posix_arm(pt, now);
		}
	}
	mutex_unlock(&tg->timers_lock);
}

/* Is the timer still there?  Its signal may outlive it by a moment: then p is not its like. */
static struct posix_timer *find_timer(struct tgroup *tg, const void *p, int32_t id)
{
	struct rb_node *n = tg->posix_timers.node;

	while (n) {
		struct posix_timer *pt = rb_entry(n, struct posix_timer, node);

		if (pt->id == id)
			return !p || pt == p ? pt : NULL;
		n = id < pt->id ? n->left : n->right;
	}
	return NULL;
}

static void insert_timer(struct tgroup *tg, struct posix_timer *pt)
{
	struct rb_node **link = &tg->posix_timers.node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = pt->id < rb_entry(parent, struct posix_timer, node)->id ? &parent->left
									       : &parent->right;
	}
	rb_link(&pt->node, parent, link);
	rb_insert(&tg->posix_timers, &pt->node);
}

/*
 * Its clock now: read without the lock (CPU clocks take tasks_lock), so the timer may be gone
 * when the caller looks for it again.  False: there is none.
 */
static bool timer_now(struct tgroup *tg, const void *p, int32_t id, int64_t *now)
{
	struct posix_timer *pt;
	struct task *target;
	int clock;

	mutex_lock(&tg->timers_lock);
	pt = find_timer(tg, p, id);
	clock = pt ? pt->clock : 0;
	target = pt && pt->target ? task_get(pt->target) : NULL;
	mutex_unlock(&tg->timers_lock);
	if (!pt)
		return false;
	*now = clock_now(tg, clock, target);
	task_put(target);
	return true;
}

void timer_signal_taken(struct task *t, struct ksiginfo *info, void *timer)
{
	struct tgroup *tg = t->tg;
	struct posix_timer *pt;
	int64_t now;

	int32_t id = info->u.timer.tid;

	if (!timer_now(tg, timer, id, &now))
		return;
	mutex_lock(&tg->timers_lock);
	pt = find_timer(tg, timer, id);
	if (pt && pt->queued) {
		pt->queued = false;
		if (pt->interval && pt->expires) {
			pt->overrun += posix_forward(pt, now);
			pt->overrun -= pt->overrun > 0;
			posix_arm(pt, now);
		}
		pt->overrun_last = (int32_t)MIN(pt->overrun, (int64_t)INT_MAX);
		info->u.timer.overrun = pt->overrun_last;
	}
	mutex_unlock(&tg->timers_lock);
}

static int check_sigevent(struct task *t, const struct sigevent_k *ev, struct posix_timer *pt)
{
	struct task *o;

	pt->notify = ev->notify;
	pt->signo = ev->signo;
	pt->value = ev->value;
	if (ev->notify != SIGEV_NONE && !ksig_valid(ev->signo))
		return -EINVAL;
	switch (ev->notify) {
	case SIGEV_THREAD_ID:
		o = task_find(t->pid_ns, ev->tid);
		if (!o || o->tg != t->tg) {
			task_put(o);
			return -EINVAL;
		}
		if (pt->target)
			task_put(pt->target);
		pt->target = o;
		return 0;
	case SIGEV_NONE:
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		return 0;
	default:
		return -EINVAL;
	}
}

static bool timer_clock_ok(int clock)
{
	return clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME ||
	       clock == CLOCK_TAI || clock == CLOCK_REALTIME_ALARM ||
	       clock == CLOCK_BOOTTIME_ALARM || clock == CLOCK_PROCESS_CPUTIME_ID ||
	       clock == CLOCK_THREAD_CPUTIME_ID;
}

/* The dynamic ids of the caller's own clocks become the plain ones. */
static int normalize_clock(struct task *t, int clock)
{
	int32_t pid = CPUCLOCK_PID(clock);

	if (clock >= 0 || CPUCLOCK_WHICH(clock) != 2)
		return clock;
	if (CPUCLOCK_THREAD(clock))
		return !pid || pid == task_tid_nr(t, t->pid_ns) ? CLOCK_THREAD_CPUTIME_ID : clock;
	return !pid || pid == task_tgid_nr(t, t->pid_ns) ? CLOCK_PROCESS_CPUTIME_ID : clock;
}

/*
 * A timer counts as the signal that it will queue, whether it is queued or not (RLIMIT_SIGPENDING):
 * neither timers nor signals can be had without limit.
 */
static bool count_timer(struct tgroup *tg)
{
	MUTEX_GUARD(&tg->sighand->lock);
	if ((uint64_t)tg->sigqueue_count >= rlimit_soft(&tg->limits, RLIMIT_SIGPENDING))
		return false;
	tg->sigqueue_count++;
	return true;
}

static void posix_free(struct posix_timer *pt)
{
	struct tgroup *tg = pt->tg;

	mutex_lock(&tg->sighand->lock);
	tg->sigqueue_count--;
	mutex_unlock(&tg->sighand->lock);
	if (pt->target)
		task_put(pt->target);
	slab_free(&posix_timer_slab, pt);
}

int task_timer_create(struct task *t, int clock, const struct sigevent_k *ev, int32_t *id)
{
	struct tgroup *tg = t->tg;
	struct posix_timer *pt;
	int err = 0;

	clock = normalize_clock(t, clock);
	if (!timer_clock_ok(clock))
		return -EINVAL;
	if ((clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM) &&
		!ctx_capable(&t->ctx, CAP_WAKE_ALARM))
		return -EPERM;
	pt = slab_alloc(&posix_timer_slab);
	if (!pt)
		return -EAGAIN;
	if (!count_timer(tg)) {
		slab_free(&posix_timer_slab, pt);
		return -EAGAIN;
	}
	pt->tg = tg;
	pt->clock = clock;
	pt->notify = SIGEV_SIGNAL;
	pt->signo = SIGALRM;
	if (clock == CLOCK_THREAD_CPUTIME_ID)
		pt->target = task_get(t);
	ktimer_init(&pt->kt, KTIMER_POSIX);
	if (ev)
		err = check_sigevent(t, ev, pt);
	if (err) {
		posix_free(pt);
		return err;
	}
	MUTEX_GUARD(&tg->timers_lock);
	while (find_timer(tg, NULL, tg->next_timer_id))
		tg->next_timer_id = (tg->next_timer_id + 1) & INT_MAX;
	pt->id = *id = tg->next_timer_id;
	tg->next_timer_id = (tg->next_timer_id + 1) & INT_MAX;
	if (!ev)
		pt->value = (uint64_t)pt->id;
	insert_timer(tg, pt);
	return 0;
}

/* What timer_gettime(2) shows; now: of its clock. */
static void posix_read(struct posix_timer *pt, int64_t now, struct itimer_k *out)
{
	int64_t at = pt->expires;

	out->interval = pt->interval;
	out->value = 0;
	if (!at)
		return;
	if (at <= now && pt->interval)
		at += ((now - at) / pt->interval + 1) * pt->interval;
	if (at > now)
		out->value = at - now;
	else if (pt->notify != SIGEV_NONE)
		out->value = 1; /* due, about to fire */
}

int task_timer_settime(struct task *t, int32_t id, bool abs, const struct itimer_k *new,
	struct itimer_k *old)
{
	struct tgroup *tg = t->tg;
	struct posix_timer *pt;
	int64_t now;

	if (!timer_now(tg, NULL, id, &now))
		return -EINVAL;
	mutex_lock(&tg->timers_lock);
	pt = find_timer(tg, NULL, id);
	if (!pt) {
		mutex_unlock(&tg->timers_lock);
		return -EINVAL;
	}
	if (old)
		posix_read(pt, now, old);
	ktimer_cancel(&pt->kt, false);
	pt->interval = new->interval;
	pt->overrun = pt->overrun_last = 0;
	pt->queued = false;
	pt->expires = new->value;
	if (new->value && !abs && __builtin_add_overflow(now, new->value, &pt->expires))
		pt->expires = INT64_MAX;
	if (pt->expires && pt->notify != SIGEV_NONE)
		posix_arm(pt, now);
	mutex_unlock(&tg->timers_lock);
	return 0;
}

int task_timer_gettime(struct task *t, int32_t id, struct itimer_k *out)
{
	struct tgroup *tg = t->tg;
	struct posix_timer *pt;
	int64_t now = 0;

	if (!timer_now(tg, NULL, id, &now))
		return -EINVAL;
	mutex_lock(&tg->timers_lock);
	pt = find_timer(tg, NULL, id);
	if (pt)
		posix_read(pt, now, out);
	mutex_unlock(&tg->timers_lock);
	return pt ? 0 : -EINVAL;
}

int task_timer_getoverrun(struct task *t, int32_t id)
{
	MUTEX_GUARD(&t->tg->timers_lock);
	struct posix_timer *pt = find_timer(t->tg, NULL, id);

	return pt ? pt->overrun_last : -EINVAL;
}

/* pt is off the list: nobody finds it; its function may still run, its signal be pending. */
static void posix_destroy(struct posix_timer *pt)
{
	struct tgroup *tg = pt->tg;

	ktimer_cancel(&pt->kt, true);
	mutex_lock(&tasks_lock);
	mutex_lock(&tg->sighand->lock);
	sigpending_flush_timer(&tg->shared, pt, &tg->sigqueue_count);
	if (pt->target)
		sigpending_flush_timer(&pt->target->pending, pt, &tg->sigqueue_count);
	mutex_unlock(&tg->sighand->lock);
	mutex_unlock(&tasks_lock);
	posix_free(pt);
}

int task_timer_delete(struct task *t, int32_t id)
{
	struct tgroup *tg = t->tg;
	struct posix_timer *pt;

	mutex_lock(&tg->timers_lock);
	pt = find_timer(tg, NULL, id);
	if (pt)
		rb_erase(&tg->posix_timers, &pt->node);
	mutex_unlock(&tg->timers_lock);
	if (!pt)
		return -EINVAL;
	posix_destroy(pt);
	return 0;
}

/* Signals of timers that fire no more. */
static void flush_timer_signals(struct tgroup *tg)
{
	struct task *t;

	mutex_lock(&tasks_lock);
	mutex_lock(&tg->sighand->lock);
	sigpending_flush_timer(&tg->shared, NULL, &tg->sigqueue_count);
	list_for_each(t, &tg->threads, tg_node)
		sigpending_flush_timer(&t->pending, NULL, &tg->sigqueue_count);
	mutex_unlock(&tg->sighand->lock);
	mutex_unlock(&tasks_lock);
}

/* All at once: to look for the signals of each would take timers times signals. */
void task_timers_exec(struct tgroup *tg)
{
	struct rb_root timers;
	struct rb_node *n;

	mutex_lock(&tg->timers_lock);
	timers = tg->posix_timers;
	tg->posix_timers = (struct rb_root){0};
	mutex_unlock(&tg->timers_lock);
	if (!timers.node)
		return;
	for (n = rb_first(&timers); n; n = rb_next(n))
		ktimer_cancel(&rb_entry(n, struct posix_timer, node)->kt, true);
	flush_timer_signals(tg);
	while ((n = timers.node)) {
		rb_erase(&timers, n);
		posix_free(rb_entry(n, struct posix_timer, node));
	}
}

void task_timers_exit(struct tgroup *tg)
{
	task_timers_exec(tg);
	mutex_lock(&tg->timers_lock);
	tg->timers_dead = true;
	tg->itimer_real_interval = 0;
	tg->itimer_virt = tg->itimer_prof = (struct cpu_itimer){0};
	tg->rlimit_cpu_next = 0;
	mutex_unlock(&tg->timers_lock);
	ktimer_cancel(&tg->itimer_real, true);
	ktimer_cancel(&tg->cpu_timer, true);
}

void timers_init(void)
{
	ktimer_register_kind(KTIMER_ITIMER_REAL, itimer_real_fire);
	ktimer_register_kind(KTIMER_CPU, cpu_timer_fire);
	ktimer_register_kind(KTIMER_POSIX, posix_fire);
}
