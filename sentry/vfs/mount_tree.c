/*
 * The mount tree: attaching, detaching, copying, crossing.  The verbs of
 * mount(2) are in mount.c, the texts of /proc/PID/mounts in mount_show.c.
 *
 * Order of locks: a superblock's tree, then the mount lock.  The name of a
 * mountpoint is pinned by its dentry reference; whoever deletes a name looks
 * at dentry->mounts under the tree lock, so attaching holds it too.
 *
 * Propagation: shared and slave mounts keep their group numbers, and a mount
 * or umount below a shared mount is repeated at its peers and slaves.
 */
#include <errno.h>
#include <sys/mount.h>

#include "lib/log.h"
#include "sentry/vfs/mount_priv.h"

static SLAB_DEFINE(mount_slab, struct mount);
static SLAB_DEFINE(mount_ns_slab, struct mount_ns);

struct path path_get(const struct path *p)
{
	if (p->mnt)
		mount_get(p->mnt);
	if (p->dentry)
		dentry_get(p->dentry);
	return *p;
}

void path_put(struct path *p)
{
	/* The dentry first: its mount keeps the superblock. */
	if (p->dentry)
		dentry_put(p->dentry);
	if (p->mnt) {
		/* It was in use: MNT_EXPIRE starts again.  (Not written when it need not be: every
		 * CPU comes by here.) */
		if (unlikely(READ_ONCE(p->mnt->expire)))
			WRITE_ONCE(p->mnt->expire, false);
		mount_put(p->mnt);
	}
	*p = (struct path){0};
}

struct mount *mount_alloc(struct sb *sb, struct dentry *root, uint32_t flags)
{
	struct mount *m = NULL;
	if (__atomic_add_fetch(&vfs->nr_mounts, 1, __ATOMIC_RELAXED) <= MOUNT_MAX)
		m = slab_alloc(&mount_slab);
	if (!m) {
		__atomic_sub_fetch(&vfs->nr_mounts, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	ref_init(&m->ref);
	m->id = __atomic_add_fetch(&vfs->next_mount_id, 1, __ATOMIC_RELAXED);
	m->sb = sb_get(sb);
	m->root = dentry_get(root);
	m->flags = flags;
	m->propagation = MS_PRIVATE;
	list_init(&m->ns_node);
	list_init(&m->all_node);
	list_init(&m->child_node);
	list_init(&m->children);
	list_init(&m->peer_node);
	list_init(&m->slave_node);
	return m;
}

int mount_alloc_error(void)
{
	return READ_ONCE(vfs->nr_mounts) >= MOUNT_MAX ? -ENOSPC : -ENOMEM;
}

void mount_put(struct mount *m)
{
	lock_debug_assert_sleepable();
	if (!m || !ref_put(&m->ref))
		return;
	BUG_ON(m->attached);
	dentry_put(m->root);
	sb_put(m->sb);
	slab_free(&mount_slab, m);
	__atomic_sub_fetch(&vfs->nr_mounts, 1, __ATOMIC_RELAXED);
}

struct mount *mount_child_at(struct mount *m, const struct dentry *d)
{
	struct mount *c;
	list_for_each(c, &m->children, child_node)
		if (c->mountpoint == d)
			return c;
	return NULL;
}

bool mount_cross(struct path *p)
{
	bool crossed = false;
	while (__atomic_load_n(&p->dentry->mounts, __ATOMIC_ACQUIRE)) {
		mutex_lock(&vfs->mount_lock);
		struct mount *c = mount_child_at(p->mnt, p->dentry);
		if (c)
			mount_get(c);
		mutex_unlock(&vfs->mount_lock);
		if (!c)
			break;
		struct path next = {c, dentry_get(c->root)};
		path_put(p);
		*p = next;
		crossed = true;
	}
	return crossed;
}

bool mount_up(struct path *p)
{
	struct path up = {0};
	mutex_lock(&vfs->mount_lock);
	if (p->mnt->parent)
		up = (struct path){mount_get(p->mnt->parent), dentry_get(p->mnt->mountpoint)};
	mutex_unlock(&vfs->mount_lock);
	if (!up.mnt)
		return false;
	path_put(p);
	*p = up;
	return true;
}

int mount_want_write(const struct mount *m)
{
	uint32_t flags = READ_ONCE(m->flags) | READ_ONCE(m->sb->flags);
	return flags & MS_RDONLY ? -EROFS : 0;
}

struct mount *mount_skip(struct mount *m, const struct mount *top)
{
	for (; m != top; m = m->parent)
		if (m->child_node.next != &m->parent->children)
			return container_of(m->child_node.next, struct mount, child_node);
	return NULL;
}

struct mount *mount_next(struct mount *m, const struct mount *top)
{
	struct mount *c = list_first(&m->children, struct mount, child_node);
	return c ? c : mount_skip(m, top);
}

/* Gives a whole detached tree a namespace and makes its mounts visible. */
static void tree_publish(struct mount_ns *ns, struct mount *top) REQUIRES(vfs->mount_lock)
{
	for (struct mount *m = top; m; m = mount_next(m, top)) {
		m->ns = ns;
		m->attached = true;
		list_push_back(&ns->mounts, &m->ns_node);
		list_push_back(&vfs->mounts, &m->all_node);
		mount_group_join(m);
	}
}

static void link_child(struct mount *m, struct mount *parent, struct dentry *at)
{
	m->parent = parent;
	m->parent_id_cached = parent->id;
	m->mountpoint = dentry_get(at);
	__atomic_fetch_add(&at->mounts, 1, __ATOMIC_RELEASE);
	list_push_back(&parent->children, &m->child_node);
}

void ns_changed(struct mount_ns *ns)
{
	__atomic_add_fetch(&ns->event, 1, __ATOMIC_RELEASE);
	waitq_wake(&ns->wait, POLLERR | POLLPRI);
}

void mount_link_locked(struct mount_ns *ns, struct mount *m, struct mount *parent,
	struct dentry *at)
{
	if (parent)
		link_child(m, parent, at);
	else
		ns->root = m;
	tree_publish(ns, m);
	ns_changed(ns);
}

/* Takes one mount out of the tree; it goes to dead with the tree's references. */
static void unlink_one(struct mount *m, struct list_node *dead) REQUIRES(vfs->mount_lock)
{
	if (m->ns && m->ns->root == m)
		m->ns->root = NULL;
	mount_group_leave(m);
	m->parent = NULL;
	m->attached = false;
	WRITE_ONCE(m->ns, NULL);
	list_del(&m->ns_node);
	list_del(&m->all_node);
	list_del(&m->child_node);
	list_push_back(dead, &m->child_node);
}

/* Takes m and everything below it apart. */
void mount_unlink_tree_locked(struct mount *m, struct list_node *dead)
{
	struct mount_ns *ns = m->ns;
	struct mount *c = m, *child, *up;
	do {
		while ((child = list_first(&c->children, struct mount, child_node)))
			c = child;
		up = c == m ? NULL : c->parent;
		unlink_one(c, dead);
		c = up;
	} while (c);
	if (ns)
		ns_changed(ns);
}

/* Drops the references of taken-apart mounts, the mount lock no longer held. */
void mount_bury(struct list_node *dead)
{
	struct mount *m, *tmp;
	list_for_each_safe(m, tmp, dead, child_node) {
		struct dentry *at = m->mountpoint;
		list_del(&m->child_node);
		m->mountpoint = NULL;
		if (at) {
			__atomic_fetch_sub(&at->mounts, 1, __ATOMIC_RELEASE);
			dentry_put(at);
		}
		mount_put(m);
	}
}

/* Takes m out of its place, in one piece (move, pivot); its tree reference stays with it. */
struct dentry *mount_unlink_piece_locked(struct mount *m)
{
	struct dentry *at = m->mountpoint;
	m->parent = NULL;
	m->mountpoint = NULL;
	list_del(&m->child_node);
	if (at)
		__atomic_fetch_sub(&at->mounts, 1, __ATOMIC_RELEASE);
	return at; /* the caller drops it after unlocking */
}

void mount_relink_piece_locked(struct mount *m, struct mount *parent, struct dentry *at)
{
	link_child(m, parent, at);
}

void mount_set_flags(struct mount *m, uint32_t clear, uint32_t set)
{
	mutex_lock(&vfs->mount_lock);
	WRITE_ONCE(m->flags, (m->flags & ~clear) | set);
	if (m->ns)
		ns_changed(m->ns);
	mutex_unlock(&vfs->mount_lock);
}

bool mount_is_local_mountpoint(struct mount_ns *ns, struct dentry *d)
{
	struct mount *m;
	bool found = false;
	if (!__atomic_load_n(&d->mounts, __ATOMIC_ACQUIRE))
		return false;
	mutex_lock(&vfs->mount_lock);
	list_for_each(m, &vfs->mounts, all_node)
		found |= m->mountpoint == d && (!ns || m->ns == ns);
	mutex_unlock(&vfs->mount_lock);
	return found;
}

void mount_detach_dentry(struct dentry *d)
{
	struct list_node dead = LIST_INIT(dead);
	struct mount *m;
	if (!__atomic_load_n(&d->mounts, __ATOMIC_ACQUIRE))
		return;
	mutex_lock(&vfs->mount_lock);
again:
	list_for_each(m, &vfs->mounts, all_node) {
		if (m->mountpoint == d) {
			mount_unlink_tree_locked(m, &dead);
			goto again; /* the list changed under us */
		}
	}
	mutex_unlock(&vfs->mount_lock);
	mount_bury(&dead);
}

static struct mount *mount_clone(struct mount *m, struct dentry *root)
{
	struct mount *c = mount_alloc(m->sb, root, m->flags);
	if (!c)
		return NULL;
	c->propagation = m->propagation & ~(uint32_t)MS_UNBINDABLE;
	if (!c->propagation)
		c->propagation = MS_PRIVATE;
	c->peer_group = m->peer_group;
	c->master_group = m->master_group;
	c->locked = m->locked;
	m->copy = c;
	return c;
}

/* Frees a copy that was never attached. */
void mount_copy_free(struct mount *m, struct list_node *dead)
{
	mount_unlink_tree_locked(m, dead);
}

/*
 * A detached copy of m from root down; with rec, of the mounts below as well.
 * The mount lock is held, and the tree lock of m->sb.  all: CLONE_NEWNS, which
 * copies unbindable mounts too.
 */
struct mount *mount_copy_locked(struct mount *m, struct dentry *root, bool rec, bool all)
{
	struct mount *copy = mount_clone(m, root), *c = mount_next(m, m), *sub;
	if (!copy || !rec)
		return copy;
	if (all)
		copy->propagation = m->propagation;
	while (c) {
		if ((!all && (c->propagation & MS_UNBINDABLE)) ||
			(c->parent == m && root != m->root &&
				!dentry_is_ancestor(root, c->mountpoint))) {
			c = mount_skip(c, m);
			continue;
		}
		sub = mount_clone(c, c->root);
		if (!sub) {
			struct list_node dead = LIST_INIT(dead);
			mount_unlink_tree_locked(copy, &dead);
			/* Only references to live mounts are dropped here: nothing sleeps. */
			mount_bury(&dead);
			return NULL;
		}
		if (all)
			sub->propagation = c->propagation;
		link_child(sub, c->parent->copy, c->mountpoint);
		c = mount_next(c, m);
	}
	return copy;
}

struct mount_ns *mount_ns_new(void)
{
	struct mount_ns *ns = slab_alloc(&mount_ns_slab);
	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	ns->id = __atomic_fetch_add(&vfs->next_ns_id, 1, __ATOMIC_RELAXED);
	list_init(&ns->mounts);
	waitq_init(&ns->wait);
	return ns;
}

void mount_ns_put(struct mount_ns *ns)
{
	struct list_node dead = LIST_INIT(dead);
	lock_debug_assert_sleepable();
	if (!ns || !ref_put(&ns->ref))
		return;
	mutex_lock(&vfs->mount_lock);
	if (ns->root)
		mount_unlink_tree_locked(ns->root, &dead);
	mutex_unlock(&vfs->mount_lock);
	mount_bury(&dead);
	waitq_fini(&ns->wait);
	slab_free(&mount_ns_slab, ns);
}

void mount_ns_root(struct mount_ns *ns, struct path *out)
{
	mutex_lock(&vfs->mount_lock);
	*out = ns->root ? (struct path){mount_get(ns->root), dentry_get(ns->root->root)}
			: (struct path){0};
	mutex_unlock(&vfs->mount_lock);
	if (out->mnt)
		mount_cross(out);
}

/* Moves p to the copy of its mount, if there is one; the old mount goes to *old. */
static void path_to_copy(struct mount_ns *ns, struct path *p, struct mount **old)
{
	if (!p->mnt || p->mnt->ns != ns || !p->mnt->copy)
		return;
	*old = p->mnt;
	p->mnt = mount_get(p->mnt->copy);
}

/* new gets a copy of ns's tree, NULL: no memory, or ns has none. */
static struct mount *copy_tree(struct mount_ns *ns, struct mount_ns *new) REQUIRES(vfs->mount_lock)
{
	struct mount *copy, *m;
	list_for_each(m, &ns->mounts, ns_node)
		m->copy = NULL;
	if (!ns->root)
		return NULL;
	copy = mount_copy_locked(ns->root, ns->root->root, true, true);
	if (copy)
		mount_link_locked(new, copy, NULL, NULL);
	return copy;
}

struct mount_ns *mount_ns_copy(struct mount_ns *ns, struct fsctx *fs)
{
	struct mount_ns *new = mount_ns_new();
	struct mount *old[2] = {0}, *copy;
	if (!new)
		return NULL;
	if (fs) {
		mutex_lock(&fs->lock);
		mutex_lock(&vfs->mount_lock);
		copy = copy_tree(ns, new);
		if (copy) {
			path_to_copy(ns, &fs->root, &old[0]);
			path_to_copy(ns, &fs->cwd, &old[1]);
		}
		mutex_unlock(&vfs->mount_lock);
		mutex_unlock(&fs->lock);
	} else {
		mutex_lock(&vfs->mount_lock);
		copy = copy_tree(ns, new);
		mutex_unlock(&vfs->mount_lock);
	}
	mount_put(old[0]);
	mount_put(old[1]);
	if (!copy && ns->root) {
		mount_ns_put(new);
		return NULL;
	}
	return new;
}
