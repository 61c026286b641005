/* Private to sentry/net/eth. */
#ifndef SENTRY_NET_ETH_ETH_PRIV_H
#define SENTRY_NET_ETH_ETH_PRIV_H

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/rbtree.h"
#include "lib/ref.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/net_ns.h"
#include "sentry/time/time.h"

struct pkt;

#define NEIGH_HASH 256
#define NEIGH_PERMANENT_MAX 8192u /* a family: Linux has no bound */
#define NEIGH_PROXY_MAX 1024u

#define NUD_CONNECTED (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE)
#define NUD_IN_TIMER (NUD_INCOMPLETE | NUD_REACHABLE | NUD_DELAY | NUD_PROBE)
#define NUD_VALID (NUD_PERMANENT | NUD_NOARP | NUD_REACHABLE | NUD_PROBE | NUD_STALE | NUD_DELAY)

/* What the table owns: one reference while it is in there (dead is false). */
struct neigh {
	struct ref ref;
	struct net_ns *net; /* borrowed: while it is not dead */
	struct link *link;  /* owned */
	struct ip_addr dst;
	uint8_t family, flags, type; /* AF_*, NTF_*, RTN_* */
	bool dead;                   /* out of the table */
	uint16_t state;              /* NUD_*; atomic */
	uint64_t addr;               /* bytes, zero padded; atomic, so never seen half changed */
	/* CLOCK_MONOTONIC, ns; used and confirmed are atomic. */
	int64_t confirmed, used, updated;
	uint32_t probes;
	struct list_node hash, all; /* in eth_net.hash, eth_net.all */
	struct rb_node timer;       /* in eth_net.timers, if timed */
	bool timed;
	int64_t expires;
	struct list_node queue; /* struct pkt.node: INCOMPLETE */
	uint32_t queue_bytes;
};

struct neigh_proxy {
	struct list_node node;
	struct ip_addr dst;
	int32_t index; /* 0: any */
	uint8_t family, flags;
};

struct eth_net {
	struct mutex lock;   /* LOCK_NEIGH */
	struct net_ns *net;  /* borrowed: it owns this */
	struct ktimer timer; /* for all that is below */
	int64_t armed;       /* when it fires; INT64_MAX: it does not */
	uint64_t random;

	struct list_node hash[NEIGH_HASH];
	struct list_node all[2]; /* by family, oldest first */
	uint32_t count[2];       /* of them that are not permanent: gc_thresh */
	uint32_t permanent[2];
	int64_t flushed[2], gc_next;
	struct rb_root timers; /* struct neigh.timer */
	struct list_node proxies;
	uint32_t nproxies;

	int32_t parm[2][NEIGH_PARM_NR]; /* of "default"; atomic */

	struct list_node dads; /* struct ndp_dad */
	uint32_t ndads;
	struct list_node ra_routes; /* struct ra_route (ra.c) */
};

static inline unsigned int neigh_fam(const struct ip_addr *a)
{
	return ip_is_v4(a) ? 0 : 1;
}
static inline int32_t neigh_parm(const struct link *l, unsigned int fam, enum neigh_parm which)
{
	return READ_ONCE(l->eth.parm[fam][which]);
}

/* --- eth.c --- */
/* The timer is to run at this time at the latest. */
void eth_arm(struct eth_net *e, int64_t when) REQUIRES(e->lock);
uint64_t eth_random(struct eth_net *e) REQUIRES(e->lock);
/* Between lo and hi. */
int64_t eth_random_between(struct eth_net *e, int64_t lo, int64_t hi) REQUIRES(e->lock);
/* Puts an Ethernet header in front of p and sends it; p->net is set.  Takes p over. */
void eth_output(struct pkt *p, uint64_t dst, uint16_t protocol);
/* RFC 1112 6.4, RFC 2464 7: where a multicast or broadcast goes; false: a is neither. */
bool eth_map_group(const struct link *l, const struct ip_addr *a, uint64_t *out);
uint64_t eth_addr_word(const uint8_t *addr, uint8_t len);

/* --- neigh.c --- */

/* What a change of states leaves to be done when the lock is let go. */
struct neigh_todo {
	struct list_node send, drop, unreachable; /* packets */
	struct neigh *to;                         /* owned: of send */
	struct neigh *ask;                        /* owned: whom to look for */
	struct ip_addr ask_src;                   /* of the packet that asks; any: none does */
	uint32_t ask_probes;
	struct neigh *tell; /* owned: it changed */
	bool deleted;
};
void neigh_todo_init(struct neigh_todo *t);
void neigh_todo_run(struct net_ns *net, struct neigh_todo *t);

#define NEIGH_OVERRIDE 1u
#define NEIGH_WEAK_OVERRIDE 2u
#define NEIGH_OVERRIDE_ISROUTER 4u
#define NEIGH_ISROUTER 8u
#define NEIGH_ADMIN 16u
/* Linux' __neigh_update.  addr NULL: not said. */
int neigh_update_locked(struct eth_net *e, struct neigh *n, const uint8_t *addr, uint16_t state,
	uint32_t flags, struct neigh_todo *t) REQUIRES(e->lock);
int neigh_update(struct net_ns *net, struct neigh *n, const uint8_t *addr, uint16_t state,
	uint32_t flags);
/* Borrowed. */
struct neigh *neigh_find_locked(struct eth_net *e, const struct link *l, const struct ip_addr *a)
	REQUIRES(e->lock);
struct neigh *neigh_find(struct net_ns *net, struct link *l, const struct ip_addr *a);
void neigh_remove_locked(struct eth_net *e, struct neigh *n) REQUIRES(e->lock);
/* p waits for n, or goes at once. */
void neigh_event_send(struct eth_net *e, struct neigh *n, struct pkt *p, struct neigh_todo *t)
	REQUIRES(e->lock);
/* What is due; returns when to come again. */
int64_t neigh_expire(struct eth_net *e, int64_t now);
/* All of a link (NULL: all). */
void neigh_flush(struct net_ns *net, struct link *l);
void neigh_retime(struct eth_net *e, struct neigh *n, int64_t when) REQUIRES(e->lock);
/* A packet would be sent to it now (NTF_USE). */
void neigh_use(struct net_ns *net, struct neigh *n);
/* Drops the caller's reference, and the table's if nobody else has one. */
void neigh_remove_unused(struct net_ns *net, struct neigh *n);
bool neigh_may_be_permanent(struct net_ns *net, int family);

/* --- neigh_info.c --- */
void neigh_proxies_drop(struct eth_net *e, int32_t index); /* 0: all */
bool neigh_is_proxy(struct net_ns *net, const struct ip_addr *a, int32_t index);

/* --- neigh_out.c --- */
void neigh_send_queued(struct net_ns *net, struct neigh *n, struct pkt *p);
void neigh_report(struct net_ns *net, struct pkt *p);

/* --- arp.c, ndp.c: asks who has n's address --- */
void arp_solicit(struct net_ns *net, struct neigh *n, const struct ip_addr *src, uint32_t probes);
void arp_input(struct pkt *p);
/* arp_notify. */
void arp_notify_all(struct net_ns *net, struct link *l);
void ndp_solicit(struct net_ns *net, struct neigh *n, const struct ip_addr *src, uint32_t probes);

#endif
