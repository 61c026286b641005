/*
 * Sockets of AF_INET and AF_INET6: what TCP, UDP, raw and ping sockets have in common.
 * ip(7), ipv6(7).
 *
 * A struct inet_sock begins the object of each protocol (struct tcp_sock, udp_sock,
 * raw_sock); the protocol registers operations by a number (enum inet_kind), and
 * inet.c is the table of struct sock_ops that both families share: it checks and
 * translates addresses, has the options of SOL_IP and SOL_IPV6 (opt4.c, opt6.c), the
 * error queue (errqueue.c) and control messages (cmsg.c), and calls the protocol.
 *
 * Addresses are struct ip_addr in either family, ports in host order.  A socket of AF_INET6
 * that is not v6only also has IPv4 peers (mapped addresses).
 *
 * Locks.  sk.lock guards the socket; a receiving path that finds it taken puts the packet on
 * the backlog, which inet_unlock works off: so nobody waits for a socket whose owner copies from a
 * guest.
 *   inet_lock(s) ... inet_unlock(s)     from calls and timers; ends in net_run
 *   inet_input(s, p)                    from the stack: ops->input now, or on the backlog
 * Tables of ports and connections (table.h) have locks of their own inside it.
 *
 * References (ref): the file (until release), the tables, timers that are armed, packets under way
 * that are charged to it, and whoever looked it up.  Memory goes with the last one; a protocol
 * may live on after the file is gone (TCP).
 */
#ifndef SENTRY_NET_INET_INET_H
#define SENTRY_NET_INET_INET_H

#include "lib/ref.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/socket.h"

/* INET_TCP_TW: a connection in TIME_WAIT, of which no more than what is before route is there. */
enum inet_kind { INET_TCP, INET_UDP, INET_RAW, INET_PING, INET_TCP_TW, INET_KIND_NR = 8 };

struct inet_opt; /* what few sockets set: IP options, sticky IPv6 headers, groups (inet_priv.h) */

struct inet_sock {
	struct socket sk; /* first */
	struct ref ref;
	uint8_t kind;  /* enum inet_kind */
	uint8_t proto; /* IPPROTO_* in the IP header */

	/* --- names; table.h says which lock guards their place in the tables --- */
	struct ip_addr bound; /* by bind(2); any */
	struct ip_addr local; /* what packets carry: bound, or chosen by connect */
	struct ip_addr remote;
	uint16_t lport, rport; /* 0: none */
	uint16_t last_port; /* that a connection had which is over: getsockname(2) goes on to say it
			     */
	int32_t bound_if;   /* SO_BINDTODEVICE, atomic; 0: none */
	uint32_t scope_id;  /* of a link-local remote */
	uint32_t uid;       /* of who made it: route rules, REUSEPORT, /proc */

	/* table.h's */
	struct list_node bind_node; /* in bucket->socks, by bind_seq */
	struct list_node conn_node; /* among the connections, or in bucket->open */
	struct inet_bucket *bucket;
	uint64_t bind_seq, walk_seq;
	struct sock_filter_prog
		*group_prog; /* of its SO_REUSEPORT group; owned; its shard's lock */
	uint32_t conn_hash;
	bool hashed;   /* in the table of connections */
	bool open;     /* in bucket->open: gets what no connection wants */
	bool timewait; /* stands for a connection that is over: bind(2) asks */
	bool nosrc;    /* bound to a group or broadcast address, which nothing is sent from */
	uint8_t locks; /* INET_LOCK_*; sk.lock */

	/* --- options; atomic words --- */
	bool v6only, freebind, transparent, recverr4, recverr6, hdrincl, mc_loop4, mc_loop6,
		mc_all4, mc_all6, nodefrag, bind_no_port, passsec, dontfrag6, autoflowlabel,
		recverr_rfc4884;
	uint8_t tos, tclass;
	int16_t ttl, mc_ttl, hop_limit, mc_hops; /* -1: the default */
	uint8_t pmtudisc4, pmtudisc6, min_ttl, min_hops;
	int32_t mc_if4, mc_if6, ucast_if4, ucast_if6;
	struct ip_addr mc_addr4; /* IP_MULTICAST_IF */
	uint32_t frag_size4, frag_size6, flowlabel;
	uint32_t cmsg;             /* INET_CMSG_*: what recvmsg is to tell */
	uint16_t port_lo, port_hi; /* IP_LOCAL_PORT_RANGE */
	struct inet_opt *opt;      /* owned; NULL: nothing set */

	struct route route; /* to remote; sk.lock */

	/* --- input --- */
	struct mutex backlog_lock; /* LOCK_BACKLOG */
	struct list_node backlog;  /* struct pkt.node */
	uint32_t backlog_len;      /* atomic: bytes (charge) on it */
	uint32_t rmem;             /* atomic: charge of what is queued for the receiver */
	uint32_t mem_pages;        /* what these count as of tcp_mem or udp_mem (net/mem.h) */
	uint32_t drops;            /* atomic */
	struct list_node rq;       /* datagrams: struct pkt.node; rq_lock */
	uint32_t rq_len, rq_seq;   /* atomic: how many wait; how many came so far */
	struct mutex rq_lock;      /* LOCK_SOCK_QUEUE: rq and errq of datagram sockets */
	struct list_node errq;     /* struct pkt.node: IP_RECVERR, timestamps, zerocopy */
	uint32_t errq_len;         /* atomic */
};

/* What bind(2) said, which disconnecting does not undo. */
#define INET_LOCK_ADDR 1u
#define INET_LOCK_PORT 2u

#define INET_CMSG_PKTINFO4 1u
#define INET_CMSG_TTL 2u
#define INET_CMSG_TOS 4u
#define INET_CMSG_RECVOPTS 8u
#define INET_CMSG_RETOPTS 16u
#define INET_CMSG_ORIGDST 32u
#define INET_CMSG_FRAGSIZE 64u
#define INET_CMSG_PKTINFO6 128u
#define INET_CMSG_HOPLIMIT 256u
#define INET_CMSG_TCLASS 512u
#define INET_CMSG_FLOWINFO 1024u
#define INET_CMSG_RTHDR 2048u
#define INET_CMSG_HOPOPTS 4096u
#define INET_CMSG_DSTOPTS 8192u
#define INET_CMSG_ORIGDST6 16384u
#define INET_CMSG_CHECKSUM 32768u
#define INET_CMSG_2292PKTINFO (1u << 16)
#define INET_CMSG_2292HOPLIMIT (1u << 17)
#define INET_CMSG_2292RTHDR (1u << 18)
#define INET_CMSG_2292HOPOPTS (1u << 19)
#define INET_CMSG_2292DSTOPTS (1u << 20)
#define INET_CMSG_FRAGSIZE6 (1u << 21)
#define INET_CMSG_PATHMTU (1u << 22)
#define INET_CMSG_SNDFLOW (1u << 23) /* IPV6_FLOWINFO_SEND */

struct inet_ops {
	/* sk.type and sk.protocol this kind is; checked by inet.c */
	int (*create)(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
		struct inet_sock **out);
	/* The address is checked, and fine to bind to; takes the port (0: one is chosen). */
	int (*bind)(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
		uint32_t flags);
	/* Before the address is looked at: 1: go on; else what connect(2) returns.  May be NULL. */
	int (*pre_connect)(struct ctx *ctx, struct inet_sock *s, bool nonblock);
	int (*connect)(struct ctx *ctx, struct inet_sock *s, const struct ip_addr *a, uint16_t port,
		bool nonblock);
	int (*disconnect)(struct ctx *ctx, struct inet_sock *s); /* connect to AF_UNSPEC */
	int (*listen)(struct ctx *ctx, struct inet_sock *s, uint32_t backlog);
	int (*accept)(struct ctx *ctx, struct inet_sock *s, bool nonblock, struct inet_sock **out);
	void (*unaccept)(struct inet_sock *listener, struct inet_sock *s);
	bool (*connected)(struct inet_sock *s); /* for getpeername */
	ssize_t (*send)(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m);
	ssize_t (*recv)(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m);
	int (*shutdown)(struct inet_sock *s, uint32_t how);
	/* Levels other than SOL_SOCKET, SOL_IP and SOL_IPV6: -ENOPROTOOPT. */
	int (*setsockopt)(struct ctx *ctx, struct inet_sock *s, int level, int name,
		const void *val, uint32_t len);
	int (*getsockopt)(struct ctx *ctx, struct inet_sock *s, int level, int name, void *val,
		uint32_t *len);
	uint32_t (*poll)(struct inet_sock *s);
	long (*ioctl)(struct ctx *ctx, struct inet_sock *s, uint32_t cmd, uint64_t arg);
	void (*changed)(struct inet_sock *s, int level,
		int name);                    /* an option of a lower level was set */
	void (*release)(struct inet_sock *s); /* the file is gone; takes over its reference */
	void (*destroy)(
		struct inet_sock *s); /* the last reference is gone: gives the memory back */
	/* Of inet_input (TCP; datagrams are queued without the lock): with sk.lock, takes p over.
	 */
	void (*input)(struct inet_sock *s, struct pkt *p);
	/* After the backlog was worked off, with sk.lock: what others left to do. */
	void (*unlocking)(struct inet_sock *s);
};
#define INET_SOL_UDPLITE 136 /* whose options UDP has as well */
void inet_ops_register(enum inet_kind kind, const struct inet_ops *ops);

static inline struct inet_sock *inet_of(struct socket *s)
{
	return container_of(s, struct inet_sock, sk);
}
static inline struct inet_sock *inet_get(struct inet_sock *s)
{
	ref_get(&s->ref);
	return s;
}
void inet_put(struct inet_sock *s); /* NULL-safe; without its lock */

/* What is common of a new one: sets options to the namespace's defaults. */
void inet_sock_init(struct inet_sock *s, struct net_ns *net, enum inet_kind kind, int family,
	int type, int protocol);
void inet_sock_fini(struct inet_sock *s);

/* --- the lock --- */
static inline void inet_lock(struct inet_sock *s) ACQUIRE(s->sk.lock) NO_THREAD_SAFETY
{
	mutex_lock(&s->sk.lock);
}
void inet_unlock(struct inet_sock *s) RELEASE(s->sk.lock);
/* As sock_wait: sleeps once on q, without the lock; packets are delivered before. */
int inet_wait(struct ctx *ctx, struct inet_sock *s, struct waitq *q, uint32_t events,
	int64_t deadline) REQUIRES(s->sk.lock);
/* The stack has p for s, on which the caller has a reference.  Takes p over. */
void inet_input(struct inet_sock *s, struct pkt *p);

/* --- addresses --- */
/* A struct sockaddr_in or _in6 as this socket takes it: -EINVAL, -EAFNOSUPPORT, -ENETUNREACH as
 * Linux checks them.  scope: sin6_scope_id. */
int inet_addr_in(const struct inet_sock *s, const struct sock_addr *a, struct ip_addr *ip,
	uint16_t *port, uint32_t *scope, uint32_t *flowinfo);
void inet_addr_out(const struct inet_sock *s, const struct ip_addr *ip, uint16_t port,
	uint32_t scope, struct sock_addr *a);

/* connect(2) of sockets without connections: chooses route and names.  t: the table of its kind, in
 * which it has a port; NULL: it is in none. */
struct inet_table;
int inet_dgram_connect(struct inet_sock *s, struct inet_table *t, const struct ip_addr *a,
	uint16_t port) REQUIRES(s->sk.lock);
void inet_dgram_disconnect(struct inet_sock *s, struct inet_table *t) REQUIRES(s->sk.lock);

static inline bool inet_is_connected(const struct inet_sock *s)
{
	return s->rport || !ip_is_any(&s->remote);
}
/* An IPv6 socket that is bound to an IPv4 address, or has such a peer, sends to nobody else. */
static inline bool inet_source_clashes(const struct inet_sock *s, const struct ip_addr *dst)
{
	return s->sk.family == AF_INET6 && ip_is_v4(&s->local) && !ip_is_v4(dst);
}
static inline struct ip_addr inet_loopback_of(bool v4)
{
	struct ip_addr r = IP_ANY6;
	if (v4)
		return ip_v4(__builtin_bswap32(0x7f000001u));
	r.b[15] = 1;
	return r;
}

/* --- routes --- */
/* The flow of packets of s to a peer, by all options that have a say. */
void inet_flow(const struct inet_sock *s, const struct ip_addr *dst, uint16_t dport,
	struct flow *f);
void inet_ip_tx(const struct inet_sock *s, const struct flow *f, struct ip_tx *tx);
/* s->route is valid after it: 0 or route_lookup's errors. */
int inet_route(struct inet_sock *s) REQUIRES(s->sk.lock);

/* --- errors --- */
/* An ICMP error for s: with IP_RECVERR on the error queue, and in sk.err if it is hard or asked
 * for.  p: data begins at the transport header of what we sent; borrowed. */
void inet_icmp_error(struct inet_sock *s, struct pkt *p, const struct ip_error *e, uint32_t off);
/* One that arose here (EMSGSIZE with IP_RECVERR): origin SO_EE_ORIGIN_LOCAL. */
void inet_local_error(struct inet_sock *s, int err, uint32_t info, const struct ip_addr *dst,
	uint16_t dport);
/* recvmsg with MSG_ERRQUEUE. */
ssize_t inet_recv_error(struct inet_sock *s, struct sock_msg *m);
/* Puts an entry there: ee is a struct sock_extended_err; p carries the data; takes it over.
 * -ENOMEM: SO_RCVBUF is full. */
int inet_queue_error(struct inet_sock *s, struct pkt *p, const void *ee);
/* SO_TIMESTAMPING: what was sent left, p (borrowed) being its data; what: SCM_TSTAMP_*. */
void inet_queue_tx_stamp(struct inet_sock *s, const struct pkt *p, uint32_t tsflags, uint32_t what,
	uint32_t key);
/* Bits of poll(2) for what is in sk.err and on the error queue. */
uint32_t inet_poll_error(struct inet_sock *s);

/* --- control messages --- */
struct inet_cmsg_tx { /* what sendmsg's ancillary data says */
	int32_t oif;
	struct ip_addr src; /* any: not said */
	bool has_src;
	int32_t ttl, tos; /* -1: not said */
	int32_t dontfrag;
	uint16_t gso_size;
	uint32_t mark, priority;
	bool has_mark, has_priority;
	uint32_t tsflags, tskey;
	bool has_tskey;            /* SCM_TS_OPT_ID: instead of the socket's next one */
	int32_t hop_limit, tclass; /* of IPv6 */
	uint32_t flowinfo;
	const uint8_t *opt; /* of ip_tx; in buf or the socket's */
	uint16_t opt_len;
	uint8_t opt_first;
	uint8_t *buf; /* owned */
	uint32_t buf_len;
	struct ip_addr via; /* the first hop of a source route; any: none */
};
void inet_cmsg_fini(struct inet_cmsg_tx *c);
/* opt is its own from now on, whatever becomes of the socket's options: -ENOBUFS. */
int inet_cmsg_own(struct inet_cmsg_tx *c);
/* The socket's own wishes: marks, stamps, IP options, sticky headers. */
void inet_cmsg_init(struct inet_sock *s, bool v4, struct inet_cmsg_tx *c);
/* What they change of a flow and a header. */
void inet_cmsg_flow(const struct inet_cmsg_tx *c, struct flow *f);
void inet_cmsg_ip_tx(const struct inet_cmsg_tx *c, bool v4, struct ip_tx *tx);
/* Parses m->control, into what inet_cmsg_init has made: -EINVAL, -EPERM as Linux, and nothing is to
 * be freed then.  inet_sol_cmsg_in: of SOL_SOCKET only. */
int inet_sol_cmsg_in(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m,
	struct inet_cmsg_tx *c);
int inet_cmsg_in(struct ctx *ctx, struct inet_sock *s, const struct sock_msg *m, bool v4,
	struct inet_cmsg_tx *out);
/* What s->cmsg and SO_TIMESTAMP* ask for about p, into m. */
void inet_cmsg_out(struct inet_sock *s, struct pkt *p, struct sock_msg *m);
/* No more than its time stamps: of a byte stream, or (err) of the error queue. */
void inet_cmsg_out_stamps(struct inet_sock *s, struct pkt *p, struct sock_msg *m, bool err);

/* --- datagrams (queue.c), for UDP, raw, ping --- */
/* Puts p into s->rq if SO_RCVBUF allows and wakes: 0 or -ENOMEM (freed, counted).  data begins at
 * what recvmsg shows. */
int inet_queue_dgram(struct inet_sock *s, struct pkt *p);
void inet_mem_sync(struct inet_sock *s) REQUIRES(s->rq_lock);
/* The next one, waiting if need be: the caller's to free; with MSG_PEEK a copy, to be read from
 * *off on.  *out NULL: shut down. */
int inet_dequeue_dgram(struct ctx *ctx, struct inet_sock *s, int flags, struct pkt **out,
	uint32_t *off);
/* recvmsg(2) of that kind; name: where it says from whom.  gro: cmsgs of UDP_GRO are wanted. */
ssize_t inet_dgram_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m, bool gro);
uint32_t inet_dgram_poll(struct inet_sock *s);
/* FIONREAD, SIOCOUTQ, SIOCGSTAMP*; -ENOTTY. */
long inet_dgram_ioctl(struct ctx *ctx, struct inet_sock *s, uint32_t cmd, uint64_t arg);
/* Everything that is queued goes. */
void inet_purge(struct inet_sock *s);
/* p, for inet_queue_dgram, came from that port to this one. */
void inet_dgram_mark(struct pkt *p, uint16_t port, uint16_t dport);
/* Does the socket's filter let p in?  Trims it, but leaves keep bytes. */
bool inet_filter(struct inet_sock *s, struct pkt *p, uint32_t keep);
/* It leaves all groups. */
void inet_mc_drop_all(struct inet_sock *s) REQUIRES(s->sk.lock);
/* May s receive this multicast (joined groups, sources, IP_MULTICAST_ALL)? */
bool inet_mc_allow(const struct inet_sock *s, const struct ip_addr *group,
	const struct ip_addr *src, int32_t iif);

void inet_init(void); /* registers AF_INET and AF_INET6 and all kinds; once */
int inet_ns_init(struct net_ns *net);
void inet_ns_fini(struct net_ns *net);

#endif
