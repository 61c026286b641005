/* Sockets of the host's stack.  NETWORK: host */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "test.h"

/* --- helpers --- */

static struct sockaddr_in in4(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	CHECK_OK(getsockname(fd, (void *)&a, &len));
	CHECK_EQ(len, sizeof(a));
	return a;
}

static int bound(int type)
{
	struct sockaddr_in a = in4(0);
	int s = socket(AF_INET, type, 0);
	CHECK(s >= 0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	return s;
}

static int listener(void)
{
	int s = bound(SOCK_STREAM);
	CHECK_OK(listen(s, 8));
	return s;
}

static int dial(int l)
{
	struct sockaddr_in a = name_of(l);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(s >= 0);
	CHECK_OK(connect(s, (void *)&a, sizeof(a)));
	return s;
}

static void tcp_pair(int sv[2])
{
	int l = listener();
	sv[0] = dial(l);
	sv[1] = accept(l, NULL, NULL);
	CHECK(sv[1] >= 0);
	close(l);
}

static void udp_pair(int sv[2])
{
	sv[0] = bound(SOCK_DGRAM);
	sv[1] = bound(SOCK_DGRAM);
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in a = name_of(sv[!i]);
		CHECK_OK(connect(sv[i], (void *)&a, sizeof(a)));
	}
}

static int poll_of(int fd, int timeout)
{
	struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	CHECK(poll(&p, 1, timeout) >= 0);
	return p.revents;
}

/* Until want shows: what loopback delivers is there soon, not at once. */
static void poll_until(int fd, int want)
{
	for (int i = 0; i < 5000 && (poll_of(fd, 0) & want) != want; i++)
		sleep_ms(1);
	CHECK_EQ(poll_of(fd, 0) & want, want);
}

static void set_int(int fd, int level, int name, int v)
{
	CHECK_OK(setsockopt(fd, level, name, &v, sizeof(v)));
}

static int get_int(int fd, int level, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);
	CHECK_OK(getsockopt(fd, level, name, &v, &len));
	CHECK_EQ(len, sizeof(v));
	return v;
}

static void fill(char *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(seed + i * 7 + (i >> 9));
}

static void no_cap(int cap)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];
	CHECK_OK(syscall(SYS_capget, &h, d));
	d[0].effective &= ~(1u << cap);
	CHECK_OK(syscall(SYS_capset, &h, d));
}

/* --- streams --- */

TEST(tcp_basic)
{
	struct sockaddr_in a, b;
	socklen_t len = sizeof(a);
	char buf[16];
	int l = listener(), c = dial(l), s = accept4(l, (void *)&a, &len, SOCK_CLOEXEC);
	CHECK(s >= 0);
	CHECK_EQ(len, sizeof(a));
	CHECK_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, 0);
	b = name_of(c);
	CHECK_EQ(memcmp(&a, &b, sizeof(a)), 0);
	len = sizeof(a);
	CHECK_OK(getpeername(c, (void *)&a, &len));
	b = name_of(l);
	CHECK_EQ(memcmp(&a, &b, sizeof(a)), 0);
	CHECK_EQ(write(c, "hello", 5), 5);
	CHECK_EQ(read(s, buf, sizeof(buf)), 5);
	CHECK_EQ(memcmp(buf, "hello", 5), 0);
	CHECK_OK(shutdown(c, SHUT_WR));
	CHECK_EQ(read(s, buf, sizeof(buf)), 0);
	CHECK_EQ(send(s, "bye", 3, 0), 3);
	len = sizeof(a);
	CHECK_EQ(recvfrom(c, buf, sizeof(buf), 0, (void *)&a, &len), 3);
	CHECK_EQ(len, 0);
	close(s);
	CHECK_EQ(read(c, buf, sizeof(buf)), 0);
	CHECK_ERRNO(shutdown(l, 7), EINVAL);
	CHECK_ERRNO(read(l, buf, 1), ENOTCONN);
}

TEST(tcp_refused)
{
	int t = bound(SOCK_STREAM), s = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = name_of(t);
	CHECK_ERRNO(connect(s, (void *)&a, sizeof(a)), ECONNREFUSED);
	close(s);
	s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK_EQ(fcntl(s, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	int r = connect(s, (void *)&a, sizeof(a));
	CHECK(r == -1);
	CHECK_ERRNO(connect(-1, (void *)&a, sizeof(a)), EBADF);
	poll_until(s, POLLOUT | POLLHUP);
	int e = get_int(s, SOL_SOCKET, SO_ERROR);
	CHECK(e == ECONNREFUSED || e == 0); /* 0: connect told it already */
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_ERROR), 0);
}

TEST(tcp_connect_nonblock)
{
	int l = listener(), s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in a = name_of(l);
	CHECK_ERRNO(connect(s, (void *)&a, sizeof(a)), EINPROGRESS);
	poll_until(s, POLLOUT);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_ERROR), 0);
	CHECK_EQ(connect(s, (void *)&a, sizeof(a)), 0);
	CHECK_ERRNO(connect(s, (void *)&a, sizeof(a)), EISCONN);
}

TEST(tcp_names)
{
	struct sockaddr_in a = in4(0);
	int s = socket(AF_INET, SOCK_STREAM, 0), t = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERRNO(bind(s, (void *)&a, 4), EINVAL);
	a.sin_family = AF_INET6;
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EAFNOSUPPORT);
	a = in4(0);
	a.sin_addr.s_addr = htonl(0x08080808);
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EADDRNOTAVAIL);
	a = in4(0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	a = name_of(s);
	CHECK(a.sin_port != 0);
	CHECK_ERRNO(bind(s, (void *)&a, sizeof(a)), EINVAL);
	CHECK_ERRNO(bind(t, (void *)&a, sizeof(a)), EADDRINUSE);
	socklen_t len = sizeof(a);
	CHECK_ERRNO(getpeername(s, (void *)&a, &len), ENOTCONN);
	CHECK_ERRNO(accept(s, NULL, NULL), EINVAL);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
	CHECK_OK(listen(s, 1));
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_ACCEPTCONN), 1);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_DOMAIN), AF_INET);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	CHECK_ERRNO(accept4(s, NULL, NULL, 0x10), EINVAL);
	fcntl(s, F_SETFL, O_NONBLOCK);
	CHECK_ERRNO(accept(s, NULL, NULL), EAGAIN);
}

TEST(socket_kinds)
{
	CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), EPROTONOSUPPORT);
	CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, -1), EINVAL);
	CHECK_ERRNO(socket(AF_INET, 99, 0), EINVAL);
	CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, (int[2]){0}), EOPNOTSUPP);
	no_cap(CAP_NET_RAW);
	CHECK_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
	CHECK_ERRNO(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6), EPERM);
	CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
}

#define BULK (4 << 20)

static void *send_bulk(void *arg)
{
	int fd = *(int *)arg;
	char *p = malloc(BULK);
	fill(p, BULK, 3);
	for (size_t off = 0; off < BULK;) {
		struct iovec v[5];
		size_t left = BULK - off, each = left / 5;
		for (int i = 0; i < 5; i++)
			v[i] = (struct iovec){p + off + (size_t)i * each,
				i < 4 ? each : left - 4 * each};
		ssize_t n = writev(fd, v, 5);
		CHECK(n > 0);
		off += (size_t)n;
	}
	CHECK_OK(shutdown(fd, SHUT_WR));
	free(p);
	return NULL;
}

TEST(tcp_bulk)
{
	int sv[2];
	pthread_t t;
	char *want = malloc(BULK), *got = malloc(BULK + 100);
	size_t n = 0;
	tcp_pair(sv);
	fill(want, BULK, 3);
	pthread_create(&t, NULL, send_bulk, &sv[0]);
	for (;;) {
		struct iovec v[3] = {{got + n, 1000}, {got + n + 1000, 50000}, {NULL, 0}};
		ssize_t r = n + 51000 > BULK ? read(sv[1], got + n, BULK + 100 - n)
					     : readv(sv[1], v, 3);
		CHECK(r >= 0);
		if (!r)
			break;
		n += (size_t)r;
	}
	pthread_join(t, NULL);
	CHECK_EQ(n, BULK);
	CHECK_EQ(memcmp(got, want, BULK), 0);
}

/* A blocking write is through when all is sent, a non-blocking one when there is no more room. */
TEST(tcp_full)
{
	int sv[2];
	static char buf[1 << 20];
	ssize_t n, sum = 0;
	tcp_pair(sv);
	while ((n = send(sv[0], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		sum += n;
	int e = errno;
	CHECK_EQ(e, EAGAIN);
	CHECK(sum > 0);
	CHECK_EQ(poll_of(sv[0], 0) & POLLOUT, 0);
	struct timeval tv = {0, 50000};
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	int64_t start = now_ms();
	for (;;) { /* the rest that may have moved to the other end meanwhile */
		n = send(sv[0], buf, sizeof(buf), 0);
		if (n < 0)
			break;
		sum += n;
	}
	e = errno;
	CHECK_EQ(e, EAGAIN);
	CHECK(now_ms() - start >= 45);
	for (ssize_t got = 0; got < sum; got += n) {
		n = read(sv[1], buf, sizeof(buf));
		CHECK(n > 0);
	}
	poll_until(sv[0], POLLOUT);
}

TEST(tcp_flags)
{
	int sv[2];
	char buf[100];
	tcp_pair(sv);
	CHECK_ERRNO(recv(sv[1], buf, 1, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(sv[0], "0123456789", 10, MSG_MORE), 10);
	CHECK_EQ(send(sv[0], "abc", 3, 0), 3);
	CHECK_EQ(recv(sv[1], buf, 13, MSG_WAITALL), 13);
	CHECK_EQ(memcmp(buf, "0123456789abc", 13), 0);
	CHECK_EQ(send(sv[0], "xyz", 3, 0), 3);
	poll_until(sv[1], POLLIN);
	CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK | MSG_DONTWAIT), 2);
	CHECK_EQ(memcmp(buf, "xy", 2), 0);
	int n = 0;
	CHECK_OK(ioctl(sv[1], FIONREAD, &n));
	CHECK_EQ(n, 3);
	CHECK_EQ(recv(sv[1], NULL, 2, MSG_TRUNC), 2); /* discards */
	CHECK_EQ(recv(sv[1], buf, sizeof(buf), 0), 1);
	CHECK_EQ(buf[0], 'z');
	CHECK_OK(ioctl(sv[0], SIOCOUTQ, &n));
}

static void *drip(void *arg)
{
	int fd = *(int *)arg;
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(send(fd, "ab", 2, 0), 2);
		sleep_ms(10);
	}
	return NULL;
}

TEST(tcp_waitall)
{
	int sv[2];
	pthread_t t;
	char buf[64];
	tcp_pair(sv);
	pthread_create(&t, NULL, drip, &sv[0]);
	CHECK_EQ(recv(sv[1], buf, 9, MSG_WAITALL), 9);
	CHECK_EQ(memcmp(buf, "ababababa", 9), 0);
	pthread_join(t, NULL);
	CHECK_EQ(recv(sv[1], buf, 9, 0), 1);
	set_int(sv[1], SOL_SOCKET, SO_RCVLOWAT, 6);
	pthread_create(&t, NULL, drip, &sv[0]);
	CHECK(recv(sv[1], buf, 60, 0) >= 6);
	pthread_join(t, NULL);
	CHECK_OK(shutdown(sv[0], SHUT_WR));
	CHECK(recv(sv[1], buf, 60, MSG_WAITALL) >= 0);
	CHECK_EQ(recv(sv[1], buf, 60, MSG_WAITALL), 0);
}

TEST(tcp_urgent)
{
	int sv[2], mark = -1;
	char buf[10];
	tcp_pair(sv);
	CHECK_EQ(send(sv[0], "ab", 2, 0), 2);
	CHECK_EQ(send(sv[0], "X", 1, MSG_OOB), 1);
	CHECK_EQ(send(sv[0], "cd", 2, 0), 2);
	poll_until(sv[1], POLLPRI | POLLIN);
	CHECK_EQ(recv(sv[1], buf, 1, MSG_OOB), 1);
	CHECK_EQ(buf[0], 'X');
	CHECK_ERRNO(recv(sv[1], buf, 1, MSG_OOB), EINVAL);
	CHECK_EQ(recv(sv[1], buf, 10, 0), 2);
	CHECK_OK(ioctl(sv[1], SIOCATMARK, &mark));
	CHECK_EQ(mark, 1);
	CHECK_EQ(recv(sv[1], buf, 2, MSG_WAITALL), 2);
	CHECK_EQ(memcmp(buf, "cd", 2), 0);
}

static void on_signal(int sig)
{
}

static pid_t waker(pid_t of, int sig)
{
	pid_t p = test_fork();
	if (p == 0) {
		wait_state(of, 'S');
		kill(of, sig);
		_exit(0);
	}
	return p;
}

TEST(tcp_broken)
{
	int sv[2];
	struct sigaction sa = {.sa_handler = on_signal};
	char buf[10];
	tcp_pair(sv);
	CHECK_OK(shutdown(sv[0], SHUT_WR));
	CHECK_ERRNO(send(sv[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	pid_t p = test_fork();
	if (p == 0) {
		write(sv[0], "x", 1);
		_exit(0);
	}
	CHECK_EQ(WTERMSIG(WAIT_STATUS(p)), SIGPIPE);
	/* A reset: unread data and a close. */
	tcp_pair(sv);
	CHECK_EQ(send(sv[1], "data", 4, 0), 4);
	poll_until(sv[0], POLLIN);
	close(sv[0]);
	poll_until(sv[1], POLLHUP | POLLERR);
	CHECK_ERRNO(recv(sv[1], buf, 10, 0), ECONNRESET);
	CHECK_EQ(recv(sv[1], buf, 10, 0), 0);
	sigaction(SIGUSR1, &sa, NULL);
	tcp_pair(sv);
	p = waker(getpid(), SIGUSR1);
	CHECK_ERRNO(recv(sv[1], buf, 10, 0), EINTR);
	WAIT_OK(p);
}

TEST(timeouts)
{
	int sv[2];
	char c;
	struct timeval tv = {0, 60000}, got;
	socklen_t len = sizeof(got);
	tcp_pair(sv);
	CHECK_OK(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	CHECK_OK(getsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &got, &len));
	CHECK_EQ(got.tv_usec, 60000);
	int64_t start = now_ms();
	CHECK_ERRNO(recv(sv[0], &c, 1, 0), EAGAIN);
	CHECK(now_ms() - start >= 55);
	int l = listener();
	CHECK_OK(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	start = now_ms();
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
	CHECK(now_ms() - start >= 55);
}

TEST(udp_shutdown)
{
	int a = bound(SOCK_DGRAM);
	char c;
	CHECK_ERRNO(shutdown(a, SHUT_RD), ENOTCONN);
	CHECK_EQ(recv(a, &c, 1, 0), 0); /* it is done all the same */
	CHECK_ERRNO(recv(a, &c, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(peek_offset)
{
	int sv[2], off = 0;
	char buf[4];
	udp_pair(sv);
	CHECK_OK(setsockopt(sv[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	CHECK_EQ(send(sv[0], "abcd", 4, 0), 4);
	CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
	CHECK_EQ(recv(sv[1], buf, 2, MSG_PEEK), 2);
	CHECK_EQ(memcmp(buf, "cd", 2), 0);
}

static void *shut_later(void *arg)
{
	sleep_ms(50);
	shutdown(*(int *)arg, SHUT_RD);
	return NULL;
}

TEST(shutdown_wakes)
{
	int sv[2];
	pthread_t t;
	char c;
	tcp_pair(sv);
	pthread_create(&t, NULL, shut_later, &sv[0]);
	CHECK_EQ(recv(sv[0], &c, 1, 0), 0);
	pthread_join(t, NULL);
}

/* --- polling --- */

static int wait_one(int ep, int timeout, uint32_t *events)
{
	struct epoll_event ev;
	int n = epoll_wait(ep, &ev, 1, timeout);
	CHECK(n >= 0);
	*events = n ? ev.events : 0;
	return n;
}

TEST(epoll_level)
{
	int sv[2], ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};
	uint32_t got;
	char c;
	tcp_pair(sv);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, sv[0], &ev));
	CHECK_EQ(wait_one(ep, 0, &got), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(write(sv[1], "x", 1), 1);
		CHECK_EQ(wait_one(ep, 5000, &got), 1);
		CHECK_EQ(got, EPOLLIN);
		CHECK_EQ(wait_one(ep, 0, &got), 1);
		CHECK_EQ(read(sv[0], &c, 1), 1);
		CHECK_EQ(wait_one(ep, 0, &got), 0);
	}
	CHECK_OK(shutdown(sv[1], SHUT_WR));
	CHECK_EQ(wait_one(ep, 5000, &got), 1);
	CHECK_EQ(got, EPOLLIN | EPOLLRDHUP);
}

TEST(epoll_edge)
{
	int l = listener(), ep = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	uint32_t got;
	char c;
	fcntl(l, F_SETFL, O_NONBLOCK);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, l, &ev));
	CHECK_EQ(wait_one(ep, 0, &got), 0);
	int a = dial(l);
	CHECK_EQ(wait_one(ep, 5000, &got), 1);
	CHECK_EQ(got, EPOLLIN);
	int b = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	CHECK(b >= 0);
	CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_DEL, l, NULL));
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev));
	CHECK_EQ(wait_one(ep, 5000, &got), 1);
	CHECK_EQ(got, EPOLLOUT);
	CHECK_EQ(wait_one(ep, 50, &got), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(write(a, "x", 1), 1);
		CHECK_EQ(wait_one(ep, 5000, &got), 1);
		CHECK_EQ(got & EPOLLIN, EPOLLIN);
		CHECK_EQ(read(b, &c, 1), 1);
		CHECK_ERRNO(read(b, &c, 1), EAGAIN);
	}
	close(a);
	CHECK_EQ(wait_one(ep, 5000, &got), 1);
	CHECK_EQ(got & EPOLLIN, EPOLLIN);
}

/* An unconnected stream has hung up; connecting ends that. */
TEST(epoll_connect)
{
	int l = listener(), ep = epoll_create1(0),
	    s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	struct sockaddr_in a = name_of(l);
	uint32_t got;
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, s, &ev));
	CHECK_EQ(wait_one(ep, 1000, &got), 1);
	CHECK_EQ(got, EPOLLOUT | EPOLLHUP);
	CHECK_EQ(wait_one(ep, 50, &got), 0);
	CHECK_ERRNO(connect(s, (void *)&a, sizeof(a)), EINPROGRESS);
	CHECK_EQ(wait_one(ep, 5000, &got), 1);
	CHECK_EQ(got & (EPOLLOUT | EPOLLHUP), EPOLLOUT);
}

/* --- datagrams --- */

TEST(udp_basic)
{
	int a = bound(SOCK_DGRAM), b = bound(SOCK_DGRAM), n;
	struct sockaddr_in to = name_of(b), from, mine = name_of(a);
	socklen_t len = sizeof(from);
	char buf[100];
	CHECK_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
	CHECK_EQ(sendto(a, "hello", 5, 0, (void *)&to, sizeof(to)), 5);
	poll_until(b, POLLIN);
	CHECK_OK(ioctl(b, FIONREAD, &n));
	CHECK_EQ(n, 5);
	CHECK_EQ(recvfrom(b, buf, sizeof(buf), 0, (void *)&from, &len), 5);
	CHECK_EQ(len, sizeof(from));
	CHECK_EQ(memcmp(&from, &mine, sizeof(from)), 0);
	CHECK_EQ(sendto(a, "", 0, 0, (void *)&to, sizeof(to)), 0);
	CHECK_EQ(recv(b, buf, sizeof(buf), 0), 0);
	CHECK_EQ(sendto(a, "0123456789", 10, 0, (void *)&to, sizeof(to)), 10);
	CHECK_EQ(recv(b, buf, 4, MSG_PEEK), 4);
	CHECK_EQ(recv(b, buf, 4, MSG_TRUNC), 10);
	CHECK_ERRNO(recv(b, buf, 4, MSG_DONTWAIT), EAGAIN);
	close(b);
	CHECK_OK(connect(a, (void *)&to, sizeof(to)));
	CHECK_EQ(send(a, "x", 1, 0), 1);
	poll_until(a, POLLERR);
	CHECK_ERRNO(recv(a, buf, 4, 0), ECONNREFUSED);
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	CHECK_OK(connect(a, &un, sizeof(un)));
	CHECK_ERRNO(getpeername(a, (void *)&from, &len), ENOTCONN);
	CHECK_ERRNO(listen(a, 1), EOPNOTSUPP);
	CHECK_ERRNO(accept(a, NULL, NULL), EOPNOTSUPP);
}

TEST(udp_large)
{
	int sv[2];
	static char out[70000], in[70000];
	struct iovec v[40];
	udp_pair(sv);
	set_int(sv[0], SOL_SOCKET, SO_SNDBUF, 200000);
	fill(out, sizeof(out), 9);
	CHECK_ERRNO(send(sv[0], out, 65508, 0), EMSGSIZE);
	CHECK_ERRNO(send(sv[0], out, 70000, 0), EMSGSIZE);
	CHECK_EQ(send(sv[0], out, 65507, 0), 65507);
	CHECK_EQ(recv(sv[1], in, sizeof(in), 0), 65507);
	CHECK_EQ(memcmp(in, out, 65507), 0);
	/* More pieces than are moved without a copy. */
	for (int i = 0; i < 40; i++)
		v[i] = (struct iovec){out + i * 300, 200};
	CHECK_EQ(writev(sv[0], v, 40), 8000);
	memset(in, 0, sizeof(in));
	for (int i = 0; i < 40; i++)
		v[i] = (struct iovec){in + i * 300, 200};
	CHECK_EQ(readv(sv[1], v, 40), 8000);
	for (int i = 0; i < 40; i++)
		CHECK_EQ(memcmp(in + i * 300, out + i * 300, 200), 0);
	/* A message that does not fit, in pinned memory and in a copy. */
	CHECK_EQ(send(sv[0], out, 20000, 0), 20000);
	struct msghdr m = {.msg_iov = v, .msg_iovlen = 1};
	v[0] = (struct iovec){in, 10000};
	CHECK_EQ(recvmsg(sv[1], &m, 0), 10000);
	CHECK_EQ(m.msg_flags, MSG_TRUNC);
	CHECK_EQ(memcmp(in, out, 10000), 0);
}

TEST(bad_memory)
{
	int sv[2];
	char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p + 8192, 8192);
	udp_pair(sv);
	CHECK_ERRNO(send(sv[0], p + 8192, 10, 0), EFAULT);
	CHECK_ERRNO(send(sv[0], p + 8100, 200, 0), EFAULT);
	CHECK_ERRNO(send(sv[0], p, 16384, 0), EFAULT);
	CHECK_ERRNO(recv(sv[1], p + 8192, 10, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(sv[0], p, 10, 0), 10);
	CHECK_EQ(recv(sv[1], p, 16384, 0), 10); /* there is room for what came */
	CHECK_EQ(send(sv[0], p, 10, 0), 10);
	CHECK_ERRNO(recv(sv[1], p + 8192, 10, 0), EFAULT);
	tcp_pair(sv);
	CHECK_ERRNO(send(sv[0], p + 8192, 10, 0), EFAULT);
	CHECK_ERRNO(recv(sv[1], p + 8192, 8192, MSG_DONTWAIT), EAGAIN);
	CHECK_EQ(send(sv[0], p, 8192, 0), 8192);
	poll_until(sv[1], POLLIN);
	CHECK_ERRNO(recv(sv[1], p + 8192, 8192, 0), EFAULT);
	CHECK_EQ(recv(sv[1], p, 8192, MSG_WAITALL), 8192);
}

TEST(mmsg)
{
	int sv[2];
	char buf[4][8];
	struct iovec v[4];
	struct mmsghdr m[4] = {0};
	udp_pair(sv);
	for (int i = 0; i < 4; i++) {
		snprintf(buf[i], sizeof(buf[i]), "m%d", i);
		v[i] = (struct iovec){buf[i], (size_t)i + 1};
		m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
	}
	CHECK_EQ(sendmmsg(sv[0], m, 4, 0), 4);
	for (int i = 0; i < 4; i++)
		v[i].iov_len = 8;
	CHECK_EQ(recvmmsg(sv[1], m, 4, 0, NULL), 4);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(m[i].msg_len, i + 1);
	CHECK_ERRNO(recvmmsg(sv[1], m, 4, MSG_DONTWAIT, NULL), EAGAIN);
}

static struct cmsghdr *control_of(struct msghdr *m, int level, int type)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == level && c->cmsg_type == type)
			return c;
	return NULL;
}

TEST(control)
{
	int sv[2];
	char data[8], ctl[256] __attribute__((aligned(8)));
	struct iovec v = {data, 3};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl};
	struct cmsghdr *c = (void *)ctl;
	int ttl = 42;
	udp_pair(sv);
	set_int(sv[1], IPPROTO_IP, IP_PKTINFO, 1);
	set_int(sv[1], IPPROTO_IP, IP_RECVTTL, 1);
	set_int(sv[1], SOL_SOCKET, SO_TIMESTAMPNS, 1);
	memset(ctl, 0, sizeof(ctl));
	m.msg_controllen = CMSG_SPACE(sizeof(ttl));
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_TTL;
	c->cmsg_len = CMSG_LEN(sizeof(ttl));
	memcpy(CMSG_DATA(c), &ttl, sizeof(ttl));
	CHECK_EQ(sendmsg(sv[0], &m, 0), 3);
	m.msg_controllen = sizeof(ctl);
	CHECK_EQ(recvmsg(sv[1], &m, 0), 3);
	CHECK_EQ(m.msg_flags, 0);
	c = control_of(&m, IPPROTO_IP, IP_TTL);
	CHECK(c != NULL);
	CHECK_EQ(*(int *)CMSG_DATA(c), 42);
	c = control_of(&m, IPPROTO_IP, IP_PKTINFO);
	CHECK(c != NULL);
	CHECK_EQ(((struct in_pktinfo *)CMSG_DATA(c))->ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
	c = control_of(&m, SOL_SOCKET, SCM_TIMESTAMPNS);
	CHECK(c != NULL);
	CHECK(((struct timespec *)CMSG_DATA(c))->tv_sec > 1600000000);
	/* A type that no family knows. */
	c = (void *)ctl;
	m.msg_controllen = CMSG_SPACE(sizeof(ttl));
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = 250;
	c->cmsg_len = CMSG_LEN(sizeof(ttl));
	CHECK_ERRNO(sendmsg(sv[0], &m, 0), EINVAL);
}

TEST(error_queue)
{
	int a = bound(SOCK_DGRAM), b = bound(SOCK_DGRAM);
	struct sockaddr_in to = name_of(b);
	char data[8], ctl[256] __attribute__((aligned(8)));
	struct iovec v = {data, sizeof(data)};
	struct msghdr m = {.msg_iov = &v,
		.msg_iovlen = 1,
		.msg_control = ctl,
		.msg_controllen = sizeof(ctl)};
	close(b);
	set_int(a, IPPROTO_IP, IP_RECVERR, 1);
	CHECK_EQ(sendto(a, "xyz", 3, 0, (void *)&to, sizeof(to)), 3);
	poll_until(a, POLLERR);
	CHECK_EQ(recvmsg(a, &m, MSG_ERRQUEUE), 3);
	CHECK_EQ(m.msg_flags, MSG_ERRQUEUE);
	struct cmsghdr *c = control_of(&m, IPPROTO_IP, IP_RECVERR);
	CHECK(c != NULL);
	CHECK_EQ(*(uint32_t *)CMSG_DATA(c), ECONNREFUSED); /* ee_errno */
	CHECK_ERRNO(recvmsg(a, &m, MSG_ERRQUEUE), EAGAIN);
}

/* --- IPv6 --- */

TEST(ipv6)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, b;
	socklen_t len = sizeof(a);
	int l = socket(AF_INET6, SOCK_STREAM, 0), c = socket(AF_INET6, SOCK_STREAM, 0);
	char buf[4];
	CHECK_OK(bind(l, (void *)&a, sizeof(a)));
	CHECK_OK(listen(l, 1));
	CHECK_OK(getsockname(l, (void *)&a, &len));
	CHECK_EQ(len, sizeof(a));
	CHECK_OK(connect(c, (void *)&a, sizeof(a)));
	int s = accept(l, (void *)&b, &len);
	CHECK(s >= 0);
	CHECK(IN6_IS_ADDR_LOOPBACK(&b.sin6_addr));
	CHECK_EQ(write(c, "six", 3), 3);
	CHECK_EQ(read(s, buf, 4), 3);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_DOMAIN), AF_INET6);
	/* A v4-mapped peer of a dual-stack listener. */
	close(l);
	l = socket(AF_INET6, SOCK_STREAM, 0);
	set_int(l, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	a = (struct sockaddr_in6){.sin6_family = AF_INET6};
	CHECK_OK(bind(l, (void *)&a, sizeof(a)));
	CHECK_OK(listen(l, 1));
	CHECK_OK(getsockname(l, (void *)&a, &len));
	struct sockaddr_in v4 = in4(ntohs(a.sin6_port));
	c = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_OK(connect(c, (void *)&v4, sizeof(v4)));
	s = accept(l, (void *)&b, &len);
	CHECK(s >= 0);
	CHECK(IN6_IS_ADDR_V4MAPPED(&b.sin6_addr));
}

/* --- options --- */

TEST(options)
{
	int s = socket(AF_INET, SOCK_STREAM, 0), v = 0;
	struct linger l = {1, 5}, got;
	socklen_t len = sizeof(got);
	struct tcp_info info;
	CHECK_EQ(get_int(s, IPPROTO_TCP, TCP_NODELAY), 0);
	set_int(s, IPPROTO_TCP, TCP_NODELAY, 1);
	CHECK_EQ(get_int(s, IPPROTO_TCP, TCP_NODELAY), 1);
	set_int(s, SOL_SOCKET, SO_REUSEADDR, 1);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_REUSEADDR), 1);
	set_int(s, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(s, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	CHECK_EQ(get_int(s, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof(v)), EINVAL);
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &l, sizeof(l)));
	CHECK_OK(getsockopt(s, SOL_SOCKET, SO_LINGER, &got, &len));
	CHECK_EQ(memcmp(&l, &got, sizeof(l)), 0);
	set_int(s, IPPROTO_IP, IP_TTL, 33);
	CHECK_EQ(get_int(s, IPPROTO_IP, IP_TTL), 33);
	set_int(s, SOL_SOCKET, SO_RCVBUF, 50000);
	CHECK_EQ(get_int(s, SOL_SOCKET, SO_RCVBUF), 100000);
	len = sizeof(info);
	memset(&info, 0xff, sizeof(info));
	CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_INFO, &info, &len));
	CHECK_EQ(info.tcpi_state, TCP_CLOSE);
	char name[16] = "reno";
	CHECK_OK(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, 4));
	memset(name, 0, sizeof(name));
	len = sizeof(name);
	CHECK_OK(getsockopt(s, IPPROTO_TCP, TCP_CONGESTION, name, &len));
	CHECK_STR(name, "reno");
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, 9999, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERRNO(getsockopt(s, SOL_SOCKET, 9999, &v, &len), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s, IPPROTO_TCP, 9999, &v, sizeof(v)), ENOPROTOOPT);
	CHECK_ERRNO(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 1), EINVAL);
}

/* --- ports below 1024 --- */

TEST(low_ports)
{
	struct sockaddr_in a = in4(80);
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
	int s = socket(AF_INET, SOCK_STREAM, 0), s6 = socket(AF_INET6, SOCK_DGRAM, 0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	CHECK_EQ(ntohs(name_of(s).sin_port), 80);
	CHECK_OK(listen(s, 1));
	CHECK_OK(bind(s6, (void *)&a6, sizeof(a6)));
	int t = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_ERRNO(bind(t, (void *)&a, sizeof(a)), EADDRINUSE);
	no_cap(CAP_NET_BIND_SERVICE);
	a = in4(82);
	CHECK_ERRNO(bind(t, (void *)&a, sizeof(a)), EACCES);
}

/* --- interfaces and routes --- */

TEST(interfaces)
{
	struct ifaddrs *list, *i;
	bool found = false;
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK_OK(getifaddrs(&list));
	for (i = list; i; i = i->ifa_next)
		if (!strcmp(i->ifa_name, "lo") && i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
			found |= ((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr ==
				 htonl(INADDR_LOOPBACK);
	CHECK(found);
	CHECK_EQ(if_nametoindex("lo"), 1);
	struct ifreq r = {.ifr_name = "lo"};
	CHECK_OK(ioctl(s, SIOCGIFFLAGS, &r));
	CHECK_EQ(r.ifr_flags & (IFF_UP | IFF_LOOPBACK), IFF_UP | IFF_LOOPBACK);
	CHECK_OK(ioctl(s, SIOCGIFMTU, &r));
	CHECK_EQ(r.ifr_mtu, 65536);
	strcpy(r.ifr_name, "nosuch");
	CHECK_ERRNO(ioctl(s, SIOCGIFMTU, &r), ENODEV);
	struct ifreq many[4];
	struct ifconf c = {.ifc_len = sizeof(many), .ifc_req = many};
	CHECK_OK(ioctl(s, SIOCGIFCONF, &c));
	CHECK(c.ifc_len >= (int)sizeof(struct ifreq));
	CHECK_STR(many[0].ifr_name, "lo");
	int len = c.ifc_len;
	c = (struct ifconf){0};
	CHECK_OK(ioctl(s, SIOCGIFCONF, &c));
	CHECK_EQ(c.ifc_len, len);
	CHECK_ERRNO(ioctl(s, SIOCGIFCONF, NULL), EFAULT);
}

TEST(netlink)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} rq = {.h = {sizeof(rq), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 7, 0}};
	struct sockaddr_nl a = {.nl_family = AF_NETLINK};
	socklen_t len = sizeof(a);
	static char buf[65536];
	bool lo = false, done = false;
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	CHECK(s >= 0);
	CHECK_OK(bind(s, (void *)&a, sizeof(a)));
	CHECK_OK(getsockname(s, (void *)&a, &len));
	CHECK(a.nl_pid != 0);
	CHECK_EQ(send(s, &rq, sizeof(rq), 0), sizeof(rq));
	while (!done) {
		ssize_t n = recv(s, buf, sizeof(buf), 0);
		CHECK(n > 0);
		for (struct nlmsghdr *h = (void *)buf; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
			CHECK_EQ(h->nlmsg_seq, 7);
			CHECK_EQ(h->nlmsg_pid, a.nl_pid);
			done |= h->nlmsg_type == NLMSG_DONE;
			lo |= h->nlmsg_type == RTM_NEWLINK &&
			      ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index == 1;
		}
	}
	CHECK(lo);
	CHECK_ERRNO(recv(s, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN);
	CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
}

/* --- with the rest of the kernel --- */

TEST(sendfile_splice)
{
	int sv[2], p[2], f = make_file("f", "from a file");
	char buf[20];
	tcp_pair(sv);
	CHECK_EQ(sendfile(sv[0], f, NULL, 100), 11);
	CHECK_EQ(recv(sv[1], buf, 11, MSG_WAITALL), 11);
	CHECK_EQ(memcmp(buf, "from a file", 11), 0);
	CHECK_OK(pipe(p));
	CHECK_EQ(write(p[1], "piped", 5), 5);
	CHECK_EQ(splice(p[0], NULL, sv[0], NULL, 5, 0), 5);
	CHECK_EQ(splice(sv[1], NULL, p[1], NULL, 5, 0), 5);
	CHECK_EQ(read(p[0], buf, 5), 5);
	CHECK_EQ(memcmp(buf, "piped", 5), 0);
}

TEST(forked)
{
	int sv[2];
	char c;
	tcp_pair(sv);
	IN_CHILD(close(sv[0]); CHECK_EQ(write(sv[1], "x", 1), 1); close(sv[1]););
	CHECK_EQ(read(sv[0], &c, 1), 1);
	close(sv[1]);
	CHECK_EQ(read(sv[0], &c, 1), 0);
}

/* A network namespace of its own has nothing to do with the host's. */
TEST(own_namespace)
{
	int l = listener();
	struct sockaddr_in a = name_of(l);
	CHECK_OK(unshare(CLONE_NEWNET));
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(s >= 0);
	int r = connect(s, (void *)&a, sizeof(a)), e = errno;
	CHECK_EQ(r, -1);
	CHECK(e == ENETUNREACH || e == EADDRNOTAVAIL);
}

TEST(many)
{
	int l = listener(), c[50], s[50];
	char x;
	fcntl(l, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 50; i++) {
		c[i] = dial(l);
		struct pollfd p = {l, POLLIN, 0};
		CHECK_EQ(poll(&p, 1, 5000), 1);
		s[i] = accept(l, NULL, NULL);
		CHECK(s[i] >= 0);
	}
	for (int i = 0; i < 50; i++)
		CHECK_EQ(write(c[i], "x", 1), 1);
	for (int i = 0; i < 50; i++)
		CHECK_EQ(read(s[i], &x, 1), 1);
}
