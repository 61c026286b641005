/*
 * Control messages of recvmsg(2): what sockets ask about the packets they get, in the order that
 * Linux puts them (sock_recv_cmsgs, ip_cmsg_recv_offset, ip6_datagram_recv_ctl).
 */
#include <time.h>

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/time/time.h"

#ifndef SO_RCVPRIORITY
#define SO_RCVPRIORITY 82
#endif

static void put_int(struct sock_msg *m, int level, int type, int32_t v)
{
	sock_cmsg_put(m, level, type, &v, sizeof(v));
}

/* --- SOL_SOCKET --- */

static void to_timespec(int64_t ns, int64_t out[2])
{
	out[0] = ns / NSEC_PER_SEC;
	out[1] = ns % NSEC_PER_SEC;
}

static void put_stamp(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	bool new = sock_flag(&s->sk, SOCK_F_TSTAMP_NEW);
	int64_t t[2];
	if (!p->stamp)
		p->stamp = time_realtime();
	to_timespec(p->stamp, t);
	if (sock_flag(&s->sk, SOCK_F_TIMESTAMPNS)) {
		sock_cmsg_put(m, SOL_SOCKET, new ? SO_TIMESTAMPNS_NEW : SO_TIMESTAMPNS_OLD, t,
			sizeof(t));
		return;
	}
	t[1] /= 1000;
	sock_cmsg_put(m, SOL_SOCKET, new ? SO_TIMESTAMP_NEW : SO_TIMESTAMP_OLD, t, sizeof(t));
}

void inet_cmsg_out_stamps(struct inet_sock *s, struct pkt *p, struct sock_msg *m, bool err)
{
	uint32_t ts = READ_ONCE(s->sk.tsflags);
	int64_t v[3][2] = {{0}};
	if (sock_flag(&s->sk, SOCK_F_TIMESTAMP_ANY))
		put_stamp(s, p, m);
	if (!(ts & SOF_TIMESTAMPING_SOFTWARE) || !p->stamp ||
		(!err && !(ts & SOF_TIMESTAMPING_RX_SOFTWARE)))
		return;
	to_timespec(p->stamp, v[0]);
	sock_cmsg_put(m, SOL_SOCKET,
		sock_flag(&s->sk, SOCK_F_TSTAMP_NEW) ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING_OLD, v,
		sizeof(v));
}

static void put_socket(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	uint32_t drops = inet_cb(p)->drops;
	if (sock_flag(&s->sk, SOCK_F_TIMESTAMP_ANY) || READ_ONCE(s->sk.tsflags))
		inet_cmsg_out_stamps(s, p, m, false);
	if (sock_flag(&s->sk, SOCK_F_RXQ_OVFL) && drops)
		put_int(m, SOL_SOCKET, SO_RXQ_OVFL, (int32_t)drops);
	if (sock_flag(&s->sk, SOCK_F_RCVMARK))
		put_int(m, SOL_SOCKET, SO_MARK, (int32_t)p->mark);
	if (sock_flag(&s->sk, SOCK_F_RCVPRIORITY))
		put_int(m, SOL_SOCKET, SO_PRIORITY, (int32_t)p->priority);
}

/* --- SOL_IP --- */

/* The address that an answer would be sent from. */
static struct ip_addr answer_from(struct inet_sock *s, const struct pkt *p)
{
	if (!p->ip.broadcast && !ip_is_multicast(&p->ip.dst))
		return p->ip.dst;
	struct link *l = link_by_index(s->sk.net, p->iif);
	struct ip_addr a = l ? ip_addr_select(s->sk.net, l, &p->ip.src, 0) : IP_ANY4;
	link_put(l);
	return ip_is_v4(&a) ? a : IP_ANY4;
}

static void put_pktinfo4(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	struct ip_addr spec = answer_from(s, p);
	struct in_pktinfo i = {.ipi_ifindex = p->iif};
	i.ipi_spec_dst.s_addr = ip_to_v4(&spec);
	i.ipi_addr.s_addr = ip_to_v4(&p->ip.dst);
	sock_cmsg_put(m, SOL_IP, IP_PKTINFO, &i, sizeof(i));
}

/* What an answer would carry: a source or record route in reverse is not made, stamps stay. */
static void put_options(struct pkt *p, struct sock_msg *m, int type)
{
	uint32_t n = MIN((uint32_t)p->ip.opt_len, 40u);
	if (n && p->l3 != UINT16_MAX && (uint32_t)p->l3 + 20 + n <= PKT_HEAD)
		sock_cmsg_put(m, SOL_IP, type, pkt_l3(p) + 20, n);
}

static void put_origdst4(struct pkt *p, struct sock_msg *m)
{
	struct abi_sockaddr_in sin = {.family = AF_INET,
		.port = htons(inet_cb(p)->dport),
		.addr = ip_to_v4(&p->ip.dst)};
	sock_cmsg_put(m, SOL_IP, IP_ORIGDSTADDR, &sin, sizeof(sin));
}

static void put_ip4(struct inet_sock *s, struct pkt *p, struct sock_msg *m, uint32_t want)
{
	if (want & INET_CMSG_PKTINFO4)
		put_pktinfo4(s, p, m);
	if (want & INET_CMSG_TTL)
		put_int(m, SOL_IP, IP_TTL, p->ip.ttl);
	if (want & INET_CMSG_TOS)
		sock_cmsg_put(m, SOL_IP, IP_TOS, &p->ip.tos, 1);
	if (want & INET_CMSG_RECVOPTS)
		put_options(p, m, IP_RECVOPTS);
	if (want & INET_CMSG_RETOPTS)
		put_options(p, m, IP_RETOPTS);
	if (want & INET_CMSG_ORIGDST)
		put_origdst4(p, m);
	if (want & INET_CMSG_CHECKSUM) {
		/* As CHECKSUM_COMPLETE would have it: the sum of what is received. */
		uint32_t sum = pkt_sum(p, 0, p->len);
		sock_cmsg_put(m, SOL_IP, IP_CHECKSUM, &sum, sizeof(sum));
	}
	if ((want & INET_CMSG_FRAGSIZE) && p->ip.frag_size)
		put_int(m, SOL_IP, IP_RECVFRAGSIZE, p->ip.frag_size);
}

/* --- SOL_IPV6 --- */

static void put_pktinfo6(struct pkt *p, struct sock_msg *m, int type)
{
	struct in6_pktinfo i = {.ipi6_ifindex = (unsigned int)p->iif};
	memcpy(&i.ipi6_addr, p->ip.dst.b, sizeof(i.ipi6_addr));
	sock_cmsg_put(m, SOL_IPV6, type, &i, sizeof(i));
}

/* One extension header, if asked for by the option of RFC 3542 or of RFC 2292. */
static void put_ext(struct sock_msg *m, uint32_t want, uint8_t nexthdr, const uint8_t *h,
	uint32_t n)
{
	static const struct {
		uint8_t nexthdr;
		uint32_t bit, bit2292;
		int type, type2292;
	} ext[] = {
		{IPPROTO_HOPOPTS, INET_CMSG_HOPOPTS, INET_CMSG_2292HOPOPTS, IPV6_HOPOPTS,
			IPV6_2292HOPOPTS},
		{IPPROTO_DSTOPTS, INET_CMSG_DSTOPTS, INET_CMSG_2292DSTOPTS, IPV6_DSTOPTS,
			IPV6_2292DSTOPTS},
		{IPPROTO_ROUTING, INET_CMSG_RTHDR, INET_CMSG_2292RTHDR, IPV6_RTHDR, IPV6_2292RTHDR},
	};
	for (size_t i = 0; i < ARRAY_LEN(ext); i++) {
		if (ext[i].nexthdr != nexthdr)
			continue;
		if (want & ext[i].bit)
			sock_cmsg_put(m, SOL_IPV6, ext[i].type, h, n);
		if (want & ext[i].bit2292)
			sock_cmsg_put(m, SOL_IPV6, ext[i].type2292, h, n);
	}
}

static void put_exts(struct pkt *p, struct sock_msg *m, uint32_t want)
{
	uint32_t end = p->ip.opt_len, at = 0;
	if (p->l3 == UINT16_MAX || (uint32_t)p->l3 + sizeof(struct ip6_hdr) + end > PKT_HEAD)
		return;
	const uint8_t *ip = pkt_l3(p), *h = ip + sizeof(struct ip6_hdr);
	uint8_t next = ip[6];
	while (end - at >= 8) {
		uint32_t n = next == IPPROTO_FRAGMENT ? 8
			     : next == IPPROTO_AH     ? (h[at + 1] + 2u) * 4
						      : (h[at + 1] + 1u) * 8;
		if (n > end - at)
			return;
		put_ext(m, want, next, h + at, n);
		next = h[at];
		at += n;
	}
}

#define WANT_EXT                                                                                   \
	(INET_CMSG_HOPOPTS | INET_CMSG_DSTOPTS | INET_CMSG_RTHDR | INET_CMSG_2292HOPOPTS |         \
		INET_CMSG_2292DSTOPTS | INET_CMSG_2292RTHDR)

static void put_origdst6(struct pkt *p, struct sock_msg *m)
{
	struct abi_sockaddr_in6 sin6 = {.family = AF_INET6, .port = htons(inet_cb(p)->dport)};
	memcpy(sin6.addr, p->ip.dst.b, sizeof(sin6.addr));
	if (ip_is_linklocal(&p->ip.dst))
		sin6.scope_id = (uint32_t)p->iif;
	sock_cmsg_put(m, SOL_IPV6, IPV6_ORIGDSTADDR, &sin6, sizeof(sin6));
}

static void put_ip6(struct pkt *p, struct sock_msg *m, uint32_t want)
{
	uint32_t flow = htonl(p->ip.flowlabel | (uint32_t)p->ip.tos << 20);
	if (want & INET_CMSG_HOPLIMIT)
		put_int(m, SOL_IPV6, IPV6_HOPLIMIT, p->ip.ttl);
	if (want & INET_CMSG_TCLASS)
		put_int(m, SOL_IPV6, IPV6_TCLASS, p->ip.tos);
	if ((want & INET_CMSG_FLOWINFO) && flow)
		sock_cmsg_put(m, SOL_IPV6, 11 /* IPV6_FLOWINFO */, &flow, sizeof(flow));
	if ((want & WANT_EXT) && p->ip.opt_len)
		put_exts(p, m, want);
	if (want & INET_CMSG_2292PKTINFO)
		put_pktinfo6(p, m, IPV6_2292PKTINFO);
	if (want & INET_CMSG_2292HOPLIMIT)
		put_int(m, SOL_IPV6, IPV6_2292HOPLIMIT, p->ip.ttl);
	if (want & INET_CMSG_ORIGDST6)
		put_origdst6(p, m);
	if ((want & INET_CMSG_FRAGSIZE6) && p->ip.frag_size)
		put_int(m, SOL_IPV6, IPV6_RECVFRAGSIZE, p->ip.frag_size);
}

void inet_cmsg_out_ip(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	uint32_t want = READ_ONCE(s->cmsg);
	if (!want)
		return;
	if (s->sk.family == AF_INET6 && (want & INET_CMSG_PKTINFO6))
		put_pktinfo6(p, m, IPV6_PKTINFO);
	if (ip_is_v4(&p->ip.dst))
		put_ip4(s, p, m, want);
	else
		put_ip6(p, m, want);
}

void inet_cmsg_out_gro(struct pkt *p, struct sock_msg *m)
{
	if (p->gso_size)
		put_int(m, SOL_UDP, UDP_GRO, p->gso_size);
}

void inet_cmsg_out(struct inet_sock *s, struct pkt *p, struct sock_msg *m)
{
	put_socket(s, p, m);
	inet_cmsg_out_ip(s, p, m);
}
