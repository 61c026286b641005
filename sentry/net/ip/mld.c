/* Multicast listener discovery, the host's side: RFC 3810, 2710, 3590. */
#include <linux/icmpv6.h>

#include "sentry/net/ip/mc_priv.h"

/* A link-local address of the link, or none, as while the first one is tentative (RFC 3590). */
static struct ip_addr source(struct net_ns *net, struct link *l)
{
	struct ip_addr to = {.b = {0xff, 2, [15] = 0x16}};
	struct ip_addr a = ip_addr_select(net, l, &to, 0);
	return ip_is_linklocal(&a) ? a : IP_ANY6;
}

void mld_send(struct net_ns *net, struct pkt *p, uint8_t type, const struct ip_addr *to)
{
	/* RFC 2711: hop-by-hop options with a router alert of value 0. */
	static const uint8_t alert[8] = {0, 0, 5, 2, 0, 0, 1, 0};
	struct link *l = p->link;
	struct flow f = {.dst = *to,
		.src = source(net, l),
		.oif = l->index,
		.anysrc = true,
		.proto = IPPROTO_ICMPV6};
	struct ip_tx tx = {.ttl = 1,
		.mc_noloop = true,
		.opt = alert,
		.opt_len = sizeof(alert),
		.opt_first = IPPROTO_HOPOPTS};
	/* Not by the tables: groups of the link are on the link. */
	struct route rt = {.link = link_get(l),
		.src = f.src,
		.gw = *to,
		.type = RTN_MULTICAST,
		.mtu = READ_ONCE(l->mtu)};
	pkt_data(p)[0] = type;
	icmp_transmit(net, p, &f, &rt, &tx);
}

/* RFC 3810, 5.1.3. */
static int64_t delay_of(uint16_t code)
{
	uint32_t ms = code < 32768
			      ? code
			      : ((uint32_t)(code & 0xfff) | 0x1000) << (((code >> 12) & 7) + 3);
	return (int64_t)MAX(ms, 1u) * 1000000;
}

static uint32_t expand8(uint8_t v)
{
	return v < 128 ? v : ((uint32_t)(v & 15) | 16) << (((v >> 4) & 7) + 3);
}

static void query(struct pkt *p)
{
	uint8_t h[28] = {0}, buf[64 * 16];
	pkt_copy(p, 0, h, MIN(p->len, 28u));
	struct mc_query q = {.group = ip_v6(h + 8),
		.max_delay = delay_of(get16(h + 4)),
		.version = 2};
	if (p->len >= 28) {
		q.version = 3;
		q.robustness = h[24] & 7;
		q.interval = expand8(h[25]);
		q.nsources = get16(h + 26);
		if (p->len < 28 + 16 * q.nsources || (ip_is_any(&q.group) && q.nsources))
			return;
		if (q.nsources > 64)
			q.nsources = 0; /* the whole group is told */
		pkt_copy(p, 28, buf, 16 * q.nsources);
		q.sources = buf;
	} else if (p->len != 24) {
		return;
	}
	if (!ip_is_any(&q.group) && !ip_is_multicast(&q.group))
		return;
	mc_query(p->net, p->link, &q, false);
}

void mld_input(struct pkt *p)
{
	uint8_t h[24];
	/* RFC 2710, 5; 3810, 5.1.14: from the link, and by what routers look at. */
	if (p->ip.ttl != 1 || !ip_is_linklocal(&p->ip.src) || p->len < 24 || p->looped)
		return;
	pkt_copy(p, 0, h, sizeof(h));
	struct ip_addr group = ip_v6(h + 8);
	if (h[0] == ICMPV6_MGM_QUERY)
		query(p);
	else if (h[0] == ICMPV6_MGM_REPORT)
		mc_heard(p->link, &group);
}
