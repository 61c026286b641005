/* Addresses, routes and rules: what they bring along, the order of dumps, who refuses what with
 * which error, and which source address a socket gets */
#include "test.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

static int nl;

struct req {
	struct nlmsghdr h;
	char body[1024];
};

static struct req q;

static void begin(uint16_t type, uint16_t flags, const void *body, uint32_t n)
{
	memset(&q, 0, sizeof(q));
	q.h.nlmsg_type = type;
	q.h.nlmsg_flags = NLM_F_REQUEST | flags;
	q.h.nlmsg_seq = 1;
	q.h.nlmsg_len = NLMSG_LENGTH(n);
	memcpy(q.body, body, n);
}

static struct rtattr *attr(uint16_t type, const void *v, uint32_t n)
{
	struct rtattr *a = (struct rtattr *)((char *)&q + NLMSG_ALIGN(q.h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), v, n);
	q.h.nlmsg_len = NLMSG_ALIGN(q.h.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

/* The errno of a request, 0 for none. */
static int ask(void)
{
	char buf[4096];
	q.h.nlmsg_flags |= NLM_F_ACK;
	CHECK_EQ(send(nl, &q, q.h.nlmsg_len, 0), q.h.nlmsg_len);
	ssize_t n = recv(nl, buf, sizeof(buf), 0);
	CHECK(n > 0);
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	CHECK_EQ(h->nlmsg_type, NLMSG_ERROR);
	return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static const char *const names[] = {"lo", "p0", "d0", "p1", "d1"}; /* by index */

static unsigned int index_of(const char *name)
{
	unsigned int i = 0;
	while (strcmp(names[i], name) != 0)
		i++;
	return i + 1;
}

static const char *name_of(int index)
{
	CHECK(index >= 1 && index <= 5);
	return names[index - 1];
}

/* One end of a veth pair; the other is only there. */
static int new_link(const char *name, const char *peer)
{
	struct ifinfomsg i = {.ifi_index = (int)index_of(name)};
	struct ifinfomsg pi = {.ifi_index = (int)index_of(peer)};
	begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	attr(IFLA_IFNAME, name, (uint32_t)strlen(name) + 1);
	struct rtattr *info = attr(IFLA_LINKINFO, NULL, 0);
	attr(IFLA_INFO_KIND, "veth", 4);
	struct rtattr *data = attr(IFLA_INFO_DATA, NULL, 0);
	struct rtattr *p = attr(VETH_INFO_PEER, &pi, sizeof(pi));
	attr(IFLA_IFNAME, peer, (uint32_t)strlen(peer) + 1);
	char *end = (char *)&q + q.h.nlmsg_len;
	p->rta_len = (uint16_t)(end - (char *)p);
	data->rta_len = (uint16_t)(end - (char *)data);
	info->rta_len = (uint16_t)(end - (char *)info);
	return ask();
}

static void link_up(const char *name, bool up)
{
	struct ifinfomsg i = {.ifi_index = (int)index_of(name),
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP};
	begin(RTM_NEWLINK, 0, &i, sizeof(i));
	CHECK_EQ(ask(), 0);
}

static uint32_t parse(const char *s, unsigned char out[16])
{
	bool v6 = strchr(s, ':') != NULL;
	CHECK_EQ(inet_pton(v6 ? AF_INET6 : AF_INET, s, out), 1);
	return v6 ? 16 : 4;
}

static int addr(uint16_t type, uint16_t flags, const char *ifname, const char *a, uint8_t len)
{
	unsigned char b[16];
	uint32_t n = parse(a, b);
	struct ifaddrmsg m = {.ifa_family = n == 16 ? AF_INET6 : AF_INET,
		.ifa_prefixlen = len,
		.ifa_flags = IFA_F_NODAD,
		.ifa_index = index_of(ifname)};
	begin(type, flags, &m, sizeof(m));
	attr(IFA_LOCAL, b, n);
	attr(IFA_ADDRESS, b, n);
	return ask();
}

#define CREATE (NLM_F_CREATE | NLM_F_EXCL)

static int route(uint16_t op, uint16_t flags, uint8_t type, const char *dst, uint8_t len,
	const char *gw, const char *ifname, uint32_t table, uint32_t metric)
{
	unsigned char b[16], g[16];
	uint32_t n = parse(dst, b);
	struct rtmsg m = {.rtm_family = n == 16 ? AF_INET6 : AF_INET,
		.rtm_dst_len = len,
		.rtm_table = (unsigned char)(table < 256 ? table : RT_TABLE_UNSPEC),
		.rtm_protocol = op == RTM_NEWROUTE ? RTPROT_STATIC : 0,
		.rtm_type = type,
		.rtm_scope = op == RTM_DELROUTE         ? RT_SCOPE_NOWHERE
			     : gw || n == 16 || !ifname ? RT_SCOPE_UNIVERSE
							: RT_SCOPE_LINK};
	begin(op, flags, &m, sizeof(m));
	if (len)
		attr(RTA_DST, b, n);
	if (gw) {
		parse(gw, g);
		attr(RTA_GATEWAY, g, n);
	}
	int index = ifname ? (int)index_of(ifname) : 0;
	if (ifname)
		attr(RTA_OIF, &index, sizeof(index));
	attr(RTA_TABLE, &table, sizeof(table));
	if (metric)
		attr(RTA_PRIORITY, &metric, sizeof(metric));
	return ask();
}

#define MAIN RT_TABLE_MAIN
static int add(const char *dst, uint8_t len, const char *gw, const char *ifname)
{
	return route(RTM_NEWROUTE, CREATE, RTN_UNICAST, dst, len, gw, ifname, MAIN, 0);
}

/* --- dumps --- */

static char dump[8192];

static void show_route(const struct nlmsghdr *h)
{
	const struct rtmsg *m = NLMSG_DATA(h);
	char dst[64] = "default", src[64] = "", gw[64] = "", dev[IF_NAMESIZE] = "";
	uint32_t metric = 0;
	int n = (int)RTM_PAYLOAD(h);
	for (struct rtattr *a = RTM_RTA(m); RTA_OK(a, n); a = RTA_NEXT(a, n)) {
		if (a->rta_type == RTA_DST)
			inet_ntop(m->rtm_family, RTA_DATA(a), dst, sizeof(dst));
		else if (a->rta_type == RTA_PREFSRC)
			inet_ntop(m->rtm_family, RTA_DATA(a), src, sizeof(src));
		else if (a->rta_type == RTA_GATEWAY)
			inet_ntop(m->rtm_family, RTA_DATA(a), gw, sizeof(gw));
		else if (a->rta_type == RTA_OIF)
			snprintf(dev, sizeof(dev), "%s", name_of(*(int *)RTA_DATA(a)));
		else if (a->rta_type == RTA_PRIORITY)
			metric = *(uint32_t *)RTA_DATA(a);
	}
	if (strstr(dst, "fe80") == dst) /* made of a random hardware address */
		return;
	snprintf(dump + strlen(dump), sizeof(dump) - strlen(dump),
		"%d %s/%d %s %s %s %d %d %d %u\n", m->rtm_type, dst, m->rtm_dst_len, gw, dev, src,
		m->rtm_table, m->rtm_scope, m->rtm_protocol, metric);
}

static const char *routes(int family)
{
	struct rtmsg m = {.rtm_family = (unsigned char)family};
	static char buf[32768];
	bool done = false;
	dump[0] = 0;
	begin(RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m));
	CHECK_EQ(send(nl, &q, q.h.nlmsg_len, 0), q.h.nlmsg_len);
	while (!done) {
		int n = (int)recv(nl, buf, sizeof(buf), 0);
		CHECK(n > 0);
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, (unsigned int)n);
			h = NLMSG_NEXT(h, n)) {
			done |= h->nlmsg_type == NLMSG_DONE;
			if (h->nlmsg_type == RTM_NEWROUTE)
				show_route(h);
		}
	}
	return dump;
}

static void expect_routes(int family, const char *want)
{
	if (strcmp(routes(family), want) != 0)
		test_fail("routes are\n%s, not\n%s", dump, want);
}

/* --- sockets --- */

static int open_to(const char *dst, uint32_t mark)
{
	bool v6 = strchr(dst, ':') != NULL;
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(9)};
	int s = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(s >= 0);
	if (mark)
		CHECK_OK(setsockopt(s, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)));
	inet_pton(v6 ? AF_INET6 : AF_INET, dst, v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
	int r = v6 ? connect(s, (struct sockaddr *)&a6, sizeof(a6))
		   : connect(s, (struct sockaddr *)&a4, sizeof(a4));
	if (r == 0)
		return s;
	int err = errno;
	close(s);
	return -err;
}

/* Whom a socket speaks as to dst; or the errno's name. */
static const char *source(const char *dst, uint32_t mark)
{
	static char out[64];
	int s = open_to(dst, mark);
	if (s < 0) {
		snprintf(out, sizeof(out), "%s", strerrorname_np(-s));
		return out;
	}
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);
	CHECK_OK(getsockname(s, (struct sockaddr *)&a, &n));
	inet_ntop(a.ss_family,
		a.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&a)->sin_addr
				       : (void *)&((struct sockaddr_in6 *)&a)->sin6_addr,
		out, sizeof(out));
	close(s);
	return out;
}

#define SOURCE(dst, want) CHECK_STR(source(dst, 0), want)

/* --- tests --- */

static void fresh(void)
{
	CHECK_OK(unshare(CLONE_NEWNET));
	if (nl)
		close(nl);
	nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK(nl >= 0);
	link_up("lo", true);
	int err = new_link("d0", "p0");
	if (err == EOPNOTSUPP)
		test_skip("no veth pairs are to be had");
	CHECK_EQ(err, 0);
	CHECK_EQ(new_link("d1", "p1"), 0);
	link_up("p0", true);
	link_up("p1", true);
	link_up("d0", true);
	link_up("d1", true);
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "10.1.0.1", 24), 0);
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d1", "10.2.0.1", 24), 0);
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "2001:db8:1::1", 64), 0);
}

TEST(connected)
{
	fresh();
	expect_routes(AF_INET, "1 10.1.0.0/24  d0 10.1.0.1 254 253 2 0\n"
			       "1 10.2.0.0/24  d1 10.2.0.1 254 253 2 0\n"
			       "2 10.1.0.1/32  d0 10.1.0.1 255 254 2 0\n"
			       "3 10.1.0.255/32  d0 10.1.0.1 255 253 2 0\n"
			       "2 10.2.0.1/32  d1 10.2.0.1 255 254 2 0\n"
			       "3 10.2.0.255/32  d1 10.2.0.1 255 253 2 0\n"
			       "2 127.0.0.0/8  lo 127.0.0.1 255 254 2 0\n"
			       "2 127.0.0.1/32  lo 127.0.0.1 255 254 2 0\n"
			       "3 127.255.255.255/32  lo 127.0.0.1 255 253 2 0\n");
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "10.1.0.1", 24), EEXIST);
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "10.1.0.5", 33), EINVAL);
	CHECK_EQ(addr(RTM_DELADDR, 0, "d0", "10.1.0.9", 24), EADDRNOTAVAIL);
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "10.1.0.2", 24), 0);
	CHECK_EQ(addr(RTM_DELADDR, 0, "d0", "10.1.0.1", 24), 0); /* its secondary goes too */
	SOURCE("10.1.0.2", "ENETUNREACH");
	SOURCE("10.2.0.2", "10.2.0.1");
	link_up("d1", false);
	SOURCE("10.2.0.2", "ENETUNREACH");
	SOURCE("10.2.0.1", "10.2.0.1"); /* its own address stays */
	link_up("d1", true);
	SOURCE("10.2.0.2", "10.2.0.1");
}

TEST(refused4)
{
	fresh();
	CHECK_EQ(add("20.0.0.0", 8, "11.0.0.1", NULL), ENETUNREACH); /* no way to the gateway */
	CHECK_EQ(add("20.0.0.1", 8, "10.1.0.2", NULL), EINVAL);      /* bits behind the prefix */
	CHECK_EQ(add("20.0.0.0", 8, NULL, NULL), ENODEV);
	CHECK_EQ(add("20.0.0.0", 8, "10.1.0.2", NULL), 0);
	CHECK_EQ(add("20.0.0.0", 8, "10.1.0.2", NULL), EEXIST);
	CHECK_EQ(add("20.0.0.0", 8, "10.1.0.3", NULL), EEXIST);
	CHECK_EQ(route(RTM_NEWROUTE, NLM_F_REPLACE, RTN_UNICAST, "21.0.0.0", 8, "10.1.0.3", NULL,
			 MAIN, 0),
		ENOENT);
	CHECK_EQ(route(RTM_NEWROUTE, NLM_F_REPLACE | NLM_F_CREATE, RTN_UNICAST, "20.0.0.0", 8,
			 "10.2.0.3", NULL, MAIN, 0),
		0);
	SOURCE("20.1.1.1", "10.2.0.1");
	CHECK_EQ(route(RTM_NEWROUTE, CREATE, RTN_UNICAST, "20.0.0.0", 8, "10.1.0.3", NULL, MAIN, 5),
		0); /* of another metric */
	SOURCE("20.1.1.1", "10.2.0.1");
	CHECK_EQ(route(RTM_DELROUTE, 0, 0, "20.0.0.0", 8, "10.2.0.3", NULL, MAIN, 0), 0);
	SOURCE("20.1.1.1", "10.1.0.1");
	CHECK_EQ(route(RTM_DELROUTE, 0, 0, "20.0.0.0", 8, "10.2.0.3", NULL, MAIN, 0), ESRCH);
	link_up("d0", false);
	SOURCE("20.1.1.1", "ENETUNREACH"); /* it went with its link */
	CHECK_EQ(add("22.0.0.0", 8, NULL, "d0"), ENETDOWN);
}

TEST(types)
{
	static const struct {
		uint8_t type;
		const char *err4, *err6;
	} t[] = {{RTN_BLACKHOLE, "EINVAL", "EINVAL"}, {RTN_PROHIBIT, "EACCES", "EACCES"},
		{RTN_UNREACHABLE, "EHOSTUNREACH", "EHOSTUNREACH"},
		{RTN_THROW, "ENETUNREACH", "ENETUNREACH"}};
	fresh();
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		CHECK_EQ(route(RTM_NEWROUTE, CREATE, t[i].type, "20.0.0.0", 8, NULL, NULL, MAIN, 0),
			0);
		SOURCE("20.0.0.1", t[i].err4);
		CHECK_EQ(route(RTM_DELROUTE, 0, t[i].type, "20.0.0.0", 8, NULL, NULL, MAIN, 0), 0);
		CHECK_EQ(route(RTM_NEWROUTE, CREATE, t[i].type, "2001:db8:9::", 48, NULL, "lo",
				 MAIN, 0),
			0);
		CHECK_STR(source("2001:db8:9::1", 0), t[i].err6);
		CHECK_EQ(route(RTM_DELROUTE, 0, t[i].type, "2001:db8:9::", 48, NULL, NULL, MAIN, 0),
			0);
	}
}

TEST(refused6)
{
	fresh();
	CHECK_EQ(add("2001:db8:9::", 48, "2001:db8:77::1", "d0"), EHOSTUNREACH);
	CHECK_EQ(add("2001:db8:9::", 48, "2001:db8:1::1", "d0"), EINVAL);
	CHECK_EQ(add("2001:db8:9::", 48, "2001:db8:1::2", NULL), 0);
	CHECK_EQ(add("2001:db8:9::", 48, "2001:db8:1::2", NULL), EEXIST);
	SOURCE("2001:db8:9::5", "2001:db8:1::1");
	SOURCE("2001:db8:8::5", "ENETUNREACH");
	CHECK_EQ(add("::", 0, "2001:db8:1::2", "d0"), 0);
	SOURCE("2001:db8:8::5", "2001:db8:1::1");
	CHECK_EQ(route(RTM_DELROUTE, 0, 0, "2001:db8:9::", 48, NULL, NULL, MAIN, 0), 0);
	CHECK_EQ(route(RTM_DELROUTE, 0, 0, "2001:db8:9::", 48, NULL, NULL, MAIN, 0), ESRCH);
	SOURCE("::1", "::1");
	link_up("lo", false);
	CHECK_EQ(addr(RTM_DELADDR, 0, "d0", "2001:db8:1::1", 64), 0);
}

static int rule(uint16_t op, uint32_t priority, uint32_t mark, uint32_t table, uint8_t action)
{
	struct fib_rule_hdr h = {.family = AF_INET, .action = action};
	begin(op, op == RTM_NEWRULE ? CREATE : 0, &h, sizeof(h));
	attr(FRA_PRIORITY, &priority, sizeof(priority));
	attr(FRA_FWMARK, &mark, sizeof(mark));
	attr(FRA_TABLE, &table, sizeof(table));
	return ask();
}

TEST(rules)
{
	fresh();
	CHECK_EQ(route(RTM_NEWROUTE, CREATE, RTN_UNICAST, "0.0.0.0", 0, "10.2.0.9", NULL, 1000, 0),
		0);
	CHECK_EQ(add("0.0.0.0", 0, "10.1.0.9", NULL), 0);
	CHECK_EQ(rule(RTM_NEWRULE, 100, 7, 1000, FR_ACT_TO_TBL), 0);
	CHECK_EQ(rule(RTM_NEWRULE, 100, 7, 1000, FR_ACT_TO_TBL), EEXIST);
	CHECK_STR(source("20.0.0.1", 0), "10.1.0.1");
	CHECK_STR(source("20.0.0.1", 7), "10.2.0.1");
	CHECK_EQ(rule(RTM_NEWRULE, 50, 8, 0, FR_ACT_PROHIBIT), 0);
	CHECK_STR(source("20.0.0.1", 8), "EACCES");
	CHECK_EQ(rule(RTM_NEWRULE, 51, 9, 0, FR_ACT_UNREACHABLE), 0);
	CHECK_STR(source("20.0.0.1", 9), "ENETUNREACH");
	CHECK_EQ(rule(RTM_DELRULE, 100, 7, 1000, FR_ACT_TO_TBL), 0);
	CHECK_STR(source("20.0.0.1", 7), "10.1.0.1");
	CHECK_EQ(rule(RTM_DELRULE, 100, 7, 1000, FR_ACT_TO_TBL), ENOENT);
}

/* A second one of a link, of a wider scope or a fitting prefix, preferred sources. */
TEST(sources)
{
	fresh();
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "10.9.0.1", 16), 0);
	SOURCE("10.9.3.3", "10.9.0.1");
	CHECK_EQ(add("20.0.0.0", 8, "10.9.0.2", NULL), 0);
	SOURCE("20.1.1.1", "10.9.0.1");
	CHECK_EQ(add("21.0.0.0", 8, NULL, "d0"), 0);
	SOURCE("21.1.1.1", "10.1.0.1");
	SOURCE("10.9.0.1", "10.9.0.1"); /* to itself as itself */
	SOURCE("10.1.0.1", "10.1.0.1");
	CHECK_EQ(addr(RTM_NEWADDR, CREATE, "d0", "fd00::1", 64), 0);
	CHECK_EQ(add("::", 0, "2001:db8:1::9", "d0"), 0);
	SOURCE("2001:db8:5::1", "2001:db8:1::1");
	SOURCE("fd01::1", "fd00::1"); /* of the same label */
}
