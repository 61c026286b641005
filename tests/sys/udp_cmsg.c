/*
 * Control messages with datagrams, both ways, and what they do: ip(7), ipv6(7), udp(7), RFC 3542,
 * Documentation/networking/timestamping.rst.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#include <linux/sockios.h>

#include "inet.h"

struct msg {
	struct msghdr h;
	struct iovec iov;
	char data[4096];
	union {
		char control[1024];
		struct cmsghdr align;
	};
	struct addr from;
};

static void init(struct msg *m)
{
	memset(m, 0, sizeof(*m));
	m->iov = (struct iovec){m->data, sizeof(m->data)};
	m->h.msg_iov = &m->iov;
	m->h.msg_iovlen = 1;
	m->h.msg_control = m->control;
	m->h.msg_controllen = sizeof(m->control);
	m->h.msg_name = &m->from.ss;
	m->h.msg_namelen = sizeof(m->from.ss);
}

static long get(int fd, struct msg *m, int flags)
{
	init(m);
	return recvmsg(fd, &m->h, flags);
}

/* The one of that kind, of n bytes; NULL: there is none. */
static void *find(struct msg *m, int level, int type, size_t n)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m->h); c; c = CMSG_NXTHDR(&m->h, c))
		if (c->cmsg_level == level && c->cmsg_type == type) {
			if (c->cmsg_len != CMSG_LEN(n))
				test_fail("cmsg %d %d is of %zu bytes", level, type,
					(size_t)c->cmsg_len);
			return CMSG_DATA(c);
		}
	return NULL;
}

static int find_int(struct msg *m, int level, int type)
{
	int *v = find(m, level, type, sizeof(int));
	if (!v)
		test_fail("there is no cmsg %d %d", level, type);
	return *v;
}

static void add(struct msg *m, int level, int type, const void *data, size_t n)
{
	size_t at = m->h.msg_controllen == sizeof(m->control) ? 0 : m->h.msg_controllen;
	struct cmsghdr *c = (void *)(m->control + at);
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), data, n);
	m->h.msg_controllen = at + CMSG_SPACE(n);
}

/* A message of "x" with one cmsg. */
static long send_with(int fd, struct addr *to, int level, int type, const void *data, size_t n)
{
	struct msg m;
	init(&m);
	m.iov.iov_len = 1;
	m.h.msg_name = to ? &to->ss : NULL;
	m.h.msg_namelen = to ? to->len : 0;
	add(&m, level, type, data, n);
	return sendmsg(fd, &m.h, 0);
}

/* --- what is told --- */

TEST(ipv4)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	struct msg m;
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(m.h.msg_controllen, 0);
	CHECK(!setint(b, SOL_IP, IP_PKTINFO, 1));
	CHECK(!setint(b, SOL_IP, IP_RECVTTL, 1));
	CHECK(!setint(b, SOL_IP, IP_RECVTOS, 1));
	CHECK(!setint(b, SOL_IP, IP_RECVORIGDSTADDR, 1));
	CHECK(!setint(a, SOL_IP, IP_TTL, 33));
	CHECK(!setint(a, SOL_IP, IP_TOS, 0x28));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	struct in_pktinfo *pi = find(&m, SOL_IP, IP_PKTINFO, sizeof(*pi));
	CHECK(pi != NULL);
	CHECK_EQ(pi->ipi_ifindex, 1);
	CHECK_EQ(pi->ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(pi->ipi_spec_dst.s_addr, htonl(INADDR_LOOPBACK));
	CHECK_EQ(find_int(&m, SOL_IP, IP_TTL), 33);
	unsigned char *tos = find(&m, SOL_IP, IP_TOS, 1);
	CHECK(tos && *tos == 0x28);
	struct sockaddr_in *od = find(&m, SOL_IP, IP_ORIGDSTADDR, sizeof(*od));
	CHECK(od && od->sin_port == to.in.sin_port && od->sin_family == AF_INET);
	/* In this order. */
	CHECK_EQ(CMSG_FIRSTHDR(&m.h)->cmsg_type, IP_PKTINFO);
}

TEST(ipv6)
{
	int a = udp_bound(AF_INET6), b = udp_bound(AF_INET6);
	struct addr to = addr_of(b);
	struct msg m;
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVPKTINFO, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVHOPLIMIT, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVTCLASS, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1));
	CHECK(!setint(a, SOL_IPV6, IPV6_UNICAST_HOPS, 44));
	CHECK(!setint(a, SOL_IPV6, IPV6_TCLASS, 0x50));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	struct in6_pktinfo *pi = find(&m, SOL_IPV6, IPV6_PKTINFO, sizeof(*pi));
	CHECK(pi && pi->ipi6_ifindex == 1);
	CHECK(IN6_IS_ADDR_LOOPBACK(&pi->ipi6_addr));
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_HOPLIMIT), 44);
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_TCLASS), 0x50);
	struct sockaddr_in6 *od = find(&m, SOL_IPV6, IPV6_ORIGDSTADDR, sizeof(*od));
	CHECK(od && od->sin6_port == to.in6.sin6_port);
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVPKTINFO, 0));
	CHECK(!setint(b, SOL_IPV6, IPV6_2292PKTINFO, 1));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK(find(&m, SOL_IPV6, IPV6_2292PKTINFO, sizeof(*pi)) != NULL);
}

TEST(mapped)
{
	int a = udp_bound(AF_INET), b = udp_socket(AF_INET6);
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	struct msg m;
	CHECK(!bind(b, (void *)&any, sizeof(any)));
	struct addr to = loopback(AF_INET, port_of(b));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVPKTINFO, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVHOPLIMIT, 1));
	CHECK(!setint(b, SOL_IP, IP_RECVTTL, 1));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	struct in6_pktinfo *pi = find(&m, SOL_IPV6, IPV6_PKTINFO, sizeof(*pi));
	CHECK(pi && IN6_IS_ADDR_V4MAPPED(&pi->ipi6_addr));
	CHECK(!find(&m, SOL_IPV6, IPV6_HOPLIMIT, 4));
	CHECK_EQ(find_int(&m, SOL_IP, IP_TTL), 64);
}

TEST(too_little_room)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	struct msg m;
	CHECK(!setint(b, SOL_IP, IP_RECVTTL, 1));
	for (int i = 0; i < 3; i++)
		CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	init(&m);
	m.h.msg_controllen = 8;
	CHECK_EQ(recvmsg(b, &m.h, 0), 1);
	CHECK_EQ(m.h.msg_flags, MSG_CTRUNC);
	CHECK_EQ(m.h.msg_controllen, 0);
	init(&m);
	m.h.msg_controllen = CMSG_LEN(2);
	CHECK_EQ(recvmsg(b, &m.h, 0), 1);
	CHECK_EQ(m.h.msg_flags, MSG_CTRUNC);
	CHECK_EQ(m.h.msg_controllen, CMSG_LEN(2));
	init(&m);
	m.h.msg_control = NULL;
	CHECK_EQ(recvmsg(b, &m.h, 0), 1);
	CHECK_EQ(m.h.msg_flags, MSG_CTRUNC);
}

/* --- stamps --- */

static double age(long sec, long usec)
{
	struct timeval now;
	gettimeofday(&now, NULL);
	return (double)(now.tv_sec - sec) + (double)(now.tv_usec - usec) / 1e6;
}

TEST(timestamp)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	struct timeval tv;
	struct msg m;
	CHECK_ERRNO(ioctl(b, SIOCGSTAMP, &tv), ENOENT);
	CHECK(!setint(b, SOL_SOCKET, SO_TIMESTAMP, 1));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	struct timeval *t = find(&m, SOL_SOCKET, SCM_TIMESTAMP, sizeof(*t));
	CHECK(t && age(t->tv_sec, t->tv_usec) >= 0 && age(t->tv_sec, t->tv_usec) < 10);
	CHECK(!setint(b, SOL_SOCKET, SO_TIMESTAMPNS, 1));
	CHECK_EQ(getint(b, SOL_SOCKET, SO_TIMESTAMP), 0);
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	struct timespec *n = find(&m, SOL_SOCKET, SCM_TIMESTAMPNS, sizeof(*n));
	CHECK(n && age(n->tv_sec, n->tv_nsec / 1000) < 10);
	CHECK(!find(&m, SOL_SOCKET, SCM_TIMESTAMP, 16));
	/* The new one is another cmsg. */
	CHECK(!setint(b, SOL_SOCKET, 63 /* SO_TIMESTAMP_NEW */, 1));
	CHECK_EQ(getint(b, SOL_SOCKET, SO_TIMESTAMP), 0);
	CHECK_EQ(getint(b, SOL_SOCKET, 63), 1);
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK(find(&m, SOL_SOCKET, 63, 16) != NULL);
}

TEST(timestamping_receive)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	struct msg m;
	CHECK(!setint(b, SOL_SOCKET, SO_TIMESTAMPING,
		SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
	struct scm_timestamping *t = NULL;
	/* Linux begins to stamp a little after the first socket that wants it: in a work queue. */
	for (int i = 0; i < 1000 && !t; i++) {
		CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
		CHECK_EQ(get(b, &m, 0), 1);
		t = find(&m, SOL_SOCKET, SCM_TIMESTAMPING, sizeof(*t));
		if (!t)
			usleep(1000);
	}
	CHECK(t && t->ts[0].tv_sec && !t->ts[1].tv_sec && !t->ts[2].tv_sec);
}

static struct sock_extended_err *tx_stamp(int fd, struct msg *m, int family)
{
	struct pollfd p = {fd, 0, 0};
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK(p.revents & POLLERR);
	CHECK(get(fd, m, MSG_ERRQUEUE) >= 0);
	CHECK(m->h.msg_flags & MSG_ERRQUEUE);
	struct scm_timestamping *t = find(m, SOL_SOCKET, SCM_TIMESTAMPING, sizeof(*t));
	CHECK(t && t->ts[0].tv_sec);
	return family == AF_INET ? find(m, SOL_IP, IP_RECVERR, 32)
				 : find(m, SOL_IPV6, IPV6_RECVERR, 44);
}

static void timestamping_send(int family)
{
	int a = udp_bound(family), b = udp_bound(family);
	struct addr to = addr_of(b);
	struct msg m;
	CHECK(!setint(a, SOL_SOCKET, SO_TIMESTAMPING,
		SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID |
			SOF_TIMESTAMPING_OPT_TSONLY));
	for (unsigned int i = 0; i < 3; i++) {
		CHECK_EQ(sendto(a, "hello", 5, 0, &to.sa, to.len), 5);
		struct sock_extended_err *e = tx_stamp(a, &m, family);
		CHECK(e != NULL);
		CHECK_EQ(e->ee_errno, ENOMSG);
		CHECK_EQ(e->ee_origin, SO_EE_ORIGIN_TIMESTAMPING);
		CHECK_EQ(e->ee_info, SCM_TSTAMP_SND);
		CHECK_EQ(e->ee_data, i);
	}
	CHECK_ERRNO(get(a, &m, MSG_ERRQUEUE), EAGAIN);
	/* Without TSONLY the frame comes as well. */
	CHECK(!setint(a, SOL_SOCKET, SO_TIMESTAMPING,
		SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE));
	CHECK_EQ(sendto(a, "hello", 5, 0, &to.sa, to.len), 5);
	init(&m);
	CHECK_EQ(recvmsg(a, &m.h, MSG_ERRQUEUE), 14 + (family == AF_INET ? 20 : 40) + 8 + 5);
}

TEST(timestamping_send)
{
	timestamping_send(AF_INET);
	timestamping_send(AF_INET6);
}

/* --- what is asked --- */

TEST(ask4)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), v = 77;
	struct addr to = addr_of(b);
	struct in_pktinfo pi = {.ipi_spec_dst.s_addr = htonl(0x7f000005)};
	struct msg m;
	CHECK(!setint(b, SOL_IP, IP_RECVTTL, 1));
	CHECK(!setint(b, SOL_IP, IP_RECVTOS, 1));
	CHECK_EQ(send_with(a, &to, SOL_IP, IP_TTL, &v, 4), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(find_int(&m, SOL_IP, IP_TTL), 77);
	v = 0x48;
	CHECK_EQ(send_with(a, &to, SOL_IP, IP_TOS, &v, 4), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(*(unsigned char *)find(&m, SOL_IP, IP_TOS, 1), 0x48);
	CHECK_EQ(send_with(a, &to, SOL_IP, IP_PKTINFO, &pi, sizeof(pi)), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(m.from.in.sin_addr.s_addr, htonl(0x7f000005));
	v = 0;
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_TTL, &v, 4), EINVAL);
	v = 256;
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_TOS, &v, 4), EINVAL);
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_PKTINFO, &pi, 11), EINVAL);
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_RECVERR, &v, 4), EINVAL);
	CHECK_ERRNO(send_with(a, &to, SOL_SOCKET, 9999, &v, 4), EINVAL);
	CHECK_EQ(send_with(a, &to, SOL_IPV6, 9999, &v, 4), 1); /* nobody's */
	CHECK_EQ(send_with(a, &to, SOL_SOCKET, SCM_RIGHTS, &v, 4), 1);
	CHECK_ERRNO(send_with(a, &to, SOL_UDP, 9999, &v, 4), EINVAL);
}

TEST(ask6)
{
	int a = udp_bound(AF_INET6), b = udp_bound(AF_INET6), v = 77;
	struct addr to = addr_of(b);
	struct in6_pktinfo pi = {.ipi6_ifindex = 1};
	unsigned char dst[8] = {0, 0, 1, 4};
	struct msg m;
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVHOPLIMIT, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVTCLASS, 1));
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVDSTOPTS, 1));
	CHECK_EQ(send_with(a, &to, SOL_IPV6, IPV6_HOPLIMIT, &v, 4), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_HOPLIMIT), 77);
	CHECK_EQ(send_with(a, &to, SOL_IPV6, IPV6_TCLASS, &v, 4), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_TCLASS), 77);
	CHECK_EQ(send_with(a, &to, SOL_IPV6, IPV6_PKTINFO, &pi, sizeof(pi)), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK_EQ(send_with(a, &to, SOL_IPV6, IPV6_DSTOPTS, dst, 8), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	unsigned char *got = find(&m, SOL_IPV6, IPV6_DSTOPTS, 8);
	CHECK(got && !memcmp(got + 1, dst + 1, 7));
	/* A sticky one is sent always. */
	CHECK(!setsockopt(a, SOL_IPV6, IPV6_DSTOPTS, dst, 8));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK(find(&m, SOL_IPV6, IPV6_DSTOPTS, 8) != NULL);
	v = 256;
	CHECK_ERRNO(send_with(a, &to, SOL_IPV6, IPV6_HOPLIMIT, &v, 4), EINVAL);
	CHECK_ERRNO(send_with(a, &to, SOL_IPV6, IPV6_TCLASS, &v, 4), EINVAL);
	pi.ipi6_ifindex = 99;
	CHECK_ERRNO(send_with(a, &to, SOL_IPV6, IPV6_PKTINFO, &pi, sizeof(pi)), ENODEV);
	pi.ipi6_ifindex = 0;
	pi.ipi6_addr.s6_addr[0] = 0x20;
	CHECK_ERRNO(send_with(a, &to, SOL_IPV6, IPV6_PKTINFO, &pi, sizeof(pi)), EINVAL);
	CHECK_ERRNO(send_with(a, &to, SOL_IPV6, 9999, &v, 4), EINVAL);
}

TEST(bad_headers)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), v = 7;
	struct addr to = addr_of(b);
	struct msg m;
	init(&m);
	m.iov.iov_len = 1;
	m.h.msg_name = &to.ss;
	m.h.msg_namelen = to.len;
	add(&m, SOL_IP, IP_TTL, &v, 4);
	CMSG_FIRSTHDR(&m.h)->cmsg_len = 5;
	CHECK_ERRNO(sendmsg(a, &m.h, 0), EINVAL);
	CMSG_FIRSTHDR(&m.h)->cmsg_len = 1000;
	CHECK_ERRNO(sendmsg(a, &m.h, 0), EINVAL);
	m.h.msg_controllen = 8;
	CHECK_EQ(sendmsg(a, &m.h, 0), 1); /* no room for one is none */
}

/* --- corked and segmented --- */

static void corked(int family)
{
	int a = udp_bound(family), b = udp_bound(family), c = udp_bound(family);
	struct addr to = addr_of(b), other = addr_of(c);
	char buf[64];
	CHECK_EQ(sendto(a, "one ", 4, MSG_MORE, &to.sa, to.len), 4);
	CHECK_ERRNO(recv(b, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(sendto(a, "two ", 4, MSG_MORE, &other.sa, other.len),
		4); /* the first name counts */
	CHECK_EQ(send(a, "three", 5, 0), 5);
	CHECK_EQ(recv(b, buf, 64, 0), 13);
	CHECK(!memcmp(buf, "one two three", 13));
	CHECK_ERRNO(recv(c, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK(!setint(a, SOL_UDP, UDP_CORK, 1));
	CHECK_EQ(sendto(a, "12", 2, 0, &to.sa, to.len), 2);
	CHECK_EQ(sendto(a, "34", 2, 0, &to.sa, to.len), 2);
	CHECK_ERRNO(recv(b, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK(!setint(a, SOL_UDP, UDP_CORK, 0));
	CHECK_EQ(recv(b, buf, 64, 0), 4);
	/* What gets too long is lost. */
	static char big[40000];
	CHECK_EQ(sendto(a, big, sizeof(big), MSG_MORE, &to.sa, to.len), 40000);
	CHECK_ERRNO(send(a, big, sizeof(big), 0), EMSGSIZE);
	CHECK_ERRNO(recv(b, buf, 64, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(sendto(a, "fine", 4, 0, &to.sa, to.len), 4);
	CHECK_EQ(recv(b, buf, 64, 0), 4);
}

TEST(corked)
{
	corked(AF_INET);
	corked(AF_INET6);
}

TEST(cork_many)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	static char in[65536];
	CHECK(!connect(a, &to.sa, to.len));
	for (int i = 0; i < 5000; i++)
		CHECK_EQ(send(a, &i, 4, i < 4999 ? MSG_MORE : 0), 4);
	CHECK_EQ(recv(b, in, sizeof(in), 0), 20000);
	for (int i = 0; i < 5000; i++)
		CHECK_EQ(((int *)in)[i], i);
}

static void segment(int family)
{
	int a = udp_bound(family), b = udp_bound(family), g = udp_bound(family);
	struct addr to = addr_of(b), gro = addr_of(g);
	static char out[3500];
	struct msg m;
	uint16_t size = 1000;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (char)(i / 1000);
	init(&m);
	m.iov = (struct iovec){out, sizeof(out)};
	m.h.msg_name = &to.ss;
	m.h.msg_namelen = to.len;
	add(&m, SOL_UDP, UDP_SEGMENT, &size, 2);
	CHECK_EQ(sendmsg(a, &m.h, 0), 3500);
	for (int i = 0; i < 4; i++) {
		struct msg r;
		CHECK_EQ(get(b, &r, 0), i < 3 ? 1000 : 500);
		CHECK_EQ(r.data[0], i);
		CHECK_EQ(r.data[499], i);
	}
	CHECK_ERRNO(get(b, &m, MSG_DONTWAIT), EAGAIN);
	/* Who asks for it gets it in one. */
	CHECK(!setint(g, SOL_UDP, UDP_GRO, 1));
	CHECK(!setint(a, SOL_UDP, UDP_SEGMENT, 1000));
	CHECK_EQ(sendto(a, out, sizeof(out), 0, &gro.sa, gro.len), 3500);
	CHECK_EQ(get(g, &m, 0), 3500);
	CHECK_EQ(find_int(&m, SOL_UDP, UDP_GRO), 1000);
	CHECK(!setint(a, SOL_UDP, UDP_SEGMENT, 1));
	CHECK_ERRNO(sendto(a, out, 129, 0, &to.sa, to.len), EINVAL); /* more than 128 */
}

TEST(segment)
{
	segment(AF_INET);
	segment(AF_INET6);
}

/* --- without checksums --- */

TEST(no_check)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	int a6 = udp_bound(AF_INET6), b6 = udp_bound(AF_INET6);
	struct addr to = addr_of(b), to6 = addr_of(b6);
	char c;
	CHECK(!setint(a, SOL_SOCKET, SO_NO_CHECK, 1));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(b, &c, 1, 0), 1);
	CHECK(!setint(a6, SOL_UDP, UDP_NO_CHECK6_TX, 1));
	CHECK_EQ(sendto(a6, "x", 1, 0, &to6.sa, to6.len), 1);
	CHECK_ERRNO(recv(b6, &c, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(!setint(b6, SOL_UDP, UDP_NO_CHECK6_RX, 1));
	CHECK_EQ(sendto(a6, "x", 1, 0, &to6.sa, to6.len), 1);
	CHECK_EQ(recv(b6, &c, 1, 0), 1);
}

/* --- drops --- */

TEST(overflow)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	static char buf[2000];
	struct msg m;
	CHECK(!setint(b, SOL_SOCKET, SO_RCVBUF, 4000));
	CHECK(!setint(b, SOL_SOCKET, SO_RXQ_OVFL, 1));
	for (int i = 0; i < 20; i++)
		CHECK_EQ(sendto(a, buf, sizeof(buf), 0, &to.sa, to.len), 2000);
	while (get(b, &m, MSG_DONTWAIT) > 0)
		CHECK(!find(&m, SOL_SOCKET, SO_RXQ_OVFL, 4));
	CHECK_EQ(sendto(a, buf, 10, 0, &to.sa, to.len), 10);
	CHECK_EQ(get(b, &m, 0), 10);
	CHECK(find_int(&m, SOL_SOCKET, SO_RXQ_OVFL) >= 15);
}

/* --- the largest fragment of a datagram --- */

/* A piece of a datagram, whole header and all: data from off on. */
static void piece(int raw, uint32_t off, const void *data, uint32_t n, bool more)
{
	uint8_t b[256] = {
		0x45, [8] = 64, [9] = IPPROTO_UDP, [12] = 127, [15] = 1, [16] = 127, [19] = 1};
	struct addr to = loopback(AF_INET, 0);
	b[5] = 77; /* identification */
	b[6] = (uint8_t)((more ? 0x20 : 0) | off / 8 >> 8);
	b[7] = (uint8_t)(off / 8);
	memcpy(b + 20, data, n);
	CHECK_EQ(sendto(raw, b, 20 + n, 0, &to.sa, to.len), 20 + n);
}

TEST(fragment_size)
{
	int fd = udp_bound(AF_INET), port = port_of(fd),
	    raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	struct addr to = addr_of(fd);
	uint8_t d[72] = {0, 9, (uint8_t)(port >> 8), (uint8_t)port, 0, 72};
	struct msg m;
	CHECK(raw >= 0);
	CHECK(!setint(fd, SOL_IP, IP_RECVFRAGSIZE, 1));
	piece(raw, 48, d + 48, 24, false);
	piece(raw, 0, d, 48, true);
	CHECK_EQ(get(fd, &m, 0), 64);
	CHECK_EQ(find_int(&m, SOL_IP, IP_RECVFRAGSIZE), 68);
	CHECK_EQ(sendto(fd, "whole", 5, 0, &to.sa, to.len), 5);
	CHECK_EQ(get(fd, &m, 0), 5);
	CHECK(!find(&m, SOL_IP, IP_RECVFRAGSIZE, 4));
}

static void piece6(int raw, uint32_t off, const void *data, uint32_t n, bool more)
{
	uint8_t b[256] = {0x60, [6] = 44, [7] = 64, [23] = 1, [39] = 1, [40] = IPPROTO_UDP};
	struct addr to = loopback(AF_INET6, 0);
	b[5] = (uint8_t)(8 + n);
	b[43] = (uint8_t)(off | more);
	b[47] = 77; /* identification */
	memcpy(b + 48, data, n);
	CHECK_EQ(sendto(raw, b, 48 + n, 0, &to.sa, to.len), 48 + n);
}

TEST(fragment_size6)
{
	int fd = udp_bound(AF_INET6), port = port_of(fd);
	int raw = socket(AF_INET6, SOCK_RAW, IPPROTO_RAW);
	struct addr to = addr_of(fd);
	uint8_t d[72] = {0, 9, (uint8_t)(port >> 8), (uint8_t)port, 0, 72};
	struct msg m;
	CHECK(raw >= 0);
	CHECK(!setint(fd, SOL_UDP, UDP_NO_CHECK6_RX, 1));
	CHECK(!setint(fd, SOL_IPV6, IPV6_RECVFRAGSIZE, 1));
	piece6(raw, 48, d + 48, 24, false);
	piece6(raw, 0, d, 48, true);
	CHECK_EQ(get(fd, &m, 0), 64);
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_RECVFRAGSIZE), 96);
	piece6(raw, 0, d, 72, false); /* alone, but with such a header */
	CHECK_EQ(get(fd, &m, 0), 64);
	CHECK_EQ(find_int(&m, SOL_IPV6, IPV6_RECVFRAGSIZE), 120);
	CHECK_EQ(sendto(fd, "whole", 5, 0, &to.sa, to.len), 5);
	CHECK_EQ(get(fd, &m, 0), 5);
	CHECK(!find(&m, SOL_IPV6, IPV6_RECVFRAGSIZE, 4));
}

/* --- what is held back --- */

/* A datagram that is begun keeps the headers that the socket had then. */
TEST(corked_headers)
{
	int a = udp_bound(AF_INET6), b = udp_bound(AF_INET6);
	struct addr to = addr_of(b);
	unsigned char one[64] = {0, 7}, *got;
	struct msg m;
	one[2] = 0x1e; /* an experiment of RFC 4727, which is passed over */
	one[3] = 60;
	CHECK(!setint(b, SOL_IPV6, IPV6_RECVDSTOPTS, 1));
	CHECK(!setsockopt(a, SOL_IPV6, IPV6_DSTOPTS, one, sizeof(one)));
	CHECK_EQ(sendto(a, "he", 2, MSG_MORE, &to.sa, to.len), 2);
	CHECK(!setsockopt(a, SOL_IPV6, IPV6_DSTOPTS, NULL, 0));
	for (int i = 0; i < 100; i++) { /* whoever gets the old one's memory */
		unsigned char other[64] = {0, 7, 0x1e, 60, 'x', 'x', 'x', 'x'};
		CHECK(!setsockopt(a, SOL_IPV6, IPV6_DSTOPTS, other, sizeof(other)));
		CHECK(!setsockopt(a, SOL_IPV6, IPV6_DSTOPTS, NULL, 0));
	}
	CHECK_EQ(sendto(a, "llo", 3, 0, &to.sa, to.len), 3);
	CHECK_EQ(get(b, &m, 0), 5);
	CHECK(!memcmp(m.data, "hello", 5));
	got = find(&m, SOL_IPV6, IPV6_DSTOPTS, sizeof(one));
	CHECK(got != NULL);
	CHECK(!memcmp(got + 1, one + 1, sizeof(one) - 1));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK(!find(&m, SOL_IPV6, IPV6_DSTOPTS, sizeof(one)));
}

TEST(corked_ip_options)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	unsigned char rr[8] = {7, 7, 4}, *got; /* to record one address */
	struct msg m;
	CHECK(!setint(b, SOL_IP, IP_RECVOPTS, 1));
	CHECK(!setsockopt(a, SOL_IP, IP_OPTIONS, rr, sizeof(rr)));
	CHECK_EQ(sendto(a, "he", 2, MSG_MORE, &to.sa, to.len), 2);
	CHECK(!setsockopt(a, SOL_IP, IP_OPTIONS, NULL, 0));
	CHECK_EQ(sendto(a, "llo", 3, 0, &to.sa, to.len), 3);
	CHECK_EQ(get(b, &m, 0), 5);
	got = find(&m, SOL_IP, IP_RECVOPTS, sizeof(rr));
	CHECK(got && got[0] == 7 && got[1] == 7);
}

/* --- priorities --- */

#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif

static int priority(int b)
{
	struct msg m;
	CHECK_EQ(get(b, &m, 0), 1);
	return find_int(&m, SOL_SOCKET, SO_PRIORITY);
}

TEST(priorities)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET), v = 5;
	struct addr to = addr_of(b);
	if (setint(b, SOL_SOCKET, SO_RCVPRIORITY, 1))
		test_skip("this kernel has no SO_RCVPRIORITY");
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(priority(b), 0);
	CHECK_EQ(send_with(a, &to, SOL_SOCKET, SO_PRIORITY, &v, sizeof(v)), 1);
	CHECK_EQ(priority(b), 5);
	v = 0x10; /* IPTOS_LOWDELAY: as of IP_TOS */
	CHECK_EQ(send_with(a, &to, SOL_IP, IP_TOS, &v, sizeof(v)), 1);
	CHECK_EQ(priority(b), 6);
	CHECK(!setint(a, SOL_SOCKET, SO_PRIORITY, 3));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(priority(b), 3);
	CHECK_ERRNO(send_with(a, &to, SOL_SOCKET, SO_PRIORITY, &v, 2), EINVAL);
}

TEST(transmit_time)
{
	struct {
		int clock;
		uint32_t flags;
	} how = {CLOCK_MONOTONIC, 0};
	int a = udp_bound(AF_INET);
	struct addr to = addr_of(udp_bound(AF_INET));
	uint64_t when = 0;
	CHECK_ERRNO(send_with(a, &to, SOL_SOCKET, SO_TXTIME, &when, sizeof(when)), EINVAL);
	CHECK(!setsockopt(a, SOL_SOCKET, SO_TXTIME, &how, sizeof(how)));
	CHECK_EQ(send_with(a, &to, SOL_SOCKET, SO_TXTIME, &when, sizeof(when)), 1);
	CHECK_ERRNO(send_with(a, &to, SOL_SOCKET, SO_TXTIME, &when, 4), EINVAL);
}

/* A source that is none of ours. */
TEST(source_of_others)
{
	int a = udp_bound(AF_INET);
	struct addr to = addr_of(udp_bound(AF_INET));
	struct in_pktinfo i = {.ipi_spec_dst.s_addr = htonl(0x01020304)};
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_PKTINFO, &i, sizeof(i)), ENETUNREACH);
	i.ipi_spec_dst.s_addr = htonl(0xe0000001);
	CHECK_ERRNO(send_with(a, &to, SOL_IP, IP_PKTINFO, &i, sizeof(i)), EINVAL);
	i.ipi_spec_dst.s_addr = htonl(0x7f000005);
	CHECK_EQ(send_with(a, &to, SOL_IP, IP_PKTINFO, &i, sizeof(i)), 1);
}

/* SIOCGSTAMP: nothing to tell until a packet is received. */
TEST(stamp_by_ioctl)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	struct timeval tv;
	struct msg m;
	CHECK_ERRNO(ioctl(b, SIOCGSTAMP, &tv), ENOENT);
	CHECK_ERRNO(ioctl(b, SIOCGSTAMP, &tv), ENOENT);
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(get(b, &m, 0), 1);
	CHECK(!ioctl(b, SIOCGSTAMP, &tv));
	CHECK(tv.tv_sec != 0);
}
