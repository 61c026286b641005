/* Options at level SOL_IPV6: ipv6(7), RFC 3493, 3542; net/ipv6/ipv6_sockglue.c. */
#include <linux/capability.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/mem.h"

/* linux/in6.h, which does not go with netinet/in.h */
#define IPV6_FLOWINFO_ 11
#define IPV6_FLOWLABEL_MGR_ 32
#define IPV6_FLOWINFO_SEND_ 33
#define IPV6_MIN_MTU_ 1280
#define PREFER_TMP 0x1u
#define PREFER_PUBLIC 0x2u
#define PREFER_COA 0x4u
#define PREFER_CGA 0x8u
#define PREFER_PUBTMP_DEFAULT 0x100u
#define PREFER_HOME 0x400u
#define PREFER_NONCGA 0x800u

/* --- plain switches --- */

static const struct {
	int name;
	uint32_t bit;
} cmsgs[] = {
	{IPV6_RECVPKTINFO, INET_CMSG_PKTINFO6},
	{IPV6_2292PKTINFO, INET_CMSG_2292PKTINFO},
	{IPV6_RECVHOPLIMIT, INET_CMSG_HOPLIMIT},
	{IPV6_2292HOPLIMIT, INET_CMSG_2292HOPLIMIT},
	{IPV6_RECVRTHDR, INET_CMSG_RTHDR},
	{IPV6_2292RTHDR, INET_CMSG_2292RTHDR},
	{IPV6_RECVHOPOPTS, INET_CMSG_HOPOPTS},
	{IPV6_2292HOPOPTS, INET_CMSG_2292HOPOPTS},
	{IPV6_RECVDSTOPTS, INET_CMSG_DSTOPTS},
	{IPV6_2292DSTOPTS, INET_CMSG_2292DSTOPTS},
	{IPV6_RECVTCLASS, INET_CMSG_TCLASS},
	{IPV6_FLOWINFO_, INET_CMSG_FLOWINFO},
	{IPV6_RECVPATHMTU, INET_CMSG_PATHMTU},
	{IPV6_RECVORIGDSTADDR, INET_CMSG_ORIGDST6},
	{IPV6_RECVFRAGSIZE, INET_CMSG_FRAGSIZE6}, /* without a value it is off */
	{IPV6_FLOWINFO_SEND_, INET_CMSG_SNDFLOW},
};

static uint32_t cmsg_bit(int name)
{
	for (size_t i = 0; i < ARRAY_LEN(cmsgs); i++)
		if (cmsgs[i].name == name)
			return cmsgs[i].bit;
	return 0;
}

#define ANY_LEN 1u   /* a value that is too short is 0 */
#define BOOL_ONLY 2u /* -EINVAL but for 0 and 1 */
static const struct {
	int name;
	uint32_t off, how;
} switches[] = {
	{IPV6_MULTICAST_LOOP, offsetof(struct inet_sock, mc_loop6), BOOL_ONLY},
	{IPV6_MULTICAST_ALL, offsetof(struct inet_sock, mc_all6), 0},
	{IPV6_RECVERR, offsetof(struct inet_sock, recverr6), 0},
	{IPV6_RECVERR_RFC4884, offsetof(struct inet_sock, recverr_rfc4884), BOOL_ONLY},
	{IPV6_AUTOFLOWLABEL, offsetof(struct inet_sock, autoflowlabel), ANY_LEN},
	{IPV6_DONTFRAG, offsetof(struct inet_sock, dontfrag6), ANY_LEN},
	{IPV6_TRANSPARENT, offsetof(struct inet_sock, transparent), 0},
	{IPV6_FREEBIND, offsetof(struct inet_sock, freebind), 0},
	{IPV6_V6ONLY, offsetof(struct inet_sock, v6only), 0},
};

static bool *switch_of(struct inet_sock *s, int name, uint32_t *how)
{
	for (size_t i = 0; i < ARRAY_LEN(switches); i++)
		if (switches[i].name == name) {
			*how = switches[i].how;
			return (bool *)((char *)s + switches[i].off);
		}
	return NULL;
}

static int set_v6only(struct inet_sock *s, bool on)
{
	inet_lock(s);
	int err = s->lport ? -EINVAL : 0;
	if (!err)
		WRITE_ONCE(s->v6only, on);
	inet_unlock(s);
	return err;
}

static int set_switch(struct ctx *ctx, struct inet_sock *s, int name, bool *at, uint32_t how, int v,
	uint32_t len)
{
	if (name == IPV6_TRANSPARENT && v && !ctx_capable(ctx, CAP_NET_RAW) &&
		!ctx_capable(ctx, CAP_NET_ADMIN))
		return -EPERM;
	if (!(how & ANY_LEN) && len < sizeof(v))
		return -EINVAL;
	if ((how & BOOL_ONLY) && v != 0 && v != 1)
		return -EINVAL;
	if (name == IPV6_V6ONLY)
		return set_v6only(s, v != 0);
	WRITE_ONCE(*at, v != 0);
	if (name == IPV6_RECVERR && !v)
		inet_purge_errors(s);
	return 0;
}

/* --- numbers --- */

static int set_tclass(struct inet_sock *s, int v)
{
	uint8_t tc = (uint8_t)(v == -1 ? 0 : v);
	if (v < -1 || v > 255)
		return -EINVAL;
	if (s->sk.type == SOCK_STREAM)
		tc = (uint8_t)((tc & ~3u) | (s->tclass & 3u));
	WRITE_ONCE(s->tclass, tc);
	return 0;
}

static int check_link(struct inet_sock *s, int32_t ifindex, int none)
{
	struct link *l = link_by_index(s->sk.net, ifindex);
	int32_t dev = READ_ONCE(s->bound_if);
	if (!l)
		return none;
	link_put(l);
	return dev && dev != ifindex ? -EINVAL : 0;
}

static int set_multicast_if(struct inet_sock *s, int32_t ifindex)
{
	int err = ifindex ? check_link(s, ifindex, -ENODEV) : 0;
	if (!err)
		WRITE_ONCE(s->mc_if6, ifindex);
	return err;
}

static int set_unicast_if(struct inet_sock *s, uint32_t v, uint32_t len)
{
	int32_t ifindex = (int32_t)ntohl(v);
	int err = len != sizeof(v) ? -EINVAL : ifindex ? check_link(s, ifindex, -EADDRNOTAVAIL) : 0;
	if (!err)
		WRITE_ONCE(s->ucast_if6, ifindex);
	return err;
}

/* Linux' ip6_sock_set_addr_preferences: one of each group at most. */
static int set_preferences(struct inet_sock *s, uint32_t v)
{
	uint32_t set = 0, keep = ~0u;
	switch (v & (PREFER_PUBLIC | PREFER_TMP | PREFER_PUBTMP_DEFAULT)) {
	case PREFER_PUBLIC:
	case PREFER_TMP:
		set |= v & (PREFER_PUBLIC | PREFER_TMP);
		keep &= ~(PREFER_PUBLIC | PREFER_TMP);
		break;
	case PREFER_PUBTMP_DEFAULT:
		keep &= ~(PREFER_PUBLIC | PREFER_TMP);
		break;
	case 0:
		break;
	default:
		return -EINVAL;
	}
	switch (v & (PREFER_HOME | PREFER_COA)) {
	case PREFER_HOME:
		keep &= ~PREFER_COA;
		break;
	case PREFER_COA:
		set |= PREFER_COA;
		break;
	case 0:
		break;
	default:
		return -EINVAL;
	}
	if ((v & (PREFER_CGA | PREFER_NONCGA)) == (PREFER_CGA | PREFER_NONCGA))
		return -EINVAL;
	inet_lock(s);
	struct inet_opt *o = inet_opt_get(s);
	if (o)
		o->addr_prefs = (o->addr_prefs & keep) | set;
	inet_unlock(s);
	return o ? 0 : -ENOBUFS;
}

/* IPV6_ADDRFORM: a connection to an IPv4 peer becomes a socket of AF_INET. */
static int set_addrform(struct inet_sock *s, int v)
{
	if (v != AF_INET)
		return -EINVAL;
	if (s->kind != INET_UDP && s->kind != INET_TCP)
		return -ENOPROTOOPT;
	inet_lock(s);
	int err = 0;
	if (!inet_is_connected(s))
		err = -ENOTCONN;
	else if (s->v6only || !ip_is_v4(&s->remote))
		err = -EADDRNOTAVAIL;
	else
		WRITE_ONCE(s->sk.family, AF_INET);
	inet_unlock(s);
	return err;
}

static bool is_number(int name)
{
	static const int names[] = {IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MTU,
		IPV6_MINHOPCOUNT, IPV6_MTU_DISCOVER, IPV6_TCLASS, IPV6_MULTICAST_IF,
		IPV6_UNICAST_IF, IPV6_ADDR_PREFERENCES, IPV6_ADDRFORM, IPV6_JOIN_ANYCAST,
		IPV6_LEAVE_ANYCAST, IPV6_ROUTER_ALERT, IPV6_ROUTER_ALERT_ISOLATE,
		IPV6_FLOWLABEL_MGR_};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i] == name)
			return true;
	return false;
}

static int set_number(struct inet_sock *s, int name, int v, uint32_t len)
{
	bool stream = s->sk.type == SOCK_STREAM;
	if ((name == IPV6_MULTICAST_HOPS || name == IPV6_MULTICAST_IF) && stream)
		return -ENOPROTOOPT;
	if (len < sizeof(v)) /* of one that is there */
		return is_number(name) ? -EINVAL : -ENOPROTOOPT;
	switch (name) {
	case IPV6_UNICAST_HOPS:
		if (v > 255 || v < -1)
			return -EINVAL;
		WRITE_ONCE(s->hop_limit, (int16_t)v);
		return 0;
	case IPV6_MULTICAST_HOPS:
		if (v > 255 || v < -1)
			return -EINVAL;
		WRITE_ONCE(s->mc_hops, (int16_t)(v == -1 ? 1 : v));
		return 0;
	case IPV6_MTU:
		if (v && v < IPV6_MIN_MTU_)
			return -EINVAL;
		WRITE_ONCE(s->frag_size6, (uint32_t)v);
		return 0;
	case IPV6_MINHOPCOUNT:
		if (v < 0 || v > 255)
			return -EINVAL;
		WRITE_ONCE(s->min_hops, (uint8_t)v);
		return 0;
	case IPV6_MTU_DISCOVER:
		if (v < IP_PMTU_DONT || v > IP_PMTU_OMIT)
			return -EINVAL;
		WRITE_ONCE(s->pmtudisc6, (uint8_t)v);
		return 0;
	case IPV6_TCLASS:
		return set_tclass(s, v);
	case IPV6_MULTICAST_IF:
		return set_multicast_if(s, v);
	case IPV6_UNICAST_IF:
		return set_unicast_if(s, (uint32_t)v, len);
	case IPV6_ADDR_PREFERENCES:
		return set_preferences(s, (uint32_t)v);
	case IPV6_ADDRFORM:
		return set_addrform(s, v);
	default:
		return -ENOPROTOOPT;
	}
}

/* --- sticky headers (RFC 3542) --- */

static struct inet_ext *ext_of(struct inet_opt *o, int name)
{
	switch (name) {
	case IPV6_HOPOPTS:
		return &o->hop;
	case IPV6_RTHDRDSTOPTS:
		return &o->dst0;
	case IPV6_RTHDR:
		return &o->rthdr;
	default:
		return &o->dst1;
	}
}

/* e is taken over on success. */
static int replace_ext(struct inet_sock *s, int name, struct inet_ext e) REQUIRES(s->sk.lock)
{
	struct inet_opt *o = inet_opt_get(s);
	uint8_t *buf, first = 0;
	uint32_t n;
	if (!o)
		return -ENOBUFS;
	struct inet_ext *at = ext_of(o, name), old = *at;
	*at = e;
	if (inet_ext_chain(&o->hop, &o->dst0, &o->rthdr, &o->dst1, &buf, &n, &first)) {
		*at = old;
		return -ENOBUFS;
	}
	net_buf_free(old.data, old.len);
	net_buf_free(o->ext, o->ext_len);
	o->ext = buf;
	o->ext_len = n;
	o->ext_first = first;
	return 0;
}

static int set_ext(struct ctx *ctx, struct inet_sock *s, int name, const uint8_t *val, uint32_t len)
{
	struct inet_ext e = {0};
	if (name != IPV6_RTHDR && !ctx_capable(ctx, CAP_NET_RAW))
		return -EPERM;
	if (len) {
		if (len < 2 || (len & 7) || len > 8 * 255 || (val[1] + 1u) * 8 > len)
			return -EINVAL;
		e.len = (val[1] + 1u) * 8;
		if (name == IPV6_RTHDR && !inet_rthdr_ok(val, e.len))
			return -EINVAL;
		e.data = net_buf_alloc(e.len);
		if (!e.data)
			return -ENOBUFS;
		memcpy(e.data, val, e.len);
	}
	inet_lock(s);
	int err = replace_ext(s, name, e);
	inet_unlock(s);
	if (err)
		net_buf_free(e.data, e.len);
	return err;
}

static int get_ext(struct inet_sock *s, int name, void *val, uint32_t *len)
{
	inet_lock(s);
	struct inet_ext e = s->opt ? *ext_of(s->opt, name) : (struct inet_ext){0};
	*len = MIN(*len, e.len);
	if (*len)
		memcpy(val, e.data, *len);
	inet_unlock(s);
	return 0;
}

static int set_pktinfo(struct inet_sock *s, const void *val, uint32_t len)
{
	struct in6_pktinfo i;
	if (len < sizeof(i))
		return -EINVAL;
	memcpy(&i, val, sizeof(i));
	int32_t dev = READ_ONCE(s->bound_if);
	if (i.ipi6_ifindex && dev && dev != (int32_t)i.ipi6_ifindex)
		return -EINVAL;
	inet_lock(s);
	struct inet_opt *o = inet_opt_get(s);
	if (o) {
		o->pktinfo6 = ip_v6(&i.ipi6_addr);
		o->pktinfo6_if = (int32_t)i.ipi6_ifindex;
	}
	inet_unlock(s);
	return o ? 0 : -ENOBUFS;
}

int inet6_setsockopt(struct ctx *ctx, struct inet_sock *s, int name, const void *val, uint32_t len)
{
	uint32_t how = 0, bit = cmsg_bit(name);
	bool *sw = switch_of(s, name, &how);
	int v = 0;
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	if (bit) {
		if (len < sizeof(v) && bit != INET_CMSG_FRAGSIZE6)
			return -EINVAL;
		inet_set_cmsg(s, bit, v);
		return 0;
	}
	if (sw)
		return set_switch(ctx, s, name, sw, how, v, len);
	switch (name) {
	case IPV6_HOPOPTS:
	case IPV6_RTHDRDSTOPTS:
	case IPV6_RTHDR:
	case IPV6_DSTOPTS:
		return set_ext(ctx, s, name, val, len);
	case IPV6_PKTINFO:
		return set_pktinfo(s, val, len);
	}
	if (inet_mc_is_option(name, AF_INET6))
		return inet_mc_setsockopt(s, AF_INET6, name, val, len);
	return set_number(s, name, v, len);
}

/* --- getsockopt --- */

static uint32_t route_mtu(struct inet_sock *s)
{
	inet_lock(s);
	bool known = inet_is_connected(s) && !inet_route(s);
	uint32_t mtu = known ? ip_mtu(&s->route) : 0;
	inet_unlock(s);
	return mtu;
}

static int get_path_mtu(struct inet_sock *s, void *val, uint32_t *len)
{
	struct {
		struct abi_sockaddr_in6 addr;
		uint32_t mtu;
	} i = {0};
	if (*len < sizeof(i))
		return -EINVAL;
	i.mtu = route_mtu(s);
	if (!i.mtu)
		return -ENOTCONN;
	*len = sizeof(i);
	memcpy(val, &i, sizeof(i));
	return 0;
}

static int get_preferences(const struct inet_sock *s)
{
	uint32_t p = s->opt ? s->opt->addr_prefs : 0, v;
	v = p & PREFER_TMP ? PREFER_TMP : p & PREFER_PUBLIC ? PREFER_PUBLIC : PREFER_PUBTMP_DEFAULT;
	return (int)(v | (p & PREFER_COA ? PREFER_COA : PREFER_HOME));
}

static int hops(struct inet_sock *s, int32_t v)
{
	return v >= 0 ? v : ip_conf_get(s->sk.net, NULL, IP_CONF_ALL, IP_CONF_6_hop_limit);
}

static int get_number(struct inet_sock *s, int name, int *v)
{
	switch (name) {
	case IPV6_UNICAST_HOPS:
		*v = hops(s, READ_ONCE(s->hop_limit));
		return 0;
	case IPV6_MULTICAST_HOPS:
		*v = hops(s, READ_ONCE(s->mc_hops));
		return 0;
	case IPV6_MINHOPCOUNT:
		*v = READ_ONCE(s->min_hops);
		return 0;
	case IPV6_MTU_DISCOVER:
		*v = READ_ONCE(s->pmtudisc6);
		return 0;
	case IPV6_TCLASS:
		*v = READ_ONCE(s->tclass);
		return 0;
	case IPV6_MULTICAST_IF:
		*v = READ_ONCE(s->mc_if6);
		return 0;
	case IPV6_UNICAST_IF:
		*v = (int)htonl((uint32_t)READ_ONCE(s->ucast_if6));
		return 0;
	case IPV6_MTU:
		*v = (int)route_mtu(s);
		return *v ? 0 : -ENOTCONN;
	case IPV6_ADDR_PREFERENCES:
		*v = get_preferences(s);
		return 0;
	case IPV6_ROUTER_ALERT:
	case IPV6_ROUTER_ALERT_ISOLATE:
		*v = 0;
		return 0;
	case IPV6_ADDRFORM:
		*v = AF_INET6;
		if (s->kind != INET_UDP && s->kind != INET_TCP)
			return -ENOPROTOOPT;
		return inet_is_connected(s) ? 0 : -ENOTCONN;
	default:
		return -ENOPROTOOPT;
	}
}

int inet6_getsockopt(struct inet_sock *s, int name, void *val, uint32_t *len)
{
	uint32_t how = 0, bit = cmsg_bit(name);
	bool *sw = switch_of(s, name, &how);
	int v = 0, err = 0;
	switch (name) {
	case IPV6_HOPOPTS:
	case IPV6_RTHDRDSTOPTS:
	case IPV6_RTHDR:
	case IPV6_DSTOPTS:
		return get_ext(s, name, val, len);
	case IPV6_PATHMTU:
		return get_path_mtu(s, val, len);
	case MCAST_MSFILTER:
		return inet_mc_getsockopt(s, AF_INET6, name, val, len);
	}
	if (bit)
		v = (READ_ONCE(s->cmsg) & bit) != 0;
	else if (sw)
		v = READ_ONCE(*sw);
	else
		err = get_number(s, name, &v);
	if (err)
		return err;
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}
