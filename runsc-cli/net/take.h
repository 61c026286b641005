/*
 * --network=sandbox: the links of the container's network namespace go over to the sentry.
 *
 * It is done when the container starts, after every hook and every client that sets a namespace up
 * between create and start.  A child enters the namespace of the anchor, reads its configuration
 * (netcfg.h), opens an AF_PACKET socket on each link and takes the addresses off the host's side,
 * so that the host's stack there stays silent; both go to the sentry by its control socket.
 */
#ifndef RUNSC_CLI_NET_TAKE_H
#define RUNSC_CLI_NET_TAKE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runsc-cli/net/outward.h"

#define NET_LINKS_MAX 64
#define NET_FDS_MAX (NET_LINKS_MAX + OUTWARD_FDS)

/*
 * Takes over what the network namespace of process pid has.  *config: netcfg.h's object, whose
 * links have in "fd" the place of their socket in fds (NET_FDS_MAX places; *nfds are used; the
 * caller's to close).  Where that namespace is the caller's own nothing is taken: *config is
 * without links.  outward: with the sockets of outward.h.
 */
int net_take(pid_t pid, bool outward, json_t **config, int *fds, size_t *nfds, struct err **err);

/* In the namespace itself: opens a socket for each link of config and puts it into fds, as above.
 */
int net_open_links(json_t *config, int *fds, size_t *nfds, struct err **err);

/* net_give_back (silence.h) from outside: ns is the namespace's file. */
void net_give_back_to(const char *ns, const json_t *config);

#endif
