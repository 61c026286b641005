/* What the options of a socket say about where its packets go and what their headers hold. */
#include "sentry/net/inet/inet_priv.h"

/* The link that options ask for, after SO_BINDTODEVICE: ip_cmsg's is the caller's to set. */
static int32_t asked_link(const struct inet_sock *s, const struct ip_addr *dst)
{
	bool v4 = ip_is_v4(dst);
	if (ip_is_multicast(dst))
		return v4 ? READ_ONCE(s->mc_if4) : READ_ONCE(s->mc_if6);
	return v4 ? READ_ONCE(s->ucast_if4) : READ_ONCE(s->ucast_if6);
}

void inet_flow(const struct inet_sock *s, const struct ip_addr *dst, uint16_t dport, struct flow *f)
{
	bool v4 = ip_is_v4(dst);
	memset(f, 0, sizeof(*f));
	f->dst = *dst;
	f->src = v4 ? IP_ANY4 : IP_ANY6;
	if (!s->nosrc && !ip_is_any(&s->local) && ip_is_v4(&s->local) == v4)
		f->src = s->local;
	else if (v4 && ip_is_multicast(dst))
		f->src = s->mc_addr4;
	f->sport = s->lport;
	f->dport = dport;
	f->proto = s->proto;
	f->tos = v4 ? READ_ONCE(s->tos) & 0xfc : READ_ONCE(s->tclass);
	f->oif = READ_ONCE(s->bound_if);
	if (!f->oif && !v4 && ip_is_linklocal(dst))
		f->oif = (int32_t)s->scope_id;
	if (!f->oif)
		f->oif = asked_link(s, dst);
	f->mark = (uint32_t)READ_ONCE(s->sk.mark);
	f->uid = s->uid;
	f->flowlabel = READ_ONCE(s->flowlabel);
	f->anysrc = READ_ONCE(s->transparent) || READ_ONCE(s->freebind) || READ_ONCE(s->hdrincl);
}

void inet_ip_tx(const struct inet_sock *s, const struct flow *f, struct ip_tx *tx)
{
	bool v4 = ip_is_v4(&f->dst), mc = ip_is_multicast(&f->dst);
	memset(tx, 0, sizeof(*tx));
	tx->proto = s->proto;
	tx->priority = (uint32_t)READ_ONCE(s->sk.priority);
	tx->mark = f->mark;
	if (v4) {
		tx->tos = READ_ONCE(s->tos);
		tx->ttl = mc ? READ_ONCE(s->mc_ttl) : READ_ONCE(s->ttl);
		tx->pmtudisc = READ_ONCE(s->pmtudisc4);
		tx->mc_noloop = !READ_ONCE(s->mc_loop4);
	} else {
		tx->tos = READ_ONCE(s->tclass);
		tx->ttl = mc ? READ_ONCE(s->mc_hops) : READ_ONCE(s->hop_limit);
		tx->pmtudisc = READ_ONCE(s->pmtudisc6);
		tx->nodefrag = READ_ONCE(s->dontfrag6);
		tx->flowlabel = f->flowlabel;
		tx->autolabel = READ_ONCE(s->autoflowlabel);
		tx->mc_noloop = !READ_ONCE(s->mc_loop6);
		tx->frag_size = READ_ONCE(s->frag_size6);
	}
}

int inet_route(struct inet_sock *s)
{
	struct flow f;
	if (s->route.link && route_valid(s->sk.net, &s->route))
		return 0;
	route_put(&s->route);
	inet_flow(s, &s->remote, s->rport, &f);
	return route_lookup(s->sk.net, &f, &s->route);
}
