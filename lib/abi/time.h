/*
 * Clocks, timers and adjtimex: time(7), timer_create(2), adjtimex(2).
 */
#ifndef LIB_ABI_TIME_H
#define LIB_ABI_TIME_H

#include <time.h>

#include "lib/abi/types.h"

struct abi_itimerspec {
	struct abi_timespec it_interval;
	struct abi_timespec it_value;
};

struct abi_itimerval {
	struct abi_timeval it_interval;
	struct abi_timeval it_value;
};

struct abi_timezone {
	int32_t tz_minuteswest;
	int32_t tz_dsttime;
};

struct abi_utimbuf {
	int64_t actime;
	int64_t modtime;
};

/* times(2), in clock ticks of 1/100 s */
struct abi_tms {
	int64_t tms_utime, tms_stime, tms_cutime, tms_cstime;
};

struct abi_timex {
	uint32_t modes, pad0;
	int64_t offset, freq, maxerror, esterror;
	int32_t status, pad1;
	int64_t constant, precision, tolerance;
	struct abi_timeval time;
	int64_t tick, ppsfreq, jitter;
	int32_t shift, pad2;
	int64_t stabil, jitcnt, calcnt, errcnt, stbcnt;
	int32_t tai;
	int32_t pad3[11];
};

#define ABI_USER_HZ 100

_Static_assert(sizeof(struct abi_itimerspec) == 32, "ABI");
_Static_assert(sizeof(struct abi_itimerval) == 32, "ABI");
_Static_assert(sizeof(struct abi_timezone) == 8, "ABI");
_Static_assert(sizeof(struct abi_utimbuf) == 16, "ABI");
_Static_assert(sizeof(struct abi_tms) == 32, "ABI");
_Static_assert(sizeof(struct abi_timex) == 208, "ABI");

#endif
