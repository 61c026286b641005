/* What raw and ping sockets have in common when they send. */
#include "sentry/net/eth/neigh.h"
#include "sentry/net/raw/raw_priv.h"

void raw_out_fini(struct raw_out *o)
{
	route_put(&o->rt);
	inet_cmsg_fini(&o->c);
}

static void this_host(struct inet_sock *s, struct raw_out *o)
{
	if (!ip_is_any(&o->dst))
		return;
	o->dst = !s->nosrc && !ip_is_any(&s->local) && ip_is_v4(&s->local) == o->v4
			 ? s->local
			 : inet_loopback_of(o->v4);
}

int raw_out_prepare(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m,
	struct raw_out *o)
{
	o->v4 = ip_is_v4(&o->dst);
	inet_cmsg_init(s, o->v4, &o->c);
	if (m->control_len) {
		int err = inet_cmsg_in(ctx, s, m, o->v4, &o->c);
		if (err)
			return err;
	}
	if (o->v4 && READ_ONCE(s->hdrincl) && o->c.opt_len)
		return -EINVAL; /* who writes the header writes its options */
	this_host(s, o);
	inet_flow(s, &o->dst, o->port, &o->f);
	if (o->scope && !o->f.oif)
		o->f.oif = (int32_t)o->scope;
	if (o->flowinfo && (READ_ONCE(s->cmsg) & INET_CMSG_SNDFLOW))
		o->f.flowlabel = o->flowinfo & 0xfffff;
	inet_cmsg_flow(&o->c, &o->f);
	o->f.onlink = (m->flags & MSG_DONTROUTE) || sock_flag(&s->sk, SOCK_F_DONTROUTE);
	int err = route_lookup(s->sk.net, &o->f, &o->rt);
	if (err)
		return err;
	if (o->rt.type == RTN_BROADCAST && !sock_flag(&s->sk, SOCK_F_BROADCAST))
		return -EACCES;
	if (ip_is_any(&o->f.src))
		o->f.src = o->rt.src;
	if ((m->flags & MSG_CONFIRM) && o->rt.neigh)
		neigh_confirm(o->rt.neigh);
	return 0;
}

int raw_out_fill(struct inet_sock *s, struct uio *u, uint32_t n, struct pkt **out)
{
	if (sock_wmem_full(&s->sk))
		return -EAGAIN;
	struct pkt *p = pkt_new();
	if (!p)
		return -ENOBUFS;
	int err = pkt_add_uio(p, u, n);
	if (err) {
		net_defer_free(p);
		return err == -ENOMEM ? -ENOBUFS : err;
	}
	*out = p;
	return 0;
}

/* As UDP's: what may not be cut, or is longer than a packet can be. */
static int check_len(struct inet_sock *s, const struct raw_out *o, const struct ip_tx *tx,
	uint32_t n)
{
	uint32_t mtu = tx->pmtudisc == IP_PMTU_PROBE || tx->pmtudisc == IP_PMTU_INTERFACE
			       ? READ_ONCE(o->rt.link->mtu)
			       : ip_mtu(&o->rt);
	bool fragment = tx->pmtudisc < IP_PMTU_DO || tx->pmtudisc == IP_PMTU_OMIT;
	uint32_t hlen = tx->hdrincl ? 0 : (o->v4 ? 20 : 40) + tx->opt_len;
	uint32_t max = o->v4 ? 65535 : 40 + 65535;
	if (tx->hdrincl)
		mtu = READ_ONCE(o->rt.link->mtu);
	if (!fragment || tx->hdrincl || tx->nodefrag)
		max = MIN(max, mtu);
	if (n + hlen <= max)
		return 0;
	inet_local_error(s, EMSGSIZE, mtu, &o->f.dst, o->f.dport);
	return -EMSGSIZE;
}

int raw_out_send(struct inet_sock *s, struct pkt *p, const struct raw_out *o, uint8_t proto,
	bool hdrincl)
{
	struct ip_tx tx;
	inet_ip_tx(s, &o->f, &tx);
	inet_cmsg_ip_tx(&o->c, o->v4, &tx);
	tx.proto = proto;
	tx.hdrincl = hdrincl;
	int err = check_len(s, o, &tx, p->len);
	if (err) {
		net_defer_free(p);
		return err;
	}
	p->net = s->sk.net;
	if (hdrincl)
		p->l3 = p->data;
	else
		p->l4 = p->data;
	pkt_set_owner(p, &s->sk);
	err = ip_output(s->sk.net, p, &o->f, &o->rt, &tx);
	bool asked = o->v4 ? READ_ONCE(s->recverr4) : READ_ONCE(s->recverr6);
	return err == -ENOBUFS && !asked ? 0 : err;
}

bool raw_match(const struct inet_sock *s, const struct ip_addr *dst, const struct ip_addr *src,
	int32_t iif)
{
	int32_t dev = READ_ONCE(s->bound_if);
	if ((s->sk.family == AF_INET) != ip_is_v4(dst))
		return false;
	if (!ip_is_any(&s->local) && !ip_eq(&s->local, dst))
		return false;
	if (!ip_is_any(&s->remote) && !ip_eq(&s->remote, src))
		return false;
	return !dev || dev == iif;
}
