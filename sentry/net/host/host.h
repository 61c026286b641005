/*
 * --network=host: sockets of AF_INET, AF_INET6 and AF_NETLINK (routes, read-only) are the host's.
 *
 * The sentry then stays in the container's network namespace (runsc-cli/boot/seal.c), and its
 * seccomp filter lets it make such sockets and use them, of the types, and with the options, that
 * are listed here and in options.def.
 */
#ifndef SENTRY_NET_HOST_HOST_H
#define SENTRY_NET_HOST_HOST_H

#include <stdint.h>

/* Registers the operations of sockets in namespaces that have net->host; once, at start-up. */
void host_net_init(void);
/* fd: to who does for us what takes privileges (lib/proto/netreq.h), taken over; at start-up. */
void host_requests_init(int fd);
/* A descriptor of a loopback service, or -errno. */
int host_request_open(uint32_t service);
/* One that listens at a loopback address and port of the container's namespace, or -errno. */
struct sock_addr;
int host_request_listen(const struct sock_addr *a);

struct ctx;
/* What netdevice(7) asks of a socket of any family there; -ENOTTY: something else. */
long host_link_ioctl(struct ctx *ctx, uint32_t cmd, uint64_t arg);

#endif
