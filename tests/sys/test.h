/*
 * Guest programs: TEST(name) { ... } registers a case; each case runs in a
 * child process of its own, in an empty directory, with a time limit.
 *
 * The same static program runs natively, which proves the test, and in the
 * sandbox, which proves the sentry.  It prints a line per case,
 *
 *	ok AREA.NAME / FAIL AREA.NAME: why / skip AREA.NAME: why
 *
 * and exits with 1 if a case failed.  With arguments it runs only the cases so
 * named.  TEST_TMP names the directory to work below (default /tmp).
 *
 * A failed CHECK ends the process it is in; the first reason of a case counts,
 * whichever of its processes tells it.  So a child that a case forks may CHECK
 * too.  WAIT_OK(pid) reaps such a child.
 */
#ifndef TESTS_SYS_TEST_H
#define TESTS_SYS_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS 60 /* of a case, which takes a few: hosts may be slow or loaded */
#define TEST_SKIPPED 77

struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static const char *test_self; /* argv[0], for cases that execute themselves */
static int test_argc;
static char **test_argv;

/* The reason of the current case, shared with all its processes. */
struct test_reason {
	int taken;
	char text[500];
};
static struct test_reason *test_reason;

#define TEST(n)                                                                                    \
	static void test_##n(void);                                                                \
	__attribute__((constructor)) static void test_register_##n(void)                           \
	{                                                                                          \
		static struct test_case tc = {#n, test_##n, NULL};                                 \
		*test_last = &tc;                                                                  \
		test_last = &tc.next;                                                              \
	}                                                                                          \
	static void test_##n(void)

/* Programs that execute themselves define what to do when argv[1] is "--as". */
#define TEST_AS(argc, argv)                                                                        \
	static int test_as(int argc, char **argv);                                                 \
	__attribute__((constructor)) static void test_register_as(void)                            \
	{                                                                                          \
		test_as_fn = test_as;                                                              \
	}                                                                                          \
	static int test_as(int argc, char **argv)
static int (*test_as_fn)(int argc, char **argv);

static void test_note(const char *fmt, va_list ap)
{
	if (!__atomic_exchange_n(&test_reason->taken, 1, __ATOMIC_SEQ_CST))
		vsnprintf(test_reason->text, sizeof(test_reason->text), fmt, ap);
}

__attribute__((format(printf, 1, 2), noreturn, unused)) static void test_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	test_note(fmt, ap);
	va_end(ap);
	_exit(1);
}

__attribute__((format(printf, 1, 2), noreturn, unused)) static void test_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	test_note(fmt, ap);
	va_end(ap);
	_exit(TEST_SKIPPED);
}

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		errno = 0;                                                                         \
		if (!(cond))                                                                       \
			test_fail("line %d: %s (errno %d %s)", __LINE__, #cond, errno,             \
				strerror(errno));                                                  \
	} while (0)

#define CHECK_EQ(a, b)                                                                             \
	do {                                                                                       \
		long long a_, b_;                                                                  \
		errno = 0;                                                                         \
		a_ = (long long)(a);                                                               \
		int e_ = errno;                                                                    \
		b_ = (long long)(b);                                                               \
		if (a_ != b_)                                                                      \
			test_fail("line %d: %s is %lld (%#llx), not %s %lld (%#llx), errno %d",    \
				__LINE__, #a, a_, a_, #b, b_, b_, e_);                             \
	} while (0)

#define CHECK_STR(a, b)                                                                            \
	do {                                                                                       \
		const char *as_ = (a), *bs_ = (b);                                                 \
		if (strcmp(as_, bs_) != 0)                                                         \
			test_fail("line %d: %s is \"%s\", not \"%s\"", __LINE__, #a, as_, bs_);    \
	} while (0)

/* The expression must fail (-1 or MAP_FAILED) with this errno. */
#define CHECK_ERRNO(expr, want)                                                                    \
	do {                                                                                       \
		long r_;                                                                           \
		errno = 0;                                                                         \
		r_ = (long)(expr);                                                                 \
		int e_ = errno;                                                                    \
		if (r_ != -1)                                                                      \
			test_fail("line %d: %s returns %ld, not %s", __LINE__, #expr, r_, #want);  \
		if (e_ != (want))                                                                  \
			test_fail("line %d: %s: errno is %d (%s), not %s", __LINE__, #expr, e_,    \
				strerror(e_), #want);                                              \
	} while (0)

#define CHECK_OK(expr)                                                                             \
	do {                                                                                       \
		errno = 0;                                                                         \
		if ((long)(expr) < 0)                                                              \
			test_fail("line %d: %s fails: %s", __LINE__, #expr, strerror(errno));      \
	} while (0)

#define WAIT_STATUS(pid)                                                                           \
	({                                                                                         \
		int st_ = 0;                                                                       \
		pid_t w_;                                                                          \
		do                                                                                 \
			w_ = waitpid(pid, &st_, 0);                                                \
		while (w_ < 0 && errno == EINTR);                                                  \
		if (w_ < 0)                                                                        \
			test_fail("line %d: waitpid(%s): %s", __LINE__, #pid, strerror(errno));    \
		st_;                                                                               \
	})

#define WAIT_OK(pid)                                                                               \
	do {                                                                                       \
		int s_ = WAIT_STATUS(pid);                                                         \
		if (s_ != 0)                                                                       \
			test_fail("line %d: %s ended with status %#x", __LINE__, #pid, s_);        \
	} while (0)

/* Runs the block in a child and checks that it ends well. */
#define IN_CHILD(...)                                                                              \
	do {                                                                                       \
		pid_t child_ = fork();                                                             \
		if (child_ < 0)                                                                    \
			test_fail("line %d: fork: %s", __LINE__, strerror(errno));                 \
		if (child_ == 0) {                                                                 \
			__VA_ARGS__;                                                               \
			_exit(0);                                                                  \
		}                                                                                  \
		WAIT_OK(child_);                                                                   \
	} while (0)

__attribute__((unused)) static pid_t test_fork(void)
{
	pid_t pid = fork();

	if (pid < 0)
		test_fail("fork: %s", strerror(errno));
	return pid;
}

__attribute__((unused)) static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

__attribute__((unused)) static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

__attribute__((unused)) static int64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* A new file with this content; its descriptor, open for reading and writing. */
__attribute__((unused)) static int make_file(const char *path, const char *content)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	size_t len = strlen(content);

	if (fd < 0)
		test_fail("make %s: %s", path, strerror(errno));
	if (write(fd, content, len) != (ssize_t)len)
		test_fail("write %s: %s", path, strerror(errno));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

__attribute__((unused)) static void touch(const char *path)
{
	close(make_file(path, ""));
}

/* A whole (small) file as a string. */
__attribute__((unused)) static char *slurp(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		test_fail("open %s: %s", path, strerror(errno));
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) != 0) {
		if (n < 0)
			test_fail("read %s: %s", path, strerror(errno));
		len += (size_t)n;
	}
	buf[len] = '\0';
	close(fd);
	return buf;
}

/* The state letter that such a file of /proc tells, 0 if there is none. */
__attribute__((unused)) static char stat_state(const char *path)
{
	char buf[600], *p;
	int fd;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	p = strrchr(buf, ')');
	return p ? p[2] : 0;
}

__attribute__((unused)) static char proc_state(pid_t pid)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return stat_state(path);
}

/* Waits until the process has this state (S: sleeps in a call). */
__attribute__((unused)) static void wait_state(pid_t pid, char state)
{
	for (int i = 0; i < 3000; i++) {
		if (proc_state(pid) == state)
			return;
		sleep_ms(10);
	}
	test_fail("process %d never reached state %c, it is '%c'", pid, state, proc_state(pid));
}

/* Waits until a thread of this process has told its id there and sleeps.  Threads tell it as the
 * last thing before the call that they are to sleep in. */
__attribute__((unused)) static void wait_asleep(volatile pid_t *tid)
{
	char path[60];

	for (int i = 0; i < 30000; i++) {
		if (*tid) {
			snprintf(path, sizeof(path), "/proc/self/task/%d/stat", *tid);
			if (stat_state(path) == 'S')
				return;
		}
		sleep_ms(1);
	}
	test_fail("thread %d does not sleep", *tid);
}

#define gettid_() ((pid_t)syscall(SYS_gettid))

/* ---- the runner ---- */

static volatile pid_t test_child;
static volatile sig_atomic_t test_timed_out;

static void test_on_alarm(int sig)
{
	(void)sig;
	test_timed_out = 1;
	if (test_child > 0) {
		kill(-test_child, SIGKILL);
		kill(test_child, SIGKILL);
	}
}

static int test_remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static int test_run(struct test_case *t, const char *area)
{
	const char *tmp = getenv("TEST_TMP");
	char dir[256];
	int status = 0;
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s/t-%s-XXXXXX", tmp ? tmp : "/tmp", t->name);
	test_reason->taken = 0;
	test_reason->text[0] = '\0';
	if (!mkdtemp(dir) || chmod(dir, 0777) < 0 || chdir(dir) < 0) {
		printf("FAIL %s.%s: cannot make %s: %s\n", area, t->name, dir, strerror(errno));
		return 1;
	}
	test_timed_out = 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		signal(SIGALRM, SIG_DFL);
		t->fn();
		_exit(0);
	}
	setpgid(pid, pid);
	test_child = pid;
	alarm(TEST_SECONDS);
	/* As process 1 of a container we inherit orphans: reap them too. */
	for (;;) {
		pid_t w = waitpid(-1, &status, 0);

		if (w == pid || (w < 0 && errno != EINTR))
			break;
	}
	alarm(0);
	kill(-pid, SIGKILL);
	test_child = 0;
	if (chdir("/") == 0)
		nftw(dir, test_remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (pid > 0 && !test_timed_out && status == 0) {
		printf("ok %s.%s\n", area, t->name);
		return 0;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == TEST_SKIPPED) {
		printf("skip %s.%s: %s\n", area, t->name, test_reason->text);
		return 0;
	}
	printf("FAIL %s.%s: ", area, t->name);
	if (test_timed_out)
		printf("still runs after %d s%s", TEST_SECONDS, test_reason->taken ? "; " : "");
	else if (WIFSIGNALED(status))
		printf("killed by signal %d%s", WTERMSIG(status), test_reason->taken ? "; " : "");
	else if (!test_reason->taken)
		printf("wait status %#x", status);
	printf("%s\n", test_reason->text);
	return 1;
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = test_on_alarm};
	const char *area;
	int failed = 0;

	test_self = argv[0];
	test_argc = argc;
	test_argv = argv;
	if (argc > 1 && strcmp(argv[1], "--as") == 0)
		return test_as_fn(argc - 2, argv + 2);
	area = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	test_reason = mmap(NULL, sizeof(*test_reason), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (test_reason == MAP_FAILED) {
		printf("FAIL %s: mmap: %s\n", area, strerror(errno));
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		struct test_case *t = test_first;

		while (t && strcmp(argv[i], t->name) != 0)
			t = t->next;
		if (!t) {
			printf("FAIL %s.%s: there is no such case\n", area, argv[i]);
			return 1;
		}
	}
	umask(022);
	sigaction(SIGALRM, &sa, NULL);
	for (struct test_case *t = test_first; t; t = t->next) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], t->name) == 0;
		if (wanted)
			failed |= test_run(t, area);
		fflush(stdout);
	}
	return failed;
}

#endif
