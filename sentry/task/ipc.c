/* IPC namespaces: see ns.h. */
#include "sentry/core/arena.h"
#include "sentry/task/ns.h"

struct ipc_ns {
	struct ref ref;
	uint64_t id;
};

static SLAB_DEFINE(ipc_ns_slab, struct ipc_ns);

struct ipc_ns *ipc_ns_new(void)
{
	struct ipc_ns *ns = slab_alloc(&ipc_ns_slab);

	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	ns->id = ns_new_id();
	return ns;
}

struct ipc_ns *ipc_ns_get(struct ipc_ns *ns)
{
	ref_get(&ns->ref);
	return ns;
}

void ipc_ns_put(struct ipc_ns *ns)
{
	if (ns && ref_put(&ns->ref))
		slab_free(&ipc_ns_slab, ns);
}

uint64_t ipc_ns_id(const struct ipc_ns *ns)
{
	return ns->id;
}
