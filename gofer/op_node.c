/*
 * Operations that find nodes and read or set their attributes.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

int op_HELLO(struct call *c)
{
	struct fs_hello *h;
	uint32_t n;

	if (c->req.u.hello.version != FS_VERSION)
		return -EPROTO;
	h = reply_elem(c, sizeof(*h));
	*h = (struct fs_hello){.version = FS_VERSION,
		.ntrees = gofer.ntrees,
		.max_ids = gofer.max_ids,
		.uds = gofer.uds};
	/* Only the first greeting gets the other connections. */
	n = __atomic_exchange_n(&gofer.nspare, 0, __ATOMIC_ACQ_REL);
	for (uint32_t i = 0; i < n; i++)
		reply_fd(c, gofer.spare[i]);
	return 0;
}

int op_ATTACH(struct call *c)
{
	uint32_t tree = c->req.u.attach.tree;
	struct statx st;
	int fd, err;

	if (tree >= gofer.ntrees)
		return -ENOENT;
	fd = host_fcntl(gofer.trees[tree].fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fd;
	err = host_statx_fd(fd, &st);
	if (err) {
		host_close(fd);
		return err;
	}
	return reply_node(c, fd, (uint16_t)tree, &st, NULL);
}

/* One step of a walk: the node of name below dir goes into the reply and, with
 * a reference, to *out. */
static int step(struct call *c, const struct id_entry *dir, const char *name, struct id_entry **out)
{
	struct statx st;
	int err, fd = host_open_child(dir->fd, name, O_PATH, 0);

	if (fd < 0)
		return fd;
	err = host_statx_fd(fd, &st);
	if (err) {
		host_close(fd);
		return err;
	}
	return reply_node(c, fd, dir->tree, &st, out);
}

static int read_target(struct call *c, int fd)
{
	size_t room;
	char *buf = reply_data(c, &room);
	long n;

	n = host_syscall4(SYS_readlinkat, fd, "", buf, MIN(room, (size_t)FS_LINK_MAX));
	if (n < 0)
		return (int)n;
	reply_data_done(c, (size_t)n);
	return 0;
}

/* The walk ends at e, because of what it is or because it was the last. */
static int finish_walk(struct call *c, const struct id_entry *e, bool last)
{
	if (id_type(e) == S_IFLNK)
		return read_target(c, e->fd);
	if (!last)
		return -ENOTDIR;
	if ((c->req.u.walk.flags & FS_WALK_OPEN) && id_type(e) == S_IFREG) {
		/* A favour: without it the client asks again, and is told why not. */
		int file = host_reopen(e->fd, O_RDONLY);
		if (file >= 0)
			reply_fd(c, file);
	}
	return 0;
}

static void walk_siblings(struct call *c, const struct id_entry *dir)
{
	for (uint32_t i = 0; i < c->req.hdr.nnames; i++) {
		int err = step(c, dir, c->req.name[i], NULL);
		if (err) {
			struct fs_node *n = reply_elem(c, sizeof(*n));
			n->attr.ino = (uint64_t)-err;
		}
	}
}

int op_WALK(struct call *c)
{
	uint32_t n = c->req.hdr.nnames;
	ID_REF at = NULL;
	int err = dir_get(c->req.hdr.id, false, &at);

	if (!err && (c->req.u.walk.flags & FS_WALK_SIBLINGS)) {
		walk_siblings(c, at);
		return 0;
	}
	for (uint32_t i = 0; !err && i < n; i++) {
		struct id_entry *next = NULL;

		err = step(c, at, c->req.name[i], &next);
		if (err)
			break;
		id_put(at);
		at = next;
		if (id_type(at) != S_IFDIR || i + 1 == n)
			return finish_walk(c, at, i + 1 == n);
	}
	return err;
}

/* Does name in the parent still name the child (0: nothing)? */
static int revalidate(const struct fs_reval_pair *pair, const char *name, struct fs_attr *attr)
{
	ID_REF parent = NULL;
	ID_REF child = NULL;
	struct statx st;
	int err = dir_get(pair->parent, false, &parent);

	if (!err && pair->child)
		err = id_get(pair->child, ID_NODE, &child);
	if (!err)
		err = host_statx_at(parent->fd, name, &st);
	if (err)
		return err;
	attr_fill(attr, &st);
	/* The child's descriptor keeps its inode number from being given to another. */
	return child && host_same(child, &st) ? 0 : -ESTALE;
}

int op_REVALIDATE(struct call *c)
{
	for (uint32_t i = 0; i < c->req.hdr.nnames; i++) {
		struct fs_reval *r = reply_elem(c, sizeof(*r));
		struct fs_reval_pair pair;

		memcpy(&pair, c->req.data + i * sizeof(pair), sizeof(pair));
		r->err = revalidate(&pair, c->req.name[i], &r->attr);
	}
	return 0;
}

int op_GETATTR(struct call *c)
{
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, &e);

	return err ? err : reply_attr(c, e->fd);
}

static int set_size(const struct id_entry *e, uint64_t size)
{
	bool own;
	int fd, err;

	if (id_type(e) == S_IFDIR)
		return -EISDIR;
	if (id_type(e) != S_IFREG || size > INT64_MAX)
		return -EINVAL;
	fd = host_io_fd(e, O_WRONLY, &own);
	if (fd < 0)
		return fd;
	err = host_ftruncate(fd, (int64_t)size);
	if (own)
		host_close(fd);
	return err;
}

static struct timespec time_arg(uint32_t valid, uint32_t set, uint32_t now, struct fs_time t)
{
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	if (valid & set)
		return (struct timespec){.tv_sec = t.sec, .tv_nsec = t.nsec};
	return (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(const struct id_entry *e, const struct fs_setattr_req *r)
{
	struct timespec ts[2] = {
		time_arg(r->valid, FS_SET_ATIME, FS_SET_ATIME_NOW, r->atime),
		time_arg(r->valid, FS_SET_MTIME, FS_SET_MTIME_NOW, r->mtime),
	};

	return (int)host_syscall4(SYS_utimensat, e->fd, "", ts, AT_EMPTY_PATH);
}

/* In the order that keeps what is asked for: chown clears set-id bits, and
 * everything else changes times. */
static int set_attr(const struct id_entry *e, const struct fs_setattr_req *r)
{
	int err = 0;

	if (r->valid & FS_SET_SIZE)
		err = set_size(e, r->size);
	if (!err && (r->valid & (FS_SET_UID | FS_SET_GID)))
		err = host_chown(e->fd, r->valid & FS_SET_UID ? r->uid : ~0u,
			r->valid & FS_SET_GID ? r->gid : ~0u);
	if (!err && (r->valid & FS_SET_MODE))
		err = host_chmod(e->fd, r->mode);
	if (!err &&
		(r->valid & (FS_SET_ATIME | FS_SET_MTIME | FS_SET_ATIME_NOW | FS_SET_MTIME_NOW)))
		err = set_times(e, r);
	return err;
}

int op_SETATTR(struct call *c)
{
	const struct fs_setattr_req *r = &c->req.u.setattr;
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE, &e);

	if (err)
		return err;
	if (id_readonly(e))
		return -EROFS;
	/* Linux has no mode of symbolic links. */
	if ((r->valid & FS_SET_MODE) && id_type(e) == S_IFLNK)
		return -EOPNOTSUPP;
	err = set_attr(e, r);
	return err ? err : reply_attr(c, e->fd);
}

int op_READLINK(struct call *c)
{
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE, &e);

	if (err)
		return err;
	return id_type(e) == S_IFLNK ? read_target(c, e->fd) : -EINVAL;
}

int op_STATFS(struct call *c)
{
	ID_REF e = NULL;
	struct fs_statfs *out;
	struct statfs s;
	int err = id_get(c->req.hdr.id, ID_NODE | ID_OPEN, &e);

	if (!err)
		err = (int)host_syscall2(SYS_fstatfs, e->fd, &s);
	if (err)
		return err;
	out = reply_elem(c, sizeof(*out));
	*out = (struct fs_statfs){
		.type = (uint64_t)s.f_type,
		.bsize = (uint64_t)s.f_bsize,
		.blocks = s.f_blocks,
		.bfree = s.f_bfree,
		.bavail = s.f_bavail,
		.files = s.f_files,
		.ffree = s.f_ffree,
		.namelen = (uint64_t)s.f_namelen,
		.frsize = (uint64_t)s.f_frsize,
		.flags = (uint64_t)s.f_flags,
	};
	return 0;
}
