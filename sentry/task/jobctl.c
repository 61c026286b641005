/* What terminals need to know of processes: see sentry/core/jobctl.h. */
#include "sentry/core/jobctl.h"

#include "lib/ro_after_init.h"
#include "sentry/fs/tty/tty.h"
#include "sentry/task/task_priv.h"

static jobctl_disassociate_fn disassociate RO_AFTER_INIT;

void jobctl_set_disassociate(jobctl_disassociate_fn fn)
{
	disassociate = fn;
}

struct pid *jobctl_get(struct pid *p)
{
	return pid_get(p);
}

void jobctl_put(struct pid *p)
{
	pid_put(p);
}

static struct tgroup *ctx_tgroup(struct ctx *ctx)
{
	return ctx->tid ? ctx_task(ctx)->tg : NULL;
}

struct pid *jobctl_pgrp(struct ctx *ctx)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	return tg && tg->pgrp ? pid_get(tg->pgrp) : NULL;
}

struct pid *jobctl_session(struct ctx *ctx)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	return tg && tg->session ? pid_get(tg->session) : NULL;
}

bool jobctl_is_session_leader(struct ctx *ctx)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	return tg && tg->session_leader;
}

struct tty *jobctl_tty_get(struct ctx *ctx)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	return tg && tg->tty ? tty_hold(tg->tty) : NULL;
}

bool jobctl_tty_is(struct ctx *ctx, const struct tty *tty)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	return tg && __atomic_load_n(&tg->tty, __ATOMIC_ACQUIRE) == tty;
}

int jobctl_acquire_tty(struct ctx *ctx, struct tty *tty, struct pid **session, struct pid **pgrp)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	if (!tg || !tg->session_leader || tg->tty || !tg->session)
		return -EPERM;
	__atomic_store_n(&tg->tty, tty_hold(tty), __ATOMIC_RELEASE);
	*session = pid_get(tg->session);
	*pgrp = pid_get(tg->pgrp);
	return 0;
}

/* The caller has a reference of its own to tty. */
static void drop_if(struct tgroup *tg, struct tty *tty) REQUIRES(tasks_lock)
{
	if (tg->tty != tty)
		return;
	__atomic_store_n(&tg->tty, NULL, __ATOMIC_RELEASE);
	tty_put(tty);
}

void jobctl_drop_tty(struct ctx *ctx, struct tty *tty)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	MUTEX_GUARD(&tasks_lock);
	if (tg)
		drop_if(tg, tty);
}

void jobctl_clear_session_tty(struct pid *session, struct tty *tty)
{
	struct tgroup *tg;

	MUTEX_GUARD(&tasks_lock);
	list_for_each(tg, &session->session, session_node)
		drop_if(tg, tty);
}

struct pid *jobctl_find_pgrp(struct ctx *ctx, int32_t pgid, struct pid *session, int *err)
{
	struct pid *p;

	if (!ctx->tid) {
		*err = -ESRCH;
		return NULL;
	}
	MUTEX_GUARD(&tasks_lock);
	p = pid_find(ctx_task(ctx)->pid_ns, pgid);
	*err = -ESRCH;
	if (!p)
		return NULL;
	*err = -EPERM; /* also where the group is empty, as Linux does */
	if (list_empty(&p->pgrp) ||
		list_first(&p->pgrp, struct tgroup, pgrp_node)->session != session)
		return NULL;
	*err = 0;
	return pid_get(p);
}

int32_t jobctl_nr(struct ctx *ctx, struct pid *p)
{
	return ctx->tid ? pid_nr(p, ctx_task(ctx)->pid_ns) : 0;
}

struct pid *jobctl_process(struct ctx *ctx)
{
	struct tgroup *tg = ctx_tgroup(ctx);

	return tg && tg->pid ? pid_get(tg->pid) : NULL;
}

struct pid *jobctl_find_process(struct ctx *ctx, int32_t nr)
{
	struct pid *p;

	if (!ctx->tid)
		return NULL;
	MUTEX_GUARD(&tasks_lock);
	p = pid_find(ctx_task(ctx)->pid_ns, nr);
	return p ? pid_get(p) : NULL;
}

int jobctl_signal_pgrp(struct pid *pgrp, int signo)
{
	struct ksiginfo info;

	ksiginfo_init(&info, signo, SI_KERNEL);
	return signal_send_pgrp(pgrp, &info);
}

int jobctl_signal_session_leader(struct pid *session, int signo)
{
	struct ksiginfo info;

	ksiginfo_init(&info, signo, SI_KERNEL);
	MUTEX_GUARD(&tasks_lock);
	return session->tgroup ? signal_send_group_locked(session->tgroup, &info) : -ESRCH;
}

int jobctl_check_background(struct ctx *ctx, int signo)
{
	struct ksiginfo info;
	struct task *t;
	bool ignored;

	if (!ctx->tid)
		return 0;
	t = ctx_task(ctx);
	MUTEX_GUARD(&tasks_lock);
	mutex_lock(&t->tg->sighand->lock);
	ignored = (t->blocked & KSIGBIT(signo)) || sig_handler_is(t, signo, (uintptr_t)SIG_IGN);
	mutex_unlock(&t->tg->sighand->lock);
	if (ignored)
		return signo == SIGTTIN ? -EIO : 0;
	if (!t->tg->pgrp || pgrp_is_orphaned(t->tg->pgrp, NULL))
		return -EIO;
	ksiginfo_init(&info, signo, SI_KERNEL);
	signal_send_pgrp_locked(t->tg->pgrp, &info);
	return -ERESTARTSYS;
}

/* The leader of a session exits: its terminal is hung up.  No locks held. */
void jobctl_exit_session(struct tgroup *tg)
{
	struct pid *session;
	struct tty *tty;

	mutex_lock(&tasks_lock);
	tty = tg->session_leader && tg->tty ? tty_hold(tg->tty) : NULL;
	session = tty ? pid_get(tg->session) : NULL;
	mutex_unlock(&tasks_lock);
	if (!tty)
		return;
	if (disassociate)
		disassociate(tty, session, true);
	pid_put(session);
	tty_put(tty);
}
