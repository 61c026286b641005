/* Random bytes of the host, for keys, names and places that nobody shall guess. */
#ifndef LIB_RANDOM_H
#define LIB_RANDOM_H

#include <stddef.h>
#include <sys/syscall.h>

#include "lib/hostcall.h"
#include "lib/log.h"

#define RANDOM_MAX                                                                                 \
	256 /* getrandom(2): so many come whole, and without a wait since the host booted */

/* n bytes, RANDOM_MAX at most. */
static inline void random_bytes(void *to, size_t n)
{
	BUG_ON(n > RANDOM_MAX);
	if (host_syscall3(SYS_getrandom, to, n, 0) != (long)n)
		panic("getrandom failed");
}

#endif
