/*
 * Helpers of the system call handlers: decode and copy in, call one verb
 * below, copy out.
 */
#ifndef SYSCALLS_SYS_PRIV_H
#define SYSCALLS_SYS_PRIV_H

#include <errno.h>

#include "lib/hostcall.h"
#include "sentry/core/arena.h"
#include "sentry/task/task.h"
#include "sentry/vfs/fdtable.h"
#include "syscalls/sys.h"

#define ARG_I32(n) ((int32_t)a->v[n])
#define ARG_U32(n) ((uint32_t)a->v[n])
#define ARG_I64(n) ((int64_t)a->v[n])
#define ARG_U64(n) (a->v[n])
#define ARG_PTR(n) UADDR(a->v[n])

/* Copies a path in: 0, -EFAULT, -ENAMETOOLONG.  Empty paths are the walk's business. */
static inline long path_in(struct task *t, char *buf, uaddr_t from)
{
	ssize_t n = uaccess_strncpy(&t->ctx, buf, from, VFS_PATH_MAX);
	return n < 0 ? n : 0;
}

/* The place that a path in guest memory names (AT_* in at_flags): 0 or -errno; *out is the caller's
 * to put. */
long lookup_in(struct task *t, int dirfd, uaddr_t path, int at_flags, struct path *out);

/* A file reference for the duration of a handler; NULL if the descriptor is bad. */
static inline void file_cleanup_ref_(struct file **f)
{
	if (*f)
		file_put(*f);
}
#define FILE_REF __attribute__((cleanup(file_cleanup_ref_))) struct file *

static inline void path_cleanup_(struct path *p)
{
	path_put(p);
}
#define PATH_REF __attribute__((cleanup(path_cleanup_))) struct path

/* Installs f (reference taken over, dropped on error) at the lowest free descriptor. */
static inline long install_fd(struct task *t, struct file *f, bool cloexec)
{
	int fd = fd_install(t->fds, f, 0, rlimit_soft(t->ctx.limits, RLIMIT_NOFILE), cloexec);
	if (fd < 0)
		file_put(f);
	return fd;
}

/* Copies an extensible struct in (openat2(2), "Extensibility"): 0, -E2BIG, -EFAULT. */
long struct_in(struct task *t, void *dst, size_t ksize, uaddr_t from, size_t usize);
/* fcntl commands of one kind of file: pipe sizes, seals, leases (sys_fd.c). */
long fcntl_special(struct task *t, struct file *f, int fd, int cmd, uint64_t arg);

/* struct timespec in: 0, -EFAULT, or -EINVAL for values out of range. */
int timespec_in(struct task *t, uaddr_t from, int64_t *ns);
int timeval_in(struct task *t, uaddr_t from, int64_t *ns);
int timespec_out(struct task *t, uaddr_t to, int64_t ns);
struct itimer_k;
long itimerspec_in(struct task *t, uaddr_t from, struct itimer_k *k);
long itimerspec_out(struct task *t, uaddr_t to, const struct itimer_k *k);
/* prctl(PR_SET_SECCOMP) (sys_seccomp.c). */
long prctl_set_seccomp(struct task *t, uint64_t mode, uint64_t filter);
/* A temporary signal mask for the length of a call (ppoll(2)): -EINVAL, -EFAULT; afterwards r or
 * the restart code. */
long sigmask_in(struct task *t, uaddr_t p, uint64_t size);
long sigmask_finish(struct task *t, uaddr_t p, long r);
/* restart_syscall(2) of poll (sys_poll.c). */
long poll_restart(struct task *t);
/* Absolute CLOCK_MONOTONIC deadline after ns nanoseconds. */
static inline int64_t deadline_after(int64_t ns)
{
	int64_t now = time_monotonic(), d;
	return __builtin_add_overflow(now, ns, &d) ? DEADLINE_NEVER : d;
}

#endif
