/*
 * Superblocks, inodes and dentries: the file tree.
 *
 * Ownership: a dentry holds a reference to its inode and its parent; a hashed
 * (cached) dentry has one more, the cache's, which dentry_unhash drops.  A mount
 * holds its root dentry and an (active) reference to its superblock; a file
 * holds a path (mount and dentry).  Inodes embed in a file system's own struct
 * (first member) and come from its slab; sb_ops.inode_free gives it back.  When
 * the last active reference to a superblock goes, its tree is dropped; the
 * struct itself and sb->priv live on until the last inode is gone (sb_ops.kill).
 *
 * Locks: sb->tree (sleepable; may be held across gofer calls) guards the
 * dentry tree of a superblock: names, parents, children, hashing and all
 * directory-changing inode operations (create, unlink, rename ... are called
 * with it held, so a file system needs no lock of its own for directory
 * contents).  inode->lock (not sleepable) guards attributes and data pages.
 * Order: tree before inode lock; two inode locks by address.
 *
 * Permission checks are the VFS's business (vfs/path.c); file systems check
 * only what is peculiar to them.  All operations return 0 or -errno.
 */
#ifndef SENTRY_VFS_INODE_H
#define SENTRY_VFS_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/handle.h"
#include "lib/list.h"
#include "lib/lock.h"
#include "lib/rbtree.h"
#include "lib/ref.h"
#include "sentry/core/ctx.h"
#include "sentry/core/uio.h"
#include "sentry/core/waitq.h"

#define VFS_NAME_MAX 255
#define VFS_PATH_MAX 4096

struct file;
struct inode;
struct dentry;
struct sb;
struct path;

struct ktime {
	int64_t sec;
	int32_t nsec;
};

/* What stat and statx report. */
struct kstat {
	uint64_t ino, size, blocks;
	uint32_t mode, nlink, uid, gid, blksize;
	uint64_t dev, rdev; /* in Linux' huge encoding, makedev() */
	struct ktime atime, mtime, ctime, btime;
	bool has_btime;
	uint64_t attributes, attributes_mask, mnt_id; /* statx */
};

#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u /* to .atime */
#define ATTR_MTIME 32u
#define ATTR_ATIME_NOW 64u
#define ATTR_MTIME_NOW 128u
#define ATTR_KILL_PRIV 256u /* drop set-id bits as a write does (already folded into mode) */

struct kattr {
	uint32_t valid; /* ATTR_* */
	uint32_t mode;  /* permission bits only */
	uint32_t uid, gid;
	uint64_t size;
	struct ktime atime, mtime;
};

struct kstatfs {
	uint64_t type, bsize, blocks, bfree, bavail, files, ffree, frsize, flags;
	uint64_t fsid;
	uint32_t namelen;
};

/* Every kind of inode of the sentry: indexes the table of operations. */
enum inode_type {
	INODE_NONE,
	INODE_TMPFS,
	INODE_GOFER,
	INODE_OVERLAY,
	INODE_PROC,
	INODE_SYSFS,
	INODE_DEVPTS,
	INODE_CGROUP,
	INODE_MQUEUE,
	INODE_PIPEFS, /* anonymous pipes */
	INODE_SOCKFS,
	INODE_ANON, /* eventfd, epoll ... */
	INODE_HOST, /* donated stdio */
	INODE_NSFS,
	INODE_PIDFD,
	INODE_TYPE_NR = 32
};

enum sb_type {
	SB_NONE,
	SB_TMPFS,
	SB_GOFER,
	SB_OVERLAY,
	SB_PROC,
	SB_SYSFS,
	SB_DEVPTS,
	SB_DEVTMPFS,
	SB_CGROUP,
	SB_MQUEUE,
	SB_CGROUP2,
	SB_ANON, /* the internal superblock of pipes, sockets, anonymous inodes, host files */
	SB_TYPE_NR = 16
};

struct sb {
	struct ref ref;
	uint8_t type; /* enum sb_type */
	uint64_t dev; /* st_dev: anonymous, minor counted up */
	uint64_t magic;
	uint32_t flags; /* SB_RDONLY as MS_RDONLY, MS_NOSUID ... of the superblock */
	struct mutex tree;
	struct dentry *root; /* owned */
	uint64_t next_ino;
	void *priv;               /* fs-specific arena object */
	const char *source;       /* buf_strndup; device name in /proc/mounts */
	uint32_t passive;         /* atomic: one a struct inode, one for all of ref */
	uint32_t nr_cached;       /* length of lru; GUARDED_BY(tree) */
	uint32_t reap;            /* atomic: an unused DENTRY_NOCACHE dentry is left on lru */
	struct list_node lru;     /* hashed dentries that may be dropped; GUARDED_BY(tree) */
	struct list_node watches; /* inotify's; vfs->notify_lock */
	uint64_t next_cookie;     /* for dentry.cookie; GUARDED_BY(tree) */
};

struct mount;
struct pid_ns;
struct ipc_ns;
struct cgroup;

/*
 * What a superblock is made of: what mount(2) says, and kernel objects, which only the kernel's own
 * mounts name.  All of it is borrowed: a file system that keeps something takes a reference.
 */
struct fs_mount_args {
	const char *source;    /* as shown in /proc/mounts; may be NULL */
	const char *data;      /* comma-separated options; may be NULL */
	struct pid_ns *pid_ns; /* proc: whose processes; NULL: the caller's */
	struct ipc_ns *ipc_ns; /* mqueue: whose queues; NULL: the caller's */
	struct cgroup *cgroup; /* cgroup2: whose tree; NULL: the caller's container's */
	struct {
		handle_t conn; /* of goferfs_connect */
		uint32_t tree; /* which of those that it serves */
		bool shared;   /* others change it as well: goferfs.h */
	} gofer;
	struct {
		struct mount *upper, *lower;
	} overlay;
};

struct sb_ops {
	const char *name; /* as in /proc/filesystems */
	bool nodev;
	bool kernel_only; /* mount(2) says -ENODEV */
	/* Mounts: fills sb->priv and sb->root. */
	int (*mount)(struct ctx *ctx, struct sb *sb, const struct fs_mount_args *a);
	/* A file system that is there once a namespace: that one, with a reference (mount is not
	 * called then).  NULL op: each mount is a new superblock. */
	int (*share)(struct ctx *ctx, const struct fs_mount_args *a, struct sb **out);
	int (*remount)(struct ctx *ctx, struct sb *sb, uint32_t flags, const char *data);
	void (*kill)(struct sb *sb); /* last reference gone: free priv */
	int (*statfs)(struct ctx *ctx, struct sb *sb, struct kstatfs *out);
	int (*sync)(struct ctx *ctx, struct sb *sb);
	/* Options for /proc/mounts, each with a leading comma, into buf. */
	void (*show_options)(struct sb *sb, char *buf, size_t n);
	/* Last reference of an inode gone (nlink may be 0): release data and memory. */
	void (*inode_free)(struct inode *i);
	/*
	 * Where a file may have several inodes (it is mounted twice, each time as a file system of
	 * its own: volumes that containers share): another one of i's file, with a reference. prev:
	 * the last answer, whose reference is given up; NULL: the first.  Blocks.
	 */
	struct inode *(*twin)(struct inode *i, struct inode *prev);
};

struct inode {
	struct ref ref;
	uint8_t type;   /* enum inode_type */
	uint8_t ftype;  /* enum file_type of the files opened on it by default */
	uint16_t flags; /* INODE_* */
	struct sb *sb;  /* borrowed: lives as long as its dentries */
	struct mutex lock;
	uint32_t mode GUARDED_BY_MEMBER(lock); /* type bits never change */
	GUARDED_BY_MEMBER(lock) uint32_t uid, gid, nlink;
	uint64_t ino, rdev;
	uint64_t size GUARDED_BY_MEMBER(lock);
	struct ktime atime, mtime, ctime, btime; /* GUARDED_BY(lock) */
	int32_t readers;                         /* regular files: open for reading only */
	int32_t writers;          /* > 0: open for writing; < 0: being executed (ETXTBSY) */
	struct flock_ctx *flocks; /* advisory locks, vfs/flock.c; GUARDED_BY LOCK_FLOCK */
	struct pipe *pipe;        /* of a FIFO (fs/pipe.c) */
	struct list_node watches; /* inotify */
	bool watched;             /* there was one, once; atomic */
	void *sock;               /* bound AF_UNIX socket */
	void *priv; /* of inodes that embed nothing (SB_ANON); an overlay's, of its upper layer */
	/* Sleepable (LOCK_INODE_WRITE): held by the VFS around write, truncate and fallocate of a
	 * regular file, so that O_APPEND and overlapping writes are atomic. */
	struct mutex write_lock;
};

#define INODE_FLAG_NOCACHE 1u /* attributes must be fetched (shared gofer): getattr each time */
#define INODE_FLAG_MEMFD 2u
#define INODE_FLAG_SWAPFILE 4u
#define INODE_FLAG_LINKABLE 8u /* O_TMPFILE without O_EXCL: linkat(2) may give it a name */
#define INODE_FLAG_IMMUTABLE 16u
#define INODE_FLAG_APPEND 32u
#define INODE_FLAG_OPAQUE 128u      /* directory of an overlay's upper layer: hides the one below */
#define INODE_FLAG_WRITE_SEALED 64u /* memfd: may not be mapped shared for writing any more */

struct dirent_sink; /* see file.h */

struct inode_ops {
	/* Directory operations: sb->tree is held; dir and d->parent agree; d is negative. */
	/* Finds d->name in dir: attaches the inode with dentry_instantiate, or leaves d negative
	 * (return 0 in both cases; -ENOENT is not used).  The VFS hashes d afterwards, unless the
	 * operation set DENTRY_UNCACHED.  NULL: the cached tree is the truth (tmpfs), what is not
	 * hashed does not exist. */
	int (*lookup)(struct ctx *ctx, struct inode *dir, struct dentry *d);
	/* mode includes the type bits and is already masked by umask; the VFS has decided uid/gid
	 * (set-gid directories). d is instantiated. rdev for device nodes. */
	int (*create)(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
		uint32_t uid, uint32_t gid, uint64_t rdev);
	int (*symlink)(struct ctx *ctx, struct inode *dir, struct dentry *d, const char *target,
		uint32_t uid, uint32_t gid);
	int (*link)(struct ctx *ctx, struct inode *dir, struct dentry *d, struct inode *target,
		struct dentry *target_dentry);
	/* The VFS has checked type and permission, not emptiness. */
	int (*unlink)(struct ctx *ctx, struct inode *dir, struct dentry *d);
	int (*rmdir)(struct ctx *ctx, struct inode *dir, struct dentry *d);
	/* flags: RENAME_NOREPLACE (already checked), RENAME_EXCHANGE, RENAME_WHITEOUT. new may be
	 * negative or to be replaced (types checked). The VFS moves the dentries afterwards. */
	int (*rename)(struct ctx *ctx, struct inode *olddir, struct dentry *old,
		struct inode *newdir, struct dentry *new, uint32_t flags);
	/* O_TMPFILE */
	int (*tmpfile)(struct ctx *ctx, struct inode *dir, struct dentry *d, uint32_t mode,
		uint32_t uid, uint32_t gid);
	/*
	 * The target of a symlink into buf (n bytes), its length; or for magic links (proc fd,
	 * exe, cwd, ns) follow jumps: if not NULL, walking calls it and goes on from *out
	 * (references passed to the caller); -EOPNOTSUPP: this one is an ordinary symlink.
	 */
	ssize_t (*readlink)(struct ctx *ctx, struct inode *i, char *buf, size_t n);
	int (*follow)(struct ctx *ctx, struct inode *i, struct path *out);
	/* Attributes; NULL: generic from the inode. */
	int (*getattr)(struct ctx *ctx, struct inode *i, struct kstat *st);
	/* The VFS has checked permission. NULL: generic (attributes, no size). -EOPNOTSUPP... */
	int (*setattr)(struct ctx *ctx, struct inode *i, const struct kattr *a);
	/* NULL: generic mode bits. mask: MAY_* */
	int (*permission)(struct ctx *ctx, struct inode *i, int mask);
	/* f has inode, flags and path set; may set f->type, f->priv. NULL: f->type = i->ftype. */
	int (*open)(struct ctx *ctx, struct inode *i, struct file *f);
	/* A socket: one of the host's that is connected to it, which does not block; type: SOCK_*.
	 * NULL, -ECONNREFUSED: nobody is there; -EPROTOTYPE, -EAGAIN (full). */
	int (*sock_connect)(struct ctx *ctx, struct inode *i, int type, int *fd);
	/* Extended attributes: names with their prefix; -EOPNOTSUPP, -ENODATA, -ERANGE. */
	ssize_t (*getxattr)(struct ctx *ctx, struct inode *i, const char *name, void *v, size_t n);
	int (*setxattr)(struct ctx *ctx, struct inode *i, const char *name, const void *v, size_t n,
		int flags);
	ssize_t (*listxattr)(struct ctx *ctx, struct inode *i, char *buf, size_t n);
	int (*removexattr)(struct ctx *ctx, struct inode *i, const char *name);
	/* Is the cached dentry still true? NULL: always. false: it is dropped and looked up
	 * again. Called with sb->tree held. */
	bool (*revalidate)(struct ctx *ctx, struct dentry *d);
	/* Anonymous inodes (SB_ANON): the last reference is gone; drops what i->priv holds. */
	void (*evict)(struct inode *i);
};

#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4

struct dentry {
	struct ref ref;
	struct sb *sb;
	struct dentry *parent; /* owned; NULL for a root */
	struct inode *inode;   /* owned; NULL: negative */
	char *name;            /* buf_strndup */
	uint32_t hash;
	uint16_t name_len;
	uint16_t flags;
	uint32_t mounts;           /* number of mounts on top, any namespace */
	struct rb_node child_node; /* in parent->children, by (hash, name); GUARDED_BY sb->tree */
	struct rb_root children;   /* GUARDED_BY sb->tree */
	struct list_node sibling;  /* in parent->child_list, by cookie; GUARDED_BY sb->tree */
	struct list_node child_list;
	uint64_t cookie;      /* readdir position of a hashed dentry; ascending in child_list */
	struct list_node lru; /* in sb->lru: hashed and not persistent */
	void *priv;           /* fs-specific arena object */
};

#define DENTRY_HASHED 1u      /* reachable from its parent */
#define DENTRY_DELETED 2u     /* unlinked: " (deleted)" */
#define DENTRY_NOCACHE 4u     /* drop at the last put (proc) */
#define DENTRY_PERSISTENT 8u  /* never dropped from the cache (tmpfs: the tree is the data) */
#define DENTRY_REFERENCED 16u /* found since the shrinker last came by */
#define DENTRY_UNCACHED 32u   /* set by a lookup that must not be cached at all */
/* Scratch of a mount's propagation, under sb->tree. */
#define DENTRY_ASKED 64u
#define DENTRY_ABOVE 128u

/* Whether d has one of these flags: now, unless the lock of its superblock's tree is held. */
static inline bool dentry_is(const struct dentry *d, uint16_t flags)
{
	return READ_ONCE(d->flags) & flags;
}

/* With the lock of the tree, or before anybody else knows d. */
static inline void dentry_mark(struct dentry *d, uint16_t set, uint16_t clear)
{
	WRITE_ONCE(d->flags, (uint16_t)((d->flags | set) & ~clear));
}

/* Until the kernel has started (lib/ro_after_init.h). */
void inode_ops_register(enum inode_type t, const struct inode_ops *ops);
void sb_ops_register(enum sb_type t, const struct sb_ops *ops);
const struct inode_ops *inode_ops(const struct inode *i);
const struct sb_ops *sb_ops(const struct sb *sb);
/* Character and block devices: files opened on such a node get that type (and file_ops.open). */
void device_register(uint32_t mode_type, uint32_t major, uint32_t minor, int file_type);
/* By /proc/filesystems name; NULL if there is none. */
const struct sb_ops *sb_ops_by_name(const char *name, enum sb_type *type);

/* The i-th registered type for /proc/filesystems, NULL past the end (kernel_only ones too). */
const struct sb_ops *sb_ops_nth(int i);

struct sb *sb_alloc(enum sb_type type);
static inline struct sb *sb_get(struct sb *sb)
{
	ref_get(&sb->ref);
	return sb;
}
void sb_put(struct sb *sb);
uint64_t sb_new_ino(struct sb *sb);

/* For the file system's own allocation: ref 1, times now, nlink 1. */
void inode_init(struct inode *i, struct sb *sb, enum inode_type type, uint32_t mode, uint32_t uid,
	uint32_t gid);
static inline struct inode *inode_get(struct inode *i)
{
	ref_get(&i->ref);
	return i;
}
void inode_put(struct inode *i);
/*
 * Another inode of the same file for which has() is true (sb_ops.twin), with a reference; NULL:
 * there is none.  What may hang on any of them is looked for and attached between the other two
 * calls, by one thread at a time.
 */
struct inode *inode_twin(struct inode *i, bool (*has)(const struct inode *i));
void inode_twins_lock(void);
void inode_twins_unlock(void);
struct ktime ktime_now(void); /* CLOCK_REALTIME */
void inode_touch(struct inode *i, bool atime, bool mtime, bool ctime);
void inode_generic_stat(struct inode *i, struct kstat *st);
int inode_getattr(struct ctx *ctx, struct inode *i, struct kstat *st);
int inode_generic_setattr(struct inode *i, const struct kattr *a);
/* MAY_* against cred and mode bits, CAP_DAC_*: 0 or -EACCES.  Calls ops->permission if set. */
int inode_permission(struct ctx *ctx, struct inode *i, int mask);
int inode_generic_permission(struct ctx *ctx, struct inode *i, int mask);
/* Applies kattr through the file system's operation; the VFS verbs above it check permission. */
int inode_setattr(struct ctx *ctx, struct inode *i, const struct kattr *a);
/* execve: -ETXTBSY if i is open for writing, else nobody may open it so until allow. */
int inode_deny_write(struct inode *i);
void inode_allow_write(struct inode *i);
/* As inode_deny_write for the other side: open for writing. */
int inode_get_write(struct inode *i);
void inode_put_write(struct inode *i);

/* A dentry with one reference, not hashed. */
struct dentry *dentry_alloc(struct sb *sb, struct dentry *parent, const char *name, size_t len);
struct dentry *dentry_make_root(struct sb *sb, struct inode *root); /* takes the reference */
static inline struct dentry *dentry_get(struct dentry *d)
{
	ref_get(&d->ref);
	return d;
}
void dentry_put(struct dentry *d);
/* Takes over the reference to i. */
void dentry_instantiate(struct dentry *d, struct inode *i);
/* Adds d to its parent's children; sb->tree held. */
void dentry_hash(struct dentry *d);
void dentry_unhash(struct dentry *d);
/* The cached child with a new reference, or NULL; sb->tree held. */
struct dentry *dentry_find(struct dentry *parent, const char *name, size_t len);
/* As dentry_find, then by the lookup operation: *out is never NULL on success but may be
 * negative (d->inode NULL) and then unhashed.  sb->tree held.  No permission check. */
int dentry_lookup(struct ctx *ctx, struct dentry *parent, const char *name, size_t len,
	struct dentry **out);
/* Gives d the place (parent, name) and marks the one that was there deleted; sb->tree held.
 * name: buf_alloc'ed, taken over. */
void dentry_move(struct dentry *d, struct dentry *target, char *name);
/* Two hashed dentries swap their places; sb->tree held. */
void dentry_exchange(struct dentry *a, struct dentry *b);
/* The name is gone (unlink, rmdir, replaced): unhashed, DENTRY_DELETED; sb->tree held. */
void dentry_delete(struct dentry *d);
/* Is a the same as or an ancestor of d?  sb->tree held. */
bool dentry_is_ancestor(const struct dentry *a, const struct dentry *d);

#endif
