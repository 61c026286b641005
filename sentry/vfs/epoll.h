/*
 * epoll(7), for syscalls/.  The design, locks and limits: epoll.c.
 */
#ifndef SENTRY_VFS_EPOLL_H
#define SENTRY_VFS_EPOLL_H

#include "sentry/vfs/file.h"

int epoll_create_file(struct ctx *ctx, uint64_t flags, struct file **out);
struct epoll_event;
int epoll_ctl_file(struct ctx *ctx, struct file *ep, int op, int fd, struct file *target,
	const struct epoll_event *ev);
/* How many files an epoll watches just now. */
int epoll_watches(struct file *ep);
/* Collects at most max events into kernel memory; blocks until deadline. Count or -errno. */
int epoll_wait_file(struct ctx *ctx, struct file *ep, struct epoll_event *out, int max,
	int64_t deadline);

#endif
