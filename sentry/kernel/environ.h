/*
 * The environment of a process from outside, as runc hands it to the program: a variable that is
 * there twice has its last value, and HOME, where it is missing or empty, is the home directory of
 * the user id in the container's /etc/passwd, or "/".
 */
#ifndef SENTRY_KERNEL_ENVIRON_H
#define SENTRY_KERNEL_ENVIRON_H

#include <limits.h>

#include "sentry/vfs/path.h"

struct environ {
	char **v; /* NULL-terminated; entries are borrowed, or in home */
	int n;
	char home[sizeof("HOME=") + PATH_MAX];
};

/* envv (may be NULL) as seen by uid under v.  -ENOMEM. */
int environ_make(struct environ *e, char *const *envv, const struct vfs_view *v, uint32_t uid);
void environ_free(struct environ *e);
/* The value of name, NULL if it is not there. */
const char *environ_get(const struct environ *e, const char *name);

#endif
