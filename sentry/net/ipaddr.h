/*
 * Internet addresses of both families as one type: 16 bytes in network order, an
 * IPv4 address as the IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).  Routes, sockets
 * and neighbours are kept by these; only what builds or reads a header knows which
 * it is.  0.0.0.0 (IP_ANY4) and :: (IP_ANY6) are two addresses; ip_is_any is true of both.
 */
#ifndef SENTRY_NET_IPADDR_H
#define SENTRY_NET_IPADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
	union {
		uint8_t b[16];
		uint32_t w[4]; /* big endian */
		uint64_t q[2]; /* big endian */
	};
};

#define IP_MAPPED_W2 __builtin_bswap32(0xffffu) /* w[2] of an IPv4 address */
#define IP_ANY6                                                                                    \
	(struct ip_addr)                                                                           \
	{                                                                                          \
		.q = { 0, 0 }                                                                      \
	}
#define IP_ANY4 ip_v4(0)

/* be: the address in network order, as in struct in_addr. */
static inline struct ip_addr ip_v4(uint32_t be)
{
	return (struct ip_addr){.w = {0, 0, IP_MAPPED_W2, be}};
}
static inline struct ip_addr ip_v6(const void *bytes)
{
	struct ip_addr a;
	memcpy(a.b, bytes, 16);
	return a;
}
static inline bool ip_is_v4(const struct ip_addr *a)
{
	return a->q[0] == 0 && a->w[2] == IP_MAPPED_W2;
}
/* Of an IPv4 address: network order. */
static inline uint32_t ip_to_v4(const struct ip_addr *a)
{
	return a->w[3];
}
static inline bool ip_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}
static inline bool ip_is_any(const struct ip_addr *a)
{
	return a->q[0] == 0 && (a->q[1] == 0 || (a->w[2] == IP_MAPPED_W2 && a->w[3] == 0));
}
static inline bool ip_is_multicast(const struct ip_addr *a)
{
	return ip_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}
/* 255.255.255.255; directed broadcasts are known by the routes only. */
static inline bool ip_is_limited_broadcast(const struct ip_addr *a)
{
	return ip_is_v4(a) && a->w[3] == UINT32_MAX;
}
static inline bool ip_is_loopback(const struct ip_addr *a)
{
	return ip_is_v4(a) ? a->b[12] == 127 : a->q[0] == 0 && a->q[1] == __builtin_bswap64(1);
}
/* 169.254.0.0/16, fe80::/10 */
static inline bool ip_is_linklocal(const struct ip_addr *a)
{
	return ip_is_v4(a) ? a->b[12] == 169 && a->b[13] == 254
			   : a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}
/* Do the first n bits agree?  n counts from the front of the 16 bytes: 96 + 24 for an IPv4 /24. */
static inline bool ip_prefix_eq(const struct ip_addr *a, const struct ip_addr *b, unsigned int n)
{
	uint64_t x0 = __builtin_bswap64(a->q[0] ^ b->q[0]);
	uint64_t x1 = __builtin_bswap64(a->q[1] ^ b->q[1]);
	if (n <= 64)
		return n == 0 || x0 >> (64 - n) == 0;
	return x0 == 0 && (n == 64 || x1 >> (128 - n) == 0);
}

#define IP_TEXT_MAX 48 /* with a NUL */
/* Dotted quad or RFC 5952 text. */
void ip_format(const struct ip_addr *a, char out[IP_TEXT_MAX]);

#endif
