/*
 * TCP sockets: their life, and the operations of inet.h.  See tcp_priv.h for the map.
 */
#include "sentry/net/tcp/tcp.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/filter.h"
#include "sentry/net/tcp/tcp_priv.h"

static SLAB_SHARE(tcp_sock_slab, struct tcp_sock, 16);
static SLAB_DEFINE(tcp_net_slab, struct tcp_net);

/* --- life --- */

/* What a connection begins with, also after disconnecting. */
void tcp_reset_state(struct tcp_sock *t)
{
	t->mss = TCP_MSS_DEFAULT;
	t->peer_mss = 65535;
	t->snd_una = t->snd_sml = t->snd_up = t->push_seq = 0;
	WRITE_ONCE(t->snd_nxt, 0);
	WRITE_ONCE(t->write_seq, 0);
	t->snd_wnd = t->max_window = 0;
	t->rcv_wnd = t->rcv_wup = 0;
	WRITE_ONCE(t->rcv_nxt, 0);
	WRITE_ONCE(t->copied_seq, 0);
	t->rcv_mss = 88;
	t->scaling_ratio = 128;
	t->urg_out = false;
	WRITE_ONCE(t->urg_data, 0);
	t->done = false;
	t->backoff = t->probes_out = t->retransmits = t->keep_probes = 0;
	t->ack_pending = 0;
	t->ack_quick = t->ack_pingpong = 0;
	t->ack_ato = 0;
	t->last_recv = t->last_sent = 0;
	t->ts_ok = t->wscale_ok = t->sack_ok = t->ecn_ok = false;
	t->snd_wscale = t->rcv_wscale = 0;
	t->ecn_echo = t->ecn_cwr_pending = false;
	t->nsel_ack = 0;
	t->has_dsack = false;
	t->defer_connect = false;
	t->soft_err = 0;
	memset(&t->rcvq_space, 0, sizeof(t->rcvq_space));
	tcp_recovery_init(t);
}

static struct tcp_sock *alloc(struct net_ns *net, int family, int type, int protocol)
{
	struct tcp_sock *t = slab_alloc(&tcp_sock_slab);
	if (!t)
		return NULL;
	inet_sock_init(&t->inet, net, INET_TCP, family, type, protocol);
	__atomic_add_fetch(&net->tcp->sockets, 1, __ATOMIC_RELAXED);
	tcp_mem_count(1);
	t->state = TCP_CLOSE;
	t->ss = ABI_SS_UNCONNECTED;
	list_init(&t->sendq);
	list_init(&t->rtxq);
	list_init(&t->tsorted);
	list_init(&t->recvq);
	list_init(&t->accept_node);
	ktimer_init(&t->timer, KTIMER_TCP);
	t->inet.sk.sndbuf = (uint32_t)READ_ONCE(net->ctl.tcp_wmem[1]);
	t->inet.sk.rcvbuf = (uint32_t)READ_ONCE(net->ctl.tcp_rmem[1]);
	t->cwnd_clamp = UINT32_MAX;
	return t;
}

static int create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	struct inet_sock **out)
{
	struct tcp_sock *t = alloc(net, family, type, protocol);
	if (!t)
		return -ENOBUFS;
	tcp_cc_set(t, tcp_cc_default(t));
	tcp_reset_state(t);
	t->rcv_mss = 0;
	*out = &t->inet;
	return 0;
}

/* What accepted connections have of their listener's socket options (Linux' sk_clone). */
static void inherit_sk(struct socket *c, const struct socket *p)
{
	c->sndbuf = READ_ONCE(p->sndbuf);
	c->rcvbuf = READ_ONCE(p->rcvbuf);
	c->rcvtimeo = READ_ONCE(p->rcvtimeo);
	c->sndtimeo = READ_ONCE(p->sndtimeo);
	c->rcvlowat = READ_ONCE(p->rcvlowat);
	c->flags = READ_ONCE(p->flags);
	c->priority = READ_ONCE(p->priority);
	c->mark = READ_ONCE(p->mark);
	c->max_pacing_rate = READ_ONCE(p->max_pacing_rate);
	c->peek_off = p->peek_off;
	c->linger = p->linger;
	c->tsflags = READ_ONCE(p->tsflags);
	if (p->filter)
		c->filter = sock_filter_get(p->filter);
}

static void inherit_inet(struct inet_sock *c, const struct inet_sock *p)
{
	c->bound_if = READ_ONCE(p->bound_if);
	c->uid = p->uid;
	memcpy(&c->v6only, &p->v6only,
		offsetof(struct inet_sock, opt) - offsetof(struct inet_sock, v6only));
}

/* A connection of listener p, with its options. */
struct tcp_sock *tcp_clone(struct tcp_sock *p)
{
	struct socket *sk = &p->inet.sk;
	struct tcp_sock *c = alloc(sk->net, sk->family, sk->type, sk->protocol);
	if (!c)
		return NULL;
	inherit_sk(&c->inet.sk, sk);
	inherit_inet(&c->inet, &p->inet);
	c->sndbuf_locked = p->sndbuf_locked;
	c->rcvbuf_locked = p->rcvbuf_locked;
	c->user_mss = p->user_mss;
	c->user_clamp = p->user_clamp;
	c->notsent_lowat = p->notsent_lowat;
	c->nodelay = p->nodelay;
	c->cork = p->cork;
	c->keep_idle = p->keep_idle;
	c->keep_intvl = p->keep_intvl;
	c->keep_cnt = p->keep_cnt;
	c->max_syn_retries = p->max_syn_retries;
	c->user_timeout = p->user_timeout;
	c->linger2 = p->linger2;
	c->thin_lto = p->thin_lto;
	c->inq = p->inq;
	c->max_pacing_rate = p->max_pacing_rate;
	c->cwnd_clamp = p->cwnd_clamp;
	tcp_cc_set(c, p->cc.setsockopt ? p->cc.kind : tcp_cc_default(p));
	c->cc.setsockopt = p->cc.setsockopt;
	tcp_reset_state(c);
	return c;
}

static void destroy(struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(s);
	struct net_ns *net = s->sk.net;
	BUG_ON(t->timer_on || t->listener || t->state != TCP_CLOSE);
	tcp_purge_send(t);
	tcp_purge_recv(t);
	tcp_mem_gone(t);
	buf_free(t->saved_syn, t->saved_syn_len);
	__atomic_sub_fetch(&net->tcp->sockets, 1, __ATOMIC_RELAXED);
	inet_sock_fini(s);
	slab_free(&tcp_sock_slab, t);
}

/* --- names --- */

static int bind_port(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	uint32_t flags)
{
	if (tcp_of(s)->state != TCP_CLOSE)
		return -EINVAL;
	return inet_bind_port(s->sk.net->inet->tcp, s, a, port);
}

static bool connected(struct inet_sock *s)
{
	uint8_t state = READ_ONCE(tcp_of(s)->state);
	return state != TCP_CLOSE && state != TCP_SYN_SENT && state != TCP_LISTEN;
}

/* --- poll --- */

static bool urgent_here(const struct tcp_sock *t, uint32_t *skip)
{
	uint16_t urg = READ_ONCE(t->urg_data);
	if (!sock_flag(&t->inet.sk, SOCK_F_OOBINLINE) && urg &&
		READ_ONCE(t->urg_seq) == READ_ONCE(t->copied_seq))
		(*skip)++;
	return urg & TCP_URG_VALID;
}

/* Linux' tcp_poll. */
static uint32_t tcp_poll(struct inet_sock *s)
{
	struct tcp_sock *t = tcp_of(s);
	uint8_t state = __atomic_load_n(&t->state, __ATOMIC_ACQUIRE);
	uint32_t shut = __atomic_load_n(&s->sk.shutdown, __ATOMIC_ACQUIRE), mask = 0;
	if (state == TCP_LISTEN)
		return tcp_accept_ready(t) ? POLLIN | POLLRDNORM : 0;
	if (READ_ONCE(t->defer_connect)) /* the first write will connect */
		return POLLOUT | POLLWRNORM;
	if (shut == SOCK_SHUT_BOTH || state == TCP_CLOSE)
		mask |= POLLHUP;
	if (shut & SOCK_SHUT_RD)
		mask |= POLLIN | POLLRDNORM | POLLRDHUP;
	if (state != TCP_SYN_SENT && (state != TCP_SYN_RECV || t->fastopen_child)) {
		uint32_t target = READ_ONCE(s->sk.rcvlowat);
		if (urgent_here(t, &target))
			mask |= POLLPRI;
		if (tcp_readable(t, target))
			mask |= POLLIN | POLLRDNORM;
		if (shut & SOCK_SHUT_WR) {
			mask |= POLLOUT | POLLWRNORM;
		} else if (tcp_is_writable(t)) {
			mask |= POLLOUT | POLLWRNORM;
		} else {
			WRITE_ONCE(t->nospace, true);
			__atomic_thread_fence(__ATOMIC_SEQ_CST);
			if (tcp_is_writable(t))
				mask |= POLLOUT | POLLWRNORM;
		}
	}
	if (READ_ONCE(s->sk.err) || READ_ONCE(s->errq_len))
		mask |= POLLERR;
	return mask;
}

/* --- ioctl --- */

static int put_int(struct ctx *ctx, uint64_t arg, int v)
{
	return uaccess_put(ctx, UADDR(arg), &v);
}

/* Bytes that a read would get (Linux' tcp_inq). */
uint32_t tcp_inq(struct tcp_sock *t)
{
	uint32_t n = t->rcv_nxt - t->copied_seq;
	if (t->state == TCP_SYN_SENT || t->state == TCP_SYN_RECV)
		return 0;
	bool before = seq_before(t->urg_seq, t->copied_seq) || !seq_before(t->urg_seq, t->rcv_nxt);
	if (sock_flag(&t->inet.sk, SOCK_F_OOBINLINE) || !t->urg_data || before) {
		if (n && t->done)
			n--; /* FIN */
		return n;
	}
	return t->urg_seq - t->copied_seq;
}

static long ioctl_locked(struct tcp_sock *t, uint32_t cmd, int *v)
{
	switch (cmd) {
	case FIONREAD:
		if (t->state == TCP_LISTEN)
			return -EINVAL;
		*v = (int)tcp_inq(t);
		return 0;
	case SIOCATMARK:
		*v = t->urg_data && t->urg_seq == t->copied_seq;
		return 0;
	case TIOCOUTQ: /* SIOCOUTQ */
		if (t->state == TCP_LISTEN)
			return -EINVAL;
		*v = 0;
		if (t->state != TCP_SYN_SENT && t->state != TCP_SYN_RECV)
			*v = (int)(t->write_seq - t->snd_una);
		return 0;
	case SIOCOUTQNSD:
		if (t->state == TCP_LISTEN)
			return -EINVAL;
		*v = 0;
		if (t->state != TCP_SYN_SENT && t->state != TCP_SYN_RECV)
			*v = (int)(t->write_seq - t->snd_nxt);
		return 0;
	}
	return -ENOTTY;
}

static long tcp_ioctl(struct ctx *ctx, struct inet_sock *s, uint32_t cmd, uint64_t arg)
{
	int v;
	inet_lock(s);
	long r = ioctl_locked(tcp_of(s), cmd, &v);
	inet_unlock(s);
	return r ? r : put_int(ctx, arg, v);
}

/* --- start --- */

static const struct inet_ops ops = {.create = create,
	.bind = bind_port,
	.pre_connect = tcp_pre_connect,
	.connect = tcp_connect,
	.disconnect = tcp_disconnect,
	.listen = tcp_listen,
	.accept = tcp_accept,
	.unaccept = tcp_unaccept,
	.connected = connected,
	.send = tcp_send,
	.recv = tcp_recv,
	.shutdown = tcp_shutdown,
	.setsockopt = tcp_setsockopt,
	.getsockopt = tcp_getsockopt,
	.poll = tcp_poll,
	.ioctl = tcp_ioctl,
	.changed = tcp_changed,
	.release = tcp_release,
	.destroy = destroy,
	.input = tcp_sock_input};

void tcp_init(void)
{
	inet_ops_register(INET_TCP, &ops);
	ip_proto_register(IPPROTO_TCP, &tcp_ip_proto);
	tcp_timer_init();
	tcp_tw_init();
}

int tcp_ns_init(struct net_ns *net)
{
	struct tcp_net *tn = slab_alloc(&tcp_net_slab);
	if (!tn)
		return -ENOMEM;
	tn->net = net;
	mutex_init(&tn->lock, LOCK_TCP);
	list_init(&tn->tw[0]);
	list_init(&tn->tw[1]);
	ktimer_init(&tn->tw_timer, KTIMER_TCP_TW);
	net->tcp = tn;
	NET_ADD(net, Tcp_RtoAlgorithm, 1);
	NET_ADD(net, Tcp_RtoMin, 200);
	NET_ADD(net, Tcp_RtoMax, 120000);
	NET_ADD(net, Tcp_MaxConn, -1);
	return 0;
}

void tcp_ns_fini(struct net_ns *net)
{
	tcp_tw_stop(net);
	slab_free(&tcp_net_slab, net->tcp);
	net->tcp = NULL;
}

struct inet_table *tcp_table(struct net_ns *net)
{
	return net->inet->tcp;
}
