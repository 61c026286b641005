/* Mounting an overlay; its table of inodes. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "sentry/fs/overlay/overlay_priv.h"

#define OVERLAYFS_MAGIC 0x794c7630

static SLAB_DEFINE(overlay_sb_slab, struct overlay_sb);
static SLAB_DEFINE(overlay_inode_slab, struct overlay_inode);

/* --- inodes --- */

/* The two trees differ in nothing but the members that they use. */
struct tree {
	struct rb_root *root;
	bool upper;
};

static struct overlay_inode *node_owner(const struct tree *t, struct rb_node *n)
{
	return t->upper ? rb_entry(n, struct overlay_inode, rb_upper)
			: rb_entry(n, struct overlay_inode, rb_lower);
}

static const struct inode **key_of(const struct tree *t, struct overlay_inode *o)
{
	return t->upper ? &o->upper_key : &o->lower_key;
}

static struct overlay_inode *tree_find(const struct tree *t, const struct inode *key,
	struct rb_node **parent, struct rb_node ***link)
{
	*link = &t->root->node;
	*parent = NULL;
	while (**link) {
		*parent = **link;
		struct overlay_inode *o = node_owner(t, *parent);
		const struct inode *k = *key_of(t, o);
		if (key == k)
			return o;
		*link = key < k ? &(*parent)->left : &(*parent)->right;
	}
	return NULL;
}

static void tree_erase(const struct tree *t, struct overlay_inode *o)
{
	const struct inode **key = key_of(t, o);
	if (*key)
		rb_erase(t->root, t->upper ? &o->rb_upper : &o->rb_lower);
	*key = NULL;
}

/* o takes the place of one that is dying. */
static void tree_insert(const struct tree *t, struct overlay_inode *o)
{
	struct rb_node *parent, **link, *n = t->upper ? &o->rb_upper : &o->rb_lower;
	const struct inode *key = t->upper ? o->upper->inode : o->lower->inode;
	struct overlay_inode *old = tree_find(t, key, &parent, &link);
	if (old) {
		tree_erase(t, old);
		tree_find(t, key, &parent, &link);
	}
	*key_of(t, o) = key;
	rb_link(n, parent, link);
	rb_insert(t->root, n);
}

static struct tree tree_of(struct overlay_sb *s, bool upper)
{
	return (struct tree){upper ? &s->by_upper : &s->by_lower, upper};
}

struct overlay_inode *overlay_inode_of_lower(struct overlay_sb *s, const struct inode *lower)
{
	struct rb_node *parent, **link;
	struct tree t = tree_of(s, false);
	mutex_lock(&s->lock);
	struct overlay_inode *o = tree_find(&t, lower, &parent, &link);
	mutex_unlock(&s->lock);
	return o;
}

void overlay_inode_set_upper(struct overlay_inode *o, struct dentry *twin)
{
	struct overlay_sb *s = overlay_sb(o->inode.sb);
	struct tree t = tree_of(s, true);
	twin->inode->ino = o->inode.ino;
	mutex_lock(&s->lock);
	__atomic_store_n(&o->upper, twin, __ATOMIC_RELEASE);
	tree_insert(&t, o);
	mutex_unlock(&s->lock);
}

static void fill(struct overlay_inode *o, struct sb *sb, struct dentry *upper, struct dentry *lower)
{
	struct dentry *real = upper ? upper : lower;
	uint32_t mode = real->inode->mode;
	inode_init(&o->inode, sb, INODE_OVERLAY, mode, real->inode->uid, real->inode->gid);
	mappable_init(&o->map, MAPPABLE_OVERLAY);
	o->inode.ino = real->inode->ino;
	o->inode.rdev = real->inode->rdev;
	o->inode.nlink = MAX(real->inode->nlink, 1u); /* 0: a nameless twin */
	o->inode.ftype = S_ISDIR(mode) ? FILE_OVERLAY_DIR : FILE_OVERLAY_REG;
	o->inode.atime = (struct ktime){INT64_MIN, 0}; /* the real one's counts */
	o->upper = upper ? dentry_get(upper) : NULL;
	o->lower = lower ? dentry_get(lower) : NULL;
	o->link = upper ? upper->inode->priv : overlay_link_find(overlay_sb(sb), lower->inode);
}

struct inode *overlay_inode_make(struct sb *sb, struct dentry *upper, struct dentry *lower)
{
	struct overlay_sb *s = overlay_sb(sb);
	struct tree up = tree_of(s, true), low = tree_of(s, false), *by = upper ? &up : &low;
	struct rb_node *parent, **link;
	mutex_lock(&s->lock);
	struct overlay_inode *o =
		tree_find(by, upper ? upper->inode : lower->inode, &parent, &link);
	bool known = o && ref_get_unless_zero(&o->inode.ref);
	mutex_unlock(&s->lock);
	if (known)
		return &o->inode;
	/* The tree lock is held: nobody else makes it meanwhile. */
	struct overlay_inode *fresh = slab_alloc(&overlay_inode_slab);
	if (!fresh)
		return NULL;
	fill(fresh, sb, upper, lower);
	mutex_lock(&s->lock);
	if (upper)
		tree_insert(&up, fresh);
	if (lower)
		tree_insert(&low, fresh);
	mutex_unlock(&s->lock);
	struct ctx ctx;
	ctx_init_kernel(&ctx, s->cred);
	overlay_sync_attr(&ctx, fresh);
	return &fresh->inode;
}

void overlay_inode_free(struct inode *i)
{
	struct overlay_inode *o = overlay_i(i);
	struct overlay_sb *s = overlay_sb(i->sb);
	struct tree up = tree_of(s, true), low = tree_of(s, false);
	mutex_lock(&s->lock);
	tree_erase(&up, o);
	tree_erase(&low, o);
	mutex_unlock(&s->lock);
	if (o->upper_file)
		file_put(o->upper_file);
	if (o->lower_file)
		file_put(o->lower_file);
	if (o->upper)
		dentry_put(o->upper);
	if (o->lower)
		dentry_put(o->lower);
	slab_free(&overlay_inode_slab, o);
}

/* --- superblock --- */

static int overlay_statfs(struct ctx *ctx, struct sb *sb, struct kstatfs *out)
{
	struct sb *up = overlay_sb(sb)->upper->sb;
	int r = sb_ops(up)->statfs ? sb_ops(up)->statfs(ctx, up, out) : -ENOSYS;
	out->type = OVERLAYFS_MAGIC;
	return r;
}

static void overlay_kill(struct sb *sb)
{
	struct overlay_sb *s = overlay_sb(sb);
	if (!s)
		return;
	overlay_links_free(s);
	mount_put(s->upper);
	mount_put(s->lower);
	cred_put(s->cred);
	slab_free(&overlay_sb_slab, s);
	sb->priv = NULL;
}

static int overlay_mount(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a)
{
	if (!a->overlay.upper || !a->overlay.lower)
		return -EINVAL; /* config.json has an overlay among its mounts */
	struct overlay_sb *s = slab_alloc(&overlay_sb_slab);
	if (!s)
		return -ENOMEM;
	mutex_init(&s->lock, LOCK_INODE);
	s->upper = mount_get(a->overlay.upper);
	s->lower = mount_get(a->overlay.lower);
	s->cred = cred_root();
	sb->priv = s;
	sb->magic = OVERLAYFS_MAGIC;
	if (!s->cred)
		return -ENOMEM;
	bool dir = S_ISDIR(s->lower->root->inode->mode);
	if (dir)
		s->upper->root->inode->ino = s->lower->root->inode->ino;
	struct inode *root = overlay_inode_make(sb, dir ? s->upper->root : NULL, s->lower->root);
	if (!root)
		return -ENOMEM;
	sb->root = dentry_make_root(sb, root);
	return sb->root ? 0 : -ENOMEM;
}

static const struct sb_ops overlay_sb_ops = {
	.name = "overlay",
	.nodev = true,
	.kernel_only = true,
	.mount = overlay_mount,
	.kill = overlay_kill,
	.statfs = overlay_statfs,
	.inode_free = overlay_inode_free,
};

int overlay_mount_memory(struct ctx *ctx, struct mount *lower, struct mount **out)
{
	struct mount *upper;
	struct kstat st;
	int r = inode_getattr(ctx, lower->root->inode, &st);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.mode) && !S_ISREG(st.mode))
		return -ENOTDIR;
	r = mount_new(ctx, SB_TMPFS, 0, &(struct fs_mount_args){.source = "overlay-upper"}, &upper);
	if (r < 0)
		return r;
	/* The merged root looks like the lower one. */
	struct kattr a = {.valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_ATIME | ATTR_MTIME,
		.mode = st.mode & 07777,
		.uid = st.uid,
		.gid = st.gid,
		.atime = st.atime,
		.mtime = st.mtime};
	if (S_ISDIR(st.mode))
		r = inode_setattr(ctx, upper->root->inode, &a);
	if (r == 0) {
		struct fs_mount_args args = {.source = "overlay",
			.overlay = {.upper = upper, .lower = lower}};
		r = mount_new(ctx, SB_OVERLAY, lower->flags & ~(uint32_t)MS_RDONLY, &args, out);
	}
	mount_put(upper);
	return r;
}

int overlay_init(void)
{
	sb_ops_register(SB_OVERLAY, &overlay_sb_ops);
	inode_ops_register(INODE_OVERLAY, &overlay_inode_ops);
	file_ops_register(FILE_OVERLAY_REG, &overlay_reg_ops);
	file_ops_register(FILE_OVERLAY_DIR, &overlay_dir_ops);
	mappable_register(MAPPABLE_OVERLAY, &overlay_mappable_ops);
	return 0;
}
