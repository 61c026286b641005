/* The counters of a namespace: mib.def. */
#ifndef SENTRY_NET_MIB_H
#define SENTRY_NET_MIB_H

#include <stdint.h>

#include "sentry/net/drop.h"

enum net_mib {
#define MIB(group, name) MIB_##group##_##name,
#include "sentry/net/mib.def"
#undef MIB
	NET_MIB_NR
};

struct net_mibs {
	uint64_t v[NET_MIB_NR];               /* atomic words */
	uint64_t icmp_in[256], icmp_out[256]; /* by type: IcmpMsg */
	uint64_t icmp6_in[256], icmp6_out[256];
	uint64_t drop[NET_DROP_NR]; /* drop.h */
};

/* The i-th from which on: those of a codepoint (RFC 3168) stand in its order. */
#define NET_ADD_AT(net, which, i, n)                                                               \
	((void)__atomic_add_fetch(&(net)->mib->v[MIB_##which + (i)], (uint64_t)(n),                \
		__ATOMIC_RELAXED))
#define NET_ADD(net, which, n) NET_ADD_AT(net, which, 0, n)
#define NET_INC(net, which) NET_ADD(net, which, 1)
#define NET_READ(net, which) READ_ONCE((net)->mib->v[MIB_##which])

#endif
