/*
 * PACKET_RX_RING and PACKET_TX_RING, versions 1 to 3: Documentation/networking/packet_mmap.rst.
 *
 * Both rings are one run of the memory file, which the guest maps and we reach at its address. What
 * lies there may change at any moment: positions and sizes are ours (struct packet_ring), of the
 * memory only a frame's status and, when sending, its length are read, once.
 */
#include <errno.h>
#include <limits.h>

#include "lib/log.h"
#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/packet/packet_priv.h"

#define RING_MAX (256u << 20) /* bytes of both: the guest's memory is what bounds it on Linux */
#define BLOCK_TIMEOUT_MS 8u   /* DEFAULT_PRB_RETIRE_TOV */
#define BLOCK_HEADER 48u      /* BLK_HDR_LEN */
#define V3_ALIGN(x) (((x) + 7) / 8 * 8)
#define MAC_MIN 16u /* room for the link header in front of the network header, at least */

static SLAB_DEFINE(ring_slab, struct ring_mem);

/* --- memory --- */

static struct ring_mem *mem_of(struct mappable *m)
{
	return container_of(m, struct ring_mem, m);
}

static void ring_get(struct mappable *m)
{
	ref_get(&mem_of(m)->ref);
}

static void ring_put(struct mappable *m)
{
	struct ring_mem *r = mem_of(m);
	if (!ref_put(&r->ref))
		return;
	memfile_unref(r->run, r->len);
	slab_free(&ring_slab, r);
}

static int ring_translate(struct mappable *m, uint64_t off, uint64_t len, uint64_t max_len,
	bool write, struct backing *out)
{
	struct ring_mem *r = mem_of(m);
	if (off >= r->len)
		return -EFAULT;
	uint64_t n = MIN(max_len, r->len - off);
	memfile_ref(r->run + off, n);
	*out = (struct backing){.kind = BACKING_MEMFILE,
		.off = r->run + off,
		.len = n,
		.writable = true};
	return 0;
}

static uint64_t ring_id(struct mappable *m)
{
	return (uint64_t)(uintptr_t)m;
}

static const struct mappable_ops ring_ops = {.get = ring_get,
	.put = ring_put,
	.lent = true,
	.translate = ring_translate,
	.id = ring_id};

static struct ring_mem *mem_new(uint64_t len)
{
	struct ring_mem *r = slab_alloc(&ring_slab);
	if (!r)
		return NULL;
	if (memfile_alloc(len, &r->run)) {
		slab_free(&ring_slab, r);
		return NULL;
	}
	mappable_init(&r->m, MAPPABLE_PACKET);
	ref_init(&r->ref);
	r->len = len;
	return r;
}

static uint8_t *at(const struct packet_sock *s, const struct packet_ring *r, uint64_t off)
{
	return (uint8_t *)memfile_ptr(s->mem->run) + r->base + off;
}

static uint8_t *frame(const struct packet_sock *s, const struct packet_ring *r, uint32_t i)
{
	return at(s, r,
		(uint64_t)(i / r->per_block) * r->block_size +
			(uint64_t)(i % r->per_block) * r->frame_size);
}

/* --- setting up --- */

static uint32_t header_len(const struct packet_sock *s)
{
	return s->version == TPACKET_V1   ? TPACKET_HDRLEN
	       : s->version == TPACKET_V2 ? TPACKET2_HDRLEN
					  : TPACKET3_HDRLEN;
}

static int check(const struct packet_sock *s, const struct tpacket_req3 *rq, bool tx)
{
	uint32_t min = header_len(s) + s->reserve;
	if (!rq->tp_block_nr)
		return rq->tp_frame_nr ? -EINVAL : 0;
	if ((int32_t)rq->tp_block_size <= 0 || rq->tp_block_size % PAGE_SIZE)
		return -EINVAL;
	if (s->version == TPACKET_V3 && !tx &&
		(uint64_t)rq->tp_block_size <
			BLOCK_HEADER + V3_ALIGN((uint64_t)rq->tp_sizeof_priv) + min)
		return -EINVAL;
	if (rq->tp_frame_size < min || rq->tp_frame_size % TPACKET_ALIGNMENT)
		return -EINVAL;
	uint32_t per = rq->tp_block_size / rq->tp_frame_size;
	if (!per || rq->tp_block_nr > UINT_MAX / per || per * rq->tp_block_nr != rq->tp_frame_nr)
		return -EINVAL;
	if (s->version == TPACKET_V3 && tx &&
		(rq->tp_retire_blk_tov || rq->tp_sizeof_priv || rq->tp_feature_req_word))
		return -EINVAL;
	return (uint64_t)rq->tp_block_size * rq->tp_block_nr > RING_MAX ? -ENOMEM : 0;
}

static uint64_t ring_bytes(const struct packet_ring *r)
{
	return (uint64_t)r->block_size * r->block_nr;
}

/* A mapping keeps the memory: somebody has it mapped if ours is not the only reference. */
static bool is_mapped(const struct packet_sock *s)
{
	return s->mem && ref_count(&s->mem->ref) > 1;
}

static void fill_in(const struct packet_sock *s, struct packet_ring *r,
	const struct tpacket_req3 *rq, bool tx)
{
	*r = (struct packet_ring){.block_size = rq->tp_block_size,
		.block_nr = rq->tp_block_nr,
		.frame_size = rq->tp_frame_size,
		.frame_nr = rq->tp_frame_nr,
		.per_block = rq->tp_block_nr ? rq->tp_block_size / rq->tp_frame_size : 0};
	if (s->version == TPACKET_V3 && !tx) {
		r->priv = V3_ALIGN(rq->tp_sizeof_priv);
		r->tov_ms = rq->tp_retire_blk_tov ? rq->tp_retire_blk_tov : BLOCK_TIMEOUT_MS;
	}
}

/* Both rings in new memory; what was in the old is lost, as nobody has it mapped. */
static int remake(struct packet_sock *s, struct packet_ring rx, struct packet_ring tx)
{
	uint64_t len = ring_bytes(&rx) + ring_bytes(&tx);
	struct ring_mem *mem = len ? mem_new(len) : NULL, *old;
	if (len && !mem)
		return -ENOMEM;
	rx.base = 0;
	tx.base = ring_bytes(&rx);
	mutex_lock(&s->q.lock);
	old = s->mem;
	s->mem = mem;
	s->q.rx = rx;
	s->tx = tx;
	mutex_unlock(&s->q.lock);
	if (old)
		ring_put(&old->m);
	return 0;
}

int packet_set_ring(struct packet_sock *s, const struct tpacket_req3 *rq, bool tx)
{
	struct packet_ring *r = tx ? &s->tx : &s->q.rx, made;
	if (is_mapped(s))
		return -EBUSY;
	if (rq->tp_block_nr && r->block_nr)
		return -EBUSY;
	int err = check(s, rq, tx);
	if (err)
		return err;
	fill_in(s, &made, rq, tx);
	return tx ? remake(s, s->q.rx, made) : remake(s, made, s->tx);
}

void packet_free_rings(struct packet_sock *s)
{
	struct packet_ring none = {0};
	remake(s, none, none);
}

/* --- status words --- */

static uint32_t *status32(uint8_t *f)
{
	return (uint32_t *)(void *)f; /* versions 2 and of a block; of 1 the lower half of a long */
}

static uint32_t frame_status(const struct packet_sock *s, uint8_t *f)
{
	uint32_t *w = s->version == TPACKET_V3 ? &((struct tpacket3_hdr *)(void *)f)->tp_status
					       : status32(f);
	return __atomic_load_n(w, __ATOMIC_ACQUIRE);
}

static void set_frame_status(const struct packet_sock *s, uint8_t *f, uint32_t v)
{
	if (s->version == TPACKET_V1)
		__atomic_store_n((uint64_t *)(void *)f, v, __ATOMIC_RELEASE);
	else if (s->version == TPACKET_V2)
		__atomic_store_n(status32(f), v, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&((struct tpacket3_hdr *)(void *)f)->tp_status, v,
			__ATOMIC_RELEASE);
}

/* --- receiving --- */

struct place {
	uint32_t mac, net, snaplen;
};

/* Where in a frame the packet goes. */
static struct place place_for(const struct packet_sock *s, const struct packet_view *v,
	uint32_t snaplen)
{
	struct place pl;
	uint32_t vnet = s->vnet_hdr, maclen = s->sk.type == SOCK_DGRAM ? 0 : v->maclen;
	if (s->sk.type == SOCK_DGRAM)
		pl.net = TPACKET_ALIGN(header_len(s)) + MAC_MIN + s->reserve;
	else
		pl.net = TPACKET_ALIGN(header_len(s) + MAX(maclen, MAC_MIN)) + s->reserve + vnet;
	pl.mac = pl.net - maclen;
	pl.snaplen = snaplen - (v->maclen - maclen);
	return pl;
}

static uint32_t packet_status(const struct packet_sock *s, const struct packet_view *v)
{
	uint32_t st = TP_STATUS_USER;
	if (v->p->csum == PKT_CSUM_PARTIAL)
		st |= TP_STATUS_CSUMNOTREADY;
	else if (v->p->csum == PKT_CSUM_OK && v->p->type != PKT_OUTGOING)
		st |= TP_STATUS_CSUM_VALID;
	if (s->q.drops)
		st |= TP_STATUS_LOSING;
	return st;
}

static void put_data(struct packet_sock *s, const struct packet_view *v, uint8_t *f,
	const struct place *pl, uint32_t addr_off)
{
	struct abi_sockaddr_ll a;
	uint32_t skip = s->sk.type == SOCK_DGRAM ? v->maclen : 0;
	packet_copy(v, skip, f + pl->mac, pl->snaplen);
	packet_fill_addr(v, s->origdev, &a);
	memcpy(f + addr_off, &a, sizeof(a));
	if (s->vnet_hdr && s->sk.type == SOCK_RAW) {
		struct virtio_net_hdr_mrg_rxbuf h;
		packet_vnet_hdr(v->p, (int32_t)v->maclen - (int32_t)v->l3, &h);
		memcpy(f + pl->mac - s->vnet_hdr, &h, s->vnet_hdr);
	}
}

static bool put_frame(struct packet_sock *s, const struct packet_view *v, struct place pl)
{
	struct packet_ring *r = &s->q.rx;
	uint8_t *f = frame(s, r, r->head);
	if (frame_status(s, f) != TP_STATUS_KERNEL)
		return false;
	uint32_t len = v->len - (s->sk.type == SOCK_DGRAM ? v->maclen : 0);
	if (pl.mac >= r->frame_size)
		return false;
	pl.snaplen = MIN(pl.snaplen, r->frame_size - pl.mac);
	int64_t t = v->p->stamp ? v->p->stamp : time_realtime();
	uint32_t status = packet_status(s, v);
	r->head = r->head + 1 == r->frame_nr ? 0 : r->head + 1;
#define FILL(h, fraction, part)                                                                    \
	do {                                                                                       \
		(h).tp_len = len;                                                                  \
		(h).tp_snaplen = pl.snaplen;                                                       \
		(h).tp_mac = (uint16_t)pl.mac;                                                     \
		(h).tp_net = (uint16_t)pl.net;                                                     \
		(h).tp_sec = (uint32_t)(t / NSEC_PER_SEC);                                         \
		(h).fraction = (uint32_t)(t % NSEC_PER_SEC / (part));                              \
		put_data(s, v, f, &pl, TPACKET_ALIGN(sizeof(h)));                                  \
		/* The status comes last. */                                                       \
		memcpy(f + sizeof((h).tp_status), (uint8_t *)&(h) + sizeof((h).tp_status),         \
			sizeof(h) - sizeof((h).tp_status));                                        \
	} while (0)
	struct tpacket_hdr v1 = {0};
	struct tpacket2_hdr v2 = {0};
	if (s->version == TPACKET_V1)
		FILL(v1, tp_usec, 1000);
	else
		FILL(v2, tp_nsec, 1);
#undef FILL
	set_frame_status(s, f, status);
	return true;
}

/* --- version 3: blocks --- */

static struct tpacket_hdr_v1 *block_header(const struct packet_sock *s, uint32_t i)
{
	struct tpacket_block_desc *b = (void *)at(s, &s->q.rx, (uint64_t)i * s->q.rx.block_size);
	return &b->hdr.bh1;
}

static bool open_block(struct packet_sock *s)
{
	struct packet_ring *r = &s->q.rx;
	struct tpacket_hdr_v1 *h = block_header(s, r->head);
	if (__atomic_load_n(&h->block_status, __ATOMIC_ACQUIRE) != TP_STATUS_KERNEL) {
		s->q.freezes += !r->frozen;
		r->frozen = true;
		return false;
	}
	r->frozen = false;
	r->open = true;
	r->opened = time_realtime();
	r->fill = BLOCK_HEADER + r->priv;
	r->last = 0;
	struct tpacket_block_desc *b = (void *)at(s, r, (uint64_t)r->head * r->block_size);
	b->version = TPACKET_V3;
	b->offset_to_priv = BLOCK_HEADER;
	h->num_pkts = 0;
	h->offset_to_first_pkt = r->fill;
	h->blk_len = r->fill;
	h->seq_num = ++r->seq;
	h->ts_first_pkt.ts_sec = (unsigned int)(r->opened / NSEC_PER_SEC);
	h->ts_first_pkt.ts_nsec = (unsigned int)(r->opened % NSEC_PER_SEC);
	return true;
}

static void close_block(struct packet_sock *s, uint32_t status)
{
	struct packet_ring *r = &s->q.rx;
	struct tpacket_hdr_v1 *h = block_header(s, r->head);
	int64_t now = time_realtime();
	if (r->last) {
		struct tpacket3_hdr *last =
			(void *)at(s, r, (uint64_t)r->head * r->block_size + r->last);
		last->tp_next_offset = 0;
	}
	h->ts_last_pkt.ts_sec = (unsigned int)(now / NSEC_PER_SEC);
	h->ts_last_pkt.ts_nsec = (unsigned int)(now % NSEC_PER_SEC);
	__atomic_store_n(&h->block_status,
		TP_STATUS_USER | status | (s->q.drops ? TP_STATUS_LOSING : 0), __ATOMIC_RELEASE);
	r->open = false;
	r->head = r->head + 1 == r->block_nr ? 0 : r->head + 1;
}

static void arm_retire(struct packet_sock *s)
{
	if (s->retire_on)
		return;
	s->retire_on = true;
	packet_get(s);
	ktimer_arm(&s->retire, time_monotonic() + (int64_t)s->q.rx.tov_ms * 1000000);
}

/* A block that has packets is the guest's after a while, full or not. */
static void retire_timer(struct ktimer *t)
{
	struct packet_sock *s = container_of(t, struct packet_sock, retire);
	bool told = false;
	mutex_lock(&s->q.lock);
	s->retire_on = false;
	if (s->q.rx.block_nr && s->q.rx.open && s->q.rx.last) {
		close_block(s, TP_STATUS_BLK_TMO);
		told = true;
	}
	mutex_unlock(&s->q.lock);
	if (told)
		sock_wake_readable(&s->sk);
	packet_put(s);
}

static bool put_in_block(struct packet_sock *s, const struct packet_view *v, struct place pl)
{
	struct packet_ring *r = &s->q.rx;
	uint32_t room = r->block_size - BLOCK_HEADER - r->priv;
	if (pl.mac >= room)
		return false;
	pl.snaplen = MIN(pl.snaplen, room - pl.mac);
	uint32_t need = V3_ALIGN(pl.mac + pl.snaplen);
	if (r->open && need > r->block_size - r->fill)
		close_block(s, 0);
	if (!r->open && !open_block(s))
		return false;
	need = MIN(need, r->block_size - r->fill);
	uint64_t base = (uint64_t)r->head * r->block_size;
	uint8_t *f = at(s, r, base + r->fill);
	int64_t t = v->p->stamp ? v->p->stamp : time_realtime();
	struct tpacket3_hdr h = {.tp_next_offset = need,
		.tp_len = v->len - (s->sk.type == SOCK_DGRAM ? v->maclen : 0),
		.tp_snaplen = pl.snaplen,
		.tp_mac = (uint16_t)pl.mac,
		.tp_net = (uint16_t)pl.net,
		.tp_sec = (uint32_t)(t / NSEC_PER_SEC),
		.tp_nsec = (uint32_t)(t % NSEC_PER_SEC),
		.tp_status = packet_status(s, v)};
	put_data(s, v, f, &pl, TPACKET_ALIGN(sizeof(h)));
	memcpy(f, &h, sizeof(h));
	struct tpacket_hdr_v1 *b = block_header(s, r->head);
	r->last = r->fill;
	r->fill += need;
	b->num_pkts++;
	b->blk_len = r->fill;
	arm_retire(s);
	return true;
}

bool packet_ring_put(struct packet_sock *s, const struct packet_view *v, uint32_t snaplen)
{
	struct place pl = place_for(s, v, snaplen);
	if (pl.net > UINT16_MAX) /* tp_net has 16 bits */
		return false;
	return s->version == TPACKET_V3 ? put_in_block(s, v, pl) : put_frame(s, v, pl);
}

bool packet_ring_readable(struct packet_sock *s)
{
	MUTEX_GUARD(&s->q.lock);
	struct packet_ring *r = &s->q.rx;
	if (!r->block_nr)
		return false;
	if (s->version != TPACKET_V3) { /* the last one that was filled */
		uint32_t i = r->head ? r->head - 1 : r->frame_nr - 1;
		return frame_status(s, frame(s, r, i)) != TP_STATUS_KERNEL;
	}
	uint32_t i = r->head ? r->head - 1 : r->block_nr - 1;
	return __atomic_load_n(&block_header(s, i)->block_status, __ATOMIC_ACQUIRE) !=
	       TP_STATUS_KERNEL;
}

/* --- sending --- */

bool packet_ring_writable(struct packet_sock *s)
{
	MUTEX_GUARD(&s->q.lock);
	return !s->tx.block_nr ||
	       frame_status(s, frame(s, &s->tx, s->tx.head)) == TP_STATUS_AVAILABLE;
}

/* Length and offset of the data in a frame, read once. */
static int frame_data(const struct packet_sock *s, uint8_t *f, uint32_t *off, uint32_t *len)
{
	uint32_t n, mac, net, next = 0;
	if (s->version == TPACKET_V1) {
		struct tpacket_hdr h;
		memcpy(&h, f, sizeof(h));
		n = h.tp_len, mac = h.tp_mac, net = h.tp_net;
	} else if (s->version == TPACKET_V2) {
		struct tpacket2_hdr h;
		memcpy(&h, f, sizeof(h));
		n = h.tp_len, mac = h.tp_mac, net = h.tp_net;
	} else {
		struct tpacket3_hdr h;
		memcpy(&h, f, sizeof(h));
		n = h.tp_len, mac = h.tp_mac, net = h.tp_net, next = h.tp_next_offset;
	}
	if (next) /* frames of variable size: not supported by Linux either */
		return -EINVAL;
	uint32_t min = header_len(s) - (uint32_t)sizeof(struct abi_sockaddr_ll);
	*off = min;
	if (s->tx_has_off) {
		*off = s->sk.type == SOCK_DGRAM ? net : mac;
		if (*off < min || *off >= s->tx.frame_size)
			return -EINVAL;
	}
	*len = n;
	return n > s->tx.frame_size - *off ? -EMSGSIZE : 0;
}

static int send_frame(struct packet_sock *s, struct link *l, uint8_t *f, uint16_t proto,
	const struct sock_addr *to, uint32_t *sent)
{
	uint32_t off, len;
	int err = frame_data(s, f, &off, &len);
	if (!err && len > READ_ONCE(l->mtu) + (s->sk.type == SOCK_RAW ? ETH_HLEN + 4u : 0))
		err = -EMSGSIZE;
	if (!err && s->sk.type == SOCK_RAW && len < ETH_HLEN)
		err = -EINVAL;
	if (err)
		return err;
	struct pkt *p = pkt_new();
	err = p ? pkt_add(p, f + off, len) : -ENOBUFS;
	if (!err && s->sk.type == SOCK_DGRAM)
		err = packet_put_header(l, p, to, proto);
	if (err) {
		pkt_free(p);
		return err;
	}
	*sent = len;
	return packet_xmit(s, l, p, proto);
}

ssize_t packet_ring_send(struct packet_sock *s, struct sock_msg *m)
{
	uint16_t proto;
	uint32_t len;
	int err = 0;
	ssize_t sum = 0;
	struct link *l = packet_link_of(s, &m->name, &proto, &err);
	if (!l)
		return err;
	/* At most once around: a guest may ask for more at the same time. */
	for (uint32_t i = 0; i < s->tx.frame_nr; i++) {
		uint8_t *f = frame(s, &s->tx, s->tx.head);
		if (frame_status(s, f) != TP_STATUS_SEND_REQUEST)
			break;
		err = send_frame(s, l, f, proto, &m->name, &len);
		if (err && !s->loss) {
			set_frame_status(s, f, TP_STATUS_WRONG_FORMAT);
			break;
		}
		if (!err)
			sum += len;
		err = 0;
		set_frame_status(s, f, TP_STATUS_AVAILABLE);
		s->tx.head = s->tx.head + 1 == s->tx.frame_nr ? 0 : s->tx.head + 1;
	}
	link_put(l);
	return err ? err : sum;
}

void packet_ring_init(void)
{
	mappable_register(MAPPABLE_PACKET, &ring_ops);
	ktimer_register_kind(KTIMER_PACKET, retire_timer);
}
