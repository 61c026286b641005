/*
 * Options of sockets of all families: which levels there are, in what order lengths and pointers
 * are looked at, and options that mean little to a family but are there.  getsockopt(2), socket(7).
 */
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/un.h>

#include "inet.h"

#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define BAD ((void *)8)

struct kind {
	int family, type, protocol;
};

static int make(const struct kind *k)
{
	int fd = socket(k->family, k->type, k->protocol);
	CHECK(fd >= 0);
	return fd;
}

/* Before anything of the caller's memory is looked at. */
static void no_level(const struct kind *k, int level, int name, int get, int set)
{
	socklen_t len = 4, minus = (socklen_t)-1;
	int fd = make(k), v = 0;
	long r[6] = {getsockopt(fd, level, name, &v, &len) ? errno : 0,
		getsockopt(fd, level, name, BAD, &len) ? errno : 0,
		getsockopt(fd, level, name, &v, BAD) ? errno : 0,
		getsockopt(fd, level, name, &v, &minus) ? errno : 0,
		setsockopt(fd, level, name, &v, sizeof(v)) ? errno : 0,
		setsockopt(fd, level, name, BAD, sizeof(v)) ? errno : 0};
	for (int i = 0; i < 6; i++)
		if (r[i] != (i < 4 ? get : set))
			test_fail("family %d type %d level %d name %d call %d: errno %ld, not %d",
				k->family, k->type, level, name, i, r[i], i < 4 ? get : set);
	CHECK_ERRNO(setsockopt(fd, level, name, &v, (socklen_t)-1), EINVAL);
	close(fd);
}

TEST(unknown_levels)
{
	static const struct kind tcp = {AF_INET, SOCK_STREAM, 0}, udp = {AF_INET, SOCK_DGRAM, 0},
				 raw = {AF_INET, SOCK_RAW, IPPROTO_ICMP},
				 tcp6 = {AF_INET6, SOCK_STREAM, 0},
				 udp6 = {AF_INET6, SOCK_DGRAM, 0},
				 raw6 = {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
				 un = {AF_UNIX, SOCK_STREAM, 0}, und = {AF_UNIX, SOCK_DGRAM, 0},
				 nl = {AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
				 packet = {AF_PACKET, SOCK_RAW, 0};
	static const int nowhere[] = {SOL_NETLINK, SOL_PACKET, 1000, -1};
	for (int i = 0; i < 4; i++) {
		no_level(&tcp, nowhere[i], 1, EOPNOTSUPP, ENOPROTOOPT);
		no_level(&udp, nowhere[i], 1, EOPNOTSUPP, ENOPROTOOPT);
		no_level(&raw, nowhere[i], 1, EOPNOTSUPP, ENOPROTOOPT);
		no_level(&tcp6, nowhere[i], 1, ENOPROTOOPT, ENOPROTOOPT);
		no_level(&udp6, nowhere[i], 1, ENOPROTOOPT, ENOPROTOOPT);
		no_level(&raw6, nowhere[i], 1, ENOPROTOOPT, ENOPROTOOPT);
		no_level(&un, nowhere[i], 1, EOPNOTSUPP, EOPNOTSUPP);
	}
	no_level(&tcp, SOL_IPV6, IPV6_V6ONLY, EOPNOTSUPP, ENOPROTOOPT);
	no_level(&tcp, SOL_UDP, UDP_CORK, EOPNOTSUPP, ENOPROTOOPT);
	no_level(&udp, SOL_TCP, TCP_NODELAY, EOPNOTSUPP, ENOPROTOOPT);
	no_level(&udp6, SOL_TCP, TCP_NODELAY, ENOPROTOOPT, ENOPROTOOPT);
	no_level(&raw, SOL_RAW, 77, ENOPROTOOPT, ENOPROTOOPT);
	no_level(&raw6, SOL_IP, IP_TTL, ENOPROTOOPT, ENOPROTOOPT);
	no_level(&raw6, SOL_ICMPV6, 77, ENOPROTOOPT, ENOPROTOOPT);
	no_level(&und, SOL_TCP, TCP_NODELAY, EOPNOTSUPP, EOPNOTSUPP);
	no_level(&nl, SOL_IP, IP_TTL, ENOPROTOOPT, ENOPROTOOPT);
	no_level(&packet, SOL_NETLINK, 1, ENOPROTOOPT, ENOPROTOOPT);
}

TEST(bad_pointers)
{
	socklen_t len = 4;
	int v = 1, fds[] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_UNIX, SOCK_DGRAM, 0),
			   socket(AF_NETLINK, SOCK_RAW, 0)};
	for (int i = 0; i < 3; i++) {
		int fd = fds[i];
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, BAD, sizeof(v)), EFAULT);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, 3), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, 99, &v, 3), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, 99, BAD, sizeof(v)), EFAULT);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, 99, &v, sizeof(v)), ENOPROTOOPT);
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, BAD), EFAULT);
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, BAD, &len), EFAULT);
		len = (socklen_t)-1;
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, &len), EINVAL);
		len = 4;
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 99, &v, &len), ENOPROTOOPT);
	}
}

/* IPv6's lengths have no sign in Linux. */
TEST(ipv6_negative_length)
{
	int fd = udp_socket(AF_INET6), v = -77;
	socklen_t len = (socklen_t)-1;
	CHECK(!getsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &v, &len));
	CHECK_EQ(len, 4);
	CHECK_EQ(v, 0);
	len = (socklen_t)-5;
	CHECK(!getsockopt(fd, SOL_IPV6, IPV6_RTHDR, &v, &len));
	CHECK_EQ(len, 0);
	len = (socklen_t)-1;
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_TTL, &v, &len), EINVAL);
}

TEST(ipv6_lengths)
{
	int fd = udp_socket(AF_INET6), v = 1;
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, 99, &v, 0), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_UNICAST_HOPS, &v, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_RECVPKTINFO, &v, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_PKTINFO, NULL, 0), EINVAL);
	CHECK(!setint(fd, SOL_IPV6, IPV6_RECVFRAGSIZE, 1));
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_RECVFRAGSIZE), 1);
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_RECVFRAGSIZE, NULL, 0));
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_RECVFRAGSIZE), 0);
}

/* Of groups: whether the struct is whole comes before whether the socket has groups. */
TEST(group_lengths)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
	char none[300] = {0};
	CHECK_ERRNO(setsockopt(tcp, SOL_IP, IP_ADD_MEMBERSHIP, none, 4), EPROTO);
	CHECK_ERRNO(setsockopt(tcp, SOL_IP, MCAST_JOIN_GROUP, none, 4), EINVAL);
	CHECK_ERRNO(setsockopt(tcp6, SOL_IPV6, IPV6_JOIN_GROUP, none, 4), EINVAL);
	CHECK_ERRNO(setsockopt(tcp6, SOL_IPV6, IPV6_JOIN_GROUP, none, 20), EPROTO);
	CHECK_ERRNO(setsockopt(tcp6, SOL_IPV6, MCAST_JOIN_GROUP, none, 4), EINVAL);
	CHECK_ERRNO(setsockopt(tcp6, SOL_IPV6, MCAST_BLOCK_SOURCE, none, 4), EINVAL);
	socklen_t len = 200;
	CHECK_ERRNO(getsockopt(tcp, SOL_IP, MCAST_MSFILTER, none, &len), EINVAL);
}

TEST(linger_off_keeps_the_time)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct linger l = {1, 5};
	socklen_t len = sizeof(l);
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	l = (struct linger){0, 99};
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len));
	CHECK_EQ(l.l_onoff, 0);
	CHECK_EQ(l.l_linger, 5);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, 4), EINVAL);
}

TEST(largest_buffers)
{
	int fd = udp_socket(AF_INET);
	CHECK(!setint(fd, SOL_SOCKET, SO_SNDBUFFORCE, INT_MAX));
	CHECK(!setint(fd, SOL_SOCKET, SO_RCVBUFFORCE, INT_MAX));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_SNDBUF), INT_MAX - 1);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_RCVBUF), INT_MAX - 1);
	CHECK(!setint(fd, SOL_SOCKET, SO_SNDBUF, -1)); /* wmem_max bounds it, whatever that is */
	CHECK(getint(fd, SOL_SOCKET, SO_SNDBUF) > 0);
	CHECK(!setint(fd, SOL_SOCKET, SO_SNDBUFFORCE, -1));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_SNDBUF), 4608);
}

TEST(stamps_of_a_stream)
{
	struct addr a = loopback(AF_INET, 0);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERRNO(setint(c, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID), EINVAL);
	CHECK(!setint(c, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE));
	CHECK(!bind(l, &a.sa, a.len) && !listen(l, 1));
	CHECK_ERRNO(setint(l, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID), EINVAL);
	a = addr_of(l);
	CHECK(!connect(c, &a.sa, a.len));
	CHECK(!setint(c, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID));
	CHECK(!setint(udp_socket(AF_INET), SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_ID));
}

/* What does not matter to a family is there all the same. */
TEST(options_of_all_families)
{
	int fds[] = {socket(AF_UNIX, SOCK_STREAM, 0), socket(AF_NETLINK, SOCK_RAW, 0),
		socket(AF_PACKET, SOCK_RAW, 0), socket(AF_INET, SOCK_DGRAM, 0)};
	char name[16];
	for (int i = 0; i < 4; i++) {
		socklen_t len = sizeof(name);
		int fd = fds[i];
		CHECK(fd >= 0);
		CHECK_EQ(getint(fd, SOL_SOCKET, SO_NOFCS), 0);
		CHECK(!setint(fd, SOL_SOCKET, SO_NOFCS, 7));
		CHECK_EQ(getint(fd, SOL_SOCKET, SO_NOFCS), 1);
		CHECK(!getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
		CHECK_EQ(len, 0);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nosuch", 7), ENODEV);
		CHECK(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
		len = sizeof(name);
		CHECK(!getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
		CHECK_EQ(len, 3);
		CHECK_STR(name, "lo");
		len = 5;
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), EINVAL);
		CHECK_EQ(getint(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 1);
		CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
		CHECK(!setint(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0));
		CHECK(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
		CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0), EINVAL);
		CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, 0), EINVAL);
		CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_ATTACH_BPF, -1), EBADF);
	}
	uint32_t mem[SK_MEMINFO_VARS];
	socklen_t len = sizeof(mem);
	CHECK(!getsockopt(fds[0], SOL_SOCKET, SO_MEMINFO, mem, &len));
	CHECK_EQ(mem[SK_MEMINFO_SNDBUF], getint(fds[0], SOL_SOCKET, SO_SNDBUF));
}

TEST(rehash)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(int);
	int v;
	if (getsockopt(fd, SOL_SOCKET, SO_TXREHASH, &v, &len) && errno == ENOPROTOOPT)
		test_skip("this kernel has no SO_TXREHASH");
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_TXREHASH), 1);
	CHECK(!setint(fd, SOL_SOCKET, SO_TXREHASH, 0));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_TXREHASH), 0);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_TXREHASH, 2), EINVAL);
	CHECK_ERRNO(setint(udp_socket(AF_INET), SOL_SOCKET, SO_TXREHASH, 1), EOPNOTSUPP);
}

TEST(netlink_memberships)
{
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	uint32_t groups[4] = {0};
	socklen_t len = sizeof(groups);
	CHECK(!getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len));
	CHECK_EQ(len, 0);
	CHECK(!setint(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_LINK));
	len = sizeof(groups);
	CHECK(!getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len));
	CHECK_EQ(groups[0], 1);
	CHECK_EQ(len, 8);
	CHECK(!setint(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, RTNLGRP_LINK));
	len = 0;
	CHECK(!getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, NULL, &len));
	CHECK_EQ(len, 8);
}

TEST(udp_encapsulation)
{
	int fd = udp_socket(AF_INET);
	CHECK(!setint(fd, SOL_UDP, UDP_ENCAP, 0));
	CHECK_EQ(getint(fd, SOL_UDP, UDP_ENCAP), 0);
	CHECK_ERRNO(setint(fd, SOL_UDP, UDP_ENCAP, 99), ENOPROTOOPT);
	CHECK_EQ(getint(fd, SOL_UDP, 10), 0); /* UDPLITE_SEND_CSCOV: all of it */
	CHECK_ERRNO(setint(fd, SOL_UDP, 10, 8), ENOPROTOOPT);
}

/* --- the owner by ioctl --- */

static void owner(int fd)
{
	int v = getpid();
	CHECK(!ioctl(fd, SIOCSPGRP, &v));
	v = 0;
	CHECK(!ioctl(fd, SIOCGPGRP, &v));
	CHECK_EQ(v, getpid());
	CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
	v = -getpgrp();
	CHECK(!ioctl(fd, FIOSETOWN, &v));
	v = 0;
	CHECK(!ioctl(fd, FIOGETOWN, &v));
	CHECK_EQ(v, -getpgrp());
	v = 0;
	CHECK(!ioctl(fd, SIOCSPGRP, &v));
	CHECK_EQ(fcntl(fd, F_GETOWN), 0);
	v = 0x3fffffff;
	CHECK_ERRNO(ioctl(fd, SIOCSPGRP, &v), ESRCH);
	v = INT_MIN;
	CHECK_ERRNO(ioctl(fd, SIOCSPGRP, &v), EINVAL);
	CHECK_ERRNO(ioctl(fd, SIOCSPGRP, BAD), EFAULT);
	CHECK_ERRNO(ioctl(fd, SIOCGPGRP, BAD), EFAULT);
}

TEST(owner_by_ioctl)
{
	int pipes[2], v = getpid();
	owner(udp_socket(AF_INET));
	owner(socket(AF_UNIX, SOCK_STREAM, 0));
	owner(socket(AF_NETLINK, SOCK_RAW, 0));
	owner(socket(AF_PACKET, SOCK_RAW, 0));
	CHECK(!pipe(pipes));
	CHECK_ERRNO(ioctl(pipes[0], SIOCSPGRP, &v), ENOTTY);
	CHECK_ERRNO(ioctl(pipes[0], FIOGETOWN, &v), ENOTTY);
}
