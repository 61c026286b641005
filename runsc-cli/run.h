/*
 * A container in the foreground: created, started, waited for and removed.  Signals that this
 * process gets go to the container; with a terminal, bytes are relayed.
 */
#ifndef RUNSC_CLI_RUN_H
#define RUNSC_CLI_RUN_H

#include "runsc-cli/life.h"

/* Returns the exit code of init; errors are reported with prefix.  keep: do not remove it. */
int run_foreground(const struct cli *cli, const struct create_opts *o, bool keep,
	const char *prefix);

#endif
