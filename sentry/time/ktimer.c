/*
 * Kernel timers: a tree by expiry and one host thread that sleeps on a futex
 * until the earliest.  Arming a timer that is due before the thread wakes by
 * itself bumps the word and wakes it; nothing ticks.  A timer that is cancelled
 * leaves its time standing: those that are armed for later need no wake-up then.
 *
 * Protocol of expiry: under the lock the thread takes the timer out of the
 * tree, marks it firing, drops the lock, runs the function of its kind, and
 * then clears the mark, unless the timer was freed meanwhile: the function may
 * not free its own timer; who frees it calls ktimer_cancel(wait), which waits
 * until the mark is gone.  A function may arm its own timer again.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/time/time.h"

struct ktimer_globals {
	struct mutex lock;
	struct rb_root tree GUARDED_BY_MEMBER(lock);
	struct ktimer *firing GUARDED_BY_MEMBER(lock);
	uint32_t firing_seq;                      /* bumped when a function has returned; futex */
	uint32_t waiting GUARDED_BY_MEMBER(lock); /* how many wait for that */
	uint32_t kick_seq; /* bumped when the thread is to wake earlier; futex */
	int64_t wakes_at GUARDED_BY_MEMBER(lock); /* when it does; INT64_MIN: it is awake */
};
static struct ktimer_globals *timers RO_AFTER_INIT;

static void timers_init(void)
{
	mutex_init(&timers->lock, LOCK_TIMER);
}
KERNEL_UNIT("timers", timers, timers_init);

static bool started RO_AFTER_INIT;
static pthread_t timer_thread RO_AFTER_INIT;
static ktimer_fn kind_fns[KTIMER_KIND_NR] RO_AFTER_INIT;

void ktimer_register_kind(enum ktimer_kind kind, ktimer_fn fn)
{
	BUG_ON(kind <= KTIMER_NONE || kind >= KTIMER_KIND_NR);
	kind_fns[kind] = fn;
}

void ktimer_init(struct ktimer *t, enum ktimer_kind kind)
{
	*t = (struct ktimer){.kind = (uint8_t)kind};
}

static void kick(void)
{
	__atomic_fetch_add(&timers->kick_seq, 1, __ATOMIC_RELEASE);
	host_futex(&timers->kick_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

static void insert(struct ktimer *t) REQUIRES(timers->lock)
{
	struct rb_node **link = &timers->tree.node, *parent = NULL;

	while (*link) {
		struct ktimer *o = rb_entry(*link, struct ktimer, node);

		parent = *link;
		link = t->expires < o->expires ? &parent->left : &parent->right;
	}
	rb_link(&t->node, parent, link);
	rb_insert(&timers->tree, &t->node);
	WRITE_ONCE(t->armed, true);
}

void ktimer_arm(struct ktimer *t, int64_t expires)
{
	bool early;

	mutex_lock(&timers->lock);
	if (t->armed)
		rb_erase(&timers->tree, &t->node);
	t->expires = expires;
	insert(t);
	early = started && expires < timers->wakes_at;
	if (early)
		timers->wakes_at = expires;
	mutex_unlock(&timers->lock);
	if (early)
		kick();
}

bool ktimer_cancel(struct ktimer *t, bool wait)
{
	bool was;

	mutex_lock(&timers->lock);
	was = t->armed;
	for (;;) {
		uint32_t seq;

		/* Inside the loop: the function may have armed it again. */
		if (t->armed)
			rb_erase(&timers->tree, &t->node);
		WRITE_ONCE(t->armed, false);
		if (!wait || timers->firing != t || pthread_equal(pthread_self(), timer_thread))
			break;
		seq = __atomic_load_n(&timers->firing_seq, __ATOMIC_ACQUIRE);
		timers->waiting++;
		mutex_unlock(&timers->lock);
		host_futex(&timers->firing_seq, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seq, NULL, NULL,
			0);
		mutex_lock(&timers->lock);
		timers->waiting--;
	}
	mutex_unlock(&timers->lock);
	return was;
}

/* Runs what is due; returns the next expiry. */
static int64_t run_due(void)
{
	int64_t next;

	mutex_lock(&timers->lock);
	timers->wakes_at = INT64_MIN;
	for (;;) {
		struct rb_node *n = rb_first(&timers->tree);
		struct ktimer *t = n ? rb_entry(n, struct ktimer, node) : NULL;

		if (!t || t->expires > time_monotonic()) {
			next = timers->wakes_at = t ? t->expires : INT64_MAX;
			break;
		}
		rb_erase(&timers->tree, &t->node);
		WRITE_ONCE(t->armed, false);
		timers->firing = t;
		mutex_unlock(&timers->lock);
		if (kind_fns[t->kind])
			kind_fns[t->kind](t);
		mutex_lock(&timers->lock);
		timers->firing = NULL;
		__atomic_fetch_add(&timers->firing_seq, 1, __ATOMIC_RELEASE);
		if (timers->waiting)
			host_futex(&timers->firing_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX,
				NULL, NULL, 0);
	}
	mutex_unlock(&timers->lock);
	return next;
}

static void *timer_main(void *arg)
{
	backtrace_thread_init();
	for (;;) {
		uint32_t seq = __atomic_load_n(&timers->kick_seq, __ATOMIC_ACQUIRE);
		int64_t next = run_due();
		struct timespec ts = {next / NSEC_PER_SEC, next % NSEC_PER_SEC};

		host_futex(&timers->kick_seq, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seq,
			next == INT64_MAX ? NULL : &ts, NULL, FUTEX_BITSET_MATCH_ANY);
	}
	return NULL;
}

int time_init(void)
{
	time_clock_init();
	return 0;
}

int time_start(void)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	sigdelset(&all, SIGSEGV); /* crashes are reported, guest memory faults fixed up */
	mutex_lock(&timers->lock);
	err = pthread_create(&timer_thread, &attr, timer_main, NULL);
	started = err == 0;
	mutex_unlock(&timers->lock);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}
