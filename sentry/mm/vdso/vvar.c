/*
 * The vDSO's parameter page: one for the whole sandbox, in the memory file.
 */
#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/mem/memfile.h"
#include "sentry/mm/vdso.h"
#include "sentry/time/tsc.h"

struct vvar_globals {
	uint64_t page; /* offset in the memory file; 0: not made yet */
};
static struct vvar_globals *vvar RO_AFTER_INIT;
KERNEL_UNIT("vvar", vvar, NULL);

/* The caller serializes the first call (the loader's lock). */
uint64_t vdso_vvar(size_t *len)
{
	if (!vvar->page) {
		/* The container's first exec: there is no guest yet that could use memory up. */
		if (memfile_alloc(VVAR_SIZE, &vvar->page) < 0)
			panic("no memory for the vDSO's parameters");
		tsc_set_page(memfile_ptr(vvar->page));
	}
	*len = VVAR_SIZE;
	return vvar->page;
}
