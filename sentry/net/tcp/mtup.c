/*
 * Path MTU probing (RFC 4821): what packets get through is found out by sending larger ones,
 * because the ICMP errors that would say it may be lost.
 *
 * tcp_mtu_probing 1 begins with it when retransmissions time out again and again (a black hole), 2
 * at once.  Then the MTU is known to be at least mtup.low, which is what segments are made for
 * (tcp_mtup_bound), and less than or equal to mtup.high.  A probe is one packet half way
 * between, of data that would go next anyway.  Its loss, alone, is no sign of congestion.
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

/* Bytes of a packet that are not payload. */
static uint32_t overhead(const struct tcp_sock *t)
{
	struct flow f = {.src = t->inet.local, .dst = t->inet.remote};
	struct ip_tx tx;
	inet_ip_tx(&t->inet, &f, &tx);
	return ip_header_len(&f, &tx) + (uint32_t)sizeof(struct tcphdr) + (t->ts_ok ? 12 : 0);
}

static uint32_t mss_of(const struct tcp_sock *t, uint32_t mtu)
{
	uint32_t head = overhead(t);
	return mtu > head ? mtu - head : 1;
}

/* What the peer takes at most. */
static uint32_t highest(const struct tcp_sock *t)
{
	return t->peer_mss + overhead(t) - (t->ts_ok ? 12 : 0);
}

void tcp_mtup_init(struct tcp_sock *t)
{
	const struct net_ctl *ctl = &t->inet.sk.net->ctl;
	memset(&t->mtup, 0, sizeof(t->mtup));
	t->mtup.on = READ_ONCE(ctl->tcp_mtu_probing) > 1;
	t->mtup.high = highest(t);
	t->mtup.low = (uint32_t)READ_ONCE(ctl->tcp_base_mss) + overhead(t);
	t->mtup.probed_at = tcp_now();
	tcp_sync_mss(t);
}

uint32_t tcp_mtup_bound(struct tcp_sock *t, uint32_t mtu)
{
	t->mtup.high = MIN(t->mtup.high, mtu);
	return t->mtup.on ? MIN(mtu, t->mtup.low) : mtu;
}

void tcp_mtu_black_hole(struct tcp_sock *t)
{
	const struct net_ctl *ctl = &t->inet.sk.net->ctl;
	if (!READ_ONCE(ctl->tcp_mtu_probing))
		return;
	if (!t->mtup.on) {
		t->mtup.on = true;
		t->mtup.probed_at = tcp_now();
	} else {
		uint32_t mss = mss_of(t, t->mtup.low) >> 1;
		mss = MIN(mss, (uint32_t)READ_ONCE(ctl->tcp_base_mss));
		mss = MAX(mss, (uint32_t)READ_ONCE(ctl->tcp_mtu_probe_floor));
		mss = MAX(mss, (uint32_t)READ_ONCE(ctl->tcp_min_snd_mss));
		t->mtup.low = mss + overhead(t);
	}
	tcp_sync_mss(t);
}

/* --- results --- */

void tcp_mtup_acked(struct tcp_sock *t)
{
	if (!t->mtup.probe_size || seq_after(t->mtup.probe_end, t->snd_una))
		return;
	/* The window is in packets, which are larger from now on. */
	uint64_t cwnd = (uint64_t)t->cwnd * (t->mss + overhead(t)) / t->mtup.probe_size;
	t->prior_ssthresh = tcp_current_ssthresh(t);
	t->cwnd = (uint32_t)MAX(cwnd, (uint64_t)1);
	t->cwnd_cnt = 0;
	t->cwnd_stamp = tcp_now();
	t->ssthresh = tcp_current_ssthresh(t);
	t->mtup.low = t->mtup.probe_size;
	t->mtup.probe_size = 0;
	tcp_sync_mss(t);
	NET_INC(t->inet.sk.net, TcpExt_TCPMTUPSuccess);
}

bool tcp_mtup_lost(struct tcp_sock *t)
{
	if (!t->mtup.probe_size || t->snd_una != t->mtup.probe_start)
		return false;
	t->mtup.high = t->mtup.probe_size - 1;
	t->mtup.probe_size = 0;
	NET_INC(t->inet.sk.net, TcpExt_TCPMTUPFail);
	t->cwnd++; /* as before the probe */
	tcp_simple_retransmit(t);
	return true;
}

/* --- a probe --- */

/* The range is small enough; after a while routes may have changed. */
static void reprobe(struct tcp_sock *t)
{
	int64_t interval =
		(int64_t)READ_ONCE(t->inet.sk.net->ctl.tcp_probe_interval) * NSEC_PER_SEC;
	int64_t now = tcp_now();
	if (now - t->mtup.probed_at < interval)
		return;
	t->mtup.high = highest(t);
	t->mtup.low = t->mss + overhead(t);
	t->mtup.probed_at = now;
	tcp_sync_mss(t);
}

static bool may_probe(const struct tcp_sock *t)
{
	return t->mtup.on && !t->mtup.probe_size && t->ca_state == TCP_CA_Open && t->cwnd >= 11 &&
	       !t->nsel_ack && !t->has_dsack && !t->urg_out;
}

/* Can n bytes of sendq be one packet? */
static bool coalesces(const struct tcp_sock *t, uint32_t n)
{
	struct tcp_seg *s;
	list_for_each(s, &t->sendq, node) {
		if (s->tsflags || (s->flags & (TH_SYN | TH_FIN)))
			return false;
		if (s->len >= n)
			return true;
		if (s->flags & TCP_SEG_EOR)
			return false;
		n -= s->len;
	}
	return false;
}

/* Moves n bytes from the front of sendq into a segment of their own, at its front; NULL: out of
 * memory. */
static struct tcp_seg *gather(struct tcp_sock *t, uint32_t n)
{
	struct tcp_seg *s, *p;
	struct nbuf *b = nbuf_new(n);
	p = b ? tcp_seg_new(t, t->snd_nxt) : NULL;
	if (!p) {
		nbuf_put(b);
		return NULL;
	}
	p->buf = b;
	while (p->len < n) {
		s = list_first(&t->sendq, struct tcp_seg, node);
		uint32_t part = MIN(s->len, n - p->len);
		memcpy(b->data + p->len, s->buf->data + s->off, part);
		p->len += part;
		s->seq += part;
		s->off += part;
		s->len -= part;
		p->flags |= s->flags & (TH_PUSH | TCP_SEG_EOR);
		if (s->len)
			p->flags &= (uint16_t) ~(TH_PUSH | TCP_SEG_EOR);
		else
			tcp_seg_free(t, s);
	}
	b->used = n;
	p->end_seq = p->seq + n;
	p->mss = (uint16_t)n;
	list_push_front(&t->sendq, &p->node);
	return p;
}

static void send_probe(struct tcp_sock *t, struct tcp_seg *s)
{
	if (tcp_transmit(t, s))
		return; /* it goes in smaller pieces, then */
	t->cwnd--;      /* it counts as two */
	tcp_sent_new(t, s, tcp_now());
	t->mtup.probe_size = s->len + overhead(t);
	t->mtup.probe_start = s->seq;
	t->mtup.probe_end = s->end_seq;
}

int tcp_mtu_probe(struct tcp_sock *t)
{
	if (likely(!may_probe(t)))
		return -1;
	uint32_t n = mss_of(t, (t->mtup.high + t->mtup.low) >> 1);
	uint32_t need = n + (t->reordering + 1) * t->mss, flight = tcp_in_flight(t);
	if (n > mss_of(t, t->mtup.high) ||
		(int32_t)(t->mtup.high - t->mtup.low) <
			READ_ONCE(t->inet.sk.net->ctl.tcp_probe_threshold)) {
		reprobe(t);
		return -1;
	}
	/* What comes after it tells whether it is lost. */
	if (t->write_seq - t->snd_nxt < need || t->snd_wnd < need)
		return -1;
	if (seq_after(t->snd_nxt + need, tcp_wnd_end(t)))
		return 0;
	if (flight + 2 > t->cwnd)
		return flight ? 0 : -1;
	if (!coalesces(t, n))
		return -1;
	struct tcp_seg *s = gather(t, n);
	if (!s)
		return -1;
	send_probe(t, s);
	return t->mtup.probe_size ? 1 : -1;
}
