/*
 * How much may come in: SO_RCVBUF and its tuning.  The buffer grows with what the reader takes out
 * in a round trip (dynamic right-sizing, as Linux); when it is full of small packets they are put
 * together, and what is out of order is dropped last come, first out.
 */
#include <string.h>

#include "sentry/net/tcp/tcp_priv.h"

#define INIT_CWND 10u

/* --- at the beginning --- */

static uint8_t wscale_for(uint32_t space)
{
	int n = space > 65535 ? 31 - __builtin_clz(space) - 15 : 0;
	return (uint8_t)(n < 0 ? 0 : n > 14 ? 14 : n);
}

/* RFC 7323, 2.2: the first window, and the scale that its growth will need. */
void tcp_initial_window(const struct net_ns *net, uint32_t rcvbuf, uint32_t mss, uint32_t clamp,
	bool scale, uint32_t initrwnd, struct tcp_window *w)
{
	uint32_t space = rcvbuf / 2; /* as tcp_win_from_space, before anything was measured */
	if (!clamp)
		clamp = 65535u << 14;
	space = MIN(clamp, space);
	if (space > mss)
		space -= space % mss;
	w->wnd = space;
	if (READ_ONCE(net->ctl.tcp_workaround_signed_windows))
		w->wnd = MIN(space, 32767u);
	w->scale = 0;
	if (scale) {
		uint32_t most = MAX(space, (uint32_t)READ_ONCE(net->ctl.tcp_rmem[2]));
		most = MAX(most, (uint32_t)READ_ONCE(net->ctl.rmem_max));
		most = MIN(most, clamp);
		w->scale = wscale_for(most);
	}
	if (initrwnd)
		w->wnd = MIN(w->wnd, initrwnd * mss);
	w->clamp = MIN(65535u << w->scale, clamp);
}

void tcp_initial_rcv_mss(struct tcp_sock *t)
{
	uint32_t hint = MIN(t->advmss, t->mss);
	hint = MIN(hint, t->rcv_wnd / 2);
	hint = MIN(hint, TCP_MSS_DEFAULT);
	t->rcv_mss = (uint16_t)MAX(hint, 88u);
}

/* A connection is established. */
void tcp_init_buffers(struct tcp_sock *t)
{
	tcp_sndbuf_expand(t);
	uint32_t space = MIN(t->rcv_ssthresh, t->rcv_wnd);
	t->rcvq_space.space = MIN(space, INIT_CWND * t->advmss);
	t->rcvq_space.time = tcp_now();
	t->rcvq_space.seq = t->copied_seq;
	uint32_t most = (uint32_t)tcp_full_space(t);
	if (t->window_clamp >= most)
		t->window_clamp = most;
	t->rcv_ssthresh = MIN(t->rcv_ssthresh, t->window_clamp);
}

/* --- what the peer sends --- */

static void measure_mss(struct tcp_sock *t, const struct pkt *p)
{
	uint32_t len = p->gso_size ? p->gso_size : p->len;
	if (len >= t->rcv_mss) {
		if (len != t->rcv_mss) {
			uint64_t ratio = ((uint64_t)p->len << 8) / p->charge;
			t->scaling_ratio = (uint8_t)MIN(MAX(ratio, 1ul), 255ul);
		}
		t->rcv_mss = (uint16_t)MIN(len, t->advmss);
		if (p->len > t->rcv_mss + 40u)
			t->ack_pending |= TCP_ACK_PUSHED;
		return;
	}
	/* A peer whose segments are all of one small size has a small MSS. */
	if (len >= TCP_MSS_DEFAULT && len == t->last_seg_size) {
		t->rcv_mss = (uint16_t)len;
		return;
	}
	t->last_seg_size = (uint16_t)MIN(len, 65535u);
	if (t->ack_pending & TCP_ACK_PUSHED)
		t->ack_pending |= TCP_ACK_PUSHED2;
	t->ack_pending |= TCP_ACK_PUSHED;
}

/* rcv_ssthresh bounds the window while we have not seen how much of a packet is payload. */
static void grow_window(struct tcp_sock *t, const struct pkt *p)
{
	int64_t space = tcp_space(t), clamp = t->window_clamp;
	int32_t room = (int32_t)(MIN(clamp, space) - (int64_t)t->rcv_ssthresh);
	if (room <= 0 || tcp_mem_pressure())
		return;
	uint32_t incr = 0, real = (uint32_t)tcp_win_from_space(t, (int32_t)p->charge);
	if (real <= p->len) {
		incr = 2 * t->advmss;
	} else {
		uint32_t window = (uint32_t)tcp_win_from_space(t,
					  READ_ONCE(t->inet.sk.net->ctl.tcp_rmem[2])) /
				  2;
		for (real /= 2; t->rcv_ssthresh <= window && !incr && window; window /= 2) {
			if (real <= p->len)
				incr = 2u * t->rcv_mss;
			real /= 2;
		}
	}
	if (incr) {
		incr = MAX(incr, 2 * p->len);
		t->rcv_ssthresh += MIN((uint32_t)room, incr);
		t->ack_quick |= 1;
	}
}

/* Our own estimate of the round trip, times 8: for who only receives. */
static void rtt_update(struct tcp_sock *t, uint32_t sample, bool by_window)
{
	uint32_t cur = t->rcvq_space.rtt_us;
	if (!cur)
		cur = sample << 3;
	else if (!by_window)
		cur += sample - (cur >> 3);
	else
		cur = MIN(cur, sample << 3);
	t->rcvq_space.rtt_us = cur;
}

/* Without timestamps: a window full of data takes a round trip at least. */
static void rtt_by_window(struct tcp_sock *t, int64_t now)
{
	if (t->rcvq_space.rtt_time) {
		if (seq_before(t->rcv_nxt, t->rcvq_space.rtt_seq))
			return;
		int64_t us = (now - t->rcvq_space.rtt_time) / 1000;
		rtt_update(t, (uint32_t)MIN(MAX(us, 1L), 60000000L), true);
	}
	t->rcvq_space.rtt_seq = t->rcv_nxt + t->rcv_wnd;
	t->rcvq_space.rtt_time = now;
}

void tcp_rcv_rtt_ts(struct tcp_sock *t, uint32_t tsecr, uint32_t len)
{
	if (tsecr == t->rcv_rtt_tsecr || len < t->rcv_mss)
		return;
	t->rcv_rtt_tsecr = tsecr;
	uint32_t ms = (uint32_t)(tcp_now() / 1000000) - tsecr;
	if (ms < 60000)
		rtt_update(t, MAX(ms, 1u) * 1000, false);
}

void tcp_data_event(struct tcp_sock *t, struct pkt *p)
{
	int64_t now = tcp_now(), gap = now - t->last_recv;
	t->ack_pending |= TCP_ACK_SCHED;
	measure_mss(t, p);
	rtt_by_window(t, now);
	if (!t->ack_ato) { /* the first data: the sender is in slow start */
		tcp_quickack_add(t);
		t->ack_ato = TCP_ATO_MIN;
	} else if (gap <= TCP_ATO_MIN / 2) {
		t->ack_ato = t->ack_ato / 2 + TCP_ATO_MIN / 2;
	} else if (gap < t->ack_ato) {
		t->ack_ato = MIN(t->ack_ato / 2 + gap, t->rto);
	} else if (gap > t->rto) {
		tcp_quickack_add(t); /* it may have begun with slow start again */
	}
	t->last_recv = now;
	if (p->len >= 128)
		grow_window(t, p);
}

/* --- what the reader takes --- */

/* Some bytes were copied out: once a round trip the buffer is made to fit twice as much. */
void tcp_rcv_space_adjust(struct tcp_sock *t)
{
	struct socket *sk = &t->inet.sk;
	int64_t now = tcp_now(), us = (now - t->rcvq_space.time) / 1000;
	if (us < t->rcvq_space.rtt_us / 8 || !t->rcvq_space.rtt_us)
		return;
	uint32_t copied = t->copied_seq - t->rcvq_space.seq;
	if (copied > t->rcvq_space.space) {
		if (READ_ONCE(sk->net->ctl.tcp_moderate_rcvbuf) && !t->rcvbuf_locked) {
			uint64_t win = 2ul * copied + 16ul * t->advmss;
			uint32_t space = MAX(t->rcvq_space.space, 1u);
			win += 2 * (win * (copied - space) / space);
			uint64_t buf = (win << 8) / t->scaling_ratio;
			buf = MIN(buf, (uint64_t)(uint32_t)READ_ONCE(sk->net->ctl.tcp_rmem[2]));
			if (buf > sk->rcvbuf) {
				WRITE_ONCE(sk->rcvbuf, (uint32_t)buf);
				t->window_clamp = (uint32_t)tcp_win_from_space(t, (int32_t)buf);
			}
		}
		t->rcvq_space.space = copied;
	}
	t->rcvq_space.seq = t->copied_seq;
	t->rcvq_space.time = now;
}

/* SO_RCVLOWAT: so much must fit, and whoever waits for less is told (Linux' tcp_set_rcvlowat). */
void tcp_rcvlowat(struct tcp_sock *t)
{
	struct socket *sk = &t->inet.sk;
	uint32_t cap = sk->rcvbuf >> 1;
	if (!t->rcvbuf_locked)
		cap = (uint32_t)READ_ONCE(sk->net->ctl.tcp_rmem[2]) >> 1;
	uint32_t want = MIN(READ_ONCE(sk->rcvlowat), cap);
	WRITE_ONCE(sk->rcvlowat, MAX(want, 1u));
	if (t->state == TCP_LISTEN)
		return;
	tcp_data_ready(t);
	uint64_t space = ((uint64_t)want << 8) / t->scaling_ratio;
	if (!t->rcvbuf_locked && space > sk->rcvbuf) {
		WRITE_ONCE(sk->rcvbuf, (uint32_t)space);
		t->window_clamp = MAX(t->window_clamp, want);
	}
}

/* --- when it is full --- */

/* Memory of all connections is short: the peer is to send little. */
void tcp_mem_shrink_window(struct tcp_sock *t)
{
	if (tcp_mem_pressure())
		t->rcv_ssthresh = MIN(t->rcv_ssthresh, 4u * t->advmss);
}

static void clamp_window(struct tcp_sock *t)
{
	struct socket *sk = &t->inet.sk;
	uint32_t max = (uint32_t)READ_ONCE(sk->net->ctl.tcp_rmem[2]);
	t->ack_quick = 0;
	if (sk->rcvbuf < max && !t->rcvbuf_locked && tcp_mem_plenty(t))
		WRITE_ONCE(sk->rcvbuf, MIN(t->inet.rmem, max));
	if (t->inet.rmem > sk->rcvbuf)
		t->rcv_ssthresh = MIN(t->window_clamp, 2 * t->advmss);
}

/* Copies what lies behind one another from first on, up to a page run full, into one packet that
 * takes first's place.  False: nothing is to be gained, or no memory. */
static bool collapse_from(struct tcp_sock *t, struct pkt *first)
{
	struct pkt *p = first, *next;
	uint32_t len = 0, charge = 0, n = 0;
	for (; &p->node != &t->recvq && len + p->len <= 32768; n++) {
		len += p->len;
		charge += p->charge;
		p = list_entry(p->node.next, struct pkt, node);
	}
	if (n < 2 || charge < 2 * len + 2048)
		return false;
	struct nbuf *b = nbuf_new(len);
	struct pkt *to = b ? pkt_new() : NULL;
	if (!to) {
		nbuf_put(b);
		return false;
	}
	*tcp_rx_of(to) = *tcp_rx_of(first);
	list_insert_before(&first->node, &to->node);
	for (p = first; n--; p = next) {
		next = list_entry(p->node.next, struct pkt, node);
		pkt_copy(p, 0, b->data + b->used, p->len);
		b->used += p->len;
		tcp_rx_of(to)->end_seq = tcp_rx_of(p)->end_seq;
		tcp_rx_of(to)->flags |= tcp_rx_of(p)->flags;
		tcp_rx_free(t, p);
	}
	pkt_add_frag(to, b, 0, len);
	nbuf_put(b);
	WRITE_ONCE(t->inet.rmem, t->inet.rmem + to->charge);
	tcp_mem_sync(t);
	NET_INC(t->inet.sk.net, TcpExt_TCPRcvCollapsed);
	return true;
}

static void collapse(struct tcp_sock *t)
{
	struct pkt *p, *next;
	for (p = list_first(&t->recvq, struct pkt, node); p && &p->node != &t->recvq; p = next) {
		/* The first may be read from this moment: offsets into it are not kept. */
		struct list_node *before = p->node.prev;
		if (collapse_from(t, p))
			p = list_entry(before->next, struct pkt, node);
		next = list_entry(p->node.next, struct pkt, node);
		if (t->inet.rmem <= t->inet.sk.rcvbuf)
			return;
	}
}

/* The last ones go until there is room: false: there was none to go. */
static bool prune_ofo(struct tcp_sock *t, uint32_t n)
{
	struct pkt *p = tcp_ofo_last(t);
	if (!p)
		return false;
	NET_INC(t->inet.sk.net, TcpExt_OfoPruned);
	do {
		tcp_ofo_free(t, p);
		p = tcp_ofo_last(t);
	} while (p && (t->inet.rmem > t->inet.sk.rcvbuf || !tcp_mem_rcv_room(t, n)));
	/* The peer must not count on what we told it (RFC 2018, 8). */
	t->nsel_ack = 0;
	return true;
}

/* As much goes as has to, so that rcvbuf is kept: false: it is not. */
static bool prune(struct tcp_sock *t, uint32_t n)
{
	NET_INC(t->inet.sk.net, TcpExt_PruneCalled);
	if (t->inet.rmem > t->inet.sk.rcvbuf)
		clamp_window(t);
	else
		tcp_mem_shrink_window(t);
	if (t->inet.rmem <= t->inet.sk.rcvbuf)
		return true;
	collapse(t);
	if (t->inet.rmem > t->inet.sk.rcvbuf)
		prune_ofo(t, n);
	if (t->inet.rmem <= t->inet.sk.rcvbuf)
		return true;
	NET_INC(t->inet.sk.net, TcpExt_RcvPruned);
	return false;
}

bool tcp_rmem_room(struct tcp_sock *t, uint32_t n)
{
	if (likely(t->inet.rmem <= t->inet.sk.rcvbuf && tcp_mem_rcv_room(t, n)))
		return true;
	if (!prune(t, n))
		return false;
	while (!tcp_mem_rcv_room(t, n))
		if (!prune_ofo(t, n))
			return false;
	return true;
}
