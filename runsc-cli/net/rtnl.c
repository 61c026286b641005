/* See rtnl.h. */
#include "runsc-cli/net/rtnl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/compiler.h"

#define DUMP_BUFFER 65536 /* the kernel makes no larger pieces */

int rtnl_open(struct err **err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	return fd < 0 ? err_errno(err, errno, "netlink socket") : fd;
}

static int send_message(int fd, const struct nlmsghdr *h)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;
	do
		n = sendto(fd, h, h->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static ssize_t receive(int fd, void *buf, size_t size)
{
	ssize_t n;
	do
		n = recv(fd, buf, size, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The error that a message of type NLMSG_ERROR, or the end of a dump, tells. */
static int error_of(const struct nlmsghdr *h)
{
	int code = 0;
	if (h->nlmsg_len >= NLMSG_LENGTH(sizeof(code)))
		memcpy(&code, NLMSG_DATA(h), sizeof(code));
	return code;
}

/* One piece of a dump; *done at its end. */
static int take_piece(const char *buf, size_t n, rtnl_fn fn, void *arg, bool *done,
	struct err **err)
{
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	for (unsigned int left = (unsigned int)n; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		int ret = 0;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
			*done = true;
			ret = error_of(h);
			return ret ? err_errno(err, -ret, "netlink dump") : 0;
		}
		ret = fn(h, arg, err);
		if (ret)
			return ret;
	}
	return 0;
}

int rtnl_dump(int fd, int type, int family, rtnl_fn fn, void *arg, struct err **err)
{
	static _Alignas(struct nlmsghdr) char buf[DUMP_BUFFER];
	struct {
		struct nlmsghdr h;
		struct rtmsg m; /* at least as long as the header of each type asked for here */
	} rq = {.h = {.nlmsg_len = sizeof(rq),
			.nlmsg_type = (uint16_t)type,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.m = {.rtm_family = (unsigned char)family}};
	bool done = false;
	int ret = send_message(fd, &rq.h);
	if (ret)
		return err_errno(err, -ret, "netlink");
	while (!ret && !done) {
		ssize_t n = receive(fd, buf, sizeof(buf));
		ret = n < 0 ? err_errno(err, (int)-n, "netlink")
			    : take_piece(buf, (size_t)n, fn, arg, &done, err);
	}
	return ret;
}

int rtnl_request(int fd, struct nlmsghdr *h)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	int ret = send_message(fd, h);
	if (ret)
		return ret;
	ssize_t n = receive(fd, buf, sizeof(buf));
	const struct nlmsghdr *answer = (const struct nlmsghdr *)buf;
	if (n < 0)
		return (int)n;
	return NLMSG_OK(answer, (unsigned int)n) && answer->nlmsg_type == NLMSG_ERROR
		       ? error_of(answer)
		       : -EPROTO;
}

void rtnl_put(struct rtnl_msg *rq, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)rq + NLMSG_ALIGN(rq->h.nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	rq->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(rq->h.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static void collect(const struct rtattr *a, int left, const struct rtattr **tb, size_t n)
{
	memset(tb, 0, n * sizeof(*tb));
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		size_t type = a->rta_type & NLA_TYPE_MASK;
		if (type < n && !tb[type])
			tb[type] = a;
	}
}

void rtnl_attrs(const struct nlmsghdr *h, size_t hdr_len, const struct rtattr **tb, size_t n)
{
	size_t off = NLMSG_LENGTH(NLMSG_ALIGN(hdr_len));
	int left = h->nlmsg_len > off ? (int)(h->nlmsg_len - off) : 0;
	collect((const struct rtattr *)((const char *)h + off), left, tb, n);
}

void rtnl_nest(const struct rtattr *nest, const struct rtattr **tb, size_t n)
{
	collect(RTA_DATA(nest), (int)RTA_PAYLOAD(nest), tb, n);
}

uint32_t rtnl_u32(const struct rtattr *a)
{
	uint32_t v = 0;
	if (a && RTA_PAYLOAD(a) >= sizeof(v))
		memcpy(&v, RTA_DATA(a), sizeof(v));
	return v;
}
