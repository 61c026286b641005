/* The error queue: IP_RECVERR, IPV6_RECVERR.  ip(7), ipv6(7). */
#include <time.h>

#include <linux/errqueue.h>
#include <poll.h>

#include "inet.h"

struct err {
	struct sock_extended_err ee;
	struct sockaddr_storage offender;
	char data[100];
	struct addr to;
	int flags;
};

static long next(int fd, struct err *e, int family)
{
	struct iovec iov = {e->data, sizeof(e->data)};
	char control[512];
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
		.msg_name = &e->to.ss,
		.msg_namelen = sizeof(e->to.ss)};
	memset(e, 0, sizeof(*e));
	long r = recvmsg(fd, &m, MSG_ERRQUEUE);
	if (r < 0)
		return r;
	e->flags = m.msg_flags;
	e->to.len = m.msg_namelen;
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c != NULL);
	CHECK_EQ(c->cmsg_level, family == AF_INET ? SOL_IP : SOL_IPV6);
	CHECK_EQ(c->cmsg_type, family == AF_INET ? IP_RECVERR : IPV6_RECVERR);
	CHECK_EQ(c->cmsg_len, CMSG_LEN(family == AF_INET ? 32 : 44));
	memcpy(&e->ee, CMSG_DATA(c), sizeof(e->ee));
	memcpy(&e->offender, CMSG_DATA(c) + sizeof(e->ee), family == AF_INET ? 16 : 28);
	return r;
}

static struct addr nobody(int family)
{
	int fd = udp_bound(family);
	struct addr a = addr_of(fd);
	close(fd);
	return a;
}

static int with_recverr(int family)
{
	int fd = udp_bound(family);
	if (family == AF_INET)
		CHECK(!setint(fd, SOL_IP, IP_RECVERR, 1));
	else
		CHECK(!setint(fd, SOL_IPV6, IPV6_RECVERR, 1));
	return fd;
}

static void refused(int family)
{
	int a = with_recverr(family);
	struct addr to = nobody(family);
	struct err e;
	CHECK_ERRNO(next(a, &e, family), EAGAIN);
	/* Also who is not connected hears of it. */
	CHECK_EQ(sendto(a, "payload", 7, 0, &to.sa, to.len), 7);
	struct pollfd p = {a, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 1000), 1);
	CHECK_EQ(p.revents, POLLERR);
	CHECK_EQ(next(a, &e, family), 7);
	CHECK(!memcmp(e.data, "payload", 7));
	CHECK(e.flags & MSG_ERRQUEUE);
	CHECK_EQ(e.ee.ee_errno, ECONNREFUSED);
	CHECK_EQ(e.ee.ee_origin, family == AF_INET ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
	CHECK_EQ(e.ee.ee_type, family == AF_INET ? 3 : 1);
	CHECK_EQ(e.ee.ee_code, family == AF_INET ? 3 : 4);
	CHECK_EQ(e.ee.ee_info, 0);
	CHECK_EQ(e.ee.ee_data, 0);
	CHECK_EQ(e.to.len, to.len);
	CHECK(!memcmp(&e.to.ss, &to.ss, to.len));
	CHECK_EQ(e.offender.ss_family, family);
	/* With the entry the error is gone. */
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), 0);
	CHECK_ERRNO(next(a, &e, family), EAGAIN);
}

TEST(refused)
{
	refused(AF_INET);
	refused(AF_INET6);
}

TEST(pending_error)
{
	int a = with_recverr(AF_INET);
	struct addr to = nobody(AF_INET);
	struct err e;
	char c;
	CHECK_EQ(sendto(a, "1", 1, 0, &to.sa, to.len), 1);
	CHECK_ERRNO(recv(a, &c, 1, 0), ECONNREFUSED);
	CHECK_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(next(a, &e, AF_INET), 1);
	/* Two: the second's error is pending once the first was taken. */
	CHECK_EQ(sendto(a, "1", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	CHECK_EQ(sendto(a, "22", 2, 0, &to.sa, to.len), 2);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	CHECK_EQ(next(a, &e, AF_INET), 1);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	CHECK_EQ(next(a, &e, AF_INET), 2);
	CHECK_EQ(getint(a, SOL_SOCKET, SO_ERROR), 0);
}

TEST(too_long)
{
	int a = with_recverr(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	static char big[65536];
	struct err e;
	CHECK(!setint(a, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO));
	CHECK_ERRNO(sendto(a, big, 65508, 0, &to.sa, to.len), EMSGSIZE);
	CHECK_EQ(next(a, &e, AF_INET), 0);
	CHECK_EQ(e.ee.ee_errno, EMSGSIZE);
	CHECK_EQ(e.ee.ee_origin, SO_EE_ORIGIN_LOCAL);
	CHECK_EQ(e.ee.ee_info, 65535);
	CHECK_EQ(e.offender.ss_family, 0);
}

TEST(off)
{
	int a = with_recverr(AF_INET);
	struct addr to = nobody(AF_INET);
	struct err e;
	CHECK_EQ(sendto(a, "1", 1, 0, &to.sa, to.len), 1);
	CHECK(!setint(a, SOL_IP, IP_RECVERR, 0));
	CHECK_ERRNO(next(a, &e, AF_INET), EAGAIN);
}

TEST(cut)
{
	int a = with_recverr(AF_INET);
	struct addr to = nobody(AF_INET);
	char buf[3], control[100];
	struct iovec iov = {buf, 3};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	CHECK_EQ(sendto(a, "longer", 6, 0, &to.sa, to.len), 6);
	CHECK_EQ(recvmsg(a, &m, MSG_ERRQUEUE), 3);
	CHECK_EQ(m.msg_flags, MSG_ERRQUEUE | MSG_TRUNC);
}

TEST(bounded)
{
	int a = with_recverr(AF_INET);
	struct addr to = nobody(AF_INET);
	struct err e;
	int n = 0;
	CHECK(!setint(a, SOL_SOCKET, SO_RCVBUF, 4096));
	for (int i = 0; i < 200; i++)
		sendto(a, "x", 1, 0, &to.sa, to.len);
	while (next(a, &e, AF_INET) >= 0)
		n++;
	CHECK(n > 0 && n < 50);
}

/* --- RFC 4884 --- */

static uint16_t sum(const uint8_t *b, size_t n)
{
	uint32_t s = 0;
	for (size_t i = 0; i + 1 < n; i += 2)
		s += (uint32_t)b[i] << 8 | b[i + 1];
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

/* "Host unreachable" about a datagram of fd to port 9, quoted up to n bytes, with these extensions
 * behind it. */
static void unreachable(int raw, int fd, uint8_t words, uint32_t n, const uint8_t *ext,
	uint32_t len)
{
	uint8_t b[400] = {3, 1, [5] = words};
	uint8_t *ip = b + 8, *udp = ip + 20;
	struct addr to = loopback(AF_INET, 0);
	int port = port_of(fd);
	ip[0] = 0x45;
	ip[3] = 100;
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	ip[12] = ip[16] = 127;
	ip[15] = ip[19] = 1;
	udp[0] = (uint8_t)(port >> 8);
	udp[1] = (uint8_t)port;
	udp[3] = 9;
	udp[5] = 80;
	memcpy(b + 8 + n, ext, len);
	uint16_t c = sum(b, 8 + n + len);
	b[2] = (uint8_t)(c >> 8);
	b[3] = (uint8_t)c;
	CHECK_EQ(sendto(raw, b, 8 + n + len, 0, &to.sa, to.len), 8 + n + len);
}

static void extensions(int raw, int fd, uint8_t words, uint32_t n, const uint8_t *ext, uint32_t len,
	int want_len, int want_flags)
{
	struct pollfd p = {.fd = fd};
	struct err e;
	unreachable(raw, fd, words, n, ext, len);
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK(next(fd, &e, AF_INET) >= 0);
	CHECK_EQ(e.ee.ee_errno, EHOSTUNREACH);
	CHECK_EQ(e.ee.ee_data & 0xffff, want_len); /* struct sock_ee_data_rfc4884 */
	CHECK_EQ(e.ee.ee_data >> 16 & 0xff, want_flags);
}

TEST(extensions)
{
	int fd = with_recverr(AF_INET), raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct addr to = loopback(AF_INET, 9);
	uint8_t ok[12] = {0x20, 0, 0, 0, 0, 8, 1, 1}, bad[12] = {0x20, 0, 0, 0, 0, 20, 1, 1};
	CHECK(raw >= 0);
	CHECK_OK(connect(fd, &to.sa, to.len));
	extensions(raw, fd, 32, 128, ok, sizeof(ok), 0, 0); /* nobody asked */
	CHECK_OK(setint(fd, SOL_IP, 26 /* IP_RECVERR_RFC4884 */, 1));
	extensions(raw, fd, 32, 128, ok, sizeof(ok), 100, 0);
	extensions(raw, fd, 33, 132, ok, sizeof(ok), 104, 0);
	extensions(raw, fd, 32, 128, bad, sizeof(bad), 100, 1); /* longer than there is */
	bad[5] = 3;
	extensions(raw, fd, 32, 128, bad, sizeof(bad), 100, 1); /* shorter than its header */
	bad[5] = 8;
	bad[2] = 1;
	extensions(raw, fd, 32, 128, bad, sizeof(bad), 100, 1); /* a wrong checksum */
	uint16_t c = sum(ok, sizeof(ok));
	ok[2] = (uint8_t)(c >> 8);
	ok[3] = (uint8_t)c;
	extensions(raw, fd, 32, 128, ok, sizeof(ok), 100, 0);
	ok[0] = 0x10; /* another version */
	extensions(raw, fd, 32, 128, ok, sizeof(ok), 100, 0);
	extensions(raw, fd, 16, 64, ok, sizeof(ok), 0, 0); /* less than 128 bytes are quoted */
	extensions(raw, fd, 0, 128, ok, sizeof(ok), 0, 0);
	extensions(raw, fd, 35, 128, ok, sizeof(ok), 0, 0); /* beyond the end */
	close(fd);
}

/* --- sockets without ports --- */

static void raw_name(int family)
{
	/* A UDP header for somebody who is not there. */
	unsigned char h[8] = {0x11, 0x11, 0, 9, 0, 8, 0, 0};
	int fd = socket(family, SOCK_RAW, IPPROTO_UDP);
	struct addr to = loopback(family, 0);
	struct err e;
	CHECK(fd >= 0);
	if (family == AF_INET)
		CHECK(!setint(fd, SOL_IP, IP_RECVERR, 1));
	else
		CHECK(!setint(fd, SOL_IPV6, IPV6_RECVERR, 1) &&
			!setint(fd, SOL_IPV6, IPV6_CHECKSUM, 6));
	CHECK_EQ(sendto(fd, h, sizeof(h), 0, &to.sa, to.len), sizeof(h));
	struct pollfd p = {.fd = fd};
	CHECK_EQ(poll(&p, 1, -1), 1);
	CHECK_EQ(next(fd, &e, family), 8);
	CHECK_EQ(e.ee.ee_errno, ECONNREFUSED);
	CHECK_EQ(e.to.len, to.len); /* told, though the port is 0 */
	CHECK_EQ(e.to.sa.sa_family, family);
	CHECK_EQ(e.to.in.sin_port, 0);
	if (family == AF_INET)
		CHECK_EQ(e.to.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
	else
		CHECK(IN6_IS_ADDR_LOOPBACK(&e.to.in6.sin6_addr));
}

TEST(raw_names)
{
	raw_name(AF_INET);
	raw_name(AF_INET6);
}

/* Of what is too long: IPv4 tells the peer's port, IPv6 that of the datagram. */
TEST(local_names)
{
	static char big[65536];
	int fd = with_recverr(AF_INET), fd6 = with_recverr(AF_INET6);
	struct addr to = loopback(AF_INET, 9), to6 = loopback(AF_INET6, 9);
	struct err e;
	CHECK_ERRNO(sendto(fd, big, 65508, 0, &to.sa, to.len), EMSGSIZE);
	CHECK_EQ(next(fd, &e, AF_INET), 0);
	CHECK_EQ(e.to.len, to.len);
	CHECK_EQ(e.to.in.sin_port, 0);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK_ERRNO(send(fd, big, 65508, 0), EMSGSIZE);
	CHECK_EQ(next(fd, &e, AF_INET), 0);
	CHECK_EQ(e.to.in.sin_port, htons(9));
	CHECK_ERRNO(sendto(fd6, big, 65530, 0, &to6.sa, to6.len), EMSGSIZE);
	CHECK_EQ(next(fd6, &e, AF_INET6), 0);
	CHECK_EQ(e.to.in6.sin6_port, htons(9));
}
