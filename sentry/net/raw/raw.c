/*
 * Raw sockets: raw(7), RFC 3542; net/ipv4/raw.c, net/ipv6/raw.c.
 *
 * An IPv4 one reads whole packets, an IPv6 one what is behind the headers.  Their port is the
 * protocol.
 */
#include <linux/capability.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/sockios.h>
#include <netinet/in.h>

#include "sentry/net/raw/raw_priv.h"
#include "sentry/net/skb.h"

#define ICMP_FILTER_ 1 /* ICMP_FILTER, ICMPV6_FILTER */
#define OFFSET_ICMP6 2 /* of its checksum */
#define IP4_HLEN 20u
#define ICMP_PROBED 2u /* type and code, which a policy may ask for */
#define IPV6_HDRINCL_ 36
#define BATCH 16u

static SLAB_SHARE(raw_slab, struct raw_sock, 64);

static int raw_create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	struct inet_sock **out)
{
	(void)ctx;
	struct raw_sock *r = slab_alloc(&raw_slab);
	if (!r)
		return -ENOBUFS;
	inet_sock_init(&r->inet, net, INET_RAW, family, type, protocol);
	r->inet.lport = (uint16_t)protocol;
	r->inet.hdrincl = protocol == IPPROTO_RAW;
	r->inet.sk.flags = SOCK_F_REUSEADDR; /* INET_PROTOSW_REUSE */
	r->checksum = family == AF_INET6 && protocol == IPPROTO_ICMPV6 ? OFFSET_ICMP6 : -1;
	inet_list_add(&net->inet->raw, &r->inet);
	*out = &r->inet;
	return 0;
}

static int raw_bind(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	uint32_t flags)
{
	(void)ctx;
	(void)port;
	(void)flags;
	if (inet_is_connected(s))
		return -EINVAL;
	if (s->sk.family == AF_INET6 && ip_is_v4(a))
		return -EADDRNOTAVAIL;
	inet_list_set_names(&s->sk.net->inet->raw, s, a, &s->remote);
	return 0;
}

static int raw_connect(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	bool nonblock)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	(void)nonblock;
	if (s->sk.family == AF_INET6 && ip_is_v4(a))
		return -ENETUNREACH;
	return inet_dgram_connect(s, NULL, a, port);
}

static int raw_disconnect(struct ctx *ctx, struct inet_sock *s)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	inet_dgram_disconnect(s, NULL);
	return 0;
}

/* --- sending --- */

static int find_dest4(struct inet_sock *s, const struct sock_msg *m, struct raw_out *o)
{
	if (m->name.len)
		return inet_addr_in(s, &m->name, &o->dst, &o->port, &o->scope, &o->flowinfo);
	if (!inet_is_connected(s))
		return -EDESTADDRREQ;
	o->dst = s->remote;
	o->port = s->rport;
	return 0;
}

/* The port of the address may say the protocol. */
static int find_dest6(struct inet_sock *s, const struct sock_msg *m, struct raw_out *o,
	uint8_t *proto)
{
	if (!m->name.len)
		return find_dest4(s, m, o);
	if (m->name.len < 24)
		return -EINVAL;
	if (m->name.family && m->name.family != AF_INET6)
		return -EAFNOSUPPORT;
	struct sock_addr a = m->name;
	a.sa.family = AF_INET6;
	int err = inet_addr_in(s, &a, &o->dst, &o->port, &o->scope, &o->flowinfo);
	if (err)
		return err;
	if (o->port && ((o->port != s->proto && s->proto != IPPROTO_RAW) || o->port > 255))
		return -EINVAL;
	if (o->port)
		*proto = (uint8_t)o->port;
	return ip_is_v4(&o->dst) ? -ENETUNREACH : 0;
}

/* IP_HDRINCL: what the user left out of the header is filled in. */
static int fix_header4(struct pkt *p, const struct raw_out *o)
{
	if (p->len < IP4_HLEN)
		return -EINVAL;
	if (!pkt_want(p, IP4_HLEN))
		return -EINVAL;
	uint8_t *h = pkt_data(p);
	uint32_t hlen = (h[0] & 15u) * 4;
	if (hlen > p->len)
		return -EINVAL;
	if (hlen < IP4_HLEN)
		return 0;
	if (!pkt_want(p, hlen))
		return -EINVAL;
	h = pkt_data(p);
	if (!memcmp(h + 12, "\0\0\0\0", 4))
		memcpy(h + 12, &o->f.src.w[3], 4);
	uint16_t len = htons((uint16_t)p->len), sum = 0;
	memcpy(h + 2, &len, 2);
	memcpy(h + 10, &sum, 2);
	sum = (uint16_t)~csum_fold(csum_add(0, h, hlen));
	memcpy(h + 10, &sum, 2);
	return 0;
}

/* IPV6_CHECKSUM, also that of ICMPv6. */
static int put_checksum6(struct raw_sock *r, struct pkt *p, const struct raw_out *o, uint8_t proto)
{
	int32_t at = READ_ONCE(r->checksum);
	uint16_t zero = 0;
	if (at < 0)
		return 0;
	if ((uint32_t)at + 1 >= p->len || !pkt_want(p, (uint32_t)at + 2))
		return -EINVAL;
	memcpy(pkt_data(p) + at, &zero, 2);
	p->l4 = p->data;
	pkt_checksum_partial(p, (uint16_t)at, csum_pseudo(&o->f.src, &o->f.dst, proto, p->len));
	pkt_checksum_finish(p);
	return 0;
}

static int send_locked(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
	REQUIRES(s->sk.lock)
{
	struct raw_out o = {0};
	struct pkt *p = NULL;
	size_t n = m->u->resid;
	bool v6 = s->sk.family == AF_INET6, hdrincl = READ_ONCE(s->hdrincl);
	uint8_t proto = s->proto;
	int err = v6 ? find_dest6(s, m, &o, &proto) : find_dest4(s, m, &o);
	if (err)
		return err;
	if (!hdrincl && n < ICMP_PROBED && s->proto == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return -EFAULT;
	err = raw_out_prepare(ctx, s, m, &o);
	if (!err && n > 65535)
		err = -EMSGSIZE;
	if (!err && hdrincl && n > READ_ONCE(o.rt.link->mtu)) {
		inet_local_error(s, EMSGSIZE, READ_ONCE(o.rt.link->mtu), &o.f.dst, o.f.dport);
		err = -EMSGSIZE;
	}
	if (!err && hdrincl && n < (v6 ? 40 : IP4_HLEN))
		err = -EINVAL;
	if (!err)
		err = raw_out_fill(s, m->u, (uint32_t)n, &p);
	if (!err) {
		if (v6)
			err = hdrincl ? 0 : put_checksum6(raw_of(s), p, &o, proto);
		else
			err = hdrincl ? fix_header4(p, &o) : 0;
		if (err)
			net_defer_free(p);
		else
			err = raw_out_send(s, p, &o, proto, hdrincl);
	}
	raw_out_fini(&o);
	return err;
}

static ssize_t raw_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	size_t n = m->u->resid;
	if (n > 65535)
		return -EMSGSIZE;
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	for (;;) {
		inet_lock(s);
		int err = send_locked(ctx, s, m);
		bool full = err == -EAGAIN;
		inet_unlock(s);
		if (!full)
			return err ? err : (ssize_t)n;
		err = skb_wait_wmem(ctx, &s->sk, m->flags);
		if (err)
			return err;
	}
}

static ssize_t raw_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return inet_dgram_recv(ctx, s, m, false);
}

/* --- receiving --- */

/* Is it of a type that the socket does not want? */
static bool type_filtered(struct raw_sock *r, struct pkt *p)
{
	uint8_t type;
	/* IPv4's begin at their header. */
	uint32_t at = r->inet.sk.family == AF_INET ? IP4_HLEN + p->ip.opt_len : 0;
	if (p->len <= at)
		return false;
	pkt_copy(p, at, &type, 1);
	if (r->inet.sk.family == AF_INET)
		return r->inet.proto == IPPROTO_ICMP && type < 32 &&
		       (READ_ONCE(r->filter4) >> type & 1);
	return r->inet.proto == IPPROTO_ICMPV6 &&
	       (READ_ONCE(r->filter6[type >> 5]) >> (type & 31) & 1);
}

static bool checksum_wrong(struct raw_sock *r, struct pkt *p)
{
	return r->inet.sk.family == AF_INET6 && READ_ONCE(r->checksum) >= 0 &&
	       !pkt_checksum_ok(p, csum_pseudo(&p->ip.src, &p->ip.dst, r->inet.proto, p->len));
}

static void give(struct inet_sock *s, struct pkt *p)
{
	struct pkt *c = pkt_clone(p);
	if (!c)
		return;
	c->net = p->net;
	if (checksum_wrong(raw_of(s), c) || !inet_filter(s, c, 1)) {
		__atomic_add_fetch(&s->drops, 1, __ATOMIC_RELAXED);
		net_defer_free(c);
		return;
	}
	inet_dgram_mark(c, 0, 0);
	inet_queue_dgram(s, c);
}

static bool wants(struct inet_sock *s, const struct pkt *p)
{
	return s->proto == p->ip.proto && raw_match(s, &p->ip.dst, &p->ip.src, p->iif);
}

/* Everybody who asked for the protocol gets a copy. */
static bool raw_input(struct pkt *p)
{
	struct inet_sock *found[BATCH];
	uint64_t at = 0;
	uint32_t n;
	bool any = false;
	if (likely(!READ_ONCE(p->net->inet->raw.n)))
		return false;
	do {
		n = inet_list_next(&p->net->inet->raw, &at, found, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			struct inet_sock *s = found[i];
			bool mc = ip_is_multicast(&p->ip.dst);
			if (wants(s, p)) {
				any = true;
				if (!type_filtered(raw_of(s), p) &&
					(!mc || inet_mc_allow(s, &p->ip.dst, &p->ip.src, p->iif)))
					give(s, p);
			}
			inet_put(s);
		}
	} while (n == BATCH);
	return any;
}

static void raw_error(struct pkt *p, const struct ip_error *e)
{
	struct inet_sock *found[BATCH];
	uint64_t at = 0;
	uint32_t n;
	if (likely(!READ_ONCE(p->net->inet->raw.n)))
		return;
	do {
		n = inet_list_next(&p->net->inet->raw, &at, found, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			if (found[i]->proto == e->proto &&
				raw_match(found[i], &e->src, &e->dst, p->iif))
				inet_icmp_error(found[i], p, e, 0);
			inet_put(found[i]);
		}
	} while (n == BATCH);
}

/* --- options --- */

static int set_filter(struct raw_sock *r, int level, int name, const void *val, uint32_t len)
{
	bool v4 = r->inet.sk.family == AF_INET;
	if (r->inet.proto != (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return -EOPNOTSUPP;
	if (name != ICMP_FILTER_)
		return -ENOPROTOOPT;
	(void)level;
	if (v4)
		memcpy(&r->filter4, val, MIN(len, (uint32_t)sizeof(r->filter4)));
	else
		memcpy(r->filter6, val, MIN(len, (uint32_t)sizeof(r->filter6)));
	return 0;
}

static int raw_setsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name,
	const void *val, uint32_t len)
{
	struct raw_sock *r = raw_of(s);
	bool v4 = s->sk.family == AF_INET;
	int32_t v;
	(void)ctx;
	if (v4 && level == SOL_RAW)
		return name == ICMP_FILTER_ ? set_filter(r, level, name, val, len) : -ENOPROTOOPT;
	if (v4 || (level != SOL_RAW && level != SOL_IPV6 && level != SOL_ICMPV6))
		return -ENOPROTOOPT;
	if (level == SOL_ICMPV6)
		return set_filter(r, level, name, val, len);
	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	switch (name) {
	case IPV6_HDRINCL_:
		WRITE_ONCE(s->hdrincl, v != 0);
		return 0;
	case IPV6_CHECKSUM:
		if ((s->proto == IPPROTO_ICMPV6 && level == SOL_IPV6) || (v > 0 && (v & 1)))
			return -EINVAL;
		WRITE_ONCE(r->checksum, v < 0 ? -1 : v);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int raw_getsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, void *val,
	uint32_t *len)
{
	struct raw_sock *r = raw_of(s);
	bool v4 = s->sk.family == AF_INET;
	int32_t v;
	(void)ctx;
	if (level == (v4 ? SOL_RAW : SOL_ICMPV6)) {
		if (v4 && name != ICMP_FILTER_)
			return -ENOPROTOOPT;
		if (s->proto != (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
			return -EOPNOTSUPP;
		if (name != ICMP_FILTER_)
			return -ENOPROTOOPT;
		*len = MIN(*len, v4 ? 4u : 32u);
		memcpy(val, v4 ? &r->filter4 : r->filter6, *len);
		return 0;
	}
	if (v4 || (level != SOL_RAW && level != SOL_IPV6))
		return -ENOPROTOOPT;
	if (name == IPV6_CHECKSUM)
		v = READ_ONCE(r->checksum);
	else if (name == IPV6_HDRINCL_)
		v = READ_ONCE(s->hdrincl);
	else
		return -ENOPROTOOPT;
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}

/* --- the end --- */

static void raw_release(struct inet_sock *s)
{
	inet_lock(s);
	s->sk.dead = true;
	inet_mc_drop_all(s);
	inet_unlock(s);
	inet_list_del(&s->sk.net->inet->raw, s);
	inet_purge(s);
	inet_put(s);
}

static void raw_destroy(struct inet_sock *s)
{
	inet_sock_fini(s);
	slab_free(&raw_slab, raw_of(s));
}

/* Packets for groups are not forwarded, so there are no interfaces and routes for them. */
static long raw_ioctl(struct ctx *ctx, struct inet_sock *s, uint32_t cmd, uint64_t arg)
{
	uint64_t vif[5], sg[10]; /* struct sioc_vif_req, sioc_sg_req6 */
	size_t sg_size = s->sk.family == AF_INET ? 32 : sizeof(sg);
	switch (cmd) {
	case SIOCPROTOPRIVATE: /* SIOCGETVIFCNT */
		return uaccess_get(ctx, &vif, UADDR(arg)) ? -EFAULT : -EINVAL;
	case SIOCPROTOPRIVATE + 1: /* SIOCGETSGCNT */
		return uaccess_copyin(ctx, sg, UADDR(arg), sg_size) ? -EFAULT : -EADDRNOTAVAIL;
	default:
		return inet_dgram_ioctl(ctx, s, cmd, arg);
	}
}

static const struct inet_ops raw_ops = {.create = raw_create,
	.bind = raw_bind,
	.connect = raw_connect,
	.disconnect = raw_disconnect,
	.send = raw_send,
	.recv = raw_recv,
	.setsockopt = raw_setsockopt,
	.getsockopt = raw_getsockopt,
	.poll = inet_dgram_poll,
	.ioctl = raw_ioctl,
	.release = raw_release,
	.destroy = raw_destroy};

void raw_init(void)
{
	inet_ops_register(INET_RAW, &raw_ops);
	ip_raw_register(raw_input);
	ip_raw_error_register(raw_error);
}
