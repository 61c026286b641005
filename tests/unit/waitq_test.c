/* Wait queues at the end of their owners.
 * OBJS: lib sentry/core platform/current */
#include "sentry/core/waitq.h"

#include <pthread.h>
#include <signal.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "tests/unit/test.h"

#define KIND WAITER_SIGIO

static int woken;
static uint32_t told;

static bool hook(struct waiter *w, uint32_t events)
{
	CHECK(w->owner == &woken);
	woken++;
	told = events;
	return true;
}

static bool dies(void (*fn)(void))
{
	char buf[4096];
	int status = test_child(fn, buf, sizeof(buf));

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static struct waitq q;
static struct waiter w;

static void end_with_a_hook(void)
{
	waitq_init(&q);
	waiter_init(&w, KIND, &woken, ~0u);
	waitq_add(&q, &w);
	waitq_fini(&q);
}

/* Ends there, with the lock. */
static void end_in_a_wake_up(void) NO_THREAD_SAFETY
{
	waitq_init(&q);
	mutex_lock(&q.lock);
	waitq_fini(&q);
}

static void end_with_a_task(void)
{
	struct ctx ctx;

	/* Of its own: with the parent's it would share a lock that it dies with. */
	if (arena_init())
		return;
	waitq_init_detaching(&q);
	waiter_init_ctx(&w, &ctx, ~0u);
	waitq_add(&q, &w);
	waitq_fini(&q);
}

TEST(end_of_the_owner)
{
	waitq_register_kind(KIND, hook);
	waitq_init(&q);
	waiter_init(&w, KIND, &woken, ~0u);
	waitq_add(&q, &w);
	waitq_del(&w);
	waitq_del(&w);
	waitq_fini(&q);
	CHECK(dies(end_with_a_hook));
	CHECK(dies(end_in_a_wake_up));
	CHECK(dies(end_with_a_task));
}

TEST(detached)
{
	struct waiter v[3];

	CHECK_EQ(arena_init(), 0);
	waitq_register_kind(KIND, hook);
	woken = 0;
	waitq_init_detaching(&q);
	for (int i = 0; i < 3; i++) {
		waiter_init(&v[i], KIND, &woken, POLLIN);
		v[i].exclusive = i == 2;
		waitq_add(&q, &v[i]);
	}
	waitq_del(&v[1]);
	waitq_wake(&q, POLLIN);
	CHECK_EQ(woken, 2);
	waitq_fini(&q);
	CHECK_EQ(woken, 4);
	CHECK_EQ(told, POLLHUP);
	memset(&q, 0xee, sizeof(q)); /* from here on nobody may look at it */
	for (int i = 0; i < 3; i++)
		waitq_del(&v[i]);
}

/* Waiters that come off one by one, while their queue goes. */
#define ROUNDS 2000
static struct waiter many[8];
static pthread_barrier_t round_start;

static void *del_all(void *arg)
{
	for (int r = 0; r < ROUNDS; r++) {
		pthread_barrier_wait(&round_start);
		for (int i = 0; i < 8; i++)
			waitq_del(&many[i]);
		pthread_barrier_wait(&round_start);
	}
	return NULL;
}

TEST(detach_against_del)
{
	pthread_t t;

	CHECK_EQ(arena_init(), 0);
	waitq_register_kind(KIND, hook);
	pthread_barrier_init(&round_start, NULL, 2);
	CHECK_EQ(pthread_create(&t, NULL, del_all, NULL), 0);
	for (int r = 0; r < ROUNDS; r++) {
		struct waitq *own = malloc(sizeof(*own));

		waitq_init_detaching(own);
		for (int i = 0; i < 8; i++) {
			waiter_init(&many[i], KIND, &woken, ~0u);
			waitq_add(own, &many[i]);
		}
		pthread_barrier_wait(&round_start);
		waitq_fini(own);
		memset(own, 0xee, sizeof(*own));
		free(own);
		pthread_barrier_wait(&round_start);
		for (int i = 0; i < 8; i++)
			CHECK(!many[i].q);
	}
	pthread_join(t, NULL);
}
