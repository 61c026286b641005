/*
 * Path MTU probing of a connection (RFC 4821).
 */
#include "lib/compiler.h"
#include "sentry/net/tcp/ack.h"

void tcp_mtup_init(struct tcp_sock *t)
{
	memset(&t->mtup, 0, sizeof(t->mtup));
}

void tcp_mtup_acked(struct tcp_sock *t)
{
	(void)t;
}

bool tcp_mtup_lost(struct tcp_sock *t)
{
	(void)t;
	return false;
}

bool tcp_mtu_probe(struct tcp_sock *t)
{
	(void)t;
	return false;
}

void tcp_mtu_black_hole(struct tcp_sock *t)
{
	(void)t;
}
