/*
 * The vDSO's parameter page: one for the whole sandbox, in the memory file.
 */
#include "lib/log.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/vdso.h"
#include "sentry/time/tsc.h"

/* The caller serializes the first call (the loader's lock). */
uint64_t vdso_vvar(size_t *len)
{
	static uint64_t page;
	static bool made;

	if (!made) {
		/* The container's first exec: there is no guest yet that could use memory up. */
		if (memfile_alloc(VVAR_SIZE, &page) < 0)
			panic("no memory for the vDSO's parameters");
		tsc_set_page(memfile_ptr(page));
		made = true;
	}
	*len = VVAR_SIZE;
	return page;
}
