/*
 * Hooks of the runtime specification, run from the CLI.
 *
 *   prestart, createRuntime  during create, in the runtime's own namespaces, cwd: the bundle
 *   createContainer          then, in the container's network namespace and in the private mount
 *                            namespace from which the gofer starts, cwd: the root directory
 *   startContainer           by start, inside the sandbox (see life.c): not here
 *   poststart                after start
 *   poststop                 after delete
 *
 * A hook gets the state JSON on standard input.  Messages are runc's:
 *   error running hook #0: error running hook: exit status 1, stdout: , stderr: ...
 */
#ifndef RUNSC_CLI_HOOKS_H
#define RUNSC_CLI_HOOKS_H

#include <jansson.h>

#include "lib/err.h"
#include "runsc-cli/spec/spec.h"

struct hook_place {
	const char *cwd; /* NULL: the caller's */
	int net_ns;      /* namespaces to enter first, -1: stay */
	int mnt_ns;
};
#define HOOK_PLACE_HERE                                                                            \
	{                                                                                          \
		NULL, -1, -1                                                                       \
	}

/* Runs one hook to its end or its timeout.  state: the JSON text for its standard input. */
int hook_run(const struct spec_hook *hook, const char *state, const struct hook_place *place,
	struct err **err);

/* Runs all hooks of one kind in order; stops at the first that fails. */
int hooks_run(const struct spec *spec, enum spec_hook_kind kind, const char *state,
	const struct hook_place *place, struct err **err);

#endif
