/* ICMPv4 in: RFC 792, 1122 (3.2.2), Linux' icmp_rcv. */
#include <errno.h>
#include <linux/icmp.h>

#include "sentry/net/ip/ip_in.h"

/* --- errors about what we sent --- */

static const struct {
	uint8_t err;
	bool hard;
} unreachable[] = {{ENETUNREACH, false}, {EHOSTUNREACH, false}, {ENOPROTOOPT, true},
	{ECONNREFUSED, true}, {EMSGSIZE, false}, {EOPNOTSUPP, false}, {ENETUNREACH, true},
	{EHOSTDOWN, true}, {ENONET, true}, {ENETUNREACH, true}, {EHOSTUNREACH, true},
	{ENETUNREACH, false}, {EHOSTUNREACH, false}, {EHOSTUNREACH, true}, {EHOSTUNREACH, true},
	{EHOSTUNREACH, true}};

/* errno, hardness and info of an error; false: it is for nobody. */
static bool read_error(struct pkt *p, const uint8_t *h, struct ip_error *e)
{
	e->type = h[0];
	e->code = h[1];
	switch (e->type) {
	case ICMP_DEST_UNREACH:
		if (e->code >= ARRAY_LEN(unreachable))
			return false;
		e->err = unreachable[e->code].err;
		e->hard = unreachable[e->code].hard;
		if (e->code != ICMP_FRAG_NEEDED)
			return true;
		e->info = get16(h + 6);
		return e->info != 0;
	case ICMP_TIME_EXCEEDED:
		e->err = EHOSTUNREACH;
		return true;
	case ICMP_PARAMETERPROB:
		e->err = EPROTO;
		e->hard = true;
		e->info = h[4];
		return true;
	default: /* source quench: RFC 6633 */
		return false;
	}
}

/* The packet that it is about: data at its transport header afterwards. */
static bool read_quoted(struct pkt *p, struct ip_error *e)
{
	uint32_t a[2];
	if (!pkt_want(p, 20))
		return false;
	uint32_t hlen = (uint32_t)(pkt_data(p)[0] & 15) * 4;
	if (hlen < 20 || !pkt_want(p, hlen + 8)) {
		NET_INC(p->net, Icmp_InErrors);
		return false;
	}
	const uint8_t *h = pkt_data(p);
	memcpy(a, h + 12, sizeof(a));
	e->src = ip_v4(a[0]);
	e->dst = ip_v4(a[1]);
	e->proto = h[9];
	e->hlen = (uint16_t)hlen;
	pkt_pull(p, hlen);
	return true;
}

static void error(struct pkt *p, const uint8_t *h)
{
	struct ip_error e = {.from = p->ip.src};
	bool use = read_error(p, h, &e);
	pkt_pull(p, 8);
	if (use)
		icmp_read_extensions(p, h[5] * 4u, &e);
	/* RFC 1122, 3.2.2: nonsense about broadcasts that some hosts send. */
	if (use && read_quoted(p, &e) &&
		(READ_ONCE(p->net->ctl.icmp_ignore_bogus_error_responses) ||
			ip_addr_type(p->net, &e.dst, 0) != RTN_BROADCAST))
		ip_deliver_error(p, &e);
}

/* --- redirects --- */

static bool accepts_redirects(struct net_ns *net, struct link *l)
{
	return ip_link_conf(l, IP_CONF_4_forwarding)
		       ? ip_conf_and(net, l, IP_CONF_4_accept_redirects)
		       : ip_conf_or(net, l, IP_CONF_4_accept_redirects);
}

static bool new_gateway_ok(struct pkt *p, const struct ip_addr *gw)
{
	struct flow f = {.dst = *gw, .src = IP_ANY4, .oif = p->link->index};
	struct route rt;
	if (ip_is_multicast(gw) || ip_is_limited_broadcast(gw) ||
		(ntohl(ip_to_v4(gw)) >> 24) == 0 || ip_eq(gw, &p->ip.src))
		return false;
	/* On that link, without a gateway of its own (shared_media lets it be anywhere there). */
	if (route_lookup(p->net, &f, &rt))
		return false;
	bool ok = rt.type == RTN_UNICAST && !rt.gateway &&
		  (rt.prefix_len > 0 || ip_conf_or(p->net, p->link, IP_CONF_4_shared_media));
	route_put(&rt);
	return ok;
}

static void redirect(struct pkt *p, const uint8_t *h)
{
	struct ip_error e = {.from = p->ip.src};
	struct ip_addr gw;
	struct route rt;
	uint32_t be;
	memcpy(&be, h + 4, 4);
	gw = ip_v4(be);
	bool known_code = h[1] <= 3;
	pkt_pull(p, 8);
	if (!known_code || !read_quoted(p, &e) || !accepts_redirects(p->net, p->link) ||
		!new_gateway_ok(p, &gw))
		return;
	/* It must come from the router that is used for that destination. */
	struct flow f = {.dst = e.dst, .src = e.src, .oif = p->link->index};
	if (route_lookup(p->net, &f, &rt))
		return;
	bool ours = rt.gateway && ip_eq(&rt.gw, &p->ip.src) && rt.link == p->link;
	route_put(&rt);
	if (ours)
		ip_redirect_learn(p->net, &e.dst, &gw, p->link->index);
}

/* --- requests --- */

static void timestamp(struct pkt *p)
{
	uint8_t t[12];
	if (!pkt_want(p, 20))
		return;
	uint32_t now = (uint32_t)(time_realtime() / 1000000 % 86400000);
	memcpy(t, pkt_data(p) + 8, 4);
	put32(t + 4, now);
	put32(t + 8, now);
	icmp_reply(p, ICMP_TIMESTAMPREPLY, t, sizeof(t));
}

static void count_in(struct net_ns *net, uint8_t type)
{
	static const struct {
		uint8_t type;
		uint16_t mib;
	} named[] = {{ICMP_DEST_UNREACH, MIB_Icmp_InDestUnreachs},
		{ICMP_TIME_EXCEEDED, MIB_Icmp_InTimeExcds},
		{ICMP_PARAMETERPROB, MIB_Icmp_InParmProbs},
		{ICMP_SOURCE_QUENCH, MIB_Icmp_InSrcQuenchs}, {ICMP_REDIRECT, MIB_Icmp_InRedirects},
		{ICMP_ECHO, MIB_Icmp_InEchos}, {ICMP_ECHOREPLY, MIB_Icmp_InEchoReps},
		{ICMP_TIMESTAMP, MIB_Icmp_InTimestamps},
		{ICMP_TIMESTAMPREPLY, MIB_Icmp_InTimestampReps},
		{ICMP_ADDRESS, MIB_Icmp_InAddrMasks}, {ICMP_ADDRESSREPLY, MIB_Icmp_InAddrMaskReps}};
	__atomic_add_fetch(&net->mib->icmp_in[type], 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (named[i].type == type)
			__atomic_add_fetch(&net->mib->v[named[i].mib], 1, __ATOMIC_RELAXED);
}

/* RFC 1122, 3.2.2.6 and 8: what was sent to many is answered at most if asked for. */
static bool to_many_ok(struct pkt *p, uint8_t type)
{
	if (!p->ip.broadcast && !ip_is_multicast(&p->ip.dst))
		return true;
	if (type == ICMP_ECHO || type == ICMP_TIMESTAMP)
		return !READ_ONCE(p->net->ctl.icmp_echo_ignore_broadcasts);
	return type == ICMP_ADDRESS || type == ICMP_ADDRESSREPLY;
}

/* True: taken over. */
static bool handle(struct pkt *p, const uint8_t *h)
{
	struct net_ns *net = p->net;
	switch (h[0]) {
	case ICMP_ECHOREPLY:
		return ip_deliver_ping(p);
	case ICMP_ECHO:
		if (!READ_ONCE(net->ctl.icmp_echo_ignore_all))
			icmp_reply(p, ICMP_ECHOREPLY, NULL, 0);
		break;
	case ICMP_TIMESTAMP:
		timestamp(p);
		break;
	case ICMP_REDIRECT:
		redirect(p, h);
		break;
	case ICMP_DEST_UNREACH:
	case ICMP_TIME_EXCEEDED:
	case ICMP_PARAMETERPROB:
	case ICMP_SOURCE_QUENCH:
		error(p, h);
		break;
	default:
		break;
	}
	return false;
}

void icmp4_input(struct pkt *p)
{
	struct net_ns *net = p->net;
	uint8_t h[8];
	NET_INC(net, Icmp_InMsgs);
	if (!pkt_checksum_ok(p, 0)) {
		NET_INC(net, Icmp_InCsumErrors);
		NET_INC(net, Icmp_InErrors);
		pkt_free(p);
		return;
	}
	if (!pkt_want(p, 8)) {
		NET_INC(net, Icmp_InErrors);
		pkt_free(p);
		return;
	}
	memcpy(h, pkt_data(p), sizeof(h));
	count_in(net, h[0]);
	if (h[0] > 18 || !to_many_ok(p, h[0])) {
		NET_INC(net, Icmp_InErrors);
		pkt_free(p);
		return;
	}
	if (!handle(p, h))
		pkt_free(p);
}
