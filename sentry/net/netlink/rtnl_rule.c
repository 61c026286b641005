/* Policy rules: RTM_NEWRULE, DELRULE, GETRULE (net/core/fib_rules.c of Linux). */
#include <linux/fib_rules.h>

#include "sentry/net/ip/route.h"
#include "sentry/net/netlink/rtnl_priv.h"

#define RULE_TOS_MASK 0x1e /* IPTOS_TOS_MASK: what RFC 1349 had */

#define RULE_PIECE 512u

static const struct nla_rule rules[FRA_MAX + 1] = {
	[FRA_DST] = {NLA_ANY},
	[FRA_SRC] = {NLA_ANY},
	[FRA_IIFNAME] = {NLA_STRING, LINK_NAME_MAX - 1},
	[FRA_OIFNAME] = {NLA_STRING, LINK_NAME_MAX - 1},
	[FRA_PRIORITY] = {NLA_U32},
	[FRA_FWMARK] = {NLA_U32},
	[FRA_FWMASK] = {NLA_U32},
	[FRA_FLOW] = {NLA_U32},
	[FRA_TABLE] = {NLA_U32},
	[FRA_SUPPRESS_PREFIXLEN] = {NLA_U32},
	[FRA_SUPPRESS_IFGROUP] = {NLA_U32},
	[FRA_GOTO] = {NLA_U32},
	[FRA_L3MDEV] = {NLA_U8},
	[FRA_UID_RANGE] = {NLA_BYTES, sizeof(struct fib_rule_uid_range)},
	[FRA_PROTOCOL] = {NLA_U8},
	[FRA_IP_PROTO] = {NLA_U8},
	[FRA_SPORT_RANGE] = {NLA_BYTES, sizeof(struct fib_rule_port_range)},
	[FRA_DPORT_RANGE] = {NLA_BYTES, sizeof(struct fib_rule_port_range)},
};

/* --- telling --- */

static void put_ports(struct nlb *b, uint16_t type, const uint16_t p[2])
{
	struct fib_rule_port_range r = {p[0], p[1]};
	if (p[0] || p[1])
		nlb_put(b, type, &r, sizeof(r));
}

static void put_selectors(struct nlb *b, const struct ip_rule_info *r)
{
	if (r->iifname[0])
		nlb_str(b, FRA_IIFNAME, r->iifname);
	if (r->oifname[0])
		nlb_str(b, FRA_OIFNAME, r->oifname);
	if (r->priority)
		nlb_u32(b, FRA_PRIORITY, r->priority);
	if (r->fwmark)
		nlb_u32(b, FRA_FWMARK, r->fwmark);
	if (r->fwmask || r->fwmark)
		nlb_u32(b, FRA_FWMASK, r->fwmask);
	if (r->goto_target)
		nlb_u32(b, FRA_GOTO, r->goto_target);
	if (r->has_uid) {
		struct fib_rule_uid_range u = {r->uid_start, r->uid_end};
		nlb_put(b, FRA_UID_RANGE, &u, sizeof(u));
	}
	put_ports(b, FRA_SPORT_RANGE, r->sport);
	put_ports(b, FRA_DPORT_RANGE, r->dport);
	if (r->ip_proto)
		nlb_u8(b, FRA_IP_PROTO, r->ip_proto);
	if (r->suppress_ifgroup != UINT32_MAX)
		nlb_u32(b, FRA_SUPPRESS_IFGROUP, r->suppress_ifgroup);
	if (r->dst_len)
		nlb_addr(b, FRA_DST, &r->dst);
	if (r->src_len)
		nlb_addr(b, FRA_SRC, &r->src);
}

static bool fill(struct nlb *b, const struct ip_rule_info *r, uint32_t portid, uint32_t seq,
	uint16_t type, uint16_t flags)
{
	struct fib_rule_hdr *m = nlb_begin(b, portid, seq, type, flags, sizeof(*m));
	if (!m)
		return false;
	*m = (struct fib_rule_hdr){.family = r->family,
		.dst_len = r->dst_len,
		.src_len = r->src_len,
		.tos = r->tos,
		.table = (uint8_t)(r->table < 256 ? r->table : RT_TABLE_COMPAT),
		.action = r->action,
		.flags = r->flags};
	nlb_u32(b, FRA_TABLE, r->table);
	nlb_u32(b, FRA_SUPPRESS_PREFIXLEN, r->suppress_prefixlen);
	nlb_u8(b, FRA_PROTOCOL, r->protocol);
	put_selectors(b, r);
	return nlb_end(b);
}

void rtnl_rule_event(struct net_ns *net, const struct ip_rule_info *r, bool del)
{
	uint32_t group = r->family == AF_INET ? RTNLGRP_IPV4_RULE : RTNLGRP_IPV6_RULE;
	struct nlb b;
	if (!rtnl_event_wanted(net, group) || !nlb_init(&b, RULE_PIECE))
		return;
	if (fill(&b, r, rtnl_event_portid(group), rtnl_event_seq(group),
		    del ? RTM_DELRULE : RTM_NEWRULE, 0))
		rtnl_event_send(net, group, &b);
	nlb_fini(&b);
}

/* --- dumps --- */

struct dump_walk {
	uint32_t n;
	uint8_t family;
	bool parsed, only;
};

static int parse_filter(struct nl_dump *d, struct dump_walk *w, struct nlb *b)
{
	const struct fib_rule_hdr *m = nl_dump_payload(d);
	uint8_t family = *(const uint8_t *)nl_dump_payload(d);
	w->parsed = true;
	w->only = family == AF_INET || family == AF_INET6;
	w->family = w->only ? family : AF_INET;
	if (family && !w->only)
		return -EAFNOSUPPORT;
	if (!d->strict)
		return 0;
	b->msg = "Invalid header for fib rule dump request";
	if (d->len - NLMSG_HDRLEN < sizeof(*m))
		return -EINVAL;
	b->msg = "Invalid values in header for fib rule dump request";
	if (m->dst_len || m->src_len || m->tos || m->table || m->res1 || m->res2 || m->action ||
		m->flags)
		return -EINVAL;
	b->msg = "Invalid data after header in fib rule dump request";
	return d->len - NLMSG_HDRLEN > sizeof(*m) ? -EINVAL : 0;
}

static int dump_rules(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct dump_walk *w = NL_WALK(struct dump_walk, d);
	struct ip_rule_info r;
	int err = w->parsed ? 0 : parse_filter(d, w, b);
	if (err)
		return err;
	while (!ctx_killed(ctx)) {
		if (!rule_get(net, w->family, w->n, &r)) {
			if (w->only || w->family == AF_INET6)
				break;
			w->family = AF_INET6;
			w->n = 0;
			continue;
		}
		if (!fill(b, &r, d->portid, d->seq, RTM_NEWRULE, nl_dump_flags(d)))
			return 1;
		w->n++;
	}
	return 0;
}

/* --- changing --- */

static int parse_addrs(struct nl_req *rq, const struct nlattr **tb, struct ip_rule_info *r)
{
	uint8_t max = r->family == AF_INET ? 32 : 128;
	r->src = r->dst = r->family == AF_INET ? IP_ANY4 : IP_ANY6;
	if (r->dst_len &&
		(!tb[FRA_DST] || r->dst_len > max || !nla_addr(tb[FRA_DST], r->family, &r->dst)))
		return nl_err(rq, -EINVAL, "Invalid dst address");
	if (r->src_len &&
		(!tb[FRA_SRC] || r->src_len > max || !nla_addr(tb[FRA_SRC], r->family, &r->src)))
		return nl_err(rq, -EINVAL, "Invalid source address");
	return 0;
}

static int parse_ports(struct nl_req *rq, const struct nlattr *a, uint16_t out[2])
{
	struct fib_rule_port_range p;
	if (!a)
		return 0;
	memcpy(&p, nla_data(a), sizeof(p));
	if (p.start == 0 || p.end < p.start || p.end == UINT16_MAX)
		return nl_err_attr(rq, -EINVAL, a, "Invalid port range");
	out[0] = p.start;
	out[1] = p.end;
	return 0;
}

static int parse_ids(struct nl_req *rq, const struct nlattr **tb, struct ip_rule_info *r)
{
	struct fib_rule_uid_range u;
	if (tb[FRA_FWMARK]) {
		r->has_mark = true;
		r->fwmark = nla_u32(tb[FRA_FWMARK]);
		r->fwmask = r->fwmark ? UINT32_MAX : 0;
	}
	if (tb[FRA_FWMASK]) {
		r->has_mark = true;
		r->fwmask = nla_u32(tb[FRA_FWMASK]);
	}
	if (tb[FRA_UID_RANGE]) {
		memcpy(&u, nla_data(tb[FRA_UID_RANGE]), sizeof(u));
		if (u.start > u.end)
			return nl_err(rq, -EINVAL, "Invalid uid range");
		r->has_uid = true;
		r->uid_start = u.start;
		r->uid_end = u.end;
	}
	int err = parse_ports(rq, tb[FRA_SPORT_RANGE], r->sport);
	return err ? err : parse_ports(rq, tb[FRA_DPORT_RANGE], r->dport);
}

static int parse(struct nl_req *rq, const struct nlattr **tb, struct ip_rule_info *r)
{
	const struct fib_rule_hdr *m = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*m), tb, FRA_MAX, rules);
	if (err)
		return nl_err(rq, err, rq->msg ? rq->msg : "Error parsing msg");
	if (m->family != AF_INET && m->family != AF_INET6)
		return nl_err(rq, -EAFNOSUPPORT, "Rule family not supported");
	*r = (struct ip_rule_info){.family = m->family,
		.src_len = m->src_len,
		.dst_len = m->dst_len,
		.tos = m->tos,
		.action = m->action,
		.flags = m->flags,
		.table = tb[FRA_TABLE] ? nla_u32(tb[FRA_TABLE]) : m->table,
		.priority = tb[FRA_PRIORITY] ? nla_u32(tb[FRA_PRIORITY]) : 0,
		.protocol = tb[FRA_PROTOCOL] ? nla_u8(tb[FRA_PROTOCOL]) : RTPROT_UNSPEC,
		.ip_proto = tb[FRA_IP_PROTO] ? nla_u8(tb[FRA_IP_PROTO]) : 0,
		.goto_target = tb[FRA_GOTO] ? nla_u32(tb[FRA_GOTO]) : 0,
		.suppress_prefixlen = tb[FRA_SUPPRESS_PREFIXLEN]
					      ? nla_u32(tb[FRA_SUPPRESS_PREFIXLEN])
					      : UINT32_MAX,
		.suppress_ifgroup =
			tb[FRA_SUPPRESS_IFGROUP] ? nla_u32(tb[FRA_SUPPRESS_IFGROUP]) : UINT32_MAX};
	if (tb[FRA_IIFNAME])
		nla_text(tb[FRA_IIFNAME], r->iifname, sizeof(r->iifname));
	if (tb[FRA_OIFNAME])
		nla_text(tb[FRA_OIFNAME], r->oifname, sizeof(r->oifname));
	if (tb[FRA_L3MDEV] && nla_u8(tb[FRA_L3MDEV]))
		return nl_err(rq, -EINVAL, "l3mdev support is not enabled in kernel");
	err = parse_addrs(rq, tb, r);
	return err ? err : parse_ids(rq, tb, r);
}

int rtnl_newrule(struct nl_req *rq)
{
	const struct nlattr *tb[FRA_MAX + 1];
	struct ip_rule_info r;
	int err = parse(rq, tb, &r);
	if (err)
		return err;
	if (r.tos & RTNL_ECN_BITS)
		return nl_err(rq, -EINVAL, "Invalid dsfield (tos): ECN bits must be 0");
	if (r.family == AF_INET && (r.tos & ~RULE_TOS_MASK))
		return nl_err(rq, -EINVAL, "Invalid tos");
	if (r.action == FR_ACT_GOTO && !r.goto_target)
		return nl_err(rq, -EINVAL, "Missing goto target for action goto");
	if (r.action == FR_ACT_GOTO && tb[FRA_PRIORITY] && r.goto_target <= r.priority)
		return nl_err(rq, -EINVAL, "Backwards goto not supported");
	/* A table of its own is made for who names none (fib4_rule_configure). */
	err = rule_add(rq->net, &r, rq->h->nlmsg_flags);
	return err;
}

/* What a message leaves open matches anything (rule_find of Linux). */
static bool matches(const struct nlattr **tb, const struct fib_rule_hdr *m,
	const struct ip_rule_info *w, const struct ip_rule_info *r)
{
	if ((m->action && r->action != w->action) || (w->table && r->table != w->table) ||
		(tb[FRA_PRIORITY] && r->priority != w->priority) || (m->tos && r->tos != w->tos))
		return false;
	if ((tb[FRA_PROTOCOL] && r->protocol != w->protocol) ||
		(tb[FRA_IP_PROTO] && r->ip_proto != w->ip_proto))
		return false;
	if ((tb[FRA_IIFNAME] && strcmp(r->iifname, w->iifname)) ||
		(tb[FRA_OIFNAME] && strcmp(r->oifname, w->oifname)))
		return false;
	if ((tb[FRA_FWMARK] && r->fwmark != w->fwmark) ||
		(tb[FRA_FWMASK] && r->fwmask != w->fwmask))
		return false;
	if (w->has_uid && (r->uid_start != w->uid_start || r->uid_end != w->uid_end || !r->has_uid))
		return false;
	if ((tb[FRA_SPORT_RANGE] && memcmp(r->sport, w->sport, sizeof(r->sport))) ||
		(tb[FRA_DPORT_RANGE] && memcmp(r->dport, w->dport, sizeof(r->dport))))
		return false;
	if (m->src_len && (r->src_len != m->src_len || !ip_eq(&r->src, &w->src)))
		return false;
	return !m->dst_len || (r->dst_len == m->dst_len && ip_eq(&r->dst, &w->dst));
}

int rtnl_delrule(struct nl_req *rq)
{
	const struct nlattr *tb[FRA_MAX + 1];
	struct ip_rule_info want, r;
	int err = parse(rq, tb, &want);
	for (uint32_t n = 0; !err && rule_get(rq->net, want.family, n, &r); n++)
		if (matches(tb, nl_payload(rq), &want, &r)) {
			if (r.flags & FIB_RULE_PERMANENT)
				return -EPERM;
			return rule_del(rq->net, &r);
		}
	return err ? err : -ENOENT;
}

void rtnl_rule_init(void)
{
	nl_dump_register(NL_DUMP_RULE, dump_rules);
}
