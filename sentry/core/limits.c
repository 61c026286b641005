/* Resource limits: the defaults that runc's containers see on Debian. */
#include "sentry/core/limits.h"

void rlimits_init_default(struct rlimits *r)
{
	static const struct {
		uint64_t soft, hard;
	} def[RLIM_NLIMITS] = {
		[RLIMIT_CPU] = {RLIM_INF, RLIM_INF},
		[RLIMIT_FSIZE] = {RLIM_INF, RLIM_INF},
		[RLIMIT_DATA] = {RLIM_INF, RLIM_INF},
		[RLIMIT_STACK] = {8UL << 20, RLIM_INF},
		[RLIMIT_CORE] = {0, RLIM_INF},
		[RLIMIT_RSS] = {RLIM_INF, RLIM_INF},
		[RLIMIT_NPROC] = {RLIM_INF, RLIM_INF},
		[RLIMIT_NOFILE] = {1024, 1048576},
		[RLIMIT_MEMLOCK] = {8UL << 20, 8UL << 20},
		[RLIMIT_AS] = {RLIM_INF, RLIM_INF},
		[RLIMIT_LOCKS] = {RLIM_INF, RLIM_INF},
		[RLIMIT_SIGPENDING] = {63000, 63000},
		[RLIMIT_MSGQUEUE] = {819200, 819200},
		[RLIMIT_NICE] = {0, 0},
		[RLIMIT_RTPRIO] = {0, 0},
		[RLIMIT_RTTIME] = {RLIM_INF, RLIM_INF},
	};
	mutex_init(&r->lock, LOCK_CRED);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		r->lim[i].soft = def[i].soft;
		r->lim[i].hard = def[i].hard;
	}
}
