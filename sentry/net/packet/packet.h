/* AF_PACKET: packet(7). */
#ifndef SENTRY_NET_PACKET_PACKET_H
#define SENTRY_NET_PACKET_PACKET_H

struct net_ns;
struct sock_ops;

#include <stdbool.h>
#include <stdint.h>

/* A socket, for /proc/net/packet: the first with a cookie above after; false: there is none. */
struct packet_info {
	uint64_t cookie, ino;
	uint32_t refs, rmem, uid;
	uint16_t proto; /* host order */
	uint8_t type;
	bool running;
	int32_t index;
};
bool packet_info_next(struct net_ns *net, uint64_t after, struct packet_info *out);

void packet_init(void); /* registers the family; once */
int packet_ns_init(struct net_ns *net);
void packet_ns_fini(struct net_ns *net);

#endif
