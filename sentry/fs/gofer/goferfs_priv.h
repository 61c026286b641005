/*
 * Between the files of the gofer file system: its superblock, its inodes, its connection.
 *
 * An inode owns a node of the gofer's (given back when it dies) and, once it was opened,
 * descriptors that the gofer donated; a connection is shared by all file systems of a container,
 * and lies outside the arena, behind a handle.
 *
 * Locks: the VFS holds sb->tree around directory operations, so names need none of ours. Attributes
 * and descriptors are the inode's (inode.lock), the table of inodes the superblock's (lock, never
 * held across a call).  Whatever talks to the gofer (fsc_*) blocks, and is not interrupted: under
 * sb->tree and LOCK_INODE_WRITE at most, both sleepable.
 */
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
	uint32_t uds; /* FS_UDS_* */
	struct fsc fsc;
};

struct gofer_sb {
	struct sb *sb;         /* whose priv it is */
	struct list_node node; /* in the list of all, super.c */
	handle_t conn;
	uint32_t tree;
	bool shared;
	uint64_t changes;       /* shared: stamps for gofer_inode.attr_gen; atomic */
	struct mutex lock;      /* LOCK_INODE: inodes */
	struct rb_root inodes;  /* struct gofer_inode by (dev, ino): hard links share one */
	struct list_node lists; /* struct gofer_list, oldest first; GUARDED_BY(lock) */
	uint32_t list_bytes;    /* GUARDED_BY(lock) */
	struct list_node files; /* regular ones, in the order of their look-up (exclusive);
				   GUARDED_BY(lock) */
	uint32_t passes;        /* of known.c, so far; GUARDED_BY sb->tree */
	void *batch; /* GOFER_BATCH bytes for answers, NULL: not needed yet; GUARDED_BY sb->tree */
};

/* What is known of an inode's extended attributes; NONE in exclusive mode only. */
enum gofer_xattrs { GOFER_XATTRS_UNKNOWN, GOFER_XATTRS_NONE, GOFER_XATTRS_SOME };

#define GOFER_BATCH FS_DATA_MAX
struct gofer_list; /* listing.c */

/* Who opened a file: nobody, we before anybody asked, a guest. */
enum gofer_opened { GOFER_CLOSED, GOFER_AHEAD, GOFER_OPENED };

struct gofer_inode {
	struct inode inode; /* first */
	struct mappable map;
	uint64_t node;     /* the gofer's id, owned */
	uint64_t host_dev; /* with inode.ino: the key */
	struct rb_node rb;
	/*
	 * Donated descriptors: read-only, and read-write.  Opened on first need, kept while the
	 * inode lives; GUARDED_BY(inode.lock) for setting, read as one word.
	 */
	handle_t rfd, wfd;
	/* When we last changed attributes: grows with each change.  GUARDED_BY(inode.lock) for
	 * setting. */
	uint64_t attr_gen;
	bool attr_stale; /* the host changed size, blocks and times by our writes; so guarded, too
			  */
	uint64_t blocks; /* 512 bytes */
	uint32_t blksize;
	uint8_t xattrs;        /* enum gofer_xattrs; atomic */
	uint8_t opened;        /* enum gofer_opened; atomic */
	struct list_node file; /* in gofer_sb.files */
	char *target; /* of a symlink; NULL: not asked for yet.  Set once, under inode.lock */
	uint32_t target_len;
	uint32_t named; /* the last pass of known.c that was done with it by its name; GUARDED_BY
			   sb->tree */
	/* Of a directory; GUARDED_BY(sb->tree). */
	struct gofer_list *list; /* owned */
	uint32_t asked,
		list_after; /* names asked for without a listing; how many before one is made */
	bool list_too_big;
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

/* For gofer_inode_make: taken before the gofer is asked for the node. */
static inline uint64_t gofer_asked(const struct sb *sb)
{
	return __atomic_load_n(&gofer_sb(sb)->changes, __ATOMIC_ACQUIRE);
}
/* The inode of a node, new or known (the node id is then given back, and its attributes are news
 * if the tree is shared).  NULL: out of memory (the id is given back).  target: of a symlink, len
 * bytes. */
struct inode *gofer_inode_make(struct sb *sb, const struct fs_node *node, uint64_t asked,
	const char *target, size_t len);
void gofer_inode_free(struct inode *i);
/* The next inode of s after prev, whose reference is given up (NULL: the first), with one. */
struct gofer_inode *gofer_inode_after(struct gofer_sb *s, struct gofer_inode *prev);
/* The same for mounted trees of a connection (HANDLE_NONE: of all). */
struct sb *gofer_sb_after(handle_t conn, struct sb *prev);
/* sb_ops.twin: by device and number on the host, which all gofers see. */
struct inode *gofer_twin(struct inode *i, struct inode *prev);
/* What the host tells of g from now on has a change of ours in it; the size is at least size. */
void gofer_attr_changed(struct gofer_inode *g, uint64_t size);
/* Size, blocks and times again, after writes. */
int gofer_refresh(struct gofer_inode *g);
/* The host descriptor for reading (or writing): opened if need be.  >= 0 or -errno. */
int gofer_fd(struct gofer_inode *g, bool write);
/*
 * listing.c.  sb->tree is held.  The listing of a directory, fetched if need be: NULL in *out if
 * none is kept of it (too large, or shared with the host).
 */
int gofer_list_get(struct gofer_inode *g, struct gofer_list **out);
/* A name of g has to be asked for: is it time for a listing? */
bool gofer_list_wanted(struct gofer_inode *g);
/* An entry of the directory changes, or it goes. */
void gofer_list_drop(struct gofer_inode *g);
int gofer_list_each(const struct gofer_list *l,
	int (*fn)(void *arg, const char *name, size_t len, uint64_t ino, uint8_t type), void *arg);
/* Is there surely no such name? */
bool gofer_list_lacks(const struct gofer_list *l, const char *name, size_t len);
/* Names below dir, besides d, that are worth asking for at once: how many of at most max.  They
 * point into the listing. */
unsigned gofer_list_ahead(struct gofer_list *l, struct dentry *dir, const struct dentry *d,
	struct fs_name *names, unsigned max);

/* ahead.c: descriptors. */
void gofer_ahead_init(void);
/* g's order among the files of its superblock: where it was looked up. */
void gofer_ahead_add(struct gofer_inode *g);
void gofer_ahead_remove(struct gofer_inode *g);
/* Opens g for reading, and with it what is likely to be opened next.  g's descriptor or -errno. */
int gofer_open_ahead(struct gofer_inode *g);
/* A guest uses g's descriptors. */
void gofer_used(struct gofer_inode *g);
/* Takes a donated descriptor over. */
void gofer_keep_fd(struct gofer_inode *g, int fd, bool write);
/* Gives back what g kept; nobody uses it any more. */
void gofer_drop_fds(struct gofer_inode *g);

#endif
