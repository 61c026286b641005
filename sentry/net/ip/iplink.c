/*
 * What the IP layers keep of a link: its settings (/proc/sys/net/ipv4/conf, ipv6/conf), and what
 * happens when it comes, goes, or is switched up or down (Linux' inetdev_event and
 * addrconf_notify).
 */
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_DEFINE(ip_link_slab, struct ip_link);

static const int32_t defaults[] = {
#define X(v, name, def) def,
	IP_CONF_LIST(X)
#undef X
};

static const bool is_v6[] = {
#define X(v, name, def) (v) == 6,
	IP_CONF_LIST(X)
#undef X
};
_Static_assert(IP_CONF_NR <= 64, "struct ip_link.chosen");

struct ip_link *ip_link_find(struct ip_net *ipn, int32_t index)
{
	struct ip_link *il;
	list_for_each(il, &ipn->links, node)
		if (il->link->index >= index)
			return il->link->index == index ? il : NULL;
	return NULL;
}

/* --- settings --- */

void ip_conf_init_ns(struct ip_net *ipn)
{
	memcpy(ipn->conf[0], defaults, sizeof(defaults));
	memcpy(ipn->conf[1], defaults, sizeof(defaults));
	ipn->conf[0][IP_CONF_6_accept_dad] = 0;
}

int32_t ip_conf_get(struct net_ns *net, struct link *l, enum ip_conf_of of, enum ip_conf which)
{
	if (of == IP_CONF_LINK)
		return ip_link_conf(l, which);
	return READ_ONCE(net->ip->conf[of == IP_CONF_DEFAULT][which]);
}

static void set_word(int32_t *word, int32_t v)
{
	WRITE_ONCE(*word, v);
}

/* Default, and all links, become v. */
static void set_everywhere(struct net_ns *net, enum ip_conf which, int32_t v)
{
	struct ip_link *il;
	set_word(&net->ip->conf[1][which], v);
	MUTEX_GUARD(&net->ip->lock);
	list_for_each(il, &net->ip->links, node)
		set_word(&il->conf[which], v);
}

/* IPv4: what "default" becomes goes for all links of which nobody has said it
 * (devinet_copy_dflt_conf). */
static void set_undecided(struct net_ns *net, enum ip_conf which, int32_t v)
{
	struct ip_link *il;
	MUTEX_GUARD(&net->ip->lock);
	list_for_each(il, &net->ip->links, node)
		if (!(il->chosen & 1ul << which))
			set_word(&il->conf[which], v);
}

static void disable6(struct net_ns *net, struct link *l)
{
	bool off = ip_link_conf(l, IP_CONF_6_disable_ipv6);
	if (off)
		ip_addr_flush6(net, l);
	else if (link_is_up(l))
		ip_addr_link_up6(net, l);
}

/* The links of which a setting changed, one after the other. */
static void for_links(struct net_ns *net, struct link *only,
	void (*fn)(struct net_ns *net, struct link *l))
{
	struct link *l = NULL, *next;
	if (only) {
		fn(net, only);
		return;
	}
	for (int32_t at = 0; (next = link_next(net, at)); l = next) {
		link_put(l);
		at = next->index;
		fn(net, next);
	}
	link_put(l);
}

void ip_conf_set(struct net_ns *net, struct link *l, enum ip_conf_of of, enum ip_conf which,
	int32_t v)
{
	bool spreads = which == IP_CONF_4_forwarding || which == IP_CONF_6_forwarding ||
		       which == IP_CONF_6_disable_ipv6;
	int32_t *word = of == IP_CONF_LINK ? &l->ip->conf[which]
					   : &net->ip->conf[of == IP_CONF_DEFAULT][which];
	int32_t old = READ_ONCE(*word);
	set_word(word, v);
	if (of == IP_CONF_LINK) {
		MUTEX_GUARD(&net->ip->lock);
		l->ip->chosen |= 1ul << which;
	} else if (of == IP_CONF_ALL && spreads) {
		set_everywhere(net, which, v);
	} else if (of == IP_CONF_DEFAULT && !is_v6[which]) {
		set_undecided(net, which, v);
	}
	if (of == IP_CONF_ALL && which == IP_CONF_4_forwarding)
		WRITE_ONCE(net->ctl.ip_forward, v);
	if (of != IP_CONF_DEFAULT && which == IP_CONF_6_disable_ipv6 && !old != !v)
		for_links(net, of == IP_CONF_LINK ? l : NULL, disable6);
	if (of != IP_CONF_DEFAULT && which == IP_CONF_6_forwarding && !old != !v)
		for_links(net, of == IP_CONF_LINK ? l : NULL, ip_mc_forwarding_changed);
	ip_gen_bump(net->ip);
}

void ip_conf_decided4(struct ip_link *il)
{
	il->chosen = UINT64_MAX;
}

/* --- links come and go --- */

static struct ip_link *new_ip_link(struct net_ns *net, struct link *l)
{
	struct ip_link *il = slab_alloc(&ip_link_slab);
	if (!il)
		return NULL;
	il->link = l;
	list_init(&il->node);
	list_init(&il->addrs[0]);
	list_init(&il->addrs[1]);
	if (!ip_mc_link_new(il)) {
		slab_free(&ip_link_slab, il);
		return NULL;
	}
	memcpy(il->conf, net->ip->conf[1], sizeof(il->conf));
	return il;
}

static void free_ip_link(struct ip_link *il)
{
	BUG_ON(il->attached);
	ip_mc_link_free(il);
	slab_free(&ip_link_slab, il);
}

static void attach(struct net_ns *net, struct link *l)
{
	struct ip_link *il = l->ip, *at;
	mutex_lock(&net->ip->lock);
	memcpy(il->conf, net->ip->conf[1], sizeof(il->conf));
	il->conf[IP_CONF_6_mtu] = (int32_t)READ_ONCE(l->mtu);
	il->seen_mtu = READ_ONCE(l->mtu);
	il->chosen = l->kind == LINK_LOOPBACK ? UINT64_MAX : 0;
	il->attached = true;
	list_for_each(at, &net->ip->links, node)
		if (at->link->index > l->index)
			break;
	list_insert_before(&at->node, &il->node);
	mutex_unlock(&net->ip->lock);
	ip_mc_link_new_groups(net, l);
}

static void detach(struct net_ns *net, struct link *l)
{
	ip_addr_link_down(net, l, true);
	ip_mc_link_gone(net, l);
	mutex_lock(&net->ip->lock);
	if (l->ip->attached)
		list_del(&l->ip->node);
	l->ip->attached = false;
	ip_gen_bump(net->ip);
	mutex_unlock(&net->ip->lock);
}

/* Labels follow the link's name, but for what is behind a colon. */
static void rename_labels(struct ip_link *il)
{
	struct ifaddr *a;
	list_for_each(a, &il->addrs[0], node) {
		char rest[LINK_NAME_MAX] = "";
		const char *colon = memchr(a->label, ':', sizeof(a->label));
		if (colon)
			strncpy(rest, colon, sizeof(rest) - 1);
		size_t n = strnlen(il->link->name, LINK_NAME_MAX - 1);
		size_t room = LINK_NAME_MAX - 1 - strlen(rest);
		memset(a->label, 0, sizeof(a->label));
		memcpy(a->label, il->link->name, MIN(n, room));
		strcat(a->label, rest);
	}
}

static void changed(struct net_ns *net, struct link *l)
{
	MUTEX_GUARD(&net->ip->lock);
	uint32_t mtu = READ_ONCE(l->mtu);
	if (mtu != l->ip->seen_mtu)
		set_word(&l->ip->conf[IP_CONF_6_mtu], (int32_t)mtu);
	l->ip->seen_mtu = mtu;
	rename_labels(l->ip);
	ip_gen_bump(net->ip);
}

static void on_event(struct net_ns *net, enum net_event ev, void *arg)
{
	struct link *l = arg;
	const struct ip_ifaddr *a = arg;
	if (ev == NET_ADDR_DEL && a->family == AF_INET6)
		ip_mc_solicited(net, a->index, &a->local, false);
	if (ev > NET_LINK_DEL)
		return;
	switch (ev) {
	case NET_LINK_NEW:
		attach(net, l);
		break;
	case NET_LINK_UP:
		ip_addr_link_up(net, l);
		ip_mc_link_up(net, l);
		break;
	case NET_LINK_DOWN:
		ip_mc_link_down(net, l);
		ip_addr_link_down(net, l, false);
		break;
	case NET_LINK_CHANGE:
		changed(net, l);
		break;
	default:
		detach(net, l);
		break;
	}
}

void ip_link_init(void)
{
	net_event_register(on_event);
	link_ip_register(new_ip_link, free_ip_link);
}
