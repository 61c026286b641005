/* pipe, pipe2: blocking, atomicity, ends, poll masks, size */
#include "test.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static int events(int fd, short want)
{
	struct pollfd p = {fd, want, 0};

	poll(&p, 1, 0);
	return p.revents;
}

TEST(basic)
{
	char buf[10] = "";
	int p[2];
	struct stat st;

	CHECK_OK(pipe(p));
	CHECK_EQ(p[1], p[0] + 1);
	CHECK_EQ(fcntl(p[0], F_GETFL), O_RDONLY);
	CHECK_EQ(fcntl(p[1], F_GETFL), O_WRONLY);
	CHECK_OK(fstat(p[0], &st));
	CHECK_EQ(st.st_mode, S_IFIFO | 0600);
	CHECK_EQ(write(p[1], "hello", 5), 5);
	CHECK_EQ(read(p[0], buf, 2), 2);
	CHECK_EQ(read(p[0], buf + 2, 8), 3);
	CHECK_STR(buf, "hello");
	CHECK_ERRNO(write(p[0], "x", 1), EBADF);
	CHECK_ERRNO(read(p[1], buf, 1), EBADF);
	CHECK_EQ(write(p[1], "", 0), 0);
	close(p[1]);
	CHECK_EQ(read(p[0], buf, 1), 0);
}

TEST(flags)
{
	int p[2] = {-7, -7};

	CHECK_OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(p[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	CHECK_ERRNO(pipe2(p, O_APPEND), EINVAL);
	CHECK_ERRNO(syscall(SYS_pipe2, 8, 0), EFAULT);
	CHECK_ERRNO(read(p[0], p, 1), EAGAIN);
	CHECK_EQ(dup(0), p[1] + 1); /* the failed pipe left no descriptor */
}

TEST(broken)
{
	int p[2];

	CHECK_OK(pipe(p));
	close(p[0]);
	signal(SIGPIPE, SIG_IGN);
	CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
	CHECK_EQ(write(p[1], "", 0), 0);
	pid_t pid = test_fork();
	if (pid == 0) {
		signal(SIGPIPE, SIG_DFL);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK_EQ(WAIT_STATUS(pid), SIGPIPE);
}

static siginfo_t pipe_info;
static void on_pipe(int sig, siginfo_t *si, void *uc)
{
	(void)sig;
	(void)uc;
	pipe_info = *si;
}

TEST(broken_while_writing)
{
	static char big[200000];
	struct sigaction sa = {.sa_sigaction = on_pipe, .sa_flags = SA_SIGINFO};
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		close(p[0]);
		sigaction(SIGPIPE, &sa, NULL);
		CHECK_EQ(write(p[1], big, sizeof(big)), 65536); /* partial; then the signal */
		CHECK_EQ(pipe_info.si_signo, SIGPIPE);
		_exit(0);
	}
	close(p[1]);
	wait_state(pid, 'S');
	close(p[0]);
	WAIT_OK(pid);
}

TEST(capacity)
{
	static char buf[65536 + 10];
	int p[2], n;

	CHECK_OK(pipe2(p, O_NONBLOCK));
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 65536);
	CHECK_EQ(write(p[1], buf, sizeof(buf)), 65536);
	CHECK_ERRNO(write(p[1], buf, 1), EAGAIN);
	CHECK_OK(ioctl(p[0], FIONREAD, &n));
	CHECK_EQ(n, 65536);
	CHECK_EQ(read(p[0], buf, 4095), 4095);
	CHECK_ERRNO(write(p[1], buf, 4096), EAGAIN); /* atomic: whole or not at all */
	CHECK_EQ(read(p[0], buf, 1), 1);
	CHECK_EQ(write(p[1], buf, 4096), 4096);
	CHECK_EQ(read(p[0], buf, 4096), 4096);
	CHECK_EQ(write(p[1], buf, 10000), 4096); /* more than PIPE_BUF: partial */
}

TEST(size)
{
	static char buf[8192];
	int p[2];

	CHECK_OK(pipe2(p, O_NONBLOCK));
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 5000), 8192); /* a power of two pages */
	CHECK_EQ(fcntl(p[0], F_GETPIPE_SZ), 8192);
	CHECK_EQ(write(p[1], buf, 8192), 8192);
	CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
	CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
	CHECK_EQ(write(p[1], buf, 8192), 8192);
	CHECK_ERRNO(fcntl(open("/", O_RDONLY), F_GETPIPE_SZ), EBADF);
	IN_CHILD({
		CHECK_OK(setresuid(1000, 1000, 1000));
		CHECK_ERRNO(fcntl(p[1], F_SETPIPE_SZ, 2 << 20), EPERM);
	});
}

TEST(poll_masks)
{
	static char buf[65536];
	int p[2];

	CHECK_OK(pipe2(p, O_NONBLOCK));
	CHECK_EQ(events(p[0], POLLIN | POLLOUT), 0);
	CHECK_EQ(events(p[1], POLLIN | POLLOUT), POLLOUT);
	CHECK_EQ(write(p[1], buf, 65536), 65536);
	CHECK_EQ(events(p[0], POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
	CHECK_EQ(events(p[1], POLLOUT), 0);
	CHECK_EQ(read(p[0], buf, 65536), 65536);
	close(p[1]);
	CHECK_EQ(events(p[0], POLLIN), POLLHUP);
	CHECK_EQ(events(p[0], 0), POLLHUP);
	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "x", 1), 1);
	close(p[1]);
	CHECK_EQ(events(p[0], POLLIN), POLLIN | POLLHUP);
	CHECK_OK(pipe(p));
	close(p[0]);
	CHECK_EQ(events(p[1], POLLOUT), POLLOUT | POLLERR);
}

TEST(blocking)
{
	char c;
	int p[2];
	pid_t pid;
	int64_t start = now_ms();

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		sleep_ms(80);
		write(p[1], "x", 1);
		_exit(0);
	}
	CHECK_EQ(read(p[0], &c, 1), 1);
	CHECK(now_ms() - start >= 70);
	WAIT_OK(pid);
}

TEST(atomic_writers)
{
	char buf[64];
	int p[2], count[4] = {0};

	CHECK_OK(pipe(p));
	for (int c = 0; c < 4; c++)
		if (test_fork() == 0) {
			memset(buf, '0' + c, 64);
			for (int i = 0; i < 500; i++)
				CHECK_EQ(write(p[1], buf, 64), 64);
			_exit(0);
		}
	close(p[1]);
	for (;;) {
		struct iovec v[2] = {{buf, 32}, {buf + 32, 32}};
		ssize_t n = readv(p[0], v, 2);

		if (n == 0)
			break;
		CHECK_EQ(n, 64);
		for (int i = 1; i < 64; i++)
			CHECK_EQ(buf[i], buf[0]);
		count[buf[0] - '0']++;
	}
	for (int c = 0; c < 4; c++)
		CHECK_EQ(count[c], 500);
}

TEST(large_transfer)
{
	size_t size = 1 << 20, got = 0;
	char *buf = malloc(size);
	int p[2];
	pid_t pid;

	CHECK_OK(pipe(p));
	pid = test_fork();
	if (pid == 0) {
		for (size_t i = 0; i < size; i++)
			buf[i] = (char)(i % 251);
		CHECK_EQ(write(p[1], buf, size), size);
		_exit(0);
	}
	close(p[1]);
	for (ssize_t n; (n = read(p[0], buf + got, size - got)) > 0; got += n)
		;
	CHECK_EQ(got, size);
	for (size_t i = 0; i < size; i++)
		CHECK_EQ((unsigned char)buf[i], i % 251);
	WAIT_OK(pid);
}

TEST(packets)
{
	char buf[100];
	int p[2];

	CHECK_OK(pipe2(p, O_DIRECT | O_NONBLOCK));
	CHECK_EQ(write(p[1], "abc", 3), 3);
	CHECK_EQ(write(p[1], "defgh", 5), 5);
	CHECK_EQ(read(p[0], buf, 100), 3);
	CHECK_EQ(read(p[0], buf, 2), 2); /* the rest of the packet is lost */
	CHECK_ERRNO(read(p[0], buf, 2), EAGAIN);
}

TEST(reader_faults)
{
	char c;
	int p[2];

	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "a", 1), 1);
	CHECK_ERRNO(read(p[0], (void *)8, 1), EFAULT);
	CHECK_EQ(read(p[0], &c, 1), 1); /* not lost */
	CHECK_ERRNO(write(p[1], (void *)8, 1), EFAULT);
}

TEST(proc_fd_reopen)
{
	char path[40], c;
	int p[2], w;

	CHECK_OK(pipe(p));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	CHECK_OK(w = open(path, O_WRONLY));
	CHECK_EQ(write(w, "z", 1), 1);
	CHECK_EQ(read(p[0], &c, 1), 1);
	char link[64];
	ssize_t n = readlink(path, link, 63);
	CHECK(n > 0);
	link[n] = '\0';
	CHECK(!strncmp(link, "pipe:[", 6));
}

TEST(proc_fd_reopen_waits_for_nobody)
{
	char path[40], c;
	int p[2], again;

	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "a", 1), 1);
	close(p[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	CHECK_OK(again = open(path, O_RDONLY)); /* unlike a named pipe without writers */
	CHECK_EQ(read(again, &c, 1), 1);
	CHECK_EQ(read(again, &c, 1), 0);
	CHECK_OK(pipe(p));
	close(p[0]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[1]);
	CHECK_OK(open(path, O_WRONLY | O_NONBLOCK));
	CHECK_OK(open(path, O_WRONLY));
}
