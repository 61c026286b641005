/* See poller.h. */
#include "sentry/fs/host/poller.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>

#include "lib/hostcall.h"
#include "lib/lock.h"
#include "lib/log.h"
#include "sentry/core/waitq.h"

#define MAX_WATCHED 256 /* donated descriptors: three a process started from outside */

struct watched {
	int fd; /* -1: free */
	uint32_t events;
	struct waitq *q;
	bool added; /* in the epoll set */
};

static struct mutex poller_lock = MUTEX_INIT(LOCK_TIMER); /* below wait queues */
static struct watched watched[MAX_WATCHED];
static int epfd = -1;
static bool started;

/* Index of fd's slot, or of a free one if it has none, -1 if full. */
static int slot_of(int fd)
{
	int spare = -1;
	for (int i = 0; i < MAX_WATCHED; i++) {
		if (watched[i].q && watched[i].fd == fd)
			return i;
		if (!watched[i].q && spare < 0)
			spare = i;
	}
	return spare;
}

static void *poller_main(void *arg)
{
	struct epoll_event ev[16];
	for (;;) {
		long n = host_syscall6(SYS_epoll_pwait, epfd, HOST_ARG(ev), 16, -1, 0, 8);
		/* Of our own descriptor and buffer: nothing that a guest uses up makes it fail. */
		if (n < 0 && n != -EINTR)
			panic("host poller: epoll_wait: %ld", n);
		for (long i = 0; i < n; i++) {
			mutex_lock(&poller_lock);
			struct watched *w = &watched[ev[i].data.u32];
			/* The pair guards against a slot that was reused since. */
			if (w->q && w->fd == (int)(ev[i].data.u64 >> 32)) {
				w->events = 0;
				waitq_wake(w->q, ev[i].events);
			}
			mutex_unlock(&poller_lock);
		}
	}
	return NULL;
}

int poller_start(void)
{
	pthread_t thread;
	sigset_t all, old;
	if (started)
		return 0;
	if (epfd < 0)
		epfd = (int)host_syscall1(SYS_epoll_create1, EPOLL_CLOEXEC);
	if (epfd < 0)
		return epfd;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are other threads' business */
	int err = pthread_create(&thread, NULL, poller_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return -err;
	pthread_detach(thread);
	started = true;
	return 0;
}

int poller_arm(int fd, uint32_t events, struct waitq *q)
{
	if (!started)
		return -EIO;
	mutex_lock(&poller_lock);
	int i = slot_of(fd);
	long err = -ENOSPC;
	if (i >= 0) {
		struct watched *w = &watched[i];
		if (!w->q)
			*w = (struct watched){.fd = fd, .q = q};
		w->events |= events;
		struct epoll_event ev = {.events = w->events | EPOLLONESHOT,
			.data.u64 = (uint64_t)(uint32_t)fd << 32 | (uint32_t)i};
		err = host_syscall4(SYS_epoll_ctl, epfd, w->added ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
			fd, &ev);
		if (!err)
			w->added = true;
		else if (!w->added)
			w->q = NULL;
	}
	mutex_unlock(&poller_lock);
	return (int)err;
}

void poller_forget(int fd)
{
	mutex_lock(&poller_lock);
	int i = slot_of(fd);
	if (i >= 0 && watched[i].q) {
		if (watched[i].added)
			host_syscall4(SYS_epoll_ctl, epfd, EPOLL_CTL_DEL, fd, 0);
		watched[i] = (struct watched){.fd = -1};
	}
	mutex_unlock(&poller_lock);
}

uint32_t poller_now(int fd, uint32_t events)
{
	struct pollfd p = {.fd = fd, .events = (short)events};
	struct {
		long sec, nsec;
	} zero = {0, 0};
	long n = host_syscall6(SYS_ppoll, HOST_ARG(&p), 1, HOST_ARG(&zero), 0, 8, 0);
	return n > 0 ? (uint32_t)(uint16_t)p.revents : 0;
}
