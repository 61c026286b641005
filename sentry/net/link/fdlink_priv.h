/* Private to fdlink*.c. */
#ifndef SENTRY_NET_LINK_FDLINK_PRIV_H
#define SENTRY_NET_LINK_FDLINK_PRIV_H

#include "lib/handle.h"
#include "sentry/net/link/fdlink.h"
#include "sentry/net/link/link_priv.h"
#include "sentry/net/pkt/pkt.h"

#define FDLINK_BATCH 32
#define FDLINK_BUF (66u << 10) /* an IP packet of 64 KiB and what is around it */
#define FDLINK_KEEP (16u << 10)

/* struct virtio_net_hdr (virtio 1.2, 5.1.6), as PACKET_VNET_HDR and IFF_VNET_HDR have it. */
struct vnet_hdr {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
#define VNET_NEEDS_CSUM 1u
#define VNET_DATA_VALID 2u
#define VNET_GSO_NONE 0u
#define VNET_GSO_TCP4 1u
#define VNET_GSO_UFO 3u
#define VNET_GSO_TCP6 4u
#define VNET_GSO_UDP_L4 5u
#define VNET_GSO_ECN 0x80u

struct fdlink {
	struct link *link; /* whose it is */
	handle_t fd;
	bool tap, vnet_hdr;
	bool uso;          /* atomic */
	bool dead;         /* atomic: nothing is to be had of the descriptor any more */
	uint32_t reading;  /* atomic: somebody has the role */
	uint32_t armed;    /* atomic: epoll will tell the thread of a frame */
	int64_t gap, last; /* ns: between batches, on average; the last one.  Of who has the role */
	int64_t looked;    /* ns, atomic: when a task last did */
	struct nbuf *buf[FDLINK_BATCH]; /* owned; of who has the role */
};

/* --- fdlink_rx.c: the caller has the role --- */
/* Reads up to FDLINK_BATCH frames and delivers them: how many.  The caller calls net_run. */
uint32_t fdlink_read(struct fdlink *f);
/* A frame of len bytes that lies in buf: NULL: it is no good, or no memory.  Takes a reference of
 * buf if it keeps it: *kept. */
struct pkt *fdlink_packet(struct fdlink *f, const struct vnet_hdr *h, struct nbuf *buf,
	uint32_t len, bool *kept);

/* --- fdlink_tx.c --- */
void fdlink_xmit(struct link *l, struct pkt *p);

#endif
