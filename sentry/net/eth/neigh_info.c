/* Neighbours as an administrator sees and sets them: ip-neighbour(8), rtnetlink(7). */
#include <errno.h>
#include <linux/rtnetlink.h>

#include "sentry/core/arena.h"
#include "sentry/net/eth/eth_priv.h"

static SLAB_SHARE(proxy_slab, struct neigh_proxy, 256);

#define USER_TICK 10000000 /* ns of USER_HZ */

static uint32_t ticks(int64_t now, int64_t then)
{
	return now > then ? (uint32_t)((now - then) / USER_TICK) : 0;
}

static void fill(const struct neigh *n, struct neigh_info *out)
{
	uint64_t addr = __atomic_load_n(&n->addr, __ATOMIC_ACQUIRE);
	int64_t now = time_monotonic();
	*out = (struct neigh_info){.family = n->family,
		.addr_len = n->link->addr_len,
		.flags = n->flags,
		.type = n->type,
		.state = READ_ONCE(n->state),
		.index = n->link->index,
		.dst = n->dst,
		.probes = n->probes,
		.refs = ref_count(&n->ref) - 1,
		.confirmed = ticks(now, READ_ONCE(n->confirmed)),
		.used = ticks(now, READ_ONCE(n->used)),
		.updated = ticks(now, n->updated)};
	memcpy(out->addr, &addr, sizeof(addr));
}

void neigh_info(struct neigh *n, struct neigh_info *out)
{
	fill(n, out);
}

/* Entries are numbered as they are met: bits 63 family, below it the place in the list. */
bool neigh_walk_next(struct net_ns *net, struct neigh_walk *w, struct neigh_info *out)
{
	struct eth_net *e = net->eth;
	uint64_t at = 0;
	struct neigh *n;
	struct neigh_proxy *x;
	MUTEX_GUARD(&e->lock);
	for (unsigned int fam = 0; fam < 2; fam++) {
		if (w->family && w->family != (fam ? AF_INET6 : AF_INET))
			continue;
		list_for_each(n, &e->all[fam], all) {
			if (at++ < w->at || n->state == NUD_NONE)
				continue;
			w->at = at;
			fill(n, out);
			return true;
		}
	}
	list_for_each(x, &e->proxies, node) {
		if (at++ < w->at || (w->family && w->family != x->family))
			continue;
		w->at = at;
		*out = (struct neigh_info){.family = x->family,
			.flags = NTF_PROXY | x->flags,
			.type = RTN_UNICAST,
			.state = NUD_NONE,
			.index = x->index,
			.dst = x->dst};
		return true;
	}
	return false;
}

/* --- proxies --- */

static struct neigh_proxy *find_proxy(struct eth_net *e, const struct ip_addr *a, int32_t index)
	REQUIRES(e->lock)
{
	struct neigh_proxy *x;
	list_for_each(x, &e->proxies, node)
		if (x->index == index && ip_eq(&x->dst, a))
			return x;
	return NULL;
}

bool neigh_is_proxy(struct net_ns *net, const struct ip_addr *a, int32_t index)
{
	MUTEX_GUARD(&net->eth->lock);
	return find_proxy(net->eth, a, index) || find_proxy(net->eth, a, 0);
}

static int set_proxy(struct net_ns *net, const struct neigh_info *i)
{
	struct eth_net *e = net->eth;
	MUTEX_GUARD(&e->lock);
	struct neigh_proxy *x = find_proxy(e, &i->dst, i->index);
	if (!x) {
		x = e->nproxies < NEIGH_PROXY_MAX ? slab_alloc(&proxy_slab) : NULL;
		if (!x)
			return -ENOBUFS;
		x->dst = i->dst;
		x->index = i->index;
		x->family = i->family;
		list_push_back(&e->proxies, &x->node);
		e->nproxies++;
	}
	x->flags = i->flags & (uint8_t)~NTF_PROXY;
	return 0;
}

static int del_proxy(struct net_ns *net, const struct neigh_info *i)
{
	struct eth_net *e = net->eth;
	MUTEX_GUARD(&e->lock);
	struct neigh_proxy *x = find_proxy(e, &i->dst, i->index);
	if (!x)
		return -ENOENT;
	list_del(&x->node);
	e->nproxies--;
	slab_free(&proxy_slab, x);
	return 0;
}

void neigh_proxies_drop(struct eth_net *e, int32_t index)
{
	struct neigh_proxy *x, *tmp;
	MUTEX_GUARD(&e->lock);
	list_for_each_safe(x, tmp, &e->proxies, node) {
		if (index && x->index != index)
			continue;
		list_del(&x->node);
		e->nproxies--;
		slab_free(&proxy_slab, x);
	}
}

/* --- changes --- */

/* Linux' neigh_add. */
static int set_on(struct net_ns *net, struct link *l, const struct neigh_info *i, uint32_t nlflags)
{
	const uint8_t *addr = i->addr_len ? i->addr : NULL;
	uint32_t flags = NEIGH_ADMIN | NEIGH_OVERRIDE | NEIGH_OVERRIDE_ISROUTER;
	uint16_t state = i->state;
	if (l->addr_len && addr && i->addr_len < l->addr_len)
		return -EINVAL;
	struct neigh *n = neigh_find(net, l, &i->dst);
	if (!n) {
		if (!(nlflags & NLM_F_CREATE))
			return -ENOENT;
		if (state & NUD_PERMANENT && !neigh_may_be_permanent(net, i->family))
			return -ENOBUFS;
		n = neigh_get_or_new(net, l, &i->dst);
		if (!n)
			return -ENOBUFS;
	} else {
		if (nlflags & NLM_F_EXCL) {
			neigh_put(n);
			return -EEXIST;
		}
		if (!(nlflags & NLM_F_REPLACE))
			flags &= ~(NEIGH_OVERRIDE | NEIGH_OVERRIDE_ISROUTER);
	}
	if (i->flags & NTF_ROUTER)
		flags |= NEIGH_ISROUTER;
	int err;
	if (i->flags & NTF_USE) {
		neigh_use(net, n);
		err = 0;
	} else {
		err = neigh_update(net, n, addr, state, flags);
	}
	neigh_put(n);
	return err;
}

int neigh_set(struct net_ns *net, const struct neigh_info *i, uint32_t nlflags)
{
	if (i->flags & NTF_PROXY)
		return set_proxy(net, i);
	struct link *l = link_by_index(net, i->index);
	if (!l)
		return i->index ? -ENODEV : -EINVAL;
	int err = set_on(net, l, i, nlflags);
	link_put(l);
	return err;
}

int neigh_del(struct net_ns *net, const struct neigh_info *i)
{
	if (i->flags & NTF_PROXY)
		return del_proxy(net, i);
	struct link *l = link_by_index(net, i->index);
	if (!l)
		return i->index ? -ENODEV : -EINVAL;
	struct neigh *n = neigh_find(net, l, &i->dst);
	int err =
		n ? neigh_update(net, n, NULL, NUD_FAILED, NEIGH_OVERRIDE | NEIGH_ADMIN) : -ENOENT;
	if (n)
		neigh_remove_unused(net, n);
	link_put(l);
	return err;
}
