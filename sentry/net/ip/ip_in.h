/* Private to sentry/net/ip: headers as they lie in packets, and the steps of input and output. */
#ifndef SENTRY_NET_IP_IP_IN_H
#define SENTRY_NET_IP_IP_IN_H

#include "sentry/net/ip/ip_priv.h"

struct ip4_hdr {
	uint8_t version_ihl, tos;
	uint16_t len, id, frag; /* big endian, as all below */
	uint8_t ttl, proto;
	uint16_t csum;
	uint32_t src, dst;
};
#define IP4_DF 0x4000
#define IP4_MF 0x2000
#define IP4_OFFSET 0x1fff
#define IP4_OPT_MAX 40u

struct ip6_hdr_ {
	uint32_t flow; /* version, traffic class, flow label */
	uint16_t len;
	uint8_t next, hops;
	uint8_t src[16], dst[16];
};

struct ip6_frag_hdr {
	uint8_t next, reserved;
	uint16_t off; /* the low bit: more */
	uint32_t id;
};

_Static_assert(sizeof(struct ip4_hdr) == 20, "RFC 791");
_Static_assert(sizeof(struct ip6_hdr_) == 40, "RFC 8200");
_Static_assert(sizeof(struct ip6_frag_hdr) == 8, "RFC 8200");

static inline uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}
static inline uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}
static inline void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}
static inline void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}
static inline void ip4_checksum(uint8_t *h, uint32_t hlen)
{
	put16(h + 10, 0);
	uint16_t sum = (uint16_t)~csum_fold(csum_add(0, h, hlen));
	memcpy(h + 10, &sum, sizeof(sum));
}
static inline bool pkt_is_v4(const struct pkt *p)
{
	return ip_is_v4(&p->ip.src);
}

/* --- proto.c --- */
/* Do checksum and segmentation fit the packet, whose network header of hlen bytes is at data and
 * which has been cut to its length?  Sets l4 of one that is to be segmented. */
bool ip_offloads_ok(struct pkt *p, uint32_t hlen);
bool ip_deliver_raw(struct pkt *p);
bool ip_deliver_proto(struct pkt *p); /* takes p over if true */
bool ip_deliver_ping(struct pkt *p);  /* takes p over if true */
void ip_deliver_error(struct pkt *p, const struct ip_error *e);

/* --- IPv4 options (options.c) --- */
struct ip4_opts {
	uint8_t srr, rr, ts, alert; /* offsets from the IP header; 0: none */
	bool strict;
};
/* False: malformed; *bad: the offset of what is. */
bool ip4_opts_parse(const uint8_t *h, uint32_t hlen, struct ip4_opts *o, uint8_t *bad);
/* Leaves in later fragments what is to be copied only. */
void ip4_opts_fragment(uint8_t *h, uint32_t hlen);
/* Fills in our address and time, where asked for; a: of the link that it leaves by. */
void ip4_opts_record(uint8_t *h, const struct ip4_opts *o, uint32_t a);
/* A source route that names us: sets the next destination in the header.  True: it has more stops
 * (dst is the next). */
bool ip4_opts_next_stop(uint8_t *h, const struct ip4_opts *o, uint32_t us);

/* --- IPv6 extension headers (exthdr.c) --- */
enum ip6_walk { IP6_DONE, IP6_DROP, IP6_FRAGMENT };
/* Steps over the headers at data up to a fragment header or what a transport has.  *next: its
 * protocol; nh_off: offset from l3 of the field that said so.  Sends ICMP errors. */
enum ip6_walk ip6_walk_headers(struct pkt *p, uint8_t *next, uint32_t *nh_off);
/* The hop-by-hop options, if there are; false: to be dropped. */
bool ip6_hop_by_hop(struct pkt *p);
/* Finds the upper protocol of a packet that p quotes from off on: its offset, or -1. */
int ip6_skip_headers(const struct pkt *p, uint32_t off, uint8_t *next, uint32_t *frag_off);

/* --- fragments in (reass.c) --- */
int ip_frags_init(struct ip_net *ipn);
void ip_frags_fini(struct ip_net *ipn);
/* Takes p over; what is whole now, or NULL.  IPv4: data at the header; IPv6: at the fragment
 * header, whose nh_off (see ip6_walk_headers) becomes that of what is whole. */
struct pkt *ip4_reassemble(struct pkt *p);
struct pkt *ip6_reassemble(struct pkt *p, uint32_t *nh_off);
int64_t ip_frags_expire(struct net_ns *net, int64_t now);

/* --- out (output.c, fragment.c, forward.c) --- */
/* p has a whole network header, of a packet that may be too long: takes it over. */
int ip_transmit(struct pkt *p, const struct route *rt);
/* To the neighbour or the link, as it is. */
void ip_send(struct pkt *p, const struct route *rt);
/* In pieces of at most mtu bytes. */
int ip_fragment(struct pkt *p, const struct route *rt, uint32_t mtu);
/* A copy of a multicast or broadcast for ourselves. */
void ip_loop_back(struct pkt *p, const struct route *rt);
uint16_t ip4_ident(struct net_ns *net, const struct ip_addr *src, const struct ip_addr *dst,
	uint8_t proto, uint32_t segs);
uint32_t ip6_ident(struct net_ns *net, const struct ip_addr *src, const struct ip_addr *dst);
void ip_forward(struct pkt *p, const struct route *rt);

/* --- ICMP --- */
int icmp_ns_init(struct ip_net *ipn);
void icmp_ns_fini(struct ip_net *ipn);
bool icmp_allowed(struct net_ns *net, bool v4, uint8_t type, uint8_t code, const struct route *rt,
	const struct ip_addr *dst);
/* An ICMP message, whose checksum is computed here: takes p over. */
void icmp_transmit(struct net_ns *net, struct pkt *p, const struct flow *f, struct route *rt,
	struct ip_tx *tx);
/* RFC 4884: are there extensions behind off bytes of the packet that is quoted at data? */
void icmp_read_extensions(const struct pkt *p, uint32_t off, struct ip_error *e);
void icmp4_input(struct pkt *p);
void icmp6_input(struct pkt *p);
void icmp_init(void);
/* An answer to p of that type, with its identifier and sequence; body: NULL: p's own data. */
void icmp_reply(struct pkt *p, uint8_t type, const void *body, uint32_t n);
void mld_input(struct pkt *p); /* borrowed */

/* --- input --- */
/* route_input, but quickly if this thread has just asked: *local_oif is set and rt holds nothing,
 * or rt is as by route_input. */
int ip_route_in(struct net_ns *net, struct flow *f, struct route *rt, int32_t *local_oif);
void ip4_deliver(struct pkt *p);

#endif
