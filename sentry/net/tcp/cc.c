/*
 * The table of congestion control algorithms, and what does not depend on which it is: the first
 * window (RFC 6928), and what an idle or half idle sender loses of it (RFC 7661, as Linux has it).
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

static const struct tcp_cc_ops *const algorithms[TCP_CC_NR] = {
	[TCP_CC_RENO] = &tcp_cc_reno,
	[TCP_CC_CUBIC] = &tcp_cc_cubic,
};

const struct tcp_cc_ops *tcp_cc_ops(const struct tcp_sock *t)
{
	return algorithms[t->cc.kind];
}

int tcp_cc_find(const char *name)
{
	for (int i = 0; i < TCP_CC_NR; i++)
		if (algorithms[i] && !strcmp(algorithms[i]->name, name))
			return i;
	return -1;
}

const char *tcp_cc_name(int kind)
{
	return kind >= 0 && kind < TCP_CC_NR && algorithms[kind] ? algorithms[kind]->name : NULL;
}

int tcp_cc_default(const struct tcp_sock *t)
{
	int kind = tcp_cc_find(t->inet.sk.net->ctl.tcp_congestion_control);
	return kind < 0 ? TCP_CC_RENO : kind;
}

void tcp_cc_set(struct tcp_sock *t, int kind)
{
	if (tcp_cc_ops(t)->release)
		tcp_cc_ops(t)->release(t);
	t->cc.kind = (uint8_t)kind;
	memset(t->cc.priv, 0, sizeof(t->cc.priv));
	if (tcp_cc_ops(t)->init)
		tcp_cc_ops(t)->init(t);
}

void tcp_cc_event(struct tcp_sock *t, int event)
{
	if (tcp_cc_ops(t)->cwnd_event)
		tcp_cc_ops(t)->cwnd_event(t, event);
}

/* --- growing --- */

bool tcp_is_cwnd_limited(const struct tcp_sock *t)
{
	if (t->is_cwnd_limited)
		return true;
	/* In slow start cwnd may be twice what was used. */
	return tcp_in_slow_start(t) && t->cwnd < 2 * t->max_packets_out;
}

uint32_t tcp_slow_start(struct tcp_sock *t, uint32_t acked)
{
	uint32_t cwnd = MIN(t->cwnd + acked, t->ssthresh);
	acked -= cwnd - t->cwnd;
	t->cwnd = MIN(cwnd, t->cwnd_clamp);
	return acked;
}

void tcp_cong_avoid_ai(struct tcp_sock *t, uint32_t w, uint32_t acked)
{
	/* w has become smaller than what was counted. */
	if (t->cwnd_cnt >= w) {
		t->cwnd_cnt = 0;
		t->cwnd++;
	}
	t->cwnd_cnt += acked;
	if (t->cwnd_cnt >= w) {
		uint32_t delta = t->cwnd_cnt / w;
		t->cwnd_cnt -= delta * w;
		t->cwnd += delta;
	}
	t->cwnd = MIN(t->cwnd, t->cwnd_clamp);
}

uint32_t tcp_reno_undo_cwnd(struct tcp_sock *t)
{
	return MAX(t->cwnd, t->prior_cwnd);
}

/* --- beginning --- */

void tcp_recovery_init(struct tcp_sock *t)
{
	tcp_rtx_purged(t);
	t->ca_state = TCP_CA_Open;
	t->cwnd = TCP_INIT_CWND;
	t->ssthresh = TCP_SSTHRESH_MAX;
	t->cwnd_clamp = UINT32_MAX;
	t->cwnd_cnt = t->cwnd_used = t->prior_cwnd = t->prior_ssthresh = 0;
	t->cwnd_stamp = 0;
	t->is_cwnd_limited = false;
	t->max_packets_out = t->cwnd_usage_seq = 0;
	t->high_seq = t->undo_marker = 0;
	t->undo_retrans = 0;
	t->prr_delivered = t->prr_out = 0;
	t->reordering = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_reordering);
	t->delivered = t->delivered_ce = t->lost = 0;
	t->delivered_at = t->first_tx_at = 0;
	t->app_limited = UINT32_MAX;
	t->rate_delivered = t->rate_interval_us = 0;
	t->rate_app_limited = false;
	t->total_retrans = t->bytes_retrans = t->dsack_dups = t->reord_seen = t->total_rto = 0;
	t->tlp_high_seq = 0;
	t->tlp_retrans = t->frto = t->sack_reneg = false;
	memset(&t->rack, 0, sizeof(t->rack));
	t->rack.reo_wnd_steps = 1;
	memset(t->recv_sack_cache, 0, sizeof(t->recv_sack_cache));
	t->srtt_us = t->rttvar_us = t->mdev_max_us = t->rtt_seq = 0;
	t->mdev_us = TCP_TIMEOUT_INIT_NS / 1000;
	t->min_rtt_us = t->min_rtt_next[0].us = t->min_rtt_next[1].us = UINT32_MAX;
	t->min_rtt_at = t->min_rtt_next[0].at = t->min_rtt_next[1].at = tcp_now();
	t->rto = TCP_TIMEOUT_INIT_NS;
	t->backoff = t->retransmits = t->probes_out = 0;
	t->retrans_stamp = 0;
	t->last_ack = 0;
	if (!t->cc.setsockopt)
		t->cc.kind = (uint8_t)tcp_cc_default(t);
}

/* RFC 6928, or what the route says (ip-route(8): initcwnd). */
static uint32_t initial_window(const struct tcp_sock *t)
{
	uint32_t n = t->inet.route.initcwnd;
	return MIN(n ? n : TCP_INIT_CWND, t->cwnd_clamp);
}

void tcp_cwnd_init(struct tcp_sock *t)
{
	/* RFC 6298, 5.7: no sample of the handshake, so it was retransmitted: RTO is 3 s. */
	if (!t->srtt_us) {
		t->rttvar_us = t->mdev_us = t->mdev_max_us = 3000000;
		t->rto = 3 * NSEC_PER_SEC;
	}
	/* RFC 5681, 3.1: a lost SYN means one segment; Linux: not if it was lost once only. */
	t->cwnd = t->total_retrans > 1 && t->undo_marker ? 1 : initial_window(t);
	t->undo_marker = 0;
	t->cwnd_stamp = tcp_now();
	tcp_mtup_init(t);
	tcp_cc_set(t, t->cc.kind);
	tcp_update_pacing(t);
}

/* --- idle --- */

void tcp_cwnd_restart(struct tcp_sock *t, int64_t idle_ns)
{
	uint32_t cwnd = t->cwnd, least = MIN(initial_window(t), cwnd);
	tcp_cc_event(t, TCP_CC_CWND_RESTART);
	t->ssthresh = tcp_current_ssthresh(t);
	while ((idle_ns -= t->rto) > 0 && cwnd > least)
		cwnd >>= 1;
	t->cwnd = MAX(cwnd, least);
	t->cwnd_stamp = tcp_now();
	t->cwnd_used = 0;
}

void tcp_idle_check(struct tcp_sock *t, int64_t now)
{
	if (!READ_ONCE(t->inet.sk.net->ctl.tcp_slow_start_after_idle) || t->packets_out ||
		!t->last_sent || tcp_cc_ops(t)->cong_control)
		return;
	if (now - t->last_sent > t->rto)
		tcp_cwnd_restart(t, now - t->last_sent);
}

/* An RTO long less was sent than cwnd: half way back to what was used. */
static void application_limited(struct tcp_sock *t, int64_t now)
{
	if (t->ca_state == TCP_CA_Open && !READ_ONCE(t->nospace)) {
		uint32_t used = MAX(t->cwnd_used, initial_window(t));
		if (used < t->cwnd) {
			t->ssthresh = tcp_current_ssthresh(t);
			t->cwnd = (t->cwnd + used) >> 1;
		}
		t->cwnd_used = 0;
	}
	t->cwnd_stamp = now;
}

void tcp_cwnd_validate(struct tcp_sock *t, bool limited)
{
	int64_t now = tcp_now();
	/* The strongest sign of the current window: limited, or else how much was in flight. */
	if (!seq_before(t->snd_una, t->cwnd_usage_seq) || limited ||
		(!t->is_cwnd_limited && t->packets_out > t->max_packets_out)) {
		t->is_cwnd_limited = limited;
		t->max_packets_out = t->packets_out;
		t->cwnd_usage_seq = t->snd_nxt;
	}
	if (tcp_is_cwnd_limited(t)) {
		t->cwnd_used = 0;
		t->cwnd_stamp = now;
		return;
	}
	t->cwnd_used = MAX(t->cwnd_used, t->packets_out);
	if (READ_ONCE(t->inet.sk.net->ctl.tcp_slow_start_after_idle) &&
		now - t->cwnd_stamp >= t->rto && !tcp_cc_ops(t)->cong_control)
		application_limited(t, now);
}
