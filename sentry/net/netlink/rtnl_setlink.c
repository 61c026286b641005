/* Changing links: RTM_SETLINK, RTM_DELLINK, and RTM_NEWLINK of one that is there (do_setlink of
 * Linux).  What makes new ones is in rtnl_newlink.c. */
#include <linux/if_link.h>

#include "sentry/net/netlink/rtnl_link_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

const struct nla_rule rtnl_setlink_rules[IFLA_MAX + 1] = {
	[IFLA_IFNAME] = {NLA_STRING, LINK_NAME_MAX - 1},
	[IFLA_ADDRESS] = {NLA_ANY},
	[IFLA_BROADCAST] = {NLA_ANY},
	[IFLA_MTU] = {NLA_U32},
	[IFLA_LINK] = {NLA_U32},
	[IFLA_MASTER] = {NLA_U32},
	[IFLA_CARRIER] = {NLA_U8},
	[IFLA_TXQLEN] = {NLA_U32},
	[IFLA_OPERSTATE] = {NLA_U8},
	[IFLA_LINKMODE] = {NLA_U8},
	[IFLA_LINKINFO] = {NLA_NESTED},
	[IFLA_NET_NS_PID] = {NLA_U32},
	[IFLA_NET_NS_FD] = {NLA_U32},
	[IFLA_IFALIAS] = {NLA_STRING, 255},
	[IFLA_GROUP] = {NLA_U32},
	[IFLA_EXT_MASK] = {NLA_U32},
	[IFLA_PROMISCUITY] = {NLA_U32},
	[IFLA_LINK_NETNSID] = {NLA_U32},
	[IFLA_PROTO_DOWN] = {NLA_U8},
	[IFLA_TARGET_NETNSID] = {NLA_U32},
	[IFLA_ALT_IFNAME] = {NLA_STRING, 127},
	[IFLA_NEW_IFINDEX] = {NLA_U32},
};

struct net_ns *rtnl_target_ns(struct nl_req *rq, const struct nlattr **tb, int *err)
{
	*err = 0;
	if (tb[IFLA_NET_NS_PID])
		return nl_ns_by_pid(rq->ctx, (int32_t)nla_u32(tb[IFLA_NET_NS_PID]), err);
	if (tb[IFLA_NET_NS_FD])
		return nl_ns_by_fd(rq->ctx, (int32_t)nla_u32(tb[IFLA_NET_NS_FD]), err);
	if (tb[IFLA_TARGET_NETNSID]) {
		*err = -EINVAL;
		return NULL;
	}
	return net_ns_get(rq->net);
}

static int set_namespace(struct nl_req *rq, struct link *l, const struct nlattr **tb,
	const char *name)
{
	int err;
	struct net_ns *to = rtnl_target_ns(rq, tb, &err);
	if (!to)
		return err;
	if (to != rq->net) {
		err = link_move(l, to, name[0] ? name : NULL);
		if (err == -EINVAL)
			nl_err(rq, err, "The interface netns is immutable");
	}
	net_ns_put(to);
	return err;
}

static int set_address(struct link *l, const struct nlattr *a)
{
	return link_set_addr(l, nla_data(a), (uint8_t)MIN(nla_len(a), 255u));
}

static int set_mtu(struct nl_req *rq, struct link *l, uint32_t mtu)
{
	int err = link_set_mtu(l, mtu);
	if (err == -EINVAL)
		nl_err(rq, err,
			mtu < l->min_mtu ? "mtu less than device minimum"
					 : "mtu greater than device maximum");
	return err;
}

static int set_alias(struct net_ns *net, struct link *l, const struct nlattr *a)
{
	char text[sizeof(l->alias)] = "";
	if (nla_len(a) >= sizeof(text))
		return -EINVAL;
	nla_text(a, text, sizeof(text));
	mutex_lock(&net->link_lock);
	memcpy(l->alias, text, sizeof(text));
	mutex_unlock(&net->link_lock);
	return 0;
}

static int set_broadcast(struct net_ns *net, struct link *l, const struct nlattr *a)
{
	if (nla_len(a) < l->addr_len)
		return -EINVAL;
	mutex_lock(&net->link_lock);
	memcpy(l->broadcast, nla_data(a), l->addr_len);
	mutex_unlock(&net->link_lock);
	return 0;
}

/* What needs no event of its own; whether something changed. */
static int set_words(struct net_ns *net, struct link *l, const struct nlattr **tb, bool *changed)
{
	int err = 0;
	if (tb[IFLA_GROUP]) {
		*changed |= l->group != nla_u32(tb[IFLA_GROUP]);
		WRITE_ONCE(l->group, nla_u32(tb[IFLA_GROUP]));
	}
	if (tb[IFLA_TXQLEN]) {
		*changed |= l->txqlen != nla_u32(tb[IFLA_TXQLEN]);
		WRITE_ONCE(l->txqlen, nla_u32(tb[IFLA_TXQLEN]));
	}
	if (tb[IFLA_IFALIAS]) {
		err = set_alias(net, l, tb[IFLA_IFALIAS]);
		*changed = true;
	}
	if (!err && tb[IFLA_BROADCAST]) {
		err = set_broadcast(net, l, tb[IFLA_BROADCAST]);
		*changed = true;
	}
	return err;
}

/* 0: of no bridge any more. */
static int set_master(struct net_ns *net, struct link *l, int32_t index)
{
	struct link *bridge = NULL;
	if (index == READ_ONCE(l->master))
		return 0;
	if (index && !(bridge = link_by_index(net, index)))
		return -EINVAL;
	int err = link_set_master(l, bridge);
	link_put(bridge);
	return err;
}

/* All but the namespace. */
static int change_in(struct nl_req *rq, struct net_ns *net, struct link *l,
	const struct nlattr **tb, const char *name, const struct ifinfomsg *m)
{
	bool changed = false;
	int err = 0;
	if (tb[IFLA_ADDRESS])
		err = set_address(l, tb[IFLA_ADDRESS]);
	if (!err && tb[IFLA_MTU])
		err = set_mtu(rq, l, nla_u32(tb[IFLA_MTU]));
	if (!err && name[0])
		err = link_set_name(l, name);
	if (!err)
		err = set_words(net, l, tb, &changed);
	if (!err && tb[IFLA_MASTER])
		err = set_master(net, l, (int32_t)nla_u32(tb[IFLA_MASTER]));
	if (!err && (m->ifi_flags || m->ifi_change))
		err = link_set_flags(l, m->ifi_flags, m->ifi_change ? m->ifi_change : UINT32_MAX);
	if (!err && tb[IFLA_CARRIER]) {
		/* Only kinds whose carrier nobody else decides have a say. */
		if (l->kind != LINK_DUMMY)
			return -EOPNOTSUPP;
		link_set_carrier(l, nla_u8(tb[IFLA_CARRIER]) != 0);
	}
	if (changed)
		rtnl_link_event(net, l, false, 0);
	return err;
}

int rtnl_change_link(struct nl_req *rq, struct link *l, const struct nlattr **tb, const char *name,
	const struct ifinfomsg *m)
{
	int err = 0;
	if (tb[IFLA_NET_NS_PID] || tb[IFLA_NET_NS_FD] || tb[IFLA_TARGET_NETNSID])
		err = set_namespace(rq, l, tb, name);
	if (err)
		return err;
	struct net_ns *net = link_net_get(l); /* where it is now */
	if (!net)
		return -ENODEV;
	err = change_in(rq, net, l, tb, name, m);
	net_ns_put(net);
	return err;
}

int rtnl_setlink(struct nl_req *rq)
{
	const struct nlattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *m = nl_payload(rq);
	char name[LINK_NAME_MAX] = "";
	int err = nla_parse_msg(rq, sizeof(*m), tb, IFLA_MAX, rtnl_setlink_rules);
	if (err)
		return err;
	if (tb[IFLA_IFNAME])
		nla_text(tb[IFLA_IFNAME], name, sizeof(name));
	if (m->ifi_index <= 0 && !tb[IFLA_IFNAME] && !tb[IFLA_ALT_IFNAME])
		return -EINVAL;
	struct link *l = rtnl_find_link(rq, m->ifi_index, tb[IFLA_IFNAME], tb[IFLA_ALT_IFNAME]);
	if (!l)
		return -ENODEV;
	err = rtnl_change_link(rq, l, tb, name, m);
	link_put(l);
	return err;
}

static int delete_group(struct nl_req *rq, uint32_t group)
{
	struct link *l;
	bool found = false;
	for (int pass = 0; pass < 2; pass++)
		for (int32_t at = 0; (l = link_next(rq->net, at)); link_put(l)) {
			at = l->index;
			if (l->group != group)
				continue;
			found = true;
			if (!link_is_virtual(l)) {
				link_put(l);
				return -EOPNOTSUPP;
			}
			if (pass == 1)
				link_unregister(l);
		}
	return found ? 0 : -ENODEV;
}

int rtnl_dellink(struct nl_req *rq)
{
	const struct nlattr *tb[IFLA_MAX + 1];
	const struct ifinfomsg *m = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*m), tb, IFLA_MAX, rtnl_setlink_rules);
	if (err)
		return err;
	bool named = tb[IFLA_IFNAME] || tb[IFLA_ALT_IFNAME];
	if (m->ifi_index <= 0 && !named)
		return tb[IFLA_GROUP] ? delete_group(rq, nla_u32(tb[IFLA_GROUP])) : -EINVAL;
	struct link *l = rtnl_find_link(rq, m->ifi_index, tb[IFLA_IFNAME], tb[IFLA_ALT_IFNAME]);
	if (!l)
		return -ENODEV;
	if (link_is_virtual(l))
		link_unregister(l);
	else
		err = -EOPNOTSUPP;
	link_put(l);
	return err;
}
