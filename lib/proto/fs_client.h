/*
 * The client's side of the file protocol (lib/proto/fs.h): what the sentry's
 * gofer file system calls.
 *
 * Every function is one synchronous round trip, returns 0 (or what its comment
 * says) or -errno, may be called from any thread, uses no heap and does not
 * touch libc's errno.  It cannot be interrupted: like disk I/O, it ends when
 * the gofer answers.  A caller may hold only sleepable locks.  When the gofer
 * is gone (or breaks the protocol, which is logged) every call fails with -EIO
 * at once, for ever.
 *
 * Connections: a call takes one of the gofer's connections for its duration; when all are busy it
 * waits.  So a slow fsync holds up nobody until as many are under way as there are connections.
 *
 * Wake-ups: on a virtual machine a hand-over to another CPU costs 25 us each
 * way, on the same CPU 4 us.  A caller that stays on one CPU tells the gofer which, and the
 * gofer's thread of that connection moves there (enum fsc_affinity).
 *
 * struct fsc belongs to the process, not to the arena: keep a handle to it.
 * Ids are owned by whoever got them and returned by fsc_close().
 */
#ifndef LIB_PROTO_FS_CLIENT_H
#define LIB_PROTO_FS_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/lock.h"
#include "lib/proto/fs.h"

#define FSC_CLOSE_QUEUE 256

enum fsc_affinity {
	FSC_ROAM,     /* callers move between CPUs: leave placement to the host */
	FSC_PINNED,   /* every caller is pinned to one CPU already */
	FSC_PIN_CALL, /* pin the caller for the call, then give it the mask of fsc_init's caller
			 back */
};

struct fsc_conn {
	int fd;
	uint32_t tag;      /* of the call under way */
	uint16_t last_cpu; /* where its thread in the gofer runs */
};

struct fsc {
	uint32_t nconns;
	uint32_t dead;
	enum fsc_affinity affinity;
	uint64_t free;    /* bit i: connection i is idle */
	uint32_t waiters; /* callers without a connection, asleep on wait_seq */
	uint32_t wait_seq;
	struct fsc_conn conn[FS_CONNS_MAX];
	struct mutex close_lock;
	uint32_t nclose; /* GUARDED_BY(close_lock), as close_ids */
	uint64_t close_ids[FSC_CLOSE_QUEUE];
	size_t mask_size; /* mask to give back after FSC_PIN_CALL */
	uint64_t mask[16];
};

/* A path component; not NUL-terminated. */
struct fs_name {
	const char *s;
	size_t len;
};

/*
 * Takes over the connected SOCK_SEQPACKET socket (closed by fsc_fini, to be
 * called also after failure), greets the gofer and receives the further
 * connections.  -EPROTO: another version.  out may be NULL.
 */
int fsc_init(struct fsc *c, int sock, enum fsc_affinity aff, struct fs_hello *out);
/* No call may be under way.  The gofer drops all ids. */
void fsc_fini(struct fsc *c);
/* Makes the calls under way and all later ones fail with -EIO. */
void fsc_kill(struct fsc *c);

/* The root of tree n: a directory, or a file for a bind-mounted file. */
int fsc_attach(struct fsc *c, uint32_t tree, struct fs_node *out);

/*
 * Looks up names[0..n) one below the other, starting in dir.  Returns how many
 * nodes were filled in (each has an id to close), or -errno if the call itself
 * failed (-EBADF, -EIO).  *err says why it stopped: 0 (all found, or the last
 * node is a symbolic link), -ENOENT (names[returned] does not exist), -ENOTDIR,
 * -EMFILE (no id or descriptor left: close some and go on) ...
 *
 * If the last node is a symbolic link, its target is put in link (FS_LINK_MAX + 1
 * bytes, NUL-terminated; NULL: the target is dropped) and *link_len is set, else *link_len is 0.
 * If fd is not NULL and the last of the n names is a regular file, *fd becomes a
 * read-only descriptor of it, else -1.
 */
int fsc_walk(struct fsc *c, uint64_t dir, const struct fs_name *names, unsigned n,
	struct fs_node *nodes, int *err, char *link, size_t *link_len, int *fd);

/* Looks up n <= FS_SIBLINGS_MAX names in dir: see FS_WALK_SIBLINGS. */
int fsc_lookup(struct fsc *c, uint64_t dir, const struct fs_name *names, unsigned n,
	struct fs_node *nodes);

/*
 * For a node that another gofer gave (see fs.h): the one at names[0..n), n <= FS_SIBLINGS_MAX,
 * below dir (0: the root of what->tree), if it is the inode that what says.  -ENOENT: gone;
 * -ESTALE: it is another one.
 */
int fsc_resolve(struct fsc *c, uint64_t dir, const struct fs_resolve_req *what,
	const struct fs_name *names, unsigned n, struct fs_node *out);
/* The path of a node below the root of its tree, with a NUL: its length.  -ENOENT: it has none. */
ssize_t fsc_locate(struct fsc *c, uint64_t node, char path[FS_PATH_MAX + 1]);
/*
 * A node that has no name, in the tree of the directory node dir: of what->mode's type; target: of
 * a symbolic link, else NULL.  *fd: the descriptor of a regular file, open for reading and writing
 * (the caller's), else -1.  -EPERM: a device.
 */
int fsc_remake(struct fsc *c, uint64_t dir, const struct fs_remake_req *what, const char *target,
	struct fs_node *out, int *fd);

/* out[i].err: see struct fs_reval.  n <= FS_WALK_MAX. */
int fsc_revalidate(struct fsc *c, const struct fs_reval_pair *pairs, const struct fs_name *names,
	unsigned n, struct fs_reval *out);

int fsc_getattr(struct fsc *c, uint64_t node, struct fs_attr *out);
/* out (the new state) may be NULL.  Order: size, owner, mode, times; as on Linux a change
 * of owner clears set-id bits of non-directories unless mode is given too. */
int fsc_setattr(struct fsc *c, uint64_t node, const struct fs_setattr_req *set,
	struct fs_attr *out);

/*
 * Opens a regular file or a directory; flags: access mode and FS_OPEN_FLAGS.
 * A regular file gives *fd (the caller's) and *id 0; a directory, or anything
 * with FS_OPEN_KEEP in how, gives *id and *fd -1.  -ENXIO: fifo, socket or
 * device (not opened on the host).  -ELOOP: symbolic link.  out may be NULL.
 */
int fsc_open(struct fsc *c, uint64_t node, uint32_t flags, uint32_t how, int *fd, uint64_t *id,
	struct fs_attr *out);
/*
 * Opens regular files read-only, n <= FS_OPEN_MAX: nodes[0] is wanted, the others are opened if it
 * costs little.  fds[i] is then a descriptor (the caller's) or -1.  Returns what became of the
 * first; others may have been opened although it was not.
 */
int fsc_open_many(struct fsc *c, const uint64_t *nodes, unsigned n, int *fds);
/*
 * Creates a regular file (always O_EXCL: -EEXIST otherwise) and opens it.
 * name NULL: an unnamed file (O_TMPFILE), which fsc_link can name.  mode, uid
 * and gid are final (umask applied, set-gid directories considered).
 */
int fsc_create(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t flags,
	uint32_t mode, uint32_t uid, uint32_t gid, struct fs_node *out, int *fd);
int fsc_mkdir(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t mode, uint32_t uid,
	uint32_t gid, struct fs_node *out);
/* mode with S_IFREG, S_IFIFO or S_IFSOCK; -EPERM for devices. */
int fsc_mknod(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t mode, uint32_t uid,
	uint32_t gid, struct fs_node *out);
int fsc_symlink(struct fsc *c, uint64_t dir, const struct fs_name *name, const char *target,
	size_t target_len, uint32_t uid, uint32_t gid, struct fs_node *out);
/*
 * Sockets of the host: *fd (the caller's) is one of that type, connected to the node, or bound to
 * the name and with the node in *out.  -ECONNREFUSED: nobody listens, it is no socket, or the gofer
 * may not; -EPROTOTYPE; -EAGAIN: the listener's queue is full.  -EPERM: the gofer makes none.
 */
int fsc_connect(struct fsc *c, uint64_t node, uint32_t type, int *fd);
int fsc_bind(struct fsc *c, uint64_t dir, const struct fs_name *name,
	const struct fs_socket_req *what, struct fs_node *out, int *fd);
/* out: the attributes afterwards (nlink); may be NULL. */
int fsc_link(struct fsc *c, uint64_t node, uint64_t dir, const struct fs_name *name,
	struct fs_attr *out);
int fsc_unlink(struct fsc *c, uint64_t dir, const struct fs_name *name, uint32_t flags);
int fsc_rename(struct fsc *c, uint64_t olddir, const struct fs_name *oldname, uint64_t newdir,
	const struct fs_name *newname, uint32_t flags);
/* Returns the length; buf need not be large enough and is not NUL-terminated. */
ssize_t fsc_readlink(struct fsc *c, uint64_t node, char *buf, size_t size);

/*
 * Fills buf (8-byte aligned) with entries after cookie (0: from the start);
 * returns the bytes, 0 at the end; -EINVAL if not even one entry fits (take
 * 1 KiB at least).  Read them with fs_dirent_next.  dir is a node or an open id.
 */
ssize_t fsc_readdir(struct fsc *c, uint64_t dir, uint64_t cookie, uint32_t flags, void *buf,
	size_t size);
int fsc_statfs(struct fsc *c, uint64_t node, struct fs_statfs *out);
/* kind: FS_SYNC_ALL, _DATA, _FS; id: node or open id. */
int fsc_fsync(struct fsc *c, uint64_t id, int kind);
int fsc_fallocate(struct fsc *c, uint64_t id, uint32_t mode, int64_t off, int64_t len);

/* user.* and security.capability only; see gofer/op_xattr.c for the errors of others. */
ssize_t fsc_getxattr(struct fsc *c, uint64_t node, const char *name, void *buf, size_t size);
int fsc_setxattr(struct fsc *c, uint64_t node, const char *name, const void *value, size_t size,
	uint32_t flags);
ssize_t fsc_listxattr(struct fsc *c, uint64_t node, void *buf, size_t size);
int fsc_removexattr(struct fsc *c, uint64_t node, const char *name);

/* On open ids (FS_OPEN_KEEP).  At most FS_DATA_MAX bytes are moved. */
ssize_t fsc_read(struct fsc *c, uint64_t id, void *buf, size_t n, int64_t off);
ssize_t fsc_write(struct fsc *c, uint64_t id, const void *buf, size_t n, int64_t off);

/*
 * Gives ids back (0 is ignored).  They ride with a later call; once many have
 * gathered, this makes a round trip itself.  An unlinked file's space is freed
 * only when the gofer learns of it: fsc_flush then.
 */
void fsc_close(struct fsc *c, uint64_t id);
int fsc_flush(struct fsc *c);

#endif
