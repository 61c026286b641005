/*
 * The verbs of sockets and their file operations: see socket.h.
 */
#include "sentry/net/socket.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/filter.h"
#include "sentry/net/inet/inet.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/host/host.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/packet/packet.h"
#include "sentry/net/raw/raw.h"
#include "sentry/net/tcp/tcp.h"
#include "sentry/net/udp/udp.h"
#include "sentry/net/unix/unix.h"
#include "sentry/time/time.h"

/* [1]: those of the host's stack. */
static const struct sock_ops *families[2][ABI_AF_MAX] RO_AFTER_INIT;

struct socket_globals {
	uint64_t last_cookie;
};
static struct socket_globals *globals RO_AFTER_INIT;
KERNEL_UNIT("sockets", globals, NULL);

void sock_ops_register(int family, const struct sock_ops *ops)
{
	BUG_ON(family < 0 || family >= ABI_AF_MAX);
	families[0][family] = ops;
}

void sock_ops_register_host(int family, const struct sock_ops *ops)
{
	BUG_ON(family < 0 || family >= ABI_AF_MAX);
	families[1][family] = ops;
}

const struct sock_ops *sock_ops(const struct socket *s)
{
	return families[s->on_host][s->family];
}

/* Of a new socket.  AF_UNIX is never the host's; what else it does not have is not to be had. */
static const struct sock_ops *ops_in(const struct net_ns *net, int family)
{
	return families[net->host && family != AF_UNIX][family];
}

void sock_init(struct socket *s, struct net_ns *net, int family, int type, int protocol)
{
	mutex_init(&s->lock, LOCK_SOCK);
	s->net = net_ns_get(net);
	s->family = (uint8_t)family;
	s->type = (uint8_t)type;
	s->protocol = (uint16_t)protocol;
	s->cookie = __atomic_add_fetch(&globals->last_cookie, 1, __ATOMIC_RELAXED);
	waitq_init(&s->rd);
	waitq_init(&s->wr);
	waitq_init(&s->pollq);
	s->sndbuf = (uint32_t)READ_ONCE(net->ctl.wmem_default);
	s->rcvbuf = (uint32_t)READ_ONCE(net->ctl.rmem_default);
	s->rcvtimeo = s->sndtimeo = SOCK_NO_TIMEOUT;
	s->last_stamp = -1;
	s->rcvlowat = 1;
	s->peek_off = -1;
}

void sock_fini(struct socket *s)
{
	waitq_fini(&s->rd);
	waitq_fini(&s->wr);
	waitq_fini(&s->pollq);
	sock_filter_fini(s);
	net_ns_put(s->net);
}

/* --- waiting --- */

int64_t sock_deadline(int64_t timeo)
{
	int64_t d;
	if (timeo == SOCK_NO_TIMEOUT)
		return DEADLINE_NEVER;
	return __builtin_add_overflow(mono_now(), timeo, &d) ? DEADLINE_NEVER : d;
}

int sock_wait(struct ctx *ctx, struct socket *s, struct waitq *q, uint32_t events, int64_t deadline)
{
	struct waiter w;
	waiter_init_ctx(&w, ctx, events);
	w.exclusive = true;
	waitq_add(q, &w);
	mutex_unlock(&s->lock);
	int err = ctx_block(ctx, deadline);
	waitq_del(&w);
	mutex_lock(&s->lock);
	return err;
}

int sock_wait_error(struct ctx *ctx, int err, int64_t timeo)
{
	if (err == -ETIMEDOUT)
		return -EAGAIN;
	if (err != -ERESTARTSYS || timeo == SOCK_NO_TIMEOUT)
		return err;
	/* A freeze is not the guest's business: the call starts again. */
	uint32_t intr = __atomic_load_n(&ctx->intr, __ATOMIC_ACQUIRE);
	return intr & (CTX_INTR_SIGNAL | CTX_INTR_KILL) ? -EINTR : -ERESTARTNOHAND;
}

void sock_wake_readable(struct socket *s)
{
	waitq_wake_n(&s->rd, POLLIN, 1);
	waitq_wake(&s->pollq, POLLIN | POLLRDNORM | POLLRDBAND);
}

void sock_wake_writable(struct socket *s)
{
	waitq_wake(&s->wr, POLLOUT);
	waitq_wake(&s->pollq, POLLOUT | POLLWRNORM | POLLWRBAND);
}

void sock_wake_all(struct socket *s)
{
	waitq_wake(&s->rd, POLLIN);
	waitq_wake(&s->wr, POLLOUT);
	waitq_wake(&s->pollq, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLWRBAND | POLLRDHUP |
				      POLLHUP | POLLERR);
}

/* --- what a sender has under way --- */

void sock_wmem_add(struct socket *s, uint32_t n)
{
	if (sock_ops(s)->get)
		sock_ops(s)->get(s);
	__atomic_add_fetch(&s->wmem, n, __ATOMIC_SEQ_CST);
}

void sock_wmem_sub(struct socket *s, uint32_t n)
{
	uint64_t old = __atomic_fetch_sub(&s->wmem, n, __ATOMIC_SEQ_CST);
	uint64_t sndbuf = __atomic_load_n(&s->sndbuf, __ATOMIC_SEQ_CST);
	if (old * 4 > sndbuf && (old - n) * 4 <= sndbuf)
		sock_wake_writable(s);
	if (sock_ops(s)->put)
		sock_ops(s)->put(s);
}

/* --- ancillary data --- */

void sock_cmsg_put(struct sock_msg *m, int level, int type, const void *data, uint32_t len)
{
	struct sock_cmsgs *c = m->cmsgs;
	struct abi_cmsghdr h = {ABI_CMSG_LEN(len), level, type};
	if (!c)
		return;
	if (ABI_CMSG_SPACE(len) > SOCK_CMSGS_MAX - c->len) {
		c->truncated = true;
		return;
	}
	memset(c->buf + c->len, 0, ABI_CMSG_SPACE(len));
	memcpy(c->buf + c->len, &h, sizeof(h));
	memcpy(c->buf + c->len + sizeof(h), data, len);
	c->len += (uint32_t)ABI_CMSG_SPACE(len);
}

bool sock_cmsg_next(const struct sock_msg *m, uint32_t *at, struct abi_cmsghdr *h,
	const uint8_t **data)
{
	uint32_t left = m->control_len - *at;
	if (*at > m->control_len || left < sizeof(*h))
		return false;
	memcpy(h, m->control + *at, sizeof(*h));
	if (h->cmsg_len < sizeof(*h) || h->cmsg_len > left)
		return false;
	*data = m->control + *at + sizeof(*h);
	*at += (uint32_t)ABI_CMSG_ALIGN(h->cmsg_len);
	return true;
}

/* --- files --- */

struct socket *sock_of(const struct file *f)
{
	return f->type >= FILE_SOCK_UNIX && f->type <= FILE_SOCK_PACKET ? f->priv : NULL;
}

static struct file *new_file(struct ctx *ctx, const struct sock_ops *ops, uint32_t flags)
{
	return file_alloc_anon(ctx, ops->ftype, INODE_SOCKFS, "socket:", S_IFSOCK | 0777,
		O_RDWR | (flags & O_NONBLOCK));
}

/* A file that never got its socket: no release. */
static void discard_file(struct file *f)
{
	f->type = FILE_NONE;
	file_put(f);
}

static void attach(struct file *f, struct socket *s)
{
	f->priv = s;
	s->ino = f->inode->ino;
	__atomic_store_n(&s->file, f, __ATOMIC_RELEASE);
	__atomic_add_fetch(&s->net->nr_sockets, 1, __ATOMIC_RELAXED);
}

static int check_family(const struct net_ns *net, int family, int type)
{
	if (family < 0 || family >= ABI_AF_MAX)
		return -EAFNOSUPPORT;
	if (type < 0 || type >= ABI_SOCK_MAX)
		return -EINVAL;
	return ops_in(net, family) ? 0 : -EAFNOSUPPORT;
}

int sock_create(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	uint32_t flags, struct file **out)
{
	struct socket *s;
	int err = check_family(net, family, type);
	if (err)
		return err;
	const struct sock_ops *ops = ops_in(net, family);
	struct file *f = new_file(ctx, ops, flags);
	if (!f)
		return -ENOMEM;
	err = ops->create(ctx, net, type, protocol, &s);
	if (err) {
		discard_file(f);
		return err;
	}
	attach(f, s);
	*out = f;
	return 0;
}

int sock_pair(struct ctx *ctx, struct net_ns *net, int family, int type, int protocol,
	uint32_t flags, struct file *out[2])
{
	int err = sock_create(ctx, net, family, type, protocol, flags, &out[0]);
	if (err)
		return err;
	err = sock_create(ctx, net, family, type, protocol, flags, &out[1]);
	if (!err) {
		const struct sock_ops *ops = ops_in(net, family);
		err = ops->pair ? ops->pair(ctx, sock_of(out[0]), sock_of(out[1])) : -EOPNOTSUPP;
		if (!err)
			return 0;
		file_put(out[1]);
	}
	file_put(out[0]);
	return err;
}

int sock_bind(const struct vfs_view *v, struct file *f, const struct sock_addr *a)
{
	struct socket *s = sock_of(f);
	return s ? sock_ops(s)->bind(v, s, a) : -ENOTSOCK;
}

static bool nonblocking(const struct file *f)
{
	return READ_ONCE(f->flags) & O_NONBLOCK;
}

int sock_connect(const struct vfs_view *v, struct file *f, const struct sock_addr *a)
{
	struct socket *s = sock_of(f);
	return s ? sock_ops(s)->connect(v, s, a, nonblocking(f)) : -ENOTSOCK;
}

int sock_listen(struct ctx *ctx, struct file *f, int backlog)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	return sock_ops(s)->listen(ctx, s,
		MIN((uint32_t)backlog, (uint32_t)READ_ONCE(s->net->ctl.somaxconn)));
}

int sock_accept(struct ctx *ctx, struct file *f, uint32_t flags, struct file **out)
{
	struct socket *s = sock_of(f), *n;
	if (!s)
		return -ENOTSOCK;
	struct file *nf = new_file(ctx, sock_ops(s), flags);
	if (!nf)
		return -ENOMEM;
	int err = sock_ops(s)->accept(ctx, s, nonblocking(f), &n);
	if (err) {
		discard_file(nf);
		return err;
	}
	attach(nf, n);
	*out = nf;
	return 0;
}

void sock_unaccept(struct file *f, struct file *conn)
{
	struct socket *s = sock_of(conn);
	BUG_ON(!s);
	__atomic_store_n(&s->file, NULL, __ATOMIC_RELEASE);
	__atomic_sub_fetch(&s->net->nr_sockets, 1, __ATOMIC_RELAXED);
	conn->priv = NULL;
	sock_ops(s)->unaccept(sock_of(f), s);
	discard_file(conn);
}

int sock_getname(struct file *f, bool peer, struct sock_addr *a)
{
	struct socket *s = sock_of(f);
	return s ? sock_ops(s)->getname(s, peer, a) : -ENOTSOCK;
}

ssize_t sock_send(struct ctx *ctx, struct file *f, struct sock_msg *m)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (nonblocking(f))
		m->flags |= MSG_DONTWAIT;
	return sock_ops(s)->send(ctx, s, m);
}

ssize_t sock_recv(struct ctx *ctx, struct file *f, struct sock_msg *m)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (nonblocking(f))
		m->flags |= MSG_DONTWAIT;
	return sock_ops(s)->recv(ctx, s, m);
}

int sock_shutdown(struct file *f, int how)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return sock_ops(s)->shutdown(s, (uint32_t)how + 1);
}

int sock_has_option(struct file *f, int level, int name, bool set)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (level == SOL_SOCKET)
		return 0;
	if (!sock_ops(s)->setsockopt)
		return -EOPNOTSUPP;
	return sock_ops(s)->has_option ? sock_ops(s)->has_option(s, level, name, set) : 0;
}

int sock_setsockopt(struct ctx *ctx, struct file *f, int level, int name, const void *val,
	uint32_t len)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (level == SOL_SOCKET && !s->on_host)
		return sockopt_set(ctx, s, name, val, len);
	if (!sock_ops(s)->setsockopt)
		return -EOPNOTSUPP;
	return sock_ops(s)->setsockopt(ctx, s, level, name, val, len);
}

int sock_getsockopt(struct ctx *ctx, struct file *f, int level, int name, void *val, uint32_t *len)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	if (level == SOL_SOCKET && !s->on_host)
		return sockopt_get(ctx, s, name, val, len);
	if (!sock_ops(s)->getsockopt)
		return -EOPNOTSUPP;
	return sock_ops(s)->getsockopt(ctx, s, level, name, val, len);
}

int sock_peer_cred(struct file *f, struct pid **pid, struct cred **cred)
{
	struct socket *s = sock_of(f);
	if (!s)
		return -ENOTSOCK;
	return sock_ops(s)->peer_cred ? sock_ops(s)->peer_cred(s, pid, cred) : -ENODATA;
}

/* --- file operations --- */

static ssize_t sock_file_read(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos, int rwf)
{
	struct sock_msg m = {.u = u, .flags = rwf & RWF_NOWAIT ? MSG_DONTWAIT : 0};
	if (u->resid == 0) /* even where a message waits */
		return 0;
	ssize_t r = sock_recv(ctx, f, &m);
	scm_clear(&m.scm);
	return r;
}

static ssize_t sock_file_write(struct ctx *ctx, struct file *f, struct uio *u, int64_t *pos,
	int rwf)
{
	struct sock_msg m = {.u = u, .flags = rwf & RWF_NOWAIT ? MSG_DONTWAIT : 0};
	if (sock_of(f)->type == SOCK_SEQPACKET)
		m.flags |= MSG_EOR;
	ssize_t r = sock_send(ctx, f, &m);
	scm_clear(&m.scm);
	return r;
}

static uint32_t sock_file_poll(struct file *f, struct poll_table *pt)
{
	struct socket *s = sock_of(f);
	poll_wait(pt, &s->pollq);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return sock_ops(s)->poll(s, pt);
}

/* SIOCGSTAMP and its kin; from now on there are stamps. */
static long get_stamp(struct ctx *ctx, struct socket *s, bool ns, uint64_t arg)
{
	int64_t t = READ_ONCE(s->last_stamp);
	__atomic_fetch_or(&s->flags, SOCK_F_STAMP, __ATOMIC_RELAXED);
	if (t == -1)
		return -ENOENT;
	if (!t) {
		t = time_realtime();
		WRITE_ONCE(s->last_stamp, t);
	}
	int64_t out[2] = {t / NSEC_PER_SEC, t % NSEC_PER_SEC / (ns ? 1 : 1000)};
	return uaccess_copyout(ctx, UADDR(arg), out, sizeof(out));
}

/* -ENOTTY: another request, or of a family whose packets have no stamps. */
static long stamp_ioctl(struct ctx *ctx, struct socket *s, uint32_t cmd, uint64_t arg)
{
	if (s->on_host || s->family == AF_UNIX || s->family == AF_NETLINK)
		return -ENOTTY;
	switch (cmd) {
	case SIOCGSTAMP_OLD:
	case SIOCGSTAMP_NEW:
		return get_stamp(ctx, s, false, arg);
	case SIOCGSTAMPNS_OLD:
	case SIOCGSTAMPNS_NEW:
		return get_stamp(ctx, s, true, arg);
	default:
		return -ENOTTY;
	}
}

static long sock_file_ioctl(struct ctx *ctx, struct file *f, uint32_t cmd, uint64_t arg)
{
	struct socket *s = sock_of(f);
	if (cmd == SIOCGSKNS)
		return ctx_capable(ctx, CAP_NET_ADMIN) ? net_ns_open(ctx, s->net) : -EPERM;
	if (unlikely(s->net->host) && !s->on_host) {
		long r = host_link_ioctl(ctx, cmd, arg);
		if (r != -ENOTTY)
			return r;
	}
	long ret = stamp_ioctl(ctx, s, cmd, arg);
	if (ret != -ENOTTY)
		return ret;
	ret = sock_ops(s)->ioctl ? sock_ops(s)->ioctl(ctx, s, cmd, arg) : -ENOTTY;
	if (ret != -ENOTTY || !s->on_host)
		return ret;
	return s->family == AF_INET6 ? net_ioctl6(ctx, s->net, cmd, arg)
				     : net_ioctl(ctx, s->net, cmd, arg);
}

static int sock_file_mmap(struct ctx *ctx, struct file *f, struct mappable **out)
{
	struct socket *s = sock_of(f);
	return sock_ops(s)->mmap ? sock_ops(s)->mmap(s, out) : -ENODEV;
}

static void sock_file_release(struct file *f)
{
	struct socket *s = sock_of(f);
	__atomic_sub_fetch(&s->net->nr_sockets, 1, __ATOMIC_RELAXED);
	sock_ops(s)->release(s);
}

static const struct file_ops sock_file_ops = {.read = sock_file_read,
	.write = sock_file_write,
	.poll = sock_file_poll,
	.ioctl = sock_file_ioctl,
	.mmap = sock_file_mmap,
	.release = sock_file_release};

int net_init(void)
{
	for (enum file_type t = FILE_SOCK_UNIX; t <= FILE_SOCK_PACKET; t++)
		file_ops_register(t, &sock_file_ops);
	link_init();
	ip_init();
	eth_init();
	netlink_init();
	packet_init();
	inet_init();
	udp_init();
	raw_init();
	ping_init();
	tcp_init();
	return unix_init();
}
