/*
 * Futexes (futex(2)).  Each function is one operation; results and errors are
 * the system call's.  Addresses are checked here (EINVAL unaligned, EFAULT).
 */
#ifndef SENTRY_TASK_FUTEX_H
#define SENTRY_TASK_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/core/uaccess.h"

struct task;

/* deadline: absolute CLOCK_MONOTONIC ns, DEADLINE_NEVER.  restartable: the timeout was relative
 * (FUTEX_WAIT), an interrupted wait goes on by restart_syscall(2). */
long futex_wait(struct task *t, uaddr_t addr, uint32_t val, uint32_t bitset, bool shared,
	int64_t deadline, bool restartable);
long futex_wake(struct task *t, uaddr_t addr, uint32_t n, uint32_t bitset, bool shared);
long futex_requeue(struct task *t, uaddr_t from, uaddr_t to, uint32_t nwake, uint32_t nrequeue,
	bool cmp, uint32_t val, bool shared, bool shared_to);
/* Is there a futex at addr?  0, -EINVAL, -EFAULT. */
long futex_check(struct task *t, uaddr_t addr, bool shared);
long futex_wake_op(struct task *t, uaddr_t a1, uaddr_t a2, uint32_t n1, uint32_t n2, uint32_t op,
	bool shared);
/* deadline as futex_wait (the caller converts CLOCK_REALTIME). */
long futex_lock_pi(struct task *t, uaddr_t addr, bool shared, int64_t deadline, bool trylock);
long futex_unlock_pi(struct task *t, uaddr_t addr, bool shared);

/* FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI (one is "woken", that is, given the lock). */
long futex_wait_requeue_pi(struct task *t, uaddr_t addr, uint32_t val, uaddr_t lock, bool shared,
	int64_t deadline);
long futex_requeue_pi(struct task *t, uaddr_t from, uaddr_t lock, uint32_t nrequeue, uint32_t val,
	bool shared);

/* futex_waitv(2): n <= 128 words; the index of one that was woken. */
struct futex_waitv_k {
	uaddr_t addr;
	uint32_t val;
	bool shared;
};
long futex_waitv(struct task *t, const struct futex_waitv_k *v, uint32_t n, int64_t deadline);

/* At exit and exec, while the old mm is still there: robust list, PI locks, clear_child_tid. */
void futex_exit_cleanup(struct task *t);

#endif
