/* UDP (RFC 768, 2460 8.1): registers itself with inet/ and ip/. */
#ifndef SENTRY_NET_UDP_UDP_H
#define SENTRY_NET_UDP_UDP_H

void udp_init(void);

#endif
