/* IPv6 extension headers: RFC 8200 (4), RFC 2711 (router alert), RFC 5095 (routing type 0). */
#include <linux/icmpv6.h>

#include "sentry/net/ip/ip_in.h"

#define OPTIONS_MAX                                                                                \
	8u /* of a header, as Linux' max_hbh_opts_cnt; padding counts too when abused              \
	    */
#define HEADERS_MAX 12u

#define OPT_PAD1 0
#define OPT_PADN 1

static void problem(struct pkt *p, uint8_t code, uint32_t at)
{
	icmp_send_error(p, ICMPV6_PARAMPROB, code, at);
}

static void bad_header(struct pkt *p)
{
	NET_INC(p->net, Ip6_InHdrErrors);
}

/* An option that nobody knows: its first two bits say what to do (RFC 8200, 4.2).  True: skip. */
static bool unknown_option(struct pkt *p, uint8_t type, uint32_t at)
{
	if (type >> 6 == 0)
		return true;
	/* 3: no error about multicasts, which icmp_send_error sees to, but for this one. */
	if (type >> 6 == 2 || (type >> 6 == 3 && !ip_is_multicast(&p->ip.dst)))
		problem(p, ICMPV6_UNK_OPTION, at);
	return false;
}

static bool known_hop_option(uint8_t type, uint8_t len)
{
	return type == 5 /* router alert */ ? len == 2 : type == 7 /* CALIPSO */;
}

/* Options from offset at of l3 on, len bytes. */
static bool options(struct pkt *p, uint32_t at, uint32_t len, bool hop)
{
	uint32_t end = at + len, n = 0, pad = 0;
	const uint8_t *h = pkt_l3(p);
	while (at < end) {
		uint8_t type = h[at];
		uint32_t olen = type == OPT_PAD1 ? 1 : at + 1 < end ? h[at + 1] + 2u : 256 + len;
		if (at + olen > end)
			return false;
		if (type == OPT_PAD1 || type == OPT_PADN) {
			/* RFC 4942, 2.1.9.5: no more padding than alignment needs, of zeros. */
			pad += olen;
			if (pad > 7)
				return false;
			for (uint32_t i = 2; i < olen; i++)
				if (h[at + i])
					return false;
		} else {
			pad = 0;
			if (++n > OPTIONS_MAX)
				return false;
			if (!(hop && known_hop_option(type, h[at + 1])) &&
				!(!hop && type == 201 /* home address: no mobility here */) &&
				!unknown_option(p, type, at))
				return false;
		}
		at += olen;
	}
	return true;
}

/* From now on the extension header at offset at of data lies in the head: its length, or 0. */
static uint32_t want_header(struct pkt *p)
{
	if (!pkt_want(p, 8))
		return 0;
	uint32_t len = (pkt_data(p)[1] + 1u) * 8;
	return pkt_want(p, len) ? len : 0;
}

bool ip6_hop_by_hop(struct pkt *p)
{
	/* data is behind the fixed header */
	uint32_t len = want_header(p), at = (uint32_t)p->data - p->l3;
	if (len && options(p, at + 2, len - 2, true))
		return true;
	bad_header(p);
	return false;
}

/* RFC 8200, 4.4; no type is supported here, and type 0 is deprecated. */
static bool routing(struct pkt *p)
{
	const uint8_t *h = pkt_data(p);
	uint32_t at = (uint32_t)p->data - p->l3;
	if (h[3] == 0)
		return true;
	bad_header(p);
	problem(p, ICMPV6_HDR_FIELD, at + 2);
	return false;
}

enum ip6_walk ip6_walk_headers(struct pkt *p, uint8_t *next, uint32_t *nh_off)
{
	for (uint32_t n = 0; n < HEADERS_MAX; n++) {
		if (*next == IPPROTO_FRAGMENT)
			return IP6_FRAGMENT;
		if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_DSTOPTS &&
			*next != IPPROTO_ROUTING)
			return IP6_DONE;
		uint32_t at = (uint32_t)p->data - p->l3, len = want_header(p);
		if (*next == IPPROTO_HOPOPTS && (n || at != 40)) {
			/* It is first or nowhere (RFC 8200, 4.1). */
			bad_header(p);
			problem(p, ICMPV6_UNK_NEXTHDR, *nh_off);
			return IP6_DROP;
		}
		if (!len || (*next == IPPROTO_DSTOPTS && !options(p, at + 2, len - 2, false))) {
			bad_header(p);
			return IP6_DROP;
		}
		if (*next == IPPROTO_ROUTING && !routing(p))
			return IP6_DROP;
		*next = pkt_data(p)[0];
		*nh_off = at;
		pkt_pull(p, len);
		p->ip.opt_len = (uint16_t)(p->data - p->l3 - 40);
	}
	bad_header(p);
	return IP6_DROP;
}

int ip6_skip_headers(const struct pkt *p, uint32_t off, uint8_t *next, uint32_t *frag_off)
{
	*frag_off = 0;
	for (uint32_t n = 0; n < HEADERS_MAX; n++) {
		uint8_t h[8];
		if (*next != IPPROTO_HOPOPTS && *next != IPPROTO_DSTOPTS &&
			*next != IPPROTO_ROUTING && *next != IPPROTO_FRAGMENT &&
			*next != IPPROTO_AH)
			return (int)off;
		if (off + 8 > p->len)
			return -1;
		pkt_copy(p, off, h, sizeof(h));
		if (*next == IPPROTO_FRAGMENT) {
			*frag_off = get16(h + 2) & ~7u;
			off += 8;
			*next = h[0];
			if (*frag_off)
				return (int)off;
			continue;
		}
		off += *next == IPPROTO_AH ? (h[1] + 2u) * 4 : (h[1] + 1u) * 8;
		*next = h[0];
	}
	return -1;
}
