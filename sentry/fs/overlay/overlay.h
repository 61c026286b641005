/*
 * Overlay: a writable layer in memory over a file system that is not written
 * to (the kernel's Documentation/filesystems/overlayfs.rst).
 *
 * Both layers are file systems of the sentry; the merged tree has dentries and
 * inodes of its own.
 */
#ifndef SENTRY_FS_OVERLAY_OVERLAY_H
#define SENTRY_FS_OVERLAY_OVERLAY_H

struct ctx;
struct mount;

int overlay_init(void);
/* A detached mount of lower's tree with a fresh tmpfs over it.  lower is borrowed. */
int overlay_mount_memory(struct ctx *ctx, struct mount *lower, struct mount **out);

#endif
