/*
 * The sentry's end of the control protocol (lib/proto/control.h).
 *
 * The main thread accepts connections; each has a thread that reads requests
 * and answers them, and each process that is waited for has one that waits.
 * All of them belong to the server and end with the process.
 */
#ifndef RUNSC_CLI_BOOT_CONTROL_SERVER_H
#define RUNSC_CLI_BOOT_CONTROL_SERVER_H

#include <stdbool.h>

#include "lib/err.h"

struct control_server_config {
	int listen_fd;
	int lifeline_fd; /* -1: none */
};

/* Before sealing: opens what it needs. */
int control_server_init(const struct control_server_config *cfg, struct err **err);
/* After kernel_start, on the thread that called it.  Returns the exit status of the process when
 * nobody can reach it any more: a sandbox without containers may still get one. */
int control_server_run(void);

#endif
