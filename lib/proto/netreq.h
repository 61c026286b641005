/*
 * What the sentry asks of the warden, which is in the container's network namespace and has
 * privileges there: a SOCK_SEQPACKET pair, one request and one reply at a time.
 *
 *	NETREQ_BIND	with a descriptor: bind this TCP or UDP socket to a port below 1024
 *	NETREQ_OPEN	a socket, connected or connecting to the loopback service of this number; it
 *			comes with the reply and does not block
 *	NETREQ_LISTEN	a socket that listens at this loopback address and port (TCP); the same
 *
 * A reply is a struct netreq_reply.  The warden trusts nothing of a request (runsc-cli/netreq.c
 *says what it does).
 */
#ifndef LIB_PROTO_NETREQ_H
#define LIB_PROTO_NETREQ_H

#include <stdint.h>

enum netreq_op { NETREQ_BIND = 1, NETREQ_OPEN = 2, NETREQ_LISTEN = 3 };

#define NETREQ_ADDR_MAX 28 /* struct sockaddr_in6 */

struct netreq {
	uint32_t op;
	uint32_t addr_len; /* BIND, LISTEN */
	uint8_t addr[NETREQ_ADDR_MAX];
	uint32_t service; /* OPEN */
};

struct netreq_reply {
	int32_t err; /* 0 or -errno */
};

#endif
