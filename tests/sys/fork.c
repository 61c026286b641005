/* fork, vfork, clone, clone3, unshare, exit of threads */
#include "test.h"

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>

static long clone3_(struct clone_args *a)
{
	return syscall(SYS_clone3, a, sizeof(*a));
}

TEST(identity)
{
	pid_t me = getpid(), pid;
	int p[2];

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		struct {
			pid_t pid, ppid, tid, pgid, sid;
		} ids = {getpid(), getppid(), (pid_t)syscall(SYS_gettid), getpgrp(), getsid(0)};
		CHECK_EQ(ids.ppid, me);
		CHECK_EQ(ids.pid, ids.tid);
		CHECK_EQ(ids.pgid, getpgid(me));
		CHECK_EQ(ids.sid, getsid(me));
		CHECK_EQ(write(p[1], &ids.pid, sizeof(pid_t)), sizeof(pid_t));
		_exit(0);
	}
	pid_t told;
	CHECK_EQ(read(p[0], &told, sizeof(told)), sizeof(told));
	CHECK_EQ(told, pid);
	WAIT_OK(pid);
}

TEST(inherited)
{
	sigset_t set, got;
	struct rlimit r, s;
	char name[16], cwd[300], cwd2[300];

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	alarm(100);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK_OK(prctl(PR_SET_NAME, "the-name"));
	CHECK(getcwd(cwd, 300));
	IN_CHILD({
		CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &got));
		CHECK_EQ(sigismember(&got, SIGUSR1), 1);
		CHECK_OK(sigpending(&got));
		CHECK_EQ(sigismember(&got, SIGUSR1), 0); /* pending signals are not */
		CHECK_EQ(alarm(0), 0);                   /* nor alarms */
		CHECK_OK(getrlimit(RLIMIT_NOFILE, &s));
		CHECK_EQ(r.rlim_cur, s.rlim_cur);
		CHECK_OK(prctl(PR_GET_NAME, name));
		CHECK_STR(name, "the-name");
		CHECK(getcwd(cwd2, 300));
		CHECK_STR(cwd, cwd2);
		struct tms t;
		times(&t);
		CHECK_EQ(t.tms_cutime, 0);
	});
}

TEST(vfork_shares_and_waits)
{
	static volatile int shared;
	int64_t start = now_ms();
	pid_t pid = vfork();

	if (pid == 0) {
		shared = 5;
		struct timespec ts = {0, 60000000};
		syscall(SYS_nanosleep, &ts, NULL);
		_exit(3);
	}
	CHECK(now_ms() - start >= 55);
	CHECK_EQ(shared, 5);
	CHECK_EQ(WAIT_STATUS(pid), 3 << 8);
}

TEST(vfork_exec)
{
	pid_t pid = vfork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exit 4", NULL);
		_exit(99);
	}
	CHECK_EQ(WAIT_STATUS(pid), 4 << 8);
}

TEST(clone_tids)
{
	pid_t *parent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = (pid_t)syscall(SYS_clone,
		CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, 0,
		&parent[0], &parent[1], 0);

	CHECK_OK(pid);
	if (pid == 0) {
		CHECK_EQ(parent[1], (pid_t)syscall(SYS_getpid));
		_exit(0);
	}
	CHECK_EQ(parent[0], pid);
	WAIT_OK(pid);
}

TEST(clone_exit_signal)
{
	siginfo_t si;
	sigset_t set;
	struct timespec ts = {5, 0};

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid_t pid = (pid_t)syscall(SYS_clone, SIGUSR2, 0, 0, 0, 0);
	CHECK_OK(pid);
	if (pid == 0)
		_exit(9);
	CHECK_EQ(sigtimedwait(&set, &si, &ts), SIGUSR2);
	CHECK_EQ(si.si_pid, pid);
	CHECK_EQ(si.si_status, 9);
	CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD); /* needs __WALL or __WCLONE */
	CHECK_EQ(waitpid(pid, NULL, __WALL), pid);
}

TEST(clone_parent)
{
	pid_t pid, made = 0;
	int p[2];

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		made = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (made == 0)
			_exit(7);
		CHECK_EQ(write(p[1], &made, sizeof(made)), sizeof(made));
		_exit(0);
	}
	WAIT_OK(pid);
	CHECK_EQ(read(p[0], &made, sizeof(made)), sizeof(made));
	CHECK_EQ(WAIT_STATUS(made), 7 << 8); /* a sibling of the maker */
}

TEST(clone_files_fs)
{
	char cwd[300];
	static char stack[65536];
	(void)stack;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0);

	CHECK_OK(pid);
	if (pid == 0) {
		dup2(0, 77);
		umask(0123);
		_exit(chdir("/"));
	}
	WAIT_OK(pid);
	CHECK_OK(fcntl(77, F_GETFD));
	CHECK_STR(getcwd(cwd, 300), "/");
	CHECK_EQ(umask(0), 0123);
}

TEST(clone_errors)
{
	CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_VM | CLONE_THREAD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_unshare, 0x1), EINVAL);
}

TEST(clone3)
{
	int pidfd = -1;
	struct clone_args a = {.flags = CLONE_PIDFD,
		.exit_signal = SIGCHLD,
		.pidfd = (uint64_t)(uintptr_t)&pidfd};
	pid_t pid = (pid_t)clone3_(&a);

	CHECK_OK(pid);
	if (pid == 0)
		_exit(5);
	CHECK(pidfd >= 0);
	CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	siginfo_t si;
	CHECK_OK(waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED));
	CHECK_EQ(si.si_status, 5);
	CHECK_EQ(si.si_pid, pid);
}

TEST(clone3_errors)
{
	struct clone_args a = {.exit_signal = SIGCHLD};
	struct {
		struct clone_args a;
		uint64_t more;
	} big = {.a = {.exit_signal = SIGCHLD}, .more = 1};

	CHECK_ERRNO(syscall(SYS_clone3, &a, 8), EINVAL);
	CHECK_ERRNO(syscall(SYS_clone3, &big, sizeof(big)), E2BIG);
	CHECK_ERRNO(syscall(SYS_clone3, &a, 8192), E2BIG);
	CHECK_ERRNO(syscall(SYS_clone3, 8, sizeof(a)), EFAULT);
	a.exit_signal = 65;
	CHECK_ERRNO(clone3_(&a), EINVAL);
	a.exit_signal = SIGCHLD;
	a.flags = CLONE_DETACHED;
	CHECK_ERRNO(clone3_(&a), EINVAL);
	a.flags = 0;
	a.stack = 4096;
	CHECK_ERRNO(clone3_(&a), EINVAL); /* a stack without its size */
	a.stack = 0;
	a.flags = 1ull << 60;
	CHECK_ERRNO(clone3_(&a), EINVAL);
}

TEST(clone3_set_tid)
{
	pid_t want = 31000;
	struct clone_args a = {.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&want,
		.set_tid_size = 1};
	pid_t pid = (pid_t)clone3_(&a);

	if (pid == 0)
		_exit(0);
	CHECK_EQ(pid, 31000);
	CHECK_ERRNO(clone3_(&a), EEXIST);
	WAIT_OK(pid);
}

TEST(new_namespaces)
{
	char name[64];

	IN_CHILD({
		CHECK_OK(unshare(CLONE_NEWUTS));
		CHECK_OK(sethostname("other", 5));
		CHECK_OK(gethostname(name, 64));
		CHECK_STR(name, "other");
	});
	CHECK_OK(gethostname(name, 64));
	CHECK_STR(name, "guest");
}

TEST(new_pid_namespace)
{
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);

	CHECK_OK(pid);
	if (pid == 0) {
		CHECK_EQ(syscall(SYS_getpid), 1);
		CHECK_EQ(syscall(SYS_getppid), 0);
		CHECK_OK(kill(1, SIGTERM)); /* an init ignores what it does not handle */
		if (test_fork() == 0)
			pause();
		_exit(6); /* takes its namespace with it */
	}
	CHECK(pid > 1);
	CHECK_EQ(WAIT_STATUS(pid), 6 << 8);
}

/* Children that do not end with SIGCHLD are zombies also of who ignores that. */
TEST(init_ends_before_clone_children)
{
	for (int i = 0; i < 20; i++) {
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);

		CHECK_OK(pid);
		if (pid == 0) {
			for (int k = 0; k < 4; k++)
				if (syscall(SYS_clone, k % 2 ? SIGUSR2 : 0, 0, 0, 0, 0) == 0)
					for (;;)
						pause();
			_exit(6);
		}
		CHECK_EQ(WAIT_STATUS(pid), 6 << 8);
	}
}

TEST(many_at_once)
{
	pid_t pids[200];

	for (int i = 0; i < 200; i++) {
		pids[i] = test_fork();
		if (pids[i] == 0) {
			sleep_ms(30);
			_exit(i);
		}
	}
	for (int i = 0; i < 200; i++)
		CHECK_EQ(WAIT_STATUS(pids[i]), i << 8);
}

TEST(process_limit)
{
	struct rlimit r = {3, 3};

	IN_CHILD({
		CHECK_OK(setrlimit(RLIMIT_NPROC, &r));
		CHECK_OK(setresuid(4321, 4321, 4321));
		for (int i = 0; i < 2; i++)
			if (test_fork() == 0) {
				sleep_ms(200);
				_exit(0);
			}
		CHECK_ERRNO(fork(), EAGAIN);
	});
}

/* Two pages, some pages apart: the writer's first and its second. */
static volatile uint64_t *first, *second;

static int write_in_order(void *arg)
{
	(void)arg;
	for (uint64_t n = 1;; n++) {
		*first = n;
		*second = n;
	}
	return 0;
}

/*
 * What another thread writes during a fork is in the child up to some moment, not in pieces.  (A
 * small process: one that a kernel may be tempted to copy instead of sharing pages.)
 */
TEST(snapshot_keeps_order_of_writes)
{
	static char stack[8192] __attribute__((aligned(4096)));
	const int flags =
		CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	memset(p, 0, 65536);
	first = (uint64_t *)p;
	second = (uint64_t *)(p + 65536 - 4096);
	CHECK(clone(write_in_order, stack + sizeof(stack), flags, NULL) > 0);
	for (int i = 0; i < 300; i++) {
		pid_t pid = test_fork();

		if (pid == 0) {
			uint64_t before = *first;

			_exit(before < *second);
		}
		WAIT_OK(pid);
	}
	_exit(0); /* and the writer */
}

TEST(fork_chain)
{
	int n = 40, status;

	while (n > 0) {
		pid_t pid = test_fork();

		if (pid > 0) {
			CHECK_EQ(waitpid(pid, &status, 0), pid);
			_exit(n == 40 ? WEXITSTATUS(status) != 39 : WEXITSTATUS(status) + 1);
		}
		n--;
	}
	_exit(0);
}
