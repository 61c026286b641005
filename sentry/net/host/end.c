/* See end.h. */
#include "sentry/net/host/end.h"

#include <errno.h>

#include "lib/hostcall.h"

int host_end_open(struct host_end *e, struct socket *sk, int fd)
{
	const struct handle_origin from = {.kind = HANDLE_HOST_SOCKET};
	*e = (struct host_end){.sk = sk, .host = handle_new_fd(fd, &from)};
	if (e->host)
		e->poll = hostpoll_add(fd, &sk->pollq);
	return e->poll ? 0 : -ENFILE;
}

void host_end_close(struct host_end *e)
{
	hostpoll_remove(e->poll);
	handle_close(e->host);
	e->poll = 0;
	e->host = HANDLE_NONE;
}

int host_end_wait(struct ctx *ctx, struct host_end *e, uint32_t events, int64_t deadline)
{
	struct waiter w;
	waiter_init_ctx(&w, ctx, events);
	waitq_add(&e->sk->pollq, &w);
	/* It tells what is true already, so nothing is lost in between. */
	int err = hostpoll_arm(e->poll, events);
	if (!err)
		err = ctx_block(ctx, deadline);
	waitq_del(&w);
	return err;
}

void host_end_rearm(struct host_end *e, uint32_t events)
{
	if (!list_empty(&e->sk->pollq.waiters))
		hostpoll_arm(e->poll, events);
}

uint32_t host_end_poll(struct host_end *e, bool watched)
{
	uint32_t now = hostpoll_now(host_end_fd(e), HOST_WATCHED | POLLRDBAND | POLLWRBAND);
	/* A hang-up and an error would come again for ever: what ends them arms again. */
	if (watched && !(now & (POLLHUP | POLLERR)))
		hostpoll_arm(e->poll, HOST_WATCHED & ~now);
	return now;
}

int host_end_accept(struct ctx *ctx, struct host_end *e, bool nonblock, int flags)
{
	int64_t timeo = nonblock ? 0 : e->sk->rcvtimeo, deadline = sock_deadline(timeo);
	int waited = 0;
	for (;;) {
		int fd = (int)host_syscall4(SYS_accept4, host_end_fd(e), 0, 0, flags);
		if (fd == -EINTR)
			continue;
		if (fd >= 0 || fd == -EAGAIN)
			host_end_rearm(e, HOST_IN);
		if (fd != -EAGAIN || timeo == 0)
			return fd;
		if (waited)
			return sock_wait_error(ctx, waited, timeo);
		waited = host_end_wait(ctx, e, HOST_IN, deadline);
	}
}
