/*
 * The groups that a socket is a member of, and of whom it wants to hear there: ip(7), ipv6(7),
 * RFC 3376 and 3678.  ip/ makes the sum of all sockets' wishes for a link.
 *
 * inet_opt.mc is changed under sk.lock and rq_lock; packets look at it under rq_lock.  A
 * socket has at most igmp_max_memberships groups of IPv4, and MC6_MAX of IPv6 (Linux bounds those
 * by optmem_max), each with at most igmp_max_msf or mld_max_msf sources.
 */
#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/mem.h"

#define MC6_MAX 1024u

struct inet_mc {
	struct list_node node;
	struct ip_addr group;
	struct link *link; /* owned */
	int32_t ifindex;
	uint8_t mode;            /* IP_MC_INCLUDE, IP_MC_EXCLUDE */
	uint32_t n, room;        /* sources there are; that there is room for */
	struct ip_addr *sources; /* buf_alloc'ed; NULL: no list was made */
};

static SLAB_SHARE(mc_slab, struct inet_mc, 64);

uint32_t inet_mc_max_sources(const struct inet_sock *s, bool v4)
{
	const struct net_ctl *ctl = &s->sk.net->ctl;
	int32_t n = v4 ? READ_ONCE(ctl->igmp_max_msf) : READ_ONCE(ctl->mld_max_msf);
	return MIN((uint32_t)n, INET_MC_SOURCES);
}

static struct ip_mc_filter filter_of(const struct inet_mc *mc)
{
	return (struct ip_mc_filter){.mode = mc->mode, .n = mc->n, .sources = mc->sources};
}

/* --- which link --- */

/* By index, else by one of its addresses, else the one that the group is routed to. */
static struct link *find_link(struct inet_sock *s, const struct ip_addr *group, int32_t ifindex,
	const struct ip_addr *addr)
{
	struct ip_ifaddr a;
	struct route rt = {0};
	struct flow f = {.dst = *group, .src = inet_any_like(group)};
	if (ifindex)
		return link_by_index(s->sk.net, ifindex);
	if (!ip_is_any(addr))
		return ip_addr_get(s->sk.net, addr, 0, &a) ? link_by_index(s->sk.net, a.index)
							   : NULL;
	if (route_lookup(s->sk.net, &f, &rt))
		return NULL;
	struct link *l = rt.link ? link_get(rt.link) : NULL;
	route_put(&rt);
	return l;
}

static struct inet_mc *find(struct inet_sock *s, const struct ip_addr *group, int32_t ifindex)
	REQUIRES(s->sk.lock)
{
	struct inet_mc *mc;
	if (s->opt)
		list_for_each(mc, &s->opt->mc, node)
			if (ip_eq(&mc->group, group) && (!ifindex || mc->ifindex == ifindex))
				return mc;
	return NULL;
}

/* --- joining and leaving --- */

static void mc_free(struct inet_mc *mc)
{
	net_buf_free(mc->sources, mc->room * sizeof(*mc->sources));
	link_put(mc->link);
	slab_free(&mc_slab, mc);
}

static uint32_t count(struct inet_sock *s, bool v4)
{
	struct inet_mc *mc;
	uint32_t n = 0;
	list_for_each(mc, &s->opt->mc, node)
		n += ip_is_v4(&mc->group) == v4;
	return n;
}

static int join(struct inet_sock *s, const struct ip_addr *group, struct link *l, uint8_t mode)
	REQUIRES(s->sk.lock)
{
	bool v4 = ip_is_v4(group);
	uint32_t max = v4 ? (uint32_t)READ_ONCE(s->sk.net->ctl.igmp_max_memberships) : MC6_MAX;
	if (find(s, group, l->index))
		return -EADDRINUSE;
	if (!inet_opt_get(s))
		return -ENOMEM;
	if (count(s, v4) >= max)
		return -ENOBUFS;
	struct inet_mc *mc = slab_alloc(&mc_slab);
	if (!mc)
		return -ENOBUFS;
	mc->group = *group;
	mc->link = link_get(l);
	mc->ifindex = l->index;
	mc->mode = mode;
	struct ip_mc_filter to = filter_of(mc);
	int err = ip_mc_change(l, group, NULL, &to);
	if (err) {
		mc_free(mc);
		return err;
	}
	mutex_lock(&s->rq_lock);
	list_push_front(&s->opt->mc, &mc->node);
	mutex_unlock(&s->rq_lock);
	return 0;
}

static void leave(struct inet_sock *s, struct inet_mc *mc) REQUIRES(s->sk.lock)
{
	struct ip_mc_filter from = filter_of(mc);
	mutex_lock(&s->rq_lock);
	list_del(&mc->node);
	mutex_unlock(&s->rq_lock);
	ip_mc_change(mc->link, &mc->group, &from, NULL);
	mc_free(mc);
}

int inet_mc_join(struct inet_sock *s, const struct inet_mc_req *r, uint8_t mode)
{
	if (!ip_is_multicast(&r->group))
		return -EINVAL;
	/* IPv6 asks first whether it is a member on any link. */
	if (!ip_is_v4(&r->group) && find(s, &r->group, r->ifindex))
		return -EADDRINUSE;
	struct link *l = find_link(s, &r->group, r->ifindex, &r->ifaddr);
	int err = l ? join(s, &r->group, l, mode) : -ENODEV;
	link_put(l);
	return err;
}

int inet_mc_leave(struct inet_sock *s, const struct inet_mc_req *r)
{
	if (!ip_is_multicast(&r->group) && !ip_is_v4(&r->group))
		return -EINVAL;
	int32_t ifindex = r->ifindex;
	if (ip_is_v4(&r->group) && !ifindex) {
		struct link *l = find_link(s, &r->group, 0, &r->ifaddr);
		if (l)
			ifindex = l->index;
		link_put(l);
		if (!l)
			return ip_is_any(&r->ifaddr) ? -ENODEV : -EADDRNOTAVAIL;
	}
	struct inet_mc *mc = find(s, &r->group, ifindex);
	if (!mc)
		return -EADDRNOTAVAIL;
	leave(s, mc);
	return 0;
}

void inet_mc_drop_all(struct inet_sock *s)
{
	struct inet_mc *mc, *tmp;
	if (!s->opt)
		return;
	list_for_each_safe(mc, tmp, &s->opt->mc, node)
		leave(s, mc);
}

/* --- sources --- */

/* mc gets this filter: sources is taken over on success. */
static int set_filter(struct inet_sock *s, struct inet_mc *mc, uint8_t mode,
	struct ip_addr *sources, uint32_t n, uint32_t room) REQUIRES(s->sk.lock)
{
	struct ip_mc_filter from = filter_of(mc), to = {mode, n, sources};
	int err = ip_mc_change(mc->link, &mc->group, &from, &to);
	if (err)
		return err;
	struct ip_addr *old = mc->sources;
	uint32_t old_room = mc->room;
	mutex_lock(&s->rq_lock);
	mc->mode = mode;
	mc->sources = sources;
	mc->n = n;
	mc->room = room;
	mutex_unlock(&s->rq_lock);
	net_buf_free(old, old_room * sizeof(*old));
	return 0;
}

static int find_source(const struct inet_mc *mc, const struct ip_addr *src)
{
	for (uint32_t i = 0; i < mc->n; i++)
		if (ip_eq(&mc->sources[i], src))
			return (int)i;
	return -1;
}

static int add_source(struct inet_sock *s, struct inet_mc *mc, const struct ip_addr *src)
	REQUIRES(s->sk.lock)
{
	if (mc->sources && mc->n >= inet_mc_max_sources(s, ip_is_v4(&mc->group)))
		return -ENOBUFS;
	if (find_source(mc, src) >= 0)
		return -EADDRNOTAVAIL;
	struct ip_addr *list = net_buf_alloc((mc->n + 1) * sizeof(*list));
	if (!list)
		return -ENOBUFS;
	if (mc->n)
		memcpy(list, mc->sources, mc->n * sizeof(*list));
	list[mc->n] = *src;
	int err = set_filter(s, mc, mc->mode, list, mc->n + 1, mc->n + 1);
	if (err)
		net_buf_free(list, (mc->n + 1) * sizeof(*list));
	return err;
}

static int del_source(struct inet_sock *s, struct inet_mc *mc, const struct ip_addr *src)
	REQUIRES(s->sk.lock)
{
	int at = find_source(mc, src);
	if (at < 0)
		return -EADDRNOTAVAIL;
	if (mc->n == 1 && mc->mode == IP_MC_INCLUDE) { /* to hear of nobody is to leave */
		leave(s, mc);
		return 0;
	}
	struct ip_addr *list = net_buf_alloc(mc->room * sizeof(*list));
	uint32_t n = 0;
	if (!list)
		return -ENOBUFS;
	for (uint32_t i = 0; i < mc->n; i++)
		if ((int)i != at)
			list[n++] = mc->sources[i];
	uint32_t room = mc->room;
	int err = set_filter(s, mc, mc->mode, list, n, room);
	if (err)
		net_buf_free(list, room * sizeof(*list));
	return err;
}

int inet_mc_source(struct inet_sock *s, const struct inet_mc_req *r, const struct ip_addr *src,
	uint8_t mode, bool add)
{
	if (!ip_is_multicast(&r->group))
		return -EINVAL;
	struct link *l = find_link(s, &r->group, r->ifindex, &r->ifaddr);
	if (!l)
		return -ENODEV;
	struct inet_mc *mc = find(s, &r->group, l->index);
	link_put(l);
	if (!mc)
		return -EINVAL;
	if (mc->mode != mode) {
		/* Only a filter without sources changes its mode. */
		if (mc->sources)
			return -EINVAL;
		int err = set_filter(s, mc, mode, NULL, 0, 0);
		if (err)
			return err;
	}
	return add ? add_source(s, mc, src) : del_source(s, mc, src);
}

int inet_mc_set_filter(struct inet_sock *s, const struct inet_mc_req *r, uint32_t mode,
	const struct ip_addr *sources, uint32_t n)
{
	if (!ip_is_multicast(&r->group) || (mode != IP_MC_INCLUDE && mode != IP_MC_EXCLUDE))
		return -EINVAL;
	struct link *l = find_link(s, &r->group, r->ifindex, &r->ifaddr);
	if (!l)
		return -ENODEV;
	int32_t ifindex = l->index;
	link_put(l);
	struct inet_mc *mc = find(s, &r->group, ifindex);
	if (mode == IP_MC_INCLUDE && !n) {
		if (!mc)
			return -EADDRNOTAVAIL;
		leave(s, mc);
		return 0;
	}
	if (!mc)
		return -EINVAL;
	struct ip_addr *list = NULL;
	if (n) {
		list = net_buf_alloc(n * sizeof(*list));
		if (!list)
			return -ENOBUFS;
		memcpy(list, sources, n * sizeof(*list));
	}
	int err = set_filter(s, mc, (uint8_t)mode, list, n, n);
	if (err)
		net_buf_free(list, n * sizeof(*list));
	return err;
}

int inet_mc_get_filter(struct inet_sock *s, const struct inet_mc_req *r, uint32_t *mode,
	struct ip_addr *sources, uint32_t *n)
{
	if (!ip_is_multicast(&r->group))
		return -EINVAL;
	struct link *l = find_link(s, &r->group, r->ifindex, &r->ifaddr);
	if (!l)
		return -ENODEV;
	struct inet_mc *mc = find(s, &r->group, l->index);
	link_put(l);
	if (!mc)
		return -EADDRNOTAVAIL;
	*mode = mc->mode;
	if (mc->n)
		memcpy(sources, mc->sources, MIN(mc->n, *n) * sizeof(*sources));
	*n = mc->n;
	return 0;
}

/* --- packets --- */

bool inet_mc_allow(const struct inet_sock *cs, const struct ip_addr *group,
	const struct ip_addr *src, int32_t iif)
{
	struct inet_sock *s = (struct inet_sock *)(uintptr_t)cs;
	struct inet_opt *o = __atomic_load_n(&s->opt, __ATOMIC_ACQUIRE);
	bool v4 = ip_is_v4(group);
	struct inet_mc *mc, *found = NULL;
	bool ok = v4 ? READ_ONCE(s->mc_all4) : READ_ONCE(s->mc_all6);
	if (!o)
		return ok;
	MUTEX_GUARD(&s->rq_lock);
	list_for_each(mc, &o->mc, node)
		if (ip_eq(&mc->group, group) && (!v4 || mc->ifindex == iif)) {
			found = mc;
			break;
		}
	if (!found)
		return ok;
	bool listed = find_source(found, src) >= 0;
	return found->mode == IP_MC_EXCLUDE ? !listed : listed;
}
