/* fcntl (POSIX and OFD), flock, lease locks.  FS: all */
#include "test.h"

#include <sys/file.h>

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

	return fcntl(fd, cmd, &l);
}

TEST(posix_conflict)
{
	struct flock l = {.l_type = F_WRLCK};
	int fd = make_file("f", "0123456789");
	pid_t me = getpid();

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 2, 4));
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 3, 1)); /* one's own never conflicts */
	CHECK_OK(fcntl(fd, F_GETLK, &l));
	CHECK_EQ(l.l_type, F_UNLCK);
	IN_CHILD({
		int c = open("f", O_RDWR);

		l = (struct flock){.l_type = F_RDLCK};
		CHECK_OK(fcntl(c, F_GETLK, &l));
		CHECK_EQ(l.l_type, F_WRLCK);
		CHECK_EQ(l.l_start, 2);
		CHECK_EQ(l.l_len, 4);
		CHECK_EQ(l.l_pid, me);
		CHECK_ERRNO(lock(c, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
		CHECK_OK(lock(c, F_SETLK, F_WRLCK, 6, 0));
		CHECK_OK(lock(c, F_SETLK, F_WRLCK, 0, 2));
	});
	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0)); /* the child's went with it */
}

TEST(posix_split_and_merge)
{
	struct flock l;
	int fd = make_file("f", "");

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 100));
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 40, 20));
	CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 10, 10));
	IN_CHILD({
		l = (struct flock){.l_type = F_WRLCK, .l_start = 12, .l_len = 1};
		CHECK_OK(fcntl(fd, F_GETLK, &l));
		CHECK_EQ(l.l_type, F_RDLCK);
		CHECK_EQ(l.l_start, 10);
		CHECK_EQ(l.l_len, 10);
		CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 40, 20));
		CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 39, 1), EAGAIN);
		CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 60, 1), EAGAIN);
		CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 15, 1));
	});
}

TEST(posix_close_releases)
{
	int fd = make_file("f", ""), other = open("f", O_RDONLY);

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	CHECK_OK(close(other)); /* any descriptor of the file */
	IN_CHILD(CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0)));
}

TEST(posix_errors)
{
	int r, w, fd = make_file("f", "");

	r = open("f", O_RDONLY);
	w = open("f", O_WRONLY);
	CHECK_ERRNO(lock(r, F_SETLK, F_WRLCK, 0, 0), EBADF);
	CHECK_ERRNO(lock(w, F_SETLK, F_RDLCK, 0, 0), EBADF);
	CHECK_ERRNO(lock(fd, F_SETLK, F_RDLCK, -1, 0), EINVAL);
	CHECK_ERRNO(lock(fd, F_SETLK, 77, 0, 0), EINVAL);
	CHECK_ERRNO(lock(fd, F_SETLK, F_RDLCK, 0, -1), EINVAL);
	CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 10, -5)); /* 5 to 9 */
	CHECK_ERRNO(fcntl(fd, F_SETLK, (void *)8), EFAULT);
	CHECK_ERRNO(fcntl(999, F_SETLK, (void *)8), EBADF);
	struct flock l = {.l_type = F_UNLCK};
	CHECK_ERRNO(fcntl(fd, F_GETLK, &l), EINVAL);
}

TEST(posix_wait_and_deadlock)
{
	int fd = make_file("f", "");
	pid_t pid;
	int64_t start = now_ms();

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = test_fork();
	if (pid == 0) {
		CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 1, 1));
		CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
		CHECK(now_ms() - start >= 50);
		_exit(0);
	}
	wait_state(pid, 'S');
	sleep_ms(60);
	CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	WAIT_OK(pid);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(posix_wait_interrupted)
{
	struct sigaction sa = {.sa_handler = nothing};
	int fd = make_file("f", "");
	pid_t pid;

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = test_fork();
	if (pid == 0) {
		sigaction(SIGUSR1, &sa, NULL);
		CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 0, 1), EINTR);
		_exit(0);
	}
	wait_state(pid, 'S');
	sleep_ms(30);
	CHECK_OK(kill(pid, SIGUSR1));
	WAIT_OK(pid);
}

TEST(ofd)
{
	int a = make_file("f", ""), b = open("f", O_RDWR), d = dup(a);
	struct flock l = {.l_type = F_WRLCK};

	CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_OK(lock(d, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_RDLCK, 0, 10), EAGAIN);
	CHECK_ERRNO(lock(b, F_SETLK, F_RDLCK, 0, 10), EAGAIN); /* POSIX and OFD conflict */
	CHECK_OK(fcntl(b, F_OFD_GETLK, &l));
	CHECK_EQ(l.l_pid, -1);
	IN_CHILD(CHECK_OK(lock(a, F_OFD_SETLK, F_WRLCK, 5, 1))); /* inherited */
	close(a);
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 10), EAGAIN); /* the dup keeps it */
	close(d);
	CHECK_OK(lock(b, F_OFD_SETLK, F_WRLCK, 0, 10));
	l.l_pid = 1;
	CHECK_ERRNO(fcntl(b, F_OFD_SETLK, &l), EINVAL);
}

TEST(flock_rules)
{
	int a = make_file("f", ""), b = open("f", O_RDONLY), d = dup(a);

	CHECK_OK(flock(a, LOCK_EX));
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(d, LOCK_SH)); /* converts */
	CHECK_OK(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_OK(flock(b, LOCK_UN));
	CHECK_OK(flock(a, LOCK_EX | LOCK_NB));
	CHECK_OK(lock(b, F_SETLK, F_RDLCK, 0, 0)); /* independent of fcntl */
	close(a);
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	close(d);
	CHECK_OK(flock(b, LOCK_EX | LOCK_NB));
	CHECK_ERRNO(flock(b, 0), EINVAL);
	CHECK_ERRNO(flock(999, LOCK_SH), EBADF);
}

TEST(flock_waits)
{
	int a = make_file("f", "");
	pid_t pid;

	CHECK_OK(flock(a, LOCK_EX));
	pid = test_fork();
	if (pid == 0) {
		close(a);
		a = open("f", O_RDONLY);
		CHECK_OK(flock(a, LOCK_EX));
		_exit(0);
	}
	wait_state(pid, 'S');
	CHECK_OK(flock(a, LOCK_UN));
	WAIT_OK(pid);
}

TEST(exec_keeps_posix_fork_does_not)
{
	int fd = make_file("f", "");

	CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	IN_CHILD(CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 0, 1), EAGAIN));
}
