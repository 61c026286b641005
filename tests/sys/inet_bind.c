/* Ports and addresses: bind(2), SO_REUSEADDR, SO_REUSEPORT, ephemeral ports.  ip(7), socket(7). */
#include <linux/filter.h>

#include "inet.h"

static int try_bind(int fd, struct addr a)
{
	return bind(fd, &a.sa, a.len);
}

static struct addr any_of(int family, int port)
{
	struct addr a = loopback(family, port);
	if (family == AF_INET)
		a.in.sin_addr.s_addr = 0;
	else
		a.in6.sin6_addr = in6addr_any;
	return a;
}

static struct addr text(const char *ip, int port)
{
	struct addr a;
	memset(&a, 0, sizeof(a));
	if (strchr(ip, ':')) {
		a.in6.sin6_family = AF_INET6;
		a.in6.sin6_port = htons((uint16_t)port);
		CHECK_EQ(inet_pton(AF_INET6, ip, &a.in6.sin6_addr), 1);
		a.len = sizeof(a.in6);
	} else {
		a.in.sin_family = AF_INET;
		a.in.sin_port = htons((uint16_t)port);
		CHECK_EQ(inet_pton(AF_INET, ip, &a.in.sin_addr), 1);
		a.len = sizeof(a.in);
	}
	return a;
}

TEST(sockets)
{
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, -1), EINVAL);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, 1000), EINVAL);
	CHECK_ERRNO(socket(AF_INET, 11, 0), EINVAL);
	int sv[2];
	CHECK_ERRNO(socketpair(AF_INET, SOCK_DGRAM, 0, sv), EOPNOTSUPP);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

TEST(names)
{
	int fd = udp_socket(AF_INET);
	struct addr a = addr_of(fd);
	CHECK_EQ(a.len, sizeof(a.in));
	CHECK_EQ(a.in.sin_family, AF_INET);
	CHECK_EQ(a.in.sin_port, 0);
	CHECK_EQ(a.in.sin_addr.s_addr, 0);
	int six = udp_socket(AF_INET6);
	a = addr_of(six);
	CHECK_EQ(a.len, sizeof(a.in6));
	CHECK(IN6_IS_ADDR_UNSPECIFIED(&a.in6.sin6_addr));
	CHECK(!try_bind(fd, text("127.1.2.3", 7000)));
	a = addr_of(fd);
	CHECK_EQ(a.in.sin_addr.s_addr, htonl(0x7f010203));
	CHECK_EQ(ntohs(a.in.sin_port), 7000);
	CHECK_ERRNO(try_bind(fd, text("127.0.0.1", 7001)), EINVAL); /* it has a name */
	/* The length that is there is told, whatever fits. */
	char small[4];
	socklen_t len = 4;
	CHECK(!getsockname(fd, (void *)small, &len));
	CHECK_EQ(len, 16);
	len = (socklen_t)-1;
	CHECK_ERRNO(getsockname(fd, (void *)small, &len), EINVAL);
}

TEST(errors)
{
	int fd = udp_socket(AF_INET), six = udp_socket(AF_INET6);
	struct addr a = loopback(AF_INET, 0);
	CHECK_ERRNO(bind(fd, &a.sa, 15), EINVAL);
	a.sa.sa_family = AF_INET6;
	CHECK_ERRNO(try_bind(fd, a), EAFNOSUPPORT);
	a.sa.sa_family = AF_UNSPEC;
	CHECK_ERRNO(try_bind(fd, a), EAFNOSUPPORT);
	CHECK_ERRNO(try_bind(fd, text("192.0.2.1", 0)), EADDRNOTAVAIL);
	CHECK_ERRNO(try_bind(six, text("2001:db8::1", 0)), EADDRNOTAVAIL);
	CHECK_ERRNO(try_bind(six, text("fe80::1", 0)), EINVAL); /* without a link */
	struct addr b = loopback(AF_INET6, 0);
	CHECK_ERRNO(bind(six, &b.sa, 23), EINVAL);
	b.sa.sa_family = AF_INET;
	CHECK_ERRNO(try_bind(six, b), EAFNOSUPPORT);
	CHECK(!setint(six, SOL_IPV6, IPV6_V6ONLY, 1));
	CHECK_ERRNO(try_bind(six, text("::ffff:127.0.0.1", 0)), EINVAL);
	a = any_of(AF_INET, 0);
	a.sa.sa_family = AF_UNSPEC; /* of old, for any address only */
	CHECK(!try_bind(fd, a));
}

TEST(nonlocal)
{
	int fd = udp_socket(AF_INET), six = udp_socket(AF_INET6);
	CHECK(!setint(fd, SOL_IP, IP_FREEBIND, 1));
	CHECK(!try_bind(fd, text("192.0.2.1", 7000)));
	CHECK(!setint(six, SOL_IPV6, IPV6_FREEBIND, 1));
	CHECK(!try_bind(six, text("2001:db8::1", 7000)));
	CHECK_EQ(getint(six, SOL_IPV6, IPV6_V6ONLY), 1); /* with such an address it is */
}

TEST(privileged)
{
	int fd = udp_socket(AF_INET);
	CHECK(!try_bind(fd, loopback(AF_INET, 80)));
	CHECK(!setresuid(1000, 1000, 1000));
	CHECK_ERRNO(try_bind(udp_socket(AF_INET), loopback(AF_INET, 81)), EACCES);
	CHECK_ERRNO(try_bind(udp_socket(AF_INET6), loopback(AF_INET6, 1023)), EACCES);
	CHECK(!try_bind(udp_socket(AF_INET), loopback(AF_INET, 1024)));
}

/* Does b's bind work, with a bound, and these set on both? */
static int second(struct addr a, struct addr b, int opt)
{
	int x = udp_socket(a.sa.sa_family), y = udp_socket(b.sa.sa_family);
	if (opt) {
		CHECK(!setint(x, SOL_SOCKET, opt, 1));
		CHECK(!setint(y, SOL_SOCKET, opt, 1));
	}
	CHECK(!try_bind(x, a));
	int r = try_bind(y, b) ? errno : 0;
	close(x);
	close(y);
	return r;
}

TEST(conflicts)
{
	struct addr any = any_of(AF_INET, 7000), lo = loopback(AF_INET, 7000);
	struct addr lo2 = text("127.0.0.2", 7000), any6 = any_of(AF_INET6, 7000);
	struct addr lo6 = loopback(AF_INET6, 7000), map = text("::ffff:127.0.0.1", 7000);
	CHECK_EQ(second(lo, lo, 0), EADDRINUSE);
	CHECK_EQ(second(lo, lo2, 0), 0);
	CHECK_EQ(second(any, lo, 0), EADDRINUSE);
	CHECK_EQ(second(lo, any, 0), EADDRINUSE);
	CHECK_EQ(second(any, any6, 0), EADDRINUSE);
	CHECK_EQ(second(any6, lo, 0), EADDRINUSE);
	CHECK_EQ(second(lo6, lo, 0), 0);
	CHECK_EQ(second(lo6, any, 0), 0);
	CHECK_EQ(second(map, lo, 0), EADDRINUSE);
	CHECK_EQ(second(map, lo6, 0), 0);
	CHECK_EQ(second(map, any6, 0), EADDRINUSE);
	CHECK_EQ(second(lo, lo, SO_REUSEADDR), 0);
	CHECK_EQ(second(lo, any6, SO_REUSEADDR), 0);
	CHECK_EQ(second(lo, lo, SO_REUSEPORT), 0);
	CHECK_EQ(second(any, lo, SO_REUSEPORT), 0);
}

TEST(one_sided_reuse)
{
	int x = udp_socket(AF_INET), y = udp_socket(AF_INET);
	CHECK(!setint(y, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK(!try_bind(x, loopback(AF_INET, 7000)));
	CHECK_ERRNO(try_bind(y, loopback(AF_INET, 7000)), EADDRINUSE);
}

TEST(reuseport_same_user)
{
	int x = udp_socket(AF_INET);
	CHECK(!setint(x, SOL_SOCKET, SO_REUSEPORT, 1));
	CHECK(!try_bind(x, loopback(AF_INET, 7000)));
	CHECK(!setresuid(1000, 1000, 1000));
	int y = udp_socket(AF_INET);
	CHECK(!setint(y, SOL_SOCKET, SO_REUSEPORT, 1));
	CHECK_ERRNO(try_bind(y, loopback(AF_INET, 7000)), EADDRINUSE);
}

TEST(newest_of_equals)
{
	int x = udp_socket(AF_INET), y = udp_socket(AF_INET), a = udp_socket(AF_INET);
	struct addr to = loopback(AF_INET, 7000);
	char c;
	CHECK(!setint(x, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK(!setint(y, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK(!try_bind(x, to));
	CHECK(!try_bind(y, to));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(y, &c, 1, MSG_DONTWAIT), 1);
	CHECK_ERRNO(recv(x, &c, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(most_specific)
{
	int any = udp_socket(AF_INET), lo = udp_socket(AF_INET), con = udp_socket(AF_INET);
	int six = udp_socket(AF_INET6), from = udp_bound(AF_INET), other = udp_bound(AF_INET);
	int all[] = {any, lo, con, six};
	struct addr to = loopback(AF_INET, 7000), peer = addr_of(from);
	char c;
	for (int i = 0; i < 4; i++)
		CHECK(!setint(all[i], SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK(!try_bind(six, any_of(AF_INET6, 7000)));
	CHECK_EQ(sendto(other, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(six, &c, 1, MSG_DONTWAIT), 1);
	CHECK(!try_bind(any, any_of(AF_INET, 7000)));
	CHECK_EQ(sendto(other, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(any, &c, 1, MSG_DONTWAIT), 1);
	CHECK(!try_bind(lo, to));
	CHECK(!try_bind(con, to));
	CHECK(!connect(con, &peer.sa, peer.len));
	CHECK_EQ(sendto(other, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(lo, &c, 1, MSG_DONTWAIT), 1);
	CHECK_EQ(sendto(from, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(con, &c, 1, MSG_DONTWAIT), 1);
}

#define GROUP 4
static void make_group(int *fd, int port)
{
	for (int i = 0; i < GROUP; i++) {
		fd[i] = udp_socket(AF_INET);
		CHECK(!setint(fd[i], SOL_SOCKET, SO_REUSEPORT, 1));
		CHECK(!try_bind(fd[i], loopback(AF_INET, port)));
	}
}

static int who_got(int *fd)
{
	char c;
	for (int i = 0; i < GROUP; i++)
		if (recv(fd[i], &c, 1, MSG_DONTWAIT) == 1)
			return i;
	test_fail("nobody got it");
}

TEST(reuseport_balances)
{
	int fd[GROUP], hits[GROUP] = {0}, used = 0;
	struct addr to = loopback(AF_INET, 7000);
	make_group(fd, 7000);
	for (int i = 0; i < 64; i++) {
		int a = udp_socket(AF_INET);
		CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
		int first = who_got(fd);
		hits[first]++;
		/* The same sender finds the same one again. */
		CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
		CHECK_EQ(who_got(fd), first);
		close(a);
	}
	for (int i = 0; i < GROUP; i++)
		used += hits[i] > 0;
	CHECK(used >= 3);
}

TEST(reuseport_program)
{
	int fd[GROUP], a = udp_socket(AF_INET), lone = udp_bound(AF_INET);
	struct addr to = loopback(AF_INET, 7000);
	struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_RET | BPF_A, 0)};
	struct sock_fprog prog = {2, f};
	make_group(fd, 7000);
	CHECK_ERRNO(setsockopt(lone, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)),
		EINVAL);
	CHECK(!setsockopt(fd[1], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)));
	for (char c = 0; c < GROUP; c++) {
		CHECK_EQ(sendto(a, &c, 1, 0, &to.sa, to.len), 1);
		CHECK_EQ(who_got(fd), c);
	}
	CHECK(!setint(fd[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0));
	CHECK_ERRNO(setint(fd[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0), ENOENT);
}

TEST(ephemeral)
{
	int fd[200];
	bool seen[65536] = {false};
	for (int i = 0; i < 200; i++) {
		fd[i] = udp_bound(AF_INET);
		int p = port_of(fd[i]);
		CHECK(p >= 32768 && p <= 60999);
		CHECK(!seen[p]);
		seen[p] = true;
	}
	/* They are not all in a row. */
	int rows = 0;
	for (int i = 1; i < 200; i++) {
		int d = port_of(fd[i]) - port_of(fd[i - 1]);
		rows += d >= -2 && d <= 2;
	}
	CHECK(rows < 100);
}

TEST(local_range)
{
	uint32_t range = 40010u << 16 | 40000u;
	int n = 0;
	for (int i = 0; i < 20; i++) {
		int fd = udp_socket(AF_INET);
		CHECK(!setsockopt(fd, SOL_IP, 51 /* IP_LOCAL_PORT_RANGE */, &range, 4));
		if (n < 11) {
			CHECK(!try_bind(fd, loopback(AF_INET, 0)));
			CHECK(port_of(fd) >= 40000 && port_of(fd) <= 40010);
			n++;
		} else {
			CHECK_ERRNO(try_bind(fd, loopback(AF_INET, 0)), EADDRINUSE);
		}
	}
}

TEST(no_port_yet)
{
	int fd = udp_socket(AF_INET), b = udp_bound(AF_INET);
	struct addr to = addr_of(b);
	CHECK(!setint(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1));
	CHECK(!try_bind(fd, text("127.0.0.9", 0)));
	CHECK_EQ(port_of(fd), 0);
	CHECK(!connect(fd, &to.sa, to.len));
	CHECK(port_of(fd) != 0);
	CHECK_EQ(addr_of(fd).in.sin_addr.s_addr, htonl(0x7f000009));
}

TEST(device)
{
	int fd = udp_socket(AF_INET), a = udp_socket(AF_INET), other = udp_socket(AF_INET);
	struct addr to = loopback(AF_INET, 7000);
	char c;
	CHECK(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2));
	CHECK(!try_bind(fd, to));
	CHECK_EQ(sendto(a, "x", 1, 0, &to.sa, to.len), 1);
	CHECK_EQ(recv(fd, &c, 1, MSG_DONTWAIT), 1);
	/* Who is bound to no link conflicts with all of them. */
	CHECK_ERRNO(try_bind(other, to), EADDRINUSE);
}

TEST(port_comes_back)
{
	for (int i = 0; i < 3; i++) {
		int fd = udp_bound_to(AF_INET, 7000);
		struct addr to = loopback(AF_INET, 9);
		CHECK(!connect(fd, &to.sa, to.len));
		close(fd);
	}
}
