/*
 * Steps in one layer: what the VFS does around an inode operation, for a layer
 * that no path leads to.
 */
#include <errno.h>
#include <string.h>

#include "sentry/fs/overlay/overlay_priv.h"

bool layer_is_whiteout(const struct dentry *d)
{
	return d->inode && d->inode->ino == OVERLAY_WHITEOUT_INO;
}

static int find_locked(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry **out) REQUIRES(dir->sb->tree)
{
	return dentry_lookup(ctx, dir, name, len, out);
}

/* In the upper layer, a tmpfs, the cached tree is all there is: no dentry is made for what
 * is not. */
static struct dentry *find_upper(struct dentry *dir, const char *name, size_t len)
	REQUIRES(dir->sb->tree)
{
	return dentry_find(dir, name, len);
}

int layer_lookup(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry **out)
{
	int r = 0;
	mutex_lock_nested(&dir->sb->tree);
	if (inode_ops(dir->inode)->lookup)
		r = find_locked(ctx, dir, name, len, out);
	else
		*out = find_upper(dir, name, len);
	mutex_unlock(&dir->sb->tree);
	if (r == 0 && *out && !(*out)->inode) {
		dentry_put(*out);
		*out = NULL;
	}
	return r;
}

bool layer_has(struct dentry *dir, const char *name, size_t len)
{
	mutex_lock_nested(&dir->sb->tree);
	struct dentry *d = find_upper(dir, name, len);
	mutex_unlock(&dir->sb->tree);
	if (d)
		dentry_put(d);
	return d;
}

/* Finds the negative dentry of a new name; the tree lock stays held on success. */
static int begin(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry **out) TRY_ACQUIRE(0, dir->sb->tree)
{
	mutex_lock_nested(&dir->sb->tree);
	int r = find_locked(ctx, dir, name, len, out);
	if (r == 0 && (*out)->inode) {
		dentry_put(*out);
		r = -EEXIST;
	}
	if (r < 0)
		mutex_unlock(&dir->sb->tree);
	return r;
}

static int finish(struct dentry *dir, struct dentry *d, int r, struct dentry **out)
	RELEASE(dir->sb->tree)
{
	if (r == 0 && d->inode && !dentry_is(d, DENTRY_HASHED))
		dentry_hash(d);
	mutex_unlock(&dir->sb->tree);
	if (r == 0 && out)
		*out = d;
	else
		dentry_put(d);
	return r;
}

int layer_create(struct ctx *ctx, struct dentry *dir, const char *name, size_t len, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev, struct dentry **out)
{
	struct dentry *d;
	int r = begin(ctx, dir, name, len, &d);
	if (r)
		return r;
	r = inode_ops(dir->inode)->create(ctx, dir->inode, d, mode, uid, gid, rdev);
	return finish(dir, d, r, out);
}

int layer_symlink(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	const char *target, uint32_t uid, uint32_t gid, struct dentry **out)
{
	struct dentry *d;
	int r = begin(ctx, dir, name, len, &d);
	if (r)
		return r;
	r = inode_ops(dir->inode)->symlink(ctx, dir->inode, d, target, uid, gid);
	return finish(dir, d, r, out);
}

int layer_link(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry *target, struct dentry **out)
{
	struct dentry *d;
	int r = begin(ctx, dir, name, len, &d);
	if (r)
		return r;
	r = inode_ops(dir->inode)->link(ctx, dir->inode, d, target->inode, target);
	return finish(dir, d, r, out);
}

int layer_tmpfile(struct ctx *ctx, struct dentry *dir, uint32_t mode, uint32_t uid, uint32_t gid,
	struct dentry **out)
{
	struct dentry *d = dentry_alloc(dir->sb, dir, "#unlinked", 9);
	if (!d)
		return -ENOMEM;
	mutex_lock_nested(&dir->sb->tree);
	int r = inode_ops(dir->inode)->tmpfile(ctx, dir->inode, d, mode, uid, gid);
	mutex_unlock(&dir->sb->tree);
	if (r < 0)
		dentry_put(d);
	else
		*out = d;
	return r;
}

static int remove_locked(struct ctx *ctx, struct dentry *dir, struct dentry *d)
	REQUIRES(dir->sb->tree)
{
	const struct inode_ops *ops = inode_ops(dir->inode);
	int r = S_ISDIR(d->inode->mode) ? ops->rmdir(ctx, dir->inode, d)
					: ops->unlink(ctx, dir->inode, d);
	if (r == 0)
		dentry_delete(d);
	return r;
}

int layer_remove(struct ctx *ctx, struct dentry *dir, struct dentry *d)
{
	mutex_lock_nested(&dir->sb->tree);
	int r = remove_locked(ctx, dir, d);
	mutex_unlock(&dir->sb->tree);
	return r;
}

int layer_clear_whiteout(struct ctx *ctx, struct dentry *dir, const char *name, size_t len)
{
	int r = 0;
	mutex_lock_nested(&dir->sb->tree);
	struct dentry *d = find_upper(dir, name, len);
	if (d && layer_is_whiteout(d)) {
		r = remove_locked(ctx, dir, d);
		r = r < 0 ? r : 1;
	}
	mutex_unlock(&dir->sb->tree);
	if (d)
		dentry_put(d);
	return r;
}

int layer_whiteout(struct ctx *ctx, struct dentry *dir, const char *name, size_t len)
{
	struct dentry *d;
	mutex_lock_nested(&dir->sb->tree);
	int r = find_locked(ctx, dir, name, len, &d);
	if (r == 0 && d->inode) {
		dentry_put(d);
		r = -EEXIST;
	}
	if (r == 0) {
		r = inode_ops(dir->inode)->create(ctx, dir->inode, d, S_IFCHR, 0, 0, 0);
		if (r == 0) {
			d->inode->ino = OVERLAY_WHITEOUT_INO;
			dentry_hash(d);
		}
		dentry_put(d);
	}
	mutex_unlock(&dir->sb->tree);
	return r;
}

void layer_set_opaque(struct dentry *dir)
{
	dir->inode->flags |= INODE_FLAG_OPAQUE;
}

struct kattr layer_times(const struct dentry *dir)
{
	const struct inode *i = dir->inode;
	return (struct kattr){.valid = ATTR_ATIME | ATTR_MTIME,
		.atime = i->atime,
		.mtime = i->mtime};
}

#define EXCHANGE_FLAG 2u

int layer_rename(struct ctx *ctx, struct dentry *old, struct dentry *dir, const char *name,
	size_t len, bool exchange)
{
	struct dentry *d, *olddir = old->parent;
	char *copy = exchange ? NULL : buf_strndup(name, len);
	if (!exchange && !copy)
		return -ENOMEM;
	mutex_lock_nested(&dir->sb->tree);
	int r = find_locked(ctx, dir, name, len, &d);
	if (r == 0) {
		r = inode_ops(dir->inode)
			    ->rename(ctx, olddir->inode, old, dir->inode, d,
				    exchange ? EXCHANGE_FLAG : 0);
		if (r == 0 && exchange)
			dentry_exchange(old, d);
		else if (r == 0)
			dentry_move(old, d, copy);
		dentry_put(d);
	}
	mutex_unlock(&dir->sb->tree);
	if (r < 0)
		buf_free(copy, len + 1);
	return r;
}
