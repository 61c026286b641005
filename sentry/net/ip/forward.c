/* Packets that are for others: RFC 1812 (5.2, 5.3), RFC 8200; off unless "forwarding" is on. */
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "sentry/net/ip/ip_in.h"

static bool forwarding(const struct pkt *p)
{
	return pkt_is_v4(p) ? ip_link_conf(p->link, IP_CONF_4_forwarding)
			    : ip_all_conf(p->net, IP_CONF_6_forwarding);
}

static void drop(struct pkt *p)
{
	if (pkt_is_v4(p))
		NET_INC(p->net, Ip_InDiscards);
	else
		NET_INC(p->net, Ip6_InDiscards);
	pkt_free(p);
}

/* Bytes of what will be on the wire at a time. */
static uint32_t wire_len(const struct pkt *p)
{
	if (!p->gso_size || p->l4 == UINT16_MAX)
		return p->len;
	return (uint32_t)p->l4 - p->data + 60 + p->gso_size;
}

/* Too long for its way, and not to be cut: true, and said. */
static bool too_big(struct pkt *p, const struct route *rt)
{
	uint32_t mtu = ip_mtu(rt);
	if (p->gso_size ? wire_len(p) - 60 + 20 <= mtu : p->len <= mtu)
		return false;
	if (pkt_is_v4(p)) {
		if (!(get16(pkt_data(p) + 6) & IP4_DF))
			return false;
		NET_INC(p->net, Ip_FragFails);
		icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, mtu);
	} else {
		NET_INC(p->net, Ip6_InTooBigErrors);
		NET_INC(p->net, Ip6_FragFails);
		icmp_send_error(p, ICMPV6_PKT_TOOBIG, 0, mtu);
	}
	return true;
}

/* It leaves by the link that it came by: the sender could have asked the next hop itself (RFC 792;
 * Linux' ip_rt_send_redirect).  Within the rate limits, which icmp_send_error has too. */
static void send_redirect(struct pkt *p, const struct route *rt)
{
	struct flow f = {.dst = p->ip.src, .src = IP_ANY4, .oif = rt->link->index};
	struct route back;
	if (rt->link != p->link || !pkt_is_v4(p) || p->ip.opt_len ||
		!ip_conf_or(p->net, p->link, IP_CONF_4_send_redirects) || !rt->gateway)
		return;
	/* Only to who is a neighbour of that next hop. */
	if (route_lookup(p->net, &f, &back))
		return;
	bool neighbour = back.type == RTN_UNICAST && !back.gateway;
	route_put(&back);
	if (neighbour)
		icmp_send_error(p, ICMP_REDIRECT, ICMP_REDIR_HOST, ntohl(ip_to_v4(&rt->gw)));
}

static void decrement(struct pkt *p)
{
	uint8_t *h = pkt_data(p);
	p->ip.ttl--;
	if (!pkt_is_v4(p)) {
		h[7]--;
		return;
	}
	h[8]--;
	ip4_checksum(h, 20u + p->ip.opt_len);
}

static bool addresses_ok(struct pkt *p, const struct route *rt)
{
	if (rt->type != RTN_UNICAST || p->type != PKT_HOST)
		return false;
	if (pkt_is_v4(p))
		return true;
	/* RFC 4291, 2.5.6: link-local ones stay on the link. */
	if (ip_is_any(&p->ip.src) || ip_is_loopback(&p->ip.src))
		return false;
	if (ip_is_linklocal(&p->ip.src) || ip_is_linklocal(&p->ip.dst)) {
		if (ip_is_linklocal(&p->ip.src))
			icmp_send_error(p, ICMPV6_DEST_UNREACH, ICMPV6_NOT_NEIGHBOUR, 0);
		return false;
	}
	return true;
}

static void record_options(struct pkt *p, const struct route *rt)
{
	uint8_t *h = pkt_data(p), bad;
	struct ip4_opts o;
	if (!p->ip.opt_len || !ip4_opts_parse(h, 20u + p->ip.opt_len, &o, &bad))
		return;
	ip4_opts_record(h, &o, ip_to_v4(&rt->src));
	ip4_checksum(h, 20u + p->ip.opt_len);
}

/* rt->src of a route that was asked for with a source is that one: which of ours it leaves from is
 * for options only. */
static void own_source(struct pkt *p, struct route *rt)
{
	if (pkt_is_v4(p) && p->ip.opt_len)
		rt->src = ip_addr_select(p->net, rt->link, &rt->gw, RT_SCOPE_UNIVERSE);
}

static void time_exceeded(struct pkt *p)
{
	if (pkt_is_v4(p)) {
		NET_INC(p->net, Ip_InHdrErrors);
		icmp_send_error(p, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
	} else {
		NET_INC(p->net, Ip6_InHdrErrors);
		icmp_send_error(p, ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT, 0);
	}
	pkt_free(p);
}

/* Out by rt's link: what the transport's header is of no more concern. */
static void leave(struct pkt *p, const struct route *rt)
{
	struct link *in = p->link;
	if (pkt_is_v4(p))
		NET_INC(p->net, Ip_ForwDatagrams);
	else
		NET_INC(p->net, Ip6_OutForwDatagrams);
	p->link = link_get(rt->link);
	link_put(in);
	ip_transmit(p, rt);
}

void ip_forward(struct pkt *p, const struct route *rt)
{
	struct route out = *rt;
	if (!forwarding(p) || !addresses_ok(p, rt)) {
		drop(p);
		return;
	}
	if (p->ip.ttl <= 1) {
		time_exceeded(p);
		return;
	}
	if (too_big(p, rt)) {
		pkt_free(p);
		return;
	}
	send_redirect(p, rt);
	decrement(p);
	own_source(p, &out);
	record_options(p, &out);
	if (!net_hook(NET_FORWARD, p))
		return;
	leave(p, rt);
}
