/* seccomp, prctl(PR_SET_SECCOMP): strict mode, filters, what they answer, chains, threads */
#include "test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

#define LOAD(f) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, f))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, v)
#define JEQ(v, t, f) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, v, t, f)

#define PROG(...)                                                                                  \
	(&(struct sock_fprog){sizeof((struct sock_filter[]){__VA_ARGS__}) / 8,                     \
		(struct sock_filter[]){__VA_ARGS__}})
/* Call nr gives ret, everything else runs. */
#define ON(nr_, ret) PROG(LOAD(nr), JEQ(nr_, 0, 1), RET(ret), RET(SECCOMP_RET_ALLOW))

static long seccomp(unsigned int op, unsigned int flags, void *args)
{
	return syscall(SYS_seccomp, op, flags, args);
}

static long filter(struct sock_fprog *p)
{
	return seccomp(SECCOMP_SET_MODE_FILTER, 0, p);
}

static void nnp(void)
{
	CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

TEST(arguments)
{
	struct sock_fprog *ok = PROG(RET(SECCOMP_RET_ALLOW)), bad = *ok;
	uint32_t action;

	CHECK_ERRNO(seccomp(99, 0, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 0, &bad), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 1 << 20, ok), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, 3, 0, 0, 0), EINVAL);
	bad.len = 0;
	CHECK_ERRNO(filter(&bad), EINVAL);
	bad.len = 4097;
	CHECK_ERRNO(filter(&bad), EINVAL);
	bad.len = 1;
	bad.filter = (void *)8;
	CHECK_ERRNO(filter(&bad), EFAULT);
	action = SECCOMP_RET_ERRNO;
	CHECK_OK(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action));
	action = 0x12340000;
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &action), EOPNOTSUPP);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &action), EINVAL);
	CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
}

#define REFUSED(...) CHECK_ERRNO(filter(PROG(__VA_ARGS__)), EINVAL)

TEST(programs)
{
	REFUSED(LOAD(nr));                                       /* no return */
	REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RET(0)); /* past the data */
	REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RET(0));  /* not aligned */
	REFUSED(BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RET(0));  /* not a word */
	REFUSED(BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RET(0));
	REFUSED(BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0));
	REFUSED(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RET(0)); /* not for seccomp */
	REFUSED(BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0));
	REFUSED(BPF_STMT(BPF_ST, 16), RET(0));
	REFUSED(BPF_STMT(BPF_LD | BPF_MEM, 0), RET(0)); /* never stored */
	REFUSED(JEQ(0, 0, 1), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0));
	REFUSED(JEQ(0, 1, 0), RET(0)); /* jumps out */
	REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0));
	REFUSED(BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), RET(0));
	REFUSED(BPF_STMT(BPF_RET | BPF_X, 0));
	REFUSED(BPF_STMT(0xffff, 0), RET(0));
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_OK(filter(PROG(BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_LD | BPF_MEM, 3), JEQ(64, 0, 1), RET(SECCOMP_RET_ALLOW), RET(0))));
	CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
}

TEST(arithmetic)
{
	/* ((100 - 4) / 8 * 3 ^ 5 | 64) & 0xff << 1 >> 1, by K and X; the result is the errno */
	CHECK_OK(filter(PROG(LOAD(nr), JEQ(SYS_getppid, 1, 0), RET(SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LDX | BPF_IMM, 4), BPF_STMT(BPF_LD | BPF_IMM, 100),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 8),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 5),
		BPF_STMT(BPF_ALU | BPF_OR | BPF_K, 64), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 1), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_STMT(BPF_RET | BPF_A, 0))));
	CHECK_ERRNO(syscall(SYS_getppid), (((100 - 4) / 8 * 3) ^ 5) | 64);
}

TEST(division_by_zero)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		filter(PROG(LOAD(nr), JEQ(SYS_getppid, 1, 0), RET(SECCOMP_RET_ALLOW),
			BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
			RET(SECCOMP_RET_ALLOW)));
		syscall(SYS_getppid);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSYS);
}

TEST(errno_and_data)
{
	CHECK_OK(filter(ON(SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY)));
	CHECK_ERRNO(syscall(SYS_getppid), ENOTTY);
	CHECK_OK(filter(ON(SYS_getppid, SECCOMP_RET_ERRNO | EBADF))); /* the newest of equals */
	CHECK_ERRNO(syscall(SYS_getppid), EBADF);
	CHECK_OK(filter(ON(SYS_getpgrp, SECCOMP_RET_ERRNO | 0xffff)));
	CHECK_ERRNO(syscall(SYS_getpgrp), 4095);
	CHECK_OK(filter(ON(SYS_getsid, SECCOMP_RET_ERRNO)));
	CHECK_EQ(syscall(SYS_getsid, 12345), 0);
	CHECK_OK(filter(ON(SYS_getppid, SECCOMP_RET_LOG)));
	CHECK_ERRNO(syscall(SYS_getppid), EBADF); /* the most restrictive answer counts */
	IN_CHILD(CHECK_ERRNO(syscall(SYS_getppid), EBADF));
}

TEST(arguments_are_seen)
{
	CHECK_OK(filter(PROG(LOAD(arch), JEQ(AUDIT_ARCH_X86_64, 1, 0),
		RET(SECCOMP_RET_KILL_PROCESS), LOAD(nr), JEQ(SYS_close, 1, 0),
		RET(SECCOMP_RET_ALLOW), LOAD(args[0]), JEQ(0x89abcdef, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]) + 4),
		JEQ(0x01234567, 0, 1), RET(SECCOMP_RET_ERRNO | EXDEV), RET(SECCOMP_RET_ALLOW))));
	CHECK_ERRNO(syscall(SYS_close, 0x0123456789abcdefUL), EXDEV);
	CHECK_ERRNO(syscall(SYS_close, 0x1123456789abcdefUL), EBADF);
}

TEST(inherited_over_exec)
{
	char *argv[] = {"busybox", "sh", "-c", "mkdir x 2>/dev/null && exit 1; exit 0", NULL};
	pid_t pid;

	CHECK_OK(filter(ON(SYS_mkdir, SECCOMP_RET_ERRNO | EPERM)));
	CHECK_OK(filter(ON(SYS_mkdirat, SECCOMP_RET_ERRNO | EPERM)));
	pid = test_fork();
	if (pid == 0) {
		execv("/bin/busybox", argv);
		_exit(9);
	}
	WAIT_OK(pid);
}

static siginfo_t trap_info;
static long trap_rax;
static void on_sys(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	trap_info = *si;
	trap_rax = ((ucontext_t *)uc)->uc_mcontext.gregs[REG_RAX];
	((ucontext_t *)uc)->uc_mcontext.gregs[REG_RAX] = 4711;
}

TEST(trap)
{
	struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};

	CHECK_OK(sigaction(SIGSYS, &sa, NULL));
	CHECK_OK(filter(ON(SYS_getppid, SECCOMP_RET_TRAP | 77)));
	CHECK_EQ(syscall(SYS_getppid), 4711);
	CHECK_EQ(trap_rax, SYS_getppid);
	CHECK_EQ(trap_info.si_signo, SIGSYS);
	CHECK_EQ(trap_info.si_code, 1);
	CHECK_EQ(trap_info.si_errno, 77);
	CHECK_EQ(trap_info.si_syscall, SYS_getppid);
	CHECK_EQ(trap_info.si_arch, AUDIT_ARCH_X86_64);
	CHECK(trap_info.si_call_addr != NULL);
}

TEST(trap_blocked)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
		sigset_t set;
		sigaction(SIGSYS, &sa, NULL);
		sigfillset(&set);
		sigprocmask(SIG_BLOCK, &set, NULL);
		filter(ON(SYS_getppid, SECCOMP_RET_TRAP));
		syscall(SYS_getppid);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSYS);
}

static pid_t killed_by(uint32_t ret)
{
	pid_t pid = test_fork();

	if (pid == 0) {
		struct sigaction sa = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
		sigaction(SIGSYS, &sa, NULL);
		CHECK_OK(filter(ON(SYS_getppid, ret)));
		syscall(SYS_getppid);
		_exit(0);
	}
	return pid;
}

TEST(kill)
{
	CHECK_EQ(WAIT_STATUS(killed_by(SECCOMP_RET_KILL_PROCESS)) & 0x7f, SIGSYS);
	CHECK_EQ(WAIT_STATUS(killed_by(SECCOMP_RET_KILL_THREAD)) & 0x7f, SIGSYS);
	CHECK_EQ(WAIT_STATUS(killed_by(0x12340000)) & 0x7f, SIGSYS); /* not known */
	CHECK_EQ(WAIT_STATUS(killed_by(SECCOMP_RET_LOG)), 0);
	CHECK_EQ(WAIT_STATUS(killed_by(SECCOMP_RET_TRACE)), 0);
}

static void *call_getppid(void *arg)
{
	long r = syscall(SYS_getppid);

	(void)arg;
	return (void *)(r < 0 ? (long)-errno : r);
}

TEST(kill_thread)
{
	pthread_t th;
	pid_t pid = test_fork();

	if (pid == 0) {
		filter(ON(SYS_getppid, SECCOMP_RET_KILL_THREAD));
		pthread_create(&th, NULL, call_getppid, NULL);
		for (int i = 0; i < 100; i++) { /* the thread goes, we stay */
			char buf[4096];
			slurp("/proc/self/status", buf, sizeof(buf));
			if (strstr(buf, "Threads:\t1\n"))
				_exit(7);
			sleep_ms(20);
		}
		_exit(8);
	}
	CHECK_EQ(WAIT_STATUS(pid), 7 << 8);
	pid = test_fork();
	if (pid == 0) {
		filter(ON(SYS_getppid, SECCOMP_RET_KILL_PROCESS));
		pthread_create(&th, NULL, call_getppid, NULL);
		pause();
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGSYS);
}

TEST(strict)
{
	pid_t pid = test_fork();
	int p[2];

	if (pid == 0) {
		CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
		syscall(SYS_exit, 3);
	}
	CHECK_EQ(WAIT_STATUS(pid), 3 << 8);
	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		CHECK_OK(seccomp(SECCOMP_SET_MODE_STRICT, 0, NULL));
		write(p[1], "x", 1);
		syscall(SYS_getpid);
		write(p[1], "y", 1);
		syscall(SYS_exit, 3);
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
	char buf[8];
	CHECK_EQ(read(p[0], buf, 8), 1);
}

TEST(modes_do_not_mix)
{
	CHECK_OK(filter(PROG(RET(SECCOMP_RET_ALLOW))));
	CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0), EINVAL);
	CHECK_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PROG(RET(SECCOMP_RET_ALLOW)), 0, 0));
}

TEST(privileges)
{
	struct sock_fprog *p = PROG(RET(SECCOMP_RET_ALLOW));

	if (geteuid() != 0)
		test_skip("not root");
	CHECK_OK(setresuid(1000, 1000, 1000));
	CHECK_ERRNO(filter(p), EACCES);
	nnp();
	CHECK_OK(filter(p));
}

TEST(proc_status)
{
	char buf[4096];

	CHECK(strstr(slurp("/proc/self/status", buf, sizeof(buf)), "\nSeccomp:\t0\n"));
	CHECK_OK(filter(PROG(RET(SECCOMP_RET_ALLOW))));
	CHECK_OK(filter(PROG(RET(SECCOMP_RET_ALLOW))));
	slurp("/proc/self/status", buf, sizeof(buf));
	CHECK(strstr(buf, "\nSeccomp:\t2\n"));
	CHECK(strstr(buf, "\nSeccomp_filters:\t2\n"));
}

TEST(too_many)
{
	static struct sock_filter f[4096];
	struct sock_fprog p = {4096, f};
	int n = 0;

	for (int i = 0; i < 4096; i++)
		f[i] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);
	/* 32768 instructions with 4 more a filter; some may be there before us */
	while (n < 7 && filter(&p) == 0)
		n++;
	CHECK_ERRNO(filter(&p), ENOMEM);
	CHECK(n > 0);
}

static int go[2];
static void *wait_and_call(void *arg)
{
	char c;

	if (arg)
		filter(ON(SYS_getpgrp, SECCOMP_RET_ERRNO | EBADF));
	write(go[1], "r", 1);
	while (__atomic_load_n((int *)&trap_rax, __ATOMIC_ACQUIRE) == 0)
		sleep_ms(5);
	c = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 1 : 0;
	if (!c)
		return (void *)1;
	return call_getppid(NULL);
}

TEST(tsync)
{
	pthread_t th;
	void *ret;
	char c;

	nnp();
	CHECK_OK(pipe(go));
	trap_rax = 0;
	pthread_create(&th, NULL, wait_and_call, NULL);
	CHECK_EQ(read(go[0], &c, 1), 1);
	CHECK_OK(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
		ON(SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY)));
	__atomic_store_n((int *)&trap_rax, 1, __ATOMIC_RELEASE);
	pthread_join(th, &ret);
	CHECK_EQ((long)ret, -ENOTTY);
}

static pid_t diverged_tid;
static void *diverge(void *arg)
{
	diverged_tid = (pid_t)syscall(SYS_gettid);
	return wait_and_call(arg);
}

TEST(tsync_diverged)
{
	pthread_t th;
	char c;

	nnp();
	CHECK_OK(pipe(go));
	trap_rax = 0;
	pthread_create(&th, NULL, diverge, &th);
	CHECK_EQ(read(go[0], &c, 1), 1);
	CHECK_EQ(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			 PROG(RET(SECCOMP_RET_ALLOW))),
		diverged_tid);
	CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
	CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH,
			    PROG(RET(SECCOMP_RET_ALLOW))),
		ESRCH);
	__atomic_store_n((int *)&trap_rax, 1, __ATOMIC_RELEASE);
	pthread_join(th, NULL);
}

TEST(traced)
{
	struct __attribute__((aligned(16))) user_regs {
		unsigned long r[27];
	} regs;
	unsigned long msg;
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		filter(ON(SYS_getppid, SECCOMP_RET_TRACE | 42));
		if (syscall(SYS_getppid) != 1234)
			_exit(1);
		if (syscall(SYS_getppid) != getpid())
			_exit(2);
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP));
	CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
	CHECK_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg));
	CHECK_EQ(msg, 42);
	CHECK_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
	CHECK_EQ(regs.r[15], SYS_getppid); /* orig_rax */
	regs.r[15] = -1UL;                 /* skipped, with a result of ours */
	regs.r[10] = 1234;
	CHECK_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
	CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
	CHECK_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
	regs.r[15] = SYS_getpid; /* another call instead */
	CHECK_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
	CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
	WAIT_OK(pid);
}
