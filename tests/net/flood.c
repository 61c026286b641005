/*
 * Frames that nobody asked for, out by an interface of the caller's network namespace:
 *
 *	flood IF MAC ADDR4 ADDR6 KIND COUNT
 *
 * to MAC and one of the addresses.  Kinds: syn (to port 80, from all over the network), rst (resets
 * and ACKs of no connection), frag (first and middle pieces of packets), arp, ndp (questions and
 * answers in the name of everybody), all.  Addresses that send are of 10.77.0.0/16 and fd77::/64.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uint8_t f[1514], mac[6], to4[4], to6[16];
static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t add(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void ether(uint32_t type)
{
	memset(f, 0, sizeof(f));
	memcpy(f, mac, 6);
	f[6] = 2;
	put16(f + 8, rnd());
	put16(f + 10, rnd());
	put16(f + 12, type);
}

/* An IPv4 header before n bytes. */
static uint32_t ip4(uint8_t proto, uint32_t n, uint32_t frag)
{
	uint8_t *h = f + 14;
	ether(ETH_P_IP);
	h[0] = 0x45;
	put16(h + 2, 20 + n);
	put16(h + 4, rnd());
	put16(h + 6, frag);
	h[8] = 64;
	h[9] = proto;
	h[12] = 10;
	h[13] = 77;
	h[14] = (uint8_t)rnd();
	h[15] = (uint8_t)(3 + rnd() % 250);
	memcpy(h + 16, to4, 4);
	put16(h + 10, fold(add(0, h, 20)));
	return 34 + n;
}

static uint32_t tcp(uint8_t flags)
{
	uint8_t *t = f + 34;
	uint32_t n = ip4(IPPROTO_TCP, 20, 0);
	put16(t, 1024 + rnd() % 60000);
	put16(t + 2, 80);
	put16(t + 4, rnd());
	put16(t + 6, rnd());
	if (!(flags & 2))
		put16(t + 8, rnd());
	t[12] = 5 << 4;
	t[13] = flags;
	put16(t + 14, 65535);
	put16(t + 16, fold(add(add(IPPROTO_TCP + 20, f + 26, 8), t, 20)));
	return n;
}

static uint32_t arp(uint32_t i)
{
	static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0};
	uint8_t *a = f + 14;
	ether(ETH_P_ARP);
	memcpy(a, head, sizeof(head));
	a[7] = (uint8_t)(1 + (i & 1));
	memcpy(a + 8, f + 6, 6);
	a[14] = 10;
	a[15] = 77;
	a[17] = (uint8_t)(3 + rnd() % 250);
	memcpy(a + 24, to4, 4);
	return 42;
}

static uint32_t ndp(uint32_t i)
{
	uint8_t *h = f + 14, *m = h + 40;
	ether(ETH_P_IPV6);
	h[0] = 0x60;
	put16(h + 4, 32);
	h[6] = IPPROTO_ICMPV6;
	h[7] = 255;
	memcpy(h + 8, to6, 8);
	put16(h + 20, rnd());
	put16(h + 22, 3 + rnd() % 60000);
	memcpy(h + 24, to6, 16);
	m[0] = i & 1 ? 136 : 135;
	m[4] = i & 1 ? 0x60 : 0;
	memcpy(m + 8, i & 1 ? h + 8 : to6, 16);
	m[24] = i & 1 ? 2 : 1;
	m[25] = 1;
	memcpy(m + 26, f + 6, 6);
	put16(m + 2, fold(add(add(IPPROTO_ICMPV6 + 32, h + 8, 32), m, 32)));
	return 86;
}

static uint32_t make(const char *kind, uint32_t i)
{
	static const char *const all[] = {"syn", "rst", "frag", "arp", "ndp"};
	if (!strcmp(kind, "all"))
		kind = all[i % 5];
	i /= 5;
	if (!strcmp(kind, "syn"))
		return tcp(2);
	if (!strcmp(kind, "rst"))
		return tcp(i & 1 ? 4 : 16);
	if (!strcmp(kind, "frag"))
		return ip4(IPPROTO_UDP, i % 3 ? 8 : 1480, 0x2000 | (i & 1 ? 0 : i % 100));
	if (!strcmp(kind, "arp"))
		return arp(i);
	if (!strcmp(kind, "ndp"))
		return ndp(i);
	errx(2, "what is %s?", kind);
}

int main(int argc, char **argv)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (argc != 7)
		errx(2, "flood IF MAC ADDR4 ADDR6 KIND COUNT");
	a.sll_ifindex = (int)if_nametoindex(argv[1]);
	if (fd < 0 || !a.sll_ifindex || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		err(1, "%s", argv[1]);
	if (sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3,
		    mac + 4, mac + 5) != 6 ||
		inet_pton(AF_INET, argv[3], to4) != 1 || inet_pton(AF_INET6, argv[4], to6) != 1)
		errx(2, "addresses");
	for (uint32_t i = 0, n = (uint32_t)atoi(argv[6]); i < n; i++) {
		uint32_t len = make(argv[5], i);
		while (send(fd, f, len, 0) < 0) {
			struct pollfd p = {fd, POLLOUT, 0};
			if (errno != ENOBUFS && errno != EAGAIN)
				err(1, "send");
			poll(&p, 1, 10);
		}
	}
	puts("sent");
	return 0;
}
