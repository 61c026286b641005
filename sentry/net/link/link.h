/*
 * Links (network devices): netdevice(7).  What is the same for all of them: names,
 * flags, addresses of the link layer, counters, who listens to packets (taps), and how
 * packets enter and leave.  A kind of link registers a table of operations by its
 * number; there are loopback, fdlink (a host's AF_PACKET socket or tap), veth, bridge.
 *
 * The way of a packet.
 *   out: the IP layer has put it together -> (eth/: neighbour, Ethernet header) ->
 *        link_output -> taps -> ops->xmit, which takes it over.
 *   in:  link_input: taps, Ethernet header, then by protocol to ip/ or eth/ (ARP).
 *
 * Who runs it.  The kinds that lead back into this sandbox (loopback, veth) do not call
 * link_input: a sender has its socket's lock, and the receiver's would be taken inside it.
 * They hand the packet to net_defer, which puts it on a list of the calling thread, and
 * the thread delivers all of it in net_run, which it calls when it has let go of its
 * locks.  The rule: whoever takes the lock of an inet, packet or netlink socket, handles a
 * timer of the stack, or reads frames, calls net_run after its last unlock and before it
 * sleeps or returns to its guest (inet_unlock and the timer glue do).  net_run within net_run
 * returns at once: the outer one goes on until nothing is left.
 *
 * Locks.  net->link_lock (LOCK_LINK) guards the list of links, names, flags and
 * addresses (taps have a lock of their own: run.c); flags, mtu and counters are read without.
 * Packets go with no lock held but, on the way out, the sender's socket (LOCK_SOCK).
 *
 * Links can be plugged together in circles.  So a packet is dropped when it was deferred
 * NET_DEFER_HOPS times, and the list of a thread is no longer than netdev_max_backlog, nor than
 * NET_DEFER_MAX: a storm ends, and until then costs only the thread that made it.
 *
 * References: the namespace owns each of its links; so do packets, routes, neighbours and
 * whoever looked one up.  A link that is deleted or moves is first taken down (IFF_UP off, events),
 * its index and name forgotten; who still has it finds it down: link_output frees the packet.
 */
#ifndef SENTRY_NET_LINK_LINK_H
#define SENTRY_NET_LINK_LINK_H

#include <sys/socket.h>

#include <linux/if.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/lock.h"
#include "lib/ref.h"
#include "sentry/net/eth/eth_link.h"
#include "sentry/net/ipaddr.h"
#include "sentry/net/link/tap.h"

struct net_ns;
struct pkt;
struct ip_link;

enum link_kind { LINK_LOOPBACK, LINK_FD, LINK_VETH, LINK_BRIDGE, LINK_DUMMY, LINK_KIND_NR = 8 };

#define LINK_NAME_MAX 16 /* IFNAMSIZ */
#define LINK_ADDR_MAX 8
#define LINK_ETH_MTU_MIN 68u

/* net_device's rtnl_link_stats64, of which these are ever counted.  Atomic words. */
struct link_stats {
	uint64_t rx_packets, rx_bytes, rx_errors, rx_dropped, rx_multicast;
	uint64_t tx_packets, tx_bytes, tx_errors, tx_dropped;
};

struct link {
	struct ref ref;
	struct net_ns *net; /* borrowed, see link_net_get; link_lock of the old and the new one */
	bool gone;          /* atomic: unregistered; never comes back */
	struct list_node node; /* in net->links, by index */
	int32_t index;
	uint8_t kind;     /* enum link_kind */
	uint8_t addr_len; /* 6, or 0 */
	uint16_t hatype;  /* ARPHRD_ETHER, ARPHRD_LOOPBACK */
	char name[LINK_NAME_MAX];
	char alias[256]; /* a string, link_lock */
	uint8_t addr[LINK_ADDR_MAX], broadcast[LINK_ADDR_MAX], perm_addr[LINK_ADDR_MAX];
	uint32_t flags;  /* atomic: IFF_UP, IFF_BROADCAST, IFF_LOOPBACK, IFF_RUNNING ...; PROMISC
			  * and ALLMULTI while anybody wants them */
	uint32_t gflags; /* atomic: of IFF_PROMISC and IFF_ALLMULTI what was set by a user */
	bool no_carrier; /* atomic: link_set_carrier */
	bool was_up;     /* atomic: has been up since it was made; netlink/'s */
	uint32_t mtu, min_mtu, max_mtu; /* mtu: atomic */
	uint32_t txqlen, group, promiscuity, allmulti;
	bool gso;  /* takes packets with gso_size (link_output segments them otherwise) */
	bool csum; /* takes PKT_CSUM_PARTIAL (link_output finishes it otherwise) */
	struct link_stats stats;
	int32_t master,
		peer_index;     /* index of the bridge it is a port of; veth: of the other end */
	struct list_node taps;  /* struct link_tap; run.c's lock of all taps */
	bool tappable;          /* it is in its namespace: may have taps; that lock */
	uint32_t ntaps;         /* atomic: length of it */
	struct list_node hw_mc; /* struct link_mc: link-layer groups joined; link_lock */
	struct ip_link *ip;     /* owned: addresses and settings of the IP layers (ip/) */
	struct eth_link eth;    /* of eth/ */
	union {
		struct { /* LINK_FD */
			struct fdlink *fd;
		};
		struct {                   /* LINK_VETH */
			struct link *peer; /* owned; atomic, see link_peer_get */
		};
		struct { /* LINK_BRIDGE */
			struct bridge *bridge;
		};
	};
	/* As a port of a bridge (bridge.c). */
	struct link *bridge_link;   /* owned; atomic, see link_peer_get; NULL: it is none */
	struct list_node port_node; /* in struct bridge.ports; its lock */
	bool addr_set, mtu_set;     /* a user said so: a bridge no longer follows its ports */
};

struct link_ops {
	const char *name; /* IFLA_INFO_KIND; NULL: none */
	/* Takes p over: a whole frame (Ethernet header included if hatype is Ethernet).  May be
	 * called with a socket's lock held; does not sleep for long, never delivers itself. */
	void (*xmit)(struct link *l, struct pkt *p);
	/* May be NULL.  Without locks. */
	int (*up)(struct link *l);
	void (*down)(struct link *l);
	void (*changed)(struct link *l); /* mtu, promiscuity, groups */
	void (*gone)(struct link *l);    /* it is out of its namespace, for good */
	void (*destroy)(struct link *l); /* the last reference is gone */
};
void link_ops_register(enum link_kind kind, const struct link_ops *ops);
/* What makes link.ip, before anybody can see the link (NULL: out of memory), and frees it when the
 * last reference is gone; at start-up. */
typedef struct ip_link *link_ip_new_fn(struct net_ns *net, struct link *l);
void link_ip_register(link_ip_new_fn *new_ip, void (*free_ip)(struct ip_link *ip));
const struct link_ops *link_ops(const struct link *l);

/* --- packets --- */

/* Sends: p->link is set (and owned by p).  Frees p if the link is down.  Takes p over. */
void link_output(struct pkt *p);
/* A frame came in by p->link; data begins at its link header.  Sets p->net, on which it holds a
 * reference until all is done.  Takes p over. */
void link_input(struct pkt *p);
/* The same, but not now: in this thread's next net_run.  Takes p over. */
void net_defer(struct pkt *p);
void net_run(void);
/* Does this thread have packets to deliver?  For assertions. */
bool net_run_pending(void);
/* pkt_free for who may hold a socket's lock: in this thread's next net_run.  NULL-safe. */
void net_defer_free(struct pkt *p);
#define NET_DEFER_HOPS 64
#define NET_DEFER_MAX 16384u /* packets on a thread's list, whatever netdev_max_backlog is */

/* Upper protocols by ETH_P_* (host order); at start-up.  Takes p over: data begins at the network
 * header, p->l3 is set, p->type says for whom the frame was. */
typedef void (*link_proto_fn)(struct pkt *p);
void link_proto_register(uint16_t protocol, link_proto_fn fn);

/* Who sees every packet of a link, or of all links of a namespace, both ways (AF_PACKET,
 * --pcap-log): p is borrowed; on the way out p->type is PKT_OUTGOING.  The functions are registered
 * by kind at start-up.  Called without link_lock and with, perhaps, a socket's lock. */
typedef void (*link_tap_fn)(struct link_tap *tap, struct pkt *p);
typedef void (*link_tap_put_fn)(struct link_tap *tap); /* drops the reference */
void link_tap_register(enum link_tap_kind kind, link_tap_fn fn, link_tap_put_fn put);
/* l NULL: all links of net. */
void link_tap_add(struct net_ns *net, struct link *l, struct link_tap *tap);
void link_tap_del(struct net_ns *net, struct link *l, struct link_tap *tap);

/* --- the links of a namespace --- */

static inline struct link *link_get(struct link *l)
{
	ref_get(&l->ref);
	return l;
}
void link_put(struct link *l); /* NULL-safe */
/* The namespace that it is in, with a reference; NULL: it is deleted, or its namespace is going. */
struct net_ns *link_net_get(struct link *l);

/* So many links a namespace at most: link_register's -ENOBUFS. */
#define LINKS_MAX 1024u
/* A new one, not yet in any namespace: its kind's part, flags and addresses are the caller's to
 * fill.  NULL: out of memory. */
struct link *link_new(enum link_kind kind, uint16_t hatype);
/* Puts it into net: name may hold one %d; index 0: the next free one.  Takes over the caller's
 * reference on success.  -EEXIST, -EBUSY (index), -EINVAL (name), -ENFILE, -ENOBUFS. */
int link_register(struct net_ns *net, struct link *l, const char *name, int32_t index);
/* Takes it down and out: drops the namespace's reference. */
void link_unregister(struct link *l);
/* To another namespace, down, under its name or, if that is taken, name (or "dev%d" if NULL).
 * -EINVAL: lo and bridges stay (NETIF_F_NETNS_LOCAL); -EEXIST. */
int link_move(struct link *l, struct net_ns *to, const char *name);
/* With a reference; NULL: there is none. */
struct link *link_by_index(struct net_ns *net, int32_t index);
struct link *link_by_name(struct net_ns *net, const char *name);
/* The first one with an index above after (0: the first of all); to walk without a lock. */
struct link *link_next(struct net_ns *net, int32_t after);

/* Changes; each tells who listens to events.  0 or -errno as rtnetlink(7) would. */
int link_set_flags(struct link *l, uint32_t flags,
	uint32_t mask);                         /* IFF_UP, PROMISC, ALLMULTI ... */
int link_set_mtu(struct link *l, uint32_t mtu); /* -EINVAL */
int link_set_addr(struct link *l, const uint8_t *addr, uint8_t len);
int link_set_name(struct link *l, const char *name); /* up or down, as Linux 6.3 and later */
void link_promiscuity(struct link *l, int delta);
void link_allmulti(struct link *l, int delta);
/* Link-layer groups that are to be received: counted. */
int link_mc_join(struct link *l, const uint8_t *addr);
void link_mc_leave(struct link *l, const uint8_t *addr);
/* The n-th of them; false: there is none. */
bool link_mc_get(struct link *l, uint32_t n, uint8_t addr[LINK_ADDR_MAX], uint32_t *users);

static inline bool link_is_up(const struct link *l)
{
	return (__atomic_load_n(&l->flags, __ATOMIC_ACQUIRE) & IFF_UP) != 0;
}
/* The other end is there (veth's peer is up): IFF_RUNNING and IFF_LOWER_UP of a link that is up. */
void link_set_carrier(struct link *l, bool on);
/* As SIOCGIFFLAGS and rtnetlink show them (Linux' dev_get_flags). */
uint32_t link_flags(const struct link *l);
uint8_t link_operstate(const struct link *l); /* IF_OPER_* */

/* --- kinds --- */

/* What RTM_NEWLINK may say of a new one. */
struct link_attrs {
	const char *kind;    /* "veth", "bridge", "dummy" */
	const char *name;    /* may hold %d; NULL or "": the kind and a number */
	int32_t index;       /* 0: any */
	const uint8_t *addr; /* 6 bytes; NULL: a random one */
	uint32_t mtu;        /* 0: the kind's */
	/* veth: the other end. */
	struct net_ns *peer_net; /* NULL: the same */
	const char *peer_name;
	int32_t peer_index;
	const uint8_t *peer_addr;
	uint32_t peer_mtu;
};
/* With net_cfg_lock.  out (may be NULL): with a reference.  -EOPNOTSUPP: no such kind; -EINVAL,
 * -EADDRNOTAVAIL and link_register's errors. */
int link_create(struct net_ns *net, const struct link_attrs *a, struct link **out);
/* Can a user make and delete links of l's kind? */
bool link_is_virtual(const struct link *l);
/* Makes l a port of the bridge (NULL: of none).  With net_cfg_lock.  -EINVAL, -ELOOP, -EBUSY,
 * -EOPNOTSUPP (bridge is none). */
int link_set_master(struct link *l, struct link *bridge);
/* How long a bridge remembers who is where, in ns. */
int64_t bridge_ageing(const struct link *l);
void bridge_set_ageing(struct link *l, int64_t ns);
/* What *at points to, with a reference, or NULL.  Who clears *at (an owned reference) does so
 * before he drops it, and memory of links stays of that type: if it is still there when the count
 * was raised, it is the one. */
struct link *link_peer_get(struct link *const *at);

int loopback_create(struct net_ns *net); /* "lo", index 1, down: 0 or -ENOMEM */

/* For net_ns.c */
int link_ns_init(struct net_ns *net);
void link_ns_fini(struct net_ns *net); /* unregisters all of them */
void link_init(void);                  /* registers kinds; once */

#endif
