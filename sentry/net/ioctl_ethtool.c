/* SIOCETHTOOL: the few questions that programs ask of any link (net/ethtool/ioctl.c of Linux). */
#include <linux/ethtool.h>

#include "sentry/net/ioctl_priv.h"

/* Linux' names: NULL: it has none to tell. */
static const char *driver(const struct link *l)
{
	switch (l->kind) {
	case LINK_VETH:
	case LINK_FD: /* what a container has of its host */
		return "veth";
	case LINK_BRIDGE:
		return "bridge";
	case LINK_DUMMY:
		return "dummy";
	default:
		return NULL;
	}
}

static long get_drvinfo(struct ctx *ctx, struct link *l, uint64_t data)
{
	struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};
	const char *name = driver(l);
	if (!name)
		return -EOPNOTSUPP;
	strcpy(d.driver, name);
	strcpy(d.version, l->kind == LINK_BRIDGE ? "2.3" : "1.0");
	if (l->kind == LINK_BRIDGE) {
		strcpy(d.fw_version, "N/A");
		strcpy(d.bus_info, "N/A");
	}
	return uaccess_put(ctx, UADDR(data), &d);
}

/* A veth pretends to be 10 Gbit/s copper. */
static long get_settings(struct ctx *ctx, struct link *l, uint64_t data)
{
	struct ethtool_cmd c = {.cmd = ETHTOOL_GSET, .duplex = DUPLEX_FULL};
	if (l->kind != LINK_VETH && l->kind != LINK_FD)
		return -EOPNOTSUPP;
	ethtool_cmd_speed_set(&c, SPEED_10000);
	c.port = PORT_TP;
	c.phy_address = 0;
	return uaccess_put(ctx, UADDR(data), &c);
}

static long get_link_settings(struct ctx *ctx, struct link *l, uint64_t data)
{
	struct ethtool_link_settings s;
	if (l->kind != LINK_VETH && l->kind != LINK_FD)
		return -EOPNOTSUPP;
	if (uaccess_get(ctx, &s, UADDR(data)))
		return -EFAULT;
	/* The first call tells how many words a mask has: three, of those that Linux 6 knows. */
	int8_t words = s.link_mode_masks_nwords == 4 ? 4 : -4;
	s = (struct ethtool_link_settings){.cmd = ETHTOOL_GLINKSETTINGS,
		.link_mode_masks_nwords = words};
	uint32_t masks[12] = {0};
	if (words > 0) {
		s.speed = SPEED_10000;
		s.duplex = DUPLEX_FULL;
		s.port = PORT_TP;
	}
	if (uaccess_put(ctx, UADDR(data), &s))
		return -EFAULT;
	return words > 0 ? uaccess_copyout(ctx, UADDR(data + sizeof(s)), masks, sizeof(masks)) : 0;
}

static long put_value(struct ctx *ctx, uint32_t cmd, uint32_t v, uint64_t data)
{
	struct ethtool_value e = {.cmd = cmd, .data = v};
	return uaccess_put(ctx, UADDR(data), &e);
}

long ioctl_ethtool(struct ctx *ctx, struct link *l, uint64_t data)
{
	uint32_t cmd;
	bool up = link_is_up(l) && !READ_ONCE(l->no_carrier);
	if (uaccess_get(ctx, &cmd, UADDR(data)))
		return -EFAULT;
	switch (cmd) {
	case ETHTOOL_GDRVINFO:
		return get_drvinfo(ctx, l, data);
	case ETHTOOL_GLINK:
		return put_value(ctx, cmd, up, data);
	case ETHTOOL_GSET:
		return get_settings(ctx, l, data);
	case ETHTOOL_GLINKSETTINGS:
		return get_link_settings(ctx, l, data);
	case ETHTOOL_GTXCSUM:
	case ETHTOOL_GRXCSUM:
		return put_value(ctx, cmd, l->csum, data);
	case ETHTOOL_GSG:
		return put_value(ctx, cmd, 1, data);
	case ETHTOOL_GTSO:
	case ETHTOOL_GGSO:
	case ETHTOOL_GGRO:
		return put_value(ctx, cmd, l->gso, data);
	case ETHTOOL_GFLAGS:
		return put_value(ctx, cmd, 0, data);
	default:
		return ioctl_is_admin(ctx) || (cmd >= ETHTOOL_GRXFH && cmd != ETHTOOL_SRXFH)
			       ? -EOPNOTSUPP
			       : -EPERM;
	}
}
