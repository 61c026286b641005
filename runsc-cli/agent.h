/*
 * The host process that stands for a process started by `exec`: the CLI itself in the foreground,
 * a forked child for --detach.  It owns the control connection that started the guest's process,
 * so its death by SIGKILL kills that process too; it forwards the signals it gets and exits with
 * the process's status.
 *
 * While it lives it has a file exec.PID.START in the container's directory, for `ps`.
 */
#ifndef RUNSC_CLI_AGENT_H
#define RUNSC_CLI_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "runsc-cli/state.h"

struct agent_params {
	const struct container *c;
	const char *process; /* JSON */
	size_t process_len;
	int master, slave; /* of the terminal, -1: none; master -1: somebody else relays */
	size_t preserve;
	unsigned closed; /* see struct anchor_params */
};

/* Runs the process in the foreground; *code: its exit code. */
int agent_run(const struct agent_params *p, int *code, struct err **err);
/*
 * Forks an agent and returns when the process runs; *sync must be handed to agent_commit, or
 * closed to call it off (the agent then ends, and the process with it).
 */
int agent_detach(const struct agent_params *p, pid_t *pid, int *sync, struct err **err);
int agent_commit(int sync, struct err **err);

/* The living agents of a container: *pids to be freed. */
size_t agent_list(const struct container *c, pid_t **pids);

#endif
