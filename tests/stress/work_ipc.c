/* Files, pipes and sockets: what goes in comes out, in order, also in bulk and
 * between processes. */
#include "stress.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void do_file(void)
{
	char name[64], buf[256], back[256];
	snprintf(name, sizeof(name), "/tmp/stress.%d", getpid());
	memset(buf, (int)rnd(), sizeof(buf));
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0, fd);
	CHECK(pwrite(fd, buf, sizeof(buf), 4000) == sizeof(buf), fd);
	CHECK(pread(fd, back, sizeof(back), 4000) == sizeof(back), fd);
	CHECK(!memcmp(buf, back, sizeof(buf)), fd);
	CHECK(unlink(name) == 0, fd);
	CHECK(close(fd) == 0, fd);
}

/* Sends total bytes that count up; pieces of odd lengths. */
static void sends(int fd, size_t total, uint64_t seed)
{
	unsigned char buf[5000];
	for (size_t done = 0; done < total && !stopping();) {
		size_t n = 1 + (seed = seed * 6364136223846793005UL + 1) % sizeof(buf);
		if (n > total - done)
			n = total - done;
		for (size_t i = 0; i < n; i++)
			buf[i] = (unsigned char)((done + i) % 251);
		ssize_t r = write(fd, buf, n);
		CHECK(r > 0, r);
		done += (size_t)r;
	}
}

static void receives(int fd, size_t total)
{
	unsigned char buf[3000];
	for (size_t done = 0; done < total && !stopping();) {
		ssize_t r = read(fd, buf, sizeof(buf));
		CHECK(r > 0, r);
		for (ssize_t i = 0; i < r; i++)
			CHECK(buf[i] == (done + (size_t)i) % 251, done);
		done += (size_t)r;
	}
}

static void do_bulk(void)
{
	size_t total = 1 + rnd_below(300000);
	uint64_t seed = rnd();
	int fds[2];
	if (rnd() % 2)
		CHECK(pipe2(fds, O_CLOEXEC) == 0, 0);
	else
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, 0);
	pid_t p = fork();
	if (p == 0) {
		signal(SIGPIPE, SIG_IGN);
		close(fds[0]);
		sends(fds[1], total, seed);
		_exit(0);
	}
	CHECK(p > 0, p);
	close(fds[1]);
	receives(fds[0], total);
	close(fds[0]);
	if (!stopping())
		wait_for(p, 0);
}

/* Records, with a pipe's end in each. */
static void do_messages(void)
{
	int fds[2], end[2], n = 8;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl;
	CHECK(socketpair(AF_UNIX, (rnd() % 2 ? SOCK_DGRAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0,
		      fds) == 0,
		0);
	pid_t p = fork();
	if (p == 0) {
		for (int i = 0; i < n; i++) {
			struct iovec iov = {&i, sizeof(i)};
			struct msghdr m = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = &ctl,
				.msg_controllen = sizeof(ctl)};
			if (pipe(end))
				_exit(1);
			struct cmsghdr *c = CMSG_FIRSTHDR(&m);
			*c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS};
			memcpy(CMSG_DATA(c), &end[0], sizeof(int));
			if (sendmsg(fds[1], &m, 0) != sizeof(i) ||
				write(end[1], &i, sizeof(i)) != sizeof(i))
				_exit(2);
			close(end[0]);
			close(end[1]);
		}
		_exit(0);
	}
	CHECK(p > 0, p);
	for (int i = 0; i < n; i++) {
		int got = -1, fd;
		struct iovec iov = {&got, sizeof(got)};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &ctl,
			.msg_controllen = sizeof(ctl)};
		ssize_t r = recvmsg(fds[0], &m, MSG_CMSG_CLOEXEC);
		CHECK(r == sizeof(got), r);
		CHECK(got == i, got);
		CHECK(CMSG_FIRSTHDR(&m), i);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
		got = -1;
		CHECK(read(fd, &got, sizeof(got)) == sizeof(got), fd);
		CHECK(got == i, got);
		close(fd);
	}
	wait_for(p, 0);
	close(fds[0]);
	close(fds[1]);
}

const struct work work_ipc[] = {{"file", do_file}, {"bulk", do_bulk}, {"messages", do_messages},
	{NULL}};
