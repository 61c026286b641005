/* FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI; futex2: futex_wake, futex_wait, futex_requeue */
#include "test.h"

#include <linux/futex.h>
#include <pthread.h>

#ifndef SYS_futex_wake
#define SYS_futex_wake 454
#define SYS_futex_wait 455
#define SYS_futex_requeue 456
#endif
#define U32 2u
#define PRIVATE 128u

struct waitv {
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

static uint32_t cond, lock, other;

static long futex(uint32_t *a, int op, uint32_t val, const void *timeout, uint32_t *a2, uint32_t v3)
{
	return syscall(SYS_futex, a, op | FUTEX_PRIVATE_FLAG, val, timeout, a2, v3);
}

static long requeue_pi(int n)
{
	return futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, (void *)(long)n, &lock, cond);
}

TEST(errors)
{
	struct timespec past = {1, 0};

	cond = 1;
	CHECK_ERRNO(futex(&cond, FUTEX_WAIT_REQUEUE_PI, 1, &past, &cond, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_WAIT_REQUEUE_PI, 2, &past, &lock, 0), EAGAIN);
	CHECK_ERRNO(futex(&cond, FUTEX_WAIT_REQUEUE_PI, 1, &past, &lock, 0), ETIMEDOUT);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 2, NULL, &lock, 1), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, NULL, &cond, 1), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, NULL, &lock, 7), EAGAIN);
	CHECK_EQ(requeue_pi(10), 0);
}

static volatile int order;
static volatile pid_t waiters[3];
static void *waiter(void *arg)
{
	uint32_t tid = (uint32_t)gettid_();

	*(volatile pid_t *)arg = (pid_t)tid;
	long r = futex(&cond, FUTEX_WAIT_REQUEUE_PI, cond, NULL, &lock, 0);

	if (r != 0)
		return (void *)(long)(errno ? errno : 1);
	if ((lock & FUTEX_TID_MASK) != tid)
		return (void *)1000L;
	order++;
	sleep_ms(20);
	if (lock == tid)
		lock = 0;
	else
		r = futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	return (void *)r;
}

static void start(pthread_t *th, int n)
{
	for (int i = 0; i < n; i++) {
		waiters[i] = 0;
		pthread_create(&th[i], NULL, waiter, (void *)&waiters[i]);
		wait_asleep(&waiters[i]);
	}
}

TEST(requeue_to_free_lock)
{
	pthread_t th[3];
	void *ret;

	start(th, 3);
	CHECK_EQ(requeue_pi(10), 3);
	for (int i = 0; i < 3; i++) {
		pthread_join(th[i], &ret);
		CHECK_EQ((long)ret, 0);
	}
	CHECK_EQ(order, 3);
	CHECK_EQ(lock & FUTEX_TID_MASK, 0);
}

TEST(requeue_to_held_lock)
{
	pthread_t th[2];
	void *ret;

	CHECK_OK(futex(&lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	start(th, 2);
	CHECK_EQ(requeue_pi(0), 1);
	CHECK_EQ(requeue_pi(0), 1);
	CHECK_EQ(requeue_pi(0), 0);
	CHECK(lock & FUTEX_WAITERS);
	for (int i = 0; i < 2; i++)
		wait_asleep(&waiters[i]);
	CHECK_EQ(order, 0);
	CHECK_OK(futex(&lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	for (int i = 0; i < 2; i++) {
		pthread_join(th[i], &ret);
		CHECK_EQ((long)ret, 0);
	}
	CHECK_EQ(order, 2);
}

TEST(mixed)
{
	pthread_t th;

	start(&th, 1);
	CHECK_ERRNO(futex(&cond, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE, 1, (void *)1L, &other, cond), EINVAL);
	CHECK_ERRNO(futex(&cond, FUTEX_CMP_REQUEUE_PI, 1, NULL, &other, cond), EINVAL);
	CHECK_EQ(requeue_pi(0), 1);
	pthread_join(th, NULL);
}

TEST(condition_variable)
{
	/* glibc's, with a PI mutex */
	static pthread_mutex_t m;
	pthread_mutexattr_t a;

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
	CHECK_EQ(pthread_mutex_init(&m, &a), 0);
	CHECK_EQ(pthread_mutex_lock(&m), 0);
	CHECK_EQ(pthread_mutex_unlock(&m), 0);
}

static void *wait2(void *arg)
{
	*(volatile pid_t *)((uint32_t *)arg == &cond && !waiters[0] ? &waiters[0] : &waiters[1]) =
		gettid_();
	long r = syscall(SYS_futex_wait, arg, 0UL, ~0UL >> 32, U32 | PRIVATE, NULL, 0);

	return (void *)(r ? (long)errno : 0);
}

static bool has_futex2(void)
{
	return syscall(SYS_futex_wake, &other, 1UL, 0, U32) == 0;
}

TEST(futex2_wake_wait)
{
	struct timespec past = {1, 0};
	pthread_t th;
	void *ret;

	if (!has_futex2())
		test_skip("no futex2 system calls");
	CHECK_ERRNO(syscall(SYS_futex_wake, &other, 1UL, 1, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wake, &other, 1UL, 1, 3), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wake, &other, 1UL << 32, 1, U32), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wake, &other, 0UL, 1, U32), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wait, &other, 1UL, 1UL, U32, NULL, 0), EAGAIN);
	CHECK_ERRNO(syscall(SYS_futex_wait, &other, 0UL, 0UL, U32, NULL, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wait, &other, 0UL, 1UL, U32, &past, 7), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_wait, &other, 0UL, 1UL, U32, &past, CLOCK_MONOTONIC),
		ETIMEDOUT);
	pthread_create(&th, NULL, wait2, &other);
	wait_asleep(&waiters[1]);
	CHECK_EQ(syscall(SYS_futex_wake, &other, 1UL, 0, U32 | PRIVATE), 0); /* strict */
	CHECK_EQ(syscall(SYS_futex_wake, &other, ~0UL >> 32, 5, U32 | PRIVATE), 1);
	pthread_join(th, &ret);
	CHECK_EQ((long)ret, 0);
}

TEST(futex2_requeue)
{
	struct waitv w[2] = {{0, (uint64_t)&cond, U32 | PRIVATE, 0},
		{0, (uint64_t)&other, U32 | PRIVATE, 0}};
	pthread_t th[2];

	if (!has_futex2())
		test_skip("no futex2 system calls");
	CHECK_ERRNO(syscall(SYS_futex_requeue, NULL, 0, 1, 1), EINVAL);
	CHECK_ERRNO(syscall(SYS_futex_requeue, w, 1, 1, 1), EINVAL);
	w[0].val = 1;
	CHECK_ERRNO(syscall(SYS_futex_requeue, w, 0, 1, 1), EAGAIN);
	w[0].val = 0;
	w[1].reserved = 1;
	CHECK_ERRNO(syscall(SYS_futex_requeue, w, 0, 1, 1), EINVAL);
	w[1].reserved = 0;
	for (int i = 0; i < 2; i++) {
		pthread_create(&th[i], NULL, wait2, &cond);
		wait_asleep(&waiters[i]);
	}
	CHECK_EQ(syscall(SYS_futex_requeue, w, 0, 1, 1), 2);
	CHECK_EQ(syscall(SYS_futex_wake, &other, 1UL, 5, U32 | PRIVATE), 1);
	pthread_join(th[0], NULL);
	pthread_join(th[1], NULL);
}
