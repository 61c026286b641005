/* Datagrams that come in, and ICMP errors about those that went out. */
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include "sentry/net/udp/udp_priv.h"

#define BATCH 16u

static void drop(struct pkt *p)
{
	net_defer_free(p);
}

/* --- to one socket --- */

/* p begins at the payload, behind its header. */
static void enqueue(struct inet_sock *s, struct pkt *p)
{
	bool v6 = udp_v6(&p->ip.dst);
	struct net_ns *net = p->net;
	int err = inet_queue_dgram(s, p);
	if (!err)
		return;
	if (err == -ENOMEM)
		UDP_INC(net, v6, RcvbufErrors);
	else
		UDP_INC(net, v6, MemErrors);
	UDP_INC(net, v6, InErrors);
}

/* One datagram of many that came as one, for a socket that does not take them so. */
static struct pkt *cut(const struct pkt *p, uint32_t off, uint32_t n)
{
	struct pkt *c = pkt_new();
	if (!c)
		return NULL;
	memcpy(c->head, p->head, p->data); /* headers stay where they were */
	c->data = c->tail = p->data;
	c->l2 = p->l2;
	c->l3 = p->l3;
	c->l4 = p->l4;
	if (pkt_add_range(c, p, off, n)) {
		drop(c);
		return NULL;
	}
	c->net = p->net;
	c->link = p->link ? link_get(p->link) : NULL;
	c->iif = p->iif;
	c->stamp = p->stamp;
	c->mark = p->mark;
	c->priority = p->priority;
	c->ip = p->ip;
	c->csum = PKT_CSUM_OK;
	memcpy(c->cb, p->cb, sizeof(c->cb));
	return c;
}

static void enqueue_cut(struct inet_sock *s, struct pkt *p)
{
	for (uint32_t off = 0; off < p->len; off += p->gso_size) {
		struct pkt *c = cut(p, off, MIN((uint32_t)p->gso_size, p->len - off));
		if (c)
			enqueue(s, c);
	}
	drop(p);
}

/* p begins at the UDP header. */
static void deliver(struct inet_sock *s, struct pkt *p)
{
	struct udphdr h;
	memcpy(&h, pkt_data(p), sizeof(h));
	if (READ_ONCE(s->sk.filter) && !inet_filter(s, p, UDP_HLEN)) {
		UDP_INC(p->net, udp_v6(&p->ip.dst), InErrors);
		__atomic_add_fetch(&s->drops, 1, __ATOMIC_RELAXED);
		drop(p);
		return;
	}
	p->l4 = p->data;
	pkt_pull(p, UDP_HLEN);
	inet_dgram_mark(p, ntohs(h.source), ntohs(h.dest));
	if (p->gso_size && !READ_ONCE(udp_of(s)->gro))
		enqueue_cut(s, p);
	else
		enqueue(s, p);
}

/* --- to whom --- */

static void key_of(const struct pkt *p, const struct udphdr *h, struct inet_key *k)
{
	*k = (struct inet_key){.local = p->ip.dst,
		.remote = p->ip.src,
		.lport = ntohs(h->dest),
		.rport = ntohs(h->source),
		.iif = p->iif};
}

static bool takes_multicast(struct inet_sock *s, const struct pkt *p, const struct udphdr *h)
{
	if (!h->check && udp_v6(&p->ip.dst) && !READ_ONCE(udp_of(s)->no_check6_rx))
		return false;
	return !ip_is_multicast(&p->ip.dst) || inet_mc_allow(s, &p->ip.dst, &p->ip.src, p->iif);
}

/* Everybody who wants it gets a copy. */
static void deliver_all(struct pkt *p, const struct udphdr *h)
{
	struct inet_sock *found[BATCH];
	struct inet_key k;
	uint64_t at = 0;
	uint32_t n;
	bool any = false;
	key_of(p, h, &k);
	do {
		n = inet_find_all(p->net->inet->udp, &k, &at, found, BATCH);
		for (uint32_t i = 0; i < n; i++) {
			struct pkt *c = takes_multicast(found[i], p, h) ? pkt_clone(p) : NULL;
			if (c) {
				any = true;
				deliver(found[i], c);
			}
			inet_put(found[i]);
		}
	} while (n == BATCH);
	if (!any)
		UDP_INC(p->net, udp_v6(&p->ip.dst), IgnoredMulti);
	drop(p);
}

static void bad_checksum(struct pkt *p)
{
	bool v6 = udp_v6(&p->ip.dst);
	UDP_INC(p->net, v6, InCsumErrors);
	UDP_INC(p->net, v6, InErrors);
	drop(p);
}

static void deliver_one(struct pkt *p, const struct udphdr *h)
{
	struct inet_key k;
	bool v6 = udp_v6(&p->ip.dst);
	key_of(p, h, &k);
	k.p = p;
	k.header_len = UDP_HLEN;
	struct inet_sock *s = inet_find(p->net->inet->udp, &k);
	if (v6 && !h->check && !(s && READ_ONCE(udp_of(s)->no_check6_rx))) {
		inet_put(s);
		bad_checksum(p);
		return;
	}
	if (!s) {
		UDP_INC(p->net, v6, NoPorts);
		icmp_port_unreachable(p);
		drop(p);
		return;
	}
	deliver(s, p);
	inet_put(s);
}

/* The length and the checksum; h is what the header says. */
static bool check(struct pkt *p, struct udphdr *h)
{
	bool v6 = udp_v6(&p->ip.dst);
	if (!pkt_want(p, UDP_HLEN)) {
		UDP_INC(p->net, v6, InErrors);
		drop(p);
		return false;
	}
	memcpy(h, pkt_data(p), sizeof(*h));
	uint32_t len = ntohs(h->len);
	if (v6 && !len) /* a jumbogram (RFC 2675) */
		len = p->len;
	if (len < UDP_HLEN || len > p->len) {
		UDP_INC(p->net, v6, InErrors);
		drop(p);
		return false;
	}
	pkt_trim(p, len);
	if (!h->check) /* it has none */
		return true;
	if (pkt_checksum_ok(p, csum_pseudo(&p->ip.src, &p->ip.dst, IPPROTO_UDP, len)))
		return true;
	bad_checksum(p);
	return false;
}

void udp_input(struct pkt *p)
{
	struct udphdr h;
	if (!check(p, &h))
		return;
	if (unlikely(p->ip.broadcast || ip_is_multicast(&p->ip.dst)))
		deliver_all(p, &h);
	else
		deliver_one(p, &h);
}

/* --- errors --- */

/* "Too big" teaches the path's MTU and counts as an error, unless the socket is not interested. */
static bool too_big(struct inet_sock *s, const struct ip_error *e, int32_t oif)
{
	uint8_t how = ip_is_v4(&e->src) ? READ_ONCE(s->pmtudisc4) : READ_ONCE(s->pmtudisc6);
	if (how == IP_PMTU_INTERFACE || how == IP_PMTU_OMIT)
		return !ip_is_v4(&e->src) ? false : how != IP_PMTU_DONT;
	ip_pmtu_learn(s->sk.net, &e->dst, e->info, oif);
	return how != IP_PMTU_DONT || !ip_is_v4(&e->src);
}

static bool is_too_big(const struct ip_error *e)
{
	if (ip_is_v4(&e->src))
		return e->type == ICMP_DEST_UNREACH && e->code == ICMP_FRAG_NEEDED;
	return e->type == ICMP6_PACKET_TOO_BIG;
}

static bool is_ignored(const struct ip_error *e)
{
	if (ip_is_v4(&e->src))
		return e->type == ICMP_SOURCE_QUENCH || e->type == ICMP_REDIRECT;
	return e->type == 137; /* ND_REDIRECT */
}

void udp_error(struct pkt *p, const struct ip_error *e)
{
	struct udphdr h;
	if (!pkt_want(p, UDP_HLEN))
		return;
	memcpy(&h, pkt_data(p), sizeof(h));
	struct inet_key k = {.local = e->src,
		.remote = e->dst,
		.lport = ntohs(h.source),
		.rport = ntohs(h.dest),
		.iif = p->iif};
	struct inet_sock *s = inet_find(p->net->inet->udp, &k);
	if (!s)
		return;
	if (!is_ignored(e) && (!is_too_big(e) || too_big(s, e, k.iif)))
		inet_icmp_error(s, p, e, UDP_HLEN);
	inet_put(s);
}
