/*
 * Sockets of the host's stack: their life, names, connections, and waiting.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/hostcall.h"
#include "sentry/core/arena.h"
#include "sentry/net/host/host_priv.h"

#define TYPE_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)

static SLAB_DEFINE(host_sock_slab, struct host_sock);

/* --- life --- */

static void sock_free(struct host_sock *h)
{
	host_end_close(&h->end);
	sock_fini(&h->sk);
	slab_free(&host_sock_slab, h);
}

/* Takes over fd, also on error. */
static int sock_new(struct net_ns *net, int family, int type, int protocol, int fd,
	struct host_sock **out)
{
	struct host_sock *h = slab_alloc(&host_sock_slab);
	if (!h) {
		host_close(fd);
		return -ENOMEM;
	}
	sock_init(&h->sk, net, family, type, protocol);
	h->sk.on_host = true;
	list_init(&h->returned);
	list_init(&h->returned_node);
	int err = host_end_open(&h->end, &h->sk, fd);
	if (err)
		sock_free(h);
	else
		*out = h;
	return err;
}

/* Only such triples are in the filter (runsc-cli/boot/filter.def). */
static int create(struct net_ns *net, int family, int type, int protocol, struct socket **out)
{
	struct host_sock *h;
	int fd = (int)host_syscall3(SYS_socket, family, type | TYPE_FLAGS, protocol);
	if (fd < 0)
		return fd;
	int err = sock_new(net, family, type, protocol, fd, &h);
	if (!err)
		*out = &h->sk;
	return err;
}

/* As inet_create of Linux, where the sentry has no privileges. */
static int inet_create(struct net_ns *net, int family, int type, int protocol, struct socket **out)
{
	int icmp = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (protocol < 0 || protocol >= IPPROTO_MAX)
		return -EINVAL;
	if (type == SOCK_RAW)
		return -EPERM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol == IPPROTO_IP)
		protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	if (type == SOCK_STREAM ? protocol != IPPROTO_TCP
				: protocol != IPPROTO_UDP && protocol != icmp)
		return -EPROTONOSUPPORT;
	return create(net, family, type, protocol, out);
}

static int create4(struct ctx *ctx, struct net_ns *net, int type, int protocol, struct socket **out)
{
	return inet_create(net, AF_INET, type, protocol, out);
}

static int create6(struct ctx *ctx, struct net_ns *net, int type, int protocol, struct socket **out)
{
	return inet_create(net, AF_INET6, type, protocol, out);
}

static int create_netlink(struct ctx *ctx, struct net_ns *net, int type, int protocol,
	struct socket **out)
{
	struct socket *s;
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	int err = create(net, AF_NETLINK, SOCK_RAW, protocol, &s);
	if (err)
		return err;
	s->type = (uint8_t)type; /* the two mean the same */
	*out = s;
	return 0;
}

static int create_packet(struct ctx *ctx, struct net_ns *net, int type, int protocol,
	struct socket **out)
{
	return -EPERM; /* as without CAP_NET_RAW, which the sentry does not have */
}

static void host_release(struct socket *s)
{
	struct host_sock *h = host_of(s), *c, *tmp;
	list_for_each_safe(c, tmp, &h->returned, returned_node) {
		list_del(&c->returned_node);
		sock_free(c);
	}
	sock_free(h);
}

static uint32_t host_poll(struct socket *s, struct poll_table *pt)
{
	struct host_sock *h = host_of(s);
	uint32_t now = host_end_poll(&h->end, pt || !list_empty(&s->pollq.waiters));
	if (READ_ONCE(s->err))
		now |= POLLERR;
	if (!list_empty(&h->returned))
		now |= HOST_IN;
	return now;
}

/* --- names --- */

static uint16_t port_of(const struct sock_addr *a)
{
	if (a->len < sizeof(struct abi_sockaddr_in))
		return 0;
	return ntohs(a->family == AF_INET6 ? a->in6.port : a->in.port);
}

static int host_bind(const struct vfs_view *v, struct socket *s, const struct sock_addr *a)
{
	struct host_sock *h = host_of(s);
	int err = (int)host_syscall3(SYS_bind, host_fd(h), &a->sa, a->len);
	if (err == -EACCES && s->family != AF_NETLINK && port_of(a) &&
		port_of(a) < IPPORT_RESERVED && ctx_capable(v->ctx, CAP_NET_BIND_SERVICE))
		err = host_bind_privileged(host_fd(h), a);
	return err;
}

static int host_getname(struct socket *s, bool peer, struct sock_addr *a)
{
	int len = sizeof(a->sa);
	int err = (int)host_syscall3(peer ? SYS_getpeername : SYS_getsockname, host_fd(host_of(s)),
		&a->sa, &len);
	a->len = err ? 0 : (uint32_t)MIN(len, (int)sizeof(a->sa));
	return err;
}

/* --- connections --- */

static bool is_under_way(int err)
{
	return err == -EINPROGRESS || err == -EALREADY;
}

static int host_connect(const struct vfs_view *v, struct socket *s, const struct sock_addr *a,
	bool nonblock)
{
	struct host_sock *h = host_of(s);
	int64_t timeo = nonblock ? 0 : s->sndtimeo, deadline = sock_deadline(timeo);
	int waited = 0, err = sock_take_error(s);
	while (!err) {
		err = (int)host_syscall3(SYS_connect, host_fd(h), &a->sa, a->len);
		if (err == -EINTR) { /* of a signal to the sentry's thread */
			err = 0;
			continue;
		}
		if (!is_under_way(err) || timeo == 0 || waited)
			break;
		/* Then the same call tells how it ended. */
		waited = host_end_wait(v->ctx, &h->end, HOST_OUT, deadline);
		err = 0;
	}
	if (is_under_way(err) && waited)
		err = waited == -ETIMEDOUT ? -EINPROGRESS : sock_wait_error(v->ctx, waited, timeo);
	host_end_rearm(&h->end, HOST_WATCHED); /* an unconnected one had hung up */
	return err;
}

static int host_listen(struct ctx *ctx, struct socket *s, uint32_t backlog)
{
	struct host_sock *h = host_of(s);
	int err = (int)host_syscall2(SYS_listen, host_fd(h), MIN(backlog, (uint32_t)INT32_MAX));
	if (!err)
		WRITE_ONCE(s->listening, true);
	host_end_rearm(&h->end, HOST_WATCHED);
	return err;
}

static struct host_sock *pop_returned(struct host_sock *h)
{
	MUTEX_GUARD(&h->sk.lock);
	struct host_sock *c = list_first(&h->returned, struct host_sock, returned_node);
	if (c)
		list_del(&c->returned_node);
	return c;
}

static int host_accept(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out)
{
	struct host_sock *h = host_of(s), *c = pop_returned(h);
	int err = 0;
	if (!c) {
		int fd = host_end_accept(ctx, &h->end, nonblock, TYPE_FLAGS);
		if (fd < 0)
			return fd;
		err = sock_new(s->net, s->family, s->type, s->protocol, fd, &c);
	}
	if (err)
		return err;
	c->sk.rcvtimeo = s->rcvtimeo;
	c->sk.sndtimeo = s->sndtimeo;
	c->sk.rcvlowat = s->rcvlowat;
	*out = &c->sk;
	return 0;
}

static void host_unaccept(struct socket *listener, struct socket *s)
{
	struct host_sock *h = host_of(listener);
	mutex_lock(&listener->lock);
	list_push_front(&h->returned, &host_of(s)->returned_node);
	mutex_unlock(&listener->lock);
	waitq_wake(&listener->pollq, HOST_IN);
}

static ssize_t host_send(struct ctx *ctx, struct socket *s, struct sock_msg *m)
{
	return host_end_send(ctx, &host_of(s)->end, m);
}

static ssize_t host_recv(struct ctx *ctx, struct socket *s, struct sock_msg *m)
{
	return host_end_recv(ctx, &host_of(s)->end, m);
}

static int host_shutdown(struct socket *s, uint32_t how)
{
	struct host_sock *h = host_of(s);
	int err = (int)host_syscall2(SYS_shutdown, host_fd(h), how - 1);
	if (!err)
		__atomic_fetch_or(&s->shutdown, how, __ATOMIC_ACQ_REL);
	return err;
}

/* clang-format off */
#define HOST_OPS(create_)                                                                          \
	{                                                                                          \
		.create = create_, .bind = host_bind, .connect = host_connect,                     \
		.listen = host_listen, .accept = host_accept, .unaccept = host_unaccept,           \
		.getname = host_getname, .send = host_send, .recv = host_recv,                     \
		.shutdown = host_shutdown, .setsockopt = host_setsockopt,                          \
		.getsockopt = host_getsockopt, .poll = host_poll, .ioctl = host_sock_ioctl,        \
		.release = host_release, .ftype = FILE_SOCK_HOST                                   \
	}
/* clang-format on */

static const struct sock_ops ops4 = HOST_OPS(create4), ops6 = HOST_OPS(create6),
			     ops_netlink = HOST_OPS(create_netlink),
			     ops_packet = HOST_OPS(create_packet);

void host_net_init(void)
{
	sock_ops_register_host(AF_INET, &ops4);
	sock_ops_register_host(AF_INET6, &ops6);
	sock_ops_register_host(AF_NETLINK, &ops_netlink);
	sock_ops_register_host(AF_PACKET, &ops_packet);
}
