/*
 * The host's side of links that the sentry has (take.h): its stack is to stay silent there, but
 * whoever manages the namespace is to find it as he would without us.
 *
 * Addresses go; what they made reachable stays so by a route of our own, so that routes by gateways
 * can be added and removed (docker network connect).  An address of the loopback's network holds
 * the link's routes together; nobody is answered at it.  The link does not forward, and has no
 * IPv6.
 */
#ifndef RUNSC_CLI_NET_SILENCE_H
#define RUNSC_CLI_NET_SILENCE_H

#include <jansson.h>

#include "lib/err.h"

/* All of these are in the namespace.  config: netcfg.h's object, of which every address is of one
 * of its links or of one that is silent already; rtnl: rtnl_open's. */
int net_silence(int rtnl, const json_t *config, struct err **err);

/*
 * Gives addresses and routes back to the host's side, for the next container in the same namespace;
 * what cannot be had again is named in the log.
 */
void net_give_back(const json_t *config);

/* --- of such an object --- */
int json_int(const json_t *o, const char *key);
const char *json_text(const json_t *o, const char *key); /* "?" if absent */
json_t *net_find_link(const json_t *config, int index);

#endif
