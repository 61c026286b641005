/*
 * Links over descriptors: frames over a socket pair, hostile virtio headers, and a real veth pair
 * in a network namespace of the test's own.
 */
#include "sentry/net/link/fdlink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "sentry/core/arena.h"
#include "sentry/mem/memfile.h"
#include "sentry/net/link/fdlink_priv.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/pkt/pkt.h"
#include "sentry/time/time.h"
#include "tests/unit/test.h"

#define PROTO 0x88b5 /* IEEE 802: local experiments */

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

/* What came in last. */
static struct {
	uint32_t n; /* atomic */
	uint32_t len, charge, extra;
	uint16_t gso_size, csum_start;
	uint8_t csum, gso, type, nfrags;
	uint8_t bytes[70000];
} got;

static void input(struct pkt *p)
{
	got.len = p->len;
	got.charge = p->charge;
	got.extra = pkt_extra_charge(p);
	got.csum = p->csum;
	got.csum_start = (uint16_t)(p->csum_start - p->l2);
	got.gso = p->gso;
	got.gso_size = p->gso_size;
	got.type = p->type;
	got.nfrags = p->nfrags;
	pkt_copy(p, 0, got.bytes, p->len);
	__atomic_add_fetch(&got.n, 1, __ATOMIC_RELEASE);
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
	memset(&got, 0, sizeof(got));
	struct net_ns *net = net_ns_new(7);
	CHECK(net != NULL);
	return net;
}

static struct link *make(struct net_ns *net, int fd, bool vnet)
{
	struct link *l;
	struct fdlink_config cfg = {.fd = fd,
		.name = "eth0",
		.mtu = 1500,
		.vnet_hdr = vnet,
		.offload = FDLINK_TX_ALL};
	memcpy(cfg.mac, mac, 6);
	CHECK_EQ(fdlink_create(net, &cfg, &l), 0);
	net_cfg_lock();
	CHECK_EQ(link_set_flags(l, IFF_UP, IFF_UP), 0);
	net_cfg_unlock();
	return l;
}

static void drop(struct net_ns *net, struct link *l)
{
	net_cfg_lock();
	link_unregister(l);
	net_cfg_unlock();
	link_put(l);
	net_ns_put(net);
}

/* The other end of a socket pair. */
static int pair(int type, int *ours)
{
	int fd[2], size = 1 << 20;
	CHECK_EQ(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ours = fd[1];
	return fd[0];
}

static void frame(uint8_t *f, const uint8_t *dst, uint32_t len)
{
	uint16_t proto = htons(PROTO);
	for (uint32_t i = ETH_HLEN; i < len; i++)
		f[i] = (uint8_t)(i * 7);
	memcpy(f, dst, 6);
	memcpy(f + 6, "\2\0\0\0\0\2", 6);
	memcpy(f + 12, &proto, 2);
}

static void send_raw(int fd, const struct vnet_hdr *h, const uint8_t *f, uint32_t len)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)h, sizeof(*h)}, {(void *)(uintptr_t)f, len}};
	CHECK_EQ(writev(fd, h ? iov : iov + 1, h ? 2 : 1), (h ? sizeof(*h) : 0) + len);
}

static void await(uint32_t n)
{
	for (int i = 0; i < 2000 && __atomic_load_n(&got.n, __ATOMIC_ACQUIRE) < n; i++)
		usleep(1000);
	CHECK_EQ(__atomic_load_n(&got.n, __ATOMIC_ACQUIRE), n);
}

/* What of a frame of len bytes comes in. */
static void round_in(int fd, const struct vnet_hdr *h, uint32_t len)
{
	static uint8_t f[70000];
	uint32_t n = got.n;
	frame(f, mac, len);
	send_raw(fd, h, f, len);
	await(n + 1);
	CHECK_EQ(got.len, len - ETH_HLEN);
	CHECK_EQ(memcmp(got.bytes, f + ETH_HLEN, got.len), 0);
	CHECK_EQ(got.type, PKT_HOST);
}

/* A packet whose payload is n bytes in two fragments. */
static struct pkt *packet(struct net_ns *net, struct link *l, uint32_t n)
{
	struct pkt *p = pkt_new();
	CHECK(p != NULL);
	frame(pkt_put(p, 60), (const uint8_t *)"\2\0\0\0\0\2", 60);
	p->l2 = p->data;
	p->l3 = (uint16_t)(p->data + ETH_HLEN);
	for (int i = 0; i < 2; i++) {
		struct nbuf *b = nbuf_new(n / 2);
		CHECK(b != NULL);
		memset(b->data, 0x41 + i, n / 2);
		CHECK(pkt_add_frag(p, b, 0, n / 2));
		nbuf_put(b);
	}
	p->net = net;
	p->link = link_get(l);
	return p;
}

/* --- over a real device: the first test, for the reader thread is not inherited by a child --- */

static int raw_socket(const char *name, bool vnet)
{
	int on = 1, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};
	CHECK(fd >= 0);
	strcpy(r.ifr_name, name);
	CHECK_EQ(ioctl(fd, SIOCGIFINDEX, &r), 0);
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = r.ifr_ifindex};
	if (vnet)
		CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static bool make_veth(void)
{
	if (unshare(CLONE_NEWNET))
		return false;
	return system("ip link add ea type veth peer name eb && ip link set ea up && "
		      "ip link set eb up") == 0;
}

TEST(fdlink_veth)
{
	static uint8_t f[1514], buf[70000];
	pid_t pid = fork();
	int status;
	if (pid) {
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		CHECK_EQ(status, 0);
		return;
	}
	if (!make_veth()) {
		printf("skip fdlink_veth: no network namespace\n");
		_exit(0);
	}
	struct net_ns *net = setup();
	struct link *l = make(net, raw_socket("ea", true), true);
	int peer = raw_socket("eb", false);
	frame(f, mac, sizeof(f));
	CHECK_EQ(write(peer, f, sizeof(f)), sizeof(f));
	await(1);
	CHECK_EQ(memcmp(got.bytes, f + ETH_HLEN, got.len), 0);
	link_output(packet(net, l, 1000));
	net_run();
	struct pollfd pf = {.fd = peer, .events = POLLIN};
	ssize_t n;
	do {
		CHECK_EQ(poll(&pf, 1, 2000), 1);
		n = read(peer, buf, sizeof(buf));
	} while (n > 0 && (buf[12] != 0x88 || buf[13] != 0xb5)); /* the host's own */
	CHECK_EQ(n, 1060);
	CHECK(buf[60] == 'A' && buf[1059] == 'B');
	CHECK_EQ(l->stats.tx_errors + l->stats.tx_dropped, 0);
	CHECK_EQ(got.n, 1); /* not our own */
	drop(net, l);
	_exit(0);
}

/* --- over a socket pair --- */

TEST(fdlink_in)
{
	struct net_ns *net = setup();
	int fd, ours;
	fd = pair(SOCK_SEQPACKET, &ours);
	struct link *l = make(net, fd, false);
	static const uint32_t lens[] = {14, 15, 60, 286, 287, 300, 1514, 9014, 16383, 16384, 65549};
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		round_in(ours, NULL, lens[i]);
		/* What a packet keeps is what it is charged for. */
		CHECK(got.charge >= got.len && (got.len > 300 || got.charge < 2048));
		CHECK(lens[i] < 16384 || got.charge >= 65536);
		/* Whoever takes its fragments over counts what they keep besides. */
		CHECK(lens[i] < 16384 ? !got.extra : got.extra + lens[i] >= 65536);
	}
	CHECK_EQ(l->stats.rx_packets, ARRAY_LEN(lens));
	close(ours);
	drop(net, l);
}

TEST(fdlink_in_hostile)
{
	static uint8_t f[70000];
	struct net_ns *net = setup();
	int ours, fd = pair(SOCK_DGRAM, &ours);
	struct link *l = make(net, fd, true);
	static const struct {
		struct vnet_hdr h;
		uint32_t len;
	} bad[] = {
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 0, .csum_offset = 16}, 100},
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 13, .csum_offset = 16}, 100},
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 98, .csum_offset = 1}, 100},
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 34, .csum_offset = 0xffff}, 100},
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 0xffff, .csum_offset = 0xffff}, 100},
		{{.flags = VNET_NEEDS_CSUM, .csum_start = 1000, .csum_offset = 16}, 1514},
		{{.gso_type = 2, .gso_size = 100}, 1000},
		{{.gso_type = 0x7f, .gso_size = 100}, 1000},
		{{.gso_type = VNET_GSO_TCP4, .gso_size = 0, .flags = VNET_DATA_VALID}, 1000},
		{{.gso_type = VNET_GSO_TCP4, .gso_size = 100}, 1000},
		{{0}, 13},
		{{0}, 1},
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		frame(f, mac, 1600);
		send_raw(ours, &bad[i].h, f, bad[i].len);
	}
	for (int i = 0; i < 2000 && READ_ONCE(l->stats.rx_errors) < ARRAY_LEN(bad); i++)
		usleep(1000);
	CHECK_EQ(l->stats.rx_errors, ARRAY_LEN(bad));
	CHECK_EQ(got.n, 0);
	struct vnet_hdr ok = {.flags = VNET_NEEDS_CSUM,
		.csum_start = 34,
		.csum_offset = 16,
		.gso_type = VNET_GSO_TCP4 | VNET_GSO_ECN,
		.gso_size = 1448,
		.hdr_len = 0xffff};
	round_in(ours, &ok, 60000);
	CHECK(got.csum == PKT_CSUM_PARTIAL && got.csum_start == 34);
	CHECK(got.gso == PKT_GSO_TCP4 && got.gso_size == 1448);
	struct vnet_hdr plain = {0};
	round_in(ours, &plain, 100);
	CHECK(got.csum == PKT_CSUM_NONE && got.gso_size == 0);
	/* Shorter than its header: nothing. */
	CHECK_EQ(write(ours, &plain, 10), 10);
	CHECK_EQ(write(ours, &plain, 3), 3);
	round_in(ours, &plain, 100);
	close(ours);
	drop(net, l);
}

TEST(fdlink_out)
{
	static uint8_t buf[70000];
	struct net_ns *net = setup();
	int ours, fd = pair(SOCK_SEQPACKET, &ours);
	struct link *l = make(net, fd, true);
	struct vnet_hdr h;
	struct iovec iov[2] = {{&h, sizeof(h)}, {buf, sizeof(buf)}};
	struct pkt *p = packet(net, l, 40000);
	p->csum = PKT_CSUM_PARTIAL;
	p->csum_start = (uint16_t)(p->data + 34);
	p->csum_offset = 16;
	p->gso = PKT_GSO_TCP6;
	p->gso_size = 1400;
	p->ecn = true;
	link_output(p);
	CHECK_EQ(readv(ours, iov, 2), sizeof(h) + 40060);
	CHECK(h.flags == VNET_NEEDS_CSUM && h.csum_start == 34 && h.csum_offset == 16);
	CHECK(h.gso_type == (VNET_GSO_TCP6 | VNET_GSO_ECN) && h.gso_size == 1400);
	CHECK_EQ(h.hdr_len, 60);
	CHECK(buf[60] == 'A' && buf[20059] == 'A' && buf[20060] == 'B' && buf[40059] == 'B');
	/* Nobody takes them: in the end they are dropped, and counted. */
	for (int i = 0; i < 400; i++)
		link_output(packet(net, l, 16000));
	net_run();
	CHECK(l->stats.tx_dropped > 0 && l->stats.tx_errors == 0);
	close(ours);
	drop(net, l);
}

/* --- a task that polls --- */

TEST(fdlink_poll)
{
	static uint8_t f[200];
	struct net_ns *net = setup();
	int ours, fd = pair(SOCK_SEQPACKET, &ours);
	struct link *l = make(net, fd, false);
	uint32_t n = 0;
	frame(f, mac, sizeof(f));
	for (int i = 0; i < 200; i++) {
		struct link_spin s = {0};
		send_raw(ours, NULL, f, sizeof(f));
		n++;
		while (__atomic_load_n(&got.n, __ATOMIC_ACQUIRE) < n && link_poll(net, &s))
			;
		await(n); /* by us or by the thread */
	}
	close(ours);
	drop(net, l);
}
