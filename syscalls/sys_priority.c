/* Scheduling parameters, affinity and nice values: kept and checked as Linux does; the host
 * schedules. */
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/abi/sched.h"
#include "sentry/core/machine.h"
#include "syscalls/sys_priv.h"

static long sched_target(struct task *t, int32_t pid, struct task **out)
{
	if (pid < 0)
		return -EINVAL;
	*out = pid ? task_find(t->pid_ns, pid) : task_get(t);
	return *out ? 0 : -ESRCH;
}

static bool same_owner(struct task *t, struct task *target)
{
	struct cred *c = task_cred_get(target);
	bool ok = t->ctx.cred->euid == c->euid || t->ctx.cred->euid == c->uid ||
		  ctx_capable(&t->ctx, CAP_SYS_NICE);
	cred_put(c);
	return ok;
}

static bool policy_is_rt(int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

/* Linux' __checkparam_dl. */
static bool deadline_ok(const struct task_sched *s)
{
	uint64_t period = s->period ? s->period : s->deadline;
	if (!s->deadline || s->runtime < 1024)
		return false;
	if ((s->deadline | s->period) >> 63)
		return false;
	if (period < s->deadline || s->deadline < s->runtime)
		return false;
	return period >= 100000 && period <= (1UL << 22) * 1000; /* sched_deadline_period_*_us */
}

static bool sched_valid(const struct task_sched *s)
{
	switch (s->policy) {
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return s->prio == 0;
	case SCHED_FIFO:
	case SCHED_RR:
		return s->prio >= 1 && s->prio <= 99;
	case SCHED_DEADLINE:
		return s->prio == 0 && deadline_ok(s);
	default:
		return false;
	}
}

/* Linux' user_check_sched_setscheduler: may t without CAP_SYS_NICE? */
static bool sched_permitted(struct task *t, struct task *target, const struct task_sched *old,
	const struct task_sched *new)
{
	const struct rlimits *l = &target->tg->limits;
	uint64_t nice_limit = rlimit_soft(l, RLIMIT_NICE), rt_limit = rlimit_soft(l, RLIMIT_RTPRIO);
	if (new->policy == SCHED_DEADLINE || !same_owner(t, target))
		return false;
	if (policy_is_rt(new->policy)) {
		if (new->policy != old->policy && !rt_limit)
			return false;
		if (new->prio > old->prio && (uint64_t) new->prio > rt_limit)
			return false;
	} else if (new->policy != SCHED_IDLE &&new->nice < old->nice &&
		   (uint64_t)(20 - new->nice) > nice_limit) {
		return false;
	}
	if (old->policy == SCHED_IDLE && new->policy != SCHED_IDLE &&
		(uint64_t)(20 - old->nice) > nice_limit)
		return false;
	return !old->reset_on_fork || new->reset_on_fork;
}

long task_sched_change(struct task *t, struct task *target, const struct task_sched *s)
{
	struct task_sched old = task_sched_get(target), new = *s;
	if (!sched_valid(s))
		return -EINVAL;
	if (!sched_permitted(t, target, &old, s) && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		return -EPERM;
	if (new.policy != SCHED_DEADLINE) {
		new.flags = 0;
		new.runtime = new.deadline = new.period = 0;
	} else if (!new.period) {
		new.period = new.deadline;
	}
	if (new.policy != SCHED_OTHER &&new.policy != SCHED_BATCH)
		new.nice = old.nice;
	mutex_lock(&target->lock);
	target->sched = new;
	mutex_unlock(&target->lock);
	return 0;
}

static long sched_set(struct task *t, int32_t pid, int policy, int prio)
{
	struct task *target;
	if (pid < 0)
		return -EINVAL;
	long r = sched_target(t, pid, &target);
	if (r < 0)
		return r;
	struct task_sched s = task_sched_get(target);
	if (policy >= 0) { /* sched_setparam(2) leaves both as they are */
		s.policy = policy & ~SCHED_RESET_ON_FORK;
		s.reset_on_fork = policy & SCHED_RESET_ON_FORK;
	}
	s.prio = prio;
	s.runtime = s.deadline = s.period = 0;
	r = task_sched_change(t, target, &s);
	task_put(target);
	return r;
}

long sys_sched_setparam(struct task *t, const struct sysargs *a)
{
	int prio;
	if (!ARG_U64(1) || ARG_I32(0) < 0)
		return -EINVAL;
	if (uaccess_get(&t->ctx, &prio, ARG_PTR(1)))
		return -EFAULT;
	return sched_set(t, ARG_I32(0), -1, prio);
}

long sys_sched_setscheduler(struct task *t, const struct sysargs *a)
{
	int prio;
	if (ARG_I32(1) < 0 || !ARG_U64(2) || ARG_I32(0) < 0)
		return -EINVAL;
	if (uaccess_get(&t->ctx, &prio, ARG_PTR(2)))
		return -EFAULT;
	return sched_set(t, ARG_I32(0), ARG_I32(1), prio);
}

long sys_sched_getparam(struct task *t, const struct sysargs *a)
{
	struct task *target;
	if (!ARG_U64(1))
		return -EINVAL;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	int prio = task_sched_get(target).prio;
	task_put(target);
	return uaccess_put(&t->ctx, ARG_PTR(1), &prio);
}

long sys_sched_getscheduler(struct task *t, const struct sysargs *a)
{
	struct task *target;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	struct task_sched s = task_sched_get(target);
	task_put(target);
	return s.policy | (s.reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

static long prio_limit(int policy, int max)
{
	if (policy_is_rt(policy))
		return max ? 99 : 1;
	return policy == SCHED_OTHER || policy == SCHED_BATCH || policy == SCHED_IDLE ||
			       policy == SCHED_DEADLINE
		       ? 0
		       : -EINVAL;
}

long sys_sched_get_priority_max(struct task *t, const struct sysargs *a)
{
	return prio_limit(ARG_I32(0), 1);
}

long sys_sched_get_priority_min(struct task *t, const struct sysargs *a)
{
	return prio_limit(ARG_I32(0), 0);
}

long sys_sched_rr_get_interval(struct task *t, const struct sysargs *a)
{
	struct task *target;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r;
	int policy = task_sched_get(target).policy;
	int64_t ns = policy == SCHED_RR ? 100000000 : policy == SCHED_FIFO ? 0 : 4000000;
	task_put(target);
	return timespec_out(t, ARG_PTR(1), ns);
}

long sys_sched_yield(struct task *t, const struct sysargs *a)
{
	host_syscall0(SYS_sched_yield);
	return 0;
}

#define AFFINITY_BYTES(cpus) ROUND_UP(((cpus) + 7) / 8, 8u)

/* The CPUs of the machine in word i of a mask. */
static uint64_t cpus_word(uint32_t i)
{
	uint32_t cpus = machine_get()->cpus, lo = i * 64;
	return cpus >= lo + 64 ? ~0UL : cpus > lo ? (1UL << (cpus - lo)) - 1 : 0;
}

long sys_sched_getaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[16];
	uint32_t len = ARG_U32(1), need = AFFINITY_BYTES(machine_get()->cpus);
	if (len * 8 < machine_get()->cpus || (len & 7))
		return -EINVAL;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	need = MIN(need, (uint32_t)sizeof(mask));
	uint32_t n = MIN(len, need);
	mutex_lock(&target->lock);
	for (uint32_t i = 0; i < 16; i++)
		mask[i] = target->affinity[i] & cpus_word(i);
	mutex_unlock(&target->lock);
	task_put(target);
	return uaccess_copyout(&t->ctx, ARG_PTR(2), mask, n) ? -EFAULT : (long)n;
}

static void set_affinity(struct task *t, const uint64_t mask[16])
{
	MUTEX_GUARD(&t->lock);
	memcpy(t->affinity, mask, sizeof(t->affinity));
}

long sys_sched_setaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[16] = {0}, any = 0;
	uint32_t len = MIN(ARG_U32(1), (uint32_t)sizeof(mask));
	if (uaccess_copyin(&t->ctx, mask, ARG_PTR(2), len))
		return -EFAULT;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	for (uint32_t i = 0; i < 16; i++) {
		mask[i] &= cpus_word(i);
		any |= mask[i];
	}
	if (!same_owner(t, target))
		r = -EPERM;
	else if (!any)
		r = -EINVAL;
	else
		set_affinity(target, mask);
	task_put(target);
	return r;
}

/* --- nice --- */

struct prio_walk {
	struct task *t;
	int which, who, value; /* value: nice to set, or 20 - nice found */
	uint32_t uid;
	bool set;
	long result;
};

static bool prio_matches(const struct prio_walk *w, struct task *p) REQUIRES(tasks_lock)
{
	switch (w->which) {
	case PRIO_PROCESS:
		return w->who ? pid_nr(p->pid, w->t->pid_ns) == w->who : p == w->t;
	case PRIO_PGRP:
		return w->who ? p->tg->pgrp && pid_nr(p->tg->pgrp, w->t->pid_ns) == w->who
			      : p->tg->pgrp == w->t->tg->pgrp;
	default:
		return task_uid(p) == w->uid && pid_nr(p->pid, w->t->pid_ns);
	}
}

static bool prio_visit(struct task *p, void *arg) REQUIRES(tasks_lock)
{
	struct prio_walk *w = arg;
	if (p->exit_state != TASK_ALIVE || !prio_matches(w, p))
		return true;
	struct task_sched s = task_sched_get(p);
	if (!w->set) {
		w->result = MAX(w->result, (long)(20 - s.nice));
		return true;
	}
	if (!same_owner(w->t, p)) {
		w->result = -EPERM;
	} else if (w->value < s.nice && !ctx_capable(&w->t->ctx, CAP_SYS_NICE) &&
		   (uint64_t)(20 - w->value) > rlimit_soft(&p->tg->limits, RLIMIT_NICE)) {
		w->result = -EACCES;
	} else {
		mutex_lock(&p->lock);
		p->sched.nice = w->value;
		mutex_unlock(&p->lock);
		if (w->result == -ESRCH)
			w->result = 0;
	}
	return true;
}

static long do_priority(struct task *t, int which, int who, int value, bool set)
{
	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	struct prio_walk w = {.t = t,
		.which = which,
		.who = who,
		.set = set,
		.result = -ESRCH,
		.value = value < -20 ? -20 : MIN(value, 19),
		.uid = who ? (uint32_t)who : t->ctx.cred->uid};
	mutex_lock(&tasks_lock);
	task_for_each(prio_visit, &w);
	mutex_unlock(&tasks_lock);
	return w.result;
}

long sys_getpriority(struct task *t, const struct sysargs *a)
{
	return do_priority(t, ARG_I32(0), ARG_I32(1), 0, false);
}

long sys_setpriority(struct task *t, const struct sysargs *a)
{
	return do_priority(t, ARG_I32(0), ARG_I32(1), ARG_I32(2), true);
}
