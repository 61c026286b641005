/* The little of rtnetlink(7) that reading and clearing a network namespace needs. */
#ifndef RUNSC_CLI_NET_RTNL_H
#define RUNSC_CLI_NET_RTNL_H

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

/* A NETLINK_ROUTE socket in the caller's network namespace: descriptor or -errno. */
int rtnl_open(struct err **err);
/* Calls fn for each object of a dump (type: RTM_GET...) until it fails: 0, or what it returned. */
typedef int (*rtnl_fn)(const struct nlmsghdr *h, void *arg, struct err **err);
int rtnl_dump(int fd, int type, int family, rtnl_fn fn, void *arg, struct err **err);
/* Sends one request, flags NLM_F_ACK, and waits for the answer: 0 or -errno. */
int rtnl_request(int fd, struct nlmsghdr *h);

/* A request with attributes, put together piece by piece: h.nlmsg_len is NLMSG_LENGTH of its own
 * header at first. */
struct rtnl_msg {
	struct nlmsghdr h;
	char rest[512];
};
void rtnl_put(struct rtnl_msg *rq, unsigned short type, const void *data, size_t len);

/* Attributes of a message whose own header has hdr_len bytes, by number below n; NULL: absent.
 * An attribute that runs over the end ends the list. */
void rtnl_attrs(const struct nlmsghdr *h, size_t hdr_len, const struct rtattr **tb, size_t n);
/* And of a nest. */
void rtnl_nest(const struct rtattr *nest, const struct rtattr **tb, size_t n);
/* Its value: 0 if it is absent or too short. */
uint32_t rtnl_u32(const struct rtattr *a);

#endif
