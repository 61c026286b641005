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

/* Beyond the third limit: what may all the same. */
static bool beyond(struct tcp_sock *t, uint32_t n, bool send)
{
	if (!send)
		return false;
	moderate_sndbuf(t);
	/* A writer stops at its buffer's end, and not before. */
	return (uint64_t)t->queued + n >= READ_ONCE(t->inet.sk.sndbuf);
}

bool tcp_mem_room(struct tcp_sock *t, uint32_t n, bool send)
{
	const struct net_ns *net = t->inet.sk.net;
	uint64_t own = NET_MEM_PAGES((uint64_t)t->inet.rmem + t->queued + n), max;
	if (own <= t->inet.mem_pages)
		return true;
	uint64_t all = net_mem_pages(NET_MEM_TCP) + own - t->inet.mem_pages;
	if (likely(all <= net_mem_limit(net, NET_MEM_TCP, 0))) {
		set_pressure(t, false);
		return true;
	}
	if (all > net_mem_limit(net, NET_MEM_TCP, 1))
		set_pressure(t, true);
	max = net_mem_limit(net, NET_MEM_TCP, 2);
	if (all > max)
		return beyond(t, n, send);
	/* So much each may have. */
	if (send ? t->queued < (uint32_t)READ_ONCE(net->ctl.tcp_wmem[0])
		 : t->inet.rmem < (uint32_t)READ_ONCE(net->ctl.tcp_rmem[0]))
		return true;
	/* Under pressure who has less than the average goes on. */
	return !READ_ONCE(globals->pressure) || READ_ONCE(globals->sockets) * own < max ||
	       beyond(t, n, send);
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
