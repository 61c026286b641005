/*
 * bridge: a learning bridge (IEEE 802.1D) of links, itself a link by which the namespace takes
 *part.
 *
 *	in by a port: learn where the sender is; then by destination: to us (the bridge's address, a
 *	port's, groups) up as if it came in by the bridge, else to the port where it was
 *	learned, else to all others
 *	out by the bridge: the same without the first half
 *
 * There is no spanning tree (Linux has it off by default).  A circle of bridges multiplies frames;
 *it ends by the bounds of net_defer (link.h).
 *
 * Locks: bridge->lock (LOCK_BRIDGE) guards ports and the table of addresses; frames are sent when
 *it has been let go.  Ports come and go under net_cfg_lock.
 *
 * Bounds: BRIDGE_PORTS_MAX ports, FDB_MAX addresses: more are not learned, their frames go to all.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "sentry/core/arena.h"
#include "sentry/net/event.h"
#include "sentry/net/link/link_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"

#define BRIDGE_PORTS_MAX 256u
#define FDB_HASH 64
#define FDB_MAX 4096u
#define AGEING_DEFAULT (300 * NSEC_PER_SEC)

struct fdb_entry {
	struct list_node node; /* in bridge.fdb */
	uint64_t addr;         /* 6 bytes, zero padded */
	struct link *port;     /* borrowed: they go when it does */
	int64_t seen;          /* CLOCK_MONOTONIC, ns */
};

struct bridge {
	struct mutex lock;      /* LOCK_BRIDGE */
	struct list_node ports; /* struct link.port_node */
	uint32_t nports;
	struct list_node fdb[FDB_HASH];
	uint32_t nfdb;
	int64_t ageing; /* ns; atomic */
};

static SLAB_SHARE(bridge_slab, struct bridge, 64);
static SLAB_SHARE(fdb_slab, struct fdb_entry, 64);

static uint64_t word(const uint8_t *addr)
{
	uint64_t w = 0;
	memcpy(&w, addr, ETH_ALEN);
	return w;
}

/* --- who is where --- */

static struct list_node *bucket_of(struct bridge *b, uint64_t addr)
{
	return &b->fdb[(addr * 0x9e3779b97f4a7c15u) >> 58];
}

static void fdb_free(struct bridge *b, struct fdb_entry *f) REQUIRES(b->lock)
{
	list_del(&f->node);
	b->nfdb--;
	slab_free(&fdb_slab, f);
}

/* Entries of its bucket that are too old go first. */
static void learn(struct bridge *b, const uint8_t *addr, struct link *port)
{
	uint64_t w = word(addr);
	int64_t now = time_monotonic(), ageing = READ_ONCE(b->ageing);
	struct fdb_entry *f, *tmp, *found = NULL;
	if (addr[0] & 1 || !w)
		return;
	MUTEX_GUARD(&b->lock);
	if (READ_ONCE(port->bridge_link) == NULL)
		return; /* it was taken out meanwhile */
	list_for_each_safe(f, tmp, bucket_of(b, w), node) {
		if (f->addr == w)
			found = f;
		else if (now - f->seen > ageing)
			fdb_free(b, f);
	}
	if (!found) {
		found = b->nfdb < FDB_MAX ? slab_alloc(&fdb_slab) : NULL;
		if (!found)
			return;
		found->addr = w;
		list_push_back(bucket_of(b, w), &found->node);
		b->nfdb++;
	}
	found->port = port;
	found->seen = now;
}

static bool is_own(struct bridge *b, const struct link *br, uint64_t addr) REQUIRES(b->lock)
{
	struct link *l;
	if (word(br->addr) == addr)
		return true;
	list_for_each(l, &b->ports, port_node)
		if (word(l->addr) == addr)
			return true;
	return false;
}

/* --- sending --- */

/* Where a frame goes. */
struct targets {
	struct link *port[BRIDGE_PORTS_MAX]; /* owned */
	uint32_t n;
	bool up; /* to the namespace itself */
};

/* By what dst says; from: the port that it came by, or NULL. */
static void choose(struct link *br, const uint8_t *dst, const struct link *from, struct targets *t)
{
	struct bridge *b = br->bridge;
	uint64_t w = word(dst);
	struct link *only = NULL, *l;
	struct fdb_entry *f;
	bool group = dst[0] & 1;
	t->n = 0;
	MUTEX_GUARD(&b->lock);
	t->up = from && (group || is_own(b, br, w));
	if (t->up && !group)
		return;
	if (!group) {
		list_for_each(f, bucket_of(b, w), node)
			if (f->addr == w && time_monotonic() - f->seen <= READ_ONCE(b->ageing))
				only = f->port;
		t->up = from && READ_ONCE(br->flags) & IFF_PROMISC;
	}
	list_for_each(l, &b->ports, port_node)
		if (l != from && (!only || l == only) && link_is_up(l))
			t->port[t->n++] = link_get(l);
}

/* What pkt_segment has to know of a large packet that came in.  False: it is none that it cuts. */
static bool find_l4(struct pkt *p)
{
	uint8_t *h;
	if (p->l3 == UINT16_MAX || p->l3 < p->data)
		return false;
	uint32_t l3 = (uint32_t)p->l3 - p->data, n;
	if (!pkt_want(p, l3 + 40))
		return false;
	h = pkt_data(p) + l3;
	n = h[0] >> 4 == 4 ? (h[0] & 15u) * 4 : 40;
	if (h[0] >> 4 == 6 && h[6] != IPPROTO_TCP && h[6] != IPPROTO_UDP)
		return false;
	p->l4 = (uint16_t)(p->l3 + n);
	return true;
}

/* Out by port: p is a whole frame.  Takes p over. */
static void forward(struct net_ns *net, struct link *port, struct pkt *p)
{
	if ((!p->gso_size && p->len > READ_ONCE(port->mtu) + ETH_HLEN) ||
		(p->gso_size && !port->gso && !find_l4(p))) {
		__atomic_add_fetch(&port->stats.tx_dropped, 1, __ATOMIC_RELAXED);
		net_defer_free(p);
		return;
	}
	link_put(p->link);
	p->link = link_get(port);
	p->net = net;
	link_output(p);
}

/* Sends p to all ports of t but the last a copy; takes p over, and t's references. */
static void flood(struct net_ns *net, struct targets *t, struct pkt *p)
{
	for (uint32_t i = 0; i < t->n; i++) {
		struct pkt *c = i + 1 < t->n ? pkt_clone(p) : p;
		if (c)
			forward(net, t->port[i], c);
		link_put(t->port[i]);
	}
	if (!t->n)
		net_defer_free(p);
}

static void bridge_xmit(struct link *l, struct pkt *p)
{
	struct net_ns *net = p->net;
	struct targets t;
	if (!pkt_want(p, ETH_HLEN)) {
		net_defer_free(p);
		return;
	}
	choose(l, pkt_data(p), NULL, &t);
	if (t.n > 1)
		pkt_orphan(p);
	flood(net, &t, p);
}

/* 01-80-c2-00-00-0X is for the port's own protocols; but what spanning trees say passes where there
 * is none, so that others find circles. */
static bool is_link_local(const uint8_t *dst)
{
	static const uint8_t prefix[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};
	return !memcmp(dst, prefix, 5) && (dst[5] & 0xf0) == 0;
}

bool bridge_input(struct net_ns *net, struct link *port, struct pkt *p)
{
	struct link *br = link_peer_get(&port->bridge_link);
	struct targets t;
	uint8_t dst[ETH_ALEN];
	if (!br)
		return false;
	memcpy(dst, pkt_l2(p), ETH_ALEN);
	if (is_link_local(dst) && dst[5] != 0) {
		link_put(br);
		return false;
	}
	if (!link_is_up(br)) {
		link_put(br);
		pkt_free(p);
		return true;
	}
	learn(br->bridge, pkt_l2(p) + ETH_ALEN, port);
	choose(br, dst, port, &t);
	struct pkt *up = t.up ? t.n ? pkt_clone(p) : p : NULL;
	if (t.n || !t.up) {
		pkt_push(p, (uint32_t)p->data - p->l2); /* it was taken off when it came in */
		flood(net, &t, p);
	}
	if (up)
		link_pass_up(net, br, up);
	link_put(br);
	return true;
}

/* --- ports --- */

/* What of its ports the bridge is: lowest address, smallest mtu, a carrier if one has. */
static void follow_ports(struct link *br)
{
	struct bridge *b = br->bridge;
	struct link *l, *lowest = NULL;
	uint32_t mtu = UINT32_MAX;
	bool carrier = false;
	uint8_t addr[ETH_ALEN];
	mutex_lock(&b->lock);
	list_for_each(l, &b->ports, port_node) {
		if (!lowest || memcmp(l->addr, lowest->addr, ETH_ALEN) < 0)
			lowest = l;
		mtu = MIN(mtu, READ_ONCE(l->mtu));
		carrier |= link_is_up(l) && !READ_ONCE(l->no_carrier);
	}
	if (lowest)
		memcpy(addr, lowest->addr, ETH_ALEN);
	mutex_unlock(&b->lock);
	if (lowest && !br->addr_set && memcmp(br->addr, addr, ETH_ALEN) != 0) {
		link_set_addr(br, addr, ETH_ALEN);
		br->addr_set = false;
	}
	if (lowest && !br->mtu_set) {
		link_set_mtu(br, mtu);
		br->mtu_set = false;
	}
	link_set_carrier(br, carrier);
}

static int add_port(struct link *br, struct link *l)
{
	struct bridge *b = br->bridge;
	if (l->kind == LINK_BRIDGE)
		return -ELOOP;
	if (l->hatype != ARPHRD_ETHER || l->net != br->net)
		return -EINVAL;
	mutex_lock(&b->lock);
	bool room = b->nports < BRIDGE_PORTS_MAX;
	if (room) {
		__atomic_store_n(&l->bridge_link, link_get(br), __ATOMIC_RELEASE);
		list_push_back(&b->ports, &l->port_node);
		b->nports++;
	}
	mutex_unlock(&b->lock);
	if (!room)
		return -EXFULL;
	WRITE_ONCE(l->master, br->index);
	link_promiscuity(l, 1);
	follow_ports(br);
	return 0;
}

static void del_port(struct link *l, bool gone)
{
	struct link *br = l->bridge_link;
	struct bridge *b = br->bridge;
	struct fdb_entry *f, *tmp;
	mutex_lock(&b->lock);
	list_del(&l->port_node);
	b->nports--;
	__atomic_store_n(&l->bridge_link, NULL, __ATOMIC_RELEASE);
	for (int i = 0; i < FDB_HASH; i++)
		list_for_each_safe(f, tmp, &b->fdb[i], node)
			if (f->port == l)
				fdb_free(b, f);
	mutex_unlock(&b->lock);
	WRITE_ONCE(l->master, 0);
	if (!gone)
		link_promiscuity(l, -1);
	else if (__atomic_sub_fetch(&l->promiscuity, 1, __ATOMIC_ACQ_REL) == 0) /* no event */
		__atomic_and_fetch(&l->flags, ~(uint32_t)IFF_PROMISC, __ATOMIC_ACQ_REL);
	if (!__atomic_load_n(&br->gone, __ATOMIC_ACQUIRE))
		follow_ports(br);
	link_put(br);
}

int link_set_master(struct link *l, struct link *bridge)
{
	if (l->bridge_link == bridge)
		return bridge ? -EBUSY : 0;
	if (bridge && bridge->kind != LINK_BRIDGE)
		return -EOPNOTSUPP;
	if (bridge && bridge->net != l->net) /* who moves it into another one looks there */
		return -EINVAL;
	if (l->bridge_link)
		del_port(l, false);
	int err = bridge ? add_port(bridge, l) : 0;
	if (!err)
		net_event_send(l->net, NET_LINK_CHANGE, l);
	return err;
}

static void event(struct net_ns *net, enum net_event ev, void *arg)
{
	struct link *l = arg;
	(void)net;
	if (ev > NET_LINK_DEL || !READ_ONCE(l->bridge_link))
		return;
	if (ev == NET_LINK_DEL)
		del_port(l, true);
	else if (!__atomic_load_n(&l->bridge_link->gone, __ATOMIC_ACQUIRE))
		follow_ports(l->bridge_link);
}

/* --- life --- */

int64_t bridge_ageing(const struct link *l)
{
	return READ_ONCE(l->bridge->ageing);
}

void bridge_set_ageing(struct link *l, int64_t ns)
{
	WRITE_ONCE(l->bridge->ageing, ns);
}

static void bridge_gone(struct link *l)
{
	struct link *port;
	while ((port = list_first(&l->bridge->ports, struct link, port_node)))
		link_set_master(port, NULL);
}

static void bridge_destroy(struct link *l)
{
	struct bridge *b = l->bridge;
	struct fdb_entry *f, *tmp;
	if (!b)
		return;
	mutex_lock(&b->lock);
	for (int i = 0; i < FDB_HASH; i++)
		list_for_each_safe(f, tmp, &b->fdb[i], node)
			fdb_free(b, f);
	mutex_unlock(&b->lock);
	slab_free(&bridge_slab, b);
}

static const struct link_ops bridge_ops = {.name = "bridge",
	.xmit = bridge_xmit,
	.gone = bridge_gone,
	.destroy = bridge_destroy};

int bridge_create(struct net_ns *net, const struct link_attrs *a, struct link **out)
{
	struct link *l;
	int err = link_new_of(LINK_BRIDGE, a->addr, a->mtu, &l);
	if (err)
		return err;
	struct bridge *b = slab_alloc(&bridge_slab);
	if (!b) {
		link_put(l);
		return -ENOMEM;
	}
	mutex_init(&b->lock, LOCK_BRIDGE);
	list_init(&b->ports);
	for (int i = 0; i < FDB_HASH; i++)
		list_init(&b->fdb[i]);
	b->ageing = AGEING_DEFAULT;
	l->bridge = b;
	l->no_carrier = true;
	*out = link_get(l);
	err = link_register_as(net, l, a->name, a->index);
	if (err)
		link_put(l);
	return err;
}

void bridge_init(void)
{
	link_ops_register(LINK_BRIDGE, &bridge_ops);
	net_event_register(event);
}
