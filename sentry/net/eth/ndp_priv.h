/* Private to sentry/net/eth: neighbour discovery for IPv6 (RFC 4861, 4862, 7527). */
#ifndef SENTRY_NET_ETH_NDP_PRIV_H
#define SENTRY_NET_ETH_NDP_PRIV_H

#include "sentry/net/eth/eth_priv.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/ip.h"

/* Bounds: of what others can make us keep. */
#define NDP_MSG_MAX 2048u     /* bytes of a message; longer ones are dropped */
#define NDP_ROUTERS_MAX 16u   /* default routers a namespace */
#define NDP_PREFIXES_MAX 64u  /* routes to prefixes a namespace */
#define NDP_REDIRECTS_MAX 64u /* a namespace */
#define NDP_DADS_MAX                                                                               \
	256u /* addresses that are being checked at once; more wait for nothing:                   \
	      * they are used unchecked */

enum { /* RFC 4861, 4; RFC 3971 5.3.2 */
	NDP_RS = 133,
	NDP_RA = 134,
	NDP_NS = 135,
	NDP_NA = 136,
	NDP_REDIRECT = 137,
};
enum {
	NDP_OPT_SLLA = 1,
	NDP_OPT_TLLA = 2,
	NDP_OPT_PREFIX = 3,
	NDP_OPT_REDIRECTED = 4,
	NDP_OPT_MTU = 5,
	NDP_OPT_NONCE = 14,
};
#define NDP_NONCE 6 /* bytes; RFC 3971: the option is then one unit of 8 */

#define NDP_NA_ROUTER 0x80u
#define NDP_NA_SOLICITED 0x40u
#define NDP_NA_OVERRIDE 0x20u

/* A message that was found to be well-formed; fixed is what lies in front of the options. */
struct ndp_in {
	struct net_ns *net;
	struct link *link;
	uint8_t type;
	bool to_multicast, from_self; /* by its destination; a copy of our own */
	struct ip_addr src, dst;
	uint32_t len;               /* of the message */
	const uint8_t *msg;         /* of it, ICMPv6 header included */
	const uint8_t *slla, *tlla; /* 6 bytes in msg; NULL: not there */
	const uint8_t *nonce;       /* NDP_NONCE bytes */
	const uint8_t *mtu;         /* the option */
	uint32_t options;           /* where they begin */
};
/* The next option of in from *at on (0: the first): its 8 * n bytes, or NULL. */
const uint8_t *ndp_option_next(const struct ndp_in *in, uint32_t *at);

/* --- ndp.c --- */
struct ndp_out {
	struct ip_addr src, dst;
	uint8_t type;
	uint8_t flags;                /* of an advertisement */
	const struct ip_addr *target; /* NULL: none (router solicitation) */
	uint8_t lla;                  /* NDP_OPT_SLLA, NDP_OPT_TLLA: our address; 0: none */
	const uint8_t *nonce;         /* NULL: none */
};
void ndp_send(struct net_ns *net, struct link *l, const struct ndp_out *o);
struct ip_addr ndp_solicited_node(const struct ip_addr *a);
struct ip_addr ndp_all_nodes(void);
/* Linux' ndisc_update. */
void ndp_learn(const struct ndp_in *in, const struct ip_addr *who, const uint8_t *lla,
	uint16_t state, uint32_t flags);
/* ff02::1 is told that a is ours: ndisc_notify. */
void ndp_announce(struct net_ns *net, struct link *l, const struct ip_addr *a);
/* The larger of all and the link's. */
static inline int32_t ndp_conf(struct net_ns *net, struct link *l, enum ip_conf which)
{
	return ip_conf_get(net, l, IP_CONF_LINK, which);
}

/* --- dad.c --- */
bool ndp_is_tentative(struct net_ns *net, const struct link *l, const struct ip_addr *a);
/* Somebody else asks for (nonce: of the question, or NULL) or has a tentative address. */
void ndp_dad_heard(struct net_ns *net, struct link *l, const struct ip_addr *a,
	const uint8_t *nonce, bool question);
int64_t ndp_dad_expire(struct eth_net *e, int64_t now);
void ndp_dad_flush(struct net_ns *net, struct link *l); /* NULL: all */
/* The address was deleted. */
void ndp_dad_forget(struct net_ns *net, int32_t index, const struct ip_addr *a);

/* --- ra.c --- */
void ndp_ra_input(const struct ndp_in *in);
void ndp_redirect_input(const struct ndp_in *in);
/* A link-local address may be used: routers are asked for. */
void ndp_rs_start(struct net_ns *net, struct link *l);
/* What is due of routers: solicitations, lifetimes. */
int64_t ndp_ra_expire(struct eth_net *e, int64_t now);
void ndp_ra_flush(struct net_ns *net, struct link *l);
/* Forgets them all: the namespace goes. */
void ndp_ra_drop(struct eth_net *e);
/* a says that it is no router any more. */
void ndp_router_gone(struct net_ns *net, struct link *l, const struct ip_addr *a);

#endif
