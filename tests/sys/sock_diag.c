/* sock_diag(7): TCP, UDP, AF_UNIX sockets, filters, SOCK_DESTROY. */
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <net/if.h>

#include "test.h"

static int own_net(void)
{
	struct ifreq r = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
	fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	CHECK(fd >= 0);
	return fd;
}

static int listener(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
	CHECK_EQ(listen(fd, 7), 0);
	CHECK_EQ(getsockname(fd, (void *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static int to(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((unsigned short)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_EQ(connect(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

struct query {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
	char more[256];
};

static void begin(struct query *q, int type, int flags, int protocol, unsigned int states)
{
	memset(q, 0, sizeof(*q));
	q->h.nlmsg_len = NLMSG_LENGTH(sizeof(q->r));
	q->h.nlmsg_type = (unsigned short)type;
	q->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	q->r.sdiag_family = AF_INET;
	q->r.sdiag_protocol = (unsigned char)protocol;
	q->r.idiag_states = states;
	q->r.id.idiag_cookie[0] = q->r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
}

static struct inet_diag_msg found[16];

/* How many answers; found has them. */
static int ask(int fd, struct query *q)
{
	char buf[16384];
	int n, count = 0;
	CHECK_EQ((int)send(fd, q, q->h.nlmsg_len, 0), (int)q->h.nlmsg_len);
	for (;;) {
		n = (int)recv(fd, buf, sizeof(buf), 0);
		CHECK(n > 0);
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, (unsigned int)n);
			h = NLMSG_NEXT(h, n)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return count;
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			CHECK_EQ((int)h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
			memcpy(&found[count++ & 15], NLMSG_DATA(h), sizeof(found[0]));
			if (!(h->nlmsg_flags & NLM_F_MULTI))
				return count;
		}
	}
}

TEST(tcp)
{
	struct query q;
	int fd = own_net(), port, l = listener(&port), c = to(port), a = accept(l, NULL, NULL);
	CHECK(a >= 0);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, ~0u);
	CHECK_EQ(ask(fd, &q), 3);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, 1u << 10);
	CHECK_EQ(ask(fd, &q), 1);
	CHECK_EQ((int)found[0].idiag_state, 10);
	CHECK_EQ((int)ntohs(found[0].id.idiag_sport), port);
	CHECK_EQ((int)found[0].idiag_wqueue, 7);
	struct stat st;
	CHECK_EQ(fstat(l, &st), 0);
	CHECK_EQ((unsigned long)found[0].idiag_inode, st.st_ino);
	CHECK_EQ((int)send(c, "hello", 5, 0), 5);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, 1u << 1);
	q.r.id.idiag_sport = htons((unsigned short)port);
	CHECK_EQ(ask(fd, &q), 1);
	CHECK_EQ((int)found[0].idiag_rqueue, 5);
	CHECK_EQ(found[0].id.idiag_src[0], htonl(INADDR_LOOPBACK));
	/* That very one, by its names and its cookie. */
	begin(&q, SOCK_DIAG_BY_FAMILY, 0, IPPROTO_TCP, ~0u);
	q.r.id = found[0].id;
	CHECK_EQ(ask(fd, &q), 1);
	q.r.id.idiag_cookie[0]++;
	CHECK_EQ(ask(fd, &q), -ENOENT);
	q.r.id.idiag_dport = htons(1);
	CHECK_EQ(ask(fd, &q), -ENOENT);
}

static void code(struct query *q, const struct inet_diag_bc_op *ops, int n)
{
	struct rtattr *a = (void *)q->more;
	a->rta_type = INET_DIAG_REQ_BYTECODE;
	a->rta_len = (unsigned short)RTA_LENGTH(n * sizeof(*ops));
	memcpy(RTA_DATA(a), ops, n * sizeof(*ops));
	q->h.nlmsg_len = (unsigned int)(NLMSG_SPACE(sizeof(q->r)) + RTA_ALIGN(a->rta_len));
}

TEST(filter)
{
	struct query q;
	int fd = own_net(), port, l = listener(&port), c = to(port);
	CHECK(l >= 0 && c >= 0);
	struct inet_diag_bc_op is_port[] = {{INET_DIAG_BC_S_EQ, 8, 12},
		{0, 0, (unsigned short)port}};
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, 1u << 10);
	code(&q, is_port, 2);
	CHECK_EQ(ask(fd, &q), 1);
	is_port[1].no = 1;
	code(&q, is_port, 2);
	CHECK_EQ(ask(fd, &q), 0);
	/* Jumps that lead nowhere are refused. */
	is_port[0].yes = 6;
	code(&q, is_port, 2);
	CHECK(ask(fd, &q) < 0);
	is_port[0].yes = 8;
	is_port[0].no = 400;
	code(&q, is_port, 2);
	CHECK(ask(fd, &q) < 0);
}

TEST(udp)
{
	struct query q;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(4660)};
	int fd = own_net(), u = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_EQ(bind(u, (void *)&a, sizeof(a)), 0);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_UDP, ~0u);
	CHECK_EQ(ask(fd, &q), 1);
	CHECK_EQ((int)found[0].idiag_state, 7);
	CHECK_EQ((int)ntohs(found[0].id.idiag_sport), 4660);
}

TEST(destroy)
{
	struct query q;
	char b;
	int fd = own_net(), port, l = listener(&port), c = to(port), a = accept(l, NULL, NULL);
	CHECK(a >= 0);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, 1u << 1);
	q.r.id.idiag_dport = htons((unsigned short)port);
	CHECK_EQ(ask(fd, &q), 1);
	begin(&q, SOCK_DESTROY, NLM_F_ACK, IPPROTO_TCP, ~0u);
	q.r.id = found[0].id;
	CHECK_EQ(ask(fd, &q), 0);
	CHECK_ERRNO(recv(c, &b, 1, 0), ECONNABORTED);
	CHECK_ERRNO(recv(a, &b, 1, 0), ECONNRESET);
	CHECK_EQ(ask(fd, &q), -ENOENT);
}

TEST(unix_sockets)
{
	struct {
		struct nlmsghdr h;
		struct unix_diag_req r;
	} q = {.h = {sizeof(q), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0},
		.r = {.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_show = UDIAG_SHOW_PEER,
			.udiag_cookie = {~0u, ~0u}}};
	char buf[4096];
	struct nlmsghdr *h = (void *)buf;
	struct stat st[2];
	int fd = own_net(), sv[2];
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	CHECK_EQ(fstat(sv[0], &st[0]), 0);
	CHECK_EQ(fstat(sv[1], &st[1]), 0);
	q.r.udiag_ino = (unsigned int)st[0].st_ino;
	CHECK_EQ((int)send(fd, &q, sizeof(q), 0), (int)sizeof(q));
	int n = (int)recv(fd, buf, sizeof(buf), 0);
	struct unix_diag_msg *m = NLMSG_DATA(h);
	CHECK_EQ((int)h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
	CHECK_EQ((int)m->udiag_state, 1);
	CHECK_EQ((int)m->udiag_type, SOCK_STREAM);
	struct rtattr *a = (void *)(m + 1);
	for (n -= (int)NLMSG_LENGTH(sizeof(*m)); RTA_OK(a, n); a = RTA_NEXT(a, n))
		if (a->rta_type == UNIX_DIAG_PEER)
			CHECK_EQ(*(unsigned int *)RTA_DATA(a), (unsigned int)st[1].st_ino);
	q.r.udiag_ino = 0x7ffffff0;
	CHECK_EQ((int)send(fd, &q, sizeof(q), 0), (int)sizeof(q));
	recv(fd, buf, sizeof(buf), 0);
	CHECK_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -ENOENT);
}

TEST(refused)
{
	struct query q;
	int fd = own_net();
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, ~0u);
	q.r.sdiag_family = 200;
	CHECK_EQ(ask(fd, &q), -EINVAL);
	begin(&q, 77, 0, IPPROTO_TCP, ~0u);
	CHECK_EQ(ask(fd, &q), -EINVAL);
	int port, l = listener(&port);
	CHECK(l >= 0);
	begin(&q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, IPPROTO_TCP, 1u << 10);
	CHECK_EQ(ask(fd, &q), 1);
	begin(&q, SOCK_DESTROY, 0, IPPROTO_TCP, ~0u);
	CHECK_EQ(ask(fd, &q), -ENOENT);
	q.r.id = found[0].id;
	CHECK_EQ(setuid(1234), 0);
	CHECK_EQ(ask(fd, &q), -EPERM);
}
