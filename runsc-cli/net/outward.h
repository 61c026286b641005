/*
 * Questions out of the container's network namespace.
 *
 * Docker's resolver, which serves a container from inside its network namespace on the host, asks
 * the servers that it knows from there too; but addresses and routes have gone to the sentry.  So
 * what anybody in that namespace sends to port 53 of whatever address is led to its loopback (a
 * table of one local route, and rules by port in front of the main table), where sockets that
 * belong to the sentry get it.  They answer for every address (IP_TRANSPARENT); the sentry asks the
 * server by its own stack (sentry/net/relay).
 *
 * The rules are for what starts in the namespace (iif lo).  Its interfaces stay silent.
 */
#ifndef RUNSC_CLI_NET_OUTWARD_H
#define RUNSC_CLI_NET_OUTWARD_H

#include <jansson.h>

#include "lib/err.h"

#define OUTWARD_FDS 4 /* UDP and TCP, IPv4 and IPv6 */
/* Of the route, which the rules name: nobody else's. */
#define OUTWARD_TABLE 1920298611u

/*
 * In the caller's namespace; rtnl: rtnl_open's there.  The sockets are added to fds, and config
 * gets "outward": [{"family", "udp", "fd"}].  What cannot be had is left out, with a line in the
 * log.
 */
void outward_open(int rtnl, json_t *config, int *fds, size_t *nfds);
/* Takes rules and route away. */
void outward_undo(int rtnl);

#endif
