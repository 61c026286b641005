/*
 * Echo requests for everybody whose group is in ping_group_range: icmp(7), net/ipv4/ping.c.  The
 * identifier is the port.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>

#include "sentry/net/raw/raw_priv.h"
#include "sentry/net/skb.h"

#define ICMP_HLEN 8u
#define BATCH 16u

struct ping_sock {
	struct inet_sock inet; /* first */
};

static SLAB_SHARE(ping_slab, struct ping_sock, 64);

static struct inet_list *list_of(const struct inet_sock *s)
{
	return &s->sk.net->inet->ping;
}

static bool in_range(const struct net_ns *net, const struct cred *c)
{
	uint32_t lo = (uint32_t)READ_ONCE(net->ctl.ping_group_range[0]);
	uint32_t hi = (uint32_t)READ_ONCE(net->ctl.ping_group_range[1]);
	if (lo <= c->fsgid && c->fsgid <= hi)
		return true;
	for (uint32_t i = 0; i < c->ngroups; i++)
		if (lo <= c->groups[i] && c->groups[i] <= hi)
			return true;
	return false;
}

static int ping_create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	struct inet_sock **out)
{
	if (!in_range(net, ctx->cred))
		return -EACCES;
	struct ping_sock *p = slab_alloc(&ping_slab);
	if (!p)
		return -ENOBUFS;
	inet_sock_init(&p->inet, net, INET_PING, family, type, protocol);
	p->inet.sk.flags = SOCK_F_REUSEADDR; /* as Linux: INET_PROTOSW_REUSE */
	p->inet.v6only = family == AF_INET6;
	*out = &p->inet;
	return 0;
}

/* --- identifiers --- */

static int take_ident(struct inet_sock *s, uint16_t ident)
{
	bool reuse = sock_flag(&s->sk, SOCK_F_REUSEADDR);
	return inet_list_take_port(list_of(s), s, ident, reuse) ? 0 : -EADDRINUSE;
}

static int choose_ident(struct inet_sock *s)
{
	struct inet_list *l = list_of(s);
	uint16_t from = (uint16_t)__atomic_add_fetch(&l->rover, 1, __ATOMIC_RELAXED);
	return inet_list_choose_port(l, s, from) ? 0 : -EADDRINUSE;
}

static int ping_bind(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	uint32_t flags)
{
	(void)ctx;
	(void)flags;
	if (ip_is_multicast(a))
		return -EADDRNOTAVAIL;
	int err = port ? take_ident(s, port) : choose_ident(s);
	if (!err)
		inet_list_set_names(list_of(s), s, a, &s->remote);
	return err;
}

static int ping_connect(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a,
	uint16_t port, bool nonblock)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	(void)nonblock;
	if (!s->lport && choose_ident(s))
		return -EAGAIN;
	if ((s->sk.family == AF_INET6) == ip_is_v4(a))
		return -EINVAL;
	return inet_dgram_connect(s, NULL, a, port);
}

static int ping_disconnect(struct ctx *ctx, struct inet_sock *s)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	inet_dgram_disconnect(s, NULL);
	if (!(s->locks & INET_LOCK_PORT))
		inet_list_del(list_of(s), s);
	return 0;
}

/* --- sending --- */

static int find_dest(struct inet_sock *s, const struct sock_msg *m, struct raw_out *o)
{
	bool v6 = s->sk.family == AF_INET6;
	if (!m->name.len && !m->named) {
		if (!inet_is_connected(s))
			return -EDESTADDRREQ;
		o->dst = s->remote;
		o->port = s->rport;
		return 0;
	}
	if (m->name.len < (v6 ? 24u : sizeof(m->name.in)))
		return -EINVAL;
	if (m->name.family != s->sk.family)
		return v6 ? -EINVAL : -EAFNOSUPPORT;
	int err = inet_addr_in(s, &m->name, &o->dst, &o->port, &o->scope, &o->flowinfo);
	if (!err && v6 && ip_is_v4(&o->dst))
		err = -EINVAL;
	return err;
}

/* Only requests, and with our identifier. */
static int fix_header(struct inet_sock *s, struct pkt *p, const struct raw_out *o)
{
	bool v6 = s->sk.family == AF_INET6;
	uint16_t id = htons(s->lport), sum = 0;
	if (!pkt_want(p, ICMP_HLEN))
		return -EINVAL;
	uint8_t *h = pkt_data(p);
	if (h[0] != (v6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO) || h[1])
		return -EINVAL;
	memcpy(h + 4, &id, 2);
	memcpy(h + 2, &sum, 2);
	p->l4 = p->data;
	if (v6) {
		pkt_checksum_partial(p, 2,
			csum_pseudo(&o->f.src, &o->f.dst, IPPROTO_ICMPV6, p->len));
		pkt_checksum_finish(p);
		return 0;
	}
	sum = (uint16_t)~csum_fold(pkt_sum(p, 0, p->len));
	memcpy(h + 2, &sum, 2);
	return 0;
}

static int send_locked(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
	REQUIRES(s->sk.lock)
{
	struct raw_out o = {0};
	struct pkt *p = NULL;
	uint32_t n = (uint32_t)m->u->resid;
	if (!s->lport && choose_ident(s))
		return -EADDRNOTAVAIL;
	int err = find_dest(s, m, &o);
	if (err)
		return err;
	err = raw_out_prepare(ctx, s, m, &o);
	if (!err)
		err = raw_out_fill(s, m->u, n, &p);
	if (!err) {
		err = fix_header(s, p, &o);
		if (err)
			net_defer_free(p);
		else
			err = raw_out_send(s, p, &o, s->proto, false);
	}
	raw_out_fini(&o);
	return err;
}

static ssize_t ping_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	size_t n = m->u->resid;
	if (n > 65535)
		return -EMSGSIZE;
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (n < ICMP_HLEN)
		return -EINVAL;
	for (;;) {
		inet_lock(s);
		int err = send_locked(ctx, s, m);
		bool full = err == -EAGAIN;
		inet_unlock(s);
		if (!full)
			return err == -EADDRNOTAVAIL && !s->lport ? -EAGAIN
			       : err                              ? err
								  : (ssize_t)n;
		err = skb_wait_wmem(ctx, &s->sk, m->flags);
		if (err)
			return err;
	}
}

static ssize_t ping_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return inet_dgram_recv(ctx, s, m, false);
}

/* --- receiving --- */

/* Whose echo is it?  With a reference. */
static struct inet_sock *find(struct net_ns *net, uint16_t ident, const struct ip_addr *local,
	int32_t iif)
{
	struct inet_sock *found[BATCH], *s = NULL;
	uint64_t at = 0;
	uint32_t n;
	do {
		n = inet_list_next(&net->inet->ping, &at, found, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			struct inet_sock *c = found[i];
			int32_t dev = READ_ONCE(c->bound_if);
			bool ok = !s && c->lport == ident &&
				  (c->sk.family == AF_INET) == ip_is_v4(local) &&
				  (ip_is_any(&c->local) || ip_eq(&c->local, local)) &&
				  (!dev || dev == iif);
			if (ok)
				s = c;
			else
				inet_put(c);
		}
	} while (n == BATCH && !s);
	return s;
}

static bool read_ident(struct pkt *p, uint16_t *ident)
{
	if (!pkt_want(p, ICMP_HLEN))
		return false;
	memcpy(ident, pkt_data(p) + 4, 2);
	*ident = ntohs(*ident);
	return true;
}

static void ping_input(struct pkt *p)
{
	uint16_t ident;
	struct inet_sock *s =
		read_ident(p, &ident) ? find(p->net, ident, &p->ip.dst, p->iif) : NULL;
	if (s && inet_filter(s, p, ICMP_HLEN)) {
		inet_dgram_mark(p, 0, 0);
		inet_queue_dgram(s, p);
	} else {
		net_defer_free(p);
	}
	inet_put(s);
}

static void ping_error(struct pkt *p, const struct ip_error *e)
{
	uint16_t ident;
	struct inet_sock *s = read_ident(p, &ident) ? find(p->net, ident, &e->src, p->iif) : NULL;
	if (s)
		inet_icmp_error(s, p, e, 0);
	inet_put(s);
}

/* --- the end --- */

static void ping_release(struct inet_sock *s)
{
	inet_lock(s);
	s->sk.dead = true;
	inet_mc_drop_all(s);
	inet_unlock(s);
	inet_list_del(list_of(s), s);
	inet_purge(s);
	inet_put(s);
}

static void ping_destroy(struct inet_sock *s)
{
	inet_sock_fini(s);
	slab_free(&ping_slab, container_of(s, struct ping_sock, inet));
}

static const struct inet_ops ping_ops = {.create = ping_create,
	.bind = ping_bind,
	.connect = ping_connect,
	.disconnect = ping_disconnect,
	.send = ping_send,
	.recv = ping_recv,
	.poll = inet_dgram_poll,
	.ioctl = inet_dgram_ioctl,
	.release = ping_release,
	.destroy = ping_destroy};

static const struct ip_proto ping_proto = {.input = ping_input, .error = ping_error};

void ping_init(void)
{
	inet_ops_register(INET_PING, &ping_ops);
	icmp_ping_register(&ping_proto);
}
