/*
 * Copying up: an object of the lower layer gets its twin in the upper one, with
 * the same type, owner, mode, times, extended attributes and data, and all its
 * parents before it.
 *
 * An object that is still below has the same path in the overlay as in the lower
 * layer, because whatever is renamed was copied up first: so the place in the
 * upper layer follows from the lower dentry.  Nameless twins get: a file that was
 * unlinked while it was open, one with several names (see overlay_priv.h), and
 * one that is itself the root (a bind mount of a file).
 */
#include <errno.h>
#include <string.h>

#include "sentry/fs/overlay/overlay_priv.h"

#define COPY_PIECE (64UL << 10)

/*
 * One piece from *pos on: its length, 0 at the end, or an error.  The twin is nobody
 * else's yet, so it is written without its write_lock, which ranks above the tree.
 */
static ssize_t copy_piece(struct ctx *ctx, struct file *in, struct file *out, int64_t *pos,
	char *buf, size_t size)
{
	struct uio_seg seg;
	struct uio u;
	uio_init_kernel(&u, &seg, buf, size);
	ssize_t n = vfs_pread(ctx, in, &u, *pos, 0);
	if (n <= 0)
		return n;
	uio_init_kernel(&u, &seg, buf, (size_t)n);
	ssize_t w = file_ops(out)->write(ctx, out, &u, pos, 0);
	return w < 0 ? w : w < n ? -ENOSPC : n;
}

static int copy_data(struct ctx *ctx, const struct ctx *caller, const struct path *from,
	const struct path *to, uint64_t len)
{
	struct file *in, *out;
	int64_t pos = 0;
	ssize_t n;
	size_t size = MIN(PAGE_ALIGN_UP(len), COPY_PIECE);
	char *buf = buf_alloc(size);
	if (!buf)
		return -ENOMEM;
	int r = vfs_open_path(ctx, from, O_RDONLY, &in);
	if (r < 0)
		goto free;
	r = vfs_open_path(ctx, to, O_WRONLY, &out);
	if (r < 0)
		goto put_in;
	while ((n = copy_piece(ctx, in, out, &pos, buf, size)) > 0)
		if (ctx_killed(caller)) {
			n = -EINTR;
			break;
		}
	r = (int)n;
	file_put(out);
put_in:
	file_put(in);
free:
	buf_free(buf, size);
	return r;
}

static int copy_one_xattr(struct ctx *ctx, struct inode *from, struct inode *to, const char *name)
{
	char value[4096];
	ssize_t n = inode_ops(from)->getxattr(ctx, from, name, value, sizeof(value));
	if (n < 0)
		return n == -ENODATA ? 0 : n == -ERANGE ? 0 : (int)n;
	return inode_ops(to)->setxattr(ctx, to, name, value, (size_t)n, 0);
}

/* What the upper file system does not keep is left behind, as overlayfs does on -EOPNOTSUPP. */
static void copy_xattrs(struct ctx *ctx, struct inode *from, struct inode *to)
{
	char list[4096];
	if (!inode_ops(from)->listxattr || !inode_ops(from)->getxattr || !inode_ops(to)->setxattr)
		return;
	ssize_t n = inode_ops(from)->listxattr(ctx, from, list, sizeof(list));
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(list + i) + 1)
		(void)copy_one_xattr(ctx, from, to, list + i);
}

static bool is_nameless(const struct overlay_inode *o, const struct overlay_link *link)
{
	return link || o->inode.nlink == 0 || (!o->lower->parent && !S_ISDIR(o->inode.mode));
}

static int symlink_twin(struct ctx *ctx, struct dentry *low, struct dentry *updir,
	const struct kstat *st, struct dentry **out)
{
	char target[VFS_PATH_MAX];
	ssize_t n = inode_ops(low->inode)->readlink(ctx, low->inode, target, sizeof(target) - 1);
	if (n < 0)
		return (int)n;
	target[n] = 0;
	return layer_symlink(ctx, updir, low->name, low->name_len, target, st->uid, st->gid, out);
}

/* updir: NULL for a nameless twin. */
static int make_twin(struct ctx *ctx, struct overlay_inode *o, struct dentry *updir,
	const struct kstat *st, struct dentry **out)
{
	struct dentry *low = o->lower;
	if (!updir)
		return layer_tmpfile(ctx, overlay_sb(o->inode.sb)->upper->root, st->mode, st->uid,
			st->gid, out);
	struct kattr times = layer_times(updir);
	int r = S_ISLNK(st->mode) ? symlink_twin(ctx, low, updir, st, out)
				  : layer_create(ctx, updir, low->name, low->name_len, st->mode,
					    st->uid, st->gid, st->rdev, out);
	if (r == 0)
		(void)inode_setattr(ctx, updir->inode,
			&times); /* nothing changed in the merged one */
	return r;
}

static int fill_twin(struct ctx *ctx, const struct ctx *caller, struct overlay_inode *o,
	const struct kstat *st, struct dentry *twin)
{
	struct overlay_sb *s = overlay_sb(o->inode.sb);
	struct path from = {s->lower, o->lower}, to = {s->upper, twin};
	struct kattr a = {.valid = ATTR_MODE | ATTR_ATIME | ATTR_MTIME,
		.mode = st->mode & 07777,
		.atime = st->atime,
		.mtime = st->mtime};
	int r = S_ISREG(st->mode) && st->size ? copy_data(ctx, caller, &from, &to, st->size) : 0;
	if (r < 0)
		return r;
	copy_xattrs(ctx, o->lower->inode, twin->inode);
	return inode_setattr(ctx, twin->inode, &a);
}

/* Makes o's twin in updir, an upper directory, or without a name.  -EINTR: the caller must die. */
static int copy_up_to(const struct ctx *caller, struct overlay_inode *o, struct dentry *updir,
	struct dentry **out)
{
	struct ctx ctx; /* with the mounter's credentials */
	struct kstat st;
	struct dentry *twin;
	ctx_init_kernel(&ctx, overlay_sb(o->inode.sb)->cred);
	int r = inode_getattr(&ctx, o->lower->inode, &st);
	if (r == 0)
		r = make_twin(&ctx, o, updir, &st, &twin);
	if (r < 0)
		return r;
	r = fill_twin(&ctx, caller, o, &st, twin);
	if (r < 0) {
		if (updir)
			layer_remove(&ctx, updir, twin);
		dentry_put(twin);
		return r;
	}
	*out = twin;
	return 0;
}

static int copy_up_one(const struct ctx *caller, struct overlay_inode *o, struct dentry *updir,
	struct overlay_link *link)
{
	struct dentry *twin;
	int r = copy_up_to(caller, o, updir, &twin);
	if (r < 0)
		return r;
	if (link)
		overlay_link_set_upper(link, twin);
	overlay_inode_set_upper(o, twin);
	/* Mappings go over to the new pages. */
	mappable_invalidate(&o->map, 0, UINT64_MAX & PAGE_MASK, false);
	return 0;
}

static struct overlay_inode *parent_of(struct overlay_inode *o)
{
	struct dentry *dir = o->lower->parent;
	return dir ? overlay_inode_of_lower(overlay_sb(o->inode.sb), dir->inode) : NULL;
}

/*
 * The parents first, from the top: they are gathered in an array, since a tree may be deeper
 * than a stack.
 */
static int copy_up_path(const struct ctx *caller, struct overlay_inode *o)
{
	struct overlay_inode **chain, *p = o;
	size_t n = 0;
	int r = 0;
	for (; p && !p->upper; p = parent_of(p))
		n++;
	if (!p)
		return -ESTALE; /* the root of the upper layer is always there */
	chain = buf_alloc((n + 1) * sizeof(struct overlay_inode *));
	if (!chain)
		return -ENOMEM;
	chain[n] = p;
	p = o;
	for (size_t i = 0; i < n; i++, p = parent_of(p))
		chain[i] = p;
	for (size_t i = n; i-- > 0 && r == 0;)
		r = copy_up_one(caller, chain[i], chain[i + 1]->upper, NULL);
	buf_free(chain, (n + 1) * sizeof(struct overlay_inode *));
	return r;
}

int overlay_copy_up_locked(struct ctx *caller, struct overlay_inode *o)
{
	struct overlay_link *link;
	mutex_assert_held(&o->inode.sb->tree);
	if (o->upper)
		return 0;
	int r = overlay_link_need(o, &link);
	if (r < 0)
		return r;
	return is_nameless(o, link) ? copy_up_one(caller, o, NULL, link) : copy_up_path(caller, o);
}

int overlay_copy_up(struct ctx *ctx, struct overlay_inode *o)
{
	if (__atomic_load_n(&o->upper, __ATOMIC_ACQUIRE))
		return 0;
	struct sb *sb = o->inode.sb;
	mutex_lock(&sb->tree);
	int r = overlay_copy_up_locked(ctx, o);
	mutex_unlock(&sb->tree);
	return r;
}

/* --- whole trees --- */

struct tree_name {
	struct list_node node;
	size_t len;
	char name[VFS_NAME_MAX + 1];
};

/* A directory on the way down, and what it still has to visit.  Levels, not recursion:
 * see above. */
struct tree_level {
	struct list_node node;
	struct dentry *dir; /* owned */
	struct list_node names;
};

static SLAB_DEFINE(tree_name_slab, struct tree_name);
static SLAB_DEFINE(tree_level_slab, struct tree_level);

static int remember(void *arg, const struct overlay_name *n)
{
	struct tree_level *l = arg;
	struct tree_name *t = slab_alloc(&tree_name_slab);
	if (!t)
		return -ENOMEM;
	memcpy(t->name, n->name, n->len);
	t->len = n->len;
	list_push_back(&l->names, &t->node);
	return 0;
}

/* Copies d up; if more lies below it, it becomes a level. */
static int enter_tree(struct ctx *ctx, struct list_node *levels, struct dentry *d)
{
	struct overlay_inode *o = overlay_i(d->inode);
	struct tree_level *l;
	int r = overlay_copy_up_locked(ctx, o);
	if (r < 0 || !S_ISDIR(o->inode.mode) || !overlay_merged(o))
		return r;
	l = slab_alloc(&tree_level_slab);
	if (!l)
		return -ENOMEM;
	list_init(&l->names);
	dentry_get(d);
	l->dir = d;
	list_push_front(levels, &l->node);
	return overlay_dir_each(ctx, o, remember, l);
}

static int visit_name(struct ctx *ctx, struct list_node *levels, struct tree_level *l)
{
	struct tree_name *t = list_first(&l->names, struct tree_name, node);
	struct dentry *c = NULL, *up = NULL;
	int r = dentry_lookup(ctx, l->dir, t->name, t->len, &c);
	if (r == 0 && c->inode)
		r = enter_tree(ctx, levels, c);
	/* The lower names are about to be hidden: what has several gets one above. */
	if (r == 0 && c->inode)
		r = overlay_name_up(ctx, l->dir->inode, c, &up);
	if (up)
		dentry_put(up);
	if (c)
		dentry_put(c);
	list_del(&t->node);
	slab_free(&tree_name_slab, t);
	return r;
}

static void leave_level(struct tree_level *l, bool done)
{
	struct tree_name *t, *tmp;
	list_for_each_safe(t, tmp, &l->names, node)
		slab_free(&tree_name_slab, t);
	if (done)
		layer_set_opaque(overlay_i(l->dir->inode)->upper);
	list_del(&l->node);
	dentry_put(l->dir);
	slab_free(&tree_level_slab, l);
}

int overlay_copy_up_tree(struct ctx *ctx, struct dentry *d)
{
	struct list_node levels = LIST_INIT(levels);
	int r = enter_tree(ctx, &levels, d);
	while (!list_empty(&levels)) {
		struct tree_level *l = list_first(&levels, struct tree_level, node);
		if (r == 0 && ctx_killed(ctx))
			r = -EINTR;
		if (r == 0 && !list_empty(&l->names))
			r = visit_name(ctx, &levels, l);
		else
			leave_level(l, r == 0);
	}
	return r;
}
