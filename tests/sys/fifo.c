/* Named pipes.  FS: all */
#include "test.h"

#include <poll.h>

TEST(open_rules)
{
	int r, w, rw;
	char c;

	CHECK_OK(mkfifo("p", 0644));
	CHECK_ERRNO(mkfifo("p", 0644), EEXIST);
	CHECK_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK_OK(r = open("p", O_RDONLY | O_NONBLOCK));
	CHECK_EQ(read(r, &c, 1), 0); /* no writer: end of file */
	CHECK_OK(w = open("p", O_WRONLY | O_NONBLOCK));
	CHECK_ERRNO(read(r, &c, 1), EAGAIN);
	CHECK_EQ(write(w, "x", 1), 1);
	close(w);
	CHECK_EQ(read(r, &c, 1), 1);
	CHECK_EQ(read(r, &c, 1), 0);
	close(r);
	CHECK_OK(rw = open("p", O_RDWR));
	CHECK_EQ(write(rw, "y", 1), 1);
	CHECK_EQ(read(rw, &c, 1), 1);
}

TEST(open_blocks)
{
	char c;
	int fd;
	pid_t pid;

	CHECK_OK(mkfifo("p", 0600));
	pid = test_fork();
	if (pid == 0) {
		CHECK_OK(fd = open("p", O_WRONLY));
		CHECK_EQ(write(fd, "x", 1), 1);
		_exit(0);
	}
	wait_state(pid, 'S');
	CHECK_OK(fd = open("p", O_RDONLY));
	CHECK_EQ(read(fd, &c, 1), 1);
	WAIT_OK(pid);
	CHECK_EQ(read(fd, &c, 1), 0);
}

static void nothing(int sig)
{
	(void)sig;
}

TEST(open_interrupted)
{
	struct sigaction sa = {.sa_handler = nothing};
	pid_t pid;

	CHECK_OK(mkfifo("p", 0600));
	pid = test_fork();
	if (pid == 0) {
		sigaction(SIGUSR1, &sa, NULL);
		CHECK_ERRNO(open("p", O_RDONLY), EINTR);
		_exit(0);
	}
	wait_state(pid, 'S');
	sleep_ms(30);
	kill(pid, SIGUSR1);
	WAIT_OK(pid);
}

TEST(poll_after_writer_left)
{
	struct pollfd p;
	int r, w;

	CHECK_OK(mkfifo("p", 0600));
	CHECK_OK(r = open("p", O_RDONLY | O_NONBLOCK));
	p = (struct pollfd){r, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 0), 0); /* no writer yet: not a hang-up */
	CHECK_OK(w = open("p", O_WRONLY));
	close(w);
	CHECK_EQ(poll(&p, 1, 0), 1);
	CHECK_EQ(p.revents, POLLHUP);
}

TEST(unlinked_while_open)
{
	char c;
	int rw;

	CHECK_OK(mkfifo("p", 0600));
	CHECK_OK(rw = open("p", O_RDWR));
	CHECK_OK(unlink("p"));
	CHECK_EQ(write(rw, "x", 1), 1);
	CHECK_EQ(read(rw, &c, 1), 1);
	CHECK_ERRNO(open("p", O_RDWR), ENOENT);
}

TEST(link_is_the_same_pipe)
{
	char c;
	int a, b;

	CHECK_OK(mkfifo("p", 0600));
	CHECK_OK(link("p", "q"));
	CHECK_OK(a = open("p", O_RDWR | O_NONBLOCK));
	CHECK_OK(b = open("q", O_RDWR | O_NONBLOCK));
	CHECK_EQ(write(a, "x", 1), 1);
	CHECK_EQ(read(b, &c, 1), 1);
	CHECK_ERRNO(lseek(a, 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(ftruncate(a, 0), EINVAL);
}
