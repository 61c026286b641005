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

/* Linux' user_check_sched_setscheduler: may target's owner without CAP_SYS_NICE? */
static bool sched_permitted(struct task *target, const struct task_sched *old,
	const struct task_sched *want)
{
	const struct rlimits *l = &target->tg->limits;
	uint64_t nice_limit = rlimit_soft(l, RLIMIT_NICE), rt_limit = rlimit_soft(l, RLIMIT_RTPRIO);
	if (want->policy == SCHED_DEADLINE)
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

/* What is asked for, with what is to be kept of old. */
static struct task_sched sched_wanted(const struct task_sched *old, const struct task_sched *s,
	uint32_t keep)
{
	struct task_sched want = *s;
	if (keep & SCHED_KEEP_POLICY) {
		want.policy = old->policy;
		want.reset_on_fork = old->reset_on_fork;
	}
	if (keep & SCHED_KEEP_NICE)
		want.nice = old->nice;
	if (!(keep & SCHED_KEEP_PARAMS))
		return want;
	if (old->policy == SCHED_DEADLINE) {
		want.runtime = old->runtime;
		want.deadline = old->deadline;
		want.period = old->period;
	} else if (policy_is_rt(old->policy)) {
		want.prio = old->prio;
	} else {
		want.nice = old->nice;
	}
	return want;
}

static void sched_set(struct task_sched *to, const struct task_sched *want, uint32_t keep)
{
	struct task_sched old = *to;
	to->reset_on_fork = want->reset_on_fork;
	if (keep & SCHED_KEEP_PARAMS) /* the policy too: sched_setattr of Linux */
		return;
	*to = *want;
	if (to->policy != SCHED_DEADLINE) {
		to->flags = 0;
		to->runtime = to->deadline = to->period = 0;
	} else if (!to->period) {
		to->period = to->deadline;
	}
	if (to->policy != SCHED_OTHER && to->policy != SCHED_BATCH)
		to->nice = old.nice;
}

int task_sched_change(struct task *t, struct task *target, const struct task_sched *s,
	uint32_t keep)
{
	bool capable = ctx_capable(&t->ctx, CAP_SYS_NICE), owner = same_owner(t, target);
	/* One hold: what is kept is what others have set until now. */
	MUTEX_GUARD(&target->lock);
	struct task_sched want = sched_wanted(&target->sched, s, keep);
	if (!sched_valid(&want))
		return -EINVAL;
	if (!capable && (!owner || !sched_permitted(target, &target->sched, &want)))
		return -EPERM;
	sched_set(&target->sched, &want, keep);
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

static int prio_set(const struct prio_walk *w, struct task *p)
{
	if (!same_owner(w->t, p))
		return -EPERM;
	MUTEX_GUARD(&p->lock);
	if (w->value < p->sched.nice && !ctx_capable(&w->t->ctx, CAP_SYS_NICE) &&
		(uint64_t)(20 - w->value) > rlimit_soft(&p->tg->limits, RLIMIT_NICE))
		return -EACCES;
	p->sched.nice = w->value;
	return 0;
}

static bool prio_visit(struct task *p, void *arg) REQUIRES(tasks_lock)
{
	struct prio_walk *w = arg;
	if (p->exit_state != TASK_ALIVE || !prio_matches(w, p))
		return true;
	if (!w->set) {
		w->result = MAX(w->result, (long)(20 - task_sched_get(p).nice));
		return true;
	}
	int r = prio_set(w, p);
	if (r < 0 || w->result == -ESRCH)
		w->result = r;
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
