/*
 * A guest that wants all of the network's memory: sockets, queues, namespaces, routes, packets that
 * go in circles.  Each bomb goes off in children, in a sandbox of little memory; it ends in errors.
 * Meanwhile and afterwards a connection that was there goes on, and new ones can be made.
 *
 *	net_bombs SECONDS SEED [NAME]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

static char block[65536];
static int seconds;

/* Errors that say "there is no more". */
static int enough(int e)
{
	return e == EAGAIN || e == ENOBUFS || e == ENOMEM || e == EMFILE || e == ENFILE ||
	       e == EADDRNOTAVAIL || e == ENOSPC;
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	printf("FAIL net_bombs: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(3);
}

/* Ended as it should. */
static void end_is(const char *what, long n)
{
	must(enough(errno), what);
	printf("%s: %ld, then %s\n", what, n, strerror(errno));
	fflush(stdout);
}

static void raise_files(void)
{
	struct rlimit r = {65536, 65536};
	setrlimit(RLIMIT_NOFILE, &r);
}

static struct sockaddr_in lo(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int listen_on(int *port)
{
	struct sockaddr_in a = lo(0);
	socklen_t n = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	if (l < 0 || bind(l, (struct sockaddr *)&a, n) || listen(l, 4096) ||
		getsockname(l, (struct sockaddr *)&a, &n))
		return -1;
	*port = ntohs(a.sin_port);
	return l;
}

/* The listener's end is made when there is memory for it, and told again when the peer asks again.
 */
static int accept_soon(int l)
{
	struct pollfd f = {l, POLLIN, 0};
	if (poll(&f, 1, 2000) == 1)
		return accept(l, NULL, NULL);
	errno = ENOBUFS;
	return -1;
}

static int connected(int l, int port, int p[2])
{
	struct sockaddr_in a = lo(port);
	p[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (p[0] < 0)
		return -1;
	if (connect(p[0], (struct sockaddr *)&a, sizeof(a)) || (p[1] = accept_soon(l)) < 0) {
		int e = errno;
		close(p[0]);
		errno = e;
		return -1;
	}
	return 0;
}

/* --- who must go on --- */

static int witness[2], witness_l, witness_port;

static int moves(int from, int to, size_t n)
{
	size_t sent = 0, got = 0;
	char buf[4096] = "";
	while (got < n) {
		struct pollfd f[2] = {{to, POLLIN, 0}, {from, sent < n ? POLLOUT : 0, 0}};
		if (poll(f, 2, 60000) <= 0)
			return 0;
		if (f[1].revents & POLLOUT) {
			ssize_t r = send(from, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
			if (r < 0 && errno != EAGAIN)
				return 0;
			sent += r > 0 ? (size_t)r : 0;
		}
		ssize_t r = recv(to, buf, sizeof(buf), MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN))
			return 0;
		got += r > 0 ? (size_t)r : 0;
	}
	return 1;
}

static void goes_on(const char *when)
{
	char what[100];
	snprintf(what, sizeof(what), "the connection that was there, %s", when);
	must(moves(witness[0], witness[1], 64 << 10) && moves(witness[1], witness[0], 64 << 10),
		what);
}

static void works(const char *when)
{
	char what[100];
	int p[2], u[2];
	goes_on(when);
	snprintf(what, sizeof(what), "a new connection, %s", when);
	must(connected(witness_l, witness_port, p) == 0, what);
	must(moves(p[0], p[1], 1 << 20), what);
	close(p[0]);
	close(p[1]);
	must(socketpair(AF_UNIX, SOCK_STREAM, 0, u) == 0 && moves(u[0], u[1], 1 << 20), "AF_UNIX");
	close(u[0]);
	close(u[1]);
}

/* --- queues --- */

static long fill(int fd, size_t n, int flags)
{
	long sum = 0;
	ssize_t r;
	while ((r = send(fd, block, n, MSG_DONTWAIT | MSG_NOSIGNAL | flags)) > 0)
		sum += r;
	return sum;
}

/* Connections that nobody reads, until there are no more. */
static void tcp_fill(void)
{
	int port, l, p[2], n = 0, size = 16 << 20;
	long sum = 0;
	raise_files();
	l = listen_on(&port);
	must(l >= 0, "listen");
	while (n < 20000 && connected(l, port, p) == 0) {
		if (n % 3 == 0)
			setsockopt(p[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		if (n % 3 == 1)
			setsockopt(p[1], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		sum += fill(p[0], n % 2 ? sizeof(block) : 100, 0);
		must(enough(errno), "a full socket");
		n++;
	}
	end_is("TCP connections that nobody reads", n);
	printf("%ld bytes in them\n", sum);
}

static void tcp_thousand(void)
{
	static int p[1000][2];
	int port, l, i;
	raise_files();
	l = listen_on(&port);
	for (i = 0; i < 1000; i++) {
		must(connected(l, port, p[i]) == 0, "one of 1,000 connections");
		fill(p[i][0], sizeof(block), 0);
		must(enough(errno), "a full socket");
	}
	/* And they can be read. */
	for (i = 0; i < 1000; i += 50) {
		ssize_t r = recv(p[i][1], block, sizeof(block), MSG_DONTWAIT);
		must(r > 0 || errno == EAGAIN, "reading what was sent");
	}
}

/* Connections made and closed in a row. */
static void tcp_churn(void)
{
	int port, l, p[2];
	long n = 0, most = seconds > 5 ? 100000 : 20000;
	struct linger none = {1, 0};
	l = listen_on(&port);
	for (; n < most; n++) {
		if (connected(l, port, p)) {
			must(enough(errno), "a connection of many");
			close(l);
			l = listen_on(&port);
			continue;
		}
		if (n % 4 == 0)
			setsockopt(p[0], SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(p[n & 1]);
		close(p[!(n & 1)]);
	}
	printf("connections made and closed: %ld\n", n);
}

/* Orphans with data that nobody takes. */
static void tcp_orphans(void)
{
	int port, l, p[2], n = 0;
	raise_files();
	l = listen_on(&port);
	while (n < 20000 && connected(l, port, p) == 0) {
		fill(p[0], sizeof(block), 0);
		close(p[0]);
		n++;
	}
	end_is("orphans", n);
}

static void udp_fill(void)
{
	int n = 0, size = 16 << 20, from = socket(AF_INET, SOCK_DGRAM, 0);
	raise_files();
	for (; n < 60000; n++) {
		struct sockaddr_in a = lo(0);
		socklen_t len = sizeof(a);
		int u = socket(AF_INET, SOCK_DGRAM, 0);
		if (u < 0 || bind(u, (struct sockaddr *)&a, len))
			break;
		setsockopt(u, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		getsockname(u, (struct sockaddr *)&a, &len);
		for (int k = 0; k < 100; k++)
			sendto(from, block, k & 1 ? 60000 : 1, MSG_DONTWAIT, (struct sockaddr *)&a,
				len);
	}
	end_is("UDP sockets that nobody reads", n);
}

static void unix_fill(int type)
{
	int p[2], n = 0, size = 64 << 20;
	long sum = 0;
	raise_files();
	while (n < 30000 && socketpair(AF_UNIX, type, 0, p) == 0) {
		setsockopt(p[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		sum += fill(p[0], n & 1 ? sizeof(block) : 1, 0);
		n++;
	}
	end_is("AF_UNIX pairs that nobody reads", n);
	printf("%ld bytes in them\n", sum);
}
static void unix_stream_fill(void)
{
	unix_fill(SOCK_STREAM);
}
static void unix_dgram_fill(void)
{
	unix_fill(SOCK_DGRAM);
}

static void raw_fill(void)
{
	struct sockaddr_in a = lo(0);
	int n = 0, size = 16 << 20, from = socket(AF_INET, SOCK_RAW, 253);
	raise_files();
	for (; n < 5000; n++) {
		int r = n & 1 ? socket(AF_INET, SOCK_RAW, 253)
			      : socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
		if (r < 0)
			break;
		setsockopt(r, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		if (n < 400 || n % 100 == 0)
			for (int k = 0; k < 4; k++)
				sendto(from, block, k & 1 ? 60000 : 1, MSG_DONTWAIT,
					(struct sockaddr *)&a, sizeof(a));
	}
	if (n < 5000)
		end_is("raw and packet sockets that nobody reads", n);
}

/* Rings of packet sockets. */
static void ring_fill(void)
{
	int n = 0;
	raise_files();
	for (; n < 1000; n++) {
		struct tpacket_req r = {.tp_block_size = 1 << 20,
			.tp_block_nr = 8,
			.tp_frame_size = 2048,
			.tp_frame_nr = 4096};
		int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
		if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_RX_RING, &r, sizeof(r)))
			break;
	}
	end_is("rings", n);
}

/* What is pinned, or seems to be: zero-copy notifications, files and pipes sent to nobody. */
static void pinned(void)
{
	int port, l, p[2], n = 0, one = 1, pipes[2], m = memfd_create("x", 0);
	raise_files();
	must(ftruncate(m, 1 << 20) == 0 && pipe2(pipes, O_NONBLOCK) == 0, "a file");
	l = listen_on(&port);
	while (n < 20000 && connected(l, port, p) == 0) {
		off_t off = 0;
		setsockopt(p[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
		fcntl(p[0], F_SETFL, O_NONBLOCK);
		for (int k = 0; k < 2000; k++)
			if (send(p[0], "x", 1, MSG_ZEROCOPY | MSG_DONTWAIT) < 0)
				break;
		while (sendfile(p[0], m, &off, 1 << 20) > 0)
			off = 0;
		(void)!write(pipes[1], block, 4096);
		splice(pipes[0], NULL, p[0], NULL, 4096, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		n++;
	}
	end_is("sockets with zero-copy, sendfile and splice", n);
}

/* --- what sockets carry along --- */

static void options(void)
{
	static struct sock_filter insns[4096];
	struct sock_fprog f = {4096, insns};
	int n = 0;
	raise_files();
	for (int i = 0; i < 4096; i++)
		insns[i] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, 0xffff};
	for (; n < 30000; n++) {
		int s = socket(AF_INET6, SOCK_DGRAM, 0);
		char opt[2048] = {0, 255 - 1};
		if (s < 0)
			break;
		if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof(f)))
			break;
		setsockopt(s, SOL_IPV6, IPV6_DSTOPTS, opt, 2040);
		for (uint32_t g = 0; g < 20; g++) {
			struct ipv6_mreq m = {.ipv6mr_interface = 1};
			m.ipv6mr_multiaddr.s6_addr[0] = 0xff;
			m.ipv6mr_multiaddr.s6_addr[1] = 1;
			memcpy(m.ipv6mr_multiaddr.s6_addr + 8, &n, sizeof(n));
			m.ipv6mr_multiaddr.s6_addr[15] = (uint8_t)g;
			setsockopt(s, SOL_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m));
		}
	}
	end_is("filters, options and groups", n);
}

/* A namespace of our own, once those of the last bomb are gone. */
static void own_net(void)
{
	int tries = 0;
	while (unshare(CLONE_NEWNET) && errno == ENOMEM && ++tries < 600)
		usleep(100000);
	must(tries < 600, "unshare");
}

/* --- rtnetlink --- */

struct req {
	struct nlmsghdr h;
	union {
		struct ifinfomsg i;
		struct ifaddrmsg a;
		struct rtmsg r;
		struct ndmsg n;
	};
	char room[256];
};

static void *attr(struct req *q, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len && data)
		memcpy(RTA_DATA(a), data, len);
	q->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
	return a;
}

static void nest_end(struct req *q, struct rtattr *a)
{
	a->rta_len = (uint16_t)((char *)q + q->h.nlmsg_len - (char *)a);
}

static void begin(struct req *q, uint16_t type, uint16_t flags, size_t len)
{
	memset(q, 0, sizeof(*q));
	q->h.nlmsg_len = (uint32_t)NLMSG_LENGTH(len);
	q->h.nlmsg_type = type;
	q->h.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
}

/* 0 or -errno. */
static int ask(int nl, struct req *q)
{
	static char buf[8192] __attribute__((aligned(8)));
	if (send(nl, q, q->h.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(nl, buf, sizeof(buf), 0);
		struct nlmsghdr *h = (struct nlmsghdr *)buf;
		if (n < 0)
			return -errno;
		if (h->nlmsg_type == NLMSG_ERROR)
			return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	}
}

static int new_link(int nl, const char *kind, const char *name, const char *peer)
{
	struct req q;
	begin(&q, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.i));
	q.i.ifi_flags = q.i.ifi_change = IFF_UP;
	attr(&q, IFLA_IFNAME, name, strlen(name) + 1);
	struct rtattr *info = attr(&q, IFLA_LINKINFO, NULL, 0);
	attr(&q, IFLA_INFO_KIND, kind, strlen(kind));
	if (peer) {
		struct ifinfomsg i = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
		struct rtattr *data = attr(&q, IFLA_INFO_DATA, NULL, 0);
		struct rtattr *p = attr(&q, VETH_INFO_PEER, &i, sizeof(i));
		attr(&q, IFLA_IFNAME, peer, strlen(peer) + 1);
		nest_end(&q, p);
		nest_end(&q, data);
	}
	nest_end(&q, info);
	return ask(nl, &q);
}

static int set_link(int nl, const char *name, const char *master)
{
	struct req q;
	begin(&q, RTM_NEWLINK, 0, sizeof(q.i));
	q.i.ifi_index = (int)if_nametoindex(name);
	q.i.ifi_flags = q.i.ifi_change = IFF_UP;
	if (master) {
		uint32_t m = if_nametoindex(master);
		attr(&q, IFLA_MASTER, &m, sizeof(m));
	}
	return ask(nl, &q);
}

static int new_addr(int nl, const char *dev, uint32_t addr, uint8_t len)
{
	struct req q;
	uint32_t a = htonl(addr);
	begin(&q, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.a));
	q.a.ifa_family = AF_INET;
	q.a.ifa_prefixlen = len;
	q.a.ifa_index = if_nametoindex(dev);
	attr(&q, IFA_LOCAL, &a, 4);
	return ask(nl, &q);
}

static int new_route(int nl, const char *dev, uint32_t dst, uint8_t len, uint32_t gw,
	uint32_t table)
{
	struct req q;
	uint32_t d = htonl(dst), g = htonl(gw), oif = dev ? if_nametoindex(dev) : 0;
	begin(&q, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.r));
	q.r.rtm_family = AF_INET;
	q.r.rtm_dst_len = len;
	q.r.rtm_table = RT_TABLE_UNSPEC;
	q.r.rtm_protocol = RTPROT_BOOT;
	q.r.rtm_type = RTN_UNICAST;
	q.r.rtm_scope = gw ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	attr(&q, RTA_TABLE, &table, 4);
	attr(&q, RTA_DST, &d, 4);
	if (gw)
		attr(&q, RTA_GATEWAY, &g, 4);
	if (oif)
		attr(&q, RTA_OIF, &oif, 4);
	return ask(nl, &q);
}

static int netlink(void)
{
	int nl = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	must(nl >= 0, "netlink");
	return nl;
}

/* Everything that an administrator of a namespace of his own can make, until it is refused. */
static void configuration(void)
{
	int err = 0, nl, most = seconds > 5 ? 100000 : 8000;
	long n;
	own_net();
	nl = netlink();
	must(set_link(nl, "lo", NULL) == 0, "lo");
	for (n = 0; n < 3000 && !err; n++) {
		char a[16], b[16];
		snprintf(a, sizeof(a), "a%ld", n);
		snprintf(b, sizeof(b), "b%ld", n);
		err = n % 3 == 0   ? new_link(nl, "dummy", a, NULL)
		      : n % 3 == 1 ? new_link(nl, "bridge", a, NULL)
				   : new_link(nl, "veth", a, b);
	}
	errno = -err;
	end_is("links", n);
	for (n = err = 0; n < most && !err; n++)
		err = new_addr(nl, "a0", 0x0a000001u + (uint32_t)n, 32);
	errno = err ? -err : ENOBUFS;
	end_is("addresses", n);
	for (n = err = 0; n < most && !err; n++)
		err = new_route(nl, "a0", 0x14000000u + ((uint32_t)n << 8), 24, 0,
			1000 + (uint32_t)n % 3000);
	errno = err ? -err : ENOBUFS;
	end_is("routes", n);
	for (n = err = 0; n < most && !err; n++) {
		struct req q;
		uint32_t prio = (uint32_t)n + 10, mark = (uint32_t)n;
		begin(&q, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.r));
		q.r.rtm_family = AF_INET;
		q.r.rtm_table = RT_TABLE_MAIN;
		q.r.rtm_type = 1;
		attr(&q, 6 /* FRA_PRIORITY */, &prio, 4);
		attr(&q, 10 /* FRA_FWMARK */, &mark, 4);
		err = ask(nl, &q);
	}
	errno = err ? -err : ENOBUFS;
	end_is("rules", n);
	for (n = err = 0; n < most && !err; n++) {
		struct req q;
		uint32_t dst = htonl(0x0b000000u + (uint32_t)n);
		begin(&q, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, sizeof(q.n));
		q.n.ndm_family = AF_INET;
		q.n.ndm_state = NUD_PERMANENT;
		q.n.ndm_ifindex = (int)if_nametoindex("a1");
		attr(&q, NDA_DST, &dst, 4);
		attr(&q, NDA_LLADDR, "\2\0\0\0\0\1", 6);
		err = ask(nl, &q);
	}
	errno = err ? -err : ENOBUFS;
	end_is("neighbours", n);
}

/* Namespaces, each with sockets in it. */
static void namespaces(void)
{
	int n = 0;
	raise_files();
	while (n < 10000 && unshare(CLONE_NEWNET) == 0) {
		int fd = open("/proc/self/ns/net", O_RDONLY);
		if (fd < 0 || socket(AF_INET, SOCK_DGRAM, 0) < 0)
			break;
		n++;
	}
	end_is("namespaces", n);
}

/* Events that nobody reads. */
static void events(void)
{
	int n = 0, size = 16 << 20, nl;
	own_net();
	raise_files();
	for (; n < 3000; n++) {
		struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = ~0u};
		int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
		if (s < 0)
			break;
		setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
		bind(s, (struct sockaddr *)&a, sizeof(a));
	}
	nl = n ? netlink() : -1;
	if (nl >= 0)
		new_link(nl, "dummy", "d", NULL);
	for (int i = 0; nl >= 0 && i < 100; i++)
		new_addr(nl, "d", 0x0a000001u + (uint32_t)i, 32);
	printf("netlink sockets that nobody reads: %d\n", n);
}

/* --- circles --- */

static void spray(uint32_t dst, int n)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(9)};
	int u = socket(AF_INET, SOCK_DGRAM, 0), on = 1, ttl = 255;
	a.sin_addr.s_addr = htonl(dst);
	setsockopt(u, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	setsockopt(u, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	for (int i = 0; i < n; i++)
		sendto(u, block, i % 2 ? 1400 : 9000, MSG_DONTWAIT, (struct sockaddr *)&a,
			sizeof(a));
	close(u);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
	close(fd);
}

/* Two bridges with many cables between them. */
static void bridges(void)
{
	int nl;
	own_net();
	nl = netlink();
	must(!new_link(nl, "bridge", "left", NULL) && !new_link(nl, "bridge", "right", NULL),
		"bridges");
	for (int i = 0; i < 30; i++) {
		char a[16], b[16];
		snprintf(a, sizeof(a), "l%d", i);
		snprintf(b, sizeof(b), "r%d", i);
		must(!new_link(nl, "veth", a, b) && !set_link(nl, a, "left") &&
				!set_link(nl, b, "right"),
			"a cable");
	}
	must(!new_addr(nl, "left", 0x0a010101, 24), "address");
	spray(0x0a0101ff, 20);
	spray(0x0a010102, 20);
}

/* Two namespaces that each take the other for the way to everywhere, and errors about that. */
static void routes_that_loop(void)
{
	int nl, there, ours;
	own_net();
	there = open("/proc/self/ns/net", O_RDONLY);
	own_net();
	ours = open("/proc/self/ns/net", O_RDONLY);
	nl = netlink();
	must(!new_link(nl, "veth", "v0", "v1"), "veth");
	struct req q;
	begin(&q, RTM_NEWLINK, 0, sizeof(q.i));
	q.i.ifi_index = (int)if_nametoindex("v1");
	attr(&q, IFLA_NET_NS_FD, &there, 4);
	must(!ask(nl, &q), "moving a link");
	must(!set_link(nl, "v0", NULL) && !new_addr(nl, "v0", 0x0a020201, 24), "v0");
	write_file("/proc/sys/net/ipv4/ip_forward", "1");
	must(setns(there, CLONE_NEWNET) == 0, "setns");
	int nl2 = netlink();
	must(!set_link(nl2, "v1", NULL) && !new_addr(nl2, "v1", 0x0a020202, 24), "v1");
	write_file("/proc/sys/net/ipv4/ip_forward", "1");
	must(!new_route(nl2, "v1", 0, 0, 0x0a020201, RT_TABLE_MAIN), "route");
	must(setns(ours, CLONE_NEWNET) == 0, "setns");
	must(!new_route(nl, "v0", 0, 0, 0x0a020202, RT_TABLE_MAIN), "route");
	for (int i = 0; i < 20; i++)
		spray(0x08080808, 100);
}

/* --- */

static const struct {
	const char *name;
	void (*run)(void);
	int times; /* children at once */
} bombs[] = {
	{"tcp_fill", tcp_fill, 2},
	{"tcp_thousand", tcp_thousand, 1},
	{"tcp_churn", tcp_churn, 1},
	{"tcp_orphans", tcp_orphans, 1},
	{"udp_fill", udp_fill, 2},
	{"unix_stream_fill", unix_stream_fill, 2},
	{"unix_dgram_fill", unix_dgram_fill, 1},
	{"raw_fill", raw_fill, 1},
	{"ring_fill", ring_fill, 1},
	{"pinned", pinned, 1},
	{"options", options, 1},
	{"configuration", configuration, 1},
	{"namespaces", namespaces, 1},
	{"events", events, 1},
	{"bridges", bridges, 1},
	{"routes_that_loop", routes_that_loop, 1},
};

/* Children run it, and hold what they have until the parent has looked. */
static void go(size_t i)
{
	int done[2], hold[2], ok = 0;
	time_t since = time(NULL);
	char c;
	must(pipe(done) == 0 && pipe(hold) == 0, "pipe");
	for (int k = 0; k < bombs[i].times; k++)
		if (fork() == 0) {
			close(hold[1]);
			bombs[i].run();
			(void)!write(done[1], "x", 1);
			(void)!read(hold[0], &c, 1); /* until the parent has closed it */
			_exit(0);
		}
	close(done[1]);
	close(hold[0]);
	while (read(done[0], &c, 1) == 1)
		if (++ok == bombs[i].times)
			break;
	goes_on(bombs[i].name);
	close(hold[1]);
	close(done[0]);
	for (int status; wait(&status) > 0;)
		must(WIFEXITED(status) && WEXITSTATUS(status) == 0, bombs[i].name);
	must(ok == bombs[i].times, bombs[i].name);
	works(bombs[i].name);
	struct rusage ru;
	getrusage(RUSAGE_CHILDREN, &ru);
	printf("after %s all is well (%ld s; %ld s of CPU so far)\n", bombs[i].name,
		(long)(time(NULL) - since), ru.ru_utime.tv_sec + ru.ru_stime.tv_sec);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct utsname u;
	if (uname(&u) || !strstr(u.release, "runsc") || getpid() != 1) {
		fprintf(stderr, "net_bombs runs only as the first process of a sandbox\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	seconds = argc > 1 ? atoi(argv[1]) : 5;
	witness_l = listen_on(&witness_port);
	must(witness_l >= 0 && connected(witness_l, witness_port, witness) == 0, "the beginning");
	for (size_t i = 0; i < sizeof(bombs) / sizeof(*bombs); i++)
		if (argc <= 3 || !strcmp(argv[3], bombs[i].name))
			go(i);
	printf("ok net_bombs\n");
	return 0;
}
