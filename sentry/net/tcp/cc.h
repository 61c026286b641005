/*
 * Congestion control: what decides cwnd, ssthresh and pacing when something was acknowledged or
 * lost.  A connection has the number of its algorithm and CC_PRIV bytes for it; TCP_CONGESTION
 * names it.  The functions see the connection through struct tcp_sock (tcp_priv.h).
 */
#ifndef SENTRY_NET_TCP_CC_H
#define SENTRY_NET_TCP_CC_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_sock;
struct tcp_ack;

enum tcp_cc_kind { TCP_CC_RENO, TCP_CC_CUBIC, TCP_CC_BBR, TCP_CC_NR };

struct tcp_cc {
	uint8_t kind;
	bool setsockopt; /* the user chose it */
	uint64_t priv[13];
};

/* What was delivered between two points in time (draft-cheng-iccrg-delivery-rate-estimation). */
struct tcp_rate_sample {
	int64_t prior_at, interval_us, snd_interval_us, rcv_interval_us, rtt_us;
	uint32_t prior_delivered, prior_delivered_ce, losses, acked_sacked, prior_in_flight;
	int32_t delivered; /* -1: no sample */
	int32_t delivered_ce;
	uint32_t last_end_seq;
	bool is_app_limited, is_retrans, is_ack_delayed;
};

struct tcp_cc_ops {
	const char *name;
	bool restricted; /* needs CAP_NET_ADMIN unless tcp_allowed_congestion_control has it */
	void (*init)(struct tcp_sock *t);
	void (*release)(struct tcp_sock *t);
	uint32_t (*ssthresh)(struct tcp_sock *t); /* after a loss */
	void (*cong_avoid)(struct tcp_sock *t, uint32_t ack, uint32_t acked);
	void (*set_state)(struct tcp_sock *t, uint8_t ca_state);
	void (*cwnd_event)(struct tcp_sock *t, int event); /* TCP_CC_TX_START ... */
	void (*pkts_acked)(struct tcp_sock *t, uint32_t pkts, int64_t rtt_us, uint32_t in_flight);
	uint32_t (*undo_cwnd)(struct tcp_sock *t);
	/* Instead of cong_avoid and PRR: sets cwnd and pacing itself. */
	void (*cong_control)(struct tcp_sock *t, const struct tcp_ack *a);
};
enum { TCP_CC_TX_START, TCP_CC_CWND_RESTART, TCP_CC_COMPLETE_CWR, TCP_CC_LOSS };

const struct tcp_cc_ops *tcp_cc_ops(const struct tcp_sock *t);
/* Number by name; -1: there is none. */
int tcp_cc_find(const char *name);
const char *tcp_cc_name(int kind);
/* The namespace's (tcp_congestion_control). */
int tcp_cc_default(const struct tcp_sock *t);
/* Changes the algorithm of a connection; forgets what the old one knew. */
void tcp_cc_set(struct tcp_sock *t, int kind);
void tcp_cc_event(struct tcp_sock *t, int event);

/* --- for algorithms --- */
extern const struct tcp_cc_ops tcp_cc_reno, tcp_cc_cubic;
#define TCP_SSTHRESH_MAX 0x7fffffffu /* not known yet */
/* Was cwnd what held us back?  If not it must not grow (RFC 7661). */
bool tcp_is_cwnd_limited(const struct tcp_sock *t);
/* Grows cwnd by what was acknowledged up to ssthresh (RFC 5681, 3.1); what is left of it. */
uint32_t tcp_slow_start(struct tcp_sock *t, uint32_t acked);
/* One more for every w that are acknowledged. */
void tcp_cong_avoid_ai(struct tcp_sock *t, uint32_t w, uint32_t acked);
uint32_t tcp_reno_undo_cwnd(struct tcp_sock *t);

#endif
