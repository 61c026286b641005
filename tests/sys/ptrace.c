/* ptrace(2): what a tracer sees of its tracee and may change. */
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "test.h"

static void stopped(pid_t p, int sig)
{
	int status;

	CHECK_EQ(waitpid(p, &status, 0), p);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(WSTOPSIG(status), sig);
}

/* A tracee that stops itself, then makes the call nr with something in each register; its result
 * is the exit code. */
static pid_t tracee(long nr)
{
	pid_t p = test_fork();

	if (p == 0) {
		long ret = nr;

		ptrace(PTRACE_TRACEME, 0, 0, 0);
		kill(getpid(), SIGSTOP);
		__asm__ volatile("push %%rbx; push %%rbp\n\t"
				 "mov $0x111, %%rbx; mov $0x222, %%rbp; mov $0x333, %%r12\n\t"
				 "mov $0x444, %%r13; mov $0x555, %%r14; mov $0x666, %%r15\n\t"
				 "syscall\n\t"
				 "cmp $0x777, %%r15; jne 1f; add $100, %%rax\n"
				 "1: pop %%rbp; pop %%rbx"
				 : "+a"(ret)
				 :
				 : "rcx", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
		_exit((int)ret & 0xff);
	}
	stopped(p, SIGSTOP);
	return p;
}

static void next_stop(pid_t p, struct user_regs_struct *r)
{
	CHECK_OK(ptrace(PTRACE_SYSCALL, p, 0, 0));
	stopped(p, SIGTRAP);
	CHECK_OK(ptrace(PTRACE_GETREGS, p, 0, r));
}

/* At a stop at a system call all registers are there. */
TEST(syscall_stop_shows_all_registers)
{
	struct user_regs_struct r;
	pid_t p = tracee(SYS_getppid);

	next_stop(p, &r);
	CHECK_EQ(r.orig_rax, SYS_getppid);
	CHECK_EQ(r.rax, -ENOSYS);
	CHECK_EQ(r.rbx, 0x111);
	CHECK_EQ(r.rbp, 0x222);
	CHECK_EQ(r.r12, 0x333);
	CHECK_EQ(r.r13, 0x444);
	CHECK_EQ(r.r14, 0x555);
	CHECK_EQ(r.r15, 0x666);
	CHECK_EQ(r.rcx, r.rip);
	next_stop(p, &r);
	CHECK_EQ(r.rax, getpid());
	CHECK_EQ(r.r15, 0x666);
	CHECK_OK(ptrace(PTRACE_DETACH, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), (getpid() & 0xff) << 8);
}

/* The tracer changes the number, the result and a register that the call does not use. */
TEST(syscall_stop_changes)
{
	struct user_regs_struct r;
	pid_t p = tracee(SYS_getppid);

	next_stop(p, &r);
	CHECK_OK(ptrace(PTRACE_POKEUSER, p, offsetof(struct user, regs.orig_rax), SYS_getpid));
	CHECK_OK(ptrace(PTRACE_POKEUSER, p, offsetof(struct user, regs.r15), 0x777));
	next_stop(p, &r);
	CHECK_EQ(r.orig_rax, SYS_getpid);
	CHECK_EQ(r.rax, p);
	CHECK_EQ(r.r15, 0x777);
	r.rax = 5;
	CHECK_OK(ptrace(PTRACE_SETREGS, p, 0, &r));
	CHECK_OK(ptrace(PTRACE_DETACH, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 105 << 8);
}
