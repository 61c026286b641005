/* Descriptors and credentials over AF_UNIX sockets: unix(7), cmsg(3). */
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <grp.h>

#include "test.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

union ctl {
	char buf[2000];
	struct cmsghdr align;
};

static ssize_t send_fds(int s, const int *fds, int n, const char *data, size_t len)
{
	union ctl c;
	struct iovec iov = {(void *)data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	memset(&c, 0, sizeof(c));
	if (n) {
		m.msg_control = c.buf;
		m.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(h), fds, (size_t)n * sizeof(int));
	}
	return sendmsg(s, &m, MSG_NOSIGNAL);
}

struct got {
	ssize_t n;
	int fds[300], nfds, flags;
	struct ucred cred;
	int has_cred, pidfd;
	size_t controllen;
	char data[100];
};

static ssize_t receive(int s, struct got *g, size_t len, size_t ctl_len, int flags)
{
	union ctl c;
	struct iovec iov = {g->data, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	memset(g, 0, sizeof(*g));
	memset(&c, 0, sizeof(c));
	g->pidfd = -1;
	if (ctl_len) {
		m.msg_control = c.buf;
		m.msg_controllen = ctl_len;
	}
	g->n = recvmsg(s, &m, flags);
	g->flags = m.msg_flags;
	g->controllen = m.msg_controllen;
	if (g->n < 0)
		return g->n;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET)
			test_fail("level %d", h->cmsg_level);
		if (h->cmsg_type == SCM_RIGHTS) {
			g->nfds = (int)((h->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			memcpy(g->fds, CMSG_DATA(h), (size_t)g->nfds * sizeof(int));
		} else if (h->cmsg_type == SCM_CREDENTIALS) {
			g->has_cred = 1;
			memcpy(&g->cred, CMSG_DATA(h), sizeof(g->cred));
		} else if (h->cmsg_type == SCM_PIDFD) {
			memcpy(&g->pidfd, CMSG_DATA(h), sizeof(int));
		} else {
			test_fail("type %d", h->cmsg_type);
		}
	}
	return g->n;
}

static void pair(int type, int sv[2])
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

static int open_fds(void)
{
	int n = 0;
	for (int i = 0; i < 200; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

TEST(pass_file)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	for (int i = 0; i < 3; i++) {
		int sv[2], f = make_file("f", "content");
		struct got g;
		char b[10];
		struct stat a, c;
		pair(types[i], sv);
		CHECK_EQ(send_fds(sv[0], &f, 1, "x", 1), 1);
		CHECK_EQ(lseek(f, 3, SEEK_SET), 3);
		CHECK_OK(fstat(f, &a));
		close(f);
		CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
		CHECK_EQ(g.flags, 0);
		CHECK_EQ(g.nfds, 1);
		CHECK_EQ(g.controllen, CMSG_SPACE(4));
		CHECK_EQ(fcntl(g.fds[0], F_GETFD), 0);
		CHECK_OK(fstat(g.fds[0], &c));
		CHECK(a.st_ino == c.st_ino && a.st_dev == c.st_dev);
		CHECK_EQ(read(g.fds[0], b, 10), 4); /* the position is shared */
		CHECK(!memcmp(b, "tent", 4));
		close(g.fds[0]);
		f = open("f", O_PATH);
		CHECK_EQ(send_fds(sv[0], &f, 1, "x", 1), 1);
		CHECK_EQ(receive(sv[1], &g, 10, 500, MSG_CMSG_CLOEXEC), 1);
		CHECK_EQ(g.flags, MSG_CMSG_CLOEXEC);
		CHECK_EQ(fcntl(g.fds[0], F_GETFD), FD_CLOEXEC);
		CHECK_ERRNO(read(g.fds[0], b, 1), EBADF);
		close(g.fds[0]);
		close(f);
		close(sv[0]);
		close(sv[1]);
	}
}

TEST(stream_boundaries)
{
	int sv[2], f = open("/dev/null", O_RDONLY), n = open_fds() + 2;
	struct got g;
	pair(SOCK_STREAM, sv);
	CHECK_EQ(write(sv[0], "ab", 2), 2);
	CHECK_EQ(send_fds(sv[0], &f, 1, "cd", 2), 2);
	CHECK_EQ(write(sv[0], "ef", 2), 2);
	/* What came before is glued, nothing behind. */
	CHECK_EQ(receive(sv[1], &g, 100, 500, 0), 4);
	CHECK(!memcmp(g.data, "abcd", 4));
	CHECK_EQ(g.nfds, 1);
	close(g.fds[0]);
	CHECK_EQ(receive(sv[1], &g, 100, 500, 0), 2);
	CHECK_EQ(g.nfds, 0);
	/* The first byte takes them. */
	CHECK_EQ(send_fds(sv[0], &f, 1, "cd", 2), 2);
	CHECK_EQ(receive(sv[1], &g, 1, 500, 0), 1);
	CHECK_EQ(g.nfds, 1);
	close(g.fds[0]);
	CHECK_EQ(receive(sv[1], &g, 1, 500, 0), 1);
	CHECK_EQ(g.nfds, 0);
	/* read drops them. */
	CHECK_EQ(send_fds(sv[0], &f, 1, "cd", 2), 2);
	CHECK_EQ(read(sv[1], g.data, 10), 2);
	CHECK_EQ(open_fds(), n);
	/* Without data they do not travel on a stream. */
	CHECK_EQ(send_fds(sv[0], &f, 1, "", 0), 0);
	CHECK_ERRNO(recv(sv[1], g.data, 1, MSG_DONTWAIT), EAGAIN);
	/* Peeking copies. */
	CHECK_EQ(send_fds(sv[0], &f, 1, "pk", 2), 2);
	CHECK_EQ(receive(sv[1], &g, 10, 500, MSG_PEEK), 2);
	CHECK_EQ(g.nfds, 1);
	CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 2);
	CHECK_EQ(g.nfds, 1);
	CHECK_EQ(open_fds(), n + 2);
}

TEST(truncated)
{
	int sv[2], fds[4] = {0, 1, 2, 0}, n;
	struct got g;
	pair(SOCK_DGRAM, sv);
	n = open_fds();
	CHECK_EQ(send_fds(sv[0], fds, 4, "x", 1), 1);
	CHECK_EQ(receive(sv[1], &g, 10, 0, 0), 1);
	CHECK_EQ(g.flags, MSG_CTRUNC);
	CHECK_EQ(send_fds(sv[0], fds, 4, "x", 1), 1);
	CHECK_EQ(receive(sv[1], &g, 10, CMSG_LEN(2 * sizeof(int)), 0), 1);
	CHECK_EQ(g.flags, MSG_CTRUNC);
	CHECK_EQ(g.nfds, 2);
	CHECK_EQ(g.controllen, CMSG_LEN(8));
	CHECK_EQ(open_fds(), n + 2);
	close(g.fds[0]);
	close(g.fds[1]);
	CHECK_EQ(send_fds(sv[0], fds, 4, "x", 1), 1);
	CHECK_EQ(receive(sv[1], &g, 10, CMSG_LEN(0), 0), 1);
	CHECK_EQ(g.flags, MSG_CTRUNC);
	CHECK_EQ(g.controllen, 0);
	/* No descriptor left. */
	struct rlimit r, few;
	int top = dup(0);
	close(top);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK_EQ(send_fds(sv[0], fds, 4, "x", 1), 1);
	few = r;
	few.rlim_cur = (rlim_t)top + 1;
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &few));
	CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
	CHECK_EQ(g.flags, MSG_CTRUNC);
	CHECK_EQ(g.nfds, 1);
	CHECK_EQ(g.fds[0], top);
}

TEST(bad_control)
{
	int sv[2], many[254] = {0}, bad = 777;
	union ctl c;
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.buf};
	struct cmsghdr *h = &c.align;
	struct got g;
	pair(SOCK_DGRAM, sv);
	CHECK_EQ(send_fds(sv[0], many, 253, "x", 1), 1);
	CHECK_ERRNO(send_fds(sv[0], many, 254, "x", 1), EINVAL);
	CHECK_ERRNO(send_fds(sv[0], &bad, 1, "x", 1), EBADF);
	CHECK_EQ(receive(sv[1], &g, 10, 2000, 0), 1);
	CHECK_EQ(g.nfds, 253);
	for (int i = 0; i < g.nfds; i++)
		close(g.fds[i]);
	memset(&c, 0, sizeof(c));
	m.msg_controllen = CMSG_SPACE(4);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = 8;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
	h->cmsg_len = CMSG_SPACE(4) + 1;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
	h->cmsg_len = (size_t)-1;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
	h->cmsg_len = CMSG_LEN(4);
	h->cmsg_type = 99;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
	h->cmsg_level = 41; /* other levels are ignored */
	CHECK_EQ(sendmsg(sv[0], &m, 0), 1);
	m.msg_controllen = 1UL << 40;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), ENOBUFS);
	m.msg_control = (void *)8;
	m.msg_controllen = 24;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EFAULT);
	m.msg_control = NULL;
	m.msg_controllen = 0;
	m.msg_iovlen = 1025;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EMSGSIZE);
	m.msg_iovlen = 1;
	m.msg_name = &c;
	m.msg_namelen = (socklen_t)-1;
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
	CHECK_ERRNO(recvmsg(sv[1], &m, 0), EINVAL);
	CHECK_ERRNO(recvmsg(sv[1], (void *)8, 0), EFAULT);
}

TEST(credentials)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	for (int i = 0; i < 2; i++) {
		int sv[2], on = 1;
		struct got g;
		pair(types[i], sv);
		CHECK_EQ(write(sv[0], "a", 1), 1); /* before anybody asked */
		CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
		CHECK_EQ(write(sv[0], "b", 1), 1);
		pid_t p = test_fork();
		if (p == 0) {
			CHECK_OK(setresgid(77, 78, 79));
			CHECK_OK(setresuid(66, 67, 68));
			CHECK_EQ(write(sv[0], "c", 1), 1);
			_exit(0);
		}
		WAIT_OK(p);
		CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1); /* never glued */
		CHECK(g.has_cred && g.cred.pid == 0 && g.cred.uid == 65534 && g.cred.gid == 65534);
		CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
		CHECK_EQ(g.cred.pid, getpid());
		CHECK_EQ(g.cred.uid, getuid());
		CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
		CHECK_EQ(g.cred.pid, p);
		CHECK_EQ(g.cred.uid, 66);
		CHECK_EQ(g.cred.gid, 77);
		CHECK_EQ(write(sv[0], "d", 1), 1);
		CHECK_EQ(receive(sv[1], &g, 10, 0, 0), 1);
		CHECK_EQ(g.flags, MSG_CTRUNC);
		close(sv[0]);
		close(sv[1]);
	}
}

static ssize_t send_cred(int s, pid_t pid, uid_t uid, gid_t gid)
{
	union ctl c;
	struct ucred u = {pid, uid, gid};
	struct iovec iov = {"x", 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = c.buf,
		.msg_controllen = CMSG_SPACE(sizeof(u))};
	memset(&c, 0, sizeof(c));
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_CREDENTIALS;
	h->cmsg_len = CMSG_LEN(sizeof(u));
	memcpy(CMSG_DATA(h), &u, sizeof(u));
	return sendmsg(s, &m, 0);
}

TEST(explicit_credentials)
{
	int sv[2], on = 1;
	struct got g;
	pair(SOCK_DGRAM, sv);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	/* The privileged may say anything that exists. */
	CHECK_EQ(send_cred(sv[0], getppid(), 5, 6), 1);
	CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
	CHECK(g.cred.pid == getppid() && g.cred.uid == 5 && g.cred.gid == 6);
	CHECK_ERRNO(send_cred(sv[0], 999999, 0, 0), ESRCH);
	CHECK_ERRNO(send_cred(sv[0], getpid(), (uid_t)-1, 0), EINVAL);
	IN_CHILD({
		CHECK_OK(setresgid(77, 78, 79));
		CHECK_OK(setresuid(66, 67, 68));
		CHECK_EQ(send_cred(sv[0], getpid(), 67, 79), 1);
		CHECK_ERRNO(send_cred(sv[0], getppid(), 67, 79), EPERM);
		CHECK_ERRNO(send_cred(sv[0], getpid(), 0, 79), EPERM);
		CHECK_ERRNO(send_cred(sv[0], getpid(), 66, 0), EPERM);
	});
}

TEST(peercred)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
	struct ucred u;
	socklen_t n = sizeof(u);
	int l = socket(AF_UNIX, SOCK_STREAM, 0), sv[2];
	CHECK_OK(getsockopt(l, SOL_SOCKET, SO_PEERCRED, &u, &n));
	CHECK(u.pid == 0 && u.uid == (uid_t)-1 && u.gid == (gid_t)-1);
	CHECK_OK(bind(l, (void *)&a, sizeof(a)));
	CHECK_OK(chmod("s", 0777));
	CHECK_OK(listen(l, 5));
	pid_t p = test_fork();
	if (p == 0) {
		int c = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK_OK(setresgid(77, 78, 79));
		CHECK_OK(setresuid(66, 67, 68));
		CHECK_OK(connect(c, (void *)&a, sizeof(a)));
		CHECK_OK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &n));
		CHECK_EQ(u.pid, getppid());
		CHECK_EQ(u.uid, 0);
		pause();
	}
	int s = accept(l, NULL, NULL), fd = -1;
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &n));
	CHECK_EQ(u.pid, p);
	CHECK_EQ(u.uid, 67); /* effective */
	CHECK_EQ(u.gid, 78);
	n = sizeof(fd);
	if (getsockopt(s, SOL_SOCKET, SO_PEERPIDFD, &fd, &n) == 0) {
		struct pollfd pf = {fd, POLLIN, 0};
		CHECK_EQ(poll(&pf, 1, 0), 0);
		kill(p, SIGKILL);
		CHECK_EQ(poll(&pf, 1, 5000), 1);
	}
	kill(p, SIGKILL);
	WAIT_STATUS(p);
	gid_t groups[3] = {5, 9, 7}, got[10];
	CHECK_OK(setgroups(3, groups));
	pair(SOCK_STREAM, sv);
	n = sizeof(got);
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, 59 /* SO_PEERGROUPS */, got, &n));
	CHECK_EQ(n, 12);
	CHECK(got[0] == 5 && got[1] == 7 && got[2] == 9);
	n = 4;
	CHECK_ERRNO(getsockopt(sv[0], SOL_SOCKET, 59, got, &n), ERANGE);
	CHECK_EQ(n, 12);
	int d = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_ERRNO(getsockopt(d, SOL_SOCKET, 59, got, &n), ENODATA);
}

TEST(pidfd)
{
	int sv[2], on = 1;
	struct got g;
	pair(SOCK_STREAM, sv);
	if (setsockopt(sv[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
		test_skip("no SO_PASSPIDFD");
	pid_t p = test_fork();
	if (p == 0) {
		CHECK_EQ(write(sv[0], "x", 1), 1);
		pause();
	}
	CHECK_EQ(receive(sv[1], &g, 10, 500, 0), 1);
	CHECK(g.pidfd >= 0);
	struct pollfd pf = {g.pidfd, POLLIN, 0};
	CHECK_EQ(poll(&pf, 1, 0), 0);
	kill(p, SIGKILL);
	CHECK_EQ(poll(&pf, 1, 5000), 1);
	WAIT_STATUS(p);
}

/* A descriptor is closed at last: the other end of a pipe sees it. */
static void expect_closed(int pipe_read)
{
	struct pollfd p = {pipe_read, POLLIN, 0};
	CHECK_EQ(poll(&p, 1, 5000), 1);
	CHECK_EQ(p.revents & POLLHUP, POLLHUP);
}

TEST(dropped_with_the_queue)
{
	int sv[2], p[2];
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM, sv);
	CHECK_EQ(send_fds(sv[0], &p[1], 1, "x", 1), 1);
	close(p[1]);
	close(sv[0]);
	struct pollfd pf = {p[0], POLLIN, 0};
	CHECK_EQ(poll(&pf, 1, 0), 0);
	close(sv[1]);
	expect_closed(p[0]);
	/* In a connection that nobody accepted. */
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(pipe(p));
	CHECK_OK(bind(l, (void *)&a, sizeof(a)));
	CHECK_OK(listen(l, 5));
	CHECK_OK(connect(c, (void *)&a, sizeof(a)));
	CHECK_EQ(send_fds(c, &p[1], 1, "x", 1), 1);
	close(p[1]);
	close(l);
	expect_closed(p[0]);
}

/* Closing some socket makes the kernel look for cycles. */
static void provoke_gc(void)
{
	close(socket(AF_UNIX, SOCK_DGRAM, 0));
}

TEST(cycles)
{
	int sv[2], p[2], w[2];
	/* Its own end in its queue, with the end of a pipe. */
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM, sv);
	int fds[2] = {sv[1], p[1]};
	CHECK_EQ(send_fds(sv[0], fds, 2, "x", 1), 1);
	close(p[1]);
	close(sv[1]);
	close(sv[0]);
	provoke_gc();
	expect_closed(p[0]);
	/* Two pairs, each in the other's queue. */
	CHECK_OK(pipe(p));
	pair(SOCK_DGRAM, sv);
	pair(SOCK_DGRAM, w);
	fds[0] = w[1];
	CHECK_EQ(send_fds(sv[0], fds, 2, "x", 1), 1);
	fds[0] = sv[1];
	fds[1] = p[1];
	CHECK_EQ(send_fds(w[0], fds, 2, "x", 1), 1);
	close(p[1]);
	close(sv[0]);
	close(w[0]);
	close(sv[1]);
	close(w[1]);
	provoke_gc();
	expect_closed(p[0]);
	/* A listener in flight in a connection that waits in its own queue. */
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "l"};
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(bind(l, (void *)&a, sizeof(a)));
	CHECK_OK(listen(l, 5));
	CHECK_OK(connect(c, (void *)&a, sizeof(a)));
	CHECK_OK(pipe(p));
	fds[0] = l;
	fds[1] = p[1];
	CHECK_EQ(send_fds(c, fds, 2, "x", 1), 1);
	close(l);
	close(p[1]);
	close(c);
	provoke_gc();
	expect_closed(p[0]);
}

TEST(no_cycle)
{
	/* In flight only, but reachable: it must survive. */
	int a[2], b[2], c[2];
	struct got g;
	pair(SOCK_STREAM, a);
	pair(SOCK_STREAM, b);
	pair(SOCK_STREAM, c);
	CHECK_EQ(send_fds(b[0], &c[1], 1, "1", 1), 1);
	CHECK_EQ(send_fds(a[0], &b[1], 1, "2", 1), 1);
	close(c[1]);
	close(b[1]);
	for (int i = 0; i < 10; i++)
		provoke_gc();
	CHECK_EQ(receive(a[1], &g, 10, 500, 0), 1);
	CHECK_EQ(g.nfds, 1);
	CHECK_EQ(receive(g.fds[0], &g, 10, 500, 0), 1);
	CHECK_EQ(g.nfds, 1);
	CHECK_EQ(write(c[0], "alive", 5), 5);
	CHECK_EQ(read(g.fds[0], g.data, 10), 5);
}

TEST(deep_chain)
{
	/* Each socket holds the next one in its queue; closing the first frees them all. */
	int sv[2], next[2], p[2], depth = 0;
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM, sv);
	CHECK_EQ(send_fds(sv[0], &p[1], 1, "x", 1), 1);
	close(p[1]);
	close(sv[0]);
	for (; depth < 3000; depth++) {
		pair(SOCK_STREAM, next);
		if (send_fds(next[0], &sv[1], 1, "x", 1) != 1)
			break; /* Linux had a limit of 4 once */
		close(sv[1]);
		close(next[0]);
		sv[1] = next[1];
	}
	if (depth < 3000) {
		close(next[0]);
		close(next[1]);
	}
	close(sv[1]);
	provoke_gc();
	expect_closed(p[0]);
}

TEST(in_flight_limit)
{
	IN_CHILD({
		struct rlimit r = {50, 50};
		int sv[2], fds[10], i;
		pair(SOCK_DGRAM, sv);
		for (i = 0; i < 10; i++)
			fds[i] = 0;
		CHECK_OK(setrlimit(RLIMIT_NOFILE, &r));
		CHECK_OK(setresuid(4321, 4321, 4321));
		for (i = 0; i < 20; i++)
			if (send_fds(sv[0], fds, 10, "x", 1) < 0)
				break;
		CHECK(i < 20 && i >= 5);
		CHECK_ERRNO(send_fds(sv[0], fds, 10, "x", 1), ETOOMANYREFS);
		struct got g;
		CHECK_EQ(receive(sv[1], &g, 10, 0, 0), 1);
		CHECK_EQ(receive(sv[1], &g, 10, 0, 0), 1);
		CHECK_EQ(send_fds(sv[0], fds, 10, "x", 1), 1);
	});
}

/*
 * Many sockets in flight that nobody has but by receiving them: whoever closes others does not wait
 * for all of these to be looked through each time, and cycles among them go nevertheless.
 */
TEST(many_in_flight)
{
	enum { EACH = 250, MESSAGES = 12, CLOSES = 2000 };
	int keep[2], fds[EACH], sv[2], p[2];

	CHECK_OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){4000, 4000}));
	pair(SOCK_STREAM, keep);
	for (int i = 0; i < MESSAGES; i++) {
		for (int k = 0; k < EACH; k++)
			CHECK((fds[k] = socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0);
		CHECK_EQ(send_fds(keep[0], fds, EACH, "x", 1), 1);
		for (int k = 0; k < EACH; k++)
			close(fds[k]);
	}
	for (int i = 0; i < CLOSES; i++)
		provoke_gc();
	CHECK_OK(pipe(p));
	pair(SOCK_STREAM, sv);
	fds[0] = sv[1];
	fds[1] = p[1];
	CHECK_EQ(send_fds(sv[0], fds, 2, "x", 1), 1);
	close(p[1]);
	close(sv[1]);
	close(sv[0]);
	struct pollfd pf = {p[0], POLLIN, 0};
	do
		provoke_gc();
	while (poll(&pf, 1, 1) == 0);
	CHECK_EQ(pf.revents & POLLHUP, POLLHUP);
}

/* --- what an accepted end has of the listener --- */

static int flag(int fd, int name)
{
	int v = -1;
	socklen_t n = sizeof(v);
	CHECK_OK(getsockopt(fd, SOL_SOCKET, name, &v, &n));
	return v;
}

static void inherits(int type)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int l = socket(AF_UNIX, type, 0), c = socket(AF_UNIX, type, 0), on = 1;
	socklen_t n = sizeof(a);
	struct got g;
	CHECK_OK(bind(l, (void *)&a, sizeof(sa_family_t)));
	CHECK_OK(getsockname(l, (void *)&a, &n));
	CHECK_OK(listen(l, 5));
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on)));
	CHECK_OK(connect(c, (void *)&a, n));
	int s = accept(l, NULL, NULL);
	CHECK(s >= 0);
	CHECK_EQ(flag(s, SO_PASSCRED), 1);
	CHECK_EQ(flag(s, SO_TIMESTAMP), 0);
	CHECK_EQ(flag(c, SO_PASSCRED), 0);
	CHECK_EQ(send(c, "x", 1, 0), 1);
	CHECK_EQ(receive(s, &g, 10, 200, 0), 1);
	CHECK(g.has_cred);
	CHECK_EQ(g.cred.pid, getpid());
	on = 0;
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	close(c);
	c = socket(AF_UNIX, type, 0);
	CHECK_OK(connect(c, (void *)&a, n));
	s = accept(l, NULL, NULL);
	CHECK_EQ(flag(s, SO_PASSCRED), 0);
}

TEST(accepted_ends_pass_credentials)
{
	inherits(SOCK_STREAM);
	inherits(SOCK_SEQPACKET);
}

/* Ids that are none come before those that may not be. */
TEST(no_ids)
{
	int sv[2];
	pair(SOCK_STREAM, sv);
	IN_CHILD({
		CHECK_OK(setgroups(0, NULL));
		CHECK_OK(setgid(5));
		CHECK_OK(setuid(5));
		struct ucred u = {1, (uid_t)-1, 5};
		union ctl c = {{0}};
		struct iovec iov = {"x", 1};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = c.buf,
			.msg_controllen = CMSG_SPACE(sizeof(u))};
		c.align = (struct cmsghdr){CMSG_LEN(sizeof(u)), SOL_SOCKET, SCM_CREDENTIALS};
		memcpy(CMSG_DATA(&c.align), &u, sizeof(u));
		CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
		u.uid = 5;
		memcpy(CMSG_DATA(&c.align), &u, sizeof(u));
		CHECK_ERRNO(sendmsg(sv[0], &m, 0), EPERM);
	});
}
