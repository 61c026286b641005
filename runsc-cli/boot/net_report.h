/* What `runsc debug --net` prints: a container's network as JSON. */
#ifndef RUNSC_CLI_BOOT_NET_REPORT_H
#define RUNSC_CLI_BOOT_NET_REPORT_H

#include <jansson.h>

struct net_ns;

/* Links with counters, addresses, routes, neighbours, sockets of TCP and UDP (at most 65,536), and
 * the counters of /proc/net/snmp and netstat that are not 0.  A new reference. */
json_t *net_report(struct net_ns *net);

#endif
