/* See net_ns.h. */
#include "sentry/net/net_ns.h"

#include <sys/socket.h>

#include "lib/log.h"
#include "sentry/core/arena.h"

#define UNIX_DGRAM_QLEN 10 /* Linux' net.unix.max_dgram_qlen of a new namespace */

static SLAB_DEFINE(net_ns_slab, struct net_ns);

struct net_ns *net_ns_new(uint64_t id)
{
	struct net_ns *ns = slab_alloc(&net_ns_slab);
	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	ns->id = id;
	list_init(&ns->unix_all);
	for (int i = 0; i < NET_UNIX_HASH; i++)
		list_init(&ns->unix_names[i]);
	ns->somaxconn = SOMAXCONN;
	ns->unix_dgram_qlen = UNIX_DGRAM_QLEN;
	return ns;
}

void net_ns_put(struct net_ns *ns)
{
	if (!ns || !ref_put(&ns->ref))
		return;
	BUG_ON(!list_empty(&ns->unix_all) || ns->nr_sockets); /* they have references */
	slab_free(&net_ns_slab, ns);
}
