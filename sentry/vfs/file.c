/*
 * Open files: their life, and the read/write verbs.
 *
 * The verbs own everything that is the same for all kinds of files: access
 * mode, transfer limit, position and its lock, O_APPEND, RLIMIT_FSIZE, set-id
 * bits dropped by a write, access times, inotify.  Writes to one regular file
 * are serialized by inode->write_lock, so appends never overlap.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include "lib/abi/uio.h"
#include "sentry/vfs/flock.h"
#include "sentry/vfs/vfs_priv.h"

#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND)

static SLAB_DEFINE(file_slab, struct file);

static uint8_t mode_from_flags(uint64_t flags, const struct inode *i)
{
	static const uint8_t rw[] = {FMODE_READ, FMODE_WRITE, FMODE_READ | FMODE_WRITE, 0};
	if (flags & O_PATH)
		return 0;
	uint8_t mode = rw[flags & O_ACCMODE];
	if (S_ISREG(i->mode) || S_ISDIR(i->mode) || S_ISCHR(i->mode) || S_ISBLK(i->mode))
		return mode | FMODE_LSEEK | FMODE_PREAD;
	return mode | FMODE_STREAM;
}

struct file *file_alloc(struct ctx *ctx, enum file_type type, const struct path *p, uint64_t flags)
{
	struct file *f = slab_alloc(&file_slab);
	if (!f)
		return NULL;
	ref_init(&f->ref);
	f->type = (uint8_t)type;
	f->path = path_get(p);
	f->inode = p->dentry->inode;
	f->mode = mode_from_flags(flags, f->inode);
	f->flags = (uint32_t)flags & ~(uint32_t)O_CLOEXEC;
	mutex_init(&f->pos_lock, LOCK_FILE_POS);
	mutex_init(&f->lock, LOCK_FILE);
	list_init(&f->epitems);
	f->cred = cred_get(ctx->cred);
	return f;
}

int file_hold_write(struct file *f)
{
	int err = inode_get_write(f->inode);
	if (err)
		return err;
	f->state |= FILE_HOLDS_WRITE;
	__atomic_add_fetch(&f->path.mnt->writers, 1, __ATOMIC_RELAXED);
	/* A remount that made the mount read-only meanwhile either saw us or is seen here. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return mount_want_write(f->path.mnt);
}

void file_put(struct file *f)
{
	lock_debug_assert_sleepable();
	if (!f || !ref_put(&f->ref))
		return;
	/* Whether it is watched just now only its lock tells. */
	if (f->epolled)
		epoll_file_gone(f);
	dnotify_close(f);
	if (unlikely(f->async || f->notes || f->owner.pid))
		file_async_gone(f);
	if (f->type != FILE_PATH && f->type != FILE_NONE) {
		notify_path_event(&f->path,
			f->mode & FMODE_WRITE ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
		flock_release_file(f);
		if (unlikely(f->lease))
			lease_release(f);
		if (file_ops(f)->release)
			file_ops(f)->release(f);
	}
	if (f->state & FILE_HOLDS_READ)
		__atomic_sub_fetch(&f->inode->readers, 1, __ATOMIC_RELEASE);
	if (f->state & FILE_HOLDS_WRITE) {
		inode_put_write(f->inode);
		__atomic_sub_fetch(&f->path.mnt->writers, 1, __ATOMIC_RELEASE);
	}
	path_put(&f->path);
	cred_put(f->cred);
	slab_free(&file_slab, f);
}

/* relatime (mount(8)): atime moves if it is not newer than the last change, or a day old. */
static bool atime_due(const struct file *f)
{
	const struct inode *i = f->inode;
	uint32_t mf = f->path.mnt->flags;
	if ((READ_ONCE(f->flags) & O_NOATIME) || (mf & (MS_NOATIME | MS_RDONLY)) ||
		(i->sb->flags & MS_RDONLY) || (i->flags & INODE_FLAG_NOCACHE) ||
		(S_ISDIR(i->mode) && (mf & MS_NODIRATIME)))
		return false;
	if (!(mf & MS_RELATIME))
		return true;
#define NOT_NEWER(a, b) ((a).sec < (b).sec || ((a).sec == (b).sec && (a).nsec <= (b).nsec))
	if (NOT_NEWER(i->atime, i->mtime) || NOT_NEWER(i->atime, i->ctime))
		return true;
#undef NOT_NEWER
	return ktime_now().sec - i->atime.sec >= 24 * 3600;
}

void file_accessed(struct file *f)
{
	if (atime_due(f))
		inode_touch(f->inode, true, false, false);
}

static ssize_t read_at(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	const struct file_ops *ops = file_ops(f);
	if (u->resid > UIO_MAX_RW)
		u->resid = UIO_MAX_RW;
	ssize_t n = ops->read(ctx, f, u, pos, rwf);
	if (n > 0 || (n == 0 && pos))
		file_accessed(f);
	if (n > 0)
		notify_path_event(&f->path, IN_ACCESS);
	return n;
}

static int read_check(struct file *f, int rwf)
{
	if (!(f->mode & FMODE_READ))
		return -EBADF;
	if (S_ISDIR(f->inode->mode))
		return -EISDIR;
	if (!file_ops(f)->read)
		return -EINVAL;
	return rwf & ~RWF_KNOWN ? -EOPNOTSUPP : 0;
}

static ssize_t read_own_pos(struct ctx *ctx, struct file *f, struct uio *u, int rwf)
{
	if (f->mode & FMODE_STREAM)
		return read_at(ctx, f, u, NULL, rwf);
	mutex_lock(&f->pos_lock);
	ssize_t n = read_at(ctx, f, u, &f->pos, rwf);
	mutex_unlock(&f->pos_lock);
	return n;
}

ssize_t vfs_read(struct ctx *ctx, struct file *f, struct uio *u)
{
	int err = read_check(f, 0);
	return err ? err : read_own_pos(ctx, f, u, 0);
}

ssize_t vfs_pread(struct ctx *ctx, struct file *f, struct uio *u, int64_t pos, int rwf)
{
	if (pos != -1 && !(f->mode & FMODE_PREAD))
		return f->type == FILE_PATH ? -EBADF : -ESPIPE;
	int err = read_check(f, rwf);
	if (err)
		return err;
	if (pos == -1)
		return read_own_pos(ctx, f, u, rwf);
	return pos < 0 ? -EINVAL : read_at(ctx, f, u, &pos, rwf);
}

/* generic_write_checks of Linux: where a write to a regular file goes, and how much of it. */
static int write_limit(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct inode *i = f->inode;
	struct kstat st;
	bool append = (READ_ONCE(f->flags) & O_APPEND) && !(rwf & RWF_NOAPPEND);
	if (append || (rwf & RWF_APPEND)) {
		if (i->flags & INODE_FLAG_NOCACHE) {
			int err = inode_getattr(ctx, i, &st);
			if (err)
				return err;
			*pos = (int64_t)st.size;
		} else {
			mutex_lock(&i->lock);
			*pos = (int64_t)READ_ONCE(i->size);
			mutex_unlock(&i->lock);
		}
	}
	if (*pos < 0)
		return -EINVAL;
	uint64_t limit = rlimit_soft(ctx->limits, RLIMIT_FSIZE);
	if (limit != RLIM_INF) {
		if ((uint64_t)*pos >= limit) {
			ctx_send_signal(ctx, SIGXFSZ);
			return -EFBIG;
		}
		u->resid = MIN(u->resid, limit - (uint64_t)*pos);
	}
	if (*pos == INT64_MAX)
		return -EFBIG;
	u->resid = MIN(u->resid, (size_t)(INT64_MAX - *pos));
	return 0;
}

static ssize_t write_at(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct inode *i = f->inode;
	ssize_t n;
	if (u->resid > UIO_MAX_RW)
		u->resid = UIO_MAX_RW;
	if (!pos || !S_ISREG(i->mode)) {
		n = file_ops(f)->write(ctx, f, u, pos, rwf);
	} else {
		if (u->resid == 0)
			return 0;
		mutex_lock(&i->write_lock);
		n = write_limit(ctx, f, u, pos, rwf);
		if (!n)
			n = vfs_kill_priv(ctx, i);
		if (!n)
			n = file_ops(f)->write(ctx, f, u, pos, rwf);
		mutex_unlock(&i->write_lock);
		if (n > 0 && ((READ_ONCE(f->flags) & O_DSYNC) || (rwf & (RWF_SYNC | RWF_DSYNC))) &&
			file_ops(f)->fsync) {
			int err = file_ops(f)->fsync(ctx, f, true);
			if (err)
				return err;
		}
	}
	if (n > 0)
		notify_path_event(&f->path, IN_MODIFY);
	return n;
}

static int write_check(struct file *f, int rwf)
{
	if (!(f->mode & FMODE_WRITE))
		return -EBADF;
	if (!file_ops(f)->write)
		return -EINVAL;
	return rwf & ~RWF_KNOWN ? -EOPNOTSUPP : 0;
}

static ssize_t write_own_pos(struct ctx *ctx, struct file *f, struct uio *u, int rwf)
{
	if (f->mode & FMODE_STREAM)
		return write_at(ctx, f, u, NULL, rwf);
	mutex_lock(&f->pos_lock);
	ssize_t n = write_at(ctx, f, u, &f->pos, rwf);
	mutex_unlock(&f->pos_lock);
	return n;
}

ssize_t vfs_write(struct ctx *ctx, struct file *f, struct uio *u)
{
	int err = write_check(f, 0);
	return err ? err : write_own_pos(ctx, f, u, 0);
}

ssize_t vfs_pwrite(struct ctx *ctx, struct file *f, struct uio *u, int64_t pos, int rwf)
{
	if (pos != -1 && !(f->mode & FMODE_PREAD))
		return f->type == FILE_PATH ? -EBADF : -ESPIPE;
	int err = write_check(f, rwf);
	if (err)
		return err;
	if (pos == -1)
		return write_own_pos(ctx, f, u, rwf);
	return pos < 0 ? -EINVAL : write_at(ctx, f, u, &pos, rwf);
}

int64_t file_seek_target(const struct file *f, int64_t off, int whence, int64_t size)
{
	int64_t base = 0;
	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = f->pos;
		break;
	case SEEK_END:
		base = size;
		break;
	case SEEK_DATA: /* no holes to know of: all is data, with a hole at the end */
		return off < 0 || off >= size ? -ENXIO : off;
	case SEEK_HOLE:
		return off < 0 || off >= size ? -ENXIO : size;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, off, &base))
		return -EINVAL;
	return base < 0 ? -EINVAL : base;
}

int64_t vfs_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	struct kstat st = {0};
	if (f->type == FILE_PATH)
		return -EBADF;
	if (!(f->mode & FMODE_LSEEK))
		return -ESPIPE;
	mutex_lock(&f->pos_lock);
	int64_t r = 0;
	if (file_ops(f)->llseek) {
		r = file_ops(f)->llseek(ctx, f, off, whence);
	} else {
		if (whence != SEEK_SET && whence != SEEK_CUR)
			r = inode_getattr(ctx, f->inode, &st);
		if (!r)
			r = file_seek_target(f, off, whence, (int64_t)st.size);
	}
	if (r >= 0)
		f->pos = r;
	mutex_unlock(&f->pos_lock);
	return r;
}

uint32_t vfs_poll(struct file *f, struct poll_table *pt)
{
	if (f->type == FILE_PATH)
		return POLLNVAL;
	if (!file_ops(f)->poll)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return file_ops(f)->poll(f, pt);
}

ssize_t vfs_kernel_read(struct ctx *ctx, struct file *f, void *buf, size_t n, int64_t pos)
{
	size_t done = 0;
	if (!file_ops(f)->read)
		return -EINVAL;
	while (done < n) {
		struct uio u;
		struct uio_seg seg;
		uio_init_kernel(&u, &seg, (char *)buf + done, n - done);
		ssize_t r = file_ops(f)->read(ctx, f, &u, &pos, 0);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int vfs_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len)
{
	struct inode *i = f->inode;
	int64_t end;
	if (f->type == FILE_PATH)
		return -EBADF;
	if (off < 0 || len <= 0)
		return -EINVAL;
	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE |
			   FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | FALLOC_FL_UNSHARE_RANGE))
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_PUNCH_HOLE) &&
		(!(mode & FALLOC_FL_KEEP_SIZE) || (mode & FALLOC_FL_ZERO_RANGE)))
		return -EOPNOTSUPP;
	if ((mode & FALLOC_FL_COLLAPSE_RANGE) && (mode & ~FALLOC_FL_COLLAPSE_RANGE))
		return -EINVAL;
	if ((mode & FALLOC_FL_INSERT_RANGE) && (mode & ~FALLOC_FL_INSERT_RANGE))
		return -EINVAL;
	if (!(f->mode & FMODE_WRITE))
		return -EBADF;
	if (S_ISFIFO(i->mode))
		return -ESPIPE;
	if (S_ISDIR(i->mode))
		return -EISDIR;
	if (!S_ISREG(i->mode))
		return -ENODEV;
	if (__builtin_add_overflow(off, len, &end))
		return -EFBIG;
	if (!file_ops(f)->fallocate)
		return -EOPNOTSUPP;
	if (!(mode & FALLOC_FL_KEEP_SIZE) && (uint64_t)end > READ_ONCE(i->size) &&
		(uint64_t)end > rlimit_soft(ctx->limits, RLIMIT_FSIZE)) {
		ctx_send_signal(ctx, SIGXFSZ);
		return -EFBIG;
	}
	mutex_lock(&i->write_lock);
	int err = vfs_kill_priv(ctx, i);
	if (!err)
		err = file_ops(f)->fallocate(ctx, f, mode, off, len);
	mutex_unlock(&i->write_lock);
	if (!err)
		notify_path_event(&f->path, IN_MODIFY);
	return err;
}

int vfs_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	if (f->type == FILE_PATH)
		return -EBADF;
	if (file_ops(f)->fsync)
		return file_ops(f)->fsync(ctx, f, datasync);
	return S_ISREG(f->inode->mode) || S_ISDIR(f->inode->mode) ? 0 : -EINVAL;
}

long vfs_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	if (f->type == FILE_PATH)
		return -EBADF;
	if (file_ops(f)->ioctl) {
		long r = file_ops(f)->ioctl(ctx, f, cmd, arg);
		if (r != -ENOTTY || cmd != FIONREAD || !S_ISREG(f->inode->mode))
			return r;
	}
	if (cmd == FIONREAD && S_ISREG(f->inode->mode)) {
		struct kstat st;
		int err = inode_getattr(ctx, f->inode, &st);
		int32_t left = (int32_t)((int64_t)st.size - f->pos);
		return err ? err : uaccess_put(ctx, UADDR(arg), &left);
	}
	return -ENOTTY;
}

int vfs_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s)
{
	if (f->type == FILE_PATH)
		return -EBADF;
	if (!S_ISDIR(f->inode->mode) || !file_ops(f)->readdir)
		return -ENOTDIR;
	mutex_lock(&f->pos_lock);
	int err = dentry_is(f->path.dentry, DENTRY_DELETED)
			  ? -ENOENT
			  : file_ops(f)->readdir(ctx, f, s, &f->pos);
	mutex_unlock(&f->pos_lock);
	if (!err) {
		file_accessed(f);
		notify_path_event(&f->path, IN_ACCESS);
	}
	return err;
}

int vfs_set_flags(struct ctx *ctx, struct file *f, uint32_t flags)
{
	const uint32_t settable = O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;
	if (f->type == FILE_PATH)
		return -EBADF;
	if ((f->inode->flags & INODE_FLAG_APPEND) && !(flags & O_APPEND) &&
		(READ_ONCE(f->flags) & O_APPEND))
		return -EPERM;
	if ((flags & O_NOATIME) && !(READ_ONCE(f->flags) & O_NOATIME) &&
		ctx->cred->fsuid != f->inode->uid && !ctx_capable(ctx, CAP_FOWNER))
		return -EPERM;
	/* Of a pipe it means packets. */
	if ((flags & O_DIRECT) && !S_ISFIFO(f->inode->mode) && !(f->state & FILE_CAN_DIRECT) &&
		f->type != FILE_HOST)
		return -EINVAL;
	mutex_lock(&f->lock);
	uint32_t new = (READ_ONCE(f->flags) & ~settable) | (flags & settable);
	mutex_unlock(&f->lock);
	if (file_ops(f)->set_flags) {
		int err = file_ops(f)->set_flags(f, new);
		if (err)
			return err;
	}
	mutex_lock(&f->lock);
	WRITE_ONCE(f->flags, new);
	mutex_unlock(&f->lock);
	return 0;
}

int vfs_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	if (f->type == FILE_PATH)
		return -EBADF;
	if (!file_ops(f)->mmap)
		return -ENODEV;
	int err = file_ops(f)->mmap(ctx, f, out);
	if (!err)
		file_accessed(f);
	return err;
}
