/*
 * IPv4 by ioctl: addresses with their labels (devinet_ioctl of Linux), routes
 * (ip_rt_ioctl), ARP (arp_ioctl), SIOCGIFCONF.
 */
#include <linux/route.h>
#include <linux/if_arp.h>

#include "sentry/net/eth/neigh.h"
#include "sentry/net/ioctl_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/route.h"

struct sin {
	uint16_t family, port;
	uint32_t addr;
	uint8_t zero[8];
};
_Static_assert(sizeof(struct sin) == sizeof(struct sockaddr), "ABI");

static uint32_t mask_of(uint8_t len)
{
	return len ? __builtin_bswap32(UINT32_MAX << (32 - len)) : 0;
}

/* Of a mask in network order: -1: it has holes. */
static int len_of(uint32_t mask)
{
	uint32_t inv = ~__builtin_bswap32(mask);
	return inv & (inv + 1) ? -1 : __builtin_popcount(mask);
}

/* --- SIOCGIFCONF --- */

long ioctl_ifconf(struct ctx *ctx, struct net_ns *net, uint64_t arg)
{
	struct ip_addr_walk w = {.family = AF_INET};
	struct ip_ifaddr a;
	struct {
		int32_t len, pad;
		uint64_t buf;
	} c;
	uint64_t total = 0;
	if (uaccess_get(ctx, &c, UADDR(arg)))
		return -EFAULT;
	while (!ctx_killed(ctx) && ip_addr_walk_next(net, &w, &a)) {
		struct ifreq r;
		struct sin in = {.family = AF_INET, .addr = ip_to_v4(&a.local)};
		memset(&r, 0, sizeof(r));
		memcpy(r.ifr_name, a.label, IFNAMSIZ);
		memcpy(&r.ifr_addr, &in, sizeof(in));
		if (c.buf) {
			if (total + sizeof(r) > (uint64_t)MAX(c.len, 0))
				break;
			if (uaccess_put(ctx, UADDR(c.buf + total), &r))
				return -EFAULT;
		}
		total += sizeof(r);
	}
	c.len = (int32_t)total;
	return uaccess_put(ctx, UADDR(arg), &c.len);
}

/* --- addresses --- */

/* The address with that label; if the caller names one, first the one with it. */
static bool find_addr(struct net_ns *net, int32_t index, const char *label, const uint32_t *addr,
	struct ip_ifaddr *out)
{
	struct ip_addr_walk w = {.family = AF_INET};
	struct ip_ifaddr a;
	bool found = false;
	while (ip_addr_walk_next(net, &w, &a)) {
		if (a.index != index || strncmp(a.label, label, IFNAMSIZ))
			continue;
		if (addr && ip_to_v4(&a.local) == *addr) {
			*out = a;
			return true;
		}
		if (!found)
			*out = a;
		found = true;
	}
	return found;
}

static void get_addr(uint32_t cmd, const struct ip_ifaddr *a, struct sin *in)
{
	*in = (struct sin){.family = AF_INET};
	switch (cmd) {
	case SIOCGIFADDR:
		in->addr = ip_to_v4(&a->local);
		break;
	case SIOCGIFBRDADDR:
		in->addr = ip_is_any(&a->broadcast) ? 0 : ip_to_v4(&a->broadcast);
		break;
	case SIOCGIFDSTADDR:
		in->addr = ip_to_v4(&a->peer);
		break;
	default:
		in->addr = mask_of(a->prefix_len);
	}
}

static int class_len(uint32_t be)
{
	uint32_t a = __builtin_bswap32(be);
	if (be == 0 || be == UINT32_MAX || a >> 24 == 0)
		return 0;
	if (a >> 31 == 0)
		return 8;
	if (a >> 30 == 2)
		return 16;
	if (a >> 29 == 6)
		return 24;
	return a >> 28 == 15 ? 32 : -1;
}

static uint32_t broadcast_of(uint32_t be, uint8_t len)
{
	return be | ~mask_of(len);
}

/* Takes the old one away, if there is one, and puts a in its place. */
static long replace(struct net_ns *net, const struct ip_ifaddr *old, const struct ip_ifaddr *a)
{
	int err = old ? ip_addr_del(net, old) : 0;
	if (err || ip_is_any(&a->local))
		return err;
	return ip_addr_add(net, a, NLM_F_CREATE | NLM_F_EXCL);
}

static long set_local(struct net_ns *net, struct link *l, const char *label,
	const struct ip_ifaddr *old, uint32_t addr)
{
	int len = class_len(addr);
	bool broadcasts = READ_ONCE(l->flags) & IFF_BROADCAST;
	if (len < 0)
		return -EINVAL;
	if (old && ip_to_v4(&old->local) == addr)
		return 0;
	struct ip_ifaddr a = {.index = l->index,
		.family = AF_INET,
		.prefix_len = READ_ONCE(l->flags) & IFF_POINTOPOINT ? 32 : (uint8_t)len,
		.flags = IFA_F_PERMANENT,
		.local = ip_v4(addr),
		.peer = ip_v4(addr),
		.broadcast = IP_ANY4,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	memcpy(a.label, label, IFNAMSIZ);
	if (broadcasts && a.prefix_len < 31)
		a.broadcast = ip_v4(broadcast_of(addr, a.prefix_len));
	if (addr && __builtin_bswap32(addr) >> 24 == 127)
		a.scope = RT_SCOPE_HOST;
	return replace(net, old, &a);
}

static long set_mask(struct net_ns *net, struct link *l, const struct ip_ifaddr *old, uint32_t mask)
{
	struct ip_ifaddr a = *old;
	int len = len_of(mask);
	if (len < 0)
		return -EINVAL;
	if (len == old->prefix_len)
		return 0;
	uint32_t local = ip_to_v4(&old->local);
	a.prefix_len = (uint8_t)len;
	if ((READ_ONCE(l->flags) & IFF_BROADCAST) && old->prefix_len < 31 &&
		ip_to_v4(&old->broadcast) == broadcast_of(local, old->prefix_len))
		a.broadcast = ip_v4(broadcast_of(local, a.prefix_len));
	return replace(net, old, &a);
}

static long set_addr(struct net_ns *net, struct link *l, uint32_t cmd, const char *label,
	const struct ip_ifaddr *old, const struct sin *in)
{
	struct ip_ifaddr a;
	if (cmd == SIOCSIFADDR)
		return set_local(net, l, label, old, in->addr);
	if (cmd == SIOCSIFNETMASK)
		return set_mask(net, l, old, in->addr);
	a = *old;
	if (cmd == SIOCSIFBRDADDR)
		a.broadcast = ip_v4(in->addr);
	else if (class_len(in->addr) < 0)
		return -EINVAL;
	else
		a.peer = ip_v4(in->addr);
	return replace(net, old, &a);
}

/* Flags of an alias: taking it down takes its address away. */
static long set_alias_flags(struct net_ns *net, const struct ip_ifaddr *old, int flags)
{
	if (!old)
		return -EADDRNOTAVAIL;
	return flags & IFF_UP ? 0 : ip_addr_del(net, old);
}

struct addr_call {
	struct net_ns *net;
	struct link *l;
	struct ifreq r;
	struct sin in;
	bool alias;
};

static long addr_set(struct addr_call *c, uint32_t cmd)
{
	struct ip_ifaddr old;
	long err;
	net_cfg_lock();
	bool have = find_addr(c->net, c->l->index, c->r.ifr_name, NULL, &old);
	if (cmd == SIOCSIFFLAGS)
		err = set_alias_flags(c->net, have ? &old : NULL, c->r.ifr_flags);
	else if (!have && cmd != SIOCSIFADDR)
		err = -EADDRNOTAVAIL;
	else
		err = set_addr(c->net, c->l, cmd, c->r.ifr_name, have ? &old : NULL, &c->in);
	net_cfg_unlock();
	net_run();
	return err;
}

static long addr_get(struct ctx *ctx, struct addr_call *c, uint32_t cmd, uint64_t arg)
{
	struct ip_ifaddr a;
	if (!find_addr(c->net, c->l->index, c->r.ifr_name,
		    c->in.family == AF_INET ? &c->in.addr : NULL, &a))
		return -EADDRNOTAVAIL;
	get_addr(cmd, &a, &c->in);
	memcpy(&c->r.ifr_addr, &c->in, sizeof(c->in));
	return uaccess_put(ctx, UADDR(arg), &c->r);
}

static long addr_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	struct addr_call c = {.net = net};
	char name[IFNAMSIZ];
	bool get = cmd == SIOCGIFADDR || cmd == SIOCGIFBRDADDR || cmd == SIOCGIFDSTADDR ||
		   cmd == SIOCGIFNETMASK;
	long err;
	if (uaccess_get(ctx, &c.r, UADDR(arg)))
		return -EFAULT;
	c.r.ifr_name[IFNAMSIZ - 1] = 0;
	memcpy(name, c.r.ifr_name, IFNAMSIZ);
	c.alias = ioctl_cut_alias(name);
	memcpy(&c.in, &c.r.ifr_addr, sizeof(c.in));
	if (cmd == SIOCSIFFLAGS && !c.alias)
		return net_ioctl_link(ctx, net, cmd, arg);
	if (!get && !ioctl_is_admin(ctx))
		return -EPERM;
	if (!get && cmd != SIOCSIFFLAGS && c.in.family != AF_INET)
		return -EINVAL;
	c.l = link_by_name(net, name);
	if (!c.l)
		return -ENODEV;
	err = get ? addr_get(ctx, &c, cmd, arg) : addr_set(&c, cmd);
	link_put(c.l);
	return err;
}

/* --- routes --- */

static struct sin sin_of(const struct sockaddr *a)
{
	struct sin in;
	memcpy(&in, a, sizeof(in));
	return in;
}

static int route_dst(const struct rtentry *e, struct ip_route_info *r)
{
	struct sin dst = sin_of(&e->rt_dst), mask = sin_of(&e->rt_genmask);
	int len = 32;
	if (dst.family != AF_INET)
		return -EAFNOSUPPORT;
	if (!(e->rt_flags & RTF_HOST)) {
		if (mask.family != AF_INET && (mask.addr || mask.family))
			return -EAFNOSUPPORT;
		len = len_of(mask.addr);
		if (len < 0 || (dst.addr & ~mask.addr))
			return -EINVAL;
	}
	r->dst = ip_v4(dst.addr);
	r->dst_len = (uint8_t)len;
	return 0;
}

static int route_dev(struct ctx *ctx, struct net_ns *net, const struct rtentry *e,
	struct ip_route_info *r)
{
	char name[IFNAMSIZ] = "";
	struct ip_ifaddr a;
	if (!e->rt_dev)
		return 0;
	ssize_t n =
		uaccess_strncpy(ctx, name, UADDR((uint64_t)(uintptr_t)e->rt_dev), sizeof(name) - 1);
	if (n < 0)
		return -EFAULT;
	char label[IFNAMSIZ];
	memcpy(label, name, sizeof(label));
	bool alias = ioctl_cut_alias(name);
	struct link *l = link_by_name(net, name);
	if (!l)
		return -ENODEV;
	r->hop[0].oif = l->index;
	r->nhops = 1;
	link_put(l);
	if (alias) {
		if (!find_addr(net, r->hop[0].oif, label, NULL, &a))
			return -ENODEV;
		r->prefsrc = a.local;
	}
	return 0;
}

static int route_gateway(struct net_ns *net, const struct rtentry *e, bool add,
	struct ip_route_info *r)
{
	struct sin gw = sin_of(&e->rt_gateway);
	struct ip_addr a = ip_v4(gw.addr);
	if (gw.family == AF_INET && gw.addr) {
		r->hop[0].gw = a;
		r->nhops = 1;
		if ((e->rt_flags & RTF_GATEWAY) && ip_addr_type(net, &a, 0) == RTN_UNICAST)
			r->scope = RT_SCOPE_UNIVERSE;
	}
	if (!add)
		return 0;
	if ((e->rt_flags & RTF_GATEWAY) && ip_is_any(&r->hop[0].gw))
		return -EINVAL;
	if (r->scope == RT_SCOPE_NOWHERE)
		r->scope = RT_SCOPE_LINK;
	return 0;
}

static int route_parse(struct ctx *ctx, struct net_ns *net, const struct rtentry *e, bool add,
	struct ip_route_info *r)
{
	*r = (struct ip_route_info){.family = AF_INET,
		.table = RT_TABLE_MAIN,
		.protocol = RTPROT_BOOT,
		.type = add ? RTN_UNICAST : RTN_UNSPEC,
		.scope = RT_SCOPE_NOWHERE,
		.prefsrc = IP_ANY4,
		.src = IP_ANY4,
		.priority = e->rt_metric > 0 ? (uint32_t)e->rt_metric - 1 : 0};
	r->hop[0].gw = IP_ANY4;
	int err = route_dst(e, r);
	if (err)
		return err;
	if (e->rt_flags & RTF_REJECT) {
		r->scope = RT_SCOPE_HOST;
		r->type = RTN_UNREACHABLE;
		return 0;
	}
	err = route_dev(ctx, net, e, r);
	if (!err)
		err = route_gateway(net, e, add, r);
	if (err)
		return err;
	if (e->rt_flags & RTF_MTU)
		r->advmss = (uint32_t)e->rt_mtu - 40;
	if (e->rt_flags & RTF_WINDOW)
		r->window = (uint32_t)e->rt_window;
	if (e->rt_flags & RTF_IRTT)
		r->rtt = (uint32_t)e->rt_irtt << 3;
	return 0;
}

static long route_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	struct ip_route_info r;
	struct rtentry e;
	bool add = cmd == SIOCADDRT;
	if (!ioctl_is_admin(ctx))
		return -EPERM;
	if (uaccess_get(ctx, &e, UADDR(arg)))
		return -EFAULT;
	net_cfg_lock();
	int err = route_parse(ctx, net, &e, add, &r);
	if (!err)
		err = add ? route_add(net, &r, NLM_F_CREATE) : route_del(net, &r);
	net_cfg_unlock();
	net_run();
	return err;
}

/* --- ARP --- */

static bool arp_find(struct net_ns *net, int32_t index, const struct ip_addr *a,
	struct neigh_info *out)
{
	struct neigh_walk w = {.family = AF_INET};
	while (neigh_walk_next(net, &w, out))
		if (out->index == index && ip_eq(&out->dst, a))
			return true;
	return false;
}

static long arp_get(struct ctx *ctx, struct net_ns *net, struct link *l, struct arpreq *r,
	uint64_t arg)
{
	struct neigh_info i;
	struct ip_addr a = ip_v4(sin_of(&r->arp_pa).addr);
	if (!arp_find(net, l->index, &a, &i) || (i.state & NUD_NOARP))
		return -ENXIO;
	memset(&r->arp_ha, 0, sizeof(r->arp_ha));
	r->arp_ha.sa_family = l->hatype;
	memcpy(r->arp_ha.sa_data, i.addr, l->addr_len);
	r->arp_flags = 0;
	if (i.state & NUD_PERMANENT)
		r->arp_flags = ATF_PERM | ATF_COM;
	else if (i.state & (NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY))
		r->arp_flags = ATF_COM;
	memcpy(r->arp_dev, l->name, sizeof(r->arp_dev));
	return uaccess_put(ctx, UADDR(arg), r);
}

static long arp_set(struct net_ns *net, struct link *l, const struct arpreq *r, bool del)
{
	struct neigh_info i = {.family = AF_INET,
		.index = l->index,
		.dst = ip_v4(sin_of(&r->arp_pa).addr),
		.addr_len = l->addr_len,
		.state = r->arp_flags & ATF_PERM ? NUD_PERMANENT : NUD_STALE};
	if (del)
		return neigh_del(net, &i) == -ENOENT ? -ENXIO : 0;
	if (r->arp_ha.sa_family != l->hatype || !(r->arp_flags & ATF_COM))
		return -EINVAL;
	memcpy(i.addr, r->arp_ha.sa_data, l->addr_len);
	return neigh_set(net, &i, NLM_F_CREATE | NLM_F_REPLACE);
}

/* The link that a neighbour without a device is at. */
static struct link *arp_link(struct net_ns *net, const struct arpreq *r, int *err)
{
	struct route rt = {0};
	struct flow f = {.dst = ip_v4(sin_of(&r->arp_pa).addr), .src = IP_ANY4};
	struct link *l = NULL;
	*err = route_lookup(net, &f, &rt);
	if (!*err && rt.link)
		l = link_get(rt.link);
	route_put(&rt);
	if (!*err && !l)
		*err = -EINVAL;
	return l;
}

static int arp_check(struct arpreq *r)
{
	r->arp_dev[sizeof(r->arp_dev) - 1] = 0;
	if (r->arp_pa.sa_family != AF_INET)
		return -EPFNOSUPPORT;
	if (!(r->arp_flags & ATF_PUBL) && (r->arp_flags & (ATF_NETMASK | ATF_DONTPUB)))
		return -EINVAL;
	/* Answering for others is not offered by this way. */
	return r->arp_flags & ATF_PUBL ? -EOPNOTSUPP : 0;
}

static long arp_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	struct arpreq r;
	int err;
	if (cmd != SIOCGARP && !ioctl_is_admin(ctx))
		return -EPERM;
	if (uaccess_get(ctx, &r, UADDR(arg)))
		return -EFAULT;
	err = arp_check(&r);
	if (err)
		return err;
	struct link *l = NULL;
	if (r.arp_dev[0]) {
		l = link_by_name(net, r.arp_dev);
		err = l ? 0 : -ENODEV;
	} else if (cmd == SIOCGARP) {
		err = -ENODEV;
	} else {
		l = arp_link(net, &r, &err);
	}
	if (l && !r.arp_ha.sa_family)
		r.arp_ha.sa_family = l->hatype;
	long ret = err;
	if (l && !err) {
		ret = cmd == SIOCGARP ? arp_get(ctx, net, l, &r, arg)
				      : arp_set(net, l, &r, cmd == SIOCDARP);
	}
	link_put(l);
	net_run();
	return ret;
}

long net_ioctl(struct ctx *ctx, struct net_ns *net, uint32_t cmd, uint64_t arg)
{
	struct ifreq r;
	switch (cmd) {
	case SIOCADDRT:
	case SIOCDELRT:
		return route_ioctl(ctx, net, cmd, arg);
	case SIOCRTMSG:
		return -EINVAL;
	case SIOCGARP:
	case SIOCSARP:
	case SIOCDARP:
		return arp_ioctl(ctx, net, cmd, arg);
	case SIOCGIFPFLAGS:
	case SIOCSIFPFLAGS:
		return uaccess_get(ctx, &r, UADDR(arg)) ? -EFAULT : -EINVAL;
	case SIOCGIFADDR:
	case SIOCGIFBRDADDR:
	case SIOCGIFNETMASK:
	case SIOCGIFDSTADDR:
	case SIOCSIFADDR:
	case SIOCSIFBRDADDR:
	case SIOCSIFNETMASK:
	case SIOCSIFDSTADDR:
	case SIOCSIFFLAGS:
		return addr_ioctl(ctx, net, cmd, arg);
	default:
		return net_ioctl_link(ctx, net, cmd, arg);
	}
}
