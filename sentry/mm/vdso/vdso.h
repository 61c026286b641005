/*
 * The vDSO: an ELF image that the guest maps and calls to read clocks without
 * a trap.  Its parameter page (sentry/time/vvar.h) lies directly below it.
 *
 *	base - VVAR_SIZE	vvar, read-only, "[vvar]"
 *	base			the image, read and execute, "[vdso]"; AT_SYSINFO_EHDR
 */
#ifndef SENTRY_MM_VDSO_VDSO_H
#define SENTRY_MM_VDSO_VDSO_H

#include <stddef.h>

/* The image; pad it with zeroes to whole pages. */
extern const char vdso_image[], vdso_image_end[];

static inline size_t vdso_image_size(void)
{
	return (size_t)(vdso_image_end - vdso_image);
}

#endif
