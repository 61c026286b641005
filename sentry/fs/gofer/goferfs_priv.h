/* Private to sentry/fs/gofer. */
#ifndef SENTRY_FS_GOFER_GOFERFS_PRIV_H
#define SENTRY_FS_GOFER_GOFERFS_PRIV_H

#include "lib/hostcall.h"
#include "lib/proto/fs_client.h"
#include "lib/rbtree.h"
#include "sentry/core/arena.h"
#include "sentry/fs/gofer/goferfs.h"
#include "sentry/mem/mappable.h"
#include "sentry/vfs/file.h"

/* A connection: outside the arena, named by a handle. */
struct gofer_conn {
	struct ref ref; /* the container, each superblock */
	handle_t handle;
	struct fsc fsc;
};

struct gofer_sb {
	handle_t conn;
	uint32_t tree;
	bool shared;
	struct mutex lock;	/* LOCK_INODE: inodes */
	struct rb_root inodes;	/* struct gofer_inode by (dev, ino): hard links share one */
};

struct gofer_inode {
	struct inode inode; /* first */
	struct mappable map;
	uint64_t node;	   /* the gofer's id, owned */
	uint64_t host_dev; /* with inode.ino: the key */
	struct rb_node rb;
	/*
	 * Donated descriptors: read-only, and read-write.  Opened on first need, kept while the
	 * inode lives; GUARDED_BY(inode.lock) for setting, read as one word.
	 */
	handle_t rfd, wfd;
	bool attr_stale; /* the host changed size, blocks and times by our writes */
	uint64_t blocks; /* 512 bytes */
	uint32_t blksize;
	char *target;	 /* of a symlink */
	uint32_t target_len;
};

static inline struct gofer_inode *gofer_i(struct inode *i)
{
	return container_of(i, struct gofer_inode, inode);
}
static inline struct gofer_sb *gofer_sb(const struct sb *sb)
{
	return sb->priv;
}
static inline struct fsc *gofer_fsc(const struct sb *sb)
{
	return &((struct gofer_conn *)handle_ptr(gofer_sb(sb)->conn))->fsc;
}

extern const struct inode_ops gofer_inode_ops;
extern const struct file_ops gofer_reg_ops, gofer_dir_ops;
extern const struct mappable_ops gofer_mappable_ops;

/* The inode of a node, new or known (the node id is then given back).  NULL: out of memory (the
 * id is given back).  target: of a symlink, len bytes. */
struct inode *gofer_inode_make(
	struct sb *sb, const struct fs_node *node, const char *target, size_t len);
void gofer_inode_free(struct inode *i);
/* Stores attributes from the gofer. */
void gofer_set_attr(struct gofer_inode *g, const struct fs_attr *a);
/* Size, blocks and times again, after writes. */
int gofer_refresh(struct gofer_inode *g);
/* The host descriptor for reading (or writing): opened if need be.  >= 0 or -errno. */
int gofer_fd(struct gofer_inode *g, bool write);
/* Takes a donated descriptor over. */
void gofer_keep_fd(struct gofer_inode *g, int fd, bool write);

#endif
