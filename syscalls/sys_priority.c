/* Scheduling policies, affinity and nice values: see sentry/task/sched.h. */
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

static long sched_set(struct task *t, int32_t pid, int policy, int prio)
{
	struct task *target;
	if (pid < 0)
		return -EINVAL;
	long r = sched_target(t, pid, &target);
	if (r < 0)
		return r;
	struct task_sched s = {.policy = policy & ~SCHED_RESET_ON_FORK,
		.reset_on_fork = policy & SCHED_RESET_ON_FORK,
		.prio = prio};
	r = task_sched_change(t, target, &s,
		SCHED_KEEP_NICE | (policy < 0 ? SCHED_KEEP_POLICY : 0)); /* <0: sched_setparam(2) */
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
	if (policy == SCHED_FIFO || policy == SCHED_RR)
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

long sys_sched_getaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[AFFINITY_WORDS];
	uint32_t len = ARG_U32(1), need = AFFINITY_BYTES(machine_get()->cpus);
	if (len * 8 < machine_get()->cpus || (len & 7))
		return -EINVAL;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	need = MIN(need, (uint32_t)sizeof(mask));
	uint32_t n = MIN(len, need);
	task_get_affinity(target, mask);
	task_put(target);
	return uaccess_copyout(&t->ctx, ARG_PTR(2), mask, n) ? -EFAULT : (long)n;
}

long sys_sched_setaffinity(struct task *t, const struct sysargs *a)
{
	struct task *target;
	uint64_t mask[AFFINITY_WORDS] = {0};
	uint32_t len = MIN(ARG_U32(1), (uint32_t)sizeof(mask));
	if (uaccess_copyin(&t->ctx, mask, ARG_PTR(2), len))
		return -EFAULT;
	long r = sched_target(t, ARG_I32(0), &target);
	if (r < 0)
		return r == -EINVAL ? -ESRCH : r;
	r = task_set_affinity(t, target, mask);
	task_put(target);
	return r;
}

/* --- nice --- */

long sys_getpriority(struct task *t, const struct sysargs *a)
{
	return task_get_nice(t, ARG_I32(0), ARG_I32(1));
}

long sys_setpriority(struct task *t, const struct sysargs *a)
{
	return task_set_nice(t, ARG_I32(0), ARG_I32(1), ARG_I32(2));
}
