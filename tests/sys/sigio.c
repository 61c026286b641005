/* O_ASYNC, F_SETOWN, F_SETOWN_EX, F_SETSIG: who gets a signal when, and what it tells */
#include "test.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static volatile int count;
static siginfo_t last;
static pid_t last_tid;
static void on_io(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	count++;
	last = *si;
	last_tid = (pid_t)syscall(SYS_gettid);
}

static void catch (int sig)
{
	struct sigaction sa = {.sa_sigaction = on_io, .sa_flags = SA_SIGINFO};

	CHECK_OK(sigaction(sig, &sa, NULL));
}

static void async(int fd)
{
	CHECK_OK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
	CHECK(fcntl(fd, F_GETFL) & O_ASYNC);
}

TEST(pipe_reader)
{
	char c;
	int p[2];

	catch (SIGIO);
	CHECK_OK(pipe(p));
	async(p[0]);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(count, 0); /* no owner */
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(count, 0);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(count, 1); /* before write returns */
	CHECK_EQ(last.si_code, SI_KERNEL);
	CHECK_OK(fcntl(p[0], F_SETFL, 0));
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(count, 1);
}

TEST(own_signal)
{
	char c;
	int p[2], sig = SIGRTMIN + 3;

	catch (sig);
	CHECK_OK(pipe(p));
	CHECK_EQ(fcntl(p[0], F_GETSIG), 0);
	CHECK_OK(fcntl(p[0], F_SETSIG, sig));
	CHECK_EQ(fcntl(p[0], F_GETSIG), sig);
	CHECK_ERRNO(fcntl(p[0], F_SETSIG, 65), EINVAL);
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	async(p[0]);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(count, 1);
	CHECK_EQ(last.si_signo, sig);
	CHECK_EQ(last.si_code, POLL_IN);
	CHECK_EQ(last.si_fd, p[0]);
	CHECK_EQ(last.si_band, POLLIN | POLLRDNORM);
	CHECK_EQ(read(p[0], &c, 1), 1);
	close(p[1]);
	CHECK_EQ(count, 2);
	CHECK_EQ(last.si_code, POLL_IN);
}

TEST(pipe_writer)
{
	static char big[65536];
	int p[2];

	catch (SIGRTMIN);
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[1], F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(p[1], F_SETOWN, getpid()));
	async(p[1]);
	CHECK_EQ(write(p[1], big, 65536), 65536);
	CHECK_EQ(count, 0);
	CHECK_EQ(read(p[0], big, 65536), 65536);
	CHECK_EQ(count, 1);
	CHECK_EQ(last.si_code, POLL_OUT);
	CHECK_EQ(last.si_band, POLLOUT | POLLWRNORM | POLLWRBAND);
}

TEST(socket_pair)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0)
		test_skip("no sockets: %s", strerror(errno));
	catch (SIGRTMIN);
	CHECK_OK(fcntl(s[0], F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(s[0], F_SETOWN, getpid()));
	async(s[0]);
	CHECK_EQ(write(s[1], "x", 1), 1);
	CHECK(count >= 1);
	CHECK_EQ(last.si_code, POLL_IN);
}

TEST(another_process)
{
	sigset_t set;
	siginfo_t si;
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	async(p[0]);
	pid = test_fork();
	if (pid == 0) {
		sleep_ms(50);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK_EQ(sigwaitinfo(&set, &si), SIGUSR1);
	CHECK_EQ(si.si_code, POLL_IN);
	CHECK_EQ(si.si_fd, p[0]);
	WAIT_OK(pid);
}

TEST(group)
{
	struct f_owner_ex ex;
	int p[2];

	catch (SIGIO);
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
	CHECK_OK(fcntl(p[0], F_GETOWN_EX, &ex));
	CHECK_EQ(ex.type, F_OWNER_PGRP);
	CHECK_EQ(ex.pid, getpgrp());
	async(p[0]);
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(count, 1);
}

static int thread_fd[2];
static volatile pid_t tid;
static void *be_owner(void *arg)
{
	struct f_owner_ex ex = {F_OWNER_TID, (pid_t)syscall(SYS_gettid)};

	(void)arg;
	CHECK_OK(fcntl(thread_fd[0], F_SETOWN_EX, &ex));
	tid = ex.pid;
	while (!count)
		sleep_ms(5);
	return NULL;
}

TEST(thread)
{
	pthread_t th;

	catch (SIGIO);
	CHECK_OK(pipe(thread_fd));
	async(thread_fd[0]);
	pthread_create(&th, NULL, be_owner, NULL);
	while (!tid)
		sleep_ms(5);
	write(thread_fd[1], "x", 1);
	pthread_join(th, NULL);
	CHECK_EQ(last_tid, tid);
}

TEST(errors)
{
	struct f_owner_ex ex = {7, 1};
	int p[2], on = 1, e = eventfd(0, 0);
	pid_t pid = test_fork();

	if (pid == 0)
		_exit(0);
	WAIT_OK(pid);
	CHECK_OK(pipe(p));
	CHECK_ERRNO(fcntl(p[0], F_SETOWN, pid), ESRCH);
	CHECK_ERRNO(fcntl(p[0], F_SETOWN_EX, &ex), EINVAL);
	CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
	CHECK_ERRNO(ioctl(e, FIOASYNC, &on), ENOTTY);
	CHECK_OK(fcntl(e, F_SETFL, O_ASYNC));
	CHECK_OK(ioctl(p[0], FIOASYNC, &on));
	CHECK(fcntl(p[0], F_GETFL) & O_ASYNC);
	on = 0;
	CHECK_OK(ioctl(p[0], FIOASYNC, &on));
	CHECK(!(fcntl(p[0], F_GETFL) & O_ASYNC));
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_OK(fcntl(p[0], F_SETOWN, 0));
	CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
}

/*
 * The init of a pid namespace does not die of what is sent inside it, SIGKILL included, and neither
 * I/O nor a timer is a sender from outside; what it does not handle is dropped.
 */
static void be_init(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	struct itimerspec at = {.it_value = {0, 1}};
	sigset_t set;
	timer_t t;
	int p[2];

	CHECK_EQ(getpid(), 1);
	CHECK_OK(pipe(p));
	async(p[0]);
	CHECK_OK(fcntl(p[0], F_SETOWN, 1));
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGKILL));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGSTOP));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &at, NULL));
	/* Both have been sent when the signal of a timer of later has come. */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ev.sigev_signo = SIGUSR1;
	at.it_value.tv_nsec = 30000000;
	CHECK_OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	CHECK_OK(timer_settime(t, 0, &at, NULL));
	CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
	_exit(7);
}

TEST(init_is_not_killed)
{
	int status;

	CHECK_OK(unshare(CLONE_NEWPID));
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		be_init();
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 7);
}
