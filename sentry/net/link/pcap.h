/*
 * --pcap-log: every frame of every link, as pcapng (draft-ietf-opsawg-pcapng), into a file.  A link
 * is an interface there, named NAME, with its namespace as description; large segments are logged
 * as they are, as tcpdump sees them.
 */
#ifndef SENTRY_NET_LINK_PCAP_H
#define SENTRY_NET_LINK_PCAP_H

#include <stdbool.h>
#include <stdint.h>

struct net_ns;

/* Takes over fd, which is written to.  Before the first namespace is made; once.  Ends when
 * max_bytes are written (0: never).  0, -ENFILE, or what writing failed with. */
int pcap_start(int fd, uint64_t max_bytes);
/* Frames that came after the end, or did not fit. */
uint64_t pcap_missed(void);

void pcap_init(void);
void pcap_ns_init(struct net_ns *net); /* of net_ns.c */
void pcap_ns_fini(struct net_ns *net);

#endif
