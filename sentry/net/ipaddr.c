/* See ipaddr.h. */
#include "sentry/net/ipaddr.h"

#include <stdio.h>

static int put_group(char *out, uint16_t v)
{
	return snprintf(out, 8, "%x", v);
}

/* The longest run of zero groups, of two at least (RFC 5952, 4.2): where it begins; -1: none. */
static int longest_zeros(const uint16_t g[8], int *len)
{
	int best = -1;
	*len = 1;
	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && !g[i + n])
			n++;
		if (n > *len) {
			*len = n;
			best = i;
		}
		i += n;
	}
	return best;
}

void ip_format(const struct ip_addr *a, char out[IP_TEXT_MAX])
{
	uint16_t g[8];
	int len, zeros, at = 0;
	if (ip_is_v4(a)) {
		snprintf(out, IP_TEXT_MAX, "%u.%u.%u.%u", a->b[12], a->b[13], a->b[14], a->b[15]);
		return;
	}
	for (int i = 0; i < 8; i++)
		g[i] = (uint16_t)(a->b[2 * i] << 8 | a->b[2 * i + 1]);
	zeros = longest_zeros(g, &len);
	out[0] = '\0';
	for (int i = 0; i < 8; i++) {
		if (i == zeros) {
			out[at++] = ':';
			i += len - 1;
			if (i == 7)
				out[at++] = ':';
			continue;
		}
		if (i)
			out[at++] = ':';
		at += put_group(out + at, g[i]);
	}
	out[at] = '\0';
}
