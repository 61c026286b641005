/*
 * What happens to the container's network namespace after it has been taken over (take.h): links
 * that come (docker network connect) and go, addresses and routes that somebody sets there.  The
 * warden, which lives in it, hears of it by rtnetlink, waits until nothing has happened for a
 * moment (a link is set up in many steps), compares the namespace with what the sentry has, and
 * hands over the difference as it was done at the start.
 *
 * NETWORK_FILE is kept true: it is what is given back at the end.
 */
#ifndef RUNSC_CLI_NET_FOLLOW_H
#define RUNSC_CLI_NET_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/err.h"

struct net_follow {
	int state_dir;    /* borrowed */
	int fd;           /* rtnetlink's notifications, to be polled for POLLIN; -1: off */
	json_t *known;    /* netcfg.h's object: what the sentry has; owned; NULL: nothing yet */
	json_t *refused;  /* indexes of links that it could not take */
	int64_t due, end; /* ms, of the monotonic clock: when to look, and when at the latest; 0 */
};

/* known: what has been taken over; NULL: nothing. */
void net_follow_begin(struct net_follow *f, int state_dir, json_t *known);
/* For poll(2). */
int net_follow_timeout(const struct net_follow *f);
/* fd is readable. */
void net_follow_heard(struct net_follow *f);

/*
 * It is time to look: is there a difference?  *change: netcfg.h's object with what is new, "gone"
 * links, "gone_routes"; its links have their sockets in fds, as net_take's.
 * NULL: nothing is to be done.  What is new is silent on the host's side by then.
 */
json_t *net_follow_change(struct net_follow *f, int *fds, size_t *nfds);
/* How that went with the sentry: 0; -EAGAIN: it is asked again; else it is given back. */
void net_follow_done(struct net_follow *f, json_t *change, int ret);

#endif
