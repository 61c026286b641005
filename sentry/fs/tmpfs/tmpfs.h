/*
 * tmpfs(5) and memfd_create(2): files on pages of the memory file.
 *
 * Registered once at start; mounts are made through the VFS.  What is created here is the caller's
 * to put.  Nothing blocks but copies from and to guest memory.
 */
#ifndef SENTRY_FS_TMPFS_TMPFS_H
#define SENTRY_FS_TMPFS_TMPFS_H

#include "sentry/vfs/file.h"

/* Registers the tables; makes the internal mount of memfds.  After vfs_init. */
int tmpfs_init(void);

/* memfd_create(2): name without the "memfd:" prefix (at most 249 bytes); flags MFD_ALLOW_SEALING,
 * MFD_NOEXEC_SEAL, MFD_EXEC (MFD_CLOEXEC is the caller's). -EINVAL, -ENOMEM. */
int memfd_create_file(struct ctx *ctx, const char *name, unsigned int flags, struct file **out);
/* F_ADD_SEALS, F_GET_SEALS: -EINVAL if f cannot be sealed; -EPERM, -EBUSY. */
int memfd_add_seals(struct file *f, unsigned int seals);
int memfd_get_seals(struct file *f);

#endif
