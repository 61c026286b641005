/*
 * Network namespaces (network_namespaces(7)): what sockets find by name, and what
 * is counted and tuned apart for each.  What Linux has once for all of them (peers,
 * files in flight, sockets bound in the file system) is not here.
 *
 * References: one of each task in it, of the container it was made for, of each
 * /proc/PID/ns/net that is open, and of each socket made in it; a socket stays
 * where it was made, wherever its owner goes.  The namespace holds none.
 *
 * It owns all of the network's state: links (link/), addresses, routes and rules (ip/), neighbours
 * (eth/), ports and connections (inet/), tunables and counters.  Each layer hangs its part here and
 * makes and frees it with its x_ns_init and x_ns_fini.
 *
 * The last reference may be dropped anywhere, a packet's end or a timer included; what is done then
 * takes all kinds of locks, so a host thread does it, once there was a second namespace.  As in
 * Linux, what was in a namespace is gone some time after the last one who had it.
 *
 * net_cfg_lock (LOCK_NETCFG) makes changes of links, addresses and routes of all namespaces one
 * after the other, as Linux' RTNL; packets never take it.
 */
#ifndef SENTRY_NET_NET_NS_H
#define SENTRY_NET_NET_NS_H

#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/ref.h"
#include "sentry/core/waitq.h"
#include "sentry/net/link/tap.h"
#include "sentry/net/mib.h"

#define NET_UNIX_HASH 64

/* Tunables: sysctl.def.  Words, read and written without a lock. */
struct net_ctl {
#define CTL(member, path, def, min, max) int32_t member;
#define CTL_VEC(member, path, n, ...) int32_t member[n];
#include "sentry/net/sysctl.def"
#undef CTL
#undef CTL_VEC
	char tcp_congestion_control[16];
};

struct ip_net;
struct eth_net;
struct inet_net;
struct tcp_net;
struct netlink_net;
struct packet_net;

struct net_ns {
	struct ref ref;
	uint64_t id;
	struct net_ns *next_dead; /* net_ns.c */
	uint32_t nr_sockets;      /* atomic: those that have a file */
	bool host;                /* its sockets are the host's (host/); set before there are any */
	struct net_ctl ctl;
	struct net_mibs *mib; /* owned */
	uint8_t secret[32];   /* of keyed hashes: ISNs, ports, cookies, flow labels */

	uint32_t listeners;   /* atomic: a TCP listener came or went */
	struct waitq listenq; /* and wakes this: POLLIN */

	/* --- link/ --- */
	struct mutex link_lock; /* LOCK_LINK */
	struct list_node links; /* struct link.node, by index */
	int32_t last_index;
	uint32_t nr_links;        /* length of links; link_lock */
	struct list_node taps;    /* of all links: struct link_tap.node; link/run.c's lock */
	uint32_t ntaps;           /* atomic: length of it */
	struct link_tap pcap_tap; /* pcap.c */

	/* --- the other layers' own --- */
	struct ip_net *ip;
	struct eth_net *eth;
	struct inet_net *inet;
	struct tcp_net *tcp;
	struct netlink_net *netlink;
	struct packet_net *packet;

	/* AF_UNIX; under the lock of sentry/net/unix (LOCK_NET) */
	struct list_node unix_all;                  /* unix_sock.all_node, oldest first */
	uint32_t unix_count;                        /* length of unix_all */
	struct list_node unix_names[NET_UNIX_HASH]; /* abstract ones: unix_sock.name_node */
	uint32_t unix_next_auto;                    /* atomic: autobind's counter */
};

/* So many of them in a sandbox. */
#define NET_NS_MAX 8192u
/* id: the inode of /proc/PID/ns/net.  It has a loopback link, which is down.  NULL: out of memory,
 * or there are NET_NS_MAX. */
struct net_ns *net_ns_new(uint64_t id);
/* The one that was made first, to which links of the host return, with a reference; NULL: it is
 * gone. */
struct net_ns *net_ns_first(void);
/* RTNL. */
void net_cfg_lock(void);
void net_cfg_unlock(void);

/* The tunable at path ("ipv4/tcp_sack"), n words of it; NULL: there is none.  min, max: its range.
 */
int32_t *net_ctl_find(struct net_ns *net, const char *path, uint32_t *n, int32_t *min,
	int32_t *max);
static inline struct net_ns *net_ns_get(struct net_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}
void net_ns_put(struct net_ns *ns); /* NULL-safe */

/* A new descriptor of the caller's, of a file as /proc/PID/ns/net (SIOCGSKNS); by sentry/task. */
struct ctx;
int net_ns_open(struct ctx *ctx, struct net_ns *net);

#endif
