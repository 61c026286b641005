/*
 * A stack of its own for tests of the network layer: a namespace, and a link of a kind of the
 * test's, without a link layer, which keeps what is sent.
 */
#ifndef TESTS_UNIT_NET_IP_FAKE_H
#define TESTS_UNIT_NET_IP_FAKE_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/ip.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"
#include "tests/unit/test.h"

#define T_LINK ((enum link_kind)(LINK_KIND_NR - 1))

static struct net_ns *net;
static struct list_node sent; /* what went out by links of the test's kind */

static void t_xmit(struct link *l, struct pkt *p)
{
	list_push_back(&sent, &p->node);
}
static const struct link_ops t_ops = {.name = "test", .xmit = t_xmit};

static UNUSED struct ip_addr addr_of(const char *s)
{
	struct ip_addr a = {0};
	uint32_t v4;
	if (strchr(s, ':')) {
		CHECK_EQ(inet_pton(AF_INET6, s, &a), 1);
		return a;
	}
	CHECK_EQ(inet_pton(AF_INET, s, &v4), 1);
	return ip_v4(v4);
}

static UNUSED void t_drop_sent(void)
{
	struct pkt *p;
	while ((p = list_first(&sent, struct pkt, node))) {
		list_del(&p->node);
		pkt_free(p);
	}
}

/* A new namespace with lo up. */
static UNUSED void t_setup(void)
{
	static bool ready;
	if (!ready) {
		CHECK_EQ(arena_init(), 0);
		CHECK_EQ(memfile_init(), 0);
		CHECK_EQ(time_init(), 0);
		list_init(&sent);
		link_init();
		ip_init();
		link_ops_register(T_LINK, &t_ops);
		ready = true;
	}
	t_drop_sent();
	net_ns_put(net);
	net = net_ns_new(7);
	CHECK(net != NULL);
	CHECK_EQ(ip_loopback_up(net), 0);
}

/* A link that is up; borrowed. */
static UNUSED struct link *t_link(const char *name)
{
	struct link *l = link_new(T_LINK, ARPHRD_NONE);
	CHECK(l != NULL);
	l->flags |= IFF_BROADCAST | IFF_MULTICAST;
	CHECK_EQ(link_register(net, l, name, 0), 0);
	CHECK_EQ(link_set_flags(l, IFF_UP, IFF_UP), 0);
	return l;
}

static UNUSED int t_addr(struct link *l, const char *text)
{
	char s[64];
	struct ip_ifaddr i = {.index = l->index, .preferred = IP_FOREVER, .valid = IP_FOREVER};
	snprintf(s, sizeof(s), "%s", text);
	char *slash = strchr(s, '/');
	*slash = 0;
	i.local = addr_of(s);
	i.prefix_len = (uint8_t)atoi(slash + 1);
	i.family = ip_is_v4(&i.local) ? AF_INET : AF_INET6;
	i.flags = IFA_F_NODAD;
	return ip_addr_add(net, &i, NLM_F_CREATE | NLM_F_EXCL);
}

/* "10.0.0.0/8", by way of gw (NULL: none) and l (NULL: any). */
static UNUSED struct ip_route_info t_route(const char *dst, const char *gw, struct link *l)
{
	char s[64];
	struct ip_route_info r = {.table = RT_TABLE_MAIN,
		.protocol = RTPROT_BOOT,
		.type = RTN_UNICAST,
		.nhops = 1};
	snprintf(s, sizeof(s), "%s", dst);
	char *slash = strchr(s, '/');
	*slash = 0;
	r.dst = addr_of(s);
	r.dst_len = (uint8_t)atoi(slash + 1);
	r.family = ip_is_v4(&r.dst) ? AF_INET : AF_INET6;
	r.prefsrc = r.family == AF_INET ? IP_ANY4 : IP_ANY6;
	r.hop[0].gw = gw ? addr_of(gw) : r.prefsrc;
	r.hop[0].oif = l ? l->index : 0;
	r.scope = gw || r.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	return r;
}

/* Where would a packet go: err, and rt, which is put by the caller. */
static UNUSED int t_lookup(const char *dst, struct route *rt)
{
	struct flow f = {.dst = addr_of(dst)};
	f.src = ip_is_v4(&f.dst) ? IP_ANY4 : IP_ANY6;
	return route_lookup(net, &f, rt);
}

static UNUSED bool addr_is(const struct ip_addr *a, const char *text)
{
	struct ip_addr b = addr_of(text);
	return ip_eq(a, &b);
}

#endif
