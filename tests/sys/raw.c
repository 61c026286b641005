/* Raw sockets: raw(7), RFC 3542. */
#include <netinet/ip.h>

#include "inet.h"

#include <linux/icmp.h>
#include <linux/icmpv6.h>

static int raw_socket(int family, int proto)
{
	int fd = socket(family, SOCK_RAW, proto);
	CHECK(fd >= 0);
	return fd;
}

static uint16_t sum(const void *data, size_t n)
{
	const uint16_t *p = data;
	uint32_t s = 0;
	for (; n > 1; n -= 2)
		s += *p++;
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t) ~(s + (s >> 16));
}

TEST(whole_packets)
{
	int a = raw_socket(AF_INET, 200), b = raw_socket(AF_INET, 200),
	    other = raw_socket(AF_INET, 201);
	struct addr to = loopback(AF_INET, 0), from;
	char buf[100];
	struct iphdr *ip = (void *)buf;
	CHECK_EQ(addr_of(a).in.sin_port, htons(200)); /* the protocol */
	CHECK(!setint(a, SOL_IP, IP_TTL, 9));
	CHECK_EQ(sendto(a, "hello", 5, 0, &to.sa, to.len), 5);
	from.len = sizeof(from.ss);
	CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, &from.sa, &from.len), 25);
	CHECK_EQ(ip->version, 4);
	CHECK_EQ(ip->ihl, 5);
	CHECK_EQ(ip->protocol, 200);
	CHECK_EQ(ip->ttl, 9);
	CHECK_EQ(ntohs(ip->tot_len), 25);
	CHECK_EQ(sum(buf, 20), 0);
	CHECK(!memcmp(buf + 20, "hello", 5));
	CHECK_EQ(from.in.sin_port, 0);
	CHECK_EQ(recv(a, buf, sizeof(buf), MSG_DONTWAIT), 25); /* its own comes back as well */
	CHECK_ERRNO(recv(other, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
}

TEST(header_included)
{
	int a = raw_socket(AF_INET, IPPROTO_RAW), b = raw_socket(AF_INET, 200);
	struct addr to = loopback(AF_INET, 0);
	char out[30] = "", buf[100];
	struct iphdr *ip = (void *)out, *got = (void *)buf;
	CHECK_EQ(getint(a, SOL_IP, IP_HDRINCL), 1);
	CHECK_EQ(getint(b, SOL_IP, IP_HDRINCL), 0);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 17;
	ip->protocol = 200;
	ip->daddr = htonl(INADDR_LOOPBACK);
	ip->check = 1;
	ip->tot_len = 7;
	CHECK_EQ(sendto(a, out, 25, 0, &to.sa, to.len), 25);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 25);
	CHECK_EQ(got->ttl, 17);
	CHECK_EQ(got->saddr, htonl(INADDR_LOOPBACK)); /* filled in, as are */
	CHECK_EQ(ntohs(got->tot_len), 25);
	CHECK_EQ(sum(buf, 20), 0);
	CHECK_ERRNO(sendto(a, out, 19, 0, &to.sa, to.len), EINVAL);
	ip->ihl = 15;
	CHECK_ERRNO(sendto(a, out, 25, 0, &to.sa, to.len), EINVAL);
}

static void echo4(int fd, struct addr *to)
{
	struct icmphdr h = {.type = ICMP_ECHO, .un.echo = {htons(77), htons(1)}};
	h.checksum = sum(&h, sizeof(h));
	CHECK_EQ(sendto(fd, &h, sizeof(h), 0, &to->sa, to->len), sizeof(h));
}

TEST(icmp)
{
	int fd = raw_socket(AF_INET, IPPROTO_ICMP);
	struct addr to = loopback(AF_INET, 0);
	uint32_t filter = 0;
	socklen_t len = sizeof(filter);
	char buf[100];
	echo4(fd, &to);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 28);
	CHECK_EQ(buf[20], ICMP_ECHO);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 28);
	CHECK_EQ(buf[20], ICMP_ECHOREPLY);
	CHECK(!getsockopt(fd, SOL_RAW, 1 /* ICMP_FILTER */, &filter, &len));
	CHECK_EQ(filter, 0);
	filter = 1u << ICMP_ECHO;
	CHECK(!setsockopt(fd, SOL_RAW, 1, &filter, sizeof(filter)));
	echo4(fd, &to);
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 28);
	CHECK_EQ(buf[20], ICMP_ECHOREPLY);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(setsockopt(raw_socket(AF_INET, 200), SOL_RAW, 1, &filter, 4), EOPNOTSUPP);
	CHECK_ERRNO(setsockopt(fd, SOL_RAW, 99, &filter, 4), ENOPROTOOPT);
}

TEST(names)
{
	int fd = raw_socket(AF_INET, 200), six = raw_socket(AF_INET6, 200);
	struct addr a = loopback(AF_INET, 5), peer;
	CHECK_ERRNO(send(fd, "x", 1, 0), EDESTADDRREQ);
	CHECK(!bind(fd, &a.sa, a.len));
	CHECK_EQ(addr_of(fd).in.sin_port, htons(200));
	CHECK(!connect(fd, &a.sa, a.len));
	peer.len = sizeof(peer.ss);
	CHECK(!getpeername(fd, &peer.sa, &peer.len));
	CHECK_EQ(peer.in.sin_port, htons(5));
	CHECK_EQ(send(fd, "x", 1, 0), 1);
	char buf[40];
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 21);
	a.in.sin_addr.s_addr = htonl(0xc0000201);
	CHECK_ERRNO(bind(raw_socket(AF_INET, 200), &a.sa, a.len), EADDRNOTAVAIL);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(send(fd, "x", 1, MSG_OOB), EOPNOTSUPP);
	struct addr m = loopback(AF_INET6, 0);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &m.in6.sin6_addr);
	CHECK_ERRNO(bind(six, &m.sa, m.len), EADDRNOTAVAIL);
	CHECK_ERRNO(setint(fd, SOL_SOCKET, SO_PEEK_OFF, 1), EOPNOTSUPP);
	CHECK_ERRNO(setint(six, SOL_IP, IP_TTL, 1), ENOPROTOOPT);
}

TEST(ipv6)
{
	int a = raw_socket(AF_INET6, 200), b = raw_socket(AF_INET6, 200);
	struct addr to = loopback(AF_INET6, 0), from;
	char buf[100];
	CHECK_EQ(getint(a, SOL_IPV6, IPV6_CHECKSUM), -1);
	CHECK_EQ(sendto(a, "hello", 5, 0, &to.sa, to.len), 5);
	from.len = sizeof(from.ss);
	CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, &from.sa, &from.len), 5); /* no header */
	CHECK(!memcmp(&from.in6.sin6_addr, &in6addr_loopback, 16));
	/* A checksum is put in, and looked at. */
	CHECK_ERRNO(setint(a, SOL_IPV6, IPV6_CHECKSUM, 3), EINVAL);
	CHECK(!setint(a, SOL_IPV6, IPV6_CHECKSUM, 2));
	CHECK_EQ(getint(a, SOL_IPV6, IPV6_CHECKSUM), 2);
	CHECK_EQ(sendto(a, "\0\0\0\0xy", 6, 0, &to.sa, to.len), 6);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 6);
	CHECK(buf[2] || buf[3]);
	CHECK_ERRNO(sendto(a, "abc", 3, 0, &to.sa, to.len), EINVAL);
	CHECK(!setint(b, SOL_IPV6, IPV6_CHECKSUM, 2));
	CHECK(!setint(a, SOL_IPV6, IPV6_CHECKSUM, -1));
	CHECK_EQ(sendto(a, "wrong!", 6, 0, &to.sa, to.len), 6);
	CHECK_ERRNO(recv(b, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	/* A port is a protocol. */
	to.in6.sin6_port = htons(201);
	CHECK_ERRNO(sendto(a, "x", 1, 0, &to.sa, to.len), EINVAL);
	to.in6.sin6_port = htons(200);
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
}

TEST(icmp6)
{
	int fd = raw_socket(AF_INET6, IPPROTO_ICMPV6);
	struct addr to = loopback(AF_INET6, 0);
	struct icmp6hdr h = {.icmp6_type = ICMPV6_ECHO_REQUEST};
	uint32_t filter[8];
	unsigned char buf[100];
	CHECK_EQ(getint(fd, SOL_RAW, IPV6_CHECKSUM), 2);
	CHECK_ERRNO(setint(fd, SOL_IPV6, IPV6_CHECKSUM, 2), EINVAL);
	memset(filter, 0xff, sizeof(filter));
	filter[ICMPV6_ECHO_REPLY >> 5] &= ~(1u << (ICMPV6_ECHO_REPLY & 31));
	CHECK(!setsockopt(fd, SOL_ICMPV6, 1 /* ICMPV6_FILTER */, filter, sizeof(filter)));
	CHECK_EQ(sendto(fd, &h, sizeof(h), 0, &to.sa, to.len), sizeof(h));
	CHECK_EQ(recv(fd, buf, sizeof(buf), 0), 8);
	CHECK_EQ(buf[0], ICMPV6_ECHO_REPLY);
}
