/*
 * Making a route of what a user says: the checks of Linux' fib_create_info and fib_check_nh
 * (IPv4), ip6_route_info_create and fib6_nh_init (IPv6), in their order.
 */
#include <errno.h>

#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_SHARE(fib_route_slab, struct fib_route, 32);

void fib_free(struct fib_route *r)
{
	for (uint32_t i = 0; i < r->nhops; i++)
		link_put(r->hops[i].link);
	if (r->hops != &r->one)
		buf_free(r->hops, r->nhops * sizeof(*r->hops));
	slab_free(&fib_route_slab, r);
}

/* The widest scope that a type may have (fib_props). */
static uint8_t type_scope(uint8_t type)
{
	switch (type) {
	case RTN_LOCAL:
	case RTN_NAT:
		return RT_SCOPE_HOST;
	case RTN_BROADCAST:
	case RTN_ANYCAST:
		return RT_SCOPE_LINK;
	default:
		return RT_SCOPE_UNIVERSE;
	}
}

static int use_link(struct ip_net *ipn, struct fib_hop *h, int32_t oif)
{
	mutex_assert_held(&ipn->lock);
	struct ip_link *il = ip_link_find(ipn, oif);
	if (!il)
		return -ENODEV;
	h->link = link_get(il->link);
	return 0;
}

static int must_be_up(const struct fib_hop *h)
{
	return link_is_up(h->link) ? 0 : -ENETDOWN;
}

/* --- IPv4 --- */

/* What kind of address it is by table local (inet_addr_type). */
static uint8_t local_type4(struct ip_net *ipn, const struct ip_addr *a)
{
	struct fib_query q = {.dst = *a, .family = AF_INET};
	struct fib_result res;
	struct fib_table *t = fib_table_find(ipn, RT_TABLE_LOCAL);
	if (ip_is_multicast(a))
		return RTN_MULTICAST;
	if (ip_is_limited_broadcast(a) || ip_to_v4(a) == 0)
		return RTN_BROADCAST;
	return t && !fib_table_lookup(t, &q, &res) ? res.route->type : RTN_UNICAST;
}

static int gateway_onlink4(struct ip_net *ipn, struct fib_route *r, struct fib_hop *h, int32_t oif)
{
	if (r->scope >= RT_SCOPE_LINK || local_type4(ipn, &h->gw) != RTN_UNICAST)
		return -EINVAL;
	int err = use_link(ipn, h, oif);
	h->scope = RT_SCOPE_LINK;
	return err ? err : must_be_up(h);
}

/* A gateway must be reachable by a route of a smaller scope. */
static int gateway4(struct net_ns *net, struct fib_route *r, struct fib_hop *h, int32_t oif)
{
	mutex_assert_held(&net->ip->lock);
	struct fib_query q = {.dst = h->gw, .family = AF_INET, .oif = oif, .iif = 1};
	struct fib_result res;
	if (r->scope >= RT_SCOPE_LINK)
		return -EINVAL;
	if (h->flags & RTNH_F_ONLINK)
		return gateway_onlink4(net->ip, r, h, oif);
	q.scope = MAX((uint8_t)(r->scope + 1), (uint8_t)RT_SCOPE_LINK);
	int err = fib_lookup(net, &q, &res);
	if (err)
		return err;
	if (res.route->type != RTN_UNICAST && res.route->type != RTN_LOCAL)
		return -EINVAL;
	h->scope = res.route->scope;
	h->link = link_get(res.hop->link);
	return must_be_up(h);
}

static int hop4(struct net_ns *net, struct fib_route *r, struct fib_hop *h, int32_t oif)
{
	if (!ip_is_any(&h->gw))
		return gateway4(net, r, h, oif);
	if (h->flags & RTNH_F_ONLINK)
		return -EINVAL;
	int err = use_link(net->ip, h, oif);
	h->scope = RT_SCOPE_LINK;
	return err ? err : must_be_up(h);
}

static int host_scope4(struct net_ns *net, struct fib_route *r, const struct ip_route_info *i)
{
	if (r->nhops != 1 || !ip_is_any(&r->hops[0].gw))
		return -EINVAL;
	r->hops[0].scope = RT_SCOPE_NOWHERE;
	return use_link(net->ip, &r->hops[0], i->hop[0].oif);
}

static int check4(struct net_ns *net, struct fib_route *r, const struct ip_route_info *i)
{
	int err = 0;
	if (i->dst_len > 32 || !ip_is_v4(&i->dst) || type_scope(r->type) > r->scope ||
		r->type > RTN_MAX || (i->flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)))
		return -EINVAL;
	struct ip_addr net_addr = ip_mask(&i->dst, i->dst_len + IP_V4_BITS);
	if (!ip_eq(&net_addr, &i->dst) || i->src_len)
		return -EINVAL;
	if (fib_type_error(r->type)) {
		for (uint32_t n = 0; n < i->nhops; n++)
			if (i->hop[n].oif || !ip_is_any(&i->hop[n].gw))
				return -EINVAL;
		return 0;
	}
	if (r->scope > RT_SCOPE_HOST)
		return -EINVAL;
	if (!r->nhops)
		return -ENODEV;
	if (r->scope == RT_SCOPE_HOST)
		err = host_scope4(net, r, i);
	for (uint32_t n = 0; !err && r->scope != RT_SCOPE_HOST && n < r->nhops; n++)
		err = hop4(net, r, &r->hops[n], i->hop[n].oif);
	if (!err && !ip_is_any(&r->prefsrc) && local_type4(net->ip, &r->prefsrc) != RTN_LOCAL)
		err = r->type == RTN_LOCAL && ip_eq(&r->prefsrc, &i->dst) ? 0 : -EINVAL;
	return err;
}

/* --- IPv6 --- */

/* Is there a way to the gateway that needs no other one? */
static int gateway_reachable6(struct net_ns *net, struct fib_hop *h, int32_t oif)
{
	mutex_assert_held(&net->ip->lock);
	struct fib_query q = {.dst = h->gw, .family = AF_INET6, .oif = oif, .iif = 1};
	struct fib_result res;
	q.strict = oif != 0;
	if (fib_lookup(net, &q, &res) || !ip_is_any(&res.hop->gw) || res.route->type == RTN_LOCAL ||
		(oif && res.hop->link->index != oif))
		return -EHOSTUNREACH;
	if (!h->link)
		h->link = link_get(res.hop->link);
	return 0;
}

static int gateway6(struct net_ns *net, struct fib_hop *h, int32_t oif)
{
	mutex_assert_held(&net->ip->lock);
	int err = 0;
	if (ip_is_multicast(&h->gw) || ip_is_loopback(&h->gw) || ip_is_v4(&h->gw) ||
		ifaddr_is_local(net->ip, &h->gw, ip_is_linklocal(&h->gw) ? oif : 0))
		return -EINVAL;
	if (h->flags & RTNH_F_ONLINK)
		err = h->link ? 0 : -ENODEV;
	else if (!ip_is_linklocal(&h->gw))
		err = gateway_reachable6(net, h, oif);
	if (err)
		return err;
	return !h->link || (READ_ONCE(h->link->flags) & IFF_LOOPBACK) ? -EINVAL : 0;
}

static int hop6(struct net_ns *net, struct fib_hop *h, int32_t oif)
{
	int err = oif ? use_link(net->ip, h, oif) : 0;
	if (!err && !ip_is_any(&h->gw))
		err = gateway6(net, h, oif);
	if (err)
		return err;
	if (!h->link)
		return -ENODEV;
	if (ip_link_conf(h->link, IP_CONF_6_disable_ipv6))
		return -EACCES;
	return must_be_up(h);
}

static int check6(struct net_ns *net, struct fib_route *r, const struct ip_route_info *i)
{
	mutex_assert_held(&net->ip->lock);
	if (i->dst_len > 128 || i->src_len || r->type > RTN_MAX)
		return -EINVAL;
	if (!r->priority && i->table != RT_TABLE_LOCAL)
		r->priority = 1024; /* IP6_RT_PRIO_USER */
	if (fib_type_error(r->type))
		return 0;
	if (!r->nhops)
		return -ENODEV;
	for (uint32_t n = 0; n < r->nhops; n++) {
		/* An address that a link has while it is down: its route is of no use, but there.
		 */
		int err = r->type == RTN_LOCAL && r->protocol == RTPROT_KERNEL
				  ? use_link(net->ip, &r->hops[n], i->hop[n].oif)
				  : hop6(net, &r->hops[n], i->hop[n].oif);
		if (err)
			return err;
	}
	if (!ip_is_any(&r->prefsrc) && !ifaddr_is_local(net->ip, &r->prefsrc, 0))
		return -EINVAL;
	return 0;
}

/* --- both --- */

static bool set_hops(struct fib_route *r, const struct ip_route_info *i)
{
	r->nhops = i->nhops;
	if (fib_type_error(r->type))
		r->nhops = i->family == AF_INET6; /* one, which leads nowhere */
	r->hops = &r->one;
	if (r->nhops > 1)
		r->hops = buf_alloc(r->nhops * sizeof(*r->hops));
	if (!r->hops) {
		r->hops = &r->one;
		r->nhops = 0;
		return false;
	}
	for (uint32_t n = 0; n < MIN(r->nhops, i->nhops) && !fib_type_error(r->type); n++) {
		r->hops[n].gw = i->hop[n].gw;
		r->hops[n].flags = i->hop[n].flags & (RTNH_F_ONLINK | RTNH_F_PERVASIVE);
		r->hops[n].weight = i->hop[n].weight;
	}
	return true;
}

int fib_new(struct net_ns *net, const struct ip_route_info *i, struct fib_route **out)
{
	if (i->nhops > ROUTE_HOPS_MAX)
		return -EINVAL;
	struct fib_route *r = slab_alloc(&fib_route_slab);
	if (!r)
		return -ENOBUFS;
	list_init(&r->node);
	r->family = i->family;
	r->tos = i->tos;
	r->scope = i->scope;
	r->protocol = i->protocol;
	r->type = i->type;
	r->pref = i->pref;
	r->prefsrc = i->prefsrc;
	r->priority = i->priority;
	r->flags = i->flags;
	r->mtu = i->mtu;
	r->mtu_lock = i->mtu_lock;
	r->advmss = MIN(i->advmss, 65535u - 40);
	r->hoplimit = MIN(i->hoplimit, 255u);
	r->window = i->window;
	r->rtt = i->rtt;
	r->initcwnd = i->initcwnd;
	r->initrwnd = i->initrwnd;
	r->rto_min = i->rto_min;
	r->expires = i->expires;
	int err = set_hops(r, i) ? 0 : -ENOBUFS;
	if (!err)
		err = i->family == AF_INET6 ? check6(net, r, i) : check4(net, r, i);
	if (err) {
		fib_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void fib_to_info(const struct fib_route *r, struct ip_route_info *o)
{
	*o = (struct ip_route_info){.family = r->family,
		.tos = r->tos,
		.scope = r->scope,
		.protocol = r->protocol,
		.type = r->type,
		.pref = r->pref,
		.prefsrc = r->prefsrc,
		.priority = r->priority,
		.flags = r->flags,
		.mtu = r->mtu,
		.mtu_lock = r->mtu_lock,
		.advmss = r->advmss,
		.hoplimit = r->hoplimit,
		.window = r->window,
		.rtt = r->rtt,
		.initcwnd = r->initcwnd,
		.initrwnd = r->initrwnd,
		.rto_min = r->rto_min,
		.expires = r->expires,
		.table = r->table->id,
		.dst = r->at->key};
	o->dst_len = (uint8_t)(r->at->bits - (r->family == AF_INET6 ? 0 : IP_V4_BITS));
	for (uint32_t n = 0; n < r->nhops; n++) {
		const struct fib_hop *h = &r->hops[n];
		if (!h->link)
			continue;
		o->hop[o->nhops].oif = h->link->index;
		o->hop[o->nhops].gw = h->gw;
		o->hop[o->nhops].flags = h->flags;
		o->hop[o->nhops++].weight = h->weight;
	}
}
