/*
 * What changed in a network namespace, for who follows it: netlink tells its listeners
 * (RTMGRP_*), the IP layer starts and stops with a link, AF_PACKET sockets learn that
 * theirs is gone.  Listeners register at start-up; they are called in the order of
 * registration, without locks, after the change.
 */
#ifndef SENTRY_NET_EVENT_H
#define SENTRY_NET_EVENT_H

#include <stdint.h>

struct net_ns;

enum net_event {
	NET_LINK_NEW, /* arg: struct link */
	NET_LINK_UP,
	NET_LINK_DOWN,
	NET_LINK_CHANGE, /* mtu, address, name, flags */
	NET_LINK_DEL,    /* it is out of the list; addresses and routes are to go */
	NET_ADDR_NEW,    /* arg: struct ip_ifaddr (ip/addr.h) */
	NET_ADDR_DEL,
	NET_ROUTE_NEW, /* arg: struct ip_route_info (ip/route.h) */
	NET_ROUTE_DEL,
	NET_RULE_NEW,
	NET_RULE_DEL,
	NET_NEIGH_CHANGE, /* arg: struct neigh (eth/neigh.h) */
	NET_NEIGH_DEL,
};

typedef void (*net_event_fn)(struct net_ns *net, enum net_event ev, void *arg);
void net_event_register(net_event_fn fn);
void net_event_send(struct net_ns *net, enum net_event ev, void *arg);

#endif
