/* See outward.h. */
#include "runsc-cli/net/outward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/log.h"
#include "runsc-cli/net/rtnl.h"

#define PORT 53
#define PRIORITY 32000u /* in front of the main table's */
#define BACKLOG 128
#define LOOPBACK_INDEX 1 /* of every namespace */

static int change_route(int rtnl, int family, bool add)
{
	struct rtnl_msg rq = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
				      .nlmsg_type = add ? RTM_NEWROUTE : RTM_DELROUTE,
				      .nlmsg_flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0}};
	struct rtmsg *m = NLMSG_DATA(&rq.h);
	uint32_t table = OUTWARD_TABLE, oif = LOOPBACK_INDEX;
	uint32_t v4 = htonl(INADDR_LOOPBACK);

	*m = (struct rtmsg){.rtm_family = (unsigned char)family,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL};
	rtnl_put(&rq, RTA_TABLE, &table, sizeof(table));
	rtnl_put(&rq, RTA_OIF, &oif, sizeof(oif));
	/* Else who asks would do so as the server. */
	if (family == AF_INET)
		rtnl_put(&rq, RTA_PREFSRC, &v4, sizeof(v4));
	else
		rtnl_put(&rq, RTA_PREFSRC, &in6addr_loopback, sizeof(in6addr_loopback));
	return rtnl_request(rtnl, &rq.h);
}

static int change_rule(int rtnl, int family, unsigned char protocol, bool add)
{
	struct rtnl_msg rq = {.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct fib_rule_hdr)),
				      .nlmsg_type = add ? RTM_NEWRULE : RTM_DELRULE,
				      .nlmsg_flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0}};
	struct fib_rule_hdr *m = NLMSG_DATA(&rq.h);
	const struct fib_rule_port_range port = {PORT, PORT};
	uint32_t table = OUTWARD_TABLE, priority = PRIORITY;

	*m = (struct fib_rule_hdr){.family = (unsigned char)family, .action = FR_ACT_TO_TBL};
	rtnl_put(&rq, FRA_PRIORITY, &priority, sizeof(priority));
	rtnl_put(&rq, FRA_TABLE, &table, sizeof(table));
	rtnl_put(&rq, FRA_IIFNAME, "lo", sizeof("lo"));
	rtnl_put(&rq, FRA_IP_PROTO, &protocol, sizeof(protocol));
	rtnl_put(&rq, FRA_DPORT_RANGE, &port, sizeof(port));
	int ret = rtnl_request(rtnl, &rq.h);
	return add && ret == -EEXIST ? 0 : ret;
}

/* It hears the port at every address, is told which, and answers from there. */
static int set_options(int fd, bool v6, bool udp)
{
	int on = 1, level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		setsockopt(fd, level, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) < 0)
		return -errno;
	if (v6 && setsockopt(fd, level, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (udp && setsockopt(fd, level, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof(on)) < 0)
		return -errno;
	return 0;
}

static int open_socket(int family, bool udp)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} any;
	bool v6 = family == AF_INET6;
	FD_AUTO int fd =
		socket(family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	int ret = set_options(fd, v6, udp);
	if (ret)
		return ret;
	memset(&any, 0, sizeof(any));
	any.sa.sa_family = (sa_family_t)family;
	any.in.sin_port = htons(PORT); /* both have it at the same place */
	if (bind(fd, &any.sa, v6 ? sizeof(any.in6) : sizeof(any.in)) < 0 ||
		(!udp && listen(fd, BACKLOG) < 0))
		return -errno;
	return take_fd(&fd);
}

/* The socket first: what is led to it is to find it. */
static int open_one(int rtnl, int family, bool udp)
{
	FD_AUTO int fd = open_socket(family, udp);
	if (fd < 0)
		return fd;
	int ret = change_rule(rtnl, family, udp ? IPPROTO_UDP : IPPROTO_TCP, true);
	return ret ? ret : take_fd(&fd);
}

void outward_open(int rtnl, json_t *config, int *fds, size_t *nfds)
{
	json_t *list = json_array();
	for (int i = 0; i < OUTWARD_FDS; i++) {
		int family = i & 2 ? AF_INET6 : AF_INET;
		bool udp = !(i & 1);
		int ret = udp ? change_route(rtnl, family, true) : 0;
		if (!ret)
			ret = open_one(rtnl, family, udp);
		if (ret < 0) {
			log_warn("network: port %d for %s of IPv%d: %s: docker's resolver cannot "
				 "ask outside",
				PORT, udp ? "UDP" : "TCP", i & 2 ? 6 : 4, strerror(-ret));
			continue;
		}
		json_array_append_new(list, json_pack("{s:i,s:b,s:I}", "family", family, "udp", udp,
						    "fd", (json_int_t)*nfds));
		fds[(*nfds)++] = ret;
	}
	json_object_set_new(config, "outward", list);
}

void outward_undo(int rtnl)
{
	for (int i = 0; i < OUTWARD_FDS; i++) {
		int family = i & 2 ? AF_INET6 : AF_INET;
		change_rule(rtnl, family, i & 1 ? IPPROTO_TCP : IPPROTO_UDP, false);
		if (i & 1)
			change_route(rtnl, family, false);
	}
}
