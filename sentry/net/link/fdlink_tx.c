/* Frames to the host: one call each, headers and data as they lie.  See fdlink.h. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "sentry/net/link/fdlink_priv.h"
#include "sentry/net/net_ns.h"

#define WAIT_MS 1 /* for room in the host's queue, once a frame */

static void count(uint64_t *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

static uint8_t gso_type(const struct pkt *p)
{
	switch (p->gso) {
	case PKT_GSO_TCP4:
		return VNET_GSO_TCP4 | (p->ecn ? VNET_GSO_ECN : 0);
	case PKT_GSO_TCP6:
		return VNET_GSO_TCP6 | (p->ecn ? VNET_GSO_ECN : 0);
	case PKT_GSO_UDP:
		return VNET_GSO_UDP_L4;
	default:
		return VNET_GSO_NONE;
	}
}

static struct vnet_hdr header_of(const struct pkt *p)
{
	struct vnet_hdr h = {0};
	if (p->csum == PKT_CSUM_PARTIAL) {
		h.flags = VNET_NEEDS_CSUM;
		h.csum_start = (uint16_t)(p->csum_start - p->data);
		h.csum_offset = p->csum_offset;
	}
	if (p->gso_size) {
		h.gso_type = gso_type(p);
		h.gso_size = p->gso_size;
		h.hdr_len = (uint16_t)pkt_head_len(p);
	}
	return h;
}

static long send_once(struct fdlink *f, const struct iovec *iov, unsigned int n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = n};
	int fd = handle_fd(f->fd);
	if (f->tap)
		return host_syscall6(SYS_pwritev2, fd, HOST_ARG(iov), n, -1, -1, 0);
	return host_syscall3(SYS_sendmsg, fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wait_for_room(struct fdlink *f)
{
	struct pollfd p = {.fd = handle_fd(f->fd), .events = POLLOUT};
	struct timespec t = {.tv_nsec = WAIT_MS * 1000000L};
	host_syscall6(SYS_ppoll, HOST_ARG(&p), 1, HOST_ARG(&t), 0, 8, 0);
}

/* 0 or what the host said. */
static long send_frame(struct fdlink *f, const struct pkt *p)
{
	struct vnet_hdr h = header_of(p);
	struct iovec iov[2 + PKT_FRAGS];
	unsigned int n = 0;
	const uint8_t *base;
	uint32_t at = 0, len;
	if (f->vnet_hdr)
		iov[n++] = (struct iovec){&h, sizeof(h)};
	while (pkt_piece(p, &at, &base, &len))
		iov[n++] = (struct iovec){(void *)(uintptr_t)base, len};
	long ret = send_once(f, iov, n);
	if (ret == -EAGAIN || ret == -ENOBUFS) {
		wait_for_room(f);
		ret = send_once(f, iov, n);
	}
	return ret < 0 ? ret : 0;
}

void fdlink_xmit(struct link *l, struct pkt *p)
{
	struct fdlink *f = l->fd;
	bool udp = p->gso_size && p->gso == PKT_GSO_UDP;
	if (udp && !READ_ONCE(f->uso)) {
		link_xmit_segments(l, p);
		return;
	}
	long ret = send_frame(f, p);
	if (udp && ret == -EINVAL) { /* a host before Linux 6.2 */
		WRITE_ONCE(f->uso, false);
		link_xmit_segments(l, p);
		return;
	}
	if (ret && p->net)
		NET_DROP(p->net, HOST_BUSY);
	if (ret == -EAGAIN || ret == -ENOBUFS)
		count(&l->stats.tx_dropped);
	else if (ret)
		count(&l->stats.tx_errors);
	net_defer_free(p);
}
