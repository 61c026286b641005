/* OBJS: lib */
#include "lib/stats.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "tests/unit/test.h"

static uint64_t now[STAT_NR], before[STAT_NR];

static uint64_t grown(enum stat_id s)
{
	stats_read(now);
	return now[s] - before[s];
}

TEST(stats_names)
{
	for (int i = 0; i < STAT_NR; i++) {
		CHECK(stats_name(i) && *stats_name(i));
		for (int k = 0; k < i; k++)
			CHECK(strcmp(stats_name(i), stats_name(k)) != 0);
	}
	CHECK_STR(stats_name(STAT_GOFER_TRIPS), "gofer_trips");
}

TEST(stats_alone)
{
	stats_read(before);
	stat_inc(STAT_SLEEPS);
	stat_add(STAT_SLEEPS, 41);
	stat_add(STAT_AS_OPS, 1UL << 40);
	CHECK_EQ(grown(STAT_SLEEPS), 42);
	CHECK_EQ(grown(STAT_AS_OPS), 1UL << 40);
	CHECK_EQ(grown(STAT_SPIN_HITS), 0);
	CHECK_EQ((uintptr_t)stats_mine % 64, 0);
}

enum { EACH = 10000 };

static void *counts(void *arg)
{
	for (int i = 0; i < EACH; i++) {
		stat_inc(STAT_EV_SYSCALL);
		stat_add(STAT_EV_FAULT, (uintptr_t)arg);
	}
	return stats_mine;
}

/* Threads at once have blocks of their own; those of ended ones are used again. */
TEST(stats_threads_come_and_go)
{
	enum { ROUNDS = 20, N = 40 };
	static struct stats_block *seen[N];
	pthread_t t[N];
	uint64_t want = 0;
	size_t nseen = 0;

	stats_read(before);
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < N; i++) {
			CHECK_EQ(pthread_create(&t[i], NULL, counts, (void *)(uintptr_t)i), 0);
			want += (uint64_t)i * EACH;
		}
		for (int i = 0; i < N; i++) {
			void *b;
			size_t k;

			CHECK_EQ(pthread_join(t[i], &b), 0);
			for (k = 0; k < nseen && seen[k] != b; k++)
				;
			CHECK(k < N);
			if (k == nseen)
				seen[nseen++] = b;
		}
		CHECK_EQ(grown(STAT_EV_SYSCALL), (uint64_t)(r + 1) * N * EACH);
	}
	CHECK_EQ(grown(STAT_EV_FAULT), want);
}

static void *reads(void *stop)
{
	uint64_t v[STAT_NR], last = 0;

	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
		stats_read(v);
		if (v[STAT_EV_SYSCALL] < last)
			return stop;
		last = v[STAT_EV_SYSCALL];
	}
	return NULL;
}

/* A reader never sees a sum fall, also while threads end. */
TEST(stats_never_fall)
{
	int stop = 0;
	pthread_t reader, t;
	void *bad;

	CHECK_EQ(pthread_create(&reader, NULL, reads, &stop), 0);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(pthread_create(&t, NULL, counts, NULL), 0);
		pthread_join(t, NULL);
	}
	WRITE_ONCE(stop, 1);
	pthread_join(reader, &bad);
	CHECK(bad == NULL);
}

#ifndef SAN_RUNTIME /* needs memory itself */
static pthread_barrier_t limited, counted;

static void *counts_then(void *arg)
{
	pthread_barrier_wait(&limited);
	stat_inc(STAT_SLEEPS);
	stat_inc(STAT_SLEEPS);
	pthread_barrier_wait(&counted);
	return NULL;
}

/* More threads than there are blocks. */
static void no_memory(void)
{
	enum { N = 150 };
	pthread_t t[N];
	uint64_t n;

	stats_read(before);
	pthread_barrier_init(&limited, NULL, N + 1);
	pthread_barrier_init(&counted, NULL, N);
	for (int i = 0; i < N; i++)
		if (pthread_create(&t[i], NULL, counts_then, NULL))
			_exit(1);
	test_no_more_memory();
	pthread_barrier_wait(&limited);
	for (int i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	n = grown(STAT_SLEEPS);
	_exit(n > 2 && n <= 2 * N ? 42 : 1);
}

TEST(stats_without_memory)
{
	char buf[256];
	int status = test_child(no_memory, buf, sizeof(buf));

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
}
#endif

static volatile uint64_t handled;

static void handler(int sig)
{
	stat_inc(STAT_SLEEPS);
	handled++;
}

TEST(stats_in_handlers)
{
	timer_t timer;
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec it = {{0, 20000}, {0, 20000}};
	uint64_t n = 0;

	signal(SIGUSR1, handler);
	CHECK_EQ(timer_create(CLOCK_MONOTONIC, &ev, &timer), 0);
	stats_read(before);
	CHECK_EQ(timer_settime(timer, 0, &it, NULL), 0);
	for (; handled < 1000; n++)
		stat_inc(STAT_SLEEPS);
	timer_delete(timer);
	CHECK_EQ(grown(STAT_SLEEPS), n + handled);
}

TEST(stats_cost)
{
	enum { N = 20000000 };
	struct timespec a, b;
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < N; i++)
		stat_inc(STAT_SPIN_HITS);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / N;
	printf("%.2f ns each\n", ns);
	CHECK(ns < 100); /* the machine may be busy, and sanitizers slow */
}
