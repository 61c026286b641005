/*
 * A sentry for fuzz targets: everything is up but for a platform, which is a
 * fake one that runs nothing.  There is one task, root of its own container
 * with every capability, and the fuzzer's thread is that task's thread: what
 * a target calls it calls as the task, handlers of system calls too.
 *
 * Its memory is one mapping at ENV_MEM and nothing around it.  Its root is a
 * tmpfs with /proc, /tmp (a mount) and /mnt.  It has a signal pending for ever, so nothing blocks.
 */
#ifndef TESTS_FUZZ_ENV_H
#define TESTS_FUZZ_ENV_H

#include <errno.h>

#include "sentry/task/task.h"

#define ENV_MEM 0x10000000UL
#define ENV_MEM_LEN (32UL << 10)

/* The task; the first call brings it all up. */
struct task *env_task(void);
/* To and from the task's memory, all of which must be there. */
void env_put(uint64_t addr, const void *from, size_t n);
void env_get(uint64_t addr, void *to, size_t n);
/* System call nr as the task makes it: what it returns, restart codes too. */
long env_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
#define ENV_CALL_(nr, a, b, c, d, e, f, ...)                                                       \
	env_call(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e),    \
		(uint64_t)(f))
#define ENV_CALL(...) ENV_CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* Between inputs: no descriptors, no signals, memory zeroed. */
void env_reset(void);
/* Ends the run if the sentry's objects have become more than slack since the first call. */
void env_check_leaks(uint64_t slack);

/* The CPU state that the task's fake context was given last, fpu_size bytes. */
const uint8_t *env_fpu(void);

#endif
