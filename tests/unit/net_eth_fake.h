/*
 * An Ethernet link of which the test is the other end: what is sent is kept, frames come in by
 * in(), and time passes by expire(), which says what the time is: the timer's thread does not run.
 */
#ifndef TESTS_UNIT_NET_ETH_FAKE_H
#define TESTS_UNIT_NET_ETH_FAKE_H

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/eth/ndp_priv.h"
#include "sentry/net/ip/route.h"
#include "sentry/net/net.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/vfs/file.h"
#include "sentry/vfs/vfs.h"

#define SEC NSEC_PER_SEC
#define LINK_ETH_FAKE 7
#define FRAMES 256

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

static struct eth_fake {
	struct net_ns *net;
	struct link *link;
	uint32_t n; /* frames sent, of which the first FRAMES are kept */
	struct {
		uint32_t len;
		uint8_t b[1600];
	} frame[FRAMES];
} ef;

static void ef_xmit(struct link *l, struct pkt *p)
{
	(void)l;
	if (ef.n < FRAMES) {
		ef.frame[ef.n].len = MIN(p->len, 1600u);
		pkt_copy(p, 0, ef.frame[ef.n].b, ef.frame[ef.n].len);
	}
	ef.n++;
	net_defer_free(p);
}

static const struct link_ops ef_ops = {.xmit = ef_xmit};

static inline struct ip_addr a4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return ip_v4(htonl((uint32_t)a << 24 | (uint32_t)b << 16 | (uint32_t)c << 8 | d));
}
/* 2001:db8::last, or fe80::last. */
static inline struct ip_addr a6(bool linklocal, uint8_t last)
{
	struct ip_addr a = {.b = {0x20, 0x01, 0x0d, 0xb8, [15] = last}};
	if (linklocal)
		a = (struct ip_addr){.b = {0xfe, 0x80, [15] = last}};
	return a;
}

static UNUSED int ef_addr(const struct ip_addr *a, uint8_t len, uint32_t flags)
{
	struct ip_ifaddr x = {.index = ef.link->index,
		.family = ip_is_v4(a) ? AF_INET : AF_INET6,
		.prefix_len = len,
		.flags = IFA_F_PERMANENT | flags,
		.local = *a,
		.peer = *a,
		.broadcast = IP_ANY4,
		.preferred = IP_FOREVER,
		.valid = IP_FOREVER};
	return ip_addr_add(ef.net, &x, NLM_F_CREATE | NLM_F_EXCL);
}

static UNUSED void ef_begin(void)
{
	static bool done;
	if (!done) {
		if (arena_init() || memfile_init() || time_init() || vfs_init() || net_init())
			abort();
		link_ops_register(LINK_ETH_FAKE, &ef_ops);
		done = true;
	}
	ef.net = net_ns_new(1);
	struct link *l = link_new(LINK_ETH_FAKE, ARPHRD_ETHER);
	memcpy(l->addr, our_mac, 6);
	if (!ef.net || link_register(ef.net, l, "eth0", 0))
		abort();
	ef.link = link_get(l);
	link_set_flags(l, IFF_UP, IFF_UP);
	net_run();
	ef.n = 0;
}

static UNUSED void ef_end(void)
{
	link_put(ef.link);
	net_ns_put(ef.net);
	net_run();
}

/* The time is now and in. */
static UNUSED void ef_expire(int64_t in)
{
	int64_t now = time_monotonic() + in;
	neigh_expire(ef.net->eth, now);
	ndp_dad_expire(ef.net->eth, now);
	ndp_ra_expire(ef.net->eth, now);
	net_run();
}

static UNUSED void ef_in(const void *frame, uint32_t len)
{
	struct pkt *p = pkt_new();
	if (!p || pkt_add(p, frame, len))
		abort();
	p->link = link_get(ef.link);
	link_input(p);
	net_run();
}

/* An ICMPv6 message comes in. */
static UNUSED void ef_in6(const struct ip_addr *src, const struct ip_addr *dst, uint8_t hops,
	const uint8_t *msg, uint32_t len)
{
	uint8_t f[ETH_HLEN + 40 + 2048] = {0}, *m = f + ETH_HLEN + 40, *h = f + ETH_HLEN;
	if (ip_is_multicast(dst)) {
		f[0] = f[1] = 0x33;
		memcpy(f + 2, dst->b + 12, 4);
	} else {
		memcpy(f, our_mac, 6);
	}
	memcpy(f + 6, peer_mac, 6);
	f[12] = 0x86;
	f[13] = 0xdd;
	h[0] = 0x60;
	h[4] = (uint8_t)(len >> 8);
	h[5] = (uint8_t)len;
	h[6] = IPPROTO_ICMPV6;
	h[7] = hops;
	memcpy(h + 8, src->b, 16);
	memcpy(h + 24, dst->b, 16);
	memcpy(m, msg, len);
	m[2] = m[3] = 0;
	uint16_t sum =
		(uint16_t)~csum_fold(csum_add(csum_pseudo(src, dst, IPPROTO_ICMPV6, len), m, len));
	memcpy(m + 2, &sum, 2);
	ef_in(f, ETH_HLEN + 40 + len);
}

/* The ICMPv6 message of that type that was sent last, or NULL. */
static UNUSED const uint8_t *ef_sent6(uint8_t type)
{
	for (uint32_t i = MIN(ef.n, (uint32_t)FRAMES); i--;) {
		const uint8_t *f = ef.frame[i].b;
		if (ef.frame[i].len >= 62 && f[12] == 0x86 && f[13] == 0xdd && f[20] == 58 &&
			f[54] == type)
			return f + 54;
	}
	return NULL;
}

/* The last ARP packet, or NULL. */
static UNUSED const uint8_t *ef_sent_arp(void)
{
	for (uint32_t i = MIN(ef.n, (uint32_t)FRAMES); i--;)
		if (ef.frame[i].len == 42 && ef.frame[i].b[12] == 8 && ef.frame[i].b[13] == 6)
			return ef.frame[i].b + ETH_HLEN;
	return NULL;
}

static UNUSED uint32_t ef_count_arp(void)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < MIN(ef.n, (uint32_t)FRAMES); i++)
		n += ef.frame[i].len == 42 && ef.frame[i].b[12] == 8 && ef.frame[i].b[13] == 6;
	return n;
}

#endif
