/* netlink(7): the sockets themselves, dumps, errors, messages between processes, filters. */
#include "netlink.h"

TEST(create)
{
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_SEQPACKET, NETLINK_ROUTE), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, -1), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 32), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
	int v, fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_ROUTE);
	socklen_t n = sizeof(v);
	CHECK(fd >= 0);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &n), 0);
	CHECK_EQ(v, AF_NETLINK);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &v, &n), 0);
	CHECK_EQ(v, SOCK_DGRAM);
	CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &v, &n), 0);
	CHECK_EQ(v, NETLINK_ROUTE);
	int sv[2];
	CHECK_ERRNO(socketpair(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, sv), EOPNOTSUPP);
	CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(fd, NULL, NULL), EOPNOTSUPP);
	CHECK_ERRNO(shutdown(fd, SHUT_RD), EOPNOTSUPP);
	char c;
	CHECK_ERRNO(recv(fd, &c, 1, 0), EAGAIN);
	CHECK_ERRNO(recv(fd, &c, 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(send(fd, "", 0, 0), ENODATA);
	CHECK_ERRNO(send(fd, "x", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(ioctl(fd, FIONREAD, &v), ENOTTY);
}

TEST(names)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b;
	socklen_t n = sizeof(b);
	int fd = nl_open(NETLINK_ROUTE), fd2 = nl_open(NETLINK_ROUTE);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)n, (int)sizeof(b));
	CHECK_EQ((int)b.nl_family, AF_NETLINK);
	CHECK_EQ((int)b.nl_pid, 0);
	CHECK_ERRNO(bind(fd, (void *)&a, sizeof(a) - 1), EINVAL);
	a.nl_family = AF_UNIX;
	CHECK_ERRNO(bind(fd, (void *)&a, sizeof(a)), EINVAL);
	a.nl_family = AF_NETLINK;
	CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_pid, getpid());
	/* The first has the pid; the next gets a number that is nobody's. */
	CHECK_EQ(bind(fd2, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getsockname(fd2, (void *)&b, &n), 0);
	CHECK((int)b.nl_pid < -4095);
	/* Bound once: only the groups may change. */
	a.nl_pid = 12345;
	CHECK_ERRNO(bind(fd, (void *)&a, sizeof(a)), EINVAL);
	a.nl_pid = (unsigned int)getpid();
	a.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_ROUTE;
	CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_groups, RTMGRP_LINK | RTMGRP_IPV4_ROUTE);
	int fd3 = nl_open(NETLINK_ROUTE);
	CHECK_ERRNO(bind(fd3, (void *)&a, sizeof(a)), EADDRINUSE);
	/* Ports are those of a protocol. */
	int fd4 = nl_open(NETLINK_USERSOCK);
	a.nl_groups = 0;
	CHECK_EQ(bind(fd4, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getpeername(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_pid, 0);
}

TEST(connects)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_pid = 4321, .nl_groups = 4}, b;
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	socklen_t n = sizeof(b);
	int fd = nl_open(NETLINK_ROUTE);
	CHECK_ERRNO(connect(fd, (void *)&a, sizeof(a) - 1), EINVAL);
	CHECK_ERRNO(connect(fd, (void *)&a, 1), EINVAL);
	CHECK_EQ(connect(fd, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_pid, getpid()); /* bound by that */
	CHECK_EQ(getpeername(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_pid, 4321);
	CHECK_EQ((int)b.nl_groups, 4);
	CHECK_EQ(connect(fd, &un, sizeof(un)), 0);
	CHECK_EQ(getpeername(fd, (void *)&b, &n), 0);
	CHECK_EQ((int)b.nl_pid, 0);
	a.nl_family = AF_INET;
	CHECK_ERRNO(connect(fd, (void *)&a, sizeof(a)), EINVAL);
}

TEST(options)
{
	static const int flags[] = {NETLINK_PKTINFO, NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
		NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK};
	int fd = nl_open(NETLINK_ROUTE), v;
	socklen_t n;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		v = 5;
		n = sizeof(v);
		CHECK_EQ(setsockopt(fd, SOL_NETLINK, flags[i], &v, sizeof(v)), 0);
		CHECK_EQ(getsockopt(fd, SOL_NETLINK, flags[i], &v, &n), 0);
		CHECK_EQ(v, 1);
		CHECK_EQ((int)n, 4);
		n = 3;
		CHECK_ERRNO(getsockopt(fd, SOL_NETLINK, flags[i], &v, &n), EINVAL);
		/* Too short is zero. */
		CHECK_EQ(setsockopt(fd, SOL_NETLINK, flags[i], &v, 1), 0);
		n = sizeof(v);
		CHECK_EQ(getsockopt(fd, SOL_NETLINK, flags[i], &v, &n), 0);
		CHECK_EQ(v, 0);
	}
	v = 1;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, 99, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, &n), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(fd, 6, 1, &v, sizeof(v)), ENOPROTOOPT);
}

TEST(membership)
{
	struct sockaddr_nl b;
	socklen_t n = sizeof(b);
	int fd = nl_open(NETLINK_ROUTE), v = RTNLGRP_LINK;
	unsigned int words[4] = {0};
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), 0);
	v = RTNLGRP_NEXTHOP; /* 32 */
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), 0);
	v = RTNLGRP_NSID;
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), 0);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ(b.nl_groups, 1u | 1u << 31 | 1u << (RTNLGRP_NSID - 1));
	n = sizeof(words);
	CHECK_EQ(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &n), 0);
	CHECK_EQ((int)n, 8);
	CHECK_EQ(words[0], 1u | 1u << 31 | 1u << (RTNLGRP_NSID - 1));
	words[0] = words[1] = 0xdead;
	n = 4;
	CHECK_EQ(getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, words, &n), 0);
	CHECK_EQ((int)n, 8);
	CHECK_EQ(words[1], 0xdeadu);
	v = RTNLGRP_LINK;
	CHECK_EQ(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &v, sizeof(v)), 0);
	n = sizeof(b);
	CHECK_EQ(getsockname(fd, (void *)&b, &n), 0);
	CHECK_EQ(b.nl_groups, 1u << 31 | 1u << (RTNLGRP_NSID - 1));
	v = 0;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), EINVAL);
	v = 5000;
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), EINVAL);
}

/* Everything that a dump of links says, and that it ends as it should. */
TEST(dump_links)
{
	struct request r;
	struct rtgenmsg *g;
	char buf[16384];
	int fd = nl_bound(NETLINK_ROUTE, 0), links = 0;
	bool done = false, lo = false;
	struct sockaddr_nl from;
	socklen_t flen = sizeof(from);
	g = begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(*g));
	g->rtgen_family = AF_PACKET;
	put(fd, &r);
	while (!done) {
		int n = (int)recvfrom(fd, buf, sizeof(buf), 0, (void *)&from, &flen);
		CHECK(n > 0);
		CHECK_EQ((int)from.nl_pid, 0);
		CHECK_EQ((int)from.nl_groups, 0);
		struct nlmsghdr *h = (void *)buf;
		for (; NLMSG_OK(h, (unsigned int)n); h = NLMSG_NEXT(h, n)) {
			CHECK_EQ((int)h->nlmsg_seq, 77);
			CHECK_EQ((int)h->nlmsg_pid, getpid());
			CHECK(h->nlmsg_flags & NLM_F_MULTI);
			if (h->nlmsg_type == NLMSG_DONE) {
				CHECK_EQ((int)h->nlmsg_len, 20);
				CHECK_EQ(*(int *)NLMSG_DATA(h), 0);
				done = true;
				break;
			}
			CHECK_EQ((int)h->nlmsg_type, RTM_NEWLINK);
			struct ifinfomsg *m = NLMSG_DATA(h);
			links++;
			const char *name = find_attr(h, sizeof(*m), IFLA_IFNAME);
			CHECK(name);
			if (strcmp(name, "lo"))
				continue;
			lo = true;
			CHECK_EQ(m->ifi_index, 1);
			CHECK_EQ((int)m->ifi_type, ARPHRD_LOOPBACK);
			CHECK(m->ifi_flags & IFF_LOOPBACK);
			CHECK_EQ(*(unsigned int *)find_attr(h, sizeof(*m), IFLA_MTU), 65536u);
			CHECK(!memcmp(find_attr(h, sizeof(*m), IFLA_ADDRESS), "\0\0\0\0\0\0", 6));
			CHECK(find_attr(h, sizeof(*m), IFLA_STATS64));
			CHECK(find_attr(h, sizeof(*m), IFLA_STATS));
			CHECK(find_attr(h, sizeof(*m), IFLA_TXQLEN));
			CHECK(find_attr(h, sizeof(*m), IFLA_OPERSTATE));
			CHECK(find_attr(h, sizeof(*m), IFLA_QDISC));
			CHECK(find_attr(h, sizeof(*m), IFLA_GROUP));
			CHECK(find_attr(h, sizeof(*m), IFLA_CARRIER));
		}
	}
	CHECK(lo && links >= 1);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
}

TEST(get_link)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0);
	char buf[8192];
	struct ifinfomsg *m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	CHECK_EQ(answer(fd, &r), EINVAL);
	m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 4711;
	CHECK_EQ(answer(fd, &r), ENODEV);
	m = begin(&r, RTM_GETLINK, NLM_F_ACK, sizeof(*m));
	attr(&r, IFLA_IFNAME, "lo", 3);
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) > 0);
	struct nlmsghdr *h = (void *)buf;
	CHECK_EQ((int)h->nlmsg_type, RTM_NEWLINK);
	CHECK_EQ((int)h->nlmsg_flags, 0);
	CHECK_EQ(((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index, 1);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), 36);
	CHECK_EQ((int)h->nlmsg_type, NLMSG_ERROR);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, 0);
	/* A name that is too long is out of range. */
	m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	attr(&r, IFLA_IFNAME, "abcdefghijklmnopqrstuvwxyz", 27);
	CHECK_EQ(answer(fd, &r), ERANGE);
}

TEST(errors)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0), one = 1;
	char buf[4096];
	struct nlmsghdr *h = (void *)buf;
	struct nlmsgerr *e = NLMSG_DATA(h);
	/* Unknown types, and what is not a request. */
	begin(&r, RTM_BASE + 200, 0, sizeof(struct rtgenmsg));
	CHECK_EQ(answer(fd, &r), EOPNOTSUPP);
	begin(&r, 5000, 0, sizeof(struct rtgenmsg));
	CHECK_EQ(answer(fd, &r), EOPNOTSUPP);
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	CHECK_EQ(answer(fd, &r), 0);
	begin(&r, RTM_GETLINK, 0, 0);
	r.h.nlmsg_flags = NLM_F_ACK;
	CHECK_EQ(answer(fd, &r), 0);
	/* Without NLM_F_ACK nothing is said of what went well. */
	begin(&r, NLMSG_NOOP, 0, 0);
	put(fd, &r);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	/* An error has the whole request with it, unless NETLINK_CAP_ACK. */
	struct ifinfomsg *m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 4711;
	put(fd, &r);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), (int)(NLMSG_HDRLEN + 4 + r.h.nlmsg_len));
	CHECK_EQ((int)h->nlmsg_flags, 0);
	CHECK(!memcmp(&e->msg, &r, r.h.nlmsg_len));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	put(fd, &r);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), 36);
	CHECK_EQ((int)h->nlmsg_flags, NLM_F_CAPPED);
	/* Several in one send: each is answered. */
	char two[64];
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	memcpy(two, &r, 16);
	r.h.nlmsg_seq = 78;
	memcpy(two + 16, &r, 16);
	CHECK_EQ((int)send(fd, two, 32, 0), 32);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), 36);
	CHECK_EQ((int)h->nlmsg_seq, 77);
	CHECK_EQ((int)recv(fd, buf, sizeof(buf), 0), 36);
	CHECK_EQ((int)h->nlmsg_seq, 78);
	/* Cut off: ignored. */
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	r.h.nlmsg_len = 400;
	CHECK_EQ((int)send(fd, &r, 16, 0), 16);
	r.h.nlmsg_len = 4;
	CHECK_EQ((int)send(fd, &r, 16, 0), 16);
	CHECK_EQ((int)send(fd, &r, 3, 0), 3);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
}

/* The text and the place of an error, with NETLINK_EXT_ACK. */
TEST(ext_ack)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0), one = 1;
	char buf[4096];
	struct nlmsghdr *h = (void *)buf;
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	struct ifinfomsg *m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 1;
	attr(&r, IFLA_MASTER, "", 1);
	put(fd, &r);
	int n = (int)recv(fd, buf, sizeof(buf), 0);
	CHECK_EQ((int)h->nlmsg_type, NLMSG_ERROR);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -ERANGE);
	CHECK_EQ((int)h->nlmsg_flags, NLM_F_CAPPED | NLM_F_ACK_TLVS);
	CHECK_EQ(n, (int)h->nlmsg_len);
	const unsigned int *offset = find_attr(h, sizeof(struct nlmsgerr), NLMSGERR_ATTR_OFFS);
	CHECK(offset && *offset == NLMSG_SPACE(sizeof(*m)));
	CHECK(find_attr(h, sizeof(struct nlmsgerr), NLMSGERR_ATTR_MSG));
}

TEST(strict)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0), one = 1;
	char buf[8192];
	struct nlmsghdr *h = (void *)buf;
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	struct ifinfomsg *m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 1;
	m->ifi_flags = 1;
	CHECK_EQ(answer(fd, &r), EINVAL);
	m = begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(*m));
	m->ifi_index = 1;
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) >= 20);
	CHECK_EQ((int)h->nlmsg_type, NLMSG_DONE);
	CHECK_EQ(*(int *)NLMSG_DATA(h), -EINVAL);
}

static void ask_route(int fd, unsigned int be, struct rtmsg m, int error)
{
	struct request r;
	struct rtmsg *p = begin(&r, RTM_GETROUTE, 0, sizeof(*p));
	*p = m;
	p->rtm_family = AF_INET;
	attr(&r, RTA_DST, &be, 4);
	CHECK_EQ(answer(fd, &r), error);
}

TEST(strict_one)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0), one = 1;
	struct in6_addr lo6 = IN6ADDR_LOOPBACK_INIT;
	unsigned int lo = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	ask_route(fd, lo, (struct rtmsg){.rtm_dst_len = 32}, -1);
	ask_route(fd, lo, (struct rtmsg){.rtm_dst_len = 0}, EINVAL);
	ask_route(fd, lo, (struct rtmsg){.rtm_dst_len = 24}, EINVAL);
	ask_route(fd, lo, (struct rtmsg){.rtm_dst_len = 32, .rtm_type = RTN_LOCAL}, EINVAL);
	ask_route(fd, lo, (struct rtmsg){.rtm_dst_len = 32, .rtm_flags = RTM_F_CLONED}, EINVAL);
	struct ifaddrmsg *m = begin(&r, RTM_GETADDR, 0, sizeof(*m));
	m->ifa_family = AF_INET6;
	attr(&r, IFA_ADDRESS, &lo6, sizeof(lo6));
	CHECK_EQ(answer(fd, &r), -1);
	m->ifa_prefixlen = 128;
	CHECK_EQ(answer(fd, &r), EINVAL);
}

TEST(truncated)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0);
	char small[64];
	struct iovec v = {small, sizeof(small)};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	struct ifinfomsg *i = begin(&r, RTM_GETLINK, 0, sizeof(*i));
	i->ifi_index = 1;
	put(fd, &r);
	int len = (int)recv(fd, small, sizeof(small), MSG_PEEK | MSG_TRUNC);
	CHECK(len > (int)sizeof(small));
	CHECK_EQ((int)recvmsg(fd, &m, MSG_PEEK), (int)sizeof(small));
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_EQ((int)recvmsg(fd, &m, MSG_TRUNC), len);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_ERRNO(recv(fd, small, sizeof(small), MSG_DONTWAIT), EAGAIN);
}

TEST(ancillary)
{
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0), one = 1;
	char buf[8192], control[256];
	struct iovec v = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	put(fd, &r);
	CHECK_EQ((int)recvmsg(fd, &m, 0), 36);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS);
	struct ucred *u = (void *)CMSG_DATA(c);
	CHECK_EQ(u->pid, 0); /* the kernel */
	CHECK_EQ((int)u->uid, 0);
}

TEST(between_processes)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b;
	socklen_t n = sizeof(b);
	int one = 1, x = nl_bound(NETLINK_USERSOCK, 0), y = nl_bound(NETLINK_USERSOCK, 0);
	char buf[64], control[256];
	struct iovec v = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct pollfd p = {.fd = y, .events = POLLIN | POLLOUT};
	CHECK_EQ(getsockname(y, (void *)&b, &n), 0);
	a.nl_pid = b.nl_pid;
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLOUT);
	setsockopt(y, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	CHECK_EQ((int)sendto(x, "hello", 5, 0, (void *)&a, sizeof(a)), 5);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLIN | POLLOUT);
	m.msg_name = &b;
	m.msg_namelen = sizeof(b);
	CHECK_EQ((int)recvmsg(y, &m, 0), 5);
	CHECK_EQ((int)b.nl_pid, getpid());
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_type == SCM_CREDENTIALS);
	CHECK_EQ(((struct ucred *)CMSG_DATA(c))->pid, getpid());
	/* Nobody there; the kernel does not listen. */
	a.nl_pid = 987654;
	CHECK_ERRNO(sendto(x, "hello", 5, 0, (void *)&a, sizeof(a)), ECONNREFUSED);
	a.nl_pid = 0;
	CHECK_ERRNO(sendto(x, "hello", 5, 0, (void *)&a, sizeof(a)), ECONNREFUSED);
	CHECK_ERRNO(sendto(x, "hello", 5, 0, (void *)&a, sizeof(a) - 1), EINVAL);
	/* Who is connected to somebody else hears us no more. */
	a.nl_pid = 987654;
	CHECK_EQ(connect(y, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(getsockname(y, (void *)&b, &n), 0);
	CHECK_ERRNO(sendto(x, "hello", 5, 0, (void *)&b, sizeof(b)), ECONNREFUSED);
}

TEST(groups_between_processes)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1u << 4}, from;
	socklen_t n = sizeof(from);
	int x = nl_bound(NETLINK_USERSOCK, 0), y = nl_bound(NETLINK_USERSOCK, 1u << 4), one = 1;
	int z = nl_bound(NETLINK_USERSOCK, 1u << 5);
	char buf[64], control[256];
	struct iovec v = {buf, sizeof(buf)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
		.msg_name = &from,
		.msg_namelen = n};
	setsockopt(y, SOL_NETLINK, NETLINK_PKTINFO, &one, sizeof(one));
	/* The unicast to port 0 that goes with it fails, the others have it all the same. */
	sendto(x, "news", 4, 0, (void *)&a, sizeof(a));
	CHECK_EQ((int)recvmsg(y, &m, MSG_DONTWAIT), 4);
	CHECK_EQ((int)from.nl_pid, getpid());
	CHECK_EQ(from.nl_groups, 1u << 4);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_PKTINFO);
	CHECK_EQ(((struct nl_pktinfo *)CMSG_DATA(c))->group, 5u);
	CHECK_ERRNO(recv(z, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
}

/* A queue that is full: the sender waits or not, the reader of a group is told. */
TEST(overrun)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK}, b;
	socklen_t n = sizeof(b);
	int x = nl_bound(NETLINK_USERSOCK, 0), y = nl_bound(NETLINK_USERSOCK, 1), sent = 0;
	int size = 4096;
	char buf[512] = "";
	struct pollfd p = {.fd = y, .events = POLLIN};
	CHECK_EQ(setsockopt(y, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	CHECK_EQ(getsockname(y, (void *)&b, &n), 0);
	b.nl_groups = 0;
	while (sent < 10000 && sendto(x, buf, sizeof(buf), MSG_DONTWAIT, (void *)&b, sizeof(b)) > 0)
		sent++;
	CHECK_ERRNO(sendto(x, buf, sizeof(buf), MSG_DONTWAIT, (void *)&b, sizeof(b)), EAGAIN);
	CHECK(sent > 2);
	a.nl_groups = 1;
	sendto(x, buf, sizeof(buf), MSG_DONTWAIT, (void *)&a, sizeof(a));
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK(p.revents & POLLERR);
	CHECK_ERRNO(recv(y, buf, sizeof(buf), 0), ENOBUFS);
	for (int i = 0; i < sent; i++)
		CHECK_EQ((int)recv(y, buf, sizeof(buf), MSG_DONTWAIT), (int)sizeof(buf));
	CHECK_ERRNO(recv(y, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ((int)sendto(x, buf, 8, MSG_DONTWAIT, (void *)&b, sizeof(b)), 8);
}

static void drop_caps(void)
{
	CHECK_EQ(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), 0);
	CHECK_EQ(setuid(1234), 0);
}

TEST(unprivileged)
{
	struct request r;
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = 1};
	char buf[8192];
	drop_caps();
	int fd = nl_bound(NETLINK_ROUTE, RTMGRP_LINK);
	struct ifinfomsg *m = begin(&r, RTM_SETLINK, 0, sizeof(*m));
	m->ifi_index = 1;
	CHECK_EQ(answer(fd, &r), EPERM);
	begin(&r, RTM_NEWLINK, 0, sizeof(*m));
	CHECK_EQ(answer(fd, &r), EPERM);
	m = begin(&r, RTM_GETLINK, 0, sizeof(*m));
	m->ifi_index = 1;
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) > 0);
	CHECK_ERRNO(sendto(fd, &r, 16, 0, (void *)&a, sizeof(a)), EPERM);
	a.nl_pid = 5;
	a.nl_groups = 0;
	CHECK_ERRNO(connect(fd, (void *)&a, sizeof(a)), EPERM);
	int v = 1, us = nl_bound(NETLINK_USERSOCK, 0);
	CHECK_ERRNO(setsockopt(us, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &v, sizeof(v)), EPERM);
	CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &v, sizeof(v)), EPERM);
}

TEST(busy_dump)
{
	struct request r;
	char buf[16384];
	int fd = nl_bound(NETLINK_ROUTE, 0);
	struct rtgenmsg *g = begin(&r, RTM_GETLINK, NLM_F_DUMP, sizeof(*g));
	put(fd, &r);
	/* Short enough that it is over already, and the next one begins. */
	put(fd, &r);
	int done = 0;
	for (int i = 0; i < 8 && done < 2; i++) {
		int n = (int)recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		CHECK(n > 0);
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned int)n);
			h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_ERROR) {
				CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -EBUSY);
				done++;
			} else if (h->nlmsg_type == NLMSG_DONE) {
				done++;
			}
		}
	}
	CHECK_EQ(done, 2);
}

TEST(uevents)
{
	struct request r;
	char buf[2048] = "";
	int fd = own_net(), ev = nl_bound(NETLINK_KOBJECT_UEVENT, 1), found = 0, n;
	begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_ACK, sizeof(struct ifinfomsg));
	attr(&r, IFLA_IFNAME, "x0", 3);
	struct rtattr *info = attr(&r, IFLA_LINKINFO, NULL, 0);
	attr(&r, IFLA_INFO_KIND, "veth", 4);
	nest_end(&r, info);
	CHECK_EQ(answer(fd, &r), 0);
	while ((n = (int)recv(ev, buf, sizeof(buf) - 1, MSG_DONTWAIT)) > 0)
		found += !strcmp(buf, "add@/devices/virtual/net/x0") &&
			 memmem(buf, n, "IFINDEX=", 8);
	CHECK_EQ(found, 1);
}

TEST(generic)
{
	struct request r;
	char buf[4096];
	struct nlmsghdr *h = (void *)buf;
	int fd = nl_bound(NETLINK_GENERIC, 0);
	struct genlmsghdr *g = begin(&r, GENL_ID_CTRL, 0, sizeof(*g));
	g->cmd = CTRL_CMD_GETFAMILY;
	attr(&r, CTRL_ATTR_FAMILY_NAME, "nlctrl", 7);
	put(fd, &r);
	CHECK(recv(fd, buf, sizeof(buf), 0) > 0);
	CHECK_EQ((int)h->nlmsg_type, GENL_ID_CTRL);
	CHECK_STR(find_attr(h, sizeof(*g), CTRL_ATTR_FAMILY_NAME), "nlctrl");
	g = begin(&r, GENL_ID_CTRL, 0, sizeof(*g));
	g->cmd = CTRL_CMD_GETFAMILY;
	attr(&r, CTRL_ATTR_FAMILY_NAME, "nonsense", 9);
	CHECK_EQ(answer(fd, &r), ENOENT);
}

/* --- who may, by whom the socket was opened --- */

static int opened_by_nobody(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int sv[2], fd = -1;
	char c = 0;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} ctl = {{0}};
	struct iovec iov = {&c, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &ctl,
		.msg_controllen = sizeof(ctl)};
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	pid_t pid = fork();
	if (!pid) {
		drop_caps();
		fd = nl_open(NETLINK_ROUTE);
		CHECK_EQ(connect(fd, (void *)&kernel, sizeof(kernel)), 0);
		ctl.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(fd));
		CHECK_EQ((int)sendmsg(sv[0], &m, 0), 1);
		_exit(0);
	}
	WAIT_OK(pid);
	CHECK_EQ((int)recvmsg(sv[1], &m, 0), 1);
	memcpy(&fd, CMSG_DATA(&ctl.align), sizeof(fd));
	return fd;
}

/* What a privileged program writes to a descriptor that was given to it is not its own wish. */
TEST(opened_by_another)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct request r;
	char buf[512];
	struct nlmsghdr *h = (void *)buf;
	int own = own_net(), fd;
	(void)own;
	fd = opened_by_nobody();
	struct ifinfomsg *m = begin(&r, RTM_SETLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	CHECK_EQ((int)write(fd, &r, r.h.nlmsg_len), (int)r.h.nlmsg_len);
	CHECK((int)recv(fd, buf, sizeof(buf), 0) > 0);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -EPERM);
	CHECK_EQ((int)sendto(fd, &r, r.h.nlmsg_len, 0, (void *)&kernel, sizeof(kernel)),
		(int)r.h.nlmsg_len);
	CHECK((int)recv(fd, buf, sizeof(buf), 0) > 0);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, 0);
}

/* --- filters --- */

TEST(filter)
{
	/* Messages that begin with 'a', two bytes of them. */
	struct sock_filter f[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'}, {BPF_RET | BPF_K, 0, 0, 2},
		{BPF_RET | BPF_K, 0, 0, 0}};
	struct sock_fprog p = {4, f};
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};
	socklen_t n = sizeof(to);
	int a = nl_bound(NETLINK_USERSOCK, 1), b = nl_bound(NETLINK_USERSOCK, 0);
	char buf[16];
	CHECK_EQ(setsockopt(a, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)), 0);
	CHECK_EQ(getsockname(a, (void *)&to, &n), 0);
	to.nl_groups = 0;
	CHECK_EQ((int)sendto(b, "abc", 3, 0, (void *)&to, sizeof(to)), 2);
	CHECK_EQ((int)sendto(b, "xbc", 3, 0, (void *)&to, sizeof(to)), 3);
	CHECK_EQ((int)recv(a, buf, sizeof(buf), MSG_DONTWAIT), 2);
	CHECK_ERRNO(recv(a, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	to.nl_pid = 0;
	to.nl_groups = 1;
	sendto(b, "xbc", 3, 0, (void *)&to, sizeof(to));
	sendto(b, "abc", 3, 0, (void *)&to, sizeof(to));
	CHECK_EQ((int)recv(a, buf, sizeof(buf), MSG_DONTWAIT), 2);
	CHECK_ERRNO(recv(a, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	/* Answers of the kernel pass through it too. */
	struct request r;
	int fd = nl_bound(NETLINK_ROUTE, 0);
	f[1].k = 0xff;
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)), 0);
	begin(&r, NLMSG_NOOP, NLM_F_ACK, 0);
	put(fd, &r);
	CHECK_ERRNO(recv(fd, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &p, sizeof(p)), 0);
	CHECK_EQ(answer(fd, &r), 0);
}
