/* poll, ppoll, select, pselect, epoll, eventfd, signalfd */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>

static void add(int e, int fd, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data = {.fd = fd}};

	CHECK_OK(epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
}

static int ready(int e, int timeout)
{
	struct epoll_event ev[10];

	return epoll_wait(e, ev, 10, timeout);
}

TEST(poll_basic)
{
	int p[2], f = make_file("f", "");
	struct pollfd v[4];
	int64_t start = now_ms();

	CHECK_OK(pipe(p));
	v[0] = (struct pollfd){p[0], POLLIN, 0};
	v[1] = (struct pollfd){-5, POLLIN, 7};
	v[2] = (struct pollfd){999, POLLIN, 0};
	v[3] = (struct pollfd){f, POLLIN | POLLOUT, 0};
	CHECK_EQ(poll(v, 1, 50), 0);
	CHECK(now_ms() - start >= 49);
	CHECK_EQ(poll(v, 4, -1), 2);
	CHECK_EQ(v[1].revents, 0);
	CHECK_EQ(v[2].revents, POLLNVAL);
	CHECK_EQ(v[3].revents, POLLIN | POLLOUT);
	CHECK_ERRNO(poll((void *)8, 1, 0), EFAULT);
	CHECK_ERRNO(poll(v, 1u << 30, 0), EINVAL);
	struct timespec bad = {0, -1};
	CHECK_ERRNO(ppoll(v, 1, &bad, NULL), EINVAL);
}

TEST(select_basic)
{
	int p[2];
	fd_set r, w;
	struct timeval tv = {0, 30000};

	CHECK_OK(pipe(p));
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(p[0], &r);
	CHECK_EQ(select(p[0] + 1, &r, NULL, NULL, &tv), 0);
	CHECK(!FD_ISSET(p[0], &r));
	CHECK(tv.tv_sec == 0 && tv.tv_usec == 0);
	FD_SET(p[0], &r);
	FD_SET(p[1], &w);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(select(p[1] + 1, &r, &w, NULL, NULL), 2);
	FD_SET(20, &r);
	CHECK_ERRNO(select(21, &r, NULL, NULL, NULL), EBADF);
	CHECK_ERRNO(select(-1, NULL, NULL, NULL, NULL), EINVAL);
	tv.tv_usec = -1;
	CHECK_ERRNO(select(0, NULL, NULL, NULL, &tv), EINVAL);
}

static volatile int got;
static void on_signal(int sig)
{
	got = sig;
}

TEST(ppoll_mask)
{
	sigset_t set, none;
	struct timespec ts = {5, 0};

	signal(SIGUSR1, on_signal);
	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	CHECK_EQ(got, 0);
	CHECK_ERRNO(ppoll(NULL, 0, &ts, &none), EINTR);
	CHECK_EQ(got, SIGUSR1);
	got = 0;
	raise(SIGUSR1);
	CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
	CHECK_EQ(got, SIGUSR1);
	sigprocmask(SIG_BLOCK, NULL, &set);
	CHECK_EQ(sigismember(&set, SIGUSR1), 1);
}

TEST(eventfd_rules)
{
	uint64_t n = 3;
	int fd = eventfd(5, EFD_NONBLOCK), sem = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};

	CHECK_EQ(write(fd, &n, 8), 8);
	CHECK_EQ(read(fd, &n, 8), 8);
	CHECK_EQ(n, 8);
	CHECK_ERRNO(read(fd, &n, 8), EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	n = UINT64_MAX;
	CHECK_ERRNO(write(fd, &n, 8), EINVAL);
	n = UINT64_MAX - 1;
	CHECK_EQ(write(fd, &n, 8), 8);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN);
	n = 1;
	CHECK_ERRNO(write(fd, &n, 8), EAGAIN);
	CHECK_ERRNO(read(fd, &n, 4), EINVAL);
	CHECK_EQ(read(sem, &n, 8), 8);
	CHECK_EQ(n, 1);
	CHECK_EQ(read(sem, &n, 8), 8);
	CHECK_ERRNO(read(sem, &n, 8), EAGAIN);
	CHECK_ERRNO(eventfd(0, 0x100), EINVAL);
}

TEST(level_edge_oneshot)
{
	char c;
	int e = epoll_create1(0), p[2];
	struct epoll_event ev;

	CHECK_OK(pipe(p));
	add(e, p[0], EPOLLIN);
	CHECK_EQ(ready(e, 0), 0);
	CHECK_EQ(write(p[1], "ab", 2), 2);
	CHECK_EQ(ready(e, 0), 1);
	CHECK_EQ(ready(e, 0), 1); /* level: again */
	ev = (struct epoll_event){EPOLLIN | EPOLLET, {.fd = p[0]}};
	CHECK_OK(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(ready(e, 0), 1);
	CHECK_EQ(ready(e, 0), 0); /* edge: not before more comes */
	CHECK_EQ(write(p[1], "c", 1), 1);
	CHECK_EQ(ready(e, 0), 1);
	ev.events = EPOLLIN | EPOLLONESHOT;
	CHECK_OK(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(ready(e, 0), 1);
	CHECK_EQ(write(p[1], "d", 1), 1);
	CHECK_EQ(ready(e, 0), 0); /* disarmed */
	CHECK_OK(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev));
	CHECK_EQ(ready(e, 0), 1);
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_OK(epoll_ctl(e, EPOLL_CTL_DEL, p[0], NULL));
	CHECK_EQ(ready(e, 0), 0);
}

TEST(epoll_errors)
{
	int e = epoll_create1(EPOLL_CLOEXEC), f = make_file("f", ""), p[2];
	struct epoll_event ev = {EPOLLIN, {0}}, out[1];

	CHECK_OK(pipe(p));
	CHECK_ERRNO(epoll_create1(1), EINVAL);
	CHECK_ERRNO(epoll_create(0), EINVAL);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, f, &ev), EPERM); /* regular files */
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, e, &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(f, EPOLL_CTL_ADD, p[0], &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, 999, &ev), EBADF);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev), ENOENT);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_DEL, p[0], &ev), ENOENT);
	add(e, p[0], EPOLLIN);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev), EEXIST);
	add(e, dup(p[0]), EPOLLIN); /* another descriptor: another entry */
	CHECK_ERRNO(epoll_ctl(e, 77, p[0], &ev), EINVAL);
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_ADD, p[1], (void *)8), EFAULT);
	CHECK_ERRNO(epoll_wait(e, out, 0, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(p[0], out, 1, 0), EINVAL);
	CHECK_ERRNO(epoll_wait(999, out, 1, 0), EBADF);
	ev.events = EPOLLEXCLUSIVE | EPOLLIN;
	CHECK_ERRNO(epoll_ctl(e, EPOLL_CTL_MOD, p[0], &ev), EINVAL);
}

TEST(epoll_nested)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), p[2];
	struct epoll_event ev = {EPOLLIN, {0}};

	CHECK_OK(pipe(p));
	add(inner, p[0], EPOLLIN);
	add(outer, inner, EPOLLIN);
	CHECK_EQ(ready(outer, 0), 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(ready(outer, 0), 1);
	CHECK_ERRNO(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &ev), ELOOP);
	struct pollfd pf = {outer, POLLIN, 0};
	CHECK_EQ(poll(&pf, 1, 0), 1);
}

TEST(epoll_close_removes)
{
	int e = epoll_create1(0), p[2], d;

	CHECK_OK(pipe(p));
	add(e, p[0], EPOLLIN);
	CHECK_EQ(write(p[1], "x", 1), 1);
	d = dup(p[0]);
	close(p[0]);
	CHECK_EQ(ready(e, 0), 1); /* the description still lives */
	close(d);
	CHECK_EQ(ready(e, 0), 0);
}

TEST(epoll_hangup)
{
	struct epoll_event ev;
	int e = epoll_create1(0), p[2];

	CHECK_OK(pipe(p));
	add(e, p[0], 0); /* errors and hang-ups are always told */
	close(p[1]);
	CHECK_EQ(epoll_wait(e, &ev, 1, 0), 1);
	CHECK_EQ(ev.events, EPOLLHUP);
	CHECK_EQ(ev.data.fd, p[0]);
}

static int efd;
static void *wait_one(void *arg)
{
	struct epoll_event ev;

	return (void *)(long)epoll_wait((int)(intptr_t)arg, &ev, 1, 300);
}

TEST(epoll_wakes_blocked)
{
	pthread_t t;
	void *ret;
	uint64_t one = 1;
	int e = epoll_create1(0);

	efd = eventfd(0, 0);
	pthread_create(&t, NULL, wait_one, (void *)(intptr_t)e);
	sleep_ms(30);
	add(e, efd, EPOLLIN | EPOLLET); /* added while another thread waits */
	CHECK_EQ(write(efd, &one, 8), 8);
	pthread_join(t, &ret);
	CHECK_EQ((long)ret, 1);
}

TEST(exclusive_wakes_one)
{
	pthread_t t[4];
	uint64_t one = 1;
	long woken = 0;

	efd = eventfd(0, 0);
	for (int i = 0; i < 4; i++) {
		int e = epoll_create1(0);

		add(e, efd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLET);
		pthread_create(&t[i], NULL, wait_one, (void *)(intptr_t)e);
	}
	sleep_ms(100);
	CHECK_EQ(write(efd, &one, 8), 8);
	for (int i = 0; i < 4; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		woken += (long)ret;
	}
	CHECK(woken >= 1);
}

TEST(epoll_many)
{
	struct epoll_event ev[64];
	uint64_t one = 1;
	int e = epoll_create1(0), fds[200], n, total = 0;

	for (int i = 0; i < 200; i++) {
		fds[i] = eventfd(0, EFD_NONBLOCK);
		add(e, fds[i], EPOLLIN | EPOLLONESHOT);
		CHECK_EQ(write(fds[i], &one, 8), 8);
	}
	while ((n = epoll_wait(e, ev, 64, 0)) > 0)
		total += n;
	CHECK_EQ(total, 200);
}

TEST(signalfd_rules)
{
	struct signalfd_siginfo si[3];
	sigset_t set;
	int fd;
	struct pollfd p;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK_OK(fd);
	p = (struct pollfd){fd, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 0), 0);
	CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 9}));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(read(fd, si, sizeof(si)), 2 * sizeof(si[0]));
	CHECK_EQ(si[0].ssi_signo, SIGUSR1);
	CHECK_EQ(si[0].ssi_pid, getpid());
	CHECK_EQ(si[1].ssi_int, 9);
	CHECK_EQ(si[1].ssi_code, SI_QUEUE);
	CHECK_ERRNO(read(fd, si, 10), EINVAL);
	sigdelset(&set, SIGUSR1);
	CHECK_EQ(signalfd(fd, &set, 0), fd);
	CHECK_OK(kill(getpid(), SIGUSR1));
	CHECK_ERRNO(read(fd, si, sizeof(si)), EAGAIN);
	CHECK_ERRNO(signalfd(0, &set, 0), EINVAL);
	CHECK_ERRNO(signalfd(-1, &set, 0x100), EINVAL);
	int e = epoll_create1(0);
	add(e, fd, EPOLLIN);
	CHECK_OK(kill(getpid(), SIGRTMIN));
	CHECK_EQ(ready(e, 0), 1);
}

TEST(poll_wakes_on_close_of_peer)
{
	int p[2];
	struct pollfd v;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		close(p[0]);
		sleep_ms(50);
		_exit(0);
	}
	close(p[1]);
	v = (struct pollfd){p[0], POLLIN, 0};
	CHECK_EQ(poll(&v, 1, 5000), 1);
	CHECK_EQ(v.revents, POLLHUP);
	WAIT_OK(pid);
}
