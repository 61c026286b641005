/*
 * Private to sentry/net/netlink.
 *
 * A message from a guest is copied in once and handled in the sender's own thread (request.c);
 * answers go to the queue of the socket, as messages of other sockets and events do (queue.c).  A
 * dump is made piece by piece (dump.c): what is needed to go on is in struct nl_dump, by value, so
 * that it holds nothing but its request while the reader takes its time.
 *
 * Locks.
 *   sk.lock (LOCK_SOCK)        names, groups, and who runs the dump.  Not held while a request is
 *                              handled or a piece of a dump is made: those take net_cfg_lock and
 * the locks of what they show. netlink_net.lock (LOCK_NETLINK)  sockets of a namespace, by port and
 * by group q_lock (LOCK_SOCK_QUEUE)   the queue; the only one needed to send to a socket, so that
 * events may come from anywhere, whatever locks up to LOCK_NEIGH are held
 *
 * References: the file's, and those of look-ups.  Tables hold none: a socket leaves them before
 * its file's reference goes.
 *
 * Bounds: a queue holds up to SO_RCVBUF and one message more (then ENOBUFS); a request is at most
 * SO_SNDBUF long; a socket has one dump at a time; text of errors is constant.
 */
#ifndef SENTRY_NET_NETLINK_NL_PRIV_H
#define SENTRY_NET_NETLINK_NL_PRIV_H

#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "lib/log.h"
#include "lib/ref.h"
#include "sentry/core/arena.h"
#include "sentry/core/ctx.h"
#include "sentry/core/jobctl.h"
#include "sentry/net/ipaddr.h"
#include "sentry/net/link/link.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/net/socket.h"

#define NL_PROTOS 32 /* MAX_LINKS */
#define NL_HASH 64
#define NL_NSIDS_MAX 64
#define NL_PIECE 3776u      /* of a dump: NLMSG_GOODSIZE */
#define NL_PIECE_MAX 32448u /* SKB_WITH_OVERHEAD(32768) */

#define NL_F_PKTINFO 1u
#define NL_F_BROADCAST_ERROR 2u
#define NL_F_NO_ENOBUFS 4u
#define NL_F_LISTEN_ALL_NSID 8u
#define NL_F_CAP_ACK 16u
#define NL_F_EXT_ACK 32u
#define NL_F_STRICT 64u
#define NL_F_CONGESTED 256u /* has lost messages, and not read since what it has */

/* A message on a queue. */
struct nl_msg {
	struct list_node node;
	struct nbuf *buf; /* owned; several messages may share it */
	uint32_t len, portid, group;
	struct pid *pid; /* owned; NULL: the kernel */
	uint32_t uid, gid;
};

/* A dump under way. */
struct nl_dump {
	uint8_t kind;     /* enum nl_dump_kind; 0: none */
	struct nbuf *req; /* owned: the message that asked for it */
	uint32_t len;     /* of it */
	uint32_t portid, seq;
	uint16_t answer_flags; /* NLM_F_DUMP_FILTERED */
	bool started, strict;
	bool intr;        /* what it shows has changed meanwhile */
	uint32_t gen;     /* when it began */
	uint64_t pos[16]; /* the kind's own; zero at first */
};

struct nl_sock {
	struct socket sk; /* first */
	struct ref ref;
	uint32_t portid;                /* atomic */
	bool bound;                     /* atomic: portid is taken */
	uint32_t dst_portid, dst_group; /* of connect(2); sk.lock */
	bool connected;
	uint32_t flags;                                /* atomic: NL_F_* */
	uint64_t groups;                               /* atomic: joined, bit n - 1 for group n */
	bool has_groups;                               /* atomic: it has been in one */
	struct list_node all_node, hash_node, mc_node; /* netlink_net.lock */

	struct mutex q_lock; /* LOCK_SOCK_QUEUE */
	struct list_node queue GUARDED_BY_MEMBER(q_lock);
	uint32_t qlen, rmem; /* atomic: messages; bytes charged for them */
	uint32_t mem_pages;  /* what these count as (net/mem.h); q_lock */
	uint32_t drops;      /* atomic */

	struct nl_dump dump; /* sk.lock; without it by who set dumping */
	bool dumping;        /* sk.lock: a thread makes a piece */
	bool dump_on;        /* atomic: there is one */
	uint32_t max_recv;   /* atomic: the longest buffer that recvmsg had */
};

struct netlink_net {
	struct mutex lock; /* LOCK_NETLINK */
	struct list_node all[NL_PROTOS];
	struct list_node hash[NL_HASH];
	struct list_node mc[NL_PROTOS]; /* with a group */
	uint64_t listeners[NL_PROTOS];  /* atomic: groups that anybody has joined */
	int32_t rover;                  /* next port that is nobody's pid */
	uint32_t gen_link, gen_addr;    /* atomic: changes so far */
	/* Other namespaces by number (ip-netns(8)); by id, which outlives them.  lock. */
	uint32_t nnsids;
	struct {
		uint64_t peer;
		int32_t nsid;
	} nsid[NL_NSIDS_MAX];
};

static inline struct nl_sock *nl_of(struct socket *s)
{
	return container_of(s, struct nl_sock, sk);
}
static inline struct nl_sock *nl_get(struct nl_sock *s)
{
	ref_get(&s->ref);
	return s;
}
void nl_put(struct nl_sock *s); /* NULL-safe */
static inline bool nl_flag(const struct nl_sock *s, uint32_t flag)
{
	return READ_ONCE(s->flags) & flag;
}
static inline uint32_t nl_port(const struct nl_sock *s)
{
	return __atomic_load_n(&s->portid, __ATOMIC_ACQUIRE);
}
static inline bool nl_capable(const struct ctx *ctx, int cap)
{
	return ctx_capable(ctx, cap);
}
/* Groups of a protocol; 0: there is no such protocol. */
uint32_t nl_group_count(uint16_t protocol);
/* Its object, with a reference; NULL: nobody has that port. */
struct nl_sock *nl_find(struct net_ns *net, uint16_t protocol, uint32_t portid);
/* The first one of a protocol (all: NL_PROTOS) whose cookie is above after, with a reference. */
struct nl_sock *nl_next(struct net_ns *net, uint16_t protocol, uint64_t after);

/* Binds s to a port if it has none. */
int nl_autobind(struct ctx *ctx, struct nl_sock *s);
/* Whom a message to name (len 0: the connection's) is for: -EINVAL, -EPERM. */
int nl_destination(struct ctx *ctx, struct nl_sock *s, const struct sock_addr *name,
	uint32_t *portid, uint32_t *group);
/* See netlink_ns_ops. */
struct net_ns *nl_ns_by_pid(struct ctx *ctx, int32_t pid, int *err);
struct net_ns *nl_ns_by_fd(struct ctx *ctx, int32_t fd, int *err);

/* The number by which net knows peer, given now if need be: -ENOSPC. */
int32_t nl_nsid_of(struct net_ns *net, const struct net_ns *peer);

/* --- option.c --- */
int nl_has_option(struct socket *sk, int level, int name, bool set);
int nl_setsockopt(struct ctx *ctx, struct socket *sk, int level, int name, const void *val,
	uint32_t len);
int nl_getsockopt(struct ctx *ctx, struct socket *sk, int level, int name, void *val,
	uint32_t *len);
/* May this caller join groups of the protocol?  (NL_CFG_F_NONROOT_RECV) */
bool nl_may_receive(const struct ctx *ctx, uint16_t protocol);
int nl_check_groups(const struct ctx *ctx, uint16_t protocol, uint64_t groups);
/* s's groups are now these (netlink_net.lock is taken). */
void nl_set_groups(struct nl_sock *s, uint64_t groups);

/* --- queue.c --- */
/* Queues a message made by the kernel; takes over nothing.  -ENOBUFS: no room, told to s. */
int nl_reply(struct nl_sock *s, const void *data, uint32_t len);
/* An event, to all that have joined the group of net but the port except, if that is not 0. */
void nl_multicast(struct net_ns *net, uint16_t protocol, uint32_t group, uint32_t except,
	const void *data, uint32_t len);
static inline bool nl_listened(const struct netlink_net *n, uint16_t protocol, uint32_t group)
{
	return __atomic_load_n(&n->listeners[protocol], __ATOMIC_ACQUIRE) >> (group - 1) & 1;
}
ssize_t nl_send(struct ctx *ctx, struct socket *sk, struct sock_msg *m);
ssize_t nl_recv(struct ctx *ctx, struct socket *sk, struct sock_msg *m);
void nl_purge(struct nl_sock *s);

/* --- request.c: what a guest sends to the kernel --- */

struct nl_req {
	struct ctx *ctx;
	struct net_ns *net; /* of the socket */
	struct nl_sock *s;
	struct nbuf *buf;         /* all that was sent */
	const struct nlmsghdr *h; /* the message, in buf */
	uint32_t portid;
	bool strict, named; /* named: sent to a name, not by write(2) */
	/* What NETLINK_EXT_ACK tells: a constant text, the attribute it is about, what is missing.
	 */
	const char *msg;
	const void *bad; /* in the message */
	int32_t miss_type;
	uint64_t cookie;
};
static inline void *nl_payload(const struct nl_req *rq)
{
	return (char *)(uintptr_t)rq->h + NLMSG_HDRLEN;
}
static inline uint32_t nl_payload_len(const struct nl_req *rq)
{
	return rq->h->nlmsg_len - NLMSG_HDRLEN;
}
static inline int nl_err(struct nl_req *rq, int err, const char *msg)
{
	rq->msg = msg;
	return err;
}
static inline int nl_err_attr(struct nl_req *rq, int err, const void *attr, const char *msg)
{
	rq->bad = attr;
	return nl_err(rq, err, msg);
}
/* Works off the messages in buf, of which len bytes count. */
void nl_request(struct ctx *ctx, struct nl_sock *s, struct nbuf *buf, uint32_t len, bool named);
/* May the sender do that?  A program that can be made to write what others chose (its output is
 * such a socket) may not if who opened the socket may not (CVE-2014-0181). */
bool nl_req_capable(const struct nl_req *rq, int cap);
#define NL_NO_ACK 1 /* of a handler: a dump began, its end is the answer */

/* By protocol. */
int rtnl_receive(struct nl_req *rq);
int diag_receive(struct nl_req *rq);
int genl_receive(struct nl_req *rq);
int uevent_receive(struct nl_req *rq);

/* --- attributes (msg.c) --- */

enum nla_kind {
	NLA_ANY, /* any length */
	NLA_U8,
	NLA_U16,
	NLA_U32,
	NLA_U64,
	NLA_STRING,     /* at most len bytes, a NUL at their end not counted */
	NLA_NUL_STRING, /* with one */
	NLA_BYTES,      /* len at least */
	NLA_NESTED,
	NLA_NONE, /* not allowed */
};
struct nla_rule {
	uint8_t kind;
	uint16_t len;
};
/* Fills tb[0..max] (NULL: not there) from n bytes at head.  Rules by type; NULL: none. -ERANGE,
 * -EINVAL with the reason in rq. */
int nla_parse(struct nl_req *rq, const struct nlattr **tb, uint32_t max, const void *head,
	uint32_t n, const struct nla_rule *rules);
/* Of the message, behind a fixed header of n bytes: -EINVAL if that is not there. */
int nla_parse_msg(struct nl_req *rq, uint32_t fixed, const struct nlattr **tb, uint32_t max,
	const struct nla_rule *rules);
int nla_parse_nested(struct nl_req *rq, const struct nlattr **tb, uint32_t max,
	const struct nlattr *a, const struct nla_rule *rules);
static inline const void *nla_data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}
static inline uint32_t nla_len(const struct nlattr *a)
{
	return a->nla_len - (uint32_t)NLA_HDRLEN;
}
static inline uint16_t nla_type(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}
static inline uint8_t nla_u8(const struct nlattr *a)
{
	return *(const uint8_t *)nla_data(a);
}
static inline uint16_t nla_u16(const struct nlattr *a)
{
	uint16_t v;
	memcpy(&v, nla_data(a), sizeof(v));
	return v;
}
static inline uint32_t nla_u32(const struct nlattr *a)
{
	uint32_t v;
	memcpy(&v, nla_data(a), sizeof(v));
	return v;
}
static inline uint64_t nla_u64(const struct nlattr *a)
{
	uint64_t v;
	memcpy(&v, nla_data(a), sizeof(v));
	return v;
}
/* Its text, cut to n - 1 bytes. */
void nla_text(const struct nlattr *a, char *out, uint32_t n);
/* The next attribute of n bytes at *at; NULL: no more. */
const struct nlattr *nla_next(const uint8_t *head, uint32_t n, uint32_t *at);
/* An address of the family (AF_INET, AF_INET6): false: of another length. */
bool nla_addr(const struct nlattr *a, uint8_t family, struct ip_addr *out);

/* --- building messages (msg.c) --- */

struct nlb {
	uint8_t *buf; /* owned: buf_alloc'ed, cap bytes */
	uint32_t cap, len;
	uint32_t start;  /* of the message that is being built */
	bool full;       /* something did not fit in: nlb_end takes the message back */
	const char *msg; /* of a dump that fails: a constant text for NETLINK_EXT_ACK */
};
bool nlb_init(struct nlb *b, uint32_t cap); /* false: out of memory */
void nlb_fini(struct nlb *b);
/* Begins a message with a zeroed fixed header of n bytes, which is returned; NULL: no room. */
void *nlb_begin(struct nlb *b, uint32_t portid, uint32_t seq, uint16_t type, uint16_t flags,
	uint32_t n);
bool nlb_end(struct nlb *b);
void nlb_put(struct nlb *b, uint16_t type, const void *data, uint32_t n);
/* n zeroed bytes as an attribute; NULL: no room. */
void *nlb_reserve(struct nlb *b, uint16_t type, uint32_t n);
static inline void nlb_u8(struct nlb *b, uint16_t type, uint8_t v)
{
	nlb_put(b, type, &v, sizeof(v));
}
static inline void nlb_u16(struct nlb *b, uint16_t type, uint16_t v)
{
	nlb_put(b, type, &v, sizeof(v));
}
static inline void nlb_u32(struct nlb *b, uint16_t type, uint32_t v)
{
	nlb_put(b, type, &v, sizeof(v));
}
static inline void nlb_u64(struct nlb *b, uint16_t type, uint64_t v)
{
	nlb_put(b, type, &v, sizeof(v));
}
static inline void nlb_str(struct nlb *b, uint16_t type, const char *s)
{
	nlb_put(b, type, s, (uint32_t)strlen(s) + 1);
}
/* Either family, as 4 or 16 bytes. */
void nlb_addr(struct nlb *b, uint16_t type, const struct ip_addr *a);
uint32_t nlb_nest(struct nlb *b, uint16_t type);
void nlb_nest_end(struct nlb *b, uint32_t nest);

/* --- dumps (dump.c) --- */

enum nl_dump_kind {
	NL_DUMP_NONE,
	NL_DUMP_LINK,
	NL_DUMP_ADDR,
	NL_DUMP_ROUTE,
	NL_DUMP_NEIGH,
	NL_DUMP_RULE,
	NL_DUMP_NEIGHTBL,
	NL_DUMP_NETCONF,
	NL_DUMP_NSID,
	NL_DUMP_QDISC,
	NL_DUMP_EMPTY, /* tables that are there and have nothing in them */
	NL_DUMP_ADDRLABEL,
	NL_DUMP_INET_DIAG,
	NL_DUMP_UNIX_DIAG,
	NL_DUMP_NETLINK_DIAG,
	NL_DUMP_GENL,
	NL_DUMP_KIND_NR
};
/* Adds what fits to b.  0: that was all; 1: there is more (b was full); -errno: that is the end. */
typedef int (*nl_dump_fn)(struct nl_dump *d, struct net_ns *net, struct ctx *ctx, struct nlb *b);
void nl_dump_register(enum nl_dump_kind kind, nl_dump_fn fn);
/* Begins a dump that answers rq, and makes its first piece: NL_NO_ACK, -EBUSY, -ENOBUFS. */
int nl_dump_start(struct nl_req *rq, enum nl_dump_kind kind);
/* Makes the next piece if there is room in the queue. */
void nl_dump_continue(struct ctx *ctx, struct nl_sock *s);
void nl_dump_end(struct nl_sock *s);
static inline void *nl_dump_payload(const struct nl_dump *d)
{
	return d->req->data + NLMSG_HDRLEN;
}
/* What the dump shows has changed since it began? */
void nl_dump_check(struct nl_dump *d, uint32_t gen);
static inline uint16_t nl_dump_flags(const struct nl_dump *d)
{
	return (uint16_t)(NLM_F_MULTI | d->answer_flags | (d->intr ? NLM_F_DUMP_INTR : 0));
}

#endif
