/*
 * The end of a connection: shutdown(2), close(2) with and without SO_LINGER, failure, and what goes
 * on without a file (orphans: at most tcp_max_orphans of them).  RFC 9293 3.6, 3.10.4; RFC 1122
 * 4.2.2.13.
 */
#include <errno.h>

#include "sentry/net/tcp/tcp_priv.h"

/* --- states --- */

/* One came, and can be found, or went. */
void tcp_tell_listeners(struct net_ns *net)
{
	__atomic_add_fetch(&net->listeners, 1, __ATOMIC_RELEASE);
	waitq_wake(&net->listenq, POLLIN);
}

void tcp_set_state(struct tcp_sock *t, uint8_t state)
{
	struct net_ns *net = t->inet.sk.net;
	uint8_t old = t->state;
	bool was = old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT;
	if (old == state)
		return;
	if (state == TCP_ESTABLISHED) {
		NET_INC(net, Tcp_CurrEstab);
	} else if (was && state != TCP_CLOSE_WAIT) {
		NET_ADD(net, Tcp_CurrEstab, -1);
		if (state == TCP_CLOSE)
			NET_INC(net, Tcp_EstabResets);
	}
	__atomic_store_n(&t->state, state, __ATOMIC_RELEASE);
	if (state != TCP_CLOSE)
		return;
	WRITE_ONCE(t->inet.sk.listening, false);
	if (t->inet.lport)
		t->inet.last_port = t->inet.lport;
	if (t->inet.locks & INET_LOCK_PORT && !t->orphan)
		inet_unhash_conn(net->inet->tcp, &t->inet);
	else
		inet_unbind(net->inet->tcp, &t->inet);
	if (old == TCP_LISTEN)
		tcp_tell_listeners(net);
}

void tcp_shutdown_set(struct tcp_sock *t, uint32_t how)
{
	__atomic_fetch_or(&t->inet.sk.shutdown, how, __ATOMIC_SEQ_CST);
}

/* Everybody must look again (Linux' sk_state_change). */
void tcp_wake_all(struct tcp_sock *t)
{
	sock_wake_all(&t->inet.sk);
}

void tcp_set_err(struct tcp_sock *t, int err)
{
	__atomic_store_n(&t->inet.sk.err, err, __ATOMIC_RELEASE);
	waitq_wake(&t->inet.sk.rd, POLLIN | POLLERR);
	waitq_wake(&t->inet.sk.wr, POLLOUT | POLLERR);
	waitq_wake(&t->inet.sk.pollq, POLLERR);
}

/* --- orphans --- */

void tcp_orphan(struct tcp_sock *t)
{
	if (t->orphan)
		return;
	t->orphan = true;
	t->inet.sk.dead = true;
	__atomic_add_fetch(&t->inet.sk.net->tcp->orphans, 1, __ATOMIC_RELAXED);
}

/* Too many of them, or too much memory in use for one more (Linux' tcp_check_oom). */
bool tcp_orphans_over(const struct tcp_sock *t, uint32_t shift)
{
	const struct net_ns *net = t->inet.sk.net;
	uint64_t n = __atomic_load_n(&net->tcp->orphans, __ATOMIC_RELAXED);
	return n << shift > (uint32_t)READ_ONCE(net->ctl.tcp_max_orphans) || tcp_mem_exhausted(t);
}

static void orphan_gone(struct tcp_sock *t)
{
	if (t->orphan && !t->orphan_done) {
		t->orphan_done = true;
		__atomic_sub_fetch(&t->inet.sk.net->tcp->orphans, 1, __ATOMIC_RELAXED);
	}
}

/* --- over --- */

/* The state machine is done with it (Linux' tcp_done). */
void tcp_done(struct tcp_sock *t)
{
	if (t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV)
		NET_INC(t->inet.sk.net, Tcp_AttemptFails);
	tcp_fastopen_done(t);
	tcp_set_state(t, TCP_CLOSE);
	tcp_timers_stop(t);
	tcp_shutdown_set(t, SOCK_SHUT_BOTH);
	tcp_purge_send(t);
	if (t->orphan) {
		tcp_purge_recv(t);
		orphan_gone(t);
	} else {
		tcp_wake_all(t);
	}
}

void tcp_fail(struct tcp_sock *t, int err)
{
	if (t->state == TCP_CLOSE)
		return;
	WRITE_ONCE(t->inet.sk.err, err);
	tcp_purge_send(t);
	tcp_done(t);
	if (!t->orphan)
		tcp_set_err(t, err);
}

/* The sequence that a reset must have: not beyond the peer's window. */
uint32_t tcp_acceptable_seq(const struct tcp_sock *t)
{
	uint32_t end = t->snd_una + t->snd_wnd;
	bool in = !seq_before(end, t->snd_nxt) ||
		  (t->wscale_ok && t->snd_nxt - end < (1u << t->rcv_wscale));
	return in ? t->snd_nxt : end;
}

/* What disconnecting tells the peer; true if it has to know. */
static bool needs_reset(const struct tcp_sock *t)
{
	switch (t->state) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_SYN_RECV:
		return true;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return t->snd_nxt != t->write_seq;
	}
	return false;
}

/* As new but for options and what bind(2) said (Linux' tcp_disconnect). */
void tcp_disconnect_locked(struct tcp_sock *t)
{
	struct inet_sock *s = &t->inet;
	int err = 0;
	if (t->state == TCP_LISTEN) {
		tcp_set_state(t, TCP_CLOSE);
		tcp_listen_stop(t);
	} else if (needs_reset(t)) {
		tcp_send_rst(t);
		err = ECONNRESET;
	} else if (t->state == TCP_SYN_SENT) {
		err = ECONNRESET;
	}
	tcp_fastopen_done(t);
	tcp_set_state(t, TCP_CLOSE);
	tcp_timers_stop(t);
	tcp_purge_send(t);
	tcp_purge_recv(t);
	inet_disconnect_port(s->sk.net->inet->tcp, s, s->locks & INET_LOCK_PORT);
	route_put(&s->route);
	__atomic_store_n(&s->sk.shutdown, 0, __ATOMIC_SEQ_CST);
	WRITE_ONCE(s->sk.err, err);
	tcp_reset_state(t);
	tcp_wake_all(t);
}

int tcp_abort(struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(s);
	int err = 0;
	if (s->kind != INET_TCP)
		return -EOPNOTSUPP;
	inet_lock(s);
	if (t->state == TCP_CLOSE) {
		err = -ENOENT;
	} else if (t->state == TCP_LISTEN) {
		tcp_set_state(t, TCP_CLOSE);
		tcp_listen_stop(t);
		tcp_wake_all(t);
	} else {
		if (needs_reset(t))
			tcp_send_rst(t);
		tcp_fail(t, ECONNABORTED);
	}
	inet_unlock(s);
	return err;
}

int tcp_disconnect(struct ctx *ctx, struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(s);
	if (t->sending)
		return -EBUSY; /* another thread is in the middle of a write */
	tcp_disconnect_locked(t);
	t->ss = ABI_SS_UNCONNECTED;
	return 0;
}

/* --- FIN --- */

/* Our direction is closed by the user: the next state; is FIN to be sent? */
static bool close_state(struct tcp_sock *t)
{
	switch (t->state) {
	case TCP_ESTABLISHED:
	case TCP_SYN_RECV:
		tcp_set_state(t, TCP_FIN_WAIT1);
		return true;
	case TCP_CLOSE_WAIT:
		tcp_set_state(t, TCP_LAST_ACK);
		return true;
	case TCP_SYN_SENT:
		tcp_set_state(t, TCP_CLOSE);
		tcp_timers_stop(t);
		tcp_purge_send(t);
		return false;
	}
	return false;
}

static void close_direction(struct tcp_sock *t)
{
	if (!close_state(t) || !tcp_send_fin(t))
		return;
	/* No memory for it: the peer learns that it is over in another way. */
	NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnMemory);
	tcp_send_rst(t);
	tcp_fail(t, ENOMEM);
}

int tcp_shutdown(struct inet_sock *s, uint32_t how)
{
	struct tcp_sock *t = tcp_of(s);
	int err = 0;
	if (t->ss == ABI_SS_CONNECTING) {
		bool open = t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV ||
			    t->state == TCP_CLOSE;
		t->ss = open ? ABI_SS_DISCONNECTING : ABI_SS_CONNECTED;
	}
	switch (t->state) {
	case TCP_LISTEN:
		if (!(how & SOCK_SHUT_RD))
			break;
		tcp_disconnect_locked(t);
		t->ss = ABI_SS_UNCONNECTED;
		break;
	case TCP_SYN_SENT:
		tcp_disconnect_locked(t);
		t->ss = ABI_SS_UNCONNECTED;
		break;
	case TCP_CLOSE:
		err = -ENOTCONN;
		tcp_shutdown_set(t, how);
		break;
	default:
		tcp_shutdown_set(t, how);
		if ((how & SOCK_SHUT_WR) &&
			(t->state == TCP_ESTABLISHED || t->state == TCP_CLOSE_WAIT))
			close_direction(t);
	}
	tcp_wake_all(t);
	return err;
}

/* --- close(2) --- */

static uint32_t unread(const struct tcp_sock *t)
{
	struct pkt *p;
	uint32_t n = 0;
	list_for_each(p, &t->recvq, node) {
		uint32_t from = tcp_rx_of(p)->seq, end = from + p->len;
		if (seq_after(t->copied_seq, from))
			from = t->copied_seq;
		if (seq_after(end, from))
			n += end - from;
	}
	return n;
}

int64_t tcp_fin_time(const struct tcp_sock *t)
{
	int64_t s = READ_ONCE(t->inet.sk.net->ctl.tcp_fin_timeout);
	if (t->linger2)
		s = t->linger2;
	return MAX(s * NSEC_PER_SEC, (t->rto << 2) - (t->rto >> 1));
}

/* FIN_WAIT_2 without a reader: for a while, with no more than a struct tcp_tw.  fin: the segment
 * that brought us there has the peer's FIN as well, which the connection itself must see. */
void tcp_orphan_fin_wait2(struct tcp_sock *t, bool fin)
{
	int64_t wait = tcp_fin_time(t);
	if (t->linger2 < 0) {
		NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnLinger);
		tcp_send_rst(t);
		tcp_done(t);
	} else if (wait > TCP_TIMEWAIT_NS || fin) {
		t->keep_at = tcp_now() + (wait > TCP_TIMEWAIT_NS ? wait - TCP_TIMEWAIT_NS : wait);
		tcp_timer_kick(t, t->keep_at);
	} else {
		tcp_time_wait_for(t, TCP_FIN_WAIT2, wait);
	}
}

/* keep_at of an orphan. */
void tcp_fin_wait2_timer(struct tcp_sock *t)
{
	if (t->state == TCP_FIN_WAIT2 && t->linger2 >= 0)
		tcp_time_wait_for(t, TCP_FIN_WAIT2, TCP_TIMEWAIT_NS);
}

/* SO_LINGER: waits until all is acknowledged. */
static void linger(struct tcp_sock *t, int64_t timeo)
{
	struct ctx *ctx = ctx_current();
	int64_t deadline = sock_deadline(timeo);
	mutex_assert_held(&t->inet.sk.lock);
	while (ctx &&
		(t->state == TCP_FIN_WAIT1 || t->state == TCP_CLOSING || t->state == TCP_LAST_ACK))
		if (inet_wait(ctx, &t->inet, &t->inet.sk.wr, POLLOUT, deadline))
			return;
}

/* How the connection ends when its file goes. */
static void close_connection(struct tcp_sock *t, int64_t timeo)
{
	struct socket *sk = &t->inet.sk;
	struct net_ns *net = sk->net;
	uint32_t left = unread(t);
	tcp_purge_recv(t);
	if (t->state == TCP_CLOSE)
		return;
	if (left) { /* RFC 2525, 2.17 */
		NET_INC(net, TcpExt_TCPAbortOnClose);
		tcp_send_rst(t);
		tcp_done(t);
	} else if (sk->linger.l_onoff && !sk->linger.l_linger) {
		NET_INC(net, TcpExt_TCPAbortOnData);
		if (needs_reset(t))
			tcp_send_rst(t);
		tcp_done(t);
	} else {
		close_direction(t);
		if (timeo > 0)
			linger(t, timeo);
	}
}

/* Goes on without an owner, if it may. */
static void adjudge(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	tcp_orphan(t);
	if (t->state == TCP_FIN_WAIT2)
		tcp_orphan_fin_wait2(t, false);
	if (t->state == TCP_CLOSE) {
		tcp_timers_stop(t);
		tcp_purge_send(t);
		inet_unbind(net->inet->tcp, &t->inet);
		orphan_gone(t);
		return;
	}
	if (tcp_orphans_over(t, 0)) {
		NET_INC(net, TcpExt_TCPAbortOnMemory);
		tcp_send_rst(t);
		tcp_done(t);
	}
}

void tcp_release(struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(s);
	int64_t timeo = 0;
	if (s->sk.linger.l_onoff)
		timeo = (int64_t)(uint32_t)s->sk.linger.l_linger * NSEC_PER_SEC;
	inet_lock(s);
	s->sk.file = NULL;
	tcp_shutdown_set(t, SOCK_SHUT_BOTH);
	if (t->state == TCP_LISTEN) {
		tcp_set_state(t, TCP_CLOSE);
		tcp_listen_stop(t);
	} else {
		close_connection(t, timeo);
	}
	adjudge(t);
	inet_unlock(s);
	inet_put(s);
}
