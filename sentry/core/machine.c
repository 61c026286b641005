/* The machine as the guest sees it. */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "lib/compiler.h"
#include "lib/ro_after_init.h"
#include "sentry/core/machine.h"

static struct machine machine RO_AFTER_INIT = {.cpus = 1, .memory = 1UL << 30};

void machine_init(uint64_t memory_limit)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		machine.cpus = (uint32_t)CPU_COUNT(&set);
	long pages = sysconf(_SC_PHYS_PAGES);
	if (pages > 0)
		machine.memory = (uint64_t)pages * PAGE_SIZE;
	if (memory_limit && memory_limit < machine.memory)
		machine.memory = memory_limit;
}

const struct machine *machine_get(void)
{
	return &machine;
}
