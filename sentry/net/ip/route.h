/*
 * Routes: one table a namespace and table number for both families, longest prefix first
 * (IPv4 prefixes are 96 bits longer than they say), policy rules in front (ip-rule(8)), and source
 * address selection (RFC 6724; IPv4: the route's preferred source, else by scope).
 *
 * A struct route is the answer to one look-up, by value, with references on link and
 * neighbour; sockets keep theirs while route_valid says that nothing has changed (one
 * generation number a namespace: routes, rules, addresses, links, path MTUs).
 */
#ifndef SENTRY_NET_IP_ROUTE_H
#define SENTRY_NET_IP_ROUTE_H

#include <linux/rtnetlink.h>
#include <stddef.h>

#include "sentry/net/link/link.h"

struct neigh;

/* What is to be routed, and what it will carry. */
struct flow {
	struct ip_addr src, dst; /* src any (of dst's family): to be chosen */
	uint16_t sport, dport;   /* host order */
	uint8_t proto, tos;
	int32_t oif, iif; /* 0: any */
	uint32_t mark, uid, flowlabel;
	bool anysrc; /* src may be an address that is not ours (IP_TRANSPARENT, raw) */
	bool onlink; /* by no gateway: SO_DONTROUTE, MSG_DONTROUTE */
};

struct route {
	struct link *link;   /* owned */
	struct neigh *neigh; /* owned; NULL: the link has no link layer, or dst is no unicast */
	struct ip_addr src;  /* to send from */
	struct ip_addr gw;   /* next hop: the gateway, or dst itself */
	uint64_t gen;        /* route_valid */
	uint32_t mtu;        /* of the network layer: route's, link's or learned */
	uint32_t table, prio;
	uint16_t advmss, hoplimit, initcwnd, initrwnd, rto_min; /* 0: none said; RTAX_*, ms */
	uint8_t type;  /* RTN_UNICAST, LOCAL, BROADCAST, MULTICAST */
	uint8_t scope; /* RT_SCOPE_* */
	uint8_t prefix_len;
	bool gateway;          /* gw is one */
	bool mtu_locked, pmtu; /* pmtu: learned */
};

/* 0; -ENETUNREACH, -EHOSTUNREACH, -EACCES (prohibit), -EINVAL (blackhole, or src not ours),
 * -ENODEV (oif). */
int route_lookup(struct net_ns *net, const struct flow *f, struct route *rt);
/* For a packet that came in: rt->type says what it is for us. */
int route_input(struct net_ns *net, const struct flow *f, struct route *rt);
bool route_valid(const struct net_ns *net, const struct route *rt);
void route_put(struct route *rt); /* drops what it holds and zeroes it; a zeroed one is fine */
/* All answers given so far are void. */
void route_changed(struct net_ns *net);

/* --- tables, as rtnetlink(7) and the ioctls see them --- */
#define ROUTE_HOPS_MAX 32
struct route_hop {
	int32_t oif;
	struct ip_addr gw; /* any: none */
	uint8_t flags;     /* RTNH_F_ONLINK ... */
	uint8_t weight;    /* hops - 1 */
};
struct ip_route_info {
	uint8_t family; /* AF_INET, AF_INET6 */
	struct ip_addr dst, prefsrc, src;
	uint8_t dst_len, src_len;           /* as the user says them: 0..32 or 0..128 */
	uint8_t tos, scope, protocol, type; /* RTPROT_*, RTN_* */
	uint32_t table, priority, flags;    /* RTM_F_*, RTNH_F_*, RTF_* of ipv6_route */
	uint32_t mtu, advmss, hoplimit, window, rtt, initcwnd, initrwnd, rto_min;
	bool mtu_lock;
	uint8_t pref;    /* ICMPV6_ROUTER_PREF_* */
	int64_t expires; /* CLOCK_MONOTONIC ns; 0: never */
	uint32_t nhops;
	struct route_hop hop[ROUTE_HOPS_MAX];
};
/* nlflags: NLM_F_REPLACE, EXCL, CREATE, APPEND.  0, -EEXIST, -ENOENT, -EINVAL, -ENETUNREACH (the
 * gateway is not reachable), -ENODEV, -ENETDOWN, -ENOBUFS. */
int route_add(struct net_ns *net, struct ip_route_info *r, uint32_t nlflags);
int route_del(struct net_ns *net,
	const struct ip_route_info *r); /* the first that matches; -ESRCH */
/* Walks all routes of a family in the order of Linux' dumps: returns false at the end.  A walk sees
 * each route once that is there all the while. */
struct route_walk { /* zero but for family; the rest says which route was the last one */
	uint8_t family;
	bool started;
	uint8_t tos, bits;
	uint32_t table, prio;
	struct ip_addr dst;
	int64_t ord;
};
bool route_walk_next(struct net_ns *net, struct route_walk *w, struct ip_route_info *out);

struct ip_rule_info {
	uint8_t family;
	struct ip_addr src, dst;
	uint8_t src_len, dst_len, tos, action, ip_proto, protocol; /* FR_ACT_* */
	uint32_t table, priority, fwmark, fwmask, flags;
	uint32_t suppress_ifgroup, suppress_prefixlen; /* UINT32_MAX: none */
	uint32_t goto_target, uid_start, uid_end;
	uint16_t sport[2], dport[2];
	char iifname[LINK_NAME_MAX], oifname[LINK_NAME_MAX];
	bool has_uid, has_mark;
};
int rule_add(struct net_ns *net, struct ip_rule_info *r, uint32_t nlflags);
int rule_del(struct net_ns *net, const struct ip_rule_info *r);
/* The n-th of a family; false: there is none. */
bool rule_get(struct net_ns *net, uint8_t family, uint32_t n, struct ip_rule_info *out);

#endif
