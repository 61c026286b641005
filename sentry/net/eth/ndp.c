/* NDP. */
#include "sentry/net/eth/eth_priv.h"
void ndp_solicit(struct net_ns *net, struct neigh *n, const struct ip_addr *src, uint32_t probes)
{
}
