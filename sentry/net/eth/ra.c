/*
 * Routers (RFC 4861, 6.3): asking for them, what they advertise (default routes, prefixes,
 * parameters), addresses made of prefixes (RFC 4862, 5.5.3), and redirects (RFC 4861, 8).
 *
 * Anybody on the link can claim to be a router.  What it can make us keep is bounded
 * (ndp_priv.h; max_addresses a link), it can only change what advertisements made, and
 * parameters that would stop the link from working are refused as the RFCs say.
 *
 * Not here, as accept_ra_rt_info_max_plen is 0 by default: routes of RFC 4191; and DNS servers
 * (RFC 8106), which are a program's business.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/ipv6_route.h>
#include <netinet/in.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/eth/ndp_priv.h"
#include "sentry/net/ip/route.h"

#define MS 1000000LL
#define METRIC_RA 1024u          /* IP6_RT_PRIO_USER */
#define METRIC_PREFIX 256u       /* IP6_RT_PRIO_ADDRCONF */
#define MIN_VALID_LIFETIME 7200u /* RFC 4862, 5.5.3 e */
#define MTU_MIN 1280u
#define REDIRECT_LIFETIME (300 * NSEC_PER_SEC) /* Linux: rt6 garbage collection's timeout */
#define RS_INTERVAL_MAX (3600 * NSEC_PER_SEC)

enum ra_kind { RA_ROUTER, RA_PREFIX, RA_REDIRECT };
/* A route that a message of somebody on the link made. */
struct ra_route {
	struct list_node node; /* in eth_net.ra_routes */
	uint8_t kind, len;
	int32_t index;
	struct ip_addr dst, gw;
	int64_t expires; /* CLOCK_MONOTONIC, ns; INT64_MAX: never */
};
static SLAB_SHARE(ra_slab, struct ra_route, 256);

static const uint32_t bounds[] = {
	[RA_ROUTER] = NDP_ROUTERS_MAX,
	[RA_PREFIX] = NDP_PREFIXES_MAX,
	[RA_REDIRECT] = NDP_REDIRECTS_MAX,
};

static uint16_t get16(const uint8_t *b)
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static uint32_t get32(const uint8_t *b)
{
	return (uint32_t)get16(b) << 16 | get16(b + 2);
}

/* --- routes --- */

static void route_of(const struct ra_route *r, struct ip_route_info *out)
{
	*out = (struct ip_route_info){.family = AF_INET6,
		.dst = r->dst,
		.src = IP_ANY6,
		.prefsrc = IP_ANY6,
		.dst_len = r->len,
		.scope = RT_SCOPE_UNIVERSE,
		.protocol = r->kind == RA_ROUTER   ? RTPROT_RA
			    : r->kind == RA_PREFIX ? RTPROT_KERNEL
						   : RTPROT_REDIRECT,
		.type = RTN_UNICAST,
		.table = RT_TABLE_MAIN,
		.priority = r->kind == RA_PREFIX ? METRIC_PREFIX : METRIC_RA,
		.flags = r->kind == RA_ROUTER   ? RTF_ADDRCONF | RTF_DEFAULT
			 : r->kind == RA_PREFIX ? RTF_ADDRCONF
						: 0x0010u, /* RTF_DYNAMIC */
		.expires = r->expires == INT64_MAX ? 0 : r->expires,
		.nhops = 1};
	out->hop[0] = (struct route_hop){.oif = r->index, .gw = r->gw};
}

static struct ra_route *find(struct eth_net *e, const struct ra_route *k) REQUIRES(e->lock)
{
	struct ra_route *r;
	list_for_each(r, &e->ra_routes, node)
		if (r->kind == k->kind && r->index == k->index && r->len == k->len &&
			ip_eq(&r->dst, &k->dst) &&
			(k->kind == RA_REDIRECT || ip_eq(&r->gw, &k->gw)))
			return r;
	return NULL;
}

static uint32_t count_of(struct eth_net *e, uint8_t kind) REQUIRES(e->lock)
{
	struct ra_route *r;
	uint32_t n = 0;
	list_for_each(r, &e->ra_routes, node)
		n += r->kind == kind;
	return n;
}

/* Notes k: 0; -EEXIST: it was there, *old is what it was; -ENOBUFS: too many. */
static int note(struct eth_net *e, const struct ra_route *k, struct ra_route *old)
{
	MUTEX_GUARD(&e->lock);
	struct ra_route *r = find(e, k);
	if (r) {
		*old = *r;
		r->expires = k->expires;
		r->gw = k->gw;
		return -EEXIST;
	}
	r = count_of(e, k->kind) < bounds[k->kind] ? slab_alloc(&ra_slab) : NULL;
	if (!r)
		return -ENOBUFS;
	*r = *k;
	list_push_back(&e->ra_routes, &r->node);
	eth_arm(e, k->expires);
	return 0;
}

static bool forget(struct eth_net *e, const struct ra_route *k, struct ra_route *old)
{
	MUTEX_GUARD(&e->lock);
	struct ra_route *r = find(e, k);
	if (!r)
		return false;
	*old = *r;
	list_del(&r->node);
	slab_free(&ra_slab, r);
	return true;
}

/* k is to be there (until k->expires). */
static void keep(struct net_ns *net, const struct ra_route *k, uint8_t pref)
{
	struct ip_route_info i;
	struct ra_route old;
	int err = note(net->eth, k, &old);
	if (err == -EEXIST) {
		route_of(&old, &i);
		route_del(net, &i);
	} else if (err) {
		return;
	}
	route_of(k, &i);
	i.pref = pref;
	if (route_add(net, &i, NLM_F_CREATE | NLM_F_APPEND) && forget(net->eth, k, &old))
		log_debug("a route of a router advertisement was refused");
}

static void drop(struct net_ns *net, const struct ra_route *k)
{
	struct ip_route_info i;
	struct ra_route old;
	if (!forget(net->eth, k, &old))
		return;
	route_of(&old, &i);
	route_del(net, &i);
}

/* One that is over, or of l (NULL: any) if not by time; false: there is none. */
static bool take_any(struct eth_net *e, const struct link *l, int64_t now, struct ra_route *out)
{
	struct ra_route *r;
	MUTEX_GUARD(&e->lock);
	list_for_each(r, &e->ra_routes, node) {
		if (now ? r->expires > now : l && r->index != l->index)
			continue;
		*out = *r;
		list_del(&r->node);
		slab_free(&ra_slab, r);
		return true;
	}
	return false;
}

static void drop_all(struct net_ns *net, const struct link *l, int64_t now)
{
	struct ip_route_info i;
	struct ra_route r;
	while (take_any(net->eth, l, now, &r)) {
		route_of(&r, &i);
		route_del(net, &i);
	}
}

static int64_t next_expiry(struct eth_net *e)
{
	struct ra_route *r;
	int64_t next = INT64_MAX;
	MUTEX_GUARD(&e->lock);
	list_for_each(r, &e->ra_routes, node)
		next = MIN(next, r->expires);
	return next;
}

void ndp_router_gone(struct net_ns *net, struct link *l, const struct ip_addr *a)
{
	struct ra_route k = {.kind = RA_ROUTER, .index = l->index, .dst = IP_ANY6, .gw = *a};
	drop(net, &k);
}

/* --- asking --- */

static bool accepts_ra(struct net_ns *net, struct link *l)
{
	int32_t accept = ndp_conf(net, l, IP_CONF_6_accept_ra);
	return ndp_conf(net, l, IP_CONF_6_forwarding) ? accept == 2 : accept > 0;
}

static void send_rs(struct net_ns *net, struct link *l)
{
	struct ndp_out o = {.dst = {.b = {0xff, 2, [15] = 2}}, .type = NDP_RS};
	o.src = ip_addr_select(net, l, &o.dst, RT_SCOPE_LINK);
	if (ip_is_any(&o.src))
		o.src = IP_ANY6;
	else
		o.lla = NDP_OPT_SLLA;
	ndp_send(net, l, &o);
}

void ndp_rs_start(struct net_ns *net, struct link *l)
{
	struct eth_net *e = net->eth;
	if (READ_ONCE(l->flags) & IFF_LOOPBACK || !accepts_ra(net, l) ||
		ndp_conf(net, l, IP_CONF_6_router_solicitations) == 0)
		return;
	int64_t interval = ndp_conf(net, l, IP_CONF_6_router_solicitation_interval) * MS;
	mutex_lock(&e->lock);
	l->eth.rs.on = true;
	l->eth.rs.sent = 1;
	/* RFC 7559, 2: the first wait is the interval, give or take a tenth. */
	l->eth.rs.interval = eth_random_between(e, interval * 9 / 10, interval * 11 / 10);
	l->eth.rs.next = time_monotonic() + l->eth.rs.interval;
	eth_arm(e, l->eth.rs.next);
	mutex_unlock(&e->lock);
	send_rs(net, l);
}

/* Whether l asks once more now; *next: when it does. */
static bool rs_due(struct net_ns *net, struct link *l, int64_t now, int64_t *next)
{
	struct eth_net *e = net->eth;
	struct ndp_rs *rs = &l->eth.rs;
	int32_t max = ndp_conf(net, l, IP_CONF_6_router_solicitations);
	MUTEX_GUARD(&e->lock);
	if (!rs->on)
		return false;
	if (rs->next > now) {
		*next = MIN(*next, rs->next);
		return false;
	}
	if (max >= 0 && rs->sent >= (uint32_t)max) {
		rs->on = false;
		return false;
	}
	rs->sent++;
	rs->interval = MIN(eth_random_between(e, rs->interval * 19 / 10, rs->interval * 21 / 10),
		RS_INTERVAL_MAX);
	rs->next = now + MAX(rs->interval, 10 * MS);
	*next = MIN(*next, rs->next);
	return true;
}

int64_t ndp_ra_expire(struct eth_net *e, int64_t now)
{
	int64_t next = INT64_MAX;
	struct link *l;
	drop_all(e->net, NULL, now);
	for (int32_t at = 0; (l = link_next(e->net, at)); link_put(l)) {
		at = l->index;
		if (rs_due(e->net, l, now, &next))
			send_rs(e->net, l);
	}
	return MIN(next, next_expiry(e));
}

void ndp_ra_flush(struct net_ns *net, struct link *l)
{
	struct eth_net *e = net->eth;
	if (l) {
		MUTEX_GUARD(&e->lock);
		l->eth.rs.on = false;
	}
	drop_all(net, l, 0);
}

void ndp_ra_drop(struct eth_net *e)
{
	struct ra_route r;
	while (take_any(e, NULL, 0, &r))
		;
}

/* --- addresses --- */

/* RFC 4291, appendix A: the interface identifier of an Ethernet address. */
static void make_eui64(const struct link *l, struct ip_addr *a)
{
	memcpy(a->b + 8, l->addr, 3);
	a->b[8] ^= 2;
	a->b[11] = 0xff;
	a->b[12] = 0xfe;
	memcpy(a->b + 13, l->addr + 3, 3);
}

/* RFC 7217: stable for a network, and of no meaning elsewhere.  A keyed mix of prefix and link. */
static void make_stable(struct net_ns *net, const struct link *l, struct ip_addr *a)
{
	uint64_t key[2], h;
	memcpy(key, net->secret + 16, sizeof(key));
	h = a->q[0] ^ key[0];
	for (int i = 0; i < 4; i++) {
		h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u + eth_addr_word(l->addr, l->addr_len);
		h = (h ^ h >> 27) * 0x94d049bb133111ebu ^ key[1];
	}
	memcpy(a->b + 8, &h, 8);
}

/* addr_gen_mode (IN6_ADDR_GEN_MODE_*): a has the prefix.  False: none is to be made. */
static bool make_id(struct net_ns *net, struct link *l, struct ip_addr *a)
{
	if (l->hatype != ARPHRD_ETHER)
		return false;
	switch (ndp_conf(net, l, IP_CONF_6_addr_gen_mode)) {
	case 0:
		make_eui64(l, a);
		return true;
	case 2:
	case 3:
		make_stable(net, l, a);
		return true;
	default:
		return false;
	}
}

void ndp_link_up(struct net_ns *net, struct link *l)
{
	struct ip_ifaddr x = {.index = l->index,
		.family = AF_INET6,
		.prefix_len = 64,
		.scope = RT_SCOPE_LINK,
		.proto = 3, /* IFAPROT_KERNEL_LL */
		.flags = IFA_F_PERMANENT,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	if (ndp_conf(net, l, IP_CONF_6_disable_ipv6) || READ_ONCE(l->mtu) < MTU_MIN)
		return;
	x.local = (struct ip_addr){.b = {0xfe, 0x80}};
	if (!make_id(net, l, &x.local))
		return;
	x.peer = x.local;
	ip_addr_add(net, &x, NLM_F_CREATE | NLM_F_EXCL);
}

static uint32_t autoconf_addresses(struct net_ns *net, const struct link *l)
{
	struct ip_addr_walk w = {.index = l->index - 1, .family = AF_INET6};
	struct ip_ifaddr x;
	uint32_t n = 0;
	while (ip_addr_walk_next(net, &w, &x))
		n += x.index == l->index && !(x.flags & IFA_F_PERMANENT);
	return n;
}

/* RFC 4862, 5.5.3 d and e. */
static void autoconf(const struct ndp_in *in, const struct ip_addr *prefix, uint32_t valid,
	uint32_t preferred)
{
	struct net_ns *net = in->net;
	struct link *l = in->link;
	struct ip_ifaddr x = {.index = l->index,
		.family = AF_INET6,
		.prefix_len = 64,
		.proto = 2, /* IFAPROT_KERNEL_RA */
		.flags = IFA_F_NOPREFIXROUTE,
		.preferred = preferred,
		.valid = valid,
		.local = *prefix};
	struct ip_ifaddr old;
	memset(x.local.b + 8, 0, 8);
	if (!make_id(net, l, &x.local))
		return;
	x.peer = x.local;
	if (ip_addr_get(net, &x.local, l->index, &old)) {
		if (old.flags & IFA_F_PERMANENT)
			return;
		x.valid = MAX(valid, MIN(old.valid, MIN_VALID_LIFETIME));
		x.preferred = MIN(preferred, x.valid);
		x.flags |= old.flags & IFA_F_TENTATIVE;
		ip_addr_add(net, &x, NLM_F_REPLACE);
		return;
	}
	uint32_t max = (uint32_t)ndp_conf(net, l, IP_CONF_6_max_addresses);
	if (valid && (!max || autoconf_addresses(net, l) < max))
		ip_addr_add(net, &x, NLM_F_CREATE | NLM_F_EXCL);
}

/* --- advertisements --- */

/* CLOCK_MONOTONIC, ns. */
static int64_t until(uint32_t seconds)
{
	return seconds == UINT32_MAX ? INT64_MAX : time_monotonic() + seconds * NSEC_PER_SEC;
}

static void default_router(const struct ndp_in *in)
{
	uint32_t lifetime = get16(in->msg + 6);
	uint8_t pref = in->msg[5] >> 3 & 3; /* RFC 4191, 2.1 */
	struct ra_route k = {.kind = RA_ROUTER,
		.index = in->link->index,
		.dst = IP_ANY6,
		.gw = in->src,
		.expires = until(lifetime)};
	if (pref == 2 || !ndp_conf(in->net, in->link, IP_CONF_6_accept_ra_rtr_pref))
		pref = 0;
	if (!ndp_conf(in->net, in->link, IP_CONF_6_accept_ra_defrtr))
		return;
	if (lifetime)
		keep(in->net, &k, pref);
	else
		drop(in->net, &k);
}

static void parameters(const struct ndp_in *in)
{
	struct link *l = in->link;
	uint32_t reachable = get32(in->msg + 8), retrans = get32(in->msg + 12);
	if (in->msg[4])
		ip_conf_set(in->net, l, IP_CONF_LINK, IP_CONF_6_hop_limit, in->msg[4]);
	if (retrans && retrans <= INT32_MAX)
		neigh_parm_set(in->net, l, AF_INET6, NEIGH_PARM_retrans_time_ms, (int32_t)retrans);
	if (reachable && reachable <= 3600000 && /* RFC 4861, 6.2.1 */
		(int32_t)reachable != neigh_parm(l, 1, NEIGH_PARM_base_reachable_time_ms)) {
		neigh_parm_set(in->net, l, AF_INET6, NEIGH_PARM_base_reachable_time_ms,
			(int32_t)reachable);
		neigh_parm_set(in->net, l, AF_INET6, NEIGH_PARM_gc_stale_time,
			(int32_t)MAX(reachable * 3 / 1000, 1u));
	}
	if (in->mtu && ndp_conf(in->net, l, IP_CONF_6_accept_ra_mtu)) {
		uint32_t mtu = get32(in->mtu + 4);
		if (mtu >= MTU_MIN && mtu <= READ_ONCE(l->mtu))
			ip_conf_set(in->net, l, IP_CONF_LINK, IP_CONF_6_mtu, (int32_t)mtu);
	}
}

/* RFC 4861, 4.6.2: o is a prefix option. */
static void prefix(const struct ndp_in *in, const uint8_t *o)
{
	struct ip_addr p = ip_v6(o + 16);
	uint32_t valid = get32(o + 4), preferred = get32(o + 8);
	uint8_t len = o[2];
	if (o[1] != 4 || len > 128 || preferred > valid || ip_is_linklocal(&p) ||
		ip_is_multicast(&p))
		return;
	if (o[3] & 0x80) { /* on link */
		struct ra_route k = {.kind = RA_PREFIX,
			.index = in->link->index,
			.len = len,
			.dst = p,
			.gw = IP_ANY6,
			.expires = until(valid)};
		for (unsigned int bit = len; bit < 128; bit++)
			k.dst.b[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		if (valid)
			keep(in->net, &k, 0);
		else
			drop(in->net, &k);
	}
	if (o[3] & 0x40 && len == 64 && ndp_conf(in->net, in->link, IP_CONF_6_autoconf))
		autoconf(in, &p, valid, preferred);
}

void ndp_ra_input(const struct ndp_in *in)
{
	struct eth_net *e = in->net->eth;
	const uint8_t *o;
	uint32_t at = 0;
	if (!ip_is_linklocal(&in->src) || !accepts_ra(in->net, in->link))
		return;
	if (ip_addr_is_local(in->net, &in->src, in->link->index))
		return; /* our own */
	mutex_lock(&e->lock);
	if (get16(in->msg + 6))
		in->link->eth.rs.on = false;
	mutex_unlock(&e->lock);
	default_router(in);
	parameters(in);
	ndp_learn(in, &in->src, in->slla, NUD_STALE,
		NEIGH_WEAK_OVERRIDE | NEIGH_OVERRIDE | NEIGH_OVERRIDE_ISROUTER | NEIGH_ISROUTER);
	if (!ndp_conf(in->net, in->link, IP_CONF_6_accept_ra_pinfo))
		return;
	while ((o = ndp_option_next(in, &at)))
		if (o[0] == NDP_OPT_PREFIX)
			prefix(in, o);
}

/* --- redirects --- */

/* Only the router that we would ask may send us elsewhere (8.1). */
static bool is_our_router(const struct ndp_in *in, const struct ip_addr *dst)
{
	struct flow f = {.src = IP_ANY6, .dst = *dst, .oif = in->link->index};
	struct route rt = {0};
	if (route_lookup(in->net, &f, &rt))
		return false;
	bool is = rt.link == in->link && ip_eq(&rt.gw, &in->src);
	route_put(&rt);
	return is;
}

void ndp_redirect_input(const struct ndp_in *in)
{
	struct ip_addr target = ip_v6(in->msg + 8), dst = ip_v6(in->msg + 24);
	bool on_link = ip_eq(&target, &dst);
	if (!ip_is_linklocal(&in->src) || ip_is_multicast(&dst) || ip_is_any(&dst))
		return;
	if (!on_link && !ip_is_linklocal(&target))
		return;
	if (ndp_conf(in->net, in->link, IP_CONF_6_forwarding) ||
		!ndp_conf(in->net, in->link, IP_CONF_6_accept_redirects))
		return;
	if (ip_addr_is_local(in->net, &target, 0) || !is_our_router(in, &dst))
		return;
	struct ra_route k = {.kind = RA_REDIRECT,
		.index = in->link->index,
		.len = 128,
		.dst = dst,
		.gw = on_link ? IP_ANY6 : target,
		.expires = time_monotonic() + REDIRECT_LIFETIME};
	ndp_learn(in, &target, in->tlla, NUD_STALE,
		NEIGH_WEAK_OVERRIDE | NEIGH_OVERRIDE |
			(on_link ? 0 : NEIGH_OVERRIDE_ISROUTER | NEIGH_ISROUTER));
	keep(in->net, &k, 0);
}
