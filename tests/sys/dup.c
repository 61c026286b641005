/* dup, dup2, dup3, fcntl of descriptors, ioctl of all files */
#include "test.h"

#include <sys/ioctl.h>
#include <sys/resource.h>

TEST(dup_family)
{
	int fd = open("/", O_RDONLY | O_CLOEXEC), d;

	CHECK_OK(d = dup(fd));
	CHECK_EQ(fcntl(d, F_GETFD), 0); /* never inherited */
	CHECK_EQ(dup2(fd, 50), 50);
	CHECK_EQ(fcntl(50, F_GETFD), 0);
	CHECK_EQ(dup2(fd, fd), fd);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(dup(-1), EBADF);
	CHECK_ERRNO(dup2(77, 50), EBADF);
	CHECK_OK(fcntl(50, F_GETFD)); /* untouched */
	CHECK_ERRNO(dup2(77, 77), EBADF);
	CHECK_ERRNO(dup2(fd, -1), EBADF);
	CHECK_ERRNO(dup2(fd, 1 << 30), EBADF);
	CHECK_EQ(dup3(fd, 51, O_CLOEXEC), 51);
	CHECK_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
	CHECK_ERRNO(dup3(fd, 52, O_NONBLOCK), EINVAL);
}

TEST(dupfd)
{
	int fd = open("/", O_RDONLY);

	CHECK_EQ(fcntl(fd, F_DUPFD, 100), 100);
	CHECK_EQ(fcntl(fd, F_DUPFD, 100), 101);
	CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 200), 200);
	CHECK_EQ(fcntl(200, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 1 << 30), EINVAL);
	CHECK_ERRNO(fcntl(999, F_DUPFD, 0), EBADF);
	CHECK_ERRNO(fcntl(fd, 9999, 0), EINVAL);
}

TEST(descriptor_limit)
{
	struct rlimit r = {20, 20};
	int fd = open("/", O_RDONLY), last = fd;

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	for (;;) {
		int n = open("/", O_RDONLY);

		if (n < 0)
			break;
		last = n;
	}
	CHECK_EQ(last, 19);
	CHECK_ERRNO(open("/", O_RDONLY), EMFILE);
	CHECK_ERRNO(dup(fd), EMFILE);
	CHECK_ERRNO(dup2(fd, 20), EBADF);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 20), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_DUPFD, 19), EMFILE);
	CHECK_EQ(dup2(fd, 19), 19);
}

TEST(limit_lowered_below_open)
{
	struct rlimit r = {10, 10};

	CHECK_EQ(dup2(open("/", O_RDONLY), 30), 30);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_OK(fcntl(30, F_GETFD)); /* stays usable */
	CHECK_OK(close(30));
}

TEST(status_flags)
{
	int fd = make_file("f", ""), d = dup(fd);

	CHECK_OK(fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
	CHECK_EQ(fcntl(d, F_GETFL) & (O_NONBLOCK | O_APPEND), O_NONBLOCK | O_APPEND);
	CHECK_OK(fcntl(fd, F_SETFL, O_WRONLY | O_CREAT | O_TRUNC)); /* mode and creation: ignored */
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK_EQ(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_APPEND), 0);
}

TEST(ioctl_common)
{
	int p[2], n, on = 1, file = make_file("f", "12345");

	CHECK_OK(pipe(p));
	CHECK_OK(ioctl(p[0], FIONBIO, &on));
	CHECK_EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_OK(ioctl(p[0], FIOCLEX));
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK_OK(ioctl(p[0], FIONCLEX));
	CHECK_EQ(fcntl(p[0], F_GETFD), 0);
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_OK(ioctl(p[0], FIONREAD, &n));
	CHECK_EQ(n, 3);
	CHECK_OK(ioctl(file, FIONREAD, &n));
	CHECK_EQ(n, 5);
	CHECK_ERRNO(ioctl(file, 0x5401 /* TCGETS */, &n), ENOTTY);
	CHECK_ERRNO(ioctl(999, FIONREAD, &n), EBADF);
	CHECK_ERRNO(ioctl(p[0], FIONREAD, (int *)8), EFAULT);
	CHECK_EQ(isatty(file), 0);
}

TEST(owner_and_signal)
{
	int p[2];
	struct f_owner_ex ex = {F_OWNER_PID, getpid()}, got;

	CHECK_OK(pipe(p));
	CHECK_EQ(fcntl(p[0], F_GETOWN), 0);
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_EQ(fcntl(p[0], F_GETOWN), getpid());
	CHECK_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
	CHECK_OK(fcntl(p[0], F_GETOWN_EX, &got));
	CHECK_EQ(got.type, F_OWNER_PGRP);
	CHECK_EQ(got.pid, getpgrp());
	CHECK_OK(fcntl(p[0], F_SETOWN_EX, &ex));
	CHECK_EQ(fcntl(p[0], F_GETSIG), 0);
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
	CHECK_EQ(fcntl(p[0], F_GETSIG), SIGUSR1);
	CHECK_ERRNO(fcntl(p[0], F_SETSIG, 100), EINVAL);
	CHECK_ERRNO(fcntl(p[0], F_SETOWN, 99999), ESRCH);
}

TEST(async_io)
{
	siginfo_t si;
	sigset_t set;
	int p[2];
	struct timespec ts = {2, 0};

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK_OK(pipe(p));
	CHECK_OK(fcntl(p[0], F_SETOWN, getpid()));
	CHECK_OK(fcntl(p[0], F_SETSIG, SIGRTMIN));
	CHECK_OK(fcntl(p[0], F_SETFL, O_ASYNC));
	CHECK_EQ(write(p[1], "x", 1), 1);
	CHECK_EQ(sigtimedwait(&set, &si, &ts), SIGRTMIN);
	CHECK_EQ(si.si_fd, p[0]);
	CHECK_EQ(si.si_code, POLL_IN);
}

TEST(kcmp_shared)
{
	int fd = open("/", O_RDONLY), d = dup(fd), other = open("/", O_RDONLY);
	long same = syscall(SYS_kcmp, getpid(), getpid(), 0, fd, d);

	if (same < 0 && errno == ENOSYS)
		test_skip("no kcmp");
	CHECK_EQ(same, 0);
	CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0, fd, other) > 0);
}

TEST(many)
{
	struct rlimit r = {5000, 5000};

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	for (int i = 10; i < 4000; i++)
		CHECK_EQ(dup2(0, i), i);
	IN_CHILD(for (int i = 10; i < 4000; i++) CHECK_OK(fcntl(i, F_GETFD)));
	for (int i = 10; i < 4000; i++)
		CHECK_OK(close(i));
}
