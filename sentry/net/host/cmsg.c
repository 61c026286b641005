/*
 * Control messages on their way to and from the host: those of a list, each of a form that the list
 * says.  None has a pointer or a descriptor in it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <linux/errqueue.h>

#include "lib/compiler.h"
#include "sentry/net/host/host_priv.h"
#include "sentry/net/host/names.h"

#define CMSG_IN 1u
#define CMSG_OUT 2u
#define CMSG_BOTH (CMSG_IN | CMSG_OUT)

/* min, max: bytes of data. */
static const struct {
	int level, type;
	uint32_t how, min, max;
} allowed[] = {
	{SOL_SOCKET, SO_TIMESTAMP_OLD, CMSG_OUT, 16, 16},
	{SOL_SOCKET, SO_TIMESTAMPNS_OLD, CMSG_OUT, 16, 16},
	{SOL_SOCKET, SO_TIMESTAMPING_OLD, CMSG_BOTH, 4, 48},
	{SOL_SOCKET, SO_TIMESTAMP_NEW, CMSG_OUT, 16, 16},
	{SOL_SOCKET, SO_TIMESTAMPNS_NEW, CMSG_OUT, 16, 16},
	{SOL_SOCKET, SO_TIMESTAMPING_NEW, CMSG_BOTH, 4, 48},
	{SOL_SOCKET, SCM_TIMESTAMPING_PKTINFO, CMSG_OUT, 16, 16},
	{SOL_SOCKET, SO_RXQ_OVFL, CMSG_OUT, 4, 4},
	{SOL_SOCKET, SO_MARK, CMSG_BOTH, 4, 4},
	{IPPROTO_IP, IP_PKTINFO, CMSG_BOTH, sizeof(struct in_pktinfo), sizeof(struct in_pktinfo)},
	{IPPROTO_IP, IP_TTL, CMSG_BOTH, 4, 4},
	{IPPROTO_IP, IP_TOS, CMSG_BOTH, 1, 4},
	{IPPROTO_IP, IP_RETOPTS, CMSG_BOTH, 0, 40},
	{IPPROTO_IP, IP_RECVOPTS, CMSG_OUT, 0, 40},
	{IPPROTO_IP, IP_RECVERR, CMSG_OUT, sizeof(struct sock_extended_err), 64},
	{IPPROTO_IP, IP_ORIGDSTADDR, CMSG_OUT, 16, 16},
	{IPPROTO_IP, IP_CHECKSUM, CMSG_OUT, 4, 4},
	{IPPROTO_IP, IP_RECVFRAGSIZE, CMSG_OUT, 4, 4},
	{IPPROTO_IP, IP_PROTOCOL, CMSG_IN, 4, 4},
	{IPPROTO_IPV6, IPV6_PKTINFO, CMSG_BOTH, sizeof(struct in6_pktinfo),
		sizeof(struct in6_pktinfo)},
	{IPPROTO_IPV6, IPV6_2292PKTINFO, CMSG_BOTH, sizeof(struct in6_pktinfo),
		sizeof(struct in6_pktinfo)},
	{IPPROTO_IPV6, IPV6_HOPLIMIT, CMSG_BOTH, 4, 4},
	{IPPROTO_IPV6, IPV6_2292HOPLIMIT, CMSG_BOTH, 4, 4},
	{IPPROTO_IPV6, IPV6_TCLASS, CMSG_BOTH, 4, 4},
	{IPPROTO_IPV6, IPV6_HOPOPTS, CMSG_OUT, 8, 512},
	{IPPROTO_IPV6, IPV6_DSTOPTS, CMSG_OUT, 8, 512},
	{IPPROTO_IPV6, IPV6_RTHDR, CMSG_OUT, 8, 512},
	{IPPROTO_IPV6, IPV6_DONTFRAG, CMSG_IN, 4, 4},
	{IPPROTO_IPV6, IPV6_FLOWINFO, CMSG_BOTH, 4, 4},
	{IPPROTO_IPV6, IPV6_RECVERR, CMSG_OUT, sizeof(struct sock_extended_err), 64},
	{IPPROTO_IPV6, IPV6_PATHMTU, CMSG_OUT, sizeof(struct ip6_mtuinfo),
		sizeof(struct ip6_mtuinfo)},
	{IPPROTO_IPV6, IPV6_ORIGDSTADDR, CMSG_OUT, 28, 28},
	{IPPROTO_IPV6, IPV6_RECVFRAGSIZE, CMSG_OUT, 4, 4},
	{IPPROTO_UDP, UDP_SEGMENT, CMSG_IN, 2, 2},
	{IPPROTO_UDP, UDP_GRO, CMSG_OUT, 2, 4},
	{IPPROTO_TCP, TCP_CM_INQ, CMSG_OUT, 4, 4},
	{SOL_NETLINK, NETLINK_PKTINFO, CMSG_OUT, sizeof(struct nl_pktinfo),
		sizeof(struct nl_pktinfo)},
};

static bool is_allowed(const struct abi_cmsghdr *h, uint32_t how)
{
	uint64_t len = h->cmsg_len - sizeof(*h);
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (allowed[i].level == h->cmsg_level && allowed[i].type == h->cmsg_type)
			return (allowed[i].how & how) && len >= allowed[i].min &&
			       len <= allowed[i].max;
	return false;
}

/* Linux passes over what is for another protocol than the socket's. */
static bool is_for(const struct socket *s, int level)
{
	if (level == SOL_SOCKET)
		return true;
	if (s->type == SOCK_STREAM)
		return false;
	return level == IPPROTO_UDP || level == (s->family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6);
}

ssize_t host_cmsg_in(const struct socket *s, const struct sock_msg *m, uint8_t *buf, uint32_t size)
{
	struct abi_cmsghdr h;
	const uint8_t *data;
	uint32_t at = 0, n = 0;
	while (m->control && sock_cmsg_next(m, &at, &h, &data)) {
		uint32_t space = (uint32_t)ABI_CMSG_ALIGN(h.cmsg_len);
		/* Those of AF_UNIX mean nothing to these families, as on Linux. */
		if (h.cmsg_level == SOL_SOCKET &&
			(h.cmsg_type == SCM_RIGHTS || h.cmsg_type == SCM_CREDENTIALS))
			continue;
		if (!is_allowed(&h, CMSG_IN)) {
			if (is_for(s, h.cmsg_level))
				return -EINVAL;
			continue;
		}
		if (space > size - n)
			return -ENOBUFS;
		memset(buf + n, 0, space);
		memcpy(buf + n, &h, sizeof(h));
		memcpy(buf + n + sizeof(h), data, h.cmsg_len - sizeof(h));
		n += space;
	}
	if (m->control && at < m->control_len && m->control_len - at >= sizeof(h))
		return -EINVAL; /* a length that cannot be */
	return (ssize_t)n;
}

void host_cmsg_out(struct sock_msg *m, const uint8_t *buf, size_t n)
{
	const struct sock_msg in = {.control = buf, .control_len = (uint32_t)n};
	struct abi_cmsghdr h;
	const uint8_t *data;
	uint32_t at = 0;
	while (sock_cmsg_next(&in, &at, &h, &data))
		if (is_allowed(&h, CMSG_OUT))
			sock_cmsg_put(m, h.cmsg_level, h.cmsg_type, data,
				(uint32_t)(h.cmsg_len - sizeof(h)));
}
