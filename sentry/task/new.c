/* Processes that no guest process forked: the first of a container, and those exec'd into it. */
#include "sentry/task/task_priv.h"

static int new_tgroup(const struct task_new_args *a, struct tgroup **out)
{
	struct tgroup *tg = tgroup_alloc();

	if (!tg)
		return -ENOMEM;
	tg->sighand = sighand_new();
	if (!tg->sighand) {
		tgroup_put(tg);
		return -ENOMEM;
	}
	if (a->limits)
		memcpy(tg->limits.lim, a->limits->lim, sizeof(tg->limits.lim));
	tg->container = a->container;
	*out = tg;
	return 0;
}

static int new_link(struct task *t, struct pid_ns *ns, struct cgroup *cg)
{
	struct tgroup *tg = t->tg;
	int err;

	MUTEX_GUARD(&tasks_lock);
	err = pid_alloc(ns, NULL, 0, &t->pid);
	if (err)
		return err;
	WRITE_ONCE(tg->leader, t);
	tg->pid = pid_get(t->pid);
	pid_use(tg->pid);
	tg->pid->tgroup = tg;
	tg->session_leader = true;
	tgroup_join_session(tg, tg->pid);
	tgroup_join_pgrp(tg, tg->pid);
	if (!ns->init) {
		WRITE_ONCE(ns->init, tg);
		tg->unkillable = true;
	}
	if (cg)
		cgroup_adopt(tg, cg);
	err = cgroup_add_task(tg, true); /* limits bind who is inside */
	task_link(t);
	return err;
}

int task_new(const struct task_new_args *a, struct task **out)
{
	struct tgroup *tg;
	struct task *t;
	int err = new_tgroup(a, &tg);

	if (err)
		return err;
	t = task_alloc(tg);
	tgroup_put(tg);
	if (!t)
		return -ENOMEM;
	t->ctx.cred = t->real_cred = cred_get(a->cred);
	t->no_new_privs = a->no_new_privs;
	t->pid_ns_for_children = pid_ns_get(a->pid_ns);
	err = new_link(t, a->pid_ns, a->cgroup);
	if (err) {
		task_put(t);
		return err;
	}
	cred_put(a->cred);
	task_rlimit_cpu_changed(t->tg);
	t->fs = a->fs;
	t->fds = a->fds;
	t->mnt_ns = a->mnt_ns;
	t->uts = a->uts;
	t->ipc = a->ipc;
	t->net = a->net;
	*out = t;
	return 0;
}

void task_discard(struct task *t)
{
	task_timers_exit(t->tg);
	mutex_lock(&tasks_lock);
	__atomic_sub_fetch(&t->tg->nthreads, 1, __ATOMIC_RELAXED);
	t->exiting = true;
	task_release(t);
	mutex_unlock(&tasks_lock);
	task_drop_resources(t);
	task_put(t);
}
