/*
 * send(2) and its kin: bytes are copied once, into buffers that segments, packets and, over
 * loopback, the receiver's queue refer to.  net/ipv4/tcp.c, net/core/stream.c.
 *
 * A write that fills several segments lets go of the lock after each, so that what was sent is
 * delivered while it is in the cache; t->sending keeps others from writing in between.
 */
#include <errno.h>
#include <time.h>

#include <linux/errqueue.h>
#include <signal.h>
#include <string.h>

#include "sentry/net/tcp/tcp_priv.h"

#define SMALL 2048u                     /* up to here a buffer is made for the write alone */
#define SMALL_BUFFER 4096u              /* what many small writes share */
#define SHARED_WAIT (NSEC_PER_SEC / 10) /* before another look at how much all have queued */

struct send {
	struct ctx *ctx;
	struct tcp_sock *t;
	struct sock_msg *m;
	int64_t timeo, deadline;
	uint32_t mss, goal;
	size_t done;
	bool waited;
	bool kept_out; /* others may wait for our end */
};

/* --- waiting --- */

static bool blocks(const struct send *x)
{
	return x->timeo != 0;
}

static int wait_until(struct send *x, int64_t most)
{
	struct inet_sock *s = &x->t->inet;
	mutex_assert_held(&s->sk.lock);
	if (!blocks(x))
		return -EAGAIN;
	if (!x->waited)
		x->deadline = sock_deadline(x->timeo);
	x->waited = true;
	int err = inet_wait(x->ctx, s, &s->sk.wr, POLLOUT, MIN(x->deadline, most));
	if (err == -ETIMEDOUT && most < x->deadline)
		return 0;
	return err ? sock_wait_error(x->ctx, err, x->timeo) : 0;
}

static int wait(struct send *x)
{
	return wait_until(x, DEADLINE_NEVER);
}

/* Others may write meanwhile; then it is our turn again. */
static int wait_aside(struct send *x, int64_t most)
{
	struct tcp_sock *t = x->t;
	bool was = t->sending;
	t->sending = false;
	int err = wait_until(x, most);
	while (was && t->sending && !err)
		err = wait(x);
	t->sending = was;
	return err;
}

/* For room (sk_stream_wait_memory): 0 or -errno. */
static int wait_memory(struct send *x)
{
	struct tcp_sock *t = x->t;
	tcp_rate_check_app_limited(t);
	for (;;) {
		if (t->inet.sk.err || sock_is_shut(&t->inet.sk, SOCK_SHUT_WR))
			return -EPIPE;
		WRITE_ONCE(t->nospace, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (tcp_memory_free(t))
			return 0;
		if (!blocks(x))
			return -EAGAIN;
		int err = wait_aside(x, DEADLINE_NEVER);
		if (err && !tcp_memory_free(t))
			return err;
		if (tcp_memory_free(t))
			return 0;
	}
}

/* There is room in our buffer, but all connections together have too much (tcp_mem): nobody tells
 * when it is less, so we look again after a while, not all of us at once. */
static int wait_shared(struct send *x)
{
	struct tcp_sock *t = x->t;
	int64_t now = tcp_now();
	if (t->inet.sk.err || sock_is_shut(&t->inet.sk, SOCK_SHUT_WR))
		return -EPIPE;
	WRITE_ONCE(t->nospace, true);
	if (!blocks(x))
		return -EAGAIN;
	return wait_aside(x, now + SHARED_WAIT + t->iss % 16 * (SHARED_WAIT / 16));
}

/* Until the handshake is over (sk_stream_wait_connect). */
static int wait_connected(struct send *x)
{
	struct tcp_sock *t = x->t;
	while (t->state != TCP_ESTABLISHED && t->state != TCP_CLOSE_WAIT) {
		int err = sock_take_error(&t->inet.sk);
		if (err)
			return err;
		if (t->state == TCP_SYN_RECV && t->fastopen_child)
			return 0;
		if (t->state != TCP_SYN_SENT && t->state != TCP_SYN_RECV)
			return -EPIPE;
		err = wait(x);
		if (err)
			return err;
	}
	return 0;
}

/* --- segments --- */

static bool skb_eor(const struct tcp_seg *s)
{
	return s->flags & (TCP_SEG_EOR | TH_FIN | TH_SYN);
}

/* Is b one that small writes share, and are there to be whole segments in it? */
static bool is_shared(const struct send *x, const struct nbuf *b)
{
	return b->cap <= SMALL_BUFFER && x->mss <= SMALL_BUFFER / 2;
}

/* Bytes that can be put behind what s has, in the same buffer: up to where the last whole segment
 * ends there, so that no short one is in the middle of what many small writes say. */
static uint32_t room_behind(const struct send *x, const struct tcp_seg *s)
{
	struct nbuf *b = s->buf;
	if (!b || b != x->t->tail || s->off + s->len != b->used)
		return 0;
	uint32_t end = s->len + b->cap - b->used, whole = end / x->mss * x->mss;
	if (is_shared(x, b) && whole >= s->len && whole)
		end = whole;
	return end - s->len;
}

/* Is what t->tail has left of no use for the next segment of a write? */
static bool tail_is_used_up(const struct send *x)
{
	const struct tcp_sock *t = x->t;
	if (!t->tail)
		return true;
	uint32_t left = t->tail->cap - t->tail->used;
	bool waiting = !list_empty(&t->sendq) || !list_empty(&t->rtxq);
	return !left || x->m->u->resid > left ||
	       (waiting && is_shared(x, t->tail) && left < x->mss);
}

/* A buffer for n bytes that are to come, at most a segment of goal bytes. */
static struct nbuf *buffer_for(struct tcp_sock *t, size_t n, uint32_t goal)
{
	bool idle = list_empty(&t->sendq) && list_empty(&t->rtxq);
	uint32_t size = (uint32_t)MIN(n, (size_t)goal);
	if (n <= SMALL)
		size = idle ? ROUND_UP(MAX(size, 1u), 256u) : MIN(SMALL_BUFFER, MAX(goal, 256u));
	return nbuf_new(MAX(size, 1u));
}

/* Why there is no segment: no room in our buffer, or in what all connections may have. */
#define NO_SPACE 1
#define NO_SHARED 2

/* The segment that the next byte goes to, and how many bytes it takes there.  0: -errno or one of
 * these in *err. */
static uint32_t place(struct send *x, struct tcp_seg **out, int *err)
{
	struct tcp_sock *t = x->t;
	struct tcp_seg *s = list_last(&t->sendq, struct tcp_seg, node);
	uint32_t room = s && !skb_eor(s) && s->len < x->goal ? room_behind(x, s) : 0;
	if (room) {
		*out = s;
		return MIN(room, x->goal - s->len);
	}
	uint32_t most = (uint32_t)MIN(x->m->u->resid, (size_t)x->goal);
	if (!tcp_memory_free(t)) {
		*err = NO_SPACE;
		return 0;
	}
	most = tcp_mem_snd_room(t, most);
	if (!most) {
		*err = NO_SHARED;
		return 0;
	}
	if (tail_is_used_up(x)) {
		struct nbuf *b = buffer_for(t, MIN(x->m->u->resid, (size_t)most), x->goal);
		if (!b) {
			*err = -ENOBUFS; /* the sandbox has no more (net/mem.h) */
			return 0;
		}
		nbuf_put(t->tail);
		t->tail = b;
	}
	s = tcp_seg_new(t, t->write_seq);
	if (!s) {
		*err = -ENOBUFS;
		return 0;
	}
	if (list_empty(&t->sendq))
		tcp_idle_check(t, tcp_now());
	s->buf = nbuf_get(t->tail);
	s->off = t->tail->used;
	list_push_back(&t->sendq, &s->node);
	*out = s;
	return MIN(t->tail->cap - t->tail->used, most);
}

/* Copies what fits one segment: how much, or -errno; 0: wait for room first, *why says which. */
static ssize_t fill(struct send *x, struct tcp_seg **out, int *why)
{
	struct tcp_sock *t = x->t;
	struct tcp_seg *s;
	*why = 0;
	uint32_t room = place(x, &s, why);
	if (!room)
		return MIN(*why, 0);
	uint32_t n = (uint32_t)MIN((size_t)room, x->m->u->resid);
	/* All or nothing of a piece, as Linux has it. */
	if (uio_read(x->m->u, s->buf->data + s->buf->used, n) != (ssize_t)n) {
		if (!s->len)
			tcp_seg_free(t, s);
		return -EFAULT;
	}
	if (!s->len && !x->done)
		s->flags &= (uint16_t)~TH_PUSH;
	s->buf->used += n;
	s->len += n;
	s->end_seq += n;
	WRITE_ONCE(t->write_seq, t->write_seq + n);
	WRITE_ONCE(t->queued, t->queued + n);
	tcp_mem_sync(t);
	*out = s;
	return n;
}

/* --- pushing --- */

static void sizes(struct send *x)
{
	x->mss = tcp_current_mss(x->t);
	x->goal = tcp_size_goal(x->t, x->mss);
}

static void mark_push(struct tcp_sock *t)
{
	struct tcp_seg *s = list_last(&t->sendq, struct tcp_seg, node);
	if (s)
		s->flags |= TH_PUSH;
	t->push_seq = t->write_seq;
}

static bool forced_push(const struct tcp_sock *t)
{
	return seq_after(t->write_seq, t->push_seq + t->max_window / 2);
}

static void push(struct send *x, uint32_t how, bool more)
{
	struct tcp_sock *t = x->t;
	if (list_empty(&t->sendq))
		return;
	if (!more || forced_push(t))
		mark_push(t);
	if (x->m->flags & MSG_OOB)
		t->snd_up = t->write_seq;
	if (x->m->flags & MSG_OOB)
		t->urg_out = true;
	tcp_push_frames(t, more ? how | TCP_SEND_CORK : how, false);
}

/* Over loopback the receiver takes what was sent now, in this thread.  The lock is had again. */
static void let_go(struct send *x) NO_THREAD_SAFETY
{
	struct tcp_sock *t = x->t;
	bool was = t->sending;
	if (!net_run_pending())
		return;
	x->kept_out = t->sending = true;
	inet_unlock(&t->inet);
	inet_lock(&t->inet);
	t->sending = was;
}

/* A whole segment is there in the middle of a write. */
static void push_full(struct send *x, struct tcp_seg *s)
{
	struct tcp_sock *t = x->t;
	if (forced_push(t)) {
		mark_push(t);
		tcp_push_frames(t, tcp_send_how(t) | TCP_SEND_PUSH, false);
	} else if (list_first(&t->sendq, struct tcp_seg, node) == s) {
		tcp_push_frames(t, tcp_send_how(t) | TCP_SEND_PUSH, true);
	}
	let_go(x);
	sizes(x);
}

static int send_bytes(struct send *x)
{
	struct tcp_sock *t = x->t;
	struct tcp_seg *s;
	int why;
	while (x->m->u->resid) {
		ssize_t n = fill(x, &s, &why);
		if (n < 0)
			return (int)n;
		if (!n) {
			if (x->done)
				push(x, tcp_send_how(t) | TCP_SEND_PUSH, false);
			int err = why == NO_SHARED ? wait_shared(x) : wait_memory(x);
			if (err)
				return err;
			sizes(x);
			continue;
		}
		x->done += (size_t)n;
		if (x->m->u->resid && (s->len >= x->goal || !room_behind(x, s)) &&
			!(x->m->flags & MSG_OOB))
			push_full(x, s);
		if (t->inet.sk.err || sock_is_shut(&t->inet.sk, SOCK_SHUT_WR))
			return -EPIPE;
	}
	return 0;
}

/* --- MSG_ZEROCOPY: copied all the same, and said so --- */

static int zerocopy_done(struct tcp_sock *t)
{
	struct sock_extended_err ee = {.ee_errno = 0,
		.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
		.ee_code = SO_EE_CODE_ZEROCOPY_COPIED,
		.ee_info = t->zc_next,
		.ee_data = t->zc_next};
	struct pkt *p = pkt_new();
	t->zc_next++;
	return p ? inet_queue_error(&t->inet, p, &ee) : -ENOMEM;
}

/* --- the call --- */

/* What -EPIPE becomes (sk_stream_error). */
static int final_error(struct send *x, int err)
{
	struct socket *sk = &x->t->inet.sk;
	if (err == -EPIPE) {
		int pending = sock_take_error(sk);
		if (pending)
			return pending;
		if (!(x->m->flags & MSG_NOSIGNAL))
			ctx_send_signal(x->ctx, SIGPIPE);
	}
	return err;
}

static int begin(struct send *x)
{
	struct tcp_sock *t = x->t;
	bool fast = (x->m->flags & MSG_FASTOPEN) || t->defer_connect;
	if (fast) {
		ssize_t n = tcp_fastopen_send(x->ctx, t, x->m, x->timeo == 0);
		if (n < 0)
			return n == -EINPROGRESS && x->m->u->resid == 0 ? 0 : (int)n;
		x->done = (size_t)n;
	}
	while (t->sending) { /* one write after the other */
		int err = wait(x);
		if (err)
			return err;
	}
	int err = wait_connected(x);
	if (err && fast && t->state == TCP_CLOSE) { /* connect(2) would have failed: as there */
		x->done = 0;
		t->ss = ABI_SS_UNCONNECTED;
		tcp_disconnect_locked(t);
	}
	if (err)
		return err;
	sizes(x);
	if (t->inet.sk.err || sock_is_shut(&t->inet.sk, SOCK_SHUT_WR))
		return -EPIPE;
	return 0;
}

static ssize_t send_locked(struct send *x)
{
	struct tcp_sock *t = x->t;
	bool zc = (x->m->flags & MSG_ZEROCOPY) && sock_flag(&t->inet.sk, SOCK_F_ZEROCOPY) &&
		  x->m->u->resid;
	size_t all = x->m->u->resid;
	int err = begin(x);
	if (!err)
		err = send_bytes(x);
	bool waiting = t->sending;
	if (x->done) {
		if (!list_empty(&t->sendq) && t->state != TCP_CLOSE) {
			struct tcp_seg *s = list_last(&t->sendq, struct tcp_seg, node);
			if ((x->m->flags & MSG_EOR) && x->done == all)
				s->flags |= TCP_SEG_EOR;
			push(x, tcp_send_how(t), x->m->flags & MSG_MORE);
		}
		if (zc)
			zerocopy_done(t);
		tcp_rate_check_app_limited(t);
		err = 0;
	} else if (err) {
		err = final_error(x, err);
		/* An edge is due to who polls and had nothing to wait for. */
		if (err == -EAGAIN && list_empty(&t->rtxq) && list_empty(&t->sendq))
			tcp_write_space(t);
	}
	if (x->kept_out)
		waitq_wake(&t->inet.sk.wr, POLLOUT);
	else if (!waiting && (x->waited || tcp_is_writable(t)))
		waitq_wake_n(&t->inet.sk.wr, POLLOUT, 1);
	return x->done ? (ssize_t)x->done : err;
}

ssize_t tcp_send(struct ctx *ctx, struct inet_sock *s, struct sock_msg *m)
{
	struct send x = {.ctx = ctx, .t = tcp_of(s), .m = m};
	struct inet_cmsg_tx tx;
	x.timeo = m->flags & MSG_DONTWAIT ? 0 : READ_ONCE(s->sk.sndtimeo);
	inet_lock(s);
	int err = 0;
	if (m->control_len) { /* as Linux: what others than SOL_SOCKET say is not looked at */
		inet_cmsg_init(s, true, &tx);
		err = inet_sol_cmsg_in(ctx, s, m, &tx);
	}
	ssize_t r = err ? err : send_locked(&x);
	inet_unlock(s);
	return r;
}
