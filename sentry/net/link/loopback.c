/* The loopback link: what is sent comes in again, in the sender's own net_run. */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>

#include "sentry/net/link/link_priv.h"
#include "sentry/net/pkt/pkt.h"

#define LOOPBACK_MTU 65536u

static void loopback_xmit(struct link *l, struct pkt *p)
{
	(void)l;
	/* Linux gives it an Ethernet header of zeros, which packet sockets see. */
	p->type = PKT_HOST;
	if (p->csum == PKT_CSUM_PARTIAL)
		p->csum = PKT_CSUM_OK;
	pkt_orphan(p);
	net_defer(p);
}

static const struct link_ops loopback_ops = {.xmit = loopback_xmit};

void loopback_init(void)
{
	link_ops_register(LINK_LOOPBACK, &loopback_ops);
}

int loopback_create(struct net_ns *net)
{
	struct link *l = link_new(LINK_LOOPBACK, ARPHRD_LOOPBACK);
	if (!l)
		return -ENOMEM;
	l->flags = IFF_LOOPBACK;
	l->addr_len = ETH_ALEN;
	l->mtu = LOOPBACK_MTU;
	l->min_mtu = 0;
	l->max_mtu = INT32_MAX;
	l->gso = l->csum = true;
	return link_register(net, l, "lo", 1);
}
