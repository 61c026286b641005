/*
 * The wire contract between the sentry (client) and the gofer (server).
 *
 * Transport: SOCK_SEQPACKET unix sockets.  One record is one message, so a
 * length can never lose its message, a donated descriptor belongs to exactly
 * one reply, and a damaged message does not put the next one out of step.
 * Each connection carries one call at a time, request then reply; a client
 * that wants several calls under way uses several connections, which share one
 * table of ids.  It starts with one; the reply to HELLO donates the others.
 *
 *	request: fs_req_hdr | body of the op | u8 name_len[nnames] | names | data | u64
 *close[nclose] reply:	 fs_resp_hdr | count elements of the op | data	(+ nfds descriptors,
 *SCM_RIGHTS)
 *
 * All integers are of the host's order: both ends run on one machine.  Both
 * directions are decoded by fs_req_decode and fs_resp_decode, which reject
 * whatever does not fit to the byte (fuzz target: tests/fuzz/gofer_codec_fuzz.c).
 *
 * Ids name what the gofer holds for the client: nodes (an O_PATH descriptor of
 * one inode, whatever its names are later) and opens (a real descriptor that
 * stays with the gofer).  An id lives until the client closes it; ids to close
 * ride at the end of any request and are closed after its reply.
 *
 * Ids mean nothing to another gofer.  What a node is known by to one that takes over the same
 *trees, after a restart or a restore:
 *
 * - Its tree, its path in it and which inode it is: RESOLVE finds it.  A client that is not sure of
 *   the path asks the gofer that it still has (LOCATE).
 * - If it has no name any more, its type, mode and owner and, of a symbolic link, its target:
 *REMAKE makes one that has no name either.  What is in a regular file the client has by the
 *descriptor that it was given, and writes it to the one that comes with the new node.  A directory
 *that was removed is empty and stays so.
 *
 * Nothing brings back a device (the gofer makes none), or the other names of a file whose only
 *known one was removed.
 *
 * Flag values, modes and errnos are those of x86-64 Linux.
 */
#ifndef LIB_PROTO_FS_H
#define LIB_PROTO_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_VERSION 1u
#define FS_NAME_MAX 255u
#define FS_LINK_MAX 4095u        /* longest symlink target, without NUL */
#define FS_PATH_MAX 4095u        /* longest path that LOCATE tells */
#define FS_WALK_MAX 16u          /* names in one walk or revalidate */
#define FS_SIBLINGS_MAX 64u      /* names in one walk with FS_WALK_SIBLINGS */
#define FS_CLOSE_MAX 64u         /* ids closed by one request */
#define FS_DATA_MAX (64u * 1024) /* read, write, xattr value, readdir batch */
#define FS_MSG_MAX (FS_DATA_MAX + 8192u)
#define FS_TREES_MAX 4096u
#define FS_CPU_NONE 0xffffu
#define FS_CONNS_MAX 16u /* connections of one client */
#define FS_OPEN_MAX 16u  /* nodes in one OPEN_MANY */
#define FS_FDS_MAX 16u   /* descriptors with one reply */

struct fs_time {
	int64_t sec;
	uint32_t nsec;
	uint32_t pad;
};

/* statx, complete. */
struct fs_attr {
	uint64_t ino, size, blocks;
	uint64_t mnt_id;
	uint32_t mode, nlink, uid, gid;
	uint32_t dev_major, dev_minor, rdev_major, rdev_minor;
	uint32_t blksize;
	uint32_t mask;       /* STATX_*: which of btime, ... the host knows */
	uint64_t attributes; /* STATX_ATTR_* */
	struct fs_time atime, mtime, ctime, btime;
};

struct fs_node {
	uint64_t id;
	struct fs_attr attr;
};

/* One answer of revalidate: err 0 the name still names the node (attr is its
 * new state), -ESTALE it names another inode, -ENOENT nothing; else -errno. */
struct fs_reval {
	int32_t err;
	uint32_t pad;
	struct fs_attr attr;
};

/* One answer of OPEN_MANY: err 0, the next of the reply's descriptors is the node's;
 * else -errno. */
struct fs_opened {
	int32_t err;
	uint32_t pad;
};

struct fs_statfs {
	uint64_t type, bsize, blocks, bfree, bavail, files, ffree, namelen, frsize, flags;
};

struct fs_hello {
	uint32_t version;
	uint32_t ntrees;
	uint32_t max_ids; /* ids the client may hold at once */
#define FS_UDS_OPEN 1u    /* CONNECT is allowed */
#define FS_UDS_CREATE 2u  /* BIND is */
	uint32_t uds;
};

/* A readdir batch is a row of these, each padded to 8 bytes; "." and ".." are
 * left out.  cookie continues after this entry; FS_COOKIE_END: nothing comes after it. */
#define FS_COOKIE_END UINT64_MAX
struct fs_dirent {
	uint64_t cookie;
	uint64_t ino;
	uint16_t reclen;
	uint8_t type; /* DT_* */
	uint8_t namelen;
	int32_t attr_err; /* 0, or why attr is all zero; FS_DIR_NOATTR: -ENODATA */
	struct fs_attr attr;
	char name[]; /* NUL-terminated */
};

/* --- requests --- */

struct fs_req_hdr {
	uint32_t len; /* of the whole message */
	uint16_t op;
	uint16_t cpu; /* the caller is pinned to this CPU: serve it there; or FS_CPU_NONE */
	uint32_t tag; /* comes back in the reply */
	uint16_t nnames;
	uint16_t nclose;
	uint32_t data_len;
	uint32_t pad;
	uint64_t id; /* the node or open the op is about, 0 if none */
};

struct fs_none {
};
struct fs_hello_req {
	uint32_t version, pad;
};
struct fs_attach_req {
	uint32_t tree, pad;
};
/* Each name is looked up in the node before it.  Stops, without error, after a
 * symbolic link (data is then its target) and, with -ENOTDIR, after anything
 * else that is no directory. */
struct fs_walk_req {
#define FS_WALK_OPEN 1u /* also donate the last component, if a regular file, read-only */
/* All names are looked up in the node itself: as many nodes, id 0 (and the errno as attr.ino)
 * where there is none; no targets. */
#define FS_WALK_SIBLINGS 2u
	uint32_t flags, pad;
};
/* data: one of these for each name */
struct fs_reval_pair {
	uint64_t parent, child;
};
struct fs_setattr_req {
#define FS_SET_MODE 0x001u
#define FS_SET_UID 0x002u
#define FS_SET_GID 0x004u
#define FS_SET_SIZE 0x008u
#define FS_SET_ATIME 0x010u
#define FS_SET_MTIME 0x020u
#define FS_SET_ATIME_NOW 0x040u
#define FS_SET_MTIME_NOW 0x080u
#define FS_SET_ALL 0x0ffu
	uint32_t valid, mode, uid, gid;
	uint64_t size;
	struct fs_time atime, mtime;
};
struct fs_open_req {
	uint32_t flags; /* access mode and FS_OPEN_FLAGS */
#define FS_OPEN_KEEP 1u /* return an open id even where a descriptor could be donated */
	uint32_t how;
};
/* Always exclusive.  Without a name: an unnamed file (O_TMPFILE). */
struct fs_create_req {
	uint32_t flags, how, mode, uid, gid, pad;
};
struct fs_mk_req { /* mkdir, mknod, symlink (mode unused, data is the target) */
	uint32_t mode, uid, gid, pad;
};
struct fs_link_req { /* id: what is linked */
	uint64_t dir;
};
struct fs_unlink_req {
	uint32_t flags, pad; /* 0 or AT_REMOVEDIR */
};
struct fs_rename_req { /* id: old directory; names: old, new */
	uint64_t newdir;
	uint32_t flags, pad; /* RENAME_NOREPLACE, RENAME_EXCHANGE */
};
struct fs_readdir_req { /* id: a directory node, or its open id */
#define FS_DIR_NOATTR 1u
	uint64_t cookie;
	uint32_t size, flags;
};
struct fs_fsync_req { /* id: node or open */
	enum { FS_SYNC_ALL, FS_SYNC_DATA, FS_SYNC_FS, FS_SYNC_NR } kind;
	uint32_t pad;
};
struct fs_fallocate_req {
	int64_t off, len;
	uint32_t mode, pad;
};
struct fs_xattr_req { /* size of the caller's buffer (0: report the size), or XATTR_* flags */
	uint32_t size, flags;
};
/*
 * id: the directory node that the names begin at, 0: the root of the tree.  Without a name: itself.
 * The rest says which inode is to be there.  A device number is that of a mount: the client
 * compares that of the tree's root before and after and takes the new one if it has changed.
 * -ENOENT: there is no such name; -ESTALE: it is another inode, or one of those before it is no
 * directory (any more).
 */
struct fs_resolve_req {
	uint32_t tree;
	uint32_t type; /* S_IFMT bits */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	struct fs_time btime; /* inode numbers are used again; all 0: not known */
};
/* id: a directory node of the tree in which it is made, for a moment with a name if need be;
 * data: the target of a symlink.  A regular file's descriptor, for reading and writing, comes with
 * it. */
struct fs_remake_req {
	uint32_t mode, uid, gid, pad; /* mode with the type */
};
/* CONNECT: id is a node; BIND: the directory.  A socket of the host, connected to it or bound to
 * that name, comes with the reply; it does not block. */
struct fs_socket_req {
	uint32_t type;           /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
	uint32_t mode, uid, gid; /* BIND: final, as in fs_mk_req */
};
struct fs_io_req { /* id: an open; len 0 and data for a write */
	int64_t off;
	uint32_t len, pad;
};

/*
 *  X(OP, body, names min, max, name kind, data max, reply element)
 *
 * What the reply holds beyond its elements: WALK, READLINK, READDIR, GETXATTR,
 * LISTXATTR, READ and LOCATE have data; for WRITE count is the bytes written, for
 * GETXATTR and LISTXATTR with size 0 it is the size needed.
 *
 * OPEN_MANY opens regular files read-only; data is their node ids.  The first is the one that is
 * wanted, the others are a favour: the gofer leaves out (-EAGAIN) what would cost it its last
 * descriptors.
 *
 * LOCATE: data is the path of the node below the root of its tree, empty for the root; it was
 * looked up and leads to the node.  -ENOENT: the name that the node was found by is gone.
 */
#define FS_OPS(X)                                                                                  \
	X(HELLO, fs_hello_req, 0, 0, NONE, 0, sizeof(struct fs_hello))                             \
	X(ATTACH, fs_attach_req, 0, 0, NONE, 0, sizeof(struct fs_node))                            \
	X(WALK, fs_walk_req, 1, FS_SIBLINGS_MAX, FILE, 0, sizeof(struct fs_node))                  \
	X(REVALIDATE, fs_none, 1, FS_WALK_MAX, FILE, FS_WALK_MAX * sizeof(struct fs_reval_pair),   \
		sizeof(struct fs_reval))                                                           \
	X(GETATTR, fs_none, 0, 0, NONE, 0, sizeof(struct fs_attr))                                 \
	X(SETATTR, fs_setattr_req, 0, 0, NONE, 0, sizeof(struct fs_attr))                          \
	X(OPEN, fs_open_req, 0, 0, NONE, 0, sizeof(struct fs_node))                                \
	X(CREATE, fs_create_req, 0, 1, FILE, 0, sizeof(struct fs_node))                            \
	X(MKDIR, fs_mk_req, 1, 1, FILE, 0, sizeof(struct fs_node))                                 \
	X(MKNOD, fs_mk_req, 1, 1, FILE, 0, sizeof(struct fs_node))                                 \
	X(SYMLINK, fs_mk_req, 1, 1, FILE, FS_LINK_MAX, sizeof(struct fs_node))                     \
	X(LINK, fs_link_req, 1, 1, FILE, 0, sizeof(struct fs_attr))                                \
	X(UNLINK, fs_unlink_req, 1, 1, FILE, 0, 0)                                                 \
	X(RENAME, fs_rename_req, 2, 2, FILE, 0, 0)                                                 \
	X(READLINK, fs_none, 0, 0, NONE, 0, 0)                                                     \
	X(READDIR, fs_readdir_req, 0, 0, NONE, 0, 0)                                               \
	X(STATFS, fs_none, 0, 0, NONE, 0, sizeof(struct fs_statfs))                                \
	X(FSYNC, fs_fsync_req, 0, 0, NONE, 0, 0)                                                   \
	X(FALLOCATE, fs_fallocate_req, 0, 0, NONE, 0, 0)                                           \
	X(GETXATTR, fs_xattr_req, 1, 1, XATTR, 0, 0)                                               \
	X(SETXATTR, fs_xattr_req, 1, 1, XATTR, FS_DATA_MAX, 0)                                     \
	X(LISTXATTR, fs_xattr_req, 0, 0, NONE, 0, 0)                                               \
	X(REMOVEXATTR, fs_none, 1, 1, XATTR, 0, 0)                                                 \
	X(READ, fs_io_req, 0, 0, NONE, 0, 0)                                                       \
	X(WRITE, fs_io_req, 0, 0, NONE, FS_DATA_MAX, 0)                                            \
	X(CLOSE, fs_none, 0, 0, NONE, 0, 0)                                                        \
	X(OPEN_MANY, fs_none, 0, 0, NONE, FS_OPEN_MAX * sizeof(uint64_t),                          \
		sizeof(struct fs_opened))                                                          \
	X(RESOLVE, fs_resolve_req, 0, FS_SIBLINGS_MAX, FILE, 0, sizeof(struct fs_node))            \
	X(LOCATE, fs_none, 0, 0, NONE, 0, 0)                                                       \
	X(REMAKE, fs_remake_req, 0, 0, NONE, FS_LINK_MAX, sizeof(struct fs_node))                  \
	X(CONNECT, fs_socket_req, 0, 0, NONE, 0, 0)                                                \
	X(BIND, fs_socket_req, 1, 1, FILE, 0, sizeof(struct fs_node))

enum fs_op {
	FS_OP_INVALID,
#define X(op, body, nmin, nmax, kind, data, elem) FS_OP_##op,
	FS_OPS(X)
#undef X
		FS_OP_NR
};

union fs_body {
	struct fs_hello_req hello;
	struct fs_attach_req attach;
	struct fs_walk_req walk;
	struct fs_setattr_req setattr;
	struct fs_open_req open;
	struct fs_create_req create;
	struct fs_mk_req mk;
	struct fs_link_req link;
	struct fs_unlink_req unlink;
	struct fs_rename_req rename;
	struct fs_readdir_req readdir;
	struct fs_fsync_req fsync;
	struct fs_fallocate_req fallocate;
	struct fs_xattr_req xattr;
	struct fs_io_req io;
	struct fs_resolve_req resolve;
	struct fs_remake_req remake;
	struct fs_socket_req socket;
};

/* A decoded request; data and closes point into the message (unaligned). */
struct fs_req {
	struct fs_req_hdr hdr;
	union fs_body u;
	char name[FS_SIBLINGS_MAX][FS_NAME_MAX + 1];
	const uint8_t *data;
	const uint8_t *closes;
};

struct fs_resp_hdr {
	uint32_t len;
	int32_t err; /* 0 or -errno; a walk may have both elements and an error */
	uint32_t tag;
	uint32_t count;
	uint32_t data_len;
	uint32_t nfds; /* 0 or 1; OPEN_MANY: one for each element without an error;
			* HELLO: further connections, fewer than FS_CONNS_MAX */
};

/* A decoded reply; elems and data point into the message. */
struct fs_resp {
	struct fs_resp_hdr hdr;
	const uint8_t *elems;
	const uint8_t *data;
};

/* "WALK", ...; "?" for what is no op. */
const char *fs_op_name(unsigned op);
/* Bytes of the op's fixed body. */
size_t fs_body_size(unsigned op);
/* Bytes of one element of the op's reply; 0 if it has none. */
size_t fs_elem_size(unsigned op);

/*
 * Decodes and validates a whole request: lengths, op, counts, names (no "/",
 * NUL, "." or ".."), flags and modes.  Returns 0, or -EPROTO with *why naming
 * what is wrong.  The header in *out is valid whenever *have_hdr is set, so that the
 * error can be answered.
 */
int fs_req_decode(const void *buf, size_t len, struct fs_req *out, bool *have_hdr,
	const char **why);

/* As above for a reply to op; the client also uses fs_resp_check on a header
 * whose body was received elsewhere: got is the length of the whole message. */
int fs_resp_check(unsigned op, const struct fs_resp_hdr *hdr, size_t got, const char **why);
int fs_resp_decode(unsigned op, const void *buf, size_t len, struct fs_resp *out, const char **why);

/*
 * Takes the entry at *off of a readdir batch and moves *off behind it.  NULL
 * at the end, and, with *off set to SIZE_MAX, where the batch is damaged.
 * buf is 8-byte aligned.
 */
const struct fs_dirent *fs_dirent_next(const void *buf, size_t len, size_t *off);

/* May a single path component be called this? */
bool fs_name_ok(const char *s, size_t len);

/* Flags a client may pass to open and create besides the access mode. */
#define FS_OPEN_FLAGS                                                                              \
	(01000 /*TRUNC*/ | 02000 /*APPEND*/ | 04000 /*NONBLOCK*/ | 010000 /*DSYNC*/ |              \
		040000 /*DIRECT*/ | 0100000 /*LARGEFILE*/ | 0200000 /*DIRECTORY*/ |                \
		0400000 /*NOFOLLOW*/ | 01000000 /*NOATIME*/ | 04000000 /*SYNC*/)

#endif
