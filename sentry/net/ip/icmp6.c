/* ICMPv6 in: RFC 4443; neighbour discovery goes to eth/, listeners to mld.c. */
#include <errno.h>
#include <linux/icmpv6.h>

#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/ip_in.h"

#define NDP_FIRST 133 /* router solicitation */
#define NDP_LAST 137  /* redirect */

static void read_error(const uint8_t *h, struct ip_error *e)
{
	static const struct {
		uint8_t err;
		bool hard;
	} unreachable[] = {{ENETUNREACH, false}, {EACCES, true}, {EHOSTUNREACH, false},
		{EHOSTUNREACH, false}, {ECONNREFUSED, true}, {EACCES, true}, {EACCES, true}};
	e->type = h[0];
	e->code = h[1];
	e->err = EHOSTUNREACH;
	switch (e->type) {
	case ICMPV6_DEST_UNREACH:
		e->hard = true;
		if (e->code < ARRAY_LEN(unreachable)) {
			e->err = unreachable[e->code].err;
			e->hard = unreachable[e->code].hard;
		}
		break;
	case ICMPV6_PKT_TOOBIG:
		e->err = EMSGSIZE;
		e->info = get32(h + 4);
		break;
	case ICMPV6_PARAMPROB:
		e->err = EPROTO;
		e->hard = true;
		e->info = get32(h + 4);
		break;
	default:
		break;
	}
}

/* data at the transport header of the packet that it is about afterwards. */
static bool read_quoted(struct pkt *p, struct ip_error *e)
{
	uint32_t frag_off;
	if (!pkt_want(p, 40)) {
		NET_INC(p->net, Icmp6_InErrors);
		return false;
	}
	const uint8_t *h = pkt_data(p);
	e->src = ip_v6(h + 8);
	e->dst = ip_v6(h + 24);
	e->proto = h[6];
	int at = ip6_skip_headers(p, 40, &e->proto, &frag_off);
	if (at < 0 || (uint32_t)at + 8 > p->len || frag_off) {
		NET_INC(p->net, Icmp6_InErrors);
		return false;
	}
	e->hlen = (uint16_t)at;
	pkt_pull(p, (uint32_t)at);
	return pkt_want(p, 8);
}

static void error(struct pkt *p, const uint8_t *h)
{
	struct ip_error e = {.from = p->ip.src};
	read_error(h, &e);
	pkt_pull(p, 8);
	icmp_read_extensions(p, h[4] * 8u, &e);
	if (read_quoted(p, &e) && !ip_is_v4(&e.src) && !ip_is_v4(&e.dst))
		ip_deliver_error(p, &e);
}

static void echo(struct pkt *p)
{
	struct net_ns *net = p->net;
	if (!READ_ONCE(net->ctl.icmp6_echo_ignore_all) &&
		!(ip_is_multicast(&p->ip.dst) && READ_ONCE(net->ctl.icmp6_echo_ignore_multicast)))
		icmp_reply(p, ICMPV6_ECHO_REPLY, NULL, 0);
}

/* True: taken over. */
static bool handle(struct pkt *p, const uint8_t *h)
{
	switch (h[0]) {
	case ICMPV6_ECHO_REQUEST:
		echo(p);
		return false;
	case ICMPV6_ECHO_REPLY:
		return ip_deliver_ping(p);
	case ICMPV6_DEST_UNREACH:
	case ICMPV6_PKT_TOOBIG:
	case ICMPV6_TIME_EXCEED:
	case ICMPV6_PARAMPROB:
		error(p, h);
		return false;
	case ICMPV6_MGM_QUERY:
	case ICMPV6_MGM_REPORT:
		mld_input(p);
		return false;
	default:
		break;
	}
	if (h[0] < NDP_FIRST || h[0] > NDP_LAST)
		return false;
	/* RFC 4861, 6.1 and 7.1: from the link itself, and of the only code there is. */
	if (p->ip.ttl != 255 || h[1] != 0)
		return false;
	ndp_input(p);
	return true;
}

void icmp6_input(struct pkt *p)
{
	struct net_ns *net = p->net;
	uint8_t h[8];
	NET_INC(net, Icmp6_InMsgs);
	if (!pkt_checksum_ok(p, csum_pseudo(&p->ip.src, &p->ip.dst, IPPROTO_ICMPV6, p->len))) {
		NET_INC(net, Icmp6_InCsumErrors);
		NET_INC(net, Icmp6_InErrors);
		pkt_free(p);
		return;
	}
	if (!pkt_want(p, 8)) {
		NET_INC(net, Icmp6_InErrors);
		pkt_free(p);
		return;
	}
	memcpy(h, pkt_data(p), sizeof(h));
	__atomic_add_fetch(&net->mib->icmp6_in[h[0]], 1, __ATOMIC_RELAXED);
	if (!handle(p, h))
		pkt_free(p);
}
