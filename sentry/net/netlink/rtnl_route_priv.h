/* Private to sentry/net/netlink: routes. */
#ifndef SENTRY_NET_NETLINK_RTNL_ROUTE_PRIV_H
#define SENTRY_NET_NETLINK_RTNL_ROUTE_PRIV_H

#include <netinet/in.h>

#include "sentry/net/ip/route.h"
#include "sentry/net/netlink/nl_priv.h"

extern const struct nla_rule rtnl_route_rules[RTA_MAX + 1];

#endif
