#include "runsc-cli/netreq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/proto/netreq.h"
#include "runsc-cli/boot/service.h"
#include "runsc-cli/net/services.h"

/* The request and the descriptor that came with it, -1: none.  False: the end. */
static bool receive(int sock, struct netreq *rq, ssize_t *n, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))]; /* the host closes what does not fit */
	} c;
	struct iovec iov = {rq, sizeof(*rq)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = sizeof(c.buf)};
	*fd = -1;
	*n = recvmsg(sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (*n < 0)
		return errno == EAGAIN || errno == EINTR;
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	if (m && m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS &&
		m->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(m), sizeof(*fd));
	return *n > 0;
}

static int option(int fd, int name)
{
	int v;
	socklen_t len = sizeof(v);
	return getsockopt(fd, SOL_SOCKET, name, &v, &len) < 0 ? -1 : v;
}

static int do_bind(int fd, const struct netreq *rq, const struct netreq_policy *policy)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;
	if (!policy->bind)
		return -EACCES;
	if (rq->addr_len > sizeof(a) || rq->addr_len < sizeof(a.in))
		return -EINVAL;
	memset(&a, 0, sizeof(a));
	memcpy(&a, rq->addr, rq->addr_len);
	int family = option(fd, SO_DOMAIN), protocol = option(fd, SO_PROTOCOL);
	if ((family != AF_INET && family != AF_INET6) || a.sa.sa_family != family)
		return -EINVAL;
	if (family == AF_INET6 && rq->addr_len != sizeof(a.in6))
		return -EINVAL;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return -EINVAL;
	/* Both have it at the same place. */
	uint16_t port = ntohs(a.in.sin_port);
	if (!port || port >= IPPORT_RESERVED)
		return -EINVAL;
	return bind(fd, &a.sa, rq->addr_len) < 0 ? -errno : 0;
}

/* What netreq's address is, if it is one of TCP's on the loopback. */
static socklen_t loopback_of(const struct netreq *rq, struct sockaddr_storage *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	memset(out, 0, sizeof(*out));
	if (rq->addr_len > sizeof(rq->addr))
		return 0;
	memcpy(out, rq->addr, rq->addr_len);
	if (rq->addr_len == sizeof(*in) && in->sin_family == AF_INET && in->sin_port &&
		in->sin_addr.s_addr == htonl(INADDR_LOOPBACK))
		return sizeof(*in);
	if (rq->addr_len == sizeof(*in6) && in6->sin6_family == AF_INET6 && in6->sin6_port &&
		IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr))
		return sizeof(*in6);
	return 0;
}

static int do_listen(const struct netreq *rq, const struct netreq_policy *policy, int *out)
{
	struct sockaddr_storage a;
	int on = 1;
	if (!policy->listen)
		return -EACCES;
	socklen_t len = loopback_of(rq, &a);
	if (!len)
		return -EINVAL;
	FD_AUTO int fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

/* A connection to a service that is under way is one: the sentry waits for it. */
static int do_open(uint32_t n, const struct netreq_policy *policy, int *out)
{
	struct net_relay_service s;
	if (n >= policy->services->n || service_parse(policy->services->v[n], &s) < 0)
		return -EINVAL;
	FD_AUTO int fd = socket(s.addr.family,
		(s.udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&s.addr.sa, s.addr.len) < 0 && errno != EINPROGRESS)
		return -errno;
	*out = take_fd(&fd);
	return 0;
}

/* Who does not read his answers gets none. */
static bool answer(int sock, int err, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c;
	struct netreq_reply r = {.err = err};
	struct iovec iov = {&r, sizeof(r)};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fd >= 0) {
		h.msg_control = c.buf;
		h.msg_controllen = CMSG_LEN(sizeof(fd));
		c.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&c.align), &fd, sizeof(fd));
	}
	return sendmsg(sock, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(r);
}

bool netreq_serve(int sock, const struct netreq_policy *policy)
{
	struct netreq rq;
	ssize_t n;
	int in;
	if (!receive(sock, &rq, &n, &in))
		return false;
	FD_AUTO int fd = in;
	FD_AUTO int opened = -1;
	if (n < 0)
		return true;
	int err = -EINVAL;
	if (n == sizeof(rq) && rq.op == NETREQ_BIND && fd >= 0)
		err = do_bind(fd, &rq, policy);
	else if (n == sizeof(rq) && rq.op == NETREQ_OPEN)
		err = do_open(rq.service, policy, &opened);
	else if (n == sizeof(rq) && rq.op == NETREQ_LISTEN)
		err = do_listen(&rq, policy, &opened);
	return answer(sock, err, opened);
}

struct netreq_policy netreq_policy(const struct cli *cli, const struct spec *spec,
	const struct strv *services)
{
	return (struct netreq_policy){
		.bind = !strcmp(cli->network, "host") &&
			(spec->process.caps[SPEC_CAP_BOUNDING] >> CAP_NET_BIND_SERVICE & 1),
		.listen = !strcmp(cli->network, "sandbox") && services_want_listeners(spec),
		.services = services};
}
