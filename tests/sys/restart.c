/* Which calls SA_RESTART restarts, and which return EINTR (signal(7)) */
#include "test.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

static volatile int got;
static void on_alarm(int sig)
{
	(void)sig;
	got++;
}

/* One SIGALRM in 40 ms, and another in 120 ms that no one should need. */
static void interrupt(bool restart)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0};
	struct itimerval it = {{0, 0}, {0, 40000}};

	got = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static int write_later(int fd)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		sleep_ms(100);
		write(fd, "x", 1);
		_exit(0);
	}
	return pid;
}

TEST(read_pipe)
{
	char c;
	int p[2];

	CHECK_OK(pipe(p));
	interrupt(false);
	CHECK_ERRNO(read(p[0], &c, 1), EINTR);
	pid_t pid = write_later(p[1]);
	interrupt(true);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(got, 1);
	WAIT_OK(pid);
}

TEST(wait_child)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		sleep_ms(150);
		_exit(0);
	}
	interrupt(false);
	CHECK_ERRNO(waitpid(pid, NULL, 0), EINTR);
	interrupt(true);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(got, 1);
}

TEST(never_restarted)
{
	struct pollfd none;
	struct timeval tv = {5, 0};
	struct timespec ts = {5, 0}, left = {0, 0};
	struct epoll_event ev;
	int e = epoll_create1(0);

	interrupt(true);
	CHECK_ERRNO(poll(&none, 0, 5000), EINTR);
	interrupt(true);
	CHECK_ERRNO(select(0, NULL, NULL, NULL, &tv), EINTR);
	CHECK(tv.tv_sec < 5); /* Linux tells what is left */
	interrupt(true);
	CHECK_ERRNO(epoll_wait(e, &ev, 1, 5000), EINTR);
	interrupt(true);
	CHECK_ERRNO(nanosleep(&ts, &left), EINTR);
	CHECK(left.tv_sec == 4 && left.tv_nsec > 0);
	interrupt(true);
	CHECK_ERRNO(pause(), EINTR);
	interrupt(true);
	CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &left), EINTR);
}

TEST(lock_waits)
{
	int fd = make_file("f", ""), other = open("f", O_RDWR);
	struct flock l = {.l_type = F_WRLCK};

	CHECK_OK(flock(fd, LOCK_EX));
	interrupt(false);
	CHECK_ERRNO(flock(other, LOCK_EX), EINTR);
	CHECK_OK(fcntl(fd, F_OFD_SETLK, &l));
	interrupt(false);
	CHECK_ERRNO(fcntl(other, F_OFD_SETLKW, &l), EINTR);
	pid_t pid = test_fork();
	if (pid == 0) {
		sleep_ms(100);
		flock(fd, LOCK_UN);
		_exit(0);
	}
	interrupt(true);
	CHECK_OK(flock(other, LOCK_EX));
	CHECK_EQ(got, 1);
	WAIT_OK(pid);
}

TEST(stop_and_continue)
{
	char c;
	int p[2];
	pid_t pid;

	/* stopping restarts reads without a handler; poll goes on too */
	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		struct pollfd f = {p[0], POLLIN, 0};

		CHECK_EQ(poll(&f, 1, 10000), 1);
		CHECK_EQ(read(p[0], &c, 1), 1);
		CHECK_EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		wait_state(pid, 'S');
		sleep_ms(20);
		kill(pid, SIGSTOP);
		wait_state(pid, 'T');
		kill(pid, SIGCONT);
		sleep_ms(20);
		CHECK_EQ(write(p[1], "x", 1), 1);
	}
	WAIT_OK(pid);
}

TEST(sleep_stopped)
{
	int64_t start = now_ms();
	pid_t pid = test_fork();

	if (pid == 0) {
		struct timespec ts = {0, 200000000};

		CHECK_OK(nanosleep(&ts, NULL));
		CHECK(now_ms() - start >= 200);
		_exit(0);
	}
	sleep_ms(50);
	kill(pid, SIGSTOP);
	sleep_ms(50);
	kill(pid, SIGCONT);
	WAIT_OK(pid);
	CHECK(now_ms() - start < 30000);
}

TEST(futex_wait)
{
	int word = 0;
	struct timespec ts = {0, 150000000};

	interrupt(false);
	CHECK_ERRNO(syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0), EINTR);
	interrupt(true);
	CHECK_ERRNO(syscall(SYS_futex, &word, 0, 0, &ts, NULL, 0), EINTR); /* with a timeout */
	int p = test_fork();
	if (p == 0) {
		sleep_ms(100);
		kill(getppid(), SIGUSR1); /* without a handler for it: default action */
		_exit(0);
	}
	signal(SIGUSR1, SIG_IGN);
	interrupt(true);
	ts.tv_nsec = 20000000;
	CHECK_ERRNO(syscall(SYS_futex, &word, 0, 0, &ts, NULL, 0), ETIMEDOUT);
}

TEST(socket_receive)
{
	char c;
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
		test_skip("no unix sockets");
	interrupt(false);
	CHECK_ERRNO(recv(s[0], &c, 1, 0), EINTR);
	pid_t pid = write_later(s[1]);
	interrupt(true);
	CHECK_EQ(recv(s[0], &c, 1, 0), 1);
	CHECK_EQ(got, 1);
	WAIT_OK(pid);
}
