/*
 * Stub processes that were killed: they are children of the sentry and take a
 * moment to end, which nobody waits for.
 */
#ifndef PLATFORM_REAP_H
#define PLATFORM_REAP_H

#include <stddef.h>

/* Kills a stub process and hands it over to be reaped. */
void reap_bury(int pid);
/* Reaps what has ended; returns how many are left. */
size_t reap_poll(void);

#endif
