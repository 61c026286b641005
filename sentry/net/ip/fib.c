/*
 * Tables of routes: what is where, look-ups, and how routes come and go.  A prefix's routes
 * hang at its node in the trie, in the order in which they are asked: IPv4 by TOS
 * (larger first) and priority, IPv6 by priority; among equals by ord.
 */
#include <errno.h>
#include <linux/ipv6_route.h>

#include "lib/ro_after_init.h"
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

static SLAB_SHARE(fib_table_slab, struct fib_table, 64);

/* --- tables --- */

/* Linux keeps them in 256 lists by number, and dumps list after list. */
static bool table_before(uint32_t a, uint32_t b)
{
	return (a & 255) != (b & 255) ? (a & 255) < (b & 255) : a < b;
}

struct fib_table *fib_table_find(struct ip_net *ipn, uint32_t id)
{
	struct fib_table *t;
	if (id >= RT_TABLE_DEFAULT && id <= RT_TABLE_LOCAL)
		return ipn->first_tables[id - RT_TABLE_DEFAULT];
	list_for_each(t, &ipn->tables, node)
		if (t->id == id)
			return t;
	return NULL;
}

struct fib_table *fib_table_get(struct ip_net *ipn, uint32_t id)
{
	struct fib_table *t = fib_table_find(ipn, id), *at;
	if (t || ipn->ntables >= IP_TABLES_MAX)
		return t;
	t = slab_alloc(&fib_table_slab);
	if (!t)
		return NULL;
	t->id = id;
	ipn->ntables++;
	if (id >= RT_TABLE_DEFAULT && id <= RT_TABLE_LOCAL)
		ipn->first_tables[id - RT_TABLE_DEFAULT] = t;
	list_for_each(at, &ipn->tables, node)
		if (table_before(id, at->id))
			break;
	list_insert_before(&at->node, &t->node);
	return t;
}

/* --- look-ups --- */

int fib_type_error(uint8_t type)
{
	switch (type) {
	case RTN_BLACKHOLE:
		return -EINVAL;
	case RTN_UNREACHABLE:
		return -EHOSTUNREACH;
	case RTN_PROHIBIT:
		return -EACCES;
	case RTN_THROW:
		return -EAGAIN; /* go on with the next rule */
	default:
		return 0;
	}
}

static bool hop_dead(const struct fib_hop *h)
{
	return READ_ONCE(h->flags) & RTNH_F_DEAD;
}

static bool usable(const struct fib_route *r)
{
	return !r->expires || r->expires > time_monotonic();
}

/* As Linux' fib_table_lookup: 1, 0 or an error. */
static int try4(struct fib_route *r, const struct fib_query *q, struct fib_result *res)
{
	if ((r->tos && r->tos != (q->tos & 0xfc)) || r->scope < q->scope)
		return 0;
	int err = fib_type_error(r->type);
	if (err)
		return err;
	for (uint32_t i = 0; i < r->nhops; i++) {
		struct fib_hop *h = &r->hops[i];
		if (hop_dead(h) || (q->oif && h->link->index != q->oif))
			continue;
		res->route = r;
		res->hop = h;
		return 1;
	}
	return 0;
}

static int node_lookup4(struct fib_node *n, const struct fib_query *q, struct fib_result *res)
{
	struct fib_route *r;
	list_for_each(r, &n->routes, node) {
		int got = usable(r) ? try4(r, q, res) : 0;
		if (got)
			return got;
	}
	return 0;
}

/* As Linux' rt6_score_route: -1: not this one. */
static int score6(const struct fib_hop *h, const struct fib_query *q)
{
	if (!q->oif || (h->link && h->link->index == q->oif))
		return 2;
	return q->strict ? -1 : 0;
}

/* The best of the routes with the lowest priority that has any. */
static int node_lookup6(struct fib_node *n, const struct fib_query *q, struct fib_result *res)
{
	struct fib_route *r, *best = NULL;
	int best_score = -1;
	list_for_each(r, &n->routes, node) {
		if (best && r->priority != best->priority)
			break;
		if (!usable(r))
			continue;
		for (uint32_t i = 0; i < r->nhops; i++) {
			struct fib_hop *h = &r->hops[i];
			int s = hop_dead(h) ? -1 : score6(h, q);
			/* Router preference (RFC 4191): medium 0, high 1, low 3. */
			int score = s < 0 ? -1 : s * 4 + (r->pref == 3 ? 0 : r->pref + 1);
			if (score <= best_score)
				continue;
			best = r;
			best_score = score;
			res->route = r;
			res->hop = h;
		}
	}
	if (!best)
		return 0;
	int err = fib_type_error(best->type);
	return err ? err : 1;
}

int fib_table_lookup(struct fib_table *t, const struct fib_query *q, struct fib_result *res)
{
	int i = FAMILY_INDEX(q->family);
	for (struct fib_node *n = trie_match(t->root[i], &q->dst); n; n = n->parent) {
		int got = i ? node_lookup6(n, q, res) : node_lookup4(n, q, res);
		if (got < 0)
			return got;
		if (got) {
			res->table = t->id;
			return 0;
		}
	}
	return -EAGAIN;
}

/* --- in and out of a node --- */

/* Negative: a is asked before b. */
static int order(const struct fib_route *a, const struct fib_route *b)
{
	if (a->family == AF_INET && a->tos != b->tos)
		return a->tos > b->tos ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	return 0;
}

static void link_route(struct ip_net *ipn, struct fib_node *n, struct fib_route *r)
{
	struct fib_route *at;
	list_for_each(at, &n->routes, node) {
		int o = order(r, at);
		if (o < 0 || (o == 0 && r->ord < at->ord))
			break;
	}
	list_insert_before(&at->node, &r->node);
	r->at = n;
	ipn->nroutes++;
	if (r->family == AF_INET && n->bits == IP_V4_BITS)
		r->table->ndefault++;
	if (r->table->id == RT_TABLE_LOCAL && r->protocol != RTPROT_KERNEL)
		WRITE_ONCE(ipn->custom_local, true);
	ip_gen_bump(ipn);
}

void fib_unlink(struct ip_net *ipn, struct fib_route *r)
{
	list_del(&r->node);
	if (r->family == AF_INET && r->at->bits == IP_V4_BITS)
		r->table->ndefault--;
	trie_prune(&r->table->root[FAMILY_INDEX(r->family)], r->at);
	r->at = NULL;
	ipn->nroutes--;
	ip_gen_bump(ipn);
}

static bool same_hops(const struct fib_route *a, const struct fib_route *b)
{
	if (a->nhops != b->nhops)
		return false;
	for (uint32_t i = 0; i < a->nhops; i++) {
		const struct fib_hop *x = &a->hops[i], *y = &b->hops[i];
		if (x->link != y->link || !ip_eq(&x->gw, &y->gw) || x->weight != y->weight)
			return false;
	}
	return true;
}

/* Linux' "perfect match" (IPv4), or the same next hop (IPv6). */
static bool same_route(const struct fib_route *a, const struct fib_route *b)
{
	if (!same_hops(a, b) || a->type != b->type)
		return false;
	return a->family == AF_INET6 ||
	       (a->scope == b->scope && ip_eq(&a->prefsrc, &b->prefsrc) &&
		       a->protocol == b->protocol && a->mtu == b->mtu && a->advmss == b->advmss);
}

/* Routes that were learned of routers stay apart (Linux' rt6_qualify_for_ecmp). */
static bool by_gateway(const struct fib_route *r)
{
	return !(r->flags & (RTF_ADDRCONF | 0x0010u /* RTF_DYNAMIC */)) && r->nhops &&
	       r->hops[0].link && !ip_is_any(&r->hops[0].gw) && !fib_type_error(r->type);
}

/* IPv6: the hops of r become more hops of at (its siblings, for Linux). */
static int join_hops(struct fib_route *at, struct fib_route *r)
{
	uint32_t n = at->nhops + r->nhops;
	if (n > ROUTE_HOPS_MAX)
		return -ENOBUFS;
	struct fib_hop *all = buf_alloc(n * sizeof(*all));
	if (!all)
		return -ENOBUFS;
	memcpy(all, at->hops, at->nhops * sizeof(*all));
	memcpy(all + at->nhops, r->hops, r->nhops * sizeof(*all));
	if (at->hops != &at->one)
		buf_free(at->hops, at->nhops * sizeof(*all));
	at->hops = all;
	at->nhops = n;
	for (uint32_t i = 0; i < r->nhops; i++)
		r->hops[i].link = NULL; /* moved */
	return 0;
}

static bool has_hop(const struct fib_route *r, const struct fib_hop *h)
{
	for (uint32_t i = 0; i < r->nhops; i++)
		if (r->hops[i].link == h->link && ip_eq(&r->hops[i].gw, &h->gw))
			return true;
	return false;
}

/* --- adding --- */

struct adding {
	struct fib_node *node; /* of the prefix; NULL: there is none yet */
	struct fib_route *r;
	uint32_t nlflags;
	struct fib_route *replace, *join;
	int err;
};

static void look_at_equal(struct adding *a, struct fib_route *at)
{
	if (a->nlflags & NLM_F_EXCL)
		a->err = -EEXIST;
	else if ((a->nlflags & NLM_F_REPLACE) && !a->replace)
		a->replace = at;
	else if (same_route(at, a->r))
		a->err = -EEXIST;
	else if (at->family == AF_INET6 && by_gateway(at) && by_gateway(a->r) && !a->join)
		a->join = at;
	if (a->join && a->r->nhops == 1 && has_hop(at, &a->r->hops[0]))
		a->err = -EEXIST;
}

static void look_at_equals(struct adding *a)
{
	struct fib_route *at;
	bool equals = false;
	if (a->node)
		list_for_each(at, &a->node->routes, node)
			if (!a->err && order(a->r, at) == 0) {
				equals = true;
				look_at_equal(a, at);
			}
	/* Replacing something by itself is no error. */
	if (a->err && a->replace && same_route(a->replace, a->r))
		a->err = 0;
	if (!a->err && !a->replace && !(a->nlflags & NLM_F_CREATE))
		a->err = equals && a->join ? 0 : -ENOENT;
}

static void tell(struct ip_events *ev, enum net_event what, const struct fib_route *r)
{
	struct ip_event *e = ev ? ip_event_add(ev, what) : NULL;
	if (e)
		fib_to_info(r, &e->route);
}

static int insert(struct ip_net *ipn, struct adding *a, unsigned int bits,
	const struct ip_addr *dst)
{
	struct fib_route *r = a->r;
	if (ipn->nroutes >= IP_ROUTES_MAX)
		return -ENOBUFS;
	struct fib_node *n = trie_add(&r->table->root[FAMILY_INDEX(r->family)], dst, bits);
	if (!n)
		return -ENOBUFS;
	/* IPv4 puts a new one before its equals unless told to append, IPv6 behind. */
	bool front = r->family == AF_INET && !(a->nlflags & NLM_F_APPEND);
	int64_t ord = ++ipn->next_ord;
	r->ord = a->replace ? a->replace->ord : front ? -ord : ord;
	link_route(ipn, n, r);
	return 0;
}

static unsigned int dst_bits(const struct ip_route_info *i)
{
	return i->dst_len + (i->family == AF_INET6 ? 0 : IP_V4_BITS);
}

int fib_add(struct net_ns *net, struct ip_route_info *i, uint32_t nlflags, struct ip_events *ev)
{
	struct ip_net *ipn = net->ip;
	struct fib_table *t = fib_table_get(ipn, i->table);
	struct adding a = {.nlflags = nlflags};
	if (!t)
		return -ENOBUFS;
	int err = fib_new(net, i, &a.r);
	if (err)
		return err;
	a.r->table = t;
	a.node = trie_find(t->root[FAMILY_INDEX(i->family)], &i->dst, dst_bits(i));
	look_at_equals(&a);
	err = a.err;
	if (!err && a.join && !a.replace && !(nlflags & NLM_F_REPLACE)) {
		err = join_hops(a.join, a.r);
		if (!err) {
			ip_gen_bump(ipn);
			tell(ev, NET_ROUTE_NEW, a.join);
		}
		fib_free(a.r);
		return err;
	}
	if (!err)
		err = insert(ipn, &a, dst_bits(i), &i->dst);
	if (err) {
		fib_free(a.r);
		return err;
	}
	if (a.replace) {
		fib_unlink(ipn, a.replace);
		fib_free(a.replace);
	}
	tell(ev, NET_ROUTE_NEW, a.r);
	return 0;
}

/* --- deleting --- */

static bool hop_matches(const struct fib_route *r, const struct route_hop *h)
{
	for (uint32_t i = 0; i < r->nhops; i++) {
		const struct fib_hop *x = &r->hops[i];
		if ((!h->oif || (x->link && x->link->index == h->oif)) &&
			(ip_is_any(&h->gw) || ip_eq(&h->gw, &x->gw)))
			return true;
	}
	return r->nhops == 0 && !h->oif && ip_is_any(&h->gw);
}

/* Linux' fib_table_delete and fib_nh_match; ip6_route_del. */
static bool matches(const struct fib_route *r, const struct ip_route_info *i)
{
	bool v4 = i->family == AF_INET;
	if ((v4 && r->tos != i->tos) || (i->priority && i->priority != r->priority) ||
		(i->protocol && i->protocol != r->protocol))
		return false;
	if (v4 && ((i->type && i->type != r->type) ||
			  (i->scope != RT_SCOPE_NOWHERE && i->scope != r->scope)))
		return false;
	if (v4 && !ip_is_any(&i->prefsrc) && !ip_eq(&i->prefsrc, &r->prefsrc))
		return false;
	for (uint32_t n = 0; n < i->nhops; n++)
		if (!hop_matches(r, &i->hop[n]))
			return false;
	return true;
}

/* IPv6: one of several hops goes. */
static bool take_hop(struct fib_route *r, const struct route_hop *h)
{
	for (uint32_t i = 0; i < r->nhops; i++) {
		struct fib_hop *x = &r->hops[i];
		if ((h->oif && (!x->link || x->link->index != h->oif)) || !ip_eq(&h->gw, &x->gw))
			continue;
		uint32_t n = r->nhops;
		struct fib_hop *left = buf_alloc((n - 1) * sizeof(*left));
		if (!left)
			return false;
		link_put(x->link);
		memcpy(left, r->hops, i * sizeof(*left));
		memcpy(left + i, r->hops + i + 1, (n - 1 - i) * sizeof(*left));
		buf_free(r->hops, n * sizeof(*left));
		r->hops = left;
		r->nhops = n - 1;
		return true;
	}
	return false;
}

/* Why a route is not found.  In Linux the root of a table of IPv6 without a default route has one
 * that cannot be deleted (fib6_null_entry, of lo). */
static int no_such_route(const struct fib_table *t, const struct fib_node *n,
	const struct ip_route_info *i)
{
	bool there = t || i->table == RT_TABLE_MAIN || i->table == RT_TABLE_LOCAL;
	bool null = there && i->family == AF_INET6 && dst_bits(i) == 0 && !i->priority &&
		    (!n || list_empty(&n->routes)) &&
		    (!i->nhops || (ip_is_any(&i->hop[0].gw) && i->hop[0].oif <= 1));
	return null ? -ENOENT : -ESRCH;
}

int fib_del(struct net_ns *net, const struct ip_route_info *i, struct ip_events *ev)
{
	struct ip_net *ipn = net->ip;
	struct fib_table *t = fib_table_find(ipn, i->table);
	struct fib_route *r;
	struct fib_node *n =
		t ? trie_find(t->root[FAMILY_INDEX(i->family)], &i->dst, dst_bits(i)) : NULL;
	struct ip_addr key = ip_mask(&i->dst, MIN(dst_bits(i), 128u));
	if (i->family == AF_INET && (i->dst_len > 32 || !ip_eq(&key, &i->dst)))
		return -EINVAL;
	if (!n)
		return no_such_route(t, n, i);
	list_for_each(r, &n->routes, node) {
		if (!matches(r, i))
			continue;
		if (i->family == AF_INET6 && r->nhops > 1 && i->nhops == 1 &&
			!ip_is_any(&i->hop[0].gw) && take_hop(r, &i->hop[0])) {
			tell(ev, NET_ROUTE_NEW, r);
			ip_gen_bump(ipn);
			return 0;
		}
		tell(ev, NET_ROUTE_DEL, r);
		fib_unlink(ipn, r);
		fib_free(r);
		return 0;
	}
	return no_such_route(t, n, i);
}

/* --- many at once --- */

void fib_flush(struct ip_net *ipn, fib_want_fn want, const void *arg, struct ip_events *ev)
{
	struct fib_table *t;
	struct fib_route *r, *tmp;
	list_for_each(t, &ipn->tables, node)
		for (int i = 0; i < 2; i++) {
			struct fib_node *n = trie_first(t->root[i], true), *next;
			for (; n; n = next) {
				/* Pruning takes n, or parents of it that have one child only: the
				 * next one is found again by its key. */
				struct ip_addr key = n->key;
				unsigned int bits = n->bits;
				bool pruned = false;
				list_for_each_safe(r, tmp, &n->routes, node) {
					if (want && !want(r, arg))
						continue;
					bool last = r->node.next == r->node.prev;
					tell(ev, NET_ROUTE_DEL, r);
					pruned |= last;
					fib_unlink(ipn, r);
					fib_free(r);
					if (last)
						break;
				}
				next = pruned ? trie_after(t->root[i], &key, bits, true)
					      : trie_next(n, true);
			}
		}
}

/* Marks the hops by l dead; a route without any hop that lives is to go. */
struct down {
	struct link *l;
	bool gone;
};

static bool is_down(const struct fib_route *r, const void *arg)
{
	const struct down *d = arg;
	uint32_t dead = 0;
	for (uint32_t i = 0; i < r->nhops; i++) {
		struct fib_hop *h = &r->hops[i];
		/* IPv4 addresses keep their local routes while the link is down only. */
		bool stays = !d->gone && r->family == AF_INET && h->scope == RT_SCOPE_NOWHERE;
		if (h->link == d->l && !stays)
			WRITE_ONCE(h->flags, h->flags | RTNH_F_DEAD);
		dead += hop_dead(h) && h->link;
	}
	return r->nhops && dead == r->nhops;
}

/* A link that is deleted is not to be held by routes that have other hops. */
static bool has_link(const struct fib_route *r, const void *arg)
{
	const struct down *d = arg;
	for (uint32_t i = 0; i < r->nhops; i++)
		if (r->hops[i].link == d->l)
			return true;
	return false;
}

void fib_link_down(struct ip_net *ipn, struct link *l, bool gone, struct ip_events *ev)
{
	struct down d = {l, gone};
	fib_flush(ipn, is_down, &d, ev);
	if (gone)
		fib_flush(ipn, has_link, &d, ev);
	ip_gen_bump(ipn);
}

static bool revive(const struct fib_route *r, const void *arg)
{
	for (uint32_t i = 0; i < r->nhops; i++)
		if (r->hops[i].link == arg)
			WRITE_ONCE(r->hops[i].flags, r->hops[i].flags & (uint8_t)~RTNH_F_DEAD);
	return false;
}

void fib_link_up(struct ip_net *ipn, struct link *l)
{
	fib_flush(ipn, revive, l, NULL);
	ip_gen_bump(ipn);
}

struct expiry {
	int64_t now, next;
};

static bool is_expired(const struct fib_route *r, const void *arg)
{
	struct expiry *e = (struct expiry *)(uintptr_t)arg;
	if (!r->expires)
		return false;
	if (r->expires <= e->now)
		return true;
	e->next = MIN(e->next, r->expires);
	return false;
}

int64_t fib_expire(struct net_ns *net, int64_t now, struct ip_events *ev)
{
	struct expiry e = {now, INT64_MAX};
	fib_flush(net->ip, is_expired, &e, ev);
	return e.next;
}

void fib_ns_fini(struct ip_net *ipn)
{
	struct fib_table *t, *tmp;
	fib_flush(ipn, NULL, NULL, NULL);
	list_for_each_safe(t, tmp, &ipn->tables, node)
		slab_free(&fib_table_slab, t);
	list_init(&ipn->tables);
}
