/*
 * Operations of the race fuzzer on descriptors: made and closed, in epoll sets, pipes, sockets,
 * terminals.
 */
#define _GNU_SOURCE
#include "race.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>

/* --- objects --- */

static void make(struct rnd *r)
{
	pool_make(r, (enum kind)below(r, NR_KINDS));
}

static void read_it(struct rnd *r)
{
	SC(read, fd_any(r), some_buf(r), some_len(r));
}

static void write_it(struct rnd *r)
{
	SC(write, fd_any(r), some_buf(r), some_len(r));
}

static void eventfd_add(struct rnd *r)
{
	uint64_t v = 1;

	if (one_in(r, 2))
		SC(write, fd_of(r, K_EVENTFD), &v, 8);
	else
		SC(read, fd_of(r, K_EVENTFD), &v, 8);
}

static void timerfd_set(struct rnd *r)
{
	struct itimerspec it = {{0, one_in(r, 2) ? 0 : 100000 + below(r, 3000000)},
		{0, below(r, 2000000)}};

	SC(timerfd_settime, fd_of(r, K_TIMERFD), 0, &it, 0);
}

static void signalfd_change(struct rnd *r)
{
	uint64_t set = 1UL << (SIGUSR2 - 1) | 1UL << below(r, 64);

	SC(signalfd4, fd_of(r, K_SIGNALFD), &set, 8, 0);
}

static void poll_some(struct rnd *r)
{
	struct pollfd p[6];

	for (int i = 0; i < 6; i++)
		p[i] = (struct pollfd){fd_any(r), POLLIN | (one_in(r, 2) ? POLLOUT : 0), 0};
	SC(poll, p, 1 + below(r, 6), below(r, 4));
}

/* --- closing --- */

/* Mostly there is a new one at once: calls on what is closed find nothing out. */
static void close_it(struct rnd *r)
{
	int fd = fd_any(r);

	SC(close, fd);
	if (!one_in(r, 4))
		pool_make(r, (enum kind)((fd - FD_BASE) / SLOTS));
}

/* Most ends of an object race with other ends of it: close one kind at a time. */
static void close_kind(struct rnd *r)
{
	enum kind k = (enum kind)below(r, NR_KINDS);

	for (int i = 0; i < SLOTS; i++)
		SC(close, FD_BASE + (int)k * SLOTS + i);
	for (int i = 0; i < SLOTS; i++)
		pool_make(r, k);
}

static void replace(struct rnd *r)
{
	enum kind k = (enum kind)below(r, NR_KINDS);

	SC(dup2, fd_of(r, k), fd_of(r, k));
}

static void dup_within(struct rnd *r)
{
	enum kind k = (enum kind)below(r, NR_KINDS);

	pool_put(r, k, SC(dup, fd_of(r, k)));
}

static void close_some(struct rnd *r)
{
	int fd = fd_any(r), n = (int)below(r, 4);

	SC(close_range, fd, fd + n, one_in(r, 8) ? 2 : 0);
	for (; n >= 0; n--)
		pool_make(r, (enum kind)((fd - FD_BASE) / SLOTS));
}

/* --- epoll --- */

static void epoll_change(struct rnd *r)
{
	static const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD};
	struct epoll_event e = {.events = EPOLLIN | (one_in(r, 2) ? EPOLLOUT : 0) |
					  (one_in(r, 2) ? EPOLLET : 0) |
					  (one_in(r, 8) ? EPOLLONESHOT : 0)};

	SC(epoll_ctl, fd_of(r, K_EPOLL), PICK(r, ops), fd_any(r), &e);
}

static void epoll_nest(struct rnd *r)
{
	struct epoll_event e = {.events = EPOLLIN | (one_in(r, 2) ? EPOLLET : 0)};

	SC(epoll_ctl, fd_of(r, K_EPOLL), one_in(r, 3) ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
		fd_of(r, K_EPOLL), &e);
}

static void epoll_get(struct rnd *r)
{
	struct epoll_event e[4];

	SC(epoll_wait, fd_of(r, K_EPOLL), e, 4, below(r, 3));
}

/* --- pipes --- */

static void pipe_pair(struct rnd *r)
{
	int p[2];
	char c = 0;

	if (SC(pipe2, p, O_NONBLOCK))
		return;
	SC(write, p[1], &c, 1);
	/* Both last descriptors go at the same time, from two threads. */
	pool_put(r, K_PIPE, p[0]);
	pool_put(r, K_PIPE, p[1]);
}

static void pipe_move(struct rnd *r)
{
	unsigned int flags = 2 * !one_in(r, 8); /* SPLICE_F_NONBLOCK */

	switch (below(r, 6)) {
	case 0:
		SC(splice, fd_of(r, K_PIPE), 0, fd_of(r, K_PIPE), 0, below(r, 70000), flags);
		break;
	case 1:
		SC(splice, fd_of(r, K_FILE), 0, fd_of(r, K_PIPE), 0, below(r, 70000), flags);
		break;
	case 2:
		SC(splice, fd_of(r, K_PIPE), 0, fd_of(r, K_SOCK), 0, below(r, 70000), flags);
		break;
	case 3:
		SC(splice, fd_any(r), 0, fd_any(r), 0, below(r, 70000), flags);
		break;
	case 4:
		SC(sendfile, fd_any(r), fd_of(r, K_FILE), 0, below(r, 70000));
		break;
	default:
		SC(tee, fd_of(r, K_PIPE), fd_of(r, K_PIPE), below(r, 70000), flags);
		break;
	}
}

static void pipe_gift(struct rnd *r)
{
	struct iovec v = {some_page(r), some_pages(r)};

	SC(vmsplice, fd_of(r, K_PIPE), &v, 1, 2);
}

static void pipe_size(struct rnd *r)
{
	SC(fcntl, fd_of(r, K_PIPE), F_SETPIPE_SZ, 4096 << below(r, 6));
}

static void pipe_io(struct rnd *r)
{
	if (one_in(r, 2))
		SC(read, fd_of(r, K_PIPE), some_buf(r), some_len(r));
	else
		SC(write, fd_of(r, K_PIPE), some_buf(r), some_len(r));
}

/* --- sockets --- */

static unsigned int address(struct rnd *r, struct sockaddr_un *u)
{
	memset(u, 0, sizeof(*u));
	u->sun_family = AF_UNIX;
	if (one_in(r, 3)) {
		snprintf(u->sun_path, sizeof(u->sun_path), "/tmp/r/s%d", (int)below(r, 3));
		return sizeof(*u);
	}
	snprintf(u->sun_path + 1, 8, "r%d", (int)below(r, 4));
	return sizeof(u->sun_family) + 3;
}

static long new_socket(struct rnd *r)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

	return SC(socket, AF_UNIX, PICK(r, types) | (one_in(r, 4) ? 0 : SOCK_NONBLOCK), 0);
}

static void sock_listen(struct rnd *r)
{
	struct sockaddr_un u;
	unsigned int n = address(r, &u);
	long s = one_in(r, 4) ? fd_of(r, K_SOCK) : new_socket(r);

	if (u.sun_path[0] && one_in(r, 2))
		SC(unlink, u.sun_path);
	SC(bind, s, &u, n);
	SC(listen, s, 1 + below(r, 3));
	if (s >= FD_END || s < FD_BASE)
		pool_put(r, K_SOCK, s);
}

static void sock_connect(struct rnd *r)
{
	struct sockaddr_un u;
	unsigned int n = address(r, &u);
	long s = one_in(r, 2) ? fd_of(r, K_SOCK) : new_socket(r);

	if (one_in(r, 8))
		u.sun_family = AF_UNSPEC;
	SC(connect, s, &u, n);
	if (s >= FD_END || s < FD_BASE)
		pool_put(r, K_SOCK, s);
}

static void sock_accept(struct rnd *r)
{
	pool_put(r, K_SOCK, SC(accept4, fd_of(r, K_SOCK), 0, 0, SOCK_NONBLOCK));
}

static void sock_end(struct rnd *r)
{
	SC(shutdown, fd_of(r, K_SOCK), below(r, 3));
}

static void sock_io(struct rnd *r)
{
	int flags = (one_in(r, 8) ? 0 : MSG_DONTWAIT) | MSG_NOSIGNAL;

	if (one_in(r, 2))
		SC(sendto, fd_of(r, K_SOCK), some_buf(r), some_len(r), flags, 0, 0);
	else
		SC(recvfrom, fd_of(r, K_SOCK), some_buf(r), some_len(r),
			flags | (one_in(r, 4) ? MSG_PEEK : 0), 0, 0);
}

/* Descriptors of anything, sockets that carry each other included. */
static void sock_pass(struct rnd *r)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = {0};
	unsigned int n = 1 + below(r, 4);
	int fds[4];
	struct iovec v = {some_buf(r), 1 + below(r, 100)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	for (unsigned int i = 0; i < n; i++)
		fds[i] = one_in(r, 2) ? fd_of(r, K_SOCK) : fd_any(r);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	SC(sendmsg, fd_of(r, K_SOCK), &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void sock_take(struct rnd *r)
{
	char control[CMSG_SPACE(8 * sizeof(int))];
	struct iovec v = {some_buf(r), 1 + below(r, 200)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = one_in(r, 4) ? below(r, 30) : sizeof(control)};

	if (SC(recvmsg, fd_of(r, K_SOCK), &m, MSG_DONTWAIT | (one_in(r, 4) ? MSG_PEEK : 0)) < 0)
		return;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len > sizeof(control))
		return;
	for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
		pool_put(r, (enum kind)below(r, NR_KINDS), ((int *)CMSG_DATA(c))[i]);
}

static void sock_option(struct rnd *r)
{
	static const int names[] = {SO_PASSCRED, SO_SNDBUF, SO_RCVBUF, SO_PEERCRED, SO_ERROR,
		SO_PEEK_OFF};
	int v = (int)below(r, 3000);
	unsigned int n = sizeof(v);

	if (one_in(r, 2))
		SC(setsockopt, fd_of(r, K_SOCK), SOL_SOCKET, PICK(r, names), &v, n);
	else
		SC(getsockopt, fd_of(r, K_SOCK), SOL_SOCKET, PICK(r, names), some_buf(r), &n);
	if (one_in(r, 4)) /* a pidfd of the peer */
		pool_put(r, K_PIDFD,
			SC(getsockopt, fd_of(r, K_SOCK), SOL_SOCKET, 77, &v, &n) ? -1 : v);
}

static void owner(struct rnd *r)
{
	int fd = fd_any(r);

	SC(fcntl, fd, F_SETOWN, some_pid(r));
	SC(fcntl, fd, F_SETSIG, one_in(r, 2) ? SIGUSR2 : 0);
	SC(fcntl, fd, F_SETFL, O_NONBLOCK | (one_in(r, 2) ? O_ASYNC : 0));
}

/* --- terminals --- */

static void tty_open(struct rnd *r)
{
	pool_put(r, K_TTY, SC(open, "/dev/tty", O_RDWR | O_NONBLOCK));
}

/* A session whose terminal comes and goes while its other threads open /dev/tty. */
static void tty_cycle(struct rnd *r)
{
	int zero = 0, n;
	char name[32];
	long s, m = SC(open, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (m < 0)
		return;
	SC(ioctl, m, TIOCSPTLCK, &zero);
	if (SC(ioctl, m, TIOCGPTN, &n) == 0) {
		snprintf(name, sizeof(name), "/dev/pts/%d", n);
		s = SC(open, name, O_RDWR | O_NONBLOCK);
		SC(ioctl, s, TIOCSCTTY, one_in(r, 2));
		pool_put(r, K_TTY, SC(open, "/dev/tty", O_RDWR | O_NONBLOCK));
		pool_put(r, K_TTY, s);
	}
	if (one_in(r, 2))
		SC(close, m);
	else
		pool_put(r, K_TTY, m);
}

static void tty_session(struct rnd *r)
{
	int pgrp = some_pid(r);

	switch (below(r, 5)) {
	case 0:
		SC(ioctl, fd_of(r, K_TTY), TIOCSCTTY, one_in(r, 2));
		break;
	case 1:
		SC(ioctl, fd_of(r, K_TTY), TIOCNOTTY, 0);
		break;
	case 2:
		SC(ioctl, fd_of(r, K_TTY), TIOCSPGRP, &pgrp);
		break;
	case 3:
		SC(ioctl, fd_of(r, K_TTY), TIOCGPGRP, &pgrp);
		break;
	default:
		pool_put(r, K_TTY, SC(ioctl, fd_of(r, K_TTY), TIOCGPTPEER, O_RDWR | O_NOCTTY));
		break;
	}
}

static void tty_mode(struct rnd *r)
{
	struct termios t;
	struct winsize w = {(unsigned short)below(r, 100), 80, 0, 0};

	if (SC(ioctl, fd_of(r, K_TTY), TCGETS, &t) == 0) {
		t.c_lflag ^= one_in(r, 2) ? ICANON : ECHO;
		SC(ioctl, fd_of(r, K_TTY), one_in(r, 2) ? TCSETS : TCSETSF, &t);
	}
	SC(ioctl, fd_of(r, K_TTY), TIOCSWINSZ, &w);
	SC(ioctl, fd_of(r, K_TTY), TCFLSH, below(r, 3));
	SC(ioctl, fd_of(r, K_TTY), TIOCPKT, some_buf(r));
}

static void tty_io(struct rnd *r)
{
	static const char *const texts[] = {"line\n", "\003", "\032", "\034", "\004", "\021\023",
		"x\177y"};
	const char *s = PICK(r, texts);

	SC(write, fd_of(r, K_TTY), s, strlen(s));
	SC(read, fd_of(r, K_TTY), some_buf(r), some_len(r));
	if (one_in(r, 4))
		SC(ioctl, fd_of(r, K_TTY), TIOCSTI, s);
}

const struct op fd_ops[] = {{F_OBJECTS, 8, make}, {F_OBJECTS, 2, read_it}, {F_OBJECTS, 2, write_it},
	{F_OBJECTS, 2, eventfd_add}, {F_OBJECTS, 2, timerfd_set}, {F_OBJECTS, 1, signalfd_change},
	{F_OBJECTS, 2, poll_some}, {F_CLOSE, 4, close_it}, {F_CLOSE, 1, close_kind},
	{F_CLOSE, 2, replace}, {F_CLOSE, 2, dup_within}, {F_CLOSE, 1, close_some},
	{F_EPOLL, 4, epoll_change}, {F_EPOLL, 2, epoll_nest}, {F_EPOLL, 2, epoll_get},
	{F_PIPES, 3, pipe_pair}, {F_PIPES, 4, pipe_move}, {F_PIPES, 1, pipe_gift},
	{F_PIPES, 1, pipe_size}, {F_PIPES, 4, pipe_io}, {F_SOCKETS, 2, sock_listen},
	{F_SOCKETS, 3, sock_connect}, {F_SOCKETS, 2, sock_accept}, {F_SOCKETS, 1, sock_end},
	{F_SOCKETS, 3, sock_io}, {F_SOCKETS, 3, sock_pass}, {F_SOCKETS, 3, sock_take},
	{F_SOCKETS, 1, sock_option}, {F_SOCKETS, 1, owner}, {F_TTYS, 2, tty_open},
	{F_TTYS, 2, tty_cycle}, {F_TTYS, 2, tty_session}, {F_TTYS, 1, tty_mode},
	{F_TTYS, 2, tty_io}, {0, 0, NULL}};
