/* RTM_NEWLINK: changes a link that is there, or makes one (rtnl_newlink of Linux). */
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
	return nl_err(rq, -EOPNOTSUPP, "Unknown device type");
}
