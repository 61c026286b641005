/*
 * The way of packets through a link: taps, the list of what this thread is to deliver, and
 * the choice of the upper protocol.  See link.h.
 */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/core/root.h"
#include "sentry/net/link/link_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"

#define PROTOCOLS_MAX 16
/* A packet that has been through so many links on its way here may go in circles, and multiply at
 * each bridge: of such only FAR_MAX are delivered in one run. */
#define FAR_HOPS 8
#define FAR_MAX 4096u

static struct {
	struct {
		uint16_t protocol;
		link_proto_fn fn;
	} proto[PROTOCOLS_MAX];
	uint32_t nproto;
	link_tap_fn tap[LINK_TAP_KIND_NR];
	link_tap_put_fn tap_put[LINK_TAP_KIND_NR];
} tables RO_AFTER_INIT;

/* What this thread has to deliver; empty whenever it is at its user boundary or asleep. */
static __thread struct {
	struct list_node list; /* to be delivered */
	struct list_node dead; /* to be freed */
	uint32_t n;            /* length of list */
	uint32_t far;          /* delivered in this run with FAR_HOPS behind them */
	bool ready, running;
} deferred;

void link_proto_register(uint16_t protocol, link_proto_fn fn)
{
	BUG_ON(tables.nproto == PROTOCOLS_MAX);
	tables.proto[tables.nproto].protocol = protocol;
	tables.proto[tables.nproto++].fn = fn;
}

void link_tap_register(enum link_tap_kind kind, link_tap_fn fn, link_tap_put_fn put)
{
	BUG_ON(kind >= LINK_TAP_KIND_NR);
	tables.tap[kind] = fn;
	tables.tap_put[kind] = put;
}

/* --- taps --- */

/* One lock for all lists: a link takes its own along into another namespace, while packets pass. */
struct tap_globals {
	struct mutex lock; /* LOCK_LINK */
};
static struct tap_globals *tap_globals RO_AFTER_INIT;
static void taps_init(void)
{
	mutex_init(&tap_globals->lock, LOCK_LINK);
}
KERNEL_UNIT("link taps", tap_globals, taps_init);

void link_set_tappable(struct link *l, bool on)
{
	MUTEX_GUARD(&tap_globals->lock);
	l->tappable = on;
}

void link_tap_add(struct net_ns *net, struct link *l, struct link_tap *tap)
{
	MUTEX_GUARD(&tap_globals->lock);
	/* One that is on its way out, or in another namespace by now, gets none: whoever listens
	 * has heard of its end already. */
	if (l && (!l->tappable || l->net != net))
		return;
	tap->on = true;
	list_push_back(l ? &l->taps : &net->taps, &tap->node);
	uint32_t *n = l ? &l->ntaps : &net->ntaps;
	WRITE_ONCE(*n, *n + 1);
}

void link_tap_del(struct net_ns *net, struct link *l, struct link_tap *tap)
{
	MUTEX_GUARD(&tap_globals->lock);
	if (!tap->on)
		return;
	tap->on = false;
	list_del(&tap->node);
	uint32_t *n = l ? &l->ntaps : &net->ntaps;
	WRITE_ONCE(*n, *n - 1);
}

#define TAPS_AT_ONCE 32u

/* Calls a list of taps, without the lock; more than TAPS_AT_ONCE in rounds. */
static void call_taps(struct list_node *list, struct pkt *p)
{
	struct link_tap *taps[TAPS_AT_ONCE], *t;
	uint32_t done = 0, n, at;
	do {
		n = at = 0;
		mutex_lock(&tap_globals->lock);
		list_for_each(t, list, node) {
			if (at++ < done || n == TAPS_AT_ONCE)
				continue;
			done++;
			if (ref_get_unless_zero(t->ref))
				taps[n++] = t;
		}
		mutex_unlock(&tap_globals->lock);
		for (uint32_t i = 0; i < n; i++) {
			tables.tap[taps[i]->kind](taps[i], p);
			tables.tap_put[taps[i]->kind](taps[i]);
		}
	} while (n == TAPS_AT_ONCE);
}

static void tap_packet(struct net_ns *net, struct link *l, struct pkt *p)
{
	if (unlikely(READ_ONCE(net->ntaps)))
		call_taps(&net->taps, p);
	if (unlikely(READ_ONCE(l->ntaps)))
		call_taps(&l->taps, p);
}

/* --- out --- */

static void count(uint64_t *what, uint64_t n)
{
	__atomic_add_fetch(what, n, __ATOMIC_RELAXED);
}

static void xmit(struct link *l, struct pkt *p)
{
	if (!l->csum)
		pkt_checksum_finish(p);
	count(&l->stats.tx_packets, pkt_segs(p));
	count(&l->stats.tx_bytes, p->len);
	link_ops(l)->xmit(l, p);
}

static void drop_out(struct link *l, struct pkt *p)
{
	count(&l->stats.tx_dropped, 1);
	net_defer_free(p);
}

/* For links that take one segment at a time. */
void link_xmit_segments(struct link *l, struct pkt *p)
{
	struct list_node list = LIST_INIT(list);
	struct pkt *s, *tmp;
	uint8_t hard[PKT_HEADROOM];
	uint32_t n = (uint32_t)p->l3 - p->data; /* the link's header goes before each */
	if (p->l3 == UINT16_MAX || p->l3 < p->data || n > sizeof(hard) || n > p->len) {
		drop_out(l, p);
		return;
	}
	pkt_copy(p, 0, hard, n);
	pkt_pull(p, n);
	if (pkt_segment(p, &list)) {
		count(&l->stats.tx_dropped, 1);
		return;
	}
	list_for_each_safe(s, tmp, &list, node) {
		list_del(&s->node);
		s->l2 = (uint16_t)(s->data - n);
		memcpy(pkt_push(s, n), hard, n);
		xmit(l, s);
	}
}

void link_output(struct pkt *p)
{
	struct link *l = p->link;
	if (!link_is_up(l) || !p->net) {
		if (p->net)
			NET_DROP(p->net, LINK_DOWN);
		drop_out(l, p);
		return;
	}
	uint8_t type = p->type;
	p->type = PKT_OUTGOING;
	tap_packet(p->net, l, p);
	p->type = type;
	if (p->gso_size && !l->gso)
		link_xmit_segments(l, p);
	else
		xmit(l, p);
}

/* --- in --- */

/* For whom the frame at l2 is. */
static void set_type(const struct link *l, struct pkt *p)
{
	static const uint8_t broadcast[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint8_t *dest = pkt_l2(p);
	if (!memcmp(dest, broadcast, ETH_ALEN))
		p->type = PKT_BROADCAST;
	else if (dest[0] & 1)
		p->type = PKT_MULTICAST;
	else
		p->type = memcmp(dest, l->addr, ETH_ALEN) ? PKT_OTHERHOST : PKT_HOST;
}

/* Takes the Ethernet header off (IEEE 802.3): false: too short. */
static bool ethernet_in(struct link *l, struct pkt *p)
{
	struct ethhdr h;
	if (!pkt_want(p, ETH_HLEN))
		return false;
	memcpy(&h, pkt_data(p), sizeof(h));
	p->l2 = p->data;
	pkt_pull(p, ETH_HLEN);
	p->protocol = ntohs(h.h_proto);
	if (p->protocol < ETH_P_802_3_MIN)
		p->protocol = ETH_P_802_2;
	set_type(l, p);
	return true;
}

static void to_protocol(struct pkt *p)
{
	for (uint32_t i = 0; i < tables.nproto; i++)
		if (tables.proto[i].protocol == p->protocol) {
			tables.proto[i].fn(p);
			return;
		}
	NET_DROP(p->net, NO_PROTOCOL);
	pkt_free(p);
}

/* Taps see a frame from its network header on; what is in front is found by l2. */
static void deliver(struct net_ns *net, struct link *l, struct pkt *p)
{
	p->net = net;
	p->iif = l->index;
	if (p->looped) { /* it never was on the wire, and has no link header */
		p->l3 = p->data;
		to_protocol(p);
		return;
	}
	count(&l->stats.rx_packets, pkt_segs(p));
	count(&l->stats.rx_bytes, p->len);
	if (l->hatype == ARPHRD_ETHER && !ethernet_in(l, p)) {
		count(&l->stats.rx_errors, 1);
		NET_DROP(net, FRAME_SHORT);
		pkt_free(p);
		return;
	}
	if (p->type == PKT_MULTICAST)
		count(&l->stats.rx_multicast, 1);
	p->l3 = p->data;
	tap_packet(net, l, p);
	if (READ_ONCE(l->bridge_link) && bridge_input(net, l, p))
		return;
	to_protocol(p);
}

void link_pass_up(struct net_ns *net, struct link *l, struct pkt *p)
{
	link_put(p->link);
	p->link = link_get(l);
	p->iif = l->index;
	set_type(l, p);
	count(&l->stats.rx_packets, pkt_segs(p));
	count(&l->stats.rx_bytes, p->len);
	tap_packet(net, l, p);
	to_protocol(p);
}

void link_input(struct pkt *p)
{
	struct link *l = link_get(p->link);
	struct net_ns *net = link_is_up(l) ? link_net_get(l) : NULL;
	if (net) {
		deliver(net, l, p);
	} else {
		count(&l->stats.rx_dropped, 1);
		pkt_free(p);
	}
	net_ns_put(net);
	link_put(l);
}

static void deferred_init(void)
{
	if (deferred.ready)
		return;
	list_init(&deferred.list);
	list_init(&deferred.dead);
	deferred.ready = true;
}

void net_defer(struct pkt *p)
{
	deferred_init();
	uint32_t max = p->net ? (uint32_t)READ_ONCE(p->net->ctl.netdev_max_backlog) : 1000;
	bool far = p->hops == NET_DEFER_HOPS || (p->hops >= FAR_HOPS && deferred.far >= FAR_MAX);
	if (far || deferred.n >= MIN(max, NET_DEFER_MAX)) {
		if (p->net && far)
			NET_DROP(p->net, DEFER_HOPS);
		else if (p->net)
			NET_DROP(p->net, DEFER_FULL);
		count(&p->link->stats.rx_dropped, 1);
		net_defer_free(p);
		return;
	}
	p->hops++;
	p->net = NULL; /* the receiver's is found when it is delivered */
	list_push_back(&deferred.list, &p->node);
	deferred.n++;
}

void net_defer_free(struct pkt *p)
{
	if (!p)
		return;
	deferred_init();
	list_push_back(&deferred.dead, &p->node);
}

bool net_run_pending(void)
{
	return deferred.ready && (!list_empty(&deferred.list) || !list_empty(&deferred.dead));
}

void net_run(void)
{
	struct pkt *p;
	if (likely(!net_run_pending()) || deferred.running)
		return;
	deferred.running = true;
	deferred.far = 0;
	do {
		while ((p = list_first(&deferred.dead, struct pkt, node))) {
			list_del(&p->node);
			pkt_free(p);
		}
		if ((p = list_first(&deferred.list, struct pkt, node))) {
			list_del(&p->node);
			deferred.n--;
			deferred.far += p->hops >= FAR_HOPS;
			link_input(p);
		}
	} while (net_run_pending());
	deferred.running = false;
}
