/*
 * Operations that make, move and remove names.
 */
#include "gofer/gofer_priv.h"

#include <errno.h>
#include <sys/stat.h>

/* Takes up what the call has just made under its name. */
static int adopt(struct call *c, const struct id_entry *dir, uint32_t type,
	const struct fs_mk_req *r, uint32_t mode)
{
	const char *name = c->req.name[0];
	struct statx st;
	int fd = host_adopt(dir->fd, name, type | mode, r->uid, r->gid, &st);
	int err = fd < 0 ? fd : reply_node(c, fd, dir->tree, &st, NULL);

	if (fd >= 0 && err)
		host_unmake(dir->fd, name, type);
	return err;
}

int op_MKDIR(struct call *c)
{
	const struct fs_mk_req *r = &c->req.u.mk;
	ID_REF dir = NULL;
	int err = dir_get(c->req.hdr.id, true, &dir);

	/* Until it has its owner, nobody else gets in. */
	if (!err)
		err = (int)host_syscall3(SYS_mkdirat, dir->fd, c->req.name[0], r->mode & 0700);
	return err ? err : adopt(c, dir, S_IFDIR, r, r->mode);
}

int op_MKNOD(struct call *c)
{
	const struct fs_mk_req *r = &c->req.u.mk;
	uint32_t type = r->mode & S_IFMT ?: S_IFREG;
	ID_REF dir = NULL;
	int err;

	if (type == S_IFCHR || type == S_IFBLK || type == S_IFDIR)
		return -EPERM;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
		return -EINVAL;
	err = dir_get(c->req.hdr.id, true, &dir);
	if (!err)
		err = (int)host_syscall4(SYS_mknodat, dir->fd, c->req.name[0],
			type | (r->mode & 0700), 0);
	return err ? err : adopt(c, dir, type, r, r->mode & 07777);
}

int op_SYMLINK(struct call *c)
{
	char target[FS_LINK_MAX + 1];
	ID_REF dir = NULL;
	int err = dir_get(c->req.hdr.id, true, &dir);

	if (err)
		return err;
	memcpy(target, c->req.data, c->req.hdr.data_len);
	target[c->req.hdr.data_len] = '\0';
	err = (int)host_syscall3(SYS_symlinkat, target, dir->fd, c->req.name[0]);
	return err ? err : adopt(c, dir, S_IFLNK, &c->req.u.mk, 0777);
}

/* By the descriptor's name in proc: the empty path would need a capability
 * over the host's own user namespace. */
static int link_fd(int fd, int dir, const char *name)
{
	struct fd_name n = host_fd_name(fd);

	return (int)host_syscall5(SYS_linkat, gofer.proc_fd, n.s, dir, name, AT_SYMLINK_FOLLOW);
}

int op_LINK(struct call *c)
{
	ID_REF dir = NULL;
	ID_REF e = NULL;
	int err = id_get(c->req.hdr.id, ID_NODE, &e);

	if (!err)
		err = dir_get(c->req.u.link.dir, false, &dir);
	if (err)
		return err;
	if (e->tree != dir->tree)
		return -EXDEV;
	if (id_readonly(dir))
		return -EROFS;
	if (id_type(e) == S_IFDIR)
		return -EPERM;
	err = link_fd(e->fd, dir->fd, c->req.name[0]);
	return err ? err : reply_attr(c, e->fd);
}

int op_UNLINK(struct call *c)
{
	ID_REF dir = NULL;
	int err = dir_get(c->req.hdr.id, true, &dir);

	if (err)
		return err;
	return (int)host_syscall3(SYS_unlinkat, dir->fd, c->req.name[0], c->req.u.unlink.flags);
}

int op_RENAME(struct call *c)
{
	ID_REF from = NULL;
	ID_REF to = NULL;
	int err = dir_get(c->req.hdr.id, false, &from);

	if (!err)
		err = dir_get(c->req.u.rename.newdir, false, &to);
	if (err)
		return err;
	if (from->tree != to->tree)
		return -EXDEV;
	if (id_readonly(from))
		return -EROFS;
	return (int)host_syscall5(SYS_renameat2, from->fd, c->req.name[0], to->fd, c->req.name[1],
		c->req.u.rename.flags);
}
