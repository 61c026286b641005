/*
 * /sys/class/net and /sys/devices/virtual/net: the links of the reader's network namespace
 * (net/core/net-sysfs.c of Linux).
 */
#include "sentry/procfs/sysfs_net_priv.h"

#include <linux/if_arp.h>

#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"

static const char *operstate(const struct link *l)
{
	switch (link_operstate(l)) {
	case IF_OPER_UP:
		return "up";
	case IF_OPER_DOWN:
		return "down";
	case IF_OPER_LOWERLAYERDOWN:
		return "lowerlayerdown";
	default:
		return "unknown";
	}
}

static void put_mac(struct text *t, struct net_ns *net, const struct link *l, const uint8_t *addr)
{
	uint8_t copy[LINK_ADDR_MAX];
	mutex_lock(&net->link_lock);
	memcpy(copy, addr, sizeof(copy));
	mutex_unlock(&net->link_lock);
	for (int i = 0; i < l->addr_len; i++)
		text_putf(t, "%s%02x", i ? ":" : "", copy[i]);
	text_puts(t, "\n");
}

static const uint64_t *counter(const struct link *l, int64_t which)
{
	switch (which) {
	case SN_MULTICAST:
		return &l->stats.rx_multicast;
	case SN_RX_BYTES:
		return &l->stats.rx_bytes;
	case SN_RX_PACKETS:
		return &l->stats.rx_packets;
	case SN_RX_ERRORS:
		return &l->stats.rx_errors;
	case SN_RX_DROPPED:
		return &l->stats.rx_dropped;
	case SN_TX_BYTES:
		return &l->stats.tx_bytes;
	case SN_TX_PACKETS:
		return &l->stats.tx_packets;
	case SN_TX_ERRORS:
		return &l->stats.tx_errors;
	case SN_TX_DROPPED:
		return &l->stats.tx_dropped;
	default:
		return NULL;
	}
}

/* Linux has no answer to these for a link that is down; a veth says 10 Gbit/s. */
static int put_of_running(const struct link *l, struct text *t, int64_t which)
{
	bool ethernet = l->kind == LINK_VETH || l->kind == LINK_FD;
	if (!link_is_up(l))
		return -EINVAL;
	switch (which) {
	case SN_CARRIER:
		text_puts(t, READ_ONCE(l->no_carrier) ? "0\n" : "1\n");
		return 0;
	case SN_DUPLEX:
		text_puts(t, "full\n");
		return ethernet ? 0 : -EINVAL;
	case SN_SPEED:
		text_puts(t, "10000\n");
		return ethernet ? 0 : -EINVAL;
	default: /* dormant, testing */
		text_puts(t, "0\n");
		return 0;
	}
}

/* Of a veth the other end's index. */
static int32_t iflink(struct link *l)
{
	struct link *peer = l->kind == LINK_VETH ? link_peer_get(&l->peer) : NULL;
	int32_t index = peer ? peer->index : l->index;
	link_put(peer);
	return index;
}

static void put_number(struct link *l, struct text *t, int64_t which)
{
	switch (which) {
	case SN_ADDR_ASSIGN: /* random, but of lo */
		text_putf(t, "%d\n", l->kind == LINK_LOOPBACK ? 0 : 3);
		break;
	case SN_ADDR_LEN:
		text_putf(t, "%u\n", l->addr_len);
		break;
	case SN_FLAGS:
		text_putf(t, "0x%x\n", link_flags(l) & 0xffff & ~(uint32_t)IFF_RUNNING);
		break;
	case SN_INDEX:
		text_putf(t, "%d\n", l->index);
		break;
	case SN_LINK:
		text_putf(t, "%d\n", iflink(l));
		break;
	case SN_MTU:
		text_putf(t, "%u\n", READ_ONCE(l->mtu));
		break;
	case SN_GROUP:
		text_putf(t, "%u\n", READ_ONCE(l->group));
		break;
	case SN_TXQLEN:
		text_putf(t, "%u\n", READ_ONCE(l->txqlen));
		break;
	case SN_TYPE:
		text_putf(t, "%u\n", l->hatype);
		break;
	case SN_HEX_ZERO:
		text_puts(t, "0x0\n");
		break;
	default:
		text_puts(t, "0\n");
	}
}

static int put_file(struct net_ns *net, struct link *l, struct text *t, int64_t which)
{
	const uint64_t *c = counter(l, which);
	if (c) {
		text_putf(t, "%lu\n", __atomic_load_n(c, __ATOMIC_RELAXED));
		return 0;
	}
	switch (which) {
	case SN_ADDRESS:
		put_mac(t, net, l, l->addr);
		return 0;
	case SN_BROADCAST:
		put_mac(t, net, l, l->broadcast);
		return 0;
	case SN_CARRIER:
	case SN_DORMANT:
	case SN_TESTING:
	case SN_DUPLEX:
	case SN_SPEED:
		return put_of_running(l, t, which);
	case SN_ALIAS:
		if (l->alias[0])
			text_putf(t, "%.63s\n", l->alias);
		return 0;
	case SN_OPERSTATE:
		text_putf(t, "%s\n", operstate(l));
		return 0;
	case SN_UEVENT:
		if (l->kind == LINK_BRIDGE)
			text_puts(t, "DEVTYPE=bridge\n");
		text_putf(t, "INTERFACE=%.15s\nIFINDEX=%d\n", l->name, l->index);
		return 0;
	default:
		put_number(l, t, which);
		return 0;
	}
}

int sysfs_show_net(struct pfs_req *rq, struct text *t)
{
	struct task *k = pfs_caller(rq);
	struct link *l = k && k->net ? link_by_index(k->net, rq->num) : NULL;
	if (!l)
		return -ENODEV;
	int err = put_file(k->net, l, t, rq->e->arg);
	link_put(l);
	return err;
}

int sysfs_link_net(struct pfs_req *rq, struct text *t)
{
	char name[PFS_STAR_NAME];
	if (!pfs_star_name(rq, rq->num, name))
		return -ENOENT;
	text_putf(t, "../../devices/virtual/net/%s", name);
	return 0;
}
