/*
 * The addresses of links: adding, deleting, lifetimes, and the routes that come with them (Linux'
 * devinet.c with fib_add_ifaddr and fib_del_ifaddr of fib_frontend.c; addrconf.c).
 */
#include <errno.h>

#include "sentry/core/arena.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_SHARE(ifaddr_slab, struct ifaddr, 64);

#define METRIC6 256u /* IP6_RT_PRIO_ADDRCONF */

static struct list_node *bucket(struct ip_net *ipn, const struct ip_addr *a)
{
	uint64_t h = (a->q[0] ^ a->q[1] * 0x9e3779b97f4a7c15ul) * 0xbf58476d1ce4e5b9ul;
	return &ipn->addr_hash[h >> 56];
}
_Static_assert(ADDR_HASH == 256, "bucket");

struct ifaddr *ifaddr_find(struct ip_net *ipn, const struct ip_addr *addr, int32_t index)
{
	struct ifaddr *a;
	list_for_each(a, bucket(ipn, addr), hash)
		if (ip_eq(&a->local, addr) && (!index || a->il->link->index == index))
			return a;
	return NULL;
}

static bool is_tentative(const struct ifaddr *a)
{
	return (a->flags & IFA_F_DADFAILED) ||
	       ((a->flags & IFA_F_TENTATIVE) && !(a->flags & IFA_F_OPTIMISTIC));
}

static uint8_t local_route_type(struct ip_net *ipn, const struct ip_addr *addr)
{
	struct fib_query q = {.dst = *addr, .family = ip_family(addr)};
	struct fib_result res;
	struct fib_table *t = fib_table_find(ipn, RT_TABLE_LOCAL);
	return t && !fib_table_lookup(t, &q, &res) ? res.route->type : RTN_UNICAST;
}

bool ifaddr_is_local(struct ip_net *ipn, const struct ip_addr *addr, int32_t index)
{
	struct ifaddr *a;
	list_for_each(a, bucket(ipn, addr), hash)
		if (ip_eq(&a->local, addr) && !is_tentative(a) &&
			(!index || a->il->link->index == index))
			return true;
	/* IPv4: all that table local has, as 127.0.0.2. */
	return !index && ip_is_v4(addr) && local_route_type(ipn, addr) == RTN_LOCAL;
}

static uint32_t seconds_left(int64_t until)
{
	if (until == INT64_MAX)
		return IP_FOREVER;
	int64_t left = until - time_monotonic();
	return left > 0 ? (uint32_t)(left / NSEC_PER_SEC) : 0;
}

void ifaddr_fill(const struct ifaddr *a, struct ip_ifaddr *o)
{
	*o = (struct ip_ifaddr){.index = a->il->link->index,
		.family = a->family,
		.prefix_len = a->prefix_len,
		.scope = a->scope,
		.proto = a->proto,
		.flags = a->flags,
		.local = a->local,
		.peer = a->peer,
		.broadcast = a->broadcast,
		.preferred = seconds_left(a->preferred),
		.valid = seconds_left(a->valid),
		.metric = a->metric,
		.created = a->created,
		.updated = a->updated};
	memcpy(o->label, a->label, sizeof(o->label));
}

static void tell(struct ip_events *ev, enum net_event what, const struct ifaddr *a)
{
	struct ip_event *e = ip_event_add(ev, what);
	if (e)
		ifaddr_fill(a, &e->addr);
}

/* --- the routes of an address --- */

struct magic {
	struct net_ns *net;
	struct ifaddr *a;
	struct ip_events *ev;
	bool add;
};

/* Linux' fib_magic. */
static void magic(struct magic *m, uint8_t type, const struct ip_addr *dst, unsigned int len,
	uint32_t metric)
{
	mutex_assert_held(&m->net->ip->lock);
	bool v4 = m->a->family == AF_INET;
	struct ip_route_info r = {.family = m->a->family,
		.dst = ip_mask(dst, len + (v4 ? IP_V4_BITS : 0)),
		.dst_len = (uint8_t)len,
		.type = type,
		.protocol = RTPROT_KERNEL,
		.table = type == RTN_UNICAST ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
		.priority = metric,
		.prefsrc = v4 ? m->a->prefsrc : IP_ANY6,
		.nhops = 1};
	r.hop[0].oif = m->a->il->link->index;
	r.hop[0].gw = v4 ? IP_ANY4 : IP_ANY6;
	if (v4)
		r.scope = type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK;
	else if (type == RTN_UNICAST && m->a->valid != INT64_MAX)
		r.expires = m->a->valid;
	if (m->add)
		fib_add(m->net, &r, NLM_F_CREATE | NLM_F_APPEND, m->ev);
	else
		fib_del(m->net, &r, m->ev);
}

static struct ip_addr last_of4(const struct ip_addr *a, unsigned int len)
{
	uint32_t mask = len ? htonl(~0u << (32 - len)) : 0;
	return ip_v4(ip_to_v4(a) | ~mask);
}

/* Has it a route for its prefix besides the one for itself? */
static bool has_prefix4(const struct ifaddr *a)
{
	struct ip_addr net = ip_mask(&a->peer, a->prefix_len + IP_V4_BITS);
	return (ntohl(ip_to_v4(&net)) >> 24) != 0 && !(a->flags & IFA_F_SECONDARY) &&
	       (!ip_eq(&net, &a->local) || a->prefix_len < 32);
}

static bool has_broadcast4(const struct ifaddr *a)
{
	return !ip_is_any(&a->broadcast) && !ip_is_limited_broadcast(&a->broadcast);
}

static bool same_subnet4(const struct ifaddr *a, const struct ifaddr *b)
{
	return a->prefix_len == b->prefix_len &&
	       ip_prefix_eq(&a->peer, &b->peer, b->prefix_len + IP_V4_BITS);
}

/* The address that a secondary one's routes are made in the name of, as on Linux. */
static struct ip_addr primary_of(const struct ifaddr *a)
{
	struct ifaddr *o;
	if (a->flags & IFA_F_SECONDARY)
		list_for_each(o, &a->il->addrs[0], node)
			if (!(o->flags & IFA_F_SECONDARY) && same_subnet4(o, a))
				return o->local;
	return a->local;
}

static void add_routes4(struct magic *m)
{
	struct ifaddr *a = m->a;
	a->prefsrc = primary_of(a);
	magic(m, RTN_LOCAL, &a->local, 32, 0);
	if (!il_up(a->il))
		return;
	if (has_broadcast4(a))
		magic(m, RTN_BROADCAST, &a->broadcast, 32, 0);
	if (!has_prefix4(a))
		return;
	if (!(a->flags & IFA_F_NOPREFIXROUTE))
		magic(m, il_loopback(a->il) ? RTN_LOCAL : RTN_UNICAST, &a->peer, a->prefix_len,
			a->metric);
	if (a->prefix_len < 31) {
		struct ip_addr last = last_of4(&a->peer, a->prefix_len);
		magic(m, RTN_BROADCAST, &last, 32, 0);
	}
}

/* Do others of the link (or, for itself, of any) need the same route?  a is out of the lists. */
static bool still_local4(struct magic *m)
{
	mutex_assert_held(&m->net->ip->lock);
	return ifaddr_find(m->net->ip, &m->a->local, 0) != NULL;
}

static bool still_broadcast4(struct magic *m, const struct ip_addr *b)
{
	struct ifaddr *o;
	list_for_each(o, &m->a->il->addrs[0], node) {
		struct ip_addr last = last_of4(&o->peer, o->prefix_len);
		if (ip_eq(&o->broadcast, b) || (o->prefix_len < 31 && ip_eq(&last, b)))
			return true;
	}
	return false;
}

static bool still_prefix4(struct magic *m)
{
	struct ifaddr *o;
	list_for_each(o, &m->a->il->addrs[0], node)
		if (!(o->flags & IFA_F_SECONDARY) && same_subnet4(o, m->a))
			return true;
	return false;
}

static bool has_prefsrc(const struct fib_route *r, const void *arg)
{
	return r->family == AF_INET && ip_eq(&r->prefsrc, arg);
}

static void del_routes4(struct magic *m)
{
	struct ifaddr *a = m->a;
	struct ip_addr last = last_of4(&a->peer, a->prefix_len);
	if (has_prefix4(a) && !still_prefix4(m))
		magic(m, il_loopback(a->il) ? RTN_LOCAL : RTN_UNICAST, &a->peer, a->prefix_len,
			a->metric);
	if (has_broadcast4(a) && !still_broadcast4(m, &a->broadcast))
		magic(m, RTN_BROADCAST, &a->broadcast, 32, 0);
	if (a->prefix_len < 31 && !ip_eq(&last, &a->broadcast) && !still_broadcast4(m, &last))
		magic(m, RTN_BROADCAST, &last, 32, 0);
	if (still_local4(m))
		return;
	magic(m, RTN_LOCAL, &a->local, 32, 0);
	/* Routes that send from it go with it (fib_sync_down_addr). */
	fib_flush(m->net->ip, has_prefsrc, &a->local, NULL);
}

static void announce6(struct magic *m)
{
	if (m->a->announced || is_tentative(m->a))
		return;
	magic(m, RTN_LOCAL, &m->a->local, 128, 0);
	m->a->announced = true;
	if (!ip_eq(&m->a->peer, &m->a->local))
		magic(m, RTN_UNICAST, &m->a->peer, 128, m->a->metric ? m->a->metric : METRIC6);
}

static void prefix6(struct magic *m)
{
	struct ifaddr *a = m->a;
	/* ::1 of lo has none, as it is made by the link itself. */
	if (!(a->flags & IFA_F_NOPREFIXROUTE) && !(il_loopback(a->il) && ip_is_loopback(&a->local)))
		magic(m, RTN_UNICAST, &a->peer, a->prefix_len, a->metric ? a->metric : METRIC6);
}

static bool still_prefix6(struct magic *m)
{
	struct ifaddr *o;
	list_for_each(o, &m->a->il->addrs[1], node)
		if (o->prefix_len == m->a->prefix_len && !(o->flags & IFA_F_NOPREFIXROUTE) &&
			ip_prefix_eq(&o->peer, &m->a->peer, o->prefix_len))
			return true;
	return false;
}

static void del_routes6(struct magic *m)
{
	struct ifaddr *a = m->a;
	if (a->announced)
		magic(m, RTN_LOCAL, &a->local, 128, 0);
	if (a->announced && !ip_eq(&a->peer, &a->local))
		magic(m, RTN_UNICAST, &a->peer, 128, a->metric ? a->metric : METRIC6);
	a->announced = false;
	if (!still_prefix6(m))
		prefix6(m);
}

static void routes(struct net_ns *net, struct ifaddr *a, bool add, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	struct magic m = {net, a, ev, add};
	if (a->family == AF_INET) {
		if (add)
			add_routes4(&m);
		else
			del_routes4(&m);
	} else if (add) {
		if (il_up(a->il))
			prefix6(&m);
		announce6(&m);
	} else {
		del_routes6(&m);
	}
	ip_gen_bump(net->ip);
}

/* --- in and out of the lists --- */

static int place4(struct ifaddr *a, struct list_node **before)
{
	struct ifaddr *o;
	struct list_node *head = &a->il->addrs[0];
	*before = head->next;
	list_for_each(o, head, node) {
		if (!(o->flags & IFA_F_SECONDARY) && a->scope <= o->scope)
			*before = o->node.next;
		if (o->prefix_len != a->prefix_len ||
			!ip_prefix_eq(&o->peer, &a->peer, a->prefix_len + IP_V4_BITS))
			continue;
		if (ip_eq(&o->local, &a->local))
			return -EEXIST;
		if (o->scope != a->scope)
			return -EINVAL;
		a->flags |= IFA_F_SECONDARY;
	}
	if (a->flags & IFA_F_SECONDARY)
		*before = head;
	return 0;
}

/* Wider scopes first, the newest first among equals. */
static void place6(struct ifaddr *a, struct list_node **before)
{
	struct ifaddr *o;
	list_for_each(o, &a->il->addrs[1], node)
		if (ip6_scope(&a->local) >= ip6_scope(&o->local))
			break;
	*before = &o->node;
}

static int put_in(struct net_ns *net, struct ifaddr *a, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	struct list_node *before;
	int err = 0;
	if (a->family == AF_INET)
		err = place4(a, &before);
	else
		place6(a, &before);
	if (err)
		return err;
	list_insert_before(before, &a->node);
	list_push_back(bucket(net->ip, &a->local), &a->hash);
	net->ip->naddrs++;
	if (a->family == AF_INET)
		ip_conf_decided4(a->il);
	routes(net, a, true, ev);
	tell(ev, NET_ADDR_NEW, a);
	return 0;
}

static void take_out(struct net_ns *net, struct ifaddr *a, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	list_del(&a->node);
	list_del(&a->hash);
	net->ip->naddrs--;
	tell(ev, NET_ADDR_DEL, a);
	routes(net, a, false, ev);
	slab_free(&ifaddr_slab, a);
}

/* Secondaries of the subnet of a. */
static bool is_secondary_of(const struct ifaddr *o, const struct ifaddr *a)
{
	return (o->flags & IFA_F_SECONDARY) && same_subnet4(o, a);
}

/* The secondaries of a primary that goes: they go first, or one takes its place, and the routes of
 * all of them, which went with its address (fib_flush), are made anew in the name of that one. */
static void take_out4(struct net_ns *net, struct ifaddr *a, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	struct ip_link *il = a->il;
	bool primary = !(a->flags & IFA_F_SECONDARY);
	bool promote = ip_conf_or(net, il->link, IP_CONF_4_promote_secondaries);
	struct ifaddr *o, *tmp, *first = NULL, was = *a;
	if (primary)
		list_for_each_safe(o, tmp, &il->addrs[0], node)
			if (is_secondary_of(o, a)) {
				if (!promote)
					take_out(net, o, ev);
				else if (!first)
					first = o;
			}
	take_out(net, a, ev);
	if (!first)
		return;
	first->flags &= ~(uint32_t)IFA_F_SECONDARY;
	tell(ev, NET_ADDR_NEW, first);
	routes(net, first, true, ev);
	list_for_each(o, &il->addrs[0], node)
		if (is_secondary_of(o, &was))
			routes(net, o, true, ev);
}

/* --- adding --- */

static int check4(const struct ip_ifaddr *i)
{
	return i->prefix_len > 32 || !ip_is_v4(&i->local) ? -EINVAL : 0;
}

static int check6(const struct ip_ifaddr *i, const struct ip_link *il)
{
	if (i->prefix_len > 128)
		return -EINVAL;
	if (!i->valid || i->preferred > i->valid)
		return -EINVAL;
	if (ip_is_any(&i->local) ||
		(ip_is_multicast(&i->local) && !(i->flags & IFA_F_MCAUTOJOIN)) ||
		(!il_loopback(il) && ip_is_loopback(&i->local)))
		return -EADDRNOTAVAIL;
	return ip_link_conf(il->link, IP_CONF_6_disable_ipv6) ? -EACCES : 0;
}

static int64_t until(uint32_t seconds)
{
	return seconds == IP_FOREVER ? INT64_MAX
				     : time_monotonic() + (int64_t)seconds * NSEC_PER_SEC;
}

static void set_lifetime(struct ifaddr *a, const struct ip_ifaddr *i)
{
	a->valid = until(i->valid);
	a->preferred = until(i->preferred);
	a->updated = time_monotonic();
	a->flags &= ~(uint32_t)(IFA_F_PERMANENT | IFA_F_DEPRECATED);
	if (i->valid == IP_FOREVER)
		a->flags |= IFA_F_PERMANENT;
	if (!i->preferred)
		a->flags |= IFA_F_DEPRECATED;
}

/* RFC 4862, 5.4: not where there is no neighbour to ask. */
static bool wants_dad(const struct net_ns *net, const struct ifaddr *a)
{
	uint32_t flags = READ_ONCE(a->il->link->flags);
	return a->family == AF_INET6 && !(flags & (IFF_LOOPBACK | IFF_NOARP)) &&
	       !(a->flags & IFA_F_NODAD) &&
	       ip_conf_max(net, a->il->link, IP_CONF_6_accept_dad) > 0 &&
	       ip_link_conf(a->il->link, IP_CONF_6_dad_transmits) > 0;
}

static struct ifaddr *new_ifaddr(struct net_ns *net, struct ip_link *il, const struct ip_ifaddr *i)
{
	struct ifaddr *a = slab_alloc(&ifaddr_slab);
	if (!a)
		return NULL;
	bool v4 = i->family == AF_INET;
	a->il = il;
	a->family = i->family;
	a->prefix_len = i->prefix_len;
	a->proto = i->proto;
	a->local = i->local;
	a->peer = ip_is_any(&i->peer) ? i->local : i->peer;
	a->broadcast = v4 && ip_is_v4(&i->broadcast) ? i->broadcast : IP_ANY4;
	a->flags = i->flags &
		   ~(uint32_t)(IFA_F_TENTATIVE | IFA_F_DADFAILED | (v4 ? IFA_F_SECONDARY : 0));
	a->metric = i->metric;
	a->scope = i->scope;
	if (!v4) {
		unsigned int s = ip6_scope(&a->local);
		a->scope = ip_is_loopback(&a->local) ? RT_SCOPE_HOST
			   : s == 2                  ? RT_SCOPE_LINK
			   : s == 5                  ? RT_SCOPE_SITE
						     : RT_SCOPE_UNIVERSE;
	}
	memcpy(a->label, i->label[0] ? i->label : il->link->name, LINK_NAME_MAX);
	a->created = time_monotonic();
	set_lifetime(a, i);
	if (wants_dad(net, a))
		a->flags |= IFA_F_TENTATIVE;
	return a;
}

static struct ifaddr *find_same(struct ip_link *il, const struct ip_ifaddr *i)
{
	struct ifaddr *a;
	struct ip_addr peer = ip_is_any(&i->peer) ? i->local : i->peer;
	list_for_each(a, &il->addrs[FAMILY_INDEX(i->family)], node)
		if (ip_eq(&a->local, &i->local) &&
			(i->family == AF_INET6 ||
				(a->prefix_len == i->prefix_len &&
					ip_prefix_eq(&a->peer, &peer, i->prefix_len + IP_V4_BITS))))
			return a;
	return NULL;
}

static int modify(struct net_ns *net, struct ifaddr *a, const struct ip_ifaddr *i, uint32_t nlflags,
	struct ip_events *ev) REQUIRES(net->ip->lock)
{
	const uint32_t user = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR |
			      IFA_F_NOPREFIXROUTE | IFA_F_OPTIMISTIC;
	if ((nlflags & NLM_F_EXCL) || !(nlflags & NLM_F_REPLACE))
		return -EEXIST;
	routes(net, a, false, ev);
	set_lifetime(a, i);
	a->flags = (a->flags & ~user) | (i->flags & user);
	a->metric = i->metric;
	a->proto = i->proto;
	routes(net, a, true, ev);
	tell(ev, NET_ADDR_NEW, a);
	return 0;
}

/* What is to be done about a new one when the lock is free. */
struct added {
	bool fresh;
	struct link *dad; /* owned; NULL: it need not be looked for */
};

static int add(struct net_ns *net, const struct ip_ifaddr *i, uint32_t nlflags,
	struct ip_events *ev, struct added *done) REQUIRES(net->ip->lock)
{
	struct ip_link *il = ip_link_find(net->ip, i->index);
	if (i->family != AF_INET && i->family != AF_INET6)
		return -EAFNOSUPPORT;
	int err = i->family == AF_INET ? check4(i) : 0;
	if (!err)
		err = !il ? -ENODEV : i->family == AF_INET6 ? check6(i, il) : 0;
	if (err)
		return err;
	struct ifaddr *a = find_same(il, i);
	if (a)
		return modify(net, a, i, nlflags, ev);
	if (net->ip->naddrs >= IP_ADDRS_MAX || !(a = new_ifaddr(net, il, i)))
		return -ENOBUFS;
	err = put_in(net, a, ev);
	if (err)
		slab_free(&ifaddr_slab, a);
	else if ((a->flags & IFA_F_TENTATIVE) && il_up(il))
		done->dad = link_get(il->link);
	done->fresh = !err;
	return err;
}

int ip_addr_add(struct net_ns *net, const struct ip_ifaddr *i, uint32_t nlflags)
{
	struct ip_events ev;
	struct added done = {0};
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	int err = add(net, i, nlflags, &ev, &done);
	mutex_unlock(&net->ip->lock);
	if (!err && i->valid != IP_FOREVER)
		ip_timer_want(net, until(MIN(i->valid, i->preferred ? i->preferred : i->valid)));
	if (done.fresh && i->family == AF_INET6)
		ip_mc_solicited(net, i->index, &i->local, true);
	if (done.dad)
		ndp_dad_start(net, done.dad, &i->local);
	link_put(done.dad);
	ip_events_send(net, &ev);
	return err;
}

static struct ifaddr *find_to_delete(struct ip_net *ipn, const struct ip_ifaddr *i)
{
	mutex_assert_held(&ipn->lock);
	struct ip_link *il = ip_link_find(ipn, i->index);
	struct ifaddr *a;
	if (!il)
		return NULL;
	list_for_each(a, &il->addrs[FAMILY_INDEX(i->family)], node) {
		if (!ip_eq(&a->local, &i->local))
			continue;
		if (i->family == AF_INET6
				? i->prefix_len && a->prefix_len != i->prefix_len
				: i->label[0] && strncmp(a->label, i->label, LINK_NAME_MAX))
			continue;
		if (i->family == AF_INET && !ip_is_any(&i->peer) &&
			(a->prefix_len != i->prefix_len ||
				!ip_prefix_eq(&a->peer, &i->peer, a->prefix_len + IP_V4_BITS)))
			continue;
		return a;
	}
	return NULL;
}

int ip_addr_del(struct net_ns *net, const struct ip_ifaddr *i)
{
	struct ip_events ev;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	struct ip_link *il = ip_link_find(net->ip, i->index);
	struct ifaddr *a = find_to_delete(net->ip, i);
	if (a && i->family == AF_INET)
		take_out4(net, a, &ev);
	else if (a)
		take_out(net, a, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	return a ? 0 : il ? -EADDRNOTAVAIL : -ENODEV;
}

int ip_addr_set_flags(struct net_ns *net, int32_t index, const struct ip_addr *addr, uint32_t set,
	uint32_t clear)
{
	struct ip_events ev;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	struct ifaddr *a = ifaddr_find(net->ip, addr, index);
	if (a) {
		a->flags = (a->flags & ~clear) | set;
		struct magic m = {net, a, &ev, true};
		if (a->family == AF_INET6)
			announce6(&m);
		tell(&ev, NET_ADDR_NEW, a);
		ip_gen_bump(net->ip);
	}
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	return a ? 0 : -EADDRNOTAVAIL;
}

/* --- links go up and down --- */

static const struct ip_ifaddr lo4 = {.index = 1,
	.family = AF_INET,
	.prefix_len = 8,
	.scope = RT_SCOPE_HOST,
	.local = {.w = {0, 0, IP_MAPPED_W2, __builtin_bswap32(INADDR_LOOPBACK)}},
	.preferred = IP_FOREVER,
	.valid = IP_FOREVER};
static const struct ip_ifaddr lo6 = {.index = 1,
	.family = AF_INET6,
	.prefix_len = 128,
	.scope = RT_SCOPE_HOST,
	.proto = 1, /* IFAPROT_KERNEL_LO */
	.local = {.b = {[15] = 1}},
	.preferred = IP_FOREVER,
	.valid = IP_FOREVER};

/* Multicasts leave by every link that is no loopback (addrconf_add_mroute). */
static void mroute6(struct net_ns *net, struct ip_link *il, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	struct ip_route_info r = {.family = AF_INET6,
		.dst_len = 8,
		.type = RTN_MULTICAST,
		.protocol = RTPROT_KERNEL,
		.table = RT_TABLE_LOCAL,
		.priority = METRIC6,
		.nhops = 1};
	r.dst.b[0] = 0xff;
	r.hop[0].oif = il->link->index;
	if (!il_loopback(il))
		fib_add(net, &r, NLM_F_CREATE, ev);
}

void ip_addr_link_up6(struct net_ns *net, struct link *l)
{
	struct ip_events ev;
	struct ifaddr *a;
	if (ip_link_conf(l, IP_CONF_6_disable_ipv6))
		return;
	if (l->kind == LINK_LOOPBACK)
		ip_addr_add(net, &lo6, NLM_F_CREATE | NLM_F_EXCL);
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	mroute6(net, l->ip, &ev);
	list_for_each(a, &l->ip->addrs[1], node)
		routes(net, a, true, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	ndp_link_up(net, l);
	/* What was added while it was down is looked at now. */
	struct ip_addr_walk w = {.family = AF_INET6};
	struct ip_ifaddr i;
	while (ip_addr_walk_next(net, &w, &i))
		if (i.index == l->index && (i.flags & IFA_F_TENTATIVE))
			ndp_dad_start(net, l, &i.local);
}

void ip_addr_link_up(struct net_ns *net, struct link *l)
{
	struct ip_events ev;
	struct ifaddr *a;
	if (l->kind == LINK_LOOPBACK)
		ip_addr_add(net, &lo4, NLM_F_CREATE | NLM_F_EXCL);
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	fib_link_up(net->ip, l);
	list_for_each(a, &l->ip->addrs[0], node)
		routes(net, a, true, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	ip_addr_link_up6(net, l);
}

static void flush6(struct net_ns *net, struct ip_link *il, bool keep, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	struct ifaddr *a, *tmp;
	list_for_each_safe(a, tmp, &il->addrs[1], node) {
		if (keep && (a->flags & IFA_F_PERMANENT) && !ip_is_linklocal(&a->local)) {
			a->announced = false;
			continue;
		}
		take_out(net, a, ev);
	}
}

static bool is6_of(const struct fib_route *r, const void *l)
{
	return r->family == AF_INET6 && r->nhops == 1 && r->hops[0].link == l;
}

void ip_addr_flush6(struct net_ns *net, struct link *l)
{
	struct ip_events ev;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	flush6(net, l->ip, false, &ev);
	fib_flush(net->ip, is6_of, l, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
}

void ip_addr_link_down(struct net_ns *net, struct link *l, bool gone)
{
	struct ip_events ev;
	struct ifaddr *a;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	if (gone)
		while ((a = list_first(&l->ip->addrs[0], struct ifaddr, node)))
			take_out4(net, a, &ev);
	int32_t keep = ip_all_conf(net, IP_CONF_6_keep_addr_on_down);
	if (!keep)
		keep = ip_link_conf(l, IP_CONF_6_keep_addr_on_down);
	flush6(net, l->ip, !gone && keep > 0, &ev);
	fib_link_down(net->ip, l, gone, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
}

/* --- lifetimes --- */

static int64_t age(struct net_ns *net, struct ifaddr *a, int64_t now, struct ip_events *ev)
	REQUIRES(net->ip->lock)
{
	if (a->valid <= now) {
		if (a->family == AF_INET)
			take_out4(net, a, ev);
		else
			take_out(net, a, ev);
		return now; /* the list has changed: again */
	}
	if (a->preferred <= now && !(a->flags & IFA_F_DEPRECATED)) {
		a->flags |= IFA_F_DEPRECATED;
		ip_gen_bump(net->ip);
		tell(ev, NET_ADDR_NEW, a);
	}
	return a->preferred > now ? MIN(a->preferred, a->valid) : a->valid;
}

int64_t ip_addr_expire(struct net_ns *net, int64_t now, struct ip_events *ev)
{
	mutex_assert_held(&net->ip->lock);
	struct ip_link *il;
	struct ifaddr *a;
	int64_t next = INT64_MAX;
	list_for_each(il, &net->ip->links, node)
		for (int i = 0; i < 2; i++) {
		again:
			list_for_each(a, &il->addrs[i], node) {
				int64_t at = age(net, a, now, ev);
				if (at == now)
					goto again;
				next = MIN(next, at);
			}
		}
	return next;
}

/* --- looking --- */

bool ip_addr_walk_next(struct net_ns *net, struct ip_addr_walk *w, struct ip_ifaddr *out)
{
	struct ip_link *il;
	struct ifaddr *a;
	MUTEX_GUARD(&net->ip->lock);
	list_for_each(il, &net->ip->links, node) {
		if (il->link->index < w->index)
			continue;
		uint32_t n = 0, skip = il->link->index == w->index ? w->n : 0;
		for (int i = 0; i < 2; i++)
			list_for_each(a, &il->addrs[i], node) {
				if (w->family && a->family != w->family)
					continue;
				if (n++ < skip)
					continue;
				w->index = il->link->index;
				w->n = n;
				ifaddr_fill(a, out);
				return true;
			}
	}
	return false;
}

bool ip_addr_get(struct net_ns *net, const struct ip_addr *addr, int32_t index,
	struct ip_ifaddr *out)
{
	MUTEX_GUARD(&net->ip->lock);
	struct ifaddr *a = ifaddr_find(net->ip, addr, index);
	if (a)
		ifaddr_fill(a, out);
	return a != NULL;
}

bool ip_addr_is_local(struct net_ns *net, const struct ip_addr *a, int32_t oif)
{
	MUTEX_GUARD(&net->ip->lock);
	return ifaddr_is_local(net->ip, a, oif);
}

uint8_t ip_addr_type(struct net_ns *net, const struct ip_addr *a, int32_t oif)
{
	if (ip_is_multicast(a))
		return RTN_MULTICAST;
	MUTEX_GUARD(&net->ip->lock);
	if (!ip_is_v4(a))
		return ifaddr_is_local(net->ip, a, oif) ? RTN_LOCAL : RTN_UNICAST;
	if (ip_is_limited_broadcast(a) || ip_to_v4(a) == 0)
		return RTN_BROADCAST;
	struct fib_query q = {.dst = *a, .family = AF_INET, .oif = oif};
	struct fib_result res;
	struct fib_table *t = fib_table_find(net->ip, RT_TABLE_LOCAL);
	return t && !fib_table_lookup(t, &q, &res) ? res.route->type : RTN_UNICAST;
}
