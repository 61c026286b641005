/*
 * IPv4 in: checks of the header (RFC 1122, 3.2.1), options, what it is for us, and the
 * transports.  Linux' ip_input.c.
 */
#include <errno.h>
#include <linux/icmp.h>

#include "sentry/net/ip/ip_in.h"

static void read_header(struct pkt *p, const uint8_t *h)
{
	uint32_t a[2];
	memcpy(a, h + 12, sizeof(a));
	p->ip = (struct pkt_ip){.src = ip_v4(a[0]),
		.dst = ip_v4(a[1]),
		.proto = h[9],
		.ttl = h[8],
		.tos = h[1],
		.opt_len = (uint16_t)((h[0] & 15) * 4 - 20)};
}

/* False: dropped, and counted. */
static bool check_header(struct pkt *p)
{
	struct net_ns *net = p->net;
	if (!pkt_want(p, 20)) {
		NET_INC(net, Ip_InHdrErrors);
		return false;
	}
	uint32_t hlen = (uint32_t)(pkt_data(p)[0] & 15) * 4;
	if (pkt_data(p)[0] >> 4 != 4 || hlen < 20 || !pkt_want(p, hlen)) {
		NET_INC(net, Ip_InHdrErrors);
		return false;
	}
	const uint8_t *h = pkt_data(p);
	uint32_t len = get16(h + 2);
	NET_ADD_AT(net, IpExt_InNoECTPkts, h[1] & 3, pkt_segs(p));
	if (csum_fold(csum_add(0, h, hlen)) != 0xffff) {
		NET_INC(net, IpExt_InCsumErrors);
		NET_INC(net, Ip_InHdrErrors);
		return false;
	}
	if (p->len < len) {
		NET_INC(net, IpExt_InTruncatedPkts);
		return false;
	}
	if (len < hlen) {
		NET_INC(net, Ip_InHdrErrors);
		return false;
	}
	pkt_trim(p, len);
	p->l3 = p->data;
	read_header(p, h);
	if (!ip_offloads_ok(p, hlen)) {
		NET_INC(net, Ip_InHdrErrors);
		return false;
	}
	return true;
}

/* --- what it is for us --- */

/*
 * Answers that this thread had: for the packets of a conversation, one after the other, nothing is
 * locked.  Only what is for us, which needs no references.
 */
#define KNOWN 16u
static __thread struct {
	uint64_t net, gen;
	struct ip_addr src, dst;
	int32_t iif, oif;
	uint32_t mark;
	uint8_t tos;
} known[KNOWN];

static uint32_t known_slot(const struct flow *f)
{
	uint32_t h = (f->src.w[3] ^ f->dst.w[3] * 0x9e3779b1u ^ f->src.w[2] ^ f->dst.w[2] * 7) *
		     0x85ebca6bu;
	return (h ^ (uint32_t)f->iif) >> 28;
}
_Static_assert(KNOWN == 16, "known_slot");

int ip_route_in(struct net_ns *net, struct flow *f, struct route *rt, int32_t *local_oif)
{
	uint32_t i = known_slot(f);
	uint64_t gen = __atomic_load_n(&net->ip->gen, __ATOMIC_ACQUIRE);
	bool plain = !READ_ONCE(net->ip->custom_rules[ip_is_v4(&f->dst) ? 0 : 1]);
	if (plain && known[i].net == net->id && known[i].gen == gen &&
		ip_eq(&known[i].dst, &f->dst) && ip_eq(&known[i].src, &f->src) &&
		known[i].iif == f->iif && known[i].mark == f->mark && known[i].tos == f->tos) {
		*rt = (struct route){.type = RTN_LOCAL};
		*local_oif = known[i].oif;
		return 0;
	}
	int err = route_input(net, f, rt);
	if (err || rt->type != RTN_LOCAL)
		return err;
	*local_oif = rt->link->index;
	if (!plain)
		return 0;
	known[i].net = net->id;
	known[i].gen = rt->gen;
	known[i].src = f->src;
	known[i].dst = f->dst;
	known[i].iif = f->iif;
	known[i].oif = *local_oif;
	known[i].mark = f->mark;
	known[i].tos = f->tos;
	return 0;
}

static void no_route(struct pkt *p, int err)
{
	struct net_ns *net = p->net;
	bool forward = ip_link_conf(p->link, IP_CONF_4_forwarding);
	switch (err) {
	case -EHOSTUNREACH:
		if (forward)
			icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
		else
			NET_INC(net, Ip_InAddrErrors);
		break;
	case -ENETUNREACH:
		NET_INC(net, IpExt_InNoRoutes);
		if (forward)
			icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_NET_UNREACH, 0);
		break;
	case -EACCES:
		if (forward)
			icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_PKT_FILTERED, 0);
		break;
	case -EXDEV:
		NET_INC(net, TcpExt_IPReversePathFilter);
		break;
	default: /* a martian */
		NET_INC(net, Ip_InAddrErrors);
		break;
	}
	pkt_free(p);
}

/* --- options --- */

/* A source route that ends elsewhere: the packet goes on to its next stop (RFC 1122, 3.2.1.8). */
static bool source_route(struct pkt *p, const struct ip4_opts *o, struct route *rt)
{
	struct flow f = {.src = p->ip.src, .iif = p->iif, .tos = p->ip.tos, .mark = p->mark};
	uint8_t *h = pkt_data(p);
	if (!ip_conf_and(p->net, p->link, IP_CONF_4_accept_source_route))
		return false;
	if (p->type != PKT_HOST || rt->type != RTN_LOCAL) /* strict, and we are no stop */
		return rt->type == RTN_UNICAST && !o->strict;
	while (rt->type == RTN_LOCAL && ip4_opts_next_stop(h, o, ip_to_v4(&p->ip.dst))) {
		ip4_checksum(h, 20u + p->ip.opt_len);
		memcpy(&p->ip.dst.w[3], h + 16, 4);
		f.dst = p->ip.dst;
		route_put(rt);
		if (route_input(p->net, &f, rt))
			return false;
	}
	return true;
}

static bool do_options(struct pkt *p, struct route *rt)
{
	struct ip4_opts o;
	uint8_t bad;
	if (!ip4_opts_parse(pkt_data(p), 20u + p->ip.opt_len, &o, &bad)) {
		NET_INC(p->net, Ip_InHdrErrors);
		icmp_send_error(p, ICMP_PARAMETERPROB, 0, bad);
		return false;
	}
	return !o.srr || source_route(p, &o, rt);
}

/* --- to transports --- */

void ip4_deliver(struct pkt *p)
{
	struct net_ns *net = p->net;
	if (!net_hook(NET_LOCAL_IN, p))
		return;
	uint32_t hlen = 20u + p->ip.opt_len;
	bool raw = ip_deliver_raw(p);
	pkt_pull(p, hlen);
	p->l4 = p->data;
	if (ip_deliver_proto(p)) {
		NET_INC(net, Ip_InDelivers);
		return;
	}
	if (raw) {
		NET_INC(net, Ip_InDelivers);
	} else {
		NET_INC(net, Ip_InUnknownProtos);
		icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_PROT_UNREACH, 0);
	}
	pkt_free(p);
}

static void local(struct pkt *p)
{
	if (get16(pkt_data(p) + 6) & (IP4_MF | IP4_OFFSET)) {
		p = ip4_reassemble(p);
		if (!p)
			return;
	}
	ip4_deliver(p);
}

static bool wants_multicast(struct pkt *p)
{
	/* IGMP is heard by all members, whatever their sources. */
	const struct ip_addr *src = p->ip.proto == IPPROTO_IGMP ? NULL : &p->ip.src;
	return ip_mc_member(p->link, &p->ip.dst, src);
}

static void count_cast(struct pkt *p, uint8_t type)
{
	if (type == RTN_MULTICAST) {
		NET_INC(p->net, IpExt_InMcastPkts);
		NET_ADD(p->net, IpExt_InMcastOctets, p->len);
	} else if (type == RTN_BROADCAST) {
		NET_INC(p->net, IpExt_InBcastPkts);
		NET_ADD(p->net, IpExt_InBcastOctets, p->len);
	}
}

static void routed(struct pkt *p, struct route *rt)
{
	if (p->ip.opt_len && !do_options(p, rt)) {
		pkt_free(p);
		return;
	}
	count_cast(p, rt->type);
	switch (rt->type) {
	case RTN_BROADCAST:
		p->ip.broadcast = true;
		local(p);
		break;
	case RTN_LOCAL:
		if ((p->type == PKT_BROADCAST || p->type == PKT_MULTICAST) &&
			ip_conf_or(p->net, p->link, IP_CONF_4_drop_unicast_in_l2_multicast))
			pkt_free(p);
		else
			local(p);
		break;
	case RTN_MULTICAST:
		local(p);
		break;
	default:
		ip_forward(p, rt);
		break;
	}
}

void ip4_input(struct pkt *p)
{
	struct net_ns *net = p->net;
	struct route rt;
	int32_t oif = 0;
	if (p->type == PKT_OTHERHOST) { /* seen because of promiscuity */
		pkt_free(p);
		return;
	}
	NET_INC(net, Ip_InReceives);
	NET_ADD(net, IpExt_InOctets, p->len);
	if (!p->link->ip || !check_header(p)) {
		pkt_free(p);
		return;
	}
	if (!net_hook(NET_PREROUTING, p))
		return;
	if (ip_is_multicast(&p->ip.dst) && !wants_multicast(p)) {
		pkt_free(p);
		return;
	}
	struct flow f = {.src = p->ip.src,
		.dst = p->ip.dst,
		.proto = p->ip.proto,
		.tos = p->ip.tos,
		.iif = p->iif,
		.mark = p->mark};
	int err = 0;
	if (p->looped) /* of our own: its source would be a martian's */
		rt = (struct route){
			.type = p->type == PKT_BROADCAST ? RTN_BROADCAST : RTN_MULTICAST};
	else
		err = ip_route_in(net, &f, &rt, &oif);
	if (err) {
		no_route(p, err);
		return;
	}
	/* What we send to ourselves came in, for sockets, by the link that has the address. */
	if (oif && (READ_ONCE(p->link->flags) & IFF_LOOPBACK))
		p->iif = oif;
	routed(p, &rt);
	route_put(&rt);
}
