/* Neighbour discovery: vectors of RFC 4861, 4862 and 7527, good and hostile. */
#include "tests/unit/net_eth_fake.h"
#include "tests/unit/test.h"

static struct ip_addr us, them, router;

static void begin(void)
{
	ef_begin();
	us = a6(true, 1);
	them = a6(true, 2);
	router = a6(true, 0x99);
	CHECK_EQ(ef_addr(&us, 64, IFA_F_NODAD), 0);
	net_run();
	ef.n = 0;
}

static uint32_t solicit(uint8_t *m, const struct ip_addr *target, const uint8_t *slla)
{
	memset(m, 0, 24);
	m[0] = NDP_NS;
	memcpy(m + 8, target->b, 16);
	if (!slla)
		return 24;
	m[24] = NDP_OPT_SLLA;
	m[25] = 1;
	memcpy(m + 26, slla, 6);
	return 32;
}

TEST(answers)
{
	uint8_t m[64];
	begin();
	struct ip_addr group = ndp_solicited_node(&us);
	ef_in6(&them, &group, 255, m, solicit(m, &us, peer_mac));
	const uint8_t *a = ef_sent6(NDP_NA);
	CHECK(a && a[1] == 0 && (a[4] & 0xe0) == (NDP_NA_SOLICITED | NDP_NA_OVERRIDE));
	CHECK(!memcmp(a + 8, us.b, 16) && a[24] == NDP_OPT_TLLA && a[25] == 1);
	CHECK(!memcmp(a + 26, our_mac, 6) && !memcmp(a - 54, peer_mac, 6));
	CHECK(!memcmp(a - 16, them.b, 16) && a[-54 + 21] == 255);
	struct neigh *n = neigh_find(ef.net, ef.link, &them);
	CHECK(n && n->state == NUD_DELAY && !memcmp(&n->addr, peer_mac, 6)); /* used at once */
	neigh_put(n);
	/* A probe of reachability: to us alone; the answer needs no address. */
	ef.n = 0;
	ef_in6(&them, &us, 255, m, solicit(m, &us, NULL));
	a = ef_sent6(NDP_NA);
	CHECK(a && (a[4] & 0xe0) == NDP_NA_SOLICITED);
	/* Somebody checks whether our address is free: all are told that it is not. */
	ef.n = 0;
	struct ip_addr any = IP_ANY6, all = ndp_all_nodes();
	ef_in6(&any, &group, 255, m, solicit(m, &us, NULL));
	a = ef_sent6(NDP_NA);
	CHECK(a && (a[4] & 0xe0) == NDP_NA_OVERRIDE && !memcmp(a - 16, all.b, 16));
	ef_end();
}

TEST(malformed)
{
	uint8_t m[64];
	begin();
	struct ip_addr group = ndp_solicited_node(&us), any = IP_ANY6;
	uint32_t n = solicit(m, &us, peer_mac);
	ef_in6(&them, &group, 254, m, n); /* it was passed on */
	for (uint32_t i = 8; i < 32; i++)
		if (i != 24)
			ef_in6(&them, &group, 255, m, i);
	m[25] = 0; /* an option of no length */
	ef_in6(&them, &group, 255, m, n);
	m[25] = 2; /* longer than the message */
	ef_in6(&them, &group, 255, m, n);
	solicit(m, &us, peer_mac);
	m[1] = 1; /* code */
	ef_in6(&them, &group, 255, m, n);
	solicit(m, &us, peer_mac);
	ef_in6(&any, &group, 255, m, n); /* with an address of nobody */
	ef_in6(&any, &us, 255, m, solicit(m, &us, NULL));
	ef_in6(&them, &group, 255, m, solicit(m, &group, peer_mac));
	CHECK_EQ(ef_sent6(NDP_NA) == NULL, 1);
	CHECK(neigh_find(ef.net, ef.link, &them) == NULL);
	ef_end();
}

static uint32_t advert(uint8_t *m, const struct ip_addr *target, uint8_t flags, const uint8_t *tlla)
{
	solicit(m, target, tlla);
	m[0] = NDP_NA;
	m[4] = flags;
	m[24] = NDP_OPT_TLLA;
	return tlla ? 32 : 24;
}

TEST(resolves)
{
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 9};
	uint8_t m[64];
	begin();
	/* Unasked, of a stranger: nothing. */
	ef_in6(&them, &us, 255, m, advert(m, &them, NDP_NA_SOLICITED, peer_mac));
	CHECK(neigh_find(ef.net, ef.link, &them) == NULL);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &them);
	neigh_use(ef.net, n);
	net_run();
	struct ip_addr group = ndp_solicited_node(&them);
	const uint8_t *s = ef_sent6(NDP_NS);
	CHECK(s && !memcmp(s + 8, them.b, 16) && s[24] == NDP_OPT_SLLA);
	CHECK(!memcmp(s + 26, our_mac, 6) && !memcmp(s - 16, group.b, 16));
	CHECK(!memcmp(s - 54, "\x33\x33\xff\0\0\2", 6) && s[-54 + 21] == 255);
	ef_in6(&them, &us, 255, m, advert(m, &them, NDP_NA_SOLICITED, peer_mac));
	CHECK(n->state == NUD_REACHABLE && !memcmp(&n->addr, peer_mac, 6));
	/* 7.2.5: another address without the override flag only makes it doubtful. */
	ef_in6(&them, &us, 255, m, advert(m, &them, NDP_NA_SOLICITED, other));
	CHECK(n->state == NUD_STALE && !memcmp(&n->addr, peer_mac, 6));
	ef_in6(&them, &us, 255, m, advert(m, &them, NDP_NA_OVERRIDE | NDP_NA_ROUTER, other));
	CHECK(n->state == NUD_STALE && !memcmp(&n->addr, other, 6) && n->flags & NTF_ROUTER);
	ef_in6(&them, &us, 255, m, advert(m, &them, NDP_NA_SOLICITED, NULL));
	CHECK(n->state == NUD_REACHABLE && !(n->flags & NTF_ROUTER));
	struct ip_addr all = ndp_all_nodes();
	n->state = NUD_STALE; /* solicited, but to all: 7.1.2 */
	ef_in6(&them, &all, 255, m, advert(m, &them, NDP_NA_SOLICITED, NULL));
	CHECK_EQ(n->state, NUD_STALE);
	neigh_put(n);
	ef_end();
}

/* --- duplicate addresses --- */

static uint32_t flags_of(const struct ip_addr *a)
{
	struct ip_ifaddr x;
	CHECK(ip_addr_get(ef.net, a, ef.link->index, &x));
	return x.flags;
}

TEST(dad_finds_nobody)
{
	begin();
	struct ip_addr a = a6(false, 5), any = IP_ANY6, group = ndp_solicited_node(&a);
	CHECK_EQ(ef_addr(&a, 64, 0), 0);
	CHECK(flags_of(&a) & IFA_F_TENTATIVE);
	uint8_t m[64];
	ef_in6(&them, &group, 255, m, solicit(m, &a, peer_mac)); /* not ours yet */
	CHECK_EQ(ef_sent6(NDP_NA) == NULL, 1);
	ef_expire(SEC + SEC / 10);
	const uint8_t *s = ef_sent6(NDP_NS);
	CHECK(s && !memcmp(s + 8, a.b, 16) && !memcmp(s - 32, any.b, 16));
	CHECK(!memcmp(s - 16, group.b, 16) && s[24] == NDP_OPT_NONCE && s[25] == 1);
	/* Our own question, sent back (RFC 7527). */
	uint8_t own[32];
	memcpy(own, s, 32);
	ef_in6(&any, &group, 255, own, 32);
	CHECK(!(flags_of(&a) & IFA_F_DADFAILED));
	ef_expire(3 * SEC);
	CHECK_EQ(flags_of(&a) & (IFA_F_TENTATIVE | IFA_F_DADFAILED), 0);
	ef.n = 0;
	ef_in6(&them, &group, 255, m, solicit(m, &a, peer_mac));
	CHECK(ef_sent6(NDP_NA) != NULL);
	ef_end();
}

TEST(dad_finds_somebody)
{
	begin();
	struct ip_addr a = a6(false, 5), b = a6(false, 6), any = IP_ANY6,
		       group = ndp_solicited_node(&a);
	uint8_t m[64];
	CHECK_EQ(ef_addr(&a, 64, 0), 0);
	CHECK_EQ(ef_addr(&b, 64, 0), 0);
	ef_in6(&any, &group, 255, m, solicit(m, &a, NULL)); /* another who asks */
	CHECK_EQ(flags_of(&a) & IFA_F_DADFAILED, IFA_F_DADFAILED);
	struct ip_addr all = ndp_all_nodes();
	ef_in6(&b, &all, 255, m, advert(m, &b, NDP_NA_OVERRIDE, peer_mac)); /* one who has it */
	CHECK(flags_of(&b) & IFA_F_DADFAILED && flags_of(&b) & IFA_F_TENTATIVE);
	CHECK(!ip_addr_is_local(ef.net, &a, 0) && !ip_addr_is_local(ef.net, &b, 0));
	ef_expire(10 * SEC);
	CHECK(flags_of(&a) & IFA_F_DADFAILED);
	ef_end();
}

TEST(link_local_and_routers)
{
	ef_begin();
	struct ip_addr ll = {.b = {0xfe, 0x80, [8] = 0, 0, 0, 0xff, 0xfe, 0, 0, 1}};
	CHECK(flags_of(&ll) & IFA_F_TENTATIVE); /* EUI-64 of 02:00:00:00:00:01 */
	ef_expire(SEC + SEC / 10);
	CHECK_EQ(ef_sent6(NDP_RS) == NULL, 1);
	ef_expire(3 * SEC);
	CHECK(!(flags_of(&ll) & IFA_F_TENTATIVE));
	const uint8_t *s = ef_sent6(NDP_RS);
	CHECK(s && s[8] == NDP_OPT_SLLA && !memcmp(s + 10, our_mac, 6));
	CHECK(!memcmp(s - 32, ll.b, 16) && s[-16] == 0xff && s[-1] == 2);
	ef.n = 0;
	ef_expire(2 * SEC);
	CHECK_EQ(ef_sent6(NDP_RS) == NULL, 1);
	ef_expire(5 * SEC); /* 4 s, give or take a tenth */
	CHECK(ef_sent6(NDP_RS) != NULL);
	ef_end();
}

/* --- router advertisements --- */

static uint32_t ra(uint8_t *m, uint16_t lifetime)
{
	memset(m, 0, 16);
	m[0] = NDP_RA;
	m[4] = 33; /* hop limit */
	m[6] = (uint8_t)(lifetime >> 8);
	m[7] = (uint8_t)lifetime;
	return 16;
}

static uint32_t prefix_option(uint8_t *o, uint8_t third, uint8_t len, uint8_t flags, uint32_t valid,
	uint32_t preferred)
{
	valid = htonl(valid);
	preferred = htonl(preferred);
	memset(o, 0, 32);
	o[0] = NDP_OPT_PREFIX;
	o[1] = 4;
	o[2] = len;
	o[3] = flags;
	memcpy(o + 4, &valid, 4);
	memcpy(o + 8, &preferred, 4);
	o[16] = 0x20;
	o[17] = 0x01;
	o[18] = third;
	return 32;
}

static void ra_in(const struct ip_addr *from, const uint8_t *m, uint32_t n)
{
	struct ip_addr all = ndp_all_nodes();
	ef_in6(from, &all, 255, m, n);
}

static uint32_t routes(uint8_t protocol, uint8_t dst_len)
{
	struct route_walk w = {.family = AF_INET6};
	struct ip_route_info r;
	uint32_t n = 0;
	while (route_walk_next(ef.net, &w, &r))
		n += r.protocol == protocol && r.dst_len == dst_len;
	return n;
}

TEST(default_routers)
{
	uint8_t m[600];
	begin();
	ra_in(&router, m, ra(m, 1800));
	CHECK_EQ(routes(RTPROT_RA, 0), 1);
	CHECK_EQ(ip_conf_get(ef.net, ef.link, IP_CONF_LINK, IP_CONF_6_hop_limit), 33);
	struct flow f = {.src = IP_ANY6, .dst = {.b = {0x26, [15] = 1}}};
	struct route rt = {0};
	struct ip_addr global = a6(false, 1);
	CHECK_EQ(ef_addr(&global, 64, IFA_F_NODAD), 0);
	CHECK_EQ(route_lookup(ef.net, &f, &rt), 0);
	CHECK(ip_eq(&rt.gw, &router) && rt.gateway);
	route_put(&rt);
	ra_in(&router, m, ra(m, 1800)); /* again */
	CHECK_EQ(routes(RTPROT_RA, 0), 1);
	ra_in(&router, m, ra(m, 0));
	CHECK_EQ(routes(RTPROT_RA, 0), 0);
	/* Of a global address, or passed on: nothing. */
	struct ip_addr all = ndp_all_nodes();
	ra_in(&global, m, ra(m, 1800));
	ef_in6(&router, &all, 254, m, ra(m, 1800));
	CHECK_EQ(routes(RTPROT_RA, 0), 0);
	/* A flood of routers is bounded, and over when they say. */
	for (int i = 0; i < 200; i++) {
		struct ip_addr r = a6(true, (uint8_t)(i + 10));
		ra_in(&r, m, ra(m, 30));
	}
	CHECK_EQ(routes(RTPROT_RA, 0), NDP_ROUTERS_MAX);
	ef_expire(31 * SEC);
	CHECK_EQ(routes(RTPROT_RA, 0), 0);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_6_accept_ra, 0);
	ra_in(&router, m, ra(m, 1800));
	CHECK_EQ(routes(RTPROT_RA, 0), 0);
	ef_end();
}

TEST(prefixes)
{
	uint8_t m[600];
	begin();
	struct ip_addr a = {.b = {0x20, 1, 7, [8] = 0, 0, 0, 0xff, 0xfe, 0, 0, 1}};
	struct ip_ifaddr x;
	uint32_t n = ra(m, 1800);
	n += prefix_option(m + n, 7, 64, 0xc0, 86400, 3600);
	ra_in(&router, m, n);
	CHECK(ip_addr_get(ef.net, &a, ef.link->index, &x));
	CHECK(x.flags & IFA_F_TENTATIVE && !(x.flags & IFA_F_PERMANENT) && x.prefix_len == 64);
	CHECK(x.valid > 86000 && x.valid <= 86400 && x.preferred <= 3600);
	CHECK_EQ(routes(RTPROT_KERNEL, 64) >= 1, 1);
	/* RFC 4862, 5.5.3 e: nobody takes it away at once. */
	n = ra(m, 1800);
	n += prefix_option(m + n, 7, 64, 0xc0, 0, 0);
	ra_in(&router, m, n);
	CHECK(ip_addr_get(ef.net, &a, ef.link->index, &x) && x.valid > 7100 && x.valid <= 7200);
	/* Preferred longer than valid; a length that makes no address; a link-local one. */
	n = ra(m, 1800);
	n += prefix_option(m + n, 8, 64, 0xc0, 100, 200);
	n += prefix_option(m + n, 9, 80, 0x40, 200, 100);
	n += prefix_option(m + n, 10, 64, 0xc0, 200, 100);
	m[n - 16] = 0xfe;
	m[n - 15] = 0x80;
	m[n - 14] = 0;
	ra_in(&router, m, n);
	a.b[2] = 8;
	CHECK(!ip_addr_get(ef.net, &a, ef.link->index, &x));
	a.b[2] = 9;
	CHECK(!ip_addr_get(ef.net, &a, ef.link->index, &x));
	/* max_addresses. */
	uint32_t made = 0;
	for (int i = 20; i < 120; i++) {
		n = ra(m, 1800);
		n += prefix_option(m + n, (uint8_t)i, 64, 0xc0, 86400, 3600);
		ra_in(&router, m, n);
		a.b[2] = (uint8_t)i;
		made += ip_addr_get(ef.net, &a, ef.link->index, &x);
	}
	CHECK_EQ(made, 15);
	CHECK(routes(RTPROT_KERNEL, 64) <= NDP_PREFIXES_MAX + 20);
	ef_end();
}

TEST(parameters)
{
	uint8_t m[64];
	begin();
	uint32_t n = ra(m, 0);
	static const uint8_t mtu[8] = {NDP_OPT_MTU, 1, 0, 0, 0, 0, 5, 0x14}; /* 1300 */
	memcpy(m + n, mtu, 8);
	m[11] = 200; /* reachable: 200 ms */
	m[14] = 1;   /* retransmit: 256 ms */
	ra_in(&router, m, n + 8);
	CHECK_EQ(ip_conf_get(ef.net, ef.link, IP_CONF_LINK, IP_CONF_6_mtu), 1300);
	CHECK_EQ(neigh_parm(ef.link, 1, NEIGH_PARM_retrans_time_ms), 256);
	CHECK_EQ(neigh_parm(ef.link, 1, NEIGH_PARM_base_reachable_time_ms), 200);
	CHECK_EQ(neigh_parm(ef.link, 0, NEIGH_PARM_retrans_time_ms), 1000);
	m[n + 6] = 4; /* 1044: less than IPv6 has */
	ra_in(&router, m, n + 8);
	CHECK_EQ(ip_conf_get(ef.net, ef.link, IP_CONF_LINK, IP_CONF_6_mtu), 1300);
	ef_end();
}

/* --- redirects --- */

TEST(redirects)
{
	uint8_t m[64] = {0};
	begin();
	struct ip_addr global = a6(false, 1), dst = {.b = {0x26, [15] = 9}},
		       better = a6(true, 0x44);
	CHECK_EQ(ef_addr(&global, 64, IFA_F_NODAD), 0);
	ra_in(&router, m, ra(m, 1800));
	memset(m, 0, sizeof(m));
	m[0] = NDP_REDIRECT;
	memcpy(m + 8, better.b, 16);
	memcpy(m + 24, dst.b, 16);
	struct flow f = {.src = IP_ANY6, .dst = dst};
	struct route rt = {0};
	ef_in6(&them, &global, 255, m, 40); /* not our router */
	ef_in6(&router, &global, 254, m, 40);
	ef_in6(&router, &global, 255, m, 39);
	CHECK_EQ(route_lookup(ef.net, &f, &rt), 0);
	CHECK(ip_eq(&rt.gw, &router));
	route_put(&rt);
	ef_in6(&router, &global, 255, m, 40);
	CHECK_EQ(route_lookup(ef.net, &f, &rt), 0);
	CHECK(ip_eq(&rt.gw, &better));
	route_put(&rt);
	/* Bounded. */
	for (int i = 0; i < 200; i++) {
		m[24 + 14] = (uint8_t)i;
		ef_in6(&router, &global, 255, m, 40);
	}
	CHECK_EQ(routes(RTPROT_REDIRECT, 128), NDP_REDIRECTS_MAX);
	ef_expire(400 * SEC);
	CHECK_EQ(routes(RTPROT_REDIRECT, 128), 0);
	ef_end();
}
