/* /proc/PID/net/{dev,dev_mcast,igmp,igmp6,if_inet6,arp}: links and what is known at them. */
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/link/link.h"
#include "sentry/procfs/net_priv.h"

static void put_dev(struct text *t, const struct link *l)
{
	const struct link_stats *s = &l->stats;
	text_putf(t, "%6s: %7lu %7lu %4lu %4lu %4u %5u %10u %9lu ", l->name, READ_ONCE(s->rx_bytes),
		READ_ONCE(s->rx_packets), READ_ONCE(s->rx_errors), READ_ONCE(s->rx_dropped), 0u, 0u,
		0u, READ_ONCE(s->rx_multicast));
	text_putf(t, "%8lu %7lu %4lu %4lu %4u %5u %7u %10u\n", READ_ONCE(s->tx_bytes),
		READ_ONCE(s->tx_packets), READ_ONCE(s->tx_errors), READ_ONCE(s->tx_dropped), 0u, 0u,
		0u, 0u);
}

void net_show_dev(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct link *l;
	text_puts(t,
		"Inter-|   Receive                                                |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
		"packets errs drop fifo colls carrier compressed\n");
	for (int32_t at = 0; !ctx_killed(ctx) && (l = link_next(net, at)); link_put(l)) {
		at = l->index;
		put_dev(t, l);
	}
}

void net_show_dev_mcast(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	uint8_t addr[LINK_ADDR_MAX];
	uint32_t users;
	struct link *l;
	for (int32_t at = 0; !ctx_killed(ctx) && (l = link_next(net, at)); link_put(l)) {
		at = l->index;
		for (uint32_t n = 0; link_mc_get(l, n, addr, &users); n++) {
			text_putf(t, "%-4d %-15s %-5u %-5d ", l->index, l->name, users, 0);
			for (int k = 0; k < l->addr_len; k++)
				text_putf(t, "%02x", addr[k]);
			text_puts(t, "\n");
		}
	}
}

static void put_hex(struct text *t, const uint8_t *b)
{
	for (int i = 0; i < 16; i++)
		text_putf(t, "%02x", b[i]);
}

static uint32_t count_groups(struct link *l)
{
	struct ip_mc_info g;
	uint32_t n = 0;
	while (ip_mc_get(l, false, n, &g))
		n++;
	return n;
}

static void put_groups(struct text *t, struct link *l, bool v6)
{
	struct ip_mc_info g;
	if (!v6)
		text_putf(t, "%d\t%-10s: %5u %7s\n", l->index, l->name, count_groups(l), "V3");
	for (uint32_t n = 0; ip_mc_get(l, v6, n, &g); n++) {
		if (v6) {
			text_putf(t, "%-4d %-15s ", l->index, l->name);
			put_hex(t, g.group.b);
			text_putf(t, " %5u %08X %d\n", g.users, g.reporter ? 0x0cu : 0x08u, 0);
		} else {
			text_putf(t, "\t\t\t\t%08X %5u %d:%08X\t\t%d\n", ip_to_v4(&g.group),
				g.users, 0, 0u, g.reporter);
		}
	}
}

/* Both files: who is in which group. */
void net_show_igmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	struct link *l;
	if (!v6)
		text_puts(t, "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n");
	for (int32_t at = 0; !ctx_killed(ctx) && (l = link_next(net, at)); link_put(l)) {
		at = l->index;
		put_groups(t, l, v6);
	}
}

static void put_sources(struct text *t, struct link *l, const struct ip_addr *group, bool v6)
{
	struct ip_mc_source_info s;
	for (uint32_t n = 0; ip_mc_source_get(l, group, n, &s); n++) {
		if (v6) {
			text_putf(t, "%3d %6.6s ", l->index, l->name);
			put_hex(t, group->b);
			text_puts(t, " ");
			put_hex(t, s.source.b);
			text_putf(t, " %6u %6u\n", s.include, s.exclude);
		} else {
			text_putf(t, "%3d %6.6s 0x%08x 0x%08x %6u %6u\n", l->index, l->name,
				__builtin_bswap32(ip_to_v4(group)),
				__builtin_bswap32(ip_to_v4(&s.source)), s.include, s.exclude);
		}
	}
}

/* mcfilter, mcfilter6: the sources of each group that filters name. */
void net_show_mcfilter(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	struct ip_mc_info g;
	struct link *l;
	text_puts(t, v6 ? "Idx Device                Multicast Address                   Source "
			  "Address    INC    EXC\n"
			: "Idx Device        MCA        SRC    INC    EXC\n");
	for (int32_t at = 0; !ctx_killed(ctx) && (l = link_next(net, at)); link_put(l)) {
		at = l->index;
		for (uint32_t n = 0; ip_mc_get(l, v6, n, &g); n++)
			put_sources(t, l, &g.group, v6);
	}
}

/* IPV6_ADDR_LOOPBACK, LINKLOCAL, SITELOCAL. */
static uint8_t scope6(const struct ip_addr *a)
{
	if (ip_is_loopback(a))
		return 0x10;
	if (ip_is_linklocal(a))
		return 0x20;
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0xc0 ? 0x40 : 0;
}

void net_show_if_inet6(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct ip_addr_walk w = {.family = AF_INET6};
	struct ip_ifaddr a;
	while (!ctx_killed(ctx) && ip_addr_walk_next(net, &w, &a)) {
		struct link *l = link_by_index(net, a.index);
		if (!l)
			continue;
		put_hex(t, a.local.b);
		text_putf(t, " %02x %02x %02x %02x %8s\n", (uint32_t)a.index, a.prefix_len,
			scope6(&a.local), (uint8_t)a.flags, l->name);
		link_put(l);
	}
}

static void put_arp(struct text *t, const struct neigh_info *i, const struct link *l)
{
	char ip[IP_TEXT_MAX], mac[3 * LINK_ADDR_MAX + 1] = "00:00:00:00:00:00";
	uint32_t flags = 0;
	ip_format(&i->dst, ip);
	if (i->state & NUD_PERMANENT)
		flags = ATF_PERM | ATF_COM;
	else if (i->state & (NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY))
		flags = ATF_COM;
	for (int k = 0; k < i->addr_len; k++)
		snprintf(mac + 3 * k, 4, "%02x%s", i->addr[k], k + 1 < i->addr_len ? ":" : "");
	text_putf(t, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", ip, l->hatype, flags, mac,
		l->name);
}

void net_show_arp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct neigh_walk w = {.family = AF_INET};
	struct neigh_info i;
	text_puts(t, "IP address       HW type     Flags       HW address            Mask     "
		     "Device\n");
	while (!ctx_killed(ctx) && neigh_walk_next(net, &w, &i)) {
		struct link *l = i.state & NUD_NOARP ? NULL : link_by_index(net, i.index);
		if (l)
			put_arp(t, &i, l);
		link_put(l);
	}
}
