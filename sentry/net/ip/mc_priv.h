/*
 * Private to sentry/net/ip: groups of a link.  mcast.c keeps who wants what (RFC 3376, 3; RFC
 * 3810, 4), mc_report.c says so to routers, in the form of igmp.c or mld.c.
 *
 * A group that nobody wants any more stays while it has to be told of, and so does a source.
 */
#ifndef SENTRY_NET_IP_MC_PRIV_H
#define SENTRY_NET_IP_MC_PRIV_H

#include "sentry/net/ip/ip_in.h"

/* Bounds of a link and of a group. */
#define MC_GROUPS_MAX 4096u
#define MC_SOURCES_MAX 1024u

/* Types of records: the same numbers in IGMPv3 and MLDv2. */
enum mc_record {
	MC_IS_INCLUDE = 1,
	MC_IS_EXCLUDE,
	MC_TO_INCLUDE,
	MC_TO_EXCLUDE,
	MC_ALLOW,
	MC_BLOCK,
};

struct mc_source {
	struct list_node node;
	struct ip_addr addr;
	uint32_t users[2]; /* filters that exclude it, that include it: by IP_MC_* */
	uint8_t tell;      /* times that its change has to be told yet */
	bool active;       /* in the link's filter, as last looked at */
	bool asked;        /* by a query that names sources */
};

struct mc_group {
	struct list_node node;
	struct ip_addr addr;
	uint32_t users[2]; /* filters of mode EXCLUDE, INCLUDE */
	struct list_node sources;
	uint32_t nsources;
	uint8_t tell;    /* times that its change of mode has to be told yet */
	uint8_t mode;    /* of the link's filter, as last looked at */
	bool by_sources; /* what it was asked for was about sources only */
	bool last_reporter;
	int64_t answer_at; /* to a query; 0: not asked */
};

/* Of one family. */
struct mc_family {
	struct list_node groups;
	uint32_t n;
	int64_t general_at;   /* answer to a query about all groups; 0: none */
	int64_t change_at;    /* changes are told */
	int64_t old_until[2]; /* queriers of versions 1 and 2 (IGMP), 1 (MLD: [1]) were heard */
	uint8_t robustness;
	uint32_t interval; /* s between queries, as the querier says */
};

struct ip_mc_link {
	struct mutex lock; /* LOCK_IP_MC */
	struct mc_family f[2];
};

static inline bool mc_wanted(const struct mc_group *g)
{
	return g->users[IP_MC_EXCLUDE] || g->users[IP_MC_INCLUDE];
}

struct mc_group *mc_find(struct ip_mc_link *mc, const struct ip_addr *group);
/* Is it in the filter of the link now? */
bool mc_source_active(const struct mc_group *g, const struct mc_source *s);
void mc_free_source(struct mc_group *g, struct mc_source *s);
/* A group or source of which nothing is left to tell goes. */
void mc_drop_told(struct mc_family *f, struct mc_group *g);

/* --- mc_report.c; with mc->lock --- */
/* The filter of g changed: routers are told. */
void mc_changed(struct net_ns *net, struct link *l, struct mc_family *f, struct mc_group *g);
/* A query came. */
struct mc_query {
	struct ip_addr group; /* any: all */
	uint8_t version;      /* 1, 2 or 3 of IGMP; 2 or 3 for MLDv1 and MLDv2 */
	int64_t max_delay;    /* ns */
	uint8_t robustness;
	uint32_t interval;
	uint32_t nsources;
	const uint8_t *sources; /* 4 or 16 bytes each */
};
void mc_query(struct net_ns *net, struct link *l, const struct mc_query *q, bool v4);
/* Somebody else reported that group by an old version. */
void mc_heard(struct link *l, const struct ip_addr *group);
/* Version to be spoken: 1 to 3, as in struct mc_query. */
uint8_t mc_version(struct link *l, struct mc_family *f, bool v4);

/* --- igmp.c, mld.c: what goes out; l->ip->mc->lock is not held --- */
void igmp_send(struct net_ns *net, struct pkt *p, uint8_t type, const struct ip_addr *to);
void mld_send(struct net_ns *net, struct pkt *p, uint8_t type, const struct ip_addr *to);
void igmp_init(void);

#endif
