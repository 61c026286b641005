/*
 * TCP options: RFC 9293 3.2 (MSS), 7323 (window scale, timestamps), 2018 (SACK), 7413 (fast open).
 * What comes in is read into struct tcp_opts; what goes out is written behind a header by those who
 * build it (header.c, listen.c) with the functions here.
 */
#include <arpa/inet.h>
#include <string.h>

#include "sentry/net/tcp/tcp_priv.h"

#define MAX_WSCALE 14 /* RFC 7323, 2.3 */

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return ntohl(v);
}

static void read_sack(struct tcp_opts *o, const uint8_t *p, uint32_t len)
{
	if (len % 8)
		return;
	o->nsack = 0;
	for (uint32_t i = 0; i < len / 8 && i < 4; i++) {
		o->sack[i] = (struct tcp_sack_block){get32(p + i * 8), get32(p + i * 8 + 4)};
		o->nsack++;
	}
}

/* One option of len bytes at p, kind and length in front taken off. */
static void read_one(struct tcp_opts *o, uint8_t kind, const uint8_t *p, uint32_t len, bool syn)
{
	switch (kind) {
	case TCPOPT_MAXSEG:
		if (len == 2 && syn)
			o->mss = (uint16_t)(p[0] << 8 | p[1]);
		break;
	case TCPOPT_WINDOW:
		if (len == 1 && syn) {
			o->has_wscale = true;
			o->wscale = MIN(p[0], (uint8_t)MAX_WSCALE);
		}
		break;
	case TCPOPT_TIMESTAMP:
		if (len == 8) {
			o->has_ts = true;
			o->tsval = get32(p);
			o->tsecr = get32(p + 4);
		}
		break;
	case TCPOPT_SACK_PERMITTED:
		if (len == 0 && syn)
			o->sack_ok = true;
		break;
	case TCPOPT_SACK:
		if (len >= 8)
			read_sack(o, p, len);
		break;
	case TCP_OPT_FASTOPEN:
		/* A cookie is 4 to 16 bytes, even; none asks for one. */
		if (syn && (len == 0 || (len >= 4 && len <= 16 && len % 2 == 0))) {
			o->fastopen = p;
			o->fastopen_len = (int8_t)len;
		}
		break;
	}
}

void tcp_opts_read(struct tcp_opts *o, const uint8_t *p, uint32_t len, bool syn)
{
	memset(o, 0, sizeof(*o));
	o->fastopen_len = -1;
	/* Nearly always: two NOPs and a timestamp. */
	if (likely(len == 12 && p[0] == TCPOPT_NOP && p[1] == TCPOPT_NOP &&
		    p[2] == TCPOPT_TIMESTAMP && p[3] == 10)) {
		read_one(o, TCPOPT_TIMESTAMP, p + 4, 8, syn);
		return;
	}
	while (len) {
		if (p[0] == TCPOPT_EOL)
			return;
		if (p[0] == TCPOPT_NOP) {
			p++;
			len--;
			continue;
		}
		if (len < 2 || p[1] < 2 || p[1] > len)
			return;
		uint32_t n = p[1];
		read_one(o, p[0], p + 2, n - 2, syn);
		p += n;
		len -= n;
	}
}

/* --- out --- */

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
	return p + 4;
}

uint8_t *tcp_put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr)
{
	p = put32(p, TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_TIMESTAMP << 8 | 10);
	return put32(put32(p, tsval), tsecr);
}

uint8_t *tcp_put_sack(uint8_t *p, const struct tcp_sack_block *b, uint32_t n,
	const struct tcp_sack_block *dsack)
{
	uint32_t all = n + (dsack ? 1u : 0u);
	p = put32(p, TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_SACK << 8 | (2 + all * 8));
	if (dsack)
		p = put32(put32(p, dsack->start), dsack->end);
	for (uint32_t i = 0; i < n; i++)
		p = put32(put32(p, b[i].start), b[i].end);
	return p;
}

uint32_t tcp_syn_opts_len(const struct tcp_syn_opts *o)
{
	uint32_t n = 4;
	if (o->ts)
		n += 12; /* SACK permitted takes the place of its NOPs */
	else if (o->sack_ok)
		n += 4;
	if (o->wscale >= 0)
		n += 4;
	if (o->fastopen_len >= 0)
		n += ROUND_UP(2u + (uint32_t)o->fastopen_len, 4u);
	return n;
}

uint8_t *tcp_put_syn_opts(uint8_t *p, const struct tcp_syn_opts *o)
{
	p = put32(p, TCPOPT_MAXSEG << 24 | 4 << 16 | o->mss);
	if (o->ts) {
		uint32_t lead = o->sack_ok ? TCPOPT_SACK_PERMITTED << 24 | 2 << 16
					   : TCPOPT_NOP << 24 | TCPOPT_NOP << 16;
		p = put32(p, lead | TCPOPT_TIMESTAMP << 8 | 10);
		p = put32(put32(p, o->tsval), o->tsecr);
	} else if (o->sack_ok) {
		p = put32(p, TCPOPT_NOP << 24 | TCPOPT_NOP << 16 | TCPOPT_SACK_PERMITTED << 8 | 2);
	}
	if (o->wscale >= 0)
		p = put32(p, TCPOPT_NOP << 24 | TCPOPT_WINDOW << 16 | 3 << 8 | (uint32_t)o->wscale);
	if (o->fastopen_len >= 0) {
		uint32_t n = 2u + (uint32_t)o->fastopen_len, pad = ROUND_UP(n, 4u) - n;
		*p++ = TCP_OPT_FASTOPEN;
		*p++ = (uint8_t)n;
		memcpy(p, o->fastopen, (uint32_t)o->fastopen_len);
		p += o->fastopen_len;
		memset(p, TCPOPT_NOP, pad);
		p += pad;
	}
	return p;
}
