/* RTM_NEWLINK: changes a link that is there, or makes one (rtnl_newlink of Linux). */
#include <linux/veth.h>

#include "sentry/net/netlink/rtnl_link_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

struct new_link {
	const struct nlattr *tb[IFLA_MAX + 1];
	const struct nlattr *info[IFLA_INFO_MAX + 1];
	const struct ifinfomsg *m;
	char name[LINK_NAME_MAX];
	char kind[LINK_NAME_MAX];
};

static int parse(struct nl_req *rq, struct new_link *n)
{
	n->m = nl_payload(rq);
	int err = nla_parse_msg(rq, sizeof(*n->m), n->tb, IFLA_MAX, rtnl_setlink_rules);
	if (err)
		return err;
	memset(n->info, 0, sizeof(n->info));
	if (n->tb[IFLA_IFNAME])
		nla_text(n->tb[IFLA_IFNAME], n->name, sizeof(n->name));
	if (n->tb[IFLA_LINKINFO])
		err = nla_parse_nested(rq, n->info, IFLA_INFO_MAX, n->tb[IFLA_LINKINFO], NULL);
	if (!err && n->info[IFLA_INFO_KIND])
		nla_text(n->info[IFLA_INFO_KIND], n->kind, sizeof(n->kind));
	if (!err && n->m->ifi_index < 0)
		err = nl_err(rq, -EINVAL, "ifindex can't be negative");
	return err;
}

static int change(struct nl_req *rq, struct new_link *n, struct link *l)
{
	uint16_t flags = rq->h->nlmsg_flags;
	const char *kind = link_ops(l)->name;
	if (flags & NLM_F_EXCL)
		return -EEXIST;
	if (flags & NLM_F_REPLACE)
		return -EOPNOTSUPP;
	if (n->info[IFLA_INFO_DATA] && (!kind || strcmp(kind, n->kind)))
		return -EOPNOTSUPP;
	return rtnl_change_link(rq, l, n->tb, n->name, n->m);
}

static int change_group(struct nl_req *rq, struct new_link *n)
{
	uint32_t group = nla_u32(n->tb[IFLA_GROUP]);
	struct link *l;
	int err = 0;
	for (int32_t at = 0; !err && (l = link_next(rq->net, at)); link_put(l)) {
		at = l->index;
		if (l->group == group)
			err = rtnl_change_link(rq, l, n->tb, "", n->m);
	}
	return err;
}

/* --- making one --- */

/* What is said of a veth's other end. */
struct peer {
	const struct nlattr *tb[IFLA_MAX + 1];
	char name[LINK_NAME_MAX];
	struct net_ns *net; /* owned */
};

static int parse_peer(struct nl_req *rq, struct new_link *n, struct peer *p, struct link_attrs *a)
{
	const struct nlattr *data[VETH_INFO_MAX + 1], *at;
	struct ifinfomsg m;
	int err;
	if (strcmp(n->kind, "veth") || !n->info[IFLA_INFO_DATA])
		return 0;
	err = nla_parse_nested(rq, data, VETH_INFO_MAX, n->info[IFLA_INFO_DATA], NULL);
	if (err || !(at = data[VETH_INFO_PEER]))
		return err;
	if (nla_len(at) < sizeof(m))
		return -EINVAL;
	memcpy(&m, nla_data(at), sizeof(m));
	err = nla_parse(rq, p->tb, IFLA_MAX, (const char *)nla_data(at) + sizeof(m),
		nla_len(at) - (uint32_t)sizeof(m), rtnl_setlink_rules);
	if (err)
		return err;
	if (p->tb[IFLA_IFNAME])
		nla_text(p->tb[IFLA_IFNAME], p->name, sizeof(p->name));
	a->peer_name = p->name;
	a->peer_index = m.ifi_index;
	if (p->tb[IFLA_MTU])
		a->peer_mtu = nla_u32(p->tb[IFLA_MTU]);
	if (p->tb[IFLA_ADDRESS]) {
		if (nla_len(p->tb[IFLA_ADDRESS]) != 6)
			return -EINVAL;
		a->peer_addr = nla_data(p->tb[IFLA_ADDRESS]);
	}
	if (p->tb[IFLA_NET_NS_PID] || p->tb[IFLA_NET_NS_FD]) {
		p->net = rtnl_target_ns(rq, p->tb, &err);
		a->peer_net = p->net;
	}
	return p->net || !err ? 0 : err;
}

static int fill_attrs(struct nl_req *rq, struct new_link *n, struct link_attrs *a)
{
	*a = (struct link_attrs){.kind = n->kind, .name = n->name, .index = n->m->ifi_index};
	if (n->tb[IFLA_MTU])
		a->mtu = nla_u32(n->tb[IFLA_MTU]);
	if (n->tb[IFLA_ADDRESS]) {
		if (nla_len(n->tb[IFLA_ADDRESS]) != 6)
			return nl_err_attr(rq, -EINVAL, n->tb[IFLA_ADDRESS],
				"invalid link-layer address");
		a->addr = nla_data(n->tb[IFLA_ADDRESS]);
	}
	return 0;
}

/* What the message says beside, of one that was just made; then it is up if it is to be. */
static int finish(struct nl_req *rq, struct new_link *n, struct link *l)
{
	static const uint8_t done[] = {IFLA_MTU, IFLA_ADDRESS, IFLA_NET_NS_PID, IFLA_NET_NS_FD,
		IFLA_TARGET_NETNSID};
	for (size_t i = 0; i < ARRAY_LEN(done); i++)
		n->tb[done[i]] = NULL;
	return rtnl_change_link(rq, l, n->tb, "", n->m);
}

static int create(struct nl_req *rq, struct new_link *n)
{
	struct link_attrs a;
	struct peer p = {0};
	struct link *l = NULL;
	int err;
	if (!n->kind[0])
		return nl_err(rq, -EOPNOTSUPP, "Unknown device type");
	struct net_ns *net = rtnl_target_ns(rq, n->tb, &err);
	if (!net)
		return err;
	err = fill_attrs(rq, n, &a);
	if (!err)
		err = parse_peer(rq, n, &p, &a);
	if (!err && !a.peer_net)
		a.peer_net = rq->net; /* where the message came from, wherever this one goes */
	if (!err)
		err = link_create(net, &a, &l);
	if (err == -EOPNOTSUPP)
		nl_err(rq, err, "Unknown device type");
	if (!err)
		err = finish(rq, n, l);
	link_put(l);
	net_ns_put(p.net);
	net_ns_put(net);
	return err;
}

int rtnl_newlink(struct nl_req *rq)
{
	struct new_link n = {0};
	int err = parse(rq, &n);
	if (err)
		return err;
	bool named = n.tb[IFLA_IFNAME] || n.tb[IFLA_ALT_IFNAME];
	struct link *l = NULL;
	if (n.m->ifi_index > 0 || named)
		l = rtnl_find_link(rq, n.m->ifi_index, n.tb[IFLA_IFNAME], n.tb[IFLA_ALT_IFNAME]);
	if (l) {
		err = change(rq, &n, l);
		link_put(l);
		return err;
	}
	if (!(rq->h->nlmsg_flags & NLM_F_CREATE)) {
		if (n.m->ifi_index == 0 && !named && n.tb[IFLA_GROUP])
			return change_group(rq, &n);
		return -ENODEV;
	}
	if (n.tb[IFLA_MAP] || n.tb[IFLA_PROTINFO])
		return -EOPNOTSUPP;
	return create(rq, &n);
}
