/*
 * Clocks.  All of them are the host's, read by the parameters that guests use
 * in the vDSO (tsc.h) when there are any; a container's REALTIME cannot be
 * set, so offsets between clocks hold for as long as the host's do.
 */
#include "sentry/time/time.h"

#include <errno.h>

#include "lib/ro_after_init.h"
#include "sentry/time/tsc.h"

static int64_t read_clock(clockid_t clock)
{
	struct timespec ts;
	int64_t ns;

	if (likely(tsc_clock_get(clock, &ns)))
		return ns;
	if (clock_gettime(clock, &ts) != 0)
		return 0;
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

int64_t time_monotonic(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t time_realtime(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t time_boottime(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int time_clock_get(int clock, int64_t *ns)
{
	switch (clock) {
	case CLOCK_REALTIME_ALARM:
		*ns = time_realtime();
		return 0;
	case CLOCK_BOOTTIME_ALARM:
		*ns = time_boottime();
		return 0;
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		*ns = read_clock(clock);
		return 0;
	default:
		return -EINVAL;
	}
}

int timespec_to_ns(int64_t sec, int64_t nsec, int64_t *ns)
{
	if (sec < 0 || nsec < 0 || nsec >= NSEC_PER_SEC)
		return -EINVAL;
	if (__builtin_mul_overflow(sec, NSEC_PER_SEC, ns) || __builtin_add_overflow(*ns, nsec, ns))
		*ns = INT64_MAX;
	return 0;
}

/*
 * CPU cycles to ns by the ratio seen since start-up: the longer the sandbox
 * runs the better it is known, and nothing has to be calibrated up front.
 */
static uint64_t cycles0 RO_AFTER_INIT;
static int64_t mono0 RO_AFTER_INIT;

uint64_t time_cycles_to_ns(uint64_t cycles)
{
	uint64_t dc = time_cycles() - cycles0;
	int64_t dn = time_monotonic() - mono0;

	if (dc == 0 || dn <= 0)
		return 0;
	return (uint64_t)((unsigned __int128)cycles * (uint64_t)dn / dc);
}

void time_clock_init(void)
{
	tsc_init();
	cycles0 = time_cycles();
	mono0 = time_monotonic();
}
