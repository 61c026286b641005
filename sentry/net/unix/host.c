/*
 * Sockets of the host (--host-uds): names in the file system behind which there is no socket of
 * ours.  The gofer makes them (inode_ops.sock_connect, ctx.bind); data go by the host's descriptor.
 *
 * u->conn is a connection: all that a stream or seqpacket socket sends and receives, what a
 * datagram socket sends to its peer.  u->named is what has u's name on the host: connections and
 * datagrams come there beside those of this sandbox, which know nothing of it.
 *
 * An end has one reference of its socket, which drops it under sk.lock, and those of calls.
 */
#include <signal.h>
#include <sys/ioctl.h>

#include "lib/hostcall.h"
#include "sentry/net/host/end.h"
#include "sentry/net/unix/unix_priv.h"

struct unix_end {
	struct ref ref;
	struct host_end e;
	struct unix_addr *peer; /* owned: of conn, whom it was connected to; NULL: it came to us */
};

static SLAB_DEFINE(unix_end_slab, struct unix_end);

/* --- life --- */

static void end_put(struct unix_end *x)
{
	if (!x || !ref_put(&x->ref))
		return;
	host_end_close(&x->e);
	unix_addr_put(x->peer);
	slab_free(&unix_end_slab, x);
}

/* Takes over fd, also on error. */
static int end_new(struct unix_sock *u, int fd, struct unix_end **out)
{
	struct unix_end *x = slab_alloc(&unix_end_slab);
	if (!x) {
		host_close(fd);
		return -ENOMEM;
	}
	ref_init(&x->ref);
	int err = host_end_open(&x->e, &u->sk, fd);
	if (err)
		end_put(x);
	else
		*out = x;
	return err;
}

static struct unix_end *end_get(struct unix_sock *u, struct unix_end **which)
{
	if (likely(!__atomic_load_n(which, __ATOMIC_ACQUIRE)))
		return NULL;
	MUTEX_GUARD(&u->sk.lock);
	if (*which)
		ref_get(&(*which)->ref);
	return *which;
}

/* The old one, to be put without the lock. */
static struct unix_end *set_end(struct unix_end **which, struct unix_end *x)
{
	struct unix_end *old = *which;
	__atomic_store_n(which, x, __ATOMIC_RELEASE);
	return old;
}

void unix_host_drop(struct unix_sock *u)
{
	if (likely(!unix_host_conn(u) && !unix_host_bound(u)))
		return;
	mutex_lock(&u->sk.lock);
	struct unix_end *conn = set_end(&u->conn, NULL), *bound = set_end(&u->named, NULL);
	mutex_unlock(&u->sk.lock);
	end_put(conn);
	end_put(bound);
}

void unix_host_disconnect(struct unix_sock *u)
{
	if (likely(!unix_host_conn(u)))
		return;
	mutex_lock(&u->sk.lock);
	struct unix_end *conn = set_end(&u->conn, NULL);
	mutex_unlock(&u->sk.lock);
	end_put(conn);
}

int unix_host_bind(struct unix_sock *u, int fd)
{
	struct unix_end *x;
	int err = end_new(u, fd, &x);
	if (!err)
		set_end(&u->named, x);
	return err;
}

/* --- connecting --- */

#define RETRY_NS 10000000L /* nobody tells when a listener of the host has room again */

/* A connected descriptor, by the name a. */
static int open_peer(const struct vfs_view *v, const struct unix_sock *u, const struct sock_addr *a,
	int64_t timeo, int *fd)
{
	struct ctx *ctx = v->ctx;
	struct path p;
	int64_t deadline = sock_deadline(timeo);
	int err = vfs_lookup(v, AT_FDCWD, a->un.path, 0, &p);
	if (err)
		return err;
	struct inode *i = p.dentry->inode;
	err = inode_permission(ctx, i, MAY_WRITE);
	if (!err && (!S_ISSOCK(i->mode) || !inode_ops(i)->sock_connect))
		err = -ECONNREFUSED;
	while (!err) {
		err = inode_ops(i)->sock_connect(ctx, i, u->sk.type, fd);
		if (err != -EAGAIN || timeo == 0 || mono_now() >= deadline)
			break;
		err = ctx_block(ctx, MIN(deadline, mono_now() + RETRY_NS));
		err = err == -ERESTARTSYS ? sock_wait_error(ctx, err, timeo) : 0;
	}
	path_put(&p);
	return err;
}

static int take_conn(struct unix_sock *u, struct unix_end *x, struct unix_end **old)
{
	MUTEX_GUARD(&u->sk.lock);
	if (!unix_is_dgram(u) && u->state != UNIX_CLOSED)
		return u->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
	*old = set_end(&u->conn, x);
	__atomic_store_n(&u->state, UNIX_CONNECTED, __ATOMIC_RELEASE);
	return 0;
}

int unix_host_connect(const struct vfs_view *v, struct unix_sock *u, const struct sock_addr *a,
	bool nonblock)
{
	struct unix_end *x, *old = NULL;
	int fd, err;
	if (!v || !a->un.path[0])
		return -ECONNREFUSED;
	err = open_peer(v, u, a, nonblock ? 0 : u->sk.sndtimeo, &fd);
	if (!err)
		err = end_new(u, fd, &x);
	if (err)
		return err;
	x->peer = unix_addr_new(a);
	err = x->peer ? take_conn(u, x, &old) : -ENOMEM;
	end_put(err ? x : old);
	return err;
}

ssize_t unix_host_sendto(struct ctx *ctx, const struct vfs_view *v, struct unix_sock *u,
	const struct sock_addr *a, const void *data, size_t n, int flags)
{
	struct unix_end *x;
	struct uio_seg seg;
	struct uio uio;
	struct sock_msg m = {.u = &uio, .flags = flags};
	int fd, err;
	if (!v || !a->un.path[0])
		return -ECONNREFUSED;
	err = open_peer(v, u, a, 0, &fd);
	if (!err)
		err = end_new(u, fd, &x);
	if (err)
		return err;
	uio_init_kernel(&uio, &seg, data, n);
	ssize_t r = host_end_send(ctx, &x->e, &m);
	end_put(x);
	return r;
}

/* --- what comes to a name --- */

int unix_host_listen(struct unix_sock *u, uint32_t backlog)
{
	struct unix_end *x = end_get(u, &u->named);
	if (!x)
		return 0;
	int err = (int)host_syscall2(SYS_listen, host_end_fd(&x->e),
		MIN(backlog, (uint32_t)INT32_MAX));
	host_end_rearm(&x->e, HOST_WATCHED);
	end_put(x);
	return err;
}

int unix_host_accept(struct ctx *ctx, struct unix_sock *u, struct unix_sock **out)
{
	struct unix_end *x = end_get(u, &u->named), *conn;
	if (!x)
		return -EAGAIN;
	int fd = host_end_accept(ctx, &x->e, true, SOCK_CLOEXEC);
	end_put(x);
	if (fd < 0)
		return fd;
	struct unix_sock *n = unix_alloc(u->sk.net, u->sk.type);
	if (!n) {
		host_close(fd);
		return -ENOMEM;
	}
	int err = end_new(n, fd, &conn);
	if (err) {
		unix_put(n);
		return err;
	}
	n->conn = conn;
	n->state = UNIX_CONNECTED;
	n->addr = u->addr;
	ref_get(&n->addr->ref);
	*out = n;
	return 0;
}

int unix_host_wait(struct ctx *ctx, struct unix_sock *u, int64_t deadline)
{
	struct waiter w;
	struct unix_end *x = u->named;
	waiter_init_ctx(&w, ctx, POLLIN);
	waitq_add(&u->sk.pollq, &w);
	ref_get(&x->ref);
	mutex_unlock(&u->sk.lock);
	int err = hostpoll_arm(x->e.poll, HOST_IN);
	if (!err)
		err = ctx_block(ctx, deadline);
	waitq_del(&w);
	end_put(x);
	mutex_lock(&u->sk.lock);
	return err;
}

static bool has_messages(struct unix_sock *u)
{
	return skb_queue_len(&u->rq) || sock_is_shut(&u->sk, SOCK_SHUT_RD) || READ_ONCE(u->sk.err);
}

/* Both what this sandbox has sent to us and what the host has. */
ssize_t unix_host_dgram_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	int64_t timeo = m->flags & MSG_DONTWAIT ? 0 : u->sk.rcvtimeo,
		deadline = sock_deadline(timeo);
	struct unix_end *x = end_get(u, &u->named);
	int waited = 0;
	ssize_t r;
	m->flags |= MSG_DONTWAIT;
	for (;;) {
		r = unix_dgram_recv_queued(ctx, u, m);
		if (r != -EAGAIN)
			break;
		r = x ? host_end_recv(ctx, &x->e, m) : -EAGAIN;
		if (r != -EAGAIN || timeo == 0)
			break;
		if (waited) {
			r = sock_wait_error(ctx, waited, timeo);
			break;
		}
		mutex_lock(&u->sk.lock);
		if (!has_messages(u) && u->named)
			waited = unix_host_wait(ctx, u, deadline);
		mutex_unlock(&u->sk.lock);
	}
	end_put(x);
	return r;
}

/* --- data --- */

ssize_t unix_host_send(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct unix_end *x = end_get(u, &u->conn);
	ssize_t r = -ENOTCONN;
	if (m->scm.files) /* nobody out there could do with them */
		r = -EINVAL;
	else if (x)
		r = host_end_send(ctx, &x->e, m);
	end_put(x);
	return r;
}

ssize_t unix_host_recv(struct ctx *ctx, struct unix_sock *u, struct sock_msg *m)
{
	struct unix_end *x = end_get(u, &u->conn);
	ssize_t r = x ? host_end_recv(ctx, &x->e, m) : -ENOTCONN;
	if (r >= 0 && x->peer)
		m->name = x->peer->a;
	end_put(x);
	return r;
}

int unix_host_peername(struct unix_sock *u, struct sock_addr *a)
{
	struct unix_end *x = end_get(u, &u->conn);
	if (!x)
		return -ENOTCONN;
	a->len = 0;
	if (x->peer)
		*a = x->peer->a;
	end_put(x);
	return 0;
}

int unix_host_shutdown(struct unix_sock *u, uint32_t how)
{
	struct unix_end *x = end_get(u, unix_host_conn(u) ? &u->conn : &u->named);
	int err = x ? (int)host_syscall2(SYS_shutdown, host_end_fd(&x->e), how - 1) : 0;
	end_put(x);
	return err;
}

uint32_t unix_host_poll(struct unix_sock *u, bool watched, bool conn)
{
	struct unix_end *x = end_get(u, conn ? &u->conn : &u->named);
	uint32_t now = x ? host_end_poll(&x->e, watched) : 0;
	end_put(x);
	return now;
}

long unix_host_inq(struct unix_sock *u, bool conn)
{
	struct unix_end *x = end_get(u, conn ? &u->conn : &u->named);
	int32_t n = 0;
	int err = x ? host_ioctl(host_end_fd(&x->e), FIONREAD, &n) : 0;
	end_put(x);
	return err ? err : n;
}
