/* SOL_SOCKET options that only make sense for sockets of links and addresses. */
#include <linux/capability.h>

#include "sentry/net/filter.h"
#include "sentry/net/inet/inet_priv.h"

/* --- SO_BINDTODEVICE, SO_BINDTOIFINDEX --- */

static int bind_to_index(struct ctx *ctx, struct inet_sock *s, int32_t ifindex)
{
	int err = 0;
	inet_lock(s);
	/* Who is bound to one already would be let out. */
	if (s->bound_if && !ctx_capable(ctx, CAP_NET_RAW))
		err = -EPERM;
	else if (ifindex < 0)
		err = -EINVAL;
	else
		WRITE_ONCE(s->bound_if, ifindex);
	if (!err)
		route_put(&s->route);
	inet_unlock(s);
	return err;
}

static int bind_to_device(struct ctx *ctx, struct inet_sock *s, const void *val, uint32_t len)
{
	int32_t ifindex;
	int err = sockopt_device_in(&s->sk, val, len, &ifindex);
	return err ? err : bind_to_index(ctx, s, ifindex);
}

/* --- SO_ATTACH_REUSEPORT_CBPF --- */

static int attach_reuseport(struct ctx *ctx, struct inet_sock *s, const void *val, uint32_t len)
{
	struct sock_filter_prog *f;
	int err = sock_filter_new(ctx, val, len, &f);
	if (err)
		return err;
	inet_lock(s);
	if (s->kind != INET_UDP && s->kind != INET_TCP)
		err = -EOPNOTSUPP;
	else
		err = sock_flag(&s->sk, SOCK_F_REUSEPORT) ? 0 : -EINVAL;
	if (!err)
		inet_group_set_prog(inet_table_of(s), s, f);
	inet_unlock(s);
	sock_filter_put(f);
	return err;
}

static int detach_reuseport(struct inet_sock *s)
{
	inet_lock(s);
	bool was = s->group_prog;
	if (was)
		inet_group_set_prog(inet_table_of(s), s, NULL);
	inet_unlock(s);
	return was ? 0 : sock_flag(&s->sk, SOCK_F_REUSEPORT) ? -ENOENT : -EINVAL;
}

/* --- SO_MEMINFO --- */

static int get_meminfo(struct inet_sock *s, void *val, uint32_t *len)
{
	uint32_t v[9] = {READ_ONCE(s->rmem), READ_ONCE(s->sk.rcvbuf), READ_ONCE(s->sk.wmem),
		READ_ONCE(s->sk.sndbuf), 0, 0, 0, READ_ONCE(s->backlog_len), READ_ONCE(s->drops)};
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, v, *len);
	return 0;
}

int inet_set_sol(struct ctx *ctx, struct socket *sk, int name, const void *val, uint32_t len)
{
	struct inet_sock *s = inet_of(sk);
	int v;
	switch (name) {
	case SO_BINDTODEVICE:
		return bind_to_device(ctx, s, val, len);
	case SO_BINDTOIFINDEX:
		if (len < sizeof(v))
			return -EINVAL;
		memcpy(&v, val, sizeof(v));
		return bind_to_index(ctx, s, v);
	case SO_ATTACH_REUSEPORT_CBPF:
		return len < sizeof(v) ? -EINVAL : attach_reuseport(ctx, s, val, len);
	case SO_DETACH_REUSEPORT_BPF:
		return len < sizeof(v) ? -EINVAL : detach_reuseport(s);
	default:
		return -ENOPROTOOPT;
	}
}

int inet_get_sol(struct ctx *ctx, struct socket *sk, int name, void *val, uint32_t *len)
{
	struct inet_sock *s = inet_of(sk);
	(void)ctx;
	switch (name) {
	case SO_BINDTODEVICE:
		return sockopt_device_out(sk, READ_ONCE(s->bound_if), val, len);
	case SO_BINDTOIFINDEX:
		*len = MIN(*len, (uint32_t)sizeof(s->bound_if));
		memcpy(val, &s->bound_if, *len);
		return 0;
	case SO_MEMINFO:
		return get_meminfo(s, val, len);
	default:
		return -ENOPROTOOPT;
	}
}

bool inet_filter(struct inet_sock *s, struct pkt *p, uint32_t keep)
{
	return sock_filter_pass(&s->sk, p, keep);
}
