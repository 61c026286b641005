/*
 * Bridges by ioctl, as brctl(8) asks for them: SIOCBRADDBR and its kin, and the older form of the
 * same, SIOCGIFBR and SIOCSIFBR with three words (br_ioctl.c of Linux).
 */
#include <linux/if_bridge.h>

#include "sentry/net/ioctl_priv.h"

#define BRIDGES_MAX 2048u /* that may be asked for at once */

static long add_bridge(struct net_ns *net, const char *name)
{
	struct link_attrs a = {.kind = "bridge", .name = name};
	return name[0] ? link_create(net, &a, NULL) : -EINVAL;
}

static long del_bridge(struct net_ns *net, const char *name)
{
	struct link *l = link_by_name(net, name);
	long err = 0;
	if (!l)
		return -ENXIO;
	if (l->kind != LINK_BRIDGE)
		err = -EPERM;
	else if (link_is_up(l))
		err = -EBUSY;
	else
		link_unregister(l);
	link_put(l);
	return err;
}

long ioctl_bridge(struct ctx *ctx, struct net_ns *net, bool add, uint64_t arg)
{
	char name[IFNAMSIZ];
	if (!ioctl_is_admin(ctx))
		return -EPERM;
	if (uaccess_get(ctx, &name, UADDR(arg)))
		return -EFAULT;
	name[IFNAMSIZ - 1] = 0;
	net_cfg_lock();
	long err = add ? add_bridge(net, name) : del_bridge(net, name);
	net_cfg_unlock();
	net_run();
	return err;
}

long ioctl_bridge_port(struct net_ns *net, struct link *br, bool add, int32_t index)
{
	if (br->kind != LINK_BRIDGE)
		return -EOPNOTSUPP;
	struct link *port = link_by_index(net, index);
	if (!port)
		return -EINVAL;
	long err;
	if (add)
		err = link_set_master(port, br);
	else
		err = READ_ONCE(port->master) == br->index ? link_set_master(port, NULL) : -EINVAL;
	link_put(port);
	return err;
}

/* The indices of at most max bridges: how many were put there. */
static long get_bridges(struct ctx *ctx, struct net_ns *net, uint64_t to, uint64_t max)
{
	uint64_t n = 0;
	struct link *l;
	if (max >= BRIDGES_MAX)
		return -ENOMEM;
	for (int32_t at = 0; n < max && (l = link_next(net, at)); link_put(l)) {
		at = l->index;
		if (l->kind != LINK_BRIDGE)
			continue;
		if (uaccess_put(ctx, UADDR(to + n * sizeof(at)), &at)) {
			link_put(l);
			return -EFAULT;
		}
		n++;
	}
	return (long)n;
}

long ioctl_bridge_old(struct ctx *ctx, struct net_ns *net, uint64_t arg)
{
	uint64_t args[3];
	if (uaccess_get(ctx, &args, UADDR(arg)))
		return -EFAULT;
	switch (args[0]) {
	case BRCTL_GET_VERSION:
		return BRCTL_VERSION;
	case BRCTL_GET_BRIDGES:
		return get_bridges(ctx, net, args[1], args[2]);
	case BRCTL_ADD_BRIDGE:
	case BRCTL_DEL_BRIDGE:
		return ioctl_bridge(ctx, net, args[0] == BRCTL_ADD_BRIDGE, args[1]);
	default:
		return -EOPNOTSUPP;
	}
}
