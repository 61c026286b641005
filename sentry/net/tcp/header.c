/*
 * Segments on their way out: header, options, the window that they offer, and the packet.
 * RFC 9293 3.1, 3.8.6; RFC 7323; RFC 2018; RFC 3168.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/siphash.h"
#include "sentry/net/tcp/tcp_priv.h"

#define HEAD_COPY 160u /* so much payload is copied into the packet's head */

/* --- clocks and numbers --- */

uint32_t tcp_tsval(const struct tcp_sock *t)
{
	return (uint32_t)(tcp_now() / 1000000) + t->ts_offset;
}

struct isn_key {
	struct ip_addr a, b;
	uint16_t ap, bp;
	uint32_t what;
};

/* RFC 6528: 64 ns a step, as Linux. */
uint32_t tcp_isn(const struct net_ns *net, const struct ip_addr *local, uint16_t lport,
	const struct ip_addr *remote, uint16_t rport)
{
	struct isn_key k = {*local, *remote, lport, rport, 0};
	return (uint32_t)siphash(net->secret, &k, sizeof(k)) + (uint32_t)(time_realtime() >> 6);
}

/* What a connection's timestamps begin at: by addresses only, so that they grow from one connection
 * of a pair of hosts to the next (RFC 7323, 5.4). */
uint32_t tcp_ts_offset(const struct net_ns *net, const struct ip_addr *local,
	const struct ip_addr *remote)
{
	struct isn_key k = {*local, *remote, 0, 0, 1};
	if (READ_ONCE(net->ctl.tcp_timestamps) != 1)
		return 0;
	return (uint32_t)siphash(net->secret, &k, sizeof(k));
}

/* --- the window that we offer (RFC 9293, 3.8.6.2.2; RFC 1122, 4.2.3.3) --- */

int32_t tcp_win_from_space(const struct tcp_sock *t, int32_t space)
{
	return (int32_t)((int64_t)space * t->scaling_ratio >> 8);
}

int32_t tcp_full_space(const struct tcp_sock *t)
{
	return tcp_win_from_space(t, (int32_t)READ_ONCE(t->inet.sk.rcvbuf));
}

int32_t tcp_space(const struct tcp_sock *t)
{
	return tcp_win_from_space(t, (int32_t)READ_ONCE(t->inet.sk.rcvbuf) -
					     (int32_t)READ_ONCE(t->inet.backlog_len) -
					     (int32_t)t->inet.rmem);
}

uint32_t tcp_receive_window(const struct tcp_sock *t)
{
	int32_t win = (int32_t)(t->rcv_wup + t->rcv_wnd - t->rcv_nxt);
	return win < 0 ? 0 : (uint32_t)win;
}

/* Without scaling the window moves in steps of the peer's segments only. */
static int32_t unscaled_window(const struct tcp_sock *t, int32_t mss, int32_t full, int32_t room)
{
	int32_t win = (int32_t)t->rcv_wnd;
	if (win <= room - mss || win > room)
		return room / mss * mss;
	if (mss == full && room > win + full / 2)
		return room;
	return win;
}

uint32_t tcp_window_now(struct tcp_sock *t)
{
	int32_t allowed = tcp_full_space(t), room = tcp_space(t);
	int32_t full = (int32_t)MIN((uint32_t)MAX(allowed, 0), t->window_clamp);
	int32_t mss = MIN((int32_t)t->rcv_mss, full);
	if (mss <= 0)
		return 0;
	if (room < full / 2) {
		t->ack_quick = 0;
		tcp_mem_shrink_window(t);
		room &= -(1 << t->rcv_wscale);
		/* So little is no use: the sender is to wait until there is more. */
		if (room < allowed / 16 || room < mss)
			return 0;
	}
	room = MIN(room, (int32_t)t->rcv_ssthresh);
	if (!t->rcv_wscale)
		return (uint32_t)unscaled_window(t, mss, full, room);
	return ROUND_UP((uint32_t)room, 1u << t->rcv_wscale);
}

static uint16_t select_window(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t old = t->rcv_wnd, cur = tcp_receive_window(t), win = tcp_window_now(t);
	if (win < cur) { /* never shrink what was offered */
		if (win == 0)
			NET_INC(net, TcpExt_TCPWantZeroWindowAdv);
		win = ROUND_UP(cur, 1u << t->rcv_wscale);
	}
	uint32_t max = 65535u << t->rcv_wscale;
	if (!t->rcv_wscale && READ_ONCE(net->ctl.tcp_workaround_signed_windows))
		max = 32767;
	win = MIN(win, max);
	t->rcv_wnd = win;
	t->rcv_wup = t->rcv_nxt;
	if (!(win >> t->rcv_wscale) && old)
		NET_INC(net, TcpExt_TCPToZeroWindowAdv);
	else if ((win >> t->rcv_wscale) && !old)
		NET_INC(net, TcpExt_TCPFromZeroWindowAdv);
	return (uint16_t)(win >> t->rcv_wscale);
}

/* --- packets --- */

uint32_t tcp_sack_opts_len(const struct tcp_sock *t)
{
	uint32_t n = t->nsel_ack + (t->has_dsack ? 1u : 0), max = t->ts_ok ? 3 : 4;
	return n ? 4 + MIN(n, max) * 8 : 0;
}

static uint8_t *put_opts(struct tcp_sock *t, uint8_t *o, uint32_t sack)
{
	if (t->ts_ok)
		o = tcp_put_ts(o, tcp_tsval(t), t->ts_recent);
	if (sack) {
		uint32_t n = (sack - 4) / 8;
		if (t->has_dsack)
			n--;
		o = tcp_put_sack(o, t->sel_ack, n, t->has_dsack ? &t->dsack : NULL);
		t->has_dsack = false;
	}
	return o;
}

static void put_header(struct tcp_sock *t, uint8_t *h, uint32_t hlen, uint32_t seq, uint32_t ack,
	uint16_t flags, uint16_t window)
{
	struct tcphdr th = {.th_sport = htons(t->inet.lport),
		.th_dport = htons(t->inet.rport),
		.th_seq = htonl(seq),
		.th_ack = htonl(ack),
		.th_flags = (uint8_t)flags,
		.th_win = htons(window)};
	th.th_off = (uint8_t)(hlen / 4) & 15;
	if (t->urg_out && seq_before(seq, t->snd_up)) {
		uint32_t off = t->snd_up - seq;
		if (off <= 0xffff) {
			th.th_urp = htons((uint16_t)off);
			th.th_flags |= TH_URG;
		} else if (seq_after(seq + 0xffff, t->snd_nxt)) {
			th.th_urp = 0xffff;
			th.th_flags |= TH_URG;
		}
	}
	memcpy(h, &th, sizeof(th));
}

/* Hands a complete segment to IP.  Takes p over. */
static int send_pkt(struct tcp_sock *t, struct pkt *p, bool ect)
{
	struct inet_sock *s = &t->inet;
	struct flow f;
	struct ip_tx tx;
	mutex_assert_held(&s->sk.lock);
	int err = inet_route(s);
	if (err) {
		pkt_free(p);
		return err;
	}
	inet_flow(s, &s->remote, s->rport, &f);
	f.src = s->local;
	inet_ip_tx(s, &f, &tx);
	tx.proto = IPPROTO_TCP;
	if (ect)
		tx.tos |= 2; /* ECT(0) */
	p->net = s->sk.net;
	p->l4 = p->data;
	pkt_checksum_partial(p, 16, csum_pseudo(&s->local, &s->remote, IPPROTO_TCP, p->len));
	NET_INC(s->sk.net, Tcp_OutSegs);
	t->segs_out++;
	return ip_output(s->sk.net, p, &f, &s->route, &tx);
}

/* What an ACK that went out settles. */
static void ack_sent(struct tcp_sock *t)
{
	uint32_t n = t->ack_pending;
	if (t->ack_quick)
		t->ack_quick = t->ack_quick > 1 && (n & TCP_ACK_SCHED) ? t->ack_quick - 1 : 0;
	t->ack_pending = 0;
	t->ack_retry = 0;
	t->delack_at = 0;
}

/* ECN (RFC 3168, 6.1): the echo until CWR comes; CWR with the first new data after a reduction. */
static uint16_t ecn_flags(struct tcp_sock *t, const struct tcp_seg *s, bool *ect)
{
	uint16_t flags = 0;
	*ect = false;
	if (!t->ecn_ok)
		return 0;
	if (s && s->len && !(s->sacked & TCP_EVER_RETRANS) && !seq_before(s->seq, t->snd_nxt)) {
		*ect = true;
		if (t->ecn_cwr_pending) {
			t->ecn_cwr_pending = false;
			flags |= TH_CWR;
		}
	}
	return t->ecn_echo ? flags | TH_ECE : flags;
}

/* A segment with the options of an established connection; s NULL: no data. */
static int transmit(struct tcp_sock *t, const struct tcp_seg *s, uint32_t seq, uint16_t flags)
{
	uint32_t sack = tcp_sack_opts_len(t), len = s ? s->len : 0;
	uint32_t hlen = (uint32_t)sizeof(struct tcphdr) + (t->ts_ok ? 12 : 0) + sack;
	struct pkt *p = pkt_new();
	uint8_t *at;
	bool ect;
	if (!p)
		return -ENOMEM;
	if (len > HEAD_COPY) {
		pkt_add_frag(p, s->buf, s->off, len);
	} else if (len) {
		at = pkt_put(p, len);
		memcpy(at, s->buf->data + s->off, len);
	}
	flags |= ecn_flags(t, s, &ect);
	at = pkt_push(p, hlen);
	put_header(t, at, hlen, seq, t->rcv_nxt, flags, select_window(t));
	put_opts(t, at + sizeof(struct tcphdr), sack);
	if (s && len > s->mss) {
		p->gso = ip_is_v4(&t->inet.remote) ? PKT_GSO_TCP4 : PKT_GSO_TCP6;
		p->gso_size = s->mss;
		p->gso_segs = (uint16_t)tcp_packets(len, s->mss);
		p->ecn = (flags & TH_CWR) != 0;
	}
	if (flags & TH_ACK)
		ack_sent(t);
	return send_pkt(t, p, ect);
}

/* SYN and SYN-ACK of a connection (those of requests: listen.c). */
static int transmit_syn(struct tcp_sock *t, struct tcp_seg *s)
{
	struct net_ns *net = t->inet.sk.net;
	bool ack = s->flags & TH_ACK;
	uint16_t flags = (s->flags & (TH_SYN | TH_ACK)) | (ack ? 0 : s->flags & (TH_ECE | TH_CWR));
	struct tcp_syn_opts o = {.mss = (uint16_t)t->advmss,
		.tsval = tcp_tsval(t),
		.tsecr = t->ts_recent,
		.wscale = -1,
		.fastopen_len = -1};
	if (ack) {
		o.ts = t->ts_ok;
		o.sack_ok = t->sack_ok;
		o.wscale = t->wscale_ok ? (int8_t)t->rcv_wscale : -1;
		if (t->ecn_ok)
			flags |= TH_ECE;
	} else {
		o.ts = READ_ONCE(net->ctl.tcp_timestamps) != 0;
		o.sack_ok = READ_ONCE(net->ctl.tcp_sack) != 0;
		o.wscale = READ_ONCE(net->ctl.tcp_window_scaling) ? (int8_t)t->rcv_wscale : -1;
	}
	tcp_fastopen_syn_opt(t, &o);
	uint32_t hlen = (uint32_t)sizeof(struct tcphdr) + tcp_syn_opts_len(&o);
	struct pkt *p = pkt_new();
	if (!p)
		return -ENOMEM;
	struct tcp_seg *data = tcp_fastopen_data(t);
	if (data)
		pkt_add_frag(p, data->buf, data->off, data->len);
	uint8_t *at = pkt_push(p, hlen);
	put_header(t, at, hlen, s->seq, ack ? t->rcv_nxt : 0, flags,
		(uint16_t)MIN(t->rcv_wnd, 65535u));
	tcp_put_syn_opts(at + sizeof(struct tcphdr), &o);
	return send_pkt(t, p, false);
}

int tcp_transmit(struct tcp_sock *t, struct tcp_seg *s)
{
	if (s->flags & TH_SYN)
		return transmit_syn(t, s);
	uint16_t flags = TH_ACK | (s->flags & (TH_FIN | TH_PUSH));
	int err = transmit(t, s, s->seq, flags);
	if (s->len) {
		int64_t now = tcp_now();
		uint32_t n = tcp_packets(s->len, s->mss);
		t->last_sent = now;
		t->data_segs_out += n;
		t->bytes_sent += s->len;
		if (n > 1) {
			t->segs_out += n - 1;
			NET_ADD(t->inet.sk.net, Tcp_OutSegs, n - 1);
		}
		/* Data goes both ways: ACKs had better travel with it (RFC 5681, 4.2). */
		if (t->last_recv && now - t->last_recv < t->ack_ato && t->ack_pingpong < 255)
			t->ack_pingpong++;
	}
	return err;
}

void tcp_send_ack(struct tcp_sock *t)
{
	if (t->state == TCP_CLOSE || t->state == TCP_LISTEN)
		return;
	if (transmit(t, NULL, t->snd_nxt, TH_ACK) == -ENOMEM) {
		/* Later, then. */
		t->ack_pending |= TCP_ACK_SCHED;
		tcp_delack_set(t, tcp_now() + TCP_DELACK_MAX);
	}
}

/* An ACK below the window: the peer must answer it. */
int tcp_send_old(struct tcp_sock *t, bool urgent)
{
	return transmit(t, NULL, t->snd_una - (urgent ? 0 : 1), TH_ACK);
}

int tcp_send_rst(struct tcp_sock *t)
{
	NET_INC(t->inet.sk.net, Tcp_OutRsts);
	return transmit(t, NULL, tcp_acceptable_seq(t), TH_RST | TH_ACK);
}
