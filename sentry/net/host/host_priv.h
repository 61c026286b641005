/*
 * Private to sentry/net/host.
 *
 * A socket has one host descriptor of its own (end.h); sk.rd and sk.wr are not used.
 *
 * Life: the file owns the object.  Locks: sk.lock guards the list of connections that were handed
 * back; all else is the host's own business, whose calls never block.
 */
#ifndef SENTRY_NET_HOST_HOST_PRIV_H
#define SENTRY_NET_HOST_HOST_PRIV_H

#include "sentry/net/host/end.h"
#include "sentry/net/host/host.h"

struct host_sock {
	struct socket sk; /* first */
	struct host_end end;
	struct list_node
		returned; /* accepted ones that found no descriptor: returned_node; sk.lock */
	struct list_node returned_node;
};

static inline struct host_sock *host_of(struct socket *s)
{
	return container_of(s, struct host_sock, sk);
}
static inline int host_fd(const struct host_sock *h)
{
	return host_end_fd(&h->end);
}

/* --- cmsg.c --- */
/* Ancillary data of m as the host may see it, into buf: its length, -EINVAL. */
ssize_t host_cmsg_in(const struct sock_msg *m, uint8_t *buf, uint32_t size);
/* What came with a message of the host. */
void host_cmsg_out(struct sock_msg *m, const uint8_t *buf, size_t n);

/* --- opt.c --- */
int host_setsockopt(struct ctx *ctx, struct socket *s, int level, int name, const void *val,
	uint32_t len);
int host_getsockopt(struct ctx *ctx, struct socket *s, int level, int name, void *val,
	uint32_t *len);

/* --- ioctl.c --- */
long host_sock_ioctl(struct ctx *ctx, struct socket *s, uint32_t cmd, uint64_t arg);

/* --- request.c --- */
/* Has a privileged process bind fd: 0 or -errno. */
int host_bind_privileged(int fd, const struct sock_addr *a);

#endif
