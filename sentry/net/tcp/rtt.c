/*
 * The round-trip time and the time-out made of it: RFC 6298, with Linux' refinement: the variation
 * is the largest mean deviation of a round, falls slowly, and is 200 ms at least.  The smallest
 * time of the last minutes (tcp_min_rtt_wlen) is what RACK and TLP measure with.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

static void estimate(struct tcp_sock *t, int64_t rtt_us)
{
	int64_t m = rtt_us, srtt = t->srtt_us;
	if (!srtt) {
		t->srtt_us = (uint32_t)MAX(m << 3, (int64_t)1);
		t->mdev_us = (uint32_t)(m << 1);
		t->rttvar_us = MAX(t->mdev_us, tcp_rto_min_us(t));
		t->mdev_max_us = t->rttvar_us;
		t->rtt_seq = t->snd_nxt;
		return;
	}
	m -= srtt >> 3; /* the error; srtt = 7/8 srtt + 1/8 new */
	t->srtt_us = (uint32_t)MAX(srtt + m, (int64_t)1);
	if (m < 0) {
		m = -m - (t->mdev_us >> 2);
		/* RTT fell: that is not to raise RTO as much (Eifel). */
		if (m > 0)
			m >>= 3;
	} else {
		m -= t->mdev_us >> 2;
	}
	t->mdev_us += (uint32_t)m;
	if (t->mdev_us > t->mdev_max_us) {
		t->mdev_max_us = t->mdev_us;
		t->rttvar_us = MAX(t->rttvar_us, t->mdev_max_us);
	}
	if (!seq_after(t->snd_una, t->rtt_seq))
		return;
	if (t->mdev_max_us < t->rttvar_us)
		t->rttvar_us -= (t->rttvar_us - t->mdev_max_us) >> 2;
	t->rtt_seq = t->snd_nxt;
	t->mdev_max_us = tcp_rto_min_us(t);
}

void tcp_set_rto(struct tcp_sock *t)
{
	int64_t rto = ((int64_t)(t->srtt_us >> 3) + t->rttvar_us) * 1000;
	t->rto = MIN(rto, TCP_RTO_MAX_NS);
}

/* --- the smallest of a window: the best, and who is best if that is too old --- */

uint32_t tcp_min_rtt(const struct tcp_sock *t)
{
	return t->min_rtt_us;
}

/* All three are of the same time now. */
static void min_reset(struct tcp_sock *t, uint32_t us, int64_t now)
{
	t->min_rtt_us = t->min_rtt_next[0].us = t->min_rtt_next[1].us = us;
	t->min_rtt_at = t->min_rtt_next[0].at = t->min_rtt_next[1].at = now;
}

static void min_shift(struct tcp_sock *t, uint32_t us, int64_t now)
{
	t->min_rtt_us = t->min_rtt_next[0].us;
	t->min_rtt_at = t->min_rtt_next[0].at;
	t->min_rtt_next[0] = t->min_rtt_next[1];
	t->min_rtt_next[1].us = us;
	t->min_rtt_next[1].at = now;
}

/* After Kathleen Nichols' windowed minimum: the next ones are of later quarters of the window. */
static void min_update(struct tcp_sock *t, uint32_t us, int64_t now)
{
	int64_t win = (int64_t)READ_ONCE(t->inet.sk.net->ctl.tcp_min_rtt_wlen) * NSEC_PER_SEC;
	if (us <= t->min_rtt_us || now - t->min_rtt_next[1].at > win) {
		min_reset(t, us, now);
		return;
	}
	if (us <= t->min_rtt_next[0].us) {
		t->min_rtt_next[0].us = t->min_rtt_next[1].us = us;
		t->min_rtt_next[0].at = t->min_rtt_next[1].at = now;
	} else if (us <= t->min_rtt_next[1].us) {
		t->min_rtt_next[1].us = us;
		t->min_rtt_next[1].at = now;
	}
	if (now - t->min_rtt_at > win) {
		min_shift(t, us, now);
		if (now - t->min_rtt_at > win)
			min_shift(t, us, now);
	} else if (t->min_rtt_next[0].at == t->min_rtt_at && now - t->min_rtt_at > win / 4) {
		t->min_rtt_next[0].us = t->min_rtt_next[1].us = us;
		t->min_rtt_next[0].at = t->min_rtt_next[1].at = now;
	} else if (t->min_rtt_next[1].at == t->min_rtt_next[0].at &&
		   now - t->min_rtt_at > win / 2) {
		t->min_rtt_next[1].us = us;
		t->min_rtt_next[1].at = now;
	}
}

void tcp_rtt_sample(struct tcp_sock *t, int64_t rtt_us)
{
	min_update(t, (uint32_t)MAX(rtt_us, (int64_t)1), tcp_now());
	estimate(t, rtt_us);
	tcp_set_rto(t);
}

/* RFC 7323, 4.1: what the echoed timestamp says, to a millisecond; -1: nothing to be believed. */
static int64_t echo_us(const struct tcp_ack *a)
{
	if (!a->o->has_ts || !a->o->tsecr)
		return -1;
	uint32_t ms = tcp_ts(a->now) - a->o->tsecr;
	if (ms >= INT32_MAX / 1000)
		return -1;
	return (int64_t)MAX(ms, 1u) * 1000;
}

bool tcp_ack_rtt(struct tcp_sock *t, struct tcp_ack *a, int64_t seq_us, int64_t sack_us,
	int64_t ca_us)
{
	/* Our own clock is finer, but after a retransmission (Karn) only the echo tells which
	 * copy was acknowledged. */
	if (seq_us < 0)
		seq_us = sack_us;
	if (seq_us < 0 && (a->flag & ACK_ACKED))
		seq_us = ca_us = echo_us(a);
	a->rate.rtt_us = ca_us;
	if (seq_us < 0)
		return false;
	/* What the peer may have held back says nothing of the path. */
	if (!((a->flag & ACK_MAYBE_DELAYED) && ca_us > t->min_rtt_us))
		min_update(t, (uint32_t)MAX(ca_us, (int64_t)1), a->now);
	estimate(t, seq_us);
	tcp_set_rto(t);
	t->backoff = 0;
	return true;
}
