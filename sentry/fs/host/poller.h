/*
 * One host thread that waits, by epoll, for host descriptors on which somebody
 * in the sentry waits.  Descriptors are armed one-shot: with nobody waiting the
 * thread sleeps for good.  Not in the arena: it is host state.
 */
#ifndef SENTRY_FS_HOST_POLLER_H
#define SENTRY_FS_HOST_POLLER_H

#include <stdint.h>

struct waitq;

int poller_start(void);
/* When one of events (POLL*) comes true for fd, or it hangs up, q is woken, once.  Arming again
 * adds to the events awaited.  -EPERM: fd is always ready (a regular file); -EIO: no poller. */
int poller_arm(int fd, uint32_t events, struct waitq *q);
/* After this q is not touched any more. */
void poller_forget(int fd);
/* What poll(2) with no timeout says now. */
uint32_t poller_now(int fd, uint32_t events);

#endif
