/*
 * Unit tests: TEST(name) { ... } registers a test; a failed CHECK is printed,
 * ends its test and makes the program exit with 1.
 *
 * Each tests/unit/X_test.c is a program of its own.  It says which folders it
 * links (all by default) in a comment near its top: OBJS: lib sentry/core
 * Run with arguments, a program runs only the tests so named.
 */
#ifndef TESTS_UNIT_TEST_H
#define TESTS_UNIT_TEST_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/compiler.h"

struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static jmp_buf test_out;
static const char *test_name;

static inline void test_fail(const char *file, int line, const char *what)
{
	printf("FAIL %s: %s:%d: %s\n", test_name, file, line, what);
	fflush(stdout);
	longjmp(test_out, 1);
}

#define TEST(n)                                                                                    \
	static void test_##n(void);                                                                \
	__attribute__((constructor)) static void test_register_##n(void)                           \
	{                                                                                          \
		static struct test_case tc = {#n, test_##n, NULL};                                 \
		*test_last = &tc;                                                                  \
		test_last = &tc.next;                                                              \
	}                                                                                          \
	static void test_##n(void)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			test_fail(__FILE__, __LINE__, #cond);                                      \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long _a = (long long)(a), _b = (long long)(b);                                \
		char _msg[300];                                                                    \
		snprintf(_msg, sizeof(_msg), "%s is %lld (%#llx), not %s %lld (%#llx)", #a, _a,    \
			_a, #b, _b, _b);                                                           \
		if (_a != _b)                                                                      \
			test_fail(__FILE__, __LINE__, _msg);                                       \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *_a = (a), *_b = (b);                                                   \
		char _msg[600];                                                                    \
		snprintf(_msg, sizeof(_msg), "%s is \"%s\", not \"%s\"", #a, _a, _b);              \
		if (strcmp(_a, _b) != 0)                                                           \
			test_fail(__FILE__, __LINE__, _msg);                                       \
	} while (0)

/* Runs fn in a child whose standard error is caught in buf; its wait status. */
static inline UNUSED int test_child(void (*fn)(void), char *buf, size_t size)
{
	int p[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	if (pipe(p) != 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		dup2(p[1], 2);
		close(p[0]);
		close(p[1]);
		fn();
		_exit(0);
	}
	close(p[1]);
	while ((n = read(p[0], buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(p[0]);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

/* Waits until the thread of this process sleeps in the kernel. */
static inline UNUSED void test_await_sleep(const int *tid)
{
	char path[64], buf[512], *p;
	FILE *f;

	for (;;) {
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
			__atomic_load_n(tid, __ATOMIC_ACQUIRE));
		f = fopen(path, "r");
		p = f && fgets(buf, sizeof(buf), f) ? strrchr(buf, ')') : NULL;
		if (f)
			fclose(f);
		if (p && p[2] == 'S')
			return;
		usleep(1000);
	}
}

/* From now on the process gets no more memory. */
static inline UNUSED void test_no_more_memory(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_AS, &none))
		abort();
}

int main(int argc, char **argv)
{
	static volatile int failed; /* over longjmp */

	for (int i = 1; i < argc; i++) {
		struct test_case *t = test_first;

		while (t && strcmp(argv[i], t->name) != 0)
			t = t->next;
		if (!t) {
			printf("FAIL %s: there is no such case\n", argv[i]);
			return 1;
		}
	}
	for (struct test_case *volatile t = test_first; t; t = t->next) {
		int wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], t->name) == 0;
		if (!wanted)
			continue;
		test_name = t->name;
		if (setjmp(test_out)) {
			failed = 1;
			continue;
		}
		t->fn();
		printf("ok %s\n", t->name);
		fflush(stdout);
	}
	return failed;
}

#endif
