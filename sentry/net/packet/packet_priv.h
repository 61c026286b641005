/*
 * Private to sentry/net/packet: packet(7).
 *
 * A packet socket is a tap (link.h) of one link or of all links of its namespace, whose function
 * puts a clone of each packet on a queue, or a copy into a ring that the guest has mapped.  The
 * bytes of a clone are shared with whoever else has the packet.
 *
 * Locks.  sk.lock: options, what it is bound to, the rings' making and the transmit ring.  q.lock
 * (LOCK_SOCK_QUEUE, inside): the queue, the receive ring, counters: what the tap's function
 * touches, which is called with any socket's lock.  packet_net->lock (LOCK_SOCK_QUEUE too, never
 * with a queue's): the list of all sockets of a namespace.
 *
 * References: the file, the calls of the tap's function, packets charged to it.
 *
 * The guest writes to the rings whenever it likes: what is read from one is read once and checked.
 */
#ifndef SENTRY_NET_PACKET_PACKET_PRIV_H
#define SENTRY_NET_PACKET_PACKET_PRIV_H

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>

#include "lib/ref.h"
#include "sentry/mem/mappable.h"
#include "sentry/net/link/link.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/net/socket.h"
#include "sentry/time/time.h"

/* Newer than the kernel headers of Debian 12. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif

struct packet_net {
	struct mutex lock;      /* LOCK_SOCK_QUEUE */
	struct list_node socks; /* struct packet_sock.all_node, oldest first */
};

/* The memory of both rings, one run, mapped by guests as a whole. */
struct ring_mem {
	struct mappable m; /* first */
	struct ref ref;
	uint64_t run, len; /* of the memory file */
};

struct packet_ring {
	uint64_t base; /* where it begins in the memory; rx first */
	uint32_t block_size, block_nr, frame_size, frame_nr, per_block;
	uint32_t head; /* next frame (version 3, receiving: block) */
	/* version 3, receiving */
	uint32_t priv, tov_ms, fill; /* fill: where the next packet goes in the open block */
	uint32_t last;               /* where the last one is; 0: none */
	uint64_t seq;
	bool open, frozen;
	int64_t opened;
};

struct packet_mc {
	struct list_node node;
	struct link *link; /* owned */
	uint16_t type, alen;
	uint32_t count;
	uint8_t addr[LINK_ADDR_MAX];
};

struct packet_sock {
	struct socket sk; /* first */
	struct ref ref;
	struct list_node all_node;
	struct link_tap tap;
	struct link *link; /* owned: that it is bound to; NULL: all */
	int32_t ifindex;   /* 0: all; -1: its link is gone */
	uint16_t proto;    /* host order; 0: nothing is received */
	bool tapped;

	struct {
		struct mutex lock; /* LOCK_SOCK_QUEUE */
		struct list_node list;
		uint32_t len, rmem; /* atomic */
		uint32_t mem_pages; /* what rmem counts as (net/mem.h) */
		struct packet_ring rx;
		uint32_t packets, drops, freezes;
	} q;
	struct packet_ring tx;
	struct ring_mem *mem; /* owned; NULL: no rings */
	uint32_t mapped;
	struct ktimer
		retire; /* version 3: a block that is not full; holds a reference while armed */
	bool retire_on;

	/* options; words */
	uint8_t version; /* TPACKET_V1 ... */
	uint32_t reserve, tstamp;
	bool auxdata, origdev, loss, tx_has_off, ignore_outgoing, qdisc_bypass;
	uint8_t vnet_hdr;    /* bytes: 0, 10, 12 */
	struct list_node mc; /* struct packet_mc; sk.lock */
};

static inline struct packet_sock *packet_of(struct socket *s)
{
	return container_of(s, struct packet_sock, sk);
}
static inline struct packet_sock *packet_get(struct packet_sock *s)
{
	ref_get(&s->ref);
	return s;
}
void packet_put(struct packet_sock *s);

/* What a tap sees of a packet, as Linux shows it: a link header (on loopback, which has none here,
 * one with addresses of zeros), then the packet from its network header on. */
struct packet_view {
	const struct pkt *p;
	uint8_t mac[ETH_HLEN];
	uint32_t maclen;
	uint32_t l3;  /* offset of the network header from p's data */
	uint32_t len; /* with the link header */
};

/* --- ring.c --- */
int packet_set_ring(struct packet_sock *s, const struct tpacket_req3 *rq, bool tx)
	REQUIRES(s->sk.lock);
void packet_free_rings(struct packet_sock *s);
/* Puts the packet there: false: no room. */
bool packet_ring_put(struct packet_sock *s, const struct packet_view *v, uint32_t snaplen)
	REQUIRES(s->q.lock);
bool packet_ring_readable(struct packet_sock *s);
bool packet_ring_writable(struct packet_sock *s);
/* Sends what the transmit ring has: bytes, or -errno. */
ssize_t packet_ring_send(struct packet_sock *s, struct sock_msg *m) REQUIRES(s->sk.lock);
void packet_ring_init(void);

/* --- packet.c --- */
void packet_copy(const struct packet_view *v, uint32_t from, uint8_t *to, uint32_t n);
/* p's as PACKET_VNET_HDR shows it; the frame that the guest gets begins shift bytes before p's
 * data. */
void packet_vnet_hdr(const struct pkt *p, int32_t shift, struct virtio_net_hdr_mrg_rxbuf *h);
/* The link header of a SOCK_DGRAM's packet: -EINVAL, -ENOBUFS. */
int packet_put_header(const struct link *l, struct pkt *p, const struct sock_addr *to,
	uint16_t proto);
void packet_fill_addr(const struct packet_view *v, bool origdev, struct abi_sockaddr_ll *a);
/* A whole frame of n bytes in p (data begins at the link header) goes out by l. */
int packet_xmit(struct packet_sock *s, struct link *l, struct pkt *p, uint16_t proto);
struct link *packet_link_of(struct packet_sock *s, const struct sock_addr *to, uint16_t *proto,
	int *err) REQUIRES(s->sk.lock);

/* --- packet_opt.c --- */
int packet_has_option(struct socket *sk, int level, int name, bool set);
int packet_setsockopt(struct ctx *ctx, struct socket *s, int level, int name, const void *val,
	uint32_t len);
int packet_getsockopt(struct ctx *ctx, struct socket *s, int level, int name, void *val,
	uint32_t *len);
void packet_drop_memberships(struct packet_sock *s);

#endif
