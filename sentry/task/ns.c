/* UTS namespaces: see ns.h. */
#include "sentry/task/ns.h"

#include <string.h>

#include "sentry/core/arena.h"

static SLAB_DEFINE(uts_ns_slab, struct uts_ns);

struct uts_ns *uts_ns_new(struct uts_ns *from)
{
	struct uts_ns *ns = slab_alloc(&uts_ns_slab);

	if (!ns)
		return NULL;
	ref_init(&ns->ref);
	mutex_init(&ns->lock, LOCK_CRED);
	ns->id = ns_new_id();
	if (from) {
		mutex_lock(&from->lock);
		memcpy(ns->nodename, from->nodename, sizeof(ns->nodename));
		memcpy(ns->domainname, from->domainname, sizeof(ns->domainname));
		mutex_unlock(&from->lock);
	} else {
		strcpy(ns->nodename, "localhost");
		strcpy(ns->domainname, "(none)");
	}
	return ns;
}

void uts_ns_put(struct uts_ns *ns)
{
	if (ns && ref_put(&ns->ref))
		slab_free(&uts_ns_slab, ns);
}
