/*
 * Memory devices (null, zero, full, random, urandom) and what a container's
 * /dev holds at start.  Terminals are sentry/fs/tty's.
 */
#ifndef SENTRY_FS_DEV_DEV_H
#define SENTRY_FS_DEV_DEV_H

#include "sentry/vfs/file.h"

void dev_init(void);
/* The same for the root of a devtmpfs being mounted. */
int dev_populate_root(struct ctx *ctx, struct dentry *root);
/* The bytes of getrandom(2), from the host: 0 or -errno. */
int dev_random_bytes(void *buf, size_t n);

#endif
