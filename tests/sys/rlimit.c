/* getrlimit, setrlimit, prlimit and what the limits do */
#include "test.h"

#include <sys/resource.h>
#include <sys/time.h>

TEST(rules)
{
	struct rlimit r, old;

	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK(r.rlim_cur <= r.rlim_max);
	r.rlim_cur = r.rlim_max + 1;
	CHECK_ERRNO(setrlimit(RLIMIT_CORE, &(struct rlimit){2, 1}), EINVAL);
	CHECK_ERRNO(getrlimit(99, &r), EINVAL);
	CHECK_ERRNO(setrlimit(99, &r), EINVAL);
	CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_CORE, 8), EFAULT);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 200}));
	CHECK_OK(prlimit(0, RLIMIT_NOFILE, &(struct rlimit){50, 200}, &old));
	CHECK_EQ(old.rlim_cur, 100);
	CHECK_EQ(old.rlim_max, 200);
	CHECK_ERRNO(prlimit(99999, RLIMIT_NOFILE, NULL, &old), ESRCH);
	IN_CHILD({
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &(struct rlimit){100, 201}), EPERM);
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){200, 200}));
		CHECK_ERRNO(prlimit(1, RLIMIT_NOFILE, NULL, &old), EPERM);
	});
	pid_t pid = test_fork();
	if (pid == 0)
		for (;;)
			pause();
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, &(struct rlimit){33, 44}, NULL));
	CHECK_OK(prlimit(pid, RLIMIT_NOFILE, NULL, &old));
	CHECK_EQ(old.rlim_cur, 33);
	kill(pid, SIGKILL);
	WAIT_STATUS(pid);
}

static volatile int got;
static void on_signal(int sig)
{
	got = sig;
}

TEST(file_size)
{
	int fd = make_file("f", "");

	signal(SIGXFSZ, on_signal);
	CHECK_OK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}));
	CHECK_EQ(write(fd, (char[600]){0}, 600), 600);
	CHECK_EQ(write(fd, (char[600]){0}, 600), 400);
	CHECK_EQ(got, 0);
	CHECK_ERRNO(write(fd, "x", 1), EFBIG);
	CHECK_EQ(got, SIGXFSZ);
	got = 0;
	CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
	CHECK_EQ(got, SIGXFSZ);
	CHECK_OK(ftruncate(fd, 1000));
	CHECK_ERRNO(pwrite(fd, "x", 1, 5000), EFBIG);
	pid_t pid = test_fork();
	if (pid == 0) {
		signal(SIGXFSZ, SIG_DFL);
		write(fd, "x", 1);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid) & 0x7f, SIGXFSZ);
}

TEST(cpu_time)
{
	struct rlimit none = {0, 0};
	pid_t pid;

	CHECK_OK(setrlimit(RLIMIT_CORE, &none));
	pid = test_fork();
	if (pid == 0) {
		CHECK_OK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 3}));
		for (;;)
			;
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGXCPU);
}

TEST(stack)
{
	pid_t pid;

	CHECK_OK(setrlimit(RLIMIT_STACK, &(struct rlimit){64 << 20, RLIM_INFINITY}));
	pid = test_fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "ulimit -s", NULL);
		_exit(99);
	}
	WAIT_OK(pid);
}

TEST(nice_and_priority)
{
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 0));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
	CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
	CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
	CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 15);
	IN_CHILD({
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
		CHECK_OK(setpriority(PRIO_PROCESS, 0, 100));
		CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
		CHECK_OK(setresuid(1, 1, 1));
		CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 3), EACCES);
		CHECK_ERRNO(setpriority(PRIO_PROCESS, getppid(), 19), EPERM);
	});
	CHECK_ERRNO(setpriority(PRIO_PROCESS, 99999, 0), ESRCH);
	CHECK_ERRNO(setpriority(77, 0, 0), EINVAL);
}

TEST(pending_signals)
{
	sigset_t set;
	int n = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){10, 10}));
	CHECK_OK(setresuid(5432, 5432, 5432));
	while (n < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){0}) == 0)
		n++;
	CHECK_EQ(n, 10);
	CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){0}), EAGAIN);
}

/* A timer takes the place of the signal that it may queue. */
TEST(pending_signals_and_timers)
{
	union sigval none = {0};
	sigset_t set;
	timer_t t[11];

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_OK(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){10, 10}));
	CHECK_OK(setresuid(5433, 5433, 5433));
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
	for (int i = 0; i < 10; i++)
		CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t[i]));
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &ev, &t[10]), EAGAIN);
	CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, none), EAGAIN);
	/* What it queues needs no other. */
	struct itimerspec at = {.it_value = {0, 1}};
	siginfo_t si;
	CHECK_OK(timer_settime(t[3], 0, &at, NULL));
	CHECK_EQ(sigwaitinfo(&set, &si), SIGRTMIN);
	CHECK_EQ(si.si_code, SI_TIMER);
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &ev, &t[10]), EAGAIN);
	CHECK_OK(timer_delete(t[3]));
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t[3]));
	CHECK_OK(timer_delete(t[9]));
	CHECK_OK(sigqueue(getpid(), SIGRTMIN, none));
	CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &ev, &t[9]), EAGAIN);
}
