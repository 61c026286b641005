/*
 * Sending again: the retransmission timer (RFC 6298, 5), what recovery marked as lost, and tail
 * loss probes (RFC 8985, 7).
 */
#include <errno.h>

#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

#define RESOURCE_INTERVAL_NS (NSEC_PER_SEC / 2) /* IP could not send it: again after this */
#define THIN_LINEAR_RETRIES 6
#define THIN_PACKETS 4

/* --- one segment --- */

/* Follows s in sequence and in memory, so both can be one. */
static bool can_join(const struct tcp_seg *s, const struct tcp_seg *n)
{
	return n->packets <= 1 && !(n->sacked & TCP_SACKED) && !((s->flags | n->flags) & TH_SYN) &&
	       !(s->flags & (TH_FIN | TCP_SEG_EOR)) && !s->tsflags && n->buf == s->buf &&
	       n->off == s->off + s->len && s->len && n->len;
}

/* RFC 9293, 3.7.4 allows to send small segments again as one (tcp_retrans_collapse). */
static void collapse(struct tcp_sock *t, struct tcp_seg *s, uint32_t room)
{
	struct tcp_seg *n;
	if (!READ_ONCE(t->inet.sk.net->ctl.tcp_retrans_collapse) || s->packets > 1 || !s->buf)
		return;
	while ((n = rtx_next(t, s)) && can_join(s, n) && s->len + n->len <= room &&
		!seq_after(n->end_seq, tcp_wnd_end(t))) {
		s->len += n->len;
		s->end_seq = n->end_seq;
		s->flags |= n->flags;
		s->sacked |= n->sacked & TCP_EVER_RETRANS;
		s->tskey = n->tskey;
		s->tsflags = n->tsflags;
		n->len = 0; /* its bytes stay charged */
		rtx_set_packets(t, n, 0);
		rtx_unlink(t, n);
		tcp_seg_free(t, n);
	}
}

/* Cuts s to what may be sent: segs packets of the present MSS within the window.  0 or -errno. */
static int fit(struct tcp_sock *t, struct tcp_seg *s, uint32_t segs)
{
	uint32_t mss = tcp_sync_mss(t);
	if (seq_before(s->seq, t->snd_una))
		rtx_cut(t, s);
	int32_t room = (int32_t)(tcp_wnd_end(t) - s->seq);
	/* The peer took back the window: only the head goes, as a probe. */
	if (room <= 0) {
		if (s->seq != t->snd_una)
			return -EAGAIN;
		room = (int32_t)mss;
	}
	uint32_t len = mss * segs;
	if (len > (uint32_t)room)
		len = (uint32_t)room > mss ? (uint32_t)room / mss * mss : (uint32_t)room;
	if (s->len > len)
		return tcp_fragment(t, s, len, mss);
	rtx_set_mss(t, s, mss);
	collapse(t, s, MIN((uint32_t)room, mss));
	return 0;
}

static int send_again(struct tcp_sock *t, struct tcp_seg *s, uint32_t segs)
{
	struct net_ns *net = t->inet.sk.net;
	int64_t now = tcp_now();
	t->mtup.probe_size = 0; /* what is lost tells nothing of sizes from here on */
	int ret = fit(t, s, segs);
	if (ret)
		return ret;
	NET_ADD(net, Tcp_RetransSegs, s->packets);
	t->total_retrans += s->packets;
	t->bytes_retrans += s->len;
	ret = tcp_transmit(t, s);
	s->sacked |= TCP_EVER_RETRANS;
	if (ret) {
		NET_ADD(net, TcpExt_TCPRetransFail, s->packets);
		return ret;
	}
	s->sent = now;
	list_del(&s->tsorted);
	list_push_back(&t->tsorted, &s->tsorted);
	tcp_rate_sent(t, s, now);
	return 0;
}

int tcp_retransmit(struct tcp_sock *t, struct tcp_seg *s, uint32_t segs)
{
	int ret = send_again(t, s, segs);
	if (!ret) {
		if (!(s->sacked & TCP_RETRANS))
			t->retrans_out += s->packets;
		s->sacked |= TCP_RETRANS | TCP_EVER_RETRANS;
	}
	/* The time of the first try, for undo and ETIMEDOUT. */
	if (!t->retrans_stamp)
		t->retrans_stamp = ret ? tcp_now() : s->sent;
	t->undo_retrans = MAX(t->undo_retrans, 0) + (int32_t)s->packets;
	return ret;
}

/* --- what is marked as lost --- */

static bool pacing_waits(const struct tcp_sock *t)
{
	return t->pace_next && t->pace_next > tcp_now();
}

/* How many MSS of one retransmission go as one large packet. */
#define RETRANSMIT_BURST 16u

void tcp_retransmit_queue(struct tcp_sock *t)
{
	struct tcp_seg *head = rtx_first(t), *s = t->retransmit_hint ? t->retransmit_hint : head;
	bool hole = false, rearm = false;
	for (; s; s = rtx_next(t, s)) {
		int32_t room = (int32_t)(t->cwnd - tcp_in_flight(t));
		if (pacing_waits(t))
			break;
		if (!hole)
			t->retransmit_hint = s;
		if (room <= 0 || t->retrans_out >= t->lost_out)
			break;
		if (!(s->sacked & TCP_LOST)) {
			if (!(s->sacked & (TCP_RETRANS | TCP_SACKED)))
				hole = true;
			continue;
		}
		if (s->sacked & (TCP_SACKED | TCP_RETRANS))
			continue;
		if (tcp_retransmit(t, s, MIN((uint32_t)room, RETRANSMIT_BURST)))
			break;
		if (t->ca_state == TCP_CA_Loss)
			NET_ADD(t->inet.sk.net, TcpExt_TCPSlowStartRetrans, s->packets);
		else
			NET_ADD(t->inet.sk.net, TcpExt_TCPFastRetrans, s->packets);
		if (tcp_in_cwnd_reduction(t))
			t->prr_out += s->packets;
		if (s == head && t->pending != TCP_TIMER_REORDER)
			rearm = true;
	}
	if (rearm)
		tcp_timer_set(t, TCP_TIMER_RTO, tcp_now() + t->rto);
}

/* --- the retransmission timer --- */

int64_t tcp_rto_left(const struct tcp_sock *t, int64_t now)
{
	struct tcp_seg *head = rtx_first(t);
	return head ? head->sent + t->rto - now : t->rto;
}

void tcp_rearm_rto(struct tcp_sock *t)
{
	int64_t now = tcp_now(), left = t->rto;
	if (!t->packets_out) {
		if (t->pending != TCP_TIMER_PERSIST)
			tcp_timer_clear(t);
		return;
	}
	/* What has passed since the head was sent counts. */
	if (t->pending == TCP_TIMER_REORDER || t->pending == TCP_TIMER_TLP)
		left = MAX(tcp_rto_left(t, now), (int64_t)1000);
	tcp_timer_set(t, TCP_TIMER_RTO, now + left);
}

/* RFC 5482: the last time-out is not later than the user's. */
static int64_t clamp_to_user_timeout(const struct tcp_sock *t, int64_t now)
{
	int64_t limit = (int64_t)t->user_timeout * 1000000;
	if (!limit)
		return t->rto;
	int64_t left = limit - (now - t->retrans_stamp);
	return left <= 0 ? 1000 : MIN(left, t->rto);
}

static void count_failure(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	bool sack = t->sack_ok;
	if (t->ca_state == TCP_CA_Recovery) {
		NET_ADD(net, TcpExt_TCPSackRecoveryFail, sack);
		NET_ADD(net, TcpExt_TCPRenoRecoveryFail, !sack);
	} else if (t->ca_state == TCP_CA_Loss) {
		NET_INC(net, TcpExt_TCPLossFailures);
	} else if (t->ca_state == TCP_CA_Disorder || t->sacked_out) {
		NET_ADD(net, TcpExt_TCPSackFailures, sack);
		NET_ADD(net, TcpExt_TCPRenoFailures, !sack);
	}
}

/* Few packets in flight: no duplicate ACKs will come, so waiting longer and longer is of no use. */
static bool is_thin(const struct tcp_sock *t)
{
	return t->state == TCP_ESTABLISHED &&
	       (t->thin_lto || READ_ONCE(t->inet.sk.net->ctl.tcp_thin_linear_timeouts)) &&
	       t->packets_out < THIN_PACKETS && t->ssthresh < TCP_SSTHRESH_MAX &&
	       t->retransmits <= THIN_LINEAR_RETRIES;
}

static void back_off(struct tcp_sock *t, int64_t now)
{
	const struct net_ctl *ctl = &t->inet.sk.net->ctl;
	if (is_thin(t)) {
		t->backoff = 0;
		tcp_set_rto(t);
	} else if (t->state != TCP_SYN_SENT ||
		   t->total_rto > (uint32_t)READ_ONCE(ctl->tcp_syn_linear_timeouts)) {
		t->backoff++;
		t->rto = MIN(t->rto << 1, TCP_RTO_MAX_NS);
	}
	tcp_timer_set(t, TCP_TIMER_RTO, now + clamp_to_user_timeout(t, now));
}

/* The peer closed its window on what is under way: no failure as long as it answers. */
static bool window_closed(struct tcp_sock *t, struct tcp_seg *head, int64_t now)
{
	if (t->snd_wnd || t->orphan || t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV)
		return false;
	int64_t since = t->retrans_stamp ? t->retrans_stamp : head->sent;
	if (now - t->last_ack > 2 * TCP_RTO_MAX_NS && now - since > 2 * TCP_RTO_MAX_NS) {
		NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnTimeout);
		tcp_fail(t, t->soft_err ? t->soft_err : ETIMEDOUT);
		return true;
	}
	tcp_enter_loss(t, now);
	tcp_retransmit(t, head, 1);
	back_off(t, now);
	return true;
}

void tcp_retransmit_timer(struct tcp_sock *t)
{
	struct tcp_seg *head = rtx_first(t);
	int64_t now = tcp_now();
	if (!t->packets_out || !head)
		return;
	if (window_closed(t, head, now))
		return;
	NET_INC(t->inet.sk.net, TcpExt_TCPTimeouts);
	if (tcp_write_timed_out(t))
		return;
	if (!t->retransmits)
		count_failure(t);
	tcp_enter_loss(t, now);
	t->retransmits = (uint8_t)MIN(t->retransmits + 1u, 255u);
	t->total_rto++;
	if (tcp_retransmit(t, rtx_first(t), 1)) {
		/* For want of memory or of a route here: no reason to wait longer. */
		tcp_timer_set(t, TCP_TIMER_RTO, now + MIN(t->rto, RESOURCE_INTERVAL_NS));
		return;
	}
	back_off(t, now);
}

/* --- tail loss probes --- */

bool tcp_schedule_loss_probe(struct tcp_sock *t, bool advancing_rto)
{
	int early = READ_ONCE(t->inet.sk.net->ctl.tcp_early_retrans);
	int64_t now = tcp_now(), pto, left;
	if ((early != 3 && early != 4) || !t->packets_out || !t->sack_ok ||
		(t->ca_state != TCP_CA_Open && t->ca_state != TCP_CA_CWR) ||
		t->state == TCP_SYN_RECV)
		return false;
	if (t->srtt_us) {
		pto = t->srtt_us >> 2; /* twice */
		/* The peer may wait with the ACK of one alone. */
		pto += t->packets_out == 1 ? tcp_rto_min_us(t) : TCP_TIMEOUT_MIN_US;
		pto *= 1000;
	} else {
		pto = TCP_TIMEOUT_INIT_NS;
	}
	left = advancing_rto ? t->rto : tcp_rto_left(t, now);
	if (left > 0)
		pto = MIN(pto, left);
	tcp_timer_set(t, TCP_TIMER_TLP, now + pto);
	return true;
}

/* The last packet again. */
static bool probe_tail(struct tcp_sock *t)
{
	uint32_t mss = tcp_sync_mss(t);
	struct tcp_seg *s = list_last(&t->rtxq, struct tcp_seg, node);
	if (s->packets > 1 && s->len > (s->packets - 1) * mss) {
		if (tcp_fragment(t, s, (s->packets - 1) * mss, mss))
			return false;
		s = list_last(&t->rtxq, struct tcp_seg, node);
	}
	if (send_again(t, s, 1))
		return false;
	t->tlp_retrans = true;
	return true;
}

void tcp_tlp_timer(struct tcp_sock *t)
{
	bool sent = false;
	if (list_empty(&t->rtxq))
		return;
	t->pending = TCP_TIMER_TLP; /* if nothing is sent RTO counts from when the head was */
	/* One at a time. */
	if (!t->tlp_high_seq) {
		t->tlp_retrans = false;
		sent = tcp_write_one(t) || probe_tail(t);
	}
	if (sent) {
		t->tlp_high_seq = t->snd_nxt;
		NET_INC(t->inet.sk.net, TcpExt_TCPLossProbes);
		t->pending = TCP_TIMER_NONE; /* RTO is from now on */
	}
	tcp_rearm_rto(t);
}

void tcp_process_tlp_ack(struct tcp_sock *t, struct tcp_ack *a)
{
	if (seq_before(a->ack, t->tlp_high_seq))
		return;
	if (!t->tlp_retrans || (a->flag & ACK_DSACK_TLP)) {
		/* It was new data, or both copies have arrived. */
		t->tlp_high_seq = 0;
	} else if (seq_after(a->ack, t->tlp_high_seq)) {
		/* One of the two was lost. */
		tcp_init_cwnd_reduction(t);
		tcp_set_ca_state(t, TCP_CA_CWR);
		tcp_end_cwnd_reduction(t);
		tcp_try_keep_open(t);
		NET_INC(t->inet.sk.net, TcpExt_TCPLossProbeRecovery);
	} else if (!(a->flag & (ACK_UNA_ADVANCED | ACK_NOT_DUP | ACK_DATA_SACKED))) {
		t->tlp_high_seq = 0;
	}
}
