/*
 * What one task may see of another (ptrace(2), "Ptrace access mode checking"), and the two locks
 * that execve shares with those who look.
 *
 * The rule: check and use of another task happen under one hold.  tgroup.exec_lock is that hold:
 * execve gives a process its new memory and credentials in one step under it.  Who asks for
 * something of another task takes it (a reference) between task_access_begin and task_access_end,
 * or with one of the verbs below; what was taken may then be used at leisure, since it is what the
 * check was about.
 *
 * The guard (cred_guard_*) is held by execve from before it looks at who traces the caller to
 * where it has changed it, and by who changes what execve looks at: PTRACE_ATTACH, PTRACE_SEIZE,
 * and seccomp(2) with TSYNC.  A holder may wait long (for the other threads to end), so waiting for
 * it ends at a signal.  It may be taken before any lock, and held across everything.
 */
#ifndef SENTRY_TASK_ACCESS_H
#define SENTRY_TASK_ACCESS_H

#include "sentry/core/ctx.h"

struct file;
struct mm;
struct task;
struct tgroup;

/* Whose ids count: those for files (what /proc does) or the real ones (PTRACE_MODE_*CREDS). */
enum access_creds { ACCESS_FSCREDS, ACCESS_REALCREDS };

/* ctx: who asks; a kernel context may all.  0: allowed, and nothing of target's can change hands
 * until task_access_end (not sleepable); -EPERM. */
int task_access_begin(struct ctx *ctx, struct task *target, enum access_creds creds);
void task_access_end(struct task *target);
/* The same for two, which may be one. */
int task_access_begin_pair(struct ctx *ctx, struct task *a, struct task *b,
	enum access_creds creds);
void task_access_end_pair(struct task *a, struct task *b);
/* The answer alone, true for the moment only. */
int task_may_access(struct ctx *ctx, struct task *target, enum access_creds creds);
/* Its memory, with a reference: -EPERM; -ESRCH: it has none any more. */
int task_access_mm(struct ctx *ctx, struct task *target, enum access_creds creds, struct mm **out);
/* Its descriptor fd, with a reference: -EPERM; -EBADF; -ESRCH: it has no descriptors any more. */
int task_access_file(struct ctx *ctx, struct task *target, enum access_creds creds, int fd,
	struct file **out);

/* -ERESTARTNOINTR: there is a signal (or death) to look at first. */
int cred_guard_lock(struct ctx *ctx, struct tgroup *tg);
void cred_guard_unlock(struct tgroup *tg);

#endif
