/*
 * TCP (RFC 9293) as others see it: start-up, and what /proc/net/tcp and sock_diag tell.
 */
#ifndef SENTRY_NET_TCP_TCP_H
#define SENTRY_NET_TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/net/ipaddr.h"

struct inet_sock;
struct inet_table;
struct net_ns;

void tcp_init(void); /* registers INET_TCP, IPPROTO_TCP and the timers; once */
int tcp_ns_init(struct net_ns *net);
void tcp_ns_fini(struct net_ns *net);

/* Connections and listeners of a namespace: kinds INET_TCP and INET_TCP_TW. */
struct inet_table *tcp_table(struct net_ns *net);

/* One line of /proc/net/tcp; s may be of either kind. */
struct tcp_diag {
	struct ip_addr local, remote;
	uint16_t lport, rport;
	uint8_t family, state;      /* TCP_* */
	uint8_t timer, retransmits; /* timer: 0 none, 1 RTO, 2 keep-alive, 3 TIME_WAIT, 4 persist */
	uint8_t probes, quick;      /* quick: quick << 1 | pingpong */
	uint32_t expires;           /* ms from now */
	uint32_t rqueue, wqueue;    /* a listener: accept queue, its limit */
	uint32_t uid, refs, rto, ato, cwnd; /* rto, ato: ms */
	int32_t ssthresh;                   /* -1: still in slow start */
	uint64_t ino, cookie;
	int32_t bound_if;
	const char *cc; /* its congestion control, a constant; NULL: none */
};
void tcp_diag(struct inet_sock *s, struct tcp_diag *out);
/* Handshakes that wait at a listener: the n-th; false: there is none.  state is TCP_SYN_RECV. */
bool tcp_diag_request(struct inet_sock *listener, uint32_t n, struct tcp_diag *out);
/* SOCK_DESTROY: the peer is reset, the socket's user has ECONNABORTED.  -ENOENT: it is over. */
int tcp_abort(struct inet_sock *s);
/* struct tcp_info of Linux 6.12, at most len bytes: returns how many. */
uint32_t tcp_info_get(struct inet_sock *s, void *out, uint32_t len);
/* For /proc/net/sockstat. */
struct tcp_stat {
	uint32_t in_use, orphans, time_wait, allocated;
	uint64_t pages;
};
void tcp_stat(struct net_ns *net, struct tcp_stat *out);

#endif
