#include "lib/seccomp_report.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#include "lib/compiler.h"
#include "lib/hostcall.h"
#include "lib/log.h"

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code of a filter's SIGSYS */
#endif

static const char *const names[] = {
#define X(nr, name) [nr] = #name,
#include "lib/host_syscalls.def"
#undef X
};

const char *seccomp_syscall_name(long nr)
{
	if (nr < 0 || (size_t)nr >= ARRAY_LEN(names) || !names[nr])
		return "?";
	return names[nr];
}

static void on_sigsys(int sig, siginfo_t *info, void *ucontext)
{
	const ucontext_t *uc = ucontext;
	const greg_t *r = uc->uc_mcontext.gregs;
	long nr = info->si_syscall;

	/* kill(2) can send SIGSYS too: that is not a violation to report. */
	if (info->si_code != SYS_SECCOMP) {
		log_error("killed by SIGSYS from process %d", info->si_pid);
		nr = SYS_exit_group;
	} else {
		log_error("seccomp: call %s (%ld) refused: arguments %#llx %#llx %#llx %#llx %#llx "
			  "%#llx at %p",
			seccomp_syscall_name(nr), nr, (unsigned long long)r[REG_RDI],
			(unsigned long long)r[REG_RSI], (unsigned long long)r[REG_RDX],
			(unsigned long long)r[REG_R10], (unsigned long long)r[REG_R8],
			(unsigned long long)r[REG_R9], info->si_call_addr);
	}
	if (nr == SYS_exit_group)
		host_syscall1(SYS_exit_group, 128 + SIGSYS);
	host_syscall6(nr, r[REG_RDI], r[REG_RSI], r[REG_RDX], r[REG_R10], r[REG_R8], r[REG_R9]);
	/* Not reached, unless the call came by another entry (int 0x80). */
	for (;;)
		__builtin_trap();
}

void seccomp_report_install(void)
{
	struct sigaction sa = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigfillset(&sa.sa_mask);
	sigaction(SIGSYS, &sa, NULL);
}
