/*
 * Pipes and FIFOs (pipe(7)): a ring of memory-file pages.
 *
 * Ownership: the inode's struct pipe is counted by its open ends (files); the
 * last one to close frees ring and pages.  Lock: pipe->lock (LOCK_PIPE,
 * sleepable: held across copies from and to guest memory, as on Linux).
 */
#ifndef SENTRY_FS_PIPE_H
#define SENTRY_FS_PIPE_H

#include "sentry/vfs/file.h"

void pipe_init(void);
/* pipe2(2): flags O_NONBLOCK, O_DIRECT (O_CLOEXEC is the caller's). [0] reads, [1] writes. */
int pipe_create(struct ctx *ctx, int flags, struct file *out[2]);
/* F_GETPIPE_SZ, F_SETPIPE_SZ: the capacity in bytes; -EBADF if f is no pipe, -EBUSY, -EPERM. */
long pipe_get_size(struct file *f);
long pipe_set_size(struct ctx *ctx, struct file *f, uint64_t size);

/*
 * splice(2), tee(2), vmsplice(2).  flags: SPLICE_F_*.  off: NULL for the file's own position.
 * Positions of pipes must be NULL (-ESPIPE).  Exactly one side of pipe_splice need be a pipe.
 */
ssize_t pipe_splice(struct ctx *ctx, struct file *in, int64_t *inoff, struct file *out,
	int64_t *outoff, size_t n, unsigned int flags);
ssize_t pipe_tee(struct ctx *ctx, struct file *in, struct file *out, size_t n, unsigned int flags);
/* Direction by f's access mode: writes u into the pipe, or fills u from it. */
ssize_t pipe_vmsplice(struct ctx *ctx, struct file *f, struct uio *u, unsigned int flags);

#endif
