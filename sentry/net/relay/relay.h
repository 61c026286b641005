/*
 * Services on the loopback of the container's namespace on the host (docker's resolver at
 * 127.0.0.11:53, --network-loopback-proxy): sockets of our own stack at the same addresses, and for
 * each client a socket on the host that the warden has connected to the service.
 *
 * And the other way round: what such a service asks port 53 of a server outside comes to sockets of
 * the host that belong to us (runsc-cli/net/outward.h), and for each question a socket of our own
 * stack asks that server.  See relay.c.
 */
#ifndef SENTRY_NET_RELAY_RELAY_H
#define SENTRY_NET_RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/net/socket.h"

#define NET_RELAY_SERVICES 16u
#define NET_RELAY_LISTENERS 64u

struct net_relay_service {
	struct sock_addr addr;
	bool udp;
	bool maybe;     /* for who starts the relay */
	uint32_t index; /* what the warden is asked for */
};

/* A socket of the host, bound to NET_RELAY_PORT of every address: UDP (with IP_PKTINFO), or one
 * that listens. */
#define NET_RELAY_OUTWARD 4u
#define NET_RELAY_PORT 53
struct net_relay_outward {
	int fd;
	uint16_t family;
	bool udp;
};

struct net_relay;

/* Starts to serve n services in net; one that cannot be bound is left out, with a line in the log.
 * mirrors: also those who listen inside, on the host's loopback (mirror.c).  Nothing to do: *out is
 * NULL.  cred: of the kernel, and stays.  0 or -errno. */
int net_relay_start(struct net_ns *net, struct cred *cred, const struct net_relay_service *services,
	uint32_t n, bool mirrors, struct net_relay **out);
/* Once: sockets for the other way, which it takes over. */
void net_relay_give(struct net_relay *r, const struct net_relay_outward *outward, uint32_t n);
/* Ends all of its connections; returns when they are gone.  NULL-safe. */
void net_relay_stop(struct net_relay *r);

#endif
