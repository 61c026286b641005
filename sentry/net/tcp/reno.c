/*
 * NewReno's window: slow start and congestion avoidance (RFC 5681).  What other algorithms share of
 * it is in cc.c.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

static uint32_t reno_ssthresh(struct tcp_sock *t)
{
	return MAX(t->cwnd >> 1, 2u);
}

static void reno_cong_avoid(struct tcp_sock *t, uint32_t ack, uint32_t acked)
{
	if (!tcp_is_cwnd_limited(t))
		return;
	if (tcp_in_slow_start(t)) {
		acked = tcp_slow_start(t, acked);
		if (!acked)
			return;
	}
	tcp_cong_avoid_ai(t, t->cwnd, acked);
}

const struct tcp_cc_ops tcp_cc_reno = {.name = "reno",
	.ssthresh = reno_ssthresh,
	.cong_avoid = reno_cong_avoid,
	.undo_cwnd = tcp_reno_undo_cwnd};
