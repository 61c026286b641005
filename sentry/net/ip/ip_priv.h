/*
 * Private to sentry/net/ip.  What the IP layers keep of a namespace (struct ip_net) and
 * of a link (struct ip_link).
 *
 * Locks.  ip_net.lock (LOCK_IP) guards addresses, routes, rules, exceptions and the list of links
 * here; events are gathered under it (struct ip_events) and sent when it is let go.  Groups have a
 * lock a link (LOCK_IP_MC), what is being put together one a namespace (LOCK_FRAG).  Settings
 * (conf) are atomic words.
 *
 * A struct ip_link lives as long as its link's memory, so that a packet that is under way
 * may read settings of a link that has been deleted.
 */
#ifndef SENTRY_NET_IP_IP_PRIV_H
#define SENTRY_NET_IP_IP_PRIV_H

#include "lib/lock.h"
#include "lib/log.h"
#include "sentry/net/event.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/ip.h"
#include "sentry/time/time.h"

#define IP_V4_BITS 96u /* what an IPv4 prefix is longer by */

/* Bounds, a namespace. */
#define IP_ROUTES_MAX 65536u
#define IP_RULES_MAX 4096u
#define IP_ADDRS_MAX 16384u
#define IP_TABLES_MAX 4096u
#define IP_IDENTS 2048u /* counters of IPv4 identifications */

/* --- addresses --- */

#define ADDR_HASH 256

struct ifaddr {
	struct list_node node; /* struct ip_link.addrs */
	struct list_node hash; /* struct ip_net.addr_hash */
	struct ip_link *il;    /* whose it is */
	struct ip_addr local, peer, broadcast;
	struct ip_addr prefsrc; /* IPv4: of its routes: the primary's local address */
	uint8_t family, prefix_len, scope, proto;
	uint32_t flags, metric;
	bool announced;           /* IPv6: its local route is there */
	int64_t preferred, valid; /* until then; INT64_MAX: for ever */
	int64_t created, updated;
	char label[LINK_NAME_MAX];
};

struct ip_mc_link;

struct ip_link {
	struct list_node node; /* struct ip_net.links, by index */
	struct link *link;     /* borrowed: it owns this */
	bool attached;         /* in that list; ip_net.lock */
	uint32_t seen_mtu;     /* the link's when conf's was set by it */
	uint64_t chosen;       /* bit by enum ip_conf: "default" does not change it any more */
	struct list_node addrs[2];
	int32_t conf[IP_CONF_NR];
	struct ip_mc_link *mc; /* owned; mcast.c */
};

static inline bool il_up(const struct ip_link *il)
{
	return link_is_up(il->link);
}
static inline bool il_loopback(const struct ip_link *il)
{
	return READ_ONCE(il->link->flags) & IFF_LOOPBACK;
}

/* --- routes --- */

struct fib_hop {
	struct link *link; /* owned; NULL: a route that rejects */
	struct ip_addr gw; /* any: none */
	uint8_t flags, weight, scope;
};

struct fib_route {
	struct list_node node; /* struct fib_node.routes */
	struct fib_node *at;
	struct fib_table *table;
	int64_t ord; /* place among equals */
	uint8_t family, tos, scope, protocol, type, pref;
	bool mtu_lock;
	struct ip_addr prefsrc;
	uint32_t priority, flags;
	uint32_t mtu, advmss, hoplimit, window, rtt, initcwnd, initrwnd, rto_min;
	int64_t expires; /* 0: never */
	uint32_t nhops;
	struct fib_hop *hops; /* one, or a buffer of nhops */
	struct fib_hop one;
};

struct fib_node {
	struct ip_addr key; /* 0 behind bits */
	uint8_t bits;       /* of the 128 */
	struct fib_node *parent, *child[2];
	struct list_node routes; /* struct fib_route.node */
};

struct fib_table {
	struct list_node node; /* struct ip_net.tables */
	uint32_t id;
	uint32_t ndefault;        /* IPv4 routes of length 0 */
	struct fib_node *root[2]; /* IPv4, IPv6 */
};

/* What fib_lookup is asked. */
struct fib_query {
	struct ip_addr dst, src;
	int32_t oif, iif;
	uint8_t family, tos, scope, proto;
	uint16_t sport, dport;
	uint32_t mark, uid, flowlabel;
	bool strict;  /* IPv6: oif is a must */
	bool has_src; /* IPv6 */
};
struct fib_result {
	struct fib_route *route;
	struct fib_hop *hop; /* NULL: rejects (never returned as success) */
	uint32_t table;
};

/* --- what the trie is made of (trie.c) --- */
struct fib_node *trie_find(struct fib_node *root, const struct ip_addr *key, unsigned int bits);
struct fib_node *trie_add(struct fib_node **root, const struct ip_addr *key, unsigned int bits);
/* Takes a node that has no routes out, and what only joins. */
void trie_prune(struct fib_node **root, struct fib_node *n);
/* The deepest node whose prefix key has; go on with parent. */
struct fib_node *trie_match(struct fib_node *root, const struct ip_addr *key);
/* Walks: by key, shorter prefixes first / last. */
struct fib_node *trie_first(struct fib_node *root, bool post);
struct fib_node *trie_next(struct fib_node *n, bool post);
/* The first node that the walk would visit after a place that need not exist. */
struct fib_node *trie_after(struct fib_node *root, const struct ip_addr *key, unsigned int bits,
	bool post);
struct ip_addr ip_mask(const struct ip_addr *a, unsigned int bits);

/* --- the namespace --- */

struct ip_exceptions;
struct ip_frags;
struct ip_icmp;

struct ip_net {
	struct net_ns *net; /* it owns this */
	struct mutex lock;  /* LOCK_IP */
	uint64_t gen;       /* atomic: route_valid; of a counter that all namespaces share */
	struct list_node links;
	struct list_node addr_hash[ADDR_HASH];
	uint32_t naddrs, nroutes, nrules, ntables;
	struct list_node tables;           /* in the order of dumps */
	struct fib_table *first_tables[3]; /* of them default, main, local; NULL: not there yet */
	struct list_node rules[2];         /* struct ip_rule.node, by priority */
	bool custom_rules[2];              /* others than the first ones; atomic */
	bool custom_local;                 /* table local has routes of users; atomic */
	int64_t next_ord;
	int32_t conf[2][IP_CONF_NR];      /* all, default */
	struct ktimer timer;              /* the earliest of what has to be done later */
	int64_t timer_at;                 /* atomic; INT64_MAX: not armed */
	struct ip_exceptions *exceptions; /* owned; lock; made when needed */
	struct ip_frags *frags;           /* owned */
	struct ip_icmp *icmp;             /* owned */
	uint32_t *idents;                 /* owned: counters of IPv4 identifications */
};

/* --- globals (ip.c) --- */
struct ip_globals {
	uint64_t gen; /* atomic: the last one of ip_net.gen that was given out */
};

#define FAMILY_INDEX(family) ((family) == AF_INET6 ? 1 : 0)
static inline uint8_t ip_family(const struct ip_addr *a)
{
	return ip_is_v4(a) ? AF_INET : AF_INET6;
}

/* --- events, sent when the lock is free --- */
struct ip_event {
	struct list_node node;
	enum net_event ev;
	union {
		struct ip_route_info route;
		struct ip_ifaddr addr;
		struct ip_rule_info rule;
	};
};
struct ip_events {
	struct list_node list;
};
static inline void ip_events_init(struct ip_events *e)
{
	list_init(&e->list);
}
/* NULL: out of memory; the listeners do not hear of it. */
struct ip_event *ip_event_add(struct ip_events *e, enum net_event ev);
void ip_events_send(struct net_ns *net, struct ip_events *e);

/* --- links (iplink.c) --- */
struct ip_link *ip_link_find(struct ip_net *ipn, int32_t index) REQUIRES(ipn->lock);
static inline int32_t ip_link_conf(const struct link *l, enum ip_conf which)
{
	return READ_ONCE(l->ip->conf[which]);
}
static inline int32_t ip_all_conf(const struct net_ns *net, enum ip_conf which)
{
	return READ_ONCE(net->ip->conf[0][which]);
}
/* "all" and the link's as Linux joins them: both, one of them, the larger one. */
static inline bool ip_conf_and(const struct net_ns *net, const struct link *l, enum ip_conf which)
{
	return ip_all_conf(net, which) && ip_link_conf(l, which);
}
static inline bool ip_conf_or(const struct net_ns *net, const struct link *l, enum ip_conf which)
{
	return ip_all_conf(net, which) || ip_link_conf(l, which);
}
static inline int32_t ip_conf_max(const struct net_ns *net, const struct link *l,
	enum ip_conf which)
{
	int32_t a = ip_all_conf(net, which), b = ip_link_conf(l, which);
	return a > b ? a : b;
}
void ip_link_init(void);
void ip_conf_init_ns(struct ip_net *ipn);

/* --- routes (fib.c, fib_new.c, fib_walk.c) --- */
int fib_lookup(struct net_ns *net, const struct fib_query *q, struct fib_result *res)
	REQUIRES(net->ip->lock);
/* One table, whatever the rules say. */
int fib_table_lookup(struct fib_table *t, const struct fib_query *q, struct fib_result *res);
struct fib_table *fib_table_find(struct ip_net *ipn, uint32_t id);
struct fib_table *fib_table_get(struct ip_net *ipn, uint32_t id); /* made if need be; NULL */
int fib_add(struct net_ns *net, struct ip_route_info *r, uint32_t nlflags, struct ip_events *ev)
	REQUIRES(net->ip->lock);
int fib_del(struct net_ns *net, const struct ip_route_info *r, struct ip_events *ev)
	REQUIRES(net->ip->lock);
/* Checks a route and makes it: in no table yet. */
int fib_new(struct net_ns *net, const struct ip_route_info *r, struct fib_route **out)
	REQUIRES(net->ip->lock);
void fib_free(struct fib_route *r);
void fib_to_info(const struct fib_route *r, struct ip_route_info *out);
void fib_unlink(struct ip_net *ipn, struct fib_route *r);
/* Every route for which want says so goes; NULL want: all. */
typedef bool (*fib_want_fn)(const struct fib_route *r, const void *arg);
void fib_flush(struct ip_net *ipn, fib_want_fn want, const void *arg, struct ip_events *ev);
void fib_link_down(struct ip_net *ipn, struct link *l, bool gone, struct ip_events *ev);
void fib_link_up(struct ip_net *ipn, struct link *l);
int64_t fib_expire(struct net_ns *net, int64_t now, struct ip_events *ev) REQUIRES(net->ip->lock);
void fib_ns_fini(struct ip_net *ipn);
int fib_type_error(uint8_t type);
/* What has been answered so far is void. */
void ip_gen_bump(struct ip_net *ipn);

/* --- rules (rule.c) --- */
struct ip_rule {
	struct list_node node;
	struct ip_rule_info i;
	bool builtin; /* one of the three that a new namespace has */
};
int rule_ns_init(struct ip_net *ipn);
void rule_ns_fini(struct ip_net *ipn);

/* --- addresses (addr.c, addr_event.c, select.c) --- */
struct ifaddr *ifaddr_find(struct ip_net *ipn, const struct ip_addr *a, int32_t index)
	REQUIRES(ipn->lock);
/* Is it ours, and usable? */
bool ifaddr_is_local(struct ip_net *ipn, const struct ip_addr *a, int32_t index)
	REQUIRES(ipn->lock);
void ifaddr_fill(const struct ifaddr *a, struct ip_ifaddr *out);
/* inet_select_addr of Linux. l may be NULL. */
uint32_t ip4_select(struct net_ns *net, struct link *l, uint32_t dst, uint8_t scope)
	REQUIRES(net->ip->lock);
/* RFC 6724: false: there is none. */
bool ip6_select(struct net_ns *net, struct link *l, const struct ip_addr *dst, struct ip_addr *out)
	REQUIRES(net->ip->lock);
/* Scope of an address as multicasts have it (RFC 4291, 2.7). */
unsigned int ip6_scope(const struct ip_addr *a);
void ip_conf_decided4(struct ip_link *il);
void ip_addr_flush6(struct net_ns *net, struct link *l);
void ip_addr_link_up6(struct net_ns *net, struct link *l);
void ip_addr_link_up(struct net_ns *net, struct link *l);
void ip_addr_link_down(struct net_ns *net, struct link *l, bool gone);
int64_t ip_addr_expire(struct net_ns *net, int64_t now, struct ip_events *ev);

/* --- exceptions: what ICMP taught about single destinations (exception.c) --- */
struct ip_exception {
	struct ip_addr dst, gw; /* gw any: none was told */
	uint32_t mtu;           /* 0: none was told */
	int32_t oif;            /* 0: every link */
	int64_t until;          /* 0: free */
};
bool ip_exception_find(struct ip_net *ipn, const struct ip_addr *dst, int32_t oif,
	struct ip_exception *out) REQUIRES(ipn->lock);
int64_t ip_exception_expire(struct ip_net *ipn, int64_t now) REQUIRES(ipn->lock);
void ip_exception_fini(struct ip_net *ipn);

/* --- groups (mcast.c, mc_report.c) --- */
bool ip_mc_link_new(struct ip_link *il);
void ip_mc_link_free(struct ip_link *il);
void ip_mc_link_new_groups(struct net_ns *net, struct link *l); /* those it has from the start */
void ip_mc_link_up(struct net_ns *net, struct link *l);
void ip_mc_link_down(struct net_ns *net, struct link *l);
void ip_mc_link_gone(struct net_ns *net, struct link *l);
void ip_mc_forwarding_changed(struct net_ns *net, struct link *l);
/* The solicited-node group of an address of link index (RFC 4291, 2.7.1). */
void ip_mc_solicited(struct net_ns *net, int32_t index, const struct ip_addr *a, bool join);
int64_t ip_mc_expire(struct net_ns *net, int64_t now);

/* --- later (ip.c) --- */
/* Something is to be done at that time (CLOCK_MONOTONIC, ns). */
void ip_timer_want(struct net_ns *net, int64_t at);

#endif
