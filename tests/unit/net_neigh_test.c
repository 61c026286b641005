/* Neighbours: states, timers and bounds of the cache; ARP, asked and asking, and hostile. */
#include "tests/unit/net_eth_fake.h"
#include "tests/unit/test.h"

static void begin(void)
{
	struct ip_addr a = a4(192, 0, 2, 1);
	ef_begin();
	CHECK_EQ(ef_addr(&a, 24, 0), 0);
	ef.n = 0;
}

struct arp {
	uint16_t op;
	const uint8_t *sha;
	struct ip_addr sip, tip;
	const uint8_t *dst; /* NULL: broadcast */
};

static uint32_t arp_frame(const struct arp *a, uint8_t f[42])
{
	static const uint8_t head[8] = {0, 1, 8, 0, 6, 4};
	memset(f, 0xff, 6);
	if (a->dst)
		memcpy(f, a->dst, 6);
	memcpy(f + 6, a->sha, 6);
	f[12] = 8;
	f[13] = 6;
	memcpy(f + 14, head, 8);
	f[21] = (uint8_t)a->op;
	memcpy(f + 22, a->sha, 6);
	memcpy(f + 28, &a->sip.w[3], 4);
	memset(f + 32, 0, 6);
	memcpy(f + 38, &a->tip.w[3], 4);
	return 42;
}

static void arp_in(const struct arp *a)
{
	uint8_t f[42];
	ef.n = 0;
	ef_in(f, arp_frame(a, f));
}

/* A small IPv4 packet to dst. */
static void send_to(struct neigh *n, const struct ip_addr *dst)
{
	struct pkt *p = pkt_new();
	uint8_t *h = pkt_put(p, 28);
	struct ip_addr src = a4(192, 0, 2, 1);
	memset(h, 0, 28);
	h[0] = 0x45;
	h[3] = 28;
	h[8] = 64;
	h[9] = 17;
	memcpy(h + 12, &src.w[3], 4);
	memcpy(h + 16, &dst->w[3], 4);
	p->net = ef.net;
	p->link = link_get(ef.link);
	neigh_output(p, n, dst);
	net_run();
}

static bool is_ip_to(uint32_t i, const uint8_t *mac)
{
	return ef.frame[i].b[12] == 8 && ef.frame[i].b[13] == 0 && !memcmp(ef.frame[i].b, mac, 6) &&
	       !memcmp(ef.frame[i].b + 6, our_mac, 6) && ef.frame[i].len == 42;
}

TEST(resolves)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9), our = a4(192, 0, 2, 1);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	CHECK(n && n->state == NUD_NONE);
	send_to(n, &dst);
	send_to(n, &dst);
	CHECK(n->state == NUD_INCOMPLETE && ef.n == 1);
	const uint8_t *a = ef_sent_arp();
	static const uint8_t want[8] = {0, 1, 8, 0, 6, 4, 0, 1}, none[6];
	CHECK(a && !memcmp(a, want, 8) && !memcmp(a + 8, our_mac, 6));
	CHECK(!memcmp(a + 14, &our.w[3], 4) && !memcmp(a + 18, none, 6));
	CHECK(!memcmp(a + 24, &dst.w[3], 4) && ef.frame[0].b[0] == 0xff);
	arp_in(&(struct arp){2, peer_mac, dst, our, our_mac});
	CHECK_EQ(n->state, NUD_REACHABLE);
	CHECK(ef.n == 2 && is_ip_to(0, peer_mac) && is_ip_to(1, peer_mac));
	send_to(n, &dst);
	CHECK(ef.n == 3 && is_ip_to(2, peer_mac));
	neigh_put(n);
	ef_end();
}

TEST(fails)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	send_to(n, &dst);
	ef_expire(SEC / 2);
	CHECK_EQ(ef_count_arp(), 1);
	for (int i = 1; i < 3; i++) {
		ef_expire(i * SEC + SEC / 10);
		CHECK_EQ(ef_count_arp(), i + 1);
		CHECK_EQ(n->state, NUD_INCOMPLETE);
	}
	ef_expire(4 * SEC);
	CHECK(n->state == NUD_FAILED && list_empty(&n->queue) && n->queue_bytes == 0);
	CHECK_EQ(ef_count_arp(), 3);
	send_to(n, &dst); /* anew */
	CHECK(n->state == NUD_INCOMPLETE && ef_count_arp() == 4);
	neigh_put(n);
	ef_end();
}

/* RFC 4861, 7.3.2. */
TEST(becomes_stale)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9), our = a4(192, 0, 2, 1);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	send_to(n, &dst);
	arp_in(&(struct arp){2, peer_mac, dst, our, our_mac});
	int64_t reach = ef.link->eth.reachable[0];
	CHECK(reach >= 15 * SEC && reach <= 45 * SEC);
	ef_expire(reach - SEC);
	CHECK_EQ(n->state, NUD_REACHABLE);
	ef_expire(50 * SEC);
	CHECK_EQ(n->state, NUD_STALE);
	ef.n = 0;
	send_to(n, &dst); /* goes out at once, and starts the delay */
	CHECK(n->state == NUD_DELAY && ef.n == 1 && is_ip_to(0, peer_mac));
	ef_expire(4 * SEC);
	CHECK_EQ(n->state, NUD_DELAY);
	ef_expire(6 * SEC);
	CHECK(n->state == NUD_PROBE && ef.n == 2);
	CHECK(!memcmp(ef.frame[1].b, peer_mac, 6)); /* a unicast question */
	send_to(n, &dst);
	CHECK(ef.n == 3 && is_ip_to(2, peer_mac));
	ef_expire(8 * SEC);
	ef_expire(10 * SEC);
	CHECK(n->state == NUD_PROBE && ef.n == 5);
	ef_expire(12 * SEC);
	CHECK_EQ(n->state, NUD_FAILED);
	neigh_put(n);
	ef_end();
}

TEST(confirmed_by_transport)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9), our = a4(192, 0, 2, 1);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	send_to(n, &dst);
	arp_in(&(struct arp){2, peer_mac, dst, our, our_mac});
	ef_expire(50 * SEC);
	send_to(n, &dst);
	CHECK_EQ(n->state, NUD_DELAY);
	WRITE_ONCE(n->confirmed, 0);
	neigh_confirm(n);
	ef_expire(4 * SEC);
	CHECK_EQ(n->state, NUD_DELAY);
	WRITE_ONCE(n->confirmed, time_monotonic() + 6 * SEC);
	ef_expire(6 * SEC);
	CHECK_EQ(n->state, NUD_REACHABLE);
	neigh_put(n);
	ef_end();
}

TEST(bounds)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	for (int i = 0; i < 1000; i++)
		send_to(n, &dst);
	CHECK(n->queue_bytes <= 212992 && n->queue_bytes > 200000);
	CHECK_EQ(ef.n, 1);
	/* Who is asked for by a scan: gc_thresh3 of them, and no more. */
	uint32_t made = 1;
	for (int i = 0; i < 3000; i++) {
		struct ip_addr a = a4(10, 0, (uint8_t)(i >> 8), (uint8_t)i);
		struct neigh *x = neigh_get_or_new(ef.net, ef.link, &a);
		if (x)
			made++, send_to(x, &a);
		neigh_put(x);
	}
	CHECK_EQ(made, 1024);
	CHECK_EQ(neigh_count(ef.net, AF_INET), 1024);
	CHECK_EQ(neigh_count(ef.net, AF_INET6) <= 4, 1);
	/* They fail, and make room. */
	for (int i = 1; i <= 4; i++)
		ef_expire(i * 2 * SEC);
	struct ip_addr a = a4(10, 1, 1, 1);
	struct neigh *x = neigh_get_or_new(ef.net, ef.link, &a);
	CHECK(x && neigh_count(ef.net, AF_INET) <= 513);
	neigh_put(x);
	/* Those that somebody holds are no room: n is still there. */
	CHECK(!n->dead);
	neigh_put(n);
	ef_end();
}

static uint64_t in_use(const char *type)
{
	static struct slab_stat s[512];
	size_t n = MIN(arena_stats(s, ARRAY_LEN(s)), ARRAY_LEN(s));
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s[i].name, type))
			return s[i].in_use;
	return 0;
}

/* Requests in the name of a whole network, and answers that nobody asked for: the table has its
 * size, and who is known stays so. */
TEST(floods)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9), self = a4(192, 0, 2, 1), six = a6(true, 1);
	CHECK_EQ(ef_addr(&six, 64, IFA_F_NODAD), 0);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	send_to(n, &dst);
	arp_in(&(struct arp){.op = 2, .sha = peer_mac, .sip = dst, .tip = self, .dst = our_mac});
	CHECK_EQ(n->state, NUD_REACHABLE);
	uint64_t packets = in_use("struct pkt");
	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t mac[6] = {2, 1, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};
		struct ip_addr sip = a4(192, 0, 2, (uint8_t)(10 + i % 240));
		if (i & 1)
			sip = a4(10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);
		arp_in(&(struct arp){.op = (uint16_t)(1 + i % 3 / 2),
			.sha = mac,
			.sip = sip,
			.tip = self,
			.dst = i % 5 ? our_mac : NULL});
		CHECK(neigh_count(ef.net, AF_INET) <= 1024);
	}
	for (uint32_t i = 0; i < 20000; i++) {
		uint8_t ns[32] = {135};
		struct ip_addr src = a6(true, 0), to = a6(true, 1);
		src.b[13] = (uint8_t)(i >> 16);
		src.b[14] = (uint8_t)(i >> 8);
		src.b[15] = (uint8_t)i;
		memcpy(ns + 8, to.b, 16);
		ns[24] = 1;
		ns[25] = 1;
		memcpy(ns + 26, peer_mac, 6);
		if (i & 1)
			ns[0] = 136, ns[4] = 0x60, ns[24] = 2, memcpy(ns + 8, src.b, 16);
		ef_in6(&src, &to, 255, ns, sizeof(ns));
		CHECK(neigh_count(ef.net, AF_INET6) <= 1024);
	}
	CHECK(neigh_count(ef.net, AF_INET) > 200 && neigh_count(ef.net, AF_INET6) > 500);
	CHECK(in_use("struct neigh") <= 2048 + 8);
	CHECK_EQ(in_use("struct pkt"), packets);
	CHECK_EQ(n->state, NUD_REACHABLE);
	ef.n = 0;
	send_to(n, &dst);
	CHECK_EQ(ef.n, 1); /* it goes at once */
	neigh_put(n);
	ef_end();
}

TEST(goes_with_link)
{
	begin();
	struct ip_addr dst = a4(192, 0, 2, 9);
	struct neigh *n = neigh_get_or_new(ef.net, ef.link, &dst);
	send_to(n, &dst);
	link_set_flags(ef.link, 0, IFF_UP);
	CHECK(n->dead && neigh_count(ef.net, AF_INET) == 0);
	CHECK(neigh_get_or_new(ef.net, ef.link, &dst) == NULL);
	link_set_flags(ef.link, IFF_UP, IFF_UP);
	ef.n = 0;
	send_to(n, &dst); /* to nowhere */
	CHECK_EQ(ef_sent_arp() == NULL, 1);
	neigh_put(n);
	ef_end();
}

TEST(groups)
{
	begin();
	struct ip_addr group = a4(239, 129, 2, 3), all = a4(255, 255, 255, 255);
	send_to(NULL, &group);
	CHECK(!memcmp(ef.frame[0].b, "\x01\x00\x5e\x01\x02\x03", 6));
	send_to(NULL, &all);
	CHECK(!memcmp(ef.frame[1].b, "\xff\xff\xff\xff\xff\xff", 6));
	struct ip_addr six = {.b = {0xff, 2, [12] = 1, 2, 3, 4}};
	uint64_t w;
	CHECK(eth_map_group(ef.link, &six, &w) && !memcmp(&w, "\x33\x33\x01\x02\x03\x04", 6));
	ef_end();
}

/* --- by hand --- */

TEST(set_by_hand)
{
	begin();
	struct neigh_info i = {.family = AF_INET,
		.addr_len = 6,
		.state = NUD_PERMANENT,
		.index = ef.link->index,
		.dst = a4(192, 0, 2, 7)};
	memcpy(i.addr, peer_mac, 6);
	CHECK_EQ(neigh_set(ef.net, &i, 0), -ENOENT);
	CHECK_EQ(neigh_set(ef.net, &i, NLM_F_CREATE | NLM_F_EXCL), 0);
	CHECK_EQ(neigh_set(ef.net, &i, NLM_F_CREATE | NLM_F_EXCL), -EEXIST);
	struct neigh *n = neigh_find(ef.net, ef.link, &i.dst);
	CHECK(n && n->state == NUD_PERMANENT);
	arp_in(&(struct arp){2, our_mac, i.dst, a4(192, 0, 2, 1),
		our_mac}); /* nobody overrides it */
	CHECK(n->state == NUD_PERMANENT && !memcmp(&n->addr, peer_mac, 6));
	ef_expire(1000 * SEC);
	CHECK_EQ(n->state, NUD_PERMANENT);
	neigh_put(n);
	struct neigh_walk w = {.family = AF_INET};
	struct neigh_info out;
	CHECK(neigh_walk_next(ef.net, &w, &out) && ip_eq(&out.dst, &i.dst));
	CHECK(!neigh_walk_next(ef.net, &w, &out));
	CHECK_EQ(neigh_del(ef.net, &i), 0);
	CHECK_EQ(neigh_del(ef.net, &i), -ENOENT);
	i.index = 99;
	CHECK_EQ(neigh_set(ef.net, &i, NLM_F_CREATE), -ENODEV);
	ef_end();
}

/* --- ARP, asked --- */

static bool answered(const struct ip_addr *ours, const struct ip_addr *theirs)
{
	const uint8_t *a = ef_sent_arp();
	return a && a[7] == 2 && !memcmp(a + 8, our_mac, 6) && !memcmp(a + 14, &ours->w[3], 4) &&
	       !memcmp(a + 18, peer_mac, 6) && !memcmp(a + 24, &theirs->w[3], 4);
}

TEST(answers)
{
	begin();
	struct ip_addr us = a4(192, 0, 2, 1), them = a4(192, 0, 2, 9), no = a4(192, 0, 2, 8),
		       zero = a4(0, 0, 0, 0);
	arp_in(&(struct arp){1, peer_mac, them, us, NULL});
	CHECK(answered(&us, &them) && !memcmp(ef.frame[0].b, peer_mac, 6));
	struct neigh *n = neigh_find(ef.net, ef.link, &them); /* who asked is known */
	CHECK(n && n->state == NUD_STALE && !memcmp(&n->addr, peer_mac, 6));
	neigh_put(n);
	arp_in(&(struct arp){1, peer_mac, them, no, NULL});
	CHECK_EQ(ef.n, 0);
	arp_in(&(struct arp){1, peer_mac, zero, us, NULL}); /* RFC 5227: a probe */
	CHECK(answered(&us, &zero));
	arp_in(&(struct arp){2, peer_mac, no, us, our_mac}); /* unasked */
	CHECK(neigh_find(ef.net, ef.link, &no) == NULL);
	arp_in(&(struct arp){1, peer_mac, no, no, NULL}); /* gratuitous, of a stranger */
	CHECK(neigh_find(ef.net, ef.link, &no) == NULL);
	/* Of somebody known, it is believed at once. */
	static const uint8_t other[6] = {2, 0, 0, 0, 0, 7};
	arp_in(&(struct arp){1, other, them, them, NULL});
	n = neigh_find(ef.net, ef.link, &them);
	CHECK(n->state == NUD_STALE && !memcmp(&n->addr, other, 6));
	/* An answer within locktime is not. */
	arp_in(&(struct arp){2, peer_mac, them, us, our_mac});
	CHECK(!memcmp(&n->addr, other, 6));
	neigh_put(n);
	ef_end();
}

TEST(ignores)
{
	begin();
	struct ip_addr us = a4(192, 0, 2, 1), them = a4(192, 0, 2, 9), far = a4(198, 51, 100, 1);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_arp_ignore, 8);
	arp_in(&(struct arp){1, peer_mac, them, us, NULL});
	CHECK_EQ(ef.n, 0);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_arp_ignore, 1);
	arp_in(&(struct arp){1, peer_mac, them, us, NULL});
	CHECK(answered(&us, &them));
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_arp_ignore, 2);
	arp_in(&(struct arp){1, peer_mac, far, us, NULL});
	CHECK_EQ(ef.n, 0);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_arp_ignore, 0);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_drop_gratuitous_arp, 1);
	arp_in(&(struct arp){1, peer_mac, us, us, NULL});
	CHECK_EQ(ef.n, 0);
	ef_end();
}

TEST(announces)
{
	begin();
	struct ip_addr us = a4(192, 0, 2, 1);
	arp_announce(ef.net, ef.link, &us);
	const uint8_t *a = ef_sent_arp();
	CHECK(a && a[7] == 1 && !memcmp(a + 14, a + 24, 4) && !memcmp(a + 14, &us.w[3], 4));
	ef.n = 0;
	link_set_addr(ef.link, (const uint8_t *)"\2\0\0\0\0\x33", 6);
	CHECK_EQ(ef_sent_arp() == NULL, 1);
	ip_conf_set(ef.net, ef.link, IP_CONF_LINK, IP_CONF_4_arp_notify, 1);
	link_set_addr(ef.link, our_mac, 6);
	CHECK(ef_sent_arp() != NULL);
	ef_end();
}

TEST(malformed)
{
	begin();
	struct ip_addr us = a4(192, 0, 2, 1), them = a4(192, 0, 2, 9);
	const struct arp ok = {1, peer_mac, them, us, NULL};
	static const struct {
		uint8_t at, value;
	} bad[] = {{14, 1}, {15, 2}, {16, 9}, {17, 6}, {18, 8}, {19, 16}, {20, 1}, {21, 3},
		{38, 224}, {38, 127}};
	uint8_t f[42];
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		arp_frame(&ok, f);
		f[bad[i].at] = bad[i].value;
		ef_in(f, sizeof(f));
		CHECK_EQ(ef.n, 0);
	}
	for (uint32_t n = 1; n < 42; n++) {
		arp_frame(&ok, f);
		ef_in(f, n);
		CHECK_EQ(ef.n, 0);
	}
	arp_frame(&ok, f);
	memcpy(f, "\2\0\0\0\0\x55", 6); /* for somebody else */
	ef_in(f, sizeof(f));
	CHECK_EQ(ef.n, 0);
	CHECK_EQ(neigh_count(ef.net, AF_INET), 0);
	ef_end();
}
