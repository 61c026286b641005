/*
 * The other way: programs in the container's namespace on the host reach what our own stack
 * reaches. Their packets come to sockets of the host that are ours, and a socket of our stack is
 * opened to the address that they were meant for.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "sentry/net/relay/relay_priv.h"

#define LOOPBACK_INDEX 1 /* of the host's namespace */

/* Takes over fd, whose own address is that of the server which it was meant for. */
static void new_outward_stream(struct net_relay *r, struct service *s, int fd)
{
	struct sock_addr to = {0};
	uint32_t len = sizeof(to.in6);
	long err = host_syscall3(SYS_getsockname, fd, &to.sa, &len);
	struct relay_flow *f = err < 0 || to.family != s->family ? NULL : flow_new(r, s);
	if (!f) {
		host_close(fd);
		return;
	}
	to.len = len;
	if (!flow_set_host(r, f, fd) || !flow_open_own(r, f, &to))
		flow_free(r, f);
}

bool outward_accept(struct net_relay *r, struct service *s, handle_t host)
{
	bool any = false;
	while (r->nflows[class_of(s)] < FLOWS_MAX) {
		long fd = host_syscall4(SYS_accept4, handle_fd(host), NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return any;
		new_outward_stream(r, s, (int)fd);
		any = true;
	}
	return any;
}

/* --- UDP --- */

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
		if (i.ipi_ifindex != LOOPBACK_INDEX) /* a broadcast of the network's */
			return false;
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
	if (i6.ipi6_ifindex != LOOPBACK_INDEX)
		return false;
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

bool outward_questions(struct net_relay *r, struct service *s)
{
	struct sock_addr from, to;
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = recv_asked(r, s, &from, &to);
		if (n == -EAGAIN)
			break;
		struct relay_flow *f = n >= 0 && from.len ? flow_of(r, s, &from, &to) : NULL;
		if (!f)
			continue;
		relay_send(r, f->file, r->datagram, (size_t)n, NULL);
		flow_touch(r, f);
	}
	return i > 0;
}

/* To the client, from the address that it asked. */
static void answer(struct net_relay *r, struct relay_flow *f, size_t n)
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

bool outward_answers(struct net_relay *r, struct relay_flow *f)
{
	int i = 0;
	for (; i < UDP_BURST; i++) {
		ssize_t n = relay_recv(r, f->file, r->datagram, UDP_MAX, NULL);
		if (n == -EAGAIN)
			break;
		if (n >= 0)
			answer(r, f, (size_t)n);
	}
	if (i)
		f->used = mono_now();
	return i > 0;
}

/* --- start --- */

/* Sockets that came with the network: once. */
void outward_take(struct net_relay *r)
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
