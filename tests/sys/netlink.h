/* Netlink messages, for the programs that ask by them. */
#ifndef TESTS_SYS_NETLINK_H
#define TESTS_SYS_NETLINK_H

#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "test.h"

static inline int nl_open(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	CHECK(fd >= 0);
	return fd;
}

static inline int nl_bound(int protocol, unsigned int groups)
{
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = nl_open(protocol);
	CHECK_EQ(bind(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

/* A request: its header, a fixed part, attributes. */
struct request {
	struct nlmsghdr h;
	char body[2048];
};

static inline void *begin(struct request *r, int type, int flags, unsigned int fixed)
{
	memset(r, 0, sizeof(*r));
	r->h.nlmsg_len = NLMSG_LENGTH(fixed);
	r->h.nlmsg_type = (unsigned short)type;
	r->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	r->h.nlmsg_seq = 77;
	return r->body;
}

static inline struct rtattr *attr(struct request *r, int type, const void *data, unsigned int n)
{
	struct rtattr *a = (void *)((char *)r + NLMSG_ALIGN(r->h.nlmsg_len));
	a->rta_type = (unsigned short)type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

__attribute__((unused)) static void nest_end(struct request *r, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)r + r->h.nlmsg_len - (char *)a);
}

static inline void put(int fd, struct request *r)
{
	CHECK_EQ(send(fd, r, r->h.nlmsg_len, 0), (int)r->h.nlmsg_len);
}

/* The error that answers r, positive; -1: another kind of answer. */
static inline int answer(int fd, struct request *r)
{
	char buf[8192];
	put(fd, r);
	ssize_t n = recv(fd, buf, sizeof(buf), 0);
	struct nlmsghdr *h = (void *)buf;
	CHECK(n >= (ssize_t)sizeof(*h));
	CHECK_EQ((int)h->nlmsg_seq, 77);
	if (h->nlmsg_type != NLMSG_ERROR)
		return -1;
	return -((struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static inline const void *find_attr(const struct nlmsghdr *h, unsigned int fixed, int type)
{
	const struct rtattr *a = (const void *)((const char *)h + NLMSG_SPACE(fixed));
	int n = (int)h->nlmsg_len - (int)NLMSG_SPACE(fixed);
	for (; RTA_OK(a, n); a = RTA_NEXT(a, n))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return RTA_DATA(a);
	return NULL;
}

/* A network namespace of the case's own: a socket in it. */
static inline int own_net(void)
{
	struct request r;
	CHECK_EQ(unshare(CLONE_NEWNET), 0);
	int fd = nl_bound(NETLINK_ROUTE, 0);
	struct ifinfomsg *m = begin(&r, RTM_NEWLINK, NLM_F_ACK, sizeof(*m));
	m->ifi_index = 1;
	m->ifi_flags = m->ifi_change = IFF_UP;
	CHECK_EQ(answer(fd, &r), 0);
	return fd;
}

#endif
