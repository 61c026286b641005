/* wait4, waitid, exit codes, orphans, subreapers */
#include "test.h"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>

static pid_t child_exits(int code)
{
	pid_t pid = test_fork();

	if (pid == 0)
		_exit(code);
	return pid;
}

static pid_t sleeper(void)
{
	pid_t pid = test_fork();

	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

TEST(status_words)
{
	int status;
	pid_t pid = child_exits(0x1234);

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0x3400);
	pid = sleeper();
	CHECK_OK(kill(pid, SIGTERM));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGTERM);
	pid = sleeper();
	CHECK_OK(kill(pid, SIGABRT));
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status & 0x7f, SIGABRT);
}

TEST(errors)
{
	pid_t pid;

	CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
	CHECK_ERRNO(waitpid(1, NULL, 0), ECHILD);
	CHECK_ERRNO(waitpid(getpid(), NULL, 0), ECHILD);
	pid = sleeper();
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
	CHECK_ERRNO(waitpid(pid, NULL, 0x100), EINVAL);
	CHECK_ERRNO(waitpid(-99999, NULL, 0), ECHILD);
	CHECK_ERRNO(waitpid(INT_MIN, NULL, 0), ESRCH);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}

TEST(fault)
{
	pid_t pid = child_exits(1);

	CHECK_ERRNO(waitpid(pid, (int *)8, 0), EFAULT);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD); /* reaped all the same */
}

TEST(groups)
{
	int status;
	pid_t a = test_fork(), b;

	if (a == 0) {
		setpgid(0, 0);
		_exit(1);
	}
	setpgid(a, a);
	b = child_exits(2);
	CHECK_EQ(waitpid(-a, &status, 0), a);
	CHECK_EQ(status, 1 << 8);
	CHECK_EQ(waitpid(0, &status, 0), b);
	CHECK_EQ(status, 2 << 8);
	CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
}

TEST(stop_continue)
{
	int status;
	pid_t pid = sleeper();

	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_EQ(status, 0x7f | SIGSTOP << 8);
	CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0); /* told once */
	CHECK_EQ(proc_state(pid), 'T');
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
	CHECK_EQ(status, 0xffff);
	CHECK_EQ(waitpid(pid, &status, WCONTINUED | WNOHANG), 0);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK_OK(kill(pid, SIGTERM)); /* waits for SIGCONT */
	CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
	CHECK_OK(kill(pid, SIGKILL)); /* does not */
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, SIGKILL);
}

TEST(waitid_info)
{
	siginfo_t si;
	pid_t pid = child_exits(5);

	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_signo, SIGCHLD);
	CHECK_EQ(si.si_code, CLD_EXITED);
	CHECK_EQ(si.si_status, 5);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_uid, getuid());
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WEXITED)); /* still there */
	CHECK_ERRNO(waitid(P_PID, (id_t)pid, &si, WEXITED), ECHILD);
	pid = sleeper();
	memset(&si, 0xff, sizeof(si));
	CHECK_OK(waitid(P_ALL, 0, &si, WEXITED | WNOHANG));
	CHECK_EQ(si.si_signo, 0);
	CHECK_EQ(si.si_pid, 0);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WSTOPPED));
	CHECK_EQ(si.si_code, CLD_STOPPED);
	CHECK_EQ(si.si_status, SIGSTOP);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WCONTINUED));
	CHECK_EQ(si.si_code, CLD_CONTINUED);
	CHECK_EQ(si.si_status, SIGCONT);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_OK(waitid(P_PGID, 0, &si, WEXITED));
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGKILL);
	CHECK_ERRNO(waitid(P_PID, 1, &si, 0), EINVAL);
	CHECK_ERRNO(waitid(77, 1, &si, WEXITED), EINVAL);
	CHECK_ERRNO(waitid(P_PID, 0, &si, WEXITED), EINVAL);
}

TEST(core_dumped_code)
{
	struct rlimit none = {0, 0};
	siginfo_t si;
	pid_t pid;

	CHECK_OK(setrlimit(RLIMIT_CORE, &none));
	pid = sleeper();
	CHECK_OK(kill(pid, SIGSEGV));
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WEXITED));
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGSEGV);
}

TEST(usage)
{
	struct rusage ru;
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		for (volatile long i = 0; i < 60000000; i++)
			;
		_exit(0);
	}
	CHECK_EQ(wait4(pid, &status, 0, &ru), pid);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec > 10000);
	CHECK_OK(getrusage(RUSAGE_CHILDREN, &ru));
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec > 10000);
	CHECK_ERRNO(getrusage(77, &ru), EINVAL);
}

TEST(ignored_sigchld)
{
	pid_t pid;

	signal(SIGCHLD, SIG_IGN);
	pid = child_exits(3);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD); /* after it is gone */
	CHECK_ERRNO(kill(pid, 0), ESRCH);
}

TEST(nocldwait)
{
	struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};

	sigaction(SIGCHLD, &sa, NULL);
	CHECK_ERRNO(waitpid(child_exits(3), NULL, 0), ECHILD);
}

static volatile siginfo_t last;
static volatile int count;
static void on_child(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	last = *si;
	count++;
}

TEST(sigchld_info)
{
	struct sigaction sa = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
	pid_t pid;

	sigaction(SIGCHLD, &sa, NULL);
	pid = child_exits(4);
	while (!count)
		sleep_ms(1);
	CHECK_EQ(last.si_pid, pid);
	CHECK_EQ(last.si_status, 4);
	CHECK_EQ(last.si_code, CLD_EXITED);
	WAIT_STATUS(pid);
	count = 0;
	pid = sleeper();
	CHECK_OK(kill(pid, SIGSTOP));
	while (!count)
		sleep_ms(1);
	CHECK_EQ(last.si_code, CLD_STOPPED);
	count = 0;
	sa.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &sa, NULL);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_OK(kill(pid, SIGSTOP));
	sleep_ms(50);
	CHECK_EQ(count, 0);
	CHECK_OK(kill(pid, SIGKILL));
	WAIT_STATUS(pid);
	CHECK_EQ(count, 1);
}

TEST(orphans_go_to_the_subreaper)
{
	int p[2];
	pid_t pid, orphan;

	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		pid_t me = getpid();

		orphan = test_fork();
		if (orphan == 0) {
			while (getppid() == me)
				sleep_ms(1);
			_exit(getppid() == (pid_t)getpgrp() ? 7 : 8);
		}
		CHECK_EQ(write(p[1], &orphan, sizeof(orphan)), sizeof(orphan));
		_exit(0);
	}
	CHECK_EQ(read(p[0], &orphan, sizeof(orphan)), sizeof(orphan));
	WAIT_OK(pid);
	CHECK_EQ(WAIT_STATUS(orphan), 7 << 8);
	int on = 0;
	CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
	CHECK_EQ(on, 1);
	IN_CHILD({
		CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
		CHECK_EQ(on, 0); /* not inherited */
	});
}

TEST(parent_death_signal)
{
	int p[2], sig;
	char c;
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		if (test_fork() == 0) {
			close(p[0]);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			prctl(PR_GET_PDEATHSIG, &sig);
			CHECK_EQ(sig, SIGKILL);
			write(p[1], "r", 1);
			for (;;)
				pause();
		}
		CHECK_EQ(read(p[0], &c, 1), 1);
		_exit(0);
	}
	close(p[1]);
	WAIT_OK(pid);
	CHECK_EQ(read(p[0], &c, 1), 0); /* its last descriptor goes with it */
	CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 100), EINVAL);
}

TEST(zombie)
{
	char path[40], buf[100];
	pid_t pid = child_exits(0);

	wait_state(pid, 'Z');
	CHECK_OK(kill(pid, SIGTERM)); /* a zombie can be signalled */
	CHECK_OK(kill(pid, 0));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	CHECK_STR(slurp(path, buf, sizeof(buf)), "");
	WAIT_OK(pid);
	CHECK_ERRNO(kill(pid, 0), ESRCH);
	CHECK_EQ(proc_state(pid), 0);
}

TEST(wait_wakes_for_any_child)
{
	pid_t a = sleeper(), b;
	int64_t start = now_ms();

	b = test_fork();
	if (b == 0) {
		sleep_ms(60);
		_exit(0);
	}
	CHECK_EQ(wait(NULL), b);
	CHECK(now_ms() - start >= 55);
	kill(a, SIGKILL);
	CHECK_EQ(wait(NULL), a);
}

/* What a wait for all kinds of news but its end gives: -1 ECHILD, 0 nothing yet, or CLD_*. */
static int news(pid_t pid, int options)
{
	siginfo_t si = {0};
	int r = waitid(P_PID, (id_t)pid, &si, options | WNOHANG | WNOWAIT);

	if (r < 0 && errno != ECHILD)
		test_fail("waitid: %s", strerror(errno));
	return r < 0 ? -1 : si.si_pid == pid ? si.si_code : 0;
}

/* Nothing more is to come of a zombie but its end. */
TEST(zombie_will_not_stop)
{
	pid_t pid = child_exits(3);
	siginfo_t si;

	wait_state(pid, 'Z');
	CHECK_ERRNO(waitid(P_PID, (id_t)pid, &si, WSTOPPED), ECHILD);
	CHECK_ERRNO(waitid(P_ALL, 0, &si, WSTOPPED | WCONTINUED), ECHILD);
	CHECK_EQ(news(pid, WEXITED | WSTOPPED), CLD_EXITED);
	CHECK_EQ(WAIT_STATUS(pid), 3 << 8);
}

static void *idle_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

/* The leader's end is not the process's: it can stop, and go on. */
TEST(stop_of_a_process_without_leader)
{
	pid_t pid = test_fork();
	siginfo_t si;
	pthread_t t;

	if (pid == 0) {
		CHECK_EQ(pthread_create(&t, NULL, idle_thread, NULL), 0);
		syscall(SYS_exit, 5);
	}
	wait_state(pid, 'Z');
	CHECK_EQ(news(pid, WEXITED), 0);
	CHECK_EQ(news(pid, WSTOPPED), 0);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WSTOPPED));
	CHECK_EQ(si.si_code, CLD_STOPPED);
	CHECK_OK(kill(pid, SIGCONT));
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WCONTINUED));
	CHECK_EQ(si.si_code, CLD_CONTINUED);
	kill(pid, SIGKILL);
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
}

/* A parent that traces its child waits for it as a tracer does. */
TEST(tracer_is_the_parent)
{
	pid_t pid = test_fork();
	siginfo_t si;

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(3);
	}
	/* Its stops are told without WSTOPPED too, and are never CLD_STOPPED. */
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT));
	CHECK_EQ(si.si_code, CLD_TRAPPED);
	CHECK_EQ(si.si_status, SIGSTOP);
	CHECK_OK(waitid(P_PID, (id_t)pid, &si, WCONTINUED));
	CHECK_EQ(si.si_code, CLD_TRAPPED);
	CHECK_EQ(news(pid, WEXITED | WSTOPPED | WCONTINUED), 0);
	CHECK_OK(ptrace(PTRACE_CONT, pid, 0, 0));
	wait_state(pid, 'Z');
	CHECK_EQ(news(pid, WSTOPPED), -1);
	CHECK_EQ(news(pid, WCONTINUED), -1);
	CHECK_EQ(WAIT_STATUS(pid), 3 << 8);
}

/* A zombie is first its tracer's: the parent goes on waiting. */
TEST(tracer_is_another)
{
	int ready[2], go[2];
	pid_t pid = test_fork(), tracer;
	char c;

	if (pid == 0)
		idle_thread(NULL);
	CHECK_OK(pipe(ready));
	CHECK_OK(pipe(go));
	tracer = test_fork();
	if (tracer == 0) {
		CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
		write(ready[1], "", 1);
		read(go[0], &c, 1);
		CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	CHECK_OK(kill(pid, SIGKILL));
	wait_state(pid, 'Z');
	CHECK_EQ(news(pid, WEXITED), 0);
	CHECK_EQ(news(pid, WSTOPPED), 0);
	write(go[1], "", 1);
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
	WAIT_OK(tracer);
}

/* A tracer that is no parent hears of the end, too, by SIGCHLD. */
TEST(tracer_gets_sigchld)
{
	pid_t middle, pid, *where;
	siginfo_t si;
	sigset_t set;

	where = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	middle = test_fork();
	if (middle == 0) {
		pid = test_fork();
		if (pid == 0)
			idle_thread(NULL);
		__atomic_store_n(where, pid, __ATOMIC_SEQ_CST);
		idle_thread(NULL);
	}
	while (!(pid = __atomic_load_n(where, __ATOMIC_SEQ_CST)))
		sched_yield();
	CHECK_OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_EQ(sigwaitinfo(&set, &si), SIGCHLD);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_code, CLD_KILLED);
	CHECK_EQ(si.si_status, SIGKILL);
	CHECK_EQ(WAIT_STATUS(pid), SIGKILL);
	kill(middle, SIGKILL);
	WAIT_STATUS(middle);
}

/* init of a pid namespace that traces somebody ends, and its namespace with it. */
TEST(init_that_traces_ends)
{
	struct clone_args args = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
	int status;
	pid_t init = (pid_t)syscall(SYS_clone3, &args, sizeof(args)), child;

	CHECK(init >= 0);
	if (init == 0) {
		child = fork();
		if (child == 0) {
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			raise(SIGSTOP);
			_exit(0);
		}
		waitpid(child, &status, 0);
		_exit(WIFSTOPPED(status) ? 7 : 1);
	}
	CHECK_EQ(WAIT_STATUS(init), 7 << 8);
}
