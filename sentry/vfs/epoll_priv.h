/*
 * Private to epoll.c and epoll_nest.c: the objects of epoll, see epoll.c for who
 * holds what.
 */
#ifndef SENTRY_VFS_EPOLL_PRIV_H
#define SENTRY_VFS_EPOLL_PRIV_H

#include <sys/epoll.h>

#include "sentry/vfs/vfs_priv.h"

#define EP_MAX_NESTS 4 /* links between epolls, one above the other */

struct epoll {
	struct ref ref;
	struct mutex lock;
	struct rb_root items; /* by (file, fd); GUARDED_BY(lock) */
	uint32_t nitems;      /* GUARDED_BY(lock); a hint for others */
	struct mutex ready_lock;
	struct list_node ready;   /* GUARDED_BY(ready_lock) */
	struct list_node waiters; /* threads in epoll_wait; GUARDED_BY(ready_lock) */
	struct waitq pollq;
	struct file *file; /* borrowed: our own */
	struct epoll_user *user;
	uint64_t seen GUARDED_BY(vfs->epoll_nest); /* number of the check that came by */
	int depth GUARDED_BY(vfs->epoll_nest);     /* what it found */
};

struct epitem {
	struct rb_node rb; /* GUARDED_BY(ep->lock) */
	struct epoll *ep;
	struct file *file;
	int fd;
	struct epoll_event ev;
	bool queued;                 /* GUARDED_BY(ep->ready_lock) */
	struct list_node ready_node; /* GUARDED_BY(ep->ready_lock) or the scan */
	struct list_node file_node;  /* file->epitems; GUARDED_BY(file->lock) */
	struct list_node hooks;      /* struct ephook; GUARDED_BY(ep->lock) */
};

/* --- epoll_nest.c; vfs->epoll_nest is held --- */
/* May ep watch below?  0, -ELOOP: they would form a cycle or be nested too deep. */
int epoll_check_depth(struct ctx *ctx, struct epoll *ep, struct epoll *below)
	REQUIRES(vfs->epoll_nest);
/* target has just been linked to an epoll, whose lock is held.  0, -EINVAL: one event of target, or
 * of a file below it, would take too many ways up.  Both: -EINTR if the caller is being killed. */
int epoll_check_paths(struct ctx *ctx, struct file *target) REQUIRES(vfs->epoll_nest);

#endif
