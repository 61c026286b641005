/* IGMP, the host's side: RFC 3376, 2236, 1112. */
#include <errno.h>

#include "sentry/net/ip/mc_priv.h"

#define QUERY 0x11
#define REPORT1 0x12
#define REPORT2 0x16

void igmp_send(struct net_ns *net, struct pkt *p, uint8_t type, const struct ip_addr *to)
{
	static const uint8_t alert[4] = {0x94, 4, 0, 0}; /* RFC 2113 */
	struct flow f = {.dst = *to, .src = IP_ANY4, .oif = p->link->index, .proto = IPPROTO_IGMP};
	struct ip_tx tx = {.proto = IPPROTO_IGMP,
		.tos = 0xc0,
		.ttl = 1,
		.pmtudisc = IP_PMTU_DO,
		.mc_noloop = true,
		.opt = alert,
		.opt_len = sizeof(alert)};
	struct route rt;
	uint8_t *h = pkt_data(p);
	if (route_lookup(net, &f, &rt)) {
		pkt_free(p);
		return;
	}
	f.src = rt.src;
	f.anysrc = true;
	h[0] = type;
	put16(h + 2, 0);
	uint16_t sum = (uint16_t)~csum_fold(pkt_sum(p, 0, p->len));
	memcpy(h + 2, &sum, sizeof(sum));
	p->l4 = p->data;
	p->csum = PKT_CSUM_OK;
	ip_output(net, p, &f, &rt, &tx);
	route_put(&rt);
}

/* RFC 3376, 4.1.1: a number with an exponent. */
static uint32_t expand(uint8_t v)
{
	return v < 128 ? v : ((uint32_t)(v & 15) | 16) << (((v >> 4) & 7) + 3);
}

static void query(struct pkt *p)
{
	uint8_t h[12] = {0};
	uint32_t be, n = p->len;
	pkt_copy(p, 0, h, MIN(n, 12u));
	memcpy(&be, h + 4, 4);
	struct mc_query q = {.group = ip_v4(be)};
	uint8_t *sources = NULL;
	if (n == 8) {
		q.version = h[1] ? 2 : 1;
		/* A version 1 query is always about all groups. */
		q.max_delay = h[1] ? h[1] * 100000000l : 10 * NSEC_PER_SEC;
		if (!h[1])
			q.group = IP_ANY4;
	} else if (n >= 12) {
		q.version = 3;
		q.max_delay = expand(h[1]) * 100000000l;
		q.robustness = h[8] & 7;
		q.interval = expand(h[9]);
		q.nsources = get16(h + 10);
		if (n < 12 + 4 * q.nsources || (!be && q.nsources))
			return;
	} else {
		return;
	}
	if (!q.max_delay)
		q.max_delay = 1000000;
	q.nsources = MIN(q.nsources, 64u); /* more of them: the whole group is told */
	uint8_t buf[64 * 4];
	if (q.nsources == 64)
		q.nsources = 0;
	if (q.nsources) {
		pkt_copy(p, 12, buf, 4 * q.nsources);
		sources = buf;
	}
	q.sources = sources;
	mc_query(p->net, p->link, &q, true);
}

static void igmp_input(struct pkt *p)
{
	uint8_t h[8];
	uint32_t be;
	if (p->len < 8 || !pkt_checksum_ok(p, 0) || p->looped) {
		pkt_free(p);
		return;
	}
	pkt_copy(p, 0, h, sizeof(h));
	memcpy(&be, h + 4, 4);
	struct ip_addr group = ip_v4(be);
	switch (h[0]) {
	case QUERY:
		query(p);
		break;
	case REPORT1:
	case REPORT2:
		if (p->type == PKT_MULTICAST || p->type == PKT_BROADCAST || p->type == PKT_HOST)
			mc_heard(p->link, &group);
		break;
	default: /* for routers */
		break;
	}
	pkt_free(p);
}

static const struct ip_proto igmp = {.input = igmp_input};

void igmp_init(void)
{
	ip_proto_register(IPPROTO_IGMP, &igmp);
}
