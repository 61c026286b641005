/*
 * Addresses of sockets: what bind(2), connect(2) and sendto(2) accept, in Linux' order of checks
 * (net/ipv4/af_inet.c, datagram.c, net/ipv6/af_inet6.c, datagram.c), and what getsockname(2) tells.
 */
#include <linux/capability.h>
#include <netinet/in.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"

static void read4(const struct sock_addr *a, struct ip_addr *ip, uint16_t *port)
{
	struct abi_sockaddr_in sin;
	memcpy(&sin, &a->sa, sizeof(sin));
	*ip = ip_v4(sin.addr);
	*port = ntohs(sin.port);
}

/* scope is 0 in the short form. */
static void read6(const struct sock_addr *a, struct ip_addr *ip, uint16_t *port, uint32_t *scope,
	uint32_t *flowinfo)
{
	struct abi_sockaddr_in6 sin6 = {0};
	memcpy(&sin6, &a->sa, MIN(a->len, (uint32_t)sizeof(sin6)));
	*ip = ip_v6(sin6.addr);
	*port = ntohs(sin6.port);
	*scope = a->len >= sizeof(sin6) ? sin6.scope_id : 0;
	*flowinfo = ntohl(sin6.flowinfo);
}

/* Linux' __ipv6_addr_needs_scope_id. */
static bool needs_scope(const struct ip_addr *a)
{
	if (ip_is_v4(a))
		return false;
	if (a->b[0] == 0xff)
		return (a->b[1] & 0xf) == 1 || (a->b[1] & 0xf) == 2;
	return ip_is_linklocal(a);
}

int inet_addr_in(const struct inet_sock *s, const struct sock_addr *a, struct ip_addr *ip,
	uint16_t *port, uint32_t *scope, uint32_t *flowinfo)
{
	*scope = *flowinfo = 0;
	if (s->sk.family == AF_INET) {
		if (a->len < sizeof(struct abi_sockaddr_in))
			return -EINVAL;
		if (a->sa.family != AF_INET && a->sa.family != AF_UNSPEC)
			return -EAFNOSUPPORT;
		read4(a, ip, port);
		return 0;
	}
	if (a->len < sizeof(a->sa.family))
		return -EINVAL;
	if (a->sa.family == AF_INET) {
		if (READ_ONCE(s->v6only))
			return -ENETUNREACH;
		if (a->len < sizeof(struct abi_sockaddr_in))
			return -EINVAL;
		read4(a, ip, port);
		return 0;
	}
	if (a->sa.family != AF_INET6 || a->len < SIN6_LEN_RFC2133)
		return -EINVAL;
	read6(a, ip, port, scope, flowinfo);
	if (ip_is_any(ip) && !ip_is_v4(ip) && ip_is_v4(&s->local))
		*ip = inet_loopback_like(&s->local);
	if (ip_is_v4(ip) && READ_ONCE(s->v6only))
		return -ENETUNREACH;
	if (!needs_scope(ip))
		*scope = 0;
	return 0;
}

void inet_addr_out(const struct inet_sock *s, const struct ip_addr *ip, uint16_t port,
	uint32_t scope, struct sock_addr *a)
{
	if (s->sk.family == AF_INET) {
		struct abi_sockaddr_in sin = {.family = AF_INET,
			.port = htons(port),
			.addr = ip_to_v4(ip)};
		a->len = sizeof(sin);
		memcpy(&a->sa, &sin, sizeof(sin));
		return;
	}
	struct abi_sockaddr_in6 sin6 = {.family = AF_INET6, .port = htons(port)};
	memcpy(sin6.addr, ip->b, sizeof(sin6.addr));
	sin6.scope_id = needs_scope(ip) ? scope : 0;
	a->len = sizeof(sin6);
	memcpy(&a->sa, &sin6, sizeof(sin6));
}

/* --- bind --- */

static bool may_bind_nonlocal(const struct inet_sock *s, bool v4)
{
	const struct net_ctl *ctl = &s->sk.net->ctl;
	return READ_ONCE(s->freebind) || READ_ONCE(s->transparent) ||
	       (v4 ? READ_ONCE(ctl->ip_nonlocal_bind) : READ_ONCE(ctl->ip6_nonlocal_bind));
}

static int check_local4(struct inet_sock *s, const struct ip_addr *ip)
{
	uint8_t type = ip_addr_type(s->sk.net, ip, READ_ONCE(s->bound_if));
	bool ours = type == RTN_LOCAL || type == RTN_BROADCAST || type == RTN_MULTICAST;
	return ours || ip_is_any(ip) || may_bind_nonlocal(s, true) ? 0 : -EADDRNOTAVAIL;
}

static int check_port(struct ctx *ctx, const struct inet_sock *s, uint16_t port)
{
	int32_t start = READ_ONCE(s->sk.net->ctl.ip_unprivileged_port_start);
	bool low = port && port < start && s->kind != INET_RAW && s->kind != INET_PING;
	return low && !ctx_capable(ctx, CAP_NET_BIND_SERVICE) ? -EACCES : 0;
}

static int bind_check4(struct ctx *ctx, struct inet_sock *s, const struct sock_addr *a,
	struct ip_addr *ip, uint16_t *port)
{
	if (a->len < sizeof(struct abi_sockaddr_in))
		return -EINVAL;
	read4(a, ip, port);
	if (s->kind == INET_RAW) /* which Linux does not ask of what family it is */
		return check_local4(s, ip);
	/* AF_UNSPEC for what was written without a family long ago. */
	if (a->sa.family != AF_INET && (a->sa.family != AF_UNSPEC || !ip_is_any(ip)))
		return -EAFNOSUPPORT;
	int err = check_local4(s, ip);
	return err ? err : check_port(ctx, s, *port);
}

/* The link of a scoped address, or 0. */
static int bind_link6(struct inet_sock *s, const struct ip_addr *ip, uint32_t scope, int32_t *use)
{
	int32_t dev = READ_ONCE(s->bound_if);
	if (needs_scope(ip)) {
		if (scope)
			dev = (int32_t)scope;
		if (!dev)
			return -EINVAL;
	}
	if (dev) {
		struct link *l = link_by_index(s->sk.net, dev);
		if (!l)
			return -ENODEV;
		link_put(l);
	}
	*use = dev;
	return 0;
}

static int bind_check6(struct ctx *ctx, struct inet_sock *s, const struct sock_addr *a,
	struct ip_addr *ip, uint16_t *port, int32_t *dev)
{
	uint32_t scope, flow;
	if (a->len < SIN6_LEN_RFC2133)
		return -EINVAL;
	if (a->sa.family != AF_INET6)
		return -EAFNOSUPPORT;
	read6(a, ip, port, &scope, &flow);
	if (s->sk.type == SOCK_STREAM && ip->b[0] == 0xff)
		return -EINVAL;
	int err = check_port(ctx, s, *port);
	if (err)
		return err;
	if (ip_is_v4(ip))
		return READ_ONCE(s->v6only) ? -EINVAL : check_local4(s, ip);
	if (ip_is_any(ip))
		return 0;
	err = bind_link6(s, ip, scope, dev);
	if (err || ip_is_multicast(ip) || may_bind_nonlocal(s, false))
		return err;
	return ip_addr_is_local(s->sk.net, ip, *dev) ? 0 : -EADDRNOTAVAIL;
}

int inet_bind_check(struct ctx *ctx, struct inet_sock *s, const struct sock_addr *a,
	struct ip_addr *ip, uint16_t *port, int32_t *dev)
{
	*dev = 0;
	return s->sk.family == AF_INET ? bind_check4(ctx, s, a, ip, port)
				       : bind_check6(ctx, s, a, ip, port, dev);
}

/* --- connect --- */

/* A link-local peer: by the scope that it says, or the link that we are bound to. */
static int connect_scope(struct inet_sock *s, const struct ip_addr *ip, uint32_t scope)
{
	int32_t dev = READ_ONCE(s->bound_if);
	if (!needs_scope(ip))
		return 0;
	if (scope) {
		if (dev && dev != (int32_t)scope)
			return -EINVAL;
		dev = (int32_t)scope;
	}
	if (!dev && ip_is_multicast(ip))
		dev = READ_ONCE(s->mc_if6);
	if (!dev)
		return -EINVAL;
	WRITE_ONCE(s->bound_if, dev);
	return 0;
}

static int connect_check6(struct inet_sock *s, const struct sock_addr *a, struct ip_addr *ip,
	uint16_t *port)
{
	uint32_t scope, flow;
	if (a->sa.family == AF_INET && s->kind != INET_TCP) {
		if (READ_ONCE(s->v6only))
			return -EAFNOSUPPORT;
		if (a->len < sizeof(struct abi_sockaddr_in))
			return -EINVAL;
		read4(a, ip, port);
		return 0;
	}
	if (a->len < SIN6_LEN_RFC2133)
		return -EINVAL;
	if (a->sa.family != AF_INET6)
		return -EAFNOSUPPORT;
	read6(a, ip, port, &scope, &flow);
	if (ip_is_any(ip) && !ip_is_v4(ip))
		*ip = inet_loopback_like(&s->local);
	if (ip_is_v4(ip))
		return READ_ONCE(s->v6only) ? -ENETUNREACH : 0;
	if (ip_is_multicast(ip) && s->kind == INET_TCP)
		return -ENETUNREACH;
	int err = connect_scope(s, ip, scope);
	return !err && inet_source_clashes(s, ip) ? -EAFNOSUPPORT : err;
}

int inet_connect_check(struct inet_sock *s, const struct sock_addr *a, struct ip_addr *ip,
	uint16_t *port)
{
	if (s->sk.family == AF_INET6)
		return connect_check6(s, a, ip, port);
	if (a->len < sizeof(struct abi_sockaddr_in))
		return -EINVAL;
	if (a->sa.family != AF_INET)
		return -EAFNOSUPPORT;
	read4(a, ip, port);
	return 0;
}

/* 0.0.0.0 is this host (RFC 1122, 3.2.1.3): where we send from, else the loopback address. */
static struct ip_addr this_host(const struct inet_sock *s, const struct ip_addr *a)
{
	if (!ip_is_any(a))
		return *a;
	if (!s->nosrc && !ip_is_any(&s->local) && ip_is_v4(&s->local) == ip_is_v4(a))
		return s->local;
	return inet_loopback_like(a);
}

int inet_dgram_connect(struct inet_sock *s, struct inet_table *t, const struct ip_addr *a,
	uint16_t port)
{
	struct ip_addr dst = this_host(s, a), src = s->local;
	struct route rt = {0};
	struct flow f;
	int err = 0;
	inet_flow(s, &dst, port, &f);
	err = route_lookup(s->sk.net, &f, &rt);
	if (err == -ENETUNREACH && ip_is_v4(&dst))
		NET_INC(s->sk.net, Ip_OutNoRoutes);
	if (!err && rt.type == RTN_BROADCAST && !sock_flag(&s->sk, SOCK_F_BROADCAST))
		err = -EACCES;
	if (!err && ip_is_any(&src))
		src = rt.src;
	if (!err && t) {
		inet_unhash_conn(t, s);
		err = inet_connect_port(t, s, &src, &dst, port, false, NULL);
	} else if (!err) {
		s->local = s->bound = src;
		s->remote = dst;
		s->rport = port;
	}
	route_put(&s->route);
	if (err)
		route_put(&rt);
	else
		s->route = rt;
	return err;
}

void inet_dgram_disconnect(struct inet_sock *s, struct inet_table *t)
{
	route_put(&s->route);
	WRITE_ONCE(s->bound_if, 0);
	if (t) {
		inet_disconnect_port(t, s, s->locks & INET_LOCK_PORT);
		return;
	}
	s->remote = s->sk.family == AF_INET ? IP_ANY4 : IP_ANY6;
	s->rport = 0;
	if (!(s->locks & INET_LOCK_ADDR))
		s->local = s->bound = s->remote;
}
