/*
 * The addresses of links, both families: ip-address(8), RFC 4862 (DAD, lifetimes).
 *
 * Locks: net->ip->lock (LOCK_IP) guards addresses, routes and rules; see ip_priv.h.
 */
#ifndef SENTRY_NET_IP_ADDR_H
#define SENTRY_NET_IP_ADDR_H

#include <linux/if_addr.h>

#include "sentry/net/link/link.h"

#define IP_FOREVER UINT32_MAX /* INFINITY_LIFE_TIME */

struct ip_ifaddr {
	int32_t index; /* of the link */
	uint8_t family, prefix_len, scope, proto;
	uint32_t flags;             /* IFA_F_* */
	struct ip_addr local, peer; /* peer: the same unless point to point */
	struct ip_addr broadcast;   /* IPv4; any: none */
	char label[LINK_NAME_MAX];  /* IPv4 */
	uint32_t preferred, valid;  /* seconds left, IP_FOREVER */
	uint32_t metric;            /* of its prefix route */
	int64_t created, updated;   /* CLOCK_MONOTONIC, ns */
};

/* nlflags as for route_add.  Makes the connected and local routes too.  0, -EEXIST, -EINVAL,
 * -ENODEV, -ENOBUFS, -EADDRNOTAVAIL. */
int ip_addr_add(struct net_ns *net, const struct ip_ifaddr *a, uint32_t nlflags);
int ip_addr_del(struct net_ns *net, const struct ip_ifaddr *a); /* -EADDRNOTAVAIL */
/* In the order of dumps: by link, family, as added; false at the end.  start with {0}. */
struct ip_addr_walk {
	int32_t index;
	uint32_t n;
	uint8_t family; /* AF_UNSPEC: both */
};
bool ip_addr_walk_next(struct net_ns *net, struct ip_addr_walk *w, struct ip_ifaddr *out);

/* The one of link index (0: of any), tentative ones included; false: there is none. */
bool ip_addr_get(struct net_ns *net, const struct ip_addr *a, int32_t index, struct ip_ifaddr *out);
/* Duplicate address detection is through with it (clear IFA_F_TENTATIVE), or has found somebody
 * (set IFA_F_DADFAILED): changes flags and routes. -EADDRNOTAVAIL. */
int ip_addr_set_flags(struct net_ns *net, int32_t index, const struct ip_addr *a, uint32_t set,
	uint32_t clear);
/* Is a an address of ours (of link oif if not 0) that may be used: not a tentative one. */
bool ip_addr_is_local(struct net_ns *net, const struct ip_addr *a, int32_t oif);
/* May a socket be bound to it: RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST, or RTN_UNICAST (not ours).
 */
uint8_t ip_addr_type(struct net_ns *net, const struct ip_addr *a, int32_t oif);
/* What a link would send from towards dst (any: in general); any if it has no address. */
struct ip_addr ip_addr_select(struct net_ns *net, struct link *l, const struct ip_addr *dst,
	uint8_t scope);

/* --- per-link settings (/proc/sys/net/ipv{4,6}/conf/IF/NAME): words by number --- */
/* clang-format off */
#define IP_CONF_LIST(X) \
	X(4, forwarding, 0) \
	X(4, rp_filter, 0) \
	X(4, accept_local, 0) \
	X(4, accept_redirects, 1) \
	X(4, accept_source_route, 0) \
	X(4, arp_announce, 0) \
	X(4, arp_filter, 0) \
	X(4, arp_ignore, 0) \
	X(4, arp_notify, 0) \
	X(4, arp_accept, 0) \
	X(4, bc_forwarding, 0) \
	X(4, disable_policy, 0) \
	X(4, disable_xfrm, 0) \
	X(4, force_igmp_version, 0) \
	X(4, igmpv2_unsolicited_report_interval, 10000) \
	X(4, igmpv3_unsolicited_report_interval, 1000) \
	X(4, ignore_routes_with_linkdown, 0) \
	X(4, log_martians, 0) \
	X(4, promote_secondaries, 0) \
	X(4, proxy_arp, 0) \
	X(4, route_localnet, 0) \
	X(4, secure_redirects, 1) \
	X(4, send_redirects, 1) \
	X(4, shared_media, 1) \
	X(4, tag, 0) \
	X(4, bootp_relay, 0) \
	X(4, src_valid_mark, 0) \
	X(4, drop_gratuitous_arp, 0) \
	X(4, drop_unicast_in_l2_multicast, 0) \
	X(6, forwarding, 0) \
	X(6, hop_limit, 64) \
	X(6, mtu, 1280) \
	X(6, accept_ra, 1) \
	X(6, accept_redirects, 1) \
	X(6, autoconf, 1) \
	X(6, dad_transmits, 1) \
	X(6, accept_dad, 1) \
	X(6, router_solicitations, -1) \
	X(6, router_solicitation_interval, 4000) \
	X(6, router_solicitation_delay, 1000) \
	X(6, use_tempaddr, 0) \
	X(6, disable_ipv6, 0) \
	X(6, proxy_ndp, 0) \
	X(6, accept_source_route, 0) \
	X(6, accept_ra_defrtr, 1) \
	X(6, accept_ra_pinfo, 1) \
	X(6, accept_ra_mtu, 1) \
	X(6, accept_ra_rtr_pref, 1) \
	X(6, keep_addr_on_down, 0) \
	X(6, addr_gen_mode, 0) \
	X(6, force_mld_version, 0) \
	X(6, suppress_frag_ndisc, 1) \
	X(6, use_oif_addrs_only, 0) \
	X(6, optimistic_dad, 0) \
	X(6, max_addresses, 16) \
	X(6, ndisc_notify, 0) \
	X(6, enhanced_dad, 1)
/* clang-format on */

enum ip_conf {
#define X(v, name, def) IP_CONF_##v##_##name,
	IP_CONF_LIST(X)
#undef X
		IP_CONF_NR
};
/* l NULL: which "all" or "default" of net. */
enum ip_conf_of { IP_CONF_LINK, IP_CONF_ALL, IP_CONF_DEFAULT };
int32_t ip_conf_get(struct net_ns *net, struct link *l, enum ip_conf_of of, enum ip_conf which);
/* With the side effects that Linux has (forwarding, disable_ipv6 ...). */
void ip_conf_set(struct net_ns *net, struct link *l, enum ip_conf_of of, enum ip_conf which,
	int32_t v);

#endif
