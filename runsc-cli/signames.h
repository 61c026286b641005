/* Names of signals: "KILL", "SIGKILL", "9", "RTMIN+3"; in any case. */
#ifndef RUNSC_CLI_SIGNAMES_H
#define RUNSC_CLI_SIGNAMES_H

#include "lib/err.h"

/* 0..64, or -EINVAL: unknown signal "X". */
int signal_parse(const char *name, struct err **err);

#endif
