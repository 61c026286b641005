/* Names and attributes of the merged tree. */
#include <errno.h>
#include <string.h>

#include "sentry/fs/overlay/overlay_priv.h"

/* Layers are changed with the mounter's credentials: the VFS has checked the caller's. */
static void layer_ctx(struct ctx *k, const struct inode *i)
{
	ctx_init_kernel(k, overlay_sb(i->sb)->cred);
}

static bool is_later(const struct ktime *a, const struct ktime *b)
{
	return a->sec != b->sec ? a->sec > b->sec : a->nsec > b->nsec;
}

int overlay_sync_attr(struct ctx *ctx, struct overlay_inode *o)
{
	struct kstat st;
	struct inode *i = &o->inode;
	int r = inode_getattr(ctx, overlay_real(o)->inode, &st);
	if (r < 0)
		return r;
	mutex_lock(&i->lock);
	i->mode = (i->mode & S_IFMT) | (st.mode & 07777);
	i->uid = st.uid;
	i->gid = st.gid;
	/* A file that was copied up while other names of it stay below counts as long as it has
	 * a name; an unlinked one stays unlinked. */
	if (!(S_ISREG(i->mode) && i->nlink == 0))
		i->nlink = st.nlink ? st.nlink : i->nlink;
	i->size = st.size;
	/* Reads touch the overlay's inode only: the real ones are read by the kernel itself. */
	if (is_later(&st.atime, &i->atime))
		i->atime = st.atime;
	i->mtime = st.mtime;
	i->ctime = st.ctime;
	i->btime = st.btime;
	mutex_unlock(&i->lock);
	return 0;
}

/* --- lookup --- */

/* The lower dentry of a name, if lower entries show through in dir. */
static int find_lower(struct ctx *k, struct overlay_inode *dir, struct dentry *d, struct dentry **out)
{
	struct dentry *low = overlay_merged(dir);
	*out = NULL;
	return low ? layer_lookup(k, low, d->name, d->name_len, out) : 0;
}

static int overlay_lookup(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct overlay_inode *o = overlay_i(dir);
	struct dentry *up = NULL, *low = NULL;
	struct ctx k;
	layer_ctx(&k, dir);
	int r = o->upper ? layer_lookup(&k, o->upper, d->name, d->name_len, &up) : 0;
	bool hidden = up && layer_is_whiteout(up);
	if (r == 0 && !hidden)
		r = find_lower(&k, o, d, &low);
	/* A directory merges with a directory only; anything else hides what is below, though a
	 * copied-up file keeps its lower twin as its identity. */
	if (r == 0 && up && low && !hidden &&
		(up->inode->mode & S_IFMT) != (low->inode->mode & S_IFMT)) {
		dentry_put(low);
		low = NULL;
	}
	if (r == 0 && !hidden && (up || low)) {
		struct inode *i = overlay_inode_make(dir->sb, up, low);
		if (i) {
			/* Known by its lower inode only, found copied up now. */
			if (up && !overlay_i(i)->upper)
				overlay_i(i)->upper = dentry_get(up);
			dentry_instantiate(d, i);
		}
		r = i ? 0 : -ENOMEM;
	}
	if (up)
		dentry_put(up);
	if (low)
		dentry_put(low);
	return r;
}

/* --- making names --- */

/* dir is in the upper layer and a whiteout at the name is gone: 1 if there was one. */
static int prepare_name(struct ctx *k, struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct overlay_inode *o = overlay_i(dir);
	int r = overlay_copy_up_locked(ctx, o);
	return r < 0 ? r : layer_clear_whiteout(k, o->upper, d->name, d->name_len);
}

static int adopt(struct ctx *k, struct inode *dir, struct dentry *d, struct dentry *up, bool opaque)
{
	struct inode *i = overlay_inode_make(dir->sb, up, NULL);
	dentry_put(up);
	if (!i)
		return -ENOMEM;
	if (opaque)
		overlay_i(i)->opaque = true;
	dentry_instantiate(d, i);
	return overlay_sync_attr(k, overlay_i(dir));
}

static int overlay_create(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev)
{
	struct ctx k;
	struct dentry *up;
	layer_ctx(&k, dir);
	int hidden = prepare_name(&k, ctx, dir, d);
	if (hidden < 0)
		return hidden;
	int r = layer_create(&k, overlay_i(dir)->upper, d->name, d->name_len, mode, uid, gid, rdev,
		&up);
	if (r == 0)
		return adopt(&k, dir, d, up, true);
	if (hidden)
		layer_whiteout(&k, overlay_i(dir)->upper, d->name, d->name_len);
	return r;
}

static int overlay_symlink(struct ctx *ctx, struct inode *dir, struct dentry *d, const char *target,
	uint32_t uid, uint32_t gid)
{
	struct ctx k;
	struct dentry *up;
	layer_ctx(&k, dir);
	int r = prepare_name(&k, ctx, dir, d);
	if (r < 0)
		return r;
	r = layer_symlink(
		&k, overlay_i(dir)->upper, d->name, d->name_len, target, uid, gid, &up);
	return r < 0 ? r : adopt(&k, dir, d, up, false);
}

static int overlay_link(struct ctx *ctx, struct inode *dir, struct dentry *d, struct inode *target,
	struct dentry *target_dentry)
{
	struct overlay_inode *o = overlay_i(target);
	struct ctx k;
	layer_ctx(&k, dir);
	int r = overlay_copy_up_locked(ctx, o);
	if (r == 0)
		r = prepare_name(&k, ctx, dir, d);
	if (r < 0)
		return r;
	r = layer_link(&k, overlay_i(dir)->upper, d->name, d->name_len, o->upper, NULL);
	if (r < 0)
		return r;
	if (target->nlink == 0)
		target->nlink = 1;
	overlay_sync_attr(&k, o);
	dentry_instantiate(d, inode_get(target));
	return overlay_sync_attr(&k, overlay_i(dir));
}

static int overlay_tmpfile(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
	uint32_t uid, uint32_t gid)
{
	struct ctx k;
	struct dentry *up;
	layer_ctx(&k, dir);
	int r = overlay_copy_up_locked(ctx, overlay_i(dir));
	if (r == 0)
		r = layer_tmpfile(&k, overlay_i(dir)->upper, mode, uid, gid, &up);
	if (r < 0)
		return r;
	struct inode *i = overlay_inode_make(dir->sb, up, NULL);
	dentry_put(up);
	if (!i)
		return -ENOMEM;
	i->nlink = 0;
	dentry_instantiate(d, i);
	return 0;
}

/* --- removing names --- */

/* Takes a name away in the upper layer and hides what is below it. */
static int take_away(struct ctx *k, struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct overlay_inode *o = overlay_i(dir);
	struct dentry *up, *low;
	int r = overlay_copy_up_locked(ctx, o);
	if (r == 0)
		r = find_lower(k, o, d, &low);
	if (r < 0)
		return r;
	r = layer_lookup(k, o->upper, d->name, d->name_len, &up);
	if (r == 0 && up) {
		r = layer_remove(k, o->upper, up);
		dentry_put(up);
	}
	if (r == 0 && low)
		r = layer_whiteout(k, o->upper, d->name, d->name_len);
	if (low)
		dentry_put(low);
	return r;
}

static void lost_name(struct ctx *k, struct inode *dir, struct inode *i)
{
	mutex_lock(&i->lock);
	if (S_ISDIR(i->mode))
		i->nlink = 0;
	else if (i->nlink)
		i->nlink--;
	i->ctime = ktime_now();
	mutex_unlock(&i->lock);
	overlay_sync_attr(k, overlay_i(dir));
}

static int overlay_unlink(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct ctx k;
	layer_ctx(&k, dir);
	int r = take_away(&k, ctx, dir, d);
	if (r == 0)
		lost_name(&k, dir, d->inode);
	return r;
}

static int overlay_rmdir(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct ctx k;
	layer_ctx(&k, dir);
	int r = overlay_dir_empty(&k, d);
	if (r == 0)
		r = overlay_dir_clear(&k, overlay_i(d->inode));
	if (r == 0)
		r = take_away(&k, ctx, dir, d);
	if (r == 0)
		lost_name(&k, dir, d->inode);
	return r;
}

/* --- rename --- */

static int rename_exchange(struct ctx *k, struct ctx *ctx, struct dentry *old, struct dentry *new,
	struct inode *newdir)
{
	int r = overlay_copy_up_tree(ctx, new);
	if (r < 0)
		return r;
	return layer_rename(k, overlay_i(old->inode)->upper, overlay_i(newdir)->upper, new->name,
		new->name_len, true);
}

static int rename_over(struct ctx *k, struct dentry *old, struct inode *olddir, struct dentry *new,
	struct inode *newdir)
{
	struct overlay_inode *od = overlay_i(olddir), *nd = overlay_i(newdir);
	struct dentry *low;
	int r = 0;
	if (new->inode && S_ISDIR(new->inode->mode)) {
		r = overlay_dir_empty(k, new);
		if (r == 0)
			r = overlay_dir_clear(k, overlay_i(new->inode));
	}
	if (r == 0)
		r = layer_clear_whiteout(k, nd->upper, new->name, new->name_len);
	if (r >= 0)
		r = find_lower(k, od, old, &low);
	if (r < 0)
		return r;
	r = layer_rename(k, overlay_i(old->inode)->upper, nd->upper, new->name, new->name_len, false);
	if (r == 0 && low)
		r = layer_whiteout(k, od->upper, old->name, old->name_len);
	if (low)
		dentry_put(low);
	return r;
}

#define EXCHANGE_FLAG 2u
#define WHITEOUT_FLAG 4u

static int overlay_rename(struct ctx *ctx, struct inode *olddir, struct dentry *old,
	struct inode *newdir, struct dentry *new, uint32_t flags)
{
	struct ctx k;
	layer_ctx(&k, olddir);
	if (flags & WHITEOUT_FLAG)
		return -EINVAL;
	int r = overlay_copy_up_tree(ctx, old);
	if (r == 0)
		r = overlay_copy_up_locked(ctx, overlay_i(olddir));
	if (r == 0)
		r = overlay_copy_up_locked(ctx, overlay_i(newdir));
	if (r == 0)
		r = flags & EXCHANGE_FLAG ? rename_exchange(&k, ctx, old, new, newdir)
					  : rename_over(&k, old, olddir, new, newdir);
	if (r < 0)
		return r;
	if (new->inode && !(flags & EXCHANGE_FLAG))
		lost_name(&k, newdir, new->inode);
	overlay_sync_attr(&k, overlay_i(olddir));
	overlay_sync_attr(&k, overlay_i(newdir));
	return overlay_sync_attr(&k, overlay_i(old->inode));
}

/* --- the rest --- */

static ssize_t overlay_readlink(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	struct inode *real = overlay_real(overlay_i(i))->inode;
	return inode_ops(real)->readlink(ctx, real, buf, n);
}

static int overlay_getattr(struct ctx *ctx, struct inode *i, struct kstat *st)
{
	struct overlay_inode *o = overlay_i(i);
	struct kstat real;
	struct ctx k;
	layer_ctx(&k, i);
	int r = overlay_sync_attr(&k, o);
	if (r == 0)
		r = inode_getattr(&k, overlay_real(o)->inode, &real);
	if (r < 0)
		return r;
	inode_generic_stat(i, st);
	st->blocks = real.blocks;
	st->blksize = real.blksize;
	st->has_btime = real.has_btime;
	if (S_ISDIR(i->mode) && o->upper && overlay_merged(o))
		st->nlink = 1; /* as overlayfs: the number of subdirectories is not known */
	return 0;
}

static int overlay_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	struct overlay_inode *o = overlay_i(i);
	struct ctx k;
	uint64_t old_size = i->size;
	int r = overlay_copy_up(ctx, o);
	if (r < 0)
		return r;
	layer_ctx(&k, i);
	r = inode_setattr(&k, o->upper->inode, a);
	if (r == 0 && (a->valid & (ATTR_ATIME | ATTR_ATIME_NOW)))
		i->atime = (struct ktime){INT64_MIN, 0}; /* also back in time */
	if (r == 0)
		r = overlay_sync_attr(&k, o);
	if (r == 0 && (a->valid & ATTR_SIZE) && a->size < old_size)
		mappable_invalidate(
			&o->map, PAGE_ALIGN_UP(a->size), UINT64_MAX & PAGE_MASK, true);
	return r;
}

static int overlay_open(struct ctx *ctx, struct inode *i, struct file *f)
{
	struct overlay_inode *o = overlay_i(i);
	struct file *real;
	if (S_ISDIR(i->mode)) {
		f->type = FILE_OVERLAY_DIR;
		return 0;
	}
	f->type = FILE_OVERLAY_REG;
	int r = f->mode & FMODE_WRITE ? overlay_copy_up(ctx, o) : 0;
	return r < 0 ? r : overlay_real_file(ctx, o, f->mode & FMODE_WRITE, &real);
}

static ssize_t overlay_getxattr(struct ctx *ctx, struct inode *i, const char *name, void *buf, size_t n)
{
	struct inode *real = overlay_real(overlay_i(i))->inode;
	return inode_ops(real)->getxattr ? inode_ops(real)->getxattr(ctx, real, name, buf, n)
					 : -EOPNOTSUPP;
}

static int overlay_setxattr(struct ctx *ctx, struct inode *i, const char *name, const void *v,
	size_t n, int flags)
{
	int r = overlay_copy_up(ctx, overlay_i(i));
	struct inode *real = overlay_real(overlay_i(i))->inode;
	if (r < 0)
		return r;
	return inode_ops(real)->setxattr ? inode_ops(real)->setxattr(ctx, real, name, v, n, flags)
					 : -EOPNOTSUPP;
}

static ssize_t overlay_listxattr(struct ctx *ctx, struct inode *i, char *buf, size_t n)
{
	struct inode *real = overlay_real(overlay_i(i))->inode;
	return inode_ops(real)->listxattr ? inode_ops(real)->listxattr(ctx, real, buf, n) : 0;
}

static int overlay_removexattr(struct ctx *ctx, struct inode *i, const char *name)
{
	int r = overlay_copy_up(ctx, overlay_i(i));
	struct inode *real = overlay_real(overlay_i(i))->inode;
	if (r < 0)
		return r;
	return inode_ops(real)->removexattr ? inode_ops(real)->removexattr(ctx, real, name)
					    : -EOPNOTSUPP;
}

const struct inode_ops overlay_inode_ops = {
	.lookup = overlay_lookup,
	.create = overlay_create,
	.symlink = overlay_symlink,
	.link = overlay_link,
	.unlink = overlay_unlink,
	.rmdir = overlay_rmdir,
	.rename = overlay_rename,
	.tmpfile = overlay_tmpfile,
	.readlink = overlay_readlink,
	.getattr = overlay_getattr,
	.setattr = overlay_setattr,
	.open = overlay_open,
	.getxattr = overlay_getxattr,
	.setxattr = overlay_setxattr,
	.listxattr = overlay_listxattr,
	.removexattr = overlay_removexattr,
};
