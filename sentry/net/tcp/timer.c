/*
 * The one timer of a connection.  What is due when stands in tcp_sock (deadline of pending, ACK,
 * keep-alive, pacing); the kernel timer is armed for the earliest of them or for an earlier time,
 * so moving a deadline back, which every ACK does, costs nothing.
 *
 * An armed timer has a reference.  timer_on says that it is armed or that its function is about to
 * run: that looks at the deadlines itself, so nobody arms it then.
 */
#include <errno.h>

#include "lib/log.h"

#include "sentry/net/tcp/tcp_priv.h"

#define NEVER INT64_MAX

/* --- arming --- */

void tcp_timer_kick(struct tcp_sock *t, int64_t when)
{
	if (!t->timer_on) {
		inet_get(&t->inet);
		t->timer_on = true;
	} else if (when >= t->timer_at || !ktimer_cancel(&t->timer, false)) {
		return;
	}
	t->timer_at = when;
	ktimer_arm(&t->timer, when);
}

void tcp_timer_set(struct tcp_sock *t, enum tcp_timer what, int64_t when)
{
	t->pending = (uint8_t)what;
	t->deadline = when;
	tcp_timer_kick(t, when);
}

void tcp_timer_clear(struct tcp_sock *t)
{
	t->pending = TCP_TIMER_NONE;
	t->deadline = 0;
}

void tcp_timers_stop(struct tcp_sock *t)
{
	tcp_timer_clear(t);
	t->delack_at = t->keep_at = t->pace_at = 0;
	/* Its reference is given back by who holds one besides: the caller's is another. */
	if (t->timer_on && ktimer_cancel(&t->timer, false)) {
		t->timer_on = false;
		BUG_ON(ref_put(&t->inet.ref));
	}
}

static int64_t earliest(const struct tcp_sock *t)
{
	int64_t at = NEVER;
	if (t->pending != TCP_TIMER_NONE)
		at = MIN(at, t->deadline);
	if (t->delack_at)
		at = MIN(at, t->delack_at);
	if (t->keep_at)
		at = MIN(at, t->keep_at);
	if (t->pace_at)
		at = MIN(at, t->pace_at);
	return at;
}

/* --- too long without an answer --- */

static int64_t user_timeout(const struct tcp_sock *t)
{
	return t->user_timeout * 1000000L;
}

/* Have n retransmissions, backed off as they are from the smallest RTO, had their time? */
static bool retransmits_over(const struct tcp_sock *t, uint32_t n, int64_t limit)
{
	if (!t->retransmits)
		return false;
	if (!limit) {
		int64_t base = TCP_RTO_MIN_NS;
		uint32_t linear = 0;
		for (int64_t r = base; r < TCP_RTO_MAX_NS; r *= 2)
			linear++;
		if (n <= linear)
			limit = ((2L << n) - 1) * base;
		else
			limit = ((2L << (linear - 1)) - 1) * base +
				(n - linear + 1) * TCP_RTO_MAX_NS;
	}
	return t->retrans_stamp && tcp_now() - t->retrans_stamp >= limit;
}

static uint32_t orphan_retries(const struct tcp_sock *t, bool alive)
{
	uint32_t n = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_orphan_retries);
	if (t->soft_err && !alive)
		return 0;
	return n || !alive ? n : 8;
}

static void timed_out(struct tcp_sock *t)
{
	NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnTimeout);
	tcp_fail(t, t->soft_err ? t->soft_err : ETIMEDOUT);
}

/* Too many orphans: those whose peers do not answer go first (Linux' tcp_out_of_resources). */
static bool orphan_unwanted(struct tcp_sock *t, bool alive)
{
	int64_t quiet = tcp_now() - t->last_sent;
	uint32_t shift = 0;
	if (quiet > 2 * TCP_RTO_MAX_NS || !alive)
		shift++;
	if (t->soft_err)
		shift++;
	if (!tcp_orphans_over(t, shift))
		return false;
	if (alive || quiet <= TCP_TIMEWAIT_NS || (!t->snd_wnd && !t->packets_out))
		tcp_send_rst(t);
	NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnMemory);
	tcp_fail(t, ETIMEDOUT);
	return true;
}

bool tcp_write_timed_out(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t tries = (uint32_t)READ_ONCE(net->ctl.tcp_retries2);
	if (t->state == TCP_CLOSE)
		return true;
	if (t->orphan) {
		bool alive = t->rto < TCP_RTO_MAX_NS;
		tries = orphan_retries(t, alive);
		if (orphan_unwanted(t, alive || !retransmits_over(t, tries, 0)))
			return true;
	}
	if (retransmits_over(t, (uint32_t)READ_ONCE(net->ctl.tcp_retries1), 0))
		tcp_mtu_black_hole(t);
	if (!retransmits_over(t, tries, user_timeout(t)))
		return false;
	timed_out(t);
	return true;
}

/* --- zero windows (RFC 9293, 3.8.6.1) --- */

void tcp_persist_arm(struct tcp_sock *t)
{
	int64_t wait = t->rto;
	for (uint32_t i = 0; i < t->backoff && wait < TCP_RTO_MAX_NS; i++)
		wait *= 2;
	int64_t now = tcp_now(), when = now + MIN(MAX(wait, TCP_RTO_MIN_NS), TCP_RTO_MAX_NS);
	int64_t limit = user_timeout(t);
	if (limit && t->probe_stamp)
		when = MIN(when, MAX(t->probe_stamp + limit, now + 2000000));
	tcp_timer_set(t, TCP_TIMER_PERSIST, when);
}

static void persist(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t max = (uint32_t)READ_ONCE(net->ctl.tcp_retries2);
	int64_t now = tcp_now(), limit = user_timeout(t);
	if (t->packets_out || list_empty(&t->sendq)) {
		t->probes_out = 0;
		t->probe_stamp = 0;
		return;
	}
	if (!t->probe_stamp || !t->probes_out)
		t->probe_stamp = now;
	else if (limit && now - t->probe_stamp >= limit) {
		timed_out(t);
		return;
	}
	if (t->orphan) {
		bool alive = (t->rto << MIN(t->backoff, (uint8_t)20)) < TCP_RTO_MAX_NS;
		max = orphan_retries(t, alive);
		if ((!alive && t->backoff >= max) || orphan_unwanted(t, true)) {
			if (t->state != TCP_CLOSE)
				timed_out(t);
			return;
		}
	}
	if (t->probes_out >= max) {
		timed_out(t);
		return;
	}
	tcp_send_probe(t);
	if (t->packets_out || t->state == TCP_CLOSE)
		return; /* something could go after all, with a timer of its own */
	t->probes_out++;
	if (t->backoff < READ_ONCE(net->ctl.tcp_retries2))
		t->backoff++;
	tcp_persist_arm(t);
}

/* --- keep-alive (RFC 9293, 3.8.4) --- */

int64_t tcp_keep_idle(const struct tcp_sock *t)
{
	int64_t s = t->keep_idle;
	if (!s)
		s = READ_ONCE(t->inet.sk.net->ctl.tcp_keepalive_time);
	return s * NSEC_PER_SEC;
}

int64_t tcp_keep_intvl(const struct tcp_sock *t)
{
	int64_t s = t->keep_intvl;
	if (!s)
		s = READ_ONCE(t->inet.sk.net->ctl.tcp_keepalive_intvl);
	return s * NSEC_PER_SEC;
}

uint32_t tcp_keep_cnt(const struct tcp_sock *t)
{
	return t->keep_cnt ? t->keep_cnt
			   : (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_keepalive_probes);
}

static void keep_next(struct tcp_sock *t, int64_t when)
{
	t->keep_at = when;
	tcp_timer_kick(t, when);
}

static int64_t last_heard(const struct tcp_sock *t)
{
	return MAX(t->last_recv, t->last_ack);
}

void tcp_keepalive_start(struct tcp_sock *t)
{
	if (t->state == TCP_CLOSE || t->state == TCP_LISTEN || t->orphan)
		return;
	int64_t now = tcp_now(), heard = last_heard(t), idle = tcp_keep_idle(t);
	keep_next(t, heard && heard + idle > now ? heard + idle : now + idle);
}

void tcp_keepalive_stop(struct tcp_sock *t)
{
	if (!t->orphan)
		t->keep_at = 0;
}

static void keepalive(struct tcp_sock *t)
{
	int64_t now = tcp_now(), idle = now - last_heard(t), limit = user_timeout(t);
	t->keep_at = 0;
	if (t->orphan) { /* FIN_WAIT_2 has waited long enough, or our listener's backlog has */
		if (t->state == TCP_FIN_WAIT2 || t->state == TCP_FIN_WAIT1) {
			tcp_fin_wait2_timer(t);
		}
		return;
	}
	if (!sock_flag(&t->inet.sk, SOCK_F_KEEPALIVE) || t->state == TCP_CLOSE ||
		t->state == TCP_SYN_SENT || t->state == TCP_LISTEN)
		return;
	if (t->packets_out || !list_empty(&t->sendq)) {
		keep_next(t, now + tcp_keep_idle(t)); /* other timers see to it */
		return;
	}
	if (idle < tcp_keep_idle(t)) {
		keep_next(t, now + tcp_keep_idle(t) - idle);
		return;
	}
	if ((limit && idle >= limit && t->keep_probes) ||
		(!limit && t->keep_probes >= tcp_keep_cnt(t))) {
		tcp_send_rst(t);
		timed_out(t);
		return;
	}
	NET_INC(t->inet.sk.net, TcpExt_TCPKeepAlive);
	tcp_send_old(t, false);
	t->keep_probes++;
	keep_next(t, now + tcp_keep_intvl(t));
}

/* --- expiry --- */

static void run_pending(struct tcp_sock *t)
{
	uint8_t what = t->pending;
	tcp_timer_clear(t);
	switch (what) {
	case TCP_TIMER_RTO:
		if (t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV)
			tcp_syn_timer(t);
		else
			tcp_retransmit_timer(t);
		break;
	case TCP_TIMER_TLP:
		tcp_tlp_timer(t);
		break;
	case TCP_TIMER_REORDER:
		tcp_reorder_timer(t);
		break;
	case TCP_TIMER_PERSIST:
		persist(t);
		break;
	}
}

static void due(struct tcp_sock *t)
{
	int64_t now = tcp_now();
	if (t->state == TCP_LISTEN) {
		if (t->keep_at && t->keep_at <= now) {
			t->keep_at = 0;
			tcp_listen_timer(t);
		}
		return;
	}
	if (t->delack_at && t->delack_at <= now)
		tcp_delack_timer(t);
	if (t->state != TCP_CLOSE && t->pending != TCP_TIMER_NONE && t->deadline <= now)
		run_pending(t);
	if (t->state != TCP_CLOSE && t->keep_at && t->keep_at <= now)
		keepalive(t);
	if (t->state != TCP_CLOSE && t->pace_at && t->pace_at <= now) {
		t->pace_at = 0;
		tcp_retransmit_queue(t);
		tcp_write_xmit(t, false);
	}
}

static void fire(struct ktimer *k)
{
	struct tcp_sock *t = container_of(k, struct tcp_sock, timer);
	inet_lock(&t->inet);
	t->timer_on = false;
	due(t);
	int64_t at = t->state == TCP_CLOSE ? NEVER : earliest(t);
	if (at != NEVER)
		tcp_timer_kick(t, at);
	inet_unlock(&t->inet);
	inet_put(&t->inet);
}

void tcp_timer_init(void)
{
	ktimer_register_kind(KTIMER_TCP, fire);
}
