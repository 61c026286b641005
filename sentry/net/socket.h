/*
 * Sockets: what is the same for every address family (socket(7)).
 *
 * A family embeds struct socket as the first member of its own slab object and
 * registers a table of operations by its AF_ number (no function pointers in
 * the object).  The open file (FILE_SOCK_*) has file->priv; its release calls
 * ops->release, after which the family may keep the object as long as it likes.
 *
 * Locks: s->lock (LOCK_SOCK, sleepable; a pair nests by address) guards state
 * and queues; words marked atomic are also read without it.
 *
 * Waiting: blocked receivers and acceptors are on rd, blocked senders on wr
 * (exclusively: a wake-up wakes one, who passes the baton if more is left);
 * poll, select and epoll are on pollq, so batons are no edges for them.  All
 * are woken on transitions only.
 */
#ifndef SENTRY_NET_SOCKET_H
#define SENTRY_NET_SOCKET_H

#include "lib/abi/net.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/scm.h"

struct socket {
	struct mutex lock;
	struct net_ns *net;   /* owned: where it was made */
	uint8_t family, type; /* AF_*, SOCK_* */
	uint16_t protocol;
	uint32_t shutdown; /* atomic: SOCK_SHUT_* */
	int32_t err;       /* atomic: SO_ERROR, positive; taken by whoever reports it */
	struct file *file; /* borrowed; NULL: not accepted yet, or closed */
	uint64_t ino;      /* of the file */
	uint64_t cookie;
	struct waitq rd, wr, pollq;
	uint32_t wmem;  /* atomic: charge of what was sent and not yet received (skb.h) */
	bool listening; /* atomic */
	bool dead;      /* closed; others may still refer to it */
	bool on_host;   /* of the host's stack (host/): other operations */

	/* options: plain words, atomic */
	uint32_t sndbuf, rcvbuf;
	int64_t rcvtimeo, sndtimeo; /* ns; SOCK_NO_TIMEOUT */
	int64_t last_stamp; /* SIOCGSTAMP, ns, of the packet received last; 0: unknown; -1: none yet
			     */
	uint32_t rcvlowat;
	uint32_t flags;                   /* SOCK_F_* */
	int32_t priority, mark, peek_off; /* peek_off -1: off */
	int32_t device; /* SO_BINDTODEVICE, of families to which it means nothing */
	struct abi_linger linger;
	uint32_t tsflags;         /* SO_TIMESTAMPING: SOF_TIMESTAMPING_* */
	uint32_t tskey;           /* atomic: SOF_TIMESTAMPING_OPT_ID's next number */
	uint64_t max_pacing_rate; /* bytes a second, each bit turned: 0 is no limit */
	int32_t incoming_cpu;     /* and one: 0 is none */
	int32_t busy_poll, busy_budget;
	uint8_t buf_lock; /* SO_BUF_LOCK */
	struct {
		int32_t clockid;
		uint32_t flags;
	} txtime;
	struct sock_filter_prog *filter; /* SO_ATTACH_FILTER; owned: filter.h */
};

#define SOCK_SHUT_RD 1u
#define SOCK_SHUT_WR 2u
#define SOCK_SHUT_BOTH 3u

#define SOCK_F_PASSCRED 1u
#define SOCK_F_PASSPIDFD 2u
#define SOCK_F_TIMESTAMP 4u
#define SOCK_F_TIMESTAMPNS 8u
#define SOCK_F_REUSEADDR 16u
#define SOCK_F_REUSEPORT 32u
#define SOCK_F_KEEPALIVE 64u
#define SOCK_F_BROADCAST 128u
#define SOCK_F_OOBINLINE 256u
#define SOCK_F_DONTROUTE 512u
#define SOCK_F_DEBUG 1024u
#define SOCK_F_RXQ_OVFL 2048u
#define SOCK_F_PASSSEC 4096u
#define SOCK_F_TSTAMP_NEW 8192u /* by SO_TIMESTAMP*_NEW: cmsgs are of that type */
#define SOCK_F_NO_CHECK 16384u
#define SOCK_F_RCVMARK 32768u
#define SOCK_F_ZEROCOPY 65536u
#define SOCK_F_TXREHASH 131072u
#define SOCK_F_SELECT_ERR_QUEUE 262144u
#define SOCK_F_PREFER_BUSY_POLL 524288u
#define SOCK_F_WIFI_STATUS 1048576u
#define SOCK_F_FILTER_LOCKED 2097152u
#define SOCK_F_RCVPRIORITY 4194304u
#define SOCK_F_TXTIME 8388608u /* SO_TXTIME was set */
#define SOCK_F_NOFCS 16777216u
#define SOCK_F_STAMP 33554432u     /* SIOCGSTAMP has asked: packets have stamps from then on */
#define SOCK_F_NO_RIGHTS 67108864u /* SO_PASSRIGHTS is off */
#define SOCK_F_TIMESTAMP_ANY (SOCK_F_TIMESTAMP | SOCK_F_TIMESTAMPNS)

#define SOCK_NO_TIMEOUT INT64_MAX

struct sock_addr {
	uint32_t len; /* 0: no address */
	union {
		uint16_t family;
		struct abi_sockaddr sa;
		struct abi_sockaddr_un un;
		struct abi_sockaddr_in in;
		struct abi_sockaddr_in6 in6;
		struct abi_sockaddr_nl nl;
		struct abi_sockaddr_ll ll;
	};
	uint8_t pad[2]; /* a full sun_path and its NUL */
};

/* A message on its way in or out. */
struct sock_msg {
	const struct vfs_view *view; /* for names in the file system; NULL: read(2), write(2) */
	struct uio *u;
	int flags;             /* MSG_*; MSG_DONTWAIT also for O_NONBLOCK */
	int out_flags;         /* MSG_TRUNC, MSG_EOR ... of a received message */
	struct sock_addr name; /* to whom; from whom (len 0: unknown) */
	bool named;            /* sendto(2) was given a name, though it may have no bytes */
	struct scm scm;        /* send: files are taken over once a byte is sent; recv: filled */
	/* Ancillary data of levels that the family knows (send: all of it, checked for form only;
	 * its SOL_SOCKET items are in scm as well; recv: sock_cmsg_put).  NULL: none. */
	const uint8_t *control;
	uint32_t control_len;
	struct sock_cmsgs *cmsgs; /* recv: NULL: the caller does not want any */
};

/* What a family has to say beside the data, as cmsghdrs, in the order that recvmsg shows. */
#define SOCK_CMSGS_MAX 1024u
struct sock_cmsgs {
	uint32_t len;
	bool truncated;
	uint8_t buf[SOCK_CMSGS_MAX];
};
void sock_cmsg_put(struct sock_msg *m, int level, int type, const void *data, uint32_t len);
/* The next of m->control; *at starts at 0.  False: no more. */
bool sock_cmsg_next(const struct sock_msg *m, uint32_t *at, struct abi_cmsghdr *h,
	const uint8_t **data);

struct sock_ops {
	int (*create)(struct ctx *ctx, struct net_ns *net, int type, int protocol,
		struct socket **out);
	int (*pair)(struct ctx *ctx, struct socket *a, struct socket *b);
	int (*bind)(const struct vfs_view *v, struct socket *s, const struct sock_addr *a);
	int (*connect)(const struct vfs_view *v, struct socket *s, const struct sock_addr *a,
		bool nonblock);
	int (*listen)(struct ctx *ctx, struct socket *s, uint32_t backlog);
	int (*accept)(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out);
	/* Puts an accepted connection back in front: no descriptor could be had for it. */
	void (*unaccept)(struct socket *listener, struct socket *s);
	int (*getname)(struct socket *s, bool peer, struct sock_addr *a);
	ssize_t (*send)(struct ctx *ctx, struct socket *s, struct sock_msg *m);
	ssize_t (*recv)(struct ctx *ctx, struct socket *s, struct sock_msg *m);
	int (*shutdown)(struct socket *s, uint32_t how);
	/* Is there such an option at all?  Else the errno, before the guest's memory is looked at.
	 * NULL: it may be. */
	int (*has_option)(struct socket *s, int level, int name, bool set);
	/* Levels other than SOL_SOCKET; NULL: -EOPNOTSUPP. */
	int (*setsockopt)(struct ctx *ctx, struct socket *s, int level, int name, const void *val,
		uint32_t len);
	int (*getsockopt)(struct ctx *ctx, struct socket *s, int level, int name, void *val,
		uint32_t *len);
	/* Who is at the other end: references to the caller; -ENODATA: nobody known. */
	int (*peer_cred)(struct socket *s, struct pid **pid, struct cred **cred);
	uint32_t (*poll)(struct socket *s, struct poll_table *pt);
	long (*ioctl)(struct ctx *ctx, struct socket *s, uint32_t cmd, uint64_t arg);
	int (*mmap)(struct socket *s, struct mappable **out); /* NULL: -ENODEV */
	void (*sndbuf_changed)(struct socket *s);             /* may be NULL */
	/* An option of SOL_SOCKET was set that is common to all families; may be NULL. */
	void (*sol_changed)(struct socket *s, int name);
	/* What keeps a socket while packets are charged to it (sock_wmem_add); NULL: not used. */
	void (*get)(struct socket *s);
	void (*put)(struct socket *s);
	/* SOL_SOCKET options that the family knows itself (SO_BINDTODEVICE, SO_ATTACH_FILTER,
	 * SO_TIMESTAMPING ...), and those whose value it wants to know: asked first.  -ENOPROTOOPT:
	 * the common code's.  NULL: none. */
	int (*set_sol)(struct ctx *ctx, struct socket *s, int name, const void *val, uint32_t len);
	int (*get_sol)(struct ctx *ctx, struct socket *s, int name, void *val, uint32_t *len);
	/* What its receive queue is charged with (SO_MEMINFO); NULL: nothing. */
	uint32_t (*rmem)(const struct socket *s);
	void (*release)(struct socket *s);
	enum file_type ftype;
};
void sock_ops_register(int family, const struct sock_ops *ops);
/* Those of the family's sockets in a namespace that is the host's (struct net_ns.host). */
void sock_ops_register_host(int family, const struct sock_ops *ops);
const struct sock_ops *sock_ops(const struct socket *s);

/* --- verbs; f is any file: -ENOTSOCK --- */
/* NULL: not a socket. */
struct socket *sock_of(const struct file *f);
/* socket(2): type without SOCK_CLOEXEC; flags: O_NONBLOCK. */
int sock_create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	uint32_t flags, struct file **out);
int sock_pair(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	uint32_t flags, struct file *out[2]);
int sock_bind(const struct vfs_view *v, struct file *f, const struct sock_addr *a);
int sock_connect(const struct vfs_view *v, struct file *f, const struct sock_addr *a);
int sock_listen(struct ctx *ctx, struct file *f, int backlog);
int sock_accept(struct ctx *ctx, struct file *f, uint32_t flags, struct file **out);
/* Undoes sock_accept; drops the reference to conn. */
void sock_unaccept(struct file *f, struct file *conn);
int sock_getname(struct file *f, bool peer, struct sock_addr *a);
/* O_NONBLOCK is turned into MSG_DONTWAIT here; EPIPE raises SIGPIPE where Linux does. */
ssize_t sock_send(struct ctx *ctx, struct file *f, struct sock_msg *m);
ssize_t sock_recv(struct ctx *ctx, struct file *f, struct sock_msg *m);
int sock_shutdown(struct file *f, int how);
/* May there be such an option?  As Linux tells before it reads the value or its length. */
int sock_has_option(struct file *f, int level, int name, bool set);
int sock_setsockopt(struct ctx *ctx, struct file *f, int level, int name, const void *val,
	uint32_t len);
/* *len: room in val (at least SOCK_OPT_MAX bytes are there), then what the option has. */
#define SOCK_OPT_MAX 256        /* struct tcp_info is the longest */
#define SOCK_OPT_LONG_MAX 69632 /* lists of sources: 512 struct sockaddr_storage */
int sock_getsockopt(struct ctx *ctx, struct file *f, int level, int name, void *val, uint32_t *len);
int sock_peer_cred(struct file *f, struct pid **pid, struct cred **cred);

/* --- for families --- */
void sock_init(struct socket *s, struct net_ns *net, int family, int type, int protocol);
/* Its memory goes: nobody waits on it any more. */
void sock_fini(struct socket *s);
/* Takes the pending error: 0 or -errno. */
static inline int sock_take_error(struct socket *s)
{
	if (likely(!READ_ONCE(s->err)))
		return 0;
	return -__atomic_exchange_n(&s->err, 0, __ATOMIC_ACQ_REL);
}
static inline bool sock_is_shut(const struct socket *s, uint32_t how)
{
	return (__atomic_load_n(&s->shutdown, __ATOMIC_ACQUIRE) & how) == how;
}
static inline bool sock_flag(const struct socket *s, uint32_t flag)
{
	return READ_ONCE(s->flags) & flag;
}
/* When a call with this timeout ends: an absolute time for ctx_block. */
int64_t sock_deadline(int64_t timeo);
/* Sleeps once on q.  s->lock is released meanwhile: the condition must only change under it. */
int sock_wait(struct ctx *ctx, struct socket *s, struct waitq *q, uint32_t events, int64_t deadline)
	REQUIRES(s->lock);
/* What a call returns whose sock_wait returned err (signal(7): timeouts make calls fail with
 * EINTR, never restart). */
int sock_wait_error(struct ctx *ctx, int err, int64_t timeo);
/* n bytes of s are under way, in packets that keep it; they arrived: wakes senders when three
 * quarters of SO_SNDBUF are free (Linux' sock_def_write_space). */
void sock_wmem_add(struct socket *s, uint32_t n);
void sock_wmem_sub(struct socket *s, uint32_t n);
/* Must a sender see skb_wait_wmem: is the buffer full, the socket shut down, an error pending? */
static inline bool sock_wmem_full(const struct socket *s)
{
	return __atomic_load_n(&s->wmem, __ATOMIC_ACQUIRE) >= READ_ONCE(s->sndbuf) ||
	       READ_ONCE(s->err) || (READ_ONCE(s->shutdown) & SOCK_SHUT_WR);
}
/* One receiver can go on; one sender; everybody must look again (shutdown, close). */
void sock_wake_readable(struct socket *s);
void sock_wake_writable(struct socket *s);
void sock_wake_all(struct socket *s);

/* --- sockopt.c --- */
/* SO_BINDTODEVICE: which link is named (0: none), and what the option tells: -ENODEV, -EINVAL. */
int sockopt_device_in(struct socket *s, const void *val, uint32_t len, int32_t *ifindex);
int sockopt_device_out(struct socket *s, int32_t ifindex, void *val, uint32_t *len);
int sockopt_set(struct ctx *ctx, struct socket *s, int name, const void *val, uint32_t len);
int sockopt_get(struct ctx *ctx, struct socket *s, int name, void *val, uint32_t *len);

#endif
