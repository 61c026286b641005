/* See net_ns.h. */
#include "sentry/net/net_ns.h"

#include <string.h>
#include <sys/syscall.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/core/root.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/inet/inet.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/link/link.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/packet/packet.h"
#include "sentry/net/tcp/tcp.h"

static SLAB_DEFINE(net_ns_slab, struct net_ns);
static SLAB_DEFINE(net_mibs_slab, struct net_mibs);

struct net_globals {
	struct mutex cfg; /* LOCK_NETCFG */
};
static struct net_globals *globals RO_AFTER_INIT;
static void globals_init(void)
{
	mutex_init(&globals->cfg, LOCK_NETCFG);
}
KERNEL_UNIT("net", globals, globals_init);

void net_cfg_lock(void) NO_THREAD_SAFETY
{
	mutex_lock(&globals->cfg);
}

void net_cfg_unlock(void) NO_THREAD_SAFETY
{
	mutex_unlock(&globals->cfg);
}

/* --- tunables --- */

static const struct {
	const char *path;
	uint32_t off, n;
	int32_t min, max, def[3];
} ctls[] = {
#define CTL(member, path, def, min, max)                                                           \
	{path, offsetof(struct net_ctl, member), 1, min, max, {def}},
#define CTL_VEC(member, path, n, ...)                                                              \
	{path, offsetof(struct net_ctl, member), n, 0, INT32_MAX, {__VA_ARGS__}},
#include "sentry/net/sysctl.def"
#undef CTL
#undef CTL_VEC
};

static void set_defaults(struct net_ctl *c)
{
	for (size_t i = 0; i < ARRAY_LEN(ctls); i++)
		memcpy((char *)c + ctls[i].off, ctls[i].def, ctls[i].n * sizeof(int32_t));
	strcpy(c->tcp_congestion_control, "cubic");
}

int32_t *net_ctl_find(struct net_ns *net, const char *path, uint32_t *n, int32_t *min, int32_t *max)
{
	for (size_t i = 0; i < ARRAY_LEN(ctls); i++)
		if (!strcmp(ctls[i].path, path)) {
			*n = ctls[i].n;
			*min = ctls[i].min;
			*max = ctls[i].max;
			return (int32_t *)((char *)&net->ctl + ctls[i].off);
		}
	return NULL;
}

/* --- life --- */

/* In this order they are made, and freed the other way round: the links, of which the others hear
 * as they come and go, last and first. */
static const struct {
	int (*init)(struct net_ns *net);
	void (*fini)(struct net_ns *net);
} layers[] = {
	{netlink_ns_init, netlink_ns_fini}, /* hears of the others' changes */
	{packet_ns_init, packet_ns_fini},
	{ip_ns_init, ip_ns_fini},
	{eth_ns_init, eth_ns_fini},
	{link_ns_init, link_ns_fini},
	{inet_ns_init, inet_ns_fini},
	{tcp_ns_init, tcp_ns_fini},
};

static void free_layers(struct net_ns *ns, size_t n)
{
	while (n--)
		layers[n].fini(ns);
}

static void free_ns(struct net_ns *ns)
{
	if (ns->mib)
		slab_free(&net_mibs_slab, ns->mib);
	slab_free(&net_ns_slab, ns);
}

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
	set_defaults(&ns->ctl);
	ns->mib = slab_alloc(&net_mibs_slab);
	if (host_syscall3(SYS_getrandom, ns->secret, sizeof(ns->secret), 0) !=
		(long)sizeof(ns->secret))
		panic("getrandom failed");
	size_t i = 0;
	while (ns->mib && i < ARRAY_LEN(layers) && !layers[i].init(ns))
		i++;
	if (i == ARRAY_LEN(layers))
		return ns;
	free_layers(ns, i);
	free_ns(ns);
	return NULL;
}

void net_ns_put(struct net_ns *ns)
{
	if (!ns || !ref_put(&ns->ref))
		return;
	BUG_ON(!list_empty(&ns->unix_all) || ns->nr_sockets); /* they have references */
	free_layers(ns, ARRAY_LEN(layers));
	free_ns(ns);
}
