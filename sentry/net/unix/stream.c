/*
 * Connections (stream and seqpacket sockets), and the bytes of streams.
 */
#include <signal.h>

#include "sentry/net/unix/unix_priv.h"

/* --- connecting --- */

/* An end of a connection that nobody has accepted yet, as connect(2) of u to other makes it. */
static struct unix_sock *make_embryo(struct ctx *ctx, struct unix_sock *u)
{
	struct unix_sock *e = unix_alloc(u->sk.net, u->sk.type);
	if (!e)
		return NULL;
	unix_own_cred(ctx, &e->peer_pid, &e->peer_cred);
	return e;
}

/* What a connection has of the socket that it came to. */
#define INHERITED (SOCK_F_PASSCRED | SOCK_F_PASSPIDFD | SOCK_F_PASSSEC | SOCK_F_NO_RIGHTS)

/* All checks are done. */
static void link_ends(struct unix_sock *u, struct unix_sock *e, struct unix_sock *listener)
	REQUIRES(u->sk.lock, listener->sk.lock)
{
	if (listener->addr) {
		ref_get(&listener->addr->ref);
		__atomic_store_n(&e->addr, listener->addr, __ATOMIC_RELEASE);
	}
	unix_set_peer(e, u);
	unix_set_peer(u, e);
	__atomic_store_n(&e->sk.flags, READ_ONCE(listener->sk.flags) & INHERITED, __ATOMIC_RELAXED);
	u->peer_pid = listener->peer_pid ? jobctl_get(listener->peer_pid) : NULL;
	u->peer_cred = cred_get(listener->peer_cred);
	__atomic_store_n(&e->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
	__atomic_store_n(&u->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
	mutex_lock(&unix_net->lock);
	list_push_back(&listener->acceptq, &e->accept_node);
	__atomic_store_n(&listener->accept_len, listener->accept_len + 1, __ATOMIC_RELEASE);
	mutex_unlock(&unix_net->lock);
}

#define TRY_AGAIN 1
/* One attempt to connect to other: 0, TRY_AGAIN (it has died), or an error; -EAGAIN: full. */
static int try_connect(struct unix_sock *u, struct unix_sock *other, struct unix_sock *e)
{
	int err = 0;
	mutex_lock_pair(&u->sk.lock, &other->sk.lock);
	if (other->sk.dead)
		err = TRY_AGAIN;
	else if (other->state != UNIX_LISTENING || sock_is_shut(&other->sk, SOCK_SHUT_RD))
		err = -ECONNREFUSED;
	else if (other->accept_len > other->backlog)
		err = -EAGAIN;
	else if (u->state == UNIX_CONNECTED)
		err = -EISCONN;
	else if (u->state != UNIX_CLOSED)
		err = -EINVAL;
	else
		link_ends(u, e, other);
	mutex_unlock_pair(&u->sk.lock, &other->sk.lock);
	return err;
}

/* Sleeps until the listener may have room. */
static int wait_backlog(struct ctx *ctx, struct unix_sock *l, int64_t deadline)
{
	int err = 0;
	mutex_lock(&l->sk.lock);
	if (!l->sk.dead && l->state == UNIX_LISTENING && !sock_is_shut(&l->sk, SOCK_SHUT_RD) &&
		l->accept_len > l->backlog)
		err = sock_wait(ctx, &l->sk, &l->peer_wait, POLLOUT, deadline);
	mutex_unlock(&l->sk.lock);
	return err;
}

static int connect_to(const struct vfs_view *v, struct unix_sock *u, const struct sock_addr *a,
	struct unix_sock *e, bool nonblock)
{
	struct ctx *ctx = v->ctx;
	int64_t timeo = nonblock ? 0 : u->sk.sndtimeo, deadline = sock_deadline(timeo);
	int err, waited = 0;
	for (;;) {
		struct unix_sock *other;
		err = unix_find(v, u, a, &other);
		if (err)
			return err;
		err = try_connect(u, other, e);
		if (err == 0)
			sock_wake_readable(&other->sk);
		else if (err == -EAGAIN && timeo && !waited)
			waited = wait_backlog(ctx, other, deadline);
		else if (err != TRY_AGAIN)
			timeo = 0;
		if (err && waited)
			/* The baton, in case the wake-up was meant for another. */
			waitq_wake_n(&other->peer_wait, POLLOUT, 1);
		unix_put(other);
		if (err == 0 || (err != TRY_AGAIN && timeo == 0))
			return err;
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
	}
}

int unix_connect_stream(const struct vfs_view *v, struct unix_sock *u, struct sock_addr *a,
	bool nonblock)
{
	int err = unix_check_name(a);
	if (!err && sock_flag(&u->sk, SOCK_F_PASSCRED | SOCK_F_PASSPIDFD) && !READ_ONCE(u->addr))
		err = unix_autobind(u);
	if (err)
		return err;
	struct unix_sock *e = make_embryo(v->ctx, u);
	if (!e)
		return -ENOMEM;
	err = connect_to(v, u, a, e, nonblock);
	if (err)
		unix_put(e); /* nobody has seen it */
	return err == -ECONNREFUSED ? unix_host_connect(v, u, a, nonblock) : err;
}

int unix_listen(struct ctx *ctx, struct socket *s, uint32_t backlog)
{
	struct unix_sock *u = unix_of(s);
	struct pid *pid;
	struct cred *cred;
	int err = 0;
	if (unix_is_dgram(u))
		return -EOPNOTSUPP;
	unix_own_cred(ctx, &pid, &cred);
	mutex_lock(&s->lock);
	if (!u->addr || u->state == UNIX_CONNECTED)
		err = -EINVAL;
	if (!err) {
		struct pid *old_pid = u->peer_pid;
		struct cred *old_cred = u->peer_cred;
		u->backlog = backlog;
		u->peer_pid = pid;
		u->peer_cred = cred;
		pid = old_pid;
		cred = old_cred;
		__atomic_store_n(&u->state, UNIX_LISTENING, __ATOMIC_RELEASE);
		s->listening = true;
	}
	mutex_unlock(&s->lock);
	jobctl_put(pid);
	if (cred)
		cred_put(cred);
	if (err)
		return err;
	waitq_wake(&u->peer_wait, POLLOUT);
	return unix_host_listen(u, backlog);
}

static struct unix_sock *pop_connection(struct unix_sock *u)
{
	MUTEX_GUARD(&unix_net->lock);
	struct unix_sock *e = list_first(&u->acceptq, struct unix_sock, accept_node);
	if (e) {
		list_del(&e->accept_node);
		__atomic_store_n(&u->accept_len, u->accept_len - 1, __ATOMIC_RELEASE);
	}
	return e;
}

int unix_accept(struct ctx *ctx, struct socket *s, bool nonblock, struct socket **out)
{
	struct unix_sock *u = unix_of(s), *e = NULL;
	int64_t timeo = nonblock ? 0 : s->rcvtimeo, deadline = sock_deadline(timeo);
	int err = 0, waited = 0;
	if (unix_is_dgram(u))
		return -EOPNOTSUPP;
	mutex_lock(&s->lock);
	if (u->state != UNIX_LISTENING)
		err = -EINVAL;
	while (!err) {
		err = sock_take_error(s);
		if (err)
			break;
		e = pop_connection(u);
		if (e)
			break;
		if (unlikely(unix_host_bound(u))) {
			mutex_unlock(&s->lock);
			err = unix_host_accept(ctx, u, &e);
			mutex_lock(&s->lock);
			if (err != -EAGAIN)
				break;
			err = 0;
			if (u->accept_len)
				continue;
		}
		if (timeo == 0)
			err = -EAGAIN;
		else if (sock_is_shut(s, SOCK_SHUT_RD))
			err = -EINVAL;
		else if (waited)
			err = sock_wait_error(ctx, waited, timeo);
		else if (unlikely(unix_host_bound(u))) {
			mutex_assert_held(&u->sk.lock);
			waited = unix_host_wait(ctx, u, deadline);
		} else
			waited = sock_wait(ctx, s, &s->rd, POLLIN, deadline);
	}
	bool more = u->accept_len > 0;
	mutex_unlock(&s->lock);
	if (!e)
		return err;
	if (more)
		waitq_wake_n(&s->rd, POLLIN, 1);
	waitq_wake_n(&u->peer_wait, POLLOUT, 1);
	*out = &e->sk;
	return 0;
}

void unix_unaccept(struct socket *listener, struct socket *s)
{
	struct unix_sock *u = unix_of(listener), *e = unix_of(s);
	mutex_lock(&listener->lock);
	mutex_lock(&unix_net->lock);
	list_push_front(&u->acceptq, &e->accept_node);
	__atomic_store_n(&u->accept_len, u->accept_len + 1, __ATOMIC_RELEASE);
	mutex_unlock(&unix_net->lock);
	mutex_unlock(&listener->lock);
	sock_wake_readable(listener);
}

/* --- bytes --- */

/* b does not go to its peer. */
static int refuse(struct unix_msg *b, int err)
{
	mutex_lock(&unix_net->lock);
	unix_inflight_del(b->scm.files);
	mutex_unlock(&unix_net->lock);
	unix_msg_free(b);
	return err;
}

/* A piece of at most n bytes of a write, or the urgent byte.  *broken: SIGPIPE is due (a writer
 * that waited gets none, nor does one of an urgent byte, as in Linux). */
static ssize_t send_chunk(struct ctx *ctx, struct unix_sock *u, struct unix_sock *peer,
	struct sock_msg *m, size_t n, bool urgent, bool *broken)
{
	struct unix_msg *b;
	n = MIN(n, (size_t)u->sk.sndbuf / 2 - 64);
	n = MIN(n, (size_t)UNIX_CHUNK);
	int err = skb_wait_wmem(ctx, &u->sk, m->flags);
	if (!err)
		err = unix_msg_make(u, m->u, n, &b);
	if (err)
		return err;
	/* Files and credentials go with the first piece only. */
	if (m->scm.files) {
		err = unix_inflight_add(ctx, m->scm.files);
		if (err) {
			unix_msg_free(b);
			return err;
		}
	}
	b->scm = m->scm;
	m->scm = (struct scm){0};
	unix_msg_stamp(ctx, b, peer);
	mutex_lock(&peer->sk.lock);
	if (peer->sk.dead || sock_is_shut(&peer->sk, SOCK_SHUT_RD)) {
		mutex_unlock(&peer->sk.lock);
		*broken = !urgent;
		return refuse(b, -EPIPE);
	}
	if (unlikely(b->scm.files) && sock_flag(&peer->sk, SOCK_F_NO_RIGHTS)) {
		mutex_unlock(&peer->sk.lock);
		return refuse(b, -EPERM);
	}
	unix_queue(peer, b);
	if (unlikely(urgent))
		unix_oob_mark(peer, b);
	mutex_unlock(&peer->sk.lock);
	sock_wake_readable(&peer->sk);
	return (ssize_t)n;
}

ssize_t unix_stream_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct unix_sock *peer = unix_peer_stable(u);
	size_t sent = 0, total = m->u->resid, plain = total - (m->flags & MSG_OOB ? 1 : 0);
	ssize_t r = 0;
	bool broken = false;
	if (m->name.len)
		return unix_state(u) == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
	if (!peer)
		return -ENOTCONN;
	if (sock_is_shut(&u->sk, SOCK_SHUT_WR)) {
		broken = true;
		r = -EPIPE;
	}
	/* Explicit credentials are on every piece, as Linux does. */
	struct scm creds = m->scm;
	if (creds.pid)
		jobctl_get(creds.pid);
	while (r >= 0 && sent < total && !ctx_killed(ctx)) {
		if (sent && creds.has_creds) {
			m->scm = creds;
			m->scm.files = NULL;
			if (creds.pid)
				jobctl_get(creds.pid);
		}
		r = send_chunk(ctx, u, peer, m, sent < plain ? plain - sent : 1, sent >= plain,
			&broken);
		if (r > 0)
			sent += (size_t)r;
	}
	jobctl_put(creds.pid);
	if (broken && !sent && !(m->flags & MSG_NOSIGNAL))
		ctx_send_signal(ctx, SIGPIPE);
	return sent ? (ssize_t)sent : r;
}

struct stream_recv {
	struct sock_msg *m;
	size_t want, target, copied;
	uint32_t skip; /* SO_PEEK_OFF */
	bool peek, creds_set;
	struct list_node done; /* messages that are used up */
};

static bool same_creds(const struct scm *a, const struct scm *b)
{
	if (a->has_creds != b->has_creds)
		return false;
	return !a->has_creds || (a->pid == b->pid && a->uid == b->uid && a->gid == b->gid);
}

/* Copies from one message: 0 go on, 1 stop here, -errno.  The lock is held. */
static int recv_from(struct unix_sock *u, struct unix_msg *b, struct stream_recv *r)
{
	if (r->creds_set) {
		/* Never glue what different writers have written. */
		if (!same_creds(&b->scm, &r->m->scm))
			return 1;
	} else if (sock_flag(&u->sk, SOCK_F_PASSCRED | SOCK_F_PASSPIDFD)) {
		r->creds_set = true;
	}
	if (!r->copied)
		unix_copy_name(b->sender, &r->m->name);
	size_t avail = skb_left(&b->skb) - r->skip, n = MIN(avail, r->want - r->copied);
	ssize_t got = n ? uio_write(r->m->u, skb_data(&b->skb) + r->skip, n) : 0;
	if (got < 0)
		return (int)got;
	bool had_files = !list_empty(&b->fd_node);
	int err = unix_msg_take_scm(u, b, &r->m->scm, r->peek);
	if (err)
		return err;
	r->copied += (size_t)got;
	if (r->peek) {
		r->skip = 0;
		return had_files || (size_t)got < n;
	}
	b->skb.off += (uint32_t)got;
	if (b->skb.off < b->skb.len)
		return 1;
	unix_unqueue(u, b);
	list_push_back(&r->done, &b->skb.node);
	return had_files;
}

static struct unix_msg *next_message(struct unix_sock *u, struct unix_msg *b)
{
	return b->skb.node.next == &u->rq.list
		       ? NULL
		       : list_entry(b->skb.node.next, struct unix_msg, skb.node);
}

/* Takes what is in the queue: 1 if the call is complete, 0 if it wants more, -errno. */
static int recv_queued(struct unix_sock *u, struct stream_recv *r) REQUIRES(u->sk.lock)
{
	struct unix_msg *b = list_first(&u->rq.list, struct unix_msg, skb.node);
	while (b) {
		if (unlikely(READ_ONCE(u->oob) || !skb_left(&b->skb)))
			b = unix_oob_pass(u, b, r->peek, r->copied, &r->done);
		if (!b && r->copied)
			return 1;
		while (b && r->skip && r->skip >= skb_left(&b->skb)) {
			r->skip -= skb_left(&b->skb);
			b = next_message(u, b);
		}
		if (!b)
			break;
		int err = recv_from(u, b, r);
		if (err < 0 && r->copied)
			return 1;
		if (err)
			return err;
		if (r->copied >= r->want)
			return 1;
		b = r->peek ? next_message(u, b)
			    : list_first(&u->rq.list, struct unix_msg, skb.node);
	}
	return r->copied && (r->peek || r->copied >= r->target);
}

static int recv_loop(struct ctx *ctx, struct unix_sock *u, struct stream_recv *r)
	REQUIRES(u->sk.lock)
{
	struct socket *s = &u->sk;
	int64_t timeo = r->m->flags & MSG_DONTWAIT ? 0 : s->rcvtimeo, deadline = 0;
	int waited = 0, blocked = 0, err;
	for (;;) {
		uint32_t skip = r->skip;
		err = recv_queued(u, r);
		if (err)
			return err;
		r->skip = skip; /* a wait starts the count anew */
		err = sock_take_error(s);
		if (err || sock_is_shut(s, SOCK_SHUT_RD))
			return err;
		if (timeo == 0)
			return -EAGAIN;
		if (waited || ctx_killed(ctx)) /* a sender may always have more */
			return sock_wait_error(ctx, waited ? waited : -ERESTARTSYS, timeo);
		if (!blocked++)
			deadline = sock_deadline(timeo);
		waited = sock_wait(ctx, &u->sk, &s->rd, POLLIN, deadline);
	}
}

/* SO_PEEK_OFF: peeks move it on, reads move it back. */
static void move_peek_off(struct socket *s, bool peek, size_t n)
{
	int32_t off = s->peek_off;
	if (off >= 0 && n)
		s->peek_off = peek ? (int32_t)MIN((size_t)off + n, (size_t)INT32_MAX)
				   : (int32_t)MAX((long)off - (long)n, 0L);
}

ssize_t unix_stream_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct socket *s = &u->sk;
	struct stream_recv r = {.m = m, .want = m->u->resid, .peek = m->flags & MSG_PEEK};
	if (unix_state(u) != UNIX_CONNECTED)
		return -EINVAL;
	if (m->flags & MSG_OOB)
		return unix_oob_recv(u, m);
	list_init(&r.done);
	r.target = m->flags & MSG_WAITALL ? r.want : MIN((size_t)s->rcvlowat, r.want);
	mutex_lock(&u->sk.lock);
	if (r.peek && s->peek_off > 0)
		r.skip = (uint32_t)s->peek_off;
	int err = recv_loop(ctx, u, &r);
	move_peek_off(s, r.peek, r.copied);
	bool more = u->rq.len > 0;
	mutex_unlock(&u->sk.lock);
	unix_free_msgs(&r.done);
	if (more)
		waitq_wake_n(&s->rd, POLLIN, 1);
	return r.copied ? (ssize_t)r.copied : err < 0 ? err : 0;
}
