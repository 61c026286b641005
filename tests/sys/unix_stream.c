/* AF_UNIX streams and sequenced packets: unix(7).  FS: all */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <linux/sockios.h>

#include "test.h"

static struct sockaddr_un un(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, path);
	return a;
}

/* Abstract: the length matters. */
static socklen_t un_abstract(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(a->sun_path + 1, name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static int server(int type, const char *path, int backlog)
{
	struct sockaddr_un a = un(path);
	int s = socket(AF_UNIX, type, 0);
	CHECK(s >= 0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	CHECK_OK(listen(s, backlog));
	return s;
}

static int dial(int type, const char *path)
{
	struct sockaddr_un a = un(path);
	int s = socket(AF_UNIX, type, 0);
	CHECK(s >= 0);
	if (connect(s, (void *)&a, sizeof(a)) < 0) {
		int e = errno;
		close(s);
		errno = e;
		return -1;
	}
	return s;
}

static void pair(int type, int sv[2])
{
	CHECK_OK(socketpair(AF_UNIX, type, 0, sv));
}

static int poll_of(int fd)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	CHECK(poll(&p, 1, 0) >= 0);
	return p.revents;
}

TEST(create)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(fd >= 0);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x40000000, 0), EINVAL);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 17), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_UNIX, 11, 0), EINVAL);
	CHECK_ERRNO(socket(77, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_ERRNO(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
	CHECK_OK(socket(AF_UNIX, SOCK_STREAM, AF_UNIX));
	int raw = socket(AF_UNIX, SOCK_RAW, 0), type;
	socklen_t n = sizeof(type);
	CHECK_OK(getsockopt(raw, SOL_SOCKET, SO_TYPE, &type, &n));
	CHECK_EQ(type, SOCK_DGRAM);
	struct stat st;
	CHECK_OK(fstat(fd, &st));
	CHECK_EQ(st.st_mode, S_IFSOCK | 0777);
	char link[64], want[64];
	snprintf(want, sizeof(want), "/proc/self/fd/%d", fd);
	ssize_t k = readlink(want, link, sizeof(link) - 1);
	CHECK(k > 0);
	link[k] = 0;
	snprintf(want, sizeof(want), "socket:[%lu]", (unsigned long)st.st_ino);
	CHECK_STR(link, want);
	CHECK_ERRNO(lseek(fd, 0, SEEK_SET), ESPIPE);
	CHECK_ERRNO(pread(fd, link, 1, 0), ESPIPE);
}

TEST(not_a_socket)
{
	struct sockaddr_un a = un("x");
	socklen_t n = sizeof(a);
	int p[2], v = 0;
	CHECK_OK(pipe(p));
	CHECK_ERRNO(bind(p[0], (void *)&a, sizeof(a)), ENOTSOCK);
	CHECK_ERRNO(connect(p[0], (void *)&a, sizeof(a)), ENOTSOCK);
	CHECK_ERRNO(listen(p[0], 1), ENOTSOCK);
	CHECK_ERRNO(accept(p[0], NULL, NULL), ENOTSOCK);
	CHECK_ERRNO(getsockname(p[0], (void *)&a, &n), ENOTSOCK);
	CHECK_ERRNO(getpeername(p[0], (void *)&a, &n), ENOTSOCK);
	CHECK_ERRNO(send(p[1], "x", 1, 0), ENOTSOCK);
	CHECK_ERRNO(recv(p[0], &v, 1, 0), ENOTSOCK);
	CHECK_ERRNO(shutdown(p[0], 0), ENOTSOCK);
	CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)), ENOTSOCK);
	n = sizeof(v);
	CHECK_ERRNO(getsockopt(p[0], SOL_SOCKET, SO_REUSEADDR, &v, &n), ENOTSOCK);
	CHECK_ERRNO(send(99, "x", 1, 0), EBADF);
	CHECK_ERRNO(bind(99, (void *)&a, sizeof(a)), EBADF);
	int o = open(".", O_PATH);
	CHECK_ERRNO(listen(o, 1), EBADF);
}

TEST(pair_io)
{
	int sv[2], n;
	char b[100];
	pair(SOCK_STREAM, sv);
	CHECK_EQ(write(sv[0], "hello", 5), 5);
	CHECK_EQ(write(sv[0], " world", 6), 6);
	CHECK_OK(ioctl(sv[1], FIONREAD, &n));
	CHECK_EQ(n, 11);
	CHECK_OK(ioctl(sv[0], SIOCOUTQ, &n));
	CHECK(n > 0);
	CHECK_EQ(recv(sv[1], b, 7, MSG_PEEK), 7);
	CHECK(!memcmp(b, "hello w", 7));
	CHECK_EQ(read(sv[1], b, sizeof(b)), 11);
	CHECK(!memcmp(b, "hello world", 11));
	CHECK_OK(ioctl(sv[0], SIOCOUTQ, &n));
	CHECK_EQ(n, 0);
	CHECK_EQ(send(sv[1], "", 0, 0), 0);
	CHECK_ERRNO(recv(sv[0], b, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(read(sv[0], b, 0), 0);
	struct iovec iov[2] = {{"ab", 2}, {"cde", 3}};
	CHECK_EQ(writev(sv[1], iov, 2), 5);
	struct iovec in[2] = {{b, 1}, {b + 10, 90}};
	CHECK_EQ(readv(sv[0], in, 2), 5);
	CHECK(b[0] == 'a' && !memcmp(b + 10, "bcde", 4));
	CHECK_ERRNO(send(sv[0], (void *)8, 10, 0), EFAULT);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	CHECK_ERRNO(recv(sv[1], (void *)8, 10, 0), EFAULT);
	CHECK_EQ(recv(sv[1], b, 10, 0), 1);
	CHECK_ERRNO(ioctl(sv[0], 0x1234, &n), ENOTTY);
}

TEST(buffer_size)
{
	int sv[2], total = 0, count = 0;
	char b[4096] = {0};
	pair(SOCK_STREAM, sv);
	CHECK_OK(fcntl(sv[0], F_SETFL, O_NONBLOCK));
	for (ssize_t n; (n = write(sv[0], b, sizeof(b))) > 0; count++)
		total += (int)n;
	CHECK_EQ(total, count * 4096);
	CHECK_ERRNO(write(sv[0], b, sizeof(b)), EAGAIN);
	CHECK(count >= 40 && count <= 56);
	CHECK(!(poll_of(sv[0]) & POLLOUT));
	CHECK_EQ(poll_of(sv[1]), POLLIN | POLLOUT);
	/* Not writable again before three quarters are free. */
	CHECK_EQ(read(sv[1], b, sizeof(b)), 4096);
	CHECK(!(poll_of(sv[0]) & POLLOUT));
	for (int i = 1; i < count; i++)
		CHECK_EQ(recv(sv[1], b, sizeof(b), MSG_WAITALL), 4096);
	CHECK_EQ(poll_of(sv[0]), POLLOUT);
	/* One byte each: the overhead counts. */
	for (count = 0; write(sv[0], b, 1) == 1;)
		count++;
	CHECK(count >= 200 && count <= 400);
	/* A big write is cut. */
	pair(SOCK_STREAM, sv);
	static char big[1 << 20];
	ssize_t n = send(sv[0], big, sizeof(big), MSG_DONTWAIT);
	CHECK(n > 150000 && n < 500000);
}

struct xfer {
	int fd;
	size_t n;
};

static void *writer(void *arg)
{
	struct xfer *x = arg;
	char *b = malloc(x->n);
	for (size_t i = 0; i < x->n; i++)
		b[i] = (char)(i * 7 >> 3);
	CHECK_EQ(write(x->fd, b, x->n), x->n);
	free(b);
	return NULL;
}

TEST(bulk)
{
	int sv[2];
	pthread_t th;
	size_t total = 8 << 20, got = 0;
	char *b = malloc(total);
	pair(SOCK_STREAM, sv);
	struct xfer x = {sv[0], total};
	CHECK_EQ(pthread_create(&th, NULL, writer, &x), 0);
	while (got < total) {
		ssize_t n = read(sv[1], b + got, total - got < 70001 ? total - got : 70001);
		CHECK(n > 0);
		got += (size_t)n;
	}
	for (size_t i = 0; i < total; i++)
		if (b[i] != (char)(i * 7 >> 3))
			test_fail("byte %zu differs", i);
	pthread_join(th, NULL);
}

TEST(waitall)
{
	int sv[2];
	char b[20];
	pair(SOCK_STREAM, sv);
	pid_t p = test_fork();
	if (p == 0) {
		for (int i = 0; i < 4; i++) {
			sleep_ms(20);
			CHECK_EQ(write(sv[0], "abcde", 5), 5);
		}
		_exit(0);
	}
	CHECK_EQ(recv(sv[1], b, 20, MSG_WAITALL), 20);
	CHECK(!memcmp(b, "abcdeabcdeabcdeabcde", 20));
	WAIT_OK(p);
	CHECK_EQ(write(sv[0], "abc", 3), 3);
	close(sv[0]);
	CHECK_EQ(recv(sv[1], b, 20, MSG_WAITALL), 3);
	CHECK_EQ(recv(sv[1], b, 20, MSG_WAITALL), 0);
}

TEST(lowat)
{
	int sv[2], v = 4;
	char b[20];
	pair(SOCK_STREAM, sv);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_RCVLOWAT, &v, sizeof(v)));
	CHECK_EQ(write(sv[0], "ab", 2), 2);
	CHECK_EQ(recv(sv[1], b, 20, MSG_DONTWAIT), 2);
	pid_t p = test_fork();
	if (p == 0) {
		for (int i = 0; i < 4; i++) {
			sleep_ms(20);
			CHECK_EQ(write(sv[0], "z", 1), 1);
		}
		_exit(0);
	}
	CHECK_EQ(recv(sv[1], b, 20, 0), 4);
	WAIT_OK(p);
}

TEST(eof_and_epipe)
{
	int sv[2];
	char b[10];
	pair(SOCK_STREAM, sv);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	close(sv[0]);
	CHECK_EQ(poll_of(sv[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK_EQ(read(sv[1], b, 10), 1);
	CHECK_EQ(read(sv[1], b, 10), 0);
	CHECK_ERRNO(send(sv[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	pid_t p = test_fork();
	if (p == 0) {
		signal(SIGPIPE, SIG_DFL);
		write(sv[1], "x", 1);
		_exit(0);
	}
	int st = WAIT_STATUS(p);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGPIPE);
	struct sockaddr_un a;
	socklen_t n = sizeof(a);
	CHECK_OK(getpeername(sv[1], (void *)&a, &n));
	CHECK_EQ(n, 2);
}

TEST(reset)
{
	int sv[2], v;
	socklen_t n = sizeof(v);
	char b[10];
	pair(SOCK_STREAM, sv);
	CHECK_EQ(write(sv[1], "unread", 6), 6);
	close(sv[0]);
	CHECK_EQ(poll_of(sv[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	CHECK_ERRNO(read(sv[1], b, 10), ECONNRESET);
	CHECK_EQ(read(sv[1], b, 10), 0);
	pair(SOCK_STREAM, sv);
	CHECK_EQ(write(sv[1], "unread", 6), 6);
	close(sv[0]);
	CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_ERROR, &v, &n));
	CHECK_EQ(v, ECONNRESET);
	CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_ERROR, &v, &n));
	CHECK_EQ(v, 0);
}

TEST(shutdown_ways)
{
	int sv[2];
	char b[10];
	pair(SOCK_STREAM, sv);
	CHECK_ERRNO(shutdown(sv[0], 3), EINVAL);
	CHECK_ERRNO(shutdown(sv[0], -1), EINVAL);
	CHECK_EQ(write(sv[0], "x", 1), 1);
	CHECK_OK(shutdown(sv[0], SHUT_WR));
	CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(poll_of(sv[0]), POLLOUT);
	CHECK_EQ(poll_of(sv[1]), POLLIN | POLLOUT | POLLRDHUP);
	CHECK_EQ(read(sv[1], b, 10), 1);
	CHECK_EQ(read(sv[1], b, 10), 0);
	CHECK_EQ(write(sv[1], "back", 4), 4);
	CHECK_EQ(read(sv[0], b, 10), 4);
	CHECK_OK(shutdown(sv[0], SHUT_RD));
	CHECK_EQ(poll_of(sv[0]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK_EQ(read(sv[0], b, 10), 0);
	CHECK_ERRNO(send(sv[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	/* It wakes a reader. */
	pair(SOCK_STREAM, sv);
	pid_t p = test_fork();
	if (p == 0) {
		close(sv[1]);
		CHECK_EQ(read(sv[0], b, 10), 0);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(shutdown(sv[0], SHUT_RD));
	WAIT_OK(p);
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(shutdown(s, SHUT_RDWR));
}

TEST(unconnected)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	char b[4];
	struct sockaddr_un a = un("none");
	socklen_t n = sizeof(a);
	CHECK_ERRNO(recv(s, b, 4, 0), EINVAL);
	CHECK_ERRNO(send(s, b, 4, 0), ENOTCONN);
	CHECK_ERRNO(sendto(s, b, 4, 0, (void *)&a, sizeof(a)), EOPNOTSUPP);
	CHECK_ERRNO(getpeername(s, (void *)&a, &n), ENOTCONN);
	CHECK_ERRNO(listen(s, 1), EINVAL);
	CHECK_ERRNO(accept(s, NULL, NULL), EINVAL);
	CHECK_EQ(poll_of(s), POLLOUT | POLLHUP);
	int q = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK_ERRNO(recv(q, b, 4, 0), ENOTCONN);
	CHECK_ERRNO(send(q, b, 4, 0), ENOTCONN);
	CHECK_EQ(poll_of(q), POLLOUT | POLLHUP);
}

TEST(listen_accept)
{
	struct sockaddr_un a;
	socklen_t n = sizeof(a);
	struct stat st;
	char b[10];
	int v;
	int l = server(SOCK_STREAM, "sock", 5);
	CHECK_OK(stat("sock", &st));
	CHECK_EQ(st.st_mode, S_IFSOCK | 0755);
	CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
	CHECK_EQ(poll_of(l), 0);
	int c = dial(SOCK_STREAM, "sock");
	CHECK(c >= 0);
	CHECK_EQ(poll_of(l), POLLIN);
	CHECK_ERRNO(ioctl(l, FIONREAD, &v), EINVAL);
	CHECK_EQ(write(c, "early", 5), 5);
	int s = accept4(l, (void *)&a, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(s >= 0);
	CHECK_EQ(n, 2);
	CHECK_EQ(a.sun_family, AF_UNIX);
	CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(s, F_GETFL) & O_NONBLOCK);
	CHECK_EQ(poll_of(l), 0);
	CHECK_EQ(read(s, b, 10), 5);
	CHECK_ERRNO(read(s, b, 10), EAGAIN);
	n = sizeof(a);
	CHECK_OK(getsockname(s, (void *)&a, &n));
	CHECK_EQ(n, 2 + 5);
	CHECK_STR(a.sun_path, "sock");
	n = sizeof(a);
	CHECK_OK(getpeername(c, (void *)&a, &n));
	CHECK_STR(a.sun_path, "sock");
	n = 4;
	memset(&a, 'z', sizeof(a));
	CHECK_OK(getpeername(c, (void *)&a, &n));
	CHECK_EQ(n, 7);
	CHECK(!memcmp(a.sun_path, "sozz", 4));
	n = (socklen_t)-1;
	CHECK_ERRNO(getpeername(c, (void *)&a, &n), EINVAL);
	a = un("sock");
	CHECK_ERRNO(connect(c, (void *)&a, sizeof(a)), EISCONN);
	CHECK_ERRNO(connect(l, (void *)&a, sizeof(a)), EINVAL);
	CHECK_ERRNO(sendto(c, b, 1, 0, (void *)&a, sizeof(a)), EISCONN);
	CHECK_ERRNO(recv(l, b, 1, 0), EINVAL);
	CHECK_ERRNO(send(l, b, 1, 0), ENOTCONN);
	CHECK_ERRNO(accept4(l, NULL, NULL, 1), EINVAL);
	n = sizeof(v);
	CHECK_OK(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &n));
	CHECK_EQ(v, 1);
	CHECK_ERRNO(listen(c, 1), EINVAL);
	CHECK_OK(listen(l, 1));
	CHECK_OK(fcntl(l, F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
}

TEST(names)
{
	struct sockaddr_un a = un("n1"), b;
	socklen_t n = sizeof(b), len;
	int s = socket(AF_UNIX, SOCK_STREAM, 0), s2 = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(getsockname(s, (void *)&b, &n));
	CHECK_EQ(n, 2);
	CHECK_ERRNO(bind(s, (void *)&a, 1), EINVAL);
	CHECK_ERRNO(bind(s, (void *)&a, 111), EINVAL);
	CHECK_ERRNO(bind(s, (void *)&a, 129), EINVAL);
	CHECK_ERRNO(bind(s, (void *)8, 10), EFAULT);
	a.sun_family = AF_INET;
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EINVAL);
	a = un("no/such/dir");
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), ENOENT);
	a = un("n1");
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	a = un("n2");
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EINVAL);
	CHECK_ERRNO(access("n2", F_OK), ENOENT);
	a = un("n1");
	CHECK_ERRNO(bind(s2, (void *)&a, sizeof(a)), EADDRINUSE);
	touch("file");
	a = un("file");
	CHECK_ERRNO(bind(s2, (void *)&a, sizeof(a)), EADDRINUSE);
	CHECK_ERRNO(connect(s2, (void *)&a, sizeof(a)), ECONNREFUSED);
	a = un("n1");
	CHECK_ERRNO(connect(s2, (void *)&a, sizeof(a)), ECONNREFUSED);
	a = un("gone");
	CHECK_ERRNO(connect(s2, (void *)&a, sizeof(a)), ENOENT);
	CHECK_ERRNO(connect(s2, (void *)&a, 2), EINVAL);
	/* All of sun_path without a NUL. */
	memset(a.sun_path, 'x', sizeof(a.sun_path));
	CHECK_OK(bind(s2, (void *)&a, sizeof(a)));
	char longname[200] = {0};
	n = sizeof(longname);
	CHECK_OK(getsockname(s2, (void *)longname, &n));
	CHECK_EQ(n, 2 + 109);
	CHECK_EQ(strlen(longname + 2), 108);
	/* The name stays when the socket is gone. */
	close(s);
	CHECK_OK(access("n1", F_OK));
	a = un("n1");
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(connect(s, (void *)&a, sizeof(a)), ECONNREFUSED);
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EADDRINUSE);
	CHECK_OK(unlink("n1"));
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	/* By another name, by a link, from elsewhere. */
	CHECK_OK(listen(s, 8));
	CHECK_OK(rename("n1", "moved"));
	CHECK(dial(SOCK_STREAM, "moved") >= 0);
	CHECK_OK(symlink("moved", "sym"));
	CHECK(dial(SOCK_STREAM, "sym") >= 0);
	CHECK_OK(link("moved", "hard"));
	CHECK(dial(SOCK_STREAM, "hard") >= 0);
	CHECK_OK(unlink("moved"));
	CHECK(dial(SOCK_STREAM, "hard") >= 0);
	len = sizeof(b);
	CHECK_OK(getsockname(s, (void *)&b, &len));
	CHECK_STR(b.sun_path, "n1");
	CHECK_ERRNO(dial(SOCK_SEQPACKET, "hard"), EPROTOTYPE);
	/* A socket made by mknod has nobody behind it. */
	CHECK_OK(mknod("node", S_IFSOCK | 0666, 0));
	CHECK_ERRNO(dial(SOCK_STREAM, "node"), ECONNREFUSED);
}

TEST(bind_mode)
{
	struct sockaddr_un a = un("m");
	struct stat st;
	int s = socket(AF_UNIX, SOCK_STREAM, 0);
	umask(0027);
	CHECK_OK(fchmod(s, 0666));
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	CHECK_OK(stat("m", &st));
	CHECK_EQ(st.st_mode & 07777, 0640);
	CHECK_OK(listen(s, 1));
	CHECK_OK(chmod("m", 0600));
	CHECK_OK(chmod(".", 0755));
	IN_CHILD({
		CHECK_OK(setresuid(1234, 1234, 1234));
		CHECK_ERRNO(dial(SOCK_STREAM, "m"), EACCES);
	});
	CHECK_OK(chmod("m", 0622));
	IN_CHILD({
		CHECK_OK(setresuid(1234, 1234, 1234));
		CHECK(dial(SOCK_STREAM, "m") >= 0);
	});
}

TEST(abstract)
{
	struct sockaddr_un a, b;
	socklen_t n = un_abstract(&a, "test-abstract"), len = sizeof(b);
	int s = socket(AF_UNIX, SOCK_STREAM, 0), s2 = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(bind(s, (void *)&a, n));
	CHECK_ERRNO(bind(s2, (void *)&a, n), EADDRINUSE);
	CHECK_OK(bind(s2, (void *)&a, n + 1)); /* another name: one NUL more */
	CHECK_OK(listen(s, 4));
	CHECK_OK(getsockname(s, (void *)&b, &len));
	CHECK_EQ(len, n);
	CHECK(!memcmp(&a, &b, n));
	int c = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(connect(c, (void *)&a, n - 1), ECONNREFUSED);
	CHECK_ERRNO(connect(c, (void *)&a, n + 1), ECONNREFUSED);
	CHECK_OK(connect(c, (void *)&a, n));
	/* Names are by type. */
	int q = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK_ERRNO(connect(q, (void *)&a, n), ECONNREFUSED);
	close(s);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(bind(s, (void *)&a, n));
	/* Autobind. */
	int t = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(bind(t, (void *)&a, 2));
	len = sizeof(b);
	CHECK_OK(getsockname(t, (void *)&b, &len));
	CHECK_EQ(len, 8);
	CHECK_EQ(b.sun_path[0], 0);
	for (int i = 1; i < 6; i++)
		CHECK(strchr("0123456789abcdef", b.sun_path[i]));
	CHECK_OK(bind(t, (void *)&a, 2));
	CHECK_ERRNO(bind(t, (void *)&a, n), EINVAL);
}

/* net.core.somaxconn bounds what listen(2) asks for. */
TEST(somaxconn)
{
	const char *path = "/proc/sys/net/core/somaxconn";
	char old[16] = "";
	struct sockaddr_un a = un("max");
	int fd = open(path, O_RDWR), n;
	if (fd < 0 && (errno == ENOENT || errno == EACCES || errno == EROFS))
		test_skip("%s: %s", path, strerror(errno));
	CHECK(read(fd, old, sizeof(old) - 1) > 0);
	CHECK_EQ(pwrite(fd, "1\n", 2, 0), 2);
	server(SOCK_STREAM, "max", 100);
	CHECK_EQ(pwrite(fd, old, strlen(old), 0), strlen(old));
	for (n = 0; n < 100; n++) {
		int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(s, (void *)&a, sizeof(a)) < 0)
			break;
	}
	CHECK_EQ(n, 2);
	CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&a, sizeof(a)),
		EAGAIN);
	close(fd);
}

TEST(backlog)
{
	struct sockaddr_un a = un("s");
	int l = server(SOCK_STREAM, "s", 1), c[3];
	for (int i = 0; i < 2; i++)
		CHECK((c[i] = dial(SOCK_STREAM, "s")) >= 0);
	c[2] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_ERRNO(connect(c[2], (void *)&a, sizeof(a)), EAGAIN);
	/* With a time limit. */
	struct timeval tv = {0, 50000};
	int d = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_OK(setsockopt(d, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	int64_t t0 = now_ms();
	CHECK_ERRNO(connect(d, (void *)&a, sizeof(a)), EAGAIN);
	CHECK(now_ms() - t0 >= 45);
	pid_t p = test_fork();
	if (p == 0) {
		int s = dial(SOCK_STREAM, "s");
		CHECK(s >= 0);
		CHECK_EQ(write(s, "!", 1), 1);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK(accept(l, NULL, NULL) >= 0);
	WAIT_OK(p);
	/* The listener goes: who waits is refused, who was queued is reset. */
	p = test_fork();
	if (p == 0) {
		close(l);
		CHECK_ERRNO(dial(SOCK_STREAM, "s"), ECONNREFUSED);
		_exit(0);
	}
	wait_state(p, 'S');
	close(l);
	WAIT_OK(p);
	char b[4];
	CHECK_ERRNO(read(c[1], b, 4), ECONNRESET);
	CHECK_EQ(read(c[1], b, 4), 0);
}

TEST(accept_blocks)
{
	int l = server(SOCK_STREAM, "s", 8);
	pid_t p = test_fork();
	if (p == 0) {
		int s = accept(l, NULL, NULL);
		CHECK(s >= 0);
		CHECK_EQ(write(s, "hi", 2), 2);
		_exit(0);
	}
	wait_state(p, 'S');
	int c = dial(SOCK_STREAM, "s");
	char b[4];
	CHECK_EQ(read(c, b, 4), 2);
	WAIT_OK(p);
	/* shutdown ends an accept. */
	p = test_fork();
	if (p == 0) {
		CHECK_ERRNO(accept(l, NULL, NULL), EINVAL);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(shutdown(l, SHUT_RD));
	WAIT_OK(p);
	CHECK_ERRNO(dial(SOCK_STREAM, "s"), ECONNREFUSED);
}

TEST(accept_emfile)
{
	int l = server(SOCK_STREAM, "s", 8), c = dial(SOCK_STREAM, "s"), top = dup(0);
	struct rlimit {
		unsigned long cur, max;
	} r, small;
	close(top);
	CHECK_OK(syscall(SYS_prlimit64, 0, 7, NULL, &r));
	small = r;
	small.cur = (unsigned long)top;
	CHECK_OK(syscall(SYS_prlimit64, 0, 7, &small, NULL));
	CHECK_ERRNO(accept(l, NULL, NULL), EMFILE);
	CHECK_OK(syscall(SYS_prlimit64, 0, 7, &r, NULL));
	CHECK(accept(l, NULL, NULL) >= 0);
	CHECK(c >= 0);
}

static void on_signal(int sig)
{
}

TEST(signals)
{
	int sv[2];
	char b[4];
	pair(SOCK_STREAM, sv);
	for (int restart = 0; restart < 2; restart++) {
		pid_t p = test_fork();
		if (p == 0) {
			struct sigaction sa = {.sa_handler = on_signal,
				.sa_flags = restart ? SA_RESTART : 0};
			sigaction(SIGUSR1, &sa, NULL);
			if (restart)
				CHECK_EQ(read(sv[1], b, 4), 1);
			else
				CHECK_ERRNO(read(sv[1], b, 4), EINTR);
			_exit(0);
		}
		wait_state(p, 'S');
		CHECK_OK(kill(p, SIGUSR1));
		sleep_ms(30);
		if (restart)
			CHECK_EQ(write(sv[0], "x", 1), 1);
		WAIT_OK(p);
	}
	/* With a time limit calls are never restarted. */
	pid_t p = test_fork();
	if (p == 0) {
		struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
		struct timeval tv = {10, 0};
		sigaction(SIGUSR1, &sa, NULL);
		CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
		CHECK_ERRNO(read(sv[1], b, 4), EINTR);
		_exit(0);
	}
	wait_state(p, 'S');
	CHECK_OK(kill(p, SIGUSR1));
	WAIT_OK(p);
}

TEST(timeouts)
{
	int sv[2];
	char b[4];
	struct timeval tv = {0, 50000}, got;
	socklen_t n = sizeof(got);
	pair(SOCK_STREAM, sv);
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &got, &n));
	/* Linux rounds up to ticks. */
	CHECK(got.tv_sec == 0 && got.tv_usec >= 50000 && got.tv_usec <= 60000);
	int64_t t0 = now_ms();
	CHECK_ERRNO(read(sv[0], b, 4), EAGAIN);
	CHECK(now_ms() - t0 >= 45);
	tv.tv_usec = 1000000;
	CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), EDOM);
	CHECK_ERRNO(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, 8), EINVAL);
	static char big[1 << 20];
	tv.tv_usec = 50000;
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	t0 = now_ms();
	ssize_t k = write(sv[0], big, sizeof(big));
	CHECK(k > 0 && k < (1 << 20));
	CHECK(now_ms() - t0 >= 45);
	CHECK_ERRNO(write(sv[0], big, sizeof(big)), EAGAIN);
}

TEST(options)
{
	int s = socket(AF_UNIX, SOCK_STREAM, 0), v;
	socklen_t n;
#define GET(opt, want)                                                                             \
	do {                                                                                       \
		n = sizeof(v);                                                                     \
		v = -1;                                                                            \
		CHECK_OK(getsockopt(s, SOL_SOCKET, opt, &v, &n));                                  \
		CHECK_EQ(n, 4);                                                                    \
		CHECK_EQ(v, want);                                                                 \
	} while (0)
#define SET(opt, val)                                                                              \
	do {                                                                                       \
		v = (val);                                                                         \
		CHECK_OK(setsockopt(s, SOL_SOCKET, opt, &v, sizeof(v)));                           \
	} while (0)
	GET(SO_TYPE, SOCK_STREAM);
	GET(SO_DOMAIN, AF_UNIX);
	GET(SO_PROTOCOL, 0);
	GET(SO_ERROR, 0);
	GET(SO_ACCEPTCONN, 0);
	GET(SO_SNDBUF, 212992);
	GET(SO_RCVBUF, 212992);
	GET(SO_REUSEADDR, 0);
	GET(SO_KEEPALIVE, 0);
	GET(SO_PASSCRED, 0);
	GET(SO_RCVLOWAT, 1);
	GET(SO_SNDLOWAT, 1);
	GET(SO_PRIORITY, 0);
	GET(SO_PEEK_OFF, -1);
	SET(SO_SNDBUF, 10000);
	GET(SO_SNDBUF, 20000);
	SET(SO_SNDBUF, 1);
	GET(SO_SNDBUF, 4608);
	SET(SO_RCVBUF, 1);
	GET(SO_RCVBUF, 2304);
	SET(SO_SNDBUF, 1 << 30); /* cut to net.core.wmem_max */
	n = sizeof(v);
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_SNDBUF, &v, &n));
	CHECK(v >= 425984 && v <= 16 << 20);
	SET(SO_SNDBUFFORCE, 1000000);
	GET(SO_SNDBUF, 2000000);
	SET(SO_REUSEADDR, 5);
	GET(SO_REUSEADDR, 1);
	SET(SO_PASSCRED, 1);
	GET(SO_PASSCRED, 1);
	SET(SO_RCVLOWAT, 0);
	GET(SO_RCVLOWAT, 1);
	struct linger l = {7, 3};
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	n = sizeof(l);
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_LINGER, &l, &n));
	CHECK_EQ(l.l_onoff, 1);
	CHECK_EQ(l.l_linger, 3);
	v = 1;
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, SO_TYPE, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 3), EINVAL);
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), EFAULT);
	CHECK_ERRNO(setsockopt(s, 6, 1, &v, sizeof(v)), EOPNOTSUPP);
	n = sizeof(v);
	CHECK_ERRNO(getsockopt(s, SOL_SOCKET, 9999, &v, &n), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(s, 6, 1, &v, &n), EOPNOTSUPP);
	n = (socklen_t)-1;
	CHECK_ERRNO(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &n), EINVAL);
	n = 2;
	v = -1;
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &n));
	CHECK_EQ(n, 2);
	CHECK_EQ(v, (int)0xffff0001);
}

TEST(peek_off)
{
	int sv[2], v = 0;
	char b[10];
	pair(SOCK_STREAM, sv);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &v, sizeof(v)));
	CHECK_EQ(write(sv[0], "abc", 3), 3);
	CHECK_EQ(write(sv[0], "def", 3), 3);
	CHECK_EQ(recv(sv[1], b, 2, MSG_PEEK), 2);
	CHECK(!memcmp(b, "ab", 2));
	CHECK_EQ(recv(sv[1], b, 2, MSG_PEEK), 2);
	CHECK(!memcmp(b, "cd", 2));
	CHECK_EQ(recv(sv[1], b, 10, MSG_PEEK), 2);
	CHECK(!memcmp(b, "ef", 2));
	CHECK_EQ(recv(sv[1], b, 1, 0), 1);
	socklen_t n = sizeof(v);
	CHECK_OK(getsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &v, &n));
	CHECK_EQ(v, 5);
}

TEST(epoll_edges)
{
	int sv[2], ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	char b[10];
	pair(SOCK_STREAM, sv);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, sv[1], &e));
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	CHECK_EQ(e.events, EPOLLOUT);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(write(sv[0], "ab", 2), 2);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	CHECK_EQ(e.events, EPOLLIN | EPOLLOUT);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(read(sv[1], b, 1), 1); /* something is left: no new edge */
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(write(sv[0], "c", 1), 1); /* more came: an edge */
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	close(sv[0]);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	CHECK_EQ(e.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
	/* Writable again. */
	static char big[1 << 20];
	pair(SOCK_STREAM, sv);
	e.events = EPOLLOUT | EPOLLET;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, sv[0], &e));
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
	ssize_t n = send(sv[0], big, sizeof(big), MSG_DONTWAIT);
	CHECK(n > 0);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
	CHECK_EQ(recv(sv[1], big, (size_t)n, MSG_WAITALL), n);
	CHECK_EQ(epoll_wait(ep, &e, 1, 0), 1);
}

TEST(seqpacket)
{
	int sv[2], n;
	char b[10];
	pair(SOCK_SEQPACKET, sv);
	CHECK_EQ(write(sv[0], "hello", 5), 5);
	CHECK_EQ(write(sv[0], "you", 3), 3);
	CHECK_EQ(send(sv[0], "", 0, 0), 0);
	CHECK_OK(ioctl(sv[1], FIONREAD, &n));
	CHECK_EQ(n, 8);
	CHECK_EQ(recv(sv[1], b, 2, 0), 2);
	CHECK_EQ(recv(sv[1], b, 2, MSG_TRUNC), 3);
	CHECK_EQ(recv(sv[1], b, 2, 0), 0);
	CHECK_ERRNO(recv(sv[1], b, 2, MSG_DONTWAIT), EAGAIN);
	struct sockaddr_un a = un("ignored");
	CHECK_EQ(sendto(sv[0], "x", 1, 0, (void *)&a, sizeof(a)), 1);
	CHECK_EQ(recv(sv[1], b, 10, 0), 1);
	static char big[300000];
	CHECK_ERRNO(send(sv[0], big, sizeof(big), 0), EMSGSIZE);
	close(sv[0]);
	CHECK_EQ(recv(sv[1], b, 10, 0), 0);
	CHECK_EQ(recv(sv[1], b, 10, MSG_DONTWAIT), 0);
	CHECK_EQ(poll_of(sv[1]), POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	CHECK_ERRNO(send(sv[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	int l = server(SOCK_SEQPACKET, "q", 5), c = dial(SOCK_SEQPACKET, "q");
	CHECK(c >= 0);
	int s = accept(l, NULL, NULL);
	CHECK(s >= 0);
	for (int i = 0; i < 40; i++) /* no limit of messages here */
		CHECK_EQ(send(c, &i, sizeof(i), MSG_DONTWAIT), 4);
	for (int i = 0, v; i < 40; i++) {
		CHECK_EQ(read(s, &v, 4), 4);
		CHECK_EQ(v, i);
	}
	CHECK_EQ(write(c, "x", 1), 1);
	close(s);
	CHECK_ERRNO(recv(c, b, 1, 0), ECONNRESET);
	CHECK_EQ(recv(c, b, 1, 0), 0);
}

TEST(files_to_sockets)
{
	int sv[2], p[2], f = make_file("f", "file content");
	char b[32];
	off_t off = 5;
	pair(SOCK_STREAM, sv);
	CHECK_EQ(sendfile(sv[0], f, &off, 100), 7);
	CHECK_EQ(read(sv[1], b, 32), 7);
	CHECK(!memcmp(b, "content", 7));
	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "splice me", 9), 9);
	CHECK_EQ(splice(p[0], NULL, sv[0], NULL, 100, 0), 9);
	CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 100, 0), 9);
	CHECK_EQ(read(p[0], b, 32), 9);
	CHECK(!memcmp(b, "splice me", 9));
	CHECK_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, sv[0], 0), ENODEV);
	CHECK_ERRNO(ftruncate(sv[0], 0), EINVAL);
	CHECK_ERRNO(fsync(sv[0]), EINVAL);
}

TEST(many_clients)
{
	int l = server(SOCK_STREAM, "s", 64);
	pid_t p[8];
	for (int i = 0; i < 8; i++) {
		p[i] = test_fork();
		if (p[i])
			continue;
		for (int k = 0; k < 20; k++) {
			int c = dial(SOCK_STREAM, "s"), v = i * 100 + k, w = 0;
			CHECK(c >= 0);
			CHECK_EQ(write(c, &v, 4), 4);
			CHECK_EQ(read(c, &w, 4), 4);
			CHECK_EQ(w, v + 1);
			close(c);
		}
		_exit(0);
	}
	for (int i = 0; i < 160; i++) {
		int s = accept(l, NULL, NULL), v;
		CHECK(s >= 0);
		CHECK_EQ(read(s, &v, 4), 4);
		v++;
		CHECK_EQ(write(s, &v, 4), 4);
		close(s);
	}
	for (int i = 0; i < 8; i++)
		WAIT_OK(p[i]);
}

TEST(proc_net_unix)
{
	struct sockaddr_un a;
	socklen_t n = un_abstract(&a, "in-proc");
	char buf[20000], want[80];
	struct stat st;
	int l = server(SOCK_STREAM, "listed", 3), s = socket(AF_UNIX, SOCK_DGRAM, 0);
	CHECK_OK(bind(s, (void *)&a, n));
	slurp("/proc/net/unix", buf, sizeof(buf));
	CHECK(!strncmp(buf, "Num  ", 5));
	CHECK_OK(fstat(l, &st));
	snprintf(want, sizeof(want), "00010000 0001 01 %5lu listed\n", (unsigned long)st.st_ino);
	CHECK(strstr(buf, want));
	CHECK_OK(fstat(s, &st));
	snprintf(want, sizeof(want), "00000000 0002 01 %5lu @in-proc\n", (unsigned long)st.st_ino);
	CHECK(strstr(buf, want));
}
