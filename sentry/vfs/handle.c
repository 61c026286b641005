/*
 * File handles (name_to_handle_at(2)): a tmpfs file by its number, which is
 * never given to another.  Only what lies below the root of the mount that is
 * named can be opened, so that a bind mount does not give away its whole file
 * system.  Other file systems have none: -EOPNOTSUPP.
 */
#include <errno.h>

#include "sentry/vfs/vfs_priv.h"

int vfs_handle_of(const struct path *p, uint32_t words[VFS_HANDLE_WORDS])
{
	const struct inode *i = p->dentry->inode;

	if (i->type != INODE_TMPFS)
		return -EOPNOTSUPP;
	words[0] = (uint32_t)i->sb->dev;
	words[1] = (uint32_t)i->ino;
	words[2] = (uint32_t)(i->ino >> 32);
	return 0;
}

#define FIND_BATCH 4096

/* The dentry behind d in a walk over the whole tree, NULL at its end; sb->tree held. */
static struct dentry *next_in_tree(struct dentry *top, struct dentry *d)
{
	if (!list_empty(&d->child_list))
		return list_first(&d->child_list, struct dentry, sibling);
	while (d != top) {
		struct list_node *n = d->sibling.next;

		if (n != &d->parent->child_list)
			return container_of(n, struct dentry, sibling);
		d = d->parent;
	}
	return NULL;
}

/*
 * Looks through the whole tree, a batch under each hold of its lock.  In between the place is held
 * by a reference; where its name has gone meanwhile the search begins again.
 */
static struct dentry *find_inode(struct ctx *ctx, struct dentry *top, uint64_t ino)
{
	struct mutex *tree = &top->sb->tree;
	struct dentry *d = dentry_get(top), *at;
	bool found = false;

	while (d && !found && !ctx_killed(ctx)) {
		int n = 0;

		mutex_lock(tree);
		at = top;
		if (dentry_is(d, DENTRY_HASHED) && dentry_is_ancestor(top, d))
			at = d;
		for (; at && n < FIND_BATCH; n++) {
			found = at->inode && at->inode->ino == ino;
			if (found)
				break;
			at = next_in_tree(top, at);
		}
		at = at ? dentry_get(at) : NULL;
		mutex_unlock(tree);
		dentry_put(d);
		d = at;
	}
	if (!found)
		dentry_put(d);
	return found ? d : NULL;
}

int vfs_open_handle(struct ctx *ctx, struct mount *mnt, const uint32_t words[VFS_HANDLE_WORDS],
	uint64_t flags, struct file **out)
{
	uint64_t ino = words[1] | (uint64_t)words[2] << 32;
	struct sb *sb = mnt->sb;
	struct dentry *d;

	if (sb->type != SB_TMPFS || words[0] != (uint32_t)sb->dev)
		return -ESTALE;
	d = find_inode(ctx, mnt->root, ino);
	if (!d)
		return -ESTALE;
	struct path p = {mount_get(mnt), d};
	int err = vfs_open_path(ctx, &p, flags, out);

	path_put(&p);
	return err;
}
