/*
 * io_setup(2) and its kin.  A context belongs to an address space and goes with
 * it (sentry/core/aio.h); its number is the address of a page that the guest sees there.  (Linux
 * shares its ring of events in that page; ours holds no ring, and says so by a
 * magic number that user space does not know, so that it always calls.)
 *
 * Requests are done when they are submitted, as Linux does those on files that
 * cannot do better: buffered I/O.  What submits may therefore block.
 *
 * Locks: the table's lock guards the list of contexts, aio->lock (LOCK_NOTIFY, as the other; they
 * do not nest) the events.
 */
#ifndef SENTRY_FS_AIO_H
#define SENTRY_FS_AIO_H

#include "lib/abi/aio.h"
#include "sentry/core/aio.h"
#include "sentry/vfs/file.h"

/* t: of the caller's own address space.  -EINVAL, -EAGAIN (fs.aio-max-nr), -ENOMEM. */
int aio_setup(struct ctx *ctx, struct aio_table *t, uint32_t nr, uint64_t *id);
int aio_destroy(struct ctx *ctx, struct aio_table *t, uint64_t id);
/* Is there such a context? */
bool aio_exists(struct aio_table *t, uint64_t id);
/* One request, copied from the guest's at ucb.  0 or what io_submit(2) says. */
int aio_submit(struct ctx *ctx, struct aio_table *t, struct fdtable *fds, uint64_t id, uaddr_t ucb,
	const struct abi_iocb *cb);
/* At least min, at most max events to the guest; waits until the deadline.  -EINTR, -EFAULT. */
long aio_getevents(struct ctx *ctx, struct aio_table *t, uint64_t id, long min, long max,
	uaddr_t out, int64_t deadline);

#endif
