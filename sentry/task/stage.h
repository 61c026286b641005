/*
 * Where a task goes on: what it waits for when that is not its guest.
 *
 * Most system calls that block can be unwound: they return a restart code and begin anew.  Some
 * waits cannot, for what comes before them has happened and what comes after them must: a stop
 * for a tracer, a group stop, vfork(2)'s wait for the child, execve(2)'s for the other threads,
 * the wait of a namespace's init for its members.  None of these waits on the stack of the call.
 * Who comes to one says in task.stage what comes after it, leaves what that needs in the task,
 * and unwinds; a system call returns -ECALLWAITS.  The wait is made at the user boundary
 * (task_await, signal_deliver, task_exit_thread), by the trap loop, which then goes on as the
 * stage says.
 *
 * When a task is to freeze its wait ends, and the thread unwinds further, out of the trap loop,
 * to task_main.  So whoever runs the trap loop on a task, with nothing but the task, brings it
 * back into the same wait: its old thread after a thaw, or a thread of another process.
 *
 * Before each stage there may be a stop for the tracer (task.pt.phase); some stages wait for
 * something themselves:
 *
 *	stage    comes after                     then
 *	ENTRY    the stop at a call's entry      the call, or what the tracer made of it
 *	SECCOMP  PTRACE_EVENT_SECCOMP            the filters again, the call
 *	CLONED   PTRACE_EVENT_FORK and so on     VFORK or RESULT
 *	VFORK    waits for task.vfork_child      PTRACE_EVENT_VFORK_DONE, RESULT
 *	EXEC     waits for the other threads     task.exec, PTRACE_EVENT_EXEC, RESULT
 *	RESULT   the last stop in a call         task.call_result, the stop LEFT
 *	LEFT     the stop at a call's end        the signal that the tracer injected
 *	SIGNAL   the stop before a signal        the one in task.pt.info, or another
 *	STOP     a tracee's group stop, and      the boundary again
 *	         PTRACE_INTERRUPT
 *	DYING    PTRACE_EVENT_EXIT               the end of the thread
 *	ZAP      waits for its pid namespace     its own end
 *
 * A group stop without a tracer is task.group_stopped.  Death ends each of these waits, but ZAP,
 * where a task is dead already; what comes after it is then done as far as it still makes sense.
 */
#ifndef SENTRY_TASK_STAGE_H
#define SENTRY_TASK_STAGE_H

enum task_stage {
	STAGE_NONE,
	STAGE_ENTRY,
	STAGE_SECCOMP,
	STAGE_CLONED,
	STAGE_VFORK,
	STAGE_EXEC,
	STAGE_RESULT,
	STAGE_LEFT,
	STAGE_SIGNAL,
	STAGE_STOP,
	STAGE_DYING,
	STAGE_ZAP,
};

/* What a system call's handler returns when there is no result yet: among the restart codes of
 * ctx.h, where it is ENOIOCTLCMD on Linux. */
#define ECALLWAITS 515

/* What becomes of a system call before it is made.  CALL_WAIT: task.stage says. */
enum call_verdict { CALL_RUN, CALL_SKIP, CALL_WAIT };

/* What a task does at its user boundary.  BOUNDARY_WAIT: task.stage says. */
enum boundary { BOUNDARY_RUN, BOUNDARY_WAIT, BOUNDARY_FREEZE, BOUNDARY_END };

#endif
