/* OBJS: lib */
#include "lib/handle.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include "tests/unit/test.h"

static const struct handle_origin stdio = {.kind = HANDLE_STDIO, .number = 2};

TEST(handle_fds)
{
	int p[2];
	handle_t r, w;

	CHECK_EQ(pipe(p), 0);
	r = handle_new_fd(p[0], &stdio);
	w = handle_new_fd(p[1], &stdio);
	CHECK(r != w && r != HANDLE_NONE && w != HANDLE_NONE);
	CHECK_EQ(handle_fd(r), p[0]);
	CHECK_EQ(handle_fd(w), p[1]);
	CHECK_EQ(handle_fd(HANDLE_NONE), -1);
	handle_close(w);
	CHECK_EQ(fcntl(p[1], F_GETFD), -1);
	handle_close(r);
	handle_close(HANDLE_NONE);
}

static void must_be(handle_t h, enum handle_kind kind, uint32_t number)
{
	struct handle_origin o;

	handle_origin(h, &o);
	CHECK_EQ(o.kind, kind);
	if (kind == HANDLE_STDIO)
		CHECK_EQ(o.number, number);
}

TEST(handle_origins)
{
	struct handle_origin file = {.kind = HANDLE_GOFER_FILE,
		.file = {.dev = 7, .ino = 1UL << 40, .tree = 3, .write = true}};
	handle_t s = handle_new_fd(dup(0), &stdio), p = handle_new_ptr(&file, HANDLE_CTX), f;

	must_be(s, HANDLE_STDIO, 2);
	must_be(p, HANDLE_CTX, 0);
	file.file.gofer = p;
	f = handle_new_fd(dup(0), &file);
	must_be(f, HANDLE_GOFER_FILE, 0);
	CHECK_EQ(handle_count(HANDLE_STDIO), 1);
	CHECK_EQ(handle_count(HANDLE_GOFER_FILE), 1);
	handle_set_named(f, false);
	handle_set_named(f, true);
	must_be(f, HANDLE_GOFER_FILE, 0);
	handle_set_named(f, false);
	handle_set_named(HANDLE_NONE, false);
	handle_origin(f, &file);
	CHECK_EQ(file.kind, HANDLE_GOFER_UNNAMED);
	CHECK(file.file.dev == 7 && file.file.ino == 1UL << 40 && file.file.tree == 3);
	CHECK(file.file.gofer == p && file.file.write);
	CHECK_EQ(handle_count(HANDLE_GOFER_FILE), 0);
	CHECK_EQ(handle_count(HANDLE_GOFER_UNNAMED), 1);
	handle_close(f);
	handle_close(p);
	p = handle_new_ptr(&file, HANDLE_GOFER); /* the slot's next user has a kind of its own */
	must_be(p, HANDLE_GOFER, 0);
	handle_close(p);
	handle_close(s);
	for (int k = 0; k < HANDLE_KIND_NR; k++) {
		CHECK_EQ(handle_count(k), 0);
		CHECK(handle_kind_name(k) != NULL);
	}
}

TEST(handle_many)
{
	enum { N = 5000 };
	static handle_t h[N];
	static int v[N];

	for (int i = 0; i < N; i++)
		h[i] = handle_new_ptr(&v[i], HANDLE_AS);
	for (int i = 0; i < N; i++)
		CHECK(handle_ptr(h[i]) == &v[i]);
	for (int i = 0; i < N; i++)
		handle_close(h[i]);
}

static handle_t stale;

static void use_stale(void)
{
	stale = handle_new_ptr(&stale, HANDLE_AS);
	handle_close(stale);
	for (int i = 0; i < 100; i++)
		(void)!handle_new_ptr(&stale, HANDLE_AS);
	handle_ptr(stale);
}

static void stale_origin(void)
{
	struct handle_origin o;

	stale = handle_new_ptr(&stale, HANDLE_AS);
	handle_close(stale);
	handle_origin(stale, &o);
}

static void close_twice(void)
{
	stale = handle_new_ptr(&stale, HANDLE_AS);
	handle_close(stale);
	handle_close(stale);
}

static void wrong_kind(void)
{
	handle_fd(handle_new_ptr(&stale, HANDLE_AS));
}

TEST(handle_misuse_aborts)
{
	void (*fn[])(void) = {use_stale, stale_origin, close_twice, wrong_kind};
	char buf[256];

	for (size_t i = 0; i < ARRAY_LEN(fn); i++) {
		int status = test_child(fn[i], buf, sizeof(buf));

		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	}
}

static void *churn(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		handle_t h = handle_new_ptr(arg, HANDLE_AS);

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

#ifndef SAN_RUNTIME /* needs memory itself */
static void no_memory(void)
{
	handle_t h;
	int n = 0;

	test_no_more_memory();
	while ((h = handle_new_ptr(&n, HANDLE_AS)) != HANDLE_NONE)
		n++;
	_exit(n < 10000 && handle_new_ptr(&n, HANDLE_AS) == HANDLE_NONE ? 42 : 1);
}

TEST(handle_table_cannot_grow)
{
	char buf[256];
	int status = test_child(no_memory, buf, sizeof(buf));

	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 42);
}
#endif

/* Returns errors, and goes on when there is room again.  Last in this file: the table stays large.
 */
TEST(handle_table_full)
{
	enum { MAX = 1 << 20 };
	static handle_t h[MAX];
	int n = 0, fd;

	while (n < MAX && (h[n] = handle_new_ptr(h, HANDLE_AS)) != HANDLE_NONE)
		n++;
	CHECK(n > MAX - 10000 && n < MAX);
	CHECK_EQ(handle_new_ptr(h, HANDLE_AS), HANDLE_NONE);
	fd = dup(0);
	CHECK(fd >= 0);
	CHECK_EQ(handle_new_fd(fd, &stdio), HANDLE_NONE);
	CHECK_EQ(fcntl(fd, F_GETFD), -1); /* it was taken over */
	handle_close(h[--n]);
	h[n] = handle_new_ptr(&n, HANDLE_AS);
	CHECK(h[n] && handle_ptr(h[n]) == &n);
	for (; n >= 0; n--)
		handle_close(h[n]);
}
