/* POSIX threads: creation, mutexes, conditions, keys, cancellation, signals to threads */
#include "test.h"

#include <pthread.h>
#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter;
static __thread int tls = 5;

static void *add(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	tls++;
	return (char *)arg + tls;
}

TEST(mutex)
{
	pthread_t t[8];
	void *ret;

	for (long i = 0; i < 8; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, add, (void *)(i * 100)), 0);
	for (long i = 0; i < 8; i++) {
		CHECK_EQ(pthread_join(t[i], &ret), 0);
		CHECK_EQ((long)ret, i * 100 + 6);
	}
	CHECK_EQ(counter, 160000);
	CHECK_EQ(tls, 5);
}

static int turn;
static void *ping(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&mutex);
		while (turn != me)
			pthread_cond_wait(&cond, &mutex);
		turn = !me;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

TEST(condition)
{
	pthread_t a, b;

	pthread_create(&a, NULL, ping, (void *)0);
	pthread_create(&b, NULL, ping, (void *)1);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	CHECK_EQ(turn, 0);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec = ts.tv_nsec > 950000000 ? 0 : ts.tv_nsec + 20000000;
	ts.tv_sec += ts.tv_nsec == 0;
	pthread_mutex_lock(&mutex);
	CHECK_EQ(pthread_cond_timedwait(&cond, &mutex, &ts), ETIMEDOUT);
}

static volatile int cleaned, destroyed;
static void on_cleanup(void *arg)
{
	cleaned = (int)(intptr_t)arg;
}

static void *sleeper(void *arg)
{
	pthread_cleanup_push(on_cleanup, (void *)3);
	sem_post(arg);
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return NULL;
}

TEST(cancel)
{
	pthread_t t;
	void *ret;
	sem_t sem;

	sem_init(&sem, 0, 0);
	pthread_create(&t, NULL, sleeper, &sem);
	sem_wait(&sem);
	CHECK_EQ(pthread_cancel(t), 0);
	CHECK_EQ(pthread_join(t, &ret), 0);
	CHECK(ret == PTHREAD_CANCELED);
	CHECK_EQ(cleaned, 3);
}

static void on_destroy(void *arg)
{
	destroyed += (int)(intptr_t)arg;
}

static pthread_key_t key;
static void *use_key(void *arg)
{
	pthread_setspecific(key, arg);
	return pthread_getspecific(key);
}

TEST(keys)
{
	pthread_t t;
	void *ret;

	CHECK_EQ(pthread_key_create(&key, on_destroy), 0);
	pthread_create(&t, NULL, use_key, (void *)4);
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, 4);
	CHECK_EQ(destroyed, 4);
}

static void *ids(void *arg)
{
	pid_t *out = arg;

	out[0] = getpid();
	out[1] = (pid_t)syscall(SYS_gettid);
	return NULL;
}

TEST(thread_ids)
{
	pthread_t t;
	pid_t got[2];

	pthread_create(&t, NULL, ids, got);
	pthread_join(t, NULL);
	CHECK_EQ(got[0], getpid());
	CHECK(got[1] != getpid());
	CHECK_EQ(syscall(SYS_gettid), getpid());
}

static volatile pthread_t handled_by;
static void on_signal(int sig)
{
	(void)sig;
	handled_by = pthread_self();
}

static void *block_and_wait(void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (arg)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 300 && !handled_by; i++)
		sleep_ms(10);
	return NULL;
}

TEST(directed_signals)
{
	pthread_t a, b;
	sigset_t set;

	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_create(&a, NULL, block_and_wait, (void *)1);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	pthread_create(&b, NULL, block_and_wait, NULL);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sleep_ms(50);
	CHECK_OK(kill(getpid(), SIGUSR1)); /* only b can take it */
	pthread_join(b, NULL);
	CHECK(handled_by == b);
	pthread_join(a, NULL);
	handled_by = 0;
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	CHECK_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
	CHECK(handled_by == pthread_self());
}

static void *exit_all(void *arg)
{
	sleep_ms(30);
	syscall(SYS_exit_group, (int)(intptr_t)arg);
	return NULL;
}

TEST(exit_group)
{
	pthread_t t;
	pid_t pid = test_fork();

	if (pid == 0) {
		pthread_create(&t, NULL, exit_all, (void *)9);
		for (;;)
			pause();
	}
	CHECK_EQ(WAIT_STATUS(pid), 9 << 8);
}

static void *outlive(void *arg)
{
	(void)arg;
	sleep_ms(80);
	_exit(4);
}

TEST(leader_exits_first)
{
	pthread_t t;
	pid_t pid = test_fork();

	if (pid == 0) {
		pthread_create(&t, NULL, outlive, NULL);
		syscall(SYS_exit, 0);
	}
	sleep_ms(30);
	CHECK_EQ(proc_state(pid), 'Z');
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); /* its group still lives */
	CHECK_EQ(WAIT_STATUS(pid), 4 << 8);
}

static void *crash(void *arg)
{
	(void)arg;
	*(volatile char *)8 = 1;
	return NULL;
}

TEST(crash_kills_all)
{
	pthread_t t;
	pid_t pid = test_fork();

	if (pid == 0) {
		pthread_create(&t, NULL, crash, NULL);
		for (;;)
			pause();
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSEGV);
}

TEST(fork_in_thread_group)
{
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, add, NULL);
	for (int i = 0; i < 20; i++)
		IN_CHILD({
			char path[40], buf[2000];

			snprintf(path, 40, "/proc/self/status");
			CHECK(strstr(slurp(path, buf, 2000), "Threads:\t1\n"));
		});
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

static void *nothing(void *arg)
{
	return arg;
}

TEST(many)
{
	pthread_t t[100];

	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 100; i++)
			CHECK_EQ(pthread_create(&t[i], NULL, nothing, NULL), 0);
		for (int i = 0; i < 100; i++)
			CHECK_EQ(pthread_join(t[i], NULL), 0);
	}
}

static pthread_barrier_t barrier;
static char *area;
static char *last_map[4];
static void *map_and_unmap(void *arg)
{
	int me = (int)(intptr_t)arg;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < 200; i++) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

		CHECK(p != MAP_FAILED);
		for (int k = 0; k < 16; k++)
			if (p[k * 4096])
				test_fail("a new page is not zero");
		for (int k = 0; k < 16; k++)
			p[k * 4096] = (char)(me + k);
		for (int k = 0; k < 16; k++)
			if (p[k * 4096] != (char)(me + k))
				test_fail("another thread's page");
		CHECK_OK(munmap(p, 65536));
		last_map[me] = p;
		area[me * 4096 + i] = 1;
		CHECK_OK(mprotect(area + (8 + me) * 4096, 4096, i & 1 ? PROT_READ : PROT_NONE));
	}
	return NULL;
}

/* "r--p" of the mapping that an address lies in; "" if there is none. */
static void prot_of(const char *at, char prot[5])
{
	static char buf[65536];
	unsigned long start, end;
	char *line = slurp("/proc/self/maps", buf, sizeof(buf));

	for (prot[0] = '\0'; line && *line; line = strchr(line, '\n') + 1)
		if (sscanf(line, "%lx-%lx %4s", &start, &end, prot) == 3 &&
			(unsigned long)at >= start && (unsigned long)at < end)
			return;
	prot[0] = '\0';
}

TEST(address_space_races)
{
	pthread_t t[4];

	area = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_barrier_init(&barrier, NULL, 4);
	memset(area + 8 * 4096, 0x5a, 4 * 4096);
	for (long i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, map_and_unmap, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
	/* What they did is there, what they took away is gone, and the others' is untouched. */
	for (int i = 0; i < 4; i++) {
		char prot[5];
		unsigned char vec[16];

		for (int k = 0; k < 200; k++)
			CHECK_EQ(area[i * 4096 + k], 1);
		CHECK_EQ(area[i * 4096 + 200], 0);
		for (int k = 0; k < 4096; k++)
			CHECK_EQ(area[(8 + i) * 4096 + k], 0x5a);
		prot_of(area + (8 + i) * 4096, prot);
		CHECK_STR(prot, "r--p");
		CHECK_ERRNO(mincore(last_map[i], 65536, vec), ENOMEM);
	}
	char prot[5];
	prot_of(area + 7 * 4096, prot);
	CHECK_STR(prot, "rw-p");
	IN_CHILD({ /* and the hardware has heard of it */
		pid_t p = test_fork();
		if (p == 0)
			*(volatile char *)(area + 8 * 4096) = 1;
		CHECK_EQ(WAIT_STATUS(p) & 0x7f, SIGSEGV);
	});
}

static int pipes[2];
static volatile pid_t reader;
static void *blocked_reader(void *arg)
{
	char c;

	(void)arg;
	reader = gettid_();
	return (void *)(read(pipes[0], &c, 1));
}

TEST(close_while_reading)
{
	pthread_t t;
	void *ret;

	CHECK_OK(pipe(pipes));
	pthread_create(&t, NULL, blocked_reader, NULL);
	wait_asleep(&reader);
	close(pipes[0]); /* the read goes on with the file it holds */
	CHECK_EQ(write(pipes[1], "x", 1), 1);
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, 1);
}
