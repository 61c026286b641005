/*
 * The vDSO image, as the loader sees it.
 */
#include "sentry/mm/vdso.h"

extern const char vdso_blob[], vdso_blob_end[]; /* blob.S */

const void *vdso_image(size_t *len)
{
	*len = (size_t)(vdso_blob_end - vdso_blob);
	return vdso_blob;
}
