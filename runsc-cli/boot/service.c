/* See service.h. */
#include "runsc-cli/boot/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 64

static bool is_loopback6(const uint8_t a[16])
{
	static const uint8_t loopback[16] = {[15] = 1};
	return !memcmp(a, loopback, sizeof(loopback));
}

static int parse_address(char *text, uint16_t port, struct sock_addr *a)
{
	size_t len = strlen(text);
	uint8_t in6[16];
	uint32_t in;
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, text, &in) == 1 && ntohl(in) >> 24 == 127) {
		a->in = (struct abi_sockaddr_in){.family = AF_INET, .port = port, .addr = in};
		a->len = sizeof(a->in);
		return 0;
	}
	if (len < 2 || text[0] != '[' || text[len - 1] != ']')
		return -EINVAL;
	text[len - 1] = '\0';
	if (inet_pton(AF_INET6, text + 1, in6) != 1 || !is_loopback6(in6))
		return -EINVAL;
	a->in6 = (struct abi_sockaddr_in6){.family = AF_INET6, .port = port};
	memcpy(a->in6.addr, in6, sizeof(in6));
	a->len = sizeof(a->in6);
	return 0;
}

int service_parse(const char *text, struct net_relay_service *out)
{
	char buf[TEXT_MAX], *end;
	size_t len = strlen(text);
	if (len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, len + 1);
	bool maybe = len && buf[len - 1] == '?';
	if (maybe)
		buf[len - 1] = '\0';
	char *slash = strchr(buf, '/'), *colon = strrchr(buf, ':');
	if (!slash || !colon || colon > slash || (strcmp(slash, "/udp") && strcmp(slash, "/tcp")))
		return -EINVAL;
	*out = (struct net_relay_service){.udp = !strcmp(slash, "/udp"), .maybe = maybe};
	*slash = *colon = '\0';
	if (colon[1] < '0' || colon[1] > '9')
		return -EINVAL;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (*end || !port || port > UINT16_MAX)
		return -EINVAL;
	return parse_address(buf, htons((uint16_t)port), &out->addr);
}
