/* /proc/PID/net/{tcp,tcp6,udp,udp6,sockstat,sockstat6,unix,netlink}: sockets. */
#include "sentry/net/inet/table.h"
#include "sentry/net/net.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/tcp/tcp.h"
#include "sentry/procfs/net_priv.h"

#define SHOW_PIECE 4096u
#define TCP_WIDTH 149
#define UDP_WIDTH 127

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

/* --- UDP --- */

static void put_udp(struct text *t, const struct inet_sock *s, bool v6)
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
		.refs = ref_count(&s->ref)};
	size_t start = t->len;
	put_line(t, &l, 5, v6);
	text_putf(t, " %u", READ_ONCE(s->drops));
	if (v6)
		text_puts(t, "\n");
	else
		net_pad(t, start, UDP_WIDTH);
}

void net_show_udp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	struct inet_sock *s;
	uint64_t at = 0;
	if (v6)
		text_puts(t,
			"  sl  local_address                         remote_address             "
			"           st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
			"inode ref pointer drops\n");
	else
		text_putf(t, "%-*s\n", UDP_WIDTH,
			"   sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode ref pointer drops");
	while (!ctx_killed(ctx) && (s = inet_walk_next(net->inet->udp, &at))) {
		if (s->sk.family == (v6 ? AF_INET6 : AF_INET))
			put_udp(t, s, v6);
		inet_put(s);
	}
}

/* --- TCP --- */

void net_show_tcp(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	if (v6)
		text_puts(t,
			"  sl  local_address                         remote_address             "
			"           st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
			"inode\n");
	else
		text_putf(t, "%-*s\n", TCP_WIDTH,
			"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when "
			"retrnsmt   uid  timeout inode");
}

/* --- how many --- */

void net_show_sockstat(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t v6)
{
	const uint32_t *nr = net->inet->nr;
	if (v6) {
		/* The counts are of both families. */
		text_puts(t, "TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\n"
			     "FRAG6: inuse 0 memory 0\n");
		return;
	}
	text_putf(t, "sockets: used %u\n", READ_ONCE(net->nr_sockets));
	text_putf(t, "TCP: inuse 0 orphan 0 tw 0 alloc %u mem 0\n", READ_ONCE(nr[INET_TCP]));
	text_putf(t, "UDP: inuse %u mem %u\n", READ_ONCE(nr[INET_UDP]), 0u);
	text_putf(t, "UDPLITE: inuse 0\nRAW: inuse %u\nFRAG: inuse 0 memory 0\n",
		READ_ONCE(nr[INET_RAW]));
}

/* --- the other families --- */

void net_show_unix(struct net_ns *net, struct text *t, struct ctx *ctx, int64_t arg)
{
	struct unix_walk w;
	size_t n;
	char *p;
	text_puts(t, "Num               RefCount Protocol Flags    Type St Inode Path\n");
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
