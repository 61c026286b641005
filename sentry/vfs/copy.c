/* Copies between files inside the kernel: sendfile(2), copy_file_range(2). */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

#define BOUNCE 16384

/*
 * The loop of both: reads at *inpos, writes to out; *inpos moves by what was written only, so
 * nothing is lost when out takes less (a full pipe).  outpos NULL: out's own position.
 */
static ssize_t copy_loop(struct ctx *ctx, struct file *in, int64_t *inpos, struct file *out,
	int64_t *outpos, size_t n)
{
	char *buf = buf_alloc(BOUNCE);
	ssize_t r = 0, w = 0;
	size_t done = 0;
	if (!buf)
		return -ENOMEM;
	while (done < n && !ctx_interrupted(ctx)) {
		struct uio u;
		struct uio_seg seg;
		uio_init_kernel(&u, &seg, buf, MIN(n - done, (size_t)BOUNCE));
		r = vfs_pread(ctx, in, &u, *inpos, 0);
		if (r <= 0)
			break;
		uio_init_kernel(&u, &seg, buf, (size_t)r);
		w = outpos ? vfs_pwrite(ctx, out, &u, *outpos, 0) : vfs_write(ctx, out, &u);
		if (w <= 0)
			break;
		*inpos += w;
		if (outpos)
			*outpos += w;
		done += (size_t)w;
		if (w < r)
			break;
	}
	buf_free(buf, BOUNCE);
	if (done)
		return (ssize_t)done;
	if (n && ctx_interrupted(ctx) && r == 0 && w == 0)
		return -ERESTARTSYS;
	return r < 0 ? r : w;
}

ssize_t vfs_sendfile(struct ctx *ctx, struct file *out, int64_t *outpos, struct file *in,
	int64_t *inpos, size_t n)
{
	if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
		return -EBADF;
	if (inpos && !(in->mode & FMODE_PREAD))
		return -ESPIPE;
	if (S_ISDIR(in->inode->mode) || !(in->mode & FMODE_PREAD) || (out->flags & O_APPEND))
		return -EINVAL;
	if (inpos && *inpos < 0)
		return -EINVAL;
	n = MIN(n, UIO_MAX_RW);
	if (inpos)
		return copy_loop(ctx, in, inpos, out, outpos, n);
	/* The lock of in's position cannot be held across the write: out may be the same file. */
	int64_t pos = __atomic_load_n(&in->pos, __ATOMIC_RELAXED);
	ssize_t r = copy_loop(ctx, in, &pos, out, outpos, n);
	if (r > 0) {
		mutex_lock(&in->pos_lock);
		in->pos = pos;
		mutex_unlock(&in->pos_lock);
	}
	return r;
}

ssize_t vfs_copy_file_range(struct ctx *ctx, struct file *in, int64_t *inpos, struct file *out,
	int64_t *outpos, size_t n)
{
	if (S_ISDIR(in->inode->mode) || S_ISDIR(out->inode->mode))
		return -EISDIR;
	if (!S_ISREG(in->inode->mode) || !S_ISREG(out->inode->mode))
		return -EINVAL;
	if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE) || (out->flags & O_APPEND))
		return -EBADF;
	int64_t ip = inpos ? *inpos : in->pos, op = outpos ? *outpos : out->pos;
	n = MIN(n, UIO_MAX_RW);
	if (ip < 0 || op < 0)
		return -EINVAL;
	if (n > (size_t)(INT64_MAX - ip) || n > (size_t)(INT64_MAX - op))
		return -EOVERFLOW;
	if (in->inode == out->inode && ip < op + (int64_t)n && op < ip + (int64_t)n)
		return -EINVAL;
	ssize_t r = copy_loop(ctx, in, &ip, out, &op, n);
	if (r <= 0)
		return r;
	*(inpos ? inpos : &in->pos) = ip;
	*(outpos ? outpos : &out->pos) = op;
	return r;
}
