/* IPv4 options: RFC 791 (3.1), 1122 (3.2.1.8), 2113 (router alert). */
#include <netinet/ip.h>

#include "sentry/net/ip/ip_in.h"

/* A route option: length 3 and some addresses, a pointer of 4 at least. */
static bool route_ok(const uint8_t *o, uint32_t len)
{
	return len >= 3 && o[2] >= 4 && (len - 3) % 4 == 0;
}

static bool one_option(const uint8_t *h, uint32_t at, uint32_t len, struct ip4_opts *o)
{
	const uint8_t *opt = h + at;
	switch (opt[0]) {
	case IPOPT_LSRR:
	case IPOPT_SSRR:
		if (o->srr || !route_ok(opt, len))
			return false;
		o->srr = (uint8_t)at;
		o->strict = opt[0] == IPOPT_SSRR;
		return true;
	case IPOPT_RR:
		if (o->rr || !route_ok(opt, len))
			return false;
		o->rr = (uint8_t)at;
		return true;
	case IPOPT_TS:
		if (o->ts || len < 4 || opt[2] < 5)
			return false;
		o->ts = (uint8_t)at;
		return true;
	case IPOPT_RA:
		if (len != 4)
			return false;
		if (!opt[2] && !opt[3])
			o->alert = (uint8_t)at;
		return true;
	default:
		return true;
	}
}

bool ip4_opts_parse(const uint8_t *h, uint32_t hlen, struct ip4_opts *o, uint8_t *bad)
{
	*o = (struct ip4_opts){0};
	for (uint32_t at = 20; at < hlen;) {
		if (h[at] == IPOPT_EOL)
			return true;
		if (h[at] == IPOPT_NOP) {
			at++;
			continue;
		}
		*bad = (uint8_t)at;
		if (at + 2 > hlen || h[at + 1] < 2 || at + h[at + 1] > hlen ||
			!one_option(h, at, h[at + 1], o))
			return false;
		at += h[at + 1];
	}
	return true;
}

void ip4_opts_fragment(uint8_t *h, uint32_t hlen)
{
	for (uint32_t at = 20; at < hlen && h[at] != IPOPT_EOL;) {
		if (h[at] == IPOPT_NOP) {
			at++;
			continue;
		}
		if (at + 2 > hlen || h[at + 1] < 2 || at + h[at + 1] > hlen)
			return;
		uint32_t len = h[at + 1];
		if (!IPOPT_COPIED(h[at]))
			memset(h + at, IPOPT_NOP, len);
		at += len;
	}
}

/* Milliseconds since midnight UT. */
static uint32_t time_of_day(void)
{
	return (uint32_t)(time_realtime() / 1000000 % 86400000);
}

static void record_time(uint8_t *opt, uint32_t a)
{
	uint32_t flag = opt[3] & 15, at = opt[2] - 1u, need = flag == IPOPT_TS_TSONLY ? 4 : 8;
	if (at + need > opt[1]) {
		if ((opt[3] >> 4) < 15)
			opt[3] = (uint8_t)(opt[3] + 16); /* one more that found no room */
		return;
	}
	if (flag == IPOPT_TS_PRESPEC && memcmp(opt + at, &a, 4))
		return;
	if (flag == IPOPT_TS_TSANDADDR)
		memcpy(opt + at, &a, 4);
	put32(opt + at + need - 4, time_of_day());
	opt[2] = (uint8_t)(opt[2] + need);
}

void ip4_opts_record(uint8_t *h, const struct ip4_opts *o, uint32_t a)
{
	if (o->rr) {
		uint8_t *opt = h + o->rr;
		if (opt[2] + 3u <= opt[1]) {
			memcpy(opt + opt[2] - 1, &a, 4);
			opt[2] = (uint8_t)(opt[2] + 4);
		}
	}
	if (o->ts)
		record_time(h + o->ts, a);
}

bool ip4_opts_next_stop(uint8_t *h, const struct ip4_opts *o, uint32_t us)
{
	uint8_t *opt = h + o->srr;
	if (!o->srr || opt[2] + 3u > opt[1])
		return false;
	memcpy(h + 16, opt + opt[2] - 1, 4);
	memcpy(opt + opt[2] - 1, &us, 4);
	opt[2] = (uint8_t)(opt[2] + 4);
	return true;
}
