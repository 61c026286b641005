/*
 * /proc/PID/net: a network with the loopback interface and AF_UNIX sockets.
 * Headers and columns as net/ipv4 and net/ipv6 of Linux print them.
 */
#include "sentry/net/net.h"
#include "sentry/procfs/procfs_priv.h"

#define SHOW_PIECE 4096u

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

/* net/ipv4/tcp_ipv4.c pads its header line to a fixed width. */
static int show_padded(struct pfs_req *rq, struct text *t)
{
	text_putf(t, "%-*s\n", (int)rq->e->arg, rq->e->text);
	return 0;
}

static int show_unix(struct pfs_req *rq, struct text *t)
{
	struct net_ns *net = task_net_get(rq->task);
	struct unix_walk w;
	size_t n;
	char *p;
	if (!net)
		return 0; /* a zombie has none */
	text_puts(t, "Num               RefCount Protocol Flags    Type St Inode Path\n");
	unix_walk_begin(&w, net);
	while (!ctx_killed(rq->ctx) && (p = text_room(t, SHOW_PIECE)) &&
		(n = unix_walk_next(&w, p, SHOW_PIECE)))
		t->len += n;
	unix_walk_end(&w);
	net_ns_put(net);
	return 0;
}

static int show_sockstat(struct pfs_req *rq, struct text *t)
{
	struct net_ns *net = task_net_get(rq->task);
	if (!net)
		return 0;
	text_putf(t, "sockets: used %u\n", READ_ONCE(net->nr_sockets));
	text_puts(t, rq->e->text);
	net_ns_put(net);
	return 0;
}

static const char inet6_header[] =
	"  sl  local_address                         remote_address                        st "
	"tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
static const char inet_header[] = "  sl  local_address rem_address   st tx_queue rx_queue tr "
				  "tm->when retrnsmt   uid  timeout inode ref pointer drops";

static const char snmp[] =
	"Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams "
	"InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout "
	"ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits\n"
	"Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	"Icmp: InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs "
	"InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps "
	"OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds "
	"OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps "
	"OutTimestampReps OutAddrMasks OutAddrMaskReps\n"
	"Icmp: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
	"Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets "
	"CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n"
	"Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n"
	"Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
	"IgnoredMulti MemErrors\n"
	"Udp: 0 0 0 0 0 0 0 0 0\n"
	"UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors "
	"IgnoredMulti MemErrors\n"
	"UdpLite: 0 0 0 0 0 0 0 0 0\n";

static const struct pfs_entry net[] = {
	{"arp", 0444, show_text,
		.text = "IP address       HW type     Flags       HW address            Mask     "
			"Device\n"},
	{"dev", 0444, show_text,
		.text = "Inter-|   Receive                                                |  "
			"Transmit\n"
			" face |bytes    packets errs drop fifo frame compressed multicast|bytes   "
			" "
			"packets errs drop fifo colls carrier compressed\n"
			"    lo:       0       0    0    0    0     0          0         0        0"
			"       0    0    0    0     0       0          0\n"},
	{"dev_mcast", 0444, show_text, .text = ""},
	{"icmp", 0444, show_padded, .text = inet_header, .arg = 127},
	{"icmp6", 0444, show_text, .text = inet6_header},
	{"if_inet6", 0444, show_text,
		.text = "00000000000000000000000000000001 01 80 10 80       lo\n"},
	{"igmp", 0444, show_text,
		.text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"},
	{"ipv6_route", 0444, show_text,
		.text = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 "
			"00000000000000000000000000000000 00000000 00000002 00000000 80200001"
			"       lo\n"},
	{"netlink", 0444, show_text,
		.text = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
			"Drops    Inode\n"},
	{"netstat", 0444, show_text,
		.text = "IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts "
			"OutBcastPkts InOctets OutOctets\nIpExt: 0 0 0 0 0 0 0 0\n"},
	{"packet", 0444, show_text,
		.text = "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n"},
	{"psched", 0444, show_text, .text = "000003e8 00000040 000f4240 3b9aca00\n"},
	{"ptype", 0444, show_text, .text = "Type Device      Function\n"},
	{"raw", 0444, show_text,
		.text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode ref pointer drops\n"},
	{"raw6", 0444, show_text, .text = inet6_header},
	{"route", 0444, show_padded, .arg = 127,
		.text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\t"
			"Window\tIRTT"},
	{"snmp", 0444, show_text, .text = snmp},
	{"sockstat", 0444, show_sockstat,
		.text = "TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\n"
			"UDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n"
			"FRAG: inuse 0 memory 0\n"},
	{"sockstat6", 0444, show_text,
		.text = "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\n"
			"FRAG6: inuse 0 memory 0\n"},
	{"tcp", 0444, show_padded, .arg = 149,
		.text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode"},
	{"tcp6", 0444, show_text,
		.text = "  sl  local_address                         remote_address"
			"                        st tx_queue rx_queue tr tm->when retrnsmt   uid  "
			"timeout inode\n"},
	{"udp", 0444, show_padded, .arg = 127,
		.text = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode ref pointer drops"},
	{"udp6", 0444, show_text, .text = inet6_header},
	{"unix", 0444, show_unix},
};
const struct pfs_tab proc_net_tab = {net, ARRAY_LEN(net)};
