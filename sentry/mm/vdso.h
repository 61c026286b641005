/*
 * What sentry/mm/vdso (the image and the parameter page of our vDSO) gives the
 * loader.  The guest sees the parameter pages ("[vvar]", read-only) directly
 * below the image ("[vdso]").
 */
#ifndef SENTRY_MM_VDSO_H
#define SENTRY_MM_VDSO_H

#include <stddef.h>
#include <stdint.h>

/* The ELF image; *len is its size in bytes (the loader pads it to pages). */
const void *vdso_image(size_t *len);
/* The parameter pages in the memory file (the provider keeps its reference); *len in bytes, a
 * page multiple.  Valid after the provider's start-up. */
uint64_t vdso_vvar(size_t *len);

#endif
