/*
 * Waiting for connections: a SYN becomes a request, which is small and has no socket; the ACK that
 * ends the handshake makes a connection of it, which goes to the accept queue (RFC 9293, 3.10.7.2).
 *
 * Bounds.  A listener has at most backlog requests (listen(2), somaxconn) and backlog + 1
 * connections that wait for accept(2).  Beyond that SYNs are answered with cookies (cookie.c),
 * which take no memory, or dropped.
 *
 * Lock: the listener's sk.lock for requests and queues.  A segment for it never goes to the
 * backlog: whoever has the lock of a listener keeps it for a short time only.  A connection is made
 * under the listener's lock and gets its first segment after that was let go.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "lib/siphash.h"
#include "sentry/core/arena.h"
#include "sentry/net/tcp/tcp_priv.h"

#define REQ_HASH 64u
#define REQ_CLASSES                                                                                \
	8u /* requests by how often they were answered: all of one wait equally long               \
	    */
#define REQ_TIMEOUT NSEC_PER_SEC

struct tcp_req {
	struct list_node hash, order;
	struct tcp_synq q;
	uint32_t iss;
	int64_t expires, sent, oow_at;
	uint8_t timeouts, retrans, class;
	bool acked; /* the handshake is over, but nobody could take it */
	uint8_t *saved_syn;
	uint32_t saved_len;
};

struct tcp_listener {
	uint32_t backlog;
	uint32_t nreq, naccept; /* atomic */
	struct list_node accept;
	struct list_node hash[REQ_HASH], order[REQ_CLASSES];
	int64_t overflow_at; /* cookies are believed for a while after it */
	bool warned;
};

static SLAB_SHARE(tcp_req_slab, struct tcp_req, 32);
static SLAB_SHARE(tcp_listener_slab, struct tcp_listener, 64);

/* --- requests --- */

static struct list_node *chain(struct tcp_sock *t, const struct ip_addr *remote, uint16_t rport)
{
	struct {
		struct ip_addr a;
		uint64_t port;
	} k = {*remote, rport};
	return &t->listener->hash[siphash(t->inet.sk.net->secret, &k, sizeof(k)) % REQ_HASH];
}

static struct tcp_req *find(struct tcp_sock *t, const struct tcp_synq *q)
{
	struct tcp_req *r;
	list_for_each(r, chain(t, &q->remote, q->rport), hash)
		if (r->q.rport == q->rport && ip_eq(&r->q.remote, &q->remote) &&
			ip_eq(&r->q.local, &q->local))
			return r;
	return NULL;
}

static void drop(struct tcp_sock *t, struct tcp_req *r)
{
	list_del(&r->hash);
	list_del(&r->order);
	WRITE_ONCE(t->listener->nreq, t->listener->nreq - 1);
	buf_free(r->saved_syn, r->saved_len);
	slab_free(&tcp_req_slab, r);
}

static int64_t wait_of(const struct tcp_req *r)
{
	uint8_t n = MIN(r->timeouts, (uint8_t)7);
	return MIN(REQ_TIMEOUT << n, TCP_RTO_MAX_NS);
}

static void arm(struct tcp_sock *t, int64_t when)
{
	if (!t->keep_at || when < t->keep_at)
		t->keep_at = when;
	tcp_timer_kick(t, when);
}

static void schedule(struct tcp_sock *t, struct tcp_req *r, int64_t now)
{
	r->class = (uint8_t)MIN(r->timeouts, (uint8_t)(REQ_CLASSES - 1));
	r->expires = now + wait_of(r);
	list_del(&r->order);
	list_push_back(&t->listener->order[r->class], &r->order);
	arm(t, r->expires);
}

/* --- SYN-ACK --- */

static void flow_of(const struct tcp_sock *t, const struct tcp_synq *q, struct flow *f)
{
	inet_flow(&t->inet, &q->remote, q->rport, f);
	f->src = q->local;
	f->sport = q->lport;
	f->proto = IPPROTO_TCP;
	if (!f->oif && (ip_is_linklocal(&q->remote) && !ip_is_v4(&q->remote)))
		f->oif = q->iif;
}

/* Everything that is answered to a SYN; r may be NULL (a cookie). */
static void send_syn_ack(struct tcp_sock *t, const struct tcp_synq *q, uint32_t iss)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_syn_opts o = {.mss = q->advmss,
		.ts = q->ts_ok,
		.sack_ok = q->sack_ok,
		.wscale = q->wscale_ok ? (int8_t)q->rcv_wscale : -1,
		.tsecr = q->ts_recent,
		.tsval = q->ts_cookie ? q->tsval : (uint32_t)(tcp_now() / 1000000) + q->ts_offset,
		.fastopen = q->fo_cookie,
		.fastopen_len = q->fastopen_len};
	uint32_t hlen = (uint32_t)sizeof(struct tcphdr) + tcp_syn_opts_len(&o);
	struct tcphdr th = {.th_sport = htons(q->lport),
		.th_dport = htons(q->rport),
		.th_seq = htonl(iss),
		.th_ack = htonl(q->irs + 1),
		.th_flags = TH_SYN | TH_ACK,
		.th_win = htons((uint16_t)MIN(q->rcv_wnd, 65535u))};
	struct route rt = {0};
	struct flow f;
	struct ip_tx tx;
	flow_of(t, q, &f);
	struct pkt *p = pkt_new();
	if (!p || route_lookup(net, &f, &rt)) {
		pkt_free(p);
		return;
	}
	th.th_off = (uint8_t)(hlen / 4) & 15;
	if (q->ecn_ok)
		th.th_flags |= TH_ECE;
	uint8_t *at = pkt_push(p, hlen);
	memcpy(at, &th, sizeof(th));
	tcp_put_syn_opts(at + sizeof(th), &o);
	inet_ip_tx(&t->inet, &f, &tx);
	tx.proto = IPPROTO_TCP;
	p->net = net;
	p->l4 = p->data;
	pkt_checksum_partial(p, 16, csum_pseudo(&q->local, &q->remote, IPPROTO_TCP, p->len));
	NET_INC(net, Tcp_OutSegs);
	ip_output(net, p, &f, &rt, &tx);
	route_put(&rt);
}

/* A bare ACK, or RST, in the name of a request. */
static void send_for_request(struct tcp_sock *t, const struct tcp_req *r, uint8_t flags)
{
	struct tcp_reply y = {.local = r->q.local,
		.remote = r->q.remote,
		.lport = r->q.lport,
		.rport = r->q.rport,
		.seq = r->iss + 1,
		.ack = r->q.irs + 1,
		.flags = flags,
		.window = (uint16_t)MIN(r->q.rcv_wnd >> r->q.rcv_wscale, 65535u),
		.has_ts = r->q.ts_ok,
		.tsval = (uint32_t)(tcp_now() / 1000000) + r->q.ts_offset,
		.tsecr = r->q.ts_recent,
		.oif = READ_ONCE(t->inet.bound_if)};
	tcp_reply(t->inet.sk.net, &y);
}

/* --- a SYN --- */

/* The names and options of a SYN. */
void tcp_synq_read(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o, struct tcp_synq *q)
{
	struct net_ns *net = t->inet.sk.net;
	uint16_t ports[2];
	memcpy(ports, pkt_data(p), 4);
	*q = (struct tcp_synq){.local = p->ip.dst,
		.remote = p->ip.src,
		.rport = ntohs(ports[0]),
		.lport = ntohs(ports[1]),
		.iif = p->iif,
		.irs = in->seq,
		.snd_wnd = in->window,
		.tos = p->ip.tos,
		.fastopen_len = -1};
	uint32_t mss = o->mss ? o->mss : TCP_MSS_DEFAULT;
	q->mss = (uint16_t)(t->user_mss ? MIN(mss, t->user_mss) : mss);
	q->ts_ok = o->has_ts && READ_ONCE(net->ctl.tcp_timestamps);
	q->ts_recent = q->ts_ok ? o->tsval : 0;
	q->sack_ok = o->sack_ok && READ_ONCE(net->ctl.tcp_sack);
	q->wscale_ok = o->has_wscale && READ_ONCE(net->ctl.tcp_window_scaling);
	q->snd_wscale = q->wscale_ok ? o->wscale : 0;
	/* RFC 3168, 6.1.1: who asks sets both, and no ECN bits in IP. */
	q->ecn_ok = (in->flags & (TH_ECE | TH_CWR)) == (TH_ECE | TH_CWR) &&
		    READ_ONCE(net->ctl.tcp_ecn) && !(p->ip.tos & 3);
	q->ts_offset = tcp_ts_offset(net, &q->local, &q->remote);
}

/* The first window and MSS of ours, by the route back: false: there is none. */
bool tcp_synq_route(struct tcp_sock *t, struct tcp_synq *q)
{
	struct route rt = {0};
	struct flow f;
	struct tcp_window w;
	flow_of(t, q, &f);
	if (route_lookup(t->inet.sk.net, &f, &rt))
		return false;
	uint32_t head = ip_is_v4(&q->remote) ? 40 : 60;
	uint32_t mtu = rt.link ? READ_ONCE(rt.link->mtu) : rt.mtu;
	uint32_t mss = rt.advmss ? rt.advmss : MIN(mtu, 65535u) - head;
	mss = MIN(MAX(mss, 88u), 65535u - head);
	q->advmss = (uint16_t)(t->user_mss ? MIN(mss, t->user_mss) : mss);
	tcp_initial_window(t->inet.sk.net, READ_ONCE(t->inet.sk.rcvbuf),
		q->advmss - (q->ts_ok ? 12u : 0u), t->user_clamp, q->wscale_ok, rt.initrwnd, &w);
	q->rcv_wnd = w.wnd;
	q->rcv_wscale = w.scale;
	q->window_clamp = w.clamp;
	route_put(&rt);
	return true;
}

static void save_syn(struct tcp_sock *t, struct tcp_req *r, struct pkt *p, const struct tcp_in *in)
{
	uint32_t l3 = p->l3 == UINT16_MAX || p->l3 > p->data ? 0 : (uint32_t)p->data - p->l3;
	if (!t->save_syn)
		return;
	r->saved_syn = buf_alloc(l3 + in->hlen);
	if (!r->saved_syn)
		return;
	r->saved_len = l3 + in->hlen;
	memcpy(r->saved_syn, p->head + p->data - l3, r->saved_len);
}

/* Keeps q as a request and answers it. */
static void new_request(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_synq *q)
{
	struct tcp_listener *l = t->listener;
	struct tcp_req *r = slab_alloc(&tcp_req_slab);
	int64_t now = tcp_now();
	if (!r)
		return;
	list_init(&r->order);
	r->q = *q;
	r->iss = tcp_isn(t->inet.sk.net, &q->local, q->lport, &q->remote, q->rport);
	r->sent = now;
	list_push_front(chain(t, &q->remote, q->rport), &r->hash);
	WRITE_ONCE(l->nreq, l->nreq + 1);
	save_syn(t, r, p, in);
	schedule(t, r, now);
	send_syn_ack(t, &r->q, r->iss);
}

static bool accept_full(const struct tcp_listener *l)
{
	return l->naccept > l->backlog;
}

/* The queue of requests is full: are cookies allowed? */
static bool flooded(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	if (!READ_ONCE(net->ctl.tcp_syncookies)) {
		NET_INC(net, TcpExt_TCPReqQFullDrop);
		return false;
	}
	NET_INC(net, TcpExt_TCPReqQFullDoCookies);
	if (!t->listener->warned) {
		t->listener->warned = true;
		log_info("tcp: possible SYN flood on port %u: sending cookies", t->inet.lport);
	}
	return true;
}

static void send_cookie(struct tcp_sock *t, struct tcp_synq *q)
{
	uint32_t iss = tcp_cookie_make(t->inet.sk.net, q);
	t->listener->overflow_at = tcp_now();
	send_syn_ack(t, q, iss);
	NET_INC(t->inet.sk.net, TcpExt_SyncookiesSent);
}

/* With the lock.  *child: a connection by fast open that gets p next. */
static void syn_in(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o, struct tcp_sock **child)
{
	struct tcp_listener *l = t->listener;
	struct net_ns *net = t->inet.sk.net;
	struct tcp_synq q;
	if (p->ip.broadcast || ip_is_multicast(&p->ip.dst) || ip_is_multicast(&p->ip.src))
		return;
	bool cookie = READ_ONCE(net->ctl.tcp_syncookies) == 2;
	if (cookie || l->nreq >= MAX(l->backlog, 1u)) {
		cookie = flooded(t);
		if (!cookie)
			goto dropped;
	}
	if (accept_full(l)) {
		NET_INC(net, TcpExt_ListenOverflows);
		goto dropped;
	}
	tcp_synq_read(t, p, in, o, &q);
	if (!tcp_synq_route(t, &q))
		goto dropped;
	if (cookie) {
		send_cookie(t, &q);
		return;
	}
	/* Without cookies the last quarter is for hosts that are known: we know none. */
	uint32_t max = (uint32_t)READ_ONCE(net->ctl.tcp_max_syn_backlog);
	if (!READ_ONCE(net->ctl.tcp_syncookies) && max < l->nreq + max / 4)
		goto dropped;
	*child = tcp_fastopen_accept(t, p, in, o, &q);
	if (!*child)
		new_request(t, p, in, &q);
	return;
dropped:
	NET_INC(net, TcpExt_ListenDrops);
}

/* --- the third segment --- */

static void child_numbers(struct tcp_sock *c, const struct tcp_synq *q, uint32_t iss,
	uint32_t window)
{
	c->iss = iss;
	c->irs = q->irs;
	c->snd_una = c->snd_sml = c->snd_up = c->push_seq = iss + 1;
	WRITE_ONCE(c->snd_nxt, iss + 1);
	WRITE_ONCE(c->write_seq, iss + 1);
	WRITE_ONCE(c->rcv_nxt, q->irs + 1);
	WRITE_ONCE(c->copied_seq, q->irs + 1);
	c->rcv_wup = q->irs + 1;
	c->rcv_wnd = c->rcv_ssthresh = q->rcv_wnd;
	c->window_clamp = q->window_clamp;
	c->rcv_wscale = q->rcv_wscale;
	c->snd_wscale = q->snd_wscale;
	c->wscale_ok = q->wscale_ok;
	c->ts_ok = q->ts_ok;
	c->ts_recent = q->ts_recent;
	c->ts_recent_at = tcp_now();
	c->ts_offset = q->ts_offset;
	c->sack_ok = q->sack_ok;
	c->ecn_ok = q->ecn_ok;
	c->peer_mss = q->mss;
	c->advmss = q->advmss;
	c->snd_wnd = c->max_window = window;
	c->snd_wl1 = q->irs;
}

/* A connection with the names and numbers of a handshake, not yet in any table.  NULL: no memory,
 * no route. */
struct tcp_sock *tcp_child_new(struct tcp_sock *t, const struct tcp_synq *q, uint32_t iss,
	uint32_t window) SOLE_OWNER
{
	struct tcp_sock *c = tcp_clone(t);
	if (!c)
		return NULL;
	struct inet_sock *s = &c->inet;
	s->local = s->bound = q->local;
	s->remote = q->remote;
	s->rport = q->rport;
	s->lport = q->lport;
	if (ip_is_linklocal(&q->remote) && !ip_is_v4(&q->remote))
		s->scope_id = (uint32_t)q->iif;
	child_numbers(c, q, iss, window);
	c->ss = ABI_SS_CONNECTED;
	if (inet_route(s)) {
		inet_put(s);
		return NULL;
	}
	tcp_sync_mss(c);
	tcp_initial_rcv_mss(c);
	return c;
}

/* Puts it into the tables and on the accept queue: false: somebody has that four-tuple. */
bool tcp_child_publish(struct tcp_sock *t, struct tcp_sock *c)
{
	struct inet_table *table = t->inet.sk.net->inet->tcp;
	if (inet_inherit_port(table, &t->inet, &c->inet))
		return false;
	if (inet_hash_conn(table, &c->inet, true)) {
		inet_unbind(table, &c->inet);
		return false;
	}
	c->parent = t;
	inet_get(&t->inet);
	inet_get(&c->inet); /* the queue's */
	list_push_back(&t->listener->accept, &c->accept_node);
	WRITE_ONCE(t->listener->naccept, t->listener->naccept + 1);
	return true;
}

static bool overflow(struct tcp_sock *t)
{
	if (!accept_full(t->listener))
		return false;
	NET_INC(t->inet.sk.net, TcpExt_ListenOverflows);
	return true;
}

/* The handshake is over: with a reference, to get p next; NULL: it could not be. */
static struct tcp_sock *complete(struct tcp_sock *t, const struct tcp_synq *q, uint32_t iss,
	const struct tcp_in *in, int64_t rtt_us)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_sock *c = tcp_child_new(t, q, iss, (uint32_t)in->window << q->snd_wscale);
	if (!c)
		goto out;
	c->snd_wl1 = in->seq;
	tcp_set_state(c, TCP_ESTABLISHED);
	if (c->ts_ok)
		c->advmss -= 12;
	if (rtt_us > 0)
		tcp_rtt_sample(c, rtt_us);
	tcp_cwnd_init(c);
	tcp_init_buffers(c);
	c->last_ack = c->last_sent = c->last_recv = tcp_now();
	c->segs_in = in->seq == in->end_seq ? 2 : 1; /* the SYN, and p if nobody else counts it */
	c->delivered++;                              /* and its answer, which was the request's */
	if (!tcp_child_publish(t, c)) {
		tcp_set_state(c, TCP_CLOSE);
		inet_put(&c->inet);
		goto out;
	}
	NET_INC(net, Tcp_PassiveOpens);
	if (sock_flag(&c->inet.sk, SOCK_F_KEEPALIVE))
		tcp_keepalive_start(c);
	sock_wake_readable(&t->inet.sk);
	return c;
out:
	NET_INC(net, TcpExt_ListenDrops);
	return NULL;
}

/* A segment for a request. */
static struct tcp_sock *request_in(struct tcp_sock *t, struct tcp_req *r, struct pkt *p,
	const struct tcp_in *in, const struct tcp_opts *o)
{
	struct net_ns *net = t->inet.sk.net;
	bool paws = r->q.ts_ok && o->has_ts && (int32_t)(o->tsval - r->q.ts_recent) < 0;
	if (in->seq == r->q.irs && (in->flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN && !paws) {
		if (!tcp_oow_limited(t, &r->oow_at)) /* it did not hear us */
			send_syn_ack(t, &r->q, r->iss);
		return NULL;
	}
	if ((in->flags & TH_ACK) && !(in->flags & TH_RST) && in->ack != r->iss + 1) {
		tcp_reset_packet(net, p);
		return NULL;
	}
	if (paws || seq_before(in->end_seq, r->q.irs + 1) ||
		seq_after(in->seq, r->q.irs + 1 + r->q.rcv_wnd)) {
		if (!(in->flags & TH_RST) && !tcp_oow_limited(t, &r->oow_at))
			send_for_request(t, r, TH_ACK);
		return NULL;
	}
	if (in->flags & (TH_RST | TH_SYN)) {
		NET_INC(net, Tcp_AttemptFails);
		NET_INC(net, TcpExt_EmbryonicRsts);
		if (in->flags & TH_SYN)
			tcp_reset_packet(net, p);
		drop(t, r);
		return NULL;
	}
	if (!(in->flags & TH_ACK))
		return NULL;
	/* TCP_DEFER_ACCEPT: nobody is told before there are data. */
	if (r->timeouts < t->defer_accept && in->end_seq == r->q.irs + 1) {
		r->acked = true;
		NET_INC(net, TcpExt_TCPDeferAcceptDrop);
		return NULL;
	}
	if (overflow(t)) {
		if (READ_ONCE(net->ctl.tcp_abort_on_overflow)) {
			tcp_reset_packet(net, p);
			drop(t, r);
		} else {
			r->acked = true;
			NET_INC(net, TcpExt_ListenDrops);
		}
		return NULL;
	}
	int64_t rtt = r->retrans ? 0 : (tcp_now() - r->sent) / 1000;
	if (o->has_ts && r->q.ts_ok)
		r->q.ts_recent = o->tsval;
	struct tcp_sock *c = complete(t, &r->q, r->iss, in, MAX(rtt, r->retrans ? 0L : 1L));
	if (c) {
		c->total_retrans = r->retrans;
		c->saved_syn = r->saved_syn;
		c->saved_syn_len = r->saved_len;
		r->saved_syn = NULL;
		r->saved_len = 0;
		drop(t, r);
	}
	return c;
}

/* An ACK for no request: of a cookie? */
static struct tcp_sock *cookie_in(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_synq q;
	int64_t at = t->listener->overflow_at;
	int cookies = READ_ONCE(net->ctl.tcp_syncookies);
	if (!cookies || (cookies != 2 && (!at || tcp_now() - at > TCP_COOKIE_LIFE))) {
		tcp_reset_packet(net, p);
		return NULL;
	}
	tcp_synq_read(t, p, in, o, &q);
	q.irs = in->seq - 1;
	q.ecn_ok = false;
	if (!tcp_cookie_check(net, &q, in->ack - 1, o)) {
		NET_INC(net, TcpExt_SyncookiesFailed);
		tcp_reset_packet(net, p);
		return NULL;
	}
	if (t->user_mss)
		q.mss = (uint16_t)MIN(q.mss, t->user_mss);
	if (!tcp_synq_route(t, &q) || overflow(t))
		return NULL;
	NET_INC(net, TcpExt_SyncookiesRecv);
	return complete(t, &q, in->ack - 1, in, 0);
}

static struct tcp_sock *segment_in(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in)
{
	struct tcp_opts o;
	struct tcp_sock *child = NULL;
	uint16_t ports[2];
	memcpy(ports, pkt_data(p), 4);
	struct tcp_synq k = {.local = p->ip.dst, .remote = p->ip.src, .rport = ntohs(ports[0])};
	tcp_opts_read(&o, pkt_data(p) + sizeof(struct tcphdr),
		in->hlen - (uint32_t)sizeof(struct tcphdr), in->flags & TH_SYN);
	struct tcp_req *r = find(t, &k);
	if (r) {
		if (r->q.ts_ok && o.has_ts && o.tsecr)
			o.tsecr -= r->q.ts_offset;
		return request_in(t, r, p, in, &o);
	}
	if (in->flags & TH_RST)
		return NULL;
	if (in->flags & TH_ACK) {
		if (in->flags & TH_SYN)
			tcp_reset_packet(t->inet.sk.net, p);
		else
			return cookie_in(t, p, in, &o);
		return NULL;
	}
	if ((in->flags & TH_SYN) && !(in->flags & TH_FIN))
		syn_in(t, p, in, &o, &child);
	return child;
}

/* Without locks; takes p over. */
void tcp_listen_input(struct tcp_sock *t, struct pkt *p)
{
	struct tcp_in in = *tcp_in_of(p);
	struct tcp_sock *child = NULL;
	inet_lock(&t->inet);
	bool ok = !t->inet.sk.filter || inet_filter(&t->inet, p, in.hlen);
	if (t->state != TCP_LISTEN)
		tcp_reset_packet(t->inet.sk.net, p);
	else if (ok)
		child = segment_in(t, p, &in);
	inet_unlock(&t->inet);
	if (!child) {
		pkt_free(p);
		return;
	}
	if (!(in.flags & TH_SYN) && in.end_seq != in.seq)
		inet_input(&child->inet, p);
	else
		pkt_free(p);
	inet_put(&child->inet);
}

/* An ICMP error about a SYN-ACK. */
void tcp_listen_error(struct tcp_sock *t, const struct ip_error *e, uint16_t rport, uint32_t seq)
{
	struct tcp_synq k = {.local = e->src, .remote = e->dst, .rport = rport};
	if (t->state != TCP_LISTEN)
		return;
	struct tcp_req *r = find(t, &k);
	if (!r)
		return;
	if (seq != r->iss)
		NET_INC(t->inet.sk.net, TcpExt_OutOfWindowIcmps);
	else if (e->hard)
		drop(t, r);
}

/* --- SYN-ACK again --- */

static uint32_t synack_retries(const struct tcp_sock *t)
{
	return t->max_syn_retries ? t->max_syn_retries
				  : (uint32_t)READ_ONCE(t->inet.sk.net->ctl.tcp_synack_retries);
}

/* A request whose time has come (Linux' reqsk_timer_handler, syn_ack_recalc). */
static void request_due(struct tcp_sock *t, struct tcp_req *r, int64_t now)
{
	uint32_t max = synack_retries(t), defer = t->defer_accept;
	bool expire, resend;
	if (!defer) {
		expire = r->timeouts >= max;
		resend = true;
	} else {
		expire = r->timeouts >= max && (!r->acked || r->timeouts >= defer);
		/* The last one before it is given to the listener after all. */
		resend = !r->acked || r->timeouts + 1u >= defer;
	}
	if (expire && !(r->acked && r->timeouts < max)) {
		drop(t, r);
		return;
	}
	if (resend) {
		send_syn_ack(t, &r->q, r->iss);
		r->retrans++;
		NET_INC(t->inet.sk.net, Tcp_RetransSegs);
		NET_INC(t->inet.sk.net, TcpExt_TCPSynRetrans);
	}
	r->timeouts++;
	schedule(t, r, now);
}

void tcp_listen_timer(struct tcp_sock *t)
{
	struct tcp_listener *l = t->listener;
	int64_t now = tcp_now(), next = 0;
	if (!l)
		return;
	for (uint32_t i = REQ_CLASSES; i-- > 0;) {
		struct tcp_req *r;
		while ((r = list_first(&l->order[i], struct tcp_req, order)) && r->expires <= now)
			request_due(t, r, now);
		if (r && (!next || r->expires < next))
			next = r->expires;
	}
	if (next)
		arm(t, next);
}

/* --- listen(2), accept(2), and the end --- */

int tcp_listen(struct ctx *ctx, struct inet_sock *s, uint32_t backlog)
{
	struct tcp_sock *t = tcp_of(s);
	struct inet_table *table = s->sk.net->inet->tcp;
	if (t->ss != ABI_SS_UNCONNECTED || (t->state != TCP_CLOSE && t->state != TCP_LISTEN))
		return -EINVAL;
	if (t->state == TCP_LISTEN) {
		WRITE_ONCE(t->listener->backlog, backlog);
		return 0;
	}
	struct tcp_listener *l = slab_alloc(&tcp_listener_slab);
	if (!l)
		return -ENOMEM;
	list_init(&l->accept);
	for (uint32_t i = 0; i < REQ_HASH; i++)
		list_init(&l->hash[i]);
	for (uint32_t i = 0; i < REQ_CLASSES; i++)
		list_init(&l->order[i]);
	l->backlog = backlog;
	int err = s->lport ? 0 : inet_bind_port(table, s, &s->bound, 0);
	if (!err) {
		t->listener = l;
		tcp_set_state(t, TCP_LISTEN);
		tcp_fastopen_listen(t);
		err = inet_listen_port(table, s);
	}
	if (err) {
		t->listener = NULL;
		slab_free(&tcp_listener_slab, l);
		if (t->state == TCP_LISTEN)
			tcp_set_state(t, TCP_CLOSE);
	} else {
		tcp_tell_listeners(s->sk.net);
	}
	return err;
}

bool tcp_accept_ready(struct tcp_sock *t)
{
	struct tcp_listener *l = READ_ONCE(t->listener);
	return l && READ_ONCE(l->naccept);
}

static struct tcp_sock *pop(struct tcp_listener *l)
{
	struct tcp_sock *c = list_first(&l->accept, struct tcp_sock, accept_node);
	if (!c)
		return NULL;
	list_del(&c->accept_node);
	WRITE_ONCE(l->naccept, l->naccept - 1);
	return c;
}

int tcp_accept(struct ctx *ctx, struct inet_sock *s, bool nonblock, struct inet_sock **out)
{
	struct tcp_sock *t = tcp_of(s), *c;
	int64_t timeo = nonblock ? 0 : READ_ONCE(s->sk.rcvtimeo), deadline = sock_deadline(timeo);
	mutex_assert_held(&s->sk.lock);
	while (t->state == TCP_LISTEN) {
		c = pop(t->listener);
		if (c) {
			struct tcp_sock *parent = c->parent;
			c->parent = NULL;
			inet_put(&parent->inet);
			if (t->listener->naccept)
				waitq_wake_n(&s->sk.rd, POLLIN, 1);
			*out = &c->inet;
			return 0;
		}
		if (!timeo)
			return -EAGAIN;
		int err = inet_wait(ctx, s, &s->sk.rd, POLLIN, deadline);
		if (err && !(t->state == TCP_LISTEN && t->listener->naccept))
			return sock_wait_error(ctx, err, timeo);
	}
	return -EINVAL;
}

void tcp_unaccept(struct inet_sock *listener, struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(listener), *c = tcp_of(s);
	inet_lock(listener);
	bool back = t->state == TCP_LISTEN;
	if (back) {
		c->parent = t;
		inet_get(listener);
		list_push_front(&t->listener->accept, &c->accept_node);
		WRITE_ONCE(t->listener->naccept, t->listener->naccept + 1);
		sock_wake_readable(&listener->sk);
	}
	inet_unlock(listener);
	if (!back)
		tcp_release(s);
}

/* Nobody will accept it: the peer is told. */
static void abandon(struct tcp_sock *c)
{
	inet_lock(&c->inet);
	struct tcp_sock *parent = c->parent;
	c->parent = NULL;
	if (c->state != TCP_CLOSE) {
		tcp_orphan(c);
		tcp_send_rst(c);
		tcp_fail(c, ECONNRESET);
	}
	inet_unlock(&c->inet);
	if (parent)
		inet_put(&parent->inet);
	inet_put(&c->inet);
}

/* With the lock, which is let go meanwhile: no longer listens. */
void tcp_listen_stop(struct tcp_sock *t) NO_THREAD_SAFETY
{
	struct tcp_listener *l = t->listener;
	struct tcp_req *r, *tmp;
	struct tcp_sock *c;
	struct list_node list = LIST_INIT(list);
	if (!l)
		return;
	for (uint32_t i = 0; i < REQ_CLASSES; i++)
		list_for_each_safe(r, tmp, &l->order[i], order)
			drop(t, r);
	list_splice_back(&list, &l->accept);
	WRITE_ONCE(t->listener, NULL);
	mutex_unlock(&t->inet.sk.lock);
	while ((c = list_first(&list, struct tcp_sock, accept_node))) {
		list_del(&c->accept_node);
		abandon(c);
	}
	mutex_lock(&t->inet.sk.lock);
	slab_free(&tcp_listener_slab, l);
}

/* --- for /proc/net/tcp --- */

uint32_t tcp_accept_len(const struct tcp_sock *t)
{
	return t->listener ? t->listener->naccept : 0;
}

uint32_t tcp_accept_max(const struct tcp_sock *t)
{
	return t->listener ? t->listener->backlog : 0;
}

bool tcp_diag_request(struct inet_sock *s, uint32_t n, struct tcp_diag *d)
{
	struct tcp_sock *t = tcp_of(s);
	struct tcp_req *r;
	bool found = false;
	if (s->kind != INET_TCP)
		return false;
	inet_lock(s);
	for (uint32_t i = 0; t->listener && i < REQ_CLASSES && !found; i++)
		list_for_each(r, &t->listener->order[i], order) {
			if (n--)
				continue;
			int64_t left = (r->expires - tcp_now()) / 1000000;
			*d = (struct tcp_diag){.local = r->q.local,
				.remote = r->q.remote,
				.lport = r->q.lport,
				.rport = r->q.rport,
				.family = s->sk.family,
				.state = TCP_SYN_RECV,
				.timer = 1,
				.retransmits = r->timeouts,
				.expires = (uint32_t)MAX(left, 0L),
				.uid = s->uid,
				.bound_if = r->q.iif};
			found = true;
			break;
		}
	inet_unlock(s);
	return found;
}
