/* setsockopt(2) and getsockopt(2) of every family: which levels there are, and options that all
 * have. */
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

#define SO_PASSRIGHTS_ 83
#define SO_PASSPIDFD_ 76
#define SOL_UDPLITE_ 136

static const struct kind {
	int family, type, protocol;
} kinds[] = {
	{AF_UNIX, SOCK_STREAM, 0},
	{AF_UNIX, SOCK_DGRAM, 0},
	{AF_UNIX, SOCK_SEQPACKET, 0},
	{AF_PACKET, SOCK_RAW, 0},
	{AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
	{AF_INET, SOCK_STREAM, 0},
	{AF_INET, SOCK_DGRAM, 0},
	{AF_INET, SOCK_RAW, IPPROTO_ICMP},
	{AF_INET6, SOCK_STREAM, 0},
	{AF_INET6, SOCK_DGRAM, 0},
	{AF_INET6, SOCK_RAW, IPPROTO_ICMPV6},
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))
#define FIRST_INET 5

static int open_kind(const struct kind *k)
{
	int fd = socket(k->family, k->type, k->protocol);
	CHECK(fd >= 0);
	return fd;
}

static int get(int fd, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);
	return getsockopt(fd, level, name, &v, &n) ? -1 : v;
}

static int set(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof(v));
}

/* An unknown level is found out before the value is looked at. */
static void no_level(int fd, int level, int on_set, int on_get)
{
	int v = 0;
	socklen_t n = sizeof(v), bad = (socklen_t)-1;
	CHECK_ERRNO(set(fd, level, 1, 1), on_set);
	CHECK_ERRNO(setsockopt(fd, level, 1, (void *)8, 4), on_set);
	CHECK_ERRNO(setsockopt(fd, level, 1, &v, bad), EINVAL);
	CHECK_ERRNO(getsockopt(fd, level, 1, &v, &n), on_get);
	CHECK_ERRNO(getsockopt(fd, level, 1, (void *)8, &n), on_get);
	CHECK_ERRNO(getsockopt(fd, level, 1, &v, &bad), on_get);
	CHECK_ERRNO(getsockopt(fd, level, 1, &v, (void *)8), on_get);
}

TEST(levels)
{
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]), f = kinds[i].family, t = kinds[i].type;
		int on_set = f == AF_UNIX ? EOPNOTSUPP : ENOPROTOOPT;
		int on_get = f == AF_UNIX || f == AF_INET ? EOPNOTSUPP : ENOPROTOOPT;
		no_level(fd, 999, on_set, on_get);
		no_level(fd, -1, on_set, on_get);
		if (t != SOCK_STREAM || f == AF_UNIX)
			no_level(fd, IPPROTO_TCP, on_set, on_get);
		if (t != SOCK_DGRAM || f == AF_UNIX)
			no_level(fd, IPPROTO_UDP, on_set, on_get);
		if (f != AF_INET6)
			no_level(fd, SOL_IPV6, on_set, on_get);
		if (f == AF_UNIX || f == AF_PACKET || f == AF_NETLINK)
			no_level(fd, SOL_IP, on_set, on_get);
		close(fd);
	}
}

TEST(udplite_level)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(set(fd, SOL_UDPLITE_, 1 /* UDP_CORK */, 1), 0);
	CHECK_EQ(get(fd, IPPROTO_UDP, 1), 1);
	CHECK_EQ(get(fd, SOL_UDPLITE_, 1), 1);
	for (int name = 10; name < 12; name++) { /* UDPLITE_SEND_CSCOV, UDPLITE_RECV_CSCOV */
		CHECK_EQ(get(fd, IPPROTO_UDP, name), 0);
		CHECK_ERRNO(set(fd, IPPROTO_UDP, name, 8), ENOPROTOOPT);
	}
}

TEST(device)
{
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]);
		char name[16] = "?";
		socklen_t n = sizeof(name);
		CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &n), 0);
		CHECK_EQ(n, 0);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nosuch", 6), ENODEV);
		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2), 0);
		n = sizeof(name);
		CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &n), 0);
		CHECK_EQ(n, 3);
		CHECK_STR(name, "lo");
		n = 15;
		CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &n), EINVAL);
		CHECK_EQ(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 1);
		IN_CHILD({
			CHECK_EQ(setuid(4711), 0);
			CHECK_ERRNO(set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 0), EPERM);
		});
		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "", 0), 0);
		CHECK_EQ(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
		CHECK_ERRNO(set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
		IN_CHILD({
			CHECK_EQ(setuid(4711), 0);
			CHECK_EQ(set(fd, SOL_SOCKET, SO_BINDTOIFINDEX, 77), 0);
		});
		CHECK_EQ(get(fd, SOL_SOCKET, SO_BINDTOIFINDEX), 77);
		CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &n, 2), EINVAL);
		close(fd);
	}
}

TEST(flags)
{
	for (size_t i = 0; i < NKINDS; i++) {
		int fd = open_kind(&kinds[i]);
		bool tcp = i >= FIRST_INET && kinds[i].type == SOCK_STREAM;
		CHECK_EQ(get(fd, SOL_SOCKET, SO_NOFCS), 0);
		CHECK_EQ(set(fd, SOL_SOCKET, SO_NOFCS, 7), 0);
		CHECK_EQ(get(fd, SOL_SOCKET, SO_NOFCS), 1);
		if (tcp) {
			CHECK_EQ(get(fd, SOL_SOCKET, SO_TXREHASH), 1);
			CHECK_EQ(set(fd, SOL_SOCKET, SO_TXREHASH, 0), 0);
			CHECK_EQ(get(fd, SOL_SOCKET, SO_TXREHASH), 0);
		}
		if (kinds[i].family == AF_NETLINK) {
			CHECK_ERRNO(get(fd, SOL_SOCKET, SO_PASSPIDFD_), EOPNOTSUPP);
			CHECK_ERRNO(set(fd, SOL_SOCKET, SO_PASSPIDFD_, 1), EOPNOTSUPP);
			CHECK_EQ(set(fd, SOL_SOCKET, SO_PASSCRED, 1), 0);
		}
		if (i < FIRST_INET) {
			char prog[16] = "";
			CHECK_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, prog, 16),
				EINVAL);
			CHECK_ERRNO(set(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0), EINVAL);
		}
		close(fd);
	}
}

TEST(meminfo)
{
	for (size_t i = 0; i < NKINDS; i++) {
		uint32_t v[16];
		int fd = open_kind(&kinds[i]);
		socklen_t n = sizeof(v);
		CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, v, &n), 0);
		CHECK(n >= 9 * 4 && n < sizeof(v));
		CHECK_EQ(v[SK_MEMINFO_RMEM_ALLOC], 0);
		CHECK_EQ(v[SK_MEMINFO_WMEM_ALLOC], 0);
		CHECK_EQ(v[SK_MEMINFO_SNDBUF], get(fd, SOL_SOCKET, SO_SNDBUF));
		CHECK_EQ(v[SK_MEMINFO_RCVBUF], get(fd, SOL_SOCKET, SO_RCVBUF));
		n = 6;
		CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, v, &n), 0);
		CHECK_EQ(n, 6);
		CHECK_ERRNO(set(fd, SOL_SOCKET, SO_MEMINFO, 0), ENOPROTOOPT);
		close(fd);
	}
	int sv[2];
	uint32_t v[16];
	socklen_t n = sizeof(v);
	CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv), 0);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	CHECK_EQ(getsockopt(sv[0], SOL_SOCKET, SO_MEMINFO, v, &n), 0);
	CHECK(v[SK_MEMINFO_WMEM_ALLOC] > 0); /* the sender's until it is received */
	n = sizeof(v);
	CHECK_EQ(getsockopt(sv[1], SOL_SOCKET, SO_MEMINFO, v, &n), 0);
	CHECK_EQ(v[SK_MEMINFO_RMEM_ALLOC], 0);
}

TEST(stamping_of_streams)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET, SOCK_DGRAM, 0);
	int id = SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_TX_SOFTWARE;
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, id), EINVAL);
	CHECK_EQ(set(fd, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_TX_SOFTWARE), 0);
	CHECK_EQ(set(u, SOL_SOCKET, SO_TIMESTAMPING, id), 0);
	CHECK_EQ(listen(fd, 1), 0);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_TIMESTAMPING, id), EINVAL);
	struct sockaddr_in a;
	socklen_t n = sizeof(a);
	CHECK_EQ(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(c, (struct sockaddr *)&a, n), 0);
	CHECK_EQ(set(c, SOL_SOCKET, SO_TIMESTAMPING, id), 0);
}

TEST(tcp_odds)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char buf[512];
	socklen_t n = sizeof(buf);
	CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, buf, &n), 0);
	CHECK(n >= 232);
	CHECK_EQ(set(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, -1), 0);
	CHECK_EQ(get(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP), 1152);
	int mptcp = get(fd, IPPROTO_TCP, 43 /* TCP_IS_MPTCP */);
	if (mptcp >= 0)
		CHECK_EQ(mptcp, 0);
}

static ssize_t send_fd(int s)
{
	struct iovec iov = {"x", 1};
	char ctl[CMSG_SPACE(sizeof(int))] = "";
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), (int[]){1}, sizeof(int));
	return sendmsg(s, &m, 0);
}

TEST(pass_rights)
{
	for (int i = 0; i < 3; i++) {
		int sv[2];
		CHECK_EQ(socketpair(AF_UNIX, kinds[i].type, 0, sv), 0);
		if (get(sv[0], SOL_SOCKET, SO_PASSRIGHTS_) < 0)
			test_skip("no SO_PASSRIGHTS here");
		CHECK_EQ(get(sv[0], SOL_SOCKET, SO_PASSRIGHTS_), 1);
		CHECK_EQ(send_fd(sv[0]), 1);
		CHECK_EQ(set(sv[1], SOL_SOCKET, SO_PASSRIGHTS_, 0), 0);
		CHECK_EQ(get(sv[1], SOL_SOCKET, SO_PASSRIGHTS_), 0);
		CHECK_ERRNO(send_fd(sv[0]), EPERM);
		CHECK_EQ(send_fd(sv[1]), 1);
		CHECK_EQ(write(sv[0], "y", 1), 1);
		CHECK_EQ(set(sv[1], SOL_SOCKET, SO_PASSRIGHTS_, 5), 0);
		CHECK_EQ(send_fd(sv[0]), 1);
		close(sv[0]);
		close(sv[1]);
	}
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_ERRNO(get(fd, SOL_SOCKET, SO_PASSRIGHTS_), EOPNOTSUPP);
	CHECK_ERRNO(set(fd, SOL_SOCKET, SO_PASSRIGHTS_, 1), EOPNOTSUPP);
}

/* A connection has what its listener passed when it was made. */
TEST(inherited)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
	for (int i = 0; i < 3; i += 2) {
		int l = open_kind(&kinds[i]), c = open_kind(&kinds[i]);
		bool rights = get(l, SOL_SOCKET, SO_PASSRIGHTS_) == 1;
		CHECK_EQ(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
		CHECK_EQ(listen(l, 5), 0);
		CHECK_EQ(set(l, SOL_SOCKET, SO_PASSCRED, 1), 0);
		CHECK_EQ(set(l, SOL_SOCKET, SO_PASSSEC, 1), 0);
		if (rights)
			CHECK_EQ(set(l, SOL_SOCKET, SO_PASSRIGHTS_, 0), 0);
		CHECK_EQ(set(l, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
		CHECK_EQ(connect(c, (struct sockaddr *)&a, sizeof(a)), 0);
		CHECK_EQ(write(c, "x", 1), 1); /* before it is accepted */
		int s = accept(l, NULL, NULL);
		CHECK(s >= 0);
		CHECK_EQ(get(s, SOL_SOCKET, SO_PASSCRED), 1);
		CHECK_EQ(get(s, SOL_SOCKET, SO_PASSSEC), 1);
		CHECK_EQ(get(s, SOL_SOCKET, SO_KEEPALIVE), 0);
		if (rights) {
			CHECK_EQ(get(s, SOL_SOCKET, SO_PASSRIGHTS_), 0);
			CHECK_ERRNO(send_fd(c), EPERM);
		}
		char b[8], ctl[256];
		struct iovec iov = {b, sizeof(b)};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = ctl,
			.msg_controllen = sizeof(ctl)};
		CHECK_EQ(recvmsg(s, &m, 0), 1);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		CHECK(h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS);
		struct ucred u;
		memcpy(&u, CMSG_DATA(h), sizeof(u));
		CHECK(u.pid == getpid() && u.uid == getuid());
		CHECK_EQ(unlink("s"), 0);
		close(l);
		close(c);
		close(s);
	}
}
