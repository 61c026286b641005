/*
 * What ICMP has taught about single destinations: path MTUs (RFC 1191, 8201) and redirects (RFC
 * 1122, 3.2.2.2), Linux' fib_nh_exception.  A table of fixed size: BUCKETS by destination, in
 * which the entry that ends first makes room.  All answers become void when one comes or ends
 * (the generation), so that nobody need look at times.
 */
#include "sentry/core/arena.h"
#include "sentry/net/ip/ip_priv.h"

#define BUCKETS 256u
#define DEPTH 5u /* FNHE_RECLAIM_DEPTH */
#define REDIRECT_NS (300 * NSEC_PER_SEC)

struct ip_exceptions {
	struct ip_exception e[BUCKETS][DEPTH];
};
static SLAB_SHARE(ip_exceptions_slab, struct ip_exceptions, 64);

static struct ip_exception *bucket(struct ip_net *ipn, const struct ip_addr *dst)
{
	uint64_t h = (dst->q[0] ^ (dst->q[1] * 0x9e3779b97f4a7c15ul)) * 0xbf58476d1ce4e5b9ul;
	return ipn->exceptions->e[(h >> 32) % BUCKETS];
}

bool ip_exception_find(struct ip_net *ipn, const struct ip_addr *dst, int32_t oif,
	struct ip_exception *out)
{
	if (likely(!ipn->exceptions))
		return false;
	struct ip_exception *b = bucket(ipn, dst);
	for (unsigned int i = 0; i < DEPTH; i++)
		if (b[i].until && ip_eq(&b[i].dst, dst) && (!b[i].oif || b[i].oif == oif) &&
			b[i].until > time_monotonic()) {
			*out = b[i];
			return true;
		}
	return false;
}

/* The entry of dst, or one to be used for it; NULL: out of memory. */
static struct ip_exception *get(struct ip_net *ipn, const struct ip_addr *dst, int32_t oif)
{
	if (!ipn->exceptions)
		ipn->exceptions = slab_alloc(&ip_exceptions_slab);
	if (!ipn->exceptions)
		return NULL;
	struct ip_exception *b = bucket(ipn, dst), *oldest = b;
	for (unsigned int i = 0; i < DEPTH; i++) {
		if (b[i].until && b[i].oif == oif && ip_eq(&b[i].dst, dst))
			return &b[i];
		if (b[i].until < oldest->until)
			oldest = &b[i];
	}
	*oldest = (struct ip_exception){.dst = *dst,
		.gw = ip_is_v4(dst) ? IP_ANY4 : IP_ANY6,
		.oif = oif};
	return oldest;
}

void ip_pmtu_learn(struct net_ns *net, const struct ip_addr *dst, uint32_t mtu, int32_t oif)
{
	bool v4 = ip_is_v4(dst);
	uint32_t min = v4 ? (uint32_t)READ_ONCE(net->ctl.ip_rt_min_pmtu) : 1280;
	int64_t life =
		v4 ? READ_ONCE(net->ctl.ip_rt_mtu_expires) : READ_ONCE(net->ctl.ip6_rt_mtu_expires);
	int64_t until = time_monotonic() + life * NSEC_PER_SEC;
	mtu = MAX(mtu, min); /* RFC 8201, 4: less than that is never believed */
	mutex_lock(&net->ip->lock);
	struct ip_exception *e = get(net->ip, dst, oif);
	if (e && (!e->mtu || mtu < e->mtu || e->until <= time_monotonic())) {
		e->mtu = mtu;
		e->until = until;
		ip_gen_bump(net->ip);
	} else if (e && mtu == e->mtu) {
		e->until = until;
	}
	mutex_unlock(&net->ip->lock);
	ip_timer_want(net, until);
}

void ip_redirect_learn(struct net_ns *net, const struct ip_addr *dst, const struct ip_addr *gw,
	int32_t oif)
{
	int64_t until = time_monotonic() + REDIRECT_NS;
	mutex_lock(&net->ip->lock);
	struct ip_exception *e = get(net->ip, dst, oif);
	if (e) {
		e->gw = *gw;
		e->until = MAX(e->until, until);
		ip_gen_bump(net->ip);
	}
	mutex_unlock(&net->ip->lock);
	ip_timer_want(net, until);
}

int64_t ip_exception_expire(struct ip_net *ipn, int64_t now)
{
	int64_t next = INT64_MAX;
	if (!ipn->exceptions)
		return next;
	for (unsigned int b = 0; b < BUCKETS; b++)
		for (unsigned int i = 0; i < DEPTH; i++) {
			struct ip_exception *e = &ipn->exceptions->e[b][i];
			if (e->until && e->until <= now) {
				*e = (struct ip_exception){0};
				ip_gen_bump(ipn);
			} else if (e->until) {
				next = MIN(next, e->until);
			}
		}
	return next;
}

void ip_exception_fini(struct ip_net *ipn)
{
	if (ipn->exceptions)
		slab_free(&ip_exceptions_slab, ipn->exceptions);
	ipn->exceptions = NULL;
}
