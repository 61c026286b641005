/*
 * The verbs that change directories: mkdir, mknod, symlink, link, unlink,
 * rename.  The order of checks follows Linux' fs/namei.c, because the errno of
 * a call that is wrong in two ways is visible.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "sentry/vfs/vfs_priv.h"

int may_create(struct ctx *ctx, struct dentry *dir)
{
	if (dentry_is(dir, DENTRY_DELETED))
		return -ENOENT;
	return inode_permission(ctx, dir->inode, MAY_WRITE | MAY_EXEC);
}

static bool sticky_forbids(struct ctx *ctx, struct inode *dir, struct inode *victim)
{
	uint32_t fsuid = ctx->cred->fsuid;
	if (!(dir->mode & S_ISVTX) || victim->uid == fsuid || dir->uid == fsuid)
		return false;
	return !ctx_capable(ctx, CAP_FOWNER);
}

static int may_delete(struct ctx *ctx, struct dentry *dir, struct dentry *victim, bool isdir)
{
	if (dentry_is(dir, DENTRY_DELETED))
		return -ENOENT;
	int err = inode_permission(ctx, dir->inode, MAY_WRITE | MAY_EXEC);
	if (err)
		return err;
	if ((dir->inode->flags & INODE_FLAG_APPEND) ||
		sticky_forbids(ctx, dir->inode, victim->inode) ||
		(victim->inode->flags & (INODE_FLAG_APPEND | INODE_FLAG_IMMUTABLE)))
		return -EPERM;
	if (isdir) {
		if (!S_ISDIR(victim->inode->mode))
			return -ENOTDIR;
		if (!victim->parent)
			return -EBUSY;
	} else if (S_ISDIR(victim->inode->mode)) {
		return -EISDIR;
	}
	return 0;
}

/* On success *d is the negative dentry to fill and the tree lock is held: create_end. */
static int create_begin(struct walk *w, const struct vfs_view *v, int dirfd, const char *path,
	bool isdir, struct dentry **d) TRY_ACQUIRE(0, w->cur.dentry->sb->tree)
{
	int err = walk_start(w, v, dirfd, path, 0);
	if (err)
		return err;
	err = walk_to_parent(w);
	if (!err && w->last.type != LAST_NORM)
		err = -EEXIST;
	if (!err && w->last.len > VFS_NAME_MAX)
		err = -ENAMETOOLONG;
	if (err)
		goto out;
	struct dentry *dir = w->cur.dentry;
	mutex_lock(&dir->sb->tree);
	err = dentry_lookup(w->ctx, dir, w->last.name, w->last.len, d);
	if (err)
		goto unlock;
	if ((*d)->inode)
		err = -EEXIST;
	else if (w->trailing && !isdir)
		err = -ENOENT;
	else
		err = mount_want_write(w->cur.mnt);
	if (!err)
		err = may_create(w->ctx, dir);
	if (!err)
		return 0;
	dentry_put(*d);
unlock:
	mutex_unlock(&dir->sb->tree);
out:
	walk_end(w);
	return err;
}

static void create_end(struct walk *w, struct dentry *d, int err, uint32_t event)
	RELEASE(w->cur.dentry->sb->tree)
{
	if (!err && d->inode && !dentry_is(d, DENTRY_HASHED))
		dentry_hash(d);
	mutex_unlock(&w->cur.dentry->sb->tree);
	if (!err)
		notify_dir(w->cur.dentry->inode, event, w->name, w->last.len, 0);
	dentry_put(d);
	walk_end(w);
}

static int make_node(struct walk *w, struct dentry *d, uint32_t mode, uint64_t rdev)
	REQUIRES(w->cur.dentry->sb->tree)
{
	struct inode *dir = w->cur.dentry->inode;
	uint32_t uid, gid;
	if (!inode_ops(dir)->create)
		return -EPERM;
	vfs_new_owner(w->ctx, dir, &mode, &uid, &gid);
	return inode_ops(dir)->create(w->ctx, dir, d, mode, uid, gid, rdev);
}

int vfs_mkdirat(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode)
{
	struct walk w;
	struct dentry *d;
	int err = create_begin(&w, v, dirfd, path, true, &d);
	if (err)
		return err;
	mode = (mode & (0777 | S_ISVTX) & ~READ_ONCE(v->fs->umask)) | S_IFDIR;
	err = make_node(&w, d, mode, 0);
	create_end(&w, d, err, IN_CREATE | IN_ISDIR);
	return err;
}

int vfs_mknod_path(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode,
	uint64_t rdev, struct path *out)
{
	struct walk w;
	struct dentry *d;
	uint32_t type = mode & S_IFMT;
	if (type == S_IFDIR)
		return -EPERM;
	if (type == 0)
		type = S_IFREG;
	if (type != S_IFREG && type != S_IFCHR && type != S_IFBLK && type != S_IFIFO &&
		type != S_IFSOCK)
		return -EINVAL;
	int err = create_begin(&w, v, dirfd, path, false, &d);
	if (err)
		return err;
	bool whiteout = type == S_IFCHR && rdev == 0;
	if ((type == S_IFCHR || type == S_IFBLK) && !whiteout && !ctx_capable(v->ctx, CAP_MKNOD))
		err = -EPERM;
	else
		err = make_node(&w, d, (mode & 07777 & ~READ_ONCE(v->fs->umask)) | type,
			type == S_IFCHR || type == S_IFBLK ? rdev : 0);
	if (!err && out)
		*out = path_get(&(struct path){w.cur.mnt, d});
	create_end(&w, d, err, IN_CREATE);
	return err;
}

int vfs_mknodat(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode, uint64_t rdev)
{
	return vfs_mknod_path(v, dirfd, path, mode, rdev, NULL);
}

int vfs_symlinkat(const struct vfs_view *v, const char *target, int dirfd, const char *path)
{
	struct walk w;
	struct dentry *d;
	uint32_t mode = S_IFLNK | 0777, uid, gid;
	if (!*target)
		return -ENOENT;
	if (strlen(target) >= VFS_PATH_MAX)
		return -ENAMETOOLONG;
	int err = create_begin(&w, v, dirfd, path, false, &d);
	if (err)
		return err;
	struct inode *dir = w.cur.dentry->inode;
	if (inode_ops(dir)->symlink) {
		vfs_new_owner(v->ctx, dir, &mode, &uid, &gid);
		err = inode_ops(dir)->symlink(v->ctx, dir, d, target, uid, gid);
	} else {
		err = -EPERM;
	}
	create_end(&w, d, err, IN_CREATE);
	return err;
}

/* fs.protected_hardlinks (proc_sys_fs(5)). */
static int may_link(struct ctx *ctx, struct inode *i)
{
	if (!vfs->sysctl.protected_hardlinks || ctx->cred->fsuid == i->uid ||
		ctx_capable(ctx, CAP_FOWNER))
		return 0;
	if (!S_ISREG(i->mode) || (i->mode & S_ISUID) ||
		(i->mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
		inode_permission(ctx, i, MAY_READ | MAY_WRITE))
		return -EPERM;
	return 0;
}

static int link_locked(struct walk *w, struct dentry *d, const struct path *old)
	REQUIRES(w->cur.dentry->sb->tree)
{
	struct inode *dir = w->cur.dentry->inode, *i = old->dentry->inode;
	if (old->mnt != w->cur.mnt)
		return -EXDEV;
	int err = may_link(w->ctx, i);
	if (err)
		return err;
	if (i->sb != dir->sb)
		return -EXDEV;
	if ((i->flags & (INODE_FLAG_APPEND | INODE_FLAG_IMMUTABLE)) || S_ISDIR(i->mode) ||
		!inode_ops(dir)->link)
		return -EPERM;
	if (i->nlink == 0 && !(i->flags & INODE_FLAG_LINKABLE))
		return -ENOENT;
	return inode_ops(dir)->link(w->ctx, dir, d, i, old->dentry);
}

int vfs_linkat(const struct vfs_view *v, int olddirfd, const char *old, int newdirfd,
	const char *new, int at_flags)
{
	struct walk w;
	struct dentry *d;
	struct path src;
	if (at_flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	uint32_t walk = at_flags & AT_SYMLINK_FOLLOW ? 0 : WALK_NOFOLLOW;
	if (at_flags & AT_EMPTY_PATH) {
		if (!*old && !ctx_capable(v->ctx, CAP_DAC_READ_SEARCH))
			return -ENOENT;
		walk |= WALK_EMPTY_PATH;
	}
	int err = vfs_lookup(v, olddirfd, old, walk, &src);
	if (err)
		return err;
	err = create_begin(&w, v, newdirfd, new, false, &d);
	if (!err) {
		err = link_locked(&w, d, &src);
		if (!err)
			notify_inode(src.dentry->inode, IN_ATTRIB);
		create_end(&w, d, err, IN_CREATE);
	}
	path_put(&src);
	return err;
}

static int unlink_type(const struct walk *w, bool isdir)
{
	switch (w->last.type) {
	case LAST_NORM:
		return w->last.len > VFS_NAME_MAX ? -ENAMETOOLONG : 0;
	case LAST_DOTDOT:
		return isdir ? -ENOTEMPTY : -EISDIR;
	case LAST_DOT:
		return isdir ? -EINVAL : -EISDIR;
	default:
		return isdir ? -EBUSY : -EISDIR;
	}
}

static int unlink_locked(struct walk *w, struct dentry *d, bool isdir)
	REQUIRES(w->cur.dentry->sb->tree)
{
	struct dentry *dir = w->cur.dentry;
	if (!d->inode)
		return -ENOENT;
	if (!isdir && w->trailing)
		return S_ISDIR(d->inode->mode) ? -EISDIR : -ENOTDIR;
	int err = may_delete(w->ctx, dir, d, isdir);
	if (err)
		return err;
	const struct inode_ops *ops = inode_ops(dir->inode);
	if (isdir ? !ops->rmdir : !ops->unlink)
		return -EPERM;
	if (mount_is_local_mountpoint(w->v->ns, d))
		return -EBUSY;
	err = isdir ? ops->rmdir(w->ctx, dir->inode, d) : ops->unlink(w->ctx, dir->inode, d);
	if (!err)
		dentry_delete(d);
	return err;
}

int vfs_unlinkat(const struct vfs_view *v, int dirfd, const char *path, int at_flags)
{
	struct walk w;
	struct dentry *d = NULL;
	bool isdir = at_flags & AT_REMOVEDIR;
	if (at_flags & ~AT_REMOVEDIR)
		return -EINVAL;
	int err = walk_start(&w, v, dirfd, path, 0);
	if (err)
		return err;
	err = walk_to_parent(&w);
	if (!err)
		err = unlink_type(&w, isdir);
	if (!err)
		err = mount_want_write(w.cur.mnt);
	if (!err) {
		mutex_lock(&w.cur.dentry->sb->tree);
		err = dentry_lookup(v->ctx, w.cur.dentry, w.last.name, w.last.len, &d);
		if (!err)
			err = unlink_locked(&w, d, isdir);
		mutex_unlock(&w.cur.dentry->sb->tree);
	}
	if (!err) {
		uint32_t dirbit = isdir ? IN_ISDIR : 0;
		mount_detach_dentry(d);
		if (!isdir)
			notify_inode(d->inode, IN_ATTRIB);
		/* As on Linux: if nobody else holds the inode, its own end comes first. */
		notify_unlinked(d);
		dentry_put(d);
		d = NULL;
		notify_dir(w.cur.dentry->inode, IN_DELETE | dirbit, w.name, w.last.len, 0);
	}
	dentry_put(d);
	walk_end(&w);
	return err;
}

struct rename_op {
	struct walk *ow, *nw;
	struct dentry *old, *new; /* references */
	uint32_t flags;
};

/* Is d, a name in the directory of its, the directory of other or above it?  Looks at all that is
 * above other: not where the answer is clear. */
static bool is_above(const struct dentry *d, const struct walk *its, const struct walk *other)
{
	return S_ISDIR(d->inode->mode) && its->cur.dentry != other->cur.dentry &&
	       dentry_is_ancestor(d, other->cur.dentry);
}

/* What Linux' do_renameat2 checks once both names are looked up. */
static int rename_check_names(struct rename_op *r)
{
	bool exchange = r->flags & RENAME_EXCHANGE;
	if (!r->old->inode)
		return -ENOENT;
	if ((r->flags & RENAME_NOREPLACE) && r->new->inode)
		return -EEXIST;
	if (exchange) {
		if (!r->new->inode)
			return -ENOENT;
		if (!S_ISDIR(r->new->inode->mode) && r->nw->trailing)
			return -ENOTDIR;
	}
	if (!S_ISDIR(r->old->inode->mode)) {
		if (r->ow->trailing || (!exchange && r->nw->trailing))
			return -ENOTDIR;
	}
	if (is_above(r->old, r->ow, r->nw))
		return -EINVAL;
	if (r->new->inode && is_above(r->new, r->nw, r->ow))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

static int rename_check_perms(struct rename_op *r)
{
	struct ctx *ctx = r->ow->ctx;
	struct dentry *od = r->ow->cur.dentry, *nd = r->nw->cur.dentry;
	bool isdir = S_ISDIR(r->old->inode->mode), exchange = r->flags & RENAME_EXCHANGE;
	bool newdir = r->new->inode &&S_ISDIR(r->new->inode->mode);
	int err = may_delete(ctx, od, r->old, isdir);
	if (err)
		return err;
	if (!r->new->inode)
		err = may_create(ctx, nd);
	else
		err = may_delete(ctx, nd, r->new, exchange ? newdir : isdir);
	if (err)
		return err;
	if (!inode_ops(od->inode)->rename)
		return -EPERM;
	/* A directory's ".." is written to when its parent changes. */
	if (od != nd && isdir)
		err = inode_permission(ctx, r->old->inode, MAY_WRITE);
	if (!err && od != nd && exchange && newdir)
		err = inode_permission(ctx, r->new->inode, MAY_WRITE);
	if (err)
		return err;
	if ((r->flags & RENAME_WHITEOUT) && !ctx_capable(ctx, CAP_MKNOD))
		return -EPERM;
	if (mount_is_local_mountpoint(r->ow->v->ns, r->old) ||
		(r->new->inode &&mount_is_local_mountpoint(r->ow->v->ns, r->new)))
		return -EBUSY;
	return 0;
}

/* A file system whose tree is the dentry cache gets the whiteout from us, once the name is free. */
static int leave_whiteout(struct rename_op *r)
{
	struct dentry *dir = r->ow->cur.dentry, *d;
	const struct inode_ops *ops = inode_ops(dir->inode);
	const struct cred *c = r->ow->ctx->cred;
	if (ops->lookup || !ops->create)
		return 0;
	int err = dentry_lookup(r->ow->ctx, dir, r->ow->last.name, r->ow->last.len, &d);
	if (err)
		return err;
	err = ops->create(r->ow->ctx, dir->inode, d, S_IFCHR, c->fsuid, c->fsgid, 0);
	if (!err)
		dentry_hash(d);
	dentry_put(d);
	return err;
}

/* 1: nothing was to be done (two names of one file). */
static int rename_locked(struct rename_op *r)
{
	struct inode *od = r->ow->cur.dentry->inode, *nd = r->nw->cur.dentry->inode;
	mutex_assert_held(&r->ow->cur.dentry->sb->tree);
	int err = rename_check_names(r);
	if (err)
		return err;
	if (r->old->inode == r->new->inode)
		return 1;
	err = rename_check_perms(r);
	if (err)
		return err;
	char *name = buf_strndup(r->new->name, r->new->name_len);
	if (!name)
		return -ENOMEM;
	err = inode_ops(od)->rename(r->ow->ctx, od, r->old, nd, r->new, r->flags);
	if (err || (r->flags & RENAME_EXCHANGE)) {
		buf_free(name, r->new->name_len + 1u);
		if (!err)
			dentry_exchange(r->old, r->new);
		return err;
	}
	dentry_move(r->old, r->new, name);
	return r->flags & RENAME_WHITEOUT ? leave_whiteout(r) : 0;
}

static void rename_notify(struct rename_op *r)
{
	uint32_t dirbit = S_ISDIR(r->old->inode->mode) ? IN_ISDIR : 0;
	uint32_t cookie = notify_next_cookie();
	struct inode *od = r->ow->cur.dentry->inode, *nd = r->nw->cur.dentry->inode;
	notify_dir(od, IN_MOVED_FROM | dirbit | (od == nd ? NOTIFY_RENAME : 0), r->ow->name,
		r->ow->last.len, cookie);
	notify_dir(nd, IN_MOVED_TO | dirbit, r->nw->name, r->nw->last.len, cookie);
	if (r->new->inode && !(r->flags & RENAME_EXCHANGE))
		notify_inode(r->new->inode, IN_ATTRIB);
	notify_inode(r->old->inode, IN_MOVE_SELF);
	if (!r->new->inode)
		return;
	if (r->flags & RENAME_EXCHANGE) {
		dirbit = S_ISDIR(r->new->inode->mode) ? IN_ISDIR : 0;
		cookie = notify_next_cookie();
		notify_dir(nd, IN_MOVED_FROM | dirbit, r->nw->name, r->nw->last.len, cookie);
		notify_dir(od, IN_MOVED_TO | dirbit, r->ow->name, r->ow->last.len, cookie);
		notify_inode(r->new->inode, IN_MOVE_SELF);
	} else {
		mount_detach_dentry(r->new);
		notify_unlinked(r->new);
	}
}

static int rename_run(struct rename_op *r)
{
	struct walk *ow = r->ow, *nw = r->nw;
	if (ow->cur.mnt != nw->cur.mnt)
		return -EXDEV;
	if (ow->last.type != LAST_NORM)
		return -EBUSY;
	if (nw->last.type != LAST_NORM)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	int err = mount_want_write(ow->cur.mnt);
	if (err)
		return err;
	if (ow->last.len > VFS_NAME_MAX || nw->last.len > VFS_NAME_MAX)
		return -ENAMETOOLONG;
	struct sb *sb = ow->cur.dentry->sb;
	mutex_lock(&sb->tree);
	err = dentry_lookup(ow->ctx, ow->cur.dentry, ow->last.name, ow->last.len, &r->old);
	if (!err && !r->old->inode)
		err = -ENOENT;
	if (!err)
		err = dentry_lookup(nw->ctx, nw->cur.dentry, nw->last.name, nw->last.len, &r->new);
	if (!err)
		err = rename_locked(r);
	mutex_unlock(&sb->tree);
	if (!err)
		rename_notify(r);
	dentry_put(r->old);
	dentry_put(r->new);
	return MIN(err, 0);
}

int vfs_renameat2(const struct vfs_view *v, int olddirfd, const char *old, int newdirfd,
	const char *new, uint32_t flags)
{
	struct walk ow, nw;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	if ((flags & RENAME_EXCHANGE) && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
		return -EINVAL;
	int err = walk_start(&ow, v, olddirfd, old, 0);
	if (err)
		return err;
	err = walk_to_parent(&ow);
	if (!err) {
		err = walk_start(&nw, v, newdirfd, new, 0);
		if (!err) {
			struct rename_op r = {.ow = &ow, .nw = &nw, .flags = flags};
			err = walk_to_parent(&nw);
			if (!err)
				err = rename_run(&r);
			walk_end(&nw);
		}
	}
	walk_end(&ow);
	return err;
}

ssize_t vfs_readlinkat(const struct vfs_view *v, int dirfd, const char *path, char *buf, size_t n)
{
	struct path p;
	ssize_t r = vfs_lookup(v, dirfd, path, WALK_NOFOLLOW | WALK_EMPTY_PATH, &p);
	if (r)
		return r;
	struct inode *i = p.dentry->inode;
	if (!*path && !S_ISLNK(i->mode))
		r = -ENOENT;
	else if (!S_ISLNK(i->mode) || !inode_ops(i)->readlink)
		r = -EINVAL;
	else
		r = inode_ops(i)->readlink(v->ctx, i, buf, n);
	path_put(&p);
	return r;
}
