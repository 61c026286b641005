/* Datagrams over the loopback link, both families: udp(7), ip(7), ipv6(7). */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "inet.h"

/* --- sending and receiving --- */

static void pair_both(int family)
{
	int a = udp_bound(family), b = udp_bound(family);
	struct addr to = addr_of(b), from;
	char buf[100];
	CHECK_EQ(sendto(a, "hello", 5, 0, &to.sa, to.len), 5);
	from.len = sizeof(from.ss);
	CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, &from.sa, &from.len), 5);
	CHECK(!memcmp(buf, "hello", 5));
	struct addr me = addr_of(a);
	CHECK_EQ(from.len, me.len);
	CHECK(!memcmp(&from.ss, &me.ss, me.len));
	/* An empty one is one. */
	CHECK_EQ(sendto(a, NULL, 0, 0, &to.sa, to.len), 0);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 0);
}

TEST(send_receive)
{
	pair_both(AF_INET);
	pair_both(AF_INET6);
}

TEST(sizes)
{
	static char out[65536], in[65536];
	static const int n[] = {1, 100, 176, 177, 1024, 1025, 1472, 1473, 4096, 9000, 32768, 65507};
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i * 7 + i / 251);
	for (int f = 0; f < 2; f++) {
		int family = f ? AF_INET6 : AF_INET;
		int a = udp_bound(family), b = udp_bound(family);
		struct addr to = addr_of(b);
		for (size_t i = 0; i < sizeof(n) / sizeof(*n); i++) {
			memset(in, 0, sizeof(in));
			CHECK_EQ(sendto(a, out, (size_t)n[i], 0, &to.sa, to.len), n[i]);
			CHECK_EQ(recv(b, in, sizeof(in), 0), n[i]);
			CHECK(!memcmp(in, out, (size_t)n[i]));
		}
		CHECK_ERRNO(sendto(a, out, 65536, 0, &to.sa, to.len), EMSGSIZE);
		if (family == AF_INET)
			CHECK_ERRNO(sendto(a, out, 65508, 0, &to.sa, to.len), EMSGSIZE);
	}
}

TEST(ipv6_longest)
{
	static char out[65536], in[65536];
	int a = udp_bound(AF_INET6), b = udp_bound(AF_INET6), big = 1 << 20;
	struct addr to = addr_of(b);
	memset(out, 'x', sizeof(out));
	CHECK(!setsockopt(b, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big)));
	CHECK_EQ(sendto(a, out, 65527, 0, &to.sa, to.len), 65527);
	CHECK_EQ(recv(b, in, sizeof(in), 0), 65527);
	CHECK_ERRNO(sendto(a, out, 65528, 0, &to.sa, to.len), EMSGSIZE);
}

TEST(truncation)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	char buf[10];
	struct iovec iov = {buf, 4};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	CHECK_EQ(sendto(a, "0123456789", 10, 0, &to.sa, to.len), 10);
	CHECK_EQ(sendto(a, "0123456789", 10, 0, &to.sa, to.len), 10);
	CHECK_EQ(sendto(a, "0123456789", 10, 0, &to.sa, to.len), 10);
	CHECK_EQ(sendto(a, "0123", 4, 0, &to.sa, to.len), 4);
	CHECK_EQ(recvmsg(b, &m, 0), 4);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_EQ(recvmsg(b, &m, MSG_TRUNC), 10);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_EQ(recv(b, NULL, 0, MSG_TRUNC), 10);
	CHECK_EQ(recvmsg(b, &m, 0), 4);
	CHECK_EQ(m.msg_flags, 0);
	CHECK_ERRNO(recv(b, buf, 4, MSG_DONTWAIT), EAGAIN);
}

TEST(peek)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	char buf[16] = "";
	CHECK_EQ(sendto(a, "first", 5, 0, &to.sa, to.len), 5);
	CHECK_EQ(sendto(a, "second", 6, 0, &to.sa, to.len), 6);
	CHECK_EQ(recv(b, buf, sizeof(buf), MSG_PEEK), 5);
	CHECK_EQ(recv(b, buf, sizeof(buf), MSG_PEEK), 5);
	CHECK_EQ(recv(b, buf, 2, MSG_PEEK | MSG_TRUNC), 5);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 5);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 6);
	CHECK(!memcmp(buf, "second", 6));
}

TEST(peek_off)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), off = 2;
	struct addr to = addr_of(b);
	char buf[16];
	CHECK(!setsockopt(b, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	CHECK_EQ(sendto(a, "abcdef", 6, 0, &to.sa, to.len), 6);
	CHECK_EQ(sendto(a, "ghij", 4, 0, &to.sa, to.len), 4);
	CHECK_EQ(recv(b, buf, 2, MSG_PEEK), 2);
	CHECK(!memcmp(buf, "cd", 2));
	CHECK_EQ(getint(b, SOL_SOCKET, SO_PEEK_OFF), 4);
	CHECK_EQ(recv(b, buf, 10, MSG_PEEK), 2);
	CHECK(!memcmp(buf, "ef", 2));
	CHECK_EQ(recv(b, buf, 10, MSG_PEEK), 4);
	CHECK(!memcmp(buf, "ghij", 4));
	CHECK_EQ(recv(b, buf, 10, 0), 6);
	CHECK_EQ(getint(b, SOL_SOCKET, SO_PEEK_OFF), 4);
}

TEST(no_destination)
{
	int a = udp_socket(AF_INET), a6 = udp_socket(AF_INET6);
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(send(a6, "x", 1, 0), EDESTADDRREQ);
	CHECK_ERRNO(write(a, "x", 1), EDESTADDRREQ);
	CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&sin, sizeof(sin)), EINVAL); /* port 0 */
	sin.sin_port = htons(9);
	CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&sin, 15), EINVAL);
	sin.sin_family = 77;
	CHECK_ERRNO(sendto(a, "x", 1, 0, (void *)&sin, sizeof(sin)), EAFNOSUPPORT);
	CHECK_ERRNO(sendto(a6, "x", 1, 0, (void *)&sin, sizeof(sin)), EINVAL);
	sin.sin_family = AF_INET;
	CHECK_ERRNO(sendto(a, "x", 1, MSG_OOB, (void *)&sin, sizeof(sin)), EOPNOTSUPP);
	/* It has a port since its first try. */
	CHECK(port_of(a) != 0);
}

TEST(this_host)
{
	/* 0.0.0.0 and :: are this host. */
	int a = udp_socket(AF_INET), b = udp_bound(AF_INET), b6 = udp_bound(AF_INET6);
	int a6 = udp_socket(AF_INET6);
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port_of(b))};
	struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6, .sin6_port = htons(port_of(b6))};
	char c;
	CHECK_EQ(sendto(a, "x", 1, 0, (void *)&sin, sizeof(sin)), 1);
	CHECK_EQ(recv(b, &c, 1, 0), 1);
	CHECK_EQ(sendto(a6, "x", 1, 0, (void *)&sin6, sizeof(sin6)), 1);
	CHECK_EQ(recv(b6, &c, 1, 0), 1);
}

/* --- connected --- */

static void connected(int family)
{
	int a = udp_bound_to(family, 7101), b = udp_bound(family), other = udp_bound(family);
	struct addr bb = addr_of(b), aa = addr_of(a), peer;
	char buf[16];
	peer.len = sizeof(peer.ss);
	CHECK_ERRNO(getpeername(a, &peer.sa, &peer.len), ENOTCONN);
	CHECK(!connect(a, &bb.sa, bb.len));
	peer.len = sizeof(peer.ss);
	CHECK(!getpeername(a, &peer.sa, &peer.len));
	CHECK(!memcmp(&peer.ss, &bb.ss, bb.len));
	CHECK_EQ(send(a, "to b", 4, 0), 4);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 4);
	/* Others are not heard. */
	CHECK_EQ(sendto(other, "other", 5, 0, &aa.sa, aa.len), 5);
	CHECK_ERRNO(recv(a, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(sendto(b, "from b", 6, 0, &aa.sa, aa.len), 6);
	CHECK_EQ(recv(a, buf, sizeof(buf), 0), 6);
	/* A name given wins for that one. */
	struct addr oo = addr_of(other);
	CHECK_EQ(sendto(a, "x", 1, 0, &oo.sa, oo.len), 1);
	CHECK_EQ(recv(other, buf, sizeof(buf), 0), 6 - 5);
	/* To somebody else, and to nobody. */
	CHECK(!connect(a, &oo.sa, oo.len));
	CHECK_EQ(send(a, "yy", 2, 0), 2);
	CHECK_EQ(recv(other, buf, sizeof(buf), 0), 2);
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	CHECK(!connect(a, &un, sizeof(un)));
	CHECK_ERRNO(getpeername(a, &peer.sa, &peer.len), ENOTCONN);
	CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
	CHECK_EQ(sendto(other, "again", 5, 0, &aa.sa, aa.len), 5);
	CHECK_EQ(recv(a, buf, sizeof(buf), 0), 5);
}

TEST(connected)
{
	connected(AF_INET);
	connected(AF_INET6);
}

TEST(connect_chooses_names)
{
	int b = udp_bound(AF_INET), a = udp_socket(AF_INET);
	struct addr to = addr_of(b), me;
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	CHECK(!connect(a, &to.sa, to.len));
	me = addr_of(a);
	CHECK_EQ(me.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK(me.in.sin_port != 0);
	CHECK(!connect(a, &un, sizeof(un)));
	me = addr_of(a);
	CHECK_EQ(me.in.sin_addr.s_addr, 0);
	CHECK_EQ(me.in.sin_port, 0);
	/* What bind said stays. */
	int c = udp_bound_to(AF_INET, 7102);
	struct addr was = addr_of(c);
	CHECK(!connect(c, &to.sa, to.len));
	CHECK(!connect(c, &un, sizeof(un)));
	me = addr_of(c);
	CHECK(!memcmp(&me.in, &was.in, sizeof(me.in)));
	/* A port that bind chose goes, the address stays. */
	int d = udp_bound(AF_INET);
	CHECK(!connect(d, &to.sa, to.len));
	CHECK(!connect(d, &un, sizeof(un)));
	me = addr_of(d);
	CHECK_EQ(me.in.sin_port, 0);
	CHECK_EQ(me.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

TEST(connect_errors)
{
	int a = udp_socket(AF_INET), a6 = udp_socket(AF_INET6), one = 1;
	struct sockaddr_in sin = {.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 map = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	CHECK_ERRNO(connect(a, (void *)&sin, 1), EINVAL);
	CHECK_ERRNO(connect(a, (void *)&sin, 15), EINVAL);
	sin.sin_family = 77;
	CHECK_ERRNO(connect(a, (void *)&sin, sizeof(sin)), EAFNOSUPPORT);
	CHECK_ERRNO(connect(a6, (void *)&sin, sizeof(sin)), EINVAL);
	sin.sin_family = AF_INET;
	/* An IPv6 socket takes an IPv4 name as well, unless it is v6only. */
	CHECK(!connect(a6, (void *)&sin, sizeof(sin)));
	int only = udp_socket(AF_INET6);
	CHECK(!setsockopt(only, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	CHECK_ERRNO(connect(only, (void *)&sin, sizeof(sin)), EAFNOSUPPORT);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &map.sin6_addr);
	CHECK_ERRNO(connect(only, (void *)&map, sizeof(map)), ENETUNREACH);
	/* A broadcast wants permission. */
	sin.sin_addr.s_addr = htonl(INADDR_BROADCAST);
	CHECK_ERRNO(connect(udp_socket(AF_INET), (void *)&sin, sizeof(sin)), ENETUNREACH);
	sin.sin_addr.s_addr = htonl(0x7fffffff);
	CHECK_ERRNO(connect(udp_socket(AF_INET), (void *)&sin, sizeof(sin)), EACCES);
	int c = udp_socket(AF_INET);
	CHECK(!setint(c, SOL_SOCKET, SO_BROADCAST, 1));
	CHECK(!connect(c, (void *)&sin, sizeof(sin)));
}

TEST(refused)
{
	int gone = udp_bound(AF_INET);
	struct addr to = addr_of(gone);
	close(gone);
	int a = udp_bound(AF_INET);
	char c;
	CHECK(!connect(a, &to.sa, to.len));
	CHECK_EQ(send(a, "x", 1, 0), 1);
	struct pollfd p = {a, POLLIN | POLLOUT, 0};
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK(p.revents & POLLERR);
	CHECK_ERRNO(send(a, "x", 1, 0), ECONNREFUSED);
	CHECK_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(a, "x", 1, 0), 1);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), 0);
	CHECK_EQ(send(a, "x", 1, 0), 1);
	CHECK_ERRNO(recv(a, &c, 1, 0), ECONNREFUSED);
	/* Who is not connected is not told. */
	int b = udp_bound(AF_INET);
	CHECK_EQ(sendto(b, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(getint(b, SOL_SOCKET, SO_ERROR), 0);
}

TEST(refused6)
{
	int gone = udp_bound(AF_INET6);
	struct addr to = addr_of(gone);
	close(gone);
	int a = udp_bound(AF_INET6);
	CHECK(!connect(a, &to.sa, to.len));
	CHECK_EQ(send(a, "x", 1, 0), 1);
	CHECK_ERRNO(send(a, "x", 1, 0), ECONNREFUSED);
}

/* --- dual stack --- */

TEST(mapped)
{
	int six = udp_socket(AF_INET6), four = udp_bound(AF_INET);
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	CHECK(!bind(six, (void *)&any, sizeof(any)));
	struct addr f = addr_of(four), from;
	struct sockaddr_in to = {.sin_family = AF_INET,
		.sin_port = htons(port_of(six)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char buf[8];
	CHECK_EQ(sendto(four, "4to6", 4, 0, (void *)&to, sizeof(to)), 4);
	from.len = sizeof(from.ss);
	CHECK_EQ(recvfrom(six, buf, 8, 0, &from.sa, &from.len), 4);
	CHECK_EQ(from.len, sizeof(struct sockaddr_in6));
	CHECK(IN6_IS_ADDR_V4MAPPED(&from.in6.sin6_addr));
	CHECK_EQ(from.in6.sin6_port, f.in.sin_port);
	CHECK_EQ(sendto(six, "back", 4, 0, &from.sa, from.len), 4);
	CHECK_EQ(recv(four, buf, 8, 0), 4);
	CHECK_EQ(sendto(six, "by4", 3, 0, &f.sa, f.len), 3);
	CHECK_EQ(recv(four, buf, 8, 0), 3);
}

TEST(v6only)
{
	int six = udp_socket(AF_INET6), four = udp_socket(AF_INET), one = 1;
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6};
	CHECK(!setsockopt(six, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)));
	CHECK(!bind(six, (void *)&any6, sizeof(any6)));
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port_of(six))};
	CHECK(!bind(four, (void *)&any, sizeof(any)));
	CHECK_ERRNO(setsockopt(six, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)), EINVAL);
	struct sockaddr_in to = any;
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	char c;
	CHECK_EQ(sendto(four, "x", 1, 0, (void *)&to, sizeof(to)), 1);
	CHECK_EQ(recv(four, &c, 1, MSG_DONTWAIT), 1);
	CHECK_ERRNO(recv(six, &c, 1, MSG_DONTWAIT), EAGAIN);
}

/* --- waiting --- */

static void *send_soon(void *arg)
{
	struct addr *to = arg;
	int a = udp_socket(to->ss.ss_family);
	usleep(50000);
	sendto(a, "late", 4, 0, &to->sa, to->len);
	close(a);
	return NULL;
}

TEST(blocking_receive)
{
	int b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	pthread_t t;
	char buf[8];
	CHECK(!pthread_create(&t, NULL, send_soon, &to));
	CHECK_EQ(recv(b, buf, 8, 0), 4);
	pthread_join(t, NULL);
	CHECK(!pthread_create(&t, NULL, send_soon, &to));
	struct pollfd p = {b, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK_EQ(p.revents, POLLIN);
	CHECK_EQ(recv(b, buf, 8, MSG_DONTWAIT), 4);
	pthread_join(t, NULL);
}

TEST(receive_timeout)
{
	int b = udp_bound(AF_INET);
	struct timeval tv = {0, 50000};
	char c;
	CHECK(!setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	CHECK_ERRNO(recv(b, &c, 1, 0), EAGAIN);
	CHECK(!fcntl(b, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(recv(b, &c, 1, 0), EAGAIN);
}

TEST(epoll_edges)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), e = epoll_create1(0);
	struct addr to = addr_of(b);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET}, got;
	CHECK(!epoll_ctl(e, EPOLL_CTL_ADD, b, &ev));
	CHECK_EQ(epoll_wait(e, &got, 1, 0), 0);
	/* Each datagram is an edge. */
	CHECK_EQ(sendto(a, "1", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(epoll_wait(e, &got, 1, 1000), 1);
	CHECK_EQ(epoll_wait(e, &got, 1, 0), 0);
	CHECK_EQ(sendto(a, "2", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(epoll_wait(e, &got, 1, 1000), 1);
}

TEST(shutdown)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	char c;
	CHECK_ERRNO(shutdown(a, SHUT_RD), ENOTCONN);
	CHECK_EQ(recv(a, &c, 1, 0), 0); /* but it is done all the same */
	int d = udp_bound(AF_INET);
	CHECK(!connect(d, &to.sa, to.len));
	CHECK(!shutdown(d, SHUT_WR));
	CHECK_ERRNO(send(d, "x", 1, 0), EPIPE);
	CHECK(!shutdown(d, SHUT_RD));
	CHECK_EQ(recv(d, &c, 1, 0), 0);
	CHECK_ERRNO(recv(d, &c, 1, MSG_DONTWAIT), EAGAIN);
	struct pollfd p = {d, POLLIN | POLLRDHUP, 0};
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLRDHUP | POLLHUP);
}

TEST(not_for_datagrams)
{
	int a = udp_bound(AF_INET);
	CHECK_ERRNO(listen(a, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(a, NULL, NULL), EOPNOTSUPP);
}

/* --- what is queued --- */

TEST(fionread)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), n = -1;
	struct addr to = addr_of(b);
	CHECK(!ioctl(b, FIONREAD, &n));
	CHECK_EQ(n, 0);
	CHECK_EQ(sendto(a, "12345", 5, 0, &to.sa, to.len), 5);
	CHECK_EQ(sendto(a, "123", 3, 0, &to.sa, to.len), 3);
	CHECK(!ioctl(b, FIONREAD, &n));
	CHECK_EQ(n, 5);
	CHECK(!ioctl(a, TIOCOUTQ, &n));
	CHECK_EQ(n, 0);
}

TEST(receive_buffer)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), small = 1, got = 0;
	struct addr to = addr_of(b);
	char buf[1000];
	CHECK(!setsockopt(b, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)));
	CHECK_EQ(getint(b, SOL_SOCKET, SO_RCVBUF), 2304);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(sendto(a, buf, sizeof(buf), 0, &to.sa, to.len), 1000);
	while (recv(b, buf, sizeof(buf), MSG_DONTWAIT) == 1000)
		got++;
	CHECK(got >= 1 && got <= 3);
	/* It takes one whatever its size is. */
	static char large[60000];
	CHECK_EQ(sendto(a, large, sizeof(large), 0, &to.sa, to.len), 60000);
	CHECK_EQ(recv(b, large, sizeof(large), MSG_DONTWAIT), 60000);
}

TEST(to_itself)
{
	int a = udp_bound(AF_INET);
	struct addr me = addr_of(a);
	char c;
	CHECK(!connect(a, &me.sa, me.len));
	CHECK_EQ(send(a, "x", 1, 0), 1);
	CHECK_EQ(recv(a, &c, 1, 0), 1);
}

TEST(faults)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	CHECK_ERRNO(sendto(a, (void *)8, 10, 0, &to.sa, to.len), EFAULT);
	CHECK_EQ(sendto(a, "abc", 3, 0, &to.sa, to.len), 3);
	CHECK_ERRNO(recv(b, (void *)8, 10, 0), EFAULT);
	CHECK_ERRNO(recv(b, (void *)8, 10, MSG_DONTWAIT), EAGAIN); /* it is gone */
}

/* --- many threads --- */

#define FLOOD 2000
static void *flood(void *arg)
{
	struct addr *to = arg;
	int a = udp_socket(AF_INET);
	CHECK(!connect(a, &to->sa, to->len));
	for (int i = 0; i < FLOOD; i++)
		CHECK_EQ(send(a, &i, sizeof(i), 0), sizeof(i));
	return NULL;
}

TEST(threads)
{
	int b = udp_bound(AF_INET), big = 1 << 24, v, n = 0;
	struct addr to = addr_of(b);
	pthread_t t[4];
	setsockopt(b, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, flood, &to));
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	while (recv(b, &v, sizeof(v), MSG_DONTWAIT) == sizeof(v))
		n++;
	CHECK_EQ(n, 4 * FLOOD);
}
