/*
 * Mount propagation (mount_namespaces(7)): what is mounted or unmounted below
 * a shared mount happens at its peers too, and at the slaves of their group.
 *
 * Groups are numbers: peers carry the same peer_group, a slave names the group
 * it receives from.  Attached mounts hang in two hash tables, by either number.
 */
#include <errno.h>
#include <sys/mount.h>

#include "sentry/vfs/mount_priv.h"

static struct list_node *bucket(struct list_node *table, uint32_t group)
{
	return &table[group % MOUNT_BUCKETS];
}

void mount_groups_init(void)
{
	for (int i = 0; i < MOUNT_BUCKETS; i++) {
		list_init(&vfs->group_peers[i]);
		list_init(&vfs->group_slaves[i]);
	}
}

void mount_group_leave(struct mount *m)
{
	list_del(&m->peer_node);
	list_del(&m->slave_node);
}

void mount_group_join(struct mount *m)
{
	mount_group_leave(m);
	if (m->peer_group)
		list_push_back(bucket(vfs->group_peers, m->peer_group), &m->peer_node);
	if (m->master_group)
		list_push_back(bucket(vfs->group_slaves, m->master_group), &m->slave_node);
}

static bool has_peers(const struct mount *m)
{
	struct mount *peer;
	list_for_each(peer, bucket(vfs->group_peers, m->peer_group), peer_node)
		if (peer != m && peer->peer_group == m->peer_group)
			return true;
	return false;
}

static void set_propagation(struct mount *m, uint32_t type) REQUIRES(vfs->mount_lock)
{
	if (type == MS_SHARED) {
		if (!(m->propagation & MS_SHARED)) {
			m->peer_group = ++vfs->next_group;
			m->propagation = MS_SHARED | (m->propagation & MS_SLAVE);
		}
	} else if (type == MS_SLAVE) {
		if (m->propagation & MS_SHARED) {
			/* A slave of the peers it leaves; the last of a group has none. */
			bool others = has_peers(m);
			if (others)
				m->master_group = m->peer_group;
			m->propagation =
				others || (m->propagation & MS_SLAVE) ? MS_SLAVE : MS_PRIVATE;
			m->peer_group = 0;
		}
	} else {
		m->propagation = type;
		m->peer_group = m->master_group = 0;
	}
	if (m->attached)
		mount_group_join(m);
}

void mount_set_propagation_locked(struct mount *m, uint32_t type, bool rec)
{
	for (struct mount *c = m; c; c = rec ? mount_next(c, m) : NULL)
		set_propagation(c, type);
}

/* All that hear of an event, in the order in which they were found. */
struct audience {
	struct mount *first, *last;
	uint64_t event;
};

static void hears(struct audience *a, struct mount *m)
{
	if (m->heard == a->event)
		return;
	m->heard = a->event;
	m->next_heard = NULL;
	if (a->last)
		a->last->next_heard = m;
	else
		a->first = m;
	a->last = m;
}

/* m tells its peers and their slaves, unless a peer of it has done so. */
static void spread(struct audience *a, struct mount *m)
{
	struct mount *b;
	if (!(m->propagation & MS_SHARED) || m->spread == a->event)
		return;
	list_for_each(b, bucket(vfs->group_peers, m->peer_group), peer_node) {
		if (b->peer_group != m->peer_group)
			continue;
		b->spread = a->event;
		hears(a, b);
	}
	list_for_each(b, bucket(vfs->group_slaves, m->peer_group), slave_node)
		if (b->master_group == m->peer_group)
			hears(a, b);
}

/* Everything that hears of source, transitively; source itself is the first. */
static struct audience audience_of(struct mount *source)
{
	struct audience a = {.event = ++vfs->next_event};
	hears(&a, source);
	for (struct mount *m = source; m; m = m->next_heard)
		spread(&a, m);
	return a;
}

/*
 * Marks the roots of those of the audience in which d can be seen, with one walk upwards from it.
 * The tree lock of d's superblock is held by the verbs.
 */
static void mark_visible(const struct audience *a, struct dentry *d)
{
	struct mount *r;
	for (r = a->first; r; r = r->next_heard)
		if (r->sb == d->sb)
			dentry_mark(r->root, DENTRY_ASKED, 0);
	for (struct dentry *up = d; up; up = up->parent)
		if (dentry_is(up, DENTRY_ASKED))
			dentry_mark(up, DENTRY_ABOVE, 0);
}

static void unmark(const struct audience *a, const struct dentry *d)
{
	for (struct mount *r = a->first; r; r = r->next_heard)
		if (r->sb == d->sb)
			dentry_mark(r->root, 0, DENTRY_ASKED | DENTRY_ABOVE);
}

static void tree_set_groups(struct mount *top) REQUIRES(vfs->mount_lock)
{
	for (struct mount *m = top; m; m = mount_next(m, top)) {
		if (m->propagation & MS_SHARED)
			continue;
		m->propagation = MS_SHARED | (m->propagation & MS_SLAVE);
		m->peer_group = ++vfs->next_group;
		if (m->attached)
			mount_group_join(m);
	}
}

/* What is attached at `at` of a mount that r hears of comes to r as well. */
static int attach_copy(struct mount *r, struct mount *m, struct dentry *at)
	REQUIRES(vfs->mount_lock)
{
	struct mount *c = mount_copy_locked(m, m->root, true, true);
	if (!c)
		return -ENOSPC; /* what was attached stays, as the caller's view is unharmed */
	if (!(r->propagation & MS_SHARED)) {
		c->master_group = c->peer_group;
		c->peer_group = 0;
		c->propagation = MS_SLAVE;
	}
	mount_link_locked(r->ns, c, r, at);
	return 0;
}

int propagate_attach_locked(struct mount *m, struct mount *parent, struct dentry *at)
{
	int err = 0;
	if (!(parent->propagation & MS_SHARED))
		return 0;
	tree_set_groups(m);
	struct audience a = audience_of(parent);
	if (a.first == a.last)
		return 0;
	mark_visible(&a, at);
	for (struct mount *r = a.first; r && !err; r = r->next_heard)
		if (r != parent && r->sb == at->sb && dentry_is(r->root, DENTRY_ABOVE) &&
			!mount_child_at(r, at))
			err = attach_copy(r, m, at);
	unmark(&a, at);
	return err;
}

void propagate_detach_locked(struct mount *parent, struct dentry *at, struct list_node *dead)
{
	if (!(parent->propagation & MS_SHARED))
		return;
	struct audience a = audience_of(parent);
	for (struct mount *r = a.first; r; r = r->next_heard) {
		struct mount *victim = r == parent ? NULL : mount_child_at(r, at);
		/* One with mounts of its own stays. */
		if (victim && list_empty(&victim->children))
			mount_unlink_tree_locked(victim, dead);
	}
}
