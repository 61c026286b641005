/*
 * veth(4): two links, in one namespace or two; what one sends the other receives, in the sender's
 * own net_run, with segments and checksums left as they are.  A link has a carrier while both are
 * up. When one goes so does the other.
 */
#include <errno.h>

#include "sentry/net/link/link_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"

/* What the packet was to its sender is of no meaning in another namespace (Linux'
 * skb_scrub_packet). */
static void scrub(struct pkt *p, bool other_net)
{
	if (other_net)
		p->mark = 0;
	p->priority = 0;
	p->stamp = 0;
	p->hash = 0;
	p->looped = false;
	p->type = PKT_HOST;
}

static void veth_xmit(struct link *l, struct pkt *p)
{
	struct link *peer = link_peer_get(&l->peer);
	if (!peer || !link_is_up(peer)) {
		__atomic_add_fetch(&l->stats.tx_dropped, 1, __ATOMIC_RELAXED);
		link_put(peer);
		net_defer_free(p);
		return;
	}
	pkt_orphan(p);
	scrub(p, READ_ONCE(l->net) != READ_ONCE(peer->net));
	link_put(p->link); /* l: its namespace or our caller has it */
	p->link = peer;
	net_defer(p);
}

static int veth_up(struct link *l)
{
	struct link *peer = link_peer_get(&l->peer);
	if (!peer)
		return -ENOTCONN;
	if (link_is_up(peer)) {
		link_set_carrier(l, true);
		link_set_carrier(peer, true);
	}
	link_put(peer);
	return 0;
}

static void veth_down(struct link *l)
{
	struct link *peer = link_peer_get(&l->peer);
	link_set_carrier(l, false);
	if (peer)
		link_set_carrier(peer, false);
	link_put(peer);
}

/* net_cfg_lock: both ends change together. */
static void veth_gone(struct link *l)
{
	struct link *peer = __atomic_exchange_n(&l->peer, NULL, __ATOMIC_ACQ_REL);
	if (!peer)
		return;
	struct link *back = __atomic_exchange_n(&peer->peer, NULL, __ATOMIC_ACQ_REL);
	if (back) {
		link_unregister(peer);
		link_put(back);
	}
	link_put(peer);
}

static const struct link_ops veth_ops = {.name = "veth",
	.xmit = veth_xmit,
	.up = veth_up,
	.down = veth_down,
	.gone = veth_gone};

/* The two do not know each other any more. */
static void unpair(struct link *l, struct link *peer)
{
	__atomic_store_n(&l->peer, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&peer->peer, NULL, __ATOMIC_RELEASE);
	link_put(l);
	link_put(peer);
}

/* Both into their namespaces, the peer first as Linux does; takes over a reference of each. */
static int register_both(struct net_ns *net, const struct link_attrs *a, struct link *l,
	struct link *peer)
{
	int err = link_register_as(a->peer_net ? a->peer_net : net, peer, a->peer_name,
		a->peer_index);
	if (err) {
		link_put(l);
		unpair(l, peer);
		return err;
	}
	err = link_register_as(net, l, a->name, a->index);
	if (err) {
		link_get(peer);
		unpair(l, peer);
		link_unregister(peer);
		link_put(peer);
	}
	return err;
}

int veth_create(struct net_ns *net, const struct link_attrs *a, struct link **out)
{
	struct link *l = NULL, *peer = NULL;
	int err = link_new_of(LINK_VETH, a->addr, a->mtu, &l);
	if (!err)
		err = link_new_of(LINK_VETH, a->peer_addr, a->peer_mtu, &peer);
	if (err) {
		link_put(l);
		return err;
	}
	l->no_carrier = peer->no_carrier = true;
	l->peer = link_get(peer);
	peer->peer = link_get(l);
	link_get(l);
	err = register_both(net, a, l, peer);
	if (err)
		link_put(l);
	else
		*out = l;
	return err;
}

void veth_init(void)
{
	link_ops_register(LINK_VETH, &veth_ops);
}
