/*
 * Neighbour discovery (RFC 4861): messages in and out, solicitations and advertisements.  Duplicate
 * addresses are dad.c's, routers ra.c's.
 *
 * A message is copied into a buffer of its own and checked as a whole (6.1, 7.1, 8.1: hop limit
 * 255, which shows that no router passed it on; code 0; length; options of length 0) before
 * anything is done about it.
 */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "sentry/net/eth/ndp_priv.h"
#include "sentry/net/pkt/pkt.h"

/* --- out --- */

struct ip_addr ndp_solicited_node(const struct ip_addr *a)
{
	struct ip_addr m = {.b = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}};
	memcpy(m.b + 13, a->b + 13, 3);
	return m;
}

struct ip_addr ndp_all_nodes(void)
{
	return (struct ip_addr){.b = {0xff, 2, [15] = 1}};
}

static uint8_t *put_option(uint8_t *at, uint8_t type, const void *data)
{
	at[0] = type;
	at[1] = 1; /* unit of 8 bytes */
	memcpy(at + 2, data, 6);
	return at + 8;
}

/* The message, with its checksum. */
static struct pkt *build(struct link *l, const struct ndp_out *o)
{
	struct pkt *p = pkt_new();
	uint32_t n = 8 + (o->target ? 16 : 0) + (o->lla ? 8 : 0) + (o->nonce ? 8 : 0);
	if (!p)
		return NULL;
	uint8_t *m = pkt_put(p, n), *at = m + 8;
	memset(m, 0, n);
	m[0] = o->type;
	m[4] = o->flags;
	if (o->target) {
		memcpy(at, o->target->b, 16);
		at += 16;
	}
	if (o->lla)
		at = put_option(at, o->lla, l->addr);
	if (o->nonce)
		put_option(at, NDP_OPT_NONCE, o->nonce);
	uint32_t sum = csum_pseudo(&o->src, &o->dst, IPPROTO_ICMPV6, n);
	uint16_t field = (uint16_t)~csum_fold(csum_add(sum, m, n));
	memcpy(m + 2, &field, 2);
	p->l4 = p->data;
	return p;
}

void ndp_send(struct net_ns *net, struct link *l, const struct ndp_out *o)
{
	struct flow f = {.src = o->src,
		.dst = o->dst,
		.proto = IPPROTO_ICMPV6,
		.oif = l->index,
		.anysrc = true};
	struct ip_tx tx = {.proto = IPPROTO_ICMPV6, .ttl = 255, .mc_noloop = true};
	bool multicast = ip_is_multicast(&o->dst);
	if (!link_is_up(l) || ndp_conf(net, l, IP_CONF_6_disable_ipv6))
		return;
	struct pkt *p = build(l, o);
	struct neigh *n = multicast ? NULL : neigh_get_or_new(net, l, &o->dst);
	if (!p || (!multicast && !n)) {
		neigh_put(n);
		pkt_free(p);
		return;
	}
	struct route rt = {.link = link_get(l),
		.neigh = n,
		.src = o->src,
		.gw = o->dst,
		.mtu = READ_ONCE(l->mtu),
		.type = multicast ? RTN_MULTICAST : RTN_UNICAST,
		.scope = RT_SCOPE_LINK};
	NET_INC(net, Icmp6_OutMsgs);
	__atomic_add_fetch(&net->mib->icmp6_out[o->type], 1, __ATOMIC_RELAXED);
	ip_output(net, p, &f, &rt, &tx);
	route_put(&rt);
}

/* An address of l to send from to dst; any (::) if it has none that may be used. */
static struct ip_addr own_address(struct net_ns *net, struct link *l, const struct ip_addr *dst)
{
	struct ip_addr a = ip_addr_select(net, l, dst, RT_SCOPE_LINK);
	return ip_is_any(&a) ? IP_ANY6 : a;
}

void ndp_solicit(struct net_ns *net, struct neigh *n, const struct ip_addr *src, uint32_t probes)
{
	struct link *l = n->link;
	uint32_t ucast = (uint32_t)neigh_parm(l, 1, NEIGH_PARM_ucast_solicit);
	struct ndp_out o = {.type = NDP_NS, .target = &n->dst, .lla = NDP_OPT_SLLA};
	bool valid = READ_ONCE(n->state) & NUD_VALID;
	if (probes < ucast) {
		if (!valid)
			return;
		o.dst = n->dst;
	} else if (probes - ucast < (uint32_t)neigh_parm(l, 1, NEIGH_PARM_app_solicit)) {
		return;
	} else {
		o.dst = ndp_solicited_node(&n->dst);
	}
	o.src = !ip_is_any(src) && ip_addr_is_local(net, src, l->index)
			? *src
			: own_address(net, l, &n->dst);
	if (ip_is_any(&o.src))
		o.lla = 0; /* 4.3: not with the unspecified address */
	ndp_send(net, l, &o);
}

static bool is_router(struct net_ns *net, struct link *l)
{
	return ndp_conf(net, l, IP_CONF_6_forwarding) > 0;
}

void ndp_announce(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct ndp_out o = {.src = *a,
		.dst = ndp_all_nodes(),
		.type = NDP_NA,
		.flags = (uint8_t)(NDP_NA_OVERRIDE | (is_router(net, l) ? NDP_NA_ROUTER : 0)),
		.target = a,
		.lla = NDP_OPT_TLLA};
	ndp_send(net, l, &o);
}

/* --- in: form --- */

const uint8_t *ndp_option_next(const struct ndp_in *in, uint32_t *at)
{
	uint32_t off = *at ? *at : in->options;
	if (off + 2 > in->len)
		return NULL;
	*at = off + in->msg[off + 1] * 8u;
	return in->msg + off;
}

/* All options are there and none of length 0; notes those that more than one message has. */
static bool read_options(struct ndp_in *in)
{
	uint32_t off = in->options;
	while (off < in->len) {
		const uint8_t *o = in->msg + off;
		uint32_t n = off + 2 <= in->len ? o[1] * 8u : 0;
		if (n == 0 || off + n > in->len)
			return false;
		/* Of several the first one counts, as in Linux. */
		if (o[0] == NDP_OPT_SLLA && !in->slla && n == 8)
			in->slla = o + 2;
		else if (o[0] == NDP_OPT_TLLA && !in->tlla && n == 8)
			in->tlla = o + 2;
		else if (o[0] == NDP_OPT_NONCE && !in->nonce && n == 8)
			in->nonce = o + 2;
		else if (o[0] == NDP_OPT_MTU && !in->mtu && n == 8)
			in->mtu = o;
		off += n;
	}
	return true;
}

static uint32_t fixed_len(uint8_t type)
{
	switch (type) {
	case NDP_RS:
		return 8;
	case NDP_RA:
		return 16;
	case NDP_NS:
	case NDP_NA:
		return 24;
	case NDP_REDIRECT:
		return 40;
	default:
		return 0;
	}
}

static bool read_message(struct pkt *p, uint8_t *buf, struct ndp_in *in)
{
	if (p->len < 8 || p->len > NDP_MSG_MAX || p->ip.ttl != 255)
		return false;
	pkt_copy(p, 0, buf, p->len);
	*in = (struct ndp_in){.net = p->net,
		.link = p->link,
		.type = buf[0],
		.to_multicast = ip_is_multicast(&p->ip.dst),
		.src = p->ip.src,
		.dst = p->ip.dst,
		.len = p->len,
		.msg = buf,
		.options = fixed_len(buf[0])};
	if (buf[1] != 0 || !in->options || in->len < in->options)
		return false;
	return read_options(in);
}

/* --- in: solicitations and advertisements --- */

void ndp_learn(const struct ndp_in *in, const struct ip_addr *who, const uint8_t *lla,
	uint16_t state, uint32_t flags)
{
	struct neigh *n = neigh_get_or_new(in->net, in->link, who);
	if (n)
		neigh_update(in->net, n, lla, state, flags);
	neigh_put(n);
}

static void advertise(const struct ndp_in *in, const struct ip_addr *to,
	const struct ip_addr *target, uint8_t flags, bool with_lla)
{
	struct ndp_out o = {.src = *target,
		.dst = *to,
		.type = NDP_NA,
		.flags = flags,
		.target = target,
		.lla = with_lla ? NDP_OPT_TLLA : 0};
	if (!ip_addr_is_local(in->net, target, in->link->index)) /* we are a proxy */
		o.src = own_address(in->net, in->link, to);
	if (!ip_is_any(&o.src))
		ndp_send(in->net, in->link, &o);
}

/* Do we answer for target, which is not ours?  (RFC 4389; `ip neigh add proxy`) */
static bool is_proxied(const struct ndp_in *in, const struct ip_addr *target)
{
	return is_router(in->net, in->link) &&
	       (ndp_conf(in->net, in->link, IP_CONF_6_proxy_ndp) ||
		       ip_conf_get(in->net, NULL, IP_CONF_ALL, IP_CONF_6_proxy_ndp)) &&
	       neigh_is_proxy(in->net, target, in->link->index);
}

/* RFC 4861, 7.2.3 and 7.2.4; RFC 4862, 5.4.3. */
static void solicitation(const struct ndp_in *in)
{
	struct ip_addr target = ip_v6(in->msg + 8);
	bool dad = ip_is_any(&in->src);
	uint32_t ours = 0;
	if (ip_is_multicast(&target) || ip_is_any(&target))
		return;
	if (dad) {
		struct ip_addr group = ndp_solicited_node(&target);
		if (!ip_eq(&in->dst, &group) || in->slla)
			return;
	}
	if (ndp_is_tentative(in->net, in->link, &target)) {
		if (dad)
			ndp_dad_heard(in->net, in->link, &target, in->nonce, true);
		return;
	}
	if (ip_addr_is_local(in->net, &target, in->link->index))
		ours = NDP_NA_OVERRIDE;
	else if (!is_proxied(in, &target))
		return;
	uint32_t flags = is_router(in->net, in->link) ? NDP_NA_ROUTER : 0;
	if (dad) {
		struct ip_addr all = ndp_all_nodes();
		advertise(in, &all, &target, (uint8_t)(flags | ours), true);
		return;
	}
	struct neigh *n = !in->to_multicast || in->slla
				  ? neigh_get_or_new(in->net, in->link, &in->src)
				  : neigh_find(in->net, in->link, &in->src);
	if (!n)
		return;
	neigh_update(in->net, n, in->slla, NUD_STALE, NEIGH_WEAK_OVERRIDE | NEIGH_OVERRIDE);
	neigh_put(n);
	advertise(in, &in->src, &target,
		(uint8_t)(flags | NDP_NA_SOLICITED | (in->to_multicast ? ours : 0)),
		in->to_multicast);
}

/* RFC 4861, 7.2.5; RFC 4862, 5.4.4. */
static void advertisement(const struct ndp_in *in)
{
	struct ip_addr target = ip_v6(in->msg + 8);
	uint8_t f = in->msg[4];
	if (ip_is_multicast(&target) || (in->to_multicast && f & NDP_NA_SOLICITED))
		return;
	if (ndp_is_tentative(in->net, in->link, &target)) {
		ndp_dad_heard(in->net, in->link, &target, NULL, false);
		return;
	}
	if (ip_addr_is_local(in->net, &target, in->link->index))
		return; /* somebody else's claim: Linux logs it */
	struct neigh *n = neigh_find(in->net, in->link, &target);
	if (!n)
		return;
	bool was_router = READ_ONCE(n->flags) & NTF_ROUTER;
	if (!(READ_ONCE(n->state) & NUD_FAILED)) {
		uint32_t flags = NEIGH_WEAK_OVERRIDE | NEIGH_OVERRIDE_ISROUTER;
		if (f & NDP_NA_OVERRIDE)
			flags |= NEIGH_OVERRIDE;
		if (f & NDP_NA_ROUTER)
			flags |= NEIGH_ISROUTER;
		neigh_update(in->net, n, in->tlla, f & NDP_NA_SOLICITED ? NUD_REACHABLE : NUD_STALE,
			flags);
		if (was_router && !(READ_ONCE(n->flags) & NTF_ROUTER))
			ndp_router_gone(in->net, in->link, &target);
	}
	neigh_put(n);
}

/* RFC 4861, 6.2.6: somebody looks for routers. */
static void router_solicitation(const struct ndp_in *in)
{
	if (!is_router(in->net, in->link) || ip_is_any(&in->src) || !in->slla)
		return;
	ndp_learn(in, &in->src, in->slla, NUD_STALE,
		NEIGH_WEAK_OVERRIDE | NEIGH_OVERRIDE | NEIGH_OVERRIDE_ISROUTER);
}

void ndp_input(struct pkt *p)
{
	uint8_t buf[NDP_MSG_MAX];
	struct ndp_in in;
	if (p->link->hatype == ARPHRD_LOOPBACK || !read_message(p, buf, &in)) {
		NET_DROP(p->net, NDP_MALFORMED);
		pkt_free(p);
		return;
	}
	switch (in.type) {
	case NDP_NS:
		solicitation(&in);
		break;
	case NDP_NA:
		advertisement(&in);
		break;
	case NDP_RS:
		router_solicitation(&in);
		break;
	case NDP_RA:
		ndp_ra_input(&in);
		break;
	case NDP_REDIRECT:
		ndp_redirect_input(&in);
		break;
	}
	pkt_free(p);
}
