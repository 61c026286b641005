/* The log of packets: blocks of pcapng as they should be, and the end at the limit. */
#include "sentry/net/link/pcap.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/link/link.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"
#include "tests/unit/test.h"

#define PROTO 0x88b5
#define LIMIT 2000u

static uint8_t log_[LIMIT + 1];

static void send_one(struct net_ns *net, struct link *l, uint32_t n, bool hard)
{
	struct pkt *p = pkt_new();
	CHECK(p != NULL);
	uint8_t *f = pkt_put(p, n);
	memset(f, 0x5a, n);
	p->protocol = PROTO;
	p->l3 = p->data;
	if (hard) {
		p->l2 = p->data;
		p->l3 = (uint16_t)(p->data + ETH_HLEN);
		f[12] = PROTO >> 8;
		f[13] = PROTO & 255;
	}
	p->net = net;
	p->link = link_get(l);
	link_output(p);
	net_run();
}

static uint32_t get32(uint32_t at)
{
	uint32_t v;
	memcpy(&v, log_ + at, 4);
	return v;
}

/* The block at at: its type; ends with its length again. */
static uint32_t block(uint32_t at, uint32_t *len)
{
	*len = get32(at + 4);
	CHECK(*len % 4 == 0 && *len >= 12 && at + *len <= LIMIT);
	CHECK_EQ(get32(at + *len - 4), *len);
	return get32(at);
}

/* An enhanced packet block; returns where its data begins. */
static uint32_t packet(uint32_t *at, uint32_t interface, uint32_t n, uint32_t way)
{
	uint32_t len, data = *at + 28;
	CHECK_EQ(block(*at, &len), 6);
	CHECK_EQ(get32(*at + 8), interface);
	CHECK(get32(*at + 20) == n && get32(*at + 24) == n);
	uint32_t options = data + (n + 3) / 4 * 4;
	CHECK(get32(options) == (4u << 16 | 2) && get32(options + 4) == way);
	*at += len;
	return data;
}

TEST(pcap)
{
	CHECK_EQ(arena_init(), 0);
	CHECK_EQ(memfile_init(), 0);
	CHECK_EQ(time_init(), 0);
	link_init();
	int fd = memfd_create("log", 0);
	CHECK_EQ(pcap_start(dup(fd), LIMIT), 0);
	struct net_ns *net = net_ns_new(77);
	struct link *lo = link_by_name(net, "lo"), *d;
	net_cfg_lock();
	CHECK_EQ(link_create(net, &(struct link_attrs){.kind = "dummy"}, &d), 0);
	link_set_flags(lo, IFF_UP, IFF_UP);
	link_set_flags(d, IFF_UP, IFF_UP);
	net_cfg_unlock();
	send_one(net, lo, 101, false);
	send_one(net, d, 60, true);
	uint32_t at, len;
	CHECK(pread(fd, log_, sizeof(log_), 0) > 0);
	CHECK(block(0, &len) == 0x0a0d0d0a && get32(8) == 0x1a2b3c4d && len == 28);
	at = len;
	CHECK_EQ(block(at, &len), 1);
	CHECK_EQ(get32(at + 8) & 0xffff, 1);
	CHECK(memmem(log_ + at, len, "lo", 3) && memmem(log_ + at, len, "net:[77]", 8));
	at += len;
	uint32_t data = packet(&at, 0, 101 + ETH_HLEN, 2);
	CHECK(get32(data) == 0 && log_[data + 12] == 0x88 && log_[data + 14] == 0x5a);
	data = packet(&at, 0, 101 + ETH_HLEN, 1);
	CHECK(log_[data + 114] == 0x5a && log_[data + 13] == 0xb5);
	CHECK_EQ(block(at, &len), 1);
	CHECK(memmem(log_ + at, len, "dummy0", 6) != NULL);
	at += len;
	data = packet(&at, 1, 60, 2);
	CHECK(log_[data] == 0x5a && log_[data + 59] == 0x5a);
	/* The last block is whole, and no more comes. */
	CHECK_EQ(pcap_missed(), 0);
	for (int i = 0; i < 20; i++)
		send_one(net, d, 160, true);
	send_one(net, d, 14, true);
	ssize_t n = pread(fd, log_, sizeof(log_), 0);
	CHECK(n > 1500 && n <= LIMIT);
	for (at = 0; at < (uint32_t)n; at += len)
		block(at, &len);
	CHECK_EQ(at, n);
	CHECK(pcap_missed() > 10);
	link_put(lo);
	link_put(d);
	net_ns_put(net);
}
