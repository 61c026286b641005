/* rtnetlink(7): changes of addresses, routes, rules and links, in a namespace of the case's own. */
#include "netlink.h"

static void address(struct request *r, int type, int flags, unsigned int be, int len)
{
	struct ifaddrmsg *m = begin(r, type, flags | NLM_F_ACK, sizeof(*m));
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = (unsigned char)len;
	m->ifa_index = 1;
	attr(r, IFA_LOCAL, &be, 4);
}

#define IP(a, b, c, d) ((unsigned int)(a) | (b) << 8 | (c) << 16 | (unsigned int)(d) << 24)

TEST(addresses)
{
	struct request r;
	int fd = own_net();
	address(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, IP(10, 1, 2, 3), 24);
	CHECK_EQ(answer(fd, &r), 0);
	CHECK_EQ(answer(fd, &r), EEXIST);
	address(&r, RTM_NEWADDR, NLM_F_CREATE, IP(10, 1, 2, 4), 33);
	CHECK_EQ(answer(fd, &r), EINVAL);
	address(&r, RTM_DELADDR, 0, IP(10, 1, 2, 9), 24);
	CHECK_EQ(answer(fd, &r), EADDRNOTAVAIL);
	address(&r, RTM_DELADDR, 0, IP(10, 1, 2, 3), 24);
	CHECK_EQ(answer(fd, &r), 0);
	address(&r, RTM_NEWADDR, NLM_F_CREATE, IP(10, 1, 2, 4), 24);
	((struct ifaddrmsg *)r.body)->ifa_index = 4711;
	CHECK_EQ(answer(fd, &r), ENODEV);
}

static void route(struct request *r, int type, int flags, unsigned int be, int len)
{
	int lo = 1;
	struct rtmsg *m = begin(r, type, flags | NLM_F_ACK, sizeof(*m));
	m->rtm_family = AF_INET;
	m->rtm_dst_len = (unsigned char)len;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = type == RTM_DELROUTE ? RT_SCOPE_NOWHERE : RT_SCOPE_LINK;
	m->rtm_type = type == RTM_DELROUTE ? 0 : RTN_UNICAST;
	attr(r, RTA_DST, &be, 4);
	attr(r, RTA_OIF, &lo, 4);
}

/* What has bits of ECN in its TOS would never match. */
TEST(tos)
{
	struct request r;
	int fd = own_net();
	route(&r, RTM_NEWROUTE, NLM_F_CREATE, IP(10, 1, 2, 0), 24);
	((struct rtmsg *)r.body)->rtm_tos = 3;
	CHECK_EQ(answer(fd, &r), EINVAL);
	((struct rtmsg *)r.body)->rtm_tos = 0xb8;
	CHECK_EQ(answer(fd, &r), 0);
	/* Of a rule of IPv4 it is the old TOS. */
	static const int values[] = {3, 0xb8, 0x20, 0x1e, 0x1c, 0x10};
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		int tos = values[i];
		struct fib_rule_hdr *m =
			begin(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
		m->family = AF_INET;
		m->table = RT_TABLE_MAIN;
		m->action = FR_ACT_TO_TBL;
		m->tos = (unsigned char)tos;
		CHECK_EQ(answer(fd, &r), tos & ~0x1c ? EINVAL : 0);
		m = begin(&r, RTM_NEWRULE, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
		m->family = AF_INET6;
		m->table = RT_TABLE_MAIN;
		m->action = FR_ACT_TO_TBL;
		m->tos = (unsigned char)tos;
		CHECK_EQ(answer(fd, &r), tos & 3 ? EINVAL : 0);
	}
}

TEST(queue_length)
{
	struct request r;
	unsigned int n = UINT32_MAX;
	int fd = own_net();
	struct ifinfomsg *m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	attr(&r, IFLA_TXQLEN, &n, 4);
	CHECK_EQ(answer(fd, &r), 0);
}

TEST(routes)
{
	struct request r;
	char buf[8192];
	int fd = own_net();
	unsigned int to = IP(10, 9, 1, 1);
	route(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, IP(10, 9, 0, 0), 16);
	CHECK_EQ(answer(fd, &r), 0);
	CHECK_EQ(answer(fd, &r), EEXIST);
	route(&r, RTM_NEWROUTE, NLM_F_CREATE, IP(10, 9, 0, 1), 16);
	CHECK_EQ(answer(fd, &r), EINVAL); /* bits behind the prefix */
	route(&r, RTM_NEWROUTE, NLM_F_CREATE, IP(10, 9, 0, 0), 33);
	CHECK_EQ(answer(fd, &r), EINVAL);
	route(&r, RTM_NEWROUTE, NLM_F_REPLACE, IP(10, 10, 0, 0), 16);
	CHECK_EQ(answer(fd, &r), ENOENT);
	struct rtmsg *m = begin(&r, RTM_GETROUTE, 0, sizeof(*m));
	m->rtm_family = AF_INET;
	attr(&r, RTA_DST, &to, 4);
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) > 0);
	struct nlmsghdr *h = (void *)buf;
	CHECK_EQ((int)h->nlmsg_type, RTM_NEWROUTE);
	CHECK_EQ(*(int *)find_attr(h, sizeof(*m), RTA_OIF), 1);
	CHECK_EQ(*(unsigned int *)find_attr(h, sizeof(*m), RTA_DST), to);
	route(&r, RTM_DELROUTE, 0, IP(10, 9, 0, 0), 16);
	CHECK_EQ(answer(fd, &r), 0);
	CHECK_EQ(answer(fd, &r), ESRCH);
	m = begin(&r, RTM_GETROUTE, 0, sizeof(*m));
	m->rtm_family = AF_INET;
	attr(&r, RTA_DST, &to, 4);
	CHECK_EQ(answer(fd, &r), ENETUNREACH);
}

/* Everything that a dump of many answers has, in more pieces than one; and that it is one at a
 * time. */
TEST(long_dump)
{
	struct request r;
	char buf[16384];
	int fd = own_net(), n, seen = 0, pieces = 0, done = 0;
	for (int i = 0; i < 2000; i++) {
		route(&r, RTM_NEWROUTE, NLM_F_CREATE, IP(20, i & 255, i >> 8, 0), 24);
		CHECK_EQ(answer(fd, &r), 0);
	}
	struct rtmsg *m = begin(&r, RTM_GETROUTE, NLM_F_DUMP, sizeof(*m));
	m->rtm_family = AF_INET;
	put(fd, &r);
	begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(struct rtgenmsg));
	r.h.nlmsg_seq = 99;
	put(fd, &r);
	int busy = 0;
	for (; !done || !busy; pieces++) {
		n = (int)recv(fd, buf, sizeof(buf), 0);
		CHECK(n > 0);
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned int)n);
			h = NLMSG_NEXT(h, n)) {
			const unsigned int *dst = h->nlmsg_type == RTM_NEWROUTE
							  ? find_attr(h, sizeof(*m), RTA_DST)
							  : NULL;
			seen += dst && (*dst & 255) == 20;
			if (h->nlmsg_type == NLMSG_DONE)
				done = 1;
			if (h->nlmsg_type == NLMSG_ERROR) {
				CHECK_EQ((int)h->nlmsg_seq, 99);
				CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -EBUSY);
				busy = 1;
			}
		}
	}
	CHECK_EQ(seen, 2000);
	CHECK(pieces > 3);
}

TEST(events)
{
	struct request r;
	char buf[8192];
	struct nlmsghdr *h = (void *)buf;
	int fd = own_net();
	int ev = nl_bound(NETLINK_ROUTE, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE);
	address(&r, RTM_NEWADDR, NLM_F_CREATE, IP(10, 1, 2, 3), 32);
	CHECK_EQ(answer(fd, &r), 0);
	int addr = 0, rt = 0;
	while (recv(ev, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
		addr += h->nlmsg_type == RTM_NEWADDR;
		rt += h->nlmsg_type == RTM_NEWROUTE;
		CHECK_EQ((int)h->nlmsg_seq, h->nlmsg_type == RTM_NEWADDR ? 77 : (int)h->nlmsg_seq);
	}
	CHECK_EQ(addr, 1);
	CHECK(rt >= 1);
	struct ifinfomsg *m = begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	m->ifi_change = IFF_UP;
	CHECK_EQ(answer(fd, &r), 0);
	int down = 0;
	while (recv(ev, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		if (h->nlmsg_type == RTM_NEWLINK)
			down |= !(((struct ifinfomsg *)NLMSG_DATA(h))->ifi_flags & IFF_UP);
	CHECK(down);
	/* Who asks for it hears of his own change. */
	address(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_ECHO, IP(10, 1, 2, 5), 32);
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) > 0);
	CHECK_EQ((int)h->nlmsg_type, RTM_NEWADDR);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), 36);
}

TEST(links)
{
	struct request r;
	int fd = own_net();
	struct ifinfomsg *m = begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_ACK, sizeof(*m));
	attr(&r, IFLA_IFNAME, "x0", 3);
	struct rtattr *info = attr(&r, IFLA_LINKINFO, NULL, 0);
	attr(&r, IFLA_INFO_KIND, "nonsense", 8);
	nest_end(&r, info);
	CHECK_EQ(answer(fd, &r), EOPNOTSUPP);
	m = begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sizeof(*m));
	attr(&r, IFLA_IFNAME, "x0", 3);
	info = attr(&r, IFLA_LINKINFO, NULL, 0);
	attr(&r, IFLA_INFO_KIND, "veth", 4);
	nest_end(&r, info);
	CHECK_EQ(answer(fd, &r), 0);
	CHECK_EQ(answer(fd, &r), EEXIST);
	m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	unsigned int mtu = 1400;
	attr(&r, IFLA_IFNAME, "x0", 3);
	attr(&r, IFLA_MTU, &mtu, 4);
	CHECK_EQ(answer(fd, &r), 0);
	m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	mtu = 10;
	attr(&r, IFLA_IFNAME, "x0", 3);
	attr(&r, IFLA_MTU, &mtu, 4);
	CHECK_EQ(answer(fd, &r), EINVAL);
	m = begin(&r, RTM_DELLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	CHECK_EQ(answer(fd, &r), EOPNOTSUPP);
	m = begin(&r, RTM_DELLINK, NLM_F_ACK, sizeof(*m));
	attr(&r, IFLA_IFNAME, "x0", 3);
	CHECK_EQ(answer(fd, &r), 0);
	CHECK_EQ(answer(fd, &r), ENODEV);
	/* Into the namespace of a process. */
	m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	int pid = 999999;
	attr(&r, IFLA_IFNAME, "lo", 3);
	attr(&r, IFLA_NET_NS_PID, &pid, 4);
	CHECK_EQ(answer(fd, &r), ESRCH);
}

/* --- links and where they are --- */

static void add_link(int fd, const char *name, const char *kind)
{
	struct request r;
	begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, sizeof(struct ifinfomsg));
	attr(&r, IFLA_IFNAME, name, (unsigned)strlen(name) + 1);
	struct rtattr *info = attr(&r, IFLA_LINKINFO, NULL, 0);
	attr(&r, IFLA_INFO_KIND, kind, (unsigned)strlen(kind));
	nest_end(&r, info);
	int e = answer(fd, &r);
	if (e == EOPNOTSUPP)
		test_skip("this kernel has no links of kind %s", kind);
	CHECK_EQ(e, 0);
}

static int index_of(const char *name)
{
	struct ifreq q = {0};
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	strcpy(q.ifr_name, name);
	CHECK_EQ(ioctl(s, SIOCGIFINDEX, &q), 0);
	close(s);
	return q.ifr_ifindex;
}

/* A link that moves is no port of a bridge that it has left behind. */
TEST(master_in_another_namespace)
{
	struct request r;
	int p[2], go[2];
	char c;
	CHECK_EQ(pipe(p), 0);
	CHECK_EQ(pipe(go), 0);
	pid_t pid = fork();
	if (!pid) {
		CHECK_EQ(unshare(CLONE_NEWNET), 0);
		CHECK_EQ((int)write(p[1], "x", 1), 1);
		close(go[1]);
		read(go[0], &c, 1);
		_exit(0);
	}
	CHECK_EQ((int)read(p[0], &c, 1), 1);
	int fd = own_net();
	add_link(fd, "br0", "bridge");
	add_link(fd, "x0", "veth");
	int master = index_of("br0"); /* the other namespace has lo alone */
	begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(struct ifinfomsg));
	attr(&r, IFLA_IFNAME, "x0", 3);
	attr(&r, IFLA_NET_NS_PID, &pid, 4);
	attr(&r, IFLA_MASTER, &master, 4);
	CHECK_EQ(answer(fd, &r), EINVAL);
	close(go[0]);
	close(go[1]);
	WAIT_OK(pid);
}

TEST(long_alias)
{
	struct request r;
	char text[256], buf[8192];
	int fd = own_net();
	memset(text, 'y', sizeof(text));
	struct ifinfomsg *m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	attr(&r, IFLA_IFALIAS, text, 255);
	CHECK_EQ(answer(fd, &r), 0);
	m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 1;
	put(fd, &r);
	CHECK((int)recv(fd, buf, sizeof(buf), 0) > 0);
	const char *got = find_attr((void *)buf, sizeof(*m), IFLA_IFALIAS);
	CHECK(got != NULL);
	CHECK_EQ((int)strspn(got, "y"), 255);
	CHECK_EQ(got[255], 0);
	m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	attr(&r, IFLA_IFALIAS, text, 256);
	CHECK(answer(fd, &r) > 0);
}
