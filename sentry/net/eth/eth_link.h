/*
 * What eth/ keeps of each link: part of struct link, so that it is there as long as anybody has
 * the link.  The parameters are words that are read without a lock; the rest is guarded by
 * net->eth->lock (LOCK_NEIGH).
 */
#ifndef SENTRY_NET_ETH_ETH_LINK_H
#define SENTRY_NET_ETH_ETH_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "sentry/net/ipaddr.h"

/* net/ipv{4,6}/neigh/IF/NAME (ip-sysctl.rst): X(name, default of IPv4, of IPv6).  In the unit that
 * the name says; without one: seconds, of those in USER_HZ hundredths. */
#define NEIGH_PARM_LIST(X)                                                                         \
	X(mcast_solicit, 3, 3)                                                                     \
	X(ucast_solicit, 3, 3)                                                                     \
	X(app_solicit, 0, 0)                                                                       \
	X(mcast_resolicit, 0, 0)                                                                   \
	X(retrans_time_ms, 1000, 1000)                                                             \
	X(base_reachable_time_ms, 30000, 30000)                                                    \
	X(delay_first_probe_time, 5, 5)                                                            \
	X(gc_stale_time, 60, 60)                                                                   \
	X(unres_qlen_bytes, 212992, 212992)                                                        \
	X(proxy_qlen, 64, 64)                                                                      \
	X(anycast_delay, 100, 100) /* USER_HZ */                                                   \
	X(proxy_delay, 80, 80)     /* USER_HZ */                                                   \
	X(locktime, 100, 0)        /* USER_HZ */

enum neigh_parm {
#define X(name, def4, def6) NEIGH_PARM_##name,
	NEIGH_PARM_LIST(X)
#undef X
		NEIGH_PARM_NR
};

/* One router solicitation after the other (RFC 4861, 6.3.7). */
struct ndp_rs {
	bool on;
	uint32_t sent;
	int64_t next;     /* CLOCK_MONOTONIC, ns */
	int64_t interval; /* RFC 7559: doubles */
};

struct eth_link {
	int32_t parm[2][NEIGH_PARM_NR]; /* IPv4, IPv6; atomic */
	int64_t reachable[2];           /* random, RFC 4861 6.3.2; ns, atomic */
	uint8_t addr[8];                /* the link's, when last looked at */
	/* --- NDP --- */
	struct ndp_rs rs;
};

#endif
