/*
 * What the composition root calls of the VFS, and its tunables (fs.* sysctls).
 * Order: vfs_init, then each file system registers its tables, then
 * ro_after_init_seal.
 */
#ifndef SENTRY_VFS_VFS_H
#define SENTRY_VFS_VFS_H

#include <stdint.h>

/* Needs the arena.  0 or -ENOMEM. */
int vfs_init(void);
/* Bounds the dentry cache by what a sandbox may have: bytes of memory, and descriptors in the
 * sentry and its gofer.  Before anything is mounted. */
void dcache_init(uint64_t memory, uint64_t descriptors);
/* Drops at most n unused dentries, oldest first; sb->tree is held. */
void dcache_shrink(struct sb *sb, unsigned int n);

/* Plain words: read without a lock. */
struct vfs_sysctl {
	uint32_t protected_symlinks, protected_hardlinks, protected_fifos, protected_regular;
	uint32_t pipe_max_size; /* bytes */
	uint32_t inotify_max_queued_events, inotify_max_user_instances, inotify_max_user_watches;
	uint32_t lease_break_time;       /* seconds; 0: for ever */
	uint64_t epoll_max_user_watches; /* per uid, of the epolls it made */
	uint64_t nr_open, file_max;
	uint64_t aio_max_nr, aio_nr; /* events allowed, and asked for; aio_nr is atomic */
};
struct vfs_sysctl *vfs_sysctls(void);

#endif
