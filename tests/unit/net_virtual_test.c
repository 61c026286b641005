/*
 * Links that lead back into the sandbox: veth pairs within and across namespaces, bridges
 * (learning, flooding, circles), dummies; names, flags and carriers.
 */
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"
#include "tests/unit/test.h"

#define PROTO 0x88b5

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* What came in where. */
static struct {
	uint32_t n;
	struct {
		struct net_ns *net;
		int32_t iif;
		uint32_t len;
		uint8_t type, csum;
		uint16_t gso_size;
		uint32_t mark;
	} in[64];
} got;

static void input(struct pkt *p)
{
	uint32_t i = got.n++;
	if (i < ARRAY_LEN(got.in)) {
		got.in[i].net = p->net;
		got.in[i].iif = p->iif;
		got.in[i].len = p->len;
		got.in[i].type = p->type;
		got.in[i].csum = p->csum;
		got.in[i].gso_size = p->gso_size;
		got.in[i].mark = p->mark;
	}
	pkt_free(p);
}

static struct net_ns *setup(void)
{
	static bool done;
	if (!done) {
		CHECK_EQ(arena_init(), 0);
		CHECK_EQ(memfile_init(), 0);
		CHECK_EQ(time_init(), 0);
		link_init();
		link_proto_register(PROTO, input);
		done = true;
	}
	got.n = 0;
	struct net_ns *net = net_ns_new(7);
	CHECK(net != NULL);
	return net;
}

static struct link *create(struct net_ns *net, const struct link_attrs *a)
{
	struct link *l = NULL;
	net_cfg_lock();
	CHECK_EQ(link_create(net, a, &l), 0);
	net_cfg_unlock();
	return l;
}

static void set_up(struct link *l, bool up)
{
	net_cfg_lock();
	CHECK_EQ(link_set_flags(l, up ? IFF_UP : 0, IFF_UP), 0);
	net_cfg_unlock();
}

static int master(struct link *l, struct link *br)
{
	net_cfg_lock();
	int err = link_set_master(l, br);
	net_cfg_unlock();
	return err;
}

static void delete (struct link *l)
{
	net_cfg_lock();
	link_unregister(l);
	net_cfg_unlock();
	link_put(l);
}

static void send_from(struct net_ns *net, struct link *l, const uint8_t *src, const uint8_t *dst)
{
	uint16_t proto = htons(PROTO);
	struct pkt *p = pkt_new();
	CHECK(p != NULL);
	uint8_t *f = pkt_put(p, 100);
	memset(f, 0, 100);
	memcpy(f, dst, 6);
	memcpy(f + 6, src, 6);
	memcpy(f + 12, &proto, 2);
	p->l2 = p->data;
	p->l3 = (uint16_t)(p->data + ETH_HLEN);
	p->net = net;
	p->link = link_get(l);
	p->mark = 5;
	link_output(p);
	net_run();
}

TEST(veth_pair)
{
	struct net_ns *a = setup(), *b = net_ns_new(8);
	struct link_attrs at = {.kind = "veth", .peer_net = b, .peer_name = "other"};
	struct link *l = create(a, &at), *peer = link_by_name(b, "other");
	CHECK(peer != NULL && link_by_name(a, "veth0") == l);
	link_put(l);
	CHECK((l->addr[0] & 3) == 2 && memcmp(l->addr, peer->addr, 6) != 0);
	set_up(l, true);
	CHECK_EQ(link_flags(l), IFF_UP | IFF_BROADCAST | IFF_MULTICAST);
	send_from(a, l, l->addr, broadcast);
	CHECK_EQ(got.n, 0);
	CHECK_EQ(l->stats.tx_dropped, 1);
	set_up(peer, true);
	CHECK(link_flags(l) & IFF_RUNNING && link_flags(peer) & IFF_RUNNING);
	send_from(a, l, l->addr, broadcast);
	send_from(a, l, l->addr, peer->addr);
	send_from(b, peer, peer->addr, (const uint8_t *)"\2\1\1\1\1\1");
	CHECK_EQ(got.n, 3);
	CHECK(got.in[0].net == b && got.in[0].iif == peer->index);
	CHECK(got.in[0].type == PKT_BROADCAST && got.in[0].mark == 0);
	CHECK(got.in[1].type == PKT_HOST && got.in[0].len == 100 - ETH_HLEN);
	CHECK(got.in[2].net == a && got.in[2].type == PKT_OTHERHOST);
	set_up(peer, false);
	CHECK(!(link_flags(l) & IFF_RUNNING) && link_flags(l) & IFF_UP);
	delete (l);
	CHECK(link_by_name(b, "other") == NULL);
	CHECK(peer->gone);
	link_put(peer);
	net_ns_put(a);
	net_ns_put(b);
}

TEST(veth_fails_whole)
{
	struct net_ns *a = setup(), *b = net_ns_new(8);
	struct link_attrs at = {.kind = "veth", .name = "x", .peer_net = b, .peer_name = "y"};
	struct link *l = create(a, &at), *none;
	net_cfg_lock();
	CHECK_EQ(link_create(a, &at, &none), -EEXIST); /* the peer's */
	at.peer_name = "z";
	CHECK_EQ(link_create(a, &at, &none), -EEXIST);
	CHECK(link_by_name(b, "z") == NULL);
	at = (struct link_attrs){.kind = "veth", .name = "a/b"};
	CHECK_EQ(link_create(a, &at, &none), -EINVAL);
	at = (struct link_attrs){.kind = "veth", .addr = broadcast};
	CHECK_EQ(link_create(a, &at, &none), -EADDRNOTAVAIL);
	at = (struct link_attrs){.kind = "veth", .mtu = 67};
	CHECK_EQ(link_create(a, &at, &none), -EINVAL);
	at = (struct link_attrs){.kind = "vxlan"};
	CHECK_EQ(link_create(a, &at, &none), -EOPNOTSUPP);
	net_cfg_unlock();
	link_put(l);
	net_ns_put(a);
	net_ns_put(b);
}

static void wait_gone(struct link *l)
{
	for (int i = 0; i < 2000 && !__atomic_load_n(&l->gone, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	CHECK(__atomic_load_n(&l->gone, __ATOMIC_ACQUIRE));
}

/* A namespace that goes takes the other ends along. */
TEST(veth_namespace_goes)
{
	struct net_ns *a = setup(), *b = net_ns_new(8);
	struct link_attrs at = {.kind = "veth", .peer_net = b};
	struct link *l = create(a, &at);
	set_up(l, true);
	net_ns_put(b);
	wait_gone(l);
	CHECK(link_by_name(a, "veth1") == NULL && !link_is_up(l));
	link_put(l);
	net_ns_put(a);
}

TEST(link_moves)
{
	struct net_ns *a = setup(), *b = net_ns_new(8);
	struct link_attrs at = {.kind = "veth", .name = "m", .peer_name = "n"};
	struct link *l = create(a, &at), *n = link_by_name(a, "n"), *lo = link_by_name(a, "lo");
	set_up(l, true);
	set_up(n, true);
	net_cfg_lock();
	CHECK_EQ(link_move(lo, b, NULL), -EINVAL);
	CHECK_EQ(link_move(n, b, "lo"), 0);
	CHECK(link_by_name(a, "n") == NULL && !link_is_up(n) && !(link_flags(l) & IFF_RUNNING));
	net_cfg_unlock();
	set_up(n, true);
	send_from(a, l, l->addr, broadcast);
	CHECK(got.n == 1 && got.in[0].net == b);
	delete (l);
	link_put(n);
	link_put(lo);
	net_ns_put(a);
	net_ns_put(b);
}

/* A bridge with three stations, each the outer end of a pair: in a namespace of its own. */
static struct {
	struct net_ns *net, *out[3];
	struct link *br, *port[3], *station[3];
} net3;

static void make3(void)
{
	net3.net = setup();
	struct link_attrs at = {.kind = "bridge", .name = "br0"};
	net3.br = create(net3.net, &at);
	for (int i = 0; i < 3; i++) {
		net3.out[i] = net_ns_new((uint64_t)(10 + i));
		struct link_attrs v = {.kind = "veth",
			.peer_net = net3.out[i],
			.peer_name = "eth0"};
		net3.port[i] = create(net3.net, &v);
		net3.station[i] = link_by_name(net3.out[i], "eth0");
		CHECK_EQ(master(net3.port[i], net3.br), 0);
		set_up(net3.port[i], true);
		set_up(net3.station[i], true);
	}
	set_up(net3.br, true);
}

static void drop3(void)
{
	for (int i = 0; i < 3; i++) {
		link_put(net3.station[i]);
		link_put(net3.port[i]);
		net_ns_put(net3.out[i]);
	}
	link_put(net3.br);
	net_ns_put(net3.net);
}

static void from_to(int from, const uint8_t *dst)
{
	got.n = 0;
	send_from(net3.out[from], net3.station[from], net3.station[from]->addr, dst);
}

TEST(bridge_learns)
{
	make3();
	CHECK(link_flags(net3.br) & IFF_RUNNING);
	CHECK_EQ(net3.port[0]->master, net3.br->index);
	CHECK_EQ(net3.port[0]->promiscuity, 1);
	from_to(0, broadcast); /* to both others, and to the bridge itself */
	CHECK_EQ(got.n, 3);
	from_to(0, net3.station[1]->addr); /* not known yet: to both */
	CHECK_EQ(got.n, 2);
	from_to(1, net3.station[0]->addr); /* known */
	CHECK_EQ(got.n, 1);
	CHECK(got.in[0].net == net3.out[0] && got.in[0].type == PKT_HOST);
	from_to(0, net3.station[1]->addr);
	CHECK(got.n == 1 && got.in[0].net == net3.out[1]);
	from_to(2, net3.br->addr);
	CHECK(got.n == 1 && got.in[0].net == net3.net && got.in[0].iif == net3.br->index);
	CHECK_EQ(got.in[0].type, PKT_HOST);
	got.n = 0;
	send_from(net3.net, net3.br, net3.br->addr, net3.station[1]->addr);
	CHECK(got.n == 1 && got.in[0].net == net3.out[1]);
	bridge_set_ageing(net3.br, 0); /* all is forgotten */
	usleep(1000);
	from_to(0, net3.station[1]->addr);
	CHECK_EQ(got.n, 2);
	/* Pause frames go no further; spanning trees do. */
	from_to(0, (const uint8_t *)"\x01\x80\xc2\0\0\x01");
	CHECK(got.n == 1 && got.in[0].iif == net3.port[0]->index);
	from_to(0, (const uint8_t *)"\x01\x80\xc2\0\0\0");
	CHECK_EQ(got.n, 3);
	drop3();
}

TEST(bridge_ports)
{
	make3();
	struct link *lo = link_by_name(net3.net, "lo");
	struct link_attrs at = {.kind = "bridge"};
	struct link *other = create(net3.net, &at);
	CHECK_EQ(master(lo, net3.br), -EINVAL);
	CHECK_EQ(master(other, net3.br), -ELOOP);
	CHECK_EQ(master(other, lo), -EOPNOTSUPP);
	CHECK_EQ(master(net3.port[0], net3.br), -EBUSY);
	CHECK(!(link_flags(other) & IFF_RUNNING));
	CHECK_EQ(master(net3.port[0], other), 0); /* moves */
	CHECK_EQ(net3.port[0]->master, other->index);
	CHECK_EQ(memcmp(other->addr, net3.port[0]->addr, 6), 0);
	from_to(1, broadcast);
	CHECK_EQ(got.n, 2);
	CHECK_EQ(master(net3.port[0], NULL), 0);
	CHECK(net3.port[0]->master == 0 && net3.port[0]->promiscuity == 0);
	delete (net3.station[1]); /* and port 1 */
	CHECK(net3.port[1]->gone && !net3.port[1]->bridge_link);
	net3.station[1] = NULL;
	from_to(2, broadcast);
	CHECK(got.n == 1 && got.in[0].net == net3.net);
	delete (other);
	link_get(net3.br);
	delete (net3.br);
	CHECK(net3.port[2]->master == 0 && !net3.port[2]->bridge_link);
	link_put(lo);
	drop3();
}

/* Two bridges, joined twice: a broadcast goes round, and multiplies; it ends. */
TEST(bridge_circle)
{
	make3();
	struct link_attrs at = {.kind = "bridge"};
	struct link *other = create(net3.net, &at);
	set_up(other, true);
	for (int i = 0; i < 3; i++) {
		struct link_attrs v = {.kind = "veth", .peer_name = "back%d"};
		char name[16];
		struct link *l = create(net3.net, &v);
		snprintf(name, sizeof(name), "back%d", i);
		struct link *back = link_by_name(net3.net, name);
		CHECK_EQ(master(l, net3.br), 0);
		CHECK_EQ(master(back, other), 0);
		set_up(l, true);
		set_up(back, true);
		link_put(l);
		link_put(back);
	}
	from_to(0, broadcast);
	CHECK(got.n > 100 && !net_run_pending());
	link_put(other);
	drop3();
}

/* Two bridges with many cables between them double a frame at each hop: it ends all the same, and
 * soon. */
TEST(bridge_storm)
{
	make3();
	struct link_attrs at = {.kind = "bridge"};
	struct link *other = create(net3.net, &at);
	set_up(other, true);
	for (int i = 0; i < 60; i++) {
		struct link_attrs v = {.kind = "veth", .peer_name = "back%d"};
		char name[16];
		struct link *l = create(net3.net, &v);
		snprintf(name, sizeof(name), "back%d", i);
		struct link *back = link_by_name(net3.net, name);
		CHECK_EQ(master(l, net3.br), 0);
		CHECK_EQ(master(back, other), 0);
		set_up(l, true);
		set_up(back, true);
		link_put(l);
		link_put(back);
	}
	from_to(0, broadcast);
	CHECK(!net_run_pending());
	CHECK(got.n > 100 && got.n < 40000);
	from_to(0, broadcast); /* the next one is not held liable */
	CHECK(!net_run_pending());
	link_put(other);
	drop3();
}

TEST(dummy)
{
	struct net_ns *net = setup();
	struct link_attrs at = {.kind = "dummy"};
	struct link *l = create(net, &at);
	CHECK(!strcmp(l->name, "dummy0"));
	CHECK_EQ(link_flags(l), IFF_BROADCAST | IFF_NOARP);
	set_up(l, true);
	send_from(net, l, l->addr, broadcast);
	CHECK(got.n == 0 && l->stats.tx_packets == 1 && l->stats.tx_bytes == 100);
	net_cfg_lock();
	CHECK_EQ(link_set_flags(l, IFF_PROMISC, IFF_PROMISC), 0);
	link_promiscuity(l, 1); /* a packet socket's */
	CHECK_EQ(l->promiscuity, 2);
	CHECK_EQ(link_set_flags(l, 0, IFF_PROMISC), 0);
	CHECK_EQ(l->promiscuity, 1);
	CHECK(l->flags & IFF_PROMISC && !(link_flags(l) & IFF_PROMISC));
	CHECK_EQ(link_set_flags(l, 0, IFF_PROMISC), 0);
	CHECK_EQ(l->promiscuity, 1);
	link_promiscuity(l, -1);
	CHECK(!(l->flags & IFF_PROMISC));
	for (uint32_t i = 0; i < LINKS_MAX - 2; i++)
		CHECK_EQ(link_create(net, &at, NULL), 0);
	CHECK_EQ(link_create(net, &at, NULL), -ENOBUFS);
	net_cfg_unlock();
	link_put(l);
	net_ns_put(net);
}
