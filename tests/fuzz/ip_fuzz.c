/*
 * The network layer, from the wire: packets of both families, one after the other, into a namespace
 * with addresses, a route, groups and a transport that takes what it gets.
 *
 * Input: a byte of settings (1: forwards, 2: accepts source routes, 4: strict reverse path), then
 * packets: a byte (1: the IPv4 header's checksum is made right, 2: so is that of ICMP or IGMP
 * behind it, 4: half of the bytes lie in a buffer of their own, 8: a multicast of the link,
 * 16: twice, 32: its checksum is open, 64: it is to be segmented), a length of two bytes, bytes;
 * the last six say where the checksum is and how long segments are.
 *
 * What goes out is well-formed and fits its link; nothing is left when the namespace goes.
 */
#define FUZZ_BYTES_ONLY
#include "tests/fuzz/driver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/ip_in.h"

#define T_LINK ((enum link_kind)(LINK_KIND_NR - 1))
#define T_PROTO 253

#ifndef LIBFUZZER
const char *const fuzz_tokens[] = {"\x45", "\x60", "\x0a\x00\x00\x01", "\x0a\x00\x00\x09",
	"\x20\x01\x0d\xb8", "\xff\x02", "\xfe\x80", "\x3a", "\x2c", "\x3c", "\x2b", "\x94\x04",
	"\xe0\x00\x00\x01", "\x20\x00", NULL};
#endif

static struct net_ns *net;
static bool forwards; /* fragments of others, as they are */

static void check_sent(struct link *l, struct pkt *p)
{
	uint8_t h[60];
	must(p->len >= 20 && p->len <= READ_ONCE(l->mtu), "length for the link");
	pkt_copy(p, 0, h, MIN(p->len, 60u));
	if (h[0] >> 4 == 4) {
		uint32_t hlen = (h[0] & 15) * 4u;
		must(hlen >= 20 && get16(h + 2) == p->len, "lengths of IPv4");
		must(csum_fold(csum_add(0, h, hlen)) == 0xffff, "checksum of IPv4");
		must(forwards || (get16(h + 6) & IP4_OFFSET) * 8u + p->len - hlen <= 65535,
			"offset");
	} else {
		must(h[0] >> 4 == 6 && p->len >= 40, "version");
		must(get16(h + 4) + 40u == p->len, "length of IPv6");
		must(h[8] != 0xff, "source of IPv6");
	}
}

static void t_xmit(struct link *l, struct pkt *p)
{
	check_sent(l, p);
	pkt_free(p);
}
static const struct link_ops t_ops = {.name = "test", .xmit = t_xmit};

static void t_input(struct pkt *p)
{
	must(p->l3 <= p->data && p->l4 == p->data, "offsets");
	must(p->len <= 65535, "length for a transport");
	if (p->len & 1)
		icmp_port_unreachable(p);
	pkt_free(p);
}
static void t_error(struct pkt *p, const struct ip_error *e)
{
	must(pkt_head_len(p) >= 8 && e->err > 0, "an error");
	if (e->err == EMSGSIZE)
		ip_pmtu_learn(net, &e->dst, e->info, 0);
}
static const struct ip_proto t_proto = {.input = t_input, .error = t_error};

static void start(void)
{
	static bool ready;
	if (ready)
		return;
	ready = true;
	must(!arena_init() && !memfile_init() && !time_init(), "start");
	link_init();
	ip_init();
	eth_init();
	ip_proto_register(T_PROTO, &t_proto);
	ip_proto_register(IPPROTO_UDP, &t_proto);
	link_ops_register(T_LINK, &t_ops);
}

static struct ip_addr v6(uint16_t first, uint8_t last)
{
	struct ip_addr a = {.b = {(uint8_t)(first >> 8), (uint8_t)first, 0x0d, 0xb8, [15] = last}};
	if (first == 0xfe80)
		a.b[2] = a.b[3] = 0;
	return a;
}

static void add_addr(struct link *l, struct ip_addr a, uint8_t len)
{
	struct ip_ifaddr i = {.index = l->index,
		.family = ip_is_v4(&a) ? AF_INET : AF_INET6,
		.local = a,
		.prefix_len = len,
		.flags = IFA_F_NODAD,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	must(!ip_addr_add(net, &i, NLM_F_CREATE), "address");
}

static struct link *make_link(const char *name, uint8_t net3)
{
	struct link *l = link_new(T_LINK, ARPHRD_NONE);
	l->flags |= IFF_BROADCAST | IFF_MULTICAST;
	must(!link_register(net, l, name, 0) && !link_set_flags(l, IFF_UP, IFF_UP), "link");
	add_addr(l, ip_v4(htonl(0x0a000001u + ((uint32_t)net3 << 8))), 24);
	struct ip_addr a = v6(0x2001, 1);
	a.b[5] = net3;
	add_addr(l, a, 64);
	add_addr(l, v6(0xfe80, (uint8_t)(net3 + 1)), 64);
	return l;
}

static void default_route(struct link *l, struct ip_addr gw)
{
	struct ip_route_info r = {.family = ip_is_v4(&gw) ? AF_INET : AF_INET6,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNICAST,
		.protocol = RTPROT_BOOT,
		.nhops = 1};
	r.dst = r.prefsrc = ip_is_v4(&gw) ? IP_ANY4 : IP_ANY6;
	r.hop[0].gw = gw;
	r.hop[0].oif = l->index;
	must(!route_add(net, &r, NLM_F_CREATE), "route");
}

static struct link *make_namespace(uint8_t settings)
{
	struct ip_addr group = ip_v4(htonl(0xef010203)), from = ip_v4(htonl(0x0a000009));
	struct ip_mc_filter all = {IP_MC_EXCLUDE, 0, NULL}, one = {IP_MC_INCLUDE, 1, &from};
	forwards = settings & 1;
	net = net_ns_new(1);
	must(net && !ip_loopback_up(net), "namespace");
	struct link *l = make_link("d0", 0), *m = make_link("d1", 1);
	WRITE_ONCE(m->mtu, 1280);
	default_route(l, ip_v4(htonl(0x0a0000fe)));
	default_route(l, v6(0x2001, 0xfe));
	must(!ip_mc_change(l, &group, NULL, &all), "group");
	group.b[15] = 4;
	must(!ip_mc_change(l, &group, NULL, &one), "group");
	ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_4_forwarding, settings & 1);
	ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_6_forwarding, settings & 1);
	ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_4_accept_source_route, (settings >> 1) & 1);
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_accept_source_route, (settings >> 1) & 1);
	ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_4_rp_filter, (settings >> 2) & 1);
	return l;
}

/* --- packets --- */

static void fix4(uint8_t *b, uint32_t n, bool upper)
{
	uint32_t hlen = (b[0] & 15) * 4u;
	if (hlen < 20 || hlen > n)
		return;
	if (upper && (b[9] == IPPROTO_ICMP || b[9] == IPPROTO_IGMP) && n >= hlen + 4) {
		put16(b + hlen + 2, 0);
		uint32_t len = get16(b + 2);
		uint32_t m = len > hlen && len <= n ? len - hlen : n - hlen;
		uint16_t v = (uint16_t)~csum_fold(csum_add(0, b + hlen, m));
		memcpy(b + hlen + 2, &v, 2);
	}
	ip4_checksum(b, hlen);
}

/* The checksum of ICMPv6 at the end of a chain of headers. */
static void fix6(uint8_t *b, uint32_t n)
{
	uint8_t next = b[6];
	uint32_t at = 40;
	while (at + 8 <= n && (next == 0 || next == 60 || next == 43)) {
		next = b[at];
		at += (b[at + 1] + 1u) * 8;
	}
	uint32_t end = MIN(n, get16(b + 4) + 40u);
	if (next != IPPROTO_ICMPV6 || at + 4 > end)
		return;
	struct ip_addr s = ip_v6(b + 8), d = ip_v6(b + 24);
	put16(b + at + 2, 0);
	uint32_t sum = csum_pseudo(&s, &d, IPPROTO_ICMPV6, end - at);
	uint16_t v = (uint16_t)~csum_fold(csum_add(sum, b + at, end - at));
	memcpy(b + at + 2, &v, 2);
}

/* What fdlink_rx.c lets through. */
static void offloads(struct pkt *p, const uint8_t *b, uint32_t n, uint8_t how)
{
	if (n < 6 || !(how & 96))
		return;
	uint32_t start = get16(b + n - 6) % 200, off = b[n - 3] % 32;
	if (start + off + 2 > pkt_head_len(p))
		return;
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_start = (uint16_t)(p->data + start);
	p->csum_offset = (uint16_t)off;
	if (!(how & 64))
		return;
	p->gso = (uint8_t)(PKT_GSO_TCP4 + b[n - 2] % 3);
	p->gso_size = (uint16_t)(b[n - 1] * 8 + 1);
	p->gso_segs = (uint16_t)(n / p->gso_size + 1);
}

static void in(struct link *l, const uint8_t *b, uint32_t n, uint8_t how)
{
	struct pkt *p = pkt_new();
	uint32_t head = how & 4 ? n / 2 : n;
	must(!pkt_add(p, b, head), "packet");
	if (head < n) {
		struct nbuf *buf = nbuf_new(n - head);
		memcpy(buf->data, b + head, n - head);
		buf->used = n - head;
		pkt_add_frag(p, buf, 0, n - head);
		nbuf_put(buf);
	}
	offloads(p, b, n, how);
	p->link = link_get(l);
	p->type = how & 8 ? PKT_MULTICAST : PKT_HOST;
	p->protocol = b[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
	link_input(p);
	net_run();
}

static uint64_t in_use(void)
{
	static struct slab_stat s[512];
	uint64_t sum = 0;
	size_t n = arena_stats(s, 512);
	for (size_t i = 0; i < n && i < 512; i++)
		sum += s[i].in_use;
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t b[65536];
	struct fuzz_in f = {data, size};
	start();
	uint64_t before = in_use();
	struct link *l = make_namespace(fuzz_u8(&f));
	while (f.n) {
		uint8_t how = fuzz_u8(&f);
		uint32_t n = fuzz_u16(&f);
		n = (uint32_t)fuzz_take(&f, b, n);
		if (!n)
			continue;
		if ((how & 1) && n >= 20 && b[0] >> 4 == 4)
			fix4(b, n, how & 2);
		else if ((how & 2) && n >= 48)
			fix6(b, n);
		in(l, b, n, how);
		if (how & 16)
			in(l, b, n, how);
	}
	ip_frags_expire(net, INT64_MAX);
	ip_mc_expire(net, INT64_MAX - 100 * NSEC_PER_SEC);
	net_run();
	net_ns_put(net);
	must(in_use() == before, "something is left");
	return 0;
}
