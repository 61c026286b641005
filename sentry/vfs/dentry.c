/*
 * The dentry cache.  A hashed dentry is in its parent's tree and holds one
 * extra reference (the cache's), so a count of one, seen with sb->tree held,
 * means unused; since a child refers to its parent, only leaves can be unused.
 *
 * Dentries that may be dropped are on their superblock's lru list, oldest
 * first, with a second chance for those found again.  The list is bounded by
 * dcache_max: each insertion beyond it looks at a few of the oldest.  The
 * dentries of tmpfs are persistent: its tree is the data.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/vfs/vfs_priv.h"

/* Of a superblock.  A cached dentry with its inode takes some 1.5 KB, here and in the layer below
 * an overlay together, and each inode of a gofer one of its descriptors. */
#define DCACHE_MIN 1024u
#define DCACHE_TOP 65536u
#define DCACHE_BYTES 1536
#define DCACHE_SHARE 256 /* this part of memory */
#define SHRINK_SCAN 8

static SLAB_DEFINE(dentry_slab, struct dentry);

static uint32_t dcache_max RO_AFTER_INIT = 8192;

void dcache_init(uint64_t memory, uint64_t descriptors)
{
	uint64_t max = MIN(memory / DCACHE_SHARE / DCACHE_BYTES, descriptors / 4 * 3);

	dcache_max = (uint32_t)MAX(DCACHE_MIN, MIN(max, DCACHE_TOP));
}

static uint32_t name_hash(const char *name, size_t len)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 16777619u;
	return h;
}

struct dentry *dentry_alloc(struct sb *sb, struct dentry *parent, const char *name, size_t len)
{
	struct dentry *d = slab_alloc(&dentry_slab);
	if (!d)
		return NULL;
	d->name = buf_strndup(name, len);
	if (!d->name) {
		slab_free(&dentry_slab, d);
		return NULL;
	}
	ref_init(&d->ref);
	d->sb = sb;
	d->parent = parent ? dentry_get(parent) : NULL;
	d->name_len = (uint16_t)len;
	d->hash = name_hash(name, len);
	list_init(&d->sibling);
	list_init(&d->child_list);
	list_init(&d->lru);
	return d;
}

struct dentry *dentry_make_root(struct sb *sb, struct inode *root)
{
	struct dentry *d = root ? dentry_alloc(sb, NULL, "/", 1) : NULL;
	if (!d) {
		inode_put(root);
		return NULL;
	}
	d->inode = root;
	return d;
}

void dentry_instantiate(struct dentry *d, struct inode *i)
{
	BUG_ON(d->inode);
	__atomic_store_n(&d->inode, i, __ATOMIC_RELEASE);
}

static struct dentry *dentry_free(struct dentry *d)
{
	struct dentry *parent = d->parent;
	BUG_ON(dentry_is(d, DENTRY_HASHED) || d->children.node);
	inode_put(d->inode);
	buf_free(d->name, d->name_len + 1u);
	slab_free(&dentry_slab, d);
	return parent;
}

/*
 * The last user of a dentry that must not be cached drops it at once.  The
 * caller may hold sb->tree, hence trylock: if it is taken, the dentry waits
 * on the lru list for the next insertion.
 */
static bool put_uncached(struct dentry *d)
{
	struct sb *sb = d->sb;
	if (ref_count(&d->ref) != 2)
		return false;
	if (!mutex_trylock(&sb->tree)) {
		WRITE_ONCE(sb->reap, 1);
		return false;
	}
	bool last = ref_count(&d->ref) == 2 && dentry_is(d, DENTRY_HASHED);
	if (last)
		dentry_unhash(d); /* ours keeps it for a moment */
	mutex_unlock(&sb->tree);
	return last;
}

void dentry_put(struct dentry *d)
{
	lock_debug_assert_sleepable();
	while (d) {
		if (dentry_is(d, DENTRY_HASHED) && dentry_is(d, DENTRY_NOCACHE))
			put_uncached(d);
		if (!ref_put(&d->ref))
			return;
		d = dentry_free(d);
	}
}

static int dentry_cmp(const struct dentry *d, uint32_t hash, const char *name, size_t len)
{
	if (hash != d->hash)
		return hash < d->hash ? -1 : 1;
	if (len != d->name_len)
		return len < d->name_len ? -1 : 1;
	return memcmp(name, d->name, len);
}

struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len)
{
	uint32_t hash = name_hash(name, len);
	struct rb_node *n = parent->children.node;
	mutex_assert_held(&parent->sb->tree);
	while (n) {
		struct dentry *d = rb_entry(n, struct dentry, child_node);
		int c = dentry_cmp(d, hash, name, len);
		if (c == 0) {
			if (!dentry_is(d, DENTRY_REFERENCED | DENTRY_PERSISTENT))
				dentry_mark(d, DENTRY_REFERENCED, 0);
			return dentry_get(d);
		}
		n = c < 0 ? n->left : n->right;
	}
	return NULL;
}

static void lru_shrink(struct sb *sb)
{
	bool reap = __atomic_exchange_n(&sb->reap, 0, __ATOMIC_RELAXED);
	if (!reap && sb->nr_cached <= dcache_max)
		return;
	for (int i = 0; i < SHRINK_SCAN && !list_empty(&sb->lru); i++) {
		struct dentry *d = list_first(&sb->lru, struct dentry, lru);
		bool unused = ref_count(&d->ref) == 1;
		bool over = sb->nr_cached > dcache_max && !dentry_is(d, DENTRY_REFERENCED);
		if (unused && (over || dentry_is(d, DENTRY_NOCACHE))) {
			dentry_unhash(d);
			continue;
		}
		dentry_mark(d, 0, DENTRY_REFERENCED);
		list_del(&d->lru);
		list_push_back(&sb->lru, &d->lru);
	}
}

void dcache_shrink(struct sb *sb, unsigned int n)
{
	struct dentry *d, *tmp;

	list_for_each_safe(d, tmp, &sb->lru, lru) {
		if (!n)
			break;
		if (ref_count(&d->ref) != 1)
			continue;
		dentry_unhash(d);
		n--;
	}
}

void dentry_hash(struct dentry *d)
{
	struct dentry *parent = d->parent;
	struct sb *sb = d->sb;
	struct rb_node **link = &parent->children.node, *up = NULL;

	mutex_assert_held(&sb->tree);
	BUG_ON(dentry_is(d, DENTRY_HASHED));
	while (*link) {
		up = *link;
		int c = dentry_cmp(rb_entry(up, struct dentry, child_node), d->hash, d->name,
			d->name_len);
		BUG_ON(c == 0);
		link = c < 0 ? &up->left : &up->right;
	}
	rb_link(&d->child_node, up, link);
	rb_insert(&parent->children, &d->child_node);
	d->cookie = sb->next_cookie++;
	list_push_back(&parent->child_list, &d->sibling);
	dentry_mark(d, DENTRY_HASHED, DENTRY_DELETED);
	dentry_get(d);
	if (!dentry_is(d, DENTRY_PERSISTENT)) {
		list_push_back(&sb->lru, &d->lru);
		sb->nr_cached++;
		lru_shrink(sb);
	}
}

/* Takes d out of its parent's tree without dropping the cache's reference. */
static void dentry_unlink(struct dentry *d)
{
	rb_erase(&d->parent->children, &d->child_node);
	list_del(&d->sibling);
	dentry_mark(d, 0, DENTRY_HASHED);
	if (!list_empty(&d->lru)) {
		list_del(&d->lru);
		d->sb->nr_cached--;
	}
}

void dentry_unhash(struct dentry *d)
{
	if (!dentry_is(d, DENTRY_HASHED))
		return;
	dentry_unlink(d);
	dentry_put(d);
}

void dentry_delete(struct dentry *d)
{
	dentry_mark(d, DENTRY_DELETED, 0);
	dentry_unhash(d);
}

/* The subtree of d is not true any more: forgets what nobody uses of it, and d itself. */
static void dentry_invalidate(struct dentry *d)
{
	struct dentry *c = d, *parent;
	for (;;) {
		while (!list_empty(&c->child_list))
			c = list_first(&c->child_list, struct dentry, sibling);
		if (c == d)
			break;
		/* One in use is unhashed like the others; it stays alive on its own.  The parent is
		 * still hashed, or d: so it stays as well. */
		parent = c->parent;
		dentry_unhash(c);
		c = parent;
	}
	dentry_unhash(d);
}

int dentry_lookup(struct ctx *ctx, struct dentry *parent, const char *name, size_t len,
	struct dentry **out)
{
	const struct inode_ops *ops = inode_ops(parent->inode);
	struct dentry *d = dentry_find(parent, name, len);
	if (d && ops->revalidate && !d->mounts && !ops->revalidate(ctx, d)) {
		dentry_invalidate(d);
		dentry_put(d);
		d = NULL;
	}
	if (d) {
		*out = d;
		return 0;
	}
	d = dentry_alloc(parent->sb, parent, name, len);
	if (!d)
		return -ENOMEM;
	if (ops->lookup && !dentry_is(parent, DENTRY_DELETED)) {
		int err = ops->lookup(ctx, parent->inode, d);
		if (err) {
			dentry_put(d);
			return err;
		}
		if (!dentry_is(d, DENTRY_UNCACHED | DENTRY_HASHED))
			dentry_hash(d);
	}
	*out = d;
	return 0;
}

/* Puts d, unhashed but with the cache's reference, under parent and hashes it again. */
static void dentry_rehash(struct dentry *d)
{
	dentry_hash(d);
	BUG_ON(ref_put(&d->ref)); /* dentry_hash took the cache's reference a second time */
}

void dentry_move(struct dentry *d, struct dentry *target, char *name)
{
	struct dentry *parent = dentry_get(target->parent), *old = d->parent;
	bool hashed = dentry_is(d, DENTRY_HASHED);

	if (target->inode)
		dentry_delete(target);
	else
		dentry_unhash(target);
	if (hashed)
		dentry_unlink(d);
	/* Readers of name and parent hold the tree lock or, for inotify, this one. */
	mutex_lock(&vfs->notify_lock);
	char *old_name = d->name;
	size_t old_len = d->name_len;
	d->name = name;
	d->name_len = target->name_len;
	d->hash = target->hash;
	d->parent = parent;
	mutex_unlock(&vfs->notify_lock);
	buf_free(old_name, old_len + 1);
	if (hashed)
		dentry_rehash(d);
	else
		dentry_hash(d);
	dentry_put(old);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
	dentry_unlink(a);
	dentry_unlink(b);
#define SWAP(x, y)                                                                                 \
	do {                                                                                       \
		__typeof__(x) _t = (x);                                                            \
		(x) = (y);                                                                         \
		(y) = _t;                                                                          \
	} while (0)
	mutex_lock(&vfs->notify_lock);
	SWAP(a->name, b->name);
	SWAP(a->name_len, b->name_len);
	SWAP(a->hash, b->hash);
	SWAP(a->parent, b->parent);
	mutex_unlock(&vfs->notify_lock);
#undef SWAP
	dentry_rehash(a);
	dentry_rehash(b);
}

bool dentry_is_ancestor(const struct dentry *a, const struct dentry *d)
{
	for (; d; d = d->parent)
		if (d == a)
			return true;
	return false;
}

void dcache_drop_tree(struct sb *sb)
{
	struct dentry *root = sb->root;
	if (!root)
		return;
	mutex_lock(&sb->tree);
	dentry_invalidate(root);
	/* What hangs below dentries that were unlinked or invalidated earlier. */
	while (!list_empty(&sb->lru))
		dentry_unhash(list_first(&sb->lru, struct dentry, lru));
	sb->root = NULL;
	mutex_unlock(&sb->tree);
	dentry_put(root);
}
