/* ioctl(2) on sockets of each kind: owners, stamps, bridges, the file of a name, requests nobody
 * knows. */
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_packet.h>
#include <linux/ipv6_route.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

#define SIOCUNIXFILE_ (SIOCPROTOPRIVATE + 0) /* <linux/un.h>, which clashes with <sys/un.h> */
#define RTF_UP_ 1

static const struct kind {
	int family, type, protocol;
} kinds[] = {
	{AF_UNIX, SOCK_STREAM, 0},
	{AF_UNIX, SOCK_DGRAM, 0},
	{AF_UNIX, SOCK_SEQPACKET, 0},
	{AF_INET, SOCK_STREAM, 0},
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET, SOCK_RAW, IPPROTO_ICMP},
	{AF_INET6, SOCK_STREAM, 0},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
	{AF_PACKET, SOCK_RAW, 0},
	{AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static int open_kind(const struct kind *k)
{
	int fd = socket(k->family, k->type, k->protocol);
	CHECK(fd >= 0);
	return fd;
}

static struct ifreq named(const char *name)
{
	struct ifreq r;
	memset(&r, 0, sizeof(r));
	strcpy(r.ifr_name, name);
	return r;
}

TEST(owner)
{
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]), pid = -1;
		CHECK_EQ(ioctl(fd, FIOGETOWN, &pid), 0);
		CHECK_EQ(pid, 0);
		pid = getpid();
		CHECK_EQ(ioctl(fd, FIOSETOWN, &pid), 0);
		CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
		pid = -1;
		CHECK_EQ(ioctl(fd, SIOCGPGRP, &pid), 0);
		CHECK_EQ(pid, getpid());
		pid = -getpgrp();
		CHECK_EQ(ioctl(fd, SIOCSPGRP, &pid), 0);
		pid = 0;
		CHECK_EQ(ioctl(fd, FIOGETOWN, &pid), 0);
		CHECK_EQ(pid, -getpgrp());
		pid = 0x3fffffff;
		CHECK_ERRNO(ioctl(fd, SIOCSPGRP, &pid), ESRCH);
		pid = INT_MIN;
		CHECK_ERRNO(ioctl(fd, FIOSETOWN, &pid), EINVAL);
		pid = 0;
		CHECK_EQ(ioctl(fd, FIOSETOWN, &pid), 0);
		CHECK_EQ(fcntl(fd, F_GETOWN), 0);
		CHECK_ERRNO(ioctl(fd, FIOSETOWN, (void *)8), EFAULT);
		CHECK_ERRNO(ioctl(fd, SIOCSPGRP, (void *)8), EFAULT);
		CHECK_ERRNO(ioctl(fd, FIOGETOWN, (void *)8), EFAULT);
		CHECK_ERRNO(ioctl(fd, SIOCGPGRP, (void *)8), EFAULT);
		close(fd);
	}
	/* Of sockets only. */
	int p[2], pid = getpid();
	CHECK_EQ(pipe(p), 0);
	CHECK_ERRNO(ioctl(p[0], FIOSETOWN, &pid), ENOTTY);
	CHECK_ERRNO(ioctl(p[0], SIOCGPGRP, &pid), ENOTTY);
}

/* The urgent signal... of data goes to the owner that an ioctl has set. */
static volatile int signalled;
static void on_io(int sig)
{
	signalled = sig;
}

TEST(owner_is_signalled)
{
	int sv[2], pid = getpid(), on = 1;
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	signal(SIGIO, on_io);
	CHECK_EQ(ioctl(sv[0], SIOCSPGRP, &pid), 0);
	CHECK_EQ(ioctl(sv[0], FIOASYNC, &on), 0);
	sigset_t s, old;
	sigemptyset(&s);
	sigaddset(&s, SIGIO);
	CHECK_EQ(sigprocmask(SIG_BLOCK, &s, &old), 0);
	CHECK_EQ(write(sv[1], "x", 1), 1);
	while (!signalled)
		sigsuspend(&old);
	CHECK_EQ(signalled, SIGIO);
}

TEST(at_mark)
{
	int v = 7, sv[2];
	for (int t = SOCK_DGRAM; t <= SOCK_SEQPACKET; t += SOCK_SEQPACKET - SOCK_DGRAM) {
		int fd = socket(AF_UNIX, t, 0);
		CHECK_ERRNO(ioctl(fd, SIOCATMARK, &v), EOPNOTSUPP);
		close(fd);
	}
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(ioctl(sv[0], SIOCATMARK, &v), 0);
	CHECK_EQ(v, 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_ERRNO(ioctl(fd, SIOCATMARK, &v), ENOTTY);
}

TEST(stamps)
{
	long long t[2];
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]);
		bool has = kinds[i].family != AF_UNIX && kinds[i].family != AF_NETLINK;
		for (int n = 0; n < 2; n++) { /* asking changes nothing */
			CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_OLD, t), has ? ENOENT : ENOTTY);
			CHECK_ERRNO(ioctl(fd, SIOCGSTAMPNS_OLD, t), has ? ENOENT : ENOTTY);
			CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_NEW, t), has ? ENOENT : ENOTTY);
			CHECK_ERRNO(ioctl(fd, SIOCGSTAMP_OLD, (void *)8), has ? ENOENT : ENOTTY);
		}
		close(fd);
	}
}

static int in_own_net(int family)
{
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = socket(family, SOCK_DGRAM, 0);
	CHECK(fd >= 0);
	return fd;
}

/* Requests of drivers that no link here has: the name is looked up first, and the caller's right.
 */
TEST(of_drivers)
{
	static const unsigned int gets[] = {SIOCBONDINFOQUERY, SIOCBONDSLAVEINFOQUERY, SIOCWANDEV,
		SIOCGHWTSTAMP, SIOCDEVPRIVATE, SIOCDEVPRIVATE + 15};
	static const unsigned int sets[] = {SIOCGMIIPHY, SIOCGMIIREG, SIOCSMIIREG, SIOCBONDENSLAVE,
		SIOCBONDRELEASE, SIOCBONDSETHWADDR, SIOCBONDCHANGEACTIVE, SIOCBRADDIF, SIOCBRDELIF};
	int fd = in_own_net(AF_UNIX);
	struct ifreq r;
	for (size_t i = 0; i < sizeof(gets) / sizeof(gets[0]); i++) {
		r = named("lo");
		CHECK_ERRNO(ioctl(fd, gets[i], &r), EOPNOTSUPP);
		r = named("nosuch");
		CHECK_ERRNO(ioctl(fd, gets[i], &r), ENODEV);
		CHECK_ERRNO(ioctl(fd, gets[i], (void *)8), EFAULT);
	}
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		r = named("lo");
		CHECK_ERRNO(ioctl(fd, sets[i], &r), EOPNOTSUPP);
		r = named("nosuch");
		CHECK_ERRNO(ioctl(fd, sets[i], &r), ENODEV);
		CHECK_ERRNO(ioctl(fd, sets[i], (void *)8), EFAULT);
	}
	r = named("lo");
	r.ifr_data = (void *)8;
	CHECK_ERRNO(ioctl(fd, SIOCSHWTSTAMP, &r), EFAULT);
	CHECK_ERRNO(ioctl(fd, SIOCSIFSLAVE, &r), EINVAL);
	memset(&r.ifr_hwaddr, 0, sizeof(r.ifr_hwaddr));
	CHECK_ERRNO(ioctl(fd, SIOCADDMULTI, &r), EINVAL); /* lo has no filter */
	CHECK_ERRNO(ioctl(fd, SIOCDELMULTI, &r), EINVAL);
	IN_CHILD({
		CHECK_EQ(setuid(4711), 0);
		r = named("lo");
		for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
			CHECK_ERRNO(ioctl(fd, sets[i], &r), EPERM);
		CHECK_ERRNO(ioctl(fd, gets[0], &r), EOPNOTSUPP);
		CHECK_ERRNO(ioctl(fd, SIOCBRADDBR, "b0"), EPERM);
		CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE_, 0), EPERM);
	});
}

TEST(unknown)
{
	struct ifreq r = named("lo");
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]);
		CHECK_ERRNO(ioctl(fd, 0x8900, &r), ENOTTY);
		CHECK_ERRNO(ioctl(fd, 0x8900, (void *)8), EFAULT); /* an ifreq is copied first */
		CHECK_ERRNO(ioctl(fd, 0x89ef, (void *)8), EFAULT);
		CHECK_ERRNO(ioctl(fd, 0x8a00, (void *)8), ENOTTY);
		CHECK_ERRNO(ioctl(fd, TCGETS, (void *)8), ENOTTY);
		bool inet = kinds[i].family == AF_INET;
		CHECK_ERRNO(ioctl(fd, SIOCRTMSG, &r), inet ? EINVAL : ENOTTY);
		CHECK_ERRNO(ioctl(fd, SIOCGIFPFLAGS, &r), inet ? EINVAL : ENOTTY);
		CHECK_ERRNO(ioctl(fd, SIOCSIFPFLAGS, &r), inet ? EINVAL : ENOTTY);
		close(fd);
	}
}

/* No packets for groups are forwarded here: there are no interfaces and routes of that. */
TEST(multicast_routes)
{
	char buf[128] = "";
	for (int i = 0; i < 2; i++) {
		int fd = open_kind(&kinds[i ? 8 : 5]);
		CHECK_ERRNO(ioctl(fd, SIOCPROTOPRIVATE, buf), EINVAL);
		CHECK_ERRNO(ioctl(fd, SIOCPROTOPRIVATE + 1, buf), EADDRNOTAVAIL);
		CHECK_ERRNO(ioctl(fd, SIOCPROTOPRIVATE, (void *)8), EFAULT);
		close(fd);
	}
	int fd = open_kind(&kinds[4]);
	CHECK_ERRNO(ioctl(fd, SIOCPROTOPRIVATE, buf), ENOTTY);
}

static int index_of(int fd, const char *name)
{
	struct ifreq r = named(name);
	return ioctl(fd, SIOCGIFINDEX, &r) ? -1 : r.ifr_ifindex;
}

TEST(bridges)
{
	int fd = in_own_net(AF_INET), indices[8] = {0};
	unsigned long version[3] = {BRCTL_GET_VERSION};
	unsigned long list[3] = {BRCTL_GET_BRIDGES, (unsigned long)indices, 8};
	int r = ioctl(fd, SIOCGIFBR, version);
	if (r < 0 && errno == ENOPKG)
		test_skip("no bridges here");
	CHECK_EQ(r, BRCTL_VERSION);
	CHECK_EQ(ioctl(fd, SIOCGIFBR, list), 0);
	CHECK_EQ(ioctl(fd, SIOCBRADDBR, "br0"), 0);
	CHECK_ERRNO(ioctl(fd, SIOCBRADDBR, "br0"), EEXIST);
	CHECK_ERRNO(ioctl(fd, SIOCBRADDBR, "lo"), EEXIST);
	CHECK_ERRNO(ioctl(fd, SIOCBRADDBR, ""), EINVAL);
	CHECK_ERRNO(ioctl(fd, SIOCBRADDBR, (void *)8), EFAULT);
	CHECK(index_of(fd, "br0") > 1);
	unsigned long add[3] = {BRCTL_ADD_BRIDGE, (unsigned long)"br1"};
	CHECK_EQ(ioctl(fd, SIOCSIFBR, add), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFBR, list), 2);
	CHECK_EQ(indices[0] + indices[1], index_of(fd, "br0") + index_of(fd, "br1"));
	list[2] = 1;
	CHECK_EQ(ioctl(fd, SIOCGIFBR, list), 1);
	list[2] = 2048;
	CHECK_ERRNO(ioctl(fd, SIOCGIFBR, list), ENOMEM);
	add[0] = 99;
	CHECK_ERRNO(ioctl(fd, SIOCGIFBR, add), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(fd, SIOCGIFBR, (void *)8), EFAULT);

	struct ifreq q = named("br0");
	q.ifr_ifindex = 1;
	CHECK_ERRNO(ioctl(fd, SIOCBRADDIF, &q), EINVAL); /* lo */
	q.ifr_ifindex = 4711;
	CHECK_ERRNO(ioctl(fd, SIOCBRADDIF, &q), EINVAL);
	q.ifr_ifindex = index_of(fd, "br1");
	CHECK_ERRNO(ioctl(fd, SIOCBRADDIF, &q), ELOOP);
	CHECK_ERRNO(ioctl(fd, SIOCBRDELIF, &q), EINVAL);

	q.ifr_flags = IFF_UP;
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &q), 0);
	CHECK_ERRNO(ioctl(fd, SIOCBRDELBR, "br0"), EBUSY);
	q.ifr_flags = 0;
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &q), 0);
	CHECK_EQ(ioctl(fd, SIOCBRDELBR, "br0"), 0);
	CHECK_EQ(index_of(fd, "br0"), -1);
	CHECK_ERRNO(ioctl(fd, SIOCBRDELBR, "br0"), ENXIO);
	CHECK_ERRNO(ioctl(fd, SIOCBRDELBR, "lo"), EPERM);
	add[0] = BRCTL_DEL_BRIDGE;
	CHECK_EQ(ioctl(fd, SIOCSIFBR, add), 0);
}

TEST(unix_file)
{
	for (int i = 0; i < 3; i++) {
		struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "name"};
		char link[64], to[200], here[200];
		int fd = open_kind(&kinds[i]);
		CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE_, 0), ENOENT);
		CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		int p = ioctl(fd, SIOCUNIXFILE_, 0);
		CHECK(p >= 0);
		CHECK_EQ(fcntl(p, F_GETFD), FD_CLOEXEC);
		CHECK(fcntl(p, F_GETFL) & O_PATH);
		struct stat st, want;
		CHECK_EQ(fstat(p, &st), 0);
		CHECK_EQ(stat("name", &want), 0);
		CHECK(st.st_ino == want.st_ino && S_ISSOCK(st.st_mode));
		snprintf(link, sizeof(link), "/proc/self/fd/%d", p);
		ssize_t n = readlink(link, to, sizeof(to) - 1);
		CHECK(n > 0);
		to[n] = 0;
		CHECK(getcwd(here, sizeof(here)));
		CHECK(!strncmp(to, here, strlen(here)) && !strcmp(to + strlen(here), "/name"));
		CHECK_EQ(unlink("name"), 0);
		close(p);
		close(fd);
		fd = open_kind(&kinds[i]);
		a.sun_path[0] = 0;
		CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE_, 0), ENOENT);
		close(fd);
	}
	int fd = open_kind(&kinds[3]);
	CHECK_ERRNO(ioctl(fd, SIOCUNIXFILE_, named), ENOTTY);
}

TEST(default_route6)
{
	int fd = in_own_net(AF_INET6);
	struct ifreq up = named("lo");
	up.ifr_flags = IFF_UP;
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &up), 0);
	struct in6_rtmsg m = {.rtmsg_flags = RTF_UP_, .rtmsg_ifindex = 1};
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &m), ENOENT);
	m.rtmsg_metric = 5;
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &m), ESRCH);
	CHECK_EQ(ioctl(fd, SIOCADDRT, &m), 0);
	m.rtmsg_metric = 0; /* any */
	CHECK_EQ(ioctl(fd, SIOCDELRT, &m), 0);
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &m), ENOENT);
	m.rtmsg_dst_len = 64;
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &m), ESRCH);
}
