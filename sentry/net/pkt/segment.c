/*
 * Cuts a large packet into what fits a link: TCP segmentation (as Linux' GSO), and UDP's
 * (UDP_SEGMENT).  Each piece has a copy of all headers, in which lengths, IPv4's
 * identification, sequence numbers and flags are made its own.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "lib/log.h"
#include "sentry/net/link/link.h"
#include "sentry/net/pkt/pkt.h"

struct seg_ctx {
	struct pkt *p;
	uint32_t l3, l4, hlen; /* offsets from data; bytes of all headers */
	bool v4, tcp;
	struct ip_addr src, dst;
};

static bool read_addresses(struct seg_ctx *c)
{
	const uint8_t *h = pkt_data(c->p);
	if (h[0] >> 4 == 4) {
		uint32_t a[2];
		memcpy(a, h + 12, 8);
		c->v4 = true;
		c->src = ip_v4(a[0]);
		c->dst = ip_v4(a[1]);
		return c->l4 >= sizeof(struct iphdr);
	}
	c->src = ip_v6(h + 8);
	c->dst = ip_v6(h + 24);
	return h[0] >> 4 == 6 && c->l4 >= sizeof(struct ip6_hdr);
}

static bool read_headers(struct seg_ctx *c)
{
	struct pkt *p = c->p;
	if (p->l4 == UINT16_MAX || p->l4 < p->data || !p->gso_size)
		return false;
	c->l4 = (uint32_t)p->l4 - p->data;
	c->tcp = p->gso != PKT_GSO_UDP;
	uint32_t min = c->tcp ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	if (!pkt_want(p, c->l4 + min) || !read_addresses(c))
		return false;
	c->hlen = c->l4 + min;
	if (c->tcp) {
		uint32_t doff = (uint32_t)(pkt_data(p)[c->l4 + 12] >> 4) * 4;
		if (doff < min || !pkt_want(p, c->l4 + doff))
			return false;
		c->hlen = c->l4 + doff;
	}
	return p->len > c->hlen;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* The network header of the i-th piece, which is n bytes long as a whole. */
static void fix_network(const struct seg_ctx *c, uint8_t *h, uint32_t i, uint32_t n)
{
	if (!c->v4) {
		put16(h + 4, n - (uint32_t)sizeof(struct ip6_hdr));
		return;
	}
	uint32_t ihl = (uint32_t)(h[0] & 15) * 4;
	put16(h + 2, n);
	put16(h + 4, ((uint32_t)h[4] << 8 | h[5]) + i);
	put16(h + 10, 0);
	uint16_t sum = (uint16_t)~csum_fold(csum_add(0, h, ihl));
	memcpy(h + 10, &sum, 2);
}

static void fix_tcp(uint8_t *t, uint32_t i, uint32_t off, bool last, bool ecn)
{
	uint32_t seq;
	memcpy(&seq, t + 4, 4);
	seq = htonl(ntohl(seq) + off);
	memcpy(t + 4, &seq, 4);
	if (!last)
		t[13] &= (uint8_t) ~(TH_FIN | TH_PUSH);
	if (i && ecn)
		t[13] &= 0x7f; /* CWR */
}

static struct pkt *cut_one(struct seg_ctx *c, uint32_t i, uint32_t off, uint32_t n)
{
	const struct pkt *p = c->p;
	struct pkt *s = pkt_new();
	uint8_t *h = s ? pkt_put(s, c->hlen) : NULL;
	if (!h || pkt_add_range(s, p, c->hlen + off, n)) {
		pkt_free(s);
		return NULL;
	}
	pkt_copy(p, 0, h, c->hlen);
	s->l3 = s->data;
	s->l4 = (uint16_t)(s->data + c->l4);
	s->net = p->net;
	s->link = p->link ? link_get(p->link) : NULL;
	s->protocol = p->protocol;
	s->type = p->type;
	s->iif = p->iif;
	s->mark = p->mark;
	s->priority = p->priority;
	s->stamp = p->stamp;
	s->ip = p->ip;
	fix_network(c, h, i, c->hlen + n);
	uint8_t proto = c->tcp ? IPPROTO_TCP : IPPROTO_UDP;
	if (c->tcp)
		fix_tcp(h + c->l4, i, off, off + n == p->len - c->hlen, p->ecn);
	else
		put16(h + c->l4 + 4, c->hlen - c->l4 + n);
	pkt_checksum_partial(s, c->tcp ? 16 : 6,
		csum_pseudo(&c->src, &c->dst, proto, c->hlen - c->l4 + n));
	return s;
}

int pkt_segment(struct pkt *p, struct list_node *out)
{
	struct seg_ctx c = {.p = p};
	struct pkt *s, *tmp;
	int err = read_headers(&c) ? 0 : -EINVAL;
	uint32_t i = 0;
	for (uint32_t off = 0; !err && off < p->len - c.hlen; off += p->gso_size) {
		s = cut_one(&c, i++, off, MIN((uint32_t)p->gso_size, p->len - c.hlen - off));
		if (s) {
			pkt_checksum_finish(s);
			list_push_back(out, &s->node);
		} else {
			err = -ENOMEM;
		}
	}
	if (err)
		list_for_each_safe(s, tmp, out, node) {
			list_del(&s->node);
			pkt_free(s);
		}
	pkt_free(p);
	return err;
}
