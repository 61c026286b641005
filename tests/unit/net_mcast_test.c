/*
 * IGMP and MLD: what a host tells routers, as its groups and their sources change, and how it
 * answers queries of each version (RFC 3376, 3810, 2236, 2710).
 */
#include "sentry/net/ip/ip_priv.h"
#include "tests/unit/net_ip_fake.h"

static struct link *setup(void)
{
	t_setup();
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/24"), 0);
	CHECK_EQ(t_addr(l, "fe80::1/64"), 0);
	/* What is joined by itself is told first. */
	ip_mc_expire(net, time_monotonic() + 3600 * NSEC_PER_SEC);
	ip_mc_expire(net, time_monotonic() + 7200 * NSEC_PER_SEC);
	t_drop_sent();
	return l;
}

static struct {
	uint8_t b[2000];
	uint32_t len;
} o;

/* What is told next, from its IGMP or ICMPv6 header on; false: nothing. */
static bool told(int64_t after)
{
	if (list_empty(&sent))
		ip_mc_expire(net, time_monotonic() + after);
	struct pkt *p = list_first(&sent, struct pkt, node);
	if (!p)
		return false;
	list_del(&p->node);
	uint8_t h[48];
	pkt_copy(p, 0, h, 48 < p->len ? 48 : p->len);
	bool v4 = h[0] >> 4 == 4;
	CHECK_EQ(v4 ? h[8] : h[7], 1); /* TTL */
	if (v4)
		CHECK(h[0] == 0x46 && !memcmp(h + 20, "\x94\x04\0\0", 4)); /* router alert */
	else
		CHECK(h[6] == 0 && !memcmp(h + 40, "\x3a\x00\x05\x02\0\0\x01\0", 8));
	uint32_t at = v4 ? 24 : 48;
	o.len = p->len - at;
	pkt_copy(p, at, o.b, o.len);
	pkt_free(p);
	return true;
}

static struct ip_addr src[4];

static struct ip_mc_filter filter(uint8_t mode, uint32_t n)
{
	return (struct ip_mc_filter){mode, n, src};
}

/* A report of version 3 (or MLDv2) with one record. */
static void expect_record(uint8_t record, uint32_t n, const struct ip_addr *group, int64_t after)
{
	bool v4 = ip_is_v4(group);
	uint32_t al = v4 ? 4 : 16;
	CHECK(told(after));
	CHECK_EQ(o.b[0], v4 ? 0x22 : 143);
	CHECK_EQ(o.b[7], 1);
	CHECK_EQ(o.b[8], record);
	CHECK_EQ(o.b[10] << 8 | o.b[11], n);
	CHECK_EQ(o.len, 8 + 4 + al * (1 + n));
	CHECK(!memcmp(o.b + 12, group->b + 16 - al, al));
	for (uint32_t i = 0; i < n; i++)
		CHECK(!memcmp(o.b + 12 + al * (1 + i), src[i].b + 16 - al, al));
}

static void nothing(void)
{
	CHECK(!told(3600 * NSEC_PER_SEC));
}

static void changes(const char *text, const char *sources)
{
	struct link *l = setup();
	struct ip_addr g = addr_of(text);
	const int64_t second = 1100000000;
	for (int i = 0; i < 4; i++) {
		src[i] = addr_of(sources);
		src[i].b[15] = (uint8_t)(i + 1);
	}
	struct ip_mc_filter all = filter(IP_MC_EXCLUDE, 0), in1 = filter(IP_MC_INCLUDE, 1),
			    in2 = filter(IP_MC_INCLUDE, 2), ex1 = filter(IP_MC_EXCLUDE, 1);
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	expect_record(4, 0, &g, 0); /* to exclude {}: at once, and again within a second */
	expect_record(4, 0, &g, second);
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, &all, &ex1), 0);
	expect_record(6, 1, &g, 0); /* block */
	expect_record(6, 1, &g, second);
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, &ex1, &in2), 0);
	expect_record(3, 2, &g, 0); /* to include */
	expect_record(3, 2, &g, second);
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, NULL, &in1), 0);
	nothing(); /* of what is included already */
	CHECK_EQ(ip_mc_change(l, &g, &in2, NULL), 0);
	CHECK(told(0)); /* block the second */
	CHECK_EQ(o.b[8], 6);
	CHECK_EQ(o.b[11], 1);
	CHECK(told(second));
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, &in1, NULL), 0);
	expect_record(6, 1, &g, 0);
	expect_record(6, 1, &g, second);
	nothing();
}

TEST(igmp_changes)
{
	changes("239.1.2.3", "10.0.0.0");
}

TEST(mld_changes)
{
	changes("ff05::123", "2001:db8::");
}

/* --- queries --- */

static uint8_t raw[200];
static uint32_t raw_len;

static void be16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static uint16_t sum16(const uint8_t *d, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i < n; i += 2)
		sum += (uint32_t)d[i] << 8 | d[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void in(struct link *l)
{
	struct pkt *p = pkt_new();
	CHECK_EQ(pkt_add(p, raw, raw_len), 0);
	p->link = link_get(l);
	p->type = PKT_MULTICAST;
	p->protocol = raw[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	link_input(p);
	net_run();
}

static void igmp_in(struct link *l, const char *dst, const void *m, uint32_t n)
{
	struct ip_addr d = addr_of(dst);
	memset(raw, 0, sizeof(raw));
	memcpy(raw, "\x45\0\0\0\0\1\0\0\1\2\0\0\x0a\0\0\x09", 16);
	memcpy(raw + 16, d.b + 12, 4);
	memcpy(raw + 20, m, n);
	raw_len = 20 + n;
	be16(raw + 2, raw_len);
	be16(raw + 22, 0);
	be16(raw + 22, sum16(raw + 20, n, 0));
	be16(raw + 10, sum16(raw, 20, 0));
	in(l);
}

TEST(igmp_queries)
{
	struct link *l = setup();
	struct ip_addr g = addr_of("239.1.2.3");
	for (int i = 0; i < 4; i++)
		src[i] = ip_v4(htonl(0x0a000001u + (uint32_t)i));
	struct ip_mc_filter all = filter(IP_MC_EXCLUDE, 0), in2 = filter(IP_MC_INCLUDE, 2);
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	while (told(3600 * NSEC_PER_SEC))
		;
	/* All groups, version 3: answered within the 10 s that it says. */
	igmp_in(l, "224.0.0.1", "\x11\x64\0\0\0\0\0\0\x02\x7d\0\0", 12);
	expect_record(2, 0, &g, 10 * NSEC_PER_SEC);
	nothing();
	/* Of this group. */
	igmp_in(l, "239.1.2.3", "\x11\x0a\0\0\xef\1\2\3\x02\x7d\0\0", 12);
	expect_record(2, 0, &g, NSEC_PER_SEC);
	/* Of another: not heard. */
	igmp_in(l, "224.0.0.1", "\x11\x0a\0\0\xef\1\2\4\x02\x7d\0\0", 12);
	nothing();
	/* Sources: those that are received are told. */
	CHECK_EQ(ip_mc_change(l, &g, &all, &in2), 0);
	while (told(3600 * NSEC_PER_SEC))
		;
	igmp_in(l, "239.1.2.3", "\x11\x0a\0\0\xef\1\2\3\x02\x7d\0\2\x0a\0\0\1\x0a\0\0\x63", 20);
	expect_record(1, 1, &g, NSEC_PER_SEC);
	igmp_in(l, "239.1.2.3", "\x11\x0a\0\0\xef\1\2\3\x02\x7d\0\1\x0a\0\0\x63", 16);
	nothing();
	/* A querier of version 2: its reports, leaves to all routers. */
	CHECK_EQ(ip_mc_change(l, &g, &in2, &all), 0);
	while (told(3600 * NSEC_PER_SEC))
		;
	igmp_in(l, "224.0.0.1", "\x11\x64\0\0\0\0\0\0", 8);
	CHECK(told(10 * NSEC_PER_SEC));
	CHECK_EQ(o.b[0], 0x16);
	CHECK(!memcmp(o.b + 4, "\xef\1\2\3", 4));
	nothing();
	/* Another one's report makes ours superfluous. */
	igmp_in(l, "224.0.0.1", "\x11\x64\0\0\0\0\0\0", 8);
	igmp_in(l, "239.1.2.3", "\x16\0\0\0\xef\1\2\3", 8);
	nothing();
	/* It was not the last who told, so it need not say that it leaves. */
	CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	CHECK(told(0));
	CHECK_EQ(o.b[0], 0x16);
	CHECK(told(11 * NSEC_PER_SEC));
	CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	CHECK(told(0));
	CHECK_EQ(o.b[0], 0x17);
	nothing();
	/* Version 1 has no such word. */
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	igmp_in(l, "224.0.0.1", "\x11\0\0\0\0\0\0\0", 8);
	CHECK(told(10 * NSEC_PER_SEC));
	CHECK_EQ(o.b[0], 0x12);
	CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	nothing();
}

static void mld_in(struct link *l, const char *from, uint8_t hops, const void *m, uint32_t n)
{
	struct ip_addr s = addr_of(from), d = addr_of("ff02::1");
	memset(raw, 0, sizeof(raw));
	raw[0] = 0x60;
	be16(raw + 4, 8 + n);
	raw[7] = hops;
	memcpy(raw + 8, s.b, 16);
	memcpy(raw + 24, d.b, 16);
	memcpy(raw + 40, "\x3a\0\5\2\0\0\1\0", 8);
	memcpy(raw + 48, m, n);
	raw_len = 48 + n;
	be16(raw + 50, 0);
	uint32_t sum = 58 + n;
	for (uint32_t i = 8; i < 40; i += 2)
		sum += (uint32_t)raw[i] << 8 | raw[i + 1];
	be16(raw + 50, sum16(raw + 48, n, sum));
	in(l);
}

TEST(mld_queries)
{
	struct link *l = setup();
	struct ip_addr g = addr_of("ff05::123");
	struct ip_mc_filter all = filter(IP_MC_EXCLUDE, 0);
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	while (told(3600 * NSEC_PER_SEC))
		;
	uint8_t q[28] = {130, 0, 0, 0, 0x03, 0xe8, 0, 0};
	q[24] = 2;
	q[25] = 125;
	mld_in(l, "fe80::9", 1, q, 28);
	/* The solicited-node group is told too; ff01::1 and ff02::1 are not (RFC 3810, 6). */
	CHECK(told(NSEC_PER_SEC));
	CHECK_EQ(o.b[0], 143);
	CHECK_EQ(o.b[7], 2);
	CHECK_EQ(o.len, 8 + 2 * 20);
	nothing();
	mld_in(l, "2001:db8::9", 1, q, 28); /* not of this link */
	nothing();
	mld_in(l, "fe80::9", 64, q, 28);
	nothing();
	memcpy(q + 8, g.b, 16);
	mld_in(l, "fe80::9", 1, q, 28);
	expect_record(2, 0, &g, NSEC_PER_SEC);
	nothing();
	mld_in(l, "fe80::9", 1, q, 24); /* version 1 */
	CHECK(told(NSEC_PER_SEC));
	CHECK_EQ(o.b[0], 131);
	CHECK_EQ(o.len, 24);
	CHECK(!memcmp(o.b + 8, g.b, 16));
	nothing();
	CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	CHECK(told(0));
	CHECK_EQ(o.b[0], 132);
	nothing();
}

/* Many groups are told in several reports, and there is an end to them. */
TEST(many)
{
	struct link *l = setup();
	struct ip_mc_filter all = filter(IP_MC_EXCLUDE, 0);
	uint32_t n = 0, records = 0;
	for (; n < 10000; n++) {
		struct ip_addr g = ip_v4(htonl(0xef000000u + n));
		if (ip_mc_change(l, &g, NULL, &all))
			break;
	}
	CHECK_EQ(n, 4095); /* and 224.0.0.1 */
	ip_mc_expire(net, time_monotonic());
	struct pkt *p;
	while ((p = list_first(&sent, struct pkt, node))) {
		uint8_t h[32];
		CHECK(p->len <= l->mtu);
		pkt_copy(p, 0, h, sizeof(h));
		records += (uint32_t)(h[30] << 8 | h[31]);
		list_del(&p->node);
		pkt_free(p);
	}
	CHECK_EQ(records, n);
	for (uint32_t i = 0; i < n; i++) {
		struct ip_addr g = ip_v4(htonl(0xef000000u + i));
		CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	}
	ip_mc_expire(net, time_monotonic() + NSEC_PER_SEC);
	ip_mc_expire(net, time_monotonic() + 10 * NSEC_PER_SEC);
	t_drop_sent();
	struct ip_addr g = ip_v4(htonl(0xef000001u));
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
}
