/*
 * What is lost: RACK (RFC 8985) says it by time, in every state, also of retransmissions: a segment
 * is lost if one that was sent later has arrived and a bit more than an RTT has passed.  That bit,
 * the reordering window, is zero as long as no reordering was seen, and grows by a quarter of the
 * smallest RTT with each round in which DSACK says that we retransmitted for nothing.
 *
 * Without SACK (NewReno, RFC 6582) the head is lost after three duplicate ACKs and after each
 * partial ACK in recovery.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

void tcp_mark_lost(struct tcp_sock *t, struct tcp_seg *s)
{
	if (s->sacked & TCP_SACKED)
		return;
	if (t->retransmit_hint ? seq_before(s->seq, t->retransmit_hint->seq)
			       : t->retrans_out >= t->lost_out)
		t->retransmit_hint = s;
	if (!(s->sacked & TCP_LOST)) {
		t->lost_out += s->packets;
		s->sacked |= TCP_LOST;
		t->lost += s->packets;
	} else if (s->sacked & TCP_RETRANS) {
		/* The retransmission is lost too. */
		s->sacked &= (uint8_t)~TCP_RETRANS;
		t->retrans_out -= s->packets;
		NET_ADD(t->inet.sk.net, TcpExt_TCPLostRetransmit, s->packets);
		t->lost += s->packets;
	}
}

static uint32_t reo_wnd_us(const struct tcp_sock *t)
{
	if (!t->reord_seen) {
		/* No reordering seen: at once in recovery, and after three that came late. */
		if (t->ca_state >= TCP_CA_Recovery)
			return 0;
		if (t->sacked_out >= t->reordering &&
			!(READ_ONCE(t->inet.sk.net->ctl.tcp_recovery) & 4))
			return 0;
	}
	return (uint32_t)MIN((uint64_t)(tcp_min_rtt(t) >> 2) * t->rack.reo_wnd_steps,
		(uint64_t)t->srtt_us >> 3);
}

int64_t tcp_rack_remaining(const struct tcp_sock *t, const struct tcp_seg *s, uint32_t reo_wnd,
	int64_t now)
{
	return ((int64_t)t->rack.rtt_us + reo_wnd) * 1000 - (now - s->sent);
}

/* Marks; ns until the next one may have to be; 0: none. */
static int64_t detect_loss(struct tcp_sock *t, int64_t now)
{
	uint32_t reo = reo_wnd_us(t);
	int64_t wait = 0;
	struct tcp_seg *s, *tmp;
	list_for_each_safe(s, tmp, &t->tsorted, tsorted) {
		/* Marked, and not sent again yet. */
		if ((s->sacked & TCP_LOST) && !(s->sacked & TCP_RETRANS))
			continue;
		if (!tcp_sent_after(t->rack.mstamp, s->sent, t->rack.end_seq, s->end_seq))
			break;
		int64_t left = tcp_rack_remaining(t, s, reo, now);
		if (left <= 0) {
			tcp_mark_lost(t, s);
			list_del(&s->tsorted);
		} else {
			wait = MAX(wait, left);
		}
	}
	return wait;
}

bool tcp_rack_mark_lost(struct tcp_sock *t, int64_t now)
{
	if (!t->rack.advanced)
		return false;
	t->rack.advanced = false;
	int64_t wait = detect_loss(t, now);
	if (!wait)
		return false;
	tcp_timer_set(t, TCP_TIMER_REORDER, now + MIN(wait + TCP_TIMEOUT_MIN_US * 1000, t->rto));
	return true;
}

void tcp_rack_advance(struct tcp_sock *t, uint8_t sacked, uint32_t end_seq, int64_t sent,
	int64_t now)
{
	uint32_t rtt = us_since(now, sent);
	/* Too early for the retransmission: it is the first copy that arrived. */
	if (rtt < tcp_min_rtt(t) && (sacked & (TCP_RETRANS | TCP_EVER_RETRANS)))
		return;
	t->rack.advanced = true;
	t->rack.rtt_us = rtt;
	if (tcp_sent_after(sent, t->rack.mstamp, end_seq, t->rack.end_seq)) {
		t->rack.mstamp = sent;
		t->rack.end_seq = end_seq;
	}
}

void tcp_rack_update_reo_wnd(struct tcp_sock *t, const struct tcp_rate_sample *rs)
{
	if ((READ_ONCE(t->inet.sk.net->ctl.tcp_recovery) & 2) || !rs->prior_delivered)
		return;
	/* Once a round trip. */
	if (seq_before(rs->prior_delivered, t->rack.last_delivered))
		t->rack.dsack_seen = false;
	if (t->rack.dsack_seen) {
		t->rack.reo_wnd_steps = (uint8_t)MIN(255u, t->rack.reo_wnd_steps + 1u);
		t->rack.dsack_seen = false;
		t->rack.last_delivered = t->delivered;
		t->rack.reo_wnd_persist = TCP_RACK_RECOVERY_THRESH;
	} else if (!t->rack.reo_wnd_persist) {
		t->rack.reo_wnd_steps = 1;
	}
}

void tcp_reorder_timer(struct tcp_sock *t)
{
	uint32_t in_flight = tcp_in_flight(t), lost = t->lost;
	t->pending = TCP_TIMER_REORDER; /* RTO counts from when the head was sent */
	(void)detect_loss(t, tcp_now());
	if (in_flight != tcp_in_flight(t)) {
		if (t->ca_state != TCP_CA_Recovery) {
			tcp_enter_recovery(t, false);
			if (!tcp_cc_ops(t)->cong_control)
				tcp_cwnd_reduction(t, 1, t->lost - lost, 0);
		}
		tcp_retransmit_queue(t);
	}
	if (t->pending != TCP_TIMER_RTO)
		tcp_rearm_rto(t);
}

void tcp_newreno_mark_lost(struct tcp_sock *t, bool advanced)
{
	struct tcp_seg *s = rtx_first(t);
	if (!((t->ca_state < TCP_CA_Recovery && t->sacked_out >= t->reordering) ||
		    (t->ca_state == TCP_CA_Recovery && advanced)))
		return;
	if (s->sacked & TCP_LOST)
		return;
	if (s->packets > 1 && s->len > s->mss)
		(void)tcp_fragment(t, s, s->mss, s->mss);
	tcp_mark_lost(t, s);
}
