/*
 * The gofer file system: files that the gofer process serves (lib/proto/fs.h).
 *
 * A container has one connection; each tree of its gofer (the root, a bind
 * mount) is a mount of its own (fs_mount_args.gofer).
 *
 * exclusive (default): nobody else changes the tree, so the dentry cache,
 * negative entries included, and the attributes are the truth; a warm stat or
 * open makes no round trip.  shared: names and attributes are asked for again.
 */
#ifndef SENTRY_FS_GOFER_GOFERFS_H
#define SENTRY_FS_GOFER_GOFERFS_H

#include "lib/handle.h"

int goferfs_init(void);
/* Takes over the socket, also on failure.  *conn holds one reference. */
int goferfs_connect(int sock, handle_t *conn);
/* Drops the container's own reference; the connection ends with the last mount. */
void goferfs_disconnect(handle_t conn);

/*
 * What a file in use is known by to a gofer that takes over the trees of this one, whose ids mean
 * nothing to it: what RESOLVE and REMAKE of lib/proto/fs.h ask for.
 */
struct goferfs_token {
	enum goferfs_how {
		GOFERFS_NAMED,   /* by tree, path and inode */
		GOFERFS_UNNAMED, /* it has no name any more; it can be made again */
		GOFERFS_LOST,    /* neither; the log has some of them */
		GOFERFS_UNASKED, /* not looked at, they are too many */
		GOFERFS_HOW_NR
	} how;
	uint32_t tree;
	uint32_t mode, uid, gid;
	uint64_t dev, ino; /* as the gofer sees them */
	struct {
		int64_t sec;
		uint32_t nsec;
	} btime;          /* 0: not known */
	const char *path; /* NAMED: below the root of the tree, "" for that itself; UNNAMED: target
			     of a symbolic link; else NULL.  Also NULL: too long */
};
typedef void goferfs_token_fn(void *arg, const struct goferfs_token *t);

/*
 * Goes through the files in use of all trees of a connection, parents before children where names
 * lead to them; asks the gofer where that is needed.  Blocks.  n: how many there are of each kind.
 * fn, if not NULL, is called for each, with the lock of a tree held: it may not block.
 */
void goferfs_tokens(handle_t conn, uint32_t n[GOFERFS_HOW_NR], goferfs_token_fn *fn, void *arg);

#endif
