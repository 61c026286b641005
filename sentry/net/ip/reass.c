/*
 * Fragments put together: RFC 791 (3.2), 815, 1122 (3.3.2); RFC 8200 (4.5), 5722 (overlaps), 6946
 * (atomic fragments), and Linux' limits: ipfrag_high_thresh bounds the memory of all
 * fragments of a family in a namespace (and while packets are scarce in the sandbox none are
 * kept), ipfrag_max_dist how much else may come from a source
 * between two fragments of a packet, ipfrag_time how long it may take.
 *
 * A packet that is not whole is a struct frag_queue with its fragments by offset.  A fragment that
 * lies in what is there is dropped; one that overlaps it in part takes all of the packet along (in
 * both families, as Linux).  ip_frags.lock (LOCK_FRAG) guards all of it; nothing is sent or freed
 * with it.
 */
#include <errno.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>

#include "lib/rbtree.h"
#include "lib/siphash.h"
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_in.h"

#define BUCKETS 256u
#define PEERS 1024u /* counters of fragments by source, by hash */
#define QUEUE_CHARGE 256u

struct frag_key {
	struct ip_addr src, dst;
	uint32_t id;
	int32_t iif;    /* where addresses mean something on a link only */
	uint64_t proto; /* as wide as leaves no hole: the hash is over all bytes */
};

struct frag_queue {
	struct list_node hash; /* of the bucket */
	struct list_node age;  /* struct ip_frags.age, oldest first */
	struct frag_key key;
	struct list_node pkts; /* by offset */
	struct rb_root by_off; /* the same: there may be thousands of them */
	int64_t expires;
	uint32_t end, have; /* of the payload: its end as far as known, bytes that are there */
	uint32_t hlen;      /* of the first one's headers */
	uint32_t rid;       /* the source's counter when the last one came */
	uint32_t charge;
	uint32_t max_size; /* of the largest one, headers included */
	uint8_t ecn;       /* a bit for each that was seen */
	bool v4, last;
	uint32_t nh_off; /* IPv6: of the field to be set */
};
static SLAB_SHARE(frag_queue_slab, struct frag_queue, 64);

struct ip_frags {
	struct mutex lock; /* LOCK_FRAG */
	struct list_node hash[BUCKETS];
	struct list_node age[2];
	uint64_t mem[2]; /* IPv4, IPv6 */
	uint32_t peers[PEERS];
};
static SLAB_DEFINE(ip_frags_slab, struct ip_frags);

/* In pkt.cb. */
struct frag_cb {
	struct rb_node rb; /* frag_queue.by_off */
	uint32_t off, len;
};
_Static_assert(sizeof(struct frag_cb) <= sizeof(((struct pkt *)NULL)->cb), "fits");
static struct frag_cb *cb(struct pkt *p)
{
	return (struct frag_cb *)p->cb;
}

static struct pkt *frag_pkt(struct rb_node *n)
{
	return n ? container_of((uint8_t(*)[48])(void *)container_of(n, struct frag_cb, rb),
			   struct pkt, cb)
		 : NULL;
}

/* What is to be done when the lock is free. */
struct frag_done {
	struct list_node drop; /* packets to be freed */
	struct pkt *whole;
	uint32_t fails;
	bool overlap;
};

int ip_frags_init(struct ip_net *ipn)
{
	struct ip_frags *fr = slab_alloc(&ip_frags_slab);
	if (!fr)
		return -ENOMEM;
	mutex_init(&fr->lock, LOCK_FRAG);
	for (uint32_t i = 0; i < BUCKETS; i++)
		list_init(&fr->hash[i]);
	list_init(&fr->age[0]);
	list_init(&fr->age[1]);
	ipn->frags = fr;
	return 0;
}

static void free_list(struct list_node *list)
{
	struct pkt *p;
	while ((p = list_first(list, struct pkt, node))) {
		list_del(&p->node);
		pkt_free(p);
	}
}

/* Out of the tables; its fragments to list. */
static void kill_queue(struct ip_frags *fr, struct frag_queue *q, struct list_node *list)
{
	list_splice_back(list, &q->pkts);
	list_del(&q->hash);
	list_del(&q->age);
	fr->mem[!q->v4] -= q->charge;
	slab_free(&frag_queue_slab, q);
}

void ip_frags_fini(struct ip_net *ipn)
{
	struct ip_frags *fr = ipn->frags;
	struct list_node list = LIST_INIT(list);
	struct frag_queue *q;
	if (!fr)
		return;
	for (int i = 0; i < 2; i++)
		while ((q = list_first(&fr->age[i], struct frag_queue, age)))
			kill_queue(fr, q, &list);
	free_list(&list);
	ipn->frags = NULL;
	slab_free(&ip_frags_slab, fr);
}

/* --- finding --- */

static uint32_t hash_key(const struct net_ns *net, const struct frag_key *k)
{
	return (uint32_t)siphash(net->secret, k, sizeof(*k));
}

static bool same_key(const struct frag_key *a, const struct frag_key *b)
{
	return a->id == b->id && a->proto == b->proto && a->iif == b->iif &&
	       ip_eq(&a->src, &b->src) && ip_eq(&a->dst, &b->dst);
}

static struct frag_queue *get_queue(struct net_ns *net, const struct frag_key *k, bool v4)
{
	struct ip_frags *fr = net->ip->frags;
	struct list_node *b = &fr->hash[hash_key(net, k) % BUCKETS];
	struct frag_queue *q;
	list_for_each(q, b, hash)
		if (same_key(&q->key, k))
			return q;
	int64_t time = v4 ? READ_ONCE(net->ctl.ipfrag_time) : READ_ONCE(net->ctl.ip6frag_time);
	q = slab_alloc(&frag_queue_slab);
	if (!q)
		return NULL;
	q->key = *k;
	q->v4 = v4;
	q->expires = time_monotonic() + time * NSEC_PER_SEC;
	q->charge = QUEUE_CHARGE;
	list_init(&q->pkts);
	list_push_back(b, &q->hash);
	list_push_back(&fr->age[!v4], &q->age);
	fr->mem[!v4] += QUEUE_CHARGE;
	return q;
}

/* --- putting in --- */

/* The last one that begins at off or before. */
static struct pkt *frag_before(const struct frag_queue *q, uint32_t off)
{
	struct rb_node *n = q->by_off.node, *best = NULL;
	while (n) {
		bool before = cb(frag_pkt(n))->off <= off;
		best = before ? n : best;
		n = before ? n->right : n->left;
	}
	return frag_pkt(best);
}

/* Where a fragment goes: behind *prev (NULL: at the front).  0, -EEXIST (all of it is there),
 * -EINVAL (overlaps).  No more is looked at than the fragment has bytes for. */
static int find_place(struct frag_queue *q, uint32_t off, uint32_t end, struct pkt **prev)
{
	struct pkt *p = *prev = frag_before(q, off);
	struct rb_node *n = p ? rb_next(&cb(p)->rb) : rb_first(&q->by_off);
	uint32_t run_end = p ? cb(p)->off + cb(p)->len : 0; /* what is there without a gap */
	if (!p || run_end <= off)
		return n && cb(frag_pkt(n))->off < end ? -EINVAL : 0;
	for (; n && run_end < end && cb(frag_pkt(n))->off == run_end; n = rb_next(n))
		run_end += cb(frag_pkt(n))->len;
	return end <= run_end ? -EEXIST : -EINVAL;
}

/* Does what this one says of the end contradict what others said? */
static bool check_end(struct frag_queue *q, uint32_t end, bool more)
{
	if (!more) {
		if (end < q->end || (q->last && end != q->end))
			return false;
		q->last = true;
		q->end = end;
	} else if (end > q->end) {
		if (q->last)
			return false;
		q->end = end;
	}
	return true;
}

/* Too much else came from that source since the last one: it is of another packet with that
 * identification by now. */
static bool too_far(struct net_ns *net, struct frag_queue *q)
{
	uint32_t max = (uint32_t)READ_ONCE(net->ctl.ipfrag_max_dist);
	uint32_t *peer = &net->ip->frags->peers[(q->key.src.w[3] * 0x9e3779b1u) >> 22];
	uint32_t old = q->rid;
	_Static_assert(PEERS == 1024, "shift");
	if (!q->v4 || !max)
		return false;
	q->rid = ++*peer;
	return !list_empty(&q->pkts) && q->rid - old > max;
}

static void restart(struct net_ns *net, struct frag_queue *q, struct frag_done *d)
{
	list_splice_back(&d->drop, &q->pkts);
	q->by_off.node = NULL;
	net->ip->frags->mem[!q->v4] -= q->charge - QUEUE_CHARGE;
	q->charge = QUEUE_CHARGE;
	q->end = q->have = q->max_size = 0;
	q->ecn = 0;
	q->last = false;
	q->expires = time_monotonic() + (int64_t)READ_ONCE(net->ctl.ipfrag_time) * NSEC_PER_SEC;
	list_del(&q->age);
	list_push_back(&net->ip->frags->age[!q->v4], &q->age);
	d->fails++;
}

/* --- whole --- */

/* CE of one is CE of all; a mix with "not ECN capable" is no packet (RFC 3168, 5.3).  False: so. */
static bool join_ecn(struct frag_queue *q, struct pkt *p)
{
	bool not_ect = q->ecn & 1, ce = q->ecn & 8, ect = q->ecn & 6;
	if (not_ect && (ce || ect))
		return false;
	if (!ce || !ect)
		return true;
	p->ip.tos |= 3;
	if (q->v4)
		pkt_l3(p)[1] |= 3;
	else
		pkt_l3(p)[1] |= 0x30;
	return true;
}

/* The data of all others behind the first one's: by reference while they fit, else as a copy. */
static bool join_data(struct pkt *first, struct list_node *rest, uint32_t n)
{
	struct pkt *p;
	uint32_t pieces = first->nfrags;
	list_for_each(p, rest, node)
		pieces += p->nfrags + (pkt_head_len(p) != 0);
	if (pieces <= PKT_FRAGS) {
		list_for_each(p, rest, node)
			if (pkt_add_range(first, p, 0, p->len))
				return false;
		return true;
	}
	struct nbuf *b = first->nfrags < PKT_FRAGS ? nbuf_new(n) : NULL;
	if (!b)
		return false;
	list_for_each(p, rest, node) {
		pkt_copy(p, 0, b->data + b->used, p->len);
		b->used += p->len;
	}
	bool ok = pkt_add_frag(first, b, 0, n);
	nbuf_put(b);
	return ok;
}

/* q has all: its packet, with data at the network header (IPv4) or behind the headers that came
 * before the fragment header; NULL: dropped. */
static struct pkt *join(struct frag_queue *q, struct frag_done *d)
{
	struct pkt *first = list_first(&q->pkts, struct pkt, node), *p;
	uint32_t total = q->end;
	list_del(&first->node);
	enum pkt_csum csum = first->csum;
	list_for_each(p, &q->pkts, node)
		if (p->csum == PKT_CSUM_NONE)
			csum = PKT_CSUM_NONE;
	if (q->hlen + total > (q->v4 ? 65535u : 65535u + 40) || !join_ecn(q, first) ||
		(total > first->len && !join_data(first, &q->pkts, total - first->len))) {
		list_push_back(&d->drop, &first->node);
		return NULL;
	}
	first->csum = (uint8_t)csum;
	first->ip.frag_size = (uint16_t)MIN(q->max_size, 65535u);
	return first;
}

static void finish4(struct pkt *p, uint32_t hlen)
{
	uint8_t *h = pkt_push(p, hlen);
	put16(h + 2, p->len);
	put16(h + 6, 0);
	ip4_checksum(h, hlen);
}

/* Takes the fragment header, which ends at data, out: what is before it moves up. */
static void remove_header6(struct pkt *p, uint32_t nh_off)
{
	uint8_t *f = pkt_data(p) - sizeof(struct ip6_frag_hdr);
	uint8_t next = f[0];
	uint8_t *l3 = pkt_l3(p);
	memmove(l3 + 8, l3, (size_t)(f - l3));
	p->l3 = (uint16_t)(p->l3 + 8);
	if (p->l2 != UINT16_MAX)
		p->l2 = UINT16_MAX;
	l3 = pkt_l3(p);
	l3[nh_off] = next;
	put16(l3 + 4, p->len + ((uint32_t)p->data - p->l3) - 40);
}

/* --- both families --- */

struct fragment {
	struct pkt *p;
	struct frag_key key;
	uint32_t off, len, hlen, nh_off;
	uint32_t size; /* with all headers */
	bool v4, more;
};

/* Behind prev, in the list and in the tree. */
static void link_frag(struct frag_queue *q, struct pkt *p, struct pkt *prev)
{
	struct rb_node **at = &q->by_off.node, *parent = NULL;
	if (prev) {
		parent = &cb(prev)->rb;
		at = &parent->right;
	}
	while (*at) {
		parent = *at;
		at = &parent->left;
	}
	rb_link(&cb(p)->rb, parent, at);
	rb_insert(&q->by_off, &cb(p)->rb);
	list_insert_before(prev ? prev->node.next : q->pkts.next, &p->node);
}

static void put_in(struct ip_frags *fr, struct frag_queue *q, const struct fragment *f,
	struct pkt *prev)
{
	struct pkt *p = f->p;
	if (p->csum == PKT_CSUM_PARTIAL) /* of a piece that says nothing */
		p->csum = PKT_CSUM_NONE;
	p->gso_size = 0;
	cb(p)->off = f->off;
	cb(p)->len = f->len;
	p->net = NULL;
	link_frag(q, p, prev);
	q->charge += p->charge;
	fr->mem[!q->v4] += p->charge;
	q->have += f->len;
	q->max_size = MAX(q->max_size, f->size);
	q->ecn |= (uint8_t)(1u << (p->ip.tos & 3));
	if (!f->off) {
		q->hlen = f->hlen;
		q->nh_off = f->nh_off;
	}
}

/* Under the lock.  Takes f->p over. */
static void add(struct net_ns *net, struct fragment *f, struct frag_done *d)
{
	struct ip_frags *fr = net->ip->frags;
	struct pkt *p = f->p;
	struct pkt *prev;
	uint32_t end = f->off + f->len;
	uint32_t high = (uint32_t)(f->v4 ? READ_ONCE(net->ctl.ipfrag_high_thresh)
					 : READ_ONCE(net->ctl.ip6frag_high_thresh));
	bool full = fr->mem[!f->v4] + p->charge + QUEUE_CHARGE > high || pkt_scarce();
	struct frag_queue *q = full ? NULL : get_queue(net, &f->key, f->v4);
	if (!q) {
		list_push_back(&d->drop, &p->node);
		d->fails++;
		return;
	}
	if (too_far(net, q))
		restart(net, q, d);
	bool sane = check_end(q, end, f->more) && f->len;
	int err = sane ? find_place(q, f->off, end, &prev) : -EINVAL;
	if (err) {
		list_push_back(&d->drop, &p->node);
		d->overlap |= sane && err == -EINVAL;
		d->fails += err == -EINVAL;
		if (err == -EINVAL)
			kill_queue(fr, q, &d->drop);
		return;
	}
	put_in(fr, q, f, prev);
	if (!q->last || q->have != q->end || cb(list_first(&q->pkts, struct pkt, node))->off)
		return;
	d->whole = join(q, d);
	f->hlen = q->hlen;
	f->nh_off = q->nh_off;
	d->fails += !d->whole;
	kill_queue(fr, q, &d->drop);
}

/* d->whole, with f->hlen and nh_off of its first fragment. */
static struct pkt *reassemble(struct net_ns *net, struct fragment *f)
{
	struct frag_done d = {.drop = LIST_INIT(d.drop)};
	int64_t time = f->v4 ? READ_ONCE(net->ctl.ipfrag_time) : READ_ONCE(net->ctl.ip6frag_time);
	mutex_lock(&net->ip->frags->lock);
	add(net, f, &d);
	mutex_unlock(&net->ip->frags->lock);
	free_list(&d.drop);
	if (!d.whole && !d.fails)
		ip_timer_want(net, time_monotonic() + time * NSEC_PER_SEC);
	if (d.overlap && f->v4)
		NET_INC(net, IpExt_ReasmOverlaps);
	if (f->v4) {
		NET_ADD(net, Ip_ReasmFails, d.fails);
		NET_ADD(net, Ip_ReasmOKs, d.whole != NULL);
	} else {
		NET_ADD(net, Ip6_ReasmFails, d.fails);
		NET_ADD(net, Ip6_ReasmOKs, d.whole != NULL);
	}
	if (d.whole)
		d.whole->net = net;
	return d.whole;
}

struct pkt *ip4_reassemble(struct pkt *p)
{
	struct net_ns *net = p->net;
	uint8_t *h = pkt_data(p);
	uint32_t hlen = (uint32_t)(h[0] & 15) * 4, frag = get16(h + 6);
	struct fragment f = {.p = p,
		.v4 = true,
		.hlen = hlen,
		.off = (frag & IP4_OFFSET) * 8,
		.more = frag & IP4_MF,
		.key = {.src = p->ip.src, .dst = p->ip.dst, .id = get16(h + 4), .proto = h[9]}};
	NET_INC(net, Ip_ReasmReqds);
	pkt_pull(p, hlen);
	if (f.more)
		pkt_trim(p, p->len & ~7u);
	f.len = p->len;
	f.size = hlen + f.len;
	if (f.off + f.len + hlen > 65535) { /* "ping of death" */
		NET_INC(net, Ip_ReasmFails);
		pkt_free(p);
		return NULL;
	}
	p = reassemble(net, &f);
	if (p)
		finish4(p, f.hlen);
	return p;
}

/* Is a first fragment without the whole chain of headers (RFC 7112)? */
static bool chain_is_cut(struct pkt *p, const uint8_t *fh)
{
	uint8_t next = fh[0];
	uint32_t frag_off;
	int at = ip6_skip_headers(p, 8, &next, &frag_off);
	uint32_t need = next == IPPROTO_TCP      ? 20
			: next == IPPROTO_UDP    ? 8
			: next == IPPROTO_ICMPV6 ? 8
						 : 0;
	if (next == IPPROTO_NONE)
		return false;
	return at < 0 || (uint32_t)at + need > p->len;
}

static struct pkt *refuse6(struct pkt *p, uint8_t code, uint32_t at)
{
	NET_INC(p->net, Ip6_InHdrErrors);
	icmp_send_error(p, ICMPV6_PARAMPROB, code, at);
	pkt_free(p);
	return NULL;
}

struct pkt *ip6_reassemble(struct pkt *p, uint32_t *nh_off)
{
	struct net_ns *net = p->net;
	NET_INC(net, Ip6_ReasmReqds);
	if (!pkt_want(p, sizeof(struct ip6_frag_hdr)))
		return refuse6(p, ICMPV6_HDR_FIELD, 4);
	uint8_t fh[8];
	memcpy(fh, pkt_data(p), sizeof(fh));
	uint32_t at = (uint32_t)p->data - p->l3, frag = get16(fh + 2);
	struct fragment f = {.p = p,
		.hlen = at,
		.nh_off = *nh_off,
		.off = frag & ~7u,
		.more = frag & 1,
		.key = {.src = p->ip.src, .dst = p->ip.dst, .id = get32(fh + 4)}};
	if (ip_is_multicast(&p->ip.dst) || ip_is_linklocal(&p->ip.dst))
		f.key.iif = p->iif;
	if (!f.off && chain_is_cut(p, fh))
		return refuse6(p, 3 /* incomplete header chain */, 0);
	pkt_pull(p, sizeof(fh));
	f.len = p->len;
	f.size = at + (uint32_t)sizeof(fh) + f.len;
	if (!f.off && !f.more) { /* atomic: it waits for nobody */
		NET_INC(net, Ip6_ReasmOKs);
		p->ip.frag_size = (uint16_t)MIN(f.size, 65535u);
		remove_header6(p, *nh_off);
		return p;
	}
	if (f.more && (f.len & 7))
		return refuse6(p, ICMPV6_HDR_FIELD, 4);
	if (f.off + f.len + at - 40 > 65535)
		return refuse6(p, ICMPV6_HDR_FIELD, at + 2);
	p = reassemble(net, &f);
	if (!p)
		return NULL;
	*nh_off = f.nh_off; /* the first one's, which need not be this one */
	remove_header6(p, f.nh_off);
	return p;
}

/* --- too late --- */

/* RFC 792, RFC 4443: said if the first fragment came, which shows whose packet it was. */
static void say_timeout(struct net_ns *net, struct pkt *first)
{
	bool v4 = pkt_is_v4(first);
	struct net_ns *own = link_net_get(first->link); /* it may have moved meanwhile */
	first->net = net;
	if (own == net)
		icmp_send_error(first, v4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED,
			v4 ? ICMP_EXC_FRAGTIME : ICMPV6_EXC_FRAGTIME, 0);
	net_ns_put(own);
}

/* Takes the oldest out if its time is over: true. */
static bool expire_one(struct net_ns *net, int i, int64_t now, int64_t *next)
{
	struct ip_frags *fr = net->ip->frags;
	struct list_node list = LIST_INIT(list);
	mutex_lock(&fr->lock);
	struct frag_queue *q = list_first(&fr->age[i], struct frag_queue, age);
	if (!q || q->expires > now) {
		*next = q ? MIN(*next, q->expires) : *next;
		mutex_unlock(&fr->lock);
		return false;
	}
	kill_queue(fr, q, &list);
	mutex_unlock(&fr->lock);
	struct pkt *first = list_first(&list, struct pkt, node);
	if (i) {
		NET_INC(net, Ip6_ReasmFails);
		NET_INC(net, Ip6_ReasmTimeout);
	} else {
		NET_INC(net, Ip_ReasmFails);
		NET_INC(net, Ip_ReasmTimeout);
	}
	if (first && !cb(first)->off)
		say_timeout(net, first);
	free_list(&list);
	return true;
}

int64_t ip_frags_expire(struct net_ns *net, int64_t now)
{
	int64_t next = INT64_MAX;
	for (int i = 0; i < 2; i++)
		while (expire_one(net, i, now, &next))
			;
	return next;
}
