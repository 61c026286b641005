/* What guest programs about AF_INET and AF_INET6 sockets have in common. */
#ifndef TESTS_SYS_INET_H
#define TESTS_SYS_INET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "test.h"

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_storage ss;
	};
	socklen_t len;
};

static inline struct addr loopback(int family, int port)
{
	struct addr a = {.len = sizeof(a.in)};
	a.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		a.in.sin_port = htons((uint16_t)port);
		return a;
	}
	a.len = sizeof(a.in6);
	a.in6.sin6_addr = in6addr_loopback;
	a.in6.sin6_port = htons((uint16_t)port);
	return a;
}

static inline struct addr addr_of(int fd)
{
	struct addr a;
	memset(&a, 0, sizeof(a));
	a.len = sizeof(a.ss);
	CHECK(!getsockname(fd, &a.sa, &a.len));
	return a;
}

static inline int port_of(int fd)
{
	struct addr a = addr_of(fd);
	return ntohs(a.in.sin_port); /* it is in the same place in both */
}

static inline int udp_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM, 0);
	CHECK(fd >= 0);
	return fd;
}

/* One that is bound to the loopback address, at some port. */
static inline int udp_bound(int family)
{
	struct addr a = loopback(family, 0);
	int fd = udp_socket(family);
	CHECK(!bind(fd, &a.sa, a.len));
	return fd;
}

static inline int udp_bound_to(int family, int port)
{
	struct addr a = loopback(family, port);
	int fd = udp_socket(family);
	CHECK(!bind(fd, &a.sa, a.len));
	return fd;
}

static inline int getint(int fd, int level, int name)
{
	int v = -77;
	socklen_t len = sizeof(v);
	CHECK(!getsockopt(fd, level, name, &v, &len));
	return v;
}

static inline int setint(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof(v));
}

#endif
