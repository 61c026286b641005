/*
 * The ptrace platform: guest code runs in stub processes under PTRACE_SYSEMU.
 * It needs nothing from the host but ptrace(2).  How it works: see ptrace.c.
 *
 * The thread that calls start() must live as long as the sandbox: stubs are
 * its children and die with it (PR_SET_PDEATHSIG).  A thread that ran a context
 * destroys it before it ends: the host kills what it still traces.  It is
 * pinned to one CPU (which moves), and threads that it creates inherit that.  No other part of the
 * sentry may wait for "any child", nor handle SIGCHLD or SIGUSR1 in stubs.
 *
 * filter.def lists the host calls that it needs.
 */
#ifndef PLATFORM_PTRACE_PTRACE_H
#define PLATFORM_PTRACE_PTRACE_H

#include <sched.h>

#include "platform/platform.h"

extern struct pl_ops ptrace_platform;

/* clone(2) flags that stubs use: the exact values that a filter has to allow. */
#define PTRACE_STUB_THREAD                                                                         \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_PTRACE)
#define PTRACE_STUB_PROCESS (CLONE_FS | CLONE_FILES | CLONE_PARENT | CLONE_PTRACE)

#endif
