/*
 * AF_NETLINK sockets: their life, names, and the table of operations.  netlink(7),
 * net/netlink/af_netlink.c of Linux.  The queue is in queue.c, what the kernel answers in
 * request.c and dump.c.
 */
#include <stdio.h>

#include "lib/ro_after_init.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/netlink/nl_priv.h"
#include "sentry/net/netlink/rtnl_priv.h"

static SLAB_SHARE(nl_slab, struct nl_sock, 64);
static SLAB_DEFINE(netlink_net_slab, struct netlink_net);

/* --- tables --- */

static struct list_node *bucket(struct netlink_net *n, uint16_t protocol, uint32_t portid)
{
	return &n->hash[(portid ^ portid >> 6 ^ protocol) % NL_HASH];
}

static struct nl_sock *find(struct netlink_net *n, uint16_t protocol, uint32_t portid)
	REQUIRES(n->lock)
{
	struct nl_sock *s;
	list_for_each(s, bucket(n, protocol, portid), hash_node)
		if (s->sk.protocol == protocol && s->portid == portid)
			return s;
	return NULL;
}

struct nl_sock *nl_find(struct net_ns *net, uint16_t protocol, uint32_t portid)
{
	MUTEX_GUARD(&net->netlink->lock);
	struct nl_sock *s = find(net->netlink, protocol, portid);
	return s ? nl_get(s) : NULL;
}

struct nl_sock *nl_next(struct net_ns *net, uint16_t protocol, uint64_t after)
{
	struct netlink_net *n = net->netlink;
	uint16_t p = protocol == NL_PROTOS ? 0 : protocol;
	uint16_t end = protocol == NL_PROTOS ? NL_PROTOS : (uint16_t)(p + 1);
	struct nl_sock *s, *best = NULL;
	MUTEX_GUARD(&n->lock);
	/* Each list is in the order of cookies. */
	for (; p < end; p++)
		list_for_each(s, &n->all[p], all_node) {
			if (s->sk.cookie <= after)
				continue;
			if (!best || s->sk.cookie < best->sk.cookie)
				best = s;
			break;
		}
	return best ? nl_get(best) : NULL;
}

void nl_put(struct nl_sock *s)
{
	if (!s || !ref_put(&s->ref))
		return;
	BUG_ON(!list_empty(&s->all_node) || s->qlen || s->dump.kind);
	sock_fini(&s->sk);
	slab_free(&nl_slab, s);
}

/* --- names --- */

static int insert(struct nl_sock *s, uint32_t portid)
{
	struct netlink_net *n = s->sk.net->netlink;
	MUTEX_GUARD(&n->lock);
	if (find(n, s->sk.protocol, portid))
		return -EADDRINUSE;
	__atomic_store_n(&s->portid, portid, __ATOMIC_RELEASE);
	list_push_back(bucket(n, s->sk.protocol, portid), &s->hash_node);
	__atomic_store_n(&s->bound, true, __ATOMIC_RELEASE);
	return 0;
}

static uint32_t next_port(struct netlink_net *n)
{
	MUTEX_GUARD(&n->lock);
	/* Below -4096, where neither pids nor errno values lie. */
	if (n->rover > -4096)
		n->rover = -4096;
	return (uint32_t)(n->rover = n->rover == INT32_MIN ? -4097 : n->rover - 1);
}

/* The caller's pid, or if that is taken a number that is nobody's. */
static int autobind(struct ctx *ctx, struct nl_sock *s) REQUIRES(s->sk.lock)
{
	struct pid *pid = jobctl_process(ctx);
	uint32_t portid = pid ? (uint32_t)jobctl_nr(ctx, pid) : 0;
	jobctl_put(pid);
	if (s->bound)
		return 0;
	int err = portid ? insert(s, portid) : -EADDRINUSE;
	while (err == -EADDRINUSE)
		err = insert(s, next_port(s->sk.net->netlink));
	return err;
}

int nl_autobind(struct ctx *ctx, struct nl_sock *s)
{
	if (likely(__atomic_load_n(&s->bound, __ATOMIC_ACQUIRE)))
		return 0;
	MUTEX_GUARD(&s->sk.lock);
	return autobind(ctx, s);
}

static int check_name(const struct sock_addr *a)
{
	return a->len < sizeof(a->nl) || a->family != AF_NETLINK ? -EINVAL : 0;
}

static int nl_bind(const struct vfs_view *v, struct socket *sk, const struct sock_addr *a)
{
	struct nl_sock *s = nl_of(sk);
	struct ctx *ctx = v->ctx;
	int err = check_name(a);
	if (err)
		return err;
	uint32_t ngroups = nl_group_count(sk->protocol);
	uint64_t groups = a->nl.groups;
	if (groups && !nl_may_receive(ctx, sk->protocol))
		return -EPERM;
	if (ngroups < 64)
		groups &= (1UL << ngroups) - 1;
	MUTEX_GUARD(&s->sk.lock);
	if (s->bound && a->nl.pid != s->portid)
		return -EINVAL;
	if ((err = nl_check_groups(ctx, sk->protocol, groups)))
		return err;
	if (!s->bound)
		err = a->nl.pid ? insert(s, a->nl.pid) : autobind(ctx, s);
	if (!err)
		nl_set_groups(s, (s->groups & ~(uint64_t)UINT32_MAX) | groups);
	return err;
}

/* NL_CFG_F_NONROOT_SEND */
static bool may_send(const struct ctx *ctx, uint16_t protocol)
{
	return protocol == NETLINK_USERSOCK || nl_capable(ctx, CAP_NET_ADMIN);
}

/* Groups are named by a mask, of which the lowest counts. */
static uint32_t group_of(uint32_t mask)
{
	return (uint32_t)__builtin_ffs((int)mask);
}

static int nl_connect(const struct vfs_view *v, struct socket *sk, const struct sock_addr *a,
	bool nonblock)
{
	struct nl_sock *s = nl_of(sk);
	int err = 0;
	if (a->len < sizeof(a->family))
		return -EINVAL;
	MUTEX_GUARD(&s->sk.lock);
	if (a->family == AF_UNSPEC) {
		s->connected = false;
		s->dst_portid = s->dst_group = 0;
		return 0;
	}
	if ((err = check_name(a)))
		return err;
	if ((a->nl.groups || a->nl.pid) && !may_send(v->ctx, sk->protocol))
		return -EPERM;
	if (!s->bound)
		err = autobind(v->ctx, s);
	if (err)
		return err;
	s->connected = true;
	s->dst_portid = a->nl.pid;
	s->dst_group = group_of(a->nl.groups);
	return 0;
}

static int nl_getname(struct socket *sk, bool peer, struct sock_addr *a)
{
	struct nl_sock *s = nl_of(sk);
	MUTEX_GUARD(&s->sk.lock);
	a->len = sizeof(a->nl);
	a->nl = (struct abi_sockaddr_nl){.family = AF_NETLINK};
	a->nl.pid = peer ? s->dst_portid : s->portid;
	if (!peer)
		a->nl.groups = (uint32_t)s->groups;
	else if (s->dst_group && s->dst_group <= 32)
		a->nl.groups = 1u << (s->dst_group - 1);
	return 0;
}

int nl_destination(struct ctx *ctx, struct nl_sock *s, const struct sock_addr *name,
	uint32_t *portid, uint32_t *group)
{
	if (!name->len) {
		MUTEX_GUARD(&s->sk.lock);
		*portid = s->dst_portid;
		*group = s->dst_group;
		return 0;
	}
	int err = check_name(name);
	if (err)
		return err;
	*portid = name->nl.pid;
	*group = group_of(name->nl.groups);
	return (*portid || *group) && !may_send(ctx, s->sk.protocol) ? -EPERM : 0;
}

/* --- life --- */

static int nl_create(struct ctx *ctx, struct net_ns *net, int type, int protocol,
	struct socket **out)
{
	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol < 0 || protocol >= NL_PROTOS || !nl_group_count((uint16_t)protocol))
		return -EPROTONOSUPPORT;
	struct nl_sock *s = slab_alloc(&nl_slab);
	if (!s)
		return -ENOMEM;
	sock_init(&s->sk, net, AF_NETLINK, type, protocol);
	ref_init(&s->ref);
	list_init(&s->all_node);
	list_init(&s->hash_node);
	list_init(&s->mc_node);
	mutex_init(&s->q_lock, LOCK_SOCK_QUEUE);
	list_init(&s->queue);
	mutex_lock(&net->netlink->lock);
	/* By cookie: at the end, but for what is made at the same time. */
	struct list_node *all = &net->netlink->all[protocol], *before = all;
	while (before->prev != all &&
		list_entry(before->prev, struct nl_sock, all_node)->sk.cookie > s->sk.cookie)
		before = before->prev;
	list_insert_before(before, &s->all_node);
	mutex_unlock(&net->netlink->lock);
	*out = &s->sk;
	return 0;
}

static void nl_release(struct socket *sk)
{
	struct nl_sock *s = nl_of(sk);
	struct netlink_net *n = sk->net->netlink;
	nl_set_groups(s, 0);
	mutex_lock(&n->lock);
	WRITE_ONCE(sk->dead, true);
	list_del(&s->all_node);
	list_del(&s->hash_node);
	mutex_unlock(&n->lock);
	nl_dump_end(s);
	nl_purge(s);
	nl_put(s);
}

static void nl_sock_get(struct socket *sk)
{
	nl_get(nl_of(sk));
}

static void nl_sock_put(struct socket *sk)
{
	nl_put(nl_of(sk));
}

static uint32_t nl_poll(struct socket *sk, struct poll_table *pt)
{
	struct nl_sock *s = nl_of(sk);
	uint32_t mask = 0;
	if (READ_ONCE(sk->err))
		mask |= POLLERR;
	if (__atomic_load_n(&s->qlen, __ATOMIC_ACQUIRE))
		mask |= POLLIN | POLLRDNORM;
	if (READ_ONCE(sk->wmem) < READ_ONCE(sk->sndbuf) / 2)
		mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return mask;
}

static int nl_listen(struct ctx *ctx, struct socket *s, uint32_t backlog)
{
	return -EOPNOTSUPP;
}

static int nl_accept(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out)
{
	return -EOPNOTSUPP;
}

static int nl_shutdown(struct socket *s, uint32_t how)
{
	return -EOPNOTSUPP;
}

static long nl_ioctl(struct ctx *ctx, struct socket *sk, uint32_t cmd, uint64_t arg)
{
	return net_ioctl_link(ctx, sk->net, cmd, arg);
}

static uint32_t nl_rmem(const struct socket *sk)
{
	return READ_ONCE(container_of(sk, struct nl_sock, sk)->rmem);
}

static const struct sock_ops nl_ops = {.create = nl_create,
	.bind = nl_bind,
	.connect = nl_connect,
	.listen = nl_listen,
	.accept = nl_accept,
	.getname = nl_getname,
	.send = nl_send,
	.recv = nl_recv,
	.shutdown = nl_shutdown,
	.rmem = nl_rmem,
	.has_option = nl_has_option,
	.setsockopt = nl_setsockopt,
	.getsockopt = nl_getsockopt,
	.poll = nl_poll,
	.ioctl = nl_ioctl,
	.get = nl_sock_get,
	.put = nl_sock_put,
	.release = nl_release,
	.ftype = FILE_SOCK_NETLINK};

/* --- /proc/net/netlink --- */

size_t netlink_walk_next(struct netlink_walk *w, char *buf, size_t n)
{
	size_t len = 0;
	while (n - len >= NETLINK_WALK_MIN) {
		struct nl_sock *s = nl_next(w->net, NL_PROTOS, w->after);
		if (!s)
			break;
		w->after = s->sk.cookie;
		/* %pK of who may not see addresses: zeros. */
		len += (size_t)snprintf(buf + len, n - len,
			"%016x %-3d %-10u %08x %-8d %-8d %-5d %-8u %-8u %-8lu\n", 0, s->sk.protocol,
			nl_port(s), (uint32_t)READ_ONCE(s->groups), READ_ONCE(s->rmem),
			READ_ONCE(s->sk.wmem), READ_ONCE(s->dump_on),
			ref_count(&s->ref), /* ours is Linux' table's */
			READ_ONCE(s->drops), s->sk.ino);
		nl_put(s);
	}
	return len;
}

/* --- namespaces --- */

int netlink_ns_init(struct net_ns *net)
{
	struct netlink_net *n = slab_alloc(&netlink_net_slab);
	if (!n)
		return -ENOMEM;
	mutex_init(&n->lock, LOCK_NETLINK);
	for (int i = 0; i < NL_PROTOS; i++) {
		list_init(&n->all[i]);
		list_init(&n->mc[i]);
	}
	for (int i = 0; i < NL_HASH; i++)
		list_init(&n->hash[i]);
	net->netlink = n;
	return 0;
}

void netlink_ns_fini(struct net_ns *net)
{
	slab_free(&netlink_net_slab, net->netlink);
	net->netlink = NULL;
}

static struct netlink_ns_ops ns_ops RO_AFTER_INIT;

void netlink_ns_ops_register(const struct netlink_ns_ops *ops)
{
	ns_ops = *ops;
}

struct net_ns *nl_ns_by_pid(struct ctx *ctx, int32_t pid, int *err)
{
	*err = -ESRCH;
	return ns_ops.by_pid ? ns_ops.by_pid(ctx, pid, err) : NULL;
}

struct net_ns *nl_ns_by_fd(struct ctx *ctx, int32_t fd, int *err)
{
	*err = -EBADF;
	return ns_ops.by_fd ? ns_ops.by_fd(ctx, fd, err) : NULL;
}

void netlink_init(void)
{
	sock_ops_register(AF_NETLINK, &nl_ops);
	rtnl_init();
	diag_init();
	genl_init();
}
