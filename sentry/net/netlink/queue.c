/*
 * The queue of a netlink socket: what is put there, by whom, and recvmsg(2).
 *
 * A queue that holds SO_RCVBUF bytes takes no more: the message is lost, and the reader is told by
 * ENOBUFS (unless NETLINK_NO_ENOBUFS), once until he has read all that is left.  Only a process
 * that sends to another waits for room.
 */
#include "sentry/net/filter.h"
#include "sentry/net/mem.h"
#include "sentry/net/netlink/nl_priv.h"

static SLAB_SHARE(nl_msg_slab, struct nl_msg, 64);

/* --- putting there --- */

static void free_msg(struct nl_msg *m)
{
	nbuf_put(m->buf);
	jobctl_put(m->pid);
	slab_free(&nl_msg_slab, m);
}

static void overrun(struct nl_sock *s)
{
	uint32_t old = 0;
	if (!nl_flag(s, NL_F_NO_ENOBUFS))
		old = __atomic_fetch_or(&s->flags, NL_F_CONGESTED, __ATOMIC_ACQ_REL);
	__atomic_add_fetch(&s->drops, 1, __ATOMIC_RELAXED);
	if (nl_flag(s, NL_F_NO_ENOBUFS) || (old & NL_F_CONGESTED))
		return;
	__atomic_store_n(&s->sk.err, ENOBUFS, __ATOMIC_RELEASE);
	sock_wake_all(&s->sk);
}

static bool has_room(const struct nl_sock *s)
{
	return READ_ONCE(s->rmem) <= READ_ONCE(s->sk.rcvbuf) && !nl_flag(s, NL_F_CONGESTED);
}

/* SO_ATTACH_FILTER: may m reach s? */
static bool passes(struct nl_sock *s, struct nl_msg *m)
{
	return sock_filter_pass_bytes(&s->sk, m->buf->data, &m->len);
}

/* All queues together have a bound as well; an answer to somebody who reads gets through. */
static bool has_share(const struct nl_sock *s, const struct nl_msg *m)
{
	return !s->qlen || net_mem_room(s->sk.net, NET_MEM_QUEUES, s->mem_pages, s->rmem,
				   m->buf->charge, NET_QUEUE_MIN);
}

/* Takes m over, if there is room.  -EAGAIN: its own queue is full; -ENOBUFS: all are. */
static int queue(struct nl_sock *s, struct nl_msg *m)
{
	mutex_lock(&s->q_lock);
	bool share = has_share(s, m), ok = share && has_room(s) && !READ_ONCE(s->sk.dead);
	if (ok) {
		list_push_back(&s->queue, &m->node);
		__atomic_store_n(&s->qlen, s->qlen + 1, __ATOMIC_RELEASE);
		__atomic_store_n(&s->rmem, s->rmem + m->buf->charge, __ATOMIC_RELEASE);
		net_mem_set(NET_MEM_QUEUES, &s->mem_pages, s->rmem);
	}
	mutex_unlock(&s->q_lock);
	if (ok)
		sock_wake_readable(&s->sk);
	return ok ? 0 : share ? -EAGAIN : -ENOBUFS;
}

/* Takes over a reference to buf. */
static struct nl_msg *new_msg(struct nbuf *buf, uint32_t len, uint32_t portid, uint32_t group)
{
	struct nl_msg *m = buf ? slab_alloc(&nl_msg_slab) : NULL;
	if (!m) {
		nbuf_put(buf);
		return NULL;
	}
	list_init(&m->node);
	m->buf = buf;
	m->len = len;
	m->portid = portid;
	m->group = group;
	return m;
}

static struct nl_msg *copy_msg(const struct nl_msg *m)
{
	struct nl_msg *c = new_msg(nbuf_get(m->buf), m->len, m->portid, m->group);
	if (!c)
		return NULL;
	c->pid = m->pid ? jobctl_get(m->pid) : NULL;
	c->uid = m->uid;
	c->gid = m->gid;
	return c;
}

static struct nbuf *copy_of(const void *data, uint32_t len)
{
	struct nbuf *b = nbuf_new(len);
	if (b)
		memcpy(b->data, data, len);
	return b;
}

int nl_reply(struct nl_sock *s, const void *data, uint32_t len)
{
	struct nl_msg *m = new_msg(copy_of(data, len), len, 0, 0);
	if (m && !passes(s, m)) {
		free_msg(m);
		return 0;
	}
	if (m && !queue(s, m))
		return 0;
	if (m)
		free_msg(m);
	overrun(s);
	return -ENOBUFS;
}

/* To everybody in the group but the one with that port; m is the pattern, borrowed.  Whether
 * somebody who wants senders to know of it had no room. */
static bool broadcast(struct net_ns *net, uint16_t protocol, const struct nl_msg *m,
	uint32_t except, uint32_t *delivered)
{
	struct netlink_net *n = net->netlink;
	bool failed = false;
	struct nl_sock *s;
	MUTEX_GUARD(&n->lock);
	list_for_each(s, &n->mc[protocol], mc_node) {
		if (!(s->groups >> (m->group - 1) & 1) || (except && s->portid == except))
			continue;
		struct nl_msg *c = copy_msg(m);
		if (c && !passes(s, c)) {
			free_msg(c);
			continue;
		}
		if (c && !queue(s, c)) {
			++*delivered;
			continue;
		}
		if (c)
			free_msg(c);
		overrun(s);
		failed |= nl_flag(s, NL_F_BROADCAST_ERROR);
	}
	return failed;
}

void nl_multicast(struct net_ns *net, uint16_t protocol, uint32_t group, uint32_t except,
	const void *data, uint32_t len)
{
	uint32_t delivered = 0;
	if (!nl_listened(net->netlink, protocol, group))
		return;
	struct nl_msg m = {.buf = copy_of(data, len), .len = len, .group = group};
	if (m.buf)
		broadcast(net, protocol, &m, except, &delivered);
	nbuf_put(m.buf);
}

/* --- between processes --- */

/* Waits until s may be sent to. */
static int wait_room(struct ctx *ctx, struct nl_sock *to, int64_t timeo)
{
	int64_t deadline = sock_deadline(timeo);
	struct waiter w;
	int err = 0;
	if (timeo == 0)
		return -EAGAIN;
	waiter_init_ctx(&w, ctx, POLLOUT);
	waitq_add(&to->sk.wr, &w);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!has_room(to) && !READ_ONCE(to->sk.dead))
		err = ctx_block(ctx, deadline);
	waitq_del(&w);
	return err ? sock_wait_error(ctx, err, timeo) : 0;
}

/* How many bytes were sent. */
static int unicast(struct ctx *ctx, struct nl_sock *s, const struct nl_msg *m, uint32_t portid,
	int flags)
{
	struct net_ns *net = s->sk.net;
	int64_t timeo = flags & MSG_DONTWAIT ? 0 : s->sk.sndtimeo;
	int err = 0;
	for (;;) {
		struct nl_sock *to = nl_find(net, s->sk.protocol, portid);
		if (!to)
			return -ECONNREFUSED;
		mutex_lock(&to->sk.lock);
		/* Who is connected hears nobody else. */
		bool refused = to->connected && to->dst_portid != nl_port(s);
		mutex_unlock(&to->sk.lock);
		struct nl_msg *c = refused ? NULL : copy_msg(m);
		if (refused || !c) {
			nl_put(to);
			return refused ? -ECONNREFUSED : -ENOBUFS;
		}
		if (!passes(to, c)) {
			free_msg(c);
			nl_put(to);
			return (int)m->len;
		}
		int len = (int)c->len; /* what the filter has left of it */
		err = queue(to, c);
		if (err) {
			free_msg(c);
			if (err == -EAGAIN)
				err = wait_room(ctx, to, timeo);
		} else {
			nl_put(to);
			return len;
		}
		nl_put(to);
		if (err)
			return err;
	}
}

/* --- sendmsg(2) --- */

/* 0, how many bytes were sent, or an error.  named: the caller said for whom it is. */
static int deliver(struct ctx *ctx, struct nl_sock *s, struct nl_msg *m, uint32_t portid,
	uint32_t group, int flags, bool named)
{
	uint32_t delivered = 0;
	if (group) {
		if (group <= nl_group_count(s->sk.protocol)) {
			m->group = group;
			broadcast(s->sk.net, s->sk.protocol, m, nl_port(s), &delivered);
			m->group = 0;
		}
	}
	if (portid)
		return unicast(ctx, s, m, portid, flags);
	if (s->sk.protocol == NETLINK_USERSOCK)
		return -ECONNREFUSED; /* the kernel does not listen */
	nl_request(ctx, s, m->buf, m->len, named);
	return 0;
}

ssize_t nl_send(struct ctx *ctx, struct socket *sk, struct sock_msg *msg)
{
	struct nl_sock *s = nl_of(sk);
	uint32_t portid, group;
	size_t n = msg->u->resid;
	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (n == 0)
		return -ENODATA;
	int err = nl_destination(ctx, s, &msg->name, &portid, &group);
	if (!err)
		err = nl_autobind(ctx, s);
	if (err)
		return err;
	if (n > (size_t)READ_ONCE(sk->sndbuf) - 32)
		return -EMSGSIZE;
	if (!msg->scm.has_creds)
		scm_set_own_creds(ctx, &msg->scm);
	struct nl_msg m = {.buf = nbuf_new((uint32_t)n), .len = (uint32_t)n, .portid = nl_port(s)};
	if (!m.buf)
		return -ENOBUFS;
	m.pid = msg->scm.pid;
	m.uid = msg->scm.uid;
	m.gid = msg->scm.gid;
	err = uio_read(msg->u, m.buf->data, n) != (ssize_t)n ? -EFAULT : 0;
	if (!err)
		err = deliver(ctx, s, &m, portid, group, msg->flags, msg->name.len);
	nbuf_put(m.buf);
	net_run(); /* what a change has made the stack send */
	return err ? err : (ssize_t)n;
}

/* --- recvmsg(2) --- */

/* The next one, which is taken off or (peek) shared; NULL: there is none, or no memory. */
static struct nl_msg *take(struct nl_sock *s, bool peek, int *err)
{
	MUTEX_GUARD(&s->q_lock);
	struct nl_msg *m = list_first(&s->queue, struct nl_msg, node), *c;
	*err = 0;
	if (!m)
		return NULL;
	if (peek) {
		c = copy_msg(m);
		*err = c ? 0 : -ENOBUFS;
		return c;
	}
	list_del(&m->node);
	__atomic_store_n(&s->qlen, s->qlen - 1, __ATOMIC_RELEASE);
	__atomic_store_n(&s->rmem, s->rmem - m->buf->charge, __ATOMIC_RELEASE);
	net_mem_set(NET_MEM_QUEUES, &s->mem_pages, s->rmem);
	return m;
}

static int wait_msg(struct ctx *ctx, struct nl_sock *s, int flags, struct nl_msg **out)
{
	int64_t timeo = flags & MSG_DONTWAIT ? 0 : s->sk.rcvtimeo, deadline = sock_deadline(timeo);
	int waited = 0;
	for (;;) {
		int err = sock_take_error(&s->sk);
		if (err)
			return err;
		*out = take(s, flags & MSG_PEEK, &err);
		if (*out || err)
			return err;
		if (timeo == 0)
			return -EAGAIN;
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
		struct waiter w;
		waiter_init_ctx(&w, ctx, POLLIN);
		w.exclusive = true;
		waitq_add(&s->sk.rd, &w);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&s->qlen, __ATOMIC_SEQ_CST) && !READ_ONCE(s->sk.err))
			waited = ctx_block(ctx, deadline);
		waitq_del(&w);
	}
}

/* Senders of this socket's protocol may go on. */
static void made_room(struct nl_sock *s)
{
	if (!__atomic_load_n(&s->qlen, __ATOMIC_ACQUIRE))
		__atomic_fetch_and(&s->flags, ~NL_F_CONGESTED, __ATOMIC_ACQ_REL);
	if (has_room(s))
		waitq_wake(&s->sk.wr, POLLOUT);
}

static void take_name(struct nl_sock *s, struct nl_msg *m, struct sock_msg *msg)
{
	msg->name.len = sizeof(msg->name.nl);
	msg->name.nl = (struct abi_sockaddr_nl){.family = AF_NETLINK, .pid = m->portid};
	if (m->group && m->group <= 32)
		msg->name.nl.groups = 1u << (m->group - 1);
	if (nl_flag(s, NL_F_PKTINFO)) {
		struct nl_pktinfo info = {.group = m->group};
		sock_cmsg_put(msg, SOL_NETLINK, NETLINK_PKTINFO, &info, sizeof(info));
	}
	msg->scm.has_creds = true;
	msg->scm.pid = m->pid ? jobctl_get(m->pid) : NULL;
	msg->scm.uid = m->uid;
	msg->scm.gid = m->gid;
}

ssize_t nl_recv(struct ctx *ctx, struct socket *sk, struct sock_msg *msg)
{
	struct nl_sock *s = nl_of(sk);
	struct nl_msg *m;
	size_t room = msg->u->resid;
	if (msg->flags & MSG_OOB)
		return -EOPNOTSUPP;
	int err = wait_msg(ctx, s, msg->flags, &m);
	if (err)
		return err;
	if (room > READ_ONCE(s->max_recv))
		WRITE_ONCE(s->max_recv, (uint32_t)MIN(room, (size_t)NL_PIECE_MAX));
	ssize_t n = (ssize_t)MIN(room, (size_t)m->len);
	if ((size_t)n < m->len)
		msg->out_flags |= MSG_TRUNC;
	bool fault = n && uio_write(msg->u, m->buf->data, (size_t)n) != n;
	if (!fault)
		take_name(s, m, msg);
	if (msg->flags & MSG_TRUNC)
		n = m->len;
	free_msg(m);
	if (READ_ONCE(s->dump_on) && READ_ONCE(s->rmem) <= READ_ONCE(sk->rcvbuf) / 2)
		nl_dump_continue(ctx, s);
	made_room(s);
	if (__atomic_load_n(&s->qlen, __ATOMIC_ACQUIRE))
		waitq_wake_n(&sk->rd, POLLIN, 1); /* the baton */
	return fault ? -EFAULT : n;
}

void nl_purge(struct nl_sock *s)
{
	struct nl_msg *m;
	int err;
	while ((m = take(s, false, &err)))
		free_msg(m);
	waitq_wake(&s->sk.wr, POLLOUT);
}
