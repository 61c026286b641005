/* What the composition root and /proc call of sentry/net. */
#ifndef SENTRY_NET_NET_H
#define SENTRY_NET_NET_H

#include <stddef.h>

/* Registers every address family; once, before the tables are sealed.  0 or -ENOMEM. */
int net_init(void);

/* The text of /proc/net/unix: returns its whole length, of which at most n bytes are stored. */
size_t unix_show(char *buf, size_t n);
/* Sockets there are, for /proc/net/sockstat. */
size_t net_socket_count(void);

#endif
