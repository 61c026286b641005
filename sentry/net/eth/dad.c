/*
 * Duplicate address detection (RFC 4862, 5.4), with a nonce that tells our own questions, sent back
 * by the network, from those of others (RFC 7527).
 *
 * An address is tentative while there is a struct ndp_dad for it.  dad_transmits questions go out,
 * the first after a random delay; when the last one has been unanswered for retrans_time the
 * address may be used: ip_addr_set_flags.
 */

#include "lib/log.h"
#include "lib/random.h"
#include "sentry/core/arena.h"
#include "sentry/net/eth/ndp_priv.h"

#define MS 1000000LL

struct ndp_dad {
	struct list_node node; /* in eth_net.dads; its lock */
	struct link *link;     /* owned */
	struct ip_addr addr;
	int64_t next; /* CLOCK_MONOTONIC, ns */
	int32_t left; /* questions */
	bool has_nonce;
	uint8_t nonce[NDP_NONCE];
};

static SLAB_SHARE(dad_slab, struct ndp_dad, 256);

static struct ndp_dad *find(struct eth_net *e, const struct link *l, const struct ip_addr *a)
	REQUIRES(e->lock)
{
	struct ndp_dad *d;
	list_for_each(d, &e->dads, node)
		if (d->link == l && ip_eq(&d->addr, a))
			return d;
	return NULL;
}

bool ndp_is_tentative(struct net_ns *net, const struct link *l, const struct ip_addr *a)
{
	MUTEX_GUARD(&net->eth->lock);
	return find(net->eth, l, a) != NULL;
}

static void take_out(struct eth_net *e, struct ndp_dad *d) REQUIRES(e->lock)
{
	list_del(&d->node);
	e->ndads--;
}

static void dad_free(struct ndp_dad *d)
{
	link_put(d->link);
	slab_free(&dad_slab, d);
}

/* The address may be used. */
static void succeed(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	if (ip_addr_set_flags(net, l->index, a, 0, IFA_F_TENTATIVE | IFA_F_OPTIMISTIC))
		return; /* it is gone */
	if (ndp_conf(net, l, IP_CONF_6_ndisc_notify) ||
		ip_conf_get(net, NULL, IP_CONF_ALL, IP_CONF_6_ndisc_notify))
		ndp_announce(net, l, a);
	if (ip_is_linklocal(a))
		ndp_rs_start(net, l);
}

/* Somebody else has it (Linux' addrconf_dad_stop): one that was made by itself goes. */
static void fail(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct ip_ifaddr x;
	char text[IP_TEXT_MAX];
	ip_format(a, text);
	log_warn("%s: IPv6 duplicate address %s detected", l->name, text);
	if (!ip_addr_get(net, a, l->index, &x))
		return;
	if (x.flags & IFA_F_PERMANENT)
		ip_addr_set_flags(net, l->index, a, IFA_F_DADFAILED, 0);
	else
		ip_addr_del(net, &x);
	if (ip_is_linklocal(a) &&
		MAX(ndp_conf(net, l, IP_CONF_6_accept_dad),
			ip_conf_get(net, NULL, IP_CONF_ALL, IP_CONF_6_accept_dad)) > 1)
		ip_conf_set(net, l, IP_CONF_LINK, IP_CONF_6_disable_ipv6, 1);
}

/* Is there nothing to be asked? */
static bool is_exempt(struct net_ns *net, struct link *l)
{
	return READ_ONCE(l->flags) & (IFF_LOOPBACK | IFF_NOARP) ||
	       ndp_conf(net, l, IP_CONF_6_dad_transmits) < 1 ||
	       (ndp_conf(net, l, IP_CONF_6_accept_dad) < 1 &&
		       ip_conf_get(net, NULL, IP_CONF_ALL, IP_CONF_6_accept_dad) < 1);
}

static struct ndp_dad *dad_new(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct ndp_dad *d = slab_alloc(&dad_slab);
	if (!d)
		return NULL;
	d->link = link_get(l);
	d->addr = *a;
	d->left = ndp_conf(net, l, IP_CONF_6_dad_transmits);
	d->has_nonce = ndp_conf(net, l, IP_CONF_6_enhanced_dad) ||
		       ip_conf_get(net, NULL, IP_CONF_ALL, IP_CONF_6_enhanced_dad);
	random_bytes(d->nonce, NDP_NONCE);
	return d;
}

void ndp_dad_start(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct eth_net *e = net->eth;
	struct ndp_dad *d = is_exempt(net, l) ? NULL : dad_new(net, l, a);
	if (!d) {
		succeed(net, l, a);
		return;
	}
	int64_t delay = ndp_conf(net, l, IP_CONF_6_router_solicitation_delay) * MS;
	mutex_lock(&e->lock);
	bool room = e->ndads < NDP_DADS_MAX && !find(e, l, a);
	if (room) {
		d->next = time_monotonic() + eth_random_between(e, 0, delay);
		list_push_back(&e->dads, &d->node);
		e->ndads++;
		eth_arm(e, d->next);
	}
	bool running = !room && find(e, l, a);
	mutex_unlock(&e->lock);
	if (room)
		return;
	dad_free(d);
	if (!running)
		succeed(net, l, a);
}

void ndp_dad_heard(struct net_ns *net, struct link *l, const struct ip_addr *a,
	const uint8_t *nonce, bool question)
{
	struct eth_net *e = net->eth;
	mutex_lock(&e->lock);
	struct ndp_dad *d = find(e, l, a);
	/* RFC 7527, 4.2: our own, sent back. */
	if (d && question && nonce && d->has_nonce && !memcmp(nonce, d->nonce, NDP_NONCE))
		d = NULL;
	if (d)
		take_out(e, d);
	mutex_unlock(&e->lock);
	if (!d)
		return;
	fail(net, l, a);
	dad_free(d);
}

/* The next question about d, or the end of it (false).  Without the lock. */
static void question(struct net_ns *net, const struct ndp_dad *d)
{
	struct ndp_out o = {.src = IP_ANY6,
		.dst = ndp_solicited_node(&d->addr),
		.type = NDP_NS,
		.target = &d->addr,
		.nonce = d->has_nonce ? d->nonce : NULL};
	ndp_send(net, d->link, &o);
}

static struct ndp_dad *first_due(struct eth_net *e, int64_t now, int64_t *next) REQUIRES(e->lock)
{
	struct ndp_dad *d;
	*next = INT64_MAX;
	list_for_each(d, &e->dads, node) {
		if (d->next <= now)
			return d;
		*next = MIN(*next, d->next);
	}
	return NULL;
}

int64_t ndp_dad_expire(struct eth_net *e, int64_t now)
{
	struct ndp_dad *d;
	int64_t next;
	mutex_lock(&e->lock);
	while ((d = first_due(e, now, &next))) {
		struct ndp_dad copy = *d;
		bool done = d->left-- <= 0;
		link_get(copy.link);
		d->next = now + MAX(neigh_parm(d->link, 1, NEIGH_PARM_retrans_time_ms), 10) * MS;
		if (done)
			take_out(e, d);
		mutex_unlock(&e->lock);
		if (done) {
			dad_free(d);
			succeed(e->net, copy.link, &copy.addr);
		} else {
			question(e->net, &copy);
		}
		link_put(copy.link);
		mutex_lock(&e->lock);
	}
	mutex_unlock(&e->lock);
	return next;
}

void ndp_dad_forget(struct net_ns *net, int32_t index, const struct ip_addr *a)
{
	struct eth_net *e = net->eth;
	struct ndp_dad *d, *found = NULL;
	mutex_lock(&e->lock);
	list_for_each(d, &e->dads, node)
		if (d->link->index == index && ip_eq(&d->addr, a))
			found = d;
	if (found)
		take_out(e, found);
	mutex_unlock(&e->lock);
	if (found)
		dad_free(found);
}

void ndp_dad_flush(struct net_ns *net, struct link *l)
{
	struct list_node out = LIST_INIT(out);
	struct eth_net *e = net->eth;
	struct ndp_dad *d, *tmp;
	mutex_lock(&e->lock);
	list_for_each_safe(d, tmp, &e->dads, node)
		if (!l || d->link == l) {
			take_out(e, d);
			list_push_back(&out, &d->node);
		}
	mutex_unlock(&e->lock);
	list_for_each_safe(d, tmp, &out, node) {
		list_del(&d->node);
		dad_free(d);
	}
}
