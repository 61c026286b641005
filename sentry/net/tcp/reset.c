/*
 * Segments of no connection: resets for what nobody wants (RFC 9293, 3.10.7.1, 3.5.2), and ACKs in
 * the name of requests and of connections in TIME_WAIT.
 */
#include <arpa/inet.h>
#include <string.h>

#include "sentry/net/tcp/tcp_priv.h"

void tcp_reply(struct net_ns *net, const struct tcp_reply *y)
{
	uint32_t hlen = (uint32_t)sizeof(struct tcphdr) + (y->has_ts ? 12 : 0);
	struct flow f = {.src = y->local,
		.dst = y->remote,
		.sport = y->lport,
		.dport = y->rport,
		.proto = IPPROTO_TCP,
		.tos = y->tos,
		.oif = y->oif,
		.mark = y->mark};
	struct ip_tx tx = {.proto = IPPROTO_TCP, .ttl = -1, .tos = y->tos, .pmtudisc = IP_PMTU_DO};
	struct route rt = {0};
	struct tcphdr th = {.th_sport = htons(y->lport),
		.th_dport = htons(y->rport),
		.th_seq = htonl(y->seq),
		.th_ack = htonl(y->ack),
		.th_flags = y->flags,
		.th_win = htons(y->window)};
	struct pkt *p = pkt_new();
	if (!p || route_lookup(net, &f, &rt)) {
		pkt_free(p);
		return;
	}
	th.th_off = (uint8_t)(hlen / 4) & 15;
	uint8_t *at = pkt_push(p, hlen);
	memcpy(at, &th, sizeof(th));
	if (y->has_ts)
		tcp_put_ts(at + sizeof(th), y->tsval, y->tsecr);
	p->net = net;
	p->l4 = p->data;
	pkt_checksum_partial(p, 16, csum_pseudo(&y->local, &y->remote, IPPROTO_TCP, p->len));
	NET_INC(net, Tcp_OutSegs);
	ip_output(net, p, &f, &rt, &tx);
	route_put(&rt);
}

void tcp_reset_packet(struct net_ns *net, struct pkt *p)
{
	const struct tcp_in *in = tcp_in_of(p);
	uint16_t ports[2];
	if ((in->flags & TH_RST) || p->ip.broadcast || ip_is_multicast(&p->ip.dst) ||
		ip_is_multicast(&p->ip.src) || ip_is_any(&p->ip.src))
		return;
	memcpy(ports, pkt_data(p), 4);
	struct tcp_reply y = {.local = p->ip.dst,
		.remote = p->ip.src,
		.lport = ntohs(ports[1]),
		.rport = ntohs(ports[0]),
		.flags = TH_RST};
	if (!ip_is_v4(&y.remote) && ip_is_linklocal(&y.remote))
		y.oif = p->iif;
	if (in->flags & TH_ACK) {
		y.seq = in->ack;
	} else {
		y.ack = in->end_seq;
		y.flags |= TH_ACK;
	}
	NET_INC(net, Tcp_OutRsts);
	tcp_reply(net, &y);
}
