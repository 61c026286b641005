/*
 * What the neighbour cache, ARP and NDP share: their part of a namespace, its one timer, what they
 * do when links come, change and go, and the Ethernet header.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/eth/ndp_priv.h"
#include "sentry/net/event.h"
#include "sentry/net/pkt/pkt.h"

static SLAB_DEFINE(eth_net_slab, struct eth_net);

static const int32_t defaults[2][NEIGH_PARM_NR] = {
	{
#define X(name, def4, def6) def4,
		NEIGH_PARM_LIST(X)
#undef X
	},
	{
#define X(name, def4, def6) def6,
		NEIGH_PARM_LIST(X)
#undef X
	},
};

/* --- chance: for timers only --- */

uint64_t eth_random(struct eth_net *e)
{
	uint64_t x = e->random += 0x9e3779b97f4a7c15u; /* splitmix64 */
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

int64_t eth_random_between(struct eth_net *e, int64_t lo, int64_t hi)
{
	return hi <= lo ? lo : lo + (int64_t)(eth_random(e) % (uint64_t)(hi - lo));
}

/* --- parameters --- */

static unsigned int fam_of(int family)
{
	return family == AF_INET ? 0 : 1;
}

int32_t neigh_parm_get(struct net_ns *net, const struct link *l, int family, enum neigh_parm which)
{
	unsigned int fam = fam_of(family);
	return l ? neigh_parm(l, fam, which) : READ_ONCE(net->eth->parm[fam][which]);
}

/* RFC 4861, 6.3.2: between 0.5 and 1.5 times the base. */
static void choose_reachable(struct eth_net *e, struct link *l, unsigned int fam) REQUIRES(e->lock)
{
	int64_t base = neigh_parm(l, fam, NEIGH_PARM_base_reachable_time_ms) * (int64_t)1000000;
	WRITE_ONCE(l->eth.reachable[fam], eth_random_between(e, base / 2, base + base / 2));
}

void neigh_parm_set(struct net_ns *net, struct link *l, int family, enum neigh_parm which,
	int32_t v)
{
	unsigned int fam = fam_of(family);
	struct eth_net *e = net->eth;
	if (!l) {
		WRITE_ONCE(e->parm[fam][which], v);
		return;
	}
	WRITE_ONCE(l->eth.parm[fam][which], v);
	if (which != NEIGH_PARM_base_reachable_time_ms)
		return;
	MUTEX_GUARD(&e->lock);
	choose_reachable(e, l, fam);
}

static void link_defaults(struct eth_net *e, struct link *l)
{
	MUTEX_GUARD(&e->lock);
	for (unsigned int fam = 0; fam < 2; fam++) {
		for (int i = 0; i < NEIGH_PARM_NR; i++)
			WRITE_ONCE(l->eth.parm[fam][i], READ_ONCE(e->parm[fam][i]));
		choose_reachable(e, l, fam);
	}
	memcpy(l->eth.addr, l->addr, sizeof(l->eth.addr));
}

uint32_t neigh_count(struct net_ns *net, int family)
{
	struct eth_net *e = net->eth;
	MUTEX_GUARD(&e->lock);
	return e->count[fam_of(family)] + e->permanent[fam_of(family)];
}

/* --- the timer --- */

void eth_arm(struct eth_net *e, int64_t when)
{
	if (when >= e->armed)
		return;
	e->armed = when;
	ktimer_arm(&e->timer, when);
}

static void eth_timer(struct ktimer *t)
{
	struct eth_net *e = container_of(t, struct eth_net, timer);
	struct net_ns *net = e->net;
	if (!ref_get_unless_zero(&net->ref))
		return; /* on its way out: eth_ns_fini waits for us */
	int64_t now = time_monotonic();
	mutex_lock(&e->lock);
	e->armed = INT64_MAX;
	mutex_unlock(&e->lock);
	int64_t next = MIN(neigh_expire(e, now), ndp_dad_expire(e, now));
	next = MIN(next, ndp_ra_expire(e, now));
	mutex_lock(&e->lock);
	eth_arm(e, next);
	mutex_unlock(&e->lock);
	net_run();
	net_ns_put(net);
}

/* --- links --- */

/* Its address is another one: what others know of us, and we of them, is void (Linux'
 * neigh_changeaddr). */
static bool address_changed(struct eth_net *e, struct link *l)
{
	MUTEX_GUARD(&e->lock);
	if (!memcmp(l->eth.addr, l->addr, sizeof(l->eth.addr)))
		return false;
	memcpy(l->eth.addr, l->addr, sizeof(l->eth.addr));
	return true;
}

static void eth_event(struct net_ns *net, enum net_event ev, void *arg)
{
	struct eth_net *e = net->eth;
	if (!e)
		return; /* "lo" of a namespace that is being made */
	switch (ev) {
	case NET_LINK_NEW:
		link_defaults(e, arg);
		break;
	case NET_LINK_DEL:
		neigh_proxies_drop(e, ((struct link *)arg)->index);
		/* fallthrough */
	case NET_LINK_DOWN:
		ndp_dad_flush(net, arg);
		ndp_ra_flush(net, arg);
		neigh_flush(net, arg);
		break;
	case NET_LINK_UP:
		arp_notify_all(net, arg);
		break;
	case NET_LINK_CHANGE:
		if (address_changed(e, arg)) {
			neigh_flush(net, arg);
			arp_notify_all(net, arg);
		}
		break;
	case NET_ADDR_DEL: {
		const struct ip_ifaddr *x = arg;
		if (x->family == AF_INET6)
			ndp_dad_forget(net, x->index, &x->local);
		break;
	}
	default:
		break;
	}
}

/* --- frames --- */

uint64_t eth_addr_word(const uint8_t *addr, uint8_t len)
{
	uint64_t w = 0;
	memcpy(&w, addr, MIN(len, (uint8_t)sizeof(w)));
	return w;
}

bool eth_map_group(const struct link *l, const struct ip_addr *a, uint64_t *out)
{
	uint8_t m[LINK_ADDR_MAX] = {0};
	if (!ip_is_multicast(a)) {
		if (!ip_is_v4(a))
			return false;
		*out = eth_addr_word(l->broadcast, l->addr_len);
		return true;
	}
	if (ip_is_v4(a)) {
		static const uint8_t prefix[3] = {0x01, 0x00, 0x5e};
		memcpy(m, prefix, 3);
		m[3] = a->b[13] & 0x7f;
		memcpy(m + 4, a->b + 14, 2);
	} else {
		m[0] = m[1] = 0x33;
		memcpy(m + 2, a->b + 12, 4);
	}
	*out = eth_addr_word(m, ETH_ALEN);
	return true;
}

void eth_output(struct pkt *p, uint64_t dst, uint16_t protocol)
{
	struct link *l = p->link;
	uint16_t l3 = p->data;
	uint8_t *h = pkt_push(p, ETH_HLEN);
	if (!h) {
		__atomic_add_fetch(&l->stats.tx_errors, 1, __ATOMIC_RELAXED);
		net_defer_free(p);
		return;
	}
	memcpy(h, &dst, ETH_ALEN);
	memcpy(h + ETH_ALEN, l->addr, ETH_ALEN);
	protocol = htons(protocol);
	memcpy(h + 2 * ETH_ALEN, &protocol, 2);
	p->l3 = l3;
	p->l2 = p->data;
	p->protocol = ntohs(protocol);
	link_output(p);
}

/* --- life --- */

int eth_ns_init(struct net_ns *net)
{
	struct eth_net *e = slab_alloc(&eth_net_slab);
	if (!e)
		return -ENOMEM;
	mutex_init(&e->lock, LOCK_NEIGH);
	e->net = net;
	ktimer_init(&e->timer, KTIMER_ETH);
	e->armed = INT64_MAX;
	memcpy(&e->random, net->secret, sizeof(e->random));
	for (int i = 0; i < NEIGH_HASH; i++)
		list_init(&e->hash[i]);
	list_init(&e->all[0]);
	list_init(&e->all[1]);
	list_init(&e->proxies);
	list_init(&e->dads);
	list_init(&e->ra_routes);
	memcpy(e->parm, defaults, sizeof(e->parm));
	net->eth = e; /* the loopback link comes next, by NET_LINK_NEW */
	return 0;
}

void eth_ns_fini(struct net_ns *net)
{
	struct eth_net *e = net->eth;
	ktimer_cancel(&e->timer, true);
	ndp_dad_flush(net, NULL);
	ndp_ra_drop(e);
	neigh_flush(net, NULL);
	neigh_proxies_drop(e, 0);
	net->eth = NULL;
	slab_free(&eth_net_slab, e);
}

void eth_init(void)
{
	ktimer_register_kind(KTIMER_ETH, eth_timer);
	net_event_register(eth_event);
	link_proto_register(ETH_P_ARP, arp_input);
}
