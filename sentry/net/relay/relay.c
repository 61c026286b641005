/*
 * The relay: see relay.h.
 *
 * One host thread for a container, which sleeps until a socket of ours or a descriptor of the host
 * wakes its ctx, and then looks at all flows.  A flow is a TCP connection, or a client's address
 * and port of UDP, with a socket of its own at the far end (on the host; of our stack where the
 * service is an outward one); data are copied by way of one buffer each way, and who is slow stops
 * the other.
 *
 * Bounds: FLOWS_MAX flows of each protocol and way, BUFFER bytes each way.  A UDP flow ends after
 * UDP_IDLE, or when it is the oldest and there is no room; a TCP connection ends after TCP_IDLE,
 * and further ones wait in the listener's queue.
 *
 * Only the thread touches what is here; others write stop, and given once, behind what it counts.
 */
#include "sentry/net/relay/relay.h"

#include <errno.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/core/hostpoll.h"
#include "sentry/net/host/host.h"
#include "sentry/vfs/file.h"

#define FLOWS_MAX 128u
#define BUFFER 16384u
#define UDP_MAX 65536u /* no datagram is longer */
#define UDP_BURST 32   /* datagrams of one socket before the next is looked at */
#define SECOND 1000000000L
#define UDP_IDLE (30 * SECOND)
#define TCP_IDLE (600 * SECOND)

struct side {
	uint8_t *buf; /* BUFFER bytes */
	uint32_t off, n;
	bool eof, shut; /* nothing more comes; the other end was told */
};

struct flow {
	struct list_node node; /* net_relay.flows; of UDP, the one asked last at the end */
	struct service *service;
	struct file *file;       /* ours; NULL: inward UDP */
	struct waiter waiter;    /* on it */
	struct sock_addr client; /* UDP */
	struct sock_addr server; /* outward UDP: whom the client asked */
	handle_t host;           /* none: outward UDP */
	hostpoll_t poll;
	int64_t used;
	struct side out, in; /* TCP: to the host, from it */
};

/* Where clients come: inward a socket of ours, outward one of the host. */
struct service {
	struct file *file;
	struct waiter waiter;
	handle_t host;
	hostpoll_t poll;
	uint32_t index; /* inward: for the anchor */
	uint16_t family;
	bool udp, outward;
};

struct net_relay {
	struct ctx ctx;
	uint32_t stop;      /* atomic */
	uint32_t done;      /* futex: the thread has ended */
	struct net_ns *net; /* borrowed: the container's */
	struct service service[NET_RELAY_SERVICES + NET_RELAY_OUTWARD];
	uint32_t nservices;
	struct net_relay_outward outward[NET_RELAY_OUTWARD];
	uint32_t given; /* atomic: how many of them the thread is to take over */
	struct list_node flows;
	uint32_t nflows[4]; /* class_of */
	struct waitq hostq; /* the host's descriptors wake it */
	struct waiter waiter;
	uint8_t *datagram; /* UDP_MAX bytes */
};

static SLAB_DEFINE(relay_slab, struct net_relay);
static SLAB_DEFINE(flow_slab, struct flow);

/* --- flows --- */

static void watch(struct net_relay *r, struct file *f, struct waiter *w)
{
	waiter_init_ctx(w, &r->ctx, POLLIN | POLLOUT | POLLRDHUP);
	waitq_add(&sock_of(f)->pollq, w);
}

static uint32_t class_of(const struct service *s)
{
	return (s->outward ? 2u : 0u) + (s->udp ? 1u : 0u);
}

static void flow_free(struct net_relay *r, struct flow *f)
{
	if (f->file) {
		waitq_del(&f->waiter);
		file_put(f->file);
	}
	hostpoll_remove(f->poll);
	handle_close(f->host);
	buf_free(f->out.buf, BUFFER);
	buf_free(f->in.buf, BUFFER);
	list_del(&f->node);
	r->nflows[class_of(f->service)]--;
	slab_free(&flow_slab, f);
}

/* Takes over fd. */
static bool set_host(struct net_relay *r, struct flow *f, int fd)
{
	const struct handle_origin from = {.kind = HANDLE_HOST_SOCKET};
	f->host = handle_new_fd(fd, &from);
	if (f->host)
		f->poll = hostpoll_add(fd, &r->hostq);
	return f->poll;
}

static bool open_host(struct net_relay *r, struct flow *f)
{
	int fd = host_request_open(f->service->index);
	return fd >= 0 && set_host(r, f, fd);
}

/* A socket of ours to the one who is asked. */
static bool open_own(struct net_relay *r, struct flow *f, const struct sock_addr *to)
{
	const struct vfs_view v = {.ctx = &r->ctx};
	struct service *s = f->service;
	int err = sock_create(&r->ctx, r->net, s->family, s->udp ? SOCK_DGRAM : SOCK_STREAM, 0,
		O_NONBLOCK, &f->file);
	if (err)
		return false;
	watch(r, f->file, &f->waiter);
	err = sock_connect(&v, f->file, to);
	return !err || err == -EINPROGRESS;
}

static struct flow *flow_new(struct net_relay *r, struct service *s)
{
	struct flow *f = slab_alloc(&flow_slab);
	if (!f)
		return NULL;
	f->service = s;
	f->used = mono_now();
	list_push_back(&r->flows, &f->node);
	r->nflows[class_of(s)]++;
	if (s->udp)
		return f;
	f->out.buf = buf_alloc(BUFFER);
	f->in.buf = buf_alloc(BUFFER);
	if (f->out.buf && f->in.buf)
		return f;
	flow_free(r, f);
	return NULL;
}

/* It had a query: the last one to be ended for want of room. */
static void touch(struct net_relay *r, struct flow *f)
{
	f->used = mono_now();
	list_del(&f->node);
	list_push_back(&r->flows, &f->node);
}

/* --- one transfer; none blocks --- */

static ssize_t own_send(struct net_relay *r, struct file *f, const uint8_t *p, size_t n,
	const struct sock_addr *to)
{
	struct uio_seg seg;
	struct uio u;
	struct sock_msg m = {.u = &u, .flags = MSG_DONTWAIT | MSG_NOSIGNAL};
	if (to)
		m.name = *to;
	uio_init_kernel(&u, &seg, p, n);
	ssize_t sent = sock_send(&r->ctx, f, &m);
	scm_clear(&m.scm);
	return sent;
}

static ssize_t own_recv(struct net_relay *r, struct file *f, uint8_t *p, size_t n,
	struct sock_addr *from)
{
	struct uio_seg seg;
	struct uio u;
	struct sock_msg m = {.u = &u, .flags = MSG_DONTWAIT};
	uio_init_kernel(&u, &seg, p, n);
	ssize_t got = sock_recv(&r->ctx, f, &m);
	scm_clear(&m.scm);
	if (from)
		*from = m.name;
	return got;
}

static ssize_t host_msg(struct flow *f, long call, uint8_t *p, size_t n)
{
	struct iovec v = {p, n};
	struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1};
	ssize_t r;
	do
		r = host_syscall3(call, handle_fd(f->host), &h, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (r == -EINTR);
	return r;
}

/* --- TCP --- */

/* Moves what there is one way; out: to the host.  >0: something happened, -errno: it is over. */
static int move(struct net_relay *r, struct flow *f, struct side *s, bool out)
{
	int moved = 0;
	ssize_t n;
	if (!s->n && !s->eof) {
		n = out ? own_recv(r, f->file, s->buf, BUFFER, NULL)
			: host_msg(f, SYS_recvmsg, s->buf, BUFFER);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		s->off = 0;
		s->n = n > 0 ? (uint32_t)n : 0;
		s->eof = n == 0;
		moved = n >= 0;
	}
	if (s->n) {
		n = out ? host_msg(f, SYS_sendmsg, s->buf + s->off, s->n)
			: own_send(r, f->file, s->buf + s->off, s->n, NULL);
		if (n < 0 && n != -EAGAIN)
			return (int)n;
		if (n > 0) {
			s->off += (uint32_t)n;
			s->n -= (uint32_t)n;
			moved = 1;
		}
	}
	if (s->eof && !s->n && !s->shut) {
		s->shut = true;
		if (out)
			host_syscall2(SYS_shutdown, handle_fd(f->host), SHUT_WR);
		else
			sock_shutdown(f->file, SHUT_WR);
		moved = 1;
	}
	return moved;
}

/* A service that hangs up on us, or refuses, resets our client as well. */
static void reset(struct net_relay *r, struct flow *f)
{
	const struct abi_linger now = {1, 0};
	sock_setsockopt(&r->ctx, f->file, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	flow_free(r, f);
}

static bool serve_stream(struct net_relay *r, struct flow *f)
{
	int out = move(r, f, &f->out, true), in = out < 0 ? 0 : move(r, f, &f->in, false);
	if (out < 0 || in < 0) {
		reset(r, f);
		return true;
	}
	if (f->out.shut && f->in.shut) {
		flow_free(r, f);
		return true;
	}
	if (out || in)
		f->used = mono_now();
	return out || in;
}

/* Takes over file. */
static void new_stream(struct net_relay *r, struct service *s, struct file *file)
{
	struct flow *f = flow_new(r, s);
	if (!f) {
		file_put(file);
		return;
	}
	f->file = file;
	watch(r, file, &f->waiter);
	if (!open_host(r, f))
		flow_free(r, f);
}

static bool accept_streams(struct net_relay *r, struct service *s)
{
	struct file *f;
	bool any = false;
	while (r->nflows[class_of(s)] < FLOWS_MAX &&
		!sock_accept(&r->ctx, s->file, O_NONBLOCK, &f)) {
		new_stream(r, s, f);
		any = true;
	}
	return any;
}

/* Takes over fd, whose own address is that of the server which it was meant for. */
static void new_outward_stream(struct net_relay *r, struct service *s, int fd)
{
	struct sock_addr to = {0};
	uint32_t len = sizeof(to.in6);
	long err = host_syscall3(SYS_getsockname, fd, &to.sa, &len);
	struct flow *f = err < 0 || to.family != s->family ? NULL : flow_new(r, s);
	if (!f) {
		host_close(fd);
		return;
	}
	to.len = len;
	if (!set_host(r, f, fd) || !open_own(r, f, &to))
		flow_free(r, f);
}

static bool accept_outward(struct net_relay *r, struct service *s)
{
	bool any = false;
	while (r->nflows[class_of(s)] < FLOWS_MAX) {
		long fd = host_syscall4(SYS_accept4, handle_fd(s->host), NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return any;
		new_outward_stream(r, s, (int)fd);
		any = true;
	}
	return any;
}

/* --- UDP --- */

static bool same_addr(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->len == b->len && !memcmp(&a->sa, &b->sa, a->len);
}

/* server: of outward ones. */
static struct flow *flow_of(struct net_relay *r, struct service *s, const struct sock_addr *client,
	const struct sock_addr *server)
{
	struct flow *f, *oldest = NULL;
	list_for_each(f, &r->flows, node) {
		if (class_of(f->service) != class_of(s))
			continue;
		if (!oldest)
			oldest = f;
		if (f->service == s && same_addr(&f->client, client) &&
			same_addr(&f->server, server))
			return f;
	}
	if (r->nflows[class_of(s)] >= FLOWS_MAX)
		flow_free(r, oldest);
	f = flow_new(r, s);
	if (!f)
		return NULL;
	f->client = *client;
	f->server = *server;
	if (s->outward ? open_own(r, f, server) : open_host(r, f))
		return f;
	flow_free(r, f);
	return NULL;
}

static bool take_datagrams(struct net_relay *r, struct service *s)
{
	const struct sock_addr none = {0};
	struct sock_addr from;
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = own_recv(r, s->file, r->datagram, UDP_MAX, &from);
		if (n == -EAGAIN)
			break;
		struct flow *f = n >= 0 && from.len ? flow_of(r, s, &from, &none) : NULL;
		if (!f) /* lost, as datagrams may be */
			continue;
		host_msg(f, SYS_sendmsg, r->datagram, (size_t)n);
		touch(r, f);
	}
	return i > 0;
}

static bool serve_datagrams(struct net_relay *r, struct flow *f)
{
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = host_msg(f, SYS_recvmsg, r->datagram, UDP_MAX);
		if (n == -EAGAIN)
			break;
		if (n >= 0)
			own_send(r, f->service->file, r->datagram, (size_t)n, &f->client);
	}
	if (i)
		f->used = mono_now();
	return i > 0;
}

/* The address of ours in a packet's IP_PKTINFO: whom the client asked, at the service's port. */
static bool asked(const struct service *s, const struct cmsghdr *c, struct sock_addr *out)
{
	*out = (struct sock_addr){0};
	if (s->family == AF_INET) {
		struct in_pktinfo i;
		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO ||
			c->cmsg_len != CMSG_LEN(sizeof(i)))
			return false;
		memcpy(&i, CMSG_DATA(c), sizeof(i));
		out->in.family = AF_INET;
		out->in.port = htons(NET_RELAY_PORT);
		memcpy(&out->in.addr, &i.ipi_addr, sizeof(i.ipi_addr));
		out->len = sizeof(out->in);
		return true;
	}
	struct in6_pktinfo i6;
	if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO ||
		c->cmsg_len != CMSG_LEN(sizeof(i6)))
		return false;
	memcpy(&i6, CMSG_DATA(c), sizeof(i6));
	out->in6.family = AF_INET6;
	out->in6.port = htons(NET_RELAY_PORT);
	memcpy(&out->in6.addr, &i6.ipi6_addr, sizeof(i6.ipi6_addr));
	out->len = sizeof(out->in6);
	return true;
}

union pktinfo {
	struct cmsghdr h;
	char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* -EAGAIN: no more; else bytes, from.len 0: it is of no use. */
static ssize_t recv_asked(struct net_relay *r, struct service *s, struct sock_addr *from,
	struct sock_addr *to)
{
	union pktinfo c;
	struct iovec v = {r->datagram, UDP_MAX};
	*from = *to = (struct sock_addr){0};
	struct msghdr h = {.msg_name = &from->sa,
		.msg_namelen = sizeof(from->in6),
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf)};
	ssize_t n = host_syscall3(SYS_recvmsg, handle_fd(s->host), &h, MSG_DONTWAIT);
	struct cmsghdr *m = n >= 0 ? CMSG_FIRSTHDR(&h) : NULL;
	if (m && asked(s, m, to))
		from->len = h.msg_namelen;
	return n;
}

static bool take_questions(struct net_relay *r, struct service *s)
{
	struct sock_addr from, to;
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = recv_asked(r, s, &from, &to);
		if (n == -EAGAIN)
			break;
		struct flow *f = n >= 0 && from.len ? flow_of(r, s, &from, &to) : NULL;
		if (!f)
			continue;
		own_send(r, f->file, r->datagram, (size_t)n, NULL);
		touch(r, f);
	}
	return i > 0;
}

/* To the client, from the address that it asked. */
static void answer(struct net_relay *r, struct flow *f, size_t n)
{
	union pktinfo c;
	struct iovec v = {r->datagram, n};
	struct msghdr h = {.msg_name = &f->client.sa,
		.msg_namelen = f->client.len,
		.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = c.buf};
	memset(&c, 0, sizeof(c));
	if (f->service->family == AF_INET) {
		struct in_pktinfo i = {0};
		memcpy(&i.ipi_spec_dst, &f->server.in.addr, sizeof(i.ipi_spec_dst));
		c.h = (struct cmsghdr){CMSG_LEN(sizeof(i)), IPPROTO_IP, IP_PKTINFO};
		memcpy(CMSG_DATA(&c.h), &i, sizeof(i));
		h.msg_controllen = CMSG_SPACE(sizeof(i));
	} else {
		struct in6_pktinfo i = {.ipi6_ifindex = 0};
		memcpy(&i.ipi6_addr, &f->server.in6.addr, sizeof(i.ipi6_addr));
		c.h = (struct cmsghdr){CMSG_LEN(sizeof(i)), IPPROTO_IPV6, IPV6_PKTINFO};
		memcpy(CMSG_DATA(&c.h), &i, sizeof(i));
		h.msg_controllen = CMSG_SPACE(sizeof(i));
	}
	host_syscall3(SYS_sendmsg, handle_fd(f->service->host), &h, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static bool serve_answers(struct net_relay *r, struct flow *f)
{
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = own_recv(r, f->file, r->datagram, UDP_MAX, NULL);
		if (n == -EAGAIN)
			break;
		if (n >= 0)
			answer(r, f, (size_t)n);
	}
	if (i)
		f->used = mono_now();
	return i > 0;
}

/* --- the thread --- */

static bool serve_service(struct net_relay *r, struct service *s)
{
	if (s->outward)
		return s->udp ? take_questions(r, s) : accept_outward(r, s);
	return s->udp ? take_datagrams(r, s) : accept_streams(r, s);
}

static bool serve_flow(struct net_relay *r, struct flow *f)
{
	if (!f->service->udp)
		return serve_stream(r, f);
	return f->service->outward ? serve_answers(r, f) : serve_datagrams(r, f);
}

static bool serve(struct net_relay *r)
{
	struct flow *f, *tmp;
	bool any = false;
	for (uint32_t i = 0; i < r->nservices; i++)
		any |= serve_service(r, &r->service[i]);
	list_for_each_safe(f, tmp, &r->flows, node)
		any |= serve_flow(r, f);
	return any;
}

/* Sockets that came with the network: once. */
static void take_outward(struct net_relay *r)
{
	const struct handle_origin from = {.kind = HANDLE_HOST_SOCKET};
	uint32_t n = __atomic_exchange_n(&r->given, 0, __ATOMIC_ACQUIRE);
	for (uint32_t i = 0; i < n; i++) {
		const struct net_relay_outward *o = &r->outward[i];
		struct service *s = &r->service[r->nservices];
		*s = (struct service){.outward = true, .udp = o->udp, .family = o->family};
		s->host = handle_new_fd(o->fd, &from);
		if (s->host)
			s->poll = hostpoll_add(o->fd, &r->hostq);
		if (s->poll)
			r->nservices++;
		else
			handle_close(s->host);
	}
}

/* Ends what is idle; when the next one will be. */
static int64_t expire(struct net_relay *r)
{
	int64_t now = mono_now(), next = DEADLINE_NEVER;
	struct flow *f, *tmp;
	list_for_each_safe(f, tmp, &r->flows, node) {
		int64_t end = f->used + (f->service->udp ? UDP_IDLE : TCP_IDLE);
		if (end <= now)
			flow_free(r, f);
		else
			next = MIN(next, end);
	}
	return next;
}

/* What is true already wakes at once. */
static void arm(struct net_relay *r)
{
	struct flow *f;
	for (uint32_t i = 0; i < r->nservices; i++) {
		struct service *s = &r->service[i];
		if (s->outward && (s->udp || r->nflows[class_of(s)] < FLOWS_MAX))
			hostpoll_arm(s->poll, POLLIN);
	}
	list_for_each(f, &r->flows, node) {
		uint32_t events = f->out.n ? POLLOUT : 0;
		if (f->service->udp || (!f->in.n && !f->in.eof))
			events |= POLLIN;
		if (events && f->host)
			hostpoll_arm(f->poll, events);
	}
}

static void tear_down(struct net_relay *r)
{
	struct flow *f, *tmp;
	list_for_each_safe(f, tmp, &r->flows, node)
		flow_free(r, f);
	take_outward(r); /* else nobody closes them */
	for (uint32_t i = 0; i < r->nservices; i++) {
		struct service *s = &r->service[i];
		if (s->outward) {
			hostpoll_remove(s->poll);
			handle_close(s->host);
			continue;
		}
		waitq_del(&s->waiter);
		file_put(s->file);
	}
	waitq_del(&r->waiter);
}

static void *relay_main(void *arg)
{
	struct net_relay *r = arg;
	backtrace_thread_init();
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		take_outward(r);
		if (serve(r))
			continue;
		int64_t next = expire(r);
		arm(r);
		ctx_block(&r->ctx, next);
	}
	tear_down(r);
	__atomic_store_n(&r->done, 1, __ATOMIC_RELEASE);
	host_futex(&r->done, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	backtrace_thread_fini();
	return NULL;
}

/* --- from outside --- */

static int listen_at(struct net_relay *r, struct net_ns *net, const struct net_relay_service *s)
{
	struct service *to = &r->service[r->nservices];
	const struct vfs_view v = {.ctx = &r->ctx};
	struct file *f;
	int err = sock_create(&r->ctx, net, s->addr.family, s->udp ? SOCK_DGRAM : SOCK_STREAM, 0,
		O_NONBLOCK, &f);
	if (err)
		return err;
	err = sock_bind(&v, f, &s->addr);
	if (!err && !s->udp)
		err = sock_listen(&r->ctx, f, (int)FLOWS_MAX);
	if (err) {
		file_put(f);
		return err;
	}
	*to = (struct service){.file = f,
		.index = s->index,
		.family = s->addr.family,
		.udp = s->udp};
	watch(r, f, &to->waiter);
	r->nservices++;
	return 0;
}

static void relay_free(struct net_relay *r)
{
	waitq_fini(&r->hostq);
	buf_free(r->datagram, UDP_MAX);
	slab_free(&relay_slab, r);
}

static int start_thread(struct net_relay *r)
{
	pthread_t thread;
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are other threads' business */
	int err = pthread_create(&thread, NULL, relay_main, r);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -EAGAIN;
	pthread_detach(thread);
	return 0;
}

int net_relay_start(struct net_ns *net, struct cred *cred, const struct net_relay_service *services,
	uint32_t n, bool maybe, struct net_relay **out)
{
	bool any = false;
	*out = NULL;
	for (uint32_t i = 0; i < n; i++)
		any |= services[i].maybe == maybe;
	if (!any)
		return 0;
	struct net_relay *r = slab_alloc(&relay_slab);
	if (!r)
		return -ENOMEM;
	ctx_init_kernel(&r->ctx, cred);
	r->net = net;
	list_init(&r->flows);
	waitq_init(&r->hostq);
	waiter_init_ctx(&r->waiter, &r->ctx, POLLIN | POLLOUT);
	r->datagram = buf_alloc(UDP_MAX);
	if (!r->datagram) {
		relay_free(r);
		return -ENOMEM;
	}
	waitq_add(&r->hostq, &r->waiter);
	for (uint32_t i = 0; i < n; i++) {
		int err = services[i].maybe == maybe ? listen_at(r, net, &services[i]) : 0;
		if (err)
			log_warn("loopback service %u: cannot be bound here: %d", i, err);
	}
	int err = start_thread(r);
	if (err) {
		tear_down(r);
		relay_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void net_relay_give(struct net_relay *r, const struct net_relay_outward *outward, uint32_t n)
{
	n = MIN(n, NET_RELAY_OUTWARD);
	memcpy(r->outward, outward, n * sizeof(*outward));
	__atomic_store_n(&r->given, n, __ATOMIC_RELEASE);
	ctx_wake(&r->ctx);
}

void net_relay_stop(struct net_relay *r)
{
	if (!r)
		return;
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELEASE);
	ctx_wake(&r->ctx);
	while (!__atomic_load_n(&r->done, __ATOMIC_ACQUIRE))
		host_futex(&r->done, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
	relay_free(r);
}
