/* AF_UNIX (unix(7)): registers the address family. */
#ifndef SENTRY_NET_UNIX_UNIX_H
#define SENTRY_NET_UNIX_UNIX_H

int unix_init(void);

#endif
