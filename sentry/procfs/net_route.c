/* /proc/PID/net/{route,ipv6_route,rt6_stats,fib_trie,fib_triestat}. */
#include <linux/ipv6_route.h>
#include <linux/rtnetlink.h>

#include "sentry/net/ip/route.h"
#include "sentry/procfs/net_priv.h"

#define ROUTE_WIDTH 127

/* RTF_* of linux/route.h, which does not go with that of IPv6. */
#define R_UP 1u
#define R_GATEWAY 2u
#define R_HOST 4u
#define R_REJECT 0x200u
#define R_NONEXTHOP 0x00200000u
#define R_LOCAL 0x80000000u

static const char *name_of(struct net_ns *net, int32_t index, char out[LINK_NAME_MAX])
{
	struct link *l = link_by_index(net, index);
	strcpy(out, "*");
	if (l)
		memcpy(out, l->name, LINK_NAME_MAX);
	link_put(l);
	return out;
}

static uint32_t mask_of(uint8_t len)
{
	return len ? __builtin_bswap32(UINT32_MAX << (32 - len)) : 0;
}

static bool is_dead_end(uint8_t type)
{
	return type == RTN_UNREACHABLE || type == RTN_PROHIBIT;
}

static void put_route(struct net_ns *net, struct text *t, const struct ip_route_info *r)
{
	const struct route_hop *h = r->nhops ? &r->hop[0] : NULL;
	char dev[LINK_NAME_MAX];
	uint32_t gw = h && ip_is_v4(&h->gw) ? ip_to_v4(&h->gw) : 0, flags = R_UP;
	size_t start = t->len;
	if (is_dead_end(r->type))
		flags |= R_REJECT;
	if (gw)
		flags |= R_GATEWAY;
	if (r->dst_len == 32)
		flags |= R_HOST;
	text_putf(t, "%s\t%08X\t%08X\t%04X\t%d\t%u\t%u\t%08X\t%d\t%u\t%u",
		h ? name_of(net, h->oif, dev) : "*", ip_to_v4(&r->dst), gw, flags, 0, 0u,
		r->priority, mask_of(r->dst_len), r->advmss ? (int)r->advmss + 40 : 0, r->window,
		r->rtt >> 3);
	net_pad(t, start, ROUTE_WIDTH);
}

void net_show_route(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct route_walk w = {.family = AF_INET};
	struct ip_route_info r;
	text_putf(t, "%-*s\n", ROUTE_WIDTH,
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\t"
		"IRTT");
	while (!ctx_killed(ctx) && route_walk_next(net, &w, &r))
		if (r.table == RT_TABLE_MAIN && r.type != RTN_BROADCAST && r.type != RTN_MULTICAST)
			put_route(net, t, &r);
}

/* --- IPv6 --- */

static void put_hex(struct text *t, const struct ip_addr *a)
{
	static const struct ip_addr none;
	const uint8_t *b = ip_is_any(a) ? none.b : a->b;
	for (int i = 0; i < 16; i++)
		text_putf(t, "%02x", b[i]);
}

static void put_route6(struct text *t, const struct ip_route_info *r, const struct ip_addr *gw,
	uint32_t flags, uint32_t refs, const char *dev)
{
	put_hex(t, &r->dst);
	text_putf(t, " %02x ", r->dst_len);
	put_hex(t, &r->src);
	text_putf(t, " %02x ", r->src_len);
	put_hex(t, gw);
	text_putf(t, " %08x %08x %08x %08x %8s\n", r->priority, refs, 0u, flags, dev);
}

static uint32_t flags6(const struct ip_route_info *r)
{
	uint32_t flags = R_UP | (r->flags & (RTF_ADDRCONF | RTF_PREFIX_RT | RTF_DEFAULT));
	if (r->type == RTN_LOCAL)
		return flags | R_NONEXTHOP | R_LOCAL;
	if (r->type != RTN_UNICAST && r->type != RTN_ANYCAST && r->type != RTN_MULTICAST)
		return flags | R_REJECT | R_NONEXTHOP;
	if (r->nhops && !ip_is_any(&r->hop[0].gw))
		flags |= R_GATEWAY;
	if (r->type == RTN_ANYCAST)
		flags |= RTF_ANYCAST | R_NONEXTHOP;
	return flags;
}

/* Where nothing else leads. */
static void put_null6(struct text *t)
{
	static const struct ip_route_info null = {.priority = UINT32_MAX};
	put_route6(t, &null, &null.dst, R_REJECT | R_NONEXTHOP, 1, "lo");
}

void net_show_ipv6_route(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	static const struct ip_addr none;
	struct route_walk w = {.family = AF_INET6};
	struct ip_route_info r;
	char dev[LINK_NAME_MAX];
	put_null6(t);
	while (!ctx_killed(ctx) && route_walk_next(net, &w, &r))
		for (uint32_t i = 0; i < MAX(r.nhops, 1u); i++)
			put_route6(t, &r, r.nhops ? &r.hop[i].gw : &none, flags6(&r),
				r.type == RTN_LOCAL ? 2 : 1,
				r.nhops ? name_of(net, r.hop[i].oif, dev) : "lo");
	put_null6(t);
}

void net_show_rt6_stats(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct route_walk w = {.family = AF_INET6};
	struct ip_route_info r;
	uint32_t n = 0;
	while (!ctx_killed(ctx) && route_walk_next(net, &w, &r))
		n++;
	/* Nodes, nodes with routes, allocated, entries, cache, dst entries, discarded. */
	text_putf(t, "%04x %04x %04x %04x %04x %04x %04x\n", n, n, 0u, n, 0u, 0u, 0u);
}

/* --- fib_trie: the prefixes of a table, each with what it means --- */

static const char *type_name(uint8_t type)
{
	static const char *const names[] = {"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST",
		"MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE"};
	return type < ARRAY_LEN(names) ? names[type] : "UNKNOWN";
}

static void put_scope(struct text *t, uint8_t scope)
{
	switch (scope) {
	case RT_SCOPE_UNIVERSE:
		text_puts(t, "universe");
		break;
	case RT_SCOPE_SITE:
		text_puts(t, "site");
		break;
	case RT_SCOPE_LINK:
		text_puts(t, "link");
		break;
	case RT_SCOPE_HOST:
		text_puts(t, "host");
		break;
	case RT_SCOPE_NOWHERE:
		text_puts(t, "nowhere");
		break;
	default:
		text_putf(t, "scope=%u", scope);
	}
}

/* Local stands in main, as Linux has them until there is a rule of the user's. */
static bool next_of(struct net_ns *net, struct route_walk *w, uint32_t table,
	struct ip_route_info *r)
{
	while (route_walk_next(net, w, r))
		if (r->table == table || (table == RT_TABLE_MAIN && r->table == RT_TABLE_LOCAL))
			return true;
	return false;
}

static void put_table(struct net_ns *net, struct text *t, struct ctx *ctx, uint32_t table)
{
	struct route_walk w = {.family = AF_INET};
	struct ip_route_info r;
	char text[IP_TEXT_MAX], last[IP_TEXT_MAX] = "";
	text_puts(t, table == RT_TABLE_MAIN ? "Main:\n" : "Local:\n");
	text_puts(t, "  +-- 0.0.0.0/0 1 0 0\n");
	while (!ctx_killed(ctx) && next_of(net, &w, table, &r)) {
		ip_format(&r.dst, text);
		if (strcmp(text, last))
			text_putf(t, "     |-- %s\n", text);
		memcpy(last, text, sizeof(last));
		text_putf(t, "        /%u ", r.dst_len);
		put_scope(t, r.scope);
		text_putf(t, " %s", type_name(r.type));
		if (r.tos)
			text_putf(t, " tos=%u", r.tos);
		text_puts(t, "\n");
	}
}

static void put_stat(struct net_ns *net, struct text *t, struct ctx *ctx, uint32_t table)
{
	struct route_walk w = {.family = AF_INET};
	struct ip_route_info r;
	uint32_t n = 0;
	while (!ctx_killed(ctx) && next_of(net, &w, table, &r))
		n++;
	text_puts(t, table == RT_TABLE_MAIN ? "Main:\n" : "Local:\n");
	text_putf(t,
		"\tAver depth:     %u.00\n\tMax depth:      %u\n\tLeaves:         %u\n"
		"\tPrefixes:       %u\n\tInternal nodes: 1\n\t  1: 1\n\tPointers: 2\n"
		"Null ptrs: 0\nTotal size: %u  kB\n",
		n ? 1u : 0, n ? 1u : 0, n, n, (n * 48 + 40) / 1024 + 1);
}

void net_show_fib_trie(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t stat)
{
	static const uint32_t tables[] = {RT_TABLE_MAIN, RT_TABLE_LOCAL};
	if (stat)
		text_puts(t, "Basic info: size of leaf: 48 bytes, size of tnode: 40 bytes.\n");
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (stat)
			put_stat(net, t, ctx, tables[i]);
		else
			put_table(net, t, ctx, tables[i]);
	}
}
