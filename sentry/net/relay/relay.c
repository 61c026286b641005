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
#include "sentry/net/relay/relay_priv.h"

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
#include "sentry/net/host/host.h"
#include "sentry/vfs/file.h"

static SLAB_DEFINE(relay_slab, struct net_relay);
static SLAB_DEFINE(flow_slab, struct relay_flow);

/* --- flows --- */

static void watch(struct net_relay *r, struct file *f, struct waiter *w)
{
	waiter_init_ctx(w, &r->ctx, POLLIN | POLLOUT | POLLRDHUP);
	waitq_add(&sock_of(f)->pollq, w);
}

void flow_free(struct net_relay *r, struct relay_flow *f)
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
bool flow_set_host(struct net_relay *r, struct relay_flow *f, int fd)
{
	const struct handle_origin from = {.kind = HANDLE_HOST_SOCKET};
	f->host = handle_new_fd(fd, &from);
	if (f->host)
		f->poll = hostpoll_add(fd, &r->hostq);
	return f->poll;
}

static bool open_host(struct net_relay *r, struct relay_flow *f)
{
	int fd = host_request_open(f->service->index);
	return fd >= 0 && flow_set_host(r, f, fd);
}

/* A socket of ours to the one who is asked. */
bool flow_open_own(struct net_relay *r, struct relay_flow *f, const struct sock_addr *to)
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

struct relay_flow *flow_new(struct net_relay *r, struct service *s)
{
	struct relay_flow *f = slab_alloc(&flow_slab);
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
void flow_touch(struct net_relay *r, struct relay_flow *f)
{
	f->used = mono_now();
	list_del(&f->node);
	list_push_back(&r->flows, &f->node);
}

/* --- one transfer; none blocks --- */

ssize_t relay_send(struct net_relay *r, struct file *f, const uint8_t *p, size_t n,
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

ssize_t relay_recv(struct net_relay *r, struct file *f, uint8_t *p, size_t n,
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

static ssize_t host_msg(struct relay_flow *f, long call, uint8_t *p, size_t n)
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
static int move(struct net_relay *r, struct relay_flow *f, struct side *s, bool out)
{
	int moved = 0;
	ssize_t n;
	if (!s->n && !s->eof) {
		n = out ? relay_recv(r, f->file, s->buf, BUFFER, NULL)
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
			: relay_send(r, f->file, s->buf + s->off, s->n, NULL);
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
static void reset(struct net_relay *r, struct relay_flow *f)
{
	const struct abi_linger now = {1, 0};
	sock_setsockopt(&r->ctx, f->file, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	flow_free(r, f);
}

static bool serve_stream(struct net_relay *r, struct relay_flow *f)
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
	struct relay_flow *f = flow_new(r, s);
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

/* --- UDP --- */

static bool same_addr(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->len == b->len && !memcmp(&a->sa, &b->sa, a->len);
}

/* server: of outward ones. */
struct relay_flow *flow_of(struct net_relay *r, struct service *s, const struct sock_addr *client,
	const struct sock_addr *server)
{
	struct relay_flow *f, *oldest = NULL;
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
	if (s->outward ? flow_open_own(r, f, server) : open_host(r, f))
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
		ssize_t n = relay_recv(r, s->file, r->datagram, UDP_MAX, &from);
		if (n == -EAGAIN)
			break;
		struct relay_flow *f = n >= 0 && from.len ? flow_of(r, s, &from, &none) : NULL;
		if (!f) /* lost, as datagrams may be */
			continue;
		host_msg(f, SYS_sendmsg, r->datagram, (size_t)n);
		flow_touch(r, f);
	}
	return i > 0;
}

static bool serve_datagrams(struct net_relay *r, struct relay_flow *f)
{
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = host_msg(f, SYS_recvmsg, r->datagram, UDP_MAX);
		if (n == -EAGAIN)
			break;
		if (n >= 0)
			relay_send(r, f->service->file, r->datagram, (size_t)n, &f->client);
	}
	if (i)
		f->used = mono_now();
	return i > 0;
}

/* --- the thread --- */

static bool serve_service(struct net_relay *r, struct service *s)
{
	if (s->outward)
		return s->udp ? outward_questions(r, s) : outward_accept(r, s, s->host);
	return s->udp ? take_datagrams(r, s) : accept_streams(r, s);
}

static bool serve_flow(struct net_relay *r, struct relay_flow *f)
{
	if (!f->service->udp)
		return serve_stream(r, f);
	return f->service->outward ? outward_answers(r, f) : serve_datagrams(r, f);
}

static bool serve(struct net_relay *r)
{
	struct relay_flow *f, *tmp;
	bool any = false;
	for (uint32_t i = 0; i < r->nservices; i++)
		any |= serve_service(r, &r->service[i]);
	if (r->mirrors)
		any |= mirror_serve(r);
	list_for_each_safe(f, tmp, &r->flows, node)
		any |= serve_flow(r, f);
	return any;
}

/* Ends what is idle; when the next one will be. */
static int64_t expire(struct net_relay *r)
{
	int64_t now = mono_now(), next = DEADLINE_NEVER;
	struct relay_flow *f, *tmp;
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
	struct relay_flow *f;
	for (uint32_t i = 0; i < r->nservices; i++) {
		struct service *s = &r->service[i];
		if (s->outward && (s->udp || r->nflows[class_of(s)] < FLOWS_MAX))
			hostpoll_arm(s->poll, POLLIN);
	}
	if (r->mirrors)
		mirror_arm(r);
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
	struct relay_flow *f, *tmp;
	list_for_each_safe(f, tmp, &r->flows, node)
		flow_free(r, f);
	outward_take(r); /* else nobody closes them */
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
	if (r->mirrors)
		mirror_stop(r);
	waitq_del(&r->waiter);
}

static void *relay_main(void *arg)
{
	struct net_relay *r = arg;
	backtrace_thread_init();
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		outward_take(r);
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
	uint32_t n, bool mirrors, struct net_relay **out)
{
	*out = NULL;
	if (!n && !mirrors)
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
		int err = listen_at(r, net, &services[i]);
		if (err)
			log_warn("loopback service %u: cannot be bound here: %d", services[i].index,
				err);
	}
	if (mirrors)
		mirror_start(r);
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
