/* Policy rules (ip-rule(8)): which table is asked, Linux' net/core/fib_rules.c. */
#include <errno.h>
#include <linux/fib_rules.h>

#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_SHARE(ip_rule_slab, struct ip_rule, 64);

/* --- matching --- */

static bool name_matches(const char *name, struct link *l)
{
	return !name[0] || (l && !strncmp(name, l->name, LINK_NAME_MAX));
}

static bool prefix_matches(const struct ip_addr *a, const struct ip_addr *prefix, uint8_t len,
	uint8_t family)
{
	return !len || ip_prefix_eq(a, prefix, len + (family == AF_INET6 ? 0 : IP_V4_BITS));
}

static bool port_matches(const uint16_t range[2], uint16_t port)
{
	return (!range[0] && !range[1]) || (port >= range[0] && port <= range[1]);
}

static struct link *link_of(struct ip_net *ipn, int32_t index)
{
	mutex_assert_held(&ipn->lock);
	struct ip_link *il = index ? ip_link_find(ipn, index) : NULL;
	return il ? il->link : NULL;
}

static bool rule_fits(struct ip_net *ipn, const struct ip_rule_info *r, const struct fib_query *q)
{
	if ((r->iifname[0] && !name_matches(r->iifname, link_of(ipn, q->iif))) ||
		(r->oifname[0] && !name_matches(r->oifname, link_of(ipn, q->oif))))
		return false;
	if ((r->fwmark ^ q->mark) & r->fwmask)
		return false;
	if (r->has_uid && (q->uid < r->uid_start || q->uid > r->uid_end))
		return false;
	return prefix_matches(&q->dst, &r->dst, r->dst_len, r->family) &&
	       prefix_matches(&q->src, &r->src, r->src_len, r->family) &&
	       (!r->tos || r->tos == (q->tos & 0xfc)) &&
	       (!r->ip_proto || r->ip_proto == q->proto) && port_matches(r->sport, q->sport) &&
	       port_matches(r->dport, q->dport);
}

static bool suppressed(const struct ip_rule_info *r, const struct fib_result *res)
{
	const struct fib_node *n = res->route->at;
	int32_t len = n->bits - (r->family == AF_INET6 ? 0 : (int32_t)IP_V4_BITS);
	if ((int32_t)r->suppress_prefixlen >= 0 && len <= (int32_t)r->suppress_prefixlen)
		return true;
	return r->suppress_ifgroup != UINT32_MAX && res->hop && res->hop->link &&
	       res->hop->link->group == r->suppress_ifgroup;
}

static int run_rule(struct ip_net *ipn, const struct ip_rule_info *r, const struct fib_query *q,
	struct fib_result *res)
{
	struct fib_table *t;
	switch (r->action) {
	case FR_ACT_TO_TBL:
		t = fib_table_find(ipn, r->table);
		int err = t ? fib_table_lookup(t, q, res) : -EAGAIN;
		return !err && suppressed(r, res) ? -EAGAIN : err;
	case FR_ACT_UNREACHABLE:
		return -ENETUNREACH;
	case FR_ACT_PROHIBIT:
		return -EACCES;
	case FR_ACT_NOP:
		return -EAGAIN;
	default:
		return -EINVAL;
	}
}

/* Where FR_ACT_GOTO leads: the first of that priority. */
static struct ip_rule *target(struct ip_net *ipn, const struct ip_rule *from)
{
	struct ip_rule *r;
	list_for_each(r, &ipn->rules[FAMILY_INDEX(from->i.family)], node)
		if (r->i.priority == from->i.goto_target)
			return r;
	return NULL;
}

static int by_rules(struct ip_net *ipn, const struct fib_query *q, struct fib_result *res)
{
	struct list_node *head = &ipn->rules[FAMILY_INDEX(q->family)], *at = head->next;
	while (at != head) {
		struct ip_rule *r = list_entry(at, struct ip_rule, node), *to;
		bool fits = rule_fits(ipn, &r->i, q) != !!(r->i.flags & FIB_RULE_INVERT);
		at = at->next;
		if (!fits)
			continue;
		if (r->i.action == FR_ACT_GOTO) {
			to = target(ipn, r); /* always further down: it ends */
			if (to)
				at = &to->node;
			continue;
		}
		int err = run_rule(ipn, &r->i, q, res);
		if (err != -EAGAIN)
			return err;
	}
	return -ENETUNREACH;
}

int fib_lookup(struct net_ns *net, const struct fib_query *q, struct fib_result *res)
{
	static const uint32_t order[] = {RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT};
	struct ip_net *ipn = net->ip;
	int i = FAMILY_INDEX(q->family);
	if (unlikely(READ_ONCE(ipn->custom_rules[i])))
		return by_rules(ipn, q, res);
	for (unsigned int n = 0; n < (i ? 2u : 3u); n++) {
		struct fib_table *t = fib_table_find(ipn, order[n]);
		int err = t ? fib_table_lookup(t, q, res) : -EAGAIN;
		if (err != -EAGAIN)
			return err;
	}
	return -ENETUNREACH;
}

/* --- changes --- */

static struct ip_rule *new_rule(struct ip_net *ipn, const struct ip_rule_info *i)
{
	struct ip_rule *at, *r = slab_alloc(&ip_rule_slab);
	if (!r)
		return NULL;
	r->i = *i;
	list_for_each(at, &ipn->rules[FAMILY_INDEX(i->family)], node)
		if (at->i.priority > i->priority)
			break;
	list_insert_before(&at->node, &r->node);
	ipn->nrules++;
	return r;
}

/* Without a priority: one less than that of the second rule (fib_default_rule_pref). */
static uint32_t default_priority(struct ip_net *ipn, int i)
{
	struct list_node *head = &ipn->rules[i], *second = head->next->next;
	if (head->next == head || second == head)
		return 0;
	uint32_t p = list_entry(second, struct ip_rule, node)->i.priority;
	return p ? p - 1 : 0;
}

static bool same_rule(const struct ip_rule_info *a, const struct ip_rule_info *b)
{
	return a->action == b->action && a->table == b->table && a->priority == b->priority &&
	       !strncmp(a->iifname, b->iifname, LINK_NAME_MAX) &&
	       !strncmp(a->oifname, b->oifname, LINK_NAME_MAX) && a->fwmark == b->fwmark &&
	       a->fwmask == b->fwmask && a->suppress_ifgroup == b->suppress_ifgroup &&
	       a->suppress_prefixlen == b->suppress_prefixlen && a->has_uid == b->has_uid &&
	       (!a->has_uid || (a->uid_start == b->uid_start && a->uid_end == b->uid_end)) &&
	       a->ip_proto == b->ip_proto && !memcmp(a->sport, b->sport, sizeof(a->sport)) &&
	       !memcmp(a->dport, b->dport, sizeof(a->dport)) && a->tos == b->tos &&
	       a->src_len == b->src_len && a->dst_len == b->dst_len && ip_eq(&a->src, &b->src) &&
	       ip_eq(&a->dst, &b->dst) && !((a->flags ^ b->flags) & FIB_RULE_INVERT);
}

static int check_rule(const struct ip_rule_info *r)
{
	uint8_t max = r->family == AF_INET6 ? 128 : 32;
	if ((r->family != AF_INET && r->family != AF_INET6) || r->src_len > max || r->dst_len > max)
		return -EINVAL;
	if (r->action == FR_ACT_GOTO && r->goto_target <= r->priority)
		return -EINVAL; /* no way back */
	if (r->action == FR_ACT_TO_TBL && r->table == RT_TABLE_UNSPEC)
		return -EINVAL;
	if (r->action == FR_ACT_UNSPEC || r->action > FR_ACT_PROHIBIT)
		return -EINVAL;
	return 0;
}

static void rules_changed(struct ip_net *ipn, int i)
{
	struct ip_rule *r;
	uint32_t others = 0, builtin = 0;
	list_for_each(r, &ipn->rules[i], node) {
		others += !r->builtin;
		builtin += r->builtin;
	}
	WRITE_ONCE(ipn->custom_rules[i], others || builtin != (i ? 2 : 3));
	ip_gen_bump(ipn);
}

int rule_add(struct net_ns *net, struct ip_rule_info *r, uint32_t nlflags)
{
	struct ip_net *ipn = net->ip;
	int i = FAMILY_INDEX(r->family), err = 0;
	struct ip_rule *at;
	mutex_lock(&ipn->lock);
	if (!r->priority)
		r->priority = default_priority(ipn, i);
	err = check_rule(r);
	if (!err && (nlflags & NLM_F_EXCL))
		list_for_each(at, &ipn->rules[i], node)
			if (same_rule(&at->i, r))
				err = -EEXIST;
	if (!err && (ipn->nrules >= IP_RULES_MAX || !new_rule(ipn, r)))
		err = -ENOMEM;
	if (!err)
		rules_changed(ipn, i);
	mutex_unlock(&ipn->lock);
	if (!err)
		net_event_send(net, NET_RULE_NEW, r);
	return err;
}

/* What is not said fits any. */
static bool rule_matches(const struct ip_rule_info *a, const struct ip_rule_info *want)
{
	return (!want->action || a->action == want->action) &&
	       (!want->table || a->table == want->table) &&
	       (!want->priority || a->priority == want->priority) &&
	       (!want->iifname[0] || !strncmp(a->iifname, want->iifname, LINK_NAME_MAX)) &&
	       (!want->oifname[0] || !strncmp(a->oifname, want->oifname, LINK_NAME_MAX)) &&
	       (!want->has_mark || (a->fwmark == want->fwmark && a->fwmask == want->fwmask)) &&
	       (!want->has_uid ||
		       (a->uid_start == want->uid_start && a->uid_end == want->uid_end)) &&
	       (!want->ip_proto || a->ip_proto == want->ip_proto) &&
	       (!want->sport[0] || !memcmp(a->sport, want->sport, sizeof(a->sport))) &&
	       (!want->dport[0] || !memcmp(a->dport, want->dport, sizeof(a->dport))) &&
	       (!want->tos || a->tos == want->tos) &&
	       (!want->src_len || (a->src_len == want->src_len && ip_eq(&a->src, &want->src))) &&
	       (!want->dst_len || (a->dst_len == want->dst_len && ip_eq(&a->dst, &want->dst)));
}

int rule_del(struct net_ns *net, const struct ip_rule_info *want)
{
	struct ip_net *ipn = net->ip;
	int i = FAMILY_INDEX(want->family);
	struct ip_rule *r;
	struct ip_rule_info was;
	int err = -ENOENT;
	mutex_lock(&ipn->lock);
	list_for_each(r, &ipn->rules[i], node) {
		if (!rule_matches(&r->i, want))
			continue;
		err = 0;
		break;
	}
	if (!err) {
		was = r->i;
		list_del(&r->node);
		slab_free(&ip_rule_slab, r);
		ipn->nrules--;
		rules_changed(ipn, i);
	}
	mutex_unlock(&ipn->lock);
	if (!err)
		net_event_send(net, NET_RULE_DEL, &was);
	return err;
}

bool rule_get(struct net_ns *net, uint8_t family, uint32_t n, struct ip_rule_info *out)
{
	struct ip_rule *r;
	MUTEX_GUARD(&net->ip->lock);
	list_for_each(r, &net->ip->rules[FAMILY_INDEX(family)], node)
		if (n-- == 0) {
			*out = r->i;
			return true;
		}
	return false;
}

int rule_ns_init(struct ip_net *ipn)
{
	static const struct {
		uint32_t priority, table;
	} first[] = {{0, RT_TABLE_LOCAL}, {32766, RT_TABLE_MAIN}, {32767, RT_TABLE_DEFAULT}};
	for (int i = 0; i < 2; i++) {
		list_init(&ipn->rules[i]);
		for (unsigned int n = 0; n < (i ? 2u : 3u); n++) {
			struct ip_rule_info r = {.family = i ? AF_INET6 : AF_INET,
				.action = FR_ACT_TO_TBL,
				.protocol = RTPROT_KERNEL,
				.priority = first[n].priority,
				.table = first[n].table,
				.suppress_ifgroup = UINT32_MAX,
				.suppress_prefixlen = UINT32_MAX};
			struct ip_rule *rule = new_rule(ipn, &r);
			if (!rule)
				return -ENOMEM;
			rule->builtin = true;
		}
	}
	return 0;
}

void rule_ns_fini(struct ip_net *ipn)
{
	struct ip_rule *r, *tmp;
	for (int i = 0; i < 2; i++)
		list_for_each_safe(r, tmp, &ipn->rules[i], node) {
			list_del(&r->node);
			slab_free(&ip_rule_slab, r);
		}
}
