/*
 * Packets on their way through the stack (as Linux' struct sk_buff; struct skb of
 * sentry/net/skb.h is what AF_UNIX queues).
 *
 * A packet is a head, which holds all of its headers and short payloads, and fragments,
 * ranges of reference-counted buffers (struct nbuf) that others may have ranges of as
 * well: TCP's queue of what is not acknowledged, the packet at the link, and over
 * loopback the receiver's queue share one copy of the data.  What is in a shared buffer
 * is not changed by anybody; the bytes of the head belong to the packet alone.
 *
 * Headers are put in front with pkt_push and taken off with pkt_pull; l2, l3 and l4 say
 * where those were, as offsets into head[].  A reader of a header calls pkt_want(p, n)
 * first: from then on n bytes at pkt_data lie in the head, or the packet is too short.
 *
 * Ownership: a packet has one owner at a time, who passes it on or frees it; every
 * function that takes one over says so.  There is no reference count on a packet
 * (pkt_clone makes another that shares the buffers).
 *
 * A packet holds a reference on its link.  Nothing here takes locks but those of slabs
 * and of the memory file; nothing sleeps but pkt_add_uio, which copies from a guest.
 *
 * Checksums (csum): on the way in NONE means that nobody has looked, OK that the
 * transport's checksum was verified or never left this machine.  On the way out PARTIAL
 * means: the field at csum_start + csum_offset has the pseudo-header's sum; the sum from
 * csum_start to the end is to be put there by the link (virtio's NEEDS_CSUM) or by
 * pkt_checksum_finish.  Loopback and veth never compute it: PARTIAL on input is OK.
 *
 * Large packets: gso_size != 0 says that the payload is to be cut into segments of
 * gso_size bytes, with copies of the headers (virtio's gso_type), by the link, the host,
 * or pkt_segment.  Such a packet may be up to PKT_MAX long whatever the MTU is.
 */
#ifndef SENTRY_NET_PKT_PKT_H
#define SENTRY_NET_PKT_PKT_H

#include <stdint.h>

#include "lib/list.h"
#include "lib/ref.h"
#include "sentry/core/uio.h"
#include "sentry/net/ipaddr.h"

struct link;
struct net_ns;

/* Bytes that never change once others may see them. */
struct nbuf {
	struct ref ref;
	uint32_t cap;    /* bytes there are */
	uint32_t used;   /* bytes filled, from the front; who makes it only */
	uint32_t charge; /* what it counts as: cap rounded up, and this header */
	uint8_t *data;
	uint64_t run; /* of the memory file, if run_len */
	uint32_t run_len;
};
/* Room for n bytes (n > 0), which hold anything.  NULL: out of memory. */
struct nbuf *nbuf_new(uint32_t n);
static inline struct nbuf *nbuf_get(struct nbuf *b)
{
	ref_get(&b->ref);
	return b;
}
void nbuf_put(struct nbuf *b); /* NULL-safe */

#define PKT_HEAD 320 /* bytes of a head */
#define PKT_HEADROOM                                                                               \
	144 /* of them in front of a new packet's data: Ethernet, IP and TCP at most               \
	     */
#define PKT_FRAGS 20
#define PKT_MAX 65536u /* 64 KiB of network-layer packet at most; Ethernet comes on top */

struct pkt_frag {
	struct nbuf *buf; /* owned */
	uint32_t off, len;
};

enum pkt_csum { PKT_CSUM_NONE, PKT_CSUM_OK, PKT_CSUM_PARTIAL };
enum pkt_gso { PKT_GSO_NONE, PKT_GSO_TCP4, PKT_GSO_TCP6, PKT_GSO_UDP }; /* UDP: UDP_SEGMENT */
/* Whom a frame was for (PACKET_* of packet(7)). */
enum pkt_type { PKT_HOST, PKT_BROADCAST, PKT_MULTICAST, PKT_OTHERHOST, PKT_OUTGOING };

/* What the IP layer found in the header of a packet that came in. */
struct pkt_ip {
	struct ip_addr src, dst;
	uint8_t proto;      /* of the upper layer, behind extension headers */
	uint8_t ttl;        /* or hop limit */
	uint8_t tos;        /* or traffic class */
	bool broadcast;     /* dst is a broadcast address of the link */
	uint32_t flowlabel; /* IPv6, host order */
	uint16_t frag_size; /* of the largest fragment that it came in; 0: it came whole */
	uint16_t opt_len;   /* IPv4 options, behind the 20 bytes at l3; IPv6: extension headers,
			     * behind the 40 */
};

struct pkt {
	struct list_node node; /* of whoever owns it */
	struct net_ns *net;    /* borrowed of whoever sends or delivers it: not for a queue */
	struct link *link;     /* owned: where it came in, or leaves; NULL: not known yet */
	uint16_t data, tail;   /* head[data..tail) */
	uint16_t l2, l3, l4;   /* offsets of headers in head; UINT16_MAX: none */
	uint16_t protocol;     /* ETH_P_*, host order */
	uint32_t len;          /* of all: tail - data and the fragments */
	uint32_t charge;       /* truesize: what it counts as against socket buffers */
	uint8_t nfrags, type;  /* type: enum pkt_type */
	uint8_t csum, gso;     /* enum pkt_csum, pkt_gso */
	uint16_t csum_start;   /* offset in head; PKT_CSUM_PARTIAL */
	uint16_t csum_offset;  /* from csum_start */
	uint16_t gso_size, gso_segs;
	uint8_t hops; /* times that it was deferred (link.h) */
	bool looped;  /* a copy of an own multicast, or sent to an own address */
	bool ecn;     /* gso: CWR is to be in the first segment only */
	uint16_t vlan_tci;
	int32_t iif;   /* index of the link that it came in by, for IP_PKTINFO; kept when link moves
			*/
	int64_t stamp; /* CLOCK_REALTIME, ns; 0: none */
	uint32_t mark, priority, hash;
	struct pkt_ip ip; /* in only */
	/* Whose memory it counts against until it is freed, by pkt_charge; owned. */
	struct socket *owner;
	uint32_t owner_charge;
	union {
		uint8_t cb[48]; /* of the layer that has it */
		uint64_t cb_align;
	};
	struct pkt_frag frag[PKT_FRAGS];
	uint8_t head[PKT_HEAD];
};

/* --- making and freeing --- */

/* Half of the packets or buffers that there may be are in use: who only keeps one in case that it
 * is of use one day should not. */
bool pkt_scarce(void);

/* An empty one, with room for PKT_HEADROOM in front.  NULL: out of memory. */
struct pkt *pkt_new(void);
void pkt_free(struct pkt *p); /* NULL-safe; no socket's lock held if it has an owner */
/* Another packet with a copy of the head and the same fragments: NULL: out of memory. */
struct pkt *pkt_clone(const struct pkt *p);

/* --- content --- */

static inline uint8_t *pkt_data(struct pkt *p)
{
	return p->head + p->data;
}
static inline uint8_t *pkt_l2(struct pkt *p)
{
	return p->head + p->l2;
}
static inline uint8_t *pkt_l3(struct pkt *p)
{
	return p->head + p->l3;
}
static inline uint8_t *pkt_l4(struct pkt *p)
{
	return p->head + p->l4;
}
static inline uint32_t pkt_head_len(const struct pkt *p)
{
	return (uint32_t)p->tail - p->data;
}
/* How many packets it will be, or was, on the wire: what counters count. */
static inline uint32_t pkt_segs(const struct pkt *p)
{
	return p->gso_size && p->gso_segs ? p->gso_segs : 1;
}
bool pkt_want_slow(struct pkt *p, uint32_t n);
/* From now on n bytes are in the head.  False: it has less than n, or n does not fit there. */
static inline bool pkt_want(struct pkt *p, uint32_t n)
{
	return n <= pkt_head_len(p) || pkt_want_slow(p, n);
}
/* Takes n bytes off the front, head and fragments; n <= len. */
void pkt_pull(struct pkt *p, uint32_t n);
/* n bytes more in front, to be written by the caller.  NULL: no room is left. */
uint8_t *pkt_push(struct pkt *p, uint32_t n);
/* Cuts it to len bytes. */
void pkt_trim(struct pkt *p, uint32_t len);
/* n bytes more at the end, in the head; NULL: no room, or it has fragments already. */
uint8_t *pkt_put(struct pkt *p, uint32_t n);
/* A range of buf at the end; takes a reference of its own.  False: no room for one more. */
bool pkt_add_frag(struct pkt *p, struct nbuf *buf, uint32_t off, uint32_t len);
/* What p counts as besides its head and the ranges in its fragments: the rest of buffers that it
 * keeps. */
uint32_t pkt_extra_charge(const struct pkt *p);
/* n bytes at the end from src, in head or new buffers: 0, -ENOMEM, -EMSGSIZE. */
int pkt_add(struct pkt *p, const void *src, uint32_t n);
/* The same from a guest: -EFAULT besides.  Sleeps. */
int pkt_add_uio(struct pkt *p, struct uio *u, uint32_t n);
/* The range of src's bytes at the end of p, by reference where they lie in buffers. */
int pkt_add_range(struct pkt *p, const struct pkt *src, uint32_t off, uint32_t len);
/* Copies n bytes from off on; they must be there. */
void pkt_copy(const struct pkt *p, uint32_t off, void *dst, uint32_t n);
/* To a guest: 0 or -EFAULT.  Sleeps. */
int pkt_copy_uio(const struct pkt *p, uint32_t off, struct uio *u, uint32_t n);

/* One piece after the other, for iovecs: *at is 0 first; false at the end. */
bool pkt_piece(const struct pkt *p, uint32_t *at, const uint8_t **base, uint32_t *len);

/* --- checksums (RFC 1071) --- */

/* Ones'-complement sum of n bytes added to sum, not folded; offset parity is the caller's. */
uint32_t csum_add(uint32_t sum, const void *data, uint32_t n);
static inline uint16_t csum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}
/* Of the pseudo header of either family; len of the upper-layer packet. */
uint32_t csum_pseudo(const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
	uint32_t len);
/* Sum of the packet's bytes from off on, head and fragments. */
uint32_t pkt_sum(const struct pkt *p, uint32_t off, uint32_t n);
/* Is the transport checksum of a packet, whose data begins at its transport header, right?  sum:
 * csum_pseudo's.  True without a look if csum says so. */
bool pkt_checksum_ok(struct pkt *p, uint32_t sum);
/* Computes what PKT_CSUM_PARTIAL left open. */
void pkt_checksum_finish(struct pkt *p);
/* Makes the transport checksum at l4 + offset PARTIAL: pseudo is csum_pseudo's. */
void pkt_checksum_partial(struct pkt *p, uint16_t offset, uint32_t pseudo);

/*
 * Cuts a gso packet, which begins at its network header, into packets of gso_size bytes of
 * payload, complete but for their link headers and with their checksums computed, in out.
 * Takes p over.  -ENOMEM, -EINVAL (headers that do not fit together): out is empty.
 */
int pkt_segment(struct pkt *p, struct list_node *out);

/* --- whose memory it is --- */

/* Counts charge of p against s's wmem until it is freed. */
void pkt_set_owner(struct pkt *p, struct socket *s);
/* Let go of at once, as when it goes into a receiver's queue. */
void pkt_orphan(struct pkt *p);

#endif
