/* Until sentry/net/ip has its output. */
#include "sentry/net/ip/ip.h"

__attribute__((weak)) uint32_t ip_header_len(const struct flow *f, const struct ip_tx *tx)
{
	return ip_is_v4(&f->dst) ? 20 : 40;
}
