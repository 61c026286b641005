/*
 * Memory of all connections together: tcp_mem (tcp(7), Linux' __sk_mem_raise_allocated).  What a
 * connection has queued both ways counts, in pages.  Under pressure (above the second limit, until
 * it is below the first again) windows and buffers do not grow, and what is out of order goes;
 * above the third only so much may be queued that each connection can go on at all.
 */
#include "sentry/core/root.h"
#include "sentry/net/mem.h"
#include "sentry/net/tcp/tcp_priv.h"

#define SNDBUF_MIN 4608u /* SOCK_MIN_SNDBUF */

struct tcp_mem_globals {
	bool pressure;    /* atomic */
	uint32_t sockets; /* atomic: of all namespaces */
};
static struct tcp_mem_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("tcp_mem", globals, NULL);

void tcp_mem_count(int n)
{
	__atomic_add_fetch(&globals->sockets, (uint32_t)n, __ATOMIC_RELAXED);
}

bool tcp_mem_pressure(void)
{
	return unlikely(READ_ONCE(globals->pressure));
}

void tcp_mem_sync(struct tcp_sock *t)
{
	net_mem_set(NET_MEM_TCP, &t->inet.mem_pages, (uint64_t)t->inet.rmem + t->queued);
}

void tcp_mem_gone(struct tcp_sock *t)
{
	net_mem_set(NET_MEM_TCP, &t->inet.mem_pages, 0);
	tcp_mem_count(-1);
}

static void set_pressure(struct tcp_sock *t, bool on)
{
	if (READ_ONCE(globals->pressure) == on)
		return;
	WRITE_ONCE(globals->pressure, on);
	if (on)
		NET_INC(t->inet.sk.net, TcpExt_TCPMemoryPressures);
}

/* Half of what is queued: who polls then hears nothing before it is less. */
static void moderate_sndbuf(struct tcp_sock *t)
{
	struct socket *sk = &t->inet.sk;
	if (t->sndbuf_locked)
		return;
	uint32_t most = MAX(t->queued / 2, SNDBUF_MIN);
	if (sk->sndbuf > most)
		__atomic_store_n(&sk->sndbuf, most, __ATOMIC_SEQ_CST);
}

/* May the pages that n bytes more need be had? */
static bool may_raise(struct tcp_sock *t, uint32_t n)
{
	const struct net_ns *net = t->inet.sk.net;
	uint64_t own = NET_MEM_PAGES((uint64_t)t->inet.rmem + t->queued + n);
	if (own <= t->inet.mem_pages)
		return true;
	uint64_t all = net_mem_pages(NET_MEM_TCP) + own - t->inet.mem_pages;
	if (likely(all <= net_mem_limit(net, NET_MEM_TCP, 0))) {
		set_pressure(t, false);
		return true;
	}
	if (all > net_mem_limit(net, NET_MEM_TCP, 1))
		set_pressure(t, true);
	uint64_t max = net_mem_limit(net, NET_MEM_TCP, 2);
	if (all > max)
		return false;
	/* Under pressure who has less than the average goes on. */
	return !READ_ONCE(globals->pressure) || READ_ONCE(globals->sockets) * own < max;
}

/* May a packet that counts n be queued?  So much each may have until the third limit. */
bool tcp_mem_rcv_room(struct tcp_sock *t, uint32_t n)
{
	const struct net_ns *net = t->inet.sk.net;
	return may_raise(t, n) || (t->inet.rmem < (uint32_t)READ_ONCE(net->ctl.tcp_rmem[0]) &&
					  !net_mem_above(net, NET_MEM_TCP, 2));
}

/* The next packet in order, where nothing is queued: it is taken, or nothing ever moved again; but
 * if not even memory is there, a small one only. */
bool tcp_mem_rcv_forced(const struct tcp_sock *t, const struct pkt *p)
{
	return p->len <= (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_rmem[0]) || !pkt_scarce();
}

/* How many of n bytes may be queued to be sent: as Linux, tcp_wmem[0] at least are. */
uint32_t tcp_mem_snd_room(struct tcp_sock *t, uint32_t n)
{
	if (likely(may_raise(t, TCP_SEG_OVERHEAD + n)))
		return n;
	uint64_t begun = (uint64_t)t->inet.mem_pages << 12,
		 used = (uint64_t)t->inet.rmem + t->queued;
	uint64_t min = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_wmem[0]);
	uint64_t left = begun > used ? begun - used : 0;
	moderate_sndbuf(t);
	if (t->queued < min)
		left = MAX(left, min - t->queued);
	return left > TCP_SEG_OVERHEAD ? (uint32_t)MIN(left - TCP_SEG_OVERHEAD, (uint64_t)n) : 0;
}

/* More than its smallest window must not go on without a file. */
bool tcp_mem_exhausted(const struct tcp_sock *t)
{
	return t->queued > SNDBUF_MIN && net_mem_above(t->inet.sk.net, NET_MEM_TCP, 2);
}

/* SO_SNDBUF and SO_RCVBUF may grow by themselves. */
bool tcp_mem_plenty(const struct tcp_sock *t)
{
	return !tcp_mem_pressure() && !net_mem_above(t->inet.sk.net, NET_MEM_TCP, 0);
}
