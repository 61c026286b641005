/*
 * Groups: which multicasts a link receives.  The filter of a link for a group is made of those of
 * all sockets (RFC 3376, 3.2): sources that each of those who exclude some excludes, and nobody
 * includes; or else what any includes.
 */
#include <errno.h>
#include <linux/if_arp.h>

#include "sentry/core/arena.h"
#include "sentry/net/ip/mc_priv.h"

static SLAB_DEFINE(ip_mc_link_slab, struct ip_mc_link);
static SLAB_SHARE(mc_group_slab, struct mc_group, 64);
static SLAB_SHARE(mc_source_slab, struct mc_source, 64);

static const struct ip_mc_filter whole = {.mode = IP_MC_EXCLUDE};

/* --- life --- */

bool ip_mc_link_new(struct ip_link *il)
{
	struct ip_mc_link *mc = slab_alloc(&ip_mc_link_slab);
	if (!mc)
		return false;
	mutex_init(&mc->lock, LOCK_IP_MC);
	for (int i = 0; i < 2; i++) {
		list_init(&mc->f[i].groups);
		mc->f[i].robustness = 2;
		mc->f[i].interval = 125;
	}
	il->mc = mc;
	return true;
}

void mc_free_source(struct mc_group *g, struct mc_source *s)
{
	list_del(&s->node);
	g->nsources--;
	slab_free(&mc_source_slab, s);
}

static void free_group(struct mc_family *f, struct mc_group *g)
{
	struct mc_source *s, *tmp;
	list_for_each_safe(s, tmp, &g->sources, node)
		mc_free_source(g, s);
	list_del(&g->node);
	f->n--;
	slab_free(&mc_group_slab, g);
}

static void free_groups(struct ip_mc_link *mc)
{
	struct mc_group *g;
	for (int i = 0; i < 2; i++) {
		while ((g = list_first(&mc->f[i].groups, struct mc_group, node)))
			free_group(&mc->f[i], g);
		mc->f[i].general_at = mc->f[i].change_at = 0;
	}
}

void ip_mc_link_free(struct ip_link *il)
{
	free_groups(il->mc);
	slab_free(&ip_mc_link_slab, il->mc);
}

void mc_drop_told(struct mc_family *f, struct mc_group *g)
{
	struct mc_source *s, *tmp;
	list_for_each_safe(s, tmp, &g->sources, node)
		if (!s->tell && !s->users[0] && !s->users[1])
			mc_free_source(g, s);
	if (!g->tell && list_empty(&g->sources) && !mc_wanted(g))
		free_group(f, g);
}

/* --- finding --- */

struct mc_group *mc_find(struct ip_mc_link *mc, const struct ip_addr *group)
{
	struct mc_group *g;
	list_for_each(g, &mc->f[FAMILY_INDEX(ip_family(group))].groups, node)
		if (ip_eq(&g->addr, group))
			return g;
	return NULL;
}

static struct mc_source *find_source(const struct mc_group *g, const struct ip_addr *a)
{
	struct mc_source *s;
	list_for_each(s, &g->sources, node)
		if (ip_eq(&s->addr, a))
			return s;
	return NULL;
}

bool ip_mc_member(struct link *l, const struct ip_addr *group, const struct ip_addr *src)
{
	if (!l->ip)
		return false;
	MUTEX_GUARD(&l->ip->mc->lock);
	struct mc_group *g = mc_find(l->ip->mc, group);
	if (!g || !mc_wanted(g))
		return false;
	if (!src || ip_is_any(src))
		return true;
	struct mc_source *s = find_source(g, src);
	if (!s)
		return g->users[IP_MC_EXCLUDE];
	return s->users[IP_MC_INCLUDE] || s->users[IP_MC_EXCLUDE] != g->users[IP_MC_EXCLUDE];
}

bool ip_mc_get(struct link *l, bool v6, uint32_t n, struct ip_mc_info *out)
{
	struct mc_group *g;
	if (!l->ip)
		return false;
	MUTEX_GUARD(&l->ip->mc->lock);
	list_for_each(g, &l->ip->mc->f[FAMILY_INDEX(v6 ? AF_INET6 : AF_INET)].groups, node)
		if (mc_wanted(g) && n-- == 0) {
			*out = (struct ip_mc_info){.group = g->addr,
				.users = g->users[IP_MC_EXCLUDE] + g->users[IP_MC_INCLUDE],
				.reporter = g->last_reporter};
			return true;
		}
	return false;
}

bool ip_mc_source_get(struct link *l, const struct ip_addr *group, uint32_t n,
	struct ip_mc_source_info *out)
{
	struct mc_source *s;
	if (!l->ip)
		return false;
	MUTEX_GUARD(&l->ip->mc->lock);
	struct mc_group *g = mc_find(l->ip->mc, group);
	if (!g)
		return false;
	list_for_each(s, &g->sources, node)
		if ((s->users[IP_MC_INCLUDE] || s->users[IP_MC_EXCLUDE]) && n-- == 0) {
			*out = (struct ip_mc_source_info){.source = s->addr,
				.include = s->users[IP_MC_INCLUDE],
				.exclude = s->users[IP_MC_EXCLUDE]};
			return true;
		}
	return false;
}

bool mc_source_active(const struct mc_group *g, const struct mc_source *s)
{
	if (g->users[IP_MC_EXCLUDE])
		return !s->users[IP_MC_INCLUDE] &&
		       s->users[IP_MC_EXCLUDE] == g->users[IP_MC_EXCLUDE];
	return s->users[IP_MC_INCLUDE];
}

/* --- changes --- */

/* The link layer's address of a group: RFC 1112 (6.4), RFC 2464 (7). */
static void map_group(const struct ip_addr *group, uint8_t mac[LINK_ADDR_MAX])
{
	memset(mac, 0, LINK_ADDR_MAX);
	if (ip_is_v4(group)) {
		mac[0] = 0x01;
		mac[2] = 0x5e;
		memcpy(mac + 3, group->b + 13, 3);
		mac[3] &= 0x7f;
	} else {
		mac[0] = mac[1] = 0x33;
		memcpy(mac + 2, group->b + 12, 4);
	}
}

static void hardware(struct link *l, const struct ip_addr *group, bool join)
{
	uint8_t mac[LINK_ADDR_MAX];
	if (l->hatype != ARPHRD_ETHER)
		return;
	map_group(group, mac);
	if (join)
		link_mc_join(l, mac);
	else
		link_mc_leave(l, mac);
}

static struct mc_group *new_group(struct mc_family *f, const struct ip_addr *group)
{
	struct mc_group *g = f->n < MC_GROUPS_MAX ? slab_alloc(&mc_group_slab) : NULL;
	if (!g)
		return NULL;
	g->addr = *group;
	g->mode = IP_MC_INCLUDE; /* of nothing */
	list_init(&g->sources);
	list_push_back(&f->groups, &g->node);
	f->n++;
	return g;
}

/* All sources of to get an entry, so that apply cannot fail. */
static bool prepare(struct mc_group *g, const struct ip_mc_filter *to)
{
	for (uint32_t i = 0; to && i < to->n; i++) {
		if (find_source(g, &to->sources[i]))
			continue;
		struct mc_source *s =
			g->nsources < MC_SOURCES_MAX ? slab_alloc(&mc_source_slab) : NULL;
		if (!s)
			return false;
		s->addr = to->sources[i];
		list_push_back(&g->sources, &s->node);
		g->nsources++;
	}
	return true;
}

static void apply(struct mc_group *g, const struct ip_mc_filter *f, uint32_t by)
{
	if (!f)
		return;
	g->users[f->mode] += by;
	for (uint32_t i = 0; i < f->n; i++) {
		struct mc_source *s = find_source(g, &f->sources[i]);
		if (s)
			s->users[f->mode] += by;
	}
}

int ip_mc_change(struct link *l, const struct ip_addr *group, const struct ip_mc_filter *from,
	const struct ip_mc_filter *to)
{
	struct net_ns *net = link_net_get(l);
	int err = 0, join = 0;
	if (!net || !l->ip) {
		net_ns_put(net);
		return -ENODEV;
	}
	struct ip_mc_link *mc = l->ip->mc;
	struct mc_family *f = &mc->f[FAMILY_INDEX(ip_family(group))];
	mutex_lock(&mc->lock);
	struct mc_group *g = mc_find(mc, group);
	bool was = g && mc_wanted(g);
	if (!g && from) /* the link came anew meanwhile: there is nothing to leave */
		from = NULL;
	if (!g && to)
		g = new_group(f, group);
	if (!g) {
		err = to ? -ENOBUFS : 0;
	} else if (!prepare(g, to)) {
		err = -ENOBUFS;
		mc_drop_told(f, g);
	} else {
		apply(g, to, 1);
		apply(g, from, UINT32_MAX);
		join = (int)mc_wanted(g) - (int)was;
		mc_changed(net, l, f, g);
		mc_drop_told(f, g);
	}
	mutex_unlock(&mc->lock);
	if (join)
		hardware(l, group, join > 0);
	net_ns_put(net);
	return err;
}

/* --- what a link receives by itself --- */

static const struct ip_addr all_hosts = {.w = {0, 0, IP_MAPPED_W2, __builtin_bswap32(0xe0000001)}};
static const struct ip_addr all_nodes = {.b = {0xff, 2, [15] = 1}};
static const struct ip_addr node_local = {.b = {0xff, 1, [15] = 1}};
static const struct ip_addr routers[] = {{.b = {0xff, 2, [15] = 2}}, {.b = {0xff, 1, [15] = 2}},
	{.b = {0xff, 5, [15] = 2}}};

static void own(struct link *l, const struct ip_addr *group, bool join)
{
	ip_mc_change(l, group, join ? NULL : &whole, join ? &whole : NULL);
}

void ip_mc_solicited(struct net_ns *net, int32_t index, const struct ip_addr *a, bool join)
{
	struct ip_addr group = {.b = {0xff, 2, [11] = 1, 0xff}};
	struct link *l = link_by_index(net, index);
	memcpy(group.b + 13, a->b + 13, 3);
	if (l && !(READ_ONCE(l->flags) & IFF_LOOPBACK))
		own(l, &group, join);
	link_put(l);
}

void ip_mc_link_new_groups(struct net_ns *net, struct link *l)
{
	own(l, &all_nodes, true);
	own(l, &node_local, true);
	if (ip_link_conf(l, IP_CONF_6_forwarding))
		ip_mc_forwarding_changed(net, l);
}

void ip_mc_forwarding_changed(struct net_ns *net, struct link *l)
{
	bool on = ip_link_conf(l, IP_CONF_6_forwarding);
	for (size_t i = 0; i < ARRAY_LEN(routers); i++)
		own(l, &routers[i], on);
	(void)net;
}

/* All that is still wanted is told again: routers may have forgotten. */
static void tell_all(struct net_ns *net, struct link *l)
{
	struct mc_group *g;
	MUTEX_GUARD(&l->ip->mc->lock);
	for (int i = 0; i < 2; i++)
		list_for_each(g, &l->ip->mc->f[i].groups, node) {
			g->mode = IP_MC_INCLUDE;
			mc_changed(net, l, &l->ip->mc->f[i], g);
		}
}

void ip_mc_link_up(struct net_ns *net, struct link *l)
{
	own(l, &all_hosts, true);
	tell_all(net, l);
}

void ip_mc_link_down(struct net_ns *net, struct link *l)
{
	struct ip_mc_link *mc = l->ip->mc;
	own(l, &all_hosts, false);
	MUTEX_GUARD(&mc->lock);
	for (int i = 0; i < 2; i++) {
		mc->f[i].general_at = mc->f[i].change_at = 0;
		mc->f[i].old_until[0] = mc->f[i].old_until[1] = 0;
	}
	(void)net;
}

void ip_mc_link_gone(struct net_ns *net, struct link *l)
{
	struct ip_mc_link *mc = l->ip->mc;
	struct ip_addr group;
	for (;;) {
		mutex_lock(&mc->lock);
		struct mc_group *g = NULL;
		bool wanted = false;
		for (int i = 0; i < 2 && !g; i++) {
			g = list_first(&mc->f[i].groups, struct mc_group, node);
			if (g) {
				group = g->addr;
				wanted = mc_wanted(g);
				free_group(&mc->f[i], g);
			}
		}
		mutex_unlock(&mc->lock);
		if (!g)
			break;
		if (wanted)
			hardware(l, &group, false);
	}
	(void)net;
}
