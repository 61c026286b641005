/* AF_PACKET: packet(7). */
#ifndef SENTRY_NET_PACKET_PACKET_H
#define SENTRY_NET_PACKET_PACKET_H

struct net_ns;
struct sock_ops;

void packet_init(void); /* registers the family; once */
int packet_ns_init(struct net_ns *net);
void packet_ns_fini(struct net_ns *net);

#endif
