/* Raw sockets (raw(7)) and ICMP sockets of anybody ("ping" sockets, icmp(7)). */
#ifndef SENTRY_NET_RAW_RAW_H
#define SENTRY_NET_RAW_RAW_H

void raw_init(void);
void ping_init(void);

#endif
