/*
 * What may be sent now: the peer's window, the congestion window, Nagle and cork, pacing; in
 * segments as large as they serve (TSO).  RFC 9293 3.8.6; RFC 1122 4.2.3.4; RFC 896.
 *
 * sendq holds what was never sent, rtxq what is not acknowledged.  A segment of sendq ends where a
 * buffer ends, or where it had to be sent.
 */
#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/tcp/tcp_priv.h"

#define GSO_MAX 65536u

static SLAB_SHARE(tcp_seg_slab, struct tcp_seg, 16);

/* --- segments --- */

struct tcp_seg *tcp_seg_new(struct tcp_sock *t, uint32_t seq)
{
	struct tcp_seg *s = slab_alloc(&tcp_seg_slab);
	if (!s)
		return NULL;
	list_init(&s->node);
	list_init(&s->tsorted);
	s->seq = s->end_seq = seq;
	s->packets = 1;
	WRITE_ONCE(t->queued, t->queued + TCP_SEG_OVERHEAD);
	tcp_mem_sync(t);
	return s;
}

void tcp_seg_free(struct tcp_sock *t, struct tcp_seg *s)
{
	BUG_ON(t->queued < s->len + TCP_SEG_OVERHEAD);
	WRITE_ONCE(t->queued, t->queued - s->len - TCP_SEG_OVERHEAD);
	tcp_mem_sync(t);
	list_del(&s->node);
	list_del(&s->tsorted);
	nbuf_put(s->buf);
	slab_free(&tcp_seg_slab, s);
}

static void purge(struct tcp_sock *t, struct list_node *q)
{
	struct tcp_seg *s, *tmp;
	list_for_each_safe(s, tmp, q, node)
		tcp_seg_free(t, s);
}

void tcp_purge_send(struct tcp_sock *t)
{
	purge(t, &t->sendq);
	purge(t, &t->rtxq);
	nbuf_put(t->tail);
	t->tail = NULL;
	tcp_rtx_purged(t);
}

int tcp_split(struct tcp_sock *t, struct tcp_seg *s, uint32_t n, uint32_t mss)
{
	struct tcp_seg *b = tcp_seg_new(t, s->seq + n);
	if (!b)
		return -ENOMEM;
	BUG_ON(!n || n >= s->len);
	b->end_seq = s->end_seq;
	b->buf = nbuf_get(s->buf);
	b->off = s->off + n;
	b->len = s->len - n;
	b->flags = s->flags;
	b->sacked = s->sacked;
	s->mss = b->mss = (uint16_t)mss;
	b->sent = s->sent;
	b->first_sent = s->first_sent;
	b->delivered = s->delivered;
	b->delivered_ce = s->delivered_ce;
	b->delivered_at = s->delivered_at;
	b->first_tx_at = s->first_tx_at;
	b->app_limited = s->app_limited;
	s->len = n;
	s->end_seq = s->seq + n;
	s->flags &= (uint16_t) ~(TH_FIN | TH_PUSH | TCP_SEG_EOR);
	s->packets = tcp_packets(s->len, mss);
	b->packets = tcp_packets(b->len, mss);
	list_insert_before(s->node.next, &b->node);
	if (!list_empty(&s->tsorted))
		list_insert_before(s->tsorted.next, &b->tsorted);
	return 0;
}

/* --- sizes --- */

static uint32_t header_opts_len(const struct tcp_sock *t)
{
	return t->ts_ok ? 12 : 0;
}

/* What one packet can carry towards the peer, without regard to what it says it can take. */
uint32_t tcp_mtu_to_mss(const struct tcp_sock *t, uint32_t mtu)
{
	struct flow f = {.src = t->inet.local, .dst = t->inet.remote};
	struct ip_tx tx;
	inet_ip_tx(&t->inet, &f, &tx);
	uint32_t head = ip_header_len(&f, &tx) + (uint32_t)sizeof(struct tcphdr);
	uint32_t mss = mtu > head ? mtu - head : 0;
	return MAX(MIN(mss, t->peer_mss), (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_min_snd_mss));
}

/* RFC 9293 3.8.6.2.1: a peer with a small window gets segments of half of it. */
static uint32_t bound_to_half_window(const struct tcp_sock *t, uint32_t mss)
{
	uint32_t half = t->max_window > TCP_MSS_DEFAULT ? t->max_window / 2 : t->max_window;
	return half && mss > half ? MAX(half, 68u - 20u - header_opts_len(t)) : mss;
}

uint32_t tcp_sync_mss(struct tcp_sock *t)
{
	uint32_t mtu = tcp_mtup_bound(t, tcp_pmtu(t));
	uint32_t mss = bound_to_half_window(t, tcp_mtu_to_mss(t, mtu) - header_opts_len(t));
	t->mss = mss;
	return mss;
}

/* mss of a segment that is sent now: routes may have changed, and SACK blocks need room. */
uint32_t tcp_current_mss(struct tcp_sock *t)
{
	mutex_assert_held(&t->inet.sk.lock);
	if (!route_valid(t->inet.sk.net, &t->inet.route) && !inet_route(&t->inet))
		tcp_sync_mss(t);
	uint32_t sack = tcp_sack_opts_len(t);
	return t->mss > sack + 8 ? t->mss - sack : t->mss;
}

/* How much one segment of ours may hold: as many MSS as a packet takes, but not more than half of
 * what the peer ever offered. */
uint32_t tcp_size_goal(const struct tcp_sock *t, uint32_t mss)
{
	uint32_t most = GSO_MAX - 320;
	if (t->max_window && most > t->max_window / 2)
		most = MAX(t->max_window / 2, 68u);
	return MAX(most / mss * mss, mss);
}

/* How many MSS go into one packet: what pacing gives for a millisecond, more at short distances. */
static uint32_t tso_segs(const struct tcp_sock *t, uint32_t mss)
{
	uint64_t bytes = t->pacing_rate >> 10;
	uint32_t near = t->min_rtt_us >> 9;
	if (near < 32)
		bytes += GSO_MAX >> near;
	bytes = MIN(bytes, (uint64_t)(GSO_MAX - 320));
	return MAX((uint32_t)bytes / mss, 2u);
}

/* --- Nagle --- */

static bool small_in_flight(const struct tcp_sock *t)
{
	return seq_after(t->snd_sml, t->snd_una) && !seq_after(t->snd_sml, t->snd_nxt);
}

static bool is_last(const struct tcp_sock *t, const struct tcp_seg *s)
{
	return s->node.next == &t->sendq;
}

/* May s, which is less than one MSS or the end of the queue, go now? */
static bool nagle_allows(const struct tcp_sock *t, const struct tcp_seg *s, uint32_t mss,
	uint32_t how)
{
	if (!is_last(t, s) || (how & TCP_SEND_PUSH))
		return true;
	if (t->urg_out || (s->flags & TH_FIN))
		return true;
	if (s->len >= mss)
		return true;
	if (how & TCP_SEND_CORK)
		return false;
	return (how & TCP_SEND_NODELAY) || !t->packets_out || !small_in_flight(t);
}

/* Is what is behind the last full segment to wait (Linux' tcp_nagle_check)? */
static bool tail_waits(const struct tcp_sock *t, uint32_t how)
{
	if (how & TCP_SEND_CORK)
		return true;
	return !(how & (TCP_SEND_NODELAY | TCP_SEND_PUSH)) && t->packets_out && small_in_flight(t);
}

static bool fits_window(const struct tcp_sock *t, const struct tcp_seg *s, uint32_t mss)
{
	uint32_t end = s->len > mss ? s->seq + mss : s->end_seq;
	return !seq_after(end, t->snd_una + t->snd_wnd);
}

/* Where a segment is to be cut so that it fits the windows: a multiple of mss unless it is short.
 * A part that is no full segment goes only if Nagle lets it. */
static uint32_t split_point(const struct tcp_sock *t, const struct tcp_seg *s, uint32_t mss,
	uint32_t segs, uint32_t how)
{
	uint32_t window = t->snd_una + t->snd_wnd - s->seq, max = mss * segs;
	if (max <= window && !is_last(t, s))
		return max;
	uint32_t need = MIN(s->len, window);
	if (max <= need)
		return max;
	uint32_t part = need % mss;
	if (part && need > mss && (need < s->len || tail_waits(t, how)))
		return need - part;
	return need;
}

/* --- pacing (only with SO_MAX_PACING_RATE: what else paces belongs to the link) --- */

static bool paced(struct tcp_sock *t, int64_t now)
{
	if (!t->max_pacing_rate || t->pace_next <= now)
		return false;
	t->pace_at = t->pace_next;
	tcp_timer_kick(t, t->pace_at);
	return true;
}

static void pace(struct tcp_sock *t, uint32_t bytes, int64_t now)
{
	uint64_t rate = t->max_pacing_rate;
	if (!rate)
		return;
	if (t->pacing_rate && t->pacing_rate < rate)
		rate = t->pacing_rate;
	int64_t ns = (int64_t)((unsigned __int128)bytes * NSEC_PER_SEC / rate);
	int64_t credit = t->pace_next ? now - t->pace_next : 0;
	if (credit > 0)
		ns -= MIN(ns / 2, credit);
	t->pace_next = now + ns;
}

/* --- sending --- */

/* One segment goes for the first time. */
static int send_one(struct tcp_sock *t, struct tcp_seg *s, uint32_t mss, int64_t now)
{
	s->mss = (uint16_t)mss;
	s->packets = tcp_packets(s->len, mss);
	if (t->pacing_rate || t->max_pacing_rate)
		pace(t, s->len, now);
	bool idle = !t->packets_out;
	int err = tcp_transmit(t, s);
	/* What did not get out for now (no memory, a full queue) counts as lost on the way, but if
	 * nothing is under way it stays, and the timer tries again. */
	if (err == -ENOMEM && idle)
		return err;
	if (s->len < s->packets * mss)
		t->snd_sml = s->end_seq;
	tcp_sent_new(t, s, now);
	return 0;
}

struct xmit {
	uint32_t mss, how, segs;
	bool one; /* no more than one packet */
	int64_t now;
};

/* Whether the first of sendq may go, cut if need be; sets is_cwnd_limited. */
static bool ready(struct tcp_sock *t, struct tcp_seg *s, struct xmit *x, bool *limited)
{
	uint32_t flight = tcp_in_flight(t);
	if (paced(t, x->now))
		return false;
	if (flight >= t->cwnd) {
		*limited = true;
		return false;
	}
	if (!fits_window(t, s, x->mss))
		return false;
	uint32_t quota = MIN(t->cwnd - flight, x->segs), cut = s->len;
	if (s->len <= x->mss) {
		if (!nagle_allows(t, s, x->mss, x->how))
			return false;
	} else {
		cut = split_point(t, s, x->mss, MAX(quota, 1u), x->how);
	}
	return cut >= s->len || !tcp_split(t, s, cut, x->mss);
}

static bool xmit(struct tcp_sock *t, struct xmit *x)
{
	struct tcp_seg *s;
	bool limited = false, sent = false;
	while ((s = list_first(&t->sendq, struct tcp_seg, node))) {
		if (!ready(t, s, x, &limited) || send_one(t, s, x->mss, x->now))
			break;
		sent = true;
		if (x->one)
			break;
	}
	if (tcp_in_flight(t) >= t->cwnd)
		limited = true;
	if (sent || limited)
		tcp_cwnd_validate(t, limited);
	return sent;
}

/* Nothing is under way and something is to be sent that may not: the window must be probed. */
static void check_persist(struct tcp_sock *t)
{
	if (t->packets_out || t->pending != TCP_TIMER_NONE || list_empty(&t->sendq) || t->pace_at)
		return;
	tcp_persist_arm(t);
}

void tcp_push_frames(struct tcp_sock *t, uint32_t how, bool one)
{
	if (list_empty(&t->sendq) || t->state == TCP_CLOSE || t->state == TCP_SYN_SENT ||
		(t->state == TCP_SYN_RECV && !t->fastopen_child))
		return;
	if (!one && !tcp_mtu_probe(t))
		return;
	struct xmit x = {.mss = tcp_current_mss(t), .how = how, .one = one, .now = tcp_now()};
	x.segs = tso_segs(t, x.mss);
	if (t->pace_at && t->pace_at <= x.now)
		t->pace_at = 0;
	xmit(t, &x);
	check_persist(t);
}

uint32_t tcp_send_how(const struct tcp_sock *t)
{
	return (t->cork ? TCP_SEND_CORK : 0) | (t->nodelay ? TCP_SEND_NODELAY : 0);
}

void tcp_write_xmit(struct tcp_sock *t, bool push)
{
	tcp_push_frames(t, tcp_send_how(t) | (push ? TCP_SEND_PUSH : 0), false);
}

bool tcp_write_one(struct tcp_sock *t)
{
	struct tcp_seg *s = list_first(&t->sendq, struct tcp_seg, node);
	uint32_t mss = tcp_current_mss(t);
	if (!s || !fits_window(t, s, mss))
		return false;
	if (s->len > mss && tcp_split(t, s, mss, mss))
		return false;
	return !send_one(t, s, mss, tcp_now());
}

/* --- FIN --- */

/* Our direction ends: on the last segment that waits, or one of its own.  Without memory for one it
 * is tried again by the timer of whoever closes. */
int tcp_send_fin(struct tcp_sock *t)
{
	struct tcp_seg *s = list_last(&t->sendq, struct tcp_seg, node);
	if (!s) {
		s = tcp_seg_new(t, t->write_seq);
		if (!s)
			return -ENOMEM;
		list_push_back(&t->sendq, &s->node);
	}
	s->flags |= TH_FIN;
	s->end_seq++;
	t->write_seq++;
	/* Corked or not, this is the end of it. */
	tcp_push_frames(t, tcp_send_how(t) & TCP_SEND_NODELAY, false);
	return 0;
}

/* --- probes --- */

void tcp_send_probe(struct tcp_sock *t)
{
	struct tcp_seg *s = list_first(&t->sendq, struct tcp_seg, node);
	uint32_t end = t->snd_una + t->snd_wnd, mss = tcp_current_mss(t);
	if (!s || !seq_before(s->seq, end)) {
		/* Two of them if there is urgent data: the second says so. */
		if (t->urg_out && seq_before(t->snd_una + 1, t->snd_up))
			tcp_send_old(t, true);
		tcp_send_old(t, false);
		return;
	}
	/* The window is open after all, if only a little: what fits. */
	uint32_t room = MIN(end - s->seq, mss);
	if (s->len > room && tcp_split(t, s, room, mss))
		return;
	s->flags |= TH_PUSH;
	send_one(t, s, mss, tcp_now());
}

/* --- room --- */

bool tcp_memory_free(const struct tcp_sock *t)
{
	if (READ_ONCE(t->queued) >= READ_ONCE(t->inet.sk.sndbuf))
		return false;
	uint32_t lowat = READ_ONCE(t->notsent_lowat);
	if (!lowat)
		lowat = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_notsent_lowat);
	uint32_t notsent = READ_ONCE(t->write_seq) - READ_ONCE(t->snd_nxt);
	return notsent < lowat;
}

/* Linux' sk_stream_is_writeable: a third of the buffer is free. */
bool tcp_is_writable(const struct tcp_sock *t)
{
	uint32_t queued = READ_ONCE(t->queued), sndbuf = READ_ONCE(t->inet.sk.sndbuf);
	if (queued >= sndbuf || sndbuf - queued < queued / 2)
		return false;
	uint32_t lowat = READ_ONCE(t->notsent_lowat);
	if (!lowat)
		lowat = (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_notsent_lowat);
	uint32_t notsent = READ_ONCE(t->write_seq) - READ_ONCE(t->snd_nxt);
	return (uint64_t)notsent * 2 < lowat; /* not at every byte below the mark */
}

/* As much as the congestion window needs twice over (tcp_sndbuf_expand). */
void tcp_sndbuf_expand(struct tcp_sock *t)
{
	struct socket *sk = &t->inet.sk;
	uint32_t per = 1024;
	if (t->sndbuf_locked)
		return;
	while (per < MAX(t->peer_mss, t->mss) + 320 + 128 && per < (1u << 30))
		per *= 2;
	per += 256;
	uint64_t segs = MAX(10u, t->cwnd);
	segs = MAX(segs, t->reordering + 1ul);
	uint64_t want = 2 * segs * per, max = (uint32_t)READ_ONCE(sk->net->ctl.tcp_wmem[2]);
	if (sk->sndbuf < want)
		__atomic_store_n(&sk->sndbuf, (uint32_t)MIN(want, max), __ATOMIC_SEQ_CST);
}

void tcp_write_space(struct tcp_sock *t)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!READ_ONCE(t->nospace))
		return;
	if (!t->sndbuf_locked && t->packets_out < t->cwnd && tcp_mem_plenty(t))
		tcp_sndbuf_expand(t);
	if (!tcp_is_writable(t))
		return;
	WRITE_ONCE(t->nospace, false);
	sock_wake_writable(&t->inet.sk);
}
