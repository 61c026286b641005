/* See ioctl.h. */
#include "sentry/net/ioctl.h"

#include <errno.h>

long net_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	return -ENOTTY;
}
