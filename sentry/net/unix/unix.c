/*
 * AF_UNIX sockets: their life, and the table of operations.
 *
 * The two ends of a connection are each other's peer; a write is appended to
 * the peer's receive queue (msg.c), a close marks the peer as shut down both
 * ways.  connect(2) makes the accepted end itself and leaves it in the
 * listener's accept queue, so data can be sent before accept(2) (stream.c).
 * Datagram sockets have a peer in one direction only (dgram.c).  Names are in
 * name.c, files in flight in gc.c.
 */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "sentry/core/root.h"
#include "sentry/net/host/end.h"
#include "sentry/net/ioctl.h"
#include "sentry/net/unix/unix_priv.h"

struct unix_globals *unix_net RO_AFTER_INIT;

static SLAB_SHARE(unix_slab, struct unix_sock, 32);

static void unix_net_init(void)
{
	mutex_init(&unix_net->lock, LOCK_NET);
	list_init(&unix_net->inflight);
	list_init(&unix_net->users);
}
KERNEL_UNIT("unix sockets", unix_net, unix_net_init);

struct unix_sock *unix_alloc(struct net_ns *net, int type)
{
	struct unix_sock *u = slab_alloc(&unix_slab);
	if (!u)
		return NULL;
	sock_init(&u->sk, net, AF_UNIX, type, 0);
	ref_init(&u->ref);
	list_init(&u->all_node);
	list_init(&u->name_node);
	list_init(&u->peers);
	list_init(&u->peer_node);
	waitq_init(&u->peer_wait);
	skb_queue_init(&u->rq);
	list_init(&u->acceptq);
	list_init(&u->accept_node);
	list_init(&u->fdq);
	list_init(&u->inflight_node);
	list_init(&u->gc_node);
	u->backlog = (uint32_t)READ_ONCE(net->ctl.unix_dgram_qlen);
	mutex_lock(&unix_net->lock);
	list_push_back(&net->unix_all, &u->all_node);
	net->unix_count++;
	mutex_unlock(&unix_net->lock);
	return u;
}

void unix_put(struct unix_sock *u)
{
	lock_debug_assert_sleepable();
	if (!u || !ref_put(&u->ref))
		return;
	mutex_lock(&unix_net->lock);
	list_del(&u->all_node);
	u->sk.net->unix_count--;
	BUG_ON(u->peer || u->inflight || !list_empty(&u->fdq) || !list_empty(&u->peers));
	mutex_unlock(&unix_net->lock);
	unix_addr_put(u->addr);
	jobctl_put(u->peer_pid);
	if (u->peer_cred)
		cred_put(u->peer_cred);
	waitq_fini(&u->peer_wait);
	sock_fini(&u->sk);
	slab_free(&unix_slab, u);
}

struct unix_sock *unix_set_peer(struct unix_sock *u, struct unix_sock *peer)
{
	mutex_lock(&unix_net->lock);
	struct unix_sock *old = u->peer;
	list_del(&u->peer_node);
	if (peer && unix_is_dgram(u))
		list_push_back(&peer->peers, &u->peer_node);
	__atomic_store_n(&u->peer, peer ? unix_get(peer) : NULL, __ATOMIC_RELEASE);
	mutex_unlock(&unix_net->lock);
	return old;
}

struct unix_sock *unix_peer_get(struct unix_sock *u)
{
	mutex_lock(&unix_net->lock);
	struct unix_sock *peer = u->peer ? unix_get(u->peer) : NULL;
	mutex_unlock(&unix_net->lock);
	return peer;
}

void unix_own_cred(struct ctx *ctx, struct pid **pid, struct cred **cred)
{
	*pid = jobctl_process(ctx);
	*cred = cred_get(ctx->cred);
}

/* The other end learns that we are gone. */
static void hang_up(struct unix_sock *peer, bool data_lost)
{
	mutex_lock(&peer->sk.lock);
	__atomic_store_n(&peer->sk.shutdown, SOCK_SHUT_BOTH, __ATOMIC_RELEASE);
	if (data_lost)
		__atomic_store_n(&peer->sk.err, ECONNRESET, __ATOMIC_RELEASE);
	mutex_unlock(&peer->sk.lock);
	sock_wake_all(&peer->sk);
}

void unix_close(struct unix_sock *u, bool embryo)
{
	struct list_node msgs = LIST_INIT(msgs), conns = LIST_INIT(conns);
	struct unix_sock *c, *tmp;
	struct path path;
	mutex_lock(&u->sk.lock);
	WRITE_ONCE(u->sk.dead, true);
	__atomic_store_n(&u->sk.shutdown, SOCK_SHUT_BOTH, __ATOMIC_RELEASE);
	__atomic_store_n(&u->sk.file, NULL, __ATOMIC_RELEASE);
	unix_unqueue_all(u, &msgs);
	mutex_lock(&unix_net->lock);
	unix_unname(u);
	list_splice_back(&conns, &u->acceptq);
	list_for_each(c, &u->peers, peer_node) /* there was no room; now there is nobody */
		waitq_wake(&c->sk.pollq, POLLOUT | POLLWRNORM | POLLWRBAND);
	struct unix_sock *peer = u->peer; /* with our reference: the two must not hold each other */
	u->peer = NULL;
	list_del(&u->peer_node);
	mutex_unlock(&unix_net->lock);
	path = u->path;
	u->path = (struct path){0};
	mutex_unlock(&u->sk.lock);

	unix_host_drop(u);
	waitq_wake(&u->peer_wait, POLLOUT);
	if (peer && !unix_is_dgram(u))
		hang_up(peer, embryo || unix_oob_unread(&msgs));
	unix_put(peer);
	unix_free_msgs(&msgs);
	list_for_each_safe(c, tmp, &conns, accept_node) {
		list_del(&c->accept_node);
		unix_close(c, true);
	}
	path_put(&path);
	unix_put(u);
	/* Once for all sockets that go together: each run looks at every socket in flight. */
	if (!embryo && READ_ONCE(unix_net->nr_inflight_socks) && !scm_after_files_put(unix_gc))
		unix_gc();
}

static int unix_create(struct ctx *ctx, struct net_ns *net, int type, int protocol,
	struct socket **out)
{
	if (protocol && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == SOCK_RAW) /* as BSD: it means datagrams */
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	struct unix_sock *u = unix_alloc(net, type);
	if (!u)
		return -ENOMEM;
	*out = &u->sk;
	return 0;
}

static int unix_pair(struct ctx *ctx, struct socket *sa, struct socket *sb)
{
	struct unix_sock *a = unix_of(sa), *b = unix_of(sb);
	unix_own_cred(ctx, &a->peer_pid, &a->peer_cred);
	unix_own_cred(ctx, &b->peer_pid, &b->peer_cred);
	unix_set_peer(a, b);
	unix_set_peer(b, a);
	a->state = b->state = UNIX_CONNECTED;
	return 0;
}

static int unix_connect(const struct vfs_view *v, struct socket *s, const struct sock_addr *a,
	bool nonblock)
{
	struct sock_addr copy = *a;
	struct unix_sock *u = unix_of(s);
	if (unix_is_dgram(u))
		return unix_connect_dgram(v, u, &copy);
	return unix_connect_stream(v, u, &copy, nonblock);
}

static int unix_getname(struct socket *s, bool peer, struct sock_addr *a)
{
	struct unix_sock *u = unix_of(s), *p = NULL;
	if (peer && unlikely(unix_host_conn(u))) {
		int err = unix_host_peername(u, a);
		if (err)
			return err;
	} else if (peer) {
		p = unix_peer_get(u);
		if (!p)
			return -ENOTCONN;
	}
	if (!peer || p)
		unix_copy_name(peer ? p : u, a);
	if (!a->len) {
		a->un.family = AF_UNIX;
		a->un.path[0] = '\0';
		a->len = ABI_UNIX_PATH_OFF;
	}
	unix_put(p);
	return 0;
}

static ssize_t unix_send(struct ctx *ctx, struct socket *s, struct sock_msg *m)
{
	struct unix_sock *u = unix_of(s);
	if (s->type == SOCK_SEQPACKET && !READ_ONCE(s->err) && unix_state(u) != UNIX_CONNECTED)
		return -ENOTCONN;
	if ((m->flags & MSG_OOB) && (s->type != SOCK_STREAM || !m->u->resid || unix_host_conn(u)))
		return -EOPNOTSUPP;
	if (unlikely(unix_host_conn(u)) && !(m->name.len && unix_is_dgram(u)))
		return m->name.len && s->type == SOCK_STREAM ? -EISCONN : unix_host_send(ctx, u, m);
	if (s->type == SOCK_STREAM)
		return unix_stream_send(ctx, u, m);
	if (s->type == SOCK_SEQPACKET) {
		int err = sock_take_error(s);
		if (err)
			return err;
		if (unix_state(u) != UNIX_CONNECTED)
			return -ENOTCONN;
		m->name.len = 0;
	}
	return unix_dgram_send(ctx, u, m);
}

static ssize_t unix_recv(struct ctx *ctx, struct socket *s, struct sock_msg *m)
{
	struct unix_sock *u = unix_of(s);
	if (unlikely(unix_host_conn(u)) && !unix_is_dgram(u))
		return unix_host_recv(ctx, u, m);
	if (s->type == SOCK_STREAM)
		return unix_stream_recv(ctx, u, m);
	if (s->type == SOCK_SEQPACKET && unix_state(u) != UNIX_CONNECTED)
		return -ENOTCONN;
	return unix_dgram_recv(ctx, u, m);
}

static int unix_shutdown(struct socket *s, uint32_t how)
{
	struct unix_sock *u = unix_of(s), *peer;
	int err = unix_host_shutdown(u, how);
	if (err)
		return err;
	__atomic_fetch_or(&s->shutdown, how, __ATOMIC_ACQ_REL);
	peer = unix_is_dgram(u) ? NULL : unix_peer_get(u);
	/* With the lock: whoever tested the flags before he sleeps has tested them by now. */
	mutex_lock(&s->lock);
	mutex_unlock(&s->lock);
	sock_wake_all(s);
	waitq_wake(&u->peer_wait, POLLOUT);
	if (peer) {
		uint32_t other = (how & SOCK_SHUT_RD ? SOCK_SHUT_WR : 0) |
				 (how & SOCK_SHUT_WR ? SOCK_SHUT_RD : 0);
		mutex_lock(&peer->sk.lock);
		__atomic_fetch_or(&peer->sk.shutdown, other, __ATOMIC_ACQ_REL);
		mutex_unlock(&peer->sk.lock);
		sock_wake_all(&peer->sk);
		unix_put(peer);
	}
	return 0;
}

static int unix_peer_cred(struct socket *s, struct pid **pid, struct cred **cred)
{
	struct unix_sock *u = unix_of(s);
	MUTEX_GUARD(&s->lock);
	if (!u->peer_cred)
		return -ENODATA;
	*pid = u->peer_pid ? jobctl_get(u->peer_pid) : NULL;
	*cred = cred_get(u->peer_cred);
	return 0;
}

/* Would a datagram to the peer find its queue full? */
static bool peer_is_full(struct unix_sock *u)
{
	MUTEX_GUARD(&unix_net->lock);
	return u->peer && u->peer->peer != u && unix_rq_full(u->peer);
}

static uint32_t unix_poll(struct socket *s, struct poll_table *pt)
{
	struct unix_sock *u = unix_of(s);
	uint32_t mask = 0, shut = __atomic_load_n(&s->shutdown, __ATOMIC_ACQUIRE);
	uint8_t state = unix_state(u);
	bool watched = pt || !list_empty(&s->pollq.waiters);
	if (READ_ONCE(s->err))
		mask |= POLLERR;
	if (unlikely(unix_host_conn(u)) && !unix_is_dgram(u))
		return mask | unix_host_poll(u, watched, true);
	if (unlikely(unix_host_bound(u)) && (unix_is_dgram(u) || state == UNIX_LISTENING))
		mask |= unix_host_poll(u, watched, false) & HOST_IN;
	if (shut == SOCK_SHUT_BOTH)
		mask |= POLLHUP;
	if (shut & SOCK_SHUT_RD)
		mask |= POLLRDHUP | POLLIN | POLLRDNORM;
	if (unlikely(READ_ONCE(u->oob)))
		mask |= POLLPRI;
	if (skb_queue_len(&u->rq) || __atomic_load_n(&u->accept_len, __ATOMIC_ACQUIRE))
		mask |= POLLIN | POLLRDNORM;
	if (!unix_is_dgram(u) && state == UNIX_CLOSED)
		mask |= POLLHUP;
	if (unlikely(unix_host_conn(u)))
		mask |= unix_host_poll(u, watched, true) & (HOST_OUT | POLLWRBAND | POLLERR);
	else if (unix_writable(u) && !(unix_is_dgram(u) && peer_is_full(u)))
		mask |= POLLOUT | POLLWRNORM | POLLWRBAND;
	return mask;
}

static long inq(struct unix_sock *u)
{
	struct unix_msg *b;
	uint64_t n = 0;
	MUTEX_GUARD(&u->sk.lock);
	if (u->state == UNIX_LISTENING)
		return -EINVAL;
	list_for_each(b, &u->rq.list, skb.node) {
		n += skb_left(&b->skb);
		if (unix_is_dgram(u))
			break;
	}
	return (long)MIN(n, (uint64_t)INT32_MAX);
}

static long unix_ioctl(struct ctx *ctx, struct socket *s, uint32_t cmd, uint64_t arg)
{
	struct unix_sock *u = unix_of(s);
	long n;
	switch (cmd) {
	case FIONREAD: /* SIOCINQ */
		if (unlikely(unix_host_conn(u)) && !unix_is_dgram(u))
			n = unix_host_inq(u, true);
		else
			n = inq(u);
		if (n == 0 && unlikely(unix_host_bound(u)) && unix_is_dgram(u))
			n = unix_host_inq(u, false);
		break;
	case SIOCATMARK:
		n = s->type == SOCK_STREAM ? unix_oob_at_mark(u) : -EOPNOTSUPP;
		break;
	case TIOCOUTQ: /* SIOCOUTQ */
		n = (long)READ_ONCE(u->sk.wmem);
		break;
	default:
		return net_ioctl_link(ctx, s->net, cmd, arg); /* if_nametoindex(3) asks one */
	}
	int32_t v = (int32_t)n;
	return n < 0 ? n : uaccess_put(ctx, UADDR(arg), &v);
}

static void unix_sndbuf_changed(struct socket *s)
{
	if (unix_writable(unix_of(s)))
		sock_wake_writable(s);
}

static void unix_release(struct socket *s)
{
	unix_close(unix_of(s), false);
}

static const struct sock_ops unix_ops = {.create = unix_create,
	.pair = unix_pair,
	.bind = unix_bind,
	.connect = unix_connect,
	.listen = unix_listen,
	.accept = unix_accept,
	.unaccept = unix_unaccept,
	.getname = unix_getname,
	.send = unix_send,
	.recv = unix_recv,
	.shutdown = unix_shutdown,
	.peer_cred = unix_peer_cred,
	.poll = unix_poll,
	.ioctl = unix_ioctl,
	.sndbuf_changed = unix_sndbuf_changed,
	.release = unix_release,
	.ftype = FILE_SOCK_UNIX};

int unix_init(void)
{
	sock_ops_register(AF_UNIX, &unix_ops);
	return 0;
}
