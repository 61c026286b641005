/*
 * Mount propagation (mount_namespaces(7)): what is mounted or unmounted below
 * a shared mount happens at its peers too, and at the slaves of their group.
 *
 * Groups are numbers: peers carry the same peer_group, a slave names the group
 * it receives from.  The receivers of one event are found by a scan of all
 * mounts; sandboxes have tens of them.
 */
#include <errno.h>
#include <sys/mount.h>

#include "sentry/vfs/mount_priv.h"

void mount_set_propagation_locked(struct mount *m, uint32_t type, bool rec)
{
	struct mount *c;
	if (type == MS_SHARED) {
		if (!(m->propagation & MS_SHARED)) {
			m->peer_group = ++vfs->next_group;
			m->propagation = MS_SHARED | (m->propagation & MS_SLAVE);
		}
	} else if (type == MS_SLAVE) {
		if (m->propagation & MS_SHARED) {
			/* A slave of the peers it leaves; the last of a group has none. */
			struct mount *peer;
			bool others = false;
			list_for_each(peer, &vfs->mounts, all_node)
				others |= peer != m && peer->peer_group == m->peer_group;
			if (others)
				m->master_group = m->peer_group;
			m->propagation = others || (m->propagation & MS_SLAVE) ? MS_SLAVE : MS_PRIVATE;
			m->peer_group = 0;
		}
	} else {
		m->propagation = type;
		m->peer_group = m->master_group = 0;
	}
	if (rec)
		list_for_each(c, &m->children, child_node)
			mount_set_propagation_locked(c, type, true);
}

/* Does r receive what happens below source?  Directly, as peer or slave. */
static bool receives(const struct mount *r, const struct mount *source)
{
	if (r == source || !(source->propagation & MS_SHARED))
		return false;
	return r->peer_group == source->peer_group || r->master_group == source->peer_group;
}

/* Everything that hears of source, transitively, is marked with copy = itself. */
static bool mark_receivers(struct mount *source)
{
	struct mount *a, *b;
	bool grew = true, any = false;
	list_for_each(a, &vfs->mounts, all_node)
		a->copy = NULL;
	source->copy = source;
	while (grew) {
		grew = false;
		list_for_each(a, &vfs->mounts, all_node) {
			if (!a->copy)
				continue;
			list_for_each(b, &vfs->mounts, all_node) {
				if (!b->copy && receives(b, a)) {
					b->copy = b;
					grew = any = true;
				}
			}
		}
	}
	return any;
}

/* Is d visible below r's root?  The tree lock of d's superblock is held by the verbs. */
static bool visible(const struct mount *r, const struct dentry *d)
{
	return r->sb == d->sb && dentry_is_ancestor(r->root, d);
}

static void tree_set_groups(struct mount *m)
{
	struct mount *c;
	if (!(m->propagation & MS_SHARED)) {
		m->propagation = MS_SHARED | (m->propagation & MS_SLAVE);
		m->peer_group = ++vfs->next_group;
	}
	list_for_each(c, &m->children, child_node)
		tree_set_groups(c);
}

int propagate_attach_locked(struct mount *m, struct mount *parent, struct dentry *at)
{
	struct mount *r;
	if (!(parent->propagation & MS_SHARED))
		return 0;
	tree_set_groups(m);
	if (!mark_receivers(parent))
		return 0;
	/* The copies are linked as they are made: collect the receivers first. */
	for (;;) {
		struct mount *next = NULL;
		list_for_each(r, &vfs->mounts, all_node)
			if (r->copy == r && r != parent) {
				next = r;
				break;
			}
		if (!next)
			return 0;
		next->copy = NULL;
		if (!visible(next, at) || mount_child_at(next, at))
			continue;
		struct mount *c = mount_copy_locked(m, m->root, true, true);
		if (!c)
			return -ENOSPC; /* what was attached stays, as the caller's view is unharmed */
		if (!(next->propagation & MS_SHARED)) {
			c->master_group = c->peer_group;
			c->peer_group = 0;
			c->propagation = MS_SLAVE;
		}
		mount_link_locked(next->ns, c, next, at);
	}
}

void propagate_detach_locked(struct mount *parent, struct dentry *at, struct list_node *dead)
{
	struct mount *r;
	if (!(parent->propagation & MS_SHARED) || !mark_receivers(parent))
		return;
	for (;;) {
		struct mount *victim = NULL;
		list_for_each(r, &vfs->mounts, all_node) {
			if (r->copy != r || r == parent)
				continue;
			r->copy = NULL;
			victim = mount_child_at(r, at);
			/* One with mounts of its own stays. */
			if (victim && list_empty(&victim->children))
				break;
			victim = NULL;
		}
		if (!victim)
			return;
		mount_unlink_tree_locked(victim, dead);
	}
}
