/* futex(2) and its relatives. */
#include "lib/abi/futex.h"
#include "syscalls/sys_priv.h"

/* The absolute CLOCK_MONOTONIC deadline that a timeout of the given kind means. */
static long futex_deadline(struct task *t, uaddr_t p, bool absolute, bool realtime, int64_t *out)
{
	int64_t ns;
	*out = DEADLINE_NEVER;
	if (!p.v)
		return 0;
	int r = timespec_in(t, p, &ns);
	if (r < 0)
		return r;
	if (!absolute)
		*out = deadline_after(ns);
	else if (realtime)
		*out = deadline_after(ns - time_realtime());
	else
		*out = ns;
	if (*out <= 0)
		*out = 1; /* already over: still a deadline */
	return 0;
}

long sys_futex(struct task *t, const struct sysargs *a)
{
	uint32_t op = ARG_U32(1), cmd = op & (uint32_t)FUTEX_CMD_MASK, val = ARG_U32(2);
	bool shared = !(op & FUTEX_PRIVATE_FLAG), realtime = op & FUTEX_CLOCK_REALTIME;
	uaddr_t addr = ARG_PTR(0), addr2 = ARG_PTR(4);
	int64_t deadline = DEADLINE_NEVER;
	if (realtime && cmd != FUTEX_WAIT_BITSET && cmd != FUTEX_WAIT_REQUEUE_PI &&
		cmd != FUTEX_LOCK_PI2)
		return -ENOSYS;
	if (cmd == FUTEX_WAIT || cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_LOCK_PI ||
		cmd == FUTEX_LOCK_PI2 || cmd == FUTEX_WAIT_REQUEUE_PI) {
		/* LOCK_PI has always used the realtime clock (futex(2)). */
		long r = futex_deadline(t, ARG_PTR(3), cmd != FUTEX_WAIT,
			realtime || cmd == FUTEX_LOCK_PI, &deadline);
		if (r < 0)
			return r;
	}
	switch (cmd) {
	case FUTEX_WAIT:
		return futex_wait(t, addr, val, FUTEX_BITSET_MATCH_ANY, shared, deadline, true);
	case FUTEX_WAIT_BITSET:
		return futex_wait(t, addr, val, ARG_U32(5), shared, deadline, false);
	case FUTEX_WAKE:
		return futex_wake(t, addr, val, FUTEX_BITSET_MATCH_ANY, shared);
	case FUTEX_WAKE_BITSET:
		return futex_wake(t, addr, val, ARG_U32(5), shared);
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
		return futex_requeue(t, addr, addr2, val, ARG_U32(3), cmd == FUTEX_CMP_REQUEUE,
			ARG_U32(5), shared, shared);
	case FUTEX_WAIT_REQUEUE_PI:
		return futex_wait_requeue_pi(t, addr, val, addr2, shared, deadline);
	case FUTEX_CMP_REQUEUE_PI:
		if (val != 1)
			return -EINVAL;
		return futex_requeue_pi(t, addr, addr2, ARG_U32(3), ARG_U32(5), shared);
	case FUTEX_WAKE_OP:
		return futex_wake_op(t, addr, addr2, val, ARG_U32(3), ARG_U32(5), shared);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return futex_lock_pi(t, addr, shared, deadline, false);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(t, addr, shared, 0, true);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(t, addr, shared);
	default:
		return -ENOSYS;
	}
}

long sys_set_robust_list(struct task *t, const struct sysargs *a)
{
	if (ARG_U64(1) != 24)
		return -EINVAL;
	WRITE_ONCE(t->robust_list, ARG_U64(0));
	return 0;
}

long sys_get_robust_list(struct task *t, const struct sysargs *a)
{
	uint64_t len = 24, head;
	if (ARG_I32(0) < 0)
		return -ESRCH;
	struct task *target = ARG_I32(0) ? task_find(t->pid_ns, ARG_I32(0)) : task_get(t);
	if (!target)
		return -ESRCH;
	long r = task_access_begin(&t->ctx, target, ACCESS_REALCREDS);
	if (r == 0) {
		head = READ_ONCE(target->robust_list);
		task_access_end(target);
	}
	task_put(target);
	if (r < 0)
		return r;
	if (uaccess_put(&t->ctx, ARG_PTR(2), &len) || uaccess_put(&t->ctx, ARG_PTR(1), &head))
		return -EFAULT;
	return 0;
}

/* One element of futex_waitv(2) and futex_requeue(2). */
static long waitv_in(struct task *t, uaddr_t from, struct futex_waitv_k *k)
{
	struct abi_futex_waitv w;

	if (uaccess_get(&t->ctx, &w, from))
		return -EFAULT;
	if ((w.flags & ~ABI_FUTEX2_PRIVATE) != ABI_FUTEX2_SIZE_U32 || w.reserved ||
		w.val > UINT32_MAX)
		return -EINVAL;
	*k = (struct futex_waitv_k){UADDR(w.uaddr), (uint32_t)w.val,
		!(w.flags & ABI_FUTEX2_PRIVATE)};
	return 0;
}

long sys_futex_waitv(struct task *t, const struct sysargs *a)
{
	struct futex_waitv_k *k;
	uint32_t n = ARG_U32(1);
	int clock = ARG_I32(4);
	int64_t deadline;
	if (ARG_U32(2) || !n || n > ABI_FUTEX_WAITV_MAX || !ARG_U64(0))
		return -EINVAL;
	if (ARG_U64(3) && clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return -EINVAL;
	long r = futex_deadline(t, ARG_PTR(3), true, clock == CLOCK_REALTIME, &deadline);
	if (r < 0)
		return r;
	k = buf_alloc(n * sizeof(*k));
	if (!k)
		return -ENOMEM;
	for (uint32_t i = 0; r == 0 && i < n; i++)
		r = waitv_in(t, uaddr_add(ARG_PTR(0), i * sizeof(struct abi_futex_waitv)), &k[i]);
	if (r == 0)
		r = futex_waitv(t, k, n, deadline);
	buf_free(k, n * sizeof(*k));
	return r;
}

/* --- futex2: one operation a call, a size in the flags --- */

static bool futex2_flags_ok(uint32_t flags)
{
	return (flags & ~ABI_FUTEX2_PRIVATE) == ABI_FUTEX2_SIZE_U32;
}

long sys_futex_wake(struct task *t, const struct sysargs *a)
{
	uint32_t flags = ARG_U32(3);

	if (!futex2_flags_ok(flags) || ARG_U64(1) > UINT32_MAX || !ARG_U64(1))
		return -EINVAL;
	if (!ARG_U32(2)) /* strict: none is none; a bad address is still told */
		return futex_check(t, ARG_PTR(0), !(flags & ABI_FUTEX2_PRIVATE));
	return futex_wake(t, ARG_PTR(0), ARG_U32(2), ARG_U32(1), !(flags & ABI_FUTEX2_PRIVATE));
}

long sys_futex_wait(struct task *t, const struct sysargs *a)
{
	uint32_t flags = ARG_U32(3);
	int clock = ARG_I32(5);
	int64_t deadline;

	if (!futex2_flags_ok(flags) || ARG_U64(1) > UINT32_MAX || ARG_U64(2) > UINT32_MAX)
		return -EINVAL;
	if (ARG_U64(4) && clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return -EINVAL;
	long r = futex_deadline(t, ARG_PTR(4), true, clock == CLOCK_REALTIME, &deadline);
	if (r < 0)
		return r;
	return futex_wait(t, ARG_PTR(0), ARG_U32(1), ARG_U32(2), !(flags & ABI_FUTEX2_PRIVATE),
		deadline, false);
}

long sys_futex_requeue(struct task *t, const struct sysargs *a)
{
	struct futex_waitv_k k[2];

	if (ARG_U32(1) || !ARG_U64(0))
		return -EINVAL;
	for (uint32_t i = 0; i < 2; i++) {
		long r = waitv_in(t, uaddr_add(ARG_PTR(0), i * sizeof(struct abi_futex_waitv)),
			&k[i]);
		if (r < 0)
			return r;
	}
	return futex_requeue(t, k[0].addr, k[1].addr, ARG_U32(2), ARG_U32(3), true, k[0].val,
		k[0].shared, k[1].shared);
}
