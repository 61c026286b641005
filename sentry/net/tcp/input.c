/*
 * Segments that come in, from the header's check to the states of RFC 9293 3.10.7, in its order;
 * with the limits of RFC 5961 and PAWS (RFC 7323, 5).  What becomes of an ACK is in ack.c, of data
 * in queue.c; SYN_SENT is in connect.c, LISTEN in listen.c, TIME_WAIT in timewait.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/net/tcp/tcp_priv.h"

#define PAWS_24DAYS (24L * 24 * 3600 * NSEC_PER_SEC)

/* --- from the network layer --- */

/* Fills in tcp_in; false: no segment. */
static bool read_header(struct net_ns *net, struct pkt *p)
{
	struct tcp_in in = {.ce = (p->ip.tos & 3) == 3};
	struct tcphdr th;
	if (!pkt_want(p, sizeof(th)))
		return false;
	memcpy(&th, pkt_data(p), sizeof(th));
	in.hlen = (uint8_t)(th.th_off * 4);
	if (in.hlen < sizeof(th) || !pkt_want(p, in.hlen))
		return false;
	if (!pkt_checksum_ok(p, csum_pseudo(&p->ip.src, &p->ip.dst, IPPROTO_TCP, p->len))) {
		NET_INC(net, Tcp_InCsumErrors);
		return false;
	}
	in.flags = th.th_flags;
	in.seq = ntohl(th.th_seq);
	in.ack = ntohl(th.th_ack);
	in.window = ntohs(th.th_win);
	in.urg = ntohs(th.th_urp);
	in.end_seq = in.seq + p->len - in.hlen + !!(in.flags & TH_SYN) + !!(in.flags & TH_FIN);
	memcpy(p->cb, &in, sizeof(in));
	return true;
}

static void read_key(struct pkt *p, struct inet_key *k)
{
	uint16_t ports[2];
	memcpy(ports, pkt_data(p), 4);
	*k = (struct inet_key){.local = p->ip.dst,
		.remote = p->ip.src,
		.rport = ntohs(ports[0]),
		.lport = ntohs(ports[1]),
		.iif = p->iif};
}

/* IP_MINTTL, IPV6_MINHOPCOUNT (RFC 5082). */
static bool ttl_fine(struct inet_sock *s, struct pkt *p)
{
	uint8_t min = ip_is_v4(&p->ip.src) ? READ_ONCE(s->min_ttl) : READ_ONCE(s->min_hops);
	if (likely(p->ip.ttl >= min))
		return true;
	NET_INC(s->sk.net, TcpExt_TCPMinTTLDrop);
	return false;
}

/* To the socket that was found.  Takes p and the reference over. */
static void deliver(struct inet_sock *s, struct pkt *p)
{
	if (!ttl_fine(s, p))
		pkt_free(p);
	else if (READ_ONCE(s->sk.listening))
		tcp_listen_input(tcp_of(s), p);
	else
		inet_input(s, p);
	inet_put(s);
}

static void tcp_input(struct pkt *p)
{
	struct net_ns *net = p->net;
	struct inet_table *table = net->inet->tcp;
	struct inet_key k;
	NET_INC(net, Tcp_InSegs);
	if (p->type != PKT_HOST || !read_header(net, p)) {
		if (p->type == PKT_HOST)
			NET_INC(net, Tcp_InErrs);
		pkt_free(p);
		return;
	}
	read_key(p, &k);
	struct inet_sock *s = inet_find_conn(table, &k);
	if (s && s->kind == INET_TCP_TW) {
		bool again = tcp_tw_input(net, s, p);
		inet_put(s);
		if (!again)
			return;
		s = NULL; /* a SYN that may begin a new one */
	}
	if (!s)
		s = inet_find_bound(table, &k);
	if (s) {
		deliver(s, p);
		return;
	}
	tcp_reset_packet(net, p);
	pkt_free(p);
}

/* --- ICMP --- */

/* A router cannot let our packets through: RFC 1191, 8201. */
static void mtu_reduced(struct tcp_sock *t, uint32_t mtu)
{
	struct inet_sock *s = &t->inet;
	uint8_t disc = ip_is_v4(&s->remote) ? s->pmtudisc4 : s->pmtudisc6;
	uint32_t before = t->mss;
	if (disc == IP_PMTU_DONT || disc == IP_PMTU_INTERFACE || disc == IP_PMTU_OMIT)
		return;
	mutex_assert_held(&s->sk.lock);
	ip_pmtu_learn(s->sk.net, &s->remote, mtu, s->bound_if);
	if (!inet_route(s) && tcp_sync_mss(t) < before)
		tcp_simple_retransmit(t);
}

/* Backs SYNs and the RTO off no further where routes come and go: RFC 6069 is left to the timer. */
static void icmp_locked(struct tcp_sock *t, struct pkt *p, const struct ip_error *e, uint32_t seq)
{
	struct inet_sock *s = &t->inet;
	bool syn = t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV;
	if (t->state == TCP_CLOSE)
		return;
	if (t->state != TCP_LISTEN && (seq_before(seq, t->snd_una) || seq_after(seq, t->snd_nxt))) {
		NET_INC(s->sk.net, TcpExt_OutOfWindowIcmps);
		return;
	}
	if (e->err == EMSGSIZE) {
		if (t->state != TCP_LISTEN)
			mtu_reduced(t, e->info);
		return;
	}
	if (t->state == TCP_LISTEN)
		return;
	bool rerr = ip_is_v4(&s->remote) ? READ_ONCE(s->recverr4) : READ_ONCE(s->recverr6);
	if (rerr)
		inet_icmp_error(s, p, e, 0);
	if (syn) {
		tcp_fail(t, e->err);
	} else if (rerr && e->hard) {
		tcp_set_err(t, e->err);
	}
}

static void tcp_icmp(struct pkt *p, const struct ip_error *e)
{
	uint8_t h[8];
	uint16_t ports[2];
	uint32_t seq;
	if (!p || p->len < 8)
		return;
	pkt_copy(p, 0, h, 8);
	memcpy(ports, h, 4);
	memcpy(&seq, h + 4, 4);
	struct inet_key k = {.local = e->src,
		.remote = e->dst,
		.lport = ntohs(ports[0]),
		.rport = ntohs(ports[1]),
		.iif = p->iif};
	struct inet_sock *s = inet_find(p->net->inet->tcp, &k);
	if (!s)
		return;
	if (s->kind == INET_TCP) {
		inet_lock(s);
		if (READ_ONCE(s->sk.listening))
			tcp_listen_error(tcp_of(s), e, ntohs(ports[1]), ntohl(seq));
		else
			icmp_locked(tcp_of(s), p, e, ntohl(seq));
		inet_unlock(s);
	}
	inet_put(s);
}

const struct ip_proto tcp_ip_proto = {.input = tcp_input, .error = tcp_icmp};

/* --- is it acceptable? --- */

/* Answers to what is out of the window are limited for each connection (tcp_invalid_ratelimit):
 * two hosts that disagree would else answer each other without end. */
bool tcp_oow_limited(struct tcp_sock *t, int64_t *last)
{
	int64_t limit = READ_ONCE(t->inet.sk.net->ctl.tcp_invalid_ratelimit) * 1000000L;
	int64_t now = tcp_now();
	if (*last && now - *last < limit)
		return true;
	*last = now;
	return false;
}

/* RFC 5961, 7: so many in a second, of all connections, and no more than one each half a second. */
void tcp_challenge_ack(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_net *tn = net->tcp;
	uint32_t limit = (uint32_t)READ_ONCE(net->ctl.tcp_challenge_ack_limit);
	if (tcp_oow_limited(t, &t->oow_at))
		return;
	if (limit != INT32_MAX) {
		int64_t now = tcp_now();
		MUTEX_GUARD(&tn->lock);
		if (now - tn->challenge_at >= NSEC_PER_SEC) {
			tn->challenge_at = now;
			tn->challenge_left = limit;
		}
		if (!tn->challenge_left)
			return;
		tn->challenge_left--;
	}
	NET_INC(net, TcpExt_TCPChallengeACK);
	tcp_send_ack(t);
}

/* An ACK for a segment that was not acceptable. */
static void dup_ack(struct tcp_sock *t, const struct tcp_in *in)
{
	struct net_ns *net = t->inet.sk.net;
	if (in->end_seq != in->seq && seq_before(in->seq, t->rcv_nxt)) {
		NET_INC(net, TcpExt_DelayedACKLost);
		tcp_quickack(t, TCP_MAX_QUICKACKS);
		tcp_dsack_set(t, in->seq,
			seq_after(in->end_seq, t->rcv_nxt) ? t->rcv_nxt : in->end_seq);
	}
	tcp_send_ack(t);
}

/* RFC 7323, 5.2: too old a timestamp; a lost ACK that arrives late is let in. */
static bool paws_rejects(const struct tcp_sock *t, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	if (!t->ts_ok || !o->has_ts || (int32_t)(t->ts_recent - o->tsval) <= 0)
		return false;
	if (tcp_now() - t->ts_recent_at >= PAWS_24DAYS)
		return false;
	bool pure = in->seq == in->end_seq && in->seq == t->rcv_nxt;
	uint32_t window = (uint32_t)(t->rto * 1200 / 1000 / 1000000);
	if (pure && in->ack == t->snd_una && (uint32_t)in->window << t->snd_wscale == t->snd_wnd &&
		t->ts_recent - o->tsval <= window)
		return false;
	return true;
}

/* RFC 5961, 3.2: a reset counts if it hits the next byte exactly, or the end of what was SACKed. */
static bool reset_exact(const struct tcp_sock *t, const struct tcp_in *in)
{
	if (in->seq == t->rcv_nxt)
		return true;
	bool after_fin =
		t->state == TCP_CLOSE_WAIT || t->state == TCP_LAST_ACK || t->state == TCP_CLOSING;
	if (after_fin && in->seq == t->rcv_nxt - 1)
		return true;
	if (!t->sack_ok || !t->nsel_ack)
		return false;
	uint32_t max = t->sel_ack[0].end;
	for (uint32_t i = 1; i < t->nsel_ack; i++)
		if (seq_after(t->sel_ack[i].end, max))
			max = t->sel_ack[i].end;
	return in->seq == max;
}

/* RFC 9293, 3.10.7.4: "First, check the sequence number". */
static bool in_window(const struct tcp_sock *t, const struct tcp_in *in)
{
	return !seq_before(in->end_seq, t->rcv_wup) &&
	       !seq_after(in->seq, t->rcv_nxt + tcp_receive_window(t));
}

static void reset_received(struct tcp_sock *t)
{
	int err = ECONNRESET;
	if (t->state == TCP_CLOSE)
		return;
	if (t->state == TCP_SYN_SENT)
		err = ECONNREFUSED;
	else if (t->state == TCP_CLOSE_WAIT)
		err = EPIPE;
	tcp_fail(t, err);
}

/* False: the segment goes no further. */
static bool validate(struct tcp_sock *t, const struct tcp_in *in, const struct tcp_opts *o)
{
	struct net_ns *net = t->inet.sk.net;
	bool rst = in->flags & TH_RST;
	if (paws_rejects(t, in, o) && !rst) {
		NET_INC(net, TcpExt_PAWSEstab);
		if (in->flags & TH_SYN)
			goto syn;
		if (in->seq != in->end_seq || !tcp_oow_limited(t, &t->oow_at))
			dup_ack(t, in);
		else
			NET_INC(net, TcpExt_TCPACKSkippedPAWS);
		return false;
	}
	if (!in_window(t, in)) {
		if (rst) {
			if (reset_exact(t, in))
				reset_received(t);
			return false;
		}
		if (in->flags & TH_SYN)
			goto syn;
		if (in->end_seq != in->seq || !tcp_oow_limited(t, &t->oow_at))
			dup_ack(t, in);
		else
			NET_INC(net, TcpExt_TCPACKSkippedSeq);
		return false;
	}
	if (rst) {
		if (reset_exact(t, in))
			reset_received(t);
		else
			tcp_challenge_ack(t);
		return false;
	}
	if (in->flags & TH_SYN) {
		/* The ACK that opens a connection from both sides repeats the SYN (RFC 9293). */
		if (t->state == TCP_SYN_RECV && (in->flags & TH_ACK) && in->seq + 1 == t->rcv_nxt &&
			in->seq + 1 == in->end_seq && in->ack == t->snd_nxt)
			return true;
		goto syn;
	}
	return true;
syn:
	NET_INC(net, Tcp_InErrs);
	NET_INC(net, TcpExt_TCPSYNChallenge);
	tcp_challenge_ack(t);
	return false;
}

/* RFC 7323, 4.3: the timestamp to be echoed is that of the segment that moves the left edge. */
static void keep_timestamp(struct tcp_sock *t, const struct tcp_in *in, const struct tcp_opts *o)
{
	if (!t->ts_ok || !o->has_ts || seq_after(in->seq, t->rcv_wup))
		return;
	if ((int32_t)(o->tsval - t->ts_recent) >= 0 || tcp_now() - t->ts_recent_at >= PAWS_24DAYS) {
		t->ts_recent = o->tsval;
		t->ts_recent_at = tcp_now();
	}
}

/* --- ECN (RFC 3168, 6.1.3) --- */

static void ecn_in(struct tcp_sock *t, const struct tcp_in *in, const struct pkt *p)
{
	if (!t->ecn_ok)
		return;
	if (in->flags & TH_CWR) {
		t->ecn_echo = false;
		if (in->end_seq != in->seq)
			tcp_quickack(t, TCP_MAX_QUICKACKS);
	}
	if (in->ce && in->end_seq != in->seq) {
		if (!t->ecn_echo)
			tcp_quickack(t, TCP_MAX_QUICKACKS);
		t->ecn_echo = true;
	}
}

/* --- states --- */

/* RFC 5961, 5.2: false: the ACK is for nothing that we sent, or far too old. */
static bool ack_acceptable(struct tcp_sock *t, const struct tcp_in *in)
{
	if (seq_after(in->ack, t->snd_nxt)) {
		if (t->state == TCP_SYN_RECV)
			return false;
		tcp_challenge_ack(t);
		return false;
	}
	uint32_t max = MAX(t->max_window, 65535u);
	if (seq_before(in->ack, t->snd_una - max)) {
		tcp_challenge_ack(t);
		return false;
	}
	return true;
}

static void handle_ack(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	t->keep_probes = 0;
	tcp_ack(t, p, in, o);
	if (!seq_before(in->ack, t->snd_una))
		t->probes_out = 0;
}

/* Our FIN is acknowledged. */
static bool fin_acked(const struct tcp_sock *t)
{
	return t->snd_una == t->write_seq && list_empty(&t->sendq);
}

/* SYN_RECV becomes ESTABLISHED: we opened from both sides, or by fast open.  False: a bad ACK. */
static bool syn_recv_ack(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	if (!ack_acceptable(t, in) || !seq_after(in->ack, t->iss)) {
		tcp_reset_packet(t->inet.sk.net, p);
		return false;
	}
	tcp_ack_syn(t, in->ack, o);
	t->snd_wnd = (uint32_t)in->window << t->snd_wscale;
	t->max_window = MAX(t->max_window, t->snd_wnd);
	t->snd_wl1 = in->seq;
	if (t->ts_ok && t->fastopen_child)
		t->ts_recent_at = tcp_now();
	tcp_established(t);
	if (seq_after(in->ack, t->snd_una))
		handle_ack(t, p, in, o);
	return true;
}

/* FIN_WAIT_1 whose FIN was acknowledged. */
static bool enter_fin_wait2(struct tcp_sock *t, const struct tcp_in *in)
{
	tcp_set_state(t, TCP_FIN_WAIT2);
	tcp_shutdown_set(t, SOCK_SHUT_WR);
	if (!t->orphan) {
		tcp_wake_all(t); /* close(2) may linger */
		return true;
	}
	if ((in->flags & TH_FIN) && t->linger2 >= 0) {
		/* The peer's end comes with it: it must find us, or be sent again. */
		t->keep_at = tcp_now() + tcp_fin_time(t);
		tcp_timer_kick(t, t->keep_at);
		return true;
	}
	tcp_orphan_fin_wait2(t);
	return t->state != TCP_CLOSE;
}

/* Data after close(2): nobody will read it (RFC 1122, 4.2.2.13).  True: reset. */
static bool data_after_close(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in)
{
	bool wait = t->state == TCP_FIN_WAIT1 || t->state == TCP_FIN_WAIT2;
	if (!wait || !sock_is_shut(&t->inet.sk, SOCK_SHUT_RD) || !t->orphan)
		return false;
	uint32_t end = in->end_seq - !!(in->flags & TH_FIN);
	if (in->end_seq == in->seq || !seq_after(end, t->rcv_nxt))
		return false;
	NET_INC(t->inet.sk.net, TcpExt_TCPAbortOnData);
	tcp_reset_packet(t->inet.sk.net, p);
	tcp_fail(t, ECONNRESET);
	return true;
}

/* What the ACK means for the state; false: it is over. */
static bool ack_state(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in)
{
	if (t->state == TCP_CLOSE)
		return false;
	switch (t->state) {
	case TCP_FIN_WAIT1:
		if (data_after_close(t, p, in))
			return false;
		return !fin_acked(t) || enter_fin_wait2(t, in);
	case TCP_FIN_WAIT2:
		return !data_after_close(t, p, in);
	case TCP_CLOSING:
		if (!fin_acked(t))
			return true;
		tcp_time_wait(t, TCP_TIME_WAIT);
		return false;
	case TCP_LAST_ACK:
		if (!fin_acked(t))
			return true;
		tcp_done(t);
		return false;
	}
	return true;
}

/* ACK, data and FIN of an acceptable segment; p begins at its header and is taken over. */
static void segment(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	uint8_t before = t->state;
	if (!(in->flags & TH_ACK)) {
		pkt_free(p);
		return;
	}
	if (before == TCP_SYN_RECV) {
		if (!syn_recv_ack(t, p, in, o)) {
			pkt_free(p);
			return;
		}
	} else {
		if (!ack_acceptable(t, in)) {
			pkt_free(p);
			return;
		}
		handle_ack(t, p, in, o);
	}
	keep_timestamp(t, in, o);
	if (!ack_state(t, p, in)) {
		pkt_free(p);
		return;
	}
	ecn_in(t, in, p);
	if (in->flags & TH_URG)
		tcp_urgent_in(t, p, in);
	if (in->end_seq != in->seq)
		tcp_data_in(t, p);
	else
		pkt_free(p);
	if (t->state == TCP_CLOSE)
		return;
	if (!list_empty(&t->sendq))
		tcp_write_xmit(t, false);
	tcp_write_space(t);
	tcp_ack_check(t);
}

/* ops->input: with the lock. */
void tcp_sock_input(struct inet_sock *s, struct pkt *p)
{
	struct tcp_sock *t = tcp_of(s);
	struct tcp_in in = *tcp_in_of(p);
	struct tcp_opts o;
	p->net = s->sk.net;
	if (t->state == TCP_CLOSE || t->state == TCP_LISTEN) {
		if (t->state == TCP_CLOSE)
			tcp_reset_packet(s->sk.net, p);
		pkt_free(p);
		return;
	}
	if (unlikely(READ_ONCE(s->sk.filter)) && !inet_filter(s, p, in.hlen)) {
		pkt_free(p);
		return;
	}
	tcp_opts_read(&o, pkt_data(p) + sizeof(struct tcphdr),
		in.hlen - (uint32_t)sizeof(struct tcphdr), in.flags & TH_SYN);
	if (o.has_ts && t->ts_ok && o.tsecr)
		o.tsecr -= t->ts_offset;
	t->segs_in += pkt_segs(p);
	if (in.end_seq != in.seq && p->len > in.hlen)
		t->data_segs_in += pkt_segs(p);
	if (t->state == TCP_SYN_SENT) {
		tcp_syn_sent_input(t, p, &in, &o);
		return;
	}
	if (!validate(t, &in, &o)) {
		pkt_free(p);
		return;
	}
	segment(t, p, &in, &o);
}
