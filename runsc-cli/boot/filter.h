/*
 * The host system calls of the sentry's process, once sealed: those of filter.def here, and of the
 * platform that was selected (platform/host_calls.h).
 */
#ifndef RUNSC_CLI_BOOT_FILTER_H
#define RUNSC_CLI_BOOT_FILTER_H

#include <stdbool.h>

#include "lib/err.h"

/*
 * Two filters, one on top of the other.  The first, before the platform is started, is inherited by
 * stubs, so it allows what these need, executable memory for instance; the second, once the
 * platform has started, is on the sentry's threads alone and leaves what the sentry needs.
 *
 * Any other call ends the process with SIGSYS; its number is logged.  Call the first with one
 * thread, after seal_privileges.  0 or -errno.
 */
struct filter_options {
	bool host_network; /* with the calls of --network=host */
	bool host_uds;     /* of --host-uds=create */
};
int filter_install_start(const struct filter_options *o, struct err **err);
int filter_install_sentry(const struct filter_options *o, struct err **err);

#endif
