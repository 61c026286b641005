/*
 * AF_NETLINK (netlink(7)): what the rest of sentry/net and /proc call of it.
 *
 * Protocols: NETLINK_ROUTE (rtnetlink(7)), NETLINK_SOCK_DIAG (sock_diag(7)),
 * NETLINK_KOBJECT_UEVENT, NETLINK_GENERIC (its controller alone), NETLINK_USERSOCK (between
 * processes).
 *
 * Locks: see nl_priv.h.
 */
#ifndef SENTRY_NET_NETLINK_NETLINK_H
#define SENTRY_NET_NETLINK_NETLINK_H

#include <stddef.h>
#include <stdint.h>

struct ctx;
struct net_ns;
struct nl_sock;

void netlink_init(void);                  /* registers everything; once */
int netlink_ns_init(struct net_ns *net);  /* 0 or -ENOMEM */
void netlink_ns_fini(struct net_ns *net); /* its sockets have references: there is none */

/*
 * Name spaces by what a guest names them by (IFLA_NET_NS_PID, IFLA_NET_NS_FD): sentry/task, which
 * is above, registers itself.  With a reference, or NULL and *err: -ESRCH, -EBADF, -EINVAL.
 */
struct netlink_ns_ops {
	struct net_ns *(*by_pid)(struct ctx *ctx, int32_t pid, int *err);
	struct net_ns *(*by_fd)(struct ctx *ctx, int32_t fd, int *err);
};
void netlink_ns_ops_register(const struct netlink_ns_ops *ops);

/* The lines of /proc/net/netlink; as unix_walk of net.h. */
struct netlink_walk {
	struct net_ns *net; /* borrowed */
	uint64_t after;     /* cookie of the last one shown */
};
#define NETLINK_WALK_MIN 128
size_t netlink_walk_next(struct netlink_walk *w, char *buf, size_t n);

#endif
