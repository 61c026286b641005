/*
 * Frames from the host: see fdlink.h.  What the virtio header says of a frame is believed as far
 * as it fits the frame; else the frame is dropped.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "sentry/net/link/fdlink_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/time/time.h"

#define HEAD_START 34u /* of a frame in the head: the network header is aligned */
#define HEAD_ROOM (PKT_HEAD - HEAD_START)
#define HEAD_OF_LARGE 128u /* so many bytes of a larger frame; room for more headers is left */

static void count(uint64_t *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* The namespace may be going: the link's counters are there in any case. */
static void drop(struct fdlink *f, bool bad)
{
	struct net_ns *net = link_net_get(f->link);
	count(bad ? &f->link->stats.rx_errors : &f->link->stats.rx_dropped);
	if (net && bad)
		NET_DROP(net, VNET_HEADER);
	else if (net)
		NET_DROP(net, NO_MEMORY);
	net_ns_put(net);
}

/* The checksum that is left open must lie in what is in the head. */
static bool take_csum(struct pkt *p, const struct vnet_hdr *h)
{
	if (!(h->flags & VNET_NEEDS_CSUM)) {
		if (h->flags & VNET_DATA_VALID)
			p->csum = PKT_CSUM_OK;
		return true;
	}
	uint32_t field = (uint32_t)h->csum_start + h->csum_offset;
	if (h->csum_start < ETH_HLEN || field + 2 > pkt_head_len(p))
		return false;
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_start = (uint16_t)(p->data + h->csum_start);
	p->csum_offset = h->csum_offset;
	return true;
}

static bool take_gso(struct pkt *p, const struct vnet_hdr *h)
{
	uint8_t type = h->gso_type & (uint8_t)~VNET_GSO_ECN;
	if (type == VNET_GSO_NONE || type == VNET_GSO_UFO)
		return true; /* UFO: one large datagram, whose parts are nobody's business */
	if (type == VNET_GSO_TCP4)
		p->gso = PKT_GSO_TCP4;
	else if (type == VNET_GSO_TCP6)
		p->gso = PKT_GSO_TCP6;
	else if (type == VNET_GSO_UDP_L4)
		p->gso = PKT_GSO_UDP;
	else
		return false;
	if (!h->gso_size || p->csum == PKT_CSUM_NONE)
		return false;
	p->gso_size = h->gso_size;
	p->gso_segs = (uint16_t)MIN((p->len + h->gso_size - 1) / h->gso_size, 65535u);
	p->ecn = h->gso_type & VNET_GSO_ECN;
	return true;
}

/* The frame's bytes behind its head. */
static bool take_rest(struct pkt *p, struct nbuf *buf, uint32_t len, bool *kept)
{
	uint32_t rest = len - HEAD_OF_LARGE;
	if (len >= FDLINK_KEEP) {
		if (!pkt_add_frag(p, buf, HEAD_OF_LARGE, rest))
			return false;
		p->charge += buf->charge - rest; /* all of it is kept */
		*kept = true;
		return true;
	}
	struct nbuf *own = nbuf_new(rest);
	if (!own)
		return false;
	memcpy(own->data, buf->data + HEAD_OF_LARGE, rest);
	own->used = rest;
	bool ok = pkt_add_frag(p, own, 0, rest);
	nbuf_put(own);
	return ok;
}

struct pkt *fdlink_packet(struct fdlink *f, const struct vnet_hdr *h, struct nbuf *buf,
	uint32_t len, bool *kept)
{
	struct pkt *p = pkt_new();
	*kept = false;
	if (!p) {
		drop(f, false);
		return NULL;
	}
	p->data = p->tail = HEAD_START;
	uint32_t head = len <= HEAD_ROOM ? len : HEAD_OF_LARGE;
	memcpy(pkt_put(p, head), buf->data, head);
	if (head < len && !take_rest(p, buf, len, kept)) {
		drop(f, false);
		pkt_free(p);
		return NULL;
	}
	if (len < ETH_HLEN || !take_csum(p, h) || !take_gso(p, h)) {
		drop(f, true);
		pkt_free(p);
		*kept = false;
		return NULL;
	}
	p->link = link_get(f->link);
	return p;
}

/* Buffers for a batch: how many of them there are, from the first on. */
static unsigned int fill(struct fdlink *f)
{
	for (unsigned int i = 0; i < FDLINK_BATCH; i++)
		if (!f->buf[i] && !(f->buf[i] = nbuf_new(FDLINK_BUF)))
			return i;
	return FDLINK_BATCH;
}

/* The i-th buffer has len bytes that came in. */
static void deliver(struct fdlink *f, unsigned int i, const struct vnet_hdr *h, uint32_t len)
{
	bool kept;
	struct pkt *p = fdlink_packet(f, h, f->buf[i], len, &kept);
	if (!p)
		return;
	if (kept) { /* by the packet only */
		nbuf_put(f->buf[i]);
		f->buf[i] = NULL;
	}
	link_input(p);
}

/* Nothing came.  A device that is gone, or an end of file, will not bring anything any more. */
static void look_at_error(struct fdlink *f, long err)
{
	if (err == -EAGAIN || err == -EINTR || err == -ENETDOWN || err == -ENOBUFS)
		return;
	WRITE_ONCE(f->dead, true);
}

static uint32_t read_tap(struct fdlink *f, unsigned int room)
{
	uint32_t n = 0;
	for (; n < room; n++) {
		struct vnet_hdr h = {0};
		struct iovec iov[2] = {{&h, sizeof(h)}, {f->buf[n]->data, FDLINK_BUF}};
		unsigned int first = f->vnet_hdr ? 0 : 1;
		long got = host_syscall6(SYS_preadv2, handle_fd(f->fd), HOST_ARG(iov + first),
			2 - first, -1, -1, 0);
		if (got <= 0) {
			look_at_error(f, got);
			break;
		}
		uint32_t skip = f->vnet_hdr ? sizeof(h) : 0;
		if ((uint32_t)got > skip)
			deliver(f, n, &h, (uint32_t)got - skip);
	}
	return n;
}

static uint32_t read_socket(struct fdlink *f, unsigned int room)
{
	struct mmsghdr m[FDLINK_BATCH];
	struct vnet_hdr h[FDLINK_BATCH];
	struct iovec iov[FDLINK_BATCH][2];
	memset(m, 0, sizeof(m));
	for (unsigned int i = 0; i < room; i++) {
		unsigned int first = f->vnet_hdr ? 0 : 1;
		h[i] = (struct vnet_hdr){0};
		iov[i][0] = (struct iovec){&h[i], sizeof(h[i])};
		iov[i][1] = (struct iovec){f->buf[i]->data, FDLINK_BUF};
		m[i].msg_hdr.msg_iov = &iov[i][first];
		m[i].msg_hdr.msg_iovlen = 2 - first;
	}
	long n = host_syscall5(SYS_recvmmsg, handle_fd(f->fd), m, room, MSG_DONTWAIT, 0);
	/* Of a socket whose other end is gone a message of no bytes comes for ever. */
	if (n <= 0 || !m[0].msg_len)
		look_at_error(f, MIN(n, 0L));
	for (long i = 0; i < n; i++) {
		uint32_t skip = f->vnet_hdr ? sizeof(h[i]) : 0;
		if (m[i].msg_hdr.msg_flags & MSG_TRUNC)
			count(&f->link->stats.rx_errors);
		else if (m[i].msg_len > skip)
			deliver(f, (unsigned int)i, &h[i], m[i].msg_len - skip);
	}
	return n > 0 && !f->dead ? (uint32_t)n : 0;
}

uint32_t fdlink_read(struct fdlink *f)
{
	unsigned int room = f->dead ? 0 : fill(f);
	if (!room)
		return 0;
	uint32_t n = f->tap ? read_tap(f, room) : read_socket(f, room);
	if (n) {
		int64_t now = time_monotonic(), gap = MIN(now - f->last, (int64_t)1000000);
		f->gap += (gap - f->gap) / 8;
		WRITE_ONCE(f->last, now);
	}
	return n;
}
