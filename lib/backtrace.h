/*
 * When the sentry or the gofer dies (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT
 * of its own), the log (standard error without one) gets the stacks of all its
 * threads and the newest log records, then the process dies of the same
 * signal.  Known are the threads that called backtrace_thread_init.
 *
 * Violations of the seccomp filter (SIGSYS) are lib/seccomp_report.h's.
 *
 * The handler first offers the fault to the fix-up hook: an access to guest
 * memory that may fault resumes at its fix-up address instead of dying.
 */
#ifndef LIB_BACKTRACE_H
#define LIB_BACKTRACE_H

#include <stdbool.h>
#include <signal.h>

/* Returns true if the fault was expected and uc was redirected. */
typedef bool (*fault_fixup_fn)(int sig, siginfo_t *info, void *ucontext);

/* Installs the handlers, on an alternate stack of the calling thread. */
void backtrace_install(fault_fixup_fn fixup);
/* Gives the calling thread an alternate signal stack; every thread calls it. */
void backtrace_thread_init(void);
void backtrace_thread_fini(void);
/* Writes the calling thread's stack to fd. */
void backtrace_print(int fd);
/* Writes every thread's stack to fd (runsc debug --stacks). */
void backtrace_print_all(int fd);

#endif
