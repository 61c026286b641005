/*
 * ICMP for both families: which errors may be sent (RFC 1122, 3.2.2; RFC 4443, 2.4), how many
 * (Linux' icmp_msgs_per_sec, icmp_ratelimit, icmp_ratemask), and how they are put together.
 */
#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "lib/siphash.h"
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_in.h"

#define BUCKETS 1024u /* destinations whose rates are known: by hash, the newest stays */
#define BURST 6       /* XRLIM_BURST_FACTOR */
#define QUOTE4 (576u - 20 - 8)
#define QUOTE6 (1280u - 40 - 8)

struct icmp_peer {
	struct ip_addr a;
	int64_t last; /* when something was sent, or found to be too much */
	int64_t tokens;
};
struct icmp_peers {
	struct icmp_peer p[BUCKETS];
};
static SLAB_DEFINE(icmp_peers_slab, struct icmp_peers);

struct ip_icmp {
	struct mutex lock;        /* LOCK_FRAG, alone */
	int64_t refilled;         /* the global bucket */
	uint64_t credit;          /* messages times a second in ns */
	struct icmp_peers *peers; /* owned; made when needed */
};
static SLAB_DEFINE(ip_icmp_slab, struct ip_icmp);

int icmp_ns_init(struct ip_net *ipn)
{
	ipn->icmp = slab_alloc(&ip_icmp_slab);
	if (!ipn->icmp)
		return -ENOMEM;
	mutex_init(&ipn->icmp->lock, LOCK_FRAG);
	return 0;
}

void icmp_ns_fini(struct ip_net *ipn)
{
	struct ip_icmp *ic = ipn->icmp;
	if (!ic)
		return;
	if (ic->peers)
		slab_free(&icmp_peers_slab, ic->peers);
	slab_free(&ip_icmp_slab, ic);
	ipn->icmp = NULL;
}

/* --- rates --- */

/* A token bucket for all of the namespace. */
static bool take_global(struct net_ns *net, int64_t now)
{
	struct ip_icmp *ic = net->ip->icmp;
	uint64_t rate = (uint64_t)READ_ONCE(net->ctl.icmp_msgs_per_sec);
	uint64_t max = (uint64_t)READ_ONCE(net->ctl.icmp_msgs_burst) * NSEC_PER_SEC;
	int64_t passed = MIN(now - ic->refilled, NSEC_PER_SEC);
	if (!ic->refilled)
		ic->credit = max;
	ic->credit = MIN(max, ic->credit + (uint64_t)passed * rate);
	ic->refilled = now;
	if (ic->credit < NSEC_PER_SEC)
		return false;
	ic->credit -= NSEC_PER_SEC;
	return true;
}

/* Linux' inet_peer_xrlim_allow: interval ns between two messages, BURST of them at once. */
static bool take_peer(struct net_ns *net, const struct ip_addr *dst, int64_t interval, int64_t now)
{
	uint64_t h = siphash(net->secret, dst, sizeof(*dst));
	struct ip_icmp *ic = net->ip->icmp;
	if (!ic->peers)
		ic->peers = slab_alloc(&icmp_peers_slab);
	if (!ic->peers)
		return false;
	struct icmp_peer *p = &ic->peers->p[h % BUCKETS];
	if (!ip_eq(&p->a, dst) || !p->last)
		*p = (struct icmp_peer){.a = *dst, .tokens = BURST * interval};
	else
		p->tokens = MIN(p->tokens + (now - p->last), BURST * interval);
	p->last = now;
	if (p->tokens < interval)
		return false;
	p->tokens -= interval;
	return true;
}

static bool is_limited(struct net_ns *net, bool v4, uint8_t type, uint8_t code)
{
	if (!v4) /* informational messages and path MTUs are not */
		return !(type & ICMPV6_INFOMSG_MASK) && type != ICMPV6_PKT_TOOBIG;
	if (type > 18 || (type == ICMP_DEST_UNREACH && code == ICMP_FRAG_NEEDED))
		return false;
	/* Redirects always: Linux counts them apart (ip_rt_send_redirect). */
	return type == ICMP_REDIRECT || (1u << type & (uint32_t)READ_ONCE(net->ctl.icmp_ratemask));
}

bool icmp_allowed(struct net_ns *net, bool v4, uint8_t type, uint8_t code, const struct route *rt,
	const struct ip_addr *dst)
{
	struct ip_icmp *ic = net->ip->icmp;
	int64_t now = time_monotonic();
	int64_t ms = v4 ? READ_ONCE(net->ctl.icmp_ratelimit) : READ_ONCE(net->ctl.icmp6_ratelimit);
	if (!is_limited(net, v4, type, code))
		return true;
	bool lo = READ_ONCE(rt->link->flags) & IFF_LOOPBACK;
	if (!v4) /* more for wide prefixes, which are many */
		ms >>= (128 - MIN(rt->prefix_len, 128)) >> 5;
	mutex_lock(&ic->lock);
	bool global = lo || take_global(net, now);
	bool host = lo || !ms || (global && take_peer(net, dst, ms * 1000000, now));
	mutex_unlock(&ic->lock);
	if (v4 && !global)
		NET_INC(net, Icmp_OutRateLimitGlobal);
	else if (v4 && !host)
		NET_INC(net, Icmp_OutRateLimitHost);
	else if (!host || !global)
		NET_INC(net, Icmp6_OutRateLimitHost);
	return global && host;
}

/* --- out --- */

static void count_out(struct net_ns *net, bool v4, uint8_t type)
{
	static const struct {
		uint8_t type;
		uint16_t mib;
	} named[] = {{ICMP_DEST_UNREACH, MIB_Icmp_OutDestUnreachs},
		{ICMP_TIME_EXCEEDED, MIB_Icmp_OutTimeExcds},
		{ICMP_PARAMETERPROB, MIB_Icmp_OutParmProbs},
		{ICMP_SOURCE_QUENCH, MIB_Icmp_OutSrcQuenchs},
		{ICMP_REDIRECT, MIB_Icmp_OutRedirects}, {ICMP_ECHO, MIB_Icmp_OutEchos},
		{ICMP_ECHOREPLY, MIB_Icmp_OutEchoReps}, {ICMP_TIMESTAMP, MIB_Icmp_OutTimestamps},
		{ICMP_TIMESTAMPREPLY, MIB_Icmp_OutTimestampReps},
		{ICMP_ADDRESS, MIB_Icmp_OutAddrMasks},
		{ICMP_ADDRESSREPLY, MIB_Icmp_OutAddrMaskReps}};
	if (!v4) {
		NET_INC(net, Icmp6_OutMsgs);
		__atomic_add_fetch(&net->mib->icmp6_out[type], 1, __ATOMIC_RELAXED);
		return;
	}
	NET_INC(net, Icmp_OutMsgs);
	__atomic_add_fetch(&net->mib->icmp_out[type], 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (named[i].type == type)
			__atomic_add_fetch(&net->mib->v[named[i].mib], 1, __ATOMIC_RELAXED);
}

void icmp_transmit(struct net_ns *net, struct pkt *p, const struct flow *f, struct route *rt,
	struct ip_tx *tx)
{
	bool v4 = ip_is_v4(&f->dst);
	uint8_t *h = pkt_data(p);
	uint32_t sum = v4 ? 0 : csum_pseudo(&f->src, &f->dst, IPPROTO_ICMPV6, p->len);
	put16(h + 2, 0);
	uint16_t v = (uint16_t)~csum_fold(sum + pkt_sum(p, 0, p->len));
	memcpy(h + 2, &v, sizeof(v));
	p->l4 = p->data;
	p->csum = PKT_CSUM_OK;
	tx->proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	count_out(net, v4, h[0]);
	ip_output(net, p, f, rt, tx);
	route_put(rt);
}

/* --- errors: may one be sent about p? --- */

/* Is it an ICMP error itself, or may it be? */
static bool about_error4(const struct pkt *p, const uint8_t *h)
{
	uint32_t at = (uint32_t)(h[0] & 15) * 4;
	if (h[9] != IPPROTO_ICMP)
		return false;
	if (p->l3 + at >= p->tail)
		return true;
	switch (h[at]) {
	case ICMP_ECHOREPLY:
	case ICMP_ECHO:
	case ICMP_TIMESTAMP:
	case ICMP_TIMESTAMPREPLY:
	case ICMP_INFO_REQUEST:
	case ICMP_INFO_REPLY:
	case ICMP_ADDRESS:
	case ICMP_ADDRESSREPLY:
		return false;
	default:
		return true;
	}
}

static bool may_answer4(const struct pkt *p, uint8_t type)
{
	const uint8_t *h = p->head + p->l3;
	if (p->type != PKT_HOST || p->ip.broadcast || ip_is_multicast(&p->ip.dst) ||
		ip_is_limited_broadcast(&p->ip.dst) || ip_is_any(&p->ip.src) ||
		ip_is_multicast(&p->ip.src))
		return false;
	if (get16(h + 6) & IP4_OFFSET) /* a later fragment */
		return false;
	(void)type;
	return !about_error4(p, h);
}

/* The bytes of p from its network header on, as far as there is room. */
static uint32_t quote(const struct pkt *p, uint8_t *to, uint32_t room)
{
	uint32_t front = MIN((uint32_t)p->data - p->l3, room);
	uint32_t rest = MIN(p->len, room - front);
	memcpy(to, p->head + p->l3, front);
	pkt_copy(p, 0, to + front, rest);
	return front + rest;
}

static bool about_error6(const struct pkt *p)
{
	uint8_t quoted[512], next = p->head[p->l3 + 6];
	uint32_t n = quote(p, quoted, sizeof(quoted)), frag_off;
	struct pkt *q = pkt_new(); /* for ip6_skip_headers, which walks packets */
	if (!q || pkt_add(q, quoted, n)) {
		pkt_free(q);
		return true;
	}
	int at = ip6_skip_headers(q, 40, &next, &frag_off);
	pkt_free(q);
	if (at < 0 || next != IPPROTO_ICMPV6)
		return false;
	if ((uint32_t)at >= n)
		return !frag_off;
	return !frag_off && !(quoted[at] & ICMPV6_INFOMSG_MASK);
}

static bool may_answer6(const struct pkt *p, uint8_t type, uint8_t code, uint32_t info)
{
	if (ip_is_any(&p->ip.src) || ip_is_multicast(&p->ip.src))
		return false;
	if (ip_is_multicast(&p->ip.dst) || p->type != PKT_HOST) {
		/* RFC 4443, 2.4 (e.3): only these two. */
		bool option = type == ICMPV6_PARAMPROB && code == ICMPV6_UNK_OPTION &&
			      p->l3 + info < PKT_HEAD && p->head[p->l3 + info] >> 6 == 2;
		if (type != ICMPV6_PKT_TOOBIG && !option)
			return false;
	}
	return !about_error6(p);
}

/* --- errors out --- */

static struct pkt *make(const struct pkt *p, uint8_t type, uint8_t code, uint32_t rest,
	uint32_t room)
{
	uint8_t text[QUOTE6], h[8] = {type, code};
	struct pkt *e = pkt_new();
	put32(h + 4, rest);
	uint32_t n = quote(p, text, MIN(room, (uint32_t)sizeof(text)));
	if (e && !pkt_add(e, h, sizeof(h)) && !pkt_add(e, text, n))
		return e;
	pkt_free(e);
	return NULL;
}

/* Where an error about p is sent from: the address that p was for, if it is ours. */
static void answer_flow(struct pkt *p, struct flow *f)
{
	struct net_ns *net = p->net;
	bool v4 = pkt_is_v4(p);
	*f = (struct flow){.dst = p->ip.src,
		.src = v4 ? IP_ANY4 : IP_ANY6,
		.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.mark = READ_ONCE(net->ctl.fwmark_reflect) ? p->mark : 0};
	if (ip_addr_type(net, &p->ip.dst, 0) == RTN_LOCAL)
		f->src = p->ip.dst;
	else if (v4 && READ_ONCE(net->ctl.icmp_errors_use_inbound_ifaddr) && p->link)
		f->src = ip_addr_select(net, p->link, &f->src, RT_SCOPE_LINK);
	if (!v4 && ip_is_linklocal(&f->dst) && p->link)
		f->oif = p->iif ? p->iif : p->link->index;
}

static uint32_t rest4(uint8_t type, uint8_t code, uint32_t info)
{
	if (type == ICMP_PARAMETERPROB)
		return info << 24;
	if (type == ICMP_DEST_UNREACH)
		return code == ICMP_FRAG_NEEDED ? info & 0xffff : 0;
	return info;
}

static bool answerable(const struct route *rt)
{
	return rt->type == RTN_UNICAST || rt->type == RTN_LOCAL;
}

static void send_error(struct pkt *p, uint8_t type, uint8_t code, uint32_t info)
{
	struct net_ns *net = p->net;
	bool v4 = pkt_is_v4(p);
	struct flow f;
	struct route rt;
	struct ip_tx tx = {.ttl = -1, .pmtudisc = IP_PMTU_DONT};
	answer_flow(p, &f);
	if (route_lookup(net, &f, &rt))
		return;
	if (!answerable(&rt) || !icmp_allowed(net, v4, type, code, &rt, &f.dst)) {
		route_put(&rt);
		return;
	}
	uint32_t room = v4 ? MIN(rt.mtu, 576u) - 28 : QUOTE6;
	struct pkt *e = make(p, type, code, v4 ? rest4(type, code, info) : info, room);
	if (!e) {
		route_put(&rt);
		return;
	}
	f.src = rt.src;
	tx.mark = f.mark;
	/* RFC 1812, 4.3.2.5: precedence "internetwork control". */
	tx.tos = v4 ? (uint8_t)((p->ip.tos & 0x1e) | 0xc0) : 0;
	icmp_transmit(net, e, &f, &rt, &tx);
}

void icmp_send_error(struct pkt *p, uint8_t type, uint8_t code, uint32_t info)
{
	if (p->l3 == UINT16_MAX || !p->net || !p->net->ip)
		return;
	if (pkt_is_v4(p) ? may_answer4(p, type) : may_answer6(p, type, code, info))
		send_error(p, type, code, info);
}

void icmp_port_unreachable(struct pkt *p)
{
	if (pkt_is_v4(p))
		icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0);
	else
		icmp_send_error(p, ICMPV6_DEST_UNREACH, ICMPV6_PORT_UNREACH, 0);
}

/* --- errors in --- */

#define EXT_QUOTE_MIN 128u /* RFC 4884, 4.5: what is shorter has none */
#define EXT_HEADER 4u
#define EXT_VERSION 2

/* RFC 4884, 7: a header with a checksum, and objects one after the other up to the end. */
static bool extensions_ok(const struct pkt *p, uint32_t off)
{
	uint8_t h[EXT_HEADER];
	pkt_copy(p, off, h, sizeof(h));
	if (h[0] >> 4 != EXT_VERSION) /* nothing that we know is wrong with it */
		return true;
	if (get16(h + 2) && csum_fold(pkt_sum(p, off, p->len - off)) != 0xffff)
		return false;
	for (off += EXT_HEADER; off < p->len;) {
		if (off + EXT_HEADER > p->len)
			return false;
		pkt_copy(p, off, h, sizeof(h));
		if (get16(h) < EXT_HEADER || get16(h) > p->len - off)
			return false;
		off += get16(h);
	}
	return true;
}

void icmp_read_extensions(const struct pkt *p, uint32_t off, struct ip_error *e)
{
	if (off < EXT_QUOTE_MIN || off + EXT_HEADER > p->len)
		return;
	e->ext_len = (uint16_t)off;
	e->ext_bad = !extensions_ok(p, off);
}

/* --- replies --- */

void icmp_reply(struct pkt *p, uint8_t type, const void *body, uint32_t n)
{
	struct net_ns *net = p->net;
	bool v4 = pkt_is_v4(p), unicast = !p->ip.broadcast && !ip_is_multicast(&p->ip.dst);
	struct flow f = {.dst = p->ip.src,
		.src = unicast ? p->ip.dst
		       : v4    ? IP_ANY4
			       : IP_ANY6,
		.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
		.tos = p->ip.tos,
		.mark = READ_ONCE(net->ctl.fwmark_reflect) ? p->mark : 0};
	struct ip_tx tx = {.ttl = -1, .tos = p->ip.tos, .pmtudisc = IP_PMTU_DONT, .mark = f.mark};
	struct route rt;
	if (!v4 && ip_is_linklocal(&f.dst))
		f.oif = p->iif;
	if (ip_is_any(&f.dst) || route_lookup(net, &f, &rt))
		return;
	struct pkt *r =
		answerable(&rt) && icmp_allowed(net, v4, type, 0, &rt, &f.dst) ? pkt_new() : NULL;
	uint8_t h[8] = {type};
	pkt_copy(p, 4, h + 4, 4); /* identifier, sequence */
	if (!r || pkt_add(r, h, sizeof(h)) ||
		(body ? pkt_add(r, body, n) : pkt_add_range(r, p, 8, p->len - 8))) {
		pkt_free(r);
		route_put(&rt);
		return;
	}
	f.src = rt.src;
	icmp_transmit(net, r, &f, &rt, &tx);
}

static const struct ip_proto icmp4 = {.input = icmp4_input}, icmp6 = {.input = icmp6_input};

void icmp_init(void)
{
	ip_proto_register(IPPROTO_ICMP, &icmp4);
	ip_proto_register(IPPROTO_ICMPV6, &icmp6);
}
