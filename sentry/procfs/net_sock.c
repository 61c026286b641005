/* /proc/PID/net/{tcp,udp,raw,icmp,sockstat and their like of IPv6, unix, netlink}: sockets. */
#include "sentry/net/inet/table.h"
#include "sentry/net/net.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/packet/packet.h"
#include "sentry/net/tcp/tcp.h"
#include "sentry/procfs/net_priv.h"

#define SHOW_PIECE 4096u
#define TCP_WIDTH 149
#define UDP_WIDTH 127

static const char header6[] =
	"  sl  local_address                         remote_address                        st "
	"tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
static const char header4[] = "  sl  local_address rem_address   st tx_queue rx_queue tr "
			      "tm->when retrnsmt   uid  timeout inode ref pointer drops";

/* What all of these lines begin with. */
struct line {
	uint32_t sl;
	struct ip_addr local, remote;
	uint16_t lport, rport;
	uint8_t state, timer;
	uint32_t wqueue, rqueue, expires, retransmits, uid, timeout, refs;
	uint64_t ino;
};

/* In words as they lie in memory. */
static void put_addr(struct text *t, const struct ip_addr *a, uint16_t port, bool v6)
{
	static const struct ip_addr none;
	const struct ip_addr *x = ip_is_any(a) ? &none : a;
	if (v6)
		text_putf(t, "%08X%08X%08X%08X:%04X ", x->w[0], x->w[1], x->w[2], x->w[3], port);
	else
		text_putf(t, "%08X:%04X ", x->w[3], port);
}

/* sl_width: of the number in front. */
static void put_line(struct text *t, const struct line *l, int sl_width, bool v6)
{
	text_putf(t, "%*u: ", sl_width, l->sl);
	put_addr(t, &l->local, l->lport, v6);
	put_addr(t, &l->remote, l->rport, v6);
	/* %pK of who may not see addresses: zeros. */
	text_putf(t, "%02X %08X:%08X %02X:%08X %08X %5u %8u %lu %u %016x", l->state, l->wqueue,
		l->rqueue, l->timer, l->expires, l->retransmits, l->uid, l->timeout, l->ino,
		l->refs, 0u);
}

/* As Linux counts: tables of connections hold none, nor do we who look. */
static uint32_t shown_refs(const struct inet_sock *s)
{
	uint32_t n = ref_count(&s->ref), ours = 1 + READ_ONCE(s->hashed);
	if (s->kind == INET_TCP)
		ours += READ_ONCE(s->bucket) != NULL;
	return n > ours ? n - ours : 1;
}

/* --- UDP --- */

/* sl_width: of IPv4's; pad: to how wide, 0: not at all. */
static void put_dgram(struct text *t, const struct inet_sock *s, bool v6, int sl_width, size_t pad)
{
	struct line l = {.sl = s->lport,
		.local = s->local,
		.remote = s->remote,
		.lport = s->lport,
		.rport = s->rport,
		.state = inet_is_connected(s) ? 1 : 7, /* TCP_ESTABLISHED, TCP_CLOSE */
		.wqueue = READ_ONCE(s->sk.wmem),
		.rqueue = READ_ONCE(s->rmem),
		.uid = s->uid,
		.ino = s->sk.ino,
		.refs = shown_refs(s)};
	size_t start = t->len;
	if (s->kind == INET_RAW)
		l.sl = l.lport = s->proto;
	put_line(t, &l, v6 ? 5 : sl_width, v6);
	text_putf(t, " %u", READ_ONCE(s->drops));
	net_pad(t, start, v6 ? 0 : pad);
}

void net_show_udp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	struct inet_sock *s;
	uint64_t at = 0;
	if (v6)
		text_puts(t, header6);
	else
		text_putf(t, "%-*s\n", UDP_WIDTH,
			"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode ref pointer drops");
	while (!ctx_killed(ctx) && (s = inet_walk_next(net->inet->udp, &at))) {
		if (s->sk.family == (v6 ? AF_INET6 : AF_INET))
			put_dgram(t, s, v6, 5, UDP_WIDTH);
		inet_put(s);
	}
}

/* --- raw and ICMP sockets --- */

#define BATCH 16

static void put_list(struct inet_list *list, struct text *t, struct ctx *ctx, bool v6, int sl_width,
	size_t pad)
{
	struct inet_sock *s[BATCH];
	uint64_t at = 0;
	uint32_t n;
	do {
		n = inet_list_next(list, &at, s, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			if (s[i]->sk.family == (v6 ? AF_INET6 : AF_INET))
				put_dgram(t, s[i], v6, sl_width, pad);
			inet_put(s[i]);
		}
	} while (n == BATCH && !ctx_killed(ctx));
}

void net_show_raw(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	text_puts(t, v6 ? header6 : header4);
	if (!v6)
		text_puts(t, "\n");
	put_list(&net->inet->raw, t, ctx, v6, 4, 0);
}

void net_show_icmp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	if (v6)
		text_puts(t, header6);
	else
		text_putf(t, "%-*s\n", UDP_WIDTH, header4);
	put_list(&net->inet->ping, t, ctx, v6, 5, UDP_WIDTH);
}

/* --- TCP --- */

#define STATE_TIME_WAIT 6
#define STATE_SYN_RECV 3
#define STATE_LISTEN 10

static void put_tcp(struct text *t, const struct tcp_diag *d, uint32_t sl, bool v6)
{
	struct line l = {.sl = sl,
		.local = d->local,
		.remote = d->remote,
		.lport = d->lport,
		.rport = d->rport,
		.state = d->state,
		.timer = d->timer,
		.wqueue = d->state == STATE_LISTEN ? 0 : d->wqueue,
		.rqueue = d->rqueue,
		.expires = d->expires / 10, /* USER_HZ */
		.retransmits = d->retransmits,
		.uid = d->uid,
		.timeout = d->probes,
		.ino = d->ino,
		.refs = d->refs};
	size_t start = t->len;
	put_line(t, &l, 4, v6);
	if (d->state != STATE_TIME_WAIT && d->state != STATE_SYN_RECV)
		text_putf(t, " %u %u %u %u %d", d->rto / 10, d->ato / 10, d->quick, d->cwnd,
			d->state == STATE_LISTEN ? 0 : d->ssthresh);
	if (v6)
		text_puts(t, "\n");
	else
		net_pad(t, start, TCP_WIDTH);
}

/* Listeners first, each with the handshakes that wait at it. */
static void put_tcp_pass(struct net_ns *net, struct text *t, struct ctx *ctx, bool listeners,
	bool v6, uint32_t *sl)
{
	struct inet_sock *s;
	struct tcp_diag d;
	uint64_t at = 0;
	while (!ctx_killed(ctx) && (s = inet_walk_next(tcp_table(net), &at))) {
		tcp_diag(s, &d);
		if (s->kind == INET_TCP)
			d.refs = shown_refs(s);
		if ((d.state == STATE_LISTEN) == listeners && (d.family == AF_INET6) == v6)
			put_tcp(t, &d, (*sl)++, v6);
		for (uint32_t n = 0; !listeners && d.state == STATE_LISTEN; n++) {
			struct tcp_diag r;
			if (!tcp_diag_request(s, n, &r))
				break;
			if ((r.family == AF_INET6) == v6)
				put_tcp(t, &r, (*sl)++, v6);
		}
		inet_put(s);
	}
}

void net_show_tcp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	uint32_t sl = 0;
	if (v6)
		text_puts(t,
			"  sl  local_address                         remote_address             "
			"           st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
			"inode\n");
	else
		text_putf(t, "%-*s\n", TCP_WIDTH,
			"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode");
	put_tcp_pass(net, t, ctx, true, v6, &sl);
	put_tcp_pass(net, t, ctx, false, v6, &sl);
}

/* --- how many --- */

/* Those of a family that have a port, without connections that are over. */
static uint32_t count(struct inet_table *table, int family)
{
	struct inet_sock *s;
	uint64_t at = 0;
	uint32_t n = 0;
	while ((s = inet_walk_next(table, &at))) {
		n += s->sk.family == family && s->kind != INET_TCP_TW;
		inet_put(s);
	}
	return n;
}

static uint32_t count_list(struct inet_list *list, int family)
{
	struct inet_sock *s;
	uint64_t at = 0;
	uint32_t n = 0;
	while (inet_list_next(list, &at, &s, 1)) {
		n += s->sk.family == family;
		inet_put(s);
	}
	return n;
}

void net_show_sockstat(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	struct tcp_stat s;
	int family = v6 ? AF_INET6 : AF_INET;
	uint32_t tcp = count(tcp_table(net), family), udp = count(net->inet->udp, family),
		 raw = count_list(&net->inet->raw, family);
	if (v6) {
		text_putf(t, "TCP6: inuse %u\nUDP6: inuse %u\nUDPLITE6: inuse 0\nRAW6: inuse %u\n",
			tcp, udp, raw);
		text_puts(t, "FRAG6: inuse 0 memory 0\n");
		return;
	}
	tcp_stat(net, &s);
	text_putf(t, "sockets: used %u\n", READ_ONCE(net->nr_sockets));
	text_putf(t, "TCP: inuse %u orphan %u tw %u alloc %u mem %lu\n", tcp, s.orphans,
		s.time_wait, s.allocated, s.pages);
	text_putf(t, "UDP: inuse %u mem %u\n", udp, 0u);
	text_putf(t, "UDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n", raw);
}

/* --- the other families --- */

void net_show_unix(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct unix_walk w;
	size_t n;
	char *p;
	text_puts(t, "Num       RefCount Protocol Flags    Type St Inode Path\n");
	unix_walk_begin(&w, net);
	while (!ctx_killed(ctx) && (p = text_room(t, SHOW_PIECE)) &&
		(n = unix_walk_next(&w, p, SHOW_PIECE)))
		t->len += n;
	unix_walk_end(&w);
}

void net_show_netlink(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct netlink_walk w = {.net = net};
	size_t n;
	char *p;
	text_puts(t, "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    "
		     "Drops    Inode\n");
	while (!ctx_killed(ctx) && (p = text_room(t, SHOW_PIECE)) &&
		(n = netlink_walk_next(&w, p, SHOW_PIECE)))
		t->len += n;
}

void net_show_packet(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct packet_info p = {0};
	text_puts(t, "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
	while (!ctx_killed(ctx) && packet_info_next(net, p.cookie, &p))
		text_putf(t, "%016x %-6u %-4d %04x   %-5d %1d %-6u %-6u %-6lu\n", 0u,
			p.refs + 1 + p.running, /* the list's, and the link's */
			p.type, p.proto, p.index, p.running, p.rmem, p.uid, p.ino);
}

/* Sizes and operations are Linux', which tools compare with each other. */
static const struct {
	const char *name;
	uint32_t size;
	uint8_t kind;   /* enum inet_kind; INET_KIND_NR: not counted apart */
	bool memory;    /* is bounded for all of them together */
	uint8_t header; /* the longest */
	bool slab;
	const char *ops; /* close, connect, disconnect, ...: is there one? */
} protos[] = {
	{"PACKET", 1600, INET_KIND_NR, false, 0, false, "nnnnnnnnnnnnnnnnnn"},
	{"UNIX-STREAM", 1152, INET_KIND_NR, false, 0, true, "ynnnnnnnnnnnnnnnnn"},
	{"UNIX", 1152, INET_KIND_NR, false, 0, true, "ynnnnnnnnnnnnnnnnn"},
	{"PING", 1016, INET_PING, false, 0, true, "yyynnynnyyyyyynyyn"},
	{"RAW", 1152, INET_RAW, false, 0, true, "yyynyyynyyyyyyyynn"},
	{"UDP", 1344, INET_UDP, true, 0, true, "yyynyyynyyyynnyyyn"},
	{"TCP", 2304, INET_TCP, true, 192, true, "yyyyyyyyyyyynyyyyy"},
	{"NETLINK", 1096, INET_KIND_NR, false, 0, false, "nnnnnnnnnnnnnnnnnn"},
};

void net_show_protocols(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	text_puts(t,
		"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in "
		"de sh ss gs se re bi br ha uh gp em\n");
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		uint8_t kind = protos[i].kind;
		text_putf(t, "%-9s %4u %6u  %6s   %-3s %6u   %-3s  %-10s ", protos[i].name,
			protos[i].size, kind == INET_KIND_NR ? 0 : READ_ONCE(net->inet->nr[kind]),
			protos[i].memory ? "0" : "-1", protos[i].header ? "no" : "NI",
			protos[i].header, protos[i].slab ? "yes" : "no", "kernel");
		for (const char *c = protos[i].ops; *c; c++)
			text_putf(t, " %c%s", *c, c[1] ? " " : "\n");
	}
}
