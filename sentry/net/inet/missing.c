/* What sentry/net/ip and eth do not have yet; goes with the next merge. */
#include "sentry/net/eth/neigh.h"
#include "sentry/net/inet/inet_priv.h"

__attribute__((weak)) int ip_mc_change(struct link *l, const struct ip_addr *group,
	const struct ip_mc_filter *from, const struct ip_mc_filter *to)
{
	return -ENODEV;
}
__attribute__((weak)) void icmp_port_unreachable(struct pkt *p)
{
}
__attribute__((weak)) void ip_proto_register(uint8_t proto, const struct ip_proto *ops)
{
}
__attribute__((weak)) int ip_output(struct net_ns *net, struct pkt *p, const struct flow *f,
	const struct route *rt, const struct ip_tx *tx)
{
	pkt_free(p);
	return -ENETDOWN;
}
__attribute__((weak)) void neigh_confirm(struct neigh *n)
{
}

__attribute__((weak)) void ip_raw_register(ip_raw_fn fn)
{
}
__attribute__((weak)) void ip_raw_error_register(ip_raw_error_fn fn)
{
}
__attribute__((weak)) void icmp_ping_register(const struct ip_proto *ops)
{
}
