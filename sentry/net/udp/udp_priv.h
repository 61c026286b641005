/*
 * Private to sentry/net/udp.
 *
 * inet.sk.lock guards what is corked and the route.  Receiving does without it: datagrams go from
 * the table's look-up into the queue.
 */
#ifndef SENTRY_NET_UDP_UDP_PRIV_H
#define SENTRY_NET_UDP_UDP_PRIV_H

#include <errno.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/udp/udp.h"

#define UDP_HLEN 8u
#define UDP_MAX_SEGMENTS 128u /* of UDP_SEGMENT */
#define UDP_CORK_BUF 65536u

/* A datagram on its way: to whom, by which route, with what headers. */
struct udp_out {
	struct flow f;
	struct route rt; /* owned; unless plain */
	bool plain;      /* the socket's own route will do */
	struct inet_cmsg_tx c;
	uint16_t gso_size;
	bool v4;
};

struct udp_sock {
	struct inet_sock inet; /* first */
	/* options; atomic */
	bool cork, gro, no_check6_tx, no_check6_rx;
	uint16_t gso_size;

	/* what MSG_MORE and UDP_CORK hold back; sk.lock */
	struct pkt *pending;
	struct nbuf *pending_buf;
	struct udp_out out;
};

static inline struct udp_sock *udp_of(struct inet_sock *s)
{
	return container_of(s, struct udp_sock, inet);
}
static inline bool udp_v6(const struct ip_addr *a)
{
	return !ip_is_v4(a);
}
/* A counter of the right family. */
#define UDP_INC(net, v6, what) ((v6) ? NET_INC(net, Udp6_##what) : NET_INC(net, Udp_##what))

ssize_t udp_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m);
/* Sends what is held back: UDP_CORK off. */
int udp_push_pending(struct udp_sock *u) REQUIRES(u->inet.sk.lock);
void udp_flush_pending(struct udp_sock *u);
void udp_input(struct pkt *p);
void udp_error(struct pkt *p, const struct ip_error *e);

#endif
