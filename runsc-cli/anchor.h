/*
 * The anchor: the host process that stands for a container.  Its pid is the one in the pid-file;
 * it is the parent of the gofer and, if the container is the first of its sandbox, of the warden
 * (warden.h), sits in the container's cgroups and network namespace, forwards the signals it gets
 *to the container's init, and exits with its exit status (128+N for death by signal N).  When
 *whoever ran create exits, it is re-parented to the caller's sub-reaper (containerd's shim,
 *conmon), which reaps it.
 *
 * create and the anchor talk over a SOCK_SEQPACKET pair, one message a step:
 *
 *	create				anchor
 *	  fork ----------------------->  setsid, network namespace
 *	       <------------------- N
 *	  cgroups joined, J ---------->  starts warden and sentry, or joins a sandbox
 *	  hooks, G ------------------->  starts the gofer, creates the container
 *	       <--- S sentry gofer warden joined, or E message
 *	  state, pid-file, console, K ->  clears its parent-death signal
 *	       <------------------- D
 *
 * Until D the anchor dies with create (PR_SET_PDEATHSIG).  Whenever it dies, the gofer does
 * (PR_SET_PDEATHSIG, a lifeline), the sentry ends the container, whose connection closes, and the
 * warden the sandbox, if nobody else is in it.  So a create that is killed at any point leaves no
 * process.
 */
#ifndef RUNSC_CLI_ANCHOR_H
#define RUNSC_CLI_ANCHOR_H

#include <sys/types.h>

#include "runsc-cli/boot/boot.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"

#define ANCHOR_NS_READY 'N'
#define ANCHOR_JOINED 'J'
#define ANCHOR_GO 'G'
#define ANCHOR_STARTED 'S'
#define ANCHOR_ERROR 'E'
#define ANCHOR_COMMIT 'K'
#define ANCHOR_DONE 'D'
#define ANCHOR_MSG_MAX 8192

struct anchor_params {
	const struct cli *cli;
	const char *id;
	const struct spec *spec; /* cwd is the bundle */
	enum boot_overlay overlay;
	int state_dir;
	const struct join *join; /* the sandbox to join; NULL: none */
	int slave;               /* pty slave for a terminal, -1: stdio are the caller's */
	size_t preserve;         /* descriptors 3.. that the container gets too */
	unsigned closed;         /* bit N: the caller had descriptor N (0-2) closed */
};

/* Forks it; sync: our end of the pair.  All signals must be blocked.  -errno on failure. */
pid_t anchor_fork(const struct anchor_params *p, int *sync, struct err **err);

/* One message: type and text; the text is NUL-terminated in buf (ANCHOR_MSG_MAX bytes). */
int anchor_send(int sync, char type, const char *text);
/* Returns the type, -ECONNRESET when the other side is gone. */
int anchor_recv(int sync, char *buf);

/* --- shared with the agent of a detached exec --- */

/* Closes every descriptor but those (n of them; sorted in place). */
void close_all_but(int *keep, size_t n);
/* Points 0-2 at /dev/null. */
void stdio_to_null(void);
/* A signalfd for everything that can be caught; all signals must be blocked. */
int open_signal_fd(void);
/* What is not to be forwarded: the agent's own business. */
bool signal_is_private(int signo);
/* Exit code for a wait status: the status, or 128+N. */
int exit_code_of(int wait_status);

#endif
