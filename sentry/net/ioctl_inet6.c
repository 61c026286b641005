/* IPv6 by ioctl: its addresses and routes (addrconf.c and ipv6_route_ioctl of Linux). */
#include <linux/ipv6_route.h>

#include "sentry/net/ioctl_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/route.h"

struct abi_in6_ifreq {
	uint8_t addr[16];
	uint32_t prefix_len;
	int32_t index;
};

/* RTF_REJECT of linux/route.h, which does not go with that of IPv6. */
#define ROUTE_REJECT 0x0200u

struct abi_in6_rtmsg {
	uint8_t dst[16], src[16], gateway[16];
	uint32_t type;
	uint16_t dst_len, src_len;
	uint32_t metric;
	uint64_t info;
	uint32_t flags;
	int32_t index;
};

static long change_addr(struct net_ns *net, const struct abi_in6_ifreq *r, bool add)
{
	struct ip_ifaddr a = {.index = r->index,
		.family = AF_INET6,
		.prefix_len = (uint8_t)r->prefix_len,
		.flags = IFA_F_PERMANENT,
		.local = ip_v6(r->addr),
		.peer = ip_v6(r->addr),
		.broadcast = IP_ANY6,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	struct link *l = link_by_index(net, r->index);
	link_put(l);
	if (!l)
		return -ENODEV;
	if (r->prefix_len > 128)
		return -EINVAL;
	return add ? ip_addr_add(net, &a, NLM_F_CREATE | NLM_F_EXCL) : ip_addr_del(net, &a);
}

static long addr_ioctl(struct ctx *ctx, struct net_ns *net, bool add, uint64_t arg)
{
	struct abi_in6_ifreq r;
	if (!ioctl_is_admin(ctx))
		return -EPERM;
	if (uaccess_get(ctx, &r, UADDR(arg)))
		return -EFAULT;
	net_cfg_lock();
	long err = change_addr(net, &r, add);
	net_cfg_unlock();
	net_run();
	return err;
}

static long route_ioctl(struct ctx *ctx, struct net_ns *net, bool add, uint64_t arg)
{
	struct abi_in6_rtmsg m;
	if (!ioctl_is_admin(ctx))
		return -EPERM;
	if (uaccess_get(ctx, &m, UADDR(arg)))
		return -EFAULT;
	if (m.dst_len > 128 || m.src_len > 128)
		return -EINVAL;
	struct ip_route_info r = {.family = AF_INET6,
		.dst = ip_v6(m.dst),
		.src = ip_v6(m.src),
		.dst_len = (uint8_t)m.dst_len,
		.src_len = (uint8_t)m.src_len,
		.prefsrc = IP_ANY6,
		.table = RT_TABLE_MAIN,
		.protocol = RTPROT_BOOT,
		.type = m.flags & ROUTE_REJECT ? RTN_UNREACHABLE : RTN_UNICAST,
		.priority = m.metric || !add ? m.metric : IP6_RT_PRIO_USER};
	r.hop[0] = (struct route_hop){.oif = m.index, .gw = ip_v6(m.gateway)};
	r.nhops = m.flags & ROUTE_REJECT ? 0 : 1;
	net_cfg_lock();
	long err = add ? route_add(net, &r, NLM_F_CREATE) : route_del(net, &r);
	net_cfg_unlock();
	net_run();
	return err;
}

long net_ioctl6(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	switch (cmd) {
	case SIOCADDRT:
	case SIOCDELRT:
		return route_ioctl(ctx, net, cmd == SIOCADDRT, arg);
	case SIOCSIFADDR:
	case SIOCDIFADDR:
		return addr_ioctl(ctx, net, cmd == SIOCSIFADDR, arg);
	case SIOCSIFDSTADDR:
		return -ENODEV; /* tunnels (sit) only, of which there are none */
	default:
		return net_ioctl_link(ctx, net, cmd, arg);
	}
}
