/*
 * NETLINK_KOBJECT_UEVENT: what a device manager hears of.  The devices that come and go here are
 * links (lib/kobject_uevent.c, net/core/net-sysfs.c of Linux).
 */
#include <stdio.h>

#include "sentry/core/root.h"
#include "sentry/net/netlink/rtnl_priv.h"

#define UEVENT_GROUP 1u

struct uevent_globals {
	uint64_t seqnum; /* atomic: events so far */
};
static struct uevent_globals *uevents RO_AFTER_INIT;
KERNEL_UNIT("uevents", uevents, NULL);

void uevent_link(struct net_ns *net, struct link *l, bool del)
{
	char text[512];
	const char *what = del ? "remove" : "add";
	uint64_t seq = __atomic_add_fetch(&uevents->seqnum, 1, __ATOMIC_RELAXED);
	if (!nl_listened(net->netlink, NETLINK_KOBJECT_UEVENT, UEVENT_GROUP))
		return;
	int n = snprintf(text, sizeof(text),
		"%s@/devices/virtual/net/%s%cACTION=%s%cDEVPATH=/devices/virtual/net/%s%c"
		"SUBSYSTEM=net%cINTERFACE=%s%cIFINDEX=%d%cSEQNUM=%lu",
		what, l->name, 0, what, 0, l->name, 0, 0, l->name, 0, l->index, 0, seq);
	nl_multicast(net, NETLINK_KOBJECT_UEVENT, UEVENT_GROUP, 0, text, (uint32_t)n + 1);
}

/* Linux lets a privileged one send an event to everybody; that would be a device manager's. */
int uevent_receive(struct nl_req *rq)
{
	if (!nl_req_capable(rq, CAP_SYS_ADMIN))
		return nl_err(rq, -EPERM, "missing CAP_SYS_ADMIN capability");
	return nl_err(rq, -EOPNOTSUPP, "uevents cannot be made up");
}
