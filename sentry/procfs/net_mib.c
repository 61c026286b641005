/* /proc/PID/net/{snmp,snmp6,netstat}: the counters of mib.def, as net/ipv4/proc.c and
 * net/ipv6/proc.c of Linux print them. */
#include <stdio.h>

#include "sentry/procfs/net_priv.h"

static const struct {
	const char *group, *name;
} names[] = {
#define MIB(group, name) {#group, #name},
#include "sentry/net/mib.def"
#undef MIB
};

/* What is not counted but so. */
static int64_t value_of(struct net_ns *net, uint32_t i)
{
	switch (i) {
	case MIB_Ip_Forwarding:
		return READ_ONCE(net->ctl.ip_forward) ? 1 : 2;
	case MIB_Ip_DefaultTTL:
		return READ_ONCE(net->ctl.ip_default_ttl);
	case MIB_Tcp_RtoAlgorithm:
		return 1;
	case MIB_Tcp_RtoMin:
		return 200;
	case MIB_Tcp_RtoMax:
		return 120000;
	case MIB_Tcp_MaxConn:
		return -1;
	default:
		return (int64_t)READ_ONCE(net->mib->v[i]);
	}
}

/* Two lines: the names, the values. */
static void put_group(struct net_ns *net, struct text *t, const char *group, const char *as)
{
	for (int values = 0; values < 2; values++) {
		text_putf(t, "%s:", as);
		for (uint32_t i = 0; i < NET_MIB_NR; i++) {
			if (strcmp(names[i].group, group))
				continue;
			if (values)
				text_putf(t, " %ld", value_of(net, i));
			else
				text_putf(t, " %s", names[i].name);
		}
		text_puts(t, "\n");
	}
}

/* By type: those that there were. */
static void put_icmp_types(struct net_ns *net, struct text *t)
{
	bool any = false;
	for (int i = 0; i < 256; i++)
		any |= READ_ONCE(net->mib->icmp_in[i]) || READ_ONCE(net->mib->icmp_out[i]);
	for (int values = 0; any && values < 2; values++) {
		text_puts(t, "IcmpMsg:");
		for (int out = 0; out < 2; out++)
			for (int i = 0; i < 256; i++) {
				const uint64_t *c = out ? net->mib->icmp_out : net->mib->icmp_in;
				if (!READ_ONCE(c[i]))
					continue;
				if (values)
					text_putf(t, " %lu", READ_ONCE(c[i]));
				else
					text_putf(t, " %sType%d", out ? "Out" : "In", i);
			}
		text_puts(t, "\n");
	}
}

static const char udp_lite[] =
	"UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
	"IgnoredMulti MemErrors\nUdpLite: 0 0 0 0 0 0 0 0 0\n";

void net_show_snmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	put_group(net, t, "Ip", "Ip");
	put_group(net, t, "Icmp", "Icmp");
	put_icmp_types(net, t);
	put_group(net, t, "Tcp", "Tcp");
	put_group(net, t, "Udp", "Udp");
	text_puts(t, udp_lite); /* a protocol that is not there */
}

void net_show_netstat(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	put_group(net, t, "TcpExt", "TcpExt");
	put_group(net, t, "IpExt", "IpExt");
}

/* --- IPv6: a line each --- */

static void put_line(struct text *t, const char *group, const char *name, uint64_t v)
{
	char full[64];
	snprintf(full, sizeof(full), "%s%s", group, name);
	text_putf(t, "%-32s\t%lu\n", full, v);
}

static void put_group6(struct net_ns *net, struct text *t, const char *group)
{
	for (uint32_t i = 0; i < NET_MIB_NR; i++)
		if (!strcmp(names[i].group, group))
			put_line(t, group, names[i].name, READ_ONCE(net->mib->v[i]));
}

/* Linux' names of ICMPv6 types. */
static const char *icmp6_name(int type)
{
	switch (type) {
	case 1:
		return "DestUnreachs";
	case 2:
		return "PktTooBigs";
	case 3:
		return "TimeExcds";
	case 4:
		return "ParmProblems";
	case 128:
		return "Echos";
	case 129:
		return "EchoReplies";
	case 130:
		return "GroupMembQueries";
	case 131:
		return "GroupMembResponses";
	case 132:
		return "GroupMembReductions";
	case 133:
		return "RouterSolicits";
	case 134:
		return "RouterAdvertisements";
	case 135:
		return "NeighborSolicits";
	case 136:
		return "NeighborAdvertisements";
	case 137:
		return "Redirects";
	case 143:
		return "MLDv2Reports";
	default:
		return NULL;
	}
}

static void put_icmp6_types(struct net_ns *net, struct text *t)
{
	for (int out = 0; out < 2; out++) {
		const uint64_t *c = out ? net->mib->icmp6_out : net->mib->icmp6_in;
		for (int i = 0; i < 256; i++)
			if (icmp6_name(i))
				put_line(t, out ? "Icmp6Out" : "Icmp6In", icmp6_name(i),
					READ_ONCE(c[i]));
	}
	for (int out = 0; out < 2; out++) {
		const uint64_t *c = out ? net->mib->icmp6_out : net->mib->icmp6_in;
		for (int i = 0; i < 256; i++) {
			char name[16];
			snprintf(name, sizeof(name), "Type%d", i);
			if (READ_ONCE(c[i]))
				put_line(t, out ? "Icmp6Out" : "Icmp6In", name, READ_ONCE(c[i]));
		}
	}
}

void net_show_snmp6(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	static const char *const lite[] = {"InDatagrams", "NoPorts", "InErrors", "OutDatagrams",
		"RcvbufErrors", "SndbufErrors", "InCsumErrors", "MemErrors"};
	put_group6(net, t, "Ip6");
	put_group6(net, t, "Icmp6");
	put_icmp6_types(net, t);
	put_group6(net, t, "Udp6");
	for (size_t i = 0; i < ARRAY_LEN(lite); i++)
		put_line(t, "UdpLite6", lite[i], 0);
}
