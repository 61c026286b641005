/*
 * How fast data is delivered (draft-cheng-iccrg-delivery-rate-estimation): each segment remembers
 * what was delivered when it was sent; when it arrives, the difference over the longer of the times
 * that it took to send and to acknowledge that much is a sample of the rate.
 *
 * A sample is app_limited if the sender had nothing to send meanwhile: the path may be faster.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

void tcp_rate_sent(struct tcp_sock *t, struct tcp_seg *s, int64_t now)
{
	/* After a pause time begins anew: it is no part of a sample. */
	if (!t->packets_out)
		t->first_tx_at = t->delivered_at = now;
	s->first_tx_at = t->first_tx_at;
	s->delivered_at = t->delivered_at;
	s->delivered = t->delivered;
	s->delivered_ce = t->delivered_ce;
	s->app_limited = t->app_limited != 0;
}

void tcp_rate_delivered(struct tcp_sock *t, struct tcp_seg *s, struct tcp_rate_sample *rs)
{
	if (!s->delivered_at) /* was SACKed: counted then */
		return;
	if (!rs->prior_delivered ||
		tcp_sent_after(s->sent, t->first_tx_at, s->end_seq, rs->last_end_seq)) {
		rs->prior_delivered = s->delivered;
		rs->prior_delivered_ce = s->delivered_ce;
		rs->prior_at = s->delivered_at;
		rs->is_app_limited = s->app_limited;
		rs->is_retrans = s->sacked & (TCP_RETRANS | TCP_EVER_RETRANS);
		rs->last_end_seq = s->end_seq;
		t->first_tx_at = s->sent;
		rs->interval_us = us_since(t->first_tx_at, s->first_tx_at);
	}
	if (s->sacked & TCP_SACKED)
		s->delivered_at = 0;
}

void tcp_rate_gen(struct tcp_sock *t, struct tcp_ack *a, uint32_t delivered, uint32_t lost,
	bool reneg)
{
	struct tcp_rate_sample *rs = &a->rate;
	if (t->app_limited && seq_after(t->delivered, t->app_limited))
		t->app_limited = 0;
	if (delivered)
		t->delivered_at = a->now;
	rs->acked_sacked = delivered;
	rs->losses = lost;
	if (!rs->prior_at || reneg) {
		rs->delivered = -1;
		rs->interval_us = -1;
		return;
	}
	rs->delivered = (int32_t)(t->delivered - rs->prior_delivered);
	rs->delivered_ce = (int32_t)(t->delivered_ce - rs->prior_delivered_ce);
	rs->snd_interval_us = rs->interval_us;
	rs->rcv_interval_us = us_since(a->now, rs->prior_at);
	rs->interval_us = MAX(rs->snd_interval_us, rs->rcv_interval_us);
	/* Faster than light: an ACK for what was retransmitted that was of the first copy. */
	if (rs->interval_us < tcp_min_rtt(t)) {
		rs->interval_us = -1;
		return;
	}
	if (!rs->is_app_limited ||
		(uint64_t)rs->delivered * t->rate_interval_us >=
			(uint64_t)t->rate_delivered * (uint64_t)rs->interval_us) {
		t->rate_delivered = (uint32_t)rs->delivered;
		t->rate_interval_us = (uint32_t)rs->interval_us;
		t->rate_app_limited = rs->is_app_limited;
	}
}

void tcp_rate_check_app_limited(struct tcp_sock *t)
{
	if (t->write_seq - t->snd_nxt < t->mss && tcp_in_flight(t) < t->cwnd &&
		t->lost_out <= t->retrans_out) {
		uint32_t until = t->delivered + tcp_in_flight(t);
		t->app_limited = until ? until : 1;
	}
}

/* What is sent beyond cwnd per RTT would only queue: twice that in slow start, a bit more later, so
 * that cwnd can grow (Linux: tcp_update_pacing_rate). */
void tcp_update_pacing(struct tcp_sock *t)
{
	const struct net_ctl *ctl = &t->inet.sk.net->ctl;
	uint64_t rate = (uint64_t)t->mss * (1000000 / 100 << 3);
	rate *= (uint32_t)(t->cwnd < t->ssthresh / 2 ? READ_ONCE(ctl->tcp_pacing_ss_ratio)
						     : READ_ONCE(ctl->tcp_pacing_ca_ratio));
	rate *= MAX(t->cwnd, t->packets_out);
	if (t->srtt_us)
		rate /= t->srtt_us;
	t->pacing_rate = t->max_pacing_rate ? MIN(rate, t->max_pacing_rate) : rate;
}
