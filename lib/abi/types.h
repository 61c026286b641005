/*
 * Types that several areas share: iovec, kernel time structures, sigset.
 */
#ifndef LIB_ABI_TYPES_H
#define LIB_ABI_TYPES_H

#include <stdint.h>

typedef uint64_t abi_sigset_t; /* bit N-1 is signal N */

struct abi_timespec {
	int64_t tv_sec;
	int64_t tv_nsec;
};

struct abi_timeval {
	int64_t tv_sec;
	int64_t tv_usec;
};

struct abi_iovec {
	uint64_t base; /* guest address */
	uint64_t len;
};

/* rt_sigset argument pair of pselect6(2). */
struct abi_sigset_argpack {
	uint64_t set; /* guest address of an abi_sigset_t */
	uint64_t size;
};

_Static_assert(sizeof(struct abi_timespec) == 16, "ABI");
_Static_assert(sizeof(struct abi_timeval) == 16, "ABI");
_Static_assert(sizeof(struct abi_iovec) == 16, "ABI");
_Static_assert(sizeof(struct abi_sigset_argpack) == 16, "ABI");

#endif
