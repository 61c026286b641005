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
/* All of s's SO_REUSEPORT group choose by f; NULL: by hash. */
void inet_group_set_prog(struct inet_table *t, struct inet_sock *s, struct sock_filter_prog *f);
/* s has a port now: it has the program that its group has.  Shard locked. */
void inet_group_join(struct inet_sock *s);
struct inet_table *inet_table_of(const struct inet_sock *s); /* by its kind; NULL */
/* Puts s, whose names are set, among the connections; the shard of its port may be locked.  *old:
 * who was replaced, with the table's reference.  -EADDRINUSE, -ENOMEM. */
int inet_conn_add(struct inet_table *t, struct inet_sock *s, bool unique, inet_reuse_fn reuse,
	struct inet_sock **old);

/* What a queued packet has in its cb. */
struct inet_cb {
	uint32_t drops; /* of the socket, when it was queued: SO_RXQ_OVFL */
	uint16_t port;  /* of the sender */
	uint16_t dport;
	/* on the error queue */
	uint8_t ee[16];          /* struct sock_extended_err */
	struct ip_addr offender; /* any: none */
	bool stamps;             /* ts[] of SO_TIMESTAMPING go with it */
};
static inline struct inet_cb *inet_cb(struct pkt *p)
{
	return (struct inet_cb *)p->cb;
}
_Static_assert(sizeof(struct inet_cb) <= sizeof(((struct pkt *)NULL)->cb), "cb");

/* What few sockets have; sk.lock. */
struct inet_ext { /* an extension header that is sent with every packet */
	uint8_t *data;
	uint32_t len;
};
struct inet_opt {
	uint8_t ip4[40]; /* IP_OPTIONS, compiled */
	uint8_t ip4_len;
	struct ip_addr ip4_via;
	struct inet_ext hop, dst0, rthdr, dst1;
	struct ip_addr pktinfo6; /* IPV6_PKTINFO, sticky */
	int32_t pktinfo6_if;
	uint8_t *ext; /* those four as ip_tx wants them; or NULL */
	uint32_t ext_len;
	uint8_t ext_first;
	uint32_t addr_prefs, nmc, rtalert;
	struct list_node mc; /* struct inet_mc: mcast.c */
};
/* s->opt, made if need be; NULL: no memory. */
struct inet_opt *inet_opt_get(struct inet_sock *s);
void inet_opt_free(struct inet_sock *s);

/* --- inet.c --- */
void inet_free_packets(struct list_node *list);

/* --- opt4.c, opt6.c, mcopt.c, solopt.c --- */
static inline void inet_set_cmsg(struct inet_sock *s, uint32_t bit, bool on)
{
	if (on)
		__atomic_fetch_or(&s->cmsg, bit, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&s->cmsg, ~bit, __ATOMIC_RELAXED);
}
/* The priority of packets with that type of service. */
uint8_t inet_tos_priority(uint8_t tos);
int inet4_setsockopt(struct ctx *ctx, struct inet_sock *s, int name, const void *val, uint32_t len);
int inet4_getsockopt(struct inet_sock *s, int name, void *val, uint32_t *len);
int inet6_setsockopt(struct ctx *ctx, struct inet_sock *s, int name, const void *val, uint32_t len);
int inet6_getsockopt(struct inet_sock *s, int name, void *val, uint32_t *len);
bool inet_mc_is_option(int name, int family);
int inet_mc_setsockopt(struct inet_sock *s, int family, int name, const void *val, uint32_t len);
int inet_mc_getsockopt(struct inet_sock *s, int family, int name, void *val, uint32_t *len);
int inet_set_sol(struct ctx *ctx, struct socket *sk, int name, const void *val, uint32_t len);
int inet_get_sol(struct ctx *ctx, struct socket *sk, int name, void *val, uint32_t *len);
/* What is on the error queue goes: IP_RECVERR is off. */
void inet_purge_errors(struct inet_sock *s);

/* --- mcast.c --- */
struct inet_mc_req {
	struct ip_addr group,
		ifaddr; /* ifaddr: of the link, if there is no ifindex; any: by route */
	int32_t ifindex;
};
#define INET_MC_SOURCES 512u /* so many at most, whatever the tunables say */
/* By them; at most that, which is the room that readers of a filter have. */
uint32_t inet_mc_max_sources(const struct inet_sock *s, bool v4);
int inet_mc_join(struct inet_sock *s, const struct inet_mc_req *r, uint8_t mode)
	REQUIRES(s->sk.lock);
int inet_mc_leave(struct inet_sock *s, const struct inet_mc_req *r) REQUIRES(s->sk.lock);
/* One source more or less in a filter of that mode. */
int inet_mc_source(struct inet_sock *s, const struct inet_mc_req *r, const struct ip_addr *src,
	uint8_t mode, bool add) REQUIRES(s->sk.lock);
int inet_mc_set_filter(struct inet_sock *s, const struct inet_mc_req *r, uint32_t mode,
	const struct ip_addr *sources, uint32_t n) REQUIRES(s->sk.lock);
/* *n: room in sources, then how many there are. */
int inet_mc_get_filter(struct inet_sock *s, const struct inet_mc_req *r, uint32_t *mode,
	struct ip_addr *sources, uint32_t *n) REQUIRES(s->sk.lock);

/* --- cmsg.c, cmsg_in.c --- */
void inet_cmsg_out_gro(struct pkt *p, struct sock_msg *m);
/* Those of IP, for the error queue. */
void inet_cmsg_out_ip(struct inet_sock *s, struct pkt *p, struct sock_msg *m);
/* Four headers as one chain in a new buffer: -ENOMEM. */
int inet_ext_chain(const struct inet_ext *hop, const struct inet_ext *dst0,
	const struct inet_ext *rthdr, const struct inet_ext *dst1, uint8_t **buf, uint32_t *len,
	uint8_t *first);
/* IP options as Linux' ip_options_compile takes them from a user: checks, pads; *len is at most 40.
 * -EINVAL, -EPERM. */
int inet_ip4_options(struct ctx *ctx, const uint8_t *from, uint32_t n, uint8_t out[40],
	uint8_t *len, struct ip_addr *via);
/* May this routing header be sent? */
bool inet_rthdr_ok(const uint8_t *h, uint32_t len);

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
	return inet_loopback_of(ip_is_v4(a));
}

#endif
