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

/* Files in use, by what a gofer that takes over would know them by. */
struct goferfs_known {
	uint32_t named;   /* their path */
	uint32_t unnamed; /* they have none any more and can be made again */
	uint32_t lost;    /* neither; the log has some of them */
	uint32_t unasked; /* not looked at, they are too many */
};
/* Of all trees of a connection.  Blocks; asks the gofer. */
void goferfs_known(handle_t conn, struct goferfs_known *out);

#endif
