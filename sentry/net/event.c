/* See event.h. */
#include "sentry/net/event.h"

#include "lib/log.h"
#include "lib/ro_after_init.h"

#define LISTENERS_MAX 8

static struct {
	net_event_fn fn[LISTENERS_MAX];
	uint32_t n;
} listeners RO_AFTER_INIT;

void net_event_register(net_event_fn fn)
{
	BUG_ON(listeners.n == LISTENERS_MAX);
	listeners.fn[listeners.n++] = fn;
}

void net_event_send(struct net_ns *net, enum net_event ev, void *arg)
{
	for (uint32_t i = 0; i < listeners.n; i++)
		listeners.fn[i](net, ev, arg);
}
