/*
 * Private to sentry/net/inet.
 */
#ifndef SENTRY_NET_INET_INET_PRIV_H
#define SENTRY_NET_INET_INET_PRIV_H

#include <errno.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/core/root.h"
#include "sentry/net/inet/inet.h"
#include "sentry/net/inet/table.h"

#define SIN6_LEN_RFC2133 24u /* without sin6_scope_id */

/* A port in use: table.c, port.c. */
struct inet_bucket {
	struct inet_bucket *next;
	uint16_t port;
	bool by_connect;        /* only connect(2) chose it so far: others may share it so */
	struct list_node socks; /* all: inet_sock.bind_node */
	struct list_node open;  /* listeners, or unconnected: inet_sock.conn_node */
};

#define INET_BIND_CHAINS 16u

struct inet_bind_shard {
	struct mutex lock; /* LOCK_INET_TABLE */
	uint64_t seq;
	struct inet_bucket *chain[INET_BIND_CHAINS];
};

struct inet_conn_shard {
	struct mutex lock; /* LOCK_INET_TABLE, inside a bind shard's */
	uint32_t nchain, count;
	uint64_t seq;
	struct list_node *chain;
};

#define INET_PERTURB 256u
struct inet_table {
	struct inet_bind_shard bind[INET_BIND_SHARDS];
	struct inet_conn_shard conn[INET_CONN_SHARDS];
	uint32_t perturb[INET_PERTURB]; /* RFC 6056, 3.3.4; atomic */
	uint64_t key[4];                /* of the hash: the namespace's secret */
};

static inline struct inet_bind_shard *inet_bind_shard(struct inet_table *t, uint16_t port)
{
	return &t->bind[port % INET_BIND_SHARDS];
}

/* --- table.c --- */
uint64_t inet_hash(const struct inet_table *t, const struct ip_addr *local, uint16_t lport,
	const struct ip_addr *remote, uint16_t rport);
struct inet_bucket *inet_bucket_find(struct inet_bind_shard *b, uint16_t port) REQUIRES(b->lock);
struct inet_bucket *inet_bucket_new(struct inet_bind_shard *b, uint16_t port) REQUIRES(b->lock);
void inet_bucket_add(struct inet_bind_shard *b, struct inet_bucket *k, struct inet_sock *s)
	REQUIRES(b->lock);
/* Takes s out; frees a bucket that is empty then.  Its reference is the caller's to drop. */
void inet_bucket_del(struct inet_bind_shard *b, struct inet_sock *s) REQUIRES(b->lock);
void inet_open_add(struct inet_bind_shard *b, struct inet_sock *s) REQUIRES(b->lock);
void inet_open_del(struct inet_bind_shard *b, struct inet_sock *s) REQUIRES(b->lock);
/* Puts s, whose names are set, among the connections; the shard of its port may be locked.  *old:
 * who was replaced, with the table's reference.  -EADDRINUSE, -ENOMEM. */
int inet_conn_add(struct inet_table *t, struct inet_sock *s, bool unique, inet_reuse_fn reuse,
	struct inet_sock **old);

/* --- name.c --- */
int inet_bind_check(struct ctx *ctx, struct inet_sock *s, const struct sock_addr *a,
	struct ip_addr *ip, uint16_t *port, int32_t *scope);
int inet_connect_check(struct inet_sock *s, const struct sock_addr *a, struct ip_addr *ip,
	uint16_t *port) REQUIRES(s->sk.lock);

/* An address of f's family that stands for none. */
static inline struct ip_addr inet_any_like(const struct ip_addr *a)
{
	return ip_is_v4(a) ? IP_ANY4 : IP_ANY6;
}
static inline struct ip_addr inet_loopback_like(const struct ip_addr *a)
{
	struct ip_addr r = IP_ANY6;
	if (ip_is_v4(a))
		return ip_v4(__builtin_bswap32(0x7f000001u));
	r.b[15] = 1;
	return r;
}
static inline bool inet_is_connected(const struct inet_sock *s)
{
	return s->rport || !ip_is_any(&s->remote);
}

#endif
