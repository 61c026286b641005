/*
 * pidfds: files that stand for a process (task_pidfd_open(2)), or with PIDFD_THREAD
 * (O_EXCL) for a thread.  They hold a struct pid, not a task.
 */
#include <stdio.h>
#include <sys/epoll.h>

#include "lib/abi/pidfd.h"
#include "sentry/task/task_priv.h"

struct pid *pidfd_pid(struct file *f)
{
	return f->type == FILE_PIDFD ? f->priv : NULL;
}

int pidfd_task(struct file *f, struct task **out)
{
	struct pid *p = pidfd_pid(f);

	if (!p)
		return -EBADF;
	MUTEX_GUARD(&tasks_lock);
	*out = p->task ? task_get(p->task) : NULL;
	return *out ? 0 : -ESRCH;
}

int pidfd_create(struct ctx *ctx, struct pid *pid, uint64_t flags, struct file **out)
{
	struct file *f = file_alloc_anon(ctx, FILE_PIDFD, INODE_PIDFD, "anon_inode:[pidfd]", 0600,
		O_RDWR | (flags & (ABI_PIDFD_NONBLOCK | ABI_PIDFD_THREAD)));

	if (!f)
		return -ENOMEM;
	f->priv = pid_get(pid);
	*out = f;
	return 0;
}

int task_pidfd_open(struct task *t, int32_t nr, uint32_t flags, struct file **out)
{
	struct pid *p;
	int err = 0;

	if (flags & ~(uint32_t)(ABI_PIDFD_NONBLOCK | ABI_PIDFD_THREAD))
		return -EINVAL;
	if (nr <= 0)
		return -EINVAL;
	mutex_lock(&tasks_lock);
	p = pid_find(t->pid_ns, nr);
	if (!p || !p->task)
		err = -ESRCH;
	else if (!(flags & ABI_PIDFD_THREAD) && !p->tgroup)
		err = -ENOENT;
	else
		pid_get(p);
	mutex_unlock(&tasks_lock);
	if (err)
		return err == -ENOENT ? -EINVAL : err;
	err = pidfd_create(&t->ctx, p, flags, out);
	pid_put(p);
	return err;
}

static int send_to(struct task *t, struct pid *p, const struct ksiginfo *info, uint32_t flags,
	bool thread) REQUIRES(tasks_lock)
{
	struct task *target = p->task;

	if (!target)
		return -ESRCH;
	if (!signal_may_send(t, target, info->signo))
		return -EPERM;
	if (!info->signo)
		return 0;
	if (flags & ABI_PIDFD_SIGNAL_PROCESS_GROUP)
		return signal_send_pgrp_locked(target->tg->pgrp, info);
	return thread ? signal_send_task_locked(target, info)
		      : signal_send_group_locked(target->tg, info);
}

int task_pidfd_send_signal(struct task *t, struct file *f, int sig, const struct ksiginfo *info,
	uint32_t flags)
{
	struct pid *p = pidfd_pid(f);
	struct ksiginfo own;
	bool thread;

	if (flags & ~7u || (flags & (flags - 1)))
		return -EINVAL;
	if (!p)
		return -EBADF;
	if (!pid_ns_is_below(pid_own_ns(p), t->pid_ns))
		return -EINVAL;
	thread = flags ? flags & ABI_PIDFD_SIGNAL_THREAD : READ_ONCE(f->flags) & ABI_PIDFD_THREAD;
	if (info) {
		if (info->signo != sig)
			return -EINVAL;
		own = *info;
		if ((own.code >= 0 || own.code == SI_TKILL) && p != t->pid && p != t->tg->pid)
			return -EPERM;
	} else {
		ksiginfo_user(&own, t, sig, thread ? SI_TKILL : SI_USER);
	}
	if (sig < 0 || sig > KNSIG)
		return -EINVAL;
	MUTEX_GUARD(&tasks_lock);
	return send_to(t, p, &own, flags, thread);
}

static uint32_t pidfd_poll(struct file *f, struct poll_table *pt)
{
	struct pid *p = f->priv;
	uint32_t mask = 0;

	poll_wait(pt, &p->wait);
	MUTEX_GUARD(&tasks_lock);
	if (READ_ONCE(f->flags) & ABI_PIDFD_THREAD) {
		if (!p->task)
			mask = POLLIN | POLLRDNORM | POLLHUP;
		else if (p->task->exit_state != TASK_ALIVE)
			mask = POLLIN | POLLRDNORM;
	} else if (!p->tgroup) {
		mask = POLLIN | POLLRDNORM | POLLHUP;
	} else if (p->tgroup->zombie) {
		mask = POLLIN | POLLRDNORM;
	}
	return mask;
}

static void pidfd_release(struct file *f)
{
	if (f->priv)
		pid_put(f->priv);
	f->priv = NULL;
}

static size_t pidfd_fdinfo(struct file *f, char *buf, size_t n)
{
	struct task *t = task_current();
	struct pid *p = f->priv;
	struct pid_ns *ns = t ? t->pid_ns : p->num[0].ns;
	int32_t nr;
	int len;

	mutex_lock(&tasks_lock);
	nr = p->task ? pid_nr(p, ns) : -1;
	mutex_unlock(&tasks_lock);
	len = snprintf(buf, n, "Pid:\t%d\nNSpid:\t%d\n", nr, nr);
	return len < 0 ? 0 : MIN((size_t)len, n);
}

void pidfd_init(void)
{
	static const struct file_ops ops = {.poll = pidfd_poll,
		.release = pidfd_release,
		.show_fdinfo = pidfd_fdinfo};

	file_ops_register(FILE_PIDFD, &ops);
}
