/*
 * TIME_WAIT, and FIN_WAIT_2 of what was closed (RFC 9293, 3.6.1): a connection is replaced in the
 * tables by a struct tcp_tw, of which no more than the front of a struct inet_sock is there.
 *
 * Bound: tcp_max_tw_buckets of them; beyond that a connection goes at once.  All of one state wait
 * equally long (tcp_fin_timeout, or TCP_LINGER2, within a second), so a list is in order and one
 * timer serves a namespace.
 *
 * Lock: tcp_net.lock for the lists, tw.lock (sk.lock) for the rest of one.
 */
#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/tcp/tcp_priv.h"

#define TW_LEN (60 * NSEC_PER_SEC)

struct tcp_tw {
	uint8_t front[offsetof(struct inet_sock, route)] __attribute__((aligned(16)));
	struct list_node node; /* tcp_net.tw; tcp_net.lock */
	bool listed;
	int64_t expires;
	uint8_t state; /* TCP_FIN_WAIT2, TCP_TIME_WAIT */
	uint8_t rcv_wscale, tos;
	bool has_ts;
	uint32_t rcv_nxt, snd_nxt, rcv_wnd, ts_recent, ts_offset;
	int64_t ts_recent_at, oow_at, timeout;
};

static SLAB_SHARE(tcp_tw_slab, struct tcp_tw, 32);

static struct tcp_tw *tw_of(struct inet_sock *s)
{
	return (struct tcp_tw *)(void *)s;
}

static struct inet_sock *sock_of_tw(struct tcp_tw *w)
{
	return (struct inet_sock *)(void *)w;
}

static void destroy(struct inet_sock *s)
{
	struct net_ns *net = s->sk.net;
	__atomic_sub_fetch(&net->tcp->tw_used, 1, __ATOMIC_RELAXED);
	slab_free(&tcp_tw_slab, tw_of(s));
	net_ns_put(net);
}

const struct inet_ops tcp_tw_ops = {.destroy = destroy};

/* --- the lists --- */

static struct list_node *list_of(struct tcp_net *tn, const struct tcp_tw *w)
{
	return &tn->tw[w->state == TCP_TIME_WAIT];
}

/* The namespace's timer: a reference while it is on. */
static void arm(struct net_ns *net, int64_t when) REQUIRES(net->tcp->lock)
{
	struct tcp_net *tn = net->tcp;
	if (tn->tw_timer_on)
		return;
	tn->tw_timer_on = true;
	net_ns_get(net);
	ktimer_arm(&tn->tw_timer, when);
}

/* In order of expiry: nearly always at the end. */
static void enlist(struct net_ns *net, struct tcp_tw *w) REQUIRES(net->tcp->lock)
{
	struct list_node *head = list_of(net->tcp, w), *at = head;
	while (at->prev != head && list_entry(at->prev, struct tcp_tw, node)->expires > w->expires)
		at = at->prev;
	list_insert_before(at, &w->node);
	w->listed = true;
	net->tcp->tw_count++;
	arm(net, w->expires);
}

static bool delist(struct net_ns *net, struct tcp_tw *w) REQUIRES(net->tcp->lock)
{
	if (!w->listed)
		return false;
	list_del(&w->node);
	w->listed = false;
	net->tcp->tw_count--;
	return true;
}

/* It is over: out of everything. */
static void kill_tw(struct net_ns *net, struct tcp_tw *w)
{
	mutex_lock(&net->tcp->lock);
	bool was = delist(net, w);
	mutex_unlock(&net->tcp->lock);
	inet_unbind(net->inet->tcp, sock_of_tw(w));
	if (was)
		inet_put(sock_of_tw(w));
}

static void reschedule(struct net_ns *net, struct tcp_tw *w, int64_t len)
{
	MUTEX_GUARD(&net->tcp->lock);
	if (!delist(net, w))
		return; /* it is about to go */
	WRITE_ONCE(w->expires, tcp_now() + len);
	enlist(net, w);
}

/* Some of those whose time has come, at most n at a time: how many. */
static uint32_t take_due(struct net_ns *net, struct tcp_tw **out, uint32_t n, int64_t now)
{
	struct tcp_net *tn = net->tcp;
	uint32_t got = 0;
	MUTEX_GUARD(&net->tcp->lock);
	for (uint32_t i = 0; i < 2; i++) {
		struct tcp_tw *w;
		while (got < n && (w = list_first(&tn->tw[i], struct tcp_tw, node)) &&
			w->expires <= now) {
			delist(net, w);
			out[got++] = w;
		}
	}
	return got;
}

static void fire(struct ktimer *k)
{
	struct tcp_net *tn = container_of(k, struct tcp_net, tw_timer);
	struct net_ns *net = tn->net;
	struct tcp_tw *w[32];
	uint32_t n;
	int64_t now = tcp_now(), next = INT64_MAX;
	do {
		n = take_due(net, w, ARRAY_LEN(w), now);
		for (uint32_t i = 0; i < n; i++) {
			NET_INC(net, TcpExt_TW);
			inet_unbind(net->inet->tcp, sock_of_tw(w[i]));
			inet_put(sock_of_tw(w[i]));
		}
	} while (n == ARRAY_LEN(w));
	mutex_lock(&net->tcp->lock);
	tn->tw_timer_on = false;
	for (uint32_t i = 0; i < 2; i++) {
		struct tcp_tw *f = list_first(&tn->tw[i], struct tcp_tw, node);
		if (f)
			next = MIN(next, f->expires);
	}
	/* A quarter of a second more: many go at once then. */
	if (next != INT64_MAX)
		arm(net, MAX(next, now + NSEC_PER_SEC / 4));
	mutex_unlock(&net->tcp->lock);
	net_ns_put(net);
	net_run();
}

void tcp_tw_init(void)
{
	ktimer_register_kind(KTIMER_TCP_TW, fire);
	inet_ops_register(INET_TCP_TW, &tcp_tw_ops);
}

/* The namespace goes: nobody is left who could be in its tables. */
void tcp_tw_stop(struct net_ns *net)
{
	BUG_ON(net->tcp->tw_count);
}

/* --- entering --- */

static struct tcp_tw *make(struct tcp_sock *t, uint8_t state)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t max = (uint32_t)READ_ONCE(net->ctl.tcp_max_tw_buckets);
	if (__atomic_load_n(&net->tcp->tw_used, __ATOMIC_RELAXED) >= max)
		return NULL;
	struct tcp_tw *w = slab_alloc(&tcp_tw_slab);
	if (!w)
		return NULL;
	struct inet_sock *s = sock_of_tw(w), *o = &t->inet;
	mutex_init(&s->sk.lock, LOCK_SOCK);
	s->sk.net = net_ns_get(net);
	s->sk.family = o->sk.family;
	s->sk.type = o->sk.type;
	s->sk.protocol = o->sk.protocol;
	s->sk.flags = READ_ONCE(o->sk.flags) & (SOCK_F_REUSEADDR | SOCK_F_REUSEPORT);
	s->sk.cookie = o->sk.cookie;
	s->sk.mark = o->sk.mark;
	s->sk.dead = true;
	ref_init(&s->ref);
	s->kind = INET_TCP_TW;
	s->proto = IPPROTO_TCP;
	s->bound = o->bound;
	s->local = o->local;
	s->remote = o->remote;
	s->lport = o->lport;
	s->rport = o->rport;
	s->bound_if = READ_ONCE(o->bound_if);
	s->scope_id = o->scope_id;
	s->uid = o->uid;
	s->v6only = o->v6only;
	s->timewait = true;
	list_init(&s->bind_node);
	list_init(&s->conn_node);
	list_init(&w->node);
	w->state = state;
	w->rcv_wscale = t->rcv_wscale;
	w->tos = ip_is_v4(&o->remote) ? o->tos : o->tclass;
	w->has_ts = t->ts_ok;
	w->rcv_nxt = t->rcv_nxt;
	w->snd_nxt = t->snd_nxt;
	w->rcv_wnd = tcp_receive_window(t);
	w->ts_recent = t->ts_recent;
	w->ts_recent_at = t->ts_recent_at;
	w->ts_offset = t->ts_offset;
	__atomic_add_fetch(&net->tcp->tw_used, 1, __ATOMIC_RELAXED);
	return w;
}

/* t is over for its owner; what is left of it waits in state for len. */
void tcp_time_wait_for(struct tcp_sock *t, uint8_t state, int64_t len)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_tw *w = make(t, state);
	if (!w) {
		NET_INC(net, TcpExt_TCPTimeWaitOverflow);
		tcp_done(t);
		return;
	}
	w->timeout = TW_LEN;
	w->expires = tcp_now() + len;
	inet_get(sock_of_tw(w)); /* the list's */
	inet_replace_conn(net->inet->tcp, &t->inet, sock_of_tw(w));
	mutex_lock(&net->tcp->lock);
	enlist(net, w);
	mutex_unlock(&net->tcp->lock);
	inet_put(sock_of_tw(w));
	tcp_done(t);
}

void tcp_time_wait(struct tcp_sock *t, uint8_t state)
{
	tcp_time_wait_for(t, state, TW_LEN);
}

/* --- a segment for one --- */

static void answer(struct net_ns *net, const struct tcp_tw *w, struct inet_sock *s)
{
	struct tcp_reply y = {.local = s->local,
		.remote = s->remote,
		.lport = s->lport,
		.rport = s->rport,
		.seq = w->snd_nxt,
		.ack = w->rcv_nxt,
		.flags = TH_ACK,
		.window = (uint16_t)(w->rcv_wnd >> w->rcv_wscale),
		.has_ts = w->has_ts,
		.tsval = (uint32_t)(tcp_now() / 1000000) + w->ts_offset,
		.tsecr = w->ts_recent,
		.tos = w->tos,
		.oif = s->bound_if};
	tcp_reply(net, &y);
}

enum verdict { DROP, ACK, RESET, KILL, SYN };

/* FIN_WAIT_2 of what was closed: only a FIN is of use. */
static enum verdict fin_wait2(struct net_ns *net, struct tcp_tw *w, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	uint32_t n = in->end_seq - in->seq;
	if (seq_before(in->end_seq, w->rcv_nxt) || seq_after(in->seq, w->rcv_nxt + w->rcv_wnd))
		return in->flags & TH_RST ? DROP : ACK;
	if (in->flags & TH_RST)
		return KILL;
	if ((in->flags & TH_SYN) && !seq_before(in->seq, w->rcv_nxt))
		return RESET;
	if (!(in->flags & TH_ACK) || !seq_after(in->end_seq, w->rcv_nxt) || !n)
		return DROP;
	/* Data that nobody will read, or FIN. */
	if (!(in->flags & TH_FIN) || in->end_seq != w->rcv_nxt + 1)
		return RESET;
	w->rcv_nxt = in->end_seq;
	if (o->has_ts) {
		w->ts_recent = o->tsval;
		w->ts_recent_at = tcp_now();
	}
	mutex_lock(&net->tcp->lock);
	if (delist(net, w)) {
		WRITE_ONCE(w->state, TCP_TIME_WAIT);
		WRITE_ONCE(w->expires, tcp_now() + w->timeout);
		enlist(net, w);
	}
	mutex_unlock(&net->tcp->lock);
	return ACK;
}

static enum verdict time_wait(struct net_ns *net, struct tcp_tw *w, const struct tcp_in *in,
	const struct tcp_opts *o)
{
	bool paws = w->has_ts && o->has_ts && (int32_t)(o->tsval - w->ts_recent) < 0;
	uint8_t bits = in->flags & (TH_SYN | TH_ACK | TH_RST);
	if (!paws && in->seq == w->rcv_nxt && (in->seq == in->end_seq || (in->flags & TH_RST))) {
		if (in->flags & TH_RST)
			/* RFC 1337: a reset must not end it; Linux lets it unless told otherwise.
			 */
			return READ_ONCE(net->ctl.tcp_rfc1337) ? DROP : KILL;
		reschedule(net, w, w->timeout);
		if (o->has_ts) {
			w->ts_recent = o->tsval;
			w->ts_recent_at = tcp_now();
		}
		return DROP;
	}
	/* RFC 6191, 2: a SYN beyond all that was may begin a new connection. */
	if (bits == TH_SYN && !paws &&
		(seq_after(in->seq, w->rcv_nxt) ||
			(w->has_ts && o->has_ts && (int32_t)(w->ts_recent - o->tsval) < 0)))
		return SYN;
	if (paws)
		NET_INC(net, TcpExt_PAWSEstab);
	if (in->flags & TH_RST)
		return DROP;
	if (paws || (in->flags & TH_ACK))
		reschedule(net, w, w->timeout);
	return ACK;
}

bool tcp_tw_input(struct net_ns *net, struct inet_sock *s, struct pkt *p)
{
	struct tcp_tw *w = tw_of(s);
	struct tcp_in in = *tcp_in_of(p);
	struct tcp_opts o;
	enum verdict v;
	tcp_opts_read(&o, pkt_data(p) + sizeof(struct tcphdr),
		in.hlen - (uint32_t)sizeof(struct tcphdr), in.flags & TH_SYN);
	/* With the lock of the connection that it was, perhaps; nothing else is taken inside. */
	mutex_lock_nested(&s->sk.lock);
	v = w->state == TCP_FIN_WAIT2 ? fin_wait2(net, w, &in, &o) : time_wait(net, w, &in, &o);
	if (v == ACK) {
		int64_t limit = READ_ONCE(net->ctl.tcp_invalid_ratelimit) * 1000000L;
		bool repeated =
			in.end_seq != in.seq || !w->oow_at || tcp_now() - w->oow_at >= limit;
		if (repeated) {
			w->oow_at = tcp_now();
			answer(net, w, s);
		}
	}
	mutex_unlock(&s->sk.lock);
	if (v == RESET)
		tcp_reset_packet(net, p);
	if (v == RESET || v == KILL || v == SYN)
		kill_tw(net, w);
	if (v == SYN)
		return true;
	pkt_free(p);
	return false;
}

/* connect(2) wants its four-tuple; tables locked (Linux' tcp_twsk_unique). */
bool tcp_tw_reuse(struct inet_sock *old, struct tcp_sock *t)
{
	struct tcp_tw *w = tw_of(old);
	struct net_ns *net = t->inet.sk.net;
	int reuse = READ_ONCE(net->ctl.tcp_tw_reuse);
	bool local = ip_is_loopback(&old->local) || ip_is_loopback(&old->remote);
	if (reuse == 2)
		reuse = local;
	if (!w->has_ts || !w->ts_recent_at || w->state != TCP_TIME_WAIT || !reuse ||
		tcp_now() - w->ts_recent_at < NSEC_PER_SEC)
		return false;
	t->tw_seq = w->snd_nxt + 65535 + 2;
	if (!t->tw_seq)
		t->tw_seq = 1;
	t->ts_recent = w->ts_recent;
	t->ts_recent_at = w->ts_recent_at;
	NET_INC(net, TcpExt_TWRecycled);
	return true;
}

void tcp_tw_diag(struct inet_sock *s, struct tcp_diag *d)
{
	struct tcp_tw *w = tw_of(s);
	int64_t left = (READ_ONCE(w->expires) - tcp_now()) / 1000000;
	d->state = READ_ONCE(w->state);
	d->timer = 3;
	d->expires = (uint32_t)MAX(left, 0L);
}
