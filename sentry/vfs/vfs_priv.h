/*
 * Private to sentry/vfs: the global state (one arena object) and what its
 * files need of one another.
 */
#ifndef SENTRY_VFS_VFS_PRIV_H
#define SENTRY_VFS_VFS_PRIV_H

#include "lib/abi/inotify.h"
#include "lib/rbtree.h"
#include "sentry/core/arena.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/lease.h"
#include "sentry/vfs/path.h"
#include "sentry/vfs/vfs.h"

#define MOUNT_BUCKETS 128

struct vfs_globals {
	struct mutex mount_lock; /* LOCK_MOUNT: every mount tree */
	struct list_node mounts; /* all attached mounts, by all_node */
	int next_mount_id;
	uint32_t nr_mounts; /* atomic; at most MOUNT_MAX */
	uint32_t next_group;
	struct list_node group_peers[MOUNT_BUCKETS]; /* attached mounts: propagate.c */
	struct list_node group_slaves[MOUNT_BUCKETS];
	uint64_t next_event; /* of a propagation */
	uint64_t next_ns_id;
	uint32_t next_dev; /* atomic */
	struct sb *anon_sb;
	struct mount *anon_mnt;
	struct mutex twin_lock;      /* LOCK_TWIN: what hangs on one of a file's inodes */
	struct mutex flock_lock;     /* LOCK_FLOCK: every advisory lock */
	struct list_node flock_ctxs; /* for /proc/locks */
	struct list_node flock_blocked;
	struct mutex epoll_nest;       /* LOCK_EPOLL: what makes paths of several epolls */
	uint64_t epoll_check;          /* checks of such paths so far; epoll_nest */
	struct mutex epoll_users_lock; /* LOCK_NOTIFY */
	struct rb_root epoll_users;    /* struct epoll_user by uid; epoll_users_lock */
	struct mutex notify_lock;
	uint32_t nr_watches;     /* dmarks too; read without the lock as a hint */
	struct list_node dmarks; /* dnotify.c; notify_lock */
	uint32_t notify_cookie;
	uint32_t inotify_instances;
	struct vfs_sysctl sysctl;
};
extern struct vfs_globals *vfs;

void anon_init_ops(void);
int anon_init(void);
void dir_init_ops(void);
void epoll_init_ops(void);
void inotify_init_ops(void);
/* What hangs on a file of locks and leases: on each of its inodes that was asked for it. */
struct flock_ctx {
	GUARDED_BY(vfs->flock_lock) struct list_node records, flocks, all_node;
	struct list_node leases GUARDED_BY(vfs->flock_lock); /* lease.c */
	uint32_t nleases;                                    /* read without the lock as a hint */
	uint32_t inodes GUARDED_BY(vfs->flock_lock);         /* that it hangs on */
	uint64_t dev, ino;                                   /* of the first */
	struct waitq wait;
};
struct flock_ctx *flock_ctx_of(struct inode *i); /* made if need be; NULL: out of memory */
void flock_inode_free(struct inode *i);

/* --- lease.c --- */
int lease_do_break(struct ctx *ctx, struct inode *i, bool write, bool nonblock);
/* i is being opened or truncated: 0, -EWOULDBLOCK, -ERESTARTSYS. */
static inline int lease_break(struct ctx *ctx, struct inode *i, bool write, bool nonblock)
{
	/* Whoever opens has counted itself before; lease_set looks again after it is visible. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	struct flock_ctx *c = __atomic_load_n(&i->flocks, __ATOMIC_ACQUIRE);
	if (likely(!c || !__atomic_load_n(&c->nleases, __ATOMIC_ACQUIRE)))
		return 0;
	return lease_do_break(ctx, i, write, nonblock);
}
void lease_release(struct file *f);
void epoll_file_gone(struct file *f);
int device_lookup(uint32_t mode, uint64_t rdev);
/* Drops every dentry of a superblock that nobody holds a reference to any more. */
void dcache_drop_tree(struct sb *sb);

/* --- mount.c --- */
/* The mount on top of p, with references in *p replaced; true if there is one. */
bool mount_cross(struct path *p);
/* From a mount's root to what it is mounted on: false at the top. */
bool mount_up(struct path *p);
bool mount_is_local_mountpoint(struct mount_ns *ns, struct dentry *d);
/* The name of a mountpoint in another namespace has gone: those mounts go too. */
void mount_detach_dentry(struct dentry *d);
/* 0 or -EROFS. */
int mount_want_write(const struct mount *m);

/* --- walk.c --- */
#define WALK_MAX_LINKS 40
struct walk_level {
	char *buf; /* buf_alloc'ed, NULL for the caller's string */
	size_t buf_size;
	const char *rest;
};
struct walk {
	const struct vfs_view *v;
	struct ctx *ctx;
	uint32_t flags; /* WALK_* */
	struct path root, cur;
	struct last_component last; /* name points into the top level */
	char name[VFS_NAME_MAX + 1];
	bool trailing; /* a slash followed the last component, here or where a link was */
	bool jumped;   /* last.type is meaningless: cur is the result of a magic link */
	int links, depth;
	struct walk_level level[WALK_MAX_LINKS + 2];
};
int walk_start(struct walk *w, const struct vfs_view *v, int dirfd, const char *path,
	uint32_t flags);
void walk_end(struct walk *w);
/* Up to the last component, which is left in w->last. */
int walk_to_parent(struct walk *w);
/* The last component below cur as a dentry (maybe negative); no mount crossing. */
int walk_last_dentry(struct walk *w, struct dentry **out);
/* d, below cur, is a symlink that is to be followed: continue with walk_to_parent. */
int walk_follow(struct walk *w, struct dentry *d, bool is_last);
/* Moves cur to its child d (reference passed), crossing mounts. */
int walk_step(struct walk *w, struct dentry *d);
/* Handles a last component that is ".", ".." or "/". */
int walk_last_special(struct walk *w);

/* --- file.c, dir.c --- */
void file_accessed(struct file *f);
int64_t dir_llseek(struct ctx *ctx, struct file *f, int64_t off, int whence);

/* --- namei.c --- */
int may_create(struct ctx *ctx, struct dentry *dir);
int open_finish(struct ctx *ctx, const struct path *p, uint64_t flags, bool created,
	struct file **out);

/* Owner and mode of a new object in dir (set-gid directories). */
void vfs_new_owner(struct ctx *ctx, struct inode *dir, uint32_t *mode, uint32_t *uid,
	uint32_t *gid);
/* attr.c: truncate without permission checks. */
int vfs_do_truncate(struct ctx *ctx, const struct path *p, uint64_t size);
/* Drops set-id bits because the caller writes to i or changes its owner. */
int vfs_kill_priv(struct ctx *ctx, struct inode *i);

/* --- notify.c: hooks --- */
/* --- dnotify.c --- */
void dnotify_close(struct file *f);
void dnotify_post_locked(struct inode *dir, uint32_t mask) REQUIRES(vfs->notify_lock);

/* A mask is of IN_*, and this: */
#define NOTIFY_RENAME 0x10000000u /* to dnotify only: the name stays in its directory */
void notify_inode_free(struct inode *i);
void notify_unlinked(struct dentry *d);
void notify_sb_gone(struct sb *sb);
/* An event on d itself and, with its name, on its parent. */
void notify_dentry(struct dentry *d, uint32_t mask);
void notify_path_event(const struct path *p, uint32_t mask);
/* An event in dir about the entry name. */
void notify_dir(struct inode *dir, uint32_t mask, const char *name, size_t len, uint32_t cookie);
void notify_inode(struct inode *i, uint32_t mask);
uint32_t notify_next_cookie(void);

#endif
