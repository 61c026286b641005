/*
 * The end of a connection that is the host's: a descriptor that never blocks the caller, and the
 * socket of ours that it belongs to.
 *
 * Everybody who waits for it does so in sk->pollq, which the host poller wakes.  Whoever uses an
 * end keeps its socket, which closes it in the end.
 */
#ifndef SENTRY_NET_HOST_END_H
#define SENTRY_NET_HOST_END_H

#include "lib/handle.h"
#include "sentry/core/hostpoll.h"
#include "sentry/net/socket.h"

struct host_end {
	struct socket *sk; /* borrowed */
	handle_t host;
	hostpoll_t poll;
};

#define HOST_IN (POLLIN | POLLRDNORM)
#define HOST_OUT (POLLOUT | POLLWRNORM)
#define HOST_WATCHED (HOST_IN | HOST_OUT | POLLPRI | POLLRDHUP)

/* Takes over fd, also on error (-ENFILE); then host_end_close is still fine. */
int host_end_open(struct host_end *e, struct socket *sk, int fd);
void host_end_close(struct host_end *e);
static inline int host_end_fd(const struct host_end *e)
{
	return handle_fd(e->host);
}

/* Sleeps until one of events may have come: 0, -ETIMEDOUT, -ERESTARTSYS, -errno of the host. */
int host_end_wait(struct ctx *ctx, struct host_end *e, uint32_t events, int64_t deadline);
/* Those that watch the socket (epoll) hear of the next of events: to be called when what they were
 * told of may be over. */
void host_end_rearm(struct host_end *e, uint32_t events);
/* What is true now.  watched: and have those in sk->pollq woken by what is not. */
uint32_t host_end_poll(struct host_end *e, bool watched);

/* As the operations of those names; the descriptor's family says what goes with the data. */
ssize_t host_end_send(struct ctx *ctx, struct host_end *e, struct sock_msg *m);
ssize_t host_end_recv(struct ctx *ctx, struct host_end *e, struct sock_msg *m);
/* A connection that came to a listening one; flags: SOCK_*.  A descriptor or -errno. */
int host_end_accept(struct ctx *ctx, struct host_end *e, bool nonblock, int flags);

#endif
