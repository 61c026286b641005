/* Pairs of processes that hand a token back and forth, by each kind of waiting. */
#include "stress.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* Now and then nobody is at it for a while: the next hand-over finds the other asleep. */
static void breathe(uint64_t round)
{
	if (round % 256 == 0)
		usleep((useconds_t)(round / 256 * 7919 % 5000));
}

/* One side each; the token starts at side 0. */

static void pair_pipe(int side, const int *fds)
{
	int in = fds[side ? 2 : 0], out = fds[side ? 1 : 3];
	char c = 'x';
	if (!side)
		CHECK(write(out, &c, 1) == 1, 0);
	for (;;) {
		struct pollfd p = {.fd = in, .events = POLLIN};
		if (board->rounds[0] % 2) { /* alternately by poll and by a blocking read */
			int n = poll(&p, 1, STUCK * 1000);
			CHECK(n == 1 || stopping(), n);
		}
		ssize_t n = read(in, &c, 1);
		if (n == 0 || stopping())
			return;
		CHECK(n == 1, n);
		breathe(__atomic_add_fetch(&board->rounds[0], 1, __ATOMIC_RELAXED));
		CHECK(write(out, &c, 1) == 1 || errno == EPIPE, 0);
	}
}

static void pair_futex(int side, const int *fds)
{
	struct timespec ts = {.tv_sec = STUCK};
	(void)fds;
	while (!stopping()) {
		uint32_t v = __atomic_load_n(&board->word, __ATOMIC_SEQ_CST);
		if ((int)(v & 1) != side) {
			long r = futex(&board->word, FUTEX_WAIT, v, &ts);
			CHECK(r == 0 || errno != ETIMEDOUT || stopping(), r);
			continue;
		}
		__atomic_add_fetch(&board->word, 1, __ATOMIC_SEQ_CST);
		breathe(__atomic_add_fetch(&board->rounds[1], 1, __ATOMIC_RELAXED));
		futex(&board->word, FUTEX_WAKE, 1, NULL);
	}
	futex(&board->word, FUTEX_WAKE, 9, NULL);
}

/* A realtime signal to the partner, whose pid comes by the pipe. */
static void pair_signal(int side, const int *fds)
{
	int in = fds[side ? 2 : 0], out = fds[side ? 1 : 3];
	struct timespec ts = {.tv_sec = STUCK};
	pid_t me = getpid(), other = 0;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(write(out, &me, sizeof(me)) == sizeof(me), 0);
	CHECK(read(in, &other, sizeof(other)) == sizeof(other), 0);
	if (!side)
		kill(other, SIGRTMIN);
	while (!stopping()) {
		int n = sigtimedwait(&set, NULL, &ts);
		CHECK(n == SIGRTMIN || errno == EINTR || stopping(), n);
		breathe(__atomic_add_fetch(&board->rounds[2], 1, __ATOMIC_RELAXED));
		if (kill(other, SIGRTMIN))
			return;
	}
	kill(other, SIGRTMIN);
}

static void pair_eventfd(int side, const int *fds)
{
	int in = fds[4 + side], out = fds[5 - side], ep = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET}, got;
	uint64_t one = 1, v;
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, in, &ev) == 0, ep);
	if (!side)
		CHECK(write(out, &one, 8) == 8, 0);
	while (!stopping()) {
		int n = epoll_wait(ep, &got, 1, STUCK * 1000);
		CHECK(n == 1 || stopping(), n);
		CHECK(read(in, &v, 8) == 8 || stopping(), v);
		breathe(__atomic_add_fetch(&board->rounds[3], 1, __ATOMIC_RELAXED));
		CHECK(write(out, &one, 8) == 8, 0);
	}
	(void)!write(out, &one, 8);
}

static void pair_unix(int side, const int *fds)
{
	struct pollfd p = {.fd = fds[6 + side], .events = POLLIN};
	char c = 'x';
	if (!side)
		CHECK(send(p.fd, &c, 1, MSG_NOSIGNAL) == 1, 0);
	while (!stopping()) {
		int n = poll(&p, 1, STUCK * 1000);
		CHECK(n == 1 || stopping(), n);
		ssize_t r = recv(p.fd, &c, 1, 0);
		if (r == 0 || stopping())
			return;
		CHECK(r == 1, r);
		breathe(__atomic_add_fetch(&board->rounds[4], 1, __ATOMIC_RELAXED));
		CHECK(send(p.fd, &c, 1, MSG_NOSIGNAL) == 1 || errno == EPIPE, 0);
	}
}

/* Waits for the other without ever sleeping: whoever runs must not keep the other from running. */
static void pair_yield(int side, const int *fds)
{
	(void)fds;
	while (!stopping()) {
		uint32_t v = __atomic_load_n(&board->yield, __ATOMIC_SEQ_CST);
		if ((int)(v & 1) != side) {
			if (v % 8 < 6)
				sched_yield();
			continue;
		}
		__atomic_add_fetch(&board->yield, 1, __ATOMIC_SEQ_CST);
		__atomic_add_fetch(&board->rounds[5], 1, __ATOMIC_RELAXED);
		usleep(500); /* for the others' sake */
	}
}

static void (*const pairs[PAIRS])(int side, const int *fds) = {pair_pipe, pair_futex, pair_signal,
	pair_eventfd, pair_unix, pair_yield};
const char *const pair_names[PAIRS] = {"pipe", "futex", "signal", "eventfd", "unix", "yield"};

/* Both sides, in two processes; the caller is their parent. */
void start_pair(int i, pid_t *pids)
{
	int fds[8];
	if (pipe(fds) || pipe(fds + 2) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 6))
		exit(3);
	fds[4] = eventfd(0, 0);
	fds[5] = eventfd(0, 0);
	for (int side = 0; side < 2; side++) {
		pids[side] = fork();
		if (pids[side] == 0) {
			signal(SIGPIPE, SIG_IGN);
			close(fds[side ? 0 : 2]);
			close(fds[side ? 3 : 1]);
			close(fds[side ? 6 : 7]);
			pairs[i](side, fds);
			_exit(0);
		}
	}
	for (int k = 0; k < 8; k++)
		close(fds[k]);
}
