/* IPv6 in: checks of the header (RFC 8200, 4291), extension headers, transports.  Linux'
 * ip6_input.c. */
#include <errno.h>
#include <linux/icmpv6.h>

#include "sentry/net/ip/ip_in.h"

#define FRAGMENT_HEADERS_MAX 4u /* of a packet: fragments of fragments */

static void read_header(struct pkt *p, const uint8_t *h)
{
	uint32_t flow = get32(h);
	p->ip = (struct pkt_ip){.src = ip_v6(h + 8),
		.dst = ip_v6(h + 24),
		.proto = h[6],
		.ttl = h[7],
		.tos = (uint8_t)(flow >> 20),
		.flowlabel = flow & 0xfffff};
}

/* RFC 4291: addresses that cannot be where they are. */
static bool addresses_ok(const struct pkt *p)
{
	const struct ip_addr *src = &p->ip.src, *dst = &p->ip.dst;
	bool lo = READ_ONCE(p->link->flags) & IFF_LOOPBACK;
	if (ip_is_v4(src) || ip_is_v4(dst)) /* mapped ones are no addresses of the wire */
		return false;
	if (ip_is_multicast(src) || (!lo && (ip_is_loopback(src) || ip_is_loopback(dst))))
		return false;
	if (!ip_is_multicast(dst))
		return true;
	uint8_t scope = dst->b[1] & 15;
	return scope != 0 && (scope != 1 || lo || p->looped);
}

/* False: dropped, and counted. */
static bool check_header(struct pkt *p)
{
	struct net_ns *net = p->net;
	if (!pkt_want(p, 40) || pkt_data(p)[0] >> 4 != 6) {
		NET_INC(net, Ip6_InHdrErrors);
		return false;
	}
	const uint8_t *h = pkt_data(p);
	uint32_t len = get16(h + 4);
	p->l3 = p->data;
	read_header(p, h);
	NET_ADD_AT(net, Ip6_InNoECTPkts, p->ip.tos & 3, pkt_segs(p));
	if (!addresses_ok(p)) {
		NET_INC(net, Ip6_InHdrErrors);
		return false;
	}
	/* 0 with hop-by-hop options would be a jumbogram (RFC 2675), which there are none of. */
	if (!len && h[6] == IPPROTO_HOPOPTS) {
		NET_INC(net, Ip6_InHdrErrors);
		return false;
	}
	if (len + 40 > p->len) {
		NET_INC(net, Ip6_InTruncatedPkts);
		return false;
	}
	pkt_trim(p, len + 40);
	if (!ip_offloads_ok(p, 40)) {
		NET_INC(net, Ip6_InHdrErrors);
		return false;
	}
	return true;
}

/* --- to transports --- */

static bool is_mld(const struct pkt *p, uint8_t next)
{
	return next == IPPROTO_ICMPV6 && pkt_head_len(p) &&
	       (p->head[p->data] == ICMPV6_MGM_QUERY || p->head[p->data] == ICMPV6_MGM_REPORT ||
		       p->head[p->data] == ICMPV6_MGM_REDUCTION ||
		       p->head[p->data] == ICMPV6_MLD2_REPORT);
}

/* Extension headers, fragments put together on the way; what is left, or NULL. */
static struct pkt *open_headers(struct pkt *p, uint8_t *next, uint32_t *nh_off)
{
	for (unsigned int n = 0; n < FRAGMENT_HEADERS_MAX; n++) {
		enum ip6_walk w = ip6_walk_headers(p, next, nh_off);
		if (w == IP6_DONE)
			return p;
		if (w == IP6_DROP)
			break;
		p = ip6_reassemble(p, nh_off);
		if (!p)
			return NULL;
		/* The field that named the fragment header names what it was about. */
		*next = pkt_l3(p)[*nh_off];
		if (*next == IPPROTO_HOPOPTS) {
			NET_INC(p->net, Ip6_InHdrErrors);
			icmp_send_error(p, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, *nh_off);
			break;
		}
	}
	pkt_free(p);
	return NULL;
}

static void deliver(struct pkt *p)
{
	struct net_ns *net = p->net;
	uint8_t next = p->ip.proto;
	uint32_t nh_off = 6;
	p = open_headers(p, &next, &nh_off);
	if (!p)
		return;
	p->ip.proto = next;
	p->l4 = p->data;
	if (ip_is_multicast(&p->ip.dst) && !is_mld(p, next) &&
		!ip_mc_member(p->link, &p->ip.dst, &p->ip.src)) {
		pkt_free(p);
		return;
	}
	bool raw = ip_deliver_raw(p);
	if (ip_deliver_proto(p)) {
		NET_INC(net, Ip6_InDelivers);
		return;
	}
	if (raw || next == IPPROTO_NONE) {
		NET_INC(net, Ip6_InDelivers);
	} else {
		NET_INC(net, Ip6_InUnknownProtos);
		icmp_send_error(p, ICMPV6_PARAMPROB, ICMPV6_UNK_NEXTHDR, nh_off);
	}
	pkt_free(p);
}

static void local(struct pkt *p)
{
	if (!net_hook(NET_LOCAL_IN, p))
		return;
	pkt_pull(p, 40);
	deliver(p);
}

static void no_route(struct pkt *p, int err)
{
	NET_INC(p->net, Ip6_InNoRoutes);
	if (err == -EACCES)
		icmp_send_error(p, ICMPV6_DEST_UNREACH, ICMPV6_ADM_PROHIBITED, 0);
	else if (err != -EINVAL)
		icmp_send_error(p, ICMPV6_DEST_UNREACH,
			err == -EHOSTUNREACH ? ICMPV6_ADDR_UNREACH : ICMPV6_NOROUTE, 0);
	pkt_free(p);
}

static void multicast(struct pkt *p)
{
	NET_INC(p->net, Ip6_InMcastPkts);
	NET_ADD(p->net, Ip6_InMcastOctets, p->len);
	/* Sources are asked about once the transport is known: MLD is for all. */
	if (ip_mc_member(p->link, &p->ip.dst, NULL))
		local(p);
	else
		pkt_free(p);
}

static void route(struct pkt *p)
{
	struct route rt;
	int32_t oif = 0;
	struct flow f = {.src = p->ip.src,
		.dst = p->ip.dst,
		.proto = p->ip.proto,
		.tos = p->ip.tos,
		.iif = p->iif,
		.mark = p->mark};
	int err = ip_route_in(p->net, &f, &rt, &oif);
	if (err) {
		no_route(p, err);
		return;
	}
	if (oif && (READ_ONCE(p->link->flags) & IFF_LOOPBACK))
		p->iif = oif;
	if (rt.type == RTN_LOCAL || rt.type == RTN_ANYCAST)
		local(p);
	else
		ip_forward(p, &rt);
	route_put(&rt);
}

void ip6_input(struct pkt *p)
{
	struct net_ns *net = p->net;
	if (p->type == PKT_OTHERHOST) {
		pkt_free(p);
		return;
	}
	NET_INC(net, Ip6_InReceives);
	NET_ADD(net, Ip6_InOctets, p->len);
	if (!p->link->ip || ip_link_conf(p->link, IP_CONF_6_disable_ipv6)) {
		NET_INC(net, Ip6_InDiscards);
		pkt_free(p);
		return;
	}
	if (!check_header(p)) {
		pkt_free(p);
		return;
	}
	if (p->ip.proto == IPPROTO_HOPOPTS) {
		/* Everybody looks at these, at once. */
		pkt_pull(p, 40);
		bool ok = ip6_hop_by_hop(p);
		pkt_push(p, 40);
		if (!ok) {
			pkt_free(p);
			return;
		}
	}
	if (!net_hook(NET_PREROUTING, p))
		return;
	if (ip_is_multicast(&p->ip.dst))
		multicast(p);
	else
		route(p);
}
