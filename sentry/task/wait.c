/*
 * wait4(2), waitid(2): what a process may learn of its children and a tracer of
 * its tracees.
 *
 * Every change that could end a wait wakes child_wait of the waiting process;
 * the waiter queues itself first and then looks, under tasks_lock.
 */
#include <sys/wait.h>

#include "sentry/task/task_priv.h"

struct wait_query {
	struct task *t;
	int type;        /* P_* */
	struct pid *pid; /* P_PID, P_PGID; owned */
	int options;
	bool exists; /* something eligible is there: not ECHILD */
	struct task_wait_result *out;
};

static void add_usage(struct rusage_k *to, const struct rusage_k *r)
{
	to->utime += r->utime;
	to->stime += r->stime;
	to->minflt += r->minflt;
	to->majflt += r->majflt;
	to->nvcsw += r->nvcsw;
	to->nivcsw += r->nivcsw;
	to->inblock += r->inblock;
	to->oublock += r->oublock;
	to->maxrss = MAX(to->maxrss, r->maxrss);
}

static bool eligible(const struct wait_query *q, struct task *p, bool traced) REQUIRES(tasks_lock)
{
	bool clone_child;

	if (q->type == P_PID && p->pid != q->pid && !(p == p->tg->leader && p->tg->pid == q->pid))
		return false;
	if (q->type == P_PGID && p->tg->pgrp != q->pid)
		return false;
	if (traced || (q->options & __WALL))
		return true;
	clone_child = p->tg->exit_signal != SIGCHLD;
	return clone_child == !!(q->options & __WCLONE);
}

static void fill(struct wait_query *q, struct task *p, uint32_t status, int code)
{
	struct task_wait_result *r = q->out;

	memset(r, 0, sizeof(*r));
	r->pid = pid_nr(p->pid, q->t->pid_ns);
	r->uid = task_uid(p);
	r->status = status;
	r->code = code;
	add_usage(&r->ru, &p->tg->dead);
	add_usage(&r->ru, &p->tg->children_ru);
}

static int exit_cld(uint32_t status)
{
	return status & 0x80 ? CLD_DUMPED : status & 0x7f ? CLD_KILLED : CLD_EXITED;
}

/* p is the leader of a process that has ended. */
static bool take_process(struct wait_query *q, struct task *p) REQUIRES(tasks_lock)
{
	struct tgroup *tg = p->tg;
	uint32_t status = tg->group_exit ? tg->exit_code : p->exit_code;

	fill(q, p, status, exit_cld(status));
	if (q->options & WNOWAIT)
		return true;
	if (tg->parent != q->t->tg) {
		/* The tracer has seen it; now it is the real parent's turn. */
		ptrace_unlink(p);
		if (notify_parent_exit(tg))
			task_release(p);
		return true;
	}
	add_usage(&q->t->tg->children_ru, &tg->dead);
	add_usage(&q->t->tg->children_ru, &tg->children_ru);
	task_release(p);
	return true;
}

/* A traced thread that is no leader has ended. */
static bool take_thread(struct wait_query *q, struct task *p) REQUIRES(tasks_lock)
{
	struct tgroup *tg = p->tg;

	fill(q, p, p->exit_code, exit_cld(p->exit_code));
	if (q->options & WNOWAIT)
		return true;
	tgroup_get(tg);
	task_release(p);
	task_group_check_ended(tg);
	tgroup_put(tg);
	return true;
}

/* A tracer hears of each thread's stops, asked for or not; a parent of the process's. */
static bool take_stop(struct wait_query *q, struct task *p, bool traced) REQUIRES(tasks_lock)
{
	struct tgroup *tg = p->tg;

	if (traced) {
		if (!p->pt.stopped || p->pt.reported || p->pt.listening)
			return false;
		fill(q, p, p->pt.stop_code << 8 | 0x7f, CLD_TRAPPED);
		if (!(q->options & WNOWAIT)) {
			p->pt.reported = true;
			p->pt.resume_signal = 0; /* from now on the tracer's to say */
		}
		return true;
	}
	if (!tg->stop_report || !(q->options & WSTOPPED))
		return false;
	fill(q, p, tg->stop_report << 8 | 0x7f, CLD_STOPPED);
	if (!(q->options & WNOWAIT))
		tg->stop_report = 0;
	return true;
}

static bool take_continued(struct wait_query *q, struct task *p) REQUIRES(tasks_lock)
{
	if (!p->tg->cont_report || !(q->options & WCONTINUED))
		return false;
	fill(q, p, 0xffff, CLD_CONTINUED);
	if (!(q->options & WNOWAIT))
		p->tg->cont_report = false;
	return true;
}

/*
 * As wait_consider_task of Linux.  traced: the caller looks as tracer, not as parent; a parent
 * that traces its child always does.  Whether something is left to wait for (q->exists) is said
 * of a zombie only if it can still report what was asked for: one that is nobody's to reap yet.
 */
static bool consider(struct wait_query *q, struct task *p, bool traced) REQUIRES(tasks_lock)
{
	bool leader = p == p->tg->leader;

	if (!eligible(q, p, traced))
		return false;
	if (!traced && p->pt.tracer && p->pt.tracer->tg == q->t->tg)
		traced = true;
	if (p->exit_state == TASK_ZOMBIE) {
		if ((!leader || p->tg->zombie) && (traced || !p->pt.tracer)) {
			if (!(q->options & WEXITED))
				return false;
			return leader ? take_process(q, p) : take_thread(q, p);
		}
		if (!traced || (q->options & (WCONTINUED | WEXITED)))
			q->exists = true;
	} else {
		q->exists = true;
	}
	return take_stop(q, p, traced) || take_continued(q, p);
}

static bool scan_tracees(struct wait_query *q, struct task *of) REQUIRES(tasks_lock)
{
	struct task *p, *ptmp;

	list_for_each_safe(p, ptmp, &of->pt.tracees, pt.node)
		if (consider(q, p, true))
			return true;
	return false;
}

static bool scan(struct wait_query *q) REQUIRES(tasks_lock)
{
	struct tgroup *me = q->t->tg, *tg, *tmp;
	bool own_only = q->options & __WNOTHREAD;
	struct task *o;

	list_for_each_safe(tg, tmp, &me->children, sibling) {
		if (own_only && tg->parent_thread != q->t)
			continue;
		if (tg->leader && consider(q, tg->leader, false))
			return true;
	}
	if (own_only)
		return scan_tracees(q, q->t);
	list_for_each(o, &me->threads, tg_node)
		if (scan_tracees(q, o))
			return true;
	return false;
}

static int wait_loop(struct wait_query *q)
{
	struct task *t = q->t;
	struct waiter w;
	int err;

	waiter_init_ctx(&w, &t->ctx, POLLIN);
	waitq_add(&t->tg->child_wait, &w);
	for (;;) {
		bool found;

		mutex_lock(&tasks_lock);
		q->exists = false;
		found = scan(q);
		mutex_unlock(&tasks_lock);
		err = found ? 1 : !q->exists ? -ECHILD : 0;
		if (err || (q->options & WNOHANG))
			break;
		err = ctx_block(&t->ctx, DEADLINE_NEVER);
		if (err)
			break;
	}
	waitq_del(&w);
	return err;
}

int task_wait(struct task *t, int type, int32_t id, int options, struct task_wait_result *out)
{
	struct wait_query q = {.t = t, .type = type, .options = options, .out = out};
	struct pid *p = NULL;
	int ret;

	if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	if (type == P_PID || type == P_PGID) {
		if (id < 0 || (type == P_PID && id == 0))
			return -EINVAL;
		mutex_lock(&tasks_lock);
		p = type == P_PGID && id == 0 ? t->tg->pgrp : pid_find(t->pid_ns, id);
		q.pid = p ? pid_get(p) : NULL;
		mutex_unlock(&tasks_lock);
		if (!q.pid)
			return -ECHILD;
	} else if (type != P_ALL) {
		return -EINVAL;
	}
	ret = wait_loop(&q);
	pid_put(q.pid);
	return ret;
}

int task_wait_pidfd(struct task *t, struct file *f, int options, struct task_wait_result *out)
{
	struct pid *p = pidfd_pid(f);
	struct wait_query q = {.t = t, .type = P_PID, .options = options, .out = out, .pid = p};

	if (!(options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	return p ? wait_loop(&q) : -EBADF;
}
