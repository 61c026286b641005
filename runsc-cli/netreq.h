/*
 * The anchor's side of lib/proto/netreq.h: what it does in the container's network namespace for a
 * sentry that has no privileges there.
 *
 * The sentry is not trusted.  All that can be had here is a port below 1024, for a TCP or UDP
 * socket that it has made in that namespace, and that only if a process of the container may have
 * CAP_NET_BIND_SERVICE.
 */
#ifndef RUNSC_CLI_NETREQ_H
#define RUNSC_CLI_NETREQ_H

#include <stdbool.h>

struct netreq_policy {
	bool bind; /* CAP_NET_BIND_SERVICE is in the container's bounding set */
};

/* A message is there, or the end: answers it, without waiting.  False: nobody will ask any more. */
bool netreq_serve(int sock, const struct netreq_policy *policy);

#endif
