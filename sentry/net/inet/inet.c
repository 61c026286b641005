/*
 * The operations of AF_INET and AF_INET6 sockets, and their common life: see inet.h.
 *
 * Packets and the lock.  A packet for a socket whose lock is taken waits on its backlog; whoever
 * lets go of the lock works it off first.  Somebody may put a packet there between the last
 * look and the unlock: so he tries the lock once more afterwards, and the owner looks once more
 * after his unlock.  One of the two sees the other.
 */
#include <linux/capability.h>
#include <netinet/in.h>

#include "sentry/net/filter.h"
#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/mem.h"

#define BACKLOG_EXTRA 65536u /* Linux: reaching a peer's window must not drop its ACKs */
#define MUCH 16384           /* bytes of a send */
#define PROTOCOL_MAX 263     /* IPPROTO_MAX: that of MPTCP, and one */
#define ICMP_FILTER_ 1       /* ICMP_FILTER, ICMPV6_FILTER */

static const struct inet_ops *kinds[INET_KIND_NR] RO_AFTER_INIT;

void inet_ops_register(enum inet_kind kind, const struct inet_ops *ops)
{
	BUG_ON(kind >= INET_KIND_NR);
	kinds[kind] = ops;
}

static const struct inet_ops *ops_of(const struct inet_sock *s)
{
	return kinds[s->kind];
}

/* --- life --- */

void inet_sock_init(struct inet_sock *s, struct net_ns *net, enum inet_kind kind, int family,
	int type, int protocol)
{
	sock_init(&s->sk, net, family, type, protocol);
	ref_init(&s->ref);
	s->kind = (uint8_t)kind;
	s->proto = (uint8_t)protocol;
	s->bound = s->local = s->remote = family == AF_INET ? IP_ANY4 : IP_ANY6;
	s->mc_addr4 = IP_ANY4;
	list_init(&s->bind_node);
	list_init(&s->conn_node);
	mutex_init(&s->backlog_lock, LOCK_BACKLOG);
	list_init(&s->backlog);
	mutex_init(&s->rq_lock, LOCK_SOCK_QUEUE);
	list_init(&s->rq);
	list_init(&s->errq);
	s->v6only = family == AF_INET6 && READ_ONCE(net->ctl.bindv6only);
	s->mc_loop4 = s->mc_loop6 = s->mc_all6 = true;
	s->mc_all4 = family == AF_INET; /* of IPv6 sockets it is off in Linux */
	s->autoflowlabel = READ_ONCE(net->ctl.ip6_auto_flowlabels) != 0;
	s->ttl = s->hop_limit = -1;
	s->mc_ttl = s->mc_hops = 1;
	s->pmtudisc4 = READ_ONCE(net->ctl.ip_no_pmtu_disc) ? IP_PMTU_DONT : IP_PMTU_WANT;
	s->pmtudisc6 = IP_PMTU_WANT;
	if (kind == INET_TCP)
		s->sk.flags |= SOCK_F_TXREHASH;
	__atomic_add_fetch(&net->inet->nr[kind], 1, __ATOMIC_RELAXED);
}

void inet_free_packets(struct list_node *list)
{
	struct pkt *p, *tmp;
	list_for_each_safe(p, tmp, list, node) {
		list_del(&p->node);
		pkt_free(p);
	}
}

void inet_sock_fini(struct inet_sock *s) SOLE_OWNER
{
	BUG_ON(s->bucket || s->hashed || s->open);
	inet_free_packets(&s->backlog);
	inet_free_packets(&s->rq);
	inet_free_packets(&s->errq);
	s->rmem = 0;
	inet_mem_sync(s);
	inet_opt_free(s);
	sock_filter_put(s->group_prog);
	route_put(&s->route);
	__atomic_sub_fetch(&s->sk.net->inet->nr[s->kind], 1, __ATOMIC_RELAXED);
	sock_fini(&s->sk);
}

void inet_put(struct inet_sock *s)
{
	if (s && ref_put(&s->ref))
		ops_of(s)->destroy(s);
}

static SLAB_SHARE(opt_slab, struct inet_opt, 64);

struct inet_opt *inet_opt_get(struct inet_sock *s)
{
	if (s->opt)
		return s->opt;
	struct inet_opt *o = slab_alloc(&opt_slab);
	if (o) {
		list_init(&o->mc);
		o->pktinfo6 = IP_ANY6;
		__atomic_store_n(&s->opt, o, __ATOMIC_RELEASE);
	}
	return o;
}

void inet_opt_free(struct inet_sock *s)
{
	struct inet_opt *o = s->opt;
	if (!o)
		return;
	net_buf_free(o->hop.data, o->hop.len);
	net_buf_free(o->dst0.data, o->dst0.len);
	net_buf_free(o->rthdr.data, o->rthdr.len);
	net_buf_free(o->dst1.data, o->dst1.len);
	net_buf_free(o->ext, o->ext_len);
	BUG_ON(!list_empty(&o->mc));
	s->opt = NULL;
	slab_free(&opt_slab, o);
}

/* --- the lock --- */

static void work_off_backlog(struct inet_sock *s) REQUIRES(s->sk.lock)
{
	const struct inet_ops *ops = ops_of(s);
	struct list_node list = LIST_INIT(list);
	struct pkt *p, *tmp;
	while (READ_ONCE(s->backlog_len)) {
		mutex_lock(&s->backlog_lock);
		list_splice_back(&list, &s->backlog);
		WRITE_ONCE(s->backlog_len, 0);
		mutex_unlock(&s->backlog_lock);
		list_for_each_safe(p, tmp, &list, node) {
			list_del(&p->node);
			p->net = s->sk.net;
			ops->input(s, p);
		}
	}
}

void inet_unlock(struct inet_sock *s) NO_THREAD_SAFETY
{
	const struct inet_ops *ops = ops_of(s);
	do {
		work_off_backlog(s);
		if (ops->unlocking)
			ops->unlocking(s);
		mutex_unlock(&s->sk.lock);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (unlikely(READ_ONCE(s->backlog_len)) && mutex_trylock(&s->sk.lock));
	net_run();
}

int inet_wait(struct ctx *ctx, struct inet_sock *s, struct waitq *q, uint32_t events,
	int64_t deadline) NO_THREAD_SAFETY
{
	struct waiter w;
	waiter_init_ctx(&w, ctx, events);
	w.exclusive = true;
	waitq_add(q, &w);
	inet_unlock(s);
	int err = ctx_block_idle(ctx, deadline);
	waitq_del(&w);
	inet_lock(s);
	return err;
}

/* Bound: as much as the socket's buffers may hold. */
static bool put_on_backlog(struct inet_sock *s, struct pkt *p)
{
	uint64_t limit =
		(uint64_t)READ_ONCE(s->sk.rcvbuf) + READ_ONCE(s->sk.sndbuf) + BACKLOG_EXTRA;
	MUTEX_GUARD(&s->backlog_lock);
	if ((uint64_t)s->backlog_len + p->charge > limit)
		return false;
	list_push_back(&s->backlog, &p->node);
	__atomic_store_n(&s->backlog_len, s->backlog_len + p->charge, __ATOMIC_SEQ_CST);
	return true;
}

void inet_input(struct inet_sock *s, struct pkt *p) NO_THREAD_SAFETY
{
	if (mutex_trylock(&s->sk.lock)) {
		ops_of(s)->input(s, p);
		inet_unlock(s);
		return;
	}
	if (!put_on_backlog(s, p)) {
		__atomic_add_fetch(&s->drops, 1, __ATOMIC_RELAXED);
		NET_INC(s->sk.net, TcpExt_TCPBacklogDrop);
		pkt_free(p);
		return;
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (mutex_trylock(&s->sk.lock))
		inet_unlock(s);
}

/* --- making --- */

/* What socket(2) asks for: the kind, and the protocol if it did not say. */
static int choose_kind(int family, int type, int *protocol)
{
	int icmp = family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	if (*protocol < 0 || *protocol >= PROTOCOL_MAX)
		return -EINVAL;
	switch (type) {
	case SOCK_STREAM:
		if (*protocol && *protocol != IPPROTO_TCP)
			return -EPROTONOSUPPORT;
		*protocol = IPPROTO_TCP;
		return INET_TCP;
	case SOCK_DGRAM:
		if (*protocol == icmp)
			return INET_PING;
		if (*protocol && *protocol != IPPROTO_UDP)
			return -EPROTONOSUPPORT;
		*protocol = IPPROTO_UDP;
		return INET_UDP;
	case SOCK_RAW:
		return *protocol ? INET_RAW : -EPROTONOSUPPORT;
	default:
		return -ESOCKTNOSUPPORT;
	}
}

static int create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	struct socket **out)
{
	struct inet_sock *s;
	int kind = choose_kind(family, type, &protocol);
	if (kind < 0)
		return kind;
	if (!kinds[kind])
		return -EPROTONOSUPPORT;
	if (kind == INET_RAW && !ctx_capable(ctx, CAP_NET_RAW))
		return -EPERM;
	int err = kinds[kind]->create(ctx, net, family, type, protocol, &s);
	if (err)
		return err;
	s->uid = ctx->cred->fsuid;
	*out = &s->sk;
	return 0;
}

static int create4(struct ctx *ctx, struct net_ns *net, int type, int protocol, struct socket **out)
{
	return create(ctx, net, AF_INET, type, protocol, out);
}

static int create6(struct ctx *ctx, struct net_ns *net, int type, int protocol, struct socket **out)
{
	return create(ctx, net, AF_INET6, type, protocol, out);
}

/* --- names --- */

/* An address that packets are received at, but not sent from. */
static bool is_group(struct inet_sock *s, const struct ip_addr *ip)
{
	if (ip_is_multicast(ip))
		return true;
	return ip_is_v4(ip) && ip_addr_type(s->sk.net, ip, 0) == RTN_BROADCAST;
}

static int bind_locked(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *ip,
	uint16_t port, int32_t dev) REQUIRES(s->sk.lock)
{
	bool tcp = s->kind == INET_TCP, only = s->v6only;
	bool taken = s->lport || (tcp ? ops_of(s)->connected(s) : inet_is_connected(s));
	if (s->kind != INET_RAW && taken)
		return -EINVAL;
	int32_t old = s->bound_if;
	if (dev)
		WRITE_ONCE(s->bound_if, dev);
	if (!ip_is_any(ip) && !ip_is_v4(ip))
		s->v6only = true;
	int err = 0;
	if (!port && READ_ONCE(s->bind_no_port) && s->kind != INET_PING)
		s->local = s->bound = *ip;
	else
		err = ops_of(s)->bind(ctx, s, ip, port, 0);
	if (err) {
		WRITE_ONCE(s->bound_if, old);
		s->v6only = only;
		return err;
	}
	s->nosrc = is_group(s, ip);
	if (!ip_is_any(ip))
		s->locks |= INET_LOCK_ADDR;
	if (port)
		s->locks |= INET_LOCK_PORT;
	if (tcp) { /* of a connection that is over */
		s->remote = s->sk.family == AF_INET ? IP_ANY4 : IP_ANY6;
		s->rport = 0;
	}
	route_put(&s->route);
	return 0;
}

static int inet_bind(const struct vfs_view *v, struct socket *sk, const struct sock_addr *a)
{
	struct inet_sock *s = inet_of(sk);
	struct ip_addr ip;
	uint16_t port;
	int32_t dev;
	int err = inet_bind_check(v->ctx, s, a, &ip, &port, &dev);
	if (err)
		return err;
	inet_lock(s);
	err = bind_locked(v->ctx, s, &ip, port, dev);
	inet_unlock(s);
	return err;
}

static int connect_locked(struct ctx *ctx, struct inet_sock *s, const struct sock_addr *a,
	bool nonblock) REQUIRES(s->sk.lock)
{
	const struct inet_ops *ops = ops_of(s);
	struct ip_addr ip;
	uint16_t port;
	if (a->sa.family == AF_UNSPEC)
		return ops->disconnect(ctx, s);
	int err = ops->pre_connect ? ops->pre_connect(ctx, s, nonblock) : 1;
	if (err != 1)
		return err;
	err = inet_connect_check(s, a, &ip, &port);
	return err ? err : ops->connect(ctx, s, &ip, port, nonblock);
}

static int inet_connect(const struct vfs_view *v, struct socket *sk, const struct sock_addr *a,
	bool nonblock)
{
	struct inet_sock *s = inet_of(sk);
	if (a->len < sizeof(a->sa.family))
		return -EINVAL;
	inet_lock(s);
	int err = connect_locked(v->ctx, s, a, nonblock);
	inet_unlock(s);
	return err;
}

static int inet_getname(struct socket *sk, bool peer, struct sock_addr *a)
{
	struct inet_sock *s = inet_of(sk);
	int err = 0;
	inet_lock(s);
	uint32_t scope = (uint32_t)READ_ONCE(s->bound_if);
	bool (*connected)(struct inet_sock *) = ops_of(s)->connected;
	if (!peer)
		inet_addr_out(s, &s->local, s->lport ? s->lport : s->last_port, scope, a);
	else if (s->rport && (connected ? connected(s) : inet_is_connected(s)))
		inet_addr_out(s, &s->remote, s->rport, scope, a);
	else
		err = -ENOTCONN;
	inet_unlock(s);
	return err;
}

/* --- what is passed on --- */

static int inet_listen(struct ctx *ctx, struct socket *sk, uint32_t backlog)
{
	struct inet_sock *s = inet_of(sk);
	if (!ops_of(s)->listen)
		return -EOPNOTSUPP;
	inet_lock(s);
	int err = ops_of(s)->listen(ctx, s, backlog);
	inet_unlock(s);
	return err;
}

static int inet_accept(struct ctx *ctx, struct socket *sk, bool nonblock, struct socket **out)
{
	struct inet_sock *s = inet_of(sk), *n = NULL;
	if (!ops_of(s)->accept)
		return -EOPNOTSUPP;
	inet_lock(s);
	int err = ops_of(s)->accept(ctx, s, nonblock, &n);
	inet_unlock(s);
	if (err == -EAGAIN && nonblock && ctx_look_idle(ctx)) {
		inet_lock(s);
		err = ops_of(s)->accept(ctx, s, nonblock, &n);
		inet_unlock(s);
	}
	if (!err)
		*out = &n->sk;
	return err;
}

static void inet_unaccept(struct socket *listener, struct socket *sk)
{
	ops_of(inet_of(listener))->unaccept(inet_of(listener), inet_of(sk));
}

/* Who sends much does not wait: what acknowledges it is read now and then all the same. */
static ssize_t inet_send(struct ctx *ctx, struct socket *sk, struct sock_msg *m)
{
	ssize_t n = ops_of(inet_of(sk))->send(ctx, inet_of(sk), m);
	if (n >= MUCH)
		ctx_look_idle(ctx);
	return n;
}

static ssize_t inet_recv(struct ctx *ctx, struct socket *sk, struct sock_msg *m)
{
	const struct inet_ops *ops = ops_of(inet_of(sk));
	ssize_t n = ops->recv(ctx, inet_of(sk), m);
	if (n == -EAGAIN && (m->flags & MSG_DONTWAIT) && ctx_look_idle(ctx))
		n = ops->recv(ctx, inet_of(sk), m);
	return n;
}

/* A datagram socket without a peer is shut down as well, but told that it has none. */
static int inet_shutdown(struct socket *sk, uint32_t how)
{
	struct inet_sock *s = inet_of(sk);
	int err = 0;
	inet_lock(s);
	if (ops_of(s)->shutdown) {
		err = ops_of(s)->shutdown(s, how);
	} else {
		if (!inet_is_connected(s))
			err = -ENOTCONN;
		__atomic_fetch_or(&sk->shutdown, how, __ATOMIC_ACQ_REL);
		sock_wake_all(sk);
	}
	inet_unlock(s);
	return err;
}

/* Raw IPv6 sockets have no options of IPv4. */
static bool takes_level4(const struct inet_sock *s)
{
	return s->sk.family == AF_INET || s->sk.type != SOCK_RAW;
}

/* At SOL_RAW. */
static int raw_option(const struct inet_sock *s, bool v4, int name)
{
	bool known = v4 ? name == ICMP_FILTER_ : name == IPV6_CHECKSUM || name == IPV6_HDRINCL;
	if (!known)
		return -ENOPROTOOPT;
	return v4 && s->proto != IPPROTO_ICMP ? -EOPNOTSUPP : 0;
}

/* At which levels, and for raw sockets which names. */
static int inet_has_option(struct socket *sk, int level, int name, bool set)
{
	const struct inet_sock *s = inet_of(sk);
	bool v4 = sk->family == AF_INET, known;
	switch (level) {
	case SOL_IP:
		known = takes_level4(s);
		break;
	case SOL_IPV6:
		known = !v4;
		break;
	case IPPROTO_TCP:
		known = s->kind == INET_TCP;
		break;
	case IPPROTO_UDP:
	case INET_SOL_UDPLITE:
		known = s->kind == INET_UDP;
		break;
	case SOL_RAW:
		if (s->kind == INET_RAW)
			return raw_option(s, v4, name);
		known = false;
		break;
	case SOL_ICMPV6:
		known = s->kind == INET_RAW && !v4 && name == ICMP_FILTER_;
		break;
	default:
		known = false;
	}
	return known ? 0 : v4 && !set ? -EOPNOTSUPP : -ENOPROTOOPT;
}

static int inet_setsockopt(struct ctx *ctx, struct socket *sk, int level, int name, const void *val,
	uint32_t len)
{
	struct inet_sock *s = inet_of(sk);
	const struct inet_ops *ops = ops_of(s);
	bool own6 = s->kind == INET_RAW && (name == IPV6_CHECKSUM || name == IPV6_HDRINCL);
	int err;
	if (level == SOL_IP && takes_level4(s))
		err = inet4_setsockopt(ctx, s, name, val, len);
	else if (level == SOL_IPV6 && sk->family == AF_INET6 && !own6)
		err = inet6_setsockopt(ctx, s, name, val, len);
	else
		return ops->setsockopt ? ops->setsockopt(ctx, s, level, name, val, len)
				       : -ENOPROTOOPT;
	if (!err && ops->changed) {
		inet_lock(s);
		ops->changed(s, level, name);
		inet_unlock(s);
	}
	return err;
}

static int inet_getsockopt(struct ctx *ctx, struct socket *sk, int level, int name, void *val,
	uint32_t *len)
{
	struct inet_sock *s = inet_of(sk);
	const struct inet_ops *ops = ops_of(s);
	bool own6 = s->kind == INET_RAW && (name == IPV6_CHECKSUM || name == IPV6_HDRINCL);
	if (level == SOL_IP && takes_level4(s))
		return inet4_getsockopt(s, name, val, len);
	if (level == SOL_IPV6 && sk->family == AF_INET6 && !own6)
		return inet6_getsockopt(s, name, val, len);
	return ops->getsockopt ? ops->getsockopt(ctx, s, level, name, val, len) : -ENOPROTOOPT;
}

static uint32_t inet_poll(struct socket *sk, struct poll_table *pt)
{
	(void)pt;
	return ops_of(inet_of(sk))->poll(inet_of(sk));
}

static long inet_ioctl(struct ctx *ctx, struct socket *sk, uint32_t cmd, uint64_t arg)
{
	struct inet_sock *s = inet_of(sk);
	long r = ops_of(s)->ioctl ? ops_of(s)->ioctl(ctx, s, cmd, arg) : -ENOTTY;
	if (r != -ENOTTY)
		return r;
	return sk->family == AF_INET6 ? net_ioctl6(ctx, sk->net, cmd, arg)
				      : net_ioctl(ctx, sk->net, cmd, arg);
}

static void inet_sndbuf_changed(struct socket *sk)
{
	sock_wake_writable(sk);
}

static void inet_sol_changed(struct socket *sk, int name)
{
	struct inet_sock *s = inet_of(sk);
	if (!ops_of(s)->changed)
		return;
	inet_lock(s);
	ops_of(s)->changed(s, SOL_SOCKET, name);
	inet_unlock(s);
}

static void inet_sk_get(struct socket *sk)
{
	inet_get(inet_of(sk));
}

static void inet_sk_put(struct socket *sk)
{
	inet_put(inet_of(sk));
}

static void inet_release(struct socket *sk)
{
	struct inet_sock *s = inet_of(sk);
	__atomic_store_n(&sk->file, NULL, __ATOMIC_RELEASE);
	ops_of(s)->release(s);
}

#define INET_SOCK_OPS(create_)                                                                     \
	{                                                                                          \
		.create = create_, .bind = inet_bind, .connect = inet_connect,                     \
		.listen = inet_listen, .accept = inet_accept, .unaccept = inet_unaccept,           \
		.getname = inet_getname, .send = inet_send, .recv = inet_recv,                     \
		.shutdown = inet_shutdown, .has_option = inet_has_option,                          \
		.setsockopt = inet_setsockopt, .getsockopt = inet_getsockopt,                      \
		.set_sol = inet_set_sol, .get_sol = inet_get_sol, .poll = inet_poll,               \
		.ioctl = inet_ioctl, .sndbuf_changed = inet_sndbuf_changed,                        \
		.sol_changed = inet_sol_changed, .get = inet_sk_get, .put = inet_sk_put,           \
		.release = inet_release, .ftype = FILE_SOCK_INET                                   \
	}
static const struct sock_ops inet4_ops = INET_SOCK_OPS(create4);
static const struct sock_ops inet6_ops = INET_SOCK_OPS(create6);

/* --- namespaces --- */

struct inet_table *inet_table_of(const struct inet_sock *s)
{
	if (s->kind == INET_TCP)
		return s->sk.net->inet->tcp;
	return s->kind == INET_UDP ? s->sk.net->inet->udp : NULL;
}

static SLAB_DEFINE(inet_net_slab, struct inet_net);

int inet_ns_init(struct net_ns *net)
{
	struct inet_net *n = slab_alloc(&inet_net_slab);
	if (!n)
		return -ENOMEM;
	n->tcp = inet_table_new(net);
	n->udp = inet_table_new(net);
	inet_list_init(&n->raw);
	inet_list_init(&n->ping);
	net->inet = n;
	if (n->tcp && n->udp)
		return 0;
	inet_ns_fini(net);
	return -ENOMEM;
}

void inet_ns_fini(struct net_ns *net)
{
	struct inet_net *n = net->inet;
	net->inet = NULL;
	inet_table_free(n->tcp);
	inet_table_free(n->udp);
	slab_free(&inet_net_slab, n);
}

void inet_init(void)
{
	sock_ops_register(AF_INET, &inet4_ops);
	sock_ops_register(AF_INET6, &inet6_ops);
}
