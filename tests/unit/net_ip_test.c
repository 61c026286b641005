/*
 * The network layer, packet by packet: what comes in by a link is checked, put together,
 * answered or refused; what goes out is cut, looped back, limited.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "sentry/core/machine.h"
#include "sentry/net/mem.h"
#include "tests/unit/net_ip_fake.h"

/* --- a transport of the test's --- */

#define T_PROTO 253     /* RFC 3692: for experiments */
static struct pkt *got; /* the last that was delivered */
static int ngot;
static struct ip_error last_error;
static int nerrors;

static void t_input(struct pkt *p)
{
	pkt_free(got);
	got = p;
	ngot++;
}
static void t_error(struct pkt *p, const struct ip_error *e)
{
	last_error = *e;
	nerrors++;
}
static const struct ip_proto t_proto = {.input = t_input, .error = t_error};

static struct link *setup(void)
{
	static bool ready;
	t_setup();
	if (!ready)
		ip_proto_register(T_PROTO, &t_proto);
	ready = true;
	pkt_free(got);
	got = NULL;
	ngot = nerrors = 0;
	struct link *l = t_link("d0");
	CHECK_EQ(t_addr(l, "10.0.0.1/24"), 0);
	CHECK_EQ(t_addr(l, "2001:db8::1/64"), 0);
	CHECK_EQ(t_addr(l, "fe80::1/64"), 0);
	return l;
}

/* --- packets as bytes --- */

static uint16_t sum16(const uint8_t *d, uint32_t n, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)d[i] << 8 | d[i + 1];
	if (n & 1)
		sum += (uint32_t)d[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void be16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

struct raw {
	uint8_t b[66000];
	uint32_t len;
};
static struct raw r;

static void make4(const char *src, const char *dst, uint8_t proto, uint16_t id, uint16_t frag,
	const void *body, uint32_t n)
{
	struct ip_addr s = addr_of(src), d = addr_of(dst);
	memset(r.b, 0, 20);
	r.b[0] = 0x45;
	r.len = 20 + n;
	be16(r.b + 2, r.len);
	be16(r.b + 4, id);
	be16(r.b + 6, frag);
	r.b[8] = 64;
	r.b[9] = proto;
	memcpy(r.b + 12, s.b + 12, 4);
	memcpy(r.b + 16, d.b + 12, 4);
	memcpy(r.b + 20, body, n);
	be16(r.b + 10, sum16(r.b, 20, 0));
}

static void make6(const char *src, const char *dst, uint8_t next, const void *body, uint32_t n)
{
	struct ip_addr s = addr_of(src), d = addr_of(dst);
	memset(r.b, 0, 40);
	r.b[0] = 0x60;
	r.len = 40 + n;
	be16(r.b + 4, n);
	r.b[6] = next;
	r.b[7] = 64;
	memcpy(r.b + 8, s.b, 16);
	memcpy(r.b + 24, d.b, 16);
	memcpy(r.b + 40, body, n);
}

static struct pkt *as_pkt(struct link *l, const void *bytes, uint32_t n)
{
	struct pkt *p = pkt_new();
	CHECK(p != NULL);
	CHECK_EQ(pkt_add(p, bytes, n), 0);
	p->link = link_get(l);
	p->type = PKT_HOST;
	p->protocol = *(const uint8_t *)bytes >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	return p;
}

static void in(struct link *l)
{
	link_input(as_pkt(l, r.b, r.len));
	net_run();
}

static void in_fixed(struct link *l) /* with the header's checksum made right */
{
	be16(r.b + 10, 0);
	be16(r.b + 10, sum16(r.b, (r.b[0] & 15) * 4u, 0));
	in(l);
}

/* The next packet that went out, as bytes in o. */
static struct raw o;
static bool out(void)
{
	struct pkt *p = list_first(&sent, struct pkt, node);
	if (!p)
		return false;
	list_del(&p->node);
	o.len = p->len;
	pkt_copy(p, 0, o.b, p->len);
	pkt_free(p);
	return true;
}

static void icmp_checksum6(void)
{
	uint32_t sum = 0, n = r.len - 40;
	for (uint32_t i = 8; i < 40; i += 2)
		sum += (uint32_t)r.b[i] << 8 | r.b[i + 1];
	sum += n + 58;
	be16(r.b + 42, 0);
	be16(r.b + 42, sum16(r.b + 40, n, sum));
}

static void make_echo4(const char *src, const char *dst, uint32_t n)
{
	static uint8_t m[65600];
	memset(m, 0, 8 + n);
	m[0] = ICMP_ECHO;
	be16(m + 4, 0x1234);
	be16(m + 6, 7);
	for (uint32_t i = 0; i < n; i++)
		m[8 + i] = (uint8_t)i;
	be16(m + 2, sum16(m, 8 + n, 0));
	make4(src, dst, IPPROTO_ICMP, 1, 0, m, 8 + n);
}

static void make_echo6(const char *src, const char *dst)
{
	uint8_t m[16] = {ICMPV6_ECHO_REQUEST, 0, 0, 0, 1, 2, 3, 4, 'd', 'a', 't', 'a'};
	make6(src, dst, IPPROTO_ICMPV6, m, sizeof(m));
	icmp_checksum6();
}

/* --- tests --- */

TEST(echo)
{
	struct link *l = setup();
	make_echo4("10.0.0.9", "10.0.0.1", 56);
	in(l);
	CHECK(out());
	CHECK_EQ(o.len, 84);
	CHECK(!memcmp(o.b + 12, r.b + 16, 4) && !memcmp(o.b + 16, r.b + 12, 4));
	CHECK_EQ(o.b[20], ICMP_ECHOREPLY);
	CHECK_EQ(sum16(o.b, 20, 0), 0);
	CHECK_EQ(sum16(o.b + 20, 64, 0), 0);
	CHECK(!memcmp(o.b + 24, r.b + 24, 60));
	CHECK(!out());
	make_echo4("10.0.0.9", "10.0.0.255", 8); /* icmp_echo_ignore_broadcasts */
	in(l);
	CHECK(!out());
	WRITE_ONCE(net->ctl.icmp_echo_ignore_broadcasts, 0);
	in(l);
	CHECK(out());
	WRITE_ONCE(net->ctl.icmp_echo_ignore_all, 1);
	make_echo4("10.0.0.9", "10.0.0.1", 8);
	in(l);
	CHECK(!out());
	make_echo6("2001:db8::9", "2001:db8::1");
	in(l);
	CHECK(out());
	CHECK_EQ(o.len, 56);
	CHECK_EQ(o.b[40], ICMPV6_ECHO_REPLY);
	CHECK(!memcmp(o.b + 8, r.b + 24, 16) && !memcmp(o.b + 24, r.b + 8, 16));
	make_echo6("fe80::9", "ff02::1");
	in(l);
	CHECK(out());
	CHECK(addr_is(
		&(struct ip_addr){.q = {((uint64_t *)(o.b + 8))[0], ((uint64_t *)(o.b + 8))[1]}},
		"fe80::1"));
	CHECK_EQ(NET_READ(net, Icmp_InEchos), 4);
	CHECK_EQ(NET_READ(net, Icmp_OutEchoReps), 2);
}

static void refused4(struct link *l, uint64_t *counter)
{
	uint64_t old = READ_ONCE(*counter);
	int n = ngot;
	in(l);
	CHECK_EQ(ngot, n);
	CHECK_EQ(READ_ONCE(*counter), old + 1);
	t_drop_sent();
}
#define COUNTER(name) (&net->mib->v[MIB_##name])

TEST(header4)
{
	struct link *l = setup();
	uint8_t body[32] = {1, 2, 3};
#define GOOD() make4("10.0.0.9", "10.0.0.1", T_PROTO, 1, 0, body, sizeof(body))
	GOOD();
	in(l);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 32);
	CHECK(addr_is(&got->ip.src, "10.0.0.9") && addr_is(&got->ip.dst, "10.0.0.1"));
	GOOD();
	r.len += 10; /* padding of the link is cut off */
	in(l);
	CHECK_EQ(got->len, 32);
	GOOD();
	r.b[10] ^= 1;
	refused4(l, COUNTER(IpExt_InCsumErrors));
	GOOD();
	r.b[0] = 0x44;
	refused4(l, COUNTER(Ip_InHdrErrors));
	GOOD();
	r.b[0] = 0x65;
	refused4(l, COUNTER(Ip6_InHdrErrors));
	GOOD();
	r.len -= 1;
	refused4(l, COUNTER(IpExt_InTruncatedPkts));
	GOOD();
	be16(r.b + 2, 19);
	be16(r.b + 10, 0);
	be16(r.b + 10, sum16(r.b, 20, 0));
	refused4(l, COUNTER(Ip_InHdrErrors));
	GOOD();
	r.len = 12;
	refused4(l, COUNTER(Ip_InHdrErrors));
	/* Martians: RFC 1812, 5.3.7. */
	static const char *const bad[][2] = {{"127.0.0.1", "10.0.0.1"}, {"10.0.0.9", "127.0.0.1"},
		{"224.0.0.1", "10.0.0.1"}, {"255.255.255.255", "10.0.0.1"}, {"0.0.0.0", "10.0.0.1"},
		{"10.0.0.9", "0.0.0.1"}, {"10.0.0.1", "10.0.0.1"}, {"10.0.0.9", "10.0.0.77"}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make4(bad[i][0], bad[i][1], T_PROTO, 1, 0, body, sizeof(body));
		refused4(l, COUNTER(Ip_InAddrErrors));
	}
	/* Nobody has that protocol. */
	make4("10.0.0.9", "10.0.0.1", 254, 1, 0, body, sizeof(body));
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[20], ICMP_DEST_UNREACH);
	CHECK_EQ(o.b[21], ICMP_PROT_UNREACH);
	CHECK(!memcmp(o.b + 28, r.b, 52));
	/* No errors about errors, broadcasts, later fragments. */
	make4("10.0.0.9", "10.0.0.255", 254, 1, 0, body, sizeof(body));
	in(l);
	CHECK(!out());
}

TEST(options4)
{
	struct link *l = setup();
	uint8_t body[44] = {0};
	make4("10.0.0.9", "10.0.0.1", T_PROTO, 1, 0, body, sizeof(body));
	r.b[0] = 0x47; /* 8 bytes of options */
	memcpy(r.b + 20, "\x01\x01\x01\x94\x04\x00\x00\x00", 8);
	in_fixed(l);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 36);
	CHECK_EQ(got->ip.opt_len, 8);
	static const char *const bad[] = {"\x07\x02\x04\x00\x00\x00\x00",
		"\x07\x09\x04\x00\x00\x00\x00", "\x83\x07\x03\x00\x00\x00\x00",
		"\x44\x03\x05\x00\x00\x00\x00", "\x99\x01\x00\x00\x00\x00\x00",
		"\x94\x03\x00\x00\x00\x00\x00"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		memcpy(r.b + 21, bad[i], 7);
		in_fixed(l);
		CHECK_EQ(ngot, 1);
		if (out()) {
			CHECK_EQ(o.b[20], ICMP_PARAMETERPROB);
			CHECK_EQ(o.b[24], 21);
		}
	}
	/* A source route is refused unless asked for. */
	memcpy(r.b + 20, "\x01\x83\x07\x04\x0a\x00\x00\x05", 8);
	in_fixed(l);
	CHECK_EQ(ngot, 1);
}

static struct route route_to(const char *dst)
{
	struct route rt;
	CHECK_EQ(t_lookup(dst, &rt), 0);
	return rt;
}

static int send_to(const char *dst, uint32_t n, uint8_t pmtudisc)
{
	static uint8_t bytes[70000];
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	struct route rt = route_to(dst);
	struct flow f = {.dst = addr_of(dst), .src = rt.src};
	struct ip_tx tx = {.proto = T_PROTO, .ttl = -1, .pmtudisc = pmtudisc};
	struct pkt *p = pkt_new();
	CHECK_EQ(pkt_add(p, bytes, n), 0);
	p->l4 = p->data;
	int err = ip_output(net, p, &f, &rt, &tx);
	route_put(&rt);
	net_run();
	return err;
}

TEST(output)
{
	setup();
	CHECK_EQ(send_to("10.0.0.9", 100, IP_PMTU_WANT), 0);
	CHECK(out());
	CHECK_EQ(o.len, 120);
	CHECK_EQ(sum16(o.b, 20, 0), 0);
	CHECK_EQ(o.b[6] << 8 | o.b[7], 0x4000);
	CHECK_EQ(o.b[8], 64);
	CHECK_EQ(send_to("10.0.0.9", 1481, IP_PMTU_DO), -EMSGSIZE);
	CHECK_EQ(send_to("10.0.0.9", 65516, IP_PMTU_DONT), -EMSGSIZE);
	CHECK_EQ(send_to("127.0.0.1", 5000, IP_PMTU_WANT), 0);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 5000);
	CHECK_EQ(send_to("::1", 5000, IP_PMTU_WANT), 0);
	CHECK_EQ(send_to("10.0.0.1", 65515, IP_PMTU_WANT), 0);
	CHECK_EQ(ngot, 3);
	CHECK_EQ(got->iif, 2); /* by lo, but of d0's address */
	CHECK_EQ(send_to("2001:db8::9", 100, IP_PMTU_WANT), 0);
	while (out())
		;
	CHECK_EQ(o.len, 140);
	CHECK_EQ(o.b[7], 64);
}

/* What is cut is put together, whatever the order and size. */
static uint32_t seed = 1;
static uint32_t rnd(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

static void there_and_back(const char *dst, const char *us, uint32_t n, struct link *l)
{
	static struct raw pieces[200];
	uint32_t k = 0;
	bool v6 = strchr(dst, ':') != NULL;
	CHECK_EQ(send_to(dst, n, IP_PMTU_DONT), 0);
	while (out()) {
		CHECK(o.len <= l->mtu);
		/* As if the other had sent it: addresses are swapped. */
		if (v6) {
			struct ip_addr a = addr_of(dst), b = addr_of(us);
			memcpy(o.b + 8, a.b, 16);
			memcpy(o.b + 24, b.b, 16);
		} else {
			uint8_t t[4];
			CHECK_EQ(sum16(o.b, 20, 0), 0);
			memcpy(t, o.b + 12, 4);
			memcpy(o.b + 12, o.b + 16, 4);
			memcpy(o.b + 16, t, 4);
		}
		pieces[k].len = o.len;
		memcpy(pieces[k++].b, o.b, o.len);
	}
	CHECK(k > 1);
	for (uint32_t i = k - 1; i > 0; i--) {
		uint32_t j = rnd() % (i + 1);
		memcpy(&r, &pieces[i], sizeof(r));
		memcpy(&pieces[i], &pieces[j], sizeof(r));
		memcpy(&pieces[j], &r, sizeof(r));
	}
	int before = ngot;
	for (uint32_t i = 0; i < k; i++) {
		CHECK_EQ(ngot, before);
		memcpy(&r, &pieces[i], sizeof(r));
		in(l);
		if (i + 1 < k && rnd() % 3 == 0)
			in(l); /* twice */
	}
	CHECK_EQ(ngot, before + 1);
	CHECK_EQ(got->len, n);
	uint8_t *all = malloc(n);
	pkt_copy(got, 0, all, n);
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(all[i], (uint8_t)(i * 7 + i / 256));
	free(all);
}

TEST(fragments)
{
	struct link *l = setup();
	static const uint32_t mtus[] = {1500, 1280, 576, 5000};
	for (int i = 0; i < 40; i++) {
		uint32_t mtu = mtus[i % 4], n = mtu + rnd() % 30000;
		CHECK_EQ(link_set_mtu(l, mtu), 0);
		there_and_back("10.0.0.9", "10.0.0.1", n, l);
		if (mtu >= 1280)
			there_and_back("2001:db8::9", "2001:db8::1", n, l);
	}
	CHECK_EQ(NET_READ(net, Ip_ReasmOKs), 40);
	CHECK_EQ(NET_READ(net, Ip6_ReasmOKs), 30);
	CHECK_EQ(NET_READ(net, Ip_FragOKs), 40);
}

static void piece4(struct link *l, uint16_t id, uint32_t off, uint32_t n, bool more)
{
	uint8_t body[3000];
	for (uint32_t i = 0; i < n; i++)
		body[i] = (uint8_t)(off + i);
	make4("10.0.0.9", "10.0.0.1", T_PROTO, id, (uint16_t)(off / 8 | (more ? 0x2000 : 0)), body,
		n);
	in(l);
}

TEST(overlaps4)
{
	struct link *l = setup();
	/* Inside of what is there: dropped alone. */
	piece4(l, 1, 0, 64, true);
	piece4(l, 1, 64, 64, true);
	piece4(l, 1, 32, 64, true);
	piece4(l, 1, 128, 8, false);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 136);
	/* Partly: all of it goes. */
	piece4(l, 2, 0, 64, true);
	piece4(l, 2, 56, 64, true);
	piece4(l, 2, 120, 8, false);
	piece4(l, 2, 64, 56, true);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(NET_READ(net, IpExt_ReasmOverlaps), 1);
	/* It covers one that is there. */
	piece4(l, 3, 64, 8, true);
	piece4(l, 3, 0, 128, true);
	CHECK_EQ(NET_READ(net, IpExt_ReasmOverlaps), 2);
	/* Two ends; one that is behind the end; nothing at all; the ping of death. */
	piece4(l, 4, 64, 8, false);
	piece4(l, 4, 128, 8, false);
	piece4(l, 5, 64, 8, false);
	piece4(l, 5, 128, 8, true);
	piece4(l, 6, 64, 0, false);
	piece4(l, 7, 65528, 100, false);
	CHECK_EQ(NET_READ(net, Ip_ReasmFails), 6);
	CHECK_EQ(ngot, 1);
}

static void piece6(struct link *l, uint32_t id, uint32_t off, uint32_t n, bool more, uint8_t next)
{
	uint8_t body[3008] = {next};
	be16(body + 2, off | more);
	be16(body + 6, id);
	for (uint32_t i = 0; i < n; i++)
		body[8 + i] = (uint8_t)(off + i);
	make6("2001:db8::9", "2001:db8::1", 44, body, n + 8);
	in(l);
}

TEST(fragments6)
{
	struct link *l = setup();
	piece6(l, 1, 0, 100, false, T_PROTO); /* atomic */
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 100);
	piece6(l, 2, 0, 64, true, T_PROTO);
	piece6(l, 2, 0, 100, false, T_PROTO); /* it disturbs nobody (RFC 6946) */
	piece6(l, 2, 64, 10, false, T_PROTO);
	CHECK_EQ(ngot, 3);
	CHECK_EQ(got->len, 74);
	piece6(l, 3, 0, 64, true, T_PROTO);
	piece6(l, 3, 56, 64, true, T_PROTO);
	piece6(l, 3, 64, 10, false, T_PROTO);
	CHECK_EQ(ngot, 3);
	CHECK(!out());
	piece6(l, 4, 0, 65, true, T_PROTO); /* no multiple of 8 */
	CHECK(out());
	CHECK_EQ(o.b[40], ICMPV6_PARAMPROB);
	CHECK_EQ(o.b[41], ICMPV6_HDR_FIELD);
	CHECK_EQ(o.b[47], 4);
	piece6(l, 5, 65528, 16, false, T_PROTO);
	CHECK(out());
	CHECK_EQ(o.b[47], 42);
	piece6(l, 6, 0, 8, true, IPPROTO_TCP); /* RFC 7112 */
	CHECK(out());
	CHECK_EQ(o.b[41], 3);
	/* Fragment headers in fragments end. */
	uint8_t chain[800];
	memset(chain, 0, sizeof(chain));
	for (int i = 0; i < 100; i++)
		chain[i * 8] = 44;
	make6("2001:db8::9", "2001:db8::1", 44, chain, sizeof(chain));
	in(l);
	CHECK_EQ(ngot, 3);
}

/* The first fragment has options in front of its fragment header, the one that comes last none. */
TEST(fragments6_with_options)
{
	struct link *l = setup();
	uint8_t body[100] = {44, 0, 1, 4}; /* destination options: padding */
	body[8] = T_PROTO;
	be16(body + 10, 1);
	be16(body + 14, 9);
	for (uint32_t i = 0; i < 64; i++)
		body[16 + i] = (uint8_t)i;
	make6("2001:db8::9", "2001:db8::1", 60, body, 80);
	in(l);
	piece6(l, 9, 64, 10, false, T_PROTO);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 74);
	CHECK_EQ(got->ip.proto, T_PROTO);
	CHECK_EQ(got->ip.frag_size, 120);
	piece6(l, 10, 0, 100, false, T_PROTO);
	CHECK_EQ(got->ip.frag_size, 148);
}

/* A flood stays within ipfrag_high_thresh, and ends with its time. */
TEST(fragment_flood)
{
	struct link *l = setup();
	WRITE_ONCE(net->ctl.ipfrag_high_thresh, 100000);
	for (uint32_t i = 0; i < 2000; i++)
		piece4(l, (uint16_t)i, 0, 8, true);
	CHECK(NET_READ(net, Ip_ReasmFails) > 1800);
	CHECK_EQ(NET_READ(net, Ip_ReasmReqds), 2000);
	t_drop_sent();
	/* Other packets are not disturbed. */
	make_echo4("10.0.0.9", "10.0.0.1", 8);
	in(l);
	CHECK(out());
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

/* A packet in thousands of pieces, in any order, some of them twice: put together, and its pieces
 * are found as fast as those of a small one. */
TEST(fragments_in_any_order)
{
	enum { PIECES = 4000 };
	static uint16_t order[PIECES];
	struct link *l = setup();
	for (int down = 0; down < 3; down++) {
		for (uint32_t i = 0; i < PIECES; i++)
			order[i] = (uint16_t)(down ? PIECES - 1 - i : i);
		for (uint32_t i = 0; down == 2 && i < PIECES; i++) {
			uint32_t k = i + rnd() % (PIECES - i);
			uint16_t x = order[i];
			order[i] = order[k];
			order[k] = x;
		}
		for (uint32_t i = 0; i < PIECES; i++) {
			CHECK_EQ(ngot, down);
			piece4(l, (uint16_t)(down + 1), order[i] * 8u, 8, order[i] != PIECES - 1);
			if (i % 7 == 0 && i < PIECES - 1) /* again */
				piece4(l, (uint16_t)(down + 1), order[i] * 8u, 8,
					order[i] != PIECES - 1);
		}
		CHECK_EQ(ngot, down + 1);
		CHECK_EQ(got->len, PIECES * 8);
		uint8_t b[PIECES * 8];
		pkt_copy(got, 0, b, sizeof(b));
		for (uint32_t i = 0; i < sizeof(b); i++)
			CHECK_EQ(b[i], (uint8_t)(i / 8 * 8 + i % 8));
		CHECK_EQ(in_use("struct frag_queue"), 0);
	}
	pkt_free(got);
	got = NULL;
	CHECK_EQ(in_use("struct pkt"), 0);
}

/* Where packets are scarce in the sandbox nothing waits for the rest of itself. */
TEST(fragments_while_packets_are_scarce)
{
	struct link *l = setup();
	net_mem_init(1 << 20);
	static struct pkt *held[4096];
	uint32_t n = 0;
	while (n < ARRAY_LEN(held) && !pkt_scarce())
		held[n++] = pkt_new();
	CHECK(n > 32 && n < ARRAY_LEN(held));
	piece4(l, 1, 0, 64, true);
	piece4(l, 1, 64, 8, false);
	CHECK_EQ(ngot, 0);
	make_echo4("10.0.0.9", "10.0.0.1", 8);
	in(l);
	CHECK(out());
	/* And there is an end to them. */
	struct pkt *last = NULL;
	while (n < ARRAY_LEN(held) && (last = pkt_new()))
		held[n++] = last;
	CHECK(n < ARRAY_LEN(held));
	while (n)
		pkt_free(held[--n]);
	net_mem_init(machine_get()->memory);
	piece4(l, 2, 0, 64, true);
	piece4(l, 2, 64, 8, false);
	CHECK_EQ(ngot, 1);
}

TEST(max_dist)
{
	struct link *l = setup();
	WRITE_ONCE(net->ctl.ipfrag_max_dist, 4);
	piece4(l, 1, 0, 64, true);
	for (uint16_t i = 10; i < 20; i++)
		piece4(l, i, 0, 64, true);
	piece4(l, 1, 64, 8, false); /* of another packet with that number by now */
	CHECK_EQ(ngot, 0);
	CHECK_EQ(NET_READ(net, Ip_ReasmFails), 1);
}

/* --- ICMP errors --- */

static void error_in4(struct link *l, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t m[8 + 28] = {type, code};
	be16(m + 4, rest >> 16);
	be16(m + 6, rest);
	make4("10.0.0.1", "20.0.0.5", T_PROTO, 1, 0, "12345678", 8);
	memcpy(m + 8, r.b, 28);
	be16(m + 2, sum16(m, sizeof(m), 0));
	make4("10.0.0.9", "10.0.0.1", IPPROTO_ICMP, 1, 0, m, sizeof(m));
	in(l);
}

TEST(errors_in)
{
	struct link *l = setup();
	static const struct {
		uint8_t type, code;
		uint32_t rest;
		int err;
		bool hard;
	} cases[] = {{3, 0, 0, ENETUNREACH, false}, {3, 1, 0, EHOSTUNREACH, false},
		{3, 2, 0, ENOPROTOOPT, true}, {3, 3, 0, ECONNREFUSED, true},
		{3, 4, 1400, EMSGSIZE, false}, {3, 13, 0, EHOSTUNREACH, true},
		{11, 0, 0, EHOSTUNREACH, false}, {12, 0, 5u << 24, EPROTO, true}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		error_in4(l, cases[i].type, cases[i].code, cases[i].rest);
		CHECK_EQ(nerrors, i + 1);
		CHECK_EQ(last_error.err, cases[i].err);
		CHECK_EQ(last_error.hard, cases[i].hard);
		CHECK(addr_is(&last_error.from, "10.0.0.9") &&
			addr_is(&last_error.src, "10.0.0.1") &&
			addr_is(&last_error.dst, "20.0.0.5"));
	}
	CHECK_EQ(nerrors, 8);
	error_in4(l, 3, 16, 0);
	error_in4(l, 4, 0, 0);
	CHECK_EQ(nerrors, 8);
	error_in4(l, 3, 4, 1400);
	CHECK_EQ(last_error.info, 1400);
	/* IPv6 */
	uint8_t m[8 + 48] = {ICMPV6_PKT_TOOBIG, 0, 0, 0, 0, 0, 0x05, 0x14};
	make6("2001:db8::1", "2001:db8:5::1", T_PROTO, "12345678", 8);
	memcpy(m + 8, r.b, 48);
	make6("2001:db8::9", "2001:db8::1", IPPROTO_ICMPV6, m, sizeof(m));
	icmp_checksum6();
	in(l);
	CHECK_EQ(nerrors, 10);
	CHECK_EQ(last_error.err, EMSGSIZE);
	CHECK_EQ(last_error.info, 1300);
}

static int count_errors(struct link *l, int n)
{
	int k = 0;
	for (int i = 0; i < n; i++) {
		make4("10.0.0.9", "10.0.0.1", 254, 1, 0, "12345678", 8);
		in(l);
		while (out())
			k++;
	}
	return k;
}

TEST(rate_limits)
{
	struct link *l = setup();
	/* Six at once to one destination, then one a second. */
	CHECK_EQ(count_errors(l, 30), 6);
	CHECK_EQ(NET_READ(net, Icmp_OutRateLimitHost), 24);
	/* For all of them together. */
	WRITE_ONCE(net->ctl.icmp_msgs_burst, 10);
	WRITE_ONCE(net->ctl.icmp_msgs_per_sec, 1);
	int k = 0;
	for (int i = 0; i < 30; i++) {
		char src[20];
		snprintf(src, sizeof(src), "10.0.0.%d", 20 + i);
		make4(src, "10.0.0.1", 254, 1, 0, "12345678", 8);
		in(l);
		while (out())
			k++;
	}
	CHECK(k <= 10 && k > 0);
	CHECK(NET_READ(net, Icmp_OutRateLimitGlobal) >= 20);
	WRITE_ONCE(net->ctl.icmp_ratemask, 0);
	CHECK_EQ(count_errors(l, 30), 30);
}

TEST(path_mtu)
{
	struct link *l = setup();
	struct ip_route_info d = t_route("0.0.0.0/0", "10.0.0.254", l);
	CHECK_EQ(route_add(net, &d, NLM_F_CREATE), 0);
	struct route rt = route_to("20.0.0.5");
	CHECK_EQ(ip_mtu(&rt), 1500);
	struct ip_addr to = addr_of("20.0.0.5");
	ip_pmtu_learn(net, &to, 1400, 0);
	CHECK(!route_valid(net, &rt));
	route_put(&rt);
	rt = route_to("20.0.0.5");
	CHECK_EQ(ip_mtu(&rt), 1400);
	CHECK(rt.pmtu);
	route_put(&rt);
	rt = route_to("20.0.0.6");
	CHECK_EQ(ip_mtu(&rt), 1500);
	route_put(&rt);
	CHECK_EQ(send_to("20.0.0.5", 1390, IP_PMTU_DO), -EMSGSIZE);
	CHECK_EQ(send_to("20.0.0.5", 1390, IP_PMTU_PROBE), 0);
	CHECK_EQ(send_to("20.0.0.5", 1390, IP_PMTU_WANT), 0);
	CHECK(out() && out() && out() && !out()); /* the probe, and two pieces */
	ip_pmtu_learn(net, &to, 100, 0);          /* min_pmtu */
	rt = route_to("20.0.0.5");
	CHECK_EQ(ip_mtu(&rt), 552);
	route_put(&rt);
	/* However many destinations: the table is of a size. */
	for (uint32_t i = 0; i < 100000; i++) {
		struct ip_addr a = ip_v4(htonl(0x15000000 + i));
		ip_pmtu_learn(net, &a, 1000, 0);
	}
	WRITE_ONCE(net->ctl.ip_rt_mtu_expires, 0);
	ip_pmtu_learn(net, &to, 552, 0);
	rt = route_to("20.0.0.5");
	CHECK_EQ(ip_mtu(&rt), 1500); /* over */
	route_put(&rt);
}

TEST(redirects)
{
	struct link *l = setup();
	struct ip_route_info d = t_route("0.0.0.0/0", "10.0.0.254", l);
	CHECK_EQ(route_add(net, &d, NLM_F_CREATE), 0);
	uint8_t m[36] = {ICMP_REDIRECT, 1, 0, 0, 10, 0, 0, 253};
	for (int i = 0; i < 2; i++) {
		make4("10.0.0.1", "20.0.0.5", T_PROTO, 1, 0, "12345678", 8);
		memcpy(m + 8, r.b, 28);
		be16(m + 2, 0);
		be16(m + 2, sum16(m, sizeof(m), 0));
		/* Heard from the router that is used only. */
		make4(i ? "10.0.0.254" : "10.0.0.9", "10.0.0.1", IPPROTO_ICMP, 1, 0, m, sizeof(m));
		in(l);
		struct route rt = route_to("20.0.0.5");
		CHECK(addr_is(&rt.gw, i ? "10.0.0.253" : "10.0.0.254"));
		route_put(&rt);
	}
}

/* --- forwarding --- */

TEST(forwarding)
{
	struct link *l = setup(), *m = t_link("d1");
	CHECK_EQ(t_addr(m, "10.0.1.1/24"), 0);
	CHECK_EQ(t_addr(m, "2001:db8:1::1/64"), 0);
	make4("10.0.0.9", "10.0.1.9", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK(!out()); /* off */
	ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_4_forwarding, 1);
	ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_6_forwarding, 1);
	t_drop_sent();
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[8], 63);
	CHECK_EQ(sum16(o.b, 20, 0), 0);
	r.b[8] = 1;
	in_fixed(l);
	CHECK(out());
	CHECK_EQ(o.b[20], ICMP_TIME_EXCEEDED);
	CHECK(!memcmp(o.b + 12, "\x0a\0\0\x01", 4)); /* from the link that it goes back by */
	make4("10.0.0.9", "99.0.0.1", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[20], ICMP_DEST_UNREACH);
	CHECK_EQ(o.b[21], ICMP_NET_UNREACH);
	uint8_t big[1400] = {0};
	CHECK_EQ(link_set_mtu(m, 1300), 0);
	make4("10.0.0.9", "10.0.1.9", T_PROTO, 1, 0x4000, big, sizeof(big));
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[21], ICMP_FRAG_NEEDED);
	CHECK_EQ(o.b[26] << 8 | o.b[27], 1300);
	make4("10.0.0.9", "10.0.1.9", T_PROTO, 1, 0, big, sizeof(big));
	in(l);
	CHECK(out() && out() && !out());
	make6("2001:db8::9", "2001:db8:1::9", T_PROTO, big, sizeof(big));
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[40], ICMPV6_PKT_TOOBIG);
	CHECK_EQ(o.b[46] << 8 | o.b[47], 1300);
	make6("2001:db8::9", "2001:db8:1::9", T_PROTO, big, 100);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[7], 63);
	make6("fe80::9", "2001:db8:1::9", T_PROTO, big, 100);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[41], ICMPV6_NOT_NEIGHBOUR);
}

TEST(reverse_path)
{
	struct link *l = setup(), *m = t_link("d1");
	CHECK_EQ(t_addr(m, "10.0.1.1/24"), 0);
	make4("10.0.1.9", "10.0.0.1", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK_EQ(ngot, 1);
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_rp_filter, 1);
	in(l);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(NET_READ(net, TcpExt_IPReversePathFilter), 1);
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_rp_filter, 2);
	in(l);
	CHECK_EQ(ngot, 2);
	make4("99.0.1.9", "10.0.0.1", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK_EQ(ngot, 2);
}

/* --- extension headers --- */

TEST(extension_headers)
{
	struct link *l = setup();
	uint8_t e[64] = {0};
	/* Hop-by-hop with a router alert, destination options with padding, then the payload. */
	memcpy(e, "\x3c\x00\x05\x02\x00\x00\x01\x00", 8);
	memcpy(e + 8, "\xfd\x00\x01\x04\x00\x00\x00\x00", 8);
	make6("2001:db8::9", "2001:db8::1", 0, e, 30);
	in(l);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(got->len, 14);
	CHECK_EQ(got->ip.opt_len, 16);
	CHECK_EQ(got->ip.proto, T_PROTO);
	static const struct {
		const char *hdr;
		uint8_t code;
		int at;                                            /* 0: no error */
	} options[] = {{"\xfd\x00\x3e\x04\x00\x00\x00\x00", 0, 0}, /* skipped */
		{"\xfd\x00\x7e\x04\x00\x00\x00\x00", 0, -1},       /* dropped */
		{"\xfd\x00\xbe\x04\x00\x00\x00\x00", ICMPV6_UNK_OPTION, 42},
		{"\xfd\x00\xfe\x04\x00\x00\x00\x00", ICMPV6_UNK_OPTION, 42},
		{"\xfd\x00\x3e\x05\x00\x00\x00\x00", 0, -1}}; /* longer than the header */
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		int n = ngot;
		make6("2001:db8::9", "2001:db8::1", 60, options[i].hdr, 8);
		r.len += 8;
		be16(r.b + 4, 16);
		in(l);
		CHECK_EQ(ngot, n + (options[i].at == 0));
		CHECK_EQ(out(), options[i].at > 0);
		if (options[i].at > 0) {
			CHECK_EQ(o.b[41], options[i].code);
			CHECK_EQ(o.b[47], options[i].at);
		}
	}
	/* Hop-by-hop options behind others; a routing header with stops left (RFC 5095). */
	memcpy(e, "\x00\x00\x01\x04\x00\x00\x00\x00", 8);
	make6("2001:db8::9", "2001:db8::1", 60, e, 30);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[41], ICMPV6_UNK_NEXTHDR);
	CHECK_EQ(o.b[47], 40);
	memcpy(e, "\xfd\x00\x00\x01\x00\x00\x00\x00", 8);
	make6("2001:db8::9", "2001:db8::1", 43, e, 30);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[41], ICMPV6_HDR_FIELD);
	CHECK_EQ(o.b[47], 42);
	/* Nobody has that protocol. */
	make6("2001:db8::9", "2001:db8::1", 254, e, 30);
	in(l);
	CHECK(out());
	CHECK_EQ(o.b[41], ICMPV6_UNK_NEXTHDR);
	CHECK_EQ(o.b[47], 6);
	/* Addresses that cannot be. */
	static const char *const bad[][2] = {{"::1", "2001:db8::1"}, {"2001:db8::9", "::1"},
		{"ff02::1", "2001:db8::1"}, {"2001:db8::9", "ff01::1"}, {"2001:db8::9", "ff00::1"},
		{"::ffff:1.2.3.4", "2001:db8::1"}};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		make6(bad[i][0], bad[i][1], T_PROTO, e, 30);
		refused4(l, COUNTER(Ip6_InHdrErrors));
	}
}

/* --- groups --- */

static struct ip_mc_filter filter(uint8_t mode, uint32_t n, const struct ip_addr *s)
{
	return (struct ip_mc_filter){mode, n, s};
}

TEST(members)
{
	struct link *l = setup();
	struct ip_addr g = addr_of("239.1.2.3"), s[2] = {addr_of("10.0.0.8"), addr_of("10.0.0.9")};
	struct ip_mc_filter all = filter(IP_MC_EXCLUDE, 0, NULL),
			    only = filter(IP_MC_INCLUDE, 1, s), not = filter(IP_MC_EXCLUDE, 2, s);
	CHECK(ip_mc_member(l, &(struct ip_addr){.w = {0, 0, IP_MAPPED_W2, htonl(0xe0000001)}},
		NULL));
	CHECK(!ip_mc_member(l, &g, NULL));
	CHECK_EQ(ip_mc_change(l, &g, NULL, &only), 0);
	CHECK(ip_mc_member(l, &g, &s[0]) && !ip_mc_member(l, &g, &s[1]));
	CHECK_EQ(ip_mc_change(l, &g, NULL, &not ), 0);
	CHECK(ip_mc_member(l, &g, &s[0]) && !ip_mc_member(l, &g, &s[1]));
	CHECK_EQ(ip_mc_change(l, &g, &only, NULL), 0);
	CHECK(!ip_mc_member(l, &g, &s[0]));
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	CHECK(ip_mc_member(l, &g, &s[0]));
	make4("10.0.0.9", "239.1.2.3", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK_EQ(ngot, 1);
	CHECK_EQ(ip_mc_change(l, &g, &all, NULL), 0);
	CHECK_EQ(ip_mc_change(l, &g, &not, NULL), 0);
	in(l);
	CHECK_EQ(ngot, 1);
	make4("10.0.0.9", "239.1.2.4", T_PROTO, 1, 0, "12345678", 8);
	in(l);
	CHECK_EQ(ngot, 1);
	/* What is sent to an own group comes back, without a link header. */
	CHECK_EQ(ip_mc_change(l, &g, NULL, &all), 0);
	struct ip_route_info d = t_route("224.0.0.0/4", NULL, l);
	CHECK_EQ(route_add(net, &d, NLM_F_CREATE), 0);
	CHECK_EQ(send_to("239.1.2.3", 8, IP_PMTU_WANT), 0);
	CHECK_EQ(ngot, 2);
	CHECK(out());
	CHECK_EQ(o.b[8], 1);
}
