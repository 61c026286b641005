/*
 * The warden: the host process behind a sandbox, which may have several containers.
 *
 * The anchor of the first container forks it; it starts the sentry and is its parent.  It sits in
 * the containers' network namespace, where it does what the sentry has no privileges for
 * (netreq.h), and gives the links of that namespace back when the sentry has gone.  Nothing else:
 * containers are made over the sentry's control socket.
 *
 * The sandbox lives as long as it has a member.  A member is a connection that the anchor of a
 * container holds: the first one's was made by the fork, another one's by the socket WARDEN_SOCKET
 * in the container's directory, which is one socket with a name in the directory of each member, as
 * the control socket is.  The anchor's death closes it, whatever it dies of.  When the last one is
 * gone the warden takes no more, kills the sentry, which needs not listen, and ends; so nobody can
 * join a sandbox that is about to end, and the sentry does not end while somebody joins.  If the
 * warden is killed the sentry goes with it, by PR_SET_PDEATHSIG and its lifeline.
 *
 * Messages (anchor_send: a letter and text):
 *
 *	anchor					warden
 *	        <------------------------------	 S pid: the sentry is started (to the first)
 *	        <------------------------------	 E message: it could not be (to the first)
 *	  J ----------------------------------->  (a new connection) lets it in
 *	        <------------------------------	 S pid; the end: no sandbox any more
 *	  L (the container has ended) --------->
 *	        <------------------------------	 L: others go on; the end: all is gone
 *	        <------------------------------	 D status: the sentry died, wait status
 *
 *	start					warden
 *	  N ----------------------------------->  NETWORK_FILE is there: reads it
 *	        <------------------------------	 N
 *	delete
 *	  C ----------------------------------->
 *	        <------------------------------	 C number: of members
 */
#ifndef RUNSC_CLI_WARDEN_H
#define RUNSC_CLI_WARDEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/err.h"
#include "runsc-cli/sandbox.h"

#define WARDEN_STARTED 'S'
#define WARDEN_ERROR 'E'
#define WARDEN_JOIN 'J'
#define WARDEN_LEAVE 'L'
#define WARDEN_DIED 'D'
#define WARDEN_NETWORK 'N'
#define WARDEN_COUNT 'C'

/* An anchor's view of the warden. */
struct warden {
	int sock;     /* -1: none */
	pid_t pid;    /* if it is our child and not reaped, else 0 */
	pid_t sentry; /* 0: not known yet */
};

/*
 * Forks the warden of a new sandbox, which starts the sentry (s: sandbox_start_sentry's).  host_ns:
 * the mount namespace that it goes to then, -1: it stays.
 */
int warden_start(struct warden *k, struct sandbox *s, int host_ns, struct err **err);
/* Waits until the sentry is started; its errors are the warden's. */
int warden_wait_started(struct warden *k, struct err **err);
/* Becomes a member of the sandbox that dir_fd is the directory of a member of.  -ESRCH: it has
 * ended, or is about to. */
int warden_join(struct warden *k, int dir_fd, struct err **err);
/*
 * Gives the membership up.  True: the sandbox had no other member, and sentry and warden are gone
 * (as far as they are our children: reaped).
 */
bool warden_leave(struct warden *k);
/* The socket became readable: *status is the sentry's wait status; false: the warden itself died.
 */
bool warden_died(struct warden *k, int *status);

/* Tells the warden of the member at dir_fd that what its network namespace had is in NETWORK_FILE
 * of the first container. */
void warden_note_network(int dir_fd);
/* How many members the sandbox has; 0: it has ended, or is about to. */
int warden_count(int dir_fd);

#endif
