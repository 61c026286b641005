/*
 * recv(2) and its kin: bytes go straight from the packets to the reader.  net/ipv4/tcp.c.
 */
#include <errno.h>
#include <string.h>

#include "sentry/net/tcp/tcp_priv.h"
#include "sentry/vfs/file.h"

/* Enough for poll (Linux' tcp_stream_is_readable)? */
bool tcp_readable(const struct tcp_sock *t, uint32_t target)
{
	int32_t n = (int32_t)(READ_ONCE(t->rcv_nxt) - READ_ONCE(t->copied_seq));
	if (n <= 0)
		return false;
	if (n >= (int32_t)target)
		return true;
	/* The buffer is nearly full: waiting for more would be waiting for good. */
	uint32_t rmem = READ_ONCE(t->inet.rmem), rcvbuf = READ_ONCE(t->inet.sk.rcvbuf);
	return rmem > rcvbuf - rcvbuf / 8 || tcp_receive_window(t) <= t->rcv_mss;
}

static void wake_readers(struct tcp_sock *t, uint32_t events)
{
	struct socket *sk = &t->inet.sk;
	waitq_wake_n(&sk->rd, POLLIN, 1);
	waitq_wake(&sk->pollq, events);
}

void tcp_data_ready(struct tcp_sock *t)
{
	uint32_t target = READ_ONCE(t->inet.sk.rcvlowat);
	bool urg = t->urg_data & TCP_URG_VALID;
	if (t->done || urg || tcp_readable(t, target))
		wake_readers(t, POLLIN | POLLPRI | POLLRDNORM | POLLRDBAND);
}

/* SIGURG to who owns the file (socket(7)). */
void tcp_sigurg(struct tcp_sock *t)
{
	if (t->inet.sk.file)
		file_sigurg(t->inet.sk.file);
	waitq_wake(&t->inet.sk.pollq, POLLPRI);
}

/* --- one call --- */

struct recv {
	struct ctx *ctx;
	struct tcp_sock *t;
	struct sock_msg *m;
	size_t want, target, copied;
	uint32_t seq, first; /* where we are; where a peek began */
	bool peek, blocked;
	int64_t timeo, deadline;
	int64_t stamp; /* of the last packet that was read to its end */
};

static void set_seq(struct recv *r, uint32_t seq)
{
	r->seq = seq;
	if (!r->peek)
		WRITE_ONCE(r->t->copied_seq, seq);
}

/* The packet that has r->seq; NULL: none yet. */
static struct pkt *find(struct recv *r)
{
	struct pkt *p;
	list_for_each(p, &r->t->recvq, node)
		if (seq_before(r->seq, tcp_rx_of(p)->end_seq))
			return p;
	return NULL;
}

/* How much of n bytes can be had before the urgent one; *skip: it is the next, and not ours. */
static uint32_t until_urgent(const struct recv *r, uint32_t n, bool *skip)
{
	const struct tcp_sock *t = r->t;
	*skip = false;
	if (!t->urg_data)
		return n;
	uint32_t off = t->urg_seq - r->seq;
	if (off >= n)
		return n;
	if (off)
		return off;
	*skip = !sock_flag(&t->inet.sk, SOCK_F_OOBINLINE);
	return n;
}

enum step { GO_ON, STOP, FAILED };

/* Copies from p: it has r->seq. */
static enum step take(struct recv *r, struct pkt *p)
{
	struct tcp_sock *t = r->t;
	struct tcp_rx *x = tcp_rx_of(p);
	uint32_t off = r->seq - x->seq, n = off < p->len ? p->len - off : 0;
	bool skip;
	n = (uint32_t)MIN((size_t)n, r->want - r->copied);
	if (n) {
		n = until_urgent(r, n, &skip);
		if (skip) {
			set_seq(r, r->seq + 1);
			off++;
			n--;
		}
		/* What only part of could be copied stays in the queue as a whole. */
		if (n && !(r->m->flags & MSG_TRUNC) && pkt_copy_uio(p, off, r->m->u, n))
			return FAILED;
		set_seq(r, r->seq + n);
		r->copied += n;
		if (!r->peek)
			tcp_rcv_space_adjust(t);
	}
	if (t->urg_data && seq_after(t->copied_seq, t->urg_seq))
		WRITE_ONCE(t->urg_data, 0);
	if (r->seq - x->seq < p->len)
		return GO_ON;
	if (p->stamp)
		r->stamp = p->stamp;
	if (x->flags & TH_FIN) {
		set_seq(r, x->end_seq);
		if (!r->peek)
			tcp_rx_free(t, p);
		return STOP;
	}
	if (!r->peek)
		tcp_rx_free(t, p);
	return GO_ON;
}

/* All that is in the queue: STOP: the call is over. */
static enum step take_queued(struct recv *r)
{
	struct tcp_sock *t = r->t;
	do { /* even a read of nothing waits for something */
		/* At the urgent byte a read stops, so that it can be told where it is. */
		if (t->urg_data && t->urg_seq == r->seq && r->copied)
			return STOP;
		struct pkt *p = find(r);
		if (!p)
			return GO_ON;
		enum step s = take(r, p);
		if (s != GO_ON)
			return s;
	} while (r->copied < r->want);
	return STOP;
}

/* The queue has no more: is the call over?  0: wait; 1: yes; or -errno. */
static int at_end(struct recv *r)
{
	struct tcp_sock *t = r->t;
	struct socket *sk = &t->inet.sk;
	bool over = sk->err || t->state == TCP_CLOSE || sock_is_shut(sk, SOCK_SHUT_RD);
	if (r->copied >= r->target)
		return 1;
	if (r->copied)
		return over || !r->timeo || ctx_signalled(r->ctx);
	if (t->done)
		return 1;
	if (sk->err)
		return sock_take_error(sk);
	if (sock_is_shut(sk, SOCK_SHUT_RD))
		return 1;
	if (t->state == TCP_CLOSE)
		return -ENOTCONN;
	return r->timeo ? 0 : -EAGAIN;
}

static int recv_loop(struct recv *r)
{
	struct tcp_sock *t = r->t;
	struct inet_sock *s = &t->inet;
	mutex_assert_held(&s->sk.lock);
	for (;;) {
		enum step st = take_queued(r);
		if (st == FAILED)
			return -EFAULT;
		if (st == STOP)
			return 0;
		int e = at_end(r);
		if (e)
			return e < 0 ? e : 0;
		if (!r->peek)
			tcp_read_ack(t, r->copied);
		if (!r->blocked)
			r->deadline = sock_deadline(r->timeo);
		r->blocked = true;
		uint32_t base = t->copied_seq;
		int err = inet_wait(r->ctx, s, &s->sk.rd, POLLIN, r->deadline);
		if (!r->want) /* it has waited for anything: that is all that is asked */
			return 0;
		if (err && !find(r))
			return r->copied ? 0 : sock_wait_error(r->ctx, err, r->timeo);
		if (r->peek && t->copied_seq != base) /* somebody else has read */
			r->seq = t->copied_seq;
		else if (!r->peek)
			r->seq = t->copied_seq;
	}
}

/* --- MSG_OOB (Linux' tcp_recv_urg) --- */

static ssize_t recv_urgent(struct tcp_sock *t, struct sock_msg *m)
{
	uint16_t urg = t->urg_data;
	if (sock_flag(&t->inet.sk, SOCK_F_OOBINLINE) || !urg || urg == TCP_URG_READ)
		return -EINVAL;
	if (t->state == TCP_CLOSE && !t->done)
		return -ENOTCONN;
	if (urg & TCP_URG_VALID) {
		uint8_t byte = (uint8_t)urg;
		if (!(m->flags & MSG_PEEK))
			WRITE_ONCE(t->urg_data, TCP_URG_READ);
		m->out_flags |= MSG_OOB;
		if (!m->u->resid) {
			m->out_flags |= MSG_TRUNC;
			return 0;
		}
		if (m->flags & MSG_TRUNC)
			return 1;
		return uio_write(m->u, &byte, 1) == 1 ? 1 : -EFAULT;
	}
	if (t->state == TCP_CLOSE || sock_is_shut(&t->inet.sk, SOCK_SHUT_RD))
		return 0;
	return -EAGAIN; /* told of, but not here yet */
}

static void move_peek_off(struct socket *sk, bool peek, size_t n)
{
	int32_t off = sk->peek_off;
	if (off >= 0 && n)
		sk->peek_off = peek ? (int32_t)MIN((size_t)off + n, (size_t)INT32_MAX)
				    : (int32_t)MAX((long)off - (long)n, 0L);
}

/* SO_TIMESTAMP and the like: when the last byte came. */
static void put_stamp(struct recv *r)
{
	struct pkt *p = r->stamp ? pkt_new() : NULL;
	if (!p)
		return;
	p->stamp = r->t->inet.sk.last_stamp = r->stamp;
	inet_cmsg_out_stamps(&r->t->inet, p, r->m, false);
	pkt_free(p);
}

static ssize_t recv_locked(struct recv *r)
{
	struct tcp_sock *t = r->t;
	struct socket *sk = &t->inet.sk;
	if (t->state == TCP_LISTEN)
		return -ENOTCONN;
	if (r->m->flags & MSG_OOB)
		return recv_urgent(t, r->m);
	r->seq = t->copied_seq;
	if (r->peek && sk->peek_off > 0)
		r->seq += (uint32_t)sk->peek_off;
	r->target =
		r->m->flags & MSG_WAITALL ? r->want : MIN((size_t)READ_ONCE(sk->rcvlowat), r->want);
	if (!r->target)
		r->target = 1;
	int err = recv_loop(r);
	if (!r->peek)
		tcp_read_ack(t, r->copied);
	move_peek_off(sk, r->peek, r->copied);
	if (r->blocked && t->copied_seq != t->rcv_nxt)
		waitq_wake_n(&sk->rd, POLLIN, 1);
	put_stamp(r);
	if (t->inq && (r->copied || !err)) {
		int n = (int)tcp_inq(t);
		if (!n && t->done)
			n = 1; /* so that the end can be seen */
		sock_cmsg_put(r->m, SOL_TCP, TCP_CM_INQ, &n, sizeof(n));
	}
	return r->copied ? (ssize_t)r->copied : err;
}

ssize_t tcp_recv(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	struct recv r = {.ctx = ctx,
		.t = tcp_of(s),
		.m = m,
		.want = m->u->resid,
		.peek = m->flags & MSG_PEEK};
	if (m->flags & MSG_ERRQUEUE) {
		inet_lock(s);
		ssize_t e = inet_recv_error(s, m);
		inet_unlock(s);
		return e;
	}
	r.timeo = m->flags & MSG_DONTWAIT ? 0 : READ_ONCE(s->sk.rcvtimeo);
	inet_lock(s);
	ssize_t n = recv_locked(&r);
	inet_unlock(s);
	return n;
}
