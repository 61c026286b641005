/*
 * Network namespaces (network_namespaces(7)): what sockets find by name, and what
 * is counted and tuned apart for each.  What Linux has once for all of them (peers,
 * files in flight, sockets bound in the file system) is not here.
 *
 * References: one of each task in it, of the container it was made for, of each
 * /proc/PID/ns/net that is open, and of each socket made in it; a socket stays
 * where it was made, wherever its owner goes.  The namespace holds none.
 *
 * There is one a container: CLONE_NEWNET is refused (docs/CAVEATS.md).
 */
#ifndef SENTRY_NET_NET_NS_H
#define SENTRY_NET_NET_NS_H

#include <stdint.h>

#include "lib/list.h"
#include "lib/ref.h"

#define NET_UNIX_HASH 64

struct net_ns {
	struct ref ref;
	uint64_t id;
	uint32_t nr_sockets; /* atomic: those that have a file */
	uint32_t somaxconn;  /* atomic: net.core.somaxconn */

	/* AF_UNIX; under the lock of sentry/net/unix (LOCK_NET) */
	struct list_node unix_all;                  /* unix_sock.all_node, oldest first */
	uint32_t unix_count;                        /* length of unix_all */
	struct list_node unix_names[NET_UNIX_HASH]; /* abstract ones: unix_sock.name_node */
	uint32_t unix_next_auto;                    /* atomic: autobind's counter */
	uint32_t unix_dgram_qlen;                   /* atomic: net.unix.max_dgram_qlen */
};

/* id: the inode of /proc/PID/ns/net.  NULL: out of memory. */
struct net_ns *net_ns_new(uint64_t id);
static inline struct net_ns *net_ns_get(struct net_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}
void net_ns_put(struct net_ns *ns); /* NULL-safe */

#endif
