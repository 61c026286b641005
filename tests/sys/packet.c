/* packet(7): raw and cooked sockets on the loopback link, filters, statistics, rings. */
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "inet.h"
#include "test.h"

#define PORT 5353
#define LO 1 /* its index */

static int packet(int type, int proto)
{
	int fd = socket(AF_PACKET, type, htons((uint16_t)proto));
	CHECK(fd >= 0);
	return fd;
}

static void bind_to(int fd, int index, int proto)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
		.sll_protocol = htons((uint16_t)proto),
		.sll_ifindex = index};
	CHECK_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

/* A datagram with this text over the loopback link. */
static void say(const char *text)
{
	struct addr to = loopback(AF_INET, PORT);
	int r = socket(AF_INET, SOCK_DGRAM, 0), s = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(bind(r, &to.sa, to.len), 0);
	CHECK_EQ(sendto(s, text, strlen(text), 0, &to.sa, to.len), (ssize_t)strlen(text));
	close(r);
	close(s);
}

TEST(what_it_is_made_of)
{
	CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
	int fd = packet(SOCK_RAW, ETH_P_ALL), v = 0;
	socklen_t n = sizeof(v);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &n), 0);
	CHECK_EQ(v, AF_PACKET);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
	struct sockaddr_ll a;
	n = sizeof(a);
	CHECK_ERRNO(getpeername(fd, (struct sockaddr *)&a, &n), EOPNOTSUPP);
	close(fd);
}

TEST(bind_checks_its_address)
{
	int fd = packet(SOCK_RAW, 0);
	struct sockaddr_ll a = {.sll_family = AF_PACKET, .sll_ifindex = 9999};
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&a, sizeof(a) - 1), EINVAL);
	CHECK_ERRNO(bind(fd, (struct sockaddr *)&a, sizeof(a)), ENODEV);
	bind_to(fd, LO, ETH_P_IP);
	socklen_t n = sizeof(a);
	memset(&a, 0xff, sizeof(a));
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	CHECK_EQ(a.sll_ifindex, LO);
	CHECK_EQ(a.sll_protocol, htons(ETH_P_IP));
	CHECK_EQ(a.sll_hatype, 772); /* ARPHRD_LOOPBACK */
	CHECK_EQ(a.sll_halen, 6);
	CHECK_EQ(n, 18);
	close(fd);
}

TEST(all_see_both_ways_one_protocol_what_comes_in)
{
	int all = packet(SOCK_RAW, ETH_P_ALL), ip = packet(SOCK_DGRAM, ETH_P_IP);
	char buf[256];
	struct sockaddr_ll a;
	socklen_t n = sizeof(a);
	bind_to(all, LO, ETH_P_ALL);
	bind_to(ip, LO, ETH_P_IP);
	say("hello");
	CHECK_EQ(recvfrom(all, buf, sizeof(buf), 0, (struct sockaddr *)&a, &n), 14 + 20 + 8 + 5);
	CHECK_EQ(a.sll_pkttype, PACKET_OUTGOING);
	CHECK_EQ(n, sizeof(a));
	CHECK(!memcmp(buf, "\0\0\0\0\0\0\0\0\0\0\0\0\x08\0", 14));
	CHECK(!memcmp(buf + 42, "hello", 5));
	n = sizeof(a);
	CHECK_EQ(recvfrom(all, buf, sizeof(buf), 0, (struct sockaddr *)&a, &n), 47);
	CHECK_EQ(a.sll_pkttype, PACKET_HOST);
	n = sizeof(a);
	CHECK_EQ(recvfrom(ip, buf, sizeof(buf), 0, (struct sockaddr *)&a, &n), 33);
	CHECK_EQ(a.sll_pkttype, PACKET_HOST);
	CHECK_EQ(a.sll_protocol, htons(ETH_P_IP));
	CHECK_EQ(a.sll_halen, 6);
	CHECK_EQ(buf[0], 0x45);
	CHECK_ERRNO(recv(ip, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	close(all);
	close(ip);
}

TEST(truncation_peek_and_the_next_length)
{
	int fd = packet(SOCK_DGRAM, ETH_P_IP), left;
	char buf[8];
	struct iovec v = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	bind_to(fd, LO, ETH_P_IP);
	say("hello");
	CHECK_EQ(ioctl(fd, FIONREAD, &left), 0);
	CHECK_EQ(left, 33);
	CHECK_EQ(recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_TRUNC), 33);
	CHECK_EQ(recvmsg(fd, &m, 0), 8);
	CHECK(m.msg_flags & MSG_TRUNC);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_OOB), EINVAL);
	close(fd);
}

TEST(a_filter_chooses_and_cuts)
{
	/* UDP only, of which 30 bytes. */
	struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 30), BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog prog = {4, code};
	int fd = packet(SOCK_DGRAM, ETH_P_IP), raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP),
	    on = 1;
	char buf[256], icmp[8] = {8};
	struct addr to = loopback(AF_INET, 0);
	union {
		struct cmsghdr h;
		char b[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} c;
	struct iovec v = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = &c,
		.msg_controllen = sizeof(c)};
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), 0);
	CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	bind_to(fd, LO, ETH_P_IP);
	CHECK_EQ(sendto(raw, icmp, sizeof(icmp), 0, &to.sa, to.len), 8);
	say("hello");
	CHECK_EQ(recvmsg(fd, &m, 0), 30);
	struct tpacket_auxdata *aux = (void *)CMSG_DATA(&c.h);
	CHECK_EQ(c.h.cmsg_type, PACKET_AUXDATA);
	CHECK_EQ(aux->tp_len, 33);
	CHECK_EQ(aux->tp_snaplen, 30);
	CHECK_EQ(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
	close(fd);
	close(raw);
}

TEST(statistics_start_anew_when_read)
{
	int fd = packet(SOCK_DGRAM, ETH_P_IP);
	struct tpacket_stats st;
	socklen_t n = sizeof(st);
	bind_to(fd, LO, ETH_P_IP);
	CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &n), 0);
	say("one");
	say("two");
	CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &n), 0);
	CHECK_EQ(st.tp_packets, 2);
	CHECK_EQ(st.tp_drops, 0);
	CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &n), 0);
	CHECK_EQ(st.tp_packets, 0);
	close(fd);
}

TEST(a_frame_that_is_sent_arrives)
{
	int fd = packet(SOCK_RAW, 0), in = packet(SOCK_RAW, 0x88b5); /* for experiments */
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = LO};
	struct {
		uint8_t mac[12];
		uint16_t type;
		char data[4];
	} __attribute__((packed)) f = {.type = htons(0x88b5), .data = "abcd"};
	char buf[64];
	bind_to(in, LO, 0x88b5);
	CHECK_EQ(sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)), (int)sizeof(f));
	CHECK_EQ(recv(in, buf, sizeof(buf), 0), (int)sizeof(f));
	CHECK(!memcmp(buf, &f, sizeof(f)));
	CHECK_ERRNO(sendto(fd, &f, 10, 0, (struct sockaddr *)&to, sizeof(to)), EINVAL);
	CHECK_ERRNO(send(fd, &f, sizeof(f), 0), ENXIO);
	/* Cooked: the header is made. */
	int cooked = packet(SOCK_DGRAM, 0);
	to.sll_protocol = htons(0x88b5);
	to.sll_halen = 6;
	CHECK_EQ(sendto(cooked, "wxyz", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	CHECK_EQ(recv(in, buf, sizeof(buf), 0), (int)sizeof(f));
	CHECK(!memcmp(buf + 12, "\x88\xb5wxyz", 6));
	close(fd);
	close(in);
	close(cooked);
}

static int ring(int version, struct tpacket_req3 rq, size_t len, char **at)
{
	int fd = packet(SOCK_RAW, 0);
	CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)), 0);
	CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq,
			 version == TPACKET_V3 ? sizeof(rq) : sizeof(struct tpacket_req)),
		0);
	*at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(*at != MAP_FAILED);
	bind_to(fd, LO, ETH_P_IP);
	return fd;
}

TEST(a_ring_of_version_2)
{
	struct tpacket_req3 rq = {.tp_block_size = 4096,
		.tp_block_nr = 2,
		.tp_frame_size = 2048,
		.tp_frame_nr = 4};
	char *at;
	int fd = ring(TPACKET_V2, rq, 8192, &at), v = TPACKET_V2;
	socklen_t n = sizeof(v);
	CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &v, &n), 0);
	CHECK_EQ(v, sizeof(struct tpacket2_hdr));
	for (int i = 0; i < 6; i++) {
		struct tpacket2_hdr *h = (void *)(at + (i % 4) * 2048);
		struct pollfd p = {fd, POLLIN, 0};
		CHECK_EQ(h->tp_status, TP_STATUS_KERNEL);
		say("ring");
		CHECK_EQ(poll(&p, 1, 10000), 1);
		CHECK(h->tp_status & TP_STATUS_USER);
		CHECK_EQ(h->tp_len, 46);
		CHECK_EQ(h->tp_snaplen, 46);
		CHECK_EQ(h->tp_net - h->tp_mac, 14);
		CHECK(!memcmp((char *)h + h->tp_net + 28, "ring", 4));
		h->tp_status = TP_STATUS_KERNEL;
	}
	/* A mapped ring stays. */
	struct tpacket_req none = {0};
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)), EBUSY);
	munmap(at, 8192);
	CHECK_EQ(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)), 0);
	close(fd);
}

TEST(a_full_ring_drops)
{
	struct tpacket_req3 rq = {.tp_block_size = 4096,
		.tp_block_nr = 1,
		.tp_frame_size = 2048,
		.tp_frame_nr = 2};
	struct tpacket_stats st;
	socklen_t n = sizeof(st);
	char *at;
	int fd = ring(TPACKET_V2, rq, 4096, &at);
	for (int i = 0; i < 3; i++)
		say("x");
	CHECK_EQ(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &st, &n), 0);
	CHECK_EQ(st.tp_packets, 3);
	CHECK_EQ(st.tp_drops, 1);
	munmap(at, 4096);
	close(fd);
}

TEST(a_block_of_version_3_comes_after_a_while)
{
	struct tpacket_req3 rq = {.tp_block_size = 8192,
		.tp_block_nr = 2,
		.tp_frame_size = 2048,
		.tp_frame_nr = 8,
		.tp_retire_blk_tov = 20};
	char *at;
	int fd = ring(TPACKET_V3, rq, 16384, &at);
	struct tpacket_block_desc *b = (void *)at;
	struct pollfd p = {fd, POLLIN, 0};
	say("one");
	say("two");
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK(b->hdr.bh1.block_status & TP_STATUS_USER);
	CHECK(b->hdr.bh1.num_pkts >= 1 && b->hdr.bh1.num_pkts <= 2);
	struct tpacket3_hdr *h = (void *)(at + b->hdr.bh1.offset_to_first_pkt);
	CHECK_EQ(h->tp_len, 45);
	CHECK(!memcmp((char *)h + h->tp_net + 28, "one", 3));
	munmap(at, 16384);
	close(fd);
}

TEST(rings_are_checked)
{
	int fd = packet(SOCK_RAW, 0), version = 7;
	struct tpacket_req rq = {4096, 1, 2048, 3};
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)), EINVAL);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)),
		EINVAL); /* 3 frames are not 2 */
	rq = (struct tpacket_req){1000, 1, 500, 2};
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)),
		EINVAL); /* no whole pages */
	rq = (struct tpacket_req){4096, 1, 16, 256};
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)),
		EINVAL); /* no room for the header */
	rq = (struct tpacket_req){0, 0, 0, 1};
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)), EINVAL);
	close(fd);
}

/* --- lengths of options --- */

TEST(lengths_of_options)
{
	static const int at_least[] = {PACKET_AUXDATA, PACKET_ORIGDEV, PACKET_VNET_HDR};
	static const int exactly[] = {PACKET_VERSION, PACKET_RESERVE, PACKET_LOSS, PACKET_TIMESTAMP,
		PACKET_IGNORE_OUTGOING, PACKET_TX_HAS_OFF, PACKET_QDISC_BYPASS};
	int fd = packet(SOCK_RAW, 0), v[2] = {1, 0}, zero[2] = {0};
	for (size_t i = 0; i < 3; i++) {
		CHECK_OK(setsockopt(fd, SOL_PACKET, at_least[i], v, sizeof(v)));
		CHECK_ERRNO(setsockopt(fd, SOL_PACKET, at_least[i], zero, 3), EINVAL);
		CHECK_EQ(getint(fd, SOL_PACKET, at_least[i]), 1); /* and nothing has changed */
	}
	for (size_t i = 0; i < 7; i++) {
		CHECK_OK(setsockopt(fd, SOL_PACKET, exactly[i], v, sizeof(int)));
		CHECK_ERRNO(setsockopt(fd, SOL_PACKET, exactly[i], zero, 3), EINVAL);
		CHECK_ERRNO(setsockopt(fd, SOL_PACKET, exactly[i], zero, sizeof(zero)), EINVAL);
		CHECK_EQ(getint(fd, SOL_PACKET, exactly[i]), 1);
	}
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, 999, v, 3), ENOPROTOOPT);
	close(fd);
	fd = packet(SOCK_DGRAM, 0);
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, v, sizeof(int)), EINVAL);
	close(fd);
}

/* --- a ring that goes while it is being mapped --- */

static volatile int stop_mapping;

static void *map_and_unmap(void *arg)
{
	int fd = *(int *)arg;
	while (!stop_mapping) {
		char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (at != MAP_FAILED)
			munmap(at, 8192);
	}
	return NULL;
}

TEST(mapping_while_a_ring_goes)
{
	struct tpacket_req rq = {4096, 2, 2048, 4}, none = {0};
	pthread_t t[2];
	int fd = packet(SOCK_RAW, ETH_P_ALL), made = 0;
	stop_mapping = 0;
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, map_and_unmap, &fd));
	for (int i = 0; i < 20000; i++) {
		made += !setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq));
		setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)); /* or EBUSY */
	}
	stop_mapping = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	CHECK(made > 0);
	setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none));
	close(fd);
}

TEST(private_area_of_a_block)
{
	struct tpacket_req3 rq = {.tp_block_size = 4096,
		.tp_block_nr = 1,
		.tp_frame_size = 2048,
		.tp_frame_nr = 2,
		.tp_sizeof_priv = 0xffffffff};
	int fd = packet(SOCK_RAW, 0), version = TPACKET_V3;
	CHECK_OK(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)));
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)), EINVAL);
	rq.tp_sizeof_priv = 4096;
	CHECK_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &rq, sizeof(rq)), EINVAL);
	close(fd);
}
