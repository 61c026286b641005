/*
 * NETLINK_ROUTE: which message goes where (rtnetlink_rcv_msg of Linux), rtnetlink(7).
 *
 * RTM_NEW, DEL and SET need CAP_NET_ADMIN and have net_cfg_lock; RTM_GET with one of the bits of
 * NLM_F_DUMP is a dump.
 */
#include "sentry/net/netlink/rtnl_priv.h"

#define ANY AF_UNSPEC

/* By message and family; that of ANY serves families which have none of their own. */
static const struct handler {
	uint16_t type;
	uint8_t family;
	uint8_t dump; /* enum nl_dump_kind */
	rtnl_fn fn;   /* NULL: dumps only */
} handlers[] = {
	{RTM_NEWLINK, ANY, NL_DUMP_NONE, rtnl_newlink},
	{RTM_DELLINK, ANY, NL_DUMP_NONE, rtnl_dellink},
	{RTM_GETLINK, ANY, NL_DUMP_LINK, rtnl_getlink},
	{RTM_GETLINK, AF_BRIDGE, NL_DUMP_EMPTY, NULL},
	{RTM_SETLINK, ANY, NL_DUMP_NONE, rtnl_setlink},
	{RTM_NEWADDR, AF_INET, NL_DUMP_NONE, rtnl_newaddr},
	{RTM_NEWADDR, AF_INET6, NL_DUMP_NONE, rtnl_newaddr},
	{RTM_DELADDR, AF_INET, NL_DUMP_NONE, rtnl_deladdr},
	{RTM_DELADDR, AF_INET6, NL_DUMP_NONE, rtnl_deladdr},
	{RTM_GETADDR, ANY, NL_DUMP_ADDR, NULL},
	{RTM_GETADDR, AF_INET6, NL_DUMP_ADDR, rtnl_getaddr},
	{RTM_NEWROUTE, AF_INET, NL_DUMP_NONE, rtnl_newroute},
	{RTM_NEWROUTE, AF_INET6, NL_DUMP_NONE, rtnl_newroute},
	{RTM_DELROUTE, AF_INET, NL_DUMP_NONE, rtnl_delroute},
	{RTM_DELROUTE, AF_INET6, NL_DUMP_NONE, rtnl_delroute},
	{RTM_GETROUTE, ANY, NL_DUMP_ROUTE, NULL},
	{RTM_GETROUTE, AF_INET, NL_DUMP_ROUTE, rtnl_getroute},
	{RTM_GETROUTE, AF_INET6, NL_DUMP_ROUTE, rtnl_getroute},
	{RTM_NEWNEIGH, ANY, NL_DUMP_NONE, rtnl_newneigh},
	{RTM_DELNEIGH, ANY, NL_DUMP_NONE, rtnl_delneigh},
	{RTM_GETNEIGH, ANY, NL_DUMP_NEIGH, rtnl_getneigh},
	{RTM_GETNEIGH, AF_BRIDGE, NL_DUMP_EMPTY, NULL},
	{RTM_NEWRULE, ANY, NL_DUMP_NONE, rtnl_newrule},
	{RTM_DELRULE, ANY, NL_DUMP_NONE, rtnl_delrule},
	{RTM_GETRULE, ANY, NL_DUMP_RULE, NULL},
	{RTM_GETADDRLABEL, AF_INET6, NL_DUMP_ADDRLABEL, NULL},
	{RTM_NEWNSID, ANY, NL_DUMP_NONE, rtnl_newnsid},
	{RTM_GETNSID, ANY, NL_DUMP_NSID, rtnl_getnsid},
	{RTM_GETNEIGHTBL, ANY, NL_DUMP_NEIGHTBL, NULL},
	{RTM_GETNETCONF, AF_INET, NL_DUMP_NETCONF, NULL},
	{RTM_GETNETCONF, AF_INET6, NL_DUMP_NETCONF, NULL},
	{RTM_GETQDISC, ANY, NL_DUMP_QDISC, NULL},
	{RTM_GETTCLASS, ANY, NL_DUMP_EMPTY, NULL},
	{RTM_GETTFILTER, ANY, NL_DUMP_EMPTY, NULL},
	{RTM_GETNEXTHOP, ANY, NL_DUMP_EMPTY, NULL},
};

/* Whose change this thread makes, for the events that tell of it. */
static __thread struct nl_req *current;

static const struct handler *find(uint16_t type, uint8_t family, bool dump)
{
	const struct handler *any = NULL;
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++) {
		const struct handler *h = &handlers[i];
		if (h->type != type || !(dump ? h->dump != NL_DUMP_NONE : h->fn != NULL))
			continue;
		if (h->family == family)
			return h;
		if (h->family == ANY)
			any = h;
	}
	return any;
}

int rtnl_receive(struct nl_req *rq)
{
	uint16_t type = rq->h->nlmsg_type, kind = type & 3; /* new, del, get, set */
	bool dump = kind == 2 && (rq->h->nlmsg_flags & NLM_F_DUMP);
	int r;
	if (type < RTM_BASE || type > RTM_MAX)
		return -EOPNOTSUPP;
	if (nl_payload_len(rq) < sizeof(struct rtgenmsg))
		return 0;
	if (kind != 2 && !nl_req_capable(rq, CAP_NET_ADMIN))
		return -EPERM;
	const struct handler *h =
		find(type, ((struct rtgenmsg *)nl_payload(rq))->rtgen_family, dump);
	if (!h)
		return -EOPNOTSUPP;
	if (dump)
		return nl_dump_start(rq, (enum nl_dump_kind)h->dump);
	if (kind == 2)
		return h->fn(rq);
	net_cfg_lock();
	current = rq;
	r = h->fn(rq);
	current = NULL;
	net_cfg_unlock();
	return r;
}

int rtnl_send(struct nl_req *rq, struct nlb *b)
{
	int err = !b->buf ? -ENOBUFS : b->len ? nl_reply(rq->s, b->buf, b->len) : -EMSGSIZE;
	nlb_fini(b);
	return err;
}

/* --- events --- */

/* Is this thread's request one about such objects?  Routes that come with an address are not. */
static bool is_own(uint32_t group)
{
	static const uint8_t kinds[] = {[RTNLGRP_LINK] = RTM_NEWLINK,
		[RTNLGRP_NEIGH] = RTM_NEWNEIGH,
		[RTNLGRP_IPV4_IFADDR] = RTM_NEWADDR,
		[RTNLGRP_IPV6_IFADDR] = RTM_NEWADDR,
		[RTNLGRP_IPV4_ROUTE] = RTM_NEWROUTE,
		[RTNLGRP_IPV6_ROUTE] = RTM_NEWROUTE,
		[RTNLGRP_IPV4_RULE] = RTM_NEWRULE,
		[RTNLGRP_IPV6_RULE] = RTM_NEWRULE};
	return current && group < ARRAY_LEN(kinds) && kinds[group] == (current->h->nlmsg_type & ~3);
}

static bool wants_echo(const struct net_ns *net, uint32_t group)
{
	return is_own(group) && current->net == net && (current->h->nlmsg_flags & NLM_F_ECHO);
}

bool rtnl_event_wanted(const struct net_ns *net, uint32_t group)
{
	return nl_listened(net->netlink, NETLINK_ROUTE, group) || wants_echo(net, group);
}

uint32_t rtnl_event_portid(uint32_t group)
{
	return is_own(group) ? current->portid : 0;
}

uint32_t rtnl_event_seq(uint32_t group)
{
	return is_own(group) ? current->h->nlmsg_seq : 0;
}

uint16_t rtnl_event_flags(uint32_t group)
{
	static const uint16_t all = NLM_F_REPLACE | NLM_F_EXCL | NLM_F_CREATE | NLM_F_APPEND;
	return is_own(group) ? current->h->nlmsg_flags & all : 0;
}

void rtnl_event_send(struct net_ns *net, uint32_t group, const struct nlb *b)
{
	bool echo = wants_echo(net, group);
	/* Who asks for it has it once, also if it is in the group. */
	nl_multicast(net, NETLINK_ROUTE, group, echo ? current->portid : 0, b->buf, b->len);
	if (echo)
		nl_reply(current->s, b->buf, b->len);
}

void rtnl_init(void)
{
	rtnl_event_init();
	rtnl_link_init();
	rtnl_addr_init();
	rtnl_route_init();
	rtnl_neigh_init();
	rtnl_rule_init();
	rtnl_misc_init();
}
