/*
 * Leases: fcntl(2) F_SETLEASE, F_GETLEASE.  Who opens or truncates the file waits until the holder
 * has given its lease up, /proc/sys/fs/lease-break-time at most.  Kept beside the locks (flock.h).
 */
#ifndef SENTRY_VFS_LEASE_H
#define SENTRY_VFS_LEASE_H

#include "sentry/vfs/file.h"

/* type F_RDLCK, F_WRLCK, F_UNLCK: -EACCES, -EINVAL, -EAGAIN.  The caller gives f an owner. */
int lease_set(struct ctx *ctx, struct file *f, int fd, int type);
int lease_get(struct file *f);

#endif
