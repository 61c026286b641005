/*
 * Operations that open files and move their data.
 *
 * A regular file is opened once and its descriptor given away, so that reads,
 * writes and mappings never come here.	 READ and WRITE serve what the client
 * asked to be kept (FS_OPEN_KEEP), for instance when its table is full.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <sys/stat.h>

/* May e be opened with these flags at all? */
static int may_open(const struct id_entry *e, uint32_t flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);

	switch (id_type(e)) {
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		return writes ? -EISDIR : 0;
	case S_IFREG:
		break;
	case S_IFIFO:
		if (gofer.host_fifo)
			break;
		return -ENXIO;
	default:
		return -ENXIO;
	}
	if (flags & O_DIRECTORY)
		return -ENOTDIR;
	return writes && id_readonly(e) ? -EROFS : 0;
}

int op_OPEN(struct call *c)
{
	uint32_t flags = c->req.u.open.flags;
	struct fs_node *n;
	struct statx st;
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE, &e), fd;

	if (!err)
		err = may_open(e, flags);
	if (err)
		return err;
	/* A worker must not wait for the other end of a fifo. */
	if (id_type(e) == S_IFIFO)
		flags |= O_NONBLOCK;
	fd = host_reopen(e->fd, (int)flags);
	if (fd < 0)
		return fd;
	err = host_statx_fd(fd, &st);
	if (err) {
		host_close(fd);
		return err;
	}
	if (id_type(e) == S_IFDIR || (c->req.u.open.how & FS_OPEN_KEEP)) {
		uint64_t id;

		err = id_add(ID_OPEN, fd, e->tree, &st, &id, NULL);
		if (err) {
			host_close(fd);
			return err;
		}
		n = reply_elem(c, sizeof(*n));
		n->id = id;
	} else {
		n = reply_elem(c, sizeof(*n));
		reply_fd(c, fd);
	}
	attr_fill(&n->attr, &st);
	return 0;
}

/* A descriptor of a regular file for reading goes into the reply. */
static int open_one(struct call *c, uint64_t id)
{
	ID_REF e = NULL;
	int err = id_get(id, ID_NODE, &e), fd;

	if (!err)
		err = may_open(e, O_RDONLY);
	if (!err && id_type(e) != S_IFREG)
		err = -EINVAL;
	if (err)
		return err;
	fd = host_reopen(e->fd, O_RDONLY);
	if (fd < 0)
		return fd;
	reply_fd(c, fd);
	return 0;
}

int op_OPEN_MANY(struct call *c)
{
	uint32_t n = c->req.hdr.data_len / sizeof(uint64_t);

	for (uint32_t i = 0; i < n; i++) {
		struct fs_opened *o = reply_elem(c, sizeof(*o));
		uint64_t id;

		memcpy(&id, c->req.data + i * sizeof(id), sizeof(id));
		/* Those ahead of need must not take descriptors that other calls need: what is
		 * called short leaves room for all connections doing this at once. */
		o->err = i > 0 && ids_short() ? -EAGAIN : open_one(c, id);
	}
	return 0;
}

/* The new file, opened; nobody but us can have touched it by this descriptor. */
static int create_fd(const struct call *c, const struct id_entry *dir)
{
	const struct fs_create_req *r = &c->req.u.create;
	int flags = (int)(r->flags & ~(uint32_t)O_TRUNC);

	if (flags & O_DIRECTORY)
		return -EINVAL;
	if (c->req.hdr.nnames == 0)
		return host_open_child(dir->fd, ".", (flags & ~O_NOFOLLOW) | O_TMPFILE,
			r->mode & 0700);
	return host_open_child(dir->fd, c->req.name[0], flags | O_CREAT | O_EXCL | O_NOCTTY,
		r->mode & 0700);
}

int reply_created(struct call *c, int fd, uint16_t tree, uint32_t mode, uint32_t uid, uint32_t gid)
{
	struct statx st;
	int err = host_settle(fd, mode, uid, gid, &st);

	if (!err) {
		int path = host_reopen(fd, O_PATH);

		err = path < 0 ? path : reply_node(c, path, tree, &st, NULL);
	}
	if (!err)
		reply_fd(c, fd);
	else
		host_close(fd);
	return err;
}

int op_CREATE(struct call *c)
{
	const struct fs_create_req *r = &c->req.u.create;
	ID_REF dir = NULL;
	int fd, err = dir_get(c->req.hdr.id, true, &dir);

	if (err)
		return err;
	fd = create_fd(c, dir);
	if (fd < 0)
		return fd;
	err = reply_created(c, fd, dir->tree, r->mode, r->uid, r->gid);
	if (err && c->req.hdr.nnames)
		host_unmake(dir->fd, c->req.name[0], S_IFREG);
	return err;
}

int op_READ(struct call *c)
{
	const struct fs_io_req *r = &c->req.u.io;
	ID_REF e = NULL;
	size_t room;
	void *buf;
	ssize_t n;
	int err = id_get(c->req.hdr.id, ID_OPEN, &e);

	if (err)
		return err;
	buf = reply_data(c, &room);
	n = host_pread(e->fd, buf, MIN(room, (size_t)r->len), r->off);
	if (n < 0)
		return (int)n;
	reply_data_done(c, (size_t)n);
	return 0;
}

int op_WRITE(struct call *c)
{
	ID_REF e = NULL;
	ssize_t n;
	int err = id_get(c->req.hdr.id, ID_OPEN, &e);

	if (err)
		return err;
	n = host_pwrite(e->fd, c->req.data, c->req.hdr.data_len, c->req.u.io.off);
	if (n < 0)
		return (int)n;
	c->count = (uint32_t)n;
	return 0;
}

int op_FSYNC(struct call *c)
{
	static const long calls[FS_SYNC_NR] = {[FS_SYNC_ALL] = SYS_fsync,
		[FS_SYNC_DATA] = SYS_fdatasync,
		[FS_SYNC_FS] = SYS_syncfs};
	ID_REF e = NULL;
	bool own;
	int fd, err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, &e);

	if (err)
		return err;
	fd = host_io_fd(e, O_RDONLY, &own);
	if (fd < 0)
		return fd;
	err = (int)host_syscall1(calls[c->req.u.fsync.kind], fd);
	if (own)
		host_close(fd);
	return err;
}

int op_FALLOCATE(struct call *c)
{
	const struct fs_fallocate_req *r = &c->req.u.fallocate;
	ID_REF e = NULL;
	bool own;
	int fd, err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, &e);

	if (err)
		return err;
	if (id_type(e) != S_IFREG)
		return id_type(e) == S_IFDIR ? -EISDIR : -ENODEV;
	if (id_readonly(e))
		return -EROFS;
	fd = host_io_fd(e, O_WRONLY, &own);
	if (fd < 0)
		return fd;
	err = host_fallocate(fd, (int)r->mode, r->off, r->len);
	if (own)
		host_close(fd);
	return err;
}
