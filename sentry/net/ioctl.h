/* The ioctls of netdevice(7), which every socket but those of AF_UNIX has. */
#ifndef SENTRY_NET_IOCTL_H
#define SENTRY_NET_IOCTL_H

#include <stdint.h>

struct ctx;
struct net_ns;

/* -ENOTTY: it is none of these. */
long net_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg);

#endif
