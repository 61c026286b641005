/*
 * What output.c and its kin are to offer, until they are there: weak, so that theirs take its
 * place.
 */
#include "lib/log.h"
#include "sentry/net/tcp/tcp_priv.h"

#define WEAK __attribute__((weak))

WEAK void tcp_write_xmit(struct tcp_sock *t, bool push)
{
	BUG_ON(t);
}
WEAK int tcp_transmit(struct tcp_sock *t, struct tcp_seg *s)
{
	BUG_ON(t);
	return 0;
}
WEAK int tcp_split(struct tcp_sock *t, struct tcp_seg *s, uint32_t n, uint32_t mss)
{
	BUG_ON(t);
	return 0;
}
WEAK void tcp_seg_free(struct tcp_sock *t, struct tcp_seg *s)
{
	BUG_ON(t);
}
WEAK bool tcp_write_one(struct tcp_sock *t)
{
	BUG_ON(t);
	return false;
}
WEAK void tcp_persist_arm(struct tcp_sock *t)
{
	BUG_ON(t);
}
WEAK void tcp_timer_set(struct tcp_sock *t, enum tcp_timer what, int64_t when)
{
	BUG_ON(t);
}
WEAK void tcp_timer_clear(struct tcp_sock *t)
{
	BUG_ON(t);
}
WEAK void tcp_fail(struct tcp_sock *t, int err)
{
	BUG_ON(t);
}
WEAK bool tcp_write_timed_out(struct tcp_sock *t)
{
	BUG_ON(t);
	return false;
}
WEAK uint32_t tcp_sync_mss(struct tcp_sock *t)
{
	BUG_ON(t);
	return 0;
}
WEAK struct tcp_seg *tcp_seg_new(struct tcp_sock *t, uint32_t seq)
{
	BUG_ON(t);
	return NULL;
}
WEAK uint32_t ip_header_len(const struct flow *f, const struct ip_tx *tx)
{
	BUG_ON(f);
	return 0;
}
