/*
 * /proc/PID/net: the table of its files, and those that say the same everywhere.  Headers and
 * columns as Linux prints them (net/ipv4, net/ipv6, net/core).
 */
#include "sentry/procfs/net_priv.h"

/* By number, for an entry's arg: a function pointer does not fit there. */
enum net_file {
	F_TCP,
	F_TCP6,
	F_UDP,
	F_UDP6,
	F_RAW,
	F_RAW6,
	F_ICMP,
	F_ICMP6,
	F_IGMP,
	F_IGMP6,
	F_MCFILTER,
	F_MCFILTER6,
	F_SOCKSTAT,
	F_SOCKSTAT6,
	F_UNIX,
	F_NETLINK,
	F_DEV,
	F_DEV_MCAST,
	F_IF_INET6,
	F_ARP,
	F_ROUTE,
	F_IPV6_ROUTE,
	F_RT6_STATS,
	F_FIB_TRIE,
	F_FIB_TRIESTAT,
	F_SNMP,
	F_SNMP6,
	F_NETSTAT,
	F_PACKET,
	F_PROTOCOLS,
};

static const struct {
	net_show_fn fn;
	int64_t arg;
} files[] = {
	[F_TCP] = {net_show_tcp, 0},
	[F_TCP6] = {net_show_tcp, 1},
	[F_UDP] = {net_show_udp, 0},
	[F_UDP6] = {net_show_udp, 1},
	[F_RAW] = {net_show_raw, 0},
	[F_RAW6] = {net_show_raw, 1},
	[F_ICMP] = {net_show_icmp, 0},
	[F_ICMP6] = {net_show_icmp, 1},
	[F_IGMP] = {net_show_igmp, 0},
	[F_IGMP6] = {net_show_igmp, 1},
	[F_MCFILTER] = {net_show_mcfilter, 0},
	[F_MCFILTER6] = {net_show_mcfilter, 1},
	[F_SOCKSTAT] = {net_show_sockstat, 0},
	[F_SOCKSTAT6] = {net_show_sockstat, 1},
	[F_UNIX] = {net_show_unix, 0},
	[F_NETLINK] = {net_show_netlink, 0},
	[F_DEV] = {net_show_dev, 0},
	[F_DEV_MCAST] = {net_show_dev_mcast, 0},
	[F_IF_INET6] = {net_show_if_inet6, 0},
	[F_ARP] = {net_show_arp, 0},
	[F_ROUTE] = {net_show_route, 0},
	[F_IPV6_ROUTE] = {net_show_ipv6_route, 0},
	[F_RT6_STATS] = {net_show_rt6_stats, 0},
	[F_FIB_TRIE] = {net_show_fib_trie, 0},
	[F_FIB_TRIESTAT] = {net_show_fib_trie, 1},
	[F_SNMP] = {net_show_snmp, 0},
	[F_SNMP6] = {net_show_snmp6, 0},
	[F_PACKET] = {net_show_packet, 0},
	[F_PROTOCOLS] = {net_show_protocols, 0},
	[F_NETSTAT] = {net_show_netstat, 0},
};

static int show_net(struct pfs_req *rq, struct text *t)
{
	struct net_ns *net = task_net_get(rq->task);
	if (!net)
		return 0; /* a zombie has none */
	files[rq->e->arg].fn(net, t, rq->ctx, files[rq->e->arg].arg);
	net_ns_put(net);
	return 0;
}

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

/* Header lines with blanks up to a fixed width. */
static int show_padded(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%-*s\n", (int)rq->e->arg, rq->e->text);
	return 0;
}

/* A line for each CPU: what is counted there (frames, drops ...) is counted by link here. */
static int show_softnet(struct pfs_req *rq, struct text *t)
{
	for (uint32_t i = 0; i < machine_get()->cpus; i++) {
		for (int k = 0; k < 15; k++)
			text_putf(t, "%08x%s", k == 12 ? i : 0, k < 14 ? " " : "\n");
	}
	return 0;
}

#define NET(name, which)                                                                           \
	{                                                                                          \
		name, 0444, show_net, .arg = which                                                 \
	}

static const struct pfs_entry net[] = {
	NET("arp", F_ARP),
	NET("dev", F_DEV),
	NET("dev_mcast", F_DEV_MCAST),
	NET("fib_trie", F_FIB_TRIE),
	NET("fib_triestat", F_FIB_TRIESTAT),
	NET("icmp", F_ICMP),
	NET("icmp6", F_ICMP6),
	NET("if_inet6", F_IF_INET6),
	NET("igmp", F_IGMP),
	NET("igmp6", F_IGMP6),
	NET("ipv6_route", F_IPV6_ROUTE),
	NET("mcfilter", F_MCFILTER),
	NET("mcfilter6", F_MCFILTER6),
	NET("netlink", F_NETLINK),
	NET("netstat", F_NETSTAT),
	NET("packet", F_PACKET),
	NET("protocols", F_PROTOCOLS),
	{"psched", 0444, show_text, .text = "000003e8 00000040 000f4240 3b9aca00\n"},
	{"ptype", 0444, show_text,
		.text = "Type Device      Function\n0800          ip_rcv\n0806          arp_rcv\n"
			"86dd          ipv6_rcv\n"},
	NET("raw", F_RAW),
	NET("raw6", F_RAW6),
	NET("route", F_ROUTE),
	NET("rt6_stats", F_RT6_STATS),
	{"rt_cache", 0444, show_padded, .arg = 127,
		.text = "Iface\tDestination\tGateway "
			"\tFlags\t\tRefCnt\tUse\tMetric\tSource\t\tMTU\t"
			"Window\tIRTT\tTOS\tHHRef\tHHUptod\tSpecDst"},
	NET("snmp", F_SNMP),
	NET("snmp6", F_SNMP6),
	NET("sockstat", F_SOCKSTAT),
	NET("sockstat6", F_SOCKSTAT6),
	{"softnet_stat", 0444, show_softnet},
	NET("tcp", F_TCP),
	NET("tcp6", F_TCP6),
	NET("udp", F_UDP),
	NET("udp6", F_UDP6),
	NET("unix", F_UNIX),
};
const struct pfs_tab proc_net_tab = {net, ARRAY_LEN(net)};
