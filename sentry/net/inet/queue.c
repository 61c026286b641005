/*
 * Queues of datagrams: UDP, raw and ping sockets.
 *
 * A packet waits with its data at what recvmsg(2) shows; its headers lie in front of that in
 * its head, for control messages.  The queue is bounded by SO_RCVBUF, as Linux counts (truesize);
 * what comes when it is full is dropped, but one is taken whatever its size.  All queues together
 * are bounded by udp_mem, those of raw and ping sockets by a part of the sandbox's memory.
 */
#include <sys/ioctl.h>

#include <linux/sockios.h>

#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/mem.h"
#include "sentry/time/time.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)

/* --- in --- */

static bool wants_stamp(const struct socket *sk)
{
	return sock_flag(sk, SOCK_F_TIMESTAMP_ANY | SOCK_F_STAMP) || READ_ONCE(sk->tsflags);
}

static enum net_mem mem_kind(const struct inet_sock *s)
{
	return s->kind == INET_UDP ? NET_MEM_UDP : NET_MEM_QUEUES;
}

/* rmem has changed; of TCP, which counts what it sends as well, tcp_mem_sync tells. */
void inet_mem_sync(struct inet_sock *s)
{
	if (s->kind != INET_TCP)
		net_mem_set(mem_kind(s), &s->mem_pages, s->rmem);
}

/* 0, or -ENOMEM: its own buffer is full; -ENOBUFS: all have too much (udp_mem).  A small one is
 * taken all the same by who has none: others' queues must not make everybody deaf. */
static int admit(struct inet_sock *s, const struct pkt *p, uint64_t rcvbuf) REQUIRES(s->rq_lock)
{
	uint32_t min = (uint32_t)READ_ONCE(s->sk.net->ctl.udp_rmem_min);
	if (s->rmem && (uint64_t)s->rmem + p->charge > rcvbuf)
		return -ENOMEM;
	if (net_mem_room(s->sk.net, mem_kind(s), s->mem_pages, s->rmem, p->charge, min))
		return 0;
	return !s->rmem && p->charge <= min ? 0 : -ENOBUFS;
}

int inet_queue_dgram(struct inet_sock *s, struct pkt *p)
{
	uint64_t rcvbuf = READ_ONCE(s->sk.rcvbuf);
	if (unlikely(wants_stamp(&s->sk)) && !p->stamp)
		p->stamp = time_realtime();
	inet_cb(p)->drops = READ_ONCE(s->drops);
	mutex_lock(&s->rq_lock);
	int err = admit(s, p, rcvbuf);
	if (!err) {
		list_push_back(&s->rq, &p->node);
		WRITE_ONCE(s->rmem, s->rmem + p->charge);
		inet_mem_sync(s);
		__atomic_store_n(&s->rq_len, s->rq_len + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&s->rq_seq, s->rq_seq + 1, __ATOMIC_SEQ_CST);
	}
	mutex_unlock(&s->rq_lock);
	if (err) {
		__atomic_add_fetch(&s->drops, 1, __ATOMIC_RELAXED);
		net_defer_free(p);
		return err;
	}
	sock_wake_readable(&s->sk);
	return 0;
}

void inet_purge(struct inet_sock *s)
{
	struct list_node list = LIST_INIT(list);
	mutex_lock(&s->rq_lock);
	list_splice_back(&list, &s->rq);
	list_splice_back(&list, &s->errq);
	s->rq_len = s->errq_len = s->rmem = 0;
	inet_mem_sync(s);
	mutex_unlock(&s->rq_lock);
	inet_free_packets(&list);
}

void inet_dgram_mark(struct pkt *p, uint16_t port, uint16_t dport)
{
	memset(p->cb, 0, sizeof(p->cb));
	inet_cb(p)->port = port;
	inet_cb(p)->dport = dport;
}

void inet_purge_errors(struct inet_sock *s)
{
	struct list_node list = LIST_INIT(list);
	struct pkt *p;
	mutex_lock(&s->rq_lock);
	list_splice_back(&list, &s->errq);
	s->errq_len = 0;
	list_for_each(p, &list, node)
		s->rmem -= p->charge;
	inet_mem_sync(s);
	mutex_unlock(&s->rq_lock);
	inet_free_packets(&list);
}

/* --- out --- */

/* Where SO_PEEK_OFF is, the packets before it are skipped. */
static struct pkt *pick(struct inet_sock *s, bool peek, uint32_t *off)
{
	int32_t skip = peek ? READ_ONCE(s->sk.peek_off) : -1;
	struct pkt *p;
	*off = skip > 0 ? (uint32_t)skip : 0;
	list_for_each(p, &s->rq, node) {
		if (!*off || *off < p->len)
			return p;
		*off -= p->len;
	}
	return NULL;
}

/* -EAGAIN: there is none. */
static int take(struct inet_sock *s, bool peek, struct pkt **out, uint32_t *off)
{
	int err = 0;
	if (!__atomic_load_n(&s->rq_len, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	MUTEX_GUARD(&s->rq_lock);
	struct pkt *p = pick(s, peek, off);
	if (!p)
		return -EAGAIN;
	if (peek) {
		*out = pkt_clone(p);
		err = *out ? 0 : -ENOMEM;
	} else {
		list_del(&p->node);
		s->rq_len--;
		WRITE_ONCE(s->rmem, s->rmem - p->charge);
		inet_mem_sync(s);
		*out = p;
	}
	return err;
}

/* Sleeps once, unless something came since seq was read, which was before the queue was looked at.
 */
static int wait_dgram(struct ctx *ctx, struct inet_sock *s, uint32_t seq, int64_t deadline)
{
	struct waiter w;
	int err = 0;
	waiter_init_ctx(&w, ctx, POLLIN);
	w.exclusive = true;
	waitq_add(&s->sk.rd, &w);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (READ_ONCE(s->rq_seq) == seq && !READ_ONCE(s->sk.err) &&
		!sock_is_shut(&s->sk, SOCK_SHUT_RD))
		err = ctx_block(ctx, deadline);
	waitq_del(&w);
	return err;
}

int inet_dequeue_dgram(struct ctx *ctx, struct inet_sock *s, int flags, struct pkt **out,
	uint32_t *off)
{
	int64_t timeo = flags & MSG_DONTWAIT ? 0 : READ_ONCE(s->sk.rcvtimeo),
		deadline = timeo ? sock_deadline(timeo) : 0;
	int err, waited = 0;
	*out = NULL;
	for (;;) {
		uint32_t seq = __atomic_load_n(&s->rq_seq, __ATOMIC_ACQUIRE);
		err = sock_take_error(&s->sk);
		if (!err)
			err = take(s, flags & MSG_PEEK, out, off);
		if (err != -EAGAIN)
			return err;
		if (timeo == 0)
			return -EAGAIN;
		if (sock_is_shut(&s->sk, SOCK_SHUT_RD))
			return 0;
		if (waited) {
			/* The baton, in case we were woken all the same. */
			if (READ_ONCE(s->rq_len))
				waitq_wake_n(&s->sk.rd, POLLIN, 1);
			return sock_wait_error(ctx, waited, timeo);
		}
		waited = wait_dgram(ctx, s, seq, deadline);
	}
}

/* SO_PEEK_OFF moves on with what was seen, and back with what is gone. */
static void move_peek_off(struct socket *sk, bool peek, uint32_t n)
{
	int32_t off = READ_ONCE(sk->peek_off);
	if (off >= 0)
		WRITE_ONCE(sk->peek_off, peek ? off + (int32_t)n : MAX(off - (int32_t)n, 0));
}

static void fill_name(struct inet_sock *s, struct pkt *p, struct sock_addr *a)
{
	inet_addr_out(s, &p->ip.src, inet_cb(p)->port, (uint32_t)p->iif, a);
	if (s->sk.family == AF_INET6 && (s->cmsg & INET_CMSG_SNDFLOW))
		a->in6.flowinfo = htonl(p->ip.flowlabel | (uint32_t)p->ip.tos << 20);
}

ssize_t inet_dgram_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m, bool gro)
{
	bool peek = m->flags & MSG_PEEK;
	struct pkt *p;
	uint32_t off = 0;
	if (m->flags & MSG_ERRQUEUE)
		return inet_recv_error(s, m);
	int err = inet_dequeue_dgram(ctx, s, m->flags, &p, &off);
	if (err || !p)
		return err;
	uint32_t len = p->len, n = (uint32_t)MIN((size_t)(len - off), m->u->resid);
	if (m->u->resid <= len - off && n < len)
		m->out_flags |= MSG_TRUNC;
	ssize_t r = n ? pkt_copy_uio(p, off, m->u, n) : 0;
	if (r == 0) {
		fill_name(s, p, &m->name);
		if (m->cmsgs)
			inet_cmsg_out(s, p, m);
		if (gro && m->cmsgs)
			inet_cmsg_out_gro(p, m);
		r = m->flags & MSG_TRUNC ? len : n;
		WRITE_ONCE(s->sk.last_stamp, p->stamp);
	}
	move_peek_off(&s->sk, peek, peek ? n : len);
	pkt_free(p);
	return r;
}

/* --- poll, ioctl --- */

uint32_t inet_dgram_poll(struct inet_sock *s)
{
	uint32_t mask = inet_poll_error(s);
	uint32_t shut = __atomic_load_n(&s->sk.shutdown, __ATOMIC_ACQUIRE);
	if (shut == SOCK_SHUT_BOTH)
		mask |= POLLHUP;
	if (shut & SOCK_SHUT_RD)
		mask |= POLLRDHUP | READABLE;
	if (__atomic_load_n(&s->rq_len, __ATOMIC_ACQUIRE))
		mask |= READABLE;
	if ((uint64_t)__atomic_load_n(&s->sk.wmem, __ATOMIC_ACQUIRE) * 2 < READ_ONCE(s->sk.sndbuf))
		mask |= WRITABLE;
	return mask;
}

static int32_t first_len(struct inet_sock *s)
{
	MUTEX_GUARD(&s->rq_lock);
	struct pkt *p = list_first(&s->rq, struct pkt, node);
	return p ? (int32_t)p->len : 0;
}

long inet_dgram_ioctl(struct ctx *ctx, struct inet_sock *s, uint32_t cmd, uint64_t arg)
{
	int32_t v;
	switch (cmd) {
	case FIONREAD: /* SIOCINQ */
		v = first_len(s);
		break;
	case TIOCOUTQ: /* SIOCOUTQ */
		v = (int32_t)READ_ONCE(s->sk.wmem);
		break;
	default:
		return -ENOTTY;
	}
	return uaccess_put(ctx, UADDR(arg), &v);
}
