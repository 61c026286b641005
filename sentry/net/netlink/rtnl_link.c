/* Links, as RTM_NEWLINK tells of them: dumps, RTM_GETLINK, events (net/core/rtnetlink.c). */
#include <linux/if_link.h>
#include <linux/ip.h>

#include "sentry/net/ip/addr.h"
#include "sentry/net/netlink/rtnl_priv.h"

#define LINK_PIECE 4096u /* of an event: longer than any link */

/* Nothing here queues; a link has Linux' placeholder until it is first up. */
const char *rtnl_qdisc(const struct link *l)
{
	return READ_ONCE(l->was_up) ? "noqueue" : "noop";
}

static uint64_t read64(const uint64_t *v)
{
	return __atomic_load_n(v, __ATOMIC_RELAXED);
}

void rtnl_link_stats(const struct link *l, struct rtnl_link_stats64 *o)
{
	const struct link_stats *s = &l->stats;
	*o = (struct rtnl_link_stats64){.rx_packets = read64(&s->rx_packets),
		.tx_packets = read64(&s->tx_packets),
		.rx_bytes = read64(&s->rx_bytes),
		.tx_bytes = read64(&s->tx_bytes),
		.rx_errors = read64(&s->rx_errors),
		.tx_errors = read64(&s->tx_errors),
		.rx_dropped = read64(&s->rx_dropped),
		.tx_dropped = read64(&s->tx_dropped),
		.multicast = read64(&s->rx_multicast)};
}

static void put_stats(struct nlb *b, const struct link *l)
{
	struct rtnl_link_stats64 s;
	uint32_t narrow[sizeof(struct rtnl_link_stats) / 4];
	rtnl_link_stats(l, &s);
	/* The older structure has the same counters, as words. */
	for (size_t i = 0; i < ARRAY_LEN(narrow); i++)
		narrow[i] = (uint32_t)((uint64_t *)&s)[i];
	nlb_put(b, IFLA_STATS64, &s, sizeof(s));
	nlb_put(b, IFLA_STATS, narrow, sizeof(narrow));
}

static void put_kind(struct nlb *b, struct link *l)
{
	const char *kind = link_ops(l)->name;
	bool port = READ_ONCE(l->master) != 0;
	if (!kind && !port)
		return;
	uint32_t nest = nlb_nest(b, IFLA_LINKINFO);
	if (kind)
		nlb_str(b, IFLA_INFO_KIND, kind);
	if (port)
		nlb_str(b, IFLA_INFO_SLAVE_KIND, "bridge");
	nlb_nest_end(b, nest);
}

static void put_settings(struct nlb *b, struct link *l, const char *alias)
{
	struct rtnl_link_ifmap map = {0};
	bool carrier = !READ_ONCE(l->no_carrier);
	nlb_u32(b, IFLA_TXQLEN, READ_ONCE(l->txqlen));
	nlb_u8(b, IFLA_OPERSTATE, link_operstate(l));
	nlb_u8(b, IFLA_LINKMODE, 0);
	nlb_u32(b, IFLA_MTU, READ_ONCE(l->mtu));
	nlb_u32(b, IFLA_MIN_MTU, l->min_mtu);
	nlb_u32(b, IFLA_MAX_MTU, l->kind == LINK_LOOPBACK ? 0 : l->max_mtu);
	nlb_u32(b, IFLA_GROUP, READ_ONCE(l->group));
	nlb_u32(b, IFLA_PROMISCUITY, READ_ONCE(l->promiscuity));
	nlb_u32(b, IFLA_ALLMULTI, READ_ONCE(l->allmulti));
	nlb_u32(b, IFLA_NUM_TX_QUEUES, 1);
	nlb_u32(b, IFLA_GSO_MAX_SEGS, 65535);
	nlb_u32(b, IFLA_GSO_MAX_SIZE, PKT_MAX);
	nlb_u32(b, IFLA_GRO_MAX_SIZE, PKT_MAX);
	nlb_u32(b, IFLA_TSO_MAX_SIZE, 8 * 65535);
	nlb_u32(b, IFLA_TSO_MAX_SEGS, 65535);
	nlb_u32(b, IFLA_NUM_RX_QUEUES, 1);
	if (READ_ONCE(l->master))
		nlb_u32(b, IFLA_MASTER, (uint32_t)READ_ONCE(l->master));
	nlb_u8(b, IFLA_CARRIER, carrier);
	nlb_str(b, IFLA_QDISC, rtnl_qdisc(l));
	if (alias[0])
		nlb_str(b, IFLA_IFALIAS, alias);
	nlb_u32(b, IFLA_CARRIER_CHANGES, 0);
	nlb_u32(b, IFLA_CARRIER_UP_COUNT, 0);
	nlb_u32(b, IFLA_CARRIER_DOWN_COUNT, 0);
	nlb_u8(b, IFLA_PROTO_DOWN, 0);
	nlb_put(b, IFLA_MAP, &map, sizeof(map));
}

static void put_addresses(struct nlb *b, struct net_ns *net, struct link *l)
{
	static const uint8_t zero[LINK_ADDR_MAX];
	if (!l->addr_len)
		return;
	mutex_lock(&net->link_lock);
	nlb_put(b, IFLA_ADDRESS, l->addr, l->addr_len);
	nlb_put(b, IFLA_BROADCAST, l->broadcast, l->addr_len);
	if (memcmp(l->perm_addr, zero, l->addr_len))
		nlb_put(b, IFLA_PERM_ADDRESS, l->perm_addr, l->addr_len);
	mutex_unlock(&net->link_lock);
}

/* IFLA_AF_SPEC: what the families keep of a link. */
static void put_families(struct nlb *b, struct net_ns *net, struct link *l)
{
	static const struct {
		uint8_t at; /* IPV4_DEVCONF_* */
		enum ip_conf conf;
	} words[] = {
		{IPV4_DEVCONF_FORWARDING, IP_CONF_4_forwarding},
		{IPV4_DEVCONF_PROXY_ARP, IP_CONF_4_proxy_arp},
		{IPV4_DEVCONF_ACCEPT_REDIRECTS, IP_CONF_4_accept_redirects},
		{IPV4_DEVCONF_SECURE_REDIRECTS, IP_CONF_4_secure_redirects},
		{IPV4_DEVCONF_SEND_REDIRECTS, IP_CONF_4_send_redirects},
		{IPV4_DEVCONF_SHARED_MEDIA, IP_CONF_4_shared_media},
		{IPV4_DEVCONF_RP_FILTER, IP_CONF_4_rp_filter},
		{IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE, IP_CONF_4_accept_source_route},
		{IPV4_DEVCONF_LOG_MARTIANS, IP_CONF_4_log_martians},
		{IPV4_DEVCONF_ARPFILTER, IP_CONF_4_arp_filter},
		{IPV4_DEVCONF_ARP_ANNOUNCE, IP_CONF_4_arp_announce},
		{IPV4_DEVCONF_ARP_IGNORE, IP_CONF_4_arp_ignore},
		{IPV4_DEVCONF_PROMOTE_SECONDARIES, IP_CONF_4_promote_secondaries},
		{IPV4_DEVCONF_ARP_ACCEPT, IP_CONF_4_arp_accept},
		{IPV4_DEVCONF_ARP_NOTIFY, IP_CONF_4_arp_notify},
		{IPV4_DEVCONF_ACCEPT_LOCAL, IP_CONF_4_accept_local},
		{IPV4_DEVCONF_TAG, IP_CONF_4_tag},
		{IPV4_DEVCONF_BOOTP_RELAY, IP_CONF_4_bootp_relay},
		{IPV4_DEVCONF_ROUTE_LOCALNET, IP_CONF_4_route_localnet},
	};
	uint32_t all = nlb_nest(b, IFLA_AF_SPEC), nest = nlb_nest(b, AF_INET);
	uint32_t *conf = nlb_reserve(b, IFLA_INET_CONF, IPV4_DEVCONF_MAX * sizeof(*conf));
	for (size_t i = 0; conf && i < ARRAY_LEN(words); i++)
		conf[words[i].at - 1] = (uint32_t)ip_conf_get(net, l, IP_CONF_LINK, words[i].conf);
	nlb_nest_end(b, nest);
	nest = nlb_nest(b, AF_INET6);
	nlb_u32(b, IFLA_INET6_FLAGS, link_is_up(l) ? 0x80000000u : 0); /* IF_READY */
	nlb_u8(b, IFLA_INET6_ADDR_GEN_MODE,
		(uint8_t)ip_conf_get(net, l, IP_CONF_LINK, IP_CONF_6_addr_gen_mode));
	nlb_nest_end(b, nest);
	nlb_nest_end(b, all);
}

/* A veth's other end, and by what number its namespace is known here if it is another. */
static void put_peer(struct nlb *b, struct net_ns *net, struct link *l)
{
	struct link *peer = l->kind == LINK_VETH ? link_peer_get(&l->peer) : NULL;
	struct net_ns *other = peer ? link_net_get(peer) : NULL;
	if (peer)
		nlb_u32(b, IFLA_LINK, (uint32_t)peer->index);
	if (other && other != net) {
		int32_t nsid = nl_nsid_of(net, other);
		if (nsid >= 0)
			nlb_u32(b, IFLA_LINK_NETNSID, (uint32_t)nsid);
	}
	net_ns_put(other);
	link_put(peer);
}

bool rtnl_fill_link(struct nlb *b, struct net_ns *net, struct link *l, uint32_t portid,
	uint32_t seq, uint16_t type, uint16_t flags, uint32_t change)
{
	struct ifinfomsg *m = nlb_begin(b, portid, seq, type, flags, sizeof(*m));
	char name[LINK_NAME_MAX], alias[sizeof(l->alias)];
	if (!m)
		return false;
	*m = (struct ifinfomsg){.ifi_type = l->hatype,
		.ifi_index = l->index,
		.ifi_flags = link_flags(l),
		.ifi_change = change};
	mutex_lock(&net->link_lock);
	memcpy(name, l->name, sizeof(name));
	memcpy(alias, l->alias, sizeof(alias));
	mutex_unlock(&net->link_lock);
	nlb_str(b, IFLA_IFNAME, name);
	put_settings(b, l, alias);
	put_addresses(b, net, l);
	put_stats(b, l);
	uint32_t xdp = nlb_nest(b, IFLA_XDP);
	nlb_u8(b, IFLA_XDP_ATTACHED, 0);
	nlb_nest_end(b, xdp);
	put_kind(b, l);
	put_peer(b, net, l);
	if (type == RTM_NEWLINK)
		put_families(b, net, l);
	return nlb_end(b);
}

/* --- finding --- */

struct link *rtnl_find_link(struct nl_req *rq, int32_t index, const struct nlattr *name,
	const struct nlattr *alt)
{
	char text[LINK_NAME_MAX];
	if (index > 0)
		return link_by_index(rq->net, index);
	/* There are no alternative names, but a link's own is one of its names. */
	if (!name && (!alt || nla_len(alt) > LINK_NAME_MAX))
		return NULL;
	nla_text(name ? name : alt, text, sizeof(text));
	return link_by_name(rq->net, text);
}

static const struct nla_rule link_rules[IFLA_MAX + 1] = {
	[IFLA_IFNAME] = {NLA_STRING, LINK_NAME_MAX - 1},
	[IFLA_MASTER] = {NLA_U32},
	[IFLA_LINKINFO] = {NLA_NESTED},
	[IFLA_EXT_MASK] = {NLA_U32},
	[IFLA_IF_NETNSID] = {NLA_U32},
	[IFLA_ALT_IFNAME] = {NLA_STRING, 127},
};

/* What a request of the strict form may not have. */
static int check_strict(struct nl_req *rq, const struct nlattr **tb, bool dump)
{
	const struct ifinfomsg *m = nl_payload(rq);
	if (m->ifi_type || m->ifi_flags || m->ifi_change || m->__ifi_pad)
		return nl_err(rq, -EINVAL,
			dump ? "Invalid values in header for link dump request"
			     : "Invalid values in header for get link request");
	if (dump && m->ifi_index)
		return nl_err(rq, -EINVAL, "Filter by device index not supported for link dumps");
	for (uint32_t i = 0; i <= IFLA_MAX; i++) {
		if (!tb[i] || i == IFLA_IF_NETNSID || i == IFLA_EXT_MASK)
			continue;
		if (dump ? i == IFLA_MASTER || i == IFLA_LINKINFO
			 : i == IFLA_IFNAME || i == IFLA_ALT_IFNAME)
			continue;
		return nl_err(rq, -EINVAL,
			dump ? "Unsupported attribute in link dump request"
			     : "Unsupported attribute in get link request");
	}
	return 0;
}

int rtnl_getlink(struct nl_req *rq)
{
	const struct nlattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *m = nl_payload(rq);
	struct nlb b;
	rq->strict = nl_flag(rq->s, NL_F_STRICT);
	int err = nla_parse_msg(rq, sizeof(*m), tb, IFLA_MAX, link_rules);
	if (!err && rq->strict)
		err = check_strict(rq, tb, false);
	if (!err && tb[IFLA_IF_NETNSID])
		return nl_err_attr(rq, -EINVAL, tb[IFLA_IF_NETNSID],
			"Invalid target network namespace id");
	if (err)
		return err;
	if (m->ifi_index <= 0 && !tb[IFLA_IFNAME] && !tb[IFLA_ALT_IFNAME])
		return -EINVAL;
	struct link *l = rtnl_find_link(rq, m->ifi_index, tb[IFLA_IFNAME], tb[IFLA_ALT_IFNAME]);
	if (!l)
		return -ENODEV;
	if (nlb_init(&b, RTNL_ONE))
		rtnl_fill_link(&b, rq->net, l, rq->portid, rq->h->nlmsg_seq, RTM_NEWLINK, 0, 0);
	link_put(l);
	return rtnl_send(rq, &b);
}

/* --- dumps --- */

struct link_walk {
	int32_t after, master;
	char kind[LINK_NAME_MAX];
	bool parsed, filter;
};

/* What the request asks for: IFLA_MASTER, IFLA_LINKINFO's kind. */
static int parse_filter(struct nl_dump *d, struct net_ns *net, struct link_walk *w, struct nlb *b)
{
	const struct nlattr *tb[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
	struct nl_req rq = {.net = net, .h = (struct nlmsghdr *)d->req->data, .strict = d->strict};
	int err = 0;
	w->parsed = true;
	/* Some programs send a struct rtgenmsg, or one with attributes right behind it. */
	if (!d->strict && nl_payload_len(&rq) < sizeof(struct ifinfomsg))
		return 0;
	err = nla_parse_msg(&rq, sizeof(struct ifinfomsg), tb, IFLA_MAX, link_rules);
	if (!err && d->strict)
		err = check_strict(&rq, tb, true);
	b->msg = rq.msg;
	if (err)
		return d->strict ? err : 0;
	if (tb[IFLA_MASTER])
		w->master = (int32_t)nla_u32(tb[IFLA_MASTER]);
	if (tb[IFLA_LINKINFO] &&
		!nla_parse_nested(&rq, info, IFLA_INFO_MAX, tb[IFLA_LINKINFO], NULL) &&
		info[IFLA_INFO_KIND])
		nla_text(info[IFLA_INFO_KIND], w->kind, sizeof(w->kind));
	if (w->master || w->kind[0])
		d->answer_flags |= NLM_F_DUMP_FILTERED;
	return 0;
}

static bool wanted(const struct link_walk *w, struct link *l)
{
	const char *kind = link_ops(l)->name;
	if (w->master && READ_ONCE(l->master) != w->master)
		return false;
	return !w->kind[0] || (kind && !strcmp(kind, w->kind));
}

static int dump_links(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct link_walk *w = NL_WALK(struct link_walk, d);
	struct link *l;
	int err = w->parsed ? 0 : parse_filter(d, net, w, b);
	if (err)
		return err;
	nl_dump_check(d, __atomic_load_n(&net->netlink->gen_link, __ATOMIC_ACQUIRE));
	while (!ctx_killed(ctx) && (l = link_next(net, w->after))) {
		int32_t index = l->index;
		bool ok = !wanted(w, l) || rtnl_fill_link(b, net, l, d->portid, d->seq, RTM_NEWLINK,
						   nl_dump_flags(d), 0);
		link_put(l);
		if (!ok)
			return 1;
		w->after = index;
	}
	return 0;
}

/* --- events --- */

void rtnl_link_event(struct net_ns *net, struct link *l, bool del, uint32_t change)
{
	struct nlb b;
	__atomic_add_fetch(&net->netlink->gen_link, 1, __ATOMIC_ACQ_REL);
	if (!rtnl_event_wanted(net, RTNLGRP_LINK) || !nlb_init(&b, LINK_PIECE))
		return;
	if (rtnl_fill_link(&b, net, l, rtnl_event_portid(RTNLGRP_LINK),
		    rtnl_event_seq(RTNLGRP_LINK), del ? RTM_DELLINK : RTM_NEWLINK, 0, change))
		rtnl_event_send(net, RTNLGRP_LINK, &b);
	nlb_fini(&b);
}

void rtnl_link_init(void)
{
	nl_dump_register(NL_DUMP_LINK, dump_links);
}
