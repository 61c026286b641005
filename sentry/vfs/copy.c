/* Copies between files inside the kernel: sendfile(2), copy_file_range(2). */
#include <errno.h>
#include <unistd.h>

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

/* A file's own position: a donated host file's is the host's, shared with others outside. */
static int64_t own_pos(struct ctx *ctx, struct file *f)
{
	return f->mode & FMODE_LSEEK ? vfs_llseek(ctx, f, 0, SEEK_CUR) : 0;
}

static void set_own_pos(struct ctx *ctx, struct file *f, int64_t pos)
{
	if (f->mode & FMODE_LSEEK)
		vfs_llseek(ctx, f, pos, SEEK_SET);
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
	if (!(out->inode->mode & S_IFMT)) /* eventfd and the like */
		return -EINVAL;
	n = MIN(n, UIO_MAX_RW);
	if (inpos && (*inpos < 0 || n > (size_t)(INT64_MAX - *inpos)))
		return -EINVAL;
	if (inpos)
		return copy_loop(ctx, in, inpos, out, outpos, n);
	/* The lock of in's position cannot be held across the write: out may be the same file. */
	int64_t pos = own_pos(ctx, in);
	ssize_t r = pos < 0 ? pos : copy_loop(ctx, in, &pos, out, outpos, n);
	if (r > 0)
		set_own_pos(ctx, in, pos);
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
	int64_t ip = inpos ? *inpos : own_pos(ctx, in), op = outpos ? *outpos : own_pos(ctx, out);
	n = MIN(n, UIO_MAX_RW);
	if (ip < 0 || op < 0)
		return -EINVAL;
	if (n > (size_t)(INT64_MAX - ip) || n > (size_t)(INT64_MAX - op))
		return -EOVERFLOW;
	if (in->inode == out->inode && ip < op + (int64_t)n && op < ip + (int64_t)n)
		return -EINVAL;
	ssize_t r = copy_loop(ctx, in, &ip, out, outpos, n);
	if (r <= 0)
		return r;
	if (inpos)
		*inpos = ip;
	else
		set_own_pos(ctx, in, ip);
	return r;
}
