/* The network layer of a namespace: its beginning and end, what is to be done later, events. */
#include <errno.h>
#include <linux/if_ether.h>

#include "sentry/core/root.h"
#include "sentry/net/ip/mc_priv.h"

static SLAB_DEFINE(ip_net_slab, struct ip_net);
static SLAB_DEFINE(ip_event_slab, struct ip_event);

static struct ip_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("ip", globals, NULL);

void ip_gen_bump(struct ip_net *ipn)
{
	uint64_t gen = __atomic_add_fetch(&globals->gen, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&ipn->gen, gen, __ATOMIC_RELEASE);
}

/* --- events --- */

struct ip_event *ip_event_add(struct ip_events *evs, enum net_event ev)
{
	struct ip_event *e = slab_alloc(&ip_event_slab);
	if (!e)
		return NULL;
	e->ev = ev;
	list_push_back(&evs->list, &e->node);
	return e;
}

void ip_events_send(struct net_ns *net, struct ip_events *evs)
{
	struct ip_event *e;
	while ((e = list_first(&evs->list, struct ip_event, node))) {
		list_del(&e->node);
		net_event_send(net, e->ev, &e->route); /* of whatever kind */
		slab_free(&ip_event_slab, e);
	}
}

/* --- later --- */

static void later(struct ktimer *t)
{
	struct ip_net *ipn = container_of(t, struct ip_net, timer);
	struct net_ns *net = ipn->net;
	struct ip_events ev;
	/* ip_ns_fini waits for this function, so net is there; but it may be about to go. */
	if (!ref_get_unless_zero(&net->ref))
		return;
	ip_events_init(&ev);
	int64_t now = time_monotonic();
	__atomic_store_n(&ipn->timer_at, INT64_MAX, __ATOMIC_RELEASE);
	mutex_lock(&net->ip->lock);
	int64_t next = ip_exception_expire(net->ip, now);
	next = MIN(next, fib_expire(net, now, &ev));
	next = MIN(next, ip_addr_expire(net, now, &ev));
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	next = MIN(next, ip_frags_expire(net, now));
	next = MIN(next, ip_mc_expire(net, now));
	ip_timer_want(net, next);
	net_run();
	net_ns_put(net);
}

void ip_timer_want(struct net_ns *net, int64_t at)
{
	int64_t old = __atomic_load_n(&net->ip->timer_at, __ATOMIC_ACQUIRE);
	do
		if (at >= old)
			return;
	while (!__atomic_compare_exchange_n(&net->ip->timer_at, &old, at, false, __ATOMIC_ACQ_REL,
		__ATOMIC_ACQUIRE));
	ktimer_arm(&net->ip->timer, at);
}

/* --- life --- */

int ip_ns_init(struct net_ns *net)
{
	struct ip_net *ipn = slab_alloc(&ip_net_slab);
	if (!ipn)
		return -ENOMEM;
	mutex_init(&ipn->lock, LOCK_IP);
	list_init(&ipn->links);
	list_init(&ipn->tables);
	for (int i = 0; i < ADDR_HASH; i++)
		list_init(&ipn->addr_hash[i]);
	ipn->net = net;
	ipn->timer_at = INT64_MAX;
	ktimer_init(&ipn->timer, KTIMER_IP);
	ip_conf_init_ns(ipn);
	ip_gen_bump(ipn);
	net->ip = ipn;
	ipn->idents = buf_alloc(IP_IDENTS * sizeof(*ipn->idents));
	if (ipn->idents && !rule_ns_init(ipn) && !ip_frags_init(ipn) && !icmp_ns_init(ipn))
		return 0;
	ip_ns_fini(net);
	return -ENOMEM;
}

void ip_ns_fini(struct net_ns *net)
{
	struct ip_net *ipn = net->ip;
	if (!ipn)
		return;
	ktimer_cancel(&ipn->timer, true);
	BUG_ON(ipn->naddrs || !list_empty(&ipn->links)); /* they went with the links */
	fib_ns_fini(ipn);
	rule_ns_fini(ipn);
	ip_exception_fini(ipn);
	ip_frags_fini(ipn);
	icmp_ns_fini(ipn);
	buf_free(ipn->idents, IP_IDENTS * sizeof(*ipn->idents));
	net->ip = NULL;
	slab_free(&ip_net_slab, ipn);
}

int ip_loopback_up(struct net_ns *net)
{
	struct link *lo = link_by_index(net, 1);
	if (!lo)
		return -ENODEV;
	net_cfg_lock();
	int err = link_set_flags(lo, IFF_UP, IFF_UP);
	net_cfg_unlock();
	link_put(lo);
	return err;
}

void ip_init(void)
{
	ktimer_register_kind(KTIMER_IP, later);
	ip_link_init();
	icmp_init();
	igmp_init();
	link_proto_register(ETH_P_IP, ip4_input);
	link_proto_register(ETH_P_IPV6, ip6_input);
}
