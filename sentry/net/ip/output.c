/*
 * Out: the network header goes in front, and the packet to the neighbour or the link.  Linux'
 * ip_output.c and ip6_output.c.
 *
 * A sender's socket may be locked here: a packet that is dropped is freed by net_defer_free.
 */
#include <errno.h>
#include <linux/if_ether.h>

#include "lib/siphash.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/ip_in.h"

#define LINK_ROOM 16u /* in front of a network header, for an Ethernet one */
#define IP4_LEN_MAX 65535u
#define IP6_LEN_MAX (65535u + 40)

/* --- identifications (RFC 6864, 7739) --- */

static uint64_t mix(const uint8_t secret[32], const struct ip_addr *src, const struct ip_addr *dst,
	uint64_t more)
{
	struct {
		struct ip_addr src, dst;
		uint64_t more;
	} in = {*src, *dst, more};
	return siphash(secret, &in, sizeof(in));
}

/* One counter for a set of pairs, so that who sees one pair's learns little of others. */
static uint32_t next_ident(struct net_ns *net, uint64_t h, uint32_t segs)
{
	uint32_t *c = &net->ip->idents[(h >> 32) % IP_IDENTS];
	return __atomic_fetch_add(c, segs, __ATOMIC_RELAXED) + (uint32_t)h;
}

uint16_t ip4_ident(struct net_ns *net, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t proto, uint32_t segs)
{
	return (uint16_t)next_ident(net, mix(net->secret, src, dst, proto), segs);
}

uint32_t ip6_ident(struct net_ns *net, const struct ip_addr *src, const struct ip_addr *dst)
{
	return next_ident(net, mix(net->secret, src, dst, 0), 1);
}

/* --- to the link --- */

void ip_loop_back(struct pkt *p, const struct route *rt)
{
	struct pkt *c = pkt_clone(p);
	if (!c)
		return;
	if (c->csum == PKT_CSUM_PARTIAL)
		c->csum = PKT_CSUM_OK;
	c->looped = true;
	c->type = rt->type == RTN_BROADCAST ? PKT_BROADCAST : PKT_MULTICAST;
	net_defer(c);
}

static bool leaves_host(const struct pkt *p, const struct route *rt)
{
	if (rt->type != RTN_MULTICAST || (READ_ONCE(rt->link->flags) & IFF_LOOPBACK))
		return true;
	if (!p->ip.ttl)
		return false;
	return pkt_is_v4(p) || (p->ip.dst.b[1] & 15) > 1; /* interface-local */
}

static void count_out(const struct pkt *p, const struct route *rt)
{
	struct net_ns *net = p->net;
	uint32_t n = pkt_segs(p);
	if (pkt_is_v4(p)) {
		NET_ADD(net, Ip_OutTransmits, n);
		NET_ADD(net, IpExt_OutOctets, p->len);
		if (rt->type == RTN_MULTICAST) {
			NET_ADD(net, IpExt_OutMcastPkts, n);
			NET_ADD(net, IpExt_OutMcastOctets, p->len);
		} else if (rt->type == RTN_BROADCAST) {
			NET_ADD(net, IpExt_OutBcastPkts, n);
			NET_ADD(net, IpExt_OutBcastOctets, p->len);
		}
		return;
	}
	NET_ADD(net, Ip6_OutTransmits, n);
	NET_ADD(net, Ip6_OutOctets, p->len);
	if (rt->type == RTN_MULTICAST) {
		NET_ADD(net, Ip6_OutMcastPkts, n);
		NET_ADD(net, Ip6_OutMcastOctets, p->len);
	}
}

void ip_send(struct pkt *p, const struct route *rt)
{
	if (!leaves_host(p, rt)) {
		net_defer_free(p);
		return;
	}
	count_out(p, rt);
	if (p->link->hatype == 1 /* Ethernet */ && !(READ_ONCE(p->link->flags) & IFF_LOOPBACK))
		neigh_output(p, rt->neigh, &rt->gw);
	else
		link_output(p);
}

/* Segments of a large packet that are too long for the path. */
static int send_segments(struct pkt *p, const struct route *rt, uint32_t mtu)
{
	struct list_node list = LIST_INIT(list);
	struct pkt *s, *tmp;
	int err = pkt_segment(p, &list), one;
	list_for_each_safe(s, tmp, &list, node) {
		list_del(&s->node);
		one = s->len > mtu ? ip_fragment(s, rt, mtu) : (ip_send(s, rt), 0);
		err = err ? err : one;
	}
	return err;
}

/* Bytes of a segment of a large packet, network header included. */
static uint32_t segment_len(const struct pkt *p)
{
	uint32_t hlen = (uint32_t)p->l4 - p->data;
	if (p->gso == PKT_GSO_UDP)
		return hlen + 8 + p->gso_size;
	return hlen + (uint32_t)(p->head[p->l4 + 12] >> 4) * 4 + p->gso_size;
}

/* p is whole, and its length fine or to be fragmented. */
static int transmit_mtu(struct pkt *p, const struct route *rt, uint32_t mtu)
{
	if (!net_hook(NET_POSTROUTING, p))
		return 0;
	if (p->gso_size)
		return segment_len(p) > mtu ? send_segments(p, rt, mtu) : (ip_send(p, rt), 0);
	if (p->len > mtu)
		return ip_fragment(p, rt, mtu);
	ip_send(p, rt);
	return 0;
}

int ip_transmit(struct pkt *p, const struct route *rt)
{
	return transmit_mtu(p, rt, ip_mtu(rt));
}

/* --- headers --- */

uint32_t ip_header_len(const struct flow *f, const struct ip_tx *tx)
{
	if (tx->hdrincl)
		return 0;
	return (ip_is_v4(&f->dst) ? 20u : 40u) + tx->opt_len;
}

/* Makes sure that n bytes fit in front, with room for the link's header.  *pp may become another
 * packet.  False: out of memory, or n is beyond what a head holds. */
static bool make_room(struct pkt **pp, uint32_t n)
{
	struct pkt *p = *pp, *q;
	if (p->data >= n + LINK_ROOM)
		return true;
	if (n + LINK_ROOM > PKT_HEAD || p->gso_size)
		return false;
	pkt_checksum_finish(p); /* its field need not be in the head any more */
	q = pkt_new();
	if (!q)
		return false;
	q->data = q->tail = (uint16_t)(n + LINK_ROOM);
	if (pkt_add_range(q, p, 0, p->len)) {
		pkt_free(q);
		return false;
	}
	q->csum = p->csum;
	q->iif = p->iif;
	q->stamp = p->stamp;
	q->hash = p->hash;
	if (p->owner)
		pkt_set_owner(q, p->owner);
	net_defer_free(p);
	*pp = q;
	return true;
}

static uint8_t ttl_of(const struct route *rt, const struct ip_tx *tx, int32_t by_default)
{
	if (tx->ttl >= 0)
		return (uint8_t)tx->ttl;
	if (rt->type == RTN_MULTICAST)
		return 1;
	return (uint8_t)(rt->hoplimit ? rt->hoplimit : by_default);
}

/* RFC 1191: as the socket wants it, and only if it fits (else it is to be fragmented). */
static bool dont_fragment(const struct route *rt, const struct ip_tx *tx, uint32_t len,
	uint32_t mtu)
{
	if (tx->pmtudisc == IP_PMTU_DO || tx->pmtudisc == IP_PMTU_PROBE)
		return true;
	return tx->pmtudisc == IP_PMTU_WANT && !rt->mtu_locked && len <= mtu;
}

static void put_header4(struct pkt *p, const struct flow *f, const struct route *rt,
	const struct ip_tx *tx, bool df)
{
	struct net_ns *net = p->net;
	uint32_t hlen = 20u + tx->opt_len;
	uint8_t *h = pkt_push(p, hlen);
	struct ip4_opts o;
	uint8_t bad;
	struct ip4_hdr ip = {.version_ihl = (uint8_t)(0x40 | hlen / 4),
		.tos = tx->tos,
		.len = htons((uint16_t)p->len),
		.frag = htons(df ? IP4_DF : 0),
		.ttl = p->ip.ttl,
		.proto = tx->proto,
		.src = ip_to_v4(&p->ip.src),
		.dst = ip_to_v4(&p->ip.dst)};
	/* What is never fragmented needs no identification (RFC 6864, 4.1). */
	if (!df)
		ip.id = htons(ip4_ident(net, &p->ip.src, &p->ip.dst, tx->proto, pkt_segs(p)));
	memcpy(h, &ip, sizeof(ip));
	if (tx->opt_len) {
		memcpy(h + 20, tx->opt, tx->opt_len);
		if (ip4_opts_parse(h, hlen, &o, &bad))
			ip4_opts_record(h, &o, ip.src);
	}
	ip4_checksum(h, hlen);
}

static uint32_t auto_label(struct net_ns *net, const struct flow *f)
{
	uint64_t ports = (uint64_t)f->proto << 32 | (uint64_t)f->sport << 16 | f->dport;
	return (uint32_t)mix(net->secret, &f->src, &f->dst, ports | 1ul << 63) & 0xfffff;
}

/* The chain of extension headers in front of tx->proto: the last one's next-header field. */
static void close_chain(uint8_t *ext, uint32_t len, uint8_t first, uint8_t proto)
{
	uint32_t at = 0;
	uint8_t *next = NULL;
	while (at + 8 <= len) {
		next = ext + at;
		at += first == IPPROTO_AH ? (ext[at + 1] + 2u) * 4 : (ext[at + 1] + 1u) * 8;
		first = *next;
	}
	if (next)
		*next = proto;
}

static void put_header6(struct pkt *p, const struct flow *f, const struct ip_tx *tx)
{
	uint8_t *ext = tx->opt_len ? pkt_push(p, tx->opt_len) : NULL;
	uint32_t label = tx->flowlabel & 0xfffff, len = p->len;
	struct ip6_hdr_ ip = {.next = tx->proto, .hops = p->ip.ttl};
	if (ext) {
		memcpy(ext, tx->opt, tx->opt_len);
		close_chain(ext, tx->opt_len, tx->opt_first, tx->proto);
		ip.next = tx->opt_first;
	}
	if (!label && tx->autolabel)
		label = auto_label(p->net, f);
	ip.flow = htonl(6u << 28 | (uint32_t)tx->tos << 20 | label);
	ip.len = htons((uint16_t)len);
	memcpy(ip.src, p->ip.src.b, 16);
	memcpy(ip.dst, p->ip.dst.b, 16);
	memcpy(pkt_push(p, sizeof(ip)), &ip, sizeof(ip));
}

/* The header is there already (raw(7)): only what is left open is filled in. */
static int use_header4(struct pkt *p, const struct route *rt)
{
	uint8_t *h;
	uint32_t zero = 0, hlen;
	if (!pkt_want(p, 20))
		return -EINVAL;
	hlen = (uint32_t)(pkt_data(p)[0] & 15) * 4;
	if (hlen < 20 || !pkt_want(p, hlen))
		return -EINVAL;
	h = pkt_data(p);
	uint32_t src = ip_to_v4(&p->ip.src);
	if (!memcmp(h + 12, &zero, 4))
		memcpy(h + 12, &src, 4);
	memcpy(&p->ip.src.w[3], h + 12, 4);
	memcpy(&p->ip.dst.w[3], h + 16, 4);
	p->ip.proto = h[9];
	p->ip.ttl = h[8];
	put16(h + 2, p->len);
	if (!get16(h + 4))
		put16(h + 4, ip4_ident(p->net, &p->ip.src, &p->ip.dst, h[9], 1));
	ip4_checksum(h, hlen);
	p->l4 = (uint16_t)(p->data + hlen);
	(void)rt;
	return 0;
}

static int use_header6(struct pkt *p)
{
	if (!pkt_want(p, sizeof(struct ip6_hdr_)))
		return -EINVAL;
	const uint8_t *h = pkt_data(p);
	p->ip.proto = h[6];
	p->ip.ttl = h[7];
	p->l4 = (uint16_t)(p->data + sizeof(struct ip6_hdr_));
	return 0;
}

/* --- sending --- */

static uint32_t mtu_for(const struct route *rt, const struct ip_tx *tx)
{
	uint32_t mtu = ip_mtu(rt);
	if (tx->pmtudisc >= IP_PMTU_PROBE)
		mtu = MIN(READ_ONCE(rt->link->mtu), IP4_LEN_MAX);
	if (tx->frag_size >= 68 && tx->frag_size < mtu)
		mtu = tx->frag_size;
	return mtu;
}

static bool may_fragment(const struct ip_tx *tx)
{
	if (tx->nodefrag || tx->hdrincl)
		return false;
	return tx->pmtudisc < IP_PMTU_DO || tx->pmtudisc == IP_PMTU_OMIT;
}

static int drop(struct net_ns *net, struct pkt *p, bool v4, int err)
{
	if (v4)
		NET_INC(net, Ip_OutDiscards);
	else
		NET_INC(net, Ip6_OutDiscards);
	net_defer_free(p);
	return err;
}

static void describe(struct pkt *p, struct net_ns *net, const struct flow *f,
	const struct route *rt, const struct ip_tx *tx, bool v4)
{
	struct link *old = p->link;
	p->net = net;
	p->link = link_get(rt->link);
	link_put(old);
	p->protocol = v4 ? ETH_P_IP : ETH_P_IPV6;
	p->mark = tx->mark;
	p->priority = tx->priority;
	p->type = PKT_HOST;
	p->ip = (struct pkt_ip){.src = ip_is_any(&f->src) && !f->anysrc ? rt->src : f->src,
		.dst = ip_is_any(&f->dst) ? rt->gw : f->dst,
		.proto = tx->proto,
		.tos = tx->tos,
		.broadcast = rt->type == RTN_BROADCAST};
}

static int put_header(struct pkt *p, const struct flow *f, const struct route *rt,
	const struct ip_tx *tx, uint32_t mtu)
{
	bool v4 = p->protocol == ETH_P_IP;
	if (tx->hdrincl) {
		p->l3 = p->data;
		return v4 ? use_header4(p, rt) : use_header6(p);
	}
	int32_t ttl = v4 ? READ_ONCE(p->net->ctl.ip_default_ttl)
			 : ip_link_conf(rt->link, IP_CONF_6_hop_limit);
	p->ip.ttl = ttl_of(rt, tx, ttl);
	p->l4 = p->data;
	if (v4)
		put_header4(p, f, rt, tx, dont_fragment(rt, tx, p->len + 20u + tx->opt_len, mtu));
	else
		put_header6(p, f, tx);
	p->l3 = p->data;
	return 0;
}

int ip_output(struct net_ns *net, struct pkt *p, const struct flow *f, const struct route *rt,
	const struct ip_tx *tx)
{
	bool v4 = ip_is_v4(&f->dst);
	uint32_t hlen = ip_header_len(f, tx), mtu = mtu_for(rt, tx), total = p->len + hlen;
	if (v4)
		NET_INC(net, Ip_OutRequests);
	else
		NET_INC(net, Ip6_OutRequests);
	if (total > (v4 ? IP4_LEN_MAX : IP6_LEN_MAX) ||
		(total > mtu && !p->gso_size && !may_fragment(tx)))
		return drop(net, p, v4, -EMSGSIZE);
	if (!make_room(&p, hlen))
		return drop(net, p, v4, -ENOBUFS);
	describe(p, net, f, rt, tx, v4);
	int err = put_header(p, f, rt, tx, mtu);
	if (err)
		return drop(net, p, v4, err);
	if (!net_hook(NET_LOCAL_OUT, p))
		return 0;
	if (!link_is_up(rt->link))
		return drop(net, p, v4, -ENETDOWN);
	if (rt->type == RTN_BROADCAST || (rt->type == RTN_MULTICAST && !tx->mc_noloop &&
						 ip_mc_member(rt->link, &p->ip.dst, &p->ip.src)))
		if (!(READ_ONCE(rt->link->flags) & IFF_LOOPBACK))
			ip_loop_back(p, rt);
	return transmit_mtu(p, rt, mtu);
}
