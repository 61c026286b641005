/*
 * The neighbour cache: the table, and the states of an entry (RFC 4861, 7.3; Linux'
 * net/core/neighbour.c).
 *
 *	NONE --a packet--> INCOMPLETE --answer--> REACHABLE --base_reachable_time--> STALE
 *	                       |                      ^                                |
 *	                  no answer                proof                            a packet
 *	                       v                      |                                v
 *	                    FAILED <--no answer-- PROBE <--delay_first_probe_time-- DELAY
 *
 * PERMANENT and NOARP are set by an administrator, or by the kind of link, and do not time out.
 *
 * What a change of state leads to (packets, questions, events) is noted in a struct neigh_todo and
 * done when the lock is let go, for it leads to other layers.
 *
 * Bounds: entries of a family that are not permanent: gc_thresh3; permanent ones
 * NEIGH_PERMANENT_MAX; packets that wait for one entry: unres_qlen_bytes, or one while packets are
 * scarce (pkt_scarce); entries of all namespaces: a part of the memory.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/eth/eth_priv.h"
#include "sentry/net/event.h"
#include "sentry/net/pkt/pkt.h"

static SLAB_SHARE(neigh_slab, struct neigh, 64);

#define MS 1000000LL
#define TIMER_GRAIN (10 * MS) /* Linux' HZ/100 */
#define FORCED_GC_AGE (5 * NSEC_PER_SEC)

/* --- references --- */

static struct neigh *neigh_get(struct neigh *n)
{
	ref_get(&n->ref);
	return n;
}

void neigh_put(struct neigh *n)
{
	if (!n || !ref_put(&n->ref))
		return;
	BUG_ON(!n->dead || n->timed || !list_empty(&n->queue));
	link_put(n->link);
	slab_free(&neigh_slab, n);
}

/* --- what is left to do --- */

void neigh_todo_init(struct neigh_todo *t)
{
	*t = (struct neigh_todo){0};
	list_init(&t->send);
	list_init(&t->drop);
	list_init(&t->unreachable);
}

static void todo_packets(struct net_ns *net, struct neigh_todo *t)
{
	struct pkt *p;
	while ((p = list_first(&t->send, struct pkt, node))) {
		list_del(&p->node);
		neigh_send_queued(net, t->to, p);
	}
	while ((p = list_first(&t->unreachable, struct pkt, node))) {
		list_del(&p->node);
		NET_DROP(net, NEIGH_FAILED);
		neigh_report(net, p);
	}
	while ((p = list_first(&t->drop, struct pkt, node))) {
		list_del(&p->node);
		NET_DROP(net, NEIGH_QUEUE);
		net_defer_free(p);
	}
}

void neigh_todo_run(struct net_ns *net, struct neigh_todo *t)
{
	todo_packets(net, t);
	if (t->ask) {
		if (ip_is_v4(&t->ask->dst))
			arp_solicit(net, t->ask, &t->ask_src, t->ask_probes);
		else
			ndp_solicit(net, t->ask, &t->ask_src, t->ask_probes);
	}
	if (t->tell)
		net_event_send(net, t->deleted ? NET_NEIGH_DEL : NET_NEIGH_CHANGE, t->tell);
	neigh_put(t->to);
	neigh_put(t->ask);
	neigh_put(t->tell);
}

static void tell(struct neigh *n, struct neigh_todo *t)
{
	if (!t->tell)
		t->tell = neigh_get(n);
}

/* --- timers --- */

void neigh_retime(struct eth_net *e, struct neigh *n, int64_t when)
{
	struct rb_node **link = &e->timers.node, *parent = NULL;
	if (n->timed)
		rb_erase(&e->timers, &n->timer);
	n->timed = when != INT64_MAX;
	n->expires = when;
	if (!n->timed)
		return;
	while (*link) {
		parent = *link;
		link = when < rb_entry(parent, struct neigh, timer)->expires ? &parent->left
									     : &parent->right;
	}
	rb_link(&n->timer, parent, link);
	rb_insert(&e->timers, &n->timer);
	eth_arm(e, when);
}

static int64_t retrans_time(const struct neigh *n)
{
	int64_t t = neigh_parm(n->link, neigh_fam(&n->dst), NEIGH_PARM_retrans_time_ms) * MS;
	return MAX(t, TIMER_GRAIN);
}

static int64_t delay_time(const struct neigh *n)
{
	return neigh_parm(n->link, neigh_fam(&n->dst), NEIGH_PARM_delay_first_probe_time) *
	       NSEC_PER_SEC;
}

static int64_t reachable_time(const struct neigh *n)
{
	return READ_ONCE(n->link->eth.reachable[neigh_fam(&n->dst)]);
}

static uint32_t max_probes(const struct neigh *n)
{
	unsigned int fam = neigh_fam(&n->dst);
	enum neigh_parm mcast = READ_ONCE(n->state) & NUD_PROBE ? NEIGH_PARM_mcast_resolicit
								: NEIGH_PARM_mcast_solicit;
	return (uint32_t)neigh_parm(n->link, fam, NEIGH_PARM_ucast_solicit) +
	       (uint32_t)neigh_parm(n->link, fam, NEIGH_PARM_app_solicit) +
	       (uint32_t)neigh_parm(n->link, fam, mcast);
}

/* --- the table --- */

static struct list_node *bucket_of(struct eth_net *e, const struct link *l, const struct ip_addr *a)
{
	uint64_t key[2];
	memcpy(key, e->net->secret + 8,
		sizeof(key)); /* whoever chooses addresses does not know it */
	uint64_t h = (a->q[0] ^ key[0]) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 29 ^ a->q[1] ^ key[1] ^ (uint64_t)l->index) * 0xbf58476d1ce4e5b9u;
	h = (h ^ h >> 32) * (key[0] | 1);
	return &e->hash[h >> 56 & (NEIGH_HASH - 1)];
}

struct neigh *neigh_find_locked(struct eth_net *e, const struct link *l, const struct ip_addr *a)
{
	struct neigh *n;
	list_for_each(n, bucket_of(e, l, a), hash)
		if (n->link == l && ip_eq(&n->dst, a))
			return n;
	return NULL;
}

struct neigh *neigh_find(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	MUTEX_GUARD(&net->eth->lock);
	struct neigh *n = neigh_find_locked(net->eth, l, a);
	return n ? neigh_get(n) : NULL;
}

static uint32_t *counter(struct eth_net *e, const struct neigh *n, uint16_t state)
{
	return state & NUD_PERMANENT ? &e->permanent[neigh_fam(&n->dst)]
				     : &e->count[neigh_fam(&n->dst)];
}

static void set_state(struct eth_net *e, struct neigh *n, uint16_t state) REQUIRES(e->lock)
{
	if (!n->dead) {
		--*counter(e, n, n->state);
		++*counter(e, n, state);
	}
	__atomic_store_n(&n->state, state, __ATOMIC_RELEASE);
}

static void purge_queue(struct neigh *n, struct list_node *to)
{
	list_splice_back(to, &n->queue);
	n->queue_bytes = 0;
}

/* The table's reference is the caller's then, to be put without the lock. */
void neigh_remove_locked(struct eth_net *e, struct neigh *n)
{
	--*counter(e, n, n->state);
	list_del(&n->hash);
	list_del(&n->all);
	neigh_retime(e, n, INT64_MAX);
	n->dead = true;
	__atomic_store_n(&n->state, NUD_NONE, __ATOMIC_RELEASE);
}

/* Removes what is in list of nobody else's use; they go to out by hash. */
static void drop_entry(struct eth_net *e, struct neigh *n, struct list_node *out) REQUIRES(e->lock)
{
	neigh_remove_locked(e, n);
	list_push_back(out, &n->hash);
}

static void put_dropped(struct list_node *list)
{
	struct neigh *n, *tmp;
	list_for_each_safe(n, tmp, list, hash) {
		struct list_node queue = LIST_INIT(queue);
		struct pkt *p;
		list_del(&n->hash);
		purge_queue(n, &queue);
		while ((p = list_first(&queue, struct pkt, node))) {
			list_del(&p->node);
			net_defer_free(p);
		}
		neigh_put(n);
	}
}

static int32_t thresh(struct eth_net *e, unsigned int fam, int which)
{
	const struct net_ctl *c = &e->net->ctl;
	const int32_t *t[2][3] = {
		{&c->neigh4_gc_thresh1, &c->neigh4_gc_thresh2, &c->neigh4_gc_thresh3},
		{&c->neigh6_gc_thresh1, &c->neigh6_gc_thresh2, &c->neigh6_gc_thresh3},
	};
	return READ_ONCE(*t[fam][which - 1]);
}

/* Too many: those that nobody uses and that have not changed for a while go, the oldest first
 * (Linux' neigh_forced_gc). */
static void forced_gc(struct eth_net *e, unsigned int fam, int64_t now, struct list_node *out)
	REQUIRES(e->lock)
{
	int64_t too_many = (int64_t)e->count[fam] - thresh(e, fam, 2);
	struct neigh *n, *tmp;
	list_for_each_safe(n, tmp, &e->all[fam], all) {
		if (too_many <= 0)
			break;
		uint16_t s = n->state;
		if (ref_count(&n->ref) != 1 || s & NUD_PERMANENT)
			continue;
		if (s & (NUD_FAILED | NUD_NOARP) || n->updated < now - FORCED_GC_AGE) {
			drop_entry(e, n, out);
			too_many--;
		}
	}
	e->flushed[fam] = now;
}

/* Room for one more: false: the table is full. */
static bool make_room(struct eth_net *e, unsigned int fam, int64_t now, struct list_node *out)
	REQUIRES(e->lock)
{
	int64_t n = e->count[fam];
	if (n >= thresh(e, fam, 3) ||
		(n >= thresh(e, fam, 2) && now > e->flushed[fam] + FORCED_GC_AGE))
		forced_gc(e, fam, now, out);
	return e->count[fam] < (uint32_t)thresh(e, fam, 3);
}

/* Every gc_interval: what has been of no use for gc_stale_time. */
static void periodic_gc(struct eth_net *e, int64_t now, struct list_node *out) REQUIRES(e->lock)
{
	struct neigh *n, *tmp;
	for (unsigned int fam = 0; fam < 2; fam++) {
		if (e->count[fam] < (uint32_t)thresh(e, fam, 1))
			continue;
		list_for_each_safe(n, tmp, &e->all[fam], all) {
			int64_t stale =
				neigh_parm(n->link, fam, NEIGH_PARM_gc_stale_time) * NSEC_PER_SEC;
			int64_t last = MAX(READ_ONCE(n->used), READ_ONCE(n->confirmed));
			if (ref_count(&n->ref) != 1 || n->state & (NUD_PERMANENT | NUD_IN_TIMER))
				continue;
			if (n->state & NUD_FAILED || now > last + stale)
				drop_entry(e, n, out);
		}
	}
}

static int64_t gc_interval(struct eth_net *e)
{
	const struct net_ctl *c = &e->net->ctl;
	int64_t s = MIN(READ_ONCE(c->neigh4_gc_interval), READ_ONCE(c->neigh6_gc_interval));
	return MAX(s, (int64_t)1) * NSEC_PER_SEC;
}

/* An entry on a link without ARP, or of a group, needs no question (Linux' arp_constructor). */
static void preset(struct neigh *n)
{
	const struct link *l = n->link;
	if (ip_is_multicast(&n->dst) && eth_map_group(l, &n->dst, &n->addr)) {
		n->state = NUD_NOARP;
		n->type = RTN_MULTICAST;
	} else if (READ_ONCE(l->flags) & (IFF_NOARP | IFF_LOOPBACK)) {
		n->state = NUD_NOARP;
		n->addr = eth_addr_word(l->addr, l->addr_len);
	} else if (ip_is_limited_broadcast(&n->dst)) {
		n->state = NUD_NOARP;
		n->type = RTN_BROADCAST;
		n->addr = eth_addr_word(l->broadcast, l->addr_len);
	}
}

static struct neigh *neigh_new(struct eth_net *e, struct link *l, const struct ip_addr *a,
	int64_t now) REQUIRES(e->lock)
{
	struct neigh *n = slab_alloc(&neigh_slab);
	if (!n)
		return NULL;
	ref_init(&n->ref);
	n->net = e->net;
	n->link = link_get(l);
	n->dst = *a;
	n->family = ip_is_v4(a) ? AF_INET : AF_INET6;
	n->type = RTN_UNICAST;
	list_init(&n->queue);
	n->confirmed =
		now - 2 * neigh_parm(l, neigh_fam(a), NEIGH_PARM_base_reachable_time_ms) * MS;
	n->used = n->updated = now;
	preset(n);
	++*counter(e, n, n->state);
	list_push_back(bucket_of(e, l, a), &n->hash);
	list_push_back(&e->all[neigh_fam(a)], &n->all);
	if (!e->gc_next) {
		e->gc_next = now + gc_interval(e);
		eth_arm(e, e->gc_next);
	}
	return n;
}

struct neigh *neigh_get_or_new(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct list_node dropped = LIST_INIT(dropped);
	struct eth_net *e = net->eth;
	int64_t now = time_monotonic();
	mutex_lock(&e->lock);
	struct neigh *n = neigh_find_locked(e, l, a);
	if (n)
		neigh_get(n);
	/* A link that is on its way out gets no new ones: nobody would flush them. */
	if (!n && make_room(e, neigh_fam(a), now, &dropped) && link_is_up(l)) {
		n = neigh_new(e, l, a, now);
		if (n)
			neigh_get(n);
	}
	mutex_unlock(&e->lock);
	put_dropped(&dropped);
	return n;
}

void neigh_flush(struct net_ns *net, struct link *l)
{
	struct list_node dropped = LIST_INIT(dropped);
	struct eth_net *e = net->eth;
	struct neigh *n, *tmp;
	mutex_lock(&e->lock);
	for (unsigned int fam = 0; fam < 2; fam++)
		list_for_each_safe(n, tmp, &e->all[fam], all)
			if (!l || n->link == l)
				drop_entry(e, n, &dropped);
	mutex_unlock(&e->lock);
	list_for_each(n, &dropped, hash)
		net_event_send(net, NET_NEIGH_DEL, n);
	put_dropped(&dropped);
}

/* --- states --- */

/* The next question about n. */
static void ask(struct neigh *n, struct neigh_todo *t)
{
	struct pkt *p = list_last(&n->queue, struct pkt, node);
	if (t->ask)
		return;
	t->ask = neigh_get(n);
	t->ask_probes = n->probes++;
	t->ask_src = ip_is_v4(&n->dst) ? IP_ANY4 : IP_ANY6;
	if (!p)
		return;
	if (ip_is_v4(&n->dst) && pkt_head_len(p) >= 20)
		memcpy(&t->ask_src.w[3], pkt_data(p) + 12, 4);
	else if (!ip_is_v4(&n->dst) && pkt_head_len(p) >= 40)
		t->ask_src = ip_v6(pkt_data(p) + 8);
}

static void enqueue(struct neigh *n, struct pkt *p, struct neigh_todo *t)
{
	uint32_t max =
		(uint32_t)neigh_parm(n->link, neigh_fam(&n->dst), NEIGH_PARM_unres_qlen_bytes);
	struct pkt *old;
	if (pkt_scarce()) /* one at most, for it may be that nobody ever answers */
		max = p->charge;
	while (n->queue_bytes + p->charge > max &&
		(old = list_first(&n->queue, struct pkt, node))) {
		list_del(&old->node);
		n->queue_bytes -= old->charge;
		list_push_back(&t->drop, &old->node);
	}
	p->net = NULL; /* not for a queue: pkt.h */
	list_push_back(&n->queue, &p->node);
	n->queue_bytes += p->charge;
}

void neigh_event_send(struct eth_net *e, struct neigh *n, struct pkt *p, struct neigh_todo *t)
{
	int64_t now = time_monotonic();
	unsigned int fam = neigh_fam(&n->dst);
	WRITE_ONCE(n->used, now);
	if (n->dead) {
		if (p)
			list_push_back(&t->drop, &p->node);
		return;
	}
	if (!(n->state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE | NUD_STALE | NUD_INCOMPLETE))) {
		if (!neigh_parm(n->link, fam, NEIGH_PARM_mcast_solicit) &&
			!neigh_parm(n->link, fam, NEIGH_PARM_app_solicit)) {
			set_state(e, n, NUD_FAILED);
			n->updated = now;
			if (p)
				list_push_back(&t->drop, &p->node);
			return;
		}
		n->probes = (uint32_t)neigh_parm(n->link, fam, NEIGH_PARM_ucast_solicit);
		set_state(e, n, NUD_INCOMPLETE);
		n->updated = now;
		neigh_retime(e, n, now + retrans_time(n));
		if (p)
			enqueue(n, p, t);
		ask(n, t);
		return;
	}
	if (n->state & NUD_INCOMPLETE) {
		if (p)
			enqueue(n, p, t);
		return;
	}
	if (n->state & NUD_STALE) {
		set_state(e, n, NUD_DELAY);
		n->updated = now;
		neigh_retime(e, n, now + delay_time(n));
	}
	if (!p)
		return;
	list_push_back(&t->send, &p->node);
	if (!t->to)
		t->to = neigh_get(n);
}

/* Linux' neigh_timer_handler. */
static void expire_one(struct eth_net *e, struct neigh *n, int64_t now, struct neigh_todo *t)
	REQUIRES(e->lock)
{
	int64_t next = now + retrans_time(n);
	int64_t confirmed = READ_ONCE(n->confirmed);
	if (n->state & NUD_REACHABLE) {
		if (now <= confirmed + reachable_time(n)) {
			next = confirmed + reachable_time(n);
		} else if (now <= READ_ONCE(n->used) + delay_time(n)) {
			set_state(e, n, NUD_DELAY);
			n->updated = now;
			next = now + delay_time(n);
		} else {
			set_state(e, n, NUD_STALE);
			n->updated = now;
			tell(n, t);
		}
	} else if (n->state & NUD_DELAY) {
		if (now <= confirmed + delay_time(n)) {
			set_state(e, n, NUD_REACHABLE);
			next = confirmed + reachable_time(n);
		} else {
			set_state(e, n, NUD_PROBE);
			n->probes = 0;
		}
		n->updated = now;
		tell(n, t);
	}
	if (n->state & (NUD_INCOMPLETE | NUD_PROBE) && n->probes >= max_probes(n)) {
		set_state(e, n, NUD_FAILED);
		n->updated = now;
		purge_queue(n, &t->unreachable);
		tell(n, t);
	}
	neigh_retime(e, n, n->state & NUD_IN_TIMER ? MAX(next, now + TIMER_GRAIN) : INT64_MAX);
	if (n->state & (NUD_INCOMPLETE | NUD_PROBE))
		ask(n, t);
}

int64_t neigh_expire(struct eth_net *e, int64_t now)
{
	struct list_node dropped = LIST_INIT(dropped);
	struct rb_node *first;
	mutex_lock(&e->lock);
	while ((first = rb_first(&e->timers))) {
		struct neigh *n = rb_entry(first, struct neigh, timer);
		struct neigh_todo t;
		if (n->expires > now)
			break;
		neigh_todo_init(&t);
		expire_one(e, n, now, &t);
		mutex_unlock(&e->lock);
		neigh_todo_run(e->net, &t);
		mutex_lock(&e->lock);
	}
	if (e->gc_next && now >= e->gc_next) {
		periodic_gc(e, now, &dropped);
		bool any = !list_empty(&e->all[0]) || !list_empty(&e->all[1]);
		e->gc_next = any ? now + gc_interval(e) : 0;
	}
	first = rb_first(&e->timers);
	int64_t next = e->gc_next ? e->gc_next : INT64_MAX;
	if (first)
		next = MIN(next, rb_entry(first, struct neigh, timer)->expires);
	mutex_unlock(&e->lock);
	put_dropped(&dropped);
	return next;
}

/* --- what others say --- */

static void set_router(struct neigh *n, uint32_t flags)
{
	if (!(flags & NEIGH_OVERRIDE_ISROUTER))
		return;
	if (flags & NEIGH_ISROUTER)
		n->flags |= NTF_ROUTER;
	else
		n->flags &= (uint8_t)~NTF_ROUTER;
}

/* To a state in which its address is not known. */
static void update_invalid(struct eth_net *e, struct neigh *n, uint16_t state, struct neigh_todo *t)
	REQUIRES(e->lock)
{
	uint16_t old = n->state;
	neigh_retime(e, n, INT64_MAX);
	set_state(e, n, state);
	if (old & NUD_VALID)
		tell(n, t);
	if (old & (NUD_INCOMPLETE | NUD_PROBE) && state & NUD_FAILED) {
		purge_queue(n, &t->unreachable);
		tell(n, t);
	}
}

/* The state and address that were decided. */
static void commit(struct eth_net *e, struct neigh *n, uint64_t addr, uint16_t state, int64_t now,
	struct neigh_todo *t) REQUIRES(e->lock)
{
	uint16_t old = n->state;
	if (addr != n->addr) {
		__atomic_store_n(&n->addr, addr, __ATOMIC_RELEASE);
		if (!(state & NUD_CONNECTED))
			WRITE_ONCE(n->confirmed,
				now - 2 *
						neigh_parm(n->link, neigh_fam(&n->dst),
							NEIGH_PARM_base_reachable_time_ms) *
						MS);
		tell(n, t);
	}
	if (state == old)
		return;
	if (state & NUD_PROBE)
		n->probes = 0;
	set_state(e, n, state);
	int64_t next = state & NUD_REACHABLE ? now + reachable_time(n) : now;
	neigh_retime(e, n, state & NUD_IN_TIMER ? next : INT64_MAX);
	tell(n, t);
	if (!(old & NUD_VALID) && !list_empty(&n->queue)) {
		purge_queue(n, &t->send);
		if (!t->to)
			t->to = neigh_get(n);
	}
}

int neigh_update_locked(struct eth_net *e, struct neigh *n, const uint8_t *lladdr, uint16_t state,
	uint32_t flags, struct neigh_todo *t)
{
	uint16_t old = n->state;
	int64_t now = time_monotonic();
	uint64_t addr = lladdr ? eth_addr_word(lladdr, n->link->addr_len) : n->addr;
	if (n->dead)
		return -EINVAL;
	if (!(flags & NEIGH_ADMIN) && old & (NUD_NOARP | NUD_PERMANENT))
		return -EPERM;
	if (!(state & NUD_VALID)) {
		update_invalid(e, n, state, t);
		return 0;
	}
	if (!n->link->addr_len)
		addr = n->addr;
	else if (!lladdr && !(old & NUD_VALID))
		return -EINVAL;
	if (state & NUD_CONNECTED)
		WRITE_ONCE(n->confirmed, now);
	if (old & NUD_VALID) {
		if (addr != n->addr && !(flags & NEIGH_OVERRIDE)) {
			flags &= ~NEIGH_OVERRIDE_ISROUTER;
			if (!(flags & NEIGH_WEAK_OVERRIDE) || !(old & NUD_CONNECTED))
				return 0;
			addr = n->addr;
			state = NUD_STALE;
		} else if (addr == n->addr && state == NUD_STALE && !(flags & NEIGH_ADMIN)) {
			state = old;
		}
	}
	if (state != old || addr != n->addr)
		n->updated = now;
	commit(e, n, addr, state, now, t);
	set_router(n, flags);
	return 0;
}

int neigh_update(struct net_ns *net, struct neigh *n, const uint8_t *addr, uint16_t state,
	uint32_t flags)
{
	struct neigh_todo t;
	neigh_todo_init(&t);
	mutex_lock(&net->eth->lock);
	int err = neigh_update_locked(net->eth, n, addr, state, flags, &t);
	mutex_unlock(&net->eth->lock);
	neigh_todo_run(net, &t);
	return err;
}

void neigh_use(struct net_ns *net, struct neigh *n)
{
	struct neigh_todo t;
	neigh_todo_init(&t);
	mutex_lock(&net->eth->lock);
	neigh_event_send(net->eth, n, NULL, &t);
	mutex_unlock(&net->eth->lock);
	neigh_todo_run(net, &t);
}

void neigh_remove_unused(struct net_ns *net, struct neigh *n)
{
	struct list_node dropped = LIST_INIT(dropped);
	struct eth_net *e = net->eth;
	mutex_lock(&e->lock);
	if (!n->dead && ref_count(&n->ref) == 2)
		drop_entry(e, n, &dropped);
	mutex_unlock(&e->lock);
	put_dropped(&dropped);
	neigh_put(n);
}

bool neigh_may_be_permanent(struct net_ns *net, int family)
{
	MUTEX_GUARD(&net->eth->lock);
	return net->eth->permanent[family == AF_INET ? 0 : 1] < NEIGH_PERMANENT_MAX;
}

void neigh_confirm(struct neigh *n)
{
	int64_t now = time_monotonic();
	if (now - READ_ONCE(n->confirmed) > TIMER_GRAIN)
		WRITE_ONCE(n->confirmed, now);
}
