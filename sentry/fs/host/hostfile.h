/*
 * Donated host descriptors (standard input, output, error): FILE_HOST.
 *
 * The description behind such a descriptor is shared with processes outside,
 * so its flags are never changed (no O_NONBLOCK) and a regular file is read and
 * written at the host's shared offset: two writers do not overwrite each other.
 */
#ifndef SENTRY_FS_HOST_HOSTFILE_H
#define SENTRY_FS_HOST_HOSTFILE_H

#include "sentry/vfs/file.h"

void hostfile_init(void);
/* Takes over host_fd (also on error).  number: which descriptor of the process it is given with;
 * flags: 0, or O_* to override what F_GETFL says.  Before hostpoll_start a blocking read of a pipe
 * or terminal fails with -EIO. */
int hostfile_create(struct ctx *ctx, int host_fd, uint32_t number, uint32_t flags,
	struct file **out);

#endif
