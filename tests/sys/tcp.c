/* TCP over loopback, both families: states, data, ends, urgent data, queues. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <linux/sockios.h>

#include "tcp.h"

#define SHOULD_BE_HERE 2000 /* ms */

/* --- connecting --- */

TEST(connect_refused)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), s = tcp_socket(f);
		struct addr a = addr_of(l);
		close(l);
		CHECK_ERRNO(connect(s, &a.sa, a.len), ECONNREFUSED);
		CHECK_EQ(getint(s, SOL_SOCKET, SO_ERROR), 0);
		CHECK_ERRNO(connect(s, &a.sa, a.len), ECONNREFUSED); /* it may try again */
		close(s);
	}
}

TEST(connect_states)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), s = tcp_socket(f), c;
		struct addr a = addr_of(l), p = {.len = sizeof(p.ss)};
		CHECK_ERRNO(getpeername(s, &p.sa, &p.len), ENOTCONN);
		CHECK_EQ(state(s), TCP_CLOSE);
		CHECK_OK(connect(s, &a.sa, a.len));
		CHECK_EQ(state(s), TCP_ESTABLISHED);
		CHECK_ERRNO(connect(s, &a.sa, a.len), EISCONN);
		c = accept(l, NULL, NULL);
		CHECK_EQ(state(c), TCP_ESTABLISHED);
		CHECK_EQ(state(l), TCP_LISTEN);
		p.len = sizeof(p.ss);
		CHECK_OK(getpeername(s, &p.sa, &p.len));
		CHECK_EQ(p.len, a.len);
		CHECK(!memcmp(&p.sa, &a.sa, a.len));
		p = addr_of(s);
		struct addr q = {.len = sizeof(q.ss)};
		CHECK_OK(getpeername(c, &q.sa, &q.len));
		CHECK(q.in.sin_port == p.in.sin_port);
		CHECK_ERRNO(connect(l, &a.sa, a.len), EISCONN);
		CHECK_ERRNO(listen(s, 1), EINVAL);
		CHECK_ERRNO(bind(s, &a.sa, a.len), EINVAL);
		close(s);
		close(c);
		close(l);
	}
}

TEST(connect_nonblocking)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1), s = tcp_socket(f);
		struct addr a = addr_of(l);
		nonblocking(s);
		CHECK_EQ(events(s, POLLIN | POLLOUT, 0), POLLOUT | POLLHUP);
		int r = connect(s, &a.sa, a.len), e = errno;
		CHECK(r == 0 || e == EINPROGRESS);
		CHECK_EQ(events(s, POLLOUT, SHOULD_BE_HERE), POLLOUT);
		CHECK_EQ(getint(s, SOL_SOCKET, SO_ERROR), 0);
		r = connect(s, &a.sa, a.len);
		e = errno;
		CHECK(r == 0 || e == EISCONN);
		close(s);
		s = tcp_socket(f);
		nonblocking(s);
		close(l);
		CHECK(connect(s, &a.sa, a.len) < 0 &&
			(errno == EINPROGRESS || errno == ECONNREFUSED));
		CHECK(events(s, POLLOUT, SHOULD_BE_HERE) & POLLOUT);
		close(s);
	}
}

TEST(connect_to_any_and_itself)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 1);
		struct addr a = addr_of(l), p = {.len = sizeof(p.ss)};
		if (f == AF_INET)
			a.in.sin_addr.s_addr = 0;
		else
			a.in6.sin6_addr = in6addr_any;
		int s = tcp_socket(f);
		CHECK_OK(connect(s, &a.sa, a.len));
		CHECK_OK(getpeername(s, &p.sa, &p.len));
		CHECK_EQ(p.in.sin_port, a.in.sin_port);
		close(s);
		close(l);
		/* A simultaneous open with itself. */
		char b[4] = "";
		s = tcp_socket(f);
		a = loopback(f, 0);
		CHECK_OK(bind(s, &a.sa, a.len));
		a = addr_of(s);
		CHECK_OK(connect(s, &a.sa, a.len));
		CHECK_EQ(state(s), TCP_ESTABLISHED);
		CHECK_EQ(write(s, "abc", 3), 3);
		CHECK_EQ(read(s, b, 3), 3);
		CHECK_STR(b, "abc");
		close(s);
	}
}

TEST(disconnect_and_again)
{
	BOTH(f)
	{
		int l = tcp_listener(f, 5), s = tcp_dial(l), c = accept(l, NULL, NULL);
		struct addr a = addr_of(l);
		struct sockaddr none = {.sa_family = AF_UNSPEC};
		char b;
		CHECK_OK(connect(s, &none, sizeof(none)));
		CHECK_EQ(state(s), TCP_CLOSE);
		CHECK_EQ(events(c, POLLIN, SHOULD_BE_HERE) & (POLLIN | POLLERR | POLLHUP),
			POLLIN | POLLERR | POLLHUP);
		CHECK_ERRNO(read(c, &b, 1), ECONNRESET);
		CHECK_EQ(read(c, &b, 1), 0);
		CHECK_OK(connect(s, &a.sa, a.len));
		close(c);
		c = accept(l, NULL, NULL);
		CHECK_EQ(write(s, "x", 1), 1);
		CHECK_EQ(read(c, &b, 1), 1);
		close(s);
		close(c);
		close(l);
	}
}

TEST(mapped)
{
	int l = tcp_socket(AF_INET6), s = tcp_socket(AF_INET), c;
	struct addr any = {.len = sizeof(any.in6)}, a, p = {.len = sizeof(p.ss)};
	any.sa.sa_family = AF_INET6;
	CHECK_OK(bind(l, &any.sa, any.len));
	CHECK_OK(listen(l, 1));
	a = loopback(AF_INET, port_of(l));
	CHECK_OK(connect(s, &a.sa, a.len));
	c = accept(l, &p.sa, &p.len);
	CHECK(c >= 0);
	CHECK_EQ(p.sa.sa_family, AF_INET6);
	CHECK(IN6_IS_ADDR_V4MAPPED(&p.in6.sin6_addr));
	CHECK_EQ(ntohs(p.in6.sin6_port), port_of(s));
}

/* --- data --- */

TEST(bytes_and_peek)
{
	BOTH(f)
	{
		int fd[2], n;
		char b[16] = "";
		tcp_pair(f, fd);
		CHECK_EQ(send(fd[0], "hello", 5, 0), 5);
		CHECK_EQ(send(fd[0], "world", 5, 0), 5);
		while (!ioctl(fd[1], FIONREAD, &n) && n < 10)
			usleep(1000);
		CHECK_EQ(recv(fd[1], b, 3, MSG_PEEK), 3);
		CHECK_STR(b, "hel");
		CHECK_EQ(recv(fd[1], b, 12, 0), 10);
		CHECK(!memcmp(b, "helloworld", 10));
		CHECK_OK(ioctl(fd[1], FIONREAD, &n));
		CHECK_EQ(n, 0);
		CHECK_ERRNO(recv(fd[1], b, 1, MSG_DONTWAIT), EAGAIN);
		CHECK_EQ(send(fd[1], "12345678", 8, 0), 8);
		CHECK_EQ(recv(fd[0], b, 8, MSG_WAITALL), 8);
		CHECK_EQ(send(fd[1], "12345678", 8, 0), 8);
		CHECK_EQ(recv(fd[0], NULL, 5, MSG_TRUNC | MSG_WAITALL), 5);
		CHECK_EQ(recv(fd[0], b, 5, 0), 3);
		CHECK(!memcmp(b, "678", 3));
		CHECK_EQ(recv(fd[0], b, 0, MSG_DONTWAIT), -1);
		close(fd[0]);
		close(fd[1]);
	}
}

static uint32_t next_byte(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 24;
}

struct stream {
	int fd;
	uint32_t seed;
	size_t n, chunk;
};

static void *sender(void *arg)
{
	struct stream *s = arg;
	uint32_t x = s->seed;
	uint8_t *buf = malloc(s->chunk);
	for (size_t left = s->n; left;) {
		size_t n = left < s->chunk ? left : s->chunk;
		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)next_byte(&x);
		CHECK_EQ(write(s->fd, buf, n), n);
		left -= n;
	}
	free(buf);
	CHECK_OK(shutdown(s->fd, SHUT_WR));
	return NULL;
}

static void *receiver(void *arg)
{
	struct stream *s = arg;
	uint32_t x = s->seed;
	static __thread uint8_t buf[100000];
	size_t all = 0;
	ssize_t n;
	while ((n = read(s->fd, buf, s->chunk)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK_EQ(buf[i], next_byte(&x));
		all += (size_t)n;
	}
	CHECK_EQ(n, 0);
	CHECK_EQ(all, s->n);
	return NULL;
}

static void transfer(int f, size_t n, size_t wchunk, size_t rchunk)
{
	int fd[2];
	pthread_t t[4];
	tcp_pair(f, fd);
	struct stream s[4] = {{fd[0], 1, n, wchunk}, {fd[1], 1, n, rchunk}, {fd[1], 7, n, wchunk},
		{fd[0], 7, n, rchunk}};
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, i % 2 ? receiver : sender, &s[i]));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(t[i], NULL));
	close(fd[0]);
	close(fd[1]);
}

TEST(transfer_large)
{
	BOTH(f)
	transfer(f, 16 << 20, 1 << 20, 65536);
}

TEST(transfer_small)
{
	transfer(AF_INET, 200000, 7, 1000);
	transfer(AF_INET6, 300000, 1000, 7);
	transfer(AF_INET, 3 << 20, 99991, 100000);
}

TEST(never_read)
{
	BOTH(f)
	{
		int fd[2];
		static char buf[65536];
		size_t all = 0;
		ssize_t n;
		tcp_pair(f, fd);
		nonblocking(fd[0]);
		for (int idle = 0; idle < 20;) {
			while ((n = write(fd[0], buf, sizeof(buf))) > 0) {
				all += (size_t)n;
				idle = 0;
			}
			idle++;
			usleep(5000);
		}
		CHECK(all > 100000 && all < (64 << 20));
		CHECK_EQ(events(fd[0], POLLOUT, 0), 0);
		for (size_t got = 0; got < all; got += (size_t)n) {
			n = read(fd[1], buf, sizeof(buf));
			CHECK(n > 0);
		}
		CHECK_EQ(events(fd[0], POLLOUT, SHOULD_BE_HERE), POLLOUT);
		close(fd[0]);
		close(fd[1]);
	}
}

TEST(rcvlowat)
{
	BOTH(f)
	{
		int fd[2];
		char b[20];
		tcp_pair(f, fd);
		CHECK_OK(setint(fd[1], SOL_SOCKET, SO_RCVLOWAT, 10));
		CHECK_EQ(write(fd[0], "12345", 5), 5);
		CHECK_EQ(events(fd[1], POLLIN, 50), 0);
		CHECK_EQ(recv(fd[1], b, 20, MSG_DONTWAIT), 5);
		CHECK_EQ(write(fd[0], "1234567890", 10), 10);
		CHECK_EQ(events(fd[1], POLLIN, SHOULD_BE_HERE), POLLIN);
		CHECK_EQ(read(fd[1], b, 20), 10);
		close(fd[0]);
		close(fd[1]);
	}
}

/* --- the end --- */

TEST(half_close)
{
	BOTH(f)
	{
		int fd[2];
		char b[8];
		tcp_pair(f, fd);
		CHECK_OK(shutdown(fd[0], SHUT_WR));
		CHECK_EQ(state_becomes(fd[0], TCP_FIN_WAIT2), TCP_FIN_WAIT2);
		CHECK_EQ(state(fd[1]), TCP_CLOSE_WAIT);
		CHECK_EQ(events(fd[1], POLLIN | POLLRDHUP | POLLOUT, 0),
			POLLIN | POLLRDHUP | POLLOUT);
		CHECK_EQ(read(fd[1], b, 1), 0);
		CHECK_EQ(write(fd[1], "still", 5), 5);
		CHECK_EQ(read(fd[0], b, 8), 5);
		signal(SIGPIPE, SIG_IGN);
		CHECK_ERRNO(write(fd[0], "x", 1), EPIPE);
		CHECK_OK(shutdown(fd[1], SHUT_WR));
		CHECK_EQ(state_becomes(fd[1], TCP_CLOSE), TCP_CLOSE);
		CHECK_EQ(state_becomes(fd[0], TCP_CLOSE),
			TCP_CLOSE); /* TIME_WAIT goes on without it */
		CHECK_EQ(read(fd[0], b, 1), 0);
		CHECK_EQ(events(fd[0], POLLIN | POLLRDHUP | POLLOUT, 0),
			POLLIN | POLLRDHUP | POLLOUT | POLLHUP);
		CHECK_ERRNO(shutdown(fd[0], SHUT_RD), ENOTCONN);
		close(fd[0]);
		close(fd[1]);
	}
}

TEST(shutdown_read)
{
	int fd[2];
	char b[4];
	tcp_pair(AF_INET, fd);
	CHECK_OK(shutdown(fd[1], SHUT_RD));
	CHECK_EQ(read(fd[1], b, 4), 0);
	CHECK_EQ(write(fd[0], "abc", 3), 3); /* nobody was told */
	usleep(20000);
	CHECK_EQ(read(fd[1], b, 4), 3);
	CHECK_EQ(read(fd[1], b, 4), 0);
	CHECK_EQ(events(fd[1], POLLIN | POLLRDHUP, 0), POLLIN | POLLRDHUP);
}

TEST(sigpipe)
{
	int fd[2];
	tcp_pair(AF_INET, fd);
	CHECK_OK(shutdown(fd[0], SHUT_WR));
	CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	pid_t p = fork();
	if (!p) {
		signal(SIGPIPE, SIG_DFL);
		(void)!write(fd[0], "x", 1);
		_exit(0);
	}
	int st = WAIT_STATUS(p);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGPIPE);
}

TEST(reset_by_unread_data)
{
	BOTH(f)
	{
		int fd[2];
		char b[4];
		tcp_pair(f, fd);
		CHECK_EQ(write(fd[0], "abc", 3), 3);
		CHECK_EQ(events(fd[1], POLLIN, SHOULD_BE_HERE), POLLIN);
		close(fd[1]);
		CHECK_EQ(events(fd[0], POLLIN, SHOULD_BE_HERE), POLLIN | POLLERR | POLLHUP);
		CHECK_ERRNO(read(fd[0], b, 1), ECONNRESET);
		CHECK_EQ(read(fd[0], b, 1), 0);
		signal(SIGPIPE, SIG_IGN);
		CHECK_ERRNO(write(fd[0], b, 1), EPIPE);
		close(fd[0]);
	}
}

TEST(reset_then_write)
{
	int fd[2];
	tcp_pair(AF_INET, fd);
	struct linger lg = {1, 0};
	CHECK_OK(setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	close(fd[1]);
	CHECK(events(fd[0], POLLIN, SHOULD_BE_HERE) & POLLERR);
	CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
	CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK_EQ(getint(fd[0], SOL_SOCKET, SO_ERROR), 0);
}

/* What arrived before the reset is gone for a reader, as Linux does. */
TEST(write_to_closed)
{
	int fd[2];
	char b;
	tcp_pair(AF_INET, fd);
	close(fd[1]);
	CHECK_EQ(read(fd[0], &b, 1), 0);
	CHECK_EQ(send(fd[0], "x", 1, MSG_NOSIGNAL), 1);
	CHECK(events(fd[0], POLLIN, SHOULD_BE_HERE) & POLLIN);
	for (int i = 0; i < 1000 && !(events(fd[0], 0, 1) & POLLERR); i++)
		;
	CHECK_ERRNO(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(linger_waits)
{
	int fd[2];
	static char buf[65536];
	struct linger lg = {1, 1};
	struct timespec a, b;
	tcp_pair(AF_INET, fd);
	nonblocking(fd[0]);
	for (int i = 0; i < 20; i++) {
		while (write(fd[0], buf, sizeof(buf)) > 0)
			;
		usleep(3000);
	}
	CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	CHECK_OK(fcntl(fd[0], F_SETFL, 0));
	clock_gettime(CLOCK_MONOTONIC, &a);
	CHECK_OK(close(fd[0]));
	clock_gettime(CLOCK_MONOTONIC, &b);
	double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	CHECK(s > 0.9 && s < 10);
	size_t all = 0;
	ssize_t n;
	while ((n = read(fd[1], buf, sizeof(buf))) > 0)
		all += (size_t)n;
	CHECK_EQ(n, 0);
	CHECK(all > 0);
}

/* --- listening --- */

TEST(accept_results)
{
	BOTH(f)
	{
		int s = tcp_socket(f), l = tcp_listener(f, 1);
		CHECK_ERRNO(accept(s, NULL, NULL), EINVAL);
		nonblocking(l);
		CHECK_ERRNO(accept(l, NULL, NULL), EAGAIN);
		CHECK_EQ(events(l, POLLIN | POLLOUT, 0), 0);
		int c = tcp_dial(l);
		CHECK_EQ(events(l, POLLIN | POLLOUT, SHOULD_BE_HERE), POLLIN);
		int a = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		CHECK(a >= 0);
		CHECK_EQ(fcntl(a, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		CHECK_ERRNO(read(l, &a, 1), ENOTCONN);
		CHECK_ERRNO(send(l, &a, 1, MSG_NOSIGNAL), EPIPE);
		CHECK_EQ(getint(l, SOL_SOCKET, SO_ACCEPTCONN), 1);
		close(s);
		close(l);
		close(c);
		close(a);
	}
}

TEST(listen_without_bind)
{
	int l = tcp_socket(AF_INET);
	CHECK_OK(listen(l, 1));
	CHECK(port_of(l) != 0);
	struct addr a = loopback(AF_INET, port_of(l));
	int s = tcp_socket(AF_INET);
	CHECK_OK(connect(s, &a.sa, a.len));
}

TEST(backlog_full)
{
	int l = tcp_listener(AF_INET, 1), s[8], n = 0;
	struct addr a = addr_of(l);
	for (int i = 0; i < 8; i++) {
		s[i] = tcp_socket(AF_INET);
		nonblocking(s[i]);
		CHECK(connect(s[i], &a.sa, a.len) == 0 || errno == EINPROGRESS);
	}
	usleep(100000);
	for (int i = 0; i < 8; i++)
		n += state(s[i]) == TCP_ESTABLISHED;
	CHECK(n >= 2 && n <= 4);
	/* When there is room others come. */
	for (int i = 0; i < 4; i++) {
		CHECK_EQ(events(l, POLLIN, 10000), POLLIN);
		int c = accept(l, NULL, NULL);
		CHECK(c >= 0);
		close(c);
	}
}

TEST(accept_dead)
{
	int l = tcp_listener(AF_INET, 4), s = tcp_dial(l);
	struct linger lg = {1, 0};
	char b[4];
	CHECK_EQ(write(s, "abc", 3), 3);
	close(s);
	int c = accept(l, NULL, NULL);
	CHECK(c >= 0);
	CHECK_EQ(read(c, b, 4), 3);
	CHECK_EQ(read(c, b, 4), 0);
	s = tcp_dial(l);
	CHECK_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	close(s);
	c = accept(l, NULL, NULL);
	CHECK(c >= 0);
	CHECK_ERRNO(read(c, b, 4), ECONNRESET);
}

TEST(close_listener_resets)
{
	int l = tcp_listener(AF_INET, 4), s = tcp_dial(l);
	char b;
	close(l);
	CHECK(events(s, POLLIN, SHOULD_BE_HERE) & POLLERR);
	CHECK_ERRNO(read(s, &b, 1), ECONNRESET);
}

TEST(shutdown_listener)
{
	int l = tcp_listener(AF_INET, 4);
	pid_t p = fork();
	if (!p) {
		CHECK_ERRNO(accept(l, NULL, NULL), EINVAL);
		_exit(0);
	}
	usleep(50000);
	CHECK_OK(shutdown(l, SHUT_RD));
	WAIT_OK(p);
	CHECK_EQ(state(l), TCP_CLOSE);
}

TEST(many_connections)
{
	int l = tcp_listener(AF_INET, 100), c[200], s[200];
	char b;
	for (int i = 0; i < 200; i++) {
		c[i] = tcp_dial(l);
		s[i] = accept(l, NULL, NULL);
		CHECK(s[i] >= 0);
	}
	for (int i = 0; i < 200; i++)
		CHECK_EQ(write(c[i], &i, 1), 1);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(read(s[i], &b, 1), 1);
		CHECK_EQ((uint8_t)b, i);
		close(s[i]);
		close(c[i]);
	}
	for (int i = 0; i < 500; i++) {
		int x = tcp_dial(l), y = accept(l, NULL, NULL);
		CHECK(y >= 0);
		close(x);
		close(y);
	}
}

TEST(reuse_of_ports)
{
	int l = tcp_socket(AF_INET), s, c, t;
	struct addr a = loopback(AF_INET, 0);
	char b;
	CHECK_OK(setint(l, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK_OK(bind(l, &a.sa, a.len));
	CHECK_OK(listen(l, 4));
	a = addr_of(l);
	s = tcp_dial(l);
	c = accept(l, NULL, NULL);
	close(c); /* the server is the one in TIME_WAIT */
	CHECK_EQ(read(s, &b, 1), 0);
	close(s);
	close(l);
	usleep(20000);
	t = tcp_socket(AF_INET);
	CHECK_ERRNO(bind(t, &a.sa, a.len), EADDRINUSE);
	CHECK_OK(setint(t, SOL_SOCKET, SO_REUSEADDR, 1));
	CHECK_OK(bind(t, &a.sa, a.len));
}

/* --- urgent data --- */

/* Control messages of a stream: those of SOL_SOCKET are checked, others are not looked at. */
TEST(control_messages)
{
	union {
		struct cmsghdr h;
		char room[256];
	} u[2];
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	static const struct {
		int level, type;
		size_t len;
		int err;
	} c[] = {
		{SOL_IP, IP_RETOPTS, 4, 0},
		{SOL_IP, IP_RETOPTS, 41, 0},
		{SOL_IP, IP_TTL, 1, 0},
		{SOL_IP, IP_PKTINFO, 3, 0},
		{SOL_IPV6, IPV6_DSTOPTS, 8, 0},
		{SOL_IPV6, IPV6_PKTINFO, 1, 0},
		{IPPROTO_UDP, 103 /* UDP_SEGMENT */, 1, 0},
		{12345, 1, 0, 0},
		{SOL_SOCKET, SO_TIMESTAMPING, 4, 0},
		{SOL_SOCKET, SO_TIMESTAMPING, 3, EINVAL},
		{SOL_SOCKET, 4711, 4, EINVAL},
	};
	int fd[2], a;
	tcp_pair(AF_INET, fd);
	a = fd[0];
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++)
		for (int before = 0; before < 2; before++) {
			char *at = (char *)u;
			memset(u, 0, sizeof(u));
			if (before) { /* something that means something elsewhere */
				struct cmsghdr h = {CMSG_LEN(4), SOL_IP, IP_RETOPTS};
				memcpy(at, &h, sizeof(h));
				at += CMSG_SPACE(4);
			}
			struct cmsghdr h = {CMSG_LEN(c[i].len), c[i].level, c[i].type};
			memcpy(at, &h, sizeof(h));
			m.msg_control = u;
			m.msg_controllen = (size_t)(at - (char *)u) + CMSG_SPACE(c[i].len);
			if (c[i].err)
				CHECK_ERRNO(sendmsg(a, &m, 0), c[i].err);
			else
				CHECK_EQ(sendmsg(a, &m, 0), 1);
		}
	close(fd[0]);
	close(fd[1]);
}

TEST(urgent)
{
	BOTH(f)
	{
		int fd[2], n;
		char b[8] = "";
		tcp_pair(f, fd);
		CHECK_ERRNO(recv(fd[1], b, 1, MSG_OOB), EINVAL);
		CHECK_EQ(send(fd[0], "abc", 3, 0), 3);
		CHECK_EQ(send(fd[0], "X", 1, MSG_OOB), 1);
		CHECK_EQ(send(fd[0], "def", 3, 0), 3);
		CHECK(events(fd[1], POLLPRI, SHOULD_BE_HERE) & POLLPRI);
		while (!ioctl(fd[1], FIONREAD, &n) && n < 3)
			usleep(1000);
		CHECK_OK(ioctl(fd[1], SIOCATMARK, &n));
		CHECK_EQ(n, 0);
		usleep(10000);
		CHECK_EQ(recv(fd[1], b, 8, 0), 3);
		CHECK(!memcmp(b, "abc", 3));
		CHECK_OK(ioctl(fd[1], SIOCATMARK, &n));
		CHECK_EQ(n, 1);
		CHECK_EQ(recv(fd[1], b, 1, MSG_OOB | MSG_PEEK), 1);
		CHECK_EQ(recv(fd[1], b, 1, MSG_OOB), 1);
		CHECK_EQ(b[0], 'X');
		CHECK_ERRNO(recv(fd[1], b, 1, MSG_OOB), EINVAL);
		CHECK_EQ(recv(fd[1], b, 8, 0), 3);
		CHECK(!memcmp(b, "def", 3));
		close(fd[0]);
		close(fd[1]);
	}
}

TEST(urgent_inline)
{
	int fd[2], n;
	char b[8] = "";
	tcp_pair(AF_INET, fd);
	CHECK_OK(setint(fd[1], SOL_SOCKET, SO_OOBINLINE, 1));
	CHECK_EQ(send(fd[0], "abX", 3, MSG_OOB), 3);
	CHECK(events(fd[1], POLLPRI, SHOULD_BE_HERE) & POLLPRI);
	CHECK_EQ(recv(fd[1], b, 8, 0), 2);
	CHECK_OK(ioctl(fd[1], SIOCATMARK, &n));
	CHECK_EQ(n, 1);
	CHECK_ERRNO(recv(fd[1], b, 1, MSG_OOB), EINVAL);
	CHECK_EQ(recv(fd[1], b, 8, 0), 1);
	CHECK_EQ(b[0], 'X');
}

static volatile sig_atomic_t urgs;
static void on_urg(int sig)
{
	(void)sig;
	urgs++;
}

TEST(sigurg)
{
	int fd[2];
	tcp_pair(AF_INET, fd);
	signal(SIGURG, on_urg);
	CHECK_OK(fcntl(fd[1], F_SETOWN, getpid()));
	CHECK_EQ(send(fd[0], "X", 1, MSG_OOB), 1);
	for (int i = 0; i < 1000 && !urgs; i++)
		usleep(1000);
	CHECK(urgs >= 1);
}

/* --- epoll --- */

TEST(epoll_edges)
{
	BOTH(f)
	{
		int fd[2], ep = epoll_create1(0);
		struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET}, out;
		char b[8];
		tcp_pair(f, fd);
		CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[1], &e));
		CHECK_EQ(epoll_wait(ep, &out, 1, 0), 1);
		CHECK_EQ(out.events, EPOLLOUT);
		CHECK_EQ(epoll_wait(ep, &out, 1, 0), 0);
		CHECK_EQ(write(fd[0], "ab", 2), 2);
		CHECK_EQ(epoll_wait(ep, &out, 1, SHOULD_BE_HERE), 1);
		CHECK_EQ(out.events, EPOLLIN | EPOLLOUT);
		CHECK_EQ(epoll_wait(ep, &out, 1, 20), 0);
		CHECK_EQ(write(fd[0], "cd", 2), 2); /* more data: another edge */
		CHECK_EQ(epoll_wait(ep, &out, 1, SHOULD_BE_HERE), 1);
		CHECK_EQ(out.events, EPOLLIN | EPOLLOUT);
		CHECK_EQ(read(fd[1], b, 8), 4);
		CHECK_EQ(epoll_wait(ep, &out, 1, 20), 0);
		CHECK_OK(shutdown(fd[0], SHUT_WR));
		CHECK_EQ(epoll_wait(ep, &out, 1, SHOULD_BE_HERE), 1);
		CHECK_EQ(out.events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
		close(fd[0]);
		close(fd[1]);
		close(ep);
	}
}

TEST(epoll_write_edge)
{
	int fd[2], ep = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLOUT | EPOLLET}, out;
	static char buf[65536];
	size_t all = 0;
	ssize_t n;
	tcp_pair(AF_INET, fd);
	nonblocking(fd[0]);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &e));
	CHECK_EQ(epoll_wait(ep, &out, 1, 0), 1);
	for (int idle = 0; idle < 20; idle++) {
		while ((n = write(fd[0], buf, sizeof(buf))) > 0) {
			all += (size_t)n;
			idle = 0;
		}
		usleep(3000);
	}
	while (epoll_wait(ep, &out, 1, 0))
		;
	for (size_t got = 0; got < all; got += (size_t)n) {
		n = read(fd[1], buf, sizeof(buf));
		CHECK(n > 0);
	}
	CHECK_EQ(epoll_wait(ep, &out, 1, SHOULD_BE_HERE), 1);
	CHECK_EQ(out.events, EPOLLOUT);
}

/* --- queues and time --- */

TEST(outq)
{
	int fd[2], n;
	static char buf[400000];
	tcp_pair(AF_INET, fd);
	CHECK_OK(ioctl(fd[0], SIOCOUTQ, &n));
	CHECK_EQ(n, 0);
	nonblocking(fd[0]);
	while (write(fd[0], buf, sizeof(buf)) > 0)
		;
	usleep(20000);
	while (write(fd[0], buf, sizeof(buf)) > 0)
		;
	CHECK_OK(ioctl(fd[0], SIOCOUTQ, &n));
	CHECK(n > 0);
	CHECK_OK(ioctl(fd[0], SIOCOUTQNSD, &n));
	CHECK(n > 0);
}

TEST(timeouts)
{
	int fd[2];
	char b;
	struct timeval tv = {0, 50000};
	tcp_pair(AF_INET, fd);
	CHECK_OK(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	CHECK_ERRNO(read(fd[0], &b, 1), EAGAIN);
}

TEST(sendfile_and_splice)
{
	int fd[2], p[2];
	static char a[100000], b[100000];
	tcp_pair(AF_INET, fd);
	int file = open("data", O_RDWR | O_CREAT, 0600);
	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = (char)(i * 7);
	CHECK_EQ(write(file, a, sizeof(a)), sizeof(a));
	off_t off = 0;
	pid_t c = fork();
	if (!c) {
		while (off < (off_t)sizeof(a))
			CHECK(sendfile(fd[0], file, &off, sizeof(a) - (size_t)off) > 0);
		_exit(0);
	}
	full_read(fd[1], b, sizeof(b));
	WAIT_OK(c);
	CHECK(!memcmp(a, b, sizeof(a)));
	CHECK_OK(pipe(p));
	CHECK_EQ(write(fd[0], "hello", 5), 5);
	CHECK_EQ(splice(fd[1], NULL, p[1], NULL, 5, 0), 5);
	CHECK_EQ(splice(p[0], NULL, fd[1], NULL, 5, 0), 5);
	memset(b, 0, 8);
	full_read(fd[0], b, 5);
	CHECK_STR(b, "hello");
}

/* Writers share a connection: all of it arrives, and nobody sleeps for good. */
static void *shared_writer(void *arg)
{
	struct stream *s = arg;
	uint8_t *buf = malloc(s->chunk);
	memset(buf, (int)s->seed, s->chunk);
	for (size_t i = 0; i < s->n; i++)
		CHECK_EQ(write(s->fd, buf, s->chunk), s->chunk);
	free(buf);
	return NULL;
}

TEST(writers_share)
{
	int fd[2];
	pthread_t t[4];
	size_t count[5] = {0};
	static uint8_t b[65536];
	tcp_pair(AF_INET, fd);
	struct stream s[4];
	for (int i = 0; i < 4; i++) {
		s[i] = (struct stream){fd[0], (uint32_t)i + 1, 40, 300000};
		CHECK(!pthread_create(&t[i], NULL, shared_writer, &s[i]));
	}
	for (size_t all = 0; all < 4u * 40 * 300000;) {
		ssize_t n = read(fd[1], b, sizeof(b));
		CHECK(n > 0);
		for (ssize_t i = 0; i < n; i++)
			count[b[i]]++;
		all += (size_t)n;
	}
	for (int i = 0; i < 4; i++) {
		CHECK(!pthread_join(t[i], NULL));
		CHECK_EQ(count[i + 1], 40u * 300000);
	}
}
