/*
 * POSIX message queues: mq_overview(7).  Each IPC namespace has one mqueue file
 * system, whose regular files are the queues; mq_open(2) opens them there by
 * name, mounts in the tree show the same one.
 *
 * Queues are guarded by ipc_lock (LOCK_IPC); their file system is a cached tree.
 */
#ifndef SENTRY_TASK_MQUEUE_H
#define SENTRY_TASK_MQUEUE_H

#include "lib/abi/ipc.h"
#include "sentry/core/uio.h"

struct task;
struct file;

void mqueue_init(void);
/* name: without the leading slash.  attr: NULL: the defaults.  mode is masked here. */
int mqueue_open(struct task *t, const char *name, uint32_t flags, uint32_t mode,
	const struct abi_mq_attr *attr, struct file **out);
int mqueue_unlink(struct task *t, const char *name);
/* deadline: CLOCK_MONOTONIC.  -EBADF: not a queue, or not open for that. */
int mqueue_send(struct task *t, struct file *f, struct uio *u, uint32_t prio, int64_t deadline);
ssize_t mqueue_recv(struct task *t, struct file *f, struct uio *u, uint32_t *prio,
	int64_t deadline);
/* attr of the queue; flags is a file's. */
int mqueue_getattr(struct file *f, struct abi_mq_attr *out);
struct mqueue_notify {
	int32_t notify, signo; /* SIGEV_NONE, SIGEV_SIGNAL */
	uint64_t value;
};
/* n NULL: the caller's registration is taken back.  -EBUSY, -EINVAL. */
int mqueue_notify(struct task *t, struct file *f, const struct mqueue_notify *n);

#endif
