/*
 * Sending datagrams (net/ipv4/udp.c, net/ipv6/udp.c).
 *
 * The payload is copied from the guest once, into a packet.  With MSG_MORE or UDP_CORK it is
 * gathered in one buffer until the datagram is complete; to whom it goes, by which route and with
 * which options was settled at its first piece.
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>

#include "sentry/net/eth/neigh.h"
#include "sentry/net/skb.h"
#include "sentry/net/udp/udp_priv.h"

#define IP4_HLEN 20u
#define IP6_HLEN 40u
#define LEN_MAX 65535u

static void out_fini(struct udp_out *o)
{
	route_put(&o->rt);
	inet_cmsg_fini(&o->c);
}

static const struct route *rt_of(const struct inet_sock *s, const struct udp_out *o)
{
	return o->plain ? &s->route : &o->rt;
}

/* --- to whom --- */

struct dest {
	struct ip_addr ip;
	uint16_t port;
	uint32_t scope, flowinfo;
	bool connected; /* it is the peer of connect(2) */
};

/* AF_UNSPEC is no name for an IPv6 socket. */
static bool has_name(const struct inet_sock *s, const struct sock_msg *m)
{
	if (!m->name.len)
		return m->named;
	return s->sk.family == AF_INET || m->name.len < sizeof(m->name.sa.family) ||
	       m->name.sa.family != AF_UNSPEC;
}

static int find_dest(struct inet_sock *s, const struct sock_msg *m, struct dest *d)
	REQUIRES(s->sk.lock)
{
	if (!has_name(s, m)) {
		if (!s->rport && ip_is_any(&s->remote))
			return -EDESTADDRREQ;
		*d = (struct dest){s->remote, s->rport, s->scope_id, 0, true};
		return 0;
	}
	int err = inet_addr_in(s, &m->name, &d->ip, &d->port, &d->scope, &d->flowinfo);
	if (!err && !d->port)
		err = -EINVAL;
	return err;
}

/* 0.0.0.0 is this host: what we send from, else the loopback address. */
static void this_host(struct inet_sock *s, struct dest *d)
{
	if (!ip_is_any(&d->ip))
		return;
	bool v4 = ip_is_v4(&d->ip);
	if (!s->nosrc && !ip_is_any(&s->local) && ip_is_v4(&s->local) == v4)
		d->ip = s->local;
	else
		d->ip = inet_loopback_of(v4);
}

static int resolve(struct inet_sock *s, const struct sock_msg *m, struct dest *d, struct udp_out *o)
	REQUIRES(s->sk.lock)
{
	o->plain = d->connected && !m->control_len && !o->c.opt_len && !o->c.oif && !o->c.has_src &&
		   !(m->flags & MSG_DONTROUTE);
	if (!o->c.has_src && inet_source_clashes(s, &d->ip))
		return -EAFNOSUPPORT;
	inet_flow(s, &d->ip, d->port, &o->f);
	if (o->plain) {
		int err = inet_route(s);
		if (err)
			return err;
	} else {
		if (d->scope && !o->f.oif)
			o->f.oif = (int32_t)d->scope;
		if (d->flowinfo && (READ_ONCE(s->cmsg) & INET_CMSG_SNDFLOW))
			o->f.flowlabel = d->flowinfo & 0xfffff;
		inet_cmsg_flow(&o->c, &o->f);
		o->f.onlink = (m->flags & MSG_DONTROUTE) || sock_flag(&s->sk, SOCK_F_DONTROUTE);
		int err = route_lookup(s->sk.net, &o->f, &o->rt);
		if (err == -ENETUNREACH && o->v4)
			NET_INC(s->sk.net, Ip_OutNoRoutes);
		if (err)
			return err;
	}
	if (rt_of(s, o)->type == RTN_BROADCAST && !sock_flag(&s->sk, SOCK_F_BROADCAST))
		return -EACCES;
	if (ip_is_any(&o->f.src))
		o->f.src = rt_of(s, o)->src;
	return 0;
}

/* --- how long --- */

static bool may_fragment(uint8_t pmtudisc)
{
	return pmtudisc < IP_PMTU_DO || pmtudisc == IP_PMTU_OMIT;
}

/* n bytes of UDP: 0, or -EMSGSIZE, which goes on the error queue as well. */
static int check_len(struct inet_sock *s, const struct udp_out *o, const struct ip_tx *tx,
	uint32_t n)
{
	const struct route *rt = rt_of(s, o);
	uint32_t mtu = tx->pmtudisc == IP_PMTU_PROBE || tx->pmtudisc == IP_PMTU_INTERFACE
			       ? READ_ONCE(rt->link->mtu)
			       : ip_mtu(rt);
	uint32_t hlen = (o->v4 ? IP4_HLEN : IP6_HLEN) + tx->opt_len, max;
	if (o->v4) {
		mtu = MIN(mtu, LEN_MAX);
		max = may_fragment(tx->pmtudisc) ? LEN_MAX : mtu;
	} else {
		if (tx->frag_size)
			mtu = MIN(mtu, tx->frag_size);
		max = may_fragment(tx->pmtudisc) ? IP6_HLEN + LEN_MAX : mtu;
		if (tx->nodefrag)
			max = mtu;
	}
	if (n + hlen <= max)
		return 0;
	/* Of IPv4 Linux tells the peer's port, not that of the message. */
	inet_local_error(s, EMSGSIZE, o->v4 ? mtu - tx->opt_len : mtu, &o->f.dst,
		o->v4 ? s->rport : o->f.dport);
	return -EMSGSIZE;
}

/* UDP_SEGMENT's conditions. */
static int check_gso(struct inet_sock *s, const struct udp_out *o, const struct ip_tx *tx,
	uint32_t len)
{
	uint32_t hlen = (o->v4 ? IP4_HLEN : IP6_HLEN) + tx->opt_len + UDP_HLEN;
	if (!o->gso_size)
		return 0;
	if (hlen + MIN(len, (uint32_t)o->gso_size) > ip_mtu(rt_of(s, o)))
		return -EMSGSIZE;
	bool plain =
		o->v4 ? sock_flag(&s->sk, SOCK_F_NO_CHECK) : READ_ONCE(udp_of(s)->no_check6_tx);
	if (len > o->gso_size * UDP_MAX_SEGMENTS || plain)
		return -EINVAL;
	return 0;
}

/* --- stamps --- */

/* What a stamped copy shows: the frame as it left.  Its IP header is as plain as can be. */
static void add_headers(struct pkt *c, const struct udp_out *o, const struct ip_tx *tx)
{
	uint8_t *h = pkt_push(c, o->v4 ? IP4_HLEN : IP6_HLEN);
	if (!h)
		return;
	if (o->v4) {
		uint16_t len = htons((uint16_t)c->len), sum;
		memset(h, 0, IP4_HLEN);
		h[0] = 0x45;
		h[1] = tx->tos;
		memcpy(h + 2, &len, 2);
		h[6] = 0x40;
		h[8] = tx->ttl >= 0 ? (uint8_t)tx->ttl : 64;
		h[9] = IPPROTO_UDP;
		memcpy(h + 12, &o->f.src.w[3], 4);
		memcpy(h + 16, &o->f.dst.w[3], 4);
		sum = (uint16_t)~csum_fold(csum_add(0, h, IP4_HLEN));
		memcpy(h + 10, &sum, 2);
	} else {
		uint16_t len = htons((uint16_t)(c->len - IP6_HLEN));
		memset(h, 0, IP6_HLEN);
		h[0] = 0x60;
		memcpy(h + 4, &len, 2);
		h[6] = IPPROTO_UDP;
		h[7] = tx->ttl >= 0 ? (uint8_t)tx->ttl : 64;
		memcpy(h + 8, o->f.src.b, 16);
		memcpy(h + 24, o->f.dst.b, 16);
	}
	uint8_t *eth = pkt_push(c, 14);
	if (!eth)
		return;
	memset(eth, 0, 12);
	eth[12] = o->v4 ? 0x08 : 0x86;
	eth[13] = o->v4 ? 0x00 : 0xdd;
}

static void queue_stamps(struct inet_sock *s, struct pkt *c, const struct udp_out *o,
	const struct ip_tx *tx)
{
	uint32_t ts = o->c.tsflags, key = 0;
	if (o->c.has_tskey)
		key = o->c.tskey;
	else if (ts & SOF_TIMESTAMPING_OPT_ID)
		key = __atomic_fetch_add(&s->sk.tskey, 1, __ATOMIC_RELAXED);
	add_headers(c, o, tx);
	c->ip.dst = o->f.dst;
	c->ip.src = o->f.src;
	if (ts & SOF_TIMESTAMPING_TX_SCHED)
		inet_queue_tx_stamp(s, c, ts, SCM_TSTAMP_SCHED, key);
	if (ts & SOF_TIMESTAMPING_TX_SOFTWARE)
		inet_queue_tx_stamp(s, c, ts, SCM_TSTAMP_SND, key);
	pkt_free(c);
}

#define TX_STAMPS (SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED)

/* --- the header --- */

static void put_header(struct udp_sock *u, struct pkt *p, const struct udp_out *o)
{
	struct inet_sock *s = &u->inet;
	uint32_t n = p->len + UDP_HLEN;
	uint8_t *at = pkt_push(p, UDP_HLEN);
	BUG_ON(!at);
	struct udphdr h = {.source = htons(s->lport),
		.dest = htons(o->f.dport),
		.len = htons((uint16_t)n)};
	memcpy(at, &h, sizeof(h));
	p->l4 = p->data;
	if (o->gso_size && p->len - UDP_HLEN > o->gso_size) {
		p->gso = PKT_GSO_UDP;
		p->gso_size = o->gso_size;
		p->gso_segs = (uint16_t)((p->len - UDP_HLEN + o->gso_size - 1) / o->gso_size);
	}
	if (o->v4 ? sock_flag(&s->sk, SOCK_F_NO_CHECK) : READ_ONCE(u->no_check6_tx))
		return;
	pkt_checksum_partial(p, offsetof(struct udphdr, check),
		csum_pseudo(&o->f.src, &o->f.dst, IPPROTO_UDP, n));
}

/* A whole datagram.  Takes p over. */
static int transmit(struct udp_sock *u, struct pkt *p, const struct udp_out *o)
	REQUIRES(u->inet.sk.lock)
{
	struct inet_sock *s = &u->inet;
	struct net_ns *net = s->sk.net;
	struct pkt *copy = NULL;
	struct ip_tx tx;
	inet_ip_tx(s, &o->f, &tx);
	inet_cmsg_ip_tx(&o->c, o->v4, &tx);
	int err = check_len(s, o, &tx, p->len + UDP_HLEN);
	if (!err)
		err = check_gso(s, o, &tx, p->len);
	if (err) {
		net_defer_free(p);
		return err;
	}
	p->net = net;
	put_header(u, p, o);
	if (unlikely(o->c.tsflags & TX_STAMPS))
		copy = pkt_clone(p);
	pkt_set_owner(p, &s->sk);
	err = ip_output(net, p, &o->f, rt_of(s, o), &tx);
	if (copy)
		queue_stamps(s, copy, o, &tx);
	if (err == -ENOBUFS && !(o->v4 ? READ_ONCE(s->recverr4) : READ_ONCE(s->recverr6))) {
		UDP_INC(net, !o->v4, SndbufErrors);
		return 0;
	}
	if (!err)
		UDP_INC(net, !o->v4, OutDatagrams);
	return err;
}

/* --- holding back --- */

void udp_flush_pending(struct udp_sock *u)
{
	if (!u->pending)
		return;
	net_defer_free(u->pending);
	u->pending = NULL;
	nbuf_put(u->pending_buf);
	u->pending_buf = NULL;
	out_fini(&u->out);
}

int udp_push_pending(struct udp_sock *u)
{
	struct pkt *p = u->pending;
	u->pending = NULL;
	nbuf_put(u->pending_buf);
	u->pending_buf = NULL;
	int err = transmit(u, p, &u->out);
	out_fini(&u->out);
	return err;
}

static int begin_pending(struct udp_sock *u, struct udp_out *o) REQUIRES(u->inet.sk.lock)
{
	if (sock_wmem_full(&u->inet.sk))
		return -EAGAIN;
	/* The socket's own may change meanwhile. */
	int err = inet_cmsg_own(&o->c);
	if (err)
		return err;
	if (o->plain) {
		err = route_lookup(u->inet.sk.net, &o->f, &o->rt);
		if (err)
			return err;
		o->plain = false;
	}
	struct pkt *p = pkt_new();
	struct nbuf *b = nbuf_new(UDP_CORK_BUF);
	if (!p || !b) {
		net_defer_free(p);
		nbuf_put(b);
		return -ENOBUFS;
	}
	u->pending = p;
	u->pending_buf = b;
	u->out = *o;
	*o = (struct udp_out){0};
	return 0;
}

static int append_bytes(struct udp_sock *u, struct uio *from, uint32_t n)
{
	struct nbuf *b = u->pending_buf;
	if (n > b->cap - b->used)
		return -EMSGSIZE;
	if (n && uio_read(from, b->data + b->used, n) != (ssize_t)n)
		return -EFAULT;
	b->used += n;
	return pkt_add_frag(u->pending, b, b->used - n, n) ? 0 : -EMSGSIZE;
}

/* n more bytes of the datagram that is held back; more: and it stays so. */
static int append(struct udp_sock *u, struct uio *from, uint32_t n, bool more)
	REQUIRES(u->inet.sk.lock)
{
	struct ip_tx tx;
	inet_ip_tx(&u->inet, &u->out.f, &tx);
	inet_cmsg_ip_tx(&u->out.c, u->out.v4, &tx);
	int err = check_len(&u->inet, &u->out, &tx, u->pending->len + n + UDP_HLEN);
	if (!err)
		err = append_bytes(u, from, n);
	if (err)
		udp_flush_pending(u);
	else if (!more)
		err = udp_push_pending(u);
	return err;
}

/* --- sendmsg --- */

static int send_now(struct udp_sock *u, struct sock_msg *m, struct udp_out *o, uint32_t n)
	REQUIRES(u->inet.sk.lock)
{
	struct ip_tx tx;
	inet_ip_tx(&u->inet, &o->f, &tx);
	inet_cmsg_ip_tx(&o->c, o->v4, &tx);
	int err = check_len(&u->inet, o, &tx, n + UDP_HLEN);
	if (err)
		return err;
	if (unlikely(sock_wmem_full(&u->inet.sk)))
		return -EAGAIN; /* nothing of the payload is consumed yet */
	struct pkt *p = pkt_new();
	if (!p)
		return -ENOBUFS;
	err = pkt_add_uio(p, m->u, n);
	if (err) {
		net_defer_free(p);
		return err == -ENOMEM ? -ENOBUFS : err;
	}
	return transmit(u, p, o);
}

static int prepare(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m, struct udp_out *o)
	REQUIRES(s->sk.lock)
{
	struct dest d = {0};
	int err = find_dest(s, m, &d);
	if (err)
		return err;
	o->v4 = ip_is_v4(&d.ip);
	if (o->v4 && m->u->resid > LEN_MAX)
		return -EMSGSIZE;
	if (o->v4 && (m->flags & MSG_OOB))
		return -EOPNOTSUPP;
	inet_cmsg_init(s, o->v4, &o->c);
	o->c.gso_size = READ_ONCE(udp_of(s)->gso_size);
	if (m->control_len) {
		err = inet_cmsg_in(ctx, s, m, o->v4, &o->c);
		if (err)
			return err;
	}
	o->gso_size = o->c.gso_size;
	this_host(s, &d);
	err = resolve(s, m, &d, o);
	if (!err && (m->flags & MSG_CONFIRM) && rt_of(s, o)->neigh)
		neigh_confirm(rt_of(s, o)->neigh);
	return err;
}

static int send_locked(struct ctx *ctx, struct udp_sock *u, struct sock_msg *m)
	REQUIRES(u->inet.sk.lock)
{
	bool more = READ_ONCE(u->cork) || (m->flags & MSG_MORE);
	struct udp_out o = {0};
	size_t n = m->u->resid;
	if (u->pending)
		return n > LEN_MAX ? -EMSGSIZE : append(u, m->u, (uint32_t)n, more);
	int err = prepare(ctx, &u->inet, m, &o);
	if (!err && (m->flags & MSG_CONFIRM) && (m->flags & MSG_PROXY) && !n)
		goto out; /* MSG_PROBE: the path is confirmed, that is all */
	if (!err && n > LEN_MAX) {
		inet_local_error(&u->inet, EMSGSIZE, ip_mtu(rt_of(&u->inet, &o)), &o.f.dst,
			o.f.dport);
		err = -EMSGSIZE;
	}
	if (!err && more) {
		err = begin_pending(u, &o);
		if (!err)
			err = append(u, m->u, (uint32_t)n, true);
	} else if (!err) {
		err = send_now(u, m, &o, (uint32_t)n);
	}
out:
	out_fini(&o);
	return err;
}

/* Linux tells shutdown and a full buffer when it makes the buffer, after the other checks. */
ssize_t udp_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	struct udp_sock *u = udp_of(s);
	size_t n = m->u->resid;
	if (unlikely(!READ_ONCE(s->lport))) {
		inet_lock(s);
		int err = s->lport ? 0 : inet_bind_port(s->sk.net->inet->udp, s, &s->bound, 0);
		inet_unlock(s);
		if (err)
			return -EAGAIN;
	}
	if (s->sk.family == AF_INET) { /* before it is looked at to whom */
		if (n > LEN_MAX)
			return -EMSGSIZE;
		if (m->flags & MSG_OOB)
			return -EOPNOTSUPP;
	}
	for (;;) {
		inet_lock(s);
		mutex_assert_held(&u->inet.sk.lock); /* the same */
		int err = send_locked(ctx, u, m);
		bool full = err == -EAGAIN;
		inet_unlock(s);
		if (!full)
			return err ? err : (ssize_t)n;
		err = skb_wait_wmem(ctx, &s->sk, m->flags);
		if (err == -EAGAIN)
			UDP_INC(s->sk.net, s->sk.family == AF_INET6, SndbufErrors);
		if (err)
			return err;
	}
}
