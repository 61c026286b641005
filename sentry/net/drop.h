/* Why packets were dropped, counted for each namespace: for `runsc debug`. */
#ifndef SENTRY_NET_DROP_H
#define SENTRY_NET_DROP_H

/* X(reason, name): by the layer that drops. */
#define NET_DROP_LIST(X)                                                                           \
	X(LINK_DOWN, "link_down")       /* out by a link that is down, or gone */                  \
	X(FRAME_SHORT, "frame_short")   /* in: less than its header */                             \
	X(NO_PROTOCOL, "no_protocol")   /* in: nobody takes this kind */                           \
	X(DEFER_FULL, "backlog_full")   /* netdev_max_backlog */                                   \
	X(DEFER_HOPS, "loop")           /* went round too often */                                 \
	X(VNET_HEADER, "virtio_header") /* in: a virtio header that does not fit */                \
	X(HOST_BUSY, "host_busy")       /* out: the host's queue is full */                        \
	X(NO_MEMORY, "no_memory")                                                                  \
	X(NEIGH_QUEUE, "neighbour_queue")   /* too much waits for one neighbour */                 \
	X(NEIGH_FAILED, "neighbour_failed") /* nobody answered */                                  \
	X(ARP_MALFORMED, "arp_malformed") X(NDP_MALFORMED, "ndp_malformed")

enum net_drop {
#define X(reason, name) NET_DROP_##reason,
	NET_DROP_LIST(X)
#undef X
		NET_DROP_NR
};

#define NET_DROP(net, reason)                                                                      \
	((void)__atomic_add_fetch(&(net)->mib->drop[NET_DROP_##reason], 1, __ATOMIC_RELAXED))
const char *net_drop_name(enum net_drop why);

#endif
