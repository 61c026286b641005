/*
 * The network that a container begins with (--network=sandbox): links over descriptors that the
 * command line opened, and their addresses, routes, rules and neighbours as they were in the
 * container's network namespace on the host.
 */
#ifndef SENTRY_KERNEL_NETWORK_H
#define SENTRY_KERNEL_NETWORK_H

#include "lib/err.h"
#include "sentry/net/eth/neigh.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/route.h"
#include "sentry/net/relay/relay.h"

struct kcontainer;

struct knet_link {
	int fd; /* an AF_PACKET socket that is bound to the link; -1 once it was taken over */
	const char *name;
	int32_t index;
	uint8_t mac[6];
	uint32_t mtu, txqlen;
	bool vnet_hdr; /* a struct virtio_net_hdr is before each frame */
};

struct knet {
	struct knet_link *links;
	struct ip_ifaddr *addrs;
	struct ip_route_info *routes;
	struct ip_rule_info *rules;
	struct neigh_info *neigh;
	struct net_relay_outward *outward; /* fd: -1 once it was taken over */
	/* Of a change: links (index) and routes that are gone, before what is new. */
	int32_t *gone;
	struct ip_route_info *gone_routes;
	size_t ngone, ngone_routes;
	bool mirror;   /* those who listen inside do so on the host's loopback, too */
	bool resolver; /* services that may be there (net_relay_service.maybe) are */
	size_t nlinks, naddrs, nroutes, nrules, nneigh, noutward;
};

/*
 * Before the container starts.  What the host's kernel had is
 * taken to be consistent: an address or route that ours refuses is logged and left out, a link that
 * cannot be made is an error.
 */
int kernel_container_network(struct kcontainer *c, struct knet *net, struct err **err);
/* Of the sandbox, while its containers run: all of it, or nothing but what is gone.  -EAGAIN: its
 * network has not come yet. */
int kernel_network_change(struct knet *net, struct err **err);
/* The container's network namespace, with a reference. */
struct net_ns *kernel_container_net(struct kcontainer *c);

#endif
