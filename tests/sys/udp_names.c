/*
 * Names that datagram sockets are given: bind(2), connect(2), sendto(2) of what is no name, in the
 * order that Linux finds it, and IPv4 in sockets of AF_INET6.  udp(7), ip(7), ipv6(7), icmp(7).
 */
#include <linux/filter.h>
#include <linux/icmp.h>
#include <poll.h>
#include <pthread.h>

#include "inet.h"

static struct addr v6(const char *text, int port)
{
	struct addr a = loopback(AF_INET6, port);
	CHECK_EQ(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	return a;
}

static long send_x(int fd, struct addr *to)
{
	return sendto(fd, "x", 1, 0, &to->sa, to->len);
}

/* A name of no bytes is not the same as none. */
static void no_bytes(int family, int type, int protocol)
{
	struct icmphdr echo = {.type = family == AF_INET ? ICMP_ECHO : 128};
	int fd = socket(family, type, protocol);
	struct addr to = loopback(family, 9);
	if (fd < 0 && errno == EACCES)
		return; /* of ping sockets the host decides */
	CHECK(fd >= 0);
	CHECK_ERRNO(sendto(fd, &echo, sizeof(echo), 0, &to.sa, 0), EINVAL);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK_ERRNO(sendto(fd, &echo, sizeof(echo), 0, &to.sa, 0), EINVAL);
	CHECK_EQ(sendto(fd, &echo, sizeof(echo), 0, NULL, 0), sizeof(echo));
	struct iovec iov = {&echo, sizeof(echo)};
	struct msghdr m = {.msg_name = &to.sa, .msg_iov = &iov, .msg_iovlen = 1};
	recv(fd, &echo, 1, MSG_DONTWAIT);           /* an error that is pending */
	CHECK_EQ(sendmsg(fd, &m, 0), sizeof(echo)); /* here it is */
}

TEST(name_of_no_bytes)
{
	no_bytes(AF_INET, SOCK_DGRAM, 0);
	no_bytes(AF_INET6, SOCK_DGRAM, 0);
	no_bytes(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	no_bytes(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
}

/* IPv4 looks at the length and the flags before it looks for a name. */
TEST(order_of_checks)
{
	static char big[65536];
	int fd = udp_socket(AF_INET), fd6 = udp_socket(AF_INET6);
	struct addr to = loopback(AF_INET, 9);
	CHECK_ERRNO(send(fd, big, 65536, 0), EMSGSIZE);
	CHECK_ERRNO(send(fd, big, 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(send(fd, big, 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(send(fd6, big, 65536, 0), EDESTADDRREQ);
	CHECK_ERRNO(send(fd6, big, 1, MSG_OOB), EDESTADDRREQ);
	to.in.sin_port = 0;
	CHECK_ERRNO(send_x(fd, &to), EINVAL);
	to.sa.sa_family = AF_UNIX;
	CHECK_ERRNO(send_x(fd, &to), EAFNOSUPPORT);
	to.len = 8;
	CHECK_ERRNO(send_x(fd, &to), EINVAL);
}

TEST(connect_binds_first)
{
	int fd = udp_socket(AF_INET);
	struct addr to = loopback(AF_INET, 9);
	to.sa.sa_family = AF_UNIX;
	CHECK_ERRNO(connect(fd, &to.sa, 1), EINVAL);
	CHECK_EQ(port_of(fd), 0);
	CHECK_ERRNO(connect(fd, &to.sa, to.len), EAFNOSUPPORT);
	CHECK(port_of(fd) != 0);
}

/* --- IPv4 in sockets of AF_INET6 --- */

static void is(struct addr a, const char *text)
{
	char buf[INET6_ADDRSTRLEN];
	CHECK_STR(inet_ntop(AF_INET6, &a.in6.sin6_addr, buf, sizeof(buf)), text);
}

static struct addr peer_of(int fd)
{
	struct addr a = {.len = sizeof(a.ss)};
	CHECK(!getpeername(fd, &a.sa, &a.len));
	return a;
}

TEST(bound_to_ipv4)
{
	struct addr mapped = v6("::ffff:127.0.0.1", 0), six = v6("::1", 9), any = v6("::", 9),
		    four = v6("::ffff:127.0.0.1", 9);
	int fd = udp_socket(AF_INET6);
	CHECK(!bind(fd, &mapped.sa, mapped.len));
	CHECK_ERRNO(send_x(fd, &six), EAFNOSUPPORT);
	CHECK_ERRNO(connect(fd, &six.sa, six.len), EAFNOSUPPORT);
	CHECK_EQ(send_x(fd, &four), 1);
	CHECK_EQ(send_x(fd, &any), 1);
	CHECK(!connect(fd, &any.sa, any.len));
	is(peer_of(fd), "::ffff:127.0.0.1");

	fd = udp_socket(AF_INET6);
	mapped = v6("::ffff:0.0.0.0", 0);
	CHECK(!bind(fd, &mapped.sa, mapped.len));
	CHECK_ERRNO(send_x(fd, &six), EAFNOSUPPORT);
	CHECK_ERRNO(connect(fd, &six.sa, six.len), EAFNOSUPPORT);
	CHECK(!connect(fd, &any.sa, any.len));
	is(peer_of(fd), "::ffff:127.0.0.1");
	is(addr_of(fd), "::ffff:127.0.0.1");
}

TEST(connected_to_ipv4)
{
	struct addr six = v6("::1", 9), four = loopback(AF_INET, 9), none = {.len = 16};
	int fd = udp_socket(AF_INET6);
	CHECK(!connect(fd, &four.sa, four.len));
	is(addr_of(fd), "::ffff:127.0.0.1");
	CHECK_ERRNO(connect(fd, &six.sa, six.len), EAFNOSUPPORT);
	is(peer_of(fd), "::ffff:127.0.0.1");
	none.sa.sa_family = AF_UNSPEC;
	CHECK(!connect(fd, &none.sa, none.len));
	is(addr_of(fd), "::");
	CHECK(!connect(fd, &six.sa, six.len));
	is(addr_of(fd), "::1");
}

TEST(stream_bound_to_ipv4)
{
	struct addr mapped = v6("::ffff:127.0.0.1", 0), six;
	int l = socket(AF_INET6, SOCK_STREAM, 0), fd = socket(AF_INET6, SOCK_STREAM, 0);
	six = v6("::1", 0);
	CHECK(!bind(l, &six.sa, six.len) && !listen(l, 1));
	six = addr_of(l);
	CHECK(!bind(fd, &mapped.sa, mapped.len));
	CHECK_ERRNO(connect(fd, &six.sa, six.len), EAFNOSUPPORT);
}

TEST(bound_to_ipv6)
{
	struct addr six = v6("::1", 0), mapped = v6("::ffff:127.0.0.1", 9),
		    four = loopback(AF_INET, 9);
	int fd = udp_socket(AF_INET6);
	CHECK(!bind(fd, &six.sa, six.len));
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_V6ONLY), 1);
	CHECK_ERRNO(send_x(fd, &mapped), ENETUNREACH);
	CHECK_ERRNO(send_x(fd, &four), ENETUNREACH);
	CHECK_ERRNO(connect(fd, &mapped.sa, mapped.len), ENETUNREACH);
	CHECK_ERRNO(connect(fd, &four.sa, four.len), EAFNOSUPPORT);
}

/* --- raw sockets --- */

TEST(raw_bind_asks_no_family)
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct addr a = loopback(AF_INET, 0);
	a.sa.sa_family = AF_UNIX;
	CHECK(!bind(fd, &a.sa, a.len));
	CHECK_EQ(addr_of(fd).in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_ERRNO(bind(fd, &a.sa, 8), EINVAL);
	a.in.sin_addr.s_addr = htonl(0x01020304);
	CHECK_ERRNO(bind(fd, &a.sa, a.len), EADDRNOTAVAIL);
}

/* The type and code of ICMP are looked at. */
TEST(raw_icmp_too_short)
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
	    fd6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
	    other = socket(AF_INET, SOCK_RAW, 200);
	struct addr to = loopback(AF_INET, 0), to6 = loopback(AF_INET6, 0);
	CHECK_ERRNO(send_x(fd, &to), EFAULT);
	CHECK_ERRNO(sendto(fd, NULL, 0, 0, &to.sa, to.len), EFAULT);
	CHECK_EQ(sendto(fd, "xx", 2, 0, &to.sa, to.len), 2);
	CHECK_ERRNO(send_x(fd6, &to6), EFAULT);
	CHECK_ERRNO(sendto(fd6, "xx", 2, 0, &to6.sa, to6.len), EINVAL);
	CHECK_EQ(send_x(other, &to), 1);
}

/* --- nobody sleeps past what has come --- */

#define ROUNDS 20000

static void *echo(void *arg)
{
	int *fd = arg;
	char c;
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(recv(fd[0], &c, 1, 0), 1);
		CHECK_EQ(send(fd[0], &c, 1, 0), 1);
	}
	return NULL;
}

TEST(no_lost_wakeup)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr na = addr_of(a), nb = addr_of(b);
	pthread_t t;
	char c = 'x';
	CHECK(!connect(a, &nb.sa, nb.len) && !connect(b, &na.sa, na.len));
	CHECK(!pthread_create(&t, NULL, echo, &b));
	for (int i = 0; i < ROUNDS; i++) {
		CHECK_EQ(send(a, &c, 1, 0), 1);
		for (volatile int spin = 0; spin < i % 512; spin++)
			;
		CHECK_EQ(recv(a, &c, 1, 0), 1);
	}
	CHECK(!pthread_join(t, NULL));
}
