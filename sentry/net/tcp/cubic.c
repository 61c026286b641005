/*
 * CUBIC (RFC 9438): after a reduction the window approaches its former maximum fast, stays near it,
 * and then looks for more, by W(t) = C (t - K)^3 + Wmax, in which t is time and not round trips.
 * Where NewReno would be larger, it is as large as NewReno (4.3).  Slow start ends early if the
 * delay grows or a train of ACKs is as long as the path (HyStart, "Taming the elephants", 2011).
 *
 * All in integers: time in 1/1024 s where it is cubed, windows in packets.  The constants are
 * Linux': C = 0.4, beta = 717/1024.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

#define BETA 717u /* of 1024 */
#define BETA_SCALE 1024u
#define C_SCALED 410u                         /* C, of 1024 */
#define CUBE_FACTOR ((1ull << 40) / C_SCALED) /* 1/C in units of time cubed */
/* NewReno with this beta adds 3 (1 - beta) / (1 + beta) a round: so many ACKs for one, times 8. */
#define RENO_SCALE (8 * (BETA_SCALE + BETA) / 3 / (BETA_SCALE - BETA))
#define HYSTART_LOW_WINDOW 16u
#define HYSTART_MIN_SAMPLES 8u
#define HYSTART_ACK_DELTA_US 2000u
#define HYSTART_DELAY_MIN 4000u
#define HYSTART_DELAY_MAX 16000u

struct cubic {
	/* forgotten after a time-out */
	uint32_t cnt;      /* so many ACKs raise cwnd by one */
	uint32_t last_max; /* cwnd before the last loss */
	uint32_t last_cwnd, last_ms;
	uint32_t origin;    /* Wmax of the curve */
	uint32_t k;         /* until it is reached, 1/1024 s */
	uint32_t delay_min; /* us */
	uint32_t epoch_ms;  /* beginning of the curve; 0: not begun */
	uint32_t acked;     /* since then, not yet in reno_cwnd */
	uint32_t reno_cwnd;
	/* HyStart's, of this round */
	uint32_t samples, curr_rtt, end_seq;
	int64_t round_start, last_ack;
	bool found;
};
_Static_assert(sizeof(struct cubic) <= sizeof(((struct tcp_cc *)0)->priv), "cc.priv is too small");

static struct cubic *cubic_of(struct tcp_sock *t)
{
	return (struct cubic *)t->cc.priv;
}

static uint32_t now_ms(void)
{
	uint32_t ms = (uint32_t)(tcp_now() / 1000000);
	return ms ? ms : 1;
}

static void reset(struct cubic *c)
{
	memset(c, 0, offsetof(struct cubic, samples));
	c->found = false;
}

static void hystart_reset(struct tcp_sock *t, struct cubic *c)
{
	c->round_start = c->last_ack = tcp_now();
	c->end_seq = t->snd_nxt;
	c->curr_rtt = UINT32_MAX;
	c->samples = 0;
}

static void cubic_init(struct tcp_sock *t)
{
	reset(cubic_of(t));
	hystart_reset(t, cubic_of(t));
}

/* The largest whole number whose cube is not above a. */
static uint32_t cube_root(uint64_t a)
{
	uint64_t r = 0;
	for (int bit = 20; bit >= 0; bit--) {
		uint64_t try = r | (1ull << bit);
		if (try * try * try <= a)
			r = try;
	}
	return (uint32_t)r;
}

static void begin_epoch(struct cubic *c, uint32_t cwnd, uint32_t acked, uint32_t ms)
{
	c->epoch_ms = ms;
	c->acked = acked;
	c->reno_cwnd = cwnd;
	if (c->last_max <= cwnd) {
		c->k = 0;
		c->origin = cwnd;
	} else {
		c->k = cube_root(CUBE_FACTOR * (c->last_max - cwnd));
		c->origin = c->last_max;
	}
}

/* Where the curve is one round trip from now (RFC 9438, 4.2). */
static uint32_t curve(const struct cubic *c, uint32_t ms)
{
	uint64_t t = ((uint64_t)(ms - c->epoch_ms) * 1000 + c->delay_min) * 1024 / 1000000;
	uint64_t off = t < c->k ? c->k - t : t - c->k;
	off = MIN(off, (uint64_t)1 << 18); /* four minutes: more than cwnd can be */
	uint64_t delta = (C_SCALED * off * off * off) >> 40;
	if (t < c->k)
		return delta < c->origin ? c->origin - (uint32_t)delta : 0;
	return (uint32_t)MIN(c->origin + delta, (uint64_t)UINT32_MAX / 2);
}

/* Not below what NewReno would have (RFC 9438, 4.3). */
static void reno_friendly(struct cubic *c, uint32_t cwnd)
{
	uint32_t per = MAX(cwnd * RENO_SCALE >> 3, 1u);
	c->reno_cwnd += c->acked / per;
	c->acked %= per;
	if (c->reno_cwnd > cwnd)
		c->cnt = MIN(c->cnt, cwnd / (c->reno_cwnd - cwnd));
}

static void update(struct cubic *c, uint32_t cwnd, uint32_t acked)
{
	uint32_t ms = now_ms();
	c->acked += acked;
	if (c->last_cwnd == cwnd && ms - c->last_ms <= 1000 / 32)
		return;
	if (!c->epoch_ms || ms != c->last_ms) {
		c->last_cwnd = cwnd;
		c->last_ms = ms;
		if (!c->epoch_ms)
			begin_epoch(c, cwnd, acked, ms);
		uint32_t target = curve(c, ms);
		c->cnt = target > cwnd ? cwnd / (target - cwnd) : 100 * cwnd;
		/* Nothing is known of the path yet: 5% a round at least. */
		if (!c->last_max)
			c->cnt = MIN(c->cnt, 20u);
	}
	reno_friendly(c, cwnd);
	c->cnt = MAX(c->cnt, 2u); /* at most one and a half times a round */
}

static void cubic_cong_avoid(struct tcp_sock *t, uint32_t ack, uint32_t acked)
{
	struct cubic *c = cubic_of(t);
	if (!tcp_is_cwnd_limited(t))
		return;
	if (tcp_in_slow_start(t)) {
		acked = tcp_slow_start(t, acked);
		if (!acked)
			return;
	}
	update(c, t->cwnd, acked);
	tcp_cong_avoid_ai(t, c->cnt, acked);
}

static uint32_t cubic_ssthresh(struct tcp_sock *t)
{
	struct cubic *c = cubic_of(t);
	c->epoch_ms = 0;
	/* RFC 9438, 4.7: fast convergence: give room to new flows. */
	if (t->cwnd < c->last_max)
		c->last_max =
			(uint32_t)((uint64_t)t->cwnd * (BETA_SCALE + BETA) / (2 * BETA_SCALE));
	else
		c->last_max = t->cwnd;
	return MAX((uint32_t)((uint64_t)t->cwnd * BETA / BETA_SCALE), 2u);
}

static void cubic_set_state(struct tcp_sock *t, uint8_t state)
{
	if (state != TCP_CA_Loss)
		return;
	reset(cubic_of(t));
	hystart_reset(t, cubic_of(t));
}

static void cubic_event(struct tcp_sock *t, int event)
{
	struct cubic *c = cubic_of(t);
	if (event != TCP_CC_TX_START || !c->epoch_ms || !t->delivered_at)
		return;
	/* The curve stands still while there is nothing to send. */
	uint32_t ms = now_ms(), idle = ms - (uint32_t)(t->delivered_at / 1000000);
	if ((int32_t)idle <= 0)
		return;
	c->epoch_ms += idle;
	if ((int32_t)(c->epoch_ms - ms) > 0)
		c->epoch_ms = ms;
}

/* --- HyStart --- */

static void leave_slow_start(struct tcp_sock *t, struct cubic *c)
{
	c->found = true;
	t->ssthresh = t->cwnd;
}

/* ACKs may be held back by what makes large packets of small ones. */
static uint32_t ack_delay_us(const struct tcp_sock *t)
{
	uint64_t rate = t->pacing_rate;
	return rate ? (uint32_t)MIN((uint64_t)1000, 65536ull * 4 * 1000000 / rate) : 0;
}

static void hystart(struct tcp_sock *t, struct cubic *c, uint32_t delay)
{
	int64_t now = tcp_now();
	if (seq_after(t->snd_una, c->end_seq))
		hystart_reset(t, c);
	if (t->cwnd < HYSTART_LOW_WINDOW)
		return;
	if (us_since(now, c->last_ack) <= HYSTART_ACK_DELTA_US) {
		uint32_t threshold = c->delay_min + ack_delay_us(t);
		c->last_ack = now;
		/* Half of it, unless pacing spreads the train. */
		if (!t->max_pacing_rate)
			threshold >>= 1;
		if (us_since(now, c->round_start) > threshold) {
			NET_INC(t->inet.sk.net, TcpExt_TCPHystartTrainDetect);
			NET_ADD(t->inet.sk.net, TcpExt_TCPHystartTrainCwnd, t->cwnd);
			leave_slow_start(t, c);
		}
	}
	c->curr_rtt = MIN(c->curr_rtt, delay);
	if (c->samples < HYSTART_MIN_SAMPLES) {
		c->samples++;
		return;
	}
	uint32_t more = MIN(MAX(c->delay_min >> 3, HYSTART_DELAY_MIN), HYSTART_DELAY_MAX);
	if (c->curr_rtt > c->delay_min + more) {
		NET_INC(t->inet.sk.net, TcpExt_TCPHystartDelayDetect);
		NET_ADD(t->inet.sk.net, TcpExt_TCPHystartDelayCwnd, t->cwnd);
		leave_slow_start(t, c);
	}
}

static void cubic_acked(struct tcp_sock *t, uint32_t pkts, int64_t rtt_us, uint32_t in_flight)
{
	struct cubic *c = cubic_of(t);
	if (rtt_us < 0)
		return;
	/* Samples right after recovery are of its queue. */
	if (c->epoch_ms && now_ms() - c->epoch_ms < 1000)
		return;
	uint32_t delay = (uint32_t)MAX(rtt_us, (int64_t)1);
	if (!c->delay_min || c->delay_min > delay)
		c->delay_min = delay;
	if (!c->found && tcp_in_slow_start(t))
		hystart(t, c, delay);
}

const struct tcp_cc_ops tcp_cc_cubic = {.name = "cubic",
	.init = cubic_init,
	.ssthresh = cubic_ssthresh,
	.cong_avoid = cubic_cong_avoid,
	.set_state = cubic_set_state,
	.cwnd_event = cubic_event,
	.pkts_acked = cubic_acked,
	.undo_cwnd = tcp_reno_undo_cwnd};
