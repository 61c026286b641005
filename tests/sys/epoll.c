/*
 * epoll: nested epolls and their limits, watches that end from either side, signalfds.  What is
 * watched and reported otherwise is in poll.c.
 */
#include "test.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

static int ep(void)
{
	int e = epoll_create1(EPOLL_CLOEXEC);

	CHECK_OK(e);
	return e;
}

/* 0 or the errno. */
static int ctl(int e, int op, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data = {.fd = fd}};

	return epoll_ctl(e, op, fd, &ev) < 0 ? errno : 0;
}

static int add(int e, int fd)
{
	return ctl(e, EPOLL_CTL_ADD, fd, EPOLLIN);
}

static int ready(int e)
{
	struct epoll_event ev[10];

	return epoll_wait(e, ev, 10, 0);
}

/* --- the shape of the graph --- */

TEST(nesting_depth)
{
	int e[8], p[2];

	CHECK_OK(pipe(p));
	for (int i = 0; i < 8; i++)
		e[i] = ep();
	/* Four links between epolls in a row, made from below ... */
	for (int i = 1; i <= 4; i++)
		CHECK_EQ(add(e[i], e[i - 1]), 0);
	CHECK_EQ(add(e[5], e[4]), ELOOP);
	CHECK_EQ(add(e[0], e[5]), ELOOP);
	CHECK_EQ(add(e[0], e[4]), ELOOP);
	CHECK_EQ(add(e[0], p[0]), 0);
	CHECK_EQ(ctl(e[2], EPOLL_CTL_DEL, e[1], 0), 0);
	/* ... from above and in the middle. */
	CHECK_EQ(add(e[5], e[4]), 0);
	CHECK_EQ(add(e[2], e[1]), ELOOP);
	CHECK_EQ(add(e[2], e[0]), 0);
	CHECK_EQ(ready(e[5]), 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(ready(e[5]), 1);
}

/* A chain of n epolls from fd (or from nothing if -1) up: the last one. */
static int chain(int fd, int n)
{
	for (int i = 0; i < n; i++) {
		int e = ep();

		if (fd >= 0)
			CHECK_EQ(add(e, fd), 0);
		fd = e;
	}
	return fd;
}

#define MIDS 20

/* How many of the paths from fd up to MIDS epolls and from there to many can be made? */
static int paths_up(int fd)
{
	int mid[MIDS], made = 0, err = 0;

	for (int i = 0; i < MIDS; i++) {
		mid[i] = ep();
		err = add(mid[i], fd);
		if (err)
			return err == EINVAL ? made : -err;
	}
	while (!err) {
		int top = ep();

		for (int i = 0; i < MIDS && !err; i++) {
			err = add(top, mid[i]);
			made += !err;
		}
	}
	/* One that goes makes room for one. */
	if (err == EINVAL) {
		int top = ep();

		CHECK_EQ(add(top, mid[0]), EINVAL);
		close(mid[1]);
		CHECK_EQ(add(top, mid[0]), 0);
	}
	return err == EINVAL ? made : -err;
}

TEST(paths_of_each_length)
{
	int p[2];

	CHECK_OK(pipe(p));
	CHECK_EQ(paths_up(p[0]), 500);
	CHECK_OK(pipe(p));
	CHECK_EQ(paths_up(chain(p[0], 1)), 100);
	CHECK_OK(pipe(p));
	CHECK_EQ(paths_up(chain(p[0], 2)), 50);
	/* Of the longest, ten; and so many middles there cannot be either. */
	CHECK_OK(pipe(p));
	int below = chain(p[0], 3), mid = ep(), n = 0, err;
	CHECK_EQ(add(mid, below), 0);
	while ((err = add(ep(), mid)) == 0)
		n++;
	CHECK_EQ(err, EINVAL);
	CHECK_EQ(n, 10);
}

TEST(paths_of_one_link_are_free)
{
	int p[2], n = 0;

	CHECK_OK(pipe(p));
	for (; n < 900; n++)
		CHECK_EQ(add(ep(), p[0]), 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
}

/* The file comes last: the graph above it is there already. */
TEST(paths_from_above)
{
	enum { WIDE = 12 };
	int e[4][WIDE], p[2];

	CHECK_OK(pipe(p));
	for (int l = 0; l < 4; l++)
		for (int i = 0; i < WIDE; i++) {
			e[l][i] = ep();
			for (int j = 0; l && j < WIDE; j++)
				CHECK_EQ(add(e[l][i], e[l - 1][j]), 0);
		}
	CHECK_EQ(add(e[0][0], p[0]), EINVAL);
	CHECK_EQ(add(e[1][0], p[0]), EINVAL); /* 144 of three */
	CHECK_EQ(add(e[2][0], p[0]), 0);      /* 12 of two */
	CHECK_EQ(add(e[3][0], p[0]), 0);
	/* An epoll whose files would get too many. */
	int inner = chain(p[0], 1);
	CHECK_EQ(add(e[1][0], inner), EINVAL);
	CHECK_EQ(add(e[2][1], inner), 0);
	CHECK_EQ(ready(e[3][5]), 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(ready(e[3][5]), 2);
	CHECK_EQ(ready(inner), 1);
}

/* Without limits one byte would make 20^4 wake-ups: all that can be built is tried. */
TEST(one_byte_wakes_few)
{
	enum { WIDE = 20 };
	int e[4][WIDE], p[2], made = 0;

	CHECK_OK(pipe(p));
	for (int l = 0; l < 4; l++)
		for (int i = 0; i < WIDE; i++)
			e[l][i] = ep();
	for (int i = 0; i < WIDE; i++)
		made += !ctl(e[0][i], EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET);
	for (int l = 1; l < 4; l++)
		for (int i = 0; i < WIDE; i++)
			for (int j = 0; j < WIDE; j++)
				made += !ctl(e[l][i], EPOLL_CTL_ADD, e[l - 1][j],
					EPOLLIN | EPOLLET);
	CHECK_EQ(write(p[1], "x", 1), 1);
	/* All of the first two layers; of the third one epoll that watches 5, which make 100 paths
	 * of three links; of the fourth those that do not watch it. */
	CHECK_EQ(made, 20 + 400 + 5 + 20 * 19);
}

TEST(devices)
{
	int e = ep(), null = open("/dev/null", O_RDWR), u = open("/dev/urandom", O_RDONLY);

	CHECK_OK(null);
	CHECK_OK(u);
	CHECK_EQ(add(e, null), EPERM);
	CHECK_EQ(add(e, u), EPERM);
}

/* --- against each other --- */

static int race_mid, race_leaf[8], race_up[32], race_rounds;

/* Asks again and again how deep the epolls above mid are. */
static void *nest_below(void *arg)
{
	int leaf = race_leaf[(long)arg];

	for (int i = 0; i < race_rounds; i++) {
		CHECK_EQ(add(race_mid, leaf), 0);
		CHECK_EQ(ctl(race_mid, EPOLL_CTL_DEL, leaf, 0), 0);
	}
	return NULL;
}

/* And these are taken away and put back; half of them closed. */
static void *nest_above(void *arg)
{
	int *up = race_up + 16 * (long)arg;

	for (int i = 0; i < race_rounds / 4; i++) {
		int k = i % 16;

		if (k % 2) {
			close(up[k]);
			up[k] = ep();
		} else {
			CHECK_EQ(ctl(up[k], EPOLL_CTL_DEL, race_mid, 0), 0);
		}
		CHECK_EQ(add(up[k], race_mid), 0);
	}
	return NULL;
}

TEST(nesting_against_removal)
{
	pthread_t t[4];

	race_mid = ep();
	race_rounds = 4000;
	for (int i = 0; i < 8; i++)
		race_leaf[i] = ep();
	for (int i = 0; i < 32; i++) {
		race_up[i] = ep();
		CHECK_EQ(add(race_up[i], race_mid), 0);
	}
	for (long i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&t[i], NULL, i < 2 ? nest_below : nest_above,
				 (void *)(i % 2)),
			0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(t[i], NULL), 0);
}

#define CLOSED 32
static int closed_fd[CLOSED];
static pthread_barrier_t closing;

static void *close_files(void *arg)
{
	(void)arg;
	for (int r = 0; r < race_rounds; r++) {
		pthread_barrier_wait(&closing);
		for (int i = 0; i < CLOSED; i++)
			close(closed_fd[i]);
		pthread_barrier_wait(&closing);
	}
	return NULL;
}

/* Files and the epoll that watches them end at once, the files in the order of the watches. */
TEST(close_against_close)
{
	pthread_t t;

	race_rounds = 200;
	pthread_barrier_init(&closing, NULL, 2);
	CHECK_EQ(pthread_create(&t, NULL, close_files, NULL), 0);
	for (int r = 0; r < race_rounds; r++) {
		int e = ep(), outer = ep();

		CHECK_EQ(add(outer, e), 0);
		for (int i = 0; i < CLOSED; i++) {
			closed_fd[i] = i % 4 ? eventfd(1, 0) : ep();
			CHECK_OK(closed_fd[i]);
			CHECK_EQ(add(e, closed_fd[i]), 0);
		}
		pthread_barrier_wait(&closing);
		if (r % 3)
			ready(outer);
		close(r % 2 ? e : outer);
		close(r % 2 ? outer : e);
		pthread_barrier_wait(&closing);
	}
	CHECK_EQ(pthread_join(t, NULL), 0);
}

/* --- signalfds: the watch is on the signals of the process that added it --- */

static int usr1_fd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	CHECK_OK(fd);
	return fd;
}

TEST(signalfd_of_one_that_ended)
{
	int s = usr1_fd(), e = ep();
	struct signalfd_siginfo si;
	struct epoll_event ev;

	IN_CHILD(CHECK_EQ(add(e, s), 0));
	CHECK_EQ(raise(SIGUSR1), 0);
	/* The end of what was hooked makes the epoll look, and whoever looks sees his
	 * own signals. */
	CHECK_EQ(epoll_wait(e, &ev, 1, 5000), 1);
	CHECK_EQ(ready(e), 1);
	CHECK_EQ(read(s, &si, sizeof(si)), (int)sizeof(si));
	CHECK_EQ(ready(e), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(ready(e), 0); /* nobody tells it any more */
	CHECK_EQ(ctl(e, EPOLL_CTL_MOD, s, EPOLLIN), 0);
	CHECK_EQ(ready(e), 1);
	CHECK_EQ(read(s, &si, sizeof(si)), (int)sizeof(si));
	CHECK_EQ(ready(e), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(ready(e), 0);
	CHECK_EQ(ctl(e, EPOLL_CTL_DEL, s, 0), 0);
	CHECK_EQ(add(e, s), 0);
	CHECK_EQ(ready(e), 1);
	CHECK_EQ(read(s, &si, sizeof(si)), (int)sizeof(si));
	CHECK_EQ(raise(SIGUSR1), 0);
	CHECK_EQ(ready(e), 1);
}

TEST(signalfd_of_another)
{
	int s = usr1_fd(), e = ep();

	CHECK_EQ(add(e, s), 0);
	IN_CHILD(CHECK_EQ(raise(SIGUSR1), 0); CHECK_EQ(ready(e), 0)); /* not whom it is about */
	CHECK_EQ(ready(e), 0);
	CHECK_EQ(raise(SIGUSR1), 0);
	IN_CHILD(CHECK_EQ(ready(e), 0)); /* has no such signal, and takes the note off the list */
	CHECK_EQ(ready(e), 0);
}

/* The ends of many processes' watches, against a process that comes after them. */
TEST(signalfd_ends_touch_nobody)
{
	for (int i = 0; i < 6; i++) {
		int s = usr1_fd(), e = ep();
		struct signalfd_siginfo si;

		IN_CHILD(CHECK_EQ(add(e, s), 0));
		pid_t pid = test_fork();
		if (pid == 0) {
			int own = usr1_fd();

			close(e);
			CHECK_OK(fcntl(own, F_SETFL, 0));
			CHECK_EQ(read(own, &si, sizeof(si)), (int)sizeof(si));
			_exit(0);
		}
		wait_state(pid, 'S');
		CHECK_EQ(i % 2 ? ctl(e, EPOLL_CTL_DEL, s, 0) : 0, 0);
		close(e);
		close(s);
		CHECK_OK(kill(pid, SIGUSR1));
		WAIT_OK(pid);
	}
}

/* Watches are added, taken off and closed while the processes that added them end. */
TEST(signalfd_against_the_end)
{
	int s = usr1_fd(), e[4];

	for (int i = 0; i < 4; i++)
		e[i] = ep();
	for (int i = 0; i < 100; i++) {
		pid_t pid = test_fork();

		if (pid == 0) {
			for (int k = 0; k < 4; k++)
				ctl(e[k], EPOLL_CTL_ADD, s, EPOLLIN);
			_exit(0);
		}
		for (int k = 0; k < 4; k++)
			ctl(e[k], EPOLL_CTL_DEL, s, 0);
		close(e[i % 4]);
		e[i % 4] = ep();
		WAIT_OK(pid);
	}
}

/* --- epoll_pwait2(2), of Linux 5.11 --- */

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

static long pwait2(int e, struct epoll_event *ev, int n, const struct timespec *ts,
	const sigset_t *set, size_t size)
{
	return syscall(SYS_epoll_pwait2, e, ev, n, ts, set, size);
}

static void got_signal(int sig)
{
	(void)sig;
}

TEST(pwait2)
{
	int e = ep(), p[2];
	struct epoll_event ev[2];
	struct timespec zero = {0, 0}, some = {0, 60000000}, long_ = {20, 0}, bad = {0, 1000000000},
			neg = {-1, 0};
	struct sigaction sa = {.sa_handler = got_signal};
	sigset_t none, usr, now;
	int64_t start;

	if (pwait2(e, ev, 1, &zero, NULL, 0) < 0 && errno == ENOSYS)
		test_skip("no epoll_pwait2");
	CHECK_OK(pipe(p));
	CHECK_EQ(add(e, p[0]), 0);
	CHECK_EQ(pwait2(e, ev, 2, &zero, NULL, 0), 0);
	start = now_ns();
	CHECK_EQ(pwait2(e, ev, 2, &some, NULL, 0), 0);
	CHECK(now_ns() - start >= 60000000);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(pwait2(e, ev, 2, NULL, NULL, 0), 1); /* NULL: for ever */
	CHECK_EQ(ev[0].data.fd, p[0]);
	CHECK_ERRNO(pwait2(e, ev, 2, &bad, NULL, 0), EINVAL);
	CHECK_ERRNO(pwait2(e, ev, 2, &neg, NULL, 0), EINVAL);
	CHECK_ERRNO(pwait2(e, ev, 2, (struct timespec *)8, NULL, 0), EFAULT);
	CHECK_ERRNO(pwait2(e, ev, 0, &zero, NULL, 0), EINVAL);
	CHECK_ERRNO(pwait2(p[0], ev, 1, &zero, NULL, 0), EINVAL);
	CHECK_ERRNO(pwait2(999, ev, 1, &zero, NULL, 0), EBADF);
	/* A signal that is let in for the call ends it; the mask is the old one after it. */
	char c;
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
	sigemptyset(&none);
	sigemptyset(&usr);
	sigaddset(&usr, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &usr, NULL));
	CHECK_OK(raise(SIGUSR1));
	CHECK_ERRNO(pwait2(e, ev, 2, &long_, &none, 4), EINVAL);
	CHECK_ERRNO(pwait2(e, ev, 2, &long_, (sigset_t *)8, 8), EFAULT);
	CHECK_ERRNO(pwait2(e, ev, 2, &long_, &none, 8), EINTR);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1));
	CHECK_OK(sigpending(&now));
	CHECK(!sigismember(&now, SIGUSR1));
}

/* A read of a pipe is an edge for its writer only if it ends that the pipe is full. */
TEST(pipe_edges)
{
	static char big[65536];
	struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};
	int p[2], ep = epoll_create1(0);

	CHECK_OK(pipe2(p, O_NONBLOCK));
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &ev));
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(write(p[1], "ab", 2), 2);
	CHECK_EQ(read(p[0], big, 1), 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	CHECK_EQ(read(p[0], big, 1), 1);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	CHECK_EQ(write(p[1], big, sizeof(big)), sizeof(big));
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	CHECK_EQ(read(p[0], big, 4096), 4096);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 1);
	CHECK_EQ(read(p[0], big, 8192), 8192);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
}

TEST(eventfd_sizes)
{
	uint64_t v[2] = {1, 0};
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK_ERRNO(write(fd, v, 7), EINVAL);
	CHECK_EQ(write(fd, v, 8), 8);
	if (write(fd, v, 16) < 0) { /* Linux 6.10 and later */
		CHECK_ERRNO(write(fd, v, 9), EINVAL);
		CHECK_ERRNO(write(fd, v, 16), EINVAL);
	}
	CHECK_ERRNO(read(fd, v, 7), EINVAL);
	CHECK_EQ(read(fd, v, 16), 8);
	CHECK_EQ(v[0], 1);
}
