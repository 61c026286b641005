/* What changed in a namespace (event.h), told to who has joined the groups of rtnetlink(7). */
#include "sentry/net/event.h"

#include "sentry/net/netlink/rtnl_priv.h"

static void link_event(struct net_ns *net, enum net_event ev, struct link *l)
{
	uint32_t change = ev == NET_LINK_NEW || ev == NET_LINK_DEL   ? UINT32_MAX
			  : ev == NET_LINK_UP || ev == NET_LINK_DOWN ? (uint32_t)IFF_UP
								     : 0;
	if (ev == NET_LINK_NEW || ev == NET_LINK_DEL)
		uevent_link(net, l, ev == NET_LINK_DEL);
	if (ev == NET_LINK_UP)
		WRITE_ONCE(l->was_up, true);
	rtnl_link_event(net, l, ev == NET_LINK_DEL, change);
}

static void on_event(struct net_ns *net, enum net_event ev, void *arg)
{
	if (!net->netlink) /* it is being made, or is going */
		return;
	switch (ev) {
	case NET_LINK_NEW:
	case NET_LINK_UP:
	case NET_LINK_DOWN:
	case NET_LINK_CHANGE:
	case NET_LINK_DEL:
		link_event(net, ev, arg);
		break;
	case NET_ADDR_NEW:
	case NET_ADDR_DEL:
		rtnl_addr_event(net, arg, ev == NET_ADDR_DEL);
		break;
	case NET_ROUTE_NEW:
	case NET_ROUTE_DEL:
		rtnl_route_event(net, arg, ev == NET_ROUTE_DEL);
		break;
	case NET_RULE_NEW:
	case NET_RULE_DEL:
		rtnl_rule_event(net, arg, ev == NET_RULE_DEL);
		break;
	case NET_NEIGH_CHANGE:
	case NET_NEIGH_DEL:
		rtnl_neigh_event(net, arg, ev == NET_NEIGH_DEL);
		break;
	}
}

void rtnl_event_init(void)
{
	net_event_register(on_event);
}
