/* Options of packet sockets (SOL_PACKET): packet(7), net/packet/af_packet.c. */
#include <errno.h>
#include <limits.h>

#include "sentry/core/arena.h"
#include "sentry/net/packet/packet_priv.h"

static SLAB_SHARE(mc_slab, struct packet_mc, 256);

/* --- memberships: what the link is to receive for us --- */

static void mc_apply(struct packet_mc *m, bool on)
{
	switch (m->type) {
	case PACKET_MR_PROMISC:
		link_promiscuity(m->link, on ? 1 : -1);
		break;
	case PACKET_MR_ALLMULTI:
		link_allmulti(m->link, on ? 1 : -1);
		break;
	case PACKET_MR_MULTICAST:
		if (on)
			(void)link_mc_join(m->link, m->addr);
		else
			link_mc_leave(m->link, m->addr);
		break;
	}
}

static struct packet_mc *mc_find(struct packet_sock *s, const struct packet_mreq *q)
{
	struct packet_mc *m;
	list_for_each(m, &s->mc, node)
		if (m->link->index == q->mr_ifindex && m->type == q->mr_type &&
			m->alen == q->mr_alen && !memcmp(m->addr, q->mr_address, m->alen))
			return m;
	return NULL;
}

static int mc_add(struct packet_sock *s, const struct packet_mreq *q) REQUIRES(s->sk.lock)
{
	struct link *l = link_by_index(s->sk.net, q->mr_ifindex);
	if (!l)
		return -ENODEV;
	int err = q->mr_alen > l->addr_len ? -EINVAL : 0;
	struct packet_mc *m = err ? NULL : mc_find(s, q);
	if (err || m) {
		if (m)
			m->count++;
		link_put(l);
		return err;
	}
	if (q->mr_type > PACKET_MR_UNICAST ||
		(q->mr_type == PACKET_MR_MULTICAST && q->mr_alen != l->addr_len)) {
		link_put(l);
		return -EINVAL;
	}
	m = slab_alloc(&mc_slab);
	if (!m) {
		link_put(l);
		return -ENOBUFS;
	}
	m->link = l;
	m->type = q->mr_type;
	m->alen = q->mr_alen;
	m->count = 1;
	memcpy(m->addr, q->mr_address, m->alen);
	list_push_back(&s->mc, &m->node);
	mc_apply(m, true);
	return 0;
}

static void mc_free(struct packet_mc *m)
{
	mc_apply(m, false);
	list_del(&m->node);
	link_put(m->link);
	slab_free(&mc_slab, m);
}

/* What is not there is no error. */
static int mc_drop(struct packet_sock *s, const struct packet_mreq *q) REQUIRES(s->sk.lock)
{
	struct packet_mc *m = mc_find(s, q);
	if (m && !--m->count)
		mc_free(m);
	return 0;
}

void packet_drop_memberships(struct packet_sock *s)
{
	struct packet_mc *m, *tmp;
	list_for_each_safe(m, tmp, &s->mc, node)
		mc_free(m);
}

static int set_membership(struct packet_sock *s, int name, const void *val, uint32_t len)
{
	struct packet_mreq q = {0};
	if (len < sizeof(q))
		return -EINVAL;
	memcpy(&q, val, sizeof(q));
	if (q.mr_alen > sizeof(q.mr_address) ||
		len < q.mr_alen + offsetof(struct packet_mreq, mr_address))
		return -EINVAL;
	MUTEX_GUARD(&s->sk.lock);
	return name == PACKET_ADD_MEMBERSHIP ? mc_add(s, &q) : mc_drop(s, &q);
}

/* --- rings --- */

static int set_ring(struct packet_sock *s, bool tx, const void *val, uint32_t len)
{
	struct tpacket_req3 rq = {0};
	uint32_t need = s->version == TPACKET_V3 ? sizeof(rq) : sizeof(struct tpacket_req);
	if (len < need)
		return -EINVAL;
	memcpy(&rq, val, need);
	MUTEX_GUARD(&s->sk.lock);
	return packet_set_ring(s, &rq, tx);
}

static bool has_rings(const struct packet_sock *s)
{
	return s->q.rx.block_nr || s->tx.block_nr;
}

/* What may not change while there are rings. */
static int set_before_rings(struct packet_sock *s, int name, uint32_t v)
{
	if (name == PACKET_VERSION && v != TPACKET_V1 && v != TPACKET_V2 && v != TPACKET_V3)
		return -EINVAL;
	if (name == PACKET_RESERVE && v > INT_MAX)
		return -EINVAL;
	MUTEX_GUARD(&s->sk.lock);
	if (has_rings(s))
		return -EBUSY;
	switch (name) {
	case PACKET_VERSION:
		s->version = (uint8_t)v;
		break;
	case PACKET_RESERVE:
		s->reserve = v;
		break;
	case PACKET_LOSS:
		s->loss = v;
		break;
	case PACKET_VNET_HDR:
		s->vnet_hdr = v ? sizeof(struct virtio_net_hdr) : 0;
		break;
	case PACKET_VNET_HDR_SZ:
		s->vnet_hdr = (uint8_t)v;
		break;
	}
	return 0;
}

static int set_word(struct packet_sock *s, int name, uint32_t v)
{
	switch (name) {
	case PACKET_AUXDATA:
		WRITE_ONCE(s->auxdata, v != 0);
		return 0;
	case PACKET_ORIGDEV:
		WRITE_ONCE(s->origdev, v != 0);
		return 0;
	case PACKET_TIMESTAMP:
		WRITE_ONCE(s->tstamp, v);
		return 0;
	case PACKET_QDISC_BYPASS:
		WRITE_ONCE(s->qdisc_bypass, v != 0);
		return 0;
	case PACKET_IGNORE_OUTGOING:
		if (v > 1)
			return -EINVAL;
		WRITE_ONCE(s->ignore_outgoing, v != 0);
		return 0;
	case PACKET_TX_HAS_OFF: {
		MUTEX_GUARD(&s->sk.lock);
		if (!has_rings(s)) /* as Linux: silently nothing once there are */
			s->tx_has_off = v != 0;
		return 0;
	}
	case PACKET_VNET_HDR:
	case PACKET_VNET_HDR_SZ:
		if (name == PACKET_VNET_HDR_SZ && v && v != sizeof(struct virtio_net_hdr) &&
			v != sizeof(struct virtio_net_hdr_mrg_rxbuf))
			return -EINVAL;
		return set_before_rings(s, name, v);
	case PACKET_VERSION:
	case PACKET_RESERVE:
	case PACKET_LOSS:
		return set_before_rings(s, name, v);
	}
	return -ENOPROTOOPT;
}

/* Is len right for this option?  -EINVAL; -ENOPROTOOPT: there is no such option. */
static int check_len(const struct packet_sock *s, int name, uint32_t len)
{
	bool exact = false;
	switch (name) {
	case PACKET_VNET_HDR:
	case PACKET_VNET_HDR_SZ:
		if (s->sk.type != SOCK_RAW)
			return -EINVAL;
		break;
	case PACKET_AUXDATA:
	case PACKET_ORIGDEV:
		break;
	case PACKET_VERSION:
	case PACKET_RESERVE:
	case PACKET_LOSS:
	case PACKET_TIMESTAMP:
	case PACKET_IGNORE_OUTGOING:
	case PACKET_TX_HAS_OFF:
	case PACKET_QDISC_BYPASS:
		exact = true;
		break;
	default: /* PACKET_FANOUT and COPY_THRESH too: docs/CAVEATS.md */
		return -ENOPROTOOPT;
	}
	return len < sizeof(int) || (exact && len != sizeof(int)) ? -EINVAL : 0;
}

int packet_has_option(struct socket *sk, int level, int name, bool set)
{
	return level == SOL_PACKET ? 0 : -ENOPROTOOPT;
}

int packet_setsockopt(struct ctx *ctx, struct socket *sk, int level, int name, const void *val,
	uint32_t len)
{
	struct packet_sock *s = packet_of(sk);
	uint32_t v;
	if (level != SOL_PACKET)
		return -ENOPROTOOPT;
	switch (name) {
	case PACKET_ADD_MEMBERSHIP:
	case PACKET_DROP_MEMBERSHIP:
		return set_membership(s, name, val, len);
	case PACKET_RX_RING:
	case PACKET_TX_RING:
		return set_ring(s, name == PACKET_TX_RING, val, len);
	}
	int err = check_len(s, name, len);
	if (err)
		return err;
	memcpy(&v, val, sizeof(v));
	return set_word(s, name, v);
}

/* --- getsockopt --- */

/* Reading resets them. */
static int get_statistics(struct packet_sock *s, void *val, uint32_t *len)
{
	struct tpacket_stats_v3 st;
	mutex_lock(&s->q.lock);
	st.tp_packets = s->q.packets;
	st.tp_drops = s->q.drops;
	st.tp_freeze_q_cnt = s->q.freezes;
	s->q.packets = s->q.drops = s->q.freezes = 0;
	mutex_unlock(&s->q.lock);
	st.tp_packets += st.tp_drops;
	*len = MIN(*len, (uint32_t)(s->version == TPACKET_V3 ? sizeof(struct tpacket_stats_v3)
							     : sizeof(struct tpacket_stats)));
	memcpy(val, &st, *len);
	return 0;
}

static int get_hdrlen(void *val, uint32_t *len)
{
	int v = 0;
	if (*len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	switch (v) {
	case TPACKET_V1:
		v = sizeof(struct tpacket_hdr);
		break;
	case TPACKET_V2:
		v = sizeof(struct tpacket2_hdr);
		break;
	case TPACKET_V3:
		v = sizeof(struct tpacket3_hdr);
		break;
	default:
		return -EINVAL;
	}
	*len = sizeof(v);
	memcpy(val, &v, sizeof(v));
	return 0;
}

static int get_word(const struct packet_sock *s, int name, int *v)
{
	switch (name) {
	case PACKET_AUXDATA:
		*v = s->auxdata;
		return 0;
	case PACKET_ORIGDEV:
		*v = s->origdev;
		return 0;
	case PACKET_VNET_HDR:
		*v = s->vnet_hdr != 0;
		return 0;
	case PACKET_VNET_HDR_SZ:
		*v = s->vnet_hdr;
		return 0;
	case PACKET_VERSION:
		*v = s->version;
		return 0;
	case PACKET_RESERVE:
		*v = (int)s->reserve;
		return 0;
	case PACKET_LOSS:
		*v = s->loss;
		return 0;
	case PACKET_TIMESTAMP:
		*v = (int)s->tstamp;
		return 0;
	case PACKET_FANOUT:
		*v = 0;
		return 0;
	case PACKET_IGNORE_OUTGOING:
		*v = s->ignore_outgoing;
		return 0;
	case PACKET_TX_HAS_OFF:
		*v = s->tx_has_off;
		return 0;
	case PACKET_QDISC_BYPASS:
		*v = s->qdisc_bypass;
		return 0;
	}
	return -ENOPROTOOPT;
}

int packet_getsockopt(struct ctx *ctx, struct socket *sk, int level, int name, void *val,
	uint32_t *len)
{
	struct packet_sock *s = packet_of(sk);
	int v;
	if (level != SOL_PACKET)
		return -ENOPROTOOPT;
	if (name == PACKET_STATISTICS)
		return get_statistics(s, val, len);
	if (name == PACKET_HDRLEN)
		return get_hdrlen(val, len);
	int err = get_word(s, name, &v);
	if (err)
		return err;
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
	return 0;
}
