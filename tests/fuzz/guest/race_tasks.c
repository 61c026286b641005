/*
 * Operations of the race fuzzer on tasks: signals, timers, clones of every kind, exec, ptrace,
 * sessions, credentials, namespaces.  What would end a worker is done in children.
 */
#define _GNU_SOURCE
#include "race.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

/* --- children --- */

struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

/* Stacks for children that share our memory; the first word is cleared when the child ends. */
#define STACK_SIZE (64 * 1024UL)
#define NR_STACKS 16

static char *stack_take(struct rnd *r)
{
	for (int i = 0; i < 4; i++) {
		char *s = STACKS + below(r, NR_STACKS) * STACK_SIZE;
		int zero = 0;

		if (__atomic_compare_exchange_n((int *)s, &zero, 1, false, __ATOMIC_ACQ_REL,
			    __ATOMIC_RELAXED))
			return s;
	}
	return NULL;
}

/* After a fork nobody runs on them. */
static void stacks_reset(void)
{
	for (unsigned int i = 0; i < NR_STACKS; i++)
		*(int *)(STACKS + i * STACK_SIZE) = 0;
}

void stacks_map(void)
{
	mmap(STACKS, (NR_STACKS + 1) * STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* A child ends by itself: by its work, or by a timer (which only wakes who shares handlers). */
static void child_starts(bool own_handlers)
{
	struct itimerval it = {{0, 50000}, {0, 300000}};
	struct kernel_sigaction sa = {NULL, 0, NULL, 0};

	if (own_handlers)
		SC(rt_sigaction, SIGALRM, &sa, 0, 8);
	SC(setitimer, ITIMER_REAL, &it, 0);
}

static void child_runs(struct rnd *r, unsigned int n)
{
	for (unsigned int i = below(r, n + 1); i > 0; i--)
		one_op(r);
}

static void child_ends(struct rnd *r)
{
	long self = SC(getpid);

	if (one_in(r, 8))
		SC(kill, self, SIGKILL);
	SC(exit_group, below(r, 3));
	__builtin_unreachable();
}

long fork_ops(struct rnd *r, unsigned int n)
{
	struct rnd mine = {rnd_next(r)};
	long pid;

	if (!may_fork(r))
		return -EAGAIN;
	pid = SC(fork);
	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		child_runs(&mine, n);
		child_ends(&mine);
	}
	pid_add(r, pid);
	return pid;
}

/* clone(flags) with a stack of its own; the child calls fn(arg), which does not return. */
long clone_to(unsigned long flags, void *stack, int *parent_tid, int *child_tid, void (*fn)(void *),
	void *arg);
__asm__(".pushsection .text\n"
	"clone_to:\n"
	"	mov %rcx, %r10\n"
	"	sub $16, %rsi\n"
	"	mov %r8, (%rsi)\n"
	"	mov %r9, 8(%rsi)\n"
	"	mov $56, %eax\n"
	"	xor %r8d, %r8d\n"
	"	syscall\n"
	"	test %eax, %eax\n"
	"	jnz 1f\n"
	"	pop %rax\n"
	"	pop %rdi\n"
	"	xor %ebp, %ebp\n"
	"	call *%rax\n"
	"	hlt\n"
	"1:	ret\n"
	".popsection\n");

/* At the top of a child's stack. */
struct child {
	struct rnd r;
	unsigned long flags;
};

static void child_main(void *arg)
{
	struct child *c = arg;

	if (!(c->flags & CLONE_THREAD))
		child_starts(!(c->flags & CLONE_SIGHAND));
	child_runs(&c->r, 12);
	SC(exit, 0);
}

static long clone_ops(struct rnd *r, unsigned long flags)
{
	char *stack = may_fork(r) ? stack_take(r) : NULL;
	struct child *c;
	long pid;

	if (!stack)
		return -EAGAIN;
	c = (struct child *)(stack + STACK_SIZE - 64);
	*c = (struct child){{rnd_next(r)}, flags};
	pid = clone_to(flags | CLONE_CHILD_CLEARTID, c, NULL, (int *)stack, child_main, c);
	if (pid < 0)
		*(int *)stack = 0;
	pid_add(r, pid);
	return pid;
}

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static void clone_sharing(struct rnd *r)
{
	static const unsigned long flags[] = {CLONE_VM | SIGCHLD, CLONE_VM | CLONE_FILES | SIGCHLD,
		CLONE_VM | CLONE_SIGHAND | SIGCHLD, CLONE_VM | CLONE_FILES | CLONE_FS | SIGUSR2,
		CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | CLONE_PARENT,
		CLONE_VM | CLONE_VFORK | SIGCHLD, CLONE_VM | CLONE_UNTRACED | SIGCHLD, THREAD,
		THREAD};

	clone_ops(r, PICK(r, flags));
}

static void fork_some(struct rnd *r)
{
	fork_ops(r, 20);
}

/* Like fork, but the descriptors, the directory or the parent are shared. */
static void fork_sharing(struct rnd *r)
{
	static const uint64_t flags[] = {CLONE_FILES, CLONE_FILES, CLONE_FS, CLONE_FILES | CLONE_FS,
		CLONE_PARENT, CLONE_PTRACE, CLONE_SYSVSEM, CLONE_IO, CLONE_CLEAR_SIGHAND};
	struct rnd mine = {rnd_next(r)};
	int pidfd = -1;
	struct clone_args a = {.flags = PICK(r, flags) | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd,
		.exit_signal = SIGCHLD};
	long pid;

	if (a.flags & CLONE_PARENT)
		a.exit_signal = 0;
	if (!may_fork(r))
		return;
	pid = SC(clone3, &a, sizeof(a));
	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		child_runs(&mine, 20);
		child_ends(&mine);
	}
	pid_add(r, pid);
	if (pid > 0)
		pool_put(r, K_PIDFD, pidfd);
}

static void vfork_end(struct rnd *r)
{
	char *const argv[] = {"race_fuzz", "end", NULL}, *const envp[] = {NULL};
	unsigned int how = below(r, 3);
	long pid = may_fork(r) ? SC(vfork) : -EAGAIN;

	if (pid == 0) {
		if (how == 0)
			SC(execve, "/proc/self/exe", argv, envp);
		pid = SC(getpid);
		if (how == 1)
			SC(kill, pid, SIGKILL);
		SC(exit_group, 0);
	}
	pid_add(r, pid);
}

static void reap(struct rnd *r)
{
	static const int how[] = {0, __WALL, __WCLONE, WUNTRACED | WCONTINUED, __WALL | WUNTRACED};
	siginfo_t i;

	for (int n = 0; n < 8; n++)
		if (SC(wait4, one_in(r, 2) ? -1 : some_pid(r), some_buf(r), WNOHANG | PICK(r, how),
			    0) <= 0)
			break;
	SC(waitid, one_in(r, 2) ? P_ALL : P_PIDFD, fd_of(r, K_PIDFD), &i,
		WNOHANG | WEXITED | (one_in(r, 2) ? WNOWAIT : 0), 0);
}

/* Blocks until a child ends or a signal comes. */
static void await(struct rnd *r)
{
	fork_ops(r, 4);
	SC(wait4, one_in(r, 2) ? -1 : 0, 0, one_in(r, 2) ? __WALL : 0, 0);
}

static void pidfd_use(struct rnd *r)
{
	int fd = fd_of(r, K_PIDFD);

	switch (below(r, 4)) {
	case 0:
		SC(pidfd_send_signal, fd, one_in(r, 4) ? SIGKILL : 0, 0, 0);
		break;
	case 1:
		pool_put(r, (enum kind)below(r, NR_KINDS), SC(pidfd_getfd, fd, fd_any(r), 0));
		break;
	case 2:
		SC(setns, fd, CLONE_NEWUTS);
		break;
	default:
		pool_put(r, K_PIDFD, SC(pidfd_open, some_pid(r), one_in(r, 2) ? 0 : O_EXCL));
		break;
	}
}

/* --- exec --- */

static void exec_self(struct rnd *r)
{
	char seed[32];
	char *const envp[] = {NULL};
	char *const again[] = {"race_fuzz", "op", seed, NULL}, *const end[] = {"race_fuzz", "end",
								       NULL};

	snprintf(seed, sizeof(seed), "%lu", (unsigned long)rnd_next(r));
	if (one_in(r, 3))
		SC(execve, "/tests/race_suid", end, envp);
	else if (one_in(r, 2))
		SC(execve, "/proc/self/exe", again, envp);
	else
		SC(execve, "/proc/self/exe", end, envp);
	SC(exit_group, 1);
}

static void exec_thread(void *arg)
{
	exec_self(&((struct child *)arg)->r);
}

/* A process with threads, one of which executes while others work, trace, filter or end. */
static void exec_among(struct rnd *r)
{
	struct rnd mine = {rnd_next(r)};
	long pid = may_fork(r) ? SC(fork) : -EAGAIN;

	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		for (unsigned int i = below(&mine, 4); i > 0; i--)
			clone_ops(&mine,
				one_in(&mine, 3) ? CLONE_VM | CLONE_FILES | SIGCHLD : THREAD);
		if (one_in(&mine, 2)) {
			struct child *c =
				(struct child *)(STACKS + NR_STACKS * STACK_SIZE + STACK_SIZE - 64);

			/* Behind the others: nobody else's. */
			*c = (struct child){{rnd_next(&mine)}, THREAD};
			clone_to(THREAD, c, NULL, NULL, exec_thread, c);
			child_runs(&mine, 6);
			child_ends(&mine);
		}
		exec_self(&mine);
	}
	pid_add(r, pid);
}

/* --- signals --- */

static void send_signal(struct rnd *r)
{
	static const int signals[] = {SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT, SIGTSTP, SIGCHLD, SIGTERM,
		SIGHUP, 0, 40, 41, SIGIO};
	int sig = one_in(r, 24) ? SIGKILL : PICK(r, signals), pid = some_pid(r);

	switch (below(r, 5)) {
	case 0:
		SC(tgkill, pid, one_in(r, 2) ? pid : some_pid(r), sig);
		break;
	case 1:
		SC(tkill, pid, sig);
		break;
	case 2:
		SC(kill, -pid, sig == SIGKILL ? SIGCONT : sig);
		break;
	case 3: {
		siginfo_t i = {.si_code = SI_QUEUE, .si_pid = pid};

		SC(rt_sigqueueinfo, pid, 34 + below(r, 20), &i);
		break;
	}
	default:
		SC(kill, pid, sig);
		break;
	}
}

static void take_signal(struct rnd *r)
{
	uint64_t set = rnd_next(r) & ~(1UL << (SIGUSR1 - 1));
	struct timespec ts;

	SC(rt_sigprocmask, below(r, 3), &set, 0, 8);
	SC(rt_sigtimedwait, &set, 0, soon(r, &ts), 8);
	SC(read, fd_of(r, K_SIGNALFD), some_buf(r), 512);
}

static void suspend(struct rnd *r)
{
	uint64_t none = 0;

	if (one_in(r, 4))
		SC(rt_sigsuspend, &none, 8);
	SC(sched_yield);
}

/* --- timers --- */

static void posix_timer(struct rnd *r)
{
	static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID};
	struct sigevent e = {.sigev_notify = one_in(r, 2) ? SIGEV_SIGNAL : SIGEV_THREAD_ID,
		.sigev_signo = one_in(r, 2) ? SIGUSR2 : 40};
	struct itimerspec it = {{0, one_in(r, 2) ? 0 : 1000000 + below(r, 5000000)},
		{0, below(r, 3000000)}};
	int id = (int)below(r, 8);

	e._sigev_un._tid = (int)SC(gettid);
	switch (below(r, 5)) {
	case 0:
		SC(timer_create, PICK(r, clocks), &e, &id);
		break;
	case 1:
		SC(timer_delete, id);
		break;
	case 2:
		SC(timer_gettime, id, some_buf(r));
		break;
	default:
		SC(timer_settime, id, 0, &it, 0);
		break;
	}
}

static void interval_timer(struct rnd *r)
{
	struct itimerval it = {{0, one_in(r, 2) ? 0 : 5000}, {0, below(r, 5000)}};

	SC(setitimer, one_in(r, 2) ? ITIMER_VIRTUAL : ITIMER_PROF, &it, 0);
}

static void sleep_some(struct rnd *r)
{
	struct timespec ts;

	if (one_in(r, 2))
		SC(nanosleep, soon(r, &ts), 0);
	else
		SC(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME,
			soon_at(r, &ts, CLOCK_MONOTONIC), 0);
}

/* --- ptrace --- */

static void trace_other(struct rnd *r)
{
	int pid = some_pid(r);

	if (SC(ptrace, one_in(r, 2) ? PTRACE_SEIZE : PTRACE_ATTACH, pid, 0, 0) != 0)
		return;
	if (one_in(r, 2))
		SC(ptrace, PTRACE_INTERRUPT, pid, 0, 0);
	SC(wait4, pid, 0, WNOHANG | __WALL, 0);
	if (one_in(r, 2))
		SC(ptrace, PTRACE_CONT, pid, 0, 0);
	if (!one_in(r, 4)) {
		SC(wait4, pid, 0, WNOHANG | __WALL, 0);
		SC(ptrace, PTRACE_DETACH, pid, 0, one_in(r, 3) ? SIGCONT : 0);
	}
}

/* Whoever stops is made to go on, one way or another. */
static void trace_serve(struct rnd *r)
{
	static const int how[] = {PTRACE_CONT, PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SINGLESTEP,
		PTRACE_DETACH, PTRACE_LISTEN, PTRACE_KILL};
	struct user_regs_struct regs;
	struct iovec v = {&regs, sizeof(regs)};
	long pid;

	for (int i = 0; i < 6; i++) {
		pid = SC(wait4, -1, 0, WNOHANG | __WALL | WUNTRACED, 0);
		if (pid <= 0)
			break;
		SC(ptrace, PTRACE_GETREGSET, pid, NT_PRSTATUS, &v);
		if (one_in(r, 2))
			SC(ptrace, PTRACE_SETREGSET, pid, NT_PRSTATUS, &v);
		SC(ptrace, PTRACE_PEEKDATA, pid, some_page(r), some_buf(r));
		SC(ptrace, PTRACE_GETEVENTMSG, pid, 0, some_buf(r));
		SC(ptrace, PTRACE_SETOPTIONS, pid, 0, rnd_next(r) & 0x7f);
		SC(ptrace, PICK(r, how), pid, 0, 0);
	}
}

/* A tracer with a child that asks to be traced and then works; either may end first. */
static void trace_child(struct rnd *r)
{
	struct rnd mine = {rnd_next(r)};
	long pid = may_fork(r) ? SC(fork) : -EAGAIN, child;

	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		child = SC(fork);
		if (child == 0) {
			child_starts(true);
			SC(ptrace, PTRACE_TRACEME, 0, 0, 0);
			child = SC(getpid);
			if (one_in(&mine, 2))
				SC(kill, child, SIGSTOP);
			child_runs(&mine, 12);
			if (one_in(&mine, 3))
				exec_self(&mine);
			child_ends(&mine);
		}
		pid_add(&mine, child);
		for (unsigned int i = below(&mine, 30); i > 0; i--)
			trace_serve(&mine);
		child_ends(&mine);
	}
	pid_add(r, pid);
}

/* --- sessions, credentials, namespaces --- */

static void session(struct rnd *r)
{
	switch (below(r, 4)) {
	case 0:
		SC(setsid);
		break;
	case 1:
		SC(setpgid, one_in(r, 2) ? 0 : some_pid(r), one_in(r, 2) ? 0 : some_pid(r));
		break;
	case 2:
		SC(getsid, some_pid(r));
		break;
	default:
		SC(getpgid, some_pid(r));
		break;
	}
}

/* A child with a session, which ends before those that are in it. */
static void session_child(struct rnd *r)
{
	struct rnd mine = {rnd_next(r)};
	long pid = may_fork(r) ? SC(fork) : -EAGAIN;

	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		SC(setsid);
		fork_ops(&mine, 20);
		fork_ops(&mine, 20);
		child_runs(&mine, 20);
		child_ends(&mine);
	}
	pid_add(r, pid);
}

static void filter_all(struct rnd *r)
{
	struct sock_filter allow[] = {{0x06, 0, 0, 0x7fff0000}};
	struct sock_fprog p = {1, allow};

	SC(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	SC(seccomp, SECCOMP_SET_MODE_FILTER, one_in(r, 2) ? SECCOMP_FILTER_FLAG_TSYNC : 0, &p);
}

static void change_creds(struct rnd *r)
{
	static const int ids[] = {-1, 0, 1000, 65534};
	int groups[2] = {5, 6};

	switch (below(r, 6)) {
	case 0:
		SC(setresuid, PICK(r, ids), PICK(r, ids), PICK(r, ids));
		break;
	case 1:
		SC(setresgid, PICK(r, ids), PICK(r, ids), PICK(r, ids));
		break;
	case 2:
		SC(setgroups, below(r, 3), groups);
		break;
	case 3:
		SC(prctl, PR_SET_DUMPABLE, below(r, 2), 0, 0, 0);
		break;
	case 4:
		SC(prctl, PR_SET_CHILD_SUBREAPER, below(r, 2), 0, 0, 0);
		break;
	default:
		filter_all(r);
		break;
	}
}

/* Credentials change while threads of the process use them. */
static void creds_child(struct rnd *r)
{
	struct rnd mine = {rnd_next(r)};
	long pid = may_fork(r) ? SC(fork) : -EAGAIN;

	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		clone_ops(&mine, THREAD);
		clone_ops(&mine, THREAD);
		for (unsigned int i = below(&mine, 6); i > 0; i--) {
			change_creds(&mine);
			one_op(&mine);
		}
		if (one_in(&mine, 3))
			exec_self(&mine);
		child_ends(&mine);
	}
	pid_add(r, pid);
}

static void look_at_creds(struct rnd *r)
{
	int pid = some_pid(r);
	struct iovec local = {some_buf(r), some_len(r)}, remote = {some_page(r), PAGE};

	SC(kcmp, pid, some_pid(r), below(r, 8), fd_any(r), fd_any(r));
	SC(prlimit64, pid, 7, 0, some_buf(r));
	SC(process_vm_readv, pid, &local, 1, &remote, 1, 0);
	SC(getpriority, 0, pid);
	SC(sched_getaffinity, pid, 8, some_buf(r));
	SC(get_robust_list, pid, some_buf(r), some_buf(r));
}

static void namespaces(struct rnd *r)
{
	static const unsigned long flags[] = {CLONE_NEWPID, CLONE_NEWPID, CLONE_NEWNS, CLONE_NEWUTS,
		CLONE_NEWIPC, CLONE_NEWIPC | CLONE_NEWPID, CLONE_NEWNS | CLONE_NEWUTS};
	struct rnd mine = {rnd_next(r)};
	struct clone_args a = {.flags = PICK(r, flags), .exit_signal = SIGCHLD};
	long pid = may_fork(r) ? SC(clone3, &a, sizeof(a)) : -EAGAIN;

	if (pid == 0) {
		stacks_reset();
		child_starts(true);
		/* Process 1 of its own: its end takes all others along. */
		fork_ops(&mine, 20);
		fork_ops(&mine, 20);
		child_runs(&mine, 12);
		child_ends(&mine);
	}
	pid_add(r, pid);
}

static void join(struct rnd *r)
{
	pool_make(r, K_NS);
	SC(setns, fd_of(r, K_NS), 0);
	if (one_in(r, 2))
		SC(unshare, one_in(r, 2) ? CLONE_NEWIPC : CLONE_NEWUTS);
	if (one_in(r, 8))
		SC(unshare, CLONE_FILES);
}

const struct op task_ops[] = {{F_SIGNALS, 4, send_signal}, {F_SIGNALS, 2, take_signal},
	{F_SIGNALS, 1, suspend}, {F_TIMERS, 3, posix_timer}, {F_TIMERS, 1, interval_timer},
	{F_TIMERS, 2, sleep_some}, {F_TASKS, 3, fork_some}, {F_TASKS, 4, clone_sharing},
	{F_TASKS, 3, fork_sharing}, {F_TASKS, 1, vfork_end}, {F_TASKS, 3, reap},
	{F_TASKS, 1, await}, {F_TASKS, 2, pidfd_use}, {F_EXEC, 2, exec_among}, {F_EXEC, 1, reap},
	{F_PTRACE, 2, trace_other}, {F_PTRACE, 3, trace_serve}, {F_PTRACE, 2, trace_child},
	{F_SESSIONS, 2, session}, {F_SESSIONS, 2, session_child}, {F_CREDS, 2, creds_child},
	{F_CREDS, 2, look_at_creds}, {F_NAMESPACES, 2, namespaces}, {F_NAMESPACES, 2, join},
	{F_NAMESPACES, 1, reap}, {0, 0, NULL}};
