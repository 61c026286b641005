/* See ro_after_init.h. */
#include "lib/ro_after_init.h"

#include <stddef.h>
#include <sys/mman.h>

#include "lib/hostcall.h"

int ro_after_init_seal(void)
{
	size_t len = (size_t)(ro_after_init_end - ro_after_init_start);

	return len ? host_mprotect(ro_after_init_start, len, PROT_READ) : 0;
}
