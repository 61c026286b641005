/* Looking at other tasks: see access.h. */
#include "sentry/task/access.h"

#include "sentry/task/task_priv.h"
#include "sentry/vfs/fdtable.h"

/* --- the check: __ptrace_may_access of Linux --- */

static bool same_ids(const struct cred *c, uint32_t uid, uint32_t gid)
{
	return uid == c->euid && uid == c->suid && uid == c->uid && gid == c->egid &&
	       gid == c->sgid && gid == c->gid;
}

static int check(struct ctx *ctx, struct task *target, enum access_creds creds)
	REQUIRES(target->tg->exec_lock)
{
	bool real = creds == ACCESS_REALCREDS;
	const struct cred *c = ctx->cred, *tc;

	if (!ctx->tid || ctx_task(ctx)->tg == target->tg || cred_capable(c, CAP_SYS_PTRACE))
		return 0;
	/* Credentials and dumpability of one moment: set*id changes both under this lock. */
	MUTEX_GUARD(&target->lock);
	tc = target->real_cred;
	if (!same_ids(tc, real ? c->uid : c->fsuid, real ? c->gid : c->fsgid))
		return -EPERM;
	if (tc->cap_permitted & ~(real ? c->cap_permitted : c->cap_effective))
		return -EPERM;
	return target->ctx.mm && !READ_ONCE(target->ctx.mm->dumpable) ? -EPERM : 0;
}

int task_access_begin(struct ctx *ctx, struct task *target, enum access_creds creds)
	TRY_ACQUIRE(0, target->tg->exec_lock)
{
	int err;

	mutex_lock(&target->tg->exec_lock);
	err = check(ctx, target, creds);
	if (err)
		mutex_unlock(&target->tg->exec_lock);
	return err;
}

void task_access_end(struct task *target) RELEASE(target->tg->exec_lock)
{
	mutex_unlock(&target->tg->exec_lock);
}

int task_access_begin_pair(struct ctx *ctx, struct task *a, struct task *b, enum access_creds creds)
	TRY_ACQUIRE(0, a->tg->exec_lock, b->tg->exec_lock)
{
	int err;

	mutex_lock_pair(&a->tg->exec_lock, &b->tg->exec_lock);
	err = check(ctx, a, creds);
	if (!err)
		err = check(ctx, b, creds);
	if (err)
		mutex_unlock_pair(&a->tg->exec_lock, &b->tg->exec_lock);
	return err;
}

void task_access_end_pair(struct task *a, struct task *b)
	RELEASE(a->tg->exec_lock, b->tg->exec_lock)
{
	mutex_unlock_pair(&a->tg->exec_lock, &b->tg->exec_lock);
}

int task_may_access(struct ctx *ctx, struct task *target, enum access_creds creds)
{
	int err = task_access_begin(ctx, target, creds);

	if (!err)
		task_access_end(target);
	return err;
}

int task_access_mm(struct ctx *ctx, struct task *target, enum access_creds creds, struct mm **out)
{
	int err = task_access_begin(ctx, target, creds);

	if (err)
		return err;
	*out = task_mm_get(target);
	task_access_end(target);
	return *out ? 0 : -ESRCH;
}

int task_access_file(struct ctx *ctx, struct task *target, enum access_creds creds, int fd,
	struct file **out)
{
	int err = task_access_begin(ctx, target, creds);
	struct fdtable *fds;

	if (err)
		return err;
	fds = task_fds_get(target);
	*out = fds ? fd_get_raw(fds, fd) : NULL;
	task_access_end(target);
	if (!fds)
		return -ESRCH;
	fdtable_put(ctx, fds);
	return *out ? 0 : -EBADF;
}

/* --- the guard --- */

static bool guard_try(struct tgroup *tg)
{
	uint32_t held = 0;

	return __atomic_compare_exchange_n(&tg->guard_held, &held, 1, false, __ATOMIC_ACQ_REL,
		__ATOMIC_RELAXED);
}

int cred_guard_lock(struct ctx *ctx, struct tgroup *tg)
{
	struct waiter w;
	int err = 0;

	if (guard_try(tg))
		return 0;
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&tg->guard_wait, &w);
	while (!guard_try(tg)) {
		err = ctx_block(ctx, DEADLINE_NEVER) ? -ERESTARTNOINTR : 0;
		if (err)
			break;
	}
	waitq_del(&w);
	return err;
}

void cred_guard_unlock(struct tgroup *tg)
{
	__atomic_store_n(&tg->guard_held, 0, __ATOMIC_RELEASE);
	waitq_wake(&tg->guard_wait, POLLIN);
}
