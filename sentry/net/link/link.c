/* The links of a namespace: names, flags, changes.  See link.h. */
#include "sentry/net/link/link.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <stdio.h>

#include "lib/log.h"
#include "lib/ro_after_init.h"
#include "sentry/core/arena.h"
#include "sentry/net/event.h"
#include "sentry/net/link/fdlink.h"
#include "sentry/net/link/link_priv.h"
#include "sentry/net/link/pcap.h"
#include "sentry/net/net_ns.h"

static SLAB_SHARE(link_slab, struct link, 64);
static SLAB_SHARE(mc_slab, struct link_mc, 256);

static const struct link_ops *ops_of[LINK_KIND_NR] RO_AFTER_INIT;

static link_ip_new_fn *ip_new RO_AFTER_INIT;
static void (*ip_free)(struct ip_link *ip) RO_AFTER_INIT;

void link_ip_register(link_ip_new_fn *new_ip, void (*free_ip)(struct ip_link *ip))
{
	ip_new = new_ip;
	ip_free = free_ip;
}

void link_ops_register(enum link_kind kind, const struct link_ops *ops)
{
	BUG_ON(kind >= LINK_KIND_NR);
	ops_of[kind] = ops;
}

const struct link_ops *link_ops(const struct link *l)
{
	BUG_ON(l->kind >= LINK_KIND_NR || !ops_of[l->kind]);
	return ops_of[l->kind];
}

struct link *link_new(enum link_kind kind, uint16_t hatype)
{
	struct link *l = slab_alloc(&link_slab);
	if (!l)
		return NULL;
	ref_init(&l->ref);
	l->kind = (uint8_t)kind;
	l->hatype = hatype;
	list_init(&l->node);
	list_init(&l->taps);
	list_init(&l->hw_mc);
	list_init(&l->port_node);
	l->mtu = 1500;
	l->min_mtu = LINK_ETH_MTU_MIN;
	l->max_mtu = 65535;
	l->txqlen = 1000;
	if (hatype == ARPHRD_ETHER) {
		l->addr_len = 6;
		memset(l->broadcast, 0xff, 6);
		l->flags = IFF_BROADCAST | IFF_MULTICAST;
	}
	return l;
}

void link_put(struct link *l)
{
	struct link_mc *m, *tmp;
	if (!l || !ref_put(&l->ref))
		return;
	BUG_ON(!list_empty(&l->taps));
	if (l->ip)
		ip_free(l->ip);
	if (link_ops(l)->destroy)
		link_ops(l)->destroy(l);
	list_for_each_safe(m, tmp, &l->hw_mc, node)
		slab_free(&mc_slab, m);
	slab_free(&link_slab, l);
}

struct net_ns *link_net_get(struct link *l)
{
	struct net_ns *net = __atomic_load_n(&l->net, __ATOMIC_ACQUIRE);
	/* A namespace takes its links out before its memory goes, and memory of that type stays of
	 * that type: a count that can be raised is that of a living one. */
	while (net) {
		if (!ref_get_unless_zero(&net->ref))
			return NULL;
		/* A link whose namespace went is gone, and was before another could have that
		 * memory: so this is asked with the reference. */
		if (__atomic_load_n(&l->gone, __ATOMIC_ACQUIRE)) {
			net_ns_put(net);
			return NULL;
		}
		struct net_ns *now = __atomic_load_n(&l->net, __ATOMIC_ACQUIRE);
		if (now == net)
			return net;
		net_ns_put(net);
		net = now;
	}
	return NULL;
}

/* --- finding --- */

static struct link *find_index(struct net_ns *net, int32_t index) REQUIRES(net->link_lock)
{
	struct link *l;
	list_for_each(l, &net->links, node)
		if (l->index == index)
			return l;
	return NULL;
}

static struct link *find_name(struct net_ns *net, const char *name) REQUIRES(net->link_lock)
{
	struct link *l;
	list_for_each(l, &net->links, node)
		if (!strncmp(l->name, name, LINK_NAME_MAX))
			return l;
	return NULL;
}

struct link *link_by_index(struct net_ns *net, int32_t index)
{
	MUTEX_GUARD(&net->link_lock);
	struct link *l = find_index(net, index);
	return l ? link_get(l) : NULL;
}

struct link *link_by_name(struct net_ns *net, const char *name)
{
	MUTEX_GUARD(&net->link_lock);
	struct link *l = find_name(net, name);
	return l ? link_get(l) : NULL;
}

struct link *link_next(struct net_ns *net, int32_t after)
{
	struct link *l;
	MUTEX_GUARD(&net->link_lock);
	list_for_each(l, &net->links, node)
		if (l->index > after)
			return link_get(l);
	return NULL;
}

/* --- names --- */

/* Linux' dev_valid_name. */
static bool name_is_valid(const char *name)
{
	size_t n = strnlen(name, LINK_NAME_MAX);
	if (n == 0 || n == LINK_NAME_MAX || !strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || *name == ' ' ||
			(*name >= '\t' && *name <= '\r'))
			return false;
	return true;
}

/* The first number that makes a name of a pattern with one %d. */
static int number_name(struct net_ns *net, const char *pattern, char *out) REQUIRES(net->link_lock)
{
	const char *at = strchr(pattern, '%');
	if (at[1] != 'd' || strchr(at + 2, '%'))
		return -EINVAL;
	for (unsigned int i = 0; i < 32768; i++) {
		int n = snprintf(out, LINK_NAME_MAX, "%.*s%u%s", (int)(at - pattern), pattern, i,
			at + 2);
		if (n >= LINK_NAME_MAX)
			return -EINVAL;
		if (!find_name(net, out))
			return 0;
	}
	return -ENFILE;
}

static int choose_name(struct net_ns *net, const char *name, char *out) REQUIRES(net->link_lock)
{
	if (!name_is_valid(name))
		return -EINVAL;
	if (strchr(name, '%'))
		return number_name(net, name, out);
	if (find_name(net, name))
		return -EEXIST;
	memset(out, 0, LINK_NAME_MAX);
	strcpy(out, name);
	return 0;
}

/* --- in and out of a namespace --- */

static void insert(struct net_ns *net, struct link *l) REQUIRES(net->link_lock)
{
	struct link *at;
	list_for_each(at, &net->links, node)
		if (at->index > l->index)
			break;
	/* Without one that is higher the loop ends at the list's head. */
	list_insert_before(&at->node, &l->node);
	net->nr_links++;
}

static int choose_index(struct net_ns *net, int32_t index, int32_t *out) REQUIRES(net->link_lock)
{
	if (index < 0)
		return -EINVAL;
	if (index) {
		*out = index;
		return find_index(net, index) ? -EBUSY : 0;
	}
	do
		net->last_index = net->last_index == INT32_MAX ? 1 : net->last_index + 1;
	while (find_index(net, net->last_index));
	*out = net->last_index;
	return 0;
}

int link_register(struct net_ns *net, struct link *l, const char *name, int32_t index)
{
	char full[LINK_NAME_MAX] = "";
	if (ip_new && !l->ip)
		l->ip = ip_new(net, l);
	if (ip_new && !l->ip)
		return -ENOMEM;
	mutex_lock(&net->link_lock);
	int err = net->nr_links < LINKS_MAX ? choose_name(net, name, full) : -ENOBUFS;
	if (!err)
		err = choose_index(net, index, &l->index);
	if (!err) {
		memcpy(l->name, full, LINK_NAME_MAX);
		__atomic_store_n(&l->net, net, __ATOMIC_RELEASE);
		insert(net, l);
	}
	mutex_unlock(&net->link_lock);
	if (!err) {
		link_set_tappable(l, true);
		net_event_send(net, NET_LINK_NEW, l);
	}
	return err;
}

static void take_out(struct net_ns *net, struct link *l)
{
	link_set_flags(l, 0, IFF_UP);
	mutex_lock(&net->link_lock);
	list_del(&l->node);
	net->nr_links--;
	mutex_unlock(&net->link_lock);
	link_set_tappable(l, false);
	net_event_send(net, NET_LINK_DEL, l);
}

void link_unregister(struct link *l)
{
	struct net_ns *net = l->net;
	take_out(net, l);
	__atomic_store_n(&l->gone, true, __ATOMIC_RELEASE);
	if (link_ops(l)->gone)
		link_ops(l)->gone(l);
	link_put(l);
}

int link_move(struct link *l, struct net_ns *to, const char *name)
{
	struct net_ns *from = l->net;
	char full[LINK_NAME_MAX] = "";
	if (from == to)
		return 0;
	if (l->kind == LINK_LOOPBACK || l->kind == LINK_BRIDGE)
		return -EINVAL;
	mutex_lock(&to->link_lock);
	int err = to->nr_links < LINKS_MAX ? choose_name(to, l->name, full) : -ENOBUFS;
	if (err == -EEXIST)
		err = choose_name(to, name ? name : "dev%d", full);
	mutex_unlock(&to->link_lock);
	if (err)
		return err;
	take_out(from, l);
	/* net_cfg_lock: nobody has taken the name meanwhile. */
	mutex_lock(&to->link_lock);
	memcpy(l->name, full, LINK_NAME_MAX);
	if (choose_index(to, l->index, &l->index))
		choose_index(to, 0, &l->index);
	__atomic_store_n(&l->net, to, __ATOMIC_RELEASE);
	insert(to, l);
	mutex_unlock(&to->link_lock);
	link_set_tappable(l, true);
	net_event_send(to, NET_LINK_NEW, l);
	return 0;
}

/* --- changes --- */

#define FLAGS_SETTABLE                                                                             \
	(IFF_UP | IFF_DEBUG | IFF_NOTRAILERS | IFF_NOARP | IFF_DYNAMIC | IFF_MULTICAST |           \
		IFF_PORTSEL | IFF_AUTOMEDIA | IFF_PROMISC | IFF_ALLMULTI)
#define RUNNING (IFF_RUNNING | (1u << 16)) /* and IFF_LOWER_UP */

static int set_up(struct link *l, bool up)
{
	const struct link_ops *ops = link_ops(l);
	if (up) {
		int err = ops->up ? ops->up(l) : 0;
		if (err)
			return err;
		uint32_t running = READ_ONCE(l->no_carrier) ? 0 : RUNNING;
		__atomic_or_fetch(&l->flags, IFF_UP | running, __ATOMIC_ACQ_REL);
		net_event_send(l->net, NET_LINK_UP, l);
	} else {
		__atomic_and_fetch(&l->flags, ~(IFF_UP | RUNNING), __ATOMIC_ACQ_REL);
		if (ops->down)
			ops->down(l);
		net_event_send(l->net, NET_LINK_DOWN, l);
	}
	return 0;
}

int link_set_flags(struct link *l, uint32_t flags, uint32_t mask)
{
	uint32_t counted = IFF_PROMISC | IFF_ALLMULTI;
	uint32_t old = READ_ONCE(l->flags) & ~counted;
	uint32_t differs = ((old | READ_ONCE(l->gflags)) ^ flags) & mask & FLAGS_SETTABLE;
	uint32_t plain = differs & ~(uint32_t)IFF_UP & ~counted;
	int err = 0;
	__atomic_xor_fetch(&l->flags, plain, __ATOMIC_ACQ_REL);
	if (differs & IFF_UP)
		err = set_up(l, flags & IFF_UP);
	__atomic_xor_fetch(&l->gflags, differs & counted, __ATOMIC_ACQ_REL);
	if (differs & IFF_PROMISC)
		link_promiscuity(l, flags & IFF_PROMISC ? 1 : -1);
	if (differs & IFF_ALLMULTI)
		link_allmulti(l, flags & IFF_ALLMULTI ? 1 : -1);
	if (differs & ~(uint32_t)IFF_UP)
		net_event_send(l->net, NET_LINK_CHANGE, l);
	return err;
}

uint32_t link_flags(const struct link *l)
{
	uint32_t flags = READ_ONCE(l->flags) & ~(uint32_t)(IFF_PROMISC | IFF_ALLMULTI);
	return flags | READ_ONCE(l->gflags);
}

void link_set_carrier(struct link *l, bool on)
{
	if (READ_ONCE(l->no_carrier) == !on)
		return;
	WRITE_ONCE(l->no_carrier, !on);
	if (!link_is_up(l))
		return;
	if (on)
		__atomic_or_fetch(&l->flags, RUNNING, __ATOMIC_ACQ_REL);
	else
		__atomic_and_fetch(&l->flags, ~RUNNING, __ATOMIC_ACQ_REL);
	net_event_send(l->net, NET_LINK_CHANGE, l);
}

static void changed(struct link *l)
{
	if (link_ops(l)->changed)
		link_ops(l)->changed(l);
	net_event_send(l->net, NET_LINK_CHANGE, l);
}

int link_set_mtu(struct link *l, uint32_t mtu)
{
	if (mtu == READ_ONCE(l->mtu))
		return 0;
	if (mtu < l->min_mtu || mtu > l->max_mtu)
		return -EINVAL;
	WRITE_ONCE(l->mtu, mtu);
	l->mtu_set = true;
	changed(l);
	return 0;
}

int link_set_addr(struct link *l, const uint8_t *addr, uint8_t len)
{
	if (l->hatype != ARPHRD_ETHER && l->hatype != ARPHRD_LOOPBACK)
		return -EOPNOTSUPP;
	if (len < l->addr_len)
		return -EINVAL;
	if ((addr[0] & 1) || !memcmp(addr, "\0\0\0\0\0\0", 6))
		return -EADDRNOTAVAIL;
	mutex_lock(&l->net->link_lock);
	memcpy(l->addr, addr, l->addr_len);
	l->addr_set = true;
	mutex_unlock(&l->net->link_lock);
	changed(l);
	return 0;
}

int link_set_name(struct link *l, const char *name)
{
	char full[LINK_NAME_MAX] = "";
	struct net_ns *net = l->net;
	if (!strncmp(l->name, name, LINK_NAME_MAX))
		return 0;
	mutex_lock(&net->link_lock);
	int err = choose_name(net, name, full);
	if (!err)
		memcpy(l->name, full, LINK_NAME_MAX);
	mutex_unlock(&net->link_lock);
	if (!err)
		net_event_send(net, NET_LINK_CHANGE, l);
	return err;
}

/* A counted flag: it is on while the count is not 0. */
static void count_flag(struct link *l, uint32_t *count, int delta, uint32_t flag)
{
	uint32_t now = __atomic_add_fetch(count, (uint32_t)delta, __ATOMIC_ACQ_REL);
	uint32_t old = READ_ONCE(l->flags);
	if (!now == !(old & flag))
		return;
	__atomic_xor_fetch(&l->flags, flag, __ATOMIC_ACQ_REL);
	changed(l);
}

void link_promiscuity(struct link *l, int delta)
{
	count_flag(l, &l->promiscuity, delta, IFF_PROMISC);
}

void link_allmulti(struct link *l, int delta)
{
	count_flag(l, &l->allmulti, delta, IFF_ALLMULTI);
}

static struct link_mc *find_mc(struct link *l, const uint8_t *addr)
{
	struct link_mc *m;
	list_for_each(m, &l->hw_mc, node)
		if (!memcmp(m->addr, addr, l->addr_len))
			return m;
	return NULL;
}

int link_mc_join(struct link *l, const uint8_t *addr)
{
	struct net_ns *net = link_net_get(l);
	if (!net)
		return -ENODEV;
	mutex_lock(&net->link_lock);
	struct link_mc *m = find_mc(l, addr);
	if (!m && (m = slab_alloc(&mc_slab))) {
		memcpy(m->addr, addr, l->addr_len);
		list_push_back(&l->hw_mc, &m->node);
	}
	if (m)
		m->users++;
	mutex_unlock(&net->link_lock);
	net_ns_put(net);
	return m ? 0 : -ENOMEM;
}

/* Of a link that is gone, link_put frees them. */
void link_mc_leave(struct link *l, const uint8_t *addr)
{
	struct net_ns *net = link_net_get(l);
	if (!net)
		return;
	mutex_lock(&net->link_lock);
	struct link_mc *m = find_mc(l, addr);
	if (m && --m->users == 0) {
		list_del(&m->node);
		slab_free(&mc_slab, m);
	}
	mutex_unlock(&net->link_lock);
	net_ns_put(net);
}

/* RFC 2863's, as linkwatch of Linux keeps it. */
uint8_t link_operstate(const struct link *l)
{
	if (!link_is_up(l))
		return IF_OPER_DOWN;
	if (l->kind == LINK_LOOPBACK || l->kind == LINK_DUMMY)
		return IF_OPER_UNKNOWN; /* never has an event of its carrier */
	if (READ_ONCE(l->no_carrier))
		return l->kind == LINK_VETH ? IF_OPER_LOWERLAYERDOWN : IF_OPER_DOWN;
	return IF_OPER_UP;
}

bool link_mc_get(struct link *l, uint32_t n, uint8_t addr[LINK_ADDR_MAX], uint32_t *users)
{
	struct net_ns *net = link_net_get(l);
	struct link_mc *m;
	bool found = false;
	if (!net)
		return false;
	mutex_lock(&net->link_lock);
	list_for_each(m, &l->hw_mc, node)
		if (n-- == 0) {
			memcpy(addr, m->addr, LINK_ADDR_MAX);
			*users = m->users;
			found = true;
			break;
		}
	mutex_unlock(&net->link_lock);
	net_ns_put(net);
	return found;
}

/* --- namespaces --- */

int link_ns_init(struct net_ns *net)
{
	mutex_init(&net->link_lock, LOCK_LINK);
	list_init(&net->links);
	list_init(&net->taps);
	pcap_ns_init(net);
	return loopback_create(net);
}

void link_ns_fini(struct net_ns *net)
{
	struct link *l;
	struct net_ns *first = net_ns_first();
	while ((l = link_next(net, 0))) {
		/* What is on the host goes back to where such links came to the sandbox. */
		if (l->kind != LINK_FD || !first || link_move(l, first, "dev%d"))
			link_unregister(l);
		link_put(l);
	}
	net_ns_put(first);
	pcap_ns_fini(net);
	BUG_ON(!list_empty(&net->taps));
}

void link_init(void)
{
	loopback_init();
	veth_init();
	bridge_init();
	dummy_init();
	pcap_init();
	fdlink_init();
}
