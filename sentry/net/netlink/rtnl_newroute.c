/* RTM_NEWROUTE and RTM_DELROUTE: what a message says of a route (rtm_to_fib_config,
 * rtm_to_fib6_config of Linux).  Whether it makes sense is ip/'s to say. */
#include <linux/icmpv6.h>

#include "sentry/net/netlink/rtnl_priv.h"
#include "sentry/net/netlink/rtnl_route_priv.h"
#include "sentry/time/time.h"

const struct nla_rule rtnl_route_rules[RTA_MAX + 1] = {
	[RTA_DST] = {NLA_BYTES, 4},
	[RTA_SRC] = {NLA_BYTES, 4},
	[RTA_IIF] = {NLA_U32},
	[RTA_OIF] = {NLA_U32},
	[RTA_GATEWAY] = {NLA_BYTES, 4},
	[RTA_PRIORITY] = {NLA_U32},
	[RTA_PREFSRC] = {NLA_BYTES, 4},
	[RTA_METRICS] = {NLA_NESTED},
	[RTA_MULTIPATH] = {NLA_BYTES, sizeof(struct rtnexthop)},
	[RTA_FLOW] = {NLA_U32},
	[RTA_TABLE] = {NLA_U32},
	[RTA_MARK] = {NLA_U32},
	[RTA_PREF] = {NLA_U8},
	[RTA_EXPIRES] = {NLA_U32},
	[RTA_UID] = {NLA_U32},
	[RTA_IP_PROTO] = {NLA_U8},
	[RTA_SPORT] = {NLA_U16},
	[RTA_DPORT] = {NLA_U16},
	[RTA_NH_ID] = {NLA_U32},
};

static int parse_via(struct nl_req *rq, const struct nlattr *a, struct ip_addr *gw)
{
	uint16_t family;
	if (nla_len(a) < sizeof(family))
		return nl_err_attr(rq, -EINVAL, a, "Invalid attribute length for RTA_VIA");
	memcpy(&family, nla_data(a), sizeof(family));
	uint32_t n = nla_len(a) - (uint32_t)sizeof(family);
	const char *addr = (const char *)nla_data(a) + sizeof(family);
	if (family == AF_INET && n == 4) {
		uint32_t be;
		memcpy(&be, addr, 4);
		*gw = ip_v4(be);
	} else if (family == AF_INET6 && n == 16) {
		*gw = ip_v6(addr);
	} else {
		return nl_err_attr(rq, -EINVAL, a, "Unsupported address family in RTA_VIA");
	}
	return 0;
}

static int parse_gateway(struct nl_req *rq, const struct nlattr **tb, uint8_t family,
	struct ip_addr *gw)
{
	*gw = family == AF_INET ? IP_ANY4 : IP_ANY6;
	if (tb[RTA_GATEWAY] && tb[RTA_VIA])
		return nl_err(rq, -EINVAL,
			"Nexthop configuration can not contain both GATEWAY and VIA");
	if (tb[RTA_GATEWAY] && !nla_addr(tb[RTA_GATEWAY], family, gw))
		return nl_err_attr(rq, -EINVAL, tb[RTA_GATEWAY], "Invalid gateway address");
	return tb[RTA_VIA] ? parse_via(rq, tb[RTA_VIA], gw) : 0;
}

/* RTA_MULTIPATH: struct rtnexthop, each with attributes of its own. */
static int parse_hops(struct nl_req *rq, const struct nlattr *a, struct ip_route_info *r)
{
	const uint8_t *p = nla_data(a);
	uint32_t left = nla_len(a);
	const struct nlattr *tb[RTA_MAX + 1];
	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop nh;
		memcpy(&nh, p, sizeof(nh));
		if (nh.rtnh_len < sizeof(nh) || nh.rtnh_len > left)
			return nl_err_attr(rq, -EINVAL, a,
				"Invalid nexthop configuration - extra data after nexthop");
		if (nh.rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN))
			return nl_err(rq, -EINVAL,
				"Invalid flags for nexthop - can not contain DEAD or LINKDOWN");
		if (r->nhops == ROUTE_HOPS_MAX)
			return nl_err_attr(rq, -EINVAL, a, "Too many nexthops");
		struct route_hop *h = &r->hop[r->nhops++];
		*h = (struct route_hop){.oif = nh.rtnh_ifindex,
			.flags = nh.rtnh_flags,
			.weight = nh.rtnh_hops};
		int err = nla_parse(rq, tb, RTA_MAX, p + sizeof(nh),
			nh.rtnh_len - (uint32_t)sizeof(nh), rtnl_route_rules);
		if (!err)
			err = parse_gateway(rq, tb, r->family, &h->gw);
		if (err)
			return err;
		uint32_t step = (uint32_t)RTNH_ALIGN(nh.rtnh_len);
		if (step >= left)
			break;
		p += step;
		left -= step;
	}
	return 0;
}

static int parse_metrics(struct nl_req *rq, const struct nlattr *nest, struct ip_route_info *r)
{
	const struct nlattr *a;
	uint32_t at = 0;
	while ((a = nla_next(nla_data(nest), nla_len(nest), &at))) {
		uint16_t type = nla_type(a);
		if (type == RTAX_UNSPEC || type == RTAX_CC_ALGO)
			continue;
		if (type > RTAX_MAX)
			return nl_err_attr(rq, -EINVAL, a, "Invalid metric type");
		if (nla_len(a) != sizeof(uint32_t))
			return nl_err_attr(rq, -EINVAL, a, "Invalid attribute in metrics");
		uint32_t v = nla_u32(a);
		switch (type) {
		case RTAX_LOCK:
			r->mtu_lock = v >> RTAX_MTU & 1;
			break;
		case RTAX_MTU:
			r->mtu = MIN(v, 65535u - 15);
			break;
		case RTAX_WINDOW:
			r->window = v;
			break;
		case RTAX_RTT:
			r->rtt = v;
			break;
		case RTAX_ADVMSS:
			r->advmss = MIN(v, 65535u - 40);
			break;
		case RTAX_HOPLIMIT:
			r->hoplimit = MIN(v, 255u);
			break;
		case RTAX_INITCWND:
			r->initcwnd = v;
			break;
		case RTAX_INITRWND:
			r->initrwnd = v;
			break;
		case RTAX_RTO_MIN:
			r->rto_min = v;
			break;
		}
	}
	return 0;
}

static int parse_addresses(struct nl_req *rq, const struct nlattr **tb, struct ip_route_info *r)
{
	bool v4 = r->family == AF_INET;
	uint8_t max = v4 ? 32 : 128;
	r->dst = r->src = r->prefsrc = v4 ? IP_ANY4 : IP_ANY6;
	if (r->dst_len > max || r->src_len > max)
		return nl_err(rq, -EINVAL,
			r->dst_len > max ? "Invalid prefix length"
					 : "Invalid source address length");
	if (tb[RTA_DST] && !nla_addr(tb[RTA_DST], r->family, &r->dst)) {
		/* IPv6 takes the bytes that the prefix needs. */
		if (v4 || nla_len(tb[RTA_DST]) < (uint32_t)(r->dst_len + 7) / 8)
			return nl_err_attr(rq, -EINVAL, tb[RTA_DST], "Invalid destination address");
		memcpy(r->dst.b, nla_data(tb[RTA_DST]), MIN(nla_len(tb[RTA_DST]), 16u));
	}
	if (tb[RTA_SRC] && !nla_addr(tb[RTA_SRC], r->family, &r->src))
		return nl_err_attr(rq, -EINVAL, tb[RTA_SRC], "Invalid source address");
	if (tb[RTA_PREFSRC] && !nla_addr(tb[RTA_PREFSRC], r->family, &r->prefsrc))
		return nl_err_attr(rq, -EINVAL, tb[RTA_PREFSRC],
			"Invalid preferred source address");
	return 0;
}

static int parse_next(struct nl_req *rq, const struct nlattr **tb, struct ip_route_info *r)
{
	const struct rtmsg *m = nl_payload(rq);
	int err = 0;
	if (tb[RTA_MULTIPATH] && nla_len(tb[RTA_MULTIPATH]))
		return parse_hops(rq, tb[RTA_MULTIPATH], r);
	if (!tb[RTA_OIF] && !tb[RTA_GATEWAY] && !tb[RTA_VIA])
		return 0;
	struct route_hop *h = &r->hop[0];
	r->nhops = 1;
	h->oif = tb[RTA_OIF] ? (int32_t)nla_u32(tb[RTA_OIF]) : 0;
	h->flags = (uint8_t)m->rtm_flags;
	err = parse_gateway(rq, tb, r->family, &h->gw);
	return err;
}

static int parse(struct nl_req *rq, struct ip_route_info *r)
{
	const struct nlattr *tb[RTA_MAX + 1];
	const struct rtmsg *m = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*m), tb, RTA_MAX, rtnl_route_rules);
	if (err)
		return err;
	if (m->rtm_type > RTN_MAX)
		return nl_err(rq, -EINVAL, "Invalid route type");
	if (tb[RTA_NH_ID] && nla_u32(tb[RTA_NH_ID]))
		return nl_err_attr(rq, -EINVAL, tb[RTA_NH_ID], "Nexthop id does not exist");
	if (tb[RTA_ENCAP])
		return nl_err_attr(rq, -EOPNOTSUPP, tb[RTA_ENCAP], "Unsupported encapsulation");
	*r = (struct ip_route_info){.family = m->rtm_family,
		.dst_len = m->rtm_dst_len,
		.src_len = m->rtm_src_len,
		.tos = m->rtm_tos,
		.scope = m->rtm_scope,
		.protocol = m->rtm_protocol,
		.type = m->rtm_type,
		.flags = m->rtm_flags & (RTNH_F_ONLINK | RTNH_F_DEAD | RTNH_F_LINKDOWN),
		.table = tb[RTA_TABLE] ? nla_u32(tb[RTA_TABLE]) : m->rtm_table,
		.priority = tb[RTA_PRIORITY] ? nla_u32(tb[RTA_PRIORITY]) : 0};
	if (!r->table)
		r->table = RT_TABLE_MAIN;
	if (!(r->flags & RTNH_F_ONLINK))
		r->flags &= RTNH_F_DEAD | RTNH_F_LINKDOWN;
	if (tb[RTA_PREF])
		r->pref = nla_u8(tb[RTA_PREF]);
	if (r->pref != ICMPV6_ROUTER_PREF_LOW && r->pref != ICMPV6_ROUTER_PREF_HIGH)
		r->pref = ICMPV6_ROUTER_PREF_MEDIUM;
	if (tb[RTA_EXPIRES] && nla_u32(tb[RTA_EXPIRES]))
		r->expires = time_monotonic() + (int64_t)nla_u32(tb[RTA_EXPIRES]) * 1000000000;
	err = parse_addresses(rq, tb, r);
	if (!err && tb[RTA_METRICS])
		err = parse_metrics(rq, tb[RTA_METRICS], r);
	return err ? err : parse_next(rq, tb, r);
}

/* As route(8) and ip(8) expect it to be told. */
static const char *reason(const struct ip_route_info *r, int err)
{
	switch (err) {
	case -ENETUNREACH:
	case -EHOSTUNREACH:
		return r->family == AF_INET ? "Nexthop has invalid gateway" : NULL;
	case -ENETDOWN:
		return "Device for nexthop is not up";
	default:
		return NULL;
	}
}

int rtnl_newroute(struct nl_req *rq)
{
	struct ip_route_info r;
	int err = parse(rq, &r);
	if (err)
		return err;
	if (r.family == AF_INET && r.tos & RTNL_ECN_BITS)
		return nl_err(rq, -EINVAL, "Invalid dsfield (tos): ECN bits must be 0");
	if (r.family == AF_INET6 && r.type == RTN_UNSPEC)
		r.type = RTN_UNICAST;
	err = route_add(rq->net, &r, rq->h->nlmsg_flags);
	if (err && !rq->msg)
		rq->msg = reason(&r, err);
	return err;
}

int rtnl_delroute(struct nl_req *rq)
{
	struct ip_route_info r;
	int err = parse(rq, &r);
	return err ? err : route_del(rq->net, &r);
}
