/*
 * The verbs of a container's life that several commands share: create, start, delete.
 */
#ifndef RUNSC_CLI_LIFE_H
#define RUNSC_CLI_LIFE_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runsc-cli/boot/boot.h"
#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"
#include "runsc-cli/state.h"

struct create_opts {
	const char *id;
	const char *bundle;         /* NULL: the current directory */
	const char *pid_file;       /* NULL: none */
	const char *console_socket; /* NULL: none */
	bool detach;                /* nobody stays to relay a terminal */
	long long preserve_fds;
	bool force_overlay;  /* writes never reach the root (do) */
	const char *scratch; /* see struct container */
};

struct created {
	struct container *c; /* locked */
	struct spec *spec;
	pid_t anchor;
	int console; /* master of a terminal in the foreground, -1: none */
};

/*
 * Makes a container up to "created".  Changes the working directory to the bundle.  On failure
 * nothing is left.  All signals are blocked afterwards (the anchor was forked so).
 */
int life_create(const struct cli *cli, const struct create_opts *o, struct created *out,
	struct err **err);
/* startContainer hooks, start, poststart hooks; c is locked on entry and unlocked on return. */
int life_start(struct container *c, struct err **err);
/* After a pause or resume, which the sentry gave the number seq: what the container is now, unless
 * a later one has been saved already. */
int life_save_freeze(struct container *c, enum status now, uint64_t seq, struct err **err);
/* Kills the processes that the container has, as its state tells without the lock: who holds that
 * one may be waiting for them. */
void life_kill_unlocked(const struct cli *cli, const char *id);
/*
 * Kills what is left of the container, runs the poststop hooks and removes it.  Its status does
 * not matter.  Failing poststop hooks are reported, no more.
 */
int life_destroy(struct container *c, struct err **err);

/* The configuration that the container was made with. */
int life_load_spec(const struct container *c, struct spec **out, struct err **err);

/* Which of 0-2 the caller had closed (bit N); main opened /dev/null there. */
extern unsigned stdio_closed;
/* Checks that descriptors 3..3+n-1 are open. */
int preserve_fds_check(long long n, struct err **err);
/* An absolute path for the caller's relative one (borrowed if it is absolute or NULL). */
const char *absolute_path(const char *path);

/* Connects to the container's sentry; -errno with "container not running" if there is none,
 * -ETIMEDOUT if it does not answer. */
int life_connect(const struct container *c, struct err **err);

#endif
