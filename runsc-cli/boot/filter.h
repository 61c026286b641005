/*
 * The seccomp filter of the sentry and of the stub processes that it forks:
 * the host system calls that a sealed sentry needs, with their arguments
 * checked.  Everything else is reported by name (lib/seccomp_report.h) and
 * kills the process.
 */
#ifndef RUNSC_CLI_BOOT_FILTER_H
#define RUNSC_CLI_BOOT_FILTER_H

#include "lib/err.h"

/* Installs it for the calling thread (the only one) and all that come from it.  no_new_privs
 * must be set. */
int filter_install_sentry(struct err **err);

#endif
