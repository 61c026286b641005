/*
 * The ioctls of netdevice(7).  All of them work on a socket of its family whatever protocol it has;
 * those of links on any socket (if_nametoindex(3) uses one of AF_UNIX).
 */
#ifndef SENTRY_NET_IOCTL_H
#define SENTRY_NET_IOCTL_H

#include <stdint.h>

struct ctx;
struct net_ns;

/* Of AF_INET and AF_PACKET: links, addresses, routes, ARP.  -ENOTTY: it is none of these. */
long net_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg);
/* Of AF_INET6: links, its own addresses and routes. */
long net_ioctl6(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg);
/* Of the others: links alone. */
long net_ioctl_link(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg);

#endif
