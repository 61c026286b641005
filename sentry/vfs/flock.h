/*
 * Advisory locks: fcntl(2) F_SETLK.., F_OFD_*, flock(2).
 *
 * They hang off the inode (struct flock_ctx, made on first need), all guarded by vfs->flock_lock.
 * Waiting for one is interruptible; deadlocks of POSIX locks are found.
 */
#ifndef SENTRY_VFS_FLOCK_H
#define SENTRY_VFS_FLOCK_H

#include "sentry/vfs/file.h"

struct flock_req {
	int16_t type;       /* F_RDLCK, F_WRLCK, F_UNLCK */
	int64_t start, end; /* inclusive end; INT64_MAX: to the end of file */
	int32_t pid;
};
/* owner: the fdtable for POSIX locks, the file for OFD and flock. wait: F_SETLKW: may return
 * -EDEADLK, -ERESTARTSYS; else -EAGAIN. */
int flock_posix_set(struct ctx *ctx, struct file *f, const void *owner, const struct flock_req *r,
	bool ofd, bool wait);
int flock_posix_get(struct file *f, const void *owner, struct flock_req *r, bool ofd);
int flock_bsd(struct ctx *ctx, struct file *f, int op);
void flock_release_posix(struct inode *i, const void *owner); /* on every close */
void flock_release_file(struct file *f);                      /* last reference of f */
/* /proc/locks */
size_t flock_show(char *buf, size_t n);

#endif
