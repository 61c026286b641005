/*
 * splice(2), tee(2), vmsplice(2).  Between two pipes, buffers move or are
 * shared by page reference; between a pipe and a file the bytes are copied
 * through a small buffer, the pipe's lock not held across the file operation.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>

#include "sentry/fs/pipe_priv.h"

#define BOUNCE 16384

static bool nonblock(const struct file *f, unsigned int flags)
{
	return (flags & SPLICE_F_NONBLOCK) || (READ_ONCE(f->flags) & O_NONBLOCK);
}

/* Waits until the pipe has data; 1: end of file.  The lock is held before and after. */
static int wait_data(struct ctx *ctx, struct pipe *p, bool nb) REQUIRES(p->lock)
{
	while (!p->count) {
		if (!p->writers)
			return 1;
		if (nb)
			return -EAGAIN;
		int err = pipe_wait(ctx, p, true);
		if (err)
			return err;
	}
	return 0;
}

static int wait_room(struct ctx *ctx, struct pipe *p, bool nb) REQUIRES(p->lock)
{
	for (;;) {
		if (!p->readers) {
			ctx_send_signal(ctx, SIGPIPE);
			return -EPIPE;
		}
		if (!pipe_full(p))
			return 0;
		if (nb)
			return -EAGAIN;
		int err = pipe_wait(ctx, p, false);
		if (err)
			return err;
	}
}

/* Moves (or, with tee, shares) whole or partial buffers; both locks held. */
static size_t transfer(struct pipe *in, struct pipe *out, size_t n, bool tee)
{
	size_t done = 0;
	for (uint32_t i = 0; done < n && i < in->count && !pipe_full(out);) {
		struct pipe_buf *b = pipe_slot(in, i), c = *b;
		c.len = (uint32_t)MIN((size_t)b->len, n - done);
		c.shared = true;
		memfile_ref(c.page, PAGE_SIZE);
		*pipe_slot(out, out->count) = c;
		out->bytes += c.len;
		__atomic_store_n(&out->count, out->count + 1, __ATOMIC_RELEASE);
		done += c.len;
		b->shared = true;
		if (tee) {
			i++;
			continue;
		}
		b->off += c.len;
		b->len -= c.len;
		in->bytes -= c.len;
		if (b->len == 0)
			pipe_drop_head(in);
	}
	return done;
}

static ssize_t pipe_to_pipe(struct ctx *ctx, struct file *inf, struct file *outf, size_t n,
	unsigned int flags, bool tee)
{
	struct pipe *in = pipe_of(inf), *out = pipe_of(outf);
	if (in == out)
		return -EINVAL;
	for (;;) {
		mutex_lock(&in->lock);
		int err = wait_data(ctx, in, nonblock(inf, flags));
		mutex_unlock(&in->lock);
		if (err)
			return MIN(err, 0);
		mutex_lock(&out->lock);
		err = wait_room(ctx, out, nonblock(outf, flags));
		mutex_unlock(&out->lock);
		if (err)
			return err;
		mutex_lock_pair(&in->lock, &out->lock);
		bool was_full = pipe_full(in), was_empty = out->count == 0;
		size_t done = transfer(in, out, n, tee);
		was_full = was_full && !pipe_full(in);
		mutex_unlock_pair(&in->lock, &out->lock);
		if (!done && ctx_interrupted(ctx))
			return -ERESTARTSYS;
		if (!done)
			continue; /* somebody else was faster on either side */
		pipe_wake_readers(out, was_empty);
		if (!tee)
			pipe_wake_writers(in, was_full);
		return (ssize_t)done;
	}
}

/* Peeks at most n bytes of the pipe's data into buf. */
static size_t peek(struct pipe *p, char *buf, size_t n)
{
	size_t done = 0;
	for (uint32_t i = 0; i < p->count && done < n; i++) {
		struct pipe_buf *b = pipe_slot(p, i);
		size_t len = MIN((size_t)b->len, n - done);
		__builtin_memcpy(buf + done, (char *)memfile_ptr(b->page) + b->off, len);
		done += len;
	}
	return done;
}

/* Takes n bytes that were written elsewhere out of the pipe. */
static void consume(struct pipe *p, size_t n)
{
	bool was_full = pipe_full(p);
	while (n && p->count) {
		struct pipe_buf *b = pipe_slot(p, 0);
		uint32_t len = (uint32_t)MIN((size_t)b->len, n);
		b->off += len;
		b->len -= len;
		p->bytes -= len;
		n -= len;
		if (!b->len)
			pipe_drop_head(p);
	}
	pipe_wake_writers(p, was_full && !pipe_full(p));
}

static ssize_t pipe_to_file(struct ctx *ctx, struct file *inf, struct file *out, int64_t *off,
	size_t n, unsigned int flags, char *buf)
{
	struct pipe *p = pipe_of(inf);
	struct uio u;
	struct uio_seg seg;
	mutex_lock(&p->lock);
	ssize_t r = wait_data(ctx, p, nonblock(inf, flags));
	size_t len = r ? 0 : peek(p, buf, MIN(n, (size_t)BOUNCE));
	mutex_unlock(&p->lock);
	if (r)
		return MIN(r, 0);
	uio_init_kernel(&u, &seg, buf, len);
	r = off ? vfs_pwrite(ctx, out, &u, *off, 0) : vfs_write(ctx, out, &u);
	if (r > 0) {
		mutex_lock(&p->lock);
		consume(p, (size_t)r);
		mutex_unlock(&p->lock);
		if (off)
			*off += r;
	}
	return r;
}

static ssize_t file_to_pipe(struct ctx *ctx, struct file *in, int64_t *off, struct file *outf,
	size_t n, unsigned int flags, char *buf)
{
	struct pipe *p = pipe_of(outf);
	struct uio u;
	struct uio_seg seg;
	mutex_lock(&p->lock);
	int err = wait_room(ctx, p, nonblock(outf, flags));
	size_t room = (p->slots - p->count) * PAGE_SIZE;
	mutex_unlock(&p->lock);
	if (err)
		return err;
	n = MIN(n, room);
	uio_init_kernel(&u, &seg, buf, MIN(n, (size_t)BOUNCE));
	ssize_t r = off ? vfs_pread(ctx, in, &u, *off, 0) : vfs_read(ctx, in, &u);
	if (r <= 0)
		return r;
	if (off)
		*off += r;
	uio_init_kernel(&u, &seg, buf, (size_t)r);
	return vfs_write(ctx, outf, &u);
}

static bool range_is_good(const int64_t *off, size_t n)
{
	return !off || (*off >= 0 && n <= (size_t)(INT64_MAX - *off));
}

ssize_t pipe_splice(struct ctx *ctx, struct file *in, int64_t *inoff, struct file *out,
	int64_t *outoff, size_t n, unsigned int flags)
{
	bool ip = in->type == FILE_PIPE, op = out->type == FILE_PIPE;
	if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
		return -EBADF;
	if ((ip && inoff) || (op && outoff))
		return -ESPIPE;
	if (!ip && !op)
		return -EINVAL;
	if ((!ip && inoff && !(in->mode & FMODE_PREAD)) ||
		(!op && outoff && !(out->mode & FMODE_PREAD)))
		return -EINVAL;
	if (!op && (out->flags & O_APPEND))
		return -EINVAL;
	if (n == 0)
		return 0;
	/* eventfd, epoll and the like: Linux' have neither splice_read nor splice_write. */
	if (!(in->inode->mode & S_IFMT) || !(out->inode->mode & S_IFMT))
		return -EINVAL;
	if (S_ISDIR(in->inode->mode) || !range_is_good(inoff, n) || !range_is_good(outoff, n))
		return -EINVAL;
	if (ip && op)
		return pipe_to_pipe(ctx, in, out, n, flags, false);
	char *buf = buf_alloc(BOUNCE);
	ssize_t r, done = 0;
	if (!buf)
		return -ENOMEM;
	do {
		/* Only the first round may block: a short count is better than a long wait. */
		unsigned int f = flags | (done ? SPLICE_F_NONBLOCK : 0);
		r = ip ? pipe_to_file(ctx, in, out, outoff, n, f, buf)
		       : file_to_pipe(ctx, in, inoff, out, n, f, buf);
		if (r > 0) {
			done += r;
			n -= (size_t)r;
		}
	} while (r > 0 && n && !ctx_interrupted(ctx) &&
		 (ip ? S_ISREG(out->inode->mode) : S_ISREG(in->inode->mode)));
	buf_free(buf, BOUNCE);
	return done ? done : r;
}

ssize_t pipe_tee(struct ctx *ctx, struct file *in, struct file *out, size_t n, unsigned int flags)
{
	if (!(in->mode & FMODE_READ) || !(out->mode & FMODE_WRITE))
		return -EBADF;
	if (in->type != FILE_PIPE || out->type != FILE_PIPE)
		return -EINVAL;
	return n ? pipe_to_pipe(ctx, in, out, n, flags, true) : 0;
}

ssize_t pipe_vmsplice(struct ctx *ctx, struct file *f, struct uio *u, unsigned int flags)
{
	if (f->type != FILE_PIPE)
		return -EBADF;
	bool nonblock = (flags & SPLICE_F_NONBLOCK) || (READ_ONCE(f->flags) & O_NONBLOCK);
	if (!(f->mode & FMODE_WRITE))
		return vfs_pread(ctx, f, u, -1, nonblock ? RWF_NOWAIT : 0);
	/* It waits for some room, not, as write(2) does, until all is written. */
	for (;;) {
		struct pipe *p = pipe_of(f);
		ssize_t n = vfs_pwrite(ctx, f, u, -1, RWF_NOWAIT);
		if (n != -EAGAIN || nonblock)
			return n;
		mutex_lock(&p->lock);
		int err = pipe_wait(ctx, p, false);
		mutex_unlock(&p->lock);
		if (err)
			return err;
	}
}
