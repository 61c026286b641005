/*
 * Long transfers between guest memory and a host descriptor, without a copy in between.
 */
#ifndef SENTRY_FS_HOST_TRANSFER_H
#define SENTRY_FS_HOST_TRANSFER_H

#include "sentry/core/uio.h"

#define TRANSFER_MAX (1UL << 20) /* bytes a call: nothing ends a call of the host's */

/*
 * pread(2) or pwrite(2) at *pos, which moves along, straight from or to pinned pages, until u is
 * through, the host does less than it was asked for, or the task is killed.  The bytes moved; if
 * none, -errno of the host or -EFAULT.
 */
ssize_t host_transfer_at(struct ctx *ctx, int fd, struct uio *u, int64_t *pos, bool write);

#endif
