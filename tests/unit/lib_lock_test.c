/* OBJS: lib */
#include "lib/lock.h"

#include <pthread.h>

#include "tests/unit/test.h"

#define THREADS 4
#define ROUNDS 30000

static struct mutex m;
static long counter;

static void *mutex_thread(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		mutex_lock(&m);
		counter++;
		mutex_unlock(&m);
		if (i % 64 == 0 && mutex_trylock(&m)) {
			counter--;
			counter++;
			mutex_unlock(&m);
		}
	}
	return NULL;
}

static void run_threads(void *(*fn)(void *))
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, fn, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

TEST(mutex_excludes)
{
	mutex_init(&m, LOCK_MM);
	run_threads(mutex_thread);
	CHECK_EQ(counter, THREADS * ROUNDS);
	CHECK_EQ(m.word, 0);
}

static bool is_free(struct mutex *l)
{
	if (!mutex_trylock(l))
		return false;
	mutex_unlock(l);
	return true;
}

static void *mutex_sleeper(void *arg)
{
	MUTEX_GUARD(&m);
	counter = 7;
	return NULL;
}

TEST(mutex_sleeps_and_wakes)
{
	pthread_t t;

	mutex_init(&m, LOCK_MM);
	counter = 0;
	mutex_lock(&m);
	CHECK_EQ(pthread_create(&t, NULL, mutex_sleeper, NULL), 0);
	while (READ_ONCE(m.word) != 2)
		usleep(1000);
	CHECK_EQ(counter, 0);
	mutex_unlock(&m);
	pthread_join(t, NULL);
	CHECK_EQ(counter, 7);
	CHECK(is_free(&m));
}

TEST(mutex_pair)
{
	struct mutex x, y;

	mutex_init(&x, LOCK_SOCK);
	mutex_init(&y, LOCK_SOCK);
	mutex_lock_pair(&x, &y);
	CHECK(!is_free(&x) && !is_free(&y));
	mutex_unlock_pair(&x, &y);
	mutex_lock_pair(&x, &x);
	mutex_unlock_pair(&x, &x);
	CHECK_EQ(x.word | y.word, 0);
}

TEST(rank_names)
{
	for (unsigned int r = 0; r < LOCK_NR; r++)
		CHECK(strcmp(lock_rank_name(r), "LOCK_?") != 0);
	CHECK_STR(lock_rank_name(LOCK_NR), "LOCK_?");
	CHECK_STR(lock_rank_name(LOCK_MM), "LOCK_MM");
}

#ifdef LOCK_DEBUG
#include "lib/log.h"

static void wrong_order(void)
{
	struct mutex x, y;

	log_init("test", 2, LOG_INFO, LOG_TEXT);
	mutex_init(&x, LOCK_TASKS);
	mutex_init(&y, LOCK_MM);
	mutex_lock(&x);
	mutex_lock(&y);
}

static void not_held(void)
{
	mutex_init(&m, LOCK_MM);
	mutex_unlock(&m);
}

static void not_sleepable(void)
{
	mutex_init(&m, LOCK_INODE);
	mutex_lock(&m);
	lock_debug_assert_sleepable();
}

TEST(debug_order)
{
	char buf[2000];
	int status = test_child(wrong_order, buf, sizeof(buf));

	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	CHECK(strstr(buf, "LOCK_MM") && strstr(buf, "LOCK_TASKS"));
	status = test_child(not_held, buf, sizeof(buf));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	status = test_child(not_sleepable, buf, sizeof(buf));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
#endif
