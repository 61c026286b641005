/* Private to sentry/net/netlink: the parts of sock_diag(7). */
#ifndef SENTRY_NET_NETLINK_DIAG_PRIV_H
#define SENTRY_NET_NETLINK_DIAG_PRIV_H

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include "sentry/net/netlink/nl_priv.h"

/* struct tcp_diag's twin for all kinds of inet sockets. */
struct inet_entry {
	struct ip_addr local, remote;
	uint16_t lport, rport;
	uint8_t family, state;
	int32_t index;
	uint32_t mark;
};

/* Is the bytecode well formed (inet_diag_bc_audit)? */
bool diag_bc_ok(const void *bc, uint32_t len);
/* Does the entry fit?  Of any bytecode, which it reads within its bounds. */
bool diag_bc_run(const void *bc, uint32_t len, const struct inet_entry *e);

/* --- diag_inet.c --- */
/* Before a dump: is its filter well formed? */
int diag_inet_check(struct nl_req *rq);
int diag_inet_one(struct nl_req *rq, bool destroy);
/* SO_MEMINFO's words of a socket. */
void diag_put_skmeminfo(struct nlb *b, uint16_t type, const struct socket *s, uint32_t rmem,
	uint32_t drops);
void diag_inet_init(void);
/* --- diag_unix.c, diag_netlink.c --- */
int diag_unix_one(struct nl_req *rq);
void diag_unix_init(void);
void diag_netlink_init(void);

#endif
