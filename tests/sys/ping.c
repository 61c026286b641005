/* Echo requests without privileges: icmp(7). */

#include "inet.h"

#include <linux/icmp.h>
#include <linux/icmpv6.h>

#define RANGE "/proc/sys/net/ipv4/ping_group_range"

static void allow(void)
{
	int fd = open(RANGE, O_WRONLY);
	if (fd < 0)
		test_skip("there is no ping_group_range");
	CHECK_EQ(write(fd, "0 2147483647", 12), 12);
	close(fd);
}

static int ping_socket(int family)
{
	int fd = socket(family, SOCK_DGRAM, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	CHECK(fd >= 0);
	return fd;
}

TEST(who_may)
{
	int fd = open(RANGE, O_WRONLY);
	if (fd < 0)
		test_skip("there is no ping_group_range");
	CHECK_EQ(write(fd, "1 0", 3), 3);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES); /* not even root */
	CHECK_ERRNO(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6), EACCES);
	CHECK_EQ(pwrite(fd, "0 100", 5, 0), 5);
	close(fd);
	close(ping_socket(AF_INET));
	CHECK(!setresgid(200, 200, 200));
	CHECK(!setresuid(1000, 1000, 1000));
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
}

static void echo(int family)
{
	int fd = ping_socket(family);
	struct addr to = loopback(family, 0), from;
	unsigned char out[12] = {family == AF_INET ? ICMP_ECHO : ICMPV6_ECHO_REQUEST}, in[100];
	out[7] = 5; /* the sequence number */
	memcpy(out + 8, "data", 4);
	CHECK_EQ(sendto(fd, out, sizeof(out), 0, &to.sa, to.len), sizeof(out));
	int id = port_of(fd);
	CHECK(id != 0);
	from.len = sizeof(from.ss);
	CHECK_EQ(recvfrom(fd, in, sizeof(in), 0, &from.sa, &from.len), sizeof(out));
	CHECK_EQ(in[0], family == AF_INET ? ICMP_ECHOREPLY : ICMPV6_ECHO_REPLY);
	CHECK_EQ(in[4] << 8 | in[5], id);
	CHECK_EQ(in[7], 5);
	CHECK(!memcmp(in + 8, "data", 4));
	CHECK_EQ(from.in.sin_port, 0);
	CHECK_EQ(from.sa.sa_family, family);
	/* Another one does not hear of it. */
	int other = ping_socket(family);
	CHECK_EQ(sendto(fd, out, sizeof(out), 0, &to.sa, to.len), sizeof(out));
	CHECK_EQ(recv(fd, in, sizeof(in), 0), sizeof(out));
	CHECK_ERRNO(recv(other, in, sizeof(in), MSG_DONTWAIT), EAGAIN);
}

TEST(echo)
{
	allow();
	echo(AF_INET);
	echo(AF_INET6);
}

TEST(only_requests)
{
	unsigned char out[8] = {ICMP_ECHOREPLY};
	struct addr to = loopback(AF_INET, 0);
	allow();
	int fd = ping_socket(AF_INET);
	CHECK_ERRNO(sendto(fd, out, sizeof(out), 0, &to.sa, to.len), EINVAL);
	out[0] = ICMP_ECHO;
	CHECK_ERRNO(sendto(fd, out, 7, 0, &to.sa, to.len), EINVAL);
	out[1] = 1;
	CHECK_ERRNO(sendto(fd, out, sizeof(out), 0, &to.sa, to.len), EINVAL);
	out[1] = 0;
	CHECK_ERRNO(send(fd, out, sizeof(out), 0), EDESTADDRREQ);
	CHECK_ERRNO(sendto(fd, out, sizeof(out), MSG_OOB, &to.sa, to.len), EOPNOTSUPP);
	to.sa.sa_family = 77;
	CHECK_ERRNO(sendto(fd, out, sizeof(out), 0, &to.sa, to.len), EAFNOSUPPORT);
}

TEST(identifiers)
{
	allow();
	int a = ping_socket(AF_INET), b = ping_socket(AF_INET);
	struct addr id = loopback(AF_INET, 1234);
	CHECK(!bind(a, &id.sa, id.len));
	CHECK_EQ(port_of(a), 1234);
	CHECK_ERRNO(bind(a, &id.sa, id.len), EINVAL);
	/* They share unless one says no. */
	CHECK_EQ(getint(b, SOL_SOCKET, SO_REUSEADDR), 1);
	CHECK(!setint(b, SOL_SOCKET, SO_REUSEADDR, 0));
	CHECK_ERRNO(bind(b, &id.sa, id.len), EADDRINUSE);
	id.in.sin_addr.s_addr = htonl(0xc0000201);
	CHECK_ERRNO(bind(b, &id.sa, id.len), EADDRNOTAVAIL);
	close(a);
	id = loopback(AF_INET, 1234);
	CHECK(!bind(b, &id.sa, id.len));
}

TEST(connected)
{
	unsigned char out[8] = {ICMP_ECHO}, in[20];
	struct addr to = loopback(AF_INET, 0), peer;
	allow();
	int fd = ping_socket(AF_INET);
	CHECK(!connect(fd, &to.sa, to.len));
	peer.len = sizeof(peer.ss);
	CHECK_ERRNO(getpeername(fd, &peer.sa, &peer.len), ENOTCONN); /* it has no port */
	CHECK_EQ(send(fd, out, sizeof(out), 0), 8);
	CHECK_EQ(recv(fd, in, sizeof(in), 0), 8);
}
