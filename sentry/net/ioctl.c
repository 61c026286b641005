/* Links by ioctl: net/core/dev_ioctl.c of Linux. */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/net_tstamp.h>

#include "sentry/net/ioctl_priv.h"

static void get_map(struct ifreq *r)
{
	memset(&r->ifr_map, 0, sizeof(r->ifr_map));
}

static void get_hwaddr(struct net_ns *net, struct link *l, struct ifreq *r)
{
	MUTEX_GUARD(&net->link_lock);
	memset(&r->ifr_hwaddr, 0, sizeof(r->ifr_hwaddr));
	r->ifr_hwaddr.sa_family = l->hatype;
	memcpy(r->ifr_hwaddr.sa_data, l->addr, l->addr_len);
}

static long get_one(struct net_ns *net, struct link *l, uint32_t cmd, struct ifreq *r)
{
	switch (cmd) {
	case SIOCGIFFLAGS:
		r->ifr_flags = (short)link_flags(l);
		return 0;
	case SIOCGIFMETRIC:
		r->ifr_metric = 0;
		return 0;
	case SIOCGIFMTU:
		r->ifr_mtu = (int)READ_ONCE(l->mtu);
		return 0;
	case SIOCGIFHWADDR:
		get_hwaddr(net, l, r);
		return 0;
	case SIOCGIFMAP:
		get_map(r);
		return 0;
	case SIOCGIFINDEX:
		r->ifr_ifindex = l->index;
		return 0;
	case SIOCGIFTXQLEN:
		r->ifr_qlen = (int)READ_ONCE(l->txqlen);
		return 0;
	case SIOCGIFSLAVE:
		return -EINVAL;
	default:
		return -EOPNOTSUPP;
	}
}

static long set_hwaddr(struct link *l, const struct sockaddr *a)
{
	if (a->sa_family != l->hatype)
		return -EINVAL;
	return link_set_addr(l, (const uint8_t *)a->sa_data, (uint8_t)sizeof(a->sa_data));
}

static long set_broadcast(struct net_ns *net, struct link *l, const struct sockaddr *a)
{
	if (a->sa_family != l->hatype)
		return -EINVAL;
	MUTEX_GUARD(&net->link_lock);
	memcpy(l->broadcast, a->sa_data, l->addr_len);
	return 0;
}

static long set_txqlen(struct link *l, int n)
{
	if (n < 0)
		return -EINVAL;
	WRITE_ONCE(l->txqlen, (uint32_t)n);
	return 0;
}

static long set_name(struct link *l, char *name)
{
	name[IFNAMSIZ - 1] = 0;
	return link_set_name(l, name);
}

static long set_multicast(struct link *l, const struct sockaddr *a, bool add)
{
	if (l->kind == LINK_LOOPBACK || a->sa_family != AF_UNSPEC)
		return -EINVAL;
	if (!add) {
		link_mc_leave(l, (const uint8_t *)a->sa_data);
		return 0;
	}
	return link_mc_join(l, (const uint8_t *)a->sa_data);
}

static long set_one(struct net_ns *net, struct link *l, uint32_t cmd, struct ifreq *r)
{
	switch (cmd) {
	case SIOCSIFFLAGS:
		return link_set_flags(l, (uint16_t)r->ifr_flags, UINT32_MAX);
	case SIOCSIFMTU:
		return r->ifr_mtu < 0 ? -EINVAL : link_set_mtu(l, (uint32_t)r->ifr_mtu);
	case SIOCSIFHWADDR:
		return set_hwaddr(l, &r->ifr_hwaddr);
	case SIOCSIFHWBROADCAST:
		return set_broadcast(net, l, &r->ifr_hwaddr);
	case SIOCADDMULTI:
	case SIOCDELMULTI:
		return set_multicast(l, &r->ifr_hwaddr, cmd == SIOCADDMULTI);
	case SIOCSIFTXQLEN:
		return set_txqlen(l, r->ifr_qlen);
	case SIOCSIFNAME:
		return set_name(l, r->ifr_newname);
	case SIOCBRADDIF:
	case SIOCBRDELIF:
		return ioctl_bridge_port(net, l, cmd == SIOCBRADDIF, r->ifr_ifindex);
	case SIOCSIFSLAVE:
		return -EINVAL;
	default: /* SIOCSIFMETRIC, and what only drivers have that are not here: MII, bonding ... */
		return -EOPNOTSUPP;
	}
}

static long get_name(struct ctx *ctx, struct net_ns *net, uint64_t arg)
{
	struct ifreq r;
	if (uaccess_get(ctx, &r, UADDR(arg)))
		return -EFAULT;
	r.ifr_name[IFNAMSIZ - 1] = 0;
	struct link *l = link_by_index(net, r.ifr_ifindex);
	if (!l)
		return -ENODEV;
	mutex_lock(&net->link_lock);
	memcpy(r.ifr_name, l->name, IFNAMSIZ);
	mutex_unlock(&net->link_lock);
	link_put(l);
	return uaccess_put(ctx, UADDR(arg), &r);
}

static long by_name(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg, bool set)
{
	struct ifreq r;
	long err;
	if (uaccess_get(ctx, &r, UADDR(arg)))
		return -EFAULT;
	char name[IFNAMSIZ];
	memcpy(name, r.ifr_name, IFNAMSIZ);
	ioctl_cut_alias(name);
	if (set && !ioctl_is_admin(ctx))
		return -EPERM;
	uint32_t sub;
	struct hwtstamp_config hw;
	uint64_t data = (uint64_t)(uintptr_t)r.ifr_data;
	if (cmd == SIOCETHTOOL && uaccess_get(ctx, &sub, UADDR(data)))
		return -EFAULT;
	struct link *l = link_by_name(net, name);
	if (!l)
		return -ENODEV;
	if (cmd == SIOCSHWTSTAMP && uaccess_get(ctx, &hw, UADDR(data))) {
		err = -EFAULT;
	} else if (cmd == SIOCETHTOOL) {
		err = ioctl_ethtool(ctx, l, data);
	} else if (set) {
		net_cfg_lock();
		err = set_one(net, l, cmd, &r);
		net_cfg_unlock();
		net_run();
	} else {
		err = get_one(net, l, cmd, &r);
		if (!err)
			err = uaccess_put(ctx, UADDR(arg), &r);
	}
	link_put(l);
	return err;
}

static bool is_stamp(uint32_t cmd)
{
	return _IOC_NR(cmd) == _IOC_NR(SIOCGSTAMP_OLD) || _IOC_NR(cmd) == _IOC_NR(SIOCGSTAMPNS_OLD);
}

/* Linux copies an ifreq for each request of the type, known or not. */
static long unknown(struct ctx *ctx, uint32_t cmd, uint64_t arg)
{
	struct ifreq r;
	if (_IOC_TYPE(cmd) != SOCK_IOC_TYPE || is_stamp(cmd))
		return -ENOTTY;
	return uaccess_get(ctx, &r, UADDR(arg)) ? -EFAULT : -ENOTTY;
}

long net_ioctl_link(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	switch (cmd) {
	case SIOCGIFNAME:
		return get_name(ctx, net, arg);
	case SIOCGIFCONF:
		return ioctl_ifconf(ctx, net, arg);
	case SIOCGIFFLAGS:
	case SIOCGIFMETRIC:
	case SIOCGIFMTU:
	case SIOCGIFHWADDR:
	case SIOCGIFSLAVE:
	case SIOCGIFMAP:
	case SIOCGIFINDEX:
	case SIOCGIFTXQLEN:
	case SIOCETHTOOL:
	case SIOCWANDEV: /* and the following, of kinds of links that are not there */
	case SIOCBONDSLAVEINFOQUERY:
	case SIOCBONDINFOQUERY:
	case SIOCGHWTSTAMP:
	case SIOCDEVPRIVATE ... SIOCDEVPRIVATE + 15:
		return by_name(ctx, net, cmd, arg, false);
	case SIOCGIFBR:
	case SIOCSIFBR:
		return ioctl_bridge_old(ctx, net, arg);
	case SIOCBRADDBR:
	case SIOCBRDELBR:
		return ioctl_bridge(ctx, net, cmd == SIOCBRADDBR, arg);
	case SIOCGIFVLAN:
	case SIOCSIFVLAN:
		return -ENOPKG; /* as where there are no VLANs */
	case SIOCSIFFLAGS:
	case SIOCSIFMETRIC:
	case SIOCSIFMTU:
	case SIOCSIFHWADDR:
	case SIOCSIFSLAVE:
	case SIOCSIFMAP:
	case SIOCSIFHWBROADCAST:
	case SIOCADDMULTI:
	case SIOCDELMULTI:
	case SIOCSIFTXQLEN:
	case SIOCSIFNAME:
	case SIOCGMIIPHY:
	case SIOCGMIIREG:
	case SIOCSMIIREG:
	case SIOCBRADDIF:
	case SIOCBRDELIF:
	case SIOCSHWTSTAMP:
	case SIOCBONDENSLAVE ... SIOCBONDSETHWADDR:
	case SIOCBONDCHANGEACTIVE:
		return by_name(ctx, net, cmd, arg, true);
	default:
		return unknown(ctx, cmd, arg);
	}
}
