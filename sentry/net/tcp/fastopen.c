/*
 * TCP Fast Open (RFC 7413): data in the SYN, by a cookie that the server gave out before.
 *
 * The data of a SYN stay in sendq as what was never sent: when the SYN-ACK acknowledges them they
 * are taken off, else they go out as usual.  Cookies of servers are kept for FASTOPEN_CACHE
 * addresses of a namespace.
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "lib/siphash.h"
#include "sentry/net/tcp/tcp_priv.h"

#define CLIENT 1
#define SERVER 2
#define CLIENT_NO_COOKIE 4
#define SERVER_NO_COOKIE 0x200
#define SERVER_ALL 0x400 /* every listener */
#define COOKIE_LEN 8

/* --- client --- */

static struct tcp_fastopen_entry *slot(struct net_ns *net, const struct ip_addr *a)
{
	return &net->tcp->fastopen[siphash(net->secret, a, sizeof(*a)) % TCP_FASTOPEN_CACHE];
}

static bool cached(struct net_ns *net, const struct ip_addr *a, struct tcp_fastopen_entry *out)
{
	MUTEX_GUARD(&net->tcp->lock);
	struct tcp_fastopen_entry *e = slot(net, a);
	if (!e->len || !ip_eq(&e->addr, a))
		return false;
	*out = *e;
	return true;
}

static bool no_cookie(const struct tcp_sock *t, int bit)
{
	return (READ_ONCE(t->inet.sk.net->ctl.tcp_fastopen) & bit) || t->fastopen_no_cookie;
}

/* May connect(2) wait for the first write: is there a cookie to send data with? */
bool tcp_fastopen_may_defer(struct tcp_sock *t, const struct ip_addr *a)
{
	struct tcp_fastopen_entry e;
	return no_cookie(t, CLIENT_NO_COOKIE) || cached(t->inet.sk.net, a, &e);
}

void tcp_fastopen_syn_opt(struct tcp_sock *t, struct tcp_syn_opts *o)
{
	if (t->state != TCP_SYN_SENT || !t->fo_ask || t->retransmits)
		return;
	o->fastopen = t->fo_cookie;
	o->fastopen_len = (int8_t)t->fo_cookie_len;
	if (no_cookie(t, CLIENT_NO_COOKIE) && !t->fo_cookie_len)
		o->fastopen_len = -1;
}

/* The part of the first segment of sendq that goes with the SYN. */
struct tcp_seg *tcp_fastopen_data(struct tcp_sock *t)
{
	struct tcp_seg *s;
	if (t->state != TCP_SYN_SENT || !t->fo_syn_data || t->retransmits)
		return NULL;
	list_for_each(s, &t->sendq, node)
		if (!(s->flags & TH_SYN))
			return s;
	return NULL;
}

/* send(2) that connects: how many bytes were taken (they are in sendq), or -errno. */
static ssize_t queue_syn_data(struct tcp_sock *t, struct sock_msg *m)
{
	uint32_t n = (uint32_t)MIN(m->u->resid, (size_t)TCP_MSS_DEFAULT);
	if (!n)
		return 0;
	struct nbuf *b = nbuf_new(n);
	struct tcp_seg *s = b ? tcp_seg_new(t, 0) : NULL;
	if (!s) {
		nbuf_put(b);
		return -ENOBUFS;
	}
	s->buf = b;
	ssize_t got = uio_read(m->u, b->data, n);
	if (got <= 0) {
		tcp_seg_free(t, s);
		return -EFAULT;
	}
	b->used = s->len = (uint32_t)got;
	WRITE_ONCE(t->queued, t->queued + s->len);
	tcp_mem_sync(t);
	s->flags = TH_PUSH;
	list_push_back(&t->sendq, &s->node);
	return got;
}

/* Whom a sendto(2) with MSG_FASTOPEN, or a connect(2) that was put off, means. */
static int destination(struct tcp_sock *t, const struct sock_msg *m, struct ip_addr *a,
	uint16_t *port)
{
	uint32_t scope, flow;
	if (t->defer_connect) {
		*a = t->defer_to;
		*port = t->defer_port;
		return 0;
	}
	return inet_addr_in(&t->inet, &m->name, a, port, &scope, &flow);
}

ssize_t tcp_fastopen_send(struct ctx *ctx, struct tcp_sock *t, struct sock_msg *m, bool nonblock)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_fastopen_entry e = {.len = 0};
	struct ip_addr a;
	uint16_t port;
	if (!(READ_ONCE(net->ctl.tcp_fastopen) & CLIENT) ||
		(m->name.len && m->name.family == AF_UNSPEC))
		return -EOPNOTSUPP;
	if (t->state != TCP_CLOSE || (t->ss != ABI_SS_UNCONNECTED && !t->defer_connect))
		return t->state == TCP_SYN_SENT  ? -EALREADY
		       : m->flags & MSG_FASTOPEN ? -EISCONN
						 : 0;
	int err = destination(t, m, &a, &port);
	if (err)
		return err;
	bool known = cached(net, &a, &e), data = known || no_cookie(t, CLIENT_NO_COOKIE);
	t->fo_ask = true;
	t->fo_cookie_len = e.len;
	memcpy(t->fo_cookie, e.cookie, e.len);
	ssize_t n = data ? queue_syn_data(t, m) : 0;
	if (n < 0)
		return n;
	t->fo_syn_data = n > 0;
	t->defer_connect = false;
	t->ss = ABI_SS_UNCONNECTED;
	err = tcp_connect_start(t, &a, port);
	if (err) {
		t->fo_syn_data = false;
		return err;
	}
	t->ss = ABI_SS_CONNECTING;
	NET_ADD(net, TcpExt_TCPFastOpenActive, t->fo_syn_data);
	if (t->fo_syn_data)
		return n;
	if (nonblock)
		return -EINPROGRESS;
	return 0;
}

/* Names of the data that wait while the SYN is made. */
void tcp_fastopen_syn_data(struct tcp_sock *t)
{
	struct tcp_seg *s = list_first(&t->sendq, struct tcp_seg, node);
	if (!s)
		return;
	s->seq = t->write_seq;
	s->end_seq = s->seq + s->len;
	WRITE_ONCE(t->write_seq, s->end_seq);
}

/* The SYN-ACK: keeps the cookie; takes off what came with the SYN if it arrived. */
void tcp_fastopen_syn_ack(struct tcp_sock *t, const struct tcp_in *in, const struct tcp_opts *o)
{
	struct net_ns *net = t->inet.sk.net;
	struct tcp_seg *s = list_first(&t->sendq, struct tcp_seg, node);
	if (t->fo_ask && o->fastopen_len > 0) {
		MUTEX_GUARD(&net->tcp->lock);
		struct tcp_fastopen_entry *e = slot(net, &t->inet.remote);
		e->addr = t->inet.remote;
		e->len = (uint8_t)o->fastopen_len;
		memcpy(e->cookie, o->fastopen, e->len);
	}
	if (!t->fo_syn_data || !s)
		return;
	if (seq_after(in->ack, t->iss + 1) && !seq_before(in->ack, s->end_seq)) {
		t->fo_acked = true;
		t->data_segs_out++;
		t->snd_una = s->end_seq;
		WRITE_ONCE(t->snd_nxt, s->end_seq);
		tcp_seg_free(t, s);
	} else {
		NET_INC(net, TcpExt_TCPFastOpenActiveFail);
	}
	t->fo_syn_data = false;
}

/* --- server --- */

static void make_cookie(const uint8_t key[16], const struct tcp_synq *q, uint8_t out[COOKIE_LEN])
{
	struct ip_addr pair[2] = {q->remote, q->local};
	uint64_t h = siphash(key, pair, sizeof(pair));
	memcpy(out, &h, COOKIE_LEN);
}

static const struct tcp_fastopen_keys *keys_of(const struct tcp_sock *t)
{
	return t->fo_keys.has ? &t->fo_keys : &t->inet.sk.net->tcp->fastopen_keys;
}

/* The cookie in o: 0 is of no use, 1 new key's, 2 old one's. */
static int check_cookie(const struct tcp_sock *t, const struct tcp_synq *q,
	const struct tcp_opts *o)
{
	const struct tcp_fastopen_keys *k = keys_of(t);
	uint8_t c[COOKIE_LEN];
	for (uint32_t i = 0; i < k->has; i++) {
		make_cookie(k->key[i], q, c);
		if (o->fastopen_len == COOKIE_LEN && !memcmp(c, o->fastopen, COOKIE_LEN))
			return (int)i + 1;
	}
	return 0;
}

/* A key, if none was set. */
void tcp_fastopen_need_key(struct tcp_sock *t)
{
	struct net_ns *net = t->inet.sk.net;
	MUTEX_GUARD(&net->tcp->lock);
	struct tcp_fastopen_keys *k = &net->tcp->fastopen_keys;
	if (k->has)
		return;
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t h = siphash(net->secret, &i, sizeof(i));
		memcpy(k->key[0] + 8 * i, &h, 8);
	}
	k->has = 1;
}

void tcp_fastopen_listen(struct tcp_sock *t)
{
	int mode = READ_ONCE(t->inet.sk.net->ctl.tcp_fastopen);
	if ((mode & SERVER) && (mode & SERVER_ALL) && !t->fastopen_qlen)
		t->fastopen_qlen = tcp_accept_max(t);
	tcp_fastopen_need_key(t);
}

static bool queue_room(struct tcp_sock *t)
{
	if (!t->fastopen_qlen)
		return false;
	if (READ_ONCE(t->fo_pending) < t->fastopen_qlen)
		return true;
	NET_INC(t->inet.sk.net, TcpExt_TCPFastOpenListenOverflow);
	return false;
}

/* SYN-ACK of a connection that has its data already. */
static int answer(struct tcp_sock *c)
{
	struct tcp_seg *s = tcp_seg_new(c, c->iss);
	if (!s)
		return -ENOMEM;
	s->flags = TH_SYN | TH_ACK;
	s->end_seq = c->iss + 1;
	WRITE_ONCE(c->snd_nxt, c->iss);
	c->snd_una = c->iss;
	list_push_back(&c->sendq, &s->node);
	int64_t now = tcp_now();
	tcp_transmit(c, s);
	tcp_sent_new(c, s, now);
	return 0;
}

static struct tcp_sock *make_child(struct tcp_sock *t, struct pkt *p, const struct tcp_synq *q)
{
	struct net_ns *net = t->inet.sk.net;
	uint32_t iss = tcp_isn(net, &q->local, q->lport, &q->remote, q->rport);
	struct tcp_sock *c = tcp_child_new(t, q, iss, q->snd_wnd);
	if (!c)
		return NULL;
	mutex_lock_nested(&c->inet.sk.lock); /* nobody else knows it */
	tcp_set_state(c, TCP_SYN_RECV);
	c->fastopen_child = true;
	c->fo_listener = t;
	inet_get(&t->inet);
	__atomic_add_fetch(&t->fo_pending, 1, __ATOMIC_RELAXED);
	tcp_cwnd_init(c);
	tcp_init_buffers(c);
	struct pkt *data = p->len > tcp_in_of(p)->hlen ? pkt_clone(p) : NULL;
	if (data) {
		c->fo_data_in = true;
		tcp_data_in(c, data);
	}
	bool ok = tcp_child_publish(t, c);
	if (ok)
		ok = !answer(c);
	if (!ok)
		tcp_done(c);
	mutex_unlock(&c->inet.sk.lock);
	if (ok)
		return c;
	inet_put(&c->inet);
	return NULL;
}

struct tcp_sock *tcp_fastopen_accept(struct tcp_sock *t, struct pkt *p, const struct tcp_in *in,
	const struct tcp_opts *o, struct tcp_synq *q)
{
	struct net_ns *net = t->inet.sk.net;
	bool data = p->len > in->hlen;
	if (!(READ_ONCE(net->ctl.tcp_fastopen) & SERVER) || (!data && o->fastopen_len < 0) ||
		!queue_room(t))
		return NULL;
	bool fine = data && no_cookie(t, SERVER_NO_COOKIE);
	int cookie = o->fastopen_len > 0 ? check_cookie(t, q, o) : 0;
	if (o->fastopen_len == 0)
		NET_INC(net, TcpExt_TCPFastOpenCookieReqd);
	if (fine || cookie) {
		struct tcp_sock *c = make_child(t, p, q);
		if (c) {
			NET_INC(net, TcpExt_TCPFastOpenPassive);
			NET_INC(net, Tcp_PassiveOpens);
			sock_wake_readable(&t->inet.sk);
			return c;
		}
	}
	if (o->fastopen_len > 0)
		NET_INC(net, TcpExt_TCPFastOpenPassiveFail);
	if (o->fastopen_len >= 0) { /* the SYN-ACK brings one that is good */
		make_cookie(keys_of(t)->key[0], q, q->fo_cookie);
		q->fastopen_len = COOKIE_LEN;
	}
	return NULL;
}

/* The handshake of a child is over, or it is. */
void tcp_fastopen_done(struct tcp_sock *t)
{
	struct tcp_sock *l = t->fo_listener;
	if (!l)
		return;
	t->fo_listener = NULL;
	__atomic_sub_fetch(&l->fo_pending, 1, __ATOMIC_RELAXED);
	inet_put(&l->inet);
}
