/* Private to sentry/net/link. */
#ifndef SENTRY_NET_LINK_LINK_PRIV_H
#define SENTRY_NET_LINK_LINK_PRIV_H

#include "sentry/net/link/link.h"

/* A link-layer group that is to be received. */
struct link_mc {
	struct list_node node; /* struct link.hw_mc */
	uint32_t users;
	uint8_t addr[LINK_ADDR_MAX];
};

/* Cuts p, whose data begins at the link header, and sends the pieces; takes p over. */
void link_xmit_segments(struct link *l, struct pkt *p);

/* A frame came in by a port of a bridge, and was seen by the port's taps: false: it is the port's
 * own business.  Else takes p over.  data at the network header, l2 in front of it. */
bool bridge_input(struct net_ns *net, struct link *port, struct pkt *p);
/* p came in by l, as far as upper layers are concerned; data at the network header.  Takes p
 * over. */
void link_pass_up(struct net_ns *net, struct link *l, struct pkt *p);
void link_random_addr(struct link *l);

int veth_create(struct net_ns *net, const struct link_attrs *a, struct link **out);
void veth_init(void);
int bridge_create(struct net_ns *net, const struct link_attrs *a, struct link **out);
void bridge_init(void);
void dummy_init(void);
/* A link of a kind with what a has to say of its address and mtu. */
int link_new_of(enum link_kind kind, const uint8_t *addr, uint32_t mtu, struct link **out);
/* Registers l under a name of a, or of its kind.  On failure l is dropped. */
int link_register_as(struct net_ns *net, struct link *l, const char *name, int32_t index);
void loopback_init(void);

/* Taps may be added from now on; or not any more: those there are go by NET_LINK_DEL. */
void link_set_tappable(struct link *l, bool on);

#endif
