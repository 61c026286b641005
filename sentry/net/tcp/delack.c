/*
 * When an ACK is sent: at once, with the next data, or after a while (RFC 5681, 4.2; RFC 1122,
 * 4.2.3.2), as Linux' quick ACKs and ping-pong mode decide.
 */
#include "sentry/net/tcp/tcp_priv.h"

static bool in_pingpong(const struct tcp_sock *t)
{
	return t->ack_pingpong >= 1;
}

static bool in_quickack(const struct tcp_sock *t)
{
	return t->ack_quick && !in_pingpong(t);
}

static void quickack_to(struct tcp_sock *t, uint32_t max)
{
	uint32_t n = t->rcv_mss ? t->rcv_wnd / (2u * t->rcv_mss) : 0;
	n = MIN(n ? n : 2, max);
	if (n > t->ack_quick)
		t->ack_quick = (uint8_t)n;
}

void tcp_quickack_add(struct tcp_sock *t)
{
	quickack_to(t, TCP_MAX_QUICKACKS);
}

void tcp_quickack(struct tcp_sock *t, uint32_t max)
{
	quickack_to(t, max);
	t->ack_pingpong = 0;
	t->ack_ato = TCP_ATO_MIN;
}

void tcp_delack_set(struct tcp_sock *t, int64_t when)
{
	t->delack_at = when;
	tcp_timer_kick(t, when);
}

/* The ACK may wait for data to travel with. */
static void send_delayed(struct tcp_sock *t)
{
	int64_t ato = t->ack_ato, now = tcp_now();
	if (ato > TCP_DELACK_MIN) {
		int64_t max = NSEC_PER_SEC / 2;
		if (in_pingpong(t) || (t->ack_pending & TCP_ACK_PUSHED))
			max = TCP_DELACK_MAX;
		if (t->srtt_us)
			max = MIN(max, MAX(t->srtt_us / 8 * 1000L, TCP_DELACK_MIN));
		ato = MIN(ato, max);
	}
	/* Before the first data ato is 0: who sees a FIN then closes soon, and that says it too. */
	ato = MIN(MAX(ato, TCP_DELACK_TICK), TCP_DELACK_MAX);
	int64_t when = now + ato;
	if (t->delack_at) {
		if (t->delack_at <= now + ato / 4) { /* it is about to be sent anyway */
			tcp_send_ack(t);
			return;
		}
		when = MIN(when, t->delack_at);
	}
	t->ack_pending |= TCP_ACK_SCHED;
	tcp_delack_set(t, when);
}

void tcp_ack_check(struct tcp_sock *t)
{
	if (!(t->ack_pending & (TCP_ACK_SCHED | TCP_ACK_NOW)))
		return;
	bool two = t->rcv_nxt - t->rcv_wup > t->rcv_mss;
	/* If the reader will take it soon, its ACK opens the window as well. */
	if (two && t->rcv_nxt - t->copied_seq >= READ_ONCE(t->inet.sk.rcvlowat) &&
		tcp_window_now(t) < t->rcv_wnd)
		two = false;
	if (two || in_quickack(t) || (t->ack_pending & TCP_ACK_NOW) || t->ofo.node)
		tcp_send_ack(t);
	else
		send_delayed(t);
}

/* The delayed ACK is due. */
void tcp_delack_timer(struct tcp_sock *t)
{
	t->delack_at = 0;
	if (!(t->ack_pending & TCP_ACK_SCHED) || t->state == TCP_CLOSE || t->state == TCP_LISTEN)
		return;
	if (!in_pingpong(t)) {
		t->ack_ato = MIN(t->ack_ato * 2, t->rto);
	} else {
		t->ack_pingpong = 0;
		t->ack_ato = TCP_ATO_MIN;
	}
	NET_INC(t->inet.sk.net, TcpExt_DelayedACKs);
	tcp_send_ack(t);
}

/* The reader took copied bytes: is the peer to know (Linux' tcp_cleanup_rbuf)? */
void tcp_read_ack(struct tcp_sock *t, size_t copied)
{
	bool now = false;
	if (t->state == TCP_CLOSE || t->state == TCP_LISTEN)
		return;
	if (t->ack_pending & TCP_ACK_SCHED) {
		bool pushed = (t->ack_pending & TCP_ACK_PUSHED2) ||
			      ((t->ack_pending & TCP_ACK_PUSHED) && !in_pingpong(t));
		now = t->rcv_nxt - t->rcv_wup > t->rcv_mss || (copied && pushed && !t->inet.rmem);
	}
	if (copied && !now && !sock_is_shut(&t->inet.sk, SOCK_SHUT_RD)) {
		uint32_t cur = tcp_receive_window(t);
		if (2ul * cur <= t->window_clamp) {
			uint32_t win = tcp_window_now(t);
			now = win && win >= 2 * cur;
		}
	}
	if (now)
		tcp_send_ack(t);
}
