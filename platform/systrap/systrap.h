/*
 * The systrap platform: guest code runs in stub processes whose system calls a
 * seccomp filter turns into signals; the signal handler hands over to the
 * sentry by shared memory.  Frequent call sites are patched into jumps and need
 * no signal.  How it works: see systrap.c.
 *
 * The thread that calls start() must live as long as the sandbox: stubs are its
 * children and die with it (PR_SET_PDEATHSIG).
 *
 * filter.def lists the host calls that it needs.
 */
#ifndef PLATFORM_SYSTRAP_SYSTRAP_H
#define PLATFORM_SYSTRAP_SYSTRAP_H

#include <sched.h>

#include "platform/platform.h"

extern struct pl_ops systrap_platform;

/* clone(2) flags that stubs use. */
#define SYSTRAP_STUB_THREAD                                                                        \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_CHILD_CLEARTID)
#define SYSTRAP_STUB_PROCESS (CLONE_FS | CLONE_FILES | CLONE_PARENT)

#endif
