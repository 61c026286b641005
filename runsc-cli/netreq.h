/*
 * The warden's side of lib/proto/netreq.h: what it does in the container's network namespace for a
 * sentry that has no privileges there, or is not in it.
 *
 * The sentry is not trusted.  What can be had here is
 *   - with --network=host, a port below 1024, for a TCP or UDP socket that it has made in that
 *     namespace, if a process of the container may have CAP_NET_BIND_SERVICE;
 *   - connections to the services of a list that it does not write;
 *   - if the container is a pod's, sockets that listen on that namespace's loopback.
 */
#ifndef RUNSC_CLI_NETREQ_H
#define RUNSC_CLI_NETREQ_H

#include <stdbool.h>

#include "runsc-cli/cli.h"
#include "runsc-cli/spec/spec.h"

struct netreq_policy {
	bool bind;                   /* it may have ports below 1024 */
	bool listen;                 /* and listen on the loopback */
	const struct strv *services; /* in the form of runsc-cli/boot/service.h */
};

struct netreq_policy netreq_policy(const struct cli *cli, const struct spec *spec,
	const struct strv *services);

/* A message is there, or the end: answers it, without waiting.  False: nobody will ask any more. */
bool netreq_serve(int sock, const struct netreq_policy *policy);

#endif
