/* Routes as they are told: dumps, events, RTM_GETROUTE (net/ipv4/fib_semantics.c, route.c,
 * net/ipv6/route.c of Linux).  What changes them is in rtnl_newroute.c. */
#include <linux/icmpv6.h>

#include "sentry/net/netlink/rtnl_priv.h"
#include "sentry/net/netlink/rtnl_route_priv.h"
#include "sentry/time/time.h"

#define ROUTE_PIECE 4096u
#define CACHE_LOCAL 0x80000000u /* RTCF_* of route flags */
#define CACHE_MULTICAST 0x20000000u
#define CACHE_BROADCAST 0x10000000u
#define UNREACHABLE_DEV 1 /* lo: where IPv6 shows routes that lead nowhere */

/* --- telling --- */

static void put_metrics(struct nlb *b, const struct ip_route_info *r)
{
	const struct {
		uint16_t type;
		uint32_t value;
	} m[] = {
		{RTAX_LOCK, r->mtu_lock ? 1u << RTAX_MTU : 0},
		{RTAX_MTU, r->mtu},
		{RTAX_WINDOW, r->window},
		{RTAX_RTT, r->rtt},
		{RTAX_ADVMSS, r->advmss},
		{RTAX_HOPLIMIT, r->hoplimit},
		{RTAX_INITCWND, r->initcwnd},
		{RTAX_RTO_MIN, r->rto_min},
		{RTAX_INITRWND, r->initrwnd},
	};
	bool any = false;
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		any |= m[i].value != 0;
	if (!any)
		return;
	uint32_t nest = nlb_nest(b, RTA_METRICS);
	for (size_t i = 0; i < ARRAY_LEN(m); i++)
		if (m[i].value)
			nlb_u32(b, m[i].type, m[i].value);
	nlb_nest_end(b, nest);
}

/* A gateway of the other family goes by RTA_VIA. */
static void put_gateway(struct nlb *b, uint8_t family, const struct ip_addr *gw)
{
	if (ip_is_any(gw))
		return;
	if (family == AF_INET && !ip_is_v4(gw)) {
		struct {
			uint16_t family;
			uint8_t addr[16];
		} via = {.family = AF_INET6};
		memcpy(via.addr, gw->b, 16);
		nlb_put(b, RTA_VIA, &via, sizeof(via));
		return;
	}
	nlb_addr(b, RTA_GATEWAY, gw);
}

/* What is true of a hop at this moment. */
static uint8_t hop_flags(struct net_ns *net, const struct route_hop *h)
{
	struct link *l = link_by_index(net, h->oif);
	uint8_t flags = h->flags;
	if (l && link_is_up(l) && READ_ONCE(l->no_carrier))
		flags |= RTNH_F_LINKDOWN;
	link_put(l);
	return flags;
}

static void put_hops(struct nlb *b, struct net_ns *net, const struct ip_route_info *r)
{
	uint32_t nest = nlb_nest(b, RTA_MULTIPATH);
	for (uint32_t i = 0; i < r->nhops; i++) {
		const struct route_hop *h = &r->hop[i];
		uint32_t at = b->len;
		/* A struct rtnexthop stands where a struct nlattr would, and is twice as long. */
		nlb_reserve(b, 0, sizeof(struct rtnexthop) - NLA_HDRLEN);
		put_gateway(b, r->family, &h->gw);
		if (b->full)
			return;
		struct rtnexthop nh = {.rtnh_len = (uint16_t)(b->len - at),
			.rtnh_flags = hop_flags(net, h),
			.rtnh_hops = h->weight,
			.rtnh_ifindex = h->oif};
		memcpy(b->buf + at, &nh, sizeof(nh));
	}
	nlb_nest_end(b, nest);
}

static void put_cacheinfo(struct nlb *b, int64_t expires)
{
	struct rta_cacheinfo c = {0};
	int64_t left = expires ? expires - time_monotonic() : 0;
	c.rta_expires = left > 0 ? (int32_t)MIN(left / 10000000, (int64_t)INT32_MAX) : 0;
	nlb_put(b, RTA_CACHEINFO, &c, sizeof(c));
}

static struct rtmsg *begin(struct nlb *b, const struct ip_route_info *r, uint32_t portid,
	uint32_t seq, uint16_t type, uint16_t flags)
{
	struct rtmsg *m = nlb_begin(b, portid, seq, type, flags, sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct rtmsg){.rtm_family = r->family,
		.rtm_dst_len = r->dst_len,
		.rtm_src_len = r->src_len,
		.rtm_tos = r->tos,
		.rtm_table = (uint8_t)(r->table < 256 ? r->table : RT_TABLE_COMPAT),
		.rtm_protocol = r->protocol,
		.rtm_scope = r->family == AF_INET ? r->scope : (uint8_t)RT_SCOPE_UNIVERSE,
		.rtm_type = r->type};
	return m;
}

static bool fill(struct nlb *b, struct net_ns *net, const struct ip_route_info *r, uint32_t portid,
	uint32_t seq, uint16_t type, uint16_t flags)
{
	bool v6 = r->family == AF_INET6;
	struct rtmsg *m = begin(b, r, portid, seq, type, flags);
	if (!m)
		return false;
	if (r->nhops == 1)
		m->rtm_flags = hop_flags(net, &r->hop[0]);
	nlb_u32(b, RTA_TABLE, r->table);
	if (r->dst_len)
		nlb_addr(b, RTA_DST, &r->dst);
	if (!v6 && r->priority)
		nlb_u32(b, RTA_PRIORITY, r->priority);
	if (v6 && !ip_is_any(&r->prefsrc))
		nlb_addr(b, RTA_PREFSRC, &r->prefsrc);
	put_metrics(b, r);
	if (!v6 && !ip_is_any(&r->prefsrc))
		nlb_addr(b, RTA_PREFSRC, &r->prefsrc);
	if (v6)
		nlb_u32(b, RTA_PRIORITY, r->priority);
	if (r->nhops > 1) {
		put_hops(b, net, r);
	} else if (r->nhops == 1) {
		put_gateway(b, r->family, &r->hop[0].gw);
		nlb_u32(b, RTA_OIF, (uint32_t)r->hop[0].oif);
	} else if (v6) {
		nlb_u32(b, RTA_OIF, UNREACHABLE_DEV);
	}
	if (v6) {
		put_cacheinfo(b, r->expires);
		nlb_u8(b, RTA_PREF, r->pref);
	}
	return nlb_end(b);
}

void rtnl_route_event(struct net_ns *net, const struct ip_route_info *r, bool del)
{
	uint32_t group = r->family == AF_INET ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE;
	struct nlb b;
	if (!rtnl_event_wanted(net, group) || !nlb_init(&b, ROUTE_PIECE))
		return;
	if (fill(&b, net, r, rtnl_event_portid(group), rtnl_event_seq(group),
		    del ? RTM_DELROUTE : RTM_NEWROUTE, del ? 0 : rtnl_event_flags(group)))
		rtnl_event_send(net, group, &b);
	nlb_fini(&b);
}

/* --- dumps --- */

struct dump_walk {
	struct route_walk w;
	uint32_t table; /* 0: all */
	int32_t oif;
	uint8_t protocol, type;
	bool parsed, only, strict, cloned, found;
};

static int parse_attrs(struct nl_dump *d, struct net_ns *net, struct dump_walk *w, struct nlb *b)
{
	const struct nlattr *tb[RTA_MAX + 1];
	struct nl_req rq = {.net = net, .h = (struct nlmsghdr *)d->req->data, .strict = true};
	int err = nla_parse_msg(&rq, sizeof(struct rtmsg), tb, RTA_MAX, rtnl_route_rules);
	b->msg = rq.msg;
	for (uint32_t i = 1; !err && i <= RTA_MAX; i++) {
		if (!tb[i])
			continue;
		if (i == RTA_TABLE) {
			w->table = nla_u32(tb[i]);
		} else if (i == RTA_OIF) {
			w->oif = (int32_t)nla_u32(tb[i]);
			struct link *l = link_by_index(net, w->oif);
			link_put(l);
			err = l ? 0 : -ENODEV;
		} else {
			b->msg = "Unsupported attribute in dump request";
			err = -EINVAL;
		}
	}
	return err;
}

static int parse_filter(struct nl_dump *d, struct net_ns *net, struct dump_walk *w, struct nlb *b)
{
	const struct rtmsg *m = nl_dump_payload(d);
	uint32_t n = d->len - NLMSG_HDRLEN;
	w->parsed = true;
	w->only = m->rtm_family == AF_INET || m->rtm_family == AF_INET6;
	w->w.family = w->only ? m->rtm_family : AF_INET;
	if (!d->strict) {
		w->cloned = n >= sizeof(*m) && (m->rtm_flags & RTM_F_CLONED);
		return 0;
	}
	w->strict = true;
	b->msg = "Invalid header for FIB dump request";
	if (n < sizeof(*m))
		return -EINVAL;
	b->msg = "Invalid values in header for FIB dump request";
	if (m->rtm_dst_len || m->rtm_src_len || m->rtm_tos || m->rtm_scope)
		return -EINVAL;
	if (m->rtm_flags & ~(RTM_F_CLONED | RTM_F_PREFIX)) {
		b->msg = "Invalid flags for FIB dump request";
		return -EINVAL;
	}
	w->cloned = m->rtm_flags & RTM_F_CLONED;
	w->table = m->rtm_table;
	w->protocol = m->rtm_protocol;
	w->type = m->rtm_type;
	int err = parse_attrs(d, net, w, b);
	if (w->table || w->protocol || w->type || w->oif || m->rtm_flags)
		d->answer_flags |= NLM_F_DUMP_FILTERED;
	return err;
}

static bool wanted(const struct dump_walk *w, const struct ip_route_info *r)
{
	if (w->table && r->table != w->table)
		return false;
	if ((w->protocol && r->protocol != w->protocol) || (w->type && r->type != w->type))
		return false;
	for (uint32_t i = 0; w->oif && i < r->nhops; i++)
		if (r->hop[i].oif == w->oif)
			return true;
	return !w->oif;
}

static bool next_route(struct net_ns *net, struct dump_walk *w, struct ip_route_info *r)
{
	while (!route_walk_next(net, &w->w, r)) {
		if (w->only || w->w.family == AF_INET6)
			return false;
		w->w = (struct route_walk){.family = AF_INET6};
	}
	return true;
}

/* A table that is asked for and has nothing in it is not there, but those that always are. */
static int no_table(const struct dump_walk *w, struct nlb *b)
{
	if (!w->strict || !w->only || !w->table || w->found || w->table == RT_TABLE_MAIN ||
		w->table == RT_TABLE_LOCAL)
		return 0;
	b->msg = w->w.family == AF_INET ? "ipv4: FIB table does not exist"
					: "ipv6: FIB table does not exist";
	return -ENOENT;
}

static int dump_routes(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct dump_walk *w = NL_WALK(struct dump_walk, d), before;
	struct ip_route_info r;
	int err = w->parsed ? 0 : parse_filter(d, net, w, b);
	if (err || w->cloned) /* exceptions are not kept as routes */
		return err;
	b->msg = NULL;
	while (!ctx_killed(ctx)) {
		before = *w;
		if (!next_route(net, w, &r))
			break;
		w->found |= r.table == w->table;
		if (!wanted(w, &r))
			continue;
		if (!fill(b, net, &r, d->portid, d->seq, RTM_NEWROUTE, nl_dump_flags(d))) {
			*w = before;
			return 1;
		}
	}
	return no_table(w, b);
}

/* --- RTM_GETROUTE: what the stack would do --- */

struct question {
	struct flow f;
	uint8_t family;
	uint32_t flags; /* RTM_F_* */
	bool has_src, has_mark, has_uid;
	uint32_t uid;
};

/* What a question of the strict form may have (inet_rtm_valid_getroute_req). */
static int check_getroute(struct nl_req *rq, const struct nlattr **tb)
{
	const struct rtmsg *m = nl_payload(rq);
	bool v4 = m->rtm_family == AF_INET;
	uint8_t max = v4 ? 32 : 128;
	uint32_t flags = v4 ? RTM_F_NOTIFY | RTM_F_LOOKUP_TABLE | RTM_F_FIB_MATCH : RTM_F_FIB_MATCH;
	if ((m->rtm_src_len && m->rtm_src_len != max) ||
		(m->rtm_dst_len && m->rtm_dst_len != max) || m->rtm_table || m->rtm_protocol ||
		m->rtm_scope || m->rtm_type)
		return nl_err(rq, -EINVAL,
			v4 ? "ipv4: Invalid values in header for route get request"
			   : "ipv6: Invalid values in header for get route request");
	if (m->rtm_flags & ~flags)
		return nl_err(rq, -EINVAL,
			v4 ? "ipv4: Unsupported rtm_flags for route get request"
			   : "ipv6: Invalid flags for get route request");
	if ((tb[RTA_SRC] && !m->rtm_src_len) || (tb[RTA_DST] && !m->rtm_dst_len))
		return nl_err(rq, -EINVAL,
			v4 ? "ipv4: rtm_src_len and rtm_dst_len must be 32 for IPv4"
			   : "ipv6: rtm_src_len and rtm_dst_len must be 128 for IPv6");
	return 0;
}

static int parse_question(struct nl_req *rq, struct question *q)
{
	const struct nlattr *tb[RTA_MAX + 1];
	const struct rtmsg *m = nl_payload(rq);
	rq->strict = nl_flag(rq->s, NL_F_STRICT);
	int err = nla_parse_msg(rq, sizeof(*m), tb, RTA_MAX, rtnl_route_rules);
	if (!err && rq->strict)
		err = check_getroute(rq, tb);
	if (err)
		return err;
	*q = (struct question){.family = m->rtm_family, .flags = m->rtm_flags};
	q->f.src = q->f.dst = q->family == AF_INET ? IP_ANY4 : IP_ANY6;
	q->f.tos = m->rtm_tos;
	if (tb[RTA_DST] && !nla_addr(tb[RTA_DST], q->family, &q->f.dst))
		return nl_err_attr(rq, -EINVAL, tb[RTA_DST], "Invalid destination address");
	if (tb[RTA_SRC] && !nla_addr(tb[RTA_SRC], q->family, &q->f.src))
		return nl_err_attr(rq, -EINVAL, tb[RTA_SRC], "Invalid source address");
	q->has_src = tb[RTA_SRC];
	q->f.oif = tb[RTA_OIF] ? (int32_t)nla_u32(tb[RTA_OIF]) : 0;
	q->f.iif = tb[RTA_IIF] ? (int32_t)nla_u32(tb[RTA_IIF]) : 0;
	q->f.mark = tb[RTA_MARK] ? nla_u32(tb[RTA_MARK]) : 0;
	q->has_mark = tb[RTA_MARK];
	q->f.uid = tb[RTA_UID] ? nla_u32(tb[RTA_UID]) : rq->ctx->cred->euid;
	q->f.proto = tb[RTA_IP_PROTO] ? nla_u8(tb[RTA_IP_PROTO]) : IPPROTO_UDP;
	q->f.sport = tb[RTA_SPORT] ? __builtin_bswap16(nla_u16(tb[RTA_SPORT])) : 0;
	q->f.dport = tb[RTA_DPORT] ? __builtin_bswap16(nla_u16(tb[RTA_DPORT])) : 0;
	return 0;
}

static int ask(struct nl_req *rq, struct question *q, struct route *rt)
{
	if (!q->f.iif)
		return route_lookup(rq->net, &q->f, rt);
	struct link *l = link_by_index(rq->net, q->f.iif);
	link_put(l);
	return l ? route_input(rq->net, &q->f, rt) : -ENODEV;
}

/* The route in the tables that rt came from. */
static bool find_route(struct net_ns *net, const struct question *q, const struct route *rt,
	struct ip_route_info *r)
{
	struct route_walk w = {.family = q->family};
	uint32_t skip = q->family == AF_INET ? 96 : 0;
	while (route_walk_next(net, &w, r))
		if (r->table == rt->table && r->dst_len == rt->prefix_len &&
			r->priority == rt->prio &&
			ip_prefix_eq(&r->dst, &q->f.dst, skip + r->dst_len))
			return true;
	return false;
}

static uint32_t cache_flags(const struct route *rt)
{
	switch (rt->type) {
	case RTN_LOCAL:
		return CACHE_LOCAL;
	case RTN_BROADCAST:
		return CACHE_BROADCAST;
	case RTN_MULTICAST:
		return CACHE_MULTICAST;
	default:
		return 0;
	}
}

static void put_hop(struct nlb *b, const struct question *q, const struct route *rt)
{
	if (rt->link)
		nlb_u32(b, RTA_OIF, (uint32_t)rt->link->index);
	if (rt->gateway)
		put_gateway(b, q->family, &rt->gw);
}

/* What the route says, and what was learned of the path. */
static void put_route_metrics(struct nlb *b, const struct route *rt, const struct ip_route_info *r)
{
	struct ip_route_info m = {.advmss = rt->advmss,
		.hoplimit = rt->hoplimit,
		.initcwnd = rt->initcwnd,
		.initrwnd = rt->initrwnd,
		.rto_min = rt->rto_min,
		.mtu_lock = rt->mtu_locked,
		.mtu = rt->pmtu || r->mtu ? rt->mtu : 0};
	put_metrics(b, &m);
}

/* Linux keeps table local in table main until there is a rule of the user's. */
static uint32_t shown_table(struct net_ns *net, uint32_t table)
{
	struct ip_rule_info r;
	bool custom = rule_get(net, AF_INET, 3, &r);
	return table == RT_TABLE_LOCAL && !custom ? (uint32_t)RT_TABLE_MAIN : table;
}

static void fill_answer4(struct nlb *b, const struct nl_req *rq, const struct question *q,
	const struct route *rt)
{
	struct ip_route_info found = {0}, r = {.family = AF_INET,
						  .dst_len = 32,
						  .src_len = q->has_src ? 32 : 0,
						  .tos = q->f.tos,
						  .table = q->flags & RTM_F_LOOKUP_TABLE
								   ? shown_table(rq->net, rt->table)
								   : (uint32_t)RT_TABLE_MAIN,
						  .type = rt->type};
	bool lo = rt->link && (READ_ONCE(rt->link->flags) & IFF_LOOPBACK);
	find_route(rq->net, q, rt, &found);
	struct rtmsg *m = begin(b, &r, rq->portid, rq->h->nlmsg_seq, RTM_NEWROUTE, 0);
	if (!m)
		return;
	m->rtm_flags = RTM_F_CLONED | cache_flags(rt) | (lo ? CACHE_LOCAL : 0);
	nlb_u32(b, RTA_TABLE, r.table);
	nlb_addr(b, RTA_DST, &q->f.dst);
	if (q->has_src)
		nlb_addr(b, RTA_SRC, &q->f.src);
	put_hop(b, q, rt);
	if (!q->f.iif && !ip_eq(&rt->src, &q->f.src))
		nlb_addr(b, RTA_PREFSRC, &rt->src);
	put_route_metrics(b, rt, &found);
	if (q->has_mark && q->f.mark)
		nlb_u32(b, RTA_MARK, q->f.mark);
	nlb_u32(b, RTA_UID, q->f.uid);
	if (q->f.iif)
		nlb_u32(b, RTA_IIF, (uint32_t)q->f.iif);
	put_cacheinfo(b, 0);
	nlb_end(b);
}

static void fill_answer6(struct nlb *b, const struct nl_req *rq, const struct question *q,
	const struct route *rt)
{
	struct ip_route_info r = {.protocol = RTPROT_KERNEL};
	find_route(rq->net, q, rt, &r);
	r.family = AF_INET6;
	r.dst_len = 128;
	r.src_len = 128;
	r.table = rt->table;
	r.type = rt->type;
	struct rtmsg *m = begin(b, &r, rq->portid, rq->h->nlmsg_seq, RTM_NEWROUTE, 0);
	if (!m)
		return;
	nlb_u32(b, RTA_TABLE, r.table);
	nlb_addr(b, RTA_DST, &q->f.dst);
	nlb_addr(b, RTA_SRC, &q->f.src);
	if (q->f.iif)
		nlb_u32(b, RTA_IIF, (uint32_t)q->f.iif);
	else
		nlb_addr(b, RTA_PREFSRC, &rt->src);
	put_route_metrics(b, rt, &r);
	nlb_u32(b, RTA_PRIORITY, rt->prio);
	put_hop(b, q, rt);
	put_cacheinfo(b, r.expires);
	nlb_u8(b, RTA_PREF, r.pref);
	nlb_end(b);
}

int rtnl_getroute(struct nl_req *rq)
{
	struct ip_route_info r;
	struct route rt = {0};
	struct question q;
	struct nlb b;
	int err = parse_question(rq, &q);
	if (!err)
		err = ask(rq, &q, &rt);
	if (err)
		return err;
	bool match = q.flags & RTM_F_FIB_MATCH;
	if (match && !find_route(rq->net, &q, &rt, &r))
		err = -ENETUNREACH;
	if (!err && nlb_init(&b, RTNL_ONE)) {
		if (match)
			fill(&b, rq->net, &r, rq->portid, rq->h->nlmsg_seq, RTM_NEWROUTE, 0);
		else if (q.family == AF_INET)
			fill_answer4(&b, rq, &q, &rt);
		else
			fill_answer6(&b, rq, &q, &rt);
	}
	route_put(&rt);
	return err ? err : rtnl_send(rq, &b);
}

void rtnl_route_init(void)
{
	nl_dump_register(NL_DUMP_ROUTE, dump_routes);
}
