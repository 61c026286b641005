/* Cuts packets that are too long for their path: RFC 791 (3.2), RFC 8200 (4.5). */
#include <errno.h>

#include "sentry/net/ip/ip_in.h"

struct cut {
	struct pkt *p;
	const struct route *rt;
	bool v4;
	uint32_t hlen;  /* IPv4: the header; IPv6: what every piece begins with */
	uint32_t room;  /* payload of a piece but the last; a multiple of 8 */
	uint32_t id;    /* IPv6 */
	uint8_t next;   /* IPv6: what the fragmentable part begins with */
	uint32_t nh_at; /* IPv6: offset of the field that says so */
};

/* IPv6: the headers that each hop has to see stay in front of the fragment header. */
static bool find_unfragmentable(struct cut *c)
{
	uint32_t at = 40, nh = 6;
	const uint8_t *h = pkt_data(c->p);
	uint32_t end = pkt_head_len(c->p);
	bool routing = false;
	c->hlen = 40;
	c->nh_at = 6;
	for (;;) {
		uint8_t next = h[nh];
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS)
			break;
		if (at + 8 > end)
			return false;
		uint32_t len = (h[at + 1] + 1u) * 8;
		if (at + len > end)
			return false;
		nh = at;
		at += len;
		routing |= next == IPPROTO_ROUTING;
		/* Destination options that stand behind everything else are for the end only. */
		if (next != IPPROTO_DSTOPTS || (!routing && h[nh] == IPPROTO_ROUTING)) {
			c->hlen = at;
			c->nh_at = nh;
		}
	}
	c->next = h[c->nh_at];
	return true;
}

static struct pkt *new_piece(const struct cut *c, uint32_t hlen)
{
	const struct pkt *p = c->p;
	struct pkt *s = pkt_new();
	if (!s)
		return NULL;
	s->data = s->tail = 16; /* the link's header goes in front */
	if (!pkt_put(s, hlen)) {
		pkt_free(s);
		return NULL;
	}
	s->l3 = s->data;
	s->net = p->net;
	s->link = link_get(p->link);
	s->protocol = p->protocol;
	s->type = p->type;
	s->iif = p->iif;
	s->mark = p->mark;
	s->priority = p->priority;
	s->stamp = p->stamp;
	s->ip = p->ip;
	s->csum = PKT_CSUM_OK; /* nothing is left to be computed */
	return s;
}

static void header4(const struct cut *c, struct pkt *s, uint32_t off, bool last)
{
	uint8_t *h = pkt_data(s);
	memcpy(h, pkt_data(c->p), c->hlen);
	if (off)
		ip4_opts_fragment(h, c->hlen);
	uint32_t frag = get16(h + 6);
	bool more = !last || (frag & IP4_MF);
	put16(h + 2, s->len);
	put16(h + 6, ((frag & IP4_OFFSET) + off / 8) | (more ? IP4_MF : 0));
	ip4_checksum(h, c->hlen);
}

static void header6(const struct cut *c, struct pkt *s, uint32_t off, bool last)
{
	uint8_t *h = pkt_data(s);
	struct ip6_frag_hdr f = {.next = c->next,
		.off = htons((uint16_t)(off | !last)),
		.id = htonl(c->id)};
	memcpy(h, pkt_data(c->p), c->hlen);
	h[c->nh_at] = IPPROTO_FRAGMENT;
	memcpy(h + c->hlen, &f, sizeof(f));
	put16(h + 4, s->len - 40);
}

static struct pkt *piece(const struct cut *c, uint32_t off, uint32_t n, bool last)
{
	struct pkt *s = new_piece(c, c->hlen + (c->v4 ? 0 : 8));
	if (!s || pkt_add_range(s, c->p, c->hlen + off, n)) {
		pkt_free(s);
		return NULL;
	}
	if (c->v4)
		header4(c, s, off, last);
	else
		header6(c, s, off, last);
	return s;
}

static void count(const struct cut *c, bool ok, uint32_t n)
{
	struct net_ns *net = c->p->net;
	if (c->v4 && ok) {
		NET_INC(net, Ip_FragOKs);
		NET_ADD(net, Ip_FragCreates, n);
	} else if (c->v4) {
		NET_INC(net, Ip_FragFails);
	} else if (ok) {
		NET_INC(net, Ip6_FragOKs);
		NET_ADD(net, Ip6_FragCreates, n);
	} else {
		NET_INC(net, Ip6_FragFails);
	}
}

static bool prepare(struct cut *c, uint32_t mtu)
{
	struct pkt *p = c->p;
	pkt_checksum_finish(p);
	if (c->v4)
		c->hlen = (uint32_t)(pkt_data(p)[0] & 15) * 4;
	else if (!find_unfragmentable(c))
		return false;
	/* A forwarded one may be a fragment itself, and end beyond what offsets can say. */
	if (c->v4 && (get16(pkt_data(p) + 6) & IP4_OFFSET) * 8u + p->len > 65535)
		return false;
	uint32_t over = c->hlen + (c->v4 ? 0 : 8);
	if (mtu < over + 8 || !pkt_want(p, c->hlen))
		return false;
	c->room = (mtu - over) & ~7u;
	if (!c->v4)
		c->id = ip6_ident(p->net, &p->ip.src, &p->ip.dst);
	return true;
}

int ip_fragment(struct pkt *p, const struct route *rt, uint32_t mtu)
{
	struct cut c = {.p = p, .rt = rt, .v4 = pkt_is_v4(p)};
	int err = prepare(&c, mtu) ? 0 : -EMSGSIZE;
	uint32_t n = 0, total = err ? 0 : p->len - c.hlen;
	for (uint32_t off = 0; !err && off < total; off += c.room, n++) {
		uint32_t len = MIN(c.room, total - off);
		struct pkt *s = piece(&c, off, len, off + len == total);
		if (!s) {
			err = -ENOBUFS;
			break;
		}
		if (p->owner)
			pkt_set_owner(s, p->owner);
		ip_send(s, rt);
	}
	count(&c, !err, n);
	net_defer_free(p);
	return err;
}
