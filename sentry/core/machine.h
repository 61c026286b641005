/*
 * What the guest sees of the machine: read from the host once, before the
 * sandbox is sealed, and constant from then on.
 */
#ifndef SENTRY_CORE_MACHINE_H
#define SENTRY_CORE_MACHINE_H

#include <stdint.h>

struct machine {
	uint32_t cpus;   /* that the sandbox may run on */
	uint64_t memory; /* bytes: the sandbox's limit or the host's RAM */
};

/* memory_limit 0: none. */
void machine_init(uint64_t memory_limit);
const struct machine *machine_get(void);

/* The release that uname(2) and /proc/version report. */
#define SENTRY_RELEASE "6.12.0-runsc"
#define SENTRY_VERSION "#1 SMP PREEMPT_DYNAMIC runsc"

#endif
