/*
 * Open files of the gofer file system.
 *
 * Regular files are read, written and mapped straight through the donated host
 * descriptor: data goes between the host's page cache and guest memory (pinned
 * for the call) without a copy in between.  Directories are listed into a
 * snapshot (vfs/dirsnap.h).
 */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/hostcall.h"
#include "sentry/fs/gofer/goferfs_priv.h"
#include "sentry/fs/host/transfer.h"
#include "sentry/vfs/dirsnap.h"

/* --- descriptors --- */

static int open_writable(struct gofer_inode *g)
{
	int fd;
	uint64_t id;
	int r = fsc_open(gofer_fsc(g->inode.sb), g->node, O_RDWR, 0, &fd, &id, NULL);
	if (r < 0)
		return r;
	if (fd < 0) {
		fsc_close(gofer_fsc(g->inode.sb), id);
		return -EIO;
	}
	gofer_keep_fd(g, fd, true);
	return 0;
}

int gofer_fd(struct gofer_inode *g, bool write)
{
	handle_t h = __atomic_load_n(&g->wfd, __ATOMIC_ACQUIRE);
	if (!h && !write)
		h = __atomic_load_n(&g->rfd, __ATOMIC_ACQUIRE);
	gofer_used(g);
	if (h)
		return handle_fd(h);
	int r = write ? open_writable(g) : gofer_open_ahead(g);
	if (r < 0)
		return r;
	h = write ? g->wfd : g->rfd ? g->rfd : g->wfd;
	return h ? handle_fd(h) : -ENFILE; /* it was opened but could not be kept */
}

/* --- reading and writing --- */

/*
 * Short transfers go by way of the stack: one more copy costs less than finding the guest's pages
 * and holding on to them for the host.
 */
#define SHORT 4096u
/* A longer transfer is made of pieces of so much: nothing ends a call of the host's. */
#define ALLOC_PIECE (64L << 20)

static ssize_t read_short(int fd, struct uio *u, int64_t *pos)
{
	char buf[SHORT];
	ssize_t n = host_pread(fd, buf, u->resid, *pos);
	if (n <= 0)
		return n;
	n = uio_write(u, buf, (size_t)n);
	if (n > 0)
		*pos += n;
	return n;
}

static ssize_t gofer_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct gofer_inode *g = gofer_i(f->inode);
	int fd = gofer_fd(g, false);
	if (fd < 0)
		return fd;
	if (u->resid <= SHORT)
		return u->resid ? read_short(fd, u, pos) : 0;
	return host_transfer_at(ctx, fd, u, pos, false);
}

static ssize_t write_short(struct gofer_inode *g, int fd, struct uio *u, int64_t *pos)
{
	char buf[SHORT];
	ssize_t n = uio_read(u, buf, u->resid);
	if (n <= 0)
		return n;
	n = host_pwrite(fd, buf, (size_t)n, *pos);
	if (n > 0) {
		*pos += n;
		gofer_attr_changed(g, (uint64_t)*pos);
	}
	return n;
}

static ssize_t write_pinned(struct ctx *ctx, struct gofer_inode *g, int fd, struct uio *u,
	int64_t *pos)
{
	ssize_t n = host_transfer_at(ctx, fd, u, pos, true);
	if (n > 0)
		gofer_attr_changed(g, (uint64_t)*pos);
	return n;
}

static ssize_t gofer_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct gofer_inode *g = gofer_i(f->inode);
	int fd = gofer_fd(g, true);
	if (fd < 0)
		return fd;
	if (!u->resid)
		return 0;
	ssize_t done =
		u->resid <= SHORT ? write_short(g, fd, u, pos) : write_pinned(ctx, g, fd, u, pos);
	if (done > 0 &&
		((READ_ONCE(f->flags) & (O_SYNC | O_DSYNC)) || (rwf & (RWF_SYNC | RWF_DSYNC))))
		host_syscall1(SYS_fdatasync, fd);
	return done;
}

static int gofer_fsync(struct ctx *ctx, struct file *f, bool datasync)
{
	struct gofer_inode *g = gofer_i(f->inode);
	int fd = S_ISREG(f->inode->mode) ? gofer_fd(g, false) : -1;
	if (fd >= 0)
		return (int)host_syscall1(datasync ? SYS_fdatasync : SYS_fsync, fd);
	return fsc_fsync(gofer_fsc(f->inode->sb), g->node, datasync ? FS_SYNC_DATA : FS_SYNC_ALL);
}

/* Space for [off, end), by pieces; only the last may move the file's end. */
static int allocate(struct ctx *ctx, int fd, int mode, int64_t off, int64_t end)
{
	int r = 0;
	/* The end first: that it is too large for a file is said before the disk is full. */
	if (end - off > ALLOC_PIECE)
		r = host_fallocate(fd, mode | FALLOC_FL_KEEP_SIZE, end - 1, 1);
	for (int64_t n; off < end && r == 0; off += n) {
		if (ctx_killed(ctx))
			return -EINTR;
		n = MIN(end - off, ALLOC_PIECE);
		r = host_fallocate(fd, n < end - off ? mode | FALLOC_FL_KEEP_SIZE : mode, off, n);
	}
	return r;
}

static int gofer_fallocate(struct ctx *ctx, struct file *f, int mode, int64_t off, int64_t len)
{
	struct gofer_inode *g = gofer_i(f->inode);
	int fd = gofer_fd(g, true);
	if (fd < 0)
		return fd;
	int r = mode & ~FALLOC_FL_KEEP_SIZE ? host_fallocate(fd, mode, off, len)
					    : allocate(ctx, fd, mode, off, off + len);
	if (r == 0)
		r = gofer_refresh(g);
	return r;
}

/* SEEK_DATA and SEEK_HOLE are the host's; its own position is never used. */
static int64_t gofer_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence)
{
	struct gofer_inode *g = gofer_i(f->inode);
	if (whence == SEEK_DATA || whence == SEEK_HOLE) {
		int fd = gofer_fd(g, false);
		return fd < 0 ? fd : host_syscall3(SYS_lseek, fd, off, whence);
	}
	if (whence == SEEK_END && (f->inode->flags & INODE_FLAG_NOCACHE))
		gofer_refresh(g);
	return file_seek_target(f, off, whence, (int64_t)READ_ONCE(f->inode->size));
}

static int gofer_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	struct gofer_inode *g = gofer_i(f->inode);
	/* A shared writable mapping needs a descriptor that may write; ask for it now, where an
	 * error can still be told. */
	int fd = gofer_fd(g, f->mode & FMODE_WRITE);
	if (fd < 0)
		return fd;
	*out = &g->map;
	return 0;
}

const struct file_ops gofer_reg_ops = {
	.read = gofer_read,
	.write = gofer_write,
	.llseek = gofer_llseek,
	.mmap = gofer_mmap,
	.fsync = gofer_fsync,
	.fallocate = gofer_fallocate,
};

/* --- mapping --- */

static struct gofer_inode *map_inode(struct mappable *m)
{
	return container_of(m, struct gofer_inode, map);
}

static void map_get(struct mappable *m)
{
	inode_get(&map_inode(m)->inode);
}

static void map_put(struct mappable *m)
{
	inode_put(&map_inode(m)->inode);
}

static uint64_t map_id(struct mappable *m)
{
	return map_inode(m)->inode.ino;
}

static int map_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct gofer_inode *g = map_inode(m);
	if (g->inode.flags & INODE_FLAG_NOCACHE)
		gofer_refresh(g);
	uint64_t end = PAGE_ALIGN_UP(g->inode.size);
	if (off >= end)
		return -EFAULT;
	int fd = gofer_fd(g, write);
	if (fd < 0)
		return fd;
	if (write)
		gofer_attr_changed(g, 0);
	*out = (struct backing){.kind = BACKING_HOST,
		.off = off,
		.len = MIN(max_len, end - off),
		.host = g->wfd ? g->wfd : g->rfd,
		.writable = g->wfd != HANDLE_NONE};
	return 0;
}

static int map_sync(struct mappable *m, uint64_t off, uint64_t len)
{
	int fd = gofer_fd(map_inode(m), false);
	return fd < 0 ? fd : (int)host_syscall1(SYS_fdatasync, fd);
}

const struct mappable_ops gofer_mappable_ops = {
	.get = map_get,
	.put = map_put,
	.translate = map_translate,
	.id = map_id,
	.sync = map_sync,
};

/* --- directories --- */

/* A directory of which no listing is kept. */
static int fill_directly(struct ctx *ctx, struct file *f, struct dirsnap *snap)
{
	const size_t size = FS_DATA_MAX;
	uint64_t cookie = 0;
	ssize_t n;
	int r = 0;
	void *batch = buf_alloc(size);
	if (!batch)
		return -ENOMEM;
	while (r == 0 && cookie != FS_COOKIE_END && !ctx_killed(ctx) &&
		(n = fsc_readdir(gofer_fsc(f->inode->sb), gofer_i(f->inode)->node, cookie,
			 FS_DIR_NOATTR, batch, size)) != 0) {
		const struct fs_dirent *e;
		size_t off = 0;
		if (n < 0) {
			r = (int)n;
			break;
		}
		while (r == 0 && (e = fs_dirent_next(batch, (size_t)n, &off))) {
			r = dirsnap_add(snap, e->name, e->namelen, e->ino, e->type);
			cookie = e->cookie;
		}
		if (off == SIZE_MAX)
			r = -EIO;
	}
	buf_free(batch, size);
	return r;
}

static int add_name(void *snap, const char *name, size_t len, uint64_t ino, uint8_t type)
{
	return dirsnap_add(snap, name, len, ino, type);
}

static int fill_snapshot(struct ctx *ctx, struct file *f, struct dirsnap *snap)
{
	struct gofer_list *l;
	mutex_lock_nested(&f->inode->sb->tree); /* under an overlay, its own is held */
	int r = gofer_list_get(gofer_i(f->inode), &l);
	if (r == 0 && l)
		r = gofer_list_each(l, add_name, snap);
	mutex_unlock(&f->inode->sb->tree);
	return r == 0 && !l ? fill_directly(ctx, f, snap) : r;
}

static int gofer_readdir(struct ctx *ctx, struct file *f, struct dirent_sink *s, int64_t *pos)
{
	return dirsnap_readdir(ctx, f, s, pos, fill_snapshot);
}

const struct file_ops gofer_dir_ops = {
	.readdir = gofer_readdir,
	.llseek = dirsnap_llseek,
	.fsync = gofer_fsync,
	.release = dirsnap_release,
};
