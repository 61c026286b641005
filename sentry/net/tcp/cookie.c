/*
 * SYN cookies (RFC 4987, 3.6), as Linux makes them: the initial sequence number holds a minute
 * counter and the index of an MSS under two keyed hashes, the low bits of the timestamp what else
 * was agreed on.  A handshake needs no memory then.
 */
#include <string.h>

#include "lib/siphash.h"
#include "sentry/net/tcp/tcp_priv.h"

#define COOKIE_BITS 24
#define COOKIE_MASK ((1u << COOKIE_BITS) - 1)
#define MAX_AGE 2u /* minutes */
#define TS_BITS 6
#define TS_MASK ((1u << TS_BITS) - 1)
#define TS_WSCALE 15u /* 15: none */
#define TS_SACK 16u
#define TS_ECN 32u

static const uint16_t mss4[] = {536, 1300, 1440, 1460};
static const uint16_t mss6[] = {1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60};

static uint32_t minute(void)
{
	return (uint32_t)(tcp_now() / (60 * NSEC_PER_SEC));
}

static uint32_t hash(const struct net_ns *net, const struct tcp_synq *q, uint32_t count, uint32_t c)
{
	struct {
		struct ip_addr a, b;
		uint16_t ap, bp;
		uint32_t count, c, what;
	} k = {q->remote, q->local, q->rport, q->lport, count, c, 2};
	return (uint32_t)siphash(net->secret, &k, sizeof(k));
}

uint32_t tcp_cookie_make(struct net_ns *net, struct tcp_synq *q)
{
	const uint16_t *table = ip_is_v4(&q->remote) ? mss4 : mss6;
	uint32_t i = ARRAY_LEN(mss4) - 1, count = minute();
	while (i && q->mss < table[i])
		i--;
	if (q->ts_ok) {
		uint32_t opts = q->wscale_ok ? q->snd_wscale : TS_WSCALE;
		uint32_t now = (uint32_t)(tcp_now() / 1000000), ts = (now & ~TS_MASK);
		opts |= (q->sack_ok ? TS_SACK : 0) | (q->ecn_ok ? TS_ECN : 0);
		ts |= opts;
		if (ts > now) /* never from the future */
			ts -= TS_MASK + 1;
		q->tsval = ts + q->ts_offset;
		q->ts_cookie = true;
	} else { /* there is no place for them */
		q->wscale_ok = q->sack_ok = q->ecn_ok = false;
		q->snd_wscale = q->rcv_wscale = 0;
	}
	return hash(net, q, 0, 0) + q->irs + (count << COOKIE_BITS) +
	       ((hash(net, q, count, 1) + i) & COOKIE_MASK);
}

static bool ts_options(const struct net_ns *net, struct tcp_synq *q, const struct tcp_opts *o)
{
	if (!o->has_ts) {
		q->ts_ok = q->sack_ok = q->wscale_ok = false;
		q->snd_wscale = 0;
		return true;
	}
	uint32_t opts = (o->tsecr - q->ts_offset) & TS_MASK;
	if (!READ_ONCE(net->ctl.tcp_timestamps))
		return false;
	q->ts_ok = true;
	q->ts_recent = o->tsval;
	q->sack_ok = opts & TS_SACK;
	if (q->sack_ok && !READ_ONCE(net->ctl.tcp_sack))
		return false;
	q->ecn_ok = (opts & TS_ECN) && READ_ONCE(net->ctl.tcp_ecn);
	q->wscale_ok = (opts & TS_WSCALE) != TS_WSCALE;
	q->snd_wscale = q->wscale_ok ? opts & TS_WSCALE : 0;
	return !q->wscale_ok || READ_ONCE(net->ctl.tcp_window_scaling);
}

bool tcp_cookie_check(struct net_ns *net, struct tcp_synq *q, uint32_t cookie,
	const struct tcp_opts *o)
{
	const uint16_t *table = ip_is_v4(&q->remote) ? mss4 : mss6;
	uint32_t count = minute();
	cookie -= hash(net, q, 0, 0) + q->irs;
	uint32_t age = (count - (cookie >> COOKIE_BITS)) & (UINT32_MAX >> COOKIE_BITS);
	if (age >= MAX_AGE)
		return false;
	uint32_t i = (cookie - hash(net, q, count - age, 1)) & COOKIE_MASK;
	if (i >= ARRAY_LEN(mss4))
		return false;
	q->mss = table[i];
	return ts_options(net, q, o);
}
