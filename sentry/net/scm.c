/* See scm.h. */
#include "sentry/net/scm.h"

#include <errno.h>

#include "sentry/core/arena.h"
#include "sentry/core/jobctl.h"

static size_t files_size(uint32_t n)
{
	return sizeof(struct scm_files) + n * sizeof(struct file *);
}

struct scm_files *scm_files_new(uint32_t n)
{
	/* The size class of the full set: what buf_free needs to know is then no secret. */
	return n <= ABI_SCM_MAX_FD ? buf_alloc(files_size(ABI_SCM_MAX_FD)) : NULL;
}

struct scm_files *scm_files_dup(const struct scm_files *x)
{
	struct scm_files *d = scm_files_new(x->n);
	if (!d)
		return NULL;
	d->n = x->n;
	for (uint32_t i = 0; i < x->n; i++)
		d->f[i] = file_get(x->f[i]);
	return d;
}

/* What this thread lets go of, and what is to be done when all of it is gone. */
static __thread struct {
	struct scm_files *todo;
	void (*after)(void);
	bool busy;
} dropping;

static void drop_all(void)
{
	while (dropping.todo) {
		struct scm_files *x = dropping.todo;
		dropping.todo = x->next;
		for (uint32_t i = 0; i < x->n; i++)
			file_put(x->f[i]);
		buf_free(x, files_size(ABI_SCM_MAX_FD));
	}
}

/*
 * file_put may end in a call of scm_files_put by the same thread (a socket closes, its
 * queue goes): then the files only join the list that the outermost call works off.
 */
void scm_files_put(struct scm_files *x)
{
	while (x) {
		struct scm_files *next = x->next;
		x->next = dropping.todo;
		dropping.todo = x;
		x = next;
	}
	if (dropping.busy)
		return;
	dropping.busy = true;
	for (;;) {
		drop_all();
		void (*after)(void) = dropping.after;
		if (!after)
			break;
		dropping.after = NULL;
		after(); /* may leave more on the list */
	}
	dropping.busy = false;
}

bool scm_after_files_put(void (*fn)(void))
{
	if (dropping.busy)
		dropping.after = fn;
	return dropping.busy;
}

void scm_clear(struct scm *scm)
{
	scm_files_put(scm->files);
	jobctl_put(scm->pid);
	*scm = (struct scm){0};
}

void scm_set_own_creds(struct ctx *ctx, struct scm *scm)
{
	scm->has_creds = true;
	scm->pid = jobctl_process(ctx);
	scm->uid = ctx->cred->uid;
	scm->gid = ctx->cred->gid;
}

int scm_set_creds(struct ctx *ctx, struct scm *scm, int32_t pid, uint32_t uid, uint32_t gid)
{
	const struct cred *c = ctx->cred;
	struct pid *own, *p;
	if (uid == UINT32_MAX || gid == UINT32_MAX)
		return -EINVAL;
	own = jobctl_process(ctx);
	int32_t own_nr = own ? jobctl_nr(ctx, own) : 0;
	jobctl_put(own);
	if ((pid != own_nr && !ctx_capable(ctx, CAP_SYS_ADMIN)) ||
		(uid != c->uid && uid != c->euid && uid != c->suid &&
			!ctx_capable(ctx, CAP_SETUID)) ||
		(gid != c->gid && gid != c->egid && gid != c->sgid &&
			!ctx_capable(ctx, CAP_SETGID)))
		return -EPERM;
	p = jobctl_find_process(ctx, pid);
	if (!p)
		return -ESRCH;
	jobctl_put(scm->pid);
	scm->pid = p;
	scm->uid = uid;
	scm->gid = gid;
	scm->has_creds = true;
	return 0;
}
