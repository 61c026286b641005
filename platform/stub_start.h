/*
 * How the first stub process comes to be: a child of the sentry with copies of all its memory,
 * which sheds what it has of libc's, confines itself, and then runs code of its platform only.
 * Every other stub process descends from it.
 */
#ifndef PLATFORM_STUB_START_H
#define PLATFORM_STUB_START_H

#include <stdint.h>

/* The host's struct sigaction. */
struct stub_sigaction {
	uint64_t handler, flags, restorer, mask;
};

extern int stub_sentry_pid; /* set by stub_start */

/* Runs child(arg), which never returns, on a stack of its own in a new process: its pid or
 * -errno.  Descriptors are shared. */
int stub_start(int (*child)(void *arg), void *arg);

/* --- in the child --- */

/* The host must not write to our rseq area; every signal has its default action. */
void stub_shed_libc(void);
void stub_set_action(int sig, const struct stub_sigaction *sa);
void stub_block_signals(uint64_t mask);
/* It dies with the sentry, which may look at it, and gains no privileges.  0 or -errno. */
int stub_confine(void);

#endif
