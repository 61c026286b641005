/*
 * Telling routers about groups: RFC 3376 (5), RFC 3810 (6), and the older versions when a querier
 * speaks them.  A change is told at once and, as reports may be lost, again after a random time
 * of at most the unsolicited report interval, "robustness" times; a query is answered
 * after a random part of the time that it allows.
 */
#include <errno.h>

#include "lib/random.h"
#include "sentry/net/ip/mc_priv.h"

#define ROOM_MAX 1360u /* records of one report */

static int64_t random_below(int64_t n)
{
	uint64_t r = 0;
	if (n <= 0)
		return 0;
	random_bytes(&r, sizeof(r));
	return (int64_t)(r % (uint64_t)n);
}

/* Nobody asks about these: RFC 2236 (6), RFC 3810 (5). */
static bool is_told(const struct net_ns *net, const struct link *l, const struct ip_addr *group)
{
	if (READ_ONCE(l->flags) & IFF_LOOPBACK)
		return false;
	uint32_t v4 = ip_is_v4(group) ? ntohl(ip_to_v4(group)) : 0;
	if (v4)
		return v4 != 0xe0000001 &&
		       ((v4 & 0xffffff00) != 0xe0000000 ||
			       READ_ONCE(net->ctl.igmp_link_local_mcast_reports));
	static const struct ip_addr all_nodes = {.b = {0xff, 2, [15] = 1}};
	return (group->b[1] & 15) > 1 && !ip_eq(group, &all_nodes);
}

uint8_t mc_version(struct link *l, struct mc_family *f, bool v4)
{
	int32_t forced =
		ip_link_conf(l, v4 ? IP_CONF_4_force_igmp_version : IP_CONF_6_force_mld_version);
	int64_t now = time_monotonic();
	if (forced)
		return (uint8_t)(v4 ? forced : forced + 1);
	if (f->old_until[0] > now)
		return 1;
	return f->old_until[1] > now ? 2 : 3;
}

static int64_t unsolicited_interval(struct link *l, bool v4, uint8_t version)
{
	if (!v4)
		return version == 3 ? NSEC_PER_SEC : 10 * NSEC_PER_SEC;
	return 1000000 * (int64_t)ip_link_conf(l,
				 version == 3 ? IP_CONF_4_igmpv3_unsolicited_report_interval
					      : IP_CONF_4_igmpv2_unsolicited_report_interval);
}

/* --- changes --- */

void mc_changed(struct net_ns *net, struct link *l, struct mc_family *f, struct mc_group *g)
{
	struct mc_source *s;
	bool v4 = ip_is_v4(&g->addr);
	uint8_t times = v4 ? (uint8_t)MIN(READ_ONCE(net->ctl.igmp_qrv), 7) : f->robustness;
	uint8_t mode = g->users[IP_MC_EXCLUDE] ? IP_MC_EXCLUDE : IP_MC_INCLUDE;
	bool changed = mode != g->mode, told = is_told(net, l, &g->addr) && link_is_up(l);
	g->mode = mode;
	if (changed)
		g->tell = told ? times : 0;
	list_for_each(s, &g->sources, node) {
		bool active = mc_source_active(g, s);
		/* With a change of mode the whole list is told. */
		if (active != s->active && !changed && told)
			s->tell = times;
		else if (changed || !told)
			s->tell = 0;
		changed |= active != s->active;
		s->active = active;
	}
	if (!changed || !told)
		return;
	f->change_at = time_monotonic();
	ip_timer_want(net, f->change_at);
}

/* --- queries --- */

static void mark_sources(struct mc_group *g, const struct mc_query *q, bool v4)
{
	struct mc_source *s;
	list_for_each(s, &g->sources, node)
		for (uint32_t i = 0; i < q->nsources; i++) {
			const uint8_t *a = q->sources + (v4 ? 4 : 16) * i;
			s->asked |= !memcmp(v4 ? s->addr.b + 12 : s->addr.b, a, v4 ? 4 : 16);
		}
}

/* An answer that is due earlier stays (RFC 3376, 5.2). */
static void ask(struct mc_group *g, const struct mc_query *q, bool v4, int64_t at)
{
	bool pending = g->answer_at != 0;
	if (q->nsources && (!pending || g->by_sources)) {
		mark_sources(g, q, v4);
		g->by_sources = true;
	} else {
		g->by_sources = false;
	}
	if (!pending || at < g->answer_at)
		g->answer_at = at;
}

static void querier_seen(struct mc_family *f, const struct mc_query *q, int64_t now)
{
	int64_t until = now + (int64_t)f->robustness * f->interval * NSEC_PER_SEC + q->max_delay;
	if (q->version == 3) {
		if (q->robustness)
			f->robustness = q->robustness;
		if (q->interval)
			f->interval = q->interval;
		return;
	}
	f->old_until[q->version - 1] = until;
	/* What was to be told in the new version's words is not any more. */
	f->general_at = 0;
	f->change_at = 0;
}

void mc_query(struct net_ns *net, struct link *l, const struct mc_query *q, bool v4)
{
	struct ip_mc_link *mc = l->ip->mc;
	struct mc_family *f = &mc->f[!v4];
	struct mc_group *g;
	int64_t now = time_monotonic(), first = INT64_MAX;
	mutex_lock(&mc->lock);
	querier_seen(f, q, now);
	bool all = ip_is_any(&q->group);
	if (all && mc_version(l, f, v4) == 3) {
		first = now + random_below(q->max_delay);
		if (!f->general_at || first < f->general_at)
			f->general_at = first;
	} else {
		list_for_each(g, &f->groups, node) {
			if (!mc_wanted(g) || !is_told(net, l, &g->addr) ||
				(!all && !ip_eq(&g->addr, &q->group)))
				continue;
			ask(g, q, v4, now + random_below(q->max_delay));
			first = MIN(first, g->answer_at);
		}
	}
	mutex_unlock(&mc->lock);
	ip_timer_want(net, first);
}

void mc_heard(struct link *l, const struct ip_addr *group)
{
	MUTEX_GUARD(&l->ip->mc->lock);
	struct mc_group *g = mc_find(l->ip->mc, group);
	if (!g || mc_version(l, &l->ip->mc->f[!ip_is_v4(group)], ip_is_v4(group)) == 3)
		return;
	g->answer_at = 0;
	g->last_reporter = false;
}

/* --- reports --- */

/* What is being put together; sent when no lock is held. */
struct report {
	struct net_ns *net;
	struct link *l;
	bool v4;
	struct list_node *out; /* struct pkt.node; cb has where to */
	uint8_t buf[8 + ROOM_MAX];
	uint32_t len, records;
};
struct report_cb {
	struct ip_addr to;
	uint8_t type;
};

static const struct ip_addr v3_routers = {.w = {0, 0, IP_MAPPED_W2, __builtin_bswap32(0xe0000016)}};
static const struct ip_addr v2_routers = {.w = {0, 0, IP_MAPPED_W2, __builtin_bswap32(0xe0000002)}};
static const struct ip_addr mld2_routers = {.b = {0xff, 2, [15] = 0x16}};
static const struct ip_addr all_routers6 = {.b = {0xff, 2, [15] = 2}};

static void queue(struct report *r, const void *bytes, uint32_t n, uint8_t type,
	const struct ip_addr *to)
{
	struct pkt *p = pkt_new();
	if (!p || pkt_add(p, bytes, n)) {
		pkt_free(p);
		return;
	}
	p->link = link_get(r->l);
	struct report_cb *cb = (struct report_cb *)p->cb;
	cb->to = *to;
	cb->type = type;
	list_push_back(r->out, &p->node);
}
_Static_assert(sizeof(struct report_cb) <= sizeof(((struct pkt *)0)->cb), "cb");

static void flush(struct report *r)
{
	if (!r->records)
		return;
	memset(r->buf, 0, 8);
	put16(r->buf + 6, r->records);
	queue(r, r->buf, 8 + r->len, r->v4 ? 0x22 : 143, r->v4 ? &v3_routers : &mld2_routers);
	r->len = r->records = 0;
}

static uint32_t addr_len(const struct report *r)
{
	return r->v4 ? 4 : 16;
}

static void put_addr(struct report *r, const struct ip_addr *a)
{
	memcpy(r->buf + 8 + r->len, r->v4 ? a->b + 12 : a->b, addr_len(r));
	r->len += addr_len(r);
}

static uint32_t begin_record(struct report *r, const struct mc_group *g, enum mc_record type)
{
	uint32_t room = MIN(ROOM_MAX, READ_ONCE(r->l->mtu) > 100 ? READ_ONCE(r->l->mtu) - 80 : 20);
	if (r->len + 4 + 2 * addr_len(r) > room)
		flush(r);
	uint32_t at = r->len;
	memset(r->buf + 8 + at, 0, 4);
	r->buf[8 + at] = (uint8_t)type;
	r->len += 4;
	r->records++;
	put_addr(r, &g->addr);
	return at;
}

typedef bool (*pick_fn)(const struct mc_source *s);

/* One record, with the sources that are picked; more than fit: of those that list what is to be
 * received or changed another record, of the others as many as fit (RFC 3376, 4.2.16). */
static void record(struct report *r, const struct mc_group *g, enum mc_record type, pick_fn pick)
{
	uint32_t room = MIN(ROOM_MAX, READ_ONCE(r->l->mtu) > 100 ? READ_ONCE(r->l->mtu) - 80 : 20);
	uint32_t at = begin_record(r, g, type), n = 0;
	struct mc_source *s;
	list_for_each(s, &g->sources, node) {
		if (!pick || !pick(s))
			continue;
		if (r->len + addr_len(r) > room) {
			put16(r->buf + 8 + at + 2, n);
			if (type == MC_IS_EXCLUDE || type == MC_TO_EXCLUDE)
				return;
			flush(r);
			at = begin_record(r, g, type);
			n = 0;
		}
		put_addr(r, &s->addr);
		n++;
	}
	put16(r->buf + 8 + at + 2, n);
}

static bool is_active(const struct mc_source *s)
{
	return s->active;
}
static bool asked_active(const struct mc_source *s)
{
	return s->asked && s->active;
}
static bool asked_other(const struct mc_source *s)
{
	return s->asked && !s->active;
}
static bool tell_active(const struct mc_source *s)
{
	return s->tell && s->active;
}
static bool tell_other(const struct mc_source *s)
{
	return s->tell && !s->active;
}

static bool any(const struct mc_group *g, pick_fn pick)
{
	struct mc_source *s;
	list_for_each(s, &g->sources, node)
		if (pick(s))
			return true;
	return false;
}

/* The old versions know members only. */
static void old_report(struct report *r, struct mc_group *g, uint8_t version, bool leave)
{
	uint8_t m[24] = {0};
	if (r->v4) {
		memcpy(m + 4, g->addr.b + 12, 4);
		uint8_t type = leave ? 0x17 : version == 1 ? 0x12 : 0x16;
		if (leave && version == 1)
			return; /* which version 1 has no word for */
		queue(r, m, 8, type, leave ? &v2_routers : &g->addr);
	} else {
		memcpy(m + 8, g->addr.b, 16);
		queue(r, m, 24, leave ? 132 : 131, leave ? &all_routers6 : &g->addr);
	}
	g->last_reporter = !leave;
}

static void current_state(struct report *r, struct mc_group *g)
{
	struct mc_source *s;
	bool in = g->mode == IP_MC_INCLUDE;
	if (!g->by_sources) {
		if (!in || any(g, is_active))
			record(r, g, in ? MC_IS_INCLUDE : MC_IS_EXCLUDE, is_active);
	} else if (any(g, in ? asked_active : asked_other)) {
		/* Of the sources that were asked for those that are received. */
		record(r, g, MC_IS_INCLUDE, in ? asked_active : asked_other);
	}
	list_for_each(s, &g->sources, node)
		s->asked = false;
	g->by_sources = false;
}

static void changes(struct report *r, struct mc_group *g)
{
	struct mc_source *s;
	bool in = g->mode == IP_MC_INCLUDE;
	if (g->tell) {
		record(r, g, in ? MC_TO_INCLUDE : MC_TO_EXCLUDE, is_active);
		g->tell--;
		return;
	}
	if (any(g, tell_active))
		record(r, g, in ? MC_ALLOW : MC_BLOCK, tell_active);
	if (any(g, tell_other))
		record(r, g, in ? MC_BLOCK : MC_ALLOW, tell_other);
	list_for_each(s, &g->sources, node)
		s->tell -= s->tell != 0;
}

/* Of the old versions: joins are told as often as changes are, leaves once. */
static void old_changes(struct report *r, struct mc_group *g, uint8_t version)
{
	struct mc_source *s;
	list_for_each(s, &g->sources, node)
		s->tell = 0;
	if (!g->tell)
		return;
	if (mc_wanted(g)) {
		old_report(r, g, version, false);
		g->tell--;
	} else {
		if (g->last_reporter)
			old_report(r, g, version, true);
		g->tell = 0;
	}
}

static bool told_all(const struct mc_group *g)
{
	struct mc_source *s;
	list_for_each(s, &g->sources, node)
		if (s->tell)
			return false;
	return !g->tell;
}

static void run_changes(struct report *r, struct mc_family *f, int64_t now)
{
	struct mc_group *g, *tmp;
	uint8_t version = mc_version(r->l, f, r->v4);
	bool more = false;
	list_for_each_safe(g, tmp, &f->groups, node) {
		if (told_all(g))
			continue;
		if (version == 3)
			changes(r, g);
		else
			old_changes(r, g, version);
		more |= !told_all(g);
		mc_drop_told(f, g);
	}
	flush(r);
	f->change_at =
		more ? now + 1 + random_below(unsolicited_interval(r->l, r->v4, version)) : 0;
}

static void run_answers(struct report *r, struct mc_family *f, int64_t now)
{
	struct mc_group *g;
	uint8_t version = mc_version(r->l, f, r->v4);
	bool general = f->general_at && f->general_at <= now;
	list_for_each(g, &f->groups, node) {
		bool due = g->answer_at && g->answer_at <= now;
		if ((!due && !general) || !mc_wanted(g) || !is_told(r->net, r->l, &g->addr))
			continue;
		if (general)
			g->by_sources = false;
		if (version == 3)
			current_state(r, g);
		else
			old_report(r, g, version, false);
		g->answer_at = 0;
	}
	if (general)
		f->general_at = 0;
	flush(r);
}

static int64_t next_of(const struct mc_family *f)
{
	struct mc_group *g;
	int64_t next = INT64_MAX;
	if (f->change_at)
		next = MIN(next, f->change_at);
	if (f->general_at)
		next = MIN(next, f->general_at);
	list_for_each(g, &f->groups, node)
		if (g->answer_at)
			next = MIN(next, g->answer_at);
	return next;
}

static int64_t run_link(struct net_ns *net, struct ip_link *il, int64_t now, struct list_node *out)
{
	struct ip_mc_link *mc = il->mc;
	int64_t next = INT64_MAX;
	MUTEX_GUARD(&mc->lock);
	for (int i = 0; i < 2; i++) {
		struct mc_family *f = &mc->f[i];
		if (list_empty(&f->groups) || next_of(f) > now) {
			next = MIN(next, next_of(f));
			continue;
		}
		struct report r = {.net = net, .l = il->link, .v4 = i == 0, .out = out};
		run_answers(&r, f, now);
		if (f->change_at && f->change_at <= now)
			run_changes(&r, f, now);
		next = MIN(next, next_of(f));
	}
	return next;
}

int64_t ip_mc_expire(struct net_ns *net, int64_t now)
{
	struct list_node out = LIST_INIT(out);
	struct ip_link *il;
	struct pkt *p;
	int64_t next = INT64_MAX;
	mutex_lock(&net->ip->lock);
	list_for_each(il, &net->ip->links, node)
		next = MIN(next, run_link(net, il, now, &out));
	mutex_unlock(&net->ip->lock);
	while ((p = list_first(&out, struct pkt, node))) {
		struct report_cb cb = *(struct report_cb *)p->cb;
		list_del(&p->node);
		memset(p->cb, 0, sizeof(p->cb));
		if (ip_is_v4(&cb.to))
			igmp_send(net, p, cb.type, &cb.to);
		else
			mld_send(net, p, cb.type, &cb.to);
	}
	return next;
}
