/*
 * The states of loss recovery, as Linux has them:
 *
 *	Open       nothing is wrong
 *	Disorder   duplicate ACKs or SACKs, nothing lost yet; the window does not grow
 *	CWR        the window shrinks, by ECN or a loss probe, with nothing retransmitted
 *	Recovery   fast retransmit; the window shrinks by PRR (RFC 6937bis)
 *	Loss       after a time-out; slow start anew.  F-RTO (RFC 5682) finds out whether it was one
 *
 * CWR, Recovery and Loss end when all is acknowledged that had been sent when they began
 *(high_seq). What was reduced is undone if it turns out that nothing was lost: by timestamps
 *(Eifel, RFC 3522), by DSACKs of all that was retransmitted (undo_retrans), or by F-RTO.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

void tcp_set_ca_state(struct tcp_sock *t, uint8_t state)
{
	if (tcp_cc_ops(t)->set_state)
		tcp_cc_ops(t)->set_state(t, state);
	t->ca_state = state;
}

uint32_t tcp_current_ssthresh(const struct tcp_sock *t)
{
	if (tcp_in_cwnd_reduction(t))
		return t->ssthresh;
	return MAX(t->ssthresh, (t->cwnd >> 1) + (t->cwnd >> 2));
}

bool tcp_any_retrans_done(const struct tcp_sock *t)
{
	struct tcp_seg *head = rtx_first(t);
	return t->retrans_out || (head && (head->sacked & TCP_EVER_RETRANS));
}

static void queue_cwr(struct tcp_sock *t)
{
	if (t->ecn_ok)
		t->ecn_cwr_pending = true;
}

/* --- NewReno: duplicate ACKs stand for SACKs --- */

/* At least one packet is the hole.  True: there were more duplicates than can be. */
static bool limit_reno_sacked(struct tcp_sock *t)
{
	uint32_t holes = MIN(MAX(t->lost_out, 1u), t->packets_out);
	if (t->sacked_out + holes <= t->packets_out)
		return false;
	t->sacked_out = t->packets_out - holes;
	return true;
}

static void check_reno_reordering(struct tcp_sock *t, uint32_t addend)
{
	if (!limit_reno_sacked(t))
		return;
	t->reordering = MIN(t->packets_out + addend,
		(uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_max_reordering));
	t->reord_seen++;
	NET_INC(t->inet.sk.net, TcpExt_TCPRenoReorder);
}

static void add_reno_sack(struct tcp_sock *t, const struct tcp_ack *a)
{
	uint32_t prior = t->sacked_out;
	if (!a->dupacks)
		return;
	t->sacked_out += a->dupacks;
	check_reno_reordering(t, 0);
	if (t->sacked_out > prior) {
		t->delivered += t->sacked_out - prior;
		if (a->flag & ACK_ECE)
			t->delivered_ce += t->sacked_out - prior;
	}
}

void tcp_remove_reno_sacks(struct tcp_sock *t, uint32_t acked, bool ece)
{
	if (acked) {
		/* One filled the hole, the others had their duplicate ACKs. */
		uint32_t n = acked > t->sacked_out ? MAX(acked - t->sacked_out, 1u) : 1;
		t->delivered += n;
		if (ece)
			t->delivered_ce += n;
		t->sacked_out -= MIN(acked - 1, t->sacked_out);
	}
	check_reno_reordering(t, acked);
}

void tcp_reset_reno_sack(struct tcp_sock *t)
{
	t->sacked_out = 0;
}

/* --- the window shrinks --- */

static void init_undo(struct tcp_sock *t)
{
	t->undo_marker = t->snd_una;
	t->undo_retrans = (int32_t)t->retrans_out;
	if (t->tlp_high_seq && t->tlp_retrans)
		t->undo_retrans++;
	if (!t->undo_retrans)
		t->undo_retrans = -1;
}

void tcp_init_cwnd_reduction(struct tcp_sock *t)
{
	t->high_seq = t->snd_nxt;
	t->tlp_high_seq = 0;
	t->cwnd_cnt = 0;
	t->prior_cwnd = t->cwnd;
	t->prr_delivered = t->prr_out = 0;
	t->ssthresh = tcp_cc_ops(t)->ssthresh(t);
	queue_cwr(t);
}

/* RFC 6937bis: what leaves the network is replaced in proportion, and in slow start if less than
 * ssthresh is in flight. */
void tcp_cwnd_reduction(struct tcp_sock *t, uint32_t delivered, uint32_t lost, uint32_t flag)
{
	int64_t delta = (int64_t)t->ssthresh - tcp_in_flight(t), n;
	if (!delivered || !t->prior_cwnd)
		return;
	t->prr_delivered += delivered;
	if (delta < 0) {
		uint64_t dividend = (uint64_t)t->ssthresh * t->prr_delivered + t->prior_cwnd - 1;
		n = (int64_t)(dividend / t->prior_cwnd) - t->prr_out;
	} else {
		n = MAX((int64_t)t->prr_delivered - t->prr_out, (int64_t)delivered);
		if ((flag & ACK_UNA_ADVANCED) && !lost)
			n++;
		n = MIN(delta, n);
	}
	/* The first retransmission goes at once. */
	n = MAX(n, (int64_t)(t->prr_out ? 0 : 1));
	t->cwnd = (uint32_t)MAX((int64_t)tcp_in_flight(t) + n, (int64_t)1);
}

void tcp_end_cwnd_reduction(struct tcp_sock *t)
{
	if (tcp_cc_ops(t)->cong_control)
		return;
	if (t->ssthresh < TCP_SSTHRESH_MAX && (t->ca_state == TCP_CA_CWR || t->undo_marker)) {
		t->cwnd = t->ssthresh;
		t->cwnd_stamp = tcp_now();
	}
	tcp_cc_event(t, TCP_CC_COMPLETE_CWR);
}

void tcp_enter_cwr(struct tcp_sock *t)
{
	t->prior_ssthresh = 0;
	if (t->ca_state < TCP_CA_CWR) {
		t->undo_marker = 0;
		tcp_init_cwnd_reduction(t);
		tcp_set_ca_state(t, TCP_CA_CWR);
	}
}

void tcp_enter_recovery(struct tcp_sock *t, bool ece)
{
	if (!tcp_any_retrans_done(t))
		t->retrans_stamp = 0;
	if (tcp_is_reno(t))
		NET_INC(t->inet.sk.net, TcpExt_TCPRenoRecovery);
	else
		NET_INC(t->inet.sk.net, TcpExt_TCPSackRecovery);
	t->prior_ssthresh = 0;
	init_undo(t);
	if (!tcp_in_cwnd_reduction(t)) {
		if (!ece)
			t->prior_ssthresh = tcp_current_ssthresh(t);
		tcp_init_cwnd_reduction(t);
	}
	tcp_set_ca_state(t, TCP_CA_Recovery);
}

/* All is lost but what was sent within the last RTT; SACKs that turn out to be taken back are
 * forgotten (RFC 2018, 8). */
static void timeout_mark_lost(struct tcp_sock *t, int64_t now)
{
	struct tcp_seg *head = rtx_first(t), *s;
	bool reneg = head && (head->sacked & TCP_SACKED);
	if (reneg) {
		NET_INC(t->inet.sk.net, TcpExt_TCPSACKReneging);
		t->sacked_out = 0;
		t->sack_reneg = true;
	} else if (tcp_is_reno(t)) {
		tcp_reset_reno_sack(t);
	}
	for (s = head; s; s = rtx_next(t, s)) {
		if (reneg)
			s->sacked &= (uint8_t)~TCP_SACKED;
		else if (s != head && tcp_rack_remaining(t, s, 0, now) > 0)
			continue;
		tcp_mark_lost(t, s);
	}
	t->retransmit_hint = NULL;
}

void tcp_enter_loss(struct tcp_sock *t, int64_t now)
{
	const struct net_ctl *ctl = &t->inet.sk.net->ctl;
	bool new_recovery = t->ca_state < TCP_CA_Recovery;
	uint32_t reordering = (uint32_t)READ_ONCE(ctl->tcp_reordering);
	timeout_mark_lost(t, now);
	/* Once for what was sent before. */
	if (t->ca_state <= TCP_CA_Disorder || !seq_after(t->high_seq, t->snd_una) ||
		(t->ca_state == TCP_CA_Loss && !t->retransmits)) {
		t->prior_ssthresh = tcp_current_ssthresh(t);
		t->prior_cwnd = t->cwnd;
		t->ssthresh = tcp_cc_ops(t)->ssthresh(t);
		tcp_cc_event(t, TCP_CC_LOSS);
		init_undo(t);
	}
	t->cwnd = tcp_in_flight(t) + 1;
	t->cwnd_cnt = 0;
	t->cwnd_stamp = now;
	/* Many duplicates, and yet a time-out: reordering is overestimated. */
	if (t->ca_state <= TCP_CA_Disorder && t->sacked_out >= reordering)
		t->reordering = MIN(t->reordering, reordering);
	tcp_set_ca_state(t, TCP_CA_Loss);
	t->high_seq = t->snd_nxt;
	t->tlp_high_seq = 0;
	queue_cwr(t);
	t->frto =
		READ_ONCE(ctl->tcp_frto) && (new_recovery || t->retransmits) && !t->mtup.probe_size;
}

/* --- it was not lost --- */

/* Was what was acknowledged the first copy (RFC 3522)? */
static bool packet_delayed(const struct tcp_sock *t, const struct tcp_ack *a)
{
	if (t->retrans_stamp)
		return tcp_ecr_before(a, tcp_ts(t->retrans_stamp));
	/* Nothing was retransmitted yet; but there are cases where the stamp was cleared. */
	return t->state != TCP_SYN_SENT &&
	       !(tcp_is_reno(t) && !seq_before(t->snd_una, t->high_seq));
}

static bool may_undo(const struct tcp_sock *t, const struct tcp_ack *a)
{
	return t->undo_marker && (!t->undo_retrans || packet_delayed(t, a));
}

static void undo(struct tcp_sock *t, bool unmark)
{
	struct tcp_seg *s;
	if (unmark) {
		list_for_each(s, &t->rtxq, node)
			s->sacked &= (uint8_t)~TCP_LOST;
		t->lost_out = 0;
		t->retransmit_hint = NULL;
	}
	if (t->prior_ssthresh) {
		t->cwnd = tcp_cc_ops(t)->undo_cwnd(t);
		if (t->prior_ssthresh > t->ssthresh) {
			t->ssthresh = t->prior_ssthresh;
			t->ecn_cwr_pending = false;
		}
	}
	t->cwnd_stamp = tcp_now();
	t->undo_marker = 0;
	t->rack.advanced = true; /* look again what is lost */
}

/* NewReno must not leave recovery before something above high_seq is acknowledged: duplicate ACKs
 * of retransmissions would begin another one (RFC 6582, 4). */
static bool reno_stays(struct tcp_sock *t)
{
	if (t->snd_una != t->high_seq || !tcp_is_reno(t))
		return false;
	if (!tcp_any_retrans_done(t))
		t->retrans_stamp = 0;
	return true;
}

/* All of what recovery began with is acknowledged.  True: stay in it. */
static bool try_undo_recovery(struct tcp_sock *t, const struct tcp_ack *a)
{
	if (may_undo(t, a)) {
		undo(t, false);
		if (t->ca_state == TCP_CA_Loss)
			NET_INC(t->inet.sk.net, TcpExt_TCPLossUndo);
		else
			NET_INC(t->inet.sk.net, TcpExt_TCPFullUndo);
	} else if (t->rack.reo_wnd_persist) {
		t->rack.reo_wnd_persist--;
	}
	if (reno_stays(t))
		return true;
	tcp_set_ca_state(t, TCP_CA_Open);
	t->sack_reneg = false;
	return false;
}

static bool try_undo_dsack(struct tcp_sock *t)
{
	if (!t->undo_marker || t->undo_retrans)
		return false;
	t->rack.reo_wnd_persist =
		(uint8_t)MIN(TCP_RACK_RECOVERY_THRESH, t->rack.reo_wnd_persist + 1);
	NET_INC(t->inet.sk.net, TcpExt_TCPDSACKUndo);
	undo(t, false);
	return true;
}

static bool try_undo_loss(struct tcp_sock *t, const struct tcp_ack *a, bool frto)
{
	if (!frto && !may_undo(t, a))
		return false;
	undo(t, true);
	NET_INC(t->inet.sk.net, TcpExt_TCPLossUndo);
	if (frto)
		NET_INC(t->inet.sk.net, TcpExt_TCPSpuriousRTOs);
	t->retransmits = 0;
	if (reno_stays(t))
		return true;
	if (frto || !tcp_is_reno(t)) {
		tcp_set_ca_state(t, TCP_CA_Open);
		t->sack_reneg = false;
	}
	return true;
}

/* A part of the hole was filled in recovery.  True: nothing more is to be done. */
static bool try_undo_partial(struct tcp_sock *t, const struct tcp_ack *a)
{
	if (!t->undo_marker || !packet_delayed(t, a))
		return false;
	tcp_check_sack_reordering(t, a->prior_una, true);
	if (t->retrans_out)
		return true;
	if (!tcp_any_retrans_done(t))
		t->retrans_stamp = 0;
	undo(t, true);
	NET_INC(t->inet.sk.net, TcpExt_TCPPartialUndo);
	tcp_try_keep_open(t);
	return false;
}

/* --- states --- */

void tcp_try_keep_open(struct tcp_sock *t)
{
	uint8_t state = t->sacked_out + t->lost_out || tcp_any_retrans_done(t) ? TCP_CA_Disorder
									       : TCP_CA_Open;
	if (t->ca_state != state) {
		tcp_set_ca_state(t, state);
		t->high_seq = t->snd_nxt;
	}
}

static void try_to_open(struct tcp_sock *t, const struct tcp_ack *a)
{
	if (!tcp_any_retrans_done(t))
		t->retrans_stamp = 0;
	if (a->flag & ACK_ECE)
		tcp_enter_cwr(t);
	if (t->ca_state != TCP_CA_CWR)
		tcp_try_keep_open(t);
}

static bool time_to_recover(const struct tcp_sock *t)
{
	return t->lost_out || (!tcp_is_rack(t) && t->sacked_out + 1 > t->reordering);
}

static void identify_loss(struct tcp_sock *t, struct tcp_ack *a)
{
	if (!rtx_first(t))
		return;
	if (tcp_is_reno(t)) {
		tcp_newreno_mark_lost(t, a->flag & ACK_UNA_ADVANCED);
	} else if (tcp_is_rack(t)) {
		uint32_t prior = t->retrans_out;
		if (tcp_rack_mark_lost(t, a->now))
			a->flag &= ~ACK_SET_TIMER;
		if (prior > t->retrans_out)
			a->flag |= ACK_LOST_RETRANS;
	}
}

/* RFC 6675, with tcp_recovery 0: lost is what has more than reordering SACKed packets above it;
 * first: in any case the head. */
static void update_scoreboard(struct tcp_sock *t, bool first)
{
	struct tcp_seg *head = rtx_first(t);
	uint32_t above = t->sacked_out;
	for (struct tcp_seg *s = head; s; s = rtx_next(t, s)) {
		if (s->sacked & TCP_SACKED) {
			above -= s->packets;
			continue;
		}
		if (above < t->reordering && !(first && s == head))
			break;
		if (!(s->sacked & TCP_LOST))
			tcp_mark_lost(t, s);
	}
}

/* What was SACKed is not acknowledged with the rest: wait a moment, then it is gone (RFC 2018, 8).
 */
static bool check_reneging(struct tcp_sock *t, struct tcp_ack *a)
{
	if (!(a->flag & ACK_RENEGING) || !(a->flag & ACK_UNA_ADVANCED))
		return false;
	int64_t delay = MAX((int64_t)(t->srtt_us >> 4) * 1000, 10 * (int64_t)1000000);
	tcp_timer_set(t, TCP_TIMER_RTO, a->now + delay);
	a->flag &= ~ACK_SET_TIMER;
	return true;
}

/* Is this the end of the state that we are in?  True: stay as we are. */
static bool leave_state(struct tcp_sock *t, const struct tcp_ack *a)
{
	if (t->ca_state == TCP_CA_Open) {
		t->retrans_stamp = 0;
		return false;
	}
	if (seq_before(t->snd_una, t->high_seq))
		return false;
	if (t->ca_state == TCP_CA_CWR) {
		/* The peer has to see CWR, which is in what was sent after. */
		if (t->snd_una != t->high_seq) {
			tcp_end_cwnd_reduction(t);
			tcp_set_ca_state(t, TCP_CA_Open);
		}
	} else if (t->ca_state == TCP_CA_Recovery) {
		if (tcp_is_reno(t))
			tcp_reset_reno_sack(t);
		if (try_undo_recovery(t, a))
			return true;
		tcp_end_cwnd_reduction(t);
	}
	return false;
}

/* RFC 5682, 3.1.  True: decided for this ACK. */
static bool frto(struct tcp_sock *t, struct tcp_ack *a, bool recovered)
{
	/* What was never retransmitted has arrived: the time-out came too early. */
	if ((a->flag & ACK_ORIG_SACK_ACKED) && try_undo_loss(t, a, true))
		return true;
	if (seq_after(t->snd_nxt, t->high_seq)) {
		if ((a->flag & ACK_DATA_SACKED) || a->dupacks)
			t->frto = false; /* the loss was real */
	} else if ((a->flag & ACK_UNA_ADVANCED) && !recovered) {
		t->high_seq = t->snd_nxt;
		/* Try new data, and see what is acknowledged. */
		if (!list_empty(&t->sendq) && seq_after(tcp_wnd_end(t), t->snd_nxt)) {
			a->rexmit = TCP_REXMIT_NEW;
			return true;
		}
		t->frto = false;
	}
	return false;
}

static void process_loss(struct tcp_sock *t, struct tcp_ack *a)
{
	bool recovered = !seq_before(t->snd_una, t->high_seq);
	if ((a->flag & ACK_UNA_ADVANCED) && try_undo_loss(t, a, false))
		return;
	if (t->frto && frto(t, a, recovered))
		return;
	if (recovered) {
		try_undo_recovery(t, a);
		return;
	}
	if (tcp_is_reno(t)) {
		/* Duplicates are of the new data that F-RTO tried. */
		if (seq_after(t->snd_nxt, t->high_seq))
			add_reno_sack(t, a);
		else if (a->flag & ACK_UNA_ADVANCED)
			tcp_reset_reno_sack(t);
	}
	a->rexmit = TCP_REXMIT_LOST;
}

/* In Recovery.  False: done with this ACK. */
static bool in_recovery(struct tcp_sock *t, struct tcp_ack *a)
{
	if (!(a->flag & ACK_UNA_ADVANCED)) {
		if (tcp_is_reno(t))
			add_reno_sack(t, a);
	} else if (try_undo_partial(t, a)) {
		return false;
	}
	if (try_undo_dsack(t))
		try_to_open(t, a);
	identify_loss(t, a);
	if (t->ca_state != TCP_CA_Recovery) {
		if (!time_to_recover(t))
			return false;
		/* Undone, but something else is lost. */
		tcp_enter_recovery(t, a->flag & ACK_ECE);
	}
	return true;
}

/* In Open, Disorder, CWR, or a Loss that was undone.  False: done with this ACK. */
static bool before_recovery(struct tcp_sock *t, struct tcp_ack *a)
{
	if (tcp_is_reno(t)) {
		if (a->flag & ACK_UNA_ADVANCED)
			tcp_reset_reno_sack(t);
		add_reno_sack(t, a);
	}
	if (t->ca_state <= TCP_CA_Disorder)
		try_undo_dsack(t);
	identify_loss(t, a);
	if (!time_to_recover(t)) {
		try_to_open(t, a);
		return false;
	}
	if (t->ca_state < TCP_CA_CWR && tcp_mtup_lost(t))
		return false;
	tcp_enter_recovery(t, a->flag & ACK_ECE);
	return true;
}

/* Something about this ACK is not as usual (Linux: tcp_fastretrans_alert). */
void tcp_fastretrans_alert(struct tcp_sock *t, struct tcp_ack *a)
{
	bool first = false;
	if (!t->packets_out)
		t->sacked_out = 0;
	if (a->flag & ACK_ECE)
		t->prior_ssthresh = 0; /* no undoing */
	if (check_reneging(t, a) || leave_state(t, a))
		return;
	if (t->ca_state == TCP_CA_Recovery) {
		if (!in_recovery(t, a))
			return;
	} else {
		if (t->ca_state == TCP_CA_Loss) {
			process_loss(t, a);
			identify_loss(t, a);
			if (t->ca_state != TCP_CA_Open && !(a->flag & ACK_LOST_RETRANS))
				return;
		}
		if (!before_recovery(t, a))
			return;
		first = true;
	}
	if (!tcp_is_rack(t) && !tcp_is_reno(t))
		update_scoreboard(t, first);
	a->rexmit = TCP_REXMIT_LOST;
}

void tcp_simple_retransmit(struct tcp_sock *t)
{
	struct tcp_seg *s;
	list_for_each(s, &t->rtxq, node)
		if (MIN(s->len, (uint32_t)s->mss) > t->mss)
			tcp_mark_lost(t, s);
	if (!t->lost_out)
		return;
	if (tcp_is_reno(t))
		limit_reno_sacked(t);
	/* Nothing was lost by congestion: the window stays, in bytes. */
	if (t->ca_state != TCP_CA_Loss) {
		t->high_seq = t->snd_nxt;
		t->ssthresh = tcp_current_ssthresh(t);
		t->prior_ssthresh = 0;
		t->undo_marker = 0;
		tcp_set_ca_state(t, TCP_CA_Loss);
	}
	tcp_retransmit_queue(t);
}
