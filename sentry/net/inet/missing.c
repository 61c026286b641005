/* Until sentry/net/ip is there. */
#include "sentry/net/inet/inet_priv.h"
#include "sentry/net/ip/addr.h"

__attribute__((weak)) int route_lookup(struct net_ns *net, const struct flow *f, struct route *rt)
{
	return -ENETUNREACH;
}
__attribute__((weak)) bool route_valid(const struct net_ns *net, const struct route *rt)
{
	return false;
}
__attribute__((weak)) void route_put(struct route *rt)
{
}
__attribute__((weak)) uint8_t ip_addr_type(struct net_ns *net, const struct ip_addr *a, int32_t oif)
{
	return RTN_UNICAST;
}
__attribute__((weak)) bool ip_addr_is_local(struct net_ns *net, const struct ip_addr *a,
	int32_t oif)
{
	return false;
}
