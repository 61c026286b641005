/*
 * Options of datagram sockets: defaults, ranges, lengths and errors at SOL_SOCKET, SOL_IP, SOL_IPV6
 * and SOL_UDP.  socket(7), ip(7), ipv6(7), udp(7).
 */
#include <linux/filter.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include "inet.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_RESERVE_MEM
#define SO_RESERVE_MEM 73
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_RCVMARK
#define SO_RCVMARK 75
#endif

#define NONE INT_MIN /* setting is no error, or no value is tried */

/* What an option is at first; a value that may be set and what it is then; two that may not be. */
struct opt {
	int level, name, def, set, get, bad1, bad2, err;
};

static void is_value(int fd, const struct opt *o, int want, const char *when)
{
	int v = -77;
	socklen_t len = sizeof(v);
	long r = getsockopt(fd, o->level, o->name, &v, &len);
	if (r || len != 4 || v != want)
		test_fail("level %d option %d %s: %ld, errno %d, value %d, not %d", o->level,
			o->name, when, r, errno, v, want);
}

static void is_refused(int fd, const struct opt *o, int v)
{
	if (v == NONE)
		return;
	errno = 0;
	long r = setint(fd, o->level, o->name, v);
	if (r != -1 || errno != o->err)
		test_fail("level %d option %d set to %d: %ld, errno %d, not %d", o->level, o->name,
			v, r, errno, o->err);
}

static void check_opts(int fd, const struct opt *o, size_t n)
{
	for (size_t i = 0; i < n; i++, o++) {
		is_value(fd, o, o->def, "at first");
		if (o->set != NONE && setint(fd, o->level, o->name, o->set))
			test_fail("level %d option %d: set: errno %d", o->level, o->name, errno);
		if (o->set != NONE)
			is_value(fd, o, o->get, "set");
		is_refused(fd, o, o->bad1);
		is_refused(fd, o, o->bad2);
		if (o->set != NONE)
			is_value(fd, o, o->get, "still");
	}
}
#define N(a) (sizeof(a) / sizeof(*(a)))
#define SWITCH(level, name, def)                                                                   \
	{                                                                                          \
		level, name, def, !(def), !(def), NONE, NONE, 0                                    \
	}

static const struct opt sol[] = {
	SWITCH(SOL_SOCKET, SO_REUSEADDR, 0),
	SWITCH(SOL_SOCKET, SO_REUSEPORT, 0),
	SWITCH(SOL_SOCKET, SO_KEEPALIVE, 0),
	SWITCH(SOL_SOCKET, SO_BROADCAST, 0),
	SWITCH(SOL_SOCKET, SO_OOBINLINE, 0),
	SWITCH(SOL_SOCKET, SO_DONTROUTE, 0),
	SWITCH(SOL_SOCKET, SO_NO_CHECK, 0),
	SWITCH(SOL_SOCKET, SO_RXQ_OVFL, 0),
	SWITCH(SOL_SOCKET, SO_SELECT_ERR_QUEUE, 0),
	SWITCH(SOL_SOCKET, SO_RCVMARK, 0),
	{SOL_SOCKET, SO_TIMESTAMP, 0, 1, 1, NONE, NONE, 0},
	{SOL_SOCKET, SO_TIMESTAMPNS, 0, 1, 1, NONE, NONE, 0},
	{SOL_SOCKET, SO_TIMESTAMP, 0, NONE, 0, NONE, NONE, 0},
	{SOL_SOCKET, SO_ACCEPTCONN, 0, NONE, 0, 1, NONE, ENOPROTOOPT},
	{SOL_SOCKET, SO_TYPE, SOCK_DGRAM, NONE, 0, 1, NONE, ENOPROTOOPT},
	{SOL_SOCKET, SO_PROTOCOL, IPPROTO_UDP, NONE, 0, 1, NONE, ENOPROTOOPT},
	{SOL_SOCKET, SO_SNDLOWAT, 1, NONE, 0, 1, NONE, ENOPROTOOPT},
	{SOL_SOCKET, SO_RCVLOWAT, 1, 10, 10, NONE, NONE, 0},
	{SOL_SOCKET, SO_PRIORITY, 0, 6, 6, NONE, NONE, 0},
	{SOL_SOCKET, SO_MARK, 0, 99, 99, NONE, NONE, 0},
	{SOL_SOCKET, SO_PEEK_OFF, -1, 5, 5, NONE, NONE, 0},
	{SOL_SOCKET, SO_INCOMING_CPU, -1, 0, 0, NONE, NONE, 0},
	{SOL_SOCKET, SO_BUSY_POLL, 0, 50, 50, -1, NONE, EINVAL},
	{SOL_SOCKET, SO_PREFER_BUSY_POLL, 0, 1, 1, NONE, NONE, 0},
	{SOL_SOCKET, SO_BINDTOIFINDEX, 0, 1, 1, -1, NONE, EINVAL},
	{SOL_SOCKET, SO_ZEROCOPY, 0, 1, 1, 2, -1, EINVAL},
	{SOL_SOCKET, SO_BUF_LOCK, 0, 3, 3, 4, -1, EINVAL},
	{SOL_SOCKET, SO_LOCK_FILTER, 0, 1, 1, 0, NONE, EPERM},
	{SOL_SOCKET, 49 + 1, 0, NONE, 0, NONE, NONE, 0},
};

TEST(socket_level)
{
	/* The last line is SO_ATTACH_BPF, which cannot be read. */
	check_opts(udp_socket(AF_INET), sol, N(sol) - 1);
	int fd = udp_socket(AF_INET6);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_DOMAIN), AF_INET6);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_TXREHASH, 1), EOPNOTSUPP);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_RESERVE_MEM, -1), EINVAL);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, 9999, 1), ENOPROTOOPT);
	CHECK_ERRNO(setint(fd, 9999, 1, 1), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &fd, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), EFAULT);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &fd, -1), EINVAL);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_PASSCRED, 1), EOPNOTSUPP);
}

TEST(buffers)
{
	int fd = udp_socket(AF_INET);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_RCVBUF), 212992);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_SNDBUF), 212992);
	CHECK(!setint(fd, SOL_SOCKET, SO_RCVBUF, 10000));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_RCVBUF), 20000);
	CHECK(!setint(fd, SOL_SOCKET, SO_RCVBUF, 0));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_RCVBUF), 2304);
	CHECK(!setint(fd, SOL_SOCKET, SO_SNDBUF, 0));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_SNDBUF), 4608);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_BUF_LOCK), 3);
	CHECK(!setint(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_RCVBUF), 1 << 25);
}

TEST(device)
{
	int fd = udp_socket(AF_INET);
	char name[16] = "?";
	socklen_t len = sizeof(name);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	CHECK_EQ(len, 0);
	CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nope", 5), ENODEV);
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 1);
	len = 15;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), EINVAL);
	len = sizeof(name);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len));
	CHECK_EQ(len, 3);
	CHECK(!strcmp(name, "lo"));
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
}

TEST(eight_bytes)
{
	int fd = udp_socket(AF_INET), flags[2] = {SOF_TIMESTAMPING_SOFTWARE, 0};
	uint64_t v = 0;
	socklen_t len = sizeof(v);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_COOKIE, &v, &len));
	CHECK(v != 0);
	len = 4;
	CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &v, &len), EINVAL);
	len = sizeof(v);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &v, &len));
	len = sizeof(v);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &v, &len));
	CHECK(v == UINT64_MAX && len == 8);
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_MAX_PACING_RATE), -1);
	CHECK(!setint(fd, SOL_SOCKET, SO_MAX_PACING_RATE, 1000));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_MAX_PACING_RATE), 1000);
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, flags, 4));
	len = sizeof(flags);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, flags, &len));
	CHECK_EQ(len, 8);
	CHECK_EQ(flags[0], SOF_TIMESTAMPING_SOFTWARE);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30), EINVAL);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_OPT_STATS), EINVAL);
	uint32_t mem[9];
	len = sizeof(mem);
	CHECK(!getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &len));
	CHECK_EQ(len, 36);
	CHECK_EQ(mem[1], 212992);
	CHECK_EQ(mem[3], 212992);
}

static const struct opt ip[] = {
	SWITCH(SOL_IP, IP_PKTINFO, 0),
	SWITCH(SOL_IP, IP_RECVTTL, 0),
	SWITCH(SOL_IP, IP_RECVTOS, 0),
	SWITCH(SOL_IP, IP_RECVOPTS, 0),
	SWITCH(SOL_IP, IP_RETOPTS, 0),
	SWITCH(SOL_IP, IP_RECVORIGDSTADDR, 0),
	SWITCH(SOL_IP, IP_RECVFRAGSIZE, 0),
	SWITCH(SOL_IP, IP_RECVERR, 0),
	{SOL_IP, IP_RECVERR_RFC4884, 0, 1, 1, 2, -1, EINVAL},
	SWITCH(SOL_IP, IP_FREEBIND, 0),
	SWITCH(SOL_IP, IP_MULTICAST_LOOP, 1),
	{SOL_IP, IP_MULTICAST_ALL, 1, 0, 0, 2, -1, EINVAL},
	SWITCH(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 0),
	SWITCH(SOL_IP, IP_TRANSPARENT, 0),
	SWITCH(SOL_IP, IP_CHECKSUM, 0),
	SWITCH(SOL_IP, IP_PASSSEC, 0),
	{SOL_IP, IP_TTL, 64, 7, 7, 256, 0, EINVAL},
	{SOL_IP, IP_TTL, 7, -1, 64, -2, NONE, EINVAL},
	{SOL_IP, IP_MINTTL, 0, 255, 255, 256, -1, EINVAL},
	{SOL_IP, IP_MULTICAST_TTL, 1, 0, 0, 256, -2, EINVAL},
	{SOL_IP, IP_MULTICAST_TTL, 0, -1, 1, NONE, NONE, 0},
	{SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT, IP_PMTUDISC_OMIT, IP_PMTUDISC_OMIT, 6, -1,
		EINVAL},
	{SOL_IP, IP_TOS, 0, 0xb8, 0xb8, NONE, NONE, 0},
	{SOL_IP, IP_UNICAST_IF, 0, 1 << 24, 1 << 24, 9 << 24, NONE, EADDRNOTAVAIL},
	{SOL_IP, 51 /* IP_LOCAL_PORT_RANGE */, 0, (50000 << 16) | 40000,
		(int)((50000u << 16) | 40000u), (100 << 16) | 200, NONE, EINVAL},
};

TEST(ip_level)
{
	int fd = udp_socket(AF_INET);
	check_opts(fd, ip, N(ip));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_PRIORITY), 4); /* by IP_TOS */
	CHECK_ERRNO(setint(fd, SOL_IP, IP_HDRINCL, 1), ENOPROTOOPT);
	CHECK_ERRNO(setint(fd, SOL_IP, IP_NODEFRAG, 1), ENOPROTOOPT);
	CHECK_ERRNO(setint(fd, SOL_IP, 1000, 1), ENOPROTOOPT);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_TCLASS, 1), ENOPROTOOPT);
	socklen_t len = 4;
	int v;
	CHECK_ERRNO(getsockopt(fd, SOL_IP, IP_MTU, &v, &len), ENOTCONN);
	struct addr to = loopback(AF_INET, 9);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK_EQ(getint(fd, SOL_IP, IP_MTU), 65535);
	/* One byte will do. */
	unsigned char c = 9;
	CHECK(!setsockopt(fd, SOL_IP, IP_TTL, &c, 1));
	len = 1;
	c = 0;
	CHECK(!getsockopt(fd, SOL_IP, IP_TTL, &c, &len));
	CHECK_EQ(c, 9);
	CHECK_EQ(len, 1);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_TTL, &c, 0), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, IP_RECVTTL, &c, 0));
	CHECK_EQ(getint(fd, SOL_IP, IP_RECVTTL), 0);
}

TEST(ip_level_on_ipv6)
{
	int fd = udp_socket(AF_INET6);
	CHECK_EQ(getint(fd, SOL_IP, IP_MULTICAST_ALL), 0); /* which it has not */
	CHECK(!setint(fd, SOL_IP, IP_MULTICAST_ALL, 1));
	check_opts(fd, ip, N(ip));
}

static const struct opt ip6[] = {
	SWITCH(SOL_IPV6, IPV6_RECVPKTINFO, 0),
	SWITCH(SOL_IPV6, IPV6_2292PKTINFO, 0),
	SWITCH(SOL_IPV6, IPV6_RECVHOPLIMIT, 0),
	SWITCH(SOL_IPV6, IPV6_2292HOPLIMIT, 0),
	SWITCH(SOL_IPV6, IPV6_RECVRTHDR, 0),
	SWITCH(SOL_IPV6, IPV6_RECVHOPOPTS, 0),
	SWITCH(SOL_IPV6, IPV6_RECVDSTOPTS, 0),
	SWITCH(SOL_IPV6, IPV6_RECVTCLASS, 0),
	SWITCH(SOL_IPV6, IPV6_RECVPATHMTU, 0),
	SWITCH(SOL_IPV6, IPV6_RECVORIGDSTADDR, 0),
	SWITCH(SOL_IPV6, IPV6_RECVFRAGSIZE, 0),
	SWITCH(SOL_IPV6, IPV6_RECVERR, 0),
	{SOL_IPV6, IPV6_RECVERR_RFC4884, 0, 1, 1, 2, -1, EINVAL},
	{SOL_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 0, 2, NONE, EINVAL},
	SWITCH(SOL_IPV6, IPV6_MULTICAST_ALL, 1),
	SWITCH(SOL_IPV6, IPV6_AUTOFLOWLABEL, 1),
	SWITCH(SOL_IPV6, IPV6_DONTFRAG, 0),
	SWITCH(SOL_IPV6, IPV6_TRANSPARENT, 0),
	SWITCH(SOL_IPV6, IPV6_FREEBIND, 0),
	SWITCH(SOL_IPV6, IPV6_V6ONLY, 0),
	{SOL_IPV6, IPV6_UNICAST_HOPS, 64, 5, 5, 256, -2, EINVAL},
	{SOL_IPV6, IPV6_UNICAST_HOPS, 5, -1, 64, NONE, NONE, 0},
	{SOL_IPV6, IPV6_MULTICAST_HOPS, 1, 0, 0, 256, -2, EINVAL},
	{SOL_IPV6, IPV6_MULTICAST_HOPS, 0, -1, 1, NONE, NONE, 0},
	{SOL_IPV6, IPV6_MINHOPCOUNT, 0, 255, 255, 256, -1, EINVAL},
	{SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT, IPV6_PMTUDISC_DO, IPV6_PMTUDISC_DO, 6, -1,
		EINVAL},
	{SOL_IPV6, IPV6_TCLASS, 0, 255, 255, 256, -2, EINVAL},
	{SOL_IPV6, IPV6_TCLASS, 255, -1, 0, NONE, NONE, 0},
	{SOL_IPV6, IPV6_MULTICAST_IF, 0, 1, 1, 99, NONE, ENODEV},
	{SOL_IPV6, IPV6_UNICAST_IF, 0, 1 << 24, 1 << 24, 9 << 24, NONE, EADDRNOTAVAIL},
	{SOL_IPV6, IPV6_ADDR_PREFERENCES, 0x500, 1, 0x401, 3, 0x404, EINVAL},
};

TEST(ipv6_level)
{
	int fd = udp_socket(AF_INET6), v = 1;
	socklen_t len = sizeof(v);
	char buf[64];
	check_opts(fd, ip6, N(ip6));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_TCLASS, &v, 3), EINVAL);
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_DONTFRAG, &v, 1)); /* too short is 0 */
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_DONTFRAG), 0);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_MTU, 1279), EINVAL);
	CHECK(!setint(fd, SOL_IPV6, IPV6_MTU, 1280));
	CHECK_ERRNO(getsockopt(fd, SOL_IPV6, IPV6_MTU, &v, &len), ENOTCONN);
	CHECK_ERRNO(setint(fd, SOL_IPV6, 1000, 1), ENOPROTOOPT);
	struct addr to = loopback(AF_INET6, 9);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_MTU), 65536);
	len = sizeof(buf);
	CHECK(!getsockopt(fd, SOL_IPV6, IPV6_PATHMTU, buf, &len));
	CHECK_EQ(len, 32);
	len = 31;
	CHECK_ERRNO(getsockopt(fd, SOL_IPV6, IPV6_PATHMTU, buf, &len), EINVAL);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_V6ONLY, 0), EINVAL);
	CHECK_EQ(getint(fd, SOL_IPV6, IPV6_ADDRFORM), AF_INET6);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_ADDRFORM, AF_INET), EADDRNOTAVAIL);
}

TEST(addrform)
{
	int fd = udp_socket(AF_INET6), four = udp_bound(AF_INET);
	struct addr to = addr_of(four);
	char c;
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_ADDRFORM, AF_INET), ENOTCONN);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_ADDRFORM, AF_INET6), EINVAL);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK(!setint(fd, SOL_IPV6, IPV6_ADDRFORM, AF_INET));
	CHECK_EQ(getint(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	CHECK_EQ(addr_of(fd).sa.sa_family, AF_INET);
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	CHECK_EQ(recv(four, &c, 1, 0), 1);
}

static const struct opt udp[] = {
	SWITCH(SOL_UDP, UDP_CORK, 0),
	SWITCH(SOL_UDP, UDP_NO_CHECK6_TX, 0),
	SWITCH(SOL_UDP, UDP_NO_CHECK6_RX, 0),
	{SOL_UDP, UDP_SEGMENT, 0, 1000, 1000, 65536, -1, EINVAL},
	{SOL_UDP, UDP_ENCAP, 0, NONE, 0, NONE, NONE, 0},
};

TEST(udp_level)
{
	int fd = udp_socket(AF_INET);
	check_opts(fd, udp, N(udp));
	CHECK(!setint(fd, SOL_UDP, UDP_GRO, 1));
	CHECK_EQ(getint(fd, SOL_UDP, UDP_GRO), 1);
	CHECK_ERRNO(setint(fd, SOL_UDP, 77, 1), ENOPROTOOPT);
	CHECK_ERRNO(setint(fd, IPPROTO_TCP, 1, 1), ENOPROTOOPT);
}

TEST(options_of_ip)
{
	int fd = udp_socket(AF_INET);
	unsigned char nop[4] = {1, 1, 1, 0}, rr[11] = {7, 11, 4}, bad[3] = {7, 2, 4}, got[40];
	socklen_t len = sizeof(got);
	CHECK(!getsockopt(fd, SOL_IP, IP_OPTIONS, got, &len));
	CHECK_EQ(len, 0);
	CHECK(!setsockopt(fd, SOL_IP, IP_OPTIONS, nop, 4));
	len = sizeof(got);
	CHECK(!getsockopt(fd, SOL_IP, IP_OPTIONS, got, &len));
	CHECK_EQ(len, 4);
	CHECK(!setsockopt(fd, SOL_IP, IP_OPTIONS, rr, 11));
	len = sizeof(got);
	CHECK(!getsockopt(fd, SOL_IP, IP_OPTIONS, got, &len));
	CHECK_EQ(len, 12);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_OPTIONS, bad, 3), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IP, IP_OPTIONS, got, 41), EINVAL);
	CHECK(!setsockopt(fd, SOL_IP, IP_OPTIONS, NULL, 0));
	len = sizeof(got);
	CHECK(!getsockopt(fd, SOL_IP, IP_OPTIONS, got, &len));
	CHECK_EQ(len, 0);
}

TEST(sticky_headers)
{
	int fd = udp_socket(AF_INET6);
	unsigned char dst[8] = {0, 0, 1, 4}, odd[9] = {0}, rt[24] = {0, 2, 0, 1}, got[64];
	socklen_t len = sizeof(got);
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, dst, 8));
	CHECK(!getsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, got, &len));
	CHECK_EQ(len, 8);
	CHECK(!memcmp(got + 1, dst + 1, 7));
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, odd, 9), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_IPV6, IPV6_RTHDR, rt, 24), EINVAL); /* type 0 is dead */
	CHECK(!setsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, NULL, 0));
	len = sizeof(got);
	CHECK(!getsockopt(fd, SOL_IPV6, IPV6_DSTOPTS, got, &len));
	CHECK_EQ(len, 0);
}

/* --- privileges --- */

static void drop_caps(void)
{
	CHECK(!setresuid(1000, 1000, 1000));
}

TEST(privileges)
{
	int fd = udp_socket(AF_INET), six = udp_socket(AF_INET6);
	unsigned char dst[8] = {0, 0, 1, 4};
	drop_caps();
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_MARK, 1), EPERM);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_PRIORITY, 7), EPERM);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1), EPERM);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_DEBUG, 1), EACCES);
	CHECK_ERRNO(setint(fd, SOL_IP, IP_TRANSPARENT, 1), EPERM);
	CHECK_ERRNO(setint(six, SOL_IPV6, IPV6_TRANSPARENT, 1), EPERM);
	CHECK_ERRNO(setsockopt(six, SOL_IPV6, IPV6_DSTOPTS, dst, 8), EPERM);
	CHECK(!setint(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 1));
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0), EPERM); /* out of it again */
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
}

/* --- filters --- */

TEST(filter)
{
	int a = udp_bound(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	/* Payloads that begin with 'y' pass, but only 3 bytes of them. */
	struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1), BPF_STMT(BPF_RET | BPF_K, 11),
		BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog prog = {4, f}, none = {0, f};
	char buf[16];
	socklen_t len;
	CHECK_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &prog, 15), EINVAL);
	CHECK_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &none, sizeof(none)), EINVAL);
	CHECK_ERRNO(setint(b, SOL_SOCKET, SO_DETACH_FILTER, 0), ENOENT);
	CHECK(!setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)));
	CHECK_EQ(sendto(a, "no", 2, 0, &to.sa, to.len), 2);
	CHECK_EQ(sendto(a, "yes indeed", 10, 0, &to.sa, to.len), 10);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 3);
	CHECK_ERRNO(recv(b, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	len = 0;
	CHECK(!getsockopt(b, SOL_SOCKET, SO_GET_FILTER, NULL, &len));
	CHECK_EQ(len, 4);
	struct sock_filter got[8];
	len = 3;
	CHECK_ERRNO(getsockopt(b, SOL_SOCKET, SO_GET_FILTER, got, &len), EINVAL);
	len = 8;
	CHECK(!getsockopt(b, SOL_SOCKET, SO_GET_FILTER, got, &len));
	CHECK_EQ(len, 4);
	CHECK(!memcmp(got, f, sizeof(f)));
	CHECK(!setint(b, SOL_SOCKET, SO_LOCK_FILTER, 1));
	CHECK_ERRNO(setint(b, SOL_SOCKET, SO_DETACH_FILTER, 0), EPERM);
	CHECK_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), EPERM);
}

TEST(filter_programs)
{
	int b = udp_bound(AF_INET);
	struct sock_filter loop[] = {BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), BPF_STMT(BPF_RET, 0)};
	struct sock_filter end[] = {BPF_STMT(BPF_LD | BPF_IMM, 1)};
	struct sock_filter div0[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), BPF_STMT(BPF_RET, 0)};
	struct sock_filter ad[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + 100)),
		BPF_STMT(BPF_RET | BPF_A, 0)};
	struct sock_filter ok[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
		BPF_STMT(BPF_RET | BPF_A, 0)};
	struct sock_fprog p[] = {{2, loop}, {1, end}, {2, div0}, {2, ad}};
	for (int i = 0; i < 4; i++)
		CHECK_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &p[i], sizeof(p[i])),
			EINVAL);
	struct sock_fprog fine = {2, ok};
	CHECK(!setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &fine, sizeof(fine)));
}
