/* Directories and attributes of tmpfs.  The dentry tree is the directory; sb->tree is held. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>

#include "lib/abi/mman.h"
#include "sentry/fs/tmpfs/tmpfs_priv.h"

#define DIRENT_SIZE 20 /* what Linux' tmpfs counts for an entry */

static void dir_changed(struct inode *dir, int entries, int links)
{
	struct ktime now = ktime_now();
	mutex_lock(&dir->lock);
	dir->size = (uint64_t)((int64_t)dir->size + entries * DIRENT_SIZE);
	dir->nlink = (uint32_t)((int)dir->nlink + links);
	dir->mtime = dir->ctime = now;
	mutex_unlock(&dir->lock);
}

static void links_changed(struct inode *i, int links)
{
	struct ktime now = ktime_now();
	mutex_lock(&i->lock);
	i->nlink = (uint32_t)((int)i->nlink + links);
	i->ctime = now;
	mutex_unlock(&i->lock);
}

static void give_name(struct inode *dir, struct dentry *d, struct inode *i)
{
	dentry_mark(d, DENTRY_PERSISTENT, 0);
	dentry_instantiate(d, i);
	dir_changed(dir, 1, S_ISDIR(i->mode) ? 1 : 0);
}

static int tmpfs_create(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev)
{
	int err;
	struct inode *i = tmpfs_inode_new(dir->sb, mode, uid, gid, &err);
	if (!i)
		return err;
	i->rdev = rdev;
	give_name(dir, d, i);
	return 0;
}

static int tmpfs_symlink(struct ctx *ctx, struct inode *dir, struct dentry *d, const char *target,
	uint32_t uid, uint32_t gid)
{
	int err;
	struct inode *i = tmpfs_inode_new(dir->sb, S_IFLNK | 0777, uid, gid, &err);
	if (!i)
		return err;
	i->size = strlen(target);
	tmpfs_i(i)->target = buf_strndup(target, i->size);
	if (!tmpfs_i(i)->target) {
		inode_put(i);
		return -ENOMEM;
	}
	give_name(dir, d, i);
	return 0;
}

static int tmpfs_link(struct ctx *ctx, struct inode *dir, struct dentry *d, struct inode *target,
	struct dentry *target_dentry)
{
	/* The first name of an O_TMPFILE is not a second inode's worth. */
	links_changed(target, 1);
	give_name(dir, d, inode_get(target));
	return 0;
}

static int tmpfs_unlink(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	dir_changed(dir, -1, 0);
	links_changed(d->inode, -1);
	return 0;
}

static int tmpfs_rmdir(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	if (d->children.node)
		return -ENOTEMPTY;
	dir_changed(dir, -1, -1);
	links_changed(d->inode, -2);
	return 0;
}

static int tmpfs_rename(struct ctx *ctx, struct inode *olddir, struct dentry *old,
	struct inode *newdir, struct dentry *new, uint32_t flags)
{
	bool isdir = S_ISDIR(old->inode->mode);
	if (flags & RENAME_EXCHANGE) {
		int delta = (int)isdir - (int)S_ISDIR(new->inode->mode);
		dir_changed(olddir, 0, olddir == newdir ? 0 : -delta);
		dir_changed(newdir, 0, olddir == newdir ? 0 : delta);
		links_changed(old->inode, 0);
		links_changed(new->inode, 0);
		return 0;
	}
	if (new->inode) {
		int err = isdir ? tmpfs_rmdir(ctx, newdir, new) : tmpfs_unlink(ctx, newdir, new);
		if (err)
			return err;
	}
	dir_changed(olddir, -1, isdir ? -1 : 0);
	dir_changed(newdir, 1, isdir ? 1 : 0);
	links_changed(old->inode, 0);
	dentry_mark(old, DENTRY_PERSISTENT, 0);
	return 0;
}

static int tmpfs_tmpfile(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid)
{
	int err;
	struct inode *i = tmpfs_inode_new(dir->sb, mode, uid, gid, &err);
	if (!i)
		return err;
	i->nlink = 0;
	dentry_instantiate(d, i);
	return 0;
}

static ssize_t tmpfs_readlink(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	size_t len = MIN(n, i->size);
	memcpy(buf, tmpfs_i(i)->target, len);
	return (ssize_t)len;
}

static int tmpfs_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	struct tmpfs_inode *t = tmpfs_i(i);
	inode_generic_stat(i, st);
	mutex_lock(&i->lock);
	st->blocks = S_ISREG(i->mode) ? t->nr_pages * (PAGE_SIZE / 512) : 0;
	mutex_unlock(&i->lock);
	st->has_btime = true;
	return 0;
}

static int tmpfs_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	struct tmpfs_inode *t = tmpfs_i(i);
	if ((a->valid & ATTR_MODE) && (t->seals & F_SEAL_EXEC) && ((i->mode ^ a->mode) & 0111))
		return -EPERM;
	if (a->valid & ATTR_SIZE) {
		int err = tmpfs_truncate(t, a->size);
		if (err)
			return err;
	}
	return inode_generic_setattr(i, a);
}

static int tmpfs_open(struct ctx *ctx, struct inode *i, struct file *f)
{
	f->type = S_ISDIR(i->mode) ? FILE_DIR : FILE_TMPFS_REG;
	return 0;
}

const struct inode_ops tmpfs_inode_ops = {.create = tmpfs_create,
	.symlink = tmpfs_symlink,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rmdir = tmpfs_rmdir,
	.rename = tmpfs_rename,
	.tmpfile = tmpfs_tmpfile,
	.readlink = tmpfs_readlink,
	.getattr = tmpfs_getattr,
	.setattr = tmpfs_setattr,
	.open = tmpfs_open,
	.getxattr = tmpfs_getxattr,
	.setxattr = tmpfs_setxattr,
	.listxattr = tmpfs_listxattr,
	.removexattr = tmpfs_removexattr};
