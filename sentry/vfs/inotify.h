/*
 * inotify(7): files that deliver events about watched inodes.  The verbs of
 * the VFS post the events (vfs/notify.c); this is what the system calls use.
 */
#ifndef SENTRY_VFS_INOTIFY_H
#define SENTRY_VFS_INOTIFY_H

#include "sentry/vfs/file.h"

/* flags: IN_NONBLOCK, IN_CLOEXEC (the latter is the caller's).  -EMFILE, -EINVAL, -ENOMEM. */
int inotify_create_file(struct ctx *ctx, int flags, struct file **out);
/* p was looked up as IN_DONT_FOLLOW and IN_ONLYDIR ask.  The watch descriptor, or -EINVAL (not an
 * inotify file, bad mask), -EACCES, -EEXIST (IN_MASK_CREATE), -ENOSPC, -ENOMEM. */
int inotify_add_watch_file(struct ctx *ctx, struct file *f, const struct path *p, uint32_t mask);
int inotify_rm_watch_file(struct file *f, int wd);

#endif
