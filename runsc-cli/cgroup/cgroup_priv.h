/*
 * Between cgroup.c, limits.c and stats.c: finding the entry of a controller, its files.
 *
 * A plan is JSON that the container's state keeps: one entry a hierarchy (version 1) or one for all
 * (version 2), each with its directory.  Strings that are returned belong to the plan.
 */
#ifndef RUNSC_CLI_CGROUP_PRIV_H
#define RUNSC_CLI_CGROUP_PRIV_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Is name (of len bytes) one of the comma-separated list? */
bool cgroup_has(const char *list, const char *name, size_t len);
/* The entry of the plan that has the controller (a version 2 entry has all), NULL: none. */
const json_t *cgroup_of(const json_t *plan, const char *controller);
const char *cgroup_str(const json_t *group, const char *key);
const char *cgroup_dir(const json_t *group);
bool cgroup_is_v2(const json_t *group);
/* 0 or -errno. */
int cgroup_write(const char *dir, const char *file, const char *text);
/* The file's text, to be freed; NULL if it cannot be read. */
char *cgroup_read(const char *dir, const char *file);

#endif
