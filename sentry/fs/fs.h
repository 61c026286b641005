/*
 * Start-up of the file systems that live in sentry/fs proper: tmpfs, memfd,
 * pipes, devices, eventfd, donated descriptors.  Call after vfs_init and
 * memfile_init, before ro_after_init_seal.  (gofer, overlay, tty, proc and sys
 * register themselves.)
 */
#ifndef SENTRY_FS_FS_H
#define SENTRY_FS_FS_H

/* 0 or -errno. */
int fs_init(void);

#endif
