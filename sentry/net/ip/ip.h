/*
 * The network layer, IPv4 (RFC 791, 1122) and IPv6 (RFC 8200) by one interface: packets from
 * transports to links and back.
 *
 *   out: a transport has a route (route.h) and a packet that begins at its transport header;
 *        ip_output puts the network header in front, fragments what must be, and hands it to
 *        neigh_output (eth/) or, without a link layer, to link_output.
 *   in:  ip4_input and ip6_input check the header, decide whether it is for us (else forward.c),
 *        reassemble, and give it to the transport that is registered for its protocol;
 *        copies go to raw sockets before.
 *
 * Hooks: packets pass net_hook in the five places of netfilter.  Nobody hooks there yet.
 */
#ifndef SENTRY_NET_IP_IP_H
#define SENTRY_NET_IP_IP_H

#include <netinet/in.h>

#include "sentry/net/ip/route.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"

/* --- transports --- */

/* An ICMP error about a packet that we sent, as transports want it. */
struct ip_error {
	struct ip_addr from;     /* who sent the error */
	struct ip_addr src, dst; /* of the packet it is about: src is ours */
	uint8_t type, code;      /* of ICMP, or ICMPv6 if src is an IPv6 address */
	uint8_t proto;
	bool hard;        /* Linux: the connection is to fail */
	int err;          /* positive errno */
	uint32_t info;    /* next-hop MTU of "packet too big"/"fragmentation needed"; pointer of a
			   * parameter problem */
	uint16_t hlen;    /* bytes of the quoted packet in front of its transport header */
	uint16_t ext_len; /* RFC 4884: bytes of the packet that are quoted before extensions; 0:
			   * none */
	bool ext_bad;     /* their checksum or lengths are wrong */
};

struct ip_proto {
	/* data begins at the transport header, l3 and ip are set; takes p over. */
	void (*input)(struct pkt *p);
	/* p begins at the transport header of the packet it is about, 8 bytes of it are there;
	 * borrowed; may be NULL. */
	void (*error)(struct pkt *p, const struct ip_error *e);
};
/* At start-up; both families. */
void ip_proto_register(uint8_t proto, const struct ip_proto *ops);
/* Raw sockets see every packet that is for us first, put together, with data at the network header
 * (IPv4) or behind the extension headers (IPv6): borrowed.  Returns whether one wanted it
 * (no "protocol unreachable" is sent then). */
typedef bool (*ip_raw_fn)(struct pkt *p);
void ip_raw_register(ip_raw_fn fn);
/* Ping sockets: input gets echo replies, of either family, checked, with data at the ICMP header;
 * error those about our echo requests. */
void icmp_ping_register(const struct ip_proto *ops);
/* And every ICMP error. */
typedef void (*ip_raw_error_fn)(struct pkt *p, const struct ip_error *e);
void ip_raw_error_register(ip_raw_error_fn fn);

/* --- output --- */

enum ip_pmtudisc { /* IP_PMTUDISC_*, IPV6_PMTUDISC_* */
	IP_PMTU_DONT,
	IP_PMTU_WANT,
	IP_PMTU_DO,
	IP_PMTU_PROBE,
	IP_PMTU_INTERFACE,
	IP_PMTU_OMIT,
};

/* What a sender may say about the header. */
struct ip_tx {
	uint8_t proto;
	uint8_t tos;      /* or traffic class */
	int16_t ttl;      /* or hop limit; -1: the route's, or by namespace; of multicasts 1 */
	uint8_t pmtudisc; /* enum ip_pmtudisc */
	bool nodefrag;    /* never fragment here: -EMSGSIZE (IPV6_DONTFRAG) */
	bool hdrincl;     /* p begins with a network header already (IP_HDRINCL) */
	bool mc_noloop;   /* own groups do not get it (IP_MULTICAST_LOOP off) */
	bool autolabel;   /* IPv6: without a flow label, one by the flow */
	uint32_t flowlabel;
	uint32_t priority, mark;
	uint32_t frag_size; /* IPV6_MTU, IP_MTU: at most; 0: the route's */
	const uint8_t *opt; /* IPv4 options, padded; IPv6: extension headers in order, whose last
			     * next-header field is filled in here; first one's number: opt_first */
	uint16_t opt_len;
	uint8_t opt_first;
};

/*
 * Sends p, which begins at its transport header (l4 is set), from f->src to f->dst.  rt is the
 * caller's.  Takes p over.  0; -EMSGSIZE (with pmtudisc, or too long), -ENOBUFS, -ENETDOWN.
 */
int ip_output(struct net_ns *net, struct pkt *p, const struct flow *f, const struct route *rt,
	const struct ip_tx *tx);
/* Bytes of header and options that ip_output will put in front. */
uint32_t ip_header_len(const struct flow *f, const struct ip_tx *tx);

/* Largest network-layer packet for this destination now: of the route, its link and what "packet
 * too big" has taught us. */
uint32_t ip_mtu(const struct route *rt);
/*
 * No more than mtu bytes get through.  A transport says so: in its error() once it knows that the
 * packet in question was its own (RFC 5927, 7) and its pmtudisc lets it learn, or when it
 * found a black hole.  Nobody else does: a forged error is to teach nothing.
 */
void ip_pmtu_learn(struct net_ns *net, const struct ip_addr *dst, uint32_t mtu, int32_t oif);

/* A router on link oif, which the caller found to be the next hop for dst now, says that gw is a
 * better one (RFC 1122, 3.2.2.2; RFC 4861, 8). */
void ip_redirect_learn(struct net_ns *net, const struct ip_addr *dst, const struct ip_addr *gw,
	int32_t oif);

/* --- input; registered with link_proto_register --- */
void ip4_input(struct pkt *p);
void ip6_input(struct pkt *p);

/* Answers p, which came in (l3 and ip set), with an ICMP error, if RFC 1122 3.2.2 and the rate
 * limits let us.  p is borrowed. */
void icmp_send_error(struct pkt *p, uint8_t type, uint8_t code, uint32_t info);
/* "Port unreachable", in the right family. */
void icmp_port_unreachable(struct pkt *p);

/* --- groups (igmp.c, mld.c): which multicasts a link receives --- */
enum { IP_MC_EXCLUDE = 0, IP_MC_INCLUDE = 1 }; /* MCAST_EXCLUDE, MCAST_INCLUDE */
/*
 * The filter of one socket for a group changes: from (nothing, or old) to new; the link's is the
 * union (RFC 3376, 3.2).  sources: may be NULL if n is 0.  0 or -ENOBUFS, -ENODEV.
 */
struct ip_mc_filter {
	uint8_t mode;
	uint32_t n;
	const struct ip_addr *sources;
};
int ip_mc_change(struct link *l, const struct ip_addr *group, const struct ip_mc_filter *from,
	const struct ip_mc_filter *to); /* NULL: not a member */
/* The n-th group of a link, for /proc; false: there is none. */
struct ip_mc_info {
	struct ip_addr group;
	uint32_t users;
	bool reporter; /* the last to have told routers of it */
};
bool ip_mc_get(struct link *l, bool v6, uint32_t n, struct ip_mc_info *out);
/* Its n-th source: how many filters let it in, and keep it out. */
struct ip_mc_source_info {
	struct ip_addr source;
	uint32_t include, exclude;
};
bool ip_mc_source_get(struct link *l, const struct ip_addr *group, uint32_t n,
	struct ip_mc_source_info *out);
bool ip_mc_member(struct link *l, const struct ip_addr *group, const struct ip_addr *src);

/* --- netfilter's places --- */
enum net_hook { NET_PREROUTING, NET_LOCAL_IN, NET_FORWARD, NET_LOCAL_OUT, NET_POSTROUTING };
/* True: go on.  False: p was dropped or stolen. */
static inline bool net_hook(enum net_hook hook, struct pkt *p)
{
	(void)hook;
	(void)p;
	return true;
}

void ip_init(void);                  /* registers everything; once */
int ip_ns_init(struct net_ns *net);  /* 0 or -ENOMEM */
void ip_ns_fini(struct net_ns *net); /* after the links went */
/* What runc does in a new namespace: lo is up, with 127.0.0.1/8 and ::1/128. */
int ip_loopback_up(struct net_ns *net);

#endif
