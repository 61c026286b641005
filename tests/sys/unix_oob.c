/* Out-of-band data of AF_UNIX streams: unix(7), MSG_OOB, SIOCATMARK, SO_OOBINLINE. */
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "test.h"

static void pair(int sv[2])
{
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv));
}

static void put(int fd, const char *s, int flags)
{
	CHECK_EQ(send(fd, s, strlen(s), flags), strlen(s));
}

/* What one recv gives. */
static void got(int fd, size_t n, int flags, const char *want)
{
	char buf[64] = {0};
	CHECK_EQ(recv(fd, buf, n, flags), strlen(want));
	CHECK_STR(buf, want);
}

static void nothing(int fd, int flags, int err)
{
	char c;
	errno = 0;
	long r = recv(fd, &c, 1, flags);
	int e = errno;
	if (r != -1 || e != err)
		test_fail("recv(%#x): %ld, errno %d, not %d", flags, r, e, err);
}

static int at_mark(int fd)
{
	int v = -1;
	CHECK_OK(ioctl(fd, SIOCATMARK, &v));
	return v;
}

static int inq(int fd)
{
	int v = -1;
	CHECK_OK(ioctl(fd, FIONREAD, &v));
	return v;
}

static int polls(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLPRI, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void inline_(int fd, int v)
{
	CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &v, sizeof(v)));
}

TEST(basic)
{
	int s[2];
	pair(s);
	CHECK_EQ(at_mark(s[1]), 0);
	nothing(s[1], MSG_OOB, EINVAL);
	put(s[0], "hello", MSG_OOB);
	CHECK_EQ(polls(s[1]), POLLIN | POLLPRI);
	CHECK_EQ(at_mark(s[1]), 0);
	CHECK_EQ(inq(s[1]), 5);
	got(s[1], 1, MSG_OOB | MSG_PEEK, "o");
	got(s[1], 1, MSG_OOB, "o");
	nothing(s[1], MSG_OOB, EINVAL);
	CHECK_EQ(polls(s[1]), POLLIN);
	CHECK_EQ(inq(s[1]), 4);
	got(s[1], 5, 0, "hell");
	CHECK_EQ(at_mark(s[1]), 1);
	nothing(s[1], 0, EAGAIN);
	nothing(s[1], MSG_OOB, EINVAL);
}

TEST(flags)
{
	int s[2];
	char c;
	struct iovec v = {&c, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	pair(s);
	put(s[0], "x", MSG_OOB);
	CHECK_EQ(recvmsg(s[1], &m, MSG_OOB | MSG_PEEK), 1);
	CHECK_EQ(m.msg_flags, MSG_OOB);
	CHECK_EQ(recvmsg(s[1], &m, MSG_OOB), 1);
	CHECK_EQ(m.msg_flags, MSG_OOB);
	CHECK_EQ(c, 'x');
}

TEST(refused)
{
	int s[2], d[2];
	char c = 'x';
	pair(s);
	CHECK_ERRNO(send(s[0], "", 0, MSG_OOB), EOPNOTSUPP);
	CHECK_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, d));
	CHECK_ERRNO(send(d[0], &c, 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(recv(d[0], &c, 1, MSG_OOB | MSG_DONTWAIT), EOPNOTSUPP);
	CHECK_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, d));
	CHECK_ERRNO(send(d[0], &c, 1, MSG_OOB), EOPNOTSUPP);
	CHECK_ERRNO(recv(d[0], &c, 1, MSG_OOB | MSG_DONTWAIT), EOPNOTSUPP);
	int u = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(send(u, &c, 1, MSG_OOB), ENOTCONN);
	CHECK_ERRNO(recv(u, &c, 1, MSG_OOB), EINVAL);
	close(s[1]);
	CHECK_ERRNO(send(s[0], &c, 1, MSG_OOB | MSG_NOSIGNAL), EPIPE);
}

/* The byte is dropped by who reads past it, and stops who has read something. */
TEST(skipped)
{
	int s[2];
	pair(s);
	put(s[0], "hello", MSG_OOB);
	put(s[0], "world", 0);
	got(s[1], 10, 0, "hell");
	CHECK_EQ(at_mark(s[1]), 1);
	CHECK_EQ(polls(s[1]), POLLIN | POLLPRI);
	got(s[1], 10, 0, "world");
	CHECK_EQ(at_mark(s[1]), 0);
	nothing(s[1], MSG_OOB, EINVAL);
	CHECK_EQ(polls(s[1]), 0);
}

TEST(skipped_alone)
{
	int s[2];
	pair(s);
	put(s[0], "x", MSG_OOB);
	CHECK_EQ(at_mark(s[1]), 1);
	CHECK_EQ(polls(s[1]), POLLIN | POLLPRI);
	nothing(s[1], 0, EAGAIN);
	CHECK_EQ(polls(s[1]), 0);
	CHECK_EQ(at_mark(s[1]), 0);
	nothing(s[1], MSG_OOB, EINVAL);
}

TEST(consumed_then_read)
{
	int s[2];
	pair(s);
	put(s[0], "hello", MSG_OOB);
	put(s[0], "world", 0);
	got(s[1], 1, MSG_OOB, "o");
	CHECK_EQ(inq(s[1]), 9);
	got(s[1], 10, 0, "hell");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, 0, "world");
	CHECK_EQ(at_mark(s[1]), 0);
}

TEST(peek)
{
	int s[2];
	pair(s);
	put(s[0], "hello", MSG_OOB);
	put(s[0], "world", 0);
	got(s[1], 10, MSG_PEEK, "hell");
	got(s[1], 4, 0, "hell");
	got(s[1], 10, MSG_PEEK, "world"); /* past the byte, which stays */
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 1, MSG_OOB | MSG_PEEK, "o");
	got(s[1], 1, MSG_OOB, "o");
	got(s[1], 10, MSG_PEEK, "world");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, 0, "world");
}

/* A second one: the first becomes ordinary data. */
TEST(second)
{
	int s[2];
	pair(s);
	put(s[0], "ab", MSG_OOB);
	put(s[0], "cd", MSG_OOB);
	CHECK_EQ(inq(s[1]), 4);
	got(s[1], 1, MSG_OOB | MSG_PEEK, "d");
	got(s[1], 10, 0, "abc");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 1, MSG_OOB, "d");
	nothing(s[1], 0, EAGAIN);
}

TEST(second_consumed)
{
	int s[2];
	pair(s);
	put(s[0], "a", MSG_OOB);
	got(s[1], 1, MSG_OOB, "a");
	put(s[0], "b", MSG_OOB);
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 1, MSG_OOB, "b");
	CHECK_EQ(at_mark(s[1]), 1);
	nothing(s[1], 0, EAGAIN);
	CHECK_EQ(polls(s[1]), 0);
	put(s[0], "c", MSG_OOB);
	put(s[0], "def", 0);
	got(s[1], 1, MSG_OOB, "c");
	got(s[1], 10, 0, "def");
	nothing(s[1], 0, EAGAIN);
}

TEST(consumed_between)
{
	int s[2];
	pair(s);
	put(s[0], "ab", MSG_OOB);
	got(s[1], 1, MSG_OOB, "b");
	put(s[0], "cd", MSG_OOB);
	got(s[1], 1, MSG_OOB, "d");
	put(s[0], "ef", 0);
	got(s[1], 10, 0, "a");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, 0, "c");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, 0, "ef");
	nothing(s[1], 0, EAGAIN);
}

TEST(consumed_alone)
{
	int s[2];
	pair(s);
	put(s[0], "x", MSG_OOB);
	got(s[1], 1, MSG_OOB, "x");
	CHECK_EQ(inq(s[1]), 0);
	CHECK_EQ(at_mark(s[1]), 1);
	nothing(s[1], MSG_PEEK, EAGAIN);
	CHECK_EQ(at_mark(s[1]), 1);
	nothing(s[1], 0, EAGAIN);
	CHECK_EQ(at_mark(s[1]), 0);
	CHECK_EQ(polls(s[1]), 0);
}

TEST(inlined)
{
	int s[2];
	pair(s);
	inline_(s[1], 1);
	put(s[0], "hello", MSG_OOB);
	put(s[0], "world", 0);
	CHECK_EQ(polls(s[1]), POLLIN | POLLPRI);
	nothing(s[1], MSG_OOB, EINVAL);
	got(s[1], 10, 0, "hell");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, MSG_PEEK, "oworld");
	CHECK_EQ(at_mark(s[1]), 1);
	got(s[1], 10, 0, "oworld");
	CHECK_EQ(at_mark(s[1]), 0);
	CHECK_EQ(polls(s[1]), 0);
	nothing(s[1], 0, EAGAIN);
}

TEST(inlined_late)
{
	int s[2];
	pair(s);
	put(s[0], "ab", MSG_OOB);
	inline_(s[1], 1);
	got(s[1], 10, 0, "a");
	got(s[1], 10, 0, "b");
	put(s[0], "cd", MSG_OOB);
	inline_(s[1], 0);
	got(s[1], 1, MSG_OOB, "d");
	inline_(s[1], 1);
	put(s[0], "e", 0);
	got(s[1], 10, 0, "c");
	got(s[1], 10, 0, "e");
}

TEST(inlined_second)
{
	int s[2];
	pair(s);
	inline_(s[1], 1);
	put(s[0], "ab", MSG_OOB);
	put(s[0], "cd", MSG_OOB);
	got(s[1], 10, 0, "abc");
	got(s[1], 10, 0, "d");
}

TEST(peek_offset)
{
	int s[2], off = 0;
	pair(s);
	CHECK_OK(setsockopt(s[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	put(s[0], "abc", 0);
	put(s[0], "d", MSG_OOB);
	put(s[0], "ef", 0);
	got(s[1], 2, MSG_PEEK, "ab");
	got(s[1], 10, MSG_PEEK, "c");
	got(s[1], 1, MSG_OOB, "d");
	got(s[1], 10, 0, "abc");
	got(s[1], 10, 0, "ef");
}

static volatile int urgent;

static void on_urgent(int sig)
{
	urgent++;
}

TEST(signal)
{
	int s[2];
	struct sigaction sa = {.sa_handler = on_urgent};
	sigaction(SIGURG, &sa, NULL);
	pair(s);
	put(s[0], "a", MSG_OOB); /* nobody owns the other end */
	sleep_ms(20);
	CHECK_EQ(urgent, 0);
	CHECK_OK(fcntl(s[1], F_SETOWN, getpid()));
	put(s[0], "b", 0);
	CHECK_EQ(urgent, 0);
	put(s[0], "c", MSG_OOB);
	for (int i = 0; i < 1000 && !urgent; i++)
		sleep_ms(1);
	CHECK_EQ(urgent, 1);
}

TEST(epoll)
{
	int s[2], ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLPRI};
	pair(s);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, s[1], &ev));
	put(s[0], "a", 0);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
	put(s[0], "b", MSG_OOB);
	CHECK_EQ(epoll_wait(ep, &ev, 1, 1000), 1);
	CHECK_EQ(ev.events, EPOLLPRI);
	got(s[1], 1, MSG_OOB, "b");
	CHECK_EQ(epoll_wait(ep, &ev, 1, 0), 0);
}

static void *send_urgent(void *arg)
{
	sleep_ms(30);
	put(*(int *)arg, "u", MSG_OOB);
	return NULL;
}

TEST(poll_wakes)
{
	int s[2];
	pthread_t t;
	pair(s);
	struct pollfd p = {s[1], POLLPRI, 0};
	pthread_create(&t, NULL, send_urgent, &s[0]);
	CHECK_EQ(poll(&p, 1, 10000), 1);
	CHECK_EQ(p.revents, POLLPRI);
	pthread_join(t, NULL);
}

/* What is only a mark does not count as unread. */
TEST(closed)
{
	int s[2];
	char c;
	pair(s);
	put(s[0], "x", MSG_OOB);
	got(s[1], 1, MSG_OOB, "x");
	close(s[1]);
	CHECK_EQ(recv(s[0], &c, 1, 0), 0);
	pair(s);
	put(s[0], "x", MSG_OOB);
	close(s[1]);
	CHECK_ERRNO(recv(s[0], &c, 1, 0), ECONNRESET);
	pair(s);
	put(s[0], "ab", MSG_OOB);
	close(s[0]);
	got(s[1], 1, MSG_OOB, "b");
	got(s[1], 10, 0, "a");
	CHECK_EQ(recv(s[1], &c, 1, 0), 0);
}

/* Files go with the first piece, whatever it is. */
TEST(files)
{
	int s[2], fd;
	char ctl[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0}, buf[8];
	struct iovec v = {"ab", 2};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	struct cmsghdr *h = (void *)ctl;
	pair(s);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &s[0], sizeof(int));
	CHECK_EQ(sendmsg(s[0], &m, MSG_OOB), 2);
	v = (struct iovec){buf, 8};
	memset(ctl, 0, sizeof(ctl));
	CHECK_EQ(recvmsg(s[1], &m, 0), 1);
	CHECK_EQ(h->cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	CHECK_OK(fcntl(fd, F_GETFD));
	got(s[1], 1, MSG_OOB, "b");
}

TEST(empty_buffer)
{
	int s[2];
	char c;
	pair(s);
	put(s[0], "x", MSG_OOB);
	CHECK_EQ(recv(s[1], &c, 0, MSG_OOB), 1); /* it is gone all the same */
	nothing(s[1], MSG_OOB, EINVAL);
}

TEST(waitall)
{
	int s[2];
	pthread_t t;
	char buf[8] = {0};
	CHECK_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	put(s[0], "ab", 0);
	pthread_create(&t, NULL, send_urgent, &s[0]);
	CHECK_EQ(recv(s[1], buf, 5, MSG_WAITALL), 2); /* the mark ends it */
	pthread_join(t, NULL);
	CHECK_EQ(at_mark(s[1]), 1);
}

TEST(mark_moves)
{
	int s[2];
	pair(s);
	put(s[0], "a", 0);
	CHECK_EQ(at_mark(s[1]), 0);
	put(s[0], "b", MSG_OOB);
	CHECK_EQ(at_mark(s[1]), 0);
	got(s[1], 1, 0, "a");
	CHECK_EQ(at_mark(s[1]), 1);
	put(s[0], "c", MSG_OOB); /* what was urgent is not any more */
	CHECK_EQ(at_mark(s[1]), 0);
	got(s[1], 10, 0, "b");
	CHECK_EQ(at_mark(s[1]), 1);
}
