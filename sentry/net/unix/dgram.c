/*
 * Messages: datagram and seqpacket sockets.
 *
 * A datagram goes to a name or to the peer.  A receiver that is not our peer's
 * peer takes at most backlog messages; who finds it full waits in its
 * peer_wait, and those connected to it (its peers list) are told by their poll
 * queues.
 */
#include "sentry/net/filter.h"
#include "sentry/net/unix/unix_priv.h"

#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)

/* u's connection to other is broken off: what it had received is lost, and a peer that talks to
 * nobody else is told so by an error. */
static void disconnected(struct unix_sock *u, struct unix_sock *other)
{
	struct list_node msgs = LIST_INIT(msgs);
	mutex_lock(&u->sk.lock);
	unix_unqueue_all(u, &msgs);
	mutex_unlock(&u->sk.lock);
	bool lost = !list_empty(&msgs);
	unix_free_msgs(&msgs);
	if (lost)
		waitq_wake(&u->peer_wait, POLLOUT);
	mutex_lock(&other->sk.lock);
	mutex_lock(&unix_net->lock);
	bool mutual = !other->sk.dead && other->peer == u;
	mutex_unlock(&unix_net->lock);
	if (mutual)
		__atomic_store_n(&other->sk.err, ECONNRESET, __ATOMIC_RELEASE);
	__atomic_store_n(&other->state, UNIX_CLOSED, __ATOMIC_RELEASE);
	mutex_unlock(&other->sk.lock);
	if (mutual)
		sock_wake_all(&other->sk);
}

/* May u send to other: is other not somebody else's? */
static bool may_send(struct unix_sock *u, struct unix_sock *other)
{
	MUTEX_GUARD(&unix_net->lock);
	return !other->peer || other->peer == u;
}

static int connect_to(struct unix_sock *u, struct unix_sock *other, struct unix_sock **old)
{
	int err = 0;
	mutex_lock_pair(&u->sk.lock, &other->sk.lock);
	if (other->sk.dead) {
		err = -EAGAIN;
	} else if (!may_send(u, other)) {
		err = -EPERM;
	} else {
		__atomic_store_n(&u->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
		__atomic_store_n(&other->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
		*old = unix_set_peer(u, other);
	}
	mutex_unlock_pair(&u->sk.lock, &other->sk.lock);
	return err;
}

int unix_connect_dgram(const struct vfs_view *v, struct unix_sock *u, struct sock_addr *a)
{
	struct unix_sock *other = NULL, *old = NULL;
	int err = 0;
	if (a->len < sizeof(a->family))
		return -EINVAL;
	if (a->family == AF_UNSPEC) {
		mutex_lock(&u->sk.lock);
		old = unix_set_peer(u, NULL);
		__atomic_store_n(&u->state, UNIX_CLOSED, __ATOMIC_RELEASE);
		mutex_unlock(&u->sk.lock);
	} else {
		err = unix_check_name(a);
		if (!err && sock_flag(&u->sk, SOCK_F_PASSCRED | SOCK_F_PASSPIDFD) &&
			!READ_ONCE(u->addr))
			err = unix_autobind(u);
		while (!err) {
			err = unix_find(v, u, a, &other);
			if (err == -ECONNREFUSED)
				err = unix_host_connect(v, u, a, true);
			if (err || !other)
				break;
			err = connect_to(u, other, &old);
			if (err != -EAGAIN)
				break;
			unix_put(other);
			other = NULL; /* the next one may not be found */
			err = 0;
		}
		if (err) {
			unix_put(other);
			return err;
		}
		if (!other) { /* the host's */
			mutex_lock(&u->sk.lock);
			old = unix_set_peer(u, NULL);
			mutex_unlock(&u->sk.lock);
		}
	}
	if (other || a->family == AF_UNSPEC)
		unix_host_disconnect(u);
	if (old && old != other)
		disconnected(u, old);
	unix_put(old);
	unix_put(other);
	/* Whether it is writable depends on the new peer. */
	waitq_wake(&u->sk.pollq, WRITABLE);
	return 0;
}

/* --- sending --- */

/* other turned out to be dead: the errno for a peer, 0 for a name that is to be looked up again. */
static int dead_peer(struct unix_sock *u, struct unix_sock *other)
{
	struct unix_sock *old = NULL;
	if (!unix_is_dgram(u))
		return -EPIPE;
	mutex_lock(&u->sk.lock);
	mutex_lock(&unix_net->lock);
	bool peer = u->peer == other;
	mutex_unlock(&unix_net->lock);
	if (peer) {
		old = unix_set_peer(u, NULL);
		__atomic_store_n(&u->state, UNIX_CLOSED, __ATOMIC_RELEASE);
	}
	mutex_unlock(&u->sk.lock);
	if (!old)
		return 0;
	waitq_wake(&u->sk.pollq, WRITABLE);
	disconnected(u, old);
	unix_put(old);
	return -ECONNREFUSED;
}

#define LOOK_AGAIN 1
#define DROPPED 2 /* by the receiver's filter, which the sender does not hear of */
/* Tries to queue b: 0, LOOK_AGAIN (other is dead), -EAGAIN (full), -EPERM, -EPIPE. */
static int try_queue(struct ctx *ctx, struct unix_sock *u, struct unix_sock *other,
	struct unix_msg *b)
{
	int err = 0;
	mutex_lock(&other->sk.lock);
	mutex_lock(&unix_net->lock);
	bool mine = other->peer == u, nobodys = !other->peer;
	mutex_unlock(&unix_net->lock);
	if (other->sk.dead)
		err = LOOK_AGAIN;
	else if (!mine && !nobodys)
		err = -EPERM;
	else if (sock_is_shut(&other->sk, SOCK_SHUT_RD))
		err = -EPIPE;
	else if (unlikely(b->scm.files) && sock_flag(&other->sk, SOCK_F_NO_RIGHTS))
		err = -EPERM;
	else if (other != u && !mine && unix_rq_full(other))
		err = -EAGAIN;
	else
		unix_queue(other, b);
	mutex_unlock(&other->sk.lock);
	return err;
}

static int wait_room(struct ctx *ctx, struct unix_sock *other, int64_t deadline)
{
	int err = 0;
	mutex_lock(&other->sk.lock);
	if (!other->sk.dead && !sock_is_shut(&other->sk, SOCK_SHUT_RD) && unix_rq_full(other))
		err = sock_wait(ctx, &other->sk, &other->peer_wait, POLLOUT, deadline);
	mutex_unlock(&other->sk.lock);
	return err;
}

/* Hands b to other, or whoever has the name by then.  *other's reference is ours to replace.  0,
 * DROPPED, or an error. */
static int deliver(struct ctx *ctx, struct unix_sock *u, struct unix_sock **other,
	struct sock_msg *m, struct unix_msg *b)
{
	int64_t timeo = m->flags & MSG_DONTWAIT ? 0 : u->sk.sndtimeo,
		deadline = sock_deadline(timeo);
	int err, waited = 0;
	for (;;) {
		if (!*other) {
			if (!m->name.len)
				return -ECONNRESET;
			err = unix_find(m->view, u, &m->name, other);
			if (err)
				return err;
		}
		unix_msg_stamp(ctx, b, *other);
		if (!sock_filter_pass_bytes(&(*other)->sk, b->skb.buf, &b->skb.len))
			return DROPPED;
		err = try_queue(ctx, u, *other, b);
		if (err == LOOK_AGAIN) {
			err = dead_peer(u, *other);
			unix_put(*other);
			*other = NULL;
			if (err)
				return err;
			continue;
		}
		if (err != -EAGAIN || timeo == 0)
			return err;
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
		waited = wait_room(ctx, *other, deadline);
		if (waited) /* the baton, in case we were woken all the same */
			waitq_wake_n(&(*other)->peer_wait, POLLOUT, 1);
	}
}

static int first_target(struct unix_sock *u, struct sock_msg *m, struct unix_sock **other)
{
	if (m->name.len)
		return unix_check_name(&m->name);
	*other = unix_peer_get(u);
	return *other ? 0 : -ENOTCONN;
}

ssize_t unix_dgram_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct unix_sock *other = NULL;
	struct unix_msg *b = NULL;
	size_t n = m->u->resid;
	int err = first_target(u, m, &other);
	if (err)
		return err;
	if (sock_flag(&u->sk, SOCK_F_PASSCRED | SOCK_F_PASSPIDFD) && !READ_ONCE(u->addr))
		err = unix_autobind(u);
	if (!err && n > (size_t)u->sk.sndbuf - 32)
		err = -EMSGSIZE;
	if (!err)
		err = skb_wait_wmem(ctx, &u->sk, m->flags);
	if (!err)
		err = unix_msg_make(u, m->u, n, &b);
	if (!err && m->scm.files)
		err = unix_inflight_add(ctx, m->scm.files);
	if (err)
		goto out;
	b->scm = m->scm;
	m->scm = (struct scm){0};
	err = deliver(ctx, u, &other, m, b);
	if (err == -ECONNREFUSED && m->name.len) {
		err = b->scm.files ? -EINVAL
				   : (int)unix_host_sendto(ctx, m->view, u, &m->name, b->skb.buf, n,
					     m->flags);
		err = err < 0 ? err : 0;
		if (!err)
			goto out;
	}
	if (err) {
		mutex_lock(&unix_net->lock);
		unix_inflight_del(b->scm.files);
		mutex_unlock(&unix_net->lock);
	} else {
		b = NULL;
		sock_wake_readable(&other->sk);
	}
out:
	if (b)
		unix_msg_free(b);
	unix_put(other);
	return err && err != DROPPED ? err : (ssize_t)n;
}

/* --- receiving --- */

/* A message less in u's queue: who waits for room? */
static void wake_senders(struct unix_sock *u, bool was_full)
{
	struct unix_sock *p;
	waitq_wake_n(&u->peer_wait, POLLOUT, 1);
	if (!was_full || unix_rq_full(u))
		return;
	MUTEX_GUARD(&unix_net->lock);
	list_for_each(p, &u->peers, peer_node)
		waitq_wake(&p->sk.pollq, WRITABLE);
}

/* The message that is to be received: past what SO_PEEK_OFF skips. */
static struct unix_msg *pick(struct unix_sock *u, bool peek, uint32_t *skip) REQUIRES(u->sk.lock)
{
	struct unix_msg *b;
	*skip = peek && u->sk.peek_off > 0 ? (uint32_t)u->sk.peek_off : 0;
	list_for_each(b, &u->rq.list, skb.node) {
		if (!*skip || *skip < b->skb.len)
			return b;
		*skip -= b->skb.len;
	}
	return NULL;
}

static int wait_message(struct ctx *ctx, struct unix_sock *u, int flags, uint32_t *skip,
	struct unix_msg **out) REQUIRES(u->sk.lock)
{
	struct socket *s = &u->sk;
	int64_t timeo = flags & MSG_DONTWAIT ? 0 : s->rcvtimeo, deadline = sock_deadline(timeo);
	int waited = 0;
	for (;;) {
		int err = sock_take_error(s);
		if (err)
			return err;
		*out = pick(u, flags & MSG_PEEK, skip);
		if (*out)
			return 0;
		/* A non-blocking datagram socket that is shut down says EAGAIN, as Linux does. */
		if (sock_is_shut(s, SOCK_SHUT_RD) && (timeo || !unix_is_dgram(u)))
			return 0;
		if (timeo == 0)
			return -EAGAIN;
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
		waited = sock_wait(ctx, &u->sk, &s->rd, POLLIN, deadline);
	}
}

/* Copies b, from skip on, to m: the number of bytes, or -EFAULT. */
static ssize_t copy_message(struct unix_msg *b, uint32_t skip, struct sock_msg *m)
{
	size_t len = b->skb.len - skip, n = MIN(len, m->u->resid);
	unix_copy_name(b->sender, &m->name);
	if (n < len)
		m->out_flags |= MSG_TRUNC;
	if (n && uio_write(m->u, b->skb.buf + skip, n) != (ssize_t)n)
		return -EFAULT;
	return (ssize_t)(m->flags & MSG_TRUNC ? len : n);
}

static void move_peek_off(struct socket *s, bool peek, uint32_t n)
{
	if (s->peek_off >= 0)
		s->peek_off = peek ? s->peek_off + (int32_t)n : MAX(s->peek_off - (int32_t)n, 0);
}

ssize_t unix_dgram_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	return unlikely(unix_host_bound(u)) ? unix_host_dgram_recv(ctx, u, m)
					    : unix_dgram_recv_queued(ctx, u, m);
}

ssize_t unix_dgram_recv_queued(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct socket *s = &u->sk;
	bool peek = m->flags & MSG_PEEK;
	struct unix_msg *b = NULL;
	uint32_t skip;
	ssize_t n = 0;
	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	mutex_lock(&u->sk.lock);
	int err = wait_message(ctx, u, m->flags, &skip, &b);
	if (err || !b) {
		mutex_unlock(&u->sk.lock);
		return err;
	}
	bool was_full = unix_rq_full(u);
	if (peek) {
		n = copy_message(b, skip, m);
		move_peek_off(s, true, n > 0 ? (uint32_t)MIN(n, (ssize_t)(b->skb.len - skip)) : 0);
	} else {
		move_peek_off(s, false, b->skb.len);
	}
	err = unix_msg_take_scm(u, b, &m->scm, peek);
	if (!peek)
		unix_unqueue(u, b);
	bool more = u->rq.len > 0;
	mutex_unlock(&u->sk.lock);
	if (!peek) {
		wake_senders(u, was_full);
		n = copy_message(b, 0, m);
		unix_msg_free(b);
	}
	if (more)
		waitq_wake_n(&s->rd, POLLIN, 1);
	return err ? err : n;
}
