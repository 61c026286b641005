/*
 * Who has which port, and who gets a packet: one struct inet_table a namespace for each of TCP and
 * UDP.
 *
 * By port (bind): a bucket for each port that is in use holds its sockets; bind(2)'s conflicts
 * (SO_REUSEADDR, SO_REUSEPORT with the same uid, wildcard against address, v6only, devices) are
 * decided there.  By four-tuple (connections): sockets with a remote name.
 *
 * Locks: the tables are sharded; each shard has a short lock (LOCK_INET_TABLE), inside the
 * socket's. A look-up returns with a reference.  The names of a socket (local, remote, ports)
 * change only under sk.lock and while it is in no table, or under the shard's lock.
 */
#ifndef SENTRY_NET_INET_TABLE_H
#define SENTRY_NET_INET_TABLE_H

#include "sentry/net/inet/inet.h"

#define INET_PORT_MAX 65535u

#define INET_BIND_SHARDS 64
#define INET_CONN_SHARDS 256 /* each grows on its own */

/* Raw or ping sockets: list.c.  It holds a reference on each. */
struct inet_list {
	struct mutex lock;      /* LOCK_INET_TABLE */
	struct list_node socks; /* inet_sock.bind_node, by bind_seq */
	uint32_t n;             /* atomic: length of it */
	uint32_t rover;         /* atomic: identifier that was chosen last */
	uint64_t seq;
};
void inet_list_init(struct inet_list *l);
void inet_list_add(struct inet_list *l, struct inet_sock *s);
/* s joins with that identifier, unless somebody has it (who does not share it, as s does). */
bool inet_list_take_port(struct inet_list *l, struct inet_sock *s, uint16_t port, bool reuse);
/* Some port from start on that nobody has, and joins the list: false if there is none. */
bool inet_list_choose_port(struct inet_list *l, struct inet_sock *s, uint16_t start);
void inet_list_set_names(struct inet_list *l, struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote);
void inet_list_del(struct inet_list *l, struct inet_sock *s);
/* As inet_find_all, of all in it. */
uint32_t inet_list_next(struct inet_list *l, uint64_t *at, struct inet_sock **out, uint32_t n);

/* Of a namespace (net->inet). */
struct inet_net {
	struct inet_table *tcp, *udp; /* owned */
	struct inet_list raw, ping;
	uint32_t nr[INET_KIND_NR]; /* atomic: sockets, closed ones included; /proc/net/sockstat */
};

/* References: a socket that has a port, and one that is among the connections, has one of each. */
struct inet_table;
struct inet_table *inet_table_new(const struct net_ns *net); /* NULL: out of memory */
void inet_table_free(struct inet_table *t);

/* bind(2): takes port, or one of the range if it is 0 (RFC 6056; port_lo..hi of the socket or
 * ip_local_port_range).  Sets s->bound, local, lport.  -EADDRINUSE, -ENOMEM.  -EACCES for
 * privileged ports is the caller's. */
int inet_bind_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *a,
	uint16_t port);
/* listen(2) asks again: may a second listener be here?  Also marks s as one who listens. */
int inet_listen_port(struct inet_table *t, struct inet_sock *s);
/* Gives the port back (a shared one when its last user goes); out of the connections too. */
void inet_unbind(struct inet_table *t, struct inet_sock *s);
/* An accepted connection shares its listener's port. */
int inet_inherit_port(struct inet_table *t, struct inet_sock *listener, struct inet_sock *s);

/*
 * connect(2): s gets local, remote and rport, and a local port if it has none (one may serve
 * several remotes, as Linux).  unique: -EADDRNOTAVAIL if that four-tuple exists (TCP).  reuse, may
 * be NULL, is asked about the one that has it: true if it may be replaced (TIME_WAIT); it is taken
 * out then.
 */
typedef bool (*inet_reuse_fn)(struct inet_sock *old, struct inet_sock *s); /* tables locked */
int inet_connect_port(struct inet_table *t, struct inet_sock *s, const struct ip_addr *local,
	const struct ip_addr *remote, uint16_t rport, bool unique, inet_reuse_fn reuse);
/* Puts s, whose names are set, among the connections: -EADDRINUSE if unique and there is one. */
int inet_hash_conn(struct inet_table *t, struct inet_sock *s, bool unique);
void inet_unhash_conn(struct inet_table *t, struct inet_sock *s);
/* One takes the other's place (a connection becomes TIME_WAIT): atomically for look-ups. */
void inet_replace_conn(struct inet_table *t, struct inet_sock *old, struct inet_sock *s);

/* Out of the connections, and what connect(2) chose is forgotten; the port stays if keep_port. */
void inet_disconnect_port(struct inet_table *t, struct inet_sock *s, bool keep_port);

struct inet_key {
	struct ip_addr local, remote;
	uint16_t lport, rport;
	int32_t iif;
	struct pkt *p;       /* for programs of SO_REUSEPORT groups; may be NULL */
	uint32_t header_len; /* of the transport, at p's data */
};
/* The connection, else NULL. */
struct inet_sock *inet_find_conn(struct inet_table *t, const struct inet_key *k);
/* The best listener or unconnected socket by Linux' scores (address, device, v6only; among
 * SO_REUSEPORT ones by hash).  NULL: nobody. */
struct inet_sock *inet_find_bound(struct inet_table *t, const struct inet_key *k);
/* First the one, then the other. */
struct inet_sock *inet_find(struct inet_table *t, const struct inet_key *k);
/* Every socket that wants a multicast or broadcast, at most n at a time; *at starts at 0.  With a
 * reference each; sees each once that is there all the while.  Returns how many; less than n: that
 * was all. */
uint32_t inet_find_all(struct inet_table *t, const struct inet_key *k, uint64_t *at,
	struct inet_sock **out, uint32_t n);

/* All sockets, for /proc and sock_diag; as inet_find_next. */
struct inet_sock *inet_walk_next(struct inet_table *t, uint64_t *at);

#endif
