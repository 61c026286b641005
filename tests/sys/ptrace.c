/* ptrace(2): what a tracer sees of its tracee and may change. */
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
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

/* A process that ends by itself stops once more for who wants to see that. */
TEST(exit_event)
{
	unsigned long msg = 0;
	int status;
	pid_t p = test_fork();

	if (p == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(5);
	}
	stopped(p, SIGSTOP);
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEEXIT));
	CHECK_OK(ptrace(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(waitpid(p, &status, 0), p);
	CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_EXIT << 8);
	CHECK_OK(ptrace(PTRACE_GETEVENTMSG, p, 0, &msg));
	CHECK_EQ(msg, 5 << 8);
	CHECK_OK(ptrace(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(WAIT_STATUS(p), 5 << 8);
}

/* init of a pid namespace ends while somebody in it stops at his end: no tracer is waited for. */
TEST(exit_event_in_a_dying_namespace)
{
	struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
	pid_t init = (pid_t)syscall(SYS_clone3, &args, sizeof(args)), a, b;
	int status;

	CHECK(init >= 0);
	if (init) {
		CHECK_EQ(WAIT_STATUS(init), 7 << 8);
		return;
	}
	a = test_fork();
	if (a == 0) {
		b = test_fork();
		if (b == 0) {
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			raise(SIGSTOP);
			_exit(5);
		}
		stopped(b, SIGSTOP);
		CHECK_OK(ptrace(PTRACE_SETOPTIONS, b, 0, PTRACE_O_TRACEEXIT));
		CHECK_OK(ptrace(PTRACE_CONT, b, 0, 0));
		CHECK_EQ(waitpid(b, &status, 0), b);
		raise(SIGSTOP);
	}
	CHECK_EQ(waitpid(a, &status, WUNTRACED), a);
	_exit(WIFSTOPPED(status) ? 7 : 1);
}

/* At seccomp's stop the call is told as at the one before it, with what the filter said. */
TEST(seccomp_stop_tells_the_call)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 77),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {4, f};
	struct __ptrace_syscall_info si = {0};
	int status;
	pid_t p = test_fork();

	if (p == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
		raise(SIGSTOP);
		syscall(SYS_getppid, 11, 12);
		_exit(0);
	}
	stopped(p, SIGSTOP);
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACESECCOMP));
	CHECK_OK(ptrace(PTRACE_CONT, p, 0, 0));
	CHECK_EQ(waitpid(p, &status, 0), p);
	CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
	CHECK_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, p, sizeof(si), &si),
		offsetof(struct __ptrace_syscall_info, seccomp.ret_data) + 4);
	CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_SECCOMP);
	CHECK_EQ(si.seccomp.nr, SYS_getppid);
	CHECK_EQ(si.seccomp.args[1], 12);
	CHECK_EQ(si.seccomp.ret_data, 77);
	CHECK_OK(ptrace(PTRACE_CONT, p, 0, 0));
	WAIT_OK(p);
}

/* A signal whose stop the tracer has not seen when it dies is delivered; one that it has,
 * is not. */
TEST(signal_of_a_dead_tracer)
{
	for (int seen = 0; seen < 2; seen++) {
		int fd[2];
		char c;
		pid_t p = test_fork(), tracer;

		if (p == 0)
			for (;;)
				pause();
		CHECK_OK(pipe(fd));
		tracer = test_fork();
		if (tracer == 0) {
			int status;

			CHECK_OK(ptrace(PTRACE_SEIZE, p, 0, 0));
			CHECK_OK(kill(p, SIGTERM));
			if (seen)
				CHECK_EQ(waitpid(p, &status, __WALL), p);
			wait_state(p, 't');
			write(fd[1], "", 1);
			pause();
		}
		CHECK_EQ(read(fd[0], &c, 1), 1);
		CHECK_OK(kill(tracer, SIGKILL));
		CHECK_EQ(WAIT_STATUS(tracer), SIGKILL);
		if (seen) {
			wait_state(p, 'S');
			CHECK_OK(kill(p, SIGHUP));
		}
		CHECK_EQ(WAIT_STATUS(p), seen ? SIGHUP : SIGTERM);
	}
}
