/*
 * In the container of test_network.py: what --host-uds is to allow and to refuse.
 *
 *	uds client STREAM SEQPACKET DGRAM	talks to servers of the host
 *	uds server STREAM DGRAM			serves clients of the host, and of the container
 *	uds refused THEIRS OURS			cannot reach THEIRS; OURS works within the container
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		errno = 0;                                                                         \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #cond, strerror(errno));    \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static struct sockaddr_un un(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, path);
	return a;
}

static int dial(const char *path, int type)
{
	struct sockaddr_un a = un(path);
	int s = socket(AF_UNIX, type, 0);
	CHECK(s >= 0);
	CHECK(connect(s, (void *)&a, sizeof(a)) == 0);
	return s;
}

static int bound(const char *path, int type)
{
	struct sockaddr_un a = un(path);
	int s = socket(AF_UNIX, type, 0);
	CHECK(s >= 0);
	CHECK(bind(s, (void *)&a, sizeof(a)) == 0);
	return s;
}

/* Descriptors are not for the host. */
static void no_files(int s)
{
	char ctl[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0}, c = 'x';
	struct iovec v = {&c, 1};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	struct cmsghdr *h = (void *)ctl;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	CHECK(sendmsg(s, &m, 0) == -1 && errno == EINVAL);
}

static void stream_client(const char *path)
{
	static char buf[100001];
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	int s = dial(path, SOCK_STREAM), ep = epoll_create1(0), n;
	CHECK(getpeername(s, (void *)&a, &len) == 0);
	CHECK(strcmp(a.sun_path, path) == 0);
	a = un(path);
	CHECK(connect(s, (void *)&a, sizeof(a)) == -1 && errno == EISCONN);
	no_files(s);
	CHECK(recv(s, buf, 1, MSG_DONTWAIT) == -1);
	CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &ev) == 0);
	CHECK(epoll_wait(ep, &ev, 1, 0) == 0);
	memset(buf, 'x', sizeof(buf));
	buf[sizeof(buf) - 1] = '\n';
	CHECK(write(s, buf, sizeof(buf)) == sizeof(buf));
	CHECK(epoll_wait(ep, &ev, 1, 20000) == 1 && ev.events == EPOLLIN);
	CHECK(ioctl(s, FIONREAD, &n) == 0 && n == 6);
	CHECK(recv(s, buf, 6, MSG_WAITALL) == 6 && memcmp(buf, "answer", 6) == 0);
	CHECK(shutdown(s, SHUT_WR) == 0);
	CHECK(send(s, "x", 1, MSG_NOSIGNAL) == -1);
	CHECK(read(s, buf, 1) == 0);
	close(s);
}

static void client(char **path)
{
	struct sockaddr_un a = un(path[2]);
	char buf[16];
	stream_client(path[0]);
	int s = dial(path[1], SOCK_SEQPACKET);
	CHECK(send(s, "hello\n", 6, 0) == 6);
	CHECK(recv(s, buf, 3, 0) == 3 && memcmp(buf, "ans", 3) == 0); /* the rest is lost */
	CHECK(send(s, "x", 1, 0) == 1);
	close(s);
	s = dial(path[2], SOCK_DGRAM);
	CHECK(send(s, "one", 3, 0) == 3);
	CHECK(poll(&(struct pollfd){s, POLLOUT, 0}, 1, 1000) == 1);
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK(sendto(s, "two", 3, 0, (void *)&a, sizeof(a)) == 3);
	/* Another type than that of the socket that is there. */
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(s, (void *)&a, sizeof(a)) == -1 && errno != ECONNREFUSED);
}

static void answer(int l)
{
	char buf[16];
	int c = accept(l, NULL, NULL);
	CHECK(c >= 0);
	CHECK(recv(c, buf, 5, MSG_WAITALL) == 5 && memcmp(buf, "hello", 5) == 0);
	CHECK(send(c, "hello back", 10, 0) == 10);
	close(c);
}

static void server(char **path)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	char buf[16];
	int d = bound(path[1], SOCK_DGRAM), l = bound(path[0], SOCK_STREAM);
	CHECK(getsockname(l, (void *)&a, &len) == 0 && strcmp(a.sun_path, path[0]) == 0);
	CHECK(listen(l, 4) == 0);
	/* One of this container, which may send descriptors. */
	int s = dial(path[0], SOCK_STREAM);
	CHECK(send(s, "hello", 5, 0) == 5);
	answer(l);
	CHECK(recv(s, buf, 16, MSG_WAITALL) == 10);
	answer(l);
	struct pollfd p = {l, POLLIN, 0};
	CHECK(poll(&p, 1, 60000) == 1);
	answer(l);
	s = dial(path[1], SOCK_DGRAM);
	CHECK(send(s, "own", 3, 0) == 3);
	CHECK(recv(d, buf, 16, 0) == 3);
	CHECK(recv(d, buf, 16, 0) == 8 && memcmp(buf, "datagram", 8) == 0);
}

static void refused(char **path)
{
	struct sockaddr_un a = un(path[0]);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(s, (void *)&a, sizeof(a)) == -1 && errno == ECONNREFUSED);
	int l = bound(path[1], SOCK_STREAM);
	CHECK(listen(l, 1) == 0);
	s = dial(path[1], SOCK_STREAM);
	CHECK(accept(l, NULL, NULL) >= 0);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "client"))
		client(argv + 2);
	else if (argc == 4 && !strcmp(argv[1], "server"))
		server(argv + 2);
	else if (argc == 4 && !strcmp(argv[1], "refused"))
		refused(argv + 2);
	else
		return 2;
	puts("ok");
	return 0;
}
