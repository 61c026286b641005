/*
 * The configuration of a network namespace as a JSON object: what the sentry's own stack is to take
 * over (--network=sandbox).  Addresses are text, numbers those of rtnetlink(7).
 *
 *	{"links": [{"name", "index", "mac", "mtu", "flags", "fd", "vnet_hdr"}],
 *	 "down": [index],
 *	 "addrs": [{"index", "family", "local", "peer", "broadcast", "prefix", "scope", "flags"}],
 *	 "routes": [{"family", "dst", "dst_len", "table", "protocol", "scope", "type", "priority",
 *	             "tos", "prefsrc", "flags", "mtu", "advmss", "hoplimit", "initcwnd", "initrwnd",
 *	             "pref", "hops": [{"oif", "gw", "flags", "weight"}]}],
 *	 "rules": [{"family", "priority", "action", "table", "src", "src_len", "dst", "dst_len",
 *"tos", "fwmark", "fwmask", "iif", "oif", "flags", "uid_start", "uid_end"}], "neigh": [{"index",
 *"family", "dst", "mac", "state", "flags"}]}
 *
 * links: Ethernet links that are up and that no sandbox has.  down: the others but for the loopback
 * (tunnels without Ethernet, too).  routes: those of table main and the user's own, but for the
 *ones that addresses bring along.  rules: those that are not there anyway.  neigh: permanent ones.
 */
#ifndef RUNSC_CLI_NET_NETCFG_H
#define RUNSC_CLI_NET_NETCFG_H

#include <jansson.h>

#include "lib/err.h"

/* What a namespace has that we have taken links of (take.c), and netcfg_read leaves out: an address
 * of each such link, and routes of this protocol. */
#define NETCFG_RESIDENT 0x7ffffffeu /* 127.255.255.254 */
#define NETCFG_PROTOCOL 213

/* Of the caller's network namespace: 0 or -errno.  rtnl: rtnl_open's. */
int netcfg_read(int rtnl, json_t **out, struct err **err);

#endif
