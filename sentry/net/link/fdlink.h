/*
 * A link whose frames go through a descriptor of the host: an AF_PACKET socket of a device
 *(SOCK_RAW, PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR), or a tap (IFF_VNET_HDR, IFF_NO_PI).
 *
 * Who reads.  One at a time (the role: fdlink.reading), who delivers what it read:
 *	a task that is about to sleep for want of data, by link_poll, for up to 50 us while frames
 *	follow each other that closely and a CPU is free for it: then nobody needs to be woken
 *	from another CPU; or one that found nothing and does not want to wait, or has sent much;
 *	the sandbox's reader thread, which sleeps in epoll while nothing comes.
 * Whoever gives the role up sees to it that the thread is woken by the next frame, if a task sleeps
 * that may wait for it, or none runs that looks.  While tasks do, the thread is left alone, since
 *each wake-up of it takes a CPU from them and from who sends: it watches, and reads itself what
 *nobody has looked at for a millisecond.
 *
 * The descriptor's other side is the host, but frames are anybody's: every number of a virtio
 * header is checked.  Memory: a frame below FDLINK_KEEP is copied into memory of its size; a larger
 * one stays in the 68 KiB buffer that it came into, and counts as that.
 */
#ifndef SENTRY_NET_LINK_FDLINK_H
#define SENTRY_NET_LINK_FDLINK_H

#include <stdbool.h>
#include <stdint.h>

struct net_ns;
struct ctx;
struct link;

#define FDLINKS_MAX 64u /* a sandbox */

#define FDLINK_TX_CSUM 1u /* the host completes checksums, and cuts large TCP segments */
#define FDLINK_TX_TSO 2u
#define FDLINK_TX_USO                                                                              \
	4u /* and UDP_SEGMENT's; tried once, and left if the host does not know it                 \
	    */
#define FDLINK_TX_ALL 7u

struct fdlink_config {
	int fd; /* non-blocking; taken over, also on failure */
	const char *name;
	int32_t index; /* 0: the next free one */
	uint8_t mac[6];
	uint32_t mtu;
	bool tap;         /* read and written, not received and sent */
	bool vnet_hdr;    /* a struct virtio_net_hdr before each frame, both ways */
	uint32_t offload; /* FDLINK_TX_*; needs vnet_hdr */
};

/* Makes the link, which is down, in net.  out (may be NULL): with a reference.  -ENOMEM, -ENFILE
 * (FDLINKS_MAX), link_register's errors, those of starting a thread. */
int fdlink_create(struct net_ns *net, const struct fdlink_config *cfg, struct link **out);

/* How a task polls instead of sleeping; zeroed at first. */
struct link_spin {
	int64_t until;
	const struct ctx *ctx; /* who ends it when woken; may be NULL */
};
/*
 * For who is about to wait for packets in net (NULL: any), without locks: reads frames, and
 * delivers them, if there are any and nobody else does.  True: look again whether there is
 * something to wait for, and if so call this again.  False: go to sleep.  Waits for data and events
 * do this by ctx_block_idle.
 */
bool link_poll(struct net_ns *net, struct link_spin *s);

void fdlink_init(void);

#endif
