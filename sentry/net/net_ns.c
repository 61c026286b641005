/* See net_ns.h. */
#include "sentry/net/net_ns.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "lib/backtrace.h"
#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/random.h"
#include "sentry/core/root.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/inet/inet.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/link/link.h"
#include "sentry/net/mem.h"
#include "sentry/net/netlink/netlink.h"
#include "sentry/net/packet/packet.h"
#include "sentry/net/tcp/tcp.h"

static SLAB_SHARE(net_ns_slab, struct net_ns, 512);
static SLAB_DEFINE(net_mibs_slab, struct net_mibs);

struct net_globals {
	struct mutex cfg;     /* LOCK_NETCFG */
	uint32_t count;       /* atomic: namespaces */
	struct net_ns *first; /* atomic; its memory stays of this type */
	struct net_ns *dead;  /* atomic: a stack by next_dead, for the thread */
	uint32_t dead_seq;    /* futex: there is something on it */
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

const char *net_drop_name(enum net_drop why)
{
	static const char *const names[] = {
#define X(reason, name) name,
		NET_DROP_LIST(X)
#undef X
	};
	return names[why];
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
	net_mem_defaults(c);
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

/* The thread that ends namespaces; see tests/globals.list. */
static bool reaper_runs; /* atomic */

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
	waitq_fini(&ns->listenq);
	slab_free(&net_ns_slab, ns);
	__atomic_sub_fetch(&globals->count, 1, __ATOMIC_RELAXED);
}

/* Everything that was in it goes, in order. */
static void end_ns(struct net_ns *ns)
{
	BUG_ON(!list_empty(&ns->unix_all) || ns->nr_sockets); /* they have references */
	net_cfg_lock();
	free_layers(ns, ARRAY_LEN(layers));
	net_cfg_unlock();
	free_ns(ns);
	net_run();
}

static void *reaper_main(void *arg)
{
	backtrace_thread_init();
	for (;;) {
		uint32_t seq = __atomic_load_n(&globals->dead_seq, __ATOMIC_ACQUIRE);
		struct net_ns *ns = __atomic_exchange_n(&globals->dead, NULL, __ATOMIC_ACQ_REL);
		if (!ns)
			host_futex(&globals->dead_seq, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, seq, NULL,
				NULL, 0);
		while (ns) {
			struct net_ns *next = ns->next_dead;
			end_ns(ns);
			ns = next;
		}
	}
	return NULL;
}

/* Without it, namespaces are ended by who drops the last reference. */
static void start_reaper(void)
{
	pthread_t thread;
	sigset_t all, old;
	if (__atomic_exchange_n(&reaper_runs, true, __ATOMIC_ACQ_REL))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, reaper_main, NULL))
		WRITE_ONCE(reaper_runs, false);
	else
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static bool count_one(void)
{
	uint32_t n = __atomic_add_fetch(&globals->count, 1, __ATOMIC_RELAXED);
	if (n > NET_NS_MAX) {
		__atomic_sub_fetch(&globals->count, 1, __ATOMIC_RELAXED);
		return false;
	}
	if (n > 1)
		start_reaper();
	return true;
}

struct net_ns *net_ns_first(void)
{
	struct net_ns *ns = __atomic_load_n(&globals->first, __ATOMIC_ACQUIRE);
	return ns && ref_get_unless_zero(&ns->ref) ? ns : NULL;
}

struct net_ns *net_ns_new(uint64_t id)
{
	struct net_ns *ns, *none = NULL;
	if (!count_one())
		return NULL;
	ns = slab_alloc(&net_ns_slab);
	if (!ns) {
		__atomic_sub_fetch(&globals->count, 1, __ATOMIC_RELAXED);
		return NULL;
	}
	ref_init(&ns->ref);
	ns->id = id;
	waitq_init(&ns->listenq);
	list_init(&ns->unix_all);
	for (int i = 0; i < NET_UNIX_HASH; i++)
		list_init(&ns->unix_names[i]);
	set_defaults(&ns->ctl);
	ns->mib = slab_alloc(&net_mibs_slab);
	random_bytes(ns->secret, sizeof(ns->secret));
	size_t i = 0;
	while (ns->mib && i < ARRAY_LEN(layers) && !layers[i].init(ns))
		i++;
	if (i == ARRAY_LEN(layers)) {
		__atomic_compare_exchange_n(&globals->first, &none, ns, false, __ATOMIC_ACQ_REL,
			__ATOMIC_RELAXED);
		return ns;
	}
	free_layers(ns, i);
	free_ns(ns);
	return NULL;
}

void net_ns_put(struct net_ns *ns)
{
	if (!ns || !ref_put(&ns->ref))
		return;
	struct net_ns *self = ns;
	__atomic_compare_exchange_n(&globals->first, &self, NULL, false, __ATOMIC_ACQ_REL,
		__ATOMIC_RELAXED);
	if (!READ_ONCE(reaper_runs)) {
		end_ns(ns);
		return;
	}
	ns->next_dead = __atomic_load_n(&globals->dead, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&globals->dead, &ns->next_dead, ns, true,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	__atomic_add_fetch(&globals->dead_seq, 1, __ATOMIC_RELEASE);
	host_futex(&globals->dead_seq, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}
