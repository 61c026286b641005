/*
 * Paths, mounts and the name-space verbs of the VFS (openat, mkdirat ...):
 * what syscalls/ calls.  All paths come as kernel strings (already
 * copied in).  dirfd semantics are resolved here.
 */
#ifndef SENTRY_VFS_PATH_H
#define SENTRY_VFS_PATH_H

struct mount;

/* A place in a mount namespace.  Both references are owned by whoever owns the path. */
struct path {
	struct mount *mnt;
	struct dentry *dentry;
};

#include "sentry/vfs/inode.h"

struct fdtable;

/* Root, working directory and umask; shared by CLONE_FS. */
struct fsctx {
	struct ref ref;
	struct mutex lock; /* LOCK_FSCTX */
	struct path root, cwd;
	uint32_t umask;
	/* How many tasks have it as theirs; whoever else looks at it has a reference only. */
	uint32_t users GUARDED_BY_MEMBER(lock);
	/* A user executes something, and has counted them: there may be no more. */
	bool in_exec GUARDED_BY_MEMBER(lock);
};
struct fsctx *fsctx_new(void);
struct fsctx *fsctx_dup(struct fsctx *f);
void fsctx_put(struct fsctx *f);
/* One more user, with a reference (CLONE_FS); a new one has one.  -EAGAIN: see in_exec. */
int fsctx_share(struct fsctx *f);
uint32_t fsctx_users(struct fsctx *f);
void fsctx_set_root(struct fsctx *f, const struct path *p); /* takes references of its own */
void fsctx_set_cwd(struct fsctx *f, const struct path *p);
void fsctx_get(struct fsctx *f, struct path *root, struct path *cwd); /* either may be NULL */

struct path path_get(const struct path *p);
void path_put(struct path *p); /* NULL-safe members; clears */

struct mount {
	struct ref ref;
	int id, parent_id_cached;
	struct mount *parent;      /* GUARDED_BY mount lock */
	struct dentry *mountpoint; /* in parent; owned */
	struct dentry *root;       /* owned */
	struct sb *sb;             /* owned */
	uint32_t flags;            /* MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME ... */
	struct mount_ns *ns;
	struct list_node ns_node; /* ns->mounts, in mount order */
	struct list_node child_node, children;
	struct list_node all_node; /* every attached mount, any namespace */
	bool attached, locked;
	bool expire; /* MNT_EXPIRE was asked once; cleared by use */
	uint32_t
		propagation; /* MS_PRIVATE, MS_SHARED, MS_SLAVE (also with SHARED), MS_UNBINDABLE */
	uint32_t peer_group; /* MS_SHARED: group of its peers */
	uint32_t master_group;                  /* MS_SLAVE: group it receives from */
	uint32_t writers;                       /* files open for writing; atomic */
	struct mount *copy;                     /* scratch of a tree copy under the mount lock */
	struct list_node peer_node, slave_node; /* of its groups, while attached: propagate.c */
	struct mount *next_heard;               /* scratch of a propagation */
	uint64_t heard, spread;
};
/*
 * One lock (LOCK_MOUNT, vfs_priv.h) guards every mount tree: parent, mountpoint, children,
 * attached, flags and the lists.  An attached mount has one reference of its tree's; each user
 * of a path has another.
 */

struct mount_ns {
	struct ref ref;
	uint64_t id;
	struct mount *root;
	struct list_node mounts;
	uint64_t event; /* counts changes, for poll on /proc/mounts */
	struct waitq wait;
};

struct mount_ns *mount_ns_new(void);
/* CLONE_NEWNS: a copy of ns; fs's (not shared) root and cwd are moved over to it.  NULL: memory. */
struct mount_ns *mount_ns_copy(struct mount_ns *ns, struct fsctx *fs);
static inline struct mount_ns *mount_ns_get(struct mount_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}
void mount_ns_put(struct mount_ns *ns);
/* The place that "/" of ns is: its root with what is mounted on it; *out owned by the caller. */
void mount_ns_root(struct mount_ns *ns, struct path *out);
static inline struct mount *mount_get(struct mount *m)
{
	ref_get(&m->ref);
	return m;
}
void mount_put(struct mount *m);

/*
 * The caller's view: what a path walk needs beyond ctx.  Built on the stack by
 * syscalls (task_vfs(t, &v)); borrowed pointers.
 */
struct vfs_view {
	struct ctx *ctx;
	struct fsctx *fs;
	struct fdtable *fds;
	struct mount_ns *ns;
};

/* Walk flags. */
#define WALK_NOFOLLOW 1u   /* do not follow a symlink in the last component */
#define WALK_DIRECTORY 2u  /* the result must be a directory: -ENOTDIR */
#define WALK_EMPTY_PATH 4u /* AT_EMPTY_PATH */
#define WALK_NO_AUTOMOUNT 8u
#define WALK_BENEATH 16u /* openat2 RESOLVE_* */
#define WALK_IN_ROOT 32u
#define WALK_NO_XDEV 64u
#define WALK_NO_SYMLINKS 128u
#define WALK_NO_MAGICLINKS 256u
#define WALK_CACHED 512u

/* Finds an existing object: *out owned by the caller. -ENOENT, -ENOTDIR, -EACCES, -ELOOP,
 * -ENAMETOOLONG, -EBADF, -EXDEV (path_resolution(7), openat2(2)). */
int vfs_lookup(const struct vfs_view *v, int dirfd, const char *path, uint32_t flags,
	struct path *out);
/*
 * The parent of the last component: *parent and the name (points into path; *len; trailing
 * slashes skipped and told by *trailing).  The last component may be "." ".." or empty
 * (type by LAST_*), which callers turn into the errno their call wants.
 */
enum last_type { LAST_NORM, LAST_DOT, LAST_DOTDOT, LAST_ROOT };
struct last_component {
	const char *name;
	size_t len;
	enum last_type type;
	bool trailing_slash;
};

struct open_how_k {
	uint64_t flags; /* O_* */
	uint32_t mode;
	uint32_t walk; /* WALK_* for RESOLVE_* */
};
/* open(2) in full: O_CREAT, O_EXCL, O_TRUNC, O_PATH, O_TMPFILE, O_DIRECTORY, O_NOFOLLOW ...
 * *out owned by the caller. */
int vfs_openat(const struct vfs_view *v, int dirfd, const char *path, const struct open_how_k *how,
	struct file **out);
/* In flags of vfs_openat and vfs_open_path, beyond O_*: for execve: MAY_EXEC instead of MAY_READ,
 * a regular file on a mount without noexec, else -EACCES; the file can be read. */
#define OPEN_EXEC (1ull << 40)
/* Opens what p names (no walk), for /proc/self/fd and execve. */
int vfs_open_path(struct ctx *ctx, const struct path *p, uint64_t flags, struct file **out);
/* File handles (handle.c): -EOPNOTSUPP; -ESTALE or what opening says. */
#define VFS_HANDLE_WORDS 3
int vfs_handle_of(const struct path *p, uint32_t words[VFS_HANDLE_WORDS]);
int vfs_open_handle(struct ctx *ctx, struct mount *mnt, const uint32_t words[VFS_HANDLE_WORDS],
	uint64_t flags, struct file **out);
int vfs_mkdirat(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode);
int vfs_mknodat(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode,
	uint64_t rdev);
/* As vfs_mknodat; what was made is told by *out (owned by the caller): bind(2) of AF_UNIX. */
int vfs_mknod_path(const struct vfs_view *v, int dirfd, const char *path, uint32_t mode,
	uint64_t rdev, struct path *out);
int vfs_symlinkat(const struct vfs_view *v, const char *target, int dirfd, const char *path);
int vfs_linkat(const struct vfs_view *v, int olddirfd, const char *old, int newdirfd,
	const char *new, int at_flags);
int vfs_unlinkat(const struct vfs_view *v, int dirfd, const char *path, int at_flags);
int vfs_renameat2(const struct vfs_view *v, int olddirfd, const char *old, int newdirfd,
	const char *new, uint32_t flags);
ssize_t vfs_readlinkat(const struct vfs_view *v, int dirfd, const char *path, char *buf, size_t n);
int vfs_statat(const struct vfs_view *v, int dirfd, const char *path, int at_flags,
	struct kstat *st);
int vfs_accessat(const struct vfs_view *v, int dirfd, const char *path, int mode, int at_flags);
/* On a place already found: permission rules of chmod(2), chown(2), truncate(2), utimensat(2)
 * are applied (incl. clearing set-id bits, EROFS of the mount). */
int vfs_chmod(struct ctx *ctx, const struct path *p, uint32_t mode);
int vfs_chown(struct ctx *ctx, const struct path *p, uint32_t uid, uint32_t gid);
int vfs_truncate(struct ctx *ctx, const struct path *p, uint64_t size);
int vfs_utimens(struct ctx *ctx, const struct path *p, const struct ktime ts[2], uint32_t valid);
int vfs_statfs(struct ctx *ctx, const struct path *p, struct kstatfs *out);
ssize_t vfs_getxattr(struct ctx *ctx, const struct path *p, const char *name, void *buf, size_t n);
int vfs_setxattr(struct ctx *ctx, const struct path *p, const char *name, const void *val, size_t n,
	int flags);
ssize_t vfs_listxattr(struct ctx *ctx, const struct path *p, char *buf, size_t n);
int vfs_removexattr(struct ctx *ctx, const struct path *p, const char *name);
int vfs_chdir(const struct vfs_view *v, const struct path *p); /* checks MAY_EXEC, directory */
int vfs_chroot(const struct vfs_view *v, const struct path *p);

/*
 * The path as getcwd(2) and /proc show it, relative to root; written to the end of buf, *start
 * points into it.  " (deleted)" is appended if unlinked; "(unreachable)" is prefixed if it is not
 * below root.  -ENAMETOOLONG.
 */
int vfs_path_string(const struct path *p, const struct path *root, char *buf, size_t n,
	char **start);

/* mount(2) and umount2(2) in full (capability checked by the caller with CAP_SYS_ADMIN). */
int vfs_mount(const struct vfs_view *v, const char *source, const char *target, const char *type,
	unsigned long flags, const char *data);
int vfs_umount(const struct vfs_view *v, const char *target, int flags);
int vfs_pivot_root(const struct vfs_view *v, const char *new_root, const char *put_old);
/* The superblock with that st_dev of a mount of ns, with a reference; NULL: none. */
struct sb *vfs_sb_by_dev(struct mount_ns *ns, uint64_t dev);

/* A fresh, detached mount of a file system. */
int mount_new(struct ctx *ctx, enum sb_type type, uint32_t flags, const struct fs_mount_args *a,
	struct mount **out);
/* Another detached mount of a superblock that is there. */
int mount_of_sb(struct sb *sb, uint32_t flags, struct mount **out);
/* Changes the flags of one mount (read-only paths): clear, then set. */
void mount_set_flags(struct mount *m, uint32_t clear, uint32_t set);
/* Binds src (all of what is mounted below it if rec) at dst. */
int mount_bind(struct mount_ns *ns, const struct path *src, const struct path *dst, bool rec);
/* Attaches m (reference passed, dropped on error) at p, or as the namespace's root if p is NULL. */
int mount_attach(struct mount_ns *ns, struct mount *m, const struct path *p);
/* One line of /proc/PID/mounts (style 0), mountinfo (1) or mountstats (2) a mount.  Returns the
 * length of the whole text, of which at most n bytes were stored; -ENOMEM. */
ssize_t mount_ns_show(struct mount_ns *ns, const struct path *root, int style, char *buf, size_t n);

#endif
