/*
 * Private to sentry/fs/overlay.
 *
 * An overlay inode stands for one object of the merged tree.  It knows its place
 * in each layer by a dentry there: lower as it was found, upper once the object
 * was made or copied up.  The overlay's dentries and inodes are a cache: what has
 * to last is kept in the upper layer, a tmpfs of our own, or in the superblock.
 *
 * - A whiteout is a node with the inode number OVERLAY_WHITEOUT_INO.
 * - An opaque directory has INODE_FLAG_OPAQUE in its upper inode.
 * - An upper inode has the number that the overlay shows: that of the lower
 *   object it is a copy of, or its own with OVERLAY_UPPER_INO.
 * - A lower file with several names (struct overlay_link) has no name in the
 *   upper layer when it is copied up: its lower names lead to the copy, so that
 *   all of them go on naming one file.  A new name, or one that is renamed, is a
 *   link in the upper layer.
 *
 * Locks: the overlay's sb->tree is held around every directory operation (by the
 * VFS) and taken here for copy-ups that come from attribute changes and opens;
 * the layers' own tree locks nest inside it.
 */
#ifndef SENTRY_FS_OVERLAY_OVERLAY_PRIV_H
#define SENTRY_FS_OVERLAY_OVERLAY_PRIV_H

#include "lib/rbtree.h"
#include "sentry/core/arena.h"
#include "sentry/fs/overlay/overlay.h"
#include "sentry/mem/mappable.h"
#include "sentry/vfs/file.h"

struct overlay_sb {
	struct mount *upper, *lower;       /* owned */
	struct mutex lock;                 /* LOCK_INODE: the trees of inodes */
	struct rb_root by_lower, by_upper; /* struct overlay_inode, by the layer's inode */
	struct rb_root links; /* struct overlay_link by lower->inode; GUARDED_BY sb->tree */
	struct cred *cred;    /* the mounter's: layers are changed with it */
};

/* A lower file with several names, once it was copied up or one of them was hidden.  Lives as long
 * as the superblock. */
struct overlay_link {
	struct rb_node rb;
	struct dentry *lower; /* owned: so the lower inode stays the key */
	struct dentry *upper; /* owned: the copy; NULL: none yet */
	uint32_t hidden;      /* lower names that do not show any more */
};

struct overlay_inode {
	struct inode inode; /* first */
	struct mappable map;
	struct rb_node rb_lower, rb_upper;
	/* What it is found by in the two trees, NULL: it is not in that one.  GUARDED_BY
	 * overlay_sb.lock. */
	const struct inode *lower_key, *upper_key;
	struct dentry *upper, *lower;         /* owned; NULL: not in that layer */
	struct overlay_link *link;            /* borrowed; NULL: none (yet) */
	struct file *upper_file, *lower_file; /* of regular files: opened on first need, owned */
	uint32_t attr_gen;                    /* changes of the real attributes; atomic */
};

#define OVERLAY_UPPER_INO (1UL << 56) /* keeps numbers of the layers apart */
#define OVERLAY_WHITEOUT_INO UINT64_MAX

static inline struct overlay_inode *overlay_i(struct inode *i)
{
	return container_of(i, struct overlay_inode, inode);
}
static inline struct overlay_sb *overlay_sb(const struct sb *sb)
{
	return sb->priv;
}
/* The layer's dentry that counts. */
static inline struct dentry *overlay_real(struct overlay_inode *o)
{
	struct dentry *up = __atomic_load_n(&o->upper, __ATOMIC_ACQUIRE);
	return up ? up : o->lower;
}
/* Is there a lower directory whose entries show through? */
static inline struct dentry *overlay_merged(struct overlay_inode *o)
{
	struct dentry *up = __atomic_load_n(&o->upper, __ATOMIC_ACQUIRE);
	return up && (up->inode->flags & INODE_FLAG_OPAQUE) ? NULL : o->lower;
}

extern const struct inode_ops overlay_inode_ops;
extern const struct file_ops overlay_reg_ops, overlay_dir_ops;
extern const struct mappable_ops overlay_mappable_ops;

/* The inode of an object in the layers (dentries borrowed): known or new.  NULL: no memory. */
struct inode *overlay_inode_make(struct sb *sb, struct dentry *upper, struct dentry *lower);
void overlay_inode_free(struct inode *i);
/* The overlay inode found as this lower inode: borrowed, NULL if there is none. */
struct overlay_inode *overlay_inode_of_lower(struct overlay_sb *s, const struct inode *lower);
/* o has a twin in the upper layer now; takes the reference over. */
void overlay_inode_set_upper(struct overlay_inode *o, struct dentry *twin);

/*
 * The upper layer's dentry of the name d in dir, both of whose inodes are in that layer: a lower
 * name of a file with several becomes a link there.  *out is a reference.
 */
int overlay_name_up(struct ctx *k, struct inode *dir, struct dentry *d, struct dentry **out);

/* --- links.c: lower files with several names; the overlay's tree lock held --- */
/* The record of a lower file, NULL if there is none (yet). */
struct overlay_link *overlay_link_find(struct overlay_sb *s, const struct inode *lower);
/* The record of o, made if need be and if it has several names below: NULL in *out if not. */
int overlay_link_need(struct overlay_inode *o, struct overlay_link **out);
/* The copy, which knows its record: it may be found by a name in the upper layer. */
void overlay_link_set_upper(struct overlay_link *l, struct dentry *twin);
void overlay_links_free(struct overlay_sb *s);
/* Takes the attributes of the real inode over, asking its file system if need be. */
/* The real attributes have changed: ours follow. */
int overlay_sync_attr(struct ctx *ctx, struct overlay_inode *o);

/* --- layer.c: single steps in one layer, its tree lock taken inside --- */
bool layer_is_whiteout(const struct dentry *d);
/* Is the name in this directory of the upper layer, if only as a whiteout? */
bool layer_has(struct dentry *dir, const char *name, size_t len);
/* *out: a dentry with a reference, or NULL if the name is not there. */
int layer_lookup(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry **out);
int layer_create(struct ctx *ctx, struct dentry *dir, const char *name, size_t len, uint32_t mode,
	uint32_t uid, uint32_t gid, uint64_t rdev, struct dentry **out);
int layer_symlink(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	const char *target, uint32_t uid, uint32_t gid, struct dentry **out);
int layer_link(struct ctx *ctx, struct dentry *dir, const char *name, size_t len,
	struct dentry *target, struct dentry **out);
int layer_tmpfile(struct ctx *ctx, struct dentry *dir, uint32_t mode, uint32_t uid, uint32_t gid,
	struct dentry **out);
/* Removes a name that is there (directories must be empty). */
int layer_remove(struct ctx *ctx, struct dentry *dir, struct dentry *d);
/* Removes a whiteout at the name, if there is one: 1 if there was. */
int layer_clear_whiteout(struct ctx *ctx, struct dentry *dir, const char *name, size_t len);
/* Makes a directory hide what is below it. */
void layer_set_opaque(struct dentry *dir);
int layer_whiteout(struct ctx *ctx, struct dentry *dir, const char *name, size_t len);
/* Moves old to (dir, name), replacing what is there; or swaps the two. */
int layer_rename(struct ctx *ctx, struct dentry *old, struct dentry *dir, const char *name,
	size_t len, bool exchange);

/* The times of a directory, to give them back after a change that the merged one does not have. */
struct kattr layer_times(const struct dentry *dir);

/* --- copyup.c; the overlay's tree lock held --- */
/* Makes sure that o is in the upper layer. */
int overlay_copy_up_locked(struct ctx *ctx, struct overlay_inode *o);
/* The same without the lock. */
int overlay_copy_up(struct ctx *ctx, struct overlay_inode *o);
/* o and everything below it, after which o is opaque: before a directory is renamed. */
int overlay_copy_up_tree(struct ctx *ctx, struct dentry *d);

/* --- file.c --- */
/* An open file of the layer that counts, for data: borrowed, lives as long as o. */
int overlay_real_file(struct ctx *ctx, struct overlay_inode *o, bool write, struct file **out);

/* --- dir.c --- */
/* Is the merged directory empty?  0, -ENOTEMPTY. */
int overlay_dir_empty(struct ctx *ctx, struct dentry *d);
/* Calls fn for each name of the merged directory until it returns non-zero. */
struct overlay_name {
	const char *name;
	size_t len;
	uint64_t ino;
	uint8_t type;
	bool upper;
};
int overlay_dir_each(struct ctx *ctx, struct overlay_inode *o,
	int (*fn)(void *arg, const struct overlay_name *n), void *arg);
/* Removes the whiteouts of an (otherwise empty) upper directory. */
int overlay_dir_clear(struct ctx *ctx, struct overlay_inode *o);

#endif
