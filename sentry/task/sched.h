/*
 * Scheduling as guests set and see it (sched(7), nice in getpriority(2)): checked and kept as Linux
 * does.  Nothing acts on it: the host schedules the sandbox's threads.
 */
#ifndef SENTRY_TASK_SCHED_H
#define SENTRY_TASK_SCHED_H

#include <stdbool.h>
#include <stdint.h>

struct task;

struct task_sched {
	int32_t policy; /* SCHED_* */
	int32_t prio;   /* real-time: 1 to 99 */
	int32_t nice;
	bool reset_on_fork;
	uint32_t flags; /* SCHED_FLAG_* of sched_setattr(2), for SCHED_DEADLINE */
	uint64_t runtime, deadline, period; /* SCHED_DEADLINE; ns */
};

#define AFFINITY_WORDS 16

/* What is set for t, read as a whole. */
struct task_sched task_sched_get(struct task *t);
/* What task_sched_change is to leave as it is, whatever its argument says. */
#define SCHED_KEEP_POLICY 1u /* and reset_on_fork */
#define SCHED_KEEP_NICE 2u
/* All but reset_on_fork; what is asked for has to go with the parameters that there are. */
#define SCHED_KEEP_PARAMS 4u
/* Gives target another policy and its parameters, as t may: 0, -EINVAL, -EPERM. */
int task_sched_change(struct task *t, struct task *target, const struct task_sched *s,
	uint32_t keep);
/* SCHED_RESET_ON_FORK: a child has no privileged policy and no negative nice value. */
void task_sched_reset(struct task_sched *s);

/*
 * setpriority(2): which: PRIO_*, who: 0 the caller's.  0, -ESRCH, -EPERM, -EACCES.
 * getpriority(2): 20 - the lowest nice value of those meant, or -ESRCH.
 */
long task_set_nice(struct task *t, int which, int32_t who, int value);
long task_get_nice(struct task *t, int which, int32_t who);

/* sched_setaffinity(2): the CPUs of the machine among those in mask: 0, -EPERM, -EINVAL: none. */
int task_set_affinity(struct task *t, struct task *target, const uint64_t mask[AFFINITY_WORDS]);
/* Those of the machine that target may use. */
void task_get_affinity(struct task *target, uint64_t mask[AFFINITY_WORDS]);

#endif
