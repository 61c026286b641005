/*
 * IP options that a user gives (RFC 791, 3.1): IP_OPTIONS and IP_RETOPTS, with the checks of
 * Linux' ip_options_compile.
 */
#include <linux/capability.h>
#include <netinet/ip.h>

#include "sentry/net/inet/inet_priv.h"

/* Loose and strict source routes: the first hop becomes the destination. */
static int source_route(uint8_t *o, uint32_t len, struct ip_addr *via)
{
	uint32_t be;
	if (len < 3 || o[2] != 4 || len < 7 || ((len - 3) & 3) || !ip_is_any(via))
		return -EINVAL;
	memcpy(&be, o + 3, 4);
	*via = ip_v4(be);
	memmove(o + 3, o + 7, len - 7);
	memset(o + len - 4, 0, 4);
	return 0;
}

static int record_route(const uint8_t *o, uint32_t len)
{
	if (len < 3 || o[2] < 4)
		return -EINVAL;
	return o[2] <= len && (uint32_t)o[2] + 3 > len ? -EINVAL : 0;
}

static int timestamp(const uint8_t *o, uint32_t len)
{
	if (len < 4 || o[2] < 5)
		return -EINVAL;
	uint32_t ptr = o[2], entry = (o[3] & 0xf) == IPOPT_TS_TSONLY ? 4 : 8;
	if (ptr > len)
		return (o[3] >> 4) == 15 ? -EINVAL : 0;
	if (ptr + entry - 1 > len)
		return -EINVAL;
	switch (o[3] & 0xf) {
	case IPOPT_TS_TSONLY:
	case IPOPT_TS_TSANDADDR:
	case 3: /* IPOPT_TS_PRESPEC */
		return 0;
	default:
		return -EINVAL;
	}
}

static int check_one(struct ctx *ctx, uint8_t *o, uint32_t len, struct ip_addr *via)
{
	switch (o[0]) {
	case IPOPT_SSRR:
	case IPOPT_LSRR:
		return source_route(o, len, via);
	case IPOPT_RR:
		return record_route(o, len);
	case IPOPT_TS:
		return timestamp(o, len);
	case IPOPT_RA:
		return len < 4 ? -EINVAL : 0;
	default: /* IPOPT_CIPSO, IPOPT_SID and what nobody knows */
		return ctx_capable(ctx, CAP_NET_RAW) ? 0 : -EINVAL;
	}
}

int inet_ip4_options(struct ctx *ctx, const uint8_t *from, uint32_t n, uint8_t out[40],
	uint8_t *len, struct ip_addr *via)
{
	uint32_t padded = (n + 3) & ~3u, at = 0;
	*via = IP_ANY6;
	if (n > 40)
		return -EINVAL;
	memset(out, IPOPT_END, 40);
	memcpy(out, from, n);
	while (at < padded && out[at] != IPOPT_END) {
		if (out[at] == IPOPT_NOOP) {
			at++;
			continue;
		}
		uint32_t left = padded - at, olen = left < 2 ? 0 : out[at + 1];
		if (olen < 2 || olen > left)
			return -EINVAL;
		int err = check_one(ctx, out + at, olen, via);
		if (err)
			return err;
		at += olen;
	}
	memset(out + at, IPOPT_END, 40 - at);
	*len = (uint8_t)padded;
	return 0;
}
