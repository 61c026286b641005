/*
 * The systrap platform: guest code runs in stub processes whose system calls a
 * seccomp filter turns into signals; the signal handler hands over to the
 * sentry by shared memory.  Frequent call sites are patched into jumps and need
 * no signal.  How it works: see systrap.c.
 *
 * The thread that calls start() must live as long as the sandbox: stubs are its
 * children and die with it (PR_SET_PDEATHSIG).
 *
 * Host system calls needed after sealing (for the seccomp filter of `boot`).
 * The sentry itself:
 *	futex, sched_yield, sched_setaffinity, sched_getaffinity, getcpu, gettid, getpid,
 *	tgkill, kill	SIGUSR1, SIGKILL and 0 to stubs
 *	get_robust_list	of keepers: what they answered
 *	clock_gettime	of stub processes: CPU time
 *	wait4		of one pid, __WALL [| WNOHANG]
 *	clone		flags CLONE_FILES|CLONE_FS, once, in start(); clone for pthreads
 *	clock_nanosleep	(the ticker), fcntl(F_DUPFD_CLOEXEC), close
 * The template, once, before its own filter: rseq, rt_sigaction, rt_sigprocmask,
 *	prctl(PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS), seccomp, mmap, mprotect,
 *	getppid, exit_group.
 * Stubs (they inherit the sentry's filter below one of their own, see filter.c):
 *	rt_sigreturn, rt_sigprocmask, sched_yield, futex, exit, sigaltstack, arch_prctl(ARCH_SET_FS,
 *ARCH_SET_GS); and with the keeper's key mmap, munmap, mprotect, clone, set_robust_list,
 *prctl(PR_SET_PDEATHSIG). A filter below must answer what it refuses with a trap, not with death
 *(calls of other ABIs too).
 */
#ifndef PLATFORM_SYSTRAP_SYSTRAP_H
#define PLATFORM_SYSTRAP_SYSTRAP_H

#include <sched.h>

#include "platform/platform.h"

/* A page of its own: init fills it in, then makes it read-only. */
extern union systrap_table {
	struct pl_ops ops;
	char page[4096];
} systrap_table __attribute__((aligned(4096)));
#define systrap_platform systrap_table.ops

/* clone(2) flags that stubs use. */
#define SYSTRAP_STUB_THREAD                                                                        \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
		CLONE_CHILD_CLEARTID)
#define SYSTRAP_STUB_PROCESS (CLONE_FS | CLONE_FILES | CLONE_PARENT)

#endif
