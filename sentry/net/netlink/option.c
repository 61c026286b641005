/* Options at level SOL_NETLINK, groups, and who may join them.  netlink(7). */
#include "sentry/net/netlink/nl_priv.h"

uint32_t nl_group_count(uint16_t protocol)
{
	switch (protocol) {
	case NETLINK_ROUTE:
		return RTNLGRP_MAX;
	case NETLINK_SOCK_DIAG:
	case NETLINK_GENERIC:
	case NETLINK_KOBJECT_UEVENT:
	case NETLINK_USERSOCK:
		return 32;
	default:
		return 0;
	}
}

bool nl_may_receive(const struct ctx *ctx, uint16_t protocol)
{
	return protocol != NETLINK_USERSOCK || nl_capable(ctx, CAP_NET_ADMIN);
}

int nl_check_groups(const struct ctx *ctx, uint16_t protocol, uint64_t groups)
{
	static const uint64_t admin =
		1UL << (RTNLGRP_IPV4_MROUTE_R - 1) | 1UL << (RTNLGRP_IPV6_MROUTE_R - 1);
	if (protocol == NETLINK_ROUTE && (groups & admin) && !nl_capable(ctx, CAP_NET_ADMIN))
		return -EPERM;
	if (protocol == NETLINK_SOCK_DIAG && groups && !nl_capable(ctx, CAP_NET_ADMIN))
		return -EPERM; /* sock_diag_bind */
	return 0;
}

static void count_listeners(struct netlink_net *n, uint16_t protocol) REQUIRES(n->lock)
{
	uint64_t all = 0;
	struct nl_sock *s;
	list_for_each(s, &n->mc[protocol], mc_node)
		all |= s->groups;
	__atomic_store_n(&n->listeners[protocol], all, __ATOMIC_RELEASE);
}

void nl_set_groups(struct nl_sock *s, uint64_t groups)
{
	struct netlink_net *n = s->sk.net->netlink;
	MUTEX_GUARD(&n->lock);
	if (groups)
		WRITE_ONCE(s->has_groups, true);
	if (s->groups == groups)
		return;
	__atomic_store_n(&s->groups, groups, __ATOMIC_RELEASE);
	list_del(&s->mc_node);
	if (groups)
		list_push_back(&n->mc[s->sk.protocol], &s->mc_node);
	count_listeners(n, s->sk.protocol);
}

static int set_member(struct ctx *ctx, struct nl_sock *s, bool add, uint32_t group)
{
	if (!nl_may_receive(ctx, s->sk.protocol))
		return -EPERM;
	if (!group || group > nl_group_count(s->sk.protocol))
		return -EINVAL;
	uint64_t bit = 1UL << (group - 1);
	int err = add ? nl_check_groups(ctx, s->sk.protocol, bit) : 0;
	if (err)
		return err;
	MUTEX_GUARD(&s->sk.lock);
	nl_set_groups(s, add ? s->groups | bit : s->groups & ~bit);
	return 0;
}

static const struct {
	int name;
	uint32_t flag;
} flag_opts[] = {
	{NETLINK_PKTINFO, NL_F_PKTINFO},
	{NETLINK_BROADCAST_ERROR, NL_F_BROADCAST_ERROR},
	{NETLINK_NO_ENOBUFS, NL_F_NO_ENOBUFS},
	{NETLINK_LISTEN_ALL_NSID, NL_F_LISTEN_ALL_NSID},
	{NETLINK_CAP_ACK, NL_F_CAP_ACK},
	{NETLINK_EXT_ACK, NL_F_EXT_ACK},
	{NETLINK_GET_STRICT_CHK, NL_F_STRICT},
};

static uint32_t flag_of(int name)
{
	for (size_t i = 0; i < ARRAY_LEN(flag_opts); i++)
		if (flag_opts[i].name == name)
			return flag_opts[i].flag;
	return 0;
}

static void set_flag(struct nl_sock *s, uint32_t flag, bool on)
{
	if (on)
		__atomic_fetch_or(&s->flags, flag, __ATOMIC_ACQ_REL);
	else
		__atomic_fetch_and(&s->flags, ~flag, __ATOMIC_ACQ_REL);
}

int nl_has_option(struct socket *sk, int level, int name, bool set)
{
	return level == SOL_NETLINK ? 0 : -ENOPROTOOPT;
}

int nl_setsockopt(struct ctx *ctx, struct socket *sk, int level, int name, const void *val,
	uint32_t len)
{
	struct nl_sock *s = nl_of(sk);
	uint32_t v = 0;
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	if (name == NETLINK_ADD_MEMBERSHIP || name == NETLINK_DROP_MEMBERSHIP)
		return set_member(ctx, s, name == NETLINK_ADD_MEMBERSHIP, v);
	uint32_t flag = flag_of(name);
	if (!flag)
		return -ENOPROTOOPT;
	if (flag == NL_F_LISTEN_ALL_NSID && !nl_capable(ctx, CAP_NET_BROADCAST))
		return -EPERM;
	set_flag(s, flag, v);
	if (flag == NL_F_NO_ENOBUFS && v) {
		set_flag(s, NL_F_CONGESTED, false);
		sock_wake_writable(sk);
	}
	return 0;
}

int nl_getsockopt(struct ctx *ctx, struct socket *sk, int level, int name, void *val, uint32_t *len)
{
	struct nl_sock *s = nl_of(sk);
	if (name == NETLINK_LIST_MEMBERSHIPS) {
		/* As many words as there is room for; the length is what all of them need: none
		 * before the first group was joined. */
		uint64_t groups = READ_ONCE(s->groups);
		uint32_t need =
			READ_ONCE(s->has_groups) ? (nl_group_count(sk->protocol) + 31) / 32 * 4 : 0;
		memcpy(val, &groups, MIN(*len & ~3u, need));
		*len = need;
		return 0;
	}
	uint32_t flag = flag_of(name);
	if (!flag)
		return -ENOPROTOOPT;
	int v = nl_flag(s, flag) != 0;
	if (*len < sizeof(v))
		return -EINVAL;
	memcpy(val, &v, sizeof(v));
	*len = sizeof(v);
	return 0;
}
