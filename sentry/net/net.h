/* What the composition root and /proc call of sentry/net. */
#ifndef SENTRY_NET_NET_H
#define SENTRY_NET_NET_H

#include <stddef.h>

struct net_ns;

/* Registers every address family; once, before the tables are sealed.  0 or -ENOMEM. */
int net_init(void);

/* The text of /proc/net/unix: returns its whole length, of which at most n bytes are stored. */
size_t unix_show(struct net_ns *net, char *buf, size_t n);

#endif
