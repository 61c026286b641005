/* Making links that lead nowhere but into this sandbox: what their kinds have in common, and the
 * simplest of them, dummy (what is sent is gone). */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

#include "lib/random.h"
#include "sentry/net/link/link_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"

struct link *link_peer_get(struct link *const *at)
{
	struct link *l = __atomic_load_n(at, __ATOMIC_ACQUIRE);
	if (!l || !ref_get_unless_zero(&l->ref))
		return NULL;
	if (__atomic_load_n(at, __ATOMIC_ACQUIRE) == l)
		return l;
	link_put(l);
	return NULL;
}

/* A locally administered address (IEEE 802). */
void link_random_addr(struct link *l)
{
	random_bytes(l->addr, ETH_ALEN);
	l->addr[0] = (uint8_t)((l->addr[0] & 0xfe) | 2);
}

int link_new_of(enum link_kind kind, const uint8_t *addr, uint32_t mtu, struct link **out)
{
	if (addr && (addr[0] & 1 || !memcmp(addr, "\0\0\0\0\0\0", ETH_ALEN)))
		return -EADDRNOTAVAIL;
	struct link *l = link_new(kind, ARPHRD_ETHER);
	if (!l)
		return -ENOMEM;
	if (kind == LINK_DUMMY)
		l->min_mtu = 0;
	if (mtu && (mtu < l->min_mtu || mtu > l->max_mtu)) {
		link_put(l);
		return -EINVAL;
	}
	if (addr)
		memcpy(l->addr, addr, ETH_ALEN);
	else
		link_random_addr(l);
	l->addr_set = addr != NULL;
	if (mtu)
		l->mtu = mtu;
	l->mtu_set = mtu != 0;
	l->gso = l->csum = true; /* what is made here is finished where it leaves for the host */
	*out = l;
	return 0;
}

int link_register_as(struct net_ns *net, struct link *l, const char *name, int32_t index)
{
	char pattern[LINK_NAME_MAX];
	snprintf(pattern, sizeof(pattern), "%s%%d", link_ops(l)->name);
	int err = link_register(net, l, name && name[0] ? name : pattern, index);
	if (err)
		link_put(l);
	return err;
}

/* --- dummy --- */

static void dummy_xmit(struct link *l, struct pkt *p)
{
	(void)l;
	net_defer_free(p);
}

static const struct link_ops dummy_ops = {.name = "dummy", .xmit = dummy_xmit};

static int dummy_create(struct net_ns *net, const struct link_attrs *a, struct link **out)
{
	struct link *l;
	int err = link_new_of(LINK_DUMMY, a->addr, a->mtu, &l);
	if (err)
		return err;
	l->flags = IFF_BROADCAST | IFF_NOARP;
	*out = link_get(l);
	err = link_register_as(net, l, a->name, a->index);
	if (err)
		link_put(l);
	return err;
}

void dummy_init(void)
{
	link_ops_register(LINK_DUMMY, &dummy_ops);
}

/* --- by name --- */

static const struct {
	const char *kind;
	int (*create)(struct net_ns *net, const struct link_attrs *a, struct link **out);
} kinds[] = {
	{"veth", veth_create},
	{"bridge", bridge_create},
	{"dummy", dummy_create},
};

int link_create(struct net_ns *net, const struct link_attrs *a, struct link **out)
{
	struct link *l = NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kinds[i].kind, a->kind) != 0)
			continue;
		int err = kinds[i].create(net, a, &l);
		if (!err && out)
			*out = l;
		else if (!err)
			link_put(l);
		return err;
	}
	return -EOPNOTSUPP;
}

bool link_is_virtual(const struct link *l)
{
	return l->kind == LINK_VETH || l->kind == LINK_BRIDGE || l->kind == LINK_DUMMY;
}
