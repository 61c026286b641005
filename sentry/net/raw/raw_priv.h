/*
 * Private to sentry/net/raw.
 *
 * Sockets of either kind are in a list of their namespace (struct inet_list, which holds a
 * reference on each), and are found by walking it: by protocol, or by the identifier of an echo.
 */
#ifndef SENTRY_NET_RAW_RAW_PRIV_H
#define SENTRY_NET_RAW_RAW_PRIV_H

#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/raw/raw.h"

struct raw_sock {
	struct inet_sock inet; /* first */
	/* atomic words */
	uint32_t filter4;    /* ICMP_FILTER: types that are not wanted */
	uint32_t filter6[8]; /* ICMP6_FILTER */
	int32_t checksum;    /* IPV6_CHECKSUM: offset; -1: none */
};

static inline struct raw_sock *raw_of(struct inet_sock *s)
{
	return container_of(s, struct raw_sock, inet);
}

/* A packet on its way out. */
struct raw_out {
	struct ip_addr dst;
	uint16_t port;
	uint32_t scope, flowinfo;
	struct flow f;
	struct route rt;
	struct inet_cmsg_tx c;
	bool v4;
};
/* dst, port, scope are set, or has_peer: options, route, source.  raw_out_fini in any case. */
int raw_out_prepare(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m,
	struct raw_out *o) REQUIRES(s->sk.lock);
void raw_out_fini(struct raw_out *o);
/* A new packet with n bytes from the guest, if the buffer has room: -EAGAIN: skb_wait_wmem. */
int raw_out_fill(struct inet_sock *s, struct uio *u, uint32_t n, struct pkt **out)
	REQUIRES(s->sk.lock);
/* Takes p over. */
int raw_out_send(struct inet_sock *s, struct pkt *p, const struct raw_out *o, uint8_t proto,
	bool hdrincl) REQUIRES(s->sk.lock);
/* Does s, by its names and link, take what came from src to dst? */
bool raw_match(const struct inet_sock *s, const struct ip_addr *dst, const struct ip_addr *src,
	int32_t iif);

#endif
