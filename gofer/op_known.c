/*
 * What a node is known by to a gofer that has not given it an id (lib/proto/fs.h): where it is, and
 * nodes of another gofer, found or made again.
 *
 * RESOLVE and LOCATE take no more on trust than a walk does: each component is one of a descriptor
 * below the tree's root, and what is found counts only if it is the inode that was asked for.  What
 * the host's proc says of a path is a hint to LOCATE, never an answer.
 *
 * No descriptor of the client's is taken instead, although it has those of files that were removed:
 * it holds others as well, opened for reading or not of any tree, and what the gofer reopens it can
 * change.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define HIDDEN_TRIES 16

/* --- by name --- */

/* The request's names below the descriptor from, one by one. */
static int descend(const struct call *c, int from)
{
	FD_AUTO int at = host_fcntl(from, F_DUPFD_CLOEXEC, 3);

	for (uint32_t i = 0; at >= 0 && i < c->req.hdr.nnames; i++) {
		bool last = i + 1 == c->req.hdr.nnames;
		int next =
			host_open_child(at, c->req.name[i], O_PATH | (last ? 0 : O_DIRECTORY), 0);

		host_close(at);
		at = next;
	}
	return take_fd(&at);
}

static bool is_wanted(const struct fs_resolve_req *r, const struct statx *st)
{
	const struct id_entry want = {.ino = r->ino,
		.dev_major = r->dev_major,
		.dev_minor = r->dev_minor};

	if (!host_same(&want, st) || (st->stx_mode & S_IFMT) != r->type)
		return false;
	return (!r->btime.sec && !r->btime.nsec) || !(st->stx_mask & STATX_BTIME) ||
	       (r->btime.sec == st->stx_btime.tv_sec && r->btime.nsec == st->stx_btime.tv_nsec);
}

int op_RESOLVE(struct call *c)
{
	const struct fs_resolve_req *r = &c->req.u.resolve;
	ID_REF dir = NULL;
	struct statx st;
	int err = c->req.hdr.id ? dir_get(c->req.hdr.id, false, &dir) : 0;

	if (err)
		return err;
	if (r->tree >= gofer.ntrees)
		return -ENOENT;
	if (dir && dir->tree != r->tree)
		return -EXDEV;
	FD_AUTO int fd = descend(c, dir ? dir->fd : gofer.trees[r->tree].fd);
	if (fd < 0) /* a symlink or a file where a directory was: something else */
		return fd == -ELOOP || fd == -ENOTDIR ? -ESTALE : fd;
	err = host_statx_fd(fd, &st);
	if (!err && !is_wanted(r, &st))
		err = -ESTALE;
	return err ? err : reply_node(c, take_fd(&fd), (uint16_t)r->tree, &st, NULL);
}

/* What proc says that fd's path is: its length or -errno. */
static long path_hint(int fd, char buf[PATH_MAX])
{
	struct fd_name n = host_fd_name(fd);
	long len = host_syscall4(SYS_readlinkat, gofer.proc_fd, n.s, buf, PATH_MAX);

	if (len == PATH_MAX)
		return -ENAMETOOLONG;
	if (len >= 0)
		buf[len] = '\0';
	return len;
}

/* Does path below the root of e's tree lead to e? */
static int leads_to(const char *path, const struct id_entry *e)
{
	FD_AUTO int fd = host_open_child(gofer.trees[e->tree].fd, path, O_PATH, 0);
	struct statx st;
	int err = fd < 0 ? fd : host_statx_fd(fd, &st);

	if (!err && !host_same(e, &st))
		err = -ENOENT; /* what is called "x (deleted)" is another file */
	return err;
}

int op_LOCATE(struct call *c)
{
	char root[PATH_MAX], path[PATH_MAX];
	const char *rest;
	ID_REF e = NULL;
	size_t room, len;
	long n, nroot;
	int err = id_get(c->req.hdr.id, ID_NODE, &e);

	if (err)
		return err;
	n = path_hint(e->fd, path);
	nroot = path_hint(gofer.trees[e->tree].fd, root);
	if (n < 0 || nroot < 0)
		return (int)MIN(n, nroot);
	if (!strcmp(root, path))
		return 0;
	if (!strcmp(root, "/"))
		nroot = 0;
	if (n <= nroot || memcmp(root, path, (size_t)nroot) || path[nroot] != '/')
		return -ENOENT; /* it was moved out of the tree */
	rest = path + nroot + 1;
	err = leads_to(rest, e);
	if (err)
		return err;
	len = strlen(rest);
	memcpy(reply_data(c, &room), rest, len);
	reply_data_done(c, len);
	return 0;
}

/* --- without a name --- */

/* A name that nobody has: it is there for a moment only. */
static void hidden_name(char *name, size_t size, int try)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	snprintf(name, size, ".runsc-%llx-%llx", (unsigned long long)t.tv_sec,
		(unsigned long long)t.tv_nsec + (unsigned)try);
}

/* Makes what is no regular file under a name in dir, without rights for others. */
static int make(const struct call *c, int dir, const char *name)
{
	const struct fs_remake_req *r = &c->req.u.remake;
	char target[FS_LINK_MAX + 1];

	switch (r->mode & S_IFMT) {
	case S_IFDIR:
		return (int)host_syscall3(SYS_mkdirat, dir, name, r->mode & 0700);
	case S_IFIFO:
	case S_IFSOCK:
		return (int)host_syscall4(SYS_mknodat, dir, name, r->mode & (S_IFMT | 0700), 0);
	case S_IFLNK:
		memcpy(target, c->req.data, c->req.hdr.data_len);
		target[c->req.hdr.data_len] = '\0';
		return (int)host_syscall3(SYS_symlinkat, target, dir, name);
	default:
		return -EPERM; /* a device */
	}
}

static int remake_other(struct call *c, const struct id_entry *dir)
{
	const struct fs_remake_req *r = &c->req.u.remake;
	char name[64];
	struct statx st;
	int err = -EEXIST;

	for (int i = 0; err == -EEXIST && i < HIDDEN_TRIES; i++) {
		hidden_name(name, sizeof(name), i);
		err = make(c, dir->fd, name);
	}
	if (err)
		return err;
	FD_AUTO int fd = host_adopt(dir->fd, name, r->mode, r->uid, r->gid, &st);
	if (fd < 0)
		return fd;
	host_unmake(dir->fd, name, r->mode & S_IFMT);
	err = host_statx_fd(fd, &st);
	return err ? err : reply_node(c, take_fd(&fd), dir->tree, &st, NULL);
}

/* Where the file system has no O_TMPFILE. */
static int named_file(int dir, uint32_t mode)
{
	char name[64];
	int fd = -EEXIST;

	for (int i = 0; fd == -EEXIST && i < HIDDEN_TRIES; i++) {
		hidden_name(name, sizeof(name), i);
		fd = host_open_child(dir, name, O_RDWR | O_CREAT | O_EXCL, mode);
	}
	if (fd >= 0)
		host_unmake(dir, name, S_IFREG);
	return fd;
}

int op_REMAKE(struct call *c)
{
	const struct fs_remake_req *r = &c->req.u.remake;
	ID_REF dir = NULL;
	int fd, err = dir_get(c->req.hdr.id, true, &dir);

	if (err)
		return err;
	if (!S_ISREG(r->mode))
		return remake_other(c, dir);
	/* O_EXCL: nobody can give it a name, as nobody can one that was removed. */
	fd = host_open_child(dir->fd, ".", O_RDWR | O_TMPFILE | O_EXCL, r->mode & 0700);
	if (fd == -EOPNOTSUPP || fd == -EISDIR)
		fd = named_file(dir->fd, r->mode & 0700);
	return fd < 0 ? fd : reply_created(c, fd, dir->tree, r->mode & 07777, r->uid, r->gid);
}
