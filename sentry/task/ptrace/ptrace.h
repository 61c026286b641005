/* ptrace(2) between guest tasks: what the other parts of sentry/task and syscalls call. */
#ifndef SENTRY_TASK_PTRACE_H
#define SENTRY_TASK_PTRACE_H

#include "lib/abi/ptrace.h"
#include "sentry/core/uaccess.h"
#include "sentry/signal/signal.h"
#include "sentry/task/pid.h"
#include "sentry/task/stage.h"

struct task;

/* The system call. */
long task_ptrace(struct task *t, uint64_t request, int32_t pid, uint64_t addr, uint64_t data);
/* The trap loop: before and after a system call of a traced task.  A stop makes t->stage ENTRY
 * or LEFT, behind which the other two go on. */
enum call_verdict ptrace_syscall_enter(struct task *t);
/* CALL_SKIP: it was emulated, or its number was set to -1. */
enum call_verdict ptrace_syscall_entered(struct task *t);
void ptrace_syscall_exit(struct task *t);
void ptrace_syscall_left(struct task *t);

/* --- for the rest of sentry/task --- */

void ptrace_init_task(struct task *t);
void ptrace_unlink(struct task *t) REQUIRES(tasks_lock);
void ptrace_exit(struct task *t) REQUIRES(tasks_lock); /* t as tracer is going */

/*
 * All of these make t, the caller, stop where it unwinds to, and go on at a stage (STAGE_SIGNAL,
 * STAGE_STOP, or the one that is given).
 */
/* A signal is about to be delivered to the traced t. */
void ptrace_signal(struct task *t, const struct ksiginfo *info);
/* STAGE_SIGNAL: the signal to go on with, 0: none. */
int ptrace_signal_chosen(struct task *t, struct ksiginfo *info);
bool ptrace_event_enabled(struct task *t, int event);
void ptrace_event(struct task *t, enum task_stage stage, int event, uint64_t msg);
/* PTRACE_EVENT_SECCOMP: the tracer may ask for the call as well. */
void ptrace_event_seccomp(struct task *t, uint64_t msg);
/* Stops for PTRACE_INTERRUPT and group stops of seized tracees; at the user boundary. */
bool ptrace_trap_due(struct task *t);
void ptrace_do_trap(struct task *t);
/* The group stop of a traced task: stops for the tracer instead. */
void ptrace_group_stop(struct task *t, int sig);
/* A traced task has started a new program.  true: it stops, STAGE_RESULT is next. */
bool ptrace_exec(struct task *t, uint64_t old_tid);

/* At the user boundary: makes the stop, if one is due or was interrupted, until the tracer lets t
 * go.  false: t has to freeze; call again. */
bool ptrace_await(struct task *t);
void ptrace_new_child(struct task *t, struct task *child, int event) REQUIRES(tasks_lock);

#endif
