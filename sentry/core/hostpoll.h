/*
 * Waiting for host descriptors: one host thread that sleeps in epoll and wakes
 * the wait queues of those in the sentry who have asked for an event.
 *
 * Who owns a descriptor registers it (hostpoll_add) and keeps the registration,
 * a number, beside it; that costs nothing on the host.  Whoever waits arms it:
 * the first of the events that comes true wakes the queue, once.  With nobody
 * waiting the thread sleeps for good.  The owner removes the registration before
 * it closes the descriptor: after that its queue is not touched any more, whatever
 * events are under way, and neither is who gets the same number next.
 *
 * Locks: all of these may be called with any lock ranked below LOCK_HOSTPOLL; none
 * blocks.  The queue is woken under the registration's lock.
 *
 * Registrations are host state and lie outside the arena: a descriptor's number and
 * what epoll knows of it mean nothing in another process.  Who restores an object
 * registers its descriptor anew.
 */
#ifndef SENTRY_CORE_HOSTPOLL_H
#define SENTRY_CORE_HOSTPOLL_H

#include <stdint.h>

#include "lib/compiler.h"

struct waitq;

/* A registration: slot and generation (hostpoll.c).  0 is none. */
typedef uint64_t hostpoll_t;

/* Starts the thread; after sealing, when threads may start.  0 or -errno. */
int hostpoll_start(void);
/* Events of fd are to wake q, which outlives the registration.  0: there are HOSTPOLL_MAX
 * already, or there is no memory for more. */
hostpoll_t hostpoll_add(int fd, struct waitq *q) WARN_UNUSED;
#define HOSTPOLL_MAX (1u << 20)
/* When one of events (POLL*) comes true, or is already, or the descriptor hangs up, the queue is
 * woken, once.  Arming again adds to the events awaited.  -EPERM: it is always ready (a regular
 * file); -EIO: not started; -ENOMEM and -ENOSPC of the host. */
int hostpoll_arm(hostpoll_t id, uint32_t events);
/* Once, before the descriptor is closed.  id may be 0. */
void hostpoll_remove(hostpoll_t id);
/* What poll(2) with no timeout says now of any descriptor. */
uint32_t hostpoll_now(int fd, uint32_t events);

#endif
