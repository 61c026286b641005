/* See net_report.h. */
#include "runsc-cli/boot/net_report.h"

#include <stdio.h>

#include "sentry/net/eth/neigh.h"
#include "sentry/net/inet/table.h"
#include "sentry/net/ip/addr.h"
#include "sentry/net/ip/route.h"
#include "sentry/net/net_ns.h"
#include "sentry/net/tcp/tcp.h"

#define SOCKETS_MAX 65536u

static json_t *address(const struct ip_addr *a)
{
	char text[IP_TEXT_MAX];
	ip_format(a, text);
	return json_string(text);
}

static json_t *prefix(const struct ip_addr *a, unsigned int len)
{
	char text[IP_TEXT_MAX];
	ip_format(a, text);
	return json_sprintf("%s/%u", text, len);
}

static json_t *mac(const uint8_t *m)
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static json_t *number(const uint64_t *v)
{
	return json_integer((json_int_t)READ_ONCE(*v));
}

static json_t *links(struct net_ns *net)
{
	json_t *list = json_array();
	struct link *l;
	for (int32_t at = 0; (l = link_next(net, at)); link_put(l)) {
		const struct link_stats *s = &l->stats;
		at = l->index;
		json_array_append_new(list,
			json_pack("{s:s#,s:i,s:s*,s:o,s:b,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",
				"name", l->name, (int)strnlen(l->name, LINK_NAME_MAX), "index",
				l->index, "kind", link_ops(l)->name, "address", mac(l->addr), "up",
				link_is_up(l), "mtu", (int)READ_ONCE(l->mtu), "rx_packets",
				number(&s->rx_packets), "rx_bytes", number(&s->rx_bytes),
				"rx_errors", number(&s->rx_errors), "rx_dropped",
				number(&s->rx_dropped), "tx_packets", number(&s->tx_packets),
				"tx_bytes", number(&s->tx_bytes), "tx_errors",
				number(&s->tx_errors), "tx_dropped", number(&s->tx_dropped)));
	}
	return list;
}

static json_t *addresses(struct net_ns *net)
{
	json_t *list = json_array();
	struct ip_addr_walk w = {0};
	struct ip_ifaddr a;
	while (ip_addr_walk_next(net, &w, &a))
		json_array_append_new(list,
			json_pack("{s:i,s:o,s:I}", "link", a.index, "address",
				prefix(&a.local, a.prefix_len), "flags", (json_int_t)a.flags));
	return list;
}

static json_t *routes(struct net_ns *net, uint8_t family, json_t *list)
{
	struct route_walk w = {.family = family};
	struct ip_route_info r;
	while (route_walk_next(net, &w, &r)) {
		json_t *o = json_pack("{s:o,s:I,s:i,s:I}", "to", prefix(&r.dst, r.dst_len), "table",
			(json_int_t)r.table, "type", r.type, "metric", (json_int_t)r.priority);
		if (r.nhops) {
			json_object_set_new(o, "link", json_integer(r.hop[0].oif));
			if (!ip_is_any(&r.hop[0].gw))
				json_object_set_new(o, "via", address(&r.hop[0].gw));
		}
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *neighbours(struct net_ns *net)
{
	json_t *list = json_array();
	struct neigh_walk w = {0};
	struct neigh_info n;
	while (neigh_walk_next(net, &w, &n))
		json_array_append_new(list,
			json_pack("{s:i,s:o,s:o,s:i}", "link", n.index, "address", address(&n.dst),
				"mac", mac(n.addr), "state", n.state));
	return list;
}

static json_t *end(const struct ip_addr *a, uint16_t port)
{
	char text[IP_TEXT_MAX];
	ip_format(a, text);
	return json_sprintf(ip_is_v4(a) ? "%s:%u" : "[%s]:%u", text, port);
}

static void tcp_state(struct inet_sock *s, json_t *o)
{
	static const char *const names[] = {"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1",
		"FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING",
		"NEW_SYN_RECV"};
	struct tcp_diag d;
	tcp_diag(s, &d);
	json_object_set_new(o, "state",
		json_string(d.state < ARRAY_LEN(names) ? names[d.state] : "?"));
	json_object_set_new(o, "receive_queue", json_integer(d.rqueue));
	json_object_set_new(o, "send_queue", json_integer(d.wqueue));
	json_object_set_new(o, "cwnd", json_integer(d.cwnd));
	json_object_set_new(o, "retransmits", json_integer(d.retransmits));
}

static void sockets(struct inet_table *t, bool tcp, json_t *list)
{
	struct inet_sock *s;
	uint64_t at = 0;
	for (uint32_t n = 0; n < SOCKETS_MAX && (s = inet_walk_next(t, &at)); n++) {
		json_t *o = json_pack("{s:s,s:o,s:o,s:I}", "kind", tcp ? "tcp" : "udp", "local",
			end(&s->local, s->lport), "remote", end(&s->remote, s->rport), "uid",
			(json_int_t)s->uid);
		if (tcp)
			tcp_state(s, o);
		else
			json_object_set_new(o, "receive_memory", json_integer(READ_ONCE(s->rmem)));
		json_array_append_new(list, o);
		inet_put(s);
	}
}

static json_t *counters(struct net_ns *net)
{
	static const char *const names[] = {
#define MIB(group, name) #group #name,
#include "sentry/net/mib.def"
#undef MIB
	};
	json_t *o = json_object();
	for (size_t i = 0; i < NET_MIB_NR; i++)
		if (READ_ONCE(net->mib->v[i]))
			json_object_set_new(o, names[i], number(&net->mib->v[i]));
	return o;
}

json_t *net_report(struct net_ns *net)
{
	json_t *r = json_array(), *s = json_array();
	routes(net, AF_INET, r);
	routes(net, AF_INET6, r);
	sockets(net->inet->tcp, true, s);
	sockets(net->inet->udp, false, s);
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "links", links(net), "addresses",
		addresses(net), "routes", r, "neighbours", neighbours(net), "sockets", s,
		"counters", counters(net));
}
