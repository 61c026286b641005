/* open(2), openat2(2): creating, permission, and making the open file. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "sentry/vfs/vfs_priv.h"

#define TMPFILE_BIT (O_TMPFILE & ~O_DIRECTORY)
#define LARGEFILE 0100000 /* the kernel's O_LARGEFILE: every 64-bit open has it */

static int access_mask(uint64_t flags)
{
	static const int masks[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
		MAY_READ | MAY_WRITE};
	int mask = masks[flags & O_ACCMODE];
	if (flags & OPEN_EXEC)
		mask = MAY_EXEC;
	return flags & O_TRUNC ? mask | MAY_WRITE : mask;
}

/* May the caller open what p names?  The order is that of Linux' may_open. */
static int may_open(struct ctx *ctx, const struct path *p, uint64_t flags)
{
	struct inode *i = p->dentry->inode;
	int mask = access_mask(flags);
	switch (i->mode & S_IFMT) {
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		if (mask & MAY_WRITE)
			return -EISDIR;
		if (mask & MAY_EXEC)
			return -EACCES;
		break;
	case S_IFBLK:
	case S_IFCHR:
		if (p->mnt->flags & MS_NODEV)
			return -EACCES;
		/* fall through */
	case S_IFIFO:
	case S_IFSOCK:
		if (mask & MAY_EXEC)
			return -EACCES;
		break;
	default:
		if ((mask & MAY_EXEC) && (p->mnt->flags & MS_NOEXEC))
			return -EACCES;
		if ((mask & MAY_WRITE) && (i->sb->flags & MS_RDONLY))
			return -EROFS;
	}
	int err = inode_permission(ctx, i, mask);
	if (err)
		return err;
	if ((flags & O_NOATIME) && ctx->cred->fsuid != i->uid && !ctx_capable(ctx, CAP_FOWNER))
		return -EPERM;
	if ((i->flags & INODE_FLAG_APPEND) && (flags & O_ACCMODE) != O_RDONLY &&
		(!(flags & O_APPEND) || (flags & O_TRUNC)))
		return -EPERM;
	return 0;
}

/* Dispatches by the kind of inode: sets f->type and calls the opening operation. */
static int open_by_type(struct ctx *ctx, struct file *f)
{
	struct inode *i = f->inode;
	int type, err = 0;
	if (i->type == INODE_HOST) /* whatever it is on the host, it stays that descriptor */
		return inode_ops(i)->open(ctx, i, f);
	if (i->type == INODE_ANON &&
		!(i->mode & S_IFMT)) /* eventfd and the like: there is no other */
		return -ENXIO;
	switch (i->mode & S_IFMT) {
	case S_IFSOCK:
		return -ENXIO;
	case S_IFIFO:
		f->type = FILE_PIPE;
		break;
	case S_IFCHR:
	case S_IFBLK:
		type = device_lookup(i->mode, i->rdev);
		if (type < 0)
			return type;
		f->type = (uint8_t)type;
		break;
	default:
		f->type = i->ftype;
		if (inode_ops(i)->open)
			return inode_ops(i)->open(ctx, i, f);
	}
	if (file_ops(f)->open)
		err = file_ops(f)->open(ctx, f);
	return err;
}

/* O_TRUNC writes, whatever it was opened for: ETXTBSY. */
static int truncate_opened(struct ctx *ctx, const struct path *p)
{
	int err = inode_get_write(p->dentry->inode);

	if (err)
		return err;
	err = vfs_do_truncate(ctx, p, 0);
	inode_put_write(p->dentry->inode);
	return err;
}

/* Of files with data, whatever the file system. */
static bool can_direct(const struct file *f)
{
	return f->type == FILE_TMPFS_REG || f->type == FILE_GOFER_REG ||
	       f->type == FILE_OVERLAY_REG;
}

int open_finish(struct ctx *ctx, const struct path *p, uint64_t flags, bool created,
	struct file **out)
{
	struct inode *i = p->dentry->inode;
	bool writes = (flags & O_ACCMODE) != O_RDONLY && !(flags & OPEN_EXEC);
	int err = 0;
	if (!created) {
		if ((flags & O_TRUNC) && S_ISREG(i->mode))
			err = mount_want_write(p->mnt);
		/* EACCES comes first, but EROFS for a truncating open before it. */
		if (err)
			return err;
		err = may_open(ctx, p,
			S_ISREG(i->mode) || S_ISDIR(i->mode) ? flags : flags & ~(uint64_t)O_TRUNC);
		if (err)
			return err;
	}
	struct file *f = file_alloc(ctx, FILE_NONE, p,
		(flags & ~(uint64_t)(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC)) | LARGEFILE);
	if (!f)
		return -ENOMEM;
	if (flags & O_NOCTTY)
		f->state |= FILE_NOCTTY;
	if (flags & OPEN_EXEC)
		f->mode = (uint8_t)((f->mode & ~FMODE_WRITE) | FMODE_EXEC | FMODE_READ);
	if (writes && S_ISREG(i->mode)) {
		err = mount_want_write(p->mnt);
		if (!err)
			err = file_hold_write(f); /* ETXTBSY */
	}
	if (!writes && S_ISREG(i->mode)) {
		__atomic_add_fetch(&i->readers, 1, __ATOMIC_SEQ_CST);
		f->state |= FILE_HOLDS_READ;
	}
	if (!err && S_ISREG(i->mode) && !created)
		err = lease_break(ctx, i, writes || (flags & O_TRUNC), flags & O_NONBLOCK);
	if (!err)
		err = open_by_type(ctx, f);
	bool opened = !err;
	if (!err && can_direct(f))
		f->state |= FILE_CAN_DIRECT;
	else if (!err && (flags & O_DIRECT))
		err = -EINVAL;
	if (!err)
		notify_path_event(&f->path, IN_OPEN);
	if (!err && (flags & O_TRUNC) && !created && S_ISREG(i->mode))
		err = truncate_opened(ctx, p);
	if (err) {
		if (!f->priv && !opened)
			f->type = FILE_NONE; /* nothing to release */
		file_put(f);
		return err;
	}
	*out = f;
	return 0;
}

static int open_opath(struct ctx *ctx, const struct path *p, uint64_t flags, struct file **out)
{
	*out = file_alloc(ctx, FILE_PATH, p,
		flags & (O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
	return *out ? 0 : -ENOMEM;
}

int vfs_open_path(struct ctx *ctx, const struct path *p, uint64_t flags, struct file **out)
{
	if ((flags & O_DIRECTORY) && !S_ISDIR(p->dentry->inode->mode))
		return -ENOTDIR;
	if (flags & O_PATH)
		return open_opath(ctx, p, flags, out);
	return open_finish(ctx, p, flags & ~(uint64_t)(O_CREAT | O_EXCL), false, out);
}

/* fs.protected_regular and fs.protected_fifos: O_CREAT on somebody else's file. */
static int sticky_create_check(struct walk *w, struct inode *i)
{
	struct inode *dir = w->cur.dentry->inode;
	uint32_t level;
	if (S_ISFIFO(i->mode))
		level = vfs->sysctl.protected_fifos;
	else if (S_ISREG(i->mode))
		level = vfs->sysctl.protected_regular;
	else
		return 0;
	if (!level || !(dir->mode & S_ISVTX) || i->uid == dir->uid || w->ctx->cred->fsuid == i->uid)
		return 0;
	if ((dir->mode & S_IWOTH) || (level >= 2 && (dir->mode & S_IWGRP)))
		return -EACCES;
	return 0;
}

void vfs_new_owner(struct ctx *ctx, struct inode *dir, uint32_t *mode, uint32_t *uid, uint32_t *gid)
{
	const struct cred *c = ctx->cred;
	*uid = c->fsuid;
	*gid = c->fsgid;
	if (!(dir->mode & S_ISGID))
		return;
	*gid = dir->gid;
	if (S_ISDIR(*mode))
		*mode |= S_ISGID;
	else if ((*mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && !cred_in_group(c, *gid) &&
		 !cred_capable(c, CAP_FSETID))
		*mode &= ~(uint32_t)S_ISGID;
}

/* d, negative, below w->cur: becomes a regular file. */
static int create_locked(struct walk *w, struct dentry *d, uint32_t mode)
	REQUIRES(w->cur.dentry->sb->tree)
{
	struct dentry *dir = w->cur.dentry;
	const struct inode_ops *ops = inode_ops(dir->inode);
	uint32_t uid, gid;
	int err = mount_want_write(w->cur.mnt);
	if (!err)
		err = may_create(w->ctx, dir);
	if (err)
		return err;
	if (!ops->create)
		return -EACCES;
	mode = (mode & 07777 & ~w->v->fs->umask) | S_IFREG;
	vfs_new_owner(w->ctx, dir->inode, &mode, &uid, &gid);
	err = ops->create(w->ctx, dir->inode, d, mode, uid, gid, 0);
	if (!err && !dentry_is(d, DENTRY_HASHED))
		dentry_hash(d);
	return err;
}

/* The last component's dentry, made a file if there is none: in one step, for somebody else may be
 * making it as well. */
static int find_or_create(struct walk *w, uint32_t mode, struct dentry **out, bool *created)
{
	struct dentry *dir = w->cur.dentry, *d = NULL;
	*created = false;
	if (w->last.len > VFS_NAME_MAX)
		return -ENAMETOOLONG;
	mutex_lock(&w->cur.dentry->sb->tree);
	int err = dentry_lookup(w->ctx, dir, w->last.name, w->last.len, &d);
	if (!err && !d->inode) {
		err = create_locked(w, d, mode);
		*created = !err;
	}
	mutex_unlock(&w->cur.dentry->sb->tree);
	if (err) {
		dentry_put(d);
		return err;
	}
	if (*created)
		notify_dir(dir->inode, IN_CREATE, w->name, w->last.len, 0); /* d may be renamed */
	*out = d;
	return 0;
}

/* The last component of an O_CREAT open: finds or creates it.  -EAGAIN: a link was followed. */
static int open_last(struct walk *w, const struct open_how_k *how, struct file **out)
{
	struct dentry *d;
	bool created;
	int err = find_or_create(w, how->mode, &d, &created);
	if (err)
		return err;
	if (!created && (how->flags & O_EXCL)) {
		dentry_put(d);
		return -EEXIST;
	}
	if (S_ISLNK(d->inode->mode) && !(how->flags & O_NOFOLLOW)) {
		err = walk_follow(w, d, true);
		dentry_put(d);
		return err < 0    ? err
		       : err == 1 ? open_finish(w->ctx, &w->cur, how->flags, false, out)
				  : -EAGAIN;
	}
	err = created ? 0 : sticky_create_check(w, d->inode);
	if (err) {
		dentry_put(d);
		return err;
	}
	err = walk_step(w, d);
	if (!err && S_ISDIR(w->cur.dentry->inode->mode))
		err = -EISDIR;
	if (!err)
		err = open_finish(w->ctx, &w->cur, how->flags, created, out);
	if (!err && created)
		(*out)->state |= FILE_CREATED;
	return err;
}

static int open_create(const struct vfs_view *v, int dirfd, const char *path,
	const struct open_how_k *how, struct file **out)
{
	struct walk w;
	int err = walk_start(&w, v, dirfd, path, how->walk);
	if (err)
		return err;
	for (;;) {
		err = walk_to_parent(&w);
		if (err)
			break;
		if (w.last.type != LAST_NORM) {
			err = walk_last_special(&w);
			if (!err)
				err = how->flags & O_EXCL ? -EEXIST : -EISDIR;
			break;
		}
		if (w.trailing) {
			err = -EISDIR;
			break;
		}
		err = open_last(&w, how, out);
		if (err != -EAGAIN)
			break;
	}
	walk_end(&w);
	return err;
}

static int open_tmpfile(const struct vfs_view *v, int dirfd, const char *path,
	const struct open_how_k *how, struct file **out)
{
	struct path dir;
	uint32_t mode = (how->mode & 07777 & ~READ_ONCE(v->fs->umask)) | S_IFREG, uid, gid;
	int err = vfs_lookup(v, dirfd, path, how->walk | WALK_DIRECTORY, &dir);
	if (err)
		return err;
	struct inode *di = dir.dentry->inode;
	struct dentry *d = NULL;
	err = mount_want_write(dir.mnt);
	if (!err)
		err = inode_permission(v->ctx, di, MAY_WRITE | MAY_EXEC);
	if (!err && !inode_ops(di)->tmpfile)
		err = -EOPNOTSUPP;
	if (!err) {
		d = dentry_alloc(dir.dentry->sb, dir.dentry, "#tmpfile", 8);
		err = d ? 0 : -ENOMEM;
	}
	if (!err) {
		vfs_new_owner(v->ctx, di, &mode, &uid, &gid);
		dentry_mark(d, DENTRY_DELETED, 0);
		mutex_lock(&d->sb->tree);
		err = inode_ops(di)->tmpfile(v->ctx, di, d, mode, uid, gid);
		mutex_unlock(&d->sb->tree);
	}
	if (!err) {
		struct path p = {dir.mnt, d};
		if (!(how->flags & O_EXCL))
			d->inode->flags |= INODE_FLAG_LINKABLE;
		err = open_finish(v->ctx, &p, how->flags & ~(uint64_t)(O_EXCL | O_CREAT | O_TRUNC),
			true, out);
	}
	dentry_put(d);
	path_put(&dir);
	return err;
}

static int check_flags(const struct open_how_k *how, uint64_t *flags)
{
	uint64_t f = how->flags;
	if (f & O_PATH)
		f &= O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC;
	if ((f & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	if (f & TMPFILE_BIT) {
		if ((f & O_TMPFILE) != O_TMPFILE || (f & O_ACCMODE) == O_RDONLY)
			return -EINVAL;
	}
	if ((how->walk & WALK_CACHED) && (f & (O_TRUNC | O_CREAT | TMPFILE_BIT)))
		return -EAGAIN;
	*flags = f;
	return 0;
}

int vfs_openat(const struct vfs_view *v, int dirfd, const char *path, const struct open_how_k *how,
	struct file **out)
{
	struct open_how_k h = *how;
	struct path p;
	int err = check_flags(how, &h.flags);
	if (err)
		return err;
	if (h.flags & O_NOFOLLOW)
		h.walk |= WALK_NOFOLLOW;
	if ((h.flags & O_TMPFILE) == O_TMPFILE)
		return open_tmpfile(v, dirfd, path, &h, out);
	if (h.flags & O_CREAT)
		return open_create(v, dirfd, path, &h, out);
	if (h.flags & O_DIRECTORY)
		h.walk |= WALK_DIRECTORY;
	err = vfs_lookup(v, dirfd, path, h.walk, &p);
	if (err)
		return err;
	if (h.flags & O_PATH)
		err = open_opath(v->ctx, &p, h.flags, out);
	else
		err = open_finish(v->ctx, &p, h.flags, false, out);
	path_put(&p);
	return err;
}
