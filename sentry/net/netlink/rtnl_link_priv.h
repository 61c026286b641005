/* Private to sentry/net/netlink: changing and making links. */
#ifndef SENTRY_NET_NETLINK_RTNL_LINK_PRIV_H
#define SENTRY_NET_NETLINK_RTNL_LINK_PRIV_H

#include <linux/if_link.h>

#include "sentry/net/netlink/nl_priv.h"

extern const struct nla_rule rtnl_setlink_rules[IFLA_MAX + 1];
/* Does to l what the attributes say, name first if it is not empty. */
int rtnl_change_link(struct nl_req *rq, struct link *l, const struct nlattr **tb, const char *name,
	const struct ifinfomsg *m);
/* Where IFLA_NET_NS_* want a link to be: with a reference; rq's own if they say nothing. */
struct net_ns *rtnl_target_ns(struct nl_req *rq, const struct nlattr **tb, int *err);

#endif
