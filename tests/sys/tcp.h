/* What guest programs about TCP have in common: both families are tried by each case. */
#ifndef TESTS_SYS_TCP_H
#define TESTS_SYS_TCP_H

#include <netinet/tcp.h>
#include <poll.h>

#include "inet.h"

static const int families[] = {AF_INET, AF_INET6};
#define BOTH(f) for (int i_##f = 0, f; i_##f < 2 && (f = families[i_##f], 1); i_##f++)

static inline int tcp_socket(int family)
{
	int fd = socket(family, SOCK_STREAM, 0);
	CHECK(fd >= 0);
	return fd;
}

static inline int tcp_listener(int family, int backlog)
{
	struct addr a = loopback(family, 0);
	int fd = tcp_socket(family);
	CHECK(!bind(fd, &a.sa, a.len));
	CHECK(!listen(fd, backlog));
	return fd;
}

static inline int tcp_dial(int listener)
{
	struct addr a = addr_of(listener);
	int fd = tcp_socket(a.sa.sa_family);
	CHECK(!connect(fd, &a.sa, a.len));
	return fd;
}

/* Two ends of a connection: fd[0] connected, fd[1] was accepted. */
static inline void tcp_pair(int family, int fd[2])
{
	int l = tcp_listener(family, 1);
	fd[0] = tcp_dial(l);
	fd[1] = accept(l, NULL, NULL);
	CHECK(fd[1] >= 0);
	close(l);
}

static inline void nonblocking(int fd)
{
	CHECK(!fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK));
}

/* The events of fd, after at most ms of waiting for want. */
static inline int events(int fd, int want, int ms)
{
	struct pollfd p = {.fd = fd, .events = (short)want};
	CHECK(poll(&p, 1, ms) >= 0);
	return p.revents;
}

static inline int state(int fd)
{
	struct tcp_info i;
	socklen_t len = sizeof(i);
	CHECK(!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len));
	return i.tcpi_state;
}

/* States change a moment after the call that causes it, when the answer has come. */
static inline int state_becomes(int fd, int want)
{
	for (int i = 0; i < 2000 && state(fd) != want; i++)
		usleep(1000);
	return state(fd);
}

static inline void full_read(int fd, void *buf, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = read(fd, (char *)buf + got, n - got);
		CHECK(r > 0);
		got += (size_t)r;
	}
}

#endif
