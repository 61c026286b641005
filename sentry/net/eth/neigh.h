/*
 * Neighbours: link-layer addresses of next hops (ip-neighbour(8)).  The states and timers are
 * those of RFC 4861, 7.3, for ARP (RFC 826, arp.c) as for NDP (ndp.c); Linux' limits gc_thresh1
 * to 3 bound the table, and unres_qlen_bytes what waits for an answer.
 *
 * Locks: net->eth->lock (LOCK_NEIGH) guards the table and every entry.  An entry that is reachable
 * is used without it: state and address are a word each.  Nothing is sent with it held.
 *
 * References: the table has one on each entry, an entry one on its link.  Who has one that was
 * taken out of the table since (its link went) can still send to it: the packets are dropped.
 */
#ifndef SENTRY_NET_ETH_NEIGH_H
#define SENTRY_NET_ETH_NEIGH_H

#include <linux/neighbour.h>

#include "sentry/net/link/link.h"

struct neigh;

/* The one for addr at l, made if need be (NUD_NONE), with a reference.  NULL: out of memory, or the
 * table is full. */
struct neigh *neigh_get_or_new(struct net_ns *net, struct link *l, const struct ip_addr *addr);
void neigh_put(struct neigh *n); /* NULL-safe */
/*
 * Sends p, which begins at its network header and whose link is set, to that neighbour: at once if
 * its address is known, else p waits for it (or is dropped, with an ICMP error, when nobody
 * answers).  n NULL: p->ip.dst is a multicast or broadcast, or the link has no link layer.
 * dst: of the next hop.  Takes p over.
 */
void neigh_output(struct pkt *p, struct neigh *n, const struct ip_addr *dst);
/* A transport has proof that it is reachable (an ACK of new data): RFC 4861, 7.3.1. */
void neigh_confirm(struct neigh *n);

/* As rtnetlink(7) and /proc/net/arp see them. */
struct neigh_info {
	uint8_t family, addr_len, flags, type; /* NTF_*, RTN_* */
	uint16_t state;                        /* NUD_* */
	int32_t index;
	struct ip_addr dst;
	uint8_t addr[LINK_ADDR_MAX];
	uint32_t probes, refs;
	uint32_t confirmed, used, updated; /* USER_HZ ago */
};
int neigh_set(struct net_ns *net, const struct neigh_info *i, uint32_t nlflags);
int neigh_del(struct net_ns *net, const struct neigh_info *i);
struct neigh_walk {
	uint64_t at;
	uint8_t family; /* AF_UNSPEC: both */
};
bool neigh_walk_next(struct net_ns *net, struct neigh_walk *w, struct neigh_info *out);
void neigh_info(struct neigh *n, struct neigh_info *out);

/* --- net/ipv{4,6}/neigh/IF/NAME; l NULL: of "default", which new links begin with --- */
int32_t neigh_parm_get(struct net_ns *net, const struct link *l, int family, enum neigh_parm which);
void neigh_parm_set(struct net_ns *net, struct link *l, int family, enum neigh_parm which,
	int32_t v);
/* Entries of a family, and how many may be there: what /proc/net/stat and RTM_GETNEIGHTBL tell. */
uint32_t neigh_count(struct net_ns *net, int family);

void eth_init(void);
int eth_ns_init(struct net_ns *net);
void eth_ns_fini(struct net_ns *net);

/* --- RFC 4861/4862 on a link (ndp.c) --- */
void ndp_input(struct pkt *p); /* ICMPv6 types 133 to 137, checked by icmp6; takes p over */
/* The link is up for IPv6: it gets its link-local address (addr_gen_mode).  Without locks. */
void ndp_link_up(struct net_ns *net, struct link *l);
/* DAD for a tentative address, from now.  Ends in ip_addr_set_flags.  Without locks. */
void ndp_dad_start(struct net_ns *net, struct link *l, const struct ip_addr *a);
/* ARP probes for an address that was added are not sent, as Linux does; arp_notify says when a
 * gratuitous one is. */
void arp_announce(struct net_ns *net, struct link *l, const struct ip_addr *a);

#endif
