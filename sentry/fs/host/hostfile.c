/*
 * Donated host descriptors: see hostfile.h.
 *
 * Pipes, sockets and terminals: an attempt never blocks (preadv2/pwritev2 with
 * RWF_NOWAIT, where the host's file supports it), and waiting is the host poller's.
 * Where it does not (terminals, old kernels), readiness is asked for first and
 * the amount kept to what a ready descriptor takes without blocking: a read
 * returns what is there; a write to a pipe that polls writable takes PIPE_BUF.
 */
#include "sentry/fs/host/hostfile.h"

#include <errno.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "sentry/core/arena.h"
#include "sentry/core/hostpoll.h"
#include "sentry/fs/host/transfer.h"

#define SAFE_WRITE 4096 /* PIPE_BUF */

struct hostfile {
	struct ref ref; /* one an open file */
	handle_t host;
	uint32_t fmt;    /* S_IFMT of the host's file */
	bool no_nowait;  /* RWF_NOWAIT is not supported: learnt at the first attempt */
	hostpoll_t poll; /* wakes wait */
	struct waitq wait;
};

static SLAB_DEFINE(hostfile_slab, struct hostfile);

static int fd_of(const struct hostfile *h)
{
	return handle_fd(h->host);
}

static bool is_seekable_file(const struct hostfile *h)
{
	return h->fmt == S_IFREG || h->fmt == S_IFBLK;
}

/* One attempt that does not block: bytes, or -EAGAIN. */
static ssize_t attempt(struct hostfile *h, struct iovec *iov, bool write)
{
	int fd = fd_of(h);
	if (!READ_ONCE(h->no_nowait)) {
		if (h->fmt == S_IFSOCK) {
			struct msghdr m = {.msg_iov = iov, .msg_iovlen = 1};
			return write ? host_syscall3(SYS_sendmsg, fd, &m,
					       MSG_DONTWAIT | MSG_NOSIGNAL)
				     : host_syscall3(SYS_recvmsg, fd, &m, MSG_DONTWAIT);
		}
		/* Offset -1: the file's own. */
		long r = host_syscall6(write ? SYS_pwritev2 : SYS_preadv2, fd, HOST_ARG(iov), 1, -1,
			-1, RWF_NOWAIT);
		if (r != -EOPNOTSUPP && r != -ENOSYS)
			return r;
		WRITE_ONCE(h->no_nowait, true);
	}
	uint32_t now = hostpoll_now(fd, write ? POLLOUT : POLLIN);
	if (!(now & (write ? POLLOUT | POLLERR | POLLHUP : POLLIN | POLLERR | POLLHUP)))
		return -EAGAIN;
	if (write)
		iov->iov_len = MIN(iov->iov_len, (size_t)SAFE_WRITE);
	return write ? host_write(fd, iov->iov_base, iov->iov_len)
		     : host_read(fd, iov->iov_base, iov->iov_len);
}

static int wait_ready(struct ctx *ctx, struct hostfile *h, bool write)
{
	struct waiter w;
	uint32_t events = write ? POLLOUT : POLLIN;
	waiter_init_ctx(&w, ctx, events | POLLRDHUP);
	waitq_add(&h->wait, &w);
	int err = hostpoll_arm(h->poll, events);
	/* Arming reports what is true already, so nothing is lost in between. */
	if (!err)
		err = ctx_block(ctx, DEADLINE_NEVER);
	waitq_del(&w);
	return err == -EPERM ? 0 : err;
}

/* The host's answer to one piece, waiting as long as need be and allowed. */
static ssize_t transfer(struct ctx *ctx, struct file *f, struct iovec *iov, bool write, bool wait)
{
	struct hostfile *h = f->priv;
	for (;;) {
		struct iovec v = *iov;
		ssize_t r;
		if (is_seekable_file(h))
			r = write ? host_write(fd_of(h), v.iov_base, v.iov_len)
				  : host_read(fd_of(h), v.iov_base, v.iov_len);
		else
			r = attempt(h, &v, write);
		if (r == -EINTR)
			continue;
		/* Edge-triggered watchers must hear of what comes next. */
		if (!is_seekable_file(h) && (r > 0 || r == -EAGAIN) &&
			!list_empty(&h->wait.waiters))
			hostpoll_arm(h->poll, write ? POLLOUT : POLLIN);
		if (r != -EAGAIN || !wait)
			return r;
		int err = wait_ready(ctx, h, write);
		if (err)
			return err;
	}
}

/* Streams and regular files at the shared offset: pieces of pinned guest memory. */
static ssize_t host_rw(struct ctx *ctx, struct file *f, struct uio *u, bool write, int rwf)
{
	bool block = !(READ_ONCE(f->flags) & O_NONBLOCK) && !(rwf & RWF_NOWAIT);
	size_t done = 0;
	ssize_t r = 0;
	while (u->resid && !ctx_killed(ctx)) {
		struct upin pin;
		r = uio_pin(u, MIN(u->resid, TRANSFER_MAX), !write, &pin);
		if (r <= 0)
			break;
		struct iovec iov = {pin.ptr, MIN(pin.len, u->resid)};
		/* A read that has something does not wait for more. */
		r = transfer(ctx, f, &iov, write, block && (write || !done));
		if (u->user)
			uaccess_unpin(&pin);
		if (r <= 0)
			break;
		uio_advance(u, (size_t)r);
		done += (size_t)r;
		if (!write && (size_t)r < iov.iov_len)
			break;
	}
	if (r == -EPIPE)
		ctx_send_signal(ctx, SIGPIPE);
	return done ? (ssize_t)done : r;
}

static ssize_t host_file_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	if (pos)
		return host_transfer_at(ctx, fd_of(f->priv), u, pos, false);
	return host_rw(ctx, f, u, false, rwf);
}

static ssize_t host_file_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos,
	int rwf)
{
	if (pos)
		return host_transfer_at(ctx, fd_of(f->priv), u, pos, true);
	return host_rw(ctx, f, u, true, rwf);
}

static uint32_t host_file_poll(struct file *f, struct poll_table *pt)
{
	struct hostfile *h = f->priv;
	uint32_t want = (f->mode & FMODE_READ ? POLLIN | POLLRDNORM | POLLRDHUP | POLLPRI : 0) |
			(f->mode & FMODE_WRITE ? POLLOUT | POLLWRNORM : 0);
	if (is_seekable_file(h))
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	poll_wait(pt, &h->wait);
	uint32_t now = hostpoll_now(fd_of(h), want);
	/* Whoever waits, by poll or epoll, waits for what is not true yet. */
	if (!list_empty(&h->wait.waiters) || pt) {
		uint32_t missing = want & (POLLIN | POLLOUT) & ~now;
		if (missing)
			hostpoll_arm(h->poll, missing);
	}
	return now;
}

static int64_t host_file_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	struct hostfile *h = f->priv;
	struct stat hs = {0};
	if (f->mode & FMODE_STREAM)
		return host_syscall3(SYS_lseek, fd_of(h), off, whence);
	/* Opened anew: a position of its own. */
	if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
		return -EINVAL;
	if (whence == SEEK_END) {
		int err = (int)host_syscall2(SYS_fstat, fd_of(h), &hs);
		if (err)
			return err;
	}
	return file_seek_target(f, off, whence, hs.st_size);
}

static long host_file_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	struct hostfile *h = f->priv;
	int32_t n = 0;
	if (cmd != FIONREAD)
		return -ENOTTY;
	int err = host_ioctl(fd_of(h), FIONREAD, &n);
	return err < 0 ? err : uaccess_put(ctx, UADDR(arg), &n);
}

static int host_file_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	struct hostfile *h = f->priv;
	return (int)host_syscall1(datasync ? SYS_fdatasync : SYS_fsync, fd_of(h));
}

static int host_file_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len)
{
	struct hostfile *h = f->priv;
	return host_fallocate(fd_of(h), mode, off, len);
}

static void hostfile_free(struct hostfile *h)
{
	hostpoll_remove(h->poll);
	handle_close(h->host);
	waitq_fini(&h->wait);
	slab_free(&hostfile_slab, h);
}

/* With a reference, or NULL: an O_PATH descriptor keeps the inode, but not the host file. */
static struct hostfile *hostfile_get(struct inode *i)
{
	MUTEX_GUARD(&i->lock);
	struct hostfile *h = i->priv;
	if (h)
		ref_get(&h->ref);
	return h;
}

static void hostfile_put(struct inode *i, struct hostfile *h)
{
	mutex_lock(&i->lock);
	bool last = ref_put(&h->ref);
	if (last)
		i->priv = NULL;
	mutex_unlock(&i->lock);
	if (last)
		hostfile_free(h);
}

static void host_file_release(struct file *f)
{
	hostfile_put(f->inode, f->priv);
}

static struct ktime from_ts(struct timespec ts)
{
	return (struct ktime){ts.tv_sec, (int32_t)ts.tv_nsec};
}

static int host_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	struct hostfile *h = hostfile_get(i);
	struct stat hs;
	inode_generic_stat(i, st);
	if (!h)
		return 0;
	int err = (int)host_syscall2(SYS_fstat, fd_of(h), &hs);
	hostfile_put(i, h);
	if (err)
		return err;
	st->size = (uint64_t)hs.st_size;
	st->blocks = (uint64_t)hs.st_blocks;
	st->blksize = (uint32_t)hs.st_blksize;
	st->mode = (hs.st_mode & S_IFMT) | (st->mode & 07777);
	st->rdev = hs.st_rdev;
	st->ino = hs.st_ino;
	st->atime = from_ts(hs.st_atim);
	st->mtime = from_ts(hs.st_mtim);
	st->ctime = from_ts(hs.st_ctim);
	return 0;
}

/* Mode and owner are the guest's own idea; the size is the host's. */
static int host_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	if (a->valid & ATTR_SIZE) {
		struct hostfile *h = hostfile_get(i);
		int err = h ? host_ftruncate(fd_of(h), (int64_t)a->size) : -EINVAL;
		if (h)
			hostfile_put(i, h);
		if (err)
			return err;
	}
	return inode_generic_setattr(i, a);
}

/*
 * /dev/stdout or /proc/self/fd/N opened anew: the same host descriptor, with the access it has.  A
 * regular file gets a position of its own, as a second open of it would.
 */
static int host_open(struct ctx *ctx, struct inode *i, struct file *f)
{
	struct hostfile *h = hostfile_get(i);
	if (!h)
		return -ENXIO;
	f->type = FILE_HOST;
	f->priv = h;
	f->host = h->host;
	if (h->fmt == S_IFSOCK)
		return -ENXIO; /* as Linux: sockets cannot be opened */
	int acc = host_fcntl(fd_of(h), F_GETFL, 0) & O_ACCMODE;
	if (((f->mode & FMODE_READ) && acc == O_WRONLY) ||
		((f->mode & FMODE_WRITE) && acc == O_RDONLY))
		return -EACCES;
	if (!is_seekable_file(h))
		f->mode = (uint8_t)((f->mode & ~(FMODE_LSEEK | FMODE_PREAD)) | FMODE_STREAM);
	return 0;
}

static const struct inode_ops host_inode_ops = {.getattr = host_getattr,
	.setattr = host_setattr,
	.open = host_open};
static const struct file_ops host_file_ops = {.read = host_file_read,
	.write = host_file_write,
	.poll = host_file_poll,
	.llseek = host_file_llseek,
	.ioctl = host_file_ioctl,
	.fsync = host_file_fsync,
	.fallocate = host_file_fallocate,
	.release = host_file_release};

static const char *name_of(uint32_t fmt)
{
	switch (fmt) {
	case S_IFIFO:
		return "pipe:";
	case S_IFSOCK:
		return "socket:";
	case S_IFCHR:
		return "host:tty:";
	default:
		return "host:";
	}
}

static void set_modes(struct file *f, struct hostfile *h, int fd)
{
	f->mode |= FMODE_STREAM; /* read and write use the host's offset */
	f->mode &= (uint8_t) ~(FMODE_LSEEK | FMODE_PREAD);
	if (is_seekable_file(h) || host_syscall3(SYS_lseek, fd, 0, SEEK_CUR) >= 0)
		f->mode |= FMODE_LSEEK | FMODE_PREAD;
}

/* Takes over host_fd, also on error. */
static int hostfile_new(int host_fd, uint32_t number, uint32_t fmt, struct hostfile **out)
{
	const struct handle_origin from = {.kind = HANDLE_STDIO, .number = number};
	struct hostfile *h = slab_alloc(&hostfile_slab);
	if (!h) {
		host_close(host_fd);
		return -ENOMEM;
	}
	ref_init(&h->ref);
	waitq_init(&h->wait);
	h->fmt = fmt;
	h->host = handle_new_fd(host_fd, &from);
	if (h->host)
		h->poll = hostpoll_add(host_fd, &h->wait);
	if (!h->poll) {
		hostfile_free(h);
		return -ENFILE;
	}
	*out = h;
	return 0;
}

int hostfile_create(struct ctx *ctx, int host_fd, uint32_t number, uint32_t flags,
	struct file **out)
{
	struct stat hs;
	struct hostfile *h;
	int err = (int)host_syscall2(SYS_fstat, host_fd, &hs);
	int hf = host_fcntl(host_fd, F_GETFL, 0);
	if (!err && hf < 0)
		err = hf;
	if (err) {
		host_close(host_fd);
		return err;
	}
	if ((err = hostfile_new(host_fd, number, hs.st_mode & S_IFMT, &h)) < 0)
		return err;
	if (!flags)
		flags = (uint32_t)hf & (O_ACCMODE | O_APPEND | O_NONBLOCK);
	struct file *f = file_alloc_anon(ctx, FILE_HOST, INODE_HOST, name_of(h->fmt),
		h->fmt | (hs.st_mode & 0777), flags | 0100000);
	if (!f) {
		hostfile_free(h);
		return -ENOMEM;
	}
	f->inode->ino = hs.st_ino;
	f->inode->rdev = hs.st_rdev;
	f->inode->ftype = FILE_HOST;
	f->inode->flags |= INODE_FLAG_NOCACHE;
	f->inode->priv = h;
	f->host = h->host;
	f->priv = h;
	set_modes(f, h, host_fd);
	*out = f;
	return 0;
}

void hostfile_init(void)
{
	file_ops_register(FILE_HOST, &host_file_ops);
	inode_ops_register(INODE_HOST, &host_inode_ops);
	/* A write to a closed pipe must come back as EPIPE; the guest gets its own signal. */
	signal(SIGPIPE, SIG_IGN);
}
