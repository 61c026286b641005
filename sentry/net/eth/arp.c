/*
 * ARP: who has which IPv4 address (RFC 826), as Linux does it.
 *
 * Packets are checked, the question answered if the address is ours (arp_ignore, arp_filter) or we
 * stand in for its owner (proxy_arp), and what the sender says of itself is taken over if we know
 * it already or it asked us: nobody fills the cache by talking (arp_accept says otherwise).
 *
 * Of RFC 5227 Linux has the side of who is asked: a probe (sender 0.0.0.0) for an own address is
 * answered, which tells its sender of the conflict; addresses are not probed for before they are
 * used, and not given up when somebody else claims them.  The same here.
 */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "sentry/net/eth/eth_priv.h"
#include "sentry/net/event.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/route.h"
#include "sentry/net/pkt/pkt.h"

#define USER_TICK 10000000LL /* ns of USER_HZ */

struct arp_eth { /* RFC 826, for Ethernet and IPv4 */
	uint16_t hrd, pro;
	uint8_t hln, pln;
	uint16_t op;
	uint8_t sha[ETH_ALEN];
	uint8_t sip[4];
	uint8_t tha[ETH_ALEN];
	uint8_t tip[4];
} __attribute__((packed));

struct arp_in { /* of one that came in */
	struct net_ns *net;
	struct link *link;
	uint16_t op;
	uint8_t type; /* enum pkt_type: whom the frame was for */
	uint8_t sha[ETH_ALEN], tha[ETH_ALEN];
	struct ip_addr sip, tip;
};

/* --- settings: the larger one of "all" and the link's, or either of them --- */

static int32_t conf_max(struct net_ns *net, struct link *l, enum ip_conf which)
{
	return MAX(ip_conf_get(net, NULL, IP_CONF_ALL, which),
		ip_conf_get(net, l, IP_CONF_LINK, which));
}

static struct ip_addr addr_of(const uint8_t b[4])
{
	uint32_t be;
	memcpy(&be, b, 4);
	return ip_v4(be);
}

/* --- out --- */

static void arp_send(struct net_ns *net, struct link *l, uint16_t op, const struct ip_addr *sip,
	const struct ip_addr *tip, const uint8_t *tha, uint64_t to)
{
	struct arp_eth a = {.hrd = htons(ARPHRD_ETHER),
		.pro = htons(ETH_P_IP),
		.hln = ETH_ALEN,
		.pln = 4,
		.op = htons(op)};
	if (READ_ONCE(l->flags) & IFF_NOARP || l->hatype != ARPHRD_ETHER)
		return;
	struct pkt *p = pkt_new();
	if (!p)
		return;
	memcpy(a.sha, l->addr, ETH_ALEN);
	memcpy(a.sip, &sip->w[3], 4);
	if (tha)
		memcpy(a.tha, tha, ETH_ALEN);
	memcpy(a.tip, &tip->w[3], 4);
	memcpy(pkt_put(p, sizeof(a)), &a, sizeof(a));
	p->link = link_get(l);
	p->net = net;
	eth_output(p, to, ETH_P_ARP);
}

/* The first address of l whose subnet has both (Linux' inet_addr_onlink). */
static bool same_subnet(struct net_ns *net, struct link *l, const struct ip_addr *a,
	const struct ip_addr *b)
{
	struct ip_addr_walk w = {.index = l->index - 1, .family = AF_INET};
	struct ip_ifaddr x;
	while (ip_addr_walk_next(net, &w, &x)) {
		if (x.index != l->index)
			continue;
		unsigned int n = 96u + x.prefix_len;
		if (ip_prefix_eq(&x.peer, a, n) && (!b || ip_prefix_eq(&x.peer, b, n)))
			return true;
	}
	return false;
}

/* What we say we are when we ask for dst: arp_announce (ip-sysctl.rst). */
static struct ip_addr announced(struct net_ns *net, struct link *l, const struct ip_addr *dst,
	const struct ip_addr *src)
{
	int32_t level = conf_max(net, l, IP_CONF_4_arp_announce);
	bool ours = !ip_is_any(src) && ip_addr_type(net, src, 0) == RTN_LOCAL;
	if (level <= 0 && ours)
		return *src;
	if (level == 1 && ours && same_subnet(net, l, dst, src))
		return *src;
	return ip_addr_select(net, l, dst, RT_SCOPE_LINK);
}

void arp_solicit(struct net_ns *net, struct neigh *n, const struct ip_addr *src, uint32_t probes)
{
	struct link *l = n->link;
	uint16_t state = READ_ONCE(n->state);
	uint64_t to = eth_addr_word(l->broadcast, l->addr_len);
	struct ip_addr from = announced(net, l, &n->dst, src);
	uint32_t ucast = (uint32_t)neigh_parm(l, 0, NEIGH_PARM_ucast_solicit);
	uint8_t tha[LINK_ADDR_MAX];
	if (probes < ucast) {
		if (!(state & NUD_VALID))
			return;
		to = __atomic_load_n(&n->addr, __ATOMIC_ACQUIRE);
		memcpy(tha, &to, sizeof(tha));
		arp_send(net, l, ARPOP_REQUEST, &from, &n->dst, tha, to);
		return;
	}
	if (probes - ucast < (uint32_t)neigh_parm(l, 0, NEIGH_PARM_app_solicit))
		return;
	arp_send(net, l, ARPOP_REQUEST, &from, &n->dst, NULL, to);
}

void arp_announce(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	arp_send(net, l, ARPOP_REQUEST, a, a, NULL, eth_addr_word(l->broadcast, l->addr_len));
}

/* The link is up, or its address another one: arp_notify says whether all are told. */
void arp_notify_all(struct net_ns *net, struct link *l)
{
	struct ip_addr_walk w = {.index = l->index - 1, .family = AF_INET};
	struct ip_ifaddr x;
	if (conf_max(net, l, IP_CONF_4_arp_notify) <= 0 || !link_is_up(l))
		return;
	while (ip_addr_walk_next(net, &w, &x))
		if (x.index == l->index)
			arp_announce(net, l, &x.local);
}

/* --- in --- */

/* arp_ignore: is a question for tip not to be answered here? */
static bool is_ignored(const struct arp_in *a)
{
	switch (conf_max(a->net, a->link, IP_CONF_4_arp_ignore)) {
	case 0: /* any local address */
		return false;
	case 1: /* of this link */
		return !ip_addr_is_local(a->net, &a->tip, a->link->index);
	case 2: /* and the asker is of its subnet */
		return !ip_addr_is_local(a->net, &a->tip, a->link->index) ||
		       !same_subnet(a->net, a->link, &a->tip, &a->sip);
	case 3: { /* not those of scope host */
		struct ip_ifaddr x;
		return !ip_addr_get(a->net, &a->tip, 0, &x) || x.scope >= RT_SCOPE_HOST;
	}
	case 8:
		return true;
	default: /* 4 to 7 are reserved */
		return false;
	}
}

/* arp_filter: would we answer by another link? */
static bool is_filtered(const struct arp_in *a)
{
	struct flow f = {.src = a->tip, .dst = a->sip, .proto = 0};
	struct route rt = {0};
	if (!conf_max(a->net, a->link, IP_CONF_4_arp_filter))
		return false;
	if (route_lookup(a->net, &f, &rt))
		return true;
	bool other = rt.link != a->link;
	route_put(&rt);
	if (other)
		NET_INC(a->net, TcpExt_ArpFilter);
	return other;
}

static void reply(const struct arp_in *a)
{
	arp_send(a->net, a->link, ARPOP_REPLY, &a->tip, &a->sip, a->sha,
		eth_addr_word(a->sha, ETH_ALEN));
}

/* Who asks is known from now on: Linux' neigh_event_ns. */
static bool learn_asker(const struct arp_in *a)
{
	struct neigh *n = neigh_get_or_new(a->net, a->link, &a->sip);
	if (!n)
		return false;
	neigh_update(a->net, n, a->sha, NUD_STALE, NEIGH_OVERRIDE);
	neigh_put(n);
	return true;
}

/* Do we answer in the place of tip, to which rt leads? */
static bool is_proxied(const struct arp_in *a, const struct route *rt)
{
	if (ip_conf_get(a->net, a->link, IP_CONF_LINK, IP_CONF_4_forwarding) == 0 ||
		rt->type != RTN_UNICAST || rt->link == a->link)
		return false;
	return conf_max(a->net, a->link, IP_CONF_4_proxy_arp) ||
	       neigh_is_proxy(a->net, &a->tip, a->link->index);
}

/* A question.  True: it needs no more looking at. */
static bool answer(const struct arp_in *a)
{
	struct flow f = {.src = a->sip, .dst = a->tip, .iif = a->link->index};
	struct route rt = {0};
	if (ip_is_any(&a->sip)) { /* RFC 5227: a probe */
		if (ip_addr_type(a->net, &a->tip, 0) == RTN_LOCAL && !is_ignored(a))
			reply(a);
		return true;
	}
	if (route_input(a->net, &f, &rt))
		return false;
	bool done = true;
	if (rt.type == RTN_LOCAL) {
		if (!is_ignored(a) && !is_filtered(a) && learn_asker(a))
			reply(a);
	} else if (is_proxied(a, &rt)) {
		if (learn_asker(a))
			reply(a);
	} else {
		done = false;
	}
	route_put(&rt);
	return done;
}

/* Somebody tells everybody about itself (RFC 5227, 3). */
static bool is_gratuitous(const struct arp_in *a)
{
	if (!ip_eq(&a->sip, &a->tip) || ip_addr_type(a->net, &a->sip, 0) != RTN_UNICAST)
		return false;
	return a->op != ARPOP_REPLY || memcmp(a->tha, a->sha, ETH_ALEN) == 0 || a->type != PKT_HOST;
}

static void learn(const struct arp_in *a)
{
	struct neigh *n = neigh_find(a->net, a->link, &a->sip);
	int32_t accept = conf_max(a->net, a->link, IP_CONF_4_arp_accept);
	bool garp = (n || accept) && is_gratuitous(a);
	if (!n && (accept == 1 || (accept == 2 && same_subnet(a->net, a->link, &a->sip, NULL))) &&
		(garp || (a->op == ARPOP_REPLY && ip_addr_type(a->net, &a->sip, 0) == RTN_UNICAST)))
		n = neigh_get_or_new(a->net, a->link, &a->sip);
	if (!n)
		return;
	/* The first of several answers wins (proxies), for locktime. */
	int64_t lock = neigh_parm(a->link, 0, NEIGH_PARM_locktime) * USER_TICK;
	bool override = garp || time_monotonic() > READ_ONCE(n->updated) + lock;
	uint16_t state = a->op == ARPOP_REPLY && a->type == PKT_HOST ? NUD_REACHABLE : NUD_STALE;
	neigh_update(a->net, n, a->sha, state, override ? NEIGH_OVERRIDE : 0);
	neigh_put(n);
}

static bool read_arp(struct pkt *p, struct arp_in *a)
{
	struct arp_eth h;
	struct link *l = p->link;
	if (l->hatype != ARPHRD_ETHER || READ_ONCE(l->flags) & IFF_NOARP)
		return false;
	if (p->type == PKT_OTHERHOST || !pkt_want(p, sizeof(h)))
		return false;
	memcpy(&h, pkt_data(p), sizeof(h));
	if (h.hln != ETH_ALEN || h.pln != 4 || h.pro != htons(ETH_P_IP) ||
		(h.hrd != htons(ARPHRD_ETHER) && h.hrd != htons(ARPHRD_IEEE802)))
		return false;
	*a = (struct arp_in){.net = p->net,
		.link = l,
		.op = ntohs(h.op),
		.type = p->type,
		.sip = addr_of(h.sip),
		.tip = addr_of(h.tip)};
	memcpy(a->sha, h.sha, ETH_ALEN);
	memcpy(a->tha, h.tha, ETH_ALEN);
	return a->op == ARPOP_REQUEST || a->op == ARPOP_REPLY;
}

void arp_input(struct pkt *p)
{
	struct arp_in a;
	bool ok = read_arp(p, &a) && !ip_is_multicast(&a.tip);
	if (!ok && p->type != PKT_OTHERHOST)
		NET_DROP(p->net, ARP_MALFORMED);
	if (ok && ip_is_loopback(&a.tip))
		ok = conf_max(a.net, a.link, IP_CONF_4_route_localnet) != 0;
	if (ok && ip_eq(&a.sip, &a.tip))
		ok = conf_max(a.net, a.link, IP_CONF_4_drop_gratuitous_arp) == 0;
	if (ok && !(a.op == ARPOP_REQUEST && answer(&a)) && !ip_is_any(&a.sip))
		learn(&a);
	pkt_free(p);
}
