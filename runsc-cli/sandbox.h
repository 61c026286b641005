/*
 * Starting the two processes of a sandbox from its anchor: descriptors, the clone and exec of
 * ourselves, waiting until both are sealed, and handing the container over.
 *
 * Owned by the anchor alone.  The order: sentry first (it needs nothing of the container), then,
 * once the hooks have had their chance to change the root, the gofer, then sandbox_create.
 */
#ifndef RUNSC_CLI_SANDBOX_H
#define RUNSC_CLI_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runsc-cli/boot/boot.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"

struct sandbox {
	const struct cli *cli;
	const char *id;
	const struct spec *spec;
	int state_dir; /* borrowed */
	enum boot_overlay overlay;

	pid_t sentry, gofer; /* 0: none (never started, or reaped) */
	int sentry_ready, gofer_ready;
	int lifeline[2];      /* [0] theirs, [1] ours */
	int gofer_sock;       /* the end that goes to the sentry */
	int netreq;           /* our end of lib/proto/netreq.h; -1: none */
	struct strv services; /* loopback services; owned, for the life of the process */
};

void sandbox_init(struct sandbox *s);
int sandbox_start_sentry(struct sandbox *s, struct err **err);
/* Opens the root and the sources of all binds (cwd: the bundle). */
int sandbox_start_gofer(struct sandbox *s, struct err **err);
/* Waits for both, then has the container made; fds: of its first process. */
int sandbox_create(struct sandbox *s, const int *fds, size_t nfds, struct err **err);
/* Kills what is left and reaps it. */
void sandbox_kill(struct sandbox *s);

/* Opens the debug log of a command ("boot", "gofer", ...); -1: none. */
int debug_log_open(const struct cli *cli, const char *id, const char *command);

#endif
