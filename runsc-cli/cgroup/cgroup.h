/*
 * The container's place in the host's cgroups: version 1 (one directory a hierarchy), hybrid
 * (version 1 wins, as for runc) and version 2.
 *
 * linux.cgroupsPath, absolute: below the mount of each hierarchy; relative: below our own cgroup.
 * Without a path a cgroup of the container's name is made only when there are limits to apply.
 * With --systemd-cgroup the path is slice:prefix:name; there is no systemd to talk to in most
 * sandboxes' hosts, so it is turned into the directory that systemd would use.
 *
 * The devices controller is joined but its rules are not applied: guests never reach a host
 * device.  What may not be written (rootless, read-only mounts) is skipped with a warning; a limit
 * that the kernel refuses is an error.
 */
#ifndef RUNSC_CLI_CGROUP_H
#define RUNSC_CLI_CGROUP_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"

/*
 * The directories that belong to the container: an array of {"dir", "controllers", "v2", "made"}
 * objects.  *out is set to NULL if it shall have none.  Nothing is created yet, so that the state
 * can be saved before anything exists that would have to be removed.
 */
int cgroup_plan(const char *id, const char *cgroups_path, const json_t *resources, bool systemd,
	json_t **out, struct err **err);
/* Makes the directories and applies the resources (may be NULL). */
int cgroup_create(const json_t *plan, const json_t *resources, struct err **err);
/* Moves the process (and what it will fork) into them. */
int cgroup_join(const json_t *plan, pid_t pid, struct err **err);
/* Moves every process of one container's directories to another's, as far as that has such. */
void cgroup_move(const json_t *from, const json_t *to);
/* Applies resources of a later `update`. */
int cgroup_update(const json_t *plan, const json_t *resources, struct err **err);
/* Removes the directories; tries for a second where processes are still ending. */
void cgroup_remove(const json_t *plan);

/* The "data" object of `events --stats` in runc's form, without what only the sentry knows; a new
 * reference (never NULL). */
json_t *cgroup_stats(const json_t *plan);

#endif
