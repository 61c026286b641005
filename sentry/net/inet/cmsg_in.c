/*
 * Control messages of sendmsg(2), checked in Linux' order: __sock_cmsg_send, ip_cmsg_send,
 * ip6_datagram_send_ctl (RFC 3542).
 */
#include <linux/capability.h>
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/mem.h"

#define IPV6_FLOWINFO_ 11
#define IP_PROTOCOL_ 52
#define SCM_TS_OPT_ID_ 81

/* Headers of one message that are not yet one chain. */
struct exts {
	struct inet_ext hop, dst0, rthdr, dst1;
};

void inet_cmsg_fini(struct inet_cmsg_tx *c)
{
	net_buf_free(c->buf, c->buf_len);
	c->buf = NULL;
}

int inet_cmsg_own(struct inet_cmsg_tx *c)
{
	if (!c->opt_len || c->buf)
		return 0;
	uint8_t *buf = buf_alloc(c->opt_len);
	if (!buf)
		return -ENOBUFS;
	memcpy(buf, c->opt, c->opt_len);
	c->opt = c->buf = buf;
	c->buf_len = c->opt_len;
	return 0;
}

void inet_cmsg_init(struct inet_sock *s, bool v4, struct inet_cmsg_tx *c)
{
	struct inet_opt *o = s->opt;
	memset(c, 0, sizeof(*c));
	c->ttl = c->tos = c->hop_limit = c->tclass = c->dontfrag = -1;
	c->src = c->via = IP_ANY6;
	c->tsflags = READ_ONCE(s->sk.tsflags);
	if (likely(!o))
		return;
	if (v4) {
		c->opt = o->ip4;
		c->opt_len = o->ip4_len;
		c->via = o->ip4_via;
	} else {
		c->opt = o->ext;
		c->opt_len = (uint16_t)o->ext_len;
		c->opt_first = o->ext_first;
		c->oif = o->pktinfo6_if;
		if (!ip_is_any(&o->pktinfo6)) {
			c->src = o->pktinfo6;
			c->has_src = true;
		}
	}
}

void inet_cmsg_flow(const struct inet_cmsg_tx *c, struct flow *f)
{
	if (c->oif)
		f->oif = c->oif;
	if (c->has_src)
		f->src = c->src;
	if (c->has_mark)
		f->mark = c->mark;
	if (c->tos >= 0 && ip_is_v4(&f->dst))
		f->tos = (uint8_t)c->tos & 0xfc;
	if (c->flowinfo)
		f->flowlabel = ntohl(c->flowinfo) & 0xfffff;
	if (!ip_is_any(&c->via))
		f->dst = c->via;
}

void inet_cmsg_ip_tx(const struct inet_cmsg_tx *c, bool v4, struct ip_tx *tx)
{
	tx->opt = c->opt;
	tx->opt_len = c->opt_len;
	tx->opt_first = c->opt_first;
	if (c->has_mark)
		tx->mark = c->mark;
	if (c->has_priority)
		tx->priority = c->priority;
	if (v4) {
		if (c->ttl >= 0)
			tx->ttl = (int16_t)c->ttl;
		if (c->tos >= 0)
			tx->tos = (uint8_t)c->tos;
		return;
	}
	if (c->hop_limit >= 0)
		tx->ttl = (int16_t)c->hop_limit;
	if (c->tclass >= 0)
		tx->tos = (uint8_t)c->tclass;
	if (c->dontfrag >= 0)
		tx->nodefrag = c->dontfrag;
	if (c->flowinfo)
		tx->flowlabel = ntohl(c->flowinfo) & 0xfffff;
}

/* --- SOL_SOCKET --- */

#define TX_RECORD                                                                                  \
	(SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_SCHED | \
		SOF_TIMESTAMPING_TX_ACK)

static void set_priority(struct inet_cmsg_tx *c, uint32_t v)
{
	c->priority = v;
	c->has_priority = true;
}

static int socket_cmsg(struct ctx *ctx, struct inet_sock *s, const struct abi_cmsghdr *h,
	const uint8_t *data, struct inet_cmsg_tx *c)
{
	uint64_t n = h->cmsg_len - sizeof(*h);
	bool raw = ctx_capable(ctx, CAP_NET_RAW) || ctx_capable(ctx, CAP_NET_ADMIN);
	uint32_t v = 0;
	if (n >= sizeof(v))
		memcpy(&v, data, sizeof(v));
	switch (h->cmsg_type) {
	case SO_MARK:
		if (!raw)
			return -EPERM;
		if (n != sizeof(v))
			return -EINVAL;
		c->mark = v;
		c->has_mark = true;
		return 0;
	case SO_TIMESTAMPING_OLD:
	case SO_TIMESTAMPING_NEW:
		if (n != sizeof(v) || (v & ~(uint32_t)TX_RECORD))
			return -EINVAL;
		c->tsflags = (c->tsflags & ~(uint32_t)TX_RECORD) | v;
		return 0;
	case SO_PRIORITY:
		if (n != sizeof(v))
			return -EINVAL;
		if (v > 6 && !raw)
			return -EPERM;
		set_priority(c, v);
		return 0;
	case SO_TXTIME: /* no link delays by it */
		return n == sizeof(uint64_t) && sock_flag(&s->sk, SOCK_F_TXTIME) ? 0 : -EINVAL;
	case SCM_TS_OPT_ID_:
		if (n != sizeof(v) || s->kind == INET_TCP ||
			!(READ_ONCE(s->sk.tsflags) & SOF_TIMESTAMPING_OPT_ID))
			return -EINVAL;
		c->tskey = v;
		c->has_tskey = true;
		return 0;
	case SCM_RIGHTS:
	case SCM_CREDENTIALS:
		return 0;
	default:
		return -EINVAL;
	}
}

/* --- SOL_IP --- */

static int pktinfo4(const uint8_t *data, uint64_t n, struct inet_cmsg_tx *c)
{
	struct in_pktinfo i;
	if (n != sizeof(i))
		return -EINVAL;
	memcpy(&i, data, sizeof(i));
	if (i.ipi_ifindex)
		c->oif = i.ipi_ifindex;
	c->src = ip_v4(i.ipi_spec_dst.s_addr);
	c->has_src = i.ipi_spec_dst.s_addr != 0;
	return 0;
}

static int retopts(struct ctx *ctx, const uint8_t *data, uint64_t n, struct inet_cmsg_tx *c)
{
	uint8_t len;
	inet_cmsg_fini(c);
	c->buf = net_buf_alloc(c->buf_len = 40);
	if (!c->buf)
		return -ENOBUFS;
	c->via = IP_ANY6;
	int err = inet_ip4_options(ctx, data, (uint32_t)MIN(n, 40ul), c->buf, &len, &c->via);
	c->opt = c->buf;
	c->opt_len = len;
	return err;
}

static int ip4_cmsg(struct ctx *ctx, const struct abi_cmsghdr *h, const uint8_t *data,
	struct inet_cmsg_tx *c)
{
	uint64_t n = h->cmsg_len - sizeof(*h);
	int32_t v = n == 1 ? data[0] : 0;
	if (n == sizeof(v))
		memcpy(&v, data, sizeof(v));
	switch (h->cmsg_type) {
	case IP_RETOPTS:
		return retopts(ctx, data, n, c);
	case IP_PKTINFO:
		return pktinfo4(data, n, c);
	case IP_TTL:
		if (n != sizeof(v) || v < 1 || v > 255)
			return -EINVAL;
		c->ttl = v;
		return 0;
	case IP_TOS:
		if ((n != sizeof(v) && n != 1) || v < 0 || v > 255)
			return -EINVAL;
		c->tos = v;
		set_priority(c, inet_tos_priority((uint8_t)v));
		return 0;
	case IP_PROTOCOL_:
		return n != sizeof(v) || v < 1 || v > 255 ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

/* --- SOL_IPV6 --- */

/* The v4 packet of a v6 socket: its IPV6_PKTINFO has mapped addresses. */
static int pktinfo_mapped(const uint8_t *data, uint64_t n, struct inet_cmsg_tx *c)
{
	struct in6_pktinfo i;
	if (n < sizeof(i))
		return -EINVAL;
	memcpy(&i, data, sizeof(i));
	struct ip_addr a = ip_v6(&i.ipi6_addr);
	if (!ip_is_v4(&a))
		return -EINVAL;
	if (i.ipi6_ifindex)
		c->oif = (int32_t)i.ipi6_ifindex;
	c->src = a;
	c->has_src = !ip_is_any(&a);
	return 0;
}

static int check_source6(struct inet_sock *s, const struct ip_addr *a, int32_t oif)
{
	if (oif) {
		struct link *l = link_by_index(s->sk.net, oif);
		if (!l)
			return -ENODEV;
		link_put(l);
	} else if (ip_is_linklocal(a)) {
		return -EINVAL;
	}
	if (ip_is_any(a) || READ_ONCE(s->freebind) || READ_ONCE(s->transparent) ||
		READ_ONCE(s->sk.net->ctl.ip6_nonlocal_bind))
		return 0;
	return ip_addr_is_local(s->sk.net, a, ip_is_linklocal(a) ? oif : 0) ? 0 : -EINVAL;
}

static int pktinfo6(struct inet_sock *s, const uint8_t *data, uint64_t n, struct inet_cmsg_tx *c)
{
	struct in6_pktinfo i;
	int32_t oif = c->oif ? c->oif : READ_ONCE(s->bound_if);
	if (n < sizeof(i))
		return -EINVAL;
	memcpy(&i, data, sizeof(i));
	struct ip_addr a = ip_v6(&i.ipi6_addr);
	if (i.ipi6_ifindex) {
		if (oif && oif != (int32_t)i.ipi6_ifindex)
			return -EINVAL;
		oif = c->oif = (int32_t)i.ipi6_ifindex;
	}
	int err = check_source6(s, &a, oif);
	if (!err && !ip_is_any(&a)) {
		c->src = a;
		c->has_src = true;
	}
	return err;
}

bool inet_rthdr_ok(const uint8_t *h, uint32_t len)
{
	/* Type 0 is dead (RFC 5095); type 2 is Mobile IPv6's, segment routing is not there. */
	return len >= 24 && h[1] == 2 && h[2] == 2 && h[3] == 1;
}

static int ext6(struct ctx *ctx, const struct abi_cmsghdr *h, const uint8_t *data,
	struct inet_ext *e, bool rthdr)
{
	uint64_t n = h->cmsg_len - sizeof(*h);
	if (e->data || n < (rthdr ? 4 : 2))
		return -EINVAL;
	uint32_t len = (data[1] + 1u) * 8;
	if (n < len)
		return -EINVAL;
	if (rthdr && !inet_rthdr_ok(data, len))
		return -EINVAL;
	if (!rthdr && !ctx_capable(ctx, CAP_NET_RAW))
		return -EPERM;
	*e = (struct inet_ext){(uint8_t *)(uintptr_t)data, len};
	return 0;
}

static int int6(const struct abi_cmsghdr *h, const uint8_t *data, int32_t lo, int32_t hi,
	int32_t *out)
{
	int32_t v;
	if (h->cmsg_len != ABI_CMSG_LEN(sizeof(v)))
		return -EINVAL;
	memcpy(&v, data, sizeof(v));
	if (v < lo || v > hi)
		return -EINVAL;
	*out = v;
	return 0;
}

static int ip6_cmsg(struct ctx *ctx, struct inet_sock *s, const struct abi_cmsghdr *h,
	const uint8_t *data, struct inet_cmsg_tx *c, struct exts *x)
{
	uint64_t n = h->cmsg_len - sizeof(*h);
	switch (h->cmsg_type) {
	case IPV6_PKTINFO:
	case IPV6_2292PKTINFO:
		return pktinfo6(s, data, n, c);
	case IPV6_FLOWINFO_:
		if (n < 4)
			return -EINVAL;
		memcpy(&c->flowinfo, data, 4);
		return 0;
	case IPV6_HOPOPTS:
	case IPV6_2292HOPOPTS:
		return ext6(ctx, h, data, &x->hop, false);
	case IPV6_DSTOPTS:
	case IPV6_2292DSTOPTS:
		return ext6(ctx, h, data, &x->dst1, false);
	case IPV6_RTHDRDSTOPTS:
		return ext6(ctx, h, data, &x->dst0, false);
	case IPV6_RTHDR:
	case IPV6_2292RTHDR:
		return ext6(ctx, h, data, &x->rthdr, true);
	case IPV6_HOPLIMIT:
	case IPV6_2292HOPLIMIT:
		return int6(h, data, -1, 255, &c->hop_limit);
	case IPV6_TCLASS:
		return int6(h, data, -1, 255, &c->tclass);
	case IPV6_DONTFRAG:
		return int6(h, data, 0, 1, &c->dontfrag);
	default:
		return -EINVAL;
	}
}

int inet_ext_chain(const struct inet_ext *hop, const struct inet_ext *dst0,
	const struct inet_ext *rthdr, const struct inet_ext *dst1, uint8_t **buf, uint32_t *len,
	uint8_t *first)
{
	/* dst0 goes before a routing header only. */
	const struct inet_ext none = {0}, *e[4] = {hop, rthdr->data ? dst0 : &none, rthdr, dst1};
	static const uint8_t number[4] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
		IPPROTO_DSTOPTS};
	uint32_t n = 0;
	*buf = NULL;
	*len = 0;
	for (int i = 0; i < 4; i++)
		n += e[i]->len;
	if (!n)
		return 0;
	uint8_t *b = net_buf_alloc(n), *next = first;
	if (!b)
		return -ENOMEM;
	*buf = b;
	*len = n;
	for (int i = 0; i < 4; i++) {
		if (!e[i]->data)
			continue;
		memcpy(b, e[i]->data, e[i]->len);
		*next = number[i];
		next = b;
		b += e[i]->len;
	}
	return 0;
}

/* What is not in the message is as the socket's options say. */
static int merge_exts(struct inet_sock *s, struct exts *x, struct inet_cmsg_tx *c)
{
	struct inet_opt *o = s->opt;
	if (!x->hop.data && !x->dst0.data && !x->rthdr.data && !x->dst1.data)
		return 0;
	if (o) {
		x->hop = x->hop.data ? x->hop : o->hop;
		x->dst0 = x->dst0.data ? x->dst0 : o->dst0;
		x->rthdr = x->rthdr.data ? x->rthdr : o->rthdr;
		x->dst1 = x->dst1.data ? x->dst1 : o->dst1;
	}
	inet_cmsg_fini(c);
	int err = inet_ext_chain(&x->hop, &x->dst0, &x->rthdr, &x->dst1, &c->buf, &c->buf_len,
		&c->opt_first);
	if (err)
		return -ENOBUFS;
	if (c->buf_len > UINT16_MAX)
		return -EMSGSIZE;
	c->opt = c->buf;
	c->opt_len = (uint16_t)c->buf_len;
	return 0;
}

/* --- all --- */

/* udp_cmsg_send goes first. */
static int udp_cmsgs(const struct sock_msg *m, struct inet_cmsg_tx *c)
{
	struct abi_cmsghdr h;
	const uint8_t *data;
	uint32_t at = 0;
	while (sock_cmsg_next(m, &at, &h, &data)) {
		if (h.cmsg_level != SOL_UDP)
			continue;
		if (h.cmsg_type != UDP_SEGMENT || h.cmsg_len != ABI_CMSG_LEN(sizeof(uint16_t)))
			return -EINVAL;
		memcpy(&c->gso_size, data, sizeof(c->gso_size));
	}
	return 0;
}

int inet_sol_cmsg_in(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m,
	struct inet_cmsg_tx *c)
{
	struct abi_cmsghdr h;
	const uint8_t *data;
	uint32_t at = 0;
	int err = 0;
	while (!err && sock_cmsg_next(m, &at, &h, &data))
		if (h.cmsg_level == SOL_SOCKET)
			err = socket_cmsg(ctx, s, &h, data, c);
	if (!err && at < m->control_len && m->control_len - at >= sizeof(h))
		err = -EINVAL; /* one whose length is wrong */
	return err;
}

int inet_cmsg_in(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m, bool v4,
	struct inet_cmsg_tx *c)
{
	struct abi_cmsghdr h;
	struct exts x = {0};
	const uint8_t *data;
	uint32_t at = 0;
	int err = s->kind == INET_UDP ? udp_cmsgs(m, c) : 0;
	while (!err && sock_cmsg_next(m, &at, &h, &data)) {
		if (h.cmsg_level == SOL_SOCKET)
			err = socket_cmsg(ctx, s, &h, data, c);
		else if (v4 && h.cmsg_level == SOL_IPV6 && h.cmsg_type == IPV6_PKTINFO &&
			 s->sk.family == AF_INET6)
			err = pktinfo_mapped(data, h.cmsg_len - sizeof(h), c);
		else if (v4 && h.cmsg_level == SOL_IP)
			err = ip4_cmsg(ctx, &h, data, c);
		else if (!v4 && h.cmsg_level == SOL_IPV6)
			err = ip6_cmsg(ctx, s, &h, data, c, &x);
	}
	if (!err && at < m->control_len && m->control_len - at >= sizeof(h))
		err = -EINVAL; /* one whose length is wrong */
	if (!err)
		err = merge_exts(s, &x, c);
	if (err) /* options may have been read before what was wrong */
		inet_cmsg_fini(c);
	return err;
}
