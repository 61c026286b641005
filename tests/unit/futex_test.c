/* Futexes.  OBJS: lib platform/current platform/xstate sentry */
#include "tests/unit/test.h"
#include "tests/unit/task_fake.h"

#define W (GMEM + 256)
#define W2 (GMEM + 260)
#define CNT (GMEM + 512)
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static void add(struct task *t, uint64_t a, uint32_t n)
{
	uint32_t old;

	G(uaccess_futex_op32(&t->ctx, UADDR(a), FUTEX_OP_ADD, n, &old) == 0);
}

static void p_errors(struct task *t)
{
	g_store(t, W, 1);
	GEQ(futex_wait(t, UADDR(W), 2, ~0u, false, DEADLINE_NEVER, false), -EAGAIN);
	GEQ(futex_wait(t, UADDR(W + 1), 2, ~0u, false, DEADLINE_NEVER, false), -EINVAL);
	GEQ(futex_wait(t, UADDR(8), 2, ~0u, false, DEADLINE_NEVER, false), -EFAULT);
	GEQ(futex_wait(t, UADDR(1UL << 60), 2, ~0u, false, DEADLINE_NEVER, false), -EFAULT);
	GEQ(futex_wait(t, UADDR(W), 1, 0, false, DEADLINE_NEVER, false), -EINVAL);
	GEQ(futex_wait(t, UADDR(W), 1, ~0u, false, time_monotonic() + 1000000, false), -ETIMEDOUT);
	GEQ(futex_wake(t, UADDR(W), 1, ~0u, false), 0);
	GEQ(futex_wake(t, UADDR(W), 1, 0, false), -EINVAL);
	GEQ(futex_requeue(t, UADDR(W), UADDR(W2), 1, 1, true, 5, false, false), -EAGAIN);
	GEQ(futex_requeue(t, UADDR(W), UADDR(W2), (uint32_t)-1, 1, true, 1, false, false), -EINVAL);
	GEQ(futex_unlock_pi(t, UADDR(W), false), 0); /* we are 1: the word says we own it */
	GEQ(g_load(t, W), 0);
	GEQ(futex_unlock_pi(t, UADDR(W), false), -EPERM);
	g_store(t, W, 4711);
	GEQ(futex_lock_pi(t, UADDR(W), false, DEADLINE_NEVER, false), -ESRCH);
	g_store(t, W, 0);
	GEQ(futex_lock_pi(t, UADDR(W), false, DEADLINE_NEVER, false), 0);
	GEQ(g_load(t, W), 1);
	GEQ(futex_lock_pi(t, UADDR(W), false, DEADLINE_NEVER, false), -EDEADLK);
}
TEST(errors)
{
	CHECK_EQ(g_run(p_errors), 0);
	CHECK_EQ(g_failed, 0);
}

static void waiter(struct task *t)
{
	add(t, CNT, 1);
	GEQ(futex_wait(t, UADDR(W), 0, ~0u, false, DEADLINE_NEVER, false), 0);
	add(t, CNT, 1);
	task_exit(t, 0);
}
static void until(struct task *t, uint32_t n)
{
	while (g_load(t, CNT) < n)
		g_nap(t);
	g_nap(t);
}
static void p_requeue(struct task *t)
{
	g_store(t, W, 0);
	g_store(t, W2, 0);
	g_store(t, CNT, 0);
	for (int i = 0; i < 5; i++)
		G(g_clone(t, THREAD_FLAGS, 0, waiter) > 0);
	until(t, 5);
	GEQ(futex_requeue(t, UADDR(W), UADDR(W2), 1, 2, true, 0, false, false), 3);
	until(t, 6);
	GEQ(futex_wake(t, UADDR(W2), 100, ~0u, false), 2);
	until(t, 8);
	GEQ(futex_wake(t, UADDR(W), 1, ~0u, false), 1);
	/* wake_op: W2 += 1, wakes at W, and at W2 if its old value was 0 (nobody is there) */
	GEQ(futex_wake_op(t, UADDR(W), UADDR(W2), 1, 1,
		    FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0), false),
		1);
	GEQ(g_load(t, W2), 1);
	until(t, 10);
}
TEST(requeue)
{
	CHECK_EQ(g_run(p_requeue), 0);
	CHECK_EQ(g_failed, 0);
}

/* A mutex of the classic kind (0 free, 1 held, 2 contended) hammered by threads: a lost
 * wake-up hangs the test. */
static void lock(struct task *t)
{
	uint32_t seen, old;

	G(uaccess_cmpxchg32(&t->ctx, UADDR(W), 0, 1, &seen) == 0);
	if (seen == 0)
		return;
	for (;;) {
		G(uaccess_futex_op32(&t->ctx, UADDR(W), FUTEX_OP_SET, 2, &old) == 0);
		if (!old)
			return;
		futex_wait(t, UADDR(W), 2, ~0u, false, DEADLINE_NEVER, false);
	}
}
static void unlock(struct task *t)
{
	uint32_t old;

	G(uaccess_futex_op32(&t->ctx, UADDR(W), FUTEX_OP_SET, 0, &old) == 0);
	if (old == 2)
		futex_wake(t, UADDR(W), 1, ~0u, false);
}
#define ROUNDS 3000
static void hammer(struct task *t)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock(t);
		g_store(t, CNT, g_load(t, CNT) + 1);
		unlock(t);
	}
	task_exit(t, 0);
}
static void hammer_pi(struct task *t)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns), seen;

	for (int i = 0; i < ROUNDS / 10; i++) {
		G(uaccess_cmpxchg32(&t->ctx, UADDR(W), 0, tid, &seen) == 0);
		if (seen)
			GEQ(futex_lock_pi(t, UADDR(W), false, DEADLINE_NEVER, false), 0);
		g_store(t, CNT, g_load(t, CNT) + 1);
		G(uaccess_cmpxchg32(&t->ctx, UADDR(W), tid, 0, &seen) == 0);
		if (seen != tid)
			GEQ(futex_unlock_pi(t, UADDR(W), false), 0);
	}
	task_exit(t, 0);
}
static void p_hammer(struct task *t)
{
	g_store(t, W, 0);
	g_store(t, CNT, 0);
	for (int i = 0; i < 4; i++)
		G(g_clone(t, THREAD_FLAGS, 0, hammer) > 0);
	until(t, 4 * ROUNDS);
	GEQ(g_load(t, CNT), 4 * ROUNDS);
	until(t, 4 * ROUNDS);
	g_store(t, W, 0);
	g_store(t, CNT, 0);
	for (int i = 0; i < 4; i++)
		G(g_clone(t, THREAD_FLAGS, 0, hammer_pi) > 0);
	until(t, 4 * ROUNDS / 10);
	GEQ(g_load(t, CNT), 4 * ROUNDS / 10);
}
TEST(hammer)
{
	CHECK_EQ(g_run(p_hammer), 0);
	CHECK_EQ(g_failed, 0);
}

/* A thread dies with many PI locks, for each of which some wait. */
#define PI_LOCKS 12
#define PI_WAITERS 3
static struct task *pi_waiting[PI_LOCKS * PI_WAITERS];
static uint32_t pi_next, pi_order[PI_LOCKS][PI_WAITERS], pi_got[PI_LOCKS];

static uaddr_t pi_word(uint32_t lock)
{
	return UADDR(GMEM + 2048 + 64 * lock);
}
static void pi_waits(struct task *t)
{
	uint32_t i = __atomic_fetch_add(&pi_next, 1, __ATOMIC_RELAXED), l = i % PI_LOCKS;
	uint32_t nth, word;

	WRITE_ONCE(pi_waiting[i], t);
	add(t, CNT, 1);
	GEQ(futex_lock_pi(t, pi_word(l), false, DEADLINE_NEVER, false), 0);
	word = g_load(t, pi_word(l).v);
	nth = __atomic_fetch_add(&pi_got[l], 1, __ATOMIC_RELAXED);
	GEQ(word & FUTEX_TID_MASK, task_tid_nr(t, t->pid_ns));
	/* Only the first of them comes from the dead; and he says who else waits. */
	GEQ(!!(word & FUTEX_OWNER_DIED), nth == 0);
	GEQ(!!(word & FUTEX_WAITERS), nth + 1 < PI_WAITERS);
	WRITE_ONCE(pi_order[l][nth % PI_WAITERS], i / PI_LOCKS);
	GEQ(futex_unlock_pi(t, pi_word(l), false), 0);
	add(t, CNT, 1);
	task_exit(t, 0);
}
/* Queues them one after the other, so that the order is known. */
static void pi_dies(struct task *t)
{
	uint32_t tid = (uint32_t)task_tid_nr(t, t->pid_ns);

	for (uint32_t l = 0; l < PI_LOCKS; l++)
		g_store(t, pi_word(l).v, tid);
	for (uint32_t i = 0; i < PI_LOCKS * PI_WAITERS; i++) {
		G(g_clone(t, THREAD_FLAGS, 0, pi_waits) > 0);
		until(t, i + 1);
		while (READ_ONCE(READ_ONCE(pi_waiting[i])->ctx.state) != 'S')
			g_nap(t);
	}
	task_exit(t, 0);
}
static void p_pi_owner_dies(struct task *t)
{
	g_store(t, CNT, 0);
	G(g_clone(t, THREAD_FLAGS, 0, pi_dies) > 0);
	until(t, 2 * PI_LOCKS * PI_WAITERS);
	for (uint32_t l = 0; l < PI_LOCKS; l++) {
		GEQ(READ_ONCE(pi_got[l]), PI_WAITERS);
		for (uint32_t i = 0; i < PI_WAITERS; i++)
			GEQ(READ_ONCE(pi_order[l][i]), i);
	}
}
TEST(pi_owner_dies)
{
	CHECK_EQ(g_run(p_pi_owner_dies), 0);
	CHECK_EQ(g_failed, 0);
}

/* A thread dies with a robust lock. */
static void robust_dies(struct task *t)
{
	uint64_t head[3] = {GMEM + 1024 + 64, 8, 0}, entry = GMEM + 1024;

	g_store(t, GMEM + 1024 + 64 + 8, (uint32_t)task_tid_nr(t, t->pid_ns) | FUTEX_WAITERS);
	G(uaccess_copyout(&t->ctx, UADDR(GMEM + 1024), head, sizeof(head)) == 0);
	G(uaccess_put(&t->ctx, UADDR(GMEM + 1024 + 64), &entry) == 0);
	t->robust_list = GMEM + 1024;
	add(t, CNT, 1);
	task_exit(t, 0);
}
static void p_robust(struct task *t)
{
	uint64_t word = GMEM + 1024 + 64 + 8;

	g_store(t, CNT, 0);
	G(g_clone(t, THREAD_FLAGS, 0, robust_dies) > 0);
	while (!(g_load(t, word) & FUTEX_OWNER_DIED))
		g_nap(t);
	GEQ(g_load(t, word), FUTEX_OWNER_DIED | FUTEX_WAITERS);
}
TEST(robust)
{
	CHECK_EQ(g_run(p_robust), 0);
	CHECK_EQ(g_failed, 0);
}
