/* See network.h. */
#include "sentry/kernel/network.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/syscall.h>

#include "lib/hostcall.h"
#include "lib/log.h"
#include "sentry/kernel/kernel_priv.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/link/fdlink.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/tcp/tcp.h"
#include "sentry/time/time.h"

static int add_link(struct net_ns *net, struct knet_link *k, struct err **err)
{
	struct link *l;
	struct fdlink_config cfg = {.fd = k->fd,
		.index = k->index,
		.mtu = k->mtu,
		.vnet_hdr = k->vnet_hdr,
		.offload = k->vnet_hdr ? FDLINK_TX_ALL : 0};
	memcpy(cfg.mac, k->mac, sizeof(cfg.mac));
	cfg.name = k->name;
	k->fd = -1; /* taken over, whatever comes of it */
	int r = fdlink_create(net, &cfg, &l);
	if (r < 0)
		return err_set(err, -r, "network: link %s: %s", k->name, strerror(-r));
	if (k->txqlen)
		l->txqlen = k->txqlen;
	link_put(l);
	return 0;
}

static int set_up(struct net_ns *net, const struct knet *k, struct err **err)
{
	for (size_t i = 0; i < k->nlinks; i++) {
		struct link *l = link_by_index(net, k->links[i].index);
		int r = l ? link_set_flags(l, IFF_UP, IFF_UP) : -ENODEV;
		link_put(l);
		if (r < 0)
			return err_set(err, -r, "network: cannot bring %s up: %s", k->links[i].name,
				strerror(-r));
	}
	return 0;
}

static void refused(const char *what, const struct ip_addr *a, uint32_t len, int r)
{
	char text[IP_TEXT_MAX];
	if (r >= 0 || r == -EEXIST)
		return;
	ip_format(a, text);
	log_warn("network: %s %s/%u: %s: left out", what, text, len, strerror(-r));
}

static void add_addrs(struct net_ns *net, const struct knet *k)
{
	for (size_t i = 0; i < k->naddrs; i++) {
		const struct ip_ifaddr *a = &k->addrs[i];
		struct link *l = link_by_index(net, a->index);
		if (l) /* else it is of a link that was not taken over */
			refused("address", &a->local, a->prefix_len,
				ip_addr_add(net, a, NLM_F_CREATE));
		link_put(l);
	}
}

/* A route by a gateway needs the one to the gateway: those without come first. */
static void add_routes(struct net_ns *net, const struct knet *k, bool by_gateway)
{
	for (size_t i = 0; i < k->nroutes; i++) {
		struct ip_route_info *r = &k->routes[i];
		bool gateway = r->nhops && !ip_is_any(&r->hop[0].gw);
		if (gateway == by_gateway)
			refused("route", &r->dst, r->dst_len,
				route_add(net, r, NLM_F_CREATE | NLM_F_APPEND));
	}
}

static void add_rest(struct net_ns *net, const struct knet *k)
{
	for (size_t i = 0; i < k->nrules; i++)
		refused("rule for", &k->rules[i].src, k->rules[i].src_len,
			rule_add(net, &k->rules[i], NLM_F_CREATE | NLM_F_EXCL));
	for (size_t i = 0; i < k->nneigh; i++)
		refused("neighbour", &k->neigh[i].dst, 128,
			neigh_set(net, &k->neigh[i], NLM_F_CREATE | NLM_F_REPLACE));
}

int network_serve(struct net_ns *net, bool maybe, struct net_relay **out)
{
	struct net_relay_service list[NET_RELAY_SERVICES];
	uint32_t n = 0;
	for (uint32_t i = 0; i < kern->nservices; i++)
		if (kern->services[i].maybe == maybe)
			list[n++] = kern->services[i];
	return net_relay_start(net, kern->cred, list, n, false, out);
}

/* Services that come with the network, and what they ask in turn; who listens. */
static int serve_more(struct net_ns *net, struct knet *k, struct err **err)
{
	int r = 0;
	if (!kern->resolver && k->resolver)
		r = network_serve(net, true, &kern->resolver);
	if (r == 0 && !kern->mirror && k->mirror)
		r = net_relay_start(net, kern->cred, NULL, 0, true, &kern->mirror);
	if (r < 0)
		return err_set(err, -r, "loopback services: %s", strerror(-r));
	if (!kern->resolver || !k->noutward)
		return 0;
	net_relay_give(kern->resolver, k->outward, (uint32_t)k->noutward);
	for (size_t i = 0; i < MIN(k->noutward, NET_RELAY_OUTWARD); i++)
		k->outward[i].fd = -1;
	return 0;
}

/* A link that the guest has moved elsewhere stays there, dead. */
static void remove_gone(struct net_ns *net, const struct knet *k)
{
	for (size_t i = 0; i < k->ngone_routes; i++)
		route_del(net, &k->gone_routes[i]);
	for (size_t i = 0; i < k->ngone; i++) {
		struct link *l = link_by_index(net, k->gone[i]);
		if (l && l->kind == LINK_FD)
			link_unregister(l);
		link_put(l);
	}
}

/* The first n new ones: nobody has seen them yet. */
static void remove_links(struct net_ns *net, const struct knet *k, size_t n)
{
	while (n--) {
		struct link *l = link_by_index(net, k->links[n].index);
		if (l)
			link_unregister(l);
		link_put(l);
	}
}

/* undo: links that came are not to stay if not all of them can be had. */
static int take_over(struct net_ns *net, struct knet *k, bool undo, struct err **err)
{
	int r = 0;
	size_t n = 0;
	net_cfg_lock();
	remove_gone(net, k);
	while (n < k->nlinks && (r = add_link(net, &k->links[n], err)) == 0)
		n++;
	if (r == 0)
		r = set_up(net, k, err);
	if (r < 0 && undo)
		remove_links(net, k, n);
	if (r == 0) {
		add_addrs(net, k);
		add_routes(net, k, false);
		add_routes(net, k, true);
		add_rest(net, k);
	}
	net_cfg_unlock();
	net_run();
	return r;
}

int kernel_container_network(struct kcontainer *c, struct knet *k, struct err **err)
{
	mutex_lock(&c->lock);
	bool late = c->started;
	mutex_unlock(&c->lock);
	if (late)
		return err_set(err, EINVAL, "network: the container runs already");
	int r = take_over(c->net, k, false, err);
	if (r == 0)
		r = serve_more(c->net, k, err);
	if (r == 0)
		__atomic_store_n(&kern->has_network, true, __ATOMIC_RELEASE);
	return r;
}

int kernel_network_change(struct knet *k, struct err **err)
{
	if (!__atomic_load_n(&kern->has_network, __ATOMIC_ACQUIRE))
		return err_set(err, EAGAIN, "network: it has not come yet");
	return take_over(kern->net, k, true, err);
}

struct net_ns *kernel_container_net(struct kcontainer *c)
{
	return net_ns_get(c->net);
}

/* Bytes of connections that are closed, FINs included, that are not acknowledged. */
static uint64_t unacknowledged(struct net_ns *net)
{
	struct inet_sock *s;
	struct tcp_diag d;
	uint64_t sum = 0;
	if (net->host)
		return 0;
	for (uint64_t at = 0; (s = inet_walk_next(net->inet->tcp, &at));) {
		tcp_diag(s, &d);
		if (d.state == TCP_FIN_WAIT1 || d.state == TCP_CLOSING || d.state == TCP_LAST_ACK)
			sum += d.wqueue + 1ul;
		inet_put(s);
	}
	return sum;
}

void kernel_network_linger(struct kcontainer *c)
{
	int64_t now = time_monotonic(), end = now + KERNEL_LINGER_MS * 1000000L, moved = now;
	struct timespec step = {0, 2000000};
	uint64_t left = unacknowledged(c->net);
	while (left && now < end && now < moved + KERNEL_LINGER_STUCK_MS * 1000000L) {
		host_syscall2(SYS_nanosleep, &step, NULL);
		uint64_t n = unacknowledged(c->net);
		now = time_monotonic();
		if (n != left)
			moved = now;
		left = n;
	}
}
