/* ptrace(2): stops that are asked for.  Events and their messages, system calls, seized tracees. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "test.h"

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#endif

static long pt(long req, pid_t p, unsigned long addr, unsigned long data)
{
	return syscall(SYS_ptrace, req, p, addr, data);
}

static void stopped(pid_t p, int what)
{
	int status;

	CHECK_EQ(waitpid(p, &status, __WALL), p);
	CHECK(WIFSTOPPED(status));
	CHECK_EQ(status >> 8, what);
}

static unsigned long message(pid_t p)
{
	unsigned long msg = -1UL;

	CHECK_OK(pt(PTRACE_GETEVENTMSG, p, 0, (unsigned long)&msg));
	return msg;
}

static void event(pid_t p, int which)
{
	stopped(p, SIGTRAP | which << 8);
}

static void cont(pid_t p)
{
	CHECK_OK(pt(PTRACE_CONT, p, 0, 0));
}

/* Runs fn in a child that stops itself first, with these options. */
static pid_t tracee(void (*fn)(void), unsigned long options)
{
	pid_t p = test_fork();

	if (p == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		fn();
		_exit(0);
	}
	stopped(p, SIGSTOP);
	CHECK_OK(pt(PTRACE_SETOPTIONS, p, 0, options));
	return p;
}

/* --- events --- */

static void forks(void)
{
	pid_t p = fork();

	if (p == 0)
		_exit(3);
	_exit(WEXITSTATUS(WAIT_STATUS(p)));
}

TEST(fork_event)
{
	pid_t p = tracee(forks, PTRACE_O_TRACEFORK), c;

	cont(p);
	event(p, PTRACE_EVENT_FORK);
	c = (pid_t)message(p);
	CHECK(c > 0 && c != p);
	stopped(c, SIGSTOP); /* attached as it begins, with the same options */
	cont(c);
	cont(p);
	CHECK_EQ(WAIT_STATUS(c), 3 << 8);
	stopped(p, SIGCHLD);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 3 << 8);
}

static void vforks(void)
{
	pid_t p = vfork();

	if (p == 0)
		_exit(4);
	_exit(WEXITSTATUS(WAIT_STATUS(p)));
}

TEST(vfork_events)
{
	pid_t p = tracee(vforks, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE), c;
	int status;

	cont(p);
	event(p, PTRACE_EVENT_VFORK);
	c = (pid_t)message(p);
	stopped(c, SIGSTOP);
	cont(p);
	CHECK_EQ(waitpid(p, &status, __WALL | WNOHANG), 0); /* it waits for its child */
	cont(c);
	CHECK_EQ(WAIT_STATUS(c), 4 << 8);
	event(p, PTRACE_EVENT_VFORK_DONE);
	CHECK_EQ(message(p), c);
	cont(p);
	stopped(p, SIGCHLD);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 4 << 8);
}

static void *thread_body(void *arg)
{
	return arg;
}

static void makes_thread(void)
{
	pthread_t t;

	pthread_create(&t, NULL, thread_body, NULL);
	pthread_join(t, NULL);
}

TEST(clone_event)
{
	pid_t p = tracee(makes_thread, PTRACE_O_TRACECLONE), c;

	cont(p);
	event(p, PTRACE_EVENT_CLONE);
	c = (pid_t)message(p);
	stopped(c, SIGSTOP);
	cont(c);
	cont(p);
	int status;
	CHECK_EQ(waitpid(c, &status, __WALL), c); /* a thread that is traced is waited for */
	CHECK_EQ(status, 0);
	CHECK_EQ(WAIT_STATUS(p), 0);
}

TEST_AS(argc, argv)
{
	return 6;
}

static void execs(void)
{
	execl(test_self, test_self, "--as", "x", NULL);
}

TEST(exec_event)
{
	pid_t p = tracee(execs, PTRACE_O_TRACEEXEC);

	cont(p);
	event(p, PTRACE_EVENT_EXEC);
	CHECK_EQ(message(p), p); /* its id before */
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 6 << 8);
	p = tracee(execs, 0);
	cont(p);
	stopped(p, SIGTRAP); /* without the option: a signal */
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 6 << 8);
}

static void *execs_(void *arg)
{
	execs();
	return arg;
}

static void thread_execs(void)
{
	pthread_t t;

	pthread_create(&t, NULL, execs_, NULL);
	for (;;)
		pause();
}

/* A thread that is not the leader takes the leader's id at execve; the message tells its own. */
TEST(exec_event_of_a_thread)
{
	pid_t p = tracee(thread_execs, PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE), c;

	cont(p);
	event(p, PTRACE_EVENT_CLONE);
	c = (pid_t)message(p);
	cont(p);
	stopped(c, SIGSTOP);
	cont(c);
	event(p, PTRACE_EVENT_EXEC);
	CHECK_EQ(message(p), c);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 6 << 8);
}

static void killed(void)
{
	for (;;)
		pause();
}

TEST(exit_event_by_a_signal)
{
	pid_t p = tracee(killed, PTRACE_O_TRACEEXIT);

	cont(p);
	wait_state(p, 'S');
	CHECK_OK(kill(p, SIGTERM));
	stopped(p, SIGTERM);
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGTERM));
	event(p, PTRACE_EVENT_EXIT);
	CHECK_EQ(message(p) & 0x7f, SIGTERM);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p) & 0x7f, SIGTERM);
}

/* Options of the parent are the child's too; events that are not asked for do not stop. */
TEST(options)
{
	pid_t p = tracee(forks, 0);

	cont(p);
	stopped(p, SIGCHLD);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 3 << 8);
	p = tracee(forks, PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXIT);
	cont(p);
	event(p, PTRACE_EVENT_FORK);
	pid_t c = (pid_t)message(p);
	stopped(c, SIGSTOP);
	cont(c);
	event(c, PTRACE_EVENT_EXIT);
	CHECK_EQ(message(c), 3 << 8);
	cont(c);
	CHECK_EQ(WAIT_STATUS(c), 3 << 8);
	kill(p, SIGKILL);
	waitpid(p, NULL, 0);
}

/* The end of a tracer frees its tracees, or kills them. */
TEST(end_of_a_tracer)
{
	for (int kills = 0; kills < 2; kills++) {
		int fd[2];
		char c;
		pid_t p = test_fork(), tracer;

		if (p == 0)
			for (;;)
				pause();
		CHECK_OK(pipe(fd));
		tracer = test_fork();
		if (tracer == 0) {
			CHECK_OK(pt(PTRACE_SEIZE, p, 0, kills ? PTRACE_O_EXITKILL : 0));
			write(fd[1], "", 1);
			pause();
		}
		CHECK_EQ(read(fd[0], &c, 1), 1);
		CHECK_OK(kill(tracer, SIGKILL));
		CHECK_EQ(WAIT_STATUS(tracer), SIGKILL);
		if (!kills)
			CHECK_OK(kill(p, SIGHUP));
		CHECK_EQ(WAIT_STATUS(p), kills ? SIGKILL : SIGHUP);
	}
}

/* --- system calls --- */

static void info(pid_t p, struct __ptrace_syscall_info *si, size_t want)
{
	memset(si, 0xff, sizeof(*si));
	CHECK_EQ(pt(PTRACE_GET_SYSCALL_INFO, p, sizeof(*si), (unsigned long)si), want);
	CHECK_EQ(si->arch, 0xc000003e);
}

#define INFO_NONE offsetof(struct __ptrace_syscall_info, entry)
#define INFO_ENTRY (INFO_NONE + 56)
#define INFO_EXIT (INFO_NONE + 9)

static void two_calls(void)
{
	syscall(SYS_getppid, 11, 12, 13, 14, 15, 16);
	syscall(SYS_close, 999);
}

TEST(syscall_info)
{
	struct __ptrace_syscall_info si;
	struct user_regs_struct r;
	pid_t p = tracee(two_calls, PTRACE_O_TRACESYSGOOD);

	info(p, &si, INFO_NONE);
	CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_NONE);
	do { /* past what libc does after raise */
		CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
		stopped(p, SIGTRAP | 0x80);
		info(p, &si, INFO_ENTRY);
		CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_ENTRY);
		if (si.entry.nr == SYS_getppid)
			break;
		CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
		stopped(p, SIGTRAP | 0x80);
	} while (true);
	for (int i = 0; i < 6; i++)
		CHECK_EQ(si.entry.args[i], 11 + i);
	CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
	CHECK_EQ(si.instruction_pointer, r.rip);
	CHECK_EQ(si.stack_pointer, r.rsp);
	CHECK_EQ(message(p), 1); /* PTRACE_EVENTMSG_SYSCALL_ENTRY */
	CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
	stopped(p, SIGTRAP | 0x80);
	info(p, &si, INFO_EXIT);
	CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_EXIT);
	CHECK_EQ(si.exit.rval, getpid());
	CHECK_EQ(si.exit.is_error, 0);
	CHECK_EQ(message(p), 2);
	CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
	stopped(p, SIGTRAP | 0x80);
	CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
	stopped(p, SIGTRAP | 0x80);
	info(p, &si, INFO_EXIT);
	CHECK_EQ(si.exit.rval, -EBADF);
	CHECK_EQ(si.exit.is_error, 1);
	/* Less room than there is to tell. */
	memset(&si, 0xff, sizeof(si));
	CHECK_EQ(pt(PTRACE_GET_SYSCALL_INFO, p, 8, (unsigned long)&si), INFO_EXIT);
	CHECK_EQ(si.op, PTRACE_SYSCALL_INFO_EXIT);
	CHECK_EQ(si.instruction_pointer, -1UL);
	CHECK_EQ(pt(PTRACE_GET_SYSCALL_INFO, p, 0, 0), INFO_EXIT);
	CHECK_ERRNO(pt(PTRACE_GET_SYSCALL_INFO, p, 8, 8), EFAULT);
	cont(p);
	WAIT_OK(p);
}

static void emulated(void)
{
	long r = syscall(SYS_getppid, 1, 2, 3);

	_exit(r == 4711 ? 8 : 9);
}

/* One stop a call, at its entry; the call is not made. */
TEST(sysemu)
{
	struct user_regs_struct r;
	pid_t p = tracee(emulated, PTRACE_O_TRACESYSGOOD);

	for (;;) {
		CHECK_OK(pt(PTRACE_SYSEMU, p, 0, 0));
		stopped(p, SIGTRAP | 0x80);
		CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
		if (r.orig_rax == SYS_getppid)
			break;
		r.rax = 0; /* whatever libc does after raise: it works */
		CHECK_OK(pt(PTRACE_SETREGS, p, 0, (unsigned long)&r));
	}
	r.rax = 4711;
	CHECK_OK(pt(PTRACE_SETREGS, p, 0, (unsigned long)&r));
	CHECK_OK(pt(PTRACE_SYSEMU, p, 0, 0));
	stopped(p, SIGTRAP | 0x80);
	CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
	CHECK_EQ(r.orig_rax, SYS_exit_group);
	CHECK_EQ(r.rdi, 8);
	kill(p, SIGKILL);
	CHECK_EQ(WAIT_STATUS(p), SIGKILL);
}

TEST(sysemu_singlestep)
{
	struct user_regs_struct r;
	int status, steps = 0;
	pid_t p = tracee(emulated, PTRACE_O_TRACESYSGOOD);

	for (;; steps++) {
		CHECK(steps < 20000);
		CHECK_OK(pt(PTRACE_SYSEMU_SINGLESTEP, p, 0, 0));
		CHECK_EQ(waitpid(p, &status, 0), p);
		CHECK(WIFSTOPPED(status));
		if (status >> 8 == SIGTRAP)
			continue; /* an instruction */
		CHECK_EQ(status >> 8, SIGTRAP | 0x80);
		CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
		if (r.orig_rax == SYS_getppid)
			break;
		r.rax = 0;
		CHECK_OK(pt(PTRACE_SETREGS, p, 0, (unsigned long)&r));
	}
	CHECK(steps > 3);
	kill(p, SIGKILL);
	CHECK_EQ(WAIT_STATUS(p), SIGKILL);
}

/* A number of -1 at the entry: no call, and what the tracer says is its result. */
TEST(cancelled_call)
{
	struct user_regs_struct r;
	pid_t p = tracee(emulated, PTRACE_O_TRACESYSGOOD);

	for (;;) {
		CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
		stopped(p, SIGTRAP | 0x80);
		CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
		if (r.orig_rax == SYS_getppid)
			break;
		CHECK_OK(pt(PTRACE_SYSCALL, p, 0, 0));
		stopped(p, SIGTRAP | 0x80);
	}
	r.orig_rax = -1UL;
	r.rax = 4711;
	CHECK_OK(pt(PTRACE_SETREGS, p, 0, (unsigned long)&r));
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 8 << 8);
}

static void filtered(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 5),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {4, f};

	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	emulated();
}

/* At seccomp's stop the tracer may skip the call, too. */
TEST(seccomp_event)
{
	struct user_regs_struct r;
	pid_t p = tracee(filtered, PTRACE_O_TRACESECCOMP);

	cont(p);
	event(p, PTRACE_EVENT_SECCOMP);
	CHECK_EQ(message(p), 5);
	CHECK_OK(pt(PTRACE_GETREGS, p, 0, (unsigned long)&r));
	r.orig_rax = -1UL;
	r.rax = 4711;
	CHECK_OK(pt(PTRACE_SETREGS, p, 0, (unsigned long)&r));
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 8 << 8);
	/* Nobody who listens: ENOSYS. */
	p = tracee(filtered, 0);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 9 << 8);
}

/* --- seized --- */

static pid_t seized(unsigned long options)
{
	pid_t p = test_fork();

	if (p == 0)
		for (;;)
			pause();
	wait_state(p, 'S');
	CHECK_OK(pt(PTRACE_SEIZE, p, 0, options));
	return p;
}

static void finish(pid_t p)
{
	kill(p, SIGKILL);
	CHECK_EQ(WAIT_STATUS(p), SIGKILL);
}

TEST(seize_does_not_stop)
{
	pid_t p = seized(PTRACE_O_TRACESYSGOOD);
	int status;

	sleep_ms(20);
	CHECK_EQ(waitpid(p, &status, WNOHANG | __WALL), 0);
	CHECK_EQ(proc_state(p), 'S');
	CHECK_OK(pt(PTRACE_INTERRUPT, p, 0, 0));
	event(p, PTRACE_EVENT_STOP);
	CHECK_OK(pt(PTRACE_INTERRUPT, p, 0, 0)); /* stops once more when it goes on */
	cont(p);
	event(p, PTRACE_EVENT_STOP);
	siginfo_t si;
	CHECK_OK(pt(PTRACE_GETSIGINFO, p, 0, (unsigned long)&si));
	CHECK_EQ(si.si_code, SIGTRAP | PTRACE_EVENT_STOP << 8);
	cont(p);
	wait_state(p, 'S'); /* pause goes on */
	CHECK_OK(kill(p, SIGTERM));
	stopped(p, SIGTERM);
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGTERM));
	CHECK_EQ(WAIT_STATUS(p), SIGTERM);
}

TEST(group_stop_and_listen)
{
	siginfo_t si;
	pid_t p = seized(0);
	int status;

	CHECK_OK(kill(p, SIGSTOP));
	stopped(p, SIGSTOP); /* the delivery */
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGSTOP));
	stopped(p, SIGSTOP | PTRACE_EVENT_STOP << 8); /* the group's stop */
	CHECK_OK(pt(PTRACE_GETSIGINFO, p, 0, (unsigned long)&si));
	CHECK_EQ(si.si_code, SIGSTOP | PTRACE_EVENT_STOP << 8);
	CHECK_OK(pt(PTRACE_LISTEN, p, 0, 0));
	CHECK_ERRNO(pt(PTRACE_CONT, p, 0, 0), ESRCH); /* who listens takes no requests */
	CHECK_EQ(waitpid(p, &status, WNOHANG | __WALL), 0);
	CHECK_OK(pt(PTRACE_INTERRUPT, p, 0, 0)); /* but this one */
	stopped(p, SIGSTOP | PTRACE_EVENT_STOP << 8);
	CHECK_OK(pt(PTRACE_LISTEN, p, 0, 0));
	CHECK_OK(kill(p, SIGCONT));
	event(p, PTRACE_EVENT_STOP); /* the stop is over: it is told */
	cont(p);
	stopped(p, SIGCONT);
	CHECK_ERRNO(pt(PTRACE_LISTEN, p, 0, 0), EIO); /* only at such a stop */
	cont(p);
	finish(p);
}

/* Without that, the group's stop is one that no siginfo tells of. */
TEST(group_stop_of_who_is_attached)
{
	siginfo_t si;
	pid_t p = tracee(killed, 0);

	cont(p);
	wait_state(p, 'S');
	CHECK_OK(kill(p, SIGSTOP));
	stopped(p, SIGSTOP);
	CHECK_OK(pt(PTRACE_GETSIGINFO, p, 0, (unsigned long)&si));
	CHECK_OK(pt(PTRACE_CONT, p, 0, SIGSTOP));
	stopped(p, SIGSTOP);
	CHECK_ERRNO(pt(PTRACE_GETSIGINFO, p, 0, (unsigned long)&si), EINVAL);
	finish(p);
}

/* A child of who is seized begins with that stop, not with a signal. */
static int go[2];
TEST(seized_child)
{
	char c = 0;
	pid_t p, child;

	CHECK_OK(pipe(go));
	p = test_fork();
	if (p == 0) {
		read(go[0], &c, 1);
		forks();
	}
	CHECK_OK(pt(PTRACE_SEIZE, p, 0, PTRACE_O_TRACEFORK));
	CHECK_EQ(write(go[1], &c, 1), 1);
	event(p, PTRACE_EVENT_FORK);
	child = (pid_t)message(p);
	event(child, PTRACE_EVENT_STOP);
	cont(child);
	CHECK_EQ(WAIT_STATUS(child), 3 << 8);
	cont(p);
	stopped(p, SIGCHLD);
	cont(p);
	CHECK_EQ(WAIT_STATUS(p), 3 << 8);
}

/* A process that stands still already when it is seized. */
TEST(seize_of_a_stopped_process)
{
	pid_t p = test_fork();
	int status;

	if (p == 0)
		for (;;)
			pause();
	CHECK_OK(kill(p, SIGSTOP));
	CHECK_EQ(waitpid(p, &status, WUNTRACED), p);
	CHECK_OK(pt(PTRACE_SEIZE, p, 0, 0));
	stopped(p, SIGSTOP | PTRACE_EVENT_STOP << 8);
	CHECK_OK(pt(PTRACE_DETACH, p, 0, 0));
	wait_state(p, 'T'); /* still stopped */
	CHECK_OK(kill(p, SIGCONT));
	wait_state(p, 'S');
	finish(p);
}
