/*
 * Data to and from sockets of the host's stack.
 *
 * A transfer is one sendmsg or recvmsg of the host that does not block, from or to guest memory
 * that is pinned meanwhile; what is short, or lies in more pieces than can be pinned, goes by way
 * of a buffer.  Streams are moved by several of them until the call is through; a message by one.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "sentry/core/arena.h"
#include "sentry/net/host/host_priv.h"

#define SHORT 4096u           /* bytes that are copied rather than pinned */
#define PIECES 16             /* of pinned memory */
#define STREAM_MAX (1u << 20) /* bytes of one transfer: nothing ends a call of the host's */
#define MESSAGE_MAX 65536u    /* no message of AF_INET and AF_NETLINK is longer */
#define LOCAL_MAX (1u << 20)  /* and none of AF_UNIX that the host has room for, by default */

#define SEND_FLAGS (MSG_OOB | MSG_DONTROUTE | MSG_EOR | MSG_MORE | MSG_CONFIRM | MSG_FASTOPEN)
#define RECV_FLAGS (MSG_OOB | MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE)
#define OUT_FLAGS (MSG_OOB | MSG_EOR | MSG_TRUNC | MSG_CTRUNC | MSG_ERRQUEUE)

struct transfer {
	struct iovec iov[PIECES];
	struct upin pin[PIECES];
	uint32_t n, pinned;
	size_t len;    /* of the pieces together */
	uint8_t *copy; /* the one piece, if it is not the guest's memory; NULL */
	uint32_t size; /* of copy, if it was allocated */
	uint8_t few[SHORT];
};

static void transfer_fini(struct transfer *t)
{
	for (uint32_t i = 0; i < t->pinned; i++)
		uaccess_unpin(&t->pin[i]);
	if (t->size)
		buf_free(t->copy, t->size);
}

static void pin_pieces(struct transfer *t, const struct uio *u, size_t max, bool write)
{
	struct uio at = *u;
	while (t->n < PIECES && t->len < max && at.resid) {
		struct upin *pin = &t->pin[t->n];
		ssize_t r = uio_pin(&at, max - t->len, write, pin);
		if (r <= 0)
			break;
		t->pinned += at.user;
		t->iov[t->n++] = (struct iovec){pin->ptr, (size_t)r};
		t->len += (size_t)r;
		uio_advance(&at, (size_t)r);
	}
}

static void use_copy(struct transfer *t, uint8_t *buf, uint32_t n)
{
	t->copy = buf;
	t->len = n;
	t->n = 1;
	t->iov[0] = (struct iovec){buf, n};
}

/* Where max bytes of u go to or come from: whole: all of them, or else some.  -ENOMEM; 0 with len
 * 0: the guest's memory is not there. */
static int transfer_init(struct transfer *t, const struct uio *u, size_t max, bool whole,
	bool write)
{
	t->n = t->pinned = t->size = 0;
	t->len = 0;
	t->copy = NULL;
	max = MIN(max, u->resid);
	if (max <= SHORT) {
		use_copy(t, t->few, (uint32_t)max);
		return 0;
	}
	pin_pieces(t, u, max, write);
	if (!whole || t->len == max)
		return 0;
	transfer_fini(t);
	t->pinned = 0;
	uint8_t *buf = buf_alloc(max);
	if (!buf)
		return -ENOMEM;
	t->size = (uint32_t)max;
	use_copy(t, buf, (uint32_t)max);
	return 0;
}

static size_t message_max(const struct host_end *e)
{
	return e->sk->family == AF_UNIX ? LOCAL_MAX : MESSAGE_MAX;
}

/* --- sending --- */

struct sending {
	struct sock_msg *m;
	struct msghdr h;
	int flags;
	uint8_t control[SOCK_CMSGS_MAX];
};

static int sending_init(const struct host_end *e, struct sending *s, struct sock_msg *m)
{
	bool local = e->sk->family == AF_UNIX; /* who it is for the gofer has said */
	ssize_t n = local ? 0 : host_cmsg_in(e->sk, m, s->control, sizeof(s->control));
	if (n < 0)
		return (int)n;
	s->m = m;
	s->flags = (m->flags & SEND_FLAGS) | MSG_DONTWAIT | MSG_NOSIGNAL;
	s->h = (struct msghdr){.msg_control = n ? s->control : NULL, .msg_controllen = (size_t)n};
	if (m->name.len && !local) {
		s->h.msg_name = &m->name.sa;
		s->h.msg_namelen = m->name.len;
	}
	return 0;
}

static ssize_t send_once(struct host_end *e, struct sending *s, struct transfer *t)
{
	ssize_t r;
	s->h.msg_iov = t->iov;
	s->h.msg_iovlen = t->n;
	do
		r = host_syscall3(SYS_sendmsg, host_end_fd(e), &s->h, s->flags);
	while (r == -EINTR);
	if (r >= 0 || r == -EAGAIN)
		host_end_rearm(e, HOST_OUT);
	return r;
}

/* As send_once, until there is room.  TCP Fast Open without a cookie has to wait for a handshake.
 */
static ssize_t send_waiting(struct ctx *ctx, struct host_end *e, struct sending *s,
	struct transfer *t)
{
	int64_t timeo = s->m->flags & MSG_DONTWAIT ? 0 : e->sk->sndtimeo,
		deadline = sock_deadline(timeo);
	int waited = 0;
	for (;;) {
		ssize_t r = send_once(e, s, t);
		if (r == -EINPROGRESS && timeo) {
			s->flags &= ~MSG_FASTOPEN;
			s->h.msg_name = NULL;
			s->h.msg_namelen = 0;
		} else if (r != -EAGAIN || timeo == 0) {
			return r;
		}
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
		waited = host_end_wait(ctx, e, HOST_OUT, deadline);
	}
}

static ssize_t fill_copy(struct transfer *t, struct uio *u)
{
	if (!t->copy || !t->len)
		return 0;
	ssize_t n = uio_read(u, t->copy, t->len);
	if (n > 0)
		t->iov[0].iov_len = t->len = (size_t)n;
	return n < 0 ? n : 0;
}

static ssize_t send_piece(struct ctx *ctx, struct host_end *e, struct sending *s,
	struct transfer *t)
{
	struct uio at = *s->m->u;
	int err = transfer_init(t, &at, STREAM_MAX, false, false);
	if (!err && !t->len && at.resid)
		err = -EFAULT;
	if (!err)
		err = (int)fill_copy(t, &at);
	ssize_t r = err ? err : send_waiting(ctx, e, s, t);
	transfer_fini(t);
	return r;
}

static ssize_t send_stream(struct ctx *ctx, struct host_end *e, struct sending *s)
{
	struct sock_msg *m = s->m;
	struct transfer t;
	size_t sent = 0;
	ssize_t r;
	do {
		r = send_piece(ctx, e, s, &t);
		if (r > 0) {
			sent += (size_t)r;
			uio_advance(m->u, (size_t)r);
			s->h.msg_controllen = 0;
		}
	} while (r > 0 && m->u->resid && !ctx_killed(ctx));
	if (r == -EPIPE && !sent && !(m->flags & MSG_NOSIGNAL))
		ctx_send_signal(ctx, SIGPIPE);
	return sent ? (ssize_t)sent : r;
}

/* Routes are read-only: whatever the host would say to one who asks for a change. */
static int check_requests(const uint8_t *p, size_t n)
{
	struct nlmsghdr h;
	while (n >= sizeof(h)) {
		memcpy(&h, p, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > n)
			break; /* the host looks no further either */
		/* RTM_NEW, RTM_DEL, RTM_GET, RTM_SET of each kind, in this order. */
		if (h.nlmsg_type >= RTM_BASE && (h.nlmsg_type & 3) != (RTM_GETLINK & 3))
			return -EPERM;
		size_t step = MIN((size_t)NLMSG_ALIGN(h.nlmsg_len), n);
		p += step;
		n -= step;
	}
	return 0;
}

static ssize_t send_message(struct ctx *ctx, struct host_end *e, struct sending *s)
{
	struct uio *u = s->m->u;
	bool netlink = e->sk->family == AF_NETLINK;
	struct transfer t;
	size_t n = u->resid;
	if (n >= message_max(e))
		return -EMSGSIZE;
	/* A request that is looked at must not change any more. */
	uint8_t *buf = netlink && n ? buf_alloc(n) : NULL;
	int err = netlink && n && !buf ? -ENOBUFS : 0;
	if (buf) {
		t.pinned = t.size = 0;
		use_copy(&t, buf, (uint32_t)n);
	} else if (!err) {
		err = transfer_init(&t, u, n, true, false);
	}
	if (err) {
		buf_free(buf, n);
		return err;
	}
	err = (int)fill_copy(&t, u);
	if (!err && t.len < n)
		err = -EFAULT;
	if (!err && netlink)
		err = check_requests(buf, n);
	ssize_t r = err ? err : send_waiting(ctx, e, s, &t);
	transfer_fini(&t);
	buf_free(buf, n);
	return r;
}

ssize_t host_end_send(struct ctx *ctx, struct host_end *e, struct sock_msg *m)
{
	struct sending s;
	int err = sock_take_error(e->sk);
	if (!err)
		err = sending_init(e, &s, m);
	if (err)
		return err;
	return e->sk->type == SOCK_STREAM ? send_stream(ctx, e, &s) : send_message(ctx, e, &s);
}

/* --- receiving --- */

struct receiving {
	struct sock_msg *m;
	int flags;
	bool stream;
	uint8_t control[SOCK_CMSGS_MAX];
};

/* One message or what a stream has: bytes, 0 at the end. */
static ssize_t recv_once(struct host_end *e, struct receiving *r, struct transfer *t)
{
	struct sock_msg *m = r->m;
	/* Names of the host's file system, and descriptors, are not for guests. */
	bool local = e->sk->family == AF_UNIX, control = m->cmsgs && !local;
	struct msghdr hdr = {.msg_name = local ? NULL : &m->name.sa,
		.msg_namelen = local ? 0 : sizeof(m->name.sa),
		.msg_iov = t->iov,
		.msg_iovlen = t->n,
		.msg_control = control ? r->control : NULL,
		.msg_controllen = control ? sizeof(r->control) : 0};
	ssize_t n;
	do
		n = host_syscall3(SYS_recvmsg, host_end_fd(e), &hdr, r->flags | MSG_DONTWAIT);
	while (n == -EINTR);
	if (n > 0 || n == -EAGAIN || !r->stream)
		host_end_rearm(e, HOST_IN | POLLRDHUP);
	if (n < 0)
		return n;
	m->name.len = MIN(hdr.msg_namelen, (uint32_t)sizeof(m->name.sa));
	m->out_flags |= hdr.msg_flags & OUT_FLAGS;
	if (hdr.msg_controllen)
		host_cmsg_out(m, r->control, hdr.msg_controllen);
	return n;
}

/* n bytes are there.  -EFAULT. */
static int give(struct transfer *t, struct uio *u, size_t n)
{
	n = MIN(n, t->len);
	if (!t->copy)
		uio_advance(u, n);
	else if (n && uio_write(u, t->copy, n) != (ssize_t)n)
		return -EFAULT;
	return 0;
}

/* What TCP does with MSG_TRUNC: throws data away, and looks at no buffer. */
static ssize_t discard(struct host_end *e, struct receiving *r, struct transfer *t)
{
	size_t n = r->m->u->resid;
	t->n = 1;
	t->iov[0] = (struct iovec){NULL, n};
	ssize_t got = recv_once(e, r, t);
	if (got > 0)
		uio_advance(r->m->u, (size_t)got);
	return got;
}

static ssize_t recv_piece(struct host_end *e, struct receiving *r, struct transfer *t)
{
	struct uio *u = r->m->u;
	if (r->stream && (r->flags & MSG_TRUNC) && !(r->flags & MSG_ERRQUEUE))
		return discard(e, r, t);
	int err = transfer_init(t, u, r->stream ? STREAM_MAX : message_max(e), !r->stream, true);
	if (err)
		return err;
	ssize_t n;
	if (!t->len && u->resid) /* it waits for data all the same */
		n = hostpoll_now(host_end_fd(e), POLLIN) ? -EFAULT : -EAGAIN;
	else
		n = recv_once(e, r, t);
	if (n > 0 && give(t, u, (size_t)n))
		n = -EFAULT;
	transfer_fini(t);
	return n;
}

static ssize_t recv_loop(struct ctx *ctx, struct host_end *e, struct receiving *r, size_t target)
{
	struct sock_msg *m = r->m;
	bool once = !r->stream || (r->flags & (MSG_PEEK | MSG_OOB | MSG_ERRQUEUE));
	int64_t timeo = m->flags & MSG_DONTWAIT ? 0 : e->sk->rcvtimeo,
		deadline = sock_deadline(timeo);
	struct transfer t;
	size_t got = 0;
	int waited = 0;
	for (;;) {
		ssize_t n = recv_piece(e, r, &t);
		/* The host tells who does not wait of no end of datagrams. */
		if (n == -EAGAIN && timeo && !r->stream && sock_is_shut(e->sk, SOCK_SHUT_RD))
			return 0;
		if (n > 0)
			got += (size_t)n;
		if (n >= 0 && (once || n == 0 || got >= target))
			return (ssize_t)got;
		if (n < 0 && n != -EAGAIN && got) /* told by the next call */
			__atomic_store_n(&e->sk->err, (int32_t)-n, __ATOMIC_RELEASE);
		if (n < 0 && (n != -EAGAIN || timeo == 0 || (r->flags & (MSG_OOB | MSG_ERRQUEUE))))
			return got ? (ssize_t)got : n;
		if (n == -EAGAIN && waited)
			return got ? (ssize_t)got : sock_wait_error(ctx, waited, timeo);
		if (n == -EAGAIN)
			waited = host_end_wait(ctx, e, HOST_IN | POLLRDHUP, deadline);
		else if (ctx_killed(ctx)) /* a sender may always have more */
			return (ssize_t)got;
	}
}

ssize_t host_end_recv(struct ctx *ctx, struct host_end *e, struct sock_msg *m)
{
	struct socket *sk = e->sk;
	struct receiving r = {.m = m,
		.flags = m->flags & RECV_FLAGS,
		.stream = sk->type == SOCK_STREAM};
	size_t want = m->u->resid;
	int err = m->flags & MSG_ERRQUEUE ? 0 : sock_take_error(sk);
	if (err)
		return err;
	if (r.stream && sk->family == AF_UNIX)
		r.flags &= ~MSG_TRUNC; /* it means nothing there */
	size_t target = m->flags & MSG_WAITALL ? want : MIN((size_t)READ_ONCE(sk->rcvlowat), want);
	return recv_loop(ctx, e, &r, target);
}
