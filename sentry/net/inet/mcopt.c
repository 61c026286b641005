/* Options that join and leave groups, as guests write them: ip(7), RFC 3678. */
#include "sentry/net/inet/inet_priv.h"

/* struct group_req, group_source_req and group_filter of 64-bit Linux */
#define STORAGE 128u
#define GROUP_REQ_LEN (8u + STORAGE)
#define GROUP_SOURCE_LEN (8u + 2 * STORAGE)
#define GROUP_FILTER_HEAD (8u + STORAGE + 8u)

bool inet_mc_is_option(int name, int family)
{
	if (name >= MCAST_JOIN_GROUP && name <= MCAST_MSFILTER)
		return true;
	if (family == AF_INET6)
		return name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP;
	return (name >= IP_ADD_MEMBERSHIP && name <= IP_MSFILTER);
}

/* A struct sockaddr_storage of that family. */
static bool read_addr(const uint8_t *at, int family, struct ip_addr *a)
{
	struct sock_addr s;
	memcpy(&s.sa, at, sizeof(s.sa));
	*a = family == AF_INET ? ip_v4(s.in.addr) : ip_v6(s.in6.addr);
	return s.family == family;
}

/* --- the older structs --- */

static int member4(struct inet_sock *s, int name, const void *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct ip_mreqn m = {0};
	if (len < sizeof(struct ip_mreq))
		return -EINVAL;
	memcpy(&m, val, len >= sizeof(m) ? sizeof(m) : sizeof(struct ip_mreq));
	struct inet_mc_req r = {.group = ip_v4(m.imr_multiaddr.s_addr),
		.ifaddr = ip_v4(m.imr_address.s_addr),
		.ifindex = m.imr_ifindex};
	if (name == IP_ADD_MEMBERSHIP)
		return inet_mc_join(s, &r, IP_MC_EXCLUDE);
	return inet_mc_leave(s, &r);
}

static int member6(struct inet_sock *s, int name, const void *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct ipv6_mreq m;
	if (len < sizeof(m))
		return -EINVAL;
	memcpy(&m, val, sizeof(m));
	struct inet_mc_req r = {.group = ip_v6(&m.ipv6mr_multiaddr),
		.ifaddr = IP_ANY6,
		.ifindex = (int32_t)m.ipv6mr_interface};
	if (ip_is_v4(&r.group))
		return -EINVAL;
	return name == IPV6_JOIN_GROUP ? inet_mc_join(s, &r, IP_MC_EXCLUDE) : inet_mc_leave(s, &r);
}

/* Joining for a source joins the group first. */
static int with_source(struct inet_sock *s, const struct inet_mc_req *r, const struct ip_addr *src,
	uint8_t mode, bool add) REQUIRES(s->sk.lock)
{
	if (mode == IP_MC_INCLUDE && add) {
		int err = inet_mc_join(s, r, IP_MC_INCLUDE);
		if (err && err != -EADDRINUSE)
			return err;
	}
	return inet_mc_source(s, r, src, mode, add);
}

static int source4(struct inet_sock *s, int name, const void *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct ip_mreq_source m;
	if (len != sizeof(m))
		return -EINVAL;
	memcpy(&m, val, sizeof(m));
	struct inet_mc_req r = {.group = ip_v4(m.imr_multiaddr.s_addr),
		.ifaddr = ip_v4(m.imr_interface.s_addr)};
	struct ip_addr src = ip_v4(m.imr_sourceaddr.s_addr);
	bool include = name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_DROP_SOURCE_MEMBERSHIP;
	bool add = name == IP_ADD_SOURCE_MEMBERSHIP || name == IP_BLOCK_SOURCE;
	return with_source(s, &r, &src, include ? IP_MC_INCLUDE : IP_MC_EXCLUDE, add);
}

static int filter4(struct inet_sock *s, const uint8_t *val, uint32_t len) REQUIRES(s->sk.lock)
{
	struct ip_msfilter f;
	struct ip_addr src[INET_MC_SOURCES];
	uint32_t head = offsetof(struct ip_msfilter, imsf_slist), be;
	if (len < head)
		return -EINVAL;
	memcpy(&f, val, head);
	if (f.imsf_numsrc > inet_mc_max_sources(s, true))
		return -ENOBUFS;
	if (len < head + f.imsf_numsrc * 4)
		return -EINVAL;
	for (uint32_t i = 0; i < f.imsf_numsrc; i++) {
		memcpy(&be, val + head + i * 4, 4);
		src[i] = ip_v4(be);
	}
	struct inet_mc_req r = {.group = ip_v4(f.imsf_multiaddr.s_addr),
		.ifaddr = ip_v4(f.imsf_interface.s_addr)};
	return inet_mc_set_filter(s, &r, f.imsf_fmode, src, f.imsf_numsrc);
}

/* --- RFC 3678's --- */

static void read_req(const uint8_t *val, struct inet_mc_req *r, int family)
{
	uint32_t ifindex;
	memcpy(&ifindex, val, sizeof(ifindex));
	r->ifindex = (int32_t)ifindex;
	r->ifaddr = family == AF_INET ? IP_ANY4 : IP_ANY6;
}

static int group_member(struct inet_sock *s, int family, int name, const uint8_t *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct inet_mc_req r;
	if (len < GROUP_REQ_LEN)
		return -EINVAL;
	read_req(val, &r, family);
	if (!read_addr(val + 8, family, &r.group))
		return family == AF_INET ? -EINVAL : -EADDRNOTAVAIL;
	return name == MCAST_JOIN_GROUP ? inet_mc_join(s, &r, IP_MC_EXCLUDE) : inet_mc_leave(s, &r);
}

static int group_source(struct inet_sock *s, int family, int name, const uint8_t *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct inet_mc_req r;
	struct ip_addr src;
	if (len < GROUP_SOURCE_LEN)
		return -EINVAL;
	read_req(val, &r, family);
	if (!read_addr(val + 8, family, &r.group) || !read_addr(val + 8 + STORAGE, family, &src))
		return -EADDRNOTAVAIL;
	bool include = name == MCAST_JOIN_SOURCE_GROUP || name == MCAST_LEAVE_SOURCE_GROUP;
	bool add = name == MCAST_JOIN_SOURCE_GROUP || name == MCAST_BLOCK_SOURCE;
	return with_source(s, &r, &src, include ? IP_MC_INCLUDE : IP_MC_EXCLUDE, add);
}

static int group_filter(struct inet_sock *s, int family, const uint8_t *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	struct ip_addr src[INET_MC_SOURCES];
	struct inet_mc_req r;
	uint32_t mode, n;
	if (len < GROUP_FILTER_HEAD)
		return -EINVAL;
	read_req(val, &r, family);
	memcpy(&mode, val + 8 + STORAGE, 4);
	memcpy(&n, val + 12 + STORAGE, 4);
	if (n > inet_mc_max_sources(s, family == AF_INET))
		return -ENOBUFS;
	if (len < GROUP_FILTER_HEAD + n * STORAGE)
		return -EINVAL;
	if (!read_addr(val + 8, family, &r.group))
		return family == AF_INET ? -EADDRNOTAVAIL : -EINVAL;
	for (uint32_t i = 0; i < n; i++)
		if (!read_addr(val + GROUP_FILTER_HEAD + i * STORAGE, family, &src[i]))
			return -EADDRNOTAVAIL;
	return inet_mc_set_filter(s, &r, mode, src, n);
}

static int set_locked(struct inet_sock *s, int family, int name, const void *val, uint32_t len)
	REQUIRES(s->sk.lock)
{
	switch (name) {
	case MCAST_JOIN_GROUP:
	case MCAST_LEAVE_GROUP:
		return group_member(s, family, name, val, len);
	case MCAST_MSFILTER:
		return group_filter(s, family, val, len);
	case MCAST_BLOCK_SOURCE:
	case MCAST_UNBLOCK_SOURCE:
	case MCAST_JOIN_SOURCE_GROUP:
	case MCAST_LEAVE_SOURCE_GROUP:
		return group_source(s, family, name, val, len);
	}
	if (family == AF_INET6)
		return member6(s, name, val, len);
	if (name == IP_MSFILTER)
		return filter4(s, val, len);
	if (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP)
		return member4(s, name, val, len);
	return source4(s, name, val, len);
}

/* What is shorter is no such struct. */
static uint32_t min_len(int family, int name)
{
	switch (name) {
	case MCAST_JOIN_GROUP:
	case MCAST_LEAVE_GROUP:
		return GROUP_REQ_LEN;
	case MCAST_MSFILTER:
		return GROUP_FILTER_HEAD;
	case MCAST_BLOCK_SOURCE:
	case MCAST_UNBLOCK_SOURCE:
	case MCAST_JOIN_SOURCE_GROUP:
	case MCAST_LEAVE_SOURCE_GROUP:
		return GROUP_SOURCE_LEN;
	default:
		return family == AF_INET6 ? sizeof(struct ipv6_mreq) : 0;
	}
}

int inet_mc_setsockopt(struct inet_sock *s, int family, int name, const void *val, uint32_t len)
{
	bool member = name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP ||
		      name == IPV6_JOIN_GROUP || name == IPV6_LEAVE_GROUP;
	/* Of these IPv4's older ones alone do not look at the length first. */
	bool older = name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP;
	if (!(older && family == AF_INET) && len < min_len(family, name))
		return -EINVAL;
	if (s->kind == INET_TCP && (member || family == AF_INET6 || name == MCAST_JOIN_GROUP))
		return -EPROTO;
	inet_lock(s);
	int err = set_locked(s, family, name, val, len);
	inet_unlock(s);
	return err;
}

/* --- getsockopt: val holds what the guest wrote there --- */

static int get_filter4(struct inet_sock *s, uint8_t *val, uint32_t *len)
{
	struct ip_msfilter f;
	struct ip_addr src[INET_MC_SOURCES];
	uint32_t head = offsetof(struct ip_msfilter, imsf_slist), mode, n = INET_MC_SOURCES;
	if (*len < head)
		return -EINVAL;
	memcpy(&f, val, head);
	struct inet_mc_req r = {.group = ip_v4(f.imsf_multiaddr.s_addr),
		.ifaddr = ip_v4(f.imsf_interface.s_addr)};
	inet_lock(s);
	int err = inet_mc_get_filter(s, &r, &mode, src, &n);
	inet_unlock(s);
	if (err)
		return err;
	uint32_t room = MIN((uint32_t)f.imsf_numsrc, (*len - head) / 4);
	f.imsf_fmode = mode;
	f.imsf_numsrc = n;
	memcpy(val, &f, head);
	for (uint32_t i = 0; i < MIN(n, room); i++)
		memcpy(val + head + i * 4, &src[i].w[3], 4);
	*len = head + MIN(n, room) * 4;
	return 0;
}

static int get_filter(struct inet_sock *s, int family, uint8_t *val, uint32_t *len)
{
	struct ip_addr src[INET_MC_SOURCES];
	struct inet_mc_req r;
	uint32_t mode, n = INET_MC_SOURCES, asked;
	if (*len < GROUP_FILTER_HEAD)
		return -EINVAL;
	read_req(val, &r, family);
	if (!read_addr(val + 8, family, &r.group))
		return family == AF_INET ? -EINVAL : -EADDRNOTAVAIL;
	memcpy(&asked, val + 12 + STORAGE, 4);
	inet_lock(s);
	int err = inet_mc_get_filter(s, &r, &mode, src, &n);
	inet_unlock(s);
	if (err)
		return err;
	uint32_t room = MIN(asked, (*len - GROUP_FILTER_HEAD) / STORAGE);
	memcpy(val + 8 + STORAGE, &mode, 4);
	memcpy(val + 12 + STORAGE, &n, 4);
	for (uint32_t i = 0; i < MIN(n, room); i++) {
		struct sock_addr a = {.family = (uint16_t)family};
		if (family == AF_INET)
			a.in.addr = ip_to_v4(&src[i]);
		else
			memcpy(a.in6.addr, src[i].b, 16);
		memcpy(val + GROUP_FILTER_HEAD + i * STORAGE, &a.sa, STORAGE);
	}
	*len = GROUP_FILTER_HEAD + MIN(n, room) * STORAGE;
	return 0;
}

int inet_mc_getsockopt(struct inet_sock *s, int family, int name, void *val, uint32_t *len)
{
	return name == IP_MSFILTER && family == AF_INET ? get_filter4(s, val, len)
							: get_filter(s, family, val, len);
}
