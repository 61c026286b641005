/* UDP sockets: life, names and options.  udp(7) */
#include "sentry/net/udp/udp_priv.h"

#include <sys/ioctl.h>

static SLAB_SHARE(udp_slab, struct udp_sock, 32);

static int udp_create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	struct inet_sock **out)
{
	(void)ctx;
	struct udp_sock *u = slab_alloc(&udp_slab);
	if (!u)
		return -ENOBUFS;
	inet_sock_init(&u->inet, net, INET_UDP, family, type, protocol);
	*out = &u->inet;
	return 0;
}

static int udp_bind(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	uint32_t flags)
{
	(void)ctx;
	(void)flags;
	return inet_bind_port(s->sk.net->inet->udp, s, a, port);
}

/* Even if the name turns out to be none. */
static int udp_pre_connect(struct ctx *ctx, struct inet_sock *s, bool nonblock)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	(void)nonblock;
	bool ok = s->lport || !inet_bind_port(s->sk.net->inet->udp, s, &s->bound, 0);
	return ok ? 1 : -EAGAIN;
}

static int udp_connect(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
	bool nonblock)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	(void)nonblock;
	return inet_dgram_connect(s, s->sk.net->inet->udp, a, port);
}

static int udp_disconnect(struct ctx *ctx, struct inet_sock *s)
{
	mutex_assert_held(&s->sk.lock);
	(void)ctx;
	inet_dgram_disconnect(s, s->sk.net->inet->udp);
	return 0;
}

static ssize_t udp_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	ssize_t r = inet_dgram_recv(ctx, s, m, READ_ONCE(udp_of(s)->gro));
	if (!(m->flags & (MSG_PEEK | MSG_ERRQUEUE))) {
		bool v6 = s->sk.family == AF_INET6 && m->name.len &&
			  memcmp(m->name.in6.addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
		if (r >= 0 && m->name.len)
			UDP_INC(s->sk.net, v6, InDatagrams);
		else if (r == -EFAULT)
			UDP_INC(s->sk.net, v6, InErrors);
	}
	return r;
}

/* --- options --- */

static int set_cork(struct udp_sock *u, bool on)
{
	int err = 0;
	WRITE_ONCE(u->cork, on);
	if (on)
		return 0;
	inet_lock(&u->inet);
	if (u->pending)
		err = udp_push_pending(u);
	inet_unlock(&u->inet);
	(void)err; /* Linux does not tell either */
	return 0;
}

static int udp_setsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name,
	const void *val, uint32_t len)
{
	struct udp_sock *u = udp_of(s);
	int32_t v;
	(void)ctx;
	if (level != SOL_UDP && level != INET_SOL_UDPLITE)
		return -ENOPROTOOPT;
	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	switch (name) {
	case UDP_CORK:
		return set_cork(u, v != 0);
	case UDP_NO_CHECK6_TX:
		WRITE_ONCE(u->no_check6_tx, v != 0);
		return 0;
	case UDP_NO_CHECK6_RX:
		WRITE_ONCE(u->no_check6_rx, v != 0);
		return 0;
	case UDP_SEGMENT:
		if (v < 0 || v > UINT16_MAX)
			return -EINVAL;
		WRITE_ONCE(u->gso_size, (uint16_t)v);
		return 0;
	case UDP_GRO:
		WRITE_ONCE(u->gro, v != 0);
		return 0;
	case UDP_ENCAP: /* there is no IPsec and no tunnel that it could lead to */
		return v ? -ENOPROTOOPT : 0;
	default:
		return -ENOPROTOOPT;
	}
}

static int udp_getsockopt(struct ctx *ctx, struct inet_sock *s, int level, int name, void *val,
	uint32_t *len)
{
	struct udp_sock *u = udp_of(s);
	int32_t v;
	(void)ctx;
	if (level != SOL_UDP && level != INET_SOL_UDPLITE)
		return -ENOPROTOOPT;
	switch (name) {
	case UDP_CORK:
		v = READ_ONCE(u->cork);
		break;
	case UDP_ENCAP:
	case 10: /* UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV: all is covered */
	case 11:
		v = 0;
		break;
	case UDP_NO_CHECK6_TX:
		v = READ_ONCE(u->no_check6_tx);
		break;
	case UDP_NO_CHECK6_RX:
		v = READ_ONCE(u->no_check6_rx);
		break;
	case UDP_SEGMENT:
		v = READ_ONCE(u->gso_size);
		break;
	case UDP_GRO:
		v = READ_ONCE(u->gro);
		break;
	default:
		return -ENOPROTOOPT;
	}
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}

/* --- the end --- */

static void udp_release(struct inet_sock *s)
{
	inet_lock(s);
	s->sk.dead = true;
	udp_flush_pending(udp_of(s));
	inet_mc_drop_all(s);
	inet_unbind(s->sk.net->inet->udp, s);
	inet_unlock(s);
	inet_purge(s);
	inet_put(s);
}

static void udp_destroy(struct inet_sock *s)
{
	inet_sock_fini(s);
	slab_free(&udp_slab, udp_of(s));
}

static const struct inet_ops udp_ops = {.create = udp_create,
	.bind = udp_bind,
	.pre_connect = udp_pre_connect,
	.connect = udp_connect,
	.disconnect = udp_disconnect,
	.send = udp_send,
	.recv = udp_recv,
	.setsockopt = udp_setsockopt,
	.getsockopt = udp_getsockopt,
	.poll = inet_dgram_poll,
	.ioctl = inet_dgram_ioctl,
	.release = udp_release,
	.destroy = udp_destroy};

static const struct ip_proto udp_proto = {.input = udp_input, .error = udp_error};

void udp_init(void)
{
	inet_ops_register(INET_UDP, &udp_ops);
	ip_proto_register(IPPROTO_UDP, &udp_proto);
}
