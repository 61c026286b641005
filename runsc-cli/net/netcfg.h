/*
 * The configuration of a network namespace as a JSON object: what the sentry's own stack is to take
 * over (--network=sandbox).  Addresses are text, numbers those of rtnetlink(7).
 *
 *	{"links": [{"name", "index", "mac", "mtu", "flags", "fd", "vnet_hdr"}],
 *	 "addrs": [{"index", "family", "local", "peer", "broadcast", "prefix", "scope", "flags"}],
 *	 "routes": [{"family", "dst", "dst_len", "table", "protocol", "scope", "type", "priority",
 *	             "tos", "prefsrc", "flags", "mtu", "advmss", "hoplimit", "initcwnd", "initrwnd",
 *	             "pref", "hops": [{"oif", "gw", "flags", "weight"}]}],
 *	 "rules": [{"family", "priority", "action", "table", "src", "src_len", "dst", "dst_len",
 *"tos", "fwmark", "fwmask", "iif", "oif", "flags", "uid_start", "uid_end"}], "neigh": [{"index",
 *"family", "dst", "mac", "state", "flags"}]}
 *
 * links: Ethernet links that are up; the others (tunnels without Ethernet) are named in the log and
 * left out.  routes: those of table main and the user's own, but for the ones that addresses bring
 * along.  rules: those that are not there anyway.  neigh: permanent ones.
 */
#ifndef RUNSC_CLI_NET_NETCFG_H
#define RUNSC_CLI_NET_NETCFG_H

#include <jansson.h>

#include "lib/err.h"

/* Of the caller's network namespace: 0 or -errno.  rtnl: rtnl_open's. */
int netcfg_read(int rtnl, json_t **out, struct err **err);

#endif
