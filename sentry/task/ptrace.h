/* ptrace(2) between guest tasks: what the other parts of sentry/task and syscalls call. */
#ifndef SENTRY_TASK_PTRACE_H
#define SENTRY_TASK_PTRACE_H

#include "sentry/core/uaccess.h"
#include "sentry/signal/signal.h"
#include "sentry/task/pid.h"

struct task;

/* The system call. */
long task_ptrace(struct task *t, uint64_t request, int32_t pid, uint64_t addr, uint64_t data);
/* The trap loop: before and after a system call of a traced task. */
/* Entry: returns true if the call must be skipped (SYSEMU, or number set to -1). */
bool ptrace_syscall_enter(struct task *t);
void ptrace_syscall_exit(struct task *t);

#endif
