/*
 * Private to gofer/: the id table, a call under way, and what the operations
 * share.
 *
 * An operation gets its decoded request in a struct call, fills the reply and
 * returns 0 or -errno.  It borrows ids with id_get (released by the ID_REF
 * cleanup) and owns no locks; the table's lock is held for table work only.
 */
#ifndef GOFER_GOFER_PRIV_H
#define GOFER_GOFER_PRIV_H

#include <fcntl.h>
#include <sys/stat.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "gofer/gofer.h"
#include "lib/cleanup.h"
#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/proto/fs.h"

enum id_kind {
	ID_FREE = 0,
	ID_NODE = 1, /* fd is O_PATH */
	ID_OPEN = 2, /* fd is a file or directory opened for I/O */
};

/* One thing the client holds.  All fields but fd's file position are fixed
 * while kind is not ID_FREE; gen, refs, kind and next are guarded by ids_lock. */
struct id_entry {
	uint32_t gen;  /* of the id that names it now; never 0 */
	uint32_t refs; /* 1 for the table, 1 for each operation that uses it */
	uint8_t kind;
	bool dying; /* closed by the client, still in use */
	bool bound; /* a socket that BIND made: may be connected to */
	uint16_t tree;
	uint32_t mode; /* as first seen: only its type is used */
	int fd;
	uint32_t next; /* free list */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	uint32_t index;
	struct mutex pos_lock; /* readdir: the directory's position */
};

struct tree {
	int fd;
	bool readonly;
};

struct gofer {
	struct tree *trees;
	uint32_t ntrees;
	int proc_fd;
	uint32_t euid;
	bool host_fifo;
	unsigned uds;            /* FS_UDS_* */
	int spare[FS_CONNS_MAX]; /* the client's ends of connections it has not yet been given */
	uint32_t nspare;
	int own[FS_CONNS_MAX]; /* our ends; [0] is the first connection */
	uint32_t nconns;
	uint32_t max_ids;
};
extern struct gofer gofer;

struct call {
	struct fs_req req;
	uint32_t count; /* of the reply, as data_len */
	uint32_t data_len;
	size_t out_len;      /* elements and data so far, without header */
	int fds[FS_FDS_MAX]; /* to donate; closed after sending */
	uint32_t nfds;
	uint8_t in[FS_MSG_MAX] __attribute__((aligned(8)));
	uint8_t out[FS_MSG_MAX] __attribute__((aligned(8)));
};

/* --- gofer.c: what a thread serves a connection with --- */

struct worker {
	int fd;
	bool first;
	uint16_t cpu; /* pinned to, or FS_CPU_NONE */
	unsigned complaints;
	struct call call;
};

/* All that gofer_main does before there are threads. */
int gofer_prepare(const struct gofer_config *cfg, struct err **err);
/* Answers the len bytes in w->call.in; an error: the connection is of no more use. */
int gofer_serve_one(struct worker *w, size_t len);

/* --- ids.c --- */

int ids_init(uint32_t max);
/*
 * Takes over fd if it succeeds.  -ENFILE: the client holds too many.  From then
 * on the client may close the id (it can guess it): who goes on using fd must
 * take a reference by out; otherwise it is NULL.
 */
int id_add(enum id_kind kind, int fd, uint16_t tree, const struct statx *st, uint64_t *id,
	struct id_entry **out);
/* kinds: a mask of ID_NODE, ID_OPEN.  -EBADF. */
int id_get(uint64_t id, unsigned kinds, struct id_entry **out);
void id_put(struct id_entry *e);
/* Ids that are none are ignored. */
void id_close(uint64_t id);
/* Few ids are left: close what can be closed before serving. */
bool ids_short(void);

static inline void id_cleanup_(struct id_entry **e)
{
	if (*e)
		id_put(*e);
}
#define ID_REF __attribute__((cleanup(id_cleanup_))) struct id_entry *

/* --- the reply --- */

/* Room for the next element, zeroed.  The codec's limits keep it within out. */
void *reply_elem(struct call *c, size_t size);
/* Where data goes (no element may follow), and how much fits. */
void *reply_data(struct call *c, size_t *room);
void reply_data_done(struct call *c, size_t len);
/* The next element: a node for fd, which is taken over also on failure; out as in id_add. */
int reply_node(struct call *c, int fd, uint16_t tree, const struct statx *st,
	struct id_entry **out);
/* The next element: the attributes of fd. */
int reply_attr(struct call *c, int fd);
/* Takes over fd. */
void reply_fd(struct call *c, int fd);
/* A new regular file: gets its owner and mode, then its node and fd, which is taken over, go into
 * the reply. */
int reply_created(struct call *c, int fd, uint16_t tree, uint32_t mode, uint32_t uid, uint32_t gid);

/* --- host.c: what the operations ask of the host --- */

int host_statx_fd(int fd, struct statx *st);
int host_statx_at(int dir, const char *name, struct statx *st);
void attr_fill(struct fs_attr *a, const struct statx *st);
/* One component below dir, itself if it is a symbolic link. */
int host_open_child(int dir, const char *name, int flags, uint32_t mode);
/* A descriptor of the very inode that fd (any kind) names. */
int host_reopen(int fd, int flags);
/* e for I/O: reopened, or for an ID_OPEN its own (then *own is false). */
int host_io_fd(const struct id_entry *e, int flags, bool *own);
/* "N" for /proc/self/fd/N, relative to gofer.proc_fd. */
struct fd_name {
	char s[12];
};
struct fd_name host_fd_name(int fd);
int host_chmod(int fd, uint32_t mode);
int host_chown(int fd, uint32_t uid, uint32_t gid);
/* Makes owner and mode of a new inode what was asked for; refreshes *st. */
int host_settle(int fd, uint32_t mode, uint32_t uid, uint32_t gid, struct statx *st);
/* Takes up what mkdir, mknod or symlink has just made of this name and type (of mode), and settles
 * it; what cannot be settled is removed.  A descriptor (O_PATH) or -errno. */
int host_adopt(int dir, const char *name, uint32_t mode, uint32_t uid, uint32_t gid,
	struct statx *st);
/* Removes a name of ours. */
void host_unmake(int dir, const char *name, uint32_t type);
/* Do both speak of one inode? */
static inline bool host_same(const struct id_entry *e, const struct statx *st)
{
	return e->ino == st->stx_ino && e->dev_major == st->stx_dev_major &&
	       e->dev_minor == st->stx_dev_minor;
}

static inline uint32_t id_type(const struct id_entry *e)
{
	return e->mode & S_IFMT;
}
static inline bool id_readonly(const struct id_entry *e)
{
	return gofer.trees[e->tree].readonly;
}
/* A directory node; with `change`, one that may be changed. */
int dir_get(uint64_t id, bool change, struct id_entry **out);

/* --- the operations (op_*.c), one for each of FS_OPS but CLOSE --- */

#define X(op, body, nmin, nmax, kind, data, elem) int op_##op(struct call *c);
FS_OPS(X)
#undef X

#endif
