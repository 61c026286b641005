/* Packets on their way to a neighbour: see neigh.h. */
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include "sentry/net/eth/eth_priv.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/pkt/pkt.h"

#define USED_GRAIN                                                                                 \
	10000000 /* ns: so that senders on other CPUs do not write one word all the time */

static uint16_t protocol_of(struct pkt *p)
{
	return pkt_head_len(p) && pkt_data(p)[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP;
}

static void touch(struct neigh *n)
{
	int64_t now = time_monotonic();
	if (now - READ_ONCE(n->used) > USED_GRAIN)
		WRITE_ONCE(n->used, now);
}

/* Its address is not known, or doubtful. */
static void output_slow(struct pkt *p, struct neigh *n)
{
	struct net_ns *net = p->net;
	struct neigh_todo t;
	neigh_todo_init(&t);
	/* n->net is read for comparison only: once n is dead it may be of the past. */
	if (READ_ONCE(n->net) != net) {
		net_defer_free(p);
		return;
	}
	mutex_lock(&net->eth->lock);
	neigh_event_send(net->eth, n, p, &t);
	mutex_unlock(&net->eth->lock);
	neigh_todo_run(net, &t);
}

void neigh_output(struct pkt *p, struct neigh *n, const struct ip_addr *dst)
{
	uint64_t addr;
	if (p->link->hatype != ARPHRD_ETHER) {
		p->l3 = p->data;
		p->protocol = protocol_of(p);
		link_output(p);
		return;
	}
	if (!n) {
		if (eth_map_group(p->link, dst, &addr))
			eth_output(p, addr, protocol_of(p));
		else
			net_defer_free(p);
		return;
	}
	uint16_t state = __atomic_load_n(&n->state, __ATOMIC_ACQUIRE);
	if (unlikely(!(state & (NUD_CONNECTED | NUD_DELAY | NUD_PROBE)))) {
		output_slow(p, n);
		return;
	}
	touch(n);
	eth_output(p, __atomic_load_n(&n->addr, __ATOMIC_ACQUIRE), protocol_of(p));
}

void neigh_send_queued(struct net_ns *net, struct neigh *n, struct pkt *p)
{
	p->net = net;
	eth_output(p, __atomic_load_n(&n->addr, __ATOMIC_ACQUIRE), protocol_of(p));
}

static void read_v4(struct pkt *p)
{
	uint32_t a[2];
	memcpy(a, pkt_data(p) + 12, sizeof(a));
	p->ip = (struct pkt_ip){.src = ip_v4(a[0]),
		.dst = ip_v4(a[1]),
		.proto = pkt_data(p)[9],
		.ttl = pkt_data(p)[8],
		.tos = pkt_data(p)[1]};
}

/* Nobody answered: whoever sent p, here or elsewhere, is told (RFC 1812, 5.2.7.1; RFC 4443,
 * 3.1). */
void neigh_report(struct net_ns *net, struct pkt *p)
{
	p->net = net;
	p->l3 = p->data;
	if (protocol_of(p) == ETH_P_IP && pkt_want(p, 20)) {
		read_v4(p);
		icmp_send_error(p, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, 0);
	} else if (protocol_of(p) == ETH_P_IPV6 && pkt_want(p, 40)) {
		p->ip = (struct pkt_ip){.src = ip_v6(pkt_data(p) + 8),
			.dst = ip_v6(pkt_data(p) + 24),
			.proto = pkt_data(p)[6],
			.ttl = pkt_data(p)[7]};
		icmp_send_error(p, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR, 0);
	}
	net_defer_free(p);
}
