/*
 * Reading, writing, polling and opening pipes.
 *
 * Wake-ups: a reader is woken when the ring turns from empty to non-empty, a
 * writer when it turns from full to not full; each woken thread passes the
 * baton on if something is left for the next.  Once a pipe has been polled,
 * every write wakes, because edge-triggered epoll users rely on it; a read of a pipe that was not
 * full is no edge for writers, as in Linux.
 */
#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "sentry/fs/pipe_priv.h"
#include "sentry/vfs/vfs.h"

static SLAB_DEFINE(pipe_slab, struct pipe);

static struct pipe *pipe_alloc(struct inode *home)
{
	struct pipe *p = slab_alloc(&pipe_slab);
	if (!p)
		return NULL;
	p->home = inode_get(home);
	p->slots = PIPE_SLOTS_DEFAULT;
	p->ring = buf_alloc(p->slots * sizeof(struct pipe_buf));
	if (!p->ring) {
		inode_put(home);
		slab_free(&pipe_slab, p);
		return NULL;
	}
	mutex_init(&p->lock, LOCK_PIPE);
	waitq_init(&p->rd);
	waitq_init(&p->wr);
	p->spare = NO_PAGE;
	return p;
}

static void pipe_free(struct pipe *p)
{
	while (p->count)
		pipe_drop_head(p);
	if (p->spare != NO_PAGE)
		memfile_unref(p->spare, PAGE_SIZE);
	buf_free(p->ring, p->slots * sizeof(struct pipe_buf));
	waitq_fini(&p->rd);
	waitq_fini(&p->wr);
	inode_put(p->home);
	slab_free(&pipe_slab, p);
}

/* The oldest buffer is empty, or is given up. */
void pipe_drop_head(struct pipe *p)
{
	struct pipe_buf *b = pipe_slot(p, 0);
	p->bytes -= b->len;
	if (p->spare == NO_PAGE && !b->shared && memfile_refs(b->page) == 1)
		p->spare = b->page;
	else
		memfile_unref(b->page, PAGE_SIZE);
	p->head = (p->head + 1) % p->slots;
	__atomic_store_n(&p->count, p->count - 1, __ATOMIC_RELEASE);
}

void pipe_wake_readers(struct pipe *p, bool was_empty)
{
	if (was_empty || READ_ONCE(p->polled))
		waitq_wake_n(&p->rd, POLLIN | POLLRDNORM, 1);
}

void pipe_wake_writers(struct pipe *p, bool was_full)
{
	if (was_full)
		waitq_wake_n(&p->wr, POLLOUT | POLLWRNORM, 1);
	else if (READ_ONCE(p->polled)) /* for SIGIO alone, which each read sends */
		waitq_wake_n(&p->wr, POLLWRBAND, 0);
}

int pipe_wait(struct ctx *ctx, struct pipe *p, bool reader)
{
	struct waiter w;
	int err = 0;
	waiter_init_ctx(&w, ctx, reader ? POLLIN : POLLOUT);
	w.exclusive = true;
	waitq_add(reader ? &p->rd : &p->wr, &w);
	mutex_unlock(&p->lock);
	/* Look again after queueing: what happened in between is seen here. */
	for (;;) {
		uint32_t count = __atomic_load_n(&p->count, __ATOMIC_SEQ_CST);
		bool ready = reader ? count > 0 || !__atomic_load_n(&p->writers, __ATOMIC_SEQ_CST)
				    : count < __atomic_load_n(&p->slots, __ATOMIC_SEQ_CST) ||
					      !__atomic_load_n(&p->readers, __ATOMIC_SEQ_CST);
		if (ready)
			break;
		err = ctx_block(ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	mutex_lock(&p->lock);
	return err;
}

/* Copies what is there into u; the lock is held. */
static ssize_t read_some(struct pipe *p, struct uio *u)
{
	size_t done = 0;
	while (p->count && u->resid) {
		struct pipe_buf *b = pipe_slot(p, 0);
		size_t n = MIN((size_t)b->len, u->resid);
		ssize_t r = uio_write(u, (char *)memfile_ptr(b->page) + b->off, n);
		if (r < 0)
			return done ? (ssize_t)done : r;
		bool packet = b->packet;
		b->off += (uint32_t)r;
		b->len -= (uint32_t)r;
		p->bytes -= (uint64_t)r;
		done += (size_t)r;
		/* What does not fit of a packet is lost. */
		if (b->len == 0 || packet)
			pipe_drop_head(p);
		if (packet || (size_t)r < n)
			break;
	}
	return (ssize_t)done;
}

static bool nonblocking(const struct file *f, int rwf)
{
	return (READ_ONCE(f->flags) & O_NONBLOCK) || (rwf & RWF_NOWAIT);
}

static ssize_t pipe_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct pipe *p = pipe_of(f);
	ssize_t r = 0;
	if (u->resid == 0)
		return 0;
	mutex_lock(&p->lock);
	for (;;) {
		bool was_full = pipe_full(p);
		if (p->count) {
			r = read_some(p, u);
			if (r > 0 || p->polled)
				pipe_wake_writers(p, was_full && !pipe_full(p));
			break;
		}
		if (p->writers == 0)
			break;
		if (nonblocking(f, rwf)) {
			r = -EAGAIN;
			break;
		}
		r = pipe_wait(ctx, p, true);
		if (r)
			break;
	}
	/* The baton: another exclusive reader may sleep while there is more. */
	bool more = p->count > 0;
	mutex_unlock(&p->lock);
	if (more)
		waitq_pass(&p->rd, POLLIN | POLLRDNORM);
	return r;
}

/* Appends to the newest buffer if it has room for all of n (small writes share a page). */
static ssize_t append(struct pipe *p, struct uio *u, size_t n)
{
	struct pipe_buf *b = p->count ? pipe_slot(p, p->count - 1) : NULL;
	if (!b || b->packet || b->shared || n == 0 || b->off + b->len + n > PAGE_SIZE)
		return 0;
	ssize_t r = uio_read(u, (char *)memfile_ptr(b->page) + b->off + b->len, n);
	if (r > 0) {
		b->len += (uint32_t)r;
		p->bytes += (uint64_t)r;
	}
	return r;
}

static int page_get(struct pipe *p, uint64_t *page)
{
	uint64_t got;
	if (p->spare != NO_PAGE) {
		*page = p->spare;
		p->spare = NO_PAGE;
		return 0;
	}
	return memfile_alloc_dirty(PAGE_SIZE, page, &got);
}

/* A new buffer with up to a page of u; the ring has room. */
static ssize_t push_page(struct pipe *p, struct uio *u, bool packet)
{
	uint64_t page;
	if (page_get(p, &page))
		return -ENOMEM;
	ssize_t r = uio_read(u, memfile_ptr(page), MIN(u->resid, PAGE_SIZE));
	if (r <= 0) {
		if (p->spare == NO_PAGE)
			p->spare = page;
		else
			memfile_unref(page, PAGE_SIZE);
		return r;
	}
	*pipe_slot(p, p->count) =
		(struct pipe_buf){.page = page, .len = (uint32_t)r, .packet = packet};
	p->bytes += (uint64_t)r;
	__atomic_store_n(&p->count, p->count + 1, __ATOMIC_RELEASE);
	return r;
}

static ssize_t pipe_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct pipe *p = pipe_of(f);
	bool packet = READ_ONCE(f->flags) & O_DIRECT, was_empty;
	size_t done = 0;
	ssize_t r = 0;
	if (u->resid == 0)
		return 0;
	mutex_lock(&p->lock);
	was_empty = p->count == 0;
	if (p->readers && !packet) {
		/* Merge the odd bytes, so that the rest fills whole pages. */
		r = append(p, u, u->resid % PAGE_SIZE);
		if (r > 0)
			done = (size_t)r;
	}
	while (r >= 0 && u->resid && !ctx_killed(ctx)) {
		if (p->readers == 0) {
			r = -EPIPE;
			break;
		}
		if (!pipe_full(p)) {
			r = push_page(p, u, packet);
			if (r <= 0)
				break;
			done += (size_t)r;
			continue;
		}
		if (nonblocking(f, rwf)) {
			r = -EAGAIN;
			break;
		}
		if (done)
			pipe_wake_readers(p, was_empty);
		r = pipe_wait(ctx, p, false);
		was_empty = p->count == 0;
	}
	bool room = !pipe_full(p);
	mutex_unlock(&p->lock);
	if (done)
		pipe_wake_readers(p, was_empty);
	if (room)
		waitq_pass(&p->wr, POLLOUT | POLLWRNORM);
	if (done)
		inode_touch(f->inode, false, true, true);
	if (r == -EPIPE)
		ctx_send_signal(ctx, SIGPIPE);
	return done ? (ssize_t)done : r;
}

static uint32_t pipe_poll(struct file *f, struct poll_table *pt)
{
	struct pipe *p = pipe_of(f);
	uint32_t mask = 0;
	if (!READ_ONCE(p->polled))
		WRITE_ONCE(p->polled, true);
	if (f->mode & FMODE_READ)
		poll_wait(pt, &p->rd);
	if (f->mode & FMODE_WRITE)
		poll_wait(pt, &p->wr);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint32_t count = __atomic_load_n(&p->count, __ATOMIC_ACQUIRE);
	if (f->mode & FMODE_READ) {
		if (count)
			mask |= POLLIN | POLLRDNORM;
		/* A FIFO that never had a writer since this open does not hang up. */
		if (!READ_ONCE(p->writers) && f->readdir_cookie != READ_ONCE(p->w_counter))
			mask |= POLLHUP;
	}
	if (f->mode & FMODE_WRITE) {
		if (count < READ_ONCE(p->slots))
			mask |= POLLOUT | POLLWRNORM;
		if (!READ_ONCE(p->readers))
			mask |= POLLERR;
	}
	return mask;
}

static long pipe_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	struct pipe *p = pipe_of(f);
	if (cmd != FIONREAD)
		return -ENOTTY;
	mutex_lock(&p->lock);
	int32_t n = (int32_t)p->bytes;
	mutex_unlock(&p->lock);
	return uaccess_put(ctx, UADDR(arg), &n);
}

static void pipe_release(struct file *f)
{
	struct pipe *p = pipe_of(f);
	mutex_lock(&p->lock);
	if (f->mode & FMODE_READ)
		__atomic_sub_fetch(&p->readers, 1, __ATOMIC_SEQ_CST);
	if (f->mode & FMODE_WRITE)
		__atomic_sub_fetch(&p->writers, 1, __ATOMIC_SEQ_CST);
	bool hangup = !p->readers != !p->writers;
	mutex_lock(&p->home->lock);
	bool last = --p->files == 0;
	if (last)
		p->home->pipe = NULL;
	mutex_unlock(&p->home->lock);
	/* Under the lock: once we are not counted the next to close may free the pipe. */
	if (!last && hangup) {
		waitq_wake(&p->rd, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
		waitq_wake(&p->wr, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
	}
	mutex_unlock(&p->lock);
	if (last)
		pipe_free(p);
}

/* The inode's pipe with one more end; n becomes it if there is none.  NULL: there is none. */
static struct pipe *attach_to(struct inode *i, struct pipe *n)
{
	mutex_lock(&i->lock);
	if (!i->pipe)
		i->pipe = n;
	struct pipe *p = i->pipe;
	if (p)
		p->files++;
	mutex_unlock(&i->lock);
	return p;
}

static bool has_pipe(const struct inode *i)
{
	return READ_ONCE(i->pipe);
}

static struct pipe *attach_to_twin(struct inode *i)
{
	struct inode *twin = has_pipe(i) ? NULL : inode_twin(i, has_pipe);
	struct pipe *p = twin ? attach_to(twin, NULL) : NULL;
	inode_put(twin);
	return p;
}

/* The pipe of the file that i is an inode of, with one more end, made if this is the first. */
static struct pipe *pipe_attach(struct inode *i)
{
	struct pipe *n = pipe_alloc(i), *p;
	if (!n)
		return NULL;
	if (sb_ops(i->sb)->twin) {
		inode_twins_lock();
		p = attach_to_twin(i);
		if (!p)
			p = attach_to(i, n);
		inode_twins_unlock();
	} else {
		p = attach_to(i, n);
	}
	if (p != n)
		pipe_free(n);
	return p;
}

/* Waits until the other side has been opened (maybe only for a moment) since counter was read. */
static int fifo_wait(struct ctx *ctx, struct pipe *p, const uint32_t *counter, uint32_t seen)
{
	struct waiter w;
	int err = 0;
	waiter_init_ctx(&w, ctx, POLLIN | POLLOUT);
	waitq_add(&p->rd, &w);
	while (__atomic_load_n(counter, __ATOMIC_SEQ_CST) == seen) {
		err = ctx_block(ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	return err;
}

/* fifo(7).  An anonymous pipe, opened again by /proc/PID/fd, waits for nobody. */
static int fifo_open(struct ctx *ctx, struct file *f)
{
	bool nonblock = READ_ONCE(f->flags) & O_NONBLOCK, rd = f->mode & FMODE_READ,
	     wr = f->mode & FMODE_WRITE;
	bool fifo = f->inode->type != INODE_PIPEFS;
	struct pipe *p = pipe_attach(f->inode);
	int err = 0;
	if (!p)
		return -ENOMEM;
	f->mode = (uint8_t)((f->mode & (FMODE_READ | FMODE_WRITE)) | FMODE_STREAM);
	f->priv = p; /* from here on release undoes all */
	mutex_lock(&p->lock);
	if (fifo && wr && !rd && nonblock && !p->readers)
		err = -ENXIO;
	uint32_t r_seen = p->r_counter, w_seen = p->w_counter;
	bool wait_w = fifo && rd && !wr && !p->writers && !nonblock;
	bool wait_r = fifo && wr && !rd && !p->readers;
	if (rd) {
		__atomic_add_fetch(&p->readers, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&p->r_counter, 1, __ATOMIC_SEQ_CST);
	}
	if (wr) {
		__atomic_add_fetch(&p->writers, 1, __ATOMIC_SEQ_CST);
		if (!err)
			__atomic_add_fetch(&p->w_counter, 1, __ATOMIC_SEQ_CST);
	}
	/* POLLHUP only for a reader that has seen a writer. */
	f->readdir_cookie =
		fifo && rd && !wr && nonblock && !p->writers ? p->w_counter : UINT64_MAX;
	mutex_unlock(&p->lock);
	if (err)
		return err;
	waitq_wake(&p->rd, POLLIN | POLLOUT);
	waitq_wake(&p->wr, POLLIN | POLLOUT);
	if (wait_w)
		err = fifo_wait(ctx, p, &p->w_counter, w_seen);
	else if (wait_r)
		err = fifo_wait(ctx, p, &p->r_counter, r_seen);
	return err;
}

int pipe_create(struct ctx *ctx, int flags, struct file *out[2])
{
	uint64_t keep = (unsigned int)flags & (O_NONBLOCK | O_DIRECT);
	struct file *r = file_alloc_anon(ctx, FILE_PIPE, INODE_PIPEFS, "pipe:", S_IFIFO | 0600,
		O_RDONLY | (keep & O_NONBLOCK));
	if (!r)
		return -ENOMEM;
	struct pipe *p = pipe_alloc(r->inode);
	struct file *w = p ? file_alloc_same(ctx, FILE_PIPE, r, O_WRONLY | keep) : NULL;
	if (!w) {
		if (p)
			pipe_free(p);
		r->type = FILE_NONE;
		file_put(r);
		return -ENOMEM;
	}
	p->readers = p->writers = 1;
	p->r_counter = p->w_counter = 1;
	p->files = 2;
	r->inode->pipe = p;
	r->priv = w->priv = p;
	r->readdir_cookie = w->readdir_cookie = UINT64_MAX;
	out[0] = r;
	out[1] = w;
	return 0;
}

long pipe_get_size(struct file *f)
{
	struct pipe *p = f->type == FILE_PIPE ? pipe_of(f) : NULL;
	return p ? (long)(p->slots * PAGE_SIZE) : -EBADF;
}

long pipe_set_size(struct ctx *ctx, struct file *f, uint64_t size)
{
	struct pipe *p = f->type == FILE_PIPE ? pipe_of(f) : NULL;
	if (!p)
		return -EBADF;
	if (size > (1u << 31))
		return -EINVAL;
	uint64_t slots = 1;
	while (slots * PAGE_SIZE < size)
		slots *= 2;
	if (slots > READ_ONCE(p->slots) &&
		slots * PAGE_SIZE > READ_ONCE(vfs_sysctls()->pipe_max_size) &&
		!ctx_capable(ctx, CAP_SYS_RESOURCE))
		return -EPERM;
	struct pipe_buf *ring = buf_alloc(slots * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	mutex_lock(&p->lock);
	if (p->count > slots) {
		mutex_unlock(&p->lock);
		buf_free(ring, slots * sizeof(*ring));
		return -EBUSY;
	}
	bool was_full = pipe_full(p);
	for (uint32_t i = 0; i < p->count; i++)
		ring[i] = *pipe_slot(p, i);
	buf_free(p->ring, p->slots * sizeof(*ring));
	p->ring = ring;
	p->head = 0;
	__atomic_store_n(&p->slots, (uint32_t)slots, __ATOMIC_SEQ_CST);
	bool room = was_full && !pipe_full(p);
	mutex_unlock(&p->lock);
	if (room)
		waitq_wake(&p->wr, POLLOUT | POLLWRNORM);
	return (long)(slots * PAGE_SIZE);
}

static const struct file_ops pipe_ops = {.open = fifo_open,
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.release = pipe_release};

void pipe_init(void)
{
	file_ops_register(FILE_PIPE, &pipe_ops);
}
