/* Groups: joining, leaving, sources, limits, and who gets what.  ip(7), ipv6(7), RFC 3678. */
#include <net/if.h>

#include "inet.h"

#define GROUP 0xe8010203u /* 232.1.2.3 */

static int receiver(int port)
{
	int fd = udp_socket(AF_INET);
	struct addr a = loopback(AF_INET, port);
	a.in.sin_addr.s_addr = 0;
	CHECK(!setint(fd, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK(!bind(fd, &a.sa, a.len));
	return fd;
}

static struct ip_mreqn on_lo(uint32_t group)
{
	return (struct ip_mreqn){.imr_multiaddr.s_addr = htonl(group), .imr_ifindex = 1};
}

static int sender(void)
{
	int fd = udp_bound(AF_INET);
	struct ip_mreqn lo = {.imr_ifindex = 1};
	CHECK(!setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &lo, sizeof(lo)));
	return fd;
}

static struct addr to_group(uint32_t group, int port)
{
	struct addr a = loopback(AF_INET, port);
	a.in.sin_addr.s_addr = htonl(group);
	return a;
}

static int got(int fd)
{
	char buf[8];
	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT) == 1;
}

TEST(join_errors)
{
	int fd = udp_socket(AF_INET), tcp = socket(AF_INET, SOCK_STREAM, 0);
	struct ip_mreqn m = on_lo(GROUP);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, 7), EINVAL);
	m.imr_multiaddr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), EINVAL);
	m = on_lo(GROUP);
	m.imr_ifindex = 99;
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), ENODEV);
	m = on_lo(GROUP);
	if (tcp >= 0)
		CHECK_ERRNO(setsockopt(tcp, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), EPROTO);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)), EADDRNOTAVAIL);
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), EADDRINUSE);
	CHECK(!setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)), EADDRNOTAVAIL);
	/* By the address of the link. */
	struct ip_mreq a = {.imr_multiaddr.s_addr = htonl(GROUP),
		.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &a, sizeof(a)));
	a.imr_interface.s_addr = htonl(0xc0000201);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &a, sizeof(a)), ENODEV);
}

TEST(limit)
{
	int fd = udp_socket(AF_INET);
	for (uint32_t i = 0; i < 20; i++) {
		struct ip_mreqn m = on_lo(GROUP + i);
		CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	}
	struct ip_mreqn m = on_lo(GROUP + 20);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), ENOBUFS);
}

TEST(delivery)
{
	int a = receiver(7000), b = receiver(7000), s = sender();
	struct addr to = to_group(GROUP, 7000);
	struct ip_mreqn m = on_lo(GROUP);
	CHECK(!setsockopt(a, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(a));
	CHECK(got(b)); /* IP_MULTICAST_ALL */
	CHECK(!setint(b, SOL_IP, IP_MULTICAST_ALL, 0));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(a));
	CHECK(!got(b));
	CHECK(!setsockopt(b, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(a) && got(b));
	CHECK(!setsockopt(a, SOL_IP, IP_DROP_MEMBERSHIP, &m, sizeof(m)));
	CHECK(!setint(a, SOL_IP, IP_MULTICAST_ALL, 0));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(!got(a));
	CHECK(got(b));
}

TEST(bound_to_group)
{
	int fd = udp_socket(AF_INET), s = sender();
	struct addr g = to_group(GROUP, 7000), lo = loopback(AF_INET, 7000);
	struct ip_mreqn m = on_lo(GROUP);
	CHECK(!bind(fd, &g.sa, g.len));
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	CHECK_EQ(sendto(s, "x", 1, 0, &g.sa, g.len), 1);
	CHECK(got(fd));
	CHECK_EQ(sendto(s, "x", 1, 0, &lo.sa, lo.len), 1);
	CHECK(!got(fd));
	/* It does not send from there. */
	struct addr me = addr_of(s), from;
	CHECK_EQ(sendto(fd, "x", 1, 0, &me.sa, me.len), 1);
	from.len = sizeof(from.ss);
	char c;
	CHECK_EQ(recvfrom(s, &c, 1, 0, &from.sa, &from.len), 1);
	CHECK_EQ(from.in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

TEST(sources)
{
	int fd = receiver(7000), s = sender(), other = udp_socket(AF_INET);
	struct addr a2 = loopback(AF_INET, 0), to = to_group(GROUP, 7000);
	struct ip_mreqn lo = {.imr_ifindex = 1};
	a2.in.sin_addr.s_addr = htonl(0x7f000002);
	CHECK(!bind(other, &a2.sa, a2.len));
	CHECK(!setsockopt(other, SOL_IP, IP_MULTICAST_IF, &lo, sizeof(lo)));
	struct ip_mreq_source m = {.imr_multiaddr.s_addr = htonl(GROUP),
		.imr_interface.s_addr = htonl(INADDR_LOOPBACK),
		.imr_sourceaddr.s_addr = htonl(INADDR_LOOPBACK)};
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_BLOCK_SOURCE, &m, sizeof(m)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, 8), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)), EADDRNOTAVAIL);
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
	CHECK_EQ(sendto(other, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(!got(fd));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_BLOCK_SOURCE, &m, sizeof(m)), EINVAL); /* mode */
	CHECK(!setsockopt(fd, SOL_IP, IP_DROP_SOURCE_MEMBERSHIP, &m, sizeof(m)));
	/* That was the last one: it has left. */
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_DROP_SOURCE_MEMBERSHIP, &m, sizeof(m)), EINVAL);
	struct ip_mreqn g = on_lo(GROUP);
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &g, sizeof(g)));
	CHECK(!setsockopt(fd, SOL_IP, IP_BLOCK_SOURCE, &m, sizeof(m)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(!got(fd));
	CHECK_EQ(sendto(other, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
	CHECK(!setsockopt(fd, SOL_IP, IP_UNBLOCK_SOURCE, &m, sizeof(m)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_UNBLOCK_SOURCE, &m, sizeof(m)), EADDRNOTAVAIL);
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
}

TEST(too_many_sources)
{
	int fd = receiver(7000);
	for (uint32_t i = 0; i <= 10; i++) {
		struct ip_mreq_source m = {.imr_multiaddr.s_addr = htonl(GROUP),
			.imr_interface.s_addr = htonl(INADDR_LOOPBACK),
			.imr_sourceaddr.s_addr = htonl(0x0a000001 + i)};
		if (i < 10)
			CHECK(!setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)));
		else
			CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)),
				ENOBUFS);
	}
}

/* More than a filter may have here (natively it may), one by one: what is told of them is theirs.
 */
TEST(raised_limit)
{
	enum { SOURCES = 700 };
	uint32_t buf[4 + SOURCES + 8], n = 0;
	struct ip_msfilter *f = (void *)buf;
	socklen_t len = sizeof(buf);
	int fd = receiver(7000), ctl = open("/proc/sys/net/ipv4/igmp_max_msf", O_RDWR);
	if (ctl < 0 || write(ctl, "1000", 4) != 4)
		test_skip("the limit cannot be raised");
	for (int err = 0; !err && n < SOURCES; n += !err) {
		struct ip_mreq_source m = {.imr_multiaddr.s_addr = htonl(GROUP),
			.imr_interface.s_addr = htonl(INADDR_LOOPBACK),
			.imr_sourceaddr.s_addr = htonl(0x0a000001 + n)};
		err = setsockopt(fd, SOL_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof(m)) ? errno : 0;
		if (err)
			CHECK_EQ(err, ENOBUFS);
	}
	CHECK(n >= 512);
	memset(buf, 0, sizeof(buf));
	f->imsf_multiaddr.s_addr = htonl(GROUP);
	f->imsf_interface.s_addr = htonl(INADDR_LOOPBACK);
	f->imsf_numsrc = SOURCES;
	CHECK(!getsockopt(fd, SOL_IP, IP_MSFILTER, f, &len));
	CHECK_EQ(f->imsf_numsrc, n);
	CHECK_EQ(len, 16 + n * 4);
	for (uint32_t i = 0; i < n; i++)
		CHECK(ntohl(buf[4 + i]) - 0x0a000001 < n);
	CHECK_EQ(pwrite(ctl, "10", 2, 0), 2);
}

TEST(filter)
{
	int fd = receiver(7000);
	char buf[IP_MSFILTER_SIZE(11)];
	struct ip_msfilter *f = (void *)buf;
	struct ip_mreqn g = on_lo(GROUP);
	memset(buf, 0, sizeof(buf));
	f->imsf_multiaddr.s_addr = htonl(GROUP);
	f->imsf_interface.s_addr = htonl(INADDR_LOOPBACK);
	f->imsf_fmode = MCAST_EXCLUDE;
	f->imsf_numsrc = 2;
	f->imsf_slist[0].s_addr = htonl(0x0a000001);
	((uint32_t *)(void *)&f->imsf_slist[0])[1] = htonl(0x0a000002);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(2)), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &g, sizeof(g)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MSFILTER, f, 15), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(1)), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(2)));
	socklen_t len = sizeof(buf);
	f->imsf_numsrc = 1;
	f->imsf_fmode = 77;
	CHECK(!getsockopt(fd, SOL_IP, IP_MSFILTER, f, &len));
	CHECK_EQ(f->imsf_fmode, MCAST_EXCLUDE);
	CHECK_EQ(f->imsf_numsrc, 2);
	CHECK_EQ(len, IP_MSFILTER_SIZE(1));
	f->imsf_numsrc = 11;
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(11)), ENOBUFS);
	f->imsf_fmode = 5;
	f->imsf_numsrc = 0;
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(0)), EINVAL);
	f->imsf_fmode = MCAST_INCLUDE; /* nobody: out */
	CHECK(!setsockopt(fd, SOL_IP, IP_MSFILTER, f, IP_MSFILTER_SIZE(0)));
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MSFILTER, f, &len), EADDRNOTAVAIL);
}

TEST(group_requests)
{
	int fd = receiver(7000), s = sender();
	struct addr to = to_group(GROUP, 7000);
	struct group_req r = {.gr_interface = 1};
	struct group_source_req q = {.gsr_interface = 1};
	CHECK(!setint(fd, SOL_IP, IP_MULTICAST_ALL, 0));
	memcpy(&r.gr_group, &to.in, sizeof(to.in));
	memcpy(&q.gsr_group, &to.in, sizeof(to.in));
	struct addr src = loopback(AF_INET, 0);
	memcpy(&q.gsr_source, &src.in, sizeof(src.in));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, MCAST_JOIN_GROUP, &r, sizeof(r) - 1), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, MCAST_JOIN_GROUP, &r, sizeof(r)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
	CHECK(!setsockopt(fd, SOL_IP, MCAST_BLOCK_SOURCE, &q, sizeof(q)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(!got(fd));
	CHECK(!setsockopt(fd, SOL_IP, MCAST_LEAVE_GROUP, &r, sizeof(r)));
	CHECK_ERRNO(setsockopt(fd, SOL_IP, MCAST_LEAVE_GROUP, &r, sizeof(r)), EADDRNOTAVAIL);
	CHECK(!setsockopt(fd, SOL_IP, MCAST_JOIN_SOURCE_GROUP, &q, sizeof(q)));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
	char buf[GROUP_FILTER_SIZE(4)];
	struct group_filter *f = (void *)buf;
	memset(buf, 0, sizeof(buf));
	f->gf_interface = 1;
	f->gf_numsrc = 4;
	memcpy(&f->gf_group, &to.in, sizeof(to.in));
	socklen_t len = sizeof(buf);
	CHECK(!getsockopt(fd, SOL_IP, MCAST_MSFILTER, f, &len));
	CHECK_EQ(f->gf_fmode, MCAST_INCLUDE);
	CHECK_EQ(f->gf_numsrc, 1);
	CHECK(!memcmp((char *)&f->gf_slist[0] + 4, (char *)&src.in + 4, 4));
	CHECK(!setsockopt(fd, SOL_IP, MCAST_LEAVE_SOURCE_GROUP, &q, sizeof(q)));
	CHECK_ERRNO(getsockopt(fd, SOL_IP, MCAST_MSFILTER, f, &len), EADDRNOTAVAIL);
}

TEST(interface)
{
	int fd = udp_socket(AF_INET);
	struct in_addr a = {htonl(INADDR_LOOPBACK)}, v;
	struct ip_mreqn m = {.imr_ifindex = 99};
	socklen_t len = sizeof(v);
	CHECK(!setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &a, sizeof(a)));
	CHECK(!getsockopt(fd, SOL_IP, IP_MULTICAST_IF, &v, &len));
	CHECK_EQ(v.s_addr, a.s_addr);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &m, sizeof(m)), EADDRNOTAVAIL);
	a.s_addr = htonl(0xc0000201);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &a, sizeof(a)), EADDRNOTAVAIL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &a, 3), EINVAL);
	a.s_addr = 0;
	CHECK(!setsockopt(fd, SOL_IP, IP_MULTICAST_IF, &a, sizeof(a)));
}

TEST(no_loop)
{
	int fd = receiver(7000), s = sender();
	struct addr to = to_group(GROUP, 7000);
	struct ip_mreqn m = on_lo(GROUP);
	CHECK(!setsockopt(fd, SOL_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)));
	/* Over the loopback link a packet comes back, whatever the option says. */
	CHECK(!setint(s, SOL_IP, IP_MULTICAST_LOOP, 0));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
	CHECK(!got(fd));
}

TEST(ipv6)
{
	int fd = udp_socket(AF_INET6), s = udp_bound(AF_INET6);
	struct addr a = loopback(AF_INET6, 7000), to = loopback(AF_INET6, 7000);
	struct ipv6_mreq m = {.ipv6mr_interface = 1};
	a.in6.sin6_addr = in6addr_any;
	CHECK(!bind(fd, &a.sa, a.len));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)), EINVAL);
	inet_pton(AF_INET6, "ff15::1234", &m.ipv6mr_multiaddr);
	to.in6.sin6_addr = m.ipv6mr_multiaddr;
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &m, 19), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_LEAVE_GROUP, &m, sizeof(m)), EADDRNOTAVAIL);
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)), EADDRINUSE);
	/* There is no way to it over the loopback link. */
	CHECK(!setint(s, SOL_IPV6, IPV6_MULTICAST_IF, 1));
	CHECK_ERRNO(sendto(s, "x", 1, 0, &to.sa, to.len), ENETUNREACH);
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_LEAVE_GROUP, &m, sizeof(m)));
	m.ipv6mr_interface = 99;
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)), ENODEV);
}

TEST(broadcast)
{
	int fd = receiver(7000), s = udp_socket(AF_INET);
	struct addr to = loopback(AF_INET, 7000);
	to.in.sin_addr.s_addr = htonl(0x7fffffff);
	CHECK_ERRNO(sendto(s, "x", 1, 0, &to.sa, to.len), EACCES);
	CHECK(!setint(s, SOL_SOCKET, SO_BROADCAST, 1));
	CHECK_EQ(sendto(s, "x", 1, 0, &to.sa, to.len), 1);
	CHECK(got(fd));
}
