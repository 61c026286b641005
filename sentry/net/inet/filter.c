#include "sentry/net/inet/inet_priv.h"
bool inet_filter(struct inet_sock *s, struct pkt *p, uint32_t keep)
{
	return true;
}
