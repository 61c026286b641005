/* struct uio: see uio.h. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "sentry/core/uio.h"

/* Where user memory ends on Linux (TASK_SIZE_MAX). */
#define USER_END 0x7ffffffff000UL

void uio_init_segs(struct uio *u, struct ctx *ctx, struct uio_seg *seg, uint32_t n)
{
	size_t total = 0;
	for (uint32_t i = 0; i < n; i++)
		total += seg[i].len;
	*u = (struct uio){.ctx = ctx, .seg = seg, .nseg = n, .user = true, .resid = total};
}

void uio_init_user(struct uio *u, struct ctx *ctx, struct uio_seg *seg, uaddr_t base, size_t len)
{
	*seg = (struct uio_seg){base.v, len};
	uio_init_segs(u, ctx, seg, 1);
}

void uio_init_kernel(struct uio *u, struct uio_seg *seg, const void *base, size_t len)
{
	*seg = (struct uio_seg){(uintptr_t)base, len};
	uio_init_segs(u, NULL, seg, 1);
	u->user = false;
}

/* A vector of lengths that may be; -EINVAL, -EFAULT. */
static int vector_in(struct ctx *ctx, uaddr_t iov, uint64_t n, struct uio_seg *seg)
{
	if (n > UIO_MAXIOV)
		return -EINVAL;
	/* struct iovec and struct uio_seg have the same layout. */
	if (uaccess_copyin(ctx, seg, iov, n * sizeof(*seg)))
		return -EFAULT;
	for (uint64_t i = 0; i < n; i++)
		if (seg[i].len > SSIZE_MAX)
			return -EINVAL;
	return 0;
}

/* Cut to what one call moves, as Linux does. */
static void cut_total(struct uio_seg *seg, uint64_t n)
{
	size_t total = 0;

	for (uint64_t i = 0; i < n; i++) {
		if (seg[i].len > UIO_MAX_RW - total)
			seg[i].len = UIO_MAX_RW - total;
		total += seg[i].len;
	}
}

int uio_import(struct uio *u, struct ctx *ctx, uaddr_t iov, uint64_t n, struct uio_seg *seg)
{
	int err = vector_in(ctx, iov, n, seg);

	if (err)
		return err;
	if (n == 1) /* only a vector of one may reach further than what is moved */
		cut_total(seg, n);
	/* Whether the data gets there or not. */
	for (uint64_t i = 0; i < n; i++)
		if (seg[i].base > USER_END || seg[i].len > USER_END - seg[i].base)
			return -EFAULT;
	cut_total(seg, n);
	uio_init_segs(u, ctx, seg, (uint32_t)n);
	return 0;
}

int uio_import_remote(struct ctx *ctx, uaddr_t iov, uint64_t n, struct uio_seg *seg)
{
	int err = vector_in(ctx, iov, n, seg);

	if (!err)
		cut_total(seg, n);
	return err;
}

/* The next contiguous piece of at most n bytes; steps over empty segments. */
static size_t uio_piece(struct uio *u, size_t n, uint64_t *base)
{
	while (u->nseg > 1 && u->off >= u->seg->len) {
		u->seg++;
		u->nseg--;
		u->off = 0;
	}
	if (u->nseg == 0 || u->off >= u->seg->len)
		return 0;
	*base = u->seg->base + u->off;
	size_t left = u->seg->len - u->off;
	return left < n ? left : n;
}

void uio_advance(struct uio *u, size_t n)
{
	uint64_t base;
	while (n) {
		size_t piece = uio_piece(u, n, &base);
		if (!piece)
			return;
		u->off += piece;
		u->resid -= piece;
		n -= piece;
	}
}

enum uio_dir { UIO_IN, UIO_OUT, UIO_ZERO };

static ssize_t copy_piece(struct uio *u, uint64_t base, char *kbuf, size_t n, enum uio_dir dir)
{
	if (!u->user) {
		void *p = (void *)base;
		if (dir == UIO_OUT)
			memcpy(p, kbuf, n);
		else if (dir == UIO_IN)
			memcpy(kbuf, p, n);
		else
			memset(p, 0, n);
		return (ssize_t)n;
	}
	if (dir == UIO_OUT)
		return uaccess_copyout_some(u->ctx, UADDR(base), kbuf, n);
	if (dir == UIO_IN)
		return uaccess_copyin_some(u->ctx, kbuf, UADDR(base), n);
	return uaccess_clear_some(u->ctx, UADDR(base), n);
}

static ssize_t uio_copy(struct uio *u, char *kbuf, size_t n, enum uio_dir dir)
{
	size_t done = 0;
	uint64_t base;
	while (done < n) {
		size_t piece = uio_piece(u, n - done, &base);
		if (!piece)
			break;
		ssize_t r = copy_piece(u, base, kbuf ? kbuf + done : NULL, piece, dir);
		if (r < 0)
			return done ? (ssize_t)done : r;
		u->off += (size_t)r;
		u->resid -= (size_t)r;
		done += (size_t)r;
		if ((size_t)r < piece)
			break;
	}
	return (ssize_t)done;
}

ssize_t uio_write(struct uio *u, const void *src, size_t n)
{
	return uio_copy(u, (char *)(uintptr_t)src, n, UIO_OUT);
}

ssize_t uio_read(struct uio *u, void *dst, size_t n)
{
	return uio_copy(u, dst, n, UIO_IN);
}

ssize_t uio_zero(struct uio *u, size_t n)
{
	return uio_copy(u, NULL, n, UIO_ZERO);
}

ssize_t uio_pin(struct uio *u, size_t n, bool write, struct upin *pin)
{
	uint64_t base;
	size_t piece = uio_piece(u, n, &base);
	if (!piece)
		return 0;
	if (u->user)
		return uaccess_pin(u->ctx, UADDR(base), piece, write, pin);
	*pin = (struct upin){.ptr = (void *)base, .len = piece};
	return (ssize_t)piece;
}
