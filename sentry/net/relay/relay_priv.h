/* Private to relay/: see relay.c. */
#ifndef SENTRY_NET_RELAY_RELAY_PRIV_H
#define SENTRY_NET_RELAY_RELAY_PRIV_H

#include "lib/handle.h"
#include "sentry/core/ctx.h"
#include "sentry/core/hostpoll.h"
#include "sentry/core/waitq.h"
#include "sentry/net/relay/relay.h"

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

struct relay_flow {
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

/* A port at which somebody inside listens: mirror.c. */
struct listener {
	uint16_t family; /* 0: none */
	uint16_t port;   /* big endian */
	bool wanted;     /* while we look */
	handle_t host;   /* none: it could not be had */
	hostpoll_t poll;
};

struct net_relay {
	struct ctx ctx;
	uint32_t stop;      /* atomic */
	uint32_t done;      /* futex: the thread has ended */
	struct net_ns *net; /* borrowed: the container's */
	struct service service[NET_RELAY_SERVICES + NET_RELAY_OUTWARD];
	uint32_t nservices;
	struct net_relay_outward outward[NET_RELAY_OUTWARD];
	uint32_t given;     /* atomic: how many of them the thread is to take over */
	bool mirrors;       /* set before the thread starts */
	uint32_t listeners; /* net->listeners when they were looked at */
	struct listener listener[NET_RELAY_LISTENERS];
	struct service mirrored[2]; /* of their connections: IPv4, IPv6 */
	struct waiter listen_waiter;
	struct list_node flows;
	uint32_t nflows[4]; /* class_of */
	struct waitq hostq; /* the host's descriptors wake it */
	struct waiter waiter;
	uint8_t *datagram; /* UDP_MAX bytes */
};

static inline uint32_t class_of(const struct service *s)
{
	return (s->outward ? 2u : 0u) + (s->udp ? 1u : 0u);
}

/* --- relay.c --- */
void flow_free(struct net_relay *r, struct relay_flow *f);
/* With buffers, if it is of TCP.  NULL: no memory. */
struct relay_flow *flow_new(struct net_relay *r, struct service *s);
/* UDP: the client's, made if need be; server: of outward ones. */
struct relay_flow *flow_of(struct net_relay *r, struct service *s, const struct sock_addr *client,
	const struct sock_addr *server);
void flow_touch(struct net_relay *r, struct relay_flow *f);
/* Its descriptor of the host, which is taken over; a socket of ours to the one who is asked. */
bool flow_set_host(struct net_relay *r, struct relay_flow *f, int fd);
bool flow_open_own(struct net_relay *r, struct relay_flow *f, const struct sock_addr *to);
/* Of our own sockets; to, from: may be NULL.  They do not block. */
ssize_t relay_send(struct net_relay *r, struct file *f, const uint8_t *p, size_t n,
	const struct sock_addr *to);
ssize_t relay_recv(struct net_relay *r, struct file *f, uint8_t *p, size_t n,
	struct sock_addr *from);

/* --- outward.c --- */
/* Connections at a socket of the host that listens; true: there were some. */
bool outward_accept(struct net_relay *r, struct service *s, handle_t host);
bool outward_questions(struct net_relay *r, struct service *s);
bool outward_answers(struct net_relay *r, struct relay_flow *f);
/* Sockets that came with the network. */
void outward_take(struct net_relay *r);

/* --- mirror.c --- */
void mirror_start(struct net_relay *r);
/* Looks who listens, if that has changed; accepts connections. */
bool mirror_serve(struct net_relay *r);
void mirror_arm(struct net_relay *r);
void mirror_stop(struct net_relay *r);

#endif
