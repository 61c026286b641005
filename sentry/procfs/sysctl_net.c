/*
 * /proc/sys/net: tunables of a network namespace.  Three kinds of them:
 *
 *   sysctl.def         one word, or a few, of struct net_ctl
 *   conf/IF, neigh/IF  a word of a link ("*"), of all of them, or of those to come
 *   the rest           texts, and names of congestion control
 *
 * Everybody sees the values of the namespace that the reader is in.  The table is put together at
 * start-up, in the order that directories need.
 */
#include <stdlib.h>

#include "lib/ro_after_init.h"
#include "sentry/core/root.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/event.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/tcp/cc.h"
#include "sentry/procfs/procfs_priv.h"

#define VEC_MAX 4
#define RW 0644
#define RO 0444

static int show(struct pfs_req *rq, struct text *t);
static int store(struct pfs_req *rq, char *s, size_t n);
static int show_text(struct pfs_req *rq, struct text *t);
static int show_cc(struct pfs_req *rq, struct text *t);
static int store_cc(struct pfs_req *rq, char *s, size_t n);
static int show_cc_list(struct pfs_req *rq, struct text *t);

/* Which of the three a conf or neigh entry is about; "*": IP_CONF_LINK. */
#define FAMILY6 0x100
#define OF(of) ((int64_t)(of) << 16)
#define CONF(dir, of, v, name)                                                                     \
	{                                                                                          \
		"ipv" #v "/conf/" dir "/" #name, RW, show, store,                                  \
			.type = CTL_CONF, .arg = OF(of) | IP_CONF_##v##_##name                     \
	}
#define NEIGH(dir, of, v, name)                                                                    \
	{                                                                                          \
		"ipv" #v "/neigh/" dir "/" #name, RW, show, store,                                 \
			.type = CTL_NEIGH,                                                         \
			.arg = OF(of) | NEIGH_PARM_##name | (v == 6 ? FAMILY6 : 0)                 \
	}

static const struct pfs_entry given[] = {
#define CTL(member, path, def, lo, hi) {path, RW, show, store, .type = CTL_NET},
#define CTL_VEC(member, path, n, ...) {path, RW, show, store, .type = CTL_NET},
#include "sentry/net/sysctl.def"
#undef CTL
#undef CTL_VEC
#define X(v, name, def)                                                                            \
	CONF("*", IP_CONF_LINK, v, name), CONF("all", IP_CONF_ALL, v, name),                       \
		CONF("default", IP_CONF_DEFAULT, v, name),
	IP_CONF_LIST(X)
#undef X
#define X(name, def4, def6)                                                                        \
	NEIGH("*", IP_CONF_LINK, 4, name), NEIGH("*", IP_CONF_LINK, 6, name),                      \
		NEIGH("default", IP_CONF_DEFAULT, 4, name),                                        \
		NEIGH("default", IP_CONF_DEFAULT, 6, name),
		NEIGH_PARM_LIST(X)
#undef X
			{"core/default_qdisc", RO, show_text, .text = "pfifo_fast\n"},
	{"ipv4/ip_local_reserved_ports", RO, show_text, .text = "\n"},
	{"ipv4/tcp_congestion_control", RW, show_cc, store_cc},
	{"ipv4/tcp_allowed_congestion_control", RO, show_cc_list},
	{"ipv4/tcp_available_congestion_control", RO, show_cc_list},
};

static struct pfs_entry table[ARRAY_LEN(given)] RO_AFTER_INIT;
const struct pfs_tab proc_sys_net_tab = {table, ARRAY_LEN(table)};

/* --- what waits for a link (config.json's conf/IF) --- */

#define WAITING_MAX 64

struct waiting {
	uint64_t net; /* id; 0: free */
	char path[96], value[32];
};
struct sysctl_net_globals {
	struct mutex lock; /* LOCK_NETCTL */
	uint32_t n;        /* atomic: how many are not free */
	struct waiting w[WAITING_MAX];
};
static struct sysctl_net_globals *globals RO_AFTER_INIT;
static void globals_init(void)
{
	mutex_init(&globals->lock, LOCK_NETCTL);
}
KERNEL_UNIT("net sysctls", globals, globals_init);

/* --- links by name --- */

static struct net_ns *net_of(struct pfs_req *rq)
{
	struct task *k = pfs_caller(rq);
	return k ? k->net : NULL;
}

int32_t pfs_star_next(struct pfs_req *rq, int32_t from)
{
	struct net_ns *net = net_of(rq);
	struct link *l = net ? link_next(net, MAX(from, 1) - 1) : NULL;
	int32_t index = l ? l->index : -1;
	link_put(l);
	return index;
}

int32_t pfs_star_find(struct pfs_req *rq, const char *name, size_t len)
{
	char text[LINK_NAME_MAX] = "";
	struct net_ns *net = net_of(rq);
	if (!net || len >= sizeof(text))
		return -1;
	memcpy(text, name, len);
	struct link *l = link_by_name(net, text);
	int32_t index = l ? l->index : -1;
	link_put(l);
	return index;
}

bool pfs_star_name(struct pfs_req *rq, int32_t num, char name[PFS_STAR_NAME])
{
	struct net_ns *net = net_of(rq);
	struct link *l = net ? link_by_index(net, num) : NULL;
	if (!l)
		return false;
	mutex_lock(&net->link_lock);
	memcpy(name, l->name, LINK_NAME_MAX);
	mutex_unlock(&net->link_lock);
	link_put(l);
	return true;
}

/* --- values --- */

/* Where a value is: l NULL where it is nobody's alone. */
struct place {
	struct net_ns *net;
	const struct pfs_entry *e;
	struct link *l;
	bool locked; /* the caller has net_cfg_lock */
};

static void lock(const struct place *p)
{
	if (!p->locked)
		net_cfg_lock();
}

static void unlock(const struct place *p)
{
	if (p->locked)
		return;
	net_cfg_unlock();
	net_run();
}

static enum ip_conf_of of_of(const struct pfs_entry *e)
{
	return (enum ip_conf_of)(e->arg >> 16);
}

static int family_of(const struct pfs_entry *e)
{
	return e->arg & FAMILY6 ? AF_INET6 : AF_INET;
}

/* In seconds here, in ms where they are kept. */
static int32_t scale_of(const struct pfs_entry *e)
{
	int64_t which = e->arg & 0xffff;
	return e->type == CTL_CONF && (which == IP_CONF_6_router_solicitation_delay ||
					      which == IP_CONF_6_router_solicitation_interval)
		       ? 1000
		       : 1;
}

static int32_t get_word(const struct place *p)
{
	if (p->e->type == CTL_CONF)
		return ip_conf_get(p->net, p->l, of_of(p->e), (enum ip_conf)(p->e->arg & 0xffff));
	return neigh_parm_get(p->net, p->l, family_of(p->e), (enum neigh_parm)(p->e->arg & 0xff));
}

static void set_word(const struct place *p, int32_t v)
{
	if (p->e->type == CTL_CONF) {
		/* It changes links, addresses and routes. */
		lock(p);
		ip_conf_set(p->net, p->l, of_of(p->e), (enum ip_conf)(p->e->arg & 0xffff), v);
		unlock(p);
		return;
	}
	neigh_parm_set(p->net, p->l, family_of(p->e), (enum neigh_parm)(p->e->arg & 0xff), v);
}

/* As Linux has them (addrconf.c, devinet.c): the others are any number. */
static bool word_in_range(const struct pfs_entry *e, int64_t v)
{
	if (v < INT32_MIN || v > INT32_MAX)
		return false;
	if (e->type == CTL_NEIGH)
		return v >= 0;
	switch (e->arg & 0xffff) {
	case IP_CONF_6_hop_limit:
		return v >= 1 && v <= 255;
	case IP_CONF_6_mtu:
		return v >= 1280;
	case IP_CONF_6_router_solicitation_delay:
	case IP_CONF_6_router_solicitation_interval:
		return v >= 0 && v <= INT32_MAX / 1000;
	case IP_CONF_6_router_solicitations:
		return v >= -1;
	case IP_CONF_6_addr_gen_mode:
		return v >= 0 && v <= 3;
	case IP_CONF_6_ndisc_notify:
	case IP_CONF_6_suppress_frag_ndisc:
		return v >= 0 && v <= 255;
	default:
		return true;
	}
}

static int show_value(const struct place *p, struct text *t)
{
	uint32_t n;
	int32_t min, max;
	if (p->e->type != CTL_NET) {
		text_putf(t, "%d\n", get_word(p) / scale_of(p->e));
		return 0;
	}
	const int32_t *v = net_ctl_find(p->net, p->e->path, &n, &min, &max);
	if (v == &p->net->ctl.tcp_notsent_lowat) {
		text_putf(t, "%u\n", (uint32_t)READ_ONCE(*v));
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		text_putf(t, "%s%d", i ? "\t" : "", READ_ONCE(v[i]));
	text_puts(t, "\n");
	return 0;
}

/* What a vector's numbers must be to each other. */
static int check_vec(struct net_ns *net, const char *path, int64_t *v, uint32_t n)
{
	if (!strcmp(path, "ipv4/ip_local_port_range")) {
		/* No port that needs a privilege is handed out. */
		if (n < 2 || v[0] < 1 || v[1] > 65535 || v[0] > v[1] ||
			v[0] < READ_ONCE(net->ctl.ip_unprivileged_port_start))
			return -EINVAL;
	} else if (!strcmp(path, "ipv4/ping_group_range")) {
		if (n < 2)
			return -EINVAL;
		if (v[1] < v[0]) { /* nobody */
			v[0] = 1;
			v[1] = 0;
		}
	} else if (strcmp(path, "ipv4/tcp_mem") && strcmp(path, "ipv4/udp_mem")) {
		for (uint32_t i = 0; i < n; i++) /* tcp_rmem, tcp_wmem */
			if (v[i] < 1)
				return -EINVAL;
	}
	return 0;
}

static int parse_words(char *s, int64_t *v, uint32_t max, uint32_t *n)
{
	for (*n = 0; *s && *n < max; ++*n) {
		int err = sysctl_parse(&s, true, &v[*n]);
		if (err)
			return err;
	}
	return *n ? 0 : -EINVAL;
}

static int store_ctl(const struct place *p, char *s)
{
	struct net_ns *net = p->net;
	const char *path = p->e->path;
	int64_t v[VEC_MAX];
	int32_t min, max;
	uint32_t n, got;
	int32_t *words = net_ctl_find(net, path, &n, &min, &max);
	int err = parse_words(s, v, n, &got);
	for (uint32_t i = 0; !err && i < got; i++)
		if ((v[i] < min || v[i] > max) &&
			!(words == &net->ctl.tcp_notsent_lowat && v[i] <= UINT32_MAX && v[i] >= 0))
			err = -EINVAL;
	if (!err && n > 1)
		err = check_vec(net, path, v, got);
	if (err)
		return err;
	if (!strcmp(path, "ipv4/ip_forward")) { /* by another name conf/all/forwarding */
		lock(p);
		ip_conf_set(net, NULL, IP_CONF_ALL, IP_CONF_4_forwarding, (int32_t)v[0]);
		unlock(p);
	}
	for (uint32_t i = 0; i < got; i++)
		WRITE_ONCE(words[i], (int32_t)v[i]);
	return 0;
}

static int store_value(const struct place *p, char *s)
{
	int64_t v;
	uint32_t n;
	if (p->e->type == CTL_NET)
		return store_ctl(p, s);
	int err = parse_words(s, &v, 1, &n);
	if (!err && !word_in_range(p->e, v))
		err = -EINVAL;
	if (!err)
		set_word(p, (int32_t)v * scale_of(p->e));
	return err;
}

/* --- files --- */

/* With a reference on the link: -EINVAL without a namespace, -ENOENT: the link is gone. */
static int place_of(struct pfs_req *rq, struct place *p)
{
	*p = (struct place){.net = net_of(rq), .e = rq->e};
	if (!p->net)
		return -EINVAL;
	if (rq->e->type == CTL_NET || of_of(rq->e) != IP_CONF_LINK)
		return 0;
	p->l = link_by_index(p->net, rq->num);
	return p->l ? 0 : -ENOENT;
}

static int show(struct pfs_req *rq, struct text *t)
{
	struct place p;
	int err = place_of(rq, &p);
	if (!err)
		err = show_value(&p, t);
	link_put(p.l);
	return err;
}

static int store(struct pfs_req *rq, char *s, size_t n)
{
	struct place p;
	if (!n)
		return 0;
	int err = place_of(rq, &p);
	if (!err)
		err = store_value(&p, s);
	link_put(p.l);
	return err;
}

static int show_text(struct pfs_req *rq, struct text *t)
{
	text_puts(t, rq->e->text);
	return 0;
}

static int show_cc(struct pfs_req *rq, struct text *t)
{
	struct net_ns *net = net_of(rq);
	text_putf(t, "%.15s\n", net ? net->ctl.tcp_congestion_control : "cubic");
	return 0;
}

static int set_cc(struct net_ns *net, char *s)
{
	char name[sizeof(net->ctl.tcp_congestion_control)] = "";
	size_t n = strcspn(s, " \t\n");
	if (n >= sizeof(name))
		return -ENOENT;
	memcpy(name, s, n);
	if (tcp_cc_find(name) < 0)
		return -ENOENT;
	memcpy(net->ctl.tcp_congestion_control, name, sizeof(name));
	return 0;
}

static int store_cc(struct pfs_req *rq, char *s, size_t n)
{
	struct net_ns *net = net_of(rq);
	return net ? set_cc(net, s) : -EINVAL;
}

static int show_cc_list(struct pfs_req *rq, struct text *t)
{
	const char *blank = "";
	for (int i = 0; i < TCP_CC_NR; i++) {
		const char *name = tcp_cc_name(i);
		if (!name || tcp_cc_find(name) < 0)
			continue;
		text_putf(t, "%s%s", blank, name);
		blank = " ";
	}
	text_puts(t, "\n");
	return 0;
}

/* --- config.json --- */

/* Does path fit the pattern, which may hold one "*"?  Then its place is name. */
static bool matches(const char *pattern, const char *path, char name[LINK_NAME_MAX])
{
	const char *star = strchr(pattern, '*');
	if (!star)
		return !strcmp(pattern, path);
	size_t before = (size_t)(star - pattern), after = strlen(star + 1), n = strlen(path);
	if (n <= before + after || strncmp(pattern, path, before) ||
		strcmp(path + n - after, star + 1))
		return false;
	n -= before + after;
	if (n >= LINK_NAME_MAX || memchr(path + before, '/', n))
		return false;
	memcpy(name, path + before, n);
	name[n] = 0;
	return true;
}

static int keep_waiting(struct net_ns *net, const char *path, const char *value)
{
	if (strlen(path) >= sizeof(globals->w[0].path) ||
		strlen(value) >= sizeof(globals->w[0].value))
		return -EINVAL;
	MUTEX_GUARD(&globals->lock);
	for (int i = 0; i < WAITING_MAX; i++) {
		struct waiting *w = &globals->w[i];
		if (w->net)
			continue;
		w->net = net->id;
		strcpy(w->path, path);
		strcpy(w->value, value);
		__atomic_add_fetch(&globals->n, 1, __ATOMIC_RELAXED);
		return 0;
	}
	return -ENOSPC;
}

static int set_path(struct place p, const char *link, char *value, const char *path)
{
	struct net_ns *net = p.net;
	const struct pfs_entry *e = p.e;
	if (e->store == store_cc)
		return set_cc(net, value);
	if (!e->store)
		return -EACCES;
	if (*link) {
		p.l = link_by_name(net, link);
		if (!p.l)
			return keep_waiting(net, path, value);
	}
	int err = store_value(&p, value);
	link_put(p.l);
	return err;
}

static int set(struct net_ns *net, const char *path, char *value, bool locked)
{
	for (int literal = 1; literal >= 0; literal--)
		for (size_t i = 0; i < ARRAY_LEN(table); i++) {
			char link[LINK_NAME_MAX] = "";
			bool star = strchr(table[i].path, '*') != NULL;
			if (star == !literal && matches(table[i].path, path, link))
				return set_path((struct place){.net = net,
							.e = &table[i],
							.locked = locked},
					link, value, path);
		}
	return -ENOENT;
}

int sysctl_net_set(struct net_ns *net, const char *path, char *value)
{
	return set(net, path, value, false);
}

/* A link has come (net_cfg_lock is held): what config.json said of it. */
static void on_event(struct net_ns *net, enum net_event ev, void *arg)
{
	if (ev != NET_LINK_NEW || !READ_ONCE(globals->n))
		return;
	for (int i = 0; i < WAITING_MAX; i++) {
		struct waiting *w = &globals->w[i], copy;
		char name[LINK_NAME_MAX] = "";
		mutex_lock(&globals->lock);
		copy = *w;
		bool mine = copy.net == net->id;
		for (size_t k = 0; mine && k < ARRAY_LEN(table) && !name[0]; k++)
			if (strchr(table[k].path, '*'))
				(void)matches(table[k].path, copy.path, name);
		mine = mine && !strcmp(name, ((struct link *)arg)->name);
		if (mine) {
			w->net = 0;
			__atomic_sub_fetch(&globals->n, 1, __ATOMIC_RELAXED);
		}
		mutex_unlock(&globals->lock);
		if (mine)
			set(net, copy.path, copy.value, true);
	}
}

/* --- start-up --- */

/* Directories stay together: a slash is before everything that a name may hold. */
static int compare(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const struct pfs_entry *)a)->path;
	const unsigned char *y = (const unsigned char *)((const struct pfs_entry *)b)->path;
	while (*x && *x == *y) {
		x++;
		y++;
	}
	int cx = *x == '/' ? 1 : *x, cy = *y == '/' ? 1 : *y;
	return cx - cy;
}

void proc_sysctl_net_init(void)
{
	memcpy(table, given, sizeof(table));
	qsort(table, ARRAY_LEN(table), sizeof(*table), compare);
	net_event_register(on_event);
}
