/* futex operations, robust lists, priority inheritance */
#include "test.h"

#include <linux/futex.h>
#include <pthread.h>

static long futex(volatile int *w, int op, int val, const struct timespec *ts, volatile int *w2,
	int val3)
{
	return syscall(SYS_futex, w, op, val, ts, w2, val3);
}

static int *shared_words(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

TEST(errors)
{
	int w = 5;
	struct timespec bad = {0, 1000000000}, neg = {-1, 0}, zero = {0, 0};

	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 5, &zero, NULL, 0), ETIMEDOUT);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 5, &bad, NULL, 0), EINVAL);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT, 5, &neg, NULL, 0), EINVAL);
	CHECK_ERRNO(futex((int *)((char *)&w + 1), FUTEX_WAIT, 5, NULL, NULL, 0), EINVAL);
	CHECK_ERRNO(futex((int *)8, FUTEX_WAIT, 5, NULL, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(&w, 99, 5, NULL, NULL, 0), ENOSYS);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET, 5, NULL, NULL, 0), EINVAL);
	CHECK_EQ(futex(&w, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
	CHECK_ERRNO(futex(&w, FUTEX_CMP_REQUEUE, 1, NULL, &w, 4), EAGAIN);
}

TEST(timeouts)
{
	int w = 0;
	struct timespec ts = {0, 50000000}, abs;
	int64_t start = now_ms();

	CHECK_ERRNO(futex(&w, FUTEX_WAIT_PRIVATE, 0, &ts, NULL, 0), ETIMEDOUT);
	CHECK(now_ms() - start >= 49);
	clock_gettime(CLOCK_MONOTONIC, &abs);
	abs.tv_nsec += 50000000;
	if (abs.tv_nsec >= 1000000000)
		abs.tv_sec++, abs.tv_nsec -= 1000000000;
	start = now_ms();
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET, 0, &abs, NULL, -1), ETIMEDOUT);
	CHECK(now_ms() - start >= 45 && now_ms() - start < 30000);
	clock_gettime(CLOCK_REALTIME, &abs);
	CHECK_ERRNO(futex(&w, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &abs, NULL, -1),
		ETIMEDOUT);
}

TEST(between_processes)
{
	int *w = shared_words();
	pid_t pid = test_fork();

	if (pid == 0) {
		CHECK_OK(futex(w, FUTEX_WAIT, 0, NULL, NULL, 0));
		_exit(0);
	}
	while (futex(w, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
		sleep_ms(1);
	WAIT_OK(pid);
}

TEST(file_backed)
{
	int fd = make_file("f", "0000000000000000");
	int *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int v = *a;
	pid_t pid = test_fork();

	if (pid == 0) {
		CHECK_OK(futex(a, FUTEX_WAIT, v, NULL, NULL, 0));
		_exit(0);
	}
	while (futex(b, FUTEX_WAKE, 1, NULL, NULL, 0) == 0) /* the same page elsewhere */
		sleep_ms(1);
	WAIT_OK(pid);
}

TEST(private_is_per_process)
{
	static int w;
	pid_t pid = test_fork();

	if (pid == 0) {
		futex(&w, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		_exit(1);
	}
	wait_state(pid, 'S');
	CHECK_EQ(futex(&w, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0), 0);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
}

static int *words;
static volatile int woken;
static volatile pid_t waiters[4];
struct wait_arg {
	int nr, bits;
};
static void *waiter(void *arg)
{
	const struct wait_arg *a = arg;

	waiters[a->nr] = gettid_();
	futex(&words[0], FUTEX_WAIT_BITSET, 0, NULL, NULL, a->bits);
	__atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void start_waiter(pthread_t *t, struct wait_arg *a)
{
	CHECK_EQ(pthread_create(t, NULL, waiter, a), 0);
	wait_asleep(&waiters[a->nr]);
}

/* One that was woken says so soon; nobody else does. */
static void wait_woken(int n)
{
	while (woken < n)
		sleep_ms(1);
	CHECK_EQ(woken, n);
}

TEST(bitsets)
{
	pthread_t a, b;

	words = shared_words();
	start_waiter(&a, &(struct wait_arg){0, 1});
	start_waiter(&b, &(struct wait_arg){1, 2});
	CHECK_EQ(futex(&words[0], FUTEX_WAKE_BITSET, 10, NULL, NULL, 4), 0);
	CHECK_EQ(futex(&words[0], FUTEX_WAKE_BITSET, 10, NULL, NULL, 2), 1);
	pthread_join(b, NULL);
	CHECK_EQ(woken, 1);
	CHECK_EQ(futex(&words[0], FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	pthread_join(a, NULL);
}

TEST(requeue)
{
	pthread_t t[4];

	words = shared_words();
	struct wait_arg args[4] = {{0, -1}, {1, -1}, {2, -1}, {3, -1}};
	for (int i = 0; i < 4; i++)
		start_waiter(&t[i], &args[i]);
	/* wake one, move two to the second word */
	CHECK_EQ(syscall(SYS_futex, &words[0], FUTEX_CMP_REQUEUE, 1, 2, &words[1], 0), 3);
	wait_woken(1);
	CHECK_EQ(futex(&words[1], FUTEX_WAKE, 10, NULL, NULL, 0), 2);
	CHECK_EQ(futex(&words[0], FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

TEST(wake_op)
{
	int w[2] = {0, 7};

	/* second word: old = 7, += 3; compare old == 7 */
	CHECK_EQ(syscall(SYS_futex, &w[0], FUTEX_WAKE_OP, 1, 1, &w[1],
			 FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 7)),
		0);
	CHECK_EQ(w[1], 10);
	CHECK_ERRNO(syscall(SYS_futex, &w[0], FUTEX_WAKE_OP, 1, 1, &w[1], 0xf << 24), ENOSYS);
}

TEST(pi)
{
	int w = 0;
	pid_t pid;
	int *s = shared_words();

	CHECK_OK(futex(&w, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	CHECK_EQ(w, syscall(SYS_gettid));
	CHECK_ERRNO(futex(&w, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
	CHECK_OK(futex(&w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	CHECK_EQ(w, 0);
	CHECK_ERRNO(futex(&w, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
	CHECK_OK(futex(s, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	pid = test_fork();
	if (pid == 0) {
		CHECK_ERRNO(futex(s, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
		CHECK_OK(futex(s, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
		CHECK_OK(futex(s, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
		_exit(0);
	}
	wait_state(pid, 'S');
	CHECK_OK(futex(s, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	WAIT_OK(pid);
}

TEST(robust_mutex)
{
	pthread_mutexattr_t a;
	pthread_mutex_t *m = (void *)shared_words();

	pthread_mutexattr_init(&a);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(m, &a);
	pid_t pid = test_fork();
	if (pid == 0) {
		pthread_mutex_lock(m);
		kill(getpid(), SIGKILL);
	}
	WAIT_STATUS(pid);
	CHECK_EQ(pthread_mutex_lock(m), EOWNERDEAD);
	CHECK_EQ(pthread_mutex_consistent(m), 0);
	CHECK_EQ(pthread_mutex_unlock(m), 0);
	void *head;
	size_t len;
	CHECK_OK(syscall(SYS_get_robust_list, 0, &head, &len));
	CHECK_EQ(len, 24);
	CHECK_ERRNO(syscall(SYS_set_robust_list, head, 23), EINVAL);
}

TEST(fault_in_shared_page)
{
	/* a word in a page that nobody has touched yet */
	int *w = shared_words();
	struct timespec ts = {0, 1000000};

	CHECK_ERRNO(futex(w + 100, FUTEX_WAIT, 0, &ts, NULL, 0), ETIMEDOUT);
	CHECK_OK(mprotect(w, 4096, PROT_READ));
	CHECK_ERRNO(futex(w, FUTEX_WAIT, 0, &ts, NULL, 0), ETIMEDOUT);
	CHECK_OK(munmap(w, 4096));
	CHECK_ERRNO(futex(w, FUTEX_WAIT, 0, &ts, NULL, 0), EFAULT);
	CHECK_ERRNO(futex(w, FUTEX_WAKE, 1, NULL, NULL, 0), EFAULT);
}

TEST(waitv)
{
	struct futex_waitv {
		uint64_t val, uaddr;
		uint32_t flags, reserved;
	} v[2] = {{0}};
	int a = 0, b = 1;
	struct timespec past = {0, 0};

	v[0] = (struct futex_waitv){0, (uintptr_t)&a, 2 | 128, 0};
	v[1] = (struct futex_waitv){2, (uintptr_t)&b, 2 | 128, 0};
	long r = syscall(449, v, 2, 0, NULL, CLOCK_MONOTONIC);
	if (r < 0 && errno == ENOSYS)
		test_skip("no futex_waitv");
	CHECK_ERRNO(syscall(449, v, 2, 0, NULL, CLOCK_MONOTONIC), EAGAIN);
	CHECK_ERRNO(syscall(449, v, 1, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
	CHECK_ERRNO(syscall(449, v, 0, 0, NULL, CLOCK_MONOTONIC), EINVAL);
}
