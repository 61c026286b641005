/* AF_UNIX datagrams: unix(7). */
#include <linux/sockios.h>
#include <linux/filter.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

static struct sockaddr_un un(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, path);
	return a;
}

static int bound(const char *path)
{
	struct sockaddr_un a = un(path);
	int s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(s >= 0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	return s;
}

static int connect_un(int s, const char *path)
{
	struct sockaddr_un a = un(path);
	return connect(s, (void *)&a, sizeof(a));
}

static ssize_t sendto_un(int s, const void *b, size_t n, int flags, const char *path)
{
	struct sockaddr_un a = un(path);
	return sendto(s, b, n, flags, (void *)&a, sizeof(a));
}

static int poll_of(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(sendto)
{
	int a = bound("a"), b = bound("b"), c = socket(AF_UNIX, SOCK_DGRAM, 0), n;
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	char buf[100];
	CHECK_EQ(poll_of(a), POLLOUT);
	CHECK_EQ(sendto_un(a, "hello", 5, 0, "b"), 5);
	CHECK_EQ(sendto_un(a, "x", 1, 0, "b"), 1);
	CHECK_EQ(poll_of(b), POLLIN | POLLOUT);
	CHECK_OK(ioctl(b, FIONREAD, &n));
	CHECK_EQ(n, 5); /* the first message only */
	CHECK_EQ(recvfrom(b, buf, 100, 0, (void *)&from, &len), 5);
	CHECK_STR(from.sun_path, "a");
	CHECK_EQ(len, 2 + 2);
	CHECK_EQ(recvfrom(b, buf, 100, 0, NULL, NULL), 1);
	/* From nobody. */
	len = sizeof(from);
	CHECK_EQ(sendto_un(c, "", 0, 0, "b"), 0);
	CHECK_EQ(poll_of(b), POLLIN | POLLOUT);
	CHECK_EQ(recvfrom(b, buf, 100, 0, (void *)&from, &len), 0);
	CHECK_EQ(len, 0);
	CHECK_ERRNO(recv(b, buf, 100, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send(a, "x", 1, 0), ENOTCONN);
	CHECK_ERRNO(sendto_un(a, "x", 1, 0, "none"), ENOENT);
	CHECK_ERRNO(send(a, "x", 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(recv(a, buf, 1, MSG_OOB), EOPNOTSUPP);
	close(b);
	CHECK_ERRNO(sendto_un(a, "x", 1, 0, "b"), ECONNREFUSED);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un name = un("s");
	CHECK_OK(bind(s, (void *)&name, sizeof(name)));
	CHECK_ERRNO(sendto_un(a, "x", 1, 0, "s"), EPROTOTYPE);
	CHECK_ERRNO(listen(a, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(a, NULL, NULL), EOPNOTSUPP);
	CHECK_EQ(sendto_un(a, "self", 4, 0, "a"), 4);
	CHECK_EQ(recv(a, buf, 100, 0), 4);
}

TEST(boundaries)
{
	int sv[2];
	char b[10];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	CHECK_EQ(write(sv[0], "abcdef", 6), 6);
	CHECK_EQ(write(sv[0], "", 0), 0);
	CHECK_EQ(write(sv[0], "ghi", 3), 3);
	CHECK_EQ(recv(sv[1], b, 3, MSG_PEEK), 3);
	CHECK_EQ(recv(sv[1], b, 3, MSG_PEEK | MSG_TRUNC), 6);
	CHECK_EQ(read(sv[1], b, 0), 0); /* takes nothing */
	struct iovec iov = {b, 3};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	CHECK_EQ(recvmsg(sv[1], &m, 0), 3);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_EQ(recv(sv[1], b, 10, 0), 0);
	CHECK_EQ(recv(sv[1], b, 10, 0), 3);
	static char big[212992];
	CHECK_ERRNO(send(sv[0], big, sizeof(big) - 31, 0), EMSGSIZE);
	memset(big, 'q', sizeof(big));
	CHECK_EQ(send(sv[0], big, sizeof(big) - 32, 0), sizeof(big) - 32);
	static char in[300000];
	CHECK_EQ(recv(sv[1], in, sizeof(in), 0), sizeof(big) - 32);
	CHECK(!memcmp(in, big, sizeof(big) - 32));
	/* A message whose copy faults is lost. */
	CHECK_EQ(send(sv[0], "1", 1, 0), 1);
	CHECK_EQ(send(sv[0], "2", 1, 0), 1);
	CHECK_ERRNO(recv(sv[1], (void *)8, 1, 0), EFAULT);
	CHECK_EQ(recv(sv[1], b, 1, 0), 1);
	CHECK_EQ(b[0], '2');
	/* The peer goes. */
	close(sv[0]);
	CHECK_EQ(poll_of(sv[1]), POLLOUT);
	CHECK_ERRNO(recv(sv[1], b, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(send(sv[1], "x", 1, 0), ECONNREFUSED);
	CHECK_ERRNO(send(sv[1], "x", 1, 0), ENOTCONN);
}

TEST(connected)
{
	int a = bound("a"), b = bound("b"), c = bound("c");
	struct sockaddr_un n;
	socklen_t len = sizeof(n);
	char buf[10];
	CHECK_OK(connect_un(a, "b"));
	CHECK_OK(getpeername(a, (void *)&n, &len));
	CHECK_STR(n.sun_path, "b");
	CHECK_EQ(send(a, "1", 1, 0), 1);
	CHECK_EQ(recv(b, buf, 10, 0), 1);
	/* a listens to b only. */
	CHECK_ERRNO(sendto_un(c, "x", 1, 0, "a"), EPERM);
	CHECK_ERRNO(connect_un(c, "a"), EPERM);
	CHECK_EQ(sendto_un(b, "x", 1, 0, "a"), 1);
	CHECK_EQ(recv(a, buf, 10, 0), 1);
	CHECK_EQ(sendto_un(a, "x", 1, 0, "c"), 1);
	CHECK_EQ(recv(c, buf, 10, 0), 1);
	CHECK_OK(connect_un(b, "a"));
	/* a turns to c: what it had got is lost, b is told. */
	CHECK_EQ(send(b, "lost", 4, 0), 4);
	CHECK_OK(connect_un(a, "c"));
	CHECK_ERRNO(recv(a, buf, 10, MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(recv(b, buf, 10, MSG_DONTWAIT), ECONNRESET);
	CHECK_ERRNO(send(b, "x", 1, 0), EPERM);
	/* AF_UNSPEC: nobody. */
	n.sun_family = AF_UNSPEC;
	CHECK_OK(connect(a, (void *)&n, 2));
	CHECK_ERRNO(send(a, "x", 1, 0), ENOTCONN);
	len = sizeof(n);
	CHECK_ERRNO(getpeername(a, (void *)&n, &len), ENOTCONN);
	CHECK_EQ(sendto_un(c, "x", 1, 0, "a"), 1);
	CHECK_ERRNO(connect(a, (void *)&n, 1), EINVAL);
	CHECK_OK(connect_un(a, "a"));
	CHECK_EQ(recv(a, buf, 10, 0), 1);
	CHECK_EQ(send(a, "me", 2, 0), 2);
	CHECK_EQ(recv(a, buf, 10, 0), 2);
}

TEST(queue_limit)
{
	int r = bound("r"), s = socket(AF_UNIX, SOCK_DGRAM, 0), i;
	char b[10];
	CHECK_OK(connect_un(s, "r"));
	for (i = 0; send(s, &i, 4, MSG_DONTWAIT) == 4; i++)
		;
	CHECK(i >= 11);
	CHECK_ERRNO(send(s, "x", 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(poll_of(s), 0);
	CHECK_EQ(poll_of(r), POLLIN | POLLOUT);
	int ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLOUT | EPOLLET};
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &e));
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(read(r, b, 10), 4);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	CHECK_EQ(poll_of(s), POLLOUT);
	CHECK_EQ(send(s, "x", 1, MSG_DONTWAIT), 1);
	/* A blocked sender. */
	pid_t p = test_fork();
	if (p == 0) {
		CHECK_EQ(send(s, "last", 4, 0), 4);
		_exit(0);
	}
	wait_state(p, 'S');
	for (int k = 0; k < i; k++)
		CHECK(read(r, b, 10) > 0);
	WAIT_OK(p);
	CHECK_EQ(read(r, b, 10), 4);
	CHECK(!memcmp(b, "last", 4));
	/* The receiver goes: a blocked sender is told. */
	for (i = 0; send(s, &i, 4, MSG_DONTWAIT) == 4; i++)
		;
	p = test_fork();
	if (p == 0) {
		close(r);
		CHECK_ERRNO(send(s, "x", 1, 0), ECONNREFUSED);
		_exit(0);
	}
	wait_state(p, 'S');
	close(r);
	WAIT_OK(p);
	struct timeval tv = {0, 50000};
	r = bound("r2");
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	for (i = 0; sendto_un(s, &i, 4, MSG_DONTWAIT, "r2") == 4; i++)
		;
	CHECK_ERRNO(sendto_un(s, "x", 1, 0, "r2"), EAGAIN);
	/* Ends of a pair have no such limit. */
	int sv[2];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	for (i = 0; i < 100; i++)
		CHECK_EQ(send(sv[0], &i, 4, MSG_DONTWAIT), 4);
}

static int room(const char *name)
{
	int r = bound(name), s = socket(AF_UNIX, SOCK_DGRAM, 0), n;
	for (n = 0; sendto_un(s, "x", 1, MSG_DONTWAIT, name) == 1; n++)
		;
	CHECK_ERRNO(sendto_un(s, "x", 1, MSG_DONTWAIT, name), EAGAIN);
	close(r);
	close(s);
	return n;
}

/* net.unix.max_dgram_qlen: of sockets that are made from then on. */
TEST(queue_length)
{
	const char *path = "/proc/sys/net/unix/max_dgram_qlen";
	char old[16] = "";
	int fd = open(path, O_RDWR);
	if (fd < 0 && (errno == ENOENT || errno == EACCES || errno == EROFS))
		test_skip("%s: %s", path, strerror(errno));
	CHECK(read(fd, old, sizeof(old) - 1) > 0);
	CHECK_EQ(room("a"), atoi(old) + 1);
	int before = bound("before"), s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_EQ(pwrite(fd, "3\n", 2, 0), 2);
	CHECK_EQ(room("b"), 4);
	for (int i = 0; i <= atoi(old); i++)
		CHECK_EQ(sendto_un(s, "x", 1, MSG_DONTWAIT, "before"), 1);
	CHECK_EQ(pwrite(fd, old, strlen(old), 0), strlen(old));
	CHECK_EQ(room("c"), atoi(old) + 1);
	close(before);
	close(fd);
}

TEST(shutdown_dgram)
{
	int r = bound("r"), s = socket(AF_UNIX, SOCK_DGRAM, 0);
	char b[4];
	CHECK_OK(connect_un(s, "r"));
	CHECK_OK(shutdown(s, SHUT_WR));
	CHECK_ERRNO(send(s, "x", 1, 0), EPIPE); /* and no signal */
	CHECK_EQ(sendto_un(r, "x", 1, 0, "r"), 1);
	CHECK_EQ(recv(r, b, 4, 0), 1);
	CHECK_OK(shutdown(r, SHUT_RD));
	CHECK_EQ(recv(r, b, 4, 0), 0);
	CHECK_ERRNO(recv(r, b, 4, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(poll_of(r), POLLIN | POLLOUT | POLLRDHUP);
	int t = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_ERRNO(sendto_un(t, "x", 1, 0, "r"), EPIPE);
}

TEST(mmsg)
{
	int sv[2];
	char b[8][8] = {"m0", "m1", "m2", "m3"};
	struct iovec iov[8];
	struct mmsghdr m[8];
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	memset(m, 0, sizeof(m));
	for (int i = 0; i < 8; i++) {
		iov[i] = (struct iovec){b[i], 2};
		m[i].msg_hdr.msg_iov = &iov[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	CHECK_EQ(sendmmsg(sv[0], m, 4, 0), 4);
	CHECK_EQ(m[3].msg_len, 2);
	memset(b, 0, sizeof(b));
	for (int i = 0; i < 8; i++)
		iov[i].iov_len = 8;
	CHECK_EQ(recvmmsg(sv[1], m, 3, 0, NULL), 3);
	CHECK_STR(b[2], "m2");
	CHECK_EQ(m[2].msg_len, 2);
	CHECK_EQ(recvmmsg(sv[1], m, 8, MSG_WAITFORONE, NULL), 1);
	CHECK_ERRNO(recvmmsg(sv[1], m, 8, MSG_DONTWAIT, NULL), EAGAIN);
	struct timespec ts = {-1, 0};
	CHECK_ERRNO(recvmmsg(sv[1], m, 8, 0, &ts), EINVAL);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	ts = (struct timespec){0, 1};
	CHECK_EQ(recvmmsg(sv[1], m, 8, 0, &ts), 1);
	CHECK_EQ(sendmmsg(sv[0], m, 0, 0), 0);
	/* The second one faults: the first counts. */
	m[1].msg_hdr.msg_iov = (void *)8;
	CHECK_EQ(sendmmsg(sv[0], m, 3, 0), 1);
}

TEST(timestamp)
{
	int sv[2], on = 1;
	char b[10], ctl[100];
	struct iovec iov = {b, 10};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	struct timespec before, ts, after;
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)));
	clock_gettime(CLOCK_REALTIME, &before);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	clock_gettime(CLOCK_REALTIME, &after);
	CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS);
	memcpy(&ts, CMSG_DATA(c), sizeof(ts));
	CHECK(ts.tv_sec >= before.tv_sec && ts.tv_sec <= after.tv_sec);
	/* Streams tell no times. */
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)));
	CHECK_EQ(write(sv[0], "x", 1), 1);
	m.msg_controllen = sizeof(ctl);
	CHECK_EQ(recvmsg(sv[1], &m, 0), 1);
	CHECK_EQ(m.msg_controllen, 0);
}

/* SO_ATTACH_FILTER: what it does not let through is lost, and the sender does not hear of it. */
static void filtered(int type)
{
	/* Messages that begin with 'a', two bytes of them. */
	struct sock_filter f[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'}, {BPF_RET | BPF_K, 0, 0, 2},
		{BPF_RET | BPF_K, 0, 0, 0}};
	struct sock_fprog p = {4, f};
	int sv[2], v;
	char b[10];
	CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)));
	CHECK_EQ(send(sv[0], "bcd", 3, 0), 3);
	CHECK_EQ(send(sv[0], "", 0, 0), 0);
	CHECK_EQ(send(sv[0], "abc", 3, 0), 3);
	CHECK_EQ(recv(sv[1], b, sizeof(b), MSG_TRUNC), 2);
	CHECK_ERRNO(recv(sv[1], b, sizeof(b), MSG_DONTWAIT), EAGAIN);
	CHECK_OK(ioctl(sv[0], SIOCOUTQ, &v));
	CHECK_EQ(v, 0);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof(v)));
	CHECK_EQ(send(sv[0], "bcd", 3, 0), 3);
	CHECK_EQ(recv(sv[1], b, sizeof(b), 0), 3);
}

TEST(filter)
{
	char big[20000];
	struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, 5000}};
	struct sock_fprog p = {1, all};
	int sv[2];
	filtered(SOCK_DGRAM);
	filtered(SOCK_SEQPACKET);
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)));
	memset(big, 'x', sizeof(big));
	CHECK_EQ(send(sv[0], big, sizeof(big), 0), sizeof(big));
	CHECK_EQ(recv(sv[1], big, sizeof(big), 0), 5000);
	/* Streams have none that acts. */
	all[0].k = 0;
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof(p)));
	CHECK_EQ(send(sv[0], "abc", 3, 0), 3);
	CHECK_EQ(recv(sv[1], big, sizeof(big), 0), 3);
}
