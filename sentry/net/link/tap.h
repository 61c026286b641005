/* Who sees every packet of a link, or of all links of a namespace, both ways: link.h. */
#ifndef SENTRY_NET_LINK_TAP_H
#define SENTRY_NET_LINK_TAP_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/list.h"
#include "lib/ref.h"

enum link_tap_kind { LINK_TAP_PACKET, LINK_TAP_PCAP, LINK_TAP_KIND_NR };
struct link_tap {
	struct list_node node;
	uint8_t kind;
	bool on;         /* linked; link_lock */
	struct ref *ref; /* of the owner: taken unless zero for each call */
};

#endif
