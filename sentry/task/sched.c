/* Scheduling as guests set and see it: see sched.h. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/abi/sched.h"
#include "lib/cleanup.h"
#include "sentry/core/machine.h"
#include "sentry/task/task.h"

/* Linux' check_same_owner, or CAP_SYS_NICE. */
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
	const struct task_sched *want)
{
	const struct rlimits *l = &target->tg->limits;
	uint64_t nice_limit = rlimit_soft(l, RLIMIT_NICE), rt_limit = rlimit_soft(l, RLIMIT_RTPRIO);
	if (want->policy == SCHED_DEADLINE || !same_owner(t, target))
		return false;
	if (policy_is_rt(want->policy)) {
		if (want->policy != old->policy && !rt_limit)
			return false;
		if (want->prio > old->prio && (uint64_t)want->prio > rt_limit)
			return false;
	} else if (want->policy != SCHED_IDLE && want->nice < old->nice &&
		   (uint64_t)(20 - want->nice) > nice_limit) {
		return false;
	}
	if (old->policy == SCHED_IDLE && want->policy != SCHED_IDLE &&
		(uint64_t)(20 - old->nice) > nice_limit)
		return false;
	return !old->reset_on_fork || want->reset_on_fork;
}

int task_sched_change(struct task *t, struct task *target, const struct task_sched *s)
{
	struct task_sched old = task_sched_get(target), want = *s;
	if (!sched_valid(s))
		return -EINVAL;
	if (!sched_permitted(t, target, &old, s) && !ctx_capable(&t->ctx, CAP_SYS_NICE))
		return -EPERM;
	if (want.policy != SCHED_DEADLINE) {
		want.flags = 0;
		want.runtime = want.deadline = want.period = 0;
	} else if (!want.period) {
		want.period = want.deadline;
	}
	if (want.policy != SCHED_OTHER && want.policy != SCHED_BATCH)
		want.nice = old.nice;
	mutex_lock(&target->lock);
	target->sched = want;
	mutex_unlock(&target->lock);
	return 0;
}

struct task_sched task_sched_get(struct task *t)
{
	MUTEX_GUARD(&t->lock);
	return t->sched;
}

void task_sched_reset(struct task_sched *s)
{
	if (s->policy == SCHED_FIFO || s->policy == SCHED_RR || s->policy == SCHED_DEADLINE) {
		s->policy = s->prio = s->nice = 0;
		s->flags = 0;
		s->runtime = s->deadline = s->period = 0;
	}
	s->nice = MAX(s->nice, 0);
	s->reset_on_fork = false;
}

/* --- affinity --- */

/* The CPUs of the machine in word i of a mask. */
static uint64_t cpus_word(uint32_t i)
{
	uint32_t cpus = machine_get()->cpus, lo = i * 64;

	return cpus >= lo + 64 ? ~0UL : cpus > lo ? (1UL << (cpus - lo)) - 1 : 0;
}

int task_set_affinity(struct task *t, struct task *target, const uint64_t mask[AFFINITY_WORDS])
{
	uint64_t usable[AFFINITY_WORDS], any = 0;

	for (uint32_t i = 0; i < AFFINITY_WORDS; i++)
		any |= usable[i] = mask[i] & cpus_word(i);
	if (!same_owner(t, target))
		return -EPERM;
	if (!any)
		return -EINVAL;
	MUTEX_GUARD(&target->lock);
	memcpy(target->affinity, usable, sizeof(usable));
	return 0;
}

void task_get_affinity(struct task *target, uint64_t mask[AFFINITY_WORDS])
{
	MUTEX_GUARD(&target->lock);
	for (uint32_t i = 0; i < AFFINITY_WORDS; i++)
		mask[i] = target->affinity[i] & cpus_word(i);
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

static long for_priority(struct task *t, int which, int32_t who, int value, bool set)
{
	struct prio_walk w = {.t = t,
		.which = which,
		.who = who,
		.set = set,
		.result = -ESRCH,
		.value = value < -20 ? -20 : MIN(value, 19),
		.uid = who ? (uint32_t)who : t->ctx.cred->uid};

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	MUTEX_GUARD(&tasks_lock);
	task_for_each(prio_visit, &w);
	return w.result;
}

long task_set_nice(struct task *t, int which, int32_t who, int value)
{
	return for_priority(t, which, who, value, true);
}

long task_get_nice(struct task *t, int which, int32_t who)
{
	return for_priority(t, which, who, 0, false);
}
