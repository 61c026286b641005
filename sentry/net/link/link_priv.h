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

void loopback_init(void);

#endif
