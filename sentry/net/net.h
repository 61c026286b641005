/* What the composition root and /proc call of sentry/net. */
#ifndef SENTRY_NET_NET_H
#define SENTRY_NET_NET_H

#include <stddef.h>
#include <stdint.h>

struct net_ns;
struct unix_sock;

/* Registers every address family; once, before the tables are sealed.  0 or -ENOMEM. */
int net_init(void);

/*
 * The lines of /proc/net/unix.  A walk sees each socket once that is there all the while, and ends
 * however many come meanwhile; it takes the table's lock for a batch at a time.
 */
struct unix_walk {
	struct net_ns *net;   /* borrowed */
	struct unix_sock *at; /* owned: the last one that was shown; NULL: none yet */
	uint32_t left;        /* so many may still be visited */
};
void unix_walk_begin(struct unix_walk *w, struct net_ns *net);
/* Some lines into buf (n: UNIX_WALK_MIN at least): their length, 0 at the end.  Without locks. */
size_t unix_walk_next(struct unix_walk *w, char *buf, size_t n);
void unix_walk_end(struct unix_walk *w);
#define UNIX_WALK_MIN 256

/* The same for unix_diag: at most n (16) of those with a cookie above after, oldest first. */
struct unix_info {
	uint8_t type, state, shutdown; /* state: TCP_* */
	uint32_t name_len;
	uint64_t ino, cookie, peer_ino, vfs_ino;
	uint32_t vfs_dev, rqueue, wqueue, rcvbuf, sndbuf, wmem;
	char name[108];
};
uint32_t unix_info_next(struct net_ns *net, uint64_t after, struct unix_info *out, uint32_t n);

#endif
