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
 * Host system calls needed after sealing (for the seccomp filter of `boot`).
 * The sentry itself:
 *	ptrace		TRACEME (in the template), SEIZE, INTERRUPT, DETACH, CONT, SYSEMU,
 *			SYSEMU_SINGLESTEP, GETREGS, SETREGS, PEEKUSER, POKEUSER, PEEKDATA,
 *			GETSIGINFO, GETREGSET, SETREGSET
 *	wait4		of one pid, __WALL [| WNOHANG]
 *	clone		flags CLONE_FILES|CLONE_FS, once, in start(); clone3/clone for pthreads
 *	tgkill, kill	SIGUSR1 and SIGKILL to stubs
 *	sched_setaffinity, sched_getaffinity, getcpu, gettid, getpid, futex,
 *	clock_nanosleep	(the ticker), fcntl(F_DUPFD_CLOEXEC), close
 * The template, once, before its own filter: rseq, rt_sigaction, rt_sigprocmask,
 *	prctl(PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS), seccomp,
 *	mmap, mprotect, ptrace(TRACEME), getppid, exit_group.
 * Stubs (they inherit the sentry's filter below a tighter one of their own):
 *	mmap(MAP_SHARED|MAP_FIXED[|MAP_POPULATE], any prot), munmap, mprotect (any prot),
 *	clone (PTRACE_STUB_THREAD, PTRACE_STUB_PROCESS), prctl(PR_SET_PDEATHSIG), getppid,
 *	pause, exit, exit_group; and gettimeofday, time, getcpu from the vsyscall page.
 */
#ifndef PLATFORM_PTRACE_PTRACE_H
#define PLATFORM_PTRACE_PTRACE_H

#include <sched.h>

#include "platform/platform.h"

/* A page of its own: init fills it in, then makes it read-only. */
extern union ptrace_table {
	struct pl_ops ops;
	char page[4096];
} ptrace_table __attribute__((aligned(4096)));
#define ptrace_platform ptrace_table.ops

/* clone(2) flags that stubs use: the exact values that a filter has to allow. */
#define PTRACE_STUB_THREAD                                                                         \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_PTRACE)
#define PTRACE_STUB_PROCESS (CLONE_FS | CLONE_FILES | CLONE_PARENT | CLONE_PTRACE)

#endif
