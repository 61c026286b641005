/* Who gets packets: transports by protocol number, raw sockets, ping sockets. */
#include <errno.h>
#include <linux/if_ether.h>

#include "lib/ro_after_init.h"
#include "sentry/net/ip/ip_in.h"

static struct {
	const struct ip_proto *proto[256];
	const struct ip_proto *ping;
	ip_raw_fn raw;
	ip_raw_error_fn raw_error;
} tables RO_AFTER_INIT;

void ip_proto_register(uint8_t proto, const struct ip_proto *ops)
{
	BUG_ON(tables.proto[proto]);
	tables.proto[proto] = ops;
}

void ip_raw_register(ip_raw_fn fn)
{
	tables.raw = fn;
}

void ip_raw_error_register(ip_raw_error_fn fn)
{
	tables.raw_error = fn;
}

void icmp_ping_register(const struct ip_proto *ops)
{
	tables.ping = ops;
}

/* What stands beside the bytes of a frame comes from a host on the way, and from who sent it there.
 */
bool ip_offloads_ok(struct pkt *p, uint32_t hlen)
{
	if (p->csum == PKT_CSUM_PARTIAL &&
		(p->csum_start < p->data + hlen || p->csum_start + p->csum_offset + 2u > p->tail))
		return false;
	if (!p->gso_size)
		return true;
	bool udp = p->gso == PKT_GSO_UDP;
	p->l4 = (uint16_t)(p->data + hlen);
	return p->ip.proto == (udp ? IPPROTO_UDP : IPPROTO_TCP) &&
	       pkt_want(p, hlen + (udp ? 8u : 20u));
}

bool ip_deliver_raw(struct pkt *p)
{
	return tables.raw && tables.raw(p);
}

bool ip_deliver_proto(struct pkt *p)
{
	const struct ip_proto *t = tables.proto[p->ip.proto];
	if (!t)
		return false;
	p->l4 = p->data;
	t->input(p);
	return true;
}

bool ip_deliver_ping(struct pkt *p)
{
	if (!tables.ping)
		return false;
	tables.ping->input(p);
	return true;
}

/* Errors about our echo requests are ping's, as the protocol is ours. */
void ip_deliver_error(struct pkt *p, const struct ip_error *e)
{
	bool icmp = e->proto == (ip_is_v4(&e->src) ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	const struct ip_proto *t = icmp ? tables.ping : tables.proto[e->proto];
	if (tables.raw_error)
		tables.raw_error(p, e);
	if (t && t->error)
		t->error(p, e);
}
