/*
 * Loopback services (sentry/net/relay) as text: "ADDR:PORT/udp", "[ADDR6]:PORT/tcp"; with a "?"
 * at the end it is served only if the network that the container starts with says so.
 */
#ifndef RUNSC_CLI_BOOT_SERVICE_H
#define RUNSC_CLI_BOOT_SERVICE_H

#include "sentry/net/relay/relay.h"

/* An address of a loopback and a port: 0 or -EINVAL. */
int service_parse(const char *text, struct net_relay_service *out);

#endif
