/* OBJS: lib */
#include "lib/handle.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "tests/unit/test.h"

TEST(handle_fds)
{
	int p[2];
	handle_t r, w;

	CHECK_EQ(pipe(p), 0);
	r = handle_new_fd(p[0]);
	w = handle_new_fd(p[1]);
	CHECK(r != w && r != HANDLE_NONE && w != HANDLE_NONE);
	CHECK_EQ(handle_fd(r), p[0]);
	CHECK_EQ(handle_fd(w), p[1]);
	CHECK_EQ(handle_fd(HANDLE_NONE), -1);
	handle_close(w);
	CHECK_EQ(fcntl(p[1], F_GETFD), -1);
	handle_close(r);
	handle_close(HANDLE_NONE);
}

TEST(handle_many)
{
	enum { N = 5000 };
	static handle_t h[N];
	static int v[N];

	for (int i = 0; i < N; i++)
		h[i] = handle_new_ptr(&v[i]);
	for (int i = 0; i < N; i++)
		CHECK(handle_ptr(h[i]) == &v[i]);
	for (int i = 0; i < N; i++)
		handle_close(h[i]);
}

static handle_t stale;

static void use_stale(void)
{
	stale = handle_new_ptr(&stale);
	handle_close(stale);
	for (int i = 0; i < 100; i++)
		handle_new_ptr(&stale);
	handle_ptr(stale);
}

static void close_twice(void)
{
	stale = handle_new_ptr(&stale);
	handle_close(stale);
	handle_close(stale);
}

static void wrong_kind(void)
{
	handle_fd(handle_new_ptr(&stale));
}

TEST(handle_misuse_aborts)
{
	void (*fn[])(void) = {use_stale, close_twice, wrong_kind};
	char buf[256];

	for (size_t i = 0; i < ARRAY_LEN(fn); i++) {
		int status = test_child(fn[i], buf, sizeof(buf));

		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

static void *churn(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		handle_t h = handle_new_ptr(arg);

		if (handle_ptr(h) != arg)
			return arg;
		handle_close(h);
	}
	return NULL;
}

TEST(handle_threads)
{
	pthread_t t[3];
	void *bad;

	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, churn, &stale), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &bad);
		CHECK(bad == NULL);
	}
}
