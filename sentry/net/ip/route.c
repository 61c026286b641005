/*
 * Which way a packet goes: Linux' ip_route_output_key_hash_rcu and ip_route_input_slow (IPv4),
 * ip6_route_output, ip6_dst_lookup_tail and ip6_route_input (IPv6), with their order of checks.
 */
#include <errno.h>
#include <linux/if_arp.h>

#include "lib/siphash.h"
#include "sentry/core/arena.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/ip_priv.h"

#define IP4_MTU_MAX 65535u
#define IP6_MTU_MAX (65535u + 40)
#define IP_MIN_LOCKED 576u

/* One look-up: what is found so far.  Links are borrowed: under ip_net.lock. */
struct lookup {
	struct net_ns *net;
	struct fib_query q;
	struct fib_route *r; /* NULL: none, as for a broadcast */
	struct fib_hop *h;
	struct link *link;
	uint8_t type;
	struct ip_addr src;
};

static void to_query(struct lookup *lk, const struct flow *f)
{
	struct fib_query *q = &lk->q;
	q->dst = f->dst;
	q->src = f->src;
	q->oif = f->oif;
	q->iif = f->iif;
	q->family = ip_family(&f->dst);
	q->tos = f->tos;
	q->proto = f->proto;
	q->sport = f->sport;
	q->dport = f->dport;
	q->mark = f->mark;
	q->uid = f->uid;
	q->flowlabel = f->flowlabel;
	q->scope = f->onlink ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	lk->src = f->src;
	lk->type = RTN_UNICAST;
}

static struct link *loopback(struct ip_net *ipn)
{
	mutex_assert_held(&ipn->lock);
	struct ip_link *il = ip_link_find(ipn, 1);
	return il ? il->link : NULL;
}

/* --- several next hops --- */

static uint32_t path_hash(struct net_ns *net, const struct fib_query *q)
{
	struct {
		struct ip_addr src, dst;
		uint64_t more;
	} in = {q->src, q->dst, 0};
	if (READ_ONCE(net->ctl.fib_multipath_hash_policy) == 1)
		in.more = (uint64_t)q->proto << 32 | (uint64_t)q->sport << 16 | q->dport;
	else if (q->family == AF_INET6)
		in.more = q->flowlabel;
	return (uint32_t)siphash(net->secret, &in, sizeof(in));
}

/* By weight, among those that live. */
static void choose_hop(struct lookup *lk)
{
	struct fib_route *r = lk->r;
	uint64_t sum = 0;
	if (r->nhops < 2 || lk->q.oif)
		return;
	for (uint32_t i = 0; i < r->nhops; i++)
		if (!(READ_ONCE(r->hops[i].flags) & RTNH_F_DEAD))
			sum += r->hops[i].weight + 1u;
	uint64_t at = (uint64_t)path_hash(lk->net, &lk->q) * sum >> 32;
	for (uint32_t i = 0; i < r->nhops; i++) {
		struct fib_hop *h = &r->hops[i];
		if (READ_ONCE(h->flags) & RTNH_F_DEAD)
			continue;
		if (at <= h->weight) {
			lk->h = h;
			return;
		}
		at -= h->weight + 1u;
	}
}

static int find(struct lookup *lk) REQUIRES(lk->net->ip->lock)
{
	struct fib_result res;
	int err = fib_lookup(lk->net, &lk->q, &res);
	if (err)
		return err;
	lk->r = res.route;
	lk->h = res.hop;
	lk->type = res.route->type;
	return 0;
}

/* --- the answer --- */

static uint32_t mtu_of(const struct lookup *lk, const struct ip_exception *e)
{
	bool v4 = lk->q.family == AF_INET;
	uint32_t mtu = lk->r ? lk->r->mtu : 0, dev = READ_ONCE(lk->link->mtu);
	if (e && e->mtu && !(lk->r && lk->r->mtu_lock))
		mtu = MIN(e->mtu, mtu ? mtu : dev);
	if (!mtu) {
		mtu = dev;
		if (v4 && lk->r && lk->r->mtu_lock && lk->h && !ip_is_any(&lk->h->gw))
			mtu = MIN(mtu, IP_MIN_LOCKED);
		if (!v4)
			mtu = MIN(mtu, MAX((uint32_t)ip_link_conf(lk->link, IP_CONF_6_mtu), 1280u));
	}
	return MIN(mtu, v4 ? IP4_MTU_MAX : IP6_MTU_MAX);
}

static void apply_exception(struct lookup *lk, struct route *rt) REQUIRES(lk->net->ip->lock)
{
	struct ip_exception e;
	bool have = lk->type == RTN_UNICAST &&
		    ip_exception_find(lk->net->ip, &lk->q.dst, lk->link->index, &e);
	rt->mtu = mtu_of(lk, have ? &e : NULL);
	rt->pmtu = have && e.mtu;
	if (have && !ip_is_any(&e.gw)) {
		rt->gw = e.gw;
		rt->gateway = !ip_eq(&e.gw, &lk->q.dst);
	}
}

static void fill(struct lookup *lk, struct route *rt) REQUIRES(lk->net->ip->lock)
{
	const struct fib_route *r = lk->r;
	rt->link = link_get(lk->link);
	rt->src = lk->src;
	rt->type = lk->type;
	rt->gen = READ_ONCE(lk->net->ip->gen);
	rt->gw = lk->q.dst;
	rt->scope = lk->type == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_LINK;
	if (r) {
		rt->gateway = lk->h && !ip_is_any(&lk->h->gw) && lk->type == RTN_UNICAST;
		if (rt->gateway)
			rt->gw = lk->h->gw;
		rt->table = r->table->id;
		rt->prio = r->priority;
		rt->prefix_len = (uint8_t)(r->at->bits - (r->family == AF_INET ? IP_V4_BITS : 0));
		rt->advmss = (uint16_t)r->advmss;
		rt->hoplimit = (uint16_t)r->hoplimit;
		rt->initcwnd = (uint16_t)MIN(r->initcwnd, 65535u);
		rt->initrwnd = (uint16_t)MIN(r->initrwnd, 65535u);
		rt->rto_min = (uint16_t)MIN(r->rto_min, 65535u);
		rt->mtu_locked = r->mtu_lock;
		if (lk->type == RTN_UNICAST)
			rt->scope = r->scope;
	}
	apply_exception(lk, rt);
}

/* Without ip_net.lock. */
static int add_neighbour(struct net_ns *net, struct route *rt)
{
	if (rt->type != RTN_UNICAST || rt->link->hatype != ARPHRD_ETHER ||
		(READ_ONCE(rt->link->flags) & (IFF_LOOPBACK | IFF_NOARP)))
		return 0;
	rt->neigh = neigh_get_or_new(net, rt->link, &rt->gw);
	if (rt->neigh)
		return 0;
	route_put(rt);
	return -ENOBUFS;
}

/* --- out, IPv4 --- */

static struct ip_addr select4(struct lookup *lk, uint32_t dst, uint8_t scope)
	REQUIRES(lk->net->ip->lock)
{
	return ip_v4(ip4_select(lk->net, lk->link, dst, scope));
}

/* Linux' __mkroute_output: the last checks. */
static int finish4(struct lookup *lk) REQUIRES(lk->net->ip->lock)
{
	const struct ip_addr *dst = &lk->q.dst;
	if (!lk->link)
		return -ENETUNREACH;
	if (ip_is_loopback(&lk->src) && !(READ_ONCE(lk->link->flags) & IFF_LOOPBACK) &&
		!ip_conf_or(lk->net, lk->link, IP_CONF_4_route_localnet))
		return -EINVAL;
	if (ip_is_limited_broadcast(dst))
		lk->type = RTN_BROADCAST;
	else if (ip_is_multicast(dst))
		lk->type = RTN_MULTICAST;
	else if ((ntohl(ip_to_v4(dst)) >> 24) == 0)
		return -EINVAL;
	if (lk->type == RTN_BROADCAST)
		lk->r = NULL;
	/* A default route is none for multicasts: they go to the link itself. */
	if (lk->type == RTN_MULTICAST && lk->r && lk->r->at->bits < IP_V4_BITS + 4)
		lk->r = NULL;
	return 0;
}

/* A source that was given: is it fine?  1: the link is found by it (multicasts). */
static int check_source4(struct lookup *lk, const struct flow *f) REQUIRES(lk->net->ip->lock)
{
	struct ifaddr *a = ifaddr_find(lk->net->ip, &f->src, 0);
	if (ip_is_multicast(&f->src) || ip_is_limited_broadcast(&f->src) ||
		(ntohl(ip_to_v4(&f->src)) >> 24) == 0)
		return -EINVAL;
	if (!f->oif && (ip_is_multicast(&f->dst) || ip_is_limited_broadcast(&f->dst))) {
		if (!a)
			return ifaddr_is_local(lk->net->ip, &f->src, 0) ? 0 : -ENETUNREACH;
		lk->link = a->il->link;
		return 1;
	}
	return f->anysrc || ifaddr_is_local(lk->net->ip, &f->src, 0) ? 0 : -ENETUNREACH;
}

/* What a link that was asked for decides.  1: everything. */
static int by_oif4(struct lookup *lk, const struct flow *f) REQUIRES(lk->net->ip->lock)
{
	struct ip_link *il = ip_link_find(lk->net->ip, f->oif);
	bool any = ip_is_any(&f->src);
	if (!il)
		return -ENODEV;
	lk->link = il->link;
	if (!il_up(il))
		return -ENETUNREACH;
	if ((ntohl(ip_to_v4(&f->dst)) & 0xffffff00) == 0xe0000000 ||
		ip_is_limited_broadcast(&f->dst) || f->proto == IPPROTO_IGMP) {
		if (any)
			lk->src = select4(lk, 0, RT_SCOPE_LINK);
		return 1;
	}
	if (any && ip_is_multicast(&f->dst))
		lk->src = select4(lk, 0, lk->q.scope);
	else if (any && ip_is_any(&f->dst))
		lk->src = select4(lk, 0, RT_SCOPE_HOST);
	return 0;
}

/* A route was found: link and source by it. */
static void by_route4(struct lookup *lk) REQUIRES(lk->net->ip->lock)
{
	bool any = ip_is_any(&lk->src);
	if (lk->type == RTN_LOCAL) {
		if (any)
			lk->src = ip_is_any(&lk->r->prefsrc) ? lk->q.dst : lk->r->prefsrc;
		lk->link = loopback(lk->net->ip);
		return;
	}
	choose_hop(lk);
	lk->link = lk->h->link;
	if (any && !ip_is_any(&lk->r->prefsrc))
		lk->src = lk->r->prefsrc;
	else if (any)
		lk->src =
			select4(lk, ip_is_any(&lk->h->gw) ? 0 : ip_to_v4(&lk->h->gw), lk->r->scope);
}

static int lookup4(struct lookup *lk, const struct flow *f) REQUIRES(lk->net->ip->lock)
{
	int done = ip_is_any(&f->src) ? 0 : check_source4(lk, f);
	if (done == 0 && f->oif)
		done = by_oif4(lk, f);
	if (done)
		return done < 0 ? done : finish4(lk);
	if (ip_is_any(&f->dst)) {
		if (ip_is_any(&lk->src))
			lk->src = ip_v4(htonl(INADDR_LOOPBACK));
		lk->q.dst = lk->src;
		lk->link = loopback(lk->net->ip);
		lk->type = RTN_LOCAL;
		return finish4(lk);
	}
	lk->q.src = lk->src;
	if (!lk->q.iif)
		lk->q.iif = 1; /* what is sent here comes "from lo" for rules */
	int err = find(lk);
	if (!err) {
		by_route4(lk);
		return finish4(lk);
	}
	if (!f->oif)
		return err;
	/* Linux: tables are wrong then, and the destination is assumed to be on the link. */
	if (ip_is_any(&lk->src))
		lk->src = select4(lk, 0, RT_SCOPE_LINK);
	return finish4(lk);
}

/* --- out, IPv6 --- */

/* Which scope and link go together is a must for these (rt6_need_strict). */
static bool needs_link(const struct ip_addr *a)
{
	return ip_is_multicast(a) || ip_is_linklocal(a) || ip_is_loopback(a);
}

static struct link *hop_link6(struct lookup *lk) REQUIRES(lk->net->ip->lock)
{
	return lk->type == RTN_LOCAL || lk->type == RTN_ANYCAST ? loopback(lk->net->ip)
								: lk->h->link;
}

static int source6(struct lookup *lk, int err) REQUIRES(lk->net->ip->lock)
{
	if (!err && !ip_is_any(&lk->r->prefsrc)) {
		lk->src = lk->r->prefsrc;
		return 0;
	}
	/* Without a route Linux looks for one all the same, and only then says so. */
	if (!ip6_select(lk->net, err ? NULL : lk->h->link, &lk->q.dst, &lk->src))
		return -EADDRNOTAVAIL;
	return err;
}

static int lookup6(struct lookup *lk, const struct flow *f) REQUIRES(lk->net->ip->lock)
{
	bool any = ip_is_any(&f->src);
	if (ip_is_any(&f->dst))
		lk->q.dst.b[15] = 1; /* to ourselves */
	if (!any && ip_is_v4(&f->src))
		return -EAFNOSUPPORT;
	lk->q.has_src = !any;
	lk->q.strict = needs_link(&lk->q.dst) || (f->oif && any);
	if (!lk->q.iif)
		lk->q.iif = 1;
	int err = find(lk);
	if (any)
		err = source6(lk, err);
	if (err)
		return err;
	choose_hop(lk);
	lk->link = hop_link6(lk);
	if (!lk->link || !link_is_up(lk->link))
		return -ENETUNREACH;
	if (ip_is_multicast(&lk->q.dst))
		lk->type = RTN_MULTICAST;
	return 0;
}

int route_lookup(struct net_ns *net, const struct flow *f, struct route *rt)
{
	struct lookup lk = {.net = net};
	*rt = (struct route){0};
	to_query(&lk, f);
	mutex_lock(&net->ip->lock);
	mutex_assert_held(&lk.net->ip->lock);
	int err = ip_is_v4(&f->dst) ? lookup4(&lk, f) : lookup6(&lk, f);
	if (!err)
		fill(&lk, rt);
	mutex_unlock(&net->ip->lock);
	return err ? err : add_neighbour(net, rt);
}

/* --- in, IPv4 --- */

static bool is_zeronet(const struct ip_addr *a)
{
	return (ntohl(ip_to_v4(a)) >> 24) == 0;
}

static bool uses_link(const struct fib_route *r, const struct link *l)
{
	for (uint32_t i = 0; i < r->nhops; i++)
		if (r->hops[i].link == l)
			return true;
	return false;
}

/* Linux' __fib_validate_source: would an answer leave by the link that it came by?  rpf: 1 strict,
 * 2 loose (RFC 3704). */
static int reverse_path(struct lookup *lk, const struct flow *f, struct link *in, int rpf)
	REQUIRES(lk->net->ip->lock)
{
	struct fib_query q = {.dst = f->src,
		.src = f->dst,
		.family = AF_INET,
		.iif = 1,
		.tos = f->tos,
		.mark = ip_conf_or(lk->net, in, IP_CONF_4_src_valid_mark) ? f->mark : 0};
	struct fib_result res;
	if (fib_lookup(lk->net, &q, &res))
		return rpf ? -EXDEV : 0;
	bool local = res.route->type == RTN_LOCAL;
	if (res.route->type != RTN_UNICAST && !(local && ip_link_conf(in, IP_CONF_4_accept_local)))
		return -EINVAL;
	if (uses_link(res.route, in))
		return 0;
	return rpf == 1 ? -EXDEV : 0;
}

static int validate_source4(struct lookup *lk, const struct flow *f, struct link *in)
	REQUIRES(lk->net->ip->lock)
{
	struct ip_net *ipn = lk->net->ip;
	int rpf = ip_conf_max(lk->net, in, IP_CONF_4_rp_filter);
	if (READ_ONCE(in->flags) & IFF_LOOPBACK)
		return 0;
	if (!rpf) {
		if (ip_conf_or(lk->net, in, IP_CONF_4_accept_local))
			return 0;
		if (!READ_ONCE(ipn->custom_local) && !READ_ONCE(ipn->custom_rules[0]))
			return ifaddr_find(lk->net->ip, &f->src, 0) ? -EINVAL : 0;
	}
	return reverse_path(lk, f, in, rpf);
}

static int input_multicast4(struct lookup *lk, const struct flow *f, struct link *in)
	REQUIRES(lk->net->ip->lock)
{
	bool local = (ntohl(ip_to_v4(&f->dst)) & 0xffffff00) == 0xe0000000;
	lk->type = RTN_MULTICAST;
	lk->link = in;
	if (ip_is_multicast(&f->src) || ip_is_limited_broadcast(&f->src))
		return -EINVAL;
	if (ip_is_loopback(&f->src) && !(READ_ONCE(in->flags) & IFF_LOOPBACK) &&
		!ip_conf_or(lk->net, in, IP_CONF_4_route_localnet))
		return -EINVAL;
	if (is_zeronet(&f->src))
		return local || f->proto == IPPROTO_IGMP ? 0 : -EINVAL;
	return validate_source4(lk, f, in);
}

static int input_broadcast4(struct lookup *lk, const struct flow *f, struct link *in)
	REQUIRES(lk->net->ip->lock)
{
	lk->type = RTN_BROADCAST;
	lk->link = in;
	return is_zeronet(&f->src) ? 0 : validate_source4(lk, f, in);
}

/* The weirdest ones, which no table says anything about. */
static int martian4(struct lookup *lk, const struct flow *f, struct link *in)
{
	bool lo = (READ_ONCE(in->flags) & IFF_LOOPBACK) ||
		  ip_conf_or(lk->net, in, IP_CONF_4_route_localnet);
	if (ip_is_multicast(&f->src) || ip_is_limited_broadcast(&f->src) || is_zeronet(&f->src) ||
		is_zeronet(&f->dst))
		return -EINVAL;
	return !lo && (ip_is_loopback(&f->dst) || ip_is_loopback(&f->src)) ? -EINVAL : 0;
}

static int input4(struct lookup *lk, const struct flow *f, struct link *in)
	REQUIRES(lk->net->ip->lock)
{
	if (ip_is_multicast(&f->dst))
		return input_multicast4(lk, f, in);
	bool all_zero = ip_to_v4(&f->src) == 0 && ip_to_v4(&f->dst) == 0;
	if ((ip_is_limited_broadcast(&f->dst) && !ip_is_multicast(&f->src) &&
		    !ip_is_limited_broadcast(&f->src)) ||
		all_zero)
		return input_broadcast4(lk, f, in);
	int err = martian4(lk, f, in);
	if (err)
		return err;
	bool forward = ip_link_conf(in, IP_CONF_4_forwarding);
	err = find(lk);
	if (err)
		return forward ? err : -EHOSTUNREACH;
	lk->link = lk->h->link;
	if (lk->type == RTN_BROADCAST) {
		if (!ip_conf_and(lk->net, in, IP_CONF_4_bc_forwarding) || lk->link == in)
			return input_broadcast4(lk, f, in);
		return validate_source4(lk, f, in);
	}
	if (lk->type == RTN_LOCAL)
		return validate_source4(lk, f, in);
	if (!forward)
		return -EHOSTUNREACH;
	if (lk->type != RTN_UNICAST)
		return -EINVAL;
	choose_hop(lk);
	lk->link = lk->h->link;
	return validate_source4(lk, f, in);
}

/* --- in, IPv6 --- */

static int input6(struct lookup *lk, const struct flow *f, struct link *in)
	REQUIRES(lk->net->ip->lock)
{
	bool lo = READ_ONCE(in->flags) & IFF_LOOPBACK;
	lk->q.has_src = true;
	/* What we send to ourselves comes in by lo, whatever link has the address. */
	lk->q.oif = lo ? 0 : in->index;
	lk->q.strict = !lo && needs_link(&f->dst);
	if (ip_is_multicast(&f->dst)) {
		lk->type = RTN_MULTICAST;
		lk->link = in;
		return 0;
	}
	int err = find(lk);
	if (err)
		return err;
	lk->q.oif = 0;
	if (lk->type == RTN_UNICAST)
		choose_hop(lk);
	lk->link = lk->h->link;
	return 0;
}

int route_input(struct net_ns *net, const struct flow *f, struct route *rt)
{
	struct lookup lk = {.net = net};
	*rt = (struct route){0};
	to_query(&lk, f);
	lk.q.oif = 0;
	mutex_lock(&net->ip->lock);
	mutex_assert_held(&lk.net->ip->lock);
	struct ip_link *il = ip_link_find(net->ip, f->iif);
	int err = -EINVAL;
	if (il)
		err = ip_is_v4(&f->dst) ? input4(&lk, f, il->link) : input6(&lk, f, il->link);
	if (!err)
		fill(&lk, rt);
	mutex_unlock(&net->ip->lock);
	return err ? err : add_neighbour(net, rt);
}

/* --- life of an answer --- */

bool route_valid(const struct net_ns *net, const struct route *rt)
{
	return rt->link && rt->gen == __atomic_load_n(&net->ip->gen, __ATOMIC_ACQUIRE);
}

void route_put(struct route *rt)
{
	neigh_put(rt->neigh);
	link_put(rt->link);
	*rt = (struct route){0};
}

void route_changed(struct net_ns *net)
{
	ip_gen_bump(net->ip);
}

uint32_t ip_mtu(const struct route *rt)
{
	return rt->mtu;
}

/* --- tables --- */

int route_add(struct net_ns *net, struct ip_route_info *r, uint32_t nlflags)
{
	struct ip_events ev;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	if (r->family == AF_INET6)
		r->dst = ip_mask(&r->dst, MIN(r->dst_len, 128));
	int err = fib_add(net, r, nlflags, &ev);
	mutex_unlock(&net->ip->lock);
	if (!err && r->expires)
		ip_timer_want(net, r->expires);
	ip_events_send(net, &ev);
	return err;
}

int route_del(struct net_ns *net, const struct ip_route_info *r)
{
	struct ip_events ev;
	ip_events_init(&ev);
	mutex_lock(&net->ip->lock);
	int err = fib_del(net, r, &ev);
	mutex_unlock(&net->ip->lock);
	ip_events_send(net, &ev);
	return err;
}

/* Has the walk been behind r already?  w: the last one it returned, at the same node. */
static bool walked(const struct route_walk *w, const struct fib_route *r)
{
	if (r->family == AF_INET && r->tos != w->tos)
		return r->tos > w->tos;
	if (r->priority != w->prio)
		return r->priority < w->prio;
	return r->ord <= w->ord;
}

static struct fib_route *next_at(const struct route_walk *w, struct fib_node *n, bool same)
{
	struct fib_route *r;
	list_for_each(r, &n->routes, node)
		if (!same || !walked(w, r))
			return r;
	return NULL;
}

static struct fib_route *next_in_table(const struct route_walk *w, struct fib_table *t, bool same)
{
	bool post = w->family == AF_INET6;
	struct fib_node *root = t->root[FAMILY_INDEX(w->family)];
	struct fib_node *n = same ? trie_find(root, &w->dst, w->bits) : NULL;
	struct fib_route *r = n ? next_at(w, n, true) : NULL;
	if (r)
		return r;
	n = same ? trie_after(root, &w->dst, w->bits, post) : trie_first(root, post);
	for (; n; n = trie_next(n, post))
		if ((r = next_at(w, n, false)))
			return r;
	return NULL;
}

bool route_walk_next(struct net_ns *net, struct route_walk *w, struct ip_route_info *out)
{
	struct fib_table *t;
	struct fib_route *r;
	bool reached = false;
	MUTEX_GUARD(&net->ip->lock);
	list_for_each(t, &net->ip->tables, node) {
		bool same = w->started && t->id == w->table;
		if (w->started && !same && !reached) /* tables stay: it comes */
			continue;
		reached = true;
		r = next_in_table(w, t, same);
		if (!r)
			continue;
		*w = (struct route_walk){.family = w->family,
			.started = true,
			.tos = r->tos,
			.bits = r->at->bits,
			.table = t->id,
			.prio = r->priority,
			.dst = r->at->key,
			.ord = r->ord};
		fib_to_info(r, out);
		return true;
	}
	return false;
}
