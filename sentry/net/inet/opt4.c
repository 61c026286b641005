/* Options at level SOL_IP: ip(7); checks in the order of net/ipv4/ip_sockglue.c. */
#include <linux/capability.h>
#include <netinet/ip.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"

#define IP_LOCAL_PORT_RANGE_ 51
#define IP_PROTOCOL_ 52

/* --- plain switches --- */

static const struct {
	int name;
	uint32_t bit; /* INET_CMSG_* */
} cmsgs[] = {
	{IP_PKTINFO, INET_CMSG_PKTINFO4},
	{IP_RECVTTL, INET_CMSG_TTL},
	{IP_RECVTOS, INET_CMSG_TOS},
	{IP_RECVOPTS, INET_CMSG_RECVOPTS},
	{IP_RETOPTS, INET_CMSG_RETOPTS},
	{IP_RECVORIGDSTADDR, INET_CMSG_ORIGDST},
	{IP_RECVFRAGSIZE, INET_CMSG_FRAGSIZE},
	{IP_CHECKSUM, INET_CMSG_CHECKSUM},
};

static uint32_t cmsg_bit(int name)
{
	for (size_t i = 0; i < ARRAY_LEN(cmsgs); i++)
		if (cmsgs[i].name == name)
			return cmsgs[i].bit;
	return 0;
}

#define CHAR_MUST_BE 1u /* -EINVAL without a value */
#define BOOL_ONLY 2u    /* -EINVAL but for 0 and 1 */
#define RAW_ONLY 4u
static const struct {
	int name;
	uint32_t off, how;
} switches[] = {
	{IP_RECVERR_RFC4884, offsetof(struct inet_sock, recverr_rfc4884), BOOL_ONLY},
	{IP_FREEBIND, offsetof(struct inet_sock, freebind), CHAR_MUST_BE},
	{IP_HDRINCL, offsetof(struct inet_sock, hdrincl), RAW_ONLY},
	{IP_MULTICAST_LOOP, offsetof(struct inet_sock, mc_loop4), CHAR_MUST_BE},
	{IP_MULTICAST_ALL, offsetof(struct inet_sock, mc_all4), CHAR_MUST_BE | BOOL_ONLY},
	{IP_NODEFRAG, offsetof(struct inet_sock, nodefrag), RAW_ONLY},
	{IP_BIND_ADDRESS_NO_PORT, offsetof(struct inet_sock, bind_no_port), 0},
	{IP_RECVERR, offsetof(struct inet_sock, recverr4), 0},
	{IP_PASSSEC, offsetof(struct inet_sock, passsec), 0},
	{IP_TRANSPARENT, offsetof(struct inet_sock, transparent), CHAR_MUST_BE},
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

static int set_switch(struct ctx *ctx, struct inet_sock *s, int name, bool *at, uint32_t how, int v,
	uint32_t len)
{
	if ((how & RAW_ONLY) && s->sk.type != SOCK_RAW)
		return -ENOPROTOOPT;
	if (name == IP_TRANSPARENT && v && !ctx_capable(ctx, CAP_NET_RAW) &&
		!ctx_capable(ctx, CAP_NET_ADMIN))
		return -EPERM;
	if ((how & CHAR_MUST_BE) && len < 1)
		return -EINVAL;
	if ((how & BOOL_ONLY) && v != 0 && v != 1)
		return -EINVAL;
	WRITE_ONCE(*at, v != 0);
	if (name == IP_RECVERR && !v)
		inet_purge_errors(s);
	return 0;
}

/* --- numbers --- */

/* Linux' rt_tos2priority. */
uint8_t inet_tos_priority(uint8_t tos)
{
	static const uint8_t by_tos[16] = {0, 1, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4};
	return by_tos[(tos & IPTOS_TOS_MASK) >> 1];
}

static int set_tos(struct inet_sock *s, int v)
{
	uint8_t tos = (uint8_t)v;
	if (s->sk.type == SOCK_STREAM) /* ECN is TCP's own */
		tos = (uint8_t)((tos & ~3u) | (s->tos & 3u));
	WRITE_ONCE(s->tos, tos);
	WRITE_ONCE(s->sk.priority, inet_tos_priority(tos));
	return 0;
}

static int set_port_range(struct inet_sock *s, uint32_t v, uint32_t len)
{
	uint16_t lo = (uint16_t)v, hi = (uint16_t)(v >> 16);
	if (len != sizeof(v) || (lo && hi && lo > hi))
		return -EINVAL;
	WRITE_ONCE(s->port_lo, lo);
	WRITE_ONCE(s->port_hi, hi);
	return 0;
}

/* -EADDRNOTAVAIL: there is no such link; -EINVAL: the socket is bound to another one. */
static int check_link(struct inet_sock *s, int32_t ifindex)
{
	struct link *l = link_by_index(s->sk.net, ifindex);
	int32_t dev = READ_ONCE(s->bound_if);
	if (!l)
		return -EADDRNOTAVAIL;
	link_put(l);
	return dev && dev != ifindex ? -EINVAL : 0;
}

static int set_unicast_if(struct inet_sock *s, uint32_t v, uint32_t len)
{
	int32_t ifindex = (int32_t)ntohl(v);
	int err = len != sizeof(v) ? -EINVAL : ifindex ? check_link(s, ifindex) : 0;
	if (!err)
		WRITE_ONCE(s->ucast_if4, ifindex);
	return err;
}

static int set_multicast_if(struct inet_sock *s, const void *val, uint32_t len)
{
	struct ip_mreqn r = {0};
	struct ip_ifaddr a;
	if (s->sk.type == SOCK_STREAM || len < sizeof(struct in_addr))
		return -EINVAL;
	if (len >= sizeof(r))
		memcpy(&r, val, sizeof(r));
	else if (len >= sizeof(struct ip_mreq))
		memcpy(&r, val, sizeof(struct ip_mreq));
	else
		memcpy(&r.imr_address, val, sizeof(r.imr_address));
	struct ip_addr addr = ip_v4(r.imr_address.s_addr);
	if (!r.imr_ifindex && !ip_is_any(&addr)) {
		if (!ip_addr_get(s->sk.net, &addr, 0, &a))
			return -EADDRNOTAVAIL;
		r.imr_ifindex = a.index;
	}
	int err = r.imr_ifindex ? check_link(s, r.imr_ifindex) : 0;
	if (err)
		return err;
	inet_lock(s);
	WRITE_ONCE(s->mc_if4, r.imr_ifindex);
	s->mc_addr4 = addr;
	inet_unlock(s);
	return 0;
}

static int set_number(struct inet_sock *s, int name, int v, uint32_t len)
{
	switch (name) {
	case IP_TTL:
		if (len < 1 || (v != -1 && (v < 1 || v > 255)))
			return -EINVAL;
		WRITE_ONCE(s->ttl, (int16_t)v);
		return 0;
	case IP_MINTTL:
		if (len < 1 || v < 0 || v > 255)
			return -EINVAL;
		WRITE_ONCE(s->min_ttl, (uint8_t)v);
		return 0;
	case IP_MULTICAST_TTL:
		if (v == -1)
			v = 1;
		if (s->sk.type == SOCK_STREAM || len < 1 || v < 0 || v > 255)
			return -EINVAL;
		WRITE_ONCE(s->mc_ttl, (int16_t)v);
		return 0;
	case IP_MTU_DISCOVER:
		if (v < IP_PMTU_DONT || v > IP_PMTU_OMIT)
			return -EINVAL;
		WRITE_ONCE(s->pmtudisc4, (uint8_t)v);
		return 0;
	case IP_TOS:
		return set_tos(s, v);
	case IP_LOCAL_PORT_RANGE_:
		return set_port_range(s, (uint32_t)v, len);
	case IP_UNICAST_IF:
		return set_unicast_if(s, (uint32_t)v, len);
	case IP_ROUTER_ALERT: /* for raw sockets that forward IGMP or RSVP: none does here */
		return s->sk.type == SOCK_RAW && s->proto != IPPROTO_RAW ? -ENOPROTOOPT : -EINVAL;
	default:
		return -ENOPROTOOPT;
	}
}

static int set_options(struct ctx *ctx, struct inet_sock *s, const void *val, uint32_t len)
{
	uint8_t opt[40], n;
	struct ip_addr via;
	if (len > sizeof(opt))
		return -EINVAL;
	int err = inet_ip4_options(ctx, val, len, opt, &n, &via);
	if (err)
		return err;
	inet_lock(s);
	struct inet_opt *o = n || s->opt ? inet_opt_get(s) : NULL;
	if (o) {
		memcpy(o->ip4, opt, sizeof(opt));
		o->ip4_len = n;
		o->ip4_via = via;
	}
	err = n && !o ? -ENOBUFS : 0;
	inet_unlock(s);
	return err;
}

int inet4_setsockopt(struct ctx *ctx, struct inet_sock *s, int name, const void *val, uint32_t len)
{
	uint32_t how = 0, bit = cmsg_bit(name);
	bool *sw = switch_of(s, name, &how);
	int v = 0;
	if (len >= sizeof(v))
		memcpy(&v, val, sizeof(v));
	else if (len)
		v = *(const uint8_t *)val;
	if (name == IP_RECVFRAGSIZE && s->sk.type == SOCK_STREAM)
		return -EINVAL;
	if (bit) {
		inet_set_cmsg(s, bit, v);
		return 0;
	}
	if (sw)
		return set_switch(ctx, s, name, sw, how, v, len);
	if (name == IP_OPTIONS)
		return set_options(ctx, s, val, len);
	if (name == IP_MULTICAST_IF)
		return set_multicast_if(s, val, len);
	if (inet_mc_is_option(name, AF_INET))
		return inet_mc_setsockopt(s, AF_INET, name, val, len);
	return set_number(s, name, v, len);
}

/* --- getsockopt --- */

static int get_mtu(struct inet_sock *s, int *v)
{
	inet_lock(s);
	bool known = inet_is_connected(s) && !inet_route(s);
	*v = known ? (int)ip_mtu(&s->route) : 0;
	inet_unlock(s);
	return *v ? 0 : -ENOTCONN;
}

static int get_number(struct inet_sock *s, int name, int *v)
{
	int32_t ttl = READ_ONCE(s->ttl);
	switch (name) {
	case IP_TTL:
		*v = ttl >= 0 ? ttl : READ_ONCE(s->sk.net->ctl.ip_default_ttl);
		return 0;
	case IP_MINTTL:
		*v = READ_ONCE(s->min_ttl);
		return 0;
	case IP_MULTICAST_TTL:
		*v = READ_ONCE(s->mc_ttl);
		return 0;
	case IP_MTU_DISCOVER:
		*v = READ_ONCE(s->pmtudisc4);
		return 0;
	case IP_TOS:
		*v = READ_ONCE(s->tos);
		return 0;
	case IP_LOCAL_PORT_RANGE_:
		*v = (int)((uint32_t)READ_ONCE(s->port_hi) << 16 | READ_ONCE(s->port_lo));
		return 0;
	case IP_UNICAST_IF:
		*v = (int)htonl((uint32_t)READ_ONCE(s->ucast_if4));
		return 0;
	case IP_ROUTER_ALERT:
		*v = 0;
		return 0;
	case IP_MTU:
		return get_mtu(s, v);
	case IP_PROTOCOL_:
		*v = s->kind == INET_RAW ? s->proto : READ_ONCE(s->lport);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

/* Values that fit in a byte are given as one to whom asks for less than an int. */
static int put_number(int v, void *val, uint32_t *len)
{
	if (*len < sizeof(v) && *len > 0 && v >= 0 && v <= 255) {
		*(uint8_t *)val = (uint8_t)v;
		*len = 1;
		return 0;
	}
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}

static int get_options(struct inet_sock *s, void *val, uint32_t *len)
{
	inet_lock(s);
	*len = s->opt ? MIN(*len, (uint32_t)s->opt->ip4_len) : 0;
	if (*len)
		memcpy(val, s->opt->ip4, *len);
	inet_unlock(s);
	return 0;
}

static int get_multicast_if(struct inet_sock *s, void *val, uint32_t *len)
{
	uint32_t be = ip_to_v4(&s->mc_addr4);
	*len = MIN(*len, (uint32_t)sizeof(be));
	memcpy(val, &be, *len);
	return 0;
}

int inet4_getsockopt(struct inet_sock *s, int name, void *val, uint32_t *len)
{
	uint32_t how = 0, bit = cmsg_bit(name);
	bool *sw = switch_of(s, name, &how);
	int v = 0, err = 0;
	if (bit)
		v = (READ_ONCE(s->cmsg) & bit) != 0;
	else if (sw)
		v = READ_ONCE(*sw);
	else if (name == IP_OPTIONS)
		return get_options(s, val, len);
	else if (name == IP_MULTICAST_IF)
		return get_multicast_if(s, val, len);
	else if (name == IP_MSFILTER || name == MCAST_MSFILTER)
		return inet_mc_getsockopt(s, AF_INET, name, val, len);
	else
		err = get_number(s, name, &v);
	return err ? err : put_number(v, val, len);
}
