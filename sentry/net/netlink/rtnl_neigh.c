/* Neighbours: RTM_NEWNEIGH, DELNEIGH, GETNEIGH and the tables' settings, RTM_GETNEIGHTBL
 * (net/core/neighbour.c of Linux). */
#include "sentry/net/eth/neigh.h"

#include "sentry/net/netlink/rtnl_priv.h"

#define NEIGH_PIECE 512u
#define NUD_VALID (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

static const struct nla_rule rules[NDA_MAX + 1] = {
	[NDA_DST] = {NLA_ANY},
	[NDA_LLADDR] = {NLA_ANY},
	[NDA_PROBES] = {NLA_U32},
	[NDA_IFINDEX] = {NLA_U32},
	[NDA_MASTER] = {NLA_U32},
	[NDA_PROTOCOL] = {NLA_U8},
	[NDA_FLAGS_EXT] = {NLA_U32},
};

static bool fill(struct nlb *b, const struct neigh_info *i, uint32_t portid, uint32_t seq,
	uint16_t type, uint16_t flags)
{
	struct ndmsg *m = nlb_begin(b, portid, seq, type, flags, sizeof(*m));
	if (!m)
		return false;
	*m = (struct ndmsg){.ndm_family = i->family,
		.ndm_ifindex = i->index,
		.ndm_state = i->state,
		.ndm_flags = i->flags,
		.ndm_type = i->type};
	struct nda_cacheinfo c = {.ndm_confirmed = i->confirmed,
		.ndm_used = i->used,
		.ndm_updated = i->updated,
		.ndm_refcnt = i->refs ? i->refs - 1 : 0};
	nlb_addr(b, NDA_DST, &i->dst);
	if (i->state & NUD_VALID)
		nlb_put(b, NDA_LLADDR, i->addr, i->addr_len);
	nlb_put(b, NDA_CACHEINFO, &c, sizeof(c));
	nlb_u32(b, NDA_PROBES, i->probes);
	return nlb_end(b);
}

void rtnl_neigh_event(struct net_ns *net, struct neigh *n, bool del)
{
	struct neigh_info i;
	struct nlb b;
	if (!rtnl_event_wanted(net, RTNLGRP_NEIGH) || !nlb_init(&b, NEIGH_PIECE))
		return;
	neigh_info(n, &i);
	if (fill(&b, &i, rtnl_event_portid(RTNLGRP_NEIGH), rtnl_event_seq(RTNLGRP_NEIGH),
		    del ? RTM_DELNEIGH : RTM_NEWNEIGH, 0))
		rtnl_event_send(net, RTNLGRP_NEIGH, &b);
	nlb_fini(&b);
}

/* --- dumps --- */

struct dump_walk {
	struct neigh_walk w;
	int32_t index, master;
	bool parsed, none;
};

static int parse_attrs(struct nl_dump *d, struct net_ns *net, struct dump_walk *w, struct nlb *b)
{
	const struct nlattr *tb[NDA_MAX + 1];
	struct nl_req rq = {.net = net, .h = (struct nlmsghdr *)d->req->data, .strict = d->strict};
	int err = nla_parse_msg(&rq, sizeof(struct ndmsg), tb, NDA_MAX, rules);
	b->msg = rq.msg;
	if (err)
		return d->strict ? err : 0;
	for (uint32_t i = 1; d->strict && i <= NDA_MAX; i++)
		if (tb[i] && i != NDA_IFINDEX && i != NDA_MASTER) {
			b->msg = "Unsupported attribute in neighbor dump request";
			return -EINVAL;
		}
	if (tb[NDA_IFINDEX])
		w->index = (int32_t)nla_u32(tb[NDA_IFINDEX]);
	if (tb[NDA_MASTER])
		w->master = (int32_t)nla_u32(tb[NDA_MASTER]);
	if (w->index || w->master)
		d->answer_flags |= NLM_F_DUMP_FILTERED;
	return 0;
}

static int parse_filter(struct nl_dump *d, struct net_ns *net, struct dump_walk *w, struct nlb *b)
{
	const struct ndmsg *m = nl_dump_payload(d);
	uint32_t n = d->len - NLMSG_HDRLEN;
	uint8_t family = *(const uint8_t *)nl_dump_payload(d);
	w->parsed = true;
	w->w.family = family == AF_INET || family == AF_INET6 ? family : AF_UNSPEC;
	w->none = family && !w->w.family;
	if (n < sizeof(*m)) {
		b->msg = "Invalid header for neighbor dump request";
		return d->strict ? -EINVAL : 0;
	}
	/* Proxied ones are not kept as neighbours. */
	w->none |= m->ndm_flags == NTF_PROXY;
	if (d->strict &&
		(m->ndm_ifindex || m->ndm_state || m->ndm_type || (m->ndm_flags & ~NTF_PROXY))) {
		b->msg = "Invalid values in header for neighbor dump request";
		return -EINVAL;
	}
	return parse_attrs(d, net, w, b);
}

static bool of_master(struct net_ns *net, int32_t index, int32_t master)
{
	struct link *l = link_by_index(net, index);
	bool ok = l && READ_ONCE(l->master) == master;
	link_put(l);
	return ok;
}

static int dump_neighs(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct dump_walk *w = NL_WALK(struct dump_walk, d), before;
	struct neigh_info i;
	int err = w->parsed ? 0 : parse_filter(d, net, w, b);
	if (err || w->none)
		return err;
	while (!ctx_killed(ctx)) {
		before = *w;
		if (!neigh_walk_next(net, &w->w, &i))
			break;
		if ((w->index && i.index != w->index) ||
			(w->master && !of_master(net, i.index, w->master)))
			continue;
		if (!fill(b, &i, d->portid, d->seq, RTM_NEWNEIGH, nl_dump_flags(d))) {
			*w = before;
			return 1;
		}
	}
	return 0;
}

/* --- one --- */

static int parse(struct nl_req *rq, const struct nlattr **tb, struct neigh_info *i)
{
	const struct ndmsg *m = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*m), tb, NDA_MAX, rules);
	if (err)
		return err;
	if (m->ndm_family != AF_INET && m->ndm_family != AF_INET6)
		return -EAFNOSUPPORT;
	if (!tb[NDA_DST])
		return nl_err(rq, -EINVAL, "Network address not specified");
	*i = (struct neigh_info){.family = m->ndm_family,
		.index = m->ndm_ifindex,
		.state = m->ndm_state,
		.flags = m->ndm_flags,
		.type = m->ndm_type};
	if (!nla_addr(tb[NDA_DST], i->family, &i->dst))
		return nl_err(rq, -EINVAL, "Invalid network address");
	struct link *l = i->index ? link_by_index(rq->net, i->index) : NULL;
	if (i->index && !l)
		return -ENODEV;
	if (l && tb[NDA_LLADDR]) {
		uint32_t n = nla_len(tb[NDA_LLADDR]);
		if (n < l->addr_len)
			err = nl_err(rq, -EINVAL, "Invalid link address");
		i->addr_len = l->addr_len;
		memcpy(i->addr, nla_data(tb[NDA_LLADDR]), MIN(n, (uint32_t)i->addr_len));
	}
	link_put(l);
	return err;
}

int rtnl_newneigh(struct nl_req *rq)
{
	const struct nlattr *tb[NDA_MAX + 1];
	struct neigh_info i;
	int err = parse(rq, tb, &i);
	if (err)
		return err;
	if (!i.index)
		return nl_err(rq, -EINVAL, "Device not specified");
	return neigh_set(rq->net, &i, rq->h->nlmsg_flags);
}

int rtnl_delneigh(struct nl_req *rq)
{
	const struct nlattr *tb[NDA_MAX + 1];
	struct neigh_info i;
	int err = parse(rq, tb, &i);
	if (err)
		return err;
	return i.index ? neigh_del(rq->net, &i) : -EINVAL;
}

int rtnl_getneigh(struct nl_req *rq)
{
	const struct nlattr *tb[NDA_MAX + 1];
	struct neigh_info want, i;
	struct nlb b;
	bool found = false;
	int err = parse(rq, tb, &want);
	if (err)
		return err;
	if (!want.index)
		return nl_err(rq, -EINVAL, "No device specified");
	struct neigh_walk w = {.family = want.family};
	while (!found && neigh_walk_next(rq->net, &w, &i))
		found = i.index == want.index && ip_eq(&i.dst, &want.dst);
	if (!found)
		return nl_err(rq, -ENOENT, "Neighbour entry not found");
	if (nlb_init(&b, NEIGH_PIECE))
		fill(&b, &i, rq->portid, rq->h->nlmsg_seq, RTM_NEWNEIGH, 0);
	return rtnl_send(rq, &b);
}

/* --- RTM_GETNEIGHTBL: ip-ntable(8) --- */

static void put_ms(struct nlb *b, uint16_t type, int64_t ms)
{
	nlb_u64(b, type, (uint64_t)ms);
}

/* Of a link, or of "default" (NULL). */
static void put_parms(struct nlb *b, struct net_ns *net, struct link *l, int family)
{
	uint32_t nest = nlb_nest(b, NDTA_PARMS);
#define PARM(name) neigh_parm_get(net, l, family, NEIGH_PARM_##name)
	if (l)
		nlb_u32(b, NDTPA_IFINDEX, (uint32_t)l->index);
	nlb_u32(b, NDTPA_REFCNT, 1);
	nlb_u32(b, NDTPA_QUEUE_LENBYTES, (uint32_t)PARM(unres_qlen_bytes));
	/* As packets of a full frame's charge. */
	nlb_u32(b, NDTPA_QUEUE_LEN, (uint32_t)PARM(unres_qlen_bytes) / 2100);
	nlb_u32(b, NDTPA_PROXY_QLEN, (uint32_t)PARM(proxy_qlen));
	nlb_u32(b, NDTPA_APP_PROBES, (uint32_t)PARM(app_solicit));
	nlb_u32(b, NDTPA_UCAST_PROBES, (uint32_t)PARM(ucast_solicit));
	nlb_u32(b, NDTPA_MCAST_PROBES, (uint32_t)PARM(mcast_solicit));
	nlb_u32(b, NDTPA_MCAST_REPROBES, (uint32_t)PARM(mcast_resolicit));
	put_ms(b, NDTPA_REACHABLE_TIME, PARM(base_reachable_time_ms));
	put_ms(b, NDTPA_BASE_REACHABLE_TIME, PARM(base_reachable_time_ms));
	put_ms(b, NDTPA_GC_STALETIME, PARM(gc_stale_time) * 1000L);
	put_ms(b, NDTPA_DELAY_PROBE_TIME, PARM(delay_first_probe_time) * 1000L);
	put_ms(b, NDTPA_RETRANS_TIME, PARM(retrans_time_ms));
	put_ms(b, NDTPA_ANYCAST_DELAY, PARM(anycast_delay) * 10L);
	put_ms(b, NDTPA_PROXY_DELAY, PARM(proxy_delay) * 10L);
	put_ms(b, NDTPA_LOCKTIME, PARM(locktime) * 10L);
#undef PARM
	nlb_nest_end(b, nest);
}

struct table_walk {
	uint8_t table; /* 0 IPv4, 1 IPv6 */
	bool begun;    /* its own line is told */
	int32_t after;
};

static bool fill_table(struct nlb *b, struct nl_dump *d, struct net_ns *net, struct link *l,
	bool v6)
{
	struct ndtmsg *m =
		nlb_begin(b, d->portid, d->seq, RTM_NEWNEIGHTBL, nl_dump_flags(d), sizeof(*m));
	const struct net_ctl *c = &net->ctl;
	if (!m)
		return false;
	m->ndtm_family = v6 ? AF_INET6 : AF_INET;
	nlb_str(b, NDTA_NAME, v6 ? "ndisc_cache" : "arp_cache");
	if (!l) {
		struct ndt_config conf = {.ndtc_key_len = v6 ? 16 : 4,
			.ndtc_entries = neigh_count(net, m->ndtm_family)};
		put_ms(b, NDTA_GC_INTERVAL,
			1000L * READ_ONCE(*(v6 ? &c->neigh6_gc_interval : &c->neigh4_gc_interval)));
		nlb_u32(b, NDTA_THRESH1,
			(uint32_t)READ_ONCE(*(v6 ? &c->neigh6_gc_thresh1 : &c->neigh4_gc_thresh1)));
		nlb_u32(b, NDTA_THRESH2,
			(uint32_t)READ_ONCE(*(v6 ? &c->neigh6_gc_thresh2 : &c->neigh4_gc_thresh2)));
		nlb_u32(b, NDTA_THRESH3,
			(uint32_t)READ_ONCE(*(v6 ? &c->neigh6_gc_thresh3 : &c->neigh4_gc_thresh3)));
		nlb_put(b, NDTA_CONFIG, &conf, sizeof(conf));
		nlb_reserve(b, NDTA_STATS, sizeof(struct ndt_stats));
	}
	put_parms(b, net, l, v6 ? AF_INET6 : AF_INET);
	return nlb_end(b);
}

static int dump_tables(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct table_walk *w = NL_WALK(struct table_walk, d);
	uint8_t family = *(const uint8_t *)nl_dump_payload(d);
	struct link *l;
	for (; w->table < 2; *w = (struct table_walk){.table = (uint8_t)(w->table + 1)}) {
		bool v6 = w->table == 1;
		if (family && family != (v6 ? AF_INET6 : AF_INET))
			continue;
		if (!w->begun && !fill_table(b, d, net, NULL, v6))
			return 1;
		w->begun = true;
		for (; (l = link_next(net, w->after)); link_put(l)) {
			int32_t index = l->index;
			if (!fill_table(b, d, net, l, v6)) {
				link_put(l);
				return 1;
			}
			w->after = index;
		}
	}
	return 0;
}

void rtnl_neigh_init(void)
{
	nl_dump_register(NL_DUMP_NEIGHTBL, dump_tables);
	nl_dump_register(NL_DUMP_NEIGH, dump_neighs);
}
