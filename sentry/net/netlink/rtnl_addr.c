/* Addresses: RTM_NEWADDR, DELADDR, GETADDR (net/ipv4/devinet.c, net/ipv6/addrconf.c of Linux). */
#include "sentry/net/ip/addr.h"

#include "sentry/net/netlink/rtnl_priv.h"

#define NS_PER_TICK 10000000 /* INET_ADDR's hundredths of a second */
#define ADDR_PIECE 512u

static const struct nla_rule rules4[IFA_MAX + 1] = {
	[IFA_LOCAL] = {NLA_U32},
	[IFA_ADDRESS] = {NLA_U32},
	[IFA_BROADCAST] = {NLA_U32},
	[IFA_LABEL] = {NLA_STRING, LINK_NAME_MAX - 1},
	[IFA_CACHEINFO] = {NLA_BYTES, sizeof(struct ifa_cacheinfo)},
	[IFA_FLAGS] = {NLA_U32},
	[IFA_RT_PRIORITY] = {NLA_U32},
	[IFA_TARGET_NETNSID] = {NLA_U32},
	[IFA_PROTO] = {NLA_U8},
};
static const struct nla_rule rules6[IFA_MAX + 1] = {
	[IFA_ADDRESS] = {NLA_BYTES, 16},
	[IFA_LOCAL] = {NLA_BYTES, 16},
	[IFA_CACHEINFO] = {NLA_BYTES, sizeof(struct ifa_cacheinfo)},
	[IFA_FLAGS] = {NLA_U32},
	[IFA_RT_PRIORITY] = {NLA_U32},
	[IFA_TARGET_NETNSID] = {NLA_U32},
	[IFA_PROTO] = {NLA_U8},
};

static const struct nla_rule *rules_of(uint8_t family)
{
	return family == AF_INET ? rules4 : rules6;
}

/* --- telling --- */

static void put_lifetimes(struct nlb *b, const struct ip_ifaddr *a)
{
	struct ifa_cacheinfo c = {.ifa_prefered = a->preferred,
		.ifa_valid = a->valid,
		.cstamp = (uint32_t)(a->created / NS_PER_TICK),
		.tstamp = (uint32_t)(a->updated / NS_PER_TICK)};
	nlb_put(b, IFA_CACHEINFO, &c, sizeof(c));
}

static void put_addresses(struct nlb *b, const struct ip_ifaddr *a)
{
	bool pointed = !ip_eq(&a->local, &a->peer) && !ip_is_any(&a->peer);
	if (a->family == AF_INET6) {
		if (pointed)
			nlb_addr(b, IFA_LOCAL, &a->local);
		nlb_addr(b, IFA_ADDRESS, pointed ? &a->peer : &a->local);
		return;
	}
	nlb_addr(b, IFA_ADDRESS, pointed ? &a->peer : &a->local);
	nlb_addr(b, IFA_LOCAL, &a->local);
	if (!ip_is_any(&a->broadcast))
		nlb_addr(b, IFA_BROADCAST, &a->broadcast);
	if (a->label[0])
		nlb_str(b, IFA_LABEL, a->label);
}

static bool fill(struct nlb *b, const struct ip_ifaddr *a, uint32_t portid, uint32_t seq,
	uint16_t type, uint16_t flags)
{
	struct ifaddrmsg *m = nlb_begin(b, portid, seq, type, flags, sizeof(*m));
	if (!m)
		return false;
	*m = (struct ifaddrmsg){.ifa_family = a->family,
		.ifa_prefixlen = a->prefix_len,
		.ifa_flags = (uint8_t)a->flags,
		.ifa_scope = a->scope,
		.ifa_index = (uint32_t)a->index};
	put_addresses(b, a);
	if (a->proto)
		nlb_u8(b, IFA_PROTO, a->proto);
	nlb_u32(b, IFA_FLAGS, a->flags);
	if (a->metric)
		nlb_u32(b, IFA_RT_PRIORITY, a->metric);
	put_lifetimes(b, a);
	return nlb_end(b);
}

void rtnl_addr_event(struct net_ns *net, const struct ip_ifaddr *a, bool del)
{
	uint32_t group = a->family == AF_INET ? RTNLGRP_IPV4_IFADDR : RTNLGRP_IPV6_IFADDR;
	struct nlb b;
	__atomic_add_fetch(&net->netlink->gen_addr, 1, __ATOMIC_ACQ_REL);
	if (!rtnl_event_wanted(net, group) || !nlb_init(&b, ADDR_PIECE))
		return;
	if (fill(&b, a, rtnl_event_portid(group), rtnl_event_seq(group),
		    del ? RTM_DELADDR : RTM_NEWADDR, 0))
		rtnl_event_send(net, group, &b);
	nlb_fini(&b);
}

/* --- asking --- */

struct addr_walk {
	struct ip_addr_walk w;
	int32_t index; /* 0: of all links */
	bool parsed;
	uint8_t only; /* family */
};

static int parse_filter(struct nl_dump *d, struct net_ns *net, struct addr_walk *w, struct nlb *b)
{
	const struct nlattr *tb[IFA_MAX + 1];
	struct nl_req rq = {.net = net, .h = (struct nlmsghdr *)d->req->data, .strict = d->strict};
	const struct ifaddrmsg *m = nl_payload(&rq);
	w->parsed = true;
	w->only = m->ifa_family == AF_INET || m->ifa_family == AF_INET6 ? m->ifa_family : AF_UNSPEC;
	w->w.family = w->only ? w->only : AF_INET;
	if (!d->strict)
		return 0;
	int err = nla_parse_msg(&rq, sizeof(*m), tb, IFA_MAX, rules_of(w->w.family));
	b->msg = rq.msg ? rq.msg : "Invalid values in header for address dump request";
	if (err || m->ifa_prefixlen || m->ifa_flags || m->ifa_scope)
		return err ? err : -EINVAL;
	for (uint32_t i = 1; i <= IFA_MAX; i++)
		if (tb[i]) {
			b->msg = "Unsupported attribute in dump request";
			return -EINVAL;
		}
	w->index = (int32_t)m->ifa_index;
	if (!w->index)
		return 0;
	d->answer_flags |= NLM_F_DUMP_FILTERED;
	struct link *l = link_by_index(net, w->index);
	link_put(l);
	return l ? 0 : -ENODEV;
}

/* One family after the other. */
static bool next_addr(struct net_ns *net, struct addr_walk *w, struct ip_ifaddr *a)
{
	while (!ip_addr_walk_next(net, &w->w, a)) {
		if (w->only || w->w.family == AF_INET6)
			return false;
		w->w = (struct ip_addr_walk){.family = AF_INET6};
	}
	return true;
}

static int dump_addrs(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b)
{
	struct addr_walk *w = NL_WALK(struct addr_walk, d), before;
	struct ip_ifaddr a;
	int err = w->parsed ? 0 : parse_filter(d, net, w, b);
	if (err)
		return err;
	nl_dump_check(d, __atomic_load_n(&net->netlink->gen_addr, __ATOMIC_ACQUIRE) +
				 __atomic_load_n(&net->netlink->gen_link, __ATOMIC_ACQUIRE));
	while (!ctx_killed(ctx)) {
		before = *w;
		if (!next_addr(net, w, &a))
			break;
		if (w->index && a.index != w->index)
			continue;
		if (!fill(b, &a, d->portid, d->seq, RTM_NEWADDR, nl_dump_flags(d))) {
			*w = before;
			return 1;
		}
	}
	return 0;
}

/* What a question of the strict form may have. */
static int check_getaddr(struct nl_req *rq, const struct nlattr **tb)
{
	const struct ifaddrmsg *m = nl_payload(rq);
	if (m->ifa_prefixlen || m->ifa_flags || m->ifa_scope)
		return nl_err(rq, -EINVAL,
			"ipv6: Invalid values in header for get address request");
	for (uint32_t i = 1; i <= IFA_MAX; i++)
		if (tb[i] && i != IFA_TARGET_NETNSID && i != IFA_ADDRESS && i != IFA_LOCAL)
			return nl_err_attr(rq, -EINVAL, tb[i],
				"ipv6: Unsupported attribute in get address request");
	return 0;
}

/* IPv6 only: the one address, of one link if it is named. */
int rtnl_getaddr(struct nl_req *rq)
{
	const struct nlattr *tb[IFA_MAX + 1];
	const struct ifaddrmsg *m = nl_payload(rq);
	struct ip_ifaddr a;
	struct ip_addr which;
	struct nlb b;
	rq->strict = nl_flag(rq->s, NL_F_STRICT);
	int err = nla_parse_msg(rq, sizeof(*m), tb, IFA_MAX, rules6);
	if (!err && rq->strict)
		err = check_getaddr(rq, tb);
	if (err)
		return err;
	const struct nlattr *at = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	if (!at || !nla_addr(at, AF_INET6, &which))
		return -EINVAL;
	if (!ip_addr_get(rq->net, &which, (int32_t)m->ifa_index, &a))
		return -EADDRNOTAVAIL;
	if (nlb_init(&b, ADDR_PIECE))
		fill(&b, &a, rq->portid, rq->h->nlmsg_seq, RTM_NEWADDR, 0);
	return rtnl_send(rq, &b);
}

/* --- changing --- */

static int parse4(struct nl_req *rq, const struct nlattr **tb, struct ip_ifaddr *a, bool add)
{
	if (a->prefix_len > 32)
		return nl_err(rq, -EINVAL, "ipv4: Invalid prefix length");
	if (add && !tb[IFA_LOCAL])
		return nl_err(rq, -EINVAL, "ipv4: Local address is not supplied");
	a->local = tb[IFA_LOCAL] ? ip_v4(nla_u32(tb[IFA_LOCAL])) : IP_ANY4;
	a->peer = tb[IFA_ADDRESS] ? ip_v4(nla_u32(tb[IFA_ADDRESS])) : a->local;
	a->broadcast = tb[IFA_BROADCAST] ? ip_v4(nla_u32(tb[IFA_BROADCAST])) : IP_ANY4;
	if (tb[IFA_LABEL])
		nla_text(tb[IFA_LABEL], a->label, sizeof(a->label));
	return 0;
}

/* IFA_ADDRESS is the peer if IFA_LOCAL says something else. */
static int parse6(struct nl_req *rq, const struct nlattr **tb, struct ip_ifaddr *a, bool add)
{
	if (a->prefix_len > 128)
		return nl_err(rq, -EINVAL, "ipv6: Invalid prefix length");
	if (!tb[IFA_LOCAL] && !tb[IFA_ADDRESS])
		return nl_err(rq, -EINVAL,
			add ? "ipv6: Invalid address" : "ipv6: address not found");
	a->local = ip_v6(nla_data(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS]));
	a->peer = ip_v6(nla_data(tb[IFA_ADDRESS] ? tb[IFA_ADDRESS] : tb[IFA_LOCAL]));
	a->broadcast = IP_ANY6;
	return 0;
}

static int parse_lifetimes(struct nl_req *rq, const struct nlattr *at, struct ip_ifaddr *a)
{
	struct ifa_cacheinfo c;
	a->preferred = a->valid = IP_FOREVER;
	if (!at)
		return 0;
	memcpy(&c, nla_data(at), sizeof(c));
	if (!c.ifa_valid || c.ifa_prefered > c.ifa_valid)
		return nl_err_attr(rq, -EINVAL, at,
			a->family == AF_INET ? "ipv4: Invalid address lifetime values"
					     : "ipv6: address lifetime invalid");
	a->preferred = c.ifa_prefered;
	a->valid = c.ifa_valid;
	return 0;
}

/* What the message says; tb is filled. */
static int parse(struct nl_req *rq, const struct nlattr **tb, struct ip_ifaddr *a, bool add)
{
	const struct ifaddrmsg *m = nl_payload(rq);
	if (nl_payload_len(rq) < sizeof(*m))
		return -EINVAL;
	*a = (struct ip_ifaddr){.index = (int32_t)m->ifa_index,
		.family = m->ifa_family,
		.prefix_len = m->ifa_prefixlen,
		.scope = m->ifa_scope,
		.flags = m->ifa_flags};
	int err = nla_parse_msg(rq, sizeof(*m), tb, IFA_MAX, rules_of(m->ifa_family));
	if (!err)
		err = m->ifa_family == AF_INET ? parse4(rq, tb, a, add) : parse6(rq, tb, a, add);
	if (err)
		return err;
	if (tb[IFA_FLAGS])
		a->flags = nla_u32(tb[IFA_FLAGS]);
	if (tb[IFA_RT_PRIORITY])
		a->metric = nla_u32(tb[IFA_RT_PRIORITY]);
	if (tb[IFA_PROTO])
		a->proto = nla_u8(tb[IFA_PROTO]);
	return add ? parse_lifetimes(rq, tb[IFA_CACHEINFO], a) : 0;
}

int rtnl_newaddr(struct nl_req *rq)
{
	const struct nlattr *tb[IFA_MAX + 1];
	struct ip_ifaddr a;
	int err = parse(rq, tb, &a, true);
	if (err)
		return err;
	bool v4 = a.family == AF_INET;
	struct link *l = link_by_index(rq->net, a.index);
	if (!l)
		return nl_err(rq, -ENODEV,
			v4 ? "ipv4: Device not found" : "ipv6: Unable to find the interface");
	if (v4 && !tb[IFA_LABEL])
		memcpy(a.label, l->name, sizeof(a.label));
	link_put(l);
	err = ip_addr_add(rq->net, &a, rq->h->nlmsg_flags);
	if (err == -EEXIST)
		rq->msg = v4 ? "ipv4: Address already assigned" : "ipv6: address already assigned";
	return err;
}

/* Of IPv4, whatever the message leaves open matches anything. */
static bool matches4(const struct nlattr **tb, const struct ip_ifaddr *want,
	const struct ip_ifaddr *a)
{
	if (tb[IFA_LOCAL] && !ip_eq(&a->local, &want->local))
		return false;
	if (tb[IFA_LABEL] && strncmp(a->label, want->label, sizeof(a->label)))
		return false;
	return !tb[IFA_ADDRESS] ||
	       (a->prefix_len == want->prefix_len &&
		       ip_prefix_eq(&a->peer, &want->peer, 96u + want->prefix_len));
}

int rtnl_deladdr(struct nl_req *rq)
{
	const struct nlattr *tb[IFA_MAX + 1];
	struct ip_ifaddr a, have;
	struct ip_addr_walk w = {0};
	int err = parse(rq, tb, &a, false);
	if (err)
		return err;
	struct link *l = link_by_index(rq->net, a.index);
	link_put(l);
	if (!l)
		return nl_err(rq, -ENODEV,
			a.family == AF_INET ? "ipv4: Device not found"
					    : "ipv6: Unable to find the interface");
	w.family = a.family;
	while (ip_addr_walk_next(rq->net, &w, &have)) {
		if (have.index != a.index)
			continue;
		if (a.family == AF_INET
				? matches4(tb, &a, &have)
				: have.prefix_len == a.prefix_len && ip_eq(&have.local, &a.local))
			return ip_addr_del(rq->net, &have);
	}
	return nl_err(rq, -EADDRNOTAVAIL,
		a.family == AF_INET ? "ipv4: Address not found" : "ipv6: address not found");
}

void rtnl_addr_init(void)
{
	nl_dump_register(NL_DUMP_ADDR, dump_addrs);
}
