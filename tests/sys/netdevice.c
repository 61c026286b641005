/* netdevice(7): links, addresses, routes and ARP by ioctl, in a namespace of each case's own. */
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/ipv6_route.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "test.h"

struct rt {
	unsigned long pad1;
	struct sockaddr dst, gateway, genmask;
	unsigned short flags;
	short pad2;
	unsigned long pad3;
	void *pad4;
	short metric;
	char *dev;
	unsigned long mtu, window;
	unsigned short irtt;
};
#define RT_UP 1
#define RT_GATEWAY 2

static struct ifreq named(const char *name)
{
	struct ifreq r;
	memset(&r, 0, sizeof(r));
	strcpy(r.ifr_name, name);
	return r;
}

static void set_in(struct sockaddr *a, const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	CHECK_EQ(inet_pton(AF_INET, text, &in.sin_addr), 1);
	memcpy(a, &in, sizeof(in));
}

static const char *text_of(const struct sockaddr *a)
{
	static char buf[4][32];
	static int n;
	struct sockaddr_in in;
	memcpy(&in, a, sizeof(in));
	CHECK_EQ((int)in.sin_family, AF_INET);
	return inet_ntop(AF_INET, &in.sin_addr, buf[n++ & 3], 32);
}

/* A veth pair of our own: v0 (10.9.0.1/24), v1; both up. */
static void make_pair(void)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg m;
		char attrs[256];
	} q = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
		       .nlmsg_type = RTM_NEWLINK,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK}};
	char buf[1024];
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	char *p = q.attrs, *info, *data, *peer;
#define PUT(type, s, n)                                                                            \
	do {                                                                                       \
		struct rtattr *a_ = (void *)p;                                                     \
		a_->rta_type = type;                                                               \
		a_->rta_len = (unsigned short)RTA_LENGTH(n);                                       \
		memcpy(RTA_DATA(a_), s, n);                                                        \
		p += RTA_SPACE(n);                                                                 \
	} while (0)
#define END(at) (((struct rtattr *)(void *)(at))->rta_len = (unsigned short)(p - (at)))
	PUT(IFLA_IFNAME, "v0", 3);
	info = p;
	PUT(IFLA_LINKINFO, "", 0);
	PUT(1 /* IFLA_INFO_KIND */, "veth", 4);
	data = p;
	PUT(2 /* IFLA_INFO_DATA */, "", 0);
	peer = p;
	struct ifinfomsg m = {0};
	PUT(1 /* VETH_INFO_PEER */, &m, sizeof(m));
	PUT(IFLA_IFNAME, "v1", 3);
	END(peer);
	END(data);
	END(info);
	q.h.nlmsg_len = (unsigned int)(p - (char *)&q);
	CHECK_EQ((int)send(fd, &q, q.h.nlmsg_len, 0), (int)q.h.nlmsg_len);
	CHECK(recv(fd, buf, sizeof(buf), 0) >= 20);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)buf))->error, 0);
	close(fd);
}

static int up(const char *name, int fd)
{
	struct ifreq r = named(name);
	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &r);
}

static int own_net(void)
{
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(fd >= 0);
	return fd;
}

static int pair_net(void)
{
	int fd = own_net();
	make_pair();
	struct ifreq r = named("v0");
	set_in(&r.ifr_addr, "10.9.0.1");
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &r), 0);
	set_in(&r.ifr_netmask, "255.255.255.0");
	CHECK_EQ(ioctl(fd, SIOCSIFNETMASK, &r), 0);
	CHECK_EQ(up("v0", fd), 0);
	CHECK_EQ(up("v1", fd), 0);
	return fd;
}

TEST(names)
{
	int fd = own_net();
	struct ifreq r = named("lo");
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &r), 0);
	CHECK_EQ(r.ifr_ifindex, 1);
	memset(&r, 0, sizeof(r));
	r.ifr_ifindex = 1;
	CHECK_EQ(ioctl(fd, SIOCGIFNAME, &r), 0);
	CHECK_STR(r.ifr_name, "lo");
	r.ifr_ifindex = 4711;
	CHECK_ERRNO(ioctl(fd, SIOCGIFNAME, &r), ENODEV);
	r = named("nope");
	CHECK_ERRNO(ioctl(fd, SIOCGIFINDEX, &r), ENODEV);
	CHECK_ERRNO(ioctl(fd, SIOCGIFINDEX, (void *)1), EFAULT);
	/* Any socket will do. */
	static const int families[] = {AF_UNIX, AF_INET6, AF_NETLINK, AF_PACKET};
	for (int i = 0; i < 4; i++) {
		int s = socket(families[i], families[i] == AF_NETLINK ? SOCK_RAW : SOCK_DGRAM, 0);
		CHECK(s >= 0);
		r = named("lo");
		CHECK_EQ(ioctl(s, SIOCGIFINDEX, &r), 0);
		CHECK_EQ(r.ifr_ifindex, 1);
		close(s);
	}
	r = named("lo");
	strcpy(r.ifr_newname, "loop");
	CHECK_EQ(ioctl(fd, SIOCSIFNAME, &r), 0);
	r = named("loop");
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &r), 0);
	strcpy(r.ifr_newname, "a/b");
	CHECK_ERRNO(ioctl(fd, SIOCSIFNAME, &r), EINVAL);
}

TEST(settings)
{
	int fd = own_net();
	struct ifreq r = named("lo");
	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	CHECK_EQ(r.ifr_flags, IFF_LOOPBACK);
	CHECK_EQ(up("lo", fd), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	CHECK_EQ(r.ifr_flags, IFF_LOOPBACK | IFF_UP | IFF_RUNNING);
	CHECK_EQ(ioctl(fd, SIOCGIFMTU, &r), 0);
	CHECK_EQ(r.ifr_mtu, 65536);
	r.ifr_mtu = 9000;
	CHECK_EQ(ioctl(fd, SIOCSIFMTU, &r), 0);
	r.ifr_mtu = -1;
	CHECK_ERRNO(ioctl(fd, SIOCSIFMTU, &r), EINVAL);
	CHECK_EQ(ioctl(fd, SIOCGIFMTU, &r), 0);
	CHECK_EQ(r.ifr_mtu, 9000);
	CHECK_EQ(ioctl(fd, SIOCGIFMETRIC, &r), 0);
	CHECK_EQ(r.ifr_metric, 0);
	CHECK_ERRNO(ioctl(fd, SIOCSIFMETRIC, &r), EOPNOTSUPP);
	CHECK_EQ(ioctl(fd, SIOCGIFTXQLEN, &r), 0);
	CHECK_EQ(r.ifr_qlen, 1000);
	r.ifr_qlen = 77;
	CHECK_EQ(ioctl(fd, SIOCSIFTXQLEN, &r), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFTXQLEN, &r), 0);
	CHECK_EQ(r.ifr_qlen, 77);
	CHECK_EQ(ioctl(fd, SIOCGIFHWADDR, &r), 0);
	CHECK_EQ((int)r.ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
	CHECK(!memcmp(r.ifr_hwaddr.sa_data, "\0\0\0\0\0\0", 6));
	CHECK_EQ(ioctl(fd, SIOCGIFMAP, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCGIFSLAVE, &r), EINVAL);
}

TEST(hwaddr)
{
	int fd = pair_net();
	struct ifreq r = named("v0");
	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(r.ifr_hwaddr.sa_data, "\2\0\0\0\0\1", 6);
	CHECK_EQ(ioctl(fd, SIOCSIFHWADDR, &r), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFHWADDR, &r), 0);
	CHECK(!memcmp(r.ifr_hwaddr.sa_data, "\2\0\0\0\0\1", 6));
	r.ifr_hwaddr.sa_data[0] = 1; /* a group's */
	CHECK_ERRNO(ioctl(fd, SIOCSIFHWADDR, &r), EADDRNOTAVAIL);
	r.ifr_hwaddr.sa_family = ARPHRD_LOOPBACK;
	CHECK_ERRNO(ioctl(fd, SIOCSIFHWADDR, &r), EINVAL);
}

TEST(addresses)
{
	int fd = pair_net();
	struct ifreq r = named("v0");
	CHECK_EQ(ioctl(fd, SIOCGIFADDR, &r), 0);
	CHECK_STR(text_of(&r.ifr_addr), "10.9.0.1");
	CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &r), 0);
	CHECK_STR(text_of(&r.ifr_netmask), "255.255.255.0");
	CHECK_EQ(ioctl(fd, SIOCGIFBRDADDR, &r), 0);
	CHECK_STR(text_of(&r.ifr_broadaddr), "10.9.0.255");
	CHECK_EQ(ioctl(fd, SIOCGIFDSTADDR, &r), 0);
	CHECK_STR(text_of(&r.ifr_dstaddr), "10.9.0.1");
	r = named("v1");
	CHECK_ERRNO(ioctl(fd, SIOCGIFADDR, &r), EADDRNOTAVAIL);
	set_in(&r.ifr_netmask, "255.0.255.0");
	CHECK_ERRNO(ioctl(fd, SIOCSIFNETMASK, &r), EADDRNOTAVAIL);
	r = named("v0");
	set_in(&r.ifr_netmask, "255.0.255.0");
	CHECK_ERRNO(ioctl(fd, SIOCSIFNETMASK, &r), EINVAL);
	r.ifr_addr.sa_family = AF_INET6;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EINVAL);
	/* An alias has an address of its own, which goes when it is taken down. */
	r = named("v0:7");
	set_in(&r.ifr_addr, "192.168.3.4");
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &r), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFADDR, &r), 0);
	CHECK_STR(r.ifr_name, "v0:7");
	CHECK_STR(text_of(&r.ifr_addr), "192.168.3.4");
	CHECK_EQ(ioctl(fd, SIOCGIFNETMASK, &r), 0);
	CHECK_STR(text_of(&r.ifr_netmask), "255.255.255.0");
	r.ifr_flags = 0;
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCGIFADDR, &r), EADDRNOTAVAIL);
	/* 0.0.0.0 takes it away. */
	r = named("v0");
	set_in(&r.ifr_addr, "0.0.0.0");
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCGIFADDR, &r), EADDRNOTAVAIL);
}

TEST(ifconf)
{
	int fd = pair_net();
	struct ifreq list[4];
	struct ifconf c = {.ifc_len = 0, .ifc_req = NULL};
	CHECK_EQ(up("lo", fd), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFCONF, &c), 0);
	CHECK_EQ(c.ifc_len, (int)(2 * sizeof(struct ifreq)));
	c.ifc_req = list;
	c.ifc_len = sizeof(list);
	CHECK_EQ(ioctl(fd, SIOCGIFCONF, &c), 0);
	CHECK_EQ(c.ifc_len, (int)(2 * sizeof(struct ifreq)));
	CHECK_STR(list[0].ifr_name, "lo");
	CHECK_STR(text_of(&list[0].ifr_addr), "127.0.0.1");
	CHECK_STR(list[1].ifr_name, "v0");
	c.ifc_len = (int)sizeof(struct ifreq) + 5;
	CHECK_EQ(ioctl(fd, SIOCGIFCONF, &c), 0);
	CHECK_EQ(c.ifc_len, (int)sizeof(struct ifreq));
}

static struct rt route(const char *dst, const char *mask, const char *gw)
{
	struct rt r = {.flags = RT_UP};
	set_in(&r.dst, dst);
	set_in(&r.genmask, mask);
	if (gw) {
		set_in(&r.gateway, gw);
		r.flags |= RT_GATEWAY;
	}
	return r;
}

TEST(routes)
{
	int fd = pair_net();
	struct rt r = route("10.77.0.0", "255.255.0.0", "10.9.0.2");
	CHECK_EQ((int)sizeof(r), 120);
	CHECK_EQ(ioctl(fd, SIOCADDRT, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &r), EEXIST);
	CHECK_EQ(ioctl(fd, SIOCDELRT, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCDELRT, &r), ESRCH);
	r = route("10.77.0.0", "255.255.0.0", "10.88.0.2");
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &r), ENETUNREACH);
	r = route("10.77.0.1", "255.255.0.0", "10.9.0.2");
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &r), EINVAL);
	r = route("10.77.0.0", "255.255.0.0", NULL);
	r.dev = (char *)"nope";
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &r), ENODEV);
	r.dev = (char *)"v0";
	CHECK_EQ(ioctl(fd, SIOCADDRT, &r), 0);
	r.dst.sa_family = AF_INET6;
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &r), EAFNOSUPPORT);
	char buf[4096];
	slurp("/proc/self/net/route", buf, sizeof(buf));
	CHECK(strstr(buf, "v0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0"));
}

TEST(arp)
{
	int fd = pair_net();
	struct arpreq a = {.arp_flags = ATF_PERM | ATF_COM};
	set_in(&a.arp_pa, "10.9.0.2");
	a.arp_ha.sa_family = ARPHRD_ETHER;
	memcpy(a.arp_ha.sa_data, "\2\0\0\0\0\7", 6);
	strcpy(a.arp_dev, "v0");
	CHECK_ERRNO(ioctl(fd, SIOCGARP, &a), ENXIO);
	CHECK_EQ(ioctl(fd, SIOCSARP, &a), 0);
	memset(&a.arp_ha, 0, sizeof(a.arp_ha));
	a.arp_flags = 0;
	CHECK_EQ(ioctl(fd, SIOCGARP, &a), 0);
	CHECK_EQ(a.arp_flags, ATF_PERM | ATF_COM);
	CHECK(!memcmp(a.arp_ha.sa_data, "\2\0\0\0\0\7", 6));
	char buf[4096];
	slurp("/proc/self/net/arp", buf, sizeof(buf));
	CHECK(strstr(buf, "10.9.0.2         0x1         0x6         02:00:00:00:00:07     *        "
			  "v0\n"));
	CHECK_EQ(ioctl(fd, SIOCDARP, &a), 0);
	a.arp_pa.sa_family = AF_INET6;
	CHECK_ERRNO(ioctl(fd, SIOCGARP, &a), EPFNOSUPPORT);
}

TEST(ipv6)
{
	pair_net();
	struct {
		struct in6_addr addr;
		unsigned int prefix_len;
		int index;
	} a = {.prefix_len = 64};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	struct ifreq r = named("v0");
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &r), 0);
	a.index = r.ifr_ifindex;
	inet_pton(AF_INET6, "2001:db8::7", &a.addr);
	CHECK_EQ(ioctl(fd, SIOCSIFADDR, &a), 0);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &a), EEXIST);
	char buf[4096];
	slurp("/proc/self/net/if_inet6", buf, sizeof(buf));
	CHECK(strstr(buf, "20010db8000000000000000000000007"));
	CHECK_EQ(ioctl(fd, SIOCDIFADDR, &a), 0);
	CHECK_ERRNO(ioctl(fd, SIOCDIFADDR, &a), EADDRNOTAVAIL);
	a.index = 4711;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &a), ENODEV);
	a.index = r.ifr_ifindex;
	a.prefix_len = 129;
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &a), EINVAL);
}

TEST(ethtool)
{
	int fd = pair_net();
	struct ifreq r = named("v0");
	struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};
	struct ethtool_value v = {.cmd = ETHTOOL_GLINK};
	r.ifr_data = (void *)&d;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &r), 0);
	CHECK_STR(d.driver, "veth");
	r.ifr_data = (void *)&v;
	CHECK_EQ(ioctl(fd, SIOCETHTOOL, &r), 0);
	CHECK_EQ((int)v.data, 1);
	v.cmd = 0xdead;
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &r), EOPNOTSUPP);
	r = named("nope");
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &r), EFAULT);
	r.ifr_data = (void *)&v;
	CHECK_ERRNO(ioctl(fd, SIOCETHTOOL, &r), ENODEV);
}

TEST(unprivileged)
{
	int fd = own_net();
	struct ifreq r = named("lo");
	struct rt e = route("10.0.0.0", "255.0.0.0", NULL);
	struct arpreq a = {0};
	CHECK_EQ(setuid(1234), 0);
	CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	CHECK_ERRNO(ioctl(fd, SIOCSIFFLAGS, &r), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFMTU, &r), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSIFADDR, &r), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCADDRT, &e), EPERM);
	CHECK_ERRNO(ioctl(fd, SIOCSARP, &a), EPERM);
}
