/*
 * What travels beside the data of a message (cmsg(3), unix(7)): open files,
 * credentials, a time stamp.
 *
 * A struct scm owns its references; scm_clear drops them.  Dropping files may
 * close them, and a closed socket drops the files in its queue in turn: that
 * is done by a loop, not by recursion, so a chain of sockets cannot exhaust
 * the stack.  Call scm_clear and scm_files_put without locks.
 */
#ifndef SENTRY_NET_SCM_H
#define SENTRY_NET_SCM_H

#include "lib/abi/net.h"
#include "sentry/vfs/file.h"

struct scm_files {
	struct scm_files *next; /* scratch of scm_files_put and of the garbage collector */
	uint32_t uid;           /* whom the files in flight are charged to */
	uint32_t n;
	struct file *f[]; /* owned */
};

struct scm {
	struct scm_files *files; /* NULL: none */
	bool has_creds;
	struct pid *pid; /* owned; NULL: 0 */
	uint32_t uid, gid;
	int64_t stamp; /* CLOCK_REALTIME, ns; 0: none */
};

/* Room for n files (none yet); NULL: out of memory. */
struct scm_files *scm_files_new(uint32_t n);
struct scm_files *scm_files_dup(const struct scm_files *x);
void scm_files_put(struct scm_files *x); /* a chain, by next; NULL-safe */
/* In the middle of scm_files_put: fn runs once, when all of its files are gone.  False: it
 * is not. */
bool scm_after_files_put(void (*fn)(void)) WARN_UNUSED;
void scm_clear(struct scm *scm);
/* The caller's real credentials, as a message carries them unless it says otherwise. */
void scm_set_own_creds(struct ctx *ctx, struct scm *scm);
/* SCM_CREDENTIALS of sendmsg: checks them (unix(7)): -EPERM, -EINVAL, -ESRCH. */
int scm_set_creds(struct ctx *ctx, struct scm *scm, int32_t pid, uint32_t uid, uint32_t gid);

#endif
