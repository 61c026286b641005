/*
 * Private to sentry/net/unix.
 *
 * Objects.  A struct unix_sock has one reference of its file (or of the
 * listener whose acceptq it is in), one of each socket whose peer it is, one
 * of each message it has sent that is not yet received, and those of calls in
 * progress.  A closed socket is dead; its memory goes with the last reference.
 *
 * Locks.  sk.lock guards state, shutdown, the receive queue and the accept
 * queue.  unix_net->lock (LOCK_NET, inside sk.lock) guards, for all network
 * namespaces, the tables of names, the lists of all sockets, peer (written under sk.lock too, so
 * either suffices to read it), the lists peers, and everything about files in flight: fdq,
 * a message's files once queued, inflight, and changes of acceptq.
 *
 * The peer of a stream or seqpacket socket is set once and stays until the
 * socket is closed, so whoever holds its file reads it without a lock.
 */
#ifndef SENTRY_NET_UNIX_UNIX_PRIV_H
#define SENTRY_NET_UNIX_UNIX_PRIV_H

#include <errno.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/core/jobctl.h"
#include "sentry/net/net.h"
#include "sentry/net/skb.h"
#include "sentry/net/socket.h"
#include "sentry/net/unix/unix.h"
#include "sentry/time/time.h"

struct unix_addr {
	struct ref ref;
	struct sock_addr a;
};

struct unix_globals {
	struct mutex lock;          /* LOCK_NET */
	struct list_node inflight;  /* sockets in flight: inflight_node */
	uint32_t nr_inflight_socks; /* atomic: their sum of inflight */
	struct list_node users;     /* struct inflight_user */
	int64_t gc_not_before;      /* atomic: when the collector may run again */
	bool gc_due;                /* atomic: somebody came before that */
};
extern struct unix_globals *unix_net;

struct unix_end;

enum unix_state { UNIX_CLOSED, UNIX_LISTENING, UNIX_CONNECTED };

struct unix_sock {
	struct socket sk; /* first */
	struct ref ref;
	uint8_t state;              /* enum unix_state; atomic */
	struct list_node all_node;  /* in sk.net->unix_all */
	struct unix_addr *addr;     /* set once, atomic; shared with accepted sockets */
	struct path path;           /* of a name in the file system */
	struct inode *bound;        /* its inode, whose sock we are */
	struct list_node name_node; /* abstract names */

	struct unix_sock *peer;     /* owned */
	struct list_node peers;     /* datagram sockets whose peer we are; LOCK_NET */
	struct list_node peer_node; /* in peer->peers */
	struct waitq peer_wait;     /* senders and connectors that wait for room here */

	struct skb_queue rq;  /* struct unix_msg */
	struct unix_msg *oob; /* in rq: urgent, not yet received as such; sk.lock, read without */

	struct unix_end *conn, *named; /* owned: of the host (host.c); atomic; NULL */

	struct list_node acceptq; /* unix_sock.accept_node */
	struct list_node accept_node;
	uint32_t accept_len, backlog; /* accept_len: atomic.  backlog: of a datagram socket too */

	struct pid *peer_pid; /* SO_PEERCRED; set under sk.lock */
	struct cred *peer_cred;

	/* files in flight; LOCK_NET */
	struct list_node fdq; /* queued messages with files: unix_msg.fd_node */
	uint32_t inflight;    /* how often our own file is on its way in messages */
	struct list_node inflight_node, gc_node;
	uint32_t gc_refs GUARDED_BY(unix_net->lock);
	uint8_t gc_state GUARDED_BY(unix_net->lock);
};

/* A message, or a piece of a stream. */
struct unix_msg {
	struct skb skb;           /* first; in the receiver's rq */
	struct list_node fd_node; /* receiver's fdq */
	struct unix_sock *sender; /* owned; the buffer is charged to it */
	struct scm scm;
};

static inline struct unix_sock *unix_of(struct socket *s)
{
	return container_of(s, struct unix_sock, sk);
}
static inline struct unix_sock *unix_get(struct unix_sock *u)
{
	ref_get(&u->ref);
	return u;
}
static inline bool unix_is_dgram(const struct unix_sock *u)
{
	return u->sk.type == SOCK_DGRAM;
}
/* Of a connection: see above. */
static inline struct unix_sock *unix_peer_stable(const struct unix_sock *u)
{
	return __atomic_load_n(&u->peer, __ATOMIC_ACQUIRE);
}
static inline uint8_t unix_state(const struct unix_sock *u)
{
	return __atomic_load_n(&u->state, __ATOMIC_ACQUIRE);
}
/* Linux' unix_writable: room for a good deal more. */
static inline bool unix_writable(const struct unix_sock *u)
{
	return unix_state(u) != UNIX_LISTENING &&
	       (uint64_t)__atomic_load_n(&u->sk.wmem, __ATOMIC_ACQUIRE) * 4 <=
		       READ_ONCE(u->sk.sndbuf);
}
static inline bool unix_rq_full(const struct unix_sock *u)
{
	return skb_queue_len(&u->rq) > u->backlog;
}

/* All of its data go by the host; what comes to its name, too. */
static inline bool unix_host_conn(const struct unix_sock *u)
{
	return __atomic_load_n(&u->conn, __ATOMIC_ACQUIRE);
}
static inline bool unix_host_bound(const struct unix_sock *u)
{
	return __atomic_load_n(&u->named, __ATOMIC_ACQUIRE);
}

/* --- unix.c --- */
struct unix_sock *unix_alloc(struct net_ns *net, int type);
void unix_put(struct unix_sock *u); /* NULL-safe */
/* Closes u: takes over the reference.  embryo: nobody accepted it. */
void unix_close(struct unix_sock *u, bool embryo);
/* Makes peer u's peer, or nobody (NULL); sk.lock held, or u is new.  Returns the old one with its
 * reference. */
struct unix_sock *unix_set_peer(struct unix_sock *u, struct unix_sock *peer);
struct unix_sock *unix_peer_get(struct unix_sock *u); /* with a reference; NULL */
/* The caller's credentials become what the other end sees; takes no lock. */
void unix_own_cred(struct ctx *ctx, struct pid **pid, struct cred **cred);

/* --- name.c --- */
int unix_bind(const struct vfs_view *v, struct socket *s, const struct sock_addr *a);
int unix_autobind(struct unix_sock *u);
/* As bind and connect check a name: 0 or -EINVAL; cuts a path at its NUL. */
int unix_check_name(struct sock_addr *a);
/* Whom u, of that type, reaches by this name, with a reference: -ECONNREFUSED, -EPROTOTYPE, errors
 * of the walk.  Names in the file system know no network namespaces. */
int unix_find(const struct vfs_view *v, const struct unix_sock *u, const struct sock_addr *a,
	struct unix_sock **out);
void unix_unname(struct unix_sock *u) REQUIRES(unix_net->lock);
struct unix_addr *unix_addr_new(const struct sock_addr *a); /* NULL: out of memory */
void unix_addr_put(struct unix_addr *a);
void unix_copy_name(struct unix_sock *u, struct sock_addr *a); /* len 0: unbound */

/* --- msg.c --- */
#define UNIX_CHUNK                                                                                 \
	36544u /* of a stream write: 32 KiB and what fits in the head (SKB_MAX_HEAD(0)) */
/* A message of n bytes of u, charged to the sender: -ENOMEM, -EFAULT. */
int unix_msg_make(struct unix_sock *sender, struct uio *u, size_t n, struct unix_msg **out);
void unix_msg_free(struct unix_msg *b); /* no locks held */
/* Appends to the receive queue of to (sk.lock held). */
void unix_queue(struct unix_sock *to, struct unix_msg *b);
/* Takes it out (sk.lock held). */
void unix_unqueue(struct unix_sock *from, struct unix_msg *b);
/* All of the receive queue, at the end of list (sk.lock held); and frees such a list. */
void unix_unqueue_all(struct unix_sock *from, struct list_node *list);
void unix_free_msgs(struct list_node *list);
/* Fills in credentials if either end wants to see them; b is not queued yet. */
void unix_msg_stamp(struct ctx *ctx, struct unix_msg *b, struct unix_sock *to);
/* What the receiver is told beside the data; peek: as a copy.  sk.lock held. */
int unix_msg_take_scm(struct unix_sock *u, struct unix_msg *b, struct scm *out, bool peek);

/* --- oob.c --- */
/* The last byte of a send to peer was queued as b (peer's sk.lock held): it is the urgent one. */
void unix_oob_mark(struct unix_sock *peer, struct unix_msg *b);
/* b is at the front of u's queue, or what a peek goes on from: the message that is to be received
 * instead, or NULL to stop.  What is passed over for good goes to list, to be freed. */
struct unix_msg *unix_oob_pass(struct unix_sock *u, struct unix_msg *b, bool peek, bool copied,
	struct list_node *list) REQUIRES(u->sk.lock);
/* MSG_OOB. */
ssize_t unix_oob_recv(struct unix_sock *u, struct sock_msg *m);
bool unix_oob_at_mark(struct unix_sock *u);
/* Is there data in list, which was u's queue, that nobody has received? */
bool unix_oob_unread(const struct list_node *list);

/* --- gc.c --- */
/* Charges x's files to the caller as in flight: -ETOOMANYREFS, -ENOMEM. */
int unix_inflight_add(struct ctx *ctx, struct scm_files *x);
void unix_inflight_del(struct scm_files *x) REQUIRES(unix_net->lock);
void unix_gc(void);

/* --- the operations --- */
int unix_connect_stream(const struct vfs_view *v, struct unix_sock *u, struct sock_addr *a,
	bool nonblock);
int unix_listen(struct ctx *ctx, struct socket *s, uint32_t backlog);
int unix_accept(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out);
void unix_unaccept(struct socket *listener, struct socket *s);
ssize_t unix_stream_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
ssize_t unix_stream_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
int unix_connect_dgram(const struct vfs_view *v, struct unix_sock *u, struct sock_addr *a);
ssize_t unix_dgram_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
ssize_t unix_dgram_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
/* The same of what this sandbox has sent. */
ssize_t unix_dgram_recv_queued(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);

/* --- host.c --- */
/* The host's descriptors of u go. */
void unix_host_drop(struct unix_sock *u);
void unix_host_disconnect(struct unix_sock *u);
/* fd, taken over also on error, has u's name on the host; sk.lock held. */
int unix_host_bind(struct unix_sock *u, int fd);
/* By a name that no socket of ours has (after unix_check_name): -ECONNREFUSED, -EPROTOTYPE, ... */
int unix_host_connect(const struct vfs_view *v, struct unix_sock *u, const struct sock_addr *a,
	bool nonblock);
/* One message to such a name. */
ssize_t unix_host_sendto(struct ctx *ctx, const struct vfs_view *v, struct unix_sock *u,
	const struct sock_addr *a, const void *data, size_t n, int flags);
/* 0 where u has no name on the host. */
int unix_host_listen(struct unix_sock *u, uint32_t backlog);
/* Does not wait: -EAGAIN. */
int unix_host_accept(struct ctx *ctx, struct unix_sock *u, struct unix_sock **out);
/* As sock_wait, of a socket that is bound there: for what comes from either side. */
int unix_host_wait(struct ctx *ctx, struct unix_sock *u, int64_t deadline) REQUIRES(u->sk.lock);
ssize_t unix_host_dgram_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
/* Of a connection. */
ssize_t unix_host_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
ssize_t unix_host_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m);
int unix_host_peername(struct unix_sock *u, struct sock_addr *a);
int unix_host_shutdown(struct unix_sock *u, uint32_t how);
/* conn: of the connection, else of what is bound. */
uint32_t unix_host_poll(struct unix_sock *u, bool watched, bool conn);
long unix_host_inq(struct unix_sock *u, bool conn);

#endif
