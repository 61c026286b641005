/*
 * --strace: one log record (level info) for each system call, in the manner
 * of strace(1):
 *
 *	[pid:tid] comm: name(arguments) = result ERRNO (description)
 *
 * What a call reads is formatted at entry, what it wrote at its return, so
 * buffers that the call overwrites show what was there before.  A call that
 * does not return is logged at entry.  Runs on the task's own thread and may
 * fault guest pages in: no lock may be held.
 */
#ifndef SYSCALLS_STRACE_H
#define SYSCALLS_STRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "syscalls/sys.h"

/* Once at start.  filter: comma-separated names, NULL or "" for all; -EINVAL (and *bad points at
 * the name) if one is unknown. */
int strace_init(bool on, const char *filter, const char **bad);

extern bool strace_on;

void strace_enter(struct task *t, uint64_t nr, const struct sysargs *a);
/* The call that was entered last; ret: the handler's result, restart codes included. */
void strace_exit(struct task *t, long ret);

#endif
