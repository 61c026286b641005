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

/* Names of a file that has several below: those that still show, and those made above. */
static uint32_t link_count(const struct overlay_link *l)
{
	return l->lower->inode->nlink - l->hidden + (l->upper ? l->upper->inode->nlink : 0);
}

/* o takes over what its real inode says, and puts right in *real what is its own. */
static void keep_attr(struct overlay_inode *o, const struct kstat *real) REQUIRES(o->inode.lock)
{
	struct inode *i = &o->inode;
	i->mode = (i->mode & S_IFMT) | (real->mode & 07777);
	i->uid = real->uid;
	i->gid = real->gid;
	if (o->link)
		i->nlink = link_count(o->link);
	else if (S_ISDIR(i->mode) && i->nlink && real->nlink)
		i->nlink = real->nlink; /* of other files we count ourselves; what is unlinked stays
					   so */
	WRITE_ONCE(i->size, real->size);
	/* Reads touch the overlay's inode only: the real ones are read by the kernel itself. */
	if (is_later(&real->atime, &i->atime))
		i->atime = real->atime;
	i->mtime = real->mtime;
	i->ctime = real->ctime;
	i->btime = real->btime;
}

/* gen: attr_gen before real was asked for.  What may be older than a change is told, not kept. */
static void take_attr(struct overlay_inode *o, struct kstat *real, uint32_t gen)
{
	struct inode *i = &o->inode;
	mutex_lock(&o->inode.lock);
	if (READ_ONCE(o->attr_gen) == gen)
		keep_attr(o, real);
	real->nlink = i->nlink;
	real->atime = i->atime;
	mutex_unlock(&o->inode.lock);
	real->ino = i->ino;
	real->dev = i->sb->dev;
}

int overlay_sync_attr(struct ctx *ctx, struct overlay_inode *o)
{
	struct kstat st;
	uint32_t gen = __atomic_add_fetch(&o->attr_gen, 1, __ATOMIC_ACQ_REL);
	int r = inode_getattr(ctx, overlay_real(o)->inode, &st);
	if (r == 0)
		take_attr(o, &st, gen);
	return r;
}

/* --- lookup --- */

/* The lower dentry of a name, if lower entries show through in dir. */
static int find_lower(struct ctx *k, struct overlay_inode *dir, struct dentry *d,
	struct dentry **out)
{
	struct dentry *low = overlay_merged(dir);
	*out = NULL;
	return low ? layer_lookup(k, low, d->name, d->name_len, out) : 0;
}

/* The layers' dentries of a name: none, or references. */
static int find_layers(struct ctx *k, struct overlay_inode *dir, struct dentry *d,
	struct dentry **up, struct dentry **low)
{
	struct overlay_link *link;
	*up = *low = NULL;
	int r = dir->upper ? layer_lookup(k, dir->upper, d->name, d->name_len, up) : 0;
	if (r < 0)
		return r;
	if (*up && layer_is_whiteout(*up)) {
		dentry_put(*up);
		*up = NULL;
		return 0;
	}
	/* Only a directory merges with what is below, and with a directory only. */
	if (*up && (!S_ISDIR((*up)->inode->mode) || ((*up)->inode->flags & INODE_FLAG_OPAQUE)))
		return 0;
	r = find_lower(k, dir, d, low);
	if (r == 0 && *up && *low && !S_ISDIR((*low)->inode->mode)) {
		dentry_put(*low);
		*low = NULL;
	}
	if (r == 0 && !*up && *low &&
		(link = overlay_link_find(overlay_sb(d->sb), (*low)->inode)) && link->upper)
		*up = dentry_get(link->upper);
	return r;
}

static int overlay_lookup(struct ctx *ctx, struct inode *dir, struct dentry *d)
{
	struct dentry *up, *low;
	struct ctx k;
	layer_ctx(&k, dir);
	k.ahead = ctx->ahead;
	int r = find_layers(&k, overlay_i(dir), d, &up, &low);
	if (r == 0 && (up || low)) {
		struct inode *i = overlay_inode_make(dir->sb, up, low);
		if (i)
			dentry_instantiate(d, i);
		else
			r = -ENOMEM;
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

/* The name could not be made after all: hides again what the whiteout hid. */
static int restore(struct ctx *k, struct inode *dir, struct dentry *d, int hidden, int r)
{
	if (hidden)
		layer_whiteout(k, overlay_i(dir)->upper, d->name, d->name_len);
	return r;
}

static int adopt(struct ctx *k, struct inode *dir, struct dentry *d, struct dentry *up)
{
	up->inode->ino |= OVERLAY_UPPER_INO;
	if (S_ISDIR(up->inode->mode))
		layer_set_opaque(up);
	struct inode *i = overlay_inode_make(dir->sb, up, NULL);
	dentry_put(up);
	if (!i)
		return -ENOMEM;
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
	return r < 0 ? restore(&k, dir, d, hidden, r) : adopt(&k, dir, d, up);
}

static int overlay_symlink(struct ctx *ctx, struct inode *dir, struct dentry *d, const char *target,
	uint32_t uid, uint32_t gid)
{
	struct ctx k;
	struct dentry *up;
	layer_ctx(&k, dir);
	int hidden = prepare_name(&k, ctx, dir, d);
	if (hidden < 0)
		return hidden;
	int r = layer_symlink(&k, overlay_i(dir)->upper, d->name, d->name_len, target, uid, gid,
		&up);
	return r < 0 ? restore(&k, dir, d, hidden, r) : adopt(&k, dir, d, up);
}

static int overlay_link(struct ctx *ctx, struct inode *dir, struct dentry *d, struct inode *target,
	struct dentry *target_dentry)
{
	struct overlay_inode *o = overlay_i(target);
	struct ctx k;
	layer_ctx(&k, dir);
	int hidden = overlay_copy_up_locked(ctx, o);
	if (hidden == 0)
		hidden = prepare_name(&k, ctx, dir, d);
	if (hidden < 0)
		return hidden;
	int r = layer_link(&k, overlay_i(dir)->upper, d->name, d->name_len, o->upper, NULL);
	if (r < 0)
		return restore(&k, dir, d, hidden, r);
	mutex_lock(&target->lock);
	if (!o->link)
		target->nlink++;
	mutex_unlock(&target->lock);
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
	up->inode->ino |= OVERLAY_UPPER_INO;
	struct inode *i = overlay_inode_make(dir->sb, up, NULL);
	dentry_put(up);
	if (!i)
		return -ENOMEM;
	i->nlink = 0;
	dentry_instantiate(d, i);
	return 0;
}

/* --- removing names --- */

/* A lower name of i does not show any more. */
static int hide_lower_name(struct inode *i)
{
	struct overlay_link *link;
	int r = overlay_link_need(overlay_i(i), &link);
	if (r == 0 && link)
		link->hidden++;
	return r;
}

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
	} else if (r == 0) {
		r = hide_lower_name(d->inode);
	}
	if (r == 0 && low)
		r = layer_whiteout(k, o->upper, d->name, d->name_len);
	if (low)
		dentry_put(low);
	return r;
}

/* i lost a name in dir. */
static void lost_name(struct ctx *k, struct inode *dir, struct inode *i)
{
	struct overlay_inode *o = overlay_i(i);
	mutex_lock(&i->lock);
	if (S_ISDIR(i->mode))
		i->nlink = 0;
	else if (o->link)
		i->nlink = link_count(o->link);
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

int overlay_name_up(struct ctx *k, struct inode *dir, struct dentry *d, struct dentry **out)
{
	struct dentry *updir = overlay_i(dir)->upper;
	int r = layer_lookup(k, updir, d->name, d->name_len, out);
	if (r < 0 || *out)
		return r;
	r = hide_lower_name(d->inode);
	if (r < 0)
		return r;
	struct kattr times = layer_times(updir);
	r = layer_link(k, updir, d->name, d->name_len, overlay_i(d->inode)->upper, out);
	if (r == 0)
		(void)inode_setattr(k, updir->inode, &times);
	return r;
}

static int rename_exchange(struct ctx *k, struct ctx *ctx, struct dentry *old, struct dentry *new,
	struct inode *olddir, struct inode *newdir)
{
	struct dentry *from, *to;
	int r = overlay_copy_up_tree(ctx, new);
	if (r == 0)
		r = overlay_name_up(k, olddir, old, &from);
	if (r < 0)
		return r;
	r = overlay_name_up(k, newdir, new, &to);
	if (r == 0) {
		r = layer_rename(k, from, overlay_i(newdir)->upper, new->name, new->name_len, true);
		dentry_put(to);
	}
	dentry_put(from);
	return r;
}

/* What is at the new name, if anything, is about to be replaced. */
static int prepare_target(struct ctx *k, struct inode *newdir, struct dentry *new)
{
	struct dentry *updir = overlay_i(newdir)->upper, *up;
	int r = 0;
	if (new->inode && S_ISDIR(new->inode->mode)) {
		r = overlay_dir_empty(k, new);
		if (r == 0)
			r = overlay_dir_clear(k, overlay_i(new->inode));
	}
	if (r == 0)
		r = layer_clear_whiteout(k, updir, new->name, new->name_len);
	if (r < 0 || !new->inode)
		return r < 0 ? r : 0;
	r = layer_lookup(k, updir, new->name, new->name_len, &up);
	if (r == 0 && up)
		dentry_put(up);
	else if (r == 0)
		r = hide_lower_name(new->inode);
	return r;
}

static int rename_over(struct ctx *k, struct dentry *old, struct inode *olddir, struct dentry *new,
	struct inode *newdir)
{
	struct overlay_inode *od = overlay_i(olddir);
	struct dentry *low, *up;
	int r = prepare_target(k, newdir, new);
	if (r == 0)
		r = find_lower(k, od, old, &low);
	if (r < 0)
		return r;
	r = overlay_name_up(k, olddir, old, &up);
	if (r == 0) {
		r = layer_rename(k, up, overlay_i(newdir)->upper, new->name, new->name_len, false);
		dentry_put(up);
	}
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
		r = flags & EXCHANGE_FLAG ? rename_exchange(&k, ctx, old, new, olddir, newdir)
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
	uint32_t gen = __atomic_load_n(&o->attr_gen, __ATOMIC_ACQUIRE);
	int r = inode_getattr(ctx, overlay_real(o)->inode, st);
	if (r < 0)
		return r;
	take_attr(o, st, gen);
	if (S_ISDIR(i->mode) && o->upper && overlay_merged(o))
		st->nlink = 1; /* as overlayfs: the number of subdirectories is not known */
	return 0;
}

static int overlay_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a)
{
	struct overlay_inode *o = overlay_i(i);
	struct ctx k;
	uint64_t old_size = READ_ONCE(i->size);
	int r = overlay_copy_up(ctx, o);
	if (r < 0)
		return r;
	layer_ctx(&k, i);
	r = inode_setattr(&k, o->upper->inode, a);
	if (r == 0 && (a->valid & (ATTR_ATIME | ATTR_ATIME_NOW))) {
		mutex_lock(&i->lock);
		i->atime = (struct ktime){INT64_MIN, 0}; /* also back in time */
		mutex_unlock(&i->lock);
	}
	if (r == 0)
		r = overlay_sync_attr(&k, o);
	if (r == 0 && (a->valid & ATTR_SIZE) && a->size < old_size)
		mappable_invalidate(&o->map, PAGE_ALIGN_UP(a->size), UINT64_MAX & PAGE_MASK, true);
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
	/* What is above can be opened when it is needed; what is below may not be there for us, and
	 * that has to be told now. */
	if (r < 0 || __atomic_load_n(&o->upper, __ATOMIC_ACQUIRE))
		return r;
	return overlay_real_file(ctx, o, false, &real);
}

static int overlay_sock_connect(struct ctx *ctx, struct inode *i, int type, int *fd)
{
	struct inode *real = overlay_real(overlay_i(i))->inode;
	return inode_ops(real)->sock_connect ? inode_ops(real)->sock_connect(ctx, real, type, fd)
					     : -ECONNREFUSED;
}

static ssize_t overlay_getxattr(struct ctx *ctx, struct inode *i, const char *name, void *buf,
	size_t n)
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
	.sock_connect = overlay_sock_connect,
	.getxattr = overlay_getxattr,
	.setxattr = overlay_setxattr,
	.listxattr = overlay_listxattr,
	.removexattr = overlay_removexattr,
};
