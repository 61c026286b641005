/* Private to the ioctls of sentry/net: what they hand to each other. */
#ifndef SENTRY_NET_IOCTL_PRIV_H
#define SENTRY_NET_IOCTL_PRIV_H

#include <errno.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/ctx.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"

static inline bool ioctl_is_admin(struct ctx *ctx)
{
	return ctx_capable(ctx, CAP_NET_ADMIN);
}
/* Cuts an alias ("eth0:1") to the link's name; returns whether it was one. */
static inline bool ioctl_cut_alias(char name[IFNAMSIZ])
{
	name[IFNAMSIZ - 1] = 0;
	char *colon = strchr(name, ':');
	if (colon)
		*colon = 0;
	return colon != NULL;
}
/* SIOCETHTOOL of l. */
long ioctl_ethtool(struct ctx *ctx, struct link *l, uint64_t data);
/* SIOCBRADDBR and SIOCBRDELBR; SIOCBRADDIF and SIOCBRDELIF of br, with net_cfg_lock; SIOCGIFBR. */
long ioctl_bridge(struct ctx *ctx, struct net_ns *net, bool add, uint64_t arg);
long ioctl_bridge_port(struct net_ns *net, struct link *br, bool add, int32_t index);
long ioctl_bridge_old(struct ctx *ctx, struct net_ns *net, uint64_t arg);
/* SIOCGIFCONF. */
long ioctl_ifconf(struct ctx *ctx, struct net_ns *net, uint64_t arg);

#endif
