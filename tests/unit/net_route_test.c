/*
 * Routes: longest prefixes against a plain list, rules, source addresses (RFC 6724, 10), what
 * comes with addresses, the order of errors.
 */
#include <linux/fib_rules.h>

#include "tests/unit/net_ip_fake.h"

static void expect(const char *dst, const char *gw, const char *src, int type)
{
	struct route rt;
	CHECK_EQ(t_lookup(dst, &rt), 0);
	CHECK(addr_is(&rt.gw, gw));
	CHECK(addr_is(&rt.src, src));
	CHECK_EQ(rt.type, type);
	CHECK(route_valid(net, &rt));
	route_put(&rt);
}

static void expect_error(const char *dst, int err)
{
	struct route rt;
	CHECK_EQ(t_lookup(dst, &rt), err);
	route_put(&rt);
}

TEST(loopback)
{
	t_setup();
	expect("127.0.0.1", "127.0.0.1", "127.0.0.1", RTN_LOCAL);
	expect("127.9.9.9", "127.9.9.9", "127.0.0.1", RTN_LOCAL);
	expect("::1", "::1", "::1", RTN_LOCAL);
	expect("0.0.0.0", "127.0.0.1", "127.0.0.1", RTN_LOCAL);
	expect("::", "::1", "::1", RTN_LOCAL);
	expect("127.255.255.255", "127.255.255.255", "127.0.0.1", RTN_BROADCAST);
	expect_error("10.0.0.1", -ENETUNREACH);
	expect_error("2001:db8::1", -ENETUNREACH);
	struct link *lo = link_by_index(net, 1);
	CHECK_EQ(link_set_flags(lo, 0, IFF_UP), 0);
	expect_error("::1", -EADDRNOTAVAIL);
	CHECK_EQ(link_set_flags(lo, IFF_UP, IFF_UP), 0);
	expect("::1", "::1", "::1", RTN_LOCAL);
	expect("127.0.0.1", "127.0.0.1", "127.0.0.1", RTN_LOCAL);
	link_put(lo);
}

/* What `ip route show table all` says, on Linux 6.x, after the same steps. */
static void show(uint8_t family, char *out, size_t n)
{
	struct route_walk w = {.family = family};
	struct ip_route_info r;
	out[0] = 0;
	while (route_walk_next(net, &w, &r)) {
		char dst[IP_TEXT_MAX], src[IP_TEXT_MAX];
		ip_format(&r.dst, dst);
		ip_format(&r.prefsrc, src);
		snprintf(out + strlen(out), n - strlen(out), "%d %s/%d %d %d %s|", r.type, dst,
			r.dst_len, r.table, r.scope, src);
	}
}

TEST(connected)
{
	char *out = malloc(2000);
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.1.2.3/24"), 0);
	CHECK_EQ(t_addr(l, "10.1.2.3/24"), -EEXIST);
	CHECK_EQ(t_addr(l, "2001:db8::1/64"), 0);
	show(AF_INET, out, 2000);
	CHECK_STR(out, "1 10.1.2.0/24 254 253 10.1.2.3|2 10.1.2.3/32 255 254 10.1.2.3|"
		       "3 10.1.2.255/32 255 253 10.1.2.3|2 127.0.0.0/8 255 254 127.0.0.1|"
		       "2 127.0.0.1/32 255 254 127.0.0.1|3 127.255.255.255/32 255 253 127.0.0.1|");
	show(AF_INET6, out, 2000);
	CHECK_STR(out, "1 2001:db8::/64 254 0 ::|2 ::1/128 255 0 ::|2 2001:db8::1/128 255 0 ::|"
		       "5 ff00::/8 255 0 ::|");
	CHECK_EQ(t_addr(l, "10.1.2.4/24"), 0); /* a secondary one */
	expect("10.1.2.9", "10.1.2.9", "10.1.2.3", RTN_UNICAST);
	expect("10.1.2.4", "10.1.2.4", "10.1.2.3", RTN_LOCAL); /* as fib_magic has it */
	CHECK_EQ(ip_addr_del(net, &(struct ip_ifaddr){.index = l->index,
					  .family = AF_INET,
					  .local = addr_of("10.1.2.3"),
					  .peer = IP_ANY4}),
		0);
	expect_error("10.1.2.4", -ENETUNREACH);
	CHECK_EQ(link_set_flags(l, 0, IFF_UP), 0);
	show(AF_INET6, out, 2000);
	CHECK_STR(out, "2 ::1/128 255 0 ::|");
}

/* The only route of that type to dst, by which source; it must be there once. */
static struct ip_addr source_of(uint8_t type, const char *dst)
{
	struct route_walk w = {.family = AF_INET};
	struct ip_route_info r;
	struct ip_addr to = addr_of(dst), src = IP_ANY4;
	int n = 0;
	while (route_walk_next(net, &w, &r))
		if (r.type == type && ip_eq(&r.dst, &to)) {
			src = r.prefsrc;
			n++;
		}
	CHECK_EQ(n, 1);
	return src;
}

#define SOURCE(type, dst, want)                                                                    \
	do {                                                                                       \
		struct ip_addr got_ = source_of(type, dst), want_ = addr_of(want);                 \
		CHECK(ip_eq(&got_, &want_));                                                       \
	} while (0)

/* Routes of a secondary address are in the name of the primary one, and move with it. */
TEST(secondaries)
{
	struct ip_ifaddr x;
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/24"), 0);
	CHECK_EQ(t_addr(l, "10.0.0.2/24"), 0);
	CHECK_EQ(t_addr(l, "10.0.0.3/24"), 0);
	SOURCE(RTN_LOCAL, "10.0.0.2", "10.0.0.1");
	SOURCE(RTN_BROADCAST, "10.0.0.255", "10.0.0.1");
	struct ip_addr a = addr_of("10.0.0.1");
	CHECK(ip_addr_get(net, &a, l->index, &x));
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_promote_secondaries, 1);
	CHECK_EQ(ip_addr_del(net, &x), 0);
	SOURCE(RTN_LOCAL, "10.0.0.2", "10.0.0.2");
	SOURCE(RTN_LOCAL, "10.0.0.3", "10.0.0.2");
	SOURCE(RTN_UNICAST, "10.0.0.0", "10.0.0.2");
	SOURCE(RTN_BROADCAST, "10.0.0.255", "10.0.0.2");
	/* Or go with it. */
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_promote_secondaries, 0);
	a = addr_of("10.0.0.2");
	CHECK(ip_addr_get(net, &a, l->index, &x));
	CHECK_EQ(ip_addr_del(net, &x), 0);
	struct route_walk w = {.family = AF_INET};
	struct ip_route_info r;
	while (route_walk_next(net, &w, &r))
		CHECK(ip_is_loopback(&r.prefsrc));
}

TEST(errors)
{
	struct route rt;
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/8"), 0);
	struct ip_route_info r = t_route("192.168.0.0/16", "11.0.0.1", NULL);
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE | NLM_F_EXCL), -ENETUNREACH);
	r = t_route("192.168.0.0/16", "10.0.0.2", NULL);
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE | NLM_F_EXCL), 0);
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE | NLM_F_EXCL), -EEXIST);
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE), -EEXIST);
	expect("192.168.3.4", "10.0.0.2", "10.0.0.1", RTN_UNICAST);
	static const struct {
		const char *dst;
		uint8_t type;
		int err;
	} rejects[] = {{"20.0.0.0/8", RTN_BLACKHOLE, -EINVAL},
		{"21.0.0.0/8", RTN_PROHIBIT, -EACCES},
		{"22.0.0.0/8", RTN_UNREACHABLE, -EHOSTUNREACH},
		{"23.0.0.0/8", RTN_THROW, -ENETUNREACH}};
	for (size_t i = 0; i < ARRAY_LEN(rejects); i++) {
		r = t_route(rejects[i].dst, NULL, NULL);
		r.type = rejects[i].type;
		r.nhops = 0;
		r.scope = 0;
		CHECK_EQ(route_add(net, &r, NLM_F_CREATE | NLM_F_EXCL), 0);
		char dst[16];
		snprintf(dst, sizeof(dst), "2%d.0.0.1", (int)i);
		expect_error(dst, rejects[i].err);
	}
	r = t_route("192.168.0.1/16", "10.0.0.2", NULL);
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE), -EINVAL);
	struct flow f = {.dst = addr_of("10.0.0.2"), .src = addr_of("10.0.0.7")};
	CHECK_EQ(route_lookup(net, &f, &rt), -ENETUNREACH);
	f.anysrc = true;
	CHECK_EQ(route_lookup(net, &f, &rt), 0);
	route_put(&rt);
	f = (struct flow){.dst = addr_of("99.0.0.1"), .src = IP_ANY4, .oif = 77};
	CHECK_EQ(route_lookup(net, &f, &rt), -ENODEV);
	f.oif = l->index;
	CHECK_EQ(route_lookup(net, &f, &rt), 0); /* assumed to be on the link */
	CHECK(addr_is(&rt.src, "10.0.0.1") && addr_is(&rt.gw, "99.0.0.1"));
	route_put(&rt);
	f = (struct flow){.dst = addr_of("10.0.0.2"), .src = addr_of("127.0.0.1")};
	CHECK_EQ(route_lookup(net, &f, &rt), -EINVAL);
	f = (struct flow){.dst = addr_of("0.0.0.1"), .src = IP_ANY4};
	CHECK_EQ(route_lookup(net, &f, &rt), -ENETUNREACH);
	CHECK_EQ(route_del(net, &r), -EINVAL);
	r.dst = addr_of("192.169.0.0");
	CHECK_EQ(route_del(net, &r), -ESRCH);
}

TEST(rules)
{
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/8"), 0);
	struct ip_route_info r = t_route("30.0.0.0/8", "10.0.0.3", NULL);
	r.table = 100;
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE), 0);
	expect_error("30.0.0.1", -ENETUNREACH);
	struct ip_rule_info u = {.family = AF_INET,
		.action = FR_ACT_TO_TBL,
		.table = 100,
		.dst = addr_of("30.0.0.0"),
		.dst_len = 8,
		.suppress_ifgroup = UINT32_MAX,
		.suppress_prefixlen = UINT32_MAX};
	CHECK_EQ(rule_add(net, &u, NLM_F_CREATE | NLM_F_EXCL), 0);
	CHECK_EQ(u.priority, 32765);
	CHECK_EQ(rule_add(net, &u, NLM_F_CREATE | NLM_F_EXCL), -EEXIST);
	expect("30.0.0.1", "10.0.0.3", "10.0.0.1", RTN_UNICAST);
	u.action = FR_ACT_PROHIBIT;
	u.priority = 5;
	CHECK_EQ(rule_add(net, &u, NLM_F_CREATE), 0);
	expect_error("30.0.0.1", -EACCES);
	CHECK_EQ(rule_del(net, &u), 0);
	expect("30.0.0.1", "10.0.0.3", "10.0.0.1", RTN_UNICAST);
	u.flags = FIB_RULE_INVERT;
	u.priority = 6;
	u.action = FR_ACT_UNREACHABLE;
	CHECK_EQ(rule_add(net, &u, NLM_F_CREATE), 0);
	expect_error("10.0.0.9", -ENETUNREACH);
	CHECK_EQ(rule_del(net, &u), 0);
	CHECK_EQ(rule_del(net, &u), -ENOENT);
}

TEST(multipath)
{
	int seen[2] = {0, 0};
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/8"), 0);
	struct ip_route_info r = t_route("0.0.0.0/0", "10.0.0.2", NULL);
	r.nhops = 2;
	r.hop[1].gw = addr_of("10.0.0.3");
	r.hop[1].weight = 2; /* three of four */
	CHECK_EQ(route_add(net, &r, NLM_F_CREATE), 0);
	for (uint32_t i = 0; i < 4000; i++) {
		struct flow f = {.dst = ip_v4(htonl(0x14000000 + i * 77)), .src = IP_ANY4};
		struct route rt;
		CHECK_EQ(route_lookup(net, &f, &rt), 0);
		seen[addr_is(&rt.gw, "10.0.0.3")]++;
		route_put(&rt);
	}
	CHECK(seen[0] > 800 && seen[0] < 1200);
}

/* --- longest prefix first, against a list --- */

#define NROUTES 600
static struct {
	struct ip_addr dst;
	uint8_t len;
	uint32_t gw;
	bool there;
} model[NROUTES];

static uint32_t rnd(void)
{
	static uint64_t x = 88172645463325252ul;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 16);
}

static struct ip_addr rnd_addr(bool v4)
{
	/* Few bits that differ, so that prefixes nest. */
	if (v4)
		return ip_v4(htonl(0x14000000 | (rnd() & 0x00030c3f)));
	struct ip_addr a = {
		.b = {0x20, 1, [8] = (uint8_t)(rnd() & 3), [15] = (uint8_t)(rnd() & 7)}};
	return a;
}

static struct ip_addr masked(struct ip_addr a, unsigned int bits)
{
	for (unsigned int i = bits; i < 128; i++)
		a.b[i / 8] &= (uint8_t) ~(0x80 >> (i & 7));
	return a;
}

static void random_routes(bool v4)
{
	unsigned int base = v4 ? 96 : 0, max = v4 ? 32 : 128;
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, v4 ? "10.0.0.1/8" : "fd00::1/32"), 0);
	memset(model, 0, sizeof(model));
	for (int step = 0; step < 6000; step++) {
		uint32_t i = rnd() % NROUTES;
		struct ip_route_info r =
			t_route(v4 ? "0.0.0.0/0" : "::/0", v4 ? "10.0.0.2" : "fd00::2", l);
		if (model[i].there) {
			r.dst = model[i].dst;
			r.dst_len = model[i].len;
			r.nhops = 0;
			CHECK_EQ(route_del(net, &r), 0);
			model[i].there = false;
		} else {
			unsigned int len = rnd() % (max + 1);
			r.dst = rnd_addr(v4);
			r.dst = masked(r.dst, base + len);
			if (v4 && len < 32 && !len)
				r.dst = IP_ANY4;
			r.dst_len = (uint8_t)len;
			uint32_t gw = 2 + rnd() % 200;
			r.hop[0].gw.b[15] = (uint8_t)gw;
			bool dup = false;
			for (uint32_t k = 0; k < NROUTES; k++)
				dup |= model[k].there && model[k].len == len &&
				       ip_eq(&model[k].dst, &r.dst);
			CHECK_EQ(route_add(net, &r, NLM_F_CREATE | NLM_F_EXCL), dup ? -EEXIST : 0);
			if (!dup) {
				model[i].dst = r.dst;
				model[i].len = (uint8_t)len;
				model[i].gw = gw;
				model[i].there = true;
			}
		}
		struct flow f = {.dst = rnd_addr(v4), .src = v4 ? IP_ANY4 : IP_ANY6};
		struct route rt;
		int best = -1, want = -1;
		for (uint32_t k = 0; k < NROUTES; k++)
			if (model[k].there && model[k].len > best &&
				ip_prefix_eq(&model[k].dst, &f.dst, base + model[k].len)) {
				best = model[k].len;
				want = (int)model[k].gw;
			}
		int err = route_lookup(net, &f, &rt);
		CHECK_EQ(err, best < 0 ? -ENETUNREACH : 0);
		if (!err)
			CHECK_EQ(rt.gw.b[15], want);
		route_put(&rt);
	}
	/* A walk, in the midst of which everything that it has seen goes. */
	struct route_walk w = {.family = v4 ? AF_INET : AF_INET6};
	struct ip_route_info r;
	uint32_t n = 0, there = 0;
	for (uint32_t k = 0; k < NROUTES; k++)
		there += model[k].there;
	CHECK(there > 50);
	while (route_walk_next(net, &w, &r)) {
		if (r.table != RT_TABLE_MAIN || r.protocol == RTPROT_KERNEL)
			continue;
		n++;
		CHECK_EQ(route_del(net, &r), 0);
	}
	CHECK_EQ(n, there);
}

TEST(longest_prefix4)
{
	random_routes(true);
}

TEST(longest_prefix6)
{
	random_routes(false);
}

/* --- RFC 6724, 10.1: source addresses --- */

static void selects(const char *dst, const char *a, const char *b, const char *want, uint32_t flags)
{
	t_setup();
	struct link *l = t_link("d0");
	struct ip_ifaddr i = {.index = l->index,
		.family = AF_INET6,
		.prefix_len = 64,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER,
		.flags = IFA_F_NODAD};
	i.local = addr_of(a);
	CHECK_EQ(ip_addr_add(net, &i, NLM_F_CREATE), 0);
	i.local = addr_of(b);
	i.flags |= flags;
	if (flags & IFA_F_DEPRECATED)
		i.preferred = 0;
	CHECK_EQ(ip_addr_add(net, &i, NLM_F_CREATE), 0);
	struct ip_addr to = addr_of(dst), got = ip_addr_select(net, l, &to, 0);
	CHECK(addr_is(&got, want));
}

TEST(rfc6724)
{
	selects("2001:db8:1::1", "2001:db8:3::1", "fe80::1", "2001:db8:3::1", 0);
	selects("ff05::1", "2001:db8:3::1", "fe80::1", "2001:db8:3::1", 0);
	selects("2001:db8:1::1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::1",
		IFA_F_DEPRECATED);
	selects("2001:db8:1::1", "2001:db8:1::2", "2001:db8:3::2", "2001:db8:1::2", 0);
	selects("fe80::1", "2001:db8:1::1", "fe80::2", "fe80::2", 0);
	selects("2002:c633:6401::1", "2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2",
		"2002:c633:6401::d5e3:7953:13eb:22e8", 0);
	selects("2002:c633:6401::1", "2001:db8:1::2", "2002:c633:6401::2", "2002:c633:6401::2", 0);
	selects("fd00:1::1", "2001:db8:1::1", "fd00:2::1", "fd00:2::1", 0);
	selects("2001:db8:1::d5e3:0:0:1", "2001:db8:1::2", "2001:db8:1::d5e3:7953:13eb:22e8",
		"2001:db8:1::2", IFA_F_TEMPORARY);
	selects("2001:db8:9::1", "2001:db8:1::1", "2001:db8:8::1", "2001:db8:1::1",
		IFA_F_DEPRECATED);
}

TEST(namespaces)
{
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/8"), 0);
	struct net_ns *other = net_ns_new(8);
	struct route rt;
	CHECK_EQ(t_lookup("10.0.0.2", &rt), 0);
	CHECK_EQ(link_move(l, other, NULL), 0);
	CHECK(!route_valid(net, &rt));
	route_put(&rt);
	expect_error("10.0.0.2", -ENETUNREACH);
	net_ns_put(other);
}
