/* What a privileged process does for us in the network namespace: lib/proto/netreq.h. */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "lib/proto/netreq.h"
#include "sentry/core/root.h"
#include "sentry/net/host/host_priv.h"

#define ANSWER_MS 10000 /* the warden answers at once, or not at all */

struct host_requests {
	struct mutex lock; /* LOCK_GOFER: one request at a time */
	handle_t sock GUARDED_BY_MEMBER(lock);
};
static struct host_requests *requests RO_AFTER_INIT;

static void requests_init(void)
{
	mutex_init(&requests->lock, LOCK_GOFER);
}
KERNEL_UNIT("requests to the warden", requests, requests_init);

void host_requests_init(int fd) NO_THREAD_SAFETY
{
	const struct handle_origin from = {.kind = HANDLE_ANCHOR};
	requests->sock = handle_new_fd(fd, &from);
}

static int send_request(int sock, const struct netreq *rq, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c = {{0}};
	struct iovec iov = {(void *)(uintptr_t)rq, sizeof(*rq)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = fd >= 0 ? c.buf : NULL,
		.msg_controllen = fd >= 0 ? sizeof(c.buf) : 0};
	c.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(fd)),
		.cmsg_level = SOL_SOCKET,
		.cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&c.align), &fd, sizeof(fd));
	long n = host_syscall3(SYS_sendmsg, sock, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? (int)n : 0;
}

static int wait_answer(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	long n;
	do
		n = host_syscall3(SYS_poll, &p, 1, ANSWER_MS);
	while (n == -EINTR);
	return n > 0 ? 0 : -ETIMEDOUT;
}

/* fd: what came with it, -1: nothing. */
static int take_answer(int sock, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} c;
	struct netreq_reply r;
	struct iovec iov = {&r, sizeof(r)};
	struct msghdr h = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = CMSG_LEN(sizeof(int))};
	long n = host_syscall3(SYS_recvmsg, sock, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	*fd = -1;
	if (n == sizeof(r) && h.msg_controllen == CMSG_LEN(sizeof(int)) &&
		c.align.cmsg_level == SOL_SOCKET && c.align.cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(&c.align), sizeof(*fd));
	return n == sizeof(r) && r.err <= 0 ? r.err : -EIO;
}

/* with: a descriptor to send along, -1: none.  *fd: what came back. */
static int request(const struct netreq *rq, int with, int *fd)
{
	MUTEX_GUARD(&requests->lock);
	int sock = handle_fd(requests->sock);
	*fd = -1;
	if (sock < 0)
		return -EACCES;
	int err = send_request(sock, rq, with);
	if (!err)
		err = wait_answer(sock);
	if (!err)
		return take_answer(sock, fd);
	/* A late answer would be taken for the next request's. */
	log_warn("the warden does not answer: %d", err);
	handle_close(requests->sock);
	requests->sock = HANDLE_NONE;
	return -EACCES;
}

int host_bind_privileged(int fd, const struct sock_addr *a)
{
	struct netreq rq = {.op = NETREQ_BIND, .addr_len = a->len};
	int none;
	if (a->len > sizeof(rq.addr))
		return -EACCES;
	memcpy(rq.addr, &a->sa, a->len);
	int err = request(&rq, fd, &none);
	if (none >= 0)
		host_close(none);
	return err;
}

static int request_fd(const struct netreq *rq)
{
	int fd, err = request(rq, -1, &fd);
	if (!err)
		return fd >= 0 ? fd : -EIO;
	if (fd >= 0)
		host_close(fd);
	return err;
}

int host_request_open(uint32_t service)
{
	const struct netreq rq = {.op = NETREQ_OPEN, .service = service};
	return request_fd(&rq);
}

int host_request_listen(const struct sock_addr *a)
{
	struct netreq rq = {.op = NETREQ_LISTEN, .addr_len = a->len};
	if (a->len > sizeof(rq.addr))
		return -EINVAL;
	memcpy(rq.addr, &a->sa, a->len);
	return request_fd(&rq);
}
