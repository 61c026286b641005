/*
 * What is set while the process starts and never again: tables of operations, hooks, pointers to
 * what a unit has in the arena.  It lies in pages of its own (lib/sections.lds), which the sentry
 * makes read-only once when it has started, so that no stray write leads a call astray.
 *
 *	static const struct sock_ops *families[AF_MAX] RO_AFTER_INIT;
 *
 * Processes that never seal it (the command line, the gofer, most tests) may write it as any other
 * variable.
 */
#ifndef LIB_RO_AFTER_INIT_H
#define LIB_RO_AFTER_INIT_H

/* Of a variable with static storage. */
#define RO_AFTER_INIT __attribute__((section("ro_after_init")))

/* Where it lies: whole pages. */
extern char ro_after_init_start[], ro_after_init_end[];

/* From now on a write to such a variable is a fault.  0, or what mprotect(2) says. */
int ro_after_init_seal(void);

#endif
