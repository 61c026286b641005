/* Kernel timers and clocks.  OBJS: lib platform/current sentry/core sentry/time */
#include "tests/unit/test.h"

#include <errno.h>

#include "sentry/core/arena.h"
#include "sentry/time/time.h"

static struct ktimer timers[100];
static int64_t late_max;
static uint32_t fired, again;

static void fire(struct ktimer *t)
{
	int64_t late = time_monotonic() - t->expires;

	late_max = MAX(late_max, late);
	if (late < 0)
		late_max = INT64_MAX;
	__atomic_fetch_add(&fired, 1, __ATOMIC_RELEASE);
	if (READ_ONCE(again))
		ktimer_arm(t, time_monotonic());
}

static void setup(void)
{
	static bool done;

	if (!done) {
		CHECK_EQ(arena_init(), 0);
		CHECK_EQ(time_init(), 0);
		ktimer_register_kind(KTIMER_TTY, fire);
		CHECK_EQ(time_start(), 0);
	}
	done = true;
	WRITE_ONCE(fired, 0);
}

TEST(order)
{
	int64_t now;

	setup();
	now = time_monotonic();
	for (int i = 0; i < 100; i++) {
		ktimer_init(&timers[i], KTIMER_TTY);
		ktimer_arm(&timers[i], now + (i * 37 % 100) * 300000L);
	}
	for (int i = 0; i < 100; i += 2)
		if (ktimer_cancel(&timers[i], true))
			__atomic_fetch_add(&fired, 1, __ATOMIC_RELAXED);
	while (READ_ONCE(fired) < 100)
		usleep(1000);
	usleep(20000);
	CHECK_EQ(__atomic_load_n(&fired, __ATOMIC_ACQUIRE), 100);
	CHECK(late_max != INT64_MAX); /* none was early */
	for (int i = 0; i < 100; i++)
		CHECK(!ktimer_cancel(&timers[i], false));
}

TEST(cancel_waits_for_one_that_rearms)
{
	setup();
	WRITE_ONCE(again, 1);
	ktimer_init(&timers[0], KTIMER_TTY);
	ktimer_arm(&timers[0], 0);
	while (!READ_ONCE(fired))
		usleep(1000);
	ktimer_cancel(&timers[0], true);
	WRITE_ONCE(fired, 0);
	usleep(5000);
	CHECK_EQ(READ_ONCE(fired), 0);
	WRITE_ONCE(again, 0);
}

TEST(conversions)
{
	int64_t ns;

	CHECK_EQ(timespec_to_ns(1, 5, &ns), 0);
	CHECK_EQ(ns, 1000000005);
	CHECK_EQ(timespec_to_ns(1, 1000000000, &ns), -EINVAL);
	CHECK_EQ(timespec_to_ns(-1, 0, &ns), -EINVAL);
	CHECK_EQ(timespec_to_ns(INT64_MAX, 0, &ns), 0);
	CHECK_EQ(ns, INT64_MAX);
	CHECK_EQ(time_clock_get(CLOCK_THREAD_CPUTIME_ID, &ns), -EINVAL);
	CHECK_EQ(time_clock_get(CLOCK_REALTIME, &ns), 0);
	CHECK(ns > 1000000000L * NSEC_PER_SEC);
}
