/*
 * Between the files of tmpfs: the tree of pages of a file, its inode, what a mount may use.
 *
 * Data lies in the memory file, one reference a page, owned by the tree.  The cached dentries are
 * the directory (DENTRY_PERSISTENT), so there is no other list of names.
 *
 * Locks: inode.lock guards a file's pages, attributes and seals; it is not sleepable, so pages are
 * allocated and guest memory is copied without it.  The limits of a mount are counted atomically.
 */
#ifndef SENTRY_FS_TMPFS_TMPFS_PRIV_H
#define SENTRY_FS_TMPFS_TMPFS_PRIV_H

#include "sentry/core/arena.h"
#include "sentry/fs/tmpfs/tmpfs.h"
#include "sentry/mem/mappable.h"
#include "sentry/mem/memfile.h"

/*
 * Pages of a file by index: a radix tree of 64-way nodes that grows in height
 * with the largest index.  A slot holds a memory-file offset with bit 0 set,
 * or 0 for a hole.  Guarded by inode->lock.
 */
#define PTREE_BITS 6
#define PTREE_FANOUT (1u << PTREE_BITS)
struct ptree {
	uint64_t root; /* the slot itself (height 0) or a node's address */
	uint32_t height;
};
/* The memory-file offset of page idx, or UINT64_MAX. */
uint64_t ptree_get(const struct ptree *t, uint64_t idx);
/* The slot of page idx, made if need be; NULL: out of memory. */
uint64_t *ptree_slot(struct ptree *t, uint64_t idx);
/* The first page at or behind idx that exists, UINT64_MAX if none. */
uint64_t ptree_next(const struct ptree *t, uint64_t idx);
/* Makes page idx a hole: its former offset, or UINT64_MAX. */
uint64_t ptree_remove(struct ptree *t, uint64_t idx);
/* Frees the nodes of a tree without pages. */
void ptree_free(struct ptree *t);

struct tmpfs_sb {
	uint64_t max_blocks, used_blocks; /* 0: no limit; atomic */
	uint64_t max_inodes, used_inodes;
	uint32_t mode, uid, gid;
	bool shows_size, shows_inodes;
};

struct tmpfs_inode {
	struct inode i;
	struct mappable map;
	struct ptree pages;      /* GUARDED_BY(i.lock) */
	uint64_t nr_pages;       /* GUARDED_BY(i.lock) */
	char *target;            /* of a symlink; immutable */
	struct list_node xattrs; /* GUARDED_BY(i.lock) */
	uint32_t seals;          /* F_SEAL_*; GUARDED_BY(i.lock) */
};

static inline struct tmpfs_inode *tmpfs_i(struct inode *i)
{
	return container_of(i, struct tmpfs_inode, i);
}
static inline struct tmpfs_sb *tmpfs_s(struct sb *sb)
{
	return sb->priv;
}

/* super.c */
struct inode *tmpfs_inode_new(struct sb *sb, uint32_t mode, uint32_t uid, uint32_t gid, int *err);
int tmpfs_mount_sb(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a);
/* file.c */
extern const struct file_ops tmpfs_file_ops;
extern const struct mappable_ops tmpfs_mappable_ops;
bool tmpfs_reserve(struct sb *sb, uint64_t pages);
void tmpfs_unreserve(struct sb *sb, uint64_t pages);
int tmpfs_truncate(struct tmpfs_inode *t, uint64_t size);
void tmpfs_drop_pages(struct tmpfs_inode *t, uint64_t first, uint64_t end);
/* dir.c */
extern const struct inode_ops tmpfs_inode_ops;
/* xattr.c */
ssize_t tmpfs_getxattr(struct ctx *ctx, struct inode *i, const char *name, void *buf, size_t n);
int tmpfs_setxattr(struct ctx *ctx, struct inode *i, const char *name, const void *v, size_t n,
	int flags);
ssize_t tmpfs_listxattr(struct ctx *ctx, struct inode *i, char *buf, size_t n);
int tmpfs_removexattr(struct ctx *ctx, struct inode *i, const char *name);
void tmpfs_xattrs_free(struct tmpfs_inode *t);
/* memfd.c */
int memfd_init(void);

#endif
