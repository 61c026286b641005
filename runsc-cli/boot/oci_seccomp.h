/*
 * linux.seccomp of config.json as a filter for the container's processes.
 *
 * The document has been checked (runsc-cli/spec/limits.c).  libseccomp compiles it, as
 * in runc, so that the same profile means the same; the sentry runs the result.
 */
#ifndef RUNSC_CLI_BOOT_OCI_SECCOMP_H
#define RUNSC_CLI_BOOT_OCI_SECCOMP_H

#include <jansson.h>
#include <stddef.h>

#include "lib/abi/seccomp.h"
#include "lib/err.h"

/* *out (free) and *n instructions; n 0: nothing to filter.  0 or -errno. */
int oci_seccomp_compile(const json_t *doc, struct abi_sock_filter **out, size_t *n,
	struct err **err);

#endif
