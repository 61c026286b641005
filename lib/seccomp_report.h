/*
 * Reports a violation of this process's seccomp filter.
 *
 * The filter's default action is SECCOMP_RET_TRAP; the SIGSYS handler
 * installed here logs the name, number and arguments of the refused call and
 * where it came from, then issues the same call once more.  SIGSYS is blocked
 * inside the handler, so the host kernel kills the whole process by SIGSYS, as
 * SECCOMP_RET_KILL_PROCESS would have: whoever waits for it sees that signal,
 * and nothing the filter refuses was needed to get there.
 *
 * The handler uses no heap (the refused call may be malloc's own mmap).
 */
#ifndef LIB_SECCOMP_REPORT_H
#define LIB_SECCOMP_REPORT_H

/* Installs the handler for the process; call it before loading the filter. */
void seccomp_report_install(void);
/* The name of a host system call, "?" if unknown. */
const char *seccomp_syscall_name(long nr);

#endif
