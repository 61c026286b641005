/*
 * Which loopback services a container gets (sentry/net/relay): those of --network-loopback-proxy,
 * and docker's resolver where /etc/resolv.conf of the container names it.
 */
#ifndef RUNSC_CLI_NET_SERVICES_H
#define RUNSC_CLI_NET_SERVICES_H

#include <stdbool.h>

#include "runsc-cli/options.h"
#include "runsc-cli/spec/spec.h"

/* Adds what an argument of --network-loopback-proxy means to out, in the form of
 * runsc-cli/boot/service.h (owned by out).  0 or -EINVAL. */
int services_add(struct strv *out, const char *arg, struct err **err);
/* Does /etc/resolv.conf of the container name docker's resolver?  root: its root directory. */
bool services_want_resolver(const struct spec *spec, const char *root);
/* Is it a pod's first container under CRI?  kubectl port-forward and its like connect to the
 * loopback of the pod's namespace. */
bool services_want_listeners(const struct spec *spec);
/* Adds the resolver's, which are served if the container turns out to want them when it starts
 * (docker writes that file between create and start). */
void services_add_resolver(struct strv *out);

#endif
