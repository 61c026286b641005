#include "runsc-cli/netreq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/proto/netreq.h"

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

bool netreq_serve(int sock, const struct netreq_policy *policy)
{
	struct netreq rq;
	ssize_t n;
	int in;
	if (!receive(sock, &rq, &n, &in))
		return false;
	FD_AUTO int fd = in;
	if (n < 0)
		return true;
	struct netreq_reply r = {.err = -EINVAL};
	if (n == sizeof(rq) && rq.op == NETREQ_BIND && fd >= 0)
		r.err = do_bind(fd, &rq, policy);
	/* Who does not read his answers gets none. */
	return send(sock, &r, sizeof(r), MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(r);
}
