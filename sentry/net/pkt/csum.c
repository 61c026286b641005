/* Checksums: RFC 1071, 1624; RFC 768, 793 and 8200 (8.1) for the pseudo headers. */
#include "lib/log.h"
#include "sentry/net/pkt/pkt.h"

/* The sum of n bytes as 16-bit words in memory order, to be folded by the caller. */
static uint64_t sum_bytes(const uint8_t *d, uint32_t n)
{
	uint64_t sum = 0, w;
	uint32_t v;
	uint16_t h;
	while (n >= 32) {
		uint64_t a[4];
		memcpy(a, d, 32);
		for (int i = 0; i < 4; i++) {
			sum += a[i];
			sum += sum < a[i]; /* the carry comes around */
		}
		d += 32;
		n -= 32;
	}
	while (n >= 8) {
		memcpy(&w, d, 8);
		sum += w;
		sum += sum < w;
		d += 8;
		n -= 8;
	}
	sum = (sum & UINT32_MAX) + (sum >> 32);
	if (n >= 4) {
		memcpy(&v, d, 4);
		sum += v;
		d += 4;
		n -= 4;
	}
	if (n >= 2) {
		memcpy(&h, d, 2);
		sum += h;
		d += 2;
		n -= 2;
	}
	return n ? sum + *d : sum;
}

static uint32_t fold32(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	/* To 17 bits at most, so that many can be added. */
	uint32_t s = (uint32_t)sum;
	return (s & 0xffff) + (s >> 16);
}

uint32_t csum_add(uint32_t sum, const void *data, uint32_t n)
{
	return fold32((uint64_t)sum + fold32(sum_bytes(data, n)));
}

uint32_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
	uint32_t len)
{
	uint64_t sum = (uint64_t)__builtin_bswap32(len) + ((uint64_t)proto << 24);
	if (ip_is_v4(src)) /* the 16 bits of the length, and the protocol, sum up to the same */
		return fold32(sum + src->w[3] + dst->w[3]);
	for (int i = 0; i < 4; i++)
		sum += (uint64_t)src->w[i] + dst->w[i];
	return fold32(sum);
}

uint32_t pkt_sum(const struct pkt *p, uint32_t off, uint32_t n)
{
	const uint8_t *base;
	uint32_t at = 0, len, sum = 0;
	bool odd = false;
	while (n && pkt_piece(p, &at, &base, &len)) {
		if (off >= len) {
			off -= len;
			continue;
		}
		uint32_t take = MIN(n, len - off);
		uint32_t s = csum_fold(csum_add(0, base + off, take));
		/* Behind an odd number of bytes the halves of each word change places. */
		sum += odd ? __builtin_bswap16((uint16_t)s) : s;
		odd ^= take & 1;
		n -= take;
		off = 0;
	}
	return fold32(sum);
}

bool pkt_checksum_ok(struct pkt *p, uint32_t sum)
{
	if (p->csum != PKT_CSUM_NONE)
		return true;
	if (csum_fold(sum + pkt_sum(p, 0, p->len)) != 0xffff)
		return false;
	p->csum = PKT_CSUM_OK;
	return true;
}

void pkt_checksum_partial(struct pkt *p, uint16_t offset, uint32_t pseudo)
{
	uint16_t v = csum_fold(pseudo);
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_start = p->l4;
	p->csum_offset = offset;
	memcpy(p->head + p->l4 + offset, &v, sizeof(v));
}

void pkt_checksum_finish(struct pkt *p)
{
	if (p->csum != PKT_CSUM_PARTIAL)
		return;
	BUG_ON(p->csum_start < p->data || p->csum_start > p->tail);
	uint32_t off = (uint32_t)p->csum_start - p->data;
	uint16_t v = (uint16_t)~csum_fold(pkt_sum(p, off, p->len - off));
	/* 0 says "no checksum" in UDP (RFC 768); the other zero is as good everywhere. */
	if (!v)
		v = 0xffff;
	memcpy(p->head + p->csum_start + p->csum_offset, &v, sizeof(v));
	p->csum = PKT_CSUM_OK;
}
