/*
 * struct uio: where data goes to or comes from: a list of guest segments
 * or one kernel buffer.  Consumed as it is copied.
 */
#ifndef SENTRY_CORE_UIO_H
#define SENTRY_CORE_UIO_H

#include <stdbool.h>

#include "sentry/core/uaccess.h"

#ifndef UIO_MAXIOV
#define UIO_MAXIOV 1024
#endif
/* MAX_RW_COUNT of Linux: a transfer is silently cut to this. */
#define UIO_MAX_RW 0x7ffff000UL

struct uio_seg {
	uint64_t base; /* guest address, or host pointer if !user */
	uint64_t len;
};

struct uio {
	struct ctx *ctx;
	struct uio_seg *seg; /* current segment; borrowed */
	uint32_t nseg;       /* segments left, the current included */
	bool user;
	size_t off;   /* consumed of *seg */
	size_t resid; /* bytes left */
};

/* One guest buffer; seg is caller's storage that must outlive the uio. */
void uio_init_user(struct uio *u, struct ctx *ctx, struct uio_seg *seg, uaddr_t base, size_t len);
void uio_init_kernel(struct uio *u, struct uio_seg *seg, const void *base, size_t len);
void uio_init_segs(struct uio *u, struct ctx *ctx, struct uio_seg *seg, uint32_t n);
/*
 * Reads an iovec array from the guest as readv(2) does: -EINVAL (n > UIO_MAXIOV, a negative
 * length), -EFAULT (also for a segment that is not all below the end of user memory).  seg must
 * hold n entries.
 */
int uio_import(struct uio *u, struct ctx *ctx, uaddr_t iov, uint64_t n, struct uio_seg *seg);
/* The same for segments of another process's memory, which fail where they are reached. */
int uio_import_remote(struct ctx *ctx, uaddr_t iov, uint64_t n, struct uio_seg *seg);

/* Copies up to n bytes; returns what was copied, or -EFAULT if n > 0 and nothing could be. */
ssize_t uio_write(struct uio *u, const void *src, size_t n); /* kernel -> u */
ssize_t uio_read(struct uio *u, void *dst, size_t n);        /* u -> kernel */
ssize_t uio_zero(struct uio *u, size_t n);
/* Skips n bytes without copying. */
void uio_advance(struct uio *u, size_t n);
/* Pins the next contiguous piece (at most n bytes) for direct host I/O; does not consume it.
 * write: the host will write to it. */
ssize_t uio_pin(struct uio *u, size_t n, bool write, struct upin *pin);

#endif
