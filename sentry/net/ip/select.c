/* Which source address: Linux' inet_select_addr for IPv4, RFC 6724 for IPv6. */
#include "sentry/net/ip/ip_priv.h"

/* --- IPv4 --- */

static uint32_t select_of_link4(struct net_ns *net, struct ip_link *il, uint32_t dst, uint8_t scope)
{
	bool localnet = ip_conf_or(net, il->link, IP_CONF_4_route_localnet);
	uint8_t most = localnet ? RT_SCOPE_LINK : RT_SCOPE_HOST;
	struct ip_addr to = ip_v4(dst);
	struct ifaddr *a;
	uint32_t first = 0;
	list_for_each(a, &il->addrs[0], node) {
		if ((a->flags & IFA_F_SECONDARY) || MIN(a->scope, most) > scope)
			continue;
		if (!dst || ip_prefix_eq(&to, &a->peer, a->prefix_len + IP_V4_BITS))
			return ip_to_v4(&a->local);
		if (!first)
			first = ip_to_v4(&a->local);
	}
	return first;
}

uint32_t ip4_select(struct net_ns *net, struct link *l, uint32_t dst, uint8_t scope)
{
	struct ip_link *il;
	struct ifaddr *a;
	uint32_t found =
		l && l->ip && l->ip->attached ? select_of_link4(net, l->ip, dst, scope) : 0;
	if (found)
		return found;
	/* Others lend theirs, lo first. */
	list_for_each(il, &net->ip->links, node)
		list_for_each(a, &il->addrs[0], node)
			if (!(a->flags & IFA_F_SECONDARY) && a->scope != RT_SCOPE_LINK &&
				a->scope <= scope)
				return ip_to_v4(&a->local);
	return 0;
}

/* --- IPv6 --- */

unsigned int ip6_scope(const struct ip_addr *a)
{
	if (a->b[0] == 0xff)
		return a->b[1] & 15;
	if (ip_is_linklocal(a) || ip_is_loopback(a))
		return 2;
	if (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0xc0)
		return 5;
	return 14;
}

/* RFC 6724, 2.1, with Linux' additions; longest prefix wins. */
static int label(const struct ip_addr *a)
{
	static const struct {
		struct ip_addr prefix;
		uint8_t len, label;
	} table[] = {
		{{.b = {[15] = 1}}, 128, 0},
		{{.b = {0}}, 96, 3},
		{{.b = {[10] = 0xff, 0xff}}, 96, 4},
		{{.b = {0x20, 0x01}}, 32, 6},
		{{.b = {0x20, 0x01, 0, 0x10}}, 28, 7},
		{{.b = {0x20, 0x02}}, 16, 2},
		{{.b = {0x3f, 0xfe}}, 16, 12},
		{{.b = {0xfe, 0xc0}}, 10, 11},
		{{.b = {0xfc}}, 7, 5},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (ip_prefix_eq(a, &table[i].prefix, table[i].len))
			return table[i].label;
	return 1;
}

static bool is_orchid(const struct ip_addr *a)
{
	static const uint8_t prefix[] = {0x20, 0x01, 0, 0x10};
	return !memcmp(a->b, prefix, 3) && (a->b[3] & 0xf0) == 0x10;
}

static int common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
	int n = 0;
	while (n < 128 && ip_prefix_eq(a, b, (unsigned int)n + 1))
		n++;
	return n;
}

struct wanted {
	const struct ip_addr *dst;
	unsigned int scope;
	int label;
	struct link *l;
	bool temporary;
};

enum {
	RULE_SAME,
	RULE_SCOPE,
	RULE_PREFERRED,
	RULE_LINK,
	RULE_LABEL,
	RULE_PRIVACY,
	RULE_ORCHID,
	RULE_PREFIX,
	RULES
};

/* How well a does by one rule (the numbers of RFC 6724, 5); larger is better. */
static int score(const struct ifaddr *a, const struct wanted *w, int rule)
{
	int s;
	switch (rule) {
	case RULE_SAME: /* 1 */
		return ip_eq(&a->local, w->dst);
	case RULE_SCOPE: /* 2: the smallest that is enough, else the largest */
		s = (int)ip6_scope(&a->local);
		return s >= (int)w->scope ? -s : s - 128;
	case RULE_PREFERRED: /* 3 */
		return !(a->flags & (IFA_F_DEPRECATED | IFA_F_OPTIMISTIC));
	case RULE_LINK: /* 5 */
		return !w->l || a->il->link == w->l;
	case RULE_LABEL: /* 6 */
		return label(&a->local) == w->label;
	case RULE_PRIVACY: /* 7 */
		return !(a->flags & IFA_F_TEMPORARY) != w->temporary;
	case RULE_ORCHID:
		return is_orchid(&a->local) == is_orchid(w->dst);
	default: /* 8 */
		s = common_bits(&a->local, w->dst);
		return MIN(s, (int)a->prefix_len);
	}
}

static bool better(const struct ifaddr *a, const struct ifaddr *than, const struct wanted *w)
{
	for (int i = 0; than && i < RULES; i++) {
		int d = score(a, w, i) - score(than, w, i);
		if (d)
			return d > 0;
	}
	return !than;
}

static bool candidate(const struct ifaddr *a)
{
	if ((a->flags & IFA_F_DADFAILED) ||
		((a->flags & IFA_F_TENTATIVE) && !(a->flags & IFA_F_OPTIMISTIC)))
		return false;
	return !ip_is_multicast(&a->local) && !ip_is_any(&a->local) && il_up(a->il);
}

bool ip6_select(struct net_ns *net, struct link *l, const struct ip_addr *dst, struct ip_addr *out)
{
	struct wanted w = {dst, ip6_scope(dst), label(dst), l, false};
	struct ip_link *il;
	struct ifaddr *a, *best = NULL;
	/* Addresses of smaller scopes mean something on their link only (RFC 6724, 4). */
	bool own = l && (ip_is_multicast(dst) || w.scope <= 2 ||
				ip_link_conf(l, IP_CONF_6_use_oif_addrs_only));
	if (l)
		w.temporary = ip_link_conf(l, IP_CONF_6_use_tempaddr) >= 2;
	list_for_each(il, &net->ip->links, node) {
		if (own && il->link != l)
			continue;
		list_for_each(a, &il->addrs[1], node)
			if (candidate(a) && better(a, best, &w))
				best = a;
	}
	if (best)
		*out = best->local;
	return best != NULL;
}

struct ip_addr ip_addr_select(struct net_ns *net, struct link *l, const struct ip_addr *dst,
	uint8_t scope)
{
	struct ip_addr a = IP_ANY6;
	MUTEX_GUARD(&net->ip->lock);
	if (ip_is_v4(dst))
		return ip_v4(ip4_select(net, l, ip_to_v4(dst), scope));
	ip6_select(net, l, dst, &a);
	return a;
}
