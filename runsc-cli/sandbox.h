/*
 * Starting sentry and gofer: descriptors, the clone and exec of ourselves, waiting until both are
 * sealed, and handing the container over.
 *
 * The warden (warden.h) has a sandbox of its own to start the sentry with, which needs nothing of
 * the container; the anchor starts the gofer once the hooks have had their chance to change the
 * root, then calls sandbox_create.
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
	const struct join *join; /* into which sandbox; NULL: one of its own */

	pid_t sentry, gofer; /* our children; 0: none (never started, or reaped) */
	int sentry_ready;    /* -1: it was there before */
	int gofer_ready;
	int lifeline[2];      /* [0] theirs, [1] ours */
	int gofer_sock;       /* the end that goes to the sentry */
	int netreq;           /* our end of lib/proto/netreq.h; -1: none */
	struct strv services; /* loopback services; owned, for the life of the process */
};

void sandbox_init(struct sandbox *s);
/* ready: the write end of the pipe that its readiness is told by, the caller's. */
int sandbox_start_sentry(struct sandbox *s, int ready, struct err **err);
/* Opens the root and the sources of all binds (cwd: the bundle). */
int sandbox_start_gofer(struct sandbox *s, struct err **err);
/*
 * Waits for both, then has the container made; fds: of its first process.  Returns the connection
 * that owns it.
 */
int sandbox_create(struct sandbox *s, const int *fds, size_t nfds, struct err **err);
/* Kills it if there is one, and reaps it. */
void sandbox_kill_gofer(struct sandbox *s);

/* Opens the debug log of a command ("boot", "gofer", ...); -1: none. */
int debug_log_open(const struct cli *cli, const char *id, const char *command);

#endif
