/*
 * The smaller parts of rtnetlink(7): numbers of other namespaces (RTM_GETNSID), queueing
 * disciplines (RTM_GETQDISC: there is none but the one that does not queue), address labels
 * (RFC 6724, 2.1), settings of links (RTM_GETNETCONF), and tables that have nothing in them.
 */
#include <linux/gen_stats.h>
#include <linux/if_addrlabel.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/pkt_sched.h>

#include "sentry/net/ip/addr.h"
#include "sentry/net/netlink/rtnl_priv.h"

/* --- numbers of namespaces --- */

static const struct nla_rule nsid_rules[NETNSA_MAX + 1] = {
	[NETNSA_NSID] = {NLA_U32},
	[NETNSA_PID] = {NLA_U32},
	[NETNSA_FD] = {NLA_U32},
	[NETNSA_TARGET_NSID] = {NLA_U32},
};

/* The number that net knows peer by; -1: none. */
static int32_t find_nsid(struct netlink_net *n, uint64_t peer) REQUIRES(n->lock)
{
	for (uint32_t i = 0; i < n->nnsids; i++)
		if (n->nsid[i].peer == peer)
			return n->nsid[i].nsid;
	return -1;
}

static bool nsid_taken(struct netlink_net *n, int32_t nsid) REQUIRES(n->lock)
{
	for (uint32_t i = 0; i < n->nnsids; i++)
		if (n->nsid[i].nsid == nsid)
			return true;
	return false;
}

/* want -1: the lowest free one. */
static int add_nsid(struct netlink_net *n, uint64_t peer, int32_t want)
{
	MUTEX_GUARD(&n->lock);
	if (find_nsid(n, peer) >= 0)
		return -EEXIST;
	if (n->nnsids == NL_NSIDS_MAX)
		return -ENOSPC;
	if (want >= 0 && nsid_taken(n, want))
		return -EEXIST;
	for (int32_t i = 0; want < 0; i++)
		if (!nsid_taken(n, i))
			want = i;
	n->nsid[n->nnsids].peer = peer;
	n->nsid[n->nnsids++].nsid = want;
	return want;
}

int32_t nl_nsid_of(struct net_ns *net, const struct net_ns *peer)
{
	mutex_lock(&net->netlink->lock);
	int32_t nsid = find_nsid(net->netlink, peer->id);
	mutex_unlock(&net->netlink->lock);
	return nsid >= 0 ? nsid : add_nsid(net->netlink, peer->id, -1);
}

static void fill_nsid(struct nlb *b, const struct nl_req *rq, int32_t nsid)
{
	struct rtgenmsg *m = nlb_begin(b, rq->portid, rq->h->nlmsg_seq, RTM_NEWNSID, 0, sizeof(*m));
	if (!m)
		return;
	nlb_u32(b, NETNSA_NSID, (uint32_t)nsid);
	nlb_end(b);
}

/* The one that NETNSA_PID or NETNSA_FD names, with a reference. */
static struct net_ns *named_ns(struct nl_req *rq, const struct nlattr **tb, int *err)
{
	struct net_ns *ns;
	const struct nlattr *at = tb[NETNSA_PID] ? tb[NETNSA_PID] : tb[NETNSA_FD];
	if (tb[NETNSA_PID])
		ns = nl_ns_by_pid(rq->ctx, (int32_t)nla_u32(at), err);
	else
		ns = nl_ns_by_fd(rq->ctx, (int32_t)nla_u32(at), err);
	if (!ns)
		nl_err_attr(rq, *err, at, "Peer netns reference is invalid");
	return ns;
}

int rtnl_newnsid(struct nl_req *rq)
{
	const struct nlattr *tb[NETNSA_MAX + 1];
	int err = nla_parse_msg(rq, sizeof(struct rtgenmsg), tb, NETNSA_MAX, nsid_rules);
	if (err)
		return err;
	if (!tb[NETNSA_NSID])
		return nl_err(rq, -EINVAL, "nsid is missing");
	if (!tb[NETNSA_PID] && !tb[NETNSA_FD])
		return nl_err(rq, -EINVAL, "Peer netns reference is missing");
	struct net_ns *ns = named_ns(rq, tb, &err);
	if (!ns)
		return err;
	int r = add_nsid(rq->net->netlink, ns->id, (int32_t)nla_u32(tb[NETNSA_NSID]));
	net_ns_put(ns);
	if (r == -EEXIST)
		return nl_err(rq, r, "Peer netns already has a nsid assigned");
	if (r == -ENOSPC)
		return nl_err(rq, r, "The specified nsid is already used");
	return MIN(r, 0);
}

int rtnl_getnsid(struct nl_req *rq)
{
	const struct nlattr *tb[NETNSA_MAX + 1];
	struct nlb b;
	int32_t nsid = -1;
	rq->strict = nl_flag(rq->s, NL_F_STRICT);
	int err = nla_parse_msg(rq, sizeof(struct rtgenmsg), tb, NETNSA_MAX, nsid_rules);
	if (err)
		return err;
	struct netlink_net *n = rq->net->netlink;
	if (tb[NETNSA_PID] || tb[NETNSA_FD]) {
		struct net_ns *ns = named_ns(rq, tb, &err);
		if (!ns)
			return err;
		mutex_lock(&n->lock);
		nsid = find_nsid(n, ns->id);
		mutex_unlock(&n->lock);
		net_ns_put(ns);
	} else if (tb[NETNSA_NSID]) {
		nsid = (int32_t)nla_u32(tb[NETNSA_NSID]);
		mutex_lock(&n->lock);
		err = nsid_taken(n, nsid) ? 0 : -ENOENT;
		mutex_unlock(&n->lock);
		if (err)
			return nl_err_attr(rq, err, tb[NETNSA_NSID],
				"Peer netns reference is invalid");
	} else {
		return nl_err(rq, -EINVAL, "Peer netns reference is missing");
	}
	if (nlb_init(&b, 64))
		fill_nsid(&b, rq, nsid);
	return rtnl_send(rq, &b);
}

static int dump_nsids(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct netlink_net *n = net->netlink;
	MUTEX_GUARD(&n->lock);
	for (; d->pos[0] < n->nnsids; d->pos[0]++) {
		if (!nlb_begin(b, d->portid, d->seq, RTM_NEWNSID, nl_dump_flags(d),
			    sizeof(struct rtgenmsg)))
			return 1;
		nlb_u32(b, NETNSA_NSID, (uint32_t)n->nsid[d->pos[0]].nsid);
		if (!nlb_end(b))
			return 1;
	}
	return 0;
}

/* --- queueing disciplines --- */

static bool fill_qdisc(struct nlb *b, struct nl_dump *d, const struct link *l)
{
	struct tcmsg *m =
		nlb_begin(b, d->portid, d->seq, RTM_NEWQDISC, nl_dump_flags(d), sizeof(*m));
	if (!m)
		return false;
	*m = (struct tcmsg){.tcm_ifindex = l->index, .tcm_parent = TC_H_ROOT, .tcm_info = 2};
	nlb_str(b, TCA_KIND, rtnl_qdisc(l));
	nlb_u8(b, TCA_HW_OFFLOAD, 0);
	uint32_t nest = nlb_nest(b, TCA_STATS2);
	nlb_reserve(b, TCA_STATS_BASIC, 16);
	nlb_reserve(b, TCA_STATS_QUEUE, 20);
	nlb_nest_end(b, nest);
	nlb_reserve(b, TCA_STATS, sizeof(struct tc_stats));
	return nlb_end(b);
}

/* pos: index of the last link. */
static int dump_qdiscs(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	const struct tcmsg *m = nl_dump_payload(d);
	int32_t only = d->len >= NLMSG_LENGTH(sizeof(*m)) ? m->tcm_ifindex : 0;
	struct link *l;
	while (!ctx_killed(ctx) && (l = link_next(net, (int32_t)d->pos[0]))) {
		int32_t index = l->index;
		/* The placeholder of a link that was never up is not shown. */
		bool ok = (only && index != only) || !link_is_up(l) || fill_qdisc(b, d, l);
		link_put(l);
		if (!ok)
			return 1;
		d->pos[0] = (uint64_t)index;
	}
	return 0;
}

/* --- address labels --- */

static const struct {
	uint8_t addr[16], len, label;
} labels[] = {
	{{[15] = 1}, 128, 0},
	{{0}, 96, 3},
	{{[10] = 0xff, [11] = 0xff}, 96, 4},
	{{0x20, 0x01}, 32, 6},
	{{0x20, 0x01, 0x00, 0x10}, 28, 7},
	{{0x3f, 0xfe}, 16, 12},
	{{0x20, 0x02}, 16, 2},
	{{0xfe, 0xc0}, 10, 11},
	{{0xfc}, 7, 5},
	{{0}, 0, 1},
};

static int dump_labels(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	for (; d->pos[0] < ARRAY_LEN(labels); d->pos[0]++) {
		uint64_t i = d->pos[0];
		struct ifaddrlblmsg *m = nlb_begin(b, d->portid, d->seq, RTM_NEWADDRLABEL,
			nl_dump_flags(d), sizeof(*m));
		if (!m)
			return 1;
		*m = (struct ifaddrlblmsg){.ifal_family = AF_INET6,
			.ifal_prefixlen = labels[i].len};
		nlb_put(b, IFAL_ADDRESS, labels[i].addr, 16);
		nlb_u32(b, IFAL_LABEL, labels[i].label);
		if (!nlb_end(b))
			return 1;
	}
	return 0;
}

/* --- what is set of links: RTM_GETNETCONF --- */

static bool fill_netconf(struct nlb *b, struct nl_dump *d, struct net_ns *net, struct link *l,
	enum ip_conf_of of, bool v6)
{
	struct netconfmsg *m =
		nlb_begin(b, d->portid, d->seq, RTM_NEWNETCONF, nl_dump_flags(d), sizeof(*m));
	int32_t index = l                   ? l->index
			: of == IP_CONF_ALL ? NETCONFA_IFINDEX_ALL
					    : NETCONFA_IFINDEX_DEFAULT;
	if (!m)
		return false;
	m->ncm_family = v6 ? AF_INET6 : AF_INET;
	nlb_u32(b, NETCONFA_IFINDEX, (uint32_t)index);
	nlb_u32(b, NETCONFA_FORWARDING,
		(uint32_t)ip_conf_get(net, l, of,
			v6 ? IP_CONF_6_forwarding : IP_CONF_4_forwarding));
	if (!v6)
		nlb_u32(b, NETCONFA_RP_FILTER,
			(uint32_t)ip_conf_get(net, l, of, IP_CONF_4_rp_filter));
	nlb_u32(b, NETCONFA_MC_FORWARDING, 0);
	if (!v6)
		nlb_u32(b, NETCONFA_BC_FORWARDING,
			(uint32_t)ip_conf_get(net, l, of, IP_CONF_4_bc_forwarding));
	nlb_u32(b, NETCONFA_PROXY_NEIGH,
		(uint32_t)ip_conf_get(net, l, of, v6 ? IP_CONF_6_proxy_ndp : IP_CONF_4_proxy_arp));
	nlb_u32(b, NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN,
		v6 ? 0 : (uint32_t)ip_conf_get(net, l, of, IP_CONF_4_ignore_routes_with_linkdown));
	return nlb_end(b);
}

struct conf_walk {
	int32_t after;
	uint8_t stage; /* links, all, default, end */
};

static int dump_netconf(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct conf_walk *w = NL_WALK(struct conf_walk, d);
	bool v6 = *(const uint8_t *)nl_dump_payload(d) == AF_INET6;
	struct link *l;
	for (; w->stage == 0 && (l = link_next(net, w->after)); link_put(l)) {
		int32_t index = l->index;
		if (!fill_netconf(b, d, net, l, IP_CONF_LINK, v6)) {
			link_put(l);
			return 1;
		}
		w->after = index;
	}
	for (w->stage = MAX(w->stage, (uint8_t)1); w->stage < 3; w->stage++)
		if (!fill_netconf(b, d, net, NULL, w->stage == 1 ? IP_CONF_ALL : IP_CONF_DEFAULT,
			    v6))
			return 1;
	return 0;
}

static int dump_nothing(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	return 0;
}

void rtnl_misc_init(void)
{
	nl_dump_register(NL_DUMP_NSID, dump_nsids);
	nl_dump_register(NL_DUMP_QDISC, dump_qdiscs);
	nl_dump_register(NL_DUMP_ADDRLABEL, dump_labels);
	nl_dump_register(NL_DUMP_NETCONF, dump_netconf);
	nl_dump_register(NL_DUMP_EMPTY, dump_nothing);
}
