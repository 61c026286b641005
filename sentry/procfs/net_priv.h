/* Private to sentry/procfs: the files of /proc/PID/net (net*.c).  Each shows the namespace of the
 * process that the directory is about. */
#ifndef SENTRY_PROCFS_NET_PRIV_H
#define SENTRY_PROCFS_NET_PRIV_H

#include "sentry/net/net_ns.h"
#include "sentry/procfs/procfs_priv.h"

/* A file's text for one namespace; arg is the entry's. */
typedef void (*net_show_fn)(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);

/* --- net_sock.c: sockets --- */
void net_show_tcp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_udp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_raw(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_icmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_sockstat(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_unix(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_packet(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_protocols(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_netlink(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
/* --- net_link.c: links, addresses, neighbours --- */
void net_show_dev(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_dev_mcast(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_igmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_mcfilter(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6);
void net_show_if_inet6(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_arp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
/* --- net_route.c --- */
void net_show_route(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_ipv6_route(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_rt6_stats(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_fib_trie(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t stat);
/* --- net_mib.c: counters --- */
void net_show_snmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_snmp6(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);
void net_show_netstat(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg);

/* Lines that Linux pads with blanks to a fixed width (seq_pad): call at the line's end. */
static inline void net_pad(struct text *t, size_t start, size_t width)
{
	while (!t->err && t->len - start < width)
		text_put(t, " ", 1);
	text_put(t, "\n", 1);
}

#endif
