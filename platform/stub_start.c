/* The first stub process: see stub_start.h. */
#include "platform/stub_start.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/rseq.h>

#include "lib/cleanup.h"
#include "lib/compiler.h"
#include "lib/hostcall.h"

#define STACK_SIZE 65536

int stub_sentry_pid;

int stub_start(int (*child)(void *arg), void *arg)
{
	FREE_AUTO char *stack = malloc(STACK_SIZE);
	int pid;

	if (!stack)
		return -ENOMEM;
	stub_sentry_pid = (int)host_syscall0(SYS_getpid);
	pid = clone(child, stack + STACK_SIZE, CLONE_FILES | CLONE_FS, arg);
	return pid < 0 ? -EAGAIN : pid;
}

void stub_set_action(int sig, const struct stub_sigaction *sa)
{
	host_syscall4(SYS_rt_sigaction, sig, sa, NULL, sizeof(sa->mask));
}

void stub_block_signals(uint64_t mask)
{
	host_syscall4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
}

void stub_shed_libc(void)
{
	const struct stub_sigaction dfl = {0};

	if (__rseq_size)
		host_syscall4(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
			MAX(__rseq_size, 32u), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	for (int sig = 1; sig <= 64; sig++)
		stub_set_action(sig, &dfl);
}

int stub_confine(void)
{
	host_syscall2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
	if (host_syscall0(SYS_getppid) != stub_sentry_pid)
		return -ESRCH;
	/* After a change of credentials a process is not dumpable: it could not be traced, nor
	 * asked for what its keeper answers. */
	if (host_syscall2(SYS_prctl, PR_SET_DUMPABLE, 1) < 0)
		return -EPERM;
	return (int)host_syscall5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
