/* Private to sentry/net/netlink: the parts of rtnetlink(7) and of the other protocols. */
#ifndef SENTRY_NET_NETLINK_RTNL_PRIV_H
#define SENTRY_NET_NETLINK_RTNL_PRIV_H

#include "sentry/net/netlink/nl_priv.h"

void rtnl_init(void); /* registers dumps and the listener of events; once */
void diag_init(void);
void genl_init(void);

/* A handler: 0, -errno, NL_NO_ACK.  Those that change something have net_cfg_lock. */
typedef int (*rtnl_fn)(struct nl_req *rq);

/* Answers rq with the one message that fill makes. */
int rtnl_send(struct nl_req *rq, struct nlb *b);
/* With NLM_F_ECHO or for RTM_GET*: room for one object. */
#define RTNL_ONE 8192u

/* --- events --- */
/* Is anybody to be told?  Also who makes this change and asks for it (NLM_F_ECHO). */
bool rtnl_event_wanted(const struct net_ns *net, uint32_t group);
/* Of the request that this thread handles, if it is about what the group hears of; else 0. */
uint32_t rtnl_event_portid(uint32_t group);
uint32_t rtnl_event_seq(uint32_t group);
/* What the change was made with, of NLM_F_REPLACE, EXCL, CREATE, APPEND. */
uint16_t rtnl_event_flags(uint32_t group);
void rtnl_event_send(struct net_ns *net, uint32_t group, const struct nlb *b);
struct ip_ifaddr;
struct ip_route_info;
struct ip_rule_info;
struct neigh;
void rtnl_addr_event(struct net_ns *net, const struct ip_ifaddr *a, bool del);
void rtnl_route_event(struct net_ns *net, const struct ip_route_info *r, bool del);
void rtnl_rule_event(struct net_ns *net, const struct ip_rule_info *r, bool del);
void rtnl_neigh_event(struct net_ns *net, struct neigh *n, bool del);

/* --- rtnl_link.c --- */
int rtnl_getlink(struct nl_req *rq);
bool rtnl_fill_link(struct nlb *b, struct net_ns *net, struct link *l, uint32_t portid,
	uint32_t seq, uint16_t type, uint16_t flags, uint32_t change);
/* The link that a message is about, by index or IFLA_IFNAME, IFLA_ALT_IFNAME: with a reference;
 * NULL and *err. */
struct link *rtnl_find_link(struct nl_req *rq, int32_t index, const struct nlattr *name,
	const struct nlattr *alt);
const char *rtnl_qdisc(const struct link *l);
struct rtnl_link_stats64;
void rtnl_link_stats(const struct link *l, struct rtnl_link_stats64 *o);
void rtnl_link_event(struct net_ns *net, struct link *l, bool del, uint32_t change);
/* --- rtnl_setlink.c --- */
int rtnl_newlink(struct nl_req *rq);
int rtnl_setlink(struct nl_req *rq);
int rtnl_dellink(struct nl_req *rq);
/* --- the others --- */
int rtnl_newaddr(struct nl_req *rq);
int rtnl_deladdr(struct nl_req *rq);
int rtnl_getaddr(struct nl_req *rq);
int rtnl_newroute(struct nl_req *rq);
int rtnl_delroute(struct nl_req *rq);
int rtnl_getroute(struct nl_req *rq);
int rtnl_newneigh(struct nl_req *rq);
int rtnl_delneigh(struct nl_req *rq);
int rtnl_getneigh(struct nl_req *rq);
int rtnl_newrule(struct nl_req *rq);
int rtnl_delrule(struct nl_req *rq);
int rtnl_newnsid(struct nl_req *rq);
int rtnl_getnsid(struct nl_req *rq);
void rtnl_event_init(void);
void uevent_link(struct net_ns *net, struct link *l, bool del);
void rtnl_link_init(void);
void rtnl_addr_init(void);
void rtnl_route_init(void);
void rtnl_neigh_init(void);
void rtnl_rule_init(void);
void rtnl_misc_init(void);

/* Of a TOS: what no route or rule can ask for. */
#define RTNL_ECN_BITS 3

/* A dump's walk lives in its pos[]. */
#define NL_WALK(type, d)                                                                           \
	(__extension__({                                                                           \
		_Static_assert(sizeof(type) <= sizeof((d)->pos), "fits");                          \
		(type *)(d)->pos;                                                                  \
	}))

#endif
