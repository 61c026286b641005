/*
 * Descriptor tables, shared by CLONE_FILES.
 *
 * The lock guards the entries and is not sleepable: what a close runs (flush, release) runs after
 * it.  A table owns a reference to each of its files.
 */
#ifndef SENTRY_VFS_FDTABLE_H
#define SENTRY_VFS_FDTABLE_H

#include "sentry/vfs/file.h"

struct fdentry {
	struct file *file; /* owned */
	bool cloexec;
};
struct fdtable {
	struct ref ref;
	struct mutex lock;  /* LOCK_FDTABLE */
	struct fdentry *fd; /* buf_alloc'ed, cap entries */
	uint32_t cap, next_hint, used;
};
#define FD_MAX 1048576u

struct fdtable *fdtable_new(void);
struct fdtable *fdtable_dup(struct fdtable *t); /* fork; NULL if out of memory */
/* close_range(2) semantics with CLOSE_RANGE_CLOEXEC. */
int fdtable_close_range(struct ctx *ctx, struct fdtable *t, uint32_t first, uint32_t last,
	bool cloexec_only);
void fdtable_put(struct ctx *ctx, struct fdtable *t); /* closes everything at the last put */
/* The file with a new reference, or NULL (EBADF). fd_get refuses O_PATH files, fd_get_raw
 * does not. */
struct file *fd_get(struct fdtable *t, int fd);
struct file *fd_get_raw(struct fdtable *t, int fd);
/* Lowest free descriptor >= min, below limit (RLIMIT_NOFILE): -EMFILE (-EINVAL if min >= limit).
 * Takes over the caller's reference to f on success. */
int fd_install(struct fdtable *t, struct file *f, int min, uint64_t limit, bool cloexec);
/* As dup2/dup3 onto exactly newfd: takes over the reference. */
int fd_install_at(struct ctx *ctx, struct fdtable *t, struct file *f, int newfd, bool cloexec);
/* Is there a free descriptor below limit?  A hint: others may take it. */
bool fd_available(struct fdtable *t, uint64_t limit);
int fd_close(struct ctx *ctx, struct fdtable *t, int fd);
int fd_get_cloexec(struct fdtable *t, int fd); /* 0, 1, -EBADF */
int fd_set_cloexec(struct fdtable *t, int fd, bool on);
void fdtable_close_on_exec(struct ctx *ctx, struct fdtable *t);
/* The lowest used descriptor >= fd, or -1: for /proc/PID/fd. */
int fd_next(struct fdtable *t, int fd);

#endif
