/* Long transfers to and from host files: see transfer.h. */
#include "sentry/fs/host/transfer.h"

#include "lib/hostcall.h"
#include "sentry/core/ctx.h"
#include "sentry/core/uaccess.h"

ssize_t host_transfer_at(struct ctx *ctx, int fd, struct uio *u, int64_t *pos, bool write)
{
	ssize_t done = 0, r = 0;
	while (u->resid && !ctx_killed(ctx)) {
		struct upin pin;
		r = uio_pin(u, MIN(u->resid, TRANSFER_MAX), !write, &pin);
		if (r <= 0)
			break;
		ssize_t n = r;
		r = write ? host_pwrite(fd, pin.ptr, pin.len, *pos)
			  : host_pread(fd, pin.ptr, pin.len, *pos);
		uaccess_unpin(&pin);
		if (r <= 0)
			break;
		uio_advance(u, (size_t)r);
		*pos += r;
		done += r;
		if (r < n)
			break;
	}
	return done ? done : r;
}
