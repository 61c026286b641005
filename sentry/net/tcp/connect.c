/*
 * Opening a connection: connect(2), SYN and its repetition, and the answers in SYN_SENT, among them
 * a SYN of the other side that crosses ours (RFC 9293, 3.5, 3.10.7.3).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/net/tcp/tcp_priv.h"

/* --- the first segment --- */

static void reset_receive(struct tcp_sock *t, const struct tcp_window *w)
{
	t->rcv_wnd = w->wnd;
	t->rcv_wscale = w->scale;
	t->window_clamp = w->clamp;
	t->rcv_ssthresh = w->wnd;
	t->rcv_nxt = t->rcv_wup = 0;
	WRITE_ONCE(t->copied_seq, 0);
	t->scaling_ratio = 128;
}

/* The MSS that we announce. */
uint32_t tcp_advmss(const struct tcp_sock *t, const struct route *rt)
{
	uint32_t head = ip_is_v4(&t->inet.remote) ? 20 : 40;
	uint32_t mtu = rt->link ? READ_ONCE(rt->link->mtu) : rt->mtu;
	uint32_t mss = rt->advmss ? rt->advmss : MIN(mtu, 65535u) - head - 20;
	mss = MIN(MAX(mss, 88u), 65535u - head - 20);
	return t->user_mss ? MIN(mss, t->user_mss) : mss;
}

uint32_t tcp_pmtu(const struct tcp_sock *t)
{
	uint32_t mtu = ip_mtu(&t->inet.route);
	return mtu ? mtu : 576;
}

/* RFC 3168, 6.1.1. */
static uint16_t syn_ecn(const struct tcp_sock *t)
{
	return READ_ONCE(t->inet.sk.net->ctl.tcp_ecn) == 1 ? TH_ECE | TH_CWR : 0;
}

/* Everything of a connection that begins; local, remote and route are known. */
static int start(struct tcp_sock *t)
{
	struct inet_sock *s = &t->inet;
	struct net_ns *net = s->sk.net;
	struct tcp_window w;
	struct tcp_seg *syn;
	tcp_recovery_init(t);
	t->peer_mss = t->user_mss ? t->user_mss : 65535;
	t->max_window = 0;
	t->advmss = tcp_advmss(t, &s->route);
	tcp_sync_mss(t);
	tcp_initial_rcv_mss(t);
	tcp_initial_window(net, s->sk.rcvbuf, t->advmss, t->user_clamp,
		READ_ONCE(net->ctl.tcp_window_scaling), s->route.initrwnd, &w);
	reset_receive(t, &w);
	s->sk.err = 0;
	t->done = false;
	t->snd_wnd = t->snd_wl1 = 0;
	t->snd_una = t->snd_sml = t->snd_up = t->iss = t->write_seq;
	WRITE_ONCE(t->snd_nxt, t->iss);
	t->retransmits = t->backoff = 0;
	syn = tcp_seg_new(t, t->iss);
	if (!syn)
		return -ENOBUFS;
	syn->flags = TH_SYN | syn_ecn(t);
	syn->end_seq = t->iss + 1;
	WRITE_ONCE(t->write_seq, t->iss + 1);
	t->retrans_stamp = tcp_now();
	tcp_fastopen_syn_data(t);
	list_push_front(&t->sendq, &syn->node);
	t->push_seq = t->write_seq;
	NET_INC(net, Tcp_ActiveOpens);
	int err = tcp_transmit(t, syn);
	tcp_sent_new(t, syn, tcp_now());
	return err == -ECONNREFUSED ? err : 0;
}

/* A TIME_WAIT of the same four-tuple may be replaced (RFC 6191): the new sequence is beyond its. */
static bool reuse_tw(struct inet_sock *old, struct inet_sock *s)
{
	return old->kind == INET_TCP_TW && tcp_tw_reuse(old, tcp_of(s));
}

/* Chooses addresses and ports: 0 or -errno. */
static int choose(struct tcp_sock *t, const struct ip_addr *dst, uint16_t port)
{
	struct inet_sock *s = &t->inet;
	struct net_ns *net = s->sk.net;
	struct route rt = {0};
	struct flow f;
	inet_flow(s, dst, port, &f);
	f.proto = IPPROTO_TCP;
	int err = route_lookup(net, &f, &rt);
	if (err) {
		if (err == -ENETUNREACH)
			NET_INC(net, IpExt_InNoRoutes);
		return err;
	}
	if (rt.type == RTN_BROADCAST || rt.type == RTN_MULTICAST) {
		route_put(&rt);
		return -ENETUNREACH;
	}
	struct ip_addr local = ip_is_any(&s->bound) ? rt.src : s->bound;
	t->tw_seq = 0;
	tcp_set_state(t, TCP_SYN_SENT);
	err = inet_connect_port(net->inet->tcp, s, &local, dst, port, true, reuse_tw);
	route_put(&s->route);
	if (err) {
		tcp_set_state(t, TCP_CLOSE);
		route_put(&rt);
		return err;
	}
	s->route = rt;
	mutex_assert_held(&s->sk.lock);
	if (!route_valid(net, &s->route))
		err = inet_route(s);
	return err;
}

/* As if connect(2) had not been called: but for a bound address and port all names go. */
static void undo(struct tcp_sock *t)
{
	struct inet_sock *s = &t->inet;
	tcp_purge_send(t);
	tcp_timers_stop(t);
	tcp_set_state(t, TCP_CLOSE);
	inet_disconnect_port(s->sk.net->inet->tcp, s, s->locks & INET_LOCK_PORT);
}

int tcp_connect_start(struct tcp_sock *t, const struct ip_addr *a, uint16_t port)
{
	struct inet_sock *s = &t->inet;
	struct ip_addr dst = *a;
	if (ip_is_any(&dst)) /* this host (RFC 1122, 3.2.1.3) */
		dst = ip_is_v4(&dst) ? ip_v4(htonl(INADDR_LOOPBACK))
				     : (struct ip_addr){.b = {[15] = 1}};
	if (ip_is_multicast(&dst))
		return -ENETUNREACH;
	int err = choose(t, &dst, port);
	if (err)
		return err;
	if (t->tw_seq) { /* beyond the connection that waited */
		WRITE_ONCE(t->write_seq, t->tw_seq);
	} else {
		WRITE_ONCE(t->write_seq, tcp_isn(s->sk.net, &s->local, s->lport, &s->remote, port));
		t->ts_recent = 0;
		t->ts_recent_at = 0;
	}
	t->ts_offset = tcp_ts_offset(s->sk.net, &s->local, &s->remote);
	err = start(t);
	if (err)
		undo(t);
	return err;
}

/* --- connect(2) --- */

/* Sleeps until the handshake is over, one way or the other: 0; or what the call returns. */
static int wait_connected(struct ctx *ctx, struct tcp_sock *t, int64_t timeo)
{
	struct socket *sk = &t->inet.sk;
	int64_t deadline = sock_deadline(timeo);
	mutex_assert_held(&t->inet.sk.lock);
	while (t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV) {
		int err = inet_wait(ctx, &t->inet, &sk->wr, POLLOUT, deadline);
		if (err == -ETIMEDOUT)
			return -EINPROGRESS;
		if (err)
			return sock_wait_error(ctx, err, timeo);
	}
	return 0;
}

/* It is over: EISCONN from now on, or an error that is told once. */
static int finish(struct tcp_sock *t)
{
	if (t->state != TCP_CLOSE) {
		t->ss = ABI_SS_CONNECTED;
		return 0;
	}
	int err = sock_take_error(&t->inet.sk);
	t->ss = ABI_SS_UNCONNECTED;
	tcp_disconnect_locked(t);
	return err ? err : -ECONNABORTED;
}

/* Waits for a handshake that was begun; err is for who does not wait. */
static int connect_wait(struct ctx *ctx, struct tcp_sock *t, bool nonblock, int err)
{
	int64_t timeo = nonblock ? 0 : READ_ONCE(t->inet.sk.sndtimeo);
	if (t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV) {
		if (!timeo)
			return err;
		int w = wait_connected(ctx, t, timeo);
		if (w)
			return w == -EINPROGRESS ? err : w;
	}
	return finish(t);
}

/* What the state of the socket says about another connect(2). */
int tcp_pre_connect(struct ctx *ctx, struct inet_sock *s, bool nonblock)
{
	struct tcp_sock *t = tcp_of(s);
	switch (t->ss) {
	case ABI_SS_CONNECTED:
		return -EISCONN;
	case ABI_SS_CONNECTING:
		if (t->defer_connect)
			return -EISCONN;
		return connect_wait(ctx, t, nonblock, -EALREADY);
	case ABI_SS_UNCONNECTED:
		return t->state == TCP_CLOSE ? 1 : -EISCONN;
	default:
		return -EINVAL;
	}
}

int tcp_connect(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	bool nonblock)
{
	struct tcp_sock *t = tcp_of(s);
	if (t->fastopen_connect && tcp_fastopen_may_defer(t, a)) {
		t->defer_to = *a;
		t->defer_port = port;
		WRITE_ONCE(t->defer_connect, true);
		t->ss = ABI_SS_CONNECTING;
		return 0;
	}
	int err = tcp_connect_start(t, a, port);
	if (err)
		return err;
	t->ss = ABI_SS_CONNECTING;
	return connect_wait(ctx, t, nonblock, -EINPROGRESS);
}

/* --- SYN again --- */

/* The SYN's timer: the first tcp_syn_linear_timeouts times at the same distance. */
void tcp_syn_timer(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t tries = t->max_syn_retries ? t->max_syn_retries
					    : (uint32_t)READ_ONCE(net->ctl.tcp_syn_retries);
	uint32_t linear = (uint32_t)READ_ONCE(net->ctl.tcp_syn_linear_timeouts);
	struct tcp_seg *s = list_first(&t->rtxq, struct tcp_seg, node);
	int64_t now = tcp_now(), limit = t->user_timeout * 1000000L;
	/* Linear ones come on top of tcp_syn_retries, as Linux counts them. */
	bool over = t->retransmits >= tries + (t->max_syn_retries ? 0 : linear);
	if (limit && now - t->retrans_stamp >= limit)
		over = true;
	if (!s || over) {
		NET_INC(net, TcpExt_TCPTimeouts);
		tcp_fail(t, t->soft_err ? t->soft_err : ETIMEDOUT);
		return;
	}
	t->retransmits++;
	t->total_retrans++;
	s->sacked |= TCP_EVER_RETRANS;
	s->sent = now;
	NET_INC(net, TcpExt_TCPTimeouts);
	NET_INC(net, TcpExt_TCPSynRetrans);
	NET_INC(net, Tcp_RetransSegs);
	/* A path that cannot bear ECN gets a SYN without (RFC 3168, 6.1.1.1). */
	if (READ_ONCE(net->ctl.tcp_ecn_fallback) && t->retransmits >= 2)
		s->flags &= (uint16_t) ~(TH_ECE | TH_CWR);
	tcp_transmit(t, s);
	if (t->state == TCP_CLOSE)
		return;
	if (t->state == TCP_SYN_RECV || t->retransmits > linear) {
		t->backoff++;
		t->rto = MIN(t->rto * 2, TCP_RTO_MAX_NS);
	}
	tcp_timer_set(t, TCP_TIMER_RTO, now + t->rto);
}

/* --- SYN_SENT --- */

/* What the options of a SYN settle for both ways. */
static void settle_opts(struct tcp_sock *t, const struct tcp_opts *o)
{
	struct net_ns *net = t->inet.sk.net;
	t->ts_ok = o->has_ts && READ_ONCE(net->ctl.tcp_timestamps);
	t->sack_ok = o->sack_ok && READ_ONCE(net->ctl.tcp_sack);
	t->wscale_ok = o->has_wscale && READ_ONCE(net->ctl.tcp_window_scaling);
	if (t->wscale_ok) {
		t->snd_wscale = o->wscale;
	} else {
		t->snd_wscale = t->rcv_wscale = 0;
		t->window_clamp = MIN(t->window_clamp, 65535u);
	}
	uint32_t mss = o->mss ? o->mss : TCP_MSS_DEFAULT;
	t->peer_mss = t->user_mss ? MIN(mss, t->user_mss) : mss;
	if (t->ts_ok) {
		t->ts_recent = o->tsval;
		t->ts_recent_at = tcp_now();
	}
}

void tcp_established(struct tcp_sock *t)
{
	tcp_set_state(t, TCP_ESTABLISHED);
	t->retransmits = t->backoff = 0;
	if (t->ts_ok)
		t->advmss -= 12;
	tcp_sync_mss(t);
	tcp_cwnd_init(t);
	tcp_init_buffers(t);
	t->last_ack = t->last_sent = t->last_recv = tcp_now();
	if (sock_flag(&t->inet.sk, SOCK_F_KEEPALIVE))
		tcp_keepalive_start(t);
	if (!t->orphan)
		tcp_wake_all(t);
}

static void take_irs(struct tcp_sock *t, const struct tcp_in *in)
{
	t->irs = in->seq;
	WRITE_ONCE(t->rcv_nxt, in->seq + 1);
	t->rcv_wup = in->seq + 1;
	WRITE_ONCE(t->copied_seq, in->seq + 1);
	t->snd_wl1 = in->seq;
}

/* SYN and ACK: p stays the caller's. */
static void syn_ack(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	t->ecn_ok = (in->flags & (TH_ECE | TH_CWR)) == TH_ECE && syn_ecn(t);
	settle_opts(t, o);
	t->snd_wnd = in->window; /* never scaled in a SYN */
	t->max_window = MAX(t->max_window, t->snd_wnd);
	take_irs(t, in);
	tcp_initial_rcv_mss(t);
	tcp_ack_syn(t, in->ack, o);
	tcp_fastopen_syn_ack(t, in, o);
	tcp_established(t);
	/* Whoever writes first or reads at once can carry the ACK. */
	if (!list_empty(&t->sendq) || t->ack_pingpong || t->inet.sk.listening) {
		t->ack_pending |= TCP_ACK_SCHED;
		tcp_delack_set(t, tcp_now() + TCP_DELACK_MAX);
		tcp_write_xmit(t, false);
		if (!(t->ack_pending & TCP_ACK_SCHED))
			return;
	}
	tcp_send_ack(t);
}

/* A SYN without ACK: both sides open at once. */
static void crossed_syn(struct tcp_sock *t, const struct tcp_in *in, const struct tcp_opts *o)
{
	struct tcp_seg *syn = list_first(&t->rtxq, struct tcp_seg, node);
	tcp_set_state(t, TCP_SYN_RECV);
	t->ecn_ok = (in->flags & (TH_ECE | TH_CWR)) == (TH_ECE | TH_CWR) && syn_ecn(t);
	settle_opts(t, o);
	take_irs(t, in);
	t->snd_wnd = in->window;
	t->max_window = in->window;
	tcp_sync_mss(t);
	tcp_initial_rcv_mss(t);
	if (!syn)
		return;
	syn->flags = (uint16_t)((syn->flags & ~(TH_ECE | TH_CWR)) | TH_SYN | TH_ACK);
	tcp_transmit(t, syn);
}

void tcp_syn_sent_input(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *opts)
{
	struct tcp_opts o = *opts;
	struct net_ns *net = t->inet.sk.net;
	if (o.has_ts && o.tsecr)
		o.tsecr -= t->ts_offset;
	if (in->flags & TH_ACK) {
		uint32_t now = (uint32_t)(tcp_now() / 1000000);
		uint32_t most = t->fo_syn_data ? t->write_seq : t->snd_nxt;
		bool bad = !seq_after(in->ack, t->snd_una) || seq_after(in->ack, most);
		/* An answer to a SYN of an earlier connection (RFC 7323). */
		if (!bad && o.has_ts && opts->tsecr &&
			(seq_after((uint32_t)(t->retrans_stamp / 1000000), o.tsecr + 1) ||
				seq_after(o.tsecr, now))) {
			NET_INC(net, TcpExt_PAWSActive);
			bad = true;
		}
		if (bad) {
			tcp_reset_packet(net, p);
			goto out;
		}
		if (in->flags & TH_RST) {
			tcp_fail(t, ECONNREFUSED);
			goto out;
		}
		if (in->flags & TH_SYN)
			syn_ack(t, p, in, &o);
		goto out;
	}
	if ((in->flags & TH_SYN) && !(in->flags & TH_RST))
		crossed_syn(t, in, &o);
out:
	pkt_free(p);
}
