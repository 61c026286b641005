/* AF_UNIX (unix(7)): registers the address family. */
#ifndef SENTRY_NET_UNIX_UNIX_H
#define SENTRY_NET_UNIX_UNIX_H

#include <stdbool.h>

struct path;
struct socket;

/* The file that it is bound to, with a reference; false: none. */
bool unix_path_get(struct socket *s, struct path *out);
int unix_init(void);

#endif
