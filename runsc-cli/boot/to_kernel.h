/*
 * From what config.json says to what the kernel is told.
 *
 * The results borrow strings from the spec and own their lists: they are to be
 * freed, before the spec, whether or not the kernel took them.
 */
#ifndef RUNSC_CLI_BOOT_TO_KERNEL_H
#define RUNSC_CLI_BOOT_TO_KERNEL_H

#include <sys/resource.h>

#include "runsc-cli/boot/boot.h"
#include "runsc-cli/spec/spec.h"
#include "sentry/kernel/kernel.h"

/* What a process has where its configuration says nothing: that of who asks for it. */
struct inherited {
	int umask;                                /* -1: the kernel's default */
	struct kproc_rlimit limits[RLIM_NLIMITS]; /* by resource */
	size_t nlimits;                           /* 0: the kernel's defaults */
};

struct container_opts {
	const char *id;
	const struct inherited *inherited;
	enum boot_overlay overlay;
	bool root_shared;      /* others may change the root */
	bool mounts_exclusive; /* nobody else changes the bind mounts */
	uint16_t rows, cols;   /* 0: as config.json says */
};

/* gofer_sock and init.fds are left for the caller to set. */
int to_kernel_container(const struct spec *s, const struct container_opts *o,
	struct kcontainer_args *out, struct err **err);
void to_kernel_container_free(struct kcontainer_args *a);

/* fds are left for the caller to set. */
int to_kernel_process(const struct spec_process *p, const struct inherited *in,
	struct kproc_args *out, struct err **err);
void to_kernel_process_free(struct kproc_args *a);

#endif
