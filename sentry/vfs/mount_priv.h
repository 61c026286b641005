/*
 * Between mount.c, mount_tree.c, mount_show.c and propagate.c: the tree of mounts.
 *
 * A mount is owned by its place in a namespace's tree and by whoever has a path on it.  One lock,
 * vfs->mount_lock, guards every tree, list and group; it is not sleepable.  So what is detached is
 * collected on a list (dead) and let go by mount_bury, without the lock: a file system may end
 * there, which blocks.
 */
#ifndef SENTRY_VFS_MOUNT_PRIV_H
#define SENTRY_VFS_MOUNT_PRIV_H

#include "sentry/vfs/vfs_priv.h"

/* Mounts of the whole sandbox.  Linux has 100,000 for each namespace; here a directory's mounts are
 * a list. */
#define MOUNT_MAX 2048

struct mount *mount_alloc(struct sb *sb, struct dentry *root, uint32_t flags);
/* Why mount_alloc returned NULL: -ENOSPC (too many, as fs.mount-max) or -ENOMEM. */
int mount_alloc_error(void);
/* The next of the tree below top, parents before children; NULL: that was all. */
struct mount *mount_next(struct mount *m, const struct mount *top) REQUIRES(vfs->mount_lock);
/* The same, but what is below m is left out. */
struct mount *mount_skip(struct mount *m, const struct mount *top) REQUIRES(vfs->mount_lock);
struct mount *mount_child_at(struct mount *m, const struct dentry *d) REQUIRES(vfs->mount_lock);
void mount_link_locked(struct mount_ns *ns, struct mount *m, struct mount *parent,
	struct dentry *at) REQUIRES(vfs->mount_lock);
void mount_unlink_tree_locked(struct mount *m, struct list_node *dead) REQUIRES(vfs->mount_lock);
void mount_bury(struct list_node *dead);
struct dentry *mount_unlink_piece_locked(struct mount *m) REQUIRES(vfs->mount_lock);
void mount_relink_piece_locked(struct mount *m, struct mount *parent, struct dentry *at)
	REQUIRES(vfs->mount_lock);
void mount_copy_free(struct mount *m, struct list_node *dead) REQUIRES(vfs->mount_lock);
struct mount *mount_copy_locked(struct mount *m, struct dentry *root, bool rec, bool all)
	REQUIRES(vfs->mount_lock);
void ns_changed(struct mount_ns *ns);

/* propagate.c: an attached mount is found by its groups. */
void mount_groups_init(void);
void mount_group_join(struct mount *m) REQUIRES(vfs->mount_lock);
void mount_group_leave(struct mount *m) REQUIRES(vfs->mount_lock);
/* Repeats an attach or detach at the peers and slaves of parent. */
int propagate_attach_locked(struct mount *m, struct mount *parent, struct dentry *at)
	REQUIRES(vfs->mount_lock);
void propagate_detach_locked(struct mount *parent, struct dentry *at, struct list_node *dead)
	REQUIRES(vfs->mount_lock);
void mount_set_propagation_locked(struct mount *m, uint32_t type, bool rec)
	REQUIRES(vfs->mount_lock);

#endif
