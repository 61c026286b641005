/*
 * An acknowledgement comes in (RFC 9293, 3.10.7.4): what it does to the window, to the queue of
 * what is unacknowledged, to the round-trip time, and, by recovery.c and cc.c, to what may be sent.
 *
 * The order matters and is Linux': SACK marks first, then the cumulative part takes segments off,
 * then it is decided what is lost, then cwnd changes, and last retransmissions go out.
 */
#include "lib/log.h"
#include "sentry/net/tcp/ack.h"

/* --- the queue --- */

struct tcp_seg *rtx_find(const struct tcp_sock *t, uint32_t seq)
{
	struct rb_node *n = t->rtx_tree.node;
	struct tcp_seg *best = NULL;
	while (n) {
		struct tcp_seg *s = rb_entry(n, struct tcp_seg, rb);
		if (seq_after(s->end_seq, seq)) {
			best = s;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return best;
}

static void rtx_link(struct tcp_sock *t, struct tcp_seg *s)
{
	struct rb_node **link = &t->rtx_tree.node, *parent = NULL;
	while (*link) {
		parent = *link;
		link = seq_before(s->seq, rb_entry(parent, struct tcp_seg, rb)->seq)
			       ? &parent->left
			       : &parent->right;
	}
	rb_link(&s->rb, parent, link);
	rb_insert(&t->rtx_tree, &s->rb);
}

void rtx_unlink(struct tcp_sock *t, struct tcp_seg *s)
{
	if (t->retransmit_hint == s)
		t->retransmit_hint = NULL;
	rb_erase(&t->rtx_tree, &s->rb);
	list_del(&s->node);
	list_del(&s->tsorted);
}

void tcp_rtx_purged(struct tcp_sock *t)
{
	t->rtx_tree.node = NULL;
	t->retransmit_hint = NULL;
	t->packets_out = t->sacked_out = t->lost_out = t->retrans_out = 0;
}

void rtx_set_packets(struct tcp_sock *t, struct tcp_seg *s, uint32_t packets)
{
	uint32_t less = s->packets - packets; /* modulo 2^32: may be more */
	s->packets = packets;
	t->packets_out -= less;
	if (s->sacked & TCP_SACKED)
		t->sacked_out -= less;
	if (s->sacked & TCP_RETRANS)
		t->retrans_out -= less;
	if (s->sacked & TCP_LOST)
		t->lost_out -= less;
	/* Without SACK the duplicate ACKs were counted for larger ones. */
	if (tcp_is_reno(t) && (int32_t)less > 0 && t->sacked_out)
		t->sacked_out -= MIN(t->sacked_out, less);
}

void rtx_set_mss(struct tcp_sock *t, struct tcp_seg *s, uint32_t mss)
{
	s->mss = (uint16_t)mss;
	rtx_set_packets(t, s, tcp_packets(s->len, mss));
}

void rtx_cut(struct tcp_sock *t, struct tcp_seg *s)
{
	uint32_t n = MIN(t->snd_una - s->seq, s->len);
	s->seq += n;
	s->off += n;
	s->len -= n;
	WRITE_ONCE(t->queued, t->queued - n);
	tcp_mem_sync(t);
}

int tcp_fragment(struct tcp_sock *t, struct tcp_seg *s, uint32_t n, uint32_t mss)
{
	uint32_t old = s->packets;
	int ret = tcp_split(t, s, n, mss);
	if (ret)
		return ret;
	struct tcp_seg *rest = rtx_next(t, s);
	rtx_link(t, rest);
	/* As if s alone were what both are now, and then let the rest count on its own. */
	uint32_t both = s->packets + rest->packets, mine = s->packets;
	s->packets = old;
	rtx_set_packets(t, s, both);
	s->packets = mine;
	return 0;
}

/* --- something was sent --- */

void tcp_sent_new(struct tcp_sock *t, struct tcp_seg *s, int64_t now)
{
	uint32_t prior = t->packets_out;
	if (!tcp_in_flight(t))
		tcp_cc_event(t, TCP_CC_TX_START);
	list_del(&s->node);
	list_push_back(&t->rtxq, &s->node);
	list_push_back(&t->tsorted, &s->tsorted);
	rtx_link(t, s);
	s->sent = s->first_sent = now;
	tcp_rate_sent(t, s, now);
	t->snd_nxt = s->end_seq;
	t->packets_out += s->packets;
	if (tcp_in_cwnd_reduction(t))
		t->prr_out += s->packets;
	if (!prior || t->pending == TCP_TIMER_TLP)
		tcp_rearm_rto(t);
	tcp_schedule_loss_probe(t, false);
}

/* --- an ACK --- */

/* RFC 9293, 3.10.7.4: SND.WND from segments that are not older than the last. */
static void update_window(struct tcp_sock *t, struct tcp_ack *a)
{
	uint32_t seq = a->in->seq, win = a->in->window;
	if (!(a->in->flags & TH_SYN))
		win <<= t->snd_wscale;
	if (!seq_after(a->ack, t->snd_una) && !seq_after(seq, t->snd_wl1) &&
		!(seq == t->snd_wl1 && (win > t->snd_wnd || !win)))
		return;
	a->flag |= ACK_WIN_UPDATE;
	t->snd_wl1 = seq;
	if (t->snd_wnd == win)
		return;
	t->snd_wnd = win;
	if (!list_empty(&t->sendq))
		tcp_idle_check(t, a->now);
	if (win > t->max_window) {
		t->max_window = win;
		tcp_sync_mss(t);
	}
}

static void una_update(struct tcp_sock *t, uint32_t ack)
{
	t->bytes_acked += ack - t->snd_una;
	t->snd_una = ack;
}

static void count_delivered(struct tcp_sock *t, uint32_t n, bool ece)
{
	t->delivered += n;
	if (ece)
		t->delivered_ce += n;
}

/* The front of s is acknowledged, by whole packets; how many. */
static uint32_t trim(struct tcp_sock *t, struct tcp_seg *s)
{
	uint32_t before = s->packets;
	rtx_cut(t, s);
	s->packets = tcp_packets(s->len, s->mss);
	return before - s->packets;
}

/* What of the queue the ACK covers. */
struct cleaned {
	int64_t first_at, last_at; /* when what was sent once was sent; 0: none */
	uint32_t packets;
	bool whole; /* the last one was not cut in two */
};

/* n packets of s are acknowledged. */
static void segment_acked(struct tcp_sock *t, struct tcp_ack *a, struct tcp_seg *s, uint32_t seq,
	uint32_t n, struct cleaned *c)
{
	uint8_t sacked = s->sacked;
	if (sacked & (TCP_RETRANS | TCP_EVER_RETRANS)) {
		if (sacked & TCP_RETRANS)
			t->retrans_out -= n;
		a->flag |= ACK_RETRANS_ACKED;
	} else if (!(sacked & TCP_SACKED)) {
		c->last_at = s->sent;
		if (!c->first_at)
			c->first_at = s->sent;
		if (seq_before(seq, a->reord))
			a->reord = seq;
		if (!seq_after(s->end_seq, t->high_seq))
			a->flag |= ACK_ORIG_SACK_ACKED;
	}
	if (sacked & TCP_SACKED) {
		t->sacked_out -= n;
	} else if (!tcp_is_reno(t)) {
		count_delivered(t, n, a->flag & ACK_ECE);
		/* The echo of an older stamp: it is the first copy that arrived. */
		if (!(sacked & (TCP_RETRANS | TCP_EVER_RETRANS)) ||
			!tcp_ecr_before(a, tcp_ts(s->sent)))
			tcp_rack_advance(t, sacked, s->end_seq, s->sent, a->now);
	}
	if (sacked & TCP_LOST)
		t->lost_out -= n;
	t->packets_out -= n;
	c->packets += n;
	tcp_rate_delivered(t, s, &a->rate);
	if (s->flags & TH_SYN) {
		a->flag |= ACK_SYN_ACKED;
		t->retrans_stamp = 0;
	} else {
		a->flag |= ACK_DATA_ACKED;
	}
}

static void clean_queue(struct tcp_sock *t, struct tcp_ack *a, struct cleaned *c)
{
	struct tcp_seg *s;
	c->whole = true;
	a->reord = t->snd_nxt;
	while ((s = rtx_first(t))) {
		uint32_t seq = s->seq, n = s->packets;
		if (seq_after(s->end_seq, t->snd_una)) {
			if (n == 1 || !seq_after(t->snd_una, seq) || t->snd_una - seq >= s->len)
				break;
			n = trim(t, s);
			if (!n)
				break;
			c->whole = false;
		}
		segment_acked(t, a, s, seq, n, c);
		if (!c->whole)
			break;
		rtx_unlink(t, s);
		tcp_seg_free(t, s);
	}
	if (s && (s->sacked & TCP_SACKED))
		a->flag |= ACK_RENEGING;
}

static void measure(struct tcp_sock *t, struct tcp_ack *a, const struct cleaned *c)
{
	int64_t seq_us = -1, ca_us = -1, sack_us = -1;
	if (c->first_at && !(a->flag & ACK_RETRANS_ACKED)) {
		seq_us = us_since(a->now, c->first_at);
		ca_us = us_since(a->now, c->last_at);
		if (c->packets == 1 && c->whole && !a->prior_sacked &&
			t->snd_una - a->prior_una < t->mss &&
			a->rate.prior_delivered + 1 == t->delivered &&
			!(a->flag & (ACK_ALERT | ACK_SYN_ACKED)))
			a->flag |= ACK_MAYBE_DELAYED;
	}
	if (a->first_sackt) {
		sack_us = us_since(a->now, a->first_sackt);
		ca_us = us_since(a->now, a->last_sackt);
	}
	bool updated = tcp_ack_rtt(t, a, seq_us, sack_us, ca_us);
	if (a->flag & ACK_ACKED) {
		a->flag |= ACK_SET_TIMER;
		return;
	}
	/* RTO is not put off for what was sent before the head was sent last. */
	struct tcp_seg *head = rtx_first(t);
	if (head && updated && sack_us >= 0 && sack_us > us_since(a->now, head->sent))
		a->flag |= ACK_SET_TIMER;
}

/* Takes off the queue what is acknowledged (Linux: tcp_clean_rtx_queue). */
static void clean(struct tcp_sock *t, struct tcp_ack *a)
{
	struct cleaned c = {0};
	clean_queue(t, a, &c);
	if (t->urg_out && !seq_after(t->snd_up, t->snd_una))
		t->urg_out = false;
	measure(t, a, &c);
	if (a->flag & ACK_ACKED) {
		tcp_mtup_acked(t);
		if (tcp_is_reno(t)) {
			tcp_remove_reno_sacks(t, c.packets, a->flag & ACK_ECE);
			if (a->flag & ACK_RETRANS_ACKED)
				a->flag &= ~ACK_ORIG_SACK_ACKED;
		} else if (seq_before(a->reord, a->prior_fack)) {
			/* A hole was filled that was not retransmitted. */
			tcp_check_sack_reordering(t, a->reord, false);
		}
	}
	const struct tcp_cc_ops *ops = tcp_cc_ops(t);
	if (ops->pkts_acked)
		ops->pkts_acked(t, c.packets, a->rate.rtt_us,
			t->delivered - a->rate.prior_delivered);
}

static void set_timer(struct tcp_sock *t)
{
	if (!tcp_schedule_loss_probe(t, true))
		tcp_rearm_rto(t);
}

static bool is_dubious(const struct tcp_sock *t, const struct tcp_ack *a)
{
	return !(a->flag & ACK_NOT_DUP) || (a->flag & ACK_ALERT) || t->ca_state != TCP_CA_Open;
}

static void cong_control(struct tcp_sock *t, struct tcp_ack *a, uint32_t delivered, uint32_t lost)
{
	const struct tcp_cc_ops *ops = tcp_cc_ops(t);
	if (ops->cong_control) {
		ops->cong_control(t, a);
		return;
	}
	bool strong = t->reordering > (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_reordering);
	if (tcp_in_cwnd_reduction(t)) {
		tcp_cwnd_reduction(t, delivered, lost, a->flag);
	} else if (a->flag & (strong ? ACK_FORWARD_PROGRESS : ACK_DATA_ACKED)) {
		ops->cong_avoid(t, a->ack, delivered);
		t->cwnd_stamp = a->now;
	}
	tcp_update_pacing(t);
}

static void xmit_recovery(struct tcp_sock *t, const struct tcp_ack *a)
{
	if (a->rexmit == TCP_REXMIT_NONE || t->state == TCP_SYN_SENT)
		return;
	if (a->rexmit == TCP_REXMIT_NEW) {
		tcp_write_xmit(t, true);
		if (seq_after(t->snd_nxt, t->high_seq))
			return;
		t->frto = false;
	}
	tcp_retransmit_queue(t);
}

static uint32_t newly_delivered(struct tcp_sock *t, const struct tcp_ack *a)
{
	uint32_t n = t->delivered - a->prior_delivered;
	NET_ADD(t->inet.sk.net, TcpExt_TCPDelivered, n);
	if (a->flag & ACK_ECE)
		NET_ADD(t->inet.sk.net, TcpExt_TCPDeliveredCE, n);
	return n;
}

/* Nothing was in flight: the window may have opened (RFC 9293, 3.8.6.1). */
static void ack_nothing(struct tcp_sock *t, struct tcp_ack *a)
{
	if (a->flag & ACK_DSACKING) {
		tcp_fastretrans_alert(t, a);
		newly_delivered(t, a);
	}
	struct tcp_seg *head = list_first(&t->sendq, struct tcp_seg, node);
	if (head && !seq_after(head->end_seq, tcp_wnd_end(t))) {
		t->backoff = 0;
		if (t->pending == TCP_TIMER_PERSIST)
			tcp_timer_clear(t);
	} else if (head) {
		tcp_persist_arm(t);
	}
	if (t->tlp_high_seq)
		tcp_process_tlp_ack(t, a);
}

static void ack_queue(struct tcp_sock *t, struct tcp_ack *a)
{
	bool reneg = t->sack_reneg;
	clean(t, a);
	tcp_rack_update_reo_wnd(t, &a->rate);
	if (t->tlp_high_seq)
		tcp_process_tlp_ack(t, a);
	if (is_dubious(t, a)) {
		if (!(a->flag & (ACK_UNA_ADVANCED | ACK_NOT_DUP | ACK_DSACKING)))
			a->dupacks = 1;
		tcp_fastretrans_alert(t, a);
	}
	if (a->flag & ACK_SET_TIMER)
		set_timer(t);
	uint32_t delivered = newly_delivered(t, a), lost = t->lost - a->prior_lost;
	a->rate.is_ack_delayed = a->flag & ACK_MAYBE_DELAYED;
	tcp_rate_gen(t, a, delivered, lost, reneg);
	cong_control(t, a, delivered, lost);
	xmit_recovery(t, a);
}

/* Older than the last: SACK and DSACK in it may still tell something. */
static void ack_old(struct tcp_sock *t, struct tcp_ack *a)
{
	if (!a->o->nsack || tcp_is_reno(t))
		return;
	tcp_sacktag(t, a);
	tcp_fastretrans_alert(t, a);
	newly_delivered(t, a);
	xmit_recovery(t, a);
}

bool tcp_ack(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in, const struct tcp_opts *o)
{
	struct tcp_ack a = {.p = p,
		.in = in,
		.o = o,
		.now = tcp_now(),
		.ack = in->ack,
		.prior_una = t->snd_una,
		.prior_packets = t->packets_out,
		.prior_sacked = t->sacked_out,
		.prior_delivered = t->delivered,
		.prior_lost = t->lost,
		.prior_fack = tcp_is_reno(t) ? t->snd_una : tcp_highest_sack(t)};
	a.reord = t->snd_nxt;
	a.rate.rtt_us = -1;
	a.rate.prior_in_flight = tcp_in_flight(t);
	if (seq_before(a.ack, t->snd_una)) {
		ack_old(t, &a);
		return false;
	}
	if (seq_after(a.ack, t->snd_una)) {
		a.flag |= ACK_UNA_ADVANCED;
		t->retransmits = 0;
	}
	if (in->end_seq != in->seq)
		a.flag |= ACK_DATA;
	else
		NET_INC(t->inet.sk.net, TcpExt_TCPPureAcks);
	update_window(t, &a);
	una_update(t, a.ack);
	if (o->nsack && !tcp_is_reno(t))
		tcp_sacktag(t, &a);
	if (t->ecn_ok && (in->flags & (TH_SYN | TH_ECE)) == TH_ECE)
		a.flag |= ACK_ECE;
	t->probes_out = 0;
	t->last_ack = a.now;
	if (a.prior_packets)
		ack_queue(t, &a);
	else
		ack_nothing(t, &a);
	return a.flag & ACK_UNA_ADVANCED;
}

void tcp_ack_syn(struct tcp_sock *t, uint32_t ack, const struct tcp_opts *o)
{
	struct tcp_ack a = {.o = o,
		.now = tcp_now(),
		.flag = ACK_UNA_ADVANCED,
		.ack = ack,
		.prior_una = t->snd_una,
		.prior_packets = t->packets_out,
		.prior_delivered = t->delivered,
		.prior_lost = t->lost,
		.prior_fack = t->snd_una};
	struct cleaned c = {0};
	a.rate.rtt_us = -1;
	t->bytes_acked += ack - t->snd_una; /* the SYN counts, as on Linux */
	t->snd_una = ack;
	t->retransmits = 0;
	clean_queue(t, &a, &c);
	measure(t, &a, &c);
	newly_delivered(t, &a);
	tcp_rearm_rto(t);
}
