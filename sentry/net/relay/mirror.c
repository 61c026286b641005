/*
 * Who in the container's namespace on the host connects to its loopback means a program inside
 * (CRI's port-forward does).  For each port at which one listens there, the anchor makes a socket
 * of the host that listens at the same port of that loopback, and its connections are relayed.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "lib/log.h"
#include "sentry/net/host/host.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/relay/relay_priv.h"
#include "sentry/net/tcp/tcp.h"

static struct sock_addr address(uint16_t family, uint16_t port)
{
	struct sock_addr a = {0};
	if (family == AF_INET) {
		a.in = (struct abi_sockaddr_in){.family = AF_INET,
			.port = port,
			.addr = htonl(INADDR_LOOPBACK)};
		a.len = sizeof(a.in);
	} else {
		a.in6 = (struct abi_sockaddr_in6){.family = AF_INET6, .port = port};
		a.in6.addr[15] = 1;
		a.len = sizeof(a.in6);
	}
	return a;
}

static void listener_close(struct listener *l)
{
	hostpoll_remove(l->poll);
	handle_close(l->host);
	*l = (struct listener){0};
}

static void listener_open(struct net_relay *r, struct listener *l)
{
	const struct handle_origin from = {.kind = HANDLE_HOST_SOCKET};
	struct sock_addr a = address(l->family, l->port);
	int fd = host_request_listen(&a);
	if (fd < 0) {
		log_info("port %u of the host's side of the loopback: %d", ntohs(l->port), fd);
		return;
	}
	l->host = handle_new_fd(fd, &from);
	if (l->host)
		l->poll = hostpoll_add(fd, &r->hostq);
}

/* Finds it, or a place for it. */
static void want(struct net_relay *r, uint16_t family, uint16_t port)
{
	struct listener *free = NULL;
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++) {
		struct listener *l = &r->listener[i];
		if (l->family == family && l->port == port) {
			l->wanted = true;
			return;
		}
		if (!l->family && !free)
			free = l;
	}
	if (!free)
		return;
	*free = (struct listener){.family = family, .port = port, .wanted = true};
	listener_open(r, free);
}

/* The loopback addresses at which it is reached. */
static void look_at(struct net_relay *r, struct inet_sock *s)
{
	const struct sock_addr v4 = address(AF_INET, 0), v6 = address(AF_INET6, 0);
	struct tcp_diag d;
	tcp_diag(s, &d);
	if (d.state != TCP_LISTEN)
		return;
	struct ip_addr lo4 = ip_v4(v4.in.addr), lo6 = ip_v6(v6.in6.addr);
	bool any = ip_is_any(&d.local), is6 = d.family == AF_INET6;
	if (any ? !is6 || !READ_ONCE(s->v6only) : ip_eq(&d.local, &lo4))
		want(r, AF_INET, htons(d.lport));
	if (is6 && (any || ip_eq(&d.local, &lo6)))
		want(r, AF_INET6, htons(d.lport));
}

static void update(struct net_relay *r)
{
	struct inet_sock *s;
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++)
		r->listener[i].wanted = false;
	for (uint64_t at = 0; (s = inet_walk_next(r->net->inet->tcp, &at));) {
		look_at(r, s);
		inet_put(s);
	}
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++)
		if (r->listener[i].family && !r->listener[i].wanted)
			listener_close(&r->listener[i]);
}

void mirror_start(struct net_relay *r)
{
	r->mirrors = true;
	r->mirrored[0] = (struct service){.outward = true, .family = AF_INET};
	r->mirrored[1] = (struct service){.outward = true, .family = AF_INET6};
	waiter_init_ctx(&r->listen_waiter, &r->ctx, POLLIN);
	waitq_add(&r->net->listenq, &r->listen_waiter);
}

bool mirror_serve(struct net_relay *r)
{
	bool any = false;
	uint32_t now = __atomic_load_n(&r->net->listeners, __ATOMIC_ACQUIRE);
	if (now != r->listeners) {
		r->listeners = now;
		update(r);
		any = true;
	}
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++) {
		struct listener *l = &r->listener[i];
		if (l->poll)
			any |= outward_accept(r, &r->mirrored[l->family == AF_INET6], l->host);
	}
	return any;
}

void mirror_arm(struct net_relay *r)
{
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++) {
		struct listener *l = &r->listener[i];
		if (l->poll && r->nflows[class_of(&r->mirrored[0])] < FLOWS_MAX)
			hostpoll_arm(l->poll, POLLIN);
	}
}

void mirror_stop(struct net_relay *r)
{
	waitq_del(&r->listen_waiter);
	for (uint32_t i = 0; i < NET_RELAY_LISTENERS; i++)
		listener_close(&r->listener[i]);
}
