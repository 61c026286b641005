/*
 * Private to what works on acknowledgements (ack.c, sack.c, rack.c, recovery.c, retransmit.c,
 *rate.c, mtup.c, rtt.c): an ACK on its way through them.
 *
 * The names of states, flags and steps are those of Linux' tcp_input.c, whose behaviour this is;
 * counters (packets_out ...) are in packets of MSS:
 *
 *	in flight = packets_out - (sacked_out + lost_out) + retrans_out
 *
 * Without SACK sacked_out counts duplicate ACKs (NewReno, RFC 6582).
 */
#ifndef SENTRY_NET_TCP_ACK_H
#define SENTRY_NET_TCP_ACK_H

#include "sentry/net/tcp/tcp_priv.h"

#define ACK_DATA 1u              /* the segment has data */
#define ACK_WIN_UPDATE 2u        /* told of a window */
#define ACK_DATA_ACKED 4u        /* acknowledged data, */
#define ACK_SYN_ACKED 8u         /* SYN, */
#define ACK_RETRANS_ACKED 16u    /* data of which some was retransmitted */
#define ACK_DATA_SACKED 32u      /* new SACK information */
#define ACK_ECE 64u              /* ECN: the network is congested (RFC 3168) */
#define ACK_LOST_RETRANS 128u    /* a retransmission is lost */
#define ACK_ORIG_SACK_ACKED 256u /* (S)ACKed what was sent once, before the timeout (F-RTO) */
#define ACK_UNA_ADVANCED 512u
#define ACK_DSACKING 1024u       /* DSACK of something that we did retransmit (RFC 2883) */
#define ACK_DSACK_TLP 2048u      /* DSACK of a loss probe */
#define ACK_SET_TIMER 4096u      /* RTO or TLP is to be set anew */
#define ACK_RENEGING 8192u       /* what was SACKed is the first that is not acknowledged */
#define ACK_MAYBE_DELAYED 16384u /* one segment alone: the peer may have waited with it */

#define ACK_ACKED (ACK_DATA_ACKED | ACK_SYN_ACKED)
#define ACK_NOT_DUP (ACK_DATA | ACK_WIN_UPDATE | ACK_ACKED)
#define ACK_ALERT (ACK_DATA_SACKED | ACK_ECE | ACK_DSACKING)
#define ACK_FORWARD_PROGRESS (ACK_ACKED | ACK_DATA_SACKED)

enum tcp_rexmit { TCP_REXMIT_NONE, TCP_REXMIT_LOST, TCP_REXMIT_NEW };

struct tcp_ack {
	struct pkt *p;
	const struct tcp_in *in;
	const struct tcp_opts *o;
	int64_t now;
	uint32_t flag; /* ACK_* */
	uint32_t ack, prior_una, prior_fack, prior_packets, prior_sacked, prior_delivered,
		prior_lost;
	uint32_t dupacks;
	uint32_t reord;                  /* the lowest sequence that came out of order */
	int64_t first_sackt, last_sackt; /* when what is newly SACKed was sent; 0: none */
	enum tcp_rexmit rexmit;
	struct tcp_rate_sample rate;
};

#define TCP_RTO_MAX_NS (120 * NSEC_PER_SEC)
#define TCP_RTO_MIN_US 200000u
#define TCP_TIMEOUT_INIT_NS NSEC_PER_SEC
#define TCP_TIMEOUT_MIN_US 2000
#define TCP_RACK_RECOVERY_THRESH 16
#define TCP_INIT_CWND 10u

/* --- the queue --- */
static inline struct tcp_seg *rtx_first(const struct tcp_sock *t)
{
	return list_first(&t->rtxq, struct tcp_seg, node);
}
static inline struct tcp_seg *rtx_next(const struct tcp_sock *t, const struct tcp_seg *s)
{
	return s->node.next == &t->rtxq ? NULL : list_entry(s->node.next, struct tcp_seg, node);
}
/* The first one that ends behind seq. */
struct tcp_seg *rtx_find(const struct tcp_sock *t, uint32_t seq);
void rtx_unlink(struct tcp_sock *t, struct tcp_seg *s); /* off all lists, hints too */
/* Takes off its front, which is acknowledged; packets is the caller's. */
void rtx_cut(struct tcp_sock *t, struct tcp_seg *s);
/* s counts as packets from now on. */
void rtx_set_packets(struct tcp_sock *t, struct tcp_seg *s, uint32_t packets);
/* Sets its gso size, and how many packets it is with that. */
void rtx_set_mss(struct tcp_sock *t, struct tcp_seg *s, uint32_t mss);

/* Was the one at (at1, end1) sent later than the other? */
static inline bool tcp_sent_after(int64_t at1, int64_t at2, uint32_t end1, uint32_t end2)
{
	return at1 > at2 || (at1 == at2 && seq_after(end1, end2));
}
static inline bool tcp_is_reno(const struct tcp_sock *t)
{
	return !t->sack_ok;
}
static inline bool tcp_is_rack(const struct tcp_sock *t)
{
	return READ_ONCE(t->inet.sk.net->ctl.tcp_recovery) & 1;
}
static inline uint32_t tcp_wnd_end(const struct tcp_sock *t)
{
	return t->snd_una + t->snd_wnd;
}
/* End of the highest that was SACKed; snd_una if there is none. */
static inline uint32_t tcp_highest_sack(const struct tcp_sock *t)
{
	return t->sacked_out ? t->highest_sack : t->snd_una;
}
static inline bool tcp_in_slow_start(const struct tcp_sock *t)
{
	return t->cwnd < t->ssthresh;
}
static inline bool tcp_in_cwnd_reduction(const struct tcp_sock *t)
{
	return t->ca_state == TCP_CA_CWR || t->ca_state == TCP_CA_Recovery;
}
static inline uint32_t tcp_rto_min_us(const struct tcp_sock *t)
{
	uint32_t ms = t->inet.route.rto_min; /* ip-route(8): rto_min */
	return ms ? ms * 1000 : TCP_RTO_MIN_US;
}
static inline uint32_t us_since(int64_t now, int64_t then)
{
	int64_t us = (now - then) / 1000;
	return us < 0 ? 0 : us > INT32_MAX ? INT32_MAX : (uint32_t)us;
}
/* Does the ACK echo a timestamp that is older than ts (RFC 3522)? */
static inline bool tcp_ecr_before(const struct tcp_ack *a, uint32_t ts)
{
	return a->o->has_ts && a->o->tsecr && seq_before(a->o->tsecr, ts);
}

/* --- sack.c --- */
void tcp_sacktag(struct tcp_sock *t, struct tcp_ack *a);
void tcp_check_sack_reordering(struct tcp_sock *t, uint32_t low, bool ts);

/* --- rack.c (RFC 8985) --- */
void tcp_rack_advance(struct tcp_sock *t, uint8_t sacked, uint32_t end_seq, int64_t sent,
	int64_t now);
/* What is lost by time, among what was sent before the last that arrived.  True: for some it is too
 * early to say, the timer is set. */
bool tcp_rack_mark_lost(struct tcp_sock *t, int64_t now);
void tcp_rack_update_reo_wnd(struct tcp_sock *t, const struct tcp_rate_sample *rs);
/* ns until s counts as lost; <= 0: now. */
int64_t tcp_rack_remaining(const struct tcp_sock *t, const struct tcp_seg *s, uint32_t reo_wnd_us,
	int64_t now);
void tcp_newreno_mark_lost(struct tcp_sock *t, bool advanced);
void tcp_mark_lost(struct tcp_sock *t, struct tcp_seg *s);

/* --- rtt.c --- */
/* Samples of an ACK, us; -1: none.  Returns whether there was one. */
bool tcp_ack_rtt(struct tcp_sock *t, struct tcp_ack *a, int64_t seq_us, int64_t sack_us,
	int64_t ca_us);
uint32_t tcp_min_rtt(const struct tcp_sock *t);

/* --- recovery.c --- */
void tcp_fastretrans_alert(struct tcp_sock *t, struct tcp_ack *a);
void tcp_set_ca_state(struct tcp_sock *t, uint8_t state);
void tcp_enter_recovery(struct tcp_sock *t, bool ece);
void tcp_enter_loss(struct tcp_sock *t, int64_t now);
void tcp_enter_cwr(struct tcp_sock *t);
void tcp_try_keep_open(struct tcp_sock *t);
void tcp_init_cwnd_reduction(struct tcp_sock *t);
void tcp_cwnd_reduction(struct tcp_sock *t, uint32_t delivered, uint32_t lost, uint32_t flag);
void tcp_end_cwnd_reduction(struct tcp_sock *t);
void tcp_reset_reno_sack(struct tcp_sock *t);
void tcp_remove_reno_sacks(struct tcp_sock *t, uint32_t acked, bool ece);
bool tcp_any_retrans_done(const struct tcp_sock *t);
uint32_t tcp_current_ssthresh(const struct tcp_sock *t);

/* --- retransmit.c --- */
/* Sends s, or what of it is segs packets, again: 0, -EAGAIN, -ENOMEM, what tcp_transmit says. */
int tcp_retransmit(struct tcp_sock *t, struct tcp_seg *s, uint32_t segs);
/* Arms the probe timer if the tail may need it; false: it may not. */
bool tcp_schedule_loss_probe(struct tcp_sock *t, bool advancing_rto);
void tcp_process_tlp_ack(struct tcp_sock *t, struct tcp_ack *a);
/* ns until the first of rtxq times out. */
int64_t tcp_rto_left(const struct tcp_sock *t, int64_t now);

/* --- rate.c --- */
void tcp_rate_sent(struct tcp_sock *t, struct tcp_seg *s, int64_t now);
void tcp_rate_delivered(struct tcp_sock *t, struct tcp_seg *s, struct tcp_rate_sample *rs);
void tcp_rate_gen(struct tcp_sock *t, struct tcp_ack *a, uint32_t delivered, uint32_t lost,
	bool reneg);

/* --- mtup.c --- */
void tcp_mtup_init(struct tcp_sock *t);
void tcp_mtup_acked(struct tcp_sock *t);
/* The probe is lost: nothing else was, so cwnd stays. */
bool tcp_mtup_lost(struct tcp_sock *t);

#endif
