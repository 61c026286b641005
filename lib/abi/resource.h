/*
 * Limits and usage: getrlimit(2), getrusage(2).
 */
#ifndef LIB_ABI_RESOURCE_H
#define LIB_ABI_RESOURCE_H

#include <sys/resource.h>

#include "lib/abi/types.h"

struct abi_rlimit {
	uint64_t rlim_cur;
	uint64_t rlim_max;
};

struct abi_rusage {
	struct abi_timeval ru_utime;
	struct abi_timeval ru_stime;
	int64_t ru_maxrss; /* KiB */
	int64_t ru_ixrss, ru_idrss, ru_isrss;
	int64_t ru_minflt, ru_majflt, ru_nswap;
	int64_t ru_inblock, ru_oublock;
	int64_t ru_msgsnd, ru_msgrcv, ru_nsignals;
	int64_t ru_nvcsw, ru_nivcsw;
};

_Static_assert(RLIM_NLIMITS == 16, "ABI");
_Static_assert(sizeof(struct abi_rlimit) == 16, "ABI");
_Static_assert(sizeof(struct abi_rusage) == 144, "ABI");

#endif
