/* See siphash.h. */
#include "lib/siphash.h"

#include <string.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void rounds(struct sip *s, int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = rotl(s->v1, 13) ^ s->v0;
		s->v0 = rotl(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotl(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotl(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotl(s->v1, 17) ^ s->v2;
		s->v2 = rotl(s->v2, 32);
	}
}

static void word(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	rounds(s, 2);
	s->v0 ^= m;
}

uint64_t siphash(const uint8_t key[16], const void *data, size_t n)
{
	const uint8_t *at = data;
	uint64_t k[2], m, last = (uint64_t)n << 56;
	memcpy(k, key, 16);
	struct sip s = {k[0] ^ 0x736f6d6570736575UL, k[1] ^ 0x646f72616e646f6dUL,
		k[0] ^ 0x6c7967656e657261UL, k[1] ^ 0x7465646279746573UL};
	for (; n >= 8; n -= 8, at += 8) {
		memcpy(&m, at, 8);
		word(&s, m);
	}
	for (size_t i = 0; i < n; i++)
		last |= (uint64_t)at[i] << (8 * i);
	word(&s, last);
	s.v2 ^= 0xff;
	rounds(&s, 4);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
